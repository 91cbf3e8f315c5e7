"""The room of the browser: the lessons' widgets, used as a reader uses them.

A real JupyterLab serves copies of lessons, cut down to the cells that a widget needs; a
real Chromium opens them, types, presses keys and clicks. Nothing may leave this machine.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[1]
CELLS = {  # lesson → the cells its widget needs; the last one shows the widget
    "00_next_token": ("set-up", "picture", "load", "explorer"),
    "01_tokens": ("set-up", "picture"),
}
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update"]
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
TOKEN = "test-browser"
STARTING = 60  # seconds that JupyterLab may take to start
WAIT = 60_000  # milliseconds that anything on a page may take: loading the model, too
PIXELS = """image => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.toDataURL();
}"""
CHANGED = f"""([image, before]) =>
    image.complete && image.naturalWidth && ({PIXELS})(image) !== before"""
# What sticks out of an output area, can be scrolled sideways or is cut short. A field of
# text may hold more than it shows: that is what a field is for.
TOO_WIDE = """area => {
    const edge = area.getBoundingClientRect();
    const wide = e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth
        && !["INPUT", "TEXTAREA"].includes(e.tagName);
    const out = e => {
        const box = e.getBoundingClientRect();
        return box.width && (box.right > edge.right + 1 || box.left < edge.left - 1);
    };
    return [area, ...area.querySelectorAll("*")].filter(e => wide(e) || out(e))
        .map(e => `${e.tagName}.${e.className}: ${e.scrollWidth} > ${e.clientWidth}`);
}"""
# The contrast of an element's text with the ground it stands on (WCAG 2.2, 1.4.3).
CONTRAST = """element => {
    const parts = colour => colour.match(/[0-9.]+/g).map(Number);
    const light = colour => {
        const [r, g, b] = parts(colour).slice(0, 3).map(c => c / 255)
            .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let ground = element;
    const clear = e => parts(getComputedStyle(e).backgroundColor)[3] === 0;
    while (ground.parentElement && clear(ground)) ground = ground.parentElement;
    const text = light(getComputedStyle(element).color);
    const under = light(getComputedStyle(ground).backgroundColor);
    return (Math.max(text, under) + 0.05) / (Math.min(text, under) + 0.05);
}"""

pytestmark = pytest.mark.timeout(240)


def missing(what: str, remedy: str) -> None:
    """Skip for want of a part; on a machine that must have it, fail."""
    reason = f"{what} is not here, so no browser test ran. {remedy}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def local(address: str) -> bool:
    """Whether an address stays on this machine; blob: and data: never leave the page."""
    url = urlsplit(address)
    inside = url.scheme in ("about", "blob", "data")
    return inside or url.hostname in ("localhost", "127.0.0.1")


@dataclass
class Visit:
    """A page, and what must not happen on it."""

    page: object
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @property
    def outside(self) -> list[str]:
        """The requests that wanted to leave this machine."""
        return [address for address in self.requests if not local(address)]

    @property
    def output(self):
        """The output area of the lesson's last cell, the one with the widget."""
        cell = self.page.locator(".jp-Notebook .jp-CodeCell").last
        return cell.locator(".jp-OutputArea-output").first

    @property
    def widget(self):
        """The live widget."""
        return self.output.locator(".widget-vbox")

    @property
    def image(self):
        """The picture that the widget moves."""
        return self.widget.locator("img.widget-image")


@dataclass
class Lab:
    """A running JupyterLab."""

    address: str
    lessons: Path
    settings: Path


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


def set_settings(folder: Path, values: dict[str, dict]) -> None:
    """Write JupyterLab settings, as its settings editor would."""
    for name, value in values.items():
        file = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))


def cut_down(lesson: str) -> dict:
    """A lesson with only the cells that its widget needs, outputs and all."""
    file = ROOT / "notebooks" / f"{lesson}.ipynb"
    notebook = json.loads(file.read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["id"] in CELLS[lesson]]
    assert [cell["id"] for cell in cells] == list(CELLS[lesson])
    for cell in cells:
        cell["execution_count"] = None  # so that a number tells that the cell was run
    return notebook | {"cells": cells}


