"""Lessons on a Colab runtime: its versions, its kernel, its own package loaded.

A virtual environment gets what colab/runtime.txt names, to the digit, and a stand-in for
`google.colab`. PyTorch is the one that runs these tests: Colab's own build is for CUDA,
and neither can every Python have one. So the test ids say which Python and torch it was,
and what needs no torch is held on Colab's Python too, where that is installed.

Lesson 06 stands for all: `python -m course_lib test --all` runs every lesson.
"""

import ast
import copy
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import nbformat
import pytest

from course_lib import files
from course_lib.cli import environment
from course_lib.files import ROOT
from course_lib.files.colab import COLAB_MAY_LACK, LEFT_TO_COLAB
from course_lib.notebooks import cells, refresh
from course_lib.notebooks.saved import LIVE

HERE = ROOT / "tests" / "slow" / "colab"
PINS = dict(re.findall(r"(?m)^([\w.-]+)==([\w.]+)", (HERE / "runtime.txt").read_text()))
PINS = {name.replace("_", "-"): pin for name, pin in PINS.items()}
# With all they need these bring a whole JupyterLab, which Colab has not.
FRONT = ("ipywidgets", "widgetsnbextension", "jupyterlab-widgets", "anywidget")
# A runtime has far more than its list; of that, what the course leans on.
ALSO = ("psygnal", "ipython_genutils", "pyyaml", "requests", "psutil")
COLABS_PYTHON = (3, 13)
FIRST = "06"  # stands for all
THIS = f"python{sys.version_info[0]}.{sys.version_info[1]}-torch{version('torch')}"
PATHS = cells.paths()


@dataclass(frozen=True)
class Runtime:
    """A Python with Colab's packages, and what `git clone` brings there."""

    python: Path
    clone: Path
    profile: Path  # IPython's folder: its start-up file loads google.colab

    def environ(self, place: Path) -> dict[str, str]:
        """Environment variables for a process in it; git notes there what it was asked."""
        bins = os.pathsep.join([str(HERE / "bin"), str(self.python.parent)])
        own = {"PATH": bins + os.pathsep + os.environ["PATH"], "PYTHONNOUSERSITE": "1"}
        own |= {"COLAB_CLONE": str(self.clone), "COLAB_ASKED": str(place / "asked")}
        own |= {"IPYTHONDIR": str(self.profile), "COURSE_THREADS": "2"}
        own |= {"JUPYTER_DATA_DIR": str(place), "JUPYTER_CONFIG_DIR": str(place)}
        leaks = ("PYTHONPATH", "VIRTUAL_ENV", "JUPYTER_PATH", "COURSE_SCALE")
        return {k: v for k, v in os.environ.items() if k not in leaks} | own

    def run(self, words: list, place: Path, **more: str) -> subprocess.CompletedProcess:
        """Run this Python with these words in a folder."""
        return subprocess.run(
            [str(word) for word in [self.python, *words]],
            cwd=place, env=self.environ(place) | more, capture_output=True, text=True,
        )  # fmt: skip


