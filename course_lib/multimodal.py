"""Encoders and cross-attention: the same blocks on something else than a text.

Built in lesson 15. A translator, which also writes down what it hears, and what names an
image by its patches, which `pieces` cuts. Their parts are those of lessons 03 to 05.

B batch, S positions of a source, T positions of a target, C channels, H heads, D head
size, V vocabulary, P numbers in a patch or a chunk.
Sources: Vaswani et al. 2017 (encoder and decoder); Dosovitskiy et al. 2020 (patches and
the class token).
"""

import contextlib
import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.devices import generator
from course_lib.gpt import (
    MLP,
    Attention,
    GPTConfig,
    LayerNorm,
    join_heads,
    split_heads,
    start_weights,
)

WARM_UP = 20  # steps in which the rate rises

# Attention to something else ----------------------------------------------------------


def cross_attention(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> torch.Tensor:
    """Every query looks at every key: (…, T, D) and twice (…, S, D) → (…, T, D).

    Queries come from one sequence, keys and values from another. Nothing is masked.
    """
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])  # (…, T, S)
    return scores.softmax(-1) @ value


class CrossAttention(nn.Module):
    """Attention from one sequence to another, with many heads."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.channels, config.channels)
        self.key = nn.Linear(config.channels, config.channels)
        self.value = nn.Linear(config.channels, config.channels)
        self.output = nn.Linear(config.channels, config.channels)

    def forward(self, x: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """x (B, T, C) looks at source (B, S, C) → (B, T, C)"""
        query = split_heads(self.query(x), self.heads)  # (B, H, T, D)
        key = split_heads(self.key(source), self.heads)  # (B, H, S, D)
        value = split_heads(self.value(source), self.heads)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.output(join_heads(mixed))

    def pattern(self, x: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """The weights (B, H, T, S) that forward mixes with: for pictures."""
        query = split_heads(self.query(x), self.heads)
        key = split_heads(self.key(source), self.heads)
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])
        return scores.softmax(-1)


def who_sees(
    outputs: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor
) -> torch.Tensor:
    """Which output depends on which position of x (S, C): (T, S), True where it does.

    outputs maps (S, C) to (T, C). One position is changed at a time.
    """
    before, columns = outputs(x), []
    for position in range(len(x)):
        changed = x.clone()
        changed[position] += torch.arange(1, x.shape[-1] + 1).to(x)
        moved = (outputs(changed) - before).abs().amax(-1)  # (T)
        columns.append(moved > 1e-6)
    return torch.stack(columns, dim=-1)


# Encoder and decoder ------------------------------------------------------------------


class EncoderBlock(nn.Module):
    """One layer of an encoder: every position looks at every position, then the MLP."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.attention_norm = LayerNorm(config.channels)
        self.attention = CrossAttention(config)
        self.mlp_norm = LayerNorm(config.channels)
        self.mlp = MLP(config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, S, C) → (B, S, C)"""
        normed = self.attention_norm(x)
        x = x + self.attention(normed, normed)  # it looks at itself, both ways
        return x + self.mlp(self.mlp_norm(x))


class DecoderBlock(nn.Module):
    """One layer of a decoder: a look back, a look at the source, then the MLP."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.attention_norm = LayerNorm(config.channels)
        self.attention = Attention(config)
        self.cross_norm = LayerNorm(config.channels)
        self.cross = CrossAttention(config)
        self.mlp_norm = LayerNorm(config.channels)
        self.mlp = MLP(config)

    def forward(self, x: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """(B, T, C), (B, S, C) → (B, T, C)"""
        x = x + self.attention(self.attention_norm(x))
        x = x + self.cross(self.cross_norm(x), source)
        return x + self.mlp(self.mlp_norm(x))


class Encoder(nn.Module):
    """Whatever `embedding` makes vectors of, read at once: … → (B, S, C).

    embedding: nn.Embedding for words, nn.Linear for patches or chunks. positions: whether
    the place of each is added. extra: learned vectors that go in front of all.
    """

    def __init__(
        self,
        config: GPTConfig,
        embedding: nn.Module,
        positions: bool = True,
        extra: int = 0,
    ):
        super().__init__()
        self.embedding = embedding
        self.extra = nn.Parameter(torch.zeros(extra, config.channels))
        shape = (config.context + extra, config.channels)
        self.position = nn.Parameter(torch.zeros(shape), requires_grad=positions)
        self.blocks = nn.ModuleList(EncoderBlock(config) for _ in range(config.layers))
        self.norm = LayerNorm(config.channels)

    def forward(self, things: torch.Tensor) -> torch.Tensor:
        """ids (B, S), or numbers (B, S, P) → (B, S, C), behind the extra vectors"""
        x = self.embedding(things)  # (B, S, C)
        x = torch.cat([self.extra.expand(len(x), -1, -1), x], 1)
        x = x + self.position[: x.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class Translator(nn.Module):
    """An encoder reads a source; a decoder, looking at it, writes a target.

    config is the decoder's: its vocabulary is the target's, its context holds both. The
    embedding makes vectors of the source: words, or chunks of a sound.
    """

    def __init__(
        self,
        config: GPTConfig,
        embedding: nn.Module,
        positions: bool = True,
        chance: torch.Generator | None = None,
    ):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config, embedding, positions)
        self.embedding = nn.Embedding(config.vocabulary, config.channels)
        self.position = nn.Embedding(config.context, config.channels)
        self.blocks = nn.ModuleList(DecoderBlock(config) for _ in range(config.layers))
        self.norm = LayerNorm(config.channels)
        self.unembedding = nn.Linear(config.channels, config.vocabulary, bias=False)
        draw(self, chance)

    def decode(self, target: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
        """ids (B, T) and what the encoder made (B, S, C) → logits (B, T, V)"""
        x = self.embedding(target) + self.position.weight[: target.shape[1]]
        for block in self.blocks:
            x = block(x, source)
        return self.unembedding(self.norm(x))

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Source (B, S) or (B, S, P), target ids (B, T) → logits (B, T, V)"""
        return self.decode(target, self.encoder(source))


class Namer(nn.Module):
    """Names an image by its patches: an encoder, and a vector that asks.

    The class token, a learned vector in front of the patches, collects the answer.
    """

    def __init__(
        self,
        config: GPTConfig,
        numbers: int,
        positions: bool = True,
        chance: torch.Generator | None = None,
    ):
        super().__init__()
        self.config = config
        embedding = nn.Linear(numbers, config.channels)
        self.encoder = Encoder(config, embedding, positions, extra=1)
        self.blocks = self.encoder.blocks
        self.unembedding = nn.Linear(config.channels, config.vocabulary, bias=False)
        draw(self, chance)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """(B, S, P) → logits (B, V)"""
        return self.unembedding(self.encoder(patches)[:, 0])


def draw(model: nn.Module, chance: torch.Generator | None) -> None:
    """Draw first weights as a GPT's are drawn; positions that don't learn stay zero."""
    start_weights(model, chance)
    with torch.no_grad():
        for weight in model.parameters():
            if not weight.requires_grad:
                weight.zero_()


def all_right(logits: torch.Tensor, target: torch.Tensor, end: int = 1) -> torch.Tensor:
    """Which targets (B, T) are the likeliest words throughout, to their first `end`: (B).

    Given the right words before, each the likeliest: so greedy writing gives the target.
    """
    after = (target == end).cumsum(1) > (target == end)  # only the filling
    return ((logits.argmax(-1) == target) | after).all(1)


def greedy(
    logits_of: Callable[[torch.Tensor], torch.Tensor], start: int, end: int, most: int
) -> list[int]:
    """Write the likeliest word, again and again, up to the end word or `most` words.

    logits_of maps ids (1, T), which begin with `start`, to logits (1, T, V). Neither
    `start` nor `end` is in what comes back.
    """
    ids = [start]
    while len(ids) <= most:
        logits = logits_of(torch.tensor([ids]))[0, -1]  # (V)
        best = int(logits.argmax())
        if best == end:
            break
        ids.append(best)
    return ids[1:]


# Training, for all of them -------------------------------------------------------------


def fit(
    model: nn.Module,
    inputs: tuple[torch.Tensor, ...],
    answers: torch.Tensor,
    steps: int,
    rate: float = 3e-3,
    batch: int = 64,
    seed: int = 0,
    tell: Callable[[list[float]], None] | None = None,
) -> list[float]:
    """Train model(*inputs) → logits (…, V) to say `answers` (…); the loss of each step.

    All have B rows, from which each step draws some. The rate goes up for 20 steps, then
    down in a line. tell is given the losses so far, every 50 steps. Ctrl-C ends the
    training; the model keeps what it has learned.
    """
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learned, rate)
    chance, losses = generator(seed), []
    with contextlib.suppress(KeyboardInterrupt):
        for step in range(steps):
            share = min(1, (step + 1) / WARM_UP) * (1 - 0.9 * step / steps)
            optimizer.param_groups[0]["lr"] = rate * share
            rows = torch.randint(len(answers), (batch,), generator=chance)
            logits = model(*[one[rows] for one in inputs])  # (batch, …, V)
            right = answers[rows].flatten()
            loss = F.cross_entropy(logits.flatten(0, -2), right)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(learned, 1.0)
            optimizer.step()
            losses.append(loss.item())
            if tell and len(losses) % 50 == 0:
                tell(losses)
    return losses
