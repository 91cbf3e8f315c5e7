"""Pictures of what is no text: words lined up, drawings, what a model looks at, sounds."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from course_lib.figures.style import (
    DIM,
    EMPTY,
    KEY,
    MONO,
    MUTED,
    QUERY,
    SANS,
    TEXT,
    blank,
    card,
    drawable,
    filled,
    plain,
    shades_key,
    visible,
)


def alignment(
    rows: Sequence[str],
    columns: Sequence[str],
    weights: np.ndarray,
    title: str = "",
    places: Sequence[int] = (),
) -> Axes:
    """Which word of a source each word of a target looks at: a dot's area is its weight.

    weights (rows, columns). places: for each row the column of the word that it
    translates, marked by a square; -1 where there is none. Raises ValueError for another
    shape.
    """
    share = np.asarray(weights, dtype=float)
    if share.shape != (len(rows), len(columns)):
        raise ValueError(
            f"{len(rows)} rows and {len(columns)} columns want weights of that shape; "
            f"these have {share.shape}. Choose one sentence, and one head or their mean."
        )
    cell = min(0.42, 5.6 / max(len(columns), 1))  # inches
    left = 0.3 + 0.085 * max(map(len, rows), default=0)
    above = 0.25 + 0.065 * max(map(len, columns), default=0)
    tall = cell * len(rows) + above + 0.55 + (0.3 if title else 0)
    axis = blank(card(8.0, tall, title))
    axis.set_xlim(-0.5 - left / cell, 7.6 / cell - left / cell - 0.5)
    axis.set_ylim(len(rows) - 0.5 + 0.35 / cell, -0.5 - above / cell)
    for i in range(len(rows)):
        axis.plot((-0.5, len(columns) - 0.5), (i, i), color=EMPTY, lw=1, zorder=0)
    y, x = np.indices(share.shape)
    areas = share.ravel() * (0.92 * cell * 72) ** 2  # points²
    axis.scatter(x.ravel(), y.ravel(), s=areas, color=KEY, linewidths=0, zorder=2)
    for row, place in enumerate(places):
        if place >= 0:
            corner = (place - 0.46, row - 0.46)
            look = {"fill": False, "edgecolor": QUERY, "linewidth": 1.3, "zorder": 3}
            axis.add_patch(Rectangle(corner, 0.92, 0.92, **look))
    style = {"family": MONO, "fontsize": 9.5}
    for i, word in enumerate(rows):
        where = {"color": QUERY, "ha": "right", "va": "center"}
        axis.text(-0.7, i, plain(visible(word)), **style, **where)
    for i, word in enumerate(columns):
        where = {"color": KEY, "ha": "left", "va": "bottom", "rotation": 45}
        where["rotation_mode"] = "anchor"
        axis.text(i, -0.62, plain(visible(word)), **style, **where)
    told = "area: weight" + ("   ·   square: the word it translates" if places else "")
    style = {"color": MUTED, "fontsize": 9, "va": "bottom"}
    axis.text(axis.get_xlim()[0], axis.get_ylim()[0], told, **style)
    return axis


def drawings(
    images: np.ndarray,
    labels: Sequence[str],
    title: str = "",
    right: Sequence[bool] = (),
    across: int = 8,
) -> Axes:
    """Small images (B, N, N) in rows, a label under each.

    right: for each whether its label is right; a wrong one is marked "✗" and dim.
    """
    count, down = len(images), -(-len(images) // across)
    cell = 7.6 / across  # inches
    axis = blank(card(8.0, down * (cell + 0.22) + 0.3 + 0.3 * bool(title), title))
    side, step = cell - 0.14, cell + 0.22
    for i in range(count):
        x, y = (i % across) * cell, (i // across) * step
        box = (x, x + side, y + side, y)
        axis.imshow(images[i], extent=box, cmap="gray", vmin=0, vmax=1, aspect="auto")
        frame = {"fill": False, "edgecolor": EMPTY, "linewidth": 1}
        axis.add_patch(Rectangle((x, y), side, side, **frame))
        good = not len(right) or bool(right[i])
        text = labels[i] if good else f"✗ {labels[i]}"
        style = {"color": TEXT if good else MUTED, "fontsize": 9, "va": "center"}
        axis.text(x + side / 2, y + side + 0.13, plain(text), ha="center", **style)
    axis.set_xlim(0, 7.6)
    axis.set_ylim(down * step, 0)
    return axis


def named(
    image: np.ndarray,
    probabilities: dict[str, float],
    looks: np.ndarray | None = None,
    title: str = "",
    cursor: tuple[int, int] | None = None,
) -> Axes:
    """An image (N, N), what a model says it is, and which of its patches it looks at.

    looks (rows, columns): a weight for every patch, drawn as a dot's area on the image.
    cursor: (row, column) of a pixel to be framed.
    """
    axis = blank(card(8.0, 3.5, title))
    axis.set_xlim(0, 7.6)
    axis.set_ylim(2.8, 0)
    tall, wide = image.shape
    size = 2.75 / tall  # inches of a pixel
    look = {"cmap": "gray", "vmin": -0.12, "vmax": 1.2, "aspect": "auto"}
    axis.imshow(image, extent=(0, size * wide, 2.75, 0), **look)
    if looks is not None:
        rows, columns = looks.shape
        step = (size * wide / columns, 2.75 / rows)
        for (row, column), weight in np.ndenumerate(looks):
            place = ((column + 0.5) * step[0], (row + 0.5) * step[1])
            area = float(weight) * (min(step) * 72) ** 2 * 2
            axis.scatter(*place, s=area, color=KEY, alpha=0.75, linewidths=0)
        lines = {"color": EMPTY, "linewidth": 0.8}
        axis.vlines(np.arange(columns + 1) * step[0], 0, 2.75, **lines)
        axis.hlines(np.arange(rows + 1) * step[1], 0, size * wide, **lines)
    if cursor is not None:
        corner = (cursor[1] * size, cursor[0] * size)
        frame = {"fill": False, "edgecolor": QUERY, "linewidth": 2}
        axis.add_patch(Rectangle(corner, size, size, **frame))
    best = max(probabilities, key=probabilities.get)
    left = size * wide + 1.2
    for i, (name, share) in enumerate(probabilities.items()):
        y = 0.3 + 0.5 * i
        colour = KEY if name == best else DIM
        box = (left, y - 0.15), max(share, 0.004) * (6.9 - left), 0.3
        axis.add_patch(Rectangle(*box, color=colour, linewidth=0))
        style = {
            "fontsize": 10,
            "va": "center",
            "color": TEXT if name == best else MUTED,
        }
        axis.text(left - 0.1, y, plain(name), ha="right", **style)
        axis.text(left + box[1] + 0.07, y, f"{share:.2f}", **style)
    if looks is not None:
        words = (
            "dots: how much the class token\nlooks at each patch, all heads together"
        )
        style = {"color": MUTED, "fontsize": 9, "va": "top", "linespacing": 1.4}
        axis.text(left - 0.8, 2.33, words, **style)
    return axis


def spectrogram(
    loudness: np.ndarray,
    seconds: float,
    hertz: float,
    title: str = "",
    words: Sequence[str] = (),
) -> Axes:
    """How loud each pitch (a row, the lowest first) is at each time (a column).

    loudness (F, S), from 0 to 1. seconds and hertz are where the axes end. words: what is
    written above, each with an equal share of the time.
    """
    above = 0.3 if words else 0.0
    height = 2.5 + above + 0.3 * bool(title)
    axis = card(8.0, height, title, left=0.75, bottom=0.75)
    shades = np.array([[filled(value) for value in row] for row in loudness])
    axis.imshow(
        shades, extent=(0, seconds, 0, hertz), origin="lower", aspect="auto",
    )  # fmt: skip
    axis.set_xlabel("seconds")
    axis.set_ylabel("pitch (Hz)")
    axis.set_xlim(0, seconds)
    axis.set_yticks(np.arange(250, hertz + 1, 250))
    axis.set_ylim(0, hertz * (1 + above / (height - 1.3)))
    step = seconds / max(len(words), 1)
    for i, word in enumerate(words):
        style = {"color": QUERY, "fontsize": 9.5, "ha": "center", "va": "bottom"}
        text = plain(drawable(word, SANS))
        axis.text((i + 0.5) * step, hertz * 1.02, text, family=MONO, **style)
        axis.axvline(i * step, color=EMPTY, linewidth=1)
    shades_key(axis, "loudness", ("low", "high"), left=0.75)
    return axis
