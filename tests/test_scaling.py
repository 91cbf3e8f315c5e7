"""Scaling: operations beside torch's counter, best sizes, laws beside known ones."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from course_lib import scales, scaling, sizing
from course_lib.fast_gpt import FastGPT
from course_lib.gpt import GPT, GPT3, GPTConfig
from course_lib.notebooks import cells
from course_lib.train import TrainConfig, next_token_loss, train

SMALL = GPTConfig(vocabulary=103, context=48, layers=2, channels=32, heads=2)


def counted(model: nn.Module, context: int) -> int:
    """The operations of one window, there and back, as torch counts them."""
    ids = torch.zeros(1, context + 1, dtype=torch.long)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        next_token_loss(model, ids[:, :-1], ids[:, 1:]).backward()
    return counter.get_total_flops()


class Own(nn.Module):
    """A learner's own class: no attention, so that 6ND is all there is."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.embedding = nn.Embedding(config.vocabulary, config.channels)
        self.inner = nn.Linear(config.channels, 12 * config.channels * config.layers)
        self.outer = nn.Linear(12 * config.channels * config.layers, config.channels)
        self.unembedding = nn.Linear(config.channels, config.vocabulary)

    def forward(self, ids):
        return self.unembedding(self.outer(self.inner(self.embedding(ids)).tanh()))


# Operations ---------------------------------------------------------------------------


def test_weights_that_multiply_are_the_matrices_of_a_model_but_its_embeddings():
    model = GPT(SMALL, tied=False)
    named = {n: w for n, w in model.named_parameters() if w.dim() == 2}
    found = sum(w.numel() for n, w in named.items())
    looked_up = named["embedding.weight"].numel() + named["position.weight"].numel()
    assert scaling.weights(SMALL) == found - looked_up


@pytest.mark.parametrize("make", [GPT, FastGPT])
@pytest.mark.parametrize("context", [8, 48])
def test_operations_are_what_torch_counts(make, context):
    assert scaling.operations(SMALL, context, context) == counted(make(SMALL), context)


def test_six_nd_is_what_torch_counts_on_a_model_without_attention():
    model = Own(SMALL)
    multiplied = sum(
        w.numel()
        for n, w in model.named_parameters()
        if w.dim() == 2 and not n.startswith("embedding")
    )
    assert counted(model, 40) == 6 * multiplied * 40


def test_six_nd_leaves_out_attention_only():
    window = 48
    products = 2 * 2 * window**2 * SMALL.channels * SMALL.layers  # scores and mixing
    gap = scaling.operations(SMALL, window, window) - scaling.six_nd(SMALL, window)
    assert gap == 3 * products


def test_gpt3s_price_is_that_of_its_paper():
    petaflop_days = scaling.six_nd(GPT3, 300e9) / (1e15 * 24 * 60 * 60)
    assert petaflop_days == pytest.approx(3_640, rel=0.002)  # Brown et al., table D.1


def test_train_scale_takes_its_operations_from_here():
    run = TrainConfig(steps=7, batch=3, context=48)
    expected = scaling.operations(SMALL, 48, 7 * 3 * 48)
    assert scales.operations(SMALL, run) == expected
    window = sizing.forward_operations(SMALL, 48)["products"]
    assert expected == 3 * window * 7 * 3


# How much that is ---------------------------------------------------------------------


def test_reading_time_by_hand():
    # A million tokens are 750,000 words; at 250 a minute that is 50 hours.
    assert scaling.reading(1e6, 250) == pytest.approx(50 / (365 * 24))
    assert round(scaling.reading(300e9, 250)) == 1_712
    assert round(scaling.reading(499e9, 275)) == 2_589


def test_reading_gives_each_of_three_from_the_other_two():
    years = scaling.reading(tokens=4e9, pace=190)
    assert scaling.reading(tokens=4e9, years=years) == pytest.approx(190)
    assert scaling.reading(pace=190, years=years) == pytest.approx(4e9)


def test_a_billion_a_second_for_a_year():
    assert scaling.years(1e9 * 365 * 24 * 60 * 60, 1e9) == pytest.approx(1)


def test_memory_is_that_of_a_models_training_in_float32():
    model = GPT(SMALL)
    optimizer = torch.optim.AdamW(model.parameters())
    ids = torch.zeros(1, 9, dtype=torch.long)
    next_token_loss(model, ids[:, :-1], ids[:, 1:]).backward()
    optimizer.step()
    held = [t for w in model.parameters() for t in (w, w.grad)]
    held += [t for s in optimizer.state.values() for t in s.values() if t.dim()]
    count = sum(w.numel() for w in model.parameters())
    assert scaling.memory(count) == sum(t.numel() * t.element_size() for t in held)


# The best size ------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [1.0, 18.7, 20.0, 87.0])
def test_a_split_spends_the_budget(ratio):
    n, d = scaling.split(5.76e23, ratio)
    assert 6 * n * d == pytest.approx(5.76e23) and d / n == pytest.approx(ratio)


def test_chinchilla_is_the_split_of_its_budget():
    n, d = scaling.split(5.76e23)  # Gopher's budget, Hoffmann et al. 2022
    assert n == pytest.approx(70e9, rel=0.02) and d == pytest.approx(1.4e12, rel=0.02)


def test_the_best_size_of_a_parabola_is_its_lowest_point():
    sizes = [1e3, 3e3, 8e3, 2e4, 7e4]
    losses = [1.5 + 0.3 * math.log(n / 1.2e4) ** 2 for n in sizes]
    n, low = scaling.best_size(sizes, losses)
    assert n == pytest.approx(1.2e4) and low == pytest.approx(1.5)


