"""Weights in eight bits and in four: fewer bytes, and what that costs.

A model that writes alone reads all its weights for every token, so memory sets its pace
(lesson 09). Here every row of a matrix becomes whole numbers from −127 to 127 and one
scale in float32; norms, biases and positions stay as they are. The real LLM's file has
four bits: `dequantise` reads its blocks. Lesson 09 uses it first; built in lesson 11.

The eight-bit parts work with our GPT and Llama, and a learner's of the same names; for
writing, not for training; on the CPU.

B batch, T position, C channels, V vocabulary.
Sources: Dettmers et al. 2022, LLM.int8() (absmax row by row, section 3); ggml's
block_q4_1 for the blocks of four bits.
"""

import copy
from collections.abc import Callable

import torch
from torch import nn

LARGEST = 127  # of eight bits with a sign; −128 is not used, so that signs are equal


def rounded(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row of x (…, C) as whole numbers (…, C), int8, and its scale (…, 1).

    numbers · scale is x again, wrong by at most half a scale. The largest of a row
    becomes ±127, and a row of zeros stays one.
    """
    scale = x.abs().amax(-1, keepdim=True) / LARGEST
    # A scale of zero would divide zeros by zero.
    scale = scale.clamp_min(torch.finfo(x.dtype).tiny)
    return (x / scale).round().to(torch.int8), scale


def dequantise(blocks: torch.Tensor) -> torch.Tensor:
    """Weights from blocks in the format Q4_1: (N, 20), uint8 → (N, 32), float32.

    A block's first two bytes are its scale, the next two its minimum, in float16; each of
    the other sixteen holds two numbers from 0 to 15: first the low halves of all, then
    the high ones. A weight is scale · number + minimum.
    """
    scale, minimum = blocks[:, :4].contiguous().view(torch.float16).float().split(1, 1)
    packed = blocks[:, 4:]  # (N, 16)
    numbers = torch.cat([packed & 15, packed >> 4], dim=1)  # (N, 32)
    return scale * numbers + minimum


def plain(x: torch.Tensor, numbers: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """x Wᵀ as it is defined: (M, in), int8 (out, in) and (out) → (M, out).

    Makes every weight float32 again before it multiplies: right anywhere, and slow.
    """
    return x @ (numbers * scale.unsqueeze(1)).T


def weights_only(
    x: torch.Tensor, numbers: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """What `plain` gives, by torch's kernel that reads eight bits and multiplies in bf16.

    x and the sums are rounded to bf16, a part in 500; the scales stay exact. Raises
    ValueError if the rows are no multiple of 32 long.
    """
    if x.shape[-1] % 32:  # the kernel doesn't check, and reads past the end
        raise ValueError(
            f"This kernel wants rows of a multiple of 32, not of {x.shape[-1]}: choose "
            "another product, int8(model, both)."
        )
    ones = torch.ones_like(scale, dtype=torch.bfloat16)  # the kernel's own are bf16
    return torch._weight_int8pack_mm(x.bfloat16(), numbers, ones) * scale


def both(x: torch.Tensor, numbers: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """The fastest: `plain`, but of x rounded to eight bits too, in whole numbers.

    Every vector of x has its own scale. One number far larger than the others makes it
    coarse, and language models have such numbers (Dettmers et al. 2022, section 4).
    """
    rough, size = rounded(x)  # (M, in) int8, (M, 1)
    return torch._int_mm(rough, numbers.T) * size * scale  # int32 becomes float


class Int8Linear(nn.Module):
    """nn.Linear with a matrix of eight bits; product says how it multiplies."""

    def __init__(
        self, weight: torch.Tensor, bias: torch.Tensor | None, product: Callable
    ):
        super().__init__()
        numbers, scale = rounded(weight.detach())
        self.register_buffer("weight", numbers)  # (out, in), int8
        self.register_buffer("scale", scale[:, 0])  # (out)
        self.register_buffer("bias", None if bias is None else bias.detach())
        self.product = product

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, in) → (…, out)"""
        y = self.product(x.flatten(0, -2), self.weight, self.scale)  # (M, out)
        y = y if self.bias is None else y + self.bias
        return y.unflatten(0, x.shape[:-1])  # (…, out)


class Int8Embedding(nn.Module):
    """nn.Embedding that looks its rows up in the matrix of an Int8Linear."""

    def __init__(self, linear: Int8Linear):
        super().__init__()
        self.register_buffer("weight", linear.weight)  # (V, C), int8
        self.register_buffer("scale", linear.scale)  # (V)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids (…) → (…, C)"""
        return self.weight[ids] * self.scale[ids].unsqueeze(-1)


def int8(model: nn.Module, product: Callable = weights_only) -> nn.Module:
    """A copy of a model whose matrices have eight bits, for writing on the CPU.

    All nn.Linear parts, and the embedding: where it is tied, both uses share one matrix.
    The model stays as it is. product is the way to multiply, and no other is ever taken:
    `weights_only`, `both`, which is faster and less exact, or their definition `plain`.
    Raises ValueError for a model on another device.
    """
    if not model.embedding.weight.is_cpu:
        raise ValueError(
            f"Eight-bit weights work on the CPU, the model is on "
            f"{model.embedding.weight.device}: int8(model.cpu())."
        )
    # The parts are copied, the weights are not: they are about to be replaced.
    small = copy.deepcopy(model, {id(weight): weight for weight in model.parameters()})
    table = Int8Linear(model.embedding.weight, None, product)
    if not hasattr(model, "unembedding"):  # a Llama's unembed uses the embedding itself
        small.unembed = lambda x: table(small.norm(x))
    elif model.unembedding.weight is model.embedding.weight:
        small.unembedding = table
    small.embedding = Int8Embedding(table)
    replace_linear(small, product)
    return small.eval().requires_grad_(False)


def replace_linear(module: nn.Module, product: Callable) -> None:
    """Put an Int8Linear in the place of every nn.Linear within a module."""
    for name, part in module.named_children():
        if isinstance(part, nn.Linear):
            setattr(module, name, Int8Linear(part.weight, part.bias, product))
        else:
            replace_linear(part, product)


def nbytes(model: nn.Module) -> int:
    """The bytes of all weights and scales; a tensor used twice counts once."""
    held = {id(one): one.nbytes for one in (*model.parameters(), *model.buffers())}
    return sum(held.values())
