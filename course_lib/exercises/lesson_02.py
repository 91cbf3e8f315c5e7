"""Exercises of lesson 02: looking vectors up, comparing them, steps between words."""

import torch
from torch.nn import functional as F

from course_lib import vectors as room
from course_lib.exercises.form import agrees, mistakes, tenths
from course_lib.exercises.kinds import Check, Exercise
from course_lib.vectors import cosine

# 02.look_up -------------------------------------------------------------------------

PRODUCT, KIND = "one_hot @ embedding", ".to(embedding.dtype)"
UNFIT = (
    "The shapes don't fit. A one-hot row has one place for each word and meets the matrix's "
    "rows: (T, N) @ (N, C), and nothing is transposed."
)
NEIGHBOUR = "It gives a neighbour's row: off by one. Ids count from 0."

LOOK_UP_MISTAKES = mistakes(
    room.look_up,
    ("a transposed product",
     "It is transposed: (C, T). Put the one-hot rows on the left of the product and the "
     "matrix on the right.",
     (PRODUCT, "embedding.T @ one_hot.T")),
    ("columns",
     "It takes columns, of N numbers each; a word's vector is a row of the matrix, C numbers.",
     (PRODUCT, "embedding.T[ids]")),
    ("as wide as the largest id",
     "Your one-hot rows end at the largest id, and the matrix has more rows than that. Make "
     "each one N wide: len(embedding).",
     (", len(embedding)", "")),
    ("as wide as the channels", UNFIT, ("len(embedding)", "embedding.shape[1]")),
    ("as wide as the text is long", UNFIT, ("len(embedding)", "len(ids)")),
    ("a transposed matrix", UNFIT, (PRODUCT, "one_hot @ embedding.T")),
    ("the matrix on the left", UNFIT, (PRODUCT, "embedding @ one_hot")),
    ("number by number", "* multiplies place by place; the matrix product is @.",
     (PRODUCT, "one_hot * embedding")),
    ("whole numbers times decimals",
     "The one-hot rows are whole numbers and the matrix is not, and a product wants one "
     "kind: .float() turns the rows into decimals.",
     (KIND, "")),
    ("a matrix of whole numbers",
     "These are whole numbers: the decimals of the matrix are lost. Turn the one-hot rows "
     "into decimals, not the matrix into whole numbers.",
     (KIND, ""), (PRODUCT, "one_hot @ embedding.long()")),
    ("off by one", NEIGHBOUR, (PRODUCT, "embedding[ids - 1]")),
    ("ids from 1", NEIGHBOUR, ("one_hot(ids,", "one_hot(ids - 1,")),
    ("past the end",
     "The last id, N - 1, reaches past the end: off by one. Ids count from 0.",
     ("one_hot(ids,", "one_hot(ids + 1,")),
    ("the first id only", "It gives the first id's row only. Give a row for each of the T ids.",
     ("one_hot(ids,", "one_hot(ids[0],")),
    ("rows added up",
     "The rows are added up into one. Each id needs a one-hot row of its own: (T, N).",
     (PRODUCT, "one_hot.sum(0) @ embedding")),
    ("the one-hot rows", "These are the one-hot rows themselves; multiply them by the matrix.",
     (" @ embedding", "")),
    ("each id once",
     "An id that stands in the text twice gives one row only. Give a row for each id, in the "
     "order of the ids.",
     (PRODUCT, "embedding[ids.unique()]")),
)  # fmt: skip


def finds_rows(*cases: tuple):
    """Make a check on ids and random rows: the lesson wants them to the last bit."""

    def draw(generator):
        return [(torch.tensor(ids), tenths(generator, *shape)) for ids, *shape in cases]

    return agrees(lambda ids, rows: rows[ids], draw, LOOK_UP_MISTAKES, tolerance=0.0)


