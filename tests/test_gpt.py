"""The GPT against torch's own layers, and against what must hold at any weights."""

import functools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib import gpt, llama
from course_lib.devices import generator
from course_lib.gpt import GPT, GPTConfig, attend, attention_weights, scores

CONFIG = GPTConfig(vocabulary=31, context=12, layers=2, channels=12, heads=3)
SMALL_LLAMA = llama.LlamaConfig(
    vocabulary=31, context=12, layers=2, channels=16, query_heads=4, key_value_heads=2,
    mlp_channels=24,
)  # fmt: skip
IDS = torch.randint(31, (2, 12), generator=generator(0))


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


def shaken(module: nn.Module, seed: int = 1) -> nn.Module:
    """The module with every weight drawn anew, and large: nothing stays 0 or 1."""
    chance = generator(seed)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(std=0.5, generator=chance)
    return module


def close(a, b, atol=1e-6):
    return a.shape == b.shape and torch.allclose(a, b, atol=atol)


# Parts ------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (2, 1, 1, 7)])
def test_layer_norm_is_torchs(shape):
    x, c = noise(*shape) * 3 + 1, shape[-1]
    weight, bias = noise(c, seed=1), noise(c, seed=2)
    wanted = F.layer_norm(x, (c,), weight, bias)
    assert close(gpt.layer_norm(x, weight, bias), wanted, 1e-5)
    ours = gpt.LayerNorm(c)
    ours.weight.data, ours.bias.data = weight, bias
    assert close(ours(x), wanted)


@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
def test_layer_norm_of_small_and_constant_vectors(epsilon):
    # Here epsilon decides: without it, or beside the root, other numbers come out.
    x = torch.stack([noise(6) * 1e-3, torch.full((6,), 2.0)])
    ours = gpt.layer_norm(x, torch.ones(6), torch.zeros(6), epsilon)
    assert close(ours, F.layer_norm(x, (6,), eps=epsilon))
    assert torch.equal(ours[1], torch.zeros(6))


def test_gelu_is_torchs_approximation():
    x = torch.linspace(-9, 9, 2_001, dtype=torch.float64)
    ours = gpt.gelu(x)
    assert close(ours, F.gelu(x, approximate="tanh"), 1e-12)
    assert 1e-5 < (ours - F.gelu(x)).abs().max() < 1e-3  # near the exact one, not it


@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_a_head_gets_its_own_channels_side_by_side(heads):
    x, size = noise(2, 5, 6), 6 // heads
    split = gpt.split_heads(x, heads)
    assert split.shape == (2, heads, 5, size)
    for h in range(heads):
        assert torch.equal(split[:, h], x[..., h * size : (h + 1) * size])
    assert torch.equal(gpt.join_heads(split), x)


def test_channels_that_cannot_be_split():
    with pytest.raises(
        ValueError, match=r"^6 channels can't be split into 4 heads: choose .+\.$"
    ):
        gpt.split_heads(noise(1, 2, 6), 4)


# Attention --------------------------------------------------------------------------


def by_loops(query, key, value):
    """Attention as a sentence: each position averages the values up to itself."""
    texts = zip(*(x.reshape(-1, *x.shape[-2:]) for x in (query, key, value)))
    outputs = []
    for q, k, v in texts:  # for each text and head: (T, D)
        for i in range(len(q)):
            powers = [math.exp(q[i] @ k[j] / len(q[i]) ** 0.5) for j in range(i + 1)]
            shares = [power / sum(powers) for power in powers]
            outputs.append(sum(share * v[j] for j, share in enumerate(shares)))
    return torch.stack(outputs).reshape(value.shape)


def by_weights(query, key, value):
    return attention_weights(scores(query, key)) @ value


FORMS = {"by loops": by_loops, "by weights": by_weights, "attend": attend}


