"""The Llama architecture, the real LLM's family, in one sitting.

SmolLM2 is such a model. It differs from GPT-3 in four parts: RMSNorm for LayerNorm,
rotary positions (RoPE) for learned ones, SwiGLU for GELU, and key and value heads that
several query heads share. Lesson 09 uses it first; built in lesson 11.

B batch, T position, C channels, H heads, G heads of keys and values, D head size,
V vocabulary, L layers.
Sources: Touvron et al. 2023 (Llama); Su et al. 2021 (RoPE); Zhang & Sennrich 2019
(RMSNorm); Shazeer 2020 (SwiGLU); Ainslie et al. 2023 (grouped queries).
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.gpt import attend, attention_weights, check_ids, join_heads, scores
from course_lib.kv_cache import attend_from, places


@dataclass(frozen=True)
class LlamaConfig:
    """The numbers that decide a model's shape."""

    vocabulary: int = 49_152  # V
    context: int = 8_192  # most positions
    layers: int = 30  # L
    channels: int = 576  # C
    query_heads: int = 9  # H
    key_value_heads: int = 3
    mlp_channels: int = 1_536
    rope_base: float = 100_000.0

    @property
    def head_size(self) -> int:
        """D: how many channels one head works in."""
        return self.channels // self.query_heads


SMOLLM2_135M = LlamaConfig()


def rms_norm(
    x: torch.Tensor, weight: torch.Tensor, epsilon: float = 1e-5
) -> torch.Tensor:
    """Bring every vector to a root mean square of 1, then scale it: (…, C) → (…, C).

    The mean of the squares is taken over the channels of each position by itself;
    epsilon is added to it and keeps a vector of zeros from dividing by zero (Zhang &
    Sennrich 2019, eq. 4; the paper has no epsilon).
    """
    mean_square = x.square().mean(-1, keepdim=True)
    return x * torch.rsqrt(mean_square + epsilon) * weight


class RMSNorm(nn.Module):
    """rms_norm with a learned weight; no bias."""

    def __init__(self, channels: int, epsilon: float = 1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, C) → (…, C)"""
        return rms_norm(x, self.weight, self.epsilon)


def rotation(positions: int, head_size: int, base: float, device=None) -> torch.Tensor:
    """The cosine and sine by which RoPE turns each pair of channels: (2, T, D).

    Pair i of position t turns by t / base^(2i / D) radians (Su et al. 2021, eq. 15).
    """
    pair = torch.arange(0, head_size, 2, device=device).float()  # (D/2)
    position = torch.arange(positions, device=device).float()  # (T)
    angle = torch.outer(position, base ** (-pair / head_size))  # (T, D/2)
    angle = torch.cat([angle, angle], dim=-1)  # (T, D)
    return torch.stack([angle.cos(), angle.sin()])  # (2, T, D)


def rotate(x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Turn queries or keys (B, H, T, D) by their positions; turn is rotation(…).

    Channel i and channel i + D/2 are one pair, a point in a plane.
    """
    first, second = x.chunk(2, dim=-1)
    across = torch.cat([-second, first], dim=-1)  # (B, H, T, D)
    return x * turn[0] + across * turn[1]


