"""GPT-2's architecture, and GPT-3's, in one sitting.

One difference is left out: in every second layer of GPT-3 the heads look at nearby
positions only (Brown et al. 2020, section 2.1). It changes no weight's shape.

Built in lessons 03 (attention), 04 (the MLP) and 05 (the rest); lesson 06 counts its
weights. The eight kinds of matrices that the lessons speak of are eight
tensors one can point at: embedding, query, key, value, output, up, down, unembedding.

B batch, T position, C channels, H heads, D head size, V vocabulary, L layers.
Sources: Vaswani et al. 2017 (attention); Radford et al. 2019 (GPT-2); Brown et al. 2020
(GPT-3); Ba et al. 2016 (LayerNorm); Hendrycks & Gimpel 2016 (GELU).
"""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class GPTConfig:
    """The five numbers that decide a GPT's shape."""

    vocabulary: int = 50_257  # V
    context: int = 1_024  # most positions
    layers: int = 12  # L
    channels: int = 768  # C
    heads: int = 12  # H

    def __post_init__(self):
        for name, value in vars(self).items():
            if type(value) is not int or value < 1:
                raise ValueError(f"{name} is {value!r}; give a whole number from 1.")
        if self.channels % self.heads:
            raise ValueError(
                f"{self.channels:,} channels can't be shared out among {self.heads} "
                "heads: choose numbers that divide without a rest."
            )

    @property
    def head_size(self) -> int:
        """D: how many channels one head works in."""
        return self.channels // self.heads


GPT2_SMALL = GPTConfig()
GPT2_MEDIUM = GPTConfig(layers=24, channels=1_024, heads=16)
GPT2_LARGE = GPTConfig(layers=36, channels=1_280, heads=20)
GPT2_XL = GPTConfig(layers=48, channels=1_600, heads=25)

# Brown et al. 2020, table 2.1, with two repairs. It prints 24 heads of 128 for the 1.3 B
# model of 2,048 channels, and 5,140 channels for the 13 B model of 40 heads of 128: heads
# and channels don't multiply up. With 16 heads the first comes to 1.3 B, with 24 to 1.5 B;
# the second comes to 13 B either way.
GPT3_SMALL = GPTConfig(context=2_048)
GPT3_MEDIUM = GPTConfig(context=2_048, layers=24, channels=1_024, heads=16)
GPT3_LARGE = GPTConfig(context=2_048, layers=24, channels=1_536, heads=16)
GPT3_XL = GPTConfig(context=2_048, layers=24, channels=2_048, heads=16)
GPT3_2_7B = GPTConfig(context=2_048, layers=32, channels=2_560, heads=32)
GPT3_6_7B = GPTConfig(context=2_048, layers=32, channels=4_096, heads=32)
GPT3_13B = GPTConfig(context=2_048, layers=40, channels=5_120, heads=40)
GPT3 = GPTConfig(context=2_048, layers=96, channels=12_288, heads=96)


# Attention: lesson 03 ---------------------------------------------------------------


def scores(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """How well each query fits each key: (…, T, D) and (…, T, D) → (…, T, T).

    Row i, column j is the dot product of query i with key j, over √D, so that its
    spread stays the same whatever the head size (Vaswani et al. 2017, section 3.2.1). Raises ValueError if
    queries and keys differ in size or number.
    """
    if query.shape[-2:] != key.shape[-2:]:
        raise ValueError(
            f"Queries {tuple(query.shape[-2:])} don't fit keys "
            f"{tuple(key.shape[-2:])}: give as many of each, with the same head size."
        )
    return query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])


def attention_weights(scores: torch.Tensor) -> torch.Tensor:
    """From scores to weights (…, T, T): row i sums to one, and is zero after i."""
    later = torch.ones_like(scores, dtype=torch.bool).triu(1)  # (…, T, T)
    # Masked after the softmax, a row would no longer sum to one.
    return scores.masked_fill(later, -torch.inf).softmax(-1)


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Causal attention, softmax(QKᵀ/√D)V: three times (…, T, D) → (…, T, D).

    The same as attention_weights(scores(query, key)) @ value. For (B, H, T, D) torch has
    one fused step for it, which never stores the T × T weights.
    """
    return F.scaled_dot_product_attention(query, key, value, is_causal=True)


def split_heads(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Give each head its own channels: (B, T, C) → (B, H, T, D), C = H · D.

    Raises ValueError if the channels can't be shared out evenly.
    """
    if x.shape[-1] % heads:
        raise ValueError(
            f"{x.shape[-1]} channels can't be split into {heads} heads: choose numbers "
            "that divide without a rest."
        )
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)  # (B, T, H, D) → (B, H, T, D)


def join_heads(x: torch.Tensor) -> torch.Tensor:
    """Put the heads' channels side by side again: (B, H, T, D) → (B, T, C)."""
    return x.transpose(1, 2).flatten(2)


def leaks(attention, x: torch.Tensor) -> bool:
    """Whether changing the last position of x (B, T, C) changes an earlier output.

    attention maps (B, T, C) to (B, T, C). True means that it peeks at the future.
    """
    changed = x.clone()
    # A LayerNorm in front would take off a change that all channels share.
    changed[:, -1] += torch.arange(1, x.shape[-1] + 1).to(x)
    before, after = attention(x)[:, :-1], attention(changed)[:, :-1]
    return not torch.allclose(before, after, atol=1e-5)


