"""Exercises of lesson 09: the nucleus, repetition, beams, the KV cache and its cost."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from course_lib.exercises.form import agrees, instead, mistakes, pick, tenths, whole
from course_lib.exercises.kinds import Check, Exercise, Mistake
from course_lib.exercises.wants import want_type
from course_lib.gpt import GPT3
from course_lib.kv_cache import KVCache

VOCABULARY = 49_152  # of the model that the lesson reads


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


SORT, FEW = "probabilities.sort(descending=True)", "order[before < share]"
BY_ID = (SORT, "probabilities, torch.arange(len(probabilities))")
PLACES = (FEW, "before < share")
SHORT = ("before < share", "ordered.cumsum(0) <= share")
FILL, GIVE = "kept[few] = probabilities[few]", "return kept / kept.sum()"

CROSSING = (
    "It drops the token that crosses the share. Without it the others hold too little: that "
    "one stays."
)
RARE = "It starts with the least likely tokens: sort(descending=True)."
UNSORTED = "It adds up in the order of the ids. Sort first, the likeliest in front."
SORTED = (
    "It cuts in sorted order, and takes places in the sorted list for ids. Place i must be "
    "token i, or the wrong token is drawn. The second thing that sort gives is the id at each "
    "place."
)
COUNTS = (
    "It keeps a share of the number of tokens, as top-k does. The share is one of probability: "
    "add probabilities up."
)
ONLY = (
    "Only the tokens that stay come back. Give all V numbers, zeros for the tokens that go, so "
    "that each place is still an id."
)
SOFTMAX = (
    "It ends in a softmax. That makes a 0 positive again, and brings the others together: "
    "divide the kept ones by their sum."
)

CUT_MISTAKES = mistakes(
    top_p,
    ("drops the crossing token", CROSSING, SHORT),
    ("only sums below the share", CROSSING, ("before < share", "ordered.cumsum(0) < share")),
    ("one more",
     "It keeps one token too many: stop at the first sum that reaches the share.",
     (FEW, "order[: int((ordered.cumsum(0) < share).sum()) + 2]")),
    ("one more at a sum that fits",
     "Where some tokens hold the share exactly, it keeps one more. At least the share is "
     "enough: a token stays if those before it hold less (<, not <=).",
     ("before < share", "before <= share")),
    ("single tokens",
     "It keeps no token at all, or too few. The share is for the sum of the kept tokens; no "
     "single token needs to reach it, and one always stays.",
     (FEW, "order[ordered >= share]")),
    ("min-p",
     "It keeps tokens that are at least `share` times as likely as the likeliest: that is "
     "min-p. Here the sum must reach the share.",
     (FEW, "order[ordered >= share * ordered[0]]")),
    ("top-k", COUNTS, (FEW, "order[: int(share * len(order))]")),
    ("top-k, one at least", COUNTS, (FEW, "order[: max(1, round(share * len(order)))]")),
    ("the rarest first", RARE, (SORT, "probabilities.sort()")),
    ("the rarest first, cut short", RARE, (SORT, "probabilities.sort()"), SHORT),
    ("not sorted", UNSORTED, BY_ID),
    ("not sorted, cut short", UNSORTED, BY_ID, SHORT),
    ("places for ids", SORTED, PLACES),
    ("places for ids, cut short", SORTED, PLACES, ("before < share", SHORT[1])),
    ("sorted", SORTED, (FILL, "kept[before < share] = ordered[before < share]")),
    ("only the kept", ONLY, (GIVE, "return kept[kept > 0] / kept.sum()")),
    ("softmax again", SOFTMAX, (GIVE, "return torch.softmax(kept, 0)")),
    ("two at least",
     "One token alone holds the share, and yours keeps more: one is enough.",
     ("before < share", "(before < share) | (before < ordered[0] + 1e-6)")),
)  # fmt: skip
SUM_MISTAKES = mistakes(
    top_p,
    ("not divided",
     "The kept tokens no longer sum to one. Divide by their sum, so that they do again.",
     (" / kept.sum()", "")),
    ("divided by the share",
     "It divides by the share. The kept tokens hold a little more: divide by their own sum.",
     ("kept.sum()", "share")),
    ("softmax of the kept", SOFTMAX,
     (GIVE, "return kept.masked_fill(kept == 0, float('-inf')).softmax(0)")),
)  # fmt: skip


def nucleus(probabilities: torch.Tensor, share: float) -> torch.Tensor:
    """The same by numpy, from a search for the share among the sums."""
    p = probabilities.numpy()
    order = np.argsort(-p, kind="stable")
    few = order[: np.searchsorted(p[order].cumsum(dtype=float), share) + 1]
    kept = np.zeros_like(p)
    kept[few] = p[few] / p[few].sum()
    return torch.from_numpy(kept)


def stays(value: Any) -> torch.Tensor:
    """Which tokens a cut keeps."""
    want_type(value, torch.Tensor, "What comes back")
    return value > 0


def why_not_these(given: tuple, kept: torch.Tensor, right: torch.Tensor) -> str:
    """What is wrong with the tokens that a cut keeps."""
    p, share = given
    if kept.shape != right.shape:
        return ""
    count, few, held = int(kept.sum()), int(right.sum()), float(p[kept].sum())
    if held < share:
        return f"what it keeps holds {held:.4g}, less than the share of {share:.4g}"
    if count > few:
        return f"it keeps {count} tokens, and the {few} likeliest hold the share"
    return "others are likelier than those that it keeps"


def percents(generator):
    """Three lists of different whole percents, and a share between two of their sums."""
    cases = []
    while len(cases) < 3:
        cuts = torch.randperm(99, generator=generator)[:5] + 1
        ends = torch.cat([torch.tensor([0]), cuts.sort().values, torch.tensor([100])])
        p, share = ends.diff(), whole(generator, 50, 90) + 0.5
        if len(p.unique()) == len(p) and p.max() < share:
            cases.append((p / 100, share / 100))
    return cases


def sixteenths(generator):
    """Probabilities whose sums reach a share exactly; equal ones, but not at the edge."""
    counts = ((8, 5, 3, 0, 0, 0), 13), ((6, 3, 3, 2, 1, 1), 12), ((4, 4, 3, 2, 2, 1), 8)
    cases = []
    for parts, share in counts:
        order = torch.randperm(len(parts), generator=generator)
        cases.append((torch.tensor(parts)[order] / 16, share / 16))
    return cases


def sure_and_unsure(generator):
    """One token that holds the share alone; and a vocabulary as large as the lesson's."""
    sure = torch.tensor([0.9, 0.04, 0.03, 0.02, 0.01])
    flat = torch.softmax(3 * torch.randn(VOCABULARY, generator=generator), 0)
    sums, few = flat.sort(descending=True).values.cumsum(0), whole(generator, 200, 300)
    share = float(sums[few - 1 : few + 1].mean())  # far from any sum: no rounding
    return [(sure[torch.randperm(5, generator=generator)], 0.5), (flat, share)]


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
            "holds the share", 1, "keeps tokens that hold at least the share",
            "`cumsum(0)` of the sorted probabilities says what each token and all likelier "
            "ones hold. A token stays if those *before* it hold too little.",
            agrees(nucleus, percents, CUT_MISTAKES, look=stays, why=why_not_these, shows="{} > 0"),
        ),
        Check(
            "the fewest", 1, "keeps no token that isn't needed",
            "Take the least likely kept token away: do the others still hold the share? "
            "Then it was not needed.",
            agrees(nucleus, sixteenths, CUT_MISTAKES, look=stays, why=why_not_these, shows="{} > 0"),
        ),
        Check(
            "follows the model", 1,
            "keeps few tokens where the model is sure and many where it isn't",
            "If one token has 0.9 and the share is 0.5, how many are needed?",
            agrees(nucleus, sure_and_unsure, CUT_MISTAKES[-1:], look=stays, why=why_not_these,
                   shows="{} > 0"),
        ),
        Check(
            "stays a distribution", 1, "leaves each token at its id and sums to one",
            "Start from `torch.zeros_like(probabilities)` and fill in the ids that stay. "
            "`sort` gives two things: the sorted numbers, and their ids.",
            agrees(nucleus, percents, SUM_MISTAKES),
        ),
    ),
    wrong=CUT_MISTAKES + SUM_MISTAKES,
)  # fmt: skip


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


