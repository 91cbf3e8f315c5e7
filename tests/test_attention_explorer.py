"""The attention explorer without a browser: what it sends when its values change."""

import sys

import ipywidgets
import pytest
import torch

from course_lib import figures, inside, tokenizer
from course_lib.gpt import GPT, GPTConfig
from course_lib.widgets import attention

TEXT = "The cat sat on the mat because it was tired."
ODD = [
    " ",
    "x" * 100_000,
    "word " * 20_000,
    "😀 தமிழ் $x$ _ \\ %",
    "\x00\x04 \ud800",
    "<|im_end|>",
    "a,b·c",
    "\n",
]
SMALL = GPTConfig(vocabulary=49_152, context=64, layers=2, channels=8, heads=4)


@pytest.fixture(scope="module")
def encoding():
    return tokenizer.smollm2()


@pytest.fixture(scope="module")
def model():
    """A model whose weights are large enough to make its patterns uneven."""
    model = GPT(SMALL, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(40)
    return model


@pytest.fixture
def explorer(model, encoding):
    pytest.importorskip("anywidget")
    _, box = attention.attention_explorer(model, encoding, TEXT, layer=1)
    return parts(box)


@pytest.fixture
def still(model, encoding, monkeypatch):
    """The explorer where anywidget is missing."""
    monkeypatch.setattr(attention, "anywidget", None)
    _, box = attention.attention_explorer(model, encoding, TEXT)
    named = parts(box)
    frame, note = named["view"].children
    (image,) = frame.children
    return named | {"image": image, "note": note}


def parts(box: ipywidgets.VBox) -> dict:
    return dict(zip(("text", "layer", "head", "view"), box.children))


def pattern(model, encoding, text: str, layer: int, head: int) -> torch.Tensor:
    ids = encoding.encode(text)[: figures.MOST_LOOKS]
    return inside.attention_patterns(model, ids)[layer, head]


def test_weights_are_the_models_own(explorer, model, encoding):
    for layer in range(2):
        for head in range(4):
            explorer["layer"].value, explorer["head"].value = layer, head
            sent = torch.tensor(explorer["view"].weights)
            wanted = pattern(model, encoding, TEXT, layer, head)
            assert torch.allclose(sent, wanted, atol=5.1e-5)
            assert torch.equal(sent, sent.tril())
            assert sent.sum(-1) == pytest.approx(1, abs=0.002)


def test_tokens_show_their_spaces(explorer):
    assert explorer["view"].tokens[:3] == ["The", "·cat", "·sat"]
    assert explorer["view"].note == "11 tokens"
    explorer["text"].value = "தமிழ்"
    assert explorer["view"].tokens[0].startswith("⟨E0")


def test_a_head_starts_where_it_is_asked_to(explorer):
    assert (explorer["layer"].value, explorer["head"].value) == (1, 0)
    assert (explorer["layer"].max, explorer["head"].max) == (1, 3)


def test_only_a_new_text_is_read(explorer, monkeypatch):
    texts = []
    real = inside.attention_patterns

    def spy(model, ids):
        texts.append(ids)
        return real(model, ids)

    monkeypatch.setattr(inside, "attention_patterns", spy)
    before = explorer["view"].weights
    explorer["head"].value = 3
    explorer["layer"].value = 0
    assert texts == [] and explorer["view"].weights != before
    explorer["text"].value = "Another text"
    assert len(texts) == 1
    assert explorer["view"].tokens == ["Another", "·text"]
    assert len(explorer["view"].weights) == 2


@pytest.mark.parametrize("text", ODD)
@pytest.mark.filterwarnings("error")
def test_any_text_is_answered(explorer, text):
    explorer["text"].value = text
    tokens, weights = explorer["view"].tokens, explorer["view"].weights
    assert 1 <= len(tokens) <= figures.MOST_LOOKS
    assert [len(row) for row in weights] == [len(tokens)] * len(tokens)
    assert max(map(len, tokens)) <= figures.MOST_LETTERS
    assert "token" in explorer["view"].note


def test_no_text_is_asked_for(explorer):
    explorer["text"].value = ""
    view = explorer["view"]
    assert (view.tokens, view.weights) == ([], [])
    assert view.note == "Type at least one letter."
    explorer["head"].value = 2
    assert view.weights == []


def test_a_long_text_is_read_up_to_forty_tokens(explorer):
    explorer["text"].value = "and so on " * 500
    assert len(explorer["view"].tokens) == 40
    assert explorer["view"].note == "The first 40 tokens are read, the rest is not."


def test_more_than_the_context_is_explained(encoding):
    pytest.importorskip("anywidget")
    short = GPT(GPTConfig(vocabulary=49_152, context=4, layers=1, channels=4, heads=1))
    _, box = attention.attention_explorer(short, encoding, TEXT)
    named = parts(box)
    assert named["view"].tokens == [] and "context length" in named["view"].note
    named["text"].value = "The cat"
    assert named["view"].tokens == ["The", "·cat"]


def test_starting_without_a_text(model, encoding):
    axis, _ = attention.attention_explorer(model, encoding, "")
    assert figures.png(axis).startswith(b"\x89PNG")


@pytest.mark.parametrize(("layer", "head"), [(2, 0), (0, 4), (-1, 0)])
def test_a_head_that_is_not_there(model, encoding, layer, head):
    with pytest.raises(ValueError, match="its heads 0 to 3"):
        attention.attention_explorer(model, encoding, TEXT, layer, head)


def test_without_anywidget_the_picture_moves(still):
    assert still["note"].value == "11 tokens"
    for control, value in (("layer", 1), ("head", 3), ("text", "Another text")):
        before = still["image"].value
        still[control].value = value
        assert still["image"].value != before
    assert still["note"].value == "2 tokens"


@pytest.mark.parametrize("text", ["", *ODD])
@pytest.mark.filterwarnings("error")
def test_without_anywidget_any_text_is_answered(still, text):
    still["text"].value = text
    assert bytes(still["image"].value).startswith(b"\x89PNG")
    assert still["note"].value


def test_without_anywidget_all_is_core(still):
    for part in (still["text"], still["head"], still["image"], still["note"]):
        assert type(part).__module__.startswith("ipywidgets.")


def test_the_picture_is_the_same_with_and_without(model, encoding, monkeypatch):
    live, _ = attention.attention_explorer(model, encoding, TEXT, 1, 2)
    monkeypatch.setattr(attention, "anywidget", None)
    still, box = attention.attention_explorer(model, encoding, TEXT, 1, 2)
    assert figures.png(live) == figures.png(still)
    (image,) = parts(box)["view"].children[0].children
    assert bytes(image.value) == figures.png(still)


def test_importing_without_anywidget(monkeypatch):
    import importlib

    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "course_lib.widgets.attention")
    # Importing it anew also changes what the package calls by that name.
    monkeypatch.setattr("course_lib.widgets.attention", attention)
    bare = importlib.import_module("course_lib.widgets.attention")
    assert bare is not attention and bare.anywidget is None


