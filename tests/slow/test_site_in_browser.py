"""The site in a real browser, with no network: it fits, reads well, and asks nobody."""

import re
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from test_browser import FAINT, chromium, expect, local

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


@pytest.fixture
def watched(visit) -> Iterator[Visit]:
    """The visit, with nothing noted yet, and nothing to complain of at the end."""
    visit.requests.clear()
    visit.errors.clear()
    yield visit
    assert visit.outside == [] and visit.errors == []


def framed(visit: Visit, name: str):
    """A widget's frame on the lesson's page, in view and at work."""
    visit.page.evaluate(UNFOLD)
    frame = visit.page.locator(f"iframe[src='live/{name}.html']")
    frame.scroll_into_view_if_needed()
    inside_it = frame.content_frame
    expect(inside_it.locator("#told")).not_to_be_empty()
    return inside_it


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
        assert view > 0.8 * frame.owner.bounding_box()["height"]
        assert frame.locator("body").evaluate(FAINT) == []
        wide = f"(_, may) => ({WIDE})(may)"
        may = "h1, .name, .tree, .map, .attention-view svg"
        assert frame.locator("main").evaluate(wide, may) == []


@pytest.mark.one
def test_a_frame_at_work_answers_keys_on_the_lesson_s_page(watched):
    watched.open("02_embeddings")
    page = watched.page
    frame = framed(watched, "02-analogy-lab")
    expect(frame.locator("#told")).to_have_text("man is to woman as king is to queen")
    page.locator(".live a").focus()
    page.keyboard.press("Tab")  # into the frame, at its first box
    for word in ("paris", "france", "rome"):
        page.keyboard.press("Control+A")
        page.keyboard.type(word)
        page.keyboard.press("Tab")
    expect(frame.locator("#told")).to_have_text(
        "paris is to france as rome is to italy"
    )


@pytest.fixture
def served(built) -> Iterator[str]:
    """The site's address on a server of this machine: on disk, a browser waits for no
    frame to come into view."""
    here = partial(SimpleHTTPRequestHandler, directory=built)
    with ThreadingHTTPServer(("127.0.0.1", 0), here) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_frame_is_loaded_when_it_comes_into_view(watched, served):
    page = watched.page

    def loaded() -> list[str]:
        return [one.rsplit("/", 1)[1] for one in watched.requests if "/live/" in one]

    page.set_viewport_size({"width": 1280, "height": 900})
    page.goto(f"{served}/02_embeddings.html", wait_until="networkidle")
    assert loaded() == []
    page.locator(".live iframe").scroll_into_view_if_needed()
    inside_it = page.frame_locator(".live iframe").locator("#told")
    expect(inside_it).to_contain_text("queen")
    assert loaded() == ["02-analogy-lab.html"]
    # In a fold, it waits until the reader has guessed.
    page.goto(f"{served}/06_counting_gpt3.html", wait_until="networkidle")
    page.locator("details.guess:has(.live)").scroll_into_view_if_needed()
    assert loaded() == ["02-analogy-lab.html"]
    page.locator("details.guess:has(.live) > summary").click()
    page.locator(".live iframe").scroll_into_view_if_needed()
    expect(inside_it).to_contain_text("12,288 channels")
    assert loaded() == ["02-analogy-lab.html", "06-picture.html"]


def test_without_scripts_the_picture_stays_and_the_frame_says_why(watched):
    home = watched.folder
    other = watched.page.context.browser.new_context(java_script_enabled=False)
    page = other.new_page()
    page.goto((home / "03_attention.html").as_uri())
    expect(page.locator("#picture img")).to_be_visible()
    page.locator(".live iframe").scroll_into_view_if_needed()
    told = page.frame_locator(".live iframe").locator("noscript p")
    expect(told).to_be_visible()
    expect(told).to_contain_text("allow JavaScript")
    assert page.locator(".live iframe").bounding_box()["height"] < 200
    page.goto((home / "index.html").as_uri())
    expect(page.locator("main noscript img")).to_be_visible()
    assert page.locator(".lessons h3").count() == len(LESSONS)
    other.close()
