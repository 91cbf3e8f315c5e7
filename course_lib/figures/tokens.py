"""Pictures of tokens: what comes next, how a text is cut, what may be drawn."""

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from course_lib.figures.style import (
    DIM,
    EMPTY,
    GROUND,
    KEY,
    MONO,
    MUTED,
    QUERY,
    TEXT,
    blank,
    card,
    drawable,
    filled,
    plain,
    shades_key,
    shortened,
    visible,
)

MOST_TOKENS = 160  # a strip with more would be neither read nor drawn in time


def next_token_bars(
    tokens: Sequence[str | bytes], probabilities: Sequence[float], title: str = ""
) -> Axes:
    """The likeliest next tokens as bars on a scale from 0 to 1, the first one bright.

    Behind each bar stands the whole, so that 0.18 looks like little.
    """
    rows = len(tokens)
    labels = [visible(token) for token in tokens]
    left = 0.4 + 0.092 * max(map(len, labels))  # inches: a letter is 0.088 wide
    axis = card(8.0, 0.85 + 0.3 * rows, title, left=min(left, 4.0), bottom=0.28)
    places = np.arange(rows)
    colours = [KEY] + [DIM] * (rows - 1)
    axis.barh(places, probabilities, color=colours, height=0.68, zorder=2)
    axis.barh(places, 1, color=EMPTY, height=0.68, zorder=1)
    names = [plain(label) for label in labels]
    axis.set_yticks(places, names, family=MONO, fontsize=10.5, color=TEXT)
    axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axis.set_xlim(0, 1.1)  # beyond the whole, room for the number of a sure one
    axis.set_ylim(rows - 0.5, -0.5)
    for place, p in zip(places, probabilities, strict=True):
        style = {"color": TEXT if place == 0 else MUTED, "fontsize": 10}
        axis.annotate(f" {p:.3f}", (p, place), va="center", **style)
    return axis


def token_strip(
    rows: Sequence[Sequence[str | bytes]],
    labels: Sequence[str] = (),
    title: str = "",
    strength: Sequence | None = None,
    columns: int = 96,
    key: str = "",
    ends: tuple[str, str] = ("0", "1"),
) -> Axes:
    """Texts cut into boxed tokens, a row of lines for each text.

    strength (0 to 1, a number a token, for the first row or a list for each) sets how
    brightly a box is filled; without it, neighbours differ in shade so that every
    boundary shows. key: what brightness means, such as "probability", written under the
    strip beside the shades; ends: what the darkest and the brightest shade stand for.
    """
    placed, line = [], 0
    marks, shades = [], strength if strength is not None else []
    if len(shades) and np.ndim(shades[0]) == 0:
        shades = [shades]
    for i, row in enumerate(rows):
        marks.append(line)
        column = 0.0
        for j, token in enumerate(row[:MOST_TOKENS]):
            text = visible(token)
            if column and column + len(text) + 0.9 > columns:
                column, line = 0.0, line + 1
            shade = shades[i][j] if i < len(shades) else None
            placed.append((column, line, text[: columns - 2], j, shade))
            column += len(text) + 0.9
        if len(row) > MOST_TOKENS:
            more = f"… {len(row) - MOST_TOKENS:,} more"
            placed.append((column, line, more, None, None))
        line += 2 if labels and i + 1 < len(rows) else 1
    top = 0.62 if labels else 0
    below = 0.34 if key else 0.0  # inches
    height = 0.42 + (0.3 if title else 0) + 0.31 * (line + top) + below
    axis = blank(card(8.0, height, title, bottom=0.2 + below))
    if key:
        shades_key(axis, key, ends)
    axis.set_xlim(-0.3, columns + 0.3)
    axis.set_ylim(line - 0.35, -0.55 - top)
    for place, label in zip(marks, labels):
        axis.text(-0.2, place - 0.72, label, color=MUTED, fontsize=9, va="center")
    _boxes(axis, [box for box in placed if box[3] is not None])
    for column, y, text, *_ in placed:
        style = {"family": MONO, "fontsize": 9.2, "va": "center"}
        axis.text(column + 0.3, y, plain(text), color=TEXT, **style)
    return axis


def _boxes(axis: Axes, placed: list[tuple]) -> None:
    """The tokens' boxes, drawn all at once: one by one takes four times as long."""
    corners, fills = [], []
    for x, y, text, order, shade in placed:
        right, low, high = x + len(text) + 0.6, y - 0.4, y + 0.4
        corners.append([(x, low), (right, low), (right, high), (x, high)])
        plain_fill = ("#24455C", "#3A3F4A")[order % 2]
        fills.append(plain_fill if shade is None else filled(shade))
    axis.add_collection(
        PolyCollection(corners, facecolors=fills, linewidths=0), autolim=False
    )


