"""Exercises of lesson 04: one neuron, facts in an MLP, GELU, and crowded directions."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from course_lib import gpt
from course_lib.exercises.compare import a, shown
from course_lib.exercises.form import (
    agrees,
    instead,
    mistakes,
    pick,
    tenths,
    want,
    whole,
)
from course_lib.exercises.kinds import Check, Exercise, Mistake, Wrong
from course_lib.exercises.wants import want_tensor, want_type


def used(
    use: Callable, oracle: Callable, cases: Callable, wrong: tuple[Wrong, ...], **more
) -> Callable[[Callable, torch.Generator], None]:
    """Make a check on what can be done with what an answer builds: use(answer, *inputs)."""
    wrong = tuple(replace(one, answer=partial(use, one.answer)) for one in wrong)
    check = agrees(oracle, cases, wrong, **more)
    return lambda answer, generator: check(partial(use, answer), generator)


def at_right_angles(generator: torch.Generator, channels: int) -> torch.Tensor:
    """Unit vectors at right angles, as many as there is room for, one decimal: (C, C)."""
    rows = torch.eye(channels)
    rows[:2, :2] = torch.tensor([[0.6, 0.8], [-0.8, 0.6]])
    rows = rows[:, torch.randperm(channels, generator=generator)]
    return rows * tenths(generator, channels, 1).sign() + 0.0  # no -0.0


# 04.and_gate ------------------------------------------------------------------------


def and_gate(count: int) -> tuple[torch.Tensor, float]:
    """The weight (count) and the bias of one neuron that fires if all inputs are 1."""
    return torch.ones(count), float(1 - count)


WEIGHT, BIAS = "torch.ones(count)", "float(1 - count)"
NEVER = (
    "With all inputs 1 it never fires: the bias takes away all that the weights bring. What "
    "is left must be above zero."
)
NOT_ONE = "All inputs are 1, and weights and bias, all added up, must make 1."
LEAKS = (  # with no input that is 1, with one, with more
    "It fires when nothing is there. A bias holds a neuron back only if it is below zero.",
    "One input by itself fires it: that is OR, any of them. For AND the bias must take away "
    "what the others could bring.",
    "It holds back one input, but not several: the bias must depend on count, however large "
    "count is.",
)
ONE_EACH = "A neuron has one weight for each input, in a row: (count,)."

AND_MISTAKES = mistakes(
    and_gate,
    ("no bias", LEAKS[1], (BIAS, "0.0")),
    ("the mean of the inputs", LEAKS[1], (WEIGHT, "torch.ones(count) / count"), (BIAS, "0.0")),
    ("all held back", NEVER, (BIAS, "float(-count)")),
    ("a bias for two inputs", LEAKS[2], (BIAS, "-1.0")),
    ("a bias above zero", LEAKS[0], (BIAS, "float(count - 1)")),
    ("all of it divided by count",
     "All inputs are 1, and it gives 1 / count; it should be 1. Making weights and bias "
     "smaller makes what comes out smaller too.",
     (WEIGHT, "torch.ones(count) / count"), (BIAS, "(1 - count) / count")),
    ("a bias half way", NOT_ONE, (BIAS, "0.5 - count")),
    ("a row of a matrix", ONE_EACH, (WEIGHT, "torch.ones(1, count)")),
    ("a column of a matrix", ONE_EACH, (WEIGHT, "torch.ones(count, 1)")),
    ("two weights", ONE_EACH, (WEIGHT, "torch.ones(2)")),
    ("a number for a weight", ONE_EACH, (WEIGHT, "1.0")),
    ("a list for a weight", "The weight is a list; torch.tensor(…) makes a tensor of it.",
     (WEIGHT, "[1.0] * count")),
    ("a tensor for a bias", "The bias is a tensor; turn it into a number with float(…).",
     (BIAS, "torch.tensor(1.0 - count)")),
    ("the bias first", "The weight comes first, then the bias: return weight, bias.",
     (f"{WEIGHT}, {BIAS}", f"{BIAS}, {WEIGHT}")),
    ("the weight alone", "It returns one tensor; a neuron is two things: return weight, bias.",
     (f", {BIAS}", "")),
    ("count too", "It returns 3 things; two are wanted: weight, bias.", (BIAS, f"{BIAS}, count")),
)  # fmt: skip


def neuron(and_gate: Callable, count: int, x: list[float]) -> float:
    """What comes out of the neuron that an answer builds, for x."""
    value = and_gate(count)
    want_type(value, tuple, f"and_gate({count})")
    if len(value) != 2:
        raise Mistake(f"It returns {len(value)} things; two are wanted: weight, bias.")
    weight, bias = value
    bias = float(bias) if type(bias) is int else bias  # -2 holds back as well as -2.0
    if (type(weight), type(bias)) != (torch.Tensor, float):
        kinds = f"{a(type(weight))} and {a(type(bias))}"
        raise Mistake(f"It returns {kinds}; a tensor and a float are wanted.")
    want_tensor(weight, (count,), "The weight")
    x = torch.tensor(x, dtype=torch.float64)
    return float(torch.relu(weight.detach().cpu().double() @ x + bias))


def gives(
    rows: Callable, *counts: int, look: Callable = float, end: str = ""
) -> Callable:
    """Make a check on what the neuron gives for rows of inputs, as `look` sees it."""

    def build(generator):
        drawn = (*counts, whole(generator, 6, 12))
        return [(count, x) for count in drawn for x in rows(count)]

    def shows(count, x):
        read = f"relu(weight @ torch.tensor({shown(x)}) + bias){end}"
        return f"weight, bias = and_gate({count}); {read}"

    def why(inputs, value, right):
        ones = int(sum(inputs[1]))
        words = (NOT_ONE if value else NEVER) if right else LEAKS[min(ones, 2)]
        return words.removesuffix(".")

    def right(count, x):
        return float(all(x))

    return used(neuron, right, build, AND_MISTAKES, look=look, why=why, shows=shows)


def all_there(count: int) -> list[list[float]]:
    return [[1.0] * count]


def some_missing(count: int) -> list[list[float]]:
    """All rows of 0 and 1 but the last; where they are many, those with a single 0."""
    if count > 4:
        return [[float(i != gap) for i in range(count)] for gap in range(count)]
    return sorted(map(list, itertools.product((0.0, 1.0), repeat=count)), key=sum)[:-1]


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
        Check("fires for all", 1, "fires when all inputs are there",
            "With all inputs 1, `weight · x` is the sum of the weights. How much of that may "
            "the bias take away?",
            gives(all_there, 2, 3, 4, look=lambda output: output > 1e-4, end=" > 0")),
        Check("silent when one is missing", 2, "stays silent when any input is missing",
            "With weights of 1, one missing input leaves `count - 1`. What must the bias be, "
            "for the neuron to be silent then?",
            gives(some_missing, 2, 3, 4)),
        Check("gives 1", 1, "gives exactly 1 when it fires",
            "Add all the weights and the bias: that sum should be 1.",
            gives(all_there, 2, 3, 100)),
    ),
    wrong=AND_MISTAKES,
)  # fmt: skip


# 04.mlp -----------------------------------------------------------------------------


def mlp(
    x: torch.Tensor, up: torch.Tensor, bias: torch.Tensor, down: torch.Tensor
) -> torch.Tensor:
    """Ask every vector all questions, cut off below zero, add up the answers.

    x (B, T, C), up (M, C), bias (M), down (C, M) → (B, T, C).
    """
    questions = x @ up.T + bias  # (B, T, M)
    return torch.relu(questions) @ down.T


ASK, CUT = "x @ up.T + bias", "torch.relu(questions)"
ANSWER = f"{CUT} @ down.T"
UNFIT = (
    "Two shapes don't fit. x is (B, T, C) and up is (M, C): turn up round, x @ up.T, and "
    "down in the same way; bias (M) comes before down."
)
MIXED = (
    "A position's answer depends on the others. Each vector is asked by itself: no sum or "
    "mean over positions."
)

MLP_MISTAKES = mistakes(
    mlp,
    *instead(ANSWER, {
        "questions @ down.T": "Nothing is cut off: torch.relu is missing.",
        "torch.relu(questions @ down.T)":
            "You cut off after down; the cut comes between up and down.",
        f"torch.relu({ANSWER})":
            "The answer itself is cut off below zero, too. Only the questions are.",
        f"x + {ANSWER}": "x is added to the answer. That is the block's work, in lesson 05.",
        "F.gelu(questions) @ down.T":
            "The activation here is ReLU, which cuts off at zero; yours is GELU.",
        "torch.softmax(questions, -1) @ down.T":
            "Those are shares that add up to 1, a softmax. Each neuron fires by itself: "
            "torch.relu.",
        "questions.abs() @ down.T":
            "Below zero a neuron should give 0. Yours drops the sign, abs(): torch.relu.",
        "(questions > 0).to(x.dtype) @ down.T":
            "Each answer counts once, however much its neuron fires. Multiply it by what "
            "torch.relu leaves.",
        "max(questions, 0) @ down.T":
            "max(…) and if ask about single numbers: torch.relu cuts off every number of a tensor.",
        CUT: "Those are the questions, (B, T, M): down, the answers, is never used.",
        f"({ANSWER}).sum(1, keepdim=True)": MIXED,
        f"({ANSWER}).sum(1)": MIXED,
        f"{ANSWER} / len(up)": "It takes the mean of the answers; add them up.",
        f"{CUT} @ down": UNFIT,
    }),
    ("up and down swapped", "up and down have changed places: up asks, and down answers.",
     ("up.T", "down"), ("down.T", "up")),
    ("no bias", "The bias is missing.", (" + bias", "")),
    ("the bias taken off", "The bias is taken off; add it.", (" + bias", " - bias")),
    ("the bias late", "The bias comes after the cut; it belongs before, to the question.",
     (" + bias", ""), (CUT, f"({CUT} + bias)")),
    ("the bias last", UNFIT, (" + bias", ""), (ANSWER, f"{ANSWER} + bias")),
    ("the bias first", UNFIT, (ASK, "(x + bias) @ up.T")),
    ("up as it is", UNFIT, ("up.T", "up")),
    ("up on the left", UNFIT, (ASK, "up @ x + bias")),
    ("number by number", UNFIT, ("x @ up.T", "x * up")),
    ("the bias in a column", UNFIT, (" + bias", " + bias[:, None]")),
    ("the mean of the positions", MIXED, (ASK, "x.mean(1, keepdim=True).expand_as(x) @ up.T + bias")),
    ("the sum of the texts",
     "A text's answer depends on the others in its batch. Nothing is summed over B.",
     (ASK, "x.sum(0, keepdim=True).expand_as(x) @ up.T + bias")),
    ("the last position", "It answers for the last position only; every vector is asked.",
     (ASK, "x[:, -1:] @ up.T + bias")),
)  # fmt: skip


def neuron_by_neuron(x, up, bias, down):
    answers = torch.zeros_like(x)
    for b, t, m in itertools.product(*map(range, (*x.shape[:2], len(up)))):
        question = sum(p * q for p, q in zip(up[m].tolist(), x[b, t].tolist()))
        answers[b, t] += max(question + float(bias[m]), 0.0) * down[:, m]
    return answers


def asks(*sizes: tuple[int, ...], below: float = 0.0) -> Callable:
    """Make a check on inputs of sizes (B, T, C, M), with biases below those drawn."""

    def build(generator):
        return [
            (tenths(generator, b, t, c), tenths(generator, m, c),
             tenths(generator, m) - below, tenths(generator, c, m))
            for b, t, c, m in sizes
        ]  # fmt: skip

    return agrees(neuron_by_neuron, build, MLP_MISTAKES)


MLP = Exercise(
    id="04.mlp",
    title="ask, cut off, answer",
    minutes=8,
    rule=(
        "Write the whole MLP with ReLU as its activation. `x` is (B, T, C); each row of `up` "
        "(M, C) is a question, `bias` (M) is added to it, each column of `down` (C, M) is "
        "an answer. Ask every vector all M questions, cut off what is below zero, add up "
        "the answers, each times the number that its neuron gives. Return (B, T, C)."
    ),
    reference=mlp,
    checks=(
        Check("asks and answers", 2, "gives what loops over every neuron give",
            "`x @ up.T` asks every vector all questions: (B, T, M).",
            asks((1, 1, 1, 1), (1, 1, 1, 2), (1, 2, 2, 3), (2, 3, 4, 6), (1, 1, 64, 3), (1, 3, 64, 3))),
        Check("each by itself", 1, "asks each position by itself",
            "Nothing is summed over B or T.",
            asks((1, 3, 2, 3), (2, 2, 2, 3), (2, 1, 3, 2))),
        Check("silent below zero", 1, "is silent where no neuron fires",
            "`torch.relu(…)` comes after the bias and before `down`.",
            asks((1, 2, 2, 3), (2, 3, 4, 6), below=100.0)),
    ),
    wrong=MLP_MISTAKES,
)  # fmt: skip


# 04.store_facts ---------------------------------------------------------------------


def store_facts(
    keys: torch.Tensor, values: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An MLP that answers key i with value i, both (N, C): up, bias and down.

    up (N, C), bias (N), down (C, N); it is read with down @ relu(up @ x + bias).
    """
    bias = torch.full((len(keys),), -0.5)  # (N): half a key is not enough
    return keys, bias, 2 * values.T  # what the bias took away, down gives back


