"""Questions with numbers of a class's own: the same seed asks the same, another other ones.

An answer that stands on the web fits no other class. Each question takes a few minutes
with what its lesson built; its answer is computed here, by the course's own code.
`assignment release 06 OUT --seed SPRING` adds them to a lesson.
"""

import math
import random
from collections.abc import Callable
from dataclasses import replace

import torch

from course_lib import gpt, sampling, scaling, sizing, tokenizer, train
from course_lib.exercises.kinds import Check, Exercise, Mistake, Wrong
from course_lib.exercises.wants import want_type
from course_lib.gpt import GPTConfig

POINTS = 2
CLOSE = 2e-3  # relative or absolute: three digits will do
TRIES = 1_000  # seeds in which a mistake gives the right number by chance


def numbers(lesson: str, seed: str) -> tuple[Exercise, ...]:
    """The questions of a lesson for one class; none if the lesson has none."""
    make = QUESTIONS.get(lesson)
    if make is None:
        return ()
    for attempt in range(TRIES):
        exercise = make(random.Random(f"{lesson} {seed} {attempt}"))
        if told_apart(exercise):
            return (replace(exercise, id=f"{exercise.id}@{seed}"),)
    raise AssertionError(f"No numbers tell right from wrong in lesson {lesson}.")


def told_apart(exercise: Exercise) -> bool:
    """Whether no likely mistake gives the right number, or that of another mistake."""
    values = [exercise.reference, *(wrong.answer for wrong in exercise.wrong)]
    gaps = [(a, b) for i, a in enumerate(values) for b in values[i + 1 :]]
    return not any(equal(a, b) or equal((a + b) / 2, b) for a, b in gaps)


def equal(value: int | float, wanted: int | float) -> bool:
    """Whole numbers to the last digit, others to three digits."""
    if type(wanted) is int:
        return value == wanted
    return abs(value - wanted) <= CLOSE * max(1.0, abs(wanted))


def question(
    id: str, title: str, minutes: int, rule: str, answer: int | float, wrong: list
) -> Exercise:
    """An exercise whose answer is one number; wrong has (name, number, words)."""
    kind = type(answer)
    wanted = "an `int`" if kind is int else "a `float`, to three digits or better"
    mistakes = tuple(Wrong(name, value, words) for name, value, words in wrong)
    check = Check(
        "number",
        POINTS,
        "is the number",
        "Let your functions of this lesson compute it; don't do it in your head.",
        checker(id.split(".")[1], answer, mistakes),
    )
    rule = f"{rule} Write the number, {wanted}, or let your code compute it."
    return Exercise(id, title, minutes, rule, answer, (check,), mistakes)


def checker(name: str, answer: int | float, mistakes: tuple[Wrong, ...]) -> Callable:
    """A check for one number, which knows the likely mistakes."""

    def run(value, generator):
        want_type(value, type(answer), name)
        for wrong in mistakes:
            if equal(value, wrong.answer):
                raise Mistake(wrong.words)
        if not equal(value, answer):  # and no word of what it is
            raise Mistake(f"{name} is {value:.9g}, and that is not the number.")

    return run


# The questions, one a lesson -----------------------------------------------------------


def ruler(r: random.Random) -> Exercise:
    cuts = sorted(r.sample(range(3, 98), 5))
    shares = [b - a for a, b in zip([0, *cuts], [*cuts, 100])]
    point = r.randrange(100) + r.choice((0.3, 0.7))
    answer = sum(cut <= point for cut in cuts)
    return question(
        "00.ruler", "a point on your ruler", 3,
        f"Six tokens, ids 0 to 5, have the probabilities {listed(shares)} per cent, laid "
        f"end to end on a ruler. The random number is {point / 100:.3f}. Which id is drawn?",
        answer,
        [
            ("one further", answer + 1,
             "That is one further: the first token has the id 0."),
            ("one before", answer - 1, "That is one before: add up again."),
            ("the likeliest", shares.index(max(shares)),
             "That is the likeliest token; the point decides."),
        ],
    )  # fmt: skip


