"""The room of assignments: released, graded by nbgrader for real, reported."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import nbformat
import pytest

from course_lib import classroom, figures
from course_lib.errors import Problem
from course_lib.files import ROOT
from course_lib.grading import grader, release, report
from course_lib.notebooks import cells
from tests import submissions

resource = pytest.importorskip("resource")  # not on Windows

NBGRADER = "nbgrader==0.9.6"
NAME = "06_counting_gpt3"
NUMBERS = [path.name[:2] for path in cells.paths()]
CELL_SECONDS = 40  # longest that a cell of a submission runs, here
MEMORY = 8 * 2**30  # bytes that nbgrader and a kernel may take, here


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A released lesson 06."""
    out = tmp_path_factory.mktemp("course")
    release.release("06", out)
    return out


# Releasing -------------------------------------------------------------------------


@pytest.mark.parametrize("lesson", NUMBERS)
def test_what_students_get_holds_the_stubs_and_no_answer(lesson, tmp_path):
    _, source, student = release.release(lesson, tmp_path, seed="A1")
    cells = {one.id: one for one in nbformat.read(student, as_version=4).cells}
    whole = {one.id: one for one in nbformat.read(source, as_version=4).cells}
    for exercise in classroom.assigned(lesson, "A1"):
        stub = cells[release.cell_id("stub", exercise)].source
        assert stub == classroom.stub(exercise)
        given = whole[release.cell_id("stub", exercise)].source
        kept = [x for x in given.splitlines() if x.strip() not in MARKS]
        assert "\n".join(kept).endswith(classroom.source(exercise))
        help = cells[release.cell_id("help", exercise)].source
        assert "A hint" in help and "An answer" not in help
    assert "HIDDEN" not in student.read_text() and "SOLUTION" not in student.read_text()


@pytest.mark.parametrize("lesson", NUMBERS)
def test_links_lead_to_the_courses_pages_and_not_to_the_public_colab(lesson, tmp_path):
    _, _, student = release.release(lesson, tmp_path)
    text = "\n".join(one.source for one in cells.read(student).cells)
    assert "colab.research" not in text
    links = re.findall(r"\]\(([^)]+\.ipynb)", text)
    assert links and all(link.startswith("https://github.com/") for link in links)
    names = {path.name for path in cells.paths()}
    assert {link.rpartition("/")[2] for link in links} <= names


MARKS = (release.BEGIN, release.END)


@pytest.mark.parametrize("lesson", NUMBERS)
def test_points_are_those_of_the_checks_and_ids_differ(lesson, tmp_path):
    _, source, _ = release.release(lesson, tmp_path)
    marks = [one.metadata.get("nbgrader") for one in cells.read(source).cells]
    marks = [mark for mark in marks if mark]
    assert len({mark["grade_id"] for mark in marks}) == len(marks)
    every = classroom.exercises(lesson)
    points = sum(check.points for one in every for check in one.checks)
    assert sum(mark.get("points", 0) for mark in marks) == points > 0


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path):
    files = [
        release.release("06", tmp_path / name, seed)[1].read_bytes()
        for name, seed in (("a", "SPRING"), ("b", "SPRING"), ("c", "AUTUMN"))
    ]
    assert files[0] == files[1] != files[2]


def test_a_seed_with_signs_is_refused(tmp_path):
    with pytest.raises(Problem, match="letters and digits"):
        release.release("06", tmp_path, seed="'); import os")


def test_a_changed_setting_is_kept(course):
    config = course / "nbgrader_config.py"
    config.write_text("c = get_config()  # mine\n")
    release.release("06", course)
    assert "mine" in config.read_text()
    config.write_text(release.CONFIG)


def test_questions_of_a_class_are_asked_and_their_answers_pass(tmp_path, capsys):
    student = release.release("06", tmp_path, seed="SPRING")[2]
    (question,) = classroom.class_questions("06", "SPRING")
    texts = [one.source for one in cells.read(student).cells]
    assert any(question.rule.strip() in text for text in texts)
    assert f"{question.name} = ..." in texts
    assert classroom.check(question.id, question.reference) == question.reference
    assert "passed" in capsys.readouterr().out
    for wrong in (..., -1):  # and no answer is given away
        assert classroom.check(question.id, wrong) == wrong
        assert "own is not shown" in capsys.readouterr().out
    classroom.solution(question.id)
    assert str(question.reference) not in capsys.readouterr().out


def test_the_list_names_every_lesson_with_its_points():
    text = release.listing()
    for path in cells.paths():
        assert path.stem in text
    total = sum(submissions.POINTS.values())
    (line,) = [line for line in text.splitlines() if line.startswith("06")]
    assert line.split()[3] == str(total)


# Points in nbgrader's cells ----------------------------------------------------------


