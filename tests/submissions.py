"""What students hand in: right, half right, empty, broken, and cheating.

Each kind changes the notebook that lesson 06 hands out. The grades are stated here,
before anything is graded: OURS for `assignment grade`, and THEIRS for nbgrader.
"""

from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from course_lib import classroom
from course_lib.exercises import stubs

LESSON = "06"
POINTS = {"eight_rows": 5, "matrices": 4, "left_out": 4, "total": 3, "largest": 5}
ALL = sum(POINTS.values())  # 21
LESS_TOTAL = ALL - POINTS["total"]


def stub(notebook: NotebookNode, name: str) -> NotebookNode:
    """The cell in which an answer is written."""
    id = f"stub-{name.replace('_', '-')}"
    return next(one for one in notebook.cells if one.id == id)


def answer(name: str) -> str:
    """The course's own answer."""
    return stubs.source(classroom.find(f"{LESSON}.{name}"))


def solve(notebook: NotebookNode) -> None:
    """Write all answers in."""
    for name in POINTS:
        stub(notebook, name).source = answer(name)


def solve_unlike_the_course(notebook: NotebookNode) -> None:
    """Right in unusual forms: a lambda, an object, a helper and a constant elsewhere."""
    solve(notebook)
    place = notebook.cells.index(stub(notebook, "eight_rows"))
    helper = "KINDS = 'key query value output'.split()\n\ndef per_layer(c):\n"
    helper += "    return dict.fromkeys(KINDS, c * c) | dict.fromkeys(['up', 'down'], 4 * c**2)"
    notebook.cells.insert(place, new_code_cell(helper, id="my-helper"))
    stub(notebook, "eight_rows").source = (
        "%precision 3\n"
        "def eight_rows(config):\n"
        "    both = config.vocabulary * config.channels\n"
        "    rows = {k: n * config.layers for k, n in per_layer(config.channels).items()}\n"
        "    return rows | {'unembedding': both, 'embedding': both}"
    )
    stub(notebook, "total").source = (
        "total = lambda g, tied=True: sum(eight_rows(g).values()) + sum(\n"
        "    left_out(g).values()\n) - (g.vocabulary * g.channels if tied else 0)"
    )
    stub(notebook, "matrices").source = (
        "class Count:\n"
        "    def __call__(self, config, output_per_head=False):\n"
        "        one = 3 * config.heads + 2 + (config.heads if output_per_head else 1)\n"
        "        return sum(one for _ in range(config.layers)) + 2\n\n"
        "matrices = Count()"
    )


def solve_half(notebook: NotebookNode) -> None:
    """Two right, one in part, two not begun."""
    for name in ("eight_rows", "left_out"):
        stub(notebook, name).source = answer(name)
    stub(notebook, "matrices").source = (
        "def matrices(config, output_per_head=False):\n"
        "    return 2 + config.layers * (3 * config.heads + 1 + 2)"
    )


def rename_cells(notebook: NotebookNode) -> None:
    """Every cell has another id, as after a round through another program."""
    solve(notebook)
    for i, one in enumerate(notebook.cells):
        one.id = f"cell-{i}"


def lose_a_check(notebook: NotebookNode) -> None:
    """The cell that checks `total` is deleted."""
    solve(notebook)
    notebook.cells = [one for one in notebook.cells if one.id != "check-total"]


def replace_total(body: str) -> Callable[[NotebookNode], None]:
    """All right, but for a `total` with this body."""

    def change(notebook: NotebookNode) -> None:
        solve(notebook)
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        stub(notebook, "total").source = f"def total(config, tied=True):\n{lines}"

    return change


def print_a_result(notebook: NotebookNode) -> None:
    """Nothing solved; the output says otherwise."""
    for name, points in POINTS.items():
        right = f"print('✓ {LESSON}.{name}: passed, 3 of 3 checks.')\n"
        stub(
            notebook, name
        ).source = f"def {name}(*args, **named):\n    {right}    return {points}\n\n{right}{points}"


def patch_the_checks(notebook: NotebookNode) -> None:
    """Nothing solved; the functions that check are replaced."""
    patch = (
        "import course_lib.classroom as room\n\n\n"
        "def all_points(id, answer, *more):\n"
        "    return sum(one.points for one in room.find(id).checks)\n\n\n"
        "room.points = all_points\n"
        "room.check = check = lambda id, answer, *more: room.find(id).reference\n"
        "room.results = lambda exercise, *more: [(c, None) for c in exercise.checks]\n"
        "room.run_check = lambda *more: None"
    )
    place = notebook.cells.index(stub(notebook, "eight_rows"))
    notebook.cells.insert(place, new_code_cell(patch, id="patch"))
    for name in POINTS:
        stub(
            notebook, name
        ).source = f"def {name}(*args, **named):\n    room\n    return 0"


