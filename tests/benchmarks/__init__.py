"""Benchmarks: how long the course takes beside other libraries.

Times differ from machine to machine and from minute to minute, so nothing here asserts
one. Ours and its peers run in turn, and what counts is the ratio within a round.
"""

import gc
import statistics
import time
from collections.abc import Callable

from tqdm import tqdm

RUNS = 5  # rounds of each measurement, if it says nothing else


class Failed(Exception):
    """A benchmark can't go on; the text says why, and what to do."""


def seconds(
    task: Callable[[], object], now: Callable[[], float] = time.perf_counter
) -> float:
    """How long one call takes by a clock; earlier garbage is collected first."""
    gc.collect()
    start = now()
    task()
    return now() - start


def bar(total: int, about: str) -> tqdm:
    """A progress bar that leaves nothing behind, and is off where no one looks."""
    return tqdm(total=total, desc=about, leave=False, delay=1, disable=None)


def alternating(
    makers: dict[str, Callable[[], Callable]], about: str, runs: int = RUNS
) -> dict[str, list[float]]:
    """Seconds of each task, one run of each a round, so that noise hits them all.

    Every maker returns the function to time; the making is not timed.
    """
    times = {name: [] for name in makers}
    with bar(runs * len(makers), about) as progress:
        for _ in range(runs):
            for name, make in makers.items():
                times[name].append(seconds(make()))
                progress.update()
    return times


def clock(time: float) -> str:
    """Seconds for people: clock(0.0123) → "12.3 ms"."""
    return f"{time:.2f} s" if time >= 1 else f"{1000 * time:.1f} ms"


def ratio(ours: list[float], peer: list[float]) -> str:
    """How ours does beside a peer: median of the rounds' ratios, and their range."""
    every = sorted(theirs / mine for mine, theirs in zip(ours, peer))
    faster = statistics.median(every) >= 1
    every = every if faster else [1 / one for one in reversed(every)]
    low, middle, high = every[0], statistics.median(every), every[-1]
    word = "faster" if faster else "slower"
    return f"{middle:.3g} times {word} ({low:.3g}–{high:.3g})"


def show(times: dict[str, list[float]], size: float = 0, unit: str = "MB") -> None:
    """Print a line for each task; the first is ours, the others are its peers.

    size is how much one run gets through, in units: it adds a column of units a second.
    """
    ours = next(iter(times.values()))
    for name, taken in times.items():
        middle = statistics.median(taken)
        line = f"  {name:<28}{clock(middle):>10}"
        line += f"   {clock(min(taken))}–{clock(max(taken))}".ljust(24)
        line += f"{size / middle:8.3g} {unit}/s" if size else ""
        line += "" if taken is ours else f"   ours: {ratio(ours, taken)}"
        print(line.rstrip(), flush=True)
