"""Turn text into ids and ids into text: byte-level BPE.

Byte-pair encoding starts from single bytes and glues together, again and again, the two
neighbours seen most often (Sennrich et al. 2016; on bytes: Radford et al. 2019). Here a
token *is* its bytes, and its rank, the order in which it was made, is its id.

Below are also GPT-2's tokenizer and the real LLM's, run by tiktoken. Built in lesson 01.
"""

import base64
import functools
import heapq
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import regex
import tiktoken
from tiktoken.load import data_gym_to_mergeable_bpe_ranks
from tqdm import tqdm

from course_lib.files import cache, sources

# How a text is cut into chunks before any merging, so that no token spans two words:
# English endings, then letters, digits and signs, each with the space before them.
GPT2_SPLIT = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
# The real LLM cuts every digit off by itself first, and with it the spaces before it.
SMOLLM2_SPLIT = (
    r"\p{N}|'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?=\p{N})|\s+(?!\S)|\s+"
)
SMOLLM2_VOCABULARY = "smollm2.vocabulary"  # its name in the cache
LONG = 400  # bytes; a chunk beyond this goes another way, to the same end
CACHED = 50_000  # different chunks whose ids encode() keeps


def to_bytes(text: str) -> bytes:
    """UTF-8, with "�" for half characters (lone surrogates), which UTF-8 can't hold."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return whole.encode("utf-8")


def split(text: str, pattern: str = GPT2_SPLIT) -> list[str]:
    """Cut a text into chunks: split("Hi, you 2") → ["Hi", ",", " you", " 2"]."""
    return regex.findall(pattern, text)


def neighbours(parts: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Every two parts that stand side by side: [a, b, c] → [(a, b), (b, c)]."""
    return list(zip(parts, parts[1:]))


