"""The engine against torch, finite differences, and what must hold of any gradient."""

import gc

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes
from torch.nn import functional as F

from course_lib import autograd
from course_lib.autograd import Array, ArrayNetwork, Network, Value

SIZES = (2, 16, 16, 1)


def noise(*shape, seed=0):
    """Random numbers, none of them near 0, where relu has a corner."""
    x = np.random.default_rng(seed).standard_normal(shape)
    return x + np.where(x < 0, -0.1, 0.1)


def tensors(*arrays):
    return [torch.tensor(np.array(one), requires_grad=True) for one in arrays]


# Operators and functions: the same code for Value, Array and torch --------------------

OPERATIONS = {
    "+": lambda x, y: x + y,
    "−": lambda x, y: x - y,
    "×": lambda x, y: x * y,
    "÷": lambda x, y: x / (y * y + 1),
    "number +": lambda x, y: 2 + x,
    "+ number": lambda x, y: x + 2,
    "number −": lambda x, y: 3 - x,
    "− number": lambda x, y: x - 3,
    "number ×": lambda x, y: -1.5 * x,
    "× number": lambda x, y: x * 0.5,
    "number ÷": lambda x, y: 2 / (x * x + 1),
    "÷ number": lambda x, y: x / -4,
    "negation": lambda x, y: -x,
    "square": lambda x, y: x**2,
    "cube": lambda x, y: x**3,
    "to the 0": lambda x, y: x**0 * y,
    "inverse": lambda x, y: (x * x + 1) ** -1,
    "root": lambda x, y: (x * x + 1) ** 0.5,
    "tanh": lambda x, y: x.tanh(),
    "exp": lambda x, y: x.tanh().exp(),
    "log": lambda x, y: (x * x + 1).log(),
    "relu": lambda x, y: x.relu(),
}
SMOOTH = sorted(OPERATIONS.keys() - {"relu"})


def compute(program, leaves):
    """Run steps (operation, place, place) on a growing list; its last entries' sum."""
    known = list(leaves)
    for name, i, j in program:
        known.append(OPERATIONS[name](known[i % len(known)], known[j % len(known)]))
    return known[-1] + known[-2] * known[0]


def programs(names=tuple(OPERATIONS), most=8):
    place = st.integers(0, 20)
    return st.lists(st.tuples(st.sampled_from(names), place, place), max_size=most)


NUMBERS = st.lists(st.floats(-1.5, 1.5, width=32), min_size=2, max_size=4)


def slopes_by_torch(program, arrays):
    """The sum of what a program gives, and its slopes for each array."""
    leaves = tensors(*arrays)
    result = compute(program, leaves).sum()
    slopes = torch.autograd.grad(result, leaves, materialize_grads=True)
    return result.item(), [slope.numpy() for slope in slopes]


def tame(result, slopes, most=1e6):
    """Whether all of it is small enough to be held against a tolerance."""
    return all(np.all(np.abs(one) < most) for one in [result, *slopes])


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(("x", "y"), [(0.7, -1.3), (-1.2, 0.4), (0.0, 2.0)])
def test_each_operation_on_values_is_torchs(name, x, y):
    result, slopes = slopes_by_torch([(name, 0, 1)], [x, y])
    leaves = [Value(x), Value(y)]
    ours = compute([(name, 0, 1)], leaves)
    ours.backward()
    assert ours.data == pytest.approx(result, rel=1e-12)
    assert [leaf.grad for leaf in leaves] == pytest.approx(list(map(float, slopes)))


@settings(max_examples=150, deadline=None)
@given(programs(), NUMBERS)
def test_random_expressions_of_values_are_torchs(program, numbers):
    result, slopes = slopes_by_torch(program, numbers)
    assume(tame(result, slopes))
    leaves = [Value(number) for number in numbers]
    ours = compute(program, leaves)
    ours.backward()
    assert ours.data == pytest.approx(result, rel=1e-6, abs=1e-6)
    for leaf, slope in zip(leaves, slopes):
        assert leaf.grad == pytest.approx(slope.item(), rel=1e-6, abs=1e-6)


@settings(max_examples=80, deadline=None)
@given(programs(SMOOTH, 5), NUMBERS)
def test_random_expressions_of_values_fit_finite_differences(program, numbers):
    assume(tame(*slopes_by_torch(program, numbers), most=100))
    leaves = [Value(number) for number in numbers]
    compute(program, leaves).backward()
    tried = autograd.numerical_gradient(
        lambda x: compute(program, list(map(Value, x))).data, np.array(numbers)
    )
    assert [leaf.grad for leaf in leaves] == pytest.approx(tried, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((3, 1), (2, 1, 4)), ((), (4,))])
