"""Look inside a model while it reads.

Works with our GPT, the real LLM, and the learner's own if it has the same names: `config`
with its `head_size`, `embedding`, `blocks`, `norm` and `unembed`; in each block
`attention`, with a `pattern` beside its `forward` and an `output`, and `mlp` with a
`down`. torch's hooks do the listening: a function that a module calls on its way. Lesson
03 uses it first; built in lesson 13.

A part is named by a pair: (layer, head), (layer, "mlp"), or (layer, "stream"), the
residual stream that the layer is given.

B batch, T position, C channels, H heads, D head size, V vocabulary, L layers, M neurons.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from course_lib import devices

Part = tuple[int, int | str]


@contextlib.contextmanager
def inputs_of(modules: list[nn.Module]) -> Iterator[list[tuple]]:
    """Collect what each module is given while the block of `with` runs, in order."""
    heard = []

    def listen(_, given: tuple) -> None:
        heard.append(tuple(part.clone() for part in given))  # a block may write into x

    hooks = [module.register_forward_pre_hook(listen) for module in modules]
    try:
        yield heard
    finally:
        for hook in hooks:
            hook.remove()


def logits(model: nn.Module, ids: list[int]) -> torch.Tensor:
    """Let a model read: ids (T) → logits (T, V), without gradients."""
    with torch.no_grad():
        return model(torch.tensor([ids], device=devices.where(model)))[0]


def residual_stream(model: nn.Module, ids: list[int]) -> torch.Tensor:
    """The vector of every position before the first layer and after each: (L+1, T, C).

    What the attention and the MLP of every layer read from and add to (Elhage et al.
    2021, "A Mathematical Framework for Transformer Circuits").
    """
    with inputs_of([*model.blocks, model.norm]) as heard:
        logits(model, ids)
    return torch.stack([given[0][0] for given in heard]).cpu()


@torch.no_grad()
def stream_before(model: nn.Module, ids: torch.Tensor, layer: int) -> torch.Tensor:
    """The residual stream that a layer is given, for texts (B, T): (B, T, C).

    The model reads no further than that, which saves the layers above.
    """

    class Enough(Exception):
        """Stops the model on its way."""

    def stop(_, given: tuple) -> None:
        found.append(given[0].clone())
        raise Enough

    found = []
    hook = model.blocks[layer].register_forward_pre_hook(stop)
    try:
        model(ids)
    except Enough:
        return found[0]
    finally:
        hook.remove()


def attention_patterns(model: nn.Module, ids: list[int]) -> torch.Tensor:
    """The weights of every head: (L, H, T, T); row i is what position i looks at."""
    attentions = [block.attention for block in model.blocks]
    with inputs_of(attentions) as heard:
        logits(model, ids)
    with torch.no_grad():
        patterns = [a.pattern(*given)[0] for a, given in zip(attentions, heard)]
    return torch.stack(patterns).cpu()


def neurons(model: nn.Module, ids: list[int]) -> torch.Tensor:
    """How strongly every neuron fires at every position: (L, T, M).

    A neuron is one of the M numbers between a layer's up and down.
    """
    with inputs_of([block.mlp.down for block in model.blocks]) as heard:
        logits(model, ids)
    return torch.stack([given[0][0] for given in heard]).cpu()


def logit_lens(model: nn.Module, ids: list[int], position: int = -1) -> torch.Tensor:
    """What the model would say next if it stopped after each layer: (L+1, V).

    The vector at `position` after each layer is unembedded as the last one is, and
    softmax makes it probabilities (nostalgebraist 2020, "Interpreting GPT: the logit
    lens"). Early layers need not speak the unembedding's language. Raises ValueError if
    there is no such position.
    """
    if not -len(ids) <= position < len(ids):
        raise ValueError(
            f"There is no position {position} in {len(ids)} tokens: give one from "
            f"{-len(ids)} to {len(ids) - 1}."
        )
    stream = residual_stream(model, ids)[:, position]  # (L+1, C)
    with torch.no_grad():
        return model.unembed(stream.to(devices.where(model))).softmax(-1).cpu()


# A reading, kept: to go on from any layer, and to take apart --------------------------


@dataclass(frozen=True)
class Reading:
    """A text as a model read it, with all that it takes to go on from any layer."""

    model: nn.Module
    ids: list[int]
    stream: torch.Tensor  # before each layer and after the last (L+1, T, C)
    mixed: torch.Tensor  # all heads' mixed values, before the output matrix (L, T, H·D)
    mlp: torch.Tensor  # what each MLP adds (L, T, C)
    given: list[tuple]  # what each block is given besides the stream

    def output(self, part: Part) -> torch.Tensor:
        """What a part said at every position: (T, D) of a head, else (T, C)."""
        check_part(self.model, part)
        layer, kind = part
        if kind in ("mlp", "stream"):
            return (self.mlp if kind == "mlp" else self.stream)[layer]
        size = self.model.config.head_size
        return self.mixed[layer, :, kind * size : (kind + 1) * size]


@torch.no_grad()
def read(model: nn.Module, ids: list[int]) -> Reading:
    """Read a text once, and keep what every part said."""
    blocks, mlps = list(model.blocks), []
    hooks = [
        block.mlp.register_forward_hook(lambda _, given, gave: mlps.append(gave[0]))
        for block in blocks
    ]
    outputs = [block.attention.output for block in blocks]
    try:
        with inputs_of([*blocks, model.norm]) as heard, inputs_of(outputs) as mixed:
            logits(model, ids)
    finally:
        for hook in hooks:
            hook.remove()
    stream = torch.stack([given[0][0] for given in heard])  # (L+1, T, C)
    mixed = torch.stack([given[0][0] for given in mixed])  # (L, T, H·D)
    given = [given[1:] for given in heard[:-1]]
    return Reading(model, list(ids), stream, mixed, torch.stack(mlps), given)


@torch.no_grad()
def resume(reading: Reading, layer: int, x: torch.Tensor | None = None) -> torch.Tensor:
    """Go on from a layer: the stream x (B, T, C) before it → the last logits (B, V).

    Without x the stream is the one that was read. What is before the layer is not
    computed again.
    """
    x = reading.stream[layer][None] if x is None else x  # (B, T, C)
    model = reading.model
    for block, given in zip(model.blocks[layer:], reading.given[layer:]):
        x = block(x, *given)
    return model.unembed(x[:, -1])


def check_part(model: nn.Module, part: Part) -> None:
    """Raise ValueError, in one sentence, for a part that a model hasn't got."""
    layer, kind = part
    layers = len(model.blocks)
    heads = model.blocks[0].attention.output.in_features // model.config.head_size
    known = kind in ("mlp", "stream") or (isinstance(kind, int) and 0 <= kind < heads)
    if not (known and 0 <= layer < layers):
        raise ValueError(
            f"There is no part {part!r}: layers are 0 to {layers - 1}, heads 0 to "
            f'{heads - 1}; name (layer, head), (layer, "mlp") or (layer, "stream").'
        )


# Who said it: direct attribution ------------------------------------------------------


@torch.no_grad()
def attribution(
    reading: Reading, token: int, against: int | None = None, position: int = -1
) -> dict[Part | str, float]:
    """What each part adds to a token's logit, less that of a token `against`.

    Keys: "embedding", (layer, head), (layer, "mlp") and "biases", which belong to no
    part. They add up to the logit: the stream is a sum of what the parts said, the
    unembedding is linear, and the last norm's scale is taken as it stands here (Elhage
    et al. 2021). What a part does to later parts is not in it.
    """
    model = reading.model
    slope, rest = direction(reading, token, against, position)
    found = {"embedding": float(reading.stream[0, position].double() @ slope)}
    for layer, block in enumerate(model.blocks):
        output = block.attention.output
        back = output.weight.double().T @ slope  # (H·D)
        each = (reading.mixed[layer, position].double() * back).unflatten(
            0, (-1, model.config.head_size)
        )  # (H, D)
        found |= {(layer, h): float(one) for h, one in enumerate(each.sum(-1))}
        found[layer, "mlp"] = float(reading.mlp[layer, position].double() @ slope)
        rest += 0.0 if output.bias is None else float(output.bias.double() @ slope)
    return found | {"biases": rest}


@torch.no_grad()
def direction(
    reading: Reading, token: int, against: int | None = None, position: int = -1
) -> tuple[torch.Tensor, float]:
    """How a token's logit, less that of `against`, grows with the last stream.

    A slope for each channel (C), in float64, and a number that no channel has a part in:
    the logit is the stream's dot product with the slope, plus the number.
    """
    slope, rest = _slope(reading, token, position)
    if against is None:
        return slope, rest
    other, less = _slope(reading, against, position)
    return slope - other, rest - less


def _slope(reading: Reading, token: int, position: int) -> tuple[torch.Tensor, float]:
    """How a token's logit grows with each channel of the last stream, and what is apart.

    The norm may take the mean off or not, and have a bias or none; its scale is found
    from what it makes of this vector.
    """
    model, norm = reading.model, reading.model.norm
    x = reading.stream[-1, position]
    table = dict(model.named_children()).get("unembedding", model.embedding).weight
    row, weight = table[token].double(), norm.weight.double()
    bias = dict(norm.named_parameters()).get("bias", torch.zeros_like(x)).double()
    slope = weight * row
    centred = torch.allclose(norm(x + x.std()), norm(x), atol=1e-4)
    if centred:
        slope, x = slope - slope.mean(), x - x.mean()
    scaled = weight * x.double()
    scale = (norm(x).double() - bias) @ scaled / (scaled @ scaled)
    return slope * scale, float(bias @ row)