def answer(lab: Lab) -> bool:
    """Whether JupyterLab answers."""
    try:
        urllib.request.urlopen(f"{lab.address}/api/status?token={TOKEN}", timeout=5)
    except (urllib.error.URLError, OSError):
        return False
    return True


def await_start(lab: Lab, process: subprocess.Popen, log: Path) -> None:
    """Wait until JupyterLab answers; fail with the end of its log if it won't."""
    late = time.monotonic() + STARTING
    while not answer(lab):
        if process.poll() is not None or time.monotonic() > late:
            pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    """A JupyterLab of our own, which touches nobody's settings or files."""
    pytest.importorskip("jupyterlab")
    base, port = tmp_path_factory.mktemp("lab"), free_port()
    lab = Lab(f"http://127.0.0.1:{port}", base / "lessons", base / "settings")
    lab.lessons.mkdir()
    set_settings(lab.settings, SETTINGS)
    names = ("config", "data", "runtime", "settings", "workspaces")
    kinds = ("JUPYTER_", "JUPYTER_", "JUPYTER_", "JUPYTERLAB_", "JUPYTERLAB_")
    own = {f"{kind}{n.upper()}_DIR": str(base / n) for kind, n in zip(kinds, names)}
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    own |= {"IPYTHONDIR": str(base / "ipython"), "PYTHONPATH": path.rstrip(os.pathsep)}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    command += [f"--IdentityProvider.token={TOKEN}", "--LabApp.news_url=None"]
    command += ["--LabApp.extension_manager=readonly"]
    log = base / "log"
    with log.open("w") as out:
        look = {"stdout": out, "stderr": subprocess.STDOUT, "cwd": lab.lessons}
        process = subprocess.Popen(command, env=os.environ | own, **look)
    try:
        await_start(lab, process, log)
        yield lab
    finally:
        stop(process)


def stop(process: subprocess.Popen) -> None:
    """Ask a process to end; after ten seconds, end it."""
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """A Chromium without a window."""
    try:
        from playwright.sync_api import expect, sync_playwright
    except ImportError:
        missing("playwright", "Run: pip install -r tests/requirements.txt")
    program = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if program is None:
        missing("Chromium", "Install it, for instance: sudo apt install chromium")
    expect.set_options(timeout=WAIT)
    with sync_playwright() as play:
        # Everything that is not on this machine goes to a proxy that isn't there. (To
        # abort it with playwright's route() would turn off the browser's cache.)
        nowhere = {"server": f"http://127.0.0.1:{free_port()}"}
        look = {"executable_path": program, "args": QUIET, "proxy": nowhere}
        browser = play.chromium.launch(**look)
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(WAIT)
        yield context
        browser.close()


@pytest.fixture(scope="module")
def visit(browser) -> Callable:
    """visit() gives an empty page under watch; visit.all are those given so far."""
    visits = []

    def new() -> Visit:
        here = Visit(browser.new_page())
        here.page.on("request", lambda request: here.requests.append(request.url))
        here.page.on("websocket", lambda socket: here.requests.append(socket.url))
        here.page.on("pageerror", lambda error: here.errors.append(str(error)))
        here.page.on("console", lambda message: note_error(here, message))
        visits.append(here)
        return here

    new.all = visits
    return new


def note_error(here: Visit, message) -> None:
    """Remember a console message if it is an error."""
    if message.type == "error":
        here.errors.append(f"{message.text} ({message.location['url']})")


@pytest.fixture(scope="module")
def lessons(lab, visit) -> Callable:
    """lessons(name, theme) is that lesson open in that theme, its cells run once."""
    opened = {}

    def get(name: str, theme: str = "Light") -> Visit:
        if (name, theme) not in opened:
            opened[name, theme] = here = visit()
            open_lesson(lab, here, name, theme)
            run_all(here)
        return opened[name, theme]

    return get


