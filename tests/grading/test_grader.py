"""Grading and its sandbox: nobody gains by cheating, nobody loses by luck."""

import ast
import contextlib
import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from course_lib import classroom
from course_lib.errors import Problem
from course_lib.exercises import registry, run, stubs
from course_lib.files import ROOT
from course_lib.grading import grader, handed_in, marking, release, sandbox
from course_lib.notebooks import curriculum
from course_lib.notebooks.cells import path_of, paths, read
from tests import conftest, submissions

NAME = "06_counting_gpt3"
NUMBERS = [path.name[:2] for path in paths()]
GRADED = {e.id for number in NUMBERS for e in registry.assigned(number)}
EVERY = [e for n in NUMBERS for e in registry.exercises(n) if e.id in GRADED]
TOTAL = classroom.find("06.total")

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
    return handed_in.told_apart([stub], exercise.id[:2], exercise.seed)


# Every exercise through the sandbox ----------------------------------------------------


@pytest.mark.parametrize("exercise", EVERY, ids=lambda e: e.id)
def test_the_course_s_answer_gets_all_points(exercise, box):
    found = marking.mark(box, exercise, cells(exercise, stubs.source(exercise)))
    assert found.message == "passed" and found.points == found.of


def test_what_lessons_import_is_loaded_before_the_files_are_hidden():
    wanted = set()
    for number in NUMBERS:
        for cell in read(path_of(number)).cells:
            if cell.cell_type == "code":
                for node in ast.walk(ast.parse(cell.source)):
                    if isinstance(node, ast.ImportFrom) and node.module == "course_lib":
                        wanted |= {one.name for one in node.names}
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
    found = marking.mark(box, exercise, cells(exercise, "\n".join(mine)))
    assert found.message == "passed" and found.points == found.of


OPERATIONS = """
    x = torch.rand(64, 64).softmax(-1)
    for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        y = x.to(kind) @ x.to(kind).T
        F.scaled_dot_product_attention(*[y[None, None]] * 3)
        F.conv2d(y[None, None], y[None, None, :3, :3])
    torch.linalg.svd(x), torch.linalg.solve(x, x), torch.fft.fft(x), x.multinomial(2)
    torch.nn.LSTM(64, 4)(x), torch.einsum("ij,jk", x, x), x.sort(), x.logsumexp(0)
    np.linalg.svd(x.numpy()), np.fft.fft(x.numpy()), np.random.default_rng(0).normal()
    z = torch.nn.Parameter(x.clone())
    F.cross_entropy(z, x).backward()
    torch.optim.AdamW([z]).step()
    import matplotlib.pyplot as plt, subprocess, tempfile
    plt.plot([1, 2]), plt.savefig("x.png"), plt.show()
    tempfile.NamedTemporaryFile().write(b"x")
    assert subprocess.run(["ls"], capture_output=True).stdout
"""


def test_an_answer_may_compute_whatever_torch_can(box):
    """In a room where files are missing that a library may look for at its first call."""
    exercise = classroom.find("06.total")
    mine = "import numpy as np, torch\nfrom torch.nn import functional as F\n"
    mine += stubs.source(exercise).replace("def total", "def right")
    mine += f"\n\ndef total(*a, **k):{OPERATIONS}    return right(*a, **k)"
    found = marking.mark(box, exercise, cells(exercise, mine))
    assert found.message == "passed"


@pytest.mark.parametrize("exercise", EVERY, ids=lambda e: e.id)
def test_a_wrong_answer_gets_the_words_that_its_learner_saw(
    exercise, open_box, monkeypatch
):
    """The first one of each exercise; tests/slow takes more."""
    gets_its_words(exercise, open_box, monkeypatch, range(1))


def gets_its_words(exercise, open_box, monkeypatch, rows):
    """Grade some of an exercise's likely mistakes, and read what was said of them."""
    # These answers call the course's own, which is away while others are graded.
    before = marking.job_of
    monkeypatch.setattr(
        marking, "job_of", lambda *args: before(*args) | {"reference": ""}
    )
    # A name that no lesson has: the slice would bring that too.
    own = f"from course_lib.exercises import lesson_{exercise.id[:2]} as ALL_OF_IT"
    for i in rows:
        wrong = exercise.wrong[i]
        pick = f"next(e for e in ALL_OF_IT.EXERCISES if e.id == {exercise.id!r}).wrong[{i}]"
        source = f"{own}\n{exercise.name} = {pick}.answer"
        found = marking.mark(open_box, exercise, cells(exercise, source))
        assert found.points < found.of
        assert wrong.words in found.message, wrong.name


