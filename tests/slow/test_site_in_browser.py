"""The site in a real browser, with no network: it fits, reads well, and asks nobody."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from test_browser import FAINT, chromium, expect, local
from torch.nn import functional as F

from course_lib import gpt, inside, sampling, sizing, vectors
from course_lib.cli import live
from course_lib.cli.authors import write_model
from course_lib.files import ROOT
from course_lib.notebooks import site

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LESSONS = [path.stem for path in NOTEBOOKS]
PAGES = ["index", *LESSONS]
WIDTHS = (1440, 1024, 390)
WIDGETS = {  # a widget's page, and the lesson's that it lives on
    "02-analogy-lab": "02_embeddings",
    "03-picture": "03_attention",
    "06-picture": "06_counting_gpt3",
    "09-picture": "09_sampling",
    "13-picture": "13_inside",
    "13-map-explorer": "13_inside",
}

every_page = pytest.mark.parametrize("name", PAGES)
every_widget = pytest.mark.parametrize("name", WIDGETS)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """The whole site, built once, in a folder whose parent is not there yet."""
    out = tmp_path_factory.mktemp("site") / "new" / "out"
    widgets, left_out = live.ready()
    assert left_out == ""
    site.build(out, bar=False, model=write_model, widgets=widgets)
    return out


class Visit:
    """A browser's page under watch: what it asks for, and what goes wrong."""

    def __init__(self, page, folder: Path):
        self.page, self.folder, self.requests, self.errors = page, folder, [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("requestfailed", self.note_failure)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text))

    def note_failure(self, request) -> None:
        """Remember a request that failed, if not for a page that was left meanwhile."""
        if request.failure != "net::ERR_ABORTED":
            self.errors.append(f"{request.failure}: {request.url}")

    def open(self, name: str, width: int = 1280, scheme: str = "light") -> None:
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.emulate_media(color_scheme=scheme, media="screen")
        self.page.goto((self.folder / f"{name}.html").as_uri())

    @property
    def outside(self) -> list[str]:
        """The requests that wanted to leave the site's folder."""
        home = self.folder.as_uri()
        return [
            one for one in self.requests if not (one.startswith(home) or local(one))
        ]


@pytest.fixture(scope="module")
def visit(built) -> Iterator[Visit]:
    """A Chromium that looks at the site from the disk and reaches nothing else."""
    with chromium() as started:
        yield Visit(started.new_page(), built)


# What may be scrolled sideways: code, wide tables, long formulas, and
# pictures, whose letters stay readable.
SCROLLED = ".highlight, main > pre, .table, .picture, .formula"
WIDE = """may => [document.documentElement, ...document.querySelectorAll("main *")]
    .filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 0)
    .filter(e => e === document.documentElement || !e.closest(may))
    .filter(e => getComputedStyle(e).display !== "inline")
    .map(e => `${e.tagName}.${e.className}: ${e.scrollWidth} > ${e.clientWidth}`)"""
# Code of at most 88 characters a line that is cut short.
CUT = """() => [...document.querySelectorAll(".highlight, pre")]
    .filter(e => Math.max(...e.innerText.split("\\n").map(line => line.length)) <= 88)
    .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.innerText)"""
UNFOLD = "() => document.querySelectorAll('details').forEach(e => e.open = true)"
BROKEN = """async () => {
    const images = [...document.images];
    images.forEach(image => image.loading = "eager");
    await Promise.all(images.map(image => image.decode().catch(() => null)));
    return images.filter(image => !image.naturalWidth).map(image => image.src);
}"""
IN_VIEW = """e => {
    const y = e.getBoundingClientRect().y;
    return y > 0 && y < innerHeight;
}"""
FOCUS = """() => {
    const style = getComputedStyle(document.activeElement);
    return style.outlineStyle !== "none" ? parseFloat(style.outlineWidth) : 0;
}"""


@every_page
def test_page_fits_and_can_be_read(visit, name):
    """Wide and narrow, light and dark, with everything unfolded."""
    for scheme in ("light", "dark"):
        for width in WIDTHS:
            visit.open(name, width, scheme)
            visit.page.evaluate(UNFOLD)
            assert visit.page.evaluate(WIDE, SCROLLED) == []
        assert visit.page.locator("body").evaluate(FAINT) == []
    visit.open(name)
    visit.page.evaluate(UNFOLD)
    assert visit.page.evaluate(CUT) == []  # a laptop shows it all
    assert visit.page.evaluate(BROKEN) == []


