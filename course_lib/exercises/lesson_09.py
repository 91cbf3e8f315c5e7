"""Exercises of lesson 09: the nucleus, repetition, beams, the KV cache and its cost."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from course_lib.exercises.compare import shown
from course_lib.exercises.form import agrees, instead, mistakes, pick, tenths, whole
from course_lib.exercises.kinds import Check, Exercise, Mistake
from course_lib.exercises.wants import want_type
from course_lib.gpt import GPT3
from course_lib.kv_cache import KVCache

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


def top_p_plainly(probabilities: torch.Tensor, share: float) -> torch.Tensor:
    """The fewest likeliest tokens that together hold at least `share`: (V,) → (V,)."""
    kept, held = torch.zeros_like(probabilities), 0.0
    for id in probabilities.argsort(descending=True).tolist():
        if held >= share:
            break
        kept[id] = probabilities[id]
        held += float(probabilities[id])
    return kept / kept.sum()


FILL, SHARED_OUT = "kept[few] = probabilities[few]", "return kept / kept.sum()"
PLACES = (
    "It cuts in sorted order, and takes places in the sorted list for ids. Place i must be "
    "token i, or the wrong token is drawn. The second thing that sort gives is the id at each "
    "place."
)
SOFTMAX = (
    "It ends in a softmax. That makes a 0 positive again, and brings the others together: "
    "divide the kept ones by their sum."
)

CUT_MISTAKES = mistakes(
    top_p,
    *instead("order[before < share]", {
        ("order[ordered.cumsum(0) <= share]", "order[ordered.cumsum(0) < share]"):
            "It drops the token that crosses the share. Without it the others hold too little: "
            "that one stays.",
        "order[: int((ordered.cumsum(0) < share).sum()) + 2]":
            "It keeps one token too many: stop at the first sum that reaches the share.",
        "order[before <= share]":
            "Where some tokens hold the share exactly, it keeps one more. At least the share "
            "is enough: a token stays if those before it hold less (<, not <=).",
        "order[ordered >= share]":
            "It keeps no token at all, or too few. The share is for the sum of the kept tokens; "
            "no single token needs to reach it, and one always stays.",
        "order[ordered >= share * ordered[0]]":
            "It keeps tokens that are at least `share` times as likely as the likeliest: that "
            "is min-p. Here the sum must reach the share.",
        ("order[: int(share * len(order))]", "order[: max(1, round(share * len(order)))]"):
            "It keeps a share of the number of tokens, as top-k does. The share is one of "
            "probability: add probabilities up.",
        ("order.flip(0)[ordered.flip(0).cumsum(0) - ordered.flip(0) < share]",
         "order.flip(0)[ordered.flip(0).cumsum(0) <= share]"):
            "It starts with the least likely tokens: sort(descending=True).",
        ("probabilities.cumsum(0) - probabilities < share", "probabilities.cumsum(0) <= share"):
            "It adds up in the order of the ids. Sort first, the likeliest in front.",
        ("before < share", "ordered.cumsum(0) <= share"): PLACES,
    }),
    ("sorted", PLACES, (FILL, "kept[before < share] = ordered[before < share]")),
    ("softmax again", SOFTMAX, (SHARED_OUT, "return torch.softmax(kept, 0)")),
    ("only the kept",
     "Only the tokens that stay come back. Give all V numbers, zeros for the tokens that go, "
     "so that each place is still an id.",
     (SHARED_OUT, "return kept[kept > 0] / kept.sum()")),
)  # fmt: skip
SURE_MISTAKES = mistakes(
    top_p,
    ("two at least", "One token alone holds the share, and yours keeps more: one is enough.",
     ("order[before < share]", "order[: max(2, int((before < share).sum()))]")),
)  # fmt: skip
SUM_MISTAKES = mistakes(
    top_p,
    *instead(SHARED_OUT, {
        "return kept":
            "The kept tokens no longer sum to one. Divide by their sum, so that they do again.",
        "return kept / share":
            "It divides by the share. The kept tokens hold a little more: divide by their sum.",
        "return kept.masked_fill(kept == 0, -math.inf).softmax(0)": SOFTMAX,
    }),
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


def keeps(cases: Callable, wrong: tuple = CUT_MISTAKES) -> Callable:
    """Make a check of which tokens stay, whatever becomes of their probabilities."""
    return agrees(nucleus, cases, wrong, look=stays, why=why_not_these, shows="{} > 0")


def percents(generator):
    """Lists of different whole percents, and shares between two of their sums."""
    cases, shares = [], [45.5, 60.5, 70.5, 85.5]
    while shares:
        cuts = torch.randperm(99, generator=generator)[:5] + 1
        ends = torch.cat([torch.tensor([0]), cuts.sort().values, torch.tensor([100])])
        p = ends.diff()
        if len(p.unique()) == len(p) and p.max() < min(45, shares[-1]):
            cases.append((p / 100, shares.pop() / 100))
    return cases


def sixteenths(generator):
    """Probabilities whose sums reach a share exactly; equal ones, but not at the edge."""
    cases = percents(generator)[:1]
    for *parts, share in (
        (8, 5, 3, 0, 0, 13),
        (6, 3, 3, 2, 2, 12),
        (4, 4, 3, 2, 2, 1, 8),
    ):
        order = torch.randperm(len(parts), generator=generator)
        cases.append((torch.tensor(parts)[order] / 16, share / 16))
    return cases


def sure_and_unsure(generator):
    """One token that holds the share alone; and a vocabulary as large as the lesson's."""
    sure = torch.tensor([0.9, 0.04, 0.03, 0.02, 0.01])
    flat = torch.softmax(3 * torch.randn(49_152, generator=generator), 0)
    sums, few = flat.sort(descending=True).values.cumsum(0), whole(generator, 200, 300)
    share = float(sums[few - 1 : few + 1].mean())  # far from any sum: no rounding
    return [(sure[torch.randperm(5, generator=generator)], 0.5), (flat, share)]


