"""A place for each guess: what is said of it, and what is kept of it."""

import json

import pytest

from course_lib import classroom, guesses
from course_lib.files import progress


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A folder of a learner's own copies, in which the lesson runs."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / progress.NAME
    path.touch()
    return path


@pytest.mark.parametrize(
    ("guess", "measured", "words"),
    [
        (..., 0.18, "No guess was made"),
        (None, 3, "No guess was made"),
        (0.5, 0.18, "too high, by a factor of 2.78"),
        (0.01, 0.18, "too low, by a factor of 18"),
        (-3, 0.18, "is too low."),
        (0.2, 0.18, "is close"),
        (-2, -1.9, "is close"),
        (0, 0, "is close"),
        ("sky", "Sky", "right"),
        ("sea", "sky", "not this time"),
        ((2, 3), (2, 3), "right"),
        (float("nan"), 0.5, "not a number"),
        (10**400, 3.5, "too high"),
    ],
)
def test_a_guess_is_held_beside_the_truth(guess, measured, words, capsys):
    classroom.predict("00.x", guess, measured)
    assert words in capsys.readouterr().out


def test_a_choice_is_told_when_pressed_before_or_after(capsys):
    guess = classroom.choose("00.x", "yes", "no")
    classroom.predict("00.x", guess, "no")
    assert "Measured: no. (No guess" in capsys.readouterr().out.splitlines()[-1]
    guess.row.value = "yes"  # pressed late, after Run All
    assert guess.note.value == "Measured: no. You said yes: not this time."
    again = classroom.choose("00.x", "yes", "no")
    again.row.value = "no"
    assert "Noted" in again.note.value
    classroom.predict("00.x", again, "no")
    assert "You said no: right." in capsys.readouterr().out


def test_a_choice_shows_its_options_where_no_code_runs(monkeypatch):
    shown = []
    monkeypatch.setattr(guesses, "display", lambda data, raw: shown.append(data))
    guesses.choose("00.x", "yes", "no")
    assert shown[0]["text/markdown"] == "*Choose: yes · no*"
    assert guesses.LIVE in shown[0]


def test_what_was_guessed_and_passed_is_kept(kept, capsys):
    classroom.predict("00.x", 3, 4, " bytes")
    classroom.predict("00.y", ..., 4)  # no guess: nothing to keep
    sample = "lambda p, generator: int(p.multinomial(1, generator=generator))"
    classroom.check("00.sample", eval(sample))
    noted = progress.read(kept)
    assert [(one["id"], one["what"]) for one in noted] == [
        ("00.x", "guessed"),
        ("00.sample", "passed"),
    ]
    assert (noted[0]["guess"], noted[0]["measured"]) == (3, 4)


def test_a_line_cut_short_costs_itself_only(kept):
    progress.note("00.a", "passed")
    with kept.open("a") as file:
        file.write(json.dumps({"when": "now", "id": "00.b"})[:14])
    progress.note("00.c", "passed")
    assert [one["id"] for one in progress.read(kept)] == ["00.a", "00.c"]


def test_nothing_is_kept_outside_a_learners_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    progress.note("00.a", "passed")
    assert not list(tmp_path.iterdir())


def test_a_certificate_lists_what_passed_and_says_when_there_is_nothing(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.chdir(tmp_path)
    classroom.certificate()
    assert "by your own code: 0 of " in capsys.readouterr().out
    (tmp_path / progress.NAME).touch()
    for id, what in (
        ("15.greedy", "passed"),
        ("00.sample", "tried"),
        ("99.x", "passed"),
    ):
        progress.note(id, what)
    progress.note("15.greedy", "passed")
    classroom.certificate()
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("Passed by your own code: 1 of ")
    assert rest == [f"  15: greedy (1 of {len(classroom.exercises('15'))})"]
