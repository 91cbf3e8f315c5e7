"""Word vectors: looked up, compared, added, trained from scratch.

Built in lesson 02. The trained ones are GloVe (Pennington, Socher & Manning 2014): 50
numbers for each of the 50,000 most frequent words of Wikipedia (2014) and news (to 2010).

N words, C channels.
Sources: Mikolov et al. 2013a (skip-gram; analogies, section 4), 2013b (negative
sampling).
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn import functional as F
from tqdm import trange

from course_lib.files import cache, snappy, sources

GLOVE_WORDS = 50_000  # the most frequent of 400,000


def look_up(ids: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
    """Rows of a matrix by a matrix product: ids (T), embedding (N, C) → (T, C).

    A row of zeros with a single one, times the matrix, is one row of the matrix. It gives
    what embedding[ids] gives, which only copies.
    """
    one_hot = F.one_hot(ids, len(embedding)).to(embedding.dtype)  # (T, N)
    return one_hot @ embedding


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """How far two vectors point the same way, from -1 to 1: (…, C), (…, C) → (…).

    The dot product over both lengths. A vector of zeros points nowhere: its cosine is 0.
    """
    lengths = a.norm(dim=-1) * b.norm(dim=-1)
    return (a * b).sum(-1) / lengths.clamp(min=1e-12)


def nearest(query: torch.Tensor, vectors: torch.Tensor, count: int) -> list[int]:
    """The rows of `vectors` (N, C) that point most like `query` (C), best first.

    One product compares the query with all rows at once. Raises ValueError for more
    rows than there are.
    """
    if not 1 <= count <= len(vectors):
        raise ValueError(
            f"You ask for {count:,} of {len(vectors):,} rows: give a number from 1 to "
            f"{len(vectors):,}."
        )
    similarity = F.normalize(vectors, dim=-1) @ F.normalize(query, dim=-1)  # (N)
    return similarity.topk(count).indices.tolist()


def direction(vectors: torch.Tensor, pairs: list[tuple[int, int]]) -> torch.Tensor:
    """The mean step from the first to the second of each pair of rows: (C).

    The pairs (cat, cats), (car, cars), … give the direction of the plural.
    """
    first, second = torch.tensor(pairs).T  # (pairs) and (pairs)
    return (vectors[second] - vectors[first]).mean(0)


def analogy(
    vectors: torch.Tensor, a: int, b: int, c: int, leave_out: bool = True
) -> int:
    """The row that is to c as b is to a: man, woman, king → queen, if all goes well.

    The row of `vectors` (N, C), each first brought to length one, that points most like
    b - a + c. The three inputs stand near that point themselves; `leave_out` keeps them
    from being the answer.
    """
    unit = F.normalize(vectors, dim=-1)
    similarity = unit @ (unit[b] - unit[a] + unit[c])  # (N)
    if leave_out:
        similarity[[a, b, c]] = -torch.inf
    return int(similarity.argmax())


@dataclass(frozen=True)
class WordVectors:
    """Words and a vector for each: row i of `vectors` (N, C) belongs to words[i]."""

    words: list[str]
    vectors: torch.Tensor

    def __post_init__(self):
        object.__setattr__(self, "_ids", {word: i for i, word in enumerate(self.words)})

    def id(self, word: str) -> int:
        """The row of a word; raises KeyError, in a sentence, for one that has none."""
        if word not in self._ids:
            raise KeyError(
                f"{word!r} is not among these {len(self.words):,} words. "
                "Is it in small letters, and one word?"
            )
        return self._ids[word]

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def __getitem__(self, word: str) -> torch.Tensor:
        """The vector of a word: (C)."""
        return self.vectors[self.id(word)]

    def near(self, word: str, count: int = 8) -> list[str]:
        """The words whose vectors point most like this word's, itself left out."""
        count = min(count, len(self.words) - 1)
        rows = nearest(self[word], self.vectors, count + 1)
        return [self.words[i] for i in rows if self.words[i] != word][:count]


def glove() -> WordVectors:
    """GloVe's 50,000 most frequent words, as vectors (50000, 50), float32.

    The first call fetches 76 MB and keeps 10 MB. Raises Problem if there is
    neither a cache nor a network.
    """
    words = _read(cache.made(sources.GLOVE, _keep_glove))
    for file in sources.PASSING:  # 84 MB that nobody needs now
        with contextlib.suppress(OSError):
            (cache.folder() / file.name).unlink(missing_ok=True)
    return words


def _read(path: Path) -> WordVectors:
    with safe_open(path, framework="pt") as file:
        words = file.metadata()["words"].split("\n")
        return WordVectors(words, file.get_tensor("vectors"))


def _keep_glove(path: Path) -> None:
    """Write the most frequent words of GloVe to `path`, words among the metadata."""
    listed = cache.checked(sources.GLOVE_WORDS).read_bytes()
    words = snappy.words(listed, GLOVE_WORDS)
    every = cache.checked(sources.GLOVE_VECTORS)
    # No name may keep the file open: Windows would not let it be deleted.
    numbers = np.array(np.load(every, mmap_mode="r")[:GLOVE_WORDS], order="C")
    vectors = torch.from_numpy(numbers)  # (50000, 50); the file goes by columns
    save_file({"vectors": vectors}, path, metadata={"words": "\n".join(words)})


# Training: skip-gram with negative sampling -------------------------------------------


