"""The site's live widgets, as files: their values are the course's, and nothing else runs.

The oracles are what the model, the vectors and the course's own functions say; what the
pages make of the values is held in slow/test_live_in_browser.py.
"""

import base64
import hashlib
import json
import re

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from course_lib import gpt, inside, sizing, vectors
from course_lib.cli import live
from course_lib.files import ROOT
from course_lib.notebooks.live import Live

LARGEST = 500_000  # bytes of a page


@pytest.fixture(scope="module")
def glove():
    return vectors.glove()


@pytest.fixture(scope="module")
def widgets() -> dict[str, Live]:
    """All of them, on the real model and the real vectors, by what style.css calls them."""
    found, left_out = live.ready()
    assert left_out == ""
    return {one.kind: one for one in found}


@pytest.fixture(scope="module")
def pages(widgets, tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("live")
    for one in widgets.values():
        one.write(folder / one.file)
    return {kind: (folder / w.file).read_text("utf-8") for kind, w in widgets.items()}


KINDS = ("live-attention", "live-weights", "live-analogy", "live-dials")
KINDS += ("live-repeats", "live-map")
every_kind = pytest.mark.parametrize("kind", KINDS)


def facts(page: str) -> dict:
    """What a page holds."""
    return json.loads(re.search(r'(?s)id="facts">(.*?)</script>', page)[1])


def unpacked(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8)


# Files --------------------------------------------------------------------------------


def test_each_lesson_s_widget_has_its_own_page(widgets):
    assert tuple(sorted(widgets)) == tuple(sorted(KINDS))
    files = [one.file for one in widgets.values()]
    assert sorted(files) == [
        "live/02-analogy-lab.html",
        "live/03-picture.html",
        "live/06-picture.html",
        "live/09-picture.html",
        "live/13-map-explorer.html",
        "live/13-picture.html",
    ]


@every_kind
def test_only_the_page_s_own_code_may_run_and_nothing_may_be_asked_for(pages, kind):
    page = pages[kind]
    (policy,) = re.findall(r'Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy and "http" not in policy and "*" not in policy
    for element, named in (("script", r'<script type="module">'), ("style", "<style>")):
        (code,) = re.findall(rf"(?s){named}(.*?)</{element}>", page)
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy
    assert page.count("<script") == page.count("</script>") == 2
    outside = re.findall(r"https?://[^\s\"')]+", page)
    assert set(outside) <= {"http://www.w3.org/2000/svg"}  # only a name
    assert not re.search(r"<link|<img|url\(|@import|import\(|fetch\(| style=", page)


@every_kind
def test_a_page_is_small(pages, kind):
    assert len(pages[kind].encode()) <= LARGEST


# Values -------------------------------------------------------------------------------


EXPLORERS = {  # its texts, layer and head
    "live-attention": (live.TEXTS, 27, 3),
    "live-repeats": ([live.TWICE], 18, 6),
    "live-map": ([live.TWICE], 18, 6),
}


@pytest.mark.parametrize("kind", EXPLORERS)
def test_the_explorer_shows_the_model_s_weights_to_the_hundredth(pages, llm, kind):
    (model, encoding), held = llm, facts(pages[kind])
    texts, layer, head = EXPLORERS[kind]
    assert (held["layers"], held["heads"]) == (30, 9)
    assert (held["layer"], held["head"]) == (layer, head)
    for one, text in zip(held["texts"], texts, strict=True):
        weights = inside.attention_patterns(model, encoding.encode(text)).numpy()
        count, stored = weights.shape[-1], unpacked(one["patterns"])
        assert "".join(one["tokens"]).replace("·", " ") == text
        rows, columns = np.tril_indices(count)
        wanted = weights[:, :, rows, columns].reshape(-1)
        shown = stored.astype(float) / 100
        assert len(shown) == len(wanted) and np.abs(shown - wanted).max() < 0.00501
        assert stored.max() == 100  # something looks at one place only


def test_texts_layers_and_heads_are_the_lessons(pages):
    """Each begins as the saved picture does, and knows the scores that 13 printed."""
    for kind, lesson, cell in (
        ("live-attention", "03_attention", "load"),
        ("live-repeats", "13_inside", "picture"),
    ):
        notebook = json.loads((ROOT / "notebooks" / f"{lesson}.ipynb").read_text())
        (source,) = ["".join(c["source"]) for c in notebook["cells"] if c["id"] == cell]
        text = facts(pages[kind])["texts"][0]["text"]
        assert f'"{text}"' in source or f'" {text[: len(text) // 2]}"' in source
    scores = facts(pages["live-map"])["scores"]
    assert facts(pages["live-attention"])["scores"] == []
    (printed,) = [c for c in notebook["cells"] if c["id"] == "heads"]
    told = "".join(printed["outputs"][0]["text"])
    for layer, head, score in re.findall(r"layer +(\d+), head (\d): ([\d.]+)", told):
        assert scores[int(layer)][int(head)] == pytest.approx(float(score), abs=0.0051)


def test_the_tree_map_begins_with_gpt_3_s_eight_sizes(pages):
    held = facts(pages["live-weights"])["sisters"]
    sizes = [(one["channels"], one["layers"]) for one in held]
    assert sizes[0] == (gpt.GPT3.channels, gpt.GPT3.layers) and len(set(sizes)) == 8
    # Each is called by what its own weights come to, as the paper rounds them.
    for one, config in zip(held, live.SISTERS.values(), strict=True):
        called = re.search(r"([\d.]+) ([MB])$", one["name"])
        size = float(called[1]) * {"M": 1e6, "B": 1e9}[called[2]]
        assert size == pytest.approx(sizing.total(config), rel=0.06)


def test_the_lab_has_the_lesson_s_words_and_the_most_frequent(pages, glove):
    held = facts(pages["live-analogy"])
    words = held["words"]
    assert len(words) == len(set(words)) == 2_000
    assert all(word in glove for word in words) and "," not in words
    asked = {
        w.lower() for kind in vectors.PAIRS for q in vectors.questions(kind) for w in q
    }
    assert asked <= set(words)
    for often in ("the", "water", "house", "government"):
        assert often in words


def test_rounded_vectors_give_nearly_the_same_cosines(pages, glove):
    held = facts(pages["live-analogy"])
    whole = glove.vectors[[glove.id(word) for word in held["words"]]]
    whole = F.normalize(whole, dim=-1)
    stored = unpacked(held["vectors"]).view(np.int8).reshape(2_000, held["channels"])
    ours = F.normalize(torch.tensor(stored.astype(np.float32)), dim=-1)
    place = {word: i for i, word in enumerate(held["words"])}
    asked = [q for kind in vectors.PAIRS for q in vectors.questions(kind)]
    asked = torch.tensor([[place[word.lower()] for word in q] for q in asked])
    a, b, c, _ = asked.T
    ends = [F.normalize(v[b] - v[a] + v[c], dim=-1) @ v.T for v in (whole, ours)]
    gaps = (ends[0] - ends[1]).abs()
    assert gaps.max() < 0.015 and (gaps < 0.01).float().mean() > 0.999
    same = (ends[0].argmax(-1) == ends[1].argmax(-1)).float().mean()
    assert same > 0.97


def test_steps_come_back_as_logits():
    """Small steps, none, and one that takes several bytes."""
    logits = torch.tensor([1.0, -3.0, 1.0, 0.99, 0.5])
    levels, found = 0, []
    for one in live.steps_down(logits):
        levels += one
        if one < 255:
            found.append(-levels * live.STEP)
    wanted = logits.sort(descending=True).values - 1
    assert torch.allclose(torch.tensor(found), wanted, atol=live.STEP)


def test_the_dials_hold_all_logits(pages, llm):
    model, encoding = llm
    held = facts(pages["live-dials"])
    assert held["beginnings"][0]["text"] == "The sun is shining in the"
    for one in held["beginnings"]:
        logits = inside.logits(model, encoding.encode(one["text"]))[-1]
        bytes_ = unpacked(one["logits"])
        levels = np.cumsum(bytes_.astype(np.int64))[bytes_ < 255]
        wanted = (logits.max() - logits.sort(descending=True).values).numpy()
        assert len(levels) == len(wanted) == 49_152
        assert np.abs(levels * held["step"] - wanted).max() < 0.6 * held["step"]
        best = [encoding.decode([int(i)]) for i in logits.topk(14).indices]
        assert [token.replace("·", " ") for token in one["tokens"]] == best


# What is missing ------------------------------------------------------------------------


def test_without_model_and_vectors_the_rest_is_made_and_it_says_so(empty_cache):
    found, left_out = live.ready()
    assert [one.kind for one in found] == ["live-weights"]
    assert left_out.count("\n") == 0
    for words in ("attention explorer", "sampling dials", "SmolLM2"):
        assert words in left_out
    assert "analogy lab" in left_out and "GloVe" in left_out
    assert left_out.endswith("python -m course_lib doctor --fetch")


def test_without_the_vectors_only_the_lab_is_left_out(monkeypatch):
    def lost():
        raise live.Problem("no network")

    monkeypatch.setattr(live.vectors, "glove", lost)
    monkeypatch.setattr(live.pretrained, "smollm2", lambda: (None, None))
    found, left_out = live.ready()
    kinds = {one.kind for one in found}
    assert kinds == set(KINDS) - {"live-analogy"}
    assert "analogy lab" in left_out and "SmolLM2" not in left_out


def test_a_fault_of_another_kind_is_not_hidden(monkeypatch):
    def broken():
        raise ZeroDivisionError

    monkeypatch.setattr(live.pretrained, "smollm2", broken)
    with pytest.raises(ZeroDivisionError):
        live.ready()
