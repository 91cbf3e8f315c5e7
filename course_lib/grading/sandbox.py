"""Where a student's code runs: a process that has little and can do little.

`python -m course_lib.grading.sandbox FD` loads torch once, and for every job that arrives on the
socket FD it makes a copy of itself (fork, so that a job starts in milliseconds). The copy
gives up what the platform lets it give up, reads the answer out of the student's cells
and then does one thing: it calls the answer when asked to, with plain data. Points are
given elsewhere, by a process that has never run a line of the student's.

No sandbox is perfect. Grade in a container without network, and see the teacher's page.
"""

import builtins
import contextlib
import ctypes
import io
import os
import signal
import socket
import sys
import types
from pathlib import Path
from typing import Any

import torch

from course_lib.exercises import run
from course_lib.grading import wire
from course_lib.grading.answer import answer_of, forget, is_blank
from course_lib.notebooks import curriculum

CPU_SECONDS = 30  # for one exercise
MEMORY = 3 * 2**29  # bytes that an answer may take
FILE = 16 * 2**20  # bytes of a file that it may write

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

    return type(error).__name__, run.where(error, answer, cured=False)


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
    """One job, in a process of its own: find the answer, say so, and serve it."""
    gone = isolate(job["hidden"]) if job["isolated"] else []
    line = Line(stream, kinds_of(job["kinds"], job["imports"]))
    line.send(gone=gone)
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

NEW = {"files": 0x20000, "processes": 0x20000000, "network": 0x40000000}  # sched.h
NEW_USER = 0x10000000
PRIVATE, READ_ONLY, ALL_OF_THEM = 0x40000, 1, 0x4000  # mount.h
RECURSIVE = 0x8000  # fcntl.h
MOUNT_SETATTR = 442  # the number of the system call, the same on all machines
NO_NEW_PRIVILEGES, DIE_WITH_PARENT = 38, 1  # prctl.h


def limit() -> None:
    """Take no more processor time, memory and disk than an exercise needs."""
    import resource  # not on Windows

    used = int(Path("/proc/self/statm").read_text().split()[0]) if on_linux() else 0
    most = used * resource.getpagesize() + MEMORY
    for what, number in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_AS, most),
        (resource.RLIMIT_FSIZE, FILE),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # macOS: no limit of addresses
            resource.setrlimit(what, (number, number))


def on_linux() -> bool:
    return sys.platform == "linux"


def isolate(hidden: list[str]) -> list[str]:
    """Give up network, other processes and the course's files; what was given up.

    Linux only, and only where it allows it to everyone: user namespaces. The process
    that goes on is a child, first in a world of its own.
    """
    if not on_linux():
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if libc.unshare(NEW_USER | sum(NEW.values())):
        return []
    write("/proc/self/setgroups", "deny")
    write("/proc/self/uid_map", f"{user} {user} 1")
    write("/proc/self/gid_map", f"{group} {group} 1")
    if child := os.fork():
        os._exit(outcome(os.waitpid(child, 0)[1]))
    libc.prctl(DIE_WITH_PARENT, signal.SIGKILL)
    gone = ["network", "processes"]
    if shut(libc, hidden):
        gone.append("files")
    drop_rights(libc)
    return gone


def outcome(status: int) -> int:
    """An exit status for what became of a child."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def write(path: str, text: str) -> None:
    """Tell the kernel something; some forbid it, and then less is given up."""
    with contextlib.suppress(OSError):
        Path(path).write_text(text)


def shut(libc: ctypes.CDLL, hidden: list[str]) -> bool:
    """Make all files read-only, lay an empty folder over the hidden ones; if it worked.

    The working folder becomes a small one in memory, which is gone with the process.
    """
    here = os.getcwd().encode()
    fine = libc.mount(None, b"/", None, ALL_OF_THEM | PRIVATE, None) == 0
    every = (ctypes.c_uint64 * 4)(READ_ONLY, 0, 0, 0)
    size = ctypes.sizeof(every)
    fine &= libc.syscall(MOUNT_SETATTR, -100, b"/", RECURSIVE, every, size) == 0
    fine &= libc.mount(b"none", here, b"tmpfs", 0, b"size=64m") == 0
    # /proc shows other processes, and how they were started: paths of private checks too.
    for path in [*hidden, "/proc"]:
        over = libc.mount(b"none", path.encode(), b"tmpfs", READ_ONLY, b"size=4k")
        fine &= over == 0 or not os.path.exists(path)
    os.chdir(here)
    return fine


def drop_rights(libc: ctypes.CDLL) -> None:
    """Give up every right over this small world, so that nothing can be undone."""
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3 of capabilities; itself
    libc.capset(head, (ctypes.c_uint32 * 6)())


# The process that waits for jobs -------------------------------------------------------


def main(number: int) -> None:
    """Wait for jobs: each comes with a socket of its own, which its copy serves."""
    torch.set_num_threads(1)
    load()
    control = socket.socket(fileno=number)
    control.send(b"+")
    while True:
        raw, handles, _, _ = socket.recv_fds(control, 1, 1)
        if not raw:
            return
        child = os.fork()
        if not child:
            control.close()
            os._exit(one(handles[0]))
        os.close(handles[0])
        control.send(child.to_bytes(8, "big"))
        os.waitpid(child, 0)
        control.send(b".")


def load() -> None:
    """Import all that a lesson's cell may import, while the files are there."""
    import importlib

    for name in curriculum.docstrings():
        importlib.import_module(f"course_lib.{name}")
    import torch._dynamo

    # What asks for the kind of processor, in a file that is hidden later.
    torch.zeros(32).half().float()
    torch.quantize_per_tensor(torch.zeros(32), 1.0, 0, torch.qint8)


def one(handle: int) -> int:
    """The life of a copy: quiet, limited, in an empty folder."""
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    sys.stdout = sys.stderr = os.fdopen(nothing, "w")
    pair = socket.socket(fileno=handle).makefile("rwb")
    line = Line(pair, {})
    job = line.receive()
    if hasattr(os, "fork"):
        limit()
    do(job, pair)
    return 0


if __name__ == "__main__":
    main(int(sys.argv[1]))
