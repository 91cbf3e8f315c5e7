"""Exercises of lesson 01: merge, encode, decode, GPT-2's ids, and what a text costs."""

import codecs

import torch

from course_lib import tokenizer
from course_lib.exercises.compare import called, shown
from course_lib.exercises.form import agrees, mistakes, pick, want, whole
from course_lib.exercises.kinds import Check, Exercise, Mistake
from course_lib.tokenizer import GPT2_SPLIT

WHOLE = r"(?s).+"  # a pattern that leaves a text whole


def letters(generator: torch.Generator, count: int, alphabet: str = "abc") -> str:
    """Random letters."""
    return "".join(pick(generator, alphabet) for _ in range(count))


def single(chunk: bytes) -> list[bytes]:
    """b"abc" → [b"a", b"b", b"c"]"""
    return [bytes([byte]) for byte in chunk]


def numbered(tokens: list[bytes]) -> dict[bytes, int]:
    """Ranks in the order in which tokens stand."""
    return {token: rank for rank, token in enumerate(tokens)}


def vocabulary(generator: torch.Generator, text: str, merges: int) -> dict[bytes, int]:
    """Ranks few enough to be shown: a text's bytes in a random order, then its merges.

    A merge may reach across two words, as no token of a real vocabulary does.
    """
    start = sorted(set(single(text.encode())))
    order = torch.randperm(len(start), generator=generator).tolist()
    grown = list(tokenizer.train(text, 256 + merges, WHOLE))[256:]
    return numbered([start[i] for i in order] + grown)


def cuts(inputs: tuple, value: list, right: list) -> str:
    """Where a text is cut, and where it should be: ids are only labels."""
    tokens = {rank: repr(token)[2:-1] for token, rank in inputs[1].items()}
    if {type(id) for id in value} > {int}:
        return ""
    ours, wanted = ("|".join(tokens.get(i, "?") for i in ids) for ids in (value, right))
    return f"that is {ours}, and should be {wanted}" if len(ours + wanted) < 160 else ""


# 01.merge ---------------------------------------------------------------------------

HERE = "parts[i] == left and parts[i + 1 : i + 2] == [right]"
TAKE, GLUE = "merged.append(parts[i])", "merged.append(left + right)"
OWN = (GLUE, "merged.append(parts[i] + parts[i + 1])")
PARTS = "The parts are bytes before and after; glue with left + right."
PAST_THE_END = (
    "parts[i + 1] reaches past the end. The last part has no right neighbour, and a list "
    "that you glue in gets shorter than the range that you walk."
)


def glued_in_a_range(parts, pair):
    for i in range(len(parts) - 1):
        if (parts[i], parts[i + 1]) == pair:
            parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return parts


MERGE_MISTAKES = mistakes(
    tokenizer.merge,
    ("pairs that overlap",
     "A part is glued to its left neighbour and to its right one too: each byte can be "
     "glued once only. After a merge, step over both.",
     ("while i < len(parts)", "for i in range(len(parts))"),
     ("else:", "elif parts[max(i - 1, 0) : i + 1] != [left, right]:")),
    ("the first pair only", "It stops before the end: glue the pair wherever it stands.",
     ("i += 2", "return merged + parts[i + 2 :]")),
    ("the last part is lost", "The last part is lost: it has no right neighbour, yet it stays.",
     ("i < len(parts)", "i < len(parts) - 1")),
    ("past the end", PAST_THE_END, (HERE, "(parts[i], parts[i + 1]) == pair")),
    ("a range too long", PAST_THE_END, glued_in_a_range),
    ("keeps the right half",
     "The right part comes once more after it was glued. Merging only moves boundaries; it "
     "never loses or doubles a byte: after a merge, step over both parts.",
     ("i += 2", "i += 1")),
    ("the pair is lost", "The pair is lost where it should be glued: append left + right.",
     (GLUE, "pass")),
    ("only glued pairs", "It keeps the glued pairs only. The other parts stay as they are.",
     (TAKE, "pass")),
    ("a return in the loop", "It returns after the first step: move return out of the loop.",
     ("    return merged", "        return merged")),
    ("list against tuple",
     "Nothing was glued together. (A list, such as parts[i : i + 2], never equals a tuple.)",
     (HERE, "parts[i : i + 2] == pair")),
    ("joined bytes",
     "It glued a and bc for the pair (ab, c). Compare both parts, not the bytes that they "
     "make together.",
     (HERE, 'b"".join(parts[i : i + 2]) == left + right'),
     (GLUE, 'merged.append(b"".join(parts[i : i + 2]))')),
    ("either order", "It glues the pair the other way round too: b, a is not the pair a, b.",
     (HERE, "i + 1 < len(parts) and {parts[i], parts[i + 1]} == {left, right}"), OWN),
    ("the left part only", "It looks at the left part only: glue where the right one follows.",
     (HERE, "parts[i] == left and i + 1 < len(parts)"), OWN),
    ("is for ==",
     "Longer parts are not found. Does it compare with `is`? Two equal bytes may be two "
     "things in memory: compare with ==.",
     (HERE, "i + 1 < len(parts) and parts[i] is left and parts[i + 1] is right")),
    ("from the right",
     "It glues from right to left. From the left, three times b'a' are b'aa' and b'a'.",
     ("left, right = pair", "parts, (right, left) = parts[::-1], pair"),
     (GLUE, "merged.append(right + left)"), ("return merged", "return merged[::-1]")),
    ("the pair itself", PARTS, (GLUE, "merged.append(pair)")),
    ("a list for a part", PARTS, (GLUE, "merged.append([left, right])")),
    ("text for bytes", PARTS, ("return merged", "return [part.decode() for part in merged]")),
)  # fmt: skip


