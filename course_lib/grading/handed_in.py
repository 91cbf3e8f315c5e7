"""Read what a class handed in: which notebook is whose, its cells, its lesson and seed.

Files come from strangers: each is looked at before it is opened, read up to a limit, and
what is wrong with it costs itself only.
"""

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import nbformat

from course_lib.errors import Problem
from course_lib.exercises import registry
from course_lib.grading import release
from course_lib.grading.words import name
from course_lib.notebooks.cells import path_of, read, tags

SUFFIX = ".ipynb"
LARGEST = 200 * 2**20  # bytes of a submission; its outputs are dropped
SOURCES = 2 * 2**20  # letters of its code
IGNORED = ("__MACOSX",)  # what a Mac adds to an archive
# A line that checks an answer, such as: total = check("06.total", total)
CHECKED = re.compile(
    r"""(?m)^[^#\n"']*\bcheck\(\s*["']((\d\d)\.\w+(?:@([\w-]+))?)["']"""
)


@dataclass
class HandedIn:
    """What is in a folder of submissions."""

    notebooks: dict[str, Path]  # student → notebook
    refused: dict[str, str] = field(default_factory=dict)  # student → why there is none
    others: list[str] = field(default_factory=list)  # what else lies there

    @property
    def students(self) -> list[str]:
        return sorted([*self.notebooks, *self.refused])


def submissions(folder: Path) -> HandedIn:
    """Student → notebook: NAME.ipynb, or the one notebook in a folder NAME/….

    Who has two, none, or one under a name that is no notebook's, is refused with the
    reason. Raises Problem if there is no notebook at all.
    """
    if not folder.is_dir():
        raise Problem(f"{folder} is not a folder. Give the one with the submissions.")
    found: dict[str, list[Path]] = {}
    refused, others = {}, []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in IGNORED:
            continue
        inside = is_folder(path)
        if inside and path.suffix != SUFFIX:
            found.setdefault(name(path.name), []).extend(notebooks_in(path))
        elif path.suffix == SUFFIX:
            found.setdefault(name(path.stem), []).append(path)
        elif SUFFIX in path.name.lower():
            who = path.name[: path.name.lower().index(SUFFIX)]
            refused[name(who)] = (
                f"{name(path.name)} is not graded: give it the ending {SUFFIX}."
            )
        else:
            others.append(name(path.name))
    kept = {}
    for who, paths in found.items():
        if len(paths) == 1:
            kept[who] = paths[0]
            refused.pop(who, None)
        elif paths:
            names = ", ".join(name(str(one.relative_to(folder))) for one in paths[:4])
            refused[who] = f"There are {len(paths)} notebooks: {names}. Keep one."
        else:
            refused.setdefault(who, NOTHING)
    if not kept and not any(len(paths) > 1 for paths in found.values()):
        more = "".join(f" {why}" for why in refused.values() if why != NOTHING)
        raise Problem(
            f"There is no notebook in {folder}. Put one for each student there: "
            f"NAME.ipynb, or NAME/anything.ipynb.{more[:500]}"
        )
    return HandedIn(kept, refused, others)


NOTHING = "Nothing was handed in: an empty folder."


def is_folder(path: Path) -> bool:
    """Whether it is a folder itself, and no link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def notebooks_in(folder: Path) -> list[Path]:
    """The notebooks in a student's folder, at any depth, without following links.

    A folder called x.ipynb stands for one only where there is no other.
    """
    files, odd = [], []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f[:1] != "." and f not in IGNORED)
        for found, some in ((files, sorted(names)), (odd, folders)):
            found += [
                Path(place) / one
                for one in some
                if one.endswith(SUFFIX) and not one.startswith(".")
            ]
    return files or odd[:1]


# A notebook ----------------------------------------------------------------------------


def content(path: Path) -> bytes:
    """A file's bytes. Raises Problem for what is no file, can't be read, or is too large."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise Problem(
                    "It is no file. Ask for the notebook, as saved by Jupyter."
                )
            with open(handle, "rb", closefd=False) as file:
                raw = file.read(LARGEST + 1)
        finally:
            os.close(handle)
    except OSError as error:
        raise Problem(
            f"The file can't be opened ({error.strerror}). Ask for it again."
        ) from None
    if len(raw) > LARGEST:
        raise Problem(f"The file has over {LARGEST // 2**20} MB.")
    return raw


def cells_of(path: Path) -> list[tuple[str, str]]:
    """The code cells of a notebook: id and source. Raises Problem if it is none."""
    return cells_in(content(path))


def cells_in(raw: bytes) -> list[tuple[str, str]]:
    """The same of a file's bytes."""
    try:
        data = json.loads(raw.decode("utf-8-sig"))
        if data["nbformat"] != 4:
            data = nbformat.convert(nbformat.from_dict(data), 4)
        code = [one for one in data["cells"] if one["cell_type"] == "code"]
        found = [(str(one.get("id", i))[:100], whole(one["source"]))
                 for i, one in enumerate(code)]  # fmt: skip
    except Exception as error:  # whatever a file can hold
        raise Problem(
            f"The file is no notebook that can be read ({type(error).__name__}). Ask for "
            "it again, as saved by Jupyter."
        ) from None
    if sum(len(source) for _, source in found) > SOURCES:
        raise Problem("Its code has over two million letters: no notebook of a lesson.")
    return found


