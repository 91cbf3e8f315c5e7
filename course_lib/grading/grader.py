"""Grade many submissions of a lesson, each in a process of its own.

`python -m course_lib assignment grade SUBMISSIONS grades.csv`. For each submission this
process makes a copy of itself, which marks it (marking.py) and is gone afterwards, so
that nothing of one reaches the next. The copy has a deadline, which is kept here. Every
result is written down as it comes, so that a second run goes on from there.
"""

import contextlib
import csv
import gc
import hashlib
import json
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from course_lib.errors import Problem
from course_lib.exercises import registry, run
from course_lib.exercises.kinds import Exercise
from course_lib.grading import handed_in, marking, rooms
from course_lib.grading.handed_in import HandedIn
from course_lib.grading.marking import Mark, Sandbox
from course_lib.grading.rooms import Fault
from course_lib.grading.words import cell, plain

GRACE = 30  # seconds after its deadline in which a submission's process must end
LINE = 2**20  # bytes that a copy may say of one submission
MEMORY = 3 * 2**30  # bytes that a copy may take more than it starts with


@dataclass
class Result:
    """One submission: its marks, or why there are none."""

    student: str
    file: str
    digest: str  # SHA-256 of the file, the lesson and its seed
    marks: list[Mark] = field(default_factory=list)
    problem: str = ""
    shut: bool = True  # whether a student's code was shut in
    seconds: float = 0.0

    @property
    def points(self) -> int:
        return sum(mark.points for mark in self.marks)


@dataclass(frozen=True)
class Order:
    """What to grade, and where the results go."""

    folder: Path
    table: Path  # grades.csv; grades.json and grades.jsonl stand beside it
    lesson: str
    seed: str = ""
    private: str = ""
    lanes: int = 0  # submissions that are graded at the same time; 0: one a core
    unsafe: bool = False  # let students' code run though nothing shuts it in

    @property
    def record(self) -> Path:
        """A line of JSON a result, written as it comes."""
        return self.table.with_suffix(".jsonl")

    def exercises(self) -> tuple[Exercise, ...]:
        return registry.assigned(self.lesson, self.seed, self.private)


# One submission ------------------------------------------------------------------------


def grade_one(box: Sandbox, path: Path, order: Order) -> Iterator[dict[str, Any]]:
    """What a copy says of a submission: a mark an exercise, or the problem."""
    until = time.monotonic() + marking.TOGETHER
    try:
        cells = handed_in.cells_of(path)
        found = handed_in.label(cells, None).lessons
        if found and order.lesson not in found:
            raise Problem(f"This is a notebook of lesson {min(found)}.")
        cells = handed_in.told_apart(cells, order.lesson, order.seed)
        for exercise in order.exercises():
            yield {"mark": asdict(marking.mark(box, exercise, cells, until))}
    except Fault as fault:
        yield {"fault": str(fault)}
    except Problem as problem:
        yield {"problem": plain(str(problem))}


