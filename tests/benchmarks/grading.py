"""The grading benchmark: how long a class of 200 takes on this machine.

The class is made of what learners are likely to hand in: right answers, wrong answers
that stand on their own in the exercises' files, and stubs; with a few endless loops and
crashes. There is no peer: nbgrader runs a whole lesson for each student.
"""

import inspect
import os
import random
import tempfile
import time
import types
from collections import Counter
from pathlib import Path

import nbformat

from course_lib.exercises import registry, stubs
from course_lib.exercises.kinds import Exercise
from course_lib.grading import grader, release, report
from course_lib.notebooks import cells
from tests.benchmarks import clock

LESSON, STUDENTS, FEW = "05", 200, 40
TARGET = 5 * 60  # seconds for 200 on two cores
BROKEN = {"loop": "while True:\n        pass", "crash": "import os; os._exit(1)"}
SHARE = {"right": 0.62, "wrong": 0.26, "blank": 0.10, "loop": 0.01, "crash": 0.01}


def measure(full: bool) -> None:
    """Grade a class of 40, or of 200 with `full`; print seconds and what was found."""
    count = STUDENTS if full else FEW
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        kinds = hand_in(count, folder)
        order = grader.Order(folder / "in", folder / "grades.csv", LESSON)
        start, before = time.perf_counter(), used()
        results = grader.grade(order)
        taken = time.perf_counter() - start
        print(f"Lesson {LESSON}: {count} students, {count * len(pools())} answers:")
        print(f"  {dict(kinds)}")
        print(f"  graded in {clock(taken)}, {clock(taken / count)} each;", end=" ")
        print(f"{STUDENTS} at this speed: {taken / count * STUDENTS:.0f} s")
        print(f"  (target: under {TARGET} s; starting takes some seconds of it)")
        print(f"  processor time: {used() - before:.0f} s")
        shut = all(one.shut for one in results)
        print(f"  students' code was {'shut in' if shut else 'left open'}")
        print(report.told(report.outcomes(order.table)))


def used() -> float:
    """Seconds of processor time, of this process and of all that it has waited for."""
    times = os.times()
    return sum(times[:4])


def pools() -> dict[str, list[str]]:
    """Exercise → the sources of wrong answers that need nothing but themselves."""
    return {
        one.id: [text for wrong in one.wrong if (text := alone(one, wrong.answer))]
        for one in registry.exercises(LESSON)
    }


def alone(exercise: Exercise, answer) -> str:
    """A wrong answer's source under the exercise's name; '' if it needs other functions."""
    if type(answer) is not types.FunctionType or answer.__name__ == "<lambda>":
        return ""
    home = vars(inspect.getmodule(answer))
    used = [home.get(name) for name in answer.__code__.co_names]
    modules = (types.ModuleType, type(None))
    if not all(isinstance(one, modules) for one in used) or answer.__closure__:
        return ""
    if any("course_lib" in str(one) for one in used):
        return ""
    return f"{inspect.getsource(answer)}\n\n{exercise.name} = {answer.__name__}"


def hand_in(count: int, folder: Path) -> Counter:
    """Write a class's notebooks; how often each kind of answer is in them."""
    released = release.release(LESSON, folder / "course")[2]
    choose, kinds, wrong = random.Random(0), Counter(), pools()
    for number in range(count):
        notebook = cells.read(released)
        stubs = {one.id: one for one in notebook.cells}
        for exercise in registry.exercises(LESSON):
            kind = choose.choices(list(SHARE), SHARE.values())[0]
            kinds[kind] += 1
            stub = stubs[release.cell_id("stub", exercise)]
            stub.source = written(exercise, kind, wrong[exercise.id], choose)
        path = folder / "in" / f"student-{number:03}.ipynb"
        path.parent.mkdir(exist_ok=True)
        nbformat.write(notebook, path)
    return kinds


def written(
    exercise: Exercise, kind: str, wrong: list[str], choose: random.Random
) -> str:
    """What a student has typed."""
    if kind == "right":
        return stubs.source(exercise)
    if kind == "wrong" and wrong:  # the first mistakes of a file are the likeliest
        return wrong[min(int(choose.expovariate(0.7)), len(wrong) - 1)]
    if kind in BROKEN:
        return f"def {exercise.name}(*args, **named):\n    {BROKEN[kind]}"
    return stubs.stub(exercise)