def test_points_count_checks_and_nothing_else():
    (softmax,) = [e for e in classroom.exercises("05") if e.name == "softmax"]
    total = sum(check.points for check in softmax.checks)
    space = dict(vars(sys.modules[softmax.reference.__module__]))
    exec(classroom.source(softmax), space)
    assert classroom.points(softmax.id, space["softmax"]) == total
    assert classroom.points(softmax.id, softmax.reference) == 0  # the course's own
    assert classroom.points(softmax.id, ...) == 0
    assert classroom.points(softmax.id, 7) == 0
    some = [classroom.points(softmax.id, wrong.answer) for wrong in softmax.wrong]
    assert max(some) < total and any(some)


def test_private_checks_add_points(tmp_path, monkeypatch):
    secret = tmp_path / "secret.py"
    secret.write_text(
        "from course_lib.classroom import Check, Mistake\n\n\n"
        "def run(answer, generator):\n"
        "    if answer.__doc__ != 'mine':\n"
        "        raise Mistake('not mine')\n\n\n"
        "CHECKS = {'05.softmax': (Check('secret', 3, 'is mine', 'say so', run),)}\n"
    )
    softmax = classroom.find("05.softmax")

    def mine(logits, temperature=1.0):
        "mine"
        x = logits / temperature
        x = (x - x.max(-1, keepdim=True).values).exp()
        return x / x.sum(-1, keepdim=True)

    total = sum(check.points for check in softmax.checks)
    monkeypatch.setenv("COURSE_PRIVATE_CHECKS", str(secret))
    assert classroom.points("05.softmax", mine) == total + 3
    mine.__doc__ = "yours"
    assert classroom.points("05.softmax", mine) == total


@pytest.mark.parametrize(
    "text, words",
    [
        (None, "gives no checks (FileNotFoundError"),
        ("checks = {}", "gives no checks (KeyError"),
        ("def", "gives no checks (SyntaxError"),
        ("CHECKS = {'05.softmaxx': ()}", "checks for '05.softmaxx', but lesson 05 has"),
    ],
)
def test_private_checks_that_cannot_be_used_are_one_sentence(tmp_path, text, words):
    file = tmp_path / "secret.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Problem, match=re.escape(words)):
        classroom.assigned("05", private=str(file))


def test_private_checks_of_another_lesson_are_left_alone(tmp_path):
    file = tmp_path / "secret.py"
    file.write_text("CHECKS = {'06.total': ()}")
    assert classroom.assigned("05", private=str(file)) == classroom.exercises("05")


def test_a_second_notebook_of_a_lesson_is_named(tmp_path, monkeypatch):
    for name in ("06_counting_gpt3.ipynb", "06_counting_gpt3-Copy1.ipynb"):
        (tmp_path / name).write_text("{}")
    monkeypatch.setattr(cells, "FOLDER", tmp_path)
    with pytest.raises(Problem, match=r"06_counting_gpt3-Copy1\.ipynb, 06_.+Move"):
        release.release("06", tmp_path / "out")


# nbgrader, for real ------------------------------------------------------------------


@pytest.fixture(scope="module")
def nbgrader(tmp_path_factory):
    """A function that runs nbgrader, in an environment of its own beside this one."""
    place = tmp_path_factory.mktemp("nbgrader")
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    (site / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    words = [place / "bin" / "pip", "install", "-q", "--no-warn-script-location"]
    done = subprocess.run([*words, NBGRADER], capture_output=True, text=True)
    if done.returncode:
        reason = f"{NBGRADER} could not be installed: {done.stderr.strip()[-200:]}"
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)

    def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
        path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
        calm = {"COURSE_OFFLINE": "1", "COURSE_THREADS": "2", "PYTHONPATH": str(ROOT)}
        calm["JUPYTER_PATH"] = str(Path(sys.prefix) / "share" / "jupyter")
        return subprocess.run(
            [place / "bin" / "nbgrader", *arguments],
            cwd=folder,
            env={**os.environ, **calm, "PATH": path},
            capture_output=True,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY)),
        )

    return run


@pytest.mark.timeout(900)
def test_the_whole_of_nbgrader_grades_as_stated(course, nbgrader):
    config = course / "nbgrader_config.py"
    config.write_text(
        release.CONFIG + f"c.ExecutePreprocessor.timeout = {CELL_SECONDS}\n"
    )
    done = nbgrader(course, "generate_assignment", NAME)
    assert done.returncode == 0, done.stderr[-2000:]
    released = course / "release" / NAME / f"{NAME}.ipynb"
    own = cells.read(course / "student" / f"{NAME}.ipynb").cells
    theirs = cells.read(released).cells
    assert [one.source for one in own] == [one.source for one in theirs]

    incoming = course / "incoming"  # a release directory is exchange enough
    submissions.hand_in(list(submissions.KINDS), released, incoming)
    for kind in submissions.KINDS:
        to = course / "submitted" / kind / NAME
        shutil.copytree(incoming / kind, to)
    graded = nbgrader(course, "autograde", NAME)
    feedback = nbgrader(course, "generate_feedback", NAME)
    assert nbgrader(course, "export").returncode == 0
    with (course / "grades.csv").open(newline="") as file:
        found = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert found == submissions.THEIRS, graded.stderr[-3000:]
    pages = list((course / "feedback").glob(f"*/{NAME}/*.html"))
    # A kernel that died leaves nothing to give feedback on.
    assert len(pages) == len(submissions.KINDS) - 1, feedback.stderr[-2000:]