LOOK_UP = Exercise(
    id="02.look_up",
    title="look up by multiplying",
    minutes=8,
    rule=(
        "`ids` (T) holds whole numbers from 0, `embedding` (N, C) a row for each of N "
        "words. Return (T, C), decimals: for each id its row, in the order of `ids`, as "
        "often as the id stands there. Do it by one matrix product: write each id as a row "
        "of N zeros with a single 1 at the id's place (`F.one_hot` helps, "
        "and gives whole numbers; a product wants decimals on both sides). "
        "(`embedding[ids]` gives the same numbers. It passes, and hides what is going on.)"
    ),
    reference=room.look_up,
    checks=(
        Check("picks rows", 2, "picks the row that each id names",
            "Which row is left when you multiply `[0, 0, 1, 0]` by a matrix of four rows? "
            "Try it on paper.",
            finds_rows(([1, 2, 3], 4, 2), ([0, 2], 3, 5), ([0, 1, 2], 3, 4))),
        Check("a row for each id", 1, "keeps the order of the ids, and those that repeat",
            "T ids make T one-hot rows, (T, N). Two equal ids make two equal rows.",
            finds_rows(([4, 0, 2, 4, 0], 5, 3), ([2, 0, 2], 3, 4))),
        Check("any matrix", 1, "takes as many words as there are",
            "A one-hot row is as wide as the matrix has rows: `len(embedding)`.",
            finds_rows(([1, 0, 1], 4, 2), ([3], 6, 3), ([17, 4], 500, 3))),
    ),
    wrong=LOOK_UP_MISTAKES,
)  # fmt: skip


# 02.cosine --------------------------------------------------------------------------

LENGTHS, DOT = "a.norm(dim=-1) * b.norm(dim=-1)", "(a * b).sum(-1)"
SHARE = f"{DOT} / lengths.clamp(min=1e-12)"
ONE_LENGTH = "It divides by one length only; divide by both."
ONE_PAIR = (
    "It takes one pair, but not a batch. a @ b is a dot product for two single vectors "
    "only; (a * b).sum(-1) is one for each pair."
)

COSINE_MISTAKES = mistakes(
    room.cosine,
    ("the dot product",
     "That is the dot product: twice as long a vector gets twice as much. Divide by both lengths.",
     (SHARE, DOT)),
    ("squared lengths",
     "It divides by the squared lengths: a length is the square root of the sum of squares.",
     (LENGTHS, "(a * a).sum(-1) * (b * b).sum(-1)")),
    ("a's length", ONE_LENGTH, (" * b.norm(dim=-1)", "")),
    ("b's length", ONE_LENGTH, ("a.norm(dim=-1) * ", "")),
    ("lengths added", "It divides by the sum of both lengths; divide by their product.",
     ("a.norm(dim=-1) * b", "a.norm(dim=-1) + b")),
    ("no brackets",
     "It divides by one length and multiplies by the other: put brackets around their product.",
     (SHARE, f"{DOT} / a.norm(dim=-1).clamp(min=1e-12) * b.norm(dim=-1)")),
    ("len(a)", "len(a) counts channels, or pairs; a vector's length is a.norm(dim=-1).",
     (LENGTHS, "torch.tensor(1.0 * len(a) * len(b))")),
    ("norm(-1)",
     "In a.norm(-1) the -1 is no axis, but another kind of length. Name it: a.norm(dim=-1).",
     (LENGTHS, "a.norm(-1) * b.norm(-1)")),
    ("the whole batch",
     "It gives one number for the whole batch. Add up over the last dimension only, dim=-1: "
     "one number for each pair.",
     (DOT, "(a * b).sum()"), (LENGTHS, "a.norm() * b.norm()")),
    ("the batch's length",
     "It divides by the length of the whole batch; norm(dim=-1) measures each vector.",
     (LENGTHS, "a.norm() * b.norm()")),
    ("the batch's products",
     "It adds up the products of the whole batch; (a * b).sum(-1) adds up each pair's.",
     (DOT, "(a * b).sum()")),
    ("one pair only", ONE_PAIR, (DOT, "a @ b")),
    ("torch.dot", ONE_PAIR, (DOT, "torch.dot(a, b)")),
    ("every pair",
     "It compares every vector of a with every vector of b; compare row 0 with row 0, row 1 "
     "with row 1: (a * b).sum(-1).",
     (SHARE, "F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).transpose(0, -1)")),
    ("over the pairs",
     "It gives a number for each channel: it adds up over the pairs. Add up over the "
     "channels, dim=-1.",
     (DOT, "(a * b).sum(0)"), (LENGTHS, "a.norm(dim=0) * b.norm(dim=0)")),
    ("dim=1",
     "A single pair has one dimension, so there is no dim=1. Count from the end: dim=-1 is "
     "the channels of one vector and of a batch.",
     (DOT, "(a * b).sum(1)"), (LENGTHS, "a.norm(dim=1) * b.norm(dim=1)")),
    ("nothing added up", "It gives a number for each channel; add the products up.",
     (SHARE, "a * b / lengths.clamp(min=1e-12).unsqueeze(-1)")),
    ("the distance",
     "That is the distance between the two ends. The cosine asks where they point, not how "
     "far apart they are.",
     (SHARE, "(a - b).norm(dim=-1)")),
    ("one minus the cosine", "That is one minus the cosine; return the cosine itself.",
     (SHARE, f"1 - {SHARE}")),
    ("the angle", "That is the angle; return its cosine.",
     (SHARE, f"torch.acos(({SHARE}).clamp(-1, 1))")),
    ("the absolute value", "Its sign is lost: two vectors that point apart have a cosine below 0.",
     (SHARE, f"({SHARE}).abs()")),
    ("NaN",
     "A vector of zeros gives NaN: its length is 0, and 0 / 0 is no number. Keep the "
     "divisor above 0, so that 0 comes out.",
     (".clamp(min=1e-12)", "")),
    ("an if",
     "It takes one pair, but not a batch: an if can't ask about several lengths at once. "
     "Keep every length above 0 with clamp, and no if is needed.",
     (SHARE, f"torch.tensor(0.0) if lengths == 0 else {DOT} / lengths")),
)  # fmt: skip