@pytest.mark.parametrize("number", NUMBERS)
def test_a_class_s_question_is_graded(number, box):
    (question,) = registry.class_questions(number, "SPRING")
    right = f"{question.name} = {question.reference!r}"
    assert marking.mark(box, question, cells(question, right)).points == 2
    for wrong in question.wrong:
        source = f"{question.name} = {wrong.answer!r}"
        found = marking.mark(box, question, cells(question, source))
        assert found.points == 0 and found.message == wrong.words


# What students hand in ----------------------------------------------------------------


def test_every_kind_of_submission_gets_the_grade_stated_beforehand(released, tmp_path):
    submissions.hand_in(list(submissions.KINDS), released, tmp_path / "in")
    order = grader.Order(tmp_path / "in", tmp_path / "grades.csv", "06")
    results = grader.grade(order)
    assert {one.student: one.points for one in results} == submissions.OURS
    with order.table.open(newline="", encoding="utf-8-sig") as file:
        table = {row["student"]: int(row["points"]) for row in csv.DictReader(file)}
    assert table == submissions.OURS
    told = {
        one.student: next(m.message for m in one.marks if m.exercise == "06.total")
        for one in results
    }
    assert told["loop"] == run.ENDLESS
    assert told["crash"] == marking.MESSAGES["crash"]
    assert "MemoryError" in told["memory"]
    assert told["empty"] == marking.MESSAGES["blank"]


def test_a_second_run_grades_nobody_twice(released, tmp_path, monkeypatch, capsys):
    submissions.hand_in(["right", "half"], released, tmp_path / "in")
    order = grader.Order(tmp_path / "in", tmp_path / "grades.csv", "06", lanes=1)
    first = grader.grade(order)
    before = order.table.read_bytes()
    monkeypatch.setattr(grader, "lanes", lambda order, todo, asked: refuse(todo))
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


def test_ctrl_c_and_a_kill_lose_no_grade_and_leave_no_process(released, tmp_path):
    kinds = ["right", "half", "empty", "unusual", "noisy", "renamed"]
    submissions.hand_in(kinds, released, tmp_path / "in")
    table = tmp_path / "grades.csv"
    words = [sys.executable, "-m", "course_lib", "assignment", "grade"]
    words += [tmp_path / "in", table, "--lanes", "1"]
    record = table.with_suffix(".jsonl")
    for sign, count in ((signal.SIGKILL, 1), (signal.SIGINT, 2)):
        running = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 120
        while len(lines(record)) < count and time.monotonic() < until:
            time.sleep(0.02)
        family = psutil.Process(running.pid).children(recursive=True)
        if sign == signal.SIGINT:  # as a terminal does
            for process in family:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(sign)
        running.send_signal(sign)
        _, said = running.communicate(timeout=120)
        assert running.returncode != 0 and "Traceback" not in said
        assert not psutil.wait_procs(family, timeout=20)[1]
        assert count <= len(lines(record)) < len(kinds) and not table.exists()
    done = len(lines(record))
    again = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert f"{done} of {len(kinds)} are graded already" in again.stdout
    assert sorted(lines(record)) == sorted(kinds)


def lines(record):
    """The students in a record, line by line."""
    text = record.read_text() if record.is_file() else ""
    return [json.loads(x)["student"] for x in text.splitlines() if x.endswith("}")]


@pytest.mark.parametrize("how", ["reads nothing", "sends nothing", "sends drops"])
def test_whatever_the_other_side_does_reading_and_writing_end(how):
    mine, theirs = socket.socketpair()
    life, other = socket.socketpair()
    other.send(b"+")  # the room is there
    over, last = threading.Event(), time.monotonic() + 0.5

    def drip():
        theirs.send(b"\0" * 7 + b"\1" + b"\0" * 5)  # a message's head: it will be long
        while how == "sends drops" and not over.wait(0.02):
            theirs.send(b"\1")

    drips = threading.Thread(target=drip)
    drips.start()
    job = {"value": "x" * (10_000_000 if how == "reads nothing" else 1)}
    with mine, theirs, life, other:
        with pytest.raises(run.TimeUp):
            marking.Student(mine, life, job, {}, last)
        over.set()
        drips.join()
    assert time.monotonic() < last + 5


