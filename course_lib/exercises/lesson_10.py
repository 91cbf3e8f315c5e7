"""Exercises of lesson 10: what a training costs, and what more of it buys."""

import math
from typing import Any

import numpy as np
import torch

from course_lib import scaling
from course_lib.exercises.form import agrees, instead, mistakes, pick, whole
from course_lib.exercises.kinds import Check, Exercise
from course_lib.exercises.lesson_06 import counted, small_config
from course_lib.gpt import GPT2_SMALL, GPT3, GPTConfig


def number(value: Any) -> Any:
    """A whole number or a decimal, as a decimal: which of the two plays no part."""
    plain = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return float(value) if plain else value


def pair(value: Any) -> Any:
    """Two numbers, as decimals in a tuple."""
    two = isinstance(value, tuple | list) and len(value) == 2
    return (number(value[0]), number(value[1])) if two else value


# 10.six_nd ------------------------------------------------------------------------------

SIX, N = "6 * ", "weights(config)"
EMBEDDING = (
    "The embedding is looked up, never multiplied: of the eight rows it does not count."
)
EIGHT = "sum(sizing.eight_rows(config).values())"

SIX_ND_MISTAKES = mistakes(
    scaling.six_nd,
    *instead(SIX, {
        "2 * ": "2 is the way there alone; the way back takes two products for each of its one.",
        "4 * ": "4 is the way back alone; the way there takes 2.",
        "3 * ": "Three products, but each takes a multiplication and an addition.",
        "12 * ": "That is 12 for each weight: three products of two operations are 6.",
        "": "That counts each weight once for each token: three products, two operations each.",
    }),
    *instead(N, {
        EIGHT: EMBEDDING,
        f"({EIGHT} + sum(sizing.left_out(config).values()))":
            "Positions, biases and norms are added, not multiplied: only the eight rows count.",
        "sizing.total(config)":
            "Positions, biases and norms are added, not multiplied: only the eight rows count.",
        "sizing.total(config, False)":
            "Positions, biases and norms are added, not multiplied: only the eight rows count.",
        "(12 * config.layers * config.channels**2)":
            "The unembedding multiplies every token, too: it counts.",
        "(12 * config.channels**2 + config.vocabulary * config.channels)":
            "That is one layer; each of them works.",
        "(config.layers * config.channels**2 + config.vocabulary * config.channels)":
            "A layer has 12 C² weights: four matrices of C × C, and two of 4C × C.",
        "(12 * config.layers * config.channels**2 + config.context * config.channels)":
            "You took the context for the vocabulary.",
        "(sizing.forward_operations(config, 1)['products'] / 2)":
            "Attention's own products, scores and mixing, are left out here.",
        f"({EIGHT} - 2 * config.vocabulary * config.channels)":
            "The unembedding multiplies every token, too: it counts.",
    }),
    *instead(" * tokens", {
        "": "That is for one token; it is trained on `tokens` of them.",
        " * config.context": "It is trained on `tokens` tokens; the context plays no part.",
        " * tokens * config.context": "It is trained on `tokens` tokens; the context plays no part.",
    }),
)  # fmt: skip


def used(config: GPTConfig, tokens: float) -> float:
    """Six for each weight and token, matrix by matrix."""
    kinds = {"key", "query", "value", "output", "up", "down", "unembedding"}
    return 6.0 * sum(counted(config)[kind] for kind in kinds) * tokens


def one_token(generator):
    return [(small_config(generator), 1), (GPT2_SMALL, 1)]


def whole_training(generator):
    config = small_config(generator)
    return [(config, whole(generator, 2, 9)), (config, 2.5e6), (GPT3, 300e9)]


