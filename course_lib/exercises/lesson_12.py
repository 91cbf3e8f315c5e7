"""Exercises of lesson 12: answers shown, preferences, a reward, its leash, and DPO."""

import math

import torch

from course_lib import align
from course_lib.exercises.form import agrees, instead, mistakes, tenths, whole
from course_lib.exercises.kinds import Check, Exercise

# 12.mask_prompt -----------------------------------------------------------------------

INPUTS = "inputs = prompt + answer[:-1]"
TARGETS = "targets = [IGNORED] * (len(prompt) - 1) + answer"
GIVEN = "return inputs, targets"
NEXT = (
    "A target is the id that comes next: targets stand one place further left than the "
    "same ids in the inputs."
)
SAME_LENGTH = "Inputs and targets are of one length, and yours are not."

MASK_MISTAKES = mistakes(
    align.mask_prompt,
    ("no shift", NEXT, (INPUTS, "inputs = prompt + answer"),
     (TARGETS, "targets = [IGNORED] * len(prompt) + answer")),
    ("no shift, last left out", NEXT,
     (TARGETS, "targets = ([IGNORED] * len(prompt) + answer)[:-1]")),
    *instead(TARGETS, {
        "targets = (prompt + answer)[1:]":
            "The prompt counts as well: a target that belongs to it is IGNORED.",
        "targets = [IGNORED] * len(prompt) + answer[1:]":
            "The answer's first id is foretold at the prompt's last place: it counts too.",
        "targets = [0] * (len(prompt) - 1) + answer":
            "0 is an id like any other: in the place of a target that doesn't count put IGNORED.",
        "targets = [None] * (len(prompt) - 1) + answer":
            "In the place of a target that doesn't count put IGNORED, which torch knows.",
        "targets = answer":
            "One target for each input: those that don't count are IGNORED, not left out.",
        "targets = prompt[1:] + [IGNORED] * len(answer)":
            "It ignores the answer and teaches the prompt: the other way round.",
        "targets = [IGNORED] * (len(prompt) - 1) + answer[:-1] + [IGNORED]":
            "The answer's last id, which ends it, counts too: else the model never learns to stop.",
        "targets = [IGNORED] * (len(prompt) - 2) + prompt[-1:] + answer":
            "The prompt's last id is one target too many: it belongs to the prompt.",
        ("targets = [IGNORED] * len(prompt) + answer",
         "targets = [IGNORED] * (len(prompt) - 1) + answer[:-1]"): SAME_LENGTH,
    }),
    *instead(INPUTS, {
        ("inputs = prompt + answer", "inputs = prompt"): SAME_LENGTH,
        "inputs = [IGNORED] * len(prompt) + answer[:-1]":
            "The model must read the prompt: only as targets its ids are IGNORED.",
        "inputs = answer[:-1] + prompt": "First the prompt, then the answer.",
    }),
    ("the other way round", "First the inputs, then the targets.",
     (GIVEN, "return targets, inputs")),
    ("one list of pairs", "Give a tuple of two lists: inputs, targets.",
     (GIVEN, "return list(zip(inputs, targets))")),
    ("it changes the prompt",
     "It changes the list `prompt` that it was given: prompt + answer makes a new one.",
     (INPUTS, "places = len(prompt) - 1\n    prompt += answer[:-1]\n    inputs = list(prompt)"),
     (TARGETS, "targets = [IGNORED] * places + answer")),
)  # fmt: skip


def place_by_place(prompt: list[int], answer: list[int]) -> tuple[list, list]:
    """For each place but the last: what stands there, and what comes next, if taught."""
    text = [*prompt, *answer]
    taught = [False] * len(prompt) + [True] * len(answer)
    targets = [id if one else -100 for id, one in zip(text, taught)]
    return text[:-1], targets[1:]


def some_ids(generator: torch.Generator, count: int) -> list[int]:
    return [whole(generator, 4, 99) for _ in range(count)]


