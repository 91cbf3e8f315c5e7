"""People who read TinyWorld: what they understand, ask and like."""

import random
import re

import pytest

from course_lib import people, tiny_world

STORIES = [story.text for story in tiny_world.tiny_world(400, seed=8)]
LOST = next(text for text in STORIES if " lost " in text)
RACE = next(text for text in STORIES if " raced " in text)


@pytest.mark.parametrize("strict", [True, False])
def test_every_story_of_the_world_is_read_to_its_end(strict):
    assert all(people.read(text, strict) for text in STORIES)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1],
        lambda text: text + "One",
        lambda text: text.replace(". ", " ", 1),
        lambda text: text.replace(" ", "  ", 1),
        lambda text: " ".join(text.split(" ")[:20] + text.split(" ")[26:]),
        lambda text: "",
    ],
)
def test_a_text_with_something_missing_is_no_story(change):
    assert all(people.read(change(text)) is None for text in STORIES[:40])


def test_a_ball_that_turns_into_a_boat_is_a_story_but_not_the_worlds():
    toy = people.read(LOST).word("t")
    other = next(one for one in tiny_world.TOYS if one != toy)
    odd = f" {other}".join(LOST.rsplit(f" {toy}", 1))
    assert people.read(odd) and not people.read(odd, strict=True)
    with pytest.raises(ValueError, match="none of TinyWorld's stories"):
        people.questions(odd)


def test_every_plot_has_questions_and_every_answer_stands_in_the_story():
    kinds = set()
    for text in STORIES:
        asked = people.questions(text)
        assert len(asked) >= 2
        for one in asked:
            assert one.question[0].isupper() and one.question.endswith("?")
            words = one.answer.split()
            assert words[-1] in re.findall(r"\w+", text)
            kinds.add(" ".join(one.question.split()[:2]))
    assert len(kinds) >= 12


def test_the_winner_is_the_one_who_did_not_fall():
    asked = {one.question: one.answer for one in people.questions(RACE)}
    winner = re.search(r"so (\w+) won", RACE)[1]
    faller = re.search(r"(\w+) fell over", RACE)[1]
    won = next(answer for question, answer in asked.items() if "won" in question)
    assert (won, asked["Who fell?"]) == (winner, faller)


def test_happy_words_count_for_it_and_sad_ones_against():
    happy = sum(word in people.HAPPY for word in re.findall(r"\w+", RACE))
    sad = sum(word in people.SAD for word in re.findall(r"\w+", RACE))
    assert people.score(RACE) == happy - sad
    assert people.score("pie " * 30) == people.NO_STORY
    assert people.score("lost " * 9) == -9.0


def test_a_coin_weighted_by_the_difference_decides():
    chance = random.Random(0)
    texts = sorted(STORIES[:60], key=people.score)
    low, high = texts[0], texts[-1]
    gap = people.score(high) - people.score(low)
    picked = [people.prefers(high, low, chance) for _ in range(300)]
    assert sum(picked) / 300 > 0.95 and gap > 4
    even = [people.prefers(low, low, chance) for _ in range(2000)]
    assert 0.46 < sum(even) / 2000 < 0.54