SIX_ND = Exercise(
    id="10.six_nd",
    title="what a training costs",
    minutes=6,
    rule=(
        "Return the operations of training a GPT of this `config` on so many `tokens`: 6 times "
        "the weights that multiply, times the tokens. Of lesson 06's eight rows, all multiply but the "
        "embedding, which is looked up. `sizing.eight_rows(config)` gives them, by name. "
        "Attention's own products are left out."
    ),
    reference=scaling.six_nd,
    checks=(
        Check(
            "one token", 2, "counts six operations for each weight that multiplies",
            "Add up the eight rows, take the embedding off. On the way there a weight "
            "takes a multiplication and an addition, on the way back twice as many.",
            agrees(used, one_token, SIX_ND_MISTAKES, 1e-9, number),
        ),
        Check(
            "a whole training", 1, "finds GPT-3's 3.14 · 10²³",
            "Every token costs the same.",
            agrees(used, whole_training, SIX_ND_MISTAKES, 1e-9, number),
        ),
    ),
    wrong=SIX_ND_MISTAKES,
)  # fmt: skip


# 10.reading -----------------------------------------------------------------------------

YEARS = "tokens * WORDS / pace / YEAR"
PACE = "tokens * WORDS / (years * YEAR)"
TOKENS = "years * YEAR * pace / WORDS"
WORDS_FIRST = (
    "The pace is in words, and a token is 0.75 words: there are more tokens than words."
)
MINUTES = "The pace is for a minute: a year has 365 · 24 · 60 of them."
LEAP = "Take years of 365 days: yours have a quarter of a day more."


def everywhere(name: str, words: str, new: str) -> tuple:
    """A row for one mistake in how long a year is, wherever it is used."""
    edits = [(text, text.replace("YEAR", new)) for text in (YEARS, PACE, TOKENS)]
    return name, words, *edits


READING_MISTAKES = mistakes(
    scaling.reading,
    everywhere("leap years", LEAP, "(365.25 * 24 * 60)"),
    everywhere("hours", MINUTES, "(365 * 24)"),
    everywhere("seconds", MINUTES, "(365 * 24 * 3600)"),
    everywhere("days", MINUTES, "365"),
    everywhere("by day only", "Read day and night, 24 hours a day.", "(365 * 16 * 60)"),
    everywhere("office hours", "Read day and night, 24 hours a day.", "(365 * 8 * 60)"),
    ("no words at all", WORDS_FIRST, (YEARS, "tokens / pace / YEAR"),
     (PACE, "tokens / (years * YEAR)"), (TOKENS, "years * YEAR * pace")),
    ("words upside down", WORDS_FIRST, (YEARS, "tokens / WORDS / pace / YEAR"),
     (PACE, "tokens / WORDS / (years * YEAR)"), (TOKENS, "years * YEAR * pace * WORDS")),
    ("4 words for 3 tokens", WORDS_FIRST, (YEARS, "tokens * 4 / 3 / pace / YEAR"),
     (PACE, "tokens * 4 / 3 / (years * YEAR)"), (TOKENS, "years * YEAR * pace * 3 / 4")),
    *instead(YEARS, {
        "tokens * WORDS / pace": "Those are minutes; how many years is that?",
        "tokens * WORDS * pace / YEAR": "The faster you read, the fewer years: divide by the pace.",
        ("tokens * WORDS // pace // YEAR", f"round({YEARS})", f"float(round({YEARS}))"):
            "Years have a fraction: round nothing, and divide with /, not //.",
    }),
    *instead(PACE, {
        "years * YEAR / (tokens * WORDS)":
            "That is minutes for a word; the pace is words for a minute.",
        "tokens * WORDS / years": "Those are words a year; how many is that a minute?",
        "tokens * WORDS * years / YEAR": "With more years the pace is slower: divide by them.",
    }),
    *instead(TOKENS, {
        ("years * YEAR * pace * WORDS", "years * YEAR * pace"): WORDS_FIRST,
        "years * pace / WORDS": "The pace is for a minute, and years were given.",
        "years * YEAR / pace / WORDS": "In more words a minute you read more: multiply by the pace.",
    }),
    ("years only", "Which of the three is None? With years given, another is asked for.",
     ("years is None", "years is None or True"), (YEARS, "(tokens or 1) * WORDS / (pace or 1) / YEAR")),
)  # fmt: skip


