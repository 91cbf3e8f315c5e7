"""Rooms made by bubblewrap (https://github.com/containers/bubblewrap), to run code in.

A room holds nothing of the file system but Python, its packages and an empty folder, and
has namespaces of its own: processes, memory shared between processes, network, host
name, and users where it is not root who makes it. It ends with the process that made it,
and with it all that runs in it. A process walks in (`enter`): so what takes seconds to
load is loaded once, outside, and a room costs milliseconds.
"""

import contextlib
import ctypes
import json
import os
import platform
import select
import shutil
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path

from course_lib.errors import Problem

HOME = "/tmp"  # the one folder of a room that can be written in
SPACE = 64 * 2**20  # bytes that fit in it
PATIENCE = 20  # seconds that a room may take; it needs a hundredth of one
NOBODY = 65534
SPACES = {  # sched.h: the namespaces that a process may walk into
    "user": 0x10000000, "mnt": 0x20000, "ipc": 0x08000000, "pid": 0x20000000,
    "net": 0x40000000, "uts": 0x04000000, "cgroup": 0x02000000,
}  # fmt: skip
DIE_WITH_PARENT, DUMPABLE, NO_NEW_PRIVILEGES, FILTER = 1, 4, 38, 22  # prctl.h
# How distributions install it, by the names in /etc/os-release.
INSTALL = {
    "debian": "sudo apt-get install bubblewrap",
    "ubuntu": "sudo apt-get install bubblewrap",
    "fedora": "sudo dnf install bubblewrap",
    "rhel": "sudo dnf install bubblewrap",
    "arch": "sudo pacman -S bubblewrap",
    "suse": "sudo zypper install bubblewrap",
    "alpine": "sudo apk add bubblewrap",
}


class Fault(Problem):
    """The machine's fault, or the teacher's: never a student's."""


def why_not() -> str:
    """Why no room can be made here, and what to do; '' if one can."""
    if sys.platform != "linux":
        return (
            "Submissions are shut in by bubblewrap, which only Linux has. Grade on "
            "Linux, in WSL or in a container."
        )
    if not shutil.which("bwrap"):
        return f"Submissions are shut in by bubblewrap. Install it: {install()}"
    try:
        Room().close()
    except Fault as fault:
        return (
            f"{fault} In Docker: --security-opt seccomp=unconfined --security-opt "
            "apparmor=unconfined --cap-add SYS_ADMIN; elsewhere allow user namespaces."
        )
    return ""


def install(release: Path = Path("/etc/os-release")) -> str:
    """The command that installs bubblewrap on this system."""
    with contextlib.suppress(OSError):
        lines = release.read_text(encoding="utf-8", errors="replace").splitlines()
        said = dict(line.split("=", 1) for line in lines if "=" in line)
        names = f"{said.get('ID', '')} {said.get('ID_LIKE', '')}".replace('"', "")
        for one in names.split():
            if one in INSTALL:
                return INSTALL[one]
    return "your system's package bubblewrap"


# Making a room -------------------------------------------------------------------------


class Room:
    """A room that is open until it is closed, or until its maker ends."""

    def __init__(self, shown: tuple[str, ...] = ()):
        """Make a room that shows these folders, too, for reading.

        Raises Fault where bubblewrap can't make one, with its own words.
        """
        out, into = os.pipe()
        self.process = subprocess.Popen(
            [*command(shown), "--info-fd", str(into), "--", "cat"],
            pass_fds=[into],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={"PATH": "/usr/bin:/bin"},
            bufsize=0,
        )
        os.close(into)
        with open(out, "rb") as told:
            if not self.answers():
                self.close()
                said = self.said.decode(errors="replace").strip()[-300:]
                raise Fault(f"bubblewrap made no room: {said or 'it says nothing'}.")
            self.pid = json.loads(told.read(4096))["child-pid"]
        self.spaces = sum(
            flag
            for name, flag in SPACES.items()
            if place(self.pid, name) != place("self", name)
        )

    def answers(self) -> bool:
        """Whether the room's one process gives back what it is given."""
        with contextlib.suppress(OSError):
            self.process.stdin.write(b"+")
            ready = select.select([self.process.stdout], [], [], PATIENCE)[0]
            return bool(ready) and self.process.stdout.read(1) == b"+"
        return False

    def enter(self) -> None:
        """Walk in, for good; a child of this process is then inside altogether."""
        libc = ctypes.CDLL(None, use_errno=True)
        handle = os.pidfd_open(self.pid)
        if libc.setns(handle, self.spaces):
            raise OSError(ctypes.get_errno(), "setns")
        os.close(handle)

    def end(self) -> None:
        """Kill all that is in the room."""
        with contextlib.suppress(AttributeError, ProcessLookupError):
            os.kill(self.pid, 9)  # its first process takes all others along

    def close(self) -> None:
        """End the room and all that is in it, and wait until it has ended."""
        if self.process.stdin.closed:
            return
        self.end()
        self.process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(2)
        self.process.kill()
        self.process.wait()
        self.said = self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()


