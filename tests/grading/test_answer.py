"""A notebook run up to its check: what runs, in which order, and what is marked."""

import math

import pytest
from IPython.core.interactiveshell import InteractiveShell

from course_lib import (
    classroom,
    sizing,  # noqa: F401  the grader's process has it, too
)
from course_lib.grading import answer as reading
from course_lib.grading.answer import Notebook, name_of, plan, shell

CHECK = "f = check('06.f', f)"
OTHERS = {"06.total": "sizing:total"}


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    """IPython with nothing in it, and the classroom's own functions back afterwards."""
    for name in ("check", "points", "hint", "solution", "predict"):
        monkeypatch.setattr(classroom, name, getattr(classroom, name))
    yield
    if InteractiveShell.initialized():
        InteractiveShell.instance().reset()


def job(*cells, name="f", own=(), blank="f = ...", lean=False):
    """Cells with ids c0, c1, …; those in `own` are the lesson's."""
    every = [(f"c{i}", source, i in own) for i, source in enumerate(cells)]
    named = {
        "id": f"06.{name}",
        "name": name,
        "blank": blank,
        "others": OTHERS,
        "lean": lean,
    }
    return {"cells": every, **named}


def answer(*cells, **how):
    shell().reset()
    return Notebook(job(*cells, **how), shell().user_ns).answer()


def ran(*cells, **how):
    """The sources of the cells, or statements, that run."""
    todo = plan(job(*cells, **how))
    every = enumerate(todo.cells)
    return [one.source for i, one in every if not one.own or i in todo.needed]


# What is marked ------------------------------------------------------------------------


def test_what_the_check_was_given_is_marked():
    assert (
        answer("def g(): return 7", "f = check('06.f', g)", "def f(): return 2")() == 7
    )
    assert answer("f = 1", "f = check('06.f', f)", "f = 2", "f = check('06.f', f)") == 2
    by_module = "import course_lib.classroom as c\nc.check('06.f', f + 1)"
    assert answer("f = 1", by_module) == 2


def test_a_name_used_again_later_changes_nothing():
    assert answer("k = 2\ndef f(): return k", CHECK, "k = 'later'")() == 2
    assert answer("k = 2\ndef f(): return k", CHECK + "\nk = 'later'")() == 2


def test_the_last_of_two_attempts_counts_where_both_stand_in_front_of_the_check():
    assert answer("def f(): return 1", "def f(): return 2", CHECK)() == 2


def test_without_a_check_the_last_answer_of_that_name_is_marked():
    assert answer("def f(): return 1", "def f(): return 2", "f2 = 3")() == 2
    assert answer("x = 1") is ... and answer() is ...


def test_an_answer_below_its_check_is_taken_where_the_check_saw_none():
    assert answer("f = ...", CHECK, "f = 3") == 3
    assert answer(CHECK, "f = 3") == 3
    assert answer("f = 2", CHECK, "f = 3") == 2


