"""TinyWorld: very small stories that know how surprising they are.

A whole world of stories is one template. `[a|b]` is a choice of ways to go on, each as
likely as the next. `{hero:name}` draws a new name and calls it the hero; `{hero}` says
the same name again, and `{hero.she}` the word that goes with it. What is told of bears
is the same in every story, to be stored in weights; who the hero is is new in every
story, to be looked up in the text.

Every choice shows at once: its options differ in their first word, and none is the
beginning of another. So a text can be told in one way only, its probability is the
product of its choices (Shannon 1951 had to guess such a number for English), and no
model can expect a loss below it on stories that it has not seen.

Built in lesson 08.
"""

import bisect
import functools
import itertools
import math
import random
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

# What there is in the world. Edit it: no first word of a list may begin another one.

GIRLS = ("Mia", "Ruth", "Zoe", "Lily", "Nora", "Clara")
BOYS = ("Ben", "Tom", "Sam", "Leo", "Max", "Otto")
ANIMALS = (  # animal, home, food, sound, how often
    ("bear", "cave", "honey", "Grr", 8),
    ("duck", "reeds", "bread", "Quack", 8),
    ("mouse", "cellar", "cheese", "Squeak", 8),
    ("cat", "cottage", "fish", "Meow", 8),
    ("dog", "kennel", "bones", "Woof", 4),
    ("horse", "stable", "hay", "Neigh", 4),
    ("frog", "pond", "flies", "Croak", 4),
    ("owl", "oak", "moths", "Hoot", 1),
    ("wolf", "forest", "meat", "Awoo", 1),
    ("sheep", "meadow", "clover", "Baa", 1),
)
FRUIT = (  # fruit, colour, how often
    ("apples", "red", 8),
    ("pears", "green", 8),
    ("bananas", "yellow", 4),
    ("plums", "purple", 4),
    ("cherries", "red", 1),
    ("blueberries", "blue", 1),
)
TOOLS = (  # tool, what one did with it
    ("spoon", "stirred the soup"),
    ("broom", "swept the floor"),
    ("needle", "mended the coat"),
    ("brush", "painted the door"),
    ("saw", "cut the wood"),
    ("knife", "sliced the bread"),
)
NUMBERS = (  # number, one more, one less
    ("two", "three", "one"),
    ("three", "four", "two"),
    ("four", "five", "three"),
)
COLOURS = ("red", "blue", "green", "yellow", "white", "black", "purple")
TOYS = ("ball", "kite", "boat", "drum", "doll", "train")
CLOTHES = ("hat", "cap", "scarf")
PRIZES = ("cup", "ribbon", "medal")
TREASURES = ("coins", "shells", "bells")
PLACES = ("bridge", "mill", "lake", "hill", "tower")
SPOTS = (
    "under the bench",
    "behind the wall",
    "in the ditch",
    "on the roof",
    "beside the gate",
    "near the well",
)


class Kind(NamedTuple):
    """A kind of thing: its rows of words, and how often each row is drawn."""

    fields: tuple[str, ...]  # what the words of a row are; the first is its name
    rows: tuple[tuple[str, ...], ...]
    weights: tuple[int, ...]


def kind(fields: str, rows: tuple) -> Kind:
    """Make a kind of a list above; a number at the end of a row is its weight."""
    rows = [(row,) if isinstance(row, str) else row for row in rows]
    names = tuple(fields.split())
    weights = tuple(row[-1] if len(row) > len(names) else 1 for row in rows)
    return Kind(names, tuple(row[: len(names)] for row in rows), weights)


