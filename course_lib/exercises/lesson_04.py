"""Exercises of lesson 04: one neuron, facts in an MLP, GELU, and crowded directions."""

import itertools
import math

import torch
from torch.nn import functional as F

from course_lib import gpt
from course_lib.exercises.legacy import (
    Check,
    Exercise,
    Mistake,
    Wrong,
    want_close,
    want_near,
    want_tensor,
    want_type,
)


def one_of(generator: torch.Generator, low: int, high: int) -> int:
    """A random whole number from low up to, but not, high."""
    return int(torch.randint(low, high, (1,), generator=generator))


def right_angles(generator: torch.Generator, channels: int) -> torch.Tensor:
    """Unit vectors, as many as there is room for, all at right angles: (C, C)."""
    noise = torch.randn(channels, channels, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(noise).Q.T.float()


# 04.and_gate ------------------------------------------------------------------------


def and_gate(count: int) -> tuple[torch.Tensor, float]:
    """The weight (count) and the bias of one neuron that fires if all inputs are 1."""
    return torch.ones(count), float(1 - count)


def neuron(gate, count: int) -> tuple[torch.Tensor, float]:
    """What a learner's function gives for this many inputs: weight (count) and bias."""
    value = gate(count)
    if type(value) is torch.Tensor:
        raise Mistake("It returns one tensor; a neuron is two: return weight, bias.")
    want_type(value, tuple, f"and_gate({count})")
    if len(value) != 2:
        raise Mistake(f"It returns {len(value)} things; two are wanted: weight, bias.")
    weight, bias = value
    if type(weight) in (int, float) and type(bias) is torch.Tensor:
        raise Mistake("The weight comes first, then the bias: return weight, bias.")
    want_type(weight, torch.Tensor, "The weight")
    if tuple(weight.shape) != (count,):
        raise Mistake(
            f"For {count} inputs the weight has shape {tuple(weight.shape)}. A neuron "
            f"has one weight for each input, in a row: ({count},)."
        )
    want_tensor(weight, (count,), "The weight")
    if isinstance(bias, torch.Tensor):
        raise Mistake("The bias is a tensor; turn it into a number with float(…).")
    bias = float(bias) if type(bias) is int else bias  # -2 holds back as well as -2.0
    want_type(bias, float, "The bias")
    return weight.detach().double().cpu(), bias


def fires(weight: torch.Tensor, bias: float, x: list[float]) -> float:
    """What comes out of one neuron."""
    return float(torch.relu(weight @ torch.tensor(x, dtype=torch.float64) + bias))


def some_counts(generator: torch.Generator) -> list[int]:
    """Numbers of inputs: the small ones, and a larger one that changes."""
    return [2, 3, 4, 5, one_of(generator, 6, 13)]


def fires_for_all(gate, generator):
    for count in some_counts(generator):
        weight, bias = neuron(gate, count)
        if not fires(weight, bias, [1.0] * count) > 1e-4:
            total = float(weight.sum()) + bias
            raise Mistake(
                f"All {count} inputs are 1, and it never fires: the weights add up to "
                f"{float(weight.sum()):.3g}, and the bias makes {total:.3g} of it. "
                "What is left must be above zero."
            )


def silent_when_one_is_missing(gate, generator):
    for count in (2, 3, 4, 5):
        weight, bias = neuron(gate, count)
        for x in itertools.product((0.0, 1.0), repeat=count):
            if not all(x) and not fires(weight, bias, list(x)) <= 1e-4:
                _name_leak(bias, [int(number) for number in x])
    count = some_counts(generator)[-1]
    weight, bias = neuron(gate, count)
    for missing in range(count):
        x = [float(place != missing) for place in range(count)]
        if not fires(weight, bias, x) <= 1e-4:
            raise Mistake(
                f"With {count} inputs it still fires when input {missing} is missing. "
                "The bias must depend on count, however large count is."
            )


def _name_leak(bias: float, x: list[int]) -> None:
    """Say why a neuron fires for x, some of whose inputs are 0."""
    if sum(x) == 0:
        raise Mistake(
            f"It fires for {x}, when nothing is there: its bias is {bias:.3g}. A bias "
            "holds a neuron back only if it is below zero."
        )
    if sum(x) == 1:
        raise Mistake(
            f"It fires for {x}, one input by itself: that is OR, any of them. For AND "
            "the bias must take away what the others could bring."
        )
    raise Mistake(
        f"With {len(x)} inputs it fires for {x}. It holds back one input, but not "
        f"{sum(x)}: the bias must depend on count."
    )


def fires_with_one(gate, generator):
    for count in some_counts(generator):
        weight, bias = neuron(gate, count)
        given = fires(weight, bias, [1.0] * count)
        shared_out = math.isclose(float(weight.sum()), 1, rel_tol=1e-3)
        if shared_out and math.isclose(given, 1 / count, rel_tol=1e-3):
            raise Mistake(
                f"All {count} inputs are 1, and it gives {given:.3g}, which is "
                f"1/{count}; it should be 1. Making weights and bias smaller makes "
                "what comes out smaller too."
            )
        if not abs(given - 1) <= 1e-4:
            raise Mistake(
                f"All {count} inputs are 1, and it gives {given:.3g}; it should be 1: "
                "weights and bias, all added up, must make 1."
            )


def wrong_or(count):
    return torch.ones(count), 0.0


def wrong_never(count):
    return torch.ones(count), -float(count)


def wrong_two_only(count):
    return torch.ones(count), -1.0


def wrong_positive(count):
    return torch.ones(count), float(count - 1)


def wrong_mean_of_inputs(count):
    return torch.ones(count) / count, 0.0


def wrong_all_shared_out(count):
    return torch.ones(count) / count, -(count - 1) / count


def wrong_half_way(count):
    return torch.ones(count), -(count - 0.5)


def wrong_weight_shape(count):
    return torch.ones(1, count), float(1 - count)


def wrong_bias_tensor(count):
    return torch.ones(count), torch.tensor(1.0 - count)


def wrong_order(count):
    return float(1 - count), torch.ones(count)


def wrong_weight_only(count):
    return torch.ones(count)


AND_GATE = Exercise(
    id="04.and_gate",
    title="a neuron that says AND",
    minutes=6,
    rule=(
        "Choose the weight and the bias of one neuron, `relu(weight · x + bias)`, "
        "that fires for “Michael” *and* “Jordan”, never for one alone. `x` holds "
        "`count` inputs (2 or more), each 0 or 1: if all are 1 the neuron gives 1 (to "
        "0.0001), if any is 0 it gives 0. Return `(weight, bias)`: a tensor of "
        "decimal numbers of shape `(count,)`, and a `float`."
    ),
    reference=and_gate,
    checks=(
        Check(
            name="fires for all",
            points=1,
            proves="fires when all inputs are there",
            hint="With all inputs 1, `weight · x` is the sum of the weights. How much "
            "of that may the bias take away?",
            run=fires_for_all,
        ),
        Check(
            name="silent when one is missing",
            points=2,
            proves="stays silent when any input is missing",
            hint="With weights of 1, one missing input leaves `count - 1`. What must "
            "the bias be, for the neuron to be silent then?",
            run=silent_when_one_is_missing,
        ),
        Check(
            name="gives 1",
            points=1,
            proves="gives exactly 1 when it fires",
            hint="Add all the weights and the bias: that sum should be 1.",
            run=fires_with_one,
        ),
    ),
    wrong=(
        Wrong("no bias", wrong_or, "that is OR"),
        Wrong("too much held back", wrong_never, "never fires"),
        Wrong("a bias for two inputs", wrong_two_only, "must depend on count"),
        Wrong("a bias above zero", wrong_positive, "only if it is below zero"),
        Wrong("the mean of the inputs", wrong_mean_of_inputs, "that is OR"),
        Wrong("all of it divided by count", wrong_all_shared_out, "smaller too"),
        Wrong("a bias half way", wrong_half_way, "must make 1"),
        Wrong("a weight of another shape", wrong_weight_shape, "one weight for each"),
        Wrong("a tensor for a bias", wrong_bias_tensor, "The bias is a tensor"),
        Wrong("the bias first", wrong_order, "The weight comes first"),
        Wrong("the weight alone", wrong_weight_only, "return weight, bias"),
    ),
)


# 04.mlp -----------------------------------------------------------------------------


def mlp(
    x: torch.Tensor, up: torch.Tensor, bias: torch.Tensor, down: torch.Tensor
) -> torch.Tensor:
    """Ask every vector all questions, cut off below zero, add up the answers.

    x (B, T, C), up (M, C), bias (M), down (C, M) → (B, T, C).
    """
    questions = x @ up.T + bias  # (B, T, M)
    return torch.relu(questions) @ down.T


def some_mlp(generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """x (2, 3, 4), up (6, 4), bias (6), down (4, 6)."""
    shapes = ((2, 3, 4), (6, 4), (6,), (4, 6))
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def ask_each(x, up, bias, down, cut=True, shift=True):
    """The same by loops, in float64; without the cut or the bias if asked."""
    x, up, bias, down = (part.double() for part in (x, up, bias, down))
    output = torch.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            for m in range(len(up)):
                fires = float(up[m] @ x[b, t]) + float(bias[m]) * shift
                output[b, t] += (max(fires, 0.0) if cut else fires) * down[:, m]
    return output


def run_mlp(mlp_, parts):
    try:
        return mlp_(*(part.clone() for part in parts))
    except RuntimeError as error:
        if "shape" in str(error) or "size" in str(error):
            raise Mistake(
                "Two shapes don't fit. x is (B, T, C) and up is (M, C): turn up round, "
                "x @ up.T, and down in the same way; bias (M) comes before down."
            ) from None
        raise


def asks_and_answers(mlp_, generator):
    parts = some_mlp(generator)
    value = run_mlp(mlp_, parts)
    want_tensor(value, (2, 3, 4), "mlp(x, up, bias, down)")
    x, up, bias, down = parts
    likely = (
        (ask_each(*parts, cut=False), "Nothing is cut off: torch.relu is missing."),
        (ask_each(*parts, shift=False), "The bias is missing."),
        (
            torch.relu(ask_each(*parts)).double(),
            "The answer itself is cut off below zero, too. Only the questions are.",
        ),
        (
            torch.relu(ask_each(*parts, cut=False)).double(),
            "You cut off after down; the cut comes between up and down.",
        ),
        (
            (torch.relu(x @ up.T) + bias).double() @ down.T.double(),
            "The bias comes after the cut; it belongs before, to the question.",
        ),
        (
            ask_each(*parts) + x.double(),
            "x is added to the answer. That is the block's work, in lesson 05.",
        ),
        (
            F.gelu((x @ up.T + bias).double()) @ down.T.double(),
            "The switch here is ReLU, which cuts off at zero; yours is GELU.",
        ),
    )
    right = ask_each(*parts)
    for wrong, words in likely:
        near = torch.allclose(value.double(), wrong, atol=1e-4)
        if near and not torch.allclose(wrong, right, atol=1e-3):
            raise Mistake(words)
    want_near(value, right, "mlp(x, up, bias, down)")


def by_themselves(mlp_, generator):
    x, up, bias, down = some_mlp(generator)
    whole = run_mlp(mlp_, (x, up, bias, down))
    want_tensor(whole, (2, 3, 4), "mlp(x, up, bias, down)")
    alone = run_mlp(mlp_, (x[:, 1:2], up, bias, down))
    want_tensor(alone, (2, 1, 4), "mlp of a single position")
    if not torch.allclose(whole[:, 1:2], alone, atol=1e-4):
        raise Mistake(
            "A position's answer depends on the others. Each vector is asked by itself: "
            "no sum or mean over positions."
        )


def silent_below_zero(mlp_, generator):
    x, up, bias, down = some_mlp(generator)
    value = run_mlp(mlp_, (x, up, bias - 100, down))
    want_tensor(value, (2, 3, 4), "mlp(x, up, bias, down)")
    if float(value.abs().max()) > 1e-3:
        raise Mistake(
            "With a bias of -100 no neuron fires, and the answer should be zeros. Add the "
            "bias, then cut off what is below zero."
        )


def wrong_no_cut(x, up, bias, down):
    return (x @ up.T + bias) @ down.T


def wrong_no_bias(x, up, bias, down):
    return torch.relu(x @ up.T) @ down.T


def wrong_cut_last(x, up, bias, down):
    return torch.relu((x @ up.T + bias) @ down.T)


def wrong_bias_late(x, up, bias, down):
    return (torch.relu(x @ up.T) + bias) @ down.T


def wrong_not_turned(x, up, bias, down):
    return torch.relu(x @ up + bias) @ down


def wrong_adds_x(x, up, bias, down):
    return x + torch.relu(x @ up.T + bias) @ down.T


def wrong_mean(x, up, bias, down):
    x = x.mean(1, keepdim=True).expand_as(x)
    return torch.relu(x @ up.T + bias) @ down.T


def wrong_gelu_switch(x, up, bias, down):
    return F.gelu(x @ up.T + bias) @ down.T


def wrong_only_up(x, up, bias, down):
    return torch.relu(x @ up.T + bias)


MLP = Exercise(
    id="04.mlp",
    title="ask, cut off, answer",
    minutes=8,
    rule=(
        "Write the whole MLP with ReLU as its switch. `x` is (B, T, C); each row of `up` "
        "(M, C) is a question, `bias` (M) is added to it, each column of `down` (C, M) is "
        "an answer. Ask every vector all M questions, cut off what is below zero, add up "
        "the answers, each as often as its neuron fires. Return (B, T, C)."
    ),
    reference=mlp,
    checks=(
        Check(
            name="asks and answers",
            points=2,
            proves="gives what loops over every neuron give",
            hint="`x @ up.T` asks every vector all questions: (B, T, M).",
            run=asks_and_answers,
        ),
        Check(
            name="each by itself",
            points=1,
            proves="asks each position by itself",
            hint="Nothing is summed over B or T.",
            run=by_themselves,
        ),
        Check(
            name="silent below zero",
            points=1,
            proves="is silent where no neuron fires",
            hint="`torch.relu(…)` comes after the bias and before `down`.",
            run=silent_below_zero,
        ),
    ),
    wrong=(
        Wrong("no cut", wrong_no_cut, "torch.relu is missing"),
        Wrong("no bias", wrong_no_bias, "The bias is missing"),
        Wrong("the cut last", wrong_cut_last, "between up and down"),
        Wrong("the bias late", wrong_bias_late, "after the cut"),
        Wrong("not turned", wrong_not_turned, "turn up round"),
        Wrong("x added", wrong_adds_x, "the block's work"),
        Wrong("the mean", wrong_mean, "it should be"),
        Wrong("GELU", wrong_gelu_switch, "yours is GELU"),
        Wrong("only up", wrong_only_up, "has shape"),
    ),
)


# 04.store_facts ---------------------------------------------------------------------


def store_facts(
    keys: torch.Tensor, values: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An MLP that answers key i with value i, both (N, C): up, bias and down.

    up (N, C), bias (N), down (C, N); it is read with down @ relu(up @ x + bias).
    """
    bias = torch.full((len(keys),), -0.5)  # (N): half a key is not enough
    return keys, bias, 2 * values.T  # what the bias took away, down gives back


def some_facts(generator: torch.Generator):
    """Keys (N, C), values (N, C), and vectors at right angles to all keys (…, C)."""
    count = one_of(generator, 3, 6)
    channels = count + one_of(generator, 3, 7)
    basis = right_angles(generator, channels)
    values = torch.randn(count, channels, generator=generator)
    return basis[:count].clone(), values, basis[count:].clone()


def built(store, keys: torch.Tensor, values: torch.Tensor):
    """The up (N, C), bias (N) and down (C, N) that a learner's function gives."""
    count, channels = keys.shape
    value = store(keys.clone(), values.clone())
    want_type(value, tuple, "store_facts(keys, values)")
    if len(value) != 3:
        raise Mistake(
            f"It returns {len(value)} things; three are wanted: up, bias, down."
        )
    up, bias, down = value
    want_type(up, torch.Tensor, "up")
    if tuple(up.shape) == (channels, count):
        raise Mistake(
            f"up has shape {tuple(up.shape)}: is it transposed, or in the place of "
            f"down? Each neuron is a row of up: {(count, channels)}."
        )
    if tuple(up.shape) in ((1, channels), (channels,)):
        raise Mistake(
            "up holds a single neuron, which can't tell the keys apart. Give one "
            f"neuron to each fact: {(count, channels)}."
        )
    want_tensor(up, (count, channels), "up")
    if type(bias) in (int, float) or (
        type(bias) is torch.Tensor and bias.numel() == 1 != count
    ):
        raise Mistake(f"bias is one number; give one bias to each neuron: ({count},).")
    want_tensor(bias, (count,), "bias")
    want_type(down, torch.Tensor, "down")
    if tuple(down.shape) == (count, channels):
        raise Mistake(
            f"down has shape {tuple(down.shape)}: it is transposed. What a neuron "
            f"answers is a column of down, so it is {(channels, count)}."
        )
    want_tensor(down, (channels, count), "down")
    return tuple(part.detach().double().cpu() for part in (up, bias, down))


def answers(mlp, x: torch.Tensor) -> torch.Tensor:
    """What an MLP gives for each row: (…, C) → (…, C)"""
    up, bias, down = mlp
    return torch.relu(x.double() @ up.T + bias) @ down.T


def is_silent(given: torch.Tensor) -> bool:
    return bool((given.abs() <= 1e-3).all())


def has_the_shapes(store, generator):
    for _ in range(2):
        keys, values, _ = some_facts(generator)
        built(store, keys, values)


def reads_back(store, generator):
    for _ in range(2):
        keys, values, _ = some_facts(generator)
        mlp = built(store, keys, values)
        given = answers(mlp, keys)
        if bool(((given - values).abs() <= 1e-3 * values.abs().clamp(min=1)).all()):
            continue
        _name_misreading(mlp, given, keys, values)
        want_near(given, values, "Asked for each key, what it answers", 1e-3)


def _name_misreading(mlp, given, keys, values) -> None:
    """Say why the answers (N, C) are not the values, if the reason can be told."""
    if not is_silent(answers(mlp, torch.zeros_like(keys))):
        raise Mistake(
            "It answers even when nothing was asked: x = 0 fires its neurons. A bias "
            "keeps a neuron silent only if it is below zero."
        )
    if bool((F.cosine_similarity(mlp[0], values.double()).abs() > 0.999).all()):
        raise Mistake(
            "up holds the values. It is the other way round: up asks, so it holds the "
            "keys; down answers, so it holds the values."
        )
    if is_silent(given):
        raise Mistake(
            "Nothing ever fires: every key gets zeros. A key times itself is 1; the "
            "bias must leave some of that."
        )
    if is_silent(given - given[0]):
        raise Mistake(
            "Every key gets the same answer. A neuron must know one key, not all of "
            "them."
        )
    ratio = float((given * values).sum() / values.square().sum())
    if is_silent(given - ratio * values):
        raise Mistake(
            f"Each value comes out {ratio:.3g} times as large as it should. For its "
            "own key, a neuron gives up · key + bias; down must make a whole value of "
            "that."
        )


def silent_when_not_asked(store, generator):
    for _ in range(2):
        keys, values, others = some_facts(generator)
        mlp = built(store, keys, values)
        if not is_silent(answers(mlp, keys / 2)):
            raise Mistake(
                "Half a key gets an answer, and should get zeros. The bias has to hold "
                "the neuron back until more than half of the key is there."
            )
        mixes = torch.randn(4, len(others), generator=generator) @ others  # (4, C)
        if not is_silent(answers(mlp, mixes)):
            raise Mistake(
                "It answers a vector at right angles to all keys, of which it knows "
                "nothing. Such a vector should fire no neuron."
            )


def several_at_once(store, generator):
    keys, values, _ = some_facts(generator)
    mlp = built(store, keys, values)
    for i, j in itertools.combinations(range(len(keys)), 2):
        given = answers(mlp, keys[i] + keys[j])
        if is_silent(given):
            raise Mistake(
                f"Asked for facts {i} and {j} at once, it gives nothing: the neurons "
                "shut each other out. Let each one look at its own key only."
            )
        wanted = values[i] + values[j]
        want_near(
            given, wanted, f"Asked for facts {i} and {j} at once, its answer", 1e-3
        )


def _bias(keys, number=-0.5):
    return torch.full((len(keys),), number)


def wrong_down_as_it_is(keys, values):
    return keys, _bias(keys), 2 * values


def wrong_up_transposed(keys, values):
    return keys.T, _bias(keys), 2 * values.T


def wrong_one_neuron(keys, values):
    up = keys.sum(0, keepdim=True)
    return up, torch.tensor([-0.5]), 2 * values.sum(0)[:, None]


def wrong_one_bias(keys, values):
    return keys, -0.5, 2 * values.T


def wrong_no_bias(keys, values):
    return keys, _bias(keys, 0.0), values.T


def wrong_not_doubled(keys, values):
    return keys, _bias(keys), values.T


def wrong_swapped(keys, values):
    return values, _bias(keys), 2 * keys.T


def wrong_nothing_fires(keys, values):
    return keys, _bias(keys, -1.0), 2 * values.T


def wrong_positive_bias(keys, values):
    return keys, _bias(keys, 0.5), values.T


def wrong_every_key(keys, values):
    return keys.sum(0).expand(keys.shape), _bias(keys), 2 * values.T


def wrong_shut_out(keys, values):
    return 2 * keys - keys.sum(0), _bias(keys), 2 * values.T


STORE_FACTS = Exercise(
    id="04.store_facts",
    title="store facts by hand",
    minutes=15,
    rule=(
        "Write an MLP without training. `keys` (N, C) are vectors of length one at right "
        "angles to each other, `values` (N, C) is what each should call up, and N is "
        "less than C. Return `(up, bias, down)`, tensors of shapes (N, C), (N,) and "
        "(C, N). To 0.001, `down @ relu(up @ x + bias)` gives value i for key i, the "
        "sum of two values for the sum of their keys, and zeros both for half a key "
        "(`0.5 * keys[i]`) and for any x at right angles to all keys."
    ),
    reference=store_facts,
    checks=(
        Check(
            name="the shapes",
            points=1,
            proves="has one neuron for each fact",
            hint="Each fact is one neuron: a row of `up`, a number of `bias`, a column "
            "of `down`.",
            run=has_the_shapes,
        ),
        Check(
            name="reads each fact back",
            points=2,
            proves="answers each key with its value",
            hint="A key times itself is 1, times any other key 0. What is left after "
            "the bias, and by how much must `down` make it larger?",
            run=reads_back,
        ),
        Check(
            name="silent when not asked",
            points=1,
            proves="stays silent where it knows nothing",
            hint="Half a key times the key is 0.5. Which bias brings that down to 0?",
            run=silent_when_not_asked,
        ),
        Check(
            name="several at once",
            points=1,
            proves="answers two keys at once with both values",
            hint="Neuron i should look at key i, and at nothing else.",
            run=several_at_once,
        ),
    ),
    wrong=(
        Wrong("down not transposed", wrong_down_as_it_is, "it is transposed"),
        Wrong("up transposed", wrong_up_transposed, "Each neuron is a row of up"),
        Wrong("one neuron for all", wrong_one_neuron, "one neuron to each fact"),
        Wrong("one bias for all", wrong_one_bias, "one bias to each neuron"),
        Wrong("a bias of zero", wrong_no_bias, "Half a key gets an answer"),
        Wrong("not doubled", wrong_not_doubled, "0.5 times as large"),
        Wrong("values up, keys down", wrong_swapped, "It is the other way round"),
        Wrong("a bias of -1", wrong_nothing_fires, "Nothing ever fires"),
        Wrong("a bias above zero", wrong_positive_bias, "even when nothing was asked"),
        Wrong("every neuron knows all", wrong_every_key, "the same answer"),
        Wrong("shut each other out", wrong_shut_out, "shut each other out"),
    ),
)


# 04.gelu ----------------------------------------------------------------------------


def switched(gelu, x: torch.Tensor) -> torch.Tensor:
    """What a learner's function gives for x, of the same shape."""
    try:
        value = gelu(x)
    except (RuntimeError, TypeError, ValueError) as error:
        if "convert" not in str(error):
            raise
        raise Mistake(
            f"It can't take x of shape {tuple(x.shape)}: math.tanh and float take a "
            "single number. torch.tanh takes a tensor of any shape at once."
        ) from None
    want_tensor(value, tuple(x.shape), f"gelu of a tensor of shape {tuple(x.shape)}")
    return value.detach().cpu()


def follows_the_curve(gelu, generator):
    x = 12 * torch.rand(200, generator=generator) - 6  # from -6 to 6
    value, right = switched(gelu, x.clone()), F.gelu(x, approximate="tanh")
    gap = (value - right).abs()
    if bool((gap <= 1e-3).all()):  # the exact GELU is less than 0.0005 away
        return
    for mistaken, words in MISTAKEN_GELUS:
        if torch.allclose(value.float(), mistaken(x.clone()), atol=1e-4):
            raise Mistake(words)
    worst = int(gap.argmax())
    raise Mistake(
        f"gelu of {x[worst]:.2f} is {value[worst]:.4g}; it should be "
        f"{right[worst]:z.4g}."
    )


def dips_below_zero(gelu, generator):
    x = -0.3 - 1.7 * torch.rand(20, generator=generator)  # from -2 to -0.3
    for number, out in zip(x.tolist(), switched(gelu, x.clone()).tolist()):
        if not out < 0:
            raise Mistake(
                f"gelu of {number:.2f} is {out:.4g}; a little below zero it dips, to "
                "less than 0. ReLU does not."
            )
    x = -5 - torch.rand(20, generator=generator)  # from -6 to -5
    for number, out in zip(x.tolist(), switched(gelu, x.clone()).tolist()):
        if not abs(out) <= 1e-3:
            raise Mistake(
                f"gelu of {number:.2f} is {out:.4g}; far below zero the switch is "
                "off: 0."
            )


def takes_any_shape(gelu, generator):
    x = torch.randn(2, one_of(generator, 3, 6), 4, generator=generator)  # (B, T, C)
    before = x.clone()
    value = switched(gelu, x)
    if not torch.equal(x, before):
        raise Mistake(
            "It changed x itself, which others may still need. Make a new tensor: "
            "x = x * 2, never x *= 2 or x[…] = …"
        )
    want_near(value, F.gelu(before, approximate="tanh"), "gelu of (B, T, C)", 1e-3)


def _tanh_part(x):
    return torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))


def wrong_relu(x):
    return torch.relu(x)


def wrong_silu(x):
    return x * torch.sigmoid(x)


def wrong_not_halved(x):
    return x * (1 + _tanh_part(x))


def wrong_square(x):
    return x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**2)))


