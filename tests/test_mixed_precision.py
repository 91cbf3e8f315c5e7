"""Sixteen bits: what is lost, and the largest scale, beside numpy's float16."""

import numpy as np
import pytest
import torch
from torch import nn

from course_lib import mixed_precision
from course_lib.devices import generator


class Own(nn.Module):
    """A learner's own class: two layers, and a name for nothing."""

    def __init__(self):
        super().__init__()
        chance = generator(0)
        self.a = nn.Parameter(torch.randn(4, 8, generator=chance))
        self.b = nn.Parameter(torch.randn(8, 1, generator=chance))

    def forward(self, x):
        return (x @ self.a).tanh() @ self.b


X = torch.randn(16, 4, generator=generator(1))


def small_loss(model, by=1.0):
    return model(X).float().pow(2).mean() * by


def exact(by=1.0):
    """Gradients by float64, without autocast."""
    model = Own().double()
    model(X.double()).pow(2).mean().mul(by).backward()
    return torch.cat([w.grad.flatten() for w in model.parameters()])


@pytest.mark.parametrize(
    ("dtype", "least", "most"),
    [
        (torch.float32, 0, 1e-6),
        (torch.float16, 1e-6, 5e-3),
        (torch.bfloat16, 1e-4, 4e-2),
    ],
)
def test_gradients_are_as_exact_as_their_bits(dtype, least, most):
    found = mixed_precision.gradients_in(dtype, Own(), small_loss)
    assert found.dtype == torch.float32
    error = float((found - exact()).norm() / exact().norm())
    assert least <= error < most


def test_a_scale_saves_what_float16_loses():
    by = 1e-9

    def loss_of(model):
        return small_loss(model, by)

    right = exact(by)
    plain = mixed_precision.gradients_in(torch.float16, Own(), loss_of)
    saved = mixed_precision.gradients_in(torch.float16, Own(), loss_of, 2.0**20)
    assert mixed_precision.lost(plain, right) > 0.5
    assert mixed_precision.lost(saved, right) == 0
    assert float((saved - right).norm() / right.norm()) < 1e-2


def test_gradients_of_an_earlier_call_do_not_count():
    model = Own()
    first = mixed_precision.gradients_in(torch.float32, model, small_loss)
    again = mixed_precision.gradients_in(torch.float32, model, small_loss)
    assert torch.equal(first, again)


def test_only_what_became_zero_is_lost():
    found = torch.tensor([0.0, 0.0, 1.0, 0.0, 2.0])
    right = torch.tensor([0.0, 1e-9, 1.0, -1e-9, 2.0])
    assert mixed_precision.lost(found, right) == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_the_largest_scale_fits_and_the_next_does_not(seed):
    gradient = torch.randn(50, generator=generator(seed)) * 10.0 ** (3 * seed - 9)
    scale = mixed_precision.loss_scale(gradient)
    with np.errstate(over="ignore"):
        fits, beyond = (
            np.isfinite((gradient.numpy() * by).astype(np.float16)).all()
            for by in (scale, 2.1 * scale)
        )
    assert fits and not beyond and np.log2(scale) == round(np.log2(scale))


def test_zeros_have_a_scale_of_one():
    assert mixed_precision.loss_scale(torch.zeros(3)) == 1.0
