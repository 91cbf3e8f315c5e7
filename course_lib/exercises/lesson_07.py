"""Exercises of lesson 07: slopes, the chain rule, gradient descent, and how they fail."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import mul
from typing import Any

import numpy as np
import torch

from course_lib import autograd
from course_lib.autograd import Value
from course_lib.exercises.form import agrees, mistakes, pick, tenths, whole
from course_lib.exercises.kinds import Check, Exercise


def decimals(generator: torch.Generator, count: int, most: float = 3.0) -> list[float]:
    """Random numbers with one decimal, none of them 0."""
    return [round(x, 1) for x in tenths(generator, count, most=most).tolist()]


def array(generator: torch.Generator, *shape: int) -> np.ndarray:
    """A float64 array of random numbers with one decimal, none of them 0."""
    return np.array(tenths(generator, *shape).double().numpy().round(1))


def formula(code: str, name: str = "x") -> Callable:
    """The function that this code says, and a message shows: formula("(x**3).sum()")."""
    function = eval(f"lambda {name}: {code}")
    function.__name__ = f"lambda {name}: {code}"
    return function


# 07.numerical_gradient --------------------------------------------------------------

COPIES = "up, down = np.array(x, dtype=np.float64), np.array(x, dtype=np.float64)"
UP, DOWN, FAR = "up[place] += epsilon", "down[place] -= epsilon", " / (2 * epsilon)"
WHOLE = "(function(x + epsilon) - function(x - epsilon)) / (2 * epsilon)"
ZEROS = "gradient = np.zeros(np.shape(x))"
IN_TURN = (
    ("float(function(up)) -", "high -"),
    (UP, f"{UP}; high = float(function(up))"),
    (DOWN, "down[place] -= 2 * epsilon"),
)
BOTH_SIDES = " Step to both sides, and the first error cancels."
AT_ONCE = (
    "It moves several numbers of x at once. Move one number, leave the others, and give a "
    "slope for each: np.ndindex(x.shape) visits every place of x, whatever its axes."
)
ASTRAY = (
    "Every number must be back at its place when the next one moves: put each back, or "
    "start from a fresh copy. And the x that was given must stay as it was."
)
FLOAT64 = (
    "An array of whole numbers cuts the epsilon off: make the copy float64 before you move "
    "it, np.array(x, dtype=np.float64)."
)


NUMERICAL_MISTAKES = mistakes(
    autograd.numerical_gradient,
    ("one side", f"That is a step to one side, from x to x + epsilon.{BOTH_SIDES}",
     (DOWN, "pass"), (FAR, " / epsilon")),
    ("the other side", f"That is a step to one side, from x − epsilon to x.{BOTH_SIDES}",
     (UP, "pass"), (FAR, " / epsilon")),
    ("no 2", "That is twice as much: up and down are 2 epsilon apart.", (FAR, " / epsilon")),
    ("no brackets",
     "x / 2 * epsilon divides by 2 and then multiplies by epsilon: put brackets round 2 * "
     "epsilon.", (FAR, " / 2 * epsilon")),
    ("not divided", "It was never divided by how far x moved, 2 epsilon.", (FAR, "")),
    ("down minus up", "Its sign is turned round: up minus down.",
     ("gradient[place] = (", "gradient[place] = -(")),
    ("all at once", AT_ONCE,
     ("return gradient", f"return np.full(x.shape, {WHOLE})")),
    ("one number", AT_ONCE,
     ("return gradient", f"return {WHOLE}")),
    ("a whole row", AT_ONCE, ("np.ndindex(gradient.shape)", "range(len(x))")),
    ("the same array",
     "All slopes are 0: up and down are one and the same array, for = makes no copy. Let each "
     "be a copy of its own.", (COPIES, "up = down = np.array(x, dtype=np.float64)")),
    ("changes x", ASTRAY, (COPIES, "up = down = np.asarray(x, dtype=np.float64)"), *IN_TURN),
    ("never put back", ASTRAY,
     (ZEROS, f"{ZEROS}\n    x = np.array(x, dtype=np.float64)"), (COPIES, "up = down = x"),
     *IN_TURN),
    ("its own epsilon", "The epsilon that you are given is not the one you use.",
     (ZEROS, f"{ZEROS}; epsilon = 1e-5")),
    ("whole numbers kept", FLOAT64, (COPIES, "up, down = x.copy(), x.copy()")),
    ("float32", "float32 is too coarse for an epsilon of 0.00001: work in float64.",
     (COPIES, COPIES.replace("64", "32"))),
    ("whole slopes",
     "np.zeros_like(x) holds whole numbers where x does, and cuts every slope down to one: "
     "np.zeros(x.shape) holds decimals.", ("np.zeros(np.shape(x))", "np.zeros_like(x)")),
    ("a flat array",
     "It gives one row of slopes; give back x's shape, each slope at its number's place.",
     ("return gradient", "return gradient.flatten()")),
)  # fmt: skip


def by_many_copies(function, x, epsilon=1e-5):
    """The same, from an array of copies of x in each of which one number has moved."""
    steps = epsilon * np.eye(x.size).reshape(x.size, *x.shape)
    up, down = ([function(one) for one in x + side * steps] for side in (1, -1))
    return (np.subtract(up, down) / (2 * epsilon)).reshape(x.shape)


def as_array(value: Any) -> Any:
    """An array without axes for numpy's number; all else as it is."""
    return np.asarray(value) if isinstance(value, np.floating) else value


