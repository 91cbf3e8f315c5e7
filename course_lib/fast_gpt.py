"""The fast recipe: a small GPT changed so that it learns in far fewer steps.

Each change is one line here. Built in lesson 08, which measures what they buy:

  rotary positions        the angle between two vectors tells how far apart they stand
  a look at one before    each position reads a mixture of itself and the one before it
  zero at the start       every part begins by adding nothing, and so does the unembedding
  squared ReLU            a soft switch that costs next to nothing
  no learned scales       norms without weights, linear maps without biases

It is trained with Muon (optimizers.py). Not for stories only: for everything small.

B batch, T position, C channels, H heads, D head size, V vocabulary, L layers.
Sources: Su et al. 2021 (RoPE); Peng et al. 2023, RWKV (the look at one before); So et
al. 2021, Primer (squared ReLU); Henry et al. 2020 (normed queries and keys); Jordan et
al. 2024, modded-nanogpt, where most of these stand together for a large model.
"""

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.gpt import GPTConfig, attend, check_ids, join_heads, split_heads
from course_lib.kv_cache import attend_from, places
from course_lib.llama import rotate, rotation

BASE = 1_000.0  # of the rotary positions: enough for a few hundred tokens


def norm(x: torch.Tensor) -> torch.Tensor:
    """Every vector to mean 0 and variance 1, with nothing learned: (…, C) → (…, C)."""
    return F.layer_norm(x, x.shape[-1:])


def mixed(x: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Every position with a share of the one before it: (B, T, C), (C,) → (B, T, C)."""
    before = F.pad(x, (0, 0, 1, -1))  # moved on by one place; the first gets zeros
    return torch.lerp(x, before, share)


def squared_relu(x: torch.Tensor) -> torch.Tensor:
    """A soft switch: 0 below zero, x² above; the same shape."""
    return F.relu(x).square()


class FastAttention(nn.Module):
    """Causal attention with rotary positions and normed queries and keys."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.heads = config.heads
        shape = (config.channels, config.channels)
        self.query = nn.Linear(*shape, bias=False)
        self.key = nn.Linear(*shape, bias=False)
        self.value = nn.Linear(*shape, bias=False)
        self.output = nn.Linear(*shape, bias=False)

    def forward(self, x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        """(B, T, C) → (B, T, C)"""
        return self.output(join_heads(attend(*self.split(x, turn))))

    def split(self, x: torch.Tensor, turn: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Queries, keys and values: (B, T, C) → (B, H, T, D) each."""
        parts = [self.query.weight, self.key.weight, self.value.weight]
        together = F.linear(x, torch.cat(parts))  # (B, T, 3 C): one product, not three
        query, key, value = (
            split_heads(part, self.heads) for part in together.chunk(3, -1)
        )
        return rotate(norm(query), turn), rotate(norm(key), turn), value


class FastBlock(nn.Module):
    """One layer: attention, then MLP, each added to the residual stream."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.attention = FastAttention(config)
        self.up = nn.Linear(config.channels, 4 * config.channels, bias=False)
        self.down = nn.Linear(4 * config.channels, config.channels, bias=False)
        self.before_attention = nn.Parameter(torch.full((config.channels,), 0.5))
        self.before_mlp = nn.Parameter(torch.full((config.channels,), 0.5))

    def forward(self, x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        """(B, T, C) → (B, T, C)"""
        x = x + self.attention(mixed(norm(x), self.before_attention), turn)
        up = self.up(mixed(norm(x), self.before_mlp))  # (B, T, 4 C)
        return x + self.down(squared_relu(up))


class FastGPT(nn.Module):
    """The whole model: ids in, logits out; the same five numbers decide its shape."""

    def __init__(self, config: GPTConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.channels)
        self.blocks = nn.ModuleList(FastBlock(config) for _ in range(config.layers))
        self.unembedding = nn.Linear(config.channels, config.vocabulary, bias=False)
        for name, weight in self.named_parameters():
            if name.endswith(("output.weight", "down.weight", "unembedding.weight")):
                nn.init.zeros_(weight)
            elif name == "embedding.weight":
                nn.init.normal_(weight, generator=generator)
            elif weight.dim() == 2:
                spread = config.channels**-0.5
                nn.init.normal_(weight, std=spread, generator=generator)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids (B, T), int64 → logits (B, T, V) for the token after each position.

        Raises ValueError for no positions, too many, or an id outside the vocabulary.
        """
        check_ids(ids, self.config, self.embedding.weight.device)
        size = self.config.head_size
        turn = rotation(ids.shape[1], size, BASE, ids.device)  # (2, T, D)
        x = norm(self.embedding(ids))  # (B, T, C)
        for block in self.blocks:
            x = block(x, turn)
        return self.unembedding(norm(x))  # (B, T, V)


@torch.inference_mode()
def decode_step(model: FastGPT, ids: torch.Tensor, cache) -> torch.Tensor:
    """As kv_cache.decode_step: ids (B, T) that follow the cache → logits (B, V).

    The cache, a KVCache, keeps in `last` what each part saw of the last position, for the
    next one looks at it. So it can't be cut back to fewer positions.
    """
    here = places(model, ids, cache)
    turn = rotation(here.stop, model.config.head_size, BASE, ids.device)[:, here]
    x = norm(model.embedding(ids))  # (B, T, C)
    for layer, block in enumerate(model.blocks):
        seen = mixed_on(
            norm(x), block.before_attention, cache.last, (layer, "attention")
        )
        query, key, value = block.attention.split(seen, turn)
        key, value = cache.add(layer, key, value)  # (B, H, N, D)
        x = x + block.attention.output(join_heads(attend_from(query, key, value)))
        seen = mixed_on(norm(x), block.before_mlp, cache.last, (layer, "mlp"))
        x = x + block.down(squared_relu(block.up(seen)))
    return model.unembedding(norm(x[:, -1]))  # (B, V)


def mixed_on(x: torch.Tensor, share: torch.Tensor, last: dict, part) -> torch.Tensor:
    """`mixed` for new positions: the one before the first is in `last`, under `part`.

    (B, T, C), (C,) → (B, T, C); the last of the new ones takes its place.
    """
    before = last.get(part, torch.zeros_like(x[:, :1]))  # (B, 1, C)
    last[part] = x[:, -1:]
    return torch.lerp(x, torch.cat([before, x[:, :-1]], 1), share)