def parts(r: random.Random) -> Exercise:
    chunk = "".join(r.choice("abc") for _ in range(12))
    merges = r.sample(["aa", "ab", "ac", "ba", "bb", "bc", "ca", "cb", "cc"], 3)
    merges.append(merges[0] + r.choice("abc"))
    ranks = {bytes([i]): i for i in range(256)}
    ranks |= {merge.encode(): 256 + i for i, merge in enumerate(merges)}
    answer = len(tokenizer.encode_chunk(chunk.encode(), ranks))
    last = 255 + len(merges)
    backwards = ranks | {m.encode(): last - i for i, m in enumerate(merges)}
    return question(
        "01.parts", "a chunk of your own", 4,
        f"Single bytes have the ranks 0 to 255, and after them come {listed(merges)}, "
        f"in this order. How many tokens is the chunk `{chunk}`?",
        answer,
        [
            ("bytes", len(chunk), "That is the number of bytes: nothing was glued."),
            ("first merge only", len(chunk) - chunk.count(merges[0]),
             "That is the first merge only; go on until no pair is known."),
            ("last rank first", len(tokenizer.encode_chunk(chunk.encode(), backwards)),
             "That takes the highest rank first; the lowest comes first."),
        ],
    )  # fmt: skip


def angle(r: random.Random) -> Exercise:
    a = [r.choice((-4, -3, -2, -1, 1, 2, 3, 4)) for _ in range(4)]
    b = [r.choice((-4, -3, -2, -1, 1, 2, 3, 4)) for _ in range(4)]
    dot = sum(x * y for x, y in zip(a, b))
    size = math.hypot(*a), math.hypot(*b)
    return question(
        "02.angle", "two vectors of your own", 3,
        f"What is the cosine of {a} and {b}?",
        dot / (size[0] * size[1]),
        [
            ("dot", float(dot), "That is the dot product; divide by both lengths."),
            ("one length", dot / size[0],
             "That is divided by one length; divide by both."),
            ("distance", math.dist(a, b),
             "That is a distance; the cosine is a dot product, divided."),
            ("squares", dot / (size[0] * size[1]) ** 2, "The lengths are squared."),
        ],
    )  # fmt: skip


def weight(r: random.Random) -> Exercise:
    rows = torch.tensor([[float(r.randint(-2, 2)) for _ in range(4)] for _ in range(6)])
    query, key = rows[:3], rows[3:]
    scores = gpt.scores(query, key)  # (3, 3)

    def at(matrix: torch.Tensor) -> float:
        return float(matrix[1, 0])

    return question(
        "03.weight", "a weight of your own", 5,
        f"Three tokens have the queries {whole_rows(query)} and the keys "
        f"{whole_rows(key)}. What weight does position 1 give to position 0? Both may "
        "look at what came before, not at what comes after.",
        at(gpt.attention_weights(scores)),
        [
            ("no mask", at(scores.softmax(-1)),
             "Position 1 looks at position 2: mask it."),
            ("no root", at(gpt.attention_weights(scores * 2)),
             "The scores are not divided by √D."),
            ("score", at(scores), "That is the score; the softmax makes it a weight."),
        ],
    )  # fmt: skip


def neurons(r: random.Random) -> Exercise:
    x, bias, down = ([r.randint(-3, 3) for _ in range(3)] for _ in range(3))
    up = [[r.randint(-2, 2) for _ in range(3)] for _ in range(3)]
    asked = [sum(u * n for u, n in zip(row, x)) for row in up]

    def total(values: list[int]) -> float:
        return float(sum(d * value for d, value in zip(down, values)))

    fired = [max(0, a + b) for a, b in zip(asked, bias)]
    return question(
        "04.neurons", "three neurons of your own", 4,
        f"An MLP with ReLU reads x = {x}. The rows of `up` are {up}, the bias is {bias}, "
        f"and `down` has one row, {down}. What number comes out?",
        total(fired),
        [
            ("no relu", total([a + b for a, b in zip(asked, bias)]),
             "Nothing was cut off below zero."),
            ("no bias", total([max(0, a) for a in asked]), "The bias is missing."),
            ("bias after", total([max(0, a) + b for a, b in zip(asked, bias)]),
             "The bias comes before the switch."),
        ],
    )  # fmt: skip


