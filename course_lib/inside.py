"""Look inside a model while it reads.

Works with our GPT, the real LLM, and the learner's own if it has the same names:
`blocks`, `norm` and `unembed`; in each block `attention`, with a `pattern` beside its
`forward`, and `mlp.down`. torch's hooks do the listening: a function that a module calls
on its way. Lesson 03 uses it first; built in lesson 13.

T position, C channels, H heads, V vocabulary, L layers, M neurons.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from course_lib import devices


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
