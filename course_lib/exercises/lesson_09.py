"""Exercises of lesson 09: the nucleus, repetition, beams, the KV cache and its cost."""

import itertools
import math

import torch
from torch.nn import functional as F

from course_lib import sampling
from course_lib.exercises.legacy import (
    Check,
    Exercise,
    Mistake,
    Wrong,
    alike,
    want_equal,
    want_near,
    want_tensor,
    want_type,
    whole,
)
from course_lib.gpt import GPT3

SIZE = 8  # tokens in the small vocabularies that the checks make up


# 09.top_p ---------------------------------------------------------------------------


def top_p(probabilities: torch.Tensor, share: float) -> torch.Tensor:
    """The fewest likeliest tokens that together hold at least `share`: (V,) → (V,).

    Zeros elsewhere, the sum one again (Holtzman et al. 2020, section 3.1).
    """
    ordered, order = probabilities.sort(descending=True)
    before = ordered.cumsum(0) - ordered  # (V,) what all likelier tokens hold
    few = order[before < share]
    kept = torch.zeros_like(probabilities)
    kept[few] = probabilities[few]
    return kept / kept.sum()


def some_case(
    generator: torch.Generator,
) -> tuple[torch.Tensor, float, dict[str, frozenset]]:
    """Probabilities (8,), a share, and what each cut keeps: no two cuts are alike.

    No two tokens are equally likely, none holds the share alone, and no sum is so near
    the share that rounding could decide.
    """
    while True:
        p = torch.softmax(1.6 * torch.randn(SIZE, generator=generator), 0)
        share = round(0.5 + 0.4 * float(torch.rand(1, generator=generator)), 2)
        ordered = p.sort(descending=True).values
        far = (ordered.cumsum(0) - share).abs().min() > 0.01
        if ordered.diff().abs().min() > 1e-3 and ordered[0] < share and far:
            cuts = all_cuts(p.tolist(), share)
            if len(set(cuts.values())) == len(cuts):
                return p, share, cuts


def fewest(p: list[float], share: float) -> frozenset:
    """By brute force: the smallest of all sets of tokens that hold the share, and of
    equally small ones the likeliest."""
    sizes = range(1, len(p) + 1)
    sets = [s for n in sizes for s in itertools.combinations(range(len(p)), n)]
    enough = [s for s in sets if sum(p[i] for i in s) >= share]
    return frozenset(min(enough, key=lambda s: (len(s), -sum(p[i] for i in s))))


def until(order: list[int], p: list[float], share: float) -> list[int]:
    """The first tokens of an order, up to the one with which they hold the share."""
    kept = []
    for i in order:
        kept.append(i)
        if sum(p[j] for j in kept) >= share:
            break
    return kept


def all_cuts(p: list[float], share: float) -> dict[str, frozenset]:
    """What is kept by the right cut and by the likely wrong ones."""
    ids = list(range(len(p)))
    order = sorted(ids, key=lambda i: -p[i])
    right = fewest(p, share)
    rare, by_id = until(order[::-1], p, share), until(ids, p, share)
    cuts = {
        "right": right,
        "short": order[: len(right) - 1],
        "long": order[: len(right) + 1],
        "count": order[: int(share * len(p))],
        "rare": rare,
        "rare, short": rare[:-1],
        "by id": by_id,
        "by id, short": by_id[:-1],
        "first ids": ids[: len(right)],
        "first ids, short": ids[: len(right) - 1],
        "min_p": [i for i in ids if p[i] >= share * max(p)],
    }
    return {name: frozenset(kept) for name, kept in cuts.items()}


CUTS = {  # what each wrong cut has in mind
    "short": "It drops the token that crosses the share. Without it the others hold "
    "too little: that one stays.",
    "long": "It keeps one token too many: stop at the first sum that reaches the "
    "share.",
    "count": "It keeps a share of the number of tokens, as top-k does. The share is "
    "one of probability: add probabilities up.",
    "rare": "It starts with the least likely tokens: sort(descending=True).",
    "by id": "It adds up in the order of the ids. Sort first, the likeliest in front.",
    "first ids": "It cuts in sorted order and keeps the tokens at these places of the "
    "unsorted list. The second thing that sort gives is the id at each place.",
    "min_p": "It keeps tokens that are at least `share` times as likely as the "
    "likeliest: that is min-p. Here the sum must reach the share.",
}
NOTHING = (
    "It keeps no token at all. The share is for the sum of the kept tokens; no single "
    "token needs to reach it, and one always stays."
)


def call_top_p(answer, p: torch.Tensor, share: float) -> torch.Tensor:
    """What an answer gives for p (V,): surely a tensor (V,) with a token in it."""
    what = f"top_p(probabilities, {share})"
    value = answer(p.clone(), share)
    want_type(value, torch.Tensor, what)
    if value.dim() == 1 and 0 < len(value) < len(p):
        raise Mistake(
            f"Of {len(p)} numbers {len(value)} came back. Give all, zeros for the "
            "tokens that go, so that each place is still an id."
        )
    if value.numel() == 0 or value.isnan().all() or not value.any():
        raise Mistake(NOTHING)
    want_tensor(value, (len(p),), what)
    return value.detach()


def kept_by(answer, p: torch.Tensor, share: float) -> frozenset:
    value = call_top_p(answer, p, share)
    return frozenset(value.nonzero()[:, 0].tolist())


def name_cut(kept: frozenset, cuts: dict[str, frozenset]) -> None:
    """Raise Mistake if the kept tokens are those of a likely wrong cut."""
    for name, cut in cuts.items():
        if kept == cut and name != "right":
            raise Mistake(CUTS[name.removesuffix(", short")])


def stays_a_distribution(answer, generator):
    p, share, _ = some_case(generator)
    value = call_top_p(answer, p, share)
    kept = value != 0
    only, ordered = p * kept, p.sort(descending=True).values * kept
    if alike(value, only / only.sum()):
        return
    if kept.all():
        raise Mistake(
            "No token has probability 0. Divide the kept ones by their sum: a softmax "
            "makes every 0 positive again."
        )
    if alike(value, ordered) or alike(value, ordered / ordered.sum()):
        raise Mistake(
            "The probabilities come back in sorted order. Place i must still be token "
            "i, or the wrong token is drawn."
        )
    if alike(value, only):
        raise Mistake(
            f"The kept tokens sum to {float(only.sum()):.2f}. Divide by their sum, so "
            "that it is one again."
        )
    want_near(value, only / only.sum(), f"top_p(probabilities, {share})")


def holds_the_share(answer, generator):
    for _ in range(3):
        p, share, cuts = some_case(generator)
        kept = kept_by(answer, p, share)
        held = sum(float(p[i]) for i in kept)
        if held < share:
            name_cut(kept, cuts)
            raise Mistake(
                f"The tokens {sorted(kept)} hold {held:.3f} together, less than the "
                f"share of {share}."
            )