def test_what_an_error_says_of_itself_is_two_plain_texts():
    assert marking.error_in(None) is None
    assert marking.error_in(("X\x1b", "a\nb")) == ("X\\u001b", "a b")
    for odd in (5, "ab", ["a", "b"], ("a",), ("a", 5), (5, "b"), {}):
        assert marking.error_in(odd) == marking.UNREADABLE


def test_whatever_a_submission_brings_about_is_its_own():
    class Odd:
        @contextlib.contextmanager
        def job(self, *given):
            raise ValueError("nobody thought of this")
            yield

    assert marking.mark(Odd(), TOTAL, []).message == marking.MESSAGES["crash"]


def test_of_two_graders_the_second_is_refused(released, tmp_path):
    submissions.hand_in(["empty"], released, tmp_path / "in")
    order = grader.Order(tmp_path / "in", tmp_path / "grades.csv", "06")
    with (
        grader.recording(order),
        pytest.raises(Problem, match="Another `grade` is writing"),
    ):
        grader.grade(order)


@pytest.mark.parametrize(
    "odd", [b"{}", b"3", b"[]", b"null", b"\xff\xfe", b"[" * 10**5]
)
def test_lines_of_a_record_that_are_no_results_are_left_alone(odd, tmp_path):
    order = grader.Order(tmp_path, tmp_path / "grades.csv", "06")
    (tmp_path / "ada.ipynb").write_text("x")
    found = handed_in.submissions(tmp_path)
    good = grader.Result(
        "ada", "ada.ipynb", grader.digest(tmp_path / "ada.ipynb", order)
    )
    order.record.write_bytes(odd)  # a kill cut the line short
    with grader.recording(order) as record:
        record(good)
    assert grader.known(order, found) == {"ada": good}


def test_a_result_is_of_one_file_one_class_and_one_set_of_checks(tmp_path):
    names = ("ada.ipynb", "eva.ipynb", "mine.py", "other.py")
    for name in names:
        (tmp_path / name).write_text(name)
    ada, eva, mine, other = (tmp_path / name for name in names)
    table = tmp_path / "g.csv"
    orders = [grader.Order(tmp_path, table, *more) for more in (("06",), ("05",))]
    orders += [
        grader.Order(tmp_path, table, "06", seed) for seed in ("SPRING", "AUTUMN")
    ]
    orders += [grader.Order(tmp_path, table, "06", "", str(x)) for x in (mine, other)]
    found = {grader.digest(path, order) for path in (ada, eva) for order in orders}
    assert len(found) == 2 * len(orders)


def test_a_table_is_written_whole_or_not_at_all(tmp_path):
    (tmp_path / "g.csv").write_text("whole")
    with pytest.raises(OSError), grader.part(tmp_path / "g.csv") as path:
        path.write_text("ha")
        raise OSError
    assert (tmp_path / "g.csv").read_text() == "whole"


@pytest.mark.parametrize("place", ["none/grades.csv", "in", "shut/grades.csv"])
def test_a_place_that_cannot_be_written_is_told_before_anybody_is_graded(
    place, released, tmp_path, monkeypatch
):
    submissions.hand_in(["empty"], released, tmp_path / "in")
    (tmp_path / "shut").mkdir()
    (tmp_path / "shut" / "grades.jsonl").mkdir()  # root may write anywhere else
    monkeypatch.setattr(grader, "lanes", None)
    order = grader.Order(tmp_path / "in", tmp_path / place, "06")
    with pytest.raises(Problem, match="can't be written"):
        grader.grade(order)


def test_a_full_disk_is_told_and_is_nobody_s_result(released, tmp_path, monkeypatch):
    def full(order, todo, asked):
        raise OSError(28, "No space left on device")
        yield

    submissions.hand_in(["empty"], released, tmp_path / "in")
    monkeypatch.setattr(grader, "lanes", full)
    order = grader.Order(tmp_path / "in", tmp_path / "grades.csv", "06")
    with pytest.raises(Problem, match=r"No space left .+goes on from here"):
        grader.grade(order)