HELD, BACK = "torch.full((len(keys),), -0.5)", "2 * values.T"
BUILT = f"keys, bias, {BACK}"
TURNED = "up is transposed, or stands for down. Each neuron is a row of up: (N, C)."
HALF = (
    "Half a key gets an answer, and should get zeros. The bias has to hold the neuron back "
    "until more than half of the key is there."
)
PER_NEURON = "Give one bias to each neuron, in a row: (N,)."
TIMES = (
    "Each value comes out {} as it should. For its own key, a neuron gives up · key + bias; "
    "down must make a whole value of that."
)

STORE_MISTAKES = mistakes(
    store_facts,
    ("down as it is", "down is transposed: what a neuron answers is a column of down, (C, N).",
     (BACK, "2 * values")),
    ("up transposed", TURNED, ("return keys", "return keys.T")),
    ("down first", TURNED, (BUILT, "2 * values.T, bias, keys")),
    ("no bias", "It returns 2 things: up, bias and down are wanted.", (BUILT, f"keys, {BACK}")),
    ("one bias for all", PER_NEURON, (HELD, "-0.5")),
    ("a bias of one number", PER_NEURON, (HELD, "torch.tensor([-0.5])")),
    ("a bias without axes", PER_NEURON, (HELD, "torch.tensor(-0.5)")),
    ("a bias for each channel", PER_NEURON, ("(len(keys),)", "(keys.shape[1],)")),
    ("a column of biases", PER_NEURON, ("(len(keys),)", "(len(keys), 1)")),
    ("a bias of zero", HALF, ("-0.5)", "0.0)"), (BACK, "values.T")),
    ("a bias of zero, twice the values", TIMES.format("twice as large"), ("-0.5)", "0.0)")),
    ("not doubled", TIMES.format("half as large"), (BACK, "values.T")),
    ("doubled in up", TIMES.format("1.5 times as large"), (BUILT, "2 * keys, bias, values.T")),
    ("values up, keys down",
     "up holds the values. It is the other way round: up asks, so it holds the keys; down "
     "answers, so it holds the values.",
     (BUILT, "values, bias, 2 * keys.T")),
    ("keys down", "It answers with the keys. up asks, and holds the keys; down holds the values.",
     (BACK, "2 * keys.T")),
    ("a bias above zero",
     "It answers even when nothing was asked: x = 0 fires its neurons. A bias keeps a neuron "
     "silent only if it is below zero.",
     ("-0.5", "0.5"), (BACK, "values.T")),
    ("every neuron knows all",
     "Every key gets the same answer. A neuron must know one key, not all of them.",
     ("return keys", "return keys.sum(0).expand(keys.shape)")),
    ("one neuron for all",
     "up holds a single neuron, which can't tell the keys apart. Give one neuron to each "
     "fact: (N, C).",
     (BUILT, "keys.sum(0, keepdim=True), bias[:1], 2 * values.sum(0)[:, None]")),
    ("shut each other out",
     "Asked for two facts at once, it gives nothing: the neurons shut each other out. Let "
     "each one look at its own key only.",
     ("return keys", "return 2 * keys - keys.sum(0)")),
    ("a bias of -1",
     "Nothing ever fires: every key gets zeros. A key times itself is 1; the bias must leave "
     "some of that.",
     ("-0.5", "-1.0")),
)  # fmt: skip


