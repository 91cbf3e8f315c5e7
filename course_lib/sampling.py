"""Turn a model's logits into text: probabilities, a choice, repeat.

Works with any model that maps ids (1, T) to logits (1, T, V), the learner's too.
Built in lessons 00, 05 and 09.

T position, V vocabulary, W beginnings of a text that are kept.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from numbers import Integral

import torch

from course_lib import devices
from course_lib.kv_cache import KVCache


def softmax(logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    """Turn logits (…, V) into probabilities (…, V): positive, each row sums to one.

    e to the power of each logit over the temperature, divided by their sum. It bears
    logits of any size. Raises ValueError for a temperature that is not above zero.
    """
    if not temperature > 0:
        raise ValueError(f"The temperature is {temperature}; give a number above 0.")
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
        logits = model(torch.tensor([ids], device=devices.where(model)))  # (1, T, V)
    return torch.softmax(logits[0, -1].float() / temperature, dim=-1).cpu()


def greedy(probabilities: torch.Tensor) -> int:
    """The id of the most likely token; probabilities (V,). Raises ValueError for NaN."""
    if not probabilities.max() > 0:
        raise ValueError(
            f"The largest probability is {probabilities.max()}, not above 0."
        )
    return int(probabilities.argmax())


def sample(probabilities: torch.Tensor, generator: torch.Generator) -> int:
    """Draw one id at random: in many draws, each as often as its probability says.

    probabilities (V,) sum to one; generator is the only source of randomness, so the
    same seed draws the same ids. Picture the probabilities laid end to end on a ruler
    of length one: a random point on the ruler falls on one of them. Raises ValueError for
    NaN, or if all are zero.
    """
    ends = probabilities.cumsum(0)  # (V,) where each token's piece of the ruler ends
    if not ends[-1] > 0:
        raise ValueError(f"The probabilities sum to {ends[-1]}; they should sum to 1.")
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
        logits = model(torch.tensor([ids], device=devices.where(model)))  # (1, T, V)
    log_p = torch.log_softmax(logits[0].float(), dim=-1).cpu()  # (T, V)
    return sum(float(log_p[t - 1, ids[t]]) for t in range(1, len(ids)))


def distinct(ids: list[int], n: int = 3) -> float:
    """The share of a text's runs of n tokens that are different from each other.

    1.0 means that no run of n comes twice; a text that goes round in circles falls
    towards 0. Also 1.0 for a text shorter than n (Li et al. 2016, "distinct-n").
    """
    runs = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return len(set(runs)) / len(runs) if runs else 1.0


# Which tokens may be drawn: lesson 09 --------------------------------------------------


def top_k(probabilities: torch.Tensor, k: int) -> torch.Tensor:
    """Only the k likeliest tokens, their sum one again: (V,) → (V,), zeros elsewhere.

    Of equally likely tokens at the edge those of lower id stay, so that k is k (Fan et
    al. 2018, section 5.4). Raises ValueError if k is not from 1 to V.
    """
    _check_k(k, len(probabilities))
    edge = probabilities.topk(k).values[-1]
    above, equal = probabilities > edge, probabilities == edge
    return _only(probabilities, above | equal & (equal.cumsum(0) <= k - above.sum()))


def top_p(probabilities: torch.Tensor, share: float) -> torch.Tensor:
    """The fewest likeliest tokens that together hold at least `share`: the nucleus.

    (V,) → (V,), zeros elsewhere, the sum one again. Of equally likely tokens at the edge
    those of lower id stay (Holtzman et al. 2020, section 3.1). Raises ValueError if the
    share is not above 0 and at most 1.
    """
    _check_share(share)
    p = probabilities.double()
    # Less than 1e-9 means the same: of V < 10⁹ tokens the likeliest holds more.
    out = p.sum() * (1 - max(share, 1e-9))  # how much may be left out
    # Sorting a whole vocabulary takes long. Tokens as rare as this stay within `out`
    # even if all tokens are.
    rare = p <= out / len(p)
    ordered, order = p[~rare].sort(descending=True, stable=True)
    # What a token and all that come after it hold, summed from the smallest on.
    tail = p[rare].sum() + ordered.flip(0).cumsum(0).flip(0)
    kept = torch.zeros_like(rare)
    kept[(~rare).nonzero()[order[tail > out], 0]] = True
    return _only(probabilities, kept)


def min_p(probabilities: torch.Tensor, share: float) -> torch.Tensor:
    """The tokens at least `share` times as likely as the likeliest: (V,) → (V,).

    Zeros elsewhere, the sum one again. Where the model is sure few tokens stay, where it
    isn't many; equally likely ones stay or go together (Nguyen et al. 2024, section 3).
    Raises ValueError if the share is not above 0 and at most 1.
    """
    _check_share(share)
    return _only(probabilities, probabilities >= share * probabilities.max())


def repetition_penalty(
    logits: torch.Tensor, ids: list[int], penalty: float
) -> torch.Tensor:
    """Make every token that is in ids less likely: logits (V,) → (V,).

    Its logit is divided by the penalty if positive, multiplied if negative, once however
    often it has come (Keskar et al. 2019, section 4.1, divides whatever the sign, which
    would make unlikely tokens likelier). 1 changes nothing, below 1 repetition is
    rewarded. Raises ValueError if the penalty is not above 0, or for an unknown id.
    """
    _check_penalty(penalty)
    seen = torch.tensor(sorted(set(ids)), dtype=torch.long, device=logits.device)
    if len(seen) and not 0 <= seen[0] <= seen[-1] < len(logits):
        raise ValueError(
            f"The ids run from {seen[0]} to {seen[-1]}, but there are logits for "
            f"{len(logits):,} tokens only: were they made by another tokenizer?"
        )
    found = logits[seen]
    changed = torch.where(found > 0, found / penalty, found * penalty)
    return logits.index_copy(0, seen, changed)


def _only(probabilities: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Zero all but the kept tokens, and let these sum to one."""
    some = probabilities * kept
    if not some.sum() > 0:
        raise ValueError(
            f"The probabilities sum to {some.sum()}; they should sum to 1."
        )
    return some / some.sum()


