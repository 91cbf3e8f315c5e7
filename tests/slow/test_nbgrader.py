"""A released lesson, graded by nbgrader for real."""

import csv
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from course_lib.files import ROOT
from course_lib.grading import release
from course_lib.notebooks import cells
from tests import submissions

resource = pytest.importorskip("resource")  # not on Windows

NBGRADER = "nbgrader==0.9.6"
NAME = "06_counting_gpt3"
CELL_SECONDS = 40  # longest that a cell of a submission runs, here
MEMORY = 8 * 2**30  # bytes that nbgrader and a kernel may take, here


@pytest.fixture
def course(tmp_path_factory):
    """A released lesson 06."""
    out = tmp_path_factory.mktemp("course")
    release.release("06", out)
    return out


@pytest.fixture(scope="module")
def nbgrader(tmp_path_factory):
    """A function that runs nbgrader, in an environment of its own beside this one."""
    place = tmp_path_factory.mktemp("nbgrader")
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    (site / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    words = [place / "bin" / "pip", "install", "-q", "--no-warn-script-location"]
    done = subprocess.run([*words, NBGRADER], capture_output=True, text=True)
    if done.returncode:
        reason = f"{NBGRADER} could not be installed: {done.stderr.strip()[-200:]}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
        path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
        calm = {"COURSE_OFFLINE": "1", "COURSE_THREADS": "2", "PYTHONPATH": str(ROOT)}
        calm["JUPYTER_PATH"] = str(Path(sys.prefix) / "share" / "jupyter")
        return subprocess.run(
            [place / "bin" / "nbgrader", *arguments],
            cwd=folder,
            env={**os.environ, **calm, "PATH": path},
            capture_output=True,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        )

    return run


@pytest.mark.one
@pytest.mark.timeout(300)
def test_nbgrader_grades_one_as_stated(course, nbgrader):
    grades_as_stated(course, nbgrader, ["half"])


@pytest.mark.timeout(900)
def test_nbgrader_grades_every_kind_as_stated(course, nbgrader):
    grades_as_stated(course, nbgrader, list(submissions.KINDS))


def grades_as_stated(course, nbgrader, kinds: list[str]) -> None:
    """Take so many submissions through the whole of nbgrader: generate to feedback."""
    config = course / "nbgrader_config.py"
    config.write_text(
        release.CONFIG + f"c.ExecutePreprocessor.timeout = {CELL_SECONDS}\n"
    )
    done = nbgrader(course, "generate_assignment", NAME)
    assert done.returncode == 0, done.stderr[-2000:]
    released = course / "release" / NAME / f"{NAME}.ipynb"
    own = cells.read(course / "student" / f"{NAME}.ipynb").cells
    theirs = cells.read(released).cells
    assert [one.source for one in own] == [one.source for one in theirs]

    incoming = course / "incoming"  # a release directory is exchange enough
    submissions.hand_in(kinds, released, incoming)
    for kind in kinds:
        to = course / "submitted" / kind / NAME
        shutil.copytree(incoming / kind, to)
    graded = nbgrader(course, "autograde", NAME)
    feedback = nbgrader(course, "generate_feedback", NAME)
    assert nbgrader(course, "export").returncode == 0
    with (course / "grades.csv").open(newline="") as file:
        found = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    stated = {kind: submissions.THEIRS[kind] for kind in kinds}
    assert found == stated, graded.stderr[-3000:]
    pages = list((course / "feedback").glob(f"*/{NAME}/*.html"))
    died = kinds.count("crash")  # a kernel that died leaves nothing to give feedback on
    assert len(pages) == len(kinds) - died, feedback.stderr[-2000:]


def test_what_students_get_runs_unsolved(course, tmp_path):
    notebook = tmp_path / f"{NAME}.ipynb"
    shutil.copy(course / "student" / notebook.name, notebook)
    words = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env"]
    calm = {"COURSE_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*words, "--nbval-cell-timeout=120", "-p", "no:cacheprovider", notebook],
        env={**os.environ, **calm},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]
