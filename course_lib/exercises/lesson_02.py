"""Exercises of lesson 02: looking vectors up, comparing them, steps between words."""

import math

import torch
from torch.nn import functional as F

from course_lib import vectors as room
from course_lib.exercises.legacy import (
    Check,
    Exercise,
    Mistake,
    Wrong,
    alike,
    want_equal,
    want_near,
    want_tensor,
    want_type,
)


def close(value: float, other: float) -> bool:
    return math.isclose(value, other, rel_tol=1e-4, abs_tol=1e-4)


# 02.look_up -------------------------------------------------------------------------


def runs(answer, *inputs) -> bool:
    """Whether an answer takes these inputs without an error."""
    try:
        answer(*inputs)
    except Exception:
        return False
    return True


def looked_up(look_up, ids, embedding):
    """What an answer gives; where the product fails, the likely reason in words."""
    words, channels = embedding.shape
    ends = torch.tensor([0, words - 1])
    try:
        return look_up(ids.clone(), embedding.clone())
    except (RuntimeError, IndexError) as error:
        if runs(look_up, ids.clone(), embedding.long()):
            raise Mistake(
                "The one-hot rows are whole numbers and the matrix is not, and a product "
                "wants one kind: .float() turns the rows into decimals."
            ) from None
        if any(runs(look_up, ends, m) for m in (embedding.clone(), embedding.long())):
            raise Mistake(
                f"Your one-hot rows end at the largest id, {int(ids.max())}, but the "
                f"matrix has {words} rows. Make each one {words} wide: len(embedding)."
            ) from None
        if runs(look_up, ids - 1, embedding.clone()):
            raise Mistake(
                f"The last id, {words - 1}, reaches past the end: off by one. Ids count "
                "from 0."
            ) from None
        if "multiplied" in str(error):
            raise Mistake(
                f"The shapes don't fit ({error}). A one-hot row has one place for each "
                f"word and meets the matrix's rows: (T, {words}) @ ({words}, {channels}), "
                "and nothing is transposed."
            ) from None
        raise


def hold_rows(value, ids, embedding):
    """Raise Mistake unless `value` (T, C) holds the rows that `ids` (T) name."""
    what, right = "look_up(ids, embedding)", embedding[ids]
    want_type(value, torch.Tensor, what)
    shape = tuple(value.shape)
    (count, channels), words = right.shape, len(embedding)
    if alike(value.flatten(), right[0]) and count > 1:
        raise Mistake(f"It gives the first id's row only; there are {count} ids.")
    if alike(value.flatten(), right.sum(0)) and count > 1:
        raise Mistake(
            "The rows are added up into one. Each id needs a one-hot row of its own: (T, N)."
        )
    if alike(value, right.T) and count != channels:
        raise Mistake(
            "It is transposed: (C, T). Put the one-hot rows on the left of the product and "
            "the matrix on the right."
        )
    if alike(value, F.one_hot(ids, words)):
        raise Mistake(
            "These are the one-hot rows themselves; multiply them by the matrix."
        )
    if shape in ((count, words), (words, count)):
        raise Mistake(
            f"It takes columns, of {words} numbers each; a word's vector is a row of the "
            f"matrix, {channels} numbers."
        )
    if shape == (len(ids.unique()), channels) and shape != (count, channels):
        raise Mistake(
            "An id that stands in the text twice gives one row only. Give a row for each "
            "id, in the order of the ids."
        )
    if not value.is_floating_point():
        raise Mistake(
            "These are whole numbers: the decimals of the matrix are lost. Turn the "
            "one-hot rows into decimals, not the matrix into whole numbers."
        )
    if alike(value, embedding.roll(1, 0)[ids]) or alike(
        value, embedding.roll(-1, 0)[ids]
    ):
        raise Mistake("It gives a neighbour's row: off by one. Ids count from 0.")
    want_near(value, right, what)


def picks_rows(look_up, generator):
    embedding = 3 * torch.randn(7, 9, generator=generator)
    others = torch.randperm(5, generator=generator)[:4] + 1
    ids = torch.cat([others.sort().values, torch.tensor([6])])
    hold_rows(looked_up(look_up, ids, embedding), ids, embedding)


def keeps_order_and_repeats(look_up, generator):
    embedding = 3 * torch.randn(6, 4, generator=generator)
    ids = torch.tensor([0, 5, 1, 2, 3, 4, 5, 0])  # the first and last word, twice each
    ids = ids[torch.randperm(8, generator=generator)]
    hold_rows(looked_up(look_up, ids, embedding), ids, embedding)


def takes_any_matrix(look_up, generator):
    embedding = 3 * torch.randn(500, 3, generator=generator)
    low = torch.randint(20, (2,), generator=generator)  # far from the last word
    hold_rows(looked_up(look_up, low, embedding), low, embedding)
    one = torch.randint(500, (1,), generator=generator)
    hold_rows(looked_up(look_up, one, embedding), one, embedding)


def wrong_transposed(ids, embedding):
    return embedding.T @ F.one_hot(ids, len(embedding)).float().T


def wrong_columns(ids, embedding):
    return embedding.T[ids]


def wrong_narrow(ids, embedding):
    return F.one_hot(ids).float() @ embedding


def wrong_flipped_matrix(ids, embedding):
    return F.one_hot(ids, len(embedding)).float() @ embedding.T


