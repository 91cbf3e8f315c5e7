"""What a learner calls in a lesson: choose, predict, check, hint, solution, certificate.

An exercise's reference is the course's own code, so that a learner's answer and the
library are held to the same checks. The exercises are in `course_lib/exercises/`, one
file a lesson; all that a lesson says of one is derived from it.
"""

from typing import Any

from course_lib.exercises.registry import assigned, exercises, find
from course_lib.exercises.run import listening, results, verdict
from course_lib.exercises.stubs import is_started, source
from course_lib.files import progress, setting
from course_lib.guesses import Guess, choose, told

__all__ = [
    "certificate",
    "check",
    "choose",
    "exercises",
    "find",
    "hint",
    "points",
    "predict",
    "solution",
    "verdict",
]


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
    with listening() as ear:
        passed, message = verdict(exercise, answer, seed)
    total = len(exercise.checks)
    if message is None:
        proved = "; ".join(check.proves for check in exercise.checks)
        progress.note(id, "passed")
        print(f"✓ {id}: passed, {total} of {total} checks. Yours {proved}.")
        print(printed(ear.getvalue()), end="")
        return answer
    progress.note(id, "tried", message=message)
    print(f"✗ {id}: not yet, {passed} of {total} checks.\n  {message}")
    print(printed(ear.getvalue()), end="")
    print(f"  {goes_on}")
    return instead


def printed(text: str) -> str:
    """What an answer printed while it was checked, shortened: indented lines, or none."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    shown = [line[:80] + "…" * (len(line) > 80) for line in lines[:3]]
    more = "    …\n" * (len(lines) > 3)
    return "  It printed:\n" + "".join(f"    {line}\n" for line in shown) + more


def points(id: str, answer: Any, private: str = "") -> int:
    """How many points an answer gets: what nbgrader's cells end with. Prints nothing.

    COURSE_PRIVATE_CHECKS names a file with further checks, as in `assigned`.
    """
    private = private or str(setting("COURSE_PRIVATE_CHECKS") or "")
    every = assigned(id[:2], find(id).seed, private)
    exercise = next(one for one in every if one.id == id)
    started = is_started(exercise, answer) and answer is not exercise.reference
    if not started or (exercise.is_function and not callable(answer)):
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


def certificate() -> None:
    """Print which exercises the learner's own code has passed, lesson by lesson.

    That is all a certificate of this course says. It is read from the file that `check`
    keeps beside the learner's copies (see `progress`).
    """
    path = progress.place()
    noted = progress.read(path) if path else []
    passed = {one["id"] for one in noted if one["what"] == "passed"}
    every = {number: exercises(number) for number in (f"{i:02}" for i in range(16))}
    total = sum(map(len, every.values()))
    own = {
        number: [one for one in asked if one.id in passed]
        for number, asked in every.items()
    }
    count = sum(map(len, own.values()))
    print(f"Passed by your own code: {count} of {total} exercises.")
    for number, some in own.items():
        if some:
            names = ", ".join(one.name for one in some)
            print(f"  {number}: {names} ({len(some)} of {len(every[number])})")
    if not count:
        print(
            "So this certificate is empty, for now. What passes in your own copies\n"
            "(`python -m course_lib lab`) is kept in a file beside them, and stands here."
        )


def predict(id: str, guess: Any, measured: Any, unit: str = "") -> None:
    """Print what was measured beside a guess that was made before the cell ran.

    guess: what `choose` returned, or a number or words; `...` is no guess. A number is
    close if it is within a fifth of what was measured; words must be the same.
    """
    if isinstance(guess, Guess):
        guess.measured, guess = str(measured), guess.chosen
    print(told(id, guess, measured, unit))