PEOPLE = tuple((girl, "she", "She", "her") for girl in GIRLS)
PEOPLE += tuple((boy, "he", "He", "his") for boy in BOYS)
# A kind whose weights differ may be drawn from only once a story: see expected().
KINDS = {
    "name": kind("name she She her", PEOPLE),
    "animal": kind("animal home food sound", ANIMALS),
    "fruit": kind("fruit colour", FRUIT),
    "tool": kind("tool did", TOOLS),
    "number": kind("number more less", NUMBERS),
    "colour": kind("colour", COLOURS),
    "toy": kind("toy", TOYS),
    "clothes": kind("clothes", CLOTHES),
    "prize": kind("prize", PRIZES),
    "treasure": kind("treasure", TREASURES),
    "place": kind("place", PLACES),
    "spot": kind("spot", SPOTS),
}

# What happens in the world. Line ends are spaces.

OPENING = """[One [fine|quiet|bright] [morning|day]|Last [Monday|summer]|Not long
ago] {hero:name} """
PLOTS = (
    # Lost and found: where it lies is told early and needed late.
    """lost {hero.her} {c:colour} {t:toy}. The {a:animal} saw it {s:spot}. {hero}
[looked|searched] {u:spot}, but [it was not there|found nothing]. {hero.She}
[looked|searched] {v:spot}, but [it was not there|found nothing]. "Where is my {t}?"
asked {hero}. The {a} said, "{a.sound}!" and [showed|led] the way. Then {hero} looked
{s}, and there was the {c} {t}.""",
    # A visit: facts of the world.
    """visited the {a:animal}. The {a} lived in the {a.home}, [far away|not far
away|beside the {p:place}]. Every {a} loves {a.food}, so {hero} [brought|took] a
[basket|bag|box] of {a.food}. The {a} said, "{a.sound}!" and ate [and ate|every bit].
Then they played with a {c:colour} {t:toy} [until noon|all day|for an hour]. [Later|At
last] {hero} took the {t} and ran home.""",
    # A picnic: adding, taking away, cause and effect.
    """packed {n:number} {f:fruit} for a picnic with {friend:name}. The {f} were
{f.colour} and [sweet|fresh]. {friend} brought one more, so they had {n.more} {f}.
{hero} ate one, so {n} were left. [Then it rained, so they got wet and [ran home|hid
under a tree|laughed]|All day the sun shone, so they stayed dry and [sang|played|slept
under a tree]].""",
    # A race: who falls decides who wins.
    """raced {friend:name} to the {p:place}. The prize was a {c:colour} {z:prize}. "One,
two, three, go!" they [cried|shouted]. [Soon {hero} fell over a [root|stone|log], so
{friend} won the {c} {z}. "Well done, {friend}!" said {hero}|Halfway {friend} fell over
a [root|stone|log], so {hero} won the {c} {z}. "Well done, {hero}!" said {friend}]. Then
they [sat|slept|played] by the {p} [until noon|all day|for an hour].""",
    # A key: like goes with like.
    """found a {c:colour} key {s:spot}. At home stood a [big|small] {d:colour} box and a
[big|small] {c} box. {hero.She} tried the {d} box, but it stayed shut. Then {hero.she}
tried the {c} box, and it opened. In the box were {n:number} [shiny|old|lovely]
{x:treasure}. {hero} gave one to {friend:name}, so {hero.she} had {n.less} left.""",
    # Help: what each tool is for, and who took which.
    """helped {friend:name} [until noon|all day|for an hour]. {hero} took the {k:tool}
and {k.did}. {friend} took the {l:tool} and {l.did}. [It was hard work|They worked
fast], so they [were soon tired|had to rest]. [Later|At last] {hero} put the {k} away,
and {friend} put the {l} away. Then {friend} gave {hero} a [cake|pie] and said, "Thank
you, {hero}!\"""",
    # A gift: what the friend loves decides which toy it is.
    """wanted to give {friend:name} a gift. {friend} loved the colour {c:colour}. [In
the shop stood a {d:colour} {t:toy} and a {c} {u:toy}|On the shelf stood a {c} {u:toy}
and a {d:colour} {t:toy}]. {hero} [looked|thought] for a [long time|moment] and bought
the {u}. "Thank you, {hero}!" said {friend}. "I love {c}!" Then they played with the {c}
{u} [until noon|all day|for an hour].""",
    # A windy walk: whose hat is it?
    """walked to the {p:place} with {friend:name}. {hero} wore a {c:colour} {w:clothes},
and {friend} wore a {d:colour} {w}. [Soon the wind took the {c} {w}. "My {w}!" cried
{hero}|Then the wind took the {d} {w}. "My {w}!" cried {friend}]. It [flew|sailed] over
the {p} and landed {s:spot}. They [looked|searched] {u:spot}, but [it was not
there|found nothing]. Then they looked {s}, and there it was.""",
)
CLOSING = """ [That night {hero} slept well|What a [lovely|strange] day it was|At
bedtime {hero} told {hero.her} [mother|father|uncle] everything].
"""


