"""Small laboratories: a sum of word vectors, a score of two arrows.

Lessons 02 and 03 use them first. N words, C channels, D head size.
"""

import math

import ipywidgets
import numpy as np
import torch
from matplotlib.axes import Axes
from torch.nn import functional as F

from course_lib import figures, vectors
from course_lib.widgets import controls

TURNS = [(f"{degrees}°", degrees) for degrees in range(0, 360, 15)]
SIZES = [1, 4, 16, 64, 256]  # of a head
OWN_KEY = 135  # degrees: where the second word's key points


def analogy_lab(
    words: vectors.WordVectors,
    a: str = "man",
    b: str = "woman",
    c: str = "king",
    count: int = 8,
) -> tuple[Axes, ipywidgets.VBox]:
    """Type three words: what is to c as b is to a? The nearest words, with their cosines.

    Each vector is brought to length one first, as in vectors.analogy. The inputs are left
    out until the switch is turned off; then they are marked. Returns the picture for a, b
    and c with the inputs left out, and the widget. A word without a vector is named in a
    sentence below the picture; raises ValueError if one of the first three has none.
    """
    unit = F.normalize(words.vectors, dim=-1)  # (N, C)

    def draw(a: str, b: str, c: str, leave_out: bool) -> Axes:
        a, b, c = (_known(word, words) for word in (a, b, c))
        rows = [words.id(word) for word in (a, b, c)]
        similarity = unit @ _sum(unit, rows)  # (N)
        if leave_out:
            similarity[rows] = -torch.inf
        best = similarity.topk(min(count, len(unit) - 3))
        names = [words.words[i] for i in best.indices.tolist()]
        labels = [f"{name} (typed)" if name in (a, b, c) else name for name in names]
        title = f"{a} is to {b} as {c} is to {names[0]}"
        bars = [max(cosine, 0.0) for cosine in best.values.tolist()]
        return figures.bars(labels, bars, title, bright=0)

    boxes = [controls.text_box(*pair) for pair in zip("abc", (a, b, c))]
    return controls.steer(draw, *boxes, controls.switch("leave the inputs out", True))


def _sum(unit: torch.Tensor, rows: list[int]) -> torch.Tensor:
    """b - a + c, brought to length one: unit (N, C), three rows → (C)."""
    a, b, c = unit[rows]
    return F.normalize(b - a + c, dim=-1)


def _known(word: str, words: vectors.WordVectors) -> str:
    """A typed word as the vectors have it; raises ValueError for one they don't have."""
    word = word.strip()
    for form in (word, word.lower()):
        if form in words:
            return form
    raise ValueError(
        f"“{word}” is not among these {len(words.words):,} words. Is it one word?"
        if word
        else "Type a word into each of the three boxes."
    )


def score_lab(
    words: tuple[str, str] = ("river", "bank"),
) -> tuple[Axes, ipywidgets.VBox]:
    """Turn and stretch a query and a key; see their score, and the shares.

    The second word looks at the first and at itself, whose key stays where it is. A
    length of 1 stands for √D, as vectors of D numbers of size 1 have it. Returns the
    picture with D = 16, divided by √D, and the widget.
    """

    def draw(turn, length, key_turn, key_length, size, divide) -> Axes:
        query = _arrow(turn, length)
        keys = np.array([_arrow(key_turn, key_length), _arrow(OWN_KEY, 1.0)])  # (2, 2)
        raw = size * keys @ query  # (2) dot products of D numbers
        scores = raw / math.sqrt(size) if divide else raw
        shares = torch.softmax(torch.tensor(scores), 0).tolist()
        told = [_told(number, size, divide) for number in raw]
        title = f"“{words[1]}” gives “{words[0]}” {shares[0]:.0%} of its attention"
        ring = f"length √{size}"
        return figures.scores(query, keys, words, told, shares, title, ring)

    sliders = (
        controls.choice("Query angle", TURNS, 60),
        controls.dial("Query length", 0.2, 1.5, 1.0),
        controls.choice("Key angle", TURNS, 15),
        controls.dial("Key length", 0.2, 1.5, 1.0),
        controls.choice("D", SIZES, 16),
    )
    return controls.steer(draw, *sliders, controls.switch("divide by √D", True))


def _told(number: float, size: int, divide: bool) -> str:
    """A score in words: "11.3", or "11.3 / √16 = 2.8"."""
    shown = [number, number / math.sqrt(size)] if divide else [number]
    words = [f"{round(one, 1) + 0.0:.1f}".replace("-", "−") for one in shown]
    return "score " + f" / √{size} = ".join(words)


def _arrow(degrees: float, length: float) -> np.ndarray:
    """The point at the end of an arrow: (2)."""
    turn = math.radians(degrees)
    return length * np.array([math.cos(turn), math.sin(turn)])
