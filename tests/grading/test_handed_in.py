"""What a class hands in: whose it is, what lesson and class it is of, what is the lesson's."""

import json
import os

import pytest

from course_lib.errors import Problem
from course_lib.grading import handed_in, release
from course_lib.grading.handed_in import Label, label, lesson_of, seed_of
from course_lib.grading.words import cell, name, plain
from course_lib.notebooks import cells
from tests import submissions


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """What students get of lesson 06, with a class's question."""
    return release.release("06", tmp_path_factory.mktemp("c"), seed="AUTUMN-26")[2]


def checks(*ids):
    return [("c", "\n".join(f'x = check("{id}", x)' for id in ids))]


def of(lesson, seed=""):
    return Label(frozenset({lesson}), seed)


def test_folders_without_submissions_are_refused(tmp_path):
    with pytest.raises(Problem, match="is not a folder"):
        handed_in.submissions(tmp_path / "none")
    with pytest.raises(Problem, match="no notebook"):
        handed_in.submissions(tmp_path)
    (tmp_path / "ada.ipynb.txt").write_text("{}")
    with pytest.raises(Problem, match=r"no notebook .+ada\.ipynb\.txt is not graded"):
        handed_in.submissions(tmp_path)


def test_a_notebook_with_another_one_s_name_in_another_form_is_kept(tmp_path):
    (tmp_path / "ada.ipynb.txt").write_text("{}")
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "06.ipynb").write_text("{}")
    found = handed_in.submissions(tmp_path)
    assert list(found.notebooks) == ["ada"] and not found.refused


def test_what_a_mac_or_a_system_adds_is_nobody_s(tmp_path):
    there = ["ada/06.ipynb", "ada/__MACOSX/06.ipynb", "__MACOSX/06.ipynb", ".x.ipynb"]
    there += ["ada/.ipynb_checkpoints/06.ipynb", "ada/.06.ipynb", ".git/x.ipynb"]
    for path in [tmp_path / one for one in there]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    found = handed_in.submissions(tmp_path)
    assert found.notebooks == {"ada": tmp_path / "ada" / "06.ipynb"}
    assert not found.refused and not found.others


# Lesson and class ----------------------------------------------------------------------


def test_a_notebook_says_its_lesson_in_its_checks():
    mine = checks("06.total", "06.largest", "05.softmax")
    assert label(mine, None).lessons == {"06"}
    loud = [*mine, *checks(*["05.softmax"] * 100), *checks("05.x", "05.y", "05.z")]
    assert label(loud, None).lessons == {
        "06"
    }  # each exercise that there is counts once
    assert label(
        [("c", '# check("05.softmax", x)\n"check(\'05.pre_norm\', x)"')], None
    ) == (Label(frozenset(), ""))


def test_every_notebook_has_one_vote_and_a_majority_is_wanted():
    assert lesson_of([of("06"), of("05"), of("06"), None]) == "06"
    assert lesson_of([Label(frozenset({"05", "06"}), ""), of("06")]) == "06"
    for labels in ([of("06"), of("05")], [of("06"), of("05"), of("04"), of("06")]):
        with pytest.raises(Problem, match=r"several lessons: .+--lesson 06"):
            lesson_of(labels)
        assert lesson_of(labels, "05") == "05"
    with pytest.raises(Problem, match="No submission says"):
        lesson_of([None, Label(frozenset(), "")])
    assert lesson_of([None], "05") == "05"
    with pytest.raises(
        Problem, match=r"asked for lesson 06, and 2 of 2 .+ of lesson 05"
    ):
        lesson_of([of("05"), of("05")], "06")


def test_one_notebook_decides_no_class():
    assert seed_of([of("06"), of("06", "EVE"), of("06")]) == ""
    assert seed_of([of("06", "SPRING"), of("06", "SPRING"), None, of("06", "EVE")]) == (
        "SPRING"
    )
    assert seed_of([]) == ""
    with pytest.raises(Problem, match=r"several classes: .+ --seed"):
        seed_of([of("06", "SPRING"), of("06")])


