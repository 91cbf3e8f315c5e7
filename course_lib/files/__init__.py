"""Where the course's own files lie, here and on the web.

In this folder: `sources` says which files from elsewhere the course needs, `cache`
fetches and keeps them, `colab` installs what a Colab runtime lacks. This file imports
nothing but Python's own.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def address() -> str:
    """Where the course is kept, as pyproject.toml says."""
    import tomllib  # not in a Python that is too old to run the course

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return project["project"]["urls"]["Repository"]
