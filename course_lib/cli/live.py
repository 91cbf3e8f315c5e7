"""The widgets that move on the site's own pages: each is one file, and needs no kernel.

Its values are computed here, once; its program shows them (live_template/). That of the
attention explorer is the widget's own.

L layers, H heads, T position, V vocabulary, N words, C channels.
"""

import html
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from course_lib import (
    devices,
    figures,
    gpt,
    induction,
    inside,
    pretrained,
    sizing,
    vectors,
)
from course_lib.cli import alone
from course_lib.errors import Problem
from course_lib.figures import style
from course_lib.figures.charts import OF_KINDS
from course_lib.notebooks.live import Live
from course_lib.widgets import attention

HOME = Path(__file__).parent / "live_template"
FETCH = "python -m course_lib doctor --fetch"
COLOURS = {
    "ground": style.GROUND,
    "text": style.TEXT,
    "muted": style.MUTED,
    "empty": style.EMPTY,
    "border": style.BORDER,
    "dim": style.DIM,
    "key": style.KEY,
}
TEXTS = [  # the first is lesson 03's
    "The cat sat on the mat because it was soft",
    "The cat sat on the mat because it was hungry",
    "We rowed down the river and rested at the bank",
    "We saved a little money and took it to the bank",
]
TWICE = " stone lamp river cat glass moon chair bread horse ship" * 2  # lesson 13's
BEGINNINGS = [  # the first is lesson 09's
    "The sun is shining in the",
    "The capital of France is",
    "Once upon a time there was a",
    "My favourite food is",
]
SISTERS = {
    "GPT-3, 175 B": gpt.GPT3,
    "GPT-3, 13 B": gpt.GPT3_13B,
    "GPT-3, 6.7 B": gpt.GPT3_6_7B,
    "GPT-3, 2.7 B": gpt.GPT3_2_7B,
    "GPT-3 XL, 1.3 B": gpt.GPT3_XL,
    "GPT-3 Large, 760 M": gpt.GPT3_LARGE,
    "GPT-3 Medium, 350 M": gpt.GPT3_MEDIUM,
    "GPT-3 Small, 125 M": gpt.GPT3_SMALL,
}
WORDS = 2_000  # that the analogy lab knows; the lesson's knows 50,000
STEP = 1 / 5_000  # of a logit: what is stored is a whole number of these
BARS = 14  # tokens that the dials show
STORED = "The model has read this already; the weights of its heads are in hundredths."


# What is computed ---------------------------------------------------------------------


def patterns(
    model: nn.Module, encoding, told: list[str], layer: int, head: int, score: bool
) -> dict:
    """What the explorer shows: for each text its tokens, and the patterns of all heads.

    A weight is kept in hundredths, which is what the explorer shows, and only where a
    position may look: a byte each. layer and head: those that it begins with. score:
    whether the induction score of each head is wanted, for a map.
    """
    texts, scores = [], []
    for text in told:
        tokens, weights, _ = attention.read(model, encoding, text)  # (L, H, T, T)
        layers, heads, count, _ = weights.shape
        rows, columns = torch.tril_indices(count, count)
        kept = (100 * weights[:, :, rows, columns]).round().to(torch.uint8)
        names = [figures.shortened(figures.visible(token)) for token in tokens]
        stored = alone.text(kept.numpy().tobytes())
        texts.append({"text": text.strip(), "tokens": names, "patterns": stored})
    if score:
        scores = induction_scores(model).double().round(decimals=3).tolist()
    at = {"layers": layers, "heads": heads, "layer": layer, "head": head}
    return at | {"texts": texts, "scores": scores}


def induction_scores(model: nn.Module) -> torch.Tensor:
    """How much each head copies, measured as lesson 13 measures it: (L, H)."""
    twice = induction.told_twice(4, 50, range(200, 49_000), devices.generator(0))
    rows = torch.cat([torch.zeros(4, 1, dtype=torch.long), twice], 1)  # (4, 101)
    return induction.induction_scores(induction.mean_patterns(model, rows), 50)


