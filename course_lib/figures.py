"""The room of pictures: each takes plain values, draws on an axis and returns it.

One drawing grammar for the whole course: a dark card that keeps its own ground on light
and dark pages, one thing bright and the rest dim, the same thing in the same colour
everywhere (Okabe–Ito hues, told apart by colour-blind eyes, always with a second cue).
Pictures know nothing of models. matplotlib's Figure is used without pyplot: nothing is
shown twice, nothing needs closing, and a lesson starts a second sooner.
"""

import functools
import io
import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, PathPatch, Rectangle
from matplotlib.path import Path

GROUND, TEXT, MUTED, EMPTY = "#16181D", "#EAEAEA", "#9AA0A6", "#2A2E36"
DIM = "#3E6D8A"  # the key colour, for all but the first of several bars
QUERY, KEY, VALUE = "#F0E442", "#56B4E9", "#D55E00"
MLP, EXTRA = "#009E73", "#CC79A7"
SERIES = (KEY, QUERY, EXTRA, MLP, VALUE)  # in this order, each with its own dash
PARTS = ("#CFEBFB", KEY, "#3E6D8A", EMPTY)  # from good to none: ever darker
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))
SIGNED = "berlin_r"  # colour map for signed numbers, with symmetric limits
BEHIND = {"facecolor": GROUND, "edgecolor": "none", "pad": 0.5}  # a name over lines
DPI = 144
SANS, MONO = "DejaVu Sans", "DejaVu Sans Mono"
MOST_TOKENS = 160  # a strip with more would be neither read nor drawn in time
MOST_LOOKS = 40  # tokens in a grid of who looks at whom; more would be dust
MOST_NUMBERS = 12  # tokens up to which the weights in a grid are printed
LIFTS = (0, 17, -17, 34, -34, 51, -51)  # pixels that a name may be moved up
MOST_LETTERS = 16  # of a token that names a row and a column


def card(
    width: float = 8.0,
    height: float = 3.0,
    title: str = "",
    left: float = 0.2,
    bottom: float = 0.2,
) -> Axes:
    """An empty dark card; the title says the finding.

    width and height in inches; left and bottom are the margins that labels need. (The
    margins are given, not found: matplotlib's layout engines take 0.1 s a picture.)
    """
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=GROUND)
    FigureCanvasAgg(figure)
    top = 0.5 if title else 0.2
    box = (left, bottom, width - left - 0.2, height - bottom - top)
    scale = (width, height, width, height)
    axis = figure.add_axes([b / s for b, s in zip(box, scale, strict=True)])
    axis.set_facecolor(GROUND)
    for side in ("top", "right", "left", "bottom"):
        axis.spines[side].set_visible(False)
    axis.tick_params(colors=MUTED, labelsize=9, length=0)
    axis.xaxis.label.set_color(MUTED)
    axis.yaxis.label.set_color(MUTED)
    if title:
        style = {"color": TEXT, "fontsize": 11.5, "fontweight": "bold", "va": "top"}
        place = (0.2 / width, 1 - 0.16 / height)
        figure.text(*place, plain(drawable(title, SANS)), **style)
    return axis


def blank(axis: Axes) -> Axes:
    """Take away the ticks: for drawings that have no scale."""
    axis.set_xticks([])
    axis.set_yticks([])
    return axis


def png(axis: Axes) -> bytes:
    """The picture as PNG bytes."""
    out = io.BytesIO()
    quick = {"compress_level": 3}
    axis.figure.savefig(out, format="png", facecolor=GROUND, pil_kwargs=quick)
    return out.getvalue()


def drawable(text: str, family: str = MONO) -> str:
    """Text with what the font can't draw written as a code point: "⟨U+0BA4⟩"."""
    glyph = _font(family).get_char_index
    return "".join(
        c if c.isprintable() and glyph(ord(c)) else f"⟨U+{ord(c):04X}⟩" for c in text
    )


@functools.cache
def _font(family: str):
    return get_font(findfont(FontProperties(family=family)))


