"""Pictures of the machine: the GPT whole, and what happens inside a part.

Distances are in inches, so that a picture can be built like a plan.
"""

from collections.abc import Sequence

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
    TEXT,
    blank,
    card,
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