def short_talks(generator):
    return [
        (some_ids(generator, 3), some_ids(generator, 2)),
        (some_ids(generator, 2), some_ids(generator, 4)),
    ]


def talks_at_the_edge(generator):
    return [
        (some_ids(generator, 1), some_ids(generator, 3)),
        (some_ids(generator, 5), some_ids(generator, 1)),
        (some_ids(generator, 1), some_ids(generator, 1)),
    ]


MASK_PROMPT = Exercise(
    id="12.mask_prompt",
    title="mask the prompt",
    minutes=10,
    rule=(
        "`prompt` and `answer` are lists of ids, each with at least one. Return a "
        "tuple of two lists of one length: the inputs and the targets for training. "
        "Inputs: the prompt, then the answer without its last id. Targets: for each "
        "input the id that comes next, but `IGNORED` (−100, which torch's "
        "cross-entropy leaves out) where that next id belongs to the prompt. For the "
        "prompt [5, 6] and the answer [7, 3]: ([5, 6, 7], [−100, 7, 3])."
    ),
    reference=align.mask_prompt,
    checks=(
        Check(
            "a question", 2, "teaches all of the answer and nothing of the prompt",
            "Write prompt + answer, and below it the same moved one place to the left. "
            "Which of the lower ids belong to the answer?",
            agrees(place_by_place, short_talks, MASK_MISTAKES, after=True),
        ),
        Check(
            "short ones", 1, "does so for a prompt or an answer of one id",
            "With one id in the prompt nothing is ignored: its next id is the answer's first.",
            agrees(place_by_place, talks_at_the_edge, MASK_MISTAKES, after=True),
        ),
    ),
    wrong=MASK_MISTAKES,
)  # fmt: skip


# 12.bradley_terry ---------------------------------------------------------------------

BT = "-F.logsigmoid(better - worse).mean()"
FLAT = (
    "For a difference of −200 the sigmoid rounds to 0, and its logarithm is infinite: "
    "`F.logsigmoid` computes both in one step."
)
NO_GRADIENT = (
    "It gives a plain number, through which no gradient goes back: give the tensor."
)

BT_MISTAKES = mistakes(
    align.bradley_terry,
    *instead(BT, {
        "F.logsigmoid(better - worse).mean()":
            "It is below zero: a loss is −log p. Training would go the wrong way.",
        "-F.logsigmoid(worse - better).mean()":
            "It rewards the worse one: p is σ(better − worse).",
        "-torch.sigmoid(better - worse).mean()":
            "That is −p; the loss is −log p.",
        "(1 - torch.sigmoid(better - worse)).mean()":
            "That is 1 − p; the loss is −log p.",
        "-F.logsigmoid(better - worse).sum()": "Take the mean over the pairs, not the sum.",
        "-F.logsigmoid(better - worse)": "Take the mean over the pairs: one number.",
        "-F.logsigmoid((better - worse).mean())":
            "First each pair's loss, then their mean: the mean of differences hides bad pairs.",
        "-F.logsigmoid(better).mean()": "Only the difference counts, and `worse` plays no part.",
        "-(better - worse).mean()":
            "That is the difference itself, which has no end: σ makes a probability of it.",
        "F.relu(1 - (better - worse)).mean()":
            "That is a hinge: it stops at a difference of 1. Take −log σ of the difference.",
        "-F.logsigmoid(better / worse).mean()": "Take the difference of the two, not their ratio.",
        "-F.logsigmoid(better + worse).mean()": "Take the difference of the two, not their sum.",
        "-(F.logsigmoid(better - worse) / 0.6931472).mean()":
            "Take the natural logarithm.",
        "-F.logsigmoid(better - worse).mean().item()": NO_GRADIENT,
        "-torch.log(torch.sigmoid(better - worse)).mean()": FLAT,
        "-torch.log(torch.exp(better) / (torch.exp(better) + torch.exp(worse))).mean()": FLAT,
        "-torch.log(torch.sigmoid(better - worse) + 1e-8).mean()":
            "Adding a little hides the infinity and caps the loss: `F.logsigmoid` is exact.",
    }),
)  # fmt: skip