def test_the_class_stands_in_the_check_whatever_became_of_the_metadata(released):
    code = handed_in.cells_of(released)
    for metadata in (None, {}, {"next_token": 3}, {"next_token": {"seed": "EVE"}}):
        assert label(code, metadata) == of("06", "AUTUMN-26")
    assert label(checks("06.total"), {"next_token": {"seed": "X"}}).seed == "X"
    for odd in ("../../x", "", 3, "x" * 99, "a b"):
        assert label(checks("06.total"), {"next_token": {"seed": odd}}).seed == ""


# Cells ---------------------------------------------------------------------------------


def test_what_nobody_changed_is_the_lesson_s_own(released):
    code = handed_in.cells_of(released)
    assert all(own for _, _, own in handed_in.told_apart(code, "06", "AUTUMN-26"))
    public = handed_in.cells_of(cells.path_of("06"))
    assert all(own for _, _, own in handed_in.told_apart(public, "06"))
    renamed = [(f"n{i}", f"{source}\n") for i, (_, source) in enumerate(code)]
    found = handed_in.told_apart(renamed, "06", "AUTUMN-26")
    assert all(own for _, _, own in found) and len(found) == len(code)
    code[3] = (code[3][0], code[3][1] + "\n# mine")
    found = handed_in.told_apart(code, "06", "AUTUMN-26")
    assert [id for id, _, own in found if not own] == [code[3][0]]


def test_lost_cells_come_back_but_for_stubs_and_checks(released):
    found = handed_in.told_apart([("mine", "x = 1")], "06")
    assert found[-1] == ("mine", "x = 1", False) and len(found) > 5
    assert not any(id.startswith(("stub-", "check-")) for id, _, _ in found)


def made(**more):
    return json.dumps(
        {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [], **more}
    ).encode()


def test_any_form_of_a_notebook_is_read():
    one = {"cell_type": "code", "source": ["a = 1\n", "b = 2"], "outputs": []}
    assert handed_in.cells_in(b"\xef\xbb\xbf" + made(cells=[one])) == [
        ("0", "a = 1\nb = 2")
    ]
    assert handed_in.cells_in(made(cells=[one | {"id": 7, "source": "\ud800"}])) == [
        ("7", "?")
    ]
    old = {"nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""}}
    old["worksheets"] = [
        {"cells": [{"cell_type": "code", "input": "c", "outputs": []}]}
    ]
    assert [source for _, source in handed_in.cells_in(json.dumps(old).encode())] == [
        "c"
    ]
    with pytest.raises(Problem, match="two million letters"):
        handed_in.cells_in(made(cells=[one | {"source": "x" * 3 * 2**20}]))


def test_a_file_too_large_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(handed_in, "LARGEST", 10)
    (tmp_path / "x.ipynb").write_bytes(made())
    for size in (11, 2**40):  # more than any memory, and nothing on the disk
        os.truncate(tmp_path / "x.ipynb", size)
        with pytest.raises(Problem, match="over 0 MB"):
            handed_in.cells_of(tmp_path / "x.ipynb")


def test_lesson_and_class_are_read_off_what_is_handed_in(released, tmp_path):
    submissions.hand_in(["right", "patched"], released, tmp_path)
    found = handed_in.submissions(tmp_path)
    labels = [handed_in.label_of(path) for path in found.notebooks.values()]
    assert (lesson_of(labels), seed_of(labels)) == ("06", "AUTUMN-26")


# Words ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[31m\nb\r\tc", "a\\u001b[31m b c"),
        ("\ud800x\u202ey\u2028z", "\\ud800x\\u202ey z"),
        ("café – 21 ✓", "café – 21 ✓"),
        ("x" * 1000, "x" * 599 + "…"),
    ],
)
def test_text_is_one_line_of_visible_letters(text, shown):
    assert plain(text) == shown
    shown.encode()


def test_a_name_is_no_formula():
    for sign in ("=", "+", "-", "@", "\t=", " =", "\u00a0=", "＝", "＋", "\n@", "|"):
        assert cell(f"{sign}HYPERLINK(1)").startswith("'"), sign
    assert cell("Ada") == "Ada" and name("M\udcfcller") == "M\\xfcller"