def keeps_the_fewest(answer, generator):
    for _ in range(3):
        p, share, cuts = some_case(generator)
        kept = kept_by(answer, p, share)
        if kept != cuts["right"]:
            name_cut(kept, cuts)
            raise Mistake(
                f"It keeps the tokens {sorted(kept)}; the fewest likeliest that hold "
                f"{share} are {sorted(cuts['right'])}."
            )


def follows_the_model(answer, generator):
    sure = torch.full((SIZE,), 0.1 / (SIZE - 1))
    favourite = whole(generator, 0, SIZE - 1)
    sure[favourite] = 0.9
    value = call_top_p(answer, sure, 0.5)
    count = int((value > 0).sum())
    if count > 1:
        raise Mistake(
            f"One token alone holds 0.9, more than the share of 0.5, and yours keeps "
            f"{count}: one is enough."
        )
    wanted = torch.zeros(SIZE).index_fill(0, torch.tensor(favourite), 1.0)
    want_near(value, wanted, "top_p, where one token holds more than the share,")
    p = torch.softmax(torch.randn(400, generator=generator), 0)
    sums = p.sort(descending=True).values.cumsum(0)
    last = whole(generator, 100, 250)
    share = float(sums[last - 1 : last + 1].mean())  # far from any sum: no rounding
    value = call_top_p(answer, p, share)
    count = int((value > 0).sum())
    if count != last + 1:
        raise Mistake(
            f"Of 400 tokens, {last + 1} are needed to hold {share:.4f}; it keeps "
            f"{count}. How many stay depends on how sure the model is."
        )
    want_near(value, sampling.top_p(p, share), "top_p of 400 tokens")


def _cut(probabilities, kept):
    some = probabilities * kept
    return some / some.sum()


def _places(ids, probabilities):
    return torch.zeros_like(probabilities).index_fill(0, ids, 1.0)


def wrong_drops_the_crossing(probabilities, share):
    ordered, order = probabilities.sort(descending=True)
    few = order[ordered.cumsum(0) <= share]
    return _cut(probabilities, _places(few, probabilities))


def wrong_one_more(probabilities, share):
    ordered, order = probabilities.sort(descending=True)
    count = int((ordered.cumsum(0) < share).sum()) + 2
    return _cut(probabilities, _places(order[:count], probabilities))


def wrong_single_tokens(probabilities, share):
    return _cut(probabilities, probabilities >= share)


def wrong_sorted(probabilities, share):
    ordered = probabilities.sort(descending=True).values
    return _cut(ordered, ordered.cumsum(0) - ordered < share)


def wrong_not_divided(probabilities, share):
    return probabilities * (top_p(probabilities, share) > 0)


def wrong_not_sorted(probabilities, share):
    return _cut(probabilities, probabilities.cumsum(0) - probabilities < share)


def wrong_places(probabilities, share):
    ordered = probabilities.sort(descending=True).values
    return _cut(probabilities, ordered.cumsum(0) - ordered < share)


def wrong_top_k(probabilities, share):
    order = probabilities.argsort(descending=True)
    few = order[: max(1, int(share * len(probabilities)))]
    return _cut(probabilities, _places(few, probabilities))


def wrong_rarest(probabilities, share):
    ordered, order = probabilities.sort()
    few = order[ordered.cumsum(0) - ordered < share]
    return _cut(probabilities, _places(few, probabilities))


def wrong_min_p(probabilities, share):
    return _cut(probabilities, probabilities >= share * probabilities.max())


def wrong_softmax_again(probabilities, share):
    return torch.softmax(wrong_not_divided(probabilities, share), 0)


def wrong_only_kept(probabilities, share):
    value = top_p(probabilities, share)
    return value[value > 0]


def wrong_two_at_least(probabilities, share):
    ordered, order = probabilities.sort(descending=True)
    count = max(2, int((ordered.cumsum(0) < share).sum()) + 1)
    return _cut(probabilities, _places(order[:count], probabilities))


TOP_P = Exercise(
    id="09.top_p",
    title="keep the nucleus",
    minutes=12,
    rule=(
        "`probabilities` has shape (V,), in the order of the ids. Keep the fewest "
        "likeliest tokens whose sum is at least `share`, a number between 0 and 1: the "
        "token that reaches the share stays, and so one always does. Return a tensor "
        "(V,), still in the order of the ids: zeros for the tokens that go, the kept "
        "ones divided by their sum. (No two tokens at the edge are equally likely "
        "here.)"
    ),
    reference=top_p,
    checks=(
        Check(
            name="stays a distribution",
            points=1,
            proves="leaves each token at its id and sums to one",
            hint="Start from `torch.zeros_like(probabilities)` and fill in the ids "
            "that stay. `sort` gives two things: the sorted numbers, and their ids.",
            run=stays_a_distribution,
        ),
        Check(
            name="holds the share",
            points=1,
            proves="keeps tokens that hold at least the share",
            hint="`cumsum(0)` of the sorted probabilities says what each token and all "
            "likelier ones hold. A token stays if those *before* it hold too little.",
            run=holds_the_share,
        ),
        Check(
            name="the fewest",
            points=1,
            proves="keeps no token that isn't needed",
            hint="Take the least likely kept token away: do the others still hold the "
            "share? Then it was not needed.",
            run=keeps_the_fewest,
        ),
        Check(
            name="follows the model",
            points=1,
            proves="keeps few tokens where the model is sure and many where it isn't",
            hint="If one token has 0.9 and the share is 0.5, how many are needed?",
            run=follows_the_model,
        ),
    ),
    wrong=(
        Wrong(
            "drops the crossing token", wrong_drops_the_crossing, "drops the token that"
        ),
        Wrong("one more", wrong_one_more, "one token too many"),
        Wrong(
            "single tokens", wrong_single_tokens, "no single token needs to reach it"
        ),
        Wrong("sorted", wrong_sorted, "come back in sorted order"),
        Wrong("not divided", wrong_not_divided, "Divide by their sum"),
        Wrong("not sorted", wrong_not_sorted, "in the order of the ids. Sort first"),
        Wrong("places for ids", wrong_places, "is the id at each place"),
        Wrong("top-k", wrong_top_k, "as top-k does"),
        Wrong("the rarest first", wrong_rarest, "starts with the least likely"),
        Wrong("min-p", wrong_min_p, "that is min-p"),
        Wrong("softmax again", wrong_softmax_again, "a softmax makes every 0 positive"),
        Wrong("only the kept", wrong_only_kept, "Give all, zeros"),
        Wrong("two at least", wrong_two_at_least, "one is enough"),
    ),
)


# 09.repetition_penalty --------------------------------------------------------------


def repetition_penalty(
    logits: torch.Tensor, ids: list[int], penalty: float
) -> torch.Tensor:
    """Make every token that is in ids less likely: logits (V,) → (V,).

    After Keskar et al. 2019, section 4.1, whose formula overlooks the sign.
    """
    punished = logits.clone()
    for id in set(ids):
        positive = logits[id] > 0
        punished[id] = logits[id] / penalty if positive else logits[id] * penalty
    return punished


