"""The notebooks: anatomy, outputs, parity with the library, claims, exercises."""

import ast
import base64
import copy
import inspect
import io
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from course_lib import figures
from course_lib.errors import Problem
from course_lib.exercises import registry
from course_lib.files import ROOT, address, version
from course_lib.notebooks import cells, curriculum, ledger, refresh
from course_lib.notebooks.saved import LIVE

PATHS = cells.paths()
LEDGER = ledger.table()
ADDRESS = address()
every_lesson = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def markdown(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "markdown"]


def lines(cell):
    return [line for line in cell.source.splitlines() if line.strip()]


# The file ----------------------------------------------------------------------------


@every_lesson
def test_file_is_normalised(path):
    notebook = cells.read(path)
    same = refresh.normalise(copy.deepcopy(notebook))
    assert same == notebook, "run: python -m course_lib refresh"
    assert path.stat().st_size < 1_000_000
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    nbformat.validate(notebook)


@every_lesson
def test_cell_ids_are_readable_and_unique(path):
    ids = [cell.id for cell in cells.read(path).cells]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z0-9-]{2,40}", id) for id in ids)
    assert not any(re.fullmatch(r"[0-9a-f]{8}", id) for id in ids)  # nbformat's own


@every_lesson
def test_outputs_are_those_of_one_fresh_run(path):
    code = code_cells(cells.read(path))
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert not [o for o in outputs if o.get("name") == "stderr"]


@every_lesson
def test_no_path_of_a_machine(path):
    text = path.read_text(encoding="utf-8")
    for trace in ("/home/", "/root/", "/Users/", "/tmp/", "C:\\\\", "site-packages"):
        assert trace not in text


# The anatomy -------------------------------------------------------------------------


@every_lesson
def test_anatomy(path):
    notebook = cells.read(path)
    ids = [cell.id for cell in notebook.cells]
    assert ids[:3] == ["title", "card", "set-up"]
    title = notebook.cells[0].source.splitlines()[0]
    assert title.startswith("# ") and title.endswith("?")
    for row in (
        "You will build",
        "Time",
        "Before this",
        "Runs in",
        "Words you will own",
    ):
        assert f"**{row}**" in notebook.cells[1].source
    sections = [c for c in markdown(notebook) if re.match(r"## \d", c.source)]
    assert 3 <= len(sections) <= 6
    assert any(
        cell.source.startswith("## What you know now") for cell in markdown(notebook)
    )
    stops = [c for c in markdown(notebook) if "*You can stop here.*" in c.source]
    assert len(stops) == 1 and "## Going further" in stops[0].source
    assert "**Next:**" in notebook.cells[-1].source
    exercises = [c for c in notebook.cells if "exercise" in cells.tags(c)]
    # Five at most is the rule; lesson 07 has seven, two of which are one line each.
    assert 2 <= len(exercises) <= 7
    assert sum("**Predict" in c.source for c in markdown(notebook)) >= 3


@every_lesson
def test_words_to_own_are_defined_once_in_bold(path):
    notebook = cells.read(path)
    row = re.search(r"\*\*Words you will own\*\* \| (.+?) \|", notebook.cells[1].source)
    body = "\n".join(c.source for c in markdown(notebook) if c.id != "card")
    for word in row[1].split(", "):
        found = re.findall(
            rf"\*\*{re.escape(word.removesuffix('y'))}(?:y|s|es|ies)?\*\*",
            body,
            re.IGNORECASE,
        )
        assert len(found) == 1, f"{word!r} is bold {len(found)} times"


