"""Automatic differentiation: how far the loss moves when any of its numbers moves.

Built in lesson 07, twice: on single numbers (Value), then on arrays (Array). Both keep
the same notes. A result knows its operands and, for each, a slope: how much the result
changes for a small change of that operand. Going back from the loss, every operand gets
slope × the result's gradient; that is the chain rule, and all of backpropagation.

A result refers to its operands and nothing refers back. With no circle of references,
a graph's memory is free as soon as its last name is gone.

N examples, C channels in, K channels out, V vocabulary.
Sources: Rumelhart, Hinton & Williams 1986 (backpropagation); Baydin et al. 2018
(automatic differentiation, reverse mode: section 3.2).
"""

import itertools
import math
from collections.abc import Callable, Sequence
from numbers import Real
from operator import attrgetter, mul

import numpy as np

_ages = itertools.count()  # the number of each node, in the order they were made


# Single numbers ---------------------------------------------------------------------


class Value:
    """A number that remembers what it was made from.

    data and grad are floats; grad is the slope of the loss, once backward has run.
    operands and slopes are tuples of the same length; name is for pictures.
    """

    __slots__ = ("age", "data", "grad", "name", "operands", "slopes")
    __array_ufunc__ = None  # numpy's numbers must leave `number * value` to us

    def __init__(self, data, operands=(), slopes=(), name=""):
        self.data, self.grad = float(data), 0.0
        self.operands, self.slopes, self.name = operands, slopes, name
        self.age = next(_ages)

    def __repr__(self):
        return f"Value({self.data:.6g}, grad={self.grad:.6g})"

    def __add__(self, other):
        other = to_value(other)
        return Value(self.data + other.data, (self, other), (1.0, 1.0), "+")

    def __sub__(self, other):
        other = to_value(other)
        return Value(self.data - other.data, (self, other), (1.0, -1.0), "−")

    def __mul__(self, other):
        other = to_value(other)
        slopes = (other.data, self.data)
        return Value(self.data * other.data, (self, other), slopes, "×")

    def __truediv__(self, other):
        other = to_value(other)
        check_divisor(other.data)
        quotient = self.data / other.data
        slopes = (1 / other.data, -quotient / other.data)
        return Value(quotient, (self, other), slopes, "÷")

    def __pow__(self, exponent):
        result = power(self.data, exponent)
        slope = exponent * power(self.data, exponent - 1) if exponent else 0.0
        return Value(result, (self,), (slope,), f"^{exponent:g}")

    def __neg__(self):
        return Value(-self.data, (self,), (-1.0,), "−")

    def tanh(self):
        tanh = math.tanh(self.data)
        return Value(tanh, (self,), (1 - tanh**2,), "tanh")

    def exp(self):
        exp = power(math.e, self.data)
        return Value(exp, (self,), (exp,), "exp")

    def log(self):
        check_log(self.data)
        return Value(math.log(self.data), (self,), (1 / self.data,), "log")

    def relu(self):
        return Value(max(self.data, 0.0), (self,), (float(self.data > 0),), "relu")

    def backward(self):
        """Set grad to the slope of this number, for every number it was made from.

        Numbers that were given, not computed, add to the grad they have: zero_grad first.
        """
        nodes = history(self)
        forget(nodes)
        self.grad += 1.0
        for node in nodes:
            for operand, slope in zip(node.operands, node.slopes):
                operand.grad += slope * node.grad

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other):
        return to_value(other) - self

    def __rtruediv__(self, other):
        return to_value(other) / self


def to_value(number: Value | float) -> Value:
    """A Value as it is; a plain number as a new one."""
    return number if isinstance(number, Value) else Value(number)


def history(node) -> list:
    """A Value or Array and all that it was made from, the youngest first.

    A result is younger than its operands. So in this order each comes after all the
    results that it was used in.
    """
    found, waiting = {node}, [node]
    while waiting:
        for operand in waiting.pop().operands:
            if operand not in found:
                found.add(operand)
                waiting.append(operand)
    return sorted(found, key=attrgetter("age"), reverse=True)