def parts_of(store_facts: Callable, keys: torch.Tensor, values: torch.Tensor) -> tuple:
    """The up, bias and down that an answer builds: tensors, of whatever shapes."""
    parts = store_facts(keys, values)
    want_type(parts, tuple, "store_facts(keys, values)")
    if len(parts) != 3:
        raise Mistake(f"It returns {len(parts)} things: up, bias and down are wanted.")
    for name, part in zip(("up", "bias", "down"), parts):
        want_type(part, torch.Tensor, name)
    return tuple(part.detach().cpu().double() for part in parts)


def asked(store_facts, keys, values, name, x) -> torch.Tensor:
    """What the MLP that an answer builds gives for x (C), which has a name."""
    up, bias, down = parts_of(store_facts, keys, values)
    return (down @ torch.relu(up @ x.double() + bias)).float()


def recalled(keys, values, name, x) -> torch.Tensor:
    """The sum of the values of those keys of which x holds more than three quarters."""
    return ((keys @ x > 0.75).float()[:, None] * values).sum(0)


def some_facts(generator: torch.Generator) -> list[tuple]:
    """Keys (N, C), values (N, C), and vectors at right angles to all keys (…, C)."""
    lesson = torch.linalg.qr(torch.randn(64, 64, generator=generator)).Q
    spaces = at_right_angles(generator, 3), at_right_angles(generator, 5), lesson
    return [
        (space[:count].clone(), tenths(generator, count, len(space)), space[count:])
        for space, count in zip(spaces, (2, 3, 3))
    ]


