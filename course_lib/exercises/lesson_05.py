"""Exercises of lesson 05: LayerNorm, a block's step, order, softmax, all the way."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import gpt, sampling
from course_lib.exercises.form import agrees, instead, mistakes, tenths, want, whole
from course_lib.exercises.kinds import Check, Exercise, Mistake

CHANNELS = 5  # few, so that dividing by n - 1 for n is far from a rounding error
SIZE = 9  # tokens in the small vocabularies that the checks make up


# 05.layer_norm ----------------------------------------------------------------------

MEAN, VARIANCE = "x.mean(-1, keepdim=True)", "centred.square().mean(-1, keepdim=True)"
ROOT = "torch.sqrt(variance + epsilon)"


def over(axis: int) -> tuple:
    """The edits that take mean and variance over another axis."""
    return (MEAN, f"x.mean({axis}, keepdim=True)"), (
        VARIANCE, f"centred.square().mean({axis}, keepdim=True)"
    )  # fmt: skip


CHANGED = (
    "Changing one position changed another. Take mean and variance over the channels, not "
    "over the positions or the batch: the last axis, dim=-1."
)
WHOLE = (
    "Mean and variance are taken over the whole tensor. Every position has its own, over "
    "its channels: dim=-1."
)
ROOT_NEEDED = "You divide by the variance; divide by its square root, so that the spread becomes 1."

LAYER_NORM_MISTAKES = mistakes(
    gpt.layer_norm,
    ("over the positions", CHANGED, *over(-2)),
    ("over axis 0", CHANGED, *over(0)),
    ("over axis 1", CHANGED, *over(1)),
    ("over the whole tensor", WHOLE, (MEAN, "x.mean()"), (VARIANCE, "centred.square().mean()")),
    ("over the whole, n - 1", WHOLE, (MEAN, "x.mean()"), (VARIANCE, "x.var()")),
    ("the axis is dropped",
     "Two tensors in it don't fit together. Does a mean, a max or a sum drop the last axis? "
     "keepdim=True keeps it, with size 1.",
     (MEAN, "x.mean(-1)"), (VARIANCE, "centred.square().mean(-1)")),
    ("n - 1",
     "The variance is divided by n - 1: that is what .var() and .std() do if nothing is "
     "said. Divide by all C: correction=0, or a mean of squares.",
     (VARIANCE, "x.var(-1, keepdim=True)")),
    ("no square root", ROOT_NEEDED, (ROOT, "(variance + epsilon)")),
    ("no square root, n - 1", ROOT_NEEDED,
     (VARIANCE, "x.var(-1, keepdim=True)"), (ROOT, "(variance + epsilon)")),
    ("RMSNorm",
     "The mean is not taken off. That is RMSNorm, which later models use; LayerNorm takes "
     "the mean off first.",
     (f"x - {MEAN}", "x")),
    ("the mean left in",
     "You divide x by its spread, with its mean still in it: take the mean off first.",
     ("return centred", "return x")),
    ("only the mean",
     "The mean is taken off, and the spread is what it was: divide by the square root of "
     "the variance.",
     (f" / {ROOT}", "")),
    ("no weight, no bias", "It never uses weight and bias.", (" * weight + bias", "")),
    ("no weight", "It never uses weight: multiply by it, then add bias.", (" * weight", "")),
    ("no bias", "It never uses bias: add it at the end.", (" + bias", "")),
    ("bias before weight",
     "The bias is added before the weight multiplies, so that it is scaled too. First "
     "weight, then bias.",
     ("return centred", "return (centred"), (" * weight + bias", " + bias) * weight")),
    ("weight for bias", "Weight and bias have changed places.",
     (" * weight + bias", " * bias + weight")),
    ("no epsilon",
     "A vector of equal numbers gives NaN: its variance is 0, and 0 / 0 is no number. Add "
     "epsilon to the variance.",
     ("variance + epsilon", "variance")),
    ("epsilon outside",
     "Epsilon is added to the square root; add it to the variance, inside the root.",
     (ROOT, "(torch.sqrt(variance) + epsilon)")),
    ("an epsilon of its own",
     "It ignores its argument epsilon: a larger one must change the result.",
     ("variance + epsilon", "variance + 1e-5")),
)  # fmt: skip


def torch_layer_norm(x, weight, bias, epsilon=1e-5):
    return F.layer_norm(x, x.shape[-1:], weight, bias, epsilon)


def some_vectors(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Random vectors (…, C), each with a mean and a spread of its own, far from 0."""
    x = torch.rand(*shape, CHANNELS, generator=generator).argsort(-1) - 2
    x = x + 0.4 * torch.rand(*shape, CHANNELS, generator=generator)
    mean = 2 + 2 * torch.rand(*shape, 1, generator=generator)
    spread = 2 + 2 * torch.rand(*shape, 1, generator=generator)
    return mean + spread * x