def wrong_width(ids, embedding):
    return F.one_hot(ids, embedding.shape[1]).float() @ embedding


def wrong_kinds(ids, embedding):
    return F.one_hot(ids, len(embedding)) @ embedding


def wrong_whole_numbers(ids, embedding):
    return F.one_hot(ids, len(embedding)) @ embedding.long()


def wrong_neighbour(ids, embedding):
    return embedding[ids - 1]


def wrong_past_the_end(ids, embedding):
    return F.one_hot(ids + 1, len(embedding)).float() @ embedding


def wrong_first_id(ids, embedding):
    one_hot = torch.zeros(len(embedding))
    one_hot[ids[0]] = 1.0
    return one_hot @ embedding


def wrong_sum(ids, embedding):
    return F.one_hot(ids, len(embedding)).sum(0).float() @ embedding


def wrong_one_hot(ids, embedding):
    return F.one_hot(ids, len(embedding)).float()


def wrong_no_repeats(ids, embedding):
    return embedding[ids.unique()]


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
        Check(
            name="picks rows",
            points=2,
            proves="picks the row that each id names",
            hint="Which row is left when you multiply `[0, 0, 1, 0]` by a matrix of four "
            "rows? Try it on paper.",
            run=picks_rows,
        ),
        Check(
            name="a row for each id",
            points=1,
            proves="keeps the order of the ids, and those that repeat",
            hint="T ids make T one-hot rows, (T, N). Two equal ids make two equal rows.",
            run=keeps_order_and_repeats,
        ),
        Check(
            name="any matrix",
            points=1,
            proves="takes as many words as there are",
            hint="A one-hot row is as wide as the matrix has rows: `len(embedding)`.",
            run=takes_any_matrix,
        ),
    ),
    wrong=(
        Wrong("a transposed product", wrong_transposed, "It is transposed"),
        Wrong("columns", wrong_columns, "It takes columns"),
        Wrong("as wide as the largest id", wrong_narrow, "end at the largest id"),
        Wrong("a transposed matrix", wrong_flipped_matrix, "nothing is transposed"),
        Wrong("as wide as the channels", wrong_width, "one place for each word"),
        Wrong("whole numbers times decimals", wrong_kinds, "wants one kind"),
        Wrong(
            "a matrix of whole numbers", wrong_whole_numbers, "decimals of the matrix"
        ),
        Wrong("off by one", wrong_neighbour, "off by one"),
        Wrong("past the end", wrong_past_the_end, "reaches past the end"),
        Wrong("the first id only", wrong_first_id, "the first id's row only"),
        Wrong("rows added up", wrong_sum, "added up into one"),
        Wrong("the one-hot rows", wrong_one_hot, "the one-hot rows themselves"),
        Wrong("each id once", wrong_no_repeats, "a row for each id"),
    ),
)


# 02.cosine --------------------------------------------------------------------------


