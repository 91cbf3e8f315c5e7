"""The fast way to write against the plain one, and the trial that chooses a form."""

import copy
from pydoc_data.topics import topics

import pytest
import torch

from course_lib import gpt, kv_cache, llama
from course_lib.cli import fast_decode
from course_lib.devices import generator
from course_lib.errors import Problem
from course_lib.kv_cache import KVCache

SHAPE = llama.LlamaConfig(97, 40, 3, 64, 4, 2, 96)
IDS = [(5 * i * i + 3) % 97 for i in range(24)]


@pytest.fixture(scope="module")
def model():
    made, chance = llama.Llama(SHAPE), generator(1)
    for weight in made.parameters():
        weight.data.normal_(std=0.2, generator=chance)
    return made.eval().requires_grad_(False)


def logits(model, step, cuts=(9, 1, 1, 6, 1)) -> torch.Tensor:
    """What a decode_step gives at the end of each part of IDS: (parts, V)."""
    cache, start, found = KVCache(len(model.blocks), SHAPE.context), 0, []
    for cut in cuts:
        found.append(step(model, torch.tensor([IDS[start : start + cut]]), cache)[0])
        start += cut
    return torch.stack(found)


@pytest.fixture(scope="module")
def own():
    """A GPT of lesson 05, untied, with biases that matter."""
    made = gpt.GPT(gpt.GPTConfig(97, 40, 3, 64, 4), tied=False)
    chance = generator(2)
    for weight in made.parameters():
        weight.data.normal_(std=0.2, generator=chance)
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize("kind", ["model", "own"])
@pytest.mark.parametrize(
    ("form", "near"), [("float32", 1e-4), ("bfloat16", 0.15), ("int8", 0.15)]
)
def test_every_form_writes_as_the_plain_step_does(kind, form, near, request):
    model = request.getfixturevalue(kind)
    plain = llama if kind == "model" else kv_cache
    wanted = logits(model, plain.decode_step)
    found = logits(model, fast_decode.decoder(model, form).step)
    error = ((found - wanted).norm() / wanted.norm()).item()
    assert error < near
    assert form == "float32" or error > 1e-4  # fewer bits do change something


def test_the_model_stays_as_it_is(model):
    before = copy.deepcopy(model.state_dict())
    fast_decode.on_trial(model, IDS, seconds=0)
    assert all(before[name].equal(one) for name, one in model.state_dict().items())


def test_a_trial_takes_turns_and_puts_the_fastest_first(model, monkeypatch):
    slow = {"float32": 3.0, "bfloat16": 1.0, "int8": 2.0}
    clock, turns = [0.0], []
    real = fast_decode.Decoder.step

    def step(self, *given):
        clock[0] += slow[self.form]
        turns.append(self.form)
        return real(self, *given)

    monkeypatch.setattr(fast_decode.Decoder, "step", step)
    monkeypatch.setattr(fast_decode.time, "perf_counter", lambda: clock[0])
    trials = fast_decode.on_trial(model, IDS, seconds=20)
    assert list(trials) == ["bfloat16", "int8", "float32"]
    assert turns == [*slow] * (len(turns) // 3) and len(turns) == 3 * (1 + 4)
    assert trials["int8"].speed == 0.5
    said = fast_decode.verdict(trials, lambda ids: f"<{ids[0]}>")
    best = trials["float32"].probabilities.argmax().item()
    assert "Writing in bfloat16" in said and f"<{best}>" in said
    assert f"{trials['float32'].probabilities[best]:.3f}" in said
    assert fast_decode.verdict(dict(reversed(trials.items())), str).endswith(
        "Writing in float32."
    )


@pytest.mark.parametrize("form", ["bfloat16", "int8"])
def test_the_likeliest_tokens_have_their_logits_unrounded(model, form, monkeypatch):
    monkeypatch.setattr(fast_decode, "EXACT", 5)
    decoder, chance = fast_decode.Decoder(model, form), torch.Generator().manual_seed(0)
    x = torch.randn(1, model.config.channels, generator=chance)
    whole, logits = model.embedding.weight @ x[0], decoder.exact(x)[0]
    gaps = (logits - whole).abs()
    best = logits.topk(5).indices
    assert gaps[best].max() < 1e-5 < gaps.max()


@pytest.mark.parametrize("kind", ["model", "own"])
def test_a_trial_gives_its_place_back(kind, request):
    model = request.getfixturevalue(kind)
    (trial, *_) = fast_decode.on_trial(model, IDS, seconds=0).values()
    assert trial.cache.length == len(IDS) + 1 and len(trial.taken) == 3


def test_rows_that_the_kernel_for_eight_bits_refuses_are_not_tried():
    odd = llama.Llama(llama.LlamaConfig(97, 40, 1, 24, 4, 2, 32)).requires_grad_(False)
    assert set(fast_decode.on_trial(odd, IDS, 0)) == {"float32", "bfloat16"}


def test_what_it_cannot_do_is_said(model):
    decoder = fast_decode.Decoder(model, "float32")
    with pytest.raises(ValueError, match="2 texts"):
        decoder.step(model, torch.zeros(2, 3, dtype=torch.long), KVCache(3, 40))
    with pytest.raises(ValueError, match="0 to 96"):
        decoder.step(model, torch.tensor([[97]]), KVCache(3, 40))
    with pytest.raises(Problem, match="CPU"):
        fast_decode.on_trial(copy.deepcopy(model).to("meta"), IDS)


def test_fewer_bits_agree_with_float32_on_the_first_choice(llm):
    """At 95 of 100 places of a text at least, in both forms."""
    model, encoding = llm
    ids = encoding.encode(topics["assert"] + topics["with"])[:200]
    wanted = model(torch.tensor([ids]))[0].argmax(-1)
    for form in ("bfloat16", "int8"):
        decoder, cache = fast_decode.Decoder(model, form), KVCache(30, 256)
        found = [decoder.step(model, torch.tensor([[id]]), cache) for id in ids]
        agree = (torch.cat(found).argmax(-1) == wanted).float().mean()
        assert agree >= 0.95, f"{form}: {agree:.3f}"