TOP_P = Exercise(
    id="09.top_p",
    title="keep the nucleus",
    minutes=12,
    rule=(
        "`probabilities` has shape (V,), in the order of the ids; `share` is a number between 0 "
        "and 1. Sort the tokens, the likeliest first. Add up their probabilities until the sum "
        "is at least `share`. Keep all tokens that you have added, also the last one. So at "
        "least one token is always kept. All other tokens get 0. Return a tensor (V,), still in "
        "the order of the ids, the kept probabilities divided by their sum. (No two tokens at "
        "the edge are equally likely here.)"
    ),
    reference=top_p,
    checks=(
        Check("holds the share", 1, "keeps tokens that hold at least the share",
            "`cumsum(0)` of the sorted probabilities says what each token and all likelier "
            "ones hold. A token stays if those *before* it hold too little.",
            keeps(percents)),
        Check("the fewest", 1, "keeps no token that isn't needed",
            "Take the least likely kept token away: do the others still hold the share? Then it "
            "was not needed.",
            keeps(sixteenths)),
        Check("follows the model", 1,
            "keeps few tokens where the model is sure and many where it isn't",
            "If one token has 0.9 and the share is 0.5, how many are needed?",
            keeps(sure_and_unsure, SURE_MISTAKES)),
        Check("stays a distribution", 1, "leaves each token at its id and sums to one",
            "Start from `torch.zeros_like(probabilities)` and fill in the ids that stay. `sort` "
            "gives two things: the sorted numbers, and their ids.",
            agrees(nucleus, percents, SUM_MISTAKES)),
    ),
    wrong=CUT_MISTAKES + SURE_MISTAKES + SUM_MISTAKES,
    plain=top_p_plainly,
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
        "-math.inf":
            "A logit is infinite: that forbids a token for ever. The penalty makes it less "
            "likely, by a factor.",
        "0.0":
            "The logits of these tokens are 0, and the negative ones rose to it. A logit of 0 "
            "does not forbid: divide or multiply by the penalty.",
        "logits[id].abs() / penalty":
            "The sign is lost: a negative logit became positive. Look at its sign, and keep it.",
    }),
    *instead("set(ids)", {
        "set(range(len(logits))) - set(ids)":
            "It punishes the tokens that are not in ids, and leaves those that are.",
        "range(len(logits))": "It punishes every token. Only those in ids have come before.",
        "range(len(ids))":
            "It punishes the tokens 0, 1, 2, …: these are places in ids. Punish the ids that "
            "stand there: for id in ids.",
        ("ids[:1]", "ids[-1:]", "[min(ids)]"):
            "Only one id is punished. Does return stand in the loop? Every id in ids counts.",
    }),
    *instead("return punished", {
        ("return punished.softmax(0)", "return punished.log_softmax(0)"):
            "These are probabilities, or their logarithms. Return logits: the softmax comes "
            "later.",
        "return logits":
            "Nothing changed: the logits that you return are those given. x = logits[id] and "
            "then x = … changes the name x, not the tensor: write punished[id] = …",
    }),
    *instead("    punished = logits.clone()", {
        "    logits = logits.softmax(0)\n    punished = logits.clone()":
            "It makes probabilities first, and punishes these. Punish the logits: the softmax "
            "comes later.",
        "    punished = torch.zeros_like(logits)":
            "All other logits are 0. They stay as they are: start from a copy, logits.clone().",
        "    punished, penalty = logits.clone(), 1.2":
            "It ignores its argument penalty: another one must change the result.",
    }),
)  # fmt: skip
EACH_TIME = mistakes(
    repetition_penalty,
    ("each time",
     "A token that comes several times in ids is punished several times: once is enough. "
     "set(ids) has each id once.",
     ("set(ids)", "ids"), (HOW, HOW.replace("logits", "punished"))),
)  # fmt: skip