@pytest.mark.one
def test_light_and_dark_differ(visit):
    grounds = set()
    for scheme in ("light", "dark"):
        visit.open("index", scheme=scheme)
        body = visit.page.locator("body")
        grounds.add(body.evaluate("e => getComputedStyle(e).backgroundColor"))
    assert len(grounds) == 2


@pytest.mark.one
def test_by_keyboard(visit):
    """The skip link comes first and leads to the text; a hint unfolds, and says it."""
    visit.open("07_backprop")
    page = visit.page
    page.keyboard.press("Tab")
    skip = page.locator(".skip")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    assert page.evaluate(FOCUS) >= 2
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("#title a")).to_be_focused()  # Open in Colab
    assert page.evaluate(FOCUS) >= 2

    answer = page.locator("#help-times details").nth(1)
    code = answer.locator(".highlight .k").first
    expect(code).to_be_hidden()
    answer.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(code).to_be_visible()
    assert page.evaluate(FOCUS) >= 2
    page.keyboard.press("Enter")
    expect(code).to_be_hidden()


def test_code_in_answers_and_cells_is_coloured(visit):
    visit.open("07_backprop")
    visit.page.evaluate(UNFOLD)
    for place in ("#help-times .highlight", "#slope .highlight"):
        words = visit.page.locator(f"{place} span").all()
        colours = {w.evaluate("e => getComputedStyle(e).color") for w in words}
        assert len(colours) >= 3


def test_links_inside_a_lesson_and_from_one_to_the_next(visit):
    visit.open("07_backprop")
    page = visit.page
    page.get_by_role("link", name="4. Downhill").click()
    expect(page.get_by_role("heading", name="4. Downhill")).to_be_in_viewport()
    visit.open("index")
    page.get_by_role("link", name="What does a language model do?").click()
    for name in LESSONS[1:]:
        page.locator(".around [rel=next]").click()
        expect(page).to_have_url(re.compile(f"/{name}.html$"))
    expect(page.locator(".around [rel=next]")).to_have_count(0)


def test_the_list_of_sections_stays_in_view_on_a_wide_window(visit):
    for width, stays in ((1280, True), (400, False)):
        visit.open("07_backprop", width)
        visit.page.locator("#recap").scroll_into_view_if_needed()
        links = visit.page.locator(".sections li a")
        assert links.first.evaluate(IN_VIEW) is stays


def test_on_paper(visit):
    """Dark text on a light ground even for a reader in the dark, and nothing to click."""
    visit.open("07_backprop", scheme="dark")
    visit.page.emulate_media(media="print", color_scheme="dark")
    for part in (".sections", ".around", ".skip"):
        expect(visit.page.locator(part)).to_be_hidden()
    main = visit.page.locator("main")
    assert main.evaluate("e => getComputedStyle(e).color") == "rgb(30, 33, 38)"
    assert visit.page.evaluate(CUT) == []


def test_nothing_was_asked_of_anyone_else(visit):
    """Over all that was opened; then that the watch would have seen it."""
    for name in PAGES:
        visit.open(name)
    visit.page.evaluate(BROKEN)
    assert len(visit.requests) > len(PAGES)
    assert visit.outside == [] and visit.errors == []
    visit.page.evaluate("fetch('http://192.0.2.1/').catch(() => 0)")
    # The page's own policy refuses it before anyone is asked, and says so.
    assert visit.outside == [] and "Content Security Policy" in visit.errors[0]
    visit.errors.clear()
    visit.page.goto("about:blank")
    visit.page.evaluate("fetch('http://192.0.2.1/').catch(() => 0)")
    assert visit.outside == ["http://192.0.2.1/"] and visit.errors


@pytest.mark.one
def test_the_site_opens_with_a_model_that_writes(visit):
    visit.requests.clear()
    visit.errors.clear()
    visit.open("index")
    inside = visit.page.frame_locator(".model")
    expect(inside.locator("#text")).to_contain_text("One fine morning", timeout=60_000)
    expect(inside.locator("#state")).to_contain_text("a second", timeout=60_000)
    assert visit.outside == [] and visit.errors == []


