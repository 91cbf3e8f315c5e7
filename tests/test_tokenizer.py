"""The tokenizer against tiktoken and Hugging Face's tokenizers."""

import random
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_lib import tokenizer
from course_lib.tokenizer import (
    Characters,
    Tokenizer,
    decode,
    encode_chunk,
    encode_long_chunk,
)

ODD_PIECES = [
    "The quick brown fox",
    " don't we'll I'M they've",
    "😀🎈👩‍🚀",
    "தமிழ் எழுத்து",
    "def f(x):\n\t    return x**2  # ok",
    "1234567 3.14159 ½ ² ٣",
    "   ",
    "\n\n \t",
    " 't 's",
    "\x00\x1b\x7f",
    b"\xff\xfe broken \xc3".decode("utf-8", errors="replace"),
    "e\u0301 a\u0308\u200d\u200b",
    "\ud800 lone \udfff",
    "<|endoftext|>",
    "数字文字 かな 한글 العربية",
    "ſ K ẞ",
]
odd_texts = st.one_of(
    st.lists(st.sampled_from(ODD_PIECES), max_size=8).map("".join),
    st.text(max_size=60),
    st.text(alphabet=" \t\n1aé'😀", max_size=60),
)


@pytest.fixture(scope="module")
def gpt2():
    return tokenizer.gpt2()


@pytest.fixture(scope="module")
def ours():
    return Tokenizer(tokenizer.gpt2_ranks(), special_tokens={"<|endoftext|>": 50_256})


def train_slowly(text: str, vocabulary_size: int) -> dict[bytes, int]:
    """The textbook algorithm, from lesson 01's own cell."""
    from course_lib.notebooks import cells

    space = {**vars(tokenizer)}
    exec(cells.cell(cells.paths(["01"])[0], "train-slow"), space)
    return space["train_slow"](text, vocabulary_size)


@given(odd_texts)
@settings(max_examples=400, deadline=None)
def test_same_ids_as_tiktoken(ours, gpt2, text):
    ids = gpt2.encode(text)
    assert ours.encode(text) == ids
    assert tokenizer.encode(text, ours.ranks) == ids


@given(odd_texts)
@settings(max_examples=300, deadline=None)
def test_round_trip_of_any_text(ours, text):
    back = ours.decode(ours.encode(text))
    assert back == tokenizer.to_bytes(text).decode("utf-8")


def test_gpt2_vocabulary_has_its_known_size_and_ids(gpt2):
    assert gpt2.n_vocab == 50_257
    assert len(tokenizer.gpt2_ranks()) == 256 + 50_000
    assert gpt2.encode("Hello world") == [15496, 995]  # from OpenAI's own demo


@given(st.text(alphabet="abcd \n😀", max_size=300), st.integers(256, 310))
@settings(max_examples=25, deadline=None)
def test_fast_training_makes_the_textbook_merges(text, size):
    assert list(tokenizer.train(text, size).items()) == list(
        train_slowly_or_less(text, size).items()
    )


@given(st.text(alphabet="aab 1é😀", max_size=200), st.integers(256, 330))
@settings(max_examples=100, deadline=None)
def test_training_on_long_chunks_makes_the_same_merges(text, size):
    chunks = Counter(map(tokenizer.to_bytes, tokenizer.split(text)))
    long = tokenizer.train_long(chunks, size)
    assert list(long.items()) == list(tokenizer.train(text, size).items())


@pytest.mark.timeout(40)  # counted anew for each merge, it would take longer
def test_a_line_without_spaces_is_learnt_in_seconds():
    text = "".join(random.Random(0).choices("ACGT", k=200_000))
    assert len(tokenizer.train(text, 1_024)) == 1_024


def train_slowly_or_less(text, size):
    """The textbook trainer stops with ValueError when there is nothing left to merge."""
    while True:
        try:
            return train_slowly(text, size)
        except ValueError:
            size -= 1


def test_training_refuses_a_vocabulary_below_the_bytes():
    with pytest.raises(ValueError, match="256 bytes come first"):
        tokenizer.train("text", 255)


def encodings():
    """Every kind that the course has, and the ids of "hello" in it."""
    bpe = Tokenizer(tokenizer.train("hello hello", 258))
    every = (bpe, Characters.train("hello"), tokenizer.gpt2(), tokenizer.smollm2())
    return [(one, one.encode("hello")) for one in every]


def test_ids_in_an_array_or_a_tensor_are_decoded_as_in_a_list():
    for encoding, ids in encodings():
        for kind in (list, tuple, np.array, torch.tensor):
            assert encoding.decode(kind(ids)) == "hello"


@pytest.mark.parametrize(
    "odd",
    [5, None, [1.5], ["a"], torch.tensor([1.0]), torch.tensor([[1, 2]]), [[1, 2]]],
    ids=repr,
)
def test_what_is_no_list_of_ids_is_named(odd):
    for encoding, _ in encodings():
        with pytest.raises(ValueError, match="Ids are whole numbers in a list"):
            encoding.decode(odd)


@pytest.mark.parametrize("unknown", [10**6, 10**12, -1])
def test_an_id_of_another_tokenizer_is_named(unknown):
    for encoding, _ in encodings():
        with pytest.raises(ValueError, match="not in this vocabulary"):
            encoding.decode([unknown])


