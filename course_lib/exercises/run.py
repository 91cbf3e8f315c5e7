"""Runs the checks of an exercise on an answer: watched, timed, and in silence.

Whatever a check looks for, an answer must leave its arguments as they were (unless the
task lets it change them), do the same when it is called the same way again, take the
names that the lesson calls its parameters by, and not call the course's own answer.
"""

import contextlib
import contextvars
import ctypes
import inspect
import io
import secrets
import sys
import threading
import time
import traceback
import types
from collections.abc import Callable
from typing import Any

import torch

from course_lib.exercises import strays
from course_lib.exercises.compare import a, copies, same, shown, words_of
from course_lib.exercises.kinds import Check, Exercise, Mistake

SECONDS = 3  # of processor time that an answer may take in a check
MOST_HEARD = 2_000  # letters of what an answer prints
PATIENCE = 20  # times as long a check may take in all, and by the clock
WATCHED = 6  # calls of a check that are made twice
BORROWED = "That calls the course's own answer. Write it yourself; a hint is below."
ENDLESS = "It ran for several seconds and was stopped. A loop that never ends?"
ERRORS = {  # what Python and torch say, and what a learner can do about it
    "unhashable type: 'list'": "a set, and a dict's key, takes tuples: tuple(…)",
    "unhashable type: 'numpy.ndarray'": "a set takes numbers and tuples",
    "failed to unpack the object": "a size is a whole number: / gives 16.0, // gives 16",
    "'float' object cannot be interpreted as an integer": "/ gives 16.0, // gives 16",
    "slice indices must be integers": "/ gives 16.0, // gives 16",
    'is missing the required "forward"': "a list of parts is no part: loop over it",
    "to have the same dtype": "two kinds of numbers meet: .float() makes one of them",
    "same dtype, but got": "two kinds of numbers meet: .float() makes one of them",
    "only one element tensors": "math.sqrt and its kin take a number: torch.sqrt(…)",
    "Boolean value of Tensor": "`if` wants one number: .any(), .all(), or torch.where",
    "call numpy() on Tensor that requires grad": ".detach() first",
    "list indices must be integers or slices, not tuple": "a list has no columns",
    "values to unpack": "the number of axes, or of results, is another",
    "return_types": "sort, max and topk give two things: values and indices",
    "not aligned": "in a @ b, a's last size is b's last but one",
    "core dimension": "in a @ b, a's last size is b's last but one",
    "math range error": "e to a large power is more than a number can hold",
    "only tensors with elements": "one number is wanted, and there are several",
    "a Tensor with": "one number is wanted, and there are several",
    "non-singleton dimension": "an axis was dropped or added: keepdim=True keeps it",
    "shapes cannot be multiplied": "in a @ b, a's last size is b's last but one",
    "cannot be multiplied": "in a @ b, a's last size is b's last but one",
    "modified by an inplace operation": "it changes a number that a slope needs",
    "requires grad": "a number to learn is changed where slopes are kept: no_grad()",
    "maximum recursion depth": "it calls itself too often; a loop has no such limit",
    "NoneType": "something is None: does every path end in return?",
    "is not defined": "is it typed in a cell that was not run?",
}


class TimeUp(BaseException):
    """A check took too long. (No Exception, so that a learner's `except` lets it by.)"""


# A watched answer ----------------------------------------------------------------------