def test_each_operation_on_arrays_is_torchs(name, shapes):
    arrays = [noise(*shape, seed=i) for i, shape in enumerate(shapes)]
    result, slopes = slopes_by_torch([(name, 0, 1)], arrays)
    leaves = [Array(one) for one in arrays]
    ours = compute([(name, 0, 1)], leaves).sum()
    ours.backward()
    assert ours.data == pytest.approx(result, rel=1e-12)
    for leaf, slope in zip(leaves, slopes):
        assert leaf.grad.shape == slope.shape
        assert np.allclose(leaf.grad, slope, 1e-9, 1e-12)


@settings(max_examples=150, deadline=None)
@given(
    programs(),
    mutually_broadcastable_shapes(num_shapes=3, max_dims=3, max_side=3),
    st.integers(0, 1_000),
)
def test_random_expressions_of_broadcast_arrays_are_torchs(program, shapes, seed):
    arrays = [noise(*shape, seed=seed + i) for i, shape in enumerate(shapes[0])]
    result, slopes = slopes_by_torch(program, arrays)
    assume(tame(result, slopes))
    leaves = [Array(one) for one in arrays]
    ours = compute(program, leaves).sum()
    ours.backward()
    assert ours.data == pytest.approx(result, rel=1e-6, abs=1e-6)
    for leaf, slope in zip(leaves, slopes):
        assert np.shape(leaf.grad + np.zeros(leaf.shape)) == slope.shape
        assert np.allclose(leaf.grad, slope, 1e-6, 1e-6)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_fits_finite_differences(name):
    arrays = [noise(2, 3), noise(3, seed=1)]
    gap = autograd.gradient_check(
        lambda x, y: compute([(name, 0, 1)], [x, y]).sum(), arrays
    )
    assert gap < 1e-6


# What only arrays have ----------------------------------------------------------------


def assert_is_torchs(ours, theirs, arrays):
    """Results, and gradients of a sum in which every number has its own weight."""
    given_, wanted = [Array(one) for one in arrays], tensors(*arrays)
    result, right = ours(*given_), theirs(*wanted)
    assert result.shape == tuple(right.shape)
    assert np.allclose(result.data, right.detach().numpy(), 1e-12, 1e-12)
    weights = noise(*result.shape, seed=9)
    (result * weights).sum().backward()
    (right * torch.tensor(weights)).sum().backward()
    for one, other in zip(given_, wanted):
        assert np.shape(one.grad) == one.shape
        assert np.allclose(one.grad, other.grad.numpy(), 1e-9, 1e-12)
    gap = autograd.gradient_check(lambda *x: (ours(*x) * weights).sum(), arrays)
    assert gap < 1e-6


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ((3, 4), (4, 2)),
        ((1, 1), (1, 1)),
        ((4,), (4,)),
        ((4,), (4, 2)),
        ((3, 4), (4,)),
        ((5, 3, 4), (5, 4, 2)),
        ((5, 3, 4), (4, 2)),
        ((3, 4), (5, 4, 2)),
        ((2, 1, 3, 4), (5, 4, 2)),
        ((5, 3, 4), (4,)),
        ((4,), (5, 4, 2)),
    ],
)
def test_matmul_is_torchs(x, y):
    def product(a, b):
        return a @ b

    assert_is_torchs(product, product, [noise(*x), noise(*y, seed=1)])


@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 2), (-1, 0)])
@pytest.mark.parametrize("kind", ["sum", "mean"])
def test_sum_and_mean_are_torchs(kind, axis, keepdims):
    of = {"sum": (Array.sum, torch.sum), "mean": (Array.mean, torch.mean)}[kind]
    every = (0, 1, 2) if axis is None else axis
    assert_is_torchs(
        lambda x: of[0](x, axis, keepdims),
        lambda x: of[1](x, dim=every, keepdim=keepdims),
        [noise(2, 3, 4)],
    )


@pytest.mark.parametrize("shape", [(24,), (4, 6), (2, -1, 2), (1, 24)])
def test_reshape_is_torchs(shape):
    def reshaped(x):
        return x.reshape(*shape)

    assert_is_torchs(reshaped, reshaped, [noise(2, 3, 4)])


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2, 0), (2, 0, 1), (0, -1, 1), ()])
def test_transpose_is_torchs(axes):
    order = axes or (2, 1, 0)
    assert_is_torchs(
        lambda x: x.transpose(*axes), lambda x: x.permute(order), [noise(2, 3, 4)]
    )


