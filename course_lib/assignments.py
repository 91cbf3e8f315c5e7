"""The room of assignments: a lesson as a graded notebook, and what a class made of it.

There is no second source: an assignment is derived from the lesson and from its file in
exercises/. `release` writes what nbgrader takes as its source, and what can be handed out
without nbgrader. `report` says what to look at before the next class.
"""

import ast
import json
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from course_lib import classroom, environment, figures, grading, lessons
from course_lib.classroom import Exercise
from course_lib.environment import Problem

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
PAGES = f"{environment.address()}/blob/main/notebooks"
QUESTIONS = "## Your class's numbers\n\nOther classes have other numbers."


# What there is -------------------------------------------------------------------------


def listing() -> str:
    """A line for each lesson: its exercises, points and minutes."""
    lines = ["lesson               exercises  checks  points  minutes"]
    for path in lessons.paths():
        every = classroom.exercises(path.name[:2])
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
    """
    path = lessons.path_of(lesson)
    every = classroom.assigned(lesson, checked(seed), private)
    if not every:
        raise Problem(f"Lesson {lesson} has no exercises.")
    config = out / "nbgrader_config.py"
    source = out / "source" / path.stem / path.name
    student = out / "student" / path.name
    for file in (source, student):
        file.parent.mkdir(parents=True, exist_ok=True)
    if not config.exists():  # a teacher may have changed it
        config.write_text(CONFIG, encoding="utf-8")
    notebook = graded(lessons.read(path), every, lesson, seed)
    lessons.write(notebook, source)
    lessons.write(handed_out(notebook), student)
    return [config, source, student]


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
    task.source = classroom.task_text(exercise).replace(
        f"· `{exercise.id}`*", f"· {points} {unit} · `{exercise.id}`*"
    )
    stub.source = solution(exercise)
    check.source = test(exercise)
    hint.source = classroom.help_text(exercise).partition("\n<details>")[0]
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
    text = classroom.source(exercise)
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


# Reporting -----------------------------------------------------------------------------


@dataclass
class Outcome:
    """What a class made of one exercise."""

    exercise: str
    passed: int
    partly: int
    wrong: int
    blank: int
    mistakes: list[tuple[str, int]]  # the most frequent, by the names of wrong answers

    @property
    def shares(self) -> list[int]:
        return [self.passed, self.partly, self.wrong, self.blank]


def outcomes(path: Path) -> list[Outcome]:
    """A grade's JSON, exercise by exercise; raises Problem if it is none."""
    try:
        data = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        marks = [mark for one in data["results"] for mark in one["marks"]]
        seed, lesson = data["seed"], data["lesson"]
    except (OSError, ValueError, KeyError, TypeError):
        raise Problem(
            f"{path} holds no grades. Give the table that `assignment grade` wrote; its "
            ".json must stand beside it."
        ) from None
    every = classroom.assigned(lesson, seed)
    return [
        outcome(one, [mark for mark in marks if mark["exercise"] == one.id])
        for one in every
    ]


def outcome(exercise: Exercise, marks: list[dict[str, Any]]) -> Outcome:
    """Count one exercise's marks and name its mistakes."""
    passed = sum(mark["points"] == mark["of"] for mark in marks)
    blank = sum(mark["message"] == grading.MESSAGES["blank"] for mark in marks)
    partly = sum(0 < mark["points"] < mark["of"] for mark in marks)
    missed = [m for m in marks if m["points"] < m["of"]]
    told = [m["message"] for m in missed if m["message"] != grading.MESSAGES["blank"]]
    names = Counter(mistake(exercise, message) for message in told)
    wrong = len(marks) - passed - blank - partly
    return Outcome(exercise.id, passed, partly, wrong, blank, names.most_common(3))


def mistake(exercise: Exercise, message: str) -> str:
    """The name of the wrong answer that gets this message; else how the message begins."""
    for wrong in exercise.wrong:
        if wrong.words in message:
            return wrong.name
    return message if len(message) <= 50 else message[:49].rstrip() + "…"