SHAPES = used(
    parts_of,
    store_facts,
    lambda generator: [facts[:2] for facts in some_facts(generator)],
    STORE_MISTAKES,
    look=lambda parts: [tuple(part.shape) for part in parts],
    shows=lambda keys, values: (
        f"For keys and values of shape {(*keys.shape,)}, "
        "[part.shape for part in store_facts(keys, values)]"
    ),
)


def recalls(questions: Callable) -> Callable:
    """Make a check on questions: from keys and others, a name and a vector of each."""

    def build(generator):
        return [
            (keys, values, name, x)
            for keys, values, others in some_facts(generator)
            for name, x in questions(keys, others).items()
        ]

    def shows(keys, values, name, x):
        read = "up, bias, down = store_facts(keys, values); down @ relu(up @ x + bias)"
        return f"keys, values = {shown(keys)}, {shown(values)}; {read} for x = {name}"

    def why(inputs, value, right):
        return HALF.removesuffix(".") if inputs[2].startswith("0.5") else ""

    return used(
        asked, recalled, build, STORE_MISTAKES, tolerance=1e-3, why=why, shows=shows
    )


def each_key(keys, others):
    return {f"keys[{i}]": key for i, key in enumerate(keys)}


def halves_and_strangers(keys, others):
    halves = {f"0.5 * keys[{i}]": key / 2 for i, key in enumerate(keys)}
    strange = 0 * others[0], others[0], -3 * others[0], 9 * others.sum(0)
    return halves | {f"{shown(x)}, at right angles to all keys,": x for x in strange}


