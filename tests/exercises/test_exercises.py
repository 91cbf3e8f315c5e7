"""Every exercise: not started, passed, and each likely mistake rejected by name."""

import ast
import inspect
import sys
from pathlib import Path

import pytest
import torch

from course_lib import classroom
from course_lib.exercises import registry, run, stubs, wants
from course_lib.exercises.kinds import Check, Exercise, Mistake
from course_lib.notebooks import cells

ALL = [e for path in cells.paths() for e in registry.exercises(path.name[:2])]
SEEDS = (0, 1)


def name(value):
    return value.id if isinstance(value, Exercise) else value.name.replace(" ", "-")


@pytest.mark.parametrize("exercise", ALL, ids=name)
def test_stub_is_not_started_and_the_lesson_goes_on(exercise, capsys):
    space = dict(vars(inspect.getmodule(exercise.reference)))
    exec(stubs.stub(exercise), space)
    given = classroom.check(exercise.id, space[exercise.name])
    assert given is exercise.reference
    assert "not started" in capsys.readouterr().out


@pytest.mark.parametrize("exercise", ALL, ids=name)
def test_reference_passes(exercise):
    for seed in range(5):
        assert classroom.verdict(exercise, exercise.reference, seed)[1] is None, seed


@pytest.mark.parametrize("exercise", ALL, ids=name)
def test_typed_answer_passes_and_is_what_the_lesson_goes_on_with(exercise, capsys):
    space = dict(vars(inspect.getmodule(exercise.reference)))
    exec(stubs.source(exercise), space)
    typed = space[exercise.name]
    assert typed is not exercise.reference
    assert classroom.check(exercise.id, typed) is typed
    assert "passed" in capsys.readouterr().out


@pytest.mark.parametrize("exercise", [e for e in ALL if e.plain], ids=name)
def test_plain_answer_passes_too(exercise, capsys):
    space = dict(vars(inspect.getmodule(exercise.reference)))
    exec(stubs.plain(exercise), space)
    plain = space[exercise.name]
    assert classroom.check(exercise.id, plain) is plain, capsys.readouterr().out


@pytest.mark.parametrize("exercise", ALL, ids=name)
def test_every_mistake_is_told_by_its_own_sentence_and_every_check_finds_one(exercise):
    """On one seed; tests/slow takes more."""
    told_by_its_own_sentence(exercise, (0,))


def told_by_its_own_sentence(exercise, seeds):
    """Check every mistake on these seeds, and which of the checks find one."""
    found = set()
    for wrong in exercise.wrong:
        for seed in seeds:
            results = run.results(exercise, wrong.answer, seed)
            said = run.first_words(results)
            assert said is not None and wrong.words in said, (wrong.name, seed, said)
            found |= {check.name for check, words in results if words is not None}
    assert found == {check.name for check in exercise.checks}


@pytest.mark.parametrize("exercise", ALL, ids=name)
def test_a_mistake_is_shown_and_the_lesson_goes_on(exercise, capsys):
    given = classroom.check(exercise.id, exercise.wrong[0].answer)
    assert given is exercise.reference
    assert "not yet" in capsys.readouterr().out


@pytest.mark.parametrize("path", cells.paths(), ids=lambda path: path.stem)
def test_every_sentence_that_a_check_can_say_is_said_to_some_mistake(path, monkeypatch):
    every = registry.exercises(path.name[:2])
    file = registry.home(every[0]).__file__
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    raised = [n for n in ast.walk(tree) if isinstance(n, ast.Raise) and n.exc]
    # What a check says of an unknown mistake is a difference, and no sentence: {how}.
    texts = {n: ast.unparse(n) for n in raised}
    places = [n for n in raised if "Mistake(" in texts[n] and "{how}" not in texts[n]]
    said = set()

    def note(self, *words):
        frame = sys._getframe(1)
        if frame.f_code.co_filename == file:
            said.add(frame.f_lineno)

    monkeypatch.setattr(Mistake, "__init__", note)
    for exercise in every:
        for wrong in exercise.wrong:
            run.results(exercise, wrong.answer, 0)
    silent = [n for n in places if not said & set(range(n.lineno, n.end_lineno + 1))]
    assert not silent, [f"line {n.lineno}: {ast.unparse(n)[:90]}" for n in silent]


@pytest.mark.parametrize("exercise", ALL, ids=name)
def test_every_exercise_is_whole(exercise):
    assert len(exercise.wrong) >= 3 and exercise.minutes > 0
    for check in exercise.checks:
        assert check.points > 0 and check.hint and check.proves and check.name


# Answers in unusual but right forms -----------------------------------------------


def sample_by_loop(probabilities, generator):
    point, total = float(torch.rand(1, generator=generator)), 0.0
    for i in range(len(probabilities)):
        total += float(probabilities[i])
        if point < total:
            return i
    return max(i for i in range(len(probabilities)) if probabilities[i] > 0)


def sample_by_torch(p, g):
    return torch.multinomial(p, 1, generator=g).item()


def merge_in_place(parts, pair):
    i = 0
    while i < len(parts) - 1:
        if parts[i] == pair[0] and parts[i + 1] == pair[1]:
            parts[i] += parts.pop(i + 1)
        i += 1
    return parts


def log_probability_by_matrix(m, tokens):
    t = torch.tensor(tokens)
    return m(t[None])[0].log_softmax(-1)[:-1].gather(1, t[1:, None]).sum().item()


