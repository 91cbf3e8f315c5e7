"""Parts of a model are changed where it computes with them, and nowhere else."""

import time

import pytest
import torch
from torch import nn

from course_lib import gpt, inside, kv_cache, llama, patching, sampling
from tests.test_inside import IDS, MODELS, close, every_model, has_hooks, logits

OTHER = [3, 14, 1, 8, 9, 2, 6]  # one token differs
PARTS = [(0, 1), (2, 2), (1, "mlp"), (0, "stream"), (2, "stream")]
every_part = pytest.mark.parametrize("part", PARTS, ids=str)
STEPS = {"GPT": kv_cache.decode_step, "Llama": llama.decode_step}


@every_model
def test_a_head_that_is_off_is_a_head_without_output_weights(model):
    with patching.changed(model, {(1, 2): patching.off}):
        silent = logits(model)
    weight = model.blocks[1].attention.output.weight
    kept = weight.detach().clone()
    try:
        with torch.no_grad():
            weight[:, 8:] = 0  # head 2 of 3, each of 4 channels
        assert close(silent, logits(model)) and not close(silent, logits(model) + 1)
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    assert not close(silent, logits(model), 1e-2)


@every_model
def test_an_mlp_that_is_off_adds_nothing(model):
    with patching.changed(model, {(2, "mlp"): patching.off}):
        silent, stream = logits(model), inside.residual_stream(model, IDS)
    reading = inside.read(model, IDS)
    assert close(stream[3], reading.stream[3] - reading.mlp[2], 1e-4)
    assert not close(silent, logits(model), 1e-2)


@every_model
def test_a_vector_is_added_to_what_the_layer_is_given(model):
    vector, before = torch.arange(12.0), inside.residual_stream(model, IDS)
    steered = patching.changed(model, {(1, "stream"): patching.plus(vector)})
    with steered, inside.inputs_of([model.blocks[1].attention_norm]) as heard:
        logits(model)
    assert close(heard[0][0][0], before[1] + vector)


@every_model
@every_part
def test_changes_that_change_nothing_change_nothing(model, part):
    with patching.changed(model, {part: lambda x: x}):
        assert torch.equal(logits(model), inside.logits(model, IDS))
    assert not has_hooks(model)


@every_model
def test_many_changes_at_once_are_all_made(model):
    every = {(layer, head): patching.off for layer in range(3) for head in range(3)}
    every |= {(layer, "mlp"): patching.off for layer in range(3)}
    with patching.changed(model, every):
        stream = inside.residual_stream(model, IDS)
    bias = [block.attention.output.bias for block in model.blocks]
    rest = sum(one.detach() for one in bias if one is not None)
    assert close(stream[3], stream[0] + rest, 1e-4)  # only biases are left


@every_model
@every_part
def test_going_on_from_the_changed_layer_is_reading_it_all_again(model, part):
    reading = inside.read(model, IDS)
    changes = {part: lambda x: 0.5 * x + 1}
    with patching.changed(model, changes):
        whole = logits(model)[-1]
    assert close(patching.with_changes(reading, changes), whole, 1e-4)
    assert close(patching.with_changes(reading, {}), logits(model)[-1], 1e-4)


@every_model
def test_a_stream_taken_whole_from_another_text_gives_its_answer(model):
    reading, other = inside.read(model, IDS), inside.read(model, OTHER)
    for layer in range(3):
        part = (layer, "stream")
        changes = {part: patching.taken_from(other, part)}
        wanted = inside.logits(model, OTHER)[-1]
        assert close(patching.with_changes(reading, changes), wanted, 1e-4)


@every_model
@every_part
def test_only_the_positions_that_are_named_are_taken(model, part):
    other = inside.read(model, OTHER)
    x = torch.randn(2, 7, other.output(part).shape[-1])
    moved = patching.taken_from(other, part, [4, 6])(x)
    assert torch.equal(moved[:, [4, 6]], other.output(part)[[4, 6]].expand(2, -1, -1))
    kept = [0, 1, 2, 3, 5]
    assert torch.equal(moved[:, kept], x[:, kept])


