"""The writing benchmark: one token after the other, with a KV cache, beside transformers.

A model that writes alone reads all its weights for every token, so no loop can be faster
than memory is. How fast that is here is measured in the same rounds, by summing as many
bytes. Peak memory is that of fresh processes: this module, run by itself, is one of them.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from pydoc_data.topics import topics

import torch

from course_lib import gpt, kv_cache, llama, pretrained, quantized, sampling
from course_lib.cli import fast_decode
from course_lib.files import cache, sources
from tests.benchmarks import RUNS, Failed, alternating, seconds, show
from tests.benchmarks.pretrained import PROMPT, load_peer

SHORT, LONG = 32, 128  # tokens to write in each run; LONG with --full
READ = 16  # ids of the random model's prompt
JUDGED = 400  # tokens of real text by which int8 is judged
OURS, PEER, LIMIT = "ours", "transformers", "reading the weights"
EIGHT = {
    "ours, int8 weights": quantized.weights_only,
    "ours, int8 both": quantized.both,
}
STATUS = Path("/proc/self/status")  # Linux tells the peak of a process here
GREEDY = sampling.Sampler(temperature=0)


def measure(full: bool) -> None:
    """Print every measurement; `full` writes 128 tokens a run, not 32."""
    tokens = LONG if full else SHORT
    print(f"Peer: transformers {version('transformers')}, generate with its cache,")
    print(
        "the faster of its eager and its fused attention. All greedy, batch 1, float32"
    )
    print(
        "but for int8. The limit is the time to sum as many bytes as the weights have."
    )
    random_gpt2(tokens)
    the_real_llm(tokens)
    peaks()


def random_gpt2(tokens: int) -> None:
    """GPT-2 of 124 M, the same random weights for all."""
    from transformers import GPT2LMHeadModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    other = random_peer(GPT2LMHeadModel)
    with tempfile.TemporaryDirectory() as folder:
        other.save_pretrained(folder)
        model = pretrained.gpt2(Path(folder) / "model.safetensors")
    ids = torch.randint(50_257, (READ,), generator=torch.Generator().manual_seed(0))
    against(
        model,
        kv_cache.decode_step,
        other,
        ids.tolist(),
        tokens,
        "GPT-2 124M, random weights",
    )


def random_peer(kind: type):
    """transformers' GPT-2 with its own first weights."""
    from transformers import GPT2Config

    torch.manual_seed(0)
    return kind(GPT2Config()).eval()


def the_real_llm(tokens: int) -> None:
    """SmolLM2, from the same GGUF file; then what eight bits cost it."""
    from transformers import LlamaForCausalLM

    model, encoding = pretrained.smollm2()
    other = load_peer(LlamaForCausalLM, cache.fetch(sources.SMOLLM2))
    ids = encoding.encode(PROMPT)
    title = "SmolLM2-135M, the real LLM"
    forms = {f"ours, joined {form}": form for form in fast_decode.FORMS}
    more = {name: fast_decode.Decoder(model, form).step for name, form in forms.items()}
    times = against(model, llama.decode_step, other, ids, tokens, title, more)
    quickest = min(more, key=lambda name: statistics.median(times[name]))
    gain = statistics.median(a / b for a, b in zip(times[PEER], times[quickest]))
    print(f"  chat would choose {quickest}: {gain:.2f} times transformers")
    judge(model, encoding)


# Writing ----------------------------------------------------------------------------


def against(
    model,
    step: Callable,
    other,
    ids: list[int],
    tokens: int,
    title: str,
    more: dict[str, Callable] | None = None,
) -> dict[str, list[float]]:
    """Write with all in turn; print tokens a second, ratios, and the limit; the times.

    more: other steps for the same model, by name.
    """
    more = more or {}
    small = {name: quantized.int8(model, way) for name, way in EIGHT.items()}
    other.set_attn_implementation(faster_attention(other, ids))
    weights = torch.randn(quantized.nbytes(model) // 4)
    tasks = {
        OURS: lambda: ours(model, step, ids, tokens),
        PEER: lambda: theirs(other, ids, tokens),
        LIMIT: lambda: [weights.sum() for _ in range(tokens)],
    }
    for name, one in small.items():
        tasks[name] = lambda one=one: ours(one, step, ids, tokens)
    for name, other_step in more.items():
        tasks[name] = lambda one=other_step: ours(model, one, ids, tokens)
    print(f"\n{title}: {tokens} tokens after {len(ids)}")
    for name in (PEER, *EIGHT, *more):  # and a first run, which is slow
        print(f"  {name} writes {same(tasks[OURS](), tasks[name]())} as ours")
    times = alternating({name: lambda f=f: f for name, f in tasks.items()}, "writing")
    show(times, tokens, "tokens")
    print(f"  ours is at {share(times[OURS], times[LIMIT]):.0%} of the limit")
    for name, one in small.items():
        gain = statistics.median(a / b for a, b in zip(times[OURS], times[name]))
        fewer = quantized.nbytes(model) / quantized.nbytes(one)
        print(f"  {name}: {gain:.2f} times float32; {fewer:.2f} times fewer bytes")
    return times


def ours(model, step: Callable, ids: list[int], tokens: int) -> list[int]:
    """The course's loop."""
    return list(sampling.write(model, ids, GREEDY, tokens, decode_step=step))


def theirs(model, ids: list[int], tokens: int) -> list[int]:
    """transformers' generate, told not to stop early."""
    model.generation_config.eos_token_id = None
    with torch.inference_mode():
        written = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        )
    return written[0, len(ids) :].tolist()


