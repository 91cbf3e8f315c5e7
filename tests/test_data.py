"""Texts with provenance, splits and batches, against loops and against bad files."""

import collections
import hashlib
import os
import urllib.error

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import data, tiny_world
from course_lib.devices import generator
from course_lib.errors import Problem
from course_lib.files import cache

IDS = torch.arange(100)
PLAY = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 40


@pytest.fixture
def play(empty_cache, monkeypatch):
    """A short text in place of TinyShakespeare, and no COURSE_DATA."""
    monkeypatch.delenv("COURSE_DATA", raising=False)
    monkeypatch.setattr(data, "SHAKESPEARE_SIZE", len(PLAY))
    monkeypatch.setattr(data, "SHAKESPEARE_SHA256", hashlib.sha256(PLAY).hexdigest())
    return empty_cache / data.SHAKESPEARE


# Texts --------------------------------------------------------------------------------


def test_tinyworld_is_its_stories():
    found = data.text("tinyworld")
    assert f"{data.STORIES:,} stories" in found.origin and "seed 0" in found.origin
    lines = found.text.splitlines(keepends=True)
    assert len(lines) == data.STORIES
    first = tiny_world.tiny_world(200, seed=0)
    assert lines[:200] == [story.text for story in first]
    assert 5e6 < len(found.text) < 7e6


def test_documentation_is_english_and_says_where_it_is_from():
    found = data.text("documentation")
    assert "Python" in found.origin and len(found.text) > 100_000
    assert found.text.count(" the ") > 1_000


def test_the_real_shakespeare_if_it_is_here(monkeypatch):
    folder = os.environ.get("COURSE_DATA")
    if not folder or not os.path.isfile(os.path.join(folder, data.SHAKESPEARE)):
        pytest.skip(f"COURSE_DATA names no folder with {data.SHAKESPEARE}")
    found = data.text("shakespeare")
    assert len(found.text.encode()) == data.SHAKESPEARE_SIZE
    assert len(set(found.text)) == 65 and "COURSE_DATA" in found.origin
    assert found.text.startswith("First Citizen:\nBefore we proceed")


def test_shakespeare_comes_from_course_data_first(play, monkeypatch, tmp_path):
    play.write_bytes(b"another text")
    (tmp_path / data.SHAKESPEARE).write_bytes(PLAY)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    found = data.text("shakespeare")
    assert found.text == PLAY.decode() and "COURSE_DATA" in found.origin


def test_shakespeare_comes_from_the_cache_when_course_data_lacks_it(
    play, monkeypatch, tmp_path
):
    play.write_bytes(PLAY)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    found = data.text("shakespeare")
    assert found.text == PLAY.decode() and data.SHAKESPEARE_URL in found.origin


@pytest.mark.parametrize("place", ["COURSE_DATA", "cache"])
def test_another_text_under_its_name_is_refused(play, monkeypatch, tmp_path, place):
    if place == "COURSE_DATA":
        play.write_bytes(PLAY)  # a good one waits, but is not taken without a word
        play = tmp_path / data.SHAKESPEARE
        monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    play.write_bytes(PLAY[:-1] + b"?")
    with pytest.raises(Problem, match="SHA-256 is another") as caught:
        data.text("shakespeare")
    assert str(play) in str(caught.value)


def test_shakespeare_is_downloaded_once(play, monkeypatch):
    asked = []

    def download(url, path, size, digest):
        asked.append((url, size, digest))
        path.write_bytes(PLAY)

    monkeypatch.delenv("COURSE_OFFLINE")
    monkeypatch.setattr(cache, "download", download)
    for _ in range(2):
        assert data.text("shakespeare").text == PLAY.decode()
    digest = hashlib.sha256(PLAY).hexdigest()
    assert asked == [(data.SHAKESPEARE_URL, len(PLAY), digest)]


@pytest.mark.parametrize("offline", [True, False])
def test_no_shakespeare_and_no_network_says_what_to_do(play, monkeypatch, offline):
    def no_network(*_):
        assert not offline, "nothing may be asked of the network"
        raise urllib.error.URLError("no route")

    if not offline:
        monkeypatch.delenv("COURSE_OFFLINE")
    monkeypatch.setattr(cache, "download", no_network)
    with pytest.raises(Problem) as caught:
        data.text("shakespeare")
    said = str(caught.value)
    assert ("COURSE_OFFLINE is set" if offline else "no route") in said
    assert str(play) in said and data.SHAKESPEARE_URL in said and "tinyworld" in said


