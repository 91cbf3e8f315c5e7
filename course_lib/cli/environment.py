"""Make a place to run in: the `.venv` folder and what is installed in it.

Nothing here needs more than Python's standard library, so that it works on a machine
on which nothing has been installed yet.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from course_lib.errors import Problem
from course_lib.files import ROOT

VENV = ROOT / ".venv"
NEEDED = {"lab": ["requirements.txt"]}
NEEDED["test"] = NEEDED["lab"] + ["tests/requirements.txt"]
OLDEST, NEWEST_TESTED = (3, 11), (3, 13)
# PyTorch's own index of builds for machines without an NVIDIA card: 0.2 GB, not 3 GB.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"


def check_python(version: tuple = sys.version_info[:2]) -> str:
    """Return a remark about this Python, empty if it is a tested one.

    Raises Problem if it is too old to run the course.
    """
    here, oldest = ".".join(map(str, version)), ".".join(map(str, OLDEST))
    if version < OLDEST:
        raise Problem(
            f"This is Python {here}; the course needs {oldest} or newer. "
            f"Install one from python.org, then run: python{oldest} -m course_lib lab"
        )
    if version > NEWEST_TESTED:
        newest = ".".join(map(str, NEWEST_TESTED))
        return f"Python {here} is newer than the tested ones ({oldest} to {newest})."
    return ""


def python_of(venv: Path) -> Path:
    """The interpreter inside a virtual environment, on Windows and elsewhere."""
    if os.name == "nt":
        return venv / "Scripts" / "python.exe"
    return venv / "bin" / "python"


def fingerprint(kind: str, root: Path = ROOT) -> str:
    """A hash of all that decides what `kind` ("lab" or "test") has installed."""
    seen = hashlib.sha256(f"{sys.version_info[:2]} {platform.machine()}".encode())
    for name in NEEDED[kind] + ["pyproject.toml"]:
        seen.update((root / name).read_bytes())
    return seen.hexdigest()


def is_ready(kind: str, venv: Path = VENV, root: Path = ROOT) -> bool:
    """Whether `venv` works and was filled from the present requirements."""
    stamp = venv / f"course-{kind}.sha256"
    if not stamp.is_file() or stamp.read_text().strip() != fingerprint(kind, root):
        return False
    try:
        return subprocess.run([python_of(venv), "-c", "import torch"]).returncode == 0
    except OSError:
        return False


def run(command: list, why: str) -> None:
    """Run a command with its output on the screen; raise Problem if it fails."""
    code = subprocess.run([str(part) for part in command], cwd=ROOT).returncode
    if code:
        raise Problem(
            f"{why} failed (exit status {code}); the lines above say why. Mend that "
            "and run the same command again: it goes on where it stopped."
        )


def make(kind: str, venv: Path = VENV) -> Path:
    """Make or refresh the virtual environment for "lab" or "test"; return its Python.

    Does nothing if it is there and the requirements have not changed. Raises Problem.
    """
    python = python_of(venv)
    if is_ready(kind, venv):
        return python
    remark = check_python()
    if remark:
        print(remark, flush=True)
    size = "about 0.5 GB" if not wants_cuda() else "several GB, PyTorch with CUDA"
    print(
        f"Installing the course's packages into {venv.name}{os.sep} ({size} to "
        "download; 2 to 10 minutes, once). Ctrl-C is safe: the next run goes on.",
        flush=True,
    )
    clear = [] if works(python) and same_python(venv) else ["--clear"]
    run([sys.executable, "-m", "venv", *clear, venv], "Making .venv")
    install_torch(python)
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check"]
    listed = [word for name in NEEDED[kind] for word in ("-r", ROOT / name)]
    run([*pip, *listed], "Installing the packages")
    run([*pip, "--no-deps", "--no-build-isolation", "-e", ROOT], "Linking course_lib")
    for done in NEEDED if kind == "test" else ["lab"]:
        (venv / f"course-{done}.sha256").write_text(fingerprint(done) + "\n")
    return python


def works(python: Path) -> bool:
    """Whether that interpreter starts and has pip."""
    try:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return (
            subprocess.run([python, "-m", "pip", "--version"], **quiet).returncode == 0
        )
    except OSError:
        return False


def same_python(venv: Path) -> bool:
    """Whether a virtual environment was made by this version of Python."""
    settings = venv / "pyvenv.cfg"
    version = ".".join(map(str, sys.version_info[:2]))
    return settings.is_file() and f"version = {version}." in settings.read_text()


def wants_cuda() -> bool:
    """Whether the machine has an NVIDIA driver, so that the CUDA build is of use."""
    return shutil.which("nvidia-smi") is not None


def pinned(package: str, root: Path = ROOT) -> str:
    """The line of requirements.txt that pins a package, such as 'torch==2.13.0'."""
    for line in (root / "requirements.txt").read_text(encoding="utf-8").splitlines():
        found = re.match(rf"{re.escape(package)}==[\w.]+", line)
        if found:
            return found.group()
    raise Problem(f"requirements.txt pins no {package}.")


def install_torch(python: Path) -> None:
    """Install PyTorch first, as the small CPU build wherever no NVIDIA card is.

    On Linux the registry's PyTorch carries 3 GB of CUDA. So three sources in turn: a
    build already at hand (pip's own find-links), PyTorch's CPU index, the registry.
    """
    if not sys.platform.startswith("linux") or wants_cuda():
        return  # requirements.txt brings the right build
    torch = pinned("torch")
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps"]
    for source in (["--no-index"], ["--index-url", CPU_INDEX, "--retries", "1"]):
        words = [str(part) for part in [*pip, *source, torch]]
        if subprocess.run(words, stderr=subprocess.DEVNULL).returncode == 0:
            print(f"{torch}: the CPU build.", flush=True)
            return
    print(
        f"{torch}: no CPU build within reach, so the registry's, with 3 GB of CUDA.",
        flush=True,
    )


def attended(words: list, cwd: Path | None = ROOT, **more) -> int:
    """Run a program that answers Ctrl-C itself: subprocess.run alone would kill it."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        line = [str(word) for word in words]
        return subprocess.run(line, cwd=cwd, **more).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def venv_python() -> Path | None:
    """The Python in .venv, if it is there and works."""
    python = python_of(VENV)
    return python if works(python) else None
