"""`assignment grade` killed at its worst moments, and on a machine without bubblewrap."""

import collections
import contextlib
import csv
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from course_lib.files import ROOT
from course_lib.grading import release, rooms
from tests import submissions

SUBREAPER = 36  # prctl.h: whose parent ended is the child of this process then
COUNT = 20
KINDS = ("right", "half", "empty", "unusual", "noisy", "renamed", "unchecked", "forged")
SHARED = Path("/dev/shm")

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="processes as Linux has them"),
]


def command(folder, *words, **more):
    """The words of `assignment grade`, with a folder of its own for what is temporary."""
    (folder / "tmp").mkdir(exist_ok=True)
    env = os.environ | {"TMPDIR": str(folder / "tmp"), "PYTHONPATH": str(ROOT)} | more
    line = [sys.executable, "-m", "course_lib", "assignment", "grade", *words]
    return {"args": [str(word) for word in line], "cwd": folder, "env": env}


@pytest.fixture(scope="module")
def handed_in(tmp_path_factory):
    """A class of twenty, in lesson 06; each kind of submission several times."""
    folder = tmp_path_factory.mktemp("class")
    notebook = nbformat.read(release.release("06", folder / "c")[2], as_version=4)
    made = [submissions.made(kind, notebook) for kind in KINDS]
    (folder / "in").mkdir()
    for i in range(COUNT):
        nbformat.write(made[i % len(made)], folder / "in" / f"student{i:02}.ipynb")
    return folder / "in"


@pytest.fixture
def orphans():
    """What has lost its parent comes to this process; a function says what there is."""
    libc, before = ctypes.CDLL(None), psutil.Process().children()
    libc.prctl(SUBREAPER, 1, 0, 0, 0)

    def found():
        alive = []
        for one in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
                if one.status() == psutil.STATUS_ZOMBIE and one.ppid() == os.getpid():
                    os.waitpid(one.pid, os.WNOHANG)
                elif one not in before:
                    alive.append(one)
        return alive

    yield found
    libc.prctl(SUBREAPER, 0, 0, 0, 0)


def graded(record):
    """The students in a record, one for each line."""
    text = record.read_text() if record.is_file() else ""
    return [json.loads(x)["student"] for x in text.splitlines() if x.endswith("}")]


@pytest.mark.parametrize("unsafe", [False, True], ids=["shut in", "left open"])
def test_five_kills_grade_nobody_twice_lose_nobody_and_leave_nothing(
    unsafe, handed_in, orphans, tmp_path, shut_in
):
    if not unsafe and not shut_in:
        pytest.skip("this machine makes no rooms: see TEACHERS.md")
    words, temporary = (
        [handed_in, "killed.csv"] + ["--unsafe"] * unsafe,
        tmp_path / "tmp",
    )
    how, record = command(tmp_path, *words), tmp_path / "killed.jsonl"
    shared = set(os.listdir(SHARED))
    for moment in ("start", 1, 5, 10, COUNT):
        running = subprocess.Popen(
            **how, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 60
        while time.monotonic() < until:
            if moment == "start" and any(temporary.iterdir()):
                time.sleep(0.5)  # the sandbox is loading
                break
            if moment != "start" and len(graded(record)) >= moment:
                break
            time.sleep(0.005)
        running.send_signal(signal.SIGKILL)
        running.wait()
        until = time.monotonic() + 5
        while (orphans() or any(temporary.iterdir())) and time.monotonic() < until:
            time.sleep(0.05)
        left = [" ".join(one.cmdline()) for one in orphans()]
        assert not left and not list(temporary.iterdir()), moment
        assert set(os.listdir(SHARED)) <= shared
        counts = collections.Counter(graded(record))
        assert max(counts.values(), default=1) == 1, moment
        assert len(counts) >= (0 if moment == "start" else moment)
        assert running.returncode == -signal.SIGKILL or moment == COUNT
    again = subprocess.run(**how, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert f"{COUNT} of {COUNT} are graded already" in again.stdout
    how = command(tmp_path, handed_in, "whole.csv", *words[2:])
    whole = subprocess.run(**how, capture_output=True, text=True)
    assert whole.returncode == 0, whole.stderr
    table = (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "killed.csv").read_bytes() == table
    with (tmp_path / "whole.csv").open(newline="", encoding="utf-8-sig") as file:
        points = {row["student"]: int(row["points"]) for row in csv.DictReader(file)}
    assert points == {
        f"student{i:02}": submissions.OURS[KINDS[i % len(KINDS)]] for i in range(COUNT)
    }
    assert not orphans() and not list(temporary.iterdir())


def test_without_bubblewrap_it_says_the_command_and_grades_only_when_told(tmp_path):
    """PATH has a folder without it; --unsafe then lets a submission read the answers."""
    released = release.release("06", tmp_path / "c")[2]
    submissions.hand_in(["right", "reader"], released, tmp_path / "in")
    notes = tmp_path / "in" / "reader" / released.name
    (tmp_path / "bin").mkdir()
    how = command(tmp_path, "in", "g.csv", PATH=str(tmp_path / "bin"))
    assert not shutil.which("bwrap", path=how["env"]["PATH"])
    done = subprocess.run(**how, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.count("Install it:") == 1 and rooms.install() in done.stderr
    assert "--unsafe" in done.stderr and not (tmp_path / "g.csv").exists()
    notebook = nbformat.read(notes, as_version=4)  # and home, and the record
    submissions.stub(notebook, "total").source = (
        f"text = open({str(tmp_path / 'mine')!r}).read()\n"
        f"open({str(tmp_path / 'mine')!r}, 'w').write('read')\n"
        "total = lambda *a: 0"
    )
    nbformat.write(notebook, notes)
    (tmp_path / "mine").write_text("a letter")
    how["args"].append("--unsafe")
    done = subprocess.run(**how, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "was not shut in (--unsafe): it could read the answers, and" in done.stdout
    assert "read and write what you can" in done.stdout
    with (tmp_path / "g.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert int(rows["right"]["points"]) == submissions.ALL
    assert int(rows["reader"]["06.eight_rows"]) == submissions.POINTS["eight_rows"]
    assert (tmp_path / "mine").read_text() == "read"
