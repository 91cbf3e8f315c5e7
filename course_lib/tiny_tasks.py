"""Sentences, drawings and melodies that the course makes itself, each with its answer.

Built in lesson 15. Small enough to be learned in seconds, and made from a grammar, a few
lines, a few notes, so that what is right is always known. All draw from a generator.

B how many, S words or samples of a source, N pixels of an image's side.
"""

from dataclasses import dataclass

import numpy as np
import torch

# Two languages ------------------------------------------------------------------------

NUMBERS = {"one": "ba", "two": "du", "three": "tri"}
ADJECTIVES = (  # English puts them in this order
    {"happy": "joma", "tired": "sedi"},
    {"small": "pilo", "big": "grumo"},
    {"old": "vetu", "young": "nuva"},
    {"red": "ruva", "black": "nokt"},
)
NOUNS = {  # one of them, several, and in Ando
    "bird": ("birds", "pelo"), "horse": ("horses", "tolmu"), "dog": ("dogs", "berka"),
    "cat": ("cats", "misu"), "mouse": ("mice", "niri"), "goose": ("geese", "gaska"),
    "fox": ("foxes", "lusto"), "wolf": ("wolves", "volku"),
}  # fmt: skip
VERBS = {  # what several do, what one does, and in Ando
    "follow": ("follows", "sekan"), "see": ("sees", "vidan"),
    "help": ("helps", "helan"), "find": ("finds", "toran"),
    "call": ("calls", "kriman"), "watch": ("watches", "gardan"),
}  # fmt: skip
PLACES = {
    ("in", "garden"): ("horta", "en"), ("by", "river"): ("flumi", "ol"),
    ("on", "hill"): ("monta", "up"), ("near", "house"): ("domo", "ne"),
}  # fmt: skip
SUBJECT, OBJECT = "na", "lo"  # Ando's marks: who does it, to whom
START, END = "<start>", "<end>"


@dataclass(frozen=True)
class Pair:
    """A sentence in English and in Ando; for each word of Ando, its place in English.

    The marks have no word of their own in English: -1.
    """

    english: tuple[str, ...]
    ando: tuple[str, ...]
    places: tuple[int, ...]


def sentence(r: np.random.Generator) -> Pair:
    """One sentence: "two red foxes see one old wolf" and "lusto ruva du na volku …".

    Ando puts the verb last, the place first, and adjectives after their noun, the last
    one first; then the number, then a mark for who does it and to whom.
    """
    english: list[str] = []
    groups, several = [], []
    for mark in (SUBJECT, OBJECT):
        count = list(NUMBERS)[r.integers(3)]
        kinds = sorted(r.choice(4, size=r.integers(3), replace=False))
        chosen = [(k, list(ADJECTIVES[k])[r.integers(2)]) for k in kinds]
        one = list(NOUNS)[r.integers(len(NOUNS))]
        first, last = len(english), len(english) + 1 + len(chosen)
        ando = [(NOUNS[one][1], last)]
        for i, (kind, word) in reversed(list(enumerate(chosen))):
            ando.append((ADJECTIVES[kind][word], first + 1 + i))
        groups.append([*ando, (NUMBERS[count], first), (mark, -1)])
        several.append(count != "one")
        english += [count, *(word for _, word in chosen)]
        english.append(NOUNS[one][0] if several[-1] else one)
        if mark == SUBJECT:
            verb, at = list(VERBS)[r.integers(len(VERBS))], len(english)
            english.append(verb if several[0] else VERBS[verb][0])
    where = []
    if r.integers(2):
        near, what = list(PLACES)[r.integers(len(PLACES))]
        thing, relation = PLACES[near, what]
        where = [(thing, len(english) + 2), (relation, len(english))]
        english += [near, "the", what]
    ando = [*where, *groups[0], *groups[1], (VERBS[verb][1], at)]
    words, places = zip(*ando)
    return Pair(tuple(english), words, places)


def sentences(count: int, seed: int, without: set[Pair] = frozenset()) -> list[Pair]:
    """So many different sentences, none of them among those in `without`."""
    r, found = np.random.default_rng(seed), {}
    while len(found) < count:
        pair = sentence(r)
        if pair not in without:
            found[pair] = None
    return list(found)


class Words:
    """A vocabulary of whole words: word ↔ id. <start> is 0 and <end> is 1."""

    def __init__(self, texts):
        self.words = [START, END, *sorted({word for text in texts for word in text})]
        self.id = {word: i for i, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words)

    def table(self, texts, width: int = 0) -> torch.Tensor:
        """Sentences as rows of ids (B, S), each closed by <end>, and filled up with it.

        width: the fewest ids of a row. Raises ValueError for a word that is not known.
        """
        longest = max(width, *(len(text) + 1 for text in texts))
        rows = []
        for text in texts:
            unknown = [word for word in text if word not in self.id]
            if unknown:
                raise ValueError(
                    f"“{unknown[0]}” is no word of this language; it has "
                    f"{', '.join(self.words[2:])}."
                )
            rows.append([self.id[word] for word in text])
        return torch.tensor([row + [1] * (longest - len(row)) for row in rows])

    def text(self, ids) -> tuple[str, ...]:
        """Ids as words, up to the first <end>."""
        words = [self.words[int(id)] for id in ids]
        return tuple(words[: words.index(END)] if END in words else words)


