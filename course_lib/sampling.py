"""The room where a model's logits become text: probabilities, a choice, repeat.

Works with any model that maps ids (1, T) to logits (1, T, V), the learner's too.
Built in lesson 00, finished in lesson 09.

T position, V vocabulary.
"""

from collections.abc import Callable, Iterator

import torch

from course_lib import device


def softmax(logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Turn logits (…, V) into probabilities (…, V): positive, each row sums to one.

    e to the power of each logit over the temperature, divided by their sum. It bears
    logits of any size.
    """
    scaled = logits / temperature
    # Taking off the largest changes nothing but that e¹⁰⁰⁰ need not be held.
    powers = torch.exp(scaled - scaled.max(-1, keepdim=True).values)
    return powers / powers.sum(-1, keepdim=True)


def next_token_probabilities(
    model: Callable, ids: list[int], temperature: float = 1.0
) -> torch.Tensor:
    """How likely each token of the vocabulary is to come next: (V,), sums to one.

    Temperature divides the logits: below one the favourites gain, above one they lose.
    Raises ValueError if there are no ids or the temperature is not above zero.
    """
    if not ids:
        raise ValueError("There is no token to go on from: give at least one.")
    if not 1e-6 <= temperature < float("inf"):
        raise ValueError(f"The temperature is {temperature}; give a number above 0.")
    with torch.no_grad():
        logits = model(torch.tensor([ids], device=device.where(model)))  # (1, T, V)
    return torch.softmax(logits[0, -1].float() / temperature, dim=-1).cpu()


def greedy(probabilities: torch.Tensor) -> int:
    """The id of the most likely token; probabilities (V,)."""
    return int(probabilities.argmax())


def sample(probabilities: torch.Tensor, generator: torch.Generator) -> int:
    """Draw one id at random, each as often as its probability says.

    probabilities (V,) sum to one; generator is the only source of randomness, so the
    same seed draws the same ids. Picture the probabilities laid end to end on a ruler
    of length one: a random point on the ruler falls on one of them.
    """
    ends = probabilities.cumsum(0)  # (V,) where each token's piece of the ruler ends
    point = torch.rand(1, generator=generator) * ends[-1]
    return int(torch.searchsorted(ends, point, right=True).clamp(max=len(ends) - 1))


def generate(
    model: Callable, ids: list[int], choose: Callable, limit: int
) -> Iterator[int]:
    """Predict, choose, append, repeat: yield up to `limit` new ids, one by one.

    choose takes probabilities (V,) and gives an id: `greedy`, or a function that draws.
    """
    ids = list(ids)
    for _ in range(limit):
        ids.append(choose(next_token_probabilities(model, ids)))
        yield ids[-1]


def log_probability(model: Callable, ids: list[int]) -> float:
    """The natural logarithm of the probability that a model gives to a whole text.

    The sum over every token but the first of log p(token | all tokens before it).
    A product of so many small numbers would round to zero; a sum of logarithms can't.
    """
    with torch.no_grad():
        logits = model(torch.tensor([ids], device=device.where(model)))[
            0
        ].cpu()  # (T, V)
    log_p = torch.log_softmax(logits.float(), dim=-1)  # (T, V)
    return sum(float(log_p[t - 1, ids[t]]) for t in range(1, len(ids)))


def distinct(ids: list[int], n: int = 3) -> float:
    """The share of a text's runs of n tokens that are different from each other.

    1.0 means that no run of n comes twice; a text that goes round in circles falls
    towards 0. Also 1.0 for a text shorter than n (Li et al. 2016, "distinct-n").
    """
    runs = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return len(set(runs)) / len(runs) if runs else 1.0
