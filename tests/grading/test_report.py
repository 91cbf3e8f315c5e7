"""What a class made of a lesson: counted, named, drawn."""

import json

import pytest

from course_lib import classroom, figures
from course_lib.errors import Problem
from course_lib.exercises import registry
from course_lib.grading import report
from course_lib.notebooks import cells

NUMBERS = [path.name[:2] for path in cells.paths()]


def test_a_report_counts_and_names_the_mistakes(tmp_path):
    softmax = classroom.find("05.softmax")
    wrong = softmax.wrong[0]
    total = sum(check.points for check in softmax.checks)
    words = ["passed", f"Hm. {wrong.words} So.", wrong.words, "not started", "odd"]
    points = [total, 1, 0, 0, 0]
    results = [
        {"student": said, "problem": "", "marks": [mark("05.softmax", p, total, said)]}
        for p, said in zip(points, words)
    ]
    table = tmp_path / "grades.csv"
    data = {"lesson": "05", "seed": "", "results": results}
    table.with_suffix(".json").write_text(json.dumps(data))
    (found,) = [o for o in report.outcomes(table) if o.exercise == "05.softmax"]
    assert found.shares == [1, 1, 2, 1]
    assert found.mistakes == [(wrong.name, 2), ("odd", 1)]
    text = report.told([found])
    assert wrong.name in text and "05.softmax" in text
    report.picture([found], tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_a_report_begins_with_what_most_found_hard():
    easy = report.Outcome("05.easy", 9, 0, 1, 0, [])
    hard = report.Outcome("05.hard", 1, 0, 9, 0, [])
    text = report.told([easy, hard])
    assert text.index("05.hard") < text.index("05.easy")


def mark(exercise, points, of, message):
    return {"exercise": exercise, "points": points, "of": of, "message": message}


def test_a_report_of_no_grades_says_what_to_give(tmp_path):
    with pytest.raises(Problem, match="assignment grade"):
        report.outcomes(tmp_path / "none.csv")


def test_every_wrong_answer_is_told_by_its_own_name_or_one_with_its_words():
    """(That each mistake is told its words is held in tests/exercises.)"""
    for number in NUMBERS:
        for exercise in registry.exercises(number):
            for wrong in exercise.wrong:
                message = f"Hm. {wrong.words} So."
                name = report.mistake(exercise, message)
                (same,) = [w for w in exercise.wrong if w.name == name]
                assert same.words in message


def test_the_picture_of_nothing_is_drawn():
    assert figures.outcomes({}, ["a", "b", "c", "d"], [], "t")