def wrong_no_root(x):
    return x / 2 * (1 + torch.tanh(x + 0.044715 * x**3))


def wrong_root_of_two_only(x):
    return x / 2 * (1 + torch.tanh(math.sqrt(2) / math.pi * (x + 0.044715 * x**3)))


def wrong_no_cube(x):
    return x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * x))


def wrong_no_one(x):
    return x / 2 * _tanh_part(x)


def wrong_no_x(x):
    return (1 + _tanh_part(x)) / 2


def wrong_in_place(x):
    x *= (1 + _tanh_part(x)) / 2
    return x


def wrong_number_by_number(x):
    root = math.sqrt(2 / math.pi)
    numbers = [float(v) for v in x]
    return torch.tensor(
        [v / 2 * (1 + math.tanh(root * (v + 0.044715 * v**3))) for v in numbers]
    )


# Curves that a slip gives, each with the words for it.
MISTAKEN_GELUS = (
    (wrong_relu, "That is ReLU, a hard switch. GELU is soft: x/2 · (1 + tanh(…))."),
    (wrong_silu, "That is SiLU, x · sigmoid(x): a soft switch too, but another one."),
    (wrong_not_halved, "It is twice too large: the ½ is missing, x/2 · (1 + …)."),
    (wrong_square, "It has x² where x³ belongs: 0.044715 x³."),
    (wrong_no_root, "The factor √(2/π) in front of the bracket is missing."),
    (
        wrong_root_of_two_only,
        "That takes the root of 2 alone: √(2/π) is the root of the whole fraction.",
    ),
    (wrong_no_cube, "The term 0.044715 x³ inside the bracket is missing."),
    (wrong_no_one, "The 1 in 1 + tanh(…) is missing, so the switch never closes."),
    (wrong_no_x, "That is the switch alone, from 0 to 1; multiply x by it."),
)


