"""The record's benchmark: how fast a small GPT learns TinyShakespeare, from a cold start.

The peer is a plain recipe at nanoGPT's published CPU setting (4 layers × 128 channels,
context 64, batch 12, 2,000 steps, AdamW at 1e-3 with a cosine to 1e-4), run by our own
trainer, which makes it faster than it was; and the same as published, in plain_gpt's
model and loop. Every run is a process of its own, timed from
its start until the loss on the whole validation split is known. What else is measured:
the fast recipe after 60 and 180 seconds, and what each of its ingredients buys.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from unittest.mock import patch

from tests.benchmarks import Failed, bar, clock, ratio

GOAL = 1.90  # nats a character, on the whole validation split
PLAIN = {"steps": 2_000, "batch": 12, "context": 64, "rate": 1e-3, "warmup": 100}
FAST = {"batch": 24, "context": 64, "rate": 1e-2, "muon": 0.03, "warmup": 10}
STEPS = 120  # that the fast recipe needs for the goal, whatever the seed
LONG = {"batch": 16, "context": 128}  # for runs of minutes
ENDING = 1.5  # seconds for a process to start and to end
LEFT_OUT = ("nothing", "Muon", "mixing", "rotary positions", "squared ReLU", "all")


def measure(full: bool) -> None:
    """Print the race to the goal; `full` takes five rounds, and all the rest."""
    race(5 if full else 1)
    if full:
        for seconds in (60, 180):
            losses = [run("fast", seed=seed, seconds=seconds) for seed in (0, 1, 2)]
            found = ", ".join(
                f"{one['loss']:.3f} ({one['steps']:,} steps, {one['wall']:.0f} s)"
                for one in losses
            )
            print(f"  after {seconds} s in all, three seeds: {found}", flush=True)
        for part in LEFT_OUT:
            one = run("fast", steps=800, without=part)
            print(f"  800 steps without {part}: {one['loss']:.3f}", flush=True)


def race(rounds: int) -> None:
    """The fast recipe, the plain one and the published one in turn, to the goal."""
    results = {"fast": [], "plain": [], "published": []}
    with bar(3 * rounds, "to the goal") as progress:
        for seed in range(rounds):
            for name, found in results.items():
                found.append(run(name, seed=seed))
                progress.update()
    for name, found in results.items():
        walls = [one["wall"] for one in found]
        losses = ", ".join(f"{one['loss']:.3f}" for one in found)
        steps, weights = found[0]["steps"], found[0]["weights"]
        print(
            f"  {name}: {clock(min(walls))}–{clock(max(walls))}, {steps} steps, ",
            end="",
        )
        print(f"{weights:,} weights, {found[0]['memory']:,.0f} MB; loss {losses}")
    walls = {name: [one["wall"] for one in found] for name, found in results.items()}
    for name in ("plain", "published"):
        said = ratio(walls["fast"], walls[name])
        print(f"  the fast recipe beside the {name} one: {said}", flush=True)


def run(name: str, **settings: int | str) -> dict:
    """One run in a process of its own; wall in seconds, from its start to its end."""
    words = [sys.executable, "-m", "tests.benchmarks.record", name]
    words += [f"--{key}={value}" for key, value in settings.items()]
    start = time.perf_counter()
    answer = subprocess.run(words, capture_output=True, text=True)
    wall = time.perf_counter() - start
    if answer.returncode:
        raise Failed(f"{name} did not train: {answer.stderr.strip()[-300:]}")
    return {**json.loads(answer.stdout.splitlines()[-1]), "wall": wall}


# In the process of its own ------------------------------------------------------------


def main(args: argparse.Namespace) -> dict:
    """Train as asked; the loss on the whole validation split."""
    start = time.perf_counter()
    import resource

    import torch

    from course_lib import data, devices, fast_gpt, tokenizer
    from course_lib.gpt import GPT, GPTConfig, gelu
    from course_lib.train import TrainConfig, train

    text = data.text("shakespeare").text
    encoding = tokenizer.Characters.train(text)
    ids = torch.tensor(encoding.encode(text))
    train_ids, val_ids = data.split(ids)
    if args.name == "published":
        return published(train_ids, val_ids, encoding.vocabulary, args.seed)
    settings = PLAIN if args.name == "plain" else {"steps": STEPS, **FAST}
    config = TrainConfig(**settings, seed=args.seed, every=10**9)
    if args.seconds:
        config = replace(config, **(LONG if args.seconds > 30 else {}))
    if args.steps:
        config = replace(config, steps=args.steps)
    config = replace(
        config,
        **{
            name: vars(args)[name]
            for name in ("rate", "muon", "batch", "context", "warmup")
            if vars(args)[name] is not None
        },
    )
    if args.without in ("Muon", "all"):
        config = replace(config, muon=0.0, rate=3e-3)
    shape = GPTConfig(encoding.vocabulary, config.context, 4, 128, 4)
    parts = {
        "mixing": ("mixed", lambda x, share: x),
        "rotary positions": ("rotate", lambda x, turn: x),
        "squared ReLU": ("squared_relu", gelu),
    }

    def new(kind: type):
        return kind(shape, generator=devices.generator(args.seed))

    kind = GPT if args.name == "plain" or args.without == "all" else fast_gpt.FastGPT
    with ExitStack() as stack:
        if args.without in parts:
            name, instead = parts[args.without]
            stack.enter_context(patch.object(fast_gpt, name, instead))
        if args.seconds:  # the schedule must know how many steps there will be
            left = args.seconds - (time.perf_counter() - start)
            trial = replace(config, steps=20, every=5)
            config = replace(
                config, steps=steps_in(left, new(kind), train_ids, val_ids, trial)
            )
        model = new(kind)
        history = train(model, train_ids, val_ids, config, at="cpu", bar=False)
    return {
        "loss": history.validation[-1][1],
        "steps": config.steps,
        "seconds": history.seconds,
        "weights": sum(weight.numel() for weight in model.parameters()),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }


def published(train_ids, val_ids, vocabulary: int, seed: int) -> dict:
    """nanoGPT's recipe for a laptop, in plain_gpt's model and loop."""
    import resource

    import torch

    from course_lib.train import evaluate
    from tests.benchmarks import plain_gpt

    torch.manual_seed(seed)
    recipe, context, start = plain_gpt.Recipe(), PLAIN["context"], time.perf_counter()
    model = plain_gpt.PlainGPT(plain_gpt.Shape(vocabulary, context, 4, 128, 4, False))
    optimizer = plain_gpt.optimizer(model, recipe)
    places = torch.arange(context + 1)
    for step in range(recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = plain_gpt.rate_at(step, recipe)
        begin = torch.randint(len(train_ids) - context, (recipe.batch, 1))
        rows = train_ids[begin + places]  # (B, T + 1)
        plain_gpt.step(model, optimizer, rows[:, :-1], rows[:, 1:])
    return {
        "loss": evaluate(model, val_ids, context),
        "steps": recipe.steps,
        "seconds": time.perf_counter() - start,
        "weights": sum(weight.numel() for weight in model.parameters()),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }


def steps_in(seconds: float, model, train_ids, val_ids, trial) -> int:
    """How many steps fit into so many seconds, with a look at all that is unseen.

    Judged by the middle of a trial's stretches, the first left out as it is slow to
    start; a twentieth is left for a machine that slows down.
    """
    from course_lib.train import evaluate, train

    start, clocks, part = time.perf_counter(), [0.0], val_ids[:20_000]
    few = val_ids[: trial.context + 2]
    train(
        model,
        train_ids,
        few,
        trial,
        at="cpu",
        watch=lambda so_far: clocks.append(so_far.seconds),
        bar=False,
    )
    stretches = [after - before for before, after in zip(clocks[1:], clocks[2:])]
    middle = time.perf_counter()
    evaluate(model, part, trial.context)
    now = time.perf_counter()
    look = (now - middle) * len(val_ids) / len(part)
    left = seconds - (now - start) - look - ENDING
    return max(1, int(left / statistics.median(stretches) * trial.every * 0.95))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=("plain", "fast", "published"))
    parser.add_argument("--without", default="nothing", choices=LEFT_OUT)
    for number in ("seed", "seconds", "steps"):
        parser.add_argument(f"--{number}", type=int, default=0)
    for number in ("batch", "context", "warmup"):
        parser.add_argument(f"--{number}", type=int)
    for number in ("rate", "muon"):
        parser.add_argument(f"--{number}", type=float)
    print(json.dumps(main(parser.parse_args())))