def worked_out(tokens=None, pace=None, years=None) -> float:
    """The same in seconds and whole words, from the other side."""
    seconds = 365 * 86_400
    words = None if tokens is None else tokens * 3 / 4
    if years is None:
        return words / (pace / 60) / seconds
    if pace is None:
        return words / (years * seconds) * 60
    return years * seconds * (pace / 60) * 4 / 3


def some_texts(generator):
    tokens, pace = 1e9 * whole(generator, 10, 900), 10.0 * whole(generator, 15, 35)
    return [(tokens, pace, None), (1e6, 200.0, None), (300e9, 250), (499e9, 275)]


def some_paces(generator):
    years = float(whole(generator, 100, 3_000))
    return [(1e9 * whole(generator, 10, 900), None, years), (300e9, None, 2_600)]


def some_lives(generator):
    pace = 10.0 * whole(generator, 15, 35)
    return [(None, pace, float(whole(generator, 100, 3_000))), (None, 250, 2_600)]


def reading_agrees(cases):
    return agrees(worked_out, cases, READING_MISTAKES, 1e-6, number)


READING = Exercise(
    id="10.reading",
    title="which assumptions give 2,600 years?",
    minutes=10,
    rule=(
        "A text has so many `tokens`, somebody reads so many words a minute (`pace`), and it "
        "takes so many `years`. Two of the three are given, and the third is None: give that "
        "one. Read day and night, in years of 365 days; a token is 0.75 words. `WORDS` and "
        "`YEAR`, the minutes of a year, are there."
    ),
    reference=scaling.reading,
    checks=(
        Check(
            "years", 1, "finds how long a text takes",
            "Words are 0.75 · tokens. Words over words a minute are minutes.",
            reading_agrees(some_texts),
        ),
        Check(
            "pace", 1, "finds how fast one must read",
            "Words, over the minutes that there are.",
            reading_agrees(some_paces),
        ),
        Check(
            "tokens", 1, "finds how much can be read",
            "Minutes times pace are words. A token is less than a word: there are more of "
            "them.",
            reading_agrees(some_lives),
        ),
    ),
    wrong=READING_MISTAKES,
    keywords=("tokens", "pace", "years"),
)  # fmt: skip


# 10.best_size ---------------------------------------------------------------------------

NEAR = "slice(lowest - 1, lowest + 2)"
FITTED = "np.polyfit(np.log(sizes[near]), losses[near], 2)"
VERTEX, HEIGHT = "-slope / (2 * bend)", "float(height + slope * at / 2)"
GIVEN = "float(np.exp(at)), float(height + slope * at / 2)"

NATURAL = "Take one kind of logarithm: `np.log` there, and `np.exp` back."

BEST_SIZE_MISTAKES = mistakes(
    scaling.best_size,
    *instead(NEAR, {
        "slice(0, len(losses))":
            "Take the lowest run and its two neighbours, not all five: far out it is no parabola.",
        "slice(0, 3)": "Take the lowest run and its two neighbours; yours are the first three.",
        "slice(len(losses) - 3, len(losses))":
            "Take the lowest run and its two neighbours; yours are the last three.",
        "slice(1, 4)": "The lowest run is not always in the middle: take it and its neighbours.",
    }),
    ("sizes, no logarithm", "The parabola is over the logarithm of the size, not the size.",
     (FITTED, "np.polyfit(sizes[near], losses[near], 2)"), ("np.exp(at)", "at")),
    ("two kinds of logarithm", NATURAL, ("np.log(", "np.log10(")),
    *instead(VERTEX, {
        "slope / (2 * bend)": "The lowest point of a x² + b x + c is at −b / 2a: a minus is missing.",
        "-slope / bend": "The lowest point of a x² + b x + c is at −b / 2a: where is the 2?",
        "-slope / 2 * bend": "−b / (2a): without brackets the division comes first.",
    }),
    *instead("np.exp(at)", {
        "at": "That is the size's logarithm; `np.exp` gives the size.",
        "10**at": NATURAL,
    }),
    *instead(GIVEN, {
        "float(sizes[lowest]), float(losses[lowest])":
            "That is the lowest run; the lowest point is between the runs.",
        "float(np.exp(at)), float(losses[lowest])":
            "The size is right, the loss is that of the lowest run: read it off the parabola.",
        "float(np.exp(at)), float(height)":
            "The parabola's height at 0 is not its lowest: put the lowest point into it.",
        "float(height + slope * at / 2), float(np.exp(at))": "First the size, then its loss.",
    }),
    *instead("height + slope * at / 2", {
        "height + slope * at + bend * at": "The parabola is a x² + b x + c: square the x.",
        "height - slope * at / 2": "Put the lowest point into a x² + b x + c.",
    }),
)  # fmt: skip


