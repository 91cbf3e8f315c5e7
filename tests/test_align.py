"""Alignment beside what is known otherwise: torch's losses, and policies of few texts."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib import align, devices, kv_cache
from course_lib.gpt import GPT, GPTConfig

SMALL = GPTConfig(vocabulary=12, context=10, layers=2, channels=16, heads=2)
END = 3


def small(seed: int = 0) -> GPT:
    return GPT(SMALL, generator=devices.generator(seed)).eval()


class OneWord(nn.Module):
    """A learner's own class: it says one of three words, whatever it has read."""

    def __init__(self):
        super().__init__()
        self.config = SimpleNamespace(context=3)
        self.logits = nn.Parameter(torch.zeros(3))

    def forward(self, ids):
        rest = torch.full((*ids.shape, 9), -1e9)
        return torch.cat([self.logits.expand(*ids.shape, 3), rest], -1)


# Showing how --------------------------------------------------------------------------


def test_the_masked_loss_is_minus_log_p_of_the_answers_tokens_alone():
    model, talks = small(), [([5, 6, 1], [7, 8, 2]), ([4, 1], [9, 2])]
    inputs, targets, every = align.batch(talks, fill=0)
    nats = []
    for prompt, answer in talks:
        log_p = model(torch.tensor([prompt + answer])).log_softmax(-1)[0]
        places = range(len(prompt) - 1, len(prompt) + len(answer) - 1)
        nats += [-log_p[i, id] for i, id in zip(places, answer)]
    loss = align.target_loss(model(inputs), targets)
    assert torch.allclose(loss, torch.stack(nats).mean(), atol=1e-6)
    text = torch.tensor([talks[0][0] + talks[0][1]])
    plain = F.cross_entropy(model(text[:, :-1])[0], text[0, 1:])
    alone = align.target_loss(model(inputs[:1]), every[:1])
    assert torch.allclose(alone, plain, atol=1e-6)


def test_exact_is_what_a_greedy_writer_writes():
    model = small(1)
    prompt = [5, 6, 1]
    said = list(prompt)
    for _ in range(3):
        said.append(int(model(torch.tensor([said]))[0, -1].argmax()))
    right, wrong = said[3:], [*said[3:5], (said[5] + 1) % 12]
    inputs, targets, _ = align.batch([(prompt, right), (prompt, wrong)], fill=0)
    assert align.exact(model(inputs), targets).tolist() == [True, False]


# Writing ------------------------------------------------------------------------------


def test_with_a_cache_or_without_the_same_texts_are_written():
    model, start = small(), torch.tensor([[5], [6], [7], [8]])
    texts = [
        align.write_rows(model, start, END, 10, devices.generator(4), step)
        for step in (None, kv_cache.decode_step)
    ]
    assert torch.equal(*texts)
    for row in texts[0].tolist():
        if END in row[1:]:
            first = row.index(END, 1)
            assert set(row[first:]) == {END}


def test_texts_are_drawn_as_often_as_the_model_says():
    model = OneWord()
    with torch.no_grad():
        model.logits.copy_(torch.tensor([0.6, 0.3, 0.1]).log())
    start = torch.full((4000, 1), 5)
    ids = align.write_rows(model, start, END, 2, devices.generator(0))
    shares = ids[:, 1].bincount(minlength=3) / 4000
    assert torch.allclose(shares, torch.tensor([0.6, 0.3, 0.1]), atol=0.03)


def test_counted_leaves_out_the_prompt_and_what_follows_the_end():
    ids = torch.tensor([[5, 6, END, END], [5, 6, 7, 8], [5, END, END, END]])
    wanted = [[1, 1, 0], [1, 1, 1], [1, 0, 0]]
    assert align.counted(ids, END).tolist() == wanted
    assert align.counted(ids, END, prompt=2)[0].tolist() == [0, 1, 0]


def test_token_log_p_adds_up_to_the_log_probability_of_the_text():
    from course_lib.sampling import log_probability

    model, ids = small(), [5, 6, 7, 8, 2]
    found = align.token_log_p(model, torch.tensor([ids])).detach()
    assert found.shape == (1, 4)
    assert float(found.sum()) == pytest.approx(log_probability(model, ids), abs=1e-5)


# Preferences --------------------------------------------------------------------------