def forget(nodes: list) -> None:
    """Zero the grad of every result; what was given keeps its own, to add to."""
    for node in nodes:
        if node.operands:
            node.grad = 0.0


def dot(
    weights: Sequence[Value], inputs: Sequence[Value], bias: Value | float = 0.0
) -> Value:
    """A neuron's sum, Σ weight × input + bias, as one node.

    By × and + it takes two nodes for each input, and to make a node costs more than to
    multiply. The slopes are the same. Raises ValueError if the lengths differ.
    """
    if len(weights) != len(inputs):
        raise ValueError(
            f"{len(weights)} weights can't meet {len(inputs)} inputs: give as many."
        )
    bias = to_value(bias)
    w, x = [weight.data for weight in weights], [one.data for one in inputs]
    operands, slopes = (*weights, *inputs, bias), (*x, *w, 1.0)
    return Value(sum(map(mul, w, x), bias.data), operands, slopes, "Σ")


class Network:
    """A multilayer perceptron of Values, with ReLU after every layer but the last.

    sizes such as (2, 16, 16, 1): numbers in, neurons of each layer. The weights are drawn
    evenly from −1 to 1, the biases are 0.
    """

    def __init__(self, sizes: Sequence[int], generator: np.random.Generator):
        self.layers = [
            [(list(map(Value, row)), Value(0)) for row in weights]
            for weights in draw_weights(sizes, generator)
        ]

    def parameters(self) -> list[Value]:
        """Every weight and bias."""
        neurons = [neuron for layer in self.layers for neuron in layer]
        return [p for weights, bias in neurons for p in (*weights, bias)]

    def __call__(self, inputs: Sequence[Value | float]) -> list[Value]:
        """One example's numbers in, the last layer's numbers out."""
        values = [to_value(one) for one in inputs]
        for layer in self.layers[:-1]:
            values = [dot(weights, values, bias).relu() for weights, bias in layer]
        return [dot(weights, values, bias) for weights, bias in self.layers[-1]]


def draw_weights(
    sizes: Sequence[int], generator: np.random.Generator
) -> list[np.ndarray]:
    """For each layer, weights from −1 to 1: (neurons, numbers in), float64."""
    return [generator.uniform(-1, 1, (k, c)) for c, k in zip(sizes, sizes[1:])]


def margin_loss(scores: Sequence[Value], labels: Sequence[float]) -> Value:
    """How far the scores are from the right side of 0, by 1 at least; their mean.

    A label is −1 or 1. relu(1 − label × score) is 0 for a score that is right and clear.
    """
    losses = [(1 - label * score).relu() for score, label in zip(scores, labels)]
    return sum(losses) / len(losses)


