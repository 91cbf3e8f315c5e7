"""The trainer's benchmark: one training step beside other libraries', in float32.

Every library trains a model of GPT-2's architecture and the same five numbers, without
dropout, with cross-entropy, gradients clipped to length 1 and torch's fused AdamW. Peak
memory is measured in processes of their own: this module, run by itself, is one.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

from tests.benchmarks import RUNS, Failed, alternating, show

# vocabulary, context, layers, channels, heads; then the batch, and steps in a run
SHAPES = {
    "4 × 128 × 64, batch 12": ((65, 64, 4, 128, 4), 12, 20),
    "6 × 384 × 256, batch 16": ((65, 256, 6, 384, 6), 16, 1),
}
OURS, HF, LFS = "course_lib", "transformers", "llms-from-scratch"
PLAIN = {"nanoGPT's model, anew": True, "the same without biases": False}


def measure(full: bool) -> None:
    """Print each shape's tokens a second and peak memory; `full` takes nine runs."""
    names = [OURS, *PLAIN, *(name for name in (HF, LFS) if there(name))]
    for title, (shape, batch, steps) in SHAPES.items():
        print(f"\n{title}: {steps} steps a run")
        ready = {name: stepper(name, shape, batch) for name in names}
        for step in ready.values():
            step()
        makers = {name: repeated(step, steps) for name, step in ready.items()}
        times = alternating(makers, title, 9 if full else RUNS)
        show(times, batch * shape[1] * steps / 1000, "thousand tokens")
        for name in names:
            print(f"  peak memory, {name}: {peak(name, title):,.0f} MB")


def there(name: str) -> bool:
    """Whether a peer is installed; says how to install it if not."""
    try:
        print(f"Peer: {name} {version(name)}")
    except PackageNotFoundError:
        print(f"{name} is not installed: python -m pip install --no-deps {name}")
        return False
    return True


def repeated(step: Callable[[], None], steps: int) -> Callable[[], Callable]:
    """A maker of tasks, as `alternating` wants it."""

    def task() -> None:
        for _ in range(steps):
            step()

    return lambda: task


def stepper(name: str, shape: tuple, batch: int) -> Callable[[], None]:
    """A function that does one training step of a library."""
    import torch

    from tests.benchmarks import plain_gpt

    torch.manual_seed(0)
    ids = torch.randint(shape[0], (batch, shape[1] + 1))
    inputs, targets = ids[:, :-1].contiguous(), ids[:, 1:].contiguous()
    if name == OURS:
        return our_step(shape, inputs, targets)
    if name in PLAIN:
        model = plain_gpt.PlainGPT(plain_gpt.Shape(*shape, PLAIN[name]))
        optimizer = plain_gpt.optimizer(model, plain_gpt.Recipe(rate=1e-4))
        return lambda: plain_gpt.step(model, optimizer, inputs, targets)
    model = hf_model(shape) if name == HF else lfs_model(shape)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        logits = model(inputs)
        logits = logits.logits if name == HF else logits
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten()
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def our_step(shape: tuple, inputs, targets) -> Callable[[], None]:
    """What course_lib.train does between two looks."""
    import torch

    from course_lib.gpt import GPT, GPTConfig
    from course_lib.train import Run, TrainConfig, next_token_loss

    config = TrainConfig(batch=len(inputs), context=shape[1], rate=1e-4)
    run = Run(GPT(GPTConfig(*shape)).train(), config, torch.device("cpu"))

    def step() -> None:
        next_token_loss(run.model, inputs, targets).backward()
        run.set_rate(1.0)
        run.update()

    return step


def hf_model(shape: tuple):
    """transformers' GPT-2."""
    from transformers import GPT2Config, GPT2LMHeadModel

    vocabulary, context, layers, channels, heads = shape
    config = GPT2Config(
        vocab_size=vocabulary, n_positions=context, n_layer=layers, n_embd=channels,
        n_head=heads, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
        bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    return GPT2LMHeadModel(config).train()


def lfs_model(shape: tuple):
    """llms-from-scratch's GPT of chapter 4."""
    from llms_from_scratch.ch04 import GPTModel

    names = ("vocab_size", "context_length", "n_layers", "emb_dim", "n_heads")
    settings = dict(zip(names, shape))
    return GPTModel({**settings, "drop_rate": 0.0, "qkv_bias": True}).train()


def peak(name: str, title: str) -> float:
    """MB that a fresh process has held at most, after three steps."""
    words = [sys.executable, "-m", "tests.benchmarks.training", name, title]
    answer = subprocess.run(words, capture_output=True, text=True)
    if answer.returncode:
        raise Failed(f"{name} did not train: {answer.stderr.strip()[-300:]}")
    return json.loads(answer.stdout.splitlines()[-1])


if __name__ == "__main__":
    step = stepper(sys.argv[1], *SHAPES[sys.argv[2]][:2])
    for _ in range(3):
        step()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)