class Slot(NamedTuple):
    """A word that depends: `{who:kind}` draws a thing, `{who.field}` tells of it."""

    who: str
    kind: str  # empty: the thing was drawn before
    field: str  # empty: its name


class Fork(NamedTuple):
    """`[a|b]`: ways to go on, each with its own first word."""

    first_words: tuple[str, ...]
    branches: tuple[tuple, ...]  # each a row of parts: text, Slot or Fork


def parse(template: str) -> tuple:
    """A template → its parts: parse("a {b:toy}") → ("a ", Slot("b", "toy", ""))."""
    template = template.replace("\n", " ")
    return branches(iter(re.findall(r"[\[\]|]|\{[^}]*\}|[^][|{}]+", template)))[0]


def branches(pieces: Iterator[str]) -> tuple[tuple, ...]:
    """The ways to go on up to the closing bracket, each a tuple of parts."""
    found = [[]]
    for piece in pieces:
        if piece == "]":
            break
        if piece == "|":
            found.append([])
        elif piece == "[":
            ways = branches(pieces)
            found[-1].append(Fork(tuple(way[0].split()[0] for way in ways), ways))
        else:
            found[-1].append(slot(piece[1:-1]) if piece[0] == "{" else piece)
    return tuple(tuple(way) for way in found)


def slot(inside: str) -> Slot:
    """Read what stands in braces: slot("hero.she") → Slot("hero", "", "she")."""
    who, sign, rest = re.fullmatch(r"(\w+)([:.]?)(\w*)", inside).groups()
    return Slot(who, rest if sign == ":" else "", rest if sign == "." else "")


WORLD = (*parse(OPENING + "[" + "|".join(PLOTS) + "]" + CLOSING.rstrip()), "\n")


class Choice(NamedTuple):
    """One choice of a story, at the place where the text shows it."""

    place: int  # the character at which the chosen option begins
    chosen: int  # its number among the options
    options: tuple[str, ...]
    weights: tuple[int, ...]  # how likely each is, in proportion

    @property
    def nats(self) -> float:
        """−ln p of what was chosen."""
        return math.log(sum(self.weights) / self.weights[self.chosen])


class Story(NamedTuple):
    """A text that ends in a line end, and the choices that made it."""

    text: str
    choices: tuple[Choice, ...]

    @property
    def nats(self) -> float:
        """−ln p(text), exact: no other choices make this text."""
        return math.fsum(choice.nats for choice in self.choices)


def tiny_world(stories: int, seed: int, world: tuple = WORLD) -> list[Story]:
    """Tell stories, each drawn anew; the same seed tells the same on every machine.

    Raises ValueError if `stories` is below one.
    """
    if stories < 1:
        raise ValueError(f"{stories} stories? Ask for at least one.")
    chance = random.Random(seed)
    return [Teller(chance).story(world) for _ in range(stories)]