def pairs_of_keys(keys, others):
    pairs = itertools.combinations(range(len(keys)), 2)
    return {f"keys[{i}] + keys[{j}]": keys[i] + keys[j] for i, j in pairs}


STORE_FACTS = Exercise(
    id="04.store_facts",
    title="store facts by hand",
    minutes=15,
    rule=(
        "Write an MLP without training. `keys` (N, C) are vectors of length one at right "
        "angles to each other, `values` (N, C) is what each should answer, and N is "
        "less than C. Return `(up, bias, down)`, tensors of shapes (N, C), (N,) and "
        "(C, N). To 0.001, `down @ relu(up @ x + bias)` gives value i for key i, the "
        "sum of two values for the sum of their keys, and zeros both for half a key "
        "(`0.5 * keys[i]`) and for any x at right angles to all keys. (These keys and "
        "values have nothing to do with those of attention. A key is what the MLP is "
        "asked; its value is what the MLP should answer.)"
    ),
    reference=store_facts,
    checks=(
        Check("the shapes", 1, "has one neuron for each fact",
            "Each fact is one neuron: a row of `up`, a number of `bias`, a column of `down`.",
            SHAPES),
        Check("reads each fact back", 2, "answers each key with its value",
            "A key times itself is 1, times any other key 0. What is left after the bias, and "
            "by how much must `down` make it larger?",
            recalls(each_key)),
        Check("silent when not asked", 1, "stays silent where it knows nothing",
            "Half a key times the key is 0.5. Which bias brings that down to 0?",
            recalls(halves_and_strangers)),
        Check("several at once", 1, "answers two keys at once with both values",
            "Neuron i should look at key i, and at nothing else.",
            recalls(pairs_of_keys)),
    ),
    wrong=STORE_MISTAKES,
)  # fmt: skip


# 04.gelu ----------------------------------------------------------------------------

ROOT = "math.sqrt(2 / math.pi)"
FORMULA = f"x / 2 * (1 + torch.tanh({ROOT} * (x + 0.044715 * x**3)))"
LOOPED = FORMULA.replace("torch.tanh", "math.tanh").replace("x", "v")
ONE_NUMBER = (
    "It can't take x of any shape: math.tanh and float take a single number, and a loop goes "
    "along one axis. torch.tanh takes a tensor of any shape at once."
)


GELU_MISTAKES = mistakes(
    gpt.gelu,
    *instead(FORMULA, {
        "torch.relu(x)": "That is ReLU, with its corner. GELU is soft: x/2 · (1 + tanh(…)).",
        "x * torch.sigmoid(x)":
            "That is SiLU, x · sigmoid(x): a soft activation too, but another one.",
        "x * torch.sigmoid(1.702 * x)":
            "That is x · sigmoid(1.702 x), which comes near GELU, but not to 0.001.",
        FORMULA.replace("x / 2", "x"): "It is twice too large: the ½ is missing, x/2 · (1 + …).",
        FORMULA.replace("x**3", "x**2"): "It has x² where x³ belongs: 0.044715 x³.",
        FORMULA.replace("x**3", "x * 3"): "It has x * 3, three times x: x³ is x**3.",
        FORMULA.replace("x**3", "x^3"): "^ is no power in Python: x³ is x**3.",
        FORMULA.replace("0.044715", "0.44715"): "0.44715 is ten times 0.044715.",
        FORMULA.replace("x +", "x -"): "It takes 0.044715 x³ off; add it to x.",
        FORMULA.replace(f"{ROOT} * ", ""): "The factor √(2/π) in front of the bracket is missing.",
        FORMULA.replace(ROOT, "math.sqrt(2) / math.pi"):
            "That takes the root of 2 alone: √(2/π) is the root of the whole fraction.",
        FORMULA.replace("math.sqrt", "torch.sqrt"):
            "torch.sqrt takes a tensor, and 2 / math.pi is a number: math.sqrt.",
        FORMULA.replace(ROOT, "(2 / math.pi)"): "That is 2/π, and not its square root: √(2/π).",
        FORMULA.replace(ROOT, "math.sqrt(math.pi / 2)"):
            "That is √(π/2), upside down: the factor is √(2/π).",
        FORMULA.replace(f"{ROOT} * (x", f"({ROOT} * x"):
            "The factor √(2/π) multiplies x alone. It multiplies the whole bracket: "
            "√(2/π) · (x + 0.044715 x³).",
        FORMULA.replace(" + 0.044715 * x**3", ""):
            "The term 0.044715 x³ inside the bracket is missing, or much too small: only x goes "
            "to the third power.",
        FORMULA.replace("1 + ", ""):
            "The 1 in 1 + tanh(…) is missing: far below zero it gives x/2 turned round, not 0.",
        FORMULA.replace("1 +", "1 -"):
            "1 - tanh(…) turns it round: it lets through what is below zero.",
        FORMULA.replace("* (1 +", "* 1 + ("):
            "Multiplying comes before adding: put brackets around 1 + tanh(…).",
        FORMULA.replace("x / 2 * ", "1 / 2 * "):
            "That is the factor alone, from 0 to 1; multiply x by it.",
        FORMULA.replace("x / 2 * ", "x / 2 / "): "It divides by 1 + tanh(…): multiply.",
        FORMULA.replace("torch.tanh", "math.tanh"): ONE_NUMBER,
        f"torch.tensor([{LOOPED} for v in x])": ONE_NUMBER,
        f"torch.tensor([{LOOPED} for v in x.tolist()])": ONE_NUMBER,
    }),
    ("in place",
     "It changed x itself, which others may still need. Make a new tensor: x = x * 2, never "
     "x *= 2 or x[…] = …",
     (f"return {FORMULA}", f"x.copy_({FORMULA}); return x")),
)  # fmt: skip