HOW = "logits[id] / penalty if positive else logits[id] * penalty"
COPY, END = "    punished = logits.clone()", "return punished"
LATER = "These are probabilities, or their logarithms. Return logits: the softmax comes later."
FIRST = (
    "Only one id is punished. Does return stand in the loop? Every id in ids counts."
)

PENALTY_MISTAKES = mistakes(
    repetition_penalty,
    *instead(HOW, {
        "logits[id] / penalty":
            "A negative logit became likelier. Divided by the penalty it moves up, nearer to "
            "0: multiply it.",
        "logits[id] * penalty":
            "A positive logit became likelier. Multiplied by the penalty it moves up: divide it.",
        "logits[id] * penalty if positive else logits[id] / penalty":
            "Every token in ids is likelier than before: the two ways are swapped. Divide a "
            "positive logit, multiply a negative one.",
        "logits[id] / penalty if positive else logits[id]":
            "A negative logit stays as it was. It must fall too: multiply it.",
        "logits[id] if positive else logits[id] * penalty":
            "A positive logit stays as it was. It must fall too: divide it.",
        "logits[id] - penalty":
            "It takes the penalty away. Here the penalty is a factor: with 1, nothing may "
            "change.",
        "logits[id] - (penalty - 1) * logits[id].abs()":
            "It takes off a part of the logit. A positive one is divided by the penalty, which "
            "is not the same as times (2 − penalty).",
        "float('-inf')":
            "A logit is infinite: that forbids a token for ever. The penalty makes it less "
            "likely, by a factor.",
        "0.0":
            "The logits of these tokens are 0, and the negative ones rose to it. A logit of 0 "
            "does not forbid: divide or multiply by the penalty.",
        "logits[id].abs() / penalty":
            "The sign is lost: a negative logit became positive. Use its sign, and keep it.",
    }),
    ("every token", "It punishes every token. Only those in ids have come before.",
     ("set(ids)", "range(len(logits))")),
    ("the places in ids",
     "It punishes the tokens 0, 1, 2, …: these are places in ids. Punish the ids that stand "
     "there: for id in ids.",
     ("set(ids)", "range(len(ids))")),
    ("each time",
     "A token that comes several times in ids is punished several times: once is enough. "
     "set(ids) has each id once.",
     ("set(ids)", "ids"), (HOW, HOW.replace("logits", "punished"))),
    ("the first only", FIRST, ("set(ids)", "ids[:1]")),
    ("the last only", FIRST, ("set(ids)", "ids[-1:]")),
    ("the smallest only", FIRST, ("set(ids)", "[min(ids)]")),
    ("a softmax", LATER, (END, "return punished.softmax(0)")),
    ("a logarithm of a softmax", LATER, (END, "return punished.log_softmax(0)")),
    ("probabilities",
     "It makes probabilities first, and punishes these. Punish the logits: the softmax comes "
     "later.",
     (COPY, f"    logits = logits.softmax(0)\n{COPY}")),
    ("changes a copy",
     "Nothing changed: the logits that you return are those given. `x = logits[id]` and then "
     "`x = …` changes the name x, not the tensor: write punished[id] = …",
     (END, "return logits")),
    ("the others lost",
     "All other logits are 0. They stay as they are: start from a copy, logits.clone().",
     ("logits.clone()", "torch.zeros_like(logits)")),
    ("a penalty of its own",
     "It ignores its argument penalty: another one must change the result.",
     (COPY, f"    penalty = 1.2\n{COPY}")),
)  # fmt: skip


