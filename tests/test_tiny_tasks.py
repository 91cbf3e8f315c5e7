"""Sentences, drawings and melodies: what they say of themselves is true."""

import numpy as np
import pytest
import torch

from course_lib import tiny_tasks

PAIRS = tiny_tasks.sentences(400, seed=3)
NOUN = {word: (one, several) for one, (several, word) in tiny_tasks.NOUNS.items()}
VERB = {word: (several, one) for several, (one, word) in tiny_tasks.VERBS.items()}
ADJECTIVE = {
    ando: word for kind in tiny_tasks.ADJECTIVES for word, ando in kind.items()
}
NUMBER = {ando: word for word, ando in tiny_tasks.NUMBERS.items()}


def back_to_english(ando: tuple[str, ...]) -> list[str]:
    """A translation by rules, the other way round from how sentences are made."""
    words, place = list(ando), []
    for (near, what), (thing, relation) in tiny_tasks.PLACES.items():
        if words[:2] == [thing, relation]:
            words, place = words[2:], [near, "the", what]
    verb = words.pop()
    cut = words.index("na")
    groups = words[:cut], words[cut + 1 : words.index("lo")]
    english = []
    for noun, *adjectives, number in groups:
        several = NUMBER[number] != "one"
        english.append([NUMBER[number], *(ADJECTIVE[a] for a in reversed(adjectives))])
        english[-1].append(NOUN[noun][several])
    agrees = VERB[verb][NUMBER[groups[0][-1]] == "one"]
    return [*english[0], agrees, *english[1], *place]


@pytest.mark.parametrize("pair", PAIRS[:60], ids=lambda pair: " ".join(pair.english))
def test_a_rule_translates_ando_back(pair):
    assert back_to_english(pair.ando) == list(pair.english)


def test_every_word_but_the_marks_has_its_place_in_english():
    for pair in PAIRS:
        for word, place in zip(pair.ando, pair.places, strict=True):
            assert (place < 0) == (word in ("na", "lo"))
            english = pair.english[place]
            if word in NOUN | VERB:
                assert english in (NOUN | VERB)[word]
            elif word in ADJECTIVE | NUMBER:
                assert english == (ADJECTIVE | NUMBER)[word]


def test_adjectives_stand_in_english_order_and_numbers_agree():
    order = [set(kind) for kind in tiny_tasks.ADJECTIVES]
    for pair in PAIRS:
        run = []
        for word in pair.english:
            kinds = [i for i, kind in enumerate(order) if word in kind]
            run = [*run, *kinds] if kinds else []
            assert run == sorted(set(run))


def test_sentences_differ_and_can_keep_clear_of_others():
    assert len(set(PAIRS)) == 400
    others = tiny_tasks.sentences(100, seed=3, without=set(PAIRS))
    assert not set(others) & set(PAIRS)


def test_a_table_is_closed_filled_up_and_read_back():
    words = tiny_tasks.Words([("b", "a"), ("c",)])
    table = words.table([("b", "a"), ("c",)])
    assert table.tolist() == [[3, 2, 1], [4, 1, 1]]
    assert [words.text(row) for row in table] == [("b", "a"), ("c",)]
    assert words.table([("c",)], width=4).tolist() == [[4, 1, 1, 1]]
    with pytest.raises(
        ValueError, match="“x” is no word of this language; it has a, b, c"
    ):
        words.table([("x",)])


@pytest.mark.parametrize("size", tiny_tasks.SIZES)
@pytest.mark.parametrize("shape", tiny_tasks.SHAPES)
def test_a_shape_is_symmetrical_and_fills_its_box(shape, size):
    image = tiny_tasks.drawing(shape, size, 1, 2)
    assert image.sum() == image[2 : 2 + size, 1 : 1 + size].sum() > size
    ink = image[2 : 2 + size, 1 : 1 + size]
    assert np.array_equal(ink, ink[:, ::-1])
    assert ink.any(0).all() and ink.any(1).all()
    assert np.array_equal(ink, ink[::-1]) == (shape != "triangle")


def test_no_two_shapes_of_a_size_are_alike():
    for size in tiny_tasks.SIZES:
        found = {tiny_tasks.drawing(s, size, 0, 0).tobytes() for s in tiny_tasks.SHAPES}
        assert len(found) == 4


def test_drawings_are_what_their_numbers_say():
    images, names = tiny_tasks.drawings(40, seed=1, noise=0)
    for image, name in zip(images.numpy(), names):
        shape, fits = tiny_tasks.SHAPES[name], False
        rows, columns = image.any(1).nonzero()[0], image.any(0).nonzero()[0]
        fits = tiny_tasks.drawing(shape, len(rows), columns[0], rows[0])
        assert np.array_equal(fits, image)


def test_the_ring_is_where_it_is_said_to_be_and_a_patch_alone_does_not_tell():
    images, left = tiny_tasks.two_shapes(300, seed=1, noise=0)
    ring = tiny_tasks.drawing("ring", 5, 0, 0)[:5, :5]
    places = []
    for image, on_left in zip(images.numpy(), left):
        found = [(x, y) for x in range(8) for y in range(8)
                 if np.array_equal(image[y : y + 5, x : x + 5], ring)]  # fmt: skip
        assert len(found) == 1 and (found[0][0] < 6) == bool(on_left)
        places.append((bool(on_left), found[0][0] % 3))
    sides = [{x for side, x in places if side is one} for one in (True, False)]
    assert sides[0] == sides[1]  # the same places within a patch


def test_a_note_has_its_pitch_and_a_held_note_no_second_beginning():
    r = np.random.default_rng(0)
    for name, hertz in tiny_tasks.NOTES.items():
        wave = tiny_tasks.melody((name,), r, rate=8_000, noise=0)
        loud = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 8_000))
        assert abs(int(loud.argmax()) - hertz) < 5
    beat = tiny_tasks.BEAT
    twice, held = (
        np.abs(tiny_tasks.melody(("do", w), r, noise=0)) for w in ("do", "-")
    )
    assert len(twice) == len(held) == 2 * beat
    assert (
        twice[beat + 60 : beat + 160].max() > 1.5 * held[beat + 60 : beat + 160].max()
    )


def test_melodies_fit_their_texts():
    waves, texts = tiny_tasks.melodies(50, seed=2)
    assert waves.shape == (50, 3_840) and waves.abs().max() < 1
    assert all(len(text) == 8 and text[0] != tiny_tasks.HOLD for text in texts)
    assert torch.equal(waves, tiny_tasks.melodies(50, seed=2)[0])


@pytest.mark.parametrize("text", [("-", "do"), ("ti",), ("do", "")])
def test_what_is_no_note_is_answered_with_the_notes(text):
    with pytest.raises(ValueError, match="write do, re, mi, sol, la, or -"):
        tiny_tasks.melody(text, np.random.default_rng(0))
