"""Where the course's own files lie, here and on the web; paths as people write them.

In this folder: `sources` says which files from elsewhere the course needs, `cache`
fetches and keeps them, `colab` installs what a Colab runtime lacks. This file imports
nothing but Python's own.
"""

import os
import shlex
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def path(written: str | Path) -> Path:
    """A path as a person writes it, in a command or a notebook: "~" is their home."""
    return Path(os.path.expanduser(written))


def setting(name: str) -> Path | None:
    """The path that an environment variable gives, or None.

    "~" is the home folder. A relative one counts from the course's folder: lessons run in
    folders below it, and commands anywhere.
    """
    written = os.environ.get(name)
    return ROOT / path(written) if written else None


def words(*after: str | Path) -> str:
    """A command of the course, to be printed and copied: quoted where a shell needs it."""
    every = ["python", "-m", "course_lib", *map(str, after)]
    return subprocess.list2cmdline(every) if os.name == "nt" else shlex.join(every)


def project() -> dict:
    """What pyproject.toml says of the course."""
    import tomllib  # not in a Python that is too old to run the course

    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)["project"]


def address() -> str:
    """Where the course is kept."""
    return project()["urls"]["Repository"]


def version() -> str:
    """The version of the course, such as "0.1.0"."""
    return project()["version"]