GELU = Exercise(
    id="04.gelu",
    title="a soft switch",
    minutes=6,
    rule=(
        "Write GELU as GPT-2 has it: x/2 · (1 + "
        "tanh(√(2/π) · (x + 0.044715 x³))), for every number by itself. `x` is a "
        "tensor of any shape; return a new tensor of that shape and leave `x` as it "
        "is. (`torch.tanh` is a smooth step from -1 to 1. A *standard normal* number is "
        "a random one from the bell curve around 0, as `torch.randn` draws them.) It is "
        "held against torch's own, to 0.001. `F.gelu` would do it in one call; try the formula first."
    ),
    reference=gpt.gelu,
    checks=(
        Check(
            name="follows the curve",
            points=2,
            proves="gives torch's numbers from -6 to 6",
            hint="Build it from the inside out: the bracket, times "
            "`math.sqrt(2 / math.pi)`, `torch.tanh`, plus 1, times half of x.",
            run=follows_the_curve,
        ),
        Check(
            name="dips below zero",
            points=1,
            proves="dips a little below zero, and is off far below it",
            hint="Try x = -1: a small number below zero should come out. At x = -6, "
            "1 + tanh(…) should be 0.",
            run=dips_below_zero,
        ),
        Check(
            name="any shape",
            points=1,
            proves="takes a tensor of any shape and leaves it as it was",
            hint="`*`, `+`, `**` and `torch.tanh` work on every number of a tensor at "
            "once, and each makes a new one.",
            run=takes_any_shape,
        ),
    ),
    wrong=(
        Wrong("ReLU", wrong_relu, "That is ReLU"),
        Wrong("SiLU", wrong_silu, "That is SiLU"),
        Wrong("not halved", wrong_not_halved, "the ½ is missing"),
        Wrong("a square", wrong_square, "x² where x³ belongs"),
        Wrong("no root", wrong_no_root, "√(2/π) in front of the bracket is missing"),
        Wrong("the root of 2 alone", wrong_root_of_two_only, "the whole fraction"),
        Wrong("no cube", wrong_no_cube, "The term 0.044715 x³"),
        Wrong("no 1 +", wrong_no_one, "The 1 in 1 + tanh(…) is missing"),
        Wrong("the switch alone", wrong_no_x, "multiply x by it"),
        Wrong("in place", wrong_in_place, "It changed x itself"),
        Wrong("number by number", wrong_number_by_number, "take a single number"),
    ),
)