# The live widgets -----------------------------------------------------------------------

TALLER = """() => {
    const page = document.scrollingElement;
    return [page.scrollHeight - innerHeight, page.scrollWidth - innerWidth];
}"""
CONTROLS = "input, select"


@pytest.fixture
def watched(visit) -> Iterator[Visit]:
    """The visit, with nothing noted yet, and nothing to complain of at the end."""
    visit.requests.clear()
    visit.errors.clear()
    yield visit
    visit.page.emulate_media(reduced_motion="no-preference")
    assert visit.outside == [] and visit.errors == []


def framed(visit: Visit, name: str):
    """A widget's frame on the lesson's page, in view and at work."""
    visit.page.evaluate(UNFOLD)
    frame = visit.page.locator(f"iframe[src='live/{name}.html']")
    frame.scroll_into_view_if_needed()
    inside_it = frame.content_frame
    expect(inside_it.locator("#told")).not_to_be_empty()
    return inside_it


def told(visit: Visit) -> str:
    return visit.page.inner_text("#told")


def slide(visit: Visit, name: str, to: float) -> None:
    """Move a slider as a reader's mouse or key would, to a place."""
    move = "(e, to) => { e.value = to; e.dispatchEvent(new Event('input')); }"
    visit.page.get_by_label(name, exact=True).evaluate(move, to)


@every_widget
@pytest.mark.parametrize("width", WIDTHS)
def test_a_widget_fits_its_frame_and_can_be_read(watched, name, width):
    """No bar to scroll with, sideways or down, and little empty ground."""
    for scheme in ("light", "dark"):
        watched.open(WIDGETS[name], width, scheme)
        frame = framed(watched, name)
        down, sideways = frame.locator("body").evaluate(TALLER)
        assert down <= 0 and sideways <= 0
        view = frame.locator("body").bounding_box()["height"]
        assert view > 0.75 * frame.owner.bounding_box()["height"]
        assert frame.locator("body").evaluate(FAINT) == []
        assert (
            frame.locator("main").evaluate(
                WIDE.replace("main *", "main *:not(.name)"), "svg, .name, .tree"
            )
            == []
        )


@every_widget
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


@pytest.mark.one
def test_a_frame_is_loaded_when_it_comes_into_view_and_answers_keys(watched):
    watched.open("02_embeddings")
    page = watched.page
    assert not [one for one in watched.requests if "/live/" in one]
    frame = framed(watched, "02-analogy-lab")
    assert len([one for one in watched.requests if "/live/" in one]) == 1
    expect(frame.locator("#told")).to_have_text("man is to woman as king is to queen")
    page.locator(".live a").focus()
    page.keyboard.press("Tab")  # into the frame
    page.keyboard.press("Tab")
    for word in ("paris", "france", "rome"):
        page.keyboard.press("Control+A")
        page.keyboard.type(word)
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
    expect(frame.locator("#told")).to_have_text(
        "paris is to france as rome is to italy"
    )


def test_a_frame_in_a_fold_waits_until_it_is_opened(watched):
    watched.open("06_counting_gpt3")
    watched.page.locator(".live").evaluate("e => e.closest('details').scrollIntoView()")
    watched.page.wait_for_timeout(500)
    assert not [one for one in watched.requests if "/live/" in one]
    watched.page.locator("details.guess:has(.live) > summary").click()
    frame = watched.page.frame_locator(".live iframe")
    expect(frame.locator("#told")).to_contain_text("12,288 channels")


def test_without_scripts_the_picture_stays_and_the_frame_says_why(built):
    with chromium() as started:
        page = started.new_context(java_script_enabled=False).new_page()
        page.goto((built / "03_attention.html").as_uri())
        assert page.locator("#picture img").is_visible()
        page.locator(".live iframe").scroll_into_view_if_needed()
        inside_it = page.frame_locator(".live iframe")
        expect(inside_it.locator("noscript")).to_contain_text("allow JavaScript")
        page.goto((built / "index.html").as_uri())
        expect(page.locator("main noscript img")).to_be_visible()
        assert page.locator(".lessons h3").count() == len(LESSONS)


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