def lowered(logits: torch.Tensor, ids: list[int], penalty: float) -> torch.Tensor:
    """The same as the smaller of both ways, for a penalty from 1."""
    both = torch.stack([logits / penalty, logits * penalty])
    seen = torch.bincount(torch.tensor(ids), minlength=len(logits)) > 0
    return torch.where(seen, both.min(0).values, logits)


def mixed_logits(generator: torch.Generator) -> torch.Tensor:
    """Logits (6,), three positive and three negative, in random order."""
    order = torch.randperm(6, generator=generator)
    return (tenths(generator, 6).abs() * torch.tensor([1, -1, 1, -1, 1, -1]))[order]


def all_seen(generator):
    """Every token has come before, once."""
    return [
        (mixed_logits(generator), torch.randperm(6, generator=generator).tolist(), by)
        for by in (1.5, 2.0)
    ]


def some_seen(generator):
    """Three tokens have come before, all with positive logits, or all with negative."""
    cases = []
    for sign in (1, -1):
        logits = mixed_logits(generator)
        ids = (sign * logits > 0).nonzero()[:, 0]
        ids = ids[torch.randperm(3, generator=generator)]
        cases.append((logits, ids.tolist(), 1.5))
    return cases


def penalties(generator):
    logits = mixed_logits(generator)
    ids = torch.randperm(6, generator=generator)[:4].tolist()
    return [(logits, ids, by) for by in (1.0, 1.1, 1.3, 3.0)]


