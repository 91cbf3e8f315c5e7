"""Exercises of lesson 05: LayerNorm, a block's step, order, softmax, all the way."""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import gpt, sampling
from course_lib.exercises.form import agrees, mistakes
from course_lib.exercises.legacy import (
    Check,
    Exercise,
    Mistake,
    Wrong,
    name_mistake,
    want_near,
    want_tensor,
    want_type,
)

CHANNELS = 5  # few, so that dividing by n - 1 for n is far from a rounding error
SIZE = 9  # tokens in the small vocabularies that the checks make up


def tried(answer, *inputs):
    """The answer on copies of the inputs; the usual errors of shape, put in words."""
    copies = [i.clone() if isinstance(i, torch.Tensor) else i for i in inputs]
    try:
        return answer(*copies)
    except RuntimeError as error:
        if "must match the size" not in str(error):
            raise
        raise Mistake(
            "Two tensors in it don't fit together. Does a mean, a max or a sum drop "
            "the last axis? keepdim=True keeps it, with size 1."
        ) from None
    except TypeError as error:
        if "return_types" not in str(error):
            raise
        raise Mistake(
            "Over an axis, max gives two things, values and indices: take .values."
        ) from None


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


def some_step(generator: torch.Generator):
    """A stream x (2, 4, C), a norm and a part, all new; both make new tensors."""
    x = 2 * some_vectors(generator, 2, 4)
    weight = 1.5 + torch.rand(CHANNELS, generator=generator)
    bias = torch.randn(CHANNELS, generator=generator)
    matrix = torch.randn(CHANNELS, CHANNELS, generator=generator)

    def norm(x):
        return F.layer_norm(x, (CHANNELS,), weight, bias)

    def part(x):
        return 3 * torch.tanh(x @ matrix)

    return x, norm, part


def adds_to_the_stream(pre_norm, generator):
    x, norm, part = some_step(generator)
    value = tried(pre_norm, x, norm, part)
    want_tensor(value, x.shape, "pre_norm(x, norm, part)")
    guesses = [
        (
            part(norm(x)),
            "The stream is lost: this is only what the part has to say. Add it to x.",
        ),
        (
            norm(x + part(x)),
            "This is post-norm, the block of 2017: the sum is normed. In pre-norm the "
            "norm stands before the part, and the sum stays as it is.",
        ),
        (
            norm(x) + part(norm(x)),
            "The stream itself is normed. Only what the part reads is; add to x as it "
            "came in.",
        ),
        (
            x + norm(part(x)),
            "The norm comes after the part. First norm, then part: part(norm(…)).",
        ),
        (x + part(x), "The part reads x itself; give it norm(x)."),
        (norm(x) + part(x), "The part should read norm(x), and be added to x itself."),
        (x + norm(x), "The part is never used."),
        (norm(x + part(norm(x))), "The sum is normed once more: leave it as it is."),
        (x, "x comes back as it was: nothing is added."),
    ]
    name_mistake(value, guesses)
    want_near(value, x + part(norm(x)), "pre_norm(x, norm, part)")


def leaves_x_alone(pre_norm, generator):
    x, norm, part = some_step(generator)
    given = x.clone()
    value = pre_norm(given, norm, part)
    want_tensor(value, x.shape, "pre_norm(x, norm, part)")
    if not torch.equal(given, x):
        raise Mistake(
            "The caller's x has changed: x += … writes into the tensor that was given. "
            "Make a new one: x + …"
        )
    want_near(value, x + part(norm(x)), "pre_norm(x, norm, part)")


def two_steps_are_a_block(pre_norm, generator):
    model = small_gpt(generator)
    block = model.blocks[0]
    x = torch.randn(2, 6, model.config.channels, generator=generator)
    with torch.no_grad():
        middle = tried(pre_norm, x, block.attention_norm, block.attention)
        want_tensor(middle, x.shape, "pre_norm of attention")
        value = tried(pre_norm, middle, block.mlp_norm, block.mlp)
        want_near(value, block(x), "attention and then the MLP, two steps of a block,")