@pytest.mark.parametrize("shape", [(1, 4), (5, 4), (7, 1), (2, 4, 3), (2, 3, 6, 5)])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_attention_gives_torchs_numbers(form, shape):
    query, key, value = (noise(*shape, seed=seed) * 2 for seed in (3, 4, 5))
    later = torch.ones(shape[-2], shape[-2], dtype=torch.bool).triu(1)
    wanted = F.scaled_dot_product_attention(
        query.double(), key.double(), value.double(), attn_mask=~later
    ).float()
    ours = FORMS[form](query, key, value)
    assert ours.dtype == torch.float32 and close(ours, wanted, 1e-5)


def test_scores_are_scaled_dot_products():
    query, key = noise(2, 3, 5, 16), noise(2, 3, 5, 16, seed=1)
    wanted = torch.einsum("bhid,bhjd->bhij", query, key) / 4
    assert close(scores(query, key), wanted, 1e-5)


def test_the_spread_of_scores_stays_whatever_the_head_size():
    for size in (4, 64, 1_024):
        spread = scores(noise(200, size), noise(200, size, seed=1)).std()
        assert spread == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("other", [(3, 6), (5, 4)])
def test_queries_and_keys_that_do_not_fit(other):
    words = rf"^Queries \(3, 4\) .* keys \({other[0]}, {other[1]}\): .*head size\.$"
    with pytest.raises(ValueError, match=words):
        scores(noise(3, 4), noise(*other))


def test_attention_weights_are_probabilities_over_the_past():
    weights = attention_weights(noise(2, 3, 6, 6) * 5)
    assert torch.equal(weights, weights.tril()) and bool((weights >= 0).all())
    assert close(weights.sum(-1), torch.ones(2, 3, 6))


def test_attention_weights_of_equal_scores_are_shared_evenly():
    wanted = torch.tensor([[1, 0, 0], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]])
    assert close(attention_weights(torch.full((3, 3), 7.0)), wanted)


def torchs_attention(ours: gpt.Attention) -> nn.MultiheadAttention:
    """torch's own module with our weights: it keeps query, key and value in one."""
    three, channels = (ours.query, ours.key, ours.value), ours.output.in_features
    theirs = nn.MultiheadAttention(channels, ours.heads, batch_first=True)
    theirs.in_proj_weight.data = torch.cat([part.weight for part in three])
    theirs.in_proj_bias.data = torch.cat([part.bias for part in three])
    theirs.out_proj.load_state_dict(ours.output.state_dict())
    return theirs


@torch.no_grad()
@pytest.mark.parametrize("positions", [1, 2, 9])
def test_attention_and_its_pattern_are_those_of_torchs_module(positions):
    ours = shaken(gpt.Attention(CONFIG))
    x = noise(2, positions, 12)
    later = torch.ones(positions, positions, dtype=torch.bool).triu(1)
    wanted, pattern = torchs_attention(ours)(
        x, x, x, attn_mask=later, average_attn_weights=False
    )
    assert close(ours(x), wanted, 1e-5)
    assert close(ours.pattern(x), pattern, 1e-5)


@torch.no_grad()
def test_a_pattern_is_what_forward_mixes_with():
    ours, x = shaken(gpt.Attention(CONFIG)), noise(2, 7, 12)
    pattern = ours.pattern(x)  # (B, H, T, T)
    assert torch.equal(pattern, pattern.tril())
    assert close(pattern.sum(-1), torch.ones(2, 3, 7))
    mixed = pattern @ gpt.split_heads(ours.value(x), 3)
    assert close(ours.output(gpt.join_heads(mixed)), ours(x), 1e-5)


@torch.no_grad()
def test_a_llamas_pattern_is_what_forward_mixes_with():
    ours, x = shaken(llama.Attention(SMALL_LLAMA)), noise(2, 7, 16)
    turn = llama.rotation(7, 4, 100.0)
    pattern = ours.pattern(x, turn)  # (B, H, T, T)
    assert torch.equal(pattern, pattern.tril())
    assert close(pattern.sum(-1), torch.ones(2, 4, 7))
    value = ours.value(x).view(2, 7, 2, 4)[:, :, [0, 0, 1, 1]]  # two query heads each
    mixed = torch.einsum("bhij,bjhd->bihd", pattern, value).flatten(2)
    assert close(ours.output(mixed), ours(x, turn), 1e-5)


