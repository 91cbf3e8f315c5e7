"""Plain data: values that cross from one process to another, never as code.

A grader must not unpickle what a student's program sends: a pickle can run anything.
Here a message is JSON and the bytes of arrays. Numbers, texts and tuples go by value.
Lists, dicts, tensors, arrays, generators and the course's own objects keep who they are:
each has a number that both sides know, and every message brings the states that have
changed. So a function on the other side can change a list that it was given. A function
goes as a number to call back; of anything else only the name of its type arrives.
"""

import builtins
import importlib
import json
import math
import struct
from collections.abc import Callable
from dataclasses import dataclass, field, is_dataclass
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import nn

from course_lib.notebooks import curriculum

LARGEST = 256 * 2**20  # bytes of one message to a student's process
MOST = 64 * 2**20  # and of one from there
WORDS = 4 * 2**20  # of those, bytes of JSON
DEEPEST = 12  # lists in lists
WIDEST = (
    10**6
)  # entries of a list, those of the lists in it counted wherever they stand
# The modules whose objects may be built on the other side: without running their code.
BUILT = frozenset(f"course_lib.{name}" for name in curriculum.built())
NUMBERS = {str(kind): kind for kind in (torch.float64, torch.float32, torch.float16)}
NUMBERS |= {str(kind): kind for kind in (torch.bfloat16, torch.bool, torch.uint8)}
NUMBERS |= {str(kind): kind for kind in (torch.int8, torch.int16, torch.int32)}
NUMBERS[str(torch.int64)] = torch.int64
CONTAINERS = ("_parameters", "_buffers", "_modules")  # of a module's own attributes


class Broken(Exception):
    """What came is no message, or too large a one."""


@dataclass
class Table:
    """The objects that both sides know, by number, for the length of one call.

    kinds are further classes that may be built here, by name. call is asked for a
    function that stands for the other side's; first is 0 on one side, 1 on the other.
    """

    first: int
    kinds: dict[str, type] = field(default_factory=dict)
    call: Callable[[int, tuple, dict], Any] | None = None
    things: dict[int, Any] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)  # id(thing) → its number
    states: dict[int, str] = field(default_factory=dict)  # as the other side has them

    def number(self, thing: Any) -> int:
        """The thing's number; a new one if it has none."""
        if id(thing) not in self.numbers:
            self.keep(self.first + 2 * len(self.things), thing)
        return self.numbers[id(thing)]

    def keep(self, number: int, thing: Any) -> None:
        """Know a thing by this number, and keep it alive."""
        self.things[number], self.numbers[id(thing)] = thing, number


# Messages ------------------------------------------------------------------------------


def send(stream: BinaryIO, table: Table, message: dict[str, Any]) -> None:
    """Write a message: a dict from text to values."""
    writer = Writer(table)
    body = {name: writer.indexed(writer.value(one)) for name, one in message.items()}
    states = writer.changed()
    head = json.dumps({"body": body, "states": states}).encode()
    lengths = [len(head), *(len(blob) for blob in writer.blobs)]
    stream.write(struct.pack(f">Q{len(lengths)}Q", len(lengths), *lengths))
    stream.write(b"".join([head, *writer.blobs]))
    stream.flush()


def receive(read: Callable[[int], bytes], table: Table) -> dict[str, Any]:
    """The next message; `read` gives exactly so many bytes.

    What a student's process sent (read at the table that is the first) is bounded in
    bytes, depth and entries. Raises Broken if it is no such message; what `read` raises
    passes.
    """
    most, words = (LARGEST, LARGEST) if table.first else (MOST, WORDS)
    (count,) = struct.unpack(">Q", read(8))
    if not 0 < count < 100_000:
        raise Broken("The message has no head.")
    lengths = struct.unpack(f">{count}Q", read(8 * count))
    if sum(lengths) > most or lengths[0] > words:
        raise Broken(f"The message has {sum(lengths):,} bytes; {most:,} are taken.")
    raw, *blobs = [read(length) for length in lengths]
    try:
        message = Reader(table, blobs).message(json.loads(raw))
        if not table.first:
            bounded([*message.values(), *table.things.values()])
        return message
    except Broken:
        raise
    except Exception as error:  # whatever forged bytes can cause
        raise Broken(f"The message can't be read: {type(error).__name__}.") from None