PLAIN = (
    torch.ones(CHANNELS),
    torch.zeros(CHANNELS),
)  # a weight and a bias without effect


def unscaled(generator):
    return [(some_vectors(generator, *shape), *PLAIN) for shape in ((4,), (2, 3))]


def scaled(generator):
    weight, bias = 2 + torch.rand(2, CHANNELS, generator=generator)
    return [
        (some_vectors(generator, *shape), weight, bias - 1) for shape in ((4,), (2, 3))
    ]


def constant_vectors(generator):
    levels = (
        torch.randint(1, 9, (4, 1), generator=generator).float().repeat(1, CHANNELS)
    )
    epsilon = 0.5 + float(torch.rand(1, generator=generator))
    return [(levels, *PLAIN), (some_vectors(generator, 4), *PLAIN, epsilon)]


LAYER_NORM = Exercise(
    id="05.layer_norm",
    title="bring every vector to one size",
    minutes=8,
    rule=(
        "`x` is (T, C) or (B, T, C), and so is what you give back; `weight` and `bias` "
        "are (C,). Bring the C channels of each position, by themselves, to mean 0 and "
        "variance 1; then multiply by `weight` and add `bias`. The variance is the "
        "mean of the C squared distances from the mean, and `epsilon` is added to it "
        "before you take its square root. (`keepdim=True` keeps an axis, with size 1, so "
        "that shapes fit. `F.layer_norm` does it in one line; try without.)"
    ),
    reference=gpt.layer_norm,
    checks=(
        Check(
            "mean 0 and variance 1", 3, "brings every vector to mean 0 and variance 1",
            "The channels are the last axis: `x.mean(-1, keepdim=True)`. Take the mean off, "
            "then divide by the root of the mean of the squares.",
            agrees(torch_layer_norm, unscaled, LAYER_NORM_MISTAKES),
        ),
        Check(
            "weight and bias", 1, "scales by the weight and shifts by the bias",
            "Which comes last, `* weight` or `+ bias`?",
            agrees(torch_layer_norm, scaled, LAYER_NORM_MISTAKES),
        ),
        Check(
            "epsilon", 1, "turns a constant vector into the bias, and not into NaN",
            "What is the variance of five equal numbers, and what divides by it?",
            agrees(torch_layer_norm, constant_vectors, LAYER_NORM_MISTAKES),
        ),
    ),
    wrong=LAYER_NORM_MISTAKES,
)  # fmt: skip


# 05.pre_norm ------------------------------------------------------------------------


def pre_norm(x: torch.Tensor, norm: Callable, part: Callable) -> torch.Tensor:
    """One step of a block: the part reads the normed stream and adds to the stream.

    x (B, T, C) → (B, T, C), a new tensor; norm and part map (B, T, C) to (B, T, C).
    """
    return x + part(norm(x))


PRE_NORM_MISTAKES = mistakes(
    pre_norm,
    *instead("return x + part(norm(x))", {
        "return part(norm(x))":
            "The stream is lost: this is only what the part has to say. Add it to x.",
        "return norm(x + part(x))":
            "This is post-norm, the block of 2017: the sum is normed. In pre-norm the norm "
            "stands before the part, and the sum stays as it is.",
        "return norm(x) + part(norm(x))":
            "The stream itself is normed. Only what the part reads is; add to x as it came in.",
        "return x + norm(part(x))":
            "The norm comes after the part. First norm, then part: part(norm(…)).",
        "return norm(part(x))":
            "The norm comes after the part, and the stream is lost: x + part(norm(x)).",
        "return x + part(x)": "The part reads x itself; give it norm(x).",
        "return norm(x) + part(x)": "The part should read norm(x), and be added to x itself.",
        "return x + norm(x)": "The part is never used.",
        "return norm(x + part(norm(x)))": "The sum is normed once more: leave it as it is.",
        "return x": "x comes back as it was: nothing is added.",
        "return x * part(norm(x))": "It multiplies the stream by what the part makes: add.",
        "return x + norm(x) + part(norm(x))":
            "norm(x) is added too. It is only what the part reads.",
        "x += part(norm(x)); return x":
            "The caller's x has changed: x += … writes into the tensor that was given. Make "
            "a new one: x + …",
    }),
)  # fmt: skip


def halve(x: torch.Tensor) -> torch.Tensor:
    return x / 2


def add_one(x: torch.Tensor) -> torch.Tensor:
    return x + 1


def square(x: torch.Tensor) -> torch.Tensor:
    return x.square()


