"""AdamW and Muon against torch's own AdamW and singular values."""

import math

import pytest
import runs
import torch
from runs import SHAPE, new
from torch import nn

from course_lib import fast_gpt, optimizers
from course_lib.devices import generator
from course_lib.gpt import GPT
from course_lib.optimizers import Muon, orthogonal

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


def test_what_is_learned():
    tied = optimizers.learned(new())
    assert "embedding.weight" in tied and "unembedding.weight" not in tied
    found = optimizers.learned(Plain())
    assert "first.weight" in found and "frozen" not in found


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


@pytest.mark.parametrize("make", MAKERS)
def test_adamw_is_torchs(make):
    model, alone = MAKERS[make](), MAKERS[make]()
    alone.load_state_dict(model.state_dict())
    (ours,) = optimizers.optimizers(optimizers.learned(model), rate=1e-2, decay=0.5)
    learned = [w for w in alone.parameters() if w.requires_grad]
    theirs = torch.optim.AdamW(
        [
            {"params": [w for w in learned if w.dim() == 2], "weight_decay": 0.5},
            {"params": [w for w in learned if w.dim() != 2], "weight_decay": 0.0},
        ],
        lr=1e-2,
        betas=(0.9, 0.95),
    )

    def stepper(optimizer, weights):
        def step():
            nn.utils.clip_grad_norm_(weights, 0.1)
            optimizer.step()
            optimizer.zero_grad()

        return step

    mine = [w for w in model.parameters() if w.requires_grad]
    losses = train_by(model, stepper(ours, mine))
    wanted = train_by(alone, stepper(theirs, learned))
    assert losses == pytest.approx(wanted, abs=1e-5)
    assert wanted[-1] < 0.8 * wanted[0]


def test_only_matrices_decay():
    model = new()
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    (one,) = optimizers.optimizers(optimizers.learned(model), rate=0.1, decay=0.5)
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    one.step()  # without a slope nothing but decay moves a weight
    for name, weight in model.named_parameters():
        left = 0.95 if weight.dim() == 2 else 1.0
        assert torch.allclose(weight, before[name] * left), name


def test_muon_takes_the_blocks_matrices_and_adamw_the_rest():
    model = new(fast_gpt.FastGPT)
    adamw, muon = optimizers.optimizers(
        optimizers.learned(model), rate=0.1, decay=0.0, muon=0.02
    )
    mine = [w for group in muon.param_groups for w in group["params"]]
    others = [w for group in adamw.param_groups for w in group["params"]]
    for name, weight in optimizers.learned(model).items():
        owner = mine if name.startswith("blocks.") and weight.dim() == 2 else others
        assert sum(w is weight for w in mine + others) == 1
        assert any(w is weight for w in owner)
    assert muon.param_groups[0]["lr"] == 0.02 and adamw.param_groups[0]["lr"] == 0.1


def test_muon_without_whole_matrices_in_blocks_is_one_sentence(monkeypatch):
    words = (
        r"^Muon turns the matrices of model\.blocks, which are missing .*: muon=0\.$"
    )
    with pytest.raises(ValueError, match=words):
        optimizers.optimizers(optimizers.learned(Plain()), 0.1, 0.0, muon=0.02)
    monkeypatch.setattr(optimizers.distributed, "is_sharded", lambda values: True)
    with pytest.raises(ValueError, match="which are spread over processes: muon=0"):
        optimizers.optimizers(optimizers.learned(new()), 0.1, 0.0, muon=0.02)


# State --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", ("GPT", "FastGPT", "plain"))
def test_state_goes_to_a_fresh_model_and_it_goes_on_the_same(make):
    model, muon = MAKERS[make](), 0.02 if make == "FastGPT" else 0.0
    steppers = optimizers.optimizers(optimizers.learned(model), 1e-2, 0.1, muon)

    def stepper(them):
        def step():
            for one in them:
                one.step()
                one.zero_grad()

        return step

    train_by(model, stepper(steppers), 3)
    taken = optimizers.state_dict(optimizers.learned(model), steppers)
    state = {key: values.clone() for key, values in taken.items()}
    for name, weight in model.named_parameters():
        kinds = {k.removeprefix(name + ".") for k in state if k.startswith(name + ".")}
        by_muon = muon and name.startswith("blocks.") and weight.dim() == 2
        adamw = {"step", "exp_avg", "exp_avg_sq"} if weight.requires_grad else set()
        assert kinds == ({"average"} if by_muon else adamw), name
        for kind in kinds - {"step"}:
            assert state[f"{name}.{kind}"].shape == weight.shape
    other, kept = MAKERS[make](), {k: v.clone() for k, v in state.items()}
    other.load_state_dict(model.state_dict())
    fresh = optimizers.optimizers(optimizers.learned(other), 1e-2, 0.1, muon)
    optimizers.load_state_dict(state, optimizers.learned(other), fresh)
    back = optimizers.state_dict(optimizers.learned(other), fresh)
    assert sorted(back) == sorted(state)
    assert all(torch.equal(back[key], state[key]) for key in state)
    wanted = train_by(model, stepper(steppers), 3)
    assert train_by(other, stepper(fresh), 3) == wanted
    assert all(torch.equal(state[key], kept[key]) for key in kept)  # it was copied


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
    wanted, average = noise(*shape).double(), torch.zeros(shape).double()
    weights = [nn.Parameter(one.clone()) for one in wanted]
    muon = Muon(weights, lr=0.1)
    for seed in range(1, 5):
        slope = noise(*shape, seed=seed).double()
        for weight, one in zip(weights, slope):
            weight.grad = one.clone()
        muon.step()
        average = 0.95 * average + 0.05 * slope
        ahead = 0.05 * slope + 0.95 * average  # Nesterov: as if one step further on
        for i in range(len(wanted)):
            left, values, right = torch.linalg.svd(ahead[i], full_matrices=False)
            turned = left @ torch.diag(polynomial(values)) @ right
            wanted[i] -= 0.1 * math.sqrt(max(1, shape[1] / shape[2])) * turned
        assert torch.allclose(torch.stack(weights), wanted, atol=1e-5)
        for weight, one in zip(weights, slope):
            assert torch.equal(weight.grad, one)  # gradients are left as they are


def test_muon_turns_every_shape_and_leaves_alone_what_has_no_gradient():
    shapes = [(4, 4), (6, 3), (4, 4), (3, 6)]
    weights = [nn.Parameter(noise(*shape)) for shape in shapes]
    before = [weight.detach().clone() for weight in weights]
    for weight in weights[:3]:
        weight.grad = noise(*weight.shape, seed=1)
    Muon(weights, lr=0.1).step()
    moved = [not torch.equal(*pair) for pair in zip(weights, before)]
    assert moved == [True, True, True, False]


def ill_conditioned(optimizer_of, steps: int = 60) -> float:
    """How much loss is left where some directions count a million times more."""
    strengths = torch.logspace(0, -3, 16)
    weights = nn.Parameter(torch.zeros(16, 16))
    target, optimizer = noise(16, 16), optimizer_of([weights])
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
