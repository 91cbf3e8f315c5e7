"""The widgets without a browser: what they do when their values change."""

import ipywidgets
import pytest
import torch
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from course_lib import figures, sampling, tokenizer, widgets
from course_lib.widgets import explorers, pictures

ODD = [
    "",
    " ",
    "x" * 100_000,
    "😀 தமிழ் $x$ _ \\ %",
    "\x00\x04 \ud800",
    "<|im_end|>",
    "NaN",
]


@pytest.fixture(scope="module")
def encoding():
    return tokenizer.smollm2()


def model(ids):
    """A quick stand-in for the real LLM: logits that depend on the last id."""
    place = torch.arange(49_152.0) - (ids[..., -1:].float() * 7 % 49_000)
    return (-place.abs() / 50)[:, None]


@pytest.fixture
def explorer(encoding):
    _, box = widgets.next_token_explorer(model, encoding, "The sun")
    text, heat, frame, row, note = box.children
    (image,) = frame.children
    return {"text": text, "heat": heat, "image": image, "row": row, "note": note}


def test_typing_changes_picture_and_buttons(explorer):
    before = explorer["image"].value, explorer["row"].children[0].description
    explorer["text"].value = "Another text"
    assert explorer["image"].value != before[0]
    assert explorer["row"].children[0].description != before[1]


def test_temperature_changes_the_picture_as_dividing_logits_would(explorer, encoding):
    drawn = {}
    real = figures.next_token_bars

    def spy(tokens, probabilities, title):
        drawn["p"] = probabilities
        return real(tokens, probabilities, title)

    figures.next_token_bars = spy
    try:
        explorer["heat"].value = 0.5
    finally:
        figures.next_token_bars = real
    ids = encoding.encode("The sun")
    wanted = sampling.next_token_probabilities(model, ids, 0.5).topk(10).values
    assert torch.allclose(torch.tensor(drawn["p"]), wanted, atol=1e-5)


def test_clicking_a_token_appends_it(explorer):
    label = explorer["row"].children[2].description
    explorer["row"].children[2].click()
    assert figures.visible(explorer["text"].value).endswith(label)
    assert explorer["text"].value != "The sun"


def test_a_token_that_cannot_be_typed_cannot_be_clicked(encoding):
    def favours(ids):
        logits = torch.zeros(1, 1, 49_152)
        logits[..., 2] = 9  # <|im_end|>
        logits[..., encoding.encode("😀")[0]] = 8  # half a smile
        logits[..., encoding.encode(" sky")[0]] = 7
        return logits

    _, box = widgets.next_token_explorer(favours, encoding, "The")
    assert [button.disabled for button in box.children[3].children[:3]] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.filterwarnings("error")
def test_any_text_is_answered(explorer, text):
    explorer["text"].value = text
    assert bytes(explorer["image"].value).startswith(b"\x89PNG")
    wanted = "Type at least one letter" if text == "" else "tokens read"
    assert wanted in explorer["note"].value


@pytest.mark.parametrize("text", ODD)
@pytest.mark.filterwarnings("error")
def test_any_text_is_cut(encoding, text):
    _, box = widgets.token_explorer({"SmolLM2": encoding}, "start")
    area, frame, note = box.children
    (image,) = frame.children
    before = image.value
    area.value = text
    assert image.value != before
    assert f"{min(len(text), explorers.LONGEST):,} characters" in note.value


def number(value):
    if value == 3:
        raise ValueError("Three <is> too many.")
    return figures.bars(["a", "b"], [1.0, value], f"{value}")


def test_a_slider_steers_a_picture():
    slider = widgets.slider("n", 0, 9, 2)
    axis, box = widgets.steer(number, slider)
    control, frame, note = box.children
    (image,) = frame.children
    assert control is slider and bytes(image.value) == figures.png(axis)
    slider.value = 5
    assert bytes(image.value) == figures.png(number(5)) and note.value == ""


def test_what_cannot_be_drawn_is_said_and_the_picture_stays():
    slider = widgets.slider("n", 0, 9, 2)
    _, box = widgets.steer(number, slider)
    _, frame, note = box.children
    (image,) = frame.children
    before = image.value
    slider.value = 3
    assert image.value == before and note.value == "Three &lt;is&gt; too many."
    slider.value = 4
    assert image.value != before and note.value == ""