def some_pairs(
    generator: torch.Generator, count: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pairs of vectors with cosines made to measure: (count, 6), (count, 6), (count).

    The cosines are 0.3 to 0.9 away from 0, above and below by turns; no length is near 1.
    """
    a, side = F.normalize(
        torch.randn(2, count, 6, generator=generator).double(), dim=-1
    )
    side = F.normalize(side - (side * a).sum(-1, keepdim=True) * a, dim=-1)
    sign = torch.tensor([1.0, -1.0]).repeat(count)[:count]
    cosines = (sign * (0.3 + 0.6 * torch.rand(count, generator=generator))).double()
    b = cosines[:, None] * a + (1 - cosines[:, None] ** 2).sqrt() * side
    lengths = 2 + 2 * torch.rand(2, count, 1, generator=generator)
    return (lengths[0] * a).float(), (lengths[1] * b).float(), cosines.float()


def one_pair(cosine, generator):
    what = "cosine(a, b) of two vectors (C)"
    for a, b, wanted in zip(*some_pairs(generator, 2)):
        try:
            value = cosine(a.clone(), b.clone())
        except IndexError as error:
            if "Dimension out of range" not in str(error):
                raise
            raise Mistake(
                "A single pair has one dimension, so there is no dim=1. Count from the "
                "end: dim=-1 is the channels of one vector and of a batch."
            ) from None
        want_type(value, torch.Tensor, what)
        if tuple(value.shape) == (6,):
            raise Mistake("It gives a number for each channel; add the products up.")
        want_tensor(value, (), what)
        said, right = float(value), float(wanted)
        long_a, long_b, dot = float(a.norm()), float(b.norm()), float(a @ b)
        if close(said, right):
            continue
        if close(said, dot):
            raise Mistake(
                "That is the dot product: twice as long a vector gets twice as much. "
                "Divide by both lengths."
            )
        if close(said, dot / long_a) or close(said, dot / long_b):
            raise Mistake("It divides by one length only; divide by both.")
        if close(said, dot / (long_a * long_b) ** 2):
            raise Mistake(
                "It divides by the squared lengths: a length is the square root of the sum "
                "of squares."
            )
        if close(said, float((a - b).norm())):
            raise Mistake(
                "That is the distance between the two ends. The cosine asks where they "
                "point, not how far apart they are."
            )
        if close(said, 1 - right):
            raise Mistake("That is one minus the cosine; return the cosine itself.")
        if close(said, math.acos(right)):
            raise Mistake("That is the angle; return its cosine.")
        if close(said, abs(right)):
            raise Mistake(
                "Its sign is lost: two vectors that point apart have a cosine below 0."
            )
        want_near(value, wanted, what)


def a_batch_of_pairs(cosine, generator):
    a, b, wanted = some_pairs(generator, 4)
    what = "cosine(a, b) of four pairs, (4, 6) and (4, 6),"
    try:
        value = cosine(a.clone(), b.clone())
    except RuntimeError as error:
        if "Boolean value" in str(error):
            raise Mistake(
                "It takes one pair, but not a batch: an if can't ask about four lengths at "
                "once. Keep every length above 0 with clamp, and no if is needed."
            ) from None
        raise Mistake(
            f"It takes one pair, but not a batch ({error}). a @ b is a dot product for two "
            "single vectors only; (a * b).sum(-1) is one for each pair."
        ) from None
    want_type(value, torch.Tensor, what)
    shape = tuple(value.shape)
    if shape == ():
        raise Mistake(
            "It gives one number for the whole batch. Add up over the last dimension only, "
            "dim=-1: one number for each pair."
        )
    if shape == (6,):
        raise Mistake(
            "It gives a number for each channel: it adds up over the pairs. Add up over "
            "the channels, dim=-1."
        )
    if shape == (4, 4):
        raise Mistake(
            "It compares every vector of a with every vector of b; compare row 0 with row "
            "0, row 1 with row 1: (a * b).sum(-1)."
        )
    want_tensor(value, (4,), what)
    if alike(value, (a * b).sum(-1) / (a.norm() * b.norm())):
        raise Mistake(
            "It divides by the length of the whole batch; norm(dim=-1) measures each "
            "vector."
        )
    want_near(value, wanted, what)


def zeros_give_zero(cosine, generator):
    a, b, wanted = some_pairs(generator, 3)
    zero = torch.zeros(6)
    single = [(a[0], zero), (zero, b[0]), (zero, zero)]
    b[1], wanted[1] = 0.0, 0.0
    cases = [*((one, two, torch.tensor(0.0)) for one, two in single), (a, b, wanted)]
    for one, two, right in cases:
        value = cosine(one.clone(), two.clone())
        want_type(value, torch.Tensor, "cosine of a vector of zeros")
        if value.isnan().any():
            raise Mistake(
                "A vector of zeros gives NaN: its length is 0, and 0 / 0 is no number. "
                "Keep the divisor above 0, so that 0 comes out."
            )
        want_near(value, right, "cosine of a vector of zeros")


def wrong_dot(a, b):
    return (a * b).sum(-1)


def wrong_squared(a, b):
    return (a * b).sum(-1) / ((a * a).sum(-1) * (b * b).sum(-1)).clamp(min=1e-12)


def wrong_one_length(a, b):
    return (a * b).sum(-1) / b.norm(dim=-1).clamp(min=1e-12)


def wrong_whole_batch(a, b):
    return (a * b).sum() / (a.norm() * b.norm()).clamp(min=1e-12)


def wrong_batch_length(a, b):
    return (a * b).sum(-1) / (a.norm() * b.norm()).clamp(min=1e-12)


def wrong_one_pair(a, b):
    return a @ b / (a.norm() * b.norm()).clamp(min=1e-12)


def wrong_every_pair(a, b):
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).transpose(0, -1)


def wrong_first_dim(a, b):
    return (a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0)).clamp(min=1e-12)


def wrong_dim_one(a, b):
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-12)


def wrong_no_sum(a, b):
    return a * b / (a.norm(dim=-1) * b.norm(dim=-1)).clamp(min=1e-12).unsqueeze(-1)


def wrong_distance(a, b):
    return (a - b).norm(dim=-1)


def wrong_one_minus(a, b):
    return 1 - F.cosine_similarity(a, b, dim=-1)


def wrong_absolute(a, b):
    return F.cosine_similarity(a, b, dim=-1).abs()


def wrong_nan(a, b):
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))


def wrong_if(a, b):
    lengths = a.norm(dim=-1) * b.norm(dim=-1)
    return torch.tensor(0.0) if lengths == 0 else (a * b).sum(-1) / lengths


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
        Check(
            name="one pair",
            points=2,
            proves="divides the dot product by both lengths",
            hint="`(a * b).sum(-1)` is the dot product, `a.norm(dim=-1)` a length.",
            run=one_pair,
        ),
        Check(
            name="a batch of pairs",
            points=1,
            proves="takes a batch as well as a pair",
            hint="`dim=-1` works along the channels, however many dimensions stand before.",
            run=a_batch_of_pairs,
        ),
        Check(
            name="zeros",
            points=1,
            proves="gives 0 where a vector points nowhere",
            hint="`lengths.clamp(min=1e-12)` is never 0, and 0 divided by it is 0.",
            run=zeros_give_zero,
        ),
    ),
    wrong=(
        Wrong("an if", wrong_if, "an if can't ask"),
        Wrong("the dot product", wrong_dot, "That is the dot product"),
        Wrong("squared lengths", wrong_squared, "by the squared lengths"),
        Wrong("one length", wrong_one_length, "one length only"),
        Wrong("the whole batch", wrong_whole_batch, "for the whole batch"),
        Wrong("the batch's length", wrong_batch_length, "length of the whole batch"),
        Wrong("one pair only", wrong_one_pair, "not a batch"),
        Wrong("every pair", wrong_every_pair, "every vector of a with every"),
        Wrong("over the pairs", wrong_first_dim, "adds up over the pairs"),
        Wrong("dim=1", wrong_dim_one, "there is no dim=1"),
        Wrong("nothing added up", wrong_no_sum, "add the products up"),
        Wrong("the distance", wrong_distance, "That is the distance"),
        Wrong("one minus the cosine", wrong_one_minus, "one minus the cosine"),
        Wrong("the absolute value", wrong_absolute, "Its sign is lost"),
        Wrong("NaN", wrong_nan, "gives NaN"),
    ),
)


# 02.nearest -------------------------------------------------------------------------

ROWS = 12


def some_rows(
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """A query (8), rows (12, 8), and the rows' numbers from the nearest to the farthest.

    Cosines fall from 0.9 to -0.95 in even steps while lengths rise, so that a long row
    beats a near one in a dot product, and in distance the nearest row is not the best.
    """
    query = F.normalize(torch.randn(8, generator=generator).double(), dim=-1)
    side = torch.randn(ROWS, 8, generator=generator).double()
    side = F.normalize(side - (side @ query)[:, None] * query, dim=-1)
    cosines = torch.linspace(0.9, -0.95, ROWS).double()[:, None]
    lengths = 0.5 * 1.5 ** torch.arange(ROWS).clamp(max=5)[:, None]
    ranked = lengths * (cosines * query + (1 - cosines**2).sqrt() * side)
    order = torch.randperm(ROWS, generator=generator)  # rank → row
    vectors = torch.empty_like(ranked)
    vectors[order] = ranked
    return (3 * query).float(), vectors.float(), order.tolist()


def hold_list(value, what):
    """Raise Mistake unless `value` is a list of ints."""
    if type(value) is torch.Tensor:
        raise Mistake(f"{what} is a Tensor; .tolist() turns it into a list of ints.")
    if type(value) is int:
        raise Mistake(f"{what} is an int; give a list, even of one.")
    want_type(value, list, what)
    for entry in value:
        if type(entry) is float:
            raise Mistake(
                "These are similarities; give the numbers of the rows: topk(…).indices."
            )
        if type(entry) is not int:
            raise Mistake(
                f"{what} holds {type(entry).__name__}; it should be a list of int: "
                ".tolist() on the whole, or int(…) on each."
            )


def ranks_by_direction(nearest, generator):
    query, vectors, order = some_rows(generator)
    count = int(torch.randint(4, 6, (1,), generator=generator))
    what = f"nearest(query, vectors, {count})"
    value = nearest(query.clone(), vectors.clone(), count)
    hold_list(value, what)
    dots = vectors @ query
    apart = (vectors - query).norm(dim=-1)
    size = F.cosine_similarity(vectors, query, dim=-1).abs()
    if value == order[:count]:
        return
    if value == order[::-1][:count]:
        raise Mistake("These are the farthest rows: the greatest cosine comes first.")
    if value == order[:count][::-1]:
        raise Mistake("The rows are right, but the best comes last; put it first.")
    if value == dots.topk(count).indices.tolist():
        raise Mistake(
            "Long vectors win: it ranks by dot product. Bring the rows to length one, so "
            "that only their direction counts."
        )
    if value == apart.topk(count, largest=False).indices.tolist():
        raise Mistake(
            "It ranks by distance, in which lengths count. Rank by where the rows point: "
            "by cosine."
        )
    if value == size.topk(count).indices.tolist():
        raise Mistake("A row that points the opposite way is the farthest: no abs().")
    if value == order[1 : count + 1]:
        raise Mistake("It leaves out the best row; begin with it.")
    if value == order[: count - 1]:
        raise Mistake(f"It gives {count - 1} rows; asked for {count}: one too few.")
    if value == order:
        raise Mistake(f"It gives all {ROWS} rows; give the first `count` only.")
    want_equal(value, order[:count], what)


def gives_as_many_as_asked(nearest, generator):
    query, vectors, order = some_rows(generator)
    middle = int(torch.randint(6, ROWS, (1,), generator=generator))
    for count in (1, middle, ROWS):
        what = f"nearest(query, vectors, {count})"
        value = nearest(query.clone(), vectors.clone(), count)
        hold_list(value, what)
        if len(value) != count:
            raise Mistake(f"{what} gives {len(value)} rows; asked for {count}.")
        want_equal(value, order[:count], what)


def own_row_comes_first(nearest, generator):
    vectors = torch.randn(60, 8, generator=generator)
    vectors *= 0.5 + 3 * torch.rand(60, 1, generator=generator)
    own = int(vectors.norm(dim=-1).argmin())  # the shortest, so that length can't help
    for factor in (1.0, 4.0):
        value = nearest(factor * vectors[own], vectors.clone(), 3)
        hold_list(value, "nearest(query, vectors, 3)")
        if own not in value:
            raise Mistake(
                f"The query points exactly like row {own}, and that row is not there. Leave "
                "no row out, not even the query's own."
            )
        want_equal(value[0], own, "the first row for a query that is itself a row")


def _cosines(query, vectors):
    return F.cosine_similarity(vectors, query, dim=-1)


def wrong_farthest(query, vectors, count):
    return _cosines(query, vectors).argsort()[:count].tolist()


def wrong_best_last(query, vectors, count):
    return _cosines(query, vectors).argsort()[-count:].tolist()


def wrong_by_dot(query, vectors, count):
    return (vectors @ query).topk(count).indices.tolist()


def wrong_by_distance(query, vectors, count):
    apart = (vectors - query).norm(dim=-1)
    return apart.topk(count, largest=False).indices.tolist()


def wrong_by_absolute(query, vectors, count):
    return _cosines(query, vectors).abs().topk(count).indices.tolist()


def wrong_indices_tensor(query, vectors, count):
    return _cosines(query, vectors).topk(count).indices


def wrong_list_of_tensors(query, vectors, count):
    return list(_cosines(query, vectors).topk(count).indices)


def wrong_similarities(query, vectors, count):
    return _cosines(query, vectors).topk(count).values.tolist()


def wrong_too_few(query, vectors, count):
    return _cosines(query, vectors).argsort(descending=True)[: count - 1].tolist()


def wrong_all_rows(query, vectors, count):
    return _cosines(query, vectors).argsort(descending=True).tolist()


def wrong_skips_best(query, vectors, count):
    ranked = _cosines(query, vectors).argsort(descending=True)
    return ranked[1 : count + 1].tolist()


def wrong_skips_itself(query, vectors, count):
    ranked = _cosines(query, vectors).argsort(descending=True).tolist()
    return [i for i in ranked if _cosines(query, vectors)[i] < 0.9999][:count]


def wrong_squeezed(query, vectors, count):
    return _cosines(query, vectors).topk(count).indices.squeeze().tolist()


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
    checks=(
        Check(
            name="direction decides",
            points=2,
            proves="ranks rows by where they point, not by how long they are",
            hint="`torch.nn.functional.normalize(vectors, dim=-1)` brings each row to "
            "length one; `@ query` then gives N numbers, and `topk` the best of them.",
            run=ranks_by_direction,
        ),
        Check(
            name="as many as asked",
            points=1,
            proves="gives as many rows as asked for",
            hint="What comes out for `count` = 1? `topk(count)` takes any count up to N.",
            run=gives_as_many_as_asked,
        ),
        Check(
            name="its own row",
            points=1,
            proves="puts the query's own row first",
            hint="A vector's cosine with itself is 1: nothing can be nearer.",
            run=own_row_comes_first,
        ),
    ),
    wrong=(
        Wrong("smallest first", wrong_farthest, "the farthest rows"),
        Wrong("best last", wrong_best_last, "the best comes last"),
        Wrong("by dot product", wrong_by_dot, "Long vectors win"),
        Wrong("by distance", wrong_by_distance, "ranks by distance"),
        Wrong("by absolute value", wrong_by_absolute, "the opposite way"),
        Wrong("a tensor", wrong_indices_tensor, "is a Tensor"),
        Wrong("a list of tensors", wrong_list_of_tensors, "should be a list of int"),
        Wrong("similarities", wrong_similarities, "These are similarities"),
        Wrong("one too few", wrong_too_few, "one too few"),
        Wrong("all rows", wrong_all_rows, "the first `count` only"),
        Wrong("the best left out", wrong_skips_best, "leaves out the best"),
        Wrong("itself left out", wrong_skips_itself, "not even the query's own"),
        Wrong("an int for one", wrong_squeezed, "a list, even of one"),
    ),
)


# 02.direction -----------------------------------------------------------------------


def step_of(direction, vectors, pairs):
    """What an answer gives; where it can't index, the likely reason in words."""
    try:
        return direction(vectors.clone(), list(pairs))
    except IndexError as error:
        if "too many indices" not in str(error):
            raise
        raise Mistake(
            "A tuple of row numbers, or the list of pairs itself, does not take rows: "
            "vectors[(3, 5)] is row 3, channel 5. Use a list or a tensor of row numbers, "
            "or go through the pairs one by one."
        ) from None


def hold_step(value, vectors, pairs):
    """Raise Mistake unless `value` (C) is the mean step from first to second."""
    what = "direction(vectors, pairs)"
    want_type(value, torch.Tensor, what)
    steps = torch.stack([vectors[second] - vectors[first] for first, second in pairs])
    firsts = torch.stack([vectors[first] for first, _ in pairs])
    seconds = torch.stack([vectors[second] for _, second in pairs])
    right, unlike = steps.mean(0), dict(pairs)
    shape, size = tuple(value.shape), tuple(right.shape)
    if alike(value, right):
        want_tensor(value, size, what)
        return
    if shape == tuple(steps.shape):
        raise Mistake("It gives a step for each pair; take their mean: mean(0).")
    if shape == (len(pairs),):
        raise Mistake(
            "It gives a number for each pair: a mean over the channels. Take the mean over "
            "the pairs, dim 0, so that C numbers are left."
        )
    if shape == ():
        raise Mistake(
            "It gives one number; take the mean over the pairs only: mean(0)."
        )
    if alike(value, -right):
        raise Mistake(
            "It points backwards: first minus second. Take second minus first."
        )
    if alike(value, seconds.mean(0)) or alike(value, firsts.mean(0)):
        raise Mistake(
            "That is the mean of one side's words, a place. A step is a difference: second "
            "minus first."
        )
    if alike(value, (firsts + seconds).mean(0) / 2):
        raise Mistake("That is the middle between the words; take their difference.")
    if alike(value, F.normalize(right, dim=-1)):
        raise Mistake(
            "It was brought to length one; give the mean step as long as it is."
        )
    if alike(value, steps.sum(0)):
        raise Mistake("That is the sum of all steps; divide by the number of pairs.")
    if alike(value, steps[0]):
        raise Mistake(
            "That is the first pair's step only; take the mean over all pairs."
        )
    if alike(value, steps[-1]):
        raise Mistake(
            "That is the last pair's step only: does your loop write over the others?"
        )
    if alike(value, sum(vectors[unlike[i]] - vectors[i] for i in unlike) / len(unlike)):
        raise Mistake(
            "A word that is first in two pairs was counted once: a dict keeps one pair for "
            "each key. Every pair counts."
        )
    want_near(value, right, what)


def averages_over_pairs(direction, generator):
    vectors = 3 * torch.randn(10, 6, generator=generator)
    picks = torch.randperm(10, generator=generator).tolist()
    pairs = list(zip(picks[:4], picks[4:8]))
    hold_step(step_of(direction, vectors, pairs), vectors, pairs)


def subtracts_first_from_second(direction, generator):
    vectors = 3 * torch.randn(10, 6, generator=generator)
    first, second = torch.randperm(10, generator=generator)[:2].tolist()
    pairs = [(first, second)]
    hold_step(step_of(direction, vectors, pairs), vectors, pairs)


def finds_a_hidden_step(direction, generator):
    vectors = 3 * torch.randn(20, 6, generator=generator)
    step = 3 * torch.randn(6, generator=generator)
    stray = torch.randn(8, 6, generator=generator)
    stray -= stray.mean(0)  # cancels in the mean, and leaves the step
    picks = torch.randperm(20, generator=generator).tolist()
    pairs = list(zip([picks[0], *picks[:7]], picks[7:15]))  # one word is first twice
    for (first, second), noise in zip(pairs, stray):
        vectors[second] = vectors[first] + step + noise
    value = step_of(direction, vectors, pairs)
    hold_step(value, vectors, pairs)
    want_near(value, step, "the step hidden in eight pairs")


def _steps(vectors, pairs):
    first, second = torch.tensor(pairs).T
    return vectors[second] - vectors[first]


def wrong_backwards(vectors, pairs):
    return -_steps(vectors, pairs).mean(0)


def wrong_sum_of_steps(vectors, pairs):
    return _steps(vectors, pairs).sum(0)


def wrong_first_pair(vectors, pairs):
    first, second = pairs[0]
    return vectors[second] - vectors[first]


def wrong_last_pair(vectors, pairs):
    for first, second in pairs:
        step = vectors[second] - vectors[first]
    return step


def wrong_over_channels(vectors, pairs):
    return _steps(vectors, pairs).mean(-1)


def wrong_tuples(vectors, pairs):
    first, second = zip(*pairs)
    return (vectors[second] - vectors[first]).mean(0)


def wrong_no_mean(vectors, pairs):
    return _steps(vectors, pairs)


def wrong_one_number(vectors, pairs):
    return _steps(vectors, pairs).mean()


def wrong_second_words(vectors, pairs):
    return vectors[torch.tensor(pairs)[:, 1]].mean(0)


def wrong_length_one(vectors, pairs):
    return F.normalize(_steps(vectors, pairs).mean(0), dim=-1)


def wrong_middle(vectors, pairs):
    return vectors[torch.tensor(pairs)].mean((0, 1))


def wrong_dict(vectors, pairs):
    return _steps(vectors, list(dict(pairs).items())).mean(0)


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
    checks=(
        Check(
            name="the mean over pairs",
            points=1,
            proves="takes the mean over all pairs, channel by channel",
            hint="Put the steps in a tensor (pairs, C): `torch.stack([…])` makes one tensor of "
            "several. Which dimension should go?",
            run=averages_over_pairs,
        ),
        Check(
            name="second minus first",
            points=1,
            proves="steps from the first word to the second",
            hint="first + step should be second. What is step?",
            run=subtracts_first_from_second,
        ),
        Check(
            name="a hidden step",
            points=2,
            proves="finds a step that was hidden in eight noisy pairs",
            hint="Does each pair count once, also where a word stands in two of them?",
            run=finds_a_hidden_step,
        ),
    ),
    wrong=(
        Wrong("first minus second", wrong_backwards, "It points backwards"),
        Wrong("the sum", wrong_sum_of_steps, "the sum of all steps"),
        Wrong("the first pair", wrong_first_pair, "first pair's step only"),
        Wrong("the last pair", wrong_last_pair, "last pair's step only"),
        Wrong("over the channels", wrong_over_channels, "a mean over the channels"),
        Wrong("tuples of rows", wrong_tuples, "A tuple of row numbers"),
        Wrong("no mean", wrong_no_mean, "a step for each pair"),
        Wrong("one number", wrong_one_number, "It gives one number"),
        Wrong("the second words", wrong_second_words, "one side's words"),
        Wrong("length one", wrong_length_one, "brought to length one"),
        Wrong("the middle", wrong_middle, "the middle between"),
        Wrong("a dict of pairs", wrong_dict, "was counted once"),
    ),
)