# No position sees what comes later ----------------------------------------------------

TABLE = noise(31, 16, seed=9)  # a vector for each id


def over_vectors(attention):
    """Attention over vectors, read as a model that takes ids."""
    return lambda ids: attention(TABLE[ids])


READERS = {
    **{name: over_vectors(lambda x, f=f: f(x, x, x)) for name, f in FORMS.items()},
    "gpt.Attention": over_vectors(
        shaken(gpt.Attention(GPTConfig(31, 12, 1, 16, heads=4)))
    ),
    "gpt.Block": over_vectors(shaken(gpt.Block(GPTConfig(31, 12, 1, 16, heads=4)))),
    "GPT": shaken(GPT(CONFIG)),
    "llama.Attention": over_vectors(
        functools.partial(
            shaken(llama.Attention(SMALL_LLAMA)), turn=llama.rotation(12, 4, 100.0)
        )
    ),
    "Llama": shaken(llama.Llama(SMALL_LLAMA)),
    "the real LLM": None,  # loaded when its turn comes
}


@torch.no_grad()
@pytest.mark.parametrize("name", READERS)
def test_no_position_sees_what_comes_later(name, request):
    read = READERS[name] or request.getfixturevalue("llm")[0]
    ids = IDS[:1]
    before = read(ids)
    for t in (1, 6, 11):
        changed = ids.clone()
        changed[0, t] = (ids[0, t] + 7) % 31
        after = read(changed)
        assert close(after[:, :t], before[:, :t], 1e-4)
        assert (after[:, t:] - before[:, t:]).abs().max() > 1e-2  # it is read


@torch.no_grad()
def test_leaks_tells_causal_attention_from_the_other():
    x, ours = noise(2, 5, 12), shaken(gpt.Attention(CONFIG))
    assert gpt.leaks(ours, x) is False
    assert gpt.leaks(lambda x: F.scaled_dot_product_attention(x, x, x), x) is True

    def one_too_many(x):  # the next position is seen as well
        mask = torch.ones(5, 5, dtype=torch.bool).tril(1)
        return F.scaled_dot_product_attention(x, x, x, attn_mask=mask)

    def masked_too_late(x):  # the softmax's sum still knows of the later ones
        return scores(x, x).softmax(-1).tril() @ x

    assert gpt.leaks(one_too_many, x) is True
    assert gpt.leaks(masked_too_late, x) is True


def test_leaks_sees_through_a_layer_norm():
    def peeks(x):
        x = F.layer_norm(x, (12,))
        return F.scaled_dot_product_attention(x, x, x)

    assert gpt.leaks(peeks, noise(2, 5, 12)) is True


def test_leaks_leaves_its_input_alone():
    x = noise(1, 4, 6)
    gpt.leaks(lambda x: x, x)
    assert torch.equal(x, noise(1, 4, 6))


@torch.no_grad()
def test_texts_of_one_batch_do_not_touch():
    model = READERS["GPT"]
    together, alone = model(IDS), torch.cat([model(IDS[:1]), model(IDS[1:])])
    assert close(together, alone, 1e-4)


# The MLP, the block, the whole ------------------------------------------------------


@torch.no_grad()
def test_the_mlp_treats_each_position_by_itself():
    mlp = shaken(gpt.MLP(CONFIG))
    x, order = noise(1, 7, 12), torch.tensor([3, 0, 6, 1])  # mixed up, some dropped
    assert close(mlp(x)[:, order], mlp(x[:, order]), 1e-5)


@torch.no_grad()
def test_the_mlp_is_up_gelu_down():
    mlp, x = shaken(gpt.MLP(CONFIG)), noise(2, 7, 12)
    assert mlp.up.weight.shape == (48, 12)
    hidden = gpt.gelu(x @ mlp.up.weight.T + mlp.up.bias)
    assert close(mlp(x), hidden @ mlp.down.weight.T + mlp.down.bias, 1e-4)