@every_lesson
def test_cells_are_short(path):
    code = code_cells(cells.read(path))
    sizes = sorted(len(lines(cell)) for cell in code)
    assert sizes[len(sizes) // 2] <= 8
    assert sizes[int(len(sizes) * 0.9)] <= 16
    assert sizes[-1] <= 30
    assert len(lines(next(cell for cell in code if cell.id == "set-up"))) <= 11


@every_lesson
def test_prose_between_code(path):
    run = 0
    for cell in cells.read(path).cells:
        run = run + 1 if cell.cell_type == "code" else 0
        assert run <= 2, f"three code cells in a row at {cell.id}"


@every_lesson
def test_prose_is_short_and_never_says_it_is_easy(path):
    for cell in markdown(cells.read(path)):
        said = re.findall(r"\b(simply|just|obviously|of course)\b", cell.source, re.I)
        assert not said, f"{cell.id} says {said}"
        if cell.id not in ("card", "stop") and not cell.id.startswith(
            ("task-", "help-")
        ):
            assert len(cell.source.split()) <= 75, cell.id


def test_every_lesson_leads_on_to_the_next():
    paths = cells.paths()
    for path, after in zip(paths, paths[1:]):
        prose = "\n".join(cell.source for cell in markdown(cells.read(path)))
        (end,) = re.findall(r"\*\*Next:\*\*.*", prose)
        assert f"[lesson {after.name[:2]}]({after.name})" in end, path.name
        title = cells.read(after).cells[0].source.splitlines()[0].removeprefix("# ")
        assert title.lower() in end.lower(), path.name


@every_lesson
def test_printed_output_is_short(path):
    for cell in code_cells(cells.read(path)):
        printed = "".join(o.text for o in cell.outputs if o.output_type == "stream")
        assert len(printed.splitlines()) <= 16, cell.id


@every_lesson
def test_no_tricks(path):
    for cell in code_cells(cells.read(path)):
        for trick in ("!pip", "%%", "filterwarnings", "plotly", "interact(", "<script"):
            assert trick not in cell.source, cell.id


@every_lesson
def test_pictures_have_captions_and_alternative_texts(path):
    notebook, pictures = cells.read(path), 0
    for cell in code_cells(notebook):
        for output, after in zip(cell.outputs, [*cell.outputs[1:], None]):
            if "image/png" in output.get("data", {}):
                pictures += 1
                alt = output.metadata["image/png"]["alt"]
                assert len(alt) > 10 and after.data["text/markdown"] == f"*{alt}*"
    assert pictures >= 3


def test_set_up_cell_is_the_same_everywhere():
    sources = {cells.cell(path, "set-up") for path in PATHS}
    assert sources == {cells.set_up()}
    assert f'git clone -q --depth 1 {ADDRESS}"' in cells.set_up()
    assert f"-b v{version()}" in cells.set_up()


def test_a_lesson_that_was_copied_elsewhere_says_what_to_do(tmp_path):
    bare = [sys.executable, "-I", "-S", "-c", cells.set_up()]  # nothing is installed
    done = subprocess.run(bare, cwd=tmp_path, capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last == "AssertionError: Move this notebook into the course's my_lessons."


@every_lesson
def test_links(path):
    """The Colab link names this very file, and every local link leads somewhere."""
    text = "\n".join(cell.source for cell in markdown(cells.read(path)))
    links = re.findall(r"\]\((.+?)\)", text)
    repository = ADDRESS.removeprefix("https://github.com/")
    colab = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks"
    assert f"{colab}/{path.name}" in links
    for link in links:
        assert link.startswith("https://") or (path.parent / link).is_file(), link


# Lesson and library ------------------------------------------------------------------


@every_lesson
def test_last_drafts_are_the_library(path):
    notebook, number = cells.read(path), path.name[:2]
    library = {}
    for name in curriculum.built_in(number):
        module = import_module(f"course_lib.{name}")
        library |= cells.definitions(inspect.getsource(module))
    tagged = [c for c in notebook.cells if "in-package" in cells.tags(c)]
    assert tagged
    for cell in tagged:
        found = cells.definitions(cell.source)
        assert found
        for name, tree in found.items():
            assert ast.dump(tree) == ast.dump(library[name]), f"{name} has drifted"


@every_lesson
def test_no_draft_of_a_library_function_goes_untagged(path):
    """A function with a library name is the library's, an exercise, or an error."""
    number = path.name[:2]
    names = set()
    for name in curriculum.built_in(number):
        source = inspect.getsource(import_module(f"course_lib.{name}"))
        names |= set(cells.definitions(source))
    # Their few lines are no draft of sampling.write, which lesson 09 earns, or of
    # checkpoints.write.
    names -= {"write"} if number in ("00", "08") else set()
    for cell in code_cells(cells.read(path)):
        if {"in-package", "exercise"} & set(cells.tags(cell)):
            continue
        assert not names & set(cells.definitions(cell.source)), cell.id


@every_lesson
def test_imports_only_the_stage_and_earlier_lessons(path):
    number = path.name[:2]
    allowed = curriculum.importable(number)
    for cell in code_cells(cells.read(path)):
        for node in ast.walk(ast.parse(cell.source)):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            if node.module == "course_lib":
                assert {alias.name for alias in node.names} <= allowed, cell.id
            elif node.module.startswith("course_lib."):
                assert node.module.split(".")[1] in allowed, cell.id


def test_a_module_may_be_imported_once_it_is_built_or_used_first():
    for name, first, before in (("train", "08", "07"), ("inside", "03", "02")):
        assert name in curriculum.importable(first)
        assert name not in curriculum.importable(before)


def test_the_parity_check_notices_a_change():
    ours = "def f(a):\n    '''One text.'''\n    return a + 1"
    same = "def f(a):\n    # a comment\n    return a + 1"
    other = "def f(a):\n    return a + 2"
    trees = [ast.dump(cells.definitions(s)["f"]) for s in (ours, same, other)]
    assert trees[0] == trees[1] != trees[2]


# Exercises in the lesson -------------------------------------------------------------


@every_lesson
def test_exercise_cells_are_what_the_registry_derives(path):
    notebook = cells.read(path)
    derived = cells.derive(copy.deepcopy(notebook), path.name[:2])
    assert derived == notebook, "run: python -m course_lib refresh"
    stubs = [c.id for c in notebook.cells if "exercise" in cells.tags(c)]
    assert len(stubs) == len(registry.exercises(path.name[:2]))


@every_lesson
def test_only_typed_answers_count_as_typed(path):
    notebook = cells.read(path)
    assert cells.typed(notebook) == []
    exercises = registry.exercises(path.name[:2])
    assert len(cells.typed(cells.solved(notebook, path.name[:2]))) == len(exercises)


@pytest.mark.parametrize(
    "source",
    [
        "class A:\n    def f(self):\n        return 1\n\n    def g(self):\n        ...",
        "def f(x):\n    y = x\n    ...",
        "def help(x):\n    return x\n\n\ndef f(x):\n    ...",
        "def f(x):\n    return",
        "def f(x):\n    return (",
        "total = 175",
    ],
)
def test_half_an_answer_is_an_answer(source):
    assert not cells.is_stub(source)


def test_refresh_never_overwrites_an_answer(tmp_path, monkeypatch):
    typed = cells.read(PATHS[0])  # one answer is enough
    next(
        one for one in typed.cells if one.id == "stub-distinct"
    ).source = "distinct = 1"
    own = tmp_path / PATHS[0].name
    refresh.write(typed, own)
    before = own.read_bytes()
    monkeypatch.setattr(cells, "FOLDER", tmp_path)
    monkeypatch.setattr(refresh, "run", lambda notebook: pytest.fail("it was run"))
    with pytest.raises(Problem, match=r"answers typed into it \(stub-.+git checkout"):
        refresh.refresh(["00"])
    assert own.read_bytes() == before


def test_pictures_are_packed_and_look_the_same():
    """The areas' colours to the last bit, soft edges within a few steps of 255."""
    chance = np.random.default_rng(0)
    axis = figures.lens_grid(
        ["a", "b"] * 4, [["x", "yes"] * 4] * 6, chance.random((6, 8)), list("abcdef")
    )
    before = base64.b64encode(figures.png(axis)).decode()
    output = nbformat.v4.new_output("display_data", {"image/png": before})
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell()])
    notebook.cells[0].outputs = [output]
    after = refresh.packed(notebook).cells[0].outputs[0].data["image/png"]
    old, new = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"), int)
        for png in (before, after)
    )
    assert len(after) < 0.55 * len(before)
    gaps = np.abs(old - new).max(-1)
    assert gaps.max() <= 20 and np.mean(gaps > 0) < 0.05
    colours, counts = np.unique(old.reshape(-1, 3), axis=0, return_counts=True)
    for colour in colours[counts > 1000]:  # such as a cell's ground
        assert (gaps[(old == colour).all(-1)] == 0).all()
    again = refresh.packed(notebook).cells[0].outputs[0].data["image/png"]
    assert again == after


