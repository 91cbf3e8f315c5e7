"""Pictures of amounts: lines, bars, shares of a whole."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from course_lib.figures.style import (
    BEHIND,
    DASHES,
    DIM,
    DPI,
    EMPTY,
    EXTRA,
    GROUND,
    KEY,
    MLP,
    MONO,
    MUTED,
    PARTS,
    QUERY,
    SANS,
    SERIES,
    TEXT,
    VALUE,
    blank,
    card,
    drawable,
    plain,
    shortened,
    spread,
    visible,
)

MOST_MARKS = 40  # points up to which each point of a line has a dot
OF_KINDS = {"embedding": TEXT, "unembedding": TEXT, "query": QUERY, "key": KEY}
OF_KINDS |= {"value": VALUE, "output": EXTRA, "up": MLP, "down": MLP}  # of matrices


def curves(
    series: dict[str, tuple[Sequence[float], Sequence[float]]],
    across: str,
    up: str,
    title: str = "",
    reference: tuple[float, str] | None = None,
    log: bool = False,
    zero: bool = True,
    below: str = "",
    marks: bool | None = None,
) -> Axes:
    """Lines, each named at its right end; reference is a level with its name.

    below: a few lines of text under the picture, such as what a model writes. marks: a
    dot at each point, to tell what was measured from the line between; None draws them
    on lines of at most 40 points.
    """
    lines = textwrap.wrap(visible(below).replace(visible(" "), " "), 92)[:6]
    room = 0.25 * len(lines) + 0.15 if lines else 0.0
    axis = card(8.0, 3.4 + room, title, left=0.8, bottom=0.6 + room)
    style = {"color": TEXT, "fontsize": 9, "family": MONO, "va": "bottom"}
    for i, line in enumerate(reversed(lines)):
        up_to = (0.12 + 0.25 * i) / (3.4 + room)
        axis.figure.text(0.025, up_to, plain(line), **style)
    for i, (x, y) in enumerate(series.values()):
        look = {"color": SERIES[i % 5], "linestyle": DASHES[i % 5]}
        if len(x) <= MOST_MARKS if marks is None else marks:
            whole = bool(min(y) >= 0)  # a dot on the floor is drawn whole
            look |= {"marker": "o", "markersize": 4.5, "clip_on": not whole}
        axis.plot(x, y, linewidth=2.2, **look)
    if reference is not None:
        level, name = reference
        axis.axhline(level, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        gaps = [min(abs(y[end] - level) for _, y in series.values()) for end in (0, -1)]
        along, side = (0.01, "left") if gaps[0] >= gaps[1] else (0.8, "right")
        spot = {"xycoords": axis.get_yaxis_transform(), "ha": side, "va": "bottom"}
        spot |= {"xytext": (0, 3), "textcoords": "offset points", "bbox": BEHIND}
        axis.annotate(name, (along, level), color=MUTED, fontsize=9, **spot)
    if log:
        axis.set_xscale("log", base=2)
        axis.set_xticks(x, [f"{value:,}" for value in x])
        axis.minorticks_off()
    if zero:
        axis.set_ylim(bottom=0)
    axis.grid(axis="y", color=EMPTY, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.set_xlabel(across)
    axis.set_ylabel(up)
    axis.margins(x=0.02)
    if series:  # room at the right end for the names
        low, high = axis.get_xlim()
        wide = 0.012 * max(map(len, series))
        grown = high * (high / low) ** wide if log else high + (high - low) * wide
        axis.set_xlim(low, grown)
        _name_ends(axis, series)
    return axis


def _name_ends(axis: Axes, series: dict) -> None:
    """Write each line's name at its end, on ground of its own, none over another."""
    ends = [(float(x[-1]), float(y[-1])) for x, y in series.values()]
    heights = axis.transData.transform(ends)[:, 1] * 72 / DPI  # in points
    order, lifts = np.argsort(heights), np.zeros(len(ends))
    least = axis.bbox.y0 * 72 / DPI + 6
    for i in order:
        lifts[i] = max(least - heights[i], 0)
        least = heights[i] + lifts[i] + 12
    for i, (name, end) in enumerate(zip(series, ends)):
        style = {"xytext": (4, lifts[i]), "textcoords": "offset points", "bbox": BEHIND}
        axis.annotate(name, end, color=SERIES[i % 5], va="center", zorder=5, **style)