# 04.worst_overlap -------------------------------------------------------------------


def worst_overlap(vectors: torch.Tensor) -> float:
    """The largest |cosine| between two rows of (N, C); 0 if all are at right angles."""
    unit = vectors / vectors.norm(dim=-1, keepdim=True)
    overlap = (unit @ unit.T).abs()  # (N, N)
    return float(overlap.fill_diagonal_(0).max())  # a row and itself: always 1


ROWS, CHANNELS = 6, 8


def crowd(generator: torch.Generator, cosine: float) -> torch.Tensor:
    """Rows (6, 8) of different lengths, almost at right angles but for two.

    Those two have the given cosine, never stand side by side, and are not the first.
    """
    unit = right_angles(generator, CHANNELS)
    rows = unit[:ROWS] + 0.1 * torch.randn(ROWS, CHANNELS, generator=generator)
    rows = F.normalize(rows, dim=-1)
    first = one_of(generator, 1, ROWS - 2)
    second = one_of(generator, first + 2, ROWS)
    aside = unit[ROWS] - (unit[ROWS] @ rows[first]) * rows[first]
    sine = math.sqrt(1 - cosine**2)
    rows[second] = cosine * rows[first] + sine * F.normalize(aside, dim=-1)
    return rows * (0.5 + 2 * torch.rand(ROWS, 1, generator=generator))