# Drawings ----------------------------------------------------------------------------

SHAPES = ("ring", "square", "triangle", "cross")
SIDE = 12  # N: pixels of an image's side
SIZES = (5, 7, 9)


def drawing(shape: str, size: int, x: int, y: int, side: int = SIDE) -> np.ndarray:
    """A shape of `size` pixels, its upper left corner at (x, y): (N, N), 0 or 1."""
    image = np.zeros((side, side), np.float32)
    last, middle = size - 1, (size - 1) / 2
    for row in range(size):
        for column in range(size):
            off = max(abs(row - middle), abs(column - middle))
            ink = {
                "square": off == middle,
                "cross": abs(row - column) < 1 or row + column == last,
                "ring": abs(np.hypot(row - middle, column - middle) - middle) < 0.5,
                "triangle": row == last
                or abs(abs(column - middle) - row * middle / last) <= 0.5,
            }[shape]
            image[y + row, x + column] = ink
    return image


def drawings(
    count: int, seed: int, noise: float = 0.15
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images (B, N, N) of one shape each, of any size, anywhere, and its number (B)."""
    r = np.random.default_rng(seed)
    images, names = [], r.integers(len(SHAPES), size=count)
    for name in names:
        size = int(r.choice(SIZES))
        x, y = r.integers(SIDE - size + 1, size=2)
        images.append(drawing(SHAPES[name], size, x, y))
    blurred = np.stack(images) + noise * r.standard_normal((count, SIDE, SIDE))
    return torch.tensor(blurred, dtype=torch.float32), torch.tensor(names)


def two_shapes(count: int, seed: int, noise: float = 0.15):
    """Images (B, N, N) of a ring and a cross; 1 where the ring is on the left (B)."""
    r = np.random.default_rng(seed)
    images, left = [], r.integers(2, size=count)
    for ring_left in left:
        image = np.zeros((SIDE, SIDE), np.float32)
        for shape, on_left in (("ring", ring_left), ("cross", 1 - ring_left)):
            # The same places within a patch on both sides: else a patch tells the side.
            x = int(r.integers(2)) + (0 if on_left else 6)
            image += drawing(shape, 5, x, int(r.integers(8)))
        images.append(image)
    blurred = np.stack(images) + noise * r.standard_normal((count, SIDE, SIDE))
    return torch.tensor(blurred, dtype=torch.float32), torch.tensor(left)


# Melodies ------------------------------------------------------------------------------

RATE = 4_000  # samples a second
BEAT = 480  # samples of a short note; a long one has two beats
BEATS = 8
HOLD = "-"  # a beat in which the note before sounds on
NOTES = {"do": 523.3, "re": 587.3, "mi": 659.3, "sol": 784.0, "la": 880.0}  # Hz


def melody(
    text: tuple[str, ...], r: np.random.Generator, rate: int = RATE, noise: float = 0.02
) -> np.ndarray:
    """The sound of some beats, such as ("do", "-", "re"): samples between -1 and 1.

    Every note begins at a phase of its own, has an overtone whose strength is drawn, and
    fades. Raises ValueError for what is no note, or a HOLD that holds nothing.
    """
    parts, notes = [], []  # notes: [name, beats]
    for word in text:
        if word == HOLD and notes:
            notes[-1][1] += 1
        elif word in NOTES:
            notes.append([word, 1])
        else:
            raise ValueError(
                f"“{word}” is no note: write {', '.join(NOTES)}, or {HOLD} after a note "
                "that sounds on."
            )
    for note, beats in notes:
        time = np.arange(beats * BEAT * rate // RATE) / rate  # seconds
        strengths = np.array([1, r.uniform(0, 0.4)])
        phases = r.uniform(0, 2 * np.pi, 2)
        waves = np.sin(2 * np.pi * NOTES[note] * time[:, None] * [1, 2] + phases)
        fade = np.minimum(1, time * 100) * np.exp(-8 * time)
        parts.append(0.5 * waves @ strengths * fade)
    wave = np.concatenate(parts)
    return (wave + noise * r.standard_normal(len(wave))).astype(np.float32)


def melodies(count: int, seed: int) -> tuple[torch.Tensor, list[tuple[str, ...]]]:
    """Sounds (B, 3,840) of 8 beats each, and what is played, beat by beat."""
    r, waves, texts = np.random.default_rng(seed), [], []
    for _ in range(count):
        text = []
        while len(text) < BEATS:
            text.append(list(NOTES)[r.integers(len(NOTES))])
            if r.random() < 0.3:
                text.append(HOLD)
        texts.append(tuple(text[:BEATS]))
        waves.append(melody(texts[-1], r))
    return torch.tensor(np.stack(waves)), texts