def soft_plus(difference: float) -> float:
    """−log σ(x) = log(1 + e^−x), without a large power."""
    return max(-difference, 0.0) + math.log1p(math.exp(-abs(difference)))


def pair_by_pair(better: torch.Tensor, worse: torch.Tensor) -> torch.Tensor:
    losses = [soft_plus(a - b) for a, b in zip(better.tolist(), worse.tolist())]
    return torch.tensor(sum(losses) / len(losses))


def some_pairs(generator):
    return [
        (tenths(generator, 3), tenths(generator, 3)),
        (tenths(generator, 2), tenths(generator, 2)),
        (torch.zeros(1), torch.zeros(1)),
    ]


def far_apart(generator):
    far = 100.0 * whole(generator, 2, 9)
    return [
        (torch.tensor([0.0]), torch.tensor([far])),
        (torch.tensor([far, 1.0]), torch.tensor([0.0, far])),
    ]


BRADLEY_TERRY = Exercise(
    id="12.bradley_terry",
    title="a loss from preferences",
    minutes=8,
    rule=(
        "There are B pairs of texts. `better` (B,) holds the reward of the text that "
        "was picked in each pair, `worse` (B,) that of the other. The reward model "
        "says that the picked one wins with probability σ(better − worse), where "
        "σ(x) = 1 / (1 + e⁻ˣ). Return the mean of −log of that probability over the "
        "pairs: a tensor of one number. A difference may be 900 or −900, and the "
        "loss must stay finite."
    ),
    reference=align.bradley_terry,
    checks=(
        Check(
            "pairs", 2, "is the mean of −log σ of the differences",
            "`F.logsigmoid(x)` is log σ(x). One loss for each pair, then their mean, with a "
            "minus.",
            agrees(pair_by_pair, some_pairs, BT_MISTAKES),
        ),
        Check(
            "far apart", 1, "bears differences of any size",
            "log(1 / (1 + e²⁰⁰)) is −200, though 1 / (1 + e²⁰⁰) is too small to be held.",
            agrees(pair_by_pair, far_apart, BT_MISTAKES),
        ),
    ),
    wrong=BT_MISTAKES,
)  # fmt: skip


# 12.leave_one_out ---------------------------------------------------------------------

OTHERS = "(rewards.sum() - rewards) / (len(rewards) - 1)"
LESS = "rewards - others"

LOO_MISTAKES = mistakes(
    align.leave_one_out,
    *instead(OTHERS, {
        "rewards.mean()":
            "That is the mean of all, its own reward too: leave that one out.",
        "(rewards.sum() - rewards) / len(rewards)": "There are B − 1 others, not B.",
        "(rewards.sum() - rewards)": "That is the sum of the others: divide by how many they are.",
        "rewards.sum() / (len(rewards) - 1)":
            "The sum holds its own reward too: take that off before you divide.",
        "(rewards.sum() - rewards[0]) / (len(rewards) - 1)":
            "It leaves the first one out for all: each leaves out its own.",
        "0.0": "Nothing is taken off: the mean of the others is missing.",
        "rewards.median()": "Take the mean of the others, not the median of all.",
        "rewards.max()": "Take the mean of the others, not the highest.",
        "rewards.roll(1)": "That is one neighbour: take the mean of all others.",
        "torch.cat([rewards[:1], rewards.cumsum(0)[:-1] / torch.arange(1, len(rewards))])":
            "Those are the ones before it: all others count, the later ones too.",
    }),
    *instead(LESS, {
        "others - rewards": "The sign is the other way round: a text above the others is pushed up.",
        "rewards / others": "Take it off; don't divide by it.",
        "(rewards - others) / (rewards - others).std()":
            "Don't divide by the spread here: the lesson does so in a line of its own.",
        "(rewards - others).mean()": "One number for each text, not one for all.",
        "(rewards - others).clamp(min=0)":
            "Those below the others count as well: they are pushed down.",
        "others": "That is the baseline; take it off each reward.",
    }),
)  # fmt: skip