def warm(r: random.Random) -> Exercise:
    logits = [round(r.uniform(0.2, 3), 1) for _ in range(4)]
    temperature = r.choice((0.5, 0.6, 0.7, 1.5, 1.6, 1.8, 2.5))

    def likeliest(values: list[float], temperature: float) -> float:
        return float(sampling.softmax(torch.tensor(values), temperature).max())

    return question(
        "05.warm", "a temperature of your own", 3,
        f"The logits are {logits}. What probability has the likeliest token at the "
        f"temperature {temperature}?",
        likeliest(logits, temperature),
        [
            ("multiplied", likeliest(logits, 1 / temperature),
             "The temperature divides the logits."),
            ("at one", likeliest(logits, 1.0),
             "That is the probability at temperature 1."),
            ("share of logits", max(logits) / sum(logits),
             "That is a share of the logits; take e to the power of each first."),
        ],
    )  # fmt: skip


def weights(r: random.Random) -> Exercise:
    heads = r.choice((8, 12, 16, 20, 24))
    config = GPTConfig(
        vocabulary=r.randrange(20_000, 60_000),
        context=r.choice((512, 1_024, 2_048)),
        layers=r.randrange(10, 60),
        channels=heads * r.choice((64, 80, 96, 128)),
        heads=heads,
    )
    rows = sum(sizing.eight_rows(config).values())
    return question(
        "06.weights", "a GPT of your own to count", 4,
        f"How many weights has a GPT with a vocabulary of {config.vocabulary:,}, a "
        f"context of {config.context:,}, {config.layers} layers, {config.channels:,} "
        f"channels and {config.heads} heads? Its unembedding is its embedding.",
        sizing.total(config),
        [
            ("untied", sizing.total(config, tied=False),
             "The embedding counts once: it is the unembedding too."),
            ("eight rows", rows,
             "Those are the eight rows; there is more, and one matrix counts once."),
            ("rows, tied", rows - config.vocabulary * config.channels,
             "Positions, biases and norms are missing."),
        ],
    )  # fmt: skip


def slope(r: random.Random) -> Exercise:
    w, x, y = (r.choice((-4, -3, -2, 2, 3, 4)) for _ in range(3))
    miss = w * x - y
    return question(
        "07.slope", "a slope of your own", 3,
        f"The loss is (w · x - y)², with w = {w}, x = {x} and y = {y}. By how much does it "
        "rise for each unit that w rises, at this point?",
        float(2 * miss * x),
        [
            ("no two", float(miss * x), "The 2 is missing: the slope of m² is 2m."),
            ("no x", float(2 * miss), "w is multiplied by x: the slope is too."),
            ("sign", float(-2 * miss * x), "The sign is wrong: that is downhill."),
            ("loss", float(miss**2), "That is the loss itself."),
        ],
    )  # fmt: skip


def rate(r: random.Random) -> Exercise:
    steps, warmup = r.randrange(400, 1_000, 20), r.randrange(20, 100, 5)
    step = r.randrange(warmup + 50, steps - 50)
    config = train.TrainConfig(steps=steps, warmup=warmup, batch=8, context=8)
    share = (step - warmup) / (steps - warmup)
    return question(
        "08.rate", "a moment of your own in a run", 4,
        f"A run has {steps} steps, {warmup} of them to warm up, and the schedule of this "
        f"lesson. What share of the rate does step {step} take?",
        train.rate_at(step, config),
        [
            ("to zero", (1 + math.cos(math.pi * share)) / 2,
             "That falls to 0; the schedule ends at 0.1."),
            ("a line", 1 - 0.9 * share, "That is a line; the schedule is a cosine."),
            ("no warm-up", 0.1 + 0.45 * (1 + math.cos(math.pi * step / steps)),
             "Progress counts from the end of the warm-up."),
        ],
    )  # fmt: skip


