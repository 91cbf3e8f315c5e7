"""Grading and its sandbox: nobody gains by cheating, nobody loses by luck."""

import contextlib
import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import psutil
import pytest

from course_lib import classroom
from course_lib.errors import Problem
from course_lib.exercises import registry, run, stubs
from course_lib.files import ROOT
from course_lib.grading import grader, release
from course_lib.notebooks import curriculum
from course_lib.notebooks.cells import path_of, paths, read
from tests import submissions

NAME = "06_counting_gpt3"
NUMBERS = [path.name[:2] for path in paths()]
GRADED = {e.id for number in NUMBERS for e in registry.assigned(number)}
EVERY = [e for n in NUMBERS for e in registry.exercises(n) if e.id in GRADED]
HIDDEN = [str(ROOT / name) for name in grader.HIDDEN]

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="grading forks: not on Windows"),
]


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """What students get of lesson 06."""
    return release.release("06", tmp_path_factory.mktemp("course"))[2]


def cells(exercise, source):
    """A submission with one answer in its place."""
    stub = (release.cell_id("stub", exercise), source)
    return grader.completed([stub], exercise.id[:2])


# Every exercise through the sandbox ----------------------------------------------------


@pytest.mark.parametrize("exercise", EVERY, ids=lambda e: e.id)
def test_the_course_s_answer_gets_all_points(exercise, box):
    found, _ = grader.mark(
        box, exercise, cells(exercise, stubs.source(exercise)), HIDDEN
    )
    assert found.message == "passed" and found.points == found.of


def test_what_lessons_import_is_loaded_before_the_files_are_hidden():
    wanted = set()
    for number in NUMBERS:
        for cell in read(path_of(number)).cells:
            if cell.cell_type == "code":
                found = re.findall(r"(?m)^from course_lib import (.+)", cell.source)
                wanted |= {name.split()[0] for one in found for name in one.split(",")}
                wanted |= set(re.findall(r"(?m)^from course_lib\.(\w+)", cell.source))
    assert len(wanted) > 15
    code = "import sys\nfrom course_lib.grading import sandbox\nsandbox.load()\n"
    code += "print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
    assert {f"course_lib.{n}" for n in wanted} <= set(done.stdout.decode().split())


def test_an_answer_may_import_whatever_a_lesson_may(box):
    names = curriculum.docstrings()
    exercise = classroom.find("08.rate_at")
    mine = [f"from course_lib import {name} as my_{name}" for name in names]
    mine += ["from course_lib import scales", stubs.source(exercise)]
    mine += ["mine = rate_at", "def rate_at(*given):", "    assert scales.best"]
    mine += [f"    assert my_{name}" for name in names] + ["    return mine(*given)"]
    found, _ = grader.mark(box, exercise, cells(exercise, "\n".join(mine)), HIDDEN)
    assert found.message == "passed" and found.points == found.of


@pytest.mark.parametrize("exercise", EVERY, ids=lambda e: e.id)
def test_a_wrong_answer_gets_the_words_that_its_learner_saw(exercise, box, monkeypatch):
    """The first one of each exercise; tests/slow takes more."""
    gets_its_words(exercise, box, monkeypatch, range(1))


def gets_its_words(exercise, box, monkeypatch, rows):
    """Grade some of an exercise's likely mistakes, and read what was said of them."""
    # These answers call the course's own, which is away while others are graded.
    monkeypatch.setattr(grader, "place_of", lambda exercise: "")
    # A name that no lesson has: the slice would bring that too.
    own = f"from course_lib.exercises import lesson_{exercise.id[:2]} as ALL_OF_IT"
    for i in rows:
        wrong = exercise.wrong[i]
        pick = f"next(e for e in ALL_OF_IT.EXERCISES if e.id == {exercise.id!r}).wrong[{i}]"
        source = f"{own}\n{exercise.name} = {pick}.answer"
        found, _ = grader.mark(box, exercise, cells(exercise, source), [])
        assert found.points < found.of
        assert wrong.words in found.message, wrong.name


@pytest.mark.parametrize("number", NUMBERS)
def test_a_class_s_question_is_graded(number, box):
    (question,) = registry.class_questions(number, "SPRING")
    right = f"{question.name} = {question.reference!r}"
    assert grader.mark(box, question, cells(question, right), HIDDEN)[0].points == 2
    for wrong in question.wrong:
        source = f"{question.name} = {wrong.answer!r}"
        found, _ = grader.mark(box, question, cells(question, source), HIDDEN)
        assert found.points == 0 and found.message == wrong.words