def test_what_students_get_runs_unsolved(course, tmp_path):
    notebook = tmp_path / f"{NAME}.ipynb"
    shutil.copy(course / "student" / notebook.name, notebook)
    words = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--nbval-current-env"]
    calm = {"COURSE_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*words, "--nbval-cell-timeout=120", "-p", "no:cacheprovider", notebook],
        env={**os.environ, **calm},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-2000:]


# The report --------------------------------------------------------------------------


def test_a_report_counts_and_names_the_mistakes(tmp_path):
    softmax = classroom.find("05.softmax")
    wrong = softmax.wrong[0]
    total = sum(check.points for check in softmax.checks)
    words = ["passed", f"Hm. {wrong.words} So.", wrong.words, "not started", "odd"]
    points = [total, 1, 0, 0, 0]
    results = [
        {"marks": [mark("05.softmax", p, total, said)]}
        for p, said in zip(points, words)
    ]
    table = tmp_path / "grades.csv"
    data = {"lesson": "05", "seed": "", "results": results}
    table.with_suffix(".json").write_text(json.dumps(data))
    (found,) = [o for o in report.outcomes(table) if o.exercise == "05.softmax"]
    assert found.shares == [1, 1, 2, 1]
    assert found.mistakes == [(wrong.name, 2), ("odd", 1)]
    text = report.told([found])
    assert wrong.name in text and "05.softmax" in text
    report.picture([found], tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def mark(exercise, points, of, message):
    return {"exercise": exercise, "points": points, "of": of, "message": message}


def test_a_report_of_no_grades_says_what_to_give(tmp_path):
    with pytest.raises(Problem, match="assignment grade"):
        report.outcomes(tmp_path / "none.csv")


def test_every_wrong_answer_is_told_by_its_own_name_or_one_with_its_words():
    for number in NUMBERS:
        for exercise in classroom.exercises(number):
            for wrong in exercise.wrong:
                message = classroom.verdict(exercise, wrong.answer, 1)[1]
                name = report.mistake(exercise, message)
                (same,) = [w for w in exercise.wrong if w.name == name]
                assert same.words in message


def test_the_picture_of_nothing_is_drawn():
    assert figures.outcomes({}, ["a", "b", "c", "d"], [], "t")


# The command line --------------------------------------------------------------------


def command(*words, **more):
    return subprocess.run(
        [sys.executable, "-m", "course_lib", "assignment", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        **more,
    )


def test_commands_say_what_to_do(tmp_path):
    done = command("release", "77", str(tmp_path))
    assert done.returncode == 1 and "There is no lesson" in done.stderr
    done = command("grade", str(tmp_path / "nowhere"), str(tmp_path / "g.csv"))
    assert done.returncode == 1 and "is not a folder" in done.stderr
    done = command("report", str(tmp_path / "g.csv"))
    assert done.returncode == 1 and "holds no grades" in done.stderr
    assert "Traceback" not in done.stderr
    done = command("list")
    assert done.returncode == 0 and NAME in done.stdout


def test_release_grade_and_report_by_command(tmp_path):
    done = command("release", "6", str(tmp_path / "course"), "--seed", "SPRING")
    assert done.returncode == 0 and "generate_assignment" in done.stdout
    released = tmp_path / "course" / "student" / f"{NAME}.ipynb"
    submissions.hand_in(["right", "half"], released, tmp_path / "in")
    table = tmp_path / "grades.csv"
    done = command("grade", str(tmp_path / "in"), str(table), "--lanes", "1")
    assert done.returncode == 0, done.stderr
    assert "seed SPRING" in done.stdout  # which the notebooks carry
    with table.open(newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert int(rows["right"]["points"]) == submissions.ALL
    assert int(rows["right"]["of"]) == submissions.ALL + 2  # the class's question
    assert int(rows["half"]["points"]) == submissions.HALF
    assert rows["half"]["06.largest"] == "0"
    done = command("report", str(table))
    assert done.returncode == 0 and "ignores" not in done.stderr
    assert table.with_suffix(".png").is_file()
    assert grader.MESSAGES["blank"] in done.stdout