class Copy:
    """A copy of this process that marks one submission, and what it has said so far."""

    def __init__(self, student: str, path: Path, order: Order, box: Sandbox):
        self.student, self.path, self.order = student, path, order
        self.began = time.monotonic()
        self.heard, self.ended = b"", False
        self.link, other = socket.socketpair()
        self.pid = os.fork()
        if not self.pid:
            try:
                self.link.close()
                self.live(other, box)
            finally:
                os._exit(0)
        other.close()

    def live(self, link: socket.socket, box: Sandbox) -> None:
        """The life of the copy: mark, say so, end."""
        rooms.die_with_parent()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the other
        limit()
        for said in grade_one(box, self.path, self.order):
            link.sendall(json.dumps(said).encode() + b"\n")
        link.sendall(b'{"end": true}\n')

    def listen(self) -> None:
        """Take what it has to say now."""
        try:
            said = self.link.recv(2**16)
        except OSError:
            said = b""
        self.heard += said
        self.ended = not said or len(self.heard) > LINE

    def is_late(self) -> bool:
        return time.monotonic() - self.began > marking.TOGETHER + GRACE

    def result(self, asked: tuple[Exercise, ...]) -> Result:
        """The result of what it has said; raises Fault for what is not the student's."""
        lines = self.heard.split(b"\n")[:-1]  # the last one is empty, or cut short
        said = [json.loads(line) for line in lines[: len(asked) + 1]]
        for one in said:
            if "fault" in one:
                raise Fault(one["fault"])
        problems = [one["problem"] for one in said if "problem" in one]
        marks = [Mark(**one["mark"]) for one in said if "mark" in one]
        if not problems:
            late = run.ENDLESS if self.is_late() else marking.MESSAGES["crash"]
            marks += [marking.marked(one, {}, late) for one in asked[len(marks) :]]
        file = handed_in.name(self.path.name)
        done = Result(self.student, file, digest(self.path, self.order), marks)
        done.problem, done.shut = "".join(problems[:1]), not self.order.unsafe
        done.seconds = time.monotonic() - self.began
        return done

    def end(self) -> None:
        """End it, and with it the room that it has."""
        self.link.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def limit() -> None:
    """Take no more memory than marking needs, whatever a student's values are."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def digest(path: Path, order: Order) -> str:
    """What makes a result stale: another file, lesson, seed, or other checks."""
    try:
        raw = handed_in.content(path)
    except Problem as problem:
        raw = str(problem).encode()
    return digest_of(raw, order)


def digest_of(raw: bytes, order: Order) -> str:
    own = Path(registry.__file__).parent / f"lesson_{order.lesson}.py"
    secret = Path(order.private).read_bytes() if order.private else b""
    parts = [raw, own.read_bytes(), secret, order.seed.encode(), b"2"]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


# Many of them --------------------------------------------------------------------------


def grade(order: Order, found: HandedIn | None = None) -> list[Result]:
    """Grade what has not been graded yet; write the table when all is done.

    Ctrl-C, or a kill, loses at most the submissions that are being graded. Raises
    Problem, and grades nobody, where the folder, the private checks, the place of the
    results or this machine can't be used.
    """
    if not hasattr(os, "fork"):
        raise Problem(
            "Grading makes copies of a process, which this system can't. Grade on Linux, "
            "in WSL or in a container; or use nbgrader."
        )
    found = found or handed_in.submissions(order.folder)
    asked = order.exercises()
    if not asked:
        raise Problem(f"Lesson {order.lesson} has no exercises to grade.")
    with recording(order) as record:
        done = known(order, found)
        todo = {who: path for who, path in found.notebooks.items() if who not in done}
        if len(todo) < len(found.notebooks):
            graded = len(found.notebooks) - len(todo)
            print(f"{graded} of {len(found.notebooks)} are graded already.")
        bar = tqdm(total=len(todo), unit="submission")
        with contextlib.closing(bar):
            for result in lanes(order, todo, asked) if todo else ():
                done[result.student] = result
                record(result)
                bar.update()
        results = [
            done[who]
            if who in done
            else Result(who, "", "", problem=found.refused[who])
            for who in found.students
        ]
        write(order, results, asked)
    return results


@contextlib.contextmanager
def recording(order: Order) -> Iterator:
    """A function that adds a result to the record, which nobody else writes meanwhile.

    Raises Problem where it can't be written.
    """
    if order.table.is_dir() or not order.table.parent.is_dir():
        raise Problem(f"{order.table} can't be written: give a file in a folder.")
    try:
        with order.record.open("ab") as file:
            lock(file, order)
            end_line(file, order.record)

            def record(result: Result) -> None:
                file.write(json.dumps(asdict(result)).encode() + b"\n")
                file.flush()

            yield record
    except OSError as error:
        raise Problem(
            f"The results can't be written to {order.table.parent} ({error.strerror}). "
            "Mend that, and run the same command again: it goes on from here."
        ) from None


def lock(file: Any, order: Order) -> None:
    """Refuse to be the second that grades into one table."""
    try:
        import fcntl  # not on Windows

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Problem(
            f"Another `grade` is writing {order.table}. Wait for it, or give another name."
        ) from None
    except (ImportError, OSError):  # a file system without locks
        return


def end_line(file: Any, path: Path) -> None:
    """End a line that a kill cut short, so that the next result has one of its own."""
    with path.open("rb") as old:
        if old.seek(0, os.SEEK_END):
            old.seek(-1, os.SEEK_END)
            if old.read(1) != b"\n":
                file.write(b"\n")
                file.flush()


def known(order: Order, found: HandedIn) -> dict[str, Result]:
    """Results of an earlier run that still hold: the same file, lesson and seed."""
    kept = {}
    with order.record.open("rb") as lines:
        while line := lines.readline(4 * LINE):
            try:
                old = result_of(json.loads(line))
                path = found.notebooks.get(old.student)
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                continue  # the line that a kill cut short, or no line of ours
            if path and old.digest == digest(path, order):
                kept[old.student] = old
    return kept


def result_of(data: dict) -> Result:
    """A result, from its JSON."""
    return Result(**(data | {"marks": [Mark(**mark) for mark in data["marks"]]}))


def lanes(
    order: Order, todo: dict[str, Path], asked: tuple[Exercise, ...]
) -> Iterator[Result]:
    """Results as they come, from several copies of this process at a time."""
    with sandbox(order) as box:
        warm(asked)  # so that every copy finds it done
        box.wait()
        box.look_at(handed_in.handed_out(order.lesson, order.seed))
        waiting, copies = list(todo.items())[::-1], []
        count = order.lanes or os.cpu_count() or 1
        try:
            while waiting or copies:
                while waiting and len(copies) < count:
                    copies.append(Copy(*waiting.pop(), order, box))
                ready = select.select([one.link for one in copies], [], [], 1)[0]
                for one in [one for one in copies if one.link in ready]:
                    one.listen()
                for one in [one for one in copies if one.ended or one.is_late()]:
                    copies.remove(one)
                    one.end()
                    yield one.result(asked)
        finally:
            for one in copies:
                one.end()


@contextlib.contextmanager
def sandbox(order: Order) -> Iterator[Sandbox]:
    """The sandbox of a run. Raises Problem where nothing can shut students' code in."""
    reason = "" if order.unsafe else rooms.why_not()
    if reason:
        raise Fault(
            f"{reason}\nOr grade with --unsafe, where a submission can read and write "
            "what you can: TEACHERS.md says more."
        )
    box = Sandbox(roomy=not order.unsafe)
    try:
        yield box
    finally:
        box.close()


