"""The form of an exercise: likely mistakes as edits, and a check that knows them.

A likely mistake is written once: what is changed in the course's own answer, and the
sentence that a learner reads. From that follow the wrong answer that the tests give and
the guess that a check makes. A check is cases and an oracle from outside: an answer that
does on every case what a mistake does is told the mistake's sentence; any other is shown
the call, what came of it, and how that differs.
"""

import inspect
import itertools
import linecache
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from course_lib.exercises.compare import (
    called,
    copies,
    difference,
    same,
    shown,
    size,
    words_of,
)
from course_lib.exercises.kinds import Mistake, Wrong

_edits = itertools.count()
TRIES = 6  # draws, before one is taken on which two mistakes look alike
TRIALS = 3  # draws that show how many mistakes can be told apart


def edited(function: Callable, *edits: tuple[str, str]) -> Callable:
    """A function with some of its text replaced: edited(f, ("a + b", "a - b")).

    Raises ValueError for a text that does not stand there exactly once.
    """
    text = textwrap.dedent(inspect.getsource(function))
    for old, new in edits:
        if text.count(old) != 1:
            raise ValueError(
                f"{function.__name__} has {old!r} {text.count(old)} times."
            )
        text = text.replace(old, new)
    space = dict(vars(inspect.getmodule(function)))
    name = f"<course_lib: {function.__name__}, edited {next(_edits)}>"
    linecache.cache[name] = len(text), None, text.splitlines(True), name
    exec(compile(text, name, "exec"), space)  # and inspect finds its source
    return space[function.__name__]


def mistakes(function: Callable, *rows: tuple) -> tuple[Wrong, ...]:
    """Likely mistakes in an answer. A row: name, sentence, then (old, new) edits.

    In the place of the edits there may be one function, where an edit can't say it; in
    the place of the sentence `...`, for that of the row before.
    """
    found = []
    for name, words, *how in rows:
        words = found[-1].words if words is ... else words
        answer = how[0] if callable(how[0]) else edited(function, *how)
        found.append(Wrong(name, answer, words))
    return tuple(found)


def instead(right: str, wrong: dict[str | tuple[str, ...], str]) -> list[tuple]:
    """Rows of mistakes for what may stand in the place of some text: each, its sentence.

    Several texts may share a sentence: {("a / c", "b / c"): "It divides by c."}.
    """
    return [
        (text or f"without {right.strip()}", words, (right, text))
        for texts, words in wrong.items()
        for text in ([texts] if isinstance(texts, str) else texts)
    ]


def agrees(
    oracle: Callable,
    cases: Callable[[torch.Generator], list[tuple]],
    wrong: tuple[Wrong, ...],
    tolerance: float = 1e-4,
    look: Callable[[Any], Any] = lambda value: value,
    after: bool | Callable[[tuple], Any] = False,
    why: Callable[[tuple, Any, Any], str] | None = None,
    shows: str | Callable[..., str] = "{}",
) -> Callable[[Any, torch.Generator], None]:
    """Make a check: on all cases, lists of arguments, the answer does as the oracle.

    What counts is what `look` sees of the value (or the Mistake it raises), the error, and with `after` also what
    is left of the arguments, or what it sees of them, where changing them is the task.
    Cases are drawn again until all mistakes that they can tell apart are told apart.
    `why` says what parts a wrong value from the right one of its type, where numbers
    are only labels.
    `shows` is how the call is written with what `look` does: "{}.sum(-1)"; or a function
    of the arguments, which writes it all.
    """
    check = Agreement(oracle, cases, wrong, tolerance, look, after, why, shows)
    return check.run