def small_gpt(generator: torch.Generator) -> gpt.GPT:
    """A GPT of one layer, with weights so large that everything in it shows."""
    config = gpt.GPTConfig(vocabulary=SIZE, context=8, layers=1, channels=8, heads=2)
    with torch.random.fork_rng(devices=[]):  # else the learner's own chance moves on
        model = gpt.GPT(config, generator=generator)
    attention = model.blocks[0].attention
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 2:
                weight.copy_(torch.randn(weight.shape, generator=generator))
        for part in (attention.query, attention.key):
            part.weight *= 0.3  # else the last position may look at one token alone
    return model


def wrong_no_residual(x, norm, part):
    return part(norm(x))


def wrong_post_norm(x, norm, part):
    return norm(x + part(x))


def wrong_normed_stream(x, norm, part):
    x = norm(x)
    return x + part(x)


def wrong_norm_after(x, norm, part):
    return x + norm(part(x))


def wrong_no_norm(x, norm, part):
    return x + part(x)


def wrong_normed_twice(x, norm, part):
    return norm(x + part(norm(x)))


def wrong_in_place(x, norm, part):
    x += part(norm(x))
    return x


def wrong_nothing_returned(x, norm, part):
    x = x + part(norm(x))


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
            name="adds to the stream",
            points=2,
            proves="adds to the stream what the part makes of the normed stream",
            hint="Three steps: norm, part, add. What goes into each?",
            run=adds_to_the_stream,
        ),
        Check(
            name="leaves x alone",
            points=1,
            proves="leaves the caller's x as it was",
            hint="`x += y` writes into x; `x + y` makes a new tensor.",
            run=leaves_x_alone,
        ),
        Check(
            name="two steps are a block",
            points=1,
            proves="makes a whole block of GPT-2 in two steps",
            hint="A block is attention and then an MLP, each with a norm before it.",
            run=two_steps_are_a_block,
        ),
    ),
    wrong=(
        Wrong("no residual", wrong_no_residual, "The stream is lost"),
        Wrong("post-norm", wrong_post_norm, "This is post-norm"),
        Wrong("a normed stream", wrong_normed_stream, "The stream itself is normed"),
        Wrong("norm after part", wrong_norm_after, "First norm, then part"),
        Wrong("no norm", wrong_no_norm, "reads x itself"),
        Wrong("normed twice", wrong_normed_twice, "normed once more"),
        Wrong("in place", wrong_in_place, "The caller's x has changed"),
        Wrong("no return", wrong_nothing_returned, "end in return"),
    ),
)


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


def different_ids(generator: torch.Generator, length: int) -> torch.Tensor:
    """Ids (1, T), no two alike."""
    return torch.randperm(SIZE, generator=generator)[None, :length]


def _swapped(ids: torch.Tensor) -> torch.Tensor:
    return torch.cat([ids[:, [1, 0]], ids[:, 2:]], dim=1)


def reader(generator: torch.Generator, position: int, table=None) -> Callable:
    """A model whose logits at one position are all that the first token decides.

    table (V, V) holds what the first token adds there; by default random rows, each
    with sum zero, so that a sum of changes hides them. One token stays far ahead.
    """
    logits = torch.randn(8, SIZE, generator=generator)
    logits[:, int(torch.randint(SIZE, (1,), generator=generator))] += 50
    if table is None:
        table = torch.randn(SIZE, SIZE, generator=generator)
        table = table - table.mean(-1, keepdim=True)

    def model(ids):
        if ids.dim() != 2:
            raise ValueError(
                f"the model wants ids (1, T); these have shape {tuple(ids.shape)}"
            )
        made = logits[: ids.shape[1]].repeat(len(ids), 1, 1)  # (B, T, V)
        made[:, position] += table[ids[:, 0]]
        return made

    return model


def upwards(generator: torch.Generator) -> torch.Tensor:
    """A table (V, V) for a reader: the higher the first id, the higher all logits."""
    return torch.arange(SIZE)[:, None] * (0.1 + torch.rand(SIZE, generator=generator))


def watched(model: Callable, seen: list[list[int]]) -> Callable:
    """The same model, which also notes in `seen` all ids that it is shown."""

    def watching(ids):
        logits = model(ids)
        seen.extend(ids.tolist())
        return logits

    return watching


def say(order_matters, model: Callable, ids: torch.Tensor) -> bool:
    """What the answer says, held to be a bool."""
    value = order_matters(model, ids)
    if isinstance(value, torch.Tensor):
        raise Mistake("It returns a tensor; bool(…) makes a True or a False of it.")
    want_type(value, bool, "order_matters(model, ids)")
    return value


