"""Pictures of many chips: what limits one, what each holds, how a ring adds."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import NullLocator

from course_lib.figures.style import (
    BEHIND,
    EMPTY,
    EXTRA,
    GROUND,
    KEY,
    MLP,
    MUTED,
    QUERY,
    TEXT,
    VALUE,
    blank,
    card,
    filled,
    plain,
)

HOLDS = (KEY, EXTRA, MLP, VALUE)  # a colour for each part of what is held


def roofline(
    chips: dict[str, tuple[float, float]],
    points: dict[str, tuple[float, float]],
    title: str = "",
) -> Axes:
    """What limits a chip: its memory on the left, its arithmetic on the right.

    chips: name → (operations a second, bytes a second); the last one's roof is bright.
    points: name → (operations a byte, operations a second), as measured. Both axes are
    logarithmic.
    """
    axis = card(8.0, 4.2, title, left=0.9, bottom=0.62)
    low, high = 0.05, 4096.0
    x = np.geomspace(low, high, 200)
    for i, (name, (peak, bandwidth)) in enumerate(chips.items()):
        last = i + 1 == len(chips)
        look = {"color": KEY if last else MUTED, "linewidth": 2.4 if last else 1.2}
        axis.plot(x, np.minimum(peak, x * bandwidth), **look)
        style = {"color": look["color"], "fontsize": 9, "va": "center", "bbox": BEHIND}
        axis.text(high * 1.15, peak, plain(name), clip_on=False, **style)
    for i, (name, (across, up)) in enumerate(points.items()):
        look = {"marker": "osD^vP*X"[i % 8], "markersize": 7, "linestyle": ""}
        axis.plot([across], [up], color=QUERY, zorder=4, label=plain(name), **look)
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xlim(low, high)
    ticks = [0.1, 1, 10, 100, 1000]
    axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axis.xaxis.set_minor_locator(NullLocator())
    bottom = min([up for _, up in points.values()] + [1e9]) / 2
    top = 2 * max(peak for peak, _ in chips.values())
    axis.set_ylim(bottom, top)
    powers = np.arange(np.ceil(np.log10(bottom)), np.log10(top))
    axis.set_yticks(10**powers, [_rate(10**power) for power in powers])
    axis.yaxis.set_minor_locator(NullLocator())
    axis.grid(color=EMPTY, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.set_xlabel("operations for each byte from memory")
    axis.set_ylabel("operations a second")
    box = axis.get_position()
    axis.set_position([box.x0, box.y0, box.width - 0.11, box.height])
    look = {"frameon": False, "fontsize": 8.5, "labelcolor": TEXT, "borderpad": 0.2}
    if points:
        axis.legend(loc="upper left", handletextpad=0.2, **look)
    return axis


def _rate(number: float) -> str:
    """1e9 → "1 G", 1e14 → "100 T"."""
    for size, letter in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:g} {letter}"
    return f"{number:g}"


def holdings(rows: dict[str, dict[str, float]], unit: str, title: str = "") -> Axes:
    """What each of some holders has, as bars cut into the same parts from left to right.

    rows: name → part → amount; the whole stands at a bar's end, in `unit`.
    """
    left = 0.4 + 0.095 * max(map(len, rows))  # inches
    axis = card(8.0, 1.2 + 0.42 * len(rows), title, left=left, bottom=0.1)
    most = max(sum(parts.values()) for parts in rows.values()) or 1.0
    names = list(next(iter(rows.values())))
    for place, parts in enumerate(rows.values()):
        start = 0.0
        for name, amount in parts.items():
            colour = HOLDS[names.index(name) % len(HOLDS)]
            axis.barh(place, amount, 0.7, start, color=colour, edgecolor=GROUND)
            if amount > most / 14:
                style = {"ha": "center", "va": "center", "fontsize": 9, "color": GROUND}
                axis.text(start + amount / 2, place, _amount(amount), **style)
            start += amount
        style = {"color": TEXT, "fontsize": 10, "va": "center"}
        axis.text(start + most * 0.012, place, f"{_amount(start)} {unit}", **style)
    axis.set_yticks(range(len(rows)), map(plain, rows), fontsize=10, color=TEXT)
    axis.set_xticks([])
    axis.set_xlim(0, most * 1.17)
    axis.set_ylim(len(rows) - 0.5, -1.1)
    at = 0.0
    for name, colour in zip(names, HOLDS * len(names)):
        axis.barh(-0.8, most * 0.02, 0.3, at, color=colour)
        style = {"color": TEXT, "fontsize": 9, "va": "center"}
        axis.text(at + most * 0.028, -0.8, plain(name), **style)
        at += most * (0.06 + 0.017 * len(name))
    return axis


def _amount(number: float) -> str:
    """A number in few digits, large ones with commas."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def ring(sums: Sequence[Sequence[int]], sends: Sequence[int], title: str = "") -> Axes:
    """Ranks side by side, each with its pieces: of how many ranks each is the sum.

    sums: rank → place → a whole number. sends: the place of the piece that each rank
    sends next, to the right; the last rank sends to the first. None sent: an empty list.
    """
    count = len(sums)
    axis = blank(card(8.0, 0.95 + 0.42 * count, title))
    step, wide, tall = 1.5, 0.86, 0.34
    for rank, pieces in enumerate(sums):
        style = {"ha": "center", "va": "center", "fontsize": 9.5, "color": MUTED}
        axis.text(step * rank + wide / 2, -0.25, f"rank {rank}", **style)
        for place, number in enumerate(pieces):
            goes = bool(sends) and sends[rank] == place
            look = {"facecolor": filled(number / count), "linewidth": 1.8}
            look["edgecolor"] = QUERY if goes else EMPTY
            corner = (step * rank, 0.42 * place)
            axis.add_patch(Rectangle(corner, wide, tall, **look))
            told = f"sum of {number}" if number > 1 else "its own"
            style |= {"color": TEXT, "fontsize": 8.5}
            axis.text(step * rank + wide / 2, 0.42 * place + tall / 2, told, **style)
    for rank, place in enumerate(sends):
        y = 0.42 * place + tall / 2
        line = {"color": QUERY, "linewidth": 1.6, "mutation_scale": 11}
        line |= {"shrinkA": 0, "shrinkB": 0, "arrowstyle": "-|>", "clip_on": False}
        start = step * rank + wide + 0.03
        reach = step - wide - 0.06 if rank + 1 < count else 0.36
        axis.add_patch(FancyArrowPatch((start, y), (start + reach, y), **line))
        if rank + 1 == count:
            axis.text(
                start + 0.4, y, "to rank 0", color=QUERY, fontsize=8.5, va="center"
            )
    axis.set_xlim(-0.05, step * count + 0.1)
    axis.set_ylim(0.42 * count + 0.02, -0.5)
    return axis