@pytest.mark.parametrize(
    "index",
    [
        2,
        slice(1, 3),
        (slice(None), -1),
        (..., slice(None, None, 2)),
        (0, 1),
        [3, 0, 3, 3],
        np.array([[1, 1], [0, 2]]),
        ([0, 0, 1], [2, 2, 2]),
        noise(4, 3, seed=3) > 0,
    ],
)
def test_rows_and_parts_are_torchs(index):
    theirs = torch.tensor(index) if isinstance(index, np.ndarray) else index
    assert_is_torchs(lambda x: x[index], lambda x: x[theirs], [noise(4, 3)])


def test_a_repeated_row_gets_every_gradient():
    table = Array(noise(3, 2))
    table[[1, 1, 1]].sum().backward()
    assert table.grad.tolist() == [[0, 0], [3, 3], [0, 0]]


@pytest.mark.parametrize("scale", [1, 1_000])
def test_cross_entropy_is_torchs(scale):
    logits, targets = scale * noise(6, 5), np.array([0, 4, 2, 2, 1, 0])
    ours, (theirs,) = Array(logits), tensors(logits)
    loss = autograd.cross_entropy(ours, targets)
    wanted = F.cross_entropy(theirs, torch.tensor(targets))
    (3 * loss).backward()
    (3 * wanted).backward()
    assert loss.data == pytest.approx(wanted.item(), rel=1e-12)
    assert np.allclose(ours.grad, theirs.grad.numpy(), 1e-9, 1e-12)


def test_cross_entropy_fits_finite_differences():
    def loss(x, y):
        return autograd.cross_entropy(x @ y, [0, 2, 2, 1])

    assert autograd.gradient_check(loss, [noise(4, 5), noise(5, 3, seed=1)]) < 1e-7


def test_a_step_makes_the_true_token_likelier_and_all_others_together_less():
    logits = Array(noise(1, 7))
    before = np.exp(logits.data) / np.exp(logits.data).sum()
    autograd.cross_entropy(logits, [3]).backward()
    autograd.step([logits], 0.1)
    after = np.exp(logits.data) / np.exp(logits.data).sum()
    assert after[0, 3] > before[0, 3]
    assert np.delete(after, 3).sum() < np.delete(before, 3).sum()


def test_float32_stays_and_everything_else_is_float64():
    x = Array(noise(2, 3).astype(np.float32))
    y = 1 - ((2 * x + 1) @ noise(3, 2).astype(np.float32)).tanh() / 3
    loss = (y**2).mean() * 2.0 + x[0, 1].exp() + autograd.cross_entropy(x, [0, 1])
    loss.backward()
    assert loss.data.dtype == y.data.dtype == x.grad.dtype == np.float32
    for other in ([1, 2], 3, np.arange(3), True):
        assert Array(other).data.dtype == np.float64
    assert (x * np.arange(3)).data.dtype == np.float32
    assert (x * np.ones(3)).data.dtype == np.float64


def test_relu_is_flat_at_its_corner():
    x = Array([-1.0, 0.0, 1.0])
    x.relu().sum().backward()
    assert x.grad.tolist() == [0, 0, 1]


def test_numpy_on_the_left_gives_an_array_and_a_value():
    left = np.float64(2) * Array([1.0, 2]), np.ones(2) - Array([1.0, 2])
    assert [type(one) for one in left] == [Array, Array]
    assert left[0].data.tolist() == [2, 4] and left[1].data.tolist() == [0, -1]
    assert (np.eye(2) @ Array([1.0, 2])).data.tolist() == [1, 2]
    assert type(np.float64(2) * Value(3)) is Value and (np.float64(2) / Value(4)).data


# The graph ----------------------------------------------------------------------------


def test_values_are_floats_whatever_made_them():
    x = Value(3)
    y = (x * x + 1).relu() ** 2
    y.backward()
    for value in (x, y):
        assert type(value.data) is float and type(value.grad) is float


@pytest.mark.parametrize("kind", [Value, Array])
def test_what_is_used_twice_gets_both_slopes(kind):
    x = kind(3.0)
    y = x * x + x
    (y + y * x).backward()  # x² + x + x³ + x²: slope 4x + 1 + 3x²
    assert x.grad == 40
    assert y.grad == 1 + 3


