"""Keep runs on disk: written whole or not at all, never a pickle.

A run's folder holds a folder for each checkpoint: step-00000100 and so on. It is written
beside and renamed, so a kill at any moment leaves the one before it. In it are

  model.safetensors      the weights, and in its metadata what they are weights of
  optimizer.safetensors  the optimisers' state of each weight
  run.json               the configuration, the losses, which text
  SHA256SUMS             what the three others must be, to the last bit (sha256sum -c)

The last two checkpoints are kept, and the one with the lowest validation loss. Built in
lesson 08.
"""

import errno
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from course_lib.errors import Problem
from course_lib.files import cache

WEIGHTS, OPTIMIZER, RECORD = "model.safetensors", "optimizer.safetensors", "run.json"
FILES, SUMS = (WEIGHTS, OPTIMIZER, RECORD), "SHA256SUMS"
KEPT = 2  # the last ones; should the newest be damaged by others, one is left


@dataclass
class Checkpoint:
    """All that a run needs to go on."""

    weights: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]  # state of the optimisers: "name.kind" → values
    record: dict  # configuration, losses and the rest, as JSON has it
    about: dict  # what the weights are weights of


def steps(folder: Path) -> list[Path]:
    """The checkpoints in a run's folder, oldest first: step- and digits, nothing else."""
    named = [
        p for p in Path(folder).glob("step-*") if re.fullmatch(r"step-\d+", p.name)
    ]
    return sorted((p for p in named if p.is_dir()), key=number)


def number(path: Path) -> int:
    """The step of a checkpoint's folder."""
    return int(path.name.removeprefix("step-"))


