"""The dial: which scale a machine gets, and how its minutes are estimated."""

import ast
from types import SimpleNamespace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from course_lib import devices, scales
from course_lib.cli.parser import parser
from course_lib.fast_gpt import FastGPT
from course_lib.files import ROOT
from course_lib.gpt import GPT, GPTConfig
from course_lib.notebooks import cells
from course_lib.train import TrainConfig, next_token_loss, train

CPU = torch.device("cpu")
every_scale = pytest.mark.parametrize("scale", scales.EVERY, ids=lambda one: one.name)


# Which scale -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("room", "name"),
    [
        (0, "cpu"),
        (7.6, "cpu"),  # a laptop's card
        (13.5, "cpu"),  # 14.5 GB
        (14.6, "t4"),
        (22.0, "t4"),  # an L4
        (39.4, "a100"),
        (79.1, "h100"),
        (139.8, "h100"),
    ],
)
def test_memory_decides(room, name, monkeypatch):
    monkeypatch.delenv("COURSE_SCALE", raising=False)
    monkeypatch.setattr(devices, "memory", lambda at: int(room * 2**30))
    assert scales.best(CPU).name == name


def test_this_machines_processor_gets_the_scale_of_a_processor(monkeypatch):
    monkeypatch.delenv("COURSE_SCALE", raising=False)
    assert scales.best(CPU).name == "cpu"


def test_a_card_is_asked_for_its_memory(monkeypatch):
    card = SimpleNamespace(total_memory=int(14.6 * 2**30))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda at: card)
    monkeypatch.delenv("COURSE_SCALE", raising=False)
    assert scales.best(torch.device("cuda")).name == "t4"


def test_the_environment_comes_before_memory(monkeypatch):
    monkeypatch.setenv("COURSE_SCALE", "a100")
    assert scales.best(CPU) is scales.SCALES["a100"]


@pytest.mark.parametrize("wrong", ["tiny", "T4", "huge", " cpu"])
def test_an_unknown_scale_is_refused_with_the_known_ones(wrong, monkeypatch):
    monkeypatch.setenv("COURSE_SCALE", wrong)
    with pytest.raises(ValueError, match="choose one of cpu, t4, a100, h100, or unset"):
        scales.best(CPU)


def test_command_line_has_the_same_scales():
    for name in scales.SCALES:
        assert parser().parse_args(["train", "--scale", name]).scale == name
    with pytest.raises(SystemExit):
        parser().parse_args(["train", "--scale", "t5"])


# What a scale asks for ---------------------------------------------------------------


def lesson_08(scale: scales.Scale) -> tuple[GPTConfig, TrainConfig]:
    """The model and the run of lesson 08 at a scale, as its own cells say them."""
    path = cells.paths(["08"])[0]
    known = {"layers": scale.layers, "times": scale.times, "GPTConfig": GPTConfig}
    known |= {"TrainConfig": TrainConfig}
    known["encoding"] = SimpleNamespace(tokens=range(1_024))
    for id, name in (("fresh", "config"), ("plan", "plan")):
        for node in ast.parse(cells.cell(path, id)).body:
            if isinstance(node, ast.Assign) and node.targets[0].id == name:
                known[name] = eval(ast.unparse(node.value), known)
    return known["config"], known["plan"]


def test_on_a_processor_lesson_08_is_what_its_text_says():
    shape, run = lesson_08(scales.SCALES["cpu"])
    assert shape == GPTConfig(1_024, context=96, layers=4, channels=128, heads=4)
    assert run == TrainConfig(150, 12, 96, rate=3e-3, warmup=15, every=25)


@every_scale
def test_its_models_and_runs_are_possible(scale):
    for shape, run in ((scale.shape, scale.run), lesson_08(scale)):
        assert shape.channels % shape.heads == 0
        assert shape.channels // shape.heads % 2 == 0  # rotary positions come in pairs
        assert shape.context >= run.context and run.warmup < run.steps


def test_each_scale_does_more_than_the_one_before():
    for small, large in zip(scales.LESSONS, scales.LESSONS[1:]):
        assert small.memory < large.memory
        ours = (
            scales.operations(*lesson_08(small)),
            scales.operations(*lesson_08(large)),
        )
        assert ours[1] > 2 * ours[0]
        pair = [scales.operations(one.shape, one.run) for one in (small, large)]
        assert pair[1] > 2 * pair[0]


@pytest.mark.parametrize("make", [GPT, FastGPT])
def test_a_larger_scale_of_lesson_08_learns(make):
    """A few steps of the t4 scale: ids that repeat are soon known better than guessed."""
    shape, run = lesson_08(scales.SCALES["t4"])
    few = TrainConfig(6, 4, run.context, rate=run.rate, warmup=1, every=6)
    ids = torch.arange(2_000) % 7
    model = make(shape, generator=devices.generator(0))
    history = train(model, ids, ids, few, CPU, bar=False)
    assert history.losses[-1] < history.losses[0] - 1


# How long ----------------------------------------------------------------------------