def x(inputs: tuple) -> np.ndarray:
    return inputs[1]


PRODUCT, CUBE, SQUARE = map(formula, ("x.prod()", "(x**3).sum()", "(x * x).sum()"))
NEURON = formula("(x[0] * 3 - 1) * 4")
MISSES = formula("(3 * x[0] - 6)**2 + (x[0] * x[1])**2")


def products(generator):
    """Of one to three axes; a product's slope is the same from one side and from both."""
    shapes = (2,), (2, 3), (2, 1, 2)
    return [
        *((PRODUCT, array(generator, *shape), 0.5) for shape in shapes),
        (NEURON, array(generator, 1)),
        (MISSES, np.array([1.0, 2.0])),
    ]


numerical = partial(agrees, by_many_copies, wrong=NUMERICAL_MISTAKES, look=as_array)

NUMERICAL_GRADIENT = Exercise(
    id="07.numerical_gradient", title="a gradient by trying", minutes=10,
    rule=(
        "`function` takes an array and gives a number. For each number in the array `x`, one at "
        "a time: move it up by `epsilon`, move it down by `epsilon`, and divide the difference "
        "of the results by how far apart they are. Return a numpy array of x's shape. Leave `x` "
        "as it was; it may have any shape, and may hold whole numbers (work in float64)."
    ),
    reference=autograd.numerical_gradient,
    checks=(
        Check("every number by itself", 1, "tries every number by itself",
              "`for place in np.ndindex(x.shape):` visits each place of any shape.",
              numerical(products)),
        Check("both sides", 2, "looks to both sides, as far as it is told",
              "(function at x + ε, minus function at x − ε) / 2ε",
              numerical(lambda g: [(CUBE, array(g, 3), 0.2), (CUBE, array(g, 2, 2), 0.5)])),
        Check("x stays", 1, "leaves x as it was", "Start each number from a fresh copy of x.",
              numerical(lambda g: [(PRODUCT, array(g, *s), 0.5) for s in ((3,), (), (2, 2), (1, 2, 2))],
                        after=x)),
        Check("whole numbers", 1, "works at whole numbers",
              "`np.array(x, dtype=np.float64)` is a copy that can hold decimals.",
              numerical(lambda g: [(SQUARE, array(g, *s).round().astype(int))
                        for s in ((3,), (2, 2))])),
    ),
    wrong=NUMERICAL_MISTAKES, may_change=("x",),  # and put back, but for rounding: a check looks
)  # fmt: skip


# 07.times and 07.tanh ---------------------------------------------------------------


def plain(value: Any) -> Any:
    """Python's own float for numpy's, inside tuples too."""
    if type(value) is tuple:
        return tuple(plain(one) for one in value)
    return float(value) if type(value) is np.float64 else value


def slopes_by_torch(function: Callable, *numbers: float) -> tuple[float, tuple]:
    leaves = [
        torch.tensor(one, dtype=torch.float64, requires_grad=True) for one in numbers
    ]
    result = function(*leaves)
    slopes = torch.autograd.grad(result, leaves)
    return result.item(), tuple(one.item() for one in slopes)


def times(a: float, b: float) -> tuple[float, tuple[float, float]]:
    """The product a × b, and its slopes: (product, (slope of a, slope of b)).

    The slope of a: by how much the product grows when a grows a little, over how much a
    grew.
    """
    return a * b, (b, a)


PAIR = "(b, a)"
PLUS = "That is the rule of +, whose slopes are 1. Make a 0.1 larger: how far does a × b go?"
EACH_ONE = (
    "There is 1 slope for 2 operands: every operand has one of its own. Give two things, "
    "the product and a tuple with the slope of a and the slope of b."
)
TIMES_MISTAKES = mistakes(
    times,
    ("no slopes",
     "It gives one number only. Give the result and the slopes: product, (slope_of_a, "
     "slope_of_b).", (f", {PAIR}", "")),
    ("one slope only", EACH_ONE, (PAIR, "(b,)")),
    ("one number for the slopes", EACH_ONE, (PAIR, "b")),
    ("three things",
     "It gives 3 things. Give two: the result, and a tuple with the slope of a and of b.",
     (PAIR, "b, a")),
    ("swapped",
     "The slopes are the wrong way round. If a grows by 0.1, the product grows by 0.1 × b: the "
     "slope of a is b.", (PAIR, "(a, b)")),
    ("the rule of +", PLUS, (PAIR, "(1.0, 1.0)")),
    ("the rule of +, whole", PLUS, (PAIR, "(1, 1)")),
    ("a sum", PLUS, (f"a * b, {PAIR}", "a + b, (1.0, 1.0)")),
    ("the product twice",
     "That is the product itself, twice. A slope is how far the product moves over how far one "
     "number moved.", (PAIR, "(a * b, a * b)")),
    ("by division",
     "One number is 0, and it divides by it. A slope of × needs no division: which number is "
     "left when the other is taken out?", (PAIR, "(a * b / a, a * b / b)")),
    ("flat at 0",
     "At a = 0 the product is 0, and yet it moves as soon as a does, b times as far: the slopes "
     "are b and a there too.", (PAIR, "((b, a) if a * b else (0.0, 0.0))")),
)  # fmt: skip