def pip(python: Path, words: list[str]) -> subprocess.CompletedProcess:
    """Run pip; where it can't reach its registry the test is skipped, but not in CI."""
    line = [str(python), "-m", "pip", "install", "-q", "--no-compile", *words]
    done = subprocess.run(line, capture_output=True, text=True)
    if "Could not find a version" in done.stderr and not os.environ.get("CI"):
        pytest.skip(f"pip reached no registry: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr[-3_000:]
    return done


def pinned(names: tuple) -> list[str]:
    return [f"{name}=={PINS[name]}" for name in names]


def borrow(name: str, place: Path) -> None:
    """Link an installed package, and all that it needs, into another site-packages."""
    try:
        one = distribution(name)
    except PackageNotFoundError:  # needed on another system, or for an extra
        return
    tops = {file.parts[0] for file in one.files} - {"..", "__pycache__"}
    for top in tops:
        if not (place / top).exists():
            (place / top).symlink_to(one.locate_file(top))
    for need in one.requires or []:
        if "extra ==" not in need:
            borrow(re.match(r"[\w.-]+", need)[0], place)


@pytest.fixture(scope="session")
def colab(tmp_path_factory) -> Runtime:
    """A runtime as Colab hands it out: nothing of the course's is in it."""
    if os.name == "nt":
        pytest.skip("links and a shell script stand in for Colab: not on Windows")
    folder = tmp_path_factory.mktemp("colab")
    venv.create(folder / "venv", with_pip=True)
    python = environment.python_of(folder / "venv")
    pip(python, ["--no-deps", *pinned(FRONT)])
    pip(python, [*pinned(tuple(PINS.keys() - set(FRONT))), *ALSO])
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    words = [str(python), "-c", code]
    site = Path(subprocess.run(words, capture_output=True, text=True).stdout.strip())
    borrow("torch", site)
    (site / "colab.pth").write_text(f"{HERE}\n")
    start = folder / "ipython" / "profile_default" / "startup"
    start.mkdir(parents=True)
    shutil.copy(HERE / "startup.py", start / "00-colab.py")
    clone = folder / "clone"
    for part in ("course_lib", "assets", "notebooks"):
        shutil.copytree(
            ROOT / part, clone / part, ignore=shutil.ignore_patterns("__pycache__")
        )
    for part in ("pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / part, clone / part)
    return Runtime(python, clone, folder / "ipython")


@pytest.fixture
def place(tmp_path) -> Path:
    """A folder such as Colab's /content: empty, and no course is in the one above."""
    (tmp_path / "content").mkdir()
    return tmp_path / "content"


def ran(colab: Runtime, notebook, place: Path):
    """A notebook as it is after a run there, and what its last cell told."""
    before, after = place.parent / "before.ipynb", place.parent / "after.ipynb"
    nbformat.write(notebook, before)
    done = colab.run([HERE / "run.py", before, place, after], place)
    assert done.returncode == 0, done.stderr[-3_000:]
    notebook = cells.read(after)
    return notebook, json.loads(notebook.cells.pop().outputs[0].text)


def asked(place: Path) -> list[str]:
    """What git was asked for."""
    note = place / "asked"
    return note.read_text().splitlines() if note.exists() else []


# Nothing of Colab's own is replaced --------------------------------------------------


def report(path: Path) -> dict[str, str]:
    """What pip would install, says its report: name → version."""
    packages = [one["metadata"] for one in json.loads(path.read_text())["install"]]
    return {one["name"].lower().replace("_", "-"): one["version"] for one in packages}


INSTALL = "from course_lib.files import colab; print(colab.install_on_colab())"


def test_set_up_installs_what_is_missing_and_replaces_nothing(colab, place):
    """pip itself says what it would do, with the very words that a lesson gives it."""
    path = place / "report.json"
    dry = {"PIP_DRY_RUN": "1", "PIP_REPORT": str(path), "PYTHONPATH": str(colab.clone)}
    done = colab.run(["-c", INSTALL], place, **dry)
    assert done.returncode == 0, done.stderr[-3_000:]
    wanted = ast.literal_eval(done.stdout.splitlines()[-1])
    assert "gguf" in wanted  # else this runtime would lack nothing, and show nothing
    assert set(report(path)) == set(wanted)
    assert not set(wanted) & (set(PINS) | LEFT_TO_COLAB)


def imported(source: str) -> set[str]:
    """The modules that a source imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module.startswith("course_lib"):  # the names may be modules
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def third_party() -> set[str]:
    """What lessons import from elsewhere, themselves or through a module; top-level names."""
    found, waiting = set(), {"course_lib.exercises"}
    waiting |= {f"course_lib.exercises.lesson_{path.name[:2]}" for path in PATHS}
    for path in PATHS:
        code = [one for one in cells.read(path).cells if one.cell_type == "code"]
        waiting |= set().union(*[imported(cell.source) for cell in code])
    while waiting - found:
        name = (waiting - found).pop()
        found.add(name)
        home = ROOT / name.replace(".", "/")
        for file in (home.with_suffix(".py"), home / "__init__.py"):
            if file.is_file():
                waiting |= imported(file.read_text(encoding="utf-8"))
    assert {
        "course_lib.pretrained",
        "filelock",
    } <= found  # else nothing would have been followed
    return {name.split(".")[0] for name in found} - {*sys.stdlib_module_names}


@pytest.mark.one
def test_whatever_a_lesson_imports_is_there_or_gets_installed():
    there = {name.lower() for name in PINS} | LEFT_TO_COLAB
    there |= {"huggingface_hub"}  # a second source, asked for where the first fails
    there |= {"course_lib", *COLAB_MAY_LACK}
    assert {name.lower() for name in third_party()} - there == set()


# The set-up cell ---------------------------------------------------------------------


def only_set_up():
    first = [one for one in cells.read(PATHS[0]).cells if one.id == "set-up"]
    return nbformat.v4.new_notebook(cells=first)


@pytest.mark.parametrize("there", [False, True], ids=["not there", "there"])
def test_set_up_clones_once(there, colab, place):
    if there:
        shutil.copytree(colab.clone, place / "next-token")
    notebook, told = ran(colab, only_set_up(), place)
    assert asked(place) == ([] if there else [tagged()])
    assert "Save a copy in Drive" in text(notebook.cells[0])
    course = (place / told["course"]).resolve()
    assert course.is_relative_to(place.resolve() / "next-token")
    assert not LEFT_TO_COLAB - set(told["versions"])


def test_set_up_says_that_nothing_was_cloned(colab, place):
    before, after = place.parent / "before.ipynb", place.parent / "after.ipynb"
    nbformat.write(only_set_up(), before)
    words = [HERE / "run.py", before, place, after]
    done = colab.run(words, place, COLAB_CLONE=str(place / "none"))
    assert done.returncode
    assert "AssertionError" in done.stderr and "none" in done.stderr  # git's own words
    assert asked(place) == [tagged(), address()]  # its version's tag, then as it stands


# The lessons -------------------------------------------------------------------------


def shown(cell) -> list[str]:
    """The kinds of a cell's outputs, in order, such as stream, image/png."""
    return [",".join(sorted(o.get("data", {}))) or o.name for o in cell.outputs]


def text(cell) -> str:
    return "".join(o.text for o in cell.outputs if o.output_type == "stream")


def views(notebook) -> set[str]:
    """The widgets that stand on a page."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    data = [output.get("data", {}) for cell in cells for output in cell.outputs]
    return {one[LIVE]["model_id"] for one in data if LIVE in one}


def living(notebook) -> set[str]:
    """The widgets that the kernel has told the page about."""
    kinds = notebook.metadata.get("widgets", {}).values()
    return {id for kind in kinds for id in kind["state"]}


def chosen(path: Path):
    marks = [pytest.mark.timeout(900)]
    marks += [pytest.mark.one] if path.name[:2] == FIRST else []
    return pytest.param(path, id=f"{path.stem}-{THIS}", marks=marks)


@pytest.mark.parametrize("path", map(chosen, PATHS))
def test_lesson_runs_on_colab(path, colab, place):
    before = cells.read(path)
    notebook, told = ran(colab, copy.deepcopy(before), place)
    assert asked(place) == [tagged()]
    assert (place / told["course"]).resolve().is_relative_to(place / "next-token")
    assert PINS.items() <= told["versions"].items()  # Colab's own, to the digit
    assert views(notebook) <= living(notebook)
    assert told["own widgets"] or "attention_explorer" not in path.read_text()
    fresh = refresh.normalise(notebook).cells
    for cell, saved in zip(fresh, before.cells, strict=True):
        if cell.cell_type == "code" and cell.id != "set-up":  # which shows pip's words
            assert shown(cell) == shown(saved), cell.id
            exact = "nbval-check-output" in cells.tags(cell)
            assert not exact or text(cell) == text(saved), cell.id


def address() -> str:
    """What git is asked for where the tag is not there."""
    return f"clone -q --depth 1 {files.address()}"


def tagged() -> str:
    """What git is asked for first."""
    return f"{address()} -b v{files.version()}"


# Colab's Python ----------------------------------------------------------------------


@pytest.fixture(scope="session")
def colabs_python() -> Path:
    """An interpreter of Colab's version: this one, one on the path, one beside this."""
    name = "python{}.{}".format(*COLABS_PYTHON)
    beside = Path(sys.base_prefix).parent.glob(f"{name[6:]}*/bin/{name}")
    for one in [sys.executable, shutil.which(name), *sorted(beside)]:
        code = f"import sys; sys.exit(sys.version_info[:2] != {COLABS_PYTHON})"
        if (
            one
            and not subprocess.run([one, "-c", code], capture_output=True).returncode
        ):
            return Path(one)
    pytest.skip(f"no {name} here, which is Colab's")


def test_every_cell_and_room_is_read_by_colabs_python(colabs_python):
    sources = {}
    for path in (ROOT / "course_lib").rglob("*.py"):
        sources[path.name] = path.read_text(encoding="utf-8")
    for path in PATHS:
        for cell in cells.read(path).cells:
            if cell.cell_type == "code":
                sources[f"{path.name} {cell.id}"] = cell.source
    code = "import json, sys\nfor name, text in json.load(sys.stdin).items(): "
    code += "compile(text, name, 'exec')"
    words = [str(colabs_python), "-W", "error", "-c", code]
    done = subprocess.run(
        words, input=json.dumps(sources), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_command_line_starts_on_colabs_python(colabs_python):
    words = [str(colabs_python), "-m", "course_lib", "train", "--help"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "--scale" in done.stdout


def test_what_is_installed_accepts_colabs_versions(colabs_python, tmp_path):
    """pip finds one set for Colab's Python that holds its pins and all we add to them.

    A lesson installs with --no-deps, which asks no package whether it is content.
    """
    path = tmp_path / "report.json"
    ours = [name for name in COLAB_MAY_LACK if name not in PINS]
    words = ["--dry-run", "--ignore-installed", "--report", str(path)]
    pip(colabs_python, [*words, *pinned(tuple(PINS)), *ours])
    found = report(path)
    assert PINS.items() <= found.items() and set(ours) <= set(found)
    assert "torch" not in found  # nothing we add asks for another one