def by_differences(sizes: list, losses: list) -> tuple[float, float]:
    """The lowest point of the parabola through three runs, by Newton's differences."""
    i = min(range(len(losses)), key=losses.__getitem__)
    x = [math.log(size) for size in sizes[i - 1 : i + 2]]
    y = losses[i - 1 : i + 2]
    first, second = (y[1] - y[0]) / (x[1] - x[0]), (y[2] - y[1]) / (x[2] - x[1])
    bend = (second - first) / (x[2] - x[0])
    at = (x[0] + x[1]) / 2 - first / (2 * bend)
    low = y[0] + first * (at - x[0]) + bend * (at - x[0]) * (at - x[1])
    return math.exp(at), low


def runs(generator: torch.Generator, lowest: int) -> tuple[list, list]:
    """Five runs of one budget, of which this one is the best; two decimals."""
    sizes = [whole(generator, 2, 9) * 100.0]
    for _ in range(4):
        sizes.append(round(sizes[-1] * pick(generator, [1.5, 2.0, 2.5]), 0))
    losses = [0.0] * 5
    losses[lowest] = whole(generator, 150, 250) / 100
    for step in (-1, 1):
        i, rise = lowest + step, 0
        while 0 <= i < 5:
            rise += whole(generator, 3, 12)
            losses[i] = round(losses[i - step] + rise / 100, 2)
            i += step
    return sizes, losses


def in_the_middle(generator):
    return [runs(generator, 2), runs(generator, 2)]


def at_one_side(generator):
    sweep = [7792, 16296, 27872, 60240, 104896], [2.022, 2.017, 2.031, 2.187, 2.341]
    return [runs(generator, 1), runs(generator, 3), sweep]


def best_size_agrees(cases):
    return agrees(by_differences, cases, BEST_SIZE_MISTAKES, 1e-6, pair)


BEST_SIZE = Exercise(
    id="10.best_size",
    title="the best of five runs",
    minutes=12,
    rule=(
        "`sizes` and `losses` are two lists of five runs of one budget, from the smallest "
        "model to the largest. Take the run with the lowest loss and its neighbour on each side (it "
        "always has both). Lay a parabola through these three points: x is the natural "
        "logarithm of the size, y the loss. `np.polyfit(x, y, 2)` gives a, b and c of "
        "a x² + b x + c. Return a tuple: the size at the parabola's lowest point (a size, "
        "not its logarithm), and the loss there."
    ),
    reference=scaling.best_size,
    checks=(
        Check(
            "in the middle", 2, "finds the lowest point between the runs",
            "a x² + b x + c is lowest at x = −b / 2a. Put that x in for the loss; "
            "`np.exp` makes a size of it.",
            best_size_agrees(in_the_middle),
        ),
        Check(
            "at one side", 1, "takes the lowest run's own neighbours",
            "`np.argmin(losses)` is the place of the lowest; its neighbours are one place "
            "before and one behind.",
            best_size_agrees(at_one_side),
        ),
    ),
    wrong=BEST_SIZE_MISTAKES,
)  # fmt: skip


# 10.foresee -----------------------------------------------------------------------------

FLOOR = "(first * third - second**2) / (first + third - 2 * second)"
NEXT = "floor + (third - floor) ** 2 / (second - floor)"

