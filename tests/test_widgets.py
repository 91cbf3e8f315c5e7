"""The widgets without a browser: what they do when their values change."""

import inspect
import io
import threading
import time
import wave
from pathlib import Path

import ipywidgets
import numpy as np
import pytest
import torch
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from course_lib import figures, gpt, kv_cache, sampling, tokenizer, vectors, widgets
from course_lib.widgets import explorers, pictures, senses, writing

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


def parts_of(box, kind):
    """The parts of this kind in a widget, in their order."""
    inside = box.children if isinstance(box, ipywidgets.Box) else ()
    found = [part for child in inside for part in parts_of(child, kind)]
    return [box] * isinstance(box, kind) + found


def test_every_widget_is_tested_by_its_name():
    """A widget that no test makes is a hole."""
    made = [n for n, f in inspect.getmembers(widgets, inspect.isfunction)
            if "Box" in str(f.__annotations__.get("return"))]  # fmt: skip
    assert len(made) >= 8
    tests = ["test_widgets.py", "test_attention_explorer.py", "test_machine_view.py"]
    source = "".join(Path(__file__).with_name(test).read_text() for test in tests)
    assert not [name for name in made if f"{name}(" not in source]


def test_every_line_of_text_says_that_it_waits_for_enter(encoding, words):
    boxes = [
        widgets.next_token_explorer(model, encoding, "The sun")[1],
        widgets.merge_explorer(RANKS, "banana")[1],
        widgets.analogy_lab(words)[1],
        widgets.writing_box(model, encoding, "The sun")[1],
        widgets.melody_box(played, "do")[1],
        ipywidgets.VBox([widgets.text_box("Word", "sky")]),
    ]
    lines = [line for box in boxes for line in parts_of(box, ipywidgets.Text)]
    assert len(lines) == 8
    for line in lines:
        assert line.description.endswith("(Enter)") and "Enter" in line.placeholder
        assert line.continuous_update is False


def played(text):
    """A sound as long as the text; no text is refused."""
    if not text:
        raise ValueError("Write <a> note.")
    return np.linspace(-2, 2, 10 * len(text)), 4_000, figures.bars([text], [len(text)])


def test_a_melody_is_heard_and_seen_and_a_refusal_is_a_sentence():
    _, box = widgets.melody_box(played, "do")
    line, player, frame, note = box.children
    before = player.value, frame.children[0].value
    line.value = "do re"
    assert (player.value, frame.children[0].value) != before and not note.value
    with wave.open(io.BytesIO(player.value)) as file:  # Python's own reader
        assert (file.getframerate(), file.getnframes(), file.getsampwidth()) == (
            4_000,
            50,
            2,
        )
        samples = np.frombuffer(file.readframes(50), "<i2")
    assert samples.min() == -32_767 and samples.max() == 32_767  # cut off, not folded
    before = player.value
    line.value = ""
    assert note.value == "Write &lt;a&gt; note." and player.value == before


def test_a_drawing_is_made_by_mouse_and_by_keyboard():
    seen = []

    def answer(image):
        seen.append(image)
        return {"ink": float(image.mean()), "none": 0.1}, np.zeros((2, 2))

    _, box = widgets.drawing_pad(answer, np.eye(4))
    row, column, ink, frame, _, grid, clear = box.children
    assert len(grid.children) == 16 and np.array_equal(seen[-1], np.eye(4))
    grid.children[1].value = True  # a click
    assert seen[-1][0, 1] == 1 and seen[-1].sum() == 5
    before = frame.children[0].value
    row.value, column.value = 3, 4  # the frame is moved, and nothing is drawn
    assert seen[-1].sum() == 5 and not ink.value and frame.children[0].value != before
    ink.value = True
    assert seen[-1][2, 3] == 1 and grid.children[11].value
    grid.children[11].value = False  # the box below the sliders follows the mouse
    assert not ink.value and seen[-1].sum() == 5
    count = len(seen)
    clear.click()
    assert seen[-1].sum() == 0 and len(seen) == count + 1
    assert not any(button.value for button in grid.children)


RANKS = tokenizer.train("banana bandana cabana " * 9, 266)