def visible(token: str | bytes) -> str:
    """A token as it can be drawn: " sky" → "·sky", newline → "⏎", odd bytes → "⟨E0 AE⟩".

    What the font has no glyph for is written as its code point.
    """
    if isinstance(token, bytes):
        try:
            token = token.decode("utf-8")
        except UnicodeDecodeError:
            return "⟨" + " ".join(f"{byte:02X}" for byte in token) + "⟩"
    return drawable(token.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "·"))


def plain(text: str) -> str:
    """Text that is drawn as it is: matplotlib reads $…$ as a formula."""
    return text.replace("$", r"\$")


def next_token_bars(
    tokens: Sequence[str | bytes], probabilities: Sequence[float], title: str = ""
) -> Axes:
    """The likeliest next tokens as bars from zero, the first one bright."""
    rows = len(tokens)
    labels = [visible(token) for token in tokens]
    left = 0.4 + 0.092 * max(map(len, labels))  # inches: a letter is 0.088 wide
    axis = card(8.0, 0.7 + 0.3 * rows, title, left=min(left, 4.0), bottom=0.1)
    places = np.arange(rows)
    colours = [KEY] + [DIM] * (rows - 1)
    axis.barh(places, probabilities, color=colours, height=0.68)
    names = [plain(label) for label in labels]
    axis.set_yticks(places, names, family=MONO, fontsize=10.5, color=TEXT)
    axis.set_xticks([])
    axis.set_xlim(0, max(*probabilities, 1e-6) * 1.16)
    axis.invert_yaxis()
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
) -> Axes:
    """Texts cut into boxed tokens, a row of lines for each text.

    strength (0 to 1, a number a token, for the first row or a list for each) sets how
    brightly a box is filled; without it, neighbours differ in shade so that every
    boundary shows.
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
    axis = blank(card(8.0, 0.42 + (0.3 if title else 0) + 0.31 * (line + top), title))
    axis.set_xlim(-0.3, columns + 0.3)
    axis.set_ylim(line - 0.35, -0.55 - top)
    for place, label in zip(marks, labels):
        axis.text(-0.2, place - 0.72, label, color=MUTED, fontsize=9, va="center")
    for column, y, text, order, shade in placed:
        if order is not None:
            _box(axis, column, y, len(text) + 0.6, order, shade)
        style = {"family": MONO, "fontsize": 9.2, "va": "center"}
        axis.text(column + 0.3, y, plain(text), color=TEXT, **style)
    return axis


def _box(axis: Axes, x: float, y: float, width: float, order: int, shade) -> None:
    fill = ("#24455C", "#3A3F4A")[order % 2] if shade is None else _filled(shade)
    box = Rectangle((x, y - 0.4), width, 0.8, color=fill, linewidth=0)
    axis.add_artist(box)  # add_patch would widen the limits to it, which takes longer


def _filled(strength: float) -> tuple:
    """From empty (0) to the key colour (1), darkened so that text on it can be read."""
    low, high = np.array([42, 46, 54]), np.array([40, 110, 158])
    return tuple((low + (high - low) * min(max(float(strength), 0), 1)) / 255)


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


def curves(
    series: dict[str, tuple[Sequence[float], Sequence[float]]],
    across: str,
    up: str,
    title: str = "",
    reference: tuple[float, str] | None = None,
    log: bool = False,
    zero: bool = True,
    below: str = "",
) -> Axes:
    """Lines, each named at its right end; reference is a level with its name.

    below: a few lines of text under the picture, such as what a model writes.
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