def one_step(x, norm, part):
    return torch.stack([x, part(norm(x.clone()))]).sum(0)


def steps(generator):
    return [
        (tenths(generator, 1, 1, 2), halve, square),
        (tenths(generator, 1, 2, 3), add_one, square),
        (tenths(generator, 2, 3, 2), nn.LayerNorm(2), halve),
    ]


def two_steps_are_a_block(pre_norm, generator):
    block = small_gpt(generator).blocks[0]
    x = torch.randn(2, 6, 8, generator=generator)
    with torch.no_grad():
        middle = pre_norm(x, block.attention_norm, block.attention)
        value = pre_norm(middle, block.mlp_norm, block.mlp)
        want(
            value,
            block(x),
            "attention, and then the MLP, in two steps of a block",
            1e-3,
        )


def small_gpt(
    generator: torch.Generator, layers: int = 1, tied: bool = True
) -> gpt.GPT:
    """A GPT with weights so large that everything in it shows."""
    config = gpt.GPTConfig(
        vocabulary=SIZE, context=8, layers=layers, channels=8, heads=2
    )
    with torch.random.fork_rng(devices=[]):  # else the learner's own chance moves on
        model = gpt.GPT(config, tied, generator=generator).requires_grad_(False)
    for name, weight in model.named_parameters():
        # With larger ones, the last position may look at one token alone.
        scale = 0.3 if "query" in name or "key" in name else 1.0
        added = torch.randn(weight.shape, generator=generator)
        weight += (scale if weight.dim() == 2 else 0.3) * added
    return model


PRE_NORM = Exercise(
    id="05.pre_norm",
    title="one step of a block",
    minutes=5,
    rule=(
        "`x` (B, T, C) is the residual stream; `norm` and `part` are functions from "
        "(B, T, C) to (B, T, C), such as a LayerNorm and an attention. The part reads "
        "the normed stream, and what it makes is added to the stream as it came in. "
        "Return the sum, a new tensor (B, T, C): the `x` that was given must stay what "
        "it was."
    ),
    reference=pre_norm,
    checks=(
        Check(
            "adds to the stream", 2, "adds to the stream what the part makes of the normed stream",
            "Three steps: norm, part, add. What goes into each?",
            agrees(one_step, steps, PRE_NORM_MISTAKES),
        ),
        Check(
            "leaves x alone", 1, "leaves the caller's x as it was",
            "`x += y` writes into x; `x + y` makes a new tensor.",
            agrees(one_step, steps, PRE_NORM_MISTAKES, after=True),
        ),
        Check(
            "two steps are a block", 1, "makes a whole block of GPT-2 in two steps",
            "A block is attention and then an MLP, each with a norm before it.",
            two_steps_are_a_block,
        ),
    ),
    wrong=PRE_NORM_MISTAKES,
)  # fmt: skip


# 05.order_matters -------------------------------------------------------------------


def order_matters(model: Callable, ids: torch.Tensor) -> bool:
    """Whether swapping the first two tokens changes the logits at the last position.

    ids (1, T), at least three; model maps ids (1, T) to logits (1, T, V). A change of
    more than 1e-4 in any logit counts; less is rounding.
    """
    swapped = ids.clone()
    swapped[:, 0], swapped[:, 1] = ids[:, 1], ids[:, 0]
    with torch.no_grad():
        change = model(swapped)[0, -1] - model(ids)[0, -1]  # (V,)
    return bool(change.abs().max() > 1e-4)


SWAP = "swapped[:, 0], swapped[:, 1] = ids[:, 1], ids[:, 0]"
BOTH, COPY = "model(swapped)[0, -1] - model(ids)[0, -1]", "    swapped = ids.clone()\n"
CALLERS = "The caller's ids have changed. Swap in a copy: swapped = ids.clone()."
NO_SWAP = "Nothing was swapped."
NEVER = "The model never saw the ids as they are, to compare with."
LOST = (
    "One of the two is lost. ids[0, 0] is a window on the tensor, not a copy: write over its "
    "place, and it shows what is new. Read from one tensor and write to a copy."
)
LAST_MOVED = (
    "The last token has moved, and its logits with it. Swap the first two only."
)
OTHERS_MOVED = "Swap the first two, and leave all others where they are."

