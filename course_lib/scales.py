"""One dial for every size: how large a model, how long a run, and how long that takes.

It is set by what the machine has. Built in lesson 08, which turns it; so does
`python -m course_lib train --scale`. What comes out of `minutes` is an estimate: operations
over operations a second, and no run on the machine it speaks of.

L layers, C channels.
"""

import os
import statistics
import time
from dataclasses import dataclass

import torch

from course_lib import devices, scaling
from course_lib.gpt import GPTConfig
from course_lib.train import TrainConfig


@dataclass(frozen=True)
class Scale:
    """A size for everything."""

    name: str
    memory: float  # GiB that a GPU should have for it; 0: any machine
    layers: int  # L of the model in a lesson; it has 32 channels a layer
    times: int  # how many times as many steps, and windows in each, a lesson takes
    shape: GPTConfig  # what `train` trains; the vocabulary is that of the text
    run: TrainConfig  # and how


# From small to large. A larger model gets a lower rate: 1/C, as in a lesson.
EVERY = (
    Scale(
        "tiny", 0, 2, 1,
        GPTConfig(1, 64, 2, 64, 2),
        TrainConfig(steps=300, batch=12, context=64, rate=3e-3, every=50),
    ),
    Scale(
        "cpu", 0, 4, 1,
        GPTConfig(1, 128, 4, 128, 4),
        TrainConfig(steps=2_000, batch=16, context=128, rate=1e-3),
    ),
    Scale(
        "t4", 14, 6, 2,
        GPTConfig(1, 256, 6, 384, 6),
        TrainConfig(steps=5_000, batch=64, context=256, rate=1e-3, every=250),
    ),
    Scale(
        "a100", 38, 8, 3,
        GPTConfig(1, 1_024, 12, 768, 12),
        TrainConfig(steps=20_000, batch=64, context=1_024, rate=6e-4, every=500),
    ),
    Scale(
        "h100", 75, 10, 4,
        GPTConfig(1, 1_024, 24, 1_024, 16),
        TrainConfig(steps=40_000, batch=32, context=1_024, rate=3e-4, every=500),
    ),
)  # fmt: skip
SCALES = {scale.name: scale for scale in EVERY}
LESSONS = EVERY[1:]  # below these the checks of a lesson don't hold


def best(at: torch.device) -> Scale:
    """The largest scale that a device has the memory for; `COURSE_SCALE` overrides.

    Raises ValueError if COURSE_SCALE names no scale that lessons run at.
    """
    wanted = os.environ.get("COURSE_SCALE")
    if wanted:
        return named(wanted)
    room = devices.memory(at) / 2**30
    return [scale for scale in LESSONS if scale.memory <= room][-1]


def named(wanted: str) -> Scale:
    """The scale of that name, of those that lessons run at; else ValueError."""
    names = [scale.name for scale in LESSONS]
    if wanted not in names:
        raise ValueError(
            f"COURSE_SCALE is {wanted!r}: choose one of {', '.join(names)}, or unset it."
        )
    return SCALES[wanted]


# How long it takes -------------------------------------------------------------------

# Sums a second in 16 bits at best: NVIDIA's data sheets of the T4, the A100 and the H100
# SXM, without the doubling for sparse matrices.
PEAK = {"t4": 65e12, "a100": 312e12, "h100": 989e12}
# Of what large products reach, the share that training reaches: 0.41 to 0.44 of a CPU's
# time for three small models. For GPUs it is a guess.
USE = 0.4
# Seconds a step and layer that a GPU waits to be told what to do: about a hundred small
# operations, and some ten millionths of a second each.
TOLD = 100 * 10e-6


def operations(shape: GPTConfig, run: TrainConfig) -> float:
    """The operations of a whole training: a backward pass takes twice a forward's."""
    tokens = run.steps * run.batch * run.context
    return scaling.operations(shape, run.context, tokens)


def throughput(at: torch.device) -> float:
    """Sums a second in large matrix products on this device, measured in a moment."""
    size, seconds = 512, 0.0
    while seconds < 5e-3 and size < 16_384:  # a small one keeps a large chip waiting
        size *= 2
        seconds = product(size, at)
    return 2 * size**3 / seconds


def product(size: int, at: torch.device) -> float:
    """Seconds that a product of two matrices takes, in the precision of training."""
    chance = devices.generator(0, at)
    x = torch.randn(size, size, generator=chance, device=at).to(devices.precision(at))
    runs = []
    for _ in range(7):
        start = time.perf_counter()
        (x @ x)[0, 0].item()  # to read a number is to wait for it
        runs.append(time.perf_counter() - start)
    return statistics.median(runs)  # other programs slow a training down as well


def minutes(shape: GPTConfig, run: TrainConfig, speed: float, told: float = 0) -> float:
    """An estimate of how long a training takes, without its looks at unseen text.

    speed: operations a second in large products. told: seconds a step and layer that a GPU
    waits for its orders, at least; a CPU gives them to itself.
    """
    step = operations(shape, run) / run.steps / (USE * speed)
    return run.steps * max(step, told * shape.layers) / 60


def here(shape: GPTConfig, run: TrainConfig, at: torch.device) -> float:
    """The same, on a device of this machine: its speed is measured."""
    return minutes(shape, run, throughput(at), TOLD if at.type != "cpu" else 0)


def on(name: str, shape: GPTConfig, run: TrainConfig) -> float:
    """The same, on the GPU that a scale is named after: its speed is the maker's."""
    return minutes(shape, run, PEAK[name], TOLD)
