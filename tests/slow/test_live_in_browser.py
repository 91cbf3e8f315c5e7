"""The site's live widgets in a real browser: they say what the course says, by keyboard.

How they stand on the lessons' pages is tested in test_site_in_browser.py.
"""

import re
from collections.abc import Iterator

import pytest
import torch
from test_browser import chromium, expect
from test_site_in_browser import FOCUS, Visit
from torch.nn import functional as F

from course_lib import gpt, inside, sampling, sizing, vectors
from course_lib.cli import live

CONTROLS = "input, select"
PAGES = ["02-analogy-lab", "03-picture", "06-picture", "09-picture"]
PAGES += ["13-picture", "13-map-explorer"]


@pytest.fixture(scope="module")
def visit(tmp_path_factory) -> Iterator[Visit]:
    """A Chromium that looks at the widgets' pages from the disk."""
    folder = tmp_path_factory.mktemp("widgets")
    widgets, left_out = live.ready()
    assert left_out == ""
    for one in widgets:
        one.write(folder / one.file)
    with chromium() as started:
        yield Visit(started.new_page(), folder)


@pytest.fixture
def watched(visit) -> Iterator[Visit]:
    """The visit, with nothing noted yet, and nothing to complain of at the end."""
    visit.requests.clear()
    visit.errors.clear()
    yield visit
    visit.page.emulate_media(reduced_motion="no-preference")
    assert visit.outside == [] and visit.errors == []


def told(visit: Visit) -> str:
    return visit.page.inner_text("#told")


def slide(visit: Visit, name: str, to: float) -> None:
    """Move a slider as a reader's mouse or key would, to a place."""
    move = "(e, to) => { e.value = to; e.dispatchEvent(new Event('input')); }"
    visit.page.get_by_label(name, exact=True).evaluate(move, to)


@pytest.mark.parametrize("name", PAGES)
def test_a_widget_by_keyboard(watched, name):
    """Tab reaches every control, each shows that it has the focus, arrows move it."""
    watched.open(f"live/{name}")
    page = watched.page
    count = page.locator(CONTROLS).count()
    assert count >= 2
    for i in range(count):
        page.keyboard.press("Tab")
        one = page.locator(CONTROLS).nth(i)
        expect(one).to_be_focused()
        assert page.evaluate(FOCUS) >= 2
        before = page.inner_text("main")
        kind = one.get_attribute("type") or "list"
        if kind == "text":
            page.keyboard.press("Control+A")
            page.keyboard.type("water")
            page.keyboard.press("Enter")
        elif kind == "checkbox":
            page.keyboard.press("Space")
        elif one.evaluate("e => Number(e.value) === Number(e.max)"):
            page.keyboard.press("ArrowLeft")
        else:
            page.keyboard.press("ArrowDown" if kind == "list" else "ArrowRight")
        assert page.inner_text("main") != before, one.get_attribute("id")


def test_nothing_moves_for_those_who_ask_for_it(watched):
    for motion, wanted in (("reduce", {"0s"}), ("no-preference", {"0.15s", "0.2s"})):
        found = set()
        for name, part in (("09-picture", ".bar"), ("06-picture", ".tree div")):
            watched.open(f"live/{name}")
            watched.page.emulate_media(reduced_motion=motion)
            style = "e => getComputedStyle(e).transitionDuration.split(', ')[0]"
            found.add(watched.page.locator(part).first.evaluate(style))
        assert found == wanted


def test_the_explorer_shows_stored_patterns_and_holds_a_token(watched, llm):
    model, encoding = llm
    watched.open("live/03-picture")
    page = watched.page
    for at, text in enumerate(live.TEXTS):
        page.get_by_label("Text").select_option(str(at))
        weights = inside.attention_patterns(model, encoding.encode(text))
        for layer, head in ((27, 3), (0, 0), (29, 8), (18, 6)):
            slide(watched, "Layer", layer)
            slide(watched, "Head", head)
            assert told(watched) == f"Where head {head} of layer {layer} looks"
            last = weights.shape[-1] - 1
            page.locator(".query.token").nth(last).hover()
            shown = page.locator(".key .weight").all_inner_texts()
            wanted = weights[layer, head, last].tolist()
            assert [float(one) for one in shown] == pytest.approx(wanted, abs=0.00501)
    page.locator(".query.token").nth(2).click()
    pressed = page.locator(".query.token[aria-pressed=true]")
    expect(pressed).to_have_count(1)
    page.keyboard.press("Escape")
    expect(pressed).to_have_count(0)


