"""The command line: `python -m course_lib …`. Starts with nothing but Python.

There is one way through: read the words; where the command needs packages that this
Python lacks, run the same words under .venv's Python; else call the command. What a
person can mend is a Problem, and is printed here and nowhere else.
"""

from __future__ import annotations

import importlib
import os
import sys

from course_lib.cli.environment import attended, check_python, venv_python
from course_lib.cli.parser import parser
from course_lib.errors import Problem
from course_lib.files import ROOT
from course_lib.files.colab import missing

PACKAGES = ("torch", "numpy", "gguf", "nbformat")  # of those that commands need
NESTED = "COURSE_NESTED"  # set where .venv's Python was started by another


def main(words: list[str] | None = None) -> int:
    """Do what the words say; the exit status. Raises Problem."""
    words = sys.argv[1:] if words is None else words
    args = parser().parse_args(words)
    check_python()
    if args.packages and missing(PACKAGES):
        python = None if NESTED in os.environ else venv_python()
        if python:
            found = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
            nested = os.environ | {NESTED: "1", "PYTHONPATH": found.strip(os.pathsep)}
            # Where we are, not in the course's folder: paths among the words count from here.
            line = [python, "-m", "course_lib", *words]
            return attended(line, cwd=None, env=nested)
        if args.packages == "needed":
            raise Problem(
                "This needs the course's packages. First run: python -m course_lib test "
                "06 (installs them, and runs one lesson)."
            )
    module, _, name = args.run.partition(":")
    command = vars(importlib.import_module(module))[name]
    try:
        return command(args)
    except KeyboardInterrupt:
        print(f"\n{args.stopped}", file=sys.stderr)
        return 130


def run(words: list[str] | None = None) -> int:
    """The same for a person: every Problem is one sentence."""
    try:
        try:
            return main(words)
        finally:
            sys.stdout.flush()  # at Python's own end a reader who has gone is an error
    except Problem as problem:
        print(f"course_lib: {problem}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # who read our text has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


if __name__ == "__main__":
    sys.exit(run())