def open_lesson(lab: Lab, here: Visit, name: str, theme: str) -> None:
    """Open a fresh copy of a lesson and wait until its kernel is ready."""
    from playwright.sync_api import expect

    copy = f"{name}-{theme}-{time.monotonic_ns()}"
    (lab.lessons / f"{copy}.ipynb").write_text(json.dumps(cut_down(name)))
    look = {"theme": f"JupyterLab {theme}", "adaptive-theme": False}
    set_settings(lab.settings, {"apputils-extension/themes": look})
    # A workspace of its own: otherwise JupyterLab opens the other lessons' tabs, too.
    tree = f"{lab.address}/lab/workspaces/{copy}/tree/{copy}.ipynb"
    here.page.goto(f"{tree}?token={TOKEN}")
    # A cell run before this would be met with a dialog that asks for a kernel.
    ready = re.compile(re.escape("Python 3 (ipykernel) | Idle"))
    expect(here.page.locator("#jp-main-statusbar")).to_contain_text(ready)


def run_all(here: Visit) -> None:
    """Run all cells and wait for the live widget and its picture."""
    from playwright.sync_api import expect

    here.page.locator(".lm-MenuBar-item", has_text="Run").first.click()
    here.page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
    expect(here.widget).to_be_visible()
    await_picture(here, "")


def picture(here: Visit) -> str:
    """The pixels of the widget's picture."""
    return here.image.evaluate(PIXELS)


def await_picture(here: Visit, before: str) -> None:
    """Wait until the widget's picture is another one than before."""
    image = here.image.element_handle()
    here.page.wait_for_function(CHANGED, arg=[image, before])


def type_into(here: Visit, box, text: str, enter: bool = False) -> None:
    """Replace the text of a box as a person does, key by key."""
    box.click()
    here.page.keyboard.press("ControlOrMeta+a")
    here.page.keyboard.type(text)
    if enter:
        here.page.keyboard.press("Enter")


def screenshot(here: Visit, name: str) -> None:
    """Keep a picture of the page where COURSE_SCREENSHOTS says, if it does."""
    folder = os.environ.get("COURSE_SCREENSHOTS")
    if folder:
        here.output.scroll_into_view_if_needed()
        here.page.screenshot(path=Path(folder) / f"{name}.png")


def ask(here: Visit, text: str, first: str) -> None:
    """Type a text into the next-token explorer; wait until it expects `first`."""
    from playwright.sync_api import expect

    type_into(here, here.widget.locator("input[type=text]"), text, enter=True)
    expect(here.widget.locator("button").first).to_have_text(first)


def test_next_token_explorer_appears(lessons):
    from playwright.sync_api import expect

    here = lessons("00_next_token")
    screenshot(here, "next-token-light-1280")
    for part, count in (
        ("input[type=text]", 1),
        ("[role=slider]", 1),
        ("img.widget-image", 1),
        ("button", 10),
    ):
        expect(here.widget.locator(part)).to_have_count(count)
        expect(here.widget.locator(part).first).to_be_visible()
    assert all(here.widget.locator("button").all_inner_texts())


def test_next_token_explorer_reads_what_is_typed(lessons):
    """The lesson itself asserts that sky comes first here."""
    here = lessons("00_next_token")
    before, labels = picture(here), here.widget.locator("button").all_inner_texts()
    assert labels[0] != "·sky"
    ask(here, "The sun is shining in the", "·sky")
    await_picture(here, before)
    assert here.widget.locator("button").all_inner_texts() != labels
    assert "6 tokens read" in here.widget.inner_text()


def test_next_token_explorer_slider_by_keyboard(lessons):
    """Warmer is flatter: the likeliest token's probability falls."""
    from playwright.sync_api import expect

    here = lessons("00_next_token")
    ask(here, "The sun is shining in the", "·sky")
    heat = float(here.widget.locator(".widget-readout").inner_text())
    before, first = picture(here), here.widget.locator("button").first
    chance = float(re.search(r"0\.\d+", first.get_attribute("title"))[0])
    here.widget.locator("[role=slider]").focus()
    for _ in range(3):
        here.page.keyboard.press("ArrowRight")
    expect(here.widget.locator(".widget-readout")).to_have_text(f"{heat + 0.3:.2f}")
    await_picture(here, before)
    cooler = re.compile(re.escape(f"{chance:.3f}"))
    expect(first).not_to_have_attribute("title", cooler)
    assert float(re.search(r"0\.\d+", first.get_attribute("title"))[0]) < chance


