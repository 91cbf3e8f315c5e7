"""Pictures of the machine: the GPT whole, and what happens inside a part.

Distances are in inches, so that a picture can be built like a plan.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path

from course_lib.figures.style import (
    BORDER,
    DIM,
    EMPTY,
    GROUND,
    KEY,
    MLP,
    MONO,
    MUTED,
    SANS,
    SERIES,
    SIGNED,
    TEXT,
    blank,
    card,
    drawable,
    plain,
    shortened,
    visible,
)

# The machine ----------------------------------------------------------------------

LINE, NORM, PART = 0.0, 0.66, 1.3  # heights of the stream, of the norms, of the parts
READS = ("The", " sky", " is")
WRITES = {" blue": 1.0, " clear": 0.55, " so": 0.25}  # a sketch, not measured
BLOCK = (1.98, -0.28, 3.3, 2.1)  # left, bottom, width, height
BOXES = {  # what each is called, where its middle is, how wide, how high
    "embedding": [(0.56, LINE, 1.02, 0.4)],
    "positions": [(1.5, NORM, 0.84, 0.36)],
    "norm": [(2.62, NORM, 0.62, 0.34), (4.2, NORM, 0.62, 0.34)],
    "attention": [(2.62, PART, 0.92, 0.42)],
    "mlp": [(4.2, PART, 0.92, 0.42)],
    "final norm": [(5.73, LINE, 0.54, 0.5)],
    "unembedding": [(6.86, LINE, 1.26, 0.4)],
    "softmax": [(6.86, NORM, 0.84, 0.36)],
}
SAID = {"mlp": "MLP", "final norm": "final\nnorm"}
HUES = {"attention": KEY, "mlp": MLP, "next token": KEY}  # the others are neutral
MACHINE = ("tokens", *BOXES, "next token", "residual stream", "block")
BRANCHES = {"attention": (2.62, 3.42), "mlp": (4.2, 5.0)}  # leaves the line, comes back


def machine(lit: Sequence[str] = (), title: str = "") -> Axes:
    """The GPT, whole: one line from the embedding to the unembedding, and its parts.

    The line is the residual stream. A part reads it through its norm and adds, at a +,
    what it found; this is repeated L times. lit: names from MACHINE, whose parts are
    bright while the others are dim; "block" is a norm, attention, a norm and an MLP.
    Without any, all are alike. Raises ValueError for another name.
    """
    bright = _lit(lit)
    axis = blank(card(8.0, 2.89 + (0.3 if title else 0), title))
    axis.set_xlim(0, 7.6)
    axis.set_ylim(-0.38, 2.11)
    _block(axis, bright)
    _stream(axis, bright)
    for name, places in BOXES.items():
        for place in places:
            _part(axis, name, place, bright)
    _tokens(axis, bright)
    _next_token(axis, bright)
    return axis


def _lit(names: Sequence[str]) -> set[str] | None:
    """The parts to be bright; None when there are none, and all are alike."""
    names = [names] if isinstance(names, str) else list(names)
    unknown = [name for name in names if name not in MACHINE]
    if unknown:
        raise ValueError(
            f"The machine has no part {unknown[0]!r}. Its parts are: "
            f"{', '.join(MACHINE)}."
        )
    whole = ("norm", "attention", "mlp") if "block" in names else ()
    return {*names, *whole} or None


def _shades(name: str, bright: set[str] | None) -> tuple[str, str, str]:
    """A part's ground, edge and letters: bright, dim, or like all others."""
    colour = HUES.get(name, TEXT)
    if bright is None:
        return f"{colour}30", colour, TEXT
    return (colour, colour, GROUND) if name in bright else (EMPTY, BORDER, MUTED)