def lets_through(numbers: Callable, *shapes: tuple, after: bool = False) -> Callable:
    """Make a check on tensors of these shapes; numbers(generator, *shape) makes one."""
    return agrees(
        partial(F.gelu, approximate="tanh"),
        lambda generator: [(numbers(generator, *shape),) for shape in shapes],
        GELU_MISTAKES,
        tolerance=1e-3,  # the exact GELU is less than 0.0005 away
        after=after,
    )


def up_to_six(generator: torch.Generator, count: int) -> torch.Tensor:
    return tenths(generator, count, most=2.0 if count < 4 else 6.0)


def below_zero(generator: torch.Generator, count: int) -> torch.Tensor:
    """From -2 to -0.3, where it dips, and from -6 to -5.1, where it is off."""
    dip, off = (tenths(generator, count, most=most).abs() for most in (1.8, 1.0))
    return torch.cat([-0.2 - dip, -5 - off])


GELU = Exercise(
    id="04.gelu",
    title="a soft activation",
    minutes=6,
    rule=(
        "Write GELU as GPT-2 has it: x/2 · (1 + "
        "tanh(√(2/π) · (x + 0.044715 x³))), for every number by itself. `x` is a "
        "tensor of any shape; return a new tensor of that shape and leave `x` as it "
        "is. (`torch.tanh` is a smooth step from -1 to 1. A *standard normal* number is "
        "a random one from the bell curve around 0, as `torch.randn` draws them.) It is "
        "compared with torch's own, to 0.001. `F.gelu` would do it in one call; try the formula first."
    ),
    reference=gpt.gelu,
    checks=(
        Check("follows the curve", 2, "gives torch's numbers from -6 to 6",
            "Build it from the inside out: the bracket, times `math.sqrt(2 / math.pi)`, "
            "`torch.tanh`, plus 1, times half of x.",
            lets_through(up_to_six, (2,), (6,), (200,))),
        Check("dips below zero", 1, "dips a little below zero, and is off far below it",
            "Try x = -1: a small number below zero should come out. At x = -6, 1 + tanh(…) "
            "should be 0.",
            lets_through(below_zero, (2,), (6,), (50,))),
        Check("any shape", 1, "takes a tensor of any shape and leaves it as it was",
            "`*`, `+`, `**` and `torch.tanh` work on every number of a tensor at once, and "
            "each makes a new one.",
            lets_through(tenths, (), (1,), (2, 3), (2, 4, 5), after=True)),
    ),
    wrong=GELU_MISTAKES,
)  # fmt: skip


# 04.worst_overlap -------------------------------------------------------------------


def worst_overlap(vectors: torch.Tensor) -> float:
    """The largest |cosine| between two rows of (N, C); 0 if all are at right angles."""
    unit = vectors / vectors.norm(dim=-1, keepdim=True)
    overlap = (unit @ unit.T).abs()  # (N, N)
    return float(overlap.fill_diagonal_(0).max())  # a row and itself: always 1


LENGTH, PRODUCT = "vectors.norm(dim=-1, keepdim=True)", "unit @ unit.T"
OVERLAP, LARGEST = f"({PRODUCT}).abs()", "overlap.fill_diagonal_(0).max()"
SPAN = (
    "A row's length is the square root of the sum of its squares: vectors.norm(dim=-1, "
    "keepdim=True). It divides by something else."
)
NOT_MET = (
    "Two other rows overlap more: it has not met them. Compare every row with every other, "
    "not only with the next one or the first."
)
EACH = "That is the largest overlap of each row; take the largest of all: max()."
PAIR_BY_PAIR = (
    "It goes through the pairs one by one. The 3,200 rows of the next cell make five million "
    "pairs, and minutes of waiting: compare all rows at once, unit @ unit.T."
)
TOO_WIDE = (
    "It makes a tensor with all channels of every pair of rows. For the 3,200 rows of the next "
    "cell that is more than your memory holds: unit @ unit.T is (N, N), one number a pair."
)


