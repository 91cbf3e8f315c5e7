"""Write as fast as this machine lets a model write: a trial picks how.

A model that writes alone reads all its weights for every token (lesson 09). So it is
faster with fewer bytes, and with fewer, larger products: query, key and value are one
matrix here, gate and up another. How many bytes pay depends on the processor: bfloat16
has half as many, eight bits a quarter, and some processors are slow with either.

T new positions, C channels, H query heads, G heads of keys and values, D head size,
V vocabulary.
"""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.nn import functional as F

from course_lib import quantized
from course_lib.errors import Problem
from course_lib.gpt import GPT
from course_lib.kv_cache import KVCache, attend_from, places
from course_lib.llama import Llama, rotate, rotation

Product = Callable[[torch.Tensor], torch.Tensor]  # (T, in) → (T, out)


def float32(weight: torch.Tensor) -> Product:
    """x Wᵀ as it is."""
    return lambda x: F.linear(x, weight)


def bfloat16(weight: torch.Tensor) -> Product:
    """x Wᵀ with half the bytes; one row is taken as matrix times vector.

    Some processors read bfloat16 at full speed by that, and at half speed by `linear`.
    """
    half = weight.bfloat16()

    def product(x):
        x = x.bfloat16()
        y = torch.mv(half, x[0])[None] if len(x) == 1 else F.linear(x, half)
        return y.float()

    return product


def int8(weight: torch.Tensor) -> Product:
    """x Wᵀ with a quarter of the bytes (lesson 11)."""
    numbers, scale = quantized.rounded(weight)
    return lambda x: quantized.weights_only(x, numbers, scale[:, 0])


EXACT = 64  # of the likeliest tokens get their logits in float32
FORMS = {"float32": float32, "bfloat16": bfloat16, "int8": int8}


class Layer(NamedTuple):
    """A layer's four products, and its two norms; a GPT has no gate."""

    attention_norm: Product
    heads: Product  # query, key and value
    output: Product
    mlp_norm: Product
    gate_and_up: Product
    down: Product


class Decoder:
    """A Llama's decode_step on the CPU, with joined matrices in one of FORMS."""

    def __init__(self, model: Llama, form: str):
        make, self.form, self.config = FORMS[form], form, model.config
        self.layers = [joined(block, make) for block in model.blocks]
        self.norm, self.table = model.norm, model.embedding.weight
        self.unembedding = make(self.table)
        size = (self.config.context, self.config.head_size, self.config.rope_base)
        self.turn = rotation(*size)  # (2, context, D)

    @torch.inference_mode()
    def step(self, model: Llama, ids: torch.Tensor, cache: KVCache) -> torch.Tensor:
        """As llama.decode_step: ids (1, T) that follow the cache → logits (1, V).

        Raises ValueError for more than one text, as for what decode_step refuses.
        """
        here = place_of_one(model, ids, cache)
        x = model.embed(ids)[0]  # (T, C)
        for number, layer in enumerate(self.layers):
            x = x + self.attention(layer, x, self.turn[:, here], number, cache)
            gate, up = layer.gate_and_up(layer.mlp_norm(x)).chunk(2, dim=-1)
            x = x + layer.down(F.silu(gate) * up)
        return self.exact(self.norm(x[-1:]))

    def exact(self, x: torch.Tensor) -> torch.Tensor:
        """The logits (1, V) of a vector (1, C); those that matter with no rounding.

        The likeliest tokens are close together, and a rounded product mixes them up.
        """
        logits = self.unembedding(x)
        if self.form != "float32":
            best = logits[0].topk(min(EXACT, logits.shape[1])).indices
            logits[0, best] = self.table[best] @ x[0]
        return logits

    def attention(self, layer: Layer, x, turn, number: int, cache) -> torch.Tensor:
        """(T, C) → (T, C), from the new positions' heads and those in the cache."""
        H, G = self.config.query_heads, self.config.key_value_heads
        heads = layer.heads(layer.attention_norm(x)).unflatten(-1, (H + 2 * G, -1))
        heads = heads.transpose(0, 1)[None]  # (1, H + 2G, T, D)
        turned = rotate(heads[:, : H + G], turn)
        key, value = cache.add(number, turned[:, H:], heads[:, H + G :])
        mixed = attend_from(turned[:, :H], key, value)  # (1, H, T, D)
        return layer.output(mixed[0].transpose(0, 1).flatten(1))


