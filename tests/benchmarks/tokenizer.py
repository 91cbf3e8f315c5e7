"""The tokenizer's benchmark: training and encoding, beside the textbook and Rust.

Peers: lesson 01's slow draft, Hugging Face's `tokenizers`, tiktoken, and the plain
`encode` that lesson 01 builds.
"""

import os
import random
import statistics
import string
from collections import Counter
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from pydoc_data.topics import topics
from time import process_time

import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from course_lib import tokenizer
from course_lib.files import cache, sources
from course_lib.notebooks import cells
from tests.benchmarks import Failed, alternating, bar, clock, seconds, show

SMALL, LARGE = 1_024, 4_096  # vocabularies
SLICES = (25_000, 50_000)  # characters that the textbook trainer is given
SLOW_RUNS = 2  # of the textbook trainer, on each slice
PLAIN = 100_000  # characters that the plain encode is given
LETTERS = 100_000  # in one chunk
QUICK_RUNS = 11  # of what takes under a second, where noise weighs more
PIECE = 1_000  # chunks in each piece of text that Rust may train on in parallel


def measure(full: bool) -> None:
    """Print every measurement; `full` lets the textbook read the whole text, once."""
    text, source = corpus()
    size = len(text.encode()) / 1e6
    print(f"Text: {source}, {len(text):,} characters, {size:.2f} MB")
    print(f"Peers: tokenizers {version('tokenizers')}, tiktoken {version('tiktoken')}")
    against_textbook(text, full)
    against_rust(text)
    encoding(text)
    long_chunks()


def corpus() -> tuple[str, str]:
    """A text and where it is from: TinyShakespeare, or Python's documentation."""
    folder = os.environ.get("COURSE_DATA")
    if not folder:
        return "\n".join(topics.values()), "Python's documentation"
    path = Path(folder).expanduser() / "tinyshakespeare.txt"
    if not path.is_file():
        raise Failed(
            f"COURSE_DATA is {folder}, where no {path.name} is; unset it to measure on "
            "Python's documentation."
        )
    return path.read_text(encoding="utf-8"), path.name


# Training ---------------------------------------------------------------------------


def textbook(tick: Callable[[], object]) -> Callable[[str, int], dict[bytes, int]]:
    """Lesson 01's slow draft; it counts all pairs once a merge, and then calls tick."""

    def ticking(pairs):
        tick()
        return Counter(pairs)

    names = ("split", "neighbours", "merge", "to_bytes")
    namespace = {name: vars(tokenizer)[name] for name in names}
    namespace["Counter"] = ticking
    exec(cells.cell(cells.paths(["01"])[0], "train-slow"), namespace)
    return namespace["train_slow"]


def same_merges(text: str, about: str) -> float:
    """Processor seconds of one textbook run; raises Failed if our merges differ."""
    learned = {}
    with bar(SMALL - 256, about) as progress:
        train = textbook(progress.update)
        taken = seconds(lambda: learned.update(train(text, SMALL)), process_time)
    if list(learned.items()) != list(tokenizer.train(text, SMALL).items()):
        raise Failed("The textbook algorithm and ours learned different merges.")
    return taken


def train_times(text: str, runs: int) -> list[float]:
    """Processor seconds of each of our runs to the small vocabulary."""
    return [
        seconds(lambda: tokenizer.train(text, SMALL), process_time) for _ in range(runs)
    ]


def against_textbook(text: str, full: bool) -> None:
    """Ours and the textbook algorithm to the small vocabulary, on slices."""
    print(f"\nTraining to {SMALL:,} tokens, beside the textbook algorithm")
    print("(target: 200 times faster on all of the text; in processor time, because a")
    print("run of a minute meets more of other programs' work than one of a second)")
    slow, ours, whole = {n: [] for n in SLICES}, {n: [] for n in SLICES}, []
    for _ in range(SLOW_RUNS):
        for length in SLICES:
            ours[length] += train_times(text[:length], 3)
            slow[length].append(same_merges(text[:length], f"{length:,} characters"))
            whole += train_times(text, 2)
    for length in SLICES:
        print(f" {length:,} characters, textbook {SLOW_RUNS} runs, same merges:")
        show_textbook(ours[length], slow[length])
    expected = extrapolate(slow, len(text), whole)
    if full:
        on_everything(text, expected)


def show_textbook(ours: list[float], slow: list[float], kind: str = "textbook") -> None:
    """Print our median, the textbook's, and their ratio."""
    mine, theirs = statistics.median(ours), statistics.median(slow)
    print(f"  {f'ours, {len(ours)} runs':<28}{clock(mine):>10}")
    print(f"  {kind:<28}{clock(theirs):>10}   ours: {theirs / mine:.0f} times faster")


