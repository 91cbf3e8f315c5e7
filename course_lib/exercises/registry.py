"""Finds exercises: a lesson's own, a class's questions, a teacher's private checks."""

import importlib
import runpy
import types
from dataclasses import replace

from course_lib.errors import Problem
from course_lib.exercises.kinds import Exercise


def exercises(lesson: str) -> tuple[Exercise, ...]:
    """All exercises of a lesson, such as "00", in order; none if it has no file."""
    try:
        module = importlib.import_module(f"course_lib.exercises.lesson_{lesson}")
    except ModuleNotFoundError:
        return ()
    return module.EXERCISES


def home(exercise: Exercise) -> types.ModuleType:
    """The module in which a lesson's exercise is written."""
    return importlib.import_module(f"course_lib.exercises.lesson_{exercise.id[:2]}")


def class_questions(lesson: str, seed: str) -> tuple[Exercise, ...]:
    """The questions with numbers of a class's own; none without a seed."""
    if not seed:
        return ()
    from course_lib.exercises.class_numbers import numbers

    return numbers(lesson, seed)


def assigned(lesson: str, seed: str = "", private: str = "") -> tuple[Exercise, ...]:
    """All that a lesson asks of a class: exercises, questions, and private checks.

    An exercise that says why it can't be graded is left out.

    private is a Python file with CHECKS, a dict from an exercise's id to its Checks.
    Raises Problem for a file that has none, or names an exercise that isn't there.
    """
    own = tuple(one for one in exercises(lesson) if not one.ungraded)
    every = own + class_questions(lesson, seed)
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