def of_signs(a, b):
    return [(a, b), (a, -b), (-a, b), (-a, -b)]


product_check = partial(
    agrees, partial(slopes_by_torch, mul), wrong=TIMES_MISTAKES, look=plain
)

TIMES = Exercise(
    id="07.times", title="the slopes of a product", minutes=4,
    rule=(
        "Multiply two floats, and say how the product changes with each of them. Return two "
        "things: the product, and a tuple with the slope of `a` and the slope of `b`, all "
        "floats. Either number may be 0."
    ),
    reference=times,
    checks=(
        Check("a product and its slopes", 3, "gives the product and the slope of each operand",
              "`return product, (slope_of_a, slope_of_b)`. Take 3 × 5 and make the 3 a 4: how far "
              "did the product go? And for the 5?",
              product_check(lambda g: of_signs(whole(g, 12, 18) / 10, whole(g, 22, 28) / 10))),
        Check("zero", 1, "works at 0 too",
              "At a = 0 the product is 0; once a moves, it moves by b times as much.",
              product_check(lambda g: [(0.0, 1.5), (-2.5, 0.0), (0.0, 0.0),
                                       (1.4, whole(g, 22, 28) / 10)])),
    ),
    wrong=TIMES_MISTAKES,
)  # fmt: skip


def tanh(a: float) -> tuple[float, tuple[float]]:
    """The hyperbolic tangent of a, and its slope, as a tuple of one: (tanh, (slope,))."""
    result = math.tanh(a)
    return result, (1 - result**2,)


SLOPE, RESULT = "1 - result**2", "math.tanh(a)"
TOO_LARGE = (
    "e to the power of 2,000 is too large a number to hold. math.tanh can do without it, "
    "and the slope comes from its result alone."
)
FRACTION = "({0}(a) - {0}(-a)) / ({0}(a) + {0}(-a))"
TANH_MISTAKES = mistakes(
    tanh,
    ("the result only",
     "It gives one number only. Give the result and the slopes: result, (slope,).",
     (", (1 - result**2,)", "")),
    ("the slope only",
     "It gives one number only, the slope. Give the result first: result, (slope,).",
     ("result, (1 - result**2,)", SLOPE)),
    ("no comma",
     "The slopes are a single number: brackets alone make no tuple. A tuple of one has a comma, "
     "(slope,).", (f"({SLOPE},)", SLOPE)),
    ("no square", "That is 1 − tanh(a): the square is missing.", (SLOPE, "1 - result")),
    ("a squared", "It squares a; square the result, tanh(a).", (SLOPE, "1 - a**2")),
    ("the sigmoid's rule", "That is the sigmoid's rule, s (1 − s); for tanh it is 1 − tanh(a)².",
     (SLOPE, "result * (1 - result)")),
    ("the sign", "Its sign is turned round: tanh climbs everywhere, so its slope is above 0.",
     (SLOPE, "result**2 - 1")),
    ("the result for the slope", "That is the result, not its slope: 1 minus its square.",
     (SLOPE, "result")),
    ("the square alone", "That is the square of the result; the slope is 1 minus it.",
     (SLOPE, "result**2")),
    ("1 minus, then squared", "You take 1 − tanh(a) and square that: square first.",
     (SLOPE, "(1 - result) ** 2")),
    ("the tangent", "That is the tangent of an angle. The h matters: math.tanh.",
     (RESULT, "math.tan(a)")),
    ("doubled", "result * 2 is twice the result; result ** 2 is its square.",
     (SLOPE, "1 - result * 2")),
    ("1 over cosh²", TOO_LARGE, (SLOPE, "1 / math.cosh(a)**2")),
    ("exponentials", TOO_LARGE, (RESULT, FRACTION.format("math.exp"))),
    ("numpy's exponentials",
     "Far out that is infinite over infinite, which is NaN. math.tanh can do without "
     "exponentials, and the slope comes from its result alone.",
     (RESULT, FRACTION.format("np.exp"))),
)  # fmt: skip


tanh_check = partial(
    agrees, partial(slopes_by_torch, torch.tanh), wrong=TANH_MISTAKES, look=plain
)

TANH = Exercise(
    id="07.tanh", title="the slope of tanh", minutes=4,
    rule=(
        "`math.tanh(a)` bends any number into the range from −1 to 1. Its slope is 1 minus the "
        "square of the result. Take this formula on trust, then try it: at 0.5 "
        "`numerical_gradient` gives 0.7864, and 1 − tanh(0.5)² is 0.7864 too. Return the result "
        "and a tuple of one, its slope; all are floats. `a` may be as far out as 2,000 or −2,000."
    ),
    reference=tanh,
    checks=(
        Check("a result and its slope", 3, "gives the result, and the slope that a small step shows",
              "Keep `result = math.tanh(a)`, and square that. `return result, (slope,)`: the comma "
              "makes the tuple.",
              tanh_check(lambda g: [(x,) for a in decimals(g, 2, 1.5) for x in (a, -a, 0.0)])),
        Check("far out", 1, "is flat far out",
              "Use the result, which stays between −1 and 1, and no exponential.",
              tanh_check(lambda g: [(x,) for a in (2000.0, 20.0, 600.0) for x in (a, -a)])),
    ),
    wrong=TANH_MISTAKES,
)  # fmt: skip


