"""Copies, comparisons and short descriptions of what goes into an answer and comes out."""

import copy
import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import nn

MOST = 24  # numbers of a tensor that are shown in full


def copies(things: Any, known: dict | None = None) -> Any:
    """A copy of some arguments, to be changed without harm; functions stay themselves.

    Tensors keep their gradients, which torch's own deep copy drops. An object that two
    arguments share is shared by their copies too: known is what has been copied.
    """
    known = {} if known is None else known
    if type(things) in (list, tuple):
        return type(things)(copies(one, known) for one in things)
    if type(things) is dict:
        return {key: copies(one, known) for key, one in things.items()}
    if isinstance(things, torch.Generator):
        twin = torch.Generator(things.device)
        return twin.set_state(things.get_state())
    if isinstance(things, torch.Tensor):
        return _tensor(things)
    try:
        twin = copy.deepcopy(things, known)
    except Exception:  # whatever an object of the answer's own forbids
        return things
    if isinstance(things, nn.Module):
        for old, new in zip(things.parameters(), twin.parameters()):
            new.grad = None if old.grad is None else old.grad.clone()
    return twin


def _tensor(tensor: torch.Tensor) -> torch.Tensor:
    twin = tensor.detach().clone().requires_grad_(tensor.requires_grad)
    if isinstance(tensor, nn.Parameter):
        twin = nn.Parameter(twin.detach(), tensor.requires_grad)
    if tensor.is_leaf and tensor.grad is not None:
        twin.grad = tensor.grad.clone()
    return twin


def same(
    one: Any, other: Any, tolerance: float = 0.0, seen: dict | None = None
) -> bool:
    """Whether two values are of one type and equal, within a tolerance for decimals.

    NaN equals NaN. Models are equal in weights, gradients and public attributes.
    """
    seen = {} if seen is None else seen
    if one is other or (id(one), id(other)) in seen:
        return True
    if callable(one) and not isinstance(one, nn.Module):
        return callable(other) and not isinstance(other, nn.Module)
    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return _same_tensors(one, other, tolerance)
    if isinstance(one, np.ndarray | np.generic):
        pair = (torch.from_numpy(np.array(x)) for x in (one, other))
        return _same_tensors(*pair, tolerance)
    if isinstance(one, float):
        both_nan = math.isnan(one) and math.isnan(other)
        return both_nan or math.isclose(
            one, other, rel_tol=tolerance, abs_tol=tolerance
        )
    if isinstance(one, torch.Generator):
        return torch.equal(one.get_state(), other.get_state())
    seen[id(one), id(other)] = one, other  # and keep both alive
    inner = _inner(one), _inner(other)
    if inner[0] is None:
        return bool(one == other)
    return len(inner[0]) == len(inner[1]) and all(
        same(a, b, tolerance, seen) for a, b in zip(*inner)
    )


def _same_tensors(one: torch.Tensor, other: torch.Tensor, tolerance: float) -> bool:
    if one.shape != other.shape or one.is_floating_point() != other.is_floating_point():
        return False
    if one.is_meta or other.is_meta:
        return one.is_meta and other.is_meta
    if tolerance == 0.0 and (one.dtype != other.dtype or not _same_grads(one, other)):
        return False
    pair = (tensor.detach().cpu().double() for tensor in (one, other))
    return torch.allclose(*pair, tolerance, tolerance, equal_nan=True)


def _same_grads(one: torch.Tensor, other: torch.Tensor) -> bool:
    grads = [tensor.grad if tensor.is_leaf else None for tensor in (one, other)]
    if grads[0] is None or grads[1] is None:
        return grads[0] is grads[1]
    return torch.equal(*grads)


def _inner(thing: Any) -> list | None:
    """What a thing is made of, in an order; None for a simple value."""
    if isinstance(thing, list | tuple):
        return list(thing)
    if isinstance(thing, dict):  # an object that claims to equal all is no key
        return [x for pair in sorted(thing.items(), key=repr) for x in pair]
    if isinstance(thing, nn.Module):
        weights = [*thing.parameters(), *thing.buffers()]
        public = [v for k, v in vars(thing).items() if not k.startswith("_")]
        return [*weights, *(weight.grad for weight in weights), *public]
    if isinstance(thing, str | bytes | int | complex | set | frozenset):
        return None
    held = [getattr(thing, name, None) for name in _slots(type(thing))]
    public = vars(thing) if hasattr(thing, "__dict__") else {}
    return [*held, *public.values()] if held or public else None


def _slots(kind: type) -> list[str]:
    """The names of an object's slots; not its age, which tells when it was made."""
    found = [vars(one).get("__slots__", ()) for one in kind.__mro__]
    names = [n for some in found for n in ([some] if isinstance(some, str) else some)]
    return [name for name in names if name != "age" and not name.startswith("__")]


