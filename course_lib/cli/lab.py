"""The commands `lab` and `test`: install what is missing, then open or test lessons.

They start with nothing but Python.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import sys
from pathlib import Path

from course_lib.cli import copies
from course_lib.cli.environment import attended, make
from course_lib.errors import Problem
from course_lib.files import ROOT
from course_lib.files.progress import FOLDER
from course_lib.notebooks.saved import SAVING

SETTINGS = Path(__file__).parent / "jupyter"


def lesson_number(text: str) -> str:
    """'1' and '01' are the same lesson; anything else is a Problem."""
    number = str(int(text)).zfill(2) if text.isdecimal() else text
    found = sorted(p.name for p in (ROOT / "notebooks").glob("*.ipynb"))
    if number not in {name[:2] for name in found}:
        raise Problem(f"There is no lesson {text!r}. There are: {', '.join(found)}.")
    return number


def lab(args) -> int:
    """`lab`: install, fetch, make the learner's copies, open one in JupyterLab."""
    number = lesson_number(args.fresh or args.lesson or "00")
    python = sys.executable if args.no_install else make("lab")
    print("Checking the real model and the word vectors (170 MB, once) …", flush=True)
    if subprocess.run([python, "-m", "course_lib", "fetch"]).returncode:
        print("Lessons that need the model will say the same. Opening all the same.")
    for said in copies.prepare():
        print(said)
    if args.fresh:
        print(copies.start_anew(number))
    name = next(one.name for one in copies.lessons() if one.name[:2] == number)
    if args.no_open:
        print(
            f"Ready: open {FOLDER}/{name} where you like, with this Python:\n  {python}"
        )
        return 0
    port, token = free_port(args.port), secrets.token_hex(16)
    words = [python, "-m", "jupyterlab", ROOT / FOLDER / name, SAVING]
    words += [f"--port={port}", "--port-retries=0"]
    words += ["--ServerApp.log_level=ERROR", "--LabApp.log_level=ERROR"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        words.append("--allow-root")  # in a container one is root
    if args.no_browser:
        words.append("--no-browser")
    print(
        f"Opening your own copy of lesson {number}, {FOLDER}/{name}:\n"
        f"  http://localhost:{port}/lab/tree/{name}?token={token}\n"
        "To stop: Ctrl-C here, twice. What you typed is kept.",
        flush=True,
    )
    # The token goes in the environment, where other users of the machine can't read it;
    # the settings turn off a pop-up that asks for leave to fetch news.
    more = {"JUPYTER_TOKEN": token, "JUPYTER_CONFIG_PATH": str(SETTINGS)}
    return attended(words, env=os.environ | more)


def free_port(first: int) -> int:
    """The first port from `first` on that nothing listens to. Raises Problem."""
    for port in range(first, min(first + 50, 65_536)):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
        return port
    raise Problem(f"No port from {first} on is free: name another with --port.")


def test(args) -> int:
    """`test`: install, then pytest on the tests and nbval on the lessons."""
    number = lesson_number(args.lesson) if args.lesson else None
    print(f"Running {kind(number, args)}", flush=True)
    python = sys.executable if args.no_install else make("test")
    subprocess.run([python, "-m", "course_lib", "fetch"], check=False)
    words = [str(python), "-m", "pytest", "--nbval-lax", "--nbval-current-env"]
    words += ["--nbval-cell-timeout=300", f"--thorough={thorough(args)}"]
    words += [] if args.rest else [str(path) for path in longest_first(number)]
    words += [] if number else ["tests"]
    if not number and args.processes > 1:
        # Whole files to each, in this order: a lesson's cells belong to one kernel.
        words += [f"-n{args.processes}", "--dist=loadfile", "--no-loadscope-reorder"]
    return attended(words, env=calm(args.processes) | os.environ)


def kind(number: str | None, args) -> str:
    """What will run, in words."""
    if number:
        return f"lesson {number}: about a minute."
    if args.all or args.rest:
        return "every test and every lesson: about half an hour on two cores."
    return "the tests and every lesson: about a quarter of an hour on two cores."


def thorough(args) -> str:
    """Which of the thorough tests (browser, Colab, nbgrader) pytest takes: see conftest."""
    return "only" if args.rest else "all" if args.all else "one"


def longest_first(number: str | None) -> list[Path]:
    """The lessons to run; the one that takes longest first, so that none is left over."""
    found = sorted((ROOT / "notebooks").glob(f"{number or ''}*.ipynb"))
    return sorted(found, key=seconds_of, reverse=True)


def seconds_of(path: Path) -> int:
    """How long a lesson runs, as the last column of README's table says."""
    row = rf"(?m)^\| \[\d\d\]\(notebooks/{path.name}\) .* \| (\d+) \|$"
    found = re.search(row, (ROOT / "README.md").read_text(encoding="utf-8"))
    return int(found[1]) if found else 0


def calm(processes: int) -> dict[str, str]:
    """Environment of the tests: the saved outputs' sizes, no network, threads shared out.

    Threads that spin while they wait are three times slower on a busy machine.
    """
    threads = str(max(1, (os.cpu_count() or 1) // max(1, processes)))
    shared = {name: threads for name in ("COURSE_THREADS", "OMP_NUM_THREADS")}
    calm = {"OMP_WAIT_POLICY": "PASSIVE", "COURSE_OFFLINE": "1", "COURSE_SCALE": "cpu"}
    return calm | shared