# 07.backward ------------------------------------------------------------------------


@dataclass(eq=False, repr=False)
class Node:
    """What a Value is to the chain rule, and no more: it has no backward of its own."""

    name: str
    data: float
    operands: tuple = ()
    slopes: tuple = ()
    grad: float = 0.0

    def __repr__(self):
        terms = [f"{s} × {x.name}" for x, s in zip(self.operands, self.slopes)]
        return " = ".join(
            [self.name, *[" + ".join(terms).replace("+ -", "- ")] * bool(terms)]
        )


def backward(nodes: list) -> None:
    """Set the grad of every node to the slope of the last one, the loss.

    nodes are in the order they were made. A node has operands, a tuple of earlier nodes,
    slopes, a tuple with a float for each operand, and grad, which is 0.0 at first.
    """
    nodes[-1].grad = 1.0
    for node in reversed(nodes):
        for operand, slope in zip(node.operands, node.slopes):
            operand.grad += slope * node.grad


def as_found(nodes):
    nodes[-1].grad, waiting = 1.0, [nodes[-1]]
    for node in waiting:  # which grows
        for operand, slope in zip(node.operands, node.slopes):
            operand.grad += slope * node.grad
            waiting.append(operand)


def depth_first(nodes, once=False):
    def visit(node):
        for operand, slope in zip(node.operands, node.slopes):
            operand.grad += slope * node.grad
            if not (once and operand in seen):
                seen.append(operand)
                visit(operand)

    seen, nodes[-1].grad = [], 1.0
    visit(nodes[-1])


START, PASSED = "nodes[-1].grad = 1.0", "operand.grad += slope * node.grad"
NOT_COMPLETE = (
    "A node that is used twice passed on its grad before it was complete, or more than "
    "once. Take every node once, the last made first: then all who use it have been before."
)
ONE_WAY = (
    "A node that is used twice has the grad of one way only: what the other way brought is "
    "lost. Add with +=, once for every operand of every node."
)
BACKWARD_MISTAKES = mistakes(
    backward,
    ("no start",
     "All grads are still 0. The loss's slope to itself is 1: start with nodes[-1].grad = 1.0, "
     "or there is nothing to pass on.", (START, "pass")),
    ("the first at 1", "It is the first node that is set to 1. The loss is the last: nodes[-1].",
     (START, "nodes[0].grad = 1.0")),
    ("all start at 1", "Only the loss starts at 1, all others at 0.",
     (START, "for node in nodes:\n        node.grad = 1.0")),
    ("the loss is left out",
     "Only the loss has a grad. Let the way back begin with it, and add to operand.grad.",
     ("reversed(nodes)", "reversed(nodes[:-1])")),
    ("data for slope",
     "An operand's number was used for a slope: the slopes stand in node.slopes.",
     (PASSED, "operand.grad += operand.data * node.grad")),
    ("all slopes to each",
     "The sum of slopes is passed to each operand. Each has its own: zip(node.operands, "
     "node.slopes).", (PASSED, "operand.grad += sum(node.slopes) * node.grad")),
    ("no slope", "The grad is passed on as it is: multiply it by the operand's slope.",
     (PASSED, "operand.grad += node.grad")),
    ("forwards",
     "In a chain of nodes only the last two got a grad. A node can only pass on a grad that it "
     "has: begin at the loss, and go back to the first.", ("reversed(nodes)", "nodes")),
    ("one link only",
     "In a chain of nodes the first got the slope of one link alone. Multiply it by the grad of "
     "the node that passes it on: that is the chain rule.", (PASSED, "operand.grad += slope")),
    ("added for multiplied",
     "Slope and grad are added. Along a chain slopes multiply: slope × the node's grad.",
     (PASSED, "operand.grad += slope + node.grad")),
    ("= for +=", ONE_WAY, (PASSED, "operand.grad = slope * node.grad")),
    ("the first way only", ONE_WAY, (PASSED, "operand.grad = operand.grad or slope * node.grad")),
    ("as they are found", NOT_COMPLETE, as_found),
    ("depth first", NOT_COMPLETE, depth_first),
    ("depth first, each once", NOT_COMPLETE, partial(depth_first, once=True)),
    ("every end is a loss",
     "A node that the loss was not made from has a grad; it changes nothing, and its grad stays "
     "0. Only the last node is the loss.",
     (START, "for node in nodes:\n        node.grad = float(all(node not in x.operands for x in nodes))")),
)  # fmt: skip


def by_equations(nodes: list[Node]) -> None:
    """Set the slopes of the last node by solving equations: grad = start + slopesᵀ grad."""
    slopes = np.zeros((len(nodes), len(nodes)))
    for i, node in enumerate(nodes):
        for operand, slope in zip(node.operands, node.slopes):
            slopes[i, nodes.index(operand)] += slope
    solved = np.linalg.solve(np.eye(len(nodes)) - slopes.T, np.eye(len(nodes))[-1])
    for node, grad in zip(nodes, solved.tolist()):
        node.grad = grad