def _part(axis: Axes, name: str, place: tuple, bright: set[str] | None) -> None:
    """A part as a named box; what lies behind it doesn't shine through."""
    x, y, wide, tall = place
    ground, edge, letters = _shades(name, bright)
    shape = (x - wide / 2, y - tall / 2), wide, tall
    round_ = {"boxstyle": "round,pad=0,rounding_size=0.07", "zorder": 4}
    axis.add_patch(FancyBboxPatch(*shape, facecolor=GROUND, edgecolor="none", **round_))
    look = {"facecolor": ground, "edgecolor": edge, "linewidth": 1.5}
    axis.add_patch(FancyBboxPatch(*shape, **look, **round_))
    weight = "bold" if letters == GROUND else "normal"
    style = {"fontsize": 10, "fontweight": weight, "linespacing": 1.05, "zorder": 5}
    text = SAID.get(name, name)
    axis.text(x, y - 0.01, text, color=letters, ha="center", va="center", **style)


def _block(axis: Axes, bright: set[str] | None) -> None:
    """The frame of a block, and behind it others: there are L of them."""
    x, y, wide, tall = BLOCK
    lit = bright is not None and "block" in bright
    edge = TEXT if lit else MUTED if bright is None else BORDER
    round_ = {"boxstyle": "round,pad=0,rounding_size=0.12", "zorder": 0}
    for back in (2, 1, 0):
        corner = (x + 0.06 * back, y + 0.06 * back)
        look = {"facecolor": GROUND, "edgecolor": edge, "linewidth": 1.6 if lit else 1}
        look |= {"alpha": (1, 0.6, 0.35)[back]}
        axis.add_patch(FancyBboxPatch(corner, wide, tall, **look, **round_))
    style = {"color": TEXT if lit or bright is None else MUTED, "va": "center"}
    axis.text(x + 0.12, y + tall - 0.15, "block", fontsize=10, **style)
    style |= {"fontweight": "bold", "ha": "right"}
    axis.text(x + wide - 0.12, y + tall - 0.15, "× L", fontsize=11.5, **style)


def _stream(axis: Axes, bright: set[str] | None) -> None:
    """The line that all parts read and add to, and the ways there and back."""
    lit = bright is not None and "residual stream" in bright
    ends = (BOXES["embedding"][0][0], BOXES["unembedding"][0][0])
    line = {"solid_capstyle": "butt", "zorder": 2}
    axis.plot(ends, (LINE, LINE), color=TEXT, linewidth=6 if lit else 3.6, **line)
    middle = BOXES["mlp"][0][0]
    style = {"color": TEXT, "fontsize": 9.5, "ha": "center", "va": "center"}
    style |= {"fontweight": "bold" if lit else "normal"}
    axis.text(middle, -0.145, "residual stream", **style)
    for name, (start, end) in BRANCHES.items():
        colour = _way(name, bright)
        _arrow(axis, [(start, LINE + 0.04), (start, NORM - 0.17)], colour)
        _arrow(axis, [(start, NORM + 0.17), (start, PART - 0.21)], colour)
        back = [(start + 0.46, PART), (end, PART), (end, LINE + 0.14)]
        _arrow(axis, back, colour)
        _plus(axis, end, colour)
    colour = _way("positions", bright)
    x = BOXES["positions"][0][0]
    _arrow(axis, [(x, NORM - 0.18), (x, LINE + 0.14)], colour)
    _plus(axis, x, colour)
    x = BOXES["softmax"][0][0]
    _arrow(axis, [(x, LINE + 0.2), (x, NORM - 0.18)], _way("softmax", bright))


def _way(name: str, bright: set[str] | None) -> str:
    """The colour of the arrows to and from a part."""
    lit = bright is None or name in bright
    return HUES.get(name, TEXT) if lit else BORDER


def _arrow(axis: Axes, corners: Sequence[tuple], colour: str) -> None:
    """An arrow along straight lines, its corners rounded."""
    points, codes = [corners[0]], [Path.MOVETO]
    for before, corner, after in zip(corners, corners[1:], corners[2:]):
        points += [_towards(corner, before), corner, _towards(corner, after)]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    path = Path([*points, corners[-1]], [*codes, Path.LINETO])
    look = {"color": colour, "linewidth": 1.7, "capstyle": "butt"}
    look |= {"arrowstyle": "-|>,head_width=3,head_length=5", "mutation_scale": 1}
    axis.add_patch(FancyArrowPatch(path=path, zorder=3, joinstyle="miter", **look))