def test_a_copy_that_hangs_or_dies_costs_one_submission(
    released, tmp_path, monkeypatch, shut_in
):
    before = grader.grade_one

    def odd(box, path, order):
        found = before(box, path, order)
        yield next(found)
        if path.stem == "hangs":
            while True:
                time.sleep(1)
        if path.stem == "dies":
            os.abort()
        if path.stem == "shouts":
            yield {"mark": "x" * 2 * grader.LINE}
        if path.stem == "eats":
            bytearray(2 * grader.MEMORY)
        yield from found

    submissions.hand_in(["right"], released, tmp_path / "in")
    folder = tmp_path / "in"
    odd_ones = ["hangs", "dies", "shouts", *["eats"] * (sys.platform == "linux")]
    for name in odd_ones:
        shutil.copy(folder / "right" / f"{NAME}.ipynb", folder / f"{name}.ipynb")
    monkeypatch.setattr(grader, "grade_one", odd)
    monkeypatch.setattr(marking, "TOGETHER", 15)
    monkeypatch.setattr(grader, "GRACE", 0)
    order = grader.Order(folder, tmp_path / "grades.csv", "06", unsafe=not shut_in)
    found = {one.student: one for one in grader.grade(order)}
    assert found["right"].points == submissions.ALL
    for name in odd_ones:
        assert found[name].points == submissions.POINTS["eight_rows"], name
        assert len(found[name].marks) == len(submissions.POINTS)


def test_a_submission_has_its_time_and_no_more(box):
    loop = cells(TOTAL, f"def total(*a):\n    {submissions.LOOP.replace(chr(10), ' ')}")
    began = time.monotonic()
    assert marking.mark(box, TOTAL, loop, began + 2).message == run.ENDLESS
    assert time.monotonic() - began < marking.SECONDS
    said = marking.mark(box, TOTAL, loop, began).message
    assert said == marking.MESSAGES["late"]


ODD = {
    "empty": b"",
    "text": b"dear teacher",
    "json": b'{"cells": 3}',
    "bytes": bytes(range(256)),
    "deep": b"[" * 100_000,
    "cells": b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": 5}]}',
}


def test_a_file_that_is_no_notebook_is_named_and_costs_only_itself(tmp_path):
    for name, content in ODD.items():
        (tmp_path / f"{name}.ipynb").write_bytes(content)
    order = grader.Order(tmp_path, tmp_path / "grades.csv", "06", lanes=1)
    results = grader.grade(order)
    assert [one.student for one in results] == sorted(ODD)
    assert all("no notebook" in one.problem and not one.marks for one in results)
    assert order.table.read_text("utf-8-sig").count("no notebook") == len(ODD)


# What a student's code can't do --------------------------------------------------------

TRIES = {
    "a network": "import socket; socket.create_connection(('127.0.0.1', {port}), 2)",
    "a socket by its path": "import socket; socket.socket(1).connect({path!r})",
    "a teacher's file": "open({secret!r}).read()",
    "a file to change": "open({victim!r}, 'w').write('0')",
    "another process": "import os; os.kill({pid}, 0)",
    "how others were started": "open('/proc/{pid}/cmdline').read()",
    "the course's files": "open({course!r}).read()",
    "an exercise's file": "import course_lib.exercises.lesson_05",
    "a terminal": "open('/dev/pts/0', 'w').write('x')",
    "memory shared by a key": "import ctypes; c = ctypes.CDLL(None)\n"
    "    i = c.shmget(0x5EC2E7, 4096, 0o1600)\n"
    "    assert i >= 0 and c.shmctl(i, 0, 0) == 0  # and it is gone again",
    "memory in no process": "import os; os.memfd_create('x')",
    "more namespaces": "import os, ctypes; c = ctypes.CDLL(None)\n"
    "    assert c.unshare(0x10000000) == 0 and os.getuid() != 0",
    "the grader's user": "import os; assert os.getuid() == {user} and not {user}",
    "the user's groups": "import os; assert 0 in (os.getgid(), *os.getgroups())",
    "rights over users": "from ctypes import CDLL, c_uint32 as n; c = CDLL(None)\n"
    "    held = (n * 6)()\n"
    "    assert c.capget((n * 2)(0x20080522, 0), held) == 0 and any(held)",
}


@pytest.fixture(scope="module")
def left_open():
    """A sandbox that shuts nothing in."""
    yield from conftest.sandbox(roomy=False)