def graph(generator: torch.Generator, *links: tuple[int, ...]) -> tuple[list[Node]]:
    """Nodes, for each of which its operands' places are given; the last is the loss."""
    nodes = []
    for i, places in enumerate(links):
        name = "loss" if i == len(links) - 1 else "abcdefghijklmnop"[i]
        data, *slopes = decimals(generator, 1 + len(places))
        operands = tuple(nodes[place] for place in places)
        nodes.append(Node(name, data, operands, tuple(slopes)))
    return (nodes,)


def grads(inputs: tuple) -> list[float]:
    return [plain(1.0 * node.grad) for node in inputs[0]]


def graphs(*links: tuple) -> Callable:
    return lambda generator: [graph(generator, *some) for some in links]


def any_graphs(generator):
    """With leaves in the middle, and nodes that the loss was not made from."""
    small, ends = ((), (0,), (), (2, 1)), ((), (0,), (0,))
    middle = ((), (0,), (), (1,), (1, 1), (2, 4))
    drawn = [
        tuple(whole(generator, 0, i - 1) for _ in range(whole(generator, 0, 3)))
        for i in range(1, 12)
    ]
    large = ((), *drawn, (11, 9, 0))
    return graphs(small, ends, middle, large)(generator)


graph_check = partial(
    agrees, by_equations, wrong=BACKWARD_MISTAKES, look=lambda value: None, after=grads
)

BACKWARD = Exercise(
    id="07.backward", title="the chain rule, backwards", minutes=10,
    rule=(
        "`nodes` holds every number of a computation in the order they were made; the last is "
        "the loss. Each node has `operands` (a tuple of earlier nodes), `slopes` (a float for "
        "each operand) and `grad` (0.0 at first). Set every `grad` to the slope of the loss, and "
        "return nothing: the loss's own is 1, and each node adds slope × its own grad to each of "
        "its operands. A node that the loss was not made from keeps 0."
    ),
    reference=backward,
    checks=(
        Check("it starts at 1", 1, "starts with the loss at 1",
              "`nodes[-1].grad = 1.0`, and nothing else at first.",
              graph_check(graphs(((),), ((), (0,)), ((), (), (1,)), ((), (), (), (2, 0, 1))))),
        Check("the chain rule", 2, "multiplies along a chain",
              "`for node in reversed(nodes):` and, inside, slope × node.grad.",
              graph_check(lambda g: [graph(g, (), *((i,) for i in range(n))) for n in (2, 3, 11)])),
        Check("used twice", 2, "adds up what comes by several ways",
              "`operand.grad += …`, once for each node and operand.",
              graph_check(graphs(((), (0, 0)), ((), (0,), (1, 0)), ((), (0,), (1,), (1,), (2, 3)),
                                 ((), (), (0, 1), (2, 0), (3, 2, 1))))),
        Check("any graph", 1, "agrees with a system of equations on a random graph",
              "Is every operand of every node served, and only the loss set to 1?",
              graph_check(any_graphs)),
    ),
    wrong=BACKWARD_MISTAKES, may_change=("nodes",),
)  # fmt: skip


# 07.descend -------------------------------------------------------------------------


class Loss:
    """A loss of some Values, to be called without arguments; `of` takes other numbers."""

    def __init__(self, code: str, weights: list[Value]):
        self.of, self.weights, self.code = formula(code, "w"), weights, code

    @property
    def __name__(self) -> str:
        return f"lambda: {self.code}"

    def __call__(self) -> Value:
        return self.of(self.weights)


def descend(
    parameters: list[Value], loss_of: Callable, rate: float, steps: int
) -> list[float]:
    """Take steps of gradient descent; give the loss before each step, as floats.

    loss_of() computes the loss, a Value, from the parameters as they are. A parameter may
    come with a grad from before.
    """
    losses = []
    for _ in range(steps):
        loss = loss_of()
        for parameter in parameters:
            parameter.grad = 0.0
        loss.backward()
        for parameter in parameters:
            parameter.data -= rate * parameter.grad
        losses.append(loss.data)
    return losses


ZERO = "        for parameter in parameters:\n            parameter.grad = 0.0\n"
BACK, MOVE = "        loss.backward()\n", "parameter.data -= rate * parameter.grad"
KEEP, CLEAN = (
    "        losses.append(loss.data)\n",
    "        autograd.zero_grad(parameters)\n",
)
EVERY_STEP = (
    "backward adds to the grads of the step before: zero them in every step, before "
    "backward."
)
NOT_MOVED = (
    "After a step no parameter has moved. Are the grads set by loss.backward(), and zeroed "
    "before it, not after it? Is parameter.data what moves? That is what loss_of() reads."
)
DESCEND_MISTAKES = mistakes(
    descend,
    ("zeroed before the move", NOT_MOVED, (ZERO, ""), (BACK, BACK + CLEAN)),
    ("no move", NOT_MOVED, (MOVE, "pass")),
    ("None for zero", "None can't be added to. Set the grads to 0.0 before backward.",
     ("parameter.grad = 0.0", "parameter.grad = None")),
    ("uphill", "It goes uphill: the gradient points up, so take it away.",
     (MOVE, MOVE.replace("-=", "+="))),
    ("no rate", "The rate is missing: move by rate × grad.", ("rate * parameter", "parameter")),
    ("the first only", "Only the first parameter moves: move each of them.",
     (f"for parameter in parameters:\n            {MOVE}",
      f"for parameter in parameters[:1]:\n            {MOVE}")),
    ("Values for numbers", "The losses are Values; give their numbers: loss.data.",
     ("loss.data", "loss")),
    ("one loss for all",
     "All losses are alike, while the parameters move. Call loss_of() again in every step.",
     ("        loss = loss_of()\n", ""), ("losses = []", "losses, loss = [], loss_of()")),
    ("the loss after",
     "The first loss is the one after the first step. Give the loss before each.",
     ("append(loss.data)", "append(loss_of().data)")),
    ("one more loss",
     "There is one loss more than there are steps: give the loss before each step, and none "
     "after the last.", ("return losses", "return [*losses, loss_of().data]")),
    ("the last loss only", "Give a list with the loss before each step, not the last one alone.",
     ("return losses", "return loss.data")),
    ("never zeroed", EVERY_STEP, (ZERO, "")),
    ("zeroed once", EVERY_STEP,
     (ZERO, ""), ("losses = []", "losses = []\n    autograd.zero_grad(parameters)")),
    ("stops when it rises",
     "It stops, or goes back, where the loss rises. Take all steps: a rate that is too high "
     "must show.",
     (KEEP, KEEP + "        if max(losses) == losses[-1] > losses[0]:\n            break\n")),
    ("zeroed after the move",
     "The parameters came with a grad from before, and the first step took it along. Zero the "
     "grads before backward, in the first step too.", (ZERO, ""), (KEEP, KEEP + CLEAN)),
)  # fmt: skip