def swaps_the_first_two(order_matters, generator):
    for length in (6, 3):
        ids, seen = different_ids(generator, length), []
        given = ids.clone()
        say(order_matters, watched(reader(generator, length - 1), seen), given)
        if not torch.equal(given, ids):
            raise Mistake(
                "The caller's ids have changed. Swap in a copy: swapped = ids.clone()."
            )
        before = ids[0].tolist()
        wanted = [before[1], before[0], *before[2:]]
        if before not in seen:
            raise Mistake("The model never saw the ids as they are, to compare with.")
        if wanted in seen:
            continue
        others = [row for row in seen if row != before]
        if not others:
            raise Mistake(
                f"The model was only ever shown {before}: nothing was swapped."
            )
        shown = f"{before} became {others[-1]}"
        if len(set(others[-1])) < len(others[-1]):
            raise Mistake(
                f"{shown}: one of the two is lost. ids[0, 0] is a window on the "
                "tensor, not a copy: write over its place, and it shows what is new. "
                "Read from one tensor and write to a copy."
            )
        if others[-1][-1:] != before[-1:]:
            raise Mistake(
                f"{shown}: the last token has moved, and its logits with it. Swap the "
                "first two only."
            )
        raise Mistake(f"{shown}; with the first two swapped it is {wanted}.")


def looks_at_the_last(order_matters, generator):
    length = 5
    ids = different_ids(generator, length)
    models = [reader(generator, position) for position in range(length)]
    said = [say(order_matters, model, ids.clone()) for model in models]
    if not any(said):
        model = reader(generator, length - 1, upwards(generator))
        if any(say(order_matters, model, i.clone()) for i in (ids, _swapped(ids))):
            raise Mistake(
                "Changes up and down cancel out in a sum or a mean. Take the largest "
                "absolute change: .abs().max()."
            )
        raise Mistake(
            "The logits changed, though the most likely token stayed the same, and it "
            "says False. Compare the logits themselves, not the winners."
        )
    if all(said):
        raise Mistake(
            "It compares the logits at all positions. Those of the first two move with "
            "their tokens in any model: compare the last position only, logits[0, -1]."
        )
    if said[0] and not said[-1]:
        raise Mistake(
            "It compares the first position, whose own token was swapped. Compare the "
            "last one."
        )
    if not said[-1]:
        raise Mistake(
            "Only the logits at the last position changed, and it says False. Which "
            "position do you compare?"
        )
    for position in range(length - 1):
        if said[position]:
            raise Mistake(
                f"Only the logits at position {position} of {length} changed, and it "
                "says True. Compare the last position only."
            )


def more_than_rounding(order_matters, generator):
    ids = different_ids(generator, 5)
    model = reader(generator, 4, upwards(generator))
    said = [say(order_matters, model, i.clone()) for i in (ids, _swapped(ids))]
    if said == [False, False]:
        raise Mistake(
            "All logits at the last position changed by more than 0.01, and it says "
            "False. The line is at 1e-4."
        )
    if False in said:
        raise Mistake(
            "When all logits go up it says one thing, when they go down another. A "
            "change has a sign: take the absolute value, .abs()."
        )
    table = 1e-6 * torch.randn(SIZE, SIZE, generator=generator)
    if say(order_matters, reader(generator, 4, table), ids.clone()):
        raise Mistake(
            "Logits that differ by a millionth count as changed. That is rounding: "
            "demand more than 1e-4, not equality."
        )


def tells_gpts_apart(order_matters, generator):
    model, ids = small_gpt(generator), different_ids(generator, 6)
    if not say(order_matters, model, ids.clone()):
        raise Mistake("A GPT with positions: the order matters, and it says False.")
    with torch.no_grad():
        model.position.weight.zero_()
    if say(order_matters, model, ids.clone()):
        raise Mistake(
            "A GPT of one layer without positions: the last position mixes the earlier "
            "ones whatever their order, and it says True."
        )


def _last_change(model, ids, other):
    return (model(ids)[0, -1] - model(other)[0, -1]).abs().max()


def wrong_all_positions(model, ids):
    return bool((model(ids) - model(_swapped(ids))).abs().max() > 1e-4)


def wrong_first_position(model, ids):
    return bool((model(ids)[0, 0] - model(_swapped(ids))[0, 0]).abs().max() > 1e-4)


