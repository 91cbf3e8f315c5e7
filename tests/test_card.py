"""What a card would find, without one: every path of the course that follows the device."""

import ast
import contextlib
import io
import re
import sys
import time
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
import torch

from course_lib import devices, llama, pretrained, sampling, scales, tokenizer, train
from course_lib.cli import comparisons
from course_lib.cli.comparisons import COMPARISONS
from course_lib.notebooks import cells
from tests import card as pretended
from tests import gpu

# Lessons that follow the device: what they load, or train, goes where `best` says.
FOLLOWS = re.compile(r"\bbest\(|from course_lib.train import .*\btrain\b")
PATHS = [
    path
    for path in cells.paths()
    if any(FOLLOWS.search(cell.source) for cell in cells.read(path).cells)
]


@pytest.fixture
def card():
    with pretended.plugged_in() as at:
        yield at


# The card itself ----------------------------------------------------------------------


def test_a_card_computes_as_the_cpu_does(card):
    assert devices.best() == card and devices.named("card") == card
    assert 0 < devices.self_test(card) < devices.TOLERANCE
    x = torch.arange(6.0).view(2, 3)
    there = x.to(card)
    assert (
        there.device == card and there.cpu().equal(x) and there.tolist() == x.tolist()
    )
    assert torch.zeros(2, device=card).device == card
    assert torch.tensor([1, 2], device=card).sum().item() == 3
    weight = torch.nn.Parameter(there.T.contiguous())
    (there @ weight).sum().backward()
    assert weight.grad.device == card and weight.grad[0].tolist() == [3, 3]
    there[[0, 1], [1, 1]] = 7.0  # places may come from the CPU
    assert there.tolist() == [[0, 7, 2], [3, 7, 5]]


@pytest.mark.parametrize(
    "mixed",
    [
        lambda here, there: here + there,
        lambda here, there: there + here,
        lambda here, there: there @ here.T,
        lambda here, there: torch.cat([there, here]),
        lambda here, there: torch.where(here > 0, there, 0),
        lambda here, there: there.add_(here),
        lambda here, there: torch.nn.functional.embedding(here.long(), there),
        lambda here, there: torch.nn.Linear(3, 3)(there),
        lambda here, there: torch.randn(2, device=there.device, generator=CHANCE),
        lambda here, there: torch.multinomial(there.abs(), 1, generator=CHANCE),
    ],
)
def test_a_card_refuses_what_is_on_the_cpu(card, mixed):
    with pytest.raises(RuntimeError, match=pretended.REFUSED):
        mixed(torch.ones(2, 3), torch.ones(2, 3, device=card))


CHANCE = devices.generator(0)


@pytest.mark.parametrize("take", [pretended.Card.numpy, np.asarray, np.array])
def test_a_card_gives_numpy_nothing(card, take):
    with pytest.raises(TypeError, match=r"use \.cpu\(\)"):
        take(torch.ones(3, device=card))


# The course on it ---------------------------------------------------------------------


@pytest.mark.parametrize("one", COMPARISONS, ids=lambda one: one.name)
def test_every_part_of_the_course_runs_on_a_card(card, one):
    assert comparisons.difference(one, card) < one.tolerance


def left_behind(*args, **kwargs):
    return torch.device("cpu")


@pytest.mark.parametrize(
    ("room", "name", "broken", "part"),
    [
        (devices, "where", left_behind, "beams and branches"),
        (devices, "where", left_behind, "the inside of a Llama"),
        (devices, "send", lambda tensor, at: tensor, "ten training steps of a GPT"),
        (
            llama,
            "rotation",
            lambda *args, whole=llama.rotation: whole(*args[:3]),
            "logits of a Llama",
        ),
    ],
)
def test_a_tensor_that_was_left_behind_is_found(
    card, monkeypatch, room, name, broken, part
):
    (one,) = [one for one in COMPARISONS if one.name == part]
    monkeypatch.setattr(room, name, broken)
    with pytest.raises(
        (RuntimeError, ValueError), match=r"on the same device|move the ids"
    ):
        comparisons.difference(one, card)


