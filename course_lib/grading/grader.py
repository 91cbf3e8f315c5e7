"""Grade many submissions of a lesson, each in a process of its own.

`python -m course_lib assignment grade SUBMISSIONS grades.csv`. A student's code runs in
a sandbox (sandbox.py) and is asked for values; points are given here, from plain data.
A submission that loops, crashes or eats memory costs itself an exercise and nothing
else. Every result is written down as it comes, so that a second run goes on from there.
"""

import ast
import atexit
import contextlib
import csv
import hashlib
import inspect
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import nbformat
from tqdm import tqdm

from course_lib.errors import Problem
from course_lib.exercises import kinds, registry, run, stubs
from course_lib.exercises.kinds import Exercise
from course_lib.files import ROOT
from course_lib.grading import sandbox, wire
from course_lib.notebooks.cells import path_of, read, tags

SECONDS = 10  # longest that one check may take, students' waiting included
START = 60  # seconds that a sandbox may take to load torch, once
BUILD = 30  # seconds that a student's definitions may take to run
HIDDEN = ("course_lib", "notebooks", "tests", ".git")  # where the answers are
SUFFIX = ".ipynb"
LARGEST = 20 * 2**20  # bytes of a submission


@dataclass
class Mark:
    """One exercise of one submission."""

    exercise: str
    points: int
    of: int
    checks: dict[str, int]  # check → points
    message: str  # what the learner would see


@dataclass
class Result:
    """One submission: its marks, or why there are none."""

    student: str
    file: str
    digest: str  # SHA-256 of the file, the lesson and its seed
    marks: list[Mark] = field(default_factory=list)
    problem: str = ""
    gone: list[str] = field(default_factory=list)  # what the sandbox had given up
    seconds: float = 0.0

    @property
    def points(self) -> int:
        return sum(mark.points for mark in self.marks)


# Submissions -----------------------------------------------------------------------


def submissions(folder: Path) -> dict[str, Path]:
    """Student → notebook: NAME.ipynb, or the one notebook in a folder NAME/….

    Raises Problem if there are none, or a student has two.
    """
    if not folder.is_dir():
        raise Problem(f"{folder} is not a folder. Give the one with the submissions.")
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        parts = path.relative_to(folder).parts
        if any(part.startswith(".") for part in parts):
            continue
        student = parts[0] if len(parts) > 1 else path.stem
        if student in found:
            raise Problem(
                f"{student} has two notebooks, {found[student].name} and {path.name}. "
                "Keep one in each student's folder, or name files NAME.ipynb."
            )
        found[student] = path
    if not found:
        raise Problem(
            f"There is no notebook in {folder}. Put one for each student there: "
            "NAME.ipynb, or NAME/anything.ipynb."
        )
    return found


def cells_of(path: Path) -> list[tuple[str, str]]:
    """The code cells of a notebook: id and source. Raises Problem if it is none."""
    try:
        if path.stat().st_size > LARGEST:
            raise Problem(f"The file has over {LARGEST // 2**20} MB.")
        notebook = nbformat.reads(path.read_text(encoding="utf-8"), as_version=4)
        code = [one for one in notebook.cells if one.cell_type == "code"]
        return [(str(one.get("id", i)), str(one.source)) for i, one in enumerate(code)]
    except Problem:
        raise
    except Exception as error:  # whatever a file can hold
        raise Problem(
            f"The file is no notebook that can be read ({type(error).__name__}). Ask for "
            "it again, as saved by Jupyter."
        ) from None


def lesson_of(paths: list[Path]) -> str:
    """The lesson that most of the submissions' checks name; raises Problem if none do."""
    votes: dict[str, int] = {}
    for path in paths[:20]:
        with contextlib.suppress(Problem, OSError):
            for _, source in cells_of(path):
                for number in re.findall(r"check\(\s*[\"'](\d\d)\.", source):
                    votes[number] = votes.get(number, 0) + 1
    if not votes:
        raise Problem("No submission says which lesson it is. Name it: --lesson 05.")
    return max(votes, key=votes.get)


# The sandbox, from outside -------------------------------------------------------------


class Gone(Exception):
    """The student's process has ended, or was ended."""