@contextmanager
def alone(folder: Path, about: dict | None = None) -> Iterator[None]:
    """While this lasts no other run may write in a folder; a kill ends it, too.

    The folder is made, and rid of what a kill left half written in it. about: what will
    go with the weights. Raises Problem if another run writes there, and as `prepare`.
    """
    prepare(folder, about or {})
    lock = FileLock(Path(folder) / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Problem(
            f"Another run is writing in {folder}: stop it, or choose another folder."
        ) from None
    try:
        tidy(folder)
        yield
    finally:
        lock.release()


def prepare(folder: Path, about: dict) -> None:
    """Make a run's folder.

    about: what will go with the weights. Raises Problem now, not after an hour,
    if the folder can't be made or `about` is more than JSON can hold.
    """
    try:
        json.dumps(about)
        Path(folder).mkdir(parents=True, exist_ok=True)
    except TypeError as error:
        raise Problem(
            f"about={about!r} can't be kept ({error}): give numbers, text, lists, dicts."
        ) from error
    except OSError as error:
        raise Problem(
            f"{folder} can't be made ({error.strerror}): choose another folder."
        ) from error


def tidy(folder: Path) -> None:
    """Delete what a kill left half written in a run's folder."""
    for part in Path(folder).glob("step-*.part"):
        if re.fullmatch(r"step-\d+", part.stem):
            shutil.rmtree(part, ignore_errors=True)


def save(folder: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint beside, rename it, delete those that are not kept; its path.

    Raises Problem, with the earlier ones untouched, for a full disk or a folder
    that can't be written.
    """
    path = Path(folder) / f"step-{step:08}"
    part = path.with_name(path.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        about = {"about": json.dumps(checkpoint.about)}
        write(checkpoint.weights, part / WEIGHTS, about)
        write(checkpoint.optimizer, part / OPTIMIZER)
        (part / RECORD).write_text(json.dumps(checkpoint.record), encoding="utf-8")
        sums = [f"{cache.sha256(part / name)}  {name}\n" for name in FILES]
        (part / SUMS).write_text("".join(sums), encoding="utf-8")
        _to_disk(part)
        shutil.rmtree(path, ignore_errors=True)
        part.rename(path)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise Problem(_unwritten(Path(folder), step, error)) from error
    lowest = best(checkpoint.record)
    for old in steps(folder)[:-KEPT]:
        if number(old) != lowest:
            shutil.rmtree(old, ignore_errors=True)
    return path


def best(record: dict) -> int | None:
    """The step with the lowest validation loss so far; None if nothing was measured."""
    looks = record.get("history", {}).get("validation", [])
    return min(looks, key=lambda look: look[1])[0] if looks else None


def write(tensors: dict, path: Path, metadata: dict | None = None) -> None:
    """Save tensors in one safetensors file, each with memory of its own."""
    plain = torch.contiguous_format
    alone = {k: v.detach().cpu().clone(memory_format=plain) for k, v in tensors.items()}
    save_file(alone, path, metadata)


def _to_disk(folder: Path) -> None:
    """Ask the system to write now what it holds back: a rename may overtake it."""
    for path in folder.iterdir():
        with path.open("rb+") as file:
            os.fsync(file.fileno())


def _unwritten(folder: Path, step: int, error: Exception) -> str:
    """Why a checkpoint could not be written, and what is left."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    full = full or "No space left" in str(error)
    why = "the disk is full" if full else str(error)
    kept = steps(folder)
    left = f"{kept[-1].name} is whole" if kept else "there is no earlier one"
    do = "Make room" if full else "Mend that"
    return (
        f"Step {step} could not be saved in {folder}: {why}; {left}. {do} and resume."
    )


def load(folder: Path) -> Checkpoint:
    """The newest checkpoint of a run that is whole; says so if a newer one is not.

    Raises Problem if there is none.
    """
    path = whole(folder)
    weights, about = tensors(path / WEIGHTS)
    optimizer, _ = tensors(path / OPTIMIZER)
    try:
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
    except ValueError as error:
        raise Problem(f"{path / RECORD} is no record of a run ({error}).") from error
    return Checkpoint(weights, optimizer, record, about)


def known(folder: Path) -> dict:
    """What a run's weights are weights of; they are not read. Raises as `load` does."""
    with opened(whole(folder, say=False) / WEIGHTS) as file:
        return about_of(file)


def whole(folder: Path, say: bool = True) -> Path:
    """The newest checkpoint of a run whose files are as they were saved.

    say: whether newer ones that are not are named on the screen. Raises Problem if there
    is none.
    """
    found, damaged = steps(folder), []
    if not found:
        raise Problem(f"There is no checkpoint in {folder}: train there first.")
    for path in reversed(found):
        try:
            verify(path)
        except Problem as problem:
            damaged.append(str(problem).removesuffix("."))
            continue
        for sentence in damaged if say else []:
            print(f"{sentence}; {path.name} is used instead.", file=sys.stderr)
        return path
    raise Problem(f"{damaged[0]}; no earlier one is whole: delete it, and start again.")


def verify(path: Path, *names: str) -> None:
    """Raise Problem unless files of a checkpoint are to the last bit as they were saved.

    names: which files; none: all.
    """
    try:
        lines = (path / SUMS).read_text(encoding="utf-8").splitlines()
        noted = {name: digest for digest, name in (line.split("  ") for line in lines)}
        for name in names or FILES:
            if cache.sha256(path / name) != noted.get(name):
                raise ValueError(f"{name} has changed since it was saved")
    except FileNotFoundError as error:
        lost = Path(error.filename).name
        older = ", or of an older course" if lost == SUMS else ""
        raise Problem(f"{path} is damaged{older} ({lost} is missing).") from error
    except (OSError, ValueError) as error:
        raise Problem(f"{path} is damaged ({error}).") from error


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """The weights that were saved, and what is known of them.

    path: a run's folder, a checkpoint's, or a safetensors file, each of which is held to
    its SHA-256 where there is one. Raises Problem for a file that is missing, damaged or
    of another kind, such as a pickle.
    """
    return tensors(model_file(Path(path)))


def tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """The tensors of a safetensors file, and what its metadata says of them."""
    with opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}, about_of(file)  # noqa: SIM118


@contextmanager
def opened(path: Path) -> Iterator[safe_open]:
    """A safetensors file to read from; raises Problem for any other."""
    if path.suffix in (".pt", ".pth", ".bin", ".ckpt", ".pkl"):
        raise Problem(
            f"{path.name} is a pickle, which can run any code when it is opened; "
            "only .safetensors files are read."
        )
    try:
        with safe_open(path, "pt") as file:
            yield file
    except FileNotFoundError as error:
        raise Problem(
            f"There is no file {path}: give a run's folder, or a model.safetensors in it."
        ) from error
    except (SafetensorError, OSError, ValueError) as error:
        raise Problem(
            f"{path} is cut short, or no safetensors file ({error})."
        ) from error


def about_of(file: safe_open) -> dict:
    """What was saved as `about` beside the tensors of an open file."""
    return json.loads((file.metadata() or {}).get("about", "{}"))


def model_file(path: Path) -> Path:
    """The file with the weights: of a run's folder, a checkpoint's, or the path itself.

    Raises Problem if it is not as it was saved.
    """
    if path.is_dir() and steps(path):
        return whole(path) / WEIGHTS
    file = path / WEIGHTS if path.is_dir() else path
    if (file.parent / SUMS).exists():
        verify(file.parent, file.name)
    return file


def fit(model: torch.nn.Module, weights: dict[str, torch.Tensor], what: str) -> None:
    """Put weights into a model; raises Problem if names or shapes differ."""
    wanted = dict(model.named_parameters())
    for name, values in wanted.items():
        if name not in weights:
            raise Problem(f"{what} has no weight {name!r}: it is another model's.")
        if weights[name].shape != values.shape:
            raise Problem(
                f"{what} has {name} of shape {tuple(weights[name].shape)}; this model "
                f"wants {tuple(values.shape)}: make it with the checkpoint's own numbers."
            )
    for name in weights:
        if name not in wanted:
            raise Problem(f"{what} has a weight {name!r} that this model lacks.")
    with torch.no_grad():
        for name, values in wanted.items():
            values.copy_(weights[name])