SHAPE = GPTConfig(1_024, context=64, layers=3, channels=64, heads=2)
RUN = TrainConfig(steps=1, batch=4, context=64)


def step(shape: GPTConfig, run: TrainConfig) -> None:
    """One forward and backward pass on noise."""
    model = GPT(shape, generator=devices.generator(0))
    size = (run.batch, run.context)
    ids = torch.randint(shape.vocabulary, size, generator=devices.generator(0))
    next_token_loss(model, ids, ids).backward()


def test_operations_are_those_that_torch_counts():
    """Attention by plain products: of the fused kind torch doesn't count those."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step(SHAPE, RUN)
    assert scales.operations(SHAPE, RUN) == pytest.approx(
        counter.get_total_flops(), rel=0.05
    )


class Asked(TorchDispatchMode):
    """Counts the operations that a device is asked for."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        return function(*args, **(kwargs or {}))


def test_a_layer_is_some_hundred_small_operations():
    """The hundred in TOLD; what each of them takes is no more than an estimate."""
    counts = []
    for layers in (2, 4):
        with Asked() as asked:
            step(GPTConfig(1_024, 64, layers, 64, 2), RUN)
        counts.append(asked.count)
    assert 60 < (counts[1] - counts[0]) / 2 < 200


def test_throughput_takes_products_that_are_large_enough(monkeypatch):
    sizes = []

    def product(size, at):
        """A chip of 10¹³ operations a second, which no product leaves in under a millisecond."""
        sizes.append(size)
        return max(1e-3, 2 * size**3 / 1e13)

    monkeypatch.setattr(scales, "product", product)
    assert scales.throughput(CPU) == pytest.approx(1e13)
    assert sizes == [1_024, 2_048, 4_096]


def test_throughput_of_this_machine_is_that_of_a_machine():
    assert 1e9 < scales.throughput(CPU) < 1e14


def test_minutes_follow_steps_and_speed():
    once = scales.minutes(SHAPE, RUN, 1e9)
    assert once == pytest.approx(scales.operations(SHAPE, RUN) / 1e9 / scales.USE / 60)
    twice = TrainConfig(steps=2, batch=4, context=64)
    assert scales.minutes(SHAPE, twice, 1e9) == pytest.approx(2 * once)
    assert scales.minutes(SHAPE, RUN, 2e9) == pytest.approx(once / 2)


def test_a_small_model_keeps_a_large_gpu_waiting():
    assert scales.on("h100", SHAPE, RUN) == scales.on("t4", SHAPE, RUN)
    assert scales.on("h100", SHAPE, RUN) == pytest.approx(3 * scales.TOLD / 60)
    large = scales.SCALES["a100"]
    ratio = scales.on("t4", large.shape, large.run) / scales.on(
        "h100", large.shape, large.run
    )
    assert ratio == pytest.approx(scales.PEAK["h100"] / scales.PEAK["t4"])


def test_a_processor_waits_for_no_orders(monkeypatch):
    monkeypatch.setattr(scales, "throughput", lambda at: 1e12)
    assert scales.here(SHAPE, RUN, CPU) == scales.minutes(SHAPE, RUN, 1e12)
    told = scales.minutes(SHAPE, RUN, 1e12, scales.TOLD)
    assert told > scales.here(SHAPE, RUN, CPU)
    assert scales.here(SHAPE, RUN, torch.device("meta")) == told


def test_peaks_are_those_of_lesson_08():
    """One figure, in the lesson and in the library."""
    path = cells.paths(["08"])[0]
    for node in ast.walk(ast.parse(cells.cell(path, "roofline"))):
        if isinstance(node, ast.Dict):
            chips = ast.literal_eval(node)
            assert {k.lower(): v[0] for k, v in chips.items()} == scales.PEAK


# The page ----------------------------------------------------------------------------


TWO_CORES = 2.8e11  # operations a second of the two cores that the page speaks of


def took(scale: scales.Scale, shape: GPTConfig, run: TrainConfig) -> str:
    """The estimate for a scale's own machine, as the page says it."""
    on_cpu = scales.minutes(shape, run, TWO_CORES)
    minutes = on_cpu if scale.name == "cpu" else scales.on(scale.name, shape, run)
    return f"{minutes:.0f} min" if minutes > 1 else f"{60 * minutes:.0f} s"


def row(scale: scales.Scale) -> str:
    """A row of the project page's table, as it has to be."""
    cells = [f"`{scale.name}`"]
    for shape, run in (lesson_08(scale), (scale.shape, scale.run)):
        cells.append(f"{shape.layers} × {shape.channels:,}")
        cells.append(f"{run.steps:,} steps of {run.batch} × {run.context:,}")
        cells.append(took(scale, shape, run))
    return "| " + " | ".join(cells) + " |"


@pytest.mark.parametrize("scale", scales.LESSONS, ids=lambda one: one.name)
def test_the_pages_table_is_computed(scale):
    assert row(scale) in (ROOT / "README.md").read_text(encoding="utf-8")
