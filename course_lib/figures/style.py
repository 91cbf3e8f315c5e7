"""The drawing grammar: the dark card, its colours, and text that can be drawn."""

import functools
import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Rectangle

GROUND, TEXT, MUTED, EMPTY = "#16181D", "#EAEAEA", "#9AA0A6", "#2A2E36"
BORDER = "#5E6570"  # the edge of what stays behind
DIM = "#3E6D8A"  # the key colour, for all but the first of several bars
QUERY, KEY, VALUE = "#F0E442", "#56B4E9", "#D55E00"
MLP, EXTRA = "#009E73", "#CC79A7"
SERIES = (KEY, QUERY, EXTRA, MLP, VALUE)  # in this order, each with its own dash
PARTS = ("#CFEBFB", KEY, "#3E6D8A", EMPTY)  # from good to none: ever darker
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))
SIGNED = "berlin_r"  # colour map for signed numbers, with symmetric limits
BEHIND = {"facecolor": GROUND, "edgecolor": "none", "pad": 0.5}  # a name over lines
SHADES = 6  # boxes in the key of brightness
DPI = 144
SANS, MONO = "DejaVu Sans", "DejaVu Sans Mono"
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


def filled(strength: float) -> tuple:
    """From empty (0) to the key colour (1), darkened so that text on it can be read."""
    low, high = np.array([42, 46, 54]), np.array([40, 110, 158])
    return tuple((low + (high - low) * min(max(float(strength), 0), 1)) / 255)


def shades_key(
    axis: Axes, words: str, ends: tuple[str, str] = ("0", "1"), left: float = 0.25
) -> None:
    """Write what brightness means, beside its shades, at the foot of a card.

    ends: what the darkest and the brightest shade stand for. left, in inches; the card
    wants 0.34 inches of room below its axis.
    """
    figure = axis.figure
    inches = {"transform": figure.dpi_scale_trans}
    style = {"color": MUTED, "fontsize": 9, "va": "center", "family": MONO, **inches}
    x, letter = left, 0.0755  # inches
    for text, gap in ((words, 0.18), (ends[0], 0.08)):
        figure.text(x, 0.26, plain(drawable(text)), **style)
        x += letter * len(text) + gap
    for i in range(SHADES):
        fill = {"color": filled(i / (SHADES - 1)), "linewidth": 0}
        figure.add_artist(Rectangle((x, 0.18), 0.24, 0.16, **fill, **inches))
        x += 0.24
    figure.text(x + 0.08, 0.26, plain(drawable(ends[1])), **style)


def shortened(label: str, room: int = MOST_LETTERS) -> str:
    """A label that leaves room for others: "a" * 300 → "aaaaaaaaaaaaaaa…"."""
    return label if len(label) <= room else label[: max(room - 1, 1)] + "…"


def spread(flat: np.ndarray, words: Sequence[str], axis: Axes) -> list[tuple]:
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
        best = int((shared(boxes, taken) + 1e6 * outside).argmin())
        taken = np.vstack([taken, boxes[best]])
        places.append((lefts[best], middles[best]))
    return [tuple(place) for place in axis.transData.inverted().transform(places)]


def shared(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The area that each box shares with all others: (N, 4), (M, 4) → (N,).

    A box is left, bottom, right, top.
    """
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    return (high - low).clip(0).prod(-1).sum(-1)
