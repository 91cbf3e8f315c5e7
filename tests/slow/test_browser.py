"""In a real browser: the lessons' widgets, used as a reader uses them.

A real JupyterLab serves copies of lessons, cut down to the cells that a widget needs; a
real Chromium opens them, types, presses keys and clicks. Nothing may leave this machine.
"""

import ast
import contextlib
import dis
import importlib.util
import inspect
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
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import CodeType
from urllib.parse import urlsplit

import pytest

from course_lib import inside, patching, tiles, widgets
from course_lib.notebooks.saved import LIVE, SAVING

try:
    from playwright.sync_api import expect, sync_playwright
except ImportError:  # the fixtures below say what to do
    sync_playwright = None

ROOT = Path(__file__).resolve().parents[2]
MAKERS = {"widgets", "ipywidgets"}  # their parts make widgets, but STILL
STILL = {"show", "live", "hear"}
CONTROLS = "[role=slider], input[type=text], input[type=checkbox], textarea"
TABBED = f"{CONTROLS}, button:not([disabled]), [role=button]"
TYPED = [f"{n} {'Unbelievable! ' * 12}{n} professors and" for n in ("Two", "Three")]
SHORT = {  # these want four letters, and few words
    "07_backprop.trained-step": ["wher", "that"],
    "12_assistant.chat": ["Where is Ruth?", "Where is Tom?"],
    "12_assistant.together": ["Where is Ruth?", "Where is Tom?"],
    "15_beyond_text.lines": ["two dogs see one cat", "one fox calls three geese"],
}
# Every kind of widget that the index has, and what is typed into its lines of text.
KINDS = {
    "analogy_lab": ["queen", "paris"],  # for a word without a vector nothing moves
    "attention_explorer": TYPED,
    "drawing_pad": [],
    "machine_view": TYPED,
    "melody_box": ["do re mi sol la sol mi re", "la - sol - mi - re -"],
    "merge_explorer": TYPED,
    "next_token_explorer": TYPED,
    "pair_chooser": [],
    "score_lab": [],
    "steer": TYPED,
    "token_explorer": TYPED,
    "writing_box": TYPED,
}
THEMES_AND_WIDTHS = [("Light", 1280), ("Light", 800), ("Dark", 800), ("Dark", 1280)]
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
    "apputils-extension/themes": {"theme": "JupyterLab Light", "adaptive-theme": False},
}
FOLDERS = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
FOLDERS += ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"]
QUIET += ["--disable-background-networking", "--disable-component-update"]
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
TOKEN = "test-browser"
STARTING = 60  # seconds that JupyterLab may take to start
WAIT = 20_000  # milliseconds that anything on a page may take
LOADING = 120_000  # milliseconds that a lesson may take to load its model
TRAINING = (
    480_000  # until all cells of a lesson have run, a small model trained included
)
# What a picture's pixels add up to, at half its size, which is quicker; of a view made of
# elements, what it holds. Nothing: not yet there.
PIXELS = """image => {
    if (image.tagName !== "IMG") return image.innerHTML;
    if (!image.complete || !image.naturalWidth) return "";
    const canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth / 2;
    canvas.height = image.naturalHeight / 2;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let sum = 0;
    for (const pixel of new Uint32Array(pixels.buffer))
        sum = Math.imul(sum, 31) + pixel | 0;
    return `${canvas.width} × ${canvas.height}: ${sum}`;
}"""
CHANGED = f"""([image, before]) => !["", before].includes(({PIXELS})(image))"""
FILLED = """() => {
    const bar = document.querySelector(".jp-SideBar.jp-mod-right");
    return Math.abs(bar.getBoundingClientRect().right - innerWidth) < 2;
}"""
# What sticks out of an output area, can be scrolled sideways or is cut short. A field of
# text may hold more than it shows: that is what a field is for. So may a picture's frame.
TOO_WIDE = """area => {
    const edge = area.getBoundingClientRect();
    const frame = ".picture-frame";
    const wide = e => e.scrollWidth > e.clientWidth + 1
        && getComputedStyle(e).overflowX !== "visible"
        && !["INPUT", "TEXTAREA"].includes(e.tagName) && !e.matches(frame);
    const out = e => {
        const box = e.getBoundingClientRect();
        if (e.parentElement.closest(frame)) return false;
        return box.width && (box.right > edge.right + 1 || box.left < edge.left - 1);
    };
    return [area, ...area.querySelectorAll("*")].filter(e => wide(e) || out(e))
        .map(e => `${e.tagName}.${e.className}: ${e.scrollWidth} > ${e.clientWidth}`);
}"""
# From now on, note what gets the focus; later: what of a widget never got it.
WATCH = """widget => {
    widget.met = new Set();
    widget.onfocusin = event => widget.met.add(event.target);
    widget.addEventListener("focusin", widget.onfocusin);
}"""
MISSED = f"""widget => [...widget.querySelectorAll('{TABBED}')]
    .filter(e => !widget.met.has(e)).map(e => e.outerHTML)"""
