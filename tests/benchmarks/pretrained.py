"""The real LLM's benchmark: converting, loading, a first prediction, writing.

The peer is `transformers` on the same GGUF file, in float32 too. Loading is measured in
fresh processes: this module, run by itself, is one of them.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks import RUNS, Failed, alternating, bar, show

PROMPT = "The capital of France is Paris, and the capital of Italy is"
TOKENS = 32  # to write
FIRST = "ours, the first time"
STEPS = ("import", "convert", "load", "predict")  # what a process of its own times


def measure(full: bool) -> None:
    """Print every measurement; `full` changes nothing here."""
    from course_lib import pretrained, tokenizer
    from course_lib.files import cache, sources

    gguf = cache.fetch(sources.SMOLLM2)
    sizes = [path.stat().st_size / 1e6 for path in (gguf, pretrained.converted())]
    tokenizer.smollm2_vocabulary()
    print(f"Model: SmolLM2-135M, GGUF {sizes[0]:.0f} MB, float32 {sizes[1]:.0f} MB")
    print(f"Peer: transformers {version('transformers')} on the same GGUF file")
    starting(gguf)
    writing(gguf)


# Starting, in processes of their own ------------------------------------------------


def ours() -> list[float]:
    """Import, convert if need be, load, predict; the time before and after each."""
    times = [time.perf_counter()]
    from course_lib import pretrained, sampling, tokenizer

    times.append(time.perf_counter())
    pretrained.converted()
    tokenizer.smollm2_vocabulary()
    times.append(time.perf_counter())
    model, tokens = pretrained.smollm2()
    times.append(time.perf_counter())
    sampling.next_token_probabilities(model, tokens.encode(PROMPT))
    return [*times, time.perf_counter()]


def peer() -> list[float]:
    """The same by transformers, which converts at every load, without its tokenizer."""
    times = [time.perf_counter()]
    import torch
    from transformers import LlamaForCausalLM

    from course_lib.files import cache, sources

    times += 2 * [time.perf_counter()]
    model = load_peer(LlamaForCausalLM, cache.folder() / sources.SMOLLM2.name)
    times.append(time.perf_counter())
    with torch.no_grad():
        model(torch.arange(13)[None], use_cache=False)  # as many ids as PROMPT has
    return [*times, time.perf_counter()]


def load_peer(kind: type, gguf: Path):
    """transformers' model from a GGUF file, in float32."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    model = kind.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    return model.eval()


def in_process(who: str, folder: Path) -> dict[str, float]:
    """Let a fresh process start a model from a cache folder: step → seconds."""
    there = {"COURSE_CACHE": str(folder), "COURSE_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
    words = [sys.executable, "-m", "tests.benchmarks.pretrained", who]
    answer = subprocess.run(
        words, env={**os.environ, **there}, capture_output=True, text=True
    )
    if answer.returncode:
        raise Failed(f"{who} did not start: {answer.stderr.strip()[-300:]}")
    return json.loads(answer.stdout.splitlines()[-1])


def cold(gguf: Path) -> dict[str, float]:
    """Ours in a cache that holds the GGUF file and nothing else."""
    with tempfile.TemporaryDirectory() as empty:
        copy = Path(empty) / gguf.name
        try:
            os.link(gguf, copy)
        except OSError:  # another disk
            shutil.copyfile(gguf, copy)
        return in_process("ours", copy.parent)


def starting(gguf: Path) -> None:
    """Processes of all three kinds in turn; print each step's times."""
    kinds = {
        "ours": lambda: in_process("ours", gguf.parent),
        "transformers": lambda: in_process("peer", gguf.parent),
        FIRST: lambda: cold(gguf),
    }
    steps = {name: [] for name in kinds}
    with bar(RUNS * len(kinds), "starting") as progress:
        for _ in range(RUNS):
            for name, start in kinds.items():
                steps[name].append(start())
                progress.update()
    show_starting(steps)


def show_starting(steps: dict[str, list[dict[str, float]]]) -> None:
    """Print the times of each kind of process, step by step and together."""
    print("\nStarting in a fresh process, no network; ours loads its tokenizer too")
    first = {FIRST: steps[FIRST]}
    steps = {name: steps[name] for name in steps if name != FIRST}
    print(" converting, once: from the GGUF file to float32, and the vocabulary")
    show(total(first, "convert"))
    print(" loading, imports excluded (transformers converts at every load)")
    show(total(steps, "convert", "load"))
    print(" loading, imports included")
    show(total(steps, "import", "convert", "load"))
    print(" the first prediction, once loaded")
    show(total(steps, "predict"))
    print(" from nothing to the first prediction")
    show(total(steps, *STEPS))
    show(total(first, *STEPS))


def total(steps: dict, *chosen: str) -> dict[str, list[float]]:
    """The sum of some steps of every process: name → seconds."""
    return {
        name: [sum(one[step] for step in chosen) for one in processes]
        for name, processes in steps.items()
    }


# Writing ----------------------------------------------------------------------------


def writing(gguf: Path) -> None:
    """Write greedily with both; the same tokens, one whole forward pass for each."""
    from course_lib import pretrained

    model, tokens = pretrained.smollm2()
    ids = tokens.encode(PROMPT)
    makers = writers(model, gguf, ids)
    texts = [make()() for make in makers.values()]
    same = "the same tokens" if texts[0] == texts[1] else "DIFFERENT tokens"
    print(f"\nWriting {TOKENS} tokens greedily after {len(ids)}: {same} from both")
    show(alternating(makers, "writing"), TOKENS, "tokens")
    print(
        "  Both read the whole text again for every token; the KV cache that ends this"
    )
    print("  is a later lesson's subject.")


def writers(model, gguf: Path, ids: list[int]) -> dict[str, Callable]:
    """Makers of functions that write TOKENS tokens: ours and the peer's."""
    from transformers import LlamaForCausalLM

    from course_lib import sampling

    other = load_peer(LlamaForCausalLM, gguf)
    greedy = sampling.greedy
    return {
        "ours": lambda: lambda: list(sampling.generate(model, ids, greedy, TOKENS)),
        "transformers": lambda: lambda: write(other, ids),
    }


def write(model, ids: list[int]) -> list[int]:
    """The plain loop around a transformers model, without its cache."""
    import torch

    whole = list(ids)
    with torch.no_grad():
        for _ in range(TOKENS):
            logits = model(torch.tensor([whole]), use_cache=False).logits  # (1, T, V)
            whole.append(int(logits[0, -1].argmax()))
    return whole[len(ids) :]


if __name__ == "__main__":
    done = {"ours": ours, "peer": peer}[sys.argv[1]]()
    print(json.dumps({step: b - a for step, a, b in zip(STEPS, done, done[1:])}))
