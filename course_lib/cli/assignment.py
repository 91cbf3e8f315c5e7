"""The command `assignment`: list, release, grade and report, for teachers."""

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from course_lib.errors import Problem
from course_lib.grading import grader, release, report


def main(args: dict[str, Any]) -> int:
    """Do what `assignment ACTION …` asks; the exit status."""
    if args["action"] == "list":
        print(release.listing())
    elif args["action"] == "release":
        run_release(args)
    elif args["action"] == "grade":
        run_grade(args)
    else:
        run_report(Path(args["table"]))
    return 0


def run_release(args: dict[str, Any]) -> None:
    out = Path(args["out"])
    files = release.release(args["lesson"], out, args["seed"], args["private"])
    for file, about in zip(
        files, ("nbgrader's settings", "its source", "for students")
    ):
        print(f"{file}  {about}")
    print(f"With nbgrader, in {out}: nbgrader generate_assignment {files[1].stem}")


def run_grade(args: dict[str, Any]) -> None:
    folder, table = Path(args["folder"]), Path(args["table"])
    if not table.parent.is_dir():
        raise Problem(f"There is no folder {table.parent} to write the table in.")
    paths = list(grader.submissions(folder).values())
    lesson = args["lesson"] or grader.lesson_of(paths)
    seed = release.checked(args["seed"]) or seed_of(paths)
    print(
        f"Lesson {lesson}{f', seed {seed}' if seed else ''}: {len(paths)} submissions."
    )
    order = grader.Order(folder, table, lesson, seed, args["private"], args["lanes"])
    results = grader.grade(order)
    say_how(results)
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


def run_report(table: Path) -> None:
    found = report.outcomes(table)
    print(report.told(found))
    path = table.with_suffix(".png")
    report.picture(found, path)
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