HOLDS_FOCUS = "widget => widget.contains(document.activeElement)"
# The texts in an area whose contrast with the ground they stand on is below 4.5 (WCAG
# 2.2, 1.4.3).
FAINT = """area => {
    const parts = colour => {  // rgb(1 2 3) from 0 to 255, color(srgb …) from 0 to 1
        const found = colour.match(/[0-9.]+/g).map(Number);
        const whole = colour.startsWith("color(") ? 255 : 1;
        return found.map((c, i) => i < 3 ? c * whole : c);
    };
    const light = colour => {
        const [r, g, b] = parts(colour).slice(0, 3).map(c => c / 255)
            .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const clear = e => parts(getComputedStyle(e).backgroundColor)[3] === 0;
    const contrast = element => {
        let ground = element;
        while (ground.parentElement && clear(ground)) ground = ground.parentElement;
        const text = light(getComputedStyle(element).color);
        const under = light(getComputedStyle(ground).backgroundColor);
        return (Math.max(text, under) + 0.05) / (Math.min(text, under) + 0.05);
    };
    const says = e => ["INPUT", "TEXTAREA"].includes(e.tagName)
        || [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
    return [...area.querySelectorAll("*")]
        .filter(e => says(e) && contrast(e) < 4.5)
        .map(e => `${e.tagName}.${e.className}: ${contrast(e)}`);
}"""

pytestmark = pytest.mark.timeout(600)


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


def code_of(cell: dict) -> str:
    """A code cell's source; of any other, nothing."""
    return "".join(cell["source"]) if cell["cell_type"] == "code" else ""


def imported(tree: ast.Module) -> tuple[set[str], set[str]]:
    """What a cell calls what makes widgets, and the parts it takes from them."""
    makers, parts = set(MAKERS), set()
    for line in ast.walk(tree):
        if isinstance(line, ast.Import | ast.ImportFrom):
            source = (isinstance(line, ast.ImportFrom) and line.module) or ""
            for one in line.names:
                if last(one.name) in MAKERS:
                    makers.add(one.asname or one.name)
                elif last(source) in MAKERS and one.name not in STILL:
                    parts.add(one.asname or one.name)
    return makers, parts


def last(path: str) -> str:
    """The last name of a dotted path: "course_lib.widgets" → "widgets"."""
    return path.rpartition(".")[2]


def makes_widget(code: str) -> bool:
    """Whether a cell calls something that makes a control or a widget.

    That is: a part of what makes widgets, by whatever name it is imported, but what
    shows a picture; or show with three arguments, for the third is a widget.
    """
    tree = ast.parse(code)
    makers, parts = imported(tree)
    for call in ast.walk(tree):
        if isinstance(call, ast.Call):
            maker, _, part = ast.unparse(call.func).rpartition(".")
            made = (maker in makers or last(maker) in MAKERS) and part not in STILL
            shown = part == "show" and len(call.args) + len(call.keywords) > 2
            if made or shown or (not maker and part in parts):
                return True
    return False


def names(program: CodeType) -> tuple[set[str], set[str]]:
    """What a compiled cell gives a name to, and the names that it wants from outside."""
    made, wanted = set(), set()
    for step in dis.get_instructions(program):
        if step.opname == "STORE_NAME":
            made.add(step.argval)
        elif step.opname in ("LOAD_NAME", "LOAD_GLOBAL") and step.argval not in made:
            wanted.add(step.argval)
    for part in program.co_consts:
        if isinstance(part, CodeType):  # a function or a class, which may run later
            wanted |= names(part)[1] - made
    return made, wanted


def needed(cells: list[dict], places: list[int]) -> list[int]:
    """The places of these cells and of all that they need, in the lesson's order.

    A cell needs the last cell before it that gives a name it uses.
    """
    named = [names(compile(code_of(cell), "a cell", "exec")) for cell in cells]
    found, waiting = set(), [0, *places]  # the first cell is the set-up
    while waiting:
        place = waiting.pop()
        if place not in found:
            found.add(place)
            for name in named[place][1]:
                makers = [i for i in range(place) if name in named[i][0]]
                waiting += makers[-1:]
    return sorted(found)


def read_lesson(lesson: str) -> dict:
    """A lesson's notebook, only its code cells."""
    file = ROOT / "notebooks" / f"{lesson}.ipynb"
    notebook = json.loads(file.read_text(encoding="utf-8"))
    return notebook | {"cells": [cell for cell in notebook["cells"] if code_of(cell)]}


def find_widgets() -> dict[str, list[str]]:
    """lesson.cell → for each cell that shows a widget, the ids of what it needs."""
    found = {}
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = read_lesson(file.stem)["cells"]
        ids = [cell["id"] for cell in cells]
        for place, cell in enumerate(cells):
            if makes_widget(code_of(cell)):
                wanted = needed(cells, [place])
                found[f"{file.stem}.{cell['id']}"] = [ids[i] for i in wanted]
    return found


WIDGETS = find_widgets()  # lesson.cell → cells; a new widget is tested from the start
CELLS = {  # lesson → the cells that its widgets need
    lesson: {id for name in WIDGETS if name.startswith(lesson) for id in WIDGETS[name]}
    for lesson in sorted({name.split(".")[0] for name in WIDGETS})
}


def kind_of(name: str) -> str:
    """Which of the index's widgets a lesson's cell makes; the last one, if several."""
    lesson, id = name.split(".")
    cell = next(c for c in read_lesson(lesson)["cells"] if c["id"] == id)
    calls = re.findall(r"\b(\w+)\(", code_of(cell))
    return [name for name in calls if name in KINDS][-1]


