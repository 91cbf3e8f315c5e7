"""An answer read out of a notebook: what it needs, and nothing else."""

import math

import pytest

from course_lib import sizing  # noqa: F401  the grader's process has it, too
from course_lib.grading.answer import answer_of

GIVEN = (("total", "sizing:total"),)


def answer(*sources, name="f", given=()):
    every = [(f"c{i}", source) for i, source in enumerate(sources)]
    job = {"cells": every, "stub": f"c{len(every) - 1}", "name": name, "given": given}
    return answer_of(job)


def test_an_answer_brings_what_it_needs_and_nothing_else():
    needs = "import math\nHALF = 0.5\nraise SystemExit\nwhile True: break"
    loop = "x = [0 for _ in iter(int, 1)]"  # never ends; nobody needs it
    f = answer(needs, loop, "def g(x):\n    return HALF * x", "def f(x): return g(x)")
    assert f(4) == 2


def test_an_import_is_found_by_the_name_that_it_gives():
    sources = "import math as m", "from math import tau as turn", "import os.path"
    f = answer(*sources, "def f(): return m.pi, turn, os.path.sep and 1")
    assert f() == (math.pi, math.tau, 1)


def test_a_cell_that_is_no_python_is_left_out_unless_it_is_the_answer_s():
    assert answer("%%html\n<b>", "!ls\ndef f(): return 3")() == 3
    with pytest.raises(SyntaxError):
        answer("def f(: 3")


def test_an_answer_that_moved_is_found_and_the_last_one_counts():
    job = {
        "cells": [("a", "def f(): return 1"), ("b", "def f(): return 2")],
        "stub": "gone",
        "name": "f",
        "given": (),
    }
    assert answer_of(job)() == 2
    assert answer_of(job | {"stub": "a"})() == 1
    assert answer_of(job | {"name": "g"}) is ...


def test_what_a_check_returned_is_not_the_answer():
    f = answer("def f(): return 1\n\nf = check('06.f', f)\nf = room.check('06.f', f)")
    assert f() == 1


def test_other_answers_are_the_course_s_own():
    f = answer("def total(c): return 0", "f = lambda c: total(c)", given=GIVEN)
    from course_lib.gpt import GPT2_SMALL

    assert f(GPT2_SMALL) == 124_439_808
