"""Values between processes: what crosses, what stays who it is, what is refused."""

import io
import json
import struct
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from course_lib.autograd import Value
from course_lib.gpt import GPT, GPTConfig
from course_lib.grading import wire
from course_lib.grading.wire import Broken, Table

SIMPLE = st.none() | st.booleans() | st.integers() | st.text() | st.binary()
SIMPLE |= st.floats(allow_nan=False)
VALUES = st.recursive(
    SIMPLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(SIMPLE, inner, max_size=3)
    ),
    max_leaves=12,
)


def reader(stream):
    def read(count):
        raw = stream.read(count)
        if len(raw) < count:
            raise EOFError
        return raw

    return read


def pair(kinds=None):
    """The tables of two sides."""
    return Table(0, kinds or {}), Table(1, kinds or {})


def trip(value, tables=None):
    """The value as it arrives on the other side."""
    mine, theirs = tables or pair()
    stream = io.BytesIO()
    wire.send(stream, mine, {"value": value})
    stream.seek(0)
    return wire.receive(reader(stream), theirs)["value"]


@settings(max_examples=200, deadline=None)
@given(VALUES)
def test_plain_values_arrive_as_they_are(value):
    came = trip(value)
    assert came == value and type(came) is type(value)
    assert repr(came) == repr(value)  # True is not 1, and 1 is not 1.0


@pytest.mark.parametrize("kind", [set, frozenset])
def test_sets_arrive(kind):
    value = kind([1, "a", None, (2.0, b"c")])
    assert trip(value) == value and type(trip(value)) is kind


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf"), -0.0])
def test_odd_floats_arrive(number):
    assert repr(trip(number)) == repr(number)


@pytest.mark.parametrize("dtype", list(wire.NUMBERS.values()), ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)])
def test_tensors_arrive_to_the_bit(dtype, shape):
    tensor = (10 * torch.randn(shape, generator=torch.Generator().manual_seed(0))).to(
        dtype
    )
    came = trip(tensor)
    assert came.dtype == dtype and came.shape == tensor.shape and came.equal(tensor)


@pytest.mark.parametrize("dtype", ["f8", "f4", "i8", "u1", "?"])
def test_arrays_arrive_to_the_bit(dtype):
    array = np.arange(6).reshape(2, 3).T.astype(dtype)  # not contiguous
    came = trip(array)
    assert came.dtype == array.dtype and np.array_equal(came, array)
    assert came.flags.writeable
    assert trip(array[0, 1]) == array[0, 1]


def test_a_generator_goes_on_where_it_was():
    generator = torch.Generator().manual_seed(5)
    torch.rand(3, generator=generator)
    came = trip(generator)
    assert torch.rand(2, generator=came).equal(torch.rand(2, generator=generator))


def test_what_the_other_side_changes_is_changed_here():
    tables = pair()
    given = {"list": [1, 2], "tensor": torch.zeros(3), "array": np.zeros(2)}
    given |= {"node": SimpleNamespace(grad=0.0), "dict": {}}
    came = trip(given, tables)
    came["list"].append(3)
    came["tensor"][1] = 5
    came["array"][0] = 7
    came["node"].grad = 1.5
    came["dict"]["a"] = came["list"]
    trip(None, tables[::-1])
    assert given["list"] == [1, 2, 3] and given["tensor"].tolist() == [0, 5, 0]
    assert given["array"].tolist() == [7, 0] and given["node"].grad == 1.5
    assert given["dict"]["a"] is given["list"]


def test_one_thing_named_twice_stays_one_thing():
    row = [1]
    came = trip([row, row, (row,)])
    assert came[0] is came[1] is came[2][0]
    circle = []
    circle.append(circle)
    came = trip(circle)
    assert came[0] is came


def test_only_what_changed_is_sent_again():
    tables = pair()
    big = torch.zeros(10_000)
    trip(big, tables)
    stream = io.BytesIO()
    wire.send(stream, tables[0], {"value": big})
    assert len(stream.getvalue()) < 1_000
    big[3] = 1
    wire.send(stream, tables[0], {"value": big})
    assert len(stream.getvalue()) > 40_000


def test_a_model_arrives_and_computes_the_same():
    shape = GPTConfig(vocabulary=11, context=8, layers=2, channels=8, heads=2)
    model = GPT(shape, generator=torch.Generator().manual_seed(0))
    ids = torch.arange(6)[None]
    came = trip(model)
    assert came is not model and came(ids).equal(model(ids))
    assert came.config == shape and came.training == model.training
    assert all(isinstance(weight, nn.Parameter) for weight in came.parameters())


def test_gradients_travel_with_their_weights():
    model, tables = nn.Linear(3, 2), pair()
    model.weight.grad = torch.ones(2, 3)
    came = trip(model, tables)
    assert came.weight.grad.equal(torch.ones(2, 3)) and came.bias.grad is None
    came(torch.ones(1, 3)).sum().backward()
    trip(None, tables[::-1])
    assert model.weight.grad.equal(2 * torch.ones(2, 3))
    assert model.bias.grad.equal(torch.ones(2))


def test_values_of_the_engine_keep_their_graph():
    a = Value(2.0)
    came = trip([a, a * a + a])
    came[1].backward()
    assert came[0].grad == 5.0 and came[1].operands[1] is came[0]


def test_a_function_is_called_where_it_is():
    asked = []
    theirs = Table(1, call=lambda number, args, named: asked.append(args) or 7)
    mine = Table(0)
    came = trip(len, (mine, theirs))
    assert came("abc") == 7 and asked == [("abc",)]
    (number,) = [n for n, thing in theirs.things.items() if thing is came]
    assert mine.things[number] is len


