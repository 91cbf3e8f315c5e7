"""Thousands of GPUs on paper: seconds a step, what links carry, use, stops, checkpoints.

Every number here comes from a formula; nobody has run it. Built in lesson 14.
Sources: Narayanan et al. 2021 (training time, pipelines); Chowdhery et al. 2022,
appendix B (MFU); Patarasuk & Yuan 2009 (ring); Young 1974 and Daly 2006 (checkpoints).
"""

import math
from dataclasses import dataclass

DAY = 24 * 60 * 60  # seconds


@dataclass(frozen=True)
class Chip:
    """What its maker says of a chip."""

    year: int
    peak: float  # operations a second in 16 bits, without the doubling for sparse ones
    bandwidth: float  # bytes a second from its memory
    memory: float  # bytes
    source: str


# NVIDIA's data sheets, as they stood in 2026.
CHIPS = {
    "T4": Chip(2018, 65e12, 320e9, 16e9, "T4 data sheet"),
    "A100": Chip(2020, 312e12, 1_555e9, 40e9, "A100 data sheet, 40 GB SXM"),
    "H100": Chip(2022, 989e12, 3_350e9, 80e9, "H100 data sheet, SXM"),
    "B200": Chip(2024, 2_250e12, 7_700e9, 180e9, "HGX B200 data sheet"),
}
INSIDE = 450e9  # bytes a second each way between the H100s of one server (NVLink 4)
BETWEEN = 50e9  # the same between servers: one link of 400 Gbit/s for each GPU


def roof(intensity: float, peak: float, bandwidth: float) -> float:
    """The most operations a second that a chip can do, at so many operations a byte."""
    return min(peak, intensity * bandwidth)


def step_seconds(
    weights: float, tokens: float, count: int, peak: float, use: float
) -> float:
    """Seconds that `count` chips compute for a step of so many tokens.

    6 operations for each weight and token; `use` is the share of its peak that a chip
    reaches.
    """
    return 6 * weights * tokens / (count * use * peak)


def ring_seconds(size: float, count: int, link: float) -> float:
    """Seconds of an all-reduce of `size` bytes in a ring of `count`, by its links alone."""
    return 2 * (count - 1) / count * size / link


def ring_sums(count: int, steps: int) -> tuple[list[list[int]], list[int]]:
    """Of how many ranks each piece is the sum after some steps of a ring: rank → place.

    And the place of the piece that each rank sends next; an empty list after the last of
    the 2 (count − 1) steps.
    """
    sums, last = [[1] * count for _ in range(count)], 2 * (count - 1)
    for step in range(min(steps, last)):
        for rank in range(count):
            place, after = (rank - step) % count, (rank + 1) % count
            kept = sums[after][place] if step < count - 1 else 0
            sums[after][place] = kept + sums[rank][place]
    sends = [(rank - steps) % count for rank in range(count)] if steps < last else []
    return sums, sends


def bubble(stages: int, parts: int) -> float:
    """The share of a step in which a pipeline's stage waits, for a batch in so many parts."""
    return (stages - 1) / (stages - 1 + parts)


def days(operations: float, rate: float) -> float:
    """Days for so many operations, at a rate in operations a second."""
    return operations / rate / DAY


def mfu(
    tokens_per_second: float,
    weights: float,
    layers: int,
    width: int,
    context: int,
    peak: float,
) -> float:
    """The share of the chips' peak that a training's own operations take: from 0 to 1.

    6 operations for each weight and token, and for attention 12 · layers · width ·
    context a token; width: the channels of all heads together. peak: of all chips
    together, in operations a second.
    """
    each_token = 6 * weights + 12 * layers * width * context
    return tokens_per_second * each_token / peak


def stretch(every: float, cost: float, between: float, restart: float) -> float:
    """Seconds that a second of training takes, with stops and with checkpoints.

    A checkpoint after each `every` seconds takes `cost`; stops come at random, one in
    `between` seconds on average, lose what came after the last checkpoint, and take
    `restart`. (Daly 2006, equation 13; exact for stops without a memory.)
    """
    return (between + restart) * math.expm1((every + cost) / between) / every


def best_interval(cost: float, between: float) -> float:
    """Seconds between checkpoints at which least is lost, nearly (Young 1974)."""
    return math.sqrt(2 * cost * between)