def _towards(corner: tuple, other: tuple, step: float = 0.1) -> tuple:
    """The point a step from a corner on the way to another."""
    (x, y), (x1, y1) = corner, other
    part = step / (abs(x1 - x) + abs(y1 - y))
    return x + (x1 - x) * part, y + (y1 - y) * part


def _plus(axis: Axes, x: float, colour: str) -> None:
    """Where something is added to the line."""
    look = {"facecolor": GROUND, "edgecolor": colour, "linewidth": 1.6, "zorder": 5}
    axis.add_patch(Circle((x, LINE), 0.13, **look))
    for ends in (((x - 0.07, x + 0.07), (LINE,) * 2), ((x,) * 2, (-0.07, 0.07))):
        axis.plot(*ends, color=TEXT, linewidth=1.6, zorder=6)


def _tokens(axis: Axes, bright: set[str] | None) -> None:
    """What the machine reads, at the end where the line begins."""
    ground, edge, letters = _shades("tokens", bright)
    x = BOXES["embedding"][0][0]
    name = TEXT if bright is None or "tokens" in bright else MUTED
    axis.text(x, 1.94, "tokens", color=name, fontsize=10, ha="center", va="center")
    for i, token in enumerate(map(visible, READS)):
        y, wide = 1.66 - 0.29 * i, 0.2 + 0.08 * len(token)
        box = Rectangle((x - wide / 2, y - 0.12), wide, 0.24, zorder=4)
        box.set(facecolor=ground, edgecolor=edge, linewidth=1)
        axis.add_patch(box)
        style = {"family": MONO, "fontsize": 9.2, "ha": "center", "va": "center"}
        axis.text(x, y, token, color=letters, zorder=5, **style)
    _arrow(axis, [(x, 0.93), (x, LINE + 0.2)], _way("tokens", bright))


def _next_token(axis: Axes, bright: set[str] | None) -> None:
    """What it says: probabilities of the next token, the likeliest on top."""
    lit = bright is None or "next token" in bright
    name = TEXT if lit else MUTED
    x = BOXES["softmax"][0][0]
    axis.text(x, 1.94, "next token", color=name, fontsize=10, ha="center", va="center")
    for i, (token, share) in enumerate(WRITES.items()):
        y = 1.66 - 0.26 * i
        style = {"family": MONO, "fontsize": 9.2, "ha": "right", "va": "center"}
        axis.text(x - 0.02, y, visible(token), color=name, **style)
        colour = (KEY if i == 0 else DIM) if lit else BORDER
        axis.add_patch(Rectangle((x + 0.06, y - 0.09), 0.6 * share, 0.18, color=colour))
    _arrow(axis, [(x, NORM + 0.18), (x, 1.0)], _way("next token", bright))


# An MLP -----------------------------------------------------------------------------

ROW = 0.46  # inches from neuron to neuron
UP, SWITCH, DOWN = (1.3, 2.7), 3.92, (4.76, 6.16)  # where strips and switches stand
MOST_CELLS = 6  # channels up to which the numbers in a strip are printed