def two_moons(
    count: int, generator: np.random.Generator, noise: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Two half circles that reach into each other: points (N, 2), labels (N) −1 or 1.

    noise is the spread of what is added to each coordinate. No straight line tells the
    two apart.
    """
    angle = generator.uniform(0, np.pi, count)
    side = np.where(np.arange(count) % 2, 1.0, -1.0)
    x = 0.5 + side * (np.cos(angle) - 0.5)
    y = 0.25 + side * (np.sin(angle) - 0.25)
    points = np.stack([x, y], axis=1)  # (N, 2)
    return points + noise * generator.standard_normal(points.shape), side


# Arrays -----------------------------------------------------------------------------


class Array:
    """A numpy array that remembers what it was made from.

    data is float64, or float32 if it came so, and is not copied. grad has its shape, once
    backward has run; it is 0.0 before. A slope is a function here: from the result's
    gradient to what it means for the operand. It holds arrays, never the result itself,
    which would be a circle.
    """

    __slots__ = ("age", "data", "grad", "name", "operands", "slopes")
    __array_ufunc__ = None  # numpy's arrays must leave `array * ours` to us

    def __init__(self, data, operands=(), slopes=(), name=""):
        data = np.asarray(data)
        self.data = data if data.dtype.kind == "f" else data.astype(np.float64)
        self.operands, self.slopes, self.name = operands, slopes, name
        self.grad, self.age = 0.0, next(_ages)

    def __repr__(self):
        return f"Array({np.array2string(self.data, precision=4, separator=', ')})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of data."""
        return self.data.shape

    def __add__(self, other):
        other = to_array(other, self)
        x, y = self.data, other.data
        return Array(x + y, (self, other), (lambda g: g, lambda g: g), "+")

    def __sub__(self, other):
        other = to_array(other, self)
        x, y = self.data, other.data
        return Array(x - y, (self, other), (lambda g: g, lambda g: -g), "−")

    def __mul__(self, other):
        other = to_array(other, self)
        x, y = self.data, other.data
        return Array(x * y, (self, other), (lambda g: g * y, lambda g: g * x), "×")

    def __truediv__(self, other):
        other = to_array(other, self)
        check_divisor(other.data)
        x, y = self.data, other.data
        slopes = (lambda g: g / y, lambda g: -g * x / y**2)
        return Array(x / y, (self, other), slopes, "÷")

    def __pow__(self, exponent):
        result = power(self.data, exponent)
        slope = exponent * power(self.data, exponent - 1) if exponent else 0.0
        return Array(result, (self,), (lambda g: g * slope,), f"^{exponent:g}")

    def __neg__(self):
        return Array(-self.data, (self,), (lambda g: -g,), "−")

    def __matmul__(self, other):
        """(…, N, C) and (…, C, K) → (…, N, K); a vector counts as a row, or a column."""
        other = to_array(other, self)
        x, y = self.data, other.data
        check_matmul(x.shape, y.shape)
        if y.ndim == 1:
            product = self @ other.reshape(-1, 1)  # (…, N, 1)
            return product.reshape(*product.shape[:-1])  # (…, N)
        if x.ndim == 1:
            product = self.reshape(1, -1) @ other  # (…, 1, K)
            return product.reshape(*product.shape[:-2], product.shape[-1])  # (…, K)
        slopes = (
            lambda g: g @ y.swapaxes(-1, -2),  # (…, N, K) @ (…, K, C)
            lambda g: x.swapaxes(-1, -2) @ g,  # (…, C, N) @ (…, N, K)
        )
        return Array(x @ y, (self, other), slopes, "@")

    def tanh(self):
        tanh = np.tanh(self.data)
        return Array(tanh, (self,), (lambda g: g * (1 - tanh**2),), "tanh")

    def exp(self):
        exp = np.exp(self.data)
        return Array(exp, (self,), (lambda g: g * exp,), "exp")

    def log(self):
        check_log(self.data)
        x = self.data
        return Array(np.log(x), (self,), (lambda g: g / x,), "log")

    def relu(self):
        x = self.data
        return Array(np.maximum(x, 0), (self,), (lambda g: g * (x > 0),), "relu")

    def sum(self, axis=None, keepdims=False):
        """Add up along an axis, several, or all: every number has the slope 1."""
        x = self.data

        def slope(g):
            if axis is not None and not keepdims:
                g = np.expand_dims(g, axis)
            return np.broadcast_to(g, x.shape)

        return Array(x.sum(axis, keepdims=keepdims), (self,), (slope,), "Σ")

    def mean(self, axis=None, keepdims=False):
        """The sum over how many they are."""
        total = self.sum(axis, keepdims)
        return total * (total.data.size / self.data.size)

    def reshape(self, *shape):
        """The same numbers in rows of another length."""
        x = self.data
        slope = lambda g: g.reshape(x.shape)  # noqa: E731
        return Array(x.reshape(shape), (self,), (slope,), "reshape")

    def transpose(self, *axes):
        """The same numbers with the axes in this order; none given: the other way round."""
        x = self.data
        order = [axis % x.ndim for axis in axes] or range(x.ndim)[::-1]
        back = np.argsort(order)
        slope = lambda g: g.transpose(back)  # noqa: E731
        return Array(x.transpose(order), (self,), (slope,), "transpose")

    def __getitem__(self, index):
        """A part of the array, as numpy cuts it; ids (…) of rows give (…, C)."""
        x = self.data

        def slope(g):
            whole = np.zeros(x.shape, x.dtype)
            np.add.at(whole, index, g)  # `whole[index] += g` counts a row once only
            return whole

        return Array(x[index], (self,), (slope,), "rows")

    def backward(self):
        """Set grad to the slope of this number, for every array it was made from.

        Arrays that were given, not computed, add to the grad they have: zero_grad first.
        Raises ValueError unless this is a single number.
        """
        if self.data.size != 1:
            raise ValueError(
                f"This array has shape {self.shape}, and only a single number has a "
                "slope: take its sum() or mean() first."
            )
        nodes = history(self)
        forget(nodes)
        self.grad = self.grad + np.ones_like(self.data)
        for node in nodes:
            for operand, slope in zip(node.operands, node.slopes):
                operand.grad = operand.grad + fit(slope(node.grad), operand.shape)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other):
        return to_array(other, self) - self

    def __rtruediv__(self, other):
        return to_array(other, self) / self

    def __rmatmul__(self, other):
        return to_array(other, self) @ self