def extrapolate(slow: dict, length: int, whole: list[float]) -> float:
    """Print what the textbook would need for the whole text, were its cost linear."""
    short, long = (statistics.median(slow[size]) for size in SLICES)
    print(f" Twice the text took the textbook {long / short:.2f} times as long")
    expected = long * length / SLICES[-1]
    print(f" All {length:,} characters; ESTIMATED from {SLICES[-1]:,}, as if linear:")
    show_textbook(whole, [expected], "textbook, an estimate")
    return expected


def on_everything(text: str, expected: float) -> None:
    """Run the textbook algorithm on the whole text, ours before and after it."""
    print(f" The same MEASURED, about {expected / 60:.0f} minutes, 1 run:", flush=True)
    before = train_times(text, 3)
    slow = same_merges(text, "the whole text")
    show_textbook(before + train_times(text, 3), [slow], "textbook, same merges")


def against_rust(text: str) -> None:
    """Ours and Hugging Face's trainer, to the large vocabulary."""
    print(f"\nTraining to {LARGE:,} tokens, all of the text; target: 3 times slower")
    several = pieces(text)
    theirs = {raw(token) for token in trained_by_rust(several).get_vocab()}
    shared = len(theirs & set(tokenizer.train(text, LARGE)))
    makers = {
        "ours": lambda: lambda: tokenizer.train(text, LARGE),
        "tokenizers, one string": lambda: lambda: trained_by_rust([text]),
        "tokenizers, in pieces": lambda: lambda: trained_by_rust(several),
    }
    show(alternating(makers, "training"))
    print(f"  tokens in common: {shared:,} of {LARGE:,} (ties are broken differently)")


def pieces(text: str) -> list[str]:
    """The text cut between chunks, so that Rust may work on all cores at once."""
    chunks = tokenizer.split(text)
    starts = range(0, len(chunks), PIECE)
    return ["".join(chunks[start : start + PIECE]) for start in starts]


def raw(token: str) -> bytes:
    """The bytes behind a token in GPT-2's visible alphabet."""
    return bytes(map(tokenizer.byte_of, token))


def trained_by_rust(texts: list[str]) -> tokenizers.Tokenizer:
    """A byte-level BPE that Hugging Face's trainer learned from some texts."""
    model = byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=LARGE,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    model.train_from_iterator(texts, trainer)
    return model


def byte_level(model: models.BPE) -> tokenizers.Tokenizer:
    """A model between GPT-2's way of cutting text and of showing bytes."""
    whole = tokenizers.Tokenizer(model)
    whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    whole.decoder = decoders.ByteLevel()
    return whole


# Encoding with GPT-2's ranks --------------------------------------------------------


def encoders() -> dict[str, Callable[[], Callable[[str], list[int]]]]:
    """Makers of fresh encoders, so that none of them remembers the run before."""
    ranks = tokenizer.gpt2_ranks()
    files = [str(cache.fetch(one)) for one in (sources.GPT2_IDS, sources.GPT2_MERGES)]

    def rust():
        whole = byte_level(models.BPE.from_file(*files))
        return lambda text: whole.encode(text).ids

    return {
        "ours": lambda: tokenizer.Tokenizer(ranks).encode,
        "tiktoken (Rust)": lambda: tokenizer.gpt2().encode,
        "tokenizers (Rust)": rust,
        "lesson 01's plain encode": lambda: lambda text: tokenizer.encode(text, ranks),
    }


def race(text: str, makers: dict, about: str) -> None:
    """Hold all ids against one another, then print how fast each encoder is."""
    every = {name: make()(text) for name, make in makers.items()}
    ids = every["ours"]
    for name, theirs in every.items():
        if theirs != ids:
            raise Failed(f"On {about}, {name} gives other ids than ours.")
    print(f" {about}: {len(text):,} characters, {len(ids):,} tokens, the same ids")
    timed = {name: bind(make, text) for name, make in makers.items()}
    show(alternating(timed, about, QUICK_RUNS), len(text.encode()) / 1e6)


def bind(make: Callable, text: str) -> Callable[[], Callable]:
    """A maker whose function needs no argument: it encodes this text."""

    def fresh():
        encode = make()
        return lambda: encode(text)

    return fresh


def encoding(text: str) -> None:
    """All encoders on the text; the plain one on a slice of it."""
    print("\nEncoding with GPT-2's 50,256 ranks, each run with an empty memory")
    makers = encoders()
    race(text[:PLAIN], makers, "a slice")
    del makers["lesson 01's plain encode"]
    race(text, makers, "all of the text")


def long_chunks() -> None:
    """Chunks with no spaces, where the plain way's n² steps would take for ever."""
    print(f"\nEncoding one chunk of {LETTERS:,} letters, no spaces")
    makers = encoders()
    del makers["lesson 01's plain encode"]
    race("a" * LETTERS, makers, "one letter")
    letters = random.Random(0).choices(string.ascii_lowercase, k=LETTERS)
    race("".join(letters), makers, "random letters")
