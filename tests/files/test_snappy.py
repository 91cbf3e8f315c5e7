"""Snappy's pieces, and GloVe's own list of words."""

import hashlib

import pytest

from course_lib import vectors
from course_lib.files.snappy import unpacked, words


@pytest.mark.parametrize(
    ("packed", "wanted"),
    [
        (b"\x03\x08abc", b"abc"),
        (b"\x06\x04ab\x01\x02", b"ababab"),  # four bytes again, from two back
        (b"\x09\x00a\x1e\x01\x00", b"a" * 9),  # two bytes of distance
        (b"\x05\x00a\x0f\x01\x00\x00\x00", b"a" * 5),  # four
        (b"\x46\xf0\x45" + b"x" * 70, b"x" * 70),  # a long piece: its size in a byte
        (b"\x80\x02\xf4\xff\x00" + b"y" * 256, b"y" * 256),  # in two
        (b"\x00", b""),
    ],
)
def test_every_kind_of_piece(packed, wanted):
    assert unpacked(packed) == wanted
    assert unpacked(b"before" + packed, 6) == wanted


def test_words_have_their_length_in_front():
    page = b"\x02\0\0\0hi\x03\0\0\0\xe2\x82\xac"
    packed = bytes([len(page), len(page) - 1 << 2]) + page
    assert words(b"\0" * 25 + packed, 2) == ["hi", "€"]


def test_glove_has_the_words_that_a_database_reads_there():
    listed = "\n".join(vectors.glove().words).encode()
    assert hashlib.sha256(listed).hexdigest() == (
        "ca395c4e0ad31f7034a683cf5704d5109d154e819920a1e3627a0dd3cc311073"
    )
