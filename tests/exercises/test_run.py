"""What every answer is watched for, whatever its checks look at."""

import ast
import contextlib
import functools
import threading
import time
from collections import Counter

import pytest

from course_lib import classroom, sampling, sizing, vectors
from course_lib.exercises import registry, run
from course_lib.exercises.kinds import Check, Exercise, Mistake
from course_lib.notebooks import cells

ALL = [e for path in cells.paths() for e in registry.exercises(path.name[:2])]
# Where the course's own answer can't be called twice alike, the watch says nothing.
BLIND: set[tuple[str, str]] = set()


def said(id, answer, seed=0) -> str | None:
    return classroom.verdict(classroom.find(id), answer, seed)[1]


def test_the_watch_is_blind_nowhere():
    found = {(e.id, check.name) for e in ALL for check in run.warm(e)}
    assert found == BLIND


# Arguments ----------------------------------------------------------------------------


def softmax_in_place(logits, temperature=1.0):
    logits /= temperature
    logits -= logits.max(-1, keepdim=True).values
    logits.exp_()
    logits /= logits.sum(-1, keepdim=True)
    return logits


def cosine_in_place(a, b):
    a /= a.norm(dim=-1, keepdim=True).clamp_min(1e-8)
    b /= b.norm(dim=-1, keepdim=True).clamp_min(1e-8)
    return (a * b).sum(-1)


@pytest.mark.parametrize(
    ("id", "answer", "name"),
    [("05.softmax", softmax_in_place, "logits"), ("02.cosine", cosine_in_place, "a")],
)
def test_an_argument_that_is_changed_is_named(id, answer, name):
    words = said(id, answer)
    assert f"changes what it is given: {name} was" in words and ".clone()" in words


def test_what_is_given_is_whole_again_for_the_next_check():
    """One answer that works in place fails no other: each check has its own inputs."""
    assert said("05.softmax", sampling.softmax) is None


def toy(checks, reference, **more) -> Exercise:
    return Exercise("00.double", "double", 1, "r", reference, checks, (), **more)


def double(x):
    return [2 * one for one in x]


def double_in_place(x):
    for i, one in enumerate(x):
        x[i] = 2 * one
    return x


def is_double(answer, generator):
    if answer([1, 2]) != [2, 4]:
        raise Mistake("no")


DOUBLE = (Check("doubles", 1, "doubles", "twice", is_double),)


def test_an_argument_may_be_changed_where_the_task_allows_it():
    assert "x was [1, 2]" in run.verdict(toy(DOUBLE, double), double_in_place, 0)[1]
    free = toy(DOUBLE, double, may_change=("x",))
    assert run.verdict(free, double_in_place, 0)[1] is None


def test_a_check_s_own_words_come_before_what_the_watch_saw():
    def wrong(x):
        x.append(0)
        return x

    assert run.verdict(toy(DOUBLE, double), wrong, 0)[1] == "no"


# The same again -----------------------------------------------------------------------


