"""The real LLM against transformers' own reading of the same file."""

import os

import pytest
import torch

from course_lib import cache, pretrained, sampling
from course_lib.llama import Llama, LlamaConfig, rotate, rotation

PROMPTS = [
    "The sun is shining in the",
    "The capital of France is",
    "Harry Potter hated his least favorite teacher, Professor",
    "def fibonacci(n):\n    if n < 2:\n        return",
    "x",
]


def needs_transformers():
    """transformers, or a skip that says why; in CI it must be there."""
    try:
        import transformers
    except ImportError:
        if os.environ.get("CI"):
            pytest.fail("transformers is missing in CI: see tests/requirements.txt")
        pytest.skip(
            "transformers is not installed: pip install -r tests/requirements.txt"
        )
    return transformers


@pytest.fixture(scope="module")
def reference():
    transformers = needs_transformers()
    path = cache.fetch(cache.SMOLLM2)
    return transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).eval()


def first(llm, prompt: str) -> tuple[str, float]:
    """The likeliest next token and its probability."""
    model, encoding = llm
    p = sampling.next_token_probabilities(model, encoding.encode(prompt))
    return encoding.decode([int(p.argmax())]), float(p.max())


@pytest.mark.parametrize(
    ("prompt", "token", "probability"),
    [
        ("The sun is shining in the", " sky", 0.18),
        ("The capital of France is", " Paris", 0.77),
        ("Harry Potter hated his least favorite teacher, Professor", " Sn", 0.14),
    ],
)
def test_known_predictions(llm, prompt, token, probability):
    found, p = first(llm, prompt)
    assert found == token
    assert p == pytest.approx(probability, abs=0.005)


@pytest.mark.parametrize("prompt", [*PROMPTS, "500 tokens"])
def test_same_logits_as_transformers(llm, reference, prompt):
    model, encoding = llm
    text = prompt if prompt in PROMPTS else "The old man and the sea. " * 100
    ids = torch.tensor([encoding.encode(text)])[:, :500]
    assert prompt in PROMPTS or ids.shape[1] == 500
    with torch.no_grad():
        worst = (model(ids) - reference(ids).logits).abs().max().item()
    assert worst < 1e-3


def test_same_forty_greedy_tokens_as_transformers(llm, reference):
    model, encoding = llm
    ids = encoding.encode("Once upon a time, a brave knight")
    ours = list(sampling.generate(model, ids, sampling.greedy, 40))
    for _ in range(40):
        with torch.no_grad():
            ids.append(int(reference(torch.tensor([ids])).logits[0, -1].argmax()))
    assert ours == ids[-40:]


def test_it_has_its_known_number_of_weights(llm):
    assert pretrained.parameters(llm[0]) == 134_515_008


def test_no_position_sees_what_comes_later(llm):
    model, _ = llm
    ids = torch.randint(17, 40_000, (1, 24), generator=torch.Generator().manual_seed(0))
    changed = ids.clone()
    changed[0, 12:] = ids[0, 12:].flip(0)
    with torch.no_grad():
        before, after = model(ids), model(changed)
    assert torch.allclose(before[:, :12], after[:, :12], atol=1e-4)
    assert not torch.allclose(before[:, 12:], after[:, 12:], atol=1e-2)


def test_rope_depends_on_distance_only():
    turn = rotation(40, 8, 100.0)  # (2, 40, 8)
    query, key = torch.randn(2, 8, generator=torch.Generator().manual_seed(1))

    def score(i, j):
        at = [
            rotate(v.view(1, 1, 1, 8), turn[:, t : t + 1])
            for v, t in ((query, i), (key, j))
        ]
        return float((at[0] * at[1]).sum())

    assert score(3, 1) == pytest.approx(score(33, 31), abs=1e-4)
    assert score(3, 1) != pytest.approx(score(3, 2), abs=1e-3)


def test_unpermute_undoes_ggufs_order():
    rows = torch.arange(16.0).view(16, 1)  # two heads of eight
    halves = rows.view(2, 2, 4, 1)  # a pair's channels: half a head apart
    stored = halves.transpose(1, 2).reshape(16, 1)  # as GGUF: side by side
    assert torch.equal(pretrained.unpermute(stored, 8), rows)


SMALL = LlamaConfig(
    vocabulary=11, context=6, layers=1, channels=8, query_heads=2, key_value_heads=1,
    mlp_channels=16,
)  # fmt: skip


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (torch.zeros(1, 0, dtype=torch.long), "at least one position"),
        (torch.zeros(3, dtype=torch.long), "(batch, positions)"),
        (torch.zeros(1, 7, dtype=torch.long), "context length of 6"),
        (torch.tensor([[11]]), "another tokenizer"),
        (torch.tensor([[-1]]), "another tokenizer"),
        (torch.tensor([[1.5]]), "whole numbers"),
        (torch.tensor([[True]]), "whole numbers"),
        (torch.zeros(0, 3, dtype=torch.long), "at least one position"),
        ([[1, 2]], "torch.tensor([ids])"),
    ],
)
def test_ids_that_no_model_could_read(ids, words):
    with pytest.raises(ValueError) as caught:
        Llama(SMALL)(ids)
    assert words in str(caught.value)


def test_ids_on_another_device_are_named():
    with pytest.raises(ValueError, match="move the ids"):
        Llama(SMALL)(torch.zeros(1, 2, dtype=torch.long, device="meta"))


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """A cache of its own that holds the real GGUF file, without a network."""
    source = cache.fetch(cache.SMOLLM2)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    (tmp_path / source.name).symlink_to(source)
    return tmp_path


def test_a_converted_file_cut_short_is_made_again(own_cache, llm):
    path = pretrained.converted()
    whole = path.stat().st_size
    with open(path, "r+b") as file:
        file.truncate(whole // 2)
    model, _ = pretrained.smollm2()
    assert path.stat().st_size == whole
    assert torch.equal(model.embedding.weight, llm[0].embedding.weight)


def test_a_damaged_vocabulary_is_made_again(own_cache):
    path = pretrained.tokenizer.smollm2_vocabulary()
    good = path.read_bytes()
    path.write_bytes(good[:-40])
    assert pretrained.tokenizer.smollm2_vocabulary().read_bytes() == good


def test_a_damaged_gguf_is_never_converted(own_cache):
    path = own_cache / cache.SMOLLM2.name
    data = bytearray(path.read_bytes())
    data[50_000_000:60_000_000] = bytes(10_000_000)
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(cache.CacheError, match="not in the cache"):
        pretrained.converted()
    assert not (own_cache / pretrained.CONVERTED).exists()


def test_a_second_load_takes_a_shared_cache_that_cannot_be_written(llm, monkeypatch):
    monkeypatch.setattr(cache.os, "access", lambda path, mode: False)
    model, _ = pretrained.smollm2()
    assert torch.equal(model.norm.weight, llm[0].norm.weight)
