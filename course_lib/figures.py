"""The room of pictures: each takes plain values, draws on an axis and returns it.

One drawing grammar for the whole course: a dark card that keeps its own ground on light
and dark pages, one thing bright and the rest dim, the same thing in the same colour
everywhere (Okabe–Ito hues, told apart by colour-blind eyes, always with a second cue).
Pictures know nothing of models. matplotlib's Figure is used without pyplot: nothing is
shown twice, nothing needs closing, and a lesson starts a second sooner.
"""

import functools
import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

GROUND, TEXT, MUTED, EMPTY = "#16181D", "#EAEAEA", "#9AA0A6", "#2A2E36"
DIM = "#3E6D8A"  # the key colour, for all but the first of several bars
QUERY, KEY, VALUE = "#F0E442", "#56B4E9", "#D55E00"
MLP, EXTRA = "#009E73", "#CC79A7"
SERIES = (KEY, QUERY, EXTRA, MLP, VALUE)  # in this order, each with its own dash
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))
SIGNED = "berlin_r"  # colour map for signed numbers, with symmetric limits
DPI = 144
SANS, MONO = "DejaVu Sans", "DejaVu Sans Mono"
MOST_TOKENS = 160  # a strip with more would be neither read nor drawn in time


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
    strength: Sequence[float] | None = None,
    columns: int = 96,
) -> Axes:
    """Texts cut into boxed tokens, a row of lines for each text.

    strength (0 to 1, a number a token, first row only) sets how brightly a box is
    filled; without it, neighbours differ in shade so that every boundary shows.
    """
    placed, line = [], 0
    marks = []
    for i, row in enumerate(rows):
        marks.append(line)
        column = 0.0
        for j, token in enumerate(row[:MOST_TOKENS]):
            text = visible(token)
            if column and column + len(text) + 0.9 > columns:
                column, line = 0.0, line + 1
            shade = strength[j] if strength is not None and i == 0 else None
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
    if shade is None:
        fill = ("#24455C", "#3A3F4A")[order % 2]
    else:  # from empty to the key colour, darkened so that the text can be read
        low, high = np.array([42, 46, 54]), np.array([40, 110, 158])
        fill = tuple((low + (high - low) * min(max(shade, 0), 1)) / 255)
    axis.add_patch(Rectangle((x, y - 0.4), width, 0.8, color=fill, linewidth=0))


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
    axis.plot(points, np.full(len(points), 1.28), "v", color=QUERY, markersize=8)
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
) -> Axes:
    """Lines, each named at its right end; reference is a level with its name."""
    axis = card(8.0, 3.4, title, left=0.8, bottom=0.6)
    for i, (name, (x, y)) in enumerate(series.items()):
        look = {"color": SERIES[i % 5], "linestyle": DASHES[i % 5]}
        axis.plot(x, y, linewidth=2.2, **look)
        axis.annotate(f" {name}", (x[-1], y[-1]), color=SERIES[i % 5], va="center")
    if reference is not None:
        level, name = reference
        axis.axhline(level, color=MUTED, linewidth=1, linestyle=(0, (2, 3)))
        spot = {"xycoords": axis.get_yaxis_transform(), "ha": "left", "va": "bottom"}
        axis.annotate(name, (0.01, level), color=MUTED, fontsize=9, **spot)
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
    return axis


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
    for x, y, text, colour, small in boxes.values():
        style = {"boxstyle": "round,pad=0,rounding_size=0.08", "facecolor": EMPTY}
        style |= {"edgecolor": colour, "linewidth": 1.6}
        corner = (x - half, y - tall)
        axis.add_patch(FancyBboxPatch(corner, width, 2 * tall, **style))
        centre = {"ha": "center", "va": "center"}
        lift = 0.1 if small else 0
        axis.text(x, y + lift, text, color=TEXT, fontsize=9.5, **centre)
        axis.text(x, y - 0.14, small, color=MUTED, fontsize=8, **centre)
    for start, end in arrows:
        (x0, y0), (x1, y1) = boxes[start][:2], boxes[end][:2]
        reach = (half, 0) if y0 == y1 else (0, tall)
        step = np.array([np.sign(x1 - x0), np.sign(y1 - y0)]) * (np.array(reach) + 0.01)
        ends = (np.array([x0, y0]) + step, np.array([x1, y1]) - step)
        line = {"color": MUTED, "linewidth": 1.4, "mutation_scale": 12}
        line |= {"shrinkA": 0, "shrinkB": 0}
        axis.add_patch(FancyArrowPatch(*ends, arrowstyle="-|>", **line))
    xs, ys = zip(*(box[:2] for box in boxes.values()))
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