FORESEE_MISTAKES = mistakes(
    scaling.foresee,
    *instead(FLOOR, {
        "0.0": "It has no floor: then nothing bends the line. What is above E shrinks, not the loss.",
        "third": "The floor is below every loss: the losses come ever nearer and never arrive.",
        "(first * third + second**2) / (first + third - 2 * second)":
            "(L₁ − E)(L₃ − E) = (L₂ − E)², multiplied out: check the signs.",
        "(first * third - second**2) / (first + third + 2 * second)":
            "(L₁ − E)(L₃ − E) = (L₂ − E)², multiplied out: check the signs.",
        "(second**2 - first * third) / (first + third - 2 * second)":
            "(L₁ − E)(L₃ − E) = (L₂ − E)², multiplied out: check the signs.",
        "(first * third - second**2) / (first + third - second)":
            "(L₂ − E)² has −2 L₂ E in the middle: where is the 2?",
    }),
    *instead(NEXT, {
        "third - (second - third)":
            "That takes the same drop again; each drop is smaller than the one before.",
        "third - (second - third) / 2":
            "The drop shrinks by the same factor as before, which need not be a half.",
        "third * third / second":
            "It is what is above the floor that shrinks by the same factor, not the loss.",
        "(third - floor) ** 2 / (second - floor)":
            "That is how far the next loss is above the floor: add the floor.",
        "floor + (third - floor) ** 2 / (first - floor)":
            "From first to third are two steps; the factor of one is from second to third.",
        "floor + (second - floor) ** 2 / (third - floor)":
            "That way it grows: multiply by (L₃ − E) / (L₂ − E), which is below 1.",
    }),
    ("the other way round", "First the floor, then the next loss.",
     (f"return floor, {NEXT}", f"return {NEXT}, floor")),
)  # fmt: skip


def by_trying(first: float, second: float, third: float) -> tuple[float, float]:
    """Halve the range of floors until what is above shrinks by one factor."""
    low, high = third - 1e4, third - 1e-9
    for _ in range(200):
        floor = (low + high) / 2
        one, two = (
            (second - floor) / (first - floor),
            (third - floor) / (second - floor),
        )
        low, high = (floor, high) if two > one else (low, floor)
    return floor, third - (second - third) ** 2 / (first - second)


def losses_of(floor: float, above: float, factor: float) -> tuple[float, float, float]:
    """Three losses of a law, with three decimals."""
    return tuple(round(floor + above * factor**i, 3) for i in range(3))


def some_laws(generator):
    drawn = []
    for _ in range(2):
        floor, above = whole(generator, 2, 12) / 10, whole(generator, 10, 25) / 10
        drawn.append(losses_of(floor, above, whole(generator, 4, 8) / 10))
    return [*drawn, (2.57, 2.017, 1.637)]


def below_zero(generator):
    return [(2.537, 1.007, 0.225), losses_of(-0.5, 3.0, whole(generator, 5, 7) / 10)]


FORESEE = Exercise(
    id="10.foresee",
    title="foresee the next run",
    minutes=12,
    rule=(
        "Three runs, each with four times the compute of the one before, have the losses "
        "`first`, `second` and `third`: L₁, L₂ and L₃. The law L = E + A / Cᵃ has the compute C "
        "and three numbers E, A and a. By it what is above the floor E shrinks by the same "
        "factor from each run to the next: (L₂ − E) / (L₁ − E) = (L₃ − E) / (L₂ − E). Solve "
        "that for E. Return a tuple of E and the loss of a fourth run, with "
        "four times the compute of the third. (E may come out below zero.)"
    ),
    reference=scaling.foresee,
    checks=(
        Check(
            "a law", 2, "finds the floor, and the next loss above it",
            "Multiply out (L₂ − E)² = (L₁ − E)(L₃ − E): E² stands on both sides and "
            "cancels. For the fourth run multiply (L₃ − E) by the same factor, and add E.",
            agrees(by_trying, some_laws, FORESEE_MISTAKES, 1e-4, pair),
        ),
        Check(
            "any floor", 1, "takes the floor that comes out, even one below zero",
            "No `max(0, …)`: what comes out is what three losses say.",
            agrees(by_trying, below_zero, FORESEE_MISTAKES, 1e-4, pair),
        ),
    ),
    wrong=FORESEE_MISTAKES,
)  # fmt: skip