@dataclass
class Visit:
    """A widget on a page, and what must not happen on that page."""

    page: object
    name: str = ""  # lesson.cell
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    first: dict = field(default_factory=dict)  # what the page showed when just opened

    @property
    def outside(self) -> list[str]:
        """The requests that wanted to leave this machine."""
        return [address for address in self.requests if not local(address)]

    @property
    def stored(self) -> dict:
        """The widget's cell as the lesson's file holds it."""
        lesson, id = self.name.split(".")
        return next(c for c in read_lesson(lesson)["cells"] if c["id"] == id)

    @property
    def cell(self):
        """The widget's cell on the page."""
        lesson, id = self.name.split(".")
        cells = self.page.locator(".jp-Notebook .jp-CodeCell")
        ids = [cell["id"] for cell in cut_down(lesson)["cells"]]
        return cells.nth(ids.index(id))

    @property
    def output(self):
        """The output area of the widget's cell."""
        return self.cell.locator(".jp-OutputArea-output").first

    @property
    def widget(self):
        """The live widget."""
        return self.output.locator(".widget-vbox").first

    @property
    def image(self):
        """The picture that the widget moves; two widgets have a view of ours."""
        views = "img.widget-image, .attention-view, .machine-view"
        return self.widget.locator(views)

    @property
    def controls(self):
        """What the widget is moved with, in its order."""
        return self.widget.locator(CONTROLS)


@dataclass
class Lab:
    """A running JupyterLab."""

    address: str
    lessons: Path


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return door.getsockname()[1]


def set_settings(folder: Path) -> None:
    """Write JupyterLab's settings, as its settings editor would."""
    for name, value in SETTINGS.items():
        file = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))


def cut_down(lesson: str) -> dict:
    """A lesson with only the cells that its widgets need, outputs and all."""
    notebook = read_lesson(lesson)
    cells = [cell for cell in notebook["cells"] if cell["id"] in CELLS[lesson]]
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


