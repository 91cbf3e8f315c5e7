"""Small runs that several tests share, and that other processes can start."""

import json
import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from course_lib import distributed, fast_gpt
from course_lib.devices import generator
from course_lib.gpt import GPT, GPTConfig
from course_lib.train import TrainConfig, train

SHAPE = GPTConfig(vocabulary=40, context=16, layers=2, channels=32, heads=2)
# torch loads the second when it makes its first optimiser.
SLOW_TO_LOAD = ["course_lib.train", "torch._dynamo", "course_lib.fast_gpt"]
KINDS = {
    "AdamW": (GPT, TrainConfig(80, 4, 16, rate=3e-3, warmup=5, every=4)),
    "Muon": (
        fast_gpt.FastGPT,
        TrainConfig(80, 4, 16, rate=1e-2, muon=0.02, warmup=5, every=4),
    ),
    "in parts": (GPT, TrainConfig(80, 4, 16, warmup=5, every=4, accumulate=2)),
}


def text(length: int = 2_000, seed: int = 0) -> torch.Tensor:
    """Ids that can be learnt in part: each is the one before plus 1, 2 or 3."""
    steps = torch.randint(1, 4, (length,), generator=generator(seed))
    return steps.cumsum(0) % SHAPE.vocabulary


TRAIN_IDS, VAL_IDS = text(), text(300, seed=1)


def new(make=GPT, seed: int = 0) -> nn.Module:
    """A fresh small model: the same seed gives the same weights."""
    return make(SHAPE, generator=generator(seed))


class Slow(GPT):
    """Tells by a file that it reads batch number `at`, and takes its time from then on."""

    def __init__(self, at: int, told: Path, seconds: float):
        super().__init__(SHAPE, generator=generator(0))
        self.at, self.told, self.seconds, self.batches = at, told, seconds, 0

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        self.batches += self.training
        if self.batches >= self.at and self.training:
            self.told.touch()
            time.sleep(self.seconds)
        return super().forward(ids)


def keep(model: nn.Module, history, folder: Path) -> None:
    """Write down how a run ended."""
    weights = {n: w.detach().clone() for n, w in model.named_parameters()}
    save_file(weights, folder / "end.safetensors")
    record = {"losses": history.losses, "validation": history.validation}
    (folder / "end.json").write_text(json.dumps(record))


def whole_run(kind: str, folder: Path, resume: bool = False) -> None:
    """One process's life: train to the end, and write down how it ended."""
    torch.set_num_threads(1)
    make, config = KINDS[kind]
    model = new(make)
    history = train(
        model, TRAIN_IDS, VAL_IDS, config, "cpu", folder, resume=resume, bar=False
    )
    keep(model, history, folder)


def slow_run(folder: Path, at: int, seconds: float) -> None:
    """A life that is slow from one step on; exit status 130 after a Ctrl-C."""
    torch.set_num_threads(1)
    config = replace(KINDS["AdamW"][1], every=20)
    model = Slow(at, folder.with_suffix(".told"), seconds)
    try:
        train(model, TRAIN_IDS, VAL_IDS, config, "cpu", folder, bar=False)
    except KeyboardInterrupt:
        os._exit(130)


def start(task, *args) -> multiprocessing.Process:
    """Run a function of this file in a process of its own, with torch loaded before."""
    there = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if there else "spawn")
    if there:
        context.set_forkserver_preload(SLOW_TO_LOAD)
    # daemon: a test that fails leaves nobody running
    process = context.Process(target=task, args=args, daemon=True)
    process.start()
    return process


# Under torchrun -----------------------------------------------------------------------


def team_run(name: str, folder: Path, shard: bool = False) -> None:
    """One run of a team of processes; the first writes down how it ended."""
    model, config = new(), TEAM[name]
    history = train(
        model, TRAIN_IDS, VAL_IDS, config, "cpu", folder / name, bar=False, shard=shard
    )
    if int(os.environ["RANK"]) == 0:
        record = {"losses": history.losses, "validation": history.validation}
        (folder / name / "end.json").write_text(json.dumps(record))


TEAM = {
    "plain": TrainConfig(12, 8, 16, rate=3e-3, warmup=3, every=6),
    "parts": TrainConfig(12, 8, 16, rate=3e-3, warmup=3, every=6, accumulate=2),
    "shard": TrainConfig(12, 8, 16, rate=3e-3, warmup=3, every=6),
}


def uneven() -> str:
    """What training says of a batch that the team can't share out."""
    try:
        train(new(), TRAIN_IDS, VAL_IDS, TrainConfig(4, 3, 16), "cpu", bar=False)
    except ValueError as error:
        return str(error)
    return "nothing"


def gradients(folder: Path) -> None:
    """Each process's gradients of one batch, averaged by DDP."""
    team, _ = distributed.init(torch.device("cpu"))
    model = new()
    forward = distributed.data_parallel(model, team)
    rows = team.rows(TRAIN_IDS[: 8 * 17].view(8, 17))  # (B / count, T + 1)
    logits = forward(rows[:, :-1])
    nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).backward()
    slopes = {name: weight.grad for name, weight in model.named_parameters()}
    save_file(slopes, folder / f"gradients-{team.rank}.safetensors")


def ring(folder: Path) -> None:
    """The sum of a tensor of each process, by hand; five numbers are no multiple of two."""
    team, _ = distributed.init(torch.device("cpu"))
    own = torch.arange(5.0).view(1, 5) + 10 * team.rank
    values = {"sum": distributed.ring(own, team), "own": own}
    save_file(values, folder / f"ring-{team.rank}.safetensors")


def all_of_a_team(folder: Path) -> None:
    """What torchrun starts: everything that two processes are asked, in one go."""
    torch.set_num_threads(1)
    gradients(folder)
    ring(folder)
    for name in TEAM:
        team_run(name, folder, shard=name == "shard")
    (folder / f"uneven-{os.environ['RANK']}.txt").write_text(uneven())
    distributed.destroy()


if __name__ == "__main__":
    import sys

    all_of_a_team(Path(sys.argv[1]))
