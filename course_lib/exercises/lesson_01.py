"""Exercises of lesson 01: merge, encode, decode, GPT-2's ids, and what a text costs."""

import math

import torch

from course_lib import tokenizer
from course_lib.exercises.legacy import (
    Check,
    Exercise,
    Mistake,
    Wrong,
    want_close,
    want_equal,
    want_type,
)
from course_lib.tokenizer import decode, encode_chunk, merge

BYTES = {bytes([byte]): byte for byte in range(256)}  # the vocabulary before any merge
MIXED = "naïve café 😀 தமிழ்"  # one to four bytes a character


def letters(generator: torch.Generator, count: int, alphabet: str = "abc") -> bytes:
    """Random letters, as bytes."""
    picks = torch.randint(len(alphabet), (count,), generator=generator)
    return "".join(alphabet[i] for i in picks).encode()


def single(chunk: bytes) -> list[bytes]:
    """b"abc" → [b"a", b"b", b"c"]"""
    return [bytes([byte]) for byte in chunk]


# 01.merge ---------------------------------------------------------------------------


def glues_every_pair(merge_, generator):
    parts = [*single(letters(generator, 24)), b"ab", b"c", b"a", b"b", b"a", b"b"]
    wanted = merge(list(parts), (b"a", b"b"))
    value = merge_(list(parts), (b"a", b"b"))
    want_type(value, list, "merge(parts, pair)")
    if any(type(part) is not bytes for part in value):
        raise Mistake("The parts are bytes before and after; glue with left + right.")
    if b"".join(value) != b"".join(parts):
        raise Mistake(
            f"The bytes changed: {b''.join(parts)} went in, {b''.join(value)} came out. "
            "Merging only moves boundaries; it never loses a byte."
        )
    if value == parts:
        raise Mistake("Nothing was glued together.")
    if value.count(b"ab") < wanted.count(b"ab"):
        raise Mistake("It stops before the end: glue the pair wherever it stands.")
    want_equal(value, wanted, "merge(parts, (b'a', b'b'))")
    if merge_([b"a", b"bc"], (b"ab", b"c")) == [b"abc"]:
        raise Mistake(
            "It glued a and bc for the pair (ab, c). Compare both parts, not the bytes "
            "that they make together."
        )


