"""The command `assignment`, as a teacher types it."""

import csv
import html
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib import __main__ as command_line
from course_lib.cli.parser import parser
from course_lib.files import ROOT
from course_lib.grading import feedback, marking, release
from course_lib.notebooks.cells import path_of
from tests import submissions

NAME = "06_counting_gpt3"


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A released lesson 06."""
    out = tmp_path_factory.mktemp("course")
    release.release("06", out)
    return out


def command(*words, **more):
    return subprocess.run(
        [sys.executable, "-m", "course_lib", "assignment", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        **more,
    )


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["release", "77", "OUT"], 1, "There is no lesson"),
        (["grade", "OUT/nowhere", "OUT/g.csv"], 1, "is not a folder"),
        (["report", "OUT/g.csv"], 1, "holds no grades"),
        (["feedback", "OUT/g.csv", "OUT/pages"], 1, "holds no grades"),
        (["release", "06", "OUT/file"], 1, "is a file"),
        (["grade", "OUT/in", "OUT/in"], 1, "can't be written"),
        (["grade", "OUT/in", "OUT/g.csv", "--lesson", "05"], 1, "of lesson 06"),
        (["grade", "OUT/in", "OUT/g.csv", "--seed", "a b"], 1, "letters and digits"),
        (["list"], 0, NAME),
    ],
)
def test_commands_say_what_to_do(words, status, said, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "in").mkdir()
    shutil.copy(path_of("06"), tmp_path / "in" / "ada.ipynb")
    words = [word.replace("OUT", str(tmp_path)) for word in words]
    assert command_line.run(["assignment", *words]) == status
    assert said in "".join(capsys.readouterr())


@pytest.mark.parametrize("lanes", ["-1", "x", "1.5", "1000"])
def test_lanes_are_a_number(lanes, tmp_path, capsys):
    words = [
        "assignment",
        "grade",
        str(tmp_path),
        str(tmp_path / "g"),
        f"--lanes={lanes}",
    ]
    with pytest.raises(SystemExit):
        command_line.run(words)
    assert "is no number of lanes" in capsys.readouterr().err


PATHS = {
    "release": (["release", "06", "{}/course", "--private={}/mine.py"], "out private"),
    "grade": (["grade", "{}/in", "{}/g.csv", "--private", "{}/mine.py"], "folder table private"),
    "report": (["report", "{}/g.csv"], "table"),
    "feedback": (["feedback", "{}/g.csv", "{}/pages"], "table out"),
}  # fmt: skip


@pytest.mark.parametrize("action", PATHS)
def test_a_path_may_be_of_home_or_of_where_one_is(action, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))  # Windows'
    monkeypatch.chdir(tmp_path)
    words, names = PATHS[action]
    for written, place in (("~", "home"), ("here", "here"), (str(tmp_path), "")):
        given = ["assignment", *(word.replace("{}", written) for word in words)]
        args = vars(parser().parse_args(given))
        for name in names.split():
            assert Path(args[name]).parent == tmp_path / place
    assert not vars(parser().parse_args(["assignment", "release", "06", "x"]))[
        "private"
    ]


def test_release_grade_report_and_feedback_by_command(tmp_path, capsys):
    words = ["assignment", "release", "6", str(tmp_path / "course")]
    assert command_line.run([*words, "--seed", "SPRING"]) == 0
    assert "generate_assignment" in capsys.readouterr().out
    released = tmp_path / "course" / "student" / f"{NAME}.ipynb"
    submissions.hand_in(["right", "half"], released, tmp_path / "in")
    table = tmp_path / "grades.csv"
    done = command("grade", str(tmp_path / "in"), str(table), "--lanes", "1")
    assert done.returncode == 0, done.stderr
    assert "seed SPRING" in done.stdout  # which the notebooks carry
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert int(rows["right"]["points"]) == submissions.ALL
    assert int(rows["right"]["of"]) == submissions.ALL + 2  # the class's question
    assert int(rows["half"]["points"]) == submissions.HALF
    assert rows["half"]["06.largest"] == "0"
    assert command_line.run(["assignment", "report", str(table)]) == 0
    said = capsys.readouterr()
    assert "ignores" not in said.err
    assert table.with_suffix(".png").is_file()
    assert marking.MESSAGES["blank"] in said.out and "2 students, 2 graded." in said.out
    words = ["assignment", "feedback", str(table), str(tmp_path / "pages")]
    assert command_line.run(words) == 0
    assert "2 pages" in capsys.readouterr().out
    page = (tmp_path / "pages" / "half.html").read_text(encoding="utf-8")
    (half,) = [
        one for one in feedback.graded(table)["results"] if one["student"] == "half"
    ]
    for mark in half["marks"]:
        assert mark["message"] == "passed" or html.escape(mark["message"]) in page