def command(port: int) -> list[str]:
    """How to start JupyterLab: no window, no news, no shop for extensions."""
    start = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    start += ["--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    start += ["--LabApp.news_url=None", "--LabApp.extension_manager=readonly"]
    return [*start, SAVING, f"--IdentityProvider.token={TOKEN}"]


def surroundings(base: Path) -> dict[str, str]:
    """The environment for JupyterLab: folders of its own, and this course_lib."""
    own = {name: str(base / name) for name in FOLDERS}
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | own | {"PYTHONPATH": os.pathsep.join(paths)}


@pytest.fixture(scope="module")
def lab(tmp_path_factory) -> Iterator[Lab]:
    """A JupyterLab of our own, which touches nobody's settings or files."""
    if importlib.util.find_spec("jupyterlab") is None:
        missing("JupyterLab", "Run: pip install -r requirements.txt")
    base, port = tmp_path_factory.mktemp("lab"), free_port()
    lab = Lab(f"http://127.0.0.1:{port}", base / "lessons")
    lab.lessons.mkdir()
    set_settings(base / "JUPYTERLAB_SETTINGS_DIR")
    log = base / "log"
    with log.open("w") as out:
        look = {"stdout": out, "stderr": out, "cwd": lab.lessons}
        process = subprocess.Popen(command(port), env=surroundings(base), **look)
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


@contextlib.contextmanager
def chromium() -> Iterator:
    """A Chromium without a window, which reaches nothing but this machine."""
    if sync_playwright is None:
        missing("playwright", "Run: pip install -r tests/requirements.txt")
    program = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if program is None:
        missing("Chromium", "Install it, for instance: sudo apt install chromium")
    with sync_playwright() as play:
        # Everything that is not on this machine goes to a proxy that isn't there. (To
        # abort it with playwright's route() would turn off the browser's cache.)
        nowhere = {"server": "http://127.0.0.1:9", "bypass": "127.0.0.1"}
        look = {"executable_path": program, "args": QUIET, "proxy": nowhere}
        started = play.chromium.launch(**look)
        yield started
        started.close()


@pytest.fixture(scope="module")
def browser() -> Iterator:
    """A window of 1280 by 900 pixels, and what waits for it."""
    with chromium() as started:
        expect.set_options(timeout=WAIT)
        context = started.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(WAIT)
        yield context


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
def lessons(visit, lab) -> Callable:
    """lessons(name) is that widget, its lesson opened, looked at, and then run, once.

    The lesson after it is opened, too: its kernel works while this one is looked at.
    """
    opened, order = {}, list(CELLS)

    def start(lesson: str) -> None:
        if lesson not in opened:
            opened[lesson] = []  # a lesson that fails is not tried again
            page = visit()
            open_lesson(lab, page, lesson)
            opened[lesson] = run_lesson(page, lesson)

    def get(name: str) -> Visit:
        place = order.index(name.split(".")[0])
        for lesson in order[place : place + 2]:
            start(lesson)
        if not opened[order[place]]:
            pytest.fail(f"{name} did not run: see the first test that failed.")
        here = next(here for here in opened[order[place]] if here.name == name)
        here.page.bring_to_front()  # a page behind another is slow and misses keys
        expect(here.widget).to_be_visible(timeout=LOADING)
        await_picture(here, "")
        idle(here, TRAINING)  # until then a kernel answers nobody
        return here

    return get


@pytest.fixture(scope="module", params=WIDGETS)
def here(lessons, request) -> Visit:
    """Each widget in turn: all tests of one, then all of the next."""
    return lessons(request.param)


def open_lesson(lab: Lab, here: Visit, lesson: str) -> None:
    """Open a fresh copy of a lesson and wait until its kernel is ready."""
    (lab.lessons / f"{lesson}.ipynb").write_text(json.dumps(cut_down(lesson)))
    # A workspace of its own: otherwise JupyterLab opens the other lessons' tabs, too.
    tree = f"{lab.address}/lab/workspaces/{lesson}/tree/{lesson}.ipynb"
    here.page.goto(f"{tree}?token={TOKEN}")
    idle(here, LOADING)  # a cell run before would be met with a dialog: which kernel?


def idle(here: Visit, timeout: int) -> None:
    """Wait until the kernel has nothing to do."""
    bar = here.page.locator("#jp-main-statusbar")
    expect(bar).to_contain_text("Python 3 (ipykernel) | Idle", timeout=timeout)


def run_lesson(page: Visit, lesson: str) -> list[Visit]:
    """Look at each widget's place in an open lesson, then have all cells run."""
    names = [name for name in WIDGETS if name.startswith(f"{lesson}.")]
    widgets = [replace(page, name=name, first={}) for name in names]
    for here in widgets:
        look_first(here)
    page.page.locator(".lm-MenuBar-item", has_text="Run").first.click()
    page.page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
    return widgets


def look_first(here: Visit) -> None:
    """Note what a widget's cell shows when nothing has been run."""
    if here.stored["outputs"]:
        here.output.locator("img").wait_for()
    screenshot(here, "stored")
    prompts = here.page.locator(".jp-Notebook .jp-InputPrompt").all_inner_texts()
    here.first["run"] = [prompt for prompt in prompts if prompt.strip() != "[ ]:"]
    here.first["widgets"] = here.page.locator(".jupyter-widgets").count()
    here.first["images"] = here.output.locator("img").evaluate_all(
        """images => Promise.all(images.map(
            image => image.decode().then(() => [image.src, image.naturalWidth])))"""
    )


def picture(here: Visit) -> str:
    """The pixels of the widget's picture."""
    return here.image.evaluate(PIXELS)


def await_picture(here: Visit, before: str) -> None:
    """Wait until the widget's picture is another one than before."""
    image = here.image.element_handle()
    more = {"polling": 50, "timeout": LOADING}  # a lesson may be training still
    here.page.wait_for_function(CHANGED, arg=[image, before], **more)


def type_into(here: Visit, box, text: str) -> None:
    """Replace the text of a box as a person does, key by key."""
    box.click()
    here.page.keyboard.press("ControlOrMeta+a")
    here.page.keyboard.press("Delete")
    here.page.keyboard.type(text)


def nudge(here: Visit, control) -> None:
    """Set a control that has the focus to another value; wait for another picture.

    A slider is moved and moved back, for of two sliders one may leave the other nothing
    to do: where the words are flat, nothing turns.
    """
    if control.get_attribute("role") == "slider":
        now, most = map(control.get_attribute, ("aria-valuenow", "aria-valuemax"))
        keys = "ArrowRight", "ArrowLeft"
        for key in keys[::-1] if float(now) == float(most) else keys:
            press(here, key)
        return
    before = picture(here)
    button = control.evaluate("control => control.tagName") == "BUTTON"
    if button or control.get_attribute("type") == "checkbox":
        press(here, "Space")
        return
    texts = SHORT.get(here.name) or KINDS[kind_of(here.name)]
    text = next(text for text in texts if text != control.input_value())
    here.page.keyboard.press("ControlOrMeta+a")
    here.page.keyboard.insert_text(text)  # at once, as by ControlOrMeta+v
    here.page.keyboard.press("Enter")
    await_picture(here, before)


def press(here: Visit, key: str) -> None:
    """Press a key that changes the picture."""
    before = picture(here)
    here.page.keyboard.press(key)
    await_picture(here, before)


def tab_to(here: Visit, control) -> None:
    """Go on with Tab to a control; at most a slider's number and a button between."""
    for _ in range(3):
        here.page.keyboard.press("Tab")
        if control.evaluate("control => control === document.activeElement"):
            break
    expect(control).to_be_focused()


def start_of(here: Visit) -> None:
    """Put the focus where Tab leads into the widget."""
    here.widget.evaluate("box => { box.tabIndex = -1; box.focus(); }")


def tab_through(here: Visit) -> list[str]:
    """Press Tab until the focus leaves the widget; give what never had it."""
    here.widget.evaluate(WATCH)
    start_of(here)
    for _ in range(200):
        here.page.keyboard.press("Tab")
        if not here.widget.evaluate(HOLDS_FOCUS):
            return here.widget.evaluate(MISSED)
    return ["Tab never leaves the widget"]


def set_theme(here: Visit, theme: str) -> None:
    """Choose a theme, "Light" or "Dark", in the menu."""
    page, item = here.page, here.page.locator(".lm-Menu-item")
    mark = "true" if theme == "Light" else "false"
    if page.locator("body").get_attribute("data-jp-theme-light") == mark:
        return
    page.locator(".lm-MenuBar-item", has_text="Settings").click()
    item.filter(has_text=re.compile("^Theme$")).click()
    item.filter(has_text=re.compile(f"^JupyterLab {theme}$")).click()
    expect(page.locator("body")).to_have_attribute("data-jp-theme-light", mark)


def resize(here: Visit, width: int) -> None:
    """Make the window so wide and wait until JupyterLab fills it again."""
    here.page.set_viewport_size({"width": width, "height": 900})
    here.page.wait_for_function(FILLED)


def screenshot(here: Visit, state: str) -> None:
    """Keep a picture of the page where COURSE_SCREENSHOTS says, if it does."""
    folder = os.environ.get("COURSE_SCREENSHOTS")
    if folder:
        here.cell.scroll_into_view_if_needed()
        here.page.screenshot(path=Path(folder) / f"{here.name}-{state}.png")


def ask(here: Visit, text: str, first: str) -> None:
    """Type a text into the next-token explorer; wait until it expects `first`.

    The picture is the last thing that the explorer changes: then it is at rest.
    """
    box = here.widget.locator("input[type=text]")
    if box.input_value() != text:
        before = picture(here)
        type_into(here, box, text)
        here.page.keyboard.press("Enter")
        await_picture(here, before)
    expect(here.widget.locator("button").first).to_have_text(first)


def likeliest(here: Visit) -> float:
    """The likeliest next token's probability, which its button tells."""
    told = here.widget.locator("button").first.get_attribute("title")
    return float(re.search(r"0\.\d+", told)[0])


@pytest.mark.one
def test_next_token_explorer_appears(lessons):
    here = lessons("00_next_token.explorer")
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
    """The first answer is a fact, the second the lesson itself asserts."""
    here = lessons("00_next_token.explorer")
    ask(here, "The capital of France is", "·Paris")
    before = picture(here)
    ask(here, "The sun is shining in the", "·sky")
    assert picture(here) != before
    assert "6 tokens read" in here.widget.inner_text()


@pytest.mark.one
def test_next_token_explorer_slider_by_keyboard(lessons):
    """Warmer is flatter: the likeliest token's probability falls."""
    here = lessons("00_next_token.explorer")
    ask(here, "The sun is shining in the", "·sky")
    readout = here.widget.locator(".widget-readout")
    heat, chance = float(readout.inner_text()), likeliest(here)
    here.widget.locator("[role=slider]").focus()
    for step in (1, 2, 3):
        before = picture(here)
        here.page.keyboard.press("ArrowRight")
        expect(readout).to_have_text(f"{heat + step / 10:.2f}")
        await_picture(here, before)
    assert likeliest(here) < chance


def test_next_token_explorer_click_appends(lessons):
    here = lessons("00_next_token.explorer")
    ask(here, "The sun is shining in the", "·sky")
    before = picture(here)
    here.widget.locator("button").first.click()
    box = here.widget.locator("input[type=text]")
    expect(box).to_have_value("The sun is shining in the sky")
    await_picture(here, before)
    expect(here.widget.locator("button").first).not_to_have_text("·sky")


@pytest.mark.one
def test_next_token_explorer_keyboard_appends(lessons):
    """Tab leads from the text to the tokens, Enter appends one; nothing else moves."""
    here = lessons("00_next_token.explorer")
    ask(here, "The sun is shining in the", "·sky")
    here.widget.locator("input[type=text]").focus()
    tab_to(here, here.widget.locator("[role=slider]"))
    tab_to(here, here.widget.locator("button").first)
    cells = here.page.locator(".jp-Notebook .jp-Cell").count()
    before = picture(here)
    here.page.keyboard.press("Enter")
    box = here.widget.locator("input[type=text]")
    expect(box).to_have_value("The sun is shining in the sky")
    await_picture(here, before)
    assert here.page.locator(".jp-Notebook .jp-Cell").count() == cells


def test_token_explorer_reads_what_is_typed(lessons):
    """A character may be several bytes; letters are typed text, not shortcuts.

    The note is the last thing to change: then the picture is at rest.
    """
    here = lessons("01_tokens.picture")
    cells = here.page.locator(".jp-Notebook .jp-Cell").count()
    for text in ("naïve 😀", "", "bad axes"):
        before = picture(here)
        type_into(here, here.widget.locator("textarea"), text)
        note = f"{len(text)} characters, {len(text.encode())} bytes"
        expect(here.widget.locator(".widget-html-content")).to_have_text(note)
        await_picture(here, before)
        expect(here.widget.locator("textarea")).to_have_value(text)
    assert here.page.locator(".jp-Notebook .jp-Cell").count() == cells


def looked_at(here: Visit) -> dict[str, float]:
    """What the attention explorer shows: token looked at → weight."""
    shown = {}
    for key in here.widget.locator(".key.token").all():
        weight = key.locator(".weight").inner_text()
        if weight:
            shown[key.inner_text().removeprefix(weight).strip()] = float(weight)
    return shown


def test_attention_explorer_lights_what_a_token_looks_at(lessons):
    """By pointer and by keyboard the same; a click holds it, Escape lets go."""
    here = lessons("03_attention.picture")
    queries = here.widget.get_by_role("button")
    outside = here.widget.locator("input[type=text]")
    count = here.widget.locator(".key.token").count()
    assert queries.count() == count > 2
    assert looked_at(here) == {}  # nothing is lit
    queries.last.hover()
    expect(here.widget.locator(".query.on")).to_have_count(1)
    assert here.widget.locator("path.on").count() == count
    hovered = looked_at(here)
    assert abs(sum(hovered.values()) - 1) < 0.005 * count
    outside.hover()
    expect(here.widget.locator(".grid.lit")).to_have_count(0)

    here.widget.locator("[role=slider]").last.focus()
    for _ in range(2):  # the slider's number comes between
        here.page.keyboard.press("Tab")
    expect(queries.first).to_be_focused()
    assert list(looked_at(here).values()) == [1.0]  # the first has only itself
    for _ in range(count - 1):
        here.page.keyboard.press("ArrowDown")
    expect(queries.last).to_be_focused()
    assert looked_at(here) == hovered
    cells = here.page.locator(".jp-Notebook .jp-Cell").count()
    here.page.keyboard.press("Enter")
    expect(queries.last).to_have_attribute("aria-pressed", "true")
    here.page.keyboard.press("ArrowUp")
    assert looked_at(here) == hovered  # held
    here.page.keyboard.press("Escape")
    expect(queries.last).to_have_attribute("aria-pressed", "false")
    expect(queries.nth(count - 2)).to_be_focused()
    assert looked_at(here) != hovered
    assert here.page.locator(".jp-Notebook .jp-Cell").count() == cells

    queries.nth(1).click()
    outside.hover()
    assert len(looked_at(here)) == 2  # held
    queries.nth(1).click()
    outside.hover()
    expect(here.widget.locator(".grid.lit")).to_have_count(0)


def test_attention_explorer_other_heads_and_texts(lessons):
    """A held token stays held when the head changes, not when the text does."""
    here = lessons("03_attention.picture")
    box = here.widget.locator("input[type=text]")
    type_into(here, box, "The cat sat on the mat")
    here.page.keyboard.press("Enter")
    queries = here.widget.get_by_role("button")
    expect(queries).to_have_text(["The", "·cat", "·sat", "·on", "·the", "·mat"])
    expect(here.widget.get_by_role("status")).to_have_text("6 tokens")
    queries.nth(5).click()
    label = queries.nth(5).get_attribute("aria-label")
    assert re.match(r'" mat" looks at ".+" 0\.\d\d, ".+" 0\.\d\d, ".+" 0\.\d\d$', label)
    here.widget.locator("[role=slider]").last.focus()
    here.page.keyboard.press("ArrowRight")
    expect(queries.nth(5)).not_to_have_attribute("aria-label", label)
    expect(queries.nth(5)).to_have_attribute("aria-pressed", "true")
    type_into(here, box, "")
    here.page.keyboard.press("Enter")
    expect(here.widget.get_by_role("status")).to_have_text("Type at least one letter.")
    expect(queries).to_have_count(0)
    type_into(here, box, "A cat")
    here.page.keyboard.press("Tab")  # leaving the box answers, too
    expect(queries).to_have_count(2)
    expect(here.widget.locator(".grid.lit")).to_have_count(0)


def test_attention_explorer_shows_the_models_weights(lessons, llm):
    """Of the head that the sliders name, by the row of the token that is held."""
    here = lessons("03_attention.picture")
    model, encoding = llm
    text, queries = "Mary gave the ball to John", here.widget.get_by_role("button")
    type_into(here, here.widget.locator("input[type=text]"), text)
    here.page.keyboard.press("Enter")
    expect(queries.last).to_have_text("·John")
    layer, head = map(int, here.widget.locator(".widget-readout").all_inner_texts())
    queries.nth(4).click()
    patterns = inside.attention_patterns(model, encoding.encode(text))
    weights = patterns[layer, head, 4].tolist()
    expected = [f"{weight:.2f}" for weight in weights[:5]]
    shown = here.widget.locator(".key .weight").all_inner_texts()
    assert shown == [*expected, ""]
    assert here.output.evaluate(FAINT) == []  # what is not lit stays readable


def tile(here: Visit, name: str):
    """A tile of the machine view, by how its label begins."""
    return here.widget.locator(f'.tile[aria-label^="{name}"]')


def said(here: Visit):
    """The machine view's sentence on what comes next."""
    return here.widget.locator(".machine-view .said")


@pytest.mark.one
def test_a_tile_pressed_by_keyboard_is_switched_off(lessons, llm):
    """Arrows lead to every tile; Enter takes one out of the model, Escape brings all."""
    here = lessons("05_transformer.machine-live")
    model, encoding = llm
    text = "The capital of France is"
    type_into(here, here.widget.locator("input[type=text]"), text)
    here.page.keyboard.press("Enter")
    expect(here.widget.locator(".token")).to_have_count(5)
    assert here.widget.locator(".tile").count() == 30 * 11  # a layer's name, 9, 1
    plain = said(here).inner_text()
    start = tile(here, "Head 0 of layer 29 ")
    start.click()
    expect(said(here)).to_contain_text("head 0 of layer 29 off")
    expect(start).to_be_focused()  # though all was drawn anew
    here.page.keyboard.press("Enter")
    expect(said(here)).to_have_text(plain)
    for key in ("End", *["ArrowDown"] * 29):
        here.page.keyboard.press(key)
    last = tile(here, "The MLP of layer 0 ")
    expect(last).to_be_focused()
    expect(here.widget.locator(".told")).to_contain_text("Its neurons that fire most")
    here.page.keyboard.press("Enter")
    expect(said(here)).to_contain_text("the MLP of layer 0 off")
    expect(last).to_have_attribute("aria-label", re.compile("It is switched off"))
    changes = {(0, "mlp"): patching.off}
    view = tiles.take_apart(
        model, encoding.encode(text), changes, encoding.encode(" Paris")[0]
    )
    percent = f"{100 * view.probability:.1f} %"
    expect(said(here)).to_contain_text(
        percent if view.probability >= 0.0005 else "to < 0.1 %"
    )
    here.page.keyboard.press("Escape")
    expect(said(here)).to_have_text(plain)
    expect(last).to_be_focused()


def test_a_layer_and_the_three_that_tell_most(lessons):
    here = lessons("05_transformer.machine-live")
    whole = tile(here, "Layer 3,")
    whole.click()
    expect(said(here)).to_contain_text("10 parts changed")
    expect(here.widget.locator(".tile.off")).to_have_count(10)
    here.page.keyboard.press("Enter")
    expect(here.widget.locator(".tile.off")).to_have_count(0)
    here.widget.get_by_role("button", name="The three that tell most").click()
    expect(here.widget.locator(".machine-view li")).to_have_count(3)
    expect(here.widget.locator(".tile.telling")).to_have_count(3)
    second = here.widget.locator(".best button").nth(1)
    second.click()
    expect(second).to_have_attribute("aria-pressed", "true")
    expect(second).to_be_focused()
    assert here.output.evaluate(FAINT) == []


def test_a_head_lights_what_it_looks_at(lessons):
    """By pointer and by keyboard the same."""
    here = lessons("05_transformer.machine-live")
    head = tile(here, "Head 1 of layer 29 ")
    head.hover()
    told = here.widget.locator(".told")
    expect(told).to_contain_text("From the last token it looks at")
    hovered = told.inner_text(), here.widget.locator(".look").count()
    assert hovered[1] >= 1
    here.widget.locator("input[type=text]").hover()
    expect(here.widget.locator(".look")).to_have_count(0)
    head.focus()
    assert (told.inner_text(), here.widget.locator(".look").count()) == hovered


def test_a_part_is_taken_from_the_other_text(lessons):
    here = lessons("13_inside.machine-live")
    here.widget.get_by_label("takes from the other text").check()
    for name in ("Head 3 of layer 23 ", "The MLP of layer 28 "):
        tile(here, name).click()
        expect(tile(here, name)).to_have_class(re.compile("taken"))
    expect(said(here)).to_contain_text("the likeliest is “ John”")
    type_into(here, here.widget.locator("input[type=text]").last, "Two words")
    here.page.keyboard.press("Enter")
    expect(said(here)).to_contain_text("same number of tokens")


@pytest.mark.parametrize(
    "text", ["", "👩‍👩‍👧 naïve 😀", "Row, row, row your boat. " * 200]
)
def test_residual_flow_answers_any_text(lessons, text):
    """Nothing, half characters and far more than it shows: a picture, no complaint."""
    here = lessons("05_transformer.picture")
    box = here.widget.locator("input[type=text]")
    before = picture(here)
    box.fill(text)
    box.press("Enter")
    await_picture(here, before)
    assert here.widget.locator(".widget-html-content").all_inner_texts() == [""]


def test_stored_picture_shows_before_anything_runs(here):
    """The very picture that the file holds, no widget, and no cell with a number."""
    outputs = here.stored["outputs"]
    assert outputs, f"{here.name}: no outputs. Run all the lesson's cells and save it."
    png = "".join(outputs[0]["data"]["image/png"]).replace("\n", "")
    [[source, width]] = here.first["images"]
    assert source == f"data:image/png;base64,{png}" and width > 0
    assert here.first["widgets"] == 0 and here.first["run"] == []


def test_sliders_go_to_their_ends(here):
    """By Home and End; at the end they stay, for the tests below."""
    for control in here.controls.all():
        if control.get_attribute("role") == "slider":
            control.focus()
            least, most = map(control.get_attribute, ("aria-valuemin", "aria-valuemax"))
            if control.get_attribute("aria-valuenow") == least:
                press(here, "End")
            press(here, "Home")
            expect(control).to_have_attribute("aria-valuenow", least)
            press(here, "End")
            expect(control).to_have_attribute("aria-valuenow", most)


@pytest.mark.parametrize(("theme", "width"), THEMES_AND_WIDTHS)
def test_widget_by_keyboard_fits_and_can_be_read(here, theme, width):
    """Tab leads to every control, its keys change the picture; with long words to show.

    The picture's letters stay readable: those of 9 points are 9 pixels high or more.
    """
    set_theme(here, theme)
    resize(here, width)
    cells = here.page.locator(".jp-Notebook .jp-Cell").count()
    assert tab_through(here) == []
    start_of(here)
    controls = here.controls if here.controls.count() else here.widget.locator("button")
    assert controls.count() > 0
    for control in controls.all():
        expect(control).to_be_visible()
        tab_to(here, control)
        nudge(here, control)
        expect(control).to_be_focused()
    screenshot(here, f"{theme.lower()}-{width}")
    assert here.page.locator(".jp-Notebook .jp-Cell").count() == cells
    assert here.output.evaluate(TOO_WIDE) == []
    assert here.output.evaluate(FAINT) == []
    for drawn in here.widget.locator("img.widget-image").all():
        assert drawn.bounding_box()["width"] >= 600


def test_a_narrow_window_shows_a_part_or_without_its_file_browser_all(lessons):
    """A pointer can scroll what is hidden; the keyboard puts the file browser away."""
    here = lessons("06_counting_gpt3.picture")
    frame = here.widget.locator(".picture-frame")
    hidden = "frame => frame.scrollWidth - frame.clientWidth"
    resize(here, 1280)
    assert frame.evaluate(hidden) == 0
    resize(here, 800)
    assert frame.evaluate(hidden) > 0
    frame.hover()
    here.page.mouse.wheel(100, 0)
    scrolled = "frame => frame.scrollLeft > 10"
    here.page.wait_for_function(scrolled, arg=frame.element_handle())
    for fits in (True, False):
        here.controls.last.focus()
        here.page.keyboard.press("ControlOrMeta+b")
        change = (
            f"frame => (frame.scrollWidth <= frame.clientWidth) === {str(fits).lower()}"
        )
        here.page.wait_for_function(change, arg=frame.element_handle())
        assert here.output.evaluate(TOO_WIDE) == []


def test_a_saved_lesson_opened_again_shows_its_pictures(lessons, visit, lab):
    """Saving takes nothing from the page; without a kernel no view says "not found"."""
    here = lessons("06_counting_gpt3.picture")
    own = lab.lessons / "06_counting_gpt3.ipynb"
    before = own.stat().st_mtime_ns
    here.page.locator(".lm-MenuBar-item", has_text="File").first.click()
    here.page.locator('.lm-Menu-item[data-command="docmanager:save"]').click()
    late = time.monotonic() + WAIT / 1000
    while own.stat().st_mtime_ns == before and time.monotonic() < late:
        here.page.wait_for_timeout(50)
    assert LIVE not in own.read_text() and "image/png" in own.read_text()
    expect(here.widget).to_be_visible()
    here.controls.last.focus()
    nudge(here, here.controls.last)  # it still moves the picture
    shutil.copy(own, lab.lessons / "again.ipynb")
    again = visit()
    again.page.goto(
        f"{lab.address}/lab/workspaces/again/tree/again.ipynb?token={TOKEN}"
    )
    again.page.locator(".jp-Notebook .jp-OutputArea-output img").first.wait_for()
    expect(again.page.get_by_text("model not found")).to_have_count(0)


def test_large_numbers_have_their_comma(lessons):
    """And stay what they are: "12,288" is never read as 12."""
    here = lessons("06_counting_gpt3.picture")
    control, readout = here.controls.first, here.widget.locator(".widget-readout").first
    control.focus()
    here.page.keyboard.press("End")
    expect(readout).to_have_text("12,288")
    readout.click()
    here.page.keyboard.press("Enter")
    assert tab_through(here) == []
    expect(readout).to_have_text("12,288")


@pytest.mark.one
@pytest.mark.parametrize(
    "code",
    [
        "from course_lib import widgets\n_, box = widgets.steer(draw, *controls)",
        "from course_lib import widgets as w\nw.slider('n', 0, 9, 1)",
        "import course_lib.widgets\ncourse_lib.widgets.text_box('t', '')",
        "from course_lib.widgets import show, choice as pick\npick('c', 'ab')",
        "for text in texts:\n    widgets.attention_explorer(model, cut, text)",
        "def made():\n    return widgets.token_explorer({}, '')",
        "import ipywidgets\nipywidgets.IntSlider()",
        "from ipywidgets import IntSlider\nIntSlider()",
        "show(picture, caption, made)",
        "show(picture, caption, widget=made)",
    ],
)
def test_a_cell_with_a_widget_is_found(code):
    assert makes_widget(code)


@pytest.mark.one
@pytest.mark.parametrize(
    "code",
    [
        "from course_lib import widgets\nwidgets.show(axis, 'What it shows.')",
        "from course_lib.widgets import live, show\nshow(axis, told)\nlive(axis, told)",
        "from course_lib import widgets, figures",
        "figures.steer(1, 2, 3)\nslider = 'widgets.slider()'",
    ],
)
def test_a_cell_without_a_widget_is_not_found(code):
    assert not makes_widget(code)


@pytest.mark.one
def test_widgets_of_every_kind_are_among_those_tested():
    lessons = {name.split(".")[0] for name in WIDGETS}
    assert len(lessons) >= 9 and len(WIDGETS) >= 14
    late = {"03_attention.bank-drift", "04_mlp.toy-picture", "07_backprop.real-picture"}
    assert {*late, *SHORT} <= {*WIDGETS}


@pytest.mark.one
def test_every_kind_of_widget_is_known_here():
    """A widget that is new in the index says here what may be typed into it."""
    makers = inspect.getmembers(widgets, inspect.isfunction)
    kinds = [n for n, f in makers if "Axes, ipywidgets" in str(inspect.signature(f))]
    assert sorted(kinds) == sorted(KINDS)
    for name in WIDGETS:
        assert kind_of(name) in KINDS


def test_a_cell_needs_whoever_named_last_what_it_uses():
    lines = "import os", "a = 1", "b = a", "a = 2", "def f(x): return a + x", "c = b"
    lines += "b = 3", "d = [f(b) for b in c]", "import e"
    cells = [{"cell_type": "code", "source": [line]} for line in lines]
    assert needed(cells, [7]) == [0, 1, 2, 3, 4, 5, 7]
    assert needed(cells, [2, 8]) == [0, 1, 2, 8]


def test_nothing_leaves_and_nothing_fails(lessons, visit):
    """Over all pages that were opened; then that the watch would have seen it."""
    for name in WIDGETS:
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


def test_a_head_of_the_map_is_pressed_or_reached_by_arrows(lessons):
    """The sliders follow, and the tokens below show where that head looks."""
    here = lessons("13_inside.map-explorer")
    heads, shown = here.widget.locator("svg.heads"), here.widget.locator(".body")
    readout = here.widget.locator(".widget-readout")
    assert here.widget.locator("circle.score").count() == 30 * 9
    before = shown.inner_html()
    here.widget.locator("rect.press").nth(11 * 9 + 1).click()  # layer 11, head 1
    # The kernel may still be at the cells below.
    expect(readout).to_have_text(["11", "1"], timeout=LOADING)
    expect(heads).to_have_attribute("aria-label", re.compile("head 1 of layer 11, "))
    assert shown.inner_html() != before
    heads.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown"):
        here.page.keyboard.press(key)
    expect(readout).to_have_text(["12", "3"])
    for _ in range(12):  # no further than the last head
        here.page.keyboard.press("ArrowDown")
    expect(readout).to_have_text(["12", "8"])
    expect(heads).to_be_focused()
    here.widget.locator("[role=slider]").first.focus()
    here.page.keyboard.press("ArrowRight")
    expect(heads).to_have_attribute("aria-label", re.compile("head 8 of layer 13, "))