class Teller:
    """Tells one story, and keeps in mind what has been drawn."""

    def __init__(self, chance: random.Random):
        self.chance = chance
        self.said, self.place, self.choices = [], 0, []
        self.known = {}  # who → (kind, row)

    def story(self, world: tuple) -> Story:
        """Tell all parts of a world."""
        self.tell(world)
        return Story("".join(self.said), tuple(self.choices))

    def tell(self, parts: tuple) -> None:
        """Tell parts one after the other; of a fork, one branch."""
        for part in parts:
            if isinstance(part, Fork):
                ways = part.first_words
                self.tell(part.branches[self.choose(ways, (1,) * len(ways))])
            else:
                word = self.word(part) if isinstance(part, Slot) else part
                self.said.append(word)
                self.place += len(word)

    def word(self, slot: Slot) -> str:
        """The word in a slot, of a thing that is known or drawn now."""
        if slot.kind:
            self.known[slot.who] = (slot.kind, self.draw(slot.kind))
        name, row = self.known[slot.who]
        return row[column(name, slot.field)]

    def draw(self, name: str) -> tuple[str, ...]:
        """A row of a kind, none that this story has already."""
        taken = tuple([row for one, row in self.known.values() if one == name])
        rows, words, weights = remaining(KINDS[name], taken)
        return rows[self.choose(words, weights)]

    def choose(self, options: tuple[str, ...], weights: tuple[int, ...]) -> int:
        """Draw one option, and write down what the options were."""
        chosen = pick(weights, self.chance)
        self.choices.append(Choice(self.place, chosen, options, weights))
        return chosen


@functools.cache
def remaining(kind: Kind, taken: tuple) -> tuple[tuple, tuple[str, ...], tuple]:
    """The rows of a kind that are not taken, their names and their weights."""
    pairs = [pair for pair in zip(kind.rows, kind.weights) if pair[0] not in taken]
    rows, weights = zip(*pairs)
    return rows, tuple(row[0] for row in rows), weights


def column(kind: str, field: str) -> int:
    """Where a field stands in the rows of a kind."""
    return KINDS[kind].fields.index(field) if field else 0


def pick(weights: tuple[int, ...], chance: random.Random) -> int:
    """Draw a number from 0, each in proportion to its weight."""
    # random() is the one draw that Python promises never to change.
    ends = running_sums(weights)
    return bisect.bisect(ends, chance.random() * ends[-1])


@functools.cache
def running_sums(weights: tuple[int, ...]) -> list[int]:
    """Where each weight's piece of the ruler ends: (8, 8, 1) → [8, 16, 17]."""
    return list(itertools.accumulate(weights))


# How surprising a story is ----------------------------------------------------------


def surprise(story: Story) -> list[float]:
    """−ln p of every character, given all before it in the story: sums to story.nats.

    Zero almost everywhere: a character is news only where options part. These are the
    losses of a model that knows TinyWorld by heart and has read from the story's start.
    """
    nats = [0.0] * len(story.text)
    for place, chosen, options, weights in story.choices:
        for i, part in enumerate(unfold(chosen, options, weights)):
            nats[place + i] += part
    return nats


@functools.cache
def unfold(
    chosen: int, options: tuple[str, ...], weights: tuple[int, ...]
) -> tuple[float, ...]:
    """A choice's nats, letter by letter: of "ball" and "bell" the first is no news."""
    left, nats = list(zip(options, weights)), []
    for i, letter in enumerate(options[chosen]):
        before = sum(weight for _, weight in left)
        left = [(word, weight) for word, weight in left if word[i : i + 1] == letter]
        nats.append(math.log(before / sum(weight for _, weight in left)))
    return tuple(nats)


def token_surprise(story: Story, tokens: list[str]) -> list[float]:
    """−ln p of every token, given all before it: the sum over its characters.

    Exact for characters and for whole words. Where words are cut into pieces it is
    exact for the pieces of a word together, and for the story: that "wal" is a token
    already says that no "k" follows, which the sum books one piece later. Raises
    ValueError if the tokens do not join to the story.
    """
    if "".join(tokens) != story.text:
        raise ValueError("These tokens do not join to the story: give all of its text.")
    nats = iter(surprise(story))
    return [math.fsum(itertools.islice(nats, len(token))) for token in tokens]


