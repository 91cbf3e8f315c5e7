"""What compute buys: operations by formula, the best size for a budget, laws of loss.

Built in lesson 10, which fits them to runs of its own and lets them foresee a larger one.
`scales` takes its operations from here.

N weights, D tokens, C operations of a whole training (its compute).
Sources: Kaplan et al. 2020 (6ND); Hoffmann et al. 2022, section 3 (the parabola,
equations 3 and 4), and Besiroglu et al. 2024 (the same law, fitted anew).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from course_lib import sizing
from course_lib.gpt import GPTConfig

WORDS = 0.75  # words a token, in English text
YEAR = 365 * 24 * 60  # minutes in a year of 365 days
BYTES = 16  # a weight in training: itself, its gradient, AdamW's two averages, 4 each
TRIES = 400  # floors that a fit tries at once

# Operations ---------------------------------------------------------------------------


def weights(config: GPTConfig) -> int:
    """N: the weights that every token is multiplied by.

    All of the eight rows but the embedding, in which a token is only looked up.
    """
    rows = sizing.eight_rows(config)
    return sum(rows.values()) - rows["embedding"]


def six_nd(config: GPTConfig, tokens: float) -> float:
    """The operations of training a GPT on so many tokens, by the rule C = 6 N D.

    Each weight is used in a product on the way there and in two on the way back, and a
    product takes a multiplication and an addition. Attention's own two products, scores
    and mixing, are left out.
    """
    return 6 * weights(config) * tokens


def operations(config: GPTConfig, context: int, tokens: float) -> float:
    """The same with attention's own products, which grow with the context: all of them."""
    window = sizing.forward_operations(config, context)["products"]
    return 3.0 * window * tokens / context


# How much that is ---------------------------------------------------------------------


def reading(
    tokens: float | None = None, pace: float | None = None, years: float | None = None
) -> float:
    """The one that is None of three: tokens of a text, words a minute, years of reading.

    Day and night, years of 365 days, 0.75 words a token.
    """
    if years is None:
        return tokens * WORDS / pace / YEAR
    if pace is None:
        return tokens * WORDS / (years * YEAR)
    return years * YEAR * pace / WORDS


def years(operations: float, speed: float) -> float:
    """How many years of 365 days so many operations take, at `speed` a second."""
    return operations / speed / (60 * YEAR)


def memory(weights: float) -> float:
    """The bytes that training needs for its weights in float32, without activations."""
    return BYTES * weights


# The best size for a budget -----------------------------------------------------------


def split(operations: float, ratio: float = 20.0) -> tuple[float, float]:
    """Split a budget C = 6 N D into weights N and tokens D, at `ratio` tokens a weight."""
    weights = (operations / (6 * ratio)) ** 0.5
    return weights, ratio * weights


def best_size(sizes: list[float], losses: list[float]) -> tuple[float, float]:
    """The size with the lowest loss, and that loss: between the runs, by a parabola.

    Of runs of one budget, from small to large. The parabola goes through the lowest run
    and its two neighbours, over the logarithm of the size. Raises ValueError where the
    lowest run is the first or the last.
    """
    lowest = int(np.argmin(losses))
    if not 0 < lowest < len(losses) - 1:
        raise ValueError("The lowest loss is at an end: try sizes beyond it.")
    near = slice(lowest - 1, lowest + 2)
    bend, slope, height = np.polyfit(np.log(sizes[near]), losses[near], 2)
    at = -slope / (2 * bend)
    return float(np.exp(at)), float(height + slope * at / 2)


# Laws of loss -------------------------------------------------------------------------


def foresee(first: float, second: float, third: float) -> tuple[float, float]:
    """Floor and next loss of a law L = E + A / C^a, from three losses.

    Each run has as many times the compute of the one before; so has the next. What is
    above the floor shrinks by the same factor each time.
    """
    floor = (first * third - second**2) / (first + third - 2 * second)
    return floor, floor + (third - floor) ** 2 / (second - floor)


@dataclass(frozen=True)
class PowerLaw:
    """L = floor + height / C^exponent."""

    floor: float
    height: float
    exponent: float

    def loss(self, operations: float) -> float:
        """The loss that the law gives for a compute."""
        return self.floor + self.height / operations**self.exponent


def fit(
    operations: Sequence[float], losses: Sequence[float], floor: float | None = None
) -> PowerLaw:
    """The law nearest to some runs, by the squares of the errors; its floor is not below 0.

    floor: E, if it is known; None: found, by trying. Raises ValueError for fewer runs
    than the law has numbers, or a loss that is not above the floor.
    """
    x, y = np.log(operations), np.asarray(losses, float)
    least = 3 if floor is None else 2
    if len(x) < least or len(x) != len(y):
        raise ValueError(
            f"{len(x)} computes and {len(y)} losses: give {least} or more."
        )
    if not min(y) > (floor or 0):
        raise ValueError(f"A loss of {min(y)} is not above the floor.")
    if floor is not None:
        return _line(x, y, floor)
    low, high = 0.0, float(min(y)) * (1 - 1e-9)
    for _ in range(4):  # each time on a grid that is finer
        floors = np.linspace(low, high, TRIES)
        misses = [_miss(_line(x, y, one), x, y) for one in floors]
        best = int(np.argmin(misses))
        low, high = floors[max(best - 1, 0)], floors[min(best + 1, TRIES - 1)]
    return _line(x, y, float(floors[best]))


def _line(x: np.ndarray, y: np.ndarray, floor: float) -> PowerLaw:
    """With a floor that is given, the law is a line in the logarithms."""
    slope, height = np.polyfit(x, np.log(y - floor), 1)
    return PowerLaw(floor, float(np.exp(height)), float(-slope))


def _miss(law: PowerLaw, x: np.ndarray, y: np.ndarray) -> float:
    return float(((law.loss(np.exp(x)) - y) ** 2).sum())


@dataclass(frozen=True)
class Chinchilla:
    """L = E + A / N^α + B / D^β: what a loss costs in weights, and what in tokens."""

    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def loss(self, weights: float, tokens: float) -> float:
        """The loss of a model of so many weights, trained on so many tokens."""
        return self.E + self.A / weights**self.alpha + self.B / tokens**self.beta

    def split(self, operations: float) -> tuple[float, float]:
        """The weights and the tokens with the lowest loss, of all with 6 N D = C."""
        power = 1 / (self.alpha + self.beta)
        scale = (self.alpha * self.A / (self.beta * self.B)) ** power
        weights = scale * (operations / 6) ** (self.beta * power)
        return weights, operations / 6 / weights


# One law, three sets of numbers. The paper prints the first; Besiroglu et al. found the
# second in its TeX source, and the third by fitting the points of its figure anew.
LAWS = {
    "printed 2022": Chinchilla(1.69, 406.4, 410.7, 0.34, 0.28),
    "unrounded": Chinchilla(1.6934, 406.4, 410.7, 0.3392, 0.2849),
    "fitted 2024": Chinchilla(1.8172, 482.01, 2085.43, 0.3478, 0.3658),
}
