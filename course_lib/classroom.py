"""The room of exercises: predict, check, hint, solution.

An exercise's reference is the course's own code, so that a learner's answer and the
library are held to the same checks. The registry is `course_lib/exercises/`: one file a
lesson. All that a lesson says of an exercise is derived from it (see lessons.py).
"""

import ast
import contextlib
import ctypes
import importlib
import inspect
import io
import os
import runpy
import secrets
import textwrap
import threading
import traceback
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from course_lib.errors import Problem
from course_lib.exercises import strays

SECONDS = 3  # a check that takes longer is stopped: most likely an endless loop


class TimeUp(BaseException):
    """A check took too long. (No Exception, so that a learner's `except` lets it by.)"""


class Mistake(Exception):
    """What is wrong with an answer, in words for the learner."""


@dataclass(frozen=True)
class Check:
    """One thing that an answer must do."""

    name: str
    points: int
    proves: str  # what is known of an answer that passes
    hint: str  # the next thing to try
    run: Callable[[Any, torch.Generator], None]  # raises Mistake


@dataclass(frozen=True)
class Wrong:
    """An answer that a learner is likely to give, and words its rejection must hold."""

    name: str
    answer: Any
    words: str


@dataclass(frozen=True)
class Exercise:
    """A task with its answer, its checks and the mistakes that they must catch."""

    id: str  # lesson and name, such as "00.sample"
    title: str
    minutes: int
    rule: str  # what to do, in Markdown
    reference: Any  # a function of the course, or a value
    checks: tuple[Check, ...]
    wrong: tuple[Wrong, ...]

    @property
    def name(self) -> str:
        """The name that the answer has in the lesson."""
        return self.id.split(".")[1].split("@")[0]

    @property
    def seed(self) -> str:
        """The class whose numbers it has; empty for a lesson's own exercises."""
        return self.id.partition("@")[2]

    @property
    def is_function(self) -> bool:
        """Whether the answer is code; else it is a value."""
        return inspect.isfunction(self.reference) or inspect.isclass(self.reference)


def exercises(lesson: str) -> tuple[Exercise, ...]:
    """All exercises of a lesson, such as "00", in order; none if it has no file."""
    try:
        module = importlib.import_module(f"course_lib.exercises.lesson_{lesson}")
    except ModuleNotFoundError:
        return ()
    return module.EXERCISES


def class_questions(lesson: str, seed: str) -> tuple[Exercise, ...]:
    """The questions with numbers of a class's own; none without a seed."""
    if not seed:
        return ()
    from course_lib.exercises.numbers import numbers

    return numbers(lesson, seed)


def assigned(lesson: str, seed: str = "", private: str = "") -> tuple[Exercise, ...]:
    """All that a lesson asks of a class: exercises, questions, and private checks.

    private is a Python file with CHECKS, a dict from an exercise's id to its Checks.
    Raises Problem for a file that has none, or names an exercise that isn't there.
    """
    every = exercises(lesson) + class_questions(lesson, seed)
    secret = private_checks(private, lesson, every) if private else {}
    return tuple(
        replace(one, checks=one.checks + tuple(secret.get(one.id, ()))) for one in every
    )


def private_checks(file: str, lesson: str, every: tuple[Exercise, ...]) -> dict:
    """A teacher's own checks: exercise id → its Checks."""
    example = 'CHECKS = {"05.softmax": (Check(…),)}'
    try:
        found = dict(runpy.run_path(file)["CHECKS"])
    except Exception as error:  # whatever is in that file
        raise Problem(
            f"{file} gives no checks ({type(error).__name__}: {error}): it must be a "
            f"Python file with {example}."
        ) from error
    there = {one.id for one in every}
    strange = [id for id in found if id.startswith(f"{lesson}.") and id not in there]
    if strange:
        raise Problem(
            f"{file} has checks for {strange[0]!r}, but lesson {lesson} has: "
            f"{', '.join(sorted(there))}."
        )
    return found


def find(id: str) -> Exercise:
    """The exercise with this id; raises KeyError, naming those there are."""
    lesson, _, rest = id.partition(".")
    known = exercises(lesson) + class_questions(lesson, rest.partition("@")[2])
    for exercise in known:
        if exercise.id == id:
            return exercise
    names = ", ".join(exercise.id for exercise in known) or "none"
    raise KeyError(f"There is no exercise {id!r}; this lesson has: {names}.")


# What a lesson shows, derived from the reference ------------------------------------


def source(exercise: Exercise) -> str:
    """The answer, as a learner would type it."""
    if exercise.is_function:
        return textwrap.dedent(inspect.getsource(exercise.reference)).strip()
    return f"{exercise.name} = {exercise.reference!r}"


