"""The machine view as a picture: a tile for every part of every layer."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Curve

from course_lib.figures.style import (
    BORDER,
    DIM,
    EMPTY,
    KEY,
    MONO,
    MUTED,
    QUERY,
    SANS,
    TEXT,
    VALUE,
    blank,
    card,
    drawable,
    plain,
    shortened,
)  # fmt: skip

LEFT, SPACE = 0.62, 2.75  # inches: where the streams begin, and their room
TILES, ROOM, WORDS = 3.6, 2.2, 6.0  # where the tiles begin, their room; the words


def tiles(
    tokens: Sequence[str],
    heads: np.ndarray,
    mlps: np.ndarray,
    words: Sequence[str],
    chances: Sequence[float],
    part: tuple[int, int],
    looks: Sequence[float],
    title: str = "",
) -> Axes:
    """What every head (L, H) and every MLP (L) adds: rows are layers, the first at the
    bottom.

    tokens (T) run up as lines, their residual streams. words and chances (L+1) are what
    would come next after each layer. part, a (layer, head), is framed, and looks (T) are
    drawn from each token's line to the last one's.
    """
    layers = len(heads)
    row = min(0.34, max(0.16, 4.8 / layers))
    letters = max(map(len, tokens))
    foot = 0.12 + 0.068 * letters  # of the tokens' names, which stand upright
    height = 0.25 + row * (layers + 1) + foot + (0.7 if title else 0.4)
    axis = blank(card(8.0, height, title))
    axis.set_xlim(0, 7.6)
    axis.set_ylim(-row - foot, layers * row + 0.25)
    small = {"fontsize": 8, "family": SANS, "va": "center", "color": MUTED}
    top = layers * row + 0.12
    for x, text in (
        (LEFT, "residual stream of each token"), (TILES, "heads"), (WORDS, "would say next"),
    ):  # fmt: skip
        axis.text(x, top, text, **small)
    _streams(axis, tokens, row, layers)
    _parts(axis, heads, mlps, row, part)
    _looks(axis, tokens, looks, part[0], row)
    for n in range(0, layers, 1 if row > 0.2 else 2):
        axis.text(LEFT - 0.2, (n + 0.5) * row, n, ha="right", **small)
    axis.text(0, top, "layer", **small)
    axis.text(TILES, -row / 2, "the embedding alone", **small)
    for n, (word, p) in enumerate(zip(words, chances)):
        low = (n - 1) * row
        box = (WORDS, low + 0.02), 1.6 * p, row - 0.04
        axis.add_artist(Rectangle(*box, color=DIM, lw=0))
        text = plain(shortened(drawable(word), 13))
        style = small | {"color": TEXT, "family": MONO}
        axis.text(WORDS + 0.04, low + row / 2, text, **style)
        if p >= 0.005:
            style = small | {"color": TEXT, "ha": "right"}
            axis.text(7.58, low + row / 2, f"{100 * p:.0f} %", **style)
    return axis


def _place(i: int, count: int) -> float:
    """Where a token's line stands."""
    return LEFT + min(0.5, SPACE / count) * (i + 0.5)


def _streams(axis: Axes, tokens: Sequence[str], row: float, layers: int) -> None:
    """A line for each token, its name below; the last one predicts."""
    count = len(tokens)
    for i, token in enumerate(tokens):
        x, last = _place(i, count), i == count - 1
        look = {"color": TEXT if last else BORDER, "lw": 2 if last else 1, "zorder": 1}
        axis.plot([x, x], [-row, layers * row], **look)
        style = {"fontsize": 8, "family": MONO, "rotation": 90}
        style |= {"ha": "center", "va": "top", "color": TEXT if last else MUTED}
        axis.text(x, -row - 0.08, plain(drawable(token)), **style)


def _parts(
    axis: Axes, heads: np.ndarray, mlps: np.ndarray, row: float, part: tuple
) -> None:
    """The tiles: blue adds, orange with a minus takes away."""
    layers, count = heads.shape
    wide = min(0.44, ROOM / (count + 1))
    values = np.concatenate([heads, mlps[:, None]], 1)  # (L, H+1)
    most = max(float(np.abs(values).max()), 1e-9)
    grounds, lit, shades = [], [], []
    for (n, k), value in np.ndenumerate(values):
        x = TILES + wide * k + (0.04 if k == count else 0)
        box = (x + 0.01, n * row + 0.01), wide - 0.02, row - 0.02
        grounds.append(Rectangle(*box))
        strength = (abs(value) / most) ** 0.5
        lit.append(Rectangle(*box))
        shades.append((VALUE if value < 0 else KEY, strength))
        if value < 0 and strength > 0.3:
            middle = x + wide / 2, (n + 0.5) * row
            dash = [middle[0] - 0.04, middle[0] + 0.04], [middle[1]] * 2
            axis.plot(*dash, color=TEXT, lw=1, zorder=4)
        if (n, k) == tuple(part):
            edge = {"fill": False, "edgecolor": QUERY, "lw": 1.6, "zorder": 5}
            axis.add_artist(Rectangle(*box, **edge))
    plain_look = {"linewidths": 0}
    axis.add_collection(PatchCollection(grounds, facecolors=EMPTY, **plain_look))
    axis.add_collection(PatchCollection(lit, facecolors=shades, zorder=3, **plain_look))
    x = TILES + wide * (count + 1) + 0.04
    style = {"fontsize": 8, "va": "center", "ha": "right", "color": MUTED}
    axis.text(x, layers * row + 0.12, "MLP", **style)


def _looks(
    axis: Axes, tokens: Sequence[str], looks: Sequence[float], layer: int, row: float
) -> None:
    """Where the framed head looks: from each token's line to the last one's."""
    end, y = _place(len(tokens) - 1, len(tokens)), (layer + 0.5) * row
    for i, weight in enumerate(looks):
        if weight < 0.02:
            continue
        x = _place(i, len(tokens))
        points = [(x, y - row), (x, y), (x, y), (end, y)]
        curve = Curve(points, [Curve.MOVETO] + [Curve.CURVE4] * 3)
        look = {"edgecolor": QUERY, "alpha": 0.35 + 0.65 * weight, "zorder": 6}
        patch = PathPatch(curve, fill=False, lw=1 + 4 * weight, **look)
        axis.add_artist(patch)
    axis.plot([end], [y], "o", color=KEY, ms=6, zorder=7)
