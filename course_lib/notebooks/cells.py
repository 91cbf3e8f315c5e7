"""Read the notebooks' cells, and derive those of exercises.

What a lesson says of an exercise is derived from `exercises/` and written into its
cells, so that there is one copy of every answer. `refresh` writes them; the tests hold
what it wrote to what it would write now.
"""

import ast
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_lib.errors import Problem
from course_lib.exercises import kinds, registry, stubs
from course_lib.files import ROOT, address, version

FOLDER = ROOT / "notebooks"
SET_UP = """\
import sys
from importlib.util import find_spec
from subprocess import getstatusoutput

clone = "git clone -q --depth 1 ADDRESS"
if "google.colab" in sys.modules:
    failed, said = getstatusoutput(f"ls next-token || {clone} -b vVERSION || {clone}")
    assert not failed, said  # git's own words
sys.path[:0] = ["next-token", ".."]  # Colab's copy, or the folder above this one
assert find_spec("course_lib"), "Move this notebook into the course's my_lessons."
from course_lib import devices

print(devices.ready("VERSION"))"""


def paths(numbers: list[str] | None = None) -> list[Path]:
    """The notebooks, in order; all of them, or those with these numbers."""
    return [p for p in one_a_lesson(FOLDER) if not numbers or p.name[:2] in numbers]


def one_a_lesson(folder: Path) -> list[Path]:
    """A folder's notebooks, in order, one for each lesson.

    A reader's copy beside a lesson has a longer name, such as 06_…-Copy1.ipynb.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("[0-9][0-9]_*.ipynb")):
        kept = found.get(path.name[:2])
        if kept is None or len(path.name) < len(kept.name):
            found[path.name[:2]] = path
    return list(found.values())


def path_of(number: str) -> Path:
    """The notebook of a lesson; Problem where there is none."""
    found = paths([number])
    if not found:
        raise Problem(f"The folder notebooks holds no notebook of lesson {number}.")
    return found[0]


def read(path: Path) -> NotebookNode:
    """A notebook, as nbformat reads it."""
    return nbformat.read(path, as_version=4)


def tags(cell: NotebookNode) -> list[str]:
    """A cell's tags, such as ["in-package", "claim:tokens"]."""
    return list(cell.metadata.get("tags", []))


def cell(path: Path, id: str) -> str:
    """The source of one cell, by its id."""
    for one in read(path).cells:
        if one.id == id:
            return one.source
    raise KeyError(f"{path.name} has no cell {id!r}.")


def derive(notebook: NotebookNode, lesson: str) -> NotebookNode:
    """Write the set-up cell, and tasks, stubs, checks and answers of the exercises.

    Each exercise has four cells with ids task-NAME, stub-NAME, check-NAME, help-NAME.
    """
    cells = {one.id: one for one in notebook.cells}
    cells["set-up"].source = set_up()
    for exercise in registry.exercises(lesson):
        end = exercise.name.replace("_", "-")
        for id, source, tag in (
            (f"task-{end}", stubs.task_text(exercise), "exercise-task"),
            (f"stub-{end}", stubs.stub(exercise), "exercise"),
            (f"check-{end}", check_line(exercise), "check"),
            (f"help-{end}", stubs.help_text(exercise), "exercise-help"),
        ):
            if id not in cells:
                raise ValueError(f"Lesson {lesson} lacks the cell {id!r}.")
            cells[id].source = source
            cells[id].metadata = {"tags": [tag]}
    return notebook


def set_up() -> str:
    """The first cell of every lesson: it finds the course, or fetches it on Colab.

    The tag of the lesson's own version is fetched; a repository without it, such as a
    fork, as it stands.
    """
    return SET_UP.replace("ADDRESS", address()).replace("VERSION", version())


def typed(notebook: NotebookNode) -> list[str]:
    """The ids of stub cells that hold more than a stub: a reader's own answers."""
    stubs = [one for one in notebook.cells if one.id.startswith("stub-")]
    return [one.id for one in stubs if one.source and not is_stub(one.source)]


def is_stub(source: str) -> bool:
    """Whether every function's body, or the value of a name, is no more than `...`."""
    try:
        tree = strip_docstrings(ast.parse(source))
    except SyntaxError:  # an answer half typed
        return False
    functions = [one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)]
    names = [one for one in tree.body if isinstance(one, ast.Assign)]
    left = [ast.unparse(line) for one in functions for line in one.body]
    return set(left or [ast.unparse(one.value) for one in names]) == {"..."}


def check_line(exercise: kinds.Exercise) -> str:
    """The cell that checks an answer and goes on with what passes."""
    return f'{exercise.name} = check("{exercise.id}", {exercise.name})'


def solved(notebook: NotebookNode, lesson: str) -> NotebookNode:
    """The same lesson with every answer typed in."""
    cells = {one.id: one for one in notebook.cells}
    for exercise in registry.exercises(lesson):
        stub = cells[f"stub-{exercise.name.replace('_', '-')}"]
        stub.source = stubs.source(exercise)
    return notebook


# What the tests read off a lesson ---------------------------------------------------


def definitions(source: str) -> dict[str, ast.AST]:
    """What a cell defines, docstrings taken out: functions, classes, CONSTANTS."""
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = strip_docstrings(node)
        elif isinstance(node, ast.Assign):
            names = [t.id for t in node.targets if isinstance(t, ast.Name)]
            found |= {name: node for name in names if name.isupper()}
    return found


def strip_docstrings(node: ast.AST) -> ast.AST:
    """The same syntax tree without docstrings."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(
            inner
        ):
            inner.body = inner.body[1:] or [ast.Pass()]
    return node


def asserts(source: str) -> bool:
    """Whether a cell holds an assert that could fail: not one of a constant."""
    nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Assert)]
    return any(not isinstance(node.test, ast.Constant) for node in nodes)


def claims(notebook: NotebookNode) -> dict[str, list[str]]:
    """Claim id → the sources of the cells that are tagged with it."""
    found = {}
    for one in notebook.cells:
        for tag in tags(one):
            if match := re.fullmatch(r"claim:(.+)", tag):
                found.setdefault(match[1], []).append(one.source)
    return found
