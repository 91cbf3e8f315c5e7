"""The command `assignment`, as a teacher types it."""

import csv
import subprocess
import sys

import pytest

from course_lib.files import ROOT
from course_lib.grading import grader, release
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


def test_commands_say_what_to_do(tmp_path):
    done = command("release", "77", str(tmp_path))
    assert done.returncode == 1 and "There is no lesson" in done.stderr
    done = command("grade", str(tmp_path / "nowhere"), str(tmp_path / "g.csv"))
    assert done.returncode == 1 and "is not a folder" in done.stderr
    done = command("report", str(tmp_path / "g.csv"))
    assert done.returncode == 1 and "holds no grades" in done.stderr
    assert "Traceback" not in done.stderr
    done = command("list")
    assert done.returncode == 0 and NAME in done.stdout


def test_release_grade_and_report_by_command(tmp_path):
    done = command("release", "6", str(tmp_path / "course"), "--seed", "SPRING")
    assert done.returncode == 0 and "generate_assignment" in done.stdout
    released = tmp_path / "course" / "student" / f"{NAME}.ipynb"
    submissions.hand_in(["right", "half"], released, tmp_path / "in")
    table = tmp_path / "grades.csv"
    done = command("grade", str(tmp_path / "in"), str(table), "--lanes", "1")
    assert done.returncode == 0, done.stderr
    assert "seed SPRING" in done.stdout  # which the notebooks carry
    with table.open(newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert int(rows["right"]["points"]) == submissions.ALL
    assert int(rows["right"]["of"]) == submissions.ALL + 2  # the class's question
    assert int(rows["half"]["points"]) == submissions.HALF
    assert rows["half"]["06.largest"] == "0"
    done = command("report", str(table))
    assert done.returncode == 0 and "ignores" not in done.stderr
    assert table.with_suffix(".png").is_file()
    assert grader.MESSAGES["blank"] in done.stdout
