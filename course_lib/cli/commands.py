"""The commands that need torch: train, sample, chat.

`__main__` comes here where there are packages.
"""

import argparse
import contextlib
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path

import torch
from tqdm import tqdm

from course_lib import (
    checkpoints,
    data,
    devices,
    distributed,
    fast_gpt,
    files,
    kv_cache,
    llama,
    pretrained,
    sampling,
    scales,
    tokenizer,
)
from course_lib.cli import fast_decode, page
from course_lib.errors import Problem
from course_lib.fast_gpt import FastGPT
from course_lib.gpt import GPT, GPTConfig
from course_lib.train import History, TrainConfig, check_folder, train

SOME = 60  # beginnings of lines that a checkpoint keeps
# Characters. Lesson 10 finds some twelve a weight where compute is spent best; read ten
# times, 1.1 million of them feed the 0.9 million weights of `cpu`, 0.2 million the 0.2 of
# `tiny`. In between a text is short or not.
SHORT = 500_000
RISEN = 0.02  # nats; two looks differ by less because they read other parts of a text
READINGS = 10  # of a text: more, and a small model begins to learn it by heart
FAST = {"rate": 1e-2, "muon": 0.03, "warmup": 20}  # what the fast recipe changes


@contextlib.contextmanager
def problems():
    """Turn what the library refuses into a Problem: one class of error for people."""
    try:
        yield
    except ValueError as error:
        raise Problem(str(error)) from error
    except torch.OutOfMemoryError as error:
        raise Problem(
            "The device's memory is full: give a smaller --batch or --context, or read "
            "a batch in parts with --accumulate 2."
        ) from error


@problems()
def run_train(args: argparse.Namespace) -> int:
    """`train`: a text in, a run's folder out; goes on with an old run if asked."""
    at = place(args)
    name = f"runs/{Path(args.data).stem}-{args.scale or 'cpu'}"
    folder = files.path(args.out or name)
    # What is odd is said now, not after a long text has been read.
    settings(args, scale_of(args), 1)
    check_folder(folder, args.resume)
    known = checkpoints.known(folder) if args.resume else None
    text = data.text(args.data)
    if known is None:
        encoding = learn_tokens(text.text, args.tokens, args.vocabulary)
    else:
        encoding = pretrained.encoding_of(known)
    ids = torch.tensor(encoding.encode(text.text))
    train_ids, val_ids = data.split(ids)
    starts, val_starts = (
        lines(ids, encoding, len(train_ids)) if args.lines else (None, None)
    )
    scale = scale_of(args, len(text.text))
    size = pretrained.vocabulary(encoding)
    shape, config = settings(args, scale, size, len(train_ids))
    data.check(val_ids, config.batch, config.context)  # before a model takes memory
    make = FastGPT if args.fast else GPT
    model = make(shape, generator=devices.generator(config.seed))
    team, _ = distributed.init(at)
    say = speaker(args.json and team.first, not args.json and team.first)
    say(
        f"{text.origin}; {len(train_ids):,} tokens to train on, {len(val_ids):,} to "
        f"validate. {pretrained.parameters(model):,} weights on {devices.describe(at)}, "
        f"{devices.precision(at)}. Checkpoints: {folder}\n"
        f"{readings(args, scale, config, len(train_ids))}",
        {"text": text.origin, "train_tokens": len(train_ids), "folder": str(folder)},
    )
    facts = {"text": text.origin, "begins": beginnings(train_ids, encoding)}
    about = pretrained.about(model, encoding, facts)
    try:
        history = train(
            model, train_ids, val_ids, config, at, folder, resume=args.resume,
            watch=watcher(config, say), about=about, bar=not args.json,
            starts=starts, val_starts=val_starts,
            shard=args.shard, compiled=args.compile,
        )  # fmt: skip
    except KeyboardInterrupt:
        say(f"\n{stopped(folder)}", {})  # a bar of under a second leaves its line open
        return 130
    finally:
        distributed.destroy()
    if found := named_best(folder, asdict(history)):
        say(f"\n{found}", {})
    say(f"\nDone. Hear it: {files.words('sample', '--checkpoint', folder)}", {})
    return 0


