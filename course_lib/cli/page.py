"""A trained model on one HTML page, which runs it: no server, no network.

The page holds the weights as text, and the model anew in plain JavaScript
(page_template/model.js), part by part as in lesson 05; page.js shows what goes on inside.
"""

import html
from pathlib import Path

import numpy as np
import torch

from course_lib import pretrained, tokenizer
from course_lib.cli import alone
from course_lib.errors import Problem
from course_lib.files import address

HOME = Path(__file__).parent / "page_template"
KINDS = ("gpt", "fast")
MOST = 20_000_000  # weights: 40 MB in float16, and a twentieth of the small one's pace
BEGINNING = "\n"  # where a model begins that is given nothing
# How JavaScript writes what the course's patterns call \s and \S.
SPACE = {r"\s": r"\p{White_Space}", r"\S": r"\P{White_Space}"}
PATTERNS = (tokenizer.GPT2_SPLIT, tokenizer.SMOLLM2_SPLIT)


def write(
    checkpoint: str,
    out: Path,
    precision: str = "float16",
    title: str = "A language model that writes",
    prompt: str = "",
) -> int:
    """Write the page of a checkpoint's model; how many bytes it has.

    precision: float16, or float32, which is exact and twice as large. prompt: how the
    page's first text begins. Raises Problem for a model that no page can run.
    """
    model, encoding, known = pretrained.trained(checkpoint)
    parts, numbers = weights(model, precision)
    facts = {
        "kind": known["kind"],
        "shape": known["shape"],
        "precision": precision,
        "parts": parts,
        "begin": beginning(encoding, known),
        **tokens(encoding, known),
    }
    words = {
        "title": title,
        "prompt": prompt,
        "origin": known.get("text", "a text that it does not name"),
        "weights": f"{sum(length for _, length in parts):,}",
    }
    return alone.write(out, filled(words, facts, numbers))


def weights(model: torch.nn.Module, precision: str) -> tuple[list, str]:
    """Names and lengths of the weights, in order, and all their numbers in base64.

    Raises Problem if there are too many, or one is too large for float16.
    """
    named = {name: one.detach().cpu() for name, one in model.named_parameters()}
    count = sum(one.numel() for one in named.values())
    if count > MOST:
        raise Problem(
            f"This model has {count:,} weights; a page bears {MOST:,}: beyond that it "
            "loads and writes too slowly. Train a smaller one, or let `sample` write."
        )
    every = torch.cat([one.flatten().float() for one in named.values()]).numpy()
    if precision == "float16" and np.abs(every).max() > np.finfo(np.float16).max:
        raise Problem("A weight is too large for float16: add --precision float32.")
    packed = every.astype({"float16": "<f2", "float32": "<f4"}[precision]).tobytes()
    parts = [[name, one.numel()] for name, one in named.items()]
    return parts, alone.text(packed)


def tokens(encoding, known: dict) -> dict:
    """What the page must know of a tokenizer. Raises Problem for one it can't have."""
    if known["kind"] not in KINDS:
        raise Problem(
            f"A page runs the course's GPT and FastGPT; this is a model of kind "
            f"{known['kind']!r}."
        )
    if isinstance(encoding, tokenizer.Characters):
        return {"characters": encoding.symbols}
    ours = isinstance(encoding, tokenizer.Tokenizer)
    if not ours or encoding.special_tokens or encoding.pattern not in PATTERNS:
        raise Problem(
            "This model's vocabulary is not one that `train` made (--tokens bpe or "
            "characters), so the page could not read what is typed."
        )
    pattern = encoding.pattern
    for ours, theirs in SPACE.items():
        pattern = pattern.replace(ours, theirs)
    listed = sorted(encoding.tokens.items())
    return {"tokens": [raw.decode("latin-1") for _, raw in listed], "pattern": pattern}


def beginning(encoding, known: dict) -> str:
    """What the model reads if nothing is typed: what most lines of its text begin with."""
    if words := known.get("begins"):
        return max(words, key=words.count)
    if isinstance(encoding, tokenizer.Characters) and BEGINNING not in encoding.ids:
        return encoding.symbols[0]
    return BEGINNING


def filled(words: dict[str, str], facts: dict, numbers: str) -> str:
    """The page: the template with everything in its place."""
    read = {name: (HOME / name).read_text("utf-8") for name in FILES}
    shape = facts["shape"]
    words = {name: html.escape(text) for name, text in words.items()} | {
        "vocabulary": f"{shape['vocabulary']:,}",
        "vocabulary_size": str(shape["vocabulary"]),
        "context": str(shape["context"]),
        "length": str(min(shape["context"] - 1, 200)),
        "lessons": address(),
        "policy": alone.policy(read["page.js"], read["page.css"], workers=True),
        "css": read["page.css"],
        "page_code": read["page.js"],
        "model_code": read["model.js"],
        "facts": alone.data(facts),
        "numbers": numbers,
    }
    return alone.filled(read["page.html"], words)


FILES = ("page.html", "page.css", "page.js", "model.js")