def wrong_one_before_last(model, ids):
    return bool((model(ids)[0, -2] - model(_swapped(ids))[0, -2]).abs().max() > 1e-4)


def wrong_reversed(model, ids):
    return bool(_last_change(model, ids, ids.flip(1)) > 1e-4)


def wrong_first_and_last(model, ids):
    other = ids.clone()
    other[:, 0], other[:, -1] = ids[:, -1], ids[:, 0]
    return bool(_last_change(model, ids, other) > 1e-4)


def wrong_all_but_last(model, ids):
    other = torch.cat([ids[:, :-1].flip(1), ids[:, -1:]], dim=1)
    return bool(_last_change(model, ids, other) > 1e-4)


def wrong_equality(model, ids):
    return not torch.equal(model(ids)[0, -1], model(_swapped(ids))[0, -1])


def wrong_winner(model, ids):
    return bool(model(ids)[0, -1].argmax() != model(_swapped(ids))[0, -1].argmax())


def wrong_no_abs(model, ids):
    return bool((model(ids)[0, -1] - model(_swapped(ids))[0, -1]).max() > 1e-4)


def wrong_sum_of_changes(model, ids):
    change = model(ids)[0, -1] - model(_swapped(ids))[0, -1]
    return bool(change.sum().abs() > 1e-4)


def wrong_ids_changed(model, ids):
    before = model(ids)[0, -1]
    ids[:, :2] = ids[:, [1, 0]]
    return bool((model(ids)[0, -1] - before).abs().max() > 1e-4)


def wrong_no_copy(model, ids):
    other = ids
    other[:, :2] = ids[:, [1, 0]]
    return bool(_last_change(model, ids, other) > 1e-4)


def wrong_tensor(model, ids):
    return _last_change(model, ids, _swapped(ids)) > 1e-4


def wrong_no_swap(model, ids):
    other = ids.clone()
    other[:, :2] = ids[:, [0, 1]]
    return bool(_last_change(model, ids, other) > 1e-4)


def wrong_windows(model, ids):
    other = ids.clone()
    a, b = other[0, 0], other[0, 1]
    other[0, 0], other[0, 1] = b, a
    return bool(_last_change(model, ids, other) > 1e-4)


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
            name="swaps the first two",
            points=1,
            proves="swaps the first two tokens, in a copy",
            hint="`ids.clone()` is a copy; `ids[:, [1, 0]]` holds the first two, "
            "swapped.",
            run=swaps_the_first_two,
        ),
        Check(
            name="the last position",
            points=2,
            proves="looks at the last position and no other",
            hint="Logits are (1, T, V): text, position, token. `logits[-1]` is a text.",
            run=looks_at_the_last,
        ),
        Check(
            name="more than rounding",
            points=1,
            proves="counts any change, up or down, that is more than rounding",
            hint="Subtract, take the absolute value, and hold the largest against "
            "1e-4.",
            run=more_than_rounding,
        ),
        Check(
            name="two GPTs",
            points=1,
            proves="tells a GPT with positions from one without",
            hint="The same swap, the same place to look at, for any model.",
            run=tells_gpts_apart,
        ),
    ),
    wrong=(
        Wrong("all positions", wrong_all_positions, "at all positions"),
        Wrong(
            "the first position", wrong_first_position, "compares the first position"
        ),
        Wrong("one before the last", wrong_one_before_last, "Which position"),
        Wrong("reversed", wrong_reversed, "the last token has moved"),
        Wrong("first and last", wrong_first_and_last, "the last token has moved"),
        Wrong(
            "all but the last", wrong_all_but_last, "with the first two swapped it is"
        ),
        Wrong("equality", wrong_equality, "That is rounding"),
        Wrong("the winner", wrong_winner, "not the winners"),
        Wrong("no abs", wrong_no_abs, "take the absolute value"),
        Wrong("the sum of changes", wrong_sum_of_changes, "Changes up and down"),
        Wrong("ids changed", wrong_ids_changed, "caller's ids have changed"),
        Wrong("no copy", wrong_no_copy, "caller's ids have changed"),
        Wrong("a tensor", wrong_tensor, "It returns a tensor"),
        Wrong("no swap", wrong_no_swap, "nothing was swapped"),
        Wrong("windows", wrong_windows, "one of the two is lost"),
    ),
)


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