def does_not_overlap(merge_, generator):
    count = 3 + 2 * int(torch.randint(3, (1,), generator=generator))
    wanted = [b"aa"] * (count // 2) + [b"a"]
    value = merge_([b"a"] * count, (b"a", b"a"))
    want_type(value, list, "merge(parts, pair)")
    if value == [b"aa"] * (count - 1):
        raise Mistake(
            f"{count} times b'a' became {len(value)} pairs: each byte can be glued once "
            "only. After a merge, step over both."
        )
    want_equal(value, wanted, f"merge({count} times b'a', (b'a', b'a'))")


def keeps_the_last_part(merge_, generator):
    tail = single(letters(generator, 3, "xyz"))
    value = merge_([b"a", b"b", *tail], (b"a", b"b"))
    if value == [b"ab", *tail[:-1]]:
        raise Mistake("The last part is lost: it has no right neighbour, yet it stays.")
    want_equal(value, [b"ab", *tail], "merge when the last part belongs to no pair")
    want_equal(merge_([b"a"], (b"a", b"b")), [b"a"], "merge of a single part")


def wrong_overlap(parts, pair):
    merged, glued = [], False
    for i, part in enumerate(parts):
        starts = (part, *parts[i + 1 : i + 2]) == pair
        if starts:
            merged.append(part + parts[i + 1])
        elif not glued:
            merged.append(part)
        glued = starts
    return merged


def wrong_first_only(parts, pair):
    for i in range(len(parts) - 1):
        if (parts[i], parts[i + 1]) == pair:
            return [*parts[:i], parts[i] + parts[i + 1], *parts[i + 2 :]]
    return parts


def wrong_loses_last(parts, pair):
    merged, i = [], 0
    while i < len(parts) - 1:
        both = (parts[i], parts[i + 1]) == pair
        merged.append(parts[i] + parts[i + 1] if both else parts[i])
        i += 2 if both else 1
    return merged


def wrong_keeps_right(parts, pair):
    merged = []
    for i, part in enumerate(parts):
        both = (part, *parts[i + 1 : i + 2]) == pair
        merged.append(part + parts[i + 1] if both else part)
    return merged


def wrong_nothing(parts, pair):
    for i in range(len(parts)):
        if parts[i : i + 2] == pair:  # a list never equals a tuple
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


def wrong_joined(parts, pair):
    merged, i = [], 0
    while i < len(parts):
        both = b"".join(parts[i : i + 2]) == pair[0] + pair[1]
        merged.append(b"".join(parts[i : i + 2]) if both else parts[i])
        i += 2 if both else 1
    return merged


def wrong_pair_itself(parts, pair):
    merged = merge(parts, pair)
    return [pair if part == pair[0] + pair[1] else part for part in merged]


def wrong_text(parts, pair):
    return [part.decode() for part in merge(parts, pair)]


MERGE = Exercise(
    id="01.merge",
    title="one merge",
    minutes=10,
    rule=(
        "Glue a pair together wherever its two parts stand side by side, from left to "
        "right. `parts` is a list of `bytes`; give back a list of `bytes`. No byte may be "
        'used twice: three `b"a"` in a row hold one pair, and one is left over.'
    ),
    reference=tokenizer.merge,
    checks=(
        Check(
            name="glues every pair",
            points=2,
            proves="glues the pair wherever it stands",
            hint="Walk with `while i < len(parts)`: where the pair starts, take two parts "
            "and step two; elsewhere take one and step one.",
            run=glues_every_pair,
        ),
        Check(
            name="keeps the last part",
            points=1,
            proves="keeps a last part without a neighbour",
            hint="The last part has no right neighbour. Does your loop still reach it?",
            run=keeps_the_last_part,
        ),
        Check(
            name="uses no byte twice",
            points=1,
            proves="uses no byte twice",
            hint='What should `[b"a", b"a", b"a"]` become? Two parts, not three.',
            run=does_not_overlap,
        ),
    ),
    wrong=(
        Wrong("pairs that overlap", wrong_overlap, "can be glued once"),
        Wrong("the first pair only", wrong_first_only, "stops before the end"),
        Wrong("the last part is lost", wrong_loses_last, "The last part is lost"),
        Wrong("keeps the right half", wrong_keeps_right, "The bytes changed"),
        Wrong("list against tuple", wrong_nothing, "Nothing was glued"),
        Wrong("joined bytes", wrong_joined, "Compare both parts"),
        Wrong("the pair itself", wrong_pair_itself, "The parts are bytes"),
        Wrong("text for bytes", wrong_text, "The parts are bytes"),
    ),
)


# 01.encode_chunk --------------------------------------------------------------------


def some_ranks(generator: torch.Generator) -> dict[bytes, int]:
    """A small vocabulary, trained on random letters, so that no two checks are alike."""
    text = letters(generator, 3_000, "aaabbcd ").decode()
    return tokenizer.train(text, 300)


def gives_ids(encode, generator):
    value = encode(letters(generator, 6), dict(BYTES))
    want_type(value, list, "encode_chunk(chunk, ranks)")
    if value and type(value[0]) is bytes:
        raise Mistake("These are the tokens themselves; give their ids: ranks[token].")
    order = torch.randperm(256, generator=generator).tolist()
    ranks = {bytes([byte]): rank for byte, rank in enumerate(order)}
    value, wanted = encode(b"abc", dict(ranks)), [order[byte] for byte in b"abc"]
    if value == [97, 98, 99]:
        raise Mistake(
            "It gives the bytes' own values. A single byte has a rank too: in GPT-2's "
            "vocabulary b'a' is 64, not 97."
        )
    want_equal(value, wanted, "encode_chunk(b'abc') with shuffled bytes")


def merges_lowest_rank_first(encode, generator):
    if encode(b"abc", {**BYTES, b"abc": 256}) == [256]:
        raise Mistake(
            "It took b'abc' whole: the longest token that fits. BPE glues two neighbours at "
            "a time, and neither ab nor bc is a token here."
        )
    value = encode(b"abcd", {**BYTES, b"bc": 256, b"ab": 257, b"cd": 258})
    if value == [257, 258]:
        raise Mistake(
            "b'abcd' became ab|cd. Of all pairs take the lowest rank, bc here, even when "
            "another stands further left."
        )
    want_equal(value, [97, 256, 100], "encode_chunk(b'abcd')")
    ranks = some_ranks(generator)
    for _ in range(20):
        chunk = letters(generator, 12, "aaabbcd")
        value, wanted = encode(chunk, dict(ranks)), encode_chunk(chunk, ranks)
        want_equal(value, wanted, f"encode_chunk({chunk})")


def merges_until_done(encode, generator):
    ranks = {**BYTES, b"aa": 256, b"aaaa": 257, b"aaaaaaaa": 258}
    value = encode(b"a" * 8, dict(ranks))
    if value in ([256] + [97] * 6, [256] * 4):
        raise Mistake(
            "It stops after one round: merge until no pair is in ranks. (A pair that is not "
            "in ranks must lose against every one that is.)"
        )
    want_equal(value, [258], "encode_chunk of eight a")
    want_equal(encode(b"", dict(ranks)), [], "encode_chunk(b'')")


def _encode_left(chunk, ranks):
    parts = single(chunk)
    i = 0
    while i < len(parts) - 1:
        if parts[i] + parts[i + 1] in ranks:
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
            i = 0
        else:
            i += 1
    return parts


def wrong_left_first(chunk, ranks):
    return [ranks[part] for part in _encode_left(chunk, ranks)]


def wrong_longest(chunk, ranks):
    ids = []
    while chunk:
        size = next(n for n in range(len(chunk), 0, -1) if chunk[:n] in ranks)
        ids.append(ranks[chunk[:size]])
        chunk = chunk[size:]
    return ids


def wrong_one_round(chunk, ranks):
    pairs = tokenizer.neighbours(single(chunk))
    known = [pair for pair in pairs if pair[0] + pair[1] in ranks]
    if not known:
        return [ranks[part] for part in single(chunk)]
    best = min(known, key=lambda pair: ranks[pair[0] + pair[1]])
    return [ranks[part] for part in merge(single(chunk), best)]


def wrong_highest(chunk, ranks):
    parts = single(chunk)
    while True:
        joined = [a + b for a, b in tokenizer.neighbours(parts) if a + b in ranks]
        if not joined:
            return [ranks[part] for part in parts]
        best = max(joined, key=ranks.get)
        for pair in tokenizer.neighbours(parts):
            if pair[0] + pair[1] == best:
                parts = merge(parts, pair)
                break


def wrong_byte_values(chunk, ranks):
    values = {rank: token[0] for token, rank in ranks.items() if len(token) == 1}
    return [values.get(id, id) for id in encode_chunk(chunk, ranks)]


def wrong_tokens(chunk, ranks):
    return _encode_left(chunk, ranks)


ENCODE_CHUNK = Exercise(
    id="01.encode_chunk",
    title="encode in merge order",
    minutes=20,
    rule=(
        "Start from single bytes. Of all neighbours whose joined bytes are in `ranks`, glue "
        "the pair with the lowest rank (the leftmost, if it stands there twice), and again, "
        "until no pair is known. Return the ids: the rank of each part that is left, single "
        "bytes too. Look at the neighbours in the chunk; don't walk through all ranks."
    ),
    reference=tokenizer.encode_chunk,
    checks=(
        Check(
            name="gives ids",
            points=1,
            proves="gives a list of ids",
            hint="`[ranks[part] for part in parts]`",
            run=gives_ids,
        ),
        Check(
            name="until nothing is left",
            points=1,
            proves="goes on until no pair is known",
            hint="One merge makes new neighbours. Loop until the best pair is not in ranks.",
            run=merges_until_done,
        ),
        Check(
            name="lowest rank first",
            points=2,
            proves="merges the lowest rank first",
            hint="Make the list of all joined neighbours, then `min(…, key=…)`. A pair that "
            "is not in ranks should lose against every other: `ranks.get(token, …)`.",
            run=merges_lowest_rank_first,
        ),
    ),
    wrong=(
        Wrong(
            "left to right", wrong_left_first, "even when another stands further left"
        ),
        Wrong("the longest token", wrong_longest, "the longest token that fits"),
        Wrong("one round", wrong_one_round, "stops after one round"),
        Wrong("the highest rank", wrong_highest, "Of all pairs take the lowest"),
        Wrong("a byte's own value", wrong_byte_values, "the bytes' own values"),
        Wrong("tokens for ids", wrong_tokens, "give their ids"),
    ),
)


# 01.decode --------------------------------------------------------------------------


def some_text(generator: torch.Generator) -> str:
    pool = "abc é ß 😀 🎈 தமிழ் 数字 \n"
    picks = torch.randint(len(pool), (30,), generator=generator)
    return "".join(pool[i] for i in picks)


def as_tokens(ranks: dict[bytes, int]) -> dict[int, bytes]:
    return {id: token for token, id in ranks.items()}


def round_trip(decode_, generator):
    tokens = as_tokens(BYTES)
    for text in ("hello", some_text(generator), "é 😀"):
        ids = list(text.encode())
        try:
            value = decode_(list(ids), dict(tokens))
        except UnicodeDecodeError:
            raise Mistake(
                f"{text!r} could not be read. A character may be spread over several "
                "tokens, and half of it is no text: join all the bytes, then decode once."
            ) from None
        want_type(value, str, "decode(ids, tokens)")
        if value == text:
            continue
        if text.isascii() is False and "�" in value:
            raise Mistake(
                f"{text!r} came back as {value!r}. A character may be spread over several "
                "tokens: join all the bytes first, then decode once."
            )
        raise Mistake(f"{text!r} came back as {value!r}. The bytes are UTF-8.")


def long_tokens(decode_, generator):
    ranks = tokenizer.train(MIXED * 20, 300)
    ids = tokenizer.encode(MIXED, ranks)
    value = decode_(list(ids), as_tokens(ranks))
    want_type(value, str, "decode of longer tokens")
    if value != MIXED:
        raise Mistake(
            f"With longer tokens, {MIXED!r} came back as {value!r}. Look each id up in "
            "tokens: an id above 255 stands for several bytes."
        )


def broken_ends_show(decode_, generator):
    ids = list("ok 😀".encode())[: int(torch.randint(4, 7, (1,), generator=generator))]
    try:
        value = decode_(list(ids), as_tokens(BYTES))
    except UnicodeDecodeError:
        raise Mistake(
            "A model may stop in the middle of a character, and then this raises. Use "
            'errors="replace".'
        ) from None
    want_type(value, str, "decode of a text that ends in half a character")
    if "�" not in value:
        raise Mistake(
            'Half a character at the end has vanished. Show it as �: errors="replace".'
        )
    ids += list(b" end")
    value, wanted = decode_(list(ids), as_tokens(BYTES)), decode(ids, as_tokens(BYTES))
    want_equal(value, wanted, "decode of half a character and more text")


def unknown_ids_raise(decode_, generator):
    want_equal(decode_([104, 105], {104: b"h", 105: b"i"}), "hi", "decode([104, 105])")
    try:
        value = decode_([104, 105, 999], {104: b"h", 105: b"i"})
    except (KeyError, ValueError, IndexError, TypeError):
        return
    raise Mistake(
        f"Id 999 is not in tokens, and it gave {value!r}. An id that nobody knows must "
        "raise an error, or a mistake goes unnoticed."
    )


def wrong_each_alone(ids, tokens):
    return "".join(tokens[id].decode("utf-8", errors="replace") for id in ids)


def wrong_each_alone_and_strict(ids, tokens):
    return "".join(tokens[id].decode("utf-8") for id in ids)


def wrong_ignore(ids, tokens):
    return b"".join(tokens[id] for id in ids).decode("utf-8", errors="ignore")


def wrong_strict(ids, tokens):
    return b"".join(tokens[id] for id in ids).decode("utf-8")


def wrong_latin(ids, tokens):
    return b"".join(tokens[id] for id in ids).decode("latin-1")


def wrong_skips_unknown(ids, tokens):
    return b"".join(tokens.get(id, b"") for id in ids).decode("utf-8", errors="replace")


def wrong_ids_as_bytes(ids, tokens):
    return bytes(id % 256 for id in ids).decode("utf-8", errors="replace")


DECODE = Exercise(
    id="01.decode",
    title="any text there and back",
    minutes=8,
    rule=(
        "Turn ids back into text. `tokens` maps an id to its `bytes`. Emoji and Tamil "
        "letters are spread over several tokens, and a model can stop half way through one: "
        "bytes that are no character must come out as � where they stand, as "
        '`errors="replace"` does. An id that is not in `tokens` must raise an error.'
    ),
    reference=tokenizer.decode,
    checks=(
        Check(
            name="round trip",
            points=2,
            proves="brings any text back whole",
            hint='Join first, then decode: `b"".join(…)`.',
            run=round_trip,
        ),
        Check(
            name="tokens of many bytes",
            points=1,
            proves="reads tokens of any length",
            hint="`tokens[id]` is what an id stands for.",
            run=long_tokens,
        ),
        Check(
            name="half a character",
            points=1,
            proves="shows half a character as �",
            hint="Look up the `errors` argument of `bytes.decode`.",
            run=broken_ends_show,
        ),
        Check(
            name="unknown ids",
            points=1,
            proves="refuses an id that is not in the vocabulary",
            hint="`tokens[id]` raises by itself; `tokens.get(id, …)` hides the mistake.",
            run=unknown_ids_raise,
        ),
    ),
    wrong=(
        Wrong("each token alone", wrong_each_alone, "join all the bytes first"),
        Wrong(
            "each token alone, errors raised",
            wrong_each_alone_and_strict,
            "join all the",
        ),
        Wrong("errors ignored", wrong_ignore, "has vanished"),
        Wrong("errors raised", wrong_strict, 'errors="replace"'),
        Wrong("latin-1", wrong_latin, "The bytes are UTF-8"),
        Wrong("unknown ids skipped", wrong_skips_unknown, "nobody knows"),
        Wrong("ids taken for bytes", wrong_ids_as_bytes, "stands for several bytes"),
    ),
)


# 01.encode --------------------------------------------------------------------------


def keeps_words_apart(encode, generator):
    ranks = {**BYTES, b"b ": 256, b" a": 257, b"ab": 258}
    try:
        value = encode("ab ab", dict(ranks))
    except TypeError as error:
        if "'str' object" not in str(error):
            raise
        raise Mistake(
            f"It stopped with {error}. A chunk is text, and encode_chunk wants bytes: "
            "to_bytes(chunk)."
        ) from None
    want_type(value, list, "encode(text, ranks)")
    if value and type(value[0]) is list:
        raise Mistake("It is a list of lists; put all ids into one list, with +=.")
    if value == [258, 258]:
        raise Mistake(
            "The spaces are lost: split(text) keeps them, text.split() doesn't."
        )
    if 256 in value:
        raise Mistake(
            "A token went across two words. Cut the text with split(text) first, and "
            "encode each chunk by itself."
        )
    want_equal(value, [258, 257, 98], "encode('ab ab')")


def same_ids_as_tiktoken(encode, generator):
    ranks = some_ranks(generator)
    oracle = tokenizer.Encoding(
        "oracle", pat_str=tokenizer.GPT2_SPLIT, mergeable_ranks=ranks, special_tokens={}
    )
    for _ in range(10):
        text = letters(generator, 40, "aaabbcd   ").decode()
        want_equal(encode(text, dict(ranks)), oracle.encode(text), f"encode({text!r})")


def any_script(encode, generator):
    text = some_text(generator)
    try:
        value = encode(text, dict(BYTES))
    except KeyError as error:
        raise Mistake(
            f"{error} is not in ranks: its keys are bytes. Turn each chunk into bytes with "
            "to_bytes(chunk) before encoding."
        ) from None
    if value == [ord(letter) for letter in text]:
        raise Mistake("These are code points; UTF-8 bytes are wanted: to_bytes(chunk).")
    want_equal(value, list(text.encode()), f"encode({text!r})")
    value = encode("aaaa", {**BYTES, b"aa": 256}, "a")
    if value == [256, 256]:
        raise Mistake("It ignores its third argument: split(text, pattern).")
    want_equal(value, [97] * 4, "encode('aaaa') with a pattern that cuts after each a")


def wrong_no_split(text, ranks, pattern=None):
    return encode_chunk(text.encode(), ranks)


def wrong_str_split(text, ranks, pattern=None):
    return [id for word in text.split() for id in encode_chunk(word.encode(), ranks)]


def wrong_own_pattern(text, ranks, pattern=None):
    return tokenizer.encode(text, ranks)


def wrong_nested(text, ranks, pattern=None):
    return [encode_chunk(chunk.encode(), ranks) for chunk in tokenizer.split(text)]


def wrong_not_bytes(text, ranks, pattern=None):
    ids = []
    for chunk in tokenizer.split(text):
        if not chunk.isascii():
            ids += [ranks[letter] for letter in chunk]
        else:
            ids += encode_chunk(chunk.encode(), ranks)
    return ids


def wrong_chunks_of_text(text, ranks, pattern=None):
    return [id for chunk in tokenizer.split(text) for id in encode_chunk(chunk, ranks)]


def wrong_no_merging(text, ranks, pattern=None):
    return list(text.encode())


ENCODE = Exercise(
    id="01.encode",
    title="the same ids as GPT-2",
    minutes=8,
    rule=(
        "Cut the text into chunks with `split(text, pattern)`, turn each chunk into bytes "
        "with `to_bytes(chunk)`, encode it with `encode_chunk`, and put all ids into one "
        "list. With GPT-2's ranks this gives exactly the ids that GPT-2 was trained on."
    ),
    reference=tokenizer.encode,
    checks=(
        Check(
            name="words stay apart",
            points=1,
            proves="never lets a token reach across two words",
            hint="`for chunk in split(text, pattern): …`",
            run=keeps_words_apart,
        ),
        Check(
            name="tiktoken agrees",
            points=2,
            proves="gives tiktoken's ids on random text",
            hint="Is every chunk encoded with encode_chunk, and nothing left out?",
            run=same_ids_as_tiktoken,
        ),
        Check(
            name="any script, any pattern",
            points=1,
            proves="takes any script and any pattern",
            hint="encode_chunk wants bytes.",
            run=any_script,
        ),
    ),
    wrong=(
        Wrong("no split", wrong_no_split, "went across two words"),
        Wrong("text.split()", wrong_str_split, "The spaces are lost"),
        Wrong("its own pattern", wrong_own_pattern, "ignores its third argument"),
        Wrong("a list of lists", wrong_nested, "list of lists"),
        Wrong("letters for bytes", wrong_not_bytes, "its keys are bytes"),
        Wrong("chunks of text", wrong_chunks_of_text, "A chunk is text"),
        Wrong("no merging", wrong_no_merging, "should"),
    ),
)


# 01.tokens_per_character ------------------------------------------------------------


def divides(cost, generator):
    parts = int(torch.randint(2, 6, (1,), generator=generator))
    text = letters(generator, 12 * parts).decode()
    value = cost(lambda t: list(range(len(t) // parts)), text)
    want_type(value, float, "tokens_per_character(encode, text)")
    if math.isclose(value, parts):
        raise Mistake("That is characters a token: upside down.")
    want_close(value, 1 / parts, f"the cost of {len(text)} characters in {12} tokens")


def counts_characters(cost, generator):
    text = some_text(generator) + "தமிழ்"
    value = cost(lambda t: list(t.encode()), text)
    if math.isclose(value, 1.0):
        raise Mistake(
            "You divide by bytes. A Tamil letter is one character and three bytes, and "
            "that is what the cost should show: divide by len(text)."
        )
    want_close(value, len(text.encode()) / len(text), "the cost in single bytes")


def reads_all_of_it(cost, generator):
    text = "one two  three\nfour"
    value = cost(list, text)
    if math.isclose(value, len(text) / len(text.split())):
        raise Mistake("You divide by words; divide by characters, spaces too.")
    want_close(value, 1.0, "the cost of one token for each character")
    text = f"  {letters(generator, 8).decode().title()} "
    value = cost(lambda t: [0] * (5 if t == text else 9), text)
    if value != 5 / len(text):
        raise Mistake("The text was changed before it was encoded: give it as it is.")


def wrong_inverse(encode, text):
    return len(text) / len(encode(text))


def wrong_per_byte(encode, text):
    return len(encode(text)) / len(text.encode())


def wrong_per_word(encode, text):
    return len(encode(text)) / len(text.split())


def wrong_lower(encode, text):
    return len(encode(text.lower())) / len(text)


def wrong_integer(encode, text):
    return len(encode(text)) // len(text)


COST = Exercise(
    id="01.tokens_per_character",
    title="what does a text cost?",
    minutes=4,
    rule=(
        "How many tokens does a tokenizer spend on each character of a text? `encode` is a "
        "function from text to ids. Return a `float`."
    ),
    reference=tokenizer.tokens_per_character,
    checks=(
        Check(
            name="tokens for each character",
            points=1,
            proves="divides tokens by characters",
            hint="`len(encode(text))` is the number of tokens.",
            run=divides,
        ),
        Check(
            name="characters, not bytes",
            points=1,
            proves="counts characters, whatever their bytes",
            hint="`len(text)` counts characters; `len(text.encode())` counts bytes.",
            run=counts_characters,
        ),
        Check(
            name="spaces count",
            points=1,
            proves="counts spaces as characters",
            hint="`text.split()` throws the spaces away.",
            run=reads_all_of_it,
        ),
    ),
    wrong=(
        Wrong("upside down", wrong_inverse, "upside down"),
        Wrong("by bytes", wrong_per_byte, "divide by bytes"),
        Wrong("by words", wrong_per_word, "it should be"),
        Wrong("a changed text", wrong_lower, "was changed before"),
        Wrong("whole numbers", wrong_integer, "should be a float"),
    ),
)

EXERCISES = (MERGE, ENCODE_CHUNK, DECODE, ENCODE, COST)
