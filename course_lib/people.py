"""People who read TinyWorld's stories: one asks about them, one likes some more.

Both are programs, so that a lesson can say what they want. `read` finds in a text the
story that it tells, by walking along the template that made it: every choice shows at
once, so there is one way only. From who is who in a story follow questions with their
answers. A taste is a count of words: stated here, and hidden from the models.

Built in lesson 12.
"""

import math
import random
import re
from typing import NamedTuple

from course_lib.tiny_world import KINDS, WORLD, Fork, Slot, column

# Reading ------------------------------------------------------------------------------


class Reading(NamedTuple):
    """A story as it was understood: who is who, and which ways it went."""

    known: dict[str, tuple[str, tuple[str, ...]]]  # who → (kind, row)
    ways: tuple[str, ...]  # the first word of each branch that was taken

    def word(self, slot: str) -> str:
        """What stands for a slot such as "hero" or "fruit.colour"."""
        who, _, field = slot.partition(".")
        kind, row = self.known[who]
        return row[column(kind, field)]


def read(text: str, strict: bool = False) -> Reading | None:
    """The story that a text tells from its first to its last character, or None.

    A text counts as a story if each of its words is of the right kind: a ball may turn
    into a boat on the way. strict: it may not; then only TinyWorld's own stories count.
    """
    known, ways = {}, []
    place = _walk(text, 0, WORLD, known, ways, strict)
    return Reading(known, tuple(ways)) if place == len(text) else None


def _walk(text: str, place: int, parts: tuple, known: dict, ways: list, strict: bool):
    """Where some parts end in a text that has them at `place`; None if it has not."""
    for part in parts:
        if isinstance(part, Fork):
            found = [
                i for i, w in enumerate(part.first_words) if text.startswith(w, place)
            ]
            if not found:
                return None
            ways.append(part.first_words[found[0]])
            place = _walk(text, place, part.branches[found[0]], known, ways, strict)
            if place is None:
                return None
            continue
        words = [part] if isinstance(part, str) else _words(part, known, strict)
        fits = [word for word in words if text.startswith(word, place)]
        if not fits:
            return None
        word = max(fits, key=len)
        if isinstance(part, Slot) and part.kind:
            rows = KINDS[part.kind].rows
            known[part.who] = part.kind, next(row for row in rows if row[0] == word)
        place += len(word)
    return place


def _words(slot: Slot, known: dict, strict: bool) -> list[str]:
    """The words that may stand in a slot."""
    if slot.kind:
        taken = [row for kind, row in known.values() if kind == slot.kind and strict]
        return [row[0] for row in KINDS[slot.kind].rows if row not in taken]
    kind, row = known[slot.who]
    rows = [row] if strict else KINDS[kind].rows
    return [row[column(kind, slot.field)] for row in rows]


# Asking -------------------------------------------------------------------------------


class Question(NamedTuple):
    """A question on a story, and the right answer."""

    question: str
    answer: str


# The first word of a plot → questions on it. A third entry: the way that the story went.
ASKED = {
    "lost": (
        ("Where was the {t}?", "{s}"),
        ("Who saw the {t}?", "the {a}"),
        ("What did {hero} look for?", "the {c} {t}"),
    ),
    "visited": (
        ("Where did the {a} live?", "in the {a.home}"),
        ("What does every {a} love?", "{a.food}"),
        ("What did they play with?", "the {c} {t}"),
    ),
    "packed": (
        ("How many {f} were left?", "{n}"),
        ("Which colour were the {f}?", "{f.colour}"),
        ("Who brought one more?", "{friend}"),
    ),
    "raced": (
        ("Who won the {z}?", "{friend}", "Soon"),
        ("Who won the {z}?", "{hero}", "Halfway"),
        ("Who fell?", "{hero}", "Soon"),
        ("Who fell?", "{friend}", "Halfway"),
    ),
    "found": (
        ("Where was the key?", "{s}"),
        ("How many {x} were left?", "{n.less}"),
        ("Who got one of the {x}?", "{friend}"),
    ),
    "helped": (
        ("Who took the {k}?", "{hero}"),
        ("Who took the {l}?", "{friend}"),
    ),
    "wanted": (
        ("What did {hero} buy?", "the {c} {u}"),
        ("Which colour did {friend} love?", "{c}"),
    ),
    "walked": (
        ("Where did the {w} land?", "{s}"),
        ("Whose {w} flew away?", "{hero}", "Soon"),
        ("Whose {w} flew away?", "{friend}", "Then"),
    ),
}


def questions(text: str) -> list[Question]:
    """All questions that can be asked about one of TinyWorld's stories.

    Raises ValueError for a text that is none, or that contradicts itself.
    """
    story = read(text, strict=True)
    if story is None:
        raise ValueError(f"This is none of TinyWorld's stories: {text[:60]!r}.")
    plot = next(way for way in story.ways if way in ASKED)  # later ways are within it
    return [
        Question(
            *(re.sub(r"\{(.+?)\}", lambda m: story.word(m[1]), one) for one in two)
        )
        for *two, way in ((*row, "")[:3] for row in ASKED[plot])
        if not way or way in story.ways
    ]


# Liking -------------------------------------------------------------------------------

HAPPY = (
    "won laughed sang played sweet lovely pie cake Thank done shone love loves shiny"
)
HAPPY = frozenset(f"{HAPPY} dry fresh".split())
SAD = "lost fell rained wet hid tired cried nothing hard strange shut not found"
SAD = frozenset(SAD.split())
NO_STORY = -4.0  # the most that a text can be worth that tells no story


def score(text: str) -> float:
    """How much the programmed person likes a text: happy words less sad words.

    A text that is no story is worth -4 at most, however happy.
    """
    words = re.findall(r"\w+", text)
    count = sum(word in HAPPY for word in words) - sum(word in SAD for word in words)
    return float(count if read(text) else min(count, NO_STORY))


def prefers(first: str, second: str, chance: random.Random) -> bool:
    """Whether the person picks the first of two texts: a coin, weighted by the scores.

    The chance of the first is σ(its score - the other's) = 1 / (1 + e^-difference).
    """
    difference = score(first) - score(second)
    return chance.random() < 1 / (1 + math.exp(-difference))