def some_gpt(generator: torch.Generator) -> nn.Module:
    """A small GPT whose weights are large enough that every part shows."""
    config = gpt.GPTConfig(vocabulary=11, context=9, layers=3, channels=8, heads=2)
    model = gpt.GPT(config, generator=generator).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
    return model.requires_grad_(False)


def some_ids(generator: torch.Generator) -> torch.Tensor:
    """ids (2, 6) of that GPT's vocabulary."""
    return torch.randint(11, (2, 6), generator=generator)


NOT_ITS_ID = (
    "The place of a token is 0, 1, 2, … along the text, and not its id: "
    "look up positions by place."
)


def walk(forward_, model, ids):
    names = ("embedding", "position", "blocks", "norm", "unembedding")
    parts = SimpleNamespace(**{name: model.get_submodule(name) for name in names})
    try:
        return forward_(parts, ids.clone())
    except TypeError as error:
        if "not callable" in str(error):
            raise Mistake(
                "Don't call model(ids): take its parts, one after the other."
            ) from None
        raise
    except IndexError as error:
        if "out of range" not in str(error):
            raise
        raise Mistake(NOT_ITS_ID) from None
    except RuntimeError as error:
        if "size" in str(error) or "shape" in str(error):
            raise Mistake(
                "Two shapes don't fit. model.position.weight has a row for every place of "
                "the context, and the text has T: take the first T rows."
            ) from None
        raise


def likely_walks(model: nn.Module, ids: torch.Tensor) -> list[tuple]:
    """Wrong ways through the machine, with words for each."""
    text, places = model.embedding(ids), model.position.weight
    start = text + places[: ids.shape[1]]
    by_id = text + places[ids.clamp(max=len(places) - 1)]
    end = start
    for block in model.blocks:
        end = block(end)

    def through(x, blocks):
        for block in blocks:
            x = block(x)
        return model.unembedding(model.norm(x))

    return [
        (through(text, model.blocks), "The positions are missing: add them at the start."),
        (model.unembedding(end), "The last norm is missing, before the unembedding."),
        (through(by_id, model.blocks), NOT_ITS_ID),
        (through(text + places[-ids.shape[1] :], model.blocks), "These are the last places "
         "of the context; the first token of a text has place 0."),
        (through(start, []), "The blocks change nothing. Run them all, and keep what each "
         "gives: x = block(x)."),
        (through(start, [model.blocks[-1]]), "Only the last block works on what you give "
         "back: each must get what the one before it gave."),
        (through(start, reversed(model.blocks)), "The blocks run from last to first."),
        (through(model.norm(start), model.blocks), "There is a norm before the first block; "
         "the model's own comes after the last."),
        (through(start, model.blocks).softmax(-1), "These are probabilities; give the logits, "
         "without the softmax."),
    ]  # fmt: skip


def goes_all_the_way(forward_, generator):
    model, ids = some_gpt(generator), some_ids(generator)
    value = walk(forward_, model, ids)
    want_type(value, torch.Tensor, "forward(model, ids)")
    for wrong, words in likely_walks(model, ids):
        if value.shape == wrong.shape and torch.allclose(value, wrong, atol=1e-4):
            raise Mistake(words)
    if value.shape == (2, 6, 8):
        raise Mistake("These are vectors of C channels: the unembedding is missing.")
    if value.shape == (2, 11):
        raise Mistake("Only the last position is there; give the logits of all T.")
    want_near(value, model(ids), "forward(model, ids)", 1e-3)


def any_length(forward_, generator):
    model = some_gpt(generator)
    for length in (1, 9):
        ids = torch.randint(11, (1, length), generator=generator)
        value = walk(forward_, model, ids)
        want_tensor(value, (1, length, 11), f"the logits of {length} tokens")
        want_near(value, model(ids), f"the logits of {length} tokens", 1e-3)


def places_from_zero(forward_, generator):
    model = some_gpt(generator)
    ids = torch.full((1, 4), 5)
    value = walk(forward_, model, ids)
    want_tensor(value, (1, 4, 11), "forward(model, ids)")
    if torch.allclose(value[0, 0], value[0, 1], atol=1e-5):
        raise Mistake(
            "Four times the same token gives four times the same logits: where are the "
            "positions?"
        )
    want_near(value, model(ids), "the logits of four equal tokens", 1e-3)


def wrong_calls_it(model, ids):
    return model(ids)


