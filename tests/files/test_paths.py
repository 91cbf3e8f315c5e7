"""Paths as people write them, in commands, settings and notebooks."""

import shlex
from pathlib import Path

import pytest

from course_lib import data, files, pretrained
from course_lib.errors import Problem
from course_lib.files import ROOT, cache
from course_lib.train import train
from tests import runs


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder of one's own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # Windows'
    return tmp_path


def test_a_wave_is_the_home_folder_and_all_else_as_it_is(home):
    assert files.path("~/a b/c") == home / "a b" / "c"
    for written in ("a", "/a/b", "./~", "a~b", "~nobody-has-this-name/x"):
        assert files.path(written) == Path(written)


def test_a_relative_setting_counts_from_the_courses_folder(home, monkeypatch):
    monkeypatch.chdir(home)  # as a lesson does, and a student's own folder
    monkeypatch.setenv("SOME_FOLDER", "some/folder")
    assert files.setting("SOME_FOLDER") == ROOT / "some" / "folder"
    monkeypatch.setenv("SOME_FOLDER", str(home / "x"))
    assert files.setting("SOME_FOLDER") == home / "x"
    monkeypatch.setenv("SOME_FOLDER", "~/x")
    assert files.setting("SOME_FOLDER") == home / "x"
    monkeypatch.setenv("SOME_FOLDER", "")
    assert files.setting("SOME_FOLDER") is None


def test_the_cache_is_one_wherever_it_is_asked_for(home, monkeypatch):
    monkeypatch.setattr(files, "ROOT", home)
    monkeypatch.setenv("COURSE_CACHE", "cache")
    monkeypatch.chdir(home)
    first = cache.folder()
    (home / "notebooks").mkdir()
    monkeypatch.chdir(home / "notebooks")
    assert cache.folder() == first == home / "cache" and first.is_dir()


def test_a_text_and_a_run_may_lie_in_the_home_folder(home, monkeypatch):
    (home / "own text.txt").write_text("Some words of mine. " * 100)
    assert data.text("~/own text.txt").origin == "your file own text.txt"
    monkeypatch.chdir(home)
    make, config = runs.KINDS["AdamW"]
    texts = runs.TRAIN_IDS, runs.VAL_IDS
    train(runs.new(make), *texts, config, "cpu", "~/my runs", bar=False)
    assert [one.name for one in home.iterdir() if one.is_dir()] == ["my runs"]
    with pytest.raises(Problem, match=r"my runs.* not what they are weights of"):
        pretrained.trained("~/my runs")


def test_a_printed_command_can_be_copied():
    said = files.words("sample", "--checkpoint", Path("my runs") / "it's")
    assert shlex.split(said)[3:] == ["sample", "--checkpoint", "my runs/it's"]
    assert files.words("lab", "03") == "python -m course_lib lab 03"
