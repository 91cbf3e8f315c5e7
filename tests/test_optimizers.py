"""Stacks, AdamW and Muon against torch's own AdamW and singular values."""

import math

import pytest
import runs
import torch
from runs import SHAPE, new
from torch import nn

from course_lib import fast_gpt, optimizers
from course_lib.devices import generator
from course_lib.gpt import GPT
from course_lib.optimizers import Muon, orthogonal, stacks

IDS = runs.TRAIN_IDS[:32].view(2, 16)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed))


class Plain(nn.Module):
    """A model without blocks, with weights of several shapes and one dtype more."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.last = nn.Linear(4, 3).double()
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)

    def forward(self, x):
        x = self.second(self.first(x).tanh()) * self.scale + self.frozen
        return self.last(x.double())


MAKERS = {
    "GPT": lambda: new(GPT),
    "untied": lambda: GPT(SHAPE, tied=False, generator=generator(0)),
    "FastGPT": lambda: new(fast_gpt.FastGPT),
    "plain": Plain,
}


def read(model: nn.Module) -> torch.Tensor:
    """What a model makes of a fixed input."""
    return model(noise(5, 4) if isinstance(model, Plain) else IDS)


def by_name(found) -> dict[str, tuple]:
    """For each weight's name: its stack and its place in it."""
    return {name: (s, i) for s in found for i, name in enumerate(s.names)}


# Stacks -------------------------------------------------------------------------------


@pytest.mark.parametrize("make", MAKERS)
def test_stacks_hold_every_learned_weight_once(make):
    model = MAKERS[make]()
    wanted = {n: w.clone() for n, w in model.named_parameters() if w.requires_grad}
    found = stacks(model)
    assert sorted(name for s in found for name in s.names) == sorted(wanted)
    assert len(found) < len(wanted)
    for name, (stack, place) in by_name(found).items():
        assert torch.equal(stack.weights[place], wanted[name])
        assert stack.weights.dtype == wanted[name].dtype
        assert stack.matrices == (wanted[name].dim() == 2)
        assert stack.inner == name.startswith("blocks.")


@pytest.mark.parametrize("make", MAKERS)
def test_weights_and_gradients_are_slices(make):
    model = MAKERS[make]()
    named, found = dict(model.named_parameters()), stacks(model)
    for name, (stack, place) in by_name(found).items():
        assert stack.weights.grad.shape == stack.weights.shape
        assert not stack.weights.grad.any()
        with torch.no_grad():
            stack.weights[place] = 3.0
            assert bool((named[name] == 3).all())  # one way
            named[name].fill_(-1.0)
            assert bool((stack.weights[place] == -1).all())  # and the other
        stack.weights.grad[place] = 5.0
        assert bool((named[name].grad == 5).all())
        named[name].grad.zero_()
        assert not stack.weights.grad.any()


@pytest.mark.parametrize("make", MAKERS)
def test_stacks_leave_the_models_outputs_alone(make):
    model = MAKERS[make]()
    before = read(model)
    stacks(model)
    assert torch.equal(read(model), before)
    again = stacks(model)  # a second run starts from the first one's
    assert torch.equal(read(model), before)
    with torch.no_grad():
        for stack in again:
            stack.weights.add_(noise(*stack.weights.shape))
    assert not torch.allclose(read(model), before)


@pytest.mark.parametrize("make", MAKERS)
def test_backward_writes_into_the_stacks_and_adds(make):
    model, alone = MAKERS[make](), MAKERS[make]()
    alone.load_state_dict(model.state_dict())
    found = stacks(model)
    for _ in range(2):
        read(model).square().mean().backward()
        read(alone).square().mean().backward()
    wanted = dict(alone.named_parameters())
    for name, (stack, place) in by_name(found).items():
        slope = stack.weights.grad[place]
        assert torch.allclose(slope, wanted[name].grad, rtol=1e-4, atol=1e-6), name


def test_a_tied_weight_stays_tied():
    model = new()
    found = by_name(stacks(model))
    assert "embedding.weight" in found and "unembedding.weight" not in found
    assert model.unembedding.weight is model.embedding.weight
    stack, place = found["embedding.weight"]
    with torch.no_grad():
        stack.weights[place].fill_(0.5)
    assert bool((model.unembedding.weight == 0.5).all())


def test_a_frozen_weight_is_in_no_stack():
    model = Plain()
    names = [name for found in (stacks, optimizers.singles) for s in found(model)
             for name in s.names]  # fmt: skip
    assert "first.weight" in names and "frozen" not in names


# AdamW --------------------------------------------------------------------------------


