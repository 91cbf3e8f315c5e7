"""The engine's benchmark: one training step of a small network, beside its peers.

The network is that of micrograd's demo: 2 numbers in, two layers of 16 neurons, one
score; 100 points of two moons, margin loss and a decay of the weights. Peers: micrograd,
the engine's own draft with a node for every operation, and torch for the arrays.
"""

import gc
import tracemalloc
from collections.abc import Callable
from importlib.metadata import version

import numpy as np
import torch
from micrograd.engine import Value as TheirValue
from micrograd.nn import MLP

from course_lib import autograd
from course_lib.autograd import ArrayNetwork, Network, Value
from tests.benchmarks import Failed, alternating, bar, show

SIZES = (2, 16, 16, 1)
COUNT = 100  # points
DECAY, RATE = 1e-4, 0.5
RUNS = 7  # of what takes from milliseconds to a second
STEPS = 50  # of the arrays' training, in each of their runs
SAME = 3  # steps whose losses must be equal

Step = Callable[[], float]  # trains once; gives the loss before


def measure(full: bool) -> None:
    """Print every measurement; `full` changes nothing here."""
    print(f"Network: {SIZES}, {weights():,} weights, {COUNT} points, float64")
    print(f"Peers: micrograd {version('micrograd')}, torch {torch.__version__}")
    values = {
        "ours": lambda: by_values(Network.__call__),
        "ours, one operation a node": lambda: by_values(slow_call),
        "micrograd": by_micrograd,
    }
    arrays = {"ours": by_arrays, "torch": by_torch}
    same_losses(values | {"arrays": by_arrays, "torch": by_torch})
    print("\nOne step on single numbers, Python's garbage collector as it comes")
    print("(target: micrograd 5 times as slow, at least)")
    show(alternating(values, "values", RUNS), 1, "steps")
    print("\nThe same with the collector off: what micrograd leaves behind stays there")
    show(without_collector(values), 1, "steps")
    print(f"\n{STEPS} steps on arrays; target: at most 20 times torch's time")
    many = {name: repeat(make) for name, make in arrays.items()}
    show(alternating(many, "arrays", RUNS), STEPS, "steps")
    print("\nMost memory that Python held in one step")
    show_memory(values | {"ours, arrays": by_arrays})
    print("  (torch keeps its own memory, which Python can't see)")


def weights() -> int:
    """How many weights and biases the network has."""
    return len(Network(SIZES, start()).parameters())


def start() -> np.random.Generator:
    """The chance that every network's weights are drawn from."""
    return np.random.default_rng(1)


def moons() -> tuple[np.ndarray, np.ndarray]:
    """The same points and labels for everyone."""
    return autograd.two_moons(COUNT, np.random.default_rng(0))


def same_losses(makers: dict[str, Callable[[], Step]]) -> None:
    """Raise Failed unless all of them have the same losses, step by step."""
    losses = {}
    with bar(len(makers), "the same losses") as progress:
        for name, make in makers.items():
            step = make()
            losses[name] = [step() for _ in range(SAME)]
            progress.update()
    for name, found in losses.items():
        if not np.allclose(found, losses["ours"], 1e-9):
            raise Failed(f"The losses of {name} are {found}, ours {losses['ours']}.")
    shown = ", ".join(f"{loss:.4f}" for loss in losses["ours"])
    print(f"The same losses from all of them: {shown}, …")


def repeat(make: Callable[[], Step]) -> Callable[[], Callable]:
    """A maker of a function that takes many steps."""

    def fresh():
        step = make()
        return lambda: [step() for _ in range(STEPS)]

    return fresh


def without_collector(makers: dict[str, Callable[[], Step]]) -> dict[str, list[float]]:
    """Seconds of each task while Python looks for no circles of references."""
    gc.disable()
    try:
        return alternating(makers, "values, collector off", RUNS)
    finally:
        gc.enable()


# Single numbers -----------------------------------------------------------------------


def by_values(call: Callable[[Network, list], list[Value]]) -> Step:
    """Our network of Values; `call` runs it on a point."""
    network, (points, labels) = Network(SIZES, start()), moons()
    points, labels, parameters = points.tolist(), labels.tolist(), network.parameters()

    def step() -> float:
        scores = [call(network, point)[0] for point in points]
        decay = DECAY * autograd.dot(parameters, parameters)
        loss = autograd.margin_loss(scores, labels) + decay
        autograd.zero_grad(parameters)
        loss.backward()
        autograd.step(parameters, RATE)
        return loss.data

    return step


def slow_call(network: Network, point: list[float]) -> list[Value]:
    """The network with two nodes for each weight, a × and a +, as micrograd has it."""
    values = list(map(Value, point))
    for layer in network.layers:
        values = [
            sum((w * x for w, x in zip(weights, values)), bias)
            for weights, bias in layer
        ]
        if layer is not network.layers[-1]:
            values = [value.relu() for value in values]
    return values


def by_micrograd() -> Step:
    """micrograd's own network and loop, from our weights."""
    network, (points, labels) = MLP(SIZES[0], list(SIZES[1:])), moons()
    points, labels, parameters = points.tolist(), labels.tolist(), network.parameters()
    for theirs, ours in zip(parameters, Network(SIZES, start()).parameters()):
        theirs.data = ours.data

    def step() -> float:
        scores = [network([TheirValue(x) for x in point]) for point in points]
        losses = [(1 + -label * score).relu() for label, score in zip(labels, scores)]
        decay = DECAY * sum(p * p for p in parameters)
        loss = sum(losses) * (1.0 / len(losses)) + decay
        network.zero_grad()
        loss.backward()
        for p in parameters:
            p.data -= RATE * p.grad
        return loss.data

    return step


# Arrays -------------------------------------------------------------------------------


def by_arrays() -> Step:
    """Our network of Arrays, all points at once."""
    network, (points, labels) = ArrayNetwork(SIZES, start()), moons()
    parameters = network.parameters()

    def step() -> float:
        scores = network(points).reshape(-1)
        loss = (1 - scores * labels).relu().mean()
        for parameter in parameters:
            loss = loss + DECAY * (parameter * parameter).sum()
        autograd.zero_grad(parameters)
        loss.backward()
        autograd.step(parameters, RATE)
        return loss.data.item()

    return step


def by_torch() -> Step:
    """torch's network of the same size, its own layers and optimiser."""
    points, labels = map(torch.tensor, moons())
    model = torch_network()
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=RATE)

    def step() -> float:
        loss = (1 - model(points).reshape(-1) * labels).relu().mean()
        for parameter in parameters:
            loss = loss + DECAY * (parameter * parameter).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def torch_network() -> torch.nn.Sequential:
    """torch's layers, from our weights."""
    layers = []
    for drawn in autograd.draw_weights(SIZES, start()):
        layer = torch.nn.Linear(*drawn.shape[::-1], dtype=torch.float64)
        layer.weight.data = torch.tensor(drawn)
        layer.bias.data.zero_()
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


# Memory -------------------------------------------------------------------------------


def peak(make: Callable[[], Step]) -> int:
    """The most bytes that Python held in a second step, above what it held before."""
    step = make()
    step()
    tracemalloc.start()
    try:
        step()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def show_memory(makers: dict[str, Callable[[], Step]]) -> None:
    """Print the peak of each, and how many times ours it is."""
    peaks = {name: peak(make) for name, make in makers.items()}
    for name, most in peaks.items():
        line = f"  {name:<28}{most / 1e6:>7.2f} MB"
        print(
            line + ("" if name == "ours" else f"   {most / peaks['ours']:.3g} × ours")
        )
