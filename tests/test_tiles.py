"""The machine view's sums: they are the model's own, with parts off or taken, or none."""

import pytest
import torch

from course_lib import inside, patching, tiles
from tests.test_inside import IDS, MODELS, has_hooks

every_model = pytest.mark.parametrize("model", MODELS.values(), ids=list(MODELS))
OTHER = [3, 14, 1, 5, 8, 2, 6]
OFF = {(1, 0): patching.off, (2, "mlp"): patching.off}


def probabilities(model, changes: dict | None = None) -> torch.Tensor:
    with patching.changed(model, changes or {}):
        return inside.logits(model, IDS)[-1].double().softmax(-1)


@every_model
@pytest.mark.parametrize("changes", [{}, OFF], ids=["as it is", "two parts off"])
@pytest.mark.parametrize("against", [None, 5])
def test_all_tiles_add_up_to_the_logit(model, changes, against):
    view = tiles.take_apart(model, IDS, changes, token=3, against=against)
    assert view.total == pytest.approx(view.logit, abs=1e-4)
    with patching.changed(model, changes):
        own = inside.logits(model, IDS)[-1]
    wanted = own[3] - (0 if against is None else own[against])
    assert view.logit == pytest.approx(float(wanted), abs=1e-4)


@every_model
def test_a_part_that_is_off_adds_nothing_and_the_prediction_is_the_changed_models(
    model,
):
    view = tiles.take_apart(model, IDS, OFF)
    assert view.adds((1, 0)) == view.adds((2, "mlp")) == 0
    assert view.adds((1, 1)) != 0
    theirs = probabilities(model, OFF)
    assert torch.allclose(view.last.double().softmax(-1), theirs, atol=1e-6)
    assert torch.allclose(view.lens[-1].double(), theirs, atol=1e-6)
    assert not torch.allclose(theirs, probabilities(model), atol=1e-3)
    assert not has_hooks(model)


@every_model
def test_a_part_taken_from_another_text_says_what_it_said_there(model):
    other = inside.read(model, OTHER)
    part = (1, 1)
    view = tiles.take_apart(model, IDS, {part: patching.taken_from(other, part)})
    assert torch.equal(view.reading.output(part), other.output(part))
    plain = tiles.take_apart(model, IDS)
    assert view.adds(part) != pytest.approx(plain.adds(part), abs=1e-4)


@every_model
def test_looks_are_the_models_own_patterns(model):
    view = tiles.take_apart(model, IDS)
    assert torch.allclose(view.patterns, inside.attention_patterns(model, IDS))
    assert torch.allclose(view.lens, inside.logit_lens(model, IDS), atol=1e-6)


@every_model
def test_the_neurons_named_are_those_that_fire_most_and_add_up(model):
    view = tiles.take_apart(model, IDS, token=4)
    fired = inside.neurons(model, IDS)[:, -1].double()  # (L, M)
    for layer, block in enumerate(model.blocks):
        order = fired[layer].abs().argsort(descending=True)[: tiles.MOST_FIRING]
        assert view.firing[layer].tolist() == order.tolist()
        assert torch.allclose(view.fires[layer], fired[layer][order], atol=1e-6)
        slope, _ = inside.direction(view.reading, 4)
        down = block.mlp.down.weight.detach().double()
        assert torch.allclose(
            view.brings[layer], fired[layer][order] * (down.T @ slope)[order]
        )
        whole = (fired[layer] * (down.T @ slope)).sum()
        bias = (
            0
            if block.mlp.down.bias is None
            else block.mlp.down.bias.detach().double() @ slope
        )
        assert view.adds((layer, "mlp")) == pytest.approx(float(whole + bias), abs=1e-4)


@every_model
@pytest.mark.parametrize("changes", [{}, OFF], ids=["alone", "besides others"])
def test_without_a_part_is_the_changed_models_probability(model, changes):
    view = tiles.take_apart(model, IDS, changes)
    for part in [(0, 2), (1, 1), (2, 0), (1, "mlp")]:
        more = changes | {part: patching.off}
        wanted = float(probabilities(model, more)[view.token])
        assert tiles.without(view, part, changes) == pytest.approx(wanted, abs=1e-6)


@every_model
def test_the_strongest_parts_come_first_and_those_left_out_do_not(model):
    view = tiles.take_apart(model, IDS)
    order = view.strongest(100)
    sizes = [abs(view.adds(part)) for part in order]
    assert len(order) == 12 and sizes == sorted(sizes, reverse=True)
    assert view.strongest(2, but=order[:1]) == order[1:3]
    assert view.best(2)[0] == view.token == int(view.last.argmax())


def test_a_part_that_is_not_there_is_one_sentence():
    with pytest.raises(ValueError, match="There is no part"):
        tiles.take_apart(MODELS["GPT"], IDS, {(9, 0): patching.off})


def test_the_tiles_of_the_real_llm_add_up(llm):
    model, encoding = llm
    ids = encoding.encode("The capital of France is")
    for changes in ({}, {(20, 3): patching.off}):
        view = tiles.take_apart(model, ids, changes)
        assert view.total == pytest.approx(view.logit, abs=1e-4)