def test_the_program_loads_nothing():
    """No address, no import, no font from elsewhere: only the name of SVG's grammar."""
    words = attention.PROGRAM + attention.LOOK
    words = words.replace("http://www.w3.org/2000/svg", "")
    for word in ("http", "import", "fetch", "url(", "//cdn", "eval", "innerHTML"):
        assert word not in words, word


# The map of all heads ------------------------------------------------------------------


@pytest.fixture
def mapped(model, encoding):
    pytest.importorskip("anywidget")
    scores = torch.rand(2, 4, generator=torch.Generator().manual_seed(0))
    _, box = attention.attention_explorer(model, encoding, TEXT, 1, 2, scores)
    return parts(box) | {"scores": scores}


def test_a_map_holds_every_heads_score_and_rings_the_chosen_one(mapped, explorer):
    view = mapped["view"]
    assert torch.allclose(torch.tensor(view.scores), mapped["scores"], atol=1e-3)
    assert view.chosen == [1, 2] and explorer["view"].scores == []


def test_pressing_a_head_moves_both_sliders_and_shows_its_weights(mapped, model):
    view = mapped["view"]
    before = view.weights
    view.chosen = [0, 3]  # as the browser sends it
    assert (mapped["layer"].value, mapped["head"].value) == (0, 3)
    assert view.chosen == [0, 3] and view.weights != before
    mapped["head"].value = 1
    assert view.chosen == [0, 1]


def test_a_map_is_no_part_of_the_explorer_without_anywidget(
    model, encoding, monkeypatch
):
    monkeypatch.setattr(attention, "anywidget", None)
    _, box = attention.attention_explorer(model, encoding, TEXT, 1, 2, torch.rand(2, 4))
    assert len(box.children) == 4