def test_every_kind_of_control_steers():
    controls = (
        widgets.slider("n", 0, 9, 1),
        widgets.choice("c", ["x", "y"], "y"),
        widgets.text_box("t", "word"),
    )
    seen = []

    def draw(*values):
        seen.append(values)
        return figures.bars(["a"], [1.0])

    widgets.steer(draw, *controls)
    controls[0].value, controls[1].value, controls[2].value = 3, "x", ""
    assert seen == [(1, "y", "word"), (3, "y", "word"), (3, "x", "word"), (3, "x", "")]
    assert controls[2].continuous_update is False  # not a forward pass for every key


def test_a_slider_in_steps_shows_commas_and_gives_numbers():
    slider = widgets.slider("Channels", 128, 12_288, 12_288, 128)
    seen = []
    widgets.steer(lambda value: seen.append(value) or figures.bars(["a"], [1]), slider)
    assert (slider.label, slider.value, len(slider.options)) == ("12,288", 12_288, 96)
    slider.index = 7
    assert slider.label == "1,024" and seen == [12_288, 1_024]
    assert type(seen[-1]) is int


def test_a_choice_starts_where_it_is_asked_to():
    pairs = [("one", 1), ("two", 2)]
    assert widgets.choice("c", pairs).value == 1
    assert widgets.choice("c", pairs, 2).label == "two"
    assert widgets.choice("c", ["x", "y"]).value == "x"


def test_a_picture_keeps_its_letters_readable_and_can_be_scrolled():
    """Its least width on a page; what doesn't fit is the frame's to scroll."""
    image = widgets.picture(figures.bars(["a"], [1.0]))
    points = 9 * int(image.layout.min_width.removesuffix("px")) / (8 * 72)
    assert points > 9  # pixels that 9 points of a picture 8 inches wide are high
    frame = widgets.frame(image)
    assert frame.children == (image,) and "picture-frame" in frame._dom_classes


def test_show_gives_picture_text_and_alternative(monkeypatch):
    shown = []
    monkeypatch.setattr(pictures, "display", lambda *a, **k: shown.append((a, k)))
    slider = ipywidgets.IntSlider()
    widgets.show(figures.the_loop(), "What it shows.", slider)
    (data,), words = shown[0]
    assert (
        data["image/png"].startswith(b"\x89PNG")
        and data["text/plain"] == "What it shows."
    )
    live = data["application/vnd.jupyter.widget-view+json"]
    assert live["model_id"] == slider.model_id
    assert words["metadata"]["image/png"]["alt"] == "What it shows."
    assert shown[1][0][0].data == "*What it shows.*"


@pytest.fixture
def page():
    """What IPython itself sends to a page, message by message."""
    shell = InteractiveShell.instance(
        config=Config({"HistoryManager": {"enabled": False}})
    )
    shell.display_pub = CapturingDisplayPublisher()
    yield shell.display_pub.outputs
    InteractiveShell.clear_instance()


def test_a_live_picture_is_changed_in_its_place(page):
    update = widgets.live(figures.bars(["a"], [1.0]), "What it *shows*.")
    first, caption = page
    assert caption["data"]["text/markdown"] == "*What it *shows*.*"
    assert first["data"]["image/png"] == figures.png(figures.bars(["a"], [1.0]))
    for height in (2.0, 3.0):
        update(figures.bars(["a", "b"], [1.0, height]))
    assert [one["update"] for one in page[2:]] == [True, True]
    names = {one["transient"]["display_id"] for one in (first, *page[2:])}
    assert len(names) == 1  # so that a page puts them in one place
    assert page[3]["data"]["image/png"] == figures.png(
        figures.bars(["a", "b"], [1.0, 3.0])
    )
    assert first["metadata"]["image/png"]["alt"] == page[3]["data"]["text/plain"]
    assert page[3]["metadata"]["image/png"]["alt"] == "What it *shows*."


def test_two_live_pictures_are_two_places(page):
    updates = [widgets.live(figures.bars(["a"], [1.0]), name) for name in "xy"]
    for update in updates:
        update(figures.bars(["a"], [2.0]))
    ids = [page[i]["transient"]["display_id"] for i in (0, 2, 4, 5)]
    assert ids[0] == ids[2] != ids[1] == ids[3]


def test_a_live_picture_without_a_page_is_no_crash():
    assert not InteractiveShell.initialized()
    widgets.live(figures.bars(["a"], [1.0]), "Nowhere.")(figures.bars(["a"], [2.0]))
