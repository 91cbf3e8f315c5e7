"""Keep runs on disk: written whole or not at all, never a pickle.

A run's folder holds a folder for each checkpoint: step-00000100 and so on. It is written
beside and renamed, so a kill at any moment leaves the one before it. In it are

  model.safetensors      the weights, and in its metadata what they are weights of
  optimizer.safetensors  the optimisers' state of each weight
  run.json               the configuration, the losses, which text

Built in lesson 08.
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from course_lib.errors import Problem

WEIGHTS, OPTIMIZER, RECORD = "model.safetensors", "optimizer.safetensors", "run.json"
KEPT = 2  # the last ones; should the newest be damaged by others, one is left


@dataclass
class Checkpoint:
    """All that a run needs to go on."""

    weights: dict[str, torch.Tensor]
    optimizer: dict[str, torch.Tensor]  # state of the optimisers: "name.kind" → values
    record: dict  # configuration, losses and the rest, as JSON has it
    about: dict  # what the weights are weights of


def steps(folder: Path) -> list[Path]:
    """The whole checkpoints in a run's folder, oldest first."""
    return sorted(p for p in Path(folder).glob("step-*") if not p.suffix)


def prepare(folder: Path, about: dict) -> None:
    """Make a run's folder, and delete what a kill left half written in it.

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
    for part in Path(folder).glob("step-*.part"):
        shutil.rmtree(part, ignore_errors=True)


def save(folder: Path, step: int, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint beside, rename it, delete the oldest; its path.

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
        _to_disk(part)
        shutil.rmtree(path, ignore_errors=True)
        part.rename(path)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise Problem(_unwritten(Path(folder), step, error)) from error
    for old in steps(folder)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return path


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
    """The newest checkpoint of a run.

    Raises Problem if there is none, or if it is damaged.
    """
    with newest(folder) as path:
        weights, about = read(path / WEIGHTS)
        optimizer, _ = read(path / OPTIMIZER)
        record = json.loads((path / RECORD).read_text(encoding="utf-8"))
        if not (isinstance(record, dict) and record):
            raise ValueError(f"{RECORD} is no record of a run")
    return Checkpoint(weights, optimizer, record, about)


def known(folder: Path) -> dict:
    """What a run's weights are weights of; they are not read. Raises as `load` does."""
    with newest(folder) as path, opened(path / WEIGHTS) as file:
        return about_of(file)


@contextmanager
def newest(folder: Path) -> Iterator[Path]:
    """The newest checkpoint of a run, to read; what goes wrong meanwhile is damage."""
    found = steps(folder)
    if not found:
        raise Problem(f"There is no checkpoint in {folder}: train there first.")
    other = f"{found[-2].name} is used then" if len(found) > 1 else "start again then"
    try:
        yield found[-1]
    except (OSError, ValueError, Problem) as error:
        raise Problem(
            f"{found[-1]} is damaged ({error}): delete it; {other}."
        ) from error


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """The tensors of a safetensors file, and what its metadata says of them.

    path: the file, a checkpoint's folder or a run's. Raises Problem for a file
    that is missing, cut short or of another kind, such as a pickle.
    """
    with opened(model_file(Path(path))) as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, about_of(file)


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
    """The file with the weights: of a run's folder, a checkpoint's, or the path itself."""
    if not path.is_dir():
        return path
    found = steps(path)
    return (found[-1] if found else path) / WEIGHTS


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