def cache(r: random.Random) -> Exercise:
    layers, heads = r.randrange(20, 80), r.randrange(12, 64)
    channels, positions = heads * 128, r.randrange(1_000, 8_000)
    right = 2 * layers * channels * positions * 2
    return question(
        "09.cache", "a cache of your own", 3,
        f"A model has {layers} layers and {channels:,} channels, all heads together, and "
        f"has read {positions:,} positions. How many bytes has its cache, at 2 bytes a "
        "number?",
        right,
        [
            ("keys", right // 2,
             "That is half of it: values are kept as well as keys."),
            ("one layer", right // layers, "That is one layer; each keeps its own."),
            ("one position", right // positions, "That is one position of the text."),
        ],
    )  # fmt: skip


def reading(r: random.Random) -> Exercise:
    tokens, pace = r.randrange(110, 900, 10), r.randrange(180, 320, 5)
    years = scaling.reading(tokens=tokens * 1e9, pace=pace)
    return question(
        "10.years", "years of reading of your own", 3,
        f"A text has {tokens} billion tokens. Somebody reads {pace} words a minute, day "
        "and night. How many years of 365 days does it take?",
        years,
        [
            ("tokens for words", years / 0.75, "A token is 0.75 words."),
            ("the wrong way", years / 0.75**2, "A word is more than a token: times 0.75."),
            ("hours", years * 60, "That takes the pace for words an hour."),
            ("eight hours a day", years * 3, "Day and night are 24 hours."),
        ],
    )  # fmt: skip


def grouped(r: random.Random) -> Exercise:
    layers, heads, size = r.randrange(20, 80), r.randrange(2, 9), 64 * r.randrange(1, 3)
    groups = r.randrange(3, 8)
    right = 2 * layers * heads * size * 2
    return question(
        "11.cache", "a grouped cache of your own", 3,
        f"A model has {layers} layers, {heads * groups} query heads and {heads} key and "
        f"value heads of {size} channels. How many bytes does its cache take for a token, "
        "at 2 bytes a number?",
        right,
        [
            ("query heads", right * groups, "Only keys and values are kept."),
            ("half", right // 2,
             "That is half: keys and values are kept, at 2 bytes a number."),
            ("one layer", right // layers, "That is one layer; each keeps its own."),
        ],
    )  # fmt: skip


def preferred(r: random.Random) -> Exercise:
    one, other = (round(r.uniform(0.3, 2.8), 1) for _ in range(2))
    right = 1 / (1 + math.exp(other - one))
    return question(
        "12.preferred", "a pair of your own", 3,
        f"A reward model gives one story the reward {one} and another one {other}. With "
        "what probability does a person pick the first, by Bradley and Terry?",
        right,
        [
            ("the other", 1 - right, "That is the probability of the second."),
            ("share", one / (one + other),
             "That is a share of the rewards; take σ of their difference."),
            ("alone", 1 / (1 + math.exp(-one)),
             "That is σ of the first reward; take σ of the difference."),
            ("loss", -math.log(right), "That is the loss, −log p; p is asked for."),
            ("difference", one - other, "That is the difference; take σ of it."),
        ],
    )  # fmt: skip


def ring(r: random.Random) -> Exercise:
    ranks, gigabytes = r.randrange(4, 60), r.randrange(3, 90)
    speed = r.randrange(20, 100, 5)
    right = 2 * (ranks - 1) / ranks * gigabytes / speed
    return question(
        "14.seconds", "a ring of your own", 3,
        f"{ranks} ranks add up {gigabytes} GB in a ring. A link carries {speed} GB a "
        "second. How many seconds does it take?",
        right,
        [
            ("half", right / 2, "That is one round; the sums must go round once more."),
            ("all of it", 2 * gigabytes / speed,
             "Each rank has one piece already, in each of the two rounds."),
            ("to everybody", (ranks - 1) * gigabytes / speed,
             "That is if one rank sends the whole to each of the others."),
        ],
    )  # fmt: skip


def listed(things: list) -> str:
    """Things in a sentence: 1, 2 and 3."""
    words = [f"`{thing}`" if isinstance(thing, str) else str(thing) for thing in things]
    return ", ".join(words[:-1]) + f" and {words[-1]}"


def whole_rows(matrix: torch.Tensor) -> str:
    """A small matrix of whole numbers, as Python writes it."""
    return str(matrix.int().tolist())


QUESTIONS = {
    "00": ruler, "01": parts, "02": angle, "03": weight, "04": neurons,
    "05": warm, "06": weights, "07": slope, "08": rate, "09": cache,
    "10": reading, "11": grouped, "12": preferred, "14": ring,
}  # fmt: skip