def sisters() -> dict:
    """What the tree map begins with: GPT-3's sizes, and the colour of each kind."""
    sizes = [
        {"name": name, "channels": one.channels, "layers": one.layers}
        for name, one in SISTERS.items()
    ]
    return {
        "sisters": sizes,
        "colours": {kind: OF_KINDS[kind] for kind in sizing.KINDS},
    }


def common(words: vectors.WordVectors, count: int = WORDS) -> list[str]:
    """The words of the lesson's questions, and the most frequent others: `count` in all.

    They stand in the order of their frequency. What is no word is left out.
    """
    questions = [q for kind in vectors.PAIRS for q in vectors.questions(kind)]
    asked = {word.lower() for question in questions for word in question}
    plain = [w for w in words.words if w.isalpha() and (len(w) > 1 or w in "ai")]
    others = [word for word in plain if word not in asked]
    return sorted([*asked, *others[: count - len(asked)]], key=words.id)


def rounded(unit: torch.Tensor) -> np.ndarray:
    """Vectors (N, C) as whole numbers from −127 to 127, each by its own largest one."""
    scaled = 127 * unit / unit.abs().amax(-1, keepdim=True)
    return scaled.round().to(torch.int8).numpy()


def word_vectors(words: vectors.WordVectors) -> dict:
    """What the analogy lab knows: common words, and a vector of bytes for each."""
    kept = common(words)
    unit = F.normalize(words.vectors[[words.id(word) for word in kept]], dim=-1)
    known = {
        "words": kept,
        "channels": unit.shape[1],
        "first": ["man", "woman", "king"],
    }
    return known | {"vectors": alone.text(rounded(unit).tobytes())}