def test_the_tree_map_counts_as_the_course_does(watched):
    watched.open("live/06-picture")
    page = watched.page

    def holds(config: gpt.GPTConfig) -> None:
        rows = sizing.eight_rows(config)
        assert told(watched).startswith(f"{sum(rows.values()):,} weights")
        cells = page.locator(".rows tbody tr").all()
        shown = [cell.inner_text().split("\t")[:2] for cell in cells]
        assert [name.strip() for name, _ in shown] == list(rows)
        assert [int(n.replace(",", "")) for _, n in shown] == list(rows.values())
        boxes = [tile.bounding_box() for tile in page.locator(".tree div").all()]
        areas = [(b["width"] + 4) * (b["height"] + 4) for b in boxes]
        for area, weights in zip(areas, rows.values()):
            share = weights / sum(rows.values())
            assert area / sum(areas) == pytest.approx(share, abs=0.02)

    page.emulate_media(reduced_motion="reduce")
    for i, config in enumerate(live.SISTERS.values()):
        page.get_by_label("Model").select_option(str(i))
        holds(config)
    slide(watched, "Channels", 128)
    slide(watched, "Layers", 2)
    slide(watched, "Vocabulary", 7)
    holds(gpt.GPTConfig(7_257, 2_048, 2, 128, 2))
    assert page.get_by_label("Model").evaluate("e => e.selectedOptions[0].text") == (
        "another"
    )


def test_the_lab_finds_what_the_course_finds(watched):
    glove = vectors.glove()
    kept = live.common(glove)
    unit = F.normalize(glove.vectors[[glove.id(word) for word in kept]], dim=-1)
    watched.open("live/02-analogy-lab")
    page = watched.page

    def ask(*words: str) -> None:
        for name, word in zip("abc", words):
            page.get_by_label(name, exact=True).fill(word)
        page.keyboard.press("Enter")

    for words in (
        ("man", "woman", "king"),
        ("walk", "walked", "go"),
        ("Paris", "France", "Rome"),
    ):
        ids = [kept.index(word.lower()) for word in words]
        for leave_out in (True, False):
            page.get_by_label("leave the inputs out").set_checked(leave_out)
            ask(*words)
            answer = kept[vectors.analogy(unit, *ids, leave_out)]
            assert told(watched).endswith(f"is to {answer}")
            end = F.normalize(unit[ids[1]] - unit[ids[0]] + unit[ids[2]], dim=-1)
            best = float(unit[kept.index(answer)] @ end)
            number = page.locator(".bars .number").first.inner_text()
            assert float(number) == pytest.approx(best, abs=0.015)
    ask("paris", "xyzzy", "rome")
    assert told(watched) == "“xyzzy” is not among these 2,000 words."
    ask("paris", "", "rome")
    assert told(watched) == "Type a word into each of the three boxes."


DIALS = [  # temperature, place of top-k, top-p, place of min-p
    (1, 0, 1, 0),
    (1, 8, 1, 0),
    (2, 0, 1, 0),
    (0.2, 0, 0.95, 0),
    (0, 0, 1, 0),
    (1.5, 3, 0.9, 2),
    (0.7, 1, 0.5, 5),
    (1, 0, 0.3, 0),
]
TOP_K = [None, 1000, 500, 200, 100, 50, 20, 10, 5, 2, 1]
MIN_P = [None, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]


@pytest.mark.parametrize("at", range(len(live.BEGINNINGS)))
def test_the_dials_leave_what_the_course_s_sampler_leaves(watched, llm, at):
    model, encoding = llm
    logits = inside.logits(model, encoding.encode(live.BEGINNINGS[at]))[-1]
    before, order = torch.softmax(logits, -1), logits.topk(live.BARS).indices
    watched.open("live/09-picture")
    page = watched.page
    page.get_by_label("Beginning").select_option(str(at))
    for heat, k, share, least in DIALS:
        slide(watched, "Temperature", heat)
        slide(watched, "Top-k", k)
        slide(watched, "Top-p", share)
        slide(watched, "Min-p", least)
        top_p = share if share < 1 else None
        sampler = sampling.Sampler(heat, TOP_K[k], top_p, MIN_P[least])
        p = sampler.probabilities(logits, [])
        shown = page.locator(".bars .number").all_inner_texts()
        found = [0.0 if one == "out" else float(one) for one in shown]
        assert found == pytest.approx(p[order].tolist(), abs=0.0006)
        assert [one == "out" for one in shown] == (p[order] == 0).tolist()
        kept, whole, held = re.fullmatch(
            r"Kept ([\d,]+) of ([\d,]+) tokens; they held ([\d.]+)", told(watched)
        ).groups()
        wanted = int((p > 0).sum())
        assert int(kept.replace(",", "")) == pytest.approx(wanted, rel=0.002, abs=0)
        assert whole == f"{len(p):,}"
        assert float(held) == pytest.approx(float(before[p > 0].sum()), abs=0.006)