def by_pairs(vectors: torch.Tensor) -> float:
    """The same, one pair of rows at a time."""
    pairs = itertools.combinations(vectors, 2)
    return float(max(abs(F.cosine_similarity(p, q, dim=0)) for p, q in pairs))


OVERLAP_MISTAKES = mistakes(
    worst_overlap,
    ("the diagonal left in",
     "The diagonal is still in: each row overlaps fully with itself, and it says 1. Compare two "
     "different rows only.",
     (".fill_diagonal_(0)", "")),
    ("opposite missed",
     "It misses vectors that point in opposite directions. They overlap too: abs().",
     (".abs()", "")),
    ("the right pair's sign", "It finds the right pair, and gives its sign too: abs().",
     (OVERLAP, PRODUCT), (LARGEST, "max(overlap.fill_diagonal_(0).flatten(), key=abs)")),
    ("dot products", "Those are dot products: longer rows give more. Divide each row by its length.",
     (f"vectors / {LENGTH}", "vectors")),
    ("squared lengths", SPAN, (LENGTH, "vectors.square().sum(-1, keepdim=True)")),
    ("sums", SPAN, (LENGTH, "vectors.sum(-1, keepdim=True)")),
    ("sums of sizes", SPAN, (LENGTH, "vectors.abs().sum(-1, keepdim=True)")),
    ("largest numbers", SPAN, (LENGTH, "vectors.abs().amax(-1, keepdim=True)")),
    ("the number of channels", SPAN, (LENGTH, "vectors.shape[-1]")),
    ("one length for all",
     "It divides all rows by one number, the length of the whole table. Each row has a length "
     "of its own: norm(dim=-1, keepdim=True).",
     (LENGTH, "vectors.norm()")),
    ("lengths of the columns",
     "It divides the columns by their lengths. The vectors are the rows: norm(dim=-1, "
     "keepdim=True).",
     (LENGTH, "vectors.norm(dim=0)")),
    ("no keepdim",
     "The lengths, (N), don't fit the rows, (N, C). Keep their axis, with size 1: "
     "norm(dim=-1, keepdim=True).",
     (", keepdim=True", "")),
    ("columns", "It compares columns; the vectors are the rows: unit @ unit.T.",
     (LENGTH, "vectors.norm(dim=0)"), (PRODUCT, "unit.T @ unit")),
    ("the mean", "That is the mean overlap; the largest is wanted.",
     (LARGEST, "overlap.triu(1).sum() / (len(unit) * (len(unit) - 1) / 2)")),
    ("the smallest", "That is the smallest overlap; the largest is wanted.",
     (LARGEST, "overlap.min()")),
    ("neighbours only", NOT_MET, (LARGEST, "overlap.diagonal(1).max()")),
    ("the first row only", NOT_MET, (LARGEST, "overlap[0, 1:].max()")),
    ("the first pair only", NOT_MET, (LARGEST, "overlap[0, 1]")),
    ("first and last", NOT_MET, (LARGEST, "overlap[0, -1]")),
    ("left out by value",
     "Two rows that point exactly the same way overlap by 1, and it leaves them out. Leave the "
     "diagonal out by its place, not by its value.",
     (LARGEST, "overlap[overlap < 0.999].max()")),
    ("the angle", "That is an angle; return the cosine itself.",
     (LARGEST, f"{LARGEST}.clamp(max=1).acos()")),
    ("its place", "That is the place of the largest; return the largest itself: max().",
     ("max()", "argmax()")),
    ("one minus the cosine", "That is one minus the cosine; return the cosine itself.",
     (LARGEST, f"1 - {LARGEST}")),
    ("the square", "That is the cosine's square; return the cosine itself.",
     (".abs()", ".square()")),
    ("abs() too early",
     "abs() comes too early: the rows' own signs say where they point. Take it of the cosines.",
     (f"vectors / {LENGTH}", "F.normalize(vectors.abs(), dim=-1)")),
    ("max(-1)", EACH, ("max()", "max(-1)")),
    ("the largest of each row", EACH, (f"float({LARGEST})", "overlap.fill_diagonal_(0).amax(-1)")),
    ("a tensor", "It is a tensor; turn it into a number with float(…).",
     (f"float({LARGEST})", LARGEST)),
    ("not transposed",
     "(N, C) times (N, C) does not fit. Row against row is unit @ unit.T, with the second one "
     "transposed.",
     ("unit.T", "unit")),
    ("pair by pair", PAIR_BY_PAIR, by_pairs),
    ("all channels of all pairs", TOO_WIDE, (PRODUCT, "(unit[:, None] * unit).sum(-1)")),
)  # fmt: skip


