"""Hold a device against the CPU, one part of the course at a time.

A driver can compute wrong numbers without a word. Here the same sums are done twice: on
the CPU in float64, which is taken for the truth, and on the device in float32. Models are
small, their weights are random, nothing is fetched. `python -m course_lib doctor` prints
the differences and `pytest -m gpu` demands that they are rounding and no more. On the CPU
itself they tell what float32 alone is off by; that is where the tolerances come from.

T position, C channels, V vocabulary.
"""

import contextlib
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from course_lib import (
    align,
    devices,
    inside,
    kv_cache,
    llama,
    quantized,
    sampling,
    train,
    vectors,
)
from course_lib.fast_gpt import FastGPT
from course_lib.gpt import GPT, GPTConfig
from course_lib.llama import Llama, LlamaConfig
from course_lib.sampling import Sampler
from course_lib.train import TrainConfig
from course_lib.vectors import WordVectors

# What may differ, and why. On a CPU float32 is off by less than a tenth of this.
ONE_PASS = 1e-4  # sums of a hundred numbers, each rounded to a part in 16 million
TEN_STEPS = 2e-4  # a GPU adds gradients up in any order, and AdamW enlarges small ones
BRIEF = 2e-2  # bfloat16 keeps 8 bits, so each logit is rounded to a part in 256

