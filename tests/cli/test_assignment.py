"""The command `assignment`, as a teacher types it."""

import csv
import subprocess
import sys

import pytest

from course_lib import __main__ as command_line
from course_lib.files import ROOT
from course_lib.grading import marking, release
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
        (["list"], 0, NAME),
    ],
)
def test_commands_say_what_to_do(words, status, said, tmp_path, capsys):
    words = [word.replace("OUT", str(tmp_path)) for word in words]
    assert command_line.run(["assignment", *words]) == status
    assert said in "".join(capsys.readouterr())


def test_release_grade_and_report_by_command(tmp_path, capsys):
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
    assert marking.MESSAGES["blank"] in said.out
