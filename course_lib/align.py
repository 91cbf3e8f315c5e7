"""From a text completer to an assistant: answers shown, preferences, a reward followed.

Built in lesson 12. Works with any GPT whose parts are named as in gpt.py, the learner's
own too. A story or an answer is a row of ids that ends with an id of its own; what stands
behind that is padding and never counts.

B batch, T position, C channels, V vocabulary.
Sources: Ouyang et al. 2022 (the three steps); Bradley & Terry 1952, Christiano et al. 2017
(a reward from preferences); Williams 1992 (the policy gradient); Kool et al. 2019 (the
others' mean as a baseline); Rafailov et al. 2023 (DPO).
"""

import copy
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import trange

from course_lib import devices
from course_lib.kv_cache import KVCache

IGNORED = -100  # a target that is no target: cross_entropy leaves it out

# Showing how: supervised fine-tuning --------------------------------------------------


def mask_prompt(prompt: list[int], answer: list[int]) -> tuple[list[int], list[int]]:
    """Inputs and targets that teach an answer, and not the prompt before it.

    Both are one shorter than prompt and answer together. A target is the id that comes
    next if that belongs to the answer, and IGNORED if it belongs to the prompt.
    """
    inputs = prompt + answer[:-1]
    targets = [IGNORED] * (len(prompt) - 1) + answer
    return inputs, targets


def batch(
    talks: list[tuple[list[int], list[int]]], fill: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs, masked targets and all targets of (prompt, answer) pairs: each (B, T).

    All targets are those of lesson 08, the prompt's too. Padding is IGNORED in both.
    """
    pairs = [mask_prompt(prompt, answer) for prompt, answer in talks]
    every = [(prompt + answer)[1:] for prompt, answer in talks]
    inputs = stacked([one for one, _ in pairs], fill)
    return inputs, stacked([one for _, one in pairs], IGNORED), stacked(every, IGNORED)


def stacked(rows: list[list[int]], fill: int) -> torch.Tensor:
    """Rows of ids as one tensor (B, T): short ones are filled up at their end."""
    longest = max(map(len, rows))
    return torch.tensor([row + [fill] * (longest - len(row)) for row in rows])


def target_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The mean loss over the targets that count: logits (B, T, V), targets (B, T)."""
    return F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED
    )


