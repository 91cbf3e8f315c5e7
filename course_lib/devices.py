"""Devices: which one, in what precision, with what seed.

No other file names a kind of device. Of the stage: nobody has to type it.
"""

import contextlib
import os
import platform
import sys
from collections.abc import Callable, Iterator

# Threads that wait by spinning starve each other as soon as another program wants a
# core: measured three times slower. It must be said before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from course_lib.files import colab, version

# Precision for training on each kind of device, and why. Lessons that read numbers off
# a model stay in float32 everywhere: there the digits matter more than the time.
PRECISION = {
    "cuda": torch.bfloat16,  # matrix units since 2020; before that see precision()
    "mps": torch.float32,  # Apple's GPU gains little from bfloat16
    "cpu": torch.float32,  # most laptops have no bfloat16 units
}
BACKEND = {"cuda": "nccl", "cpu": "gloo"}  # how processes on it talk to each other
TOLERANCE = 1e-4  # worst difference from the CPU that self_test() accepts


def best() -> torch.device:
    """The fastest device here: CUDA, then MPS, then CPU; `COURSE_DEVICE` overrides.

    Raises ValueError if COURSE_DEVICE names a device that is not here.
    """
    wanted = os.environ.get("COURSE_DEVICE")
    if wanted:
        return named(wanted)
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def named(wanted: str) -> torch.device:
    """The device of that name, if it is here and of a kind that lessons run on."""
    try:
        device = torch.empty(0, device=wanted).device
    except (RuntimeError, AssertionError, ImportError):
        device = None
    if device is None or device.type not in PRECISION:
        raise ValueError(
            f"The device {wanted!r} is not on this machine: choose cpu, cuda or mps, or "
            "name none. (COURSE_DEVICE and --device name one.)"
        )
    return device


def precision(device: torch.device) -> torch.dtype:
    """The dtype to train in on `device`; float16 on CUDA cards without bfloat16."""
    usual = PRECISION[device.type]
    if device.type != "cuda" or usual == torch.float32:
        return usual
    # Older cards can imitate bfloat16, slowly; torch counts that unless told not to.
    has_units = torch.cuda.is_bf16_supported(including_emulation=False)
    return usual if has_units else torch.float16


@contextlib.contextmanager
def in_float32() -> Iterator[None]:
    """While this lasts every device trains in float32, so that digits can be compared."""
    usual = PRECISION.copy()
    PRECISION.update(dict.fromkeys(PRECISION, torch.float32))
    try:
        yield
    finally:
        PRECISION.update(usual)


def autocast(device: torch.device) -> contextlib.AbstractContextManager:
    """While this lasts, products on `device` are taken in its training precision."""
    dtype = precision(device)
    if dtype == torch.float32:
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype)


def scaler(device: torch.device) -> torch.amp.GradScaler:
    """What keeps float16's small gradients from becoming 0; does nothing elsewhere."""
    is_float16 = precision(device) == torch.float16
    return torch.amp.GradScaler(device.type, enabled=is_float16)


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on `device`; the CPU goes on while a CUDA card still fetches it."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def nth(device: torch.device, number: int) -> torch.device:
    """The device for process `number` of this machine: a card of its own, if it is CUDA."""
    if device.type == "cuda":
        torch.cuda.set_device(number)
        return torch.device("cuda", number)
    return device


def generator(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A source of random numbers of its own, so that one seed means one result."""
    return torch.Generator(device).manual_seed(seed)


def _small_model(device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Outputs (2, 16, 64) of a fixed two-layer model, computed on `device`, float64."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        layer = torch.nn.TransformerEncoderLayer(64, 4, 256, 0.0, batch_first=True)
        model = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        x = torch.randn(2, 16, 64)
        return model.to(device, dtype)(x.to(device, dtype)).cpu().double()


def self_test(device: torch.device) -> float:
    """Worst difference of `device`, in float32, from the CPU on a small fixed model.

    Some drivers compute wrong numbers without a word. The CPU computes in float64, so
    that its own float32 has something to answer to as well. Under TOLERANCE is fine;
    takes about a second.
    """
    truth = _small_model(torch.device("cpu"), torch.float64)
    return (_small_model(device, torch.float32) - truth).abs().max().item()


def where(model: Callable) -> torch.device:
    """The device of a model's weights; the CPU for a function that has none."""
    if isinstance(model, torch.nn.Module):
        for weight in model.parameters():
            return weight.device
    return torch.device("cpu")


def memory(device: torch.device) -> int:
    """Bytes of a card's own memory; 0 for a device that shares the machine's."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return 0


def describe(device: torch.device) -> str:
    """A few words on a device, such as 'cpu, 2 threads'."""
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        return f"{card.name}, {card.total_memory / 2**30:.0f} GiB"
    if device.type == "mps":
        return "Apple GPU"
    count = torch.get_num_threads()
    return f"cpu, {count} thread{'s' * (count > 1)}"


NOT_DEFINED = (
    "If a cell above makes {name!r}, run that first: Run → Run All Above Selected Cell "
    "(in Colab: Runtime → Run before)."
)


def explain_missing_names() -> None:
    """Let a NameError in a notebook say what to do: run the cells above first."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        return

    def explain(shell, kind, error, trace, tb_offset=None) -> None:
        shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
        if kind is NameError:  # not a name that a function uses before it binds it
            print(NOT_DEFINED.format(name=error.name), file=sys.stderr)

    shell.set_custom_exc((NameError,), explain)


def ready(lesson: str = "") -> str:
    """Prepare this machine for a lesson; return a line that says what it is.

    lesson: the version of the course that the lesson was written for. Where the course
    here is another, a line says so. On Colab it installs what is missing, and says how
    to keep one's work. `COURSE_THREADS` limits the CPU threads.
    """
    explain_missing_names()
    more = []
    if lesson and lesson != version():
        more.append(
            f"This lesson is of version {lesson}, the course here of {version()}. If a "
            "cell stops, open the lesson anew from its link."
        )
    if colab.on_colab():
        colab.install_on_colab()
        more.append(colab.KEEPING)
    threads = os.environ.get("COURSE_THREADS")
    if threads:
        if not threads.isdecimal() or not 0 < int(threads) <= 1024:
            raise ValueError(
                f"COURSE_THREADS is {threads!r}: give a whole number from 1, or unset it."
            )
        torch.set_num_threads(int(threads))
    python = platform.python_version()
    line = f"Python {python} · torch {torch.__version__} · {describe(best())}"
    return "\n".join([line, *more])