# 02.analogy -------------------------------------------------------------------------


def ask(analogy, vectors, a, b, c, *switch):
    """The row that an answer gives, which must be an int."""
    value = analogy(vectors.clone(), a, b, c, *switch)
    if type(value) is torch.Tensor:
        raise Mistake("analogy(…) is a Tensor; int(…) turns it into the row's number.")
    want_type(value, int, "analogy(vectors, a, b, c)")
    return value


def planted(generator: torch.Generator) -> tuple[torch.Tensor, list[int], int]:
    """Rows (30, 24), a question (a, b, c), and the row made to be its answer.

    The inputs' lengths differ widely. One more row lies where b - a + c ends if they are
    left as they are, and another where a - b + c does.
    """
    vectors = F.normalize(torch.randn(30, 24, generator=generator), dim=-1)
    a, b, c, answer, uneven, reverse = torch.randperm(30, generator=generator)[:6]
    target = vectors[b] - vectors[a] + vectors[c]
    vectors[reverse] = vectors[a] - vectors[b] + vectors[c]
    vectors *= 0.5 + 3 * torch.rand(30, 1, generator=generator)
    sizes = torch.tensor([0.5, 2.0, 8.0])[torch.randperm(3, generator=generator)]
    inputs = torch.stack([a, b, c])
    vectors[inputs] = sizes[:, None] * F.normalize(vectors[inputs], dim=-1)
    mixed = vectors[b] - vectors[a] + vectors[c]
    vectors[uneven] = 3 * F.normalize(mixed, dim=-1)
    vectors[answer] = F.normalize(target, dim=-1)
    return vectors, inputs.tolist(), int(answer)


