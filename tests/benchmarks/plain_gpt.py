"""A peer written anew: nanoGPT's published model, with biases or without them.

As its README and its two configurations for Shakespeare's characters say: query, key and
value are one matrix, attention is torch's fused one, LayerNorm before each part, GELU,
the embedding is used a second time, and AdamW decays matrices only. Only sizes and steps
are taken from there; the code is ours.
"""

import math
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F


class Shape(NamedTuple):
    """The numbers that decide the model."""

    vocabulary: int
    context: int
    layers: int
    channels: int
    heads: int
    bias: bool


class Recipe(NamedTuple):
    """How nanoGPT trains on a laptop: 4 × 128, 64 characters, 12 rows, 2,000 steps."""

    steps: int = 2_000
    batch: int = 12
    rate: float = 1e-3
    least: float = 1e-4  # where the cosine ends
    warmup: int = 100
    decay: float = 0.1
    betas: tuple = (0.9, 0.99)


class PlainBlock(nn.Module):
    """Attention and MLP, each after a LayerNorm and added to its input."""

    def __init__(self, shape: Shape):
        super().__init__()
        wide, self.heads = shape.channels, shape.heads
        self.first = nn.LayerNorm(wide, bias=shape.bias)
        self.heads_in = nn.Linear(wide, 3 * wide, bias=shape.bias)
        self.heads_out = nn.Linear(wide, wide, bias=shape.bias)
        self.second = nn.LayerNorm(wide, bias=shape.bias)
        self.up = nn.Linear(wide, 4 * wide, bias=shape.bias)
        self.down = nn.Linear(4 * wide, wide, bias=shape.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, C) → (B, T, C)"""
        batch, places, wide = x.shape
        cut = (batch, places, self.heads, wide // self.heads)
        parts = self.heads_in(self.first(x)).split(wide, dim=2)
        query, key, value = (one.view(cut).transpose(1, 2) for one in parts)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.heads_out(mixed.transpose(1, 2).reshape(x.shape))
        return x + self.down(F.gelu(self.up(self.second(x))))


class PlainGPT(nn.Module):
    """ids (B, T) → logits (B, T, V)."""

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocabulary, shape.channels)
        self.places = nn.Embedding(shape.context, shape.channels)
        self.blocks = nn.ModuleList(PlainBlock(shape) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.channels, bias=shape.bias)
        for name, weight in self.named_parameters():
            if weight.dim() > 1:
                last = name.endswith(("heads_out.weight", "down.weight"))
                spread = 0.02 / math.sqrt(2 * shape.layers) if last else 0.02
                nn.init.normal_(weight, std=spread)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.tokens(ids) + self.places(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)


def optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW with decay for matrices only, fused."""
    weights = list(model.parameters())
    groups = [
        {"params": [w for w in weights if w.dim() > 1], "weight_decay": recipe.decay},
        {"params": [w for w in weights if w.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.rate, betas=recipe.betas, fused=True)


def rate_at(step: int, recipe: Recipe) -> float:
    """A linear warm-up, then half a cosine down to the least rate."""
    if step < recipe.warmup:
        return recipe.rate * (step + 1) / (recipe.warmup + 1)
    share = (step - recipe.warmup) / (recipe.steps - recipe.warmup)
    return (
        recipe.least
        + (recipe.rate - recipe.least) * (1 + math.cos(math.pi * share)) / 2
    )


def step(model, optimizer, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """One training step; its loss."""
    logits = model(inputs)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss
