"""The learner's own copies: outputs cleared, never overwritten, the newer one beside."""

import json

import pytest

from course_lib.cli import copies, progress
from course_lib.errors import Problem
from course_lib.files.progress import FOLDER, NAME

TITLE = {"cell_type": "markdown", "id": "title", "source": "# Why?"}


def lesson(root, *sources, number="03"):
    """Write a lesson of the course, saved with outputs."""
    ran = {"outputs": [{"text": "0.18"}], "execution_count": 1, "metadata": {}}
    code = [
        {"cell_type": "code", "id": f"c{i}", "source": one, **ran}
        for i, one in enumerate(sources)
    ]
    (root / "notebooks").mkdir(exist_ok=True)
    path = root / "notebooks" / f"{number}_attention.ipynb"
    path.write_text(json.dumps({"cells": [TITLE, *code], "metadata": {}}))
    return root / FOLDER / path.name


def typed(copy, source):
    """A learner types into a copy, and saves it."""
    notebook = json.loads(copy.read_text())
    notebook["cells"][-1]["source"] = source
    copy.write_text(json.dumps(notebook))
    return copy.read_bytes()


def source(copy):
    return json.loads(copy.read_text())["cells"][-1]["source"]


def test_a_copy_has_its_outputs_cleared_and_the_lesson_keeps_them(tmp_path):
    copy = lesson(tmp_path, "guess = ...")
    before = (tmp_path / "notebooks" / copy.name).read_bytes()
    assert copies.prepare(tmp_path) == []
    last = json.loads(copy.read_text())["cells"][-1]
    assert last["outputs"] == [] and last["execution_count"] is None
    assert (tmp_path / "notebooks" / copy.name).read_bytes() == before
    assert (tmp_path / FOLDER / NAME).exists()


def test_what_was_typed_is_never_overwritten(tmp_path):
    copy = lesson(tmp_path, "guess = ...")
    copies.prepare(tmp_path)
    mine = typed(copy, "guess = 4")
    assert copies.prepare(tmp_path) == []
    lesson(tmp_path, "guess = ...", "new")  # the course has a newer lesson
    said = copies.prepare(tmp_path)
    assert len(said) == 1 and "Yours stays" in said[0] and "lab --fresh 03" in said[0]
    assert copy.read_bytes() == mine
    beside = tmp_path / FOLDER / "03_attention.new.ipynb"
    assert source(beside) == "new"
    in_new = typed(beside, "typed into the new one")
    lesson(tmp_path, "guess = ...", "newer still")
    copies.prepare(tmp_path)
    assert copy.read_bytes() == mine and source(beside) == "newer still"
    kept = tmp_path / FOLDER / "03_attention.new.kept.ipynb"
    assert kept.read_bytes() == in_new


def test_an_untouched_copy_gives_way_to_a_newer_lesson(tmp_path):
    copy = lesson(tmp_path, "old")
    copies.prepare(tmp_path)
    lesson(tmp_path, "new")
    assert "untouched" in copies.prepare(tmp_path)[0]
    assert source(copy) == "new"
    assert copies.prepare(tmp_path) == []


def test_fresh_keeps_the_old_one_beside_it(tmp_path):
    copy = lesson(tmp_path, "guess = ...")
    copies.prepare(tmp_path)
    mine = typed(copy, "guess = 4")
    said = copies.start_anew("03", tmp_path)
    assert source(copy) == "guess = ..." and "beside it" in said
    first = typed(copy, "guess = 5")
    copies.start_anew("03", tmp_path)  # twice on one day
    kept = sorted((tmp_path / FOLDER).glob("03_attention.2*.ipynb"))
    assert [one.read_bytes() for one in kept] in ([mine, first], [first, mine])


def test_a_readers_copy_beside_a_lesson_is_no_lesson(tmp_path):
    lesson(tmp_path, "guess = ...")
    (tmp_path / "notebooks" / "03_attention-Copy1.ipynb").write_text("{}")
    assert [path.name for path in copies.lessons(tmp_path)] == ["03_attention.ipynb"]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"cells": 3}', "\x00"])
def test_a_copy_that_is_no_notebook_is_named_and_kept(tmp_path, text):
    copy = lesson(tmp_path, "guess = ...")
    copies.prepare(tmp_path)
    copy.write_text(text)
    with pytest.raises(Problem, match=r"03_attention.ipynb can't be read"):
        copies.prepare(tmp_path)
    assert copy.read_text() == text


# progress ---------------------------------------------------------------------------

ASKS = 'x = check("03.x", x)\npredict(\n    "03.y", guess_y, 3)\npredict("03.z", a, b)'


def note(root, **what):
    with (root / FOLDER / NAME).open("a") as file:
        file.write(json.dumps({"when": "now", **what}) + "\n")


def test_progress_counts_and_names_what_comes_next(tmp_path):
    lesson(tmp_path, ASKS)
    copies.prepare(tmp_path)
    lines = progress.report(tmp_path)
    assert "0 of 1 exercises, 0 of 2 guesses  Why?" in lines[3]
    assert len([one for one in lines if "being written" in one]) == 15
    assert any("Next exercise: 03.x" in one for one in lines)
    assert "Nothing is noted yet" in lines[-1]
    note(tmp_path, id="03.x", what="passed")
    note(tmp_path, id="03.y", what="guessed", guess=30, measured=3)
    note(tmp_path, id="03.z", what="guessed", guess="no", measured="yes")
    lines = progress.report(tmp_path)
    assert "█" * progress.BAR in lines[3] and "1 of 1 exercises, 2 of 2" in lines[3]
    assert "Every exercise is passed." in lines
    assert lines[-1] == "  03.y: you said 30, measured 3: a factor of 10"


def test_the_last_guess_counts_and_odd_lines_do_not(tmp_path):
    lesson(tmp_path, ASKS)
    copies.prepare(tmp_path)
    note(tmp_path, id="03.y", what="guessed", guess=-30, measured=3)
    assert progress.report(tmp_path)[-1].endswith("measured 3: the sign")
    note(tmp_path, id="03.y", what="guessed", guess=3, measured=3)
    with (tmp_path / FOLDER / NAME).open("a") as file:
        file.write('{"id": \n[1, 2]\n"text"\n')
    assert "Furthest off:" not in progress.report(tmp_path)


def test_progress_before_anything_was_opened(tmp_path):
    lesson(tmp_path, ASKS)
    assert "Nothing is noted yet" in progress.report(tmp_path)[-1]