def some_logits(
    generator: torch.Generator,
) -> tuple[torch.Tensor, list[int], float]:
    """Logits (8,), half negative, none near 0; four ids of both signs; a penalty."""
    signs = torch.tensor([1.0, -1, 1, -1, 1, -1, 1, -1])
    sizes = 0.5 + 3 * torch.rand(SIZE, generator=generator)
    order = torch.randperm(SIZE, generator=generator)
    logits = torch.empty(SIZE)
    logits[order] = signs * sizes
    penalty = round(1.2 + 0.6 * float(torch.rand(1, generator=generator)), 2)
    return logits, order[:4].tolist(), penalty


def call_penalty(answer, logits, ids, penalty) -> torch.Tensor:
    value = answer(logits.clone(), list(ids), penalty)
    what = f"repetition_penalty(logits, {ids}, {penalty})"
    want_type(value, torch.Tensor, what)
    if value.isinf().any():
        raise Mistake(
            "A logit is infinite: that forbids a token for ever. The penalty makes it "
            "less likely, by a factor."
        )
    want_tensor(value, tuple(logits.shape), what)
    total = float(value.sum()) if (value >= 0).all() else float(value.exp().sum())
    if abs(total - 1) < 1e-4:  # half of the logits are above 0.2: theirs is far more
        raise Mistake(
            "The result sums to one: a softmax, or its logarithm. Return logits; the "
            "softmax comes later."
        )
    return value.detach()


def old_tokens_fall(answer, generator):
    logits, ids, penalty = some_logits(generator)
    value = call_penalty(answer, logits, ids, penalty)
    if alike(value, logits):
        raise Mistake("Nothing changed: the logits that you return are those given.")
    chances = logits.softmax(0)
    if alike(value, sampling.repetition_penalty(chances, ids, penalty)):
        raise Mistake(
            "It makes probabilities first, and punishes these. Punish the logits: the "
            "softmax comes later."
        )
    for id in ids:
        before, after = float(logits[id]), float(value[id])
        if after < before - 1e-4:
            continue
        came = f"Token {id} is in ids and had the logit {before:.2f}; now it is "
        if before < 0 and abs(after - before / penalty) < 1e-3:
            raise Mistake(
                f"{came}{after:.2f}, likelier than before. A negative number divided "
                f"by {penalty} moves up, nearer to 0: multiply it."
            )
        if before > 0 and abs(after - before * penalty) < 1e-3:
            raise Mistake(
                f"{came}{after:.2f}, likelier than before. A positive number "
                f"multiplied by {penalty} moves up: divide it."
            )
        raise Mistake(f"{came}{after:.2f}: it should have fallen.")


def new_tokens_stay(answer, generator):
    logits, ids, penalty = some_logits(generator)
    value = call_penalty(answer, logits, ids, penalty)
    new = [i for i in range(SIZE) if i not in ids]
    if all(abs(float(value[i] - logits[i])) > 1e-4 for i in new):
        every = sampling.repetition_penalty(logits, list(range(SIZE)), penalty)
        if alike(value, every):
            raise Mistake(
                "It punishes every token. Only those in ids have come before."
            )
    for i in new:
        what = f"the logit of token {i}, which is not in ids {ids},"
        want_near(value[i], logits[i], what)


def by_the_penalty(answer, generator):
    for _ in range(3):
        logits, ids, penalty = some_logits(generator)
        value = call_penalty(answer, logits, ids, penalty)
        wanted = sampling.repetition_penalty(logits, ids, penalty)
        seen = torch.tensor(ids)
        if alike(value[seen], logits[seen] - penalty):
            raise Mistake(
                "It takes the penalty away. Here the penalty is a factor: with 1, "
                "nothing may change."
            )
        if alike(value[seen], logits[seen] + logits[seen].abs() * (1 - penalty)):
            raise Mistake(
                "It takes off a part of the logit. A positive one is divided by the "
                "penalty, which is not the same as times (2 − penalty)."
            )
        want_near(value, wanted, f"repetition_penalty(logits, {ids}, {penalty})")
    value = call_penalty(answer, logits, ids, 1.0)
    want_near(value, logits, "repetition_penalty with a penalty of 1")


def once_however_often(answer, generator):
    logits, ids, penalty = some_logits(generator)
    often = [ids[i] for i in (0, 1, 0, 2, 1, 3, 0)]
    value = call_penalty(answer, logits, often, penalty)
    wanted = logits.clone()
    for id in often:
        factor = penalty if wanted[id] < 0 else 1 / penalty
        wanted[id] *= factor
    if alike(value, wanted):
        raise Mistake(
            f"Token {ids[0]} comes three times in ids and is punished three times: "
            "once is enough. set(ids) has each id once."
        )
    wanted = sampling.repetition_penalty(logits, ids, penalty)
    want_near(value, wanted, f"repetition_penalty(logits, {often}, {penalty})")


def wrong_always_divides(logits, ids, penalty):
    punished = logits.clone()
    punished[list(set(ids))] /= penalty
    return punished


def wrong_always_multiplies(logits, ids, penalty):
    punished = logits.clone()
    punished[list(set(ids))] *= penalty
    return punished


def wrong_rewards(logits, ids, penalty):
    return repetition_penalty(logits, ids, 1 / penalty)


def wrong_subtracts(logits, ids, penalty):
    punished = logits.clone()
    punished[list(set(ids))] -= penalty
    return punished


def wrong_part_off(logits, ids, penalty):
    seen, punished = list(set(ids)), logits.clone()
    punished[seen] -= (penalty - 1) * logits[seen].abs()
    return punished


def wrong_every_token(logits, ids, penalty):
    return torch.where(logits > 0, logits / penalty, logits * penalty)


def wrong_each_time(logits, ids, penalty):
    punished = logits.clone()
    for id in ids:
        positive = punished[id] > 0
        punished[id] = punished[id] / penalty if positive else punished[id] * penalty
    return punished


def wrong_softmax_at_the_end(logits, ids, penalty):
    return torch.log_softmax(repetition_penalty(logits, ids, penalty), 0)


def wrong_softmax_first(logits, ids, penalty):
    return repetition_penalty(torch.softmax(logits, 0), ids, penalty)


def wrong_forgets_to_change(logits, ids, penalty):
    for id in set(ids):
        logit = logits[id]
        logit = logit / penalty if logit > 0 else logit * penalty
    return logits


def wrong_never_again(logits, ids, penalty):
    punished = logits.clone()
    punished[list(set(ids))] = float("-inf")
    return punished