def neurons(
    x: np.ndarray,
    up: np.ndarray,
    bias: np.ndarray,
    down: np.ndarray,
    questions: Sequence[str],
    answers: Sequence[str],
    title: str = "",
) -> Axes:
    """An MLP at work on one vector: each neuron a question, a switch (ReLU), an answer.

    x (C), up (M, C), bias (M), down (C, M), as relu(x @ up.T + bias) @ down.T has it. In
    a neuron's line stand a row of up, named by its question, its dot product with x plus
    the bias, what the switch lets through, and a column of down, laid flat and named by
    its answer; the sum of the answers stands below. What fires is bright. Raises
    ValueError for other shapes.
    """
    x, up, bias, down = (np.asarray(part, dtype=float) for part in (x, up, bias, down))
    count = len(questions)
    wanted = {"up": (count, x.size), "bias": (count,), "down": (x.size, count)}
    for (name, shape), part in zip(wanted.items(), (up, bias, down)):
        if part.shape != shape or len(answers) != count:
            raise ValueError(
                f"{count} questions and {len(answers)} answers on a vector of {x.size}: "
                f"{name} should have the shape {shape}, and has {part.shape}."
            )
    asked = up @ x  # (M)
    fires = np.maximum(asked + bias, 0)  # (M)
    lines = [ROW * (i + 1.7) for i in range(count + 1)]  # below x and the headings
    tall = lines[-1] + ROW
    axis = blank(card(8.0, tall + 0.4 + (0.3 if title else 0), title))
    axis.set_xlim(0, 7.6)
    axis.set_ylim(tall - ROW / 2, -ROW / 2)
    most = [float(np.abs(part).max(initial=0)) or 1.0 for part in (x, up, down)]
    _strip(axis, UP, 0, x, most[0])
    _beside(axis, UP[0] - 0.12, 0, "x", TEXT, "right")
    headings = {"rows of up": sum(UP) / 2, "· x + bias": SWITCH - 0.7}
    headings |= {"switch": SWITCH, "columns of down": sum(DOWN) / 2}
    for word, place in headings.items():
        _beside(axis, place, ROW * 0.98, word, MUTED, "center")
    for i, y in enumerate(lines[:-1]):
        alive = fires[i] > 0
        colour = TEXT if alive else MUTED
        _beside(axis, UP[0] - 0.12, y, shortened(questions[i]), colour, "right")
        _strip(axis, UP, y, up[i], most[1], alive)
        told = f"{_number(asked[i])} {_added(bias[i])}"
        _beside(axis, SWITCH - 0.3, y, told, colour, "right")
        _switch(axis, y, alive)
        _beside(axis, DOWN[0] - 0.08, y, f"{_number(fires[i])} ×", colour, "right")
        _strip(axis, DOWN, y, down[:, i], most[2], alive)
        _beside(axis, DOWN[1] + 0.12, y, shortened(answers[i]), colour, "left")
    y, said = lines[-1], down @ fires  # (C)
    axis.plot(DOWN, (y - ROW / 2,) * 2, color=MUTED, linewidth=1)
    _strip(axis, DOWN, y, said, float(np.abs(said).max(initial=0)) or 1.0)
    _beside(axis, DOWN[0] - 0.08, y, "+", TEXT, "right")
    _beside(axis, DOWN[1] + 0.12, y, "what it adds", TEXT, "left")
    return axis


def _strip(
    axis: Axes,
    ends: tuple[float, float],
    y: float,
    numbers: np.ndarray,
    most: float,
    alive: bool = True,
) -> None:
    """A vector as a strip of cells; its numbers are printed where there's room."""
    left, right = ends
    box = (left, right, y + 0.16, y - 0.16)
    look = {"cmap": SIGNED, "vmin": -most, "vmax": most, "aspect": "auto"}
    axis.imshow(numbers[None], extent=box, alpha=1.0 if alive else 0.4, **look)
    frame = {"fill": False, "edgecolor": MUTED if alive else BORDER, "linewidth": 0.9}
    axis.add_patch(Rectangle((left, y - 0.16), right - left, 0.32, **frame))
    if len(numbers) > MOST_CELLS:
        return
    wide = (right - left) / len(numbers)
    for i, number in enumerate(numbers):
        bright = alive and abs(number) > 0.72 * most
        colour = GROUND if bright else TEXT if alive else MUTED
        style = {"color": colour, "fontsize": min(9, 30 * wide)}
        centre = {"ha": "center", "va": "center"}
        axis.text(left + (i + 0.5) * wide, y, _number(number), **style, **centre)


def _beside(axis: Axes, x: float, y: float, text: str, colour: str, side: str) -> None:
    """A few words in a neuron's line."""
    style = {"color": colour, "fontsize": 9.5, "va": "center", "ha": side}
    axis.text(x, y, plain(drawable(text, SANS)), **style)


def _switch(axis: Axes, y: float, alive: bool) -> None:
    """The switch of a neuron: flat below zero, a slope above."""
    colour = MLP if alive else BORDER
    corner, size = (SWITCH - 0.19, y - 0.16), (0.38, 0.32)
    round_ = {"boxstyle": "round,pad=0,rounding_size=0.05", "linewidth": 1.3}
    look = {"facecolor": f"{MLP}40" if alive else GROUND, "edgecolor": colour}
    axis.add_patch(FancyBboxPatch(corner, *size, **look, **round_))
    bend = (SWITCH - 0.13, SWITCH - 0.01, SWITCH + 0.12), (y + 0.08, y + 0.08, y - 0.09)
    axis.plot(*bend, color=TEXT if alive else MUTED, linewidth=1.6)