class GPTDecoder(Decoder):
    """The same for the GPT of lesson 05."""

    def __init__(self, model: GPT, form: str):
        make, self.form, self.config = FORMS[form], form, model.config
        self.layers = [joined_gpt(block, make) for block in model.blocks]
        self.norm, self.table = model.norm, model.unembedding.weight
        self.unembedding = make(self.table)

    @torch.inference_mode()
    def step(self, model: GPT, ids: torch.Tensor, cache: KVCache) -> torch.Tensor:
        """As kv_cache.decode_step: ids (1, T) that follow the cache → logits (1, V)."""
        here, H = place_of_one(model, ids, cache), self.config.heads
        x = (model.embedding(ids) + model.position.weight[here])[0]  # (T, C)
        for number, layer in enumerate(self.layers):
            heads = layer.heads(layer.attention_norm(x)).unflatten(-1, (3 * H, -1))
            heads = heads.transpose(0, 1)[None]  # (1, 3 H, T, D)
            key, value = cache.add(number, heads[:, H : 2 * H], heads[:, 2 * H :])
            mixed = attend_from(heads[:, :H], key, value)  # (1, H, T, D)
            x = x + layer.output(mixed[0].transpose(0, 1).flatten(1))
            up = layer.gate_and_up(layer.mlp_norm(x))
            x = x + layer.down(F.gelu(up, approximate="tanh"))
        return self.exact(self.norm(x[-1:]))


def decoder(model: GPT | Llama, form: str) -> Decoder:
    """The one that fits a model."""
    return (GPTDecoder if isinstance(model, GPT) else Decoder)(model, form)


def place_of_one(model, ids: torch.Tensor, cache: KVCache) -> slice:
    """Where the ids of one text stand. Raises ValueError for several texts."""
    here = places(model, ids, cache)
    if len(ids) > 1:
        raise ValueError(f"These are {len(ids)} texts; this writes one at a time.")
    return here


def joined_gpt(block, make: Callable[[torch.Tensor], Product]) -> Layer:
    """A block of a GPT with query, key and value put together, and its biases."""

    def with_bias(*parts) -> Product:
        product = make(torch.cat([part.weight for part in parts]))
        bias = torch.cat([part.bias for part in parts])
        return lambda x: product(x) + bias

    attention, mlp = block.attention, block.mlp
    return Layer(
        block.attention_norm,
        with_bias(attention.query, attention.key, attention.value),
        with_bias(attention.output),
        block.mlp_norm,
        with_bias(mlp.up),
        with_bias(mlp.down),
    )


def joined(block, make: Callable[[torch.Tensor], Product]) -> Layer:
    """A block of a Llama with matrices that read the same input put together."""
    attention, mlp = block.attention, block.mlp
    heads = (attention.query.weight, attention.key.weight, attention.value.weight)
    return Layer(
        block.attention_norm,
        make(torch.cat(heads)),
        make(attention.output.weight),
        block.mlp_norm,
        make(torch.cat([mlp.gate.weight, mlp.up.weight])),
        make(mlp.down.weight),
    )


def in_32s(model: GPT | Llama) -> bool:
    """Whether all rows have a multiple of 32 weights, which the kernel for int8 wants."""
    down = model.blocks[0].mlp.down
    return not any(row % 32 for row in (model.config.channels, down.in_features))


class Trial:
    """A form on trial: what it foresees after some ids, and its seconds a token."""

    def __init__(self, model: GPT | Llama, form: str, ids: list[int]):
        self.decoder, self.model, self.taken = decoder(model, form), model, []
        self.known, self.last = len(ids), torch.tensor([ids[-1:]])
        self.cache = KVCache(len(model.blocks), self.known + 1)
        logits = self.decoder.step(model, torch.tensor([ids]), self.cache)
        self.probabilities = logits[0].softmax(-1)  # (V)

    def write(self) -> None:
        """Take the time of one token; its place in the cache is given back."""
        self.cache.length = self.known
        start = time.perf_counter()
        self.decoder.step(self.model, self.last, self.cache)
        self.taken.append(time.perf_counter() - start)

    @property
    def speed(self) -> float:
        """Tokens a second: the median, as other programs run beside this one."""
        return 1 / statistics.median(self.taken)


def on_trial(
    model: GPT | Llama, ids: list[int], seconds: float = 0.5
) -> dict[str, Trial]:
    """Every form of FORMS that fits the model, on trial after `ids`, fastest first.

    They take turns until the time is up, three each at least. Raises Problem for a model
    that is not on the CPU.
    """
    if not model.embedding.weight.is_cpu:
        raise Problem("The trial of forms is for the CPU: a card writes in float32.")
    forms = [form for form in FORMS if form != "int8" or in_32s(model)]
    trials = {form: Trial(model, form, ids) for form in forms}
    end, rounds = time.perf_counter() + seconds, 0
    while rounds < 3 or time.perf_counter() < end:
        for trial in trials.values():
            trial.write()
        rounds += 1
    return dict(sorted(trials.items(), key=lambda one: -one[1].speed))


def verdict(trials: dict[str, Trial], decode: Callable[[list[int]], str]) -> str:
    """Which form won, by how much, and what it changes in the likeliest next token."""
    best, plain = next(iter(trials.values())), trials["float32"]
    speeds = ", ".join(f"{form} {one.speed:.0f}" for form, one in trials.items())
    said = f"Tokens a second on this machine: {speeds}."
    if best is plain:
        return f"{said} Writing in float32."
    id = plain.probabilities.argmax().item()
    exact, now = (one.probabilities[id].item() for one in (plain, best))
    return (
        f"{said} Writing in {best.decoder.form}: {decode([id])!r} as the next token gets "
        f"{now:.3f}, in float32 {exact:.3f}."
    )
