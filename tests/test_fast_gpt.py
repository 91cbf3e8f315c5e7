"""The fast recipe's model: against loops and torch, and what must hold at any weights."""

import dataclasses
import math

import pytest
import runs
import torch
from runs import SHAPE, new
from torch import nn
from torch.nn import functional as F

from course_lib import fast_gpt, llama, train
from course_lib.devices import generator
from course_lib.fast_gpt import FastAttention, FastBlock, FastGPT

IDS = runs.TRAIN_IDS[:32].view(2, 16)
TURN = llama.rotation(40, SHAPE.head_size, fast_gpt.BASE)  # (2, 40, D)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed))


def shaken(module: nn.Module, seed: int = 1) -> nn.Module:
    """The module with every weight drawn anew: nothing stays zero."""
    chance = generator(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(std=0.3, generator=chance)
    return module


# Parts --------------------------------------------------------------------------------


def test_norm_brings_every_vector_to_mean_0_and_variance_1():
    y = fast_gpt.norm(noise(3, 5, 32) * 7 + 2)
    assert torch.allclose(y.mean(-1), torch.zeros(3, 5), atol=1e-5)
    assert torch.allclose(y.var(-1, correction=0), torch.ones(3, 5), atol=1e-3)


def test_mixed_is_a_share_of_the_position_before():
    x, share = noise(2, 6, 4), torch.tensor([0.0, 0.25, 0.5, 1.0])
    y = fast_gpt.mixed(x, share)
    for t in range(6):
        before = x[:, t - 1] if t else torch.zeros(2, 4)
        wanted = (1 - share) * x[:, t] + share * before
        assert torch.allclose(y[:, t], wanted, atol=1e-6)


@torch.no_grad()
def by_complex_numbers(ours: FastAttention, x: torch.Tensor) -> torch.Tensor:
    """The same attention, position by position, pairs of channels as complex numbers."""
    size = SHAPE.head_size
    speed = fast_gpt.BASE ** (-2 * torch.arange(size // 2) / size)
    outputs = torch.zeros_like(x)
    for b in range(len(x)):
        for h in range(SHAPE.heads):
            mine = slice(h * size, (h + 1) * size)

            def turned(part, t, b=b, mine=mine):
                y = F.layer_norm(part(x[b, t])[mine], (size,))
                return torch.complex(*y.chunk(2)) * torch.exp(1j * t * speed)

            for t in range(x.shape[1]):
                query = turned(ours.query, t)
                keys = [turned(ours.key, s) for s in range(t + 1)]
                fits = torch.stack([(query * k.conj()).real.sum() for k in keys])
                shares = (fits / math.sqrt(size)).softmax(0)
                values = ours.value(x[b, : t + 1])[:, mine]
                outputs[b, t, mine] = shares @ values
    return ours.output(outputs)


@torch.no_grad()
def test_attention_is_that_of_a_loop_over_complex_numbers():
    ours, x = shaken(FastAttention(SHAPE)), noise(2, 9, 32)
    wanted = by_complex_numbers(ours, x)
    assert torch.allclose(ours(x, TURN[:, :9]), wanted, atol=1e-4)


@torch.no_grad()
def test_attention_knows_distances_and_not_places():
    ours, x = shaken(FastAttention(SHAPE)), noise(2, 9, 32)
    here = ours(x, TURN[:, :9])
    assert torch.allclose(ours(x, TURN[:, 25:34]), here, atol=1e-4)
    nowhere = ours(x, TURN[:, :1].expand(-1, 9, -1))
    assert (nowhere - here).abs().max() > 0.01  # distances do count


@torch.no_grad()
def test_a_block_adds_attention_and_then_the_mlp():
    block, x = shaken(FastBlock(SHAPE)), noise(2, 9, 32)
    normed = F.layer_norm(x, (32,))
    middle = x + block.attention(
        fast_gpt.mixed(normed, block.before_attention), TURN[:, :9]
    )
    normed = fast_gpt.mixed(F.layer_norm(middle, (32,)), block.before_mlp)
    up = normed @ block.up.weight.T
    wanted = middle + (up.clamp(min=0) ** 2) @ block.down.weight.T
    assert torch.allclose(block(x, TURN[:, :9]), wanted, atol=1e-4)


# The whole ----------------------------------------------------------------------------


@torch.no_grad()
def test_no_position_sees_what_comes_later():
    model, ids = shaken(new(FastGPT)), IDS[:1]
    before = model(ids)
    for t in (1, 6, 15):
        changed = ids.clone()
        changed[0, t] = (ids[0, t] + 7) % 40
        after = model(changed)
        assert torch.allclose(after[:, :t], before[:, :t], atol=1e-4)
        assert (after[:, t:] - before[:, t:]).abs().max() > 1e-2  # it is read


@torch.no_grad()
def test_a_prefix_has_the_logits_that_it_has_in_the_whole():
    model = shaken(new(FastGPT))
    for t in (1, 5, 16):
        assert torch.allclose(model(IDS[:, :t]), model(IDS)[:, :t], atol=1e-4)


@torch.no_grad()
def test_it_starts_by_guessing():
    model = new(FastGPT)
    logits = model(IDS)
    assert logits.shape == (2, 16, 40) and logits.dtype == torch.float32
    assert torch.equal(logits, torch.zeros(2, 16, 40))
    loss = train.next_token_loss(model, IDS, IDS.roll(-1, 1))
    assert loss.item() == pytest.approx(math.log(40), abs=1e-6)


@torch.no_grad()
def test_the_whole_is_its_parts_in_order():
    model = shaken(new(FastGPT))
    x = F.layer_norm(model.embedding.weight[IDS], (32,))
    for block in model.blocks:
        x = block(x, TURN[:, :16])
    wanted = F.layer_norm(x, (32,)) @ model.unembedding.weight.T
    assert torch.allclose(model(IDS), wanted, atol=1e-4)


@torch.no_grad()
def test_every_block_begins_by_adding_nothing():
    x = noise(2, 9, 32)
    for block in new(FastGPT).blocks:
        assert torch.equal(block(x, TURN[:, :9]), x)


def test_it_has_five_numbers_and_no_more():
    weights = dict(new(FastGPT).named_parameters())
    each = 4 * 32 * 32 + 2 * 4 * 32 * 32 + 2 * 32
    assert sum(w.numel() for w in weights.values()) == 2 * each + 2 * 40 * 32
    assert "embedding.weight" in weights and "unembedding.weight" in weights


def test_one_seed_means_the_same_weights():
    torch.manual_seed(1)
    one = new(FastGPT)
    torch.manual_seed(2)  # torch's own chance has no say
    other, third = new(FastGPT), new(FastGPT, seed=1)
    for name, weight in one.named_parameters():
        assert torch.equal(weight, other.get_parameter(name)), name
        is_drawn = weight.std() > 0
        assert torch.equal(weight, third.get_parameter(name)) != is_drawn, name


def test_first_weights_keep_the_size_of_vectors():
    model = FastGPT(dataclasses.replace(SHAPE, channels=256), generator(0))
    x = fast_gpt.norm(noise(50, 256, seed=5))
    for part in (model.blocks[0].attention.query, model.blocks[0].up):
        assert part(x).std().item() == pytest.approx(1, abs=0.1)
    assert model.embedding.weight.std().item() == pytest.approx(1, abs=0.1)


def test_it_learns_one_batch_by_heart():
    model = new(FastGPT)
    ids = torch.randint(40, (17,), generator=generator(3))  # one window, no rule in it
    config = train.TrainConfig(80, 2, 16, rate=1e-2, muon=0.02, warmup=5, every=80)
    history = train.train(model, ids, ids, config, "cpu", bar=False)
    assert history.losses[0] == pytest.approx(math.log(40), abs=1e-5)
    assert history.losses[-1] < 0.05 and history.validation[-1][1] < 0.05


def test_every_weight_gets_a_slope_once_it_has_begun():
    model = shaken(new(FastGPT))
    train.next_token_loss(model, IDS, IDS.roll(-1, 1)).backward()
    for name, weight in model.named_parameters():
        assert bool(weight.grad.any()), name


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (
            torch.zeros(1, 17, dtype=torch.int64),
            "17 positions are more than the context",
        ),
        (torch.tensor([[40]]), "Ids run from 0 to 39; these hold 40"),
        (torch.tensor([[-1]]), "these hold -1"),
        (torch.tensor([3]), r"The ids have shape \(1,\)"),
        (torch.zeros(1, 0, dtype=torch.int64), r"The ids have shape \(1, 0\)"),
        (torch.tensor([[1.0]]), "The ids are torch.float32"),
        ([[3]], "The ids are a list"),
    ],
)
def test_ids_that_can_not_be_read(ids, words):
    with pytest.raises(ValueError, match=words):
        new(FastGPT)(ids)