def _check_share(share: float) -> None:
    if not 0 < share <= 1:
        raise ValueError(f"The share is {share}; give a number above 0, at most 1.")


def _whole(number) -> bool:
    """Whether it is a whole number, numpy's too; True and False are none."""
    return isinstance(number, Integral) and not isinstance(number, bool)


def _check_k(k: int, vocabulary: int) -> None:
    if not _whole(k) or not 1 <= k <= vocabulary:
        raise ValueError(
            f"k is {k!r}; give a whole number from 1 to the vocabulary's size of "
            f"{vocabulary:,}."
        )


def _check_penalty(penalty: float) -> None:
    if not 0 < penalty < float("inf"):
        raise ValueError(f"The repetition penalty is {penalty}; give a number above 0.")


@dataclass(frozen=True)
class Sampler:
    """How to choose the next token: five dials. Raises ValueError for odd settings.

    The penalty first, then temperature, then top_k, top_p and min_p, each on what the
    one before it left; None means off. Temperature 0 is greedy: no chance, always the
    likeliest token, so that top_k, top_p and min_p change nothing.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self):
        heat = self.temperature
        if not (heat == 0 or 1e-6 <= heat < float("inf")):
            raise ValueError(
                f"The temperature is {heat}; give a number above 0, or 0 for greedy."
            )
        if self.top_k is not None and (not _whole(self.top_k) or self.top_k < 1):
            raise ValueError(f"top_k is {self.top_k!r}; give a whole number from 1.")
        for share in (self.top_p, self.min_p):
            if share is not None:
                _check_share(share)
        _check_penalty(self.repetition_penalty)

    def probabilities(self, logits: torch.Tensor, ids: list[int]) -> torch.Tensor:
        """How often each token is chosen after ids: logits (V,) → (V,), on the CPU.

        Raises ValueError if top_k is larger than V, or the logits can't be compared.
        """
        logits = self._punished(logits, ids)
        if self.temperature == 0:
            return torch.zeros_like(logits).index_fill(0, logits.argmax(), 1.0)
        p = softmax(logits, self.temperature)
        p = p if self.top_k is None else top_k(p, self.top_k)
        p = p if self.top_p is None else top_p(p, self.top_p)
        return p if self.min_p is None else min_p(p, self.min_p)

    def choose(
        self,
        logits: torch.Tensor,
        ids: list[int],
        generator: torch.Generator | None = None,
    ) -> int:
        """The next id after ids, from the logits (V,) that a model gave for it.

        generator is the only source of chance, and greedy needs none.
        """
        if self.temperature == 0:
            return greedy(self._punished(logits, ids))
        p = self.probabilities(logits, ids)
        possible = p.nonzero()[:, 0]  # most dials leave few: a shorter ruler
        return int(possible[sample(p[possible], generator)])

    def _punished(self, logits: torch.Tensor, ids: list[int]) -> torch.Tensor:
        """The logits on the CPU in float32, after the penalty."""
        logits = logits.float().cpu()
        largest = float(logits.max())  # NaN if one of them is
        if not math.isfinite(largest):
            raise ValueError(
                f"The largest logit is {largest}: there is nothing to choose by. Did the "
                "training of this model go wrong?"
            )
        if self.repetition_penalty == 1:
            return logits
        return repetition_penalty(logits, ids, self.repetition_penalty)


# Writing with a memory: lesson 09 -----------------------------------------------------


def context_length(model: Callable) -> float:
    """The most positions a model can read; infinity for one that doesn't say."""
    if isinstance(model, torch.nn.Module) and "config" in vars(model):
        return model.config.context
    return math.inf