@pytest.mark.parametrize("text", ["banana bandana", "a ban", *ODD[:2], *ODD[3:]])
def test_merges_go_from_bytes_to_what_the_tokenizer_gives(text):
    steps = explorers.merged(text, RANKS)
    assert b"".join(steps[0][0]) == tokenizer.to_bytes(text)
    assert all(len(part) == 1 for part in steps[0][0])
    ids = tokenizer.Tokenizer(RANKS).encode(text)
    assert [RANKS[part] for part in steps[-1][0]] == ids
    counts = [len(parts) for parts, _ in steps]
    assert counts == sorted(set(counts), reverse=True)  # every merge shortens
    assert all(made in parts for parts, made in steps[1:])


def test_a_slider_goes_over_the_merges_of_the_typed_sentence():
    axis, box = widgets.merge_explorer(RANKS, "banana")
    line, at, frame, note = box.children
    (image,) = frame.children
    assert at.value == at.max == len(explorers.merged("banana", RANKS)) - 1
    assert bytes(image.value) == figures.png(axis)
    at.value = 0
    first = image.value
    line.value = "bandana bandana"
    assert at.value == at.max == len(explorers.merged(line.value, RANKS)) - 1
    assert image.value != first and note.value == ""
    line.value = "x" * 203
    assert at.max == 0 and "last 3 characters" in note.value


@pytest.fixture(scope="module")
def words():
    """Four words in a square, and others that point elsewhere."""
    names = ["man", "woman", "king", "queen", "sky", "sea", "mud"]
    plane = torch.tensor([[1, 0], [0, 1], [1, 0], [0, 1], [0, 0], [0, 0], [0, 0]])
    royal = torch.tensor([[0], [0], [1], [1], [0], [0], [0]])
    other = torch.cat([torch.zeros(4, 3), torch.eye(3)])
    return vectors.WordVectors(names, torch.cat([plane, royal, other], 1).float())


def test_an_analogy_names_the_nearest_and_marks_what_was_typed(words, monkeypatch):
    drawn = []
    real = figures.bars
    spy = lambda *given, **more: drawn.append(given) or real(*given, **more)  # noqa: E731
    monkeypatch.setattr(figures, "bars", spy)
    _, box = widgets.analogy_lab(words)
    _, b, c, switch, frame, note = box.children
    labels, values, title = drawn[-1]
    assert labels[0] == "queen" and title == "man is to woman as king is to queen"
    rows = [words.id(word) for word in ("man", "woman", "king")]
    assert words.words[vectors.analogy(words.vectors, *rows)] == labels[0]
    assert values == sorted(values, reverse=True) and values[0] <= 1
    switch.value = False
    labels, _, _ = drawn[-1]
    assert {"woman (typed)", "king (typed)", "queen"} <= {*labels}
    picture = frame.children[0].value
    b.value = "qween <b>"
    assert "“qween &lt;b&gt;” is not among these 7 words" in note.value
    assert frame.children[0].value == picture
    b.value = " Woman "
    assert note.value == "" and drawn[-1][2].startswith("man is to woman")
    c.value = ""
    assert note.value == "Type a word into each of the three boxes."
    with pytest.raises(ValueError, match="“x” is not among"):
        widgets.analogy_lab(words, "x")


def test_scores_and_shares_are_those_of_attention(monkeypatch):
    drawn = []
    real = figures.scores
    spy = lambda *given: drawn.append(given) or real(*given)  # noqa: E731
    monkeypatch.setattr(figures, "scores", spy)
    _, box = widgets.score_lab(("river", "bank"))
    turn, length, key_turn, key_length, size, divide, *_ = box.children
    for change in ((turn, 90), (length, 0.5), (key_turn, 270), (size, 64)):
        change[0].value = change[1]
    query, keys, names, told, shares, title, ring = drawn[-1]
    # As vectors of 64 numbers: the plane's two directions, each of length √64.
    wide = torch.zeros(3, 64, dtype=torch.float64)
    wide[:, :2] = 8 * torch.tensor([query.tolist(), *keys.tolist()])
    scores = gpt.scores(wide[[0, 0]], wide[1:])  # divided by √64
    assert shares == pytest.approx(scores.softmax(-1)[0].tolist(), abs=1e-6)
    raw = float(wide[0] @ wide[1])
    assert told[0] == f"score −{-raw:.1f} / √64 = −{-raw / 8:.1f}"
    assert names == ("river", "bank") and ring == "length √64"
    assert title == f"“bank” gives “river” {shares[0]:.0%} of its attention"
    divide.value = False
    told, shares = drawn[-1][3:5]
    assert told[0] == f"score −{-raw:.1f}" and shares[0] < 1e-9
    key_length.value = 1.5
    assert len(drawn) == 7