def lowered(logits: torch.Tensor, ids: list[int], penalty: float) -> torch.Tensor:
    """The same as the smaller of both ways, for a penalty from 1."""
    both = torch.stack([logits / penalty, logits * penalty])
    seen = torch.bincount(torch.tensor(ids), minlength=len(logits)) > 0
    return torch.where(seen, both.min(0).values, logits)


def why_not_so(given: tuple, value: torch.Tensor, right: torch.Tensor) -> str:
    """What should become of the first logit that is wrong."""
    logits, ids, penalty = given
    if value.shape != right.shape or not value.is_floating_point():
        return ""
    i = int(torch.isclose(value, right, 1e-4, 1e-4).logical_not().nonzero()[0])
    if i not in ids:
        return f"token {i} is not in ids, so its logit stays {logits[i]:.4g}"
    sign = "/" if logits[i] > 0 else "×"
    return (
        f"token {i} is in ids, and {logits[i]:.4g} {sign} {penalty} is {right[i]:.4g}"
    )


def falls(cases: Callable, wrong: tuple = PENALTY_MISTAKES) -> Callable:
    return agrees(lowered, cases, wrong, why=why_not_so)


def mixed_logits(generator: torch.Generator) -> torch.Tensor:
    """Logits (6,), three positive and three negative, in random order."""
    signs = torch.tensor([1, -1, 1, -1, 1, -1])
    order = torch.randperm(6, generator=generator)
    return (tenths(generator, 6).abs() * signs)[order]


def seen(*counts: int, by: tuple = (1.5,)) -> Callable:
    """Cases: of six tokens so many have come before; and these penalties."""
    return lambda generator: [
        (mixed_logits(generator), some_ids(generator, count), penalty)
        for count, penalty in itertools.product(counts, by)
    ]


def some_ids(generator: torch.Generator, count: int) -> list[int]:
    return torch.randperm(6, generator=generator)[:count].tolist()