def powers(
    series: dict[str, tuple[Sequence[float], Sequence[float]]],
    across: str,
    up: str,
    title: str = "",
    points: dict[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    log_up: bool = True,
    mark: tuple[float, str] | None = None,
) -> Axes:
    """Lines over a logarithmic axis, each named at its right end, and named points.

    Ten times as much is one step to the right; with log_up, one step up as well. points
    are drawn as diamonds, those of the first name bright; of several with one name, the
    last is named. mark: an amount across, and its name, drawn as a dotted line. Lines of
    at most 40 points have a dot at each.
    """
    axis = card(8.0, 4.0, title, left=0.85, bottom=0.6)
    for i, (x, y) in enumerate(series.values()):
        look = {"color": SERIES[i % 5], "linestyle": DASHES[i % 5], "linewidth": 2.2}
        if len(x) <= MOST_MARKS:
            look |= {"marker": "o", "markersize": 4.5}
        axis.plot(x, y, **look)
    for i, (x, y) in enumerate((points or {}).values()):
        look = {"color": TEXT if i == 0 else MUTED, "marker": "D", "zorder": 6}
        spots = (np.atleast_1d(x), np.atleast_1d(y))
        axis.plot(*spots, markersize=8.5 if i == 0 else 6, linestyle="", **look)
    axis.set_xscale("log")
    if log_up:
        axis.set_yscale("log")
    axis.margins(x=0.03, y=0.08)
    last = {name: _last(*spot) for name, spot in (points or {}).items()}
    ends = [(name, x[-1]) for name, (x, _) in series.items()]
    ends += [(name, x) for name, (x, _) in last.items()]
    axis.set_xlim(right=_room(axis.get_xlim(), ends))
    _ticks(axis.xaxis, axis.get_xlim())
    if log_up:
        _ticks(axis.yaxis, axis.get_ylim())
    axis.grid(color=EMPTY, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.set_xlabel(across)
    axis.set_ylabel(up)
    if mark is not None:
        axis.axvline(mark[0], color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        style = {"color": MUTED, "fontsize": 9, "va": "top", "bbox": BEHIND}
        style |= {"transform": axis.get_xaxis_transform()}
        axis.text(mark[0], 0.99, f" {plain(mark[1])}", **style)
    _name_points(axis, last)
    if series:
        _name_ends(axis, series)
    return axis


def _last(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """The last of some points, or the only one."""
    return float(np.atleast_1d(x)[-1]), float(np.atleast_1d(y)[-1])


def _room(limits: tuple[float, float], ends: list[tuple[str, float]]) -> float:
    """How far a logarithmic axis must go for names that begin at their ends."""
    low, high = np.log10(limits)
    for name, end in ends:
        share = min(0.02 + 0.0125 * len(name), 0.8)  # of the width
        high = max(high, low + (np.log10(end) - low) / (1 - share))
    return 10.0**high


def _ticks(axis, limits: tuple[float, float]) -> None:
    """Whole powers of ten, or 1, 2, 5 of each where few would be seen."""
    low, high = np.log10(limits)
    first, last = int(np.floor(low)), int(np.ceil(high))
    few = high - low < 2.2
    step = 1 + int((last - first) / 9)
    places = [
        part * 10.0**power
        for power in range(first, last + 1, step)
        for part in ((1, 2, 5) if few else (1,))
    ]
    inside = [place for place in places if limits[0] <= place <= limits[1]]
    axis.set_ticks(inside, [_amount(place) for place in inside])
    axis.set_ticks([], minor=True)


def _amount(amount: float) -> str:
    """A number for a tick: 0.01, 50, "20 k", "1 B"; powers of ten from 10¹⁵ on."""
    if amount >= 1e15:
        power = f"{amount:.0e}".replace("+", "").split("e")
        raised = str(int(power[1])).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"10{raised}" if power[0] == "1" else f"{power[0]}·10{raised}"
    return _short(amount)


def _name_points(axis: Axes, points: dict[str, tuple[float, float]]) -> None:
    """Write each point's name beside it, on the side and height that is free."""
    if not points:
        return
    flat = np.array(list(points.values()), float)
    for i, (name, place) in enumerate(zip(points, spread(flat, list(points), axis))):
        style = {"color": TEXT if i == 0 else MUTED, "fontsize": 9.5, "va": "center"}
        axis.text(*place, plain(name), zorder=7, bbox=BEHIND, **style)


def dots(
    series: dict[str, Sequence[float]],
    across: str,
    up: str,
    title: str = "",
    levels: dict[str, float] | None = None,
) -> Axes:
    """Amounts at 0, 1, 2 … that no line should join: a shape and a colour a series.

    levels: name → a height, drawn dotted, each in the colour of the series of its rank.
    """
    axis = card(8.0, 3.4, title, left=0.8, bottom=0.6)
    for i, (name, values) in enumerate(series.items()):
        look = {"color": SERIES[i % 5], "marker": "os^Dv"[i % 5], "label": plain(name)}
        look["markersize"] = 9 - 3 * min(i, 1)  # the first shows behind another
        axis.plot(range(len(values)), values, linestyle="", clip_on=False, **look)
    for i, (name, level) in enumerate((levels or {}).items()):
        colour, place = SERIES[i % 5], axis.get_yaxis_transform()
        axis.axhline(level, color=colour, linewidth=1, linestyle=(0, (2, 3)))
        style = {"color": colour, "fontsize": 9, "va": "bottom", "ha": "right"}
        style |= {"bbox": BEHIND, "transform": place}
        axis.text(0.995, level, plain(name), **style)
    count = max(map(len, series.values()))
    axis.set_xlim(-0.7, count * 1.12 if levels else count - 0.3)  # room for names
    axis.set_ylim(bottom=0)
    axis.grid(axis="y", color=EMPTY, linewidth=0.8)
    axis.set_axisbelow(True)
    axis.set_xlabel(across)
    axis.set_ylabel(up)
    look = {"frameon": False, "fontsize": 9, "labelcolor": TEXT, "borderpad": 0}
    # Beside the name of the axis: above, a long title would meet it.
    place = {"loc": "upper right", "bbox_to_anchor": (1, -0.14), "ncols": len(series)}
    axis.legend(**look, **place)
    return axis


def bars(
    labels: Sequence[str],
    values: Sequence[float],
    title: str = "",
    bright: int | Sequence[int] | None = None,
) -> Axes:
    """Named amounts as bars from zero; bright: the place or places the title is about.

    A negative place counts from the end. Without any, all are alike.
    """
    left = 0.4 + 0.095 * max(map(len, labels))  # inches
    axis = card(8.0, 0.7 + 0.34 * len(labels), title, left=left, bottom=0.1)
    places = np.arange(len(labels))
    lit = places if bright is None else places[np.atleast_1d(bright).astype(int)]
    colours = [KEY if place in lit else DIM for place in places]
    axis.barh(places, values, color=colours, height=0.66)
    axis.set_yticks(places, map(plain, labels), fontsize=10, color=TEXT)
    axis.set_xticks([])
    axis.set_xlim(0, max(*values, 1e-6) * 1.14)
    axis.invert_yaxis()
    for place, value in zip(places, values, strict=True):
        style = {"color": TEXT, "fontsize": 10, "va": "center"}
        told = f" {value:.2f}" if value < 100 else f" {value:,.0f}"
        axis.annotate(told, (value, place), **style)
    return axis


def histogram(
    series: dict[str, np.ndarray],
    across: str,
    title: str = "",
    bins: int = 60,
    limits: tuple[float, float] | None = None,
) -> Axes:
    """How often each value comes up, as a share of all: a filled outline a series."""
    axis = card(8.0, 2.9, title, left=0.3, bottom=0.6)
    every = np.concatenate([np.ravel(values) for values in series.values()])
    edges = np.linspace(*(limits or (every.min(), every.max())), bins + 1)
    for i, (name, values) in enumerate(series.items()):
        counts = np.histogram(values, edges)[0] / np.size(values)
        look = {"color": SERIES[i % 5], "linestyle": DASHES[i % 5], "linewidth": 2}
        axis.stairs(counts, edges, label=name, **look)
        axis.stairs(counts, edges, fill=True, alpha=0.18, color=SERIES[i % 5])
    axis.set_yticks([])
    axis.set_ylim(bottom=0)
    axis.set_xlabel(across)
    axis.legend(frameon=False, fontsize=9, labelcolor=TEXT)
    return axis


def tree_map(amounts: dict[str, float], title: str = "") -> Axes:
    """Amounts as areas: the largest first, each named with its share."""
    axis = blank(card(8.0, 4.5, title))
    slivers = []
    whole = sum(amounts.values()) or 1.0
    order = sorted(amounts, key=amounts.get, reverse=True)
    placed = _tiles([amounts[name] / whole for name in order], 0, 0, 7.6, 3.6)
    for name, (x, y, wide, tall) in zip(order, placed):
        colour = OF_KINDS.get(name, MUTED)
        look = {"facecolor": f"{colour}38", "edgecolor": colour, "linewidth": 1.4}
        inside = (max(wide - 0.05, 0.004), max(tall - 0.05, 0.004))
        axis.add_patch(Rectangle((x + 0.025, y + 0.025), *inside, **look))
        style = {"ha": "center", "va": "center", "color": TEXT}
        share = amounts[name] / whole
        if wide > 0.9 and tall > 0.5:
            axis.text(x + wide / 2, y + tall / 2 - 0.12, name, fontsize=11, **style)
            told = f"{_short(amounts[name])} · {share:.1%}"
            axis.text(x + wide / 2, y + tall / 2 + 0.14, told, fontsize=9, **style)
        elif wide > 0.3 and tall > 0.6:
            told = f"{name} {share:.1%}"
            turn = {"rotation": 90, "fontsize": 8.5}
            axis.text(x + wide / 2, y + tall / 2, told, **turn, **style)
        else:
            slivers.append(f"{name} {_short(amounts[name])} · {share:.2%}")
    if slivers:
        told = "too small to name above: " + ", ".join(slivers)
        axis.text(7.58, 3.72, told, color=MUTED, fontsize=9, ha="right", va="center")
    axis.set_xlim(0, 7.6)
    axis.set_ylim(3.85, 0)
    return axis


def _tiles(
    shares: Sequence[float], x: float, y: float, wide: float, tall: float
) -> list:
    """Cut a rectangle into parts of these shares, largest first: (x, y, width, height).

    Halves the list where its sum is nearest to one half, along the longer side.
    """
    if len(shares) == 1:
        return [(x, y, wide, tall)]
    sums = np.cumsum(shares)
    cut = int(np.argmin(np.abs(sums[:-1] - sums[-1] / 2))) + 1
    part = float(sums[cut - 1] / sums[-1]) if sums[-1] else 0.5
    if wide >= tall:
        first = (x, y, wide * part, tall)
        second = (x + wide * part, y, wide * (1 - part), tall)
    else:
        first = (x, y, wide, tall * part)
        second = (x, y + tall * part, wide, tall * (1 - part))
    return _tiles(shares[:cut], *first) + _tiles(shares[cut:], *second)


def _short(amount: float) -> str:
    """A large number in few letters: 14495514624 → "14.5 B"."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if amount >= size:
            return f"{amount / size:.3g} {letter}"
    return f"{amount:.3g}"


def outcomes(
    counts: dict[str, Sequence[int]],
    names: Sequence[str],
    notes: Sequence[str],
    title: str = "",
) -> Axes:
    """A bar for each row, cut into parts from left to right; a few words at its end.

    Counts are whole numbers, one for each name; a part too narrow for its number goes
    without. The parts differ in brightness and, in the legend, in order.
    """
    rows = len(counts)
    axis = card(10.0, 1.15 + 0.42 * max(1, rows), title, left=2.0, bottom=0.15)
    most = max([1, *(sum(parts) for parts in counts.values())])
    for row, (parts, note) in enumerate(zip(counts.values(), notes, strict=True)):
        start = 0
        for part, colour in zip(parts, PARTS, strict=True):
            axis.barh(row, part, 0.7, start, color=colour, edgecolor=GROUND)
            if part > most / 40:
                ink = GROUND if colour in PARTS[:2] else TEXT
                place = {"ha": "center", "va": "center", "fontsize": 9}
                axis.text(start + part / 2, row, f"{part}", color=ink, **place)
            start += part
        words = plain(drawable(shortened(note, 44), SANS))
        axis.text(most * 1.02, row, words, color=MUTED, fontsize=9, va="center")
    axis.set_yticks(range(rows), [plain(name) for name in counts])
    axis.set_xticks([])
    axis.set_xlim(0, most * 1.55)
    axis.set_ylim(rows - 0.5, -1.1)
    place = 0.0
    for name, colour in zip(names, PARTS, strict=True):
        axis.barh(-0.85, most * 0.02, 0.3, place, color=colour)
        axis.text(
            place + most * 0.028, -0.85, name, color=TEXT, fontsize=9, va="center"
        )
        place += most * (0.075 + 0.0175 * len(name))
    axis.text(
        most * 1.02, -0.85, "most frequent mistake", color=TEXT, fontsize=9, va="center"
    )
    return axis