def seen_often(generator):
    """Ids that come again; and a text and a vocabulary as long as the lesson's."""
    cases = []
    for length, size in ((5, 3), (7, 4)):
        ids = torch.randperm(6, generator=generator)[:size].tolist()
        again = ids + [pick(generator, ids) for _ in range(length - size)]
        cases.append((mixed_logits(generator), again, 1.5))
    logits = 4 * torch.randn(VOCABULARY, generator=generator)
    ids = torch.randint(VOCABULARY, (12,), generator=generator).tolist()
    return [*cases, (logits, ids + ids[3:9], 1.3)]


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
            "old tokens fall", 2,
            "makes every token that has come before less likely, whatever its sign",
            "What is −3 divided by 1.5? Is that more, or less, than −3?",
            agrees(lowered, all_seen, PENALTY_MISTAKES),
        ),
        Check(
            "new tokens stay", 1, "leaves all other logits as they are",
            "Change only places that are in `ids`, and return logits, not probabilities.",
            agrees(lowered, some_seen, PENALTY_MISTAKES),
        ),
        Check(
            "by the penalty", 1, "divides or multiplies by the penalty itself",
            "Two cases, one for a logit above 0 and one for the rest. Does a penalty of 1 "
            "change anything?",
            agrees(lowered, penalties, PENALTY_MISTAKES),
        ),
        Check(
            "once however often", 1, "punishes a token once, however often it has come",
            "`set(ids)` holds each id once.",
            agrees(lowered, seen_often, PENALTY_MISTAKES),
        ),
    ),
    wrong=PENALTY_MISTAKES,
)  # fmt: skip


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


SUMS, TOP = "(totals[:, None] + log_p).flatten()", "every.topk(len(totals))"
PARENT, ID = "best.indices // vocabulary", "best.indices % vocabulary"
TEXTS, NEW = f"return {PARENT}, {ID}, best.values", ", best.values"
COLUMN = (
    "totals (W,) doesn't line up with log_p (W, V): make it a column (W, 1), totals[:, None], "
    "which adds to every column."
)
ADDED_P = (
    "It adds probabilities. Probabilities are multiplied, and so their logarithms are added: "
    "no exp."
)
PRODUCT = "It multiplies logarithms; add them."
ROW = (
    "A row of the table is V long, not W: place // V is the row, a beginning, and place % V "
    "the id."
)

BEAM_MISTAKES = mistakes(
    beam_step,
    ("not flattened",
     "These are W × W: the best of each beginning. All W × V continuations compete for W "
     "places: flatten first.",
     (".flatten()", "")),
    ("a row for a column", COLUMN, ("totals[:, None]", "totals")),
    ("a decimal division",
     "/ makes decimals. Parents and ids are whole numbers, to look up with: divide with //.",
     (PARENT, "best.indices / vocabulary")),
    ("all texts", "All W · V texts come back, or V of them. Keep W, as many as there were.",
     (TOP, "every.sort(descending=True)")),
    ("as many as tokens", "All W · V texts come back, or V of them. Keep W, as many as there were.",
     (TOP, "every.topk(log_p.shape[1])")),
    ("one text", "Only the best text comes back. Keep W, as many as there were.",
     (TOP, "every.topk(1)")),
    *instead(SUMS, {
        "(totals.exp()[:, None] + log_p.exp()).flatten()": ADDED_P,
        "(totals[:, None] * log_p).flatten()": PRODUCT,
        "log_p.flatten()": "The new totals leave out those of the beginnings: add them.",
    }),
    *instead(NEW, {
        f", totals[{PARENT}]":
            "The totals are those of the beginnings: add the new token's log_p.",
        ", best.values.exp()": "These are probabilities; give their logarithms.",
        f", totals[{PARENT}] * log_p[{PARENT}, {ID}]": PRODUCT,
        ", best.values / 2": "These are means; a text's total is a sum.",
    }),
    ("each its own",
     "Each beginning keeps its own best token: no competition. Two texts may come from one "
     "beginning, and a weak beginning may end.",
     (".flatten()", ""), (TOP, "every.max(-1)"),
     (TEXTS, "order = best.values.argsort(descending=True)\n"
             "    return order, best.indices[order], best.values[order]")),
    ("chosen alone",
     "It chooses by the new token alone. Add the total of the beginning before you choose.",
     (SUMS, "log_p.flatten()"), (NEW, f", totals[{PARENT}] + best.values")),
    ("the smallest",
     "It keeps the least likely texts. Logarithms of probabilities are negative: the best is "
     "the one nearest to 0.",
     (TOP, "every.topk(len(totals), largest=False)")),
    ("the favourite only",
     "It goes on from the best beginning only. The others compete too.",
     (SUMS, "(totals[:, None] + log_p)[totals.argmax()]"),
     (PARENT, "totals.argmax().expand(len(totals))")),
    ("swapped",
     "Parents and ids are swapped: in the flattened table, place // V is the row, a beginning, "
     "and place % V the column, an id.",
     (TEXTS, f"return {ID}, {PARENT}, best.values")),
    ("rows of W", ROW, (PARENT, "best.indices // len(totals)")),
    ("rows and columns of W", ROW,
     (PARENT, "best.indices // len(totals)"), (ID, "best.indices % len(totals)")),
    ("flat places",
     "These ids are places in the flattened table of W · V numbers: place % V is the id.",
     (ID, "best.indices")),
    ("the best last", "The best comes last; give the best first.",
     (TEXTS, f"return ({PARENT}).flip(0), ({ID}).flip(0), best.values.flip(0)")),
)  # fmt: skip