@dataclass
class Agreement:
    """A check made of cases, an oracle, and mistakes; see `agrees`."""

    oracle: Callable
    cases: Callable
    wrong: tuple[Wrong, ...]
    tolerance: float
    look: Callable
    after: bool | Callable
    why: Callable | None = None
    shows: str | Callable[..., str] = "{}"
    kinds: int = field(default=0, init=False)  # how many mistakes cases tell apart
    last: tuple = field(default=(b"", ()), init=False)  # a chance, and what it drew

    def run(self, answer: Callable, generator: torch.Generator) -> None:
        """Raise Mistake, or the answer's own error, unless it does as the oracle."""
        given, right, others = self.draw(generator)
        did = self.all_of(answer, given)
        if same(did, right, self.tolerance):
            return
        for one, theirs in zip(self.wrong, others):
            if same(did, theirs, self.tolerance):
                raise Mistake(one.words)
        self.explain(answer, given, did, right)

    def all_of(self, function: Callable, given: list[tuple]) -> list:
        """What a function does on every case."""
        return [self.behaviour(function, inputs) for inputs in given]

    def behaviour(self, function: Callable, inputs: tuple) -> tuple:
        """What a function makes of copies of its arguments, and leaves of them."""
        inputs = copies(inputs)
        # What is in a list now, even if the answer empties it.
        held = tuple(one[:] if type(one) is list else one for one in inputs)
        try:
            value = self.look(function(*inputs))
        except Exception as error:
            text = words_of(error).split(" (line ")[0]  # the sandbox adds the line
            value = Failed(type(error).__name__, text)
        left = self.after(held) if callable(self.after) else inputs
        return value, left if self.after else None

    def draw(self, generator: torch.Generator) -> tuple[list, list, list]:
        """Cases, what the oracle does on them, and what each mistake does.

        The same chance draws the same, so for a second answer nothing is run again.
        """
        chance = generator.get_state().numpy().tobytes() if generator else b""
        if not chance or self.last[0] != chance:
            self.last = chance, self.fresh(generator)
        return self.last[1]

    def fresh(self, generator: torch.Generator) -> tuple[list, list, list]:
        """The same, drawn until all mistakes that can be told apart are told apart."""
        if not self.kinds:
            seeds = (torch.Generator().manual_seed(seed) for seed in range(TRIALS))
            self.kinds = max(self.count(*self.once(seed)[1:]) for seed in seeds)
        for _ in range(TRIES):
            drawn = self.once(generator)
            if self.count(*drawn[1:]) >= self.kinds:
                break
        return drawn

    def once(self, generator: torch.Generator) -> tuple[list, list, list]:
        given = self.cases(generator)
        right = self.all_of(self.oracle, given)
        return given, right, [self.all_of(one.answer, given) for one in self.wrong]

    def count(self, right: list, others: list) -> int:
        """How many mistakes are told apart from the right answer and from other words."""
        found, count = [("", right)], 0
        for one, did in zip(self.wrong, others):
            known = (words for words, kind in found if same(did, kind, self.tolerance))
            words = next(known, None)
            found += [(one.words, did)] if words is None else []
            count += words in (None, one.words)
        return count

    def call(self, answer: Callable, inputs: tuple, looked: bool = False) -> str:
        """The call as it is shown; with what `look` does, if the value was looked at."""
        if callable(self.shows):
            return self.shows(*inputs)
        return (self.shows if looked else "{}").format(called(answer.__name__, inputs))

    def explain(self, answer: Callable, given: list, did: list, right: list) -> None:
        """Say how the smallest case differs, where no likely mistake does the same."""
        failed = [
            (inputs, ours, wanted)
            for inputs, ours, wanted in zip(given, did, right)
            if not same(ours, wanted, self.tolerance)
        ]
        inputs, (value, after), (wanted, before) = min(
            failed, key=lambda row: (size(row[0]), len(shown(row[0])))
        )
        call = self.call(answer, inputs)
        if isinstance(value, Failed) and not isinstance(wanted, Failed):
            try:
                self.look(answer(*copies(inputs)))
            except Exception as error:  # raised once more, with its line
                error.add_note(call)
                raise
        if not same(value, wanted, self.tolerance):
            alike = type(value) is type(wanted)
            how = self.why(inputs, value, wanted) if self.why and alike else ""
            call = self.call(answer, inputs, alike)
            raise Mistake(told(call, value, wanted, self.tolerance, how))
        seen = getattr(self.after, "__name__", "its arguments").replace("_", " ")
        of_them = "" if seen == "<lambda>" else f" in {seen}"
        raise Mistake(
            f"{call} should leave {shown(before)}{of_them}, and leaves "
            f"{shown(after)}{_because(after, before, self.tolerance)}."
        )


@dataclass(frozen=True)
class Failed:
    """An error in the place of a value."""

    kind: str
    text: str

    def __str__(self):
        return f"{self.kind}: {self.text}"


def told(
    call: str, value: Any, right: Any, tolerance: float = 1e-4, how: str = ""
) -> str:
    """A call, what it gives, what it should give, and how they differ, if that is known.

    Where `how` doesn't say it, the simplest difference does.
    """
    if isinstance(right, Failed):
        return f"{call} gives {shown(value)}; it should raise {right.kind}."
    how = f": {how}" if how else _because(value, right, tolerance)
    end = "" if how.endswith("?") else "."
    return f"{call} gives {shown(value)}; it should give {shown(right)}{how}{end}"


def _because(value: Any, right: Any, tolerance: float) -> str:
    how = difference(value, right, tolerance)
    return f": {how}" if how else ""


def want(value: Any, right: Any, call: str, tolerance: float = 1e-4) -> None:
    """Demand a value, of its type and within a tolerance; else say how it differs."""
    if not same(value, right, tolerance):
        raise Mistake(told(call, value, right, tolerance))


# Inputs that can be shown in full: one decimal each --------------------------------------


def tenths(generator: torch.Generator, *shape: int, most: float = 3.0) -> torch.Tensor:
    """Random numbers with one decimal, from -most to most and none of them 0."""
    steps = round(10 * most)
    size = torch.randint(1, steps + 1, shape, generator=generator)
    sign = torch.randint(2, shape, generator=generator) * 2 - 1
    return size * sign / 10


def whole(generator: torch.Generator, low: int, high: int) -> int:
    """A random whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (1,), generator=generator))


def typed(text: str) -> Callable:
    """A function from its text, by which a call shows it: typed("lambda x: x + 1")."""
    function = eval(compile(text, "<course_lib: typed>", "eval"), {"torch": torch})
    function.__name__ = text
    return function


def pick(generator: torch.Generator, things: list | tuple) -> Any:
    """One of some things, at random."""
    return things[whole(generator, 0, len(things) - 1)]