def torch_cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return F.cosine_similarity(a, b, dim=-1)


def pairs_of_vectors(generator):
    """A pair to do on paper (lengths 5 and 13), then some together, apart and parallel."""
    a, b, c = tenths(generator, 3, 3)
    return [
        (torch.tensor([3.0, 4.0]), torch.tensor([-12.0, 5.0])),
        *((a, b), (a, -b), (a / 10, b / 10), (c, 2 * c)),
        tuple(tenths(generator, 2, 50)),
    ]


def batches_of_pairs(generator):
    """Four pairs, a batch of one, and as many as the lesson compares."""
    return [tuple(tenths(generator, 2, *shape)) for shape in ((4, 3), (1, 4), (66, 50))]


def zeros_in_pairs(generator):
    (a, b), zero = tenths(generator, 2, 3, 3), torch.zeros(3)
    singles = [(a[0], zero), (zero, b[0]), (zero, zero)]
    b[0], a[1], b[2] = -a[0], 0.0, 0.0
    return [(a, b), *singles]


COSINE = Exercise(
    id="02.cosine",
    title="do they point the same way?",
    minutes=6,
    rule=(
        "Divide the dot product of two vectors by both of their lengths. `a` and `b` have "
        "the same shape: one pair, (C) and (C), or a batch of pairs, (B, C) and (B, C), "
        "row i with row i. Return a tensor of decimals, never a plain number: of shape () "
        "for one pair, (B) for a batch. Where a vector is all zeros, give 0.0, not NaN "
        "(“not a number”, what 0 / 0 gives)."
    ),
    reference=room.cosine,
    checks=(
        Check("one pair", 2, "divides the dot product by both lengths",
            "`(a * b).sum(-1)` is the dot product, `a.norm(dim=-1)` a length.",
            agrees(torch_cosine, pairs_of_vectors, COSINE_MISTAKES)),
        Check("a batch of pairs", 1, "takes a batch as well as a pair",
            "`dim=-1` works along the channels, however many dimensions stand before.",
            agrees(torch_cosine, batches_of_pairs, COSINE_MISTAKES)),
        Check("zeros", 1, "gives 0 where a vector points nowhere",
            "`lengths.clamp(min=1e-12)` is never 0, and 0 divided by it is 0.",
            agrees(torch_cosine, zeros_in_pairs, COSINE_MISTAKES)),
    ),
    wrong=COSINE_MISTAKES,
)  # fmt: skip


