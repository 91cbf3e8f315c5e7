"""Real models against transformers' own reading of the same file."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from course_lib import (
    checkpoints,
    fast_gpt,
    gpt,
    inside,
    pretrained,
    sampling,
    sizing,
    tiny_world,
    tokenizer,
    train,
)
from course_lib.devices import generator
from course_lib.errors import Problem
from course_lib.files import cache, sources
from course_lib.llama import rotate, rotation
from course_lib.notebooks import cells

PROMPTS = [
    "The sun is shining in the",
    "The capital of France is",
    "Harry Potter hated his least favorite teacher, Professor",
    "def fibonacci(n):\n    if n < 2:\n        return",
    "x",
]


@pytest.fixture(scope="module")
def reference(transformers):
    path = cache.fetch(sources.SMOLLM2)
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


def test_same_greedy_tokens_as_transformers(llm, reference):
    model, encoding = llm
    ids = encoding.encode("Once upon a time, a brave knight")
    ours = list(sampling.generate(model, ids, sampling.greedy, 20))
    with torch.no_grad():  # what theirs says after each of these tokens, in one pass
        logits = reference(torch.tensor([ids + ours])).logits[0]
    assert ours == logits[len(ids) - 1 : -1].argmax(-1).tolist()


def test_lesson_11_recorded_what_transformers_says(llm, reference):
    record = {}
    exec(cells.cell(cells.paths(["11"])[0], "recorded"), record)
    ids = torch.tensor([llm[1].encode(record["SUN"])])
    with torch.no_grad():
        top = reference(ids).logits[0].max(-1)
    assert top.indices.tolist() == record["THEIRS"]
    assert top.values.tolist() == pytest.approx(record["LOGITS"], abs=2e-3)


def test_it_has_its_known_number_of_weights(llm):
    assert pretrained.parameters(llm[0]) == 134_515_008


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


def test_a_damaged_gguf_is_never_converted(own_cache):
    path = own_cache / sources.SMOLLM2.name
    data = bytearray(path.read_bytes())
    data[50_000_000:60_000_000] = bytes(10_000_000)
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(Problem, match="not in the cache"):
        pretrained.converted()
    assert not (own_cache / pretrained.CONVERTED).exists()


def test_a_second_load_takes_a_shared_cache_that_cannot_be_written(llm, monkeypatch):
    monkeypatch.setattr(cache.os, "access", lambda path, mode: False)
    model, _ = pretrained.smollm2()
    assert torch.equal(model.norm.weight, llm[0].norm.weight)


# GPT-2 ------------------------------------------------------------------------------

IDS = [3, 14, 1, 5, 9, 2, 6, 5, 35]


@pytest.fixture(scope="module")
def theirs(transformers):
    """transformers' GPT-2, small, with every weight random: biases and norms too."""
    config = transformers.GPT2Config(
        vocab_size=37, n_positions=16, n_layer=3, n_embd=24, n_head=3,
        attn_implementation="eager",
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).eval()
    chance = generator(0)
    for weight in model.parameters():
        weight.data.normal_(std=0.3, generator=chance)
    return model


@pytest.fixture(scope="module")
def file(theirs, tmp_path_factory):
    """The file that transformers keeps its GPT-2 in."""
    folder = tmp_path_factory.mktemp("gpt2")
    theirs.save_pretrained(folder)
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def ours(file):
    return pretrained.gpt2(file, heads=3)


def altered(file, folder, without=(), rename=None, **more):
    """A copy of a file, with some tensors left out, renamed or added."""
    rename = rename or (lambda name: name)
    stored = {rename(name): w for name, w in load_file(file).items()}
    stored = {name: w for name, w in stored.items() if name not in without}
    save_file({**stored, **more}, folder / "altered.safetensors")
    return folder / "altered.safetensors"


def read_by(theirs, **named):
    with torch.no_grad():
        return theirs(torch.tensor([IDS]), **named)


def test_gpt2_has_transformers_logits(theirs, ours):
    logits = read_by(theirs).logits[0]
    assert logits.abs().max() > 1  # there is something to differ
    assert (inside.logits(ours, IDS) - logits).abs().max() < 1e-4


def test_gpt2_takes_a_batch_and_its_whole_context(theirs, ours):
    ids = torch.randint(37, (3, 16), generator=generator(1))
    with torch.no_grad():
        assert (ours(ids) - theirs(ids).logits).abs().max() < 1e-4


