"""Exercises of lesson 07: slopes, the chain rule, gradient descent, and how they fail."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from course_lib import autograd
from course_lib.autograd import Value
from course_lib.exercises.legacy import (
    Check,
    Exercise,
    Mistake,
    Wrong,
    want_close,
    want_equal,
    want_type,
    whole,
)


def number(generator: torch.Generator, low: float = 1.5, high: float = 4.0) -> float:
    """A random number whose size lies between low and high, of either sign."""
    size = low + (high - low) * float(torch.rand(1, generator=generator))
    return size if whole(generator, 0, 1) else -size


def numbers(generator: torch.Generator, *shape: int) -> np.ndarray:
    """Random normal numbers, float64."""
    return torch.randn(shape, generator=generator, dtype=torch.float64).numpy()


def close(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=1e-4, abs_tol=1e-4)


def named(value: float, likely: dict[str, float]) -> str:
    """The words for the mistake that gives this number, if one of them does."""
    return next((f" {w}" for w, wrong in likely.items() if close(value, wrong)), "")


def want_result(value, names: str, what: str) -> tuple[float, list[float]]:
    """Demand (result, slopes), with a slope for each of the names; give it as floats."""
    if isinstance(value, float):
        raise Mistake(f"{what} gives one number only. Give the result and the slopes.")
    want_type(value, tuple, what)
    if len(value) != 2:
        raise Mistake(
            f"{what} gives {len(value)} things. Give two: the result, and a tuple with "
            f"the slope of {' and of '.join(names)}."
        )
    result, slopes = value
    if isinstance(slopes, float) and len(names) == 1:
        raise Mistake(
            "The slopes are a single number: brackets alone make no tuple. A tuple of one "
            "has a comma, (slope,)."
        )
    want_type(slopes, tuple, "slopes, the second thing you give,")
    if len(slopes) != len(names):
        raise Mistake(
            f"There is {len(slopes)} slope for {len(names)} operands: every operand has "
            "one of its own."
        )
    return want_float(result, "the result"), [
        want_float(slope, f"the slope of {name}") for slope, name in zip(slopes, names)
    ]


def want_float(value, what: str) -> float:
    """Demand a float, numpy's own too, that is a number."""
    value = float(value) if type(value) is np.float64 else value
    want_type(value, float, what)
    if math.isnan(value):
        raise Mistake(f"{what} is NaN: infinite over infinite?")
    return value


# 07.times ---------------------------------------------------------------------------


def times(a: float, b: float) -> tuple[float, tuple[float, float]]:
    """The product a × b, and its slopes: (product, (slope of a, slope of b)).

    The slope of a: by how much the product grows when a grows a little, over how much a
    grew.
    """
    return a * b, (b, a)


def multiplies(times_, generator):
    a, b = number(generator), number(generator)
    what = f"times({a:.4g}, {b:.4g})"
    result, _ = want_result(times_(a, b), "ab", what)
    want_close(result, a * b, f"the product in {what}")


def has_slopes_of_a_product(times_, generator):
    a, b = number(generator, 1.5, 2.5), number(generator, 3, 4)
    _, slopes = want_result(times_(a, b), "ab", f"times({a:.4g}, {b:.4g})")
    if close(slopes[0], a) and close(slopes[1], b):
        raise Mistake(
            f"The slopes are the wrong way round. If a grows by 0.1, {a:.4g} × {b:.4g} "
            f"grows by 0.1 × {b:.4g}: the slope of a is b."
        )
    likely = {
        "That is the rule of +, whose slopes are 1.": 1.0,
        "That is the product itself.": a * b,
    }
    for name, slope, other in zip("ab", slopes, (b, a)):
        if not close(slope, other):
            raise Mistake(
                f"At a = {a:.4g} and b = {b:.4g}, the slope of {name} is {slope:.4g}; "
                f"trying a step of 0.001 gives {other:.4g}.{named(slope, likely)}"
            )


def bears_zero(times_, generator):
    other = number(generator)
    for a, b in ((0.0, other), (other, 0.0)):
        try:
            value = times_(a, b)
        except ZeroDivisionError:
            raise Mistake(
                "One number is 0, and it divides by it. A slope of × needs no division: "
                "which number is left when the other is taken out?"
            ) from None
        result, slopes = want_result(value, "ab", f"times({a:.4g}, {b:.4g})")
        want_close(result, 0.0, f"the product in times({a:.4g}, {b:.4g})")
        for slope, wanted, name in zip(slopes, (b, a), "ab"):
            want_close(slope, wanted, f"at ({a:.4g}, {b:.4g}) the slope of {name}")


def wrong_swapped(a, b):
    return a * b, (a, b)


def wrong_rule_of_plus(a, b):
    return a * b, (1.0, 1.0)


def wrong_product_twice(a, b):
    return a * b, (a * b, a * b)


def wrong_one_slope(a, b):
    return a * b, (b,)


def wrong_by_division(a, b):
    product = a * b
    return product, (product / a, product / b)


def wrong_no_slopes(a, b):
    return a * b


def wrong_flat(a, b):
    return a * b, b, a


TIMES = Exercise(
    id="07.times",
    title="the slopes of a product",
    minutes=4,
    rule=(
        "Multiply two floats, and say how the product changes with each of them. Return "
        "two things: the product, and a tuple with the slope of `a` and the slope of `b`, "
        "all floats. Either number may be 0."
    ),
    reference=times,
    checks=(
        Check(
            name="a product and two slopes",
            points=1,
            proves="gives the product and a slope for each operand",
            hint="`return product, (slope_of_a, slope_of_b)`",
            run=multiplies,
        ),
        Check(
            name="the right slopes",
            points=2,
            proves="has the slopes of a product",
            hint="Take 3 × 5. Make the 3 a 4: how far did the product go? And for the 5?",
            run=has_slopes_of_a_product,
        ),
        Check(
            name="zero",
            points=1,
            proves="works at 0 too",
            hint="At a = 0 the product is 0; once a moves, it moves by b times as much.",
            run=bears_zero,
        ),
    ),
    wrong=(
        Wrong("swapped", wrong_swapped, "the wrong way round"),
        Wrong("the rule of +", wrong_rule_of_plus, "That is the rule of +"),
        Wrong("the product twice", wrong_product_twice, "That is the product itself"),
        Wrong("one slope only", wrong_one_slope, "There is 1 slope for 2 operands"),
        Wrong("by division", wrong_by_division, "needs no division"),
        Wrong("no slopes", wrong_no_slopes, "gives one number only"),
        Wrong("three things", wrong_flat, "gives 3 things"),
    ),
)