def merge(parts: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    """Glue a pair together wherever it stands, from left to right.

    merge([b"a", b"a", b"a"], (b"a", b"a")) → [b"aa", b"a"]
    """
    left, right = pair
    merged, i = [], 0
    while i < len(parts):
        if parts[i] == left and parts[i + 1 : i + 2] == [right]:
            merged.append(left + right)
            i += 2
        else:
            merged.append(parts[i])
            i += 1
    return merged


def train(
    text: str, vocabulary_size: int, pattern: str = GPT2_SPLIT
) -> dict[bytes, int]:
    """Learn a vocabulary from a text: the rank (id) of every token, bytes first.

    At each step the pair seen most often becomes a token; of equals, the one that sorts
    first. Each different chunk is kept once with its count, and after a merge only the
    chunks that held the pair are counted again. Stops early if nothing is left to
    merge. Raises ValueError if vocabulary_size is below 256.
    """
    if vocabulary_size < 256:
        raise ValueError(f"{vocabulary_size} tokens? The 256 bytes come first.")
    ranks = {bytes([byte]): byte for byte in range(256)}
    chunks = Counter(to_bytes(chunk) for chunk in split(text, pattern))
    if any(len(chunk) > LONG for chunk in chunks):  # a text without spaces, say
        return train_long(chunks, vocabulary_size)
    times = list(chunks.values())  # how often each chunk occurs
    words = [[bytes([byte]) for byte in chunk] for chunk in chunks]
    counts, homes = count_pairs(words, times)
    queue = [(-count, pair) for pair, count in counts.items()]
    heapq.heapify(queue)  # the most frequent pair is always in front
    while queue and len(ranks) < vocabulary_size:
        count, pair = heapq.heappop(queue)
        if count == 0 or counts[pair] != -count:
            continue  # an old entry: this pair has been counted again since
        ranks.setdefault(pair[0] + pair[1], len(ranks))
        for changed, change in merge_at_home(words, times, homes, pair).items():
            if change:
                counts[changed] += change
                heapq.heappush(queue, (-counts[changed], changed))
    return ranks


def count_pairs(words: list[list[bytes]], times: list[int]) -> tuple[Counter, dict]:
    """How often each pair stands in the words, and in which words it has its homes."""
    counts, homes = Counter(), defaultdict(set)
    for home, word in enumerate(words):
        for pair in neighbours(word):
            counts[pair] += times[home]
            homes[pair].add(home)
    return counts, homes


def merge_at_home(
    words: list[list[bytes]],
    times: list[int],
    homes: dict[tuple[bytes, bytes], set[int]],
    pair: tuple[bytes, bytes],
) -> Counter:
    """Merge a pair in the words that hold it; return how all pair counts change."""
    changes = Counter()
    for home in homes.pop(pair):
        for old in neighbours(words[home]):
            changes[old] -= times[home]
        words[home] = merge(words[home], pair)
        for new in neighbours(words[home]):
            changes[new] += times[home]
            homes[new].add(home)
    return changes


def train_long(chunks: Counter, vocabulary_size: int) -> dict[bytes, int]:
    """What `train` learns, for chunks of any length: a merge looks at its places only.

    chunks: how often each occurs. `merge_at_home` counts a chunk anew for every merge in
    it; here each pair's places are known, and a merge costs what it changes.
    """
    ranks = {bytes([byte]): byte for byte in range(256)}
    laid = Places(chunks)
    queue = [(-count, pair) for pair, count in laid.counts.items()]
    heapq.heapify(queue)
    left = max(0, vocabulary_size - len(ranks))
    with tqdm(total=left, desc="learning tokens", unit="", delay=2) as bar:
        while queue and len(ranks) < vocabulary_size:
            count, pair = heapq.heappop(queue)
            if count == 0 or laid.counts[pair] != -count:
                continue
            ranks.setdefault(pair[0] + pair[1], len(ranks))
            for changed in laid.merge(pair):
                heapq.heappush(queue, (-laid.counts[changed], changed))
            bar.update(len(ranks) - 256 - bar.n)
    return ranks


class Places:
    """Chunks laid end to end, in parts, and the places where each pair of parts stands.

    parts[i] is the part that begins at byte i; None inside a part, empty after a chunk.
    So the part after the one at i begins at i + len(parts[i]).
    """

    def __init__(self, chunks: Counter):
        self.parts, self.times = [], []  # times[i]: how often the chunk at i occurs
        for chunk, count in chunks.items():
            self.parts += [*(bytes([byte]) for byte in chunk), b""]
            self.times += [count] * (len(chunk) + 1)
        self.before = list(range(-1, len(self.parts) - 1))
        self.counts, self.places = Counter(), defaultdict(set)
        for i in self.before[1:]:
            self.note(i, i + 1, self.counts)

    def note(self, i: int, j: int, changes: Counter, gone: bool = False) -> None:
        """Count the pair of the parts at i and j, or take it off the count."""
        pair = self.parts[i], self.parts[j]
        if all(pair):  # else a chunk ends between them
            changes[pair] += -self.times[i] if gone else self.times[i]
            if not gone:
                self.places[pair].add(i)

    def merge(self, pair: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        """Merge a pair wherever it stands, from left to right; whose counts changed."""
        changes, parts = Counter(), self.parts
        for i in sorted(self.places.pop(pair)):
            j = i + len(pair[0])
            if (parts[i], parts[j]) != pair:
                continue  # one of the two has become part of another since
            h, k = self.before[i], j + len(pair[1])
            for a, b in ((h, i), (i, j), (j, k)):
                self.note(a, b, changes, gone=True)
            parts[i], parts[j], self.before[k] = pair[0] + pair[1], None, i
            self.note(h, i, changes)
            self.note(i, k, changes)
        self.counts.update(changes)
        return [pair for pair, change in changes.items() if change]


def encode_chunk(chunk: bytes, ranks: dict[bytes, int]) -> list[int]:
    """Byte-pair encode one chunk: merge the lowest rank first, until no pair is left.

    The order is the order of training, so text is cut the way the vocabulary grew.
    """
    parts = [bytes([byte]) for byte in chunk]
    while len(parts) > 1:
        joined = [left + right for left, right in neighbours(parts)]
        best = min(joined, key=lambda token: ranks.get(token, len(ranks)))
        if best not in ranks:
            break
        i = joined.index(best)
        parts[i : i + 2] = [best]
    return [ranks[part] for part in parts]


def encode(text: str, ranks: dict[bytes, int], pattern: str = GPT2_SPLIT) -> list[int]:
    """Text → ids, chunk by chunk: the plain way. Tokenizer gives the same, faster."""
    ids = []
    for chunk in split(text, pattern):
        ids += encode_chunk(to_bytes(chunk), ranks)
    return ids


def tokens_per_character(encode: Callable[[str], list[int]], text: str) -> float:
    """What a text costs: how many tokens a tokenizer spends on each character."""
    return len(encode(text)) / max(1, len(text))


def encode_long_chunk(chunk: bytes, ranks: dict[bytes, int]) -> list[int]:
    """The same ids as encode_chunk, in n log n steps instead of n²: for 100 kB of "aaa…".

    A heap holds every possible merge by rank and place; parts are a linked list.
    """
    size = {i: 1 for i in range(len(chunk))}  # bytes of the part that starts at i
    before = {i: i - 1 for i in size}

    def after(i):
        return i + size[i]

    def candidate(i):
        if i in size and after(i) in size:
            token = chunk[i : after(after(i))]
            if token in ranks:
                heapq.heappush(queue, (ranks[token], i, len(token)))

    queue = []
    for i in range(len(chunk) - 1):
        candidate(i)
    while queue:
        _, i, length = heapq.heappop(queue)
        if i not in size or after(i) not in size:
            continue
        second = after(i)
        if size[i] + size[second] != length:
            continue  # an old entry: one of the two has grown since
        size[i] += size.pop(second)
        if after(i) in size:
            before[after(i)] = i
        candidate(before[i])
        candidate(i)
    return [ranks[chunk[i : after(i)]] for i in sorted(size)]


def decode(ids: list[int], tokens: dict[int, bytes]) -> str:
    """Ids → text: join the bytes of all tokens, then read them as UTF-8.

    A character may be spread over several tokens, so the bytes must be joined first.
    Bytes that are no character become "�". Raises an error for an unknown id.
    """
    unknown = [id for id in ids if id not in tokens]
    if unknown:
        raise ValueError(
            f"Id {unknown[0]} is not in this vocabulary of {len(tokens):,} tokens. "
            "Was it made by another tokenizer?"
        )
    return b"".join(tokens[id] for id in ids).decode("utf-8", errors="replace")


def listed(ids: Iterable[int]) -> list[int]:
    """Ids as Python's own whole numbers: from a list, an array or a tensor (T).

    Raises ValueError, with what came, for anything else.
    """
    try:
        return [operator.index(id) for id in ids]
    except TypeError as error:
        raise ValueError(
            f"Ids are whole numbers in a list, an array or a tensor of one axis; this is "
            f"{repr(ids)[:60]}."
        ) from error


class Tokenizer:
    """Byte-level BPE with a given vocabulary: text ↔ ids.

    ranks: bytes of a token → its id. special_tokens: text → id; found in a text only
    if the caller allows them, so that nobody can smuggle one in by typing it.
    """

    def __init__(
        self,
        ranks: dict[bytes, int],
        pattern: str = GPT2_SPLIT,
        special_tokens: dict[str, int] | None = None,
    ):
        self.ranks, self.pattern = ranks, pattern
        self.special_tokens = special_tokens or {}
        self.tokens = {id: token for token, id in ranks.items()}
        for token, id in self.special_tokens.items():
            self.tokens[id] = token.encode()
        self.cache = {}  # chunk → ids, for the chunks seen so far

    def encode(self, text: str, allowed_special: Iterable[str] = ()) -> list[int]:
        """Text → ids. Special tokens are plain text unless named in allowed_special.

        "all" names all of them, as in tiktoken.
        """
        some = self.special_tokens if allowed_special == "all" else allowed_special
        allowed = [token for token in self.special_tokens if token in some]
        if not allowed:
            return self.encode_ordinary(text)
        ids = []
        for piece in regex.split(
            "(" + "|".join(map(regex.escape, allowed)) + ")", text
        ):
            if piece in allowed:
                ids.append(self.special_tokens[piece])
            else:
                ids += self.encode_ordinary(piece)
        return ids

    def encode_ordinary(self, text: str) -> list[int]:
        """Text → ids, with no special tokens."""
        ids = []
        for chunk in split(text, self.pattern):
            known = self.cache.get(chunk)
            ids += self.encode_new(chunk) if known is None else known
        return ids

    def encode_new(self, chunk: str) -> list[int]:
        """Encode a chunk not met before, and keep its ids."""
        raw = to_bytes(chunk)
        if len(raw) > LONG:
            return encode_long_chunk(raw, self.ranks)
        if len(self.cache) >= CACHED:
            self.cache.clear()
        self.cache[chunk] = encode_chunk(raw, self.ranks)
        return self.cache[chunk]

    def decode(self, ids: list[int]) -> str:
        """Ids → text, with "�" where the bytes of a cut-off character remain."""
        return decode(listed(ids), self.tokens)


class Encoding(tiktoken.Encoding):
    """tiktoken's fast encoder, with this course's two rules.

    Special tokens in a text are plain text unless allowed (tiktoken raises instead),
    and characters whose bytes the vocabulary lacks become "�" (tiktoken crashes).
    """

    unknown_characters = None  # a compiled pattern, where the vocabulary has gaps

    def encode(self, text: str, *, allowed_special=(), disallowed_special=()):
        """Text → list of ids; allowed_special is a set of special tokens, or "all"."""
        if self.unknown_characters:
            text = self.unknown_characters.sub("�", text)
        return super().encode(
            text,
            allowed_special=allowed_special or set(),
            disallowed_special=disallowed_special,
        )

    def encode_ordinary(self, text: str) -> list[int]:
        """Text → list of ids, with no special tokens."""
        return self.encode(text)

    def decode(self, tokens: list[int], errors: str = "replace") -> str:
        """Ids → text. Raises ValueError for an id that is not in the vocabulary."""
        try:
            return super().decode(listed(tokens), errors)
        except (KeyError, OverflowError) as error:
            raise ValueError(
                f"{error.args[0]}: it is not in this vocabulary of {self.n_vocab:,} "
                "tokens. Was it made by another tokenizer?"
            ) from None

    def encode_to_numpy(self, text: str, **allowed) -> np.ndarray:
        """Text → ids as `encode` gives them, in an array of uint32."""
        return np.array(self.encode(text, **allowed), dtype=np.uint32)

    def encode_batch(self, text: list[str], *, num_threads=8, **allowed):
        """Many texts → a list of ids each, as `encode` gives them."""
        return [self.encode(one, **allowed) for one in text]

    def encode_with_unstable(self, *args, **kwargs):
        """Not here: it would not keep the two rules. Raises ValueError."""
        raise ValueError("This course's encodings have no unstable tokens: use encode.")


def gpt2_ranks() -> dict[bytes, int]:
    """The 50,256 ranks of GPT-2, from the two files that OpenAI published.

    tiktoken reads them too, but only after a download. Raises Problem.
    """
    return data_gym_to_mergeable_bpe_ranks(
        vocab_bpe_file=str(cache.checked(sources.GPT2_MERGES)),
        encoder_json_file=str(cache.checked(sources.GPT2_IDS)),
        vocab_bpe_hash=sources.GPT2_MERGES.sha256,
        encoder_json_hash=sources.GPT2_IDS.sha256,
    )


def gpt2() -> Encoding:
    """GPT-2's and GPT-3's tokenizer: 256 bytes + 50,000 merges + 1 special = 50,257.

    Raises Problem.
    """
    return Encoding(
        "gpt2",
        pat_str=GPT2_SPLIT,
        mergeable_ranks=gpt2_ranks(),
        special_tokens={"<|endoftext|>": 50_256},
        explicit_n_vocab=50_257,
    )


def smollm2() -> Encoding:
    """The real LLM's tokenizer: 17 special tokens, then 49,135 that merges made.

    Its vocabulary lacks 21 bytes: 13 that UTF-8 never uses, six control characters and
    the first bytes of planes 4 to 11, where no characters are. Raises Problem.
    """
    lines = smollm2_vocabulary().read_text().splitlines()
    names = {base64.b64decode(line): id for id, line in enumerate(lines)}
    ranks = {token: id for token, id in names.items() if id >= 17}
    encoding = Encoding(
        "smollm2",
        pat_str=SMOLLM2_SPLIT,
        mergeable_ranks=ranks,
        special_tokens={t.decode(): id for t, id in names.items() if id < 17},
    )
    gaps = "".join(map(chr, sorted(b for b in range(128) if bytes([b]) not in ranks)))
    encoding.unknown_characters = regex.compile(f"[{gaps}\U00040000-\U000bffff]")
    return encoding


def smollm2_vocabulary() -> Path:
    """A file with the real LLM's tokens, one a line in base64, made from the GGUF."""
    return cache.made(SMOLLM2_VOCABULARY, write_vocabulary)


def write_vocabulary(path: Path) -> None:
    """Read the tokens out of the GGUF file: slow enough to do it once."""
    from gguf import GGUFReader

    fields = GGUFReader(cache.checked(sources.SMOLLM2)).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    raw = [token.encode() for token in tokens[:17]]
    raw += [bytes(map(byte_of, token)) for token in tokens[17:]]
    path.write_text("\n".join(base64.b64encode(token).decode() for token in raw))


@functools.cache
def byte_of(character: str) -> int:
    """The byte behind a character of GPT-2's visible alphabet: "A" → 65, "Ġ" → 32.

    Its files print each byte as one visible character: those that are visible stand for
    themselves, the other 68, in order, for the characters from number 256 on.
    """
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    code = ord(character)
    return code if code < 256 else hidden[code - 256]


class Characters:
    """A tokenizer whose tokens are characters: each has its place in a list as its id.

    The smallest vocabulary there is for a text, and the longest ids.
    """

    def __init__(self, symbols: str):
        """symbols: every character once, in the order of the ids. Raises ValueError."""
        self.symbols = symbols
        self.ids = {symbol: id for id, symbol in enumerate(symbols)}
        if not symbols or len(self.ids) < len(symbols):
            raise ValueError(
                f"{symbols[:40]!r} can't be a vocabulary: give at least one character, "
                "and none twice."
            )

    @classmethod
    def train(cls, text: str) -> "Characters":
        """Take every character of a text, sorted: Characters.train("banana") → "abn"."""
        return cls("".join(sorted(set(text))))

    @property
    def vocabulary(self) -> int:
        """The number of different characters."""
        return len(self.symbols)

    def encode(self, text: str) -> list[int]:
        """Text → ids. Raises ValueError for a character that is not in the vocabulary."""
        try:
            return [self.ids[symbol] for symbol in text]
        except KeyError as error:
            raise ValueError(
                f"The character {error.args[0]!r} is not among these {self.vocabulary}: "
                "train on a text that has it, or leave it out."
            ) from None

    def decode(self, ids: list[int]) -> str:
        """Ids → text. Raises ValueError for an id that is not in the vocabulary."""
        ids = listed(ids)
        unknown = [id for id in ids if not 0 <= id < self.vocabulary]
        if unknown:
            raise ValueError(
                f"Id {unknown[0]} is not in this vocabulary of {self.vocabulary} "
                "characters. Was it made by another tokenizer?"
            )
        return "".join(self.symbols[id] for id in ids)
