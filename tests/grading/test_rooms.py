"""Rooms: where there can be none it is said; what is in one, and what a room takes."""

import os
import subprocess
import sys

import pytest

from course_lib.errors import Problem
from course_lib.grading import grader, marking, rooms
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
    def fails(*args, **named):
        raise Fault("The sandbox gave no room.")

    (tmp_path / "ada.ipynb").write_text('{"nbformat": 4, "metadata": {}, "cells": []}')
    monkeypatch.setattr(marking, "mark", fails)
    order = grader.Order(tmp_path, tmp_path / "g.csv", "06", unsafe=not shut_in)
    with pytest.raises(Problem, match="gave no room"):
        grader.grade(order)
    assert not order.record.read_bytes() and not order.table.exists()


def test_a_room_shows_python_and_little_else(room):
    seen = set(ask_inside(room, "import os; print(*os.listdir('/'))").split())
    top = {one.split("/")[1] for one in [sys.prefix, sys.base_prefix]}
    assert not {"home", "proc", "sys", "run", "var", "opt"} - top & seen
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


def test_a_room_takes_its_processes_along(room):
    code = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    os.closerange(0, 3)"
    )
    code += "\n    time.sleep(99)"
    ask_inside(room, code)
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