def bounded(things: list) -> None:
    """Raise Broken where a thing is too deep, or has too many entries written out.

    A few lists that hold each other a thousand times are small here, and without end
    when they are printed.
    """
    known: dict[
        int, tuple[int, int]
    ] = {}  # id → depth, entries; of those begun, too deep

    def measure(thing: Any) -> tuple[int, int]:
        if id(thing) not in known:
            known[id(thing)] = (DEEPEST + 1, 0)
            inner = [measure(one) for one in inside(thing)]
            depth = 1 + max((one for one, _ in inner), default=-1)
            known[id(thing)] = depth, 1 + sum(count for _, count in inner)
        depth, entries = known[id(thing)]
        if depth > DEEPEST or entries > WIDEST:
            raise Broken("A list is too deep, or too large written out.")
        return depth, entries

    for thing in things:
        measure(thing)


def inside(thing: Any) -> list:
    """What is printed with a thing: entries, and attributes of what prints them."""
    if type(thing) in (list, tuple, set, frozenset):
        return list(thing)
    if type(thing) is dict:
        return [*thing.keys(), *thing.values()]
    if isinstance(thing, nn.Module):
        return list(vars(thing).get("_modules", {}).values())
    if is_dataclass(thing) or isinstance(thing, SimpleNamespace):
        return list(vars(thing).values())
    return []


# Writing -------------------------------------------------------------------------------


class Writer:
    """Turns values into JSON and bytes."""

    def __init__(self, table: Table):
        self.table, self.blobs = table, []

    def value(self, thing: Any) -> Any:
        """A value as JSON; what can change goes as its number."""
        if thing is None or type(thing) in (bool, int, str):
            return thing
        if type(thing) is float:
            return thing if math.isfinite(thing) else {"float": repr(thing)}
        if type(thing) is bytes:
            return {"bytes": thing}
        if type(thing) in (tuple, torch.Size):
            return {type(thing).__name__: [self.value(one) for one in thing]}
        if type(thing) in (set, frozenset):
            return {type(thing).__name__: [self.value(one) for one in thing]}
        if type(thing) is torch.dtype and str(thing) in NUMBERS:
            return {"dtype": str(thing)}
        if type(thing) is torch.device:
            return {"device": str(thing)}
        if isinstance(thing, np.generic) and thing.dtype.kind in "fiub":
            return {"scalar": [thing.dtype.str, thing.tobytes()]}
        return self.by_number(thing)

    def by_number(self, thing: Any) -> dict:
        """A thing that can change, a function, or the name of a type."""
        if self.kind(thing):
            return {"thing": self.table.number(thing)}
        if callable(thing) and self.table.first == 0:
            return {"function": self.table.number(thing)}
        return {"other": type(thing).__name__}

    def kind(self, thing: Any) -> str:
        """How a thing's state is written; '' if it isn't."""
        if type(thing) in (list, dict):
            return type(thing).__name__
        if type(thing) in (torch.Tensor, nn.Parameter):
            plain = thing.layout == torch.strided and str(thing.dtype) in NUMBERS
            return "tensor" if plain and thing.device.type == "cpu" else ""
        if type(thing) is np.ndarray:
            return "array" if thing.dtype.kind in "fiub" else ""
        if type(thing) is torch.Generator:
            return "generator" if thing.device.type == "cpu" else ""
        name = class_name(type(thing), self.table.kinds)
        return name and ("module" if isinstance(thing, nn.Module) else "object")

    def changed(self) -> list:
        """The states of all known things that the other side has otherwise."""
        found, done = [], set()
        while todo := [n for n in self.table.things if n not in done]:
            for number in todo:
                done.add(number)
                state = self.known_state(number)
                if state and self.table.states.get(number) != (seen := repr(state)):
                    self.table.states[number] = seen
                    found.append(self.indexed(state))
        return found

    def known_state(self, number: int) -> list:
        """A thing's number, kind and state, with bytes where they stand."""
        thing = self.table.things[number]
        kind = self.kind(thing)  # none for a function
        return [number, kind, *self.state(kind, thing)] if kind else []

    def indexed(self, data: Any) -> Any:
        """The same with bytes moved behind the JSON."""
        if isinstance(data, bytes):
            self.blobs.append(data)
            return len(self.blobs) - 1
        if isinstance(data, list):
            return [self.indexed(one) for one in data]
        if isinstance(data, dict):
            return {name: self.indexed(one) for name, one in data.items()}
        return data

    def state(self, kind: str, thing: Any) -> list:
        """All that the other side must know of a thing."""
        if kind == "list":
            return [[self.value(one) for one in thing]]
        if kind == "dict":
            return [[[self.value(k), self.value(v)] for k, v in thing.items()]]
        if kind == "tensor":
            flat = thing.detach().contiguous().reshape(-1)
            raw = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
            is_weight = type(thing) is nn.Parameter
            grad = thing.grad if thing.is_leaf else None
            head = [str(thing.dtype), list(thing.shape), raw]
            wants = thing.requires_grad and thing.is_leaf
            return [*head, wants, is_weight, self.value(grad)]
        if kind == "array":
            return [thing.dtype.str, list(thing.shape), thing.tobytes()]
        if kind == "generator":
            return [thing.get_state().numpy().tobytes()]
        pairs = [[name, self.value(one)] for name, one in attributes(thing)]
        held = [[name, self.pairs(vars(thing)[name])] for name in held_by(thing)]
        return [class_name(type(thing), self.table.kinds), pairs, held]

    def pairs(self, container: dict) -> list:
        """What a module holds under names: weights, or parts."""
        return [[name, self.value(one)] for name, one in container.items()]