# In words -----------------------------------------------------------------------------


def a(kind: type) -> str:
    """A type with its article; with its module, if it is not Python's own."""
    name = kind.__name__
    if kind.__module__ not in ("builtins", "__main__"):
        name = f"{kind.__module__.partition('.')[0]}.{name}"
    return ("an " if name[0] in "aeiou" else "a ") + name


def shown(thing: Any) -> str:
    """A value in a few letters; a large tensor by its shape."""
    if isinstance(thing, torch.Tensor | np.ndarray):
        tensor = torch.as_tensor(thing)
        if tensor.is_meta or tensor.numel() > MOST:
            return f"a {a(type(thing)).split('.')[-1]} {tuple(tensor.shape)}"
        return _listed(tensor.detach().tolist())
    if isinstance(thing, float):
        return f"{thing:.4g}" if thing != int_of(thing) else f"{thing:.1f}"
    if isinstance(thing, list | tuple) and not _is_long(thing):
        inside = ", ".join(shown(one) for one in thing)
        return (
            f"[{inside}]"
            if isinstance(thing, list)
            else f"({inside}{',' * (len(thing) == 1)})"
        )
    if isinstance(thing, list | tuple):
        return f"{a(type(thing))} of {len(thing)}"
    if isinstance(thing, nn.Module) or (
        not isinstance(thing, type) and hasattr(thing, "__dict__") and callable(thing)
    ):
        return getattr(thing, "__name__", type(thing).__name__)
    text = repr(thing)
    return text if len(text) <= 160 else f"{text[:150]} … ({len(text)} letters)"


def size(thing: Any) -> int:
    """How many numbers, letters or other things are in a thing."""
    if isinstance(thing, torch.Tensor | np.ndarray):
        return math.prod(thing.shape)
    if isinstance(thing, list | tuple):
        return sum(size(one) for one in thing)
    return len(thing) if isinstance(thing, str | bytes | dict) else 1


def _is_long(thing: list | tuple) -> bool:
    return len(thing) > MOST or sum(len(shown(one)) for one in thing) > 240


def _listed(numbers: Any) -> str:
    if isinstance(numbers, list):
        return f"[{', '.join(_listed(one) for one in numbers)}]"
    return f"{numbers:.4g}" if isinstance(numbers, float) else f"{numbers}"


def words_of(error: BaseException) -> str:
    """The first line of an error's text."""
    try:
        return str(error).strip().split("\n")[0].removesuffix(".")
    except Exception:
        return "(an error that can't be printed)"


def int_of(number: float) -> float:
    """The number rounded to a small whole one; NaN for one that is far or not finite."""
    return float(round(number)) if abs(number) < 1e6 else math.nan


def called(name: str, inputs: Iterable, names: tuple[str, ...] = ()) -> str:
    """A call, as a learner would type it."""
    return f"{name}({', '.join(shown(one) for one in inputs)})"


# How a value differs from the right one, simple relations first ------------------------


def difference(value: Any, right: Any, tolerance: float = 1e-4) -> str:
    """How a value differs from the right one, as the end of a sentence; '' if unknown."""
    if value is None and right is not None:
        return "does every path of the function end in return?"
    kinds = type(value), type(right)
    if kinds[0] is not kinds[1]:
        return f"that is {a(kinds[0])}; it should be {a(kinds[1])}{_cure(*kinds)}"
    if isinstance(value, dict):
        return _of_dicts(value, right, tolerance)
    if isinstance(value, tuple | list) and not all(map(_is_number, [*value, *right])):
        return _of_lists(value, right, tolerance)
    if isinstance(value, str | bytes):
        letters = len(value), len(right)
        known = right and letters != (1, 1)  # one letter is not made of others
        return _of_lists(list(value), list(right), tolerance) if known else ""
    if isinstance(value, bool):
        return ""
    if isinstance(value, int | float | list | tuple | torch.Tensor | np.ndarray):
        return _of_numbers(value, right, tolerance)
    return ""


def _cure(came: type, wanted: type) -> str:
    """How one type is made of another."""
    if came is tuple and wanted is int:
        return ": is it a shape? Multiply its numbers"
    if came is float and wanted is int:
        return (
            ": multiplying whole numbers gives a whole number, and if you must divide, "
            "divide with //"
        )
    if wanted in (int, float, bool) and came.__module__ != "builtins":
        return f": {wanted.__name__}(…) makes it one"
    if wanted is torch.Tensor and came is np.ndarray:
        return ": torch.from_numpy(…) makes it one"
    if wanted is torch.Tensor and came in (int, float):
        return ": torch.tensor(…) makes it one"
    if wanted is torch.Tensor and came in (list, tuple):
        return ": torch.stack(…) joins tensors, torch.tensor(…) plain numbers"
    if wanted is list and came.__module__ != "builtins":
        return ": .tolist() makes it one"
    if wanted is np.ndarray and came in (int, float, list, tuple):
        return ": np.array(…) makes it one"
    if wanted is np.ndarray and came is torch.Tensor:
        return ": .numpy() makes it one"
    return ""