def three(found: Any, names: str) -> tuple[torch.Tensor, ...]:
    """What an answer gives, surely three tensors in a tuple."""
    want_type(found, tuple, "What comes back")
    if len(found) != 3:
        raise Mistake(
            f"{len(found)} things come back; three are wanted, in a tuple: {names}."
        )
    for thing, name in zip(found, names.split(", ")):
        want_type(thing, torch.Tensor, name)
    return found


def best_texts(log_p: torch.Tensor, totals: torch.Tensor) -> tuple:
    """The same in Python, from a sorted list of all texts."""
    rows, starts = log_p.tolist(), totals.tolist()
    pairs = itertools.product(range(len(rows)), range(len(rows[0])))
    texts = sorted(((starts[b] + rows[b][i], b, i) for b, i in pairs), reverse=True)
    values, parents, ids = zip(*texts[: len(starts)])
    return torch.tensor(parents), torch.tensor(ids), torch.tensor(values)


def kinds(found: Any) -> list[tuple]:
    """The shape of each of three tensors, and whether it holds decimals."""
    return [
        (tuple(one.shape), "decimals" if one.is_floating_point() else "whole numbers")
        for one in three(found, "parents, ids, totals")
    ]


def sums(found: Any) -> torch.Tensor:
    return three(found, "parents, ids, totals")[2].sort().values


def pairs(found: Any) -> list[tuple]:
    parents, ids, _ = three(found, "parents, ids, totals")
    return sorted(zip(parents.tolist(), ids.tolist()))


def why_not_best(given: tuple, kept: list, right: list) -> str:
    """The best text that is missing, by its total, and one that was kept instead."""
    log_p, totals = given
    missing = [pair for pair in right if pair not in kept]
    others = [pair for pair in kept if pair not in right]
    inside = [
        (b, i) for b, i in others if 0 <= b < len(log_p) and 0 <= i < len(log_p[0])
    ]
    if len(inside) < len(others):
        return (
            f"a parent is from 0 to {len(log_p) - 1}, and an id to {len(log_p[0]) - 1}"
        )
    told = [
        f"{b, i} has the total {float(totals[b]):.4g} + {float(log_p[b, i]):.4g}"
        for b, i in (missing[:1] + inside[:1])
    ]
    return " and ".join(told)