def stub(exercise: Exercise) -> str:
    """The answer with every body taken out: what the learner starts from."""
    if not exercise.is_function:
        return f"{exercise.name} = ..."
    text = source(exercise)
    lines = text.splitlines()
    functions = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.FunctionDef)]
    for function in sorted(functions, key=lambda f: f.lineno, reverse=True):
        has_docstring = ast.get_docstring(function) is not None
        first = function.body[1 if has_docstring else 0]
        indent = " " * first.col_offset
        lines[first.lineno - 1 : function.end_lineno] = [f"{indent}..."]
    return "\n".join(lines)


def task_text(exercise: Exercise) -> str:
    """The Markdown cell above the stub: title, minutes, rule."""
    minutes = f"{exercise.minutes} minute" + ("s" if exercise.minutes > 1 else "")
    return (
        f"### Exercise: {exercise.title}\n\n"
        f"*{minutes} · `{exercise.id}`*\n\n{exercise.rule.strip()}"
    )


def help_text(exercise: Exercise) -> str:
    """The Markdown cell below the check: a folded hint and a folded answer."""
    hints = "\n".join(f"- {check.hint}" for check in exercise.checks)
    return (
        f"<details><summary>A hint</summary>\n\n{hints}\n\n</details>\n"
        "<details><summary>An answer</summary>\n\n"
        f"```python\n{source(exercise)}\n```\n\n</details>"
    )


# What a learner calls ---------------------------------------------------------------


def check(id: str, answer: Any, seed: int | None = None) -> Any:
    """Check an answer, print a verdict, and return what the lesson should go on with.

    That is the answer if it passes, else the course's own, so that every notebook runs
    to its end. (Nothing needs the answer to a class's own question, so none is given
    away.) Never raises for a wrong answer. The inputs are new at every call.
    """
    exercise = find(id)
    instead, goes_on = exercise.reference, "The lesson goes on with the course's own."
    if exercise.seed:
        instead, goes_on = answer, "The course's own is not shown."
    if not is_started(exercise, answer):
        print(f"○ {id}: not started. {goes_on}")
        return instead
    if exercise.is_function and answer is exercise.reference:
        print(f"○ {id}: this is the course's own. Run your cell above first.")
        return answer
    passed, message = verdict(exercise, answer, seed)
    total = len(exercise.checks)
    if message is None:
        proved = "; ".join(check.proves for check in exercise.checks)
        print(f"✓ {id}: passed, {total} of {total} checks. Yours {proved}.")
        return answer
    print(f"✗ {id}: not yet, {passed} of {total} checks.\n  {message}\n  {goes_on}")
    return instead


def verdict(
    exercise: Exercise, answer: Any, seed: int | None = None
) -> tuple[int, str | None]:
    """How many checks an answer passes, and what is wrong (None if nothing is)."""
    if exercise.is_function and not callable(answer):
        return (
            0,
            f"{exercise.name} is {_a(type(answer))}, not a function. Run the cell above?",
        )
    if borrows(exercise, answer):
        return (
            0,
            "That calls the course's own answer. Write it yourself; a hint is below.",
        )
    failures = [m for _, m in results(exercise, answer, seed) if m is not None]
    return len(exercise.checks) - len(failures), failures[0] if failures else None


def borrows(exercise: Exercise, answer: Any) -> bool:
    """Whether a typed function names the course's own answer, such as sizing.total."""
    if type(answer) is not types.FunctionType:
        return False
    if answer.__module__.startswith("course_lib."):
        return False  # the registry's own wrong answers may
    names, seen = answer.__code__.co_names, answer.__globals__
    rooms = [
        seen[name] for name in names if isinstance(seen.get(name), types.ModuleType)
    ]
    found = [seen.get(name) for name in names]
    found += [vars(room).get(exercise.name) for room in rooms if exercise.name in names]
    return any(thing is exercise.reference for thing in found)


def results(
    exercise: Exercise, answer: Any, seed: int | None = None
) -> list[tuple[Check, str | None]]:
    """Every check with the mistake that it found, None where it found none."""
    seed = secrets.randbits(48) if seed is None else seed
    found, endless = [], None
    for i, check in enumerate(exercise.checks):
        said = endless or run_check(check, answer, source_of_chance(seed + i))
        endless = said if said == ENDLESS else None  # one wait is enough
        found.append((check, said))
    return found


def source_of_chance(seed: int | None = None) -> torch.Generator:
    """What a check draws its inputs from: new ones each time, if no seed is given."""
    return torch.Generator().manual_seed(secrets.randbits(48) if seed is None else seed)


ENDLESS = "It ran for several seconds and was stopped. A loop that never ends?"


def run_check(
    check: Check, answer: Any, generator: torch.Generator, seconds: float | None = None
) -> str | None:
    """Run one check: the mistake in words, or None. What the answer prints is dropped."""
    try:
        with time_limit(seconds or SECONDS), silence():
            check.run(answer, generator)
    except Mistake as mistake:
        return str(mistake)
    except TimeUp:
        return ENDLESS
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a learner's code can raise
        return f"It stopped with {type(error).__name__}: {_where(error, answer)}"
    return None