def _number(number: float) -> str:
    """A number in few letters, with a real minus and never "-0"."""
    return f"{number + 0.0:.2g}".replace("-", "−") if abs(number) > 1e-6 else "0"


def _added(number: float) -> str:
    """A number that is added: "+ 0.5", or "− 0.5"."""
    return f"{'−' if number < 0 else '+'} {_number(abs(number))}"


# The heads of attention ---------------------------------------------------------------


def heads(values: np.ndarray, heads: int, title: str = "") -> Axes:
    """How channels are shared out: values (T, C) left, right a (T, D) for each head.

    Every channel has the colour of the head it goes to, and every number is found again
    on the right. On the left a frame holds a position, on the right it holds a head.
    Raises ValueError if the channels can't be shared out evenly.
    """
    values = np.asarray(values, dtype=float)
    count, channels = values.shape
    if heads < 1 or channels % heads:
        raise ValueError(
            f"{channels} channels can't be split into {heads} heads: choose numbers "
            "that divide without a rest."
        )
    size, gap, between = channels // heads, 0.5, 2.2  # in cells
    whole = 2 * channels + gap * (heads - 1) + between
    cell = min(0.46, 6.7 / whole)  # inches
    axis = blank(card(8.0, 1.25 + cell * count + (0.3 if title else 0), title))
    left = 0.75 / cell  # room for the names of the rows
    for head in range(heads):
        hue, part = SERIES[head % 5], slice(head * size, (head + 1) * size)
        right = left + channels + between + head * (size + gap)
        for x in (left + head * size, right):
            _channels(axis, x, values[:, part], hue, cell)
            style = {"color": hue, "fontsize": 9.5, "ha": "center", "va": "center"}
            name = f"head {head}" if size * cell > 0.55 else f"{head}"
            axis.text(x + size / 2, -0.2 / cell, name, **style)
        _frame(axis, right, 0, size, count)
    for row in range(count):
        _frame(axis, left, row, channels, 1)
        style = {"color": MUTED, "fontsize": 9, "ha": "right", "va": "center"}
        axis.text(left - 0.1 / cell, row + 0.5, f"position {row}", **style)
    style = {"color": TEXT, "fontsize": 14, "ha": "center", "va": "center"}
    axis.text(left + channels + between / 2, count / 2, "→", **style)
    style |= {"color": MUTED, "fontsize": 9}
    wide = channels + gap * (heads - 1)
    told = {left + channels / 2: f"(T, C) = ({count}, {channels})"}
    told[left + channels + between + wide / 2] = (
        f"(H, T, D) = ({heads}, {count}, {size})"
    )
    for x, shape in told.items():
        axis.text(x, count + 0.24 / cell, shape, **style)
    spare = (7.6 / cell - left - whole) / 2
    axis.set_xlim(-spare, 7.6 / cell - spare)
    axis.set_ylim(count + 0.45 / cell, -0.4 / cell)
    return axis


def _channels(axis: Axes, x: float, part: np.ndarray, hue: str, cell: float) -> None:
    """The channels of one head, (T, D), as cells in its colour."""
    for (row, column), number in np.ndenumerate(part):
        look = {"facecolor": f"{hue}40", "edgecolor": GROUND, "linewidth": 1}
        axis.add_patch(Rectangle((x + column, row), 1, 1, **look))
        if cell >= 0.28:
            style = {"color": TEXT, "fontsize": min(9.5, 24 * cell)}
            centre = {"ha": "center", "va": "center"}
            place = (x + column + 0.5, row + 0.5)
            axis.text(*place, _number(number), **style, **centre)


def _frame(axis: Axes, x: float, y: float, wide: float, tall: float) -> None:
    look = {"fill": False, "edgecolor": TEXT, "linewidth": 1.3, "zorder": 3}
    axis.add_patch(Rectangle((x + 0.03, y + 0.04), wide - 0.06, tall - 0.08, **look))