def some_beams(
    generator: torch.Generator, beams: int, vocabulary: int, certain: float = 0.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """log_p (W, V) and totals (W,), of two decimals; no two sums are nearly equal.

    With `certain`, one token of each row is ahead by so much.
    """
    while True:
        logits = 1.5 * torch.randn(beams, vocabulary, generator=generator)
        ahead = torch.randint(vocabulary, (beams, 1), generator=generator)
        logits.scatter_add_(1, ahead, torch.full((beams, 1), certain))
        log_p = logits.log_softmax(-1).round(decimals=2)
        totals = (-1 - 2 * torch.rand(beams, generator=generator)).round(decimals=2)
        every = (totals[:, None] + log_p).flatten().sort(descending=True).values
        if every[: beams + 1].diff().abs().min() > 5e-3:
            return log_p, totals


def sizes(generator):
    return [some_beams(generator, *size) for size in ((2, 3), (3, 5))]


def certain_beams(generator):
    """Each beginning has one token that is far ahead: which texts to keep is plain."""
    return [some_beams(generator, *size, certain=12.0) for size in ((2, 3), (3, 5))]


def competing(generator):
    """Small beams, the first step of the lesson's, and one of many tokens."""
    small = [some_beams(generator, *size) for size in ((2, 3), (2, 4), (3, 5), (4, 7))]
    start = torch.tensor([0, -torch.inf, -torch.inf])
    large = torch.randn(3, 1000, generator=generator).log_softmax(-1)
    return [*small, (small[2][0], start), (large, small[2][1])]


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
            "three of W", 1, "gives W parents, ids and totals",
            "In a flattened table (W · V,), `place // V` is the row and `place % V` the column.",
            agrees(best_texts, sizes, BEAM_MISTAKES, look=kinds,
                   shows="What comes back from {}, by shape and kind, is not right. It"),
        ),
        Check(
            "totals add up", 1, "adds logarithms",
            "log(a · b) = log a + log b. `totals[:, None]` is a column (W, 1), which adds to "
            "every column of a (W, V).",
            agrees(best_texts, certain_beams, BEAM_MISTAKES, look=sums,
                   shows="{}[2].sort().values"),
        ),
        Check(
            "all compete", 2, "lets all W · V texts compete",
            "One `topk` over all W · V sums, not one for each row.",
            agrees(best_texts, competing, BEAM_MISTAKES, look=pairs, why=why_not_best,
                   shows="{}, as sorted pairs (parent, id),"),
        ),
        Check(
            "best first", 1, "puts the best text first",
            "`topk` sorts the largest first; `sort` the smallest.",
            agrees(best_texts, competing, BEAM_MISTAKES),
        ),
    ),
    wrong=BEAM_MISTAKES,
)  # fmt: skip


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


KEYS, VALUES = "[past_keys, key]", "[past_values, value]"
MEET, ROOT = "query @ keys.T", " / math.sqrt(query.shape[-1])"
MIX, PAIR = "torch.softmax(scores, dim=-1) @ values", "@ values, keys, values"
NOT_AMONG = (
    "The new key or the new value is not among those that you return: the next position will "
    "need both."
)
FRONT = "The new {} stands in front. It comes last in the text, so it goes to the end."
SIDE = (
    "Old and new stand side by side, or in a new axis. A position is a row: torch.cat puts the "
    "new row below the old ones, along axis 0."
)

CACHE_MISTAKES = mistakes(
    remembered,
    ("the old ones back", NOT_AMONG, (PAIR, "@ values, past_keys, past_values")),
    ("the old keys back", NOT_AMONG, (PAIR, "@ values, past_keys, values")),
    ("the old values back", NOT_AMONG, (PAIR, "@ values, keys, past_values")),
    ("only the new",
     "Only the new key and value come back: return the old ones too, in front.",
     (PAIR, "@ values, key, value")),
    ("the value not added",
     "T + 1 weights and T values can't be multiplied: the new key was added and the new "
     "value was not.",
     (f"torch.cat({VALUES})", "past_values")),
    ("the key not added",
     "T weights and T + 1 values can't be multiplied: the new value was added and the new key "
     "was not.",
     (f"torch.cat({KEYS})", "past_keys")),
    ("in front", FRONT.format("key and value"),
     (KEYS, "[key, past_keys]"), (VALUES, "[value, past_values]")),
    ("the key in front", FRONT.format("key"), (KEYS, "[key, past_keys]")),
    ("the value in front", FRONT.format("value"), (VALUES, "[value, past_values]")),
    ("side by side", SIDE, (KEYS, f"{KEYS}, -1"), (VALUES, f"{VALUES}, -1")),
    ("stacked", SIDE, (f"cat({KEYS}", f"stack({KEYS}"), (f"cat({VALUES}", f"stack({VALUES}")),
    ("takes a place",
     "The keys and values did not grow: the new one took the place of an old one. torch.cat "
     "makes room for both.",
     (KEYS, "[past_keys[1:], key]"), (VALUES, "[past_values[1:], value]")),
    ("swapped", "Keys and values are swapped: return output, keys, values.",
     (PAIR, "@ values, values, keys")),
    *instead(f"{MEET}{ROOT}", {
        MEET: "The scores are not divided by √D.",
        f"{MEET} / query.shape[-1]": "The scores are divided by D, not by √D.",
        f"{MEET} * math.sqrt(query.shape[-1])": "It multiplies by √D; divide by it.",
        f"{MEET} / math.sqrt(len(keys))":
            "The scores are divided by the root of the number of positions. D is the size of a "
            "query.",
        f"query @ keys{ROOT}":
            "Queries and keys can't be multiplied like this: turn the keys on their side first, "
            "so that D meets D.",
        f"key @ keys.T{ROOT}": "The new key asks. The query meets the keys: query @ keys.T.",
        f"({MEET}{ROOT}).masked_fill(torch.ones(1, len(keys)).triu(1) > 0, -math.inf)":
            "There is a mask, and the new position sees the first one only. It comes last and "
            "may look at all: no mask is needed.",
    }),
    *instead(MIX, {
        "torch.softmax(scores, dim=0) @ values":
            "The softmax runs over the wrong axis: every weight is 1. The weights of the query, "
            "one for each key, must sum to one.",
        "scores @ values": "There is no softmax: weights must sum to one.",
        "torch.exp(scores) @ values":
            "The powers of e are not divided by their sum: weights must sum to one.",
        f"torch.softmax({MEET}, dim=-1){ROOT} @ values":
            "√D divides the weights, after the softmax. It divides the scores, before.",
        "torch.softmax(scores, dim=-1) @ keys": "The keys are mixed; mix the values.",
        "value": "The output is the new value alone: what of the past?",
        f"(torch.softmax(scores, dim=-1) @ values) * (len(keys) > 1)":
            "The first position has no past and its output is 0. It sees itself.",
    }),
    ("the past only",
     "The new position does not see itself: its own key and value belong to the softmax too.",
     (MEET, "query @ past_keys.T"), (PAIR, "@ past_values, keys, values")),
)  # fmt: skip
IN_PLACE = mistakes(
    remembered,
    ("in place",
     "query, which you were given, has changed. `/=`, `+=` and `x[…] = …` work in place; make "
     "a new tensor instead.",
     (f"scores = {MEET}{ROOT}", "query /= math.sqrt(query.shape[-1]); scores = query @ keys.T")),
)  # fmt: skip


