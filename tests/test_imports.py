"""Who may import whom. A room that needs a new neighbour gets it here, on purpose."""

import ast
import re
import subprocess
import sys

import pytest

from course_lib.environment import ROOT

TABLE = {
    "__init__": set(),
    "__main__": {"commands", "environment", "saved"},
    "commands": {
        "__main__",
        "cache",
        "checkpoints",
        "data",
        "device",
        "environment",
        "fast",
        "gpt",
        "llama",
        "pretrained",
        "processes",
        "sampling",
        "scales",
        "tokenizer",
        "train",
    },
    "environment": set(),
    "doctor": {
        "environment",
        "device",
        "cache",
        "pretrained",
        "tokenizer",
        "vectors",
        "comparisons",
    },
    "comparisons": {
        "device",
        "fast",
        "gpt",
        "inside",
        "llama",
        "quantized",
        "sampling",
        "train",
        "vectors",
    },
    "cache": {"environment"},
    "device": {"environment"},
    "tokenizer": {"cache"},
    "vectors": {"cache"},
    "gpt": set(),
    "llama": {"gpt"},
    "pretrained": {"cache", "checkpoints", "fast", "gpt", "llama", "tokenizer"},
    "inside": {"device"},
    "data": {"cache", "tiny_world"},
    "tiny_world": set(),
    "sizing": {"gpt"},
    "scales": {"device", "gpt", "sizing", "train"},
    "autograd": set(),
    "sampling": {"device"},
    "quantized": {"llama"},
    "train": {"checkpoints", "data", "device", "optimizers", "processes"},
    "optimizers": {"processes"},
    "processes": {"device"},
    "checkpoints": set(),
    "fast": {"gpt", "llama"},
    "figures": set(),
    "widgets": {"figures", "sampling", "tokenizer"},
    "attention_view": {"figures", "inside", "widgets"},
    "classroom": {"environment", "exercises.numbers", "strays"},
    "plain": set(),
    "sandbox": {"classroom", "plain"},
    "grading": {"classroom", "environment", "lessons", "plain", "sandbox"},
    "assignments": {"classroom", "environment", "figures", "grading", "lessons"},
    "strays": set(),
    "lessons": {"classroom", "environment", "saved"},
    "saved": set(),
    "site": {"environment"},
    "exercises/__init__": set(),
    "exercises/lesson_00": {"classroom", "sampling"},
    "exercises/lesson_01": {"classroom", "tokenizer"},
    "exercises/lesson_02": {"classroom", "vectors"},
    "exercises/lesson_03": {"classroom", "gpt"},
    "exercises/lesson_04": {"classroom", "gpt"},
    "exercises/lesson_05": {"classroom", "gpt", "sampling"},
    "exercises/lesson_06": {"classroom", "gpt", "sizing"},
    "exercises/lesson_07": {"classroom", "autograd"},
    "exercises/lesson_08": {"classroom", "data", "train"},
    "exercises/lesson_09": {"classroom", "gpt", "sampling"},
    "exercises/numbers": {
        "classroom",
        "gpt",
        "sampling",
        "sizing",
        "tokenizer",
        "train",
    },
}
FILES = sorted((ROOT / "course_lib").rglob("*.py"))


def room(path):
    return path.relative_to(ROOT / "course_lib").with_suffix("").as_posix()


def imports(path) -> set[str]:
    """The rooms that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "course_lib":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            package, _, rest = node.module.partition(".")
            found |= {rest} if package == "course_lib" else set()
    return found


@pytest.mark.parametrize("path", FILES, ids=room)
def test_imports_are_those_of_the_table(path):
    assert imports(path) == TABLE[room(path)]


def test_only_device_names_a_kind_of_device():
    for path in FILES:
        if room(path) not in ("device", "environment"):
            words = path.read_text(encoding="utf-8").lower()
            assert not re.search(r"[\"'.](is_)?(cuda|mps)\b", words), path.name


@pytest.mark.parametrize("name", ["__main__", "environment", "doctor"])
def test_the_front_door_needs_only_the_standard_library(name):
    source = (ROOT / "course_lib" / f"{name}.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:  # at the top: what runs on import
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        for one in names:
            top = one.split(".")[0]
            assert top == "course_lib" or top in sys.stdlib_module_names, one


def test_the_package_itself_imports_nothing_heavy():
    code = "import sys, course_lib; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_ruff_is_content():
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "."], cwd=ROOT, capture_output=True
        )
        assert done.returncode == 0, done.stdout.decode()