def descend_by_torch(parameters, loss_of, rate, steps):
    """The same by torch's gradients, which don't add up."""
    weights = [torch.tensor(one.data).double().requires_grad_() for one in parameters]
    losses = []
    for _ in range(steps):
        loss = loss_of.of(weights)
        slopes = torch.autograd.grad(loss, weights, materialize_grads=True)
        with torch.no_grad():
            for weight, slope in zip(weights, slopes):
                weight -= rate * slope
        losses.append(loss.item())
    for parameter, weight in zip(parameters, weights):
        parameter.data = weight.item()
    return losses


def bare(losses: Any) -> Any:
    """Losses as Python's floats; a Value without its history."""
    if type(losses) is not list:
        return losses
    return [Value(one.data) if type(one) is Value else plain(one) for one in losses]


def data(inputs: tuple) -> list[float]:
    return [plain(parameter.data) for parameter in inputs[0]]


BOWL, COUPLED = "(w[0] - 2)**2", "(w[0] * w[1] - 1)**2 + w[1]**2"
VALLEY = "w[0]**2 + 10 * w[1]**2"


def walk(code: str, start: list[float], rate: float, steps: int, grad: float = 0.0):
    """The arguments of descend: from these numbers, with a grad from before."""
    weights = [Value(number) for number in start]
    for weight in weights:
        weight.grad = grad
    return weights, Loss(code, weights), rate, steps


def many_steps(generator):
    """One that couples two parameters, one that rises, and one that is long."""
    rising = decimals(generator, 2, 1.0), pick(generator, [0.11, 0.12])
    return [
        walk(BOWL, decimals(generator, 1), 0.2, 3),
        walk(COUPLED, decimals(generator, 2, 1.0), 0.05, 4),
        walk(VALLEY, *rising, 5),
        walk(VALLEY, decimals(generator, 2), 0.05, 80),
        walk(BOWL, decimals(generator, 1), 0.1, 0),
    ]


def grads_from_before(generator):
    """The last parameter of the second is one that the loss does not use."""
    return [
        walk(BOWL, decimals(generator, 1), 0.1, 2, pick(generator, [-4.0, 5.0])),
        walk(COUPLED, decimals(generator, 3, 1.0), 0.1, 3, 2.0),
    ]


descent_check = partial(
    agrees, descend_by_torch, wrong=DESCEND_MISTAKES, look=bare, after=data
)

DESCEND = Exercise(
    id="07.descend", title="gradient descent", minutes=10,
    rule=(
        "Repeat `steps` times: compute the loss with `loss_of()` (it gives a new `Value`), set "
        "the `grad` of all `parameters` to what this loss says, and move each parameter's `data` "
        "by rate × grad, downhill. `backward()` adds to the grads that are there, and a "
        "parameter may come with a grad from before. Return a list with the loss before each "
        "step, as floats."
    ),
    reference=descend,
    checks=(
        Check("one step", 1, "takes a step downhill",
              "`parameter.data -= rate * parameter.grad`, for each of them.",
              descent_check(lambda g: [walk(BOWL, decimals(g, 1), 0.2, 1),
                                       walk(COUPLED, decimals(g, 2, 1.0), 0.1, 1)])),
        Check("many steps", 2, "starts every step with clean grads and a new loss",
              "Inside the loop: loss_of, zero the grads, backward, move.",
              descent_check(many_steps)),
        Check("grads from before", 1, "forgets what was there before it came",
              "Zero the grads before backward, not after the move.",
              descent_check(grads_from_before)),
    ),
    wrong=DESCEND_MISTAKES, may_change=("parameters",),
    keywords=("rate", "steps"),
)  # fmt: skip


# 07.explodes_above ------------------------------------------------------------------


def explodes_above(c: float) -> float:
    """The rate above which gradient descent on the loss c × w² runs away.

    c is above 0. Below that rate w comes ever nearer to 0; above it, w jumps further
    away with every step.
    """
    return 1 / c


