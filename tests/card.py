"""A graphics card that is not there: a device of torch whose tensors live in memory.

Its tensors hold what the CPU's hold and compute what the CPU computes, and they refuse
to meet them, as a card's do. So a tensor that was left behind is found on any machine.
What a card has of its own it does not pretend: streams, precisions, memory, speed.
"""

import contextlib
from collections.abc import Iterator

import pytest
import torch
from torch.utils import _pytree as tree
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from course_lib import devices, pretrained

NAME = "card"
_setup_privateuseone_for_python_backend(NAME)
AT = torch.device(NAME, 0)
aten = torch.ops.aten
MOVES = {aten._to_copy.default, aten.copy_.default}
# CUDA, too, takes places in a tensor from the CPU.
BY_PLACE = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}
ITS_OWN = 1 << 62  # in the seed of a generator that is on the card
REFUSED = "on the same device"  # a part of what the card says, and CUDA


class Card(torch.Tensor):
    """A tensor on the card; `inner` holds its numbers, in main memory."""

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor):
        look = {"strides": inner.stride(), "dtype": inner.dtype, "device": AT}
        made = torch.Tensor._make_wrapper_subclass(cls, inner.shape, **look)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return compute(operation, *args, **(kwargs or {}))

    def tolist(self):
        return self.inner.tolist()

    def numpy(self, *args, **kwargs):
        raise TypeError(f"can't convert a tensor on {AT} to numpy: use .cpu() first")

    def __array__(self, *args, **kwargs):
        return self.numpy()

    def __repr__(self):
        return f"{self.inner!r} on {AT}"


def compute(operation, *args, **kwargs):
    """What an operation of torch gives: on the card, unless another place is asked for.

    Raises RuntimeError for a tensor with axes, or a generator, that is on the CPU.
    """
    given, spec = tree.tree_flatten((args, kwargs))
    met = given
    if operation in BY_PLACE and isinstance(args[0], Card):
        met = [args[0], *args[2:]]
    if operation not in MOVES:
        for one in met:
            refuse(one, operation)
    plain = [one.inner if isinstance(one, Card) else one for one in given]
    cpu = torch.device("cpu")
    plain = [cpu if isinstance(one, torch.device) else one for one in plain]
    with torch.inference_mode(False), torch.no_grad():
        positional, named = tree.tree_unflatten(plain, spec)
        made = operation(*positional, **named)
        if not operation._schema.returns:
            return None
        if operation._schema.is_mutable:
            return kwargs.get("out", args[0])
        if torch.device(kwargs.get("device") or AT).type != NAME:
            return made
        return tree.tree_map_only(torch.Tensor, Card, made)


def refuse(one, operation) -> None:
    """Raise RuntimeError for what a card can't work with."""
    on_cpu = isinstance(one, torch.Tensor) and not isinstance(one, Card)
    on_cpu = on_cpu and one.dim() > 0
    on_cpu |= isinstance(one, torch.Generator) and not one.initial_seed() & ITS_OWN
    if on_cpu:
        raise RuntimeError(
            f"Expected all tensors and generators to be {REFUSED}, but found {AT} and "
            f"{one.device} (in {operation})."
        )


# What reaches the card with no tensor of its own: zeros(3, device="card"), x.to("card").
everything = torch.library.Library("_", "IMPL")
everything.fallback(compute, "PrivateUse1")
moving = torch.library.Library("aten", "IMPL")
moving.impl(
    "_to_copy",
    lambda *args, **kwargs: compute(aten._to_copy.default, *args, **kwargs),
    "PrivateUse1",
)


@contextlib.contextmanager
def plugged_in() -> Iterator[torch.device]:
    """While this lasts, the course takes the card for the best device here."""
    on_cpu, load = devices.generator, pretrained.load_file

    def generator(seed, device="cpu"):
        if torch.device(device).type == NAME:
            return on_cpu(seed | ITS_OWN)
        return on_cpu(seed, device)

    def load_file(path, device="cpu"):  # safetensors knows no such device
        return {name: one.to(device) for name, one in load(path).items()}

    swap = torch.__future__.get_swap_module_params_on_conversion()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DEVICE", NAME)
        patch.setitem(devices.PRECISION, NAME, torch.float32)
        patch.setattr(devices, "generator", generator)
        patch.setattr(pretrained, "load_file", load_file)
        torch.__future__.set_swap_module_params_on_conversion(
            True
        )  # keeps ties of weights
        try:
            yield AT
        finally:
            torch.__future__.set_swap_module_params_on_conversion(swap)
