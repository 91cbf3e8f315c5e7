"""Where the course's own files lie, here and on the web.

In this folder: `sources` says which files from elsewhere the course needs, `cache`
fetches and keeps them, `colab` installs what a Colab runtime lacks. This file imports
nothing but Python's own.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


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