# What runs -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cell",
    [
        "from math import *\ndef f(): return floor(3.5)",
        "K = []\nfor k in (1, 2): K.append(k)\ndef f(): return sum(K)",
        "K = {}\nK['a'] = 3\ndef f(): return K['a']",
        "K = None\ndef g():\n    global K\n    K = 3\ng()\ndef f(): return K",
        "class K: pass\nK.rows = staticmethod(lambda: 3)\ndef f(): return K.rows()",
        "def f(): return f.whole\nf.whole = 3",
        "def f(): return 3\nf?",
        "f?\ndef f(): return 3",
        "files = !ls\n!ls\ndef f(): return 3",
        "%%time\ndef f(): return 3",
        "%matplotlib inline\n%precision 3\n%time k = 3\ndef f(): return k",
        "%%capture said\ndef f(): return 3",
        "from __future__ import annotations\ndef f(x: Nowhere = 0): return 3",
        "def f():\n    return (9\n        % 6\n    )",
        "def f():\n    return len('''a\n%b\n!c''') - 4",
        "# a\u2028b\ndef f(): return 3",
        "exec('def f(): return 3')",
        "globals()['f'] = lambda: 3",
        "%%writefile mine.py\ndef g(): return 3",
    ],
)
def test_a_cell_runs_as_in_a_notebook(cell, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    more = ["from mine import g as f"] if "writefile" in cell else []
    assert answer(cell, *more, CHECK)() == 3


@pytest.mark.parametrize(
    "broken",
    [
        "1 / 0",
        "def g(a, a): pass",
        "def g():\n    nonlocal q",
        "def",
        "raise SystemExit",
        "return 3",
        "%nothing",
        "%%nothing\nx",
        "(" * 500,
        "input()",
        "\x00",
        "await x",
    ],
)
def test_a_cell_that_fails_stops_itself_only(broken):
    assert answer("k = 3", broken, "def f(): return k", CHECK)() == 3


def test_what_stopped_the_cells_is_raised_where_no_answer_is_there():
    with pytest.raises(SyntaxError):
        answer("def f(: 3", CHECK)
    with pytest.raises(ZeroDivisionError):
        answer("f = 1 / 0", CHECK)


def test_a_cell_that_runs_for_too_long_is_stopped(monkeypatch):
    for name in ("LONG", "SHORT"):
        monkeypatch.setattr(reading, name, 0.2)
    assert answer("while True:\n    pass", "k = 3\ndef f(): return k", CHECK)() == 3
    assert answer("import time\ntime.sleep(60)", "def f(): return 3", CHECK)() == 3
    with pytest.raises(reading.TooLong):
        answer("while True:\n    f = g = 3\n    del f", CHECK)


@pytest.mark.parametrize(("catches", "seen"), [("Exception", 0), ("BaseException", 2)])
def test_a_cell_that_catches_what_stops_it_is_stopped_again(catches, seen, monkeypatch):
    monkeypatch.setattr(reading, "LONG", 0.2)
    waits = (
        "import time\nseen = []\nfor _ in range(2):\n    try:\n        time.sleep(1)\n"
    )
    waits += f"    except {catches}:\n        seen.append(1)"
    assert answer(waits, "def f(): return len(seen)", CHECK)() == seen


def test_leanly_only_what_the_answer_needs_runs():
    cells = "import os\nos._exit(1)", "k = 3", "def f(): return k", CHECK
    assert answer(*cells, lean=True)() == 3
    magic = "%precision 3\nk = 3\n!true", "%%time\nm = 1", "def f(): return k * m"
    assert answer(*magic, CHECK, lean=True)() == 3


# The lesson's own cells ------------------------------------------------------------------


def test_of_the_lesson_s_own_cells_only_what_the_answer_needs_runs():
    own = "import math\nHALF = 0.5\nraise SystemExit\nwhile True: break"
    loop = "x = [0 for _ in iter(int, 1)]"  # never ends; nobody needs it
    mine = "def g(x):\n    return HALF * x", "def f(x): return g(x)"
    assert answer(own, loop, *mine, CHECK, own=(0, 1, 4))(4) == 2
    assert ran(own, loop, *mine, CHECK, own=(0, 1, 4)) == ["HALF = 0.5", *mine, CHECK]


def test_an_experiment_brings_no_training_along():
    own = "import torch", "model = train()", "k = 3"
    mine = "print(model)", "import torch\nmodel.eval()", "def f(): return torch, k"
    assert ran(*own, *mine, CHECK, own=(0, 1, 2)) == [
        "import torch",
        "k = 3",
        *mine,
        CHECK,
    ]
    checks = "answer = total\ntotal = check('06.total', answer)", f"answer = f\n{CHECK}"
    cells = "def total(): boom", checks[0], "def f(): return 1", checks[1]
    todo = plan(job(*cells, own=(1, 3)))
    assert todo.needed == {1, 2, 3}  # that both checks say `answer` means nothing
    first = "model.eval()\nimport torch"  # here the import comes after the model
    assert "model = train()" in ran(*own, first, mine[2], CHECK, own=(0, 1, 2))


def test_an_import_is_found_by_the_name_that_it_gives():
    own = "import math as m", "from math import tau as turn", "import os.path"
    f = answer(*own, "def f(): return m.pi, turn, os.path.sep and 1", own=(0, 1, 2))
    assert f() == (math.pi, math.tau, 1)


def test_other_answers_are_the_course_s_own():
    from course_lib.gpt import GPT2_SMALL

    wrong, check = "def total(c): return 0", "total = check('06.total', total)"
    mine = "f = lambda c: total(c)"
    for cells in ((wrong, check, mine), (wrong, mine), (mine, wrong), (mine,)):
        assert answer(*cells, CHECK, own=())(GPT2_SMALL) == 124_439_808
    assert answer(wrong, check, mine, CHECK, own=(1, 3))(GPT2_SMALL) == 124_439_808


def test_hints_points_and_the_answer_itself_stop_no_cell():
    calls = "hint('06.f')\nsolution('06.f')\npoints('06.f', 1)\ndef f(): return 3"
    assert answer(calls, CHECK)() == 3
    assert answer("from course_lib.classroom import hint\nhint('x')\nf = 3", CHECK) == 3


def test_a_class_s_question_has_its_name_without_the_seed():
    assert name_of("06.weights@AUTUMN-26") == "weights"