def finds_the_answer(analogy, generator):
    cases = [planted(generator) for _ in range(6)]
    said = [ask(analogy, vectors, *inputs) for vectors, inputs, _ in cases]
    wanted = [answer for *_, answer in cases]
    if said == wanted:
        return
    likely = (
        (
            wrong_reverse,
            "It goes backwards, a - b + c; the step is from a to b: b - a.",
        ),
        (
            wrong_shifted,
            "Without the inputs' rows, all later rows move up, and their numbers change. "
            "Keep every row, and give the inputs a similarity of -torch.inf.",
        ),
        *((f, UNEVEN) for f in (wrong_uneven, wrong_raw, wrong_apart, wrong_half)),
        (wrong_farthest_row, "That is the row that points least like it: argmax."),
    )
    for mistaken, words in likely:
        if said == [mistaken(vectors, *inputs) for vectors, inputs, _ in cases]:
            raise Mistake(words)
    place = next(i for i in range(len(cases)) if said[i] != wanted[i])
    a, b, c = cases[place][1]
    raise Mistake(
        f"analogy(vectors, {a}, {b}, {c}) is {said[place]}; row {wanted[place]} points "
        "exactly like b - a + c."
    )


UNEVEN = (
    "Long rows outweigh short ones. Bring every row to length one first, then take "
    "b - a + c, and compare it with rows of length one."
)