def replaced(parts: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    """Merge as a replacement in a text, in which each different part is a letter."""
    known = list(dict.fromkeys([*parts, *pair, b"".join(pair)]))
    letter = {part: chr(1000 + i) for i, part in enumerate(known)}
    text = "".join(letter[part] for part in parts)
    text = text.replace(letter[pair[0]] + letter[pair[1]], letter[b"".join(pair)])
    return [known[ord(one) - 1000] for one in text]


def first_difference(inputs: tuple, value: list, right: list) -> str:
    """Whether bytes were lost or doubled, or else the first boundary that is wrong."""
    if {type(part) for part in value} > {bytes}:
        return ""
    if b"".join(value) != b"".join(right):
        return "the bytes changed, and merging only moves boundaries"
    i = next(i for i, (ours, wanted) in enumerate(zip(value, right)) if ours != wanted)
    return f"part {i} is {value[i]}, and should be {right[i]}"


def merges(*cases: tuple) -> list[tuple]:
    """Cases: parts and a pair, whose bytes are new things in memory."""
    return [
        ([b"".join(single(part)) for part in parts], tuple(pair))
        for parts, pair in cases
    ]


def everywhere(generator):
    pair, some = single(b"ab"), [letters(generator, count) for count in (6, 300)]
    return merges(
        (single(some[0].encode()) + pair, pair),
        ([b"ca", b"b", b"a", b"bc", b"b", b"a", b"b"], pair),
        ([b"a", b"bc", b"ab", b"c", b"ab"], [b"ab", b"c"]),
        (single(b"she sells sea shells"), single(b" s")),
        (single(bytes(range(256))), pair),
        (single(some[1].encode()), pair),
    )


def last_parts(generator):
    tail = single(letters(generator, 3, "xyz").encode())
    cases = (single(b"ab") + tail, [b"a"], single(b"ba"), single(b"abb"))
    return merges(*((parts, single(b"ab")) for parts in cases))


def runs(generator):
    odd = 3 + 2 * whole(generator, 0, 3)
    return merges(*(([b"a"] * count, [b"a"] * 2) for count in (2, 3, 4, odd)))


def merges_as(cases):
    return agrees(replaced, cases, MERGE_MISTAKES, why=first_difference)


def merge_plainly(parts: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    merged, i = [], 0
    while i < len(parts):
        if i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair:
            merged.append(parts[i] + parts[i + 1])
            i += 2  # both are used up
        else:
            merged.append(parts[i])
            i += 1
    return merged


MERGE = Exercise(
    id="01.merge",
    title="one merge",
    minutes=10,
    rule=(
        "Glue a pair together wherever its two parts stand side by side, from left to "
        "right. `parts` is a list of `bytes`; give back a list of `bytes`, a new one or "
        "`parts` itself, changed. No byte may be "
        'used twice: three `b"a"` in a row hold one pair, and one is left over.'
    ),
    reference=tokenizer.merge,
    plain=merge_plainly,
    checks=(
        Check(
            "glues every pair", 2, "glues the pair wherever it stands",
            "Walk with `while i < len(parts)`: where the pair starts, take two parts "
            "and step two; elsewhere take one and step one.",
            merges_as(everywhere),
        ),
        Check(
            "keeps the last part", 1, "keeps a last part without a neighbour",
            "The last part has no right neighbour. Does your loop still reach it?",
            merges_as(last_parts),
        ),
        Check(
            "uses no byte twice", 1, "uses no byte twice",
            'What should `[b"a", b"a", b"a"]` become? Two parts, not three.',
            merges_as(runs),
        ),
    ),
    wrong=MERGE_MISTAKES,
    may_change=("parts",),
)  # fmt: skip


# 01.encode_chunk --------------------------------------------------------------------

BEST = "min(joined, key=lambda token: ranks.get(token, len(ranks)))"
IDS, STEP = "[ranks[part] for part in parts]", "parts[i : i + 2] = [best]"
LOWEST = (
    "Of all pairs take the lowest rank, even when another stands further left, is longer, "
    "or came later."
)
ONCE = "It stops after one round: a merge makes new neighbours. Merge until no pair is in ranks."
UNKNOWN_PAIR = (
    "A pair that is not in ranks must lose against every one that is: ranks.get(token, "
    "len(ranks)) gives it a rank above all others."
)


def longest_first(chunk, ranks):
    ids = []
    while chunk:
        size = next(n for n in range(len(chunk), 0, -1) if chunk[:n] in ranks)
        ids.append(ranks[chunk[:size]])
        chunk = chunk[size:]
    return ids


ENCODE_CHUNK_MISTAKES = mistakes(
    tokenizer.encode_chunk,
    ("left to right", LOWEST,
     (BEST, "next((token for token in joined if token in ranks), joined[0])")),
    ("the highest rank", LOWEST, (BEST, "max(joined, key=lambda token: ranks.get(token, -1))")),
    ("the longest token",
     "It took the longest token that fits. BPE glues two neighbours at a time, and can only "
     "make b'abc' if b'ab' or b'bc' is a token too.",
     longest_first),
    ("one merge", ONCE, (STEP, f"{STEP}; break")),
    ("one pair", ONCE,
     (STEP, "parts = merge(parts, neighbours(parts)[i]); break")),
    ("the unknown wins", UNKNOWN_PAIR, ("len(ranks))", "-1)")),
    ("the unknown has rank 0", UNKNOWN_PAIR, ("len(ranks))", "0)")),
    ("the unknown has no rank", UNKNOWN_PAIR, (BEST, "min(joined, key=ranks.get)")),
    ("the unknown raises", UNKNOWN_PAIR, (BEST, "min(joined, key=lambda token: ranks[token])")),
    ("the rightmost",
     "Of equal pairs it takes one further right. Take the leftmost: three times b'a' are "
     "b'aa' and b'a'.",
     ("i = joined.index(best)", "i = len(joined) - 1 - joined[::-1].index(best)")),
    ("no neighbours",
     "When one part is left, or none, there are no neighbours, and min(…) of nothing fails. "
     "Stop before.",
     ("len(parts) > 1", "True")),
    ("an empty chunk", "An empty chunk, b'', has no ids: give an empty list.",
     ("while", "first = parts[0]\n    while")),
    ("a byte's own value",
     "It gives the bytes' own values. A single byte has a rank too: in GPT-2's vocabulary "
     "b'a' is 64, not 97.",
     (IDS, "[part[0] if len(part) == 1 else ranks[part] for part in parts]")),
    ("tokens for ids", "These are the tokens themselves; give their ids: ranks[token].",
     (IDS, "parts")),
    ("whole numbers",
     "A byte of a chunk is a whole number, and the keys of ranks are bytes: bytes([byte]) "
     "makes one.",
     ("bytes([byte])", "byte")),
    ("never merged", "Nothing is merged: these are the ranks of single bytes.",
     ("while", "while False and")),
)  # fmt: skip


def unmerged(generator):
    text = letters(generator, 4)
    return [(s.encode(), vocabulary(generator, s, 0)) for s in ("abc", "cabb", text)]


def grown_tokens(generator):
    doubled = [b"a" * 2**i for i in range(4)]
    ranks = numbered([b"b", *doubled])
    return [(b"a" * count, ranks) for count in (8, 4, 7, 1, 0)] + [(b"aabaab", ranks)]


def ranked(generator):
    start = numbered(single(b"dabc"))
    traps = [
        (b"abc", {**start, b"abc": 4}),
        (b"abcd", {**start, b"bc": 4, b"ab": 5, b"cd": 6}),
        (b"aaa", {**start, b"aa": 4}),
    ]
    some = [letters(generator, count, "aaabbcd") for count in (9, 12, 12, 12, 200)]
    grown = [(s[:40].encode(), vocabulary(generator, s, len(s) // 3)) for s in some]
    return traps + grown


def encodes_as(cases):
    return agrees(tokenizer.encode_long_chunk, cases, ENCODE_CHUNK_MISTAKES, why=cuts)


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
            "gives ids", 1, "gives a list of ids",
            "`[ranks[part] for part in parts]`",
            encodes_as(unmerged),
        ),
        Check(
            "until nothing is left", 1, "goes on until no pair is known",
            "One merge makes new neighbours. Loop until the best pair is not in ranks.",
            encodes_as(grown_tokens),
        ),
        Check(
            "lowest rank first", 2, "merges the lowest rank first",
            "Make the list of all joined neighbours, then `min(…, key=…)`. A pair that "
            "is not in ranks should lose against every other: `ranks.get(token, …)`.",
            encodes_as(ranked),
        ),
    ),
    wrong=ENCODE_CHUNK_MISTAKES,
)  # fmt: skip


# 01.decode --------------------------------------------------------------------------

JOINED = 'b"".join(tokens[id] for id in ids)'
READ = f'{JOINED}.decode("utf-8", errors="replace")'
ALONE = (
    "A character may be spread over several tokens, and half of it is no text: join all the "
    "bytes first, then decode once."
)
UTF8 = "Each byte becomes a letter of its own. The bytes are UTF-8: .decode(\"utf-8\", …)."  # fmt: skip
UNKNOWN = (
    "An id that is not in tokens must raise an error, or a mistake goes unnoticed: "
    "tokens[id] does, tokens.get(id, …) doesn't."
)

DECODE_MISTAKES = mistakes(
    tokenizer.decode,
    ("each token alone", ALONE,
     (READ, '"".join(tokens[id].decode("utf-8", errors="replace") for id in ids)')),
    ("each token alone, errors raised", ALONE,
     (READ, '"".join(tokens[id].decode("utf-8") for id in ids)')),
    ("each token alone, errors ignored", ALONE,
     (READ, '"".join(tokens[id].decode("utf-8", errors="ignore") for id in ids)')),
    ("errors ignored",
     'Half a character has vanished. Show it as � where it stands: errors="replace".',
     ("replace", "ignore")),
    ("errors raised",
     "A model may stop in the middle of a character, and then this raises. Use "
     'errors="replace".',
     (', errors="replace"', "")),
    ("latin-1", UTF8, ("utf-8", "latin-1")),
    ("ascii", UTF8, ("utf-8", "ascii")),
    ("ids taken for bytes",
     "It takes the ids for bytes. Look each id up in tokens: it may stand for several bytes.",
     (JOINED, "bytes(id % 256 for id in ids)")),
    ("text joined", "The tokens are bytes, and bytes are joined by bytes: b\"\".join(…).",
     (JOINED, JOINED[1:])),
    ("the bytes", "These are bytes; .decode(…) reads them as text.", (READ, JOINED)),
    ("bytes as code", "str(…) writes bytes as code, b'…'; .decode(…) reads them.",
     (READ, f"str({JOINED})")),
    ("unknown ids skipped", UNKNOWN,
     ("if unknown", "if False"), ("tokens[id] for", 'tokens.get(id, b"") for')),
    ("unknown ids shown", UNKNOWN,
     ("if unknown", "if False"), ("tokens[id] for", 'tokens.get(id, b"?") for')),
)  # fmt: skip


def decoded(ids: list[int], tokens: dict[int, bytes]) -> str:
    """Decode token by token, by what keeps half a character until the rest has come."""
    reader = codecs.getincrementaldecoder("utf-8")("replace")
    return "".join(reader.decode(tokens[id]) for id in ids) + reader.decode(b"", True)


def by_bytes(*texts: bytes) -> list[tuple]:
    """Cases: texts in tokens of one byte, whose ids are the bytes."""
    return [(list(text), {byte: bytes([byte]) for byte in text}) for text in texts]


def by_pieces(generator: torch.Generator, *texts: bytes) -> list[tuple]:
    """Cases: texts in tokens of one to four bytes, whose ids are any numbers."""
    cases = []
    for text in texts:
        pieces = []
        while text:
            size = whole(generator, 1, 4)
            pieces, text = [*pieces, text[:size]], text[size:]
        ids = (256 * torch.randperm(99, generator=generator) + 97).tolist()
        tokens = dict(zip(ids, dict.fromkeys(pieces)))
        known = {piece: id for id, piece in tokens.items()}
        cases.append(([known[piece] for piece in pieces], tokens))
    return cases


def texts(generator) -> list[bytes]:
    """Texts of one to four bytes a character, short ones and a longer one."""
    one = letters(generator, 5, "ab é ß 😀 🎈 தமி 数字")
    some = ("hello", "é 😀", one, "naïve café 😀 தமிழ் 数字\n" * 5)
    return [text.encode() for text in some]


def whole_texts(generator):
    ids, known = [104, 233, 195, 169], [b"h", "é".encode(), b"\xc3", b"\xa9"]
    return [(ids, dict(zip(ids, known))), *by_bytes(*texts(generator))]


def broken_texts(generator):
    smile = "😀".encode()
    ends = smile[: whole(generator, 1, 3)], b"ok " + smile[:2], "é".encode()[:1]
    inside = smile[1:] + b" ok", b"ok " + smile[:3] + b" end", b"\xc3\xc3\xa9", b""
    return by_bytes(*ends, *inside) + by_pieces(generator, *ends, *inside)


def decodes_as(cases):
    return agrees(decoded, cases, DECODE_MISTAKES)


def refuses_unknown(decode, generator):
    tokens, odd = {104: b"h", 105: b"i"}, whole(generator, 256, 999)
    want(decode([104, 105], dict(tokens)), "hi", called("decode", ([104, 105], tokens)))
    for ids in ([104, 105, odd], [odd, 104]):
        try:
            value = decode(list(ids), dict(tokens))
        except (KeyError, ValueError, IndexError, TypeError):
            continue
        raise Mistake(
            f"{called('decode', (ids, tokens))} gives {shown(value)}. {UNKNOWN}"
        )


def decode_plainly(ids: list[int], tokens: dict[int, bytes]) -> str:
    joined = b""
    for id in ids:
        joined += tokens[id]  # raises KeyError for an unknown id
    return joined.decode("utf-8", errors="replace")


DECODE = Exercise(
    id="01.decode",
    title="any text there and back",
    minutes=8,
    rule=(
        "Turn ids back into text. `tokens` maps an id to its `bytes`. Emoji and Tamil "
        "letters are spread over several tokens, and a model can stop half way through one: "
        "bytes that are no character must come out as � where they stand, as "
        '`errors="replace"` does. An id that is not in `tokens` must raise an '
        "error; `KeyError` and `ValueError` are both right."
    ),
    reference=tokenizer.decode,
    plain=decode_plainly,
    checks=(
        Check(
            "round trip", 2, "brings any text back whole",
            'Join first, then decode: `b"".join(…)`.',
            decodes_as(whole_texts),
        ),
        Check(
            "tokens of many bytes", 1, "reads tokens of any length",
            "`tokens[id]` is what an id stands for.",
            decodes_as(lambda generator: by_pieces(generator, *texts(generator))),
        ),
        Check(
            "half a character", 1, "shows half a character as �",
            "Look up the `errors` argument of `bytes.decode`.",
            decodes_as(broken_texts),
        ),
        Check(
            "unknown ids", 1, "refuses an id that is not in the vocabulary",
            "`tokens[id]` raises by itself; `tokens.get(id, …)` hides the mistake.",
            refuses_unknown,
        ),
    ),
    wrong=DECODE_MISTAKES,
)  # fmt: skip


# 01.encode --------------------------------------------------------------------------

CHUNK, CHUNKS = "encode_chunk(to_bytes(chunk), ranks)", "split(text, pattern)"
SPACES = "The spaces are lost: split(text) keeps them, text.split() and strip() don't."
NO_BYTES = (
    "The keys of ranks are bytes, and a chunk is text. Turn each chunk into bytes with "
    "to_bytes(chunk) before encoding."
)
UNMERGED = "Nothing is merged: encode each chunk's bytes with encode_chunk."

ENCODE_MISTAKES = mistakes(
    tokenizer.encode,
    ("no split",
     "A token went across two words. Cut the text with split(text, pattern) first, and "
     "encode each chunk by itself.",
     (CHUNKS, "[text]")),
    ("text.split()", SPACES, (CHUNKS, "text.split()")),
    ("stripped chunks", SPACES, ("to_bytes(chunk)", "to_bytes(chunk.strip())")),
    ("its own pattern", "It ignores its third argument: split(text, pattern).",
     (CHUNKS, "split(text)")),
    ("a list of lists", "It is a list of lists; put all ids into one list, with +=.",
     (CHUNK, f"[{CHUNK}]")),
    ("the last chunk only", "It keeps the last chunk's ids only: add each chunk's, with +=.",
     ("ids +=", "ids =")),
    ("extend assigned",
     "extend changes a list and gives None: write ids.extend(…) alone, or ids += ….",
     (f"ids += {CHUNK}", f"ids = ids.extend({CHUNK})")),
    ("the first chunk only", "It returns after the first chunk: move return out of the loop.",
     ("    return", "        return")),
    ("chunks of text", "A chunk is text, and encode_chunk wants bytes: to_bytes(chunk).",
     ("to_bytes(chunk)", "chunk")),
    ("letters for bytes", NO_BYTES, (CHUNK, "[ranks[letter] for letter in chunk]")),
    ("letters for other bytes", NO_BYTES,
     (CHUNK, f"{CHUNK} if chunk.isascii() else [ranks[letter] for letter in chunk]")),
    ("code points", "These are code points; UTF-8 bytes are wanted: to_bytes(chunk).",
     (CHUNK, "[ord(letter) for letter in chunk]")),
    ("the bytes", UNMERGED, (CHUNK, "list(to_bytes(chunk))")),
    ("the bytes' ranks", UNMERGED, (CHUNK, "[ranks[bytes([b])] for b in to_bytes(chunk)]")),
)  # fmt: skip


def tiktoken_encode(text, ranks, pattern=GPT2_SPLIT):
    oracle = tokenizer.Encoding(
        "oracle", pat_str=pattern, mergeable_ranks=ranks, special_tokens={}
    )
    return oracle.encode(text)


def with_ranks(generator: torch.Generator, *texts: str, merges: int = 4) -> list[tuple]:
    return [(text, vocabulary(generator, text, merges)) for text in texts]


def two_words(generator):
    start = numbered(single(b" ba"))
    texts = ("ab ab ab", "no no, no no", "on  and on", "no né no né")
    across = "ab ab", {**start, b"b ": 3, b" a": 4, b"ab": 5}
    return [across, *with_ranks(generator, *texts)]


def any_text(generator):
    """Random texts, the lesson's, and one of as many chunks as its 20,000 characters."""
    some = [letters(generator, count, "aaabbcd   ") for count in (12, 16, 20, 24, 40)]
    lesson = "The sun is shining", "naïve 😀 தமிழ் 12,345  \n\n\tdef f(x): don't"
    long = "a," * 2_000 + " a", {b"a": 2, b" ": 0, b",": 1, b" a": 3}
    return [*with_ranks(generator, *some, *lesson), long, ("", {b"a": 0})]


def any_script(generator):
    one = letters(generator, 6, "ab é ß 😀 🎈 தமி 数字")
    start = numbered(single(b"-ba"))
    dashes = "a-b-a", {**start, b"a-": 3, b"-b": 4}, "[ab]|-"
    cases = with_ranks(generator, "é", "😀", "é é 😀 é", one)
    return [*cases, dashes, ("aaaa", {b"a": 0, b"aa": 1}, "a")]


def encodes_like_tiktoken(cases):
    return agrees(tiktoken_encode, cases, ENCODE_MISTAKES, why=cuts)


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
            "words stay apart", 1, "never lets a token reach across two words",
            "`for chunk in split(text, pattern): …`",
            encodes_like_tiktoken(two_words),
        ),
        Check(
            "tiktoken agrees", 2, "gives tiktoken's ids on random text",
            "Is every chunk encoded with encode_chunk, and nothing left out?",
            encodes_like_tiktoken(any_text),
        ),
        Check(
            "any script, any pattern", 1, "takes any script and any pattern",
            "encode_chunk wants bytes.",
            encodes_like_tiktoken(any_script),
        ),
    ),
    wrong=ENCODE_MISTAKES,
)  # fmt: skip

EXERCISES = (MERGE, ENCODE_CHUNK, DECODE, ENCODE)
