"""Eight-bit weights against their definition, and the models made of them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from course_lib import gpt, kv_cache, llama, quantized, sampling
from course_lib.devices import generator

CONFIG = gpt.GPTConfig(vocabulary=97, context=20, layers=2, channels=64, heads=4)
LLAMA = llama.LlamaConfig(97, 20, 2, 64, 4, 2, 96)
FAST = {"weights only": quantized.weights_only, "both": quantized.both}
STEPS = {
    "GPT": kv_cache.decode_step,
    "untied": kv_cache.decode_step,
    "Llama": llama.decode_step,
}


def noise(*shape, seed=0):
    return torch.randn(shape, generator=generator(seed))


def model(name: str) -> nn.Module:
    if name == "Llama":
        made = llama.Llama(LLAMA)
    else:
        made = gpt.GPT(CONFIG, tied=name == "GPT")
    chance = generator(1)
    for weight in made.parameters():
        weight.data.normal_(std=0.3, generator=chance)
    return made.eval().requires_grad_(False)


@given(st.integers(1, 5), st.integers(1, 40), st.floats(1e-6, 1e6), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_rounding_is_wrong_by_at_most_half_a_scale(rows, columns, size, seed):
    x = noise(rows, columns, seed=seed) * size
    numbers, scale = quantized.rounded(x)
    assert numbers.dtype == torch.int8 and scale.shape == (rows, 1)
    assert numbers.abs().amax(-1).tolist() == [127] * rows
    assert bool(((numbers * scale - x).abs() <= scale * 0.50001).all())


def test_a_row_of_zeros_stays_one_beside_other_rows():
    numbers, scale = quantized.rounded(torch.tensor([[0.0, 0], [1, -2]]))
    assert (numbers * scale)[0].tolist() == [0, 0] and numbers[1, 1] == -127
    assert scale[0] > 0  # nothing was divided by zero; not all devices turn NaN to 0


@pytest.mark.parametrize("shape", [(1, 64, 96), (7, 64, 5), (1, 32, 1), (3, 96, 33)])
def test_every_product_is_the_definition_or_near(shape):
    count, wide, out = shape
    x, w = noise(count, wide), noise(out, wide, seed=1)
    numbers, scale = quantized.rounded(w)
    scale = scale[:, 0]
    exact = quantized.plain(x, numbers, scale)
    assert torch.allclose(exact, F.linear(x, numbers * scale[:, None]), atol=1e-4)
    most = x.abs() @ (numbers.abs() * scale[:, None]).T  # as if all signs agreed
    near = quantized.weights_only(x, numbers, scale)
    assert bool(((near - exact).abs() <= 2**-8 * most).all())
    rough, size = quantized.rounded(x)
    # Both in eight bits: whole numbers, so the int64 product is exact.
    wanted = (rough.long() @ numbers.long().T).double() * size * scale
    found = quantized.both(x, numbers, scale)
    assert torch.allclose(found.double(), wanted, rtol=1e-5, atol=1e-6)


def test_the_largest_sums_do_not_overflow():
    x, ones = torch.full((1, 3_072), -5.0), torch.ones(4)
    numbers = torch.full((4, 3_072), 127, dtype=torch.int8)
    for product in FAST.values():
        wanted = pytest.approx([-5.0 * 127 * 3_072] * 4, rel=2**-8)  # bf16's steps
        assert product(x, numbers, ones).tolist()[0] == wanted


def test_rows_that_the_kernel_cannot_read_are_refused():
    numbers, scale = quantized.rounded(noise(4, 24))
    with pytest.raises(ValueError, match=r"multiple of 32, not of 24.*both\)\.$"):
        quantized.weights_only(noise(1, 24), numbers, scale[:, 0])


@pytest.mark.parametrize("shape", [(1, 32), (2, 5, 32)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_part_keeps_its_shape_and_bias(shape, bias):
    part = nn.Linear(32, 7, bias=bias)
    ours = quantized.Int8Linear(part.weight, part.bias, quantized.plain)
    x = noise(*shape)
    assert ours(x).shape == (*shape[:-1], 7)
    assert torch.allclose(ours(x), part(x), atol=0.05)
    assert not torch.equal(ours(x), part(x))


# Whole models -----------------------------------------------------------------------


@pytest.mark.parametrize("product", FAST)
@pytest.mark.parametrize("name", STEPS)
def test_the_logits_are_near_and_the_model_stays(name, product):
    large = model(name)
    ids = torch.randint(97, (3, 20), generator=generator(2))
    before = large(ids)
    small = quantized.int8(large, FAST[product])
    error = (small(ids) - before).std() / before.std()
    assert 0 < error < (0.03 if product == "weights only" else 0.06)
    assert torch.equal(large(ids), before)
    kept = [part for part in small.modules() if isinstance(part, nn.Linear)]
    assert not kept and not isinstance(small.embedding, nn.Embedding)
    likeliest = (small(ids).argmax(-1) == before.argmax(-1)).float().mean()
    assert likeliest > 0.85


@pytest.mark.parametrize("name", STEPS)
def test_the_plain_product_is_the_model_with_rounded_weights(name):
    large = model(name)
    small = quantized.int8(large, quantized.plain)
    ids = torch.randint(97, (2, 20), generator=generator(2))
    with torch.no_grad():
        linear = [p.weight for p in large.modules() if isinstance(p, nn.Linear)]
        for weight in {id(w): w for w in [*linear, large.embedding.weight]}.values():
            numbers, scale = quantized.rounded(weight)
            weight.copy_(numbers * scale)
    assert torch.allclose(small(ids), large(ids), atol=1e-3)


@pytest.mark.parametrize("name", STEPS)
def test_it_writes_the_same_with_a_cache_and_without(name):
    small = quantized.int8(model(name))
    greedy = sampling.Sampler(temperature=0)
    slow = list(sampling.write(small, [1, 2], greedy, 12))
    assert slow == list(
        sampling.write(small, [1, 2], greedy, 12, decode_step=STEPS[name])
    )


def test_a_matrix_takes_a_byte_a_weight_and_a_tied_one_counts_once():
    large = model("GPT")
    rows = [part for part in large.modules() if isinstance(part, nn.Linear)]
    saved = sum(3 * part.weight.numel() - 4 * len(part.weight) for part in rows)
    small = quantized.int8(large)
    assert quantized.nbytes(large) - quantized.nbytes(small) == saved
    assert small.embedding.weight is small.unembedding.weight


def test_a_model_elsewhere_is_refused():
    away = model("GPT").to("meta")
    with pytest.raises(ValueError, match="the model is on meta"):
        quantized.int8(away)


TEXT = """When the rain had stopped, the two brothers went down to the river to look for
their boat. It was gone. "Somebody must have taken it," said the older one, "or the water
has carried it away." They walked along the bank until it grew dark."""


def test_the_real_llm_reads_nearly_as_well(llm):
    large, encoding = llm
    ids = torch.tensor([encoding.encode(TEXT)])
    losses, likeliest = [], []
    for one in (large, *(quantized.int8(large, way) for way in FAST.values())):
        logits = one(ids)[0, :-1]
        losses.append(F.cross_entropy(logits, ids[0, 1:]).item())
        likeliest.append(logits.argmax(-1))
    exact, weights, both = losses
    assert abs(weights - exact) < 0.05 and abs(both - exact) < 0.2
    assert (likeliest[1] == likeliest[0]).float().mean() > 0.85
    assert (likeliest[2] == likeliest[0]).float().mean() > 0.7
