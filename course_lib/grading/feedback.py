"""Write a page for each student: points, and the sentences that the checks said."""

import html
import json
import re
from pathlib import Path
from typing import Any

from course_lib.errors import Problem
from course_lib.exercises import registry
from course_lib.exercises.kinds import Exercise

PAGE = """<!doctype html>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 17px/1.5 system-ui, sans-serif; max-width: 42em; margin: 2em auto; }}
li.missed::marker {{ content: "○ "; }} li.passed::marker {{ content: "✓ "; }}
</style>
<h1>{title}</h1>
{body}
"""


def graded(table: Path) -> dict[str, Any]:
    """What `grade` wrote beside its table: lesson, seed, results. Problem if nothing."""
    try:
        data = json.loads(table.with_suffix(".json").read_text(encoding="utf-8"))
        for one in data["results"]:
            str(one["student"]), str(one["problem"])
            [str(mark["exercise"]) for mark in one["marks"]]
        str(data["lesson"]), str(data["seed"])
    except (OSError, ValueError, KeyError, TypeError):
        raise Problem(
            f"{table} holds no grades. Give the table that `assignment grade` wrote; its "
            ".json must stand beside it."
        ) from None
    return data


def write(table: Path, out: Path) -> list[Path]:
    """Write a page for each student into a folder; the files that were written.

    Raises Problem where the table holds no grades, or OUT is no folder.
    """
    data = graded(table)
    if out.exists() and not out.is_dir():
        raise Problem(f"{out} is a file. Give a folder for the pages.")
    out.mkdir(parents=True, exist_ok=True)
    every = registry.assigned(data["lesson"], data["seed"])
    files = []
    for name, one in zip(names(data["results"]), data["results"]):
        path = out / f"{name}.html"
        path.write_text(page(one, data["lesson"], every), encoding="utf-8")
        files.append(path)
    return files


def names(results: list[dict]) -> list[str]:
    """A file name for each student: letters and digits of theirs, none twice."""
    found: list[str] = []
    for one in results:
        plain = re.sub(r"[^\w.@+-]+", "_", one["student"]).strip("._") or "student"
        number, free = 2, plain
        while free.lower() in [other.lower() for other in found]:
            number, free = number + 1, f"{plain}-{number}"
        found.append(free)
    return found


def page(result: dict, lesson: str, every: tuple[Exercise, ...]) -> str:
    """A student's page."""
    marks = {mark["exercise"]: mark for mark in result["marks"]}
    total = sum(check.points for one in every for check in one.checks)
    total = sum(mark["of"] for mark in marks.values()) or total
    parts = [f"<p><b>{result['points']} of {total} points.</b></p>"]
    if result["problem"]:
        parts.append(f"<p>{html.escape(result['problem'])}</p>")
    for one in every if marks else ():
        if one.id in marks:
            parts.append(section(one, marks[one.id]))
    title = html.escape(f"Lesson {lesson}: {result['student']}")
    return PAGE.format(title=title, body="\n".join(parts))


def section(exercise: Exercise, mark: dict) -> str:
    """What is said of one exercise: its checks, and what the first one that failed said."""
    proves = {check.name: check.proves for check in exercise.checks}
    rows = [
        f'<li class="{"passed" if points else "missed"}">'
        f"{html.escape(f'{name}: {proves[name]}' if name in proves else name)}</li>"
        for name, points in mark["checks"].items()
    ]
    said = "" if mark["message"] == "passed" else html.escape(mark["message"])
    return (
        f"<h2>{html.escape(exercise.title)} "
        f"<small>{mark['points']} of {mark['of']}</small></h2>\n"
        f"{f'<p>{said}</p>' if said else ''}\n<ul>\n" + "\n".join(rows) + "\n</ul>"
    )