# 07.tanh ----------------------------------------------------------------------------


def tanh(a: float) -> tuple[float, tuple[float]]:
    """The hyperbolic tangent of a, and its slope, as a tuple of one: (tanh, (slope,))."""
    result = math.tanh(a)
    return result, (1 - result**2,)


def bends(tanh_, generator):
    a = number(generator, 0.3, 1.5)
    result, _ = want_result(tanh_(a), "a", f"tanh({a:.4g})")
    want_close(result, math.tanh(a), f"the result of tanh({a:.4g})")


def has_the_slope_of_tanh(tanh_, generator):
    for a in (0.0, number(generator, 0.3, 0.8), number(generator, 1.0, 1.5)):
        _, (slope,) = want_result(tanh_(a), "a", f"tanh({a:.4g})")
        up, down = math.tanh(a + 1e-4), math.tanh(a - 1e-4)
        wanted, t = (up - down) / 2e-4, math.tanh(a)
        likely = {
            "It squares a; square the result, tanh(a).": 1 - a**2,
            "That is 1 − tanh(a): the square is missing.": 1 - t,
            "That is the sigmoid's rule, s (1 − s).": t * (1 - t),
            "Its sign is turned round: tanh climbs everywhere.": -wanted,
            "That is the result, not its slope.": t,
        }
        if not close(slope, wanted):
            raise Mistake(
                f"At a = {a:.4g} the slope is {slope:.4g}; trying a small step gives "
                f"{wanted:.4g}.{named(slope, likely)}"
            )


def is_flat_far_out(tanh_, generator):
    a = number(generator, 1_000, 2_000)
    try:
        value = tanh_(a)
    except OverflowError:
        raise Mistake(
            f"e to the power of {abs(a):.0f} is too large a number to hold. math.tanh can "
            "do without it, and the slope comes from its result alone."
        ) from None
    result, (slope,) = want_result(value, "a", f"tanh({a:.0f})")
    want_close(result, math.copysign(1.0, a), f"the result of tanh({a:.0f})")
    want_close(slope, 0.0, f"far out, the slope at {a:.0f}")


def wrong_no_square(a):
    return math.tanh(a), (1 - math.tanh(a),)


def wrong_squares_a(a):
    return math.tanh(a), (1 - a**2,)


def wrong_sigmoid(a):
    t = math.tanh(a)
    return t, (t * (1 - t),)


def wrong_downhill(a):
    t = math.tanh(a)
    return t, (t**2 - 1,)


def wrong_no_comma(a):
    return math.tanh(a), 1 - math.tanh(a) ** 2


def wrong_overflow(a):
    return math.tanh(a), (1 / math.cosh(a) ** 2,)


def wrong_only_slope(a):
    return 1 - math.tanh(a) ** 2


TANH = Exercise(
    id="07.tanh",
    title="the slope of tanh",
    minutes=4,
    rule=(
        "`math.tanh(a)` bends any number into the range from −1 to 1. Its slope is 1 minus "
        "the square of the result. Return the result and a tuple of one, its slope; all "
        "are floats. `a` may be as far out as 2,000 or −2,000."
    ),
    reference=tanh,
    checks=(
        Check(
            name="a result and a slope",
            points=1,
            proves="gives the result and a tuple of one slope",
            hint="`return result, (slope,)`: the comma makes the tuple.",
            run=bends,
        ),
        Check(
            name="the right slope",
            points=2,
            proves="has the slope that a small step shows",
            hint="Keep `result = math.tanh(a)`, and square that.",
            run=has_the_slope_of_tanh,
        ),
        Check(
            name="far out",
            points=1,
            proves="is flat far out",
            hint="Use the result, which stays between −1 and 1, and no exponential.",
            run=is_flat_far_out,
        ),
    ),
    wrong=(
        Wrong("no square", wrong_no_square, "the square is missing"),
        Wrong("a squared", wrong_squares_a, "It squares a"),
        Wrong("the sigmoid's rule", wrong_sigmoid, "the sigmoid's rule"),
        Wrong("the sign", wrong_downhill, "sign is turned round"),
        Wrong("no comma", wrong_no_comma, "brackets alone make no tuple"),
        Wrong("overflow", wrong_overflow, "too large a number to hold"),
        Wrong("the slope only", wrong_only_slope, "gives one number only"),
    ),
)


# 07.backward ------------------------------------------------------------------------


@dataclass(eq=False)
class Node:
    """What a Value is to the chain rule, and no more: it has no backward of its own."""

    data: float
    operands: tuple = ()
    slopes: tuple = ()
    grad: float = 0.0


def backward(nodes: list) -> None:
    """Set the grad of every node to the slope of the last one, the loss.

    nodes are in the order they were made. A node has operands, a tuple of earlier nodes,
    slopes, a tuple with a float for each operand, and grad, which is 0.0 at first.
    """
    nodes[-1].grad = 1.0
    for node in reversed(nodes):
        for operand, slope in zip(node.operands, node.slopes):
            operand.grad += slope * node.grad


def made(generator: torch.Generator, *operands: Node) -> Node:
    """A node with random slopes for these operands."""
    slopes = tuple(number(generator) for _ in operands)
    return Node(number(generator, 5, 9), operands, slopes)


def right_grads(nodes: list[Node]) -> list[float]:
    """The slopes of the last node by solving equations: grad = start + slopesᵀ grad."""
    places = {node: i for i, node in enumerate(nodes)}
    slopes = np.zeros((len(nodes), len(nodes)))
    for node in nodes:
        for operand, slope in zip(node.operands, node.slopes):
            slopes[places[node], places[operand]] += slope
    start = np.eye(len(nodes))[-1]
    return np.linalg.solve(np.eye(len(nodes)) - slopes.T, start).tolist()


def grads_after(backward_, nodes: list[Node]) -> list[float]:
    """Let an answer run on these nodes, and give the grads that it leaves."""
    backward_(list(nodes))
    return [want_float(1.0 * node.grad, "a node's grad") for node in nodes]