class Attention(nn.Module):
    """Causal attention with many heads."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.channels, config.channels)
        self.key = nn.Linear(config.channels, config.channels)
        self.value = nn.Linear(config.channels, config.channels)
        self.output = nn.Linear(config.channels, config.channels)

    def pattern(self, x: torch.Tensor) -> torch.Tensor:
        """The weights (B, H, T, T) that forward mixes with: for pictures."""
        query = split_heads(self.query(x), self.heads)  # (B, H, T, D)
        key = split_heads(self.key(x), self.heads)
        return attention_weights(scores(query, key))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, C) → (B, T, C)"""
        query = split_heads(self.query(x), self.heads)  # (B, H, T, D)
        key = split_heads(self.key(x), self.heads)
        value = split_heads(self.value(x), self.heads)
        return self.output(join_heads(attend(query, key, value)))  # (B, T, C)


# The MLP: lesson 04 -----------------------------------------------------------------


def gelu(x: torch.Tensor) -> torch.Tensor:
    """A soft activation: near x above zero, near 0 below; the same shape.

    x times the probability that a standard normal number is less than x, in the
    approximation that GPT-2 uses (Hendrycks & Gimpel 2016, section 2):
    x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))).
    """
    return x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class MLP(nn.Module):
    """Up, an activation, down; each position by itself."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.up = nn.Linear(config.channels, 4 * config.channels)
        self.down = nn.Linear(4 * config.channels, config.channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, C) → (B, T, C)"""
        return self.down(F.gelu(self.up(x), approximate="tanh"))


# The whole machine: lesson 05 -------------------------------------------------------


def layer_norm(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, epsilon: float = 1e-5
) -> torch.Tensor:
    """Bring every vector to mean 0 and variance 1, then scale and shift: (…, C) → (…, C).

    Mean and variance are taken over the channels of each position by itself. epsilon is
    added to the variance and keeps a constant vector from dividing by zero; the paper
    has none (Ba et al. 2016, section 3).
    """
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + epsilon) * weight + bias


class LayerNorm(nn.Module):
    """layer_norm with a learned weight and bias, computed by torch in one step."""

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, C) → (…, C)"""
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias)


class Block(nn.Module):
    """One layer: attention, then MLP, each added to the residual stream."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.attention_norm = LayerNorm(config.channels)
        self.attention = Attention(config)
        self.mlp_norm = LayerNorm(config.channels)
        self.mlp = MLP(config)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, T, C) → (B, T, C)"""
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class GPT(nn.Module):
    """The whole model: ids in, logits out.

    tied: whether the embedding matrix is used a second time as the unembedding, as in
    GPT-2; untied, the unembedding has weights of its own. generator draws the random
    weights that it starts with; none are drawn on the "meta" device, which has no numbers.
    """

    def __init__(
        self,
        config: GPTConfig,
        tied: bool = True,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.channels)
        self.position = nn.Embedding(config.context, config.channels)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = LayerNorm(config.channels)
        self.unembedding = nn.Linear(config.channels, config.vocabulary, bias=False)
        if tied:
            self.unembedding.weight = self.embedding.weight
        if not self.embedding.weight.is_meta:
            start_weights(self, generator)

    def embed(self, ids: torch.Tensor) -> torch.Tensor:
        """ids (B, T) → (B, T, C): what the token is, plus where it stands."""
        return self.embedding(ids) + self.position.weight[: ids.shape[1]]

    def unembed(self, x: torch.Tensor) -> torch.Tensor:
        """(…, C) → logits (…, V)"""
        return self.unembedding(self.norm(x))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids (B, T), int64 → logits (B, T, V) for the token after each position.

        Raises ValueError for no positions, too many, or an id outside the vocabulary.
        """
        check_ids(ids, self.config, self.embedding.weight.device)
        x = self.embed(ids)  # (B, T, C)
        for block in self.blocks:
            x = block(x)
        return self.unembed(x)  # (B, T, V)


def start_weights(model: nn.Module, generator: torch.Generator | None = None) -> None:
    """Draw a GPT's first weights much as GPT-2 did: normal, spread 0.02, biases zero.

    What is added to the residual stream starts smaller, by 1/√(2L), so that the sum of 2L
    additions keeps its size (Radford et al. 2019, section 2.3; 0.02 is from OpenAI's code).
    """
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            added = name.endswith(("output.weight", "down.weight"))
            spread = 0.02 / math.sqrt(2 * len(model.blocks)) if added else 0.02
            nn.init.normal_(weight, std=spread, generator=generator)
        elif name.endswith("bias"):
            nn.init.zeros_(weight)


def check_ids(ids: torch.Tensor, config, device: torch.device) -> None:
    """Raise ValueError, in one sentence, for ids that no model could read.

    config has the model's `vocabulary` and `context`; device is where its weights are.
    """
    if not isinstance(ids, torch.Tensor):
        raise ValueError(
            f"The ids are a {type(ids).__name__}; the model wants torch.tensor([ids])."
        )
    if ids.dim() != 2 or ids.numel() == 0:
        raise ValueError(
            f"The ids have shape {tuple(ids.shape)}; the model wants (batch, "
            "positions) with at least one position, such as torch.tensor([[504]])."
        )
    if ids.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"The ids are {ids.dtype}; they are whole numbers: ids.long()."
        )
    if ids.shape[1] > config.context:
        raise ValueError(
            f"{ids.shape[1]:,} positions are more than the context length of "
            f"{config.context:,}; keep the last: ids[:, -{config.context}:]."
        )
    if ids.device != device:
        raise ValueError(
            f"The ids are on {ids.device} and the model is on "
            f"{device}; move the ids: ids.to(device)."
        )
    # On "meta" there are no numbers; a GPU in training would have to stop and tell them.
    if ids.is_meta or (torch.is_grad_enabled() and not ids.is_cpu):
        return
    low, high = ids.min().item(), ids.max().item()
    if low < 0 or high >= config.vocabulary:
        raise ValueError(
            f"Ids run from 0 to {config.vocabulary - 1:,}; these hold "
            f"{low if low < 0 else high:,}. Were they made by another tokenizer?"
        )