def one_by_one(rewards: torch.Tensor) -> torch.Tensor:
    values = rewards.tolist()
    found = []
    for i, value in enumerate(values):
        rest = values[:i] + values[i + 1 :]
        found.append(value - sum(rest) / len(rest))
    return torch.tensor(found)


def some_rewards(generator):
    return [(tenths(generator, 3),), (tenths(generator, 4),)]


def two_rewards(generator):
    return [(tenths(generator, 2),), (torch.full((3,), 1.5),)]


LEAVE_ONE_OUT = Exercise(
    id="12.leave_one_out",
    title="better than the others?",
    minutes=6,
    rule=(
        "`rewards` (B,) are the rewards of B texts, at least two. Return for each "
        "text its reward minus the mean reward of the *other* B − 1: a tensor (B,). "
        "For rewards 1, 2, 6: −3, −1.5, 4.5. (A text's own reward must not be in "
        "that mean: a good text would raise the mean that it is compared with.)"
    ),
    reference=align.leave_one_out,
    checks=(
        Check(
            "some texts", 2, "takes the others' mean off each reward",
            "The sum of all, minus the text's own, is that of the B − 1 others.",
            agrees(one_by_one, some_rewards, LOO_MISTAKES),
        ),
        Check(
            "two, and equal ones", 1, "does so for two texts, and gives 0 where all are alike",
            "With two texts, the mean of the others is the one other reward.",
            agrees(one_by_one, two_rewards, LOO_MISTAKES),
        ),
    ),
    wrong=LOO_MISTAKES,
)  # fmt: skip


# 12.leashed ---------------------------------------------------------------------------

DRIFT = "((log_p - base_log_p) * counts).sum(1)"
PAID = "rewards - beta * drift"
PADDING = (
    "It counts the prompt and the padding too: multiply by `counts` before adding up."
)
PAYS = "It pays the policy for drifting: policy less base is a price, so take it off."
ALL_TEXTS = "Each text pays for its own drift: add up along its tokens, `.sum(1)`."

LEASH_MISTAKES = mistakes(
    align.leashed,
    *instead(DRIFT, {
        "((base_log_p - log_p) * counts).sum(1)": PAYS,
        "(log_p - base_log_p).sum(1)": PADDING,
        "((log_p - base_log_p) * counts).mean(1)":
            "Add up over the tokens: log p of a text is the sum, not the mean.",
        "((log_p - base_log_p) * counts).sum(1) / counts.sum(1)":
            "Add up over the tokens: log p of a text is the sum, not the mean.",
        "(log_p * counts).sum(1)":
            "The base plays no part: it is the difference from the base that costs.",
        "((log_p - base_log_p) * counts).sum()": ALL_TEXTS,
        "((log_p - base_log_p) * counts).sum(1).mean()": ALL_TEXTS,
        "((log_p - base_log_p).abs() * counts).sum(1)":
            "No absolute values: a token that became less likely takes off again.",
        "((log_p - base_log_p) ** 2 * counts).sum(1)":
            "No squares: log p less log base p is what is asked for.",
        "((log_p - base_log_p).exp() * counts).sum(1)":
            "That adds up ratios; add up their logarithms.",
        "((log_p - base_log_p) * counts).sum(1).exp()":
            "That is the ratio; take its logarithm, the sum as it is.",
        "((log_p.exp() - base_log_p.exp()) * counts).sum(1)":
            "Those are differences of probabilities; take those of their logarithms.",
        "(log_p.exp() * (log_p - base_log_p) * counts).sum(1)":
            "The text was drawn by the policy: that weighs it already. No p in front.",
        "((log_p - base_log_p) * counts).sum(1).clamp(min=0)":
            "A text that became less likely has a negative drift: leave it as it is.",
    }),
    *instead(PAID, {
        "rewards + beta * drift": PAYS,
        "rewards - drift": "β is missing: it says how dear drifting is.",
        "beta * rewards - drift": "β weighs the drift, not the reward.",
        "(1 - beta) * rewards - beta * drift": "The reward stays whole; β weighs the drift only.",
        "rewards - drift / beta": "A larger β is a shorter leash: multiply by it.",
        "-beta * drift": "The reward itself is missing.",
    }),
)  # fmt: skip


