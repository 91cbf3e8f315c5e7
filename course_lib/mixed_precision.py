"""Sixteen bits: which gradients they lose, and the scale that saves them.

Built in lesson 14. Source: Micikevicius et al. 2017, section 3.
"""

import math
from collections.abc import Callable

import torch
from torch import nn

MOST = torch.finfo(torch.float16).max  # 65,504: above it comes infinity


def lost(found: torch.Tensor, exact: torch.Tensor) -> float:
    """The share of a gradient's numbers that were found to be 0 and are not."""
    there = exact != 0
    return float((there & (found == 0)).sum() / there.sum())


def loss_scale(gradient: torch.Tensor) -> float:
    """The largest power of two by which a gradient may be multiplied in float16.

    No number of it, multiplied, lies beyond 65,504. 1.0 for a gradient of zeros.
    """
    most = gradient.abs().max().item()
    return 2.0 ** math.floor(math.log2(MOST / most)) if most else 1.0


def gradients_in(
    dtype: torch.dtype, model: nn.Module, loss_of: Callable, scale: float = 1.0
) -> torch.Tensor:
    """All gradients of a model as one vector, its products taken in `dtype`.

    loss_of(model) gives the loss. It is multiplied by `scale` before backward, and the
    gradients are divided by it afterwards, in the weights' own precision.
    """
    model.zero_grad()
    at = next(model.parameters()).device.type
    with torch.autocast(at, dtype, enabled=dtype != torch.float32):
        loss = loss_of(model)
    (loss * scale).backward()
    flat = [weight.grad.flatten() for weight in model.parameters()]
    return torch.cat(flat) / scale