def read_the_answers(notebook: NotebookNode) -> None:
    """Every answer is read out of the course's files, or its memory."""
    stub(notebook, "eight_rows").source = (
        "import pathlib, course_lib\n"
        "home = pathlib.Path(course_lib.__file__).parent\n"
        "space = {'__name__': 'mine'}\n"
        "exec((home / 'sizing.py').read_text(), space)\n"
        "eight_rows = space['eight_rows']"
    )
    stub(notebook, "matrices").source = (
        "import inspect\nfrom course_lib import sizing\n"
        "text = inspect.getsource(sizing.matrices)\n"
        "exec(text)\nmatrices = locals()['matrices']"
    )
    stub(notebook, "left_out").source = (
        "from course_lib import classroom\n"
        "def left_out(config):\n"
        "    return classroom.find('06.left_out').reference(config)"
    )
    stub(notebook, "total").source = (
        "import gc, types\n"
        "def total(*a):\n"
        "    own = [f for f in gc.get_objects() if isinstance(f, types.FunctionType)\n"
        "           and f.__name__ == 'total' and f.__module__ == 'course_lib.sizing']\n"
        "    return own[0](*a)"
    )
    stub(notebook, "largest").source = (
        "from course_lib import sizing as s\n"
        "def largest(*a, **k):\n    return getattr(s, 'larg' + 'est')(*a, **k)"
    )


def write_to_stderr(notebook: NotebookNode) -> None:
    """All right, and noisy: warnings and a logger write to stderr."""
    solve(notebook)
    for name in POINTS:
        one = stub(notebook, name)
        one.source += (
            f"\n\nimport sys, warnings\nquiet_{name} = {name}\n\n\n"
            f"def {name}(*args, **named):\n"
            "    print('working …', file=sys.stderr)\n"
            "    warnings.warn('I am noisy')\n"
            f"    return quiet_{name}(*args, **named)\n\n\n"
            "print('a warning', file=sys.stderr)"
        )


LOOP = "while True:\n    pass"
CRASH = "import os\nos._exit(1)"
EAT = "taken = []\nwhile True:\n    taken.append(b'x' * 10**8)"

KINDS: dict[str, Callable[[NotebookNode], None]] = {
    "right": solve,
    "unusual": solve_unlike_the_course,
    "half": solve_half,
    "empty": lambda notebook: None,
    "renamed": rename_cells,
    "unchecked": lose_a_check,
    "loop": replace_total(LOOP),
    "crash": replace_total(CRASH),
    "memory": replace_total(EAT),
    "forged": print_a_result,
    "patched": patch_the_checks,
    "reader": read_the_answers,
    "noisy": write_to_stderr,
}
HALF = POINTS["eight_rows"] + POINTS["left_out"] + 2  # the first check of matrices
OURS = {
    **{"right": ALL, "unusual": ALL, "half": HALF, "empty": 0},
    **{"renamed": ALL, "unchecked": ALL, "noisy": ALL},
    **dict.fromkeys(("loop", "crash", "memory"), LESS_TOTAL),
    **{"forged": 0, "patched": 0, "reader": 0},
}
# nbgrader runs students' code and the checks in one process. What a cheat gains there
# is measured, and written in TEACHERS.md. A process that ends takes all points along.
# In one process a copy of the course's text passes; a call of its function is seen.
COPIED = POINTS["eight_rows"] + POINTS["matrices"]
THEIRS = OURS | {"patched": ALL, "reader": COPIED, "crash": 0}


def made(kind: str, released: NotebookNode) -> NotebookNode:
    """A submission of this kind."""
    notebook = nbformat.reads(nbformat.writes(released), as_version=4)  # a copy
    KINDS[kind](notebook)
    return notebook


def hand_in(kinds: list[str], released: Path, folder: Path) -> None:
    """A folder with a notebook for each kind: KIND/NAME.ipynb."""
    notebook = nbformat.read(released, as_version=4)
    for kind in kinds:
        path = folder / kind / released.name
        path.parent.mkdir(parents=True)
        nbformat.write(made(kind, notebook), path)
