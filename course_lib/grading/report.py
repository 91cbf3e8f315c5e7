"""Say what a class made of a lesson, exercise by exercise: what to look at first."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_lib import figures
from course_lib.exercises import registry
from course_lib.exercises.kinds import Exercise
from course_lib.grading import feedback, handed_in, marking
from course_lib.grading.words import plain


@dataclass
class Outcome:
    """What a class made of one exercise."""

    exercise: str
    passed: int
    partly: int
    wrong: int
    blank: int
    mistakes: list[tuple[str, int]]  # the most frequent, by the names of wrong answers

    @property
    def shares(self) -> list[int]:
        return [self.passed, self.partly, self.wrong, self.blank]


def outcomes(path: Path) -> list[Outcome]:
    """A grade's JSON, exercise by exercise; raises Problem if it is none."""
    data = feedback.graded(path)
    marks = [mark for one in data["results"] for mark in one["marks"]]
    every = registry.assigned(data["lesson"], data["seed"])
    return [
        outcome(one, [mark for mark in marks if mark["exercise"] == one.id])
        for one in every
    ]


def students(path: Path) -> str:
    """Who was graded, who handed in nothing, and what could not be read: sentences."""
    results = feedback.graded(path)["results"]
    nothing = [one for one in results if one["problem"] == handed_in.NOTHING]
    odd = [one for one in results if one["problem"] and one not in nothing]
    blank = [one for one in results if one["marks"] and is_blank(one)]
    count = len(results) - len(nothing) - len(odd)
    lines = [f"{number(len(results), 'student')}, {count} graded."]
    if nothing:
        lines.append(f"Nothing handed in: {named(nothing)}.")
    if blank:
        lines.append(f"Handed in with no exercise begun: {named(blank)}.")
    lines += [
        f"Not graded: {plain(one['student'])}: {plain(one['problem'])}" for one in odd
    ]
    return "\n".join(lines)


def is_blank(result: dict[str, Any]) -> bool:
    return all(mark["message"] == marking.MESSAGES["blank"] for mark in result["marks"])


def named(results: list[dict[str, Any]]) -> str:
    return ", ".join(plain(one["student"]) for one in results)


def number(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)


def outcome(exercise: Exercise, marks: list[dict[str, Any]]) -> Outcome:
    """Count one exercise's marks and name its mistakes."""
    passed = sum(mark["points"] == mark["of"] for mark in marks)
    blank = sum(mark["message"] == marking.MESSAGES["blank"] for mark in marks)
    partly = sum(0 < mark["points"] < mark["of"] for mark in marks)
    missed = [m for m in marks if m["points"] < m["of"]]
    told = [m["message"] for m in missed if m["message"] != marking.MESSAGES["blank"]]
    names = Counter(mistake(exercise, message) for message in told)
    wrong = len(marks) - passed - blank - partly
    return Outcome(exercise.id, passed, partly, wrong, blank, names.most_common(3))


def mistake(exercise: Exercise, message: str) -> str:
    """The name of the wrong answer that gets this message; else how the message begins."""
    for wrong in exercise.wrong:
        if wrong.words in message:
            return wrong.name
    return plain(message, 50)


def told(found: list[Outcome]) -> str:
    """The report as text, the hardest exercise first."""
    lines = [
        "exercise               all  some  none  not started  most frequent mistakes"
    ]
    hardest = sorted(found, key=lambda one: one.passed / max(1, sum(one.shares)))
    for one in hardest:
        counts = f"{one.passed:>4}{one.partly:>6}{one.wrong:>6}{one.blank:>13}"
        names = "; ".join(f"{name} ({count})" for name, count in one.mistakes)
        lines.append(f"{one.exercise:<22}{counts}  {names}".rstrip())
    return "\n".join(lines)


def picture(found: list[Outcome], path: Path) -> None:
    """The report as a PNG file."""
    names = ["all points", "some points", "no points", "not started"]
    counts = {one.exercise: one.shares for one in found}
    notes = [one.mistakes[0][0] if one.mistakes else "" for one in found]
    axis = figures.outcomes(
        counts, names, notes, "What the class made of each exercise"
    )
    path.write_bytes(figures.png(axis))