@torch.no_grad()
def test_a_block_is_torchs_own_layer():
    ours = shaken(gpt.Block(CONFIG))
    theirs = nn.TransformerEncoderLayer(
        12,
        3,
        48,
        dropout=0,
        activation=functools.partial(F.gelu, approximate="tanh"),
        batch_first=True,
        norm_first=True,
    )
    theirs.self_attn = torchs_attention(ours.attention)
    theirs.norm1.load_state_dict(ours.attention_norm.state_dict())
    theirs.norm2.load_state_dict(ours.mlp_norm.state_dict())
    theirs.linear1.load_state_dict(ours.mlp.up.state_dict())
    theirs.linear2.load_state_dict(ours.mlp.down.state_dict())
    x, later = noise(2, 9, 12), torch.ones(9, 9, dtype=torch.bool).triu(1)
    assert close(ours(x), theirs(x, src_mask=later), 1e-4)


@torch.no_grad()
def test_embed_is_the_token_plus_its_place():
    model = shaken(GPT(CONFIG))
    x = model.embed(torch.tensor([[7, 7, 5]]))
    for t, id in enumerate((7, 7, 5)):
        wanted = model.embedding.weight[id] + model.position.weight[t]
        assert torch.equal(x[0, t], wanted)


@torch.no_grad()
def test_unembed_is_the_norm_then_a_product_with_every_tokens_row():
    model, x = shaken(GPT(CONFIG, tied=False)), noise(2, 3, 12)
    normed = F.layer_norm(x, (12,), model.norm.weight, model.norm.bias)
    assert close(model.unembed(x), normed @ model.unembedding.weight.T, 1e-5)


@torch.no_grad()
def test_a_llamas_embed_and_unembed_use_one_matrix():
    model, x = READERS["Llama"], noise(2, 3, 16)
    assert torch.equal(model.embed(IDS), model.embedding.weight[IDS])
    normed = F.rms_norm(x, (16,), model.norm.weight, 1e-5)
    assert close(model.unembed(x), normed @ model.embedding.weight.T, 1e-4)


@torch.no_grad()
def test_the_whole_is_embed_blocks_unembed():
    model = READERS["GPT"]
    x = model.embed(IDS)
    for block in model.blocks:
        x = block(x)
    assert torch.equal(model(IDS), model.unembed(x))
    assert model(IDS).shape == (2, 12, 31)
    assert torch.equal(model(IDS.int()), model(IDS))


def test_tied_is_one_tensor_and_untied_is_two():
    tied, untied = GPT(CONFIG), GPT(CONFIG, tied=False)
    assert tied.unembedding.weight is tied.embedding.weight
    assert untied.unembedding.weight is not untied.embedding.weight
    assert not torch.equal(untied.unembedding.weight, untied.embedding.weight)


# The first weights ------------------------------------------------------------------

WIDE = GPTConfig(vocabulary=200, context=64, layers=3, channels=64, heads=4)


@pytest.mark.parametrize("tied", [True, False])
def test_a_fresh_model_guesses(tied):
    model = GPT(WIDE, tied, generator(0))
    ids = torch.randint(200, (4, 33), generator=generator(1))
    with torch.no_grad():
        loss = F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    assert float(loss) == pytest.approx(math.log(200), rel=0.02)


@pytest.mark.parametrize("tied", [True, False])
def test_first_weights_have_gpt2s_spread(tied):
    model = GPT(WIDE, tied, generator(0))
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            assert not weight.any(), name
        elif "norm" in name:
            assert bool((weight == 1).all()), name
        else:
            added = name.endswith(("attention.output.weight", "mlp.down.weight"))
            spread = 0.02 / math.sqrt(2 * 3) if added else 0.02
            assert weight.std().item() == pytest.approx(spread, rel=0.06), name
            assert abs(weight.mean().item()) < 0.1 * spread, name


def test_a_seed_decides_every_weight():
    def weights(seed):
        return list(GPT(CONFIG, generator=generator(seed)).parameters())

    first, again, other = weights(5), weights(5), weights(6)
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    matrices = [(a, b) for a, b in zip(first, other) if a.dim() == 2]
    assert not any(torch.equal(a, b) for a, b in matrices)