REPETITION_PENALTY = Exercise(
    id="09.repetition_penalty",
    title="make it repeat itself less",
    minutes=8,
    rule=(
        "`logits` has shape (V,), `ids` is a list of the ids so far, and `penalty` is "
        "a factor above 1. The logit of every token in `ids` is brought down: divided "
        "by the penalty or multiplied by it, whichever makes it smaller, which depends "
        "on its sign. An id that comes several times counts once; all other logits "
        "stay. Return a tensor (V,). A penalty of 1 changes nothing."
    ),
    reference=repetition_penalty,
    checks=(
        Check(
            name="old tokens fall",
            points=2,
            proves="makes every token that has come before less likely, whatever its "
            "sign",
            hint="What is −3 divided by 1.5? Is that more, or less, than −3?",
            run=old_tokens_fall,
        ),
        Check(
            name="new tokens stay",
            points=1,
            proves="leaves all other logits as they are",
            hint="Change only places that are in `ids`, and return logits, not "
            "probabilities.",
            run=new_tokens_stay,
        ),
        Check(
            name="by the penalty",
            points=1,
            proves="divides or multiplies by the penalty itself",
            hint="Two cases, one for a logit above 0 and one for the rest. Does a "
            "penalty of 1 change anything?",
            run=by_the_penalty,
        ),
        Check(
            name="once however often",
            points=1,
            proves="punishes a token once, however often it has come",
            hint="`set(ids)` holds each id once.",
            run=once_however_often,
        ),
    ),
    wrong=(
        Wrong("always divides", wrong_always_divides, "nearer to 0: multiply it"),
        Wrong("always multiplies", wrong_always_multiplies, "moves up: divide it"),
        Wrong("the two swapped", wrong_rewards, "likelier than before"),
        Wrong("subtracts", wrong_subtracts, "the penalty is a factor"),
        Wrong("a part off", wrong_part_off, "not the same as times"),
        Wrong("every token", wrong_every_token, "punishes every token"),
        Wrong("each time", wrong_each_time, "once is enough"),
        Wrong("a softmax", wrong_softmax_at_the_end, "the softmax comes later"),
        Wrong("changes a copy", wrong_forgets_to_change, "Nothing changed"),
        Wrong("probabilities", wrong_softmax_first, "probabilities first"),
        Wrong("never again", wrong_never_again, "forbids a token for ever"),
    ),
)


# 09.remembered ----------------------------------------------------------------------


def remembered(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    past_keys: torch.Tensor,
    past_values: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Attention for one new position, with the keys and values of the T before it.

    query, key and value (1, D), past_keys and past_values (T, D) → the output (1, D),
    and all keys and all values, old and new, (T + 1, D) each.
    """
    keys = torch.cat([past_keys, key])  # (T + 1, D)
    values = torch.cat([past_values, value])  # (T + 1, D)
    scores = query @ keys.T / math.sqrt(query.shape[-1])  # (1, T + 1)
    return torch.softmax(scores, dim=-1) @ values, keys, values


def some_positions(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """Queries, keys and values (T, D), D larger than T: no two axes fit by chance.

    The last query gives some weight to every key, so that none can be left out unseen.
    """
    positions = whole(generator, 4, 6)
    size = positions + whole(generator, 2, 4)
    while True:
        q, k, v = torch.randn(3, positions, size, generator=generator)
        if (q[-1] @ k.T / math.sqrt(size)).softmax(-1).min() > 0.01:
            return q, k, v


def last_and_past(q, k, v) -> list[torch.Tensor]:
    """The five arguments of remembered, where the last position is the new one."""
    parts = (q[-1:], k[-1:], v[-1:], k[:-1], v[:-1])
    return [part.clone() for part in parts]


def torch_rows(q, k, v) -> torch.Tensor:
    """What torch's own causal attention gives for all positions at once: (T, D)."""
    return F.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=True)[0]