def some_cosine(generator: torch.Generator) -> float:
    return 0.75 + 0.2 * float(torch.rand(1, generator=generator))


def by_pairs(vectors: torch.Tensor) -> list[float]:
    """The cosine of every pair of rows, one pair at a time."""
    pairs = itertools.combinations(vectors.double(), 2)
    return [float(F.cosine_similarity(a, b, dim=0)) for a, b in pairs]


def measured(overlap, vectors: torch.Tensor):
    """What a learner's function gives; a whole 0 is what `worst = 0` leaves."""
    try:
        value = overlap(vectors.clone())
    except RuntimeError as error:
        if "cannot be multiplied" not in str(error):
            raise
        raise Mistake(
            f"{tuple(vectors.shape)} times {tuple(vectors.shape)} does not fit. Row "
            "against row is unit @ unit.T, with the second one transposed."
        ) from None
    return 0.0 if type(value) is int and value == 0 else value


def finds_the_largest(overlap, generator):
    for _ in range(3):
        vectors = crowd(generator, some_cosine(generator))
        value = measured(overlap, vectors)
        if type(value) is float:
            _name_overlap(value, vectors)
        wanted = max(abs(cosine) for cosine in by_pairs(vectors))
        want_close(value, wanted, f"worst_overlap of {ROWS} vectors")