@pytest.fixture(scope="module")
def listener(tmp_path_factory):
    """A socket that has a path, as tmux and ssh-agent have."""
    path = str(tmp_path_factory.mktemp("s") / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        yield path


def tried(what, box, tmp_path, path):
    """What a `total` that tries this is told: "is a str" if it comes to its end."""
    (tmp_path / "secret").write_text("1.0")
    (tmp_path / "victim").write_text("1")
    (tmp_path / "victim").chmod(0o666)
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = TRIES[what].format(
            port=server.getsockname()[1],
            path=path,
            secret=str(tmp_path / "secret"),
            victim=str(tmp_path / "victim"),
            course=str(ROOT / "course_lib" / "sizing.py"),
            pid=os.getpid(),
            user=os.getuid(),
        )
        source = f"def total(*args):\n    {line}\n    return 'done'"
        return marking.mark(box, TOTAL, cells(TOTAL, source)).message


@pytest.mark.parametrize("what", TRIES)
def test_students_code_is_shut_in(what, shut_in, box, tmp_path, listener):
    if not shut_in:
        pytest.skip("this machine makes no rooms: see TEACHERS.md")
    said = tried(what, box, tmp_path, listener)
    assert "is a str" not in said and "Error" in said
    assert (tmp_path / "victim").read_text() == "1"


@pytest.mark.parametrize("what", [one for one in TRIES if "terminal" not in one])
def test_left_open_the_same_tries_succeed(what, left_open, tmp_path, listener):
    """So it is the shutting that stops them."""
    if "namespaces" in what or ("user" in what and os.getuid()):
        pytest.skip("the machine itself may forbid it")
    assert "is a str" in tried(what, left_open, tmp_path, listener)


LIMITS = {
    "processes": (
        "for _ in range(40):\n        os.fork() or time.sleep(9)",
        "BlockingIO",
    ),
    "open files": (
        "kept = [os.open('/', 0) for _ in range(200)]",
        "Too many open files",
    ),
    "a file": ("open('x', 'wb').write(bytes(17 << 20))", "File too large"),
    "memory": ("x = bytearray(2 << 30)", "MemoryError"),
    "time": (
        "import resource as r; raise ValueError(r.getrlimit(r.RLIMIT_CPU)[1])",
        f"ValueError: {sandbox.CPU_SECONDS}",
    ),
}


@pytest.mark.parametrize("what", LIMITS)
def test_an_answer_takes_no_more_than_it_needs(what, box, shut_in):
    if what == "processes" and not shut_in:
        pytest.skip("this machine makes no rooms: see TEACHERS.md")
    line, said = LIMITS[what]
    source = f"import os, time\ndef total(*a):\n    {line}"
    assert said in marking.mark(box, TOTAL, cells(TOTAL, source)).message


def test_an_answer_finds_nothing_open_and_no_setting_of_the_teacher_s(box, monkeypatch):
    monkeypatch.setenv("TEACHERS_KEY", "secret")
    assert "TEACHERS_KEY" not in marking.environment("/nowhere")
    look = "import os\ndef total(*a):\n    found = []\n    for one in range(4096):\n"
    look += "        try: found.append(os.fstat(one) and one)\n        except OSError: pass\n"
    look += "    raise ValueError(f'open: {found}')"
    found = marking.mark(box, TOTAL, cells(TOTAL, look)).message
    assert "open: [0, 1, 2, 3]" in found  # nothing, thrice, and the line to the grader


def test_left_open_what_an_answer_starts_is_ended_with_it(left_open):
    start = "import subprocess\ndef total(*a):\n"
    start += "    subprocess.Popen(['sleep', '94322'])\n    return 1"
    marking.mark(left_open, TOTAL, cells(TOTAL, start))
    until = time.monotonic() + 5
    while (left := asleep("94322")) and time.monotonic() < until:
        time.sleep(0.05)
    for one in left:
        one.kill()
    assert not left


def asleep(seconds):
    """The processes that sleep for so long."""
    found = psutil.process_iter(["cmdline"])
    return [one for one in found if one.info["cmdline"] == ["sleep", seconds]]


@pytest.mark.parametrize("roomy", [True, False], ids=["shut in", "left open"])
def test_nothing_is_left_for_the_next_student(roomy, box, left_open):
    box = box if roomy else left_open
    write = "def total(*a):\n    open('left', 'w').write('x')\n    return 1"
    read = "def total(*a):\n    return open('left').read()"
    marking.mark(box, TOTAL, cells(TOTAL, write))
    found = marking.mark(box, TOTAL, cells(TOTAL, read))
    assert "FileNotFoundError" in found.message