def exact(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Which answers a greedy writer gets right in every token: (B,), true or false.

    logits (B, T, V) of one pass are enough: where all tokens before are right, a writer
    would have read the same.
    """
    right = (logits.argmax(-1) == targets) | (targets == IGNORED)  # (B, T)
    return right.all(-1)


# Writing, and how likely it was -------------------------------------------------------


def write_rows(
    model: Callable,
    ids: torch.Tensor,
    end: int,
    length: int,
    generator: torch.Generator,
    decode_step: Callable | None = None,
) -> torch.Tensor:
    """Go on from prompts (B, T) by chance until each has ended: ids (B, at most length).

    Behind its first `end` a row is filled with `end`. decode_step as in sampling.write.
    """
    ids, where = ids.to(devices.where(model)), devices.where(model)
    cache = KVCache(len(model.blocks), length) if decode_step else None
    unread, over = ids, torch.zeros(len(ids), dtype=torch.bool, device=where)
    while ids.shape[1] < length and not over.all():
        if decode_step:
            logits = decode_step(model, unread, cache)  # (B, V)
        else:
            with torch.no_grad():
                logits = model(ids)[:, -1]
        shares = logits.float().softmax(-1).cpu()
        unread = torch.multinomial(shares, 1, generator=generator).to(where)  # (B, 1)
        unread[over] = end
        over = over | (unread[:, 0] == end)
        ids = torch.cat([ids, unread], 1)
    return ids


def counted(ids: torch.Tensor, end: int, prompt: int = 1) -> torch.Tensor:
    """Which tokens were chosen, not given and not padding: ids (B, T) → (B, T - 1).

    1.0 from place `prompt` up to the first `end`, with it; 0.0 elsewhere.
    """
    ended = (ids == end).cumsum(1) - (ids == end).long()  # ends before this place
    chosen = (ended == 0).float()
    chosen[:, :prompt] = 0.0
    return chosen[:, 1:]


def token_log_p(model: Callable, ids: torch.Tensor) -> torch.Tensor:
    """log p of every token but the first, given those before it: (B, T) → (B, T - 1)."""
    logits = model(ids[:, :-1])  # (B, T - 1, V)
    chosen = logits.gather(-1, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
    return chosen - logits.logsumexp(-1)


# What people like: a reward model ------------------------------------------------------


def bradley_terry(better: torch.Tensor, worse: torch.Tensor) -> torch.Tensor:
    """The mean of −log σ(better − worse) over pairs of rewards: (B,), (B,) → one number."""
    return -F.logsigmoid(better - worse).mean()


class RewardModel(nn.Module):
    """A language model that ends in one number in the place of the vocabulary's logits.

    Only its last layer, the norm and the new head learn: the layers below, which know how
    to read, stay as they are, and their output can be kept.
    """

    def __init__(self, model: nn.Module, end: int):
        super().__init__()
        self.end, self.body = end, copy.deepcopy(model).requires_grad_(False)
        self.body.blocks[-1].requires_grad_(True)
        self.body.norm.requires_grad_(True)
        weight = model.embedding.weight
        self.head = nn.Linear(weight.shape[1], 1, bias=False).to(weight)
        nn.init.zeros_(self.head.weight)

    @torch.no_grad()
    def lower(self, ids: torch.Tensor) -> torch.Tensor:
        """What the layers say that don't learn: ids (B, T) → (B, T, C)."""
        x = self.body.embed(ids)
        for block in self.body.blocks[:-1]:
            x = block(x)
        return x

    def upper(self, x: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """The reward, read where a text ends: (B, T, C) and ids (B, T) → (B,)."""
        x = self.body.norm(self.body.blocks[-1](x))
        # Where its end stands; a text that was cut off has none.
        last = (ids != self.end).sum(1).clamp(max=ids.shape[1] - 1)
        return self.head(x[torch.arange(len(ids)), last])[:, 0]

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """ids (B, T) → rewards (B,)."""
        return self.upper(self.lower(ids), ids)


def fit(
    judge: RewardModel,
    better: torch.Tensor,
    worse: torch.Tensor,
    steps: int,
    seed: int = 0,
    rate: float = 5e-4,
    size: int = 12,
    bar: bool = True,
) -> list[float]:
    """Teach a reward model which of two texts was picked, in place: the losses.

    better, worse (N, T): the ids of N pairs, those that were picked and the others.
    """
    learning = [weight for weight in judge.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=rate, weight_decay=0.0)
    # Once for all steps: these layers stay as they are.
    read = judge.lower(better), judge.lower(worse)
    generator, losses = devices.generator(seed), []
    for _ in trange(steps, unit="step", disable=not bar, delay=1):
        some = torch.randint(len(better), (size,), generator=generator)
        rewards = [
            judge.upper(x[some], ids[some]) for x, ids in zip(read, (better, worse))
        ]
        loss = bradley_terry(*rewards)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    judge.requires_grad_(False)
    return losses


# Following the reward -----------------------------------------------------------------


def leave_one_out(rewards: torch.Tensor) -> torch.Tensor:
    """Each reward less the mean of the others: (B,) → (B,)."""
    others = (rewards.sum() - rewards) / (len(rewards) - 1)
    return rewards - others


def leashed(
    rewards: torch.Tensor,
    log_p: torch.Tensor,
    base_log_p: torch.Tensor,
    counts: torch.Tensor,
    beta: float,
) -> torch.Tensor:
    """Rewards (B,) less β times how much likelier the policy finds its text than the base.

    log_p, base_log_p (B, T): log p of each token by the policy and by the base; counts
    (B, T): 1.0 for tokens of the text, 0.0 for the prompt and for padding.
    """
    drift = ((log_p - base_log_p) * counts).sum(1)  # (B,) log of p over base p
    return rewards - beta * drift


class Round(NamedTuple):
    """What one update of a policy has seen."""

    ids: torch.Tensor  # (B, T) the texts that it wrote
    rewards: torch.Tensor  # (B,) as the reward model gave them, without the leash
    drift: torch.Tensor  # (B,) log of p over the base's p


def update(
    policy: nn.Module,
    optimizer: torch.optim.Optimizer,
    advantages: torch.Tensor,
    log_p: torch.Tensor,
) -> None:
    """One step of the policy gradient: texts above the others become likelier.

    advantages (B,) carry no gradient; log_p (B,) of whole texts does.
    """
    loss = -(advantages * log_p).mean()
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
    optimizer.step()


def follow(
    policy: nn.Module,
    base: nn.Module,
    reward: Callable,
    prompts: Callable,
    end: int,
    beta: float,
    updates: int,
    rate: float = 6e-4,
    seed: int = 0,
    decode_step: Callable | None = None,
    bar: bool = True,
) -> Iterator[Round]:
    """Change a policy in place towards a reward, on a leash β; yields after each update.

    prompts(generator) gives the beginnings (B, T) of the texts that it is to write;
    reward(ids) their rewards (B,). Stop when you like: the policy is as far as it got.
    """
    optimizer = torch.optim.AdamW(policy.parameters(), lr=rate, weight_decay=0.0)
    for step in trange(updates, unit="update", disable=not bar, delay=1):
        chance = devices.generator(1_000_003 * seed + step)
        start, length = prompts(chance), policy.config.context
        ids = write_rows(policy, start, end, length, chance, decode_step)
        counts, log_p = counted(ids, end), token_log_p(policy, ids)
        with torch.no_grad():
            rewards, base_log_p = reward(ids), token_log_p(base, ids)
            pay = leashed(rewards, log_p.detach(), base_log_p, counts, beta)
            drift = ((log_p - base_log_p) * counts).sum(1)
        advantages = leave_one_out(pay)
        advantages = advantages / (advantages.std() + 1e-6)
        update(policy, optimizer, advantages, (log_p * counts).sum(1))
        yield Round(ids, rewards, drift)


def dpo(
    better: torch.Tensor,
    worse: torch.Tensor,
    base_better: torch.Tensor,
    base_worse: torch.Tensor,
    beta: float,
) -> torch.Tensor:
    """DPO's loss: a policy's log p of whole texts, the liked and the other, all (B,).

    −log σ(β · (how far the better one rose above the base − how far the worse one did)).
    """
    risen = (better - base_better) - (worse - base_worse)
    return -F.logsigmoid(beta * risen).mean()


def guarded(
    rewards: torch.Tensor, seen: torch.Tensor, stories: torch.Tensor
) -> torch.Tensor:
    """Rewards (B,) that no text beyond what the reward model has seen can raise.

    seen (N,): its rewards for the texts that it learned from. A reward above the highest
    of these counts as that one, below the lowest as that one; a text that is no story
    (stories (B,), true or false) gets the lowest.
    """
    within = rewards.clamp(seen.min(), seen.max())
    return torch.where(stories, within, seen.min())