@every_model
def test_rows_of_patches_are_patches_one_by_one(model):
    reading, other = inside.read(model, IDS), inside.read(model, OTHER)
    rows = patching.patched(reading.stream[1], other.stream[1], [3, 6])
    together = inside.resume(reading, 1, rows)  # (2, V)
    for row, place in enumerate([3, 6]):
        put = patching.taken_from(other, (1, "stream"), [place])
        alone = patching.with_changes(reading, {(1, "stream"): put})
        assert close(together[row], alone, 1e-4)


def test_texts_of_other_lengths_are_one_sentence():
    model = MODELS["GPT"]
    put = patching.taken_from(inside.read(model, IDS[:5]), (1, 0))
    with pytest.raises(ValueError, match=r"have 7 and 5 tokens: .+ only\.$"):
        patching.with_changes(inside.read(model, IDS), {(1, 0): put})


@pytest.mark.parametrize("part", [(3, 0), (-1, "mlp"), (0, 3), (0, -1), (0, "key")])
@every_model
def test_a_part_that_is_not_there_is_one_sentence(model, part):
    words = r"There is no part .+: layers are 0 to 2, heads 0 to 2; name "
    odd = patching.changed(model, {part: patching.off})
    with pytest.raises(ValueError, match=words), odd:
        pass
    assert not has_hooks(model)
    with pytest.raises(ValueError, match=words):
        inside.read(model, IDS).output(part)


@every_model
def test_hooks_are_gone_even_if_a_change_fails(model):
    def fail(x):
        raise RuntimeError("no such luck")

    broken = patching.changed(model, {(0, 1): patching.off, (1, "mlp"): fail})
    with pytest.raises(RuntimeError, match="no such luck"), broken:
        logits(model)
    assert not has_hooks(model)


# A step with a cache never passes by a hook in silence -----------------------------------


def written(model, step):
    return list(sampling.write(model, IDS[:3], sampling.Sampler(0), 4, None, step))


@every_part
@pytest.mark.parametrize("name", STEPS)
def test_a_changed_model_refuses_to_write_with_a_cache(name, part):
    model, step = MODELS[name], STEPS[name]
    with patching.changed(model, {part: lambda x: x + 5}):
        changed = written(model, None)
        with pytest.raises(ValueError, match=r"A hook waits .+ decode_step=None, or "):
            written(model, step)
    assert written(model, step) == written(model, None) and len(changed) == 4


@pytest.mark.parametrize("where", ["model", "block", "attention"])
@pytest.mark.parametrize("kind", ["register_forward_hook", "register_forward_pre_hook"])
@pytest.mark.parametrize("name", STEPS)
def test_hooks_of_anybodys_own_are_refused_too(name, kind, where):
    model, step = MODELS[name], STEPS[name]
    block = model.blocks[1]
    part = {"model": model, "block": block, "attention": block.attention}[where]
    hook = vars(nn.Module)[kind](part, lambda *_: None)
    try:
        with pytest.raises(ValueError, match="passes these by"):
            written(model, step)
    finally:
        hook.remove()
    assert written(model, step) == written(model, None)


@pytest.mark.parametrize("name", STEPS)
def test_hooks_that_a_step_does_call_are_let_be(name):
    model, heard = MODELS[name], []
    mlp = model.blocks[1].mlp
    hook = mlp.register_forward_hook(lambda *_: heard.append(1))
    try:
        written(model, STEPS[name])
    finally:
        hook.remove()
    assert len(heard) == 4


# The real LLM ----------------------------------------------------------------------------


def test_a_tile_of_the_real_llm_takes_no_longer_than_a_third_of_a_second(llm):
    model, encoding = llm
    reading = inside.read(
        model, encoding.encode("The sun is shining in the sky. " * 5)[:30]
    )
    parts = [(15, 3), (25, "mlp"), (29, "stream")]
    patching.with_changes(reading, {parts[0]: patching.off})  # warm
    for part in parts:
        start = time.thread_time()
        patching.with_changes(reading, {part: patching.off})
        assert time.thread_time() - start < 0.3


def test_a_gpt_without_names_of_ours_is_not_needed():
    """A learner's class need only have the names that `inside` lists."""
    config = gpt.GPTConfig(19, 12, layers=2, channels=12, heads=3)
    mine = type("Mine", (gpt.GPT,), {})(config)
    reading = inside.read(mine, IDS)
    assert close(inside.resume(reading, 0)[0], inside.logits(mine, IDS)[-1])