def test_gpt2_has_transformers_residual_stream(theirs, ours):
    wanted = read_by(theirs, output_hidden_states=True).hidden_states
    stream = inside.residual_stream(ours, IDS)
    assert len(stream) == len(wanted) == 4
    for layer, state in enumerate(wanted[:-1]):
        assert torch.allclose(stream[layer], state[0], atol=1e-4)
    # transformers shows the last one after the final norm.
    assert torch.allclose(ours.norm(stream[-1]), wanted[-1][0], atol=1e-4)


def test_gpt2_has_transformers_attention_patterns(theirs, ours):
    wanted = read_by(theirs, output_attentions=True).attentions
    patterns = inside.attention_patterns(ours, IDS)
    assert torch.allclose(patterns, torch.cat(wanted), atol=1e-5)


def test_gpt2_is_tied_whole_and_only_to_be_read(theirs, ours):
    assert ours.unembedding.weight is ours.embedding.weight
    assert pretrained.parameters(ours) == pretrained.parameters(theirs)
    assert ours.config == gpt.GPTConfig(37, 16, layers=3, channels=24, heads=3)
    assert not ours.training and not any(w.requires_grad for w in ours.parameters())


def test_gpt2_as_openais_file_has_it(file, ours, tmp_path):
    # Names without "transformer.", and every layer's mask among the tensors.
    masks = {f"h.{i}.attn.bias": torch.ones(1, 1, 16, 16).tril() for i in range(3)}
    path = altered(
        file, tmp_path, rename=lambda n: n.removeprefix("transformer."), **masks
    )
    again = pretrained.gpt2(str(path), heads=3)
    assert torch.equal(inside.logits(again, IDS), inside.logits(ours, IDS))


def test_a_gpt2s_heads_have_64_channels_unless_told(file, tmp_path, transformers):
    shape = {"vocab_size": 11, "n_positions": 8, "n_layer": 1, "n_embd": 192}
    wide = transformers.GPT2Config(**shape, n_head=3)
    theirs = transformers.GPT2LMHeadModel(wide).eval()
    theirs.save_pretrained(tmp_path)
    ours = pretrained.gpt2(tmp_path / "model.safetensors")
    assert ours.config.heads == 3
    ids = torch.tensor([[1, 2, 3, 4]])
    with torch.no_grad():
        assert torch.allclose(ours(ids), theirs(ids).logits, atol=1e-4)


class Mine(nn.Module):
    """A learner's own GPT: the same names, written another way."""

    def __init__(self, config):
        super().__init__()
        self.embedding = nn.Embedding(config.vocabulary, config.channels)
        self.position = nn.Embedding(config.context, config.channels)
        self.blocks = nn.Sequential(*(gpt.Block(config) for _ in range(config.layers)))
        self.norm = nn.LayerNorm(config.channels)
        self.unembedding = nn.Linear(config.channels, config.vocabulary, bias=False)

    def forward(self, ids):
        places = torch.arange(ids.shape[1])
        x = self.embedding(ids) + self.position(places)
        return self.unembedding(self.norm(self.blocks(x)))


def test_gpt2s_weights_fit_a_learners_own_class(file, ours):
    mine = pretrained.gpt2(file, Mine, heads=3)
    assert type(mine) is Mine
    assert torch.allclose(inside.logits(mine, IDS), inside.logits(ours, IDS), atol=1e-5)


def refused(path) -> str:
    with pytest.raises(ValueError) as caught:
        pretrained.gpt2(path, heads=3)
    said = str(caught.value)
    assert str(path) in said and said.endswith(".") and "\n" not in said
    return said


@pytest.mark.parametrize("left", [0, 4, 100, 20_000])
def test_a_gpt2_file_cut_short_is_one_sentence(file, tmp_path, left):
    path = tmp_path / "short.safetensors"
    path.write_bytes(file.read_bytes()[:left])
    assert "not a whole safetensors file" in refused(path)


@pytest.mark.parametrize(
    "name",
    [
        "wte.weight",
        "wpe.weight",
        "ln_f.bias",
        "h.0.ln_1.weight",
        "h.1.attn.c_attn.bias",
        "h.1.mlp.c_fc.weight",
        "h.2.ln_1.bias",
        "h.2.ln_1.weight",
    ],
)
def test_a_gpt2_file_without_a_tensor_is_one_sentence(file, tmp_path, name):
    path = altered(file, tmp_path, without=[f"transformer.{name}"])
    assert f"has no tensor '{name}'" in refused(path)


def test_a_gpt2_file_with_a_tensor_of_another_shape_is_one_sentence(file, tmp_path):
    odd = {"transformer.h.1.ln_2.weight": torch.zeros(5)}
    refused(altered(file, tmp_path, **odd))


def test_another_models_file_is_one_sentence(tmp_path):
    path = tmp_path / "other.safetensors"
    save_file({"model.embed_tokens.weight": torch.zeros(3, 2)}, path)
    assert "it is not a GPT-2 in Hugging Face's layout" in refused(path)


