"""Words out of GloVe's list, a parquet file: its first page, packed with Snappy.

The list is one file that never changes (its SHA-256 is checked), so no reader for all
parquet files is needed: a page of texts, each with its length in front, in the order of
the rows. Source: Snappy's format description.
"""

FIRST_PAGE = 25  # where the packed bytes of the first page begin in that file


def words(parquet: bytes, count: int) -> list[str]:
    """The first `count` words of the list."""
    page, at, found = unpacked(parquet, FIRST_PAGE), 0, []
    for _ in range(count):
        size = int.from_bytes(page[at : at + 4], "little")
        found.append(page[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return found


def unpacked(data: bytes, at: int = 0) -> bytes:
    """What a Snappy block that begins at byte `at` holds.

    A block is the size of its contents, then pieces: bytes as they are, or how far back
    to go, and how many bytes to take again from there.
    """
    size, at = varint(data, at)
    out = bytearray()
    while len(out) < size:
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            count = tag >> 2
            if count >= 60:  # the size itself takes one to four bytes
                count, at = number(data, at, count - 59)
            out += data[at : at + count + 1]
            at += count + 1
        else:
            if tag & 3 == 1:
                count, back = 4 + (tag >> 2 & 7), (tag >> 5) << 8 | data[at]
                at += 1
            else:
                back, at = number(data, at, 2 if tag & 3 == 2 else 4)
                count = (tag >> 2) + 1
            for _ in range(count):  # it may take again what it has just given
                out.append(out[-back])
    return bytes(out)


def number(data: bytes, at: int, count: int) -> tuple[int, int]:
    """A whole number of so many bytes, the lowest first; and where it ends."""
    return int.from_bytes(data[at : at + count], "little"), at + count


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A whole number in groups of seven bits, the lowest first; and where it ends."""
    value = shift = 0
    while data[at] & 128:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift, at + 1
