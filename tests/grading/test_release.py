"""A lesson released as an assignment: what students get, and what it is worth."""

import re
import shutil
import sys

import nbformat
import pytest

from course_lib import classroom, gpt, sizing
from course_lib.errors import Problem
from course_lib.exercises import registry, stubs
from course_lib.files import ROOT
from course_lib.grading import release
from course_lib.notebooks import cells
from tests import submissions

NUMBERS = [path.name[:2] for path in cells.paths()]


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
    for exercise in registry.assigned(lesson, "A1"):
        stub = cells[release.cell_id("stub", exercise)].source
        assert stub == stubs.stub(exercise)
        given = whole[release.cell_id("stub", exercise)].source
        kept = [x for x in given.splitlines() if x.strip() not in MARKS]
        assert "\n".join(kept).endswith(stubs.source(exercise))
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
    every = registry.assigned(lesson)
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
    (question,) = registry.class_questions("06", "SPRING")
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


@pytest.mark.parametrize("lesson", NUMBERS)
def test_no_class_can_use_another_s_answer_or_a_likely_mistake(lesson):
    classes = [registry.class_questions(lesson, f"CLASS-{n}")[0] for n in range(40)]
    assert len({question.rule for question in classes}) > 30
    for question in classes:
        for wrong in question.wrong:  # each is told its own words
            said = classroom.verdict(question, wrong.answer, 0)[1]
            assert said == wrong.words, (question.rule, wrong.name)


def test_the_question_on_the_cache_has_what_sizing_computes():
    """Its answer is written out; it must be that of the lesson's own count."""
    for n in range(5):
        (question,) = registry.class_questions("09", f"CLASS-{n}")
        layers, channels, read, each = [
            int(number.replace(",", ""))
            for number in re.findall(r"\b\d[\d,]*\b", question.rule)
        ]
        config = gpt.GPTConfig(layers=layers, channels=channels, heads=1)
        assert each == 2 and question.reference == read * sizing.kv_cache(
            config, "bf16"
        )


def test_the_list_names_every_lesson_with_its_points():
    text = release.listing()
    for path in cells.paths():
        assert path.stem in text
    total = sum(submissions.POINTS.values())
    (line,) = [line for line in text.splitlines() if line.startswith("06")]
    assert line.split()[3] == str(total)


# Points in nbgrader's cells ----------------------------------------------------------


def test_points_count_checks_and_nothing_else():
    (softmax,) = [e for e in registry.exercises("05") if e.name == "softmax"]
    total = sum(check.points for check in softmax.checks)
    space = dict(vars(sys.modules[softmax.reference.__module__]))
    exec(stubs.source(softmax), space)
    assert classroom.points(softmax.id, space["softmax"]) == total
    assert classroom.points(softmax.id, softmax.reference) == 0  # the course's own
    assert classroom.points(softmax.id, ...) == 0
    assert classroom.points(softmax.id, 7) == 0
    some = [classroom.points(softmax.id, wrong.answer) for wrong in softmax.wrong]
    assert max(some) < total and any(some)


def test_private_checks_add_points(tmp_path, monkeypatch):
    secret = tmp_path / "secret.py"
    secret.write_text(
        "from course_lib.exercises.kinds import Check, Mistake\n\n\n"
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
        registry.assigned("05", private=str(file))


def test_private_checks_of_another_lesson_are_left_alone(tmp_path):
    file = tmp_path / "secret.py"
    file.write_text("CHECKS = {'06.total': ()}")
    assert registry.assigned("05", private=str(file)) == registry.exercises("05")


def test_a_copy_beside_a_lesson_changes_nothing(tmp_path, monkeypatch):
    for path in cells.paths():
        shutil.copy(path, tmp_path)
    before = [path.name for path in cells.paths()]
    for name in ("06_counting_gpt3-Copy1.ipynb", "06_counting_gpt3 (2).ipynb"):
        (tmp_path / name).write_text("{}")
    monkeypatch.setattr(cells, "FOLDER", tmp_path)
    assert [path.name for path in cells.paths()] == before
    assert cells.path_of("06").name == "06_counting_gpt3.ipynb"
    release.release("06", tmp_path / "out")


def test_releasing_again_overwrites_nothing_that_was_edited(tmp_path):
    files = release.release("06", tmp_path)
    before = [path.read_bytes() for path in files]
    release.release("06", tmp_path, seed="OTHER")  # nobody wrote in them
    assert release.release("06", tmp_path) and before == [p.read_bytes() for p in files]
    for file in files[1:]:
        kept = file.read_text(encoding="utf-8")
        for edited in (kept.replace("config", "model", 1), "{}", "half a noteb"):
            file.write_text(edited, encoding="utf-8")
            with pytest.raises(Problem, match="changed after it was released"):
                release.release("06", tmp_path, seed="NEW")
            assert file.read_text(encoding="utf-8") == edited
        file.write_text(kept, encoding="utf-8")


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(Problem, match="is a file"):
        release.release("06", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_what_cannot_be_graded_says_why_and_gives_no_points(tmp_path):
    exercise = classroom.find("14.accumulate")
    assert exercise.ungraded and exercise.id not in {
        one.id for one in registry.assigned("14")
    }
    _, source, student = release.release("14", tmp_path)
    for path in (source, student):  # its check still runs
        assert 'check(\\"14.accumulate\\"' in path.read_text()
    teachers = (ROOT / "TEACHERS.md").read_text(encoding="utf-8")
    assert "14.accumulate" in teachers