def by_torch(query, key, value, past_keys, past_values):
    """The same by torch's own attention."""
    keys, values = torch.vstack([past_keys, key]), torch.vstack([past_values, value])
    output = F.scaled_dot_product_attention(query[None], keys[None], values[None])
    return output[0], keys, values


def kept(found: Any) -> tuple:
    return three(found, "output, keys, values")[1:]


def output(found: Any) -> torch.Tensor:
    return three(found, "output, keys, values")[0]


def positions(*shapes: tuple[int, int]) -> Callable:
    """Cases: a new position after T others, for each (T, D)."""

    def cases(generator):
        return [
            (
                *tenths(generator, 3, 1, size, most=1.2),
                *tenths(generator, 2, past, size),
            )
            for past, size in shapes
        ]

    return cases


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
            "grows by one", 1, "adds the new key and the new value at the end",
            "`torch.cat([a, b])` puts the rows of b below those of a.",
            agrees(by_torch, positions((1, 3), (2, 4), (3, 5)), CACHE_MISTAKES, look=kept,
                   shows="{}[1:]"),
        ),
        Check(
            "changes nothing", 2,
            "gives what attention over the whole text gives for its last position",
            "The query meets all T + 1 keys: scores (1, T + 1), softmax over the last axis, "
            "then mix the T + 1 values. No mask is needed: why?",
            agrees(by_torch, positions((1, 3), (2, 4), (3, 5)), CACHE_MISTAKES, look=output,
                   shows="{}[0]"),
        ),
        Check(
            "one by one", 1, "reads a whole text one position at a time, from the first",
            "At the first position the past has no rows. What does it look at?",
            agrees(by_torch, positions(*((past, 4) for past in range(8))), CACHE_MISTAKES),
        ),
        Check(
            "leaves the given alone", 1, "leaves the given tensors as they were",
            "`query = query / 2` makes a new tensor; `query /= 2` changes the one that "
            "somebody else still holds.",
            agrees(by_torch, positions((1, 2), (2, 3)), IN_PLACE, look=lambda _: None, after=True),
        ),
    ),
    wrong=CACHE_MISTAKES + IN_PLACE,
)  # fmt: skip


# 09.cache_bytes ---------------------------------------------------------------------


def cache_bytes(
    layers: int, channels: int, positions: int, bytes_per_number: int
) -> int:
    """How many bytes the KV cache of one text takes."""
    return 2 * layers * channels * positions * bytes_per_number