def some_questions(generator: torch.Generator) -> tuple[torch.Tensor, list]:
    """Rows (30, 24) and six questions, each with its ranked rows, best first.

    In each the two best rows are b and c, by some margin, as they are for most words.
    """
    vectors = torch.randn(30, 24, generator=generator)
    vectors *= 0.5 + 3 * torch.rand(30, 1, generator=generator)
    unit = F.normalize(vectors.double(), dim=-1)
    questions = []
    while len(questions) < 6:
        a, b, c = torch.randperm(30, generator=generator)[:3].tolist()
        target = F.normalize(unit[b] - unit[a] + unit[c], dim=-1)
        score, rows = (unit @ target).sort(descending=True)
        clear = bool((score[:3] - score[1:4] > 0.01).all())
        if {b, c} == set(rows[:2].tolist()) and clear:
            questions.append(((a, b, c), rows.tolist()))
    return vectors, questions


def leaves_the_inputs_out(analogy, generator):
    vectors, questions = some_questions(generator)
    for switch in ((), (True,)):
        for (a, b, c), rows in questions:
            value = ask(analogy, vectors, a, b, c, *switch)
            if value in (a, b, c):
                which = "abc"[(a, b, c).index(value)]
                raise Mistake(
                    f"The answer is an input, {which}. It stands near b - a + c by itself: "
                    "leave out all three, a, b and c."
                )
            what = f"analogy(vectors, {a}, {b}, {c})"
            want_equal(value, rows[2], what)


