"""Exercises of lesson 05: LayerNorm, a block's step, order, softmax, all the way."""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import gpt, sampling
from course_lib.exercises.legacy import (
    Check,
    Exercise,
    Mistake,
    Wrong,
    alike,
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


def some_vectors(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Random vectors (…, C), each with a mean and a spread of its own, far from 0."""
    x = torch.rand(*shape, CHANNELS, generator=generator).argsort(-1) - 2
    x = x + 0.4 * torch.rand(*shape, CHANNELS, generator=generator)
    mean = 2 + 2 * torch.rand(*shape, 1, generator=generator)
    spread = 2 + 2 * torch.rand(*shape, 1, generator=generator)
    return mean + spread * x


def plain_weights() -> tuple[torch.Tensor, torch.Tensor]:
    """A weight and a bias that change nothing."""
    return torch.ones(CHANNELS), torch.zeros(CHANNELS)


def each_vector_by_itself(layer_norm, generator):
    for shape in ((4,), (2, 3)):
        x = some_vectors(generator, *shape)
        before = tried(layer_norm, x, *plain_weights())
        want_tensor(before, x.shape, f"layer_norm of x {tuple(x.shape)}")
        for correction in (0, 1):
            if alike(before, (x - x.mean()) / x.std(correction=correction)):
                raise Mistake(
                    "Mean and variance are taken over the whole tensor. Every position "
                    "has its own, over its channels: dim=-1."
                )
        changed, last = x.clone(), (0,) * (len(shape) - 1) + (-1,)
        changed[last] = 9 * torch.randn(CHANNELS, generator=generator)
        after = tried(layer_norm, changed, *plain_weights())
        want_tensor(after, x.shape, f"layer_norm of x {tuple(x.shape)}")
        moved = (after - before).detach().abs()
        moved[last] = 0
        if moved.max() > 1e-4:
            raise Mistake(
                f"In x {tuple(x.shape)}, changing one position changed another. Take "
                "mean and variance over the channels, not over the positions or the "
                "batch: the last axis, dim=-1."
            )


def mean_0_and_variance_1(layer_norm, generator):
    for shape in ((4,), (2, 3)):
        x = some_vectors(generator, *shape)
        value = tried(layer_norm, x, *plain_weights())
        want_tensor(value, x.shape, f"layer_norm of x {tuple(x.shape)}")
        centred = x - x.mean(-1, keepdim=True)
        variance = x.var(-1, keepdim=True, correction=0)
        n_minus_1 = x.var(-1, keepdim=True)
        root_needed = (
            "You divide by the variance; divide by its square root, so that the spread "
            "becomes 1."
        )
        guesses = [
            (
                centred / n_minus_1.sqrt(),
                "The variance is divided by n - 1: that is what .var() and .std() do "
                "if nothing is said. Divide by all C: correction=0, or a mean of "
                "squares.",
            ),
            (centred / variance, root_needed),
            (centred / n_minus_1, root_needed),
            (
                x / x.square().mean(-1, keepdim=True).sqrt(),
                "The mean is not taken off. That is RMSNorm, which later models use; "
                "LayerNorm takes the mean off first.",
            ),
            (
                x / variance.sqrt(),
                "You divide x by its spread, with its mean still in it: take the mean "
                "off first.",
            ),
            (
                centred,
                "The mean is taken off, and the spread is what it was: divide by the "
                "square root of the variance.",
            ),
        ]
        name_mistake(value, guesses)
        wanted = F.layer_norm(x, (CHANNELS,))
        want_near(value, wanted, f"layer_norm of x {tuple(x.shape)}")


def weight_and_bias(layer_norm, generator):
    for shape in ((4,), (2, 3)):
        x = some_vectors(generator, *shape)
        weight = 2 + torch.rand(CHANNELS, generator=generator)
        bias = 1 + torch.rand(CHANNELS, generator=generator)
        value = tried(layer_norm, x, weight, bias)
        want_tensor(value, x.shape, f"layer_norm of x {tuple(x.shape)}")
        plain = F.layer_norm(x, (CHANNELS,))
        guesses = [
            (plain, "It never uses weight and bias."),
            (plain + bias, "It never uses weight: multiply by it, then add bias."),
            (plain * weight, "It never uses bias: add it at the end."),
            (
                (plain + bias) * weight,
                "The bias is added before the weight multiplies, so that it is scaled "
                "too. First weight, then bias.",
            ),
            (plain * bias + weight, "Weight and bias have changed places."),
        ]
        name_mistake(value, guesses)
        wanted = F.layer_norm(x, (CHANNELS,), weight, bias)
        want_near(value, wanted, "layer_norm with a weight and a bias")


def epsilon_counts(layer_norm, generator):
    levels = torch.randint(1, 9, (4, 1), generator=generator).float()
    weight = 2 + torch.rand(CHANNELS, generator=generator)
    bias = torch.randn(CHANNELS, generator=generator)
    x = levels.repeat(1, CHANNELS)
    value = tried(layer_norm, x, weight, bias)
    want_type(value, torch.Tensor, "layer_norm of constant vectors")
    if value.isnan().any():
        raise Mistake(
            "A vector of equal numbers gives NaN: its variance is 0, and 0 / 0 is no "
            "number. Add epsilon to the variance."
        )
    want_near(value, bias.expand(4, CHANNELS), "layer_norm of constant vectors")
    x = some_vectors(generator, 4)
    epsilon = 0.5 + float(torch.rand(1, generator=generator))
    value = tried(layer_norm, x, *plain_weights(), epsilon)
    want_tensor(value, x.shape, "layer_norm with a large epsilon")
    centred = x - x.mean(-1, keepdim=True)
    spread = x.std(-1, correction=0, keepdim=True)
    guesses = [
        (
            F.layer_norm(x, (CHANNELS,)),
            "It ignores its argument epsilon: a larger one must change the result.",
        ),
        (
            centred / (spread + epsilon),
            "Epsilon is added to the square root; add it to the variance, inside the "
            "root.",
        ),
    ]
    name_mistake(value, guesses)
    wanted = F.layer_norm(x, (CHANNELS,), eps=epsilon)
    want_near(value, wanted, f"layer_norm with epsilon {epsilon:.3f}")


def _normed(x, axes, correction=0, epsilon=1e-5):
    centred = x - x.mean(axes, keepdim=True)
    variance = x.var(axes, correction=correction, keepdim=True)
    return centred / (variance + epsilon).sqrt()


def wrong_over_positions(x, weight, bias, epsilon=1e-5):
    return _normed(x, -2, epsilon=epsilon) * weight + bias


def wrong_axis_0(x, weight, bias, epsilon=1e-5):
    return _normed(x, 0, epsilon=epsilon) * weight + bias


def wrong_axis_1(x, weight, bias, epsilon=1e-5):
    return _normed(x, 1, epsilon=epsilon) * weight + bias


def wrong_whole_tensor(x, weight, bias, epsilon=1e-5):
    return (x - x.mean()) / torch.sqrt(x.var() + epsilon) * weight + bias


def wrong_axis_dropped(x, weight, bias, epsilon=1e-5):
    centred = x - x.mean(-1)
    return centred / torch.sqrt(centred.square().mean(-1) + epsilon) * weight + bias


def wrong_n_minus_1(x, weight, bias, epsilon=1e-5):
    return _normed(x, -1, correction=1, epsilon=epsilon) * weight + bias


def wrong_no_root(x, weight, bias, epsilon=1e-5):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + epsilon) * weight + bias


def wrong_rms_norm(x, weight, bias, epsilon=1e-5):
    return x / (x.square().mean(-1, keepdim=True) + epsilon).sqrt() * weight + bias


def wrong_mean_left_in(x, weight, bias, epsilon=1e-5):
    variance = x.var(-1, correction=0, keepdim=True)
    return x / torch.sqrt(variance + epsilon) * weight + bias


def wrong_only_centred(x, weight, bias, epsilon=1e-5):
    return (x - x.mean(-1, keepdim=True)) * weight + bias


def wrong_no_weight_no_bias(x, weight, bias, epsilon=1e-5):
    return _normed(x, -1, epsilon=epsilon)


def wrong_no_bias(x, weight, bias, epsilon=1e-5):
    return _normed(x, -1, epsilon=epsilon) * weight


def wrong_bias_first(x, weight, bias, epsilon=1e-5):
    return (_normed(x, -1, epsilon=epsilon) + bias) * weight


def wrong_no_epsilon(x, weight, bias, epsilon=1e-5):
    return _normed(x, -1, epsilon=0) * weight + bias


def wrong_epsilon_outside(x, weight, bias, epsilon=1e-5):
    centred = x - x.mean(-1, keepdim=True)
    spread = x.std(-1, correction=0, keepdim=True)
    return centred / (spread + epsilon) * weight + bias


def wrong_own_epsilon(x, weight, bias, epsilon=1e-5):
    return _normed(x, -1) * weight + bias


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
            name="each position by itself",
            points=1,
            proves="takes every position by itself",
            hint="The channels are the last axis: `x.mean(-1, keepdim=True)`.",
            run=each_vector_by_itself,
        ),
        Check(
            name="mean 0 and variance 1",
            points=2,
            proves="brings every vector to mean 0 and variance 1",
            hint="Take the mean off, then divide by the root of the mean of the "
            "squares.",
            run=mean_0_and_variance_1,
        ),
        Check(
            name="weight and bias",
            points=1,
            proves="scales by the weight and shifts by the bias",
            hint="Which comes last, `* weight` or `+ bias`?",
            run=weight_and_bias,
        ),
        Check(
            name="epsilon",
            points=1,
            proves="turns a constant vector into the bias, and not into NaN",
            hint="What is the variance of five equal numbers, and what divides by it?",
            run=epsilon_counts,
        ),
    ),
    wrong=(
        Wrong("over the positions", wrong_over_positions, "not over the positions"),
        Wrong("over axis 0", wrong_axis_0, "not over the positions or the batch"),
        Wrong("over axis 1", wrong_axis_1, "In x (2, 3, 5), changing one position"),
        Wrong("over the whole tensor", wrong_whole_tensor, "over the whole tensor"),
        Wrong("the axis is dropped", wrong_axis_dropped, "keepdim=True"),
        Wrong("n - 1", wrong_n_minus_1, "divided by n - 1"),
        Wrong("no square root", wrong_no_root, "divide by its square root"),
        Wrong("RMSNorm", wrong_rms_norm, "That is RMSNorm"),
        Wrong("the mean left in", wrong_mean_left_in, "its mean still in it"),
        Wrong("only the mean", wrong_only_centred, "the spread is what it was"),
        Wrong("no weight, no bias", wrong_no_weight_no_bias, "weight and bias"),
        Wrong("no bias", wrong_no_bias, "never uses bias"),
        Wrong("bias before weight", wrong_bias_first, "First weight, then bias"),
        Wrong("no epsilon", wrong_no_epsilon, "equal numbers gives NaN"),
        Wrong("epsilon outside", wrong_epsilon_outside, "inside the root"),
        Wrong("an epsilon of its own", wrong_own_epsilon, "ignores its argument"),
    ),
)


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


def ladders(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Logits (…, 8): whole numbers from -3 to 4 in random order, and a little more."""
    order = torch.rand(*shape, 8, generator=generator).argsort(-1)
    return order - 3 + 0.4 * torch.rand(*shape, 8, generator=generator)


def rows_sum_to_one(softmax, generator):
    for shape in ((6,), (3, 6), (2, 4, 6)):
        logits = 4 * torch.rand(*shape, generator=generator)
        value = tried(softmax, logits)
        want_tensor(value, shape, f"softmax of logits {shape}")
        value = value.detach().double()
        sums = value.sum(-1)
        if ((sums - 1).abs() < 1e-4).all():
            continue
        if abs(float(value.sum()) - 1) < 1e-4:
            raise Mistake(
                "All rows together sum to one: you divide by the sum over everything. "
                "Every row should, each divided by its own sum."
            )
        for axis in range(len(shape) - 1):
            if ((value.sum(axis) - 1).abs() < 1e-4).all():
                raise Mistake(
                    f"In logits {shape} it sums to one along axis {axis}. The "
                    "vocabulary is the last axis: dim=-1."
                )
        worst = float(sums.flatten()[(sums - 1).abs().argmax()])
        raise Mistake(
            f"A row of the result sums to {worst:.4g}; it should be 1. Divide the "
            "powers of e by their sum."
        )


def same_as_torch(softmax, generator):
    for shape in ((), (3,), (2, 3)):
        logits = ladders(generator, *shape)
        value = tried(softmax, logits)
        want_tensor(value, logits.shape, f"softmax of logits {tuple(logits.shape)}")
        guesses = [
            (
                share(logits.abs()),
                "It takes absolute values, so -3 counts as much as 3. Take e to the "
                "power of each logit.",
            ),
            (
                share(logits),
                "The logits themselves are shared out, and some results are negative. "
                "Take e to the power of each logit first.",
            ),
            (share(logits.square()), "It takes squares; take e to the power."),
            (share(2**logits), "It takes 2 to the power of each logit; take e."),
            (
                torch.softmax(-logits, -1),
                "The smallest logit gets the most: there is a minus sign too many.",
            ),
        ]
        name_mistake(value, guesses)
        want_near(value, torch.softmax(logits, -1), "softmax(logits)")


def share(parts: torch.Tensor) -> torch.Tensor:
    return parts / parts.sum(-1, keepdim=True)


def temperature_divides(softmax, generator):
    for temperature in (0.5, 2.0, 2.5 + float(torch.rand(1, generator=generator))):
        logits = ladders(generator, 3)
        value = tried(softmax, logits, temperature)
        want_tensor(value, logits.shape, f"softmax(logits, {temperature:.3g})")
        plain = torch.softmax(logits, -1)
        guesses = [
            (
                plain,
                "The temperature has no effect. Powers divided by it come to the same "
                "once they are divided by their sum: divide the logits, before the "
                "power.",
            ),
            (
                torch.softmax(logits * temperature, -1),
                "It multiplies by the temperature: upside down. Divide the logits by "
                "it.",
            ),
            (
                plain / temperature,
                "It divides the probabilities, and a row no longer sums to one. Divide "
                "the logits by the temperature.",
            ),
        ]
        name_mistake(value, guesses)
        wanted = torch.softmax(logits / temperature, -1)
        want_near(value, wanted, f"softmax(logits, {temperature:.3g})")


def survives_large_logits(softmax, generator):
    far = torch.tensor([10_000.0, -10_000, 0, 0, 0, 0, 0, 0])
    far = far[torch.randperm(8, generator=generator)]
    rows = torch.stack([ladders(generator) + 10_000, ladders(generator) - 10_000, far])
    for row in rows:
        value = finite(
            tried(softmax, row),
            row,
            f"Logits from {row.min():,.0f} to {row.max():,.0f} give NaN or infinity: e "
            "to the power of 10,000 is more than a computer can hold, and of -10,000 "
            "rounds to 0. Take the largest logit off first.",
        )
        near_enough(value, torch.softmax(row, -1), "softmax of large logits")
    value = finite(
        tried(softmax, rows),
        rows,
        "One row near 10,000 and one near -10,000 give NaN, though each alone is well. "
        "Did you take off the largest of the whole tensor? Take off each row's own.",
    )
    near_enough(value, torch.softmax(rows, -1), "softmax of large logits")
    for temperature in (0.5, 2.0):  # these two divide without rounding
        value = finite(
            tried(softmax, rows, temperature),
            rows,
            f"Large logits at temperature {temperature} give NaN. Take the largest off "
            "after the logits are divided, not the largest of the logits as they came.",
        )
        wanted = torch.softmax(rows / temperature, -1)
        near_enough(value, wanted, f"softmax(large logits, {temperature})")


def finite(value, logits: torch.Tensor, words: str) -> torch.Tensor:
    """The value, if it is a tensor of finite numbers; else the words, as a Mistake."""
    want_type(value, torch.Tensor, "softmax of large logits")
    if not value.isfinite().all():
        raise Mistake(words)
    want_tensor(value, logits.shape, "softmax of large logits")
    return value


def near_enough(value: torch.Tensor, wanted: torch.Tensor, what: str) -> None:
    """Near, as far as float32 can tell: near 20,000 it counts in steps of 0.002."""
    want_near(value, wanted, what, tolerance=5e-3)


def wrong_overflow(logits, temperature=1.0):
    powers = torch.exp(logits / temperature)
    return powers / powers.sum(-1, keepdim=True)


def wrong_mean_off(logits, temperature=1.0):
    scaled = logits / temperature
    return share(torch.exp(scaled - scaled.mean(-1, keepdim=True)))


def wrong_one_largest(logits, temperature=1.0):
    scaled = logits / temperature
    return share(torch.exp(scaled - scaled.max()))


def wrong_largest_too_early(logits, temperature=1.0):
    largest = logits.max(-1, keepdim=True).values
    return share(torch.exp(logits / temperature - largest))


def wrong_first_axis(logits, temperature=1.0):
    return torch.softmax(logits / temperature, 0)


def wrong_sum_of_all(logits, temperature=1.0):
    scaled = logits / temperature
    powers = torch.exp(scaled - scaled.max(-1, keepdim=True).values)
    return powers / powers.sum()


def wrong_sum_dropped(logits, temperature=1.0):
    powers = torch.exp(logits / temperature)
    return powers / powers.sum(-1)


def wrong_values_forgotten(logits, temperature=1.0):
    scaled = logits / temperature
    return share(torch.exp(scaled - scaled.max(-1, keepdim=True)))


def wrong_not_divided(logits, temperature=1.0):
    return torch.exp(logits / temperature)


def wrong_abs(logits, temperature=1.0):
    return share((logits / temperature).abs())


def wrong_no_power(logits, temperature=1.0):
    return share(logits / temperature)


def wrong_multiplies(logits, temperature=1.0):
    return torch.softmax(logits * temperature, -1)


def wrong_temperature_after(logits, temperature=1.0):
    return share(torch.exp(logits - logits.max(-1, keepdim=True).values) / temperature)


def wrong_probabilities_divided(logits, temperature=1.0):
    return torch.softmax(logits, -1) / temperature


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
            name="rows sum to one",
            points=1,
            proves="makes every row sum to one",
            hint="`powers.sum(-1, keepdim=True)` is one sum for each row.",
            run=rows_sum_to_one,
        ),
        Check(
            name="torch agrees",
            points=1,
            proves="gives the probabilities that torch gives",
            hint="`torch.exp(x)` is e to the power of each number in x.",
            run=same_as_torch,
        ),
        Check(
            name="temperature",
            points=1,
            proves="divides the logits by the temperature",
            hint="A high temperature brings the logits together, before the power.",
            run=temperature_divides,
        ),
        Check(
            name="large logits",
            points=2,
            proves="survives logits of 10,000 and -10,000",
            hint="Taking the same number off every logit of a row changes nothing in "
            "the result. Which number makes the largest power 1?",
            run=survives_large_logits,
        ),
    ),
    wrong=(
        Wrong("overflow", wrong_overflow, "Take the largest logit off"),
        Wrong("the mean taken off", wrong_mean_off, "Take the largest logit off"),
        Wrong("one largest for all", wrong_one_largest, "of the whole tensor"),
        Wrong("the largest too early", wrong_largest_too_early, "after the logits are"),
        Wrong("the first axis", wrong_first_axis, "along axis 0"),
        Wrong("the sum of everything", wrong_sum_of_all, "the sum over everything"),
        Wrong("the axis is dropped", wrong_sum_dropped, "keepdim=True"),
        Wrong("values forgotten", wrong_values_forgotten, "take .values"),
        Wrong("not divided", wrong_not_divided, "Divide the powers"),
        Wrong("abs for exp", wrong_abs, "absolute values"),
        Wrong("no power", wrong_no_power, "are shared out"),
        Wrong("multiplies", wrong_multiplies, "multiplies by the temperature"),
        Wrong("temperature after exp", wrong_temperature_after, "has no effect"),
        Wrong(
            "divided probabilities",
            wrong_probabilities_divided,
            "divides the probabilities",
        ),
    ),
)


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