class Watch:
    """Stands before an answer in a check: sees what goes in, comes out, and how long.

    found is the first thing seen that no answer may do; borrowed, whether the course's
    own answer was called.
    """

    def __init__(self, exercise: Exercise, answer: Callable):
        self.exercise, self.answer = exercise, answer
        self.names = names_of(exercise.reference)
        self.own = own_code(exercise) if answer is not exercise.reference else []
        self.found, self.borrowed, self.calls = "", False, 0
        self.clock = clock_of_this_thread()
        self.seconds, self.since = 0.0, None  # of processor time in the answer

    def function(self) -> Callable:
        """The answer, watched, under the name that the lesson gives it."""

        def watched(*args, **named):
            self.calls += 1
            if self.calls > WATCHED or self.found:
                return self.timed(args, named)
            before = copies((args, named))
            try:
                value = self.timed(args, named)
            except Mistake:
                raise
            except Exception:
                self.changed(args, before[0])
                raise
            self.changed(args, before[0])
            self.again(*before, value)
            return value

        watched.__name__, watched.__wrapped__ = self.exercise.name, self.answer
        watched.__doc__ = getattr(self.answer, "__doc__", None)
        return watched

    def timed(self, args: tuple, named: dict) -> Any:
        self.since = self.clock()
        try:
            return self.answer(*args, **named)
        finally:
            self.seconds += self.clock() - self.since
            self.since = None

    def changed(self, args: tuple, before: tuple) -> None:
        """See whether an argument is no longer what it was."""
        for name, now, then in zip(self.names, args, before):
            free = name in self.exercise.may_change or type(now) is torch.Generator
            if not free and not same(now, then):
                self.find(
                    f"{self.exercise.name} changes what it is given: {name} was "
                    f"{shown(then)} and is {shown(now)} afterwards. Later cells still "
                    f"need it: work on a copy{_copy(then)}."
                )

    def again(self, args: tuple, named: dict, value: Any) -> None:
        """Call once more, on copies, parameters by name: the same must come of it."""
        keywords = [name for name in self.names if name in self.exercise.keywords]
        first = self.names.index(keywords[0]) if keywords else len(args)
        if set(self.names[first : len(args)]) <= set(keywords):
            named = named | dict(zip(self.names[first:], args[first:]))
            args = args[:first]
        elif strange := [name for name in keywords if not takes(self.answer, name)]:
            return self.find(self.renamed(strange))
        try:
            with self.looking_out():
                other = self.timed(args, named)
        except TypeError as error:
            if named and "keyword argument" in str(error):
                self.find(self.renamed(list(named)))
            return None
        except Exception:
            return self.find(self.differs("fails"))
        if not same(value, other, 1e-9):
            self.find(self.differs(f"gives {shown(other)}, not {shown(value)}"))

    def renamed(self, names: list[str]) -> str:
        told = " and ".join(f"{name}=…" for name in names)
        return (
            f"A later cell calls {self.exercise.name} with {told}: keep the names of its "
            "parameters."
        )

    def differs(self, how: str) -> str:
        return (
            f"Called twice with the same arguments, the second time it {how}. Does it keep "
            "something between calls, or draw chance from elsewhere? Start anew in each call."
        )

    def find(self, words: str) -> None:
        self.found = self.found or words

    @contextlib.contextmanager
    def looking_out(self):
        """See whether the course's own answer is called, and by whom."""

        def look(frame, event, _):
            if (
                event == "call"
                and any(frame.f_code is one for one in self.own)
                and typed(frame.f_back)
            ):
                self.borrowed = True

        before = sys.getprofile()
        sys.setprofile(look)
        try:
            yield
        finally:
            sys.setprofile(before)


def names_of(reference: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(reference).parameters) if callable(reference) else ()


def takes(function: Callable, name: str) -> bool:
    """Whether a function has a parameter of this name, as far as that can be told."""
    try:
        known = inspect.signature(function).parameters
    except (TypeError, ValueError):  # one that is called in another process
        return True
    return name in known or any(one.kind is one.VAR_KEYWORD for one in known.values())


def own_code(exercise: Exercise) -> list[types.CodeType]:
    """The code of the course's own answer, and of the library's function of its name."""
    rooms = [m for n, m in list(sys.modules.items()) if n.startswith("course_lib.")]
    found = [exercise.reference, *(vars(m).get(exercise.name) for m in rooms if m)]
    return [one.__code__ for one in found if inspect.isfunction(one)]


def typed(frame: types.FrameType | None) -> bool:
    """Whether code that a learner typed is what runs here, or the watch itself."""
    name = frame.f_code.co_filename if frame else ""
    return frame.f_code is Watch.timed.__code__ or not (
        name.startswith("<course_lib: ")
        or "course_lib" in name.replace("\\", "/").split("/")
    )


def _copy(thing: Any) -> str:
    if isinstance(thing, torch.Tensor):
        return ", such as x.clone()"
    return f", such as {type(thing).__name__}(x)" if type(thing) in (list, dict) else ""


# Results -------------------------------------------------------------------------------


def verdict(
    exercise: Exercise, answer: Any, seed: int | None = None
) -> tuple[int, str | None]:
    """How many checks an answer passes, and what is wrong (None if nothing is)."""
    if exercise.is_function and not callable(answer):
        told = f"{exercise.name} is {a(type(answer))}, not a function."
        return 0, f"{told} Run the cell above?"
    found = results(exercise, answer, seed)
    return sum(said is None for _, said in found), first_words(found)


def first_words(found: list[tuple[Check, str | None]]) -> str | None:
    """What the learner reads: a check's own words come before what a watch saw."""
    said = sorted((s for _, s in found if s), key=lambda one: isinstance(one, Seen))
    return str(said[0]) if said else None


class Seen(str):
    """What a watch saw, where a check was content."""


def results(
    exercise: Exercise,
    answer: Any,
    seed: int | None = None,
    fatal: tuple[str, ...] = (ENDLESS,),
) -> list[tuple[Check, str | None]]:
    """Every check with the mistake that it found, None where it found none.

    After a message that is fatal, no further check is tried: one wait is enough.
    """
    seed = secrets.randbits(48) if seed is None else seed
    blind = warm(exercise)
    found, ended = [], None
    for i, check in enumerate(exercise.checks):
        said, seen = ended, None
        if said is None:
            said, seen = watched(exercise, check, answer, source_of_chance(seed + i))
        if seen and seen.borrowed:
            return [(one, BORROWED) for one in exercise.checks]
        if said is None and seen and seen.found and check not in blind:
            said = Seen(seen.found)
        ended = said if said in fatal else None
        found.append((check, said))
    return found


WARM: dict[tuple[Check, ...], tuple[Check, ...]] = {}


