"""The command line's train, sample and chat, as a learner types them."""

import ast
import copy
import io
import itertools
import json
import os
import pickle
import re
import signal
import struct
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tqdm import tqdm

from course_lib import __main__ as command_line
from course_lib import checkpoints, llama, pretrained, sampling, scales, tokenizer
from course_lib.cli import commands, environment
from course_lib.cli.parser import parser
from course_lib.devices import generator
from course_lib.errors import Problem
from course_lib.files import ROOT, cache, sources
from course_lib.tiny_world import tiny_world

SMALL = ["--scale", "tiny", "--device", "cpu", "--batch", "4"]
SMALL += ["--context", "16", "--vocabulary", "300"]
RUN = [*SMALL, "--steps", "12", "--every", "4"]
TAMIL = "கணினி எழுதுகிறது 😀👩‍🚀 "


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A text file of the learner's own."""
    path = tmp_path_factory.mktemp("text") / "own.txt"
    stories = tiny_world(30, seed=0)
    path.write_text("".join(story.text for story in stories), encoding="utf-8")
    return path


def train(data, out, *words, run=RUN) -> int:
    """`train` in this process; its exit status."""
    command = ["train", *run, "--data", data, "--out", out, *words]
    return command_line.main([str(word) for word in command])


def sample(path, *words) -> int:
    """`sample` in this process; its exit status."""
    command = ["sample", "--device", "cpu", "--checkpoint", path, *words]
    return command_line.main([str(word) for word in command])


def refused(call, *words) -> str:
    """The one sentence, and the remedy, of the Problem that a command must raise."""
    with pytest.raises(Problem) as caught:
        call(*words)
    said = str(caught.value)
    assert said.endswith((".", "?", ".)")) and "\n" not in said and len(said) < 600
    return said


def process(*words, **more) -> subprocess.Popen:
    """`python -m course_lib …` as a process of its own."""
    paths = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    more["env"] = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    words = [sys.executable, *map(str, words)]
    return subprocess.Popen(words, **pipes, **more)