def place(process: int | str, space: str) -> str:
    """Which namespace a process is in; '' if it is gone, or none of ours."""
    try:
        return os.readlink(f"/proc/{process}/ns/{space}")
    except OSError:
        return ""


@cache
def command(shown: tuple[str, ...]) -> list[str]:
    """bubblewrap's command line, up to what runs in the room."""
    words = ["bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-net"]
    words += ["--unshare-uts", "--unshare-cgroup-try", "--hostname", "room"]
    words += ["--die-with-parent", "--new-session"]
    if of_users():  # root makes rooms without; who walks in is somebody else then
        words += ["--unshare-user", "--disable-userns"]
    for path in bound(shown):
        words += [*parents(path), "--ro-bind", path, path]
    for name in ("bin", "lib", "lib32", "lib64", "sbin"):
        if os.path.islink(f"/{name}"):
            words += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
    words += ["--perms", "0755", "--dir", "/dev"]
    for name in ("null", "zero", "full", "random", "urandom"):
        words += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    words += ["--perms", "1777", "--size", str(SPACE), "--tmpfs", HOME]
    for path in bound(shown):  # a folder for this run may lie in /tmp
        if path.startswith(f"{HOME}/"):
            words += [*parents(path), "--ro-bind", path, path]
    for path in hidden(shown):
        words += ["--size", "4096", "--tmpfs", path, "--remount-ro", path]
    return [*words, "--chdir", HOME, "--remount-ro", "/"]


@cache
def bound(shown: tuple[str, ...]) -> list[str]:
    """What a room shows of the file system: Python, its packages, the system's."""
    system = ["/usr", "/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime"]
    system += [f"/{n}" for n in ("bin", "lib", "lib32", "lib64", "sbin")]
    python = [
        sys.base_prefix,
        sys.prefix,
        os.path.dirname(os.path.realpath(sys.executable)),
    ]
    packages = [path for path in sys.path if "site-packages" in path]
    every = [*system, *python, *packages, *shown]
    every = [os.path.abspath(one) for one in every if os.path.exists(one)]
    links = [one for one in every if not os.path.islink(one)]
    return [
        one
        for i, one in enumerate(links)
        if not any(Path(one).is_relative_to(other) for other in links[:i])
    ]


def hidden(shown: tuple[str, ...]) -> list[str]:
    """Folders with answers that lie in what a room shows: none, as a rule."""
    from course_lib.files import ROOT

    answers = [str(ROOT / name) for name in ("course_lib", "notebooks", "tests")]
    inside = [
        p for p in answers if any(Path(p).is_relative_to(b) for b in bound(shown))
    ]
    return [p for p in inside if os.path.isdir(p) and str(ROOT) not in shown]


def parents(path: str) -> list[str]:
    """Folders above a path, open to all: bubblewrap would shut root's to others."""
    above = [str(one) for one in reversed(Path(path).parents)][1:]
    made = [one for one in above if one not in ("/usr", "/etc", HOME, "/dev")]
    return [word for one in made for word in ("--perms", "0755", "--dir", one)]


# Giving up what is left ----------------------------------------------------------------


def die_with_parent() -> None:
    """End when the parent ends, however that is. (Where there is no such thing: not.)"""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, 9)


def of_users() -> bool:
    """Whether a room has a namespace of users: not where it is root who makes it."""
    return os.geteuid() != 0


