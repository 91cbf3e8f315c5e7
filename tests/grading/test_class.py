"""A class as it comes: odd forms, odd files and attacks, graded in one go.

What each must get is stated here and in tests/hostile.py, before anything is graded.
"""

import csv
import html
import json
import os
import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_output

from course_lib.exercises import registry
from course_lib.files import ROOT
from course_lib.grading import feedback, grader, handed_in, marking, release, report
from tests import hostile
from tests.submissions import ALL, POINTS

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="files of Unix"),
]
CASES = Path(__file__).parent / "cases"
BOTH = ("control_right",)  # eight_rows and total; the others have one of the two
ROWS = ("constant_named_like_a_later_one", "table_by_append", "table_by_item")
FORMS = {path.stem: POINTS["total"] for path in CASES.glob("*.ipynb")}
FORMS |= dict.fromkeys(ROWS, POINTS["eight_rows"])
FORMS |= dict.fromkeys(BOTH, POINTS["eight_rows"] + POINTS["total"])
QUICK = ["forge_failed", "forge_wide", "huge_repr", "lone_surrogate", "escape_codes"]
QUICK += ["leave_sysv_memory", "stay_behind", "fork_many", "crash_at_definition"]
QUICK += ["poison_presets", "smuggle", "reads_the_release", "names_another_lesson"]
QUICK += ["reads_a_classmate"]
LATIN = os.fsdecode(b"M\xfcller")
REFUSED = {  # student → what is said
    "folder": "It is no file",
    "link": "can't be opened",
    "loop": "can't be opened",
    "zero": "It is no file",
    "pipe": "It is no file",
    "deep": "no notebook that can be read",
    "carol": "carol.ipynb.txt is not graded",
    "DORA": "DORA.IPYNB is not graded",
    "emil": "Nothing was handed in",
    "frida": "There are 2 notebooks: frida/06-Copy1.ipynb, frida/06.ipynb",
    "gustav": "There are 2 notebooks",
    "helga": "a notebook of lesson 05",
    "ida": "There are 2 notebooks",
}
GRADES = {**FORMS, **{kind: hostile.GRADES[kind] for kind in QUICK}}
GRADES |= dict.fromkeys(("a_mate", "mate", "z_mate", "large", "M\\xfcller"), ALL)
GRADES |= {"=1+1": 0, "x\\u001b[2J": ALL} | dict.fromkeys(REFUSED, 0)


def hand_in(course: Path, folder: Path) -> None:
    """The whole class's folder, but for what is refused."""
    released = course / "student" / "06_counting_gpt3.ipynb"
    hostile.hand_in(QUICK, released, folder)
    for path in CASES.glob("*.ipynb"):
        shutil.copy(path, folder)
    for name in (LATIN, "x\x1b[2J"):
        shutil.copy(folder / "mate.ipynb", folder / f"{name}.ipynb")
    shutil.copy(released, folder / "=1+1.ipynb")
    large = nbformat.read(folder / "mate.ipynb", as_version=4)
    code = next(one for one in large.cells if one.cell_type == "code")
    code.outputs = [new_output("stream", text="x" * 50_000_000)]
    nbformat.write(large, folder / "large.ipynb")