def steps_down(logits: torch.Tensor) -> bytes:
    """Logits (V), from the largest down, as steps from each to the next: a byte or so each.

    A byte of 255 says that the next one belongs to it: 255, 255, 3 is a step of 513.
    """
    ordered = logits.double().sort(descending=True).values
    levels = ((ordered[0] - ordered) / STEP).round().long()
    steps = levels.diff(prepend=levels[:1]).tolist()
    return b"".join(b"\xff" * (one // 255) + bytes([one % 255]) for one in steps)


def beginnings(model: nn.Module, encoding) -> dict:
    """What the dials turn: for each beginning its logits, and its likeliest tokens."""
    found = []
    for text in BEGINNINGS:
        logits = inside.logits(model, encoding.encode(text))[-1].cpu()  # (V)
        best = logits.topk(BARS).indices.tolist()
        tokens = [figures.visible(encoding.decode_single_token_bytes(i)) for i in best]
        stored = alone.text(steps_down(logits))
        found.append({"text": text, "tokens": tokens, "logits": stored})
    return {"beginnings": found, "step": STEP}


# What is written ----------------------------------------------------------------------


def write(kind: str, title: str, note: str, compute: Callable, path: Path) -> None:
    """Write a widget's page.

    kind: its program in live_template/. compute() → what it shows. note: what a reader
    should know of the values, in a sentence or two below them.
    """
    names = ("live.html", "live.css", "live.js", f"{kind}.js")
    page, look, shared, own = ((HOME / name).read_text("utf-8") for name in names)
    colours = "".join(f"--{name}: {one}; " for name, one in COLOURS.items())
    look, code = f":root {{ {colours}}}\n{look}", shared + own
    if kind == "attention":  # the widget's own style and program come first
        look, code = attention.LOOK + look, shared + attention.PROGRAM + own
    words = {
        "title": html.escape(title),
        "note": html.escape(note),
        "policy": alone.policy(code, look),
        "look": look,
        "code": code,
        "facts": alone.data(compute()),
    }
    alone.write(path, alone.filled(page, words))


def tree_map() -> Live:
    """Lesson 06's tree map of a GPT's weights."""
    title = "The weights of a GPT, by kind"
    note = (
        "Counted as the lesson counts: embedding and unembedding are vocabulary × "
        "channels; a layer has four matrices of channels × channels, and two of four "
        "times as many."
    )
    told = "Move the sliders, or choose one of the eight sizes of GPT-3."
    page = partial(write, "weights", title, note, sisters)
    return Live("06_counting_gpt3", "picture", "live-weights", title, told, page)


def explorer(model: nn.Module, encoding) -> Live:
    """Lesson 03's attention explorer, on sentences that were read beforehand."""
    title = "Attention in SmolLM2: who looks at whom"
    note = f"{STORED} For a text of your own, open the notebook."
    told = (
        "Choose a text, a layer and a head. Then point at a yellow word, or go there with "
        "Tab."
    )
    compute = partial(patterns, model, encoding, TEXTS, 27, 3, False)
    page = partial(write, "attention", title, note, compute)
    return Live("03_attention", "picture", "live-attention", title, told, page)


def repeats(model: nn.Module, encoding) -> Live:
    """Lesson 13's explorer of ten words that are told twice."""
    title = "Attention in SmolLM2, which reads ten words twice"
    told = "Point at a yellow word of the second half, or go there with Tab."
    compute = partial(patterns, model, encoding, [TWICE], 18, 6, False)
    page = partial(write, "attention", title, STORED, compute)
    return Live("13_inside", "picture", "live-repeats", title, told, page)


def head_map(model: nn.Module, encoding) -> Live:
    """Lesson 13's map of all heads, and where the chosen one looks."""
    title = "The induction scores of SmolLM2's 270 heads"
    told = "Press a dot of the map, or go to the map with Tab and use the arrow keys."
    note = f"The area of a dot is the head's induction score. {STORED}"
    compute = partial(patterns, model, encoding, [TWICE], 18, 6, True)
    page = partial(write, "attention", title, note, compute)
    return Live("13_inside", "map-explorer", "live-map", title, told, page)


def analogy_lab(words: vectors.WordVectors) -> Live:
    """Lesson 02's analogy lab, on 2,000 words."""
    title = "What is to c as b is to a?"
    note = (
        f"{WORDS:,} words of GloVe: those of the lesson's questions, and the most "
        "frequent. The numbers of a vector are rounded to 255 levels, which changes a "
        "cosine by 0.01 at times. The notebook has 50,000 words, and rounds none."
    )
    told = (
        "Type three words, or choose them from the lists. Turn the switch off, and the "
        "inputs themselves may win."
    )
    page = partial(write, "analogy", title, note, partial(word_vectors, words))
    return Live("02_embeddings", "analogy-lab", "live-analogy", title, told, page)


def dials(model: nn.Module, encoding) -> Live:
    """Lesson 09's dials, on the logits of four beginnings."""
    title = "What comes next, before and after the dials"
    note = (
        "Outline: what SmolLM2 says. Bar: what is drawn from. Temperature works first, "
        "then top-k, top-p and min-p, each on what the one before it left. The logits of "
        f"all tokens are stored, in steps of {STEP}."
    )
    told = "Choose a beginning, and turn the dials. Here all four work together."
    compute = partial(beginnings, model, encoding)
    page = partial(write, "dials", title, note, compute)
    return Live("09_sampling", "picture", "live-dials", title, told, page)


def ready() -> tuple[list[Live], str]:
    """The widgets that can be written here, and a sentence on those that can't, or "".

    The real model and the word vectors are fetched if they are not in the cache.
    """
    found, lacking = [tree_map()], []
    sources = [
        ("SmolLM2", pretrained.smollm2, [explorer, dials, repeats, head_map]),
        ("GloVe's word vectors", lambda: (vectors.glove(),), [analogy_lab]),
    ]
    for name, load, makers in sources:
        try:
            given = load()
        except Problem:
            *some, last = (f"the {NAMES[make]}" for make in makers)
            which = f"{', '.join(some)} and {last}" if some else last
            lacking.append(f"{which} for want of {name}")
        else:
            found += [make(*given) for make in makers]
    return found, told_of(lacking)


NAMES = {
    explorer: "attention explorer (lesson 03)",
    dials: "sampling dials (09)",
    repeats: "ten words told twice (13)",
    head_map: "map of heads (13)",
    analogy_lab: "analogy lab (lesson 02)",
}


def told_of(lacking: list[str]) -> str:
    """Say which widgets were left out, and which command fetches what they need."""
    if not lacking:
        return ""
    return (
        f"Left out, so that their pictures stand alone: {'; '.join(lacking)}; what is "
        f"wanting comes with: {FETCH}"
    )