def share_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Give each key or value head to the query heads that share it: all H heads.

    x (B, G, T, D) → (B, H, T, D), H a multiple of G: the first H/G query heads get head
    0, the next ones head 1 (Ainslie et al. 2023, section 2.2).
    """
    return x.repeat_interleave(heads // x.shape[1], dim=1)


class Attention(nn.Module):
    """Attention in which several query heads share one key and one value head."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.config = config
        shared = config.key_value_heads * config.head_size
        self.query = nn.Linear(config.channels, config.channels, bias=False)
        self.key = nn.Linear(config.channels, shared, bias=False)
        self.value = nn.Linear(config.channels, shared, bias=False)
        self.output = nn.Linear(config.channels, config.channels, bias=False)

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, H·D) → (B, H, T, D)"""
        return x.unflatten(-1, (-1, self.config.head_size)).transpose(1, 2)

    def query_and_key(self, x: torch.Tensor, turn: torch.Tensor) -> tuple:
        """Queries and keys, turned by their positions: both (B, H, T, D)."""
        query = rotate(self.split(self.query(x)), turn)
        key = rotate(self.split(self.key(x)), turn)  # (B, G, T, D)
        return query, share_heads(key, self.config.query_heads)

    def pattern(self, x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        """The weights (B, H, T, T) that forward mixes with: for pictures."""
        return attention_weights(scores(*self.query_and_key(x, turn)))

    def forward(self, x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        """(B, T, C) → (B, T, C)"""
        query, key = self.query_and_key(x, turn)  # (B, H, T, D)
        value = share_heads(self.split(self.value(x)), self.config.query_heads)
        return self.output(join_heads(attend(query, key, value)))  # (B, T, C)


class MLP(nn.Module):
    """SwiGLU: up, opened or closed by a gate, then down."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.gate = nn.Linear(config.channels, config.mlp_channels, bias=False)
        self.up = nn.Linear(config.channels, config.mlp_channels, bias=False)
        self.down = nn.Linear(config.mlp_channels, config.channels, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, C) → (B, T, C)"""
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    """One layer: attention, then MLP, each added to the residual stream."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.attention_norm = RMSNorm(config.channels)
        self.attention = Attention(config)
        self.mlp_norm = RMSNorm(config.channels)
        self.mlp = MLP(config)

    def forward(self, x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        """(B, T, C) → (B, T, C)"""
        x = x + self.attention(self.attention_norm(x), turn)
        return x + self.mlp(self.mlp_norm(x))


class Llama(nn.Module):
    """The whole model: ids in, logits out."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.channels)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = RMSNorm(config.channels)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """ids (B, T) → (B, T, C)"""
        return self.embedding(ids)

    def unembed(self, x: torch.Tensor) -> torch.Tensor:
        """(…, C) → logits (…, V), with the embedding matrix used a second time."""
        return F.linear(self.norm(x), self.embedding.weight)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids (B, T), int64 → logits (B, T, V) for the token after each position.

        Raises ValueError for no positions, too many, or an id outside the vocabulary.
        """
        check_ids(ids, self.config, self.embedding.weight.device)
        x = self.embed(ids)  # (B, T, C)
        size, base = self.config.head_size, self.config.rope_base
        turn = rotation(ids.shape[1], size, base, ids.device).to(x.dtype)  # (2, T, D)
        for block in self.blocks:
            x = block(x, turn)
        return self.unembed(x)  # (B, T, V)


# Writing with a memory: lesson 09 -----------------------------------------------------


def cached_attention(
    attention: nn.Module, x: torch.Tensor, turn: torch.Tensor, layer: int, cache
) -> torch.Tensor:
    """What Attention's forward gives for new positions: (B, T, C) → (B, T, C).

    turn is the part of rotation(…) at their places. Keys are turned before they are
    kept, as a place in the text never changes; they and the values are kept once, not
    once for each query head that shares them: that is what grouping saves.
    """
    query = rotate(attention.split(attention.query(x)), turn)  # (B, H, T, D)
    key = rotate(attention.split(attention.key(x)), turn)  # (B, G, T, D)
    value = attention.split(attention.value(x))
    key, value = cache.add(layer, key, value)  # (B, G, N, D)
    return attention.output(join_heads(attend_from(query, key, value)))  # (B, T, C)


@torch.inference_mode()
def decode_step(model: nn.Module, ids: torch.Tensor, cache) -> torch.Tensor:
    """Read ids (B, T) that follow what the cache knows → logits (B, V) of the next.

    The same as model(all ids so far)[:, -1], as kv_cache.decode_step is for a GPT; cache is a
    kv_cache.KVCache. Raises ValueError for ids that no model could read, or a full cache.
    """
    here = places(model, ids, cache)
    x = model.embed(ids)  # (B, T, C)
    size, base = model.config.head_size, model.config.rope_base
    turn = rotation(here.stop, size, base, ids.device)  # (2, N, D)
    turn = turn[:, here].to(x.dtype)  # (2, T, D)
    for layer, block in enumerate(model.blocks):
        x = x + cached_attention(
            block.attention, block.attention_norm(x), turn, layer, cache
        )
        x = x + block.mlp(block.mlp_norm(x))
    return model.unembed(x[:, -1])  # (B, V)
