"""Change what a model's parts say while it reads: switch off, patch, steer.

A part is named as in `inside`: (layer, head), (layer, "mlp"), or (layer, "stream"), the
residual stream that the layer is given. torch's hooks do it: one may give back something
else than it heard. Built in lesson 13.

B batch, T position, C channels, H heads, D head size, V vocabulary, L layers.
Sources: Vig et al. 2020, Meng et al. 2022 (patching); Turner et al. 2023 (steering).
"""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import nn

from course_lib.inside import Part, Reading, check_part, resume


@contextlib.contextmanager
def changed(model: nn.Module, changes: dict[Part, Callable]) -> Iterator[None]:
    """While the block of `with` runs, functions change what parts of the model say.

    changes: part → a function of the part's output, which gives a new one. For a head
    that is what it mixed, before the output matrix (B, T, D); for an MLP what it adds,
    and for the stream what the layer is given (B, T, C). Raises ValueError for a part
    that the model lacks. A step with a cache passes the blocks by: as long as they have
    hooks, it raises one, too.
    """
    for part in changes:
        check_part(model, part)
    hooks = [_hook(model, *part, change) for part, change in changes.items()]
    hooks += [block.register_forward_pre_hook(_listen) for block in model.blocks]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def without(mixed: torch.Tensor, heads: list[int], size: int) -> torch.Tensor:
    """What heads mixed, side by side (…, H·D), with some of them set to zero.

    size is D; head 0 has the first D channels, head 1 the next. A copy comes back.
    """
    mixed = mixed.clone()
    for head in heads:
        mixed[..., head * size : (head + 1) * size] = 0
    return mixed


def off(x: torch.Tensor) -> torch.Tensor:
    """Zeros: a part that is switched off adds nothing."""
    return torch.zeros_like(x)


def plus(vector: torch.Tensor) -> Callable:
    """A change that adds a vector (C) at every position, for steering."""
    return lambda x: x + vector


def _listen(*_) -> None:
    """A hook that does nothing, so that a step with a cache refuses to run."""


def _hook(model: nn.Module, layer: int, kind: int | str, change: Callable):
    """One change as one of torch's hooks."""

    def stream(_, given: tuple) -> tuple:
        return change(given[0]), *given[1:]

    def head(_, given: tuple) -> tuple:
        size, mixed = model.config.head_size, given[0].clone()  # (B, T, H·D)
        own = mixed[..., kind * size : (kind + 1) * size]  # (B, T, D), a view
        own.copy_(change(own.clone()))
        return (mixed,)

    if kind == "stream":
        return model.blocks[layer].register_forward_pre_hook(stream)
    block = model.blocks[layer]
    if kind == "mlp":
        return block.mlp.register_forward_hook(lambda _, given, gave: change(gave))
    return block.attention.output.register_forward_pre_hook(head)


def patched(
    stream: torch.Tensor, other: torch.Tensor, positions: list[int]
) -> torch.Tensor:
    """One copy of stream (T, C) for each position, which is taken from the other there.

    other (T, C) is the stream of another text at the same layer → (positions, T, C).
    """
    rows = stream.repeat(len(positions), 1, 1)
    for row, position in enumerate(positions):
        rows[row, position] = other[position]
    return rows


def with_changes(reading: Reading, changes: dict[Part, Callable]) -> torch.Tensor:
    """The last logits (V) of the same text with some parts changed, as in `changed`.

    Only the layers from the first change on are computed.
    """
    with changed(reading.model, changes):
        return resume(reading, min((layer for layer, _ in changes), default=0))[0]


def taken_from(
    other: Reading, part: Part, positions: list[int] | slice = slice(None)
) -> Callable:
    """A change: what the part said in another text, at some positions or at all.

    Raises ValueError, when it is used, if the texts have not equally many tokens.
    """
    theirs = other.output(part)  # (T, D) or (T, C)

    def put(x: torch.Tensor) -> torch.Tensor:
        if x.shape[-2] != len(theirs):
            raise ValueError(
                f"The texts have {x.shape[-2]} and {len(theirs)} tokens: a part's output "
                "can be moved between texts of the same number of tokens only."
            )
        x = x.clone()
        x[..., positions, :] = theirs[positions]
        return x

    return put
