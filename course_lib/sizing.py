"""Count a GPT: weights, matrices, memory and arithmetic.

By formula from its five numbers, and by pointing at the tensors of a model that is built
on torch's "meta" device, where a tensor has a shape and no numbers. Built in lesson 06.

B batch, T position, C channels, H heads, D head size, V vocabulary, L layers.
Source of the shapes: Brown et al. 2020, section 2.1; Radford et al. 2019.
"""

from collections.abc import Callable

import torch
from torch import nn

from course_lib.gpt import GPTConfig

KINDS = ("embedding", "key", "query", "value", "output", "up", "down", "unembedding")
BYTES = {"float32": 4, "bf16": 2, "int8": 1, "int4": 0.5}  # bytes a weight


def eight_rows(config: GPTConfig) -> dict[str, int]:
    """The weights of the eight kinds of matrices, by formula: kind → how many."""
    c, v, layers = config.channels, config.vocabulary, config.layers
    # All heads of a layer together: query, key, value and output are C × C.
    rows = {"embedding": v * c}
    for kind in ("key", "query", "value", "output"):
        rows[kind] = layers * c * c
    for kind in ("up", "down"):
        rows[kind] = layers * 4 * c * c
    return {**rows, "unembedding": v * c}


def matrices(config: GPTConfig, output_per_head: bool = False) -> int:
    """In how many matrices those weights are, when each head has its own.

    A layer has a query, a key and a value matrix for each head, and an up and a down. Its
    output matrix counts once, or once for each head: both are ways to cut the same weights.
    """
    outputs = config.heads if output_per_head else 1
    return 2 + config.layers * (3 * config.heads + outputs + 2)


def left_out(config: GPTConfig) -> dict[str, int]:
    """The parameters that the eight rows leave out: positions, biases, norms."""
    c, layers = config.channels, config.layers
    return {
        "positions": config.context * c,
        "biases": layers * (c + c + c + c + 4 * c + c),  # q, k, v, output, up, down
        "norms": (2 * layers + 1) * 2 * c,  # a weight and a bias each
    }


def total(config: GPTConfig, tied: bool = True) -> int:
    """Every parameter of a GPT; tied, the unembedding is the embedding, counted once."""
    every = sum(eight_rows(config).values()) + sum(left_out(config).values())
    return every - tied * eight_rows(config)["unembedding"]


def on_meta(model_class: Callable, *words, **named) -> nn.Module:
    """Build a model of any size without a number in it: shapes only."""
    with torch.device("meta"):
        return model_class(*words, **named)


def count(model: nn.Module) -> dict[str, int]:
    """The weights of the eight kinds, counted on a model's own tensors, and the rest.

    A matrix's kind is the name it has in the model, such as blocks.0.attention.query.
    Everything else, vectors and positions, is under "the rest". A tied unembedding is the
    same tensor as the embedding, and counts for nothing.
    """
    counted = dict.fromkeys((*KINDS, "the rest"), 0)
    for name, weight in model.named_parameters():  # a shared tensor comes once
        kind = name.split(".")[-2]
        kind = kind if kind in KINDS and weight.dim() == 2 else "the rest"
        counted[kind] += weight.numel()
    return counted


def memory(weights: int, format: str) -> float:
    """The bytes that so many weights take: "float32", "bf16", "int8" or "int4"."""
    if format not in BYTES:
        raise ValueError(f"There is no format {format!r}; choose from {list(BYTES)}.")
    return weights * BYTES[format]


def kv_cache(config: GPTConfig, format: str = "bf16") -> float:
    """The bytes that one token's keys and values take, over all layers.

    A model that writes keeps them, so as not to compute them again (lesson 09).
    """
    return memory(2 * config.layers * config.channels, format)


def forward_operations(config: GPTConfig, positions: int) -> dict[str, int]:
    """Additions and multiplications of one forward pass over so many positions (T).

    "products" are those of matrix products, two for each weight and position, plus the
    scores and the mixing of attention; "the rest" are all others, counted generously:
    biases, residual sums, LayerNorm at 8 a number, softmax at 7 (with √D and the mask),
    GELU at 12.
    """
    c, layers, t = config.channels, config.layers, positions
    weights = (
        sum(eight_rows(config).values()) - config.vocabulary * c
    )  # a lookup is free
    attention = layers * 2 * (2 * t * t * c)  # QKᵀ, then weights times V
    norms = 8 * (2 * layers + 1) * t * c
    softmaxes = 7 * (layers * config.heads * t * t + t * config.vocabulary)
    gelus = 12 * layers * t * 4 * c
    sums = layers * t * (9 * c + 2 * c) + t * c  # biases, residuals, positions
    rest = norms + softmaxes + gelus + sums
    return {"products": 2 * weights * t + attention, "the rest": rest}


def largest(
    budget: float, format: str = "bf16", layers: int = 12, vocabulary: int = 50_257
) -> int:
    """The most channels, in steps of 64, whose eight rows fit a budget in bytes.

    0 if not even 64 do. Counting up in steps of 64 is fast enough.
    """
    if not budget < float("inf"):
        raise ValueError(f"A budget of {budget} bytes is no budget: give a number.")
    low, high = 0, 1  # in steps of 64; then the gap between them is halved

    def fits(steps: int) -> bool:
        config = GPTConfig(vocabulary, 1, layers, 64 * steps, 1)
        return memory(sum(eight_rows(config).values()), format) <= budget

    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return 64 * low
