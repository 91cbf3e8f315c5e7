"""The KV cache, and a GPT's forward pass that uses it: old positions are read once.

A token's key and value never change when more tokens come (attention looks back only),
so they are kept, and each step computes those of the new positions. Built in lesson 09.

B batch, T new positions, N positions so far, C channels, H heads, D head size, L layers,
V vocabulary. Source: Pope et al. 2022, section 2.
"""

import torch
from torch import nn
from torch.nn import functional as F

from course_lib.gpt import check_ids, join_heads, split_heads


class KVCache:
    """The keys and values of all positions that a model has read, in all its layers.

    Room for `context` positions of `layers` layers is taken at once, when the first keys
    come and tell B, H, D and dtype: growing bit by bit would copy all at every token.
    `length` says how many positions are known. B texts of the same length are one cache.
    `last` is for models whose parts look at one position before: what they saw of it.
    """

    def __init__(self, layers: int, context: int):
        self.layers, self.context = layers, context
        self.length = 0
        self.kept = None  # (L, 2, B, H, context, D), keys then values
        self.last: dict = {}

    def add(
        self, layer: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Keep new keys and values of a layer; give all of them, old and new.

        Both (B, H, T, D) → both (B, H, N, D), N = length + T. Layers are added in order:
        the last one moves length on. Raises ValueError if T more positions have no room,
        or if heads, head size or number of texts are not those of the first keys.
        """
        if self.kept is None:
            self.kept = self._room(key)
        start, end = self.length, self.length + key.shape[2]
        self._check(key, end)
        keys, values = self.kept[layer]  # (B, H, context, D) each
        keys[:, :, start:end], values[:, :, start:end] = key, value
        if layer == self.layers - 1:
            self.length = end
        return keys[:, :, :end], values[:, :, :end]

    def bytes(self) -> int:
        """How much memory it takes, filled or not; 0 before the first keys."""
        return 0 if self.kept is None else self.kept.nbytes

    def _room(self, key: torch.Tensor) -> torch.Tensor:
        texts, heads, _, size = key.shape
        return key.new_empty(self.layers, 2, texts, heads, self.context, size)

    def _check(self, key: torch.Tensor, end: int) -> None:
        wanted = (*self.kept.shape[2:4], key.shape[2], self.kept.shape[5])
        if key.shape != wanted:
            raise ValueError(
                f"Keys {tuple(key.shape)} don't fit a cache that wants {wanted}: start a "
                "new cache for other texts."
            )
        if end > self.context:
            raise ValueError(
                f"The cache has room for {self.context:,} positions; these would be "
                f"{end:,}: make a larger one, or start anew with the end of the text."
            )


def attend_from(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor
) -> torch.Tensor:
    """Causal attention for the last T of N positions: the same as attend's last T rows.

    query (B, H, T, D); key and value (B, H, N, D), those of the N − T positions before
    included → (B, H, T, D). Several query heads may share one key and value head.
    """
    new, every = query.shape[-2], key.shape[-2]
    seen = None  # one new position sees them all
    if new > 1:
        seen = torch.ones(new, every, dtype=torch.bool, device=query.device)
        seen = seen.tril(every - new)  # (T, N)
    return F.scaled_dot_product_attention(query, key, value, seen, enable_gqa=True)


def cached_attention(
    attention: nn.Module, x: torch.Tensor, layer: int, cache
) -> torch.Tensor:
    """What Attention's forward gives for new positions: (B, T, C) → (B, T, C).

    Their keys and values join those that the cache has of the positions before.
    """
    query = split_heads(attention.query(x), attention.heads)  # (B, H, T, D)
    key = split_heads(attention.key(x), attention.heads)
    value = split_heads(attention.value(x), attention.heads)
    key, value = cache.add(layer, key, value)  # (B, H, N, D)
    return attention.output(join_heads(attend_from(query, key, value)))  # (B, T, C)


def check_hooks(model: nn.Module) -> None:
    """Raise ValueError if a hook waits where a step with a cache never comes.

    Such a step calls the parts of a block, not the block: a text that is steered or
    listened to by such a hook would come out as if there were none, and nobody told.
    """
    passed_by = [model, *model.blocks, *(block.attention for block in model.blocks)]
    # torch has no public way to ask.
    if any(part._forward_hooks or part._forward_pre_hooks for part in passed_by):
        raise ValueError(
            "A hook waits at the model, a block or its attention, and a step with a cache "
            "passes these by: write with decode_step=None, or remove the hook."
        )


def places(model: nn.Module, ids: torch.Tensor, cache) -> slice:
    """Where ids (B, T) stand in the text: after the positions that the cache knows.

    Raises ValueError for ids that no model could read, those past the context length, a
    cache for another number of layers, or hooks that would never be called.
    """
    config = model.config
    check_hooks(model)
    check_ids(ids, config, model.embedding.weight.device)
    if cache.layers != len(model.blocks):
        raise ValueError(
            f"The cache is for {cache.layers} layers and the model has "
            f"{len(model.blocks)}: KVCache(len(model.blocks), context)."
        )
    last = cache.length + ids.shape[1]
    if last > config.context:
        raise ValueError(
            f"The cache holds {cache.length:,} positions, and {ids.shape[1]:,} more are "
            f"over the context length of {config.context:,}: start a new cache with the "
            "end of the text."
        )
    return slice(cache.length, last)


@torch.inference_mode()
def decode_step(model: nn.Module, ids: torch.Tensor, cache) -> torch.Tensor:
    """Read ids (B, T) that follow what the cache knows → logits (B, V) of the next.

    The same as model(all ids so far)[:, -1], without reading the old ones again: their
    keys and values are in the cache, a KVCache (Pope et al. 2022, "Efficiently
    Scaling Transformer Inference", section 2). Works with every GPT whose parts are named
    as here. The logits are for reading: clone() them to write into them. Raises
    ValueError for ids that no model could read, or a full cache.
    """
    here = places(model, ids, cache)
    x = model.embedding(ids) + model.position.weight[here]  # (B, T, C)
    for layer, block in enumerate(model.blocks):
        x = x + cached_attention(block.attention, block.attention_norm(x), layer, cache)
        x = x + block.mlp(block.mlp_norm(x))
    return model.unembed(x[:, -1])  # (B, V)