def warm(exercise: Exercise) -> tuple[Check, ...]:
    """Run every check once on the course's own answer, outside of any limit.

    So that what is imported late is there before an answer's time runs. Gives the
    checks in which the watch would accuse the course's own answer, and so is no judge.
    """
    if exercise.checks not in WARM:
        blind = []
        for check in exercise.checks if exercise.is_function else ():
            watch = Watch(exercise, exercise.reference)
            with silence(), contextlib.suppress(Exception):
                check.run(watch.function(), source_of_chance(0))
            blind += [check] if watch.found else []
        WARM[exercise.checks] = tuple(blind)
    return WARM[exercise.checks]


def source_of_chance(seed: int | None = None) -> torch.Generator:
    """What a check draws its inputs from: new ones each time, if no seed is given."""
    return torch.Generator().manual_seed(secrets.randbits(48) if seed is None else seed)


def watched(
    exercise: Exercise, check: Check, answer: Any, generator: torch.Generator
) -> tuple[str | None, Watch | None]:
    """One check's mistake, and the watch that stood before the answer."""
    if not exercise.is_function or not callable(answer) or isinstance(answer, type):
        return run_check(check, answer, generator), None
    watch = Watch(exercise, answer)
    return run_check(check, watch.function(), generator, watch), watch


def run_check(
    check: Check, answer: Any, generator: torch.Generator, watch: Watch | None = None
) -> str | None:
    """Run one check: the mistake in words, or None. See `silence` on what is printed."""
    try:
        with time_limit(watch), silence():
            check.run(answer, generator)
    except Mistake as mistake:
        return str(mistake)
    except TimeUp:
        return ENDLESS
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a learner's code can raise
        own = watch.answer if watch else answer
        call = "".join(
            f" The call: {note}" for note in vars(error).get("__notes__", ())
        )
        return f"It stopped with {type(error).__name__}: {where(error, own)}.{call}"
    return None


class Ear(io.StringIO):
    """Keeps the first letters that are printed, and drops the rest."""

    def write(self, text: str) -> int:
        room = MOST_HEARD - self.tell()
        super().write(text[: max(room, 0)])
        return len(text)


EAR = contextvars.ContextVar("EAR", default=None)


@contextlib.contextmanager
def listening():
    """Hear what answers print while they are checked: an Ear."""
    ear = Ear()
    before = EAR.set(ear)
    try:
        yield ear
    finally:
        EAR.reset(before)


@contextlib.contextmanager
def silence():
    """Show nothing of what Python code prints, on either stream; an ear may hear it."""
    ear = EAR.get() or Ear()
    with contextlib.redirect_stdout(ear), contextlib.redirect_stderr(ear):
        yield


def where(error: BaseException, answer: Any, cured: bool = True) -> str:
    """The error's first line, what to do, and the line of the function that raised it."""
    text = words_of(error)
    cures = [cure for known, cure in ERRORS.items() if known in text]
    text += f" ({cures[0]})" if cures and cured else ""
    code = getattr(answer, "__code__", None)  # a method has one too
    if not isinstance(code, types.CodeType):
        return text
    text = strays.sentence(error, code) or text
    lines = [
        line - code.co_firstlineno + 1
        for frame, line in traceback.walk_tb(error.__traceback__)
        if frame.f_code is code
    ]
    return f"{text} (line {lines[-1]} of your function)" if lines else text


# Time ----------------------------------------------------------------------------------


def clock_of_this_thread() -> Callable[[], float]:
    """A clock of this thread's processor time, or else of the process's.

    Other threads can read it, and a busy machine does not make it run.
    """
    if hasattr(time, "pthread_getcpuclockid"):  # not on macOS and Windows
        number = time.pthread_getcpuclockid(threading.get_ident())
        return lambda: time.clock_gettime(number)
    return time.process_time


@contextlib.contextmanager
def time_limit(watch: Watch | None = None):
    """Raise TimeUp in this thread when an answer has computed for too long.

    It is raised again if it is swallowed, and never while a module is being imported.
    """
    over, thread = threading.Event(), threading.get_ident()
    stop = ctypes.pythonapi.PyThreadState_SetAsyncExc
    clock, by_clock = clock_of_this_thread(), time.monotonic
    began, since = clock(), by_clock()

    def is_over() -> bool:
        in_all = clock() - began
        waited = max(in_all, by_clock() - since)
        return used(watch, clock, in_all) > SECONDS or waited > PATIENCE * SECONDS

    def watcher():
        while not over.wait(0.05):
            if is_over() and not importing(thread):
                stop(ctypes.c_ulong(thread), ctypes.py_object(TimeUp))

    other = threading.Thread(target=watcher, daemon=True)
    other.start()
    try:
        yield
    finally:
        over.set()
        try:
            other.join()
        except TimeUp:  # one that was still on its way
            other.join()


def used(watch: Watch | None, clock: Callable, in_all: float) -> float:
    """Seconds that the answer has computed in this check; all of them, if unwatched."""
    if watch is None:
        return in_all
    since = watch.since
    return watch.seconds + (0.0 if since is None else clock() - since)


def importing(thread: int) -> bool:
    """Whether a thread is in the middle of an import."""
    frame = sys._current_frames().get(thread)
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