def train_by(model: nn.Module, step, count: int = 20) -> list[float]:
    """So many steps on one input; the losses."""
    losses = []
    for _ in range(count):
        loss = (read(model) - 1).square().mean()
        loss.backward()
        losses.append(loss.item())
        step()
    return losses


@pytest.mark.parametrize("lay", [stacks, optimizers.singles])
@pytest.mark.parametrize("make", MAKERS)
def test_adamw_on_stacks_is_torchs_on_separate_weights(make, lay):
    model, alone = MAKERS[make](), MAKERS[make]()
    alone.load_state_dict(model.state_dict())
    found = lay(model)
    (ours,) = optimizers.optimizers(found, rate=1e-2, decay=0.5)
    learned = [w for w in alone.parameters() if w.requires_grad]
    theirs = torch.optim.AdamW(
        [
            {"params": [w for w in learned if w.dim() == 2], "weight_decay": 0.5},
            {"params": [w for w in learned if w.dim() != 2], "weight_decay": 0.0},
        ],
        lr=1e-2,
        betas=(0.9, 0.95),
    )

    def step_ours():
        nn.utils.clip_grad_norm_([s.weights for s in found], 0.1)
        ours.step()
        for stack in found:
            stack.weights.grad.zero_()

    def step_theirs():
        nn.utils.clip_grad_norm_(learned, 0.1)
        theirs.step()
        theirs.zero_grad()

    losses, wanted = train_by(model, step_ours), train_by(alone, step_theirs)
    assert losses == pytest.approx(wanted, abs=1e-5)
    assert wanted[-1] < 0.8 * wanted[0]


def test_only_matrices_decay():
    model = new()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    (one,) = optimizers.optimizers(stacks(model), rate=0.1, decay=0.5)
    one.step()  # without a slope nothing but decay moves a weight
    for name, weight in model.named_parameters():
        left = 0.95 if weight.dim() == 2 else 1.0
        assert torch.allclose(weight, before[name] * left), name


def test_muon_takes_the_blocks_matrices_and_adamw_the_rest():
    model = new(fast_gpt.FastGPT)
    found = stacks(model)
    adamw, muon = optimizers.optimizers(found, rate=0.1, decay=0.0, muon=0.02)
    mine = [w for group in muon.param_groups for w in group["params"]]
    others = [w for group in adamw.param_groups for w in group["params"]]
    for stack in found:
        owner = mine if stack.inner and stack.matrices else others
        assert sum(w is stack.weights for w in mine + others) == 1
        assert any(w is stack.weights for w in owner)
    assert muon.param_groups[0]["lr"] == 0.02 and adamw.param_groups[0]["lr"] == 0.1


def test_muon_without_whole_matrices_in_blocks_is_one_sentence():
    words = (
        r"^Muon turns the matrices of model\.blocks, which are missing .*: muon=0\.$"
    )
    with pytest.raises(ValueError, match=words):
        optimizers.optimizers(stacks(Plain()), 0.1, 0.0, muon=0.02)
    with pytest.raises(ValueError, match="which are spread over processes: muon=0"):
        optimizers.optimizers(optimizers.singles(new()), 0.1, 0.0, muon=0.02)


# Memory -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "lay"),
    [
        *[(make, stacks) for make in ("GPT", "FastGPT", "plain")],
        *[(make, optimizers.singles) for make in ("GPT", "plain")],  # no Muon there
    ],
)
def test_memory_goes_from_one_layout_to_another(make, lay):
    model, muon = MAKERS[make](), 0.02 if make == "FastGPT" else 0.0
    found = stacks(model)
    steppers = optimizers.optimizers(found, 1e-2, 0.1, muon)

    def step():
        for one in steppers:
            one.step()
        for stack in found:
            stack.weights.grad.zero_()

    train_by(model, step, 3)
    memory = {k: v.clone() for k, v in optimizers.memory(found, steppers).items()}
    for name, weight in MAKERS[make]().named_parameters():
        kinds = {k.removeprefix(name + ".") for k in memory if k.startswith(name + ".")}
        by_muon = muon and name.startswith("blocks.") and weight.dim() == 2
        adamw = {"step", "exp_avg", "exp_avg_sq"} if weight.requires_grad else set()
        assert kinds == ({"average"} if by_muon else adamw), name
        for kind in kinds - {"step"}:
            assert memory[f"{name}.{kind}"].shape == weight.shape
    other, kept = MAKERS[make](), {k: v.clone() for k, v in memory.items()}
    other.load_state_dict(model.state_dict())
    laid = lay(other)
    fresh = optimizers.optimizers(laid, 1e-2, 0.1, muon)
    optimizers.remember(memory, laid, fresh)
    back = optimizers.memory(laid, fresh)
    assert sorted(back) == sorted(memory)
    assert all(torch.equal(back[k], memory[k]) for k in memory)

    def step_fresh():
        for one in fresh:
            one.step()
        for weight in other.parameters():
            if weight.grad is not None:
                weight.grad.zero_()

    wanted = train_by(model, step, 3)
    assert train_by(other, step_fresh, 3) == pytest.approx(wanted, rel=1e-5)
    assert all(torch.equal(memory[k], kept[k]) for k in kept)  # it was copied