def held_by(thing: Any) -> tuple[str, ...]:
    """The names of a module's weights, buffers and parts; none for other things."""
    return CONTAINERS if isinstance(thing, nn.Module) else ()


def attributes(thing: Any) -> list[tuple[str, Any]]:
    """A thing's own attributes; of a module's only the public ones (no hooks)."""
    if isinstance(thing, nn.Module):
        return [(k, v) for k, v in vars(thing).items() if not k.startswith("_")]
    slots = [s for kind in type(thing).__mro__ for s in vars(kind).get("__slots__", ())]
    own = {s: getattr(thing, s) for s in slots if hasattr(thing, s)}
    return list((own | vars(thing) if hasattr(thing, "__dict__") else own).items())


def class_name(kind: type, kinds: dict[str, type]) -> str:
    """The name by which the other side finds a class; '' if it may not build it."""
    if kinds.get(kind.__name__) is kind:
        return kind.__name__
    known = kind is SimpleNamespace or is_known(kind.__module__)
    return f"{kind.__module__}:{kind.__qualname__}" if known else ""


def is_known(module: str) -> bool:
    """Whether objects of this module's classes may be built on the other side."""
    if module.startswith("torch.nn.modules."):
        return True
    return module in BUILT


# Reading -------------------------------------------------------------------------------