def _is_number(thing: Any) -> bool:
    return type(thing) in (int, float)


def _of_dicts(value: dict, right: dict, tolerance: float) -> str:
    missing = [key for key in right if key not in value]
    extra = [key for key in value if key not in right]
    if missing and extra:
        return f"the name {extra[0]!r} is not wanted, and {missing[0]!r} is missing"
    if missing or extra:
        return f"{missing[0]!r} is missing" if missing else f"{extra[0]!r} is too many"
    for key, wanted in right.items():
        if not same(value[key], wanted, tolerance):
            how = difference(value[key], wanted, tolerance)
            told = f"{key!r} is {shown(value[key])}, and it should be {shown(wanted)}"
            return f"{told}: {how}" if how else told
    return ""


def _of_lists(value: list, right: list, tolerance: float) -> str:
    def alike(one, other):
        return len(one) == len(other) and all(
            same(x, y, tolerance) for x, y in zip(one, other)
        )

    value, right = list(value), list(right)
    if len(value) != len(right):
        return _lengths(value, right, alike)
    if len(right) > 1 and alike(value, right[::-1]):
        return "the order is reversed"
    if len(right) > 2 and sorted(map(repr, value)) == sorted(map(repr, right)):
        return "these are the right entries in another order"
    wrong = [
        i for i, (x, y) in enumerate(zip(value, right)) if not same(x, y, tolerance)
    ]
    if not wrong:
        return ""
    i = wrong[0]
    told = f"entry {i} is {shown(value[i])}, and it should be {shown(right[i])}"
    how = difference(value[i], right[i], tolerance)
    others = (
        ""
        if len(right) == 1
        else (
            "; the others are right"
            if len(wrong) == 1
            else f"; {len(wrong)} of {len(right)} are wrong"
        )
    )
    return told + (f" ({how})" if how else "") + others


def _lengths(value: list, right: list, alike: Callable) -> str:
    gap = len(value) - len(right)
    some = f"{len(value)} where there should be {len(right)}"
    more, less = (value, right) if gap > 0 else (right, value)
    count = len(less)
    where = ""
    if count and alike(more[:count], less):
        where = "at the end"
    elif count and alike(more[-count:], less):
        where = "at the beginning"
    way = "too many" if gap > 0 else "missing"
    number = "one is" if abs(gap) == 1 else f"{abs(gap)} are"
    return f"{number} {way}{' ' + where if where else ''}: {some}"


def _of_numbers(value: Any, right: Any, tolerance: float) -> str:
    """The same for numbers, and tensors, arrays and lists of them."""
    got, want = (torch.as_tensor(np.array(x)).detach() if not isinstance(x, torch.Tensor)
                 else x.detach().cpu() for x in (value, right))  # fmt: skip
    if got.is_floating_point() != want.is_floating_point() and got.shape == want.shape:
        kinds = [str(one.dtype).removeprefix("torch.") for one in (got, want)]
        return f"the numbers are {kinds[0]}; they should be {kinds[1]}"
    kinds = got.dtype, want.dtype
    got, want = got.double(), want.double()
    if kinds[0] is not kinds[1] and torch.equal(got, want):
        kinds = [str(kind).removeprefix("torch.") for kind in kinds]
        return f"the numbers are {kinds[0]}; they should be {kinds[1]}"
    if got.shape != want.shape:
        return _shapes(got, want, tolerance)
    if got.isnan().any() and not want.isnan().any():
        return (
            "NaN comes of a zero divided by zero, of infinities, or of the root of a number "
            "below 0"
        )
    if got.isinf().any() and not want.isinf().any():
        return "a number grew beyond all bounds, or was divided by zero"
    return _relation(got, want, tolerance)


def _shapes(got: torch.Tensor, want: torch.Tensor, tolerance: float) -> str:
    shapes = f"its shape is {tuple(got.shape)}, and it should be {tuple(want.shape)}"

    def near(x, y):
        return x.shape == y.shape and torch.allclose(x, y, tolerance, tolerance)

    for order in itertools.permutations(range(got.dim())):
        if got.dim() == want.dim() and near(got.permute(order), want):
            return f"{shapes}: the numbers are right, with axes in another order"
    if got.numel() == want.numel() and near(got.reshape(want.shape), want):
        return f"{shapes}: the numbers are right"
    if got.dim() == want.dim():
        for axis in range(got.dim()):
            gap = got.shape[axis] - want.shape[axis]
            rest = [
                got.shape[i] == want.shape[i] for i in range(got.dim()) if i != axis
            ]
            if gap and all(rest):
                name = {got.dim() - 1: "column", got.dim() - 2: "row"}.get(
                    axis, "layer"
                )
                name = "number" if got.dim() == 1 else name
                count = "one" if abs(gap) == 1 else f"{abs(gap)}"
                return f"{shapes}: {count} {name}{'s' * (abs(gap) != 1)} too {'many' if gap > 0 else 'few'}"
    return shapes