def _name_overlap(value: float, vectors: torch.Tensor) -> None:
    """Say which slip gives this value, if it is wrong and the slip is known."""
    sizes = [abs(cosine) for cosine in by_pairs(vectors)]
    if math.isclose(value, max(sizes), rel_tol=1e-4):
        return
    for mistaken, words in MISTAKEN_OVERLAPS:
        if math.isclose(value, mistaken(vectors.clone()), rel_tol=1e-4):
            raise Mistake(words)
    if any(math.isclose(value, size, rel_tol=1e-4) for size in sizes):
        raise Mistake(
            f"It says {value:.3f}, and two other rows overlap by {max(sizes):.3f}: it "
            "has not met them. Compare every row with every other, not only with the "
            "next one or the first."
        )


def opposite_counts(overlap, generator):
    vectors = crowd(generator, -some_cosine(generator))
    wanted = max(abs(cosine) for cosine in by_pairs(vectors))
    value = measured(overlap, vectors)
    if type(value) is float and math.isclose(value, -wanted, rel_tol=1e-4):
        raise Mistake(f"It says {value:.3f}: the right pair, with its sign. Use abs().")
    if type(value) is float and value <= max(by_pairs(vectors)) + 1e-4:
        raise Mistake(
            f"Two rows have cosine {-wanted:.3f}, and it says {value:.3f}: it misses "
            "vectors that point in opposite directions. They overlap too: abs()."
        )
    want_close(value, wanted, f"worst_overlap of rows with cosine {-wanted:.3f}")
    vectors = crowd(generator, 0.5)
    vectors[-1] = 2 * vectors[0]
    value = measured(overlap, vectors)
    if type(value) is float and value < 0.99:
        raise Mistake(
            f"Two rows point exactly the same way, and it says {value:.3f}; it should "
            "be 1. Leave the diagonal out by its place, not by its value."
        )
    want_close(value, 1.0, "worst_overlap of two rows that point the same way")