@pytest.fixture
def writer(encoding, monkeypatch):
    """A writing box, its parts by name; drawn only when it rests, which is quicker."""
    monkeypatch.setattr(writing, "EVERY", 1_000)
    axis, box = widgets.writing_box(model, encoding, "The sun")
    line, heat, seed, row, frame, text, note = box.children
    made = {"axis": axis, "line": line, "heat": heat, "seed": seed, "text": text}
    made |= {"note": note, "image": frame.children[0]}
    return made | {"write": row.children[0], "stop": row.children[1]}


def rest(writer) -> str:
    """Wait until nothing is written; give the text."""
    for _ in range(2_000):
        if "Writing" not in writer["note"].value:
            return writer["text"].value
        time.sleep(0.01)
    raise TimeoutError(writer["note"].value)


def test_a_writing_box_starts_with_its_first_tokens(writer, encoding):
    assert bytes(writer["image"].value) == figures.png(writer["axis"])
    assert writer["note"].value == "24 tokens written."
    ids = encoding.encode("The sun")
    sampler, chance = sampling.Sampler(1.0), torch.Generator().manual_seed(0)
    written = list(sampling.write(model, ids, sampler, 24, chance))
    assert f"The sun<b>{encoding.decode(written)}</b>" in writer["text"].value


def test_write_on_adds_and_the_same_seed_gives_the_same_text(writer):
    first = rest(writer)
    writer["write"].click()
    longer = rest(writer)
    assert longer.startswith(first.removesuffix("</b></div>"))
    assert writer["note"].value == "64 tokens written."
    writer["seed"].value = 1
    assert rest(writer) != first and writer["note"].value == "24 tokens written."
    writer["seed"].value = 0
    assert rest(writer) == first
    writer["write"].click()
    assert rest(writer) == longer
    writer["heat"].value = 0.0
    greedy = rest(writer)
    writer["seed"].value = 2
    assert rest(writer) == greedy != first


def test_a_click_comes_back_and_stop_stops_and_nothing_is_lost(encoding, monkeypatch):
    """The model waits until it may write a token, so that the clicks come in between."""
    monkeypatch.setattr(writing, "EVERY", 1_000)
    turns, asked = threading.Semaphore(10_000), []

    def waits(ids):
        asked.append(len(ids))
        turns.acquire()
        return model(ids)

    def box_and_parts():
        _, box = widgets.writing_box(waits, encoding, "The sun")
        return (*box.children[3].children, *box.children[5:])

    write, _, text, note = box_and_parts()
    write.click()
    whole = rest({"note": note, "text": text})  # 24 and 40 tokens, never stopped
    write, stop, text, note = box_and_parts()
    while turns.acquire(blocking=False):
        pass
    asked.clear()
    write.click()  # comes back, though the model has not yet answered
    write.click()  # while it writes, nothing more happens
    assert note.value == "Writing …"
    turns.release(5)
    while len(asked) < 6:  # five are written, and it waits for the sixth
        time.sleep(0.01)
    threading.Timer(0.2, turns.release).start()  # the token that stop waits for
    stop.click()
    assert note.value == "Stopped after 30 tokens."
    short = text.value.removesuffix("</b></div>")
    assert whole.startswith(short) and len(short) < len(whole) - 40
    turns.release(40)
    write.click()
    longer = rest({"note": note, "text": text})
    assert note.value == "70 tokens written."
    assert longer.startswith(whole.removesuffix("</b></div>"))


def test_controls_that_are_moved_at_once_leave_one_text(encoding):
    notes = []
    made = writing.Writer(model, encoding, lambda note, _: notes.append(note))
    moves = [threading.Thread(target=made.again, args=("A", 1.0, n)) for n in range(12)]
    for move in moves:
        move.start()
    for move in moves:
        move.join()
    made.thread.join()
    assert len(made.ids) == 24 and notes[-1] == "24 tokens written."
    told = ("Writing", "Stopped", "24 tokens")
    assert all(note.startswith(told) for note in notes)


