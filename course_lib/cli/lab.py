"""The commands `lab` and `test`: install what is missing, then open or test lessons.

They start with nothing but Python.
"""

from __future__ import annotations

import os
import subprocess
import sys

from course_lib.cli.environment import attended, make
from course_lib.errors import Problem
from course_lib.files import ROOT
from course_lib.notebooks.saved import SAVING


def lesson_number(text: str) -> str:
    """'1' and '01' are the same lesson; anything else is a Problem."""
    number = str(int(text)).zfill(2) if text.isdecimal() else text
    found = sorted(p.name for p in (ROOT / "notebooks").glob("*.ipynb"))
    if number not in {name[:2] for name in found}:
        raise Problem(f"There is no lesson {text!r}. There are: {', '.join(found)}.")
    return number


def lab(args) -> int:
    python = sys.executable if args.no_install else make("lab")
    print("Checking the real model and the word vectors (170 MB, once) …", flush=True)
    if subprocess.run([python, "-m", "course_lib", "fetch"]).returncode:
        print("Lessons that need the model will say the same. Opening all the same.")
    found = (ROOT / "notebooks").glob("00_*.ipynb")
    first = min(found, key=lambda path: len(path.name))  # not a learner's "-Copy1"
    words = [python, "-m", "jupyterlab", first, f"--port={args.port}", SAVING]
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
    print(f"Running {kind}: a minute a lesson, half an hour in all.", flush=True)
    python = sys.executable if args.no_install else make("test")
    subprocess.run([python, "-m", "course_lib", "fetch"], check=False)
    folder = ROOT / "notebooks"
    chosen = [str(p) for p in sorted(folder.glob(f"{number or ''}*.ipynb"))]
    words = [str(python), "-m", "pytest", "--nbval-lax", "--nbval-current-env"]
    words += ["--nbval-cell-timeout=300", *([] if number else ["tests"]), *chosen]
    if not number and args.processes > 1:
        # Whole files to each: a lesson's cells belong to one kernel.
        words += [f"-n{args.processes}", "--dist=loadfile", "--no-loadscope-reorder"]
    # Threads that spin while they wait are three times slower on a busy machine.
    calm = {"OMP_WAIT_POLICY": "PASSIVE", "COURSE_OFFLINE": "1"}
    calm["COURSE_SCALE"] = "cpu"  # the sizes of the saved outputs, on a GPU too
    return attended(words, env=calm | os.environ)