BYTES = "2 * layers * channels * positions * bytes_per_number"
MEGABYTES = (
    "That is a float, in megabytes or gigabytes: give the number of bytes, an int."
)
COUNT_ONCE = (
    "Channels count twice. A cache keeps vectors; the C × C matrices are weights."
)

BYTES_MISTAKES = mistakes(
    cache_bytes,
    *instead(BYTES, {
        "layers * channels * positions * bytes_per_number":
            "It is half of what is kept: a key and a value, two vectors.",
        "3 * layers * channels * positions * bytes_per_number":
            "Queries need not be kept: no later position asks for them.",
        "2 * channels * positions * bytes_per_number":
            "Layers don't count in yours: each has keys of its own.",
        "2 * layers * positions * bytes_per_number":
            "Channels don't count in yours: a key is that many numbers.",
        "2 * layers * (channels // 64) * positions * bytes_per_number":
            "It counts heads for channels: each head's key has many numbers, and together they "
            "are as many as there are channels.",
        "2 * layers * channels**2 * positions * bytes_per_number": COUNT_ONCE,
        "2 * layers * channels**2 * bytes_per_number": COUNT_ONCE,
        "2 * layers * channels * positions**2 * bytes_per_number":
            "Positions count twice. There are T × T scores, but the cache keeps only keys and "
            "values: T of each.",
        "layers * channels * positions * (positions + 1) * bytes_per_number":
            "It adds up the cache at every step. The old keys are kept, not copied: T at the "
            "end.",
        "2 * layers * channels * bytes_per_number":
            "Positions don't count in yours: each has its own keys and values.",
        f"8 * {BYTES}": "These are bits: bytes_per_number is in bytes.",
        f"{BYTES} // 8": "Divided by 8? bytes_per_number is in bytes, not in bits.",
        "2 * layers * channels * positions":
            "These are numbers, not bytes: multiply by bytes_per_number.",
        "2 * layers * channels * positions * 2":
            "Every number takes 2 bytes in yours; use bytes_per_number, which you are given.",
        "2 * layers * channels * positions * 4":
            "Every number takes 4 bytes in yours; use bytes_per_number, which you are given.",
        f"{BYTES} / 1e6": MEGABYTES,
        f"{BYTES} / 1e9": MEGABYTES,
    }),
)  # fmt: skip

FORMATS = {1: torch.int8, 2: torch.bfloat16, 4: torch.float32, 8: torch.float64}


def real_bytes(layers, channels, positions, bytes_per_number):
    """What a real cache takes, counted on a tensor that has a shape and no numbers."""
    cache = KVCache(layers, positions)
    shape, kind = (1, 1, 1, channels), FORMATS[bytes_per_number]
    key = torch.empty(shape, dtype=kind, device="meta")
    cache.add(0, key, key)
    return cache.bytes()


def some_model(generator: torch.Generator) -> tuple[int, int]:
    """Layers and channels whose factors can't be taken for each other's."""
    return pick(generator, (5, 7, 11, 13)), 64 * pick(generator, (17, 19, 23, 29))


def one_position(generator):
    return [(*some_model(generator), 1, 2), (GPT3.layers, GPT3.channels, 1, 2)]


def more_positions(generator):
    model = some_model(generator)
    return [(*model, whole(generator, 3, 9), 2), (30, 3 * 64, 2_048, 2)]


def every_format(generator):
    model, count = some_model(generator), whole(generator, 3, 9)
    return [(*model, count, size) for size in FORMATS] + [(30, 3 * 64, 2_048, 4)]


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
            "one position", 1, "counts a key and a value in every layer",
            "In one layer, which vectors of an old position does a new query use, and how "
            "many numbers do they have?",
            agrees(real_bytes, one_position, BYTES_MISTAKES),
        ),
        Check(
            "every position", 1, "grows with the text, in step",
            "Twice as long a text has twice as many keys. What is T × T is never kept.",
            agrees(real_bytes, more_positions, BYTES_MISTAKES),
        ),
        Check(
            "every format", 1, "takes as much as a real cache, in every format",
            "Multiply the count of numbers by `bytes_per_number`.",
            agrees(real_bytes, every_format, BYTES_MISTAKES),
        ),
    ),
    wrong=BYTES_MISTAKES,
)  # fmt: skip

EXERCISES = (TOP_P, REPETITION_PENALTY, BEAM_STEP, REMEMBERED, CACHE_BYTES)
