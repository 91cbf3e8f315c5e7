"""What is read inside a model is what the model itself computes with."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib import inside, llama
from course_lib.devices import generator
from course_lib.gpt import GPT, GPTConfig

IDS = [3, 14, 1, 5, 9, 2, 6]  # T = 7


def shaken(model: nn.Module) -> nn.Module:
    """The model with every weight drawn anew, and large: nothing stays 0 or 1."""
    chance = generator(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.5, generator=chance)
    return model


MODELS = {
    "GPT": shaken(GPT(GPTConfig(19, 12, layers=3, channels=12, heads=3), tied=False)),
    "Llama": shaken(
        llama.Llama(
            llama.LlamaConfig(
                vocabulary=19, context=12, layers=3, channels=12, query_heads=3,
                key_value_heads=1, mlp_channels=20,
            )
        )
    ),
}  # fmt: skip
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
LOOKS = {
    "residual_stream": inside.residual_stream,
    "attention_patterns": inside.attention_patterns,
    "neurons": inside.neurons,
    "logit_lens": inside.logit_lens,
}
every_look = pytest.mark.parametrize("look", LOOKS.values(), ids=list(LOOKS))


def close(a, b, atol=1e-5):
    return a.shape == b.shape and torch.allclose(a, b, atol=atol)


def outputs(modules, model) -> list[torch.Tensor]:
    """What each module gives while the model reads IDS: (T, C) each."""
    heard = []
    hooks = [
        module.register_forward_hook(lambda _, given, gave: heard.append(gave[0]))
        for module in modules
    ]
    logits(model)
    for hook in hooks:
        hook.remove()
    return heard


@torch.no_grad()
def logits(model) -> torch.Tensor:
    """The model's own logits for IDS: (T, V)."""
    return model(torch.tensor([IDS]))[0]


def has_hooks(model) -> bool:
    return any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())


@every_model
def test_read_gives_the_models_logits_without_gradients(model):
    read = inside.logits(model, IDS)
    assert torch.equal(read, logits(model)) and not read.requires_grad


@every_model
def test_the_stream_is_what_layers_are_given_and_give(model):
    stream = inside.residual_stream(model, IDS)
    assert stream.shape == (4, 7, 12) and not stream.requires_grad
    assert torch.equal(stream[0], model.embed(torch.tensor([IDS]))[0])
    for layer, gave in enumerate(outputs(model.blocks, model)):
        assert torch.equal(stream[layer + 1], gave)


@every_model
def test_a_layer_adds_its_attention_and_its_mlp_to_the_stream(model):
    stream = inside.residual_stream(model, IDS)
    attention = outputs([block.attention for block in model.blocks], model)
    mlp = outputs([block.mlp for block in model.blocks], model)
    for layer in range(3):
        step = stream[layer + 1] - stream[layer]
        assert close(step, attention[layer] + mlp[layer], 1e-4)


@every_model
@torch.no_grad()
def test_patterns_are_what_attention_mixes_values_with(model):
    patterns = inside.attention_patterns(model, IDS)  # (L, H, T, T)
    assert patterns.shape == (3, 3, 7, 7)
    assert torch.equal(patterns, patterns.tril())
    assert close(patterns.sum(-1), torch.ones(3, 3, 7))
    stream = inside.residual_stream(model, IDS)
    gave = outputs([block.attention for block in model.blocks], model)
    for layer, block in enumerate(model.blocks):
        x = block.attention_norm(stream[layer])
        value = block.attention.value(x).unflatten(-1, (-1, 4)).expand(7, 3, 4)
        mixed = torch.einsum("hij,jhd->ihd", patterns[layer], value).flatten(1)
        assert close(block.attention.output(mixed), gave[layer], 1e-4)


@every_model
@torch.no_grad()
def test_down_turns_the_neurons_into_what_the_mlp_gives(model):
    fired = inside.neurons(model, IDS)  # (L, T, M)
    assert fired.shape == (3, 7, model.blocks[0].mlp.down.in_features)
    gave = outputs([block.mlp for block in model.blocks], model)
    for layer, block in enumerate(model.blocks):
        down = block.mlp.down
        assert close(F.linear(fired[layer], down.weight, down.bias), gave[layer])


@every_model
@pytest.mark.parametrize("position", [-1, 0, 4])
def test_the_lens_ends_with_the_models_own_probabilities(model, position):
    lens = inside.logit_lens(model, IDS, position)  # (L+1, V)
    assert lens.shape == (4, 19) and close(lens.sum(-1), torch.ones(4))
    assert close(lens[-1], logits(model)[position].softmax(-1))
    assert torch.equal(inside.logit_lens(model, IDS), inside.logit_lens(model, IDS, 6))


@every_model
def test_the_lens_looks_through_a_model_cut_short(model):
    lens, blocks = inside.logit_lens(model, IDS), model.blocks
    try:
        for layers in range(4):
            model.blocks = blocks[:layers]
            assert close(lens[layers], logits(model)[-1].softmax(-1))
    finally:
        model.blocks = blocks


@every_model
@every_look
def test_looking_changes_nothing_and_leaves_nothing(model, look):
    before = logits(model)
    first, again = look(model, IDS), look(model, IDS)
    assert torch.equal(first, again)
    assert not first.requires_grad and first.device.type == "cpu"
    assert not has_hooks(model) and torch.equal(logits(model), before)