def right_angles_give_zero(overlap, generator):
    lengths = 0.5 + 2 * torch.rand(CHANNELS, 1, generator=generator)
    vectors = (right_angles(generator, CHANNELS) * lengths)[:ROWS]
    value = measured(overlap, vectors)
    if type(value) is float and math.isclose(value, 1.0, abs_tol=1e-4):
        raise Mistake(
            "All rows are at right angles, and it says 1: it compares each row with "
            "itself."
        )
    want_close(value, 0.0, "worst_overlap of rows that are all at right angles")
    value = measured(overlap, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 2.0]]))
    want_close(value, 0.0, "worst_overlap of two rows at right angles")


def _cosines(vectors):
    unit = F.normalize(vectors, dim=-1)
    return unit @ unit.T  # (N, N)


def _largest(products):
    return float(products.abs().fill_diagonal_(0).max())


def wrong_diagonal(vectors):
    return float(_cosines(vectors).abs().max())


def wrong_no_abs(vectors):
    return float(_cosines(vectors).fill_diagonal_(0).max())


def wrong_signed(vectors):
    cosines = _cosines(vectors).fill_diagonal_(0).flatten()
    return float(cosines[cosines.abs().argmax()])


def wrong_lengths(vectors):
    return _largest(vectors @ vectors.T)


