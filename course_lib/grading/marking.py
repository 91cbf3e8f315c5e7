"""Mark one submission: ask its answers for values, and give points for them.

A student's code runs in a sandbox (sandbox.py) and is asked for values; points are given
here, from plain data. All that is read from there is bounded in size, depth and time.
"""

import ast
import contextlib
import inspect
import io
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from course_lib.exercises import kinds, registry, run, stubs
from course_lib.exercises.kinds import Exercise
from course_lib.files import ROOT
from course_lib.grading import sandbox, wire
from course_lib.grading.rooms import Fault
from course_lib.grading.words import plain

SECONDS = 10  # longest that one call may take, students' waiting included
START = 60  # seconds that a sandbox may take to load torch, once
BUILD = 30  # seconds that a student's cells may take to run
TOGETHER = 150  # seconds that a submission may take, all its exercises together
ENDING = 10  # seconds that it takes at most to end a student's processes
MESSAGES = {
    "missing": "There is no {name} in the notebook. Was its cell deleted?",
    "blank": "not started",
    "crash": "The process ended while your code ran: it crashed, or took too much memory.",
    "endless": run.ENDLESS,
    "late": "No time was left for it: the exercises before it took too long.",
    "borrowed": "It uses the course's own answer. Write it yourself.",
}
FATAL = (MESSAGES["crash"], MESSAGES["endless"])  # no further check is tried


@dataclass
class Mark:
    """One exercise of one submission."""

    exercise: str
    points: int
    of: int
    checks: dict[str, int]  # check → points
    message: str  # what the learner would see


# The sandbox, from outside -------------------------------------------------------------


class Gone(Exception):
    """The student's process has ended, or was ended, or sent what can't be read."""


