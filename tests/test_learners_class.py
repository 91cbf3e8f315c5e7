"""A learner's own GPT in place of ours: nothing else needs to change.

The class is put together from the lessons' own cells, every exercise answered.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib import gpt, inside, pretrained, sampling, sizing
from course_lib.gpt import GPTConfig
from course_lib.notebooks import cells

SMALL = GPTConfig(vocabulary=101, context=16, layers=2, channels=24, heads=3)
TYPED = {"in-package", "exercise"}


@pytest.fixture(scope="module")
def own() -> type:
    """GPT as a learner has typed it: attention in 03, the MLP in 04, the rest in 05."""
    space = {"torch": torch, "nn": nn, "F": F, "math": math, "Callable": Callable}
    space |= {"GPTConfig": GPTConfig, "check_ids": gpt.check_ids}  # given, not typed
    for number in ("03", "04", "05"):
        notebook = cells.read(cells.paths([number])[0])
        for cell in cells.solved(notebook, number).cells:
            if TYPED & set(cells.tags(cell)):
                exec(cell.source, space)
    return space["GPT"]


@pytest.fixture(scope="module")
def model(own) -> nn.Module:
    return own(SMALL, generator=torch.Generator().manual_seed(0)).eval()


def test_it_is_not_ours(own):
    assert own is not gpt.GPT and own.__module__ != gpt.GPT.__module__


def test_it_computes_what_ours_computes(model):
    ours = gpt.GPT(SMALL).eval()
    ours.load_state_dict(model.state_dict())
    ids = torch.randint(101, (2, 16), generator=torch.Generator().manual_seed(1))
    assert torch.allclose(model(ids), ours(ids), atol=1e-6)


def test_gpt3_is_counted_on_it(own):
    counted = sizing.count(sizing.on_meta(own, gpt.GPT3, tied=False))
    assert sum(counted[kind] for kind in sizing.KINDS) == 175_181_291_520
    assert counted["the rest"] == 40_525_824


def test_it_writes(model):
    written = list(sampling.generate(model, [1, 2, 3], sampling.greedy, 5))
    assert len(written) == 5 and all(0 <= id < 101 for id in written)


def test_it_can_be_looked_into(model):
    ids = [5, 6, 7, 8]
    stream = inside.residual_stream(model, ids)
    assert stream.shape == (3, 4, 24)
    assert torch.allclose(stream[0], model.embed(torch.tensor([ids]))[0])
    assert inside.attention_patterns(model, ids).sum(-1) == pytest.approx(1.0)
    assert inside.neurons(model, ids).shape == (2, 4, 96)
    last = inside.logits(model, ids)[-1].softmax(-1)
    assert torch.allclose(inside.logit_lens(model, ids)[-1], last, atol=1e-6)


def test_gpt2s_weights_load_into_it(own, tmp_path, transformers):
    shape = {"vocab_size": 101, "n_positions": 16, "n_embd": 24, "n_layer": 2}
    config = transformers.GPT2Config(**shape, n_head=3, bos_token_id=0, eos_token_id=0)
    theirs = transformers.GPT2LMHeadModel(config).eval()
    theirs.save_pretrained(tmp_path)
    mine = pretrained.gpt2(tmp_path / "model.safetensors", own, heads=3)
    ids = torch.randint(101, (2, 16), generator=torch.Generator().manual_seed(1))
    assert isinstance(mine, own)
    assert torch.allclose(mine(ids), theirs(ids).logits, atol=1e-4)