def warm(asked: tuple[Exercise, ...]) -> None:
    """Load what checks need, in one thread: copies are made of this process."""
    import torch

    torch.set_num_threads(1)
    tqdm.monitor_interval = 0  # else a thread watches over the bar
    for exercise in asked:
        run.warm(exercise)
        marking.known_of(exercise)
    gc.collect()
    gc.freeze()  # copies then share more of their memory


def write(order: Order, results: list[Result], asked: tuple[Exercise, ...]) -> None:
    """The table for a gradebook, and all details as JSON."""
    with (
        part(order.table) as path,
        path.open(
            "w", newline="", encoding="utf-8-sig"
        ) as file,  # so that Excel reads it
    ):
        table = csv.writer(file)
        table.writerow(["student", *(one.id for one in asked), "points", "of", "note"])
        for result in results:
            points = {mark.exercise: mark.points for mark in result.marks}
            row = [points.get(one.id, 0) for one in asked]
            total = sum(check.points for one in asked for check in one.checks)
            who, note = cell(result.student), cell(result.problem)
            table.writerow([who, *row, result.points, total, note])
    details = {
        "lesson": order.lesson,
        "seed": order.seed,
        "results": [asdict(result) | {"points": result.points} for result in results],
    }
    with part(order.table.with_suffix(".json")) as path:
        path.write_text(
            json.dumps(details, indent=1, ensure_ascii=False) + "\n", "utf-8"
        )


@contextlib.contextmanager
def part(path: Path) -> Iterator[Path]:
    """A file beside the place, renamed when it is whole."""
    beside = path.with_name(path.name + ".part")
    yield beside
    beside.replace(path)
