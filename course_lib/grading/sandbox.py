"""Where a student's code runs: a process that has little and can do little.

`python -m course_lib.grading.sandbox FD` loads torch and what lessons import, once, and
runs no line of a student's. For every job that arrives on the socket FD it makes a copy
of itself, which makes a room (rooms.py) and watches over it: a second copy walks in,
gives up every right, reads the answer out of the student's cells and then does one thing:
it calls the answer when asked to, with plain data. Points are given elsewhere.

No sandbox is perfect: see the teacher's page.
"""

import builtins
import contextlib
import gc
import importlib
import io
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from course_lib.exercises import run
from course_lib.grading import rooms, wire
from course_lib.grading.answer import answer_of, forget, is_blank, seen, shell
from course_lib.notebooks import curriculum

CPU_SECONDS = 60  # of one process
MEMORY = 3 * 2**29  # bytes that one process may take more than it starts with
TOGETHER = 2 * 2**30  # bytes of all processes of an answer, and of its files
PROCESSES = 32  # that it may have, threads included
FILE = 16 * 2**20  # bytes of a file that it may write
FILES = 128  # that it may have open
LOOKS = 0.1  # seconds between two looks at what a room takes

# Calling it ----------------------------------------------------------------------------


class Line:
    """The connection to the grader, and the table of the call that is going on."""

    def __init__(self, stream: io.BufferedRWPair, kinds: dict[str, type]):
        self.stream, self.kinds = stream, kinds
        self.table = wire.Table(1, kinds, self.ask)

    def read(self, count: int) -> bytes:
        raw = self.stream.read(count)
        if len(raw) < count:
            raise EOFError
        return raw

    def send(self, **message) -> None:
        wire.send(self.stream, self.table, message)

    def receive(self) -> dict[str, Any]:
        return wire.receive(self.read, self.table)

    def ask(self, number: int, args: tuple, named: dict) -> Any:
        """Call a function of the grader's, such as a model that a check made."""
        self.send(ask=number, args=args, named=named)
        message = self.receive()
        if "raised" in message:
            raise error_of(*message["raised"])
        return message["returned"]

    def serve(self, answer: Any) -> None:
        """Call the answer as often as asked; returns when the grader hangs up."""
        while True:
            self.table = wire.Table(1, self.kinds, self.ask)
            try:
                message = self.receive()
            except EOFError:
                return
            try:
                value = answer(*message["call"], **message["named"])
            except BaseException as error:  # SystemExit is an answer too
                self.send(raised=told(error, answer))
            else:
                self.send(returned=value)


def told(error: BaseException, answer: Any) -> tuple[str, str]:
    """An error as plain data: its type's name, its text with the learner's line."""
    return type(error).__name__[:80], run.where(error, answer, cured=False)[:2_000]


def error_of(name: str, text: str) -> Exception:
    """An error of the other side: of Python's own type if it has one of that name."""
    base = vars(builtins).get(name)
    if not (isinstance(base, type) and issubclass(base, Exception)):
        base = Exception
    # KeyError would put its text in quotes, and some types want more than a text.
    own = {"__str__": lambda self: text, "__init__": lambda self: None}
    return type(str(name), (base,), own)()


def kinds_of(sources: list[tuple[str, str]], imports: str) -> dict[str, type]:
    """The small classes that an exercise's checks hand over, such as a tiny model."""
    space: dict[str, Any] = {"__name__": "kinds"}
    exec(imports, space)
    for _, source in sources:
        exec(source, space)
    return {name: space[name] for name, _ in sources}


def do(job: dict, stream: io.BufferedRWPair) -> None:
    """One job: find the answer, say so, and serve it."""
    line = Line(stream, kinds_of(job["kinds"], job["imports"]))
    forget(job["reference"])
    try:
        answer = answer_of(job)
    except BaseException as error:  # whatever a student's cell can raise
        line.send(failed=told(error, None))
        return
    if is_blank(answer, job["blank"], job["name"]):
        line.send(answer="not started")
    elif isinstance(answer, types.FunctionType | type) or callable(answer):
        line.send(answer="function")
        line.serve(answer)
    else:
        line.send(answer="value", value=answer)


# Giving up what it does not need -------------------------------------------------------


def limit() -> None:
    """Take no more processor time, memory and files than an exercise needs."""
    import resource  # not on Windows

    used = 0
    with contextlib.suppress(OSError):
        pages = Path("/proc/self/statm").read_text().split()[0]
        used = int(pages) * resource.getpagesize()
    limits = {
        "RLIMIT_CPU": CPU_SECONDS,
        "RLIMIT_AS": used + MEMORY,
        "RLIMIT_FSIZE": FILE,
        "RLIMIT_NOFILE": FILES,
        "RLIMIT_CORE": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_MEMLOCK": 0,
    }
    for name, number in limits.items():
        if hasattr(resource, name):  # macOS has fewer, and no limit of addresses
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(getattr(resource, name), (number, number))


def limit_processes() -> None:
    """Have few processes, where the kernel counts those of a room for themselves."""
    import resource

    release = [int(one) for one in os.uname().release.split(".")[:2]]
    if release >= [5, 14] or not rooms.of_users():
        resource.setrlimit(resource.RLIMIT_NPROC, (PROCESSES, PROCESSES))