ANY_BOWL = (
    "That does not hold for bowls of any steepness: the limit depends on c, for the "
    "smallest and the largest. What does a step make of w, for this c?"
)
EXPLODES_MISTAKES = mistakes(
    explodes_above,
    ("upside down", "That is upside down: the steeper the bowl, the smaller the rate.",
     ("1 / c", "float(c)")),
    ("the curvature", "2 c is the curvature. The steeper the bowl, the smaller the rate.",
     ("1 / c", "2 * c")),
    ("half a bowl", "That would be right for half of c × w²; the slope here is 2 c w.",
     ("1 / c", "2 / c")),
    ("the best rate",
     "That rate jumps to the bottom in one step; twice as far is still no further away than "
     "before.", ("1 / c", "1 / (2 * c)")),
    ("squared",
     "The slope grows with c, and not with its square. Above what rate is w, after a step, "
     "further from 0 than before?", ("1 / c", "1 / c**2")),
    ("always 1", ANY_BOWL, ("1 / c", "1.0")),
    ("always 0.1", ANY_BOWL, ("1 / c", "0.1")),
    ("never below a tenth", ANY_BOWL, ("1 / c", "max(1 / c, 0.1)")),
    ("never above 1", ANY_BOWL, ("1 / c", "min(1 / c, 1.0)")),
)  # fmt: skip


def limit_by_trying(c: float) -> float:
    """The rate at which a step from 1 ends as far from 0, by halving an interval."""
    low, high = 0.0, 1e4
    for _ in range(80):
        rate = (low + high) / 2
        nearer = abs(1 - rate * (2 * c)) < 1
        low, high = (rate, high) if nearer else (low, rate)
    return low


def where_a_step_ends(inputs: tuple, rate: float, limit: float) -> str:
    end = 1 - rate * (2 * inputs[0])
    told = f"a step with rate {rate:.4g} makes w = 1 into {end:.4g}"
    if rate <= 0:
        return "a rate is above 0"
    if rate > limit:
        return f"{told}; a rate a little smaller makes it jump further out too"
    return f"{told}, so a little above that rate w still comes to rest"


limit_check = partial(
    agrees, limit_by_trying, wrong=EXPLODES_MISTAKES, tolerance=1e-6, look=plain,
    why=where_a_step_ends,
)  # fmt: skip

EXPLODES_ABOVE = Exercise(
    id="07.explodes_above", title="the rate that explodes", minutes=6,
    rule=(
        "The loss is `c` × w², with `c` above 0. Its slope is 2 × `c` × w, and each step takes "
        "rate × slope away from w. With a small rate w comes to rest at 0; with a large one it "
        "jumps to the other side, further out each time. Return the rate at which that begins, a "
        "float. Compare |w| before and after a step."
    ),
    reference=explodes_above,
    checks=(
        Check("calm below, wild above", 2,
              "names the rate below which w comes to rest and above which it runs away",
              "A step makes w into (1 − 2 × c × rate) × w. When is |1 − 2 × c × rate| above 1?",
              limit_check(lambda g: [(whole(g, 3, 9) + 0.5,), (float(whole(g, 3, 9)),)])),
        Check("any bowl", 1, "holds for flat and for steep bowls",
              "The answer depends on c, for the smallest and the largest.",
              limit_check(lambda g: [(10.0,), (whole(g, 3, 9) / 100,), (100.0 * whole(g, 3, 9),)])),
    ),
    wrong=EXPLODES_MISTAKES,
)  # fmt: skip


# 07.matmul_gradients ----------------------------------------------------------------


