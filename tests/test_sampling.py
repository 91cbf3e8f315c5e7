"""Sampling against torch's own distributions and a model worked out by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import sampling
from course_lib.device import generator


def table(ids):
    """A model whose logits depend on the last id only: (1, T) → (1, T, 5)."""
    weights = torch.arange(25.0).reshape(5, 5).sin() * 3
    return weights[ids]


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_draws_as_often_as_the_probabilities_say(weights, seed):
    p = torch.tensor(weights) / sum(weights)
    chance = generator(seed)
    drawn = torch.tensor([sampling.sample(p, chance) for _ in range(3000)])
    shares = torch.bincount(drawn, minlength=len(p)) / 3000
    assert (shares - p).abs().max() < 5 * math.sqrt(0.25 / 3000)


def test_the_last_token_can_be_drawn_and_nothing_beyond():
    p = torch.full((7,), 1 / 7)
    drawn = {sampling.sample(p, generator(seed)) for seed in range(300)}
    assert drawn == set(range(7))


@pytest.mark.parametrize("heat", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("shape", [(1,), (7,), (4, 7), (2, 3, 7)])
def test_softmax_is_torchs(shape, heat):
    logits = torch.randn(shape, generator=generator(0)) * 4
    ours = sampling.softmax(logits, heat)
    assert ours.shape == logits.shape
    assert torch.allclose(ours, torch.softmax(logits / heat, -1), atol=1e-6)
    assert torch.allclose(ours.sum(-1), torch.ones(shape[:-1]))


def test_softmax_divides_by_one_unless_told():
    logits = torch.tensor([0.0, 1.0])
    wanted = [1 / (1 + math.e), math.e / (1 + math.e)]
    assert sampling.softmax(logits).tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("shift", [-1e4, 1e4])
def test_softmax_of_logits_that_no_exponential_could_hold(shift):
    logits = torch.tensor([[shift, shift + 1, shift + 3], [0.0, 1, 3]])
    ours = sampling.softmax(logits)
    assert torch.allclose(ours[0], ours[1])
    assert torch.allclose(ours, torch.softmax(logits, -1))


def test_softmax_gives_nothing_to_minus_infinity():
    ours = sampling.softmax(torch.tensor([2.0, -torch.inf, 2.0]))
    assert ours.tolist() == [0.5, 0, 0.5]


def test_softmax_leaves_the_logits_alone():
    logits = torch.tensor([1.0, 2.0])
    sampling.softmax(logits, 0.5)
    assert logits.tolist() == [1, 2]


@pytest.mark.parametrize("heat", [0.25, 1.0, 3.0])
def test_probabilities_are_softmax_of_logits_over_temperature(heat):
    p = sampling.next_token_probabilities(table, [1, 3], heat)
    assert torch.allclose(p, torch.softmax(table(torch.tensor(3)) / heat, -1))
    assert float(p.sum()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("heat", [0, -1, 1e-40, float("nan"), float("inf")])
def test_odd_temperatures_are_refused(heat):
    with pytest.raises(ValueError, match="number above 0"):
        sampling.next_token_probabilities(table, [1], heat)


def test_no_ids_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        sampling.next_token_probabilities(table, [])


def test_generate_appends_what_it_chose():
    ids = [0]
    for id in sampling.generate(table, [0], sampling.greedy, 6):
        assert id == int(table(torch.tensor(ids[-1])).argmax())
        ids.append(id)
    assert len(ids) == 7


def test_generate_leaves_the_prompt_alone():
    prompt = [0, 1]
    list(sampling.generate(table, prompt, sampling.greedy, 3))
    assert prompt == [0, 1]


def test_log_probability_is_a_sum_over_the_table():
    log_p = torch.log_softmax(table(torch.arange(5)), -1)
    ids = [0, 3, 3, 1]
    wanted = log_p[0, 3] + log_p[3, 3] + log_p[3, 1]
    assert sampling.log_probability(table, ids) == pytest.approx(
        float(wanted), abs=1e-5
    )


def test_distinct_by_hand():
    assert sampling.distinct([5, 6, 5, 6], 2) == 2 / 3
    assert sampling.distinct([1], 3) == 1.0
