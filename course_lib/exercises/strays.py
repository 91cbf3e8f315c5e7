"""Find the stray: a tensor that is on another device than the rest.

torch stops with "Expected all tensors to be on the same device" and names no variable.
While the error lasts, the function that it passed through can still be looked into: its
tensors have names, and each says where it is. The classroom asks here.
"""

import linecache
import re
import traceback
import types

import torch
from torch import nn

# How torch complains of tensors on two devices; it has no kind of error for it.
MIXED = re.compile("same device|expected device|different devices|not .* on mps", re.I)
GENERATOR = re.compile("device type for generator", re.I)


def sentence(error: BaseException, code: types.CodeType) -> str | None:
    """Which tensor is on another device than the rest, and what to do about it.

    code: that of the function to look into. None for an error of another kind, or one
    that did not pass through this function.
    """
    try:
        text = str(error) if isinstance(error, RuntimeError) else ""
    except Exception:  # an error that can't be printed
        return None
    if GENERATOR.search(text):
        return "a generator draws on its own device: draw there, then move it: .to(…)"
    trace = traceback.walk_tb(error.__traceback__)
    places = [(frame, line) for frame, line in trace if frame.f_code is code]
    return _stray(*places[-1]) if places and MIXED.search(text) else None


def _stray(frame: types.FrameType, line: int) -> str | None:
    """The sentence for a line of a function; None if it knows no tensor."""
    tensors = tensors_of(frame)
    if not tensors:
        return None
    source = linecache.getline(frame.f_code.co_filename, line)
    used = {
        n: t for n, t in tensors.items() if re.search(rf"\b{re.escape(n)}\b", source)
    }
    right = next(iter(tensors.values())).device  # where the first argument is
    for known in (used, tensors):  # a statement of many lines hides what it uses
        strays = [name for name, tensor in known.items() if tensor.device != right]
        homes = [name for name, tensor in known.items() if tensor.device == right]
        if strays and homes:
            place = (
                f"{strays[0]} is on {known[strays[0]].device} and {homes[0]} on {right}"
            )
            return f"{place}: {remedy(strays[0], homes[0], frame)}"
    home = next(iter(used or tensors))
    return (
        f"{home} is on {right}, and something that this line makes is not: make it with "
        f"device={home}.device"
    )


def tensors_of(frame: types.FrameType) -> dict[str, torch.Tensor]:
    """A function's tensors by name, arguments first; those that a model keeps as self.x.

    A single number on the CPU may be mixed with anything, so it is left out.
    """
    named = dict(frame.f_locals)
    me = named.get("self")
    if isinstance(me, nn.Module):
        named |= {f"self.{name}": value for name, value in vars(me).items()}
    found = {n: v for n, v in named.items() if isinstance(v, torch.Tensor)}
    return {n: v for n, v in found.items() if v.dim() or not v.is_cpu}


def remedy(name: str, home: str, frame: types.FrameType) -> str:
    """What to do about a stray, by where it comes from."""
    if name.startswith("self."):
        return "keep it with self.register_buffer, so that it moves with the model"
    arguments = frame.f_code.co_varnames[: frame.f_code.co_argcount]
    if name in arguments:
        return f"move it: {name}.to({home}.device)"
    return f"make it with device={home}.device"