def test_gpt2_without_a_network_says_so(empty_cache):
    with pytest.raises(Problem, match=r"openai-community/gpt2 .*OFFLINE"):
        pretrained.gpt2()


def test_gpt2_comes_from_the_hub_by_name(file, monkeypatch, ours):
    asked = []

    def from_hub(*words):
        asked.append(words)
        return file

    monkeypatch.setattr(cache, "from_hub", from_hub)
    model = pretrained.gpt2("somebody/small-gpt2", heads=3)
    assert asked == [("somebody/small-gpt2", "model.safetensors")]
    assert torch.equal(inside.logits(model, IDS), inside.logits(ours, IDS))


@pytest.mark.parametrize(
    ("config", "weights"),
    [
        (gpt.GPT2_SMALL, 124_439_808),
        (gpt.GPT2_MEDIUM, 354_823_168),
        (gpt.GPT2_LARGE, 774_030_080),
        (gpt.GPT2_XL, 1_557_611_200),
    ],
    ids=["small", "medium", "large", "xl"],
)
def test_the_four_gpt2s_are_as_large_as_transformers(config, weights, transformers):
    shape = transformers.GPT2Config(
        n_layer=config.layers, n_embd=config.channels, n_head=config.heads
    )
    theirs = sizing.on_meta(transformers.GPT2LMHeadModel, shape)
    ours = sizing.on_meta(gpt.GPT, config)
    assert pretrained.parameters(theirs) == pretrained.parameters(ours) == weights


# The course's own checkpoints ---------------------------------------------------------

SHAPE = gpt.GPTConfig(vocabulary=300, context=16, layers=2, channels=16, heads=2)
TEXT = "The sun is shining. கணினி 😀 <|end|> 12 345\n\n  x"
ENCODINGS = {
    "characters": lambda: tokenizer.Characters.train(TEXT),
    "bpe": lambda: tokenizer.Tokenizer(tokenizer.train(TEXT * 9, 300)),
    "bpe with a special token and another split": lambda: tokenizer.Tokenizer(
        tokenizer.train(TEXT * 9, 290), tokenizer.SMOLLM2_SPLIT, {"<|end|>": 290}
    ),
    "gpt2": tokenizer.gpt2,
    "smollm2": tokenizer.smollm2,
}


def kept(folder, make, encoding, **changes):
    """A model, and the file that it and its tokenizer were saved in."""
    shape = dataclasses.replace(SHAPE, vocabulary=pretrained.vocabulary(encoding))
    model = make(shape, generator=generator(0))
    for weight in model.parameters():  # FastGPT begins with zeros
        weight.data.normal_(std=0.2, generator=generator(1))
    known = pretrained.about(model, encoding, {"text": "a few words"}) | changes
    path = folder / "model.safetensors"
    weights = dict(model.named_parameters())
    checkpoints.write(weights, path, {"about": json.dumps(known)})
    return model.eval(), path


@pytest.mark.parametrize("make", [gpt.GPT, fast_gpt.FastGPT])
@pytest.mark.parametrize("kind", ENCODINGS)
def test_a_trained_model_and_its_tokenizer_come_back(tmp_path, make, kind):
    encoding = ENCODINGS[kind]()
    model, path = kept(tmp_path, make, encoding)
    again, theirs, known = pretrained.trained(str(path))
    ids = encoding.encode(TEXT)
    assert theirs.encode(TEXT) == ids and theirs.decode(ids) == TEXT
    assert pretrained.vocabulary(theirs) == model.config.vocabulary > max(ids)
    assert type(again) is make and again.config == model.config
    with torch.no_grad():
        inputs = torch.tensor([ids[:16]])
        assert torch.equal(again(inputs), model(inputs))
    assert not again.training and not any(w.requires_grad for w in again.parameters())
    assert known["text"] == "a few words"


def test_special_tokens_come_back_too():
    encoding = ENCODINGS["bpe with a special token and another split"]()
    known = json.loads(json.dumps(pretrained.about(gpt.GPT(SHAPE), encoding, {})))
    again = pretrained.encoding_of(known)
    assert again.encode("x<|end|>", allowed_special=["<|end|>"])[-1] == 290
    assert 290 not in again.encode("x<|end|>") and again.decode([290]) == "<|end|>"


def test_every_byte_survives_json():
    every = {bytes([byte]): byte for byte in range(256)}
    encoding = tokenizer.Tokenizer(every | {b"\xf0\x9f": 256, b"\x00\xff": 257})
    known = json.loads(json.dumps(pretrained.about(gpt.GPT(SHAPE), encoding, {})))
    assert pretrained.encoding_of(known).tokens == encoding.tokens


