"""What a lesson needs and a Colab runtime lacks, and how it is installed there.

Nothing here needs more than Python's standard library.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

from course_lib.errors import Problem
from course_lib.files import ROOT

# Colab has its own of these, tuned to its GPUs; replacing one breaks the runtime.
LEFT_TO_COLAB = {"torch", "numpy", "matplotlib", "ipywidgets"}
# What a lesson imports that a Colab runtime may lack.
COLAB_MAY_LACK = ("anywidget", "gguf", "platformdirs", "regex", "safetensors")
COLAB_MAY_LACK += ("tiktoken", "tqdm", "filelock")
COLAB_AGAIN = (
    "Run this cell again in a minute. If it fails twice: Runtime → Disconnect and delete "
    "runtime, then Runtime → Run all."
)
KEEPING = (
    "To keep what you type: File → Save a copy in Drive. To guess before you see: "
    "Edit → Clear all outputs."
)


def on_colab() -> bool:
    """Whether this is a Colab runtime."""
    return "google.colab" in sys.modules


def missing(names: tuple = COLAB_MAY_LACK) -> list[str]:
    """Those of the named packages that are not installed here."""

    def installed(name):
        try:
            return bool(importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            return False

    return [name for name in names if not installed(name)]


def install_on_colab() -> list[str]:
    """Install what a lesson needs and Colab lacks, touching nothing of Colab's own.

    `--no-deps` keeps pip from replacing torch or numpy. Returns what was installed.
    """
    wanted = [name for name in missing() if name not in LEFT_TO_COLAB]
    if wanted:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", *wanted]
        if subprocess.run(pip, cwd=ROOT).returncode:
            raise Problem(f"Colab could not install {', '.join(wanted)}. {COLAB_AGAIN}")
    return wanted