SHAPE = GPTConfig(vocabulary=96, context=32, layers=2, channels=32, heads=4)
LLAMA = LlamaConfig(
    vocabulary=96,
    context=32,
    layers=2,
    channels=32,
    query_heads=4,
    key_value_heads=2,
    mlp_channels=64,
)
IDS = [(7 * i * i + 3 * i) % 96 for i in range(24)]  # a text that means nothing
TEXT = torch.tensor([(5 * i * i + i // 7) % 96 for i in range(400)])
TEN = TrainConfig(10, 4, 16, rate=3e-3, warmup=3, every=5)
TEN_FAST = TrainConfig(10, 4, 16, rate=1e-2, warmup=3, muon=0.02, every=5)
GREEDY = Sampler(0)
CHANCE = Sampler(0.8, top_k=40, top_p=0.9, min_p=0.02, repetition_penalty=1.1)


@dataclass(frozen=True)
class Comparison:
    """One thing that a device must compute as the CPU does."""

    name: str
    modules: tuple[str, ...]  # whose code does it
    tolerance: float  # the worst difference that is rounding
    values: Callable[[torch.device, torch.dtype], torch.Tensor]  # one row, see joined()


def difference(comparison: Comparison, at: torch.device) -> float:
    """The worst difference of a device, in float32, from the CPU in float64.

    Infinite if the device gives NaN, or another number of results. Whatever torch raises
    on the device, such as for an operation that it lacks, is raised here.
    """
    truth = comparison.values(torch.device("cpu"), torch.float64)
    found = comparison.values(at, torch.float32)
    if found.shape != truth.shape:
        return math.inf
    worst = (found - truth).abs().max().item()
    return math.inf if math.isnan(worst) else worst


# Parts ------------------------------------------------------------------------------


def joined(*results: torch.Tensor | list | float) -> torch.Tensor:
    """All results in one row of float64 on the CPU; ids are numbers like any other."""
    rows = [torch.as_tensor(one).cpu().double().flatten() for one in results]
    return torch.cat(rows)


def built(
    make: Callable, shape: GPTConfig | LlamaConfig, at: torch.device, dtype: torch.dtype
) -> nn.Module:
    """A small model on a device, with the same random weights wherever it is.

    They are larger than at the start of training: there heads look at everything alike,
    biases are zero, and a device that gets either wrong would not be found out.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = make(shape)
        for weight in model.parameters():
            weight += torch.randn(weight.shape) / math.sqrt(weight.shape[-1])
    return model.to(at, dtype).eval()


# What is compared -------------------------------------------------------------------


def logits(make: Callable, shape, at: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """What a model says after every position of a text."""
    return joined(inside.logits(built(make, shape, at, dtype), IDS))


def eight_bits(at: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """The logits of eight-bit weights, multiplied as they are defined.

    They are rounded on the CPU for both: a number half-way between two whole ones may
    become either, and that is no mistake of a device.
    """
    model = built(GPT, SHAPE, torch.device("cpu"), torch.float32)
    small = quantized.int8(model, quantized.plain).to(at, dtype)
    return joined(inside.logits(small, IDS))


def looked_into(
    make: Callable, shape, at: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """All that the lessons read off the inside of a model."""
    model = built(make, shape, at, dtype)
    return joined(
        inside.attention_patterns(model, IDS),
        inside.residual_stream(model, IDS),
        inside.neurons(model, IDS),
        inside.logit_lens(model, IDS),
    )


def written(
    make: Callable,
    shape,
    step: Callable,
    sampler: Sampler,
    at: torch.device,
    dtype: torch.dtype,
) -> torch.Tensor:
    """The ids of a text written with a cache, and the logits that each was chosen by."""
    model, heard = built(make, shape, at, dtype), []

    def listening(*given) -> torch.Tensor:
        heard.append(step(*given))
        return heard[-1]

    chance = devices.generator(1)
    ids = list(sampling.write(model, IDS[:8], sampler, 16, chance, listening))
    return joined(ids, torch.cat(heard))


def looked_ahead(at: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Probabilities, a beam's texts and a tree of continuations."""
    model = built(GPT, SHAPE, at, dtype)
    texts = sampling.beam(model, IDS[:8], width=3, limit=6)
    tree = sampling.branches(model, IDS[:8], width=2, depth=3)
    return joined(
        sampling.next_token_probabilities(model, IDS, 0.7),
        sampling.log_probability(model, IDS),
        [ids for ids, _ in texts],
        [log_p for _, log_p in texts],
        [branch.id for branch in tree],
        [branch.probability for branch in tree],
    )


def pleasing(at: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Rewards, log-probabilities, and a policy's after one update towards the rewards."""
    policy, base = (built(GPT, SHAPE, at, dtype) for _ in range(2))
    ids = torch.tensor([IDS, IDS[::-1]], device=at)
    counts = align.counted(ids, IDS[9])
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        judge = align.RewardModel(base, end=IDS[9])
        judge.head.weight += torch.linspace(-1, 1, SHAPE.channels).to(at, dtype)
    rewards, base_log_p = judge(ids).detach(), align.token_log_p(base, ids).detach()
    optimizer = torch.optim.SGD(policy.parameters(), lr=0.01)
    log_p = (align.token_log_p(policy, ids) * counts).sum(1)
    align.update(policy, optimizer, align.leave_one_out(rewards), log_p)
    after = align.token_log_p(policy, ids).detach()
    pay = align.leashed(rewards, after, base_log_p, counts, 0.1)
    return joined(rewards, base_log_p, after, pay)


def word_vectors(at: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Rows looked up, compared and added; an analogy by itself and among many."""
    table = torch.randn(200, 16, generator=devices.generator(0)).to(at, dtype)
    ids = torch.tensor(IDS, device=at)
    asked = [(a, a + 1, a + 2) for a in range(20)]
    found = [vectors.analogy(table, *one) for one in asked]
    words = WordVectors([str(row) for row in range(200)], table)
    told = [tuple(map(str, (*one, row))) for one, row in zip(asked, found)]
    strangers = table[40:160].view(20, 6, 16)
    return joined(
        vectors.look_up(ids, table),
        vectors.cosine(table[:100], table[100:]),
        vectors.nearest(table[3], table, 8),
        vectors.direction(table, [(1, 2), (3, 4), (5, 6)]),
        vectors.skip_gram_loss(table[:20], table[20:40], strangers),
        found,
        vectors.hit_rate(words, told),
    )


def losses(
    make: Callable, config: TrainConfig, at: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """The losses of ten training steps, and of two looks at unseen text."""
    model = built(make, SHAPE, at, dtype)
    with torch.random.fork_rng(devices=[]):  # a step sets the seed for everything
        run = train.train(model, TEXT[:300], TEXT[300:], config, at, bar=False)
    return joined(run.losses, [loss for _, loss in run.validation])


def losses_in_float32(
    make: Callable, config: TrainConfig, at: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """The same, with nothing rounded further for the sake of time."""
    with devices.in_float32():
        return losses(make, config, at, dtype)


def losses_after_a_stop(
    make: Callable, config: TrainConfig, at: torch.device, dtype: torch.dtype
) -> torch.Tensor:
    """The losses of a run that is stopped after five steps and goes on from its file."""

    def stop(_) -> None:
        raise KeyboardInterrupt

    with (
        tempfile.TemporaryDirectory() as folder,
        torch.random.fork_rng(devices=[]),
        devices.in_float32(),
    ):
        words = (TEXT[:300], TEXT[300:], config, at, folder)
        with contextlib.suppress(KeyboardInterrupt):
            train.train(built(make, SHAPE, at, dtype), *words, watch=stop, bar=False)
        again = built(make, SHAPE, at, dtype)
        run = train.train(again, *words, resume=True, bar=False)
    return joined(run.losses, [loss for _, loss in run.validation])


RUN = ("train", "data", "optimizers", "distributed")

COMPARISONS = (
    Comparison("logits of a GPT", ("gpt",), ONE_PASS, partial(logits, GPT, SHAPE)),
    Comparison(
        "logits of a Llama", ("llama",), ONE_PASS, partial(logits, Llama, LLAMA)
    ),
    Comparison(
        "logits of a FastGPT", ("fast_gpt",), ONE_PASS, partial(logits, FastGPT, SHAPE)
    ),
    Comparison("logits of eight-bit weights", ("quantized",), ONE_PASS, eight_bits),
    Comparison(
        "the inside of a GPT", ("inside",), ONE_PASS, partial(looked_into, GPT, SHAPE)
    ),
    Comparison(
        "the inside of a Llama",
        ("inside",),
        ONE_PASS,
        partial(looked_into, Llama, LLAMA),
    ),
    Comparison(
        "a GPT's likeliest text, with a cache",
        ("sampling", "gpt", "kv_cache"),
        ONE_PASS,
        partial(written, GPT, SHAPE, kv_cache.decode_step, GREEDY),
    ),
    Comparison(
        "a Llama's text by chance, with a cache",
        ("sampling", "llama", "kv_cache"),
        ONE_PASS,
        partial(written, Llama, LLAMA, llama.decode_step, CHANCE),
    ),
    Comparison("beams and branches", ("sampling",), ONE_PASS, looked_ahead),
    Comparison("a reward, and a step towards it", ("align",), ONE_PASS, pleasing),
    Comparison("word vectors", ("vectors",), ONE_PASS, word_vectors),
    Comparison(
        "ten training steps of a GPT",
        RUN,
        TEN_STEPS,
        partial(losses_in_float32, GPT, TEN),
    ),
    Comparison(
        "ten steps of a FastGPT with Muon, stopped and resumed",
        (*RUN, "checkpoints"),
        TEN_STEPS,
        partial(losses_after_a_stop, FastGPT, TEN_FAST),
    ),
    Comparison(
        "ten training steps in the device's own precision",
        ("devices", *RUN),
        BRIEF,
        partial(losses, GPT, TEN),
    ),
)