def whole(source: str | list) -> str:
    """A cell's text, which may be kept line by line; halves of letters become ?."""
    text = source if isinstance(source, str) else "".join(source)
    return text.encode("utf-8", "replace").decode("utf-8")


# Which cells are the lesson's own --------------------------------------------------------


def told_apart(
    cells: list[tuple[str, str]], lesson: str, seed: str = ""
) -> list[tuple[str, str, bool]]:
    """A submission's cells, each with whether it is the lesson's own, unchanged.

    Before them come the lesson's own that it has lost. Stubs and checks are not put back:
    an answer that is gone is gone, and a check is made where the answer is.
    """
    own = own_sources(lesson, seed)
    ids = {id for id, _ in cells}
    there = {source.strip() for _, source in cells}
    lost = [(id, source, True) for id, source in kept_cells(lesson)
            if id not in ids and source.strip() not in there]  # fmt: skip
    return lost + [(id, source, source.strip() in own) for id, source in cells]


@cache
def kept_cells(lesson: str) -> list[tuple[str, str]]:
    """The lesson's own cells of code, without stubs and checks."""
    code = [one for one in read(path_of(lesson)).cells if one.cell_type == "code"]
    return [(one.id, one.source) for one in code
            if not {"exercise", "check"} & set(tags(one))]  # fmt: skip


@cache
def own_sources(lesson: str, seed: str) -> frozenset[str]:
    """What stands in the lesson's cells, public and as it is handed out to a class."""
    every = registry.assigned(lesson, seed)
    public = read(path_of(lesson))
    handed = release.handed_out(
        release.graded(read(path_of(lesson)), every, lesson, seed)
    )
    both = [*public.cells, *handed.cells]
    return frozenset(one.source.strip() for one in both if one.cell_type == "code")


def handed_out(lesson: str, seed: str) -> list[tuple[str, str]]:
    """The cells of code that a class was given: id and source."""
    every = registry.assigned(lesson, seed)
    whole = release.graded(read(path_of(lesson)), every, lesson, seed)
    code = [one for one in release.handed_out(whole).cells if one.cell_type == "code"]
    return [(one.id, one.source) for one in code]


# Which lesson, which class -------------------------------------------------------------


@dataclass(frozen=True)
class Label:
    """What a notebook says of itself."""

    lessons: frozenset[str]  # those whose exercises it checks most of
    seed: str  # '' where it is no class's


def label(cells: list[tuple[str, str]], metadata: object) -> Label:
    """What a notebook says of itself, in its checks; of its class also beside them."""
    said = {m.groups() for _, source in cells for m in CHECKED.finditer(source)}
    known = Counter(lesson for id, lesson, seed in said if seed or is_known(id, lesson))
    most = max(known.values(), default=0)
    lessons = frozenset(lesson for lesson, count in known.items() if count == most)
    seeds = {seed for _, _, seed in said if seed and is_seed(seed)}
    if not seeds and isinstance(metadata, dict):
        beside = metadata.get("next_token")
        seed = beside.get("seed") if isinstance(beside, dict) else None
        seeds = {seed} if isinstance(seed, str) and seed and is_seed(seed) else set()
    return Label(lessons, seeds.pop() if len(seeds) == 1 else "")


def is_known(id: str, lesson: str) -> bool:
    return any(one.id == id for one in registry.exercises(lesson))


def is_seed(text: str) -> bool:
    return len(text) <= 40 and text.replace("-", "").isalnum()


def label_of(path: Path) -> Label | None:
    """The same of a file; None if it is no notebook that can be read."""
    try:
        raw = content(path)
        cells = cells_in(raw)
        return label(cells, json.loads(raw.decode("utf-8-sig")).get("metadata"))
    except (Problem, ValueError, AttributeError, RecursionError, MemoryError):
        return None


def lesson_of(labels: Iterable[Label | None], asked: str = "") -> str:
    """The lesson that most notebooks are of: each has one vote, whatever it says.

    Raises Problem where there is no majority, or it is not the lesson `asked` for.
    """
    votes = Counter(min(one.lessons) for one in labels if one and len(one.lessons) == 1)
    if not votes:
        if asked:
            return asked
        raise Problem("No submission says which lesson it is. Name it: --lesson 05.")
    first, count = votes.most_common(1)[0]
    if asked and first != asked and 2 * count > votes.total():
        raise Problem(
            f"You asked for lesson {asked}, and {count} of {votes.total()} notebooks are "
            f"of lesson {first}. Give their folder, or --lesson {first}."
        )
    if not asked and 2 * count <= votes.total():
        told = ", ".join(f"{n} of lesson {one}" for one, n in votes.most_common(3))
        raise Problem(
            f"The notebooks are of several lessons: {told}. Name yours: --lesson {first}."
        )
    return asked or first


def seed_of(labels: Iterable[Label | None]) -> str:
    """The class that most notebooks are of, '' if of none; raises Problem if none wins."""
    votes = Counter(one.seed for one in labels if one)
    if not votes:
        return ""
    first, count = votes.most_common(1)[0]
    if 2 * count <= votes.total():
        told = ", ".join(f"{n} of {one or 'none'}" for one, n in votes.most_common(3))
        raise Problem(
            f"The notebooks are of several classes: {told}. Name yours: --seed NAME; "
            'for none: --seed "".'
        )
    return first