class Reader:
    """Turns JSON and bytes back into values; runs no code that came with them."""

    def __init__(self, table: Table, blobs: list[bytes]):
        self.table, self.blobs = table, blobs

    def message(self, head: dict) -> dict[str, Any]:
        states = head["states"]
        for number, kind, *state in states:
            if number not in self.table.things:
                self.table.keep(number, self.shell(kind, state))
            elif is_frozen(self.table.things[number]):
                raise Broken("What nobody can change was changed.")
        for number, kind, *state in states:
            self.fill(kind, self.table.things[number], state)
        for number, kind, *state in states:
            if kind == "tensor":  # a gradient must have its weight's shape by now
                self.fill_grad(self.table.things[number], state[3], state[5])
        self.note(states)
        return {str(name): self.value(one) for name, one in head["body"].items()}

    def note(self, states: list) -> None:
        """Know what the other side knows, so that it is not sent back."""
        writer = Writer(self.table)
        for number, *_ in states:
            self.table.states[number] = repr(writer.known_state(number))

    def shell(self, kind: str, state: list) -> Any:
        """A thing of the right type, still empty."""
        if kind in ("list", "dict"):
            return {"list": list, "dict": dict}[kind]()
        if kind == "tensor":
            empty = torch.empty(0, dtype=NUMBERS[state[0]])
            return nn.Parameter(empty, requires_grad=False) if state[4] else empty
        if kind == "array":
            raw = np.frombuffer(self.blobs[state[2]], number_type(state[0]))
            return raw.reshape(state[1]).copy()
        if kind == "generator":
            return torch.Generator()
        made_of = self.class_of(state[0])
        made = made_of.__new__(made_of)  # and no __init__: no code of theirs
        if isinstance(made, nn.Module):
            nn.Module.__init__(made)
        return made

    def fill(self, kind: str, thing: Any, state: list) -> None:
        """Give a thing the state that came."""
        if kind == "list":
            thing[:] = [self.value(one) for one in state[0]]
        elif kind == "dict":
            pairs = [(self.value(k), self.value(v)) for k, v in state[0]]
            thing.clear()
            thing.update(pairs)
        elif kind == "tensor":
            self.fill_tensor(thing, *state[:3])
        elif kind == "array":
            raw = np.frombuffer(self.blobs[state[2]], number_type(state[0]))
            thing[...] = raw.reshape(state[1])
        elif kind == "generator":
            raw = torch.frombuffer(bytearray(self.blobs[state[0]]), dtype=torch.uint8)
            thing.set_state(raw)
        else:
            self.fill_object(thing, *state[1:])

    def fill_tensor(self, thing: torch.Tensor, dtype: str, shape: list, blob: int):
        kind, raw = NUMBERS[dtype], bytearray(self.blobs[blob])
        came = torch.frombuffer(raw, dtype=kind) if raw else torch.empty(0, dtype=kind)
        came = came.reshape(shape)
        with torch.no_grad():
            if thing.shape == came.shape and thing.dtype == kind:
                thing.copy_(came)
            else:
                thing.data = came

    def fill_grad(self, thing: torch.Tensor, wants: bool, grad: Any) -> None:
        if thing.is_leaf and thing.is_floating_point():
            thing.requires_grad_(bool(wants))
            thing.grad = self.value(grad)

    def fill_object(self, thing: Any, pairs: list, held: list) -> None:
        for name, one in pairs:
            if name.startswith("__"):
                raise Broken(f"{name} is no attribute to send.")
            object.__setattr__(thing, name, self.value(one))  # of frozen ones too
        for name, inner in held:
            if name not in held_by(thing):
                raise Broken(f"{name} holds no weights.")
            vars(thing)[name].clear()
            vars(thing)[name].update((k, self.value(one)) for k, one in inner)

    def class_of(self, name: str) -> type:
        """A class that may be built here; raises Broken for any other."""
        if name in self.table.kinds:
            return self.table.kinds[name]
        module, _, qualified = name.partition(":")
        kind = None
        if module == "types" or is_known(module):  # asked before it is imported
            kind = vars(importlib.import_module(module)).get(qualified)
        if not isinstance(kind, type) or class_name(kind, {}) != name:
            raise Broken(f"{name[:60]} is no class to build here.")
        return kind

    def value(self, data: Any) -> Any:
        """A value from its JSON."""
        if not isinstance(data, dict):
            return data
        ((kind, inner),) = data.items()
        if kind == "float":
            return float(inner)
        if kind == "bytes":
            return self.blobs[inner]
        if kind in ("tuple", "set", "frozenset", "Size"):
            maker = torch.Size if kind == "Size" else vars(builtins)[kind]
            return maker(self.value(one) for one in inner)
        if kind == "dtype":
            return NUMBERS[inner]
        if kind == "device":
            return torch.device(inner)
        if kind == "scalar":
            return np.frombuffer(self.blobs[inner[1]], number_type(inner[0]))[0]
        if kind == "thing":
            return self.table.things[inner]
        if kind == "function":
            return self.stand_in(inner)
        return type(str(inner), (), {})()

    def stand_in(self, number: int) -> Callable:
        """A function that asks the other side's."""
        if number not in self.table.things:
            ask = self.table.call
            if ask is None:
                raise Broken("A function came from the side that may send none.")

            def function(*args, **named):
                return ask(number, args, named)

            self.table.keep(number, function)
        return self.table.things[number]


def is_frozen(thing: Any) -> bool:
    """Whether a thing's attributes stay as they are, such as a GPTConfig's."""
    return is_dataclass(thing) and type(thing).__dataclass_params__.frozen


def number_type(text: str) -> np.dtype:
    """A dtype of plain numbers; raises Broken for objects and texts."""
    kind = np.dtype(text)
    if kind.kind not in "fiub":
        raise Broken(f"{text[:20]} is no dtype of numbers.")
    return kind