# train --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(own, tmp_path_factory):
    """The folder of a run that was never stopped."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert train(own, folder, "--json") == 0
    return folder


def test_train_says_what_it_does_on_stderr_and_keeps_checkpoints(
    own, tmp_path, capfd, whole
):
    assert train(own, tmp_path / "run") == 0
    out, err = capfd.readouterr()
    assert out == ""
    said = [line.rpartition("\r")[2] for line in err.split("\n")]
    first, reads, *looks, last = [
        line for line in said if line.strip() and "%|" not in line
    ]
    assert err.endswith(f"\n{last}\n")
    assert first.startswith("your file own.txt; ") and str(tmp_path / "run") in first
    assert reads == "12 steps read the text 0.1 times."
    assert [look.split(":")[0] for look in looks] == ["step 4", "step 8", "step 12"]
    assert f"sample --checkpoint {tmp_path / 'run'}" in last
    kept = [path.name for path in checkpoints.steps(tmp_path / "run")]
    assert kept == ["step-00000008", "step-00000012"]
    one, other = (checkpoints.load(folder) for folder in (tmp_path / "run", whole))
    assert one.record["history"]["losses"] == other.record["history"]["losses"]


def shorter(text: Path, folder: Path) -> Path:
    short = folder / "short.txt"
    short.write_text(text.read_text(encoding="utf-8")[:3_000], encoding="utf-8")
    return short


@pytest.mark.parametrize("steps", [None, 400])
def test_a_short_text_is_read_ten_times_or_a_warning_is_said(
    own, tmp_path, capfd, steps, monkeypatch
):
    given = {}

    def noted(model, train_ids, val_ids, config, *args, **kwargs):
        given.update(config=config)
        return commands.History()

    monkeypatch.setattr(commands, "train", noted)
    monkeypatch.setattr(commands, "named_best", lambda folder, history: "")
    words = [
        "--data",
        shorter(own, tmp_path),
        "--out",
        tmp_path / "run",
        "--scale",
        "tiny",
    ]
    words += [
        "--vocabulary",
        "300",
        "--device",
        "cpu",
        "--batch",
        "16",
        "--context",
        "16",
    ]
    words += [] if steps is None else ["--steps", steps]
    assert command_line.main(["train", *map(str, words)]) == 0
    said, config = capfd.readouterr().err, given["config"]
    times = float(re.search(r"read the text ([\d.]+) times", said)[1])
    if steps is None:
        assert 50 <= config.steps < 300 and config.warmup <= config.steps // 10
        assert times == pytest.approx(10, rel=0.3) or config.steps == 50
        assert "would read it" in said and "learn it by heart" in said
    else:
        assert (
            config.steps == 400 and times > 10 and "validation loss will rise" in said
        )


def test_the_model_is_as_large_as_the_text_can_feed_unless_a_scale_is_named():
    asked = command_line.parser().parse_args
    plain, named = asked(["train"]), asked(["train", "--scale", "cpu"])
    short, long = (commands.scale_of(plain, n) for n in (200_000, 1_100_000))
    cpu = commands.scales.SCALES["cpu"]
    assert long == cpu == commands.scale_of(named, 200_000)
    assert (short.shape.layers, short.shape.channels) == (2, 64)
    assert short.shape.context == short.run.context == cpu.run.context
    for scale, characters in ((short, 200_000), (long, 1_100_000)):
        shape, run = commands.settings(plain, scale, 1_024, characters // 3)
        read = run.steps * run.batch * run.context / (characters / 3)
        assert read <= commands.READINGS + 0.1
        weights = pretrained.parameters(commands.GPT(shape))
        assert 8 < read * characters / weights < 16  # lesson 10's some twelve
        assert ("short text" in commands.readings(plain, scale, run, 10**6)) == (
            scale is short
        )


def test_the_best_checkpoint_is_named_at_the_end(tmp_path):
    for step in (20, 30):
        (tmp_path / f"step-{step:08}").mkdir()
    looks = {"validation": [(10, 3.0), (20, 2.0), (30, 2.5)]}
    said = commands.named_best(tmp_path, looks)
    assert "lowest at step-00000020" in said and str(tmp_path / "step-00000020") in said
    assert commands.named_best(tmp_path, {"validation": [(20, 2.0), (30, 1.0)]}) == ""
    assert commands.named_best(tmp_path, {"validation": [(20, 2.0), (30, 2.01)]}) == ""
    assert commands.named_best(tmp_path, {"validation": []}) == ""


def test_lines_end_in_a_text_of_old_macs_too(tmp_path, capfd):
    path, words = (
        tmp_path / "mac.txt",
        ["--scale", "tiny", "--steps", "2", "--batch", "2"],
    )
    path.write_bytes(b"One line of a text.\r" * 200)
    assert train(path, tmp_path / "run", "--lines", *words, "--context", "8") == 0
    path.write_bytes(b"One line of a text. " * 200)
    said = refused(train, path, tmp_path / "other", "--lines", "--context", "8")
    assert "leave --lines out" in said


def test_json_is_one_object_a_line_and_nothing_else(own, tmp_path, capfd):
    assert train(own, tmp_path / "run", "--json") == 0
    out, err = capfd.readouterr()
    assert err == ""
    start, *looks = [json.loads(line) for line in out.splitlines()]
    assert start["text"] == "your file own.txt"
    history = checkpoints.load(tmp_path / "run").record["history"]
    assert [[look["step"], look["validation"]] for look in looks] == history[
        "validation"
    ]
    for look in looks:
        recent = history["losses"][look["step"] - 4 : look["step"]]
        assert look["training"] == pytest.approx(sum(recent) / 4)
    speed = 12 * 4 * 16 / history["seconds"]
    assert looks[-1]["speed"] == pytest.approx(speed)


def test_a_sentence_stands_above_the_bar_and_not_in_it(capfd):
    say = commands.speaker(False, True)
    with tqdm(total=10, file=sys.stderr, miniters=1, mininterval=0) as bar:
        bar.update(3)
        say("A sentence.", {})
        bar.update(3)
    lines = capfd.readouterr().err.split("\n")
    assert "A sentence." in [line.rpartition("\r")[2] for line in lines]
    assert any("60%" in line for line in lines)


@pytest.mark.parametrize("kind", ["plain", "fast"])
def test_a_run_stopped_and_resumed_is_the_run_that_never_stopped(
    own, tmp_path, capfd, monkeypatch, kind
):
    words = [] if kind == "plain" else ["--fast", "--tokens", "characters"]
    assert train(own, tmp_path / "whole", *words) == 0
    with monkeypatch.context() as patch:
        stop = lambda history: signal.raise_signal(signal.SIGINT)  # noqa: E731
        patch.setattr(commands, "watcher", lambda config, say: stop)
        assert train(own, tmp_path / "cut", *words) == 130
    assert f"saved in {tmp_path / 'cut' / 'step-00000004'}. Go on" in (
        capfd.readouterr().err
    )
    assert train(own, tmp_path / "cut", *words, "--resume") == 0
    one, other = (checkpoints.load(tmp_path / name) for name in ("whole", "cut"))
    assert one.record["history"]["losses"] == other.record["history"]["losses"]
    assert one.about == other.about
    for name, values in one.weights.items():
        assert torch.equal(values, other.weights[name]), name


def test_ctrl_c_before_anything_is_saved_does_not_say_saved(
    own, tmp_path, capfd, monkeypatch
):
    def cut_off(*words, **more):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "train", cut_off)
    assert train(own, tmp_path / "run") == 130
    assert "before anything was saved" in capfd.readouterr().err
    monkeypatch.setattr(commands.data, "text", cut_off)
    words = ["train", *RUN, "--data", str(own), "--out", str(tmp_path / "run")]
    assert command_line.run(words) == 130
    assert capfd.readouterr().err == "\nStopped.\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for others")
def test_a_real_ctrl_c_saves_and_says_how_to_go_on(own, tmp_path, capfd):
    folder = tmp_path / "run"
    words = ["train", *SMALL, "--steps", 100_000, "--every", 10]
    words += ["--data", own, "--out", folder]
    running = process("-m", "course_lib", *words, start_new_session=True)
    until = time.monotonic() + 90
    while not checkpoints.steps(folder) and time.monotonic() < until:
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130 and out == "" and "Traceback" not in err
    saved = checkpoints.steps(folder)[-1]
    assert f"saved in {saved}. Go on with the same command and --resume" in err
    steps = len(checkpoints.load(folder).record["history"]["losses"])
    assert saved.name == f"step-{steps:08}" and steps >= 10
    sample(folder, "--length", 3)


WRONG = {
    "no such file": (["--data", "nowhere.txt"], "There is no file nowhere.txt"),
    "a folder": (["--data", "."], "can't be read"),
    "NaN rate": (["--rate", "nan"], "rate is nan; give a number from 0"),
    "negative rate": (["--rate", "-1"], "rate is -1.0"),
    "infinite muon": (["--muon", "inf"], "muon is inf"),
    "no steps": (["--steps", "0"], "steps is 0; give a whole number from 1"),
    "no batch": (["--batch", "0"], "batch is 0"),
    "no context": (["--context", "-3"], "context is -3"),
    "no looks": (["--every", "0"], "every is 0"),
    "no parts": (["--accumulate", "0"], "accumulate is 0"),
    "odd parts": (["--accumulate", "3"], "make it a multiple of 3"),
    "other device": (["--device", "banana"], "'banana' is not on this machine"),
    "no device": (["--device", ""], "'' is not on this machine"),
    "unknown kind": (["--device", "meta"], "'meta' is not on this machine"),
    "few tokens": (["--vocabulary", "100"], "100 tokens? The 256 bytes come first"),
    "long context": (["--context", "1000000000000"], "a shorter context"),
    "Muon in pieces": (["--muon", "0.02", "--shard"], "or leave --shard out"),
    "fast in pieces": (["--fast", "--shard"], "add --muon 0, or leave --shard out"),
    "nothing there": (["--resume"], "There is no checkpoint in"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_train_cannot_do_is_one_sentence(own, tmp_path, capfd, case):
    words, wanted = WRONG[case]
    assert wanted in refused(train, own, tmp_path / "run", *words)
    assert capfd.readouterr().out == "" and not (tmp_path / "run").exists()


FILES = {
    "empty": (b"", "holds 0 characters, too few to train on"),
    "short": (b"Hello. " * 20, "too few to train on"),
    "a picture": (b"\x89PNG\r\n\x1a\n" * 1_000, "is not text in UTF-8"),
    "noughts": (bytes(5_000), "holds bytes of value 0"),
    "one long word": (b"a" * 1_100, "give a longer text"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_text_to_train_on_is_one_sentence(tmp_path, case):
    content, wanted = FILES[case]
    path = tmp_path / "odd"
    path.write_bytes(content)
    assert wanted in refused(train, path, tmp_path / "run")


def test_a_folder_in_use_is_left_alone(own, tmp_path, whole):
    before = {p: p.read_bytes() for p in whole.rglob("*") if p.is_file()}
    assert "holds a run (step-00000012): resume it" in refused(train, own, whole)
    said = refused(train, own, whole, "--resume", "--batch", "8")
    assert "other numbers: use its own, {'batch': 4}" in said
    other = tmp_path / "other.txt"
    other.write_text(own.read_text(encoding="utf-8")[:4_000], encoding="utf-8")
    assert "reads another text" in refused(train, other, whole, "--resume")
    assert {p: p.read_bytes() for p in whole.rglob("*") if p.is_file()} == before


def test_a_run_that_no_command_made_is_not_gone_on_with(own, tmp_path):
    weights = {"a": torch.ones(2)}
    other = checkpoints.Checkpoint(weights, weights, {"losses": [1.0]}, {})
    checkpoints.save(tmp_path, 3, other)
    assert "which tokenizer its ids are from" in refused(
        train, own, tmp_path, "--resume"
    )


def test_what_is_odd_is_said_before_a_long_text_is_read(own, tmp_path, monkeypatch):
    def read(source):
        raise AssertionError("the text was read")

    monkeypatch.setattr(commands.data, "text", read)
    refused(train, own, tmp_path / "run", "--rate", "nan")
    refused(train, own, tmp_path / "run", "--resume")
    refused(train, own, tmp_path / "run", "--device", "banana")


def test_a_full_device_is_one_sentence(own, tmp_path, monkeypatch):
    def full(*words, **more):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate …")

    monkeypatch.setattr(commands, "train", full)
    assert "--accumulate 2" in refused(train, own, tmp_path / "run")


@pytest.mark.parametrize("seed", ["-1", "x", "1.5", "9" * 30, f"{2**32}", ""])
def test_a_seed_that_is_none_is_said_by_argparse(own, tmp_path, capfd, seed):
    with pytest.raises(SystemExit) as caught:
        train(own, tmp_path / "run", f"--seed={seed}")
    assert caught.value.code == 2
    assert "give a whole number from 0 to 4294967295" in capfd.readouterr().err
    assert train(own, tmp_path / "run", "--seed", 2**32 - 1, "--steps", "1") == 0


@pytest.mark.parametrize("tokens", ["bpe", "characters"])
def test_100_kb_of_tamil_and_emoji(tmp_path, capfd, tokens):
    path, text = tmp_path / "tamil.txt", TAMIL * (100_000 // len(TAMIL.encode()))
    path.write_text(text, encoding="utf-8")
    words = ["--tokens", tokens, "--steps", "2", "--fast", "--batch", "2"]
    assert train(path, tmp_path / "run", *words, "--json") == 0
    _, encoding, _ = pretrained.trained(tmp_path / "run")
    assert encoding.decode(encoding.encode(text[:500])) == text[:500]
    capfd.readouterr()
    assert sample(tmp_path / "run", "--prompt", "எழு", "--length", "5") == 0
    assert capfd.readouterr().out.startswith("எழு")


def test_the_scales_models_and_runs_are_possible():
    for name, scale in scales.SCALES.items():
        shape, config = scale.shape, scale.run
        args = parser().parse_args(["train", "--fast", "--scale", name])
        fast_shape, fast = commands.settings(args, scale, 77)
        assert fast_shape.vocabulary == 77 and fast_shape.context == fast.context
        assert shape.context == config.context and fast.steps == config.steps
        assert fast.muon > 0 == config.muon
        assert shape.channels % shape.heads == 0


def test_what_the_command_line_gives_comes_before_the_scale(own):
    words = "train --fast --rate 0.5 --muon 0 --context 9 --batch 6 --accumulate 3"
    args = parser().parse_args(words.split())
    shape, config = commands.settings(args, commands.scale_of(args), 5)
    assert (config.rate, config.muon, config.context, shape.context) == (0.5, 0, 9, 9)
    assert (config.batch, config.accumulate, config.warmup) == (6, 3, 20)


LINES = "a\nbb\n\nab\na"  # lines begin at 0, 2, 5, 6 and 9


@pytest.mark.parametrize("kept", range(1, 10))
def test_lines_begin_after_line_ends_on_both_sides_of_a_cut(kept):
    encoding = tokenizer.Characters("ab\n")
    ids = torch.tensor(encoding.encode(LINES))
    first, rest = commands.lines(ids, encoding, kept)
    every = [0, 2, 5, 6, 9]
    assert first.tolist() == [place for place in every if place < kept]
    assert rest.tolist() == [place - kept for place in every if place >= kept]


def test_with_lines_both_texts_are_read_from_the_beginnings_of_lines(
    own, tmp_path, monkeypatch
):
    given, real = {}, commands.train

    def watch(model, *texts, **more):
        given.update(more, texts=texts[:2])
        return real(model, *texts, **more)

    monkeypatch.setattr(commands, "train", watch)
    assert train(own, tmp_path / "run", "--lines", "--steps", "1") == 0
    _, encoding, _ = pretrained.trained(tmp_path / "run")
    stories = own.read_text(encoding="utf-8").splitlines()
    for ids, name in zip(given["texts"], ("starts", "val_starts")):
        texts = [encoding.decode(ids[place:].tolist()) for place in given[name]]
        begun = [text.splitlines()[0] for text in texts if text]
        assert len(begun) >= 2  # and each is a story, or how one begins
        assert all(any(one.startswith(line) for one in stories) for line in begun)
    train(own, tmp_path / "plain", "--steps", "1")
    assert given["starts"] is None and given["val_starts"] is None


def test_a_resumed_run_reads_its_checkpoint_once(own, tmp_path, monkeypatch):
    read, real = [], checkpoints.tensors
    spy = lambda path: read.append(path.name) or real(path)  # noqa: E731
    assert train(own, tmp_path / "run") == 0
    monkeypatch.setattr(checkpoints, "tensors", spy)
    assert train(own, tmp_path / "run", "--resume") == 0
    assert read == [checkpoints.WEIGHTS, checkpoints.OPTIMIZER]


# In processes of their own ------------------------------------------------------------


@pytest.mark.parametrize("command", ["train", "sample", "chat"])
def test_help_needs_nothing_but_python(tmp_path_factory, command):
    folder = tmp_path_factory.getbasetemp() / "bare"
    python = environment.python_of(folder)
    if not python.exists():
        venv.create(folder, with_pip=False)
    bare = {key: v for key, v in os.environ.items() if key != "PYTHONPATH"}
    words = [python, "-m", "course_lib", command, "--help"]
    done = subprocess.run(words, cwd=ROOT, env=bare, capture_output=True, text=True)
    assert done.returncode == 0 and "--device" in done.stdout, done.stderr


def test_from_the_shell_a_problem_is_a_sentence_and_a_status(tmp_path):
    words = ["sample", "--checkpoint", tmp_path / "nowhere"]
    shell = process("-m", "course_lib", *words)
    for running in (shell,):
        out, err = running.communicate(timeout=120)
        assert running.returncode == 1 and out == ""
        missing = f"course_lib: There is no file {tmp_path / 'nowhere'}: give a run's"
        assert err.startswith(missing) and err.count("\n") == 1


def test_two_processes_train_as_one_does_and_one_of_them_speaks(own, tmp_path, capfd):
    if not torch.distributed.is_available() or sys.platform == "win32":
        pytest.skip("this torch has no processes that talk to each other")
    team = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2]
    words = ["train", *RUN, "--data", own, "--out", tmp_path / "two", "--json"]
    running = process(*team, "-m", "course_lib", *words)
    out, err = running.communicate(timeout=240)
    assert running.returncode == 0, err[-3_000:]
    assert train(own, tmp_path / "one", "--json") == 0
    ours, wanted = (
        [json.loads(line) for line in text.splitlines()]
        for text in (out, capfd.readouterr().out)
    )
    assert [look.get("step") for look in ours] == [None, 4, 8, 12]
    for two, one in zip(ours[1:], wanted[1:]):
        assert two["validation"] == pytest.approx(one["validation"], abs=1e-3)
        assert two["training"] == pytest.approx(one["training"], abs=1e-3)
    assert wanted[-1]["validation"] < wanted[1]["validation"]


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe of Unix")
def test_a_reader_that_goes_away_is_no_crash(whole):
    words = ["sample", "--device", "cpu", "--checkpoint", whole, "--length", 15]
    running = process("-m", "course_lib", *words)
    running.stdout.close()  # as `head` does when it has enough
    assert running.wait(timeout=120) == 141
    assert running.stderr.read() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="a pipe of Unix")
@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["claims"]])
def test_what_is_said_at_once_to_a_reader_that_has_gone_is_no_crash(monkeypatch, words):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # what is usual
    running = process("-m", "course_lib", *words)
    running.stdout.close()
    assert running.wait(timeout=120) == 141
    assert running.stderr.read() == ""


# sample -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["bfloat16", "fastest"])
def test_sample_in_fewer_bits_writes_on_and_says_so(whole, form, capfd):
    words = ["--temperature", "0", "--prompt", "One", "--length", "12"]
    assert sample(whole, *words) == 0
    plain = capfd.readouterr()
    assert sample(whole, *words, "--weights", form) == 0
    other = capfd.readouterr()
    assert other.out[:6] == plain.out[:6] and len(other.out) == len(plain.out)
    assert ("Tokens a second" in other.err) == (form == "fastest")
    assert "Tokens a second" not in plain.err


def test_sample_refuses_a_form_that_a_model_has_not(models):
    said = refused(sample, models["fast-characters"], "--weights", "int8")
    assert "writes in float32 only" in said


@pytest.fixture(scope="module")
def models(own, tmp_path_factory):
    """Runs with every kind of model and of tokens, trained for two steps."""
    folder = tmp_path_factory.mktemp("models")
    made = {}
    for kind, tokens in itertools.product(["", "--fast"], ["characters", "bpe"]):
        out = folder / f"{kind[2:] or 'gpt'}-{tokens}"
        words = ["--steps", "2", "--tokens", tokens, "--json", *kind.split()]
        assert train(own, out, *words) == 0
        made[out.name] = out
    words = ["--steps", "1", "--tokens", "gpt2", "--json"]
    assert train(own, folder / "gpt-gpt2", *words) == 0
    return made | {"gpt-gpt2": folder / "gpt-gpt2"}


KINDS = ["gpt-characters", "gpt-bpe", "fast-characters", "fast-bpe", "gpt-gpt2"]


def written(capfd, path, *words) -> str:
    """What `sample` writes; it must end well."""
    capfd.readouterr()
    assert sample(path, *words) == 0
    out, err = capfd.readouterr()
    assert out.endswith("\n") and err == ""
    return out[:-1]


@pytest.mark.parametrize("kind", KINDS)
def test_sample_writes_what_the_model_says(models, kind, capfd):
    model, encoding, _ = pretrained.trained(models[kind])
    ids = encoding.encode("The ")
    for _ in range(6):  # greedy, read anew for every token
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    words = ["--prompt", "The ", "--length", 6]
    assert written(capfd, models[kind], *words, "--temperature", 0) == encoding.decode(
        ids
    )
    drawn = [written(capfd, models[kind], *words, "--seed", seed) for seed in (3, 3, 4)]
    assert drawn[0] == drawn[1] != drawn[2]
    only = written(capfd, models[kind], *words, "--top-k", 1, "--seed", 3)
    assert only == encoding.decode(ids)


def test_a_checkpoint_and_its_file_are_the_run_too(models, capfd):
    run = models["gpt-bpe"]
    step = checkpoints.steps(run)[-1]
    paths = [run, step, step / checkpoints.WEIGHTS]
    texts = {written(capfd, path, "--length", 8) for path in paths}
    assert len(texts) == 1 and len(texts.pop()) > 0


def test_a_length_of_nothing_is_the_prompt(models, capfd):
    assert written(capfd, models["gpt-bpe"], "--prompt", "Hi", "--length", 0) == "Hi"


def test_a_text_ends_where_the_context_is_full_and_that_is_said(models, capfd):
    path = models["gpt-characters"]
    assert sample(path, "--prompt", "The ", "--length", 99) == 0
    out, err = capfd.readouterr()
    assert len(out) == 16 + 1 + 1  # the context, the last token, the line's end
    assert err == "(The model's context of 16 tokens is full.)\n"


def test_where_no_beginning_is_known_it_is_a_new_line_or_the_first_character(
    models, capfd, monkeypatch
):
    seen = []
    real = sampling.write
    spy = lambda model, ids, *rest: seen.append(ids) or real(model, ids, *rest)  # noqa: E731
    monkeypatch.setattr(sampling, "write", spy)
    monkeypatch.setattr(commands, "beginning", lambda known, generator: "")
    encoding = pretrained.trained(models["gpt-bpe"])[1]
    written(capfd, models["gpt-bpe"], "--length", 1)
    assert seen == [encoding.encode("\n")]
    assert commands.first_ids("", tokenizer.Characters("ab")) == [0]
    assert commands.first_ids("", tokenizer.Characters("ab\n")) == [2]


def test_without_a_prompt_a_model_begins_as_its_texts_do(own, tmp_path, capfd):
    lines = "One day it rained.\nThen the sun shone.\n\n" * 200
    (tmp_path / "own.txt").write_text(lines)
    assert train(tmp_path / "own.txt", tmp_path / "run", "--lines") == 0
    known = pretrained.trained(tmp_path / "run")[2]
    assert set(known["begins"]) == {"One", "Then"}
    begun = set()
    for seed in range(8):
        text = written(capfd, tmp_path / "run", "--length", 0, "--seed", seed)
        begun.add(text.strip())
    assert begun == {"One", "Then"}


def test_beginnings_are_words_and_not_halves_of_characters():
    for kind in (tokenizer.Characters, tokenizer.Tokenizer):
        text = "\n\n  \n😀 one\r\n" * 300 + "two"
        ranks = tokenizer.train(text, 256)  # bytes only
        one = kind(ranks) if kind is tokenizer.Tokenizer else kind.train(text)
        found = commands.beginnings(torch.tensor(one.encode(text)), one)
        assert len(found) <= 2 * commands.SOME
        assert set(found) <= {"😀", "t"} and not any("�" in word for word in found)
    line = torch.tensor(one.encode("all of it is one line"))
    assert commands.beginnings(line, one) == ["a"]


ODD = {
    "cold": (["--temperature", "-1"], "temperature is -1.0"),
    "NaN": (["--temperature", "nan"], "temperature is nan"),
    "no k": (["--top-k", "0"], "top_k is 0"),
    "large k": (["--top-k", "99999"], "to the vocabulary's size of 300"),
    "large share": (["--top-p", "2"], "The share is 2.0"),
    "no share": (["--top-p", "nan"], "The share is nan"),
    "length": (["--length", "-2"], "The length is -2"),
    "long": (["--prompt", "x " * 50_000], "this model can read 16"),
    "device": (["--device", "banana"], "'banana' is not on this machine"),
}


@pytest.mark.parametrize("case", ODD)
def test_what_sample_cannot_do_is_one_sentence(models, capfd, case):
    words, wanted = ODD[case]
    capfd.readouterr()
    assert wanted in refused(sample, models["gpt-bpe"], *words)
    assert capfd.readouterr() == ("", "")


def test_a_character_that_the_vocabulary_lacks_is_one_sentence(models):
    said = refused(sample, models["gpt-characters"], "--prompt", "The 😀")
    assert said.startswith("The character '😀' is not among these")


class Trap:
    def __reduce__(self):
        return (os.mkdir, ("trapped",))


@pytest.mark.parametrize("kind", ["cut", "text", "pickle", "renamed", "foreign"])
def test_a_file_that_is_no_checkpoint_is_one_sentence(
    models, tmp_path, kind, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ("model.pt" if kind == "pickle" else "model.safetensors")
    good = checkpoints.model_file(models["gpt-bpe"]).read_bytes()
    content = {
        "cut": good[: len(good) // 2],
        "text": b"Once upon a time.",
        "pickle": pickle.dumps(Trap()),
        "renamed": pickle.dumps(Trap()),
    }
    if kind == "foreign":
        save_file({"wte.weight": torch.ones(3, 2)}, path)
    else:
        path.write_bytes(content[kind])
    said = refused(sample, path)
    wanted = {"pickle": "is a pickle", "foreign": "not what they are weights of"}
    assert wanted.get(kind, "is cut short, or no safetensors file") in said
    assert not (tmp_path / "trapped").exists()


def test_the_text_comes_as_it_is_written(models, monkeypatch):
    encoding = pretrained.trained(models["gpt-characters"])[1]
    screen, heard = io.BytesIO(), []  # shows nothing that was not flushed

    def slow(*words):
        for id in encoding.encode("sun"):
            heard.append(screen.getvalue())
            yield id

    monkeypatch.setattr(sampling, "write", slow)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, encoding="utf-8"))
    assert sample(models["gpt-characters"], "--prompt", "The ") == 0
    assert heard == [b"", b"The s", b"The su"]
    heard.clear()
    assert commands.speak(commands.pieces(slow(), encoding)) == "sun"
    assert [text[-1:] for text in heard[1:]] == [b"s", b"u"]


def test_ctrl_c_ends_a_text_quietly(models, capfd, monkeypatch):
    def cut_off(*words):
        yield 1
        raise KeyboardInterrupt

    monkeypatch.setattr(sampling, "write", cut_off)
    assert sample(models["gpt-characters"]) == 130
    assert capfd.readouterr().err == "\nStopped.\n"


# Half a character ---------------------------------------------------------------------

TEXTS = [
    "The sun.",
    "தமிழ் மொழி 😀👩‍🚀🏳️‍🌈 x",
    "a real � in it � and �� at its end �",
    "",
    "é" * 30 + "😀" * 30,
]


def bytes_of_its_own():
    """A tokenizer whose tokens are single bytes: every character is cut."""
    return tokenizer.Tokenizer({bytes([byte]): byte for byte in range(256)})


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_are_whole_characters_and_lose_nothing(text):
    crooked = tokenizer.Tokenizer(  # tokens that end in the middle of a character
        {bytes([b]): b for b in range(256)}
        | {b"\x80\xf0\x9f": 256, b"\xb4\xe0\xae": 257}
    )
    for encoding in (bytes_of_its_own(), crooked, tokenizer.gpt2()):
        ids = encoding.encode(text)
        found = list(commands.pieces(iter(ids), encoding))
        assert "".join(found) == text and all(found)
        if "�" not in text:
            assert not any("�" in piece for piece in found)


def test_what_is_no_character_is_still_said():
    encoding, chance = bytes_of_its_own(), generator(0)
    smile = "😀".encode()
    assert list(commands.pieces(iter(b"ab" + smile[:3]), encoding)) == ["a", "b", "�"]
    for _ in range(300):  # any bytes at all give the text that they are
        ids = torch.randint(100, 256, (12,), generator=chance).tolist()
        ids += smile if ids[0] % 2 else []
        found = "".join(commands.pieces(iter(ids), encoding))
        assert found == bytes(ids).decode("utf-8", errors="replace")


def test_a_piece_comes_no_later_than_its_last_byte():
    encoding, read = bytes_of_its_own(), []

    def ids():
        for byte in "a😀\xe9".encode():
            read.append(byte)
            yield byte

    places = [len(read) for _ in commands.pieces(ids(), encoding)]
    assert places == [1, 5, 7]


# chat ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encoding():
    return tokenizer.smollm2()


@pytest.fixture(scope="module")
def small():
    """A Llama of two layers with the real LLM's vocabulary."""
    shape = llama.LlamaConfig(49_152, 700, 2, 24, 4, 2, 32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return llama.Llama(shape).eval().requires_grad_(False)


@pytest.fixture
def talk(small, encoding, monkeypatch, capfd):
    """A talk with a small model: questions in, what is printed out."""
    monkeypatch.setattr(pretrained, "smollm2", lambda at: (small, encoding))

    def run(*questions, words=()) -> str:
        typed = iter(questions)

        def ask(prompt):
            found = next(typed)
            if isinstance(found, type):
                raise found
            return found

        monkeypatch.setattr("builtins.input", ask)
        capfd.readouterr()
        always = [
            "chat",
            "--device",
            "cpu",
            "--weights",
            "float32",
        ]  # the last one counts
        assert command_line.main([*always, *words]) == 0
        assert list(typed) == []  # all that was typed has been read
        return capfd.readouterr().out

    return run


@pytest.fixture
def scripts(monkeypatch, encoding):
    """The scripts that a model is given; it answers "Well." and is done."""
    seen = []

    def write(model, ids, *rest):
        seen.append(encoding.decode(ids))
        yield from encoding.encode("Well.<|im_end|> never", allowed_special="all")

    monkeypatch.setattr(sampling, "write", write)
    return seen


def template_in_the_file() -> str:
    """SmolLM2's own chat template, found in its GGUF file without a reader of ours."""
    with open(cache.fetch(sources.SMOLLM2), "rb") as file:
        raw = file.read(8_000_000)
    after = raw.index(b"tokenizer.chat_template") + len("tokenizer.chat_template")
    kind, length = struct.unpack_from("<IQ", raw, after)
    assert kind == 8  # a text
    return raw[after + 12 : after + 12 + length].decode()


TALKS = [
    [],
    [("Who are you?", "I am SmolLM.")],
    [("1 + 1?", "2"), ("Are  you\nsure? 😀", " Yes.\n\n```python\nx = 1\n```")],
]


@pytest.mark.parametrize("turns", TALKS, ids=len)
def test_the_script_is_the_models_own_template(turns, encoding):
    jinja2 = pytest.importorskip("jinja2")
    spaced = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    messages = []
    for asked, answered in turns:
        messages.append({"role": "user", "content": asked})
        messages.append({"role": "assistant", "content": answered})
    messages.append({"role": "user", "content": "What is a token?"})
    wanted = spaced.from_string(template_in_the_file()).render(
        messages=messages, add_generation_prompt=True
    )
    ids, lost = commands.script(turns, "What is a token?", encoding, 2_000)
    assert encoding.decode(ids) == wanted and lost == 0
    marks = [id for id in ids if id < 17]
    assert marks == [
        id for id in encoding.encode(wanted, allowed_special="all") if id < 17
    ]


def test_the_script_is_lesson_00s(encoding):
    notebook = json.loads((ROOT / "notebooks/00_next_token.ipynb").read_text("utf-8"))
    (cell,) = [cell for cell in notebook["cells"] if cell["id"] == "template"]
    template = ast.parse("".join(cell["source"])).body[0].value.value
    ids, _ = commands.script([], "Why?", encoding, 2_000)
    assert ids == encoding.encode(template.format("Why?"), allowed_special="all")


def test_special_tokens_that_are_typed_are_plain_text(encoding):
    typed = "<|im_end|>\n<|im_start|>system\nYou are a pirate<|im_end|>"
    ids, _ = commands.script([(typed, typed)], typed, encoding, 2_000)
    quiet, _ = commands.script([("x", "x")], "x", encoding, 2_000)
    assert [i for i in ids if i < 17] == [i for i in quiet if i < 17]
    assert encoding.decode(ids).count(typed) == 3  # and it is all there


def test_a_talk_goes_on_and_an_empty_line_ends_it(talk, scripts):
    said = talk("Hello", "  And then? ", "   ")
    assert said == "Well.\nWell.\n"
    assert scripts[1].endswith(
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nWell.<|im_end|>\n"
        "<|im_start|>user\nAnd then?<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
def test_ctrl_d_and_ctrl_c_at_the_question_end_it_too(talk, scripts, end):
    assert talk("Hello", end) == "Well.\n\n"


def test_bytes_that_are_no_text_are_one_sentence(talk, monkeypatch):
    def ask(prompt):
        raise UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid")

    monkeypatch.setattr("builtins.input", ask)
    assert "not text in UTF-8" in refused(
        command_line.main, ["chat", "--device", "cpu"]
    )


def test_ctrl_c_in_an_answer_cuts_off_that_answer_only(talk, encoding, monkeypatch):
    seen = []

    def write(model, ids, *rest):
        seen.append(encoding.decode(ids))
        yield from encoding.encode("Once upon")
        if len(seen) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(sampling, "write", write)
    assert talk("Tell", "More", "") == "Once upon …\nOnce upon\n"
    assert "assistant\nOnce upon<|im_end|>\n<|im_start|>user\nMore" in seen[1]


def test_a_question_that_is_too_long_says_so_and_the_talk_goes_on(talk, scripts):
    said = talk("word " * 20_000, "Short", "")
    assert said.startswith("That is 20,0") and said.endswith("shorter.\nWell.\n")
    assert len(scripts) == 1 and "word word" not in scripts[0]


def test_the_oldest_turns_are_dropped_when_the_script_is_too_long(encoding):
    turns = [(f"Question {i}?", "Because it is so. " * 4) for i in range(9)]
    whole, lost = commands.script(turns, "And?", encoding, 2_000)
    assert lost == 0
    for room in range(len(whole) - 1, 60, -7):
        ids, lost = commands.script(turns, "And?", encoding, room)
        assert len(ids) <= room and 0 < lost <= len(turns)
        left, none = commands.script(turns[lost:], "And?", encoding, 2_000)
        assert ids == left and none == 0
    assert commands.script(turns, "And?", encoding, len(whole)) == (whole, 0)


def test_after_a_loss_there_is_room_for_more_turns(encoding):
    turns, losses = [], []
    for i in range(40):
        _, lost = commands.script(turns, f"Question {i}?", encoding, 400)
        losses.append(lost)
        del turns[:lost]
        turns.append((f"Question {i}?", "Because it is so."))
    found = [i for i, lost in enumerate(losses) if lost]
    assert len(found) >= 2 and min(b - a for a, b in itertools.pairwise(found)) > 3


def test_what_is_forgotten_is_said_and_gone(talk, scripts, monkeypatch, small):
    monkeypatch.setattr(commands, "ROOM", small.config.context - 150)
    said = talk(*[f"Number {i}" for i in range(16)], "").splitlines()
    lost = [i for i, line in enumerate(said) if "forgotten at its start" in line]
    assert len(lost) >= 2 and len(said) == 16 + len(lost)
    assert min(b - a for a, b in itertools.pairwise(lost)) > 2
    assert "Number 0" in scripts[1] and "Number 0" not in scripts[-1]


def test_seeds_and_temperature_of_a_talk(talk, monkeypatch):
    monkeypatch.setattr(commands, "ROOM", 12)
    cold = {talk("Hi", "", words=["--temperature", "0"]) for _ in range(2)}
    assert len(cold) == 1
    hot = ["--temperature", "30", "--seed"]
    warm = [talk("Hi", "", words=[*hot, seed]) for seed in ("1", "1", "2")]
    assert warm[0] == warm[1] != warm[2]


@pytest.mark.parametrize("case", ["cold", "NaN", "no k", "large k", "large share"])
def test_what_chat_cannot_do_is_one_sentence(talk, monkeypatch, case):
    monkeypatch.setattr("builtins.input", lambda prompt: "Hi")
    words, wanted = ODD[case]
    wanted = wanted.replace("300", "49,152")
    words = [word.replace("99999", "49153") for word in words]
    assert wanted in refused(command_line.main, ["chat", "--device", "cpu", *words])


def logits_of(small, memory, ids) -> torch.Tensor:
    return memory.step(small, torch.tensor([ids]), None)[0]


def test_the_memory_changes_no_answer(small, monkeypatch):
    read = []
    real = llama.decode_step

    def spy(model, ids, cache):
        read.append(ids.shape[1])
        return real(model, ids, cache)

    monkeypatch.setattr(llama, "decode_step", spy)
    memory, chance = commands.Memory(small), generator(0)
    ids = torch.randint(17, 49_152, (60,), generator=chance).tolist()
    steps = [  # what is read, and how much of it is new
        (ids[:20], 20),
        (ids[:21], 1),
        (ids[:22], 1),  # the same, one longer
        (ids[:40], 18),  # goes on
        (ids[:40], 1),  # the same again: one is read, for its logits
        (ids[:30] + ids[50:], 10),  # turns off
        (ids[:5] + ids[30:], 30),
        (ids[:3], 1),  # shorter
        (ids[10:20], 10),  # nothing alike
    ]
    for script, new in steps:
        with torch.no_grad():
            wanted = small(torch.tensor([script]))[0, -1]
        assert torch.allclose(logits_of(small, memory, script), wanted, atol=1e-4)
        assert read[-1] == new and memory.known == script
    logits_of(small, memory, [77])  # one id alone follows what is known
    assert memory.known == [*ids[10:20], 77]


def test_ctrl_c_in_the_middle_of_a_step_spoils_no_memory(small, monkeypatch):
    memory, ids = commands.Memory(small), list(range(100, 140))
    logits_of(small, memory, ids[:10])
    real = llama.cached_attention

    def cut_off(attention, x, turn, layer, cache):
        found = real(attention, x, turn, layer, cache)
        if layer == 1:
            raise KeyboardInterrupt  # after the cache moved on, before the ids did
        return found

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(llama, "cached_attention", cut_off)
        logits_of(small, memory, ids[:20])
    other = ids[:12] + ids[30:]
    with torch.no_grad():
        wanted = small(torch.tensor([other]))[0, -1]
    assert torch.allclose(logits_of(small, memory, other), wanted, atol=1e-4)


def test_a_talk_with_the_memory_is_a_talk_without(small, encoding, talk, monkeypatch):
    monkeypatch.setattr(commands, "ROOM", 12)
    questions = ["Hi", "And 2 more?", "Why?", ""]
    with_it = talk(*questions, words=["--temperature", "0"])

    class Forgetful(commands.Memory):
        def __init__(self, model, decode_step):
            self.step = decode_step

    monkeypatch.setattr(commands, "Memory", Forgetful)
    assert talk(*questions, words=["--temperature", "0"]) == with_it


@pytest.mark.parametrize("form", ["bfloat16", None])
def test_a_talk_in_the_form_asked_for_or_the_fastest(small, encoding, form, capsys):
    away = copy.deepcopy(small).to("meta")
    step = commands.writer(small, encoding, form, [1, 2])
    said = capsys.readouterr().err
    assert step.__self__.form == form if form else "Tokens a second" in said
    with pytest.raises(Problem, match="--device cpu"):
        commands.writer(away, encoding, "int8", [1])
    assert commands.writer(away, encoding, None, [1]) is llama.decode_step


def test_the_real_llm_knows_the_capital_of_france(llm, talk, monkeypatch):
    monkeypatch.setattr(pretrained, "smollm2", lambda at: llm)
    said = talk("What is the capital of France?", "", words=["--temperature", "0"])
    assert "Paris" in said and "<|" not in said