def lines(ids: torch.Tensor, encoding, kept: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Where lines begin among the first `kept` ids, and in the rest, counted anew.

    Raises Problem for a text of one line.
    """
    every = line_starts(ids, encoding)
    if len(every) == 1:
        raise Problem(
            "The text has no line ends, so it is one line: leave --lines out."
        )
    return every[every < kept], every[every >= kept] - kept


def line_starts(ids: torch.Tensor, encoding) -> torch.Tensor:
    """Where lines begin among ids: at 0, and after every token that ends a line.

    A line's end is "\\n", or in a text that has none "\\r", as old Macs wrote.
    """
    said = {id: encoding.decode([id]) for id in ids.unique().tolist()}
    for end in "\n\r":
        ends = torch.tensor([id for id, text in said.items() if text.endswith(end)])
        if len(ends):
            break
    first = torch.zeros(1, dtype=torch.long)
    return torch.cat([first, torch.isin(ids, ends).nonzero()[:, 0] + 1])


def beginnings(ids: torch.Tensor, encoding) -> list[str]:
    """What lines of a text begin with: the first tokens of some, evenly chosen."""
    starts = line_starts(ids, encoding)
    starts = starts[starts < len(ids)]
    some = starts[:: max(1, len(starts) // SOME)]
    words = [encoding.decode([id]) for id in ids[some].tolist()]
    return [word for word in words if word.strip() and "�" not in word]


def place(args: argparse.Namespace) -> torch.device:
    """The device that the command line names, else the best one here."""
    return devices.named(args.device) if args.device is not None else devices.best()


def watcher(config: TrainConfig, say: Callable) -> Callable[[History], None]:
    """What `train` calls after each look: it says how far the run is."""

    def watch(history: History) -> None:
        step, loss = history.validation[-1]
        recent = statistics.fmean(history.losses[-config.every :])
        speed = step * config.batch * config.context / max(history.seconds, 1e-9)
        say(
            f"step {step:,}: validation {loss:.3f}, training {recent:.3f}, "
            f"{speed:,.0f} tokens/s",
            {"step": step, "validation": loss, "training": recent, "speed": speed},
        )

    return watch


def stopped(folder: Path) -> str:
    """What to say after Ctrl-C: a second one may have come before the first was heard."""
    kept = checkpoints.steps(folder)
    if not kept:
        return "Stopped before anything was saved: the same command starts anew."
    return f"Stopped; saved in {kept[-1]}. Go on with the same command and --resume."


def named_best(folder: Path, history: dict) -> str:
    """Which checkpoint had the lowest validation loss, if the last one's is higher."""
    looks = history["validation"]
    step, lowest = min(looks, key=lambda look: look[1], default=(0, 0))
    if not looks or looks[-1][1] - lowest < RISEN:
        return ""
    name = f"step-{step:08}"
    return (
        f"The validation loss was lowest at {name}, which is kept; the steps after it "
        f"learnt the text by heart. To hear it: "
        f"{files.words('sample', '--checkpoint', folder / name)}"
    )


def readings(
    args: argparse.Namespace, scale: scales.Scale, config: TrainConfig, tokens: int
) -> str:
    """How often a run reads its text, and what that leads to: said beforehand."""
    times = config.steps * config.batch * config.context / tokens
    said = f"{config.steps:,} steps read the text {times:.1f} times."
    if scale.shape.layers < scales.SCALES[scale.name].shape.layers:
        said = f"A short text suits a small model; --scale cpu is larger. {said}"
    usual = scale.run.steps
    if args.steps is None and config.steps < usual:
        return (
            f"{said} (The scale's {usual:,} would read it {times * usual / config.steps:.0f} "
            "times, and the model would learn it by heart. --steps names another number.)"
        )
    if times > READINGS:
        said += " That is often: the model will learn it by heart, and the validation "
        said += f"loss will rise. --steps {enough(config, tokens):,} reads it {READINGS} times."
    return said


def enough(config: TrainConfig, tokens: int) -> int:
    """The steps that read a text READINGS times, and at least a few."""
    return max(50, READINGS * tokens // (config.batch * config.context))


def scale_of(args: argparse.Namespace, characters: int = sys.maxsize) -> scales.Scale:
    """The scale that is asked for; if none is, `cpu`, for a short text with a small model."""
    if args.scale or characters >= SHORT:
        return scales.SCALES[args.scale or "cpu"]
    small, usual = scales.SCALES["tiny"], scales.SCALES["cpu"]
    shape = replace(small.shape, context=usual.shape.context)
    return replace(usual, shape=shape, run=replace(usual.run, rate=small.run.rate))


def settings(
    args: argparse.Namespace, scale: scales.Scale, size: int, tokens: int = sys.maxsize
) -> tuple[GPTConfig, TrainConfig]:
    """The scale's numbers, with those that the command line gives instead.

    If it gives no steps, a text of few tokens is read READINGS times and no more.
    """
    shape, config = scale.shape, scale.run
    config = replace(config, **FAST) if args.fast else config
    given = {
        name: vars(args)[name]
        for name in ("steps", "batch", "context", "rate", "muon", "every", "seed")
        if vars(args)[name] is not None
    }
    config = replace(config, accumulate=args.accumulate, **given)
    steps = enough(config, tokens)
    if "steps" not in given and steps < config.steps:
        every = config.every if "every" in given else max(1, steps // 6)
        warmup = min(config.warmup, steps // 10)
        config = replace(
            config, steps=steps, warmup=warmup, every=min(every, config.every)
        )
    if config.muon and args.shard:
        raise Problem(
            "Muon turns whole matrices, and --shard spreads them over processes: add "
            "--muon 0, or leave --shard out."
        )
    return replace(shape, vocabulary=size, context=config.context), config


def learn_tokens(text: str, kind: str, size: int):
    """A tokenizer for a text: its characters, byte-pair encoding learnt on it, GPT-2's."""
    if kind == "gpt2":
        return tokenizer.gpt2()
    if kind == "bpe":
        return tokenizer.Tokenizer(tokenizer.train(text, size))
    return tokenizer.Characters.train(text)


def speaker(as_json: bool, as_text: bool):
    """A function that says a sentence to people, or facts to machines, or nothing."""

    def say(sentence: str, facts: dict) -> None:
        if as_json and facts:
            print(json.dumps(facts), flush=True)
        elif as_text:
            tqdm.write(sentence, file=sys.stderr)  # above the bar, not into it

    return say


@problems()
def run_sample(args: argparse.Namespace) -> int:
    """`sample`: what a checkpoint writes, streamed."""
    sampler, generator = sampler_of(args), devices.generator(args.seed)
    model, encoding, known = pretrained.trained(args.checkpoint, place(args))
    prompt = args.prompt or beginning(known, generator)
    ids = first_ids(prompt, encoding)
    limit = writable(len(ids), args.length, model.config.context)
    step = sample_step(model, encoding, ids, args.weights)
    new = sampling.write(model, ids, sampler, limit, generator, step)
    text = pieces(new, encoding)
    first = next(text, "")  # what is wrong is said before anything is written
    print(prompt + first, end="", flush=True)
    for piece in text:
        print(piece, end="", flush=True)
    print()
    if limit < args.length:
        context = model.config.context
        print(f"(The model's context of {context:,} tokens is full.)", file=sys.stderr)
    return 0


def beginning(known: dict, generator: torch.Generator) -> str:
    """How a line of the text begins that a model was trained on; nothing if it is lost."""
    words = known.get("begins")
    if not words:
        return ""
    return words[int(torch.randint(len(words), (1,), generator=generator))]


def first_ids(prompt: str, encoding) -> list[int]:
    """A prompt's ids; for an empty one that of a new line, or of the first character."""
    is_characters = isinstance(encoding, tokenizer.Characters)
    if not prompt and is_characters and "\n" not in encoding.ids:
        return [0]
    return encoding.encode(prompt or "\n")


def writable(read: int, length: int, context: int) -> int:
    """How many of `length` tokens can be written after `read`: until the context is full.

    Raises Problem for a negative length, or if the prompt alone is more than the context.
    """
    if length < 0:
        raise Problem(f"The length is {length}; give a whole number from 0.")
    if read > context:
        raise Problem(
            f"The prompt is {read:,} tokens and this model can read {context:,}: give a "
            "shorter one."
        )
    return min(length, context + 1 - read)


def sample_step(model, encoding, ids: list[int], form: str) -> Callable:
    """The decode_step to sample with; of another form than float32 where it is asked."""
    plain = fast_gpt if isinstance(model, FastGPT) else kv_cache
    if form == "float32":
        return plain.decode_step
    if isinstance(model, FastGPT):
        raise Problem("A fast model is small: it writes in float32 only.")
    return writer(model, encoding, None if form == "fastest" else form, ids)


def sampler_of(args: argparse.Namespace) -> sampling.Sampler:
    """The dials that the command line has; the others are off."""
    return sampling.Sampler(
        temperature=args.temperature, top_k=args.top_k, top_p=args.top_p
    )


def pieces(ids: Iterator[int], encoding) -> Iterator[str]:
    """Text as it comes: half a character, "�" so far, waits for its other half."""
    waiting, said = [], ""
    for id in ids:
        waiting.append(id)
        text = encoding.decode(waiting)
        whole = text.removesuffix("�")
        if len(whole) > len(said):
            yield whole[len(said) :]
        waiting, said = ([], "") if whole == text else (waiting, whole)
    if waiting:
        yield text[len(said) :]


@problems()
def run_page(args: argparse.Namespace) -> int:
    """`page`: a trained model on one HTML page."""
    out = files.path(args.out)
    if out.suffix.lower() not in (".html", ".htm"):
        raise Problem(f"{out} is no name of a page: let it end in .html.")
    size = page.write(args.checkpoint, out, args.precision, args.title, args.prompt)
    print(f"{out}: {size / 1e6:.1f} MB. Open it in a browser; it needs no network.")
    return 0


# Chat -------------------------------------------------------------------------------

START, END = "<|im_start|>", "<|im_end|>"
SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
ROOM = 512  # tokens kept free for an answer


@problems()
def run_chat(args: argparse.Namespace) -> int:
    """`chat`: talk with the real LLM; an empty line, Ctrl-D or Ctrl-C there ends it."""
    sampler, generator = sampler_of(args), devices.generator(args.seed)
    at = place(args)
    print("Loading SmolLM2 …", file=sys.stderr, flush=True)
    model, encoding = pretrained.smollm2(at)
    step = writer(model, encoding, args.weights, turn("system", SYSTEM, encoding))
    print("Ask something. An empty line ends it.", file=sys.stderr, flush=True)
    context, memory = model.config.context, Memory(model, step)
    turns: list[tuple[str, str]] = []
    end = encoding.encode(END, allowed_special={END})[0]
    while question := ask():
        try:
            ids, lost = script(turns, question, encoding, context - ROOM)
        except Problem as problem:
            print(problem)
            continue
        if lost:
            print(f"(The talk no longer fits; forgotten at its start: {lost} turns.)")
            del turns[:lost]
        new = sampling.write(model, ids, sampler, ROOM, generator, memory.step)
        turns.append((question, speak(pieces(until(new, end), encoding))))
    return 0


def writer(model, encoding, form: str | None, ids: list[int]) -> Callable:
    """The decode_step to write with: of the form asked for, else of the fastest here.

    On the CPU a trial of half a second after ids finds that one, and says what it changes.
    """
    if not model.embedding.weight.is_cpu:
        if form not in (None, "float32"):
            raise Problem(f"{form} weights are for the CPU: add --device cpu.")
        return (kv_cache if isinstance(model, GPT) else llama).decode_step
    if form == "int8" and not fast_decode.in_32s(model):
        raise Problem("int8 wants rows of a multiple of 32: choose bfloat16.")
    if form:
        return fast_decode.decoder(model, form).step
    trials = fast_decode.on_trial(model, ids)
    print(fast_decode.verdict(trials, encoding.decode), file=sys.stderr, flush=True)
    return next(iter(trials.values())).decoder.step


def ask() -> str:
    """What the user types; nothing at the end of the input, or after Ctrl-C."""
    try:
        return input("\n> ").strip()
    except (EOFError, KeyboardInterrupt):
        print()
        return ""
    except UnicodeDecodeError as error:
        raise Problem("What came in is not text in UTF-8: type it anew.") from error


def speak(answer: Iterator[str]) -> str:
    """Print an answer as it comes, and give it; Ctrl-C cuts it off and no more."""
    said = ""
    try:
        for piece in answer:
            said += piece
            print(piece, end="", flush=True)
    except KeyboardInterrupt:
        print(" …", end="")  # the talk goes on
    print()
    return said


class Memory:
    """What the model has read of a talk, so that no turn is read twice.

    A turn's script begins as the one before it did. `step` is `decode_step` for
    sampling.write, but where a script differs from the last one, there it starts to read.
    """

    def __init__(self, model, decode_step: Callable | None = None):
        self.decode_step = decode_step or llama.decode_step
        self.cache = kv_cache.KVCache(len(model.blocks), model.config.context)
        self.known: list[int] = []  # ids whose keys and values the cache has

    def step(self, model, ids: torch.Tensor, cache) -> torch.Tensor:
        """ids (1, T): a whole script, or (1, 1) the next id → logits (1, V).

        The cache that comes along is not used: it lives no longer than one answer.
        """
        new = ids[0].tolist()
        if len(new) > 1:
            same = min(alike(self.known, new), len(new) - 1)  # one is read, at least
            self.known, new = self.known[:same], new[same:]
        self.cache.length = len(self.known)
        logits = self.decode_step(model, ids[:, -len(new) :], self.cache)
        self.known += new  # after the step: Ctrl-C may have cut it off
        return logits


def alike(one: list[int], other: list[int]) -> int:
    """How many ids two lists have in common at their beginning."""
    same = 0
    for a, b in zip(one, other):
        if a != b:
            break
        same += 1
    return same


def turn(who: str, text: str, encoding) -> list[int]:
    """One turn of the script; special tokens that the user types are plain text."""
    marked = {START, END}
    head = encoding.encode(f"{START}{who}\n", allowed_special=marked)
    tail = encoding.encode(f"{END}\n", allowed_special=marked)
    return [*head, *encoding.encode(text), *tail]


def script(
    turns: list[tuple[str, str]], question: str, encoding, room: int
) -> tuple[list[int], int]:
    """The talk so far as ids, and how many of its first turns had to be left out.

    The model reads a script (SmolLM2's chat template) that ends where it shall speak.
    Raises Problem if the question alone is longer than the room.
    """
    head = turn("system", SYSTEM, encoding)
    last = turn("user", question, encoding)
    last += encoding.encode(f"{START}assistant\n", allowed_special={START})
    if len(head) + len(last) > room:
        raise Problem(
            f"That is {len(last):,} tokens; the model can read {room - len(head):,} at "
            "once: ask something shorter."
        )
    pairs = [
        turn("user", asked, encoding) + turn("assistant", answered, encoding)
        for asked, answered in turns
    ]
    lost, rest = 0, room - len(head) - len(last)
    if sum(map(len, pairs)) > rest:
        # Half the room is freed at once: after a loss all that is left is read anew.
        while sum(map(len, pairs[lost:])) > rest // 2:
            lost += 1
    return [*head, *chain.from_iterable(pairs[lost:]), *last], lost


def until(ids: Iterator[int], end: int) -> Iterator[int]:
    """The ids before `end`."""
    for id in ids:
        if id == end:
            return
        yield id
