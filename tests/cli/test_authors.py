"""The commands for authors, and `claims` and `glossary`."""

import shutil

import pytest

from course_lib import __main__ as command_line
from course_lib.cli import authors
from course_lib.errors import Problem
from course_lib.files import ROOT, address

HOST = "https://github.com/"


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of what a fork changes."""
    (tmp_path / "notebooks").mkdir()
    for path in [*ROOT.glob("notebooks/0[0-2]*.ipynb"), *ROOT.glob("*.md")]:
        shutil.copy(path, tmp_path / path.relative_to(ROOT))
    shutil.copy(ROOT / authors.SETTINGS, tmp_path)
    monkeypatch.setattr(authors, "ROOT", tmp_path)
    return tmp_path


def test_a_fork_puts_its_address_everywhere_by_one_command(copied, capsys):
    old = address().removeprefix(HOST)
    command_line.main(["address", f"{HOST}me/my.course.git/"])
    texts = {p.name: p.read_text() for p in copied.rglob("*") if p.is_file()}
    assert not [name for name, text in texts.items() if old in text]
    assert f'Repository = "{HOST}me/my.course"' in texts["pyproject.toml"]
    lesson = texts["01_tokens.ipynb"]
    assert f"{HOST}me/my.course\\" in lesson  # the first cell's clone
    assert "colab.research.google.com/github/me/my.course/blob/main/" in lesson
    assert "pyproject.toml" in capsys.readouterr().out


@pytest.mark.parametrize("url", ["me/course", "http://github.com/a/b", HOST, "x; rm"])
def test_an_address_that_is_none_changes_nothing(copied, url):
    before = (copied / authors.SETTINGS).read_text()
    with pytest.raises(Problem, match="no address of a repository"):
        command_line.main(["address", url])
    assert (copied / authors.SETTINGS).read_text() == before


def test_claims_are_told_with_their_numbers(capsys):
    command_line.main(["claims"])
    said = capsys.readouterr().out
    assert "36 claims: " in said.splitlines()[-1]


def test_the_glossary_names_word_sentence_and_lesson(capsys):
    command_line.main(["glossary"])
    said = capsys.readouterr().out
    assert "softmax  (lesson 03)" in said and "**" not in said