def test_next_token_explorer_click_appends(lessons):
    from playwright.sync_api import expect

    here = lessons("00_next_token")
    ask(here, "The sun is shining in the", "·sky")
    before = picture(here)
    here.widget.locator("button").first.click()
    box = here.widget.locator("input[type=text]")
    expect(box).to_have_value("The sun is shining in the sky")
    await_picture(here, before)


def test_next_token_explorer_keyboard_appends(lessons):
    """Tab leads from the text to the tokens, Enter appends one; nothing else moves."""
    from playwright.sync_api import expect

    here = lessons("00_next_token")
    ask(here, "The sun is shining in the", "·sky")
    here.widget.locator("input[type=text]").focus()
    button = here.widget.locator("button").first
    for _ in range(4):  # the slider's handle and its number come before
        here.page.keyboard.press("Tab")
        if button.evaluate("button => button === document.activeElement"):
            break
    expect(button).to_be_focused()
    cells = here.page.locator(".jp-Notebook .jp-Cell").count()
    here.page.keyboard.press("Enter")
    box = here.widget.locator("input[type=text]")
    expect(box).to_have_value("The sun is shining in the sky")
    assert here.page.locator(".jp-Notebook .jp-Cell").count() == cells


def test_token_explorer_reads_what_is_typed(lessons):
    """A character may be several bytes; letters are typed text, not shortcuts."""
    from playwright.sync_api import expect

    here = lessons("01_tokens")
    screenshot(here, "tokens-light-1280")
    cells = here.page.locator(".jp-Notebook .jp-Cell").count()
    for text in ("naïve 😀", "bad axes", ""):
        before = picture(here)
        type_into(here, here.widget.locator("textarea"), text)
        if not text:
            here.page.keyboard.press("Delete")
        note = f"{len(text)} characters, {len(text.encode())} bytes"
        expect(here.widget.locator(".widget-html-content")).to_have_text(note)
        await_picture(here, before)
        expect(here.widget.locator("textarea")).to_have_value(text)
    assert here.page.locator(".jp-Notebook .jp-Cell").count() == cells


@pytest.mark.parametrize("theme", ["Light", "Dark"])
@pytest.mark.parametrize("name", CELLS)
def test_widget_fits_and_can_be_read(lessons, name, theme):
    """In both themes, in a wide and a narrow window."""
    from playwright.sync_api import expect

    here = lessons(name, theme)
    mark = "true" if theme == "Light" else "false"
    expect(here.page.locator("body")).to_have_attribute("data-jp-theme-light", mark)
    for width in (1280, 800):
        here.page.set_viewport_size({"width": width, "height": 900})
        expect(here.image).to_be_visible()
        screenshot(here, f"{name}-{theme.lower()}-{width}")
        assert here.output.evaluate(TOO_WIDE) == []
    for part in here.widget.locator("label, button, input, textarea, p").all():
        if part.is_visible():
            assert part.evaluate(CONTRAST) >= 4.5, part.inner_text()


@pytest.mark.parametrize("name", CELLS)
def test_stored_picture_shows_before_anything_runs(lab, visit, name):
    from playwright.sync_api import expect

    here = visit()
    open_lesson(lab, here, name, "Light")
    stored = cut_down(name)["cells"][-1]["outputs"][0]["data"]["image/png"]
    png = "".join(stored).replace("\n", "")
    image = here.output.locator("img")
    expect(image).to_have_attribute("src", f"data:image/png;base64,{png}")
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    screenshot(here, f"{name}-stored")
    prompts = here.page.locator(".jp-Notebook .jp-InputPrompt").all_inner_texts()
    assert [prompt.strip() for prompt in prompts] == ["[ ]:"] * len(CELLS[name])
    expect(here.page.locator(".jupyter-widgets")).to_have_count(0)


def test_nothing_leaves_and_nothing_fails(lessons, visit):
    """Over all pages that were opened; then that the watch would have seen it."""
    for name in CELLS:
        lessons(name)
    for here in visit.all:
        assert here.requests and here.outside == []
        assert here.errors == []
    here = visit()
    here.page.goto("about:blank")
    with here.page.expect_console_message(lambda message: message.text == "no"):
        here.page.evaluate(
            "fetch('http://192.0.2.1/').catch(() => console.error('no'))"
        )
    assert here.outside == ["http://192.0.2.1/"] and here.errors
