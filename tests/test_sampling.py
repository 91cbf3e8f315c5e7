"""Sampling against torch, transformers, brute force, and a model worked out by hand."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import fast_gpt, gpt, kv_cache, llama, sampling
from course_lib.devices import generator
from course_lib.kv_cache import KVCache
from course_lib.sampling import Sampler


def table(ids):
    """A model whose logits depend on the last id only: (1, T) → (1, T, 5)."""
    weights = torch.arange(25.0).reshape(5, 5).sin() * 3
    return weights[ids]


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=6), st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_draws_as_often_as_the_probabilities_say(weights, seed):
    p = torch.tensor(weights) / sum(weights)
    chance = generator(seed)
    drawn = torch.tensor([sampling.sample(p, chance) for _ in range(3000)])
    shares = torch.bincount(drawn, minlength=len(p)) / 3000
    assert (shares - p).abs().max() < 5 * math.sqrt(0.25 / 3000)


def test_the_last_token_can_be_drawn_and_nothing_beyond():
    p = torch.full((7,), 1 / 7)
    drawn = {sampling.sample(p, generator(seed)) for seed in range(300)}
    assert drawn == set(range(7))


def lost(ids):
    """A model whose training went wrong: (B, T) → (B, T, 5) of NaN."""
    return torch.full((*ids.shape, 5), math.nan)


PARTS = {
    "sample": lambda p: sampling.sample(p, generator(0)),
    "greedy": sampling.greedy,
    "top_k": lambda p: sampling.top_k(p, 2),
    "top_p": lambda p: sampling.top_p(p, 0.5),
    "min_p": lambda p: sampling.min_p(p, 0.5),
}
WHOLES = {
    "generate": lambda: list(sampling.generate(lost, [1], sampling.greedy, 3)),
    "write": lambda: list(sampling.write(lost, [1], Sampler(), 3, generator(0))),
    "beam": lambda: sampling.beam(lost, [1], 2, 3),
    "branches": lambda: sampling.branches(lost, [1], 2, 3),
}


@pytest.mark.parametrize("value", [math.nan, 0.0])
@pytest.mark.parametrize("part", PARTS)
def test_every_part_refuses_probabilities_that_are_none(part, value):
    with pytest.raises(ValueError, match=rf"^The .* {value}"):
        PARTS[part](torch.full((5,), value))
    with pytest.raises(ValueError, match=r"^The "):
        PARTS[part](torch.tensor([0.5, math.nan, 0.5]))


@pytest.mark.parametrize("name", WHOLES)
def test_a_model_that_gives_nan_is_named(name):
    with pytest.raises(ValueError, match=r"nan|NaN"):
        WHOLES[name]()


@pytest.mark.parametrize("heat", [0, 0.0, -1, -1e-9, math.nan])
def test_a_temperature_that_is_not_above_zero_is_refused(heat):
    with pytest.raises(ValueError, match=f"The temperature is {heat}; give"):
        sampling.softmax(torch.ones(3), heat)
    with pytest.raises(ValueError, match="temperature is"):
        sampling.next_token_probabilities(table, [1], heat)


def test_whole_numbers_of_numpy_are_whole_numbers():
    p = torch.tensor([0.6, 0.3, 0.1])
    assert torch.equal(sampling.top_k(p, np.int64(2)), sampling.top_k(p, 2))
    assert Sampler(top_k=np.int32(2)).top_k == 2
    for odd in (True, 2.0, np.float64(2), "2"):
        with pytest.raises(ValueError, match="whole number"):
            sampling.top_k(p, odd)


@pytest.mark.parametrize("heat", [0.25, 1.0, 3.0])
@pytest.mark.parametrize("shape", [(1,), (7,), (4, 7), (2, 3, 7)])
def test_softmax_is_torchs(shape, heat):
    logits = torch.randn(shape, generator=generator(0)) * 4
    ours = sampling.softmax(logits, heat)
    assert ours.shape == logits.shape
    assert torch.allclose(ours, torch.softmax(logits / heat, -1), atol=1e-6)
    assert torch.allclose(ours.sum(-1), torch.ones(shape[:-1]))


def test_softmax_divides_by_one_unless_told():
    logits = torch.tensor([0.0, 1.0])
    wanted = [1 / (1 + math.e), math.e / (1 + math.e)]
    assert sampling.softmax(logits).tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("shift", [-1e4, 1e4])
def test_softmax_of_logits_that_no_exponential_could_hold(shift):
    logits = torch.tensor([[shift, shift + 1, shift + 3], [0.0, 1, 3]])
    ours = sampling.softmax(logits)
    assert torch.allclose(ours[0], ours[1])
    assert torch.allclose(ours, torch.softmax(logits, -1))


def test_softmax_gives_nothing_to_minus_infinity():
    ours = sampling.softmax(torch.tensor([2.0, -torch.inf, 2.0]))
    assert ours.tolist() == [0.5, 0, 0.5]


def test_softmax_leaves_the_logits_alone():
    logits = torch.tensor([1.0, 2.0])
    sampling.softmax(logits, 0.5)
    assert logits.tolist() == [1, 2]


@pytest.mark.parametrize("heat", [0.25, 1.0, 3.0])
def test_probabilities_are_softmax_of_logits_over_temperature(heat):
    p = sampling.next_token_probabilities(table, [1, 3], heat)
    assert torch.allclose(p, torch.softmax(table(torch.tensor(3)) / heat, -1))
    assert float(p.sum()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("heat", [0, -1, 1e-40, float("nan"), float("inf")])
def test_odd_temperatures_are_refused(heat):
    with pytest.raises(ValueError, match="number above 0"):
        sampling.next_token_probabilities(table, [1], heat)


def test_no_ids_are_refused():
    with pytest.raises(ValueError, match="at least one"):
        sampling.next_token_probabilities(table, [])


def test_generate_appends_what_it_chose():
    ids = [0]
    for id in sampling.generate(table, [0], sampling.greedy, 6):
        assert id == int(table(torch.tensor(ids[-1])).argmax())
        ids.append(id)
    assert len(ids) == 7


def test_generate_leaves_the_prompt_alone():
    prompt = [0, 1]
    list(sampling.generate(table, prompt, sampling.greedy, 3))
    assert prompt == [0, 1]


def test_log_probability_is_a_sum_over_the_table():
    log_p = torch.log_softmax(table(torch.arange(5)), -1)
    ids = [0, 3, 3, 1]
    wanted = log_p[0, 3] + log_p[3, 3] + log_p[3, 1]
    assert sampling.log_probability(table, ids) == pytest.approx(
        float(wanted), abs=1e-5
    )


def test_distinct_by_hand():
    assert sampling.distinct([5, 6, 5, 6], 2) == 2 / 3
    assert sampling.distinct([1], 3) == 1.0


# Which tokens may be drawn ------------------------------------------------------------

# Eighths of small whole numbers: sums are exact, and equal ones are common.
COUNTS = st.lists(st.integers(0, 4), min_size=1, max_size=9).filter(any)


def likely(counts):
    """Probabilities in proportion to counts, with a sum of one to the last bit."""
    total = 2 ** math.ceil(math.log2(sum(counts)))
    spare = total - sum(counts)
    return torch.tensor([*counts[:-1], counts[-1] + spare]) / total


def in_order(p):
    """Ids, likeliest first, and of equal ones the lower id first."""
    return sorted(range(len(p)), key=lambda i: (-p[i], i))


def only(p, kept):
    """The definition: these probabilities, over their sum."""
    p = [Fraction(float(one)) for one in p]
    total = sum(p[i] for i in kept)
    return [float(p[i] / total) if i in kept else 0.0 for i in range(len(p))]


def equals(found, wanted):
    """The same tokens left, with the same probabilities."""
    same = [one > 0 for one in found.tolist()] == [one > 0 for one in wanted]
    return same and found.tolist() == pytest.approx(wanted, abs=1e-6)


@given(COUNTS, st.data())
@settings(max_examples=60, deadline=None)
def test_top_k_keeps_k_with_the_lower_ids_among_equals(counts, data):
    p = likely(counts)
    k = data.draw(st.integers(1, len(p)))
    assert equals(sampling.top_k(p, k), only(p, in_order(p.tolist())[:k]))


@given(COUNTS, st.integers(1, 16))
@settings(max_examples=60, deadline=None)
def test_top_p_keeps_the_fewest_that_hold_the_share(counts, sixteenths):
    p, share = likely(counts), sixteenths / 16
    order, enough = in_order(p.tolist()), 1
    while sum(Fraction(float(p[i])) for i in order[:enough]) < share:
        enough += 1
    assert equals(sampling.top_p(p, share), only(p, order[:enough]))


@given(COUNTS, st.integers(1, 16))
@settings(max_examples=60, deadline=None)
def test_min_p_keeps_those_near_the_likeliest(counts, sixteenths):
    p, share = likely(counts), sixteenths / 16
    kept = [i for i in range(len(p)) if p[i] >= share * p.max()]
    assert equals(sampling.min_p(p, share), only(p, kept))


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.999, 1 - 1e-7])
def test_top_p_of_a_whole_vocabulary_has_no_token_too_many(share):
    p = (torch.randn(50_257, generator=generator(0)) * 3).softmax(0)
    kept = sampling.top_p(p, share) > 0
    held = p.double()[kept].sum()
    assert held >= share * p.double().sum() - 1e-12
    assert held - p[kept].min() < share * p.double().sum() + 1e-12
    assert p[kept].min() >= p[~kept].max()


def test_top_p_among_thousands_of_equals_keeps_the_lower_ids():
    p = torch.tensor([1.0, 5, 1, 1] * 2_048) / 16_384  # a short sort is always stable
    kept = sampling.top_p(p, 0.75).nonzero()[:, 0].tolist()
    assert kept == sorted(in_order(p.tolist())[: 2_048 + 2_048])


def test_a_share_of_one_keeps_all_that_can_be_drawn():
    p = torch.tensor([0.0, 1e-30, 0.5, 1e-12, 0.5])
    assert (sampling.top_p(p, 1.0) > 0).tolist() == [False, True, True, True, True]


def test_a_tiny_share_keeps_one():
    for p in (torch.full((7,), 1 / 7), torch.tensor([0.2, 0.5, 0.3])):
        kept = sampling.top_p(p, 1e-30).nonzero()[:, 0].tolist()
        assert kept == [int(p.argmax())]


@given(st.floats(0.2, 5), st.lists(st.integers(0, 8), max_size=12))
@settings(max_examples=40, deadline=None)
def test_repetition_penalty_is_transformers(transformers, penalty, ids):
    logits = torch.randn(9, generator=generator(3)) * 4
    before = logits.clone()
    ours = sampling.repetition_penalty(logits, ids, penalty)
    theirs = transformers.RepetitionPenaltyLogitsProcessor(penalty)
    wanted = theirs(torch.tensor([ids], dtype=torch.long), logits.clone()[None])[0]
    assert torch.allclose(ours, wanted if ids else before)
    assert torch.equal(logits, before)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: sampling.top_k(p, 0), "k is 0; .* vocabulary's size of 5"),
        (lambda p: sampling.top_k(p, 6), "k is 6; .* vocabulary's size of 5"),
        (lambda p: sampling.top_k(p, 2.0), "k is 2.0; give a whole number"),
        (lambda p: sampling.top_p(p, 0), "share is 0; give a number above 0"),
        (lambda p: sampling.top_p(p, 1.1), "share is 1.1; .* at most 1"),
        (lambda p: sampling.min_p(p, float("nan")), "share is nan"),
        (lambda p: sampling.repetition_penalty(p, [1], 0), "penalty is 0"),
        (lambda p: sampling.repetition_penalty(p, [1, 5], 2), "from 1 to 5, .* 5 tok"),
        (lambda p: sampling.repetition_penalty(p, [-1], 2), "from -1 to -1"),
        (lambda p: Sampler(temperature=-0.1), "temperature is -0.1; .* 0 for greedy"),
        (lambda p: Sampler(temperature=float("nan")), "temperature is nan"),
        (lambda p: Sampler(top_k=0), "top_k is 0; give a whole number from 1"),
        (lambda p: Sampler(min_p=2), "share is 2"),
        (lambda p: Sampler(top_k=6).choose(p, [], generator(0)), "k is 6; .* of 5"),
        (lambda p: Sampler().choose(p * math.nan, [], generator(0)), "logit is nan"),
        (lambda p: Sampler(0).choose(p / 0, [], None), "largest logit is inf"),
        (lambda p: Sampler().probabilities(-p / 0, []), "largest logit is -inf"),
    ],
)
def test_odd_dials_are_refused_in_a_sentence(call, words):
    with pytest.raises(ValueError, match=words) as caught:
        call(torch.full((5,), 0.2))
    assert str(caught.value).rstrip("?").endswith((".", "tokenizer", "wrong"))


# All dials at once --------------------------------------------------------------------

DIALS = [
    {},
    {"temperature": 0.5},
    {"top_k": 4},
    {"temperature": 2.0, "top_p": 0.7},
    {"min_p": 0.2, "repetition_penalty": 1.7},
    {"temperature": 1.5, "top_k": 6, "top_p": 0.8, "min_p": 0.25},
]


@pytest.mark.parametrize("dials", DIALS)
def test_a_sampler_is_transformers_processors_in_their_order(transformers, dials):
    from transformers.generation import logits_process as theirs

    logits, ids = torch.randn(12, generator=generator(5)) * 2, [3, 3, 7]
    kinds = {
        "repetition_penalty": theirs.RepetitionPenaltyLogitsProcessor,
        "temperature": theirs.TemperatureLogitsWarper,
        "top_k": theirs.TopKLogitsWarper,
        "top_p": theirs.TopPLogitsWarper,
        "min_p": theirs.MinPLogitsWarper,
    }
    wanted = logits[None]
    for name in (name for name in kinds if name in dials):
        wanted = kinds[name](dials[name])(torch.tensor([ids]), wanted)
    found = Sampler(**dials).probabilities(logits, ids)
    assert torch.allclose(found, wanted[0].softmax(-1), atol=1e-6)


def test_it_draws_by_its_own_probabilities():
    sampler, logits = Sampler(0.8, top_k=3), torch.tensor([1.0, 0, 2, -3, 1.5])
    chance = generator(0)
    drawn = torch.tensor([sampler.choose(logits, [], chance) for _ in range(4_000)])
    shares = torch.bincount(drawn, minlength=5) / 4_000
    p = sampler.probabilities(logits, [])
    assert bool((shares[p == 0] == 0).all()) and (shares - p).abs().max() < 0.04


def test_temperature_zero_is_the_likeliest_after_the_penalty():
    logits = torch.tensor([1.0, 3, 2])
    assert Sampler(0).choose(logits, [1]) == 1
    punished = Sampler(0, repetition_penalty=2)
    assert punished.choose(logits, [1]) == 2
    assert punished.probabilities(logits, [1]).tolist() == [0, 0, 1]


# The KV cache -------------------------------------------------------------------------

SMALL = gpt.GPTConfig(vocabulary=31, context=24, layers=3, channels=24, heads=3)
GROUPED = llama.LlamaConfig(31, 24, 3, 32, 4, 2, 48, rope_base=100.0)
STEPS = {"GPT": kv_cache.decode_step, "Llama": llama.decode_step}
STEPS["FastGPT"] = fast_gpt.decode_step


@pytest.fixture(scope="module")
def models():
    """One model of each family, with weights so large that every position matters."""
    made = {"GPT": gpt.GPT(SMALL), "Llama": llama.Llama(GROUPED)}
    made["FastGPT"] = fast_gpt.FastGPT(SMALL)
    chance = generator(1)
    for model in made.values():
        for weight in model.parameters():
            weight.data.normal_(std=0.3, generator=chance)
    return {name: model.eval().requires_grad_(False) for name, model in made.items()}


@pytest.mark.parametrize("name", STEPS)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=8), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_the_cache_changes_nothing(models, name, chunks, texts):
    model, cache = models[name], KVCache(3, 24)
    ids = torch.randint(31, (texts, 24), generator=generator(sum(chunks)))
    for chunk in itertools.takewhile(lambda _: cache.length < 24, chunks):
        start = cache.length
        ours = STEPS[name](model, ids[:, start : start + chunk], cache)
        assert cache.length == min(start + chunk, 24)
        wanted = model(ids[:, : cache.length])[:, -1]
        assert ours.shape == wanted.shape
        assert torch.allclose(ours, wanted, atol=1e-4)


@pytest.mark.parametrize("name", STEPS)
def test_what_the_cache_holds_is_what_counts(models, name):
    # Were the old positions read from anywhere else, this would change nothing.
    model, step, ids = models[name], STEPS[name], torch.arange(6)[None]
    logits = []
    for factor in (1, 2):
        cache = KVCache(3, 24)
        step(model, ids[:, :5], cache)
        with torch.inference_mode():  # as step makes it
            cache.kept[:, 1, :, :, :5] *= factor
        logits.append(step(model, ids[:, 5:], cache))
    assert (logits[0] - logits[1]).abs().max() > 0.01


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5))
@settings(max_examples=25, deadline=None)
def test_a_cache_is_torch_cat(chunks):
    cache, so_far = KVCache(2, 20), [[], []]
    for number, chunk in enumerate(chunks):
        for layer in range(2):
            pair = [
                torch.randn(2, 3, chunk, 5, generator=generator(10 * number + i))
                for i in (2 * layer, 2 * layer + 1)
            ]
            so_far[layer].append(pair)
            given_back = cache.add(layer, *pair)
            for mine, parts in zip(given_back, zip(*so_far[layer])):
                assert torch.equal(mine, torch.cat(parts, 2))
    assert cache.length == sum(chunks)
    assert cache.bytes() == 2 * 2 * 2 * 3 * 20 * 5 * 4


def test_grouped_heads_save_their_share_of_the_cache(models):
    cache = KVCache(3, 24)
    llama.decode_step(models["Llama"], torch.tensor([[1]]), cache)
    every_head = 3 * 2 * 4 * 24 * 8 * 4  # layers, keys and values, heads, context, D
    assert cache.bytes() == every_head / 2 and KVCache(3, 24).bytes() == 0


def test_a_full_cache_says_so_and_keeps_what_it_has():
    cache = KVCache(1, 3)
    cache.add(0, torch.ones(1, 1, 2, 4), torch.ones(1, 1, 2, 4))
    with pytest.raises(ValueError, match="room for 3 positions; these would be 4: "):
        cache.add(0, torch.zeros(1, 1, 2, 4), torch.zeros(1, 1, 2, 4))
    assert cache.length == 2 and bool((cache.kept[..., :2, :] == 1).all())


@pytest.mark.parametrize("shape", [(2, 2, 1, 4), (1, 1, 1, 4), (1, 2, 1, 5)])
def test_keys_of_another_shape_are_refused(shape):
    cache = KVCache(1, 8)
    cache.add(0, torch.ones(1, 2, 1, 4), torch.ones(1, 2, 1, 4))
    with pytest.raises(ValueError, match="start a new cache for other texts"):
        cache.add(0, torch.ones(shape), torch.ones(shape))


@pytest.mark.parametrize("name", STEPS)
def test_a_step_refuses_what_it_cannot_read(models, name):
    step, model = STEPS[name], models[name]
    cache = KVCache(3, 99)
    step(model, torch.zeros(1, 20, dtype=torch.long), cache)
    with pytest.raises(ValueError, match=r"20 positions, and 5 more .* length of 24"):
        step(model, torch.zeros(1, 5, dtype=torch.long), cache)
    with pytest.raises(ValueError, match="for 2 layers and the model has 3"):
        step(model, torch.tensor([[1]]), KVCache(2, 24))
    with pytest.raises(ValueError, match="these hold 31"):
        step(model, torch.tensor([[31]]), cache)
    assert cache.length == 20


# Writing ------------------------------------------------------------------------------


@pytest.mark.parametrize("dials", [*DIALS, {"temperature": 0}])
@pytest.mark.parametrize("name", STEPS)
def test_writing_with_a_cache_gives_the_same_ids(models, name, dials):
    start, sampler = [5, 0, 30], Sampler(**dials)
    for seed in range(3):
        texts = [
            list(
                sampling.write(models[name], start, sampler, 15, generator(seed), step)
            )
            for step in (None, STEPS[name])
        ]
        assert texts[0] == texts[1] and len(texts[0]) == 15
    assert start == [5, 0, 30]


@pytest.mark.parametrize("name", STEPS)
def test_writing_greedily_is_generate(models, name):
    wanted = list(sampling.generate(models[name], [1, 2], sampling.greedy, 9))
    greedy = Sampler(temperature=0)
    assert list(sampling.write(models[name], [1, 2], greedy, 9)) == wanted


@pytest.mark.parametrize("step", [None, kv_cache.decode_step])
@pytest.mark.parametrize("prompt", [1, 23, 24])
def test_writing_ends_where_the_context_is_full(models, prompt, step):
    ids, greedy = [1] * prompt, Sampler(temperature=0)
    written = list(sampling.write(models["GPT"], ids, greedy, 99, decode_step=step))
    assert len(written) == 24 - prompt + 1  # the last is never read


@pytest.mark.parametrize("step", [None, kv_cache.decode_step])
def test_a_prompt_that_is_too_long_or_empty_is_refused(models, step):
    for ids, words in (([1] * 25, "context length of 24"), ([], "at least one")):
        with pytest.raises(ValueError, match=words):
            next(sampling.write(models["GPT"], ids, Sampler(), 5, generator(0), step))


def test_with_a_step_every_id_is_read_once(models):
    read = []

    def step(model, ids, cache):
        read.append(ids.shape[1])
        return kv_cache.decode_step(model, ids, cache)

    greedy = Sampler(temperature=0)
    list(sampling.write(models["GPT"], [1, 2, 3, 4], greedy, 6, decode_step=step))
    assert read == [4, 1, 1, 1, 1, 1]


def test_any_function_writes_without_an_end():
    written = list(sampling.write(table, [1], Sampler(), 40, generator(0)))
    assert len(written) == 40
    again = list(sampling.write(table, [1], Sampler(), 40, generator(0)))
    other = list(sampling.write(table, [1], Sampler(), 40, generator(1)))
    assert written == again != other


@pytest.mark.parametrize("dials", [{}, {"temperature": 0}])
def test_the_real_llm_writes_the_same_with_a_cache(llm, dials):
    model, encoding = llm
    ids = encoding.encode("The sun is shining in the")
    texts = [
        list(sampling.write(model, ids, Sampler(**dials), 6, generator(0), step))
        for step in (None, llama.decode_step)
    ]
    assert texts[0] == texts[1]


# Looking ahead ------------------------------------------------------------------------


def every_way(limit):
    """All continuations of [0] by the table, likeliest first, by brute force."""
    ways = itertools.product(range(5), repeat=limit)
    scored = [(list(w), sampling.log_probability(table, [0, *w])) for w in ways]
    return sorted(scored, key=lambda pair: -pair[1])


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_beam_that_drops_nothing_finds_the_likeliest_of_all(limit):
    found = sampling.beam(table, [0], 5**limit, limit)
    for (ours, log_p), (_, truth) in zip(found, every_way(limit), strict=True):
        assert log_p == pytest.approx(truth, abs=1e-4)
        assert sampling.log_probability(table, [0, *ours]) == pytest.approx(
            truth, abs=1e-4
        )
    assert found[0][0] == every_way(limit)[0][0]


@pytest.mark.parametrize("width", [2, 3])
def test_a_beam_keeps_the_best_beginnings_of_each_length(width):
    beams = [([], 0.0)]
    for _ in range(4):
        longer = [[*ids, new] for ids, _ in beams for new in range(5)]
        scored = [(w, sampling.log_probability(table, [0, *w])) for w in longer]
        beams = sorted(scored, key=lambda pair: -pair[1])[:width]
    found = sampling.beam(table, [0], width, 4)
    assert [ids for ids, _ in found] == [ids for ids, _ in beams]


def test_a_beam_of_one_is_greedy(models):
    (ids, _), *rest = sampling.beam(models["GPT"], [3], 1, 8)
    assert ids == list(sampling.generate(models["GPT"], [3], sampling.greedy, 8))
    assert not rest
    with pytest.raises(ValueError, match="width is 0"):
        sampling.beam(table, [0], 0, 2)


def test_branches_are_the_likeliest_after_their_own_path():
    tree = sampling.branches(table, [2], 3, 3)
    assert len(tree) == 3 + 9 + 27
    for branch in tree:
        above = branch.parent
        last = 2 if above is None else tree[above].id
        p = table(torch.tensor(last)).softmax(-1)
        assert branch.probability == pytest.approx(float(p[branch.id]), abs=1e-6)
        siblings = [one for one in tree if one.parent == above]
        assert [one.id for one in siblings] == p.topk(3).indices.tolist()