def token_by_token(rewards, log_p, base_log_p, counts, beta) -> torch.Tensor:
    found = []
    for b, reward in enumerate(rewards.tolist()):
        for t in range(log_p.shape[1]):
            if counts[b, t]:
                reward -= beta * float(log_p[b, t] - base_log_p[b, t])
        found.append(reward)
    return torch.tensor(found)


def a_batch(generator, texts: int, tokens: int, beta: float) -> tuple:
    """Rewards and log-probabilities of some texts that end at different places."""
    both = [-tenths(generator, texts, tokens).abs() for _ in range(2)]
    ends = [whole(generator, 2, tokens) for _ in range(texts)]
    counts = torch.tensor([[float(0 < t < end) for t in range(tokens)] for end in ends])
    return tenths(generator, texts), *both, counts, beta


def some_texts(generator):
    return [a_batch(generator, 2, 4, 0.1), a_batch(generator, 3, 3, 0.5)]


def other_leashes(generator):
    same = a_batch(generator, 2, 3, 2.0)
    return [(*same[:4], 0.0), (same[0], same[1], same[1], same[3], 0.3), same]


LEASHED = Exercise(
    id="12.leashed",
    title="the KL term",
    minutes=10,
    rule=(
        "A policy has written B texts and got `rewards` (B,) for them. `log_p` and "
        "`base_log_p` (B, T) are log p of each token, by the policy and by the base; `counts` "
        "(B, T) is 1.0 where a token of the text stands and 0.0 for prompt and "
        "padding. Log p of a text is the sum of log p of its tokens. Return a tensor "
        "(B,): for each text its reward minus β (`beta`) times (its log p by the "
        "policy minus its log p by the base)."
    ),
    reference=align.leashed,
    checks=(
        Check(
            "some texts", 2, "takes β times each text's drift off its reward",
            "log p of a text is the sum over its tokens. Policy less base, times `counts`, "
            "summed along the tokens.",
            agrees(token_by_token, some_texts, LEASH_MISTAKES),
        ),
        Check(
            "other leashes", 1, "leaves rewards alone where β or the drift is 0",
            "With β = 0, or a policy that is the base, nothing is taken off.",
            agrees(token_by_token, other_leashes, LEASH_MISTAKES),
        ),
    ),
    wrong=LEASH_MISTAKES,
)  # fmt: skip


# 12.dpo -------------------------------------------------------------------------------

RISEN = "(better - base_better) - (worse - base_worse)"
DPO_LOSS = "-F.logsigmoid(beta * risen).mean()"

DPO_MISTAKES = mistakes(
    align.dpo,
    *instead(RISEN, {
        "better - worse":
            "The base plays no part: what counts is how far each rose above the base.",
        "(better - base_better) + (worse - base_worse)":
            "The worse one should rise less: take its rise off.",
        ("(worse - base_worse) - (better - base_better)",
         "(base_better - better) - (base_worse - worse)"):
            "It has the wrong sign: a rise is policy less base, and the better's less the worse's.",
        "better - base_better": "Only the better one counts in it: take off the rise of the worse.",
        "(better - base_worse) - (worse - base_better)":
            "Each text is compared with itself: better with base_better, worse with base_worse.",
        "(better / base_better) - (worse / base_worse)":
            "These are logarithms: a ratio of probabilities is a difference of them.",
        "(better - base_better).exp() - (worse - base_worse).exp()":
            "Stay with the logarithms: σ takes their difference as it is.",
    }),
    *instead(DPO_LOSS, {
        "-F.logsigmoid(risen).mean()": "β is missing, inside of σ.",
        "-beta * F.logsigmoid(risen).mean()": "β stands inside of σ, in front of the difference.",
        "-F.logsigmoid(risen / beta).mean()": "Multiply by β; don't divide by it.",
        "F.logsigmoid(beta * risen).mean()":
            "It is below zero: a loss is −log p. Training would go the wrong way.",
        "-torch.sigmoid(beta * risen).mean()": "That is −p; the loss is −log p.",
        "-F.logsigmoid(beta * risen).sum()": "Take the mean over the pairs, not the sum.",
        "-F.logsigmoid(beta * risen)": "Take the mean over the pairs: one number.",
        "-F.logsigmoid(beta * risen.mean())": "First each pair's loss, then their mean.",
        "-(beta * risen).mean()": "That has no end: −log σ of it is the loss.",
        "-F.logsigmoid(beta * risen).mean().item()": NO_GRADIENT,
        "-torch.log(torch.sigmoid(beta * risen)).mean()":
            "Where σ rounds to 0 its logarithm is infinite: `F.logsigmoid` computes both at once.",
    }),
)  # fmt: skip


