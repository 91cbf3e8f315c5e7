"""Keep the learner's own copies of the lessons: made once, never overwritten.

`my_lessons/` lies beside `notebooks/` and is ignored by git, so that `git pull` never
meets a learner's work. A copy has its outputs cleared: guesses come before results.
Nothing here needs more than Python's standard library.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date
from pathlib import Path

from course_lib.errors import Problem
from course_lib.files import ROOT
from course_lib.files.progress import FOLDER, NAME

MARK = (
    "next_token"  # in a copy's metadata: which version of the lesson it was made from
)


def lessons(root: Path = ROOT) -> list[Path]:
    """The course's notebooks, one a lesson; not a reader's "-Copy1" beside them."""
    found: dict[str, Path] = {}
    for path in sorted((root / "notebooks").glob("[0-9][0-9]_*.ipynb")):
        kept = found.get(path.name[:2])
        if kept is None or len(path.name) < len(kept.name):
            found[path.name[:2]] = path
    return list(found.values())


def read(path: Path) -> dict:
    """A notebook as JSON. Raises Problem where it is none."""
    try:
        notebook = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(notebook["cells"], list):
            raise TypeError("its cells are no list")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Problem(
            f"{path.name} can't be read as a notebook ({error}). Move it away and run "
            "the same command again: a fresh copy takes its place."
        ) from error
    return notebook


def version(notebook: dict) -> str:
    """A fingerprint of what a notebook says, whatever its outputs."""
    said = [
        [one.get("id"), one.get("cell_type"), "".join(one.get("source", ""))]
        for one in notebook["cells"]
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def cleared(notebook: dict) -> dict:
    """The notebook without outputs, and with the version that it was made from."""
    for one in notebook["cells"]:
        if one.get("cell_type") == "code":
            one["outputs"], one["execution_count"] = [], None
    notebook["metadata"][MARK] = {"made_from": version(notebook)}
    return notebook


def write(notebook: dict, path: Path) -> None:
    """Write a notebook beside its place, then rename it."""
    part = path.with_suffix(".ipynb.part")
    text = json.dumps(notebook, indent=1, ensure_ascii=False)
    part.write_text(text + "\n", encoding="utf-8")
    part.replace(path)


def newer(lesson: Path) -> Path:
    """Where the course's newer lesson goes while the learner's own one stays."""
    return lesson.with_name(f"{lesson.stem}.new.ipynb")


def untouched(notebook: dict) -> bool:
    """Whether a copy still says what the lesson said that it was made from."""
    made_from = notebook.get("metadata", {}).get(MARK, {}).get("made_from")
    return made_from == version(notebook)


def place(lesson: Path, folder: Path) -> str:
    """Put a copy of a lesson into the folder, or leave what is there; what to say of it.

    A copy in which nothing was typed gives way to a newer lesson. One that was worked in
    stays, and the newer one is put beside it.
    """
    copy = folder / lesson.name
    fresh = cleared(read(lesson))
    if not copy.exists():
        write(fresh, copy)
        return ""
    own = read(copy)
    if own.get("metadata", {}).get(MARK) == fresh["metadata"][MARK]:
        return ""
    if untouched(own):
        write(fresh, copy)
        return (
            f"{copy.name}: the course has a newer one; yours was untouched: replaced."
        )
    beside = newer(copy)
    if not (
        beside.exists()
        and read(beside)["metadata"].get(MARK) == fresh["metadata"][MARK]
    ):
        keep(beside)
        write(fresh, beside)
    return (
        f"{copy.name}: the course has a newer one. Yours stays as it is; the new one is "
        f"{beside.name}, beside it. To change over: lab --fresh {copy.name[:2]}"
    )


def keep(path: Path) -> None:
    """Give a file that was worked in another name; one that was not may be replaced."""
    if path.exists() and not untouched(read(path)):
        path.rename(
            free(path.with_name(f"{path.name.removesuffix('.ipynb')}.kept.ipynb"))
        )


def free(path: Path) -> Path:
    """The path, or the next one with a number that nothing has."""
    number, found = 2, path
    while found.exists():
        found = path.with_name(f"{path.name.removesuffix('.ipynb')}-{number}.ipynb")
        number += 1
    return found


def prepare(root: Path = ROOT) -> list[str]:
    """Make the folder and every copy that is missing; what to tell the learner."""
    folder = root / FOLDER
    try:
        folder.mkdir(exist_ok=True)
        (folder / NAME).touch()
        said = [place(lesson, folder) for lesson in lessons(root)]
    except OSError as error:
        raise Problem(
            f"Your copies in {FOLDER} could not be written: {error}. Mend that, and run "
            "the same command again."
        ) from error
    return [one for one in said if one]


def start_anew(number: str, root: Path = ROOT) -> str:
    """Put a fresh copy of a lesson in place; keep the old one beside it, with its date."""
    lesson = next(path for path in lessons(root) if path.name[:2] == number)
    copy = root / FOLDER / lesson.name
    said = f"{copy.name} is fresh."
    if copy.exists():
        kept = free(copy.with_name(f"{copy.stem}.{date.today().isoformat()}.ipynb"))
        copy.rename(kept)
        said += f" The one you worked in is {kept.name}, beside it."
    write(cleared(read(lesson)), copy)
    if newer(copy).exists() and untouched(read(newer(copy))):
        newer(copy).unlink()
    return said