SWAP_MISTAKES = mistakes(
    order_matters,
    *instead(SWAP, {
        "pass": NO_SWAP,
        "swapped[0, 0], swapped[0, 1] = swapped[0, 1], swapped[0, 0]": LOST,
        "swapped = ids.flip(1)": LAST_MOVED,
        "swapped[:, 0], swapped[:, -1] = ids[:, -1], ids[:, 0]": LAST_MOVED,
        "swapped[:, :-1] = ids[:, :-1].flip(1)": OTHERS_MOVED,
        "swapped[:, 1:3] = ids[:, [2, 1]]": OTHERS_MOVED,
    }),
    ("swapped for both", NEVER, ("- model(ids)", "- model(swapped)")),
    ("ids changed", CALLERS, (COPY, "    before = model(ids)[0, -1]\n"),
     (SWAP, "ids[:, :2] = ids[:, [1, 0]]"), (BOTH, "model(ids)[0, -1] - before")),
    ("no copy", CALLERS, (COPY, "    swapped = ids\n"), (SWAP, "swapped[:, :2] = ids[:, [1, 0]]")),
)  # fmt: skip


def at(place: str) -> str:
    """The change of other logits."""
    return f"model(swapped){place} - model(ids){place}  #"


PLACE_MISTAKES = mistakes(
    order_matters,
    *instead(f"{BOTH}  #", {
        at(""):
            "It compares the logits at all positions. Those of the first two move with their "
            "tokens in any model: compare the last position only, logits[0, -1].",
        at("[0, 0]"):
            "It compares the first position, whose own token was swapped. Compare the last one.",
        at("[0, -2]"):
            "It compares the last position but one. Compare the last: logits[0, -1].",
        at("[..., -1]"):
            "logits[..., -1] is one token's logit at every position. Logits are (1, T, V): "
            "compare logits[0, -1], all that the last position has.",
    }),
    ("upside down", "It says True where nothing changes, and False where something does.",
     ("> 1e-4)", "<= 1e-4)")),
)  # fmt: skip

ONE_SIGN = (
    "A change may go up or down: take the absolute value, .abs(), before the largest."
)
CANCEL = (
    "Changes up and down cancel out in a sum or a mean. Take the largest absolute change: "
    ".abs().max()."
)

CHANGE_MISTAKES = mistakes(
    order_matters,
    *instead("change.abs().max() > 1e-4", {
        "(change != 0).any()":
            "Logits that differ by a millionth count as changed. That is rounding: demand "
            "more than 1e-4, not equality.",
        "change.abs().max() > 1e-3":
            "A change of 0.0005 counts as none. The line is at 1e-4, and all above it counts.",
        "change.max() > 1e-4": ONE_SIGN,
        "(-change).max() > 1e-4": ONE_SIGN,
        "change.max().abs() > 1e-4": ONE_SIGN,
        "change.sum().abs() > 1e-4": CANCEL,
        "change.mean().abs() > 1e-4": CANCEL,
        "change.abs().mean() > 1e-4":
            "In a mean, one changed logit among many is lost. Take the largest change: .max().",
        "change.abs().min() > 1e-4":
            "It demands that all logits change; one is enough: .max(), or .any().",
        "model(swapped)[0, -1].argmax() != model(ids)[0, -1].argmax()":
            "The logits changed, though the most likely token stayed the same, and it says "
            "False. Compare the logits themselves, not the winners, nor probabilities.",
    }),
)  # fmt: skip


def by_numpy(model, ids):
    """The same, with the swap as an order of positions."""
    order = [1, 0, *range(2, ids.shape[1])]
    with torch.no_grad():
        before, after = (model(i)[0, -1].numpy() for i in (ids, ids[:, order]))
    return bool((abs(before - after) > 1e-4).any())


def different_ids(generator: torch.Generator, length: int) -> torch.Tensor:
    """Ids (1, T), no two alike, the first less than the second."""
    ids = torch.randperm(SIZE, generator=generator)[None, :length].clone()
    ids[:, :2] = ids[:, :2].sort().values
    return ids


def named(name: str, model: Callable) -> Callable:
    """A model under a name that says what it does, as it stands in messages."""
    model.__name__ = name
    return model


def changing(
    position: int, change: torch.Tensor, generator: torch.Generator
) -> Callable:
    """A model whose logits at one position change when the first two ids are swapped.

    change (V,) is what is added to them when the first id is more than the second. Token
    0 is far ahead of the others.
    """
    logits = torch.randn(8, SIZE, generator=generator)
    logits[:, 0] += 50

    def model(ids):
        if ids.dim() != 2:
            raise ValueError(
                f"the model wants ids (1, T); these are {tuple(ids.shape)}"
            )
        made = logits[: ids.shape[1]].repeat(len(ids), 1, 1)  # (B, T, V)
        made[:, position] += (ids[:, :1] > ids[:, 1:2]) * change
        return made

    return model


def a_position_each(generator):
    """Models that change at one position each, too much for any way to compare."""
    ids, cases = different_ids(generator, 5), []
    for i in range(5):
        change = 100 * (torch.rand(SIZE, generator=generator) + 1)
        change[0] = -5000
        if i == 1:
            change[-1] = 0  # for who looks at one logit only
        model = changing(i, change, generator)
        cases.append((named(f"changes_at_position_{i}", model), ids))
    return cases


