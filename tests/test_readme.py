"""The README: its commands, its picture, its links, its map."""

import re
from pathlib import Path

from course_lib import lessons
from course_lib.environment import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_runs_the_readmes_test_command_to_the_letter():
    command = "python -m course_lib test"
    assert f"\n```\n{command}\n```\n" in README
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith(f"\n{command}")


def test_picture_is_lesson_00s_own():
    assert lessons.FIGURE.read_bytes() == lessons.readme_figure()
    assert "assets/next_token.png" in README


def test_links_lead_somewhere():
    for link in re.findall(r"\]\((?!https:)(.+?)\)", README):
        assert (ROOT / link).exists(), link


def test_every_lesson_is_in_the_table():
    for path in lessons.paths():
        title = lessons.read(path).cells[0].source.splitlines()[0].removeprefix("# ")
        assert f"(notebooks/{path.name}) | {title} |" in README


def test_every_room_is_on_the_map():
    for path in Path(ROOT / "course_lib").glob("*.py"):
        assert path.name == "__init__.py" or f"  {path.name} " in README, path.name


def test_the_story_is_the_models_own():
    """The first 60 tokens of the quoted story stand in lesson 00's output."""
    quoted = " ".join(re.findall(r"(?m)^> (.+)$", README))
    for cell in lessons.read(lessons.paths(["00"])[0]).cells:
        if cell.id == "fluent":
            written = " ".join(cell.outputs[0].text.split())
            assert quoted.startswith(written[:250])