def test_what_is_kept_between_calls_is_named():
    def keeps(ids, n=3, seen=[]):  # noqa: B006
        seen += [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
        return len(set(seen)) / len(seen) if seen else 1.0

    def counts(x, calls=[]):  # noqa: B006
        calls.append(1)
        return [one + one for one in x] if len(calls) == 1 else []

    assert said("00.distinct", keeps) is not None
    words = run.verdict(toy(DOUBLE, double), counts, 0)[1]
    assert "the second time it gives [], not [2, 4]" in words


# Names of parameters -------------------------------------------------------------------


@pytest.mark.parametrize("exercise", ALL, ids=lambda exercise: exercise.id)
def test_keywords_are_those_that_later_cells_use(exercise):
    path = cells.path_of(exercise.id[:2])
    found = set()
    for cell in cells.read(path).cells:
        if cell.cell_type == "code" and not {"check"} & set(cells.tags(cell)):
            for node in ast.walk(ast.parse(cell.source)):
                if (
                    isinstance(node, ast.Call)
                    and ast.unparse(node.func) == exercise.name
                ):
                    found |= {word.arg for word in node.keywords}
    assert found <= set(exercise.keywords)
    assert set(exercise.keywords) <= set(run.names_of(exercise.reference))


def test_a_parameter_that_a_later_cell_names_keeps_its_name():
    def total(config, t=True):
        rows = sizing.eight_rows(config)
        every = sum(rows.values()) + sum(sizing.left_out(config).values())
        return every - rows["unembedding"] * t

    words = said("06.total", total)
    assert words is not None and "tied=…: keep the names" in words

    def other(c, tied=True):
        return total(c, tied)

    assert said("06.total", other) is None


# The course's own ----------------------------------------------------------------------

borrowed = sizing.total


def total(config, tied=True):
    return sizing.total(config, tied)


def by_another_name(config, tied=True):
    return borrowed(config, tied)


def by_the_library(probabilities, share):
    return sampling.top_p(probabilities, share)


def by_counter(config, tied=True):
    rows = Counter(sizing.eight_rows(config)) + Counter(sizing.left_out(config))
    return rows.total() - tied * config.vocabulary * config.channels * bool(
        sizing.KINDS
    )


def nearest_by_itself(query, vectors, count):
    if not count:
        return []
    best = int((vectors @ query / vectors.norm(dim=-1)).argmax())
    rest = vectors.clone()
    rest[best] = -query * 1e3
    return [best, *nearest_by_itself(query, rest, count - 1)]


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("06.total", total),
        ("06.total", by_another_name),
        ("06.eight_rows", functools.partial(sizing.eight_rows)),
        ("06.eight_rows", lambda config: sizing.eight_rows(config)),
        ("09.top_p", by_the_library),
    ],
)
def test_calling_the_courses_own_answer_does_not_pass(id, answer, capsys):
    assert classroom.check(id, answer) is classroom.find(id).reference
    assert "Write it yourself" in capsys.readouterr().out
    assert classroom.points(id, answer) == 0


def test_nobody_else_is_accused(monkeypatch):
    assert said("06.total", by_counter) is None
    monkeypatch.setitem(globals(), "nearest", nearest_by_itself)
    words = said("02.nearest", nearest_by_itself)
    assert words is None or "course's own" not in words
    assert said("02.nearest", vectors.nearest) is None  # the tests' own question


# Time ----------------------------------------------------------------------------------


def endless(*words):
    while True:
        pass


def stubborn(*words):
    while True:
        with contextlib.suppress(Exception):
            sum(range(1000))


@pytest.mark.parametrize("answer", [endless, stubborn])
def test_an_endless_loop_is_stopped_once(answer, monkeypatch, capsys):
    monkeypatch.setattr(run, "SECONDS", 0.2)
    start = time.monotonic()
    classroom.check("00.pirate_script", answer)
    assert "A loop that never ends?" in capsys.readouterr().out
    assert time.monotonic() - start < 30


def test_an_endless_loop_is_stopped_in_another_thread(monkeypatch):
    monkeypatch.setattr(run, "SECONDS", 0.2)
    told = []
    worker = threading.Thread(
        target=lambda: told.append(said("00.pirate_script", endless))
    )
    worker.start()
    worker.join(30)
    assert told and "never ends" in told[0]


def test_only_the_answer_s_own_computing_counts(monkeypatch):
    monkeypatch.setattr(run, "SECONDS", 0.2)

    def waits(x):
        time.sleep(0.3)  # as on a busy machine: no processor time
        return [one + one for one in x]

    def slow(answer, generator):
        end = time.thread_time() + 0.4  # the check's own time
        while time.thread_time() < end:
            pass
        is_double(answer, generator)

    checks = (Check("slow", 1, "p", "h", slow),)
    assert run.verdict(toy(checks, double), waits, 0)[1] is None


def test_an_import_is_never_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "SECONDS", 0.1)
    (tmp_path / "slow_to_load.py").write_text(
        "import time\nend = time.thread_time() + 0.5\n"
        "while time.thread_time() < end:\n    pass\nwhole = True\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    def loads(x):
        import slow_to_load

        return [one + one for one in x] if slow_to_load.whole else []

    words = run.verdict(toy(DOUBLE, double), loads, 0)[1]
    import slow_to_load

    assert slow_to_load.whole and words in (None, run.ENDLESS)