def test_a_fresh_run_keeps_no_live_view_and_joins_what_was_printed():
    view = {LIVE: {"model_id": "1"}, "image/png": "aWNvbg=="}
    outputs = [nbformat.v4.new_output("stream", text=text) for text in ("a\n", "b\n")]
    outputs.append(nbformat.v4.new_output("display_data", data=view))
    printed, picture = refresh.joined(outputs)
    assert printed.text == "a\nb\n" and list(picture.data) == ["image/png"]


def test_a_fresh_run_keeps_no_progress_bar_and_every_other_complaint():
    bar, complaint = "\r 50%|█████     | 1/2", "UserWarning: beware"
    outputs = [
        nbformat.v4.new_output("stream", name="stderr", text=text)
        for text in (bar, "\r100%", "\n", complaint)
    ]
    assert [one.text for one in refresh.joined(outputs)] == [complaint]


# Claims ------------------------------------------------------------------------------


def test_every_claim_of_a_written_lesson_is_settled():
    written = {path.name[:2]: cells.claims(cells.read(path)) for path in PATHS}
    waiting = []
    for id, row in LEDGER.items():
        for number in row["lessons"]:
            if number not in written:
                waiting.append((number, id))
                continue
            sources = written[number].get(id)
            assert sources, f"lesson {number} has no cell with the tag claim:{id}"
            assert any(cells.asserts(source) for source in sources), (
                f"claim {id} of lesson {number} asserts nothing"
            )
    settled = sum(len(row["lessons"]) for row in LEDGER.values()) - len(waiting)
    print(f"\nclaims: {settled} settled, {len(waiting)} in lessons not yet written")


