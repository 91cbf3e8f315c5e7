"""Lesson 11's parts against torch and gguf, and its Llama, as a learner types it."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib import (
    gpt,
    inside,
    llama,
    pretrained,
    quantized,
    sampling,
    sizing,
    train,
)
from course_lib.devices import generator
from course_lib.files import sources
from course_lib.notebooks import cells

SMALL = llama.LlamaConfig(61, 24, 2, 32, 4, 2, 48, rope_base=100.0)
TYPED = {"in-package", "exercise"}
LESSON = cells.paths(["11"])[0]


def noise(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed))


# Parts ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8,), (3, 8), (2, 3, 8)])
@pytest.mark.parametrize("epsilon", [1e-5, 0.5])
def test_rms_norm_is_torchs(shape, epsilon):
    x, weight = 5 * noise(*shape) + 2, noise(8, seed=1)
    theirs = F.rms_norm(x, (8,), weight, epsilon)
    assert torch.allclose(llama.rms_norm(x, weight, epsilon), theirs, atol=1e-6)
    assert not llama.rms_norm(torch.zeros(8), weight).any()


def test_the_part_has_a_weight_and_no_bias_and_uses_it():
    part = llama.RMSNorm(8, epsilon=0.5)
    assert [name for name, _ in part.named_parameters()] == ["weight"]
    with torch.no_grad():
        part.weight.copy_(noise(8, seed=1))
    theirs = F.rms_norm(noise(3, 8), (8,), part.weight, 0.5)
    assert torch.allclose(part(noise(3, 8)), theirs, atol=1e-6)


@pytest.mark.parametrize(("heads", "groups"), [(6, 6), (6, 3), (6, 2), (6, 1)])
def test_shared_heads_are_torchs_groups(heads, groups):
    query = noise(2, heads, 5, 4)
    key, value = noise(2, groups, 5, 4, seed=1), noise(2, groups, 5, 4, seed=2)
    ours = F.scaled_dot_product_attention(
        query, llama.share_heads(key, heads), llama.share_heads(value, heads)
    )
    theirs = F.scaled_dot_product_attention(query, key, value, enable_gqa=True)
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_blocks_of_four_bits_are_read_as_gguf_reads_them():
    gguf = pytest.importorskip("gguf")
    weights = 0.3 * noise(40, 96) - 0.1
    kind = gguf.GGMLQuantizationType.Q4_1
    stored = gguf.quantize(weights.numpy(), kind)  # (40, 60), uint8
    blocks = torch.from_numpy(stored).view(-1, 20)
    ours = quantized.dequantise(blocks)
    assert ours.shape == (120, 32) and ours.dtype == torch.float32
    theirs = torch.from_numpy(gguf.dequantize(stored, kind))
    assert torch.equal(ours.view(theirs.shape), theirs)
    step = (weights.view(-1, 32).amax(1) - weights.view(-1, 32).amin(1)) / 15
    assert ((ours - weights.view(-1, 32)).abs().amax(1) <= 0.51 * step + 1e-3).all()


def test_some_blocks_of_many_can_be_read():
    """A slice of a larger table has its bytes apart."""
    wide = torch.randint(256, (6, 45), generator=generator(0), dtype=torch.uint8)
    wide[:, [3, 5]] &= 0x3B  # no infinity, and no NaN
    some = wide[::2, 2:22]
    assert torch.equal(
        quantized.dequantise(some), quantized.dequantise(some.contiguous())
    )


# A learner's own --------------------------------------------------------------------


@pytest.fixture(scope="module")
def own() -> type:
    """Llama as a learner has typed it in lesson 11, every exercise answered."""
    space = {}
    exec("import torch\nfrom torch.nn import functional as F", space)
    exec("from collections.abc import Callable", space)
    for cell in cells.solved(cells.read(LESSON), "11").cells:
        if TYPED & set(cells.tags(cell)):
            exec(cell.source, space)
    return space["Llama"]


@pytest.fixture(scope="module")
def small(own) -> nn.Module:
    model = own(SMALL).eval()
    for i, weight in enumerate(model.parameters()):
        weight.data.normal_(1.0 * (weight.dim() == 1), 0.3, generator=generator(i))
    return model


def test_it_is_not_ours(own):
    assert own is not llama.Llama and own.__module__ != llama.Llama.__module__


NAMES = {
    "attention_norm": "input_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "mlp_norm": "post_attention_layernorm",
    "mlp.gate": "mlp.gate_proj",
    "mlp.up": "mlp.up_proj",
    "mlp.down": "mlp.down_proj",
}


def test_it_computes_what_transformers_does(small, transformers):
    shape = {
        "vocab_size": SMALL.vocabulary,
        "hidden_size": SMALL.channels,
        "intermediate_size": SMALL.mlp_channels,
        "num_hidden_layers": SMALL.layers,
        "num_attention_heads": SMALL.query_heads,
        "num_key_value_heads": SMALL.key_value_heads,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": SMALL.rope_base},
    }
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape)).eval()
    weights = {"model.embed_tokens.weight": small.embedding.weight}
    weights |= {"model.norm.weight": small.norm.weight}
    for i, block in enumerate(small.blocks):
        for ours, name in NAMES.items():
            part = block.get_submodule(ours)
            weights[f"model.layers.{i}.{name}.weight"] = part.weight
    left = theirs.load_state_dict(weights, strict=False)
    assert left.missing_keys == ["lm_head.weight"] and not left.unexpected_keys
    theirs.tie_weights()
    ids = torch.randint(61, (2, 24), generator=generator(1))
    with torch.no_grad():
        assert torch.allclose(small(ids), theirs(ids).logits, atol=1e-4)


def test_it_is_trained_looked_into_and_writes(own):
    model = own(replace(SMALL, context=16))
    gpt.start_weights(model, generator(0))
    ids = torch.arange(400) % 61
    plan = train.TrainConfig(steps=40, batch=8, context=16, rate=1e-2, every=40)
    history = train.train(model, ids, ids, plan, at="cpu", bar=False)
    assert history.validation[-1][1] < 0.5 * history.losses[0]
    assert inside.residual_stream(model, [1, 2, 3]).shape == (3, 3, 32)
    assert inside.attention_patterns(model, [1, 2, 3]).shape == (2, 4, 3, 3)
    greedy = sampling.Sampler(temperature=0)
    slow = list(sampling.write(model, [1, 2], greedy, 8))
    fast = sampling.write(model, [1, 2], greedy, 8, decode_step=llama.decode_step)
    assert slow == list(fast)


def test_it_takes_eight_bits(small):
    rough = quantized.int8(small, quantized.plain)
    ids = torch.randint(61, (2, 24), generator=generator(1))
    before = small(ids)
    error = (rough(ids) - before).std() / before.std()
    assert 0 < error < 0.05
    assert not [part for part in rough.modules() if isinstance(part, nn.Linear)]


# The real weights -------------------------------------------------------------------


def test_the_real_weights_in_a_learners_class_say_what_the_lesson_recorded(own, llm):
    record = {}  # what transformers said: test_pretrained holds it to that
    exec(cells.cell(LESSON, "recorded"), record)
    mine = sizing.on_meta(own, llama.SMOLLM2_135M)
    mine.load_state_dict(llm[0].state_dict(), assign=True)
    assert pretrained.parameters(mine) == 134_515_008
    with torch.no_grad():
        top = mine(torch.tensor([llm[1].encode(record["SUN"])]))[0].max(-1)
    assert top.indices.tolist() == record["THEIRS"]
    assert top.values.tolist() == pytest.approx(record["LOGITS"], abs=2e-3)


def test_the_real_file_is_found_and_whole(llm):
    assert pretrained.smollm2_file().stat().st_size == sources.SMOLLM2.size
