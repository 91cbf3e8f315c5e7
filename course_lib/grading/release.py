"""Release a lesson as a graded notebook, to nbgrader and to students.

There is no second source: an assignment is derived from the lesson and from its file in
exercises/. `release` writes what nbgrader takes as its source, and what can be handed out
without nbgrader.
"""

import ast
import hashlib
import json
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from course_lib.errors import Problem
from course_lib.exercises import registry, stubs
from course_lib.exercises.kinds import Exercise
from course_lib.files import address
from course_lib.notebooks import cells, refresh

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
HIDE, SHOW = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
CONFIG = '''"""Settings under which nbgrader takes this course's assignments as they are."""

c = get_config()  # nbgrader's own: noqa
c.CourseDirectory.course_id = "next-token"
# A stub's body is ..., as in the lessons, so that an unsolved notebook runs.
c.ClearSolutions.code_stub = {"python": "..."}
# The longest cell of all lessons takes two minutes on two cores.
c.ExecutePreprocessor.timeout = 300
# A cell that runs longer is stopped; those after it still run.
c.ExecutePreprocessor.interrupt_on_timeout = True
# A check that a student deleted comes back.
c.OverwriteCells.add_missing_cells = True
'''
PAGES = f"{address()}/blob/main/notebooks"
QUESTIONS = "## Your class's numbers\n\nOther classes have other numbers."


# What there is -------------------------------------------------------------------------


def listing() -> str:
    """A line for each lesson: its exercises, points and minutes."""
    lines = ["lesson               exercises  checks  points  minutes"]
    for path in cells.paths():
        every = registry.assigned(path.name[:2])
        checks = [check for one in every for check in one.checks]
        points = sum(check.points for check in checks)
        minutes = sum(one.minutes for one in every)
        counts = f"{len(every):>9}{len(checks):>8}{points:>8}{minutes:>9}"
        lines.append(f"{path.stem:<21}{counts}")
    return "\n".join(lines)


# Releasing -----------------------------------------------------------------------------


def release(lesson: str, out: Path, seed: str = "", private: str = "") -> list[Path]:
    """Write a lesson as an assignment; the files that were written.

    OUT/source/NAME/NAME.ipynb is nbgrader's source, with solutions and hidden tests;
    OUT/student/NAME.ipynb is what students get. The same seed gives the same bytes.
    Raises Problem, and writes nothing, where one of them was edited since.
    """
    if out.exists() and not out.is_dir():
        raise Problem(
            f"{out} is a file. Give a folder: the assignment is several files."
        )
    path = cells.path_of(lesson)
    every = registry.assigned(lesson, checked(seed), private)
    if not every:
        raise Problem(f"Lesson {lesson} has no exercises.")
    config = out / "nbgrader_config.py"
    source = out / "source" / path.stem / path.name
    student = out / "student" / path.name
    notebook = graded(cells.read(path), every, lesson, seed)
    made = {source: signed(notebook), student: signed(handed_out(notebook))}
    for file, fresh in made.items():
        if file.exists() and is_edited(file, fresh):
            raise Problem(
                f"{file} was changed after it was released, which would be lost. Move it "
                "away, or release into another folder."
            )
    for file in made:
        file.parent.mkdir(parents=True, exist_ok=True)
    if not config.exists():  # a teacher may have changed it
        config.write_text(CONFIG, encoding="utf-8")
    for file, fresh in made.items():
        refresh.write(fresh, file)
    return [config, source, student]


def signed(notebook: NotebookNode) -> NotebookNode:
    """The same with a fingerprint of what it says, by which a later edit shows."""
    notebook.metadata["next_token"] = {
        **notebook.metadata["next_token"],
        "made": fingerprint(notebook),
    }
    return notebook


def fingerprint(notebook: NotebookNode) -> str:
    """A fingerprint of a notebook's cells, whatever their outputs."""
    said = [[one.get("id"), one.cell_type, one.source] for one in notebook.cells]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def is_edited(file: Path, fresh: NotebookNode) -> bool:
    """Whether a file says what no release wrote there. One that can't be read was edited."""
    try:
        old = cells.read(file)
        mark = old.metadata.get("next_token", {}).get("made")
        return fingerprint(old) not in (mark, fingerprint(fresh))
    except Exception:  # whatever a file can hold
        return True


def checked(seed: str) -> str:
    """The seed, if it can stand in an id; else Problem."""
    if seed and not seed.replace("-", "").isalnum():
        raise Problem(
            f"The seed {seed[:20]!r} has signs in it: use letters and digits."
        )
    return seed