def test_the_ledger_is_whole():
    assert len(LEDGER) == 36
    assert all(row["claim"] and row["lessons"] for row in LEDGER.values())


@every_lesson
def test_no_tag_names_an_unknown_claim(path):
    assert set(cells.claims(cells.read(path))) <= set(LEDGER)


def test_an_assertion_that_cannot_fail_does_not_count():
    assert cells.asserts("assert x > 1")
    assert not cells.asserts("assert True")
    assert not cells.asserts("assert 'text'")
    assert not cells.asserts("x = 1")


# A broken notebook must fail ---------------------------------------------------------

BROKEN = ROOT / "tests" / "notebooks" / "broken"


def nbval(path: Path, folder: Path) -> subprocess.CompletedProcess:
    """Run one notebook under nbval, as `python -m course_lib test` does."""
    copied = folder / path.name
    copied.write_bytes(path.read_bytes())
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    words += [
        "--nbval-lax",
        "--nbval-current-env",
        "--rootdir",
        str(folder),
        str(copied),
    ]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("name", ["false_claim.ipynb", "changed_output.ipynb"])
def test_a_broken_notebook_fails(name, tmp_path):
    done = nbval(BROKEN / name, tmp_path)
    assert done.returncode == 1, done.stdout
    assert "1 failed" in done.stdout and "1 passed" in done.stdout


def test_a_whole_notebook_passes(tmp_path):
    done = nbval(BROKEN / "whole.ipynb", tmp_path)
    assert done.returncode == 0, done.stdout