@pytest.mark.parametrize("text", ["x\ud83d", "a<|endoftext|>", "a\x00\U00050000b"])
def test_what_tiktoken_adds_keeps_the_two_rules(text):
    for encoding in (tokenizer.gpt2(), tokenizer.smollm2()):
        ids = encoding.encode(text)
        assert list(encoding.encode_to_numpy(text)) == ids
        assert encoding.encode_batch([text, text]) == [ids, ids]
        assert encoding.encode_ordinary(text) == ids
        assert encoding.encode_ordinary_batch([text, text]) == [ids, ids]
        with pytest.raises(ValueError, match="use encode"):
            encoding.encode_with_unstable(text)


def test_all_special_tokens_may_be_allowed_at_once(ours, gpt2):
    for one in (ours, gpt2):
        assert one.encode("a<|endoftext|>", allowed_special="all")[-1] == 50_256


@given(st.text(alphabet="ab 1é😀", max_size=300))
@settings(max_examples=150, deadline=None)
def test_long_chunks_get_the_same_ids(ours, text):
    raw = text.encode()
    assert encode_long_chunk(raw, ours.ranks) == encode_chunk(raw, ours.ranks)


@pytest.mark.timeout(60)
def test_hundred_kilobytes_without_a_space(ours, gpt2):
    text = "abcd" * 25_000
    assert ours.encode(text) == gpt2.encode(text)


def test_typed_special_tokens_are_plain_text(ours, gpt2):
    text = "a<|endoftext|>b"
    for one in (ours, gpt2):
        assert 50_256 not in one.encode(text)
        assert 50_256 in one.encode(text, allowed_special={"<|endoftext|>"})
    assert ours.decode(ours.encode(text, ["<|endoftext|>"])) == text


def test_memory_of_chunks_stays_bounded(monkeypatch, ours):
    monkeypatch.setattr(tokenizer, "CACHED", 10)
    small = Tokenizer(ours.ranks)
    text = " ".join(str(n) for n in range(100))
    assert small.decode(small.encode(text)) == text
    assert len(small.cache) <= 10


def test_unknown_id_is_named():
    with pytest.raises(ValueError, match="Id 9 is not in this vocabulary"):
        decode([9], {0: b"a"})


def test_half_a_character_is_shown(ours):
    ids = list("😀".encode())[:2]
    assert "�" in decode(ids, {byte: bytes([byte]) for byte in range(256)})


def test_byte_alphabet_is_the_one_tiktoken_reads(gpt2):
    ranks = tokenizer.gpt2_ranks()
    singles = {token for token in ranks if len(token) == 1}
    assert len(singles) == 256
    assert tokenizer.byte_of("Ġ") == ord(" ") and tokenizer.byte_of("A") == 65
    codes = [
        tokenizer.byte_of(chr(code)) for code in (*range(33, 127), *range(256, 324))
    ]
    assert len(set(codes)) == len(codes)


# The real LLM's tokenizer --------------------------------------------------------


@pytest.fixture(scope="module")
def reference():
    """Hugging Face's tokenizer from the same GGUF file.

    transformers reads the merges but not the rule that cuts digits off, so the rule is
    put back here as SmolLM2 was trained with it: single digits, then GPT-2's split.
    """
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    from course_lib.files import cache, sources

    path = cache.fetch(sources.SMOLLM2)
    loaded = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    loaded.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return loaded


@pytest.fixture(scope="module")
def smollm2():
    return tokenizer.smollm2()


@given(odd_texts)
@settings(max_examples=400, deadline=None)
def test_smollm2_same_ids_as_hugging_face(reference, smollm2, text):
    text = tokenizer.to_bytes(text).decode()  # the reference takes no half characters
    if smollm2.unknown_characters.search(text) or "<|" in text:
        return  # held to our own rule below: the reference drops such bytes
    assert smollm2.encode(text) == reference.encode(text)


def test_spaces_before_a_digit_stay_together(smollm2):
    pieces = [smollm2.decode([id]) for id in smollm2.encode("a   12")]
    assert pieces == ["a", "   ", "1", "2"]


def test_characters_it_has_no_bytes_for_are_shown(smollm2):
    assert smollm2.decode(smollm2.encode("a\x04b\U00040000c")) == "a�b�c"


def test_smollm2_special_tokens(smollm2):
    assert smollm2.n_vocab == 49_152
    assert smollm2.encode("<|im_end|>", allowed_special="all") == [2]
    assert 2 not in smollm2.encode("<|im_end|>")


# Characters as tokens ------------------------------------------------------------


@given(st.text(min_size=1, max_size=80))
@settings(max_examples=200, deadline=None)
def test_characters_round_trip_in_sorted_order(text):
    characters = Characters.train(text)
    assert characters.symbols == "".join(sorted(set(text)))
    ids = characters.encode(text)
    assert len(ids) == len(text) and characters.decode(ids) == text
    assert set(ids) == set(range(characters.vocabulary))
    assert characters.encode(characters.symbols) == list(range(characters.vocabulary))


def test_characters_keep_the_order_they_are_given():
    characters = Characters("no😀")
    assert characters.vocabulary == 3
    assert characters.encode("on😀n") == [1, 0, 2, 0] and characters.encode("") == []
    assert characters.decode([2, 1]) == "😀o" and characters.decode([]) == ""


def test_a_character_never_seen_is_named():
    with pytest.raises(ValueError, match="'é' is not among these 3: train on a text"):
        Characters.train("abc").encode("abécé")


@pytest.mark.parametrize("id", [3, -1, 1_000])
def test_an_id_beyond_the_characters_is_named(id):
    with pytest.raises(ValueError, match=f"Id {id} is not in this vocabulary of 3"):
        Characters("abc").decode([0, id])


def test_characters_that_are_none_or_twice_are_refused():
    for symbols in ("", "aba"):
        with pytest.raises(ValueError, match="at least one character, and none twice"):
            Characters(symbols)