@pytest.mark.parametrize("kind", [Value, Array])
def test_gradients_add_up_until_they_are_zeroed(kind):
    x = kind(2.0)
    for expected in (12, 24, 36):  # 3x² each time
        (x * x * x).backward()
        assert x.grad == expected
    autograd.zero_grad([x])
    (x * x).backward()
    assert x.grad == 4


@pytest.mark.parametrize("kind", [Value, Array])
def test_going_back_twice_counts_every_path_twice_and_no_more(kind):
    x = kind(2.0)
    y = x * x
    z = y * 3
    z.backward()
    z.backward()
    assert x.grad == 24 and y.grad == 3 and z.grad == 1
    x.backward()
    assert x.grad == 25


@pytest.mark.parametrize("kind", [Value, Array])
@given(programs(("+", "×", "−"), 12))
def test_whoever_comes_up_has_been_heard_from(kind, program):
    leaves = [kind(1.0), kind(2.0)]
    nodes = autograd.history(compute(program, leaves))
    place = {node: i for i, node in enumerate(nodes)}
    assert len(place) == len(nodes)
    for node in nodes:
        assert all(place[operand] > place[node] for operand in node.operands)


@pytest.mark.parametrize("kind", [Value, Array])
def test_a_chain_of_a_hundred_thousand(kind):
    x = kind(1.0)
    y = x
    for _ in range(100_000):
        y = y + x
    y.backward()
    assert x.grad == 100_001 and len(autograd.history(y)) == 100_001
    del y  # nor may Python's own tidying up go too deep


def everything(kind):
    """A graph that holds every operation."""
    leaves = [kind(0.7), kind(1.3)]
    return sum(compute([(name, 0, 1)], leaves) for name in OPERATIONS)


def every_array_operation():
    x = Array(noise(3, 4))
    y = (x @ x.transpose()).reshape(9)[[0, 0, 3]].mean() + x.sum(0, True).sum()
    return y + autograd.cross_entropy(x, [0, 1, 2]) + Array(noise(4)) @ x[1]


@pytest.mark.parametrize(
    "make",
    [
        lambda: everything(Value),
        lambda: everything(Array),
        every_array_operation,
        lambda: Network(SIZES, np.random.default_rng(0))([1, 2])[0],
    ],
)
def test_a_graph_is_gone_with_its_last_name(make):
    gc.collect()
    gc.disable()
    try:
        loss = make()
        loss.backward()
        del loss
        assert gc.collect() == 0
    finally:
        gc.enable()


# Networks -----------------------------------------------------------------------------


def moons(count=40):
    return autograd.two_moons(count, np.random.default_rng(5))