def ruler(
    tokens: Sequence[str | bytes],
    probabilities: Sequence[float],
    points: Sequence[float] = (),
    title: str = "",
) -> Axes:
    """Probabilities laid end to end on a line of length one, and points upon it."""
    axis = blank(card(8.0, 1.8, title))
    ends = np.cumsum(probabilities)
    for i, (token, end) in enumerate(zip(tokens, ends, strict=True)):
        start = end - probabilities[i]
        fill = ("#24455C", "#3A3F4A")[i % 2]
        axis.add_patch(Rectangle((start, 0), end - start, 1, color=fill, linewidth=0))
        text = plain(visible(token))
        if probabilities[i] > 0.0125 * len(text) + 0.01:
            style = {"ha": "center", "va": "center", "family": MONO, "fontsize": 9}
            axis.text((start + end) / 2, 0.5, text, color=TEXT, **style)
    look = {"color": QUERY, "markersize": 8, "markeredgecolor": GROUND}
    axis.plot(points, np.full(len(points), 1.28), "v", **look)
    axis.text(0, -0.42, "0", color=MUTED, fontsize=9, ha="center", va="center")
    axis.text(1, -0.42, "1", color=MUTED, fontsize=9, ha="center", va="center")
    axis.set_xlim(-0.01, 1.01)
    axis.set_ylim(-0.7, 1.6)
    return axis


def tree(
    words: Sequence[str | bytes],
    probabilities: Sequence[float],
    parents: Sequence[int | None],
    title: str = "",
    bright: Sequence[int] = (),
) -> Axes:
    """Continuations of a text, from left to right: a branch is as wide as it is likely.

    For each word its probability after those before it, and its parent's place in the
    list, None for a word right after the text; parents come first. At each end stands
    the probability of the whole path. bright: the places of branches to point at.
    """
    whole, column = [], []  # a path's probability; how many words are before
    for p, parent in zip(probabilities, parents, strict=True):
        whole.append(p if parent is None else p * whole[parent])
        column.append(0 if parent is None else column[parent] + 1)
    ends = [i for i in range(len(words)) if i not in set(parents)]
    line = _tree_lines(parents)
    axis = blank(card(8.0, 0.7 + 0.225 * max(len(ends), 2), title, left=0.3))
    across = 6.2 / (max(column, default=0) + 1)  # inches from word to word
    room = int((across - 0.9) / 0.076)  # letters that fit
    names = [shortened(visible(word), room) for word in words]
    root = [y for y, parent in zip(line, parents) if parent is None] or [0.0]
    middle = (root[0] + root[-1]) / 2
    for i in sorted(range(len(words)), key=lambda i: i in bright):
        parent = parents[i]
        start = (0.06, middle)
        if parent is not None:
            right = across * column[parent] + 0.92 + 0.076 * len(names[parent]) + 0.42
            start = (right, line[parent])
        end = (across * column[i] + 0.86, line[i])
        width = max(11 * whole[i] / (max(whole) or 1.0), 0.7)
        _branch(axis, start, end, width, QUERY if i in bright else DIM)
    for i, name in enumerate(names):
        x, y = across * column[i] + 0.92, line[i]
        colour = QUERY if i in bright else TEXT
        style = {"family": MONO, "fontsize": 9, "va": "center", "zorder": 3}
        style |= {"bbox": {"facecolor": GROUND, "edgecolor": "none", "pad": 1.5}}
        axis.text(x, y, plain(name), color=colour, **style)
        style = {"color": MUTED, "fontsize": 8, "va": "center", "zorder": 3}
        axis.text(x + 0.076 * len(name) + 0.08, y, _chance(probabilities[i]), **style)
        if i in ends:
            style |= {"color": QUERY if i in bright else MUTED, "ha": "right"}
            axis.text(7.5, y, f"= {_chance(whole[i], 4)}", **style)
    axis.plot(0.06, middle, "o", color=TEXT, markersize=5)
    axis.set_xlim(0, 7.5)
    axis.set_ylim(len(ends) - 0.4, -0.6)
    return axis


def _tree_lines(parents: Sequence[int | None]) -> list[float]:
    """The row of each branch: ends one below the other, others amid their children."""
    rows, free = [0.0] * len(parents), iter(range(len(parents)))

    def place(branch: int | None) -> float:
        below = [place(i) for i, parent in enumerate(parents) if parent == branch]
        row = (below[0] + below[-1]) / 2 if below else float(next(free))
        if branch is not None:
            rows[branch] = row
        return row

    place(None)
    return rows