def test_the_real_model_answers_on_a_card(card):
    model, encoding = pretrained.smollm2(devices.best())
    assert devices.where(model) == card
    ids = encoding.encode("The capital of France is")
    (after,) = sampling.write(
        model, ids, sampling.Sampler(0), 1, None, llama.decode_step
    )
    assert encoding.decode([after]) == " Paris"


# The lessons on it --------------------------------------------------------------------


class WithoutAsserts(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.copy_location(ast.Pass(), node)


@pytest.fixture
def short(monkeypatch):
    """Runs of two steps, texts of four tokens, and a small model for the real one."""
    whole, at_length = train.train, sampling.write

    def two_steps(model, train_ids, val_ids, config, *args, **kwargs):
        few = {"steps": min(2, config.steps), "warmup": min(1, config.warmup)}
        few |= {"decay": min(1, config.decay), "every": 2}
        return whole(model, train_ids, val_ids, replace(config, **few), *args, **kwargs)

    def four_tokens(model, ids, sampler, limit, *args, **kwargs):
        return at_length(model, ids, sampler, min(limit, 4), *args, **kwargs)

    def small(at="cpu"):
        shape = llama.LlamaConfig(49_152, 512, 2, 32, 2, 1, 64)
        return llama.Llama(shape).to(at), encoding

    encoding = tokenizer.smollm2()
    monkeypatch.setattr(train, "train", two_steps)
    monkeypatch.setattr(sampling, "write", four_tokens)
    monkeypatch.setattr(pretrained, "smollm2", small)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_lesson_leaves_no_tensor_behind(card, short, path, tmp_path, monkeypatch):
    """Its cells in order, without their asserts. What has no sense after two steps may
    fail, as a fit of two points does; nothing may fail by a tensor at a wrong place."""
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    space, ran, failed = {"__name__": "__main__"}, 0, {}
    for cell in cells.read(path).cells:
        if cell.cell_type == "code":
            tree = ast.fix_missing_locations(
                WithoutAsserts().visit(ast.parse(cell.source))
            )
            quiet = io.StringIO()
            try:
                with (
                    contextlib.redirect_stdout(quiet),
                    contextlib.redirect_stderr(quiet),
                ):
                    exec(compile(tree, f"cell {cell.id}", "exec"), space)
                ran += 1
            except Exception as error:
                failed[cell.id] = f"{type(error).__name__}: {error}"
    wrong_place = re.compile(f"{pretended.REFUSED}|{pretended.AT}")
    assert not {id: said for id, said in failed.items() if wrong_place.search(said)}
    assert ran > 0.7 * (ran + len(failed)), failed


# The script for a real one ------------------------------------------------------------


def test_the_report_on_a_card_has_every_part_and_cuts_what_does_not_end(tmp_path):
    out, python = tmp_path / "report.md", [sys.executable, "-c"]
    parts = {
        "good": [*python, "print('fine')"],
        "bad": [*python, "import sys; sys.exit(3)"],
        "endless": [*python, "import time; print('begun', flush=True); time.sleep(60)"],
    }
    start = time.monotonic()
    assert not gpu.report(out, 1 / 60, parts) and time.monotonic() - start < 20
    said = out.read_text()
    assert "good ended well" in said and "fine" in said and "bad failed (3)" in said
    assert "endless was cut" in said and gpu.report(out, 1, {"good": parts["good"]})


def test_the_scales_are_timed_on_the_device(monkeypatch, capsys):
    monkeypatch.setattr(scales, "EVERY", scales.EVERY[:1])
    gpu.scales()
    said = capsys.readouterr().out
    assert re.search(
        r"tiny: [\d.]+ ms a step, so [\d.]+ minutes in all; foreseen", said
    )