def bars(labels: Sequence[str], values: Sequence[float], title: str = "") -> Axes:
    """Named amounts as bars from zero, the largest bright."""
    left = 0.4 + 0.095 * max(map(len, labels))  # inches
    axis = card(8.0, 0.7 + 0.34 * len(labels), title, left=left, bottom=0.1)
    places = np.arange(len(labels))
    largest = int(np.argmax(values))
    colours = [KEY if i == largest else DIM for i in places]
    axis.barh(places, values, color=colours, height=0.66)
    axis.set_yticks(places, labels, fontsize=10, color=TEXT)
    axis.set_xticks([])
    axis.set_xlim(0, max(values) * 1.14)
    axis.invert_yaxis()
    for place, value in zip(places, values, strict=True):
        style = {"color": TEXT, "fontsize": 10, "va": "center"}
        axis.annotate(f" {value:.2f}", (value, place), **style)
    return axis


def flow(
    boxes: dict[str, tuple],
    arrows: Sequence[tuple[str, str]],
    title: str = "",
    height: float = 2.6,
    width: float = 0.8,
) -> Axes:
    """Boxes joined by arrows, on a grid of whole numbers.

    boxes: name → (x, y, text, colour, small second line). arrows: pairs of names.
    width: of a box, where 1 is the distance between two columns.
    """
    axis = blank(card(8.0, height, title))
    half, tall = width / 2, 0.29
    xs, ys, texts, *_ = zip(*boxes.values())
    inches = 7.6 * width / (max(xs) - min(xs) + width + 0.04)  # inside a box
    size = min(9.5, 72 * (inches - 0.12) / (0.62 * max(map(len, texts))))
    for x, y, text, colour, small in boxes.values():
        style = {"boxstyle": "round,pad=0,rounding_size=0.08", "facecolor": EMPTY}
        style |= {"edgecolor": colour, "linewidth": 1.6}
        corner = (x - half, y - tall)
        axis.add_patch(FancyBboxPatch(corner, width, 2 * tall, **style))
        centre = {"ha": "center", "va": "center"}
        lift = 0.1 if small else 0
        axis.text(x, y + lift, text, color=TEXT, fontsize=size, **centre)
        axis.text(x, y - 0.14, small, color=MUTED, fontsize=8, **centre)
    for start, end in arrows:
        (x0, y0), (x1, y1) = boxes[start][:2], boxes[end][:2]
        reach = (half, 0) if y0 == y1 else (0, tall)
        step = np.array([np.sign(x1 - x0), np.sign(y1 - y0)]) * (np.array(reach) + 0.01)
        ends = (np.array([x0, y0]) + step, np.array([x1, y1]) - step)
        line = {"color": MUTED, "linewidth": 1.4, "mutation_scale": 12}
        line |= {"shrinkA": 0, "shrinkB": 0}
        axis.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", **line))
    axis.set_xlim(min(xs) - half - 0.02, max(xs) + half + 0.02)
    axis.set_ylim(min(ys) - 0.36, max(ys) + 0.36)
    return axis


def the_loop() -> Axes:
    """How a language model writes: predict, choose, append, repeat."""
    boxes = {
        "text": (0, 1, "text so far", TEXT, ""),
        "model": (1, 1, "model", MLP, "reads all of it"),
        "chances": (2, 1, "probabilities", KEY, "one for each token"),
        "choose": (2, 0, "choose one", QUERY, "greedy, or by chance"),
        "append": (0, 0, "append it", EXTRA, ""),
    }
    names = [*boxes, "text"]
    title = "A language model writes by guessing the next token, over and over"
    return flow(boxes, list(zip(names, names[1:])), title)


COURSE = {  # lesson → place, words; the top row is what happens to a text
    "01": (1, 2, "tokens"),
    "02": (2, 2, "embeddings"),
    "03": (3, 2, "attention"),
    "04": (4, 2, "MLP"),
    "05": (5, 2, "transformer"),
    "00": (6, 2, "next token"),
    "06": (0.5, 1, "counting"),
    "07": (1.6, 1, "backprop"),
    "08": (2.7, 1, "training"),
    "09": (3.8, 1, "sampling"),
    "10": (4.9, 1, "scaling"),
    "11": (1.0, 0, "modern LLMs"),
    "12": (2.1, 0, "assistant"),
    "13": (3.2, 0, "inside"),
    "14": (4.3, 0, "many GPUs"),
    "15": (5.4, 0, "beyond text"),
}