# Muon ---------------------------------------------------------------------------------

SHAPES = [(1, 8, 8), (3, 6, 20), (3, 20, 6), (2, 64, 64), (4, 32, 128), (1, 1, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [1e-4, 1.0, 1e4])
def test_orthogonal_brings_singular_values_near_one(shape, size):
    x = noise(*shape) * size
    turned = orthogonal(x)
    assert turned.shape == x.shape
    left, values, right = torch.linalg.svd(x, full_matrices=False)
    large = values > 0.02 * values[:, :1]  # the smallest ones take more rounds
    after = torch.linalg.svdvals(turned)
    assert after.max() < 1.3
    inside = left.mT @ turned @ right.mT  # (N, S, S)
    diagonal = inside.diagonal(dim1=-2, dim2=-1)
    assert bool((diagonal[large] > 0.6).all() and (diagonal > 0).all())
    rest = inside - torch.diag_embed(diagonal)
    assert rest.abs().max() < 1e-3  # the same directions


def test_orthogonal_treats_every_matrix_by_itself():
    x = noise(3, 8, 5) * torch.tensor([1e-3, 1.0, 1e3])[:, None, None]
    each = torch.cat([orthogonal(one[None]) for one in x])
    assert torch.allclose(orthogonal(x), each, atol=1e-4)
    assert torch.equal(orthogonal(torch.zeros(2, 3, 3)), torch.zeros(2, 3, 3))


def polynomial(values: torch.Tensor) -> torch.Tensor:
    """What five rounds make of singular values, by themselves."""
    values = values / values.norm()
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return values


def test_five_rounds_end_where_the_docstring_says():
    values = torch.logspace(math.log10(0.002), -1e-4, 500).double()
    longest = (1 - values**2).sqrt()  # beside each another, so that both have norm 1
    both = torch.stack([values, longest], 1).diag_embed()  # (500, 2, 2)
    after = orthogonal(both).diagonal(dim1=-2, dim2=-1)[:, 0]
    assert 0.68 < after.min() < 0.7 < 1.19 < after.max() < 1.21


@pytest.mark.parametrize("shape", [(2, 12, 12), (2, 6, 24), (2, 24, 6)])
def test_muon_steps_as_singular_values_say(shape):
    weights = nn.Parameter(noise(*shape).double())
    wanted, average = weights.detach().clone(), torch.zeros(shape).double()
    muon = Muon([weights], lr=0.1)
    for seed in range(1, 5):
        slope = noise(*shape, seed=seed).double()
        weights.grad = slope.clone()
        muon.step()
        average = 0.95 * average + 0.05 * slope
        ahead = 0.05 * slope + 0.95 * average  # Nesterov: as if one step further on
        for i in range(len(wanted)):
            left, values, right = torch.linalg.svd(ahead[i], full_matrices=False)
            turned = left @ torch.diag(polynomial(values)) @ right
            wanted[i] -= 0.1 * math.sqrt(max(1, shape[1] / shape[2])) * turned
        assert torch.allclose(weights, wanted, atol=1e-5)
        assert torch.equal(weights.grad, slope)  # gradients are left as they are


def ill_conditioned(optimizer_of, steps: int = 60) -> float:
    """How much loss is left where some directions count a million times more."""
    strengths = torch.logspace(0, -3, 16)
    weights = nn.Parameter(torch.zeros(1, 16, 16))
    target, optimizer = noise(1, 16, 16), optimizer_of([weights])
    turn = torch.linalg.qr(noise(16, 16, seed=1))[0]
    mix = turn @ torch.diag(strengths) @ turn.T
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("full", group["lr"]) * (1 - step / steps)
        loss = (mix @ (weights - target)).square().sum()
        (weights.grad,) = torch.autograd.grad(loss, weights)
        optimizer.step()
    return ((weights - target).square().sum() / target.square().sum()).item()


def test_muon_beats_adamw_where_directions_differ_in_strength():
    rates = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
    muon = min(ill_conditioned(lambda w, r=r: Muon(w, lr=r)) for r in rates)
    adamw = min(
        ill_conditioned(lambda w, r=r: torch.optim.AdamW(w, lr=r, weight_decay=0.0))
        for r in rates
    )
    assert muon < 0.7 * adamw < 0.7