def odd_files(course: Path, folder: Path) -> None:
    """What is refused, each with its reason."""
    (folder / "folder.ipynb").mkdir()
    (folder / "link.ipynb").symlink_to("/nowhere/x.ipynb")
    (folder / "loop.ipynb").symlink_to("loop.ipynb")
    (folder / "zero.ipynb").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.ipynb")
    (folder / "deep.ipynb").write_bytes(b"[" * 10**6)
    for name in ("carol.ipynb.txt", "DORA.IPYNB", "notes.txt"):
        shutil.copy(folder / "mate.ipynb", folder / name)
    (folder / "emil").mkdir()
    for name in ("frida/06.ipynb", "frida/06-Copy1.ipynb", "gustav/a/x.ipynb"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(folder / "mate.ipynb", folder / name)
    for name in ("gustav.ipynb", "ida.ipynb", "ida/x.ipynb", "ida/.x/y.ipynb"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(folder / "mate.ipynb", folder / name)
    shutil.copy(release.release("05", course / "05")[2], folder / "helga.ipynb")


@pytest.fixture(scope="module")
def order(tmp_path_factory, shut_in):
    """The class, graded."""
    if not shut_in:
        pytest.skip("this machine makes no rooms: see TEACHERS.md")
    place = tmp_path_factory.mktemp("class")
    release.release("06", place)
    hand_in(place, place / "in")
    odd_files(place, place / "in")
    found = handed_in.submissions(place / "in")
    labels = [handed_in.label_of(path) for path in found.notebooks.values()]
    lesson, seed = handed_in.lesson_of(labels), handed_in.seed_of(labels)
    order = grader.Order(place / "in", place / "grades.csv", lesson, seed)
    grader.grade(order, found)
    assert not hostile.left()
    return order


@pytest.fixture(scope="module")
def rows(order):
    with order.table.open(newline="", encoding="utf-8-sig") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_the_class_s_lesson_is_no_single_student_s_word(order):
    assert order.lesson == "06" and order.seed == ""


@pytest.mark.parametrize("student", GRADES)
def test_everybody_gets_the_grade_that_was_stated(student, rows):
    name = f"'{student}" if student.startswith("=") else student
    row = rows[name]
    assert int(row["points"]) == GRADES[student], (row["note"], row)


def test_all_have_a_row_and_what_is_refused_a_reason(rows):
    assert len(rows) == len(GRADES)
    for student, why in REFUSED.items():
        assert why in rows[student]["note"]


def test_what_is_no_notebook_is_named(order):
    assert handed_in.submissions(order.folder).others == ["notes.txt"]


def test_results_are_small_and_plain(order, rows):
    for path in (order.table, order.record, order.table.with_suffix(".json")):
        text = path.read_text("utf-8-sig")
        assert len(text) < 200_000 and "\x1b" not in text
    assert order.table.read_bytes().startswith(b"\xef\xbb\xbf")  # for Excel
    assert not any("\n" in cell for row in rows.values() for cell in row.values())


def test_a_second_run_grades_nobody_again(order, monkeypatch):
    before = order.record.read_bytes()
    monkeypatch.setattr(grader, "lanes", None)
    grader.grade(order)
    assert order.record.read_bytes() == before


def test_the_report_counts_all_and_names_those_with_nothing(order):
    said = report.students(order.table)
    assert said.startswith(
        f"{len(GRADES)} students, {len(GRADES) - len(REFUSED)} graded."
    )
    assert "Nothing handed in: emil." in said
    assert "no exercise begun: =1+1." in said and "frida: There are 2" in said
    assert "\x1b" not in said + report.told(report.outcomes(order.table))


def test_everybody_gets_a_page_with_what_the_checks_said(order, tmp_path):
    pages = feedback.write(order.table, tmp_path / "out")
    assert len(pages) == len(set(pages)) == len(GRADES)
    text = {path.stem: path.read_text(encoding="utf-8") for path in pages}
    assert "<b>21 of 21 points.</b>" in text["mate"]
    total = next(e for e in registry.exercises("06") if e.name == "total")
    assert html.escape(total.checks[0].proves) in text["mate"]
    assert "PermissionError" not in text["mate"] and "no exercise" not in text["emil"]
    data = json.loads(order.table.with_suffix(".json").read_text("utf-8"))
    (one,) = [r for r in data["results"] if r["student"] == "table_by_item"]
    said = {mark["message"] for mark in one["marks"]}
    assert marking.MESSAGES["blank"] in said
    assert "Nothing was handed in" in text["emil"]
    assert str(ROOT) not in text["mate"]