def course_map(here: str) -> Axes:
    """The sixteen lessons; `here`, such as "01", is the bright one."""
    boxes = {"text": (0, 2, "text", MUTED, "")}
    for lesson, (x, y, words) in COURSE.items():
        boxes[lesson] = (x, y, words, QUERY if lesson == here else MUTED, lesson)
    row = ["text", "01", "02", "03", "04", "05", "00"]
    title = "Sixteen lessons: the machine, how it learns, what people do with it"
    return flow(boxes, list(zip(row, row[1:])), title, 3.4, 0.84)


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


def shortened(label: str, room: int = MOST_LETTERS) -> str:
    """A label that leaves room for others: "a" * 300 → "aaaaaaaaaaaaaaa…"."""
    return label if len(label) <= room else label[: max(room - 1, 1)] + "…"


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
    parts: dict[str, np.ndarray], signs: Sequence[str] = (), title: str = ""
) -> Axes:
    """Matrices side by side, numbers visible, the shape under each.

    parts: name → (rows, columns). signs stand between them, such as ["×", "="]. Numbers
    that aren't there (NaN) are drawn as empty cells.
    """
    arrays = [np.atleast_2d(np.asarray(part, dtype=float)) for part in parts.values()]
    columns = sum(a.shape[1] for a in arrays) + 1.2 * (len(arrays) - 1)
    rows = max(a.shape[0] for a in arrays)
    cell = min(0.56, 7.4 / columns)  # inches
    axis = blank(card(8.0, 1.15 + cell * rows + (0.3 if title else 0), title))
    most = max(np.nanmax(np.abs(a)) for a in arrays) or 1.0
    x, size = 0.0, min(9.5, cell * 20)
    for i, (name, array) in enumerate(zip(parts, arrays)):
        tall, wide = array.shape
        y = (rows - tall) / 2
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
        x += wide + 1.2
        if i < len(signs):
            style = {"color": TEXT, "fontsize": 13, **centre}
            axis.text(x - 0.6, rows / 2, signs[i], **style)
    spare = (7.6 / cell - columns) / 2
    axis.set_xlim(-spare, columns + spare)
    axis.set_ylim(rows + 0.45 / cell, -0.4 / cell)
    return axis


def _turned(points: np.ndarray, angle: float) -> np.ndarray:
    """Points (N, 3) seen from one side, turned by `angle` degrees: (N, 2)."""
    radians = np.deg2rad(angle)
    across = points[:, 0] * np.cos(radians) + points[:, 2] * np.sin(radians)
    depth = points[:, 2] * np.cos(radians) - points[:, 0] * np.sin(radians)
    return np.stack([across, points[:, 1] + 0.25 * depth], axis=1)


def word_map(
    groups: dict[str, Sequence[str]],
    points: np.ndarray,
    title: str = "",
    angle: float | None = None,
) -> Axes:
    """Words as points: near means alike. Groups have a colour and a shape of their own.

    groups: name → words; points: a row (2 or 3 numbers) for each word, in that order.
    With three numbers, `angle` (degrees) turns the cloud.
    """
    axis = blank(card(8.0, 5.0, title))
    flat = points[:, :2] if angle is None else _turned(points, angle)
    marks, start = "os^Dv", 0
    words = [word for group in groups.values() for word in group]
    for i, (name, group) in enumerate(groups.items()):
        part = flat[start : start + len(group)]
        look = {"color": SERIES[i % 5], "marker": marks[i % 5], "linestyle": ""}
        axis.plot(part[:, 0], part[:, 1], markersize=6, label=name, **look)
        start += len(group)
    high, low = flat.max(0), flat.min(0)
    gap = (high - low) * 0.12 + 1e-6
    left = low[0] - gap[0]
    share = np.array([min(0.03 + 0.0115 * len(word), 0.5) for word in words])
    right = ((flat[:, 0] - share * left) / (1 - share)).max()  # room for every word
    axis.set_xlim(left, max(right, high[0] + 0.4 * gap[0]))
    axis.set_ylim(low[1] - gap[1], high[1] + 1.3 * gap[1])
    for word, point, place in zip(words, flat, _spread(flat, words, axis)):
        style = {"color": TEXT, "fontsize": 9, "va": "center", "zorder": 4}
        axis.text(*place, plain(drawable(word, SANS)), **style)
        if abs(place[1] - point[1]) > 0.03 * (high - low)[1]:  # moved out of the way
            line = {"color": MUTED, "linewidth": 0.6, "zorder": 1}
            axis.plot([point[0], place[0]], [point[1], place[1]], **line)
    if len(groups) > 1:
        style = {"loc": "upper left", "fontsize": 8.5, "labelcolor": TEXT}
        legend = axis.legend(ncols=len(groups), frameon=False, **style)
        legend.set_bbox_to_anchor((-0.01, 1.03))
    return axis