# 02.nearest -------------------------------------------------------------------------

COSINES = "F.normalize(vectors, dim=-1) @ F.normalize(query, dim=-1)"
ROWS = "similarity.topk(count).indices.tolist()"
RANKED = "similarity.argsort(descending=True)"

NEAREST_MISTAKES = mistakes(
    room.nearest,
    ("smallest first", "These are the farthest rows: the greatest cosine comes first.",
     (ROWS, "similarity.argsort()[:count].tolist()")),
    ("best last", "The rows are right, but the best comes last; put it first.",
     (ROWS, "similarity.argsort()[-count:].tolist()")),
    ("by dot product",
     "Long vectors win: it ranks by dot product. Bring the rows to length one, so that only "
     "their direction counts.",
     (COSINES, "vectors @ query")),
    ("by distance",
     "It ranks by distance, in which lengths count. Rank by where the rows point: by cosine.",
     (COSINES, "-(vectors - query).norm(dim=-1)")),
    ("by absolute value", "A row that points the opposite way is the farthest: no abs().",
     (COSINES, f"({COSINES}).abs()")),
    ("dim=1 of the query",
     "query has one axis, and normalize(…) takes dim=1 if nothing is said. Name it: dim=-1.",
     ("query, dim=-1", "query")),
    ("a tensor", "It is a Tensor; .tolist() turns it into a list of ints.", (".tolist()", "")),
    ("a list of tensors",
     "The list holds tensors; it should be a list of int: .tolist() on the whole, or int(…) "
     "on each.",
     (ROWS, "list(similarity.topk(count).indices)")),
    ("both of topk", "topk(…) gives two things, values and indices: take .indices.",
     (".indices.tolist()", "")),
    ("similarities", "These are similarities; give the numbers of the rows: topk(…).indices.",
     (".indices", ".values")),
    ("the rows", "These are the rows themselves; give their numbers: topk(…).indices.",
     (ROWS, "vectors[similarity.topk(count).indices]")),
    ("numbers from 1", "Row numbers count from 0; these count from 1.",
     (ROWS, f"[i + 1 for i in {ROWS}]")),
    ("one too few", "It gives one row less than asked for: one too few.",
     (ROWS, f"{RANKED}[: count - 1].tolist()")),
    ("all rows", "It gives all rows; give the first `count` only.", (ROWS, f"{RANKED}.tolist()")),
    ("the best left out", "It leaves out the best row; begin with it.",
     (ROWS, f"{RANKED}[1 : count + 1].tolist()")),
    ("itself left out",
     "A row that points exactly like the query is not there. Leave no row out, not even the "
     "query's own.",
     (ROWS, f"[i for i in {RANKED}.tolist() if similarity[i] < 0.9999][:count]")),
    ("an int for one", "For a count of 1 it gives an int; give a list, even of one.",
     (ROWS, "similarity.topk(count).indices.squeeze().tolist()")),
)  # fmt: skip