# The process that waits for jobs -------------------------------------------------------


def main(number: int, shown: tuple[str, ...]) -> None:
    """Wait for jobs: each comes with two sockets, which a copy of this process serves."""
    rooms.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the grader
    torch.set_num_threads(1)
    load()
    gc.collect()
    gc.freeze()  # copies then share more of their memory
    sys.path[0] = ""  # as in a notebook: the folder that a cell runs in
    os.chdir("/")
    control = socket.socket(fileno=number)
    control.send(b"+")
    while True:
        raw, handles, _, _ = socket.recv_fds(control, 1, 2)
        if not raw:
            return
        if raw == b"c":
            look_at(*handles)
            continue
        child = os.fork()
        if not child:
            control.close()
            alone(guarded, raw == b"r", shown, *handles)
        for handle in handles:
            os.close(handle)
        with contextlib.suppress(ChildProcessError):  # those that have ended
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def look_at(handle: int) -> None:
    """Look at the lesson's own cells, which come as JSON: no copy has to do it again."""
    with open(handle, encoding="utf-8") as file:
        for id, source in json.load(file):
            seen(id, source, True)


def alone(function: Callable, *given: Any) -> None:
    """Do this and nothing else: the life of a copy. It never returns."""
    code = 1
    try:
        code = function(*given)
    finally:
        os._exit(code)


def load() -> None:
    """Import all that a lesson's cell may import, while the files are there."""
    for name in curriculum.docstrings():
        importlib.import_module(f"course_lib.{name}")
    import torch._dynamo

    shell()
    # What asks for the kind of processor, or loads a library of its own, when it is first
    # used: in files of /proc that are not there later.
    torch.zeros(32).half().float()
    torch.quantize_per_tensor(torch.zeros(32), 1.0, 0, torch.qint8)
    for kind in (torch.float32, torch.float64, torch.bfloat16):
        square = torch.eye(16, dtype=kind)
        (square @ square).exp().tanh().log_softmax(-1).sum()
        torch.nn.functional.conv1d(square[None], square[None])
    torch.fft.fft(torch.linalg.svd(torch.eye(16)).S)


def guarded(roomy: bool, shown: tuple[str, ...], handle: int, life: int) -> int:
    """Let a job run in a room, until the grader hangs up on `life`; watch over it.

    `life` carries one message back: "+", or why no room could be made.
    """
    rooms.die_with_parent()
    link = socket.socket(fileno=life)
    with contextlib.suppress(OSError), place(roomy, shown, link) as room:
        if room == "none":
            return 1
        child = os.fork()
        if not child:
            link.close()
            alone(inside, handle, room)
        os.close(handle)
        link.send(b"+")
        watch(room, child, link)
        end(child, room)
    link.close()
    return 0


@contextlib.contextmanager
def place(roomy: bool, shown: tuple[str, ...], link: socket.socket) -> Iterator:
    """A room; or, where it is left open, a folder; "none" if there can be none."""
    if not roomy:
        folder = tempfile.mkdtemp(dir=os.environ["HOME"])
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
        return
    try:
        room = rooms.Room(shown)
    except (rooms.Fault, OSError) as fault:
        link.send(str(fault).encode()[:500])
        yield "none"
        return
    try:
        yield room
    finally:
        room.close()


def watch(room: Any, child: int, link: socket.socket) -> None:
    """Return when the grader hangs up, or when what is in the room takes too much."""
    while not select.select([link], [], [], LOOKS)[0]:
        if isinstance(room, rooms.Room):
            memory, processes = rooms.taken(room, child)
            if memory > TOGETHER or processes > PROCESSES:
                return


def end(child: int, room: Any) -> None:
    """End what was let in; a room takes all that is in it along."""
    if isinstance(room, rooms.Room):
        room.end()
    for kill in () if isinstance(room, rooms.Room) else (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


def inside(handle: int, room: Any) -> int:
    """Walk into the room, quiet and limited, and do the job there."""
    rooms.die_with_parent()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    pair = os.dup2(handle, 3)
    os.closerange(4, 4096)
    sys.stdout = sys.stderr = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    limit()
    folder = room
    if isinstance(room, rooms.Room):
        folder = rooms.HOME
        room.enter()
        user = rooms.NOBODY + os.getpid()  # one of its own, where root makes rooms
        if child := os.fork():  # who walks in is inside from the next copy on
            os.closerange(0, 4)
            os.waitpid(child, 0)
            return 0
        rooms.drop_rights(user)
        limit_processes()
    os.setsid()  # a group of its own: it can signal nobody outside
    settle(folder)
    stream = socket.socket(fileno=pair).makefile("rwb")
    do(Line(stream, {}).receive(), stream)
    return 0


def settle(folder: str) -> None:
    """Make a folder the one that a student's code sees as home."""
    os.chdir(folder)
    os.environ.update(dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR"), folder))
    os.environ["IPYTHONDIR"] = folder
    tempfile.tempdir = folder


if __name__ == "__main__":
    main(int(sys.argv[1]), tuple(sys.argv[2:]))