def overlaps(cases: Callable[[torch.Generator], list[torch.Tensor]]) -> Callable:
    """Make a check on rows (N, C)."""
    return agrees(
        lambda vectors: by_pairs(vectors.double()),
        lambda generator: [(vectors,) for vectors in cases(generator)],
        OVERLAP_MISTAKES,
        # A whole 0 is what `worst = 0` leaves.
        look=lambda value: 0.0 if type(value) is int and value == 0 else value,
    )


def any_rows(generator):
    """Rows of any directions, first two of length 5, to be reckoned by hand."""
    other = pick(generator, [[0.0, 5.0], [4.0, 3.0], [-5.0, 0.0]])
    return [
        torch.tensor([[3.0, 4.0], other]),
        *(tenths(generator, *shape) for shape in ((3, 2), (4, 3), (3, 4))),
        with_pair(generator, 6, 4, 1.5, 0.2),
        with_pair(generator, 6, 4, 0.7, 0.1),
    ]


def with_pair(generator, count, channels, times, noise=0.0) -> torch.Tensor:
    """Rows (N, C), the last of which is nearly a middle one, so many times as long."""
    vectors = tenths(generator, count, channels)
    vectors[-1] = times * vectors[(count - 1) // 2] + noise * vectors[-1].sign()
    return vectors


def pairs_of_rows(generator):
    some = (2, 3, -1), (4, 3, -2), (4, 3, 2), (4, 3, 1), (5, 4, -1.5, 0.1)
    return [with_pair(generator, *one) for one in some]


def corners(generator):
    """Rows at right angles, each of a length of its own."""
    return [
        at_right_angles(generator, channels)[:count] * tenths(generator, count, 1).abs()
        for count, channels in ((2, 3), (3, 4), (4, 4), (6, 8))
    ]


class Effort(TorchDispatchMode):
    """Counts the steps that torch takes, and the numbers in the largest tensor they make."""

    def __init__(self):
        super().__init__()
        self.steps, self.most = 0, 0

    def __torch_dispatch__(self, step, types, args=(), kwargs=None):
        made = step(*args, **(kwargs or {}))
        self.steps += 1
        if isinstance(made, torch.Tensor):
            self.most = max(self.most, made.numel())
        return made


FINDS = overlaps(any_rows)


def finds_the_largest(worst_overlap, generator):
    """On small rows, and then on as many as the lesson has."""
    FINDS(worst_overlap, generator)
    count, channels = 100, 50
    with Effort() as effort:
        worst_overlap(torch.randn(count, channels, generator=generator))
    if effort.most > 10 * count**2:
        raise Mistake(TOO_WIDE)
    if effort.steps > count**2 / 2:
        raise Mistake(PAIR_BY_PAIR)
    many = torch.randn(3_200, 50, generator=generator)
    many[-1] -= 4 * many[1_600]
    right = abs(float(F.cosine_similarity(many[-1], many[1_600], dim=0)))
    want(worst_overlap(many), right, "worst_overlap of 3,200 rows, (3200, 50),")


WORST_OVERLAP = Exercise(
    id="04.worst_overlap",
    title="how crowded is it?",
    minutes=8,
    rule=(
        "How far from right angles are the two closest directions? `vectors` (N, C) "
        "holds two or more rows of any length, none of them all zeros. Take the "
        "cosine of every pair of rows, never of a row with itself, and return the "
        "largest absolute value, as a `float`: 0 if all stand at right "
        "angles, 1 if two rows point the same way or in opposite directions. (The next "
        "cell has 3,200 rows of 576 channels: compare all at once, by one product (N, N), "
        "not five million pairs one by one.)"
    ),
    reference=worst_overlap,
    checks=(
        Check("finds the largest", 2,
            "finds the largest cosine of any two rows, whatever their lengths",
            "Divide each row by its length: `vectors.norm(dim=-1, keepdim=True)` is (N, 1), one "
            "for each row. Then `unit @ unit.T` (N, N) holds the cosine of every pair, and on "
            "its diagonal each row meets itself.",
            finds_the_largest),
        Check("same or opposite", 1, "counts opposite directions as it counts equal ones",
            "A cosine of -0.9 is as far from a right angle as one of 0.9. And what if a row "
            "stands there twice?",
            overlaps(pairs_of_rows)),
        Check("right angles", 1, "says 0 where all stand at right angles",
            "If it says 1 for vectors at right angles, look at the diagonal.",
            overlaps(corners)),
    ),
    wrong=OVERLAP_MISTAKES,
)  # fmt: skip

EXERCISES = (AND_GATE, GELU, MLP, STORE_FACTS, WORST_OVERLAP)