def wrong_one_length(vectors):
    unit = vectors / vectors.norm()
    return _largest(unit @ unit.T)


def wrong_axis(vectors):
    unit = vectors / vectors.norm(dim=0)
    return _largest(unit @ unit.T)


def wrong_columns(vectors):
    return _largest(_cosines(vectors.T))


def wrong_mean_overlap(vectors):
    count = len(vectors)
    return float(
        _cosines(vectors).abs().fill_diagonal_(0).sum() / (count * (count - 1))
    )


def wrong_smallest(vectors):
    return float(_cosines(vectors).abs().min())


def wrong_neighbours(vectors):
    return float(F.cosine_similarity(vectors[:-1], vectors[1:]).abs().max())


def wrong_first_row(vectors):
    return float(F.cosine_similarity(vectors[0], vectors[1:]).abs().max())


def wrong_by_value(vectors):
    cosines = _cosines(vectors).abs()
    return float(cosines[cosines < 0.999].max())


def wrong_tensor(vectors):
    return _cosines(vectors).abs().fill_diagonal_(0).max()


def wrong_not_transposed(vectors):
    unit = F.normalize(vectors, dim=-1)
    return _largest(unit @ unit)


# Numbers that a slip gives, each with the words for it.
MISTAKEN_OVERLAPS = (
    (
        wrong_diagonal,
        "It says 1: the diagonal is still in. Each row overlaps fully with itself; "
        "compare two different rows only.",
    ),
    (
        wrong_lengths,
        "Those are dot products: longer rows give more. Divide each row by its length.",
    ),
    (
        wrong_one_length,
        "It divides all rows by one number, the length of the whole table. Each row "
        "has a length of its own: norm(dim=-1, keepdim=True).",
    ),
    (
        wrong_axis,
        "It divides the columns by their lengths. The vectors are the rows: "
        "norm(dim=-1, keepdim=True).",
    ),
    (wrong_columns, "It compares columns; the vectors are the rows: unit @ unit.T."),
    (wrong_mean_overlap, "That is the mean overlap; the largest is wanted."),
    (wrong_smallest, "That is the smallest overlap; the largest is wanted."),
)


WORST_OVERLAP = Exercise(
    id="04.worst_overlap",
    title="how crowded is it?",
    minutes=8,
    rule=(
        "How far from right angles are the two closest directions? `vectors` (N, C) "
        "holds two or more rows of any length, none of them all zeros. Take the "
        "cosine of every pair of rows, never of a row with itself, and return the "
        "largest absolute value, as a `float`: 0 if all stand at right "
        "angles, 1 if two rows point the same way or in opposite directions."
    ),
    reference=worst_overlap,
    checks=(
        Check(
            name="finds the largest",
            points=2,
            proves="finds the largest cosine of any two rows, whatever their lengths",
            hint="Divide each row by its length: `vectors.norm(dim=-1, keepdim=True)` is "
            "(N, 1), one for each row. Then `unit @ unit.T` (N, N) holds the cosine of every "
            "pair, and on its diagonal each row meets itself.",
            run=finds_the_largest,
        ),
        Check(
            name="same or opposite",
            points=1,
            proves="counts opposite directions as it counts equal ones",
            hint="A cosine of -0.9 is as far from a right angle as one of 0.9. And "
            "what if a row stands there twice?",
            run=opposite_counts,
        ),
        Check(
            name="right angles",
            points=1,
            proves="says 0 where all stand at right angles",
            hint="If it says 1 for vectors at right angles, look at the diagonal.",
            run=right_angles_give_zero,
        ),
    ),
    wrong=(
        Wrong("the diagonal left in", wrong_diagonal, "the diagonal is still in"),
        Wrong("opposite missed", wrong_no_abs, "point in opposite directions"),
        Wrong("the right pair's sign", wrong_signed, "with its sign"),
        Wrong("dot products", wrong_lengths, "Those are dot products"),
        Wrong("one length for all", wrong_one_length, "divides all rows by one number"),
        Wrong("lengths of the columns", wrong_axis, "divides the columns"),
        Wrong("columns", wrong_columns, "It compares columns"),
        Wrong("the mean", wrong_mean_overlap, "That is the mean"),
        Wrong("the smallest", wrong_smallest, "That is the smallest"),
        Wrong("neighbours only", wrong_neighbours, "every row with every other"),
        Wrong("the first row only", wrong_first_row, "every row with every other"),
        Wrong("left out by value", wrong_by_value, "by its place"),
        Wrong("a tensor", wrong_tensor, "is a tensor; turn it into a number"),
        Wrong("not transposed", wrong_not_transposed, "does not fit"),
    ),
)

EXERCISES = (AND_GATE, GELU, MLP, STORE_FACTS, WORST_OVERLAP)