def cosines(query: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """The cosine of every row with a query, by torch: (N)."""
    return F.cosine_similarity(vectors.double(), query.double(), dim=-1)


def ranked(query: torch.Tensor, vectors: torch.Tensor, count: int) -> list[int]:
    scores = cosines(query, vectors).tolist()
    return sorted(range(len(vectors)), key=scores.__getitem__, reverse=True)[:count]


def rows_of_lengths(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Rows (N, C) of numbers with one decimal, some two or three times as long."""
    times = torch.randint(1, 4, (shape[0], 1), generator=generator)
    return tenths(generator, *shape) * times


def is_clear(query: torch.Tensor, vectors: torch.Tensor) -> bool:
    """Whether no two of the best rows are nearly as good, so that any rounding will do."""
    best = cosines(query, vectors).sort(descending=True).values[:8]
    return bool((best.diff() < -1e-3).all())


def search(generator: torch.Generator, rows: int, channels: int, count: int, own=0.0):
    """A query (C), rows (N, C), a count; with `own` the shortest row, times own, asks."""
    while True:
        vectors = rows_of_lengths(generator, rows, channels)
        shortest = vectors[vectors.norm(dim=-1).argmin()]
        query = own * shortest if own else tenths(generator, channels)
        if is_clear(query, vectors):
            return query, vectors, count


def compared(name: str, query, vectors, rows: list, right: list) -> str:
    """The cosines of the first wrong row and the right one; '' if it is no row's number."""
    pairs = [(row, other) for row, other in zip(rows, right) if row != other]
    if len(rows) != len(right) or not pairs or pairs[0][0] not in range(len(vectors)):
        return ""
    (row, other), scores = pairs[0], cosines(query, vectors)
    told = f"row {row} has a cosine of {scores[row]:.3f} with {name}"
    return f"{told}, row {other} of {scores[other]:.3f}"


def finds_neighbours(*cases: tuple):
    """Make a check on searches."""
    return agrees(
        ranked,
        lambda generator: [search(generator, *case) for case in cases],
        NEAREST_MISTAKES,
        why=lambda inputs, rows, right: compared("the query", *inputs[:2], rows, right),
    )


def nearest_plainly(
    query: torch.Tensor, vectors: torch.Tensor, count: int
) -> list[int]:
    similarity = [float(cosine(row, query)) for row in vectors]
    rows = sorted(range(len(vectors)), key=lambda i: similarity[i], reverse=True)
    return rows[:count]


NEAREST = Exercise(
    id="02.nearest",
    title="who are the neighbours?",
    minutes=8,
    rule=(
        "Find the `count` rows of `vectors` (N, C) whose cosine with `query` (C) is "
        "greatest. Return their row numbers, a `list` of `int`, best first; a list even "
        "where `count` is 1. Leave no row out: if the query is itself a row, that row "
        "comes first. It can be done without a loop."
    ),
    reference=room.nearest,
    plain=nearest_plainly,
    checks=(
        Check("direction decides", 2, "ranks rows by where they point, not by how long they are",
            "`torch.nn.functional.normalize(vectors, dim=-1)` brings each row to length one; "
            "`@ query` then gives N numbers, and `topk` the best of them.",
            finds_neighbours((7, 3, 3), (7, 3, 4), (7, 3, 5))),
        Check("as many as asked", 1, "gives as many rows as asked for",
            "What comes out for `count` = 1? `topk(count)` takes any count up to N.",
            finds_neighbours((6, 2, 1), (7, 3, 7), (5, 4, 2))),
        Check("its own row", 1, "puts the query's own row first",
            "A vector's cosine with itself is 1: nothing can be nearer.",
            finds_neighbours((6, 3, 2, 1.0), (6, 3, 1, 4.0), (1_000, 50, 7, 1.0), (6, 2, 2))),
    ),
    wrong=NEAREST_MISTAKES,
)  # fmt: skip


# 02.direction -----------------------------------------------------------------------

SPLIT, STEPS = "torch.tensor(pairs).T", "(vectors[second] - vectors[first])"
ONE_SIDE = (
    "That is the mean of one side's words, a place. A step is a difference: second minus "
    "first."
)
AS_LONG = "It was brought to length one; give the mean step as long as it is."

DIRECTION_MISTAKES = mistakes(
    room.direction,
    ("first minus second", "It points backwards: first minus second. Take second minus first.",
     (STEPS, "(vectors[first] - vectors[second])")),
    ("the sum", "That is the sum of all steps; divide by the number of pairs.",
     (".mean(0)", ".sum(0)")),
    ("the first pair", "That is the first pair's step only; take the mean over all pairs.",
     (".mean(0)", "[0]")),
    ("the last pair", "That is the last pair's step only: does your loop write over the others?",
     (".mean(0)", "[-1]")),
    ("over the channels",
     "It gives a number for each pair: a mean over the channels. Take the mean over the "
     "pairs, dim 0, so that C numbers are left.",
     (".mean(0)", ".mean(-1)")),
    ("no mean", "It gives a step for each pair; take their mean: mean(0).", (".mean(0)", "")),
    ("one number", "It gives one number; take the mean over the pairs only: mean(0).",
     (".mean(0)", ".mean()")),
    ("the second words", ONE_SIDE, (STEPS, "vectors[second]")),
    ("the first words", ONE_SIDE, (STEPS, "vectors[first]")),
    ("the middle", "That is the middle between the words; take their difference.",
     (STEPS, "((vectors[second] + vectors[first]) / 2)")),
    ("length one", AS_LONG, (f"{STEPS}.mean(0)", f"F.normalize({STEPS}.mean(0), dim=-1)")),
    ("steps of length one", "Every " + AS_LONG[0].lower() + AS_LONG[1:],
     (STEPS, f"F.normalize({STEPS}, dim=-1)")),
    ("tuples of rows",
     "A tuple of row numbers, or the list of pairs itself, does not take rows: "
     "vectors[(3, 5)] is row 3, channel 5. Use a list or a tensor of row numbers, or go "
     "through the pairs one by one.",
     (SPLIT, "zip(*pairs)")),
    ("a row for each pair",
     "torch.tensor(pairs) has a row for each pair. Turn it with .T, and it has two rows: all "
     "the first words, and all the second.",
     (SPLIT, "torch.tensor(pairs)")),
    ("a dict of pairs",
     "A word that is first in two pairs was counted once: a dict keeps one pair for each "
     "key. Every pair counts.",
     (SPLIT, "torch.tensor(list(dict(pairs).items())).T")),
    ("a set of pairs",
     "A pair that stands twice in the list was counted once: a set keeps one of each. Every "
     "pair counts.",
     (SPLIT, "torch.tensor(sorted(set(pairs))).T")),
)  # fmt: skip


def mean_step(vectors: torch.Tensor, pairs: list[tuple[int, int]]) -> torch.Tensor:
    steps = [vectors[second] - vectors[first] for first, second in pairs]
    return sum(steps) / len(steps)


def averages(*cases: tuple):
    """Make a check on pairs and random rows."""

    def draw(generator):
        return [(tenths(generator, *shape), pairs) for pairs, *shape in cases]

    return agrees(mean_step, draw, DIRECTION_MISTAKES)


def hidden_step(generator):
    """Eight pairs with a step and some noise; and pairs that share a word, or all."""
    vectors, pairs = tenths(generator, 20, 6), [(i, i + 8) for i in range(8)]
    noise = tenths(generator, 8, 6, most=0.5)
    vectors[8:16] = vectors[:8] + tenths(generator, 6) + noise
    few = tenths(generator, 6, 3)
    return [
        (vectors, [*pairs, (0, 9)]),
        (few, [(1, 4), (1, 0), (3, 2)]),
        (few, [(1, 4), (3, 2), (1, 4)]),
    ]


def direction_plainly(
    vectors: torch.Tensor, pairs: list[tuple[int, int]]
) -> torch.Tensor:
    steps = [vectors[second] - vectors[first] for first, second in pairs]
    return torch.stack(steps).mean(dim=0)  # (pairs, C) → (C)


DIRECTION = Exercise(
    id="02.direction",
    title="the direction of the plural",
    minutes=6,
    rule=(
        "`vectors` (N, C) has a row for each word, and `pairs` is a list of "
        "`(first, second)`, both row numbers: cat and cats, car and cars. Return the mean "
        "over all pairs of the step from first to second, the second's row minus the "
        "first's: a tensor (C), not brought to length one. There is at least one pair; a "
        "word may stand in several, and each pair counts."
    ),
    reference=room.direction,
    plain=direction_plainly,
    checks=(
        Check("the mean over pairs", 1, "takes the mean over all pairs, channel by channel",
            "Put the steps in a tensor (pairs, C): `torch.stack([…])` makes one tensor of "
            "several. Which dimension should go?",
            averages(([(2, 0)], 3, 2), ([(1, 0), (2, 3)], 4, 2), ([(0, 3), (5, 1), (2, 6)], 8, 3),
                     ([(i, 999 - i) for i in range(12)], 1_000, 50))),
        Check("second minus first", 1, "steps from the first word to the second",
            "first + step should be second. What is step?",
            averages(([(3, 1)], 4, 3), ([(0, 2)], 5, 2))),
        Check("a hidden step", 2, "finds a step that was hidden in eight noisy pairs",
            "Does each pair count once, also where a word stands in two of them?",
            agrees(mean_step, hidden_step, DIRECTION_MISTAKES)),
    ),
    wrong=DIRECTION_MISTAKES,
)  # fmt: skip


# 02.analogy -------------------------------------------------------------------------

UNIT, BEST = "unit = F.normalize(vectors, dim=-1)", "int(similarity.argmax())"
POINT, RAW = "unit[b] - unit[a] + unit[c]", "vectors[b] - vectors[a] + vectors[c]"
OUT = "similarity[[a, b, c]] = -torch.inf"
UNEVEN = (
    "Long rows outweigh short ones. Bring every row to length one first, then take b - a + "
    "c, and compare it with rows of length one."
)
INPUT = (
    "The answer is one of the inputs, which stand near b - a + c by themselves. Unless "
    "leave_out is False, leave out all three: a, b and c."
)
TOO_HIGH = (
    "The inputs still win where all other similarities are lower than the number you give "
    "them (they can be below -1 here): take -torch.inf, below which there is nothing."
)

ANALOGY_MISTAKES = mistakes(
    room.analogy,
    ("a - b + c", "It goes backwards, a - b + c; the step is from a to b: b - a.",
     (POINT, "unit[a] - unit[b] + unit[c]")),
    ("the step alone", "It compares rows with the step, b - a; start it at c: b - a + c.",
     (POINT, "unit[b] - unit[a]")),
    ("lengths left in b - a + c", UNEVEN, (POINT, RAW)),
    ("dot products of raw rows", UNEVEN, (UNIT, "unit = vectors")),
    ("distance between raw rows", UNEVEN,
     (f"unit @ ({POINT})", f"-(vectors - ({RAW})).norm(dim=-1)")),
    ("compared with raw rows", UNEVEN, ("unit @", "vectors @")),
    ("a row in the shorter matrix",
     "Without the inputs' rows, all later rows move up, and their numbers change. Keep every "
     "row, and give the inputs a similarity of -torch.inf.",
     (OUT, "similarity = similarity[[i for i in range(len(unit)) if i not in (a, b, c)]]")),
    ("the farthest row", "That is the row that points least like it: argmax.",
     ("-torch.inf", "torch.inf"), ("argmax", "argmin")),
    ("inputs not left out", INPUT, (OUT, "pass")),
    ("only c left out", INPUT, ("[[a, b, c]]", "[c]")),
    ("0 for the inputs", TOO_HIGH, ("-torch.inf", "0")),
    ("-1 for the inputs", TOO_HIGH, ("-torch.inf", "-1")),
    ("always left out",
     "With leave_out=False the inputs may win, and here one is nearest. It leaves them out "
     "all the same: does your code look at leave_out?",
     ("if leave_out:", "if True:")),
    ("no default",
     "leave_out has lost its default, and a call with four arguments fails. Keep "
     "leave_out=True in the first line.",
     ("leave_out: bool = True", "leave_out: bool")),
    ("a tensor", "It is a Tensor; int(…) turns it into the row's number.",
     (BEST, "similarity.argmax()")),
    ("the row", "That is the row itself; return its number: int(similarity.argmax()).",
     (BEST, "vectors[similarity.argmax()]")),
    ("its similarity", "That is a similarity; return the row's number: int(similarity.argmax()).",
     (BEST, "similarity.max()")),
    ("works in place",
     "It changed the matrix it was given, and whoever uses that next gets other numbers. "
     "`vectors /= …` works on the matrix itself; make a new one: unit = vectors / …",
     (UNIT, "unit = vectors\n    unit /= unit.norm(dim=-1, keepdim=True)")),
    ("the inputs' rows overwritten",
     "It overwrites the inputs' rows in the matrix it was given, and whoever uses that next "
     "gets other numbers. Change the similarities, not the vectors.",
     (OUT, f"{OUT}\n        vectors[[a, b, c]] = 0")),
)  # fmt: skip


def point_of(vectors: torch.Tensor, a: int, b: int, c: int) -> torch.Tensor:
    """Where b - a + c ends, all rows brought to length one: (C)."""
    a, b, c = vectors[[a, b, c]].double()
    return b / b.norm() - a / a.norm() + c / c.norm()


def best_row(vectors, a, b, c, leave_out=True) -> int:
    order = ranked(point_of(vectors, a, b, c), vectors, 4)
    return next(row for row in order if not (leave_out and row in (a, b, c)))


def question(generator: torch.Generator, rows: int, channels: int, first: str) -> tuple:
    """Rows (N, C) and three of their numbers, drawn until they rank as `first` says.

    "bca": b is nearest to b - a + c, then c, then a. Other rows are "-", or "<" where the
    similarity is below -1, so that no number but -torch.inf is low enough for the inputs.
    """
    while True:
        vectors = rows_of_lengths(generator, rows, channels)
        a, b, c = torch.randperm(rows, generator=generator)[:3].tolist()
        point = point_of(vectors, a, b, c)
        scores = (cosines(point, vectors) * point.norm()).tolist()
        names = ["<" if score < -1.01 else "-" for score in scores]
        names[a], names[b], names[c] = "abc"
        best = ranked(point, vectors, len(first))
        if first == "".join(names[row] for row in best) and is_clear(point, vectors):
            return vectors, a, b, c


def answers(*cases: tuple, switches: tuple = ((),), after: bool = False):
    """Make a check on questions, with leave_out or without."""

    def draw(generator):
        asked = [question(generator, *case) for case in cases]
        return [(*one, *switch) for one in asked for switch in switches]

    def why(inputs, row, right):
        if row in inputs[1:4] and inputs[4:] != (False,):
            name = "abc"[inputs[1:4].index(row)]
            return f"row {row} is the input {name}, and no input may be the answer"
        return compared("b - a + c", point_of(*inputs[:4]), inputs[0], [row], [right])

    return agrees(best_row, draw, ANALOGY_MISTAKES, after=after, why=why)


WON_BY_INPUTS = (
    (300, 50, "bc"), (300, 50, "cb"), (20, 6, "bc"), (20, 6, "cb"), (8, 3, "bc"), (8, 3, "cb"),
    (4, 3, "cba<"), (4, 2, "bca<"),
)  # fmt: skip

ANALOGY = Exercise(
    id="02.analogy",
    title="a is to b as c is to …",
    minutes=10,
    rule=(
        "`vectors` (N, C) has a row for each word; `a`, `b` and `c` are row numbers. Bring "
        "every row to length one first, in a new matrix (`vectors` itself must stay as it "
        "is). Then return the number of the row that points most like b - a + c, an `int`. "
        "Unless `leave_out` is `False`, none of the three inputs may be the answer; with "
        "`leave_out=False` they may win."
    ),
    reference=room.analogy,
    checks=(
        Check("finds the answer", 2,
            "follows the step from a to b, starting at c, whatever the lengths",
            "`unit = torch.nn.functional.normalize(vectors, dim=-1)`; then use `unit` and "
            "never `vectors`.",
            answers((8, 3, "-"), (8, 3, "-"), (6, 4, "-"), *(3 * ((60, 4, "-"),)))),
        Check("the inputs are left out", 1, "never answers with one of its inputs",
            "A similarity of `-torch.inf` can't win.",
            answers(*WON_BY_INPUTS)),
        Check("the switch", 1, "lets the inputs win when told to",
            "`if leave_out:` stands before the line that leaves them out.",
            answers(*WON_BY_INPUTS, switches=((False,),))),
        Check("the matrix stays", 1, "leaves the matrix as it was",
            "`/=` and `vectors[…] = …` change the matrix that the caller still uses.",
            answers((8, 3, "bc"), switches=((True,), (False,)), after=True)),
    ),
    wrong=ANALOGY_MISTAKES,
    keywords=("leave_out",),
)  # fmt: skip

EXERCISES = (LOOK_UP, COSINE, NEAREST, DIRECTION, ANALOGY)