def test_bradley_terry_is_binary_cross_entropy():
    better, worse = torch.randn(2, 6, generator=devices.generator(0))
    wanted = F.binary_cross_entropy_with_logits(better - worse, torch.ones(6))
    assert torch.allclose(align.bradley_terry(better, worse), wanted)


def test_a_reward_is_read_where_the_text_ends():
    judge = align.RewardModel(small(), END)
    nn.init.normal_(judge.head.weight, generator=devices.generator(1))
    short = torch.tensor([[5, 6, END]])
    long = torch.tensor([[5, 6, END, END, END]])
    assert torch.allclose(judge(short), judge(long), atol=1e-6)
    assert not torch.allclose(judge(short), judge(torch.tensor([[5, 7, END]])))


def test_a_reward_model_learns_which_of_two_was_picked():
    """Whoever is picked says 8 before the end, and never 9."""
    chance = devices.generator(0)
    words = torch.randint(4, 8, (60, 3), generator=chance)
    ends = torch.full((60, 1), END)
    better = torch.cat([words, torch.full((60, 1), 8), ends], 1)
    worse = torch.cat([words, torch.full((60, 1), 9), ends], 1)
    judge = align.RewardModel(small(), END)
    before = {name: w.clone() for name, w in judge.body.blocks[0].named_parameters()}
    losses = align.fit(judge, better[:40], worse[:40], 60, rate=5e-3, bar=False)
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5) and losses[-1] < 0.2
    assert (judge(better[40:]) > judge(worse[40:])).all()
    for name, weight in judge.body.blocks[0].named_parameters():
        assert torch.equal(weight, before[name])


# Following ----------------------------------------------------------------------------


def test_advantages_add_up_to_nothing_and_stretch_what_the_mean_takes_off():
    rewards = torch.randn(7, generator=devices.generator(3))
    found = align.leave_one_out(rewards)
    assert float(found.sum()) == pytest.approx(0, abs=1e-5)
    assert torch.allclose(found, (rewards - rewards.mean()) * 7 / 6, atol=1e-6)


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_on_a_leash_a_policy_comes_to_rest_where_the_formula_says(beta):
    """Three texts: the best policy on a leash has p in proportion to e^(reward / β)."""
    policy, base = OneWord(), OneWord()
    worth = torch.tensor([1.0, 0.5, 0.0])

    def reward(ids):
        return worth[ids[:, 1]]

    def prompts(generator):
        return torch.full((512, 1), 5)

    policy.config.context = 2
    rounds = align.follow(
        policy, base, reward, prompts, END, beta, 150, rate=0.03, bar=False
    )
    found = [policy.logits.detach().softmax(0) for _ in rounds]
    wanted = (worth / beta).softmax(0)
    assert torch.allclose(torch.stack(found[-50:]).mean(0), wanted, atol=0.04)


def test_stopping_early_keeps_the_policy_as_far_as_it_got():
    policy = OneWord()
    policy.config.context = 2
    rounds = align.follow(
        policy,
        OneWord(),
        lambda ids: (ids[:, 1] == 0).float(),
        lambda generator: torch.full((16, 1), 5),
        END,
        0.0,
        100,
        rate=0.1,
        bar=False,
    )
    first = next(rounds)
    rounds.close()
    moved = policy.logits.detach().clone()
    assert moved[0] > moved[1] and first.drift.tolist() == [0.0] * 16


def test_dpo_begins_at_ln_2_and_is_bradley_terry_of_the_rises():
    better, worse, was_better, was_worse = torch.randn(4, 5)
    start = align.dpo(better, worse, better, worse, 0.7)
    assert float(start) == pytest.approx(math.log(2), abs=1e-6)
    rises = 0.7 * (better - was_better), 0.7 * (worse - was_worse)
    found = align.dpo(better, worse, was_better, was_worse, 0.7)
    assert torch.allclose(found, align.bradley_terry(*rises))


def test_a_guarded_reward_lies_within_what_was_seen():
    seen, rewards = torch.tensor([-1.0, 2.0]), torch.tensor([5.0, -5.0, 1.0, 1.0])
    whole = torch.tensor([True, True, True, False])
    assert align.guarded(rewards, seen, whole).tolist() == [2.0, -1.0, 1.0, -1.0]