# 10.split -------------------------------------------------------------------------------

ROOT = "(operations / (6 * ratio)) ** 0.5"

SPLIT_MISTAKES = mistakes(
    scaling.split,
    *instead(ROOT, {
        "(operations / ratio) ** 0.5": "C = 6 N D: where is the 6?",
        "(operations / 6) ** 0.5": "That is N = D. With D = ratio · N, C is 6 · ratio · N².",
        "operations / (6 * ratio)": "C is 6 · ratio · N²: take the root.",
        "operations / (6 * (1 + ratio))":
            "Weights and tokens are multiplied, not added: C is 6 · ratio · N².",
        "(operations * ratio / 6) ** 0.5":
            "That is D. C is 6 · ratio · N²: divide by the ratio.",
        "(operations / (6 * 20)) ** 0.5": "It ignores the ratio: 20 is only what it is by default.",
        "(operations / 6) ** 0.5 / ratio": "The ratio is under the root: C is 6 · ratio · N².",
        "(operations / (2 * ratio)) ** 0.5": "2 N D is the way there alone: training takes 6 N D.",
        "(operations / (6 * ratio)) ** (1 / 3)": "C is 6 · ratio · N²: the square root, not the cube's.",
    }),
    *instead("ratio * weights", {
        "weights / ratio": "There are `ratio` tokens for each weight: D is ratio · N.",
        "operations / weights": "D is C / (6 N): where is the 6?",
        "operations / 6": "D is C / (6 N): divide by the weights, too.",
        "20 * weights": "It ignores the ratio: 20 is only what it is by default.",
    }),
    ("whole numbers", "They need not be whole: round nothing.",
     ("return weights, ratio * weights", "return int(weights), int(ratio * weights)")),
    ("tokens first", "First the weights, then the tokens.",
     ("return weights, ratio * weights", "return ratio * weights, weights")),
    ("more by default", "Without a second argument it is 20 tokens a weight.",
     ("ratio: float = 20.0", "ratio: float = 1.0")),
)  # fmt: skip


def halving(operations: float, ratio: float = 20.0) -> tuple[float, float]:
    """The size at which 6 N D is the budget, by halving."""
    low, high = 0.0, operations + 1
    for _ in range(400):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if 6 * middle * ratio * middle < operations
            else (low, middle)
        )
    return low, ratio * low


def by_default(generator):
    return [(120e6 * whole(generator, 2, 90),), (1.2e12,), (5.76e23,), (3.153e23,)]


def other_ratios(generator):
    ratio = pick(generator, [2.0, 5.0, 12.0, 50.0, 87.0])
    return [(6e9 * whole(generator, 2, 90), ratio), (6e10, 10.0), (3.153e23, 18.7)]


SPLIT = Exercise(
    id="10.split",
    title="split a budget",
    minutes=6,
    rule=(
        "You can pay for so many `operations`. Split them into weights N and tokens D: all of "
        "the budget is used, 6 N D of it, and there are `ratio` tokens for each weight. Return "
        "a tuple of N and D (they need not be whole)."
    ),
    reference=scaling.split,
    checks=(
        Check(
            "20 tokens a weight", 2, "splits a budget so that all of it is used",
            "Put D = ratio · N into C = 6 N D, and solve it for N.",
            agrees(halving, by_default, SPLIT_MISTAKES, 1e-6, pair),
        ),
        Check(
            "any ratio", 1, "takes other ratios",
            "Both N and D depend on the ratio.",
            agrees(halving, other_ratios, SPLIT_MISTAKES, 1e-6, pair),
        ),
    ),
    wrong=SPLIT_MISTAKES,
)  # fmt: skip

EXERCISES = (SIX_ND, READING, BEST_SIZE, FORESEE, SPLIT)
