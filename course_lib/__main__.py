"""The command line: `python -m course_lib …`. Starts with nothing but Python.

Each command imports what it needs when it runs, so that `--help`, `lab` and `test`
work before anything has been installed.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys

from course_lib import environment
from course_lib.environment import Problem, python_of


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m course_lib",
        description="Next Token: how large language models work, by building one.",
        epilog="Each command has its own --help.",
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name, about):
        return commands.add_parser(name, help=about, description=about)

    lab = command("lab", "Make .venv, install, fetch the real model, open lesson 00.")
    lab.add_argument("--port", type=int, default=8888, help="JupyterLab's port (8888)")
    lab.add_argument("--no-browser", action="store_true", help="print the address only")

    test = command("test", "Install, then run every test and every lesson.")
    test.add_argument("lesson", nargs="?", help="one lesson's number, such as 01")
    for one in (lab, test):
        one.add_argument(
            "--no-install", action="store_true", help="use this Python as it is"
        )

    doctor = command("doctor", "Say what this machine has and what is missing.")
    doctor.add_argument("--fetch", action="store_true", help="download what is missing")

    refresh = command("refresh", "Run lessons and save them with fresh outputs.")
    refresh.add_argument("lesson", nargs="*", help="numbers, such as 00 01; none: all")

    bench = command("bench", "Measure speed against other libraries.")
    bench.add_argument("name", nargs="*", help="tokenizer, pretrained; none: all")
    bench.add_argument(
        "--full",
        action="store_true",
        help="the textbook trainer on all of the text too",
    )
    return top


def attended(words: list, **more) -> int:
    """Run a program that answers Ctrl-C itself: subprocess.run alone would kill it."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        line = [str(word) for word in words]
        return subprocess.run(line, cwd=environment.ROOT, **more).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def lesson_number(text: str) -> str:
    """'1' and '01' are the same lesson; anything else is a Problem."""
    number = str(int(text)).zfill(2) if text.isdecimal() else text
    found = sorted(p.name for p in (environment.ROOT / "notebooks").glob("*.ipynb"))
    if number not in {name[:2] for name in found}:
        raise Problem(f"There is no lesson {text!r}. There are: {', '.join(found)}.")
    return number


def lab(args) -> int:
    python = sys.executable if args.no_install else environment.make("lab")
    print("Checking the real model and the word vectors (170 MB, once) …", flush=True)
    if subprocess.run([python, "-m", "course_lib.cache"]).returncode:
        print("Lessons that need the model will say the same. Opening all the same.")
    first = sorted((environment.ROOT / "notebooks").glob("00_*.ipynb"))[0]
    words = [python, "-m", "jupyterlab", first, f"--port={args.port}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        words.append("--allow-root")  # in a container one is root
    if args.no_browser:
        words.append("--no-browser")
    print(
        "Opening JupyterLab on lesson 00. To stop it: Ctrl-C here, twice.", flush=True
    )
    return attended(words)


def test(args) -> int:
    number = lesson_number(args.lesson) if args.lesson else None
    kind = f"lesson {number}" if number else "every test and every lesson"
    print(f"Running {kind}: a minute a lesson, about fifteen in all.", flush=True)
    python = sys.executable if args.no_install else environment.make("test")
    subprocess.run([python, "-m", "course_lib.cache"], check=False)
    folder = environment.ROOT / "notebooks"
    chosen = [str(p) for p in sorted(folder.glob(f"{number or ''}*.ipynb"))]
    words = [str(python), "-m", "pytest", "--nbval-lax", "--nbval-current-env"]
    words += ["--nbval-cell-timeout=300", *([] if number else ["tests"]), *chosen]
    # Threads that spin while they wait are three times slower on a busy machine.
    calm = {"OMP_WAIT_POLICY": "PASSIVE", "COURSE_OFFLINE": "1", **os.environ}
    return attended(words, env=calm)


def inside(module: str, arguments: list[str]) -> int:
    """Run a module of the course where its packages are: here, else in .venv."""
    venv = python_of(environment.VENV)
    here = not environment.missing(("torch", "numpy", "gguf", "nbformat"))
    if not here and not environment.works(venv) and module != "course_lib.doctor":
        raise Problem(
            "This needs the course's packages. First run: python -m course_lib test"
        )
    python = sys.executable if here or not environment.works(venv) else venv
    return attended([python, "-m", module, *arguments])


def main(arguments: list[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    environment.check_python()
    if args.command == "lab":
        return lab(args)
    if args.command == "test":
        return test(args)
    if args.command == "doctor":
        return inside("course_lib.doctor", ["--fetch"] if args.fetch else [])
    if args.command == "refresh":
        return inside("course_lib.lessons", [lesson_number(n) for n in args.lesson])
    return inside("tests.benchmarks", [*args.name, *["--full"] * args.full])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Problem as problem:
        sys.exit(f"course_lib: {problem}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. Nothing is lost: the same command goes on from here.")