def to_array(numbers, beside: Array) -> Array:
    """An Array as it is; anything else as a new one, of the same dtype if it has none."""
    if isinstance(numbers, Array):
        return numbers
    numbers = np.asarray(numbers)
    # A plain 2 must not turn float32 into float64; an array of float64 may.
    given = numbers.dtype.kind == "f" and numbers.ndim > 0
    return Array(numbers if given else numbers.astype(beside.data.dtype))


def fit(gradient: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum a gradient to the shape of an operand that was repeated to fit another.

    What is used several times gets the sum of all slopes, and broadcasting is a use.
    """
    if gradient.shape == shape:
        return gradient
    gradient = gradient.sum(tuple(range(gradient.ndim - len(shape))))
    repeated = tuple(axis for axis, size in enumerate(shape) if size == 1)
    return gradient.sum(repeated, keepdims=True)


def cross_entropy(logits: Array, targets: np.ndarray) -> Array:
    """The mean of −log p(target): logits (N, V), targets (N) whole numbers → one number.

    As one node, because its slope is so short: (probabilities − one-hot) / N. Raises
    ValueError for other shapes, or a target that is none of the V.
    """
    targets = np.asarray(targets)
    check_targets(logits.shape, targets)
    x, rows = logits.data, np.arange(len(targets))
    # Taking off the largest changes nothing but that e¹⁰⁰⁰ need not be held.
    shifted = x - x.max(1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))  # (N, V)

    def slope(g):
        slopes = np.exp(log_p)
        slopes[rows, targets] -= 1
        return g * slopes / len(targets)

    loss = -log_p[rows, targets].mean()
    return Array(loss, (logits,), (slope,), "cross-entropy")


class ArrayNetwork:
    """The network of Values again, in arrays: all examples at once.

    From a generator with the same seed it starts with the same weights.
    """

    def __init__(self, sizes: Sequence[int], generator: np.random.Generator):
        self.layers = [
            (Array(weights.T), Array(np.zeros(len(weights))))  # (C, K) and (K)
            for weights in draw_weights(sizes, generator)
        ]

    def parameters(self) -> list[Array]:
        """Every layer's weights and biases."""
        return [parameter for layer in self.layers for parameter in layer]

    def __call__(self, x: Array | np.ndarray) -> Array:
        """(N, C) → (N, K), K the last of the sizes."""
        for weights, bias in self.layers[:-1]:
            x = (x @ weights + bias).relu()
        weights, bias = self.layers[-1]
        return x @ weights + bias


# Learning ---------------------------------------------------------------------------


def zero_grad(parameters: Sequence) -> None:
    """Forget the gradients of Values or Arrays; backward adds to what is there."""
    for parameter in parameters:
        parameter.grad = 0.0


def step(parameters: Sequence, rate: float) -> None:
    """Gradient descent: move each Value or Array against its gradient, rate × as far.

    data gets a new array, so that no graph made before is changed.
    """
    for parameter in parameters:
        parameter.data = parameter.data - rate * parameter.grad


def numerical_gradient(
    function: Callable[[np.ndarray], float], x: np.ndarray, epsilon: float = 1e-5
) -> np.ndarray:
    """The slope of function(x), a number, for each number in x: by trying, float64.

    Each is moved up by epsilon and down by epsilon: (up − down) / 2ε. The error shrinks
    with ε², that of a step to one side with ε.
    """
    gradient = np.zeros(np.shape(x))
    for place in np.ndindex(gradient.shape):
        up, down = np.array(x, dtype=np.float64), np.array(x, dtype=np.float64)
        up[place] += epsilon
        down[place] -= epsilon
        gradient[place] = (float(function(up)) - float(function(down))) / (2 * epsilon)
    return gradient


def gradient_check(
    function: Callable[..., Array], arrays: Sequence[np.ndarray], epsilon: float = 1e-5
) -> float:
    """The largest gap between backward's gradients and the numerical ones.

    function maps Arrays to a single number. A gap is relative to the slope where that is
    above 1. Below 1e-6 is fine; above 1e-3 a slope is wrong, or x stands at a corner.
    """
    arrays = [np.array(one, dtype=np.float64) for one in arrays]
    given = [Array(one) for one in arrays]
    function(*given).backward()
    gaps = []
    for i, one in enumerate(given):

        def moved(x, i=i):
            return function(*map(Array, [*arrays[:i], x, *arrays[i + 1 :]])).data.item()

        slopes = numerical_gradient(moved, arrays[i], epsilon)
        gaps.append(np.abs(one.grad - slopes) / np.maximum(1, np.abs(slopes)))
    return max(float(gap.max()) for gap in gaps)


# At the door ------------------------------------------------------------------------


def power(base, exponent: float):
    """base ** exponent; raises ValueError, in a sentence, if it is no real number."""
    if not isinstance(exponent, Real):
        raise ValueError(
            f"The exponent has the type {type(exponent).__name__}; give a plain number, "
            "such as 2 or 0.5."
        )
    if exponent < 0 and np.any(base == 0):
        raise ValueError(
            f"0 to the power of {exponent:g} divides by zero: keep the base away from 0."
        )
    if exponent % 1 and np.any(base < 0):
        raise ValueError(
            f"A number below 0 has no power of {exponent:g}: keep the base above 0."
        )
    try:
        return base**exponent
    except OverflowError:  # of plain numbers; an array holds inf instead
        raise ValueError(
            f"{base:.3g} to the power of {exponent:.3g} is too large a number to hold; "
            "start from smaller ones, or take a lower rate."
        ) from None


def check_divisor(divisor: np.ndarray | float) -> None:
    """Raise ValueError for a division by zero."""
    if np.any(divisor == 0):
        raise ValueError("This divides by zero: keep the divisor away from 0.")


def check_log(numbers: np.ndarray | float) -> None:
    """Raise ValueError for a logarithm of zero or less."""
    if np.any(numbers <= 0):
        raise ValueError(
            f"{np.min(numbers):.6g} has no logarithm: only numbers above 0 have one."
        )


def check_matmul(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    """Raise ValueError for shapes whose matrix product there is not."""
    if not x or not y:
        raise ValueError(
            f"Shapes {x} and {y} have no matrix product: multiply a number with *."
        )
    if x[-1] != y[-2:][0]:
        raise ValueError(
            f"{x} @ {y} does not fit: the last of {x} is {x[-1]}, and the rows of {y} "
            f"are {y[-2:][0]}; make them equal, perhaps by a transpose()."
        )


def check_targets(logits: tuple[int, ...], targets: np.ndarray) -> None:
    """Raise ValueError for targets that don't go with logits of this shape."""
    if len(logits) != 2 or targets.shape != logits[:1] or targets.size == 0:
        raise ValueError(
            f"Logits {logits} and targets {targets.shape} don't go together: give (N, V) "
            "and (N), with at least one row."
        )
    if targets.dtype.kind not in "iu":
        raise ValueError(
            f"The targets are {targets.dtype}; they are ids, whole numbers."
        )
    if targets.min() < 0 or targets.max() >= logits[1]:
        raise ValueError(
            f"Targets run from 0 to {logits[1] - 1}; these go from {targets.min()} to "
            f"{targets.max()}: give logits a column for every token."
        )