def faster_attention(model, ids: list[int]) -> str:
    """Which of transformers' two kinds of attention writes faster here."""
    times = {}
    for kind in ("eager", "sdpa"):
        model.set_attn_implementation(kind)
        theirs(model, ids, 2)
        runs = [seconds(lambda: theirs(model, ids, 8)) for _ in range(RUNS)]
        times[kind] = statistics.median(runs)
    return min(times, key=times.get)


def same(text: list[int], other: list[int]) -> str:
    """How many of the first tokens two texts share, in words."""
    agree = 0
    while agree < len(text) and text[agree] == other[agree]:
        agree += 1
    return "the same tokens" if agree == len(text) else f"the same first {agree} tokens"


def share(taken: list[float], limit: list[float]) -> float:
    """How near to the limit: the median over rounds."""
    return statistics.median(least / time for time, least in zip(taken, limit))


# What eight bits cost ---------------------------------------------------------------


def judge(model, encoding) -> None:
    """Print how int8 reads a piece of Python's documentation, beside float32."""
    text = encoding.encode(topics["class"])[:JUDGED]
    ids, target = torch.tensor([text]), torch.tensor(text[1:])
    models = {OURS: model} | {n: quantized.int8(model, w) for n, w in EIGHT.items()}
    print(f"  On {len(target)} tokens of Python's documentation:")
    with torch.inference_mode():
        read = {name: one(ids)[0, :-1] for name, one in models.items()}  # (T - 1, V)
    for name, logits in read.items():
        loss = torch.nn.functional.cross_entropy(logits, target)
        equal = (logits.argmax(-1) == read[OURS].argmax(-1)).float().mean()
        print(f"  {name:<28}loss {loss:.3f}, same likeliest token {equal:.1%}")


# Memory, in processes of their own ----------------------------------------------------


def peaks() -> None:
    """Print the peak memory of fresh processes that build a model and write."""
    if not STATUS.is_file():
        print("\nPeak memory is read from Linux's /proc, which is not here.")
        return
    print("\nPeak memory of a process that writes with GPT-2 124M, libraries included")
    for name in (OURS, *EIGHT, PEER):
        words = [sys.executable, "-m", "tests.benchmarks.writing", name]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"{name} did not run: {done.stderr.strip()[-300:]}")
        before, most = json.loads(done.stdout.splitlines()[-1])
        print(f"  {name:<28}{most:>7,.0f} MB, {before:,.0f} MB of it before the model")
    print("  int8 is made from float32 weights, which it needs only until then.")


def peak() -> float:
    """The most memory this process has held so far, in MB."""
    # getrusage would not do: on Linux a child starts with its parent's peak.
    line = next(x for x in STATUS.read_text().splitlines() if x.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def lone(name: str) -> list[float]:
    """Build one model, write with it: the peak before and after, in MB."""
    ids = list(range(READ))
    if name == PEER:
        from transformers import GPT2LMHeadModel

        before = peak()
        theirs(random_peer(GPT2LMHeadModel), ids, SHORT)
        return [before, peak()]
    before = peak()
    model = gpt.GPT(gpt.GPT2_SMALL).eval().requires_grad_(False)
    if name in EIGHT:
        model = quantized.int8(model, EIGHT[name])
    ours(model, kv_cache.decode_step, ids, SHORT)
    return [before, peak()]


if __name__ == "__main__":
    print(json.dumps(lone(sys.argv[1])))
