"""Demands that checks written by hand make of a value, each with its words."""

from typing import Any

import torch

from course_lib.exercises.compare import a
from course_lib.exercises.kinds import Mistake


def want_type(value: Any, kind: type, what: str) -> None:
    """Demand exactly this type: an object made to equal everything does not pass."""
    if value is None:
        raise Mistake(f"{what} is None. Does every path of the function end in return?")
    if type(value) is not kind:
        raise Mistake(f"{what} is {a(type(value))}; it should be {a(kind)}.")


def want_equal(value: Any, wanted: Any, what: str) -> None:
    """Demand an exact value of exactly the right type, inside lists and tuples too."""
    want_type(value, type(wanted), what)
    if isinstance(wanted, list | tuple):
        for i, (one, right) in enumerate(zip(value, wanted)):
            if type(one) is not type(right) or one != right:
                raise Mistake(f"{what}: entry {i} is {one!r}; it should be {right!r}.")
        if len(value) != len(wanted):
            raise Mistake(
                f"{what} has {len(value)} entries; it should have {len(wanted)}."
            )
    elif value != wanted:
        raise Mistake(f"{what} is {value!r}; it should be {wanted!r}.")


def want_close(value: Any, wanted: float, what: str, tolerance: float = 1e-4) -> None:
    """Demand a float within `tolerance` (relative or absolute) of the wanted one."""
    if isinstance(value, torch.Tensor):
        raise Mistake(f"{what} is a tensor; turn it into a number with float(…).")
    want_type(value, float, what)
    if not abs(value - wanted) <= tolerance * max(1.0, abs(wanted)):
        raise Mistake(f"{what} is {value:.5g}; it should be {wanted:.5g}.")


def want_tensor(value: Any, shape: tuple[int, ...], what: str) -> None:
    """Demand a tensor of this shape, of decimal numbers, all of them finite."""
    want_type(value, torch.Tensor, what)
    if tuple(value.shape) != tuple(shape):
        raise Mistake(
            f"{what} has shape {tuple(value.shape)}; it should be {tuple(shape)}."
        )
    if not value.is_floating_point():
        raise Mistake(f"{what} holds {value.dtype}; decimal numbers are wanted.")
    if value.isnan().any():
        raise Mistake(f"{what} holds NaN: a zero divided by zero, or infinities mixed?")
    if value.isinf().any():
        raise Mistake(f"{what} holds an infinite number.")


def alike(value: torch.Tensor, other: torch.Tensor, tolerance: float = 1e-4) -> bool:
    """Whether two tensors have one shape and the same numbers, rounding aside."""
    if value.shape != other.shape:
        return False
    value, other = (one.detach().double().cpu() for one in (value, other))
    return torch.allclose(value, other, tolerance, tolerance)


def name_mistake(value: torch.Tensor, guesses: list[tuple[torch.Tensor, str]]) -> None:
    """Raise, as a Mistake, the words of the first wrong result that the value equals."""
    for guess, words in guesses:
        if alike(value, guess):
            raise Mistake(words)


def want_near(
    value: Any, wanted: torch.Tensor, what: str, tolerance: float = 1e-4
) -> None:
    """Demand a tensor whose every number is within `tolerance` of the wanted one."""
    want_tensor(value, tuple(wanted.shape), what)
    gap = (value.detach().double().cpu() - wanted.double()).abs()
    allowed = tolerance * wanted.double().abs().clamp(min=1.0)
    if bool((gap <= allowed).all()):
        return
    place = tuple(int(i) for i in (gap > allowed).nonzero()[0])
    at = f" at {list(place)}" if place else ""
    raise Mistake(
        f"{what}{at} is {float(value[place]):.4g}; it should be {float(wanted[place]):.4g}."
    )