def call_remembered(answer, given: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """The output (1, D), keys and values that an answer gives, surely three tensors."""
    past, size = given[3].shape
    try:
        found = answer(*given)
    except RuntimeError as error:
        if f"(1x{past + 1} and {past}x{size})" in str(error):
            raise Mistake(
                f"{past + 1} weights and {past} values can't be multiplied: the new "
                "key was added and the new value was not."
            ) from None
        if "must match except in dimension 1" in str(error):
            raise Mistake(
                "Old and new stand side by side. A position is a row: put the new row "
                "below the old ones, along axis 0."
            ) from None
        if f"x{size} and {past + 1}x{size})" in str(error):
            raise Mistake(
                "Queries and keys can't be multiplied like this: turn the keys on "
                "their side first, so that D meets D."
            ) from None
        raise
    want_type(found, tuple, "remembered(…)")
    if len(found) != 3:
        raise Mistake(
            f"It returns {len(found)} things; three are wanted: output, keys, values."
        )
    for thing, what in zip(found, ("the output", "keys", "values")):
        want_type(thing, torch.Tensor, what)
    return found


def cache_grows_by_one(answer, generator):
    q, k, v = some_positions(generator)
    _, keys, values = call_remembered(answer, last_and_past(q, k, v))
    for found, every, what in ((keys, k, "key"), (values, v, "value")):
        if alike(found, every[:-1]):
            raise Mistake(
                f"The new {what} is not among the {what}s that you return: the next "
                "position will need it."
            )
        if alike(found, every[-1:]):
            raise Mistake(
                f"Only the new {what} comes back: return the old {what}s too, in front."
            )
        if alike(found, every.roll(1, 0)):
            raise Mistake(
                f"The new {what} stands in front. It comes last in the text, so it "
                "goes to the end."
            )
        if found.shape == every[1:].shape and alike(found[-1:], every[-1:]):
            raise Mistake(
                f"The {what}s did not grow: the new one took the place of an old one. "
                "torch.cat makes room for both."
            )
    if alike(keys, v) and alike(values, k):
        raise Mistake("Keys and values are swapped: return output, keys, values.")
    want_near(keys, k, "keys")
    want_near(values, v, "values")


def mixed(weights: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return weights.double() @ v.double()


def name_output(output: torch.Tensor, q, k, v) -> None:
    """Raise Mistake if an output (1, D) is that of a likely wrong formula."""
    query, (positions, size) = q[-1:], k.shape
    raw = query @ k.T  # (1, T)
    right = raw / math.sqrt(size)
    for wrong, words in (
        (mixed(raw.softmax(-1), v), "The scores are not divided by √D."),
        (mixed((raw / size).softmax(-1), v), "The scores are divided by D, not by √D."),
        (
            mixed((raw / math.sqrt(positions)).softmax(-1), v),
            "The scores are divided by the root of the number of positions. D is the "
            "size of a query.",
        ),
        (
            mixed(right[:, :-1].softmax(-1), v[:-1]),
            "The new position does not see itself: its own key and value belong to the "
            "softmax too.",
        ),
        (
            mixed(right.softmax(0), v),
            "The softmax runs over the wrong axis: every weight is 1. The weights of "
            "the query, one for each key, must sum to one.",
        ),
        (mixed(right, v), "There is no softmax: weights must sum to one."),
        (mixed(right.softmax(-1), k), "The keys are mixed; mix the values."),
        (v[-1:], "The output is the new value alone: what of the past?"),
    ):
        if alike(output, wrong):
            raise Mistake(words)


def cache_changes_nothing(answer, generator):
    for _ in range(2):
        q, k, v = some_positions(generator)
        output, _, _ = call_remembered(answer, last_and_past(q, k, v))
        name_output(output, q, k, v)
        want_near(output, torch_rows(q, k, v)[-1:], "the output")


def one_by_one(answer, generator):
    q, k, v = some_positions(generator)
    keys, values = k[:0].clone(), v[:0].clone()  # (0, D): nothing was read yet
    rows = torch_rows(q, k, v)
    for t in range(len(q)):
        new = [part[t : t + 1].clone() for part in (q, k, v)]
        given = [*new, keys, values]
        output, keys, values = call_remembered(answer, given)
        where = f"the output at position {t}, fed with your own keys and values,"
        if t == 0 and alike(output, torch.zeros_like(rows[:1])):
            raise Mistake(
                "The first position has no past and its output is 0. It sees itself."
            )
        want_near(output, rows[t : t + 1], where)


def leaves_the_given_alone(answer, generator):
    q, k, v = some_positions(generator)
    given = last_and_past(q, k, v)
    answer(*given)
    names = ("query", "key", "value", "past_keys", "past_values")
    for thing, before, name in zip(given, last_and_past(q, k, v), names):
        if not (thing.shape == before.shape and thing.equal(before)):
            raise Mistake(
                f"{name}, which you were given, has changed. `/=`, `+=` and `x[…] = …` "
                "work in place; make a new tensor instead."
            )


def _attention(query, keys, values):
    scores = query @ keys.T / query.shape[-1] ** 0.5
    return scores.softmax(-1) @ values


def wrong_old_keys_back(query, key, value, past_keys, past_values):
    output = remembered(query, key, value, past_keys, past_values)[0]
    return output, past_keys, past_values


def wrong_value_not_added(query, key, value, past_keys, past_values):
    keys = torch.cat([past_keys, key])
    return _attention(query, keys, past_values), keys, past_values


def wrong_past_only(query, key, value, past_keys, past_values):
    output = _attention(query, past_keys, past_values)
    return output, torch.cat([past_keys, key]), torch.cat([past_values, value])


def wrong_in_front(query, key, value, past_keys, past_values):
    keys, values = torch.cat([key, past_keys]), torch.cat([value, past_values])
    return _attention(query, keys, values), keys, values


def wrong_side_by_side(query, key, value, past_keys, past_values):
    keys = torch.cat([past_keys, key], dim=-1)
    values = torch.cat([past_values, value], dim=-1)
    return _attention(query, keys, values), keys, values


def wrong_takes_a_place(query, key, value, past_keys, past_values):
    keys = torch.cat([past_keys[1:], key])
    values = torch.cat([past_values[1:], value])
    return _attention(query, keys, values), keys, values


def wrong_only_the_new(query, key, value, past_keys, past_values):
    output = remembered(query, key, value, past_keys, past_values)[0]
    return output, key, value


def wrong_without_root(query, key, value, past_keys, past_values):
    keys, values = torch.cat([past_keys, key]), torch.cat([past_values, value])
    return (query @ keys.T).softmax(-1) @ values, keys, values


def wrong_by_size(query, key, value, past_keys, past_values):
    keys, values = torch.cat([past_keys, key]), torch.cat([past_values, value])
    return (query @ keys.T / query.shape[-1]).softmax(-1) @ values, keys, values


def wrong_by_length(query, key, value, past_keys, past_values):
    keys, values = torch.cat([past_keys, key]), torch.cat([past_values, value])
    return (query @ keys.T / len(keys) ** 0.5).softmax(-1) @ values, keys, values


def wrong_axis(query, key, value, past_keys, past_values):
    keys, values = torch.cat([past_keys, key]), torch.cat([past_values, value])
    scores = query @ keys.T / query.shape[-1] ** 0.5
    return scores.softmax(0) @ values, keys, values


def wrong_without_softmax(query, key, value, past_keys, past_values):
    keys, values = torch.cat([past_keys, key]), torch.cat([past_values, value])
    return query @ keys.T / query.shape[-1] ** 0.5 @ values, keys, values


def wrong_keys_not_turned(query, key, value, past_keys, past_values):
    keys, values = torch.cat([past_keys, key]), torch.cat([past_values, value])
    return (query @ keys / query.shape[-1] ** 0.5).softmax(-1) @ values, keys, values


def wrong_keys_mixed(query, key, value, past_keys, past_values):
    keys, values = torch.cat([past_keys, key]), torch.cat([past_values, value])
    return _attention(query, keys, keys), keys, values


def wrong_swapped_pair(query, key, value, past_keys, past_values):
    output, keys, values = remembered(query, key, value, past_keys, past_values)
    return output, values, keys


def wrong_in_place(query, key, value, past_keys, past_values):
    keys, values = torch.cat([past_keys, key]), torch.cat([past_values, value])
    query /= query.shape[-1] ** 0.5
    return (query @ keys.T).softmax(-1) @ values, keys, values


def wrong_first_is_nothing(query, key, value, past_keys, past_values):
    output, keys, values = remembered(query, key, value, past_keys, past_values)
    return output if len(past_keys) else torch.zeros_like(value), keys, values


REMEMBERED = Exercise(
    id="09.remembered",
    title="the cache changes nothing",
    minutes=12,
    rule=(
        "One new position has a `query`, a `key` and a `value`, each (1, D). "
        "`past_keys` and `past_values`, both (T, D), are those of the positions before "
        "it, in order; T may be 0. Return a tuple of three: the new position's "
        "attention output (1, D), softmax(q·K/√D)V over the old positions and itself, "
        "then all keys and all values, (T + 1, D) each, the new one last. Leave the "
        "five tensors that you are given as they are."
    ),
    reference=remembered,
    checks=(
        Check(
            name="grows by one",
            points=1,
            proves="adds the new key and the new value at the end",
            hint="`torch.cat([a, b])` puts the rows of b below those of a.",
            run=cache_grows_by_one,
        ),
        Check(
            name="changes nothing",
            points=2,
            proves="gives what attention over the whole text gives for its last "
            "position",
            hint="The query meets all T + 1 keys: scores (1, T + 1), softmax over the "
            "last axis, then mix the T + 1 values. No mask is needed: why?",
            run=cache_changes_nothing,
        ),
        Check(
            name="one by one",
            points=1,
            proves="reads a whole text one position at a time, from the first",
            hint="At the first position the past has no rows. What does it look at?",
            run=one_by_one,
        ),
        Check(
            name="leaves the given alone",
            points=1,
            proves="leaves the given tensors as they were",
            hint="`query = query / 2` makes a new tensor; `query /= 2` changes the one "
            "that somebody else still holds.",
            run=leaves_the_given_alone,
        ),
    ),
    wrong=(
        Wrong("the old ones back", wrong_old_keys_back, "The new key is not among"),
        Wrong("the value not added", wrong_value_not_added, "the new value was not"),
        Wrong("the past only", wrong_past_only, "does not see itself"),
        Wrong("in front", wrong_in_front, "The new key stands in front"),
        Wrong("side by side", wrong_side_by_side, "along axis 0"),
        Wrong("takes a place", wrong_takes_a_place, "took the place of an old one"),
        Wrong("only the new", wrong_only_the_new, "Only the new key comes back"),
        Wrong("no root", wrong_without_root, "not divided by √D"),
        Wrong("by D", wrong_by_size, "divided by D, not by √D"),
        Wrong("by the positions", wrong_by_length, "root of the number of positions"),
        Wrong("the wrong axis", wrong_axis, "over the wrong axis"),
        Wrong("no softmax", wrong_without_softmax, "There is no softmax"),
        Wrong("keys not turned", wrong_keys_not_turned, "turn the keys on their side"),
        Wrong("keys mixed", wrong_keys_mixed, "mix the values"),
        Wrong("swapped", wrong_swapped_pair, "Keys and values are swapped"),
        Wrong("in place", wrong_in_place, "query, which you were given, has changed"),
        Wrong("nothing at first", wrong_first_is_nothing, "It sees itself"),
    ),
)


# 09.cache_bytes ---------------------------------------------------------------------


def cache_bytes(
    layers: int, channels: int, positions: int, bytes_per_number: int
) -> int:
    """How many bytes the KV cache of one text takes."""
    return 2 * layers * channels * positions * bytes_per_number


FORMATS = {1: torch.int8, 2: torch.bfloat16, 4: torch.float32, 8: torch.float64}


def real_bytes(layers: int, channels: int, positions: int, size: int) -> int:
    """What a real cache takes, counted on a tensor that has a shape and no numbers."""
    cache = sampling.KVCache(layers, positions)
    key = torch.empty(1, 1, 1, channels, dtype=FORMATS[size], device="meta")
    cache.add(0, key, key)
    return cache.bytes()


def some_model(generator: torch.Generator) -> tuple[int, int]:
    """Layers and channels whose factors can't be taken for each other's."""
    layers = (3, 5, 7, 11, 13)[whole(generator, 0, 4)]
    return layers, 64 * (17, 19, 23, 29)[whole(generator, 0, 3)]


def hold_bytes(answer, layers, channels, positions, size) -> None:
    """Raise Mistake unless the bytes are right; name the factor that is wrong."""
    value = answer(layers, channels, positions, size)
    what = f"cache_bytes({layers}, {channels}, {positions}, {size})"
    want_type(value, int, what)
    right = real_bytes(layers, channels, positions, size)
    for wrong, words in (
        (right // 2, "It is half of what is kept: a key and a value, two vectors."),
        (right * 3 // 2, "Queries need not be kept: no later position asks for them."),
        (right // layers, "Layers don't count in yours: each has keys of its own."),
        (
            right // channels,
            "Channels don't count in yours: a key is that many numbers.",
        ),
        (
            right // 64,
            "It counts heads for channels: each head's key has many numbers, and "
            "together they are as many as there are channels.",
        ),
        (
            right * channels,
            "Channels count twice. A cache keeps vectors; the C × C matrices are "
            "weights.",
        ),
        (right * 8, "These are bits: bytes_per_number is in bytes."),
        (right // 8, "Divided by 8? bytes_per_number is in bytes, not in bits."),
    ):
        if value == wrong:
            raise Mistake(f"{what} is {value:,}. {words}")
    if value != right:
        raise Mistake(f"{what} is {value:,}; a real cache takes {right:,}.")


def one_token(answer, generator):
    hold_bytes(answer, *some_model(generator), 1, 2)
    hold_bytes(answer, GPT3.layers, GPT3.channels, 1, 2)


def every_position(answer, generator):
    layers, channels = some_model(generator)
    positions = whole(generator, 20, 60)
    value = answer(layers, channels, positions, 2)
    want_type(value, int, "cache_bytes(…)")
    one = real_bytes(layers, channels, 1, 2)
    for times, words in (
        (1, "Positions don't count in yours: each has its own keys and values."),
        (
            positions**2,
            "Positions count twice. There are T × T scores, but the cache keeps only "
            "keys and values: T of each.",
        ),
        (
            positions * (positions + 1) // 2,
            "It adds up the cache at every step. The old keys are kept, not copied: T "
            "at the end.",
        ),
    ):
        if value == one * times:
            raise Mistake(words)
    hold_bytes(answer, layers, channels, positions, 2)


def every_format(answer, generator):
    layers, channels = some_model(generator)
    positions = whole(generator, 2, 9)
    real = {size: real_bytes(layers, channels, positions, size) for size in FORMATS}
    for size in FORMATS:
        value = answer(layers, channels, positions, size)
        for other in FORMATS:
            if other != size and value == real[other]:
                raise Mistake(
                    f"bytes_per_number is {size} here, and yours counts with {other}: "
                    "use the one you are given."
                )
        what = f"cache_bytes({layers}, {channels}, {positions}, {size})"
        want_equal(value, real[size], what)


def wrong_one_vector(layers, channels, positions, bytes_per_number):
    return layers * channels * positions * bytes_per_number


def wrong_queries_too(layers, channels, positions, bytes_per_number):
    return 3 * layers * channels * positions * bytes_per_number


def wrong_one_layer(layers, channels, positions, bytes_per_number):
    return 2 * channels * positions * bytes_per_number


def wrong_heads(layers, channels, positions, bytes_per_number):
    return 2 * layers * (channels // 64) * positions * bytes_per_number


def wrong_matrices(layers, channels, positions, bytes_per_number):
    return 2 * layers * channels**2 * positions * bytes_per_number


def wrong_squared(layers, channels, positions, bytes_per_number):
    return 2 * layers * channels * positions**2 * bytes_per_number


def wrong_every_step(layers, channels, positions, bytes_per_number):
    steps = range(1, positions + 1)
    return sum(2 * layers * channels * t * bytes_per_number for t in steps)


def wrong_one_position(layers, channels, positions, bytes_per_number):
    return 2 * layers * channels * bytes_per_number


def wrong_bits(layers, channels, positions, bytes_per_number):
    return 2 * layers * channels * positions * bytes_per_number * 8


def wrong_from_bits(layers, channels, positions, bytes_per_number):
    return 2 * layers * channels * positions * bytes_per_number // 8


def wrong_always_16_bits(layers, channels, positions, bytes_per_number):
    return 2 * layers * channels * positions * 2


def wrong_megabytes(layers, channels, positions, bytes_per_number):
    return 2 * layers * channels * positions * bytes_per_number / 1e6


CACHE_BYTES = Exercise(
    id="09.cache_bytes",
    title="what remembering costs",
    minutes=6,
    rule=(
        "A model with so many `layers` and `channels` (all heads together) has read so "
        "many `positions` of one text, and has kept what attention will need of them. "
        "How many bytes is that, if a number takes `bytes_per_number`? Return an "
        "`int`. GPT-3, 96 layers of 12,288 channels, must come to 4,718,592 bytes for "
        "one position at 2 bytes a number."
    ),
    reference=cache_bytes,
    checks=(
        Check(
            name="one position",
            points=1,
            proves="counts a key and a value in every layer",
            hint="In one layer, which vectors of an old position does a new query use, "
            "and how many numbers do they have?",
            run=one_token,
        ),
        Check(
            name="every position",
            points=1,
            proves="grows with the text, in step",
            hint="Twice as long a text has twice as many keys. What is T × T is never "
            "kept.",
            run=every_position,
        ),
        Check(
            name="every format",
            points=1,
            proves="takes as much as a real cache, in every format",
            hint="Multiply the count of numbers by `bytes_per_number`.",
            run=every_format,
        ),
    ),
    wrong=(
        Wrong("one vector", wrong_one_vector, "a key and a value, two vectors"),
        Wrong("queries too", wrong_queries_too, "Queries need not be kept"),
        Wrong("one layer", wrong_one_layer, "Layers don't count in yours"),
        Wrong("heads", wrong_heads, "counts heads for channels"),
        Wrong("matrices", wrong_matrices, "A cache keeps vectors"),
        Wrong("squared", wrong_squared, "There are T × T scores"),
        Wrong("every step", wrong_every_step, "kept, not copied"),
        Wrong("one position", wrong_one_position, "Positions don't count in yours"),
        Wrong("bits", wrong_bits, "These are bits"),
        Wrong("from bits", wrong_from_bits, "in bytes, not in bits"),
        Wrong("always 16 bits", wrong_always_16_bits, "use the one you are given"),
        Wrong("megabytes", wrong_megabytes, "is a float; it should be an int"),
    ),
)


# 09.beam_step -----------------------------------------------------------------------


def beam_step(
    log_p: torch.Tensor, totals: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Go on from W beginnings by one token, and keep the W best texts of all.

    log_p (W, V) of each next token, totals (W,) of the beginnings → parents (W,), ids
    (W,) and their totals (W,), the best first.
    """
    every = (totals[:, None] + log_p).flatten()  # (W · V,)
    best = every.topk(len(totals))
    vocabulary = log_p.shape[1]
    return best.indices // vocabulary, best.indices % vocabulary, best.values


def some_beams(
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor, dict[str, list]]:
    """log_p (W, V), totals (W,), and the pairs (parent, id) of each way to choose.

    No two ways are alike, nothing is nearly equal, and the pairs are such that a
    mixed-up place in the table is out of range.
    """
    while True:
        beams, vocabulary = whole(generator, 3, 4), whole(generator, 7, 9)
        logits = 1.5 * torch.randn(beams, vocabulary, generator=generator)
        log_p = torch.log_softmax(logits, -1)
        totals = -1 - 2 * torch.rand(beams, generator=generator)
        ways = all_ways(log_p.tolist(), totals.tolist())
        right, kinds = ways["right"], {frozenset(way) for way in ways.values()}
        scores = (totals[:, None] + log_p).flatten().sort().values
        wide = max(id for _, id in right) >= beams and max(right)[0] == beams - 1
        if len(kinds) == len(ways) and wide and scores.diff().min() > 1e-3:
            return log_p, totals, ways


def all_ways(log_p: list, totals: list) -> dict[str, list]:
    """The pairs (parent, id) that the right way and likely wrong ones keep."""
    beams, vocabulary = len(totals), len(log_p[0])
    pairs = list(itertools.product(range(beams), range(vocabulary)))

    def total(pair):
        return totals[pair[0]] + log_p[pair[0]][pair[1]]

    def alone(pair):
        return log_p[pair[0]][pair[1]]

    best = sorted(pairs, key=total, reverse=True)
    favourite = totals.index(max(totals))
    return {
        "right": best[:beams],
        "each its own": [
            max((p for p in pairs if p[0] == b), key=total) for b in range(beams)
        ],
        "alone": sorted(pairs, key=alone, reverse=True)[:beams],
        "worst": best[-beams:],
        "favourite": [pair for pair in best if pair[0] == favourite][:beams],
    }


WAYS = {  # what each wrong way has in mind
    "each its own": "Each beginning keeps its own best token: no competition. Two "
    "texts may come from one beginning, and a weak beginning may end.",
    "alone": "It chooses by the new token alone. Add the total of the beginning before "
    "you choose.",
    "worst": "It keeps the least likely texts. Logarithms of probabilities are "
    "negative: the best is the one nearest to 0.",
    "favourite": "It goes on from the best beginning only. The others compete too.",
}


def call_beam(answer, log_p, totals) -> tuple[torch.Tensor, ...]:
    """Parents, ids, totals, surely three tensors (W,), the first two in range."""
    beams, vocabulary = log_p.shape
    try:
        found = answer(log_p.clone(), totals.clone())
    except RuntimeError as error:
        if "must match the size" in str(error):
            raise Mistake(
                f"totals ({beams},) doesn't line up with log_p ({beams}, "
                f"{vocabulary}): make it a column, totals[:, None]."
            ) from None
        raise
    want_type(found, tuple, "beam_step(log_p, totals)")
    if len(found) != 3:
        raise Mistake(
            f"It returns {len(found)} things; three are wanted: parents, ids, totals."
        )
    for thing, what in zip(found, ("parents", "ids", "totals")):
        want_type(thing, torch.Tensor, what)
    for thing, what, limit in zip(found, ("parents", "ids"), log_p.shape):
        if tuple(thing.shape) == (beams, beams):
            raise Mistake(
                f"{what} are {beams} × {beams}: the best of each beginning. All "
                f"{beams} × {vocabulary} continuations compete for {beams} places: "
                "flatten first."
            )
        if tuple(thing.shape) != (beams,):
            raise Mistake(f"{what} has shape {tuple(thing.shape)}; give ({beams},).")
        if thing.dtype not in (torch.int64, torch.int32):
            raise Mistake(f"{what} holds {thing.dtype}; whole numbers are wanted (//).")
        if not 0 <= int(thing.min()) <= int(thing.max()) < limit:
            name_places(found[0].tolist(), found[1].tolist(), log_p, totals)
            raise Mistake(f"{what} holds {thing.tolist()}; give 0 to {limit - 1}.")
    want_tensor(found[2], (beams,), "totals")
    return found


def name_places(parents: list, ids: list, log_p, totals) -> None:
    """Raise Mistake if parents and ids are places of the flattened table, mixed up."""
    beams, vocabulary = log_p.shape
    flat = (totals[:, None] + log_p).flatten().topk(beams).indices.tolist()
    columns = sorted(place % vocabulary for place in flat)
    if sorted(parents) == columns and sorted(ids) != columns:
        raise Mistake(
            "Parents and ids are swapped: in the flattened table, place // V is the "
            "row, a beginning, and place % V the column, an id."
        )
    if sorted(ids) == sorted(flat):
        raise Mistake(
            "These ids are places in the flattened table of W · V numbers: place % V "
            "is the id."
        )
    if sorted(parents) == sorted(place // beams for place in flat):
        raise Mistake(
            "A row of the table is V long, not W: place // V is the row, a beginning."
        )


def three_lists(answer, generator):
    for _ in range(2):
        log_p, totals, _ = some_beams(generator)
        call_beam(answer, log_p, totals)


def totals_add_up(answer, generator):
    log_p, totals, _ = some_beams(generator)
    parents, ids, value = call_beam(answer, log_p, totals)
    parents, ids = parents.long(), ids.long()
    old, new = totals[parents], log_p[parents, ids]
    for wrong, words in (
        (new, "The new totals leave out those of the beginnings: add them."),
        (old, "The totals are those of the beginnings: add the new token's log_p."),
        (
            old.exp() + new.exp(),
            "It adds probabilities. Probabilities are multiplied, and so their "
            "logarithms are added: no exp.",
        ),
        ((old + new).exp(), "These are probabilities; give their logarithms."),
        (old * new, "It multiplies logarithms; add them."),
        ((old + new) / 2, "These are means; a text's total is a sum."),
    ):
        if alike(value, wrong):
            raise Mistake(words)
    what = "totals, each next to totals[parent] + log_p[parent, id],"
    want_near(value, old + new, what)


def all_compete(answer, generator):
    for _ in range(3):
        log_p, totals, ways = some_beams(generator)
        parents, ids, _ = call_beam(answer, log_p, totals)
        kept = set(zip(parents.tolist(), ids.tolist()))
        for name, way in ways.items():
            if kept == set(way) and name != "right":
                raise Mistake(WAYS[name])
        if kept != set(ways["right"]):
            raise Mistake(
                f"It keeps the pairs (parent, id) {sorted(kept)}; the best are "
                f"{sorted(ways['right'])}."
            )


def best_first(answer, generator):
    log_p, totals, ways = some_beams(generator)
    parents, ids, value = call_beam(answer, log_p, totals)
    kept = list(zip(parents.tolist(), ids.tolist()))
    if kept != ways["right"] and kept[::-1] == ways["right"]:
        raise Mistake("The best comes last; give the best first.")
    want_equal(kept, ways["right"], "the pairs (parent, id), best first")
    steps = [totals[b] + log_p[b, id] for b, id in ways["right"]]
    want_near(value, torch.stack(steps), "totals, best first")


def _flat(scores):
    return scores.flatten().topk(len(scores))


def wrong_each_its_own(log_p, totals):
    best = (totals[:, None] + log_p).max(-1)
    order = best.values.argsort(descending=True)
    return order, best.indices[order], best.values[order]


def wrong_not_flattened(log_p, totals):
    best = (totals[:, None] + log_p).topk(len(totals))
    return best.indices // log_p.shape[1], best.indices % log_p.shape[1], best.values


def wrong_probabilities(log_p, totals):
    best = _flat(totals.exp()[:, None] + log_p.exp())
    return best.indices // log_p.shape[1], best.indices % log_p.shape[1], best.values


def wrong_no_totals(log_p, totals):
    best = _flat(log_p)
    return best.indices // log_p.shape[1], best.indices % log_p.shape[1], best.values


def wrong_chosen_alone(log_p, totals):
    best = _flat(log_p)
    parents, ids = best.indices // log_p.shape[1], best.indices % log_p.shape[1]
    return parents, ids, totals[parents] + best.values


def wrong_swapped_places(log_p, totals):
    parents, ids, new = beam_step(log_p, totals)
    return ids, parents, new


def wrong_by_width(log_p, totals):
    best = _flat(totals[:, None] + log_p)
    return best.indices // len(totals), best.indices % log_p.shape[1], best.values


def wrong_flat_places(log_p, totals):
    best = _flat(totals[:, None] + log_p)
    return best.indices // log_p.shape[1], best.indices, best.values


def wrong_smallest(log_p, totals):
    every = (totals[:, None] + log_p).flatten()
    best = every.topk(len(totals), largest=False)
    return best.indices // log_p.shape[1], best.indices % log_p.shape[1], best.values


def wrong_favourite(log_p, totals):
    parent = totals.argmax()
    best = log_p[parent].topk(len(totals))
    return parent.expand(len(totals)), best.indices, totals[parent] + best.values


def wrong_row(log_p, totals):
    best = _flat(totals + log_p)
    return best.indices // log_p.shape[1], best.indices % log_p.shape[1], best.values


def wrong_totals_as_probabilities(log_p, totals):
    parents, ids, new = beam_step(log_p, totals)
    return parents, ids, new.exp()


def wrong_product(log_p, totals):
    parents, ids, _ = beam_step(log_p, totals)
    return parents, ids, totals[parents] * log_p[parents, ids]


def wrong_best_last(log_p, totals):
    parents, ids, new = beam_step(log_p, totals)
    return parents.flip(0), ids.flip(0), new.flip(0)


def wrong_decimal(log_p, totals):
    best = _flat(totals[:, None] + log_p)
    return best.indices / log_p.shape[1], best.indices % log_p.shape[1], best.values


BEAM_STEP = Exercise(
    id="09.beam_step",
    title="one step of beam search",
    minutes=12,
    rule=(
        "There are W beginnings. `totals` (W,) has log p of each, and row `b` of "
        "`log_p` (W, V) has log p of every token after beginning `b`. A beginning and "
        "a token make a text, and its total is the sum of both: of all W · V texts "
        "keep the W best. Return a tuple of three tensors (W,), the best text first: "
        "`parents`, the beginning of each, `ids`, its new token (both whole numbers), "
        "and the new totals."
    ),
    reference=beam_step,
    checks=(
        Check(
            name="three of W",
            points=1,
            proves="gives W parents, ids and totals",
            hint="In a flattened table (W · V,), `place // V` is the row and `place % "
            "V` the column.",
            run=three_lists,
        ),
        Check(
            name="totals add up",
            points=1,
            proves="adds logarithms",
            hint="log(a · b) = log a + log b. `totals[:, None]` is a column (W, 1), "
            "which adds to every column of a (W, V).",
            run=totals_add_up,
        ),
        Check(
            name="all compete",
            points=2,
            proves="lets all W · V texts compete",
            hint="One `topk` over all W · V sums, not one for each row.",
            run=all_compete,
        ),
        Check(
            name="best first",
            points=1,
            proves="puts the best text first",
            hint="`topk` sorts the largest first; `sort` the smallest.",
            run=best_first,
        ),
    ),
    wrong=(
        Wrong("each its own", wrong_each_its_own, "no competition"),
        Wrong("not flattened", wrong_not_flattened, "flatten first"),
        Wrong("probabilities", wrong_probabilities, "It adds probabilities"),
        Wrong("no totals", wrong_no_totals, "leave out those of the beginnings"),
        Wrong("chosen alone", wrong_chosen_alone, "chooses by the new token alone"),
        Wrong("swapped", wrong_swapped_places, "Parents and ids are swapped"),
        Wrong("by the width", wrong_by_width, "is V long, not W"),
        Wrong("flat places", wrong_flat_places, "places in the flattened table"),
        Wrong("the smallest", wrong_smallest, "keeps the least likely texts"),
        Wrong("the favourite only", wrong_favourite, "from the best beginning only"),
        Wrong("a row for a column", wrong_row, "make it a column"),
        Wrong(
            "totals as probabilities",
            wrong_totals_as_probabilities,
            "give their logarithms",
        ),
        Wrong("a product", wrong_product, "It multiplies logarithms"),
        Wrong("the best last", wrong_best_last, "The best comes last"),
        Wrong("a decimal division", wrong_decimal, "whole numbers are wanted"),
    ),
)

EXERCISES = (TOP_P, REPETITION_PENALTY, BEAM_STEP, REMEMBERED, CACHE_BYTES)
