"""The command line: `python -m course_lib …`. Starts with nothing but Python.

Each command imports what it needs when it runs, so that `--help`, `lab` and `test`
work before anything has been installed.
"""

from __future__ import annotations

import json
import os
import sys

from course_lib.cli.environment import check_python, inside
from course_lib.cli.lab import lab, lesson_number, test
from course_lib.cli.parser import parser
from course_lib.errors import Problem
from course_lib.files import colab


def with_torch(arguments: list[str]) -> int:
    """Run a command that needs torch: in this process if torch is here, else in .venv."""
    if colab.missing(("torch", "numpy", "gguf", "nbformat")):
        return inside("course_lib.cli.commands", arguments)
    from course_lib.cli import commands

    return commands.main(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    check_python()
    if args.command == "lab":
        return lab(args)
    if args.command == "test":
        return test(args)
    if args.command == "doctor":
        return inside("course_lib.cli.doctor", ["--fetch"] if args.fetch else [])
    if args.command in ("train", "sample", "chat"):
        return with_torch(arguments or sys.argv[1:])
    if args.command == "refresh":
        numbers = [lesson_number(n) for n in args.lesson]
        return inside("course_lib.notebooks.refresh", numbers)
    if args.command == "assignment":
        if vars(args).get("lesson"):
            args.lesson = lesson_number(args.lesson)
        return inside("course_lib.cli.assignment", [json.dumps(vars(args))])
    if args.command == "site":
        return inside("course_lib.notebooks.site", [os.path.abspath(args.out)])
    return inside("tests.benchmarks", [*args.name, *["--full"] * args.full])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Problem as problem:
        sys.exit(f"course_lib: {problem}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. Nothing is lost: the same command goes on from here.")