def graded(
    notebook: NotebookNode, every: tuple[Exercise, ...], lesson: str, seed: str
) -> NotebookNode:
    """A lesson with nbgrader's cells for its exercises, solutions and tests included."""
    here = {one.id for one in notebook.cells}
    added = [e for e in every if cell_id("stub", e) not in here]
    if added:
        notebook.cells.append(new_markdown_cell(QUESTIONS, id="class-numbers"))
    for exercise in added:
        kinds = {"task": new_markdown_cell, "stub": new_code_cell}
        kinds |= {"check": new_code_cell, "help": new_markdown_cell}
        for name, kind in kinds.items():
            notebook.cells.append(kind("", id=cell_id(name, exercise)))
    cells = {one.id: one for one in notebook.cells}
    lead_out(notebook)
    for exercise in every:
        fill(cells, exercise)
    for one in notebook.cells:
        if one.cell_type == "code":
            one.outputs, one.execution_count = [], None
    notebook.metadata["next_token"] = {"lesson": lesson, "seed": seed}
    return notebook


def lead_out(notebook: NotebookNode) -> None:
    """Let links lead to the course's web pages, for the lessons aren't beside it.

    The link that opens the lesson in Colab goes: it would open the public one.
    """
    for one in notebook.cells:
        if one.cell_type == "markdown":
            one.source = re.sub(r"\n*\[Open in Colab\]\(.+?\)", "", one.source)
            one.source = re.sub(r"\]\((\d\d_\w+\.ipynb)", rf"]({PAGES}/\1", one.source)


def cell_id(kind: str, exercise: Exercise) -> str:
    """The id of an exercise's task, stub, check or help."""
    return f"{kind}-{exercise.name.replace('_', '-')}"


def fill(cells: dict[str, NotebookNode], exercise: Exercise) -> None:
    """Write the four cells of an exercise, and what nbgrader must know of them."""
    task, stub, check, hint = (
        cells[cell_id(kind, exercise)] for kind in ("task", "stub", "check", "help")
    )
    points = sum(one.points for one in exercise.checks)
    unit = "point" if points == 1 else "points"
    task.source = stubs.task_text(exercise).replace(
        f"· `{exercise.id}`*", f"· {points} {unit} · `{exercise.id}`*"
    )
    stub.source = solution(exercise)
    check.source = test(exercise)
    hint.source = stubs.help_text(exercise).partition("\n<details>")[0]
    mark(task, locked=True)
    mark(stub, solution=True)
    mark(check, locked=True, grade=True, points=points)
    mark(hint, locked=True)


def mark(cell: NotebookNode, **how: bool | int) -> None:
    """What nbgrader reads off a cell."""
    plain = {"grade": False, "locked": False, "solution": False, "task": False}
    cell.metadata["nbgrader"] = {
        **plain,
        "cell_type": cell.cell_type,
        "grade_id": cell.id,
        "schema_version": 3,
        **how,
    }


def solution(exercise: Exercise) -> str:
    """The answer, with nbgrader's marks around what students are to write."""
    text = stubs.source(exercise)
    if not exercise.is_function:
        return f"{exercise.name} = ...\n{BEGIN}\n{text}\n{END}"
    lines = text.splitlines()
    for function in sorted(outermost(ast.parse(text)), key=lambda f: -f.lineno):
        has_docstring = ast.get_docstring(function) is not None
        first = function.body[1 if has_docstring else 0]
        indent = " " * first.col_offset
        lines.insert(function.end_lineno, f"{indent}{END}")
        lines.insert(first.lineno - 1, f"{indent}{BEGIN}")
    return "\n".join(lines)


def outermost(tree: ast.AST) -> list[ast.FunctionDef]:
    """Functions and methods, but not functions inside of them."""
    if isinstance(tree, ast.FunctionDef):
        return [tree]
    return [f for node in ast.iter_child_nodes(tree) for f in outermost(node)]


def test(exercise: Exercise) -> str:
    """The check that students see, and behind it the points."""
    name = exercise.name
    return (
        f"answer = {name}\n"
        f'{name} = check("{exercise.id}", answer)\n'
        f"{HIDE}\n"
        "from course_lib.classroom import points\n\n"
        f'points("{exercise.id}", answer)\n'
        f"{SHOW}"
    )


def handed_out(notebook: NotebookNode) -> NotebookNode:
    """The same without solutions and hidden tests."""
    student = nbformat.reads(nbformat.writes(notebook), as_version=4)  # a copy
    for one in student.cells:
        if BEGIN in one.source:
            one.source = without(one.source, BEGIN, END, "...")
            # A number's stub says ... once; nbgrader's own release says it twice.
            one.source = one.source.replace(" = ...\n...", " = ...")
        elif HIDE in one.source:
            one.source = without(one.source, HIDE, SHOW, "")
    return student


def without(source: str, begin: str, end: str, stub: str) -> str:
    """A cell with every marked region replaced by a stub, or by nothing."""
    kept, inside = [], False
    for line in source.splitlines():
        if line.strip() == begin:
            inside = True
            if stub:
                kept.append(line.replace(begin, stub))
        elif line.strip() == end:
            inside = False
        elif not inside:
            kept.append(line)
    return "\n".join(kept).strip()