class Distinct:
    """A right answer that is no plain function."""

    def __call__(self, ids, n=3):
        runs = list(zip(*(ids[i:] for i in range(n))))
        return len({*runs}) / len(runs) if runs else 1.0


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("00.sample", sample_by_loop),
        ("00.sample", sample_by_torch),
        ("00.log_probability", log_probability_by_matrix),
        ("00.distinct", Distinct()),
        ("00.distinct", lambda ids, n=3: Distinct()(ids, n)),
        ("01.merge", merge_in_place),
        (
            "01.decode",
            lambda i, t: b"".join(map(t.get, i)).decode("utf8", "replace"),
        ),
    ],
)
def test_any_right_form_passes(id, answer):
    for seed in SEEDS:
        assert classroom.verdict(classroom.find(id), answer, seed)[1] is None


# Answers that try to break the checks ----------------------------------------------


def test_a_right_answer_may_have_any_name_and_call_itself(monkeypatch):
    def merge(parts, pair):
        if len(parts) < 2:
            return list(parts)
        if (parts[0], parts[1]) == tuple(pair):
            return [parts[0] + parts[1], *merge(parts[2:], pair)]
        return [parts[0], *merge(parts[1:], pair)]

    monkeypatch.setitem(globals(), "merge", merge)
    assert classroom.verdict(classroom.find("01.merge"), merge)[1] is None


class Agrees:
    """Claims to equal everything."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0

    def __abs__(self):
        return 0.0

    def __sub__(self, other):
        return 0.0


class SlyInt(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


class Mute(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def mute(*words):
    raise Mute


def leaves(*words):
    raise SystemExit(0)


@pytest.mark.parametrize("exercise", ALL, ids=name)
@pytest.mark.parametrize(
    "forged", [Agrees(), SlyInt(0), float("nan"), None, [Agrees()]]
)
def test_forged_values_do_not_pass(exercise, forged):
    assert classroom.verdict(exercise, lambda *a, **k: forged, 0)[1] is not None


@pytest.mark.parametrize(
    "answer", [leaves, mute, lambda: 1, lambda *a: 1 / 0, 7, None, "x"]
)
def test_check_never_raises(answer, capsys):
    reference = classroom.find("00.sample").reference
    assert classroom.check("00.sample", answer) is reference
    assert "not yet" in capsys.readouterr().out


def chatty(question):
    print("debugging" * 100)
    return "x"


def test_what_an_answer_prints_is_shown_shortened(capsys):
    classroom.check("00.pirate_script", chatty)
    said = capsys.readouterr().out
    assert "  It printed:\n    debugging" in said and "…\n" in said
    assert said.count("debugging") < 30 and said.endswith("the course's own.\n")
    long = "x" * 300 + "\n" * 5 + "y\nz\nlast"
    assert classroom.printed(long).count("x") == 80
    assert "last" not in classroom.printed(long) and "…" in classroom.printed(long)
    assert classroom.printed("\n") == ""


def test_what_is_printed_without_end_is_not_kept(capsys):
    def endless(question):
        while True:
            print("again " * 1000)

    with run.listening() as ear:
        classroom.verdict(classroom.find("00.pirate_script"), endless)
    assert 0 < len(ear.getvalue()) <= run.MOST_HEARD


def test_the_line_of_an_error_is_named(capsys):
    def broken(ids, n=3):
        first = ids[0]
        return first / 0

    classroom.check("00.distinct", broken)
    said = capsys.readouterr().out
    assert "ZeroDivisionError" in said or "divides by zero" in said
    assert "line 3" in said


def test_checking_twice_does_not_pass_the_courses_own(capsys):
    own = classroom.check("00.sample", classroom.find("00.sample").reference)
    assert own is classroom.find("00.sample").reference
    assert "course's own" in capsys.readouterr().out


def test_classes_are_started_when_a_method_is(monkeypatch):
    class Stub:
        def add(self, a):
            """Add."""
            ...

    class Typed:
        def add(self, a):
            """Add."""
            return a + 1

    assert stubs.code_of(Stub) != stubs.code_of(Typed)


def test_an_answer_of_one_number_is_started():
    """Its instructions are those of the stub; only the number tells them apart."""

    def stub():
        """Give four."""
        ...

    def typed():
        """Give four."""
        return 4

    assert stubs.code_of(stub) != stubs.code_of(typed)


def test_a_value_can_be_an_exercise(monkeypatch, capsys):
    def is_four(value, generator):
        wants.want_equal(value, 4, "answer")

    check = Check("four", 1, "is four", "two and two", is_four)
    exercise = Exercise("00.answer", "a", 1, "r", 4, (check,), ())
    monkeypatch.setattr(classroom, "find", lambda id: exercise)
    assert stubs.stub(exercise) == "answer = ..."
    assert stubs.source(exercise) == "answer = 4"
    assert (
        classroom.check("00.answer", ...) == 4 and classroom.check("00.answer", 5) == 4
    )
    classroom.check("00.answer", 4)
    said = capsys.readouterr().out
    assert "not started" in said and "answer is 5; it should be 4" in said
    assert "passed" in said


def test_unknown_exercise_names_those_there_are():
    with pytest.raises(KeyError, match=r"00\.sample"):
        classroom.find("00.nothing")


def test_hint_and_solution_print(capsys):
    classroom.hint("00.sample")
    classroom.solution("00.sample")
    said = capsys.readouterr().out
    assert "cumsum" in said and "def sample" in said


def test_helpers_reject():
    for value, wanted in (([1, 2], [1, 3]), ([1], [1, 2]), ((1,), [1]), (True, 1)):
        with pytest.raises(Mistake):
            wants.want_equal(value, wanted, "it")
    with pytest.raises(Mistake):
        wants.want_close(float("nan"), 1.0, "it")
    with pytest.raises(Mistake):
        wants.want_close(torch.tensor(1.0), 1.0, "it")