def test_a_new_prompt_is_written_on_at_once(writer, encoding):
    before = writer["image"].value
    writer["line"].value = "<i>A cat & a dog"
    text = rest(writer)
    assert "&lt;i&gt;A cat &amp; a dog<b>" in text
    assert writer["image"].value != before
    writer["line"].value = ""
    rest(writer)
    assert writer["note"].value == "Type at least one letter."


@pytest.mark.parametrize("text", ODD)
@pytest.mark.filterwarnings("error")
def test_any_prompt_is_written_on(writer, text):
    writer["line"].value = text
    rest(writer)
    wanted = "Type at least" if text == "" else "24 tokens written."
    assert writer["note"].value.startswith(wanted)
    assert bytes(writer["image"].value).startswith(b"\x89PNG")


def test_a_text_ends_at_a_special_token_and_at_its_length(encoding):
    def ends(ids):
        logits = torch.zeros(1, 1, 49_152)
        logits[..., 2 if ids.shape[1] > 4 else 9_000] = 99  # <|im_end|>
        return logits

    _, box = widgets.writing_box(ends, encoding, "The")
    note = box.children[6]
    assert note.value == "The model ends its text here, after 4 tokens."
    box.children[3].children[0].click()
    assert "ends" in note.value or "ends" in (time.sleep(0.2) or note.value)
    made = writing.Writer(model, encoding, lambda note, _: notes.append(note))
    notes = []
    made.begin("The", 1.0, 0)
    made.write(10_000)
    assert len(made.ids) == writing.MOST
    assert notes[-1] == "160 tokens written: this text ends here."


def test_odd_logits_are_said_in_a_sentence(encoding):
    nan = lambda ids: torch.full((1, 1, 49_152), torch.nan)  # noqa: E731
    _, box = widgets.writing_box(nan, encoding, "The")
    assert "Did the training of this model go wrong?" in box.children[6].value


def test_the_courses_own_models_write_with_a_cache():
    config = gpt.GPTConfig(vocabulary=266, context=32, channels=8, heads=2, layers=1)
    own, letters = gpt.GPT(config), tokenizer.Tokenizer(RANKS)
    assert writing.step_of(own) is kv_cache.decode_step
    assert writing.step_of(model) is None
    _, box = widgets.writing_box(own, letters, "banana")
    assert box.children[6].value.endswith(("written.", "ends here."))
    characters = tokenizer.Characters.train("banana")
    assert list(writing.pieces(characters, [0, 1])) == ["a", "b"]
    assert writing.specials(characters) == set()


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
        widgets.dial("d", 0.0, 1.0, 0.5),
        widgets.switch("s", False),
    )
    seen = []

    def draw(*values):
        seen.append(values)
        return figures.bars(["a"], [1.0])

    widgets.steer(draw, *controls)
    values = [1, "y", "word", 0.5, False]
    wanted = [tuple(values)]
    for i, value in enumerate((3, "x", "", 0.7, True)):
        controls[i].value = values[i] = value
        wanted.append(tuple(values))
    assert seen == wanted
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


def test_a_sound_can_be_played_and_has_its_words(monkeypatch):
    seen = []
    monkeypatch.setattr(senses, "display", lambda thing, **_: seen.append(thing))
    widgets.hear(np.zeros(8), 4_000, "Nothing at all.")
    (page,) = seen
    assert "<audio" in page["text/html"] and "data:audio/wav" in page["text/html"]
    assert "Nothing at all." in page["text/html"]
    assert page["text/markdown"] == "*Nothing at all.*"


PAIRS = [("one", "two"), ("three", "four")]


def test_a_pressed_button_changes_the_choices_in_place():
    choices = [1, 1]
    axis, box = widgets.pair_chooser(PAIRS, choices)
    image, buttons, note = box.children[0].children[0], box.children[1], box.children[2]
    left, right, back = buttons.children
    assert image.value == figures.png(axis) and "2 are still the program's" in (
        note.value.replace("&#x27;", "'")
    )
    left.click()
    assert choices == [0, 1] and image.value != figures.png(axis)
    right.click()
    assert choices == [0, 1] and "All 2 choices are yours" in note.value
    back.click()
    right.click()
    assert choices == [1, 1]


def test_no_choice_of_the_program_is_shown_before_yours():
    pictures = [widgets.pair_chooser(PAIRS, [which, 0])[0] for which in (0, 1)]
    assert figures.png(pictures[0]) == figures.png(pictures[1])