def write(
    model: Callable,
    ids: list[int],
    sampler: Sampler,
    limit: int,
    generator: torch.Generator | None = None,
    decode_step: Callable | None = None,
) -> Iterator[int]:
    """Yield up to `limit` new ids that go on from ids, one by one.

    decode_step(model, new ids (1, T), KVCache) → logits (1, V), such as kv_cache's: with it the
    prompt is read once, then one id at a time; without it everything is read again for
    every id, by any model. The ids are the same. Writing ends early when the context is
    full: the last id comes after as many as the model can read. Raises ValueError, when
    asked for the first id, for no ids, more than the context, or odd logits.
    """
    if not ids:
        raise ValueError("There is no token to go on from: give at least one.")
    ids, context, where = list(ids), context_length(model), devices.where(model)
    cache = (
        KVCache(len(model.blocks), min(context, len(ids) + limit))
        if decode_step
        else None
    )
    unread = ids
    for _ in range(limit):
        new = torch.tensor([unread], device=where)
        logits = (
            decode_step(model, new, cache)[0]
            if decode_step
            else _last_logits(model, new)
        )
        ids.append(sampler.choose(logits, ids, generator))
        yield ids[-1]
        if len(ids) > context:
            return
        unread = ids[-1:] if decode_step else ids


def _last_logits(model: Callable, ids: torch.Tensor) -> torch.Tensor:
    """What a model says comes after ids (1, T): logits (V,), without gradients."""
    with torch.no_grad():
        return model(ids)[0, -1]


# Looking ahead: lesson 09 -------------------------------------------------------------


def beam(
    model: Callable, ids: list[int], width: int, limit: int
) -> list[tuple[list[int], float]]:
    """Beam search: the likeliest continuations of `limit` ids that it finds, best first.

    Keeps the `width` likeliest beginnings at every length: up to width pairs of new ids
    and the natural logarithm of their probability. Width 1 is greedy; the likeliest of
    all is found for certain only if no beginning is ever dropped (Lowerre 1976).
    """
    if width < 1:
        raise ValueError(f"The width is {width}; give a whole number from 1.")
    texts = torch.tensor([ids], device=devices.where(model))  # (1, T)
    totals = torch.zeros(1, device=texts.device)
    for _ in range(limit):
        with torch.no_grad():
            log_p = model(texts)[:, -1].float().log_softmax(-1)  # (W, V)
        if log_p.isnan().any():
            raise ValueError("The model gives NaN, no numbers: is its training lost?")
        ways = (totals.unsqueeze(1) + log_p).flatten()  # (W · V)
        totals, best = ways.topk(min(width, len(ways)))  # (W)
        parent, new = best // log_p.shape[1], best % log_p.shape[1]
        texts = torch.cat([texts[parent], new.unsqueeze(1)], 1)  # (W, T + 1)
    return list(zip(texts[:, len(ids) :].tolist(), totals.tolist()))


@dataclass(frozen=True)
class Branch:
    """One token in a tree of continuations.

    probability is the token's after all before it; parent is its parent's place in the
    list of branches, None for a token that comes right after the text.
    """

    id: int
    probability: float
    parent: int | None


def branches(model: Callable, ids: list[int], width: int, depth: int) -> list[Branch]:
    """The tree of continuations: each text goes on in its `width` likeliest ways.

    Level by level, likeliest first, down to `depth` tokens: width + width² + … branches.
    """
    found, leaves = [], [(None, list(ids))]  # a leaf: its place in found, and its text
    for _ in range(depth):
        texts = torch.tensor([text for _, text in leaves], device=devices.where(model))
        with torch.no_grad():
            p = softmax(model(texts)[:, -1].float())  # (leaves, V)
        if p.isnan().any():
            raise ValueError("The model gives NaN, no numbers: is its training lost?")
        likeliest = p.topk(width)  # (leaves, W)
        grown = []
        for (parent, text), p, new in zip(leaves, *(x.tolist() for x in likeliest)):
            for probability, id in zip(p, new):
                grown.append((len(found), [*text, id]))
                found.append(Branch(id, probability, parent))
        leaves = grown
    return found
