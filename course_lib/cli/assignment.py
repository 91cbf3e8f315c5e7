"""The command `assignment`: list, release, grade, report and feedback, for teachers."""

import argparse
from pathlib import Path

from course_lib.cli.lab import lesson_number
from course_lib.errors import Problem
from course_lib.grading import feedback, grader, handed_in, release, report
from course_lib.grading.words import plain


def run(args: argparse.Namespace) -> int:
    """`assignment ACTION …`."""
    actions = {"release": run_release, "grade": run_grade, "report": run_report}
    actions["feedback"] = run_feedback
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
    found = handed_in.submissions(folder)
    labels = [handed_in.label_of(path) for path in found.notebooks.values()]
    asked = lesson_number(args.lesson) if args.lesson else ""
    lesson = handed_in.lesson_of(labels, asked)
    seed = handed_in.seed_of(labels) if args.seed is None else args.seed
    seed = release.checked(seed)
    print(
        f"Lesson {lesson}{f', seed {seed}' if seed else ''}: "
        f"{len(found.notebooks)} submissions."
    )
    lanes, unsafe = args.lanes, args.unsafe
    order = grader.Order(folder, table, lesson, seed, args.private, lanes, unsafe)
    say_how(grader.grade(order, found), found.others)
    print(
        f"{table}\n{table.with_suffix('.json')}  (every check, and what students saw)"
    )


def say_how(results: list[grader.Result], others: list[str]) -> None:
    """What went wrong, what was not graded, and whether students' code was shut in."""
    for one in results:
        if one.problem:
            print(f"  {plain(one.student)}: {plain(one.problem)}")
    if others:
        more = f" and {len(others) - 10} more" * (len(others) > 10)
        print(
            f"  Not graded, for they are no notebooks: {', '.join(others[:10])}{more}."
        )
    if not all(one.shut for one in results):
        print(
            "  Students' code was not shut in (--unsafe): it could read the answers, and "
            "read and write what you can."
        )


def run_feedback(args: argparse.Namespace) -> None:
    """`assignment feedback`: write a page for each student."""
    files = feedback.write(Path(args.table), Path(args.out))
    print(f"{args.out}: {len(files)} pages, one for each student.")


def run_report(args: argparse.Namespace) -> None:
    """`assignment report`: say how a class did, and draw it."""
    table = Path(args.table)
    found = report.outcomes(table)
    print(report.students(table))
    print(report.told(found))
    path = table.with_suffix(".png")
    report.picture(found, path)
    print(f"{path}")
