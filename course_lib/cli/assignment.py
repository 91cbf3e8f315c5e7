"""The command `assignment`: list, release, grade and report, for teachers."""

import argparse
import json
from collections import Counter
from pathlib import Path

from course_lib.cli.lab import lesson_number
from course_lib.errors import Problem
from course_lib.grading import grader, release, report


def run(args: argparse.Namespace) -> int:
    """`assignment ACTION …`."""
    actions = {"release": run_release, "grade": run_grade, "report": run_report}
    if args.action == "list":
        print(release.listing())
    else:
        actions[args.action](args)
    return 0


def run_release(args: argparse.Namespace) -> None:
    """`assignment release`: write what nbgrader and students get."""
    out, lesson = Path(args.out), lesson_number(args.lesson)
    files = release.release(lesson, out, args.seed, args.private)
    for file, about in zip(
        files, ("nbgrader's settings", "its source", "for students")
    ):
        print(f"{file}  {about}")
    print(f"With nbgrader, in {out}: nbgrader generate_assignment {files[1].stem}")


def run_grade(args: argparse.Namespace) -> None:
    """`assignment grade`: grade what is not graded yet, and write the table."""
    folder, table = Path(args.folder), Path(args.table)
    if not table.parent.is_dir():
        raise Problem(f"There is no folder {table.parent} to write the table in.")
    paths = list(grader.submissions(folder).values())
    lesson = lesson_number(args.lesson) if args.lesson else grader.lesson_of(paths)
    seed = release.checked(args.seed) or seed_of(paths)
    print(
        f"Lesson {lesson}{f', seed {seed}' if seed else ''}: {len(paths)} submissions."
    )
    order = grader.Order(folder, table, lesson, seed, args.private, args.lanes)
    say_how(grader.grade(order))
    print(
        f"{table}\n{table.with_suffix('.json')}  (every check, and what students saw)"
    )


def say_how(results: list[grader.Result]) -> None:
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
    return release.checked(votes.most_common(1)[0][0]) if votes else ""


def run_report(args: argparse.Namespace) -> None:
    """`assignment report`: say how a class did, and draw it."""
    table = Path(args.table)
    found = report.outcomes(table)
    print(report.told(found))
    path = table.with_suffix(".png")
    report.picture(found, path)
    print(f"{path}")