def starts_at_one(backward_, generator):
    a, b = made(generator), made(generator)
    loss = made(generator, a, b)
    *grads, last = grads_after(backward_, [a, b, loss])
    if last == 0 and not any(grads):
        raise Mistake(
            "All grads are still 0. The loss's slope to itself is 1: start with "
            "nodes[-1].grad = 1.0, or there is nothing to pass on."
        )
    want_close(last, 1.0, "the grad of the loss itself")
    likely = {
        "Only the loss starts at 1, all others at 0.": 1 + loss.slopes[0],
        "Its number was used for a slope.": a.data,
        "Is the sum of slopes passed to each?": sum(loss.slopes),
    }
    for name, grad, slope in zip("ab", grads, loss.slopes):
        if not close(grad, slope):
            raise Mistake(
                f"The loss has the operands a and b and the slopes {loss.slopes[0]:.4g} and "
                f"{loss.slopes[1]:.4g}. Afterwards the grad of {name} is {grad:.4g}; it "
                f"should be {slope:.4g}.{named(grad, likely)}"
            )


def follows_a_chain(backward_, generator):
    nodes = [made(generator)]
    for _ in range(3):
        nodes.append(made(generator, nodes[-1]))
    grads, right = grads_after(backward_, nodes), right_grads(nodes)
    if grads[:2] == [0, 0]:
        raise Mistake(
            "In a chain of four nodes the first two got nothing. A node can only pass on a "
            "grad that it has: begin at the loss, and go back to the first."
        )
    if close(grads[0], nodes[1].slopes[0]):
        raise Mistake(
            "In a chain of four nodes the first got the slope of one link alone. Multiply "
            "it by the grad of the node that passes it on: that is the chain rule."
        )
    for i, (grad, wanted) in enumerate(zip(grads, right)):
        want_close(grad, wanted, f"in a chain of four, the grad of node {i}")


def adds_up(backward_, generator):
    x = made(generator)
    y = made(generator, x)
    left, right = made(generator, y), made(generator, y)
    nodes = [x, y, left, right, made(generator, left, right)]
    grads, wanted = grads_after(backward_, nodes), right_grads(nodes)
    by_left = nodes[-1].slopes[0] * left.slopes[0]
    by_right = nodes[-1].slopes[1] * right.slopes[0]
    if close(grads[1], by_left) or close(grads[1], by_right):
        raise Mistake(
            "A node that is used twice has the grad of one way only: = writes over what "
            "the other brought. Add with +=."
        )
    if close(grads[1], wanted[1]) and not close(grads[0], wanted[0]):
        raise Mistake(
            "A node that is used twice passed on its grad before it was complete, or more "
            "than once. Take every node once, the last made first: then all who use it "
            "have been before."
        )
    for grad, right_one in zip(grads, wanted):
        want_close(grad, right_one, "where two ways meet, a grad")
    x = made(generator)
    square = made(generator, x, x)
    grads = grads_after(backward_, [x, square])
    want_close(grads[0], sum(square.slopes), "of x in x × x, the grad, by both sides,")


def goes_back_in_any_graph(backward_, generator):
    nodes = [made(generator) for _ in range(3)]
    for _ in range(7):
        few = [nodes[whole(generator, 0, len(nodes) - 1)] for _ in range(2)]
        nodes.append(made(generator, *few[: whole(generator, 1, 2)]))
    nodes.append(made(generator, nodes[-1], nodes[-3], nodes[0]))
    unused = made(generator, nodes[1])
    nodes.insert(-1, unused)
    grads, right = grads_after(backward_, nodes), right_grads(nodes)
    if not close(unused.grad, 0.0):
        raise Mistake(
            f"A node that the loss was not made from has the grad {unused.grad:.4g}; it "
            "changes nothing, and its grad stays 0."
        )
    for i, (grad, wanted) in enumerate(zip(grads, right)):
        want_close(grad, wanted, f"in a random graph, the grad of node {i}")


def wrong_forward(nodes):
    nodes[-1].grad = 1.0
    for node in nodes:
        for operand, slope in zip(node.operands, node.slopes):
            operand.grad += slope * node.grad


def wrong_writes_over(nodes):
    nodes[-1].grad = 1.0
    for node in reversed(nodes):
        for operand, slope in zip(node.operands, node.slopes):
            operand.grad = slope * node.grad


def wrong_no_start(nodes):
    for node in reversed(nodes):
        for operand, slope in zip(node.operands, node.slopes):
            operand.grad += slope * node.grad


def wrong_all_start(nodes):
    for node in nodes:
        node.grad = 1.0
    for node in reversed(nodes):
        for operand, slope in zip(node.operands, node.slopes):
            operand.grad += slope * node.grad


def wrong_one_link(nodes):
    nodes[-1].grad = 1.0
    for node in reversed(nodes):
        for operand, slope in zip(node.operands, node.slopes):
            operand.grad += slope


def wrong_depth_first(nodes):
    def visit(node):
        for operand, slope in zip(node.operands, node.slopes):
            operand.grad += slope * node.grad
            visit(operand)

    nodes[-1].grad = 1.0
    visit(nodes[-1])


def wrong_data_for_slope(nodes):
    nodes[-1].grad = 1.0
    for node in reversed(nodes):
        for operand in node.operands:
            operand.grad += operand.data * node.grad


def wrong_starts_at_last_of_all(nodes):
    used = {id(operand) for node in nodes for operand in node.operands}
    for node in nodes:
        node.grad = 0.0 if id(node) in used else 1.0
    for node in reversed(nodes):
        for operand, slope in zip(node.operands, node.slopes):
            operand.grad += slope * node.grad