def wrong_no_positions(model, ids):
    x = model.embedding(ids)
    for block in model.blocks:
        x = block(x)
    return model.unembedding(model.norm(x))


def wrong_all_positions(model, ids):
    x = model.embedding(ids) + model.position.weight
    for block in model.blocks:
        x = block(x)
    return model.unembedding(model.norm(x))


def wrong_last_positions(model, ids):
    x = model.embedding(ids) + model.position.weight[-ids.shape[1] :]
    for block in model.blocks:
        x = block(x)
    return model.unembedding(model.norm(x))


def wrong_position_of_token(model, ids):
    x = model.embedding(ids) + model.position(ids.clamp(max=8))
    for block in model.blocks:
        x = block(x)
    return model.unembedding(model.norm(x))


def wrong_position_of_any_token(model, ids):
    x = model.embedding(ids) + model.position(ids + 9)
    return model.unembedding(model.norm(x))


def wrong_not_kept(model, ids):
    x = model.embedding(ids) + model.position.weight[: ids.shape[1]]
    for block in model.blocks:
        block(x)
    return model.unembedding(model.norm(x))


def wrong_no_last_norm(model, ids):
    x = model.embedding(ids) + model.position.weight[: ids.shape[1]]
    for block in model.blocks:
        x = block(x)
    return model.unembedding(x)


def wrong_not_chained(model, ids):
    x = model.embedding(ids) + model.position.weight[: ids.shape[1]]
    for block in model.blocks:
        y = block(x)
    return model.unembedding(model.norm(y))


def wrong_norm_first(model, ids):
    x = model.norm(model.embedding(ids) + model.position.weight[: ids.shape[1]])
    for block in model.blocks:
        x = block(x)
    return model.unembedding(model.norm(x))


def wrong_last_only(model, ids):
    return forward(model, ids)[:, -1]


def wrong_softmaxed(model, ids):
    return forward(model, ids).softmax(-1)


def wrong_still_vectors(model, ids):
    x = model.embedding(ids) + model.position.weight[: ids.shape[1]]
    for block in model.blocks:
        x = block(x)
    return model.norm(x)


FORWARD = Exercise(
    id="05.forward",
    title="the way through the machine",
    minutes=10,
    rule=(
        "`model` has the parts `embedding` and `position` (two `nn.Embedding`s), `blocks` "
        "(a list), `norm` and `unembedding`. Take `ids` (B, T) all the way: look the tokens "
        "up, add to each the vector of its place, from 0; run the blocks in order; then the "
        "last norm and the unembedding. Return the logits of all positions, (B, T, V). Use "
        "the parts; don't call `model(ids)`."
    ),
    reference=forward,
    checks=(
        Check(
            name="all the way",
            points=2,
            proves="goes through every part, in order",
            hint="`model.embedding(ids)` looks up; each block takes what the last one gave.",
            run=goes_all_the_way,
        ),
        Check(
            name="any length",
            points=1,
            proves="takes a text of any length",
            hint="`model.position.weight[:T]` are the vectors of the first T places.",
            run=any_length,
        ),
        Check(
            name="places from zero",
            points=1,
            proves="tells equal tokens apart by their places",
            hint="Which place does the first token have, and which vector?",
            run=places_from_zero,
        ),
    ),
    wrong=(
        Wrong("the model itself", wrong_calls_it, "one after the other"),
        Wrong("no positions", wrong_no_positions, "The positions are missing"),
        Wrong("all positions", wrong_all_positions, "take the first T rows"),
        Wrong("the last positions", wrong_last_positions, "the last places"),
        Wrong("positions of tokens", wrong_position_of_token, "and not its id"),
        Wrong("positions past the end", wrong_position_of_any_token, "and not its id"),
        Wrong("blocks not kept", wrong_not_kept, "keep what each"),
        Wrong("no last norm", wrong_no_last_norm, "The last norm is missing"),
        Wrong("not chained", wrong_not_chained, "each must get"),
        Wrong("norm first", wrong_norm_first, "a norm before the first block"),
        Wrong("the last only", wrong_last_only, "Only the last position"),
        Wrong("softmaxed", wrong_softmaxed, "These are probabilities"),
        Wrong("still vectors", wrong_still_vectors, "the unembedding is missing"),
    ),
)

EXERCISES = (LAYER_NORM, PRE_NORM, ORDER_MATTERS, SOFTMAX, FORWARD)