# What students hand in ----------------------------------------------------------------


def test_students_do_not_see_each_other_unless_python_itself_is_there(
    tmp_path, monkeypatch
):
    (tmp_path / "in").mkdir()
    asked = []
    monkeypatch.setattr(grader, "ProcessPoolExecutor", lambda *args: Pool(asked))
    for folder, there in ((tmp_path / "in", True), (ROOT, False), (Path("/"), False)):
        order = grader.Order(folder, tmp_path / "grades.csv", "06")
        list(grader.lanes(order, {"Ada": folder}))
        assert (str(folder.resolve()) in asked.pop()) is there


class Pool:
    """Takes note of what would be hidden, and grades nothing."""

    def __init__(self, asked):
        self.asked = asked

    def submit(self, task, who, path, order, hidden):
        self.asked.append(hidden)
        done = Future()
        done.set_result(None)
        return done

    def shutdown(self, wait, cancel_futures):
        pass


def test_every_kind_of_submission_gets_the_grade_stated_beforehand(released, tmp_path):
    submissions.hand_in(list(submissions.KINDS), released, tmp_path / "in")
    order = grader.Order(tmp_path / "in", tmp_path / "grades.csv", "06")
    results = grader.grade(order)
    assert {one.student: one.points for one in results} == submissions.OURS
    with order.table.open(newline="") as file:
        table = {row["student"]: int(row["points"]) for row in csv.DictReader(file)}
    assert table == submissions.OURS
    told = {
        one.student: next(m.message for m in one.marks if m.exercise == "06.total")
        for one in results
    }
    assert told["loop"] == run.ENDLESS
    assert told["crash"] == grader.MESSAGES["crash"]
    assert "MemoryError" in told["memory"]
    assert told["empty"] == grader.MESSAGES["blank"]


def test_a_second_run_grades_nobody_twice(released, tmp_path, monkeypatch, capsys):
    submissions.hand_in(["right", "half"], released, tmp_path / "in")
    order = grader.Order(tmp_path / "in", tmp_path / "grades.csv", "06", lanes=1)
    first = grader.grade(order)
    before = order.table.read_bytes()
    monkeypatch.setattr(grader, "lanes", lambda order, todo: iter(refuse(todo)))
    assert grader.grade(order) == first and order.table.read_bytes() == before
    assert "2 of 2 are graded already" in capsys.readouterr().out
    with order.record.open("a") as record:
        record.write('{"student": "right", "ma')  # a kill cut it short
    assert grader.grade(order) == first
    path = tmp_path / "in" / "half" / f"{NAME}.ipynb"
    path.write_text(path.read_text() + " ")
    with pytest.raises(AssertionError, match="half"):
        grader.grade(order)


def refuse(todo):
    assert not todo, f"{list(todo)} would be graded again"
    return []


def test_ctrl_c_loses_no_grade(released, tmp_path):
    kinds = ["right", "half", "empty", "unusual"]
    submissions.hand_in(kinds, released, tmp_path / "in")
    table = tmp_path / "grades.csv"
    words = [sys.executable, "-m", "course_lib", "assignment", "grade"]
    words += [tmp_path / "in", table, "--lanes", "1"]
    running = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    record = table.with_suffix(".jsonl")
    until = time.monotonic() + 120
    while not (record.is_file() and record.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    family = psutil.Process(running.pid)
    for process in [family, *family.children(recursive=True)]:  # as a terminal does
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=120)
    assert running.returncode != 0 and "Traceback" not in said
    done = {json.loads(line)["student"] for line in record.read_text().splitlines()}
    assert 0 < len(done) < len(kinds) and not table.exists()
    again = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert f"{len(done)} of 4 are graded already" in again.stdout
    lines = [json.loads(x)["student"] for x in record.read_text().splitlines()]
    assert sorted(lines) == sorted(kinds)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty", b""),
        ("text", b"dear teacher"),
        ("json", b'{"cells": 3}'),
        ("bytes", bytes(range(256))),
        ("deep", b"[" * 100_000),
    ],
)
def test_a_file_that_is_no_notebook_is_named_and_costs_only_itself(
    name, content, tmp_path
):
    (tmp_path / f"{name}.ipynb").write_bytes(content)
    order = grader.Order(tmp_path, tmp_path / "grades.csv", "06", lanes=1)
    (result,) = grader.grade(order)
    assert result.student == name and "no notebook" in result.problem
    assert "no notebook" in order.table.read_text()