def _branch(axis: Axes, start: tuple, end: tuple, width: float, colour: str) -> None:
    """A soft line between two points, level at both ends."""
    middle = (start[0] + end[0]) / 2
    points = [start, (middle, start[1]), (middle, end[1]), end]
    path = Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])
    look = {"fill": False, "edgecolor": colour, "linewidth": width}
    axis.add_patch(PathPatch(path, capstyle="butt", **look))


def _chance(p: float, digits: int = 2) -> str:
    """A probability in few letters: 0.4091 → "0.41"; what would be 0 is "< 0.01"."""
    least = 10.0**-digits
    return f"{p:.{digits}f}" if p >= least / 2 or p == 0 else f"< {least:.{digits}f}"


def dialled(
    tokens: Sequence[str | bytes],
    before: Sequence[float],
    after: Sequence[float],
    title: str = "",
) -> Axes:
    """Probabilities before and after a dial: outlines, and bars; a token cut off is dim.

    after is 0 for a token that can't be drawn any more.
    """
    rows = len(tokens)
    labels = [visible(token) for token in tokens]
    left = 0.4 + 0.092 * max(map(len, labels))  # inches: a letter is 0.088 wide
    axis = card(8.0, 0.95 + 0.27 * rows, title, left=min(left, 4.0), bottom=0.35)
    places = np.arange(rows)
    outline = {"facecolor": "none", "edgecolor": TEXT, "linewidth": 0.9}
    axis.barh(places, after, color=KEY, height=0.62)
    axis.barh(places, before, height=0.62, linestyle=(0, (2, 2)), **outline)
    axis.set_yticks(
        places, [plain(label) for label in labels], family=MONO, fontsize=10
    )
    most = max(*before, *after, 1e-6)
    for place, label in enumerate(axis.get_yticklabels()):
        kept = after[place] > 0
        label.set_color(TEXT if kept else MUTED)
        told = f" {after[place]:.3f}" if kept else " out"
        end = max(before[place], after[place])
        style = {"color": TEXT if kept else MUTED, "fontsize": 9.5, "va": "center"}
        axis.annotate(told, (end, place), **style)
    axis.set_xticks([])
    axis.set_xlim(0, most * 1.12)
    axis.set_ylim(rows - 0.4, -0.6)
    told = "outline: what the model says · bar: what is drawn from"
    style = {"color": MUTED, "fontsize": 9, "va": "bottom"}
    axis.figure.text(0.2 / 8.0, 0.1 / (0.95 + 0.27 * rows), told, **style)
    return axis


MOST_LINES = 14  # of a text on a page


def pages(texts: dict[str, str], title: str = "", bright: int | None = None) -> Axes:
    """Texts to read, side by side, each with its name above it; at most three.

    bright: which one stands out, such as the one that was picked; None: all alike.
    """
    wide, letters = 7.6 / len(texts), int(7.6 / len(texts) / 0.081) - 4
    told = [_lines(text, letters) for text in texts.values()]
    tall = 0.21 * max(map(len, told)) + 0.55
    axis = blank(card(8.0, tall + 0.75, title))
    for i, (name, lines) in enumerate(zip(texts, told)):
        lit = bright is None or i == bright
        edge, ink = (KEY, TEXT) if i == bright else (EMPTY, TEXT if lit else MUTED)
        at = {"facecolor": EMPTY if lit else GROUND, "edgecolor": edge}
        box = Rectangle((i * wide + 0.06, 0.06), wide - 0.12, tall - 0.12, **at)
        box.set_linewidth(2.0 if i == bright else 1.0)
        axis.add_patch(box)
        style = {"family": MONO, "fontsize": 9, "va": "top"}
        left, top = i * wide + 0.18, tall - 0.16
        axis.text(left, top, plain(name), color=KEY if i == bright else MUTED, **style)
        words = plain("\n".join(lines))
        axis.text(left, top - 0.26, words, color=ink, linespacing=1.55, **style)
    axis.set_xlim(0, 7.6)
    axis.set_ylim(0, tall)
    return axis


def _lines(text: str, letters: int) -> list[str]:
    """A text cut into lines that fit a page; what is too much ends in "…"."""
    found = [
        line
        for part in text.split("\n")
        for line in textwrap.wrap(drawable(part), letters) or [""]
    ]
    while found and not found[-1]:
        found.pop()
    return found if len(found) <= MOST_LINES else [*found[: MOST_LINES - 1], "…"]