def told(found: list[Outcome]) -> str:
    """The report as text, the hardest exercise first."""
    lines = [
        "exercise               all  some  none  not started  most frequent mistakes"
    ]
    hardest = sorted(found, key=lambda one: one.passed / max(1, sum(one.shares)))
    for one in hardest:
        counts = f"{one.passed:>4}{one.partly:>6}{one.wrong:>6}{one.blank:>13}"
        names = "; ".join(f"{name} ({count})" for name, count in one.mistakes)
        lines.append(f"{one.exercise:<22}{counts}  {names}".rstrip())
    return "\n".join(lines)


def picture(found: list[Outcome], path: Path) -> None:
    """The report as a PNG file."""
    names = ["all points", "some points", "no points", "not started"]
    counts = {one.exercise: one.shares for one in found}
    notes = [one.mistakes[0][0] if one.mistakes else "" for one in found]
    axis = figures.outcomes(
        counts, names, notes, "What the class made of each exercise"
    )
    path.write_bytes(figures.png(axis))


# The command line ----------------------------------------------------------------------


def main(args: dict[str, Any]) -> int:
    """Do what `assignment ACTION …` asks; the exit status."""
    if args["action"] == "list":
        print(listing())
    elif args["action"] == "release":
        run_release(args)
    elif args["action"] == "grade":
        run_grade(args)
    else:
        run_report(Path(args["table"]))
    return 0


def run_release(args: dict[str, Any]) -> None:
    out = Path(args["out"])
    files = release(args["lesson"], out, args["seed"], args["private"])
    for file, about in zip(
        files, ("nbgrader's settings", "its source", "for students")
    ):
        print(f"{file}  {about}")
    print(f"With nbgrader, in {out}: nbgrader generate_assignment {files[1].stem}")


def run_grade(args: dict[str, Any]) -> None:
    folder, table = Path(args["folder"]), Path(args["table"])
    if not table.parent.is_dir():
        raise Problem(f"There is no folder {table.parent} to write the table in.")
    paths = list(grading.submissions(folder).values())
    lesson = args["lesson"] or grading.lesson_of(paths)
    seed = checked(args["seed"]) or seed_of(paths)
    print(
        f"Lesson {lesson}{f', seed {seed}' if seed else ''}: {len(paths)} submissions."
    )
    order = grading.Order(folder, table, lesson, seed, args["private"], args["lanes"])
    results = grading.grade(order)
    say_how(results)
    print(
        f"{table}\n{table.with_suffix('.json')}  (every check, and what students saw)"
    )


def say_how(results: list[grading.Result]) -> None:
    """What went wrong, and what the sandboxes could not take away."""
    bad = [one for one in results if one.problem]
    for one in bad:
        print(f"  {one.student}: {one.problem}")
    ran = [one for one in results if not one.problem]
    lacking = [
        k
        for k in ("network", "processes", "files")
        if not all(k in r.gone for r in ran)
    ]
    if ran and lacking:
        print(
            f"  Not taken away from students' code here: {', '.join(lacking)}. It can read "
            "the answers. Grade on a Linux that lets everyone make user namespaces; in "
            "Docker: --security-opt seccomp=unconfined --network none."
        )


def seed_of(paths: list[Path]) -> str:
    """The seed that most released notebooks carry."""
    votes = Counter()
    for path in paths:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            votes[str(data["metadata"]["next_token"]["seed"])] += 1
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return checked(votes.most_common(1)[0][0]) if votes else ""


def run_report(table: Path) -> None:
    found = outcomes(table)
    print(told(found))
    path = table.with_suffix(".png")
    picture(found, path)
    print(f"{path}")


if __name__ == "__main__":
    try:
        sys.exit(main(json.loads(sys.argv[1])))
    except Problem as problem:
        sys.exit(f"course_lib: {problem}")
    except KeyboardInterrupt:
        sys.exit(
            "\nStopped. What is graded is kept: the same command goes on from here."
        )
