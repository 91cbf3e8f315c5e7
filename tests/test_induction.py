"""Scores of heads that copy, and a small model in which they form."""

import pytest
import torch

from course_lib import induction, inside
from course_lib.devices import generator

PERIOD = 5


def looks(count: int, back: int) -> torch.Tensor:
    """A pattern that gives all weight to the place `back` places before, else to itself."""
    pattern = torch.zeros(count, count)
    for i in range(count):
        pattern[i, i - back if i >= back else i] = 1
    return pattern


def test_a_head_scores_one_where_it_looks_and_zero_elsewhere():
    heads = torch.stack([looks(11, back) for back in range(7)])  # (7, 11, 11)
    assert induction.previous_scores(heads).tolist() == [0, 1, 0, 0, 0, 0, 0]
    wanted = [float(back == PERIOD - 1) for back in range(7)]
    assert induction.induction_scores(heads, PERIOD).tolist() == wanted


def test_even_weights_score_the_mean_of_one_over_the_places():
    even = torch.ones(10, 10).tril()
    even = even / even.sum(-1, keepdim=True)
    places = [1 / (q + 1) for q in range(5, 10)]
    assert float(induction.induction_scores(even, 5)) == pytest.approx(sum(places) / 5)


def test_the_weight_goes_to_what_came_after_the_same_token():
    """By the ids alone: the token looked at follows the first copy of the one that looks."""
    ids = induction.told_twice(1, 7, range(100), generator(0))[0].tolist()
    assert ids[:7] == ids[7:] and len(set(ids)) > 4
    pattern = torch.zeros(14, 14)
    for q in range(7, 14):
        pattern[q, ids.index(ids[q]) + 1 if ids.count(ids[q]) == 2 else q - 6] = 1
    assert float(induction.induction_scores(pattern, 7)) == 1


@pytest.mark.parametrize("start", [0, 1])
def test_losses_are_of_each_copys_own_tokens(start):
    class Copier(torch.nn.Module):
        """Sure of what came a period ago; on the first copy as good as guessing."""

        def forward(self, ids):
            logits = torch.zeros(*ids.shape, 30)
            for t in range(ids.shape[1]):
                if t - start >= PERIOD:
                    after = ids[:, t - PERIOD + 1]
                    logits[torch.arange(len(ids)), t, after] = 20.0
            return logits

    ids = induction.told_twice(3, PERIOD, range(30), generator(1))
    rows = torch.cat([torch.zeros(3, start, dtype=torch.long), ids], 1)
    first, second = induction.losses_of_copies(Copier(), rows, PERIOD)
    assert first == pytest.approx(torch.tensor(30.0).log().item(), abs=1e-4)
    assert second < 1e-4


def test_rows_repeat_with_a_period_of_their_own():
    rows = induction.repeating(64, 48, range(6, 25), 64, generator(0))
    found = set()
    for row in rows.tolist():
        period = next(p for p in range(1, 48) if row[p:] == row[:-p])
        assert period <= 24
        found.add(period)
    assert rows.shape == (64, 48) and len(found) > 10 and min(found) >= 6


def test_the_small_model_sees_nothing_that_comes_later():
    model = induction.small(2)
    ids = torch.randint(64, (1, 12), generator=generator(0))
    changed = ids.clone()
    changed[0, -1] = (ids[0, -1] + 1) % 64
    with torch.no_grad():
        before, after = model(ids), model(changed)
    assert torch.equal(before[:, :-1], after[:, :-1])
    assert before.shape == (1, 12, 64) and not torch.equal(before, after)
    with pytest.raises(ValueError, match="Ids run from 0 to 63"):
        model(ids + 64)


def test_patterns_of_the_small_model_can_be_read_and_are_means():
    model = induction.small(2)
    rows = induction.told_twice(2, 6, range(64), generator(0))
    one, other = (inside.attention_patterns(model, row.tolist()) for row in rows)
    mean = induction.mean_patterns(model, rows)
    assert mean.shape == (2, 2, 12, 12) and torch.allclose(mean, (one + other) / 2)


def test_training_looks_on_the_way_and_is_the_same_again():
    def run():
        model, seen = induction.small(1, seed=3), []
        found = induction.learn_to_copy(
            model, 6, lambda m: seen.append(m), 3, bar=False
        )
        return [step for step, _ in found], len(seen), model.embedding.weight.detach()

    first, again = run(), run()
    assert first[:2] == again[:2] == ([0, 3, 6], 3) and torch.equal(first[2], again[2])


def test_ctrl_c_keeps_what_was_seen():
    looked = []

    def look(model):
        looked.append(model)
        if len(looked) == 3:
            raise KeyboardInterrupt
        return len(looked)

    found = induction.learn_to_copy(induction.small(1), 9, look, 1, bar=False)
    assert found == [(0, 1), (1, 2)]


def test_two_layers_of_attention_learn_to_copy():
    model = induction.small(2, seed=4)
    fresh = induction.told_twice(4, 24, range(64), generator(9))
    induction.learn_to_copy(model, 240, lambda _: None, 240, seed=4, bar=False)
    pattern = induction.mean_patterns(model, fresh)
    assert induction.losses_of_copies(model, fresh, 24)[1] < 1.3
    assert induction.induction_scores(pattern, 24)[1].max() > 0.5
    assert induction.previous_scores(pattern)[0].max() > 0.3