class Odd:
    """Equal to everything."""

    def __eq__(self, other):
        return True

    __hash__ = None


def test_of_anything_else_only_the_name_arrives():
    came = trip(Odd())
    assert type(came).__name__ == "Odd" and came != 3
    assert type(trip(len, pair()[::-1])).__name__ == "builtin_function_or_method"

    class Sub(torch.Tensor):
        pass

    assert not isinstance(trip(torch.zeros(2).as_subclass(Sub)), torch.Tensor)


def forged(head: dict, *blobs: bytes):
    raw = json.dumps(head).encode()
    lengths = [len(raw), *map(len, blobs)]
    text = struct.pack(f">Q{len(lengths)}Q", len(lengths), *lengths)
    return reader(io.BytesIO(text + b"".join([raw, *blobs])))


@pytest.mark.parametrize(
    "head",
    [
        [],
        {},
        {"body": {}, "states": [[0, "list"]]},
        {"body": {"x": {"thing": 99}}, "states": []},
        {"body": {"x": {"bytes": 5}}, "states": []},
        {"body": {"x": {"function": 3}}, "states": []},
        {"body": {"x": {"scalar": ["O", 0]}}, "states": []},
        {"body": {}, "states": [[1, "array", "O", [2], 0]]},
        {
            "body": {},
            "states": [[1, "tensor", "torch.evil", [1], 0, False, False, None]],
        },
        {"body": {}, "states": [[1, "object", "subprocess:Popen", [], []]]},
        {"body": {}, "states": [[1, "object", "antigravity:x", [], []]]},
        {"body": {}, "states": [[1, "object", "types:FunctionType", [], []]]},
        {
            "body": {},
            "states": [[1, "object", "types:SimpleNamespace", [["__class__", 1]], []]],
        },
        # what Python itself would take, too
        {"body": {"x": {"scalar": ["S8", 0]}}, "states": []},
        {"body": {}, "states": [[1, "object", "types:ModuleType", [], []]]},
        {
            "body": {},
            "states": [[1, "object", "types:SimpleNamespace", [["__doc__", 1]], []]],
        },
        {
            "body": {},
            "states": [
                [
                    1,
                    "object",
                    "torch.nn.modules.linear:Linear",
                    [],
                    [["_forward_hooks", []]],
                ]
            ],
        },
    ],
    ids=str,
)
def test_forged_messages_are_refused(head):
    import sys

    with pytest.raises(Broken):
        wire.receive(forged(head, b"12345678"), Table(0))
    assert "antigravity" not in sys.modules


def test_a_message_too_large_is_refused_before_it_is_read():
    asked = []

    def read(count):
        asked.append(count)
        return struct.pack(">Q", 1 if len(asked) == 1 else wire.LARGEST + 1)

    with pytest.raises(Broken, match="bytes"):
        wire.receive(read, Table(0))
    assert asked == [8, 8]


def test_a_message_of_too_many_parts_is_refused_before_they_are_counted():
    asked = []

    def read(count):
        asked.append(count)
        return struct.pack(">Q", 10**9)

    with pytest.raises(Broken, match="no head"):
        wire.receive(read, Table(0))
    assert asked == [8]


def test_what_follows_a_small_head_counts_too():
    sizes = io.BytesIO(struct.pack(">QQQ", 2, 2, wire.LARGEST) + b"{}")
    with pytest.raises(Broken, match="bytes"):
        wire.receive(reader(sizes), Table(0))


def test_the_end_is_told_from_a_broken_message():
    with pytest.raises(EOFError):
        wire.receive(reader(io.BytesIO(b"")), Table(0))


# What comes from a student's process is bounded ----------------------------------------


def from_a_student(value):
    """The value as it arrives at the grader's side."""
    return trip(value, pair()[::-1])


def test_what_is_small_and_has_no_end_when_printed_is_refused():
    wide = 1
    for _ in range(5):
        wide = [wide] * 1000
    deep = 1
    for _ in range(20):
        deep = [deep]
    circle = []
    circle.append(circle)
    for odd in (wide, deep, circle, {"a": (wide,)}, SimpleNamespace(x=wide)):
        with pytest.raises(Broken):
            from_a_student(odd)
    assert from_a_student([[1] * 1000] * 100) == [[1] * 1000] * 100


def test_a_long_graph_of_values_is_no_deep_list():
    value = Value(1.0)
    for _ in range(60):
        value = value + value  # 2⁶⁰ when written out; it prints itself alone
    assert from_a_student(value).data == 2.0**60


def test_what_nobody_can_change_is_not_changed_from_outside():
    mine, theirs = pair()
    shape, free = GPTConfig(layers=7), SimpleNamespace(layers=7)
    came, other = trip((shape, free), (mine, theirs))
    other.layers = 8
    trip(None, (theirs, mine))
    assert free.layers == 8
    object.__setattr__(came, "layers", 0)
    with pytest.raises(Broken):
        trip(None, (theirs, mine))
    assert shape.layers == 7


def test_less_is_taken_from_a_student_than_is_sent_there():
    sizes = struct.pack(">QQ", 1, wire.WORDS + 1)
    with pytest.raises(Broken, match="bytes"):
        wire.receive(reader(io.BytesIO(sizes)), Table(0))
    with pytest.raises(EOFError):  # there it is read
        wire.receive(reader(io.BytesIO(sizes)), Table(1))