def draw_pairs(
    ids: torch.Tensor, window: int, count: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw `count` words and, for each, one of its neighbours: two (count) of ids.

    ids (T) is a text; a neighbour stands up to `window` places to the left or right.
    Raises ValueError if no place has so many on both sides.
    """
    check_length(ids, window)
    place = torch.randint(window, len(ids) - window, (count,), generator=generator)
    step = torch.randint(1, window + 1, (count,), generator=generator)
    side = 2 * torch.randint(2, (count,), generator=generator) - 1  # left or right
    return ids[place], ids[place + side * step]


def check_length(ids: torch.Tensor, window: int) -> None:
    """Raise ValueError if no word of a text has `window` words on both sides."""
    if window < 1 or len(ids) <= 2 * window:
        raise ValueError(
            f"{len(ids):,} words are left of this text, and a window of {window} needs at "
            f"least {2 * window + 1}: give a longer text, or another window, from 1 up."
        )


def skip_gram_loss(
    word: torch.Tensor, neighbour: torch.Tensor, strangers: torch.Tensor
) -> torch.Tensor:
    """Low if a word's vector fits its neighbour's and no stranger's.

    word (B, C), neighbour (B, C), strangers (B, K, C). The dot product is read as the
    log-odds that two words stand together (Mikolov et al. 2013b, equation 4).
    """
    together = (word * neighbour).sum(-1)  # (B)
    apart = (strangers @ word.unsqueeze(-1)).squeeze(-1)  # (B, K)
    return -(F.logsigmoid(together) + F.logsigmoid(-apart).sum(-1)).mean()


def skip_gram(
    ids: torch.Tensor,
    words: int,
    generator: torch.Generator,
    channels: int = 50,
    steps: int = 2_500,
    window: int = 4,
    batch: int = 1_024,
    strangers: int = 5,
    bar: bool = True,
) -> torch.Tensor:
    """Train a vector for each of `words` words from a text of ids (T): (words, channels).

    Frequent words are skipped now and then, and strangers are drawn by frequency to the
    power ¾ (Mikolov et al. 2013b, sections 2.2 and 2.3). About 7 ms a step on two cores.
    Raises ValueError if too little of the text is left.
    """
    share = torch.bincount(ids, minlength=words) / len(ids)  # (words)
    keep = (1e-3 / share.clamp(min=1e-9)).sqrt()  # drop most of the most frequent
    text = ids[torch.rand(len(ids), generator=generator) < keep[ids]]
    start = torch.rand(words, channels, generator=generator) - 0.5
    word = (start / channels).requires_grad_()
    context = torch.zeros(words, channels, requires_grad=True)
    optimizer = torch.optim.Adam([word, context], lr=0.01)
    odds = share**0.75  # rarer words come up a little more often
    for _ in trange(steps, desc="skip-gram", delay=2, disable=not bar):
        a, b = draw_pairs(text, window, batch, generator)
        drawn = torch.multinomial(odds, batch * strangers, True, generator=generator)
        others = context[drawn.view(batch, strangers)]  # (B, K, C)
        loss = skip_gram_loss(word[a], context[b], others)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return word.detach()


# The analogy list -----------------------------------------------------------------------

# Pairs that we wrote down; every two pairs of a kind make a question.
PAIRS = {
    "capital": "France Paris, Italy Rome, Spain Madrid, Germany Berlin, Japan Tokyo, "
    "China Beijing, Russia Moscow, Egypt Cairo, England London, Greece Athens, "
    "Portugal Lisbon, Cuba Havana",
    "plural": "cat cats, dog dogs, car cars, tree trees, book books, house houses, "
    "child children, man men, bird birds, city cities, student students, window windows",
    "man and woman": "king queen, man woman, boy girl, father mother, son daughter, "
    "brother sister, uncle aunt, he she, actor actress, husband wife, "
    "prince princess, his her",
    "more": "big bigger, small smaller, fast faster, slow slower, high higher, "
    "low lower, long longer, short shorter, old older, young younger, strong stronger, "
    "hard harder",
    "past": "walk walked, play played, go went, see saw, take took, give gave, "
    "make made, say said, write wrote, come came, run ran, begin began",
}


def questions(kind: str) -> list[tuple[str, str, str, str]]:
    """All questions of a kind: (a, b, c, d), "a is to b as c is to …", d the answer."""
    pairs = [tuple(pair.split()) for pair in PAIRS[kind].split(", ")]
    return [(*one, *other) for one in pairs for other in pairs if one != other]


def hit_rate(
    vectors: WordVectors, asked: list[tuple[str, str, str, str]], leave_out: bool = True
) -> float:
    """The share of questions whose answer is the nearest word, from 0 to 1.

    The same as asking analogy() one by one, all at once: two seconds instead of a minute.
    Raises KeyError for a question with a word that has no vector.
    """
    rows = torch.tensor([[vectors.id(word) for word in q] for q in asked])  # (Q, 4)
    rows = rows.to(vectors.vectors.device)
    a, b, c, d = rows.T
    unit = F.normalize(vectors.vectors, dim=-1)
    similarity = (unit[b] - unit[a] + unit[c]) @ unit.T  # (Q, N)
    if leave_out:
        similarity.scatter_(1, rows[:, :3], -torch.inf)
    return float((similarity.argmax(1) == d).float().mean())