class Sandbox:
    """A process that keeps torch loaded and lets every job run in a room of its own."""

    def __init__(self, roomy: bool = True, shown: tuple[str, ...] = ()):
        """Start it: without rooms (roomy=False) nothing is shut in; `shown` is seen too.

        Raises Fault where it does not start.
        """
        self.roomy = roomy
        # Messages stay whole, though several processes send theirs at the same time.
        self.control, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.folder = tempfile.mkdtemp(prefix="grading-")
        self.broom = broom(self.folder)
        number = str(other.fileno())
        self.process = subprocess.Popen(
            [sys.executable, "-m", "course_lib.grading.sandbox", number, *shown],
            cwd=self.folder,
            env=environment(self.folder),
            pass_fds=[other.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is for the grader
        )
        other.close()

    def wait(self) -> None:
        """Wait until it is ready. Raises Fault where it does not get so far."""
        self.control.settimeout(START)
        try:
            started = self.control.recv(1)
        except (TimeoutError, OSError):
            started = b""
        self.control.settimeout(None)
        if not started:
            self.process.kill()
            said = self.process.stderr.read().decode(errors="replace").strip()
            raise Fault(
                f"The sandbox did not start: {said[-300:] or 'no word'}. Run the same "
                "command again, with --lanes 1 on a busy machine."
            )

    def look_at(self, cells: list[tuple[str, str]]) -> None:
        """Let it look at a lesson's own cells once, and not for every submission."""
        with tempfile.TemporaryFile() as file:
            file.write(json.dumps(cells).encode())
            file.seek(0)
            socket.send_fds(self.control, [b"c"], [file.fileno()])

    @contextlib.contextmanager
    def job(
        self, job: dict, kinds: dict[str, type], until: float = float("inf")
    ) -> Iterator["Student"]:
        """A student's process for one job; it is gone afterwards."""
        mine, theirs = socket.socketpair()
        life, other = socket.socketpair()
        try:
            self.ask_for(theirs, other)
            yield Student(mine, life, job, kinds, until)
        finally:
            mine.close()
            end(life)

    def ask_for(self, *ends: socket.socket) -> None:
        """Hand over the far ends of a job's connections."""
        try:
            word = b"r" if self.roomy else b"o"
            socket.send_fds(self.control, [word], [one.fileno() for one in ends])
        except OSError as error:
            raise Fault(f"The sandbox has ended ({error.strerror}).") from None
        finally:
            for one in ends:
                one.close()

    def close(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.broom.kill()
        self.broom.wait()
        self.broom.stdin.close()


def broom(folder: str) -> subprocess.Popen:
    """A process that removes a folder when this one has ended, by SIGKILL too.

    It waits for the end of what it reads, and a little, until all have ended that write
    in the folder.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; sleep 0.3; rm -rf "$1"', "sh", folder],
        env={"PATH": "/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C is for the grader
    )


def end(life: socket.socket) -> None:
    """Have a job's processes ended, and wait until they are."""
    life.settimeout(ENDING)
    with contextlib.suppress(OSError):
        life.shutdown(socket.SHUT_WR)
        while life.recv(500):
            pass
    life.close()


def environment(folder: str) -> dict[str, str]:
    """The few variables that a student's process sees."""
    kept = ("PATH", "LANG", "SYSTEMROOT", "COURSE_CACHE", "LD_LIBRARY_PATH")
    own = {name: os.environ[name] for name in kept if name in os.environ}
    own |= {"HOME": folder, "PYTHONPATH": str(ROOT), "COURSE_OFFLINE": "1"}
    own |= {"MPLBACKEND": "agg", "OMP_NUM_THREADS": "1", "MPLCONFIGDIR": folder}
    own |= {"IPYTHONDIR": folder, "USER": "student", "TERM": "dumb"}
    return own | {"PYTHONDONTWRITEBYTECODE": "1"}


class Student:
    """The student's answer, as something to call. Only plain data comes back.

    Whatever the other side does, reading and writing end: with Gone, or with TimeUp when
    the time is up that it has.
    """

    def __init__(
        self,
        link: socket.socket,
        life: socket.socket,
        job: dict,
        kinds: dict[str, type],
        last: float,
    ):
        self.link, self.life, self.kinds, self.last = link, life, kinds, last
        link.setblocking(False)
        self.allow(BUILD)
        self.table = wire.Table(0, kinds)
        self.started()
        self.send(**job)
        first = self.receive()
        self.failed = error_in(first.get("failed"))  # while the cells ran: name, text
        self.kind, self.value = first.get("answer"), first.get("value")

    def allow(self, seconds: float) -> None:
        """Give the other side so many seconds from now, within what is left in all."""
        self.until = min(time.monotonic() + seconds, self.last)

    def started(self) -> None:
        """Wait for the room; raises Fault where there is none."""
        said = b""
        if select.select([self.life], [], [], START)[0]:
            with contextlib.suppress(OSError):
                said = self.life.recv(500)
        if said != b"+":
            raise Fault(said.decode(errors="replace") or "The sandbox gave no room.")

    def ready(self, to_read: bool) -> None:
        """Wait until the link can be read, or written; raises TimeUp."""
        ends = [self.link]
        while time.monotonic() < self.until:
            if any(select.select(ends * to_read, ends * (not to_read), [], 0.1)):
                return
        raise run.TimeUp

    def read(self, count: int) -> bytes:
        """Exactly so many bytes, before the time is up."""
        parts, left = [], count
        while left:
            self.ready(to_read=True)
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
        whole = io.BytesIO()
        wire.send(whole, self.table, message)
        left = memoryview(whole.getvalue())
        while left:
            self.ready(to_read=False)
            try:
                left = left[self.link.send(left[: 2**20]) :]
            except BlockingIOError:
                continue
            except OSError:
                raise Gone from None

    def receive(self) -> dict[str, Any]:
        try:
            return wire.receive(self.read, self.table)
        except wire.Broken:
            raise Gone from None  # it sent what no honest process sends

    def __call__(self, *args, **named) -> Any:
        """Ask the student's function; its errors are raised here under their names."""
        self.allow(SECONDS)
        self.table = wire.Table(0, self.kinds)
        try:
            self.send(call=args, named=named)
            while "ask" in (message := self.receive()):
                self.answer(message)
        except Gone:
            raise kinds.Mistake(MESSAGES["crash"]) from None
        if error := error_in(message.get("raised")):
            raise sandbox.error_of(*error)
        return message.get("returned")

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


def error_in(pair: Any) -> tuple[str, str] | None:
    """An error's name and text, if that is what came; else it says so."""
    if pair is None:
        return None
    if type(pair) is tuple and [type(one) for one in pair] == [str, str]:
        return plain(pair[0], 80), plain(pair[1])
    return UNREADABLE


UNREADABLE = ("Error", "what it said of itself could not be read")


# Points --------------------------------------------------------------------------------


def job_of(exercise: Exercise, cells: list[tuple[str, str, bool]]) -> dict:
    """All that a student's process must know of an exercise: not its answer."""
    return {"cells": cells, **known_of(exercise)}


@cache
def known_of(exercise: Exercise) -> dict:
    """What does not hang on the submission."""
    others = [e for e in registry.exercises(exercise.id[:2]) if e.id != exercise.id]
    kinds = kinds_for(exercise)
    return {
        "id": exercise.id,
        "name": exercise.name,
        "blank": stubs.stub(exercise),
        "others": {e.id: place_of(e) for e in others if place_of(e)},
        "reference": place_of(exercise),
        "lean": False,  # leave out what the answer, as far as can be seen, needs not
        "kinds": [(name, inspect.getsource(kind)) for name, kind in kinds.items()],
        "imports": imports_of(exercise) if kinds else "",
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
    box: Sandbox,
    exercise: Exercise,
    cells: list[tuple[str, str, bool]],
    until: float = float("inf"),
) -> Mark:
    """One exercise of one submission, before a moment of time.monotonic().

    Raises Fault for what is not the student's.
    """
    job = job_of(exercise, cells)
    found, message, begun = attempt(box, exercise, job, until)
    if not begun:  # a cell that this answer does not need may have stopped it
        found, message, _ = attempt(box, exercise, job | {"lean": True}, until)
    return marked(exercise, found, message)


def attempt(
    box: Sandbox, exercise: Exercise, job: dict, until: float
) -> tuple[dict[str, int], str, bool]:
    """Check → points, the message, and whether its cells ran to an end."""
    if time.monotonic() > until:
        return {}, MESSAGES["late"], True
    begun = False
    try:
        with box.job(job, kinds_for(exercise), until) as student:
            begun = student.failed != UNREADABLE
            return *scored(exercise, student), begun
    except run.TimeUp:
        return {}, MESSAGES["endless"], begun
    except Fault:
        raise
    except Exception:  # the process is gone, or odd values came: its author's own
        return {}, MESSAGES["crash"], begun


def marked(exercise: Exercise, found: dict[str, int], message: str) -> Mark:
    """A mark with these points, check → points."""
    checks = {check.name: found.get(check.name, 0) for check in exercise.checks}
    total = sum(check.points for check in exercise.checks)
    return Mark(exercise.id, sum(checks.values()), total, checks, plain(message))


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
