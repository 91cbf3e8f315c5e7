"""A page for each student: with a name of its own, and nothing that its reader runs."""

import json

import pytest

from course_lib import classroom
from course_lib.errors import Problem
from course_lib.grading import feedback, report
from course_lib.grading.words import plain

ODD = "<script>x</script>"
TOTAL = classroom.find("06.total")


def graded(folder, *students, said="passed", problem=""):
    """A table of grades in which all got the same."""
    checks = {check.name: 0 for check in TOTAL.checks} | {ODD: 0}
    mark = {
        "exercise": TOTAL.id,
        "points": 0,
        "of": 3,
        "checks": checks,
        "message": said,
    }
    results = [
        {"student": one, "problem": problem, "marks": [mark], "points": 0}
        for one in students
    ]
    data = {"lesson": "06", "seed": "", "results": results}
    (folder / "g.json").write_text(json.dumps(data), encoding="utf-8")
    return folder / "g.csv"


def test_what_students_wrote_is_no_html(tmp_path):
    table = graded(tmp_path, ODD, said=ODD, problem=ODD)
    (page,) = feedback.write(table, tmp_path / "out")
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text and text.count("&lt;script&gt;") == 5


def test_everybody_has_a_file_in_the_folder(tmp_path):
    names = ["Ada", "ada", "a/d/a", "a_d_a", "../ada", "..", "", "ada-2", "Zoë"]
    pages = feedback.write(graded(tmp_path, *names), tmp_path / "out")
    assert {page.parent for page in pages} == {tmp_path / "out"}
    assert len({page.name.lower() for page in pages}) == len(names)  # on a Mac, too
    assert sorted(pages) == sorted((tmp_path / "out").iterdir())


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(Problem, match="is a file"):
        feedback.write(graded(tmp_path, "ada"), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_report_of_grades_from_elsewhere_is_plain(tmp_path):
    odd = "a\x1b[2J\nb"
    table = graded(tmp_path, odd, said=odd, problem=odd)
    assert report.students(table).endswith(f"Not graded: {plain(odd)}: {plain(odd)}")
    assert "\x1b" not in report.told(report.outcomes(table))