class Sandbox:
    """A process that keeps torch loaded and makes a copy of itself for every job."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="grading-")
        self.control, other = socket.socketpair()
        words = [
            sys.executable,
            "-m",
            "course_lib.grading.sandbox",
            str(other.fileno()),
        ]
        self.process = subprocess.Popen(
            words,
            cwd=self.folder,
            env=environment(self.folder),
            pass_fds=[other.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for the grader
        )
        other.close()
        self.control.settimeout(START)
        try:
            started = self.control.recv(1)
        except TimeoutError:
            started = b""
        if not started:
            self.process.kill()
            said = self.process.stderr.read().decode(errors="replace").strip()
            raise Problem(
                f"The sandbox did not start: {said[-300:] or 'no word'}. Run the same "
                "command again, with --lanes 1 on a busy machine."
            )

    @contextlib.contextmanager
    def job(self, job: dict, kinds: dict[str, type]) -> Iterator["Student"]:
        """A student's process for one job; it is gone afterwards."""
        mine, theirs = socket.socketpair()
        socket.send_fds(self.control, [b"j"], [theirs.fileno()])
        theirs.close()
        pid = int.from_bytes(self.control.recv(8), "big")
        try:
            yield Student(mine, job, kinds)
        finally:
            mine.close()
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    kill(pid, signal.SIGKILL)
            self.control.recv(1)  # it has been waited for
            self.sweep()

    def sweep(self) -> None:
        """Empty the folder that students' code may have written to."""
        for path in Path(self.folder).iterdir():
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def close(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def environment(folder: str) -> dict[str, str]:
    """The few variables that a student's process sees."""
    kept = ("PATH", "LANG", "SYSTEMROOT", "COURSE_CACHE", "LD_LIBRARY_PATH")
    own = {name: os.environ[name] for name in kept if name in os.environ}
    own |= {"HOME": folder, "PYTHONPATH": str(ROOT), "COURSE_OFFLINE": "1"}
    own |= {"MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "MPLCONFIGDIR": folder}
    return own | {"PYTHONDONTWRITEBYTECODE": "1"}


class Student:
    """The student's answer, as something to call. Only plain data comes back."""

    def __init__(self, link: socket.socket, job: dict, kinds: dict[str, type]):
        self.link, self.kinds, self.stream = link, kinds, link.makefile("wb")
        self.until = time.monotonic() + BUILD
        self.table = wire.Table(0, kinds)
        self.send(**job)
        self.gone = self.receive()["gone"]
        first = self.receive()
        self.failed = first.get("failed")  # an error while the cells ran: name, text
        self.kind, self.value = first.get("answer"), first.get("value")

    def read(self, count: int) -> bytes:
        """Exactly so many bytes, before the time is up."""
        parts, left = [], count
        while left:
            if not select.select([self.link], [], [], 0.1)[0]:
                if time.monotonic() > self.until:
                    raise run.TimeUp
                continue
            try:
                part = self.link.recv(min(left, 2**20))
            except OSError:
                part = b""
            if not part:
                raise Gone
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def send(self, **message) -> None:
        try:
            wire.send(self.stream, self.table, message)
        except OSError:
            raise Gone from None

    def receive(self) -> dict[str, Any]:
        try:
            return wire.receive(self.read, self.table)
        except wire.Broken:
            raise Gone from None  # it sent what no honest process sends

    def __call__(self, *args, **named) -> Any:
        """Ask the student's function; its errors are raised here under their names."""
        self.until = time.monotonic() + SECONDS
        self.table = wire.Table(0, self.kinds)
        try:
            self.send(call=args, named=named)
            while "ask" in (message := self.receive()):
                self.answer(message)
        except Gone:
            raise kinds.Mistake(MESSAGES["crash"]) from None
        if "raised" in message:
            raise sandbox.error_of(*message["raised"])
        return message["returned"]

    def answer(self, message: dict) -> None:
        """Call a function that a check handed over, such as a model."""
        try:
            function = self.table.things[message["ask"]]
            value = function(*message["args"], **message["named"])
        except Exception as error:
            said = str(error).strip().split("\n")[0]
            self.send(raised=(type(error).__name__, said))
        else:
            self.send(returned=value)


# Points ----------------------------------------------------------------------------

MESSAGES = {
    "missing": "There is no {name} in the notebook. Was its cell deleted?",
    "blank": "not started",
    "crash": "The process ended while your code ran: it crashed, or took too much memory.",
    "endless": run.ENDLESS,
    "borrowed": "It uses the course's own answer. Write it yourself.",
}
FATAL = (MESSAGES["crash"], MESSAGES["endless"])  # no further check is tried


def job_of(exercise: Exercise, cells: list, hidden: list[str]) -> dict:
    """All that a student's process must know of an exercise: not its answer."""
    others = [e for e in registry.exercises(exercise.id[:2]) if e.id != exercise.id]
    given = [(e.name, place_of(e)) for e in others if place_of(e)]
    kinds = kinds_for(exercise)
    return {
        "cells": cells,
        "stub": f"stub-{exercise.name.replace('_', '-')}",
        "name": exercise.name,
        "blank": stubs.stub(exercise),
        "given": given,
        "reference": place_of(exercise),
        "kinds": [(name, inspect.getsource(kind)) for name, kind in kinds.items()],
        "imports": imports_of(exercise) if kinds else "",
        "hidden": hidden,
        "isolated": True,
    }


def place_of(exercise: Exercise) -> str:
    """Where the library has the answer, such as gpt:scores; '' if it hasn't."""
    if not exercise.is_function:
        return ""
    module = exercise.reference.__module__.removeprefix("course_lib.")
    return f"{module}:{exercise.reference.__name__}" if "." not in module else ""


def imports_of(exercise: Exercise) -> str:
    """The import lines of the exercise's file, for its classes; no exercises among them."""
    tree = ast.parse(inspect.getsource(registry.home(exercise)))
    lines = [
        ast.unparse(n) for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)
    ]
    return "\n".join(line for line in lines if "course_lib.exercises" not in line)


def kinds_for(exercise: Exercise) -> dict[str, type]:
    """The classes of the exercise's own file that its checks hand over."""
    home = vars(registry.home(exercise))
    own = [c for c in home.values() if inspect.isclass(c)]
    return {c.__name__: c for c in own if c.__module__ == home["__name__"]}


def mark(
    box: Sandbox, exercise: Exercise, cells: list, hidden: list[str]
) -> tuple[Mark, list[str]]:
    """One exercise of one submission; and what its process had given up."""
    job, gone = job_of(exercise, cells, hidden), []
    try:
        with box.job(job, kinds_for(exercise)) as student:
            gone = student.gone
            found, message = scored(exercise, student)
    except Gone:
        found, message = {}, MESSAGES["crash"]
    except run.TimeUp:
        found, message = {}, MESSAGES["endless"]
    checks = {check.name: found.get(check.name, 0) for check in exercise.checks}
    total = sum(check.points for check in exercise.checks)
    points = sum(checks.values())
    return Mark(exercise.id, points, total, checks, message), gone


def scored(exercise: Exercise, student: Student) -> tuple[dict[str, int], str]:
    """Check → points, and the message; the checks run here, not where the answer is."""
    if student.failed:
        return {}, failure(exercise, *student.failed)
    if student.kind == "not started":
        return {}, MESSAGES["blank"]
    if exercise.is_function and student.kind != "function":
        return {}, MESSAGES["missing"].format(name=exercise.name)
    answer = student if exercise.is_function else student.value
    results = run.results(exercise, answer, fatal=FATAL)
    points = {check.name: check.points for check, said in results if said is None}
    wrong = run.first_words(results)
    return points, "passed" if wrong is None else borrowed(exercise, wrong)


def failure(exercise: Exercise, name: str, text: str) -> str:
    """What a learner reads whose cells stop before the answer is there."""
    return borrowed(exercise, f"Your cells stopped with {name}: {text}")


def borrowed(exercise: Exercise, text: str) -> str:
    """The message; if it is about the course's own answer, what to do instead."""
    module, _, name = place_of(exercise).partition(":")
    missing = ("has no attribute", "cannot import name")
    if module and repr(name) in text and any(words in text for words in missing):
        return MESSAGES["borrowed"]
    return text


def grade_one(student: str, path: Path, order: "Order", hidden: list[str]) -> Result:
    """All exercises of one submission."""
    start = time.perf_counter()
    result = Result(student, path.name, digest(path, order))
    try:
        cells = completed(cells_of(path), order.lesson)
    except Problem as problem:
        result.problem = str(problem)
        return result
    for exercise in registry.assigned(order.lesson, order.seed, order.private):
        one, result.gone = mark(sandbox_here(), exercise, cells, hidden)
        result.marks.append(one)
    result.seconds = time.perf_counter() - start
    return result


def completed(cells: list[tuple[str, str]], lesson: str) -> list[tuple[str, str]]:
    """A submission's cells, and before them the lesson's own that it has lost.

    Stubs and checks are not put back: an answer that is gone is gone, and the checks
    run elsewhere.
    """
    path = path_of(lesson)
    own = [one for one in read(path).cells if one.cell_type == "code"]
    own = [one for one in own if not {"exercise", "check"} & set(tags(one))]
    there = {id for id, _ in cells}
    return [(one.id, one.source) for one in own if one.id not in there] + cells


def digest(path: Path, order: "Order") -> str:
    """What makes a result stale: another file, lesson, seed, or other checks."""
    own = Path(registry.__file__).parent / f"lesson_{order.lesson}.py"
    secret = Path(order.private).read_bytes() if order.private else b""
    parts = [path.read_bytes(), own.read_bytes(), secret, order.seed.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


# Many at once ----------------------------------------------------------------------

_box: list[Sandbox] = []  # this process's own; a lane grades one after the other


def sandbox_here() -> Sandbox:
    """This process's sandbox, started when it is first wanted."""
    if not _box:
        _box.append(Sandbox())
    return _box[0]


def start_lane() -> None:
    """Before a lane's first submission: a Ctrl-C is for the process that waits."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    import torch

    torch.set_num_threads(1)
    atexit.register(lambda: [box.close() for box in _box])


@dataclass(frozen=True)
class Order:
    """What to grade, and where the results go."""

    folder: Path
    table: Path  # grades.csv; grades.json and grades.jsonl stand beside it
    lesson: str
    seed: str = ""
    private: str = ""
    lanes: int = 0  # processes that grade at the same time; 0: one a core

    @property
    def record(self) -> Path:
        """A line of JSON a result, written as it comes."""
        return self.table.with_suffix(".jsonl")


def grade(order: Order) -> list[Result]:
    """Grade what has not been graded yet; write the table when all is done.

    Ctrl-C loses at most the submissions that are being graded. Raises Problem where the
    folder or the private checks can't be used.
    """
    if not hasattr(os, "fork"):
        raise Problem(
            "Grading makes copies of a process, which this system can't. Grade on Linux, "
            "in WSL or in a container; or use nbgrader."
        )
    found = submissions(order.folder)
    asked = registry.assigned(order.lesson, order.seed, order.private)
    if not asked:
        raise Problem(f"Lesson {order.lesson} has no exercises to grade.")
    done = known(order, found)
    todo = {who: path for who, path in found.items() if who not in done}
    if len(todo) < len(found):
        print(f"{len(found) - len(todo)} of {len(found)} are graded already.")
    with order.record.open("a", encoding="utf-8") as record:
        for result in tqdm(lanes(order, todo), total=len(todo), unit="submission"):
            done[result.student] = result
            record.write(json.dumps(asdict(result)) + "\n")
            record.flush()
    results = [done[who] for who in found]
    write(order, results, asked)
    return results


def known(order: Order, found: dict[str, Path]) -> dict[str, Result]:
    """Results of an earlier run that still hold: the same file, lesson and seed."""
    if not order.record.is_file():
        return {}
    kept = {}
    for line in order.record.read_text(encoding="utf-8").splitlines():
        try:
            old = result_of(json.loads(line))
        except (ValueError, TypeError):  # the line that a kill cut short
            continue
        path = found.get(old.student)
        if path and old.digest == digest(path, order):
            kept[old.student] = old
    return kept


def result_of(data: dict) -> Result:
    """A result, from its JSON."""
    return Result(**(data | {"marks": [Mark(**mark) for mark in data["marks"]]}))


def lanes(order: Order, todo: dict[str, Path]) -> Iterator[Result]:
    """Results as they come, from several processes."""
    count = min(order.lanes or os.cpu_count() or 1, len(todo)) or 1
    context = get_context("spawn")  # a fork of a process with threads can hang
    hidden = [str(ROOT / name) for name in HIDDEN]
    folder = order.folder.resolve()
    needed = (sys.prefix, sys.base_prefix, tempfile.gettempdir(), ROOT)
    if not any(Path(one).resolve().is_relative_to(folder) for one in needed):
        hidden.append(str(folder))  # from each other
    pool = ProcessPoolExecutor(count, context, start_lane)
    try:
        waiting = [
            pool.submit(grade_one, who, path, order, hidden)
            for who, path in todo.items()
        ]
        for one in as_completed(waiting):
            yield one.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def write(order: Order, results: list[Result], asked: tuple[Exercise, ...]) -> None:
    """The table for a gradebook, and all details as JSON."""
    with (
        part(order.table) as path,
        path.open("w", newline="", encoding="utf-8") as file,
    ):
        table = csv.writer(file)
        table.writerow(["student", *(one.id for one in asked), "points", "of", "note"])
        for result in results:
            points = {mark.exercise: mark.points for mark in result.marks}
            row = [points.get(one.id, 0) for one in asked]
            total = sum(check.points for one in asked for check in one.checks)
            note = result.problem
            table.writerow([safe(result.student), *row, result.points, total, note])
    details = {
        "lesson": order.lesson,
        "seed": order.seed,
        "results": [asdict(result) | {"points": result.points} for result in results],
    }
    with part(order.table.with_suffix(".json")) as path:
        path.write_text(
            json.dumps(details, indent=1, ensure_ascii=False) + "\n", "utf-8"
        )


def safe(text: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


@contextlib.contextmanager
def part(path: Path) -> Iterator[Path]:
    """A file beside the place, renamed when it is whole."""
    beside = path.with_name(path.name + ".part")
    yield beside
    beside.replace(path)
