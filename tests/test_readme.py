"""The README: its commands, its picture, its links, its map."""

import re
from functools import partial
from pathlib import Path

from course_lib import device, lessons, pretrained, sampling
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


def test_the_stories_are_the_models_own():
    """Both quoted stories are among the first that the model in assets/ tells."""
    model, encoding, _ = pretrained.tinyworld()
    told = set()
    for seed in range(4):
        chance = device.generator(seed)
        ids = sampling.generate(
            model,
            encoding.encode("One"),
            partial(sampling.sample, generator=chance),
            80,
        )
        told.add("One" + encoding.decode(list(ids)).split("\n")[0])
    quoted = re.findall(r"(?m)((?:^> .+\n)+)", README)
    stories = [" ".join(re.findall(r"(?m)^> (.+)$", one)) for one in quoted]
    assert len(stories) == 2 and set(stories) <= told