def seen_often(generator):
    """Ids that come again; and a text as long as the lesson's, of a large vocabulary."""
    cases = []
    for size in (3, 4):
        ids = some_ids(generator, size)
        again = ids + [pick(generator, ids) for _ in range(size - 1)]
        cases.append((mixed_logits(generator), again, 1.5))
    logits = 4 * torch.randn(5_000, generator=generator)
    ids = torch.randint(5_000, (12,), generator=generator).tolist()
    return [*cases, (logits, ids + ids[3:9], 1.3)]


REPETITION_PENALTY = Exercise(
    id="09.repetition_penalty",
    title="make it repeat itself less",
    minutes=8,
    rule=(
        "`logits` has shape (V,), `ids` is a list of the ids so far, and `penalty` is a factor "
        "above 1. The logit of every token in `ids` is brought down: divided by the penalty or "
        "multiplied by it, whichever makes it smaller, which depends on its sign. An id that "
        "comes several times counts once; all other logits stay. Return a tensor (V,). A "
        "penalty of 1 changes nothing."
    ),
    reference=repetition_penalty,
    checks=(
        Check("old tokens fall", 2,
            "makes every token that has come before less likely, whatever its sign",
            "What is −3 divided by 1.5? Is that more, or less, than −3?",
            falls(seen(6, 5, by=(1.5, 2)))),
        Check("new tokens stay", 1, "leaves all other logits as they are",
            "Change only places that are in `ids`, and return logits, not probabilities.",
            falls(seen(2, 3))),
        Check("by the penalty", 1, "divides or multiplies by the penalty itself",
            "Two cases, one for a logit above 0 and one for the rest. Does a penalty of 1 "
            "change anything?",
            falls(seen(4, by=(1.0, 1.1, 1.3, 3.0)))),
        Check("once however often", 1, "punishes a token once, however often it has come",
            "`set(ids)` holds each id once.",
            falls(seen_often, EACH_TIME)),
    ),
    wrong=PENALTY_MISTAKES + EACH_TIME,
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


def beam_step_plainly(
    log_p: torch.Tensor, totals: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Go on from W beginnings by one token, and keep the W best texts of all."""
    texts = []  # (total, beginning, id) of each text
    for b in range(len(totals)):
        sums = (totals[b] + log_p[b]).tolist()
        texts += [(total, b, id) for id, total in enumerate(sums)]
    best = sorted(texts, reverse=True)[: len(totals)]
    new, parents, ids = zip(*best)
    return torch.tensor(parents), torch.tensor(ids), torch.tensor(new)


SUMS, TOP = "(totals[:, None] + log_p).flatten()", "every.topk(len(totals))"
PARENT, ID = "best.indices // vocabulary", "best.indices % vocabulary"
TEXTS = f"return {PARENT}, {ID}, best.values"
PRODUCT = "It multiplies logarithms; add them."
ALONE = "It chooses by the new token alone. Add the total of the beginning before you choose."

SHAPE_MISTAKES = mistakes(
    beam_step,
    *instead(SUMS, {
        "(totals[:, None] + log_p)":
            "These are W × W: the best of each beginning. All W × V continuations compete for "
            "W places: flatten first.",
        "(totals + log_p).flatten()":
            "totals (W,) doesn't line up with log_p (W, V): make it a column (W, 1), "
            "totals[:, None], which adds to every column.",
    }),
    *instead(TOP, {
        ("every.sort(descending=True)", "every.topk(log_p.shape[1])"):
            "All W · V texts come back, or V of them. Keep W, as many as there were beginnings.",
        "every.topk(1)": "Only the best text comes back. Keep W, as many as there were.",
    }),
)  # fmt: skip
TOTAL_MISTAKES = mistakes(
    beam_step,
    *instead(TEXTS, {
        (f"return {PARENT}, {ID}, totals[{PARENT}]", f"return {PARENT}, {ID}, totals"):
            "The totals are those of the beginnings: add the new token's log_p.",
        f"{TEXTS}.exp()": "These are probabilities; give their logarithms.",
        f"return {PARENT}, {ID}, totals[{PARENT}] * log_p[{PARENT}, {ID}]":
            PRODUCT,
        f"{TEXTS} / 2": "These are means; a text's total is a sum.",
    }),
)  # fmt: skip
CHOICE_MISTAKES = mistakes(
    beam_step,
    *instead(SUMS, {
        "(totals.exp()[:, None] + log_p.exp()).flatten()":
            "It adds probabilities. Probabilities are multiplied, and so their logarithms are "
            "added: no exp.",
        "(totals[:, None] * log_p).flatten()": PRODUCT,
        "log_p.flatten()": ALONE,
    }),
    ("each its own",
     "Each beginning keeps its own best token: no competition. Two texts may come from one "
     "beginning, and a weak beginning may end.",
     (".flatten()", ""), (TOP, "every.max(-1)"), (PARENT, "torch.arange(len(totals))"),
     (ID, "best.indices")),
    ("chosen alone", ALONE, (SUMS, "log_p.flatten()"), (TEXTS, f"{TEXTS} + totals[{PARENT}]")),
    ("the favourite only", "It goes on from the best beginning only. The others compete too.",
     (SUMS, "(totals[:, None] + log_p)[totals.argmax()]"),
     (PARENT, "totals.argmax().expand(len(totals))")),
    ("the smallest",
     "It keeps the least likely texts. Logarithms of probabilities are negative: the best is "
     "the one nearest to 0.",
     (TOP, "every.topk(len(totals), largest=False)")),
    *instead(TEXTS, {
        f"return best.indices / vocabulary, {ID}, best.values":
            "/ makes decimals. Parents and ids are whole numbers, to look up with: divide "
            "with //.",
        f"return {ID}, {PARENT}, best.values":
            "Parents and ids are swapped: in the flattened table, place // V is the row, a "
            "beginning, and place % V the column, an id.",
        (f"return best.indices // len(totals), {ID}, best.values",
         "return best.indices // len(totals), best.indices % len(totals), best.values"):
            "A row of the table is V long, not W: place // V is the row, a beginning, and "
            "place % V the id.",
        f"return {PARENT}, best.indices, best.values":
            "These ids are places in the flattened table of W · V numbers: place % V is the id.",
        f"return ({PARENT}).flip(0), ({ID}).flip(0), best.values.flip(0)":
            "The best comes last; give the best first.",
        f"return {PARENT}, {ID}": "It returns 2 things; three are wanted",
    }),
)  # fmt: skip


def three(found: Any, names: str = "parents, ids, totals") -> tuple[torch.Tensor, ...]:
    """What an answer gives, surely three tensors in a tuple."""
    want_type(found, tuple, "What comes back")
    if len(found) != 3:
        raise Mistake(f"It returns {len(found)} things; three are wanted: {names}.")
    for thing, name in zip(found, names.split(", ")):
        want_type(thing, torch.Tensor, name)
    return found


def best_texts(log_p: torch.Tensor, totals: torch.Tensor) -> tuple:
    """The same in Python, from a sorted list of all texts."""
    rows, starts = log_p.tolist(), totals.tolist()
    places = itertools.product(range(len(rows)), range(len(rows[0])))
    texts = sorted(((starts[b] + rows[b][i], b, i) for b, i in places), reverse=True)
    values, parents, ids = zip(*texts[: len(starts)])
    return torch.tensor(parents), torch.tensor(ids), torch.tensor(values)


def pairs(found: Any) -> list[tuple]:
    """Parents and ids, two by two."""
    parents, ids, _ = three(found)
    return sorted(zip(parents.tolist(), ids.tolist()))


def why_not_best(given: tuple, kept: list, right: list) -> str:
    """The total of the first text that is missing, and of one kept instead of it."""
    log_p, totals = given
    some = [p for p in right if p not in kept][:1] + [p for p in kept if p not in right]
    if not all(0 <= b < len(log_p) and 0 <= i < len(log_p[0]) for b, i in some):
        return f"parents go from 0 to {len(log_p) - 1}, ids to {len(log_p[0]) - 1}"
    told = (
        f"{b, i} has the total {float(totals[b] + log_p[b, i]):.4g}" for b, i in some
    )
    return " and ".join(itertools.islice(told, 2))


def some_beams(generator, beams: int, vocabulary: int) -> tuple:
    """log_p (W, V) and totals (W,), of two decimals; no two sums are nearly equal."""
    while True:
        logits = 1.5 * torch.randn(beams, vocabulary, generator=generator)
        log_p = logits.log_softmax(-1).round(decimals=2)
        totals = (-1 - 2 * torch.rand(beams, generator=generator)).round(decimals=2)
        best = (totals[:, None] + log_p).flatten().sort().values
        if best.diff().min() > 5e-3:
            return log_p, totals


def competing(generator):
    """Small beams, the first step of the lesson's, and one of many tokens."""
    small = [some_beams(generator, *size) for size in ((2, 3), (2, 4), (3, 5), (4, 6))]
    start = torch.tensor([0, -torch.inf, -torch.inf])
    large = torch.randn(3, 1000, generator=generator).log_softmax(-1)
    return [*small, (small[2][0], start), (large, small[2][1])]


BEAM_STEP = Exercise(
    id="09.beam_step",
    title="one step of beam search",
    minutes=12,
    rule=(
        "There are W beginnings. `totals` (W,) has log p of each, and row `b` of `log_p` (W, V) "
        "has log p of every token after beginning `b`. A beginning and a token make a text, and "
        "its total is the sum of both: of all W · V texts keep the W best. Return a tuple of "
        "three tensors (W,), the best text first: `parents`, the beginning of each, `ids`, its "
        "new token (both whole numbers), and the new totals."
    ),
    reference=beam_step,
    checks=(
        Check("three of W", 1, "gives W parents, ids and totals",
            "In a flattened table (W · V,), `place // V` is the row and `place % V` the column.",
            agrees(best_texts, competing, SHAPE_MISTAKES,
                   look=lambda found: [tuple(one.shape) for one in three(found)],
                   shows="[tuple(x.shape) for x in {}]")),
        Check("all compete", 2, "lets all W · V texts compete",
            "One `topk` over all W · V sums, not one for each row.",
            agrees(best_texts, competing, CHOICE_MISTAKES, look=pairs, why=why_not_best,
                   shows="{}, as sorted pairs (parent, id),")),
        Check("totals add up", 1, "adds logarithms",
            "log(a · b) = log a + log b. `totals[:, None]` is a column (W, 1), which adds to "
            "every column of a (W, V).",
            agrees(best_texts, competing, TOTAL_MISTAKES,
                   look=lambda found: three(found)[2].sort().values,
                   shows="{}[2].sort().values")),
        Check("best first", 1, "puts the best text first",
            "`topk` sorts the largest first; `sort` the smallest.",
            agrees(best_texts, competing, CHOICE_MISTAKES)),
    ),
    wrong=SHAPE_MISTAKES + TOTAL_MISTAKES + CHOICE_MISTAKES,
    plain=beam_step_plainly,
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


KEYS, VALUES = "torch.cat([past_keys, key])", "torch.cat([past_values, value])"
MEET, ROOT = "query @ keys.T", " / math.sqrt(query.shape[-1])"
MIX, PAIR = "torch.softmax(scores, dim=-1) @ values", "@ values, keys, values"
FRONT = "The new key or value stands in front. It comes last in the text: put it at the end."
SIDE = (
    "Old and new stand side by side, or in a new axis. A position is a row: torch.cat puts the "
    "new row below the old ones, along axis 0."
)

CACHE_MISTAKES = mistakes(
    remembered,
    *instead(PAIR, {
        ("@ values, past_keys, past_values", "@ values, past_keys, values",
         "@ values, keys, past_values"):
            "The new key or the new value is not among those that you return: the next "
            "position will need both.",
        "@ values, key, value":
            "Only the new key and value come back: return the old ones too, in front.",
    }),
    *instead(f"return {MIX}, keys, values", {
        f"return {MIX}, values, keys":
            "Keys and values are swapped: return output, keys, values.",
        f"return keys, values, {MIX}":
            "The output comes last in yours: return output, keys, values, in this order.",
    }),
    ("the value not added",
     "T + 1 weights and T values can't be multiplied: the new key was added and the new value "
     "was not.",
     (VALUES, "past_values")),
    ("the key not added",
     "T weights and T + 1 values can't be multiplied: the new value was added and the new key "
     "was not.",
     (KEYS, "past_keys")),
    ("in front", FRONT,
     (KEYS, "torch.cat([key, past_keys])"), (VALUES, "torch.cat([value, past_values])")),
    ("the key in front", FRONT, (KEYS, "torch.cat([key, past_keys])")),
    ("side by side", SIDE,
     (KEYS, "torch.hstack([past_keys, key])"), (VALUES, "torch.hstack([past_values, value])")),
    ("stacked", SIDE,
     (KEYS, "torch.stack([past_keys, key])"), (VALUES, "torch.stack([past_values, value])")),
    ("takes a place",
     "The keys and values did not grow: the new one took the place of an old one. torch.cat "
     "makes room for both.",
     ("[past_keys, key]", "[past_keys[1:], key]"),
     ("[past_values, value]", "[past_values[1:], value]")),
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
        "(torch.softmax(scores, dim=-1) @ values) * (len(keys) > 1)":
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


def why_not_this(given: tuple, value: torch.Tensor, right: torch.Tensor) -> str:
    """The weights that the new position should give to all positions."""
    query, key, _, past_keys, _ = given
    weights = F.softmax(
        query @ torch.vstack([past_keys, key]).T / query.shape[1] ** 0.5, 1
    )
    told = f"the weights, of the past and the new one, are {shown(weights[0])}"
    return told if value.shape == right.shape else ""


def after(*past: int, size: int = 0) -> Callable:
    """Cases: a new position after T others. D is `size`, or T + 2: no two axes fit."""

    def cases(generator):
        return [
            (
                *tenths(generator, 3, 1, size or count + 2, most=1.2),
                *tenths(generator, 2, count, size or count + 2, most=1.2),
            )
            for count in past
        ]

    return cases


REMEMBERED = Exercise(
    id="09.remembered",
    title="the cache changes nothing",
    minutes=12,
    rule=(
        "One new position has a `query`, a `key` and a `value`, each (1, D). `past_keys` and "
        "`past_values`, both (T, D), are those of the positions before it, in order; T may be "
        "0. Return a tuple of three: the new position's attention output (1, D), softmax(qKᵀ/√D)"
        "V over the old positions and itself, then all keys and all values, (T + 1, D) each, "
        "the new one last. Leave the five tensors that you are given as they are."
    ),
    reference=remembered,
    checks=(
        Check("grows by one", 1, "adds the new key and the new value at the end",
            "`torch.cat([a, b])` puts the rows of b below those of a.",
            agrees(by_torch, after(1, 2, 3), CACHE_MISTAKES, shows="{}[1:]",
                   look=lambda found: three(found, "output, keys, values")[1:])),
        Check("changes nothing", 2,
            "gives what attention over the whole text gives for its last position",
            "The query meets all T + 1 keys: scores (1, T + 1), softmax over the last axis, then "
            "mix the T + 1 values. No mask is needed: why?",
            agrees(by_torch, after(1, 2, 3), CACHE_MISTAKES, shows="{}[0]", why=why_not_this,
                   look=lambda found: three(found, "output, keys, values")[0])),
        Check("one by one", 1, "reads a whole text one position at a time, from the first",
            "At the first position the past has no rows. What does it look at?",
            agrees(by_torch, after(*range(8), size=4), CACHE_MISTAKES)),
        Check("leaves the given alone", 1, "leaves the given tensors as they were",
            "`query = query / 2` makes a new tensor; `query /= 2` changes the one that somebody "
            "else still holds.",
            agrees(by_torch, after(1, 2), IN_PLACE, look=lambda _: None, after=True)),
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
        (f"{BYTES} * channels", "2 * layers * channels**2 * bytes_per_number"):
            "Channels count twice. A cache keeps vectors; the C × C matrices are weights.",
        f"{BYTES} * positions":
            "Positions count twice. There are T × T scores, but the cache keeps only keys and "
            "values: T of each.",
        f"{BYTES} * (positions + 1) // 2":
            "It adds up the cache at every step. The old keys are kept, not copied: T at the "
            "end.",
        "2 * layers * channels * bytes_per_number":
            "Positions don't count in yours: each has its own keys and values.",
        f"{BYTES} * 8": "These are bits: bytes_per_number is in bytes.",
        f"{BYTES} // 8": "Divided by 8? bytes_per_number is in bytes, not in bits.",
        "2 * layers * channels * positions":
            "These are numbers, not bytes: multiply by bytes_per_number.",
        ("2 * layers * channels * positions * 2", "2 * layers * channels * positions * 4"):
            "Every number takes as many bytes as ever in yours; multiply by bytes_per_number, "
            "which you are given.",
        (f"{BYTES} / 1e6", f"{BYTES} / 1e9"):
            "That is a float, in megabytes or gigabytes: give the number of bytes, an int.",
    }),
)  # fmt: skip

FORMATS = {1: torch.int8, 2: torch.bfloat16, 4: torch.float32, 8: torch.float64}


def real_bytes(layers, channels, positions, bytes_per_number):
    """What a real cache takes, counted on a tensor that has a shape and no numbers."""
    cache = KVCache(layers, positions)
    kind = FORMATS[bytes_per_number]
    key = torch.empty((1, 1, 1, channels), dtype=kind, device="meta")
    cache.add(0, key, key)
    return cache.bytes()


def models(*rest: tuple[int, int]) -> Callable:
    """Cases: positions and bytes a number, for models to count by hand and real ones.

    The factors of one can't be taken for each other's.
    """

    def cases(generator):
        some = pick(generator, (5, 7, 11, 13)), 64 * pick(generator, (17, 19, 23, 29))
        real = (GPT3.layers, GPT3.channels), (30, 3 * 64)
        return [(*model, *more) for model in ((2, 3), some, *real) for more in rest]

    return cases


CACHE_BYTES = Exercise(
    id="09.cache_bytes",
    title="what remembering costs",
    minutes=6,
    rule=(
        "A model has `layers` layers and `channels` channels (all heads together). It has read "
        "`positions` positions of one text. It keeps what attention will need later. How many "
        "bytes is this, if one number takes `bytes_per_number` bytes? Return an `int`. GPT-3, 96 layers of "
        "12,288 channels, must come to 4,718,592 bytes for one position at 2 bytes a number."
    ),
    reference=cache_bytes,
    checks=(
        Check("one position", 1, "counts a key and a value in every layer",
            "In one layer, which vectors of an old position does a new query use, and how many "
            "numbers do they have?",
            agrees(real_bytes, models((1, 1), (1, 2)), BYTES_MISTAKES)),
        Check("every position", 1, "grows with the text, in step",
            "Twice as long a text has twice as many keys. What is T × T is never kept.",
            agrees(real_bytes, models((4, 1), (7, 2), (2_048, 2)), BYTES_MISTAKES)),
        Check("every format", 1, "takes as much as a real cache, in every format",
            "Multiply the count of numbers by `bytes_per_number`.",
            agrees(real_bytes, models((5, 1), (5, 2), (5, 8), (2_048, 4)), BYTES_MISTAKES)),
    ),
    wrong=BYTES_MISTAKES,
)  # fmt: skip

EXERCISES = (TOP_P, REPETITION_PENALTY, BEAM_STEP, REMEMBERED, CACHE_BYTES)