@every_model
@every_look
def test_hooks_are_gone_even_if_the_model_fails(model, look):
    def fail(*_):
        raise RuntimeError("stopped on the way")

    stop = model.blocks[2].mlp.register_forward_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="stopped on the way"):
            look(model, IDS)
    finally:
        stop.remove()
    assert not has_hooks(model)


def test_inputs_are_heard_in_the_order_of_the_calls():
    first, second = nn.Identity(), nn.Identity()
    with inside.inputs_of([first, second]) as heard:
        second(torch.tensor(2))
        first(torch.tensor(1))
        second(torch.tensor(3))
    second(torch.tensor(4))  # after the block of `with`: no longer heard
    assert [int(given[0]) for given in heard] == [2, 1, 3]


def test_a_block_that_writes_into_its_input_is_seen_layer_by_layer():
    class InPlace(nn.Module):
        def __init__(self, block):
            super().__init__()
            self.block = block

        def forward(self, x):
            x += self.block(x.clone()) - x
            return x

    model = shaken(GPT(GPTConfig(19, 12, layers=3, channels=12, heads=3)))
    wanted = inside.residual_stream(model, IDS)
    model.blocks = nn.ModuleList(InPlace(block) for block in model.blocks)
    assert close(inside.residual_stream(model, IDS), wanted)


@pytest.mark.parametrize("position", [7, -8])
@every_model
def test_a_position_that_is_not_there_is_one_sentence(model, position):
    words = f"no position {position} in 7 tokens: give one from -7 to 6."
    with pytest.raises(ValueError, match=words):
        inside.logit_lens(model, IDS, position)


# A reading that is kept, and taken apart -------------------------------------------------


@every_model
def test_a_reading_keeps_what_the_parts_said(model):
    reading = inside.read(model, IDS)
    assert torch.equal(reading.stream, inside.residual_stream(model, IDS))
    attention = outputs([block.attention for block in model.blocks], model)
    mlp = outputs([block.mlp for block in model.blocks], model)
    for layer, block in enumerate(model.blocks):
        heads = [reading.output((layer, head)) for head in range(3)]
        joined = block.attention.output(torch.cat(heads, -1))
        assert close(joined, attention[layer], 1e-4)
        assert torch.equal(reading.output((layer, "mlp")), mlp[layer])
        assert torch.equal(reading.output((layer, "stream")), reading.stream[layer])
    assert not has_hooks(model) and not reading.mixed.requires_grad


@every_model
def test_a_reading_goes_on_from_every_layer(model):
    reading = inside.read(model, IDS)
    for layer in range(4):
        assert close(inside.resume(reading, layer)[0], logits(model)[-1], 1e-4)


@every_model
def test_the_stream_before_a_layer_takes_no_layer_above_it(model):
    ids = torch.tensor([IDS, IDS[::-1]])
    above = model.blocks[1].mlp.register_forward_hook(lambda *_: pytest.fail("too far"))
    try:
        found = inside.stream_before(model, ids, 1)
    finally:
        above.remove()
    assert found.shape == (2, 7, 12)
    assert torch.equal(found[0], inside.residual_stream(model, IDS)[1])
    assert not has_hooks(model)


@every_model
@pytest.mark.parametrize("position", [-1, 3])
def test_all_parts_add_up_to_the_logit(model, position):
    reading, wanted = inside.read(model, IDS), logits(model)[position]
    for token in (0, 7, 18):
        parts = inside.attribution(reading, token, position=position)
        assert len(parts) == 1 + 9 + 3 + 1
        assert sum(parts.values()) == pytest.approx(float(wanted[token]), abs=1e-4)
    parts = inside.attribution(reading, 7, 4, position)
    assert sum(parts.values()) == pytest.approx(float(wanted[7] - wanted[4]), abs=1e-4)


@every_model
def test_a_parts_share_is_what_the_logit_loses_without_it_at_one_scale(model):
    """With the last norm's scale held, taking a part's vector off costs its share."""
    reading = inside.read(model, IDS)
    parts, block = inside.attribution(reading, 7), model.blocks[1]
    said = F.linear(reading.output((1, 2))[-1], block.attention.output.weight[:, 8:])
    for part, vector in {
        (1, 2): said,
        (2, "mlp"): reading.output((2, "mlp"))[-1],
        "embedding": reading.stream[0, -1],
    }.items():
        x = reading.stream[-1, -1]
        less = x - vector.detach()
        whole, rest = (one - one.mean() * isinstance(model, GPT) for one in (x, less))
        weight, bias = model.norm.weight, getattr(model.norm, "bias", None)
        scale = (whole.square().mean() + 1e-5).rsqrt()
        rows = model.unembedding.weight if bias is not None else model.embedding.weight
        drop = float((rows[7] * weight * scale * (whole - rest)).sum().detach())
        assert parts[part] == pytest.approx(drop, abs=1e-3)


def test_all_parts_of_the_real_llm_add_up(llm):
    model, encoding = llm
    text = "When Mary and John went to the store, John gave a drink to"
    reading = inside.read(model, encoding.encode(text))
    mary, john = (encoding.encode(name)[0] for name in (" Mary", " John"))
    wanted = inside.logits(model, reading.ids)[-1]
    parts = inside.attribution(reading, mary, john)
    assert len(parts) == 1 + 270 + 30 + 1
    assert abs(sum(parts.values()) - float(wanted[mary] - wanted[john])) < 1e-4
    assert abs(sum(inside.attribution(reading, mary).values()) - wanted[mary]) < 1e-4