@contextlib.contextmanager
def silence():
    """Drop what Python code prints, on either stream."""
    nowhere = io.StringIO()
    with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


def _where(error: BaseException, answer: Any) -> str:
    """The error's first line, and the line of the learner's function that raised it."""
    try:
        text = str(error).strip().split("\n")[0]
    except Exception:
        text = "(an error that can't be printed)"
    if type(answer) is not types.FunctionType:
        return text
    text = strays.sentence(error, answer.__code__) or text
    lines = [
        line - answer.__code__.co_firstlineno + 1
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code is answer.__code__
    ]
    return f"{text} (line {lines[-1]} of your function)" if lines else text


def is_started(exercise: Exercise, answer: Any) -> bool:
    """Whether the learner has changed anything in the stub."""
    if answer is ...:
        return False
    if not exercise.is_function:
        return True
    blank = {}
    names = vars(inspect.getmodule(exercise.reference))  # for the stub's annotations
    exec(stub(exercise), dict(names), blank)
    return _code(answer) != _code(blank[exercise.reference.__name__])


def _code(thing: Any) -> list:
    """The instructions of a function, or of all methods of a class (not its source:
    Python can't find the source of a class that was typed into a cell)."""
    if isinstance(thing, type):
        methods = [m for m in vars(thing).values() if inspect.isfunction(m)]
        return [_code(method) for method in methods]
    if type(thing) is not types.FunctionType:
        return [type(thing)]
    code = thing.__code__
    constants = {repr(c) for c in code.co_consts if c not in (thing.__doc__, None, ...)}
    return [code.co_code, code.co_names, constants]


@contextlib.contextmanager
def time_limit(seconds: float):
    """Raise TimeUp in this thread after some seconds, and again if it is swallowed."""
    over, thread = threading.Event(), ctypes.c_ulong(threading.get_ident())
    stop = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def watch():
        wait = seconds
        while not over.wait(wait):
            stop(thread, ctypes.py_object(TimeUp))
            wait = 0.1

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
        stop(thread, None)  # one that is still on its way no longer matters


def points(id: str, answer: Any, private: str = "") -> int:
    """How many points an answer gets: what nbgrader's cells end with. Prints nothing.

    COURSE_PRIVATE_CHECKS names a file with further checks, as in `assigned`.
    """
    private = private or os.environ.get("COURSE_PRIVATE_CHECKS", "")
    every = assigned(id[:2], find(id).seed, private)
    exercise = next(one for one in every if one.id == id)
    started = is_started(exercise, answer) and answer is not exercise.reference
    if not started or (exercise.is_function and not callable(answer)):
        return 0
    if borrows(exercise, answer):
        return 0
    found = results(exercise, answer)
    return sum(check.points for check, said in found if said is None)


def hint(id: str) -> None:
    """Print the hints of an exercise, one for each check."""
    for check in find(id).checks:
        print(f"{check.name}: {check.hint}")


def solution(id: str) -> None:
    """Print the course's own answer; for a class's own question, that there is none."""
    exercise = find(id)
    none = "Your class's numbers have no answer here: work them out, or ask."
    print(none if exercise.seed else source(exercise))


def predict(guess: Any, measured: Any, unit: str = "") -> None:
    """Hold a guess, made before the cell ran, against what was measured.

    A number is right if it is within a fifth of the truth; anything else must be equal.
    """
    shown = f"{measured:.3g}" if isinstance(measured, float) else f"{measured}"
    told = f"Measured: {shown}{unit}."
    if guess is ... or guess is None:
        print(f"{told} (You made no guess: replace the ... above and run both again.)")
    elif isinstance(guess, int | float) and isinstance(measured, int | float):
        if guess != guess:  # NaN, and nothing else
            print(f"{told} Your guess is not a number.")
        elif (
            min(0.8 * measured, 1.2 * measured)
            <= guess
            <= max(0.8 * measured, 1.2 * measured)
        ):
            print(f"{told} Your guess, {guess}{unit}, is close.")
        else:
            way = "too high" if guess > measured else "too low"
            print(f"{told} Your guess, {guess}{unit}, is {way}.")
    else:
        fits = str(guess).strip().lower() == str(measured).strip().lower()
        print(f"{told} You said {guess!r}: " + ("right." if fits else "not this time."))


# What the checks are written with ---------------------------------------------------


def whole(generator: torch.Generator, low: int, high: int) -> int:
    """A random whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (1,), generator=generator))


def want_type(value: Any, kind: type, what: str) -> None:
    """Demand exactly this type: an object made to equal everything does not pass."""
    if value is None:
        raise Mistake(f"{what} is None. Does every path of the function end in return?")
    if type(value) is not kind:
        raise Mistake(f"{what} is {_a(type(value))}; it should be {_a(kind)}.")


def _a(kind: type) -> str:
    vowel = kind.__name__[0] in "aeiou" or kind.__name__ == "ndarray"
    return ("an " if vowel else "a ") + kind.__name__


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
