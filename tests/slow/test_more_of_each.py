"""The same tests as elsewhere, on more seeds and more mistakes of every exercise."""

import pytest

from tests.exercises.test_exercises import ALL, name, told_by_its_own_sentence
from tests.grading.test_grader import gets_its_words

GRADED = [exercise for exercise in ALL if not exercise.ungraded]
every_exercise = pytest.mark.parametrize("exercise", ALL, ids=name)
every_graded_one = pytest.mark.parametrize("exercise", GRADED, ids=name)


@every_exercise
def test_every_mistake_is_told_by_its_own_sentence_on_other_seeds(exercise):
    told_by_its_own_sentence(exercise, (1, 2))


@every_graded_one
def test_more_wrong_answers_get_their_words_from_the_grader(
    exercise, open_box, monkeypatch
):
    rows = range(1, min(4, len(exercise.wrong)))
    gets_its_words(exercise, open_box, monkeypatch, rows)
