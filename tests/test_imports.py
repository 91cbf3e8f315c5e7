"""Who may import whom: a rule of a few rows, no circles, and a light front door."""

import ast
import itertools
import re
import subprocess
import sys
import tomllib

import pytest

from course_lib.files import ROOT
from course_lib.notebooks import curriculum

HOME = ROOT / "course_lib"
FILES = sorted(HOME.rglob("*.py"))
BUILT = "built"  # in a lesson
RULE = {  # a kind of module → the kinds that it may import
    "errors": "",
    "files": "files errors",
    BUILT: "built files errors devices",
    "devices": "files errors",
    "pretrained": "built files errors devices",
    "figures": "figures",
    "widgets": "widgets figures built errors devices",
    "guesses": "files",
    "classroom": "exercises guesses files errors",
    "exercises": "exercises built errors",
    "notebooks": "notebooks exercises files errors",
    "grading": "grading notebooks exercises built figures files errors",
}
# cli may import all, and nobody cli. __init__.py imports nothing of the course.
RULE["cli"] = " ".join([*RULE, "cli"])
# The loop takes any model, the learner's too, and so must not know one.
TAKE_A_MODEL = ("train", "sampling")
FRONT_DOOR = ("__main__", "cli.doctor")
starts = pytest.mark.parametrize("name", FRONT_DOOR)


def module(path) -> str:
    """A file's name as it is imported, such as "grading.wire"."""
    parts = path.relative_to(HOME).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"


MODULES = {module(path): path for path in FILES}


def kind(name: str) -> str:
    """A module's row in the RULE: its folder, or what it is at the top."""
    first = name.partition(".")[0]
    if first in curriculum.built():
        return BUILT
    return "cli" if first == "__main__" else first


def imports(nodes) -> set[str]:
    """The modules of the course that some statements import."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            top, _, rest = name.partition(".")
            if top == "course_lib":  # a module, or a thing in one
                home = rest.rpartition(".")[0]
                found.add(rest if rest in MODULES else home or "__init__")
    return found


def tree(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


GRAPH = {name: imports(ast.walk(tree(name))) for name in MODULES}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_module_imports_what_the_rule_allows(name):
    allowed = set(RULE[kind(name)].split()) if name != "__init__" else set()
    strange = {one for one in GRAPH[name] if kind(one) not in allowed}
    assert not strange


def test_every_kind_has_a_row():
    assert {kind(name) for name in MODULES} - {"__init__"} == RULE.keys()


def reached(start: str, graph: dict[str, set[str]]) -> set[str]:
    """All that a module imports, itself or through others; itself only in a circle."""
    found, waiting = set(), set(graph[start])
    while waiting:
        found.add(name := waiting.pop())
        waiting |= graph[name] - found
    return found


def circles(graph: dict[str, set[str]]) -> set[str]:
    return {name for name in graph if name in reached(name, graph)}


def test_there_are_no_circles():
    assert circles(GRAPH) == set()


def test_a_circle_would_be_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == {"b", "c"}
    code = "import course_lib.gpt\nfrom course_lib.files import ROOT, cache\n"
    code += "def f():\n    from course_lib import train"
    found = imports(ast.walk(ast.parse(code)))
    assert found == {"gpt", "files", "files.cache", "train"}


@pytest.mark.parametrize("name", TAKE_A_MODEL)
def test_what_takes_a_model_imports_none(name):
    for one in GRAPH[name]:
        classes = [n.name for n in tree(one).body if isinstance(n, ast.ClassDef)]
        assert not {"GPT", "Llama", "FastGPT"} & set(classes), one


def test_only_devices_names_a_kind_of_device():
    for name, path in MODULES.items():
        if name not in ("devices", "cli.environment"):
            words = path.read_text(encoding="utf-8").lower()
            assert not re.search(r"[\"'.](is_)?(cuda|mps)\b", words), name


@starts
def test_the_front_door_needs_only_the_standard_library(name):
    """Whatever is imported when it starts, by itself or through others."""
    on_start = {n: imports(tree(n).body) for n in MODULES}
    for one in {name} | reached(name, on_start):
        for node in tree(one).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            for used in (found.split(".")[0] for found in names):
                known = used == "course_lib" or used in sys.stdlib_module_names
                assert known, f"{one} imports {used}"


def test_the_package_itself_imports_nothing_heavy():
    code = "import sys, course_lib; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_ruff_is_content():
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "."], cwd=ROOT, capture_output=True
        )
        assert done.returncode == 0, done.stdout.decode()


# What a package is called where it is imported, if not what its registry calls it.
OTHER_NAMES = {"ipython": "IPython", "beautifulsoup4": "bs4"}


def test_every_package_that_is_imported_is_declared():
    pinned = re.findall(r"(?m)^([\w.-]+)==", (ROOT / "requirements.txt").read_text())
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    extra = project["optional-dependencies"].values()
    ranges = [*project["dependencies"], *itertools.chain(*extra)]
    declared = {OTHER_NAMES.get(name, name) for name in pinned}
    in_range = {re.match(r"[\w.-]+", one)[0] for one in ranges}
    in_range = {OTHER_NAMES.get(name, name) for name in in_range}
    used = set()
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            if isinstance(node, ast.ImportFrom):
                names = [node.module]
            used |= {name.partition(".")[0] for name in names}
    used -= {"course_lib", "tests", *sys.stdlib_module_names}
    assert used <= declared and used <= in_range, (used - declared, used - in_range)