def obeys_the_switch(analogy, generator):
    vectors, questions = some_questions(generator)
    for (a, b, c), rows in questions:
        value = ask(analogy, vectors, a, b, c, False)
        if value == rows[2]:
            raise Mistake(
                "With leave_out=False the inputs may win, and here one is nearest. It "
                "leaves them out all the same: does your code look at leave_out?"
            )
        want_equal(value, rows[0], f"analogy(vectors, {a}, {b}, {c}, leave_out=False)")


def leaves_the_matrix_alone(analogy, generator):
    vectors, questions = some_questions(generator)
    for switch in (True, False):
        given = vectors.clone()
        inputs, rows = questions[0]
        value = analogy(given, *inputs, switch)
        if not torch.equal(given, vectors):
            raise Mistake(
                "It changed the matrix it was given, and whoever uses that next gets other "
                "numbers. `vectors /= …` works on the matrix itself; make a new one: "
                "unit = vectors / …"
            )
        wanted = rows[2] if switch else rows[0]
        want_equal(value, wanted, "analogy(vectors, a, b, c)")


def _closest(similarity, inputs, leave_out):
    if leave_out:
        similarity[list(inputs)] = -torch.inf
    return int(similarity.argmax())


def wrong_reverse(vectors, a, b, c, leave_out=True):
    unit = F.normalize(vectors, dim=-1)
    return _closest(unit @ (unit[a] - unit[b] + unit[c]), (a, b, c), leave_out)


