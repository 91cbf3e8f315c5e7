"""Pictures of matrices: attention, layers and heads, pixels and samples."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from course_lib.figures.style import (
    BEHIND,
    EMPTY,
    EXTRA,
    GROUND,
    KEY,
    MONO,
    MUTED,
    QUERY,
    SANS,
    SIGNED,
    TEXT,
    blank,
    card,
    filled,
    plain,
    shades_key,
    shortened,
    visible,
)

MOST_LOOKS = 40  # tokens in a grid of who looks at whom; more would be dust
MOST_NUMBERS = 12  # tokens up to which the weights in a grid are printed


def patches(image: np.ndarray, size: int, title: str = "") -> Axes:
    """An image (height, width) in grey, whole on the left, as spaced patches right."""
    axis = blank(card(8.0, 3.4, title))
    height, width = image.shape
    axis.imshow(image, extent=(0, width, height, 0), cmap="gray", vmin=0, vmax=1)
    gap, left = size / 4, width * 1.25
    for row in range(height // size):
        for column in range(width // size):
            part = image[row * size :, column * size :][:size, :size]
            x, y = left + column * (size + gap), row * (size + gap)
            y -= (height // size - 1) * gap / 2
            where = (x, x + size, y + size, y)
            axis.imshow(part, extent=where, cmap="gray", vmin=0, vmax=1)
    wide = left + (width // size) * (size + gap)
    tall = (height // size - 1) * gap / 2
    axis.set_xlim(-gap, wide)
    axis.set_ylim(height + tall + gap, -tall - gap)
    return axis


def chunks(wave: np.ndarray, size: int, title: str = "") -> Axes:
    """A sound (samples,) drawn as a line, its chunks in turn bright and dim."""
    axis = blank(card(8.0, 1.7, title))
    for i in range(len(wave) // size):
        part = np.arange(i * size, min((i + 1) * size + 1, len(wave)))
        axis.plot(part, wave[part], color=(KEY, EXTRA)[i % 2], linewidth=1.6)
        axis.axvline(i * size, color=EMPTY, linewidth=1)
    return axis


def attention_grid(
    tokens: Sequence[str | bytes], weights: Sequence[Sequence[float]], title: str = ""
) -> Axes:
    """Who looks at whom: the dot in row i, column j has weight i, j as its area.

    weights (T, T): row i is what position i looks at, as attention_weights gives it.
    The first 40 tokens are drawn; up to 12, weights from 0.10 on are printed, too.
    Raises ValueError if there isn't a row and a column for every token.
    """
    size, share = len(tokens), np.asarray(weights)
    if share.size != size**2:
        raise ValueError(
            f"{size} tokens want {size} × {size} weights; these have the shape "
            f"{share.shape}. Choose one layer and one head: patterns[0, 0]."
        )
    count = min(size, MOST_LOOKS)
    share = share.reshape(size, size)[:count, :count].clip(0, 1)
    labels = [shortened(visible(token)) for token in tokens[:count]]
    axis, cell = _cells(labels, title)
    rows, columns = np.tril_indices(count)
    later = np.triu_indices(count, 1)  # no position looks at a later one
    axis.scatter(later[1], later[0], s=(9 * cell) ** 2, color=EMPTY, marker="x")
    areas = share[rows, columns] * (0.94 * cell * 72) ** 2  # points²
    axis.scatter(columns, rows, s=areas, color=KEY, linewidths=0)
    if count <= MOST_NUMBERS:
        _number_dots(axis, share)
    return axis


def _cells(labels: list[str], title: str) -> tuple[Axes, float]:
    """An empty grid, queries named at its left and keys above; a cell's size, inches.

    A cell is one unit on both axes, so that dots are round and indices are places.
    """
    wide = 0.096 * max(map(len, labels), default=0)  # inches of the longest label
    cell = min(0.5, (7.4 - wide) / max(len(labels), 1))
    turn = 0 if wide < cell else 45 if len(labels) <= MOST_NUMBERS else 90
    above = 0.3 if turn == 0 else 0.2 + wide * np.sin(np.radians(turn))
    height = 0.75 + (0.3 if title else 0) + above + cell * len(labels)
    axis = blank(card(8.0, height, title))
    axis.set_xlim(-0.5 - (wide + 0.1) / cell, (7.5 - wide) / cell - 0.5)
    low = len(labels) - 0.5
    axis.set_ylim(low + 0.35 / cell, -0.5 - above / cell)
    style = {"family": MONO, "fontsize": min(10, 50 * cell)}
    gap = 0.08 / cell
    at_left = style | {"color": QUERY, "ha": "right", "va": "center"}
    on_top = style | {"color": KEY, "ha": "center", "va": "bottom", "rotation": turn}
    if turn == 45:
        on_top |= {"ha": "left", "rotation_mode": "anchor"}
    for i, label in enumerate(map(plain, labels)):
        axis.text(-0.5 - gap, i, label, **at_left)
        axis.text(i, -0.5 - gap, label, **on_top)
    words = {"row: looks": QUERY, "column: looked at": KEY, "area: weight": MUTED}
    for place, (word, colour) in zip((0, 0.9, 2.2), words.items()):
        x = axis.get_xlim()[0] + place / cell
        axis.text(x, low + 0.35 / cell, word, color=colour, fontsize=9, va="bottom")
    return axis, cell


def _number_dots(axis: Axes, share: np.ndarray) -> None:
    """Print the weights from 0.10 on: inside a dot, or below one that is too small."""
    for row, column in zip(*np.nonzero(np.tril(share) >= 0.1)):
        weight = share[row, column]
        inside = weight >= 0.3
        style = {"color": GROUND if inside else TEXT, "fontsize": 7.5, "ha": "center"}
        y = row if inside else row + 0.36
        axis.text(column, y, f"{weight:.2f}", va="center", **style)


def matrices(
    parts: dict[str, np.ndarray],
    signs: Sequence[str] = (),
    title: str = "",
    notes: dict[str, Sequence[str]] | None = None,
    same: Sequence[str] = (),
) -> Axes:
    """Matrices side by side, numbers visible, the shape under each.

    parts: name → (rows, columns). signs stand between them, such as ["×", "="]. Numbers
    that aren't there (NaN) are drawn as empty cells. notes: name → a text at the end of
    each row, short, for it takes the numbers' room; "\n" starts a second line. The
    colours of each matrix run to its own largest number; those named in `same` have one
    scale, so that they can be compared.
    """
    arrays = [np.atleast_2d(np.asarray(part, dtype=float)) for part in parts.values()]
    told = [(notes or {}).get(name, ()) for name in parts]
    ends = [_note_width(texts) for texts in told]  # inches
    columns = sum(a.shape[1] for a in arrays) + 1.2 * (len(arrays) - 1)
    rows = max(a.shape[0] for a in arrays)
    cell = min(0.56, (7.4 - sum(ends)) / columns)  # inches
    axis = blank(card(8.0, 1.15 + cell * rows + (0.3 if title else 0), title))
    scales = _scales(dict(zip(parts, arrays)), same)
    x, size = 0.0, min(9.5, cell * 20)
    for i, (name, array) in enumerate(zip(parts, arrays)):
        tall, wide = array.shape
        y, most = (rows - tall) / 2, scales[name]
        look = {"cmap": SIGNED, "vmin": -most, "vmax": most, "aspect": "equal"}
        axis.imshow(array, extent=(x, x + wide, y + tall, y), **look)
        frame = {"fill": False, "edgecolor": MUTED, "linewidth": 0.8}
        axis.add_patch(Rectangle((x, y), wide, tall, **frame))
        centre = {"ha": "center", "va": "center"}
        label = {"color": TEXT, "fontsize": 9.5, **centre}
        axis.text(x + wide / 2, y - 0.32 / cell * 0.6, plain(name), **label)
        under = {"color": MUTED, "fontsize": 9, **centre}
        axis.text(x + wide / 2, y + tall + 0.2 / cell, f"{tall} × {wide}", **under)
        if cell >= 0.3:
            for row, column in np.argwhere(~np.isnan(array)):
                text = f"{array[row, column]:.2g}".replace("-0.", "-.")
                bright = abs(array[row, column]) > 0.72 * most
                style = {"color": GROUND if bright else TEXT, "fontsize": size}
                axis.text(x + column + 0.5, y + row + 0.5, text, **style, **centre)
        for row, text in enumerate(told[i]):
            style = {"color": MUTED, "fontsize": 9, "va": "center"}
            axis.text(x + wide + 0.1 / cell, y + row + 0.5, plain(text), **style)
        x += wide + ends[i] / cell + 1.2
        if i < len(signs):
            style = {"color": TEXT, "fontsize": 13, **centre}
            axis.text(x - 0.6, rows / 2, signs[i], **style)
    spare = (7.6 / cell - (x - 1.2)) / 2
    axis.set_xlim(-spare, x - 1.2 + spare)
    axis.set_ylim(rows + 0.45 / cell, -0.4 / cell)
    return axis


def _note_width(texts: Sequence[str]) -> float:
    """The inches that texts at the ends of rows take, 9 points high."""
    letters = [len(line) for text in texts for line in text.split("\n")]
    return 0.1 + 0.08 * max(letters) if letters else 0.0


def _scales(arrays: dict[str, np.ndarray], same: Sequence[str]) -> dict[str, float]:
    """For each matrix, the number at which its colours are brightest.

    That is its own largest, above or below zero; those in `same` take the largest of
    them all. Raises ValueError for a name in `same` that no matrix has.
    """
    unknown = [name for name in same if name not in arrays]
    if unknown:
        raise ValueError(
            f"No matrix is called {unknown[0]!r}: name some of {', '.join(arrays)}."
        )
    most = {name: float(np.nanmax(np.abs(a))) or 1.0 for name, a in arrays.items()}
    shared = max((most[name] for name in same), default=1.0)
    return most | dict.fromkeys(same, shared)


def lens_grid(
    tokens: Sequence[str | bytes],
    words: Sequence[Sequence[str | bytes]],
    strength: np.ndarray,
    labels: Sequence[str],
    title: str = "",
    key: str = "probability",
) -> Axes:
    """A word in every cell, and its probability: a row a layer, a column a position.

    words[row][column] is what stands there, strength (rows, columns) its probability:
    printed, and the brightness of the cell. key: what the strength is, if another share.
    """
    rows, columns = len(words), len(tokens)
    axis = blank(card(8.0, 1.3 + 0.4 * rows, title, left=0.95, bottom=0.48))
    shades_key(axis, key, left=0.95)
    room = int(7.0 / columns / 0.079)  # letters that fit into a cell
    for y in range(rows):
        for x in range(columns):
            fill = filled(strength[y, x])
            box = Rectangle((x + 0.02, y + 0.06), 0.96, 0.88, color=fill, lw=0)
            axis.add_artist(box)  # add_patch takes longer, as in _box
            text = shortened(visible(words[y][x]), room)
            style = {"color": TEXT, "fontsize": 8.5, "family": MONO}
            style |= {"ha": "center", "va": "center"}
            axis.text(x + 0.5, y + 0.33, plain(text), **style)
            style |= {"fontsize": 8, "family": SANS}
            axis.text(x + 0.5, y + 0.73, f"{strength[y, x]:.2f}", **style)
    for x, token in enumerate(tokens):
        text = shortened(visible(token), room)
        style = {"color": QUERY, "fontsize": 8.5, "family": MONO}
        axis.text(x + 0.5, -0.35, plain(text), ha="center", va="center", **style)
    for y, label in enumerate(labels):
        style = {"color": MUTED, "fontsize": 9, "ha": "right", "va": "center"}
        axis.text(-0.12, y + 0.5, plain(label), **style)
    axis.set_xlim(0, columns)
    axis.set_ylim(rows, -0.7)
    return axis


def head_map(values: np.ndarray, title: str = "", ring: tuple | None = None) -> Axes:
    """A number (0 to 1) for every head, as a dot's area: layers across, heads down.

    ring: a (layer, head) to point at.
    """
    layers, heads = values.shape
    axis = card(8.0, 1.15 + 0.24 * heads, title, left=0.75, bottom=0.5)
    most = max(float(values.max()), 1e-6)
    x, y = np.meshgrid(np.arange(layers), np.arange(heads), indexing="ij")
    axis.scatter(x, y, s=3, color=EMPTY, linewidths=0)
    axis.scatter(x, y, s=190 * values / most, color=KEY, linewidths=0)
    if ring is not None:
        look = {"facecolors": "none", "edgecolors": QUERY, "linewidths": 1.8}
        axis.scatter([ring[0]], [ring[1]], s=330, **look)
        place = {"xytext": (0, -19), "textcoords": "offset points", "fontsize": 10}
        place["bbox"] = BEHIND
        axis.annotate(f"{values[ring]:.2f}", ring, color=QUERY, ha="center", **place)
    axis.set_xlim(-0.8, layers + 0.2)
    axis.set_ylim(heads - 0.3, -0.8)
    axis.set_xticks(range(0, layers, 3))
    axis.set_yticks(range(heads))
    axis.set_xlabel("layer")
    axis.set_ylabel("head")
    return axis