BACKWARD = Exercise(
    id="07.backward",
    title="the chain rule, backwards",
    minutes=10,
    rule=(
        "`nodes` holds every number of a computation in the order they were made; the "
        "last is the loss. Each node has `operands` (a tuple of earlier nodes), `slopes` "
        "(a float for each operand) and `grad` (0.0 at first). Set every `grad` to the "
        "slope of the loss, and return nothing: the loss's own is 1, and each node adds "
        "slope × its own grad to each of its operands. A node that the loss was not made "
        "from keeps 0."
    ),
    reference=backward,
    checks=(
        Check(
            name="it starts at 1",
            points=1,
            proves="starts with the loss at 1",
            hint="`nodes[-1].grad = 1.0`, and nothing else at first.",
            run=starts_at_one,
        ),
        Check(
            name="the chain rule",
            points=2,
            proves="multiplies along a chain",
            hint="`for node in reversed(nodes):` and, inside, slope × node.grad.",
            run=follows_a_chain,
        ),
        Check(
            name="used twice",
            points=2,
            proves="adds up what comes by several ways",
            hint="`operand.grad += …`, once for each node and operand.",
            run=adds_up,
        ),
        Check(
            name="any graph",
            points=1,
            proves="agrees with a system of equations on a random graph",
            hint="Is every operand of every node served, and only the loss set to 1?",
            run=goes_back_in_any_graph,
        ),
    ),
    wrong=(
        Wrong("forwards", wrong_forward, "begin at the loss"),
        Wrong("= for +=", wrong_writes_over, "Add with +="),
        Wrong("no start", wrong_no_start, "start with nodes[-1].grad = 1.0"),
        Wrong("all start at 1", wrong_all_start, "Only the loss starts at 1"),
        Wrong("one link only", wrong_one_link, "that is the chain rule"),
        Wrong("depth first", wrong_depth_first, "the last made first"),
        Wrong("data for slope", wrong_data_for_slope, "used for a slope"),
        Wrong(
            "every end is a loss",
            wrong_starts_at_last_of_all,
            "that the loss was not made from",
        ),
    ),
)


# 07.numerical_gradient --------------------------------------------------------------


