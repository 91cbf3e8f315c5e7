"""Encoders and decoders beside torch's own layers, and what nothing may see."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib import devices, multimodal
from course_lib.gpt import GPTConfig

SHAPE = GPTConfig(vocabulary=11, context=9, layers=2, channels=16, heads=4)


def some(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=devices.generator(seed))


def translator(positions: bool = True) -> multimodal.Translator:
    words = nn.Embedding(7, SHAPE.channels)
    chance = devices.generator(3)
    return multimodal.Translator(SHAPE, words, positions, chance).eval()


def copied(cross: multimodal.CrossAttention) -> nn.MultiheadAttention:
    """torch's own attention with the same weights."""
    theirs = nn.MultiheadAttention(SHAPE.channels, SHAPE.heads, batch_first=True)
    parts = [cross.query, cross.key, cross.value]
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.weight.copy_(cross.output.weight)
        theirs.out_proj.bias.copy_(cross.output.bias)
    return theirs


@pytest.mark.parametrize("lengths", [(5, 3), (1, 4), (6, 6)])
def test_cross_attention_is_torchs(lengths):
    target, source = lengths
    query, key, value = (
        some(2, 3, target, 8),
        some(2, 3, source, 8),
        some(2, 3, source, 8),
    )
    theirs = F.scaled_dot_product_attention(query, key, value)
    assert torch.allclose(
        multimodal.cross_attention(query, key, value), theirs, atol=1e-6
    )


def test_the_module_and_its_pattern_are_torchs():
    cross, x, source = multimodal.CrossAttention(SHAPE), some(2, 5, 16), some(2, 3, 16)
    theirs, weights = copied(cross)(x, source, source, average_attn_weights=False)
    assert torch.allclose(cross(x, source), theirs, atol=1e-5)
    assert torch.allclose(cross.pattern(x, source), weights, atol=1e-5)


def test_an_encoder_block_is_torchs():
    block = multimodal.EncoderBlock(SHAPE)
    look = {"norm_first": True, "batch_first": True, "dropout": 0.0}
    activation = nn.GELU(approximate="tanh")
    theirs = nn.TransformerEncoderLayer(16, 4, 64, activation=activation, **look)
    theirs.self_attn = copied(block.attention)
    pairs = (
        (theirs.norm1, block.attention_norm), (theirs.norm2, block.mlp_norm),
        (theirs.linear1, block.mlp.up), (theirs.linear2, block.mlp.down),
    )  # fmt: skip
    for one, ours in pairs:
        one.load_state_dict(ours.state_dict())
    x = some(2, 6, 16)
    assert torch.allclose(theirs.train()(x), block(x), atol=1e-5)


@pytest.mark.parametrize("place", range(4))
def test_a_decoder_sees_no_later_word_and_all_of_the_source(place):
    """By gradients, where the lesson tries: no slope, no dependence."""
    block = multimodal.DecoderBlock(SHAPE)
    x, source = (some(1, n, 16).requires_grad_() for n in (4, 6))
    block(x, source)[0, place].square().sum().backward()
    reads = x.grad[0].abs().amax(-1) > 0
    assert reads.tolist() == [i <= place for i in range(4)]
    assert (source.grad[0].abs().amax(-1) > 0).all()
    found = multimodal.who_sees(
        lambda some: block(some[None], source)[0], x[0].detach()
    )
    assert torch.equal(found[place], reads)


def test_a_table_of_who_sees_whom_leaves_its_input():
    x = some(3, 4)
    before = x.clone()
    assert torch.equal(
        multimodal.who_sees(lambda x: x.flip(0), x), torch.eye(3).flip(0) > 0
    )
    assert torch.equal(x, before)


def test_without_positions_an_encoder_only_moves_what_is_moved():
    order = torch.tensor([2, 0, 3, 1])
    ids = torch.tensor([[1, 5, 2, 6]])
    with torch.no_grad():
        bag, ordered = translator(False).encoder, translator().encoder
        assert torch.allclose(bag(ids)[:, order], bag(ids[:, order]), atol=1e-6)
        assert not torch.allclose(
            ordered(ids)[:, order], ordered(ids[:, order]), atol=1e-3
        )


def test_positions_that_are_off_stay_zero_through_a_training():
    model, ids = translator(False), torch.randint(7, (8, 5))
    multimodal.fit(model, (ids, ids), ids, steps=3, batch=4)
    assert not model.encoder.position.any() and model.position.weight.any()


def test_a_namer_reads_the_class_token_and_patches_in_any_number():
    model = multimodal.Namer(SHAPE, 9, chance=devices.generator(0))
    assert model(some(3, 4, 9)).shape == model(some(3, 9, 9)).shape == (3, 11)
    x = some(1, 4, 9).requires_grad_()
    model(x).square().sum().backward()
    assert (x.grad[0].abs().amax(-1) > 0).all()  # it looks at every patch


def test_the_first_weights_are_the_generators():
    one, other = (translator().state_dict() for _ in range(2))
    known = "encoder.embedding"  # given from outside, drawn like the rest
    assert all(torch.equal(one[name], other[name]) for name in one), known


def test_fit_learns_the_same_from_the_same_seed_and_tells_how_far_it_is():
    source = torch.randint(7, (64, 5), generator=devices.generator(1))
    told, runs = [], []
    for _ in range(2):
        model = translator()
        moved = F.pad(source, (1, -1))
        tell = lambda losses: told.append(len(losses))  # noqa: E731
        runs.append(
            multimodal.fit(model, (source, moved), source, 120, 1e-2, tell=tell)
        )
    assert runs[0] == runs[1] and told == [50, 100] * 2
    assert runs[0][-1] < 0.5 < 1.5 < runs[0][0]  # it can copy


def test_an_interrupted_training_keeps_what_it_has():
    def stop(losses):
        raise KeyboardInterrupt

    ids = torch.randint(7, (8, 5))
    assert len(multimodal.fit(translator(), (ids, ids), ids, 200, tell=stop)) == 50


def test_right_is_right_to_the_first_end():
    target = torch.tensor([[3, 1, 1, 1], [3, 4, 1, 1], [3, 4, 5, 6]])
    said = torch.tensor([[3, 1, 9, 9], [3, 4, 9, 1], [3, 4, 5, 6]])
    logits = F.one_hot(said, 10).float()
    assert multimodal.all_right(logits, target).tolist() == [True, False, True]


def test_right_sentences_are_those_that_greedy_writes():
    model = translator()
    source = torch.randint(7, (40, 5), generator=devices.generator(1))
    target = source % 3 + 1  # ends, id 1, come early
    multimodal.fit(model, (source, F.pad(target, (1, -1))), target, 60, 1e-2)
    with torch.no_grad():
        right = multimodal.all_right(model(source, F.pad(target, (1, -1))), target)
        assert 0 < right.sum() < len(right)
        for one, row, good in zip(source, target.tolist(), right):
            logits_of = lambda ids, one=one: model(one[None], ids)  # noqa: E731
            written = multimodal.greedy(logits_of, 0, 1, 5)
            wanted = row[: row.index(1)] if 1 in row else row
            assert (written == wanted) == bool(good)
