"""Copying: how to see that heads do it, and a model small enough to watch it begin.

An induction head looks for the last time that this token stood in the text, and at what
came after it. It needs another head, a layer earlier, that has told each position which
token stands before it. Built in lesson 13.

B batch, T position, C channels, H heads, L layers, V vocabulary, P period.
Sources: Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Olsson
et al. 2022, "In-context Learning and Induction Heads".
"""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from course_lib import devices, inside
from course_lib.gpt import check_ids
from course_lib.llama import Attention, LlamaConfig, RMSNorm, rotation

WARMUP = 20  # steps in which the learning rate grows


# What a pattern shows -----------------------------------------------------------------


def previous_scores(patterns: torch.Tensor) -> torch.Tensor:
    """How much each head looks at the token before: (…, T, T) → (…), from 0 to 1.

    The mean weight that positions 1, 2, … give to the position before them.
    """
    return patterns.diagonal(-1, dim1=-2, dim2=-1).mean(-1)


def induction_scores(patterns: torch.Tensor, period: int) -> torch.Tensor:
    """How much each head looks at what came next last time: (…, T, T) → (…), 0 to 1.

    The text ends with `period` tokens told twice. The mean weight that each position of
    the second copy gives to the one after its own token in the first.
    """
    back = period - 1  # from a token to what followed it a period ago
    return patterns.diagonal(-back, dim1=-2, dim2=-1)[..., -period:].mean(-1)


def told_twice(
    rows: int, period: int, tokens: range, generator: torch.Generator
) -> torch.Tensor:
    """Random tokens, and the same once more: (rows, 2 · period) ids."""
    once = torch.randint(tokens.start, tokens.stop, (rows, period), generator=generator)
    return once.repeat(1, 2)


@torch.no_grad()
def losses_of_copies(
    model: nn.Module, ids: torch.Tensor, period: int
) -> tuple[float, float]:
    """The mean loss on both copies of ids (B, T), which end with a period told twice.

    The first token of the second copy is left out: nothing foretells it.
    """
    logits = model(ids.to(devices.where(model)))[:, :-1].cpu()  # (B, T-1, V)
    each = F.cross_entropy(logits.mT, ids[:, 1:], reduction="none")  # (B, T-1)
    return float(each[:, :-period].mean()), float(each[:, 1 - period :].mean())


# A model of attention alone -----------------------------------------------------------


class AttentionBlock(nn.Module):
    """A layer without an MLP."""

    def __init__(self, config: LlamaConfig):
        super().__init__()
        self.attention_norm = RMSNorm(config.channels)
        self.attention = Attention(config)

    def forward(self, x: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
        """(B, T, C) → (B, T, C)"""
        return x + self.attention(self.attention_norm(x), turn)


class AttentionOnly(nn.Module):
    """A model of attention layers and nothing else; rotary positions, as Llama has."""

    def __init__(self, config: LlamaConfig, generator: torch.Generator | None = None):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.channels)
        self.blocks = nn.ModuleList(
            AttentionBlock(config) for _ in range(config.layers)
        )
        self.norm = RMSNorm(config.channels)
        self.unembedding = nn.Linear(config.channels, config.vocabulary, bias=False)
        for weight in self.parameters():
            if weight.dim() == 2:  # norms start at 1
                nn.init.normal_(weight, std=0.08, generator=generator)
        nn.init.normal_(self.embedding.weight, std=0.5, generator=generator)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids (B, T), int64 → logits (B, T, V) for the token after each position."""
        check_ids(ids, self.config, self.embedding.weight.device)
        size, base = self.config.head_size, self.config.rope_base
        turn = rotation(ids.shape[1], size, base, ids.device)  # (2, T, D)
        x = self.embedding(ids)  # (B, T, C)
        for block in self.blocks:
            x = block(x, turn)
        return self.unembedding(self.norm(x))  # (B, T, V)


def small(layers: int, seed: int = 0) -> AttentionOnly:
    """An AttentionOnly of 64 tokens, 64 channels and 2 heads a layer."""
    shape = {"vocabulary": 64, "context": 64, "channels": 64, "query_heads": 2}
    shape |= {"key_value_heads": 2, "rope_base": 100.0}
    config = LlamaConfig(layers=layers, **shape)
    return AttentionOnly(config, devices.generator(seed))


def repeating(
    rows: int,
    length: int,
    periods: range,
    vocabulary: int,
    generator: torch.Generator,
) -> torch.Tensor:
    """Rows of random tokens that repeat after a period, another in each row: (rows, length).

    One period for all would teach a model to look back by a fixed number of places, and
    that is no induction.
    """
    most = periods.stop - 1
    period = torch.randint(periods.start, periods.stop, (rows, 1), generator=generator)
    tokens = torch.randint(vocabulary, (rows, most), generator=generator)
    return tokens.gather(1, torch.arange(length) % period)


def learn_to_copy(
    model: nn.Module,
    steps: int,
    look,
    every: int = 15,
    seed: int = 0,
    bar: bool = True,
    periods: range = range(6, 25),
) -> list[tuple]:
    """Train on `repeating` rows; `look(model)` before the first step and every so many.

    periods: how many tokens a row repeats, drawn anew for each. Gives (step, what look
    gave) for each look. Ctrl-C ends it, and what was seen by then is kept.
    """
    chance = devices.generator(seed)
    optimizer = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.95), weight_decay=0)
    seen = [(0, look(model))]
    try:
        for step in tqdm(range(1, steps + 1), desc="steps", disable=not bar, delay=2):
            optimizer.param_groups[0]["lr"] = 4e-3 * min(1, step / WARMUP)
            rows = repeating(32, 48, periods, model.config.vocabulary, chance)
            ids = rows.to(devices.where(model))
            logits = model(ids[:, :-1])  # (B, T, V)
            loss = F.cross_entropy(logits.mT, ids[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % every == 0:
                seen.append((step, look(model)))
    except KeyboardInterrupt:
        pass
    return seen


def mean_patterns(model: nn.Module, rows: Iterable[torch.Tensor]) -> torch.Tensor:
    """The attention patterns of a model, their mean over rows of ids: (L, H, T, T)."""
    every = [inside.attention_patterns(model, row.tolist()) for row in rows]
    return torch.stack(every).mean(0)