def wrong_uneven(vectors, a, b, c, leave_out=True):
    unit = F.normalize(vectors, dim=-1)
    target = vectors[b] - vectors[a] + vectors[c]
    return _closest(unit @ target, (a, b, c), leave_out)


def wrong_raw(vectors, a, b, c, leave_out=True):
    target = vectors[b] - vectors[a] + vectors[c]
    return _closest(vectors @ target, (a, b, c), leave_out)


def wrong_apart(vectors, a, b, c, leave_out=True):
    target = vectors[b] - vectors[a] + vectors[c]
    return _closest(-(vectors - target).norm(dim=-1), (a, b, c), leave_out)


def wrong_half(vectors, a, b, c, leave_out=True):
    unit = F.normalize(vectors, dim=-1)
    return _closest(vectors @ (unit[b] - unit[a] + unit[c]), (a, b, c), leave_out)


def wrong_shifted(vectors, a, b, c, leave_out=True):
    unit = F.normalize(vectors, dim=-1)
    left = [i for i in range(len(unit)) if not leave_out or i not in (a, b, c)]
    return int((unit[left] @ (unit[b] - unit[a] + unit[c])).argmax())


def wrong_farthest_row(vectors, a, b, c, leave_out=True):
    unit = F.normalize(vectors, dim=-1)
    similarity = unit @ (unit[b] - unit[a] + unit[c])
    if leave_out:
        similarity[[a, b, c]] = torch.inf
    return int(similarity.argmin())


def wrong_inputs_stay(vectors, a, b, c, leave_out=True):
    return room.analogy(vectors, a, b, c, False)


def wrong_only_c_out(vectors, a, b, c, leave_out=True):
    unit = F.normalize(vectors, dim=-1)
    return _closest(unit @ (unit[b] - unit[a] + unit[c]), (c,), leave_out)


def wrong_always_out(vectors, a, b, c, leave_out=True):
    return room.analogy(vectors, a, b, c, True)


def wrong_row_tensor(vectors, a, b, c, leave_out=True):
    return torch.tensor(room.analogy(vectors, a, b, c, leave_out))


def wrong_in_place(vectors, a, b, c, leave_out=True):
    vectors /= vectors.norm(dim=-1, keepdim=True)
    similarity = vectors @ (vectors[b] - vectors[a] + vectors[c])
    return _closest(similarity, (a, b, c), leave_out)


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
        Check(
            name="finds the answer",
            points=2,
            proves="follows the step from a to b, starting at c, whatever the lengths",
            hint="`unit = torch.nn.functional.normalize(vectors, dim=-1)`; then use `unit` "
            "and never `vectors`.",
            run=finds_the_answer,
        ),
        Check(
            name="the inputs are left out",
            points=1,
            proves="never answers with one of its inputs",
            hint="A similarity of `-torch.inf` can't win.",
            run=leaves_the_inputs_out,
        ),
        Check(
            name="the switch",
            points=1,
            proves="lets the inputs win when told to",
            hint="`if leave_out:` stands before the line that leaves them out.",
            run=obeys_the_switch,
        ),
        Check(
            name="the matrix stays",
            points=1,
            proves="leaves the matrix as it was",
            hint="`/=` and `vectors[…] = …` change the matrix that the caller still uses.",
            run=leaves_the_matrix_alone,
        ),
    ),
    wrong=(
        Wrong("a - b + c", wrong_reverse, "It goes backwards"),
        Wrong("lengths left in b - a + c", wrong_uneven, "every row to length one"),
        Wrong("dot products of raw rows", wrong_raw, "every row to length one"),
        Wrong("distance between raw rows", wrong_apart, "every row to length one"),
        Wrong("compared with raw rows", wrong_half, "every row to length one"),
        Wrong("a row in the shorter matrix", wrong_shifted, "their numbers change"),
        Wrong("the farthest row", wrong_farthest_row, "points least like it"),
        Wrong("inputs not left out", wrong_inputs_stay, "leave out all three"),
        Wrong("only c left out", wrong_only_c_out, "The answer is an input, b"),
        Wrong("always left out", wrong_always_out, "look at leave_out"),
        Wrong("a tensor", wrong_row_tensor, "is a Tensor; int(…)"),
        Wrong("works in place", wrong_in_place, "It changed the matrix"),
    ),
)

EXERCISES = (LOOK_UP, COSINE, NEAREST, DIRECTION, ANALOGY)