class Expected(NamedTuple):
    """What a story has on average, computed and not sampled."""

    nats: float
    characters: float
    words: float  # between spaces


def entropy() -> float:
    """The nats of a story on average: the floor of every model's loss on a story.

    Divide by the mean number of a story's tokens to have it per token. A loss below it
    on stories seen in training is memory; a model that sees only part of a story can't
    get down to it.
    """
    return averages().nats


def averages(world: tuple = WORLD) -> Expected:
    """The mean nats, characters and words of a story."""
    expected.cache_clear()  # the lists may have been edited since
    nats, characters, spaces = expected(world, ())
    return Expected(float(nats), float(characters), float(spaces) + 1)


@functools.cache
def expected(parts: tuple, drawn: tuple) -> np.ndarray:
    """Mean (nats, characters, spaces) of what is still to tell.

    drawn: the (who, kind) so far. Means add up, and each word depends on one thing. A
    thing drawn second is, on average, drawn like the first: true of equal weights.
    """
    if not parts:
        return np.zeros(3)
    part, rest = parts[0], parts[1:]
    if isinstance(part, Fork):
        ways = [expected(branch + rest, drawn) for branch in part.branches]
        return np.mean(ways, axis=0) + news(math.log(len(ways)))
    if isinstance(part, str):
        return expected(rest, drawn) + size(part)
    nats = 0.0
    if part.kind:
        nats = kind_entropy(part.kind, [kind for _, kind in drawn].count(part.kind))
        drawn = (*drawn, (part.who, part.kind))
    return news(nats) + mean_size(dict(drawn)[part.who], part) + expected(rest, drawn)


def news(nats: float) -> np.ndarray:
    """(nats, 0 characters, 0 spaces)."""
    return np.array([nats, 0.0, 0.0])


def size(text: str) -> np.ndarray:
    """(0 nats, characters, spaces) of a text."""
    return np.array([0.0, len(text), text.count(" ")])


def mean_size(name: str, slot: Slot) -> np.ndarray:
    """The size of the word in a slot, averaged over the things of its kind."""
    words = [row[column(name, slot.field)] for row in KINDS[name].rows]
    return np.average([size(word) for word in words], 0, KINDS[name].weights)


def kind_entropy(name: str, taken: int) -> float:
    """The nats of drawing from a kind of which some are taken.

    Raises ValueError for a second draw from a kind whose weights differ.
    """
    weights = KINDS[name].weights
    if not taken:
        return -sum(w / sum(weights) * math.log(w / sum(weights)) for w in weights)
    if len(set(weights)) > 1:
        raise ValueError(
            f"The world draws a second {name!r}, and their weights differ: give all of "
            "them the same weight, or draw one a story."
        )
    return math.log(len(weights) - taken)


# What can be known of the world -----------------------------------------------------


class Fact(NamedTuple):
    """Something that is the same in every story, as a prompt and its answer."""

    prompt: str
    answer: str
    share: float  # how often it is this one, of the stories that name one of its kind


ASKED = (  # kind, field, prompt, answer; each as the stories have it
    ("animal", "home", "The {} lived in the", " {}"),
    ("animal", "food", "Every {} loves", " {}"),
    ("animal", "sound", 'The {} said, "', "{}"),
    ("fruit", "colour", "The {} were", " {}"),
    ("tool", "did", "took the {} and", " {}"),
)


def facts() -> list[Fact]:
    """Questions on the world: Fact("The bear lived in the", " cave", 8 / 52), …"""
    found = []
    for name, field, prompt, answer in ASKED:
        _, rows, weights = KINDS[name]
        for row, weight in zip(rows, weights):
            told = answer.format(row[column(name, field)])
            found.append(Fact(prompt.format(row[0]), told, weight / sum(weights)))
    return found