def torchs_gradients(points, labels):
    """Loss and gradients of the network's weights, by torch's own layers."""
    layers = []
    drawn = autograd.draw_weights(SIZES, np.random.default_rng(1))
    for weights in drawn:
        layer = torch.nn.Linear(*weights.shape[::-1], dtype=torch.float64)
        layer.weight.data = torch.tensor(weights)
        layer.bias.data.zero_()
        layers += [layer, torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    score = model(torch.tensor(points)).squeeze(1)
    loss = (1 - torch.tensor(labels) * score).relu().mean()
    loss.backward()
    return loss.item(), [(one.weight.grad, one.bias.grad) for one in layers[::2]]


def test_the_whole_gradient_of_a_network_is_torchs():
    points, labels = moons()
    wanted, slopes = torchs_gradients(points, labels)
    network = Network(SIZES, np.random.default_rng(1))
    scores = [network(point)[0] for point in points.tolist()]
    loss = autograd.margin_loss(scores, labels.tolist())
    loss.backward()
    assert loss.data == pytest.approx(wanted, rel=1e-12)
    every = [torch.cat([w, b[:, None]], 1).flatten() for w, b in slopes]
    ours = [parameter.grad for parameter in network.parameters()]
    assert ours == pytest.approx(torch.cat(every).tolist(), rel=1e-6, abs=1e-12)
    assert len(ours) == 337 and sum(slope != 0 for slope in ours) > 200


def test_the_whole_gradient_of_a_network_of_arrays_is_torchs():
    points, labels = moons()
    wanted, slopes = torchs_gradients(points, labels)
    network = ArrayNetwork(SIZES, np.random.default_rng(1))
    loss = (1 - network(points).reshape(-1) * labels).relu().mean()
    loss.backward()
    assert loss.data == pytest.approx(wanted, rel=1e-12)
    every = [x for weight, bias in slopes for x in (weight.T, bias)]
    for parameter, slope in zip(network.parameters(), every, strict=True):
        assert parameter.grad.shape == tuple(slope.shape)
        assert np.allclose(parameter.grad, slope.numpy(), 1e-6, 1e-12)


def test_the_neurons_sum_has_the_slopes_of_its_parts():
    numbers = noise(7).tolist()
    slow, fast = list(map(Value, numbers)), list(map(Value, numbers))
    one = sum((w * x for w, x in zip(slow[:3], slow[3:6])), slow[6])
    other = autograd.dot(fast[:3], fast[3:6], fast[6])
    one.tanh().backward()
    other.tanh().backward()
    assert other.data == pytest.approx(one.data, rel=1e-12)
    slopes = [value.grad for value in fast]
    assert slopes == pytest.approx([value.grad for value in slow], rel=1e-12)
    square = [Value(2.0), Value(3.0)]
    autograd.dot(square, square).backward()
    assert [value.grad for value in square] == [4, 6]


def test_values_learn_the_two_moons():
    points, labels = moons()
    network = Network((2, 8, 1), np.random.default_rng(1))
    losses = []
    for _ in range(60):
        scores = [network(point)[0] for point in points.tolist()]
        loss = autograd.margin_loss(scores, labels.tolist())
        autograd.zero_grad(network.parameters())
        loss.backward()
        autograd.step(network.parameters(), 0.3)
        losses.append(loss.data)
    assert losses[0] > 0.6 and losses[-1] < 0.5


def test_arrays_learn_the_two_moons():
    points, labels = moons(100)
    network = ArrayNetwork(SIZES, np.random.default_rng(1))
    for _ in range(300):
        loss = (1 - network(points).reshape(-1) * labels).relu().mean()
        autograd.zero_grad(network.parameters())
        loss.backward()
        autograd.step(network.parameters(), 0.3)
    assert loss.data < 0.05
    right = np.sign(network(points).data[:, 0]) == labels
    assert right.mean() >= 0.98


@pytest.mark.parametrize("kind", [Value, Array])
def test_a_step_goes_against_the_gradient(kind):
    x, y = kind(3.0), kind(-1.0)
    (x * x).backward()
    autograd.step([x, y], 0.25)
    assert x.data == 1.5 and y.data == -1  # y has no part in the loss


def test_a_step_leaves_the_numbers_it_was_given():
    given_ = np.ones(3)
    x = Array(given_)
    loss = (x * x).sum()
    loss.backward()
    autograd.step([x], 0.5)
    assert x.data.tolist() == [0, 0, 0] and given_.tolist() == [1, 1, 1]
    autograd.zero_grad([x])
    loss.backward()  # the graph is that of the old numbers
    assert x.grad.tolist() == [2, 2, 2]


def test_above_one_over_the_curvature_the_rate_explodes():
    def after(rate):
        w = Value(1.0)
        for _ in range(50):
            autograd.zero_grad([w])
            (4 * w * w).backward()
            autograd.step([w], rate)
        return abs(w.data)

    assert after(0.24) < 0.1 < 1 < after(0.26) and after(0.25) == 1


def test_two_moons_are_two_half_circles():
    points, labels = autograd.two_moons(50, np.random.default_rng(0), noise=0)
    assert points.shape == (50, 2) and labels.tolist() == [-1.0, 1.0] * 25
    centre = np.where(labels[:, None] == 1, [[0, 0]], [[1, 0.5]])
    assert np.allclose(np.linalg.norm(points - centre, axis=1), 1)
    above = (points - centre)[:, 1] * labels
    assert (above >= -1e-12).all()
    one, other = (autograd.two_moons(9, np.random.default_rng(s))[0] for s in (1, 2))
    again, _ = autograd.two_moons(9, np.random.default_rng(1))
    assert (one == again).all() and not (one == other).any()


# Trying instead of computing ------------------------------------------------------------


def test_the_numerical_gradient_of_what_has_a_formula():
    x = noise(2, 3)
    before = x.copy()
    slopes = autograd.numerical_gradient(lambda x: (x**3).sum(), x)
    assert slopes.shape == (2, 3) and np.allclose(slopes, 3 * x**2, atol=1e-8)
    assert (x == before).all()
    halves = autograd.numerical_gradient(lambda x: (x**3).sum(), x.astype(np.float32))
    assert np.allclose(halves, 3 * x**2, atol=1e-5)


def test_its_error_shrinks_with_the_square_of_epsilon():
    gaps = [
        abs(autograd.numerical_gradient(np.exp, np.array(0.0), epsilon) - 1)
        for epsilon in (1e-2, 1e-3)
    ]
    assert gaps[0] == pytest.approx(1e-4 / 6, rel=1e-2)
    assert gaps[0] / gaps[1] == pytest.approx(100, rel=1e-2)


@pytest.mark.parametrize("place", [0, 1])
def test_gradient_check_finds_a_wrong_slope_wherever_it_is(place):
    def wrong(x, y):
        right = (lambda g: g * y.data, lambda g: g * x.data)
        slopes = [right[0], right[1]]
        slopes[place] = lambda g: 1.01 * right[place](g)
        return Array(x.data * y.data, (x, y), tuple(slopes)).sum()

    arrays = [noise(2), noise(2, seed=1)]
    assert autograd.gradient_check(wrong, arrays) > 1e-3
    assert autograd.gradient_check(lambda x, y: (x * y).sum(), arrays) < 1e-9


def test_gradient_check_sees_an_array_that_backward_forgot():
    arrays = [noise(2), noise(2, seed=1)]
    gap = autograd.gradient_check(lambda x, y: (x * y.data).sum(), arrays)
    assert gap > 0.1


# What can't be computed -----------------------------------------------------------------

THREE = Array(np.ones((2, 3)))


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: Value(0.0).log(), "0 has no logarithm: only numbers above 0"),
        (lambda: Array([1.0, -2]).log(), "-2 has no logarithm"),
        (lambda: Value(1.0) / 0, "divides by zero"),
        (lambda: 1 / Value(0.0), "divides by zero"),
        (lambda: Array([1.0, 2]) / [1, 0], "divides by zero"),
        (lambda: Value(0.0) ** -1, "0 to the power of -1 divides by zero"),
        (lambda: Array([0.0, 2]) ** -1, "0 to the power of -1 divides by zero"),
        (lambda: Value(0.0) ** 0.5, "0 to the power of -0.5 divides by zero"),
        (lambda: Value(-2.0) ** 0.5, "below 0 has no power of 0.5"),
        (lambda: Array([1.0, -2]) ** 0.5, "below 0 has no power of 0.5"),
        (lambda: Value(2.0) ** Value(3.0), "has the type Value; give a plain number"),
        (lambda: THREE**THREE, "has the type Array; give"),
        (lambda: Value(1e200) ** 2, "too large a number to hold"),
        (lambda: Value(1e3).exp(), "2.72 to the power of 1e.03 is too large"),
        (lambda: THREE @ THREE, r"\(2, 3\) @ \(2, 3\) does not fit: the last .* is 3,"),
        (lambda: THREE @ np.ones(2), r"\(2, 3\) @ \(2,\) does not fit"),
        (lambda: THREE @ 2, "multiply a number with"),
        (THREE.backward, r"has shape \(2, 3\), and only a single number has a slope"),
        (lambda: autograd.dot([Value(1)], []), "1 weights can't meet 0 inputs"),
        (lambda: autograd.cross_entropy(THREE, [1]), r"Logits \(2, 3\) and targets"),
        (lambda: autograd.cross_entropy(THREE, [[1, 2]]), "don't go together"),
        (lambda: autograd.cross_entropy(THREE, [0, 3]), "from 0 to 2; these go from 0"),
        (lambda: autograd.cross_entropy(THREE, [-1, 2]), "Targets run from 0 to 2"),
        (lambda: autograd.cross_entropy(THREE, [0.0, 1]), "are float64; they are ids"),
    ],
)
def test_what_has_no_answer_says_why(ask, words):
    with pytest.raises(ValueError, match=words) as error:
        ask()
    assert "\n" not in str(error.value) and len(str(error.value)) < 200


def test_a_number_in_an_array_of_any_shape_can_go_back():
    x = Array(np.ones((1, 2)))
    (x @ x.transpose()).backward()  # (1, 1)
    assert x.grad.tolist() == [[2, 2]]


def test_they_show_their_numbers():
    x = Value(2.0)
    (x * 3).backward()
    assert repr(x) == "Value(2, grad=3)"
    assert repr(Array([[1.0, 2.0]])) == "Array([[1., 2.]])"