def small_changes(generator):
    """Models whose logits at the last position change, each in a way of its own."""
    rise = 0.1 + torch.rand(SIZE, generator=generator)
    one = torch.eye(SIZE)[whole(generator, 0, SIZE - 1)]
    changes = {
        "all_logits_rise": rise,
        "all_logits_fall": -rise,
        "changes_cancel_out": rise - rise.mean(),
        "half_of_the_logits_rise": rise * (torch.arange(SIZE) % 2),
        "one_logit_rises_by_0_0005": 5e-4 * one,
        "one_logit_falls_by_0_0005": -5e-4 * one,
        "all_logits_rise_by_0_0005": 5e-4 * torch.ones(SIZE),
        "all_logits_rise_by_a_millionth": 1e-6 * torch.ones(SIZE),
    }
    ids = different_ids(generator, 5)
    return [
        (named(name, changing(4, d, generator)), ids) for name, d in changes.items()
    ]


def some_gpts(generator):
    """GPTs with and without positions; and the lesson's own, a Sequential of parts."""
    ids, cases = different_ids(generator, 6), []
    for positions in (True, False):
        model = small_gpt(generator)
        model.position.weight *= positions
        cases.append(
            (named(f"gpt_with{'' if positions else 'out'}_positions", model), ids)
        )
    two = small_gpt(generator, 2)
    parts = nn.Sequential(two.embedding, *two.blocks, two.unembedding)
    return [*cases, (named("two_layers_without_positions", parts), ids)]


def swaps_the_first_two(order_matters, generator):
    """What the model is shown: the ids as they are, and with the first two swapped."""
    for length in (6, 3):
        ids, seen = different_ids(generator, length), []
        model = changing(length - 1, torch.ones(SIZE), generator)

        def watching(ids, model=model, seen=seen):
            logits = model(ids)
            seen.extend(ids.tolist())
            return logits

        given, before = ids.clone(), ids[0].tolist()
        order_matters(watching, given)
        if not torch.equal(given, ids):
            raise Mistake(CALLERS)
        if [before[1], before[0], *before[2:]] not in seen or before not in seen:
            raise Mistake(
                swap_mistake(before, [row for row in seen if row != before], seen)
            )


def swap_mistake(before: list[int], others: list[list[int]], seen: list) -> str:
    """What went wrong when ids were swapped, from all that the model was shown."""
    if not others:
        return f"The model was only ever shown {before}. {NO_SWAP}"
    if before not in seen:
        return NEVER
    after, became = others[-1], f"{before} became {others[-1]}."
    if len(set(after)) < len(after):
        return f"{became} {LOST}"
    if after[-1:] != before[-1:]:
        return f"{became} {LAST_MOVED}"
    return f"{became} {OTHERS_MOVED}"


ORDER_MATTERS = Exercise(
    id="05.order_matters",
    title="does the order of words matter?",
    minutes=10,
    rule=(
        "`ids` is (1, T), with T at least 3 and its first two different; `model(ids)` "
        "gives V numbers at each position, its logits: (1, T, V). Swap the first two tokens in a copy (`ids` itself "
        "must stay what it was), leave all others where they are, and ask the model "
        "about both. Return a `bool`: does any logit at the *last* position change by "
        "more than 1e-4, up or down?"
    ),
    reference=order_matters,
    checks=(
        Check(
            "swaps the first two", 1, "swaps the first two tokens, in a copy",
            "`ids.clone()` is a copy; `ids[:, [1, 0]]` holds the first two, swapped.",
            swaps_the_first_two,
        ),
        Check(
            "the last position", 2, "looks at the last position and no other",
            "Logits are (1, T, V): text, position, token. `logits[-1]` is a text.",
            agrees(by_numpy, a_position_each, PLACE_MISTAKES),
        ),
        Check(
            "more than rounding", 1, "counts any change, up or down, that is more than rounding",
            "Subtract, take the absolute value, and compare the largest with 1e-4.",
            agrees(by_numpy, small_changes, CHANGE_MISTAKES),
        ),
        Check(
            "two GPTs", 1, "tells a GPT with positions from one without",
            "The same swap, the same position to look at, for any model.",
            agrees(by_numpy, some_gpts, ()),
        ),
    ),
    wrong=SWAP_MISTAKES + PLACE_MISTAKES + CHANGE_MISTAKES,
)  # fmt: skip


# 05.softmax -------------------------------------------------------------------------