def drop_rights(user: int) -> None:
    """Become an ordinary user without any right, for good, and lose some system calls.

    user: the number that root becomes; anybody else stays who they are.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(user)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3 of capabilities; itself
    libc.capset(head, (ctypes.c_uint32 * 6)())
    libc.prctl(DUMPABLE, 1, 0, 0, 0)  # so that what it takes can be told from outside
    program = filter_of(platform.machine())
    if program:
        lines = ctypes.create_string_buffer(program)
        head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(lines))
        libc.prctl(FILTER, 2, ctypes.create_string_buffer(head), 0, 0)


# System calls that no answer needs: memory that outlives a process or that no limit
# counts, keys, other processes' memory, more namespaces, mounts, the kernel's own tools.
NUMBERS = {  # name → (x86_64, aarch64)
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "pidfd_getfd": (438, 438),
    "process_vm_writev": (311, 271), "memfd_create": (319, 279),
    "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "unshare": (272, 97), "setns": (308, 268),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "mount_setattr": (442, 442), "chroot": (161, 51), "syslog": (103, 116),
    "open_by_handle_at": (304, 265), "vmsplice": (278, 75),
}  # fmt: skip
CLONE, CLONE_3 = (56, 220), 435
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # audit.h
ALLOW, REFUSE, NO_SUCH = 0x7FFF0000, 0x00050001, 0x00050026  # seccomp.h; EPERM, ENOSYS
LOAD, EQUAL, GREATER, SOME, GIVE = 0x20, 0x15, 0x35, 0x45, 0x06  # filter.h


def filter_of(machine: str) -> bytes:
    """The program by which the kernel refuses NUMBERS; empty on other machines."""
    if machine not in MACHINES:
        return b""
    which, audit = MACHINES[machine]
    refused = [pair[which] for pair in NUMBERS.values()]

    def line(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("HBBI", code, yes, no, value)

    program = [line(LOAD, 4), line(EQUAL, audit, 1), line(GIVE, REFUSE)]
    program += [line(LOAD, 0), line(GREATER, 0x40000000, 0, 1), line(GIVE, REFUSE)]
    program += [line(EQUAL, CLONE_3, 0, 1), line(GIVE, NO_SUCH)]  # libc falls back
    for number in refused:
        program += [line(EQUAL, number, 0, 1), line(GIVE, REFUSE)]
    program += [line(EQUAL, CLONE[which], 0, 3), line(LOAD, 16)]  # what it unshares
    program += [line(SOME, sum(SPACES.values()), 0, 1), line(GIVE, REFUSE)]
    return b"".join([*program, line(GIVE, ALLOW)])


# How much a room takes -----------------------------------------------------------------


def taken(room: Room, child: int) -> tuple[int, int]:
    """Bytes of memory and processes that a room has, its files counted as memory.

    child: the process that walked in. What processes share is counted once, where that
    is needed to tell.
    """
    found = descendants([room.pid, child])
    whole = sum(resident(one) for one in found)
    if whole > ENOUGH:
        whole = sum(proportional(one) for one in found)
    try:
        kept = os.statvfs(f"/proc/{room.pid}/root{HOME}")
        whole += (kept.f_blocks - kept.f_bfree) * kept.f_frsize
        whole += (kept.f_files - kept.f_ffree) * 1024
    except OSError:
        pass
    return whole, len(found)


ENOUGH = 2**30  # below this nobody looks closer


def descendants(processes: list[int]) -> list[int]:
    """The children of some processes, and theirs, as the kernel lists them."""
    found, todo = [], list(processes)
    while todo:
        for file in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                more = [int(one) for one in file.read_text().split()]
                todo, found = todo + more, found + more
    return found


def resident(process: int) -> int:
    try:
        pages = Path(f"/proc/{process}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def proportional(process: int) -> int:
    try:
        text = Path(f"/proc/{process}/smaps_rollup").read_text()
    except OSError:  # one that doesn't let itself be looked at
        return resident(process)
    sizes = [line.split()[1] for line in text.splitlines() if line.startswith("Pss:")]
    return 1024 * int(sizes[0]) if sizes else 0