def matmul_gradients(
    x: np.ndarray, weight: np.ndarray, gradient: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of x (N, C) and of weight (C, K), for the product x @ weight (N, K).

    gradient (N, K) is that of the product: how the loss changes with each of its numbers.
    """
    return gradient @ weight.T, x.T @ gradient


def whatever_fits(x, weight, gradient):
    def fitting(a, b, shape):
        for one in (a, a.T):
            for other in (b, b.T):
                if one.shape[1] == other.shape[0] and (one @ other).shape == shape:
                    return one @ other

    return fitting(gradient, weight, x.shape), fitting(x, gradient, weight.shape)


OF_X, OF_WEIGHT = "gradient @ weight.T", "x.T @ gradient"
DONT_FIT = (
    "The shapes don't fit. Which of gradient (N, K) and weight (C, K) must be transposed "
    "(.T), so that their product has x's shape, (N, C)? And which of x (N, C) and gradient, "
    "for weight's, (C, K)?"
)
LEFT_OUT = "It leaves gradient out: what comes from the loss is multiplied in."
RESHAPED = "That reshapes {0}, which leaves its numbers in their order; .T swaps rows and columns."
MATMUL_MISTAKES = mistakes(
    matmul_gradients,
    ("no transpose", DONT_FIT, (OF_X, "gradient @ weight"), (OF_WEIGHT, "x @ gradient")),
    ("x not transposed", DONT_FIT, (OF_WEIGHT, "x @ gradient")),
    ("no transpose, by np.dot", DONT_FIT, (OF_X, "np.dot(gradient, weight)")),
    ("gradient transposed", DONT_FIT, (OF_X, "gradient.T @ weight")),
    ("weight first", DONT_FIT, (OF_X, "weight @ gradient")),
    ("gradient first", DONT_FIT, (OF_WEIGHT, "gradient @ x")),
    ("number by number",
     "* multiplies number by number. A slope is a sum over all places where a number is used: "
     "that is what @ does.", (OF_X, "gradient * weight.T")),
    ("one array", "It gives one array. Give two: the gradient of x, and that of weight.",
     (f"{OF_X}, {OF_WEIGHT}", OF_X)),
    ("the other order", "They are the wrong way round: first x's gradient, then weight's.",
     (f"{OF_X}, {OF_WEIGHT}", f"{OF_WEIGHT}, {OF_X}")),
    ("weight transposed", "The gradient of weight is transposed; it has the shape of weight.",
     (OF_WEIGHT, "gradient.T @ x")),
    ("reshape for T", RESHAPED.format("weight"),
     (OF_X, "gradient @ weight.reshape(weight.shape[::-1])")),
    ("reshape of x", RESHAPED.format("x"), (OF_WEIGHT, "x.reshape(x.shape[::-1]) @ gradient")),
    ("gradient left out", LEFT_OUT,
     (OF_X, "np.ones_like(gradient) @ weight.T"), (OF_WEIGHT, "x.T @ np.ones_like(gradient)")),
    ("the mean",
     "That is the mean over the rows of x; every row uses the weight, so the slopes add up.",
     (OF_WEIGHT, "x.T @ gradient / len(x)")),
    ("the mean for x", "It is divided by the number of rows; each row counts in full.",
     (OF_X, "gradient @ weight.T / len(x)")),
    ("the first row", "Only the first row of x counts; every row uses the weight.",
     (OF_WEIGHT, "np.outer(x[0], gradient[0])")),
    ("sums first",
     "The rows are added up before they are multiplied: multiply row by row, then add.",
     (OF_WEIGHT, "np.outer(x.sum(0), gradient.sum(0))")),
    ("whatever fits",
     "With square matrices every shape fits, transposed or not: don't choose by what fits.",
     whatever_fits),
)  # fmt: skip


def product_by_torch(x, weight, gradient):
    leaves = [torch.tensor(one, requires_grad=True) for one in (x, weight)]
    slopes = torch.autograd.grad(leaves[0] @ leaves[1], leaves, torch.tensor(gradient))
    return tuple(one.numpy() for one in slopes)


def shapes(value: Any) -> Any:
    pair = isinstance(value, list | tuple)
    return [tuple(getattr(one, "shape", ())) for one in value] if pair else value


def one_of(place: int) -> Callable:
    """Look at one of two gradients."""
    return lambda pair: pair[place] if isinstance(pair, list | tuple) else pair


def product(generator: torch.Generator, n: int, c: int, k: int) -> tuple:
    """x (N, C), weight (C, K) and the gradient of their product (N, K)."""
    return tuple(array(generator, *shape) for shape in ((n, c), (c, k), (n, k)))


def of_many_sizes(generator):
    """All sizes differ, and no axis but the first is 1; the moons of the lesson too."""
    sizes = [(1, 2, 3), (2, 3, 4), (4, 3, 2), (60, 2, 3)]
    return [product(generator, *some) for some in sizes]


matmul_check = partial(agrees, product_by_torch, wrong=MATMUL_MISTAKES)

MATMUL_GRADIENTS = Exercise(
    id="07.matmul_gradients", title="the gradients of a matrix product", minutes=10,
    rule=(
        "`x` is (N, C) and `weight` is (C, K), so the product `x @ weight` is (N, K). `gradient` "
        "(N, K) says how the loss changes with each number of the product. Return two numpy "
        "arrays: the gradient of `x`, of x's shape, and the gradient of `weight`, of weight's "
        "shape. Take one number of `x`. It is multiplied with several numbers of `weight`, and "
        "each product goes into one place of the result. Multiply each of these weights with the "
        "gradient of its place. Add all these products: this sum is the gradient of the number of "
        "`x`. For a number of `weight` do the same with the numbers of `x`."
    ),
    reference=matmul_gradients,
    checks=(
        Check("shapes", 1, "gives each operand a gradient of its own shape",
              "(N, K) @ (K, C) is (N, C); (C, N) @ (N, K) is (C, K).",
              matmul_check(of_many_sizes, look=shapes, shows="[one.shape for one in {}]")),
        Check("x", 1, "has the gradient of x",
              "gradient on the left, weight on its side: `weight.T`",
              matmul_check(of_many_sizes, look=one_of(0), shows="{}[0]")),
        Check("weight", 1, "adds up the gradient of weight over all rows",
              "x on its side, `x.T`, and gradient on the right",
              matmul_check(of_many_sizes, look=one_of(1), shows="{}[1]")),
        Check("square matrices", 1, "is right where every shape would fit",
              "Don't choose by what fits: for square matrices all shapes do.",
              matmul_check(lambda g: [product(g, *some) for some in ((2, 2, 2), (3, 3, 3), (2, 3, 4))])),
    ),
    wrong=MATMUL_MISTAKES,
)  # fmt: skip

EXERCISES = (  # in the lesson's order
    NUMERICAL_GRADIENT,
    TIMES,
    TANH,
    BACKWARD,
    DESCEND,
    MATMUL_GRADIENTS,
    EXPLODES_ABOVE,
)