def test_a_file_of_your_own(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_bytes(b"\xef\xbb\xbf" + "Grüße 😀\r\n".encode() * 200)
    for source in (path, str(path)):
        found = data.text(source)
        assert found.text == "Grüße 😀\n" * 200 and "mine.txt" in found.origin
        assert str(tmp_path) not in found.origin  # it may be shown in a lesson


BAD = {
    "empty": (b"", "holds 0 characters, too few"),
    "short": (b"A short text.", "holds 13 characters, too few"),
    "latin-1": ("Grüße ".encode("latin-1") * 500, "not text in UTF-8 .byte 2 is"),
    "utf-16": (("A text " * 500).encode("utf-16"), "not text in UTF-8"),
    "zeros": (b"text\0" * 500, "bytes of value 0"),
    "a model": (torch.randn(500).numpy().tobytes(), "not text"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_is_no_use_is_refused(tmp_path, name):
    raw, words = BAD[name]
    path = tmp_path / "mine.txt"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=words) as caught:
        data.text(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("source", ["shakespear", "no/such/file.txt", "TinyWorld"])
def test_an_unknown_name_lists_the_known_ones(source):
    with pytest.raises(ValueError, match=r"no file .*'tinyworld', 'shakespeare'"):
        data.text(source)


@pytest.mark.parametrize("source", ["", ".", "x" * 5_000, "a\0b", "~nobody-here/a"])
def test_a_path_that_cannot_be_read(source):
    with pytest.raises(ValueError, match=r"give the path of a text file") as caught:
        data.text(source)
    assert len(str(caught.value)) < 300


# Split --------------------------------------------------------------------------------


@given(st.integers(2, 300), st.floats(0.01, 0.99))
@settings(max_examples=200, deadline=None)
def test_split_is_by_place_and_loses_nothing(length, share):
    ids = torch.arange(length)
    if not 0 < round(length * share) < length:
        with pytest.raises(ValueError, match="leaves a part empty"):
            data.split(ids, share)
        return
    train, validation = data.split(ids, share)
    assert torch.equal(torch.cat([train, validation]), ids)
    assert abs(len(validation) - share * length) <= 0.5


@pytest.mark.parametrize("share", [0, 1, -0.1, 2, float("nan")])
def test_a_share_that_is_none(share):
    with pytest.raises(ValueError, match=r"between 0 and 1, such as 0\.1"):
        data.split(IDS, share)


# Batches ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint16, torch.uint8])
@pytest.mark.parametrize(("size", "context"), [(1, 1), (3, 7), (64, 99)])
def test_targets_are_inputs_shifted_by_one(dtype, size, context):
    ids = (IDS * 37 % 101).to(dtype)  # all different
    place = {int(id): i for i, id in enumerate(ids.tolist())}
    for inputs, targets in data_batches(ids, size, context, 5):
        assert inputs.shape == targets.shape == (size, context)
        assert inputs.dtype == targets.dtype == torch.int64
        for row, right in zip(inputs.tolist(), targets.tolist()):
            i = place[row[0]]
            assert row == ids[i : i + context].tolist()
            assert right == ids[i + 1 : i + context + 1].tolist()


def data_batches(ids, size, context, count, seed=0, starts=None):
    endless = data.batches(ids, size, context, generator(seed), starts)
    return [next(endless) for _ in range(count)]


def test_ids_above_a_small_int_survive_uint16():
    ids = torch.tensor([0, 40_000, 65_535, 1, 50_256]).to(torch.uint16)
    inputs, targets = data.batch(ids, 1, 4, generator(0))
    assert inputs.tolist() == [[0, 40_000, 65_535, 1]]
    assert targets.tolist() == [[40_000, 65_535, 1, 50_256]]


def test_windows_begin_everywhere_equally_often():
    inputs, targets = data.batch(IDS, 20_000, 90, generator(0))
    times = collections.Counter(inputs[:, 0].tolist())
    assert set(times) == set(range(10)) and targets.max() == 99
    assert all(abs(n - 2_000) < 5 * 2_000**0.5 for n in times.values())


def test_windows_begin_at_starts_that_leave_room():
    starts = torch.tensor([3, 40, 70, 89, 90, 98, 500, -4])
    inputs, _ = data.batch(IDS, 1_000, 10, generator(0), starts)
    assert set(inputs[:, 0].tolist()) == {3, 40, 70, 89}
    with pytest.raises(ValueError, match="None of the starts leaves room for 60 ids"):
        data.batch(IDS, 1, 60, generator(0), torch.tensor([40, 50]))


def test_a_seed_decides_the_batches():
    def stack(seed):
        return torch.stack([x for x, _ in data_batches(IDS, 4, 8, 3, seed)])

    assert torch.equal(stack(0), stack(0)) and not torch.equal(stack(0), stack(1))
    assert not torch.equal(stack(0)[0], stack(0)[1])


def test_the_generators_state_is_all_that_a_resumed_run_needs():
    chance = generator(0)
    endless = data.batches(IDS, 4, 8, chance)
    next(endless)
    kept = chance.get_state()
    wanted = [next(endless)[0] for _ in range(3)]
    resumed = data.batches(IDS, 4, 8, torch.Generator().set_state(kept))
    for one in wanted:
        assert torch.equal(one, next(resumed)[0])


def test_inputs_do_not_share_memory_with_the_text():
    ids = IDS.clone()
    inputs, _ = data.batch(ids, 4, 8, generator(0))
    inputs.zero_()
    assert torch.equal(ids, IDS)


# The whole validation split -----------------------------------------------------------


@given(st.integers(2, 120), st.integers(1, 9), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_windows_cover_each_target_once(length, size, context):
    ids = torch.arange(length)
    if length <= context:
        with pytest.raises(ValueError, match="a window needs"):
            next(data.windows(ids, size, context))
        return
    seen, shapes = [], []
    for inputs, targets in data.windows(ids, size, context):
        assert torch.equal(targets, inputs + 1) and targets.dtype == torch.int64
        seen += targets.flatten().tolist()
        shapes.append(tuple(inputs.shape))
    assert seen == list(range(1, length))
    assert all(rows <= size and width <= context for rows, width in shapes)
    assert all(width == context for _, width in shapes[:-1])
    whole = [rows for rows, width in shapes if width == context]
    assert all(rows == size for rows in whole[:-1])
    assert len(shapes) - len(whole) <= 1


@given(st.lists(st.integers(-5, 130)), st.integers(1, 40))
@settings(max_examples=300, deadline=None)
def test_windows_from_starts_share_no_target_and_leave_no_room(starts, context):
    ids, allowed = IDS, sorted({s for s in starts if 0 <= s < len(IDS) - context})
    given = torch.tensor(starts, dtype=torch.int64)
    if not allowed:
        with pytest.raises(ValueError, match="None of the starts leaves room for"):
            data.disjoint(ids, context, given)
        return
    found = data.disjoint(ids, context, given).tolist()
    assert set(found) <= set(allowed) and found[0] == allowed[0]
    for start, after in zip(found, [*found[1:], None]):
        free = [s for s in allowed if s >= start + context]
        assert after == (free[0] if free else None)


@pytest.mark.parametrize("context", [1, 10, 33, 99])
def test_windows_from_anywhere_stand_side_by_side(context):
    wanted = [int(x[0, 0]) for x, _ in data.windows(IDS, 1, context)]
    whole = data.disjoint(IDS, context).tolist()
    assert whole == wanted[: len(whole)] == list(range(0, 99 - context + 1, context))


def test_the_weighted_mean_over_windows_is_that_over_the_text():
    ids = torch.randint(50, (101,), generator=generator(0))
    score = torch.rand(50, generator=generator(1), dtype=torch.float64)  # of a target
    total, count = 0.0, 0
    for _, targets in data.windows(ids, 3, 8):
        total += float(score[targets].mean()) * targets.numel()
        count += targets.numel()
    assert total / count == pytest.approx(float(score[ids[1:]].mean()))


# Bad ids ------------------------------------------------------------------------------

CUTTERS = {
    "batch": lambda ids, size, context: data.batch(ids, size, context, generator(0)),
    "batches": lambda ids, size, context: data_batches(ids, size, context, 1),
    "windows": lambda ids, size, context: list(data.windows(ids, size, context)),
}


@pytest.mark.parametrize("name", CUTTERS)
def test_bad_ids_are_refused_in_one_sentence(name):
    cutter = CUTTERS[name]
    with pytest.raises(ValueError, match=r"8 ids and a window needs 9, one more"):
        cutter(torch.arange(8), 2, 8)
    with pytest.raises(ValueError, match="needs 9"):
        cutter(torch.tensor([], dtype=torch.long), 2, 8)
    with pytest.raises(ValueError, match=r"of shape \(2, 50\): give a vector"):
        cutter(IDS.view(2, 50), 2, 8)
    with pytest.raises(ValueError, match=r"torch\.float32 of shape"):
        cutter(IDS.float(), 2, 8)
    for size, context in [(0, 8), (2, 0), (-1, 8), (2, -3)]:
        with pytest.raises(ValueError, match="Give whole numbers from 1"):
            cutter(IDS, size, context)


def test_split_wants_a_vector_too():
    with pytest.raises(ValueError, match="give a vector"):
        data.split(IDS.view(4, 25))


# The sentences of lesson 04 -----------------------------------------------------------


def test_the_sentences_are_eighty_and_different():
    every = [one for group in data.SENTENCES.values() for one in group]
    assert len(data.SENTENCES) == 10 and len(set(every)) == 80
    assert {len(group) for group in data.SENTENCES.values()} == {8}
