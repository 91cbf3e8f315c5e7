"""Which module is built in which lesson: read off the folder and the docstrings.

A module's docstring says "Built in lesson 08." or, of several, "Built in lessons 00, 05
and 09."; if an earlier lesson imports it, also "Lesson 03 uses it first". So a new
lesson touches no list. Nothing here needs more than Python's standard library.
"""

import re

from course_lib.files import ROOT

HOME = ROOT / "course_lib"
USERS = {"cli", "exercises", "files", "grading", "notebooks"}  # lessons import none
FIRST = re.compile(r"\bLesson (\d\d) uses it first\b")
BUILT = re.compile(r"\b[Bb]uilt in lessons? ([^.;]+)")


def docstrings() -> dict[str, str]:
    """Module → docstring, of all that a lesson's cell may import: course_lib's top."""
    found = {}
    for path in sorted([*HOME.glob("[a-z]*.py"), *HOME.glob("[a-z]*/__init__.py")]):
        name = path.parent.name if path.stem == "__init__" else path.stem
        if name not in USERS | {"errors"}:
            text = re.match(r'"""(.*?)"""', path.read_text(encoding="utf-8"), re.S)
            found[name] = " ".join(text[1].split())
    return found


def built() -> dict[str, list[str]]:
    """Module → the lessons that it is built in, such as {"gpt": ["03", "04", "05"]}."""
    found = {name: BUILT.search(text) for name, text in docstrings().items()}
    return {name: re.findall(r"\b\d\d\b", m[1]) for name, m in found.items() if m}


def stage() -> list[str]:
    """The modules that nobody has to type: what lessons are shown with."""
    return [name for name in docstrings() if name not in built()]


def built_in(lesson: str) -> list[str]:
    """The modules that a lesson builds, in whole or in part."""
    return [name for name, lessons in built().items() if lesson in lessons]


def importable(lesson: str) -> set[str]:
    """What the cells of a lesson may import: the stage, and what is built by then."""
    first = {name: FIRST.findall(text) for name, text in docstrings().items()}
    by_then = {n for n, lessons in built().items() if min(lessons + first[n]) <= lesson}
    return {*stage(), *by_then}
