"""The machine view without a browser: what it sends, and what comes of being asked."""

import importlib

import pytest
import torch

from course_lib import inside, patching, tiles, tokenizer
from course_lib.gpt import GPT, GPTConfig

machine_view = importlib.import_module("course_lib.widgets.machine_view")
TEXT, OTHER = "The cat sat on the mat", "The cat sat on the dog"
SMALL = GPTConfig(vocabulary=49_152, context=64, layers=2, channels=8, heads=4)


@pytest.fixture(scope="module")
def encoding():
    return tokenizer.smollm2()


@pytest.fixture(scope="module")
def model():
    model = GPT(SMALL, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(40)
    return model


@pytest.fixture
def machine(model, encoding):
    machine = machine_view.Machine(model, encoding)
    machine.read(TEXT, OTHER)
    return machine


@pytest.fixture
def box(model, encoding):
    pytest.importorskip("anywidget")
    _, box = machine_view.machine_view(model, encoding, TEXT, OTHER)
    return box


def ask(view, **asked):
    now = {"changed": [], "token": None, "against": None, "telling": False}
    now["text"] = view.shown["text"]
    view.asked = now | {"turn": view.asked.get("turn", 0) + 1} | asked


def test_what_is_sent_is_what_the_sums_say(box, model, encoding):
    view, ids = box.children[-1], encoding.encode(TEXT)
    wanted = tiles.take_apart(model, ids)
    assert view.shown["tokens"] == ["The", "·cat", "·sat", "·on", "·the", "·mat"]
    assert torch.allclose(
        torch.tensor(view.shown["heads"]), wanted.heads.float(), atol=1e-4
    )
    assert torch.allclose(
        torch.tensor(view.shown["mlps"]), wanted.mlps.float(), atol=1e-4
    )
    looks = torch.tensor(list(view.patterns)).view(2, 4, 6) / 255
    assert torch.allclose(looks, wanted.patterns[:, :, -1], atol=0.003)
    assert [p for _, p in view.shown["lens"]] == pytest.approx(
        wanted.lens.max(-1).values.tolist(), abs=1e-4
    )
    assert view.shown["token_id"] == wanted.token and view.shown["changed"] == []
    assert view.shown["note"] == "6 tokens"


def test_a_press_switches_off_and_another_switches_on(box, model, encoding):
    view = box.children[-1]
    first = view.shown
    ask(view, changed=[[1, 2, "off"]], token=first["token_id"])
    changed = {(1, 2): patching.off}
    wanted = tiles.take_apart(model, encoding.encode(TEXT), changed, first["token_id"])
    assert view.shown["heads"][1][2] == 0 and view.shown["changed"] == [[1, 2, "off"]]
    here = next(b for b in view.shown["best"] if b["id"] == first["token_id"])
    assert here["after"] == pytest.approx(wanted.probability, abs=1e-6)
    assert here["before"] == pytest.approx(
        float(
            inside.logits(model, encoding.encode(TEXT))[-1]
            .double()
            .softmax(-1)[here["id"]]
        ),
        abs=1e-6,
    )
    assert "head 2 of layer 1 off, " in view.shown["said"]
    ask(view, token=first["token_id"])
    assert view.shown | {"turn": 0} == first


def test_the_sentence_says_before_and_after(machine, model):
    machine.change([[0, "mlp", "off"], [1, "mlp", "off"]])
    ids, token = torch.tensor([machine.ids]), machine.view.token
    before = float(model(ids)[0, -1].softmax(-1)[token])
    with patching.changed(model, {(n, "mlp"): patching.off for n in (0, 1)}):
        after = float(model(ids)[0, -1].softmax(-1)[token])
    before, after = machine_view.percent(before), machine_view.percent(after)
    assert before != after
    assert "With 2 parts changed, " in machine.said()
    assert f"goes from {before} to {after}; " in machine.said()


def test_a_part_is_taken_from_the_other_text(box, model, encoding):
    view, part = box.children[-1], (0, "mlp")
    ask(view, changed=[[*part, "taken"]])
    other = inside.read(model, encoding.encode(OTHER))
    changes = {part: patching.taken_from(other, part)}
    wanted = tiles.take_apart(
        model, encoding.encode(TEXT), changes, view.shown["token_id"]
    )
    assert view.shown["mlps"][0] == pytest.approx(wanted.adds(part), abs=1e-4)
    assert "the MLP of layer 0 taken from the other text" in view.shown["said"]


def test_another_token_comes_into_view_and_is_compared(box, model, encoding):
    view = box.children[-1]
    one, two = (view.shown["best"][i]["id"] for i in (1, 0))
    ask(view, token=one, against=two)
    wanted = tiles.take_apart(model, encoding.encode(TEXT), None, one, two)
    assert view.shown["mlps"] == pytest.approx(wanted.mlps.tolist(), abs=1e-4)
    assert (view.shown["token_id"], view.shown["against_id"]) == (one, two)
    ask(view, token=one, against=one)  # with itself there is nothing to compare
    assert view.shown["against"] == ""


def test_the_three_that_tell_most_come_with_their_numbers(machine, model, encoding):
    found = machine.shown(telling=True)["telling"]
    assert [tuple(one["part"]) for one in found] == machine.view.strongest(3)
    for one in found:
        part = tuple(one["part"])
        then = tiles.take_apart(
            model, machine.ids, {part: patching.off}, machine.view.token
        ).probability
        assert f"{abs(machine.view.adds(part)):.2f}" in one["words"]
        assert one["words"].endswith(f"to {machine_view.percent(then)}.")
    machine.change([[*found[0]["part"], "taken"]])  # it adds much still
    again = machine.shown(telling=True)["telling"]
    assert found[0]["part"] not in [one["part"] for one in again]


def test_a_press_upon_a_text_that_has_gone_does_nothing(box):
    view = box.children[-1]
    old = view.shown["text"]
    box.children[0].value = "A dog ran to a park"
    first = view.shown
    ask(view, text=old, changed=[[0, 0, "off"]])
    assert view.shown == first


def test_an_error_in_the_kernel_is_said(box, model, monkeypatch):
    view = box.children[-1]
    monkeypatch.setattr(tiles, "take_apart", lambda *_: 1 / 0)
    ask(view, changed=[[0, 0, "off"]])
    assert view.shown["said"] == "ZeroDivisionError: division by zero"
    box.children[0].value = "A dog ran to a park"
    assert view.shown["tokens"] == [] and "ZeroDivision" in view.shown["said"]


def test_the_end_of_a_long_text_is_read(model, encoding):
    machine = machine_view.Machine(model, encoding)
    note = machine.read("word " * 90 + "The capital of Japan is")
    assert note == "Only the last 30 tokens are read."
    assert machine.word(machine.ids[-1]) == "·is"


def test_what_is_compared_can_be_chosen_from_the_start(model, encoding):
    pytest.importorskip("anywidget")
    _, box = machine_view.machine_view(model, encoding, TEXT, OTHER, 5, 9)
    view, other = box.children[-1], inside.logits(model, encoding.encode(OTHER))
    assert (view.shown["token_id"], view.shown["against_id"]) == (5, 9)
    listed = {one["id"] for one in view.shown["best"]}
    assert len(view.shown["best"]) == machine_view.MOST_BARS
    assert {5, 9, int(other[-1].argmax())} <= listed
    ask(view, token=5, against=9, telling=True)
    words = view.shown["telling"][0]["words"]
    p = float(other[-1].double().softmax(-1).max())
    ask(view, token=5)
    assert view.shown["said"].endswith(f"”, {machine_view.percent(p)}.")
    assert f"“{encoding.decode([5])}” less “{encoding.decode([9])}”" in words


def test_a_row_without_a_token_is_named_by_its_number(machine):
    assert machine.word(49_151) and machine.word(60_000) == "⟨60000⟩"


def test_a_new_text_is_read_with_all_parts_on(box, encoding):
    view = box.children[-1]
    ask(view, changed=[[0, 0, "off"]])
    box.children[0].value = "A dog ran to a park"
    assert view.shown["tokens"][1] == "·dog" and view.shown["changed"] == []


@pytest.mark.parametrize(
    "text, sentence",
    [("", "Type at least one letter."), ("One two", "same number of tokens")],
)
def test_a_text_that_can_t_be_read_is_said(box, text, sentence):
    view = box.children[-1]
    box.children[0].value = text
    assert sentence in view.shown["said"] and view.shown["tokens"] == []
    box.children[0].value = TEXT
    assert len(view.shown["tokens"]) == 6


@pytest.mark.parametrize("text", ["word " * 200, "😀 தமிழ் $x$ \\ %", "\x00 \n", "x"])
def test_odd_and_long_texts(model, encoding, text):
    machine = machine_view.Machine(model, encoding)
    note = machine.read(text)
    assert len(machine.ids) <= machine_view.MOST_TOKENS
    assert ("last 30" in note) == (len(encoding.encode(text)) > 30)
    machine.shown(note, telling=True)
    assert machine.drawn().figure is not None


def test_without_anywidget_the_text_moves_a_picture(model, encoding, monkeypatch):
    monkeypatch.setattr(machine_view, "anywidget", None)
    _, box = machine_view.machine_view(model, encoding, TEXT)
    text, frame, note = box.children
    before = frame.children[0].value
    text.value = "A dog ran"
    assert frame.children[0].value != before and note.value == ""
    text.value = ""
    assert "Type at least one letter." in note.value


def test_percents_are_read_as_they_are():
    told = [
        machine_view.percent(p) for p in (0, 0.0004, 0.004, 0.0994, 0.0996, 0.924, 1)
    ]
    assert told == ["< 0.1 %", "< 0.1 %", "0.4 %", "9.9 %", "10 %", "92 %", "100 %"]