def test_a_model_without_numbers_draws_none(monkeypatch):
    monkeypatch.setattr(gpt, "start_weights", lambda *_: pytest.fail("it drew"))
    with torch.device("meta"):
        model = GPT(CONFIG, tied=False)
    assert all(weight.is_meta for weight in model.parameters())
    logits = model(torch.zeros(1, 3, dtype=torch.long, device="meta"))
    assert logits.shape == (1, 3, 31)


# Training ---------------------------------------------------------------------------


def loss_of(model, ids):
    return F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())


def test_the_loss_on_one_batch_falls():
    model = GPT(CONFIG, generator=generator(0))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    first = loss_of(model, IDS).item()
    for _ in range(30):
        loss = loss_of(model, IDS)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < first / 2


@pytest.mark.parametrize("tied", [True, False])
def test_the_gradient_reaches_every_weight(tied):
    model = shaken(GPT(CONFIG, tied))
    loss_of(model, IDS).backward()
    for name, weight in model.named_parameters():
        largest = weight.grad.abs().max().item()
        if name.endswith("key.bias"):
            # Added to every key, it shifts a row of scores, which softmax ignores.
            assert largest < 1e-5, name
        else:
            assert largest > 1e-5, name


# What is refused --------------------------------------------------------------------


def one_sentence(text: str) -> bool:
    """One line, one full stop at the end, none inside."""
    return "\n" not in text and text.endswith(".") and text.count(". ") == 0


@pytest.mark.parametrize("value", [0, -1, 2.0, "12", None, True])
@pytest.mark.parametrize("name", list(vars(CONFIG)))
def test_a_shape_that_cannot_be(name, value):
    with pytest.raises(ValueError) as caught:
        GPTConfig(**{**vars(CONFIG), name: value})
    said = str(caught.value)
    assert said == f"{name} is {value!r}; give a whole number from 1."


def test_heads_that_do_not_divide_the_channels():
    with pytest.raises(ValueError) as caught:
        GPTConfig(channels=1_024, heads=12)
    said = str(caught.value)
    assert "1,024 channels" in said and "12 heads" in said and one_sentence(said)


def test_a_head_has_its_share_of_the_channels():
    assert GPTConfig(channels=12, heads=3).head_size == 4


MODELS = {
    "GPT": GPT(GPTConfig(vocabulary=11, context=6, layers=1, channels=8, heads=2)),
    "Llama": llama.Llama(
        llama.LlamaConfig(
            vocabulary=11, context=6, layers=1, channels=8, query_heads=2,
            key_value_heads=1, mlp_channels=16,
        )
    ),
}  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (torch.zeros(1, 0, dtype=torch.long), "at least one position"),
        (torch.zeros(3, dtype=torch.long), "(batch, positions)"),
        (
            torch.zeros(1, 7, dtype=torch.long),
            "context length of 6; keep the last: ids",
        ),
        (torch.tensor([[11]]), "these hold 11. Were they made by another tokenizer"),
        (torch.tensor([[3, -1]]), "these hold -1. Were they made by another"),
        (torch.tensor([[1.5]]), "whole numbers"),
        (torch.tensor([[True]]), "whole numbers"),
        (torch.zeros(0, 3, dtype=torch.long), "at least one position"),
        ([[1, 2]], "The ids are a list; the model wants torch.tensor([ids])"),
    ],
)
def test_ids_that_no_model_could_read(model, ids, words):
    with pytest.raises(ValueError) as caught:
        MODELS[model](ids)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("model", MODELS)
def test_ids_on_another_device_are_named(model):
    with pytest.raises(ValueError, match="move the ids"):
        MODELS[model](torch.zeros(1, 2, dtype=torch.long, device="meta"))


@pytest.mark.parametrize("model", MODELS)
def test_the_first_and_last_id_and_a_full_context_are_read(model):
    with torch.no_grad():
        logits = MODELS[model](torch.tensor([[0, 10, 0, 10, 0, 10]]))
    assert logits.shape == (1, 6, 11) and bool(logits.isfinite().all())
