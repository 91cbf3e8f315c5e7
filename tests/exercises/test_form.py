"""The form of exercises: edits, cases, and how a difference is told."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from course_lib.exercises import compare, form
from course_lib.exercises.compare import copies, difference, same, shown
from course_lib.exercises.kinds import Mistake, Wrong


def mean(x):
    """The mean of a list of numbers."""
    total = sum(x)
    return total / len(x)


MISTAKES = form.mistakes(
    mean,
    ("a sum", "Divide by their number.", ("total / len(x)", "total")),
    ("one too few", "Divide by all.", ("len(x)", "(len(x) - 1)")),
    ("the middle", "Not the median.", lambda x: float(sorted(x)[len(x) // 2])),
)


def some_lists(generator):
    return [(form.tenths(generator, size).tolist(),) for size in (2, 3, 5)]


CHECK = form.agrees(lambda x: float(np.mean(x)), some_lists, MISTAKES)


def told(answer, seed=0) -> str:
    with pytest.raises(Mistake) as caught:
        CHECK(answer, torch.Generator().manual_seed(seed))
    return str(caught.value)


def test_an_edit_is_made_where_its_text_stands_once():
    assert form.edited(mean, ("len(x)", "2"))([1, 2, 3]) == 3.0
    with pytest.raises(ValueError, match="has 'x' 3 times"):
        form.edited(mean, ("x", "y"))
    with pytest.raises(ValueError, match="has 'median' 0 times"):
        form.edited(mean, ("median", "y"))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("wrong", MISTAKES, ids=lambda wrong: wrong.name)
def test_a_mistake_is_told_its_sentence(wrong, seed):
    assert told(wrong.answer, seed) == wrong.words


def test_a_right_answer_of_any_form_passes():
    for answer in (mean, lambda values: math.fsum(values) / len(values)):
        assert CHECK(answer, torch.Generator().manual_seed(0)) is None


def test_an_unknown_mistake_is_shown_its_call_and_the_relation():
    words = told(lambda x: -mean(x))
    assert "it is with the other sign" in words and "([" in words
    assert told(lambda x: None).count("return") == 1
    assert "numpy.float64; it should be a float" in told(np.mean)


def test_an_error_is_raised_again_with_its_call():
    with pytest.raises(ZeroDivisionError) as caught:
        CHECK(lambda x: x[0] / 0, torch.Generator().manual_seed(0))
    assert "([" in caught.value.__notes__[0]


def test_cases_are_drawn_again_until_mistakes_are_told_apart():
    drawn = []

    def cases(generator):  # every other draw tells nothing apart
        drawn.append(([0.0, 0.0],) if len(drawn) % 2 else ([1.0, 2.0],))
        return [drawn[-1]]

    check = form.agrees(mean, cases, MISTAKES)
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        with pytest.raises(Mistake, match="Divide by their number"):
            check(MISTAKES[0].answer, generator)


def test_what_is_left_of_the_arguments_counts_where_that_is_the_task():
    def clear(x):
        x.clear()

    check = form.agrees(clear, lambda generator: [([1, 2],)], (), after=True)
    assert check(clear, None) is None
    with pytest.raises(Mistake, match="its arguments"):
        check(lambda x: None, None)


@pytest.mark.parametrize(
    ("value", "right", "words"),
    [
        (None, 1, "does every path"),
        (np.True_, True, "a numpy.bool; it should be a bool"),
        (torch.ones(2), [1.0, 1.0], "a torch.Tensor; it should be a list"),
        (1, 1.0, "an int; it should be a float"),
        (6.0, 3.0, "twice as large"),
        (-3.0, 3.0, "with the other sign"),
        (4, 3, "it is 1 too large"),
        (math.log2(10), math.log(10), "1 / ln 2 times"),
        (30.0, 10.0, "3 times too large"),
        (2.5, 10.0, "4 times too small"),
        ([3, 2, 1], [1, 2, 3], "the order is reversed"),
        ([2, 3, 1], [1, 2, 3], "shifted by one"),
        ([1, 2], [1, 2, 3], "one number too few"),
        (["a", "b", "c"], ["a", "b"], "one is too many at the end"),
        (["b"], ["a", "b"], "one is missing at the beginning"),
        ({"a": 1}, {"a": 1, "b": 2}, "'b' is missing"),
        ({"a": 1, "c": 2}, {"a": 1, "b": 2}, "'c' is not wanted, and 'b' is missing"),
        ({"a": 2}, {"a": 1}, "'a' is 2, and it should be 1"),
        (torch.ones(3, 2), torch.ones(2, 3), "axes in another order"),
        (torch.ones(1, 3), torch.ones(3), "the numbers are right"),
        (torch.ones(4, 3), torch.ones(3, 3), "one row too many"),
        (torch.ones(2), torch.ones(2).long(), "float32; they should be int64"),
        (torch.tensor([1.0, math.nan]), torch.ones(2), "NaN"),
        (
            torch.arange(4.0).view(2, 2).T,
            torch.arange(4.0).view(2, 2),
            "rows and columns",
        ),
        (torch.tensor([1.0, 2, 9]), torch.tensor([1.0, 2, 3]), "at 2 it is 9"),
        ((1.0, (2.0, 3.0)), (1.0, (3.0, 2.0)), "entry 1 is (2.0, 3.0)"),
    ],
)
def test_a_difference_is_told_by_its_simplest_relation(value, right, words):
    assert words in difference(value, right)


def test_equal_is_equal_in_type_and_value():
    assert same([1.0, (2, "a")], [1.0, (2, "a")]) and not same([1], (1,))
    assert not same(1, True) and not same(1, 1.0) and same(math.nan, math.nan)
    assert same(1.0, 1.00001, 1e-4) and not same(1.0, 1.001, 1e-4)
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1}) and not same({"a": 1}, {"a": 2})
    one = torch.nn.Linear(2, 2)
    other = copies(one)
    assert same(one, other) and one is not other
    other.weight.grad = torch.ones(2, 2)
    assert not same(one, other)
    assert same(np.arange(3), np.arange(3)) and not same(np.arange(3), np.arange(4))

    class Agrees:
        __hash__ = None

        def __eq__(self, other):
            return True

    assert not same(Agrees(), 1) and not same([Agrees()], [1])


def test_a_copy_shares_nothing_and_keeps_gradients_and_chance():
    weight = nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    generator = torch.Generator().manual_seed(3)
    things = ([1, [2]], {"a": torch.zeros(2)}, weight, generator)
    twin = copies(things)
    assert same(twin, things) and torch.equal(twin[2].grad, weight.grad)
    twin[0][1].append(3), twin[1]["a"].add_(1), twin[2].grad.add_(1)
    torch.rand(1, generator=twin[3])
    assert things[0] == [1, [2]] and not things[1]["a"].any()
    assert torch.equal(weight.grad, torch.ones(2))
    assert torch.equal(
        generator.get_state(), torch.Generator().manual_seed(3).get_state()
    )


def test_what_is_shown_is_short_and_can_be_typed():
    assert shown([1.0, 2.5]) == "[1.0, 2.5]" and shown((1,)) == "(1,)"
    assert shown(torch.zeros(100, 3)).endswith("(100, 3)")
    assert len(shown("x" * 1000)) < 200 and shown(list(range(1000))) == "a list of 1000"
    assert compare.called("f", ([1], "a")) == "f([1], 'a')"


def test_tenths_have_one_decimal_and_no_zero():
    drawn = form.tenths(torch.Generator().manual_seed(0), 1000)
    assert drawn.abs().min() >= 0.1 and drawn.abs().max() <= 3.0
    assert torch.allclose((10 * drawn).round() / 10, drawn)


def test_wrong_is_what_the_tests_give():
    assert all(isinstance(wrong, Wrong) for wrong in MISTAKES)