def want_gradient(value, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Demand a numpy array of decimals of this shape."""
    want_type(value, np.ndarray, what)
    if value.shape != shape:
        raise Mistake(f"{what} has shape {value.shape}; it should be {shape}.")
    if value.dtype.kind != "f":
        raise Mistake(f"{what} holds {value.dtype}; decimal numbers are wanted.")
    if np.isnan(value).any():
        raise Mistake(f"{what} holds NaN.")
    return value


def same(value: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays have one shape and the same numbers, rounding aside."""
    return value.shape == other.shape and np.allclose(value, other, 1e-4, 1e-4)


def want_same(value: np.ndarray, wanted: np.ndarray, what: str, likely: dict) -> None:
    """Demand these numbers; `likely` maps the words for a mistake to its numbers."""
    if same(value, wanted):
        return
    words = [f" {words}" for words, wrong in likely.items() if same(value, wrong)]
    place = tuple(
        int(i) for i in np.argwhere(~np.isclose(value, wanted, 1e-4, 1e-4))[0]
    )
    raise Mistake(
        f"{what} at {list(place)} is {value[place]:.4g}; it should be "
        f"{wanted[place]:.4g}.{words[0] if words else ''}"
    )


def tries_every_number(numerical, generator):
    x, factor = numbers(generator, 2, 3) + 3, numbers(generator, 2, 3)
    value = numerical(lambda x: float((factor * x).sum()), x.copy())
    if isinstance(value, float):
        raise Mistake(
            "It gives one number: all of x was moved at once. Move one number, leave the "
            "others, and give a slope for each."
        )
    value = want_gradient(value, (2, 3), "the gradient of a sum of 2 × 3 numbers")
    likely = {
        "That is twice as much: up and down are 2 epsilon apart.": 2 * factor,
        "That is half as much: a step to one side is one epsilon long.": factor / 2,
        "Its sign is turned round: up minus down.": -factor,
        "All numbers were moved at once: move one, and leave the others.": np.full(
            (2, 3), factor.sum()
        ),
        "It was never divided by how far x moved.": 2e-5 * factor,
    }
    want_same(value, factor, "the gradient of Σ factor × x", likely)


def looks_to_both_sides(numerical, generator):
    x = numbers(generator, 4)
    epsilon = 0.1 + 0.1 * float(torch.rand(1, generator=generator))
    value = numerical(lambda x: float((x**3).sum()), x.copy(), epsilon)
    value = want_gradient(value, (4,), "the gradient of Σ x³")
    one_side = 3 * x**2 + 3 * x * epsilon + epsilon**2
    other_side = 3 * x**2 - 3 * x * epsilon + epsilon**2
    both = "Step to both sides, and the first error cancels."
    likely = {
        f"That is a step to one side, from x to x + epsilon. {both}": one_side,
        f"That is a step to one side, from x − epsilon to x. {both}": other_side,
        "The epsilon that you are given is not the one you use.": 3 * x**2,
    }
    what = f"with epsilon = {epsilon:.3g}, the gradient of Σ x³"
    want_same(value, 3 * x**2 + epsilon**2, what, likely)


def leaves_x_alone(numerical, generator):
    x = numbers(generator, 5)
    given, before = x.copy(), x.copy()
    epsilon = 0.25
    value = numerical(lambda x: float(x.prod()), given, epsilon)
    if not same(given, before):
        raise Mistake(
            "The x that it was given has changed. Move a copy, or put every number back."
        )
    value = want_gradient(value, (5,), "the gradient of a product of 5 numbers")
    wanted = np.array([np.delete(before, i).prod() for i in range(5)])
    what = "the gradient of a product of 5 numbers"
    astray = (
        "Were all other numbers at their place? Put each back before the next moves."
    )
    if not same(value, wanted):
        raise Mistake(
            f"{what} is {value.round(3)}; it should be {wanted.round(3)}. {astray}"
        )


def takes_whole_numbers(numerical, generator):
    x = np.array([whole(generator, 1, 9) for _ in range(3)])
    value = numerical(lambda x: float((x * x).sum()), x.copy())
    value = want_gradient(value, (3,), "the gradient at whole numbers")
    if not same(value, 2.0 * x):
        raise Mistake(
            f"At the whole numbers {x.tolist()} the gradient of Σ x² is {value.tolist()}; "
            f"it should be {(2 * x).tolist()}. An array of whole numbers cuts the epsilon "
            "off: make the copy float64 before you move it."
        )


def moved_copy(x, place, far):
    moved = np.array(x, dtype=np.float64)
    moved[place] += far
    return moved


def wrong_one_side(function, x, epsilon=1e-5):
    gradient, here = np.zeros(x.shape), function(np.array(x, dtype=np.float64))
    for i in np.ndindex(x.shape):
        gradient[i] = (function(moved_copy(x, i, epsilon)) - here) / epsilon
    return gradient


def wrong_other_side(function, x, epsilon=1e-5):
    return wrong_one_side(function, x, -epsilon)


def wrong_no_two(function, x, epsilon=1e-5):
    return 2 * autograd.numerical_gradient(function, x, epsilon)


def wrong_down_minus_up(function, x, epsilon=1e-5):
    return -autograd.numerical_gradient(function, x, epsilon)


def wrong_not_divided(function, x, epsilon=1e-5):
    return 2 * epsilon * autograd.numerical_gradient(function, x, epsilon)


def wrong_all_at_once(function, x, epsilon=1e-5):
    up, down = function(x + epsilon), function(x - epsilon)
    return np.full(x.shape, (up - down) / (2 * epsilon))


def wrong_one_number(function, x, epsilon=1e-5):
    return (function(x + epsilon) - function(x - epsilon)) / (2 * epsilon)


def wrong_changes_x(function, x, epsilon=1e-5):
    gradient = np.zeros(x.shape)
    x = np.asarray(x, dtype=np.float64)  # the same array, if it is float64
    for i in np.ndindex(x.shape):
        x[i] += epsilon
        up = function(x)
        x[i] -= 2 * epsilon
        gradient[i] = (up - function(x)) / (2 * epsilon)
    return gradient


def wrong_never_put_back(function, x, epsilon=1e-5):
    return wrong_changes_x(function, np.array(x, dtype=np.float64), epsilon)


def wrong_own_epsilon(function, x, epsilon=1e-5):
    return autograd.numerical_gradient(function, x, 1e-5)


def wrong_whole_numbers(function, x, epsilon=1e-5):
    gradient = np.zeros(x.shape)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += epsilon
        down[i] -= epsilon
        gradient[i] = (function(up) - function(down)) / (2 * epsilon)
    return gradient


def wrong_flat_list(function, x, epsilon=1e-5):
    return autograd.numerical_gradient(function, x, epsilon).flatten()


NUMERICAL_GRADIENT = Exercise(
    id="07.numerical_gradient",
    title="a gradient by trying",
    minutes=10,
    rule=(
        "`function` takes an array and gives a number. For each number in the array `x`, "
        "one at a time: move it up by `epsilon`, move it down by `epsilon`, and divide the "
        "difference of the results by how far apart they are. Return a numpy array of x's "
        "shape. Leave `x` as it was; it may have any shape, and may hold whole numbers "
        "(work in float64)."
    ),
    reference=autograd.numerical_gradient,
    checks=(
        Check(
            name="every number by itself",
            points=1,
            proves="tries every number by itself",
            hint="`for place in np.ndindex(x.shape):` visits each place of any shape.",
            run=tries_every_number,
        ),
        Check(
            name="both sides",
            points=2,
            proves="looks to both sides, as far as it is told",
            hint="(function at x + ε, minus function at x − ε) / 2ε",
            run=looks_to_both_sides,
        ),
        Check(
            name="x stays",
            points=1,
            proves="leaves x as it was",
            hint="Start each number from a fresh copy of x.",
            run=leaves_x_alone,
        ),
        Check(
            name="whole numbers",
            points=1,
            proves="works at whole numbers",
            hint="`np.array(x, dtype=np.float64)` is a copy that can hold decimals.",
            run=takes_whole_numbers,
        ),
    ),
    wrong=(
        Wrong("one side", wrong_one_side, "from x to x + epsilon"),
        Wrong("the other side", wrong_other_side, "from x − epsilon to x"),
        Wrong("no 2", wrong_no_two, "2 epsilon apart"),
        Wrong("down minus up", wrong_down_minus_up, "up minus down"),
        Wrong("not divided", wrong_not_divided, "never divided"),
        Wrong("all at once", wrong_all_at_once, "moved at once"),
        Wrong("one number", wrong_one_number, "It gives one number"),
        Wrong("changes x", wrong_changes_x, "The x that it was given has changed"),
        Wrong("never put back", wrong_never_put_back, "Put each back before the next"),
        Wrong("its own epsilon", wrong_own_epsilon, "is not the one you use"),
        Wrong("whole numbers kept", wrong_whole_numbers, "cuts the epsilon off"),
        Wrong("a flat list", wrong_flat_list, "it should be (2, 3)"),
    ),
)


# 07.descend -------------------------------------------------------------------------


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


def bowl(generator: torch.Generator, count: int = 3) -> tuple:
    """A loss Σ c (w − m)²: random c and m, and where w starts."""
    c = [abs(number(generator, 0.5, 1.0)) for _ in range(count)]
    m = [number(generator) for _ in range(count)]
    start = [number(generator, 0.1, 1.0) for _ in range(count)]
    return c, m, start


def loss_on(c, m, weights):
    return sum(ci * (w - mi) * (w - mi) for ci, mi, w in zip(c, m, weights))


def descended(answer, shape: tuple, rate: float, steps: int, before: float = 0.0):
    """The losses that an answer gives, and where its parameters end."""
    c, m, start = shape
    parameters = [Value(w) for w in start]
    for parameter in parameters:
        parameter.grad = before
    value = answer(list(parameters), lambda: loss_on(c, m, parameters), rate, steps)
    want_type(value, list, "descend(parameters, loss_of, rate, steps)")
    if value and type(value[0]) is Value:
        raise Mistake("The losses are Values; give their numbers: loss.data.")
    if len(value) != steps:
        raise Mistake(
            f"There are {len(value)} losses for {steps} steps: one before each."
        )
    losses = [want_float(one, "a loss") for one in value]
    return losses, [want_float(one.data, "a parameter's data") for one in parameters]


def by_torch(shape: tuple, rate: float, steps: int) -> tuple[list, list]:
    """The same by torch's gradients, which don't add up."""
    c, m, start = shape
    weights = [torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in start]
    losses = []
    for _ in range(steps):
        loss = loss_on(c, m, weights)
        slopes = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for w, slope in zip(weights, slopes):
                w -= rate * slope
        losses.append(loss.item())
    return losses, [w.item() for w in weights]


def takes_one_step(descend_, generator):
    shape, rate = (
        bowl(generator),
        0.05 + 0.1 * float(torch.rand(1, generator=generator)),
    )
    losses, ended = descended(descend_, shape, rate, 1)
    right, wanted = by_torch(shape, rate, 1)
    start = shape[2]
    if same(np.array(ended), np.array(start)):
        raise Mistake(
            "After a step no parameter has moved. Are the grads zeroed between backward "
            "and the step, or is the step missing?"
        )
    moves = [w - s for w, s in zip(wanted, start)]
    likely = {
        "It goes uphill: the gradient points up, so take it away.": [
            s - move for s, move in zip(start, moves)
        ],
        "The rate is missing: move by rate × grad.": [
            s + move / rate for s, move in zip(start, moves)
        ],
    }
    likely = {words: np.array(wrong) for words, wrong in likely.items()}
    want_same(np.array(ended), np.array(wanted), "after a step, the parameter", likely)
    want_close(losses[0], right[0], "the loss before the first step")


def forgets_after_each_step(descend_, generator):
    shape, rate, steps = bowl(generator), 0.1, whole(generator, 4, 6)
    losses, ended = descended(descend_, shape, rate, steps)
    right, wanted = by_torch(shape, rate, steps)
    if not close(losses[0], right[0]) and close(losses[0], right[1]):
        raise Mistake(
            "The first loss is the one after the first step. Give the loss before each."
        )
    if max(losses) - min(losses) < 1e-9:
        raise Mistake(
            f"All {steps} losses are {losses[0]:.4g}, while the parameters move. Call "
            "loss_of() again in every step."
        )
    if not same(np.array(losses), np.array(right)):
        raise Mistake(
            f"The losses of {steps} steps are {np.round(losses, 3).tolist()}; they should "
            f"be {np.round(right, 3).tolist()}. backward adds to the grads of the step "
            "before: zero them in every step, before backward."
        )
    want_same(
        np.array(ended), np.array(wanted), f"after {steps} steps, the parameter", {}
    )


def forgets_what_was_before(descend_, generator):
    shape, steps, left = bowl(generator), 3, number(generator, 5, 9)
    losses, ended = descended(descend_, shape, 0.1, steps, left)
    right, wanted = by_torch(shape, 0.1, steps)
    if not same(np.array(losses), np.array(right)):
        raise Mistake(
            f"The parameters came with a grad of {left:.3g} from before, and the first "
            "step took it along. Zero the grads before backward, in the first step too."
        )
    want_same(
        np.array(ended), np.array(wanted), f"after {steps} steps, the parameter", {}
    )


def wrong_never_zeroed(parameters, loss_of, rate, steps):
    losses = []
    for _ in range(steps):
        loss = loss_of()
        loss.backward()
        autograd.step(parameters, rate)
        losses.append(loss.data)
    return losses


def wrong_uphill(parameters, loss_of, rate, steps):
    return descend(parameters, loss_of, -rate, steps)


def wrong_zeroed_too_early(parameters, loss_of, rate, steps):
    losses = []
    for _ in range(steps):
        loss = loss_of()
        loss.backward()
        autograd.zero_grad(parameters)
        autograd.step(parameters, rate)
        losses.append(loss.data)
    return losses


def wrong_zeroed_once(parameters, loss_of, rate, steps):
    autograd.zero_grad(parameters)
    return wrong_never_zeroed(parameters, loss_of, rate, steps)


def wrong_zeroed_after(parameters, loss_of, rate, steps):
    losses = []
    for _ in range(steps):
        loss = loss_of()
        loss.backward()
        autograd.step(parameters, rate)
        autograd.zero_grad(parameters)
        losses.append(loss.data)
    return losses


def wrong_no_rate(parameters, loss_of, rate, steps):
    return descend(parameters, loss_of, 1.0, steps)


def wrong_one_graph(parameters, loss_of, rate, steps):
    loss = loss_of()
    return [descend(parameters, lambda: loss, rate, 1)[0] for _ in range(steps)]


def wrong_values(parameters, loss_of, rate, steps):
    return [Value(loss) for loss in descend(parameters, loss_of, rate, steps)]


def wrong_loss_after(parameters, loss_of, rate, steps):
    losses = []
    for _ in range(steps):
        descend(parameters, loss_of, rate, 1)
        losses.append(loss_of().data)
    return losses


DESCEND = Exercise(
    id="07.descend",
    title="gradient descent",
    minutes=10,
    rule=(
        "Repeat `steps` times: compute the loss with `loss_of()` (it gives a new `Value`), "
        "set the `grad` of all `parameters` to what this loss says, and move each "
        "parameter's `data` by rate × grad, downhill. `backward()` adds to the grads that "
        "are there, and a parameter may come with a grad from before. Return a list with "
        "the loss before each step, as floats."
    ),
    reference=descend,
    checks=(
        Check(
            name="one step",
            points=1,
            proves="takes a step downhill",
            hint="`parameter.data -= rate * parameter.grad`, for each of them.",
            run=takes_one_step,
        ),
        Check(
            name="many steps",
            points=2,
            proves="starts every step with clean grads and a new loss",
            hint="Inside the loop: loss_of, zero the grads, backward, move.",
            run=forgets_after_each_step,
        ),
        Check(
            name="grads from before",
            points=1,
            proves="forgets what was there before it came",
            hint="Zero the grads before backward, not after the move.",
            run=forgets_what_was_before,
        ),
    ),
    wrong=(
        Wrong("never zeroed", wrong_never_zeroed, "zero them in every step"),
        Wrong("uphill", wrong_uphill, "It goes uphill"),
        Wrong(
            "zeroed before the move", wrong_zeroed_too_early, "no parameter has moved"
        ),
        Wrong("zeroed once", wrong_zeroed_once, "zero them in every step"),
        Wrong("zeroed after the move", wrong_zeroed_after, "in the first step too"),
        Wrong("no rate", wrong_no_rate, "The rate is missing"),
        Wrong("one loss for all", wrong_one_graph, "loss_of() again in every step"),
        Wrong("Values for numbers", wrong_values, "give their numbers"),
        Wrong("the loss after", wrong_loss_after, "the loss before"),
    ),
)


# 07.explodes_above ------------------------------------------------------------------


def explodes_above(c: float) -> float:
    """The rate above which gradient descent on the loss c × w² runs away.

    c is above 0; the curvature is 2 c. Below that rate w comes ever nearer to 0; above
    it, w jumps further away with every step.
    """
    return 1 / c


def distance_after(c: float, rate: float, steps: int = 200) -> float:
    """How far w is from 0 after some steps from 1, tried and not computed."""
    w = 1.0
    for _ in range(steps):
        w -= rate * (2 * c * w)  # the slope of c × w²
        if abs(w) > 1e12:
            break  # before it is too large to hold
    return abs(w)


def rate_given(explodes, c: float) -> float:
    what = f"explodes_above({c:.4g})"
    rate = want_float(explodes(c), what)
    if not 0 < rate < math.inf:
        raise Mistake(f"{what} is {rate:.4g}; a rate is above 0.")
    return rate


def some_steepness(generator: torch.Generator) -> float:
    return abs(number(generator, 3.0, 9.0))


def calm_below(explodes, generator):
    c = some_steepness(generator)
    rate = rate_given(explodes, c)
    if distance_after(c, 0.98 * rate) < 0.1:
        return
    likely = {
        "That is upside down: the steeper the bowl, the smaller the rate.": c,
        "That would be right for half of c × w²; the slope here is 2 c w.": 2 / c,
    }
    raise Mistake(
        f"For {c:.4g} × w² you say {rate:.4g}, but a rate 2 % below that does not come to "
        f"rest: after 200 steps from 1, w is {distance_after(c, 0.98 * rate):.3g} away."
        f"{named(rate, likely)}"
    )


def wild_above(explodes, generator):
    c = some_steepness(generator)
    rate = rate_given(explodes, c)
    if distance_after(c, 1.02 * rate) > 10:
        return
    likely = {
        "That rate jumps to the bottom in one step; twice as far is still no further away "
        "than before.": 0.5 / c,
        "Above what rate is w, after a step, further from 0 than before?": 1 / c**2,
    }
    raise Mistake(
        f"For {c:.4g} × w² you say {rate:.4g}, but a rate 2 % above that still comes to "
        f"rest.{named(rate, likely)}"
    )


def for_any_bowl(explodes, generator):
    for c in (0.01 * some_steepness(generator), 100 * some_steepness(generator)):
        rate = rate_given(explodes, c)
        below, above = (distance_after(c, share * rate) for share in (0.98, 1.02))
        if not below < 0.1 or not above > 10:
            raise Mistake(
                f"For {c:.4g} × w² you say {rate:.4g}. 2 % below it, w ends {below:.3g} "
                f"from 0, and 2 % above it {above:.3g}: that is not where it turns. Does "
                "your rule hold for bowls of any steepness?"
            )


def wrong_upside_down(c):
    return float(c)


def wrong_half_bowl(c):
    return 2 / c


def wrong_best_rate(c):
    return 1 / (2 * c)


def wrong_squared(c):
    return 1 / c**2


def wrong_one(c):
    return 1.0


def wrong_smallest(c):
    return max(1 / c, 0.1)


EXPLODES_ABOVE = Exercise(
    id="07.explodes_above",
    title="the rate that explodes",
    minutes=6,
    rule=(
        "The loss is `c` × w², with `c` above 0. Its slope is 2 × `c` × w, and each step "
        "takes rate × slope away from w. With a small rate w comes to rest at 0; with a "
        "large one it jumps to the other side, further out each time. Return the rate at "
        "which that begins, a float. Compare |w| before and after a step."
    ),
    reference=explodes_above,
    checks=(
        Check(
            name="calm below",
            points=1,
            proves="names a rate below which w comes to rest",
            hint="A step makes w into (1 − 2 × c × rate) × w.",
            run=calm_below,
        ),
        Check(
            name="wild above",
            points=1,
            proves="names a rate above which w runs away",
            hint="When is |1 − 2 × c × rate| above 1?",
            run=wild_above,
        ),
        Check(
            name="any bowl",
            points=1,
            proves="holds for flat and for steep bowls",
            hint="The answer depends on c, for the smallest and the largest.",
            run=for_any_bowl,
        ),
    ),
    wrong=(
        Wrong("upside down", wrong_upside_down, "upside down"),
        Wrong("half a bowl", wrong_half_bowl, "half of c × w²"),
        Wrong("the best rate", wrong_best_rate, "to the bottom in one step"),
        Wrong("squared", wrong_squared, "further from 0 than before"),
        Wrong("always 1", wrong_one, "does not come to rest"),
        Wrong("never below a tenth", wrong_smallest, "your rule hold"),
    ),
)


# 07.matmul_gradients ----------------------------------------------------------------


def matmul_gradients(
    x: np.ndarray, weight: np.ndarray, gradient: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of x (N, C) and of weight (C, K), for the product x @ weight (N, K).

    gradient (N, K) is that of the product: how the loss changes with each of its numbers.
    """
    return gradient @ weight.T, x.T @ gradient


def product_of(generator: torch.Generator, n: int, c: int, k: int) -> tuple:
    """x, weight, gradient, and the right gradients of both by torch."""
    x, weight = numbers(generator, n, c), numbers(generator, c, k)
    gradient = numbers(generator, n, k)
    leaves = [torch.tensor(one, requires_grad=True) for one in (x, weight)]
    loss = (leaves[0] @ leaves[1] * torch.tensor(gradient)).sum()
    right = torch.autograd.grad(loss, leaves)
    return x, weight, gradient, *(one.numpy() for one in right)


def gradients_given(answer, x, weight, gradient) -> tuple:
    """What an answer gives, as two arrays of any shape."""
    try:
        value = answer(x.copy(), weight.copy(), gradient.copy())
    except ValueError as error:
        if "matmul" in str(error) or "broadcast" in str(error):
            raise Mistake(
                f"The shapes don't fit: x is {x.shape}, weight {weight.shape}, gradient "
                f"{gradient.shape}. Which one must be transposed (.T), so that a product "
                f"has x's shape? And weight's?"
            ) from None
        raise
    want_type(value, tuple, "matmul_gradients(x, weight, gradient)")
    want_equal(len(value), 2, "the number of gradients")
    for one in value:
        want_type(one, np.ndarray, "a gradient")
    return value


def hold_shapes(value: tuple, x: np.ndarray, weight: np.ndarray) -> None:
    """Raise Mistake unless each gradient has the shape of what it belongs to."""
    shapes = [one.shape for one in value]
    if shapes == [weight.shape, x.shape] != shapes[::-1]:
        raise Mistake(
            "They are the wrong way round: first x's gradient, then weight's."
        )
    for name, shape, own in zip(("x", "weight"), shapes, (x, weight)):
        if shape == own.T.shape != own.shape:
            raise Mistake(
                f"The gradient of {name} is transposed, {shape}; it has the shape of "
                f"{name}, {own.shape}."
            )
        if shape != own.shape:
            raise Mistake(
                f"The gradient of {name} has shape {shape}; it has a slope for each number "
                f"in {name}, {own.shape}."
            )
    for name, one in zip(("x", "weight"), value):
        want_gradient(one, one.shape, f"the gradient of {name}")


def fit_the_operands(answer, generator):
    n, c, k = (whole(generator, low, low + 1) for low in (2, 4, 6))
    x, weight, gradient, *_ = product_of(generator, n, c, k)
    hold_shapes(gradients_given(answer, x, weight, gradient), x, weight)


def gradient_of_x(answer, generator):
    n, c, k = (whole(generator, low, low + 1) for low in (2, 4, 6))
    x, weight, gradient, right, _ = product_of(generator, n, c, k)
    value = gradients_given(answer, x, weight, gradient)
    hold_shapes(value, x, weight)
    likely = {
        "That reshapes weight; (C, K) → (K, C) must swap rows and columns: .T": gradient
        @ weight.reshape(k, c),
        "It leaves gradient out: what comes from the loss is multiplied in.": np.ones(
            (n, k)
        )
        @ weight.T,
        "It is divided by the number of rows; each row counts in full.": right / n,
    }
    want_same(value[0], right, "the gradient of x", likely)


def gradient_of_weight(answer, generator):
    n, c, k = (whole(generator, low, low + 1) for low in (2, 4, 6))
    x, weight, gradient, _, right = product_of(generator, n, c, k)
    value = gradients_given(answer, x, weight, gradient)
    hold_shapes(value, x, weight)
    likely = {
        "That is the mean over the rows of x; every row uses the weight, so the slopes "
        "add up.": right / n,
        "That reshapes x; (N, C) → (C, N) must swap rows and columns: .T": x.reshape(
            c, n
        )
        @ gradient,
        "It leaves gradient out: what comes from the loss is multiplied in.": x.T
        @ np.ones((n, k)),
        "Only the first row of x counts; every row uses the weight.": np.outer(
            x[0], gradient[0]
        ),
    }
    want_same(value[1], right, "the gradient of weight", likely)


def square_matrices(answer, generator):
    size = whole(generator, 2, 4)
    x, weight, gradient, *right = product_of(generator, size, size, size)
    value = gradients_given(answer, x, weight, gradient)
    hold_shapes(value, x, weight)
    for name, one, wanted in zip(("x", "weight"), value, right):
        if not same(one, wanted):
            raise Mistake(
                f"With square matrices the gradient of {name} is wrong. Here every shape "
                "fits, transposed or not: don't choose by what fits."
            )


def wrong_no_transpose(x, weight, gradient):
    return gradient @ weight, x @ gradient


def wrong_order(x, weight, gradient):
    return x.T @ gradient, gradient @ weight.T


def wrong_weight_transposed(x, weight, gradient):
    return gradient @ weight.T, gradient.T @ x


def wrong_reshape(x, weight, gradient):
    return gradient @ weight.reshape(weight.shape[::-1]), x.T @ gradient


def wrong_reshape_x(x, weight, gradient):
    return gradient @ weight.T, x.reshape(x.shape[::-1]) @ gradient


def wrong_no_gradient(x, weight, gradient):
    ones = np.ones_like(gradient)
    return ones @ weight.T, x.T @ ones


def wrong_mean(x, weight, gradient):
    return gradient @ weight.T, x.T @ gradient / len(x)


def wrong_mean_for_x(x, weight, gradient):
    return gradient @ weight.T / len(x), x.T @ gradient


def wrong_first_row(x, weight, gradient):
    return gradient @ weight.T, np.outer(x[0], gradient[0])


def wrong_by_shape(x, weight, gradient):
    def fitting(a, b, shape):
        for one in (a, a.T):
            for other in (b, b.T):
                if one.shape[1] == other.shape[0] and (one @ other).shape == shape:
                    return one @ other
        return None

    return fitting(gradient, weight, x.shape), fitting(x, gradient, weight.shape)


MATMUL_GRADIENTS = Exercise(
    id="07.matmul_gradients",
    title="the gradients of a matrix product",
    minutes=10,
    rule=(
        "The product `x @ weight` has shape (N, K), x (N, C), weight (C, K). `gradient` "
        "(N, K) says how the loss changes with each number of the product. Return two "
        "numpy arrays: the gradient of `x`, of x's shape, and the gradient of `weight`, "
        "of weight's shape. A number's slope is a sum over every place where the number "
        "is used, of the number it is multiplied with there × that place's gradient."
    ),
    reference=matmul_gradients,
    checks=(
        Check(
            name="shapes",
            points=1,
            proves="gives each operand a gradient of its own shape",
            hint="(N, K) @ (K, C) is (N, C); (C, N) @ (N, K) is (C, K).",
            run=fit_the_operands,
        ),
        Check(
            name="x",
            points=1,
            proves="has the gradient of x",
            hint="gradient on the left, weight on its side: `weight.T`",
            run=gradient_of_x,
        ),
        Check(
            name="weight",
            points=1,
            proves="adds up the gradient of weight over all rows",
            hint="x on its side, `x.T`, and gradient on the right",
            run=gradient_of_weight,
        ),
        Check(
            name="square matrices",
            points=1,
            proves="is right where every shape would fit",
            hint="Don't choose by what fits: for square matrices all shapes do.",
            run=square_matrices,
        ),
    ),
    wrong=(
        Wrong("no transpose", wrong_no_transpose, "must be transposed"),
        Wrong("the other order", wrong_order, "wrong way round"),
        Wrong("weight transposed", wrong_weight_transposed, "weight is transposed"),
        Wrong("reshape for T", wrong_reshape, "That reshapes weight"),
        Wrong("reshape of x", wrong_reshape_x, "That reshapes x"),
        Wrong("gradient left out", wrong_no_gradient, "It leaves gradient out"),
        Wrong("the mean", wrong_mean, "the mean over the rows"),
        Wrong("the mean for x", wrong_mean_for_x, "each row counts in full"),
        Wrong("the first row", wrong_first_row, "Only the first row"),
        Wrong("whatever fits", wrong_by_shape, "choose by what fits"),
    ),
)

EXERCISES = (  # in the lesson's order
    NUMERICAL_GRADIENT,
    TIMES,
    TANH,
    BACKWARD,
    DESCEND,
    MATMUL_GRADIENTS,
    EXPLODES_ABOVE,
)