def test_the_best_size_comes_near_that_of_a_law_that_is_no_parabola():
    law = scaling.LAWS["fitted 2024"]
    budget = 1e21
    n, d = law.split(budget)
    sizes = [n * factor for factor in (0.2, 0.5, 1.1, 2.5, 6.0)]
    losses = [law.loss(size, budget / 6 / size) for size in sizes]
    best, low = scaling.best_size(sizes, losses)
    assert best == pytest.approx(n, rel=0.1)
    assert low == pytest.approx(law.loss(n, d), abs=1e-3)


@pytest.mark.parametrize("losses", [[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]])
def test_a_lowest_run_at_an_end_is_no_best_size(losses):
    with pytest.raises(ValueError, match="at an end: try sizes beyond"):
        scaling.best_size([1e3, 2e3, 4e3, 8e3], losses)


# Laws ---------------------------------------------------------------------------------


@pytest.mark.parametrize("floor", [0.0, 0.4, 1.7])
def test_a_fit_finds_the_law_that_made_the_losses(floor):
    compute = np.geomspace(4e9, 2.56e11, 4)
    losses = floor + 120 / compute**0.2
    law = scaling.fit(compute, losses)
    assert law.floor == pytest.approx(floor, abs=2e-3)
    assert law.loss(1e12) == pytest.approx(floor + 120 / 1e12**0.2, abs=1e-3)
    known = scaling.fit(compute, losses, floor=floor)
    assert known.exponent == pytest.approx(0.2) and known.height == pytest.approx(120)


def test_a_fit_to_three_runs_is_the_closed_form():
    losses = [2.567, 2.017, 1.637]
    law = scaling.fit([4e9, 1.6e10, 6.4e10], losses)
    floor, ahead = scaling.foresee(*losses)
    assert law.floor == pytest.approx(floor, abs=1e-4)
    assert law.loss(2.56e11) == pytest.approx(ahead, abs=1e-4)


def test_a_fit_without_a_floor_is_numpys_line_in_the_logarithms():
    compute, losses = [1e9, 4e9, 3e10], [2.5, 1.9, 1.6]
    slope, height = np.polyfit(np.log(compute), np.log(losses), 1)
    law = scaling.fit(compute, losses, floor=0)
    assert law.exponent == pytest.approx(-slope)
    assert law.height == pytest.approx(math.exp(height)) and law.floor == 0


def test_a_law_below_zero_is_foreseen_and_not_fitted():
    losses = [2.537, 1.007, 0.225]
    assert scaling.foresee(*losses)[0] < 0
    assert scaling.fit([1, 4, 16], losses).floor == 0


@pytest.mark.parametrize(
    ("compute", "losses", "floor"),
    [([1, 2], [2.0, 1.5], None), ([1], [2.0], 0.0), ([1, 2, 3], [2.0, 1.5], None)],
)
def test_a_fit_to_too_few_runs_is_refused(compute, losses, floor):
    with pytest.raises(ValueError, match="or more"):
        scaling.fit(compute, losses, floor)


def test_a_loss_at_the_floor_is_refused():
    with pytest.raises(ValueError, match="not above the floor"):
        scaling.fit([1, 2, 3], [2.0, 1.5, 1.0], floor=1.0)


@pytest.mark.parametrize("name", scaling.LAWS)
@pytest.mark.parametrize("budget", [1e18, 3.153e23, 1e26])
def test_a_law_splits_a_budget_where_its_loss_is_lowest(name, budget):
    law = scaling.LAWS[name]
    n, d = law.split(budget)
    assert 6 * n * d == pytest.approx(budget)
    tried = np.geomspace(n / 3, 3 * n, 3_001)
    assert law.loss(n, d) <= law.loss(tried, budget / 6 / tried).min()


def test_what_three_fits_advise_for_gpt3s_budget():
    found = {}
    for name, law in scaling.LAWS.items():
        n, d = law.split(6 * 175.2e9 * 300e9)
        found[name] = d / n
    assert found["printed 2022"] == pytest.approx(87, abs=1)
    assert found["unrounded"] == pytest.approx(56, abs=1)
    assert found["fitted 2024"] == pytest.approx(18.7, abs=0.1)
    # Besiroglu et al.: the share of the exponents that goes into weights is 0.5126.
    law = scaling.LAWS["fitted 2024"]
    share = law.beta / (law.alpha + law.beta)
    assert share == pytest.approx(0.5126, abs=2e-4)


# A learner's own class ----------------------------------------------------------------


def test_a_learners_own_class_goes_through_a_sweep():
    """Nothing here knows a model: a class of one's own is trained, and its runs fitted."""
    ids = torch.arange(4_000) * 7 % 103
    sizes, losses = [], []
    for channels in (4, 8, 16):
        config = GPTConfig(103, 16, 1, channels, 1)
        model = Own(config)
        plan = TrainConfig(40, 8, 16, 1e-2, warmup=4, every=40)
        history = train(model, ids[:3_000], ids[3_000:], plan, at="cpu", bar=False)
        sizes.append(scaling.weights(config))
        losses.append(history.validation[-1][1])
    assert sizes == sorted(sizes) and losses == sorted(losses, reverse=True)
    law = scaling.fit(sizes, losses, floor=0)
    assert law.exponent > 0


def test_the_lessons_own_sweep_takes_any_class():
    """The lesson's cells, with a class that has no blocks and so no use for Muon."""
    path = cells.paths(["10"])[0]
    space = {"torch": torch, "scaling": scaling, "GPTConfig": GPTConfig}
    for id in ("text", "run"):
        exec(cells.cell(path, id), space)

    def own(config, generator):
        return Own(config)

    losses = [space["run"](8, compute, make=own, muon=0) for compute in (1e8, 1e9)]
    assert losses[1] < losses[0] < math.log(space["different"]) + 1