def test_folders_without_submissions_or_with_two_are_refused(tmp_path):
    with pytest.raises(Problem, match="is not a folder"):
        grader.submissions(tmp_path / "none")
    with pytest.raises(Problem, match="no notebook"):
        grader.submissions(tmp_path)
    for name in ("a", "b"):
        path = tmp_path / "Ada" / f"{name}.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
    with pytest.raises(Problem, match="Ada has two notebooks"):
        grader.submissions(tmp_path)


def test_the_lesson_is_read_off_the_checks(released, tmp_path):
    submissions.hand_in(["right", "patched"], released, tmp_path)
    paths = list(grader.submissions(tmp_path).values())
    assert grader.lesson_of(paths) == "06"
    (tmp_path / "odd.ipynb").write_text("{}")
    with pytest.raises(Problem, match="--lesson"):
        grader.lesson_of([tmp_path / "odd.ipynb"])


def test_a_name_is_no_formula():
    for sign in "=+-@\t\r":
        assert grader.safe(f"{sign}HYPERLINK(1)") == f"'{sign}HYPERLINK(1)"
    assert grader.safe("Ada") == "Ada"


# What a student's code can't do --------------------------------------------------------

TOTAL = classroom.find("06.total")
TRIES = {
    "a network": "import socket; socket.create_connection(('127.0.0.1', {port}), 2)",
    "a teacher's file": "open({secret!r}).read()",
    "a file to change": "open({victim!r}, 'w').write('0')",
    "another process": "import os; os.kill({pid}, 0)",
    "a file through another process": "open('/proc/{pid}/root' + {secret!r}).read()",
    "how others were started": "open('/proc/{pid}/cmdline').read()",
    "an exercise's file": "import course_lib.exercises.lesson_05",
    "a way back": "import ctypes; c = ctypes.CDLL(None); "
    "assert c.umount2({hidden!r}.encode(), 2) == 0",
}


@pytest.mark.parametrize("shut", [True, False], ids=["shut in", "left open"])
@pytest.mark.parametrize("what", TRIES)
def test_students_code_is_shut_in(what, shut, box, tmp_path, monkeypatch):
    """Left open, the same tries succeed: so it is the shutting that stops them."""
    source = stubs.source(TOTAL)
    if "files" not in grader.mark(box, TOTAL, cells(TOTAL, source), HIDDEN)[1]:
        pytest.skip("this machine has no user namespaces: grade in a container")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "grades").write_text("1.0")
    (tmp_path / "victim").write_text("1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = TRIES[what].format(
            port=server.getsockname()[1],
            secret=str(tmp_path / "secrets" / "grades"),
            victim=str(tmp_path / "victim"),
            pid=os.getpid(),
            hidden=HIDDEN[0],
        )
        tried = f"def total(*args):\n    {line}\n    return 'done'"
        hidden = [*HIDDEN, str(tmp_path / "secrets")]
        before = grader.job_of
        monkeypatch.setattr(
            grader, "job_of", lambda *args: before(*args) | {"isolated": shut}
        )
        found, _ = grader.mark(box, TOTAL, cells(TOTAL, tried), hidden)
    done = "is a str" in found.message
    if what == "a way back":
        assert not done
    else:
        assert done is not shut, found.message
        changed = (tmp_path / "victim").read_text() == "0"
        assert changed is (what == "a file to change" and not shut)


@pytest.mark.parametrize("shut", [True, False], ids=["shut in", "left open"])
def test_nothing_is_left_for_the_next_student(shut, box, monkeypatch):
    """Shut in, the folder goes with the process; left open, it is swept."""
    before = grader.job_of
    monkeypatch.setattr(
        grader, "job_of", lambda *args: before(*args) | {"isolated": shut}
    )
    write = "def total(*a):\n    open('left', 'w').write('x')\n    return 1"
    read = "def total(*a):\n    return open('left').read()"
    grader.mark(box, TOTAL, cells(TOTAL, write), HIDDEN)
    found, _ = grader.mark(box, TOTAL, cells(TOTAL, read), HIDDEN)
    assert "FileNotFoundError" in found.message
