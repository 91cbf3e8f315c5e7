"""Rooms: where there can be none it is said; what is in one, and what a room takes."""

import contextlib
import os
import socket
import struct
import subprocess
import sys
import time

import psutil
import pytest

from course_lib import classroom
from course_lib.errors import Problem
from course_lib.grading import grader, marking, rooms, sandbox
from course_lib.grading.rooms import Fault, Room

linux = pytest.mark.skipif(sys.platform != "linux", reason="rooms are Linux's")


@pytest.fixture
def room(shut_in):
    if not shut_in:
        pytest.skip("this machine makes no rooms: see TEACHERS.md")
    room = Room()
    yield room
    room.close()


def ask_inside(room, code):
    """What a Python prints that runs in the room, for itself."""
    flags = [f"--{name}" for name in ("mount", "pid", "ipc", "net", "uts")]
    flags += ["--user", "--preserve-credentials"] if rooms.of_users() else []
    words = ["nsenter", "--target", str(room.pid), *flags, "--wd=/"]
    done = subprocess.run(
        [*words, sys.executable, "-I", "-c", code], capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


@linux
def test_where_bubblewrap_is_missing_the_command_that_installs_it_is_said(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert rooms.install() in rooms.why_not()
    order = grader.Order(tmp_path, tmp_path / "g.csv", "06")
    with (
        pytest.raises(Problem, match=r"Install it: .+\n.+--unsafe"),
        grader.sandbox(order),
    ):
        raise AssertionError("nothing is graded")


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("ID=debian", "apt-get install bubblewrap"),
        ('ID="linuxmint"\nID_LIKE="ubuntu debian"', "apt-get install bubblewrap"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"', "dnf install bubblewrap"),
        ("ID=arch", "pacman -S bubblewrap"),
        ("ID=odd\nnonsense", "your system's package"),
    ],
)
def test_each_system_has_its_own_command(tmp_path, text, command):
    (tmp_path / "os-release").write_text(text)
    assert command in rooms.install(tmp_path / "os-release")
    assert "package" in rooms.install(tmp_path / "none")


@linux
def test_a_room_that_cannot_be_made_is_the_machine_s_fault(tmp_path, monkeypatch):
    false = tmp_path / "bwrap"
    false.write_text("#!/bin/sh\necho no rooms today >&2\nexit 1\n")
    false.chmod(0o755)
    monkeypatch.setattr(rooms, "command", lambda shown: [str(false)])
    with pytest.raises(Fault, match="no rooms today"):
        Room()


def test_a_fault_of_the_machine_is_nobody_s_result(shut_in, tmp_path, monkeypatch):
    before, running = grader.grade_one, {*psutil.Process().children()}

    def fails(*args, **named):
        raise Fault("The sandbox gave no room.")

    def one(box, path, order):
        time.sleep(99 * (path.stem == "zoe"))  # she is graded at that moment
        return before(box, path, order)

    for name in ("ada", "zoe"):
        text = '{"nbformat": 4, "metadata": {}, "cells": []}'
        (tmp_path / f"{name}.ipynb").write_text(text)
    monkeypatch.setattr(marking, "attempt", fails)
    monkeypatch.setattr(grader, "grade_one", one)
    order = grader.Order(tmp_path, tmp_path / "g.csv", "06", "", "", 2, not shut_in)
    with pytest.raises(Problem, match="gave no room"):
        grader.grade(order)
    assert not order.record.read_bytes() and not order.table.exists()
    assert not {*psutil.Process().children()} - running


def test_a_fault_is_no_crash_of_a_student_s_code():
    class Broken:
        @contextlib.contextmanager
        def job(self, *given):
            raise Fault("The sandbox gave no room.")
            yield

    with pytest.raises(Fault):
        marking.mark(Broken(), classroom.find("06.total"), [])


def test_a_room_shows_python_and_little_else(room):
    seen = set(ask_inside(room, "import os; print(*os.listdir('/'))").split())
    top = {one.split("/")[1] for one in rooms.bound(())}
    assert seen <= top | {"dev", "tmp", "bin", "sbin", "lib", "lib32", "lib64"}
    allowed = (sys.prefix, sys.base_prefix, "/usr", "/etc", "/bin", "/sbin", "/lib")
    assert all(
        one.startswith(allowed) or "site-packages" in one for one in rooms.bound(())
    )
    ours = {
        one.split("/")[2] for one in (sys.prefix, sys.base_prefix) if "/tmp/" in one
    }
    found = ask_inside(room, "import os; print(*os.listdir('/tmp'))").split()
    assert set(found) <= ours
    devices = ask_inside(room, "import os; print(*sorted(os.listdir('/dev')))")
    assert devices == "full null random urandom zero"
    assert ask_inside(room, "import numpy; print(numpy.ones(2).sum())") == "2.0"
    for path in ("/x", "/dev/x", "/usr/x", sys.prefix + "/x"):
        code = f"try: open({path!r}, 'w')\nexcept OSError: print('no')"
        assert ask_inside(room, code) == "no"


def test_a_room_shares_no_namespace(room):
    for name in ("mnt", "ipc", "pid", "net", "uts"):
        assert rooms.place(room.pid, name) != rooms.place("self", name), name
    assert rooms.place(room.pid, "net")


def test_a_room_s_disk_is_small(room):
    code = "import os\nfile = open('/tmp/x', 'wb')\ntry:\n"
    code += "    for _ in range(65): file.write(bytes(2**20))\n    file.flush()\n"
    code += "except OSError as error: print(error.strerror)"
    assert ask_inside(room, code) == "No space left on device"


def test_answers_in_a_folder_that_a_room_shows_are_hidden(
    shut_in, tmp_path, monkeypatch
):
    """As where the course is installed among other packages, which answers need."""
    if not shut_in:
        pytest.skip("this machine makes no rooms: see TEACHERS.md")
    for name in ("course_lib", "other"):
        (tmp_path / name).mkdir(mode=0o755)
        (tmp_path / name / "sizing.py").write_text("answer")
    monkeypatch.setattr("course_lib.files.ROOT", tmp_path)
    for cached in (rooms.command, rooms.bound):
        cached.cache_clear()
    with contextlib.closing(Room((str(tmp_path.parent),))) as room:
        code = f"import os; print(*sorted(os.listdir({str(tmp_path)!r})))"
        assert ask_inside(room, code) == "course_lib other"
        for name, found in (("course_lib", ""), ("other", "sizing.py")):
            code = f"import os; print(*os.listdir({str(tmp_path / name)!r}))"
            assert ask_inside(room, code) == found
    for cached in (rooms.command, rooms.bound):
        cached.cache_clear()


@pytest.mark.parametrize("what", ["PROCESSES", "TOGETHER"])
def test_a_room_that_takes_too_much_is_not_watched_on(what, room, monkeypatch):
    ask_inside(room, STAYS)
    link, other = socket.socketpair()
    monkeypatch.setattr(sandbox, what, 1)
    other.settimeout(5)
    with link, other:
        began = time.monotonic()
        process = os.fork()
        if not process:  # a watch without an end is to end this test, too
            with contextlib.suppress(BaseException):
                sandbox.watch(room, room.pid, link)
                link.send(b"+")
            os._exit(0)
        link.close()
        try:
            assert other.recv(1) == b"+" and time.monotonic() - began < 5
        finally:
            os.kill(process, 9)
            os.waitpid(process, 0)


STAYS = (
    "import os, time\nif os.fork() == 0:\n    os.setsid()\n    os.closerange(0, 3)\n"
)
STAYS += "    time.sleep(99)"


def test_a_room_takes_its_processes_along(room):
    ask_inside(room, STAYS)
    (left,) = [one for one in rooms.descendants([room.pid]) if "cat" not in words(one)]
    memory, count = rooms.taken(room, room.pid)
    assert memory > 2**20 and count >= 2
    room.close()
    assert not os.path.exists(f"/proc/{left}")


def words(process):
    with open(f"/proc/{process}/cmdline") as file:
        return file.read()


def test_the_filter_is_a_whole_program_of_the_kernel_s():
    for machine in rooms.MACHINES:
        program = rooms.filter_of(machine)
        assert len(program) % 8 == 0 and len(program) // 8 > 2 * len(rooms.NUMBERS)
    assert rooms.filter_of("riscv64") == b""


def asks(program, number, audit, argument=0):
    """What the kernel's filter says of a system call: an interpreter of few words."""
    lines = list(struct.iter_unpack("HBBI", program))
    data, held, at = {0: number, 4: audit, 16: argument}, 0, 0
    while True:
        code, yes, no, value = lines[at]
        at += 1
        if code == rooms.GIVE:
            return value
        if code == rooms.LOAD:
            held = data[value]
            continue
        holds = {
            rooms.EQUAL: held == value,
            rooms.GREATER: held >= value,
            rooms.SOME: bool(held & value),
        }
        at += yes if holds[code] else no


@pytest.mark.parametrize("machine", rooms.MACHINES)
def test_the_filter_refuses_what_no_answer_needs(machine):
    which, audit = rooms.MACHINES[machine]
    program = rooms.filter_of(machine)
    wanted = (
        "ptrace shmget msgget semget mq_open add_key keyctl unshare setns mount bpf"
    )
    wanted += " memfd_create process_vm_writev io_uring_setup userfaultfd chroot"
    assert set(wanted.split()) <= set(rooms.NUMBERS)
    for pair in rooms.NUMBERS.values():
        assert asks(program, pair[which], audit) == rooms.REFUSE
    clone = rooms.CLONE[which]
    for space in rooms.SPACES.values():
        assert asks(program, clone, audit, space | 17) == rooms.REFUSE
    assert asks(program, clone, audit, 0x11 | 0x01200000) == rooms.ALLOW  # a fork
    assert asks(program, rooms.CLONE_3, audit) == rooms.NO_SUCH  # libc takes clone
    assert asks(program, 63, audit) == rooms.ALLOW
    assert asks(program, 63, audit + 1) == rooms.REFUSE  # numbers of another machine
    assert asks(program, 0x40000000 + 63, audit) == rooms.REFUSE  # x32's
