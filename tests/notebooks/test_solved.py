"""Lessons with every answer typed in: the cells that the checks need, and their verdicts.

A whole lesson, solved, takes as long as unsolved; only what the checks hang on can differ.
So that the rest can't, no cell may bind anew a name that an answer before it uses.
"""

import ast

import pytest

from course_lib.grading.answer import loaded, stored
from course_lib.notebooks import cells

PATHS = cells.paths()
every_lesson = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def code(path):
    """The code cells of a lesson in which every answer is typed."""
    notebook = cells.solved(cells.read(path), path.name[:2])
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def defines(cell) -> set[str]:
    return stored(ast.parse(cell.source))


def uses(cell) -> set[str]:
    return loaded(ast.parse(cell.source))


def needed(every: list) -> list:
    """The cells that the checks need, in order: backwards, who named last what is used."""
    chosen, wanted = [], set()
    for cell in reversed(every):
        if "check" in cells.tags(cell) or defines(cell) & wanted:
            chosen.insert(0, cell)
            wanted = (wanted - defines(cell)) | uses(cell)
    return chosen


@pytest.mark.timeout(300)
@every_lesson
def test_every_check_passes_when_its_answer_is_typed(
    path, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    space = {"__name__": "__main__"}
    for cell in needed(code(path)):
        exec(compile(cell.source, f"cell {cell.id}", "exec"), space)
        said = capsys.readouterr().out
        if "check" in cells.tags(cell):
            assert said.startswith("✓") and "passed" in said, said


def test_cells_that_no_check_needs_are_left_out():
    def cell(id, source, *tags):
        return cells.NotebookNode(id=id, source=source, metadata={"tags": list(tags)})

    every = [
        cell("import", "import math"),
        cell("slow", "x = math.sqrt(2)"),
        cell("helper", "def half(x):\n    return x / 2"),
        cell("answer", "def quarter(x):\n    return half(half(x))"),
        cell("check", "quarter = print(quarter)", "check"),
        cell("after", "quarter(4)"),
    ]
    assert [one.id for one in needed(every)] == ["helper", "answer", "check"]


@every_lesson
def test_no_name_that_an_answer_uses_is_bound_anew(path):
    used = {}  # name → the answer that uses it
    for cell in code(path):
        if "check" not in cells.tags(cell):
            again = used.keys() & (defines(cell) - imported(cell))
            assert not again, f"{cell.id} binds {again} anew, which answers use"
        if "exercise" in cells.tags(cell):
            used |= dict.fromkeys(uses(cell) | defines(cell), cell.id)


def imported(cell) -> set[str]:
    """Names that a cell imports: the same module, or function, once more."""
    nodes = ast.walk(ast.parse(cell.source))
    found = [n for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)]
    return {(one.asname or one.name) for node in found for one in node.names}