NICE = {-1.0: "with the other sign", 2.0: "twice as large", 0.5: "half as large"}
NAMED = {
    math.log(2): "ln 2",
    1 / math.log(2): "1 / ln 2",
    1 / math.log(10): "1 / ln 10",
    math.e: "e",
    1 / math.e: "1 / e",
}
NAMED |= {math.pi: "π", math.sqrt(2): "√2", 1 / math.sqrt(2): "1 / √2"}


def _relation(got: torch.Tensor, want: torch.Tensor, tolerance: float) -> str:
    """A factor, a summand, an order: what one numpy line would turn one into the other."""
    wide = max(tolerance, 1e-6)

    def near(x, y):
        return torch.allclose(x, y, wide, wide)

    every = "every number is " if want.numel() > 1 else "it is "
    large = want.abs() > 1e-3
    if not got.any() and want.any():
        return "all are 0" if want.numel() > 1 else ""
    if large.any() and near(got[~large], want[~large]):
        factors = got[large] / want[large]
        factor = float(factors[0])
        if near(factors, factors[:1].expand_as(factors)) and abs(factor - 1) > 1e-3:
            told = _factor(factor)
            if told and (want.numel() > 1 or not told.startswith("about")):
                return every + told
    gaps = got - want
    if (
        near(gaps, gaps.flatten()[0].expand_as(gaps))
        and abs(gap := float(gaps.flatten()[0])) > 1e-3
    ):
        whole = abs(gap - round(gap)) < 1e-6
        if want.numel() > 1 or (whole and abs(gap) == 1):
            return f"{every}{abs(gap):.4g} too {'large' if gap > 0 else 'small'}"
    if near(got, want.abs()) and want.numel() > 1:
        return "the signs are lost"
    for axis in range(got.dim()):
        name = "" if got.dim() == 1 else f" along axis {axis}"
        if got.shape[axis] > 1 and near(got, want.flip(axis)):
            return f"the order{name} is reversed"
        if got.shape[axis] > 2:
            for step in (1, -1):
                if near(got, want.roll(step, axis)):
                    return f"the numbers are shifted by one{name}"
    if got.dim() > 1 and got.shape[-1] == got.shape[-2] and near(got, want.mT):
        return "rows and columns are swapped"
    if want.numel() > 2 and near(
        got.flatten().sort().values, want.flatten().sort().values
    ):
        return "these are the right numbers in another order"
    return _places(got, want, tolerance)


def _factor(factor: float) -> str:
    for known, words in NICE.items():
        if math.isclose(factor, known, rel_tol=1e-3):
            return words
    for known, name in NAMED.items():
        if math.isclose(factor, known, rel_tol=1e-4):
            return f"{name} times as large"
    upside = 1 / factor if factor else 0.0
    for number, words in (
        (factor, "{} times too large"),
        (upside, "{} times too small"),
    ):
        if number > 1.5 and abs(number - round(number)) < 1e-3 * number:
            return words.format(round(number))
    return (
        f"about {factor:.4g} times as large"
        if factor > 0
        else f"about {factor:.4g} times the right one"
    )


def _places(got: torch.Tensor, want: torch.Tensor, tolerance: float) -> str:
    """Where the first wrong number stands, and how many there are."""
    if want.numel() < 2:
        return ""
    bad = (got - want).abs() > tolerance * want.abs().clamp(min=1.0)
    bad |= got.isnan() != want.isnan()
    if not bad.any():
        return ""
    place = tuple(int(i) for i in bad.nonzero()[0])
    count = int(bad.sum())
    where = list(place) if len(place) > 1 else place[0]
    told = "at {} it is {}, and it should be {}".format(
        where, *_apart(got[place], want[place])
    )
    if count == bad.numel():
        return f"all {count} numbers differ; {told}"
    return f"{told}; {count} of {bad.numel()} numbers differ"


def _apart(one: torch.Tensor, other: torch.Tensor) -> tuple[str, str]:
    """Two numbers, with as many digits as it takes to see that they differ."""
    for digits in (4, 6, 9):
        pair = f"{float(one):.{digits}g}", f"{float(other):.{digits}g}"
        if pair[0] != pair[1]:
            break
    return pair