def rise_by_rise(better, worse, base_better, base_worse, beta) -> torch.Tensor:
    """By the probabilities of a person who picks by rewards β · log(p / base p)."""
    rewards = [
        (beta * a - beta * c, beta * b - beta * d)
        for a, b, c, d in zip(
            *(one.tolist() for one in (better, worse, base_better, base_worse))
        )
    ]
    losses = [soft_plus(one - other) for one, other in rewards]
    return torch.tensor(sum(losses) / len(losses))


def four(generator, pairs: int) -> list[torch.Tensor]:
    return [-tenths(generator, pairs).abs() for _ in range(4)]


def some_policies(generator):
    return [(*four(generator, 2), 0.5), (*four(generator, 3), 0.1)]


def at_the_start(generator):
    better, worse = four(generator, 2)[:2]
    far = torch.tensor([-90.0 * whole(generator, 3, 9)])
    one = torch.tensor([-1.0])
    return [(better, worse, better, worse, 0.1), (far, one, one, one, 1.0)]


DPO = Exercise(
    id="12.dpo",
    title="preferences without a reward model",
    minutes=8,
    rule=(
        "Four tensors (B,) of log p of whole texts: `better` and `worse` by the policy, "
        "`base_better` and `base_worse` by the base. How far a text *rose* is its log p by the policy "
        "less its log p by the base. Return the mean over the pairs of −log σ(β · (rise of the "
        "better − rise of the worse)): a tensor of one number. It must stay "
        "finite where the rises are far apart."
    ),
    reference=align.dpo,
    checks=(
        Check(
            "some pairs", 2, "compares how far both rose above the base",
            "It is Bradley–Terry, with β times a text's rise for its reward.",
            agrees(rise_by_rise, some_policies, DPO_MISTAKES),
        ),
        Check(
            "at the start", 1, "is right where policy is base, and bears any rise",
            "Policy = base: all rises are 0. What is −log σ(0)?",
            agrees(rise_by_rise, at_the_start, DPO_MISTAKES),
        ),
    ),
    wrong=DPO_MISTAKES,
)  # fmt: skip


# 12.guarded ---------------------------------------------------------------------------

WITHIN = "rewards.clamp(seen.min(), seen.max())"
ONLY = "torch.where(stories, within, seen.min())"
LOWEST_SEEN = (
    "The lowest means the lowest of `seen`: a batch of nothing but bad texts has none of "
    "its own."
)