def test_a_run_that_was_trained_is_loaded_as_it_ended(tmp_path):
    encoding = tokenizer.Characters.train(TEXT)
    ids = torch.tensor(encoding.encode(TEXT * 9))
    shape = dataclasses.replace(SHAPE, vocabulary=encoding.vocabulary)
    model = fast_gpt.FastGPT(shape, generator=generator(0))
    config = train.TrainConfig(4, 2, 16, every=2)
    about = pretrained.about(model, encoding, {})
    train.train(
        model, ids, ids, config, "cpu", tmp_path / "run", about=about, bar=False
    )
    again, _, _ = pretrained.trained(tmp_path / "run")
    with torch.no_grad():
        assert torch.equal(again(ids[None, :16]), model.eval()(ids[None, :16]))


class Other(gpt.GPT):
    """A learner's own class: it may be another model than its parent."""


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": ["gpt"]},
        {"kind": None},
        {"shape": None},
        {"shape": {"width": 5}},
        {"characters": 7},
        {"characters": None},
    ],
    ids=str,
)
def test_a_file_that_says_it_wrong_is_refused(tmp_path, changes):
    _, path = kept(tmp_path, gpt.GPT, tokenizer.Characters.train(TEXT), **changes)
    with pytest.raises(Problem, match="saved by this course"):
        pretrained.trained(path)


def test_weights_alone_say_what_a_notebook_should_note(tmp_path):
    checkpoints.write(gpt.GPT(SHAPE).state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(Problem, match=r"about=pretrained\.about\(model, tokenizer"):
        pretrained.trained(tmp_path)


def test_a_learners_own_class_is_loaded_where_it_is_made(tmp_path):
    _, path = kept(tmp_path, gpt.GPT, tokenizer.Characters.train(TEXT), kind="other")
    with pytest.raises(Problem, match=r"not this course's own: .*checkpoints\.fit"):
        pretrained.trained(path)


def test_a_learners_own_class_is_not_taken_for_ours():
    encoding = tokenizer.Characters("ab")
    assert pretrained.about(Other(SHAPE), encoding, {})["kind"] == "other"
    assert pretrained.about(gpt.GPT(SHAPE), encoding, {})["kind"] == "gpt"


def test_a_tokenizer_nobody_wrote_down_is_not_gpt2s():
    for known in ({}, {"encoding": "another"}):
        with pytest.raises(Problem, match="which tokenizer"):
            pretrained.encoding_of(known)


def test_weights_of_another_shape_are_refused(tmp_path):
    encoding = tokenizer.Characters.train(TEXT)
    shape = dataclasses.asdict(SHAPE) | {"vocabulary": 5}
    _, path = kept(tmp_path, gpt.GPT, encoding, shape=shape)
    with pytest.raises(Problem, match=r"embedding\.weight of shape"):
        pretrained.trained(path)


def test_a_model_that_is_missing_says_where_it_should_be(tmp_path):
    with pytest.raises(Problem, match=r"There is no file .*nowhere"):
        pretrained.trained(tmp_path / "nowhere")


def test_tinyworlds_model_is_the_file_that_comes_with_the_course(tmp_path, monkeypatch):
    (tmp_path / "assets").mkdir()
    model, path = kept(tmp_path / "assets", gpt.GPT, tokenizer.Characters.train(TEXT))
    path.rename(tmp_path / "assets" / "tinyworld.safetensors")
    monkeypatch.setattr(pretrained, "__file__", str(tmp_path / "course_lib" / "x.py"))
    again, encoding, _ = pretrained.tinyworld()
    assert torch.equal(again.embedding.weight, model.embedding.weight)
    assert encoding.decode(encoding.encode(TEXT)) == TEXT


def test_the_model_that_comes_along_is_near_the_entropy_of_its_world():
    model, encoding, known = pretrained.tinyworld()
    total = floor = count = 0
    for story in tiny_world.tiny_world(60, seed=7):  # it has read those of seed 0
        ids = torch.tensor([encoding.encode(story.text)])
        tokens = [encoding.decode([id]) for id in ids[0].tolist()]
        with torch.no_grad():
            logits = model(ids[:, :-1])[0]
        total += float(
            torch.nn.functional.cross_entropy(logits, ids[0, 1:]) * len(logits)
        )
        floor += sum(tiny_world.token_surprise(story, tokens)[1:])
        count += len(logits)
    assert known["kind"] == "gpt" and "seed 0" in known["text"]
    assert floor / count - 0.02 < total / count < floor / count + 0.05