def _spread(flat: np.ndarray, words: Sequence[str], axis: Axes) -> list[tuple]:
    """Where to write each word: beside its point, on the side and height that is free."""
    spots = axis.transData.transform(flat)  # in pixels
    taken = np.array([(x - 7, y - 7, x + 7, y + 7) for x, y in spots])
    places = []
    for (x, y), word in zip(spots, words):
        wide = 11 * len(word)
        lefts = [x + aside for lift in LIFTS for aside in (10, -8 - wide)]
        middles = [y + lift for lift in LIFTS for aside in "rl"]
        boxes = np.array([(a, b - 9, a + wide, b + 9) for a, b in zip(lefts, middles)])
        outside = (boxes[:, 0] < axis.bbox.x0) | (boxes[:, 1] < axis.bbox.y0)
        best = int((_shared(boxes, taken) + 1e6 * outside).argmin())
        taken = np.vstack([taken, boxes[best]])
        places.append((lefts[best], middles[best]))
    return [tuple(place) for place in axis.transData.inverted().transform(places)]


def _shared(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The area that each box shares with all others: (N, 4), (M, 4) → (N,).

    A box is left, bottom, right, top.
    """
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    return (high - low).clip(0).prod(-1).sum(-1)


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


def lens_grid(
    tokens: Sequence[str | bytes],
    words: Sequence[Sequence[str | bytes]],
    strength: np.ndarray,
    labels: Sequence[str],
    title: str = "",
) -> Axes:
    """A word in every cell: a row a layer, a column a position; brighter is surer.

    words[row][column] is what stands there, strength (rows, columns) from 0 to 1.
    """
    rows, columns = len(words), len(tokens)
    axis = blank(card(8.0, 0.95 + 0.31 * rows, title, left=0.95, bottom=0.1))
    room = int(7.0 / columns / 0.079)  # letters that fit into a cell
    for y in range(rows):
        for x in range(columns):
            fill = _filled(strength[y, x])
            box = Rectangle((x + 0.02, y + 0.06), 0.96, 0.88, color=fill, lw=0)
            axis.add_artist(box)  # add_patch takes longer, as in _box
            text = shortened(visible(words[y][x]), room)
            style = {"color": TEXT, "fontsize": 8.5, "family": MONO}
            axis.text(x + 0.5, y + 0.5, plain(text), ha="center", va="center", **style)
    for x, token in enumerate(tokens):
        text = shortened(visible(token), room)
        style = {"color": QUERY, "fontsize": 8.5, "family": MONO}
        axis.text(x + 0.5, -0.45, plain(text), ha="center", va="center", **style)
    for y, label in enumerate(labels):
        style = {"color": MUTED, "fontsize": 9, "ha": "right", "va": "center"}
        axis.text(-0.12, y + 0.5, plain(label), **style)
    axis.set_xlim(0, columns)
    axis.set_ylim(rows, -0.9)
    return axis


def fan(vectors: np.ndarray, names: Sequence[str], title: str = "") -> Axes:
    """Arrows from one point, for vectors (N, 2): what a small model keeps of features."""
    axis = blank(card(8.0, 3.6, title))
    most = max(1.0, float(np.abs(vectors).max()))
    ring = np.linspace(0, 2 * np.pi, 200)
    axis.plot(np.cos(ring), np.sin(ring), color=EMPTY, linewidth=1)
    for i, ((x, y), name) in enumerate(zip(vectors, names)):
        colour = SERIES[i % 5]
        arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 2.4}
        axis.annotate(
            "", (x, y), (0, 0), arrowprops=arrow | {"shrinkA": 0, "shrinkB": 0}
        )
        length = np.hypot(x, y)
        if length > 0.15:
            style = {"color": colour, "fontsize": 10, "ha": "center", "va": "center"}
            out = 1 + 0.17 / length
            axis.text(x * out, y * out, plain(name), **style)
    axis.set_xlim(-2.6 * most, 2.6 * most)
    axis.set_ylim(-1.3 * most, 1.3 * most)
    axis.set_aspect("equal")
    return axis


def tree_map(amounts: dict[str, float], title: str = "") -> Axes:
    """Amounts as areas: the largest first, each named with its share."""
    axis = blank(card(8.0, 4.5, title))
    slivers = []
    whole = sum(amounts.values()) or 1.0
    order = sorted(amounts, key=amounts.get, reverse=True)
    placed = _tiles([amounts[name] / whole for name in order], 0, 0, 7.6, 3.6)
    colours = {"embedding": TEXT, "unembedding": TEXT, "query": QUERY, "key": KEY}
    colours |= {"value": VALUE, "output": EXTRA, "up": MLP, "down": MLP}
    for name, (x, y, wide, tall) in zip(order, placed):
        colour = colours.get(name, MUTED)
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


def graph(
    nodes: Sequence[tuple], arrows: Sequence[tuple], title: str = "", rows: int = 0
) -> Axes:
    """A calculation from left to right: in each box a value, under it its gradient.

    nodes: (name, value, gradient), in the order in which they are made; a gradient of
    None isn't written. arrows: (operand, result, what comes back along it), places in
    nodes; the more comes back, the wider. Where nothing comes back yet (None), the arrow
    is thin and points onward. rows: fewest to make room for.
    """
    places = _spread_out(len(nodes), arrows)
    across = min(6.6 / max(1, *(x for x, _ in places)), 1.9)  # inches between columns
    tall = max(rows - 1, *(y for _, y in places))
    axis = blank(card(8.0, 1.05 + (0.3 if title else 0) + 0.72 * tall, title))
    spots = [(across * x, -0.72 * y) for x, y in places]
    most = max((abs(back) for *_, back in arrows if back), default=1.0)
    drawn = [arrow[:2] for arrow in arrows]
    for i, (start, end, back) in enumerate(arrows):
        look = {"shrinkA": 0, "shrinkB": 0, "zorder": 1, "mutation_scale": 10}
        if back is None:
            look |= {"arrowstyle": "-|>", "color": MUTED, "linewidth": 1.2}
        else:
            look |= {"arrowstyle": "<|-", "color": _sign_colour(back)}
            look |= {"linewidth": 0.8 + 4.5 * abs(back) / most}
        same = drawn.count(drawn[i]) - 1  # used twice: two arrows, side by side
        lift = 0.18 * (drawn[:i].count(drawn[i]) - same / 2)
        (x0, y0), (x1, y1) = spots[start], spots[end]
        ends = (x0 + 0.53, y0 + lift), (x1 - 0.53, y1 + lift)
        axis.add_patch(FancyArrowPatch(*ends, **look))
    for (name, value, gradient), (x, y) in zip(nodes, spots):
        look = {"boxstyle": "round,pad=0,rounding_size=0.08", "facecolor": EMPTY}
        look |= {"edgecolor": MUTED, "linewidth": 1.2, "clip_on": False}
        axis.add_patch(FancyBboxPatch((x - 0.5, y - 0.16), 1.0, 0.32, **look))
        style = {"va": "center", "fontsize": 9.5}
        axis.text(x - 0.42, y, plain(name), color=MUTED, ha="left", **style)
        axis.text(x + 0.42, y, _signed(value), color=TEXT, ha="right", **style)
        if gradient is not None:
            told = f"grad {_signed(gradient)}"
            style |= {"ha": "right", "color": _sign_colour(gradient)}
            axis.text(x + 0.42, y - 0.28, told, **style)
    centre = across * max(x for x, _ in places) / 2
    axis.set_xlim(centre - 3.8, centre + 3.8)
    axis.set_ylim(-0.72 * tall - 0.42, 0.23)
    return axis


def _spread_out(count: int, arrows: Sequence[tuple]) -> list[tuple[float, float]]:
    """Where each node of a graph goes: (column, row). What is given has a row of its own;
    a result stands between its operands, one column to the right."""
    operands = [[a for a, b, *_ in arrows if b == node] for node in range(count)]
    users = [[b for a, b, *_ in arrows if a == node] for node in range(count)]
    columns, lines, row = [], [], 0
    for node in range(count):
        columns.append(max((columns[a] + 1 for a in operands[node]), default=0))
        if operands[node]:
            lines.append(float(np.mean([lines[a] for a in operands[node]])))
        else:
            lines.append(float(row))
            row += 1
    for node in range(count):  # what is given stands next to its first use
        if not operands[node] and users[node]:
            columns[node] = min(columns[user] for user in users[node]) - 1
    return list(zip(columns, lines))


def _signed(number: float) -> str:
    """A number in few letters, with a real minus."""
    return f"{number:.3g}".replace("-", "−")


def _sign_colour(number: float) -> str:
    """Blue for above zero, orange for below, as in every picture of signed numbers."""
    return MUTED if number == 0 else "#8FC1F0" if number > 0 else "#F0957A"


def regions(
    points: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    limits: tuple[float, float, float, float],
    title: str = "",
) -> Axes:
    """Points (N, 2) of two kinds, and what a model says of every place on the map.

    labels (N) and scores (rows, columns): above 0 is one kind, below the other. limits:
    left, right, bottom and top of the map that scores cover.
    """
    axis = blank(card(8.0, 4.2, title))
    grid = [
        np.linspace(*limits[2 * i : 2 * i + 2], scores.shape[1 - i]) for i in (0, 1)
    ]
    sure = np.tanh(3 * scores / (float(np.abs(scores).max()) or 1.0))
    # Few bands, for a smooth shade would make a large file.
    bands = {"levels": np.linspace(-1, 1, 9), "cmap": SIGNED, "vmin": -3, "vmax": 3}
    axis.contourf(*grid, sure, antialiased=False, **bands)
    if scores.min() < 0 < scores.max():
        axis.contour(*grid, scores, levels=[0], colors=[TEXT], linewidths=1.4)
    for kind, colour, mark in ((labels > 0, KEY, "o"), (labels <= 0, VALUE, "^")):
        style = {"color": colour, "marker": mark, "s": 34, "linewidths": 0.6}
        axis.scatter(*points[kind].T, edgecolors=GROUND, **style)
    axis.set_xlim(limits[:2])
    axis.set_ylim(limits[2:])
    return axis


def landscape(
    x: np.ndarray,
    y: np.ndarray,
    height: np.ndarray,
    path: np.ndarray,
    names: tuple[str, str],
    title: str = "",
) -> Axes:
    """A loss over two weights as a map, darker is lower, and steps (N, 2) upon it.

    height (len(y), len(x)); names of what goes across and up. Steps that leave the map
    are cut off at its edge.
    """
    axis = card(8.0, 4.2, title, left=0.75, bottom=0.55)
    low, high = float(height.min()), float(height.max())
    levels = low + (high - low) * np.linspace(0, 1, 10) ** 2
    fills = [_filled(share) for share in np.linspace(0, 1, 9)]
    axis.contourf(x, y, height, levels=levels, colors=fills, antialiased=False)
    inside = np.clip(path, -1e6, 1e6)
    look = {"color": QUERY, "linewidth": 1.4, "marker": "o", "markersize": 4}
    axis.plot(inside[:, 0], inside[:, 1], **look)
    axis.plot(*inside[0], "o", color=TEXT, markersize=8)
    style = {"xytext": (8, 8), "textcoords": "offset points", "color": TEXT}
    axis.annotate("start", inside[0], fontsize=9.5, **style)
    axis.set_xlim(x[0], x[-1])
    axis.set_ylim(y[0], y[-1])
    axis.set_xlabel(names[0])
    axis.set_ylabel(names[1])
    axis.locator_params(axis="y", prune="lower")  # its label would touch the other's
    return axis


def shift(
    before: np.ndarray,
    after: np.ndarray,
    named: dict[int, str],
    title: str = "",
) -> Axes:
    """How each of many probabilities changes: a dot above the line has grown.

    before and after (V). named: places to write a name at; the first is the bright one.
    """
    axis = card(8.0, 4.2, title, left=0.9, bottom=0.6)
    before, after = np.maximum(before, 1e-30), np.maximum(after, 1e-30)
    times = after / before
    grown = times > 1
    for part, colour in ((grown, KEY), (~grown, VALUE)):
        look = {"color": colour, "marker": ".", "linestyle": "", "markersize": 2}
        axis.plot(before[part], times[part], **look)
    axis.axhline(1, color=TEXT, linewidth=1, linestyle=(0, (2, 3)))
    for i, place in enumerate(named):
        spot = (before[place], times[place])
        colour = TEXT if i else QUERY
        axis.plot(*spot, "o" if i else "D", color=colour, markersize=4 if i else 7)
    axis.set_xscale("log")
    axis.set_yscale("log")
    low, high = min(times.min(), 0.95), max(times.max(), 1.05)
    axis.set_ylim(low * (low / high) ** 0.08, high * (high / low) ** 0.12)
    low, high = axis.get_ylim()
    fine, coarse = (0.8, 0.9, 1.1, 1.25), (0.2, 0.5, 2, 5)
    powers = [10.0**n for n in range(-30, 31)]
    marks = [
        *powers,
        *(coarse if high / low < 1e3 else ()),
        *(fine if high / low < 4 else ()),
    ]
    ticks = [mark for mark in marks if low < mark < high]
    axis.set_yticks(ticks, [f"× {tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel("probability before the step")
    axis.set_ylabel("after the step")
    spots = [(before[place], times[place]) for place in named]
    words = ["space" if name == " " else visible(name) for name in named.values()]
    _name_spots(axis, spots, words)
    return axis


def _name_spots(axis: Axes, spots: list[tuple], names: list[str]) -> None:
    """Write each name beside its spot, where no other is if it can; the first is bright.

    A spot above 1 has its name above it rather than below.
    """
    points = 72 / DPI  # of a pixel
    right = axis.bbox.x1 * points + 12
    where = [tuple(xy) for xy in axis.transData.transform(spots) * points]
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in where]
    for i, ((x, y), name) in enumerate(zip(where, names, strict=True)):
        wide = 5.8 * len(name)
        lifts = (4, -12) if spots[i][1] > 1 else (-12, 4)
        sides = [(aside, lift) for aside in (7, -7 - wide) for lift in lifts]
        corners = [(x + aside, y + lift - 2) for aside, lift in sides]
        boxes = np.array([(a, b, a + wide, b + 10) for a, b in corners])
        outside = boxes[:, 2] >= right
        best = int((_shared(boxes, np.array(taken)) + 1e6 * outside).argmin())
        taken.append(boxes[best])
        style = {"xytext": sides[best], "textcoords": "offset points", "fontsize": 9.5}
        colour = TEXT if i else QUERY
        axis.annotate(plain(name), spots[i], color=colour, family=MONO, **style)


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