TOO_LARGE = (
    "Logits near 10,000 or -10,000 give NaN or infinity: e to the power of 10,000 is more "
    "than a computer can hold, and of -10,000 rounds to 0. Take the largest logit off first."
)
DROPS = (
    "Two tensors in it don't fit together. Does a mean, a max or a sum drop the last axis? "
    "keepdim=True keeps it, with size 1."
)
UNDIVIDED = "The rows don't sum to one. Divide the powers of e by their sum."
LARGEST, SUM = "scaled.max(-1, keepdim=True).values", "powers.sum(-1, keepdim=True)"
POWERS = f"torch.exp(scaled - {LARGEST})"
UNSCALED = ("logits / temperature", "logits")

SOFTMAX_MISTAKES = mistakes(
    sampling.softmax,
    ("overflow", TOO_LARGE, (f"scaled - {LARGEST}", "scaled")),
    ("the mean taken off", TOO_LARGE, (LARGEST, "scaled.mean(-1, keepdim=True)")),
    ("one largest for all",
     "One row near 10,000 and one near -10,000 give NaN, though each alone is well. Did you "
     "take off the largest of the whole tensor? Take off each row's own.",
     (LARGEST, "scaled.max()")),
    ("the largest too early",
     "Large logits give NaN at some temperatures. Take the largest off after the logits "
     "are divided, not the largest of the logits as they came.",
     (LARGEST, "logits.max(-1, keepdim=True).values")),
    ("the first axis",
     "It sums to one along axis 0, the first. The vocabulary is the last axis: dim=-1.",
     (LARGEST, "scaled.max(0, keepdim=True).values"), (SUM, "powers.sum(0, keepdim=True)")),
    ("the sum of everything",
     "All rows together sum to one: you divide by the sum over everything. Every row "
     "should, each divided by its own sum.",
     (SUM, "powers.sum()")),
    ("the axis is dropped", DROPS, (SUM, "powers.sum(-1)")),
    ("values forgotten",
     "Over an axis, max gives two things, values and indices: take .values.",
     (".values", "")),
    ("not divided", UNDIVIDED, (POWERS, "torch.exp(scaled)"), (f"powers / {SUM}", "powers")),
    ("not divided, but stable", UNDIVIDED, (f"powers / {SUM}", "powers")),
    ("abs for exp",
     "It takes absolute values, so -3 counts as much as 3. Take e to the power of each "
     "logit.",
     (POWERS, "scaled.abs()")),
    ("no power",
     "The logits themselves are shared out, and some results are negative. Take e to the "
     "power of each logit first.",
     (POWERS, "scaled")),
    ("squares", "It takes squares; take e to the power.", (POWERS, "scaled.square()")),
    ("powers of 2", "It takes 2 to the power of each logit; take e.",
     (POWERS, f"torch.exp2(scaled - {LARGEST})")),
    ("upside down",
     "The smallest logit gets the most: there is a minus sign too many.",
     ("logits / temperature", "-logits / temperature")),
    ("multiplies",
     "It multiplies by the temperature: upside down. Divide the logits by it.",
     ("/ temperature", "* temperature")),
    ("temperature after exp",
     "The temperature has no effect. Powers divided by it come to the same once they are "
     "divided by their sum: divide the logits, before the power.",
     UNSCALED),
    ("divided probabilities",
     "It divides the probabilities, and a row no longer sums to one. Divide the logits by "
     "the temperature.",
     UNSCALED, (f"powers / {SUM}", f"powers / {SUM} / temperature")),
)  # fmt: skip


def torch_softmax(logits: torch.Tensor, temperature: float = 1.0) -> torch.Tensor:
    return torch.softmax(logits / temperature, -1)


