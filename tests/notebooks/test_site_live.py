"""The site's live widgets on the lessons' pages: each in its place, and all others named.

What the widgets hold is tested in cli/test_live.py, and how they move in
slow/test_site_in_browser.py. Here the widgets are small pages of nothing.
"""

import argparse
import json
import re
from pathlib import Path

import nbformat
import pytest

from course_lib.cli import authors
from course_lib.errors import Problem
from course_lib.files import ROOT
from course_lib.notebooks import live, site
from course_lib.notebooks.live import Live

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST = 25_000_000  # bytes of a site


def made(lesson: str, cell: str) -> Live:
    def write(path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text("<!doctype html><title>x</title>")

    title = f"The widget of {lesson} & more"
    return Live(lesson, cell, "live-weights", title, "It moves.", write)


WIDGETS = [made("06_counting_gpt3", "picture"), made("02_embeddings", "analogy-lab")]


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("site") / "out"
    site.build(out, bar=False, model=authors.write_model, widgets=WIDGETS)
    return out


def page(folder: Path, name: str) -> str:
    return (folder / f"{name}.html").read_text(encoding="utf-8")


def with_widgets(path: Path) -> list[str]:
    """The ids of a notebook's cells that give show() a third thing, on one line or more."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    given = r"(?m)^(?:widgets\.)?show\(\s*\w+,\s*(?:\w+|\"[^\"]*\"),\s*\w+,?\s*\)"
    return [c["id"] for c in cells if re.search(given, "".join(c["source"]))]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_widget_s_picture_says_where_it_lives(built, path):
    """Once, right below it: in a frame here, or in the notebook."""
    html = page(built, path.stem)
    ids = with_widgets(path)
    ours = [one for one in WIDGETS if one.lesson == path.stem]
    assert html.count('<div class="live">') == len(ours)
    assert html.count('<p class="moves">') == len(ids) - len(ours)
    for id in ids:
        cell = html.split(f'id="{id}"')[1].split('<div class="cell')[0]
        where = re.findall(r'</figure>\s*<(?:div|p) class="(\w+)"', cell)
        assert where == ["live" if id in [one.cell for one in ours] else "moves"]
        colab = (
            f"{live.COLAB}next-token-course/next-token/blob/main/notebooks/{path.name}"
        )
        assert (f'href="{colab}"' in cell) == (where == ["moves"])


def test_the_lessons_have_many_widgets():
    assert sum(len(with_widgets(path)) for path in NOTEBOOKS) > 30


@pytest.mark.parametrize("one", WIDGETS, ids=lambda one: one.lesson)
def test_a_live_widget_stands_in_a_frame_below_its_picture(built, one):
    html = page(built, one.lesson)
    (frame,) = re.findall(r"<iframe [^>]+>", html)
    assert f'src="{one.file}"' in frame and 'loading="lazy"' in frame
    assert 'title="The widget of' in frame and "&amp; more" in frame
    assert (built / one.file).is_file()
    place = html.index(frame)
    assert html.rindex("<img", 0, place) < html.rindex("</figure>", 0, place)
    assert "Try it here" in html and f'<a href="{one.file}">' in html


def test_a_frame_that_would_tell_is_folded_with_its_picture(built):
    """Lesson 06's picture answers a guess: so does its widget."""
    html = page(built, "06_counting_gpt3")
    before = html[: html.index("<iframe")]
    folded = '<details class="guess">'
    assert before.rindex(folded) > before.rfind("</details>")


def test_pages_allow_frames_of_the_site_and_no_script(built):
    for path in built.glob("*.html"):
        if path.name == site.MODEL:
            continue
        (meta,) = re.findall(r"<meta [^>]*-Policy[^>]*>", path.read_text("utf-8"))
        policy = re.search(r'content="([^"]+)"', meta)[1]
        rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
        scripts = "'self'" if path.name == "search.html" else "'none'"
        assert rules == {
            "default-src": "'none'",
            "img-src": "'self'",
            "style-src": "'self'",
            "script-src": scripts,
            "frame-src": "'self'",
            "base-uri": "'none'",
            "form-action": "'none'",
        }


def test_the_contents_page_opens_with_the_model_and_leads_everywhere(built):
    html = page(built, "index")
    parts = ["<h1", 'class="model"', 'id="the_lessons"', 'id="look_up"']
    parts += ['id="two_commands"', 'id="on_colab"']
    places = [html.index(part) for part in parts]
    assert places == sorted(places)
    for name in ("claims", "glossary", "search"):
        assert f'href="{name}.html"' in html[places[3] : places[4]]
    words = page(built, "glossary").count("<dt")
    assert f"{words} of them" in html


def test_the_whole_site_is_small(built):
    """With half a megabyte for each of the four widgets, which are not here."""
    size = sum((built / name).stat().st_size for name in site.files(built))
    assert size + 4 * 500_000 <= LARGEST


@pytest.mark.parametrize(
    ("code", "shows"),
    [
        ("show(axis, caption, lab)", True),
        ("widgets.show(axis, 'x', widget=lab)", True),
        ("show(figures.bars(a, b, c), caption)", False),
        ("draw(a, b, c)", False),
        ("if x:\n    show(\n        a,\n        'b',\n        c,\n    )", True),
    ],
)
def test_a_third_thing_that_is_shown_is_a_widget(code, shows):
    assert live.shows_widget(code) is shows


def test_a_widget_without_its_picture_is_refused():
    notebook = nbformat.read(NOTEBOOKS[6], as_version=4)
    with pytest.raises(Problem, match=r"06_counting_gpt3 has no cell 'gone'"):
        live.place(notebook, NOTEBOOKS[6].stem, [made(NOTEBOOKS[6].stem, "gone")])
    live.place(notebook, NOTEBOOKS[6].stem, [made("05_transformer", "gone")])


# The command ----------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch):
    """A site of one file; the widgets that it was given."""
    given = []

    def write_all(folder, bar, model, widgets):
        given.extend(widgets)
        folder.mkdir()
        (folder / "index.html").write_text("new")
        (folder / site.LIST).write_text(f"index.html\n{site.LIST}\n")

    monkeypatch.setattr(site, "write_all", write_all)
    return given


def test_the_command_says_once_what_is_left_out(quick, empty_cache, tmp_path, capsys):
    out = tmp_path / "out"
    assert authors.run_site(argparse.Namespace(out=str(out))) == 0
    assert [one.lesson for one in quick] == ["06_counting_gpt3"]
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("1 pages") and "index.html" in first
    assert second.startswith("Left out") and "doctor --fetch" in second
    assert (out / "index.html").is_file()


def test_the_command_looks_where_it_writes_before_it_loads(
    quick, monkeypatch, tmp_path
):
    monkeypatch.setattr("course_lib.cli.live.ready", lambda: pytest.fail("loaded"))
    (tmp_path / "mine").write_text("x")
    with pytest.raises(Problem, match="holds mine"):
        authors.run_site(argparse.Namespace(out=str(tmp_path)))