GUARD_MISTAKES = mistakes(
    align.guarded,
    *instead(WITHIN, {
        "rewards":
            "A reward beyond all that was seen still counts: it may not be above the highest of "
            "`seen`, nor below the lowest.",
        "rewards.clamp(max=seen.max())": "Below the lowest of `seen` it may not be, either.",
        "rewards.clamp(min=seen.min())": "Above the highest of `seen` it may not be, either.",
        "rewards.clamp(-1, 1)": "The limits are the lowest and the highest of `seen`.",
        "rewards.clamp(seen.mean() - seen.std(), seen.mean() + seen.std())":
            "The limits are the lowest and the highest of `seen`, not a spread around its mean.",
        "torch.where(rewards > seen.max(), seen.min(), rewards.clamp(min=seen.min()))":
            "Above the highest of `seen` it counts as the highest, not as the lowest.",
    }),
    *instead(ONLY, {
        "within": "A text that is no story gets the lowest of `seen`, whatever the reward model says.",
        "torch.where(stories, seen.min(), within)":
            "`stories` is true for stories: it is the others that get the lowest.",
        "torch.where(stories, within, within.min())": LOWEST_SEEN,
        "torch.where(stories, within, rewards.min())": LOWEST_SEEN,
        "torch.where(stories, within, torch.tensor(0.0))":
            "0 may well be a good reward: a text that is no story gets the lowest of `seen`.",
        "within * stories":
            "0 may well be a good reward: a text that is no story gets the lowest of `seen`.",
        "within[stories]": "Give one reward for each text, those that are no story too.",
        "torch.where(stories, within, seen.max())":
            "The highest for a text that is no story? It gets the lowest.",
        "torch.where(stories, within, within + seen.min())":
            "It gets the lowest of `seen` itself: added to its reward it may still be high.",
        "torch.where(stories, within, seen.min() - 1)":
            "It gets the lowest of `seen`, no less.",
    }),
)  # fmt: skip


def text_by_text(rewards, seen, stories) -> torch.Tensor:
    low, high = min(seen.tolist()), max(seen.tolist())
    found = [
        sorted([low, reward, high])[1] if story else low
        for reward, story in zip(rewards.tolist(), stories.tolist())
    ]
    return torch.tensor(found)


def some_seen(generator) -> torch.Tensor:
    """Rewards that were seen: some below zero, some above."""
    return torch.tensor([1.0, -1.0, 0.5, 1.0]) * (1 + tenths(generator, 4).abs())


def honest_texts(generator):
    seen = some_seen(generator)
    rewards = torch.cat([tenths(generator, 2, most=0.9), tenths(generator, 2) * 9])
    limits = torch.tensor([30.0, -30.0, 0.3])
    return [
        (rewards, seen, torch.ones(4, dtype=torch.bool)),
        (limits, seen, torch.ones(3, dtype=torch.bool)),
    ]


def hacks(generator):
    seen = some_seen(generator)
    mixed = torch.tensor([True, False, True, False])
    rewards = torch.tensor([0.4, 9.5, 30.0, 0.2])
    every = torch.tensor([5.0, 7.0])
    return [
        (rewards, seen, mixed),
        (every, seen, torch.zeros(2, dtype=torch.bool)),
        (every / 10, seen + 4.0, torch.tensor([True, False])),
    ]


GUARDED = Exercise(
    id="12.guarded",
    title="a reward that can't be hacked that way",
    minutes=8,
    rule=(
        "`rewards` (B,) is what a reward model says of B texts; `seen` (N,) is what it said of "
        "the texts that it learned from; `stories` (B,) is true where a program found a "
        "story. Return a tensor (B,): each reward, but never above the highest of `seen` and "
        "never below its lowest. A text that is no story gets the lowest of `seen`."
    ),
    reference=align.guarded,
    checks=(
        Check(
            "stories", 1, "keeps rewards within what was seen",
            "`rewards.clamp(low, high)` keeps each number between two others.",
            agrees(text_by_text, honest_texts, GUARD_MISTAKES),
        ),
        Check(
            "no stories", 2, "gives a text that is no story the lowest reward seen",
            "`torch.where(condition, a, b)` takes from a where the condition is true.",
            agrees(text_by_text, hacks, GUARD_MISTAKES),
        ),
    ),
    wrong=GUARD_MISTAKES,
)  # fmt: skip

EXERCISES = (MASK_PROMPT, BRADLEY_TERRY, LEAVE_ONE_OUT, LEASHED, DPO, GUARDED)