def ladders(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Logits (…, 8): whole numbers from -3 to 4 in random order, and a little more."""
    order = torch.rand(*shape, 8, generator=generator).argsort(-1)
    return order - 3 + 0.4 * torch.rand(*shape, 8, generator=generator)


def rows(generator):
    return [(ladders(generator, *shape),) for shape in ((), (3,), (2, 3))]


def heated(generator):
    other = 2.5 + float(torch.rand(1, generator=generator))
    return [(ladders(generator, 3), temperature) for temperature in (0.5, 2.0, other)]


def large_logits(generator):
    far = torch.tensor([10_000.0, -10_000, 0, 0, 0, 0, 0, 0])
    far = far[torch.randperm(8, generator=generator)]
    both = torch.stack([ladders(generator) + 10_000, ladders(generator) - 10_000, far])
    # 0.5 and 2 divide without rounding.
    return [*((row,) for row in both), (both,), (both, 0.5), (both, 2.0)]


SOFTMAX = Exercise(
    id="05.softmax",
    title="from logits to probabilities",
    minutes=8,
    rule=(
        "`logits` is (V,), (T, V) or (B, T, V); give back probabilities of the same "
        "shape, where each row, along the last axis, sums to one. The temperature "
        "divides the logits; then e to the power of each is divided by the sum of its "
        "row. Logits of 10,000 and -10,000, in one row or in two, must give no NaN at "
        "any temperature from 0.1 up. (`torch.softmax` does most of it in one line; try "
        "without.)"
    ),
    reference=sampling.softmax,
    checks=(
        Check(
            "torch agrees", 2, "makes every row the probabilities that torch gives",
            "`torch.exp(x)` is e to the power of each number in x, and "
            "`powers.sum(-1, keepdim=True)` is one sum for each row.",
            agrees(torch_softmax, rows, SOFTMAX_MISTAKES),
        ),
        Check(
            "temperature", 1, "divides the logits by the temperature",
            "A high temperature brings the logits together, before the power.",
            agrees(torch_softmax, heated, SOFTMAX_MISTAKES),
        ),
        Check(
            "large logits", 2, "survives logits of 10,000 and -10,000",
            "Taking the same number off every logit of a row changes nothing in the result. "
            "Which number makes the largest power 1?",
            agrees(torch_softmax, large_logits, SOFTMAX_MISTAKES, 5e-3),
        ),
    ),
    wrong=SOFTMAX_MISTAKES,
)  # fmt: skip


# 05.forward -------------------------------------------------------------------------


def forward(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """The way of a text through a GPT: ids (B, T) → logits (B, T, V)."""
    x = model.embedding(ids) + model.position.weight[: ids.shape[1]]  # (B, T, C)
    for block in model.blocks:
        x = block(x)
    return model.unembedding(model.norm(x))  # (B, T, V)


PLACES, RUN = "model.position.weight[: ids.shape[1]]", "        x = block(x)\n"
START, END = (
    f"model.embedding(ids) + {PLACES}",
    "return model.unembedding(model.norm(x))",
)
NOT_ITS_ID = (
    "The position of a token is 0, 1, 2, … along the text, and not its id: look up "
    "position 0, 1, 2, …."
)
TOO_MANY = (
    "Two shapes don't fit. model.position.weight has a row for every position of the context, "
    "and the text has T: take the first T rows."
)
NOT_ALL = "Only the last position is there; give the logits of all T."
NORMS_ITSELF = "A block norms by itself what it reads: the model's own norm comes once, after the last."
LOOP = f"    for block in model.blocks:\n{RUN}"
NORM_FIRST = f"    x = model.norm(x)\n{LOOP}"

FORWARD_MISTAKES = mistakes(
    forward,
    ("the model itself", "Don't call model(ids): take its parts, one after the other.",
     lambda model, ids: model(ids)),
    *instead(START, {
        "model.embedding(ids)": "The positions are missing: add them at the start.",
        f"{PLACES}.expand(len(ids), -1, -1)":
            "The tokens are missing: look them up with model.embedding(ids), and add the "
            "positions.",
        "model.position.weight + model.embedding(ids)": TOO_MANY,
        "model.embedding(ids + torch.arange(ids.shape[1]))":
            "The positions are added to the ids. Each position has a vector: add it to the token's.",
        f"model.embedding(ids) * {PLACES}": "It multiplies by the positions: add them.",
    }),
    *instead(PLACES, {
        "model.position.weight": TOO_MANY,
        "model.position.weight[-ids.shape[1] :]":
            "These are the last positions of the context; the first token of a text has position 0.",
        "model.position.weight[1 : ids.shape[1] + 1]":
            "The first token of a text has position 0, and yours has 1.",
        "model.position.weight[0]":
            "All tokens get one and the same position. Add to each the vector of its own: rows 0 "
            "to T - 1 of model.position.weight.",
        "model.position.weight[: ids.shape[0]]":
            "The positions are counted along the texts, B of them. Count along the tokens of a "
            "text, T: ids.shape[1].",
        "model.position(ids)": NOT_ITS_ID,
        "model.position.weight[ids]": NOT_ITS_ID,
        "model.position(ids.clamp(max=7))": NOT_ITS_ID,
        "model.position(ids + 9)": NOT_ITS_ID,
    }),
    *instead(LOOP, {
        "    x = model.blocks(x)\n":
            "model.blocks is a list and can't be called: run its blocks one after the other, "
            "for block in model.blocks.",
        NORM_FIRST:
            "There is a norm before the first block; the model's own comes after the last.",
    }),
    *instead(RUN, {
        f"        x = block(x + {PLACES})\n":
            "The positions are added once, before the first block.",
        "        block(x)\n":
            "The blocks change nothing. Run them all, and keep what each gives: x = block(x).",
        "        y = block(x)\n    x = y\n":
            "Only the last block works on what you give back: each must get what the one "
            "before it gave.",
        f"{RUN}        break\n":
            "Not all blocks run: does return stand in the loop, or does a slice leave some out?",
        "        x = x + block(x)\n":
            "A block adds to the stream by itself: what it gives is the stream. x = block(x), "
            "not x + block(x).",
        "        x = model.norm(block(x))\n": NORMS_ITSELF,
        "        x = block(model.norm(x))\n": NORMS_ITSELF,
        "        x = x + block(model.norm(x))\n": NORMS_ITSELF,
        RUN + RUN: "Every block runs twice; once is enough.",
    }),
    ("from last to first", "The blocks run from last to first.",
     ("in model.blocks", "in reversed(model.blocks)")),
    ("the norm first and only",
     "The norm stands before the first block. It belongs after the last, before the "
     "unembedding.",
     (LOOP, NORM_FIRST), (END, "return model.unembedding(x)")),
    *instead(END, {
        "return model.unembedding(x)": "The last norm is missing, before the unembedding.",
        f"{END}.softmax(-1)": "These are probabilities; give the logits, without the softmax.",
        f"{END}.log_softmax(-1)":
            "These are logarithms of probabilities; give the logits, without the softmax.",
        "return model.norm(x) @ model.embedding.weight.T":
            "Use model.unembedding: it may have a matrix of its own, not the embedding's.",
        f"{END}.argmax(-1)": "These are the winners' ids; give the logits themselves.",
        f"{END}[:, -1]": NOT_ALL,
        f"{END}[:, -1:]": NOT_ALL,
        "return model.norm(x)": "These are vectors of C channels: the unembedding is missing.",
        "return x":
            "These are the vectors after the blocks: the last norm and the unembedding are "
            "missing.",
    }),
)  # fmt: skip


class Parts(nn.Module):
    """A GPT's parts, without a way through them.

    A copy has tables of its own; the parts that can only be called are shared.
    """

    __name__ = "model"

    def __init__(self, model: gpt.GPT):
        super().__init__()
        for name in ("embedding", "position", "blocks", "norm", "unembedding"):
            setattr(self, name, getattr(model, name))
        self._whole = [model]  # in a list, so that it is no part

    def __deepcopy__(self, memo):
        twin = Parts(self._whole[0])
        for name in ("embedding", "position"):
            table = getattr(self, name).weight.detach().clone()
            setattr(twin, name, nn.Embedding.from_pretrained(table))
        return twin


def texts(*shapes: tuple[int, int]) -> Callable:
    """Cases: texts of these shapes, and GPTs that are tied or not."""

    def cases(generator):
        models = [Parts(small_gpt(generator, 2, tied)) for tied in (True, False)]
        ids = [torch.randint(SIZE, shape, generator=generator) for shape in shapes]
        return list(zip(models * len(shapes), ids))

    return cases


def equal_tokens(generator):
    (parts, _), _ = texts((1, 2), (1, 2))(generator)
    return [(parts, torch.full((1, n), whole(generator, 0, SIZE - 1))) for n in (2, 4)]


def goes(cases: Callable, wrong: tuple) -> Callable:
    return agrees(lambda parts, ids: parts._whole[0](ids), cases, wrong, 1e-3)


FORWARD = Exercise(
    id="05.forward",
    title="the way through the machine",
    minutes=10,
    rule=(
        "`model` has the parts `embedding` and `position` (two `nn.Embedding`s), `blocks` "
        "(a list), `norm` and `unembedding`. Take `ids` (B, T) all the way: look the tokens "
        "up, add to each the vector of its position, from 0; run the blocks in order; then the "
        "last norm and the unembedding. Return the logits of all positions, (B, T, V). Use "
        "the parts; don't call `model(ids)`."
    ),
    reference=forward,
    checks=(
        Check(
            "all the way", 2, "goes through every part, in order",
            "`model.embedding(ids)` looks up; each block takes what the last one gave.",
            goes(texts((1, 2), (2, 6), (3, 2)), FORWARD_MISTAKES),
        ),
        Check(
            "any length", 1, "takes a text of any length",
            "`model.position.weight[:T]` are the vectors of the first T positions.",
            goes(texts((1, 1), (1, 8), (2, 8)), ()),
        ),
        Check(
            "positions from zero", 1, "tells equal tokens apart by their positions",
            "Which position does the first token have, and which vector?",
            goes(equal_tokens, ()),
        ),
    ),
    wrong=FORWARD_MISTAKES,
)  # fmt: skip

EXERCISES = (LAYER_NORM, PRE_NORM, ORDER_MATTERS, SOFTMAX, FORWARD)
