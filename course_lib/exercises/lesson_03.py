"""Exercises of lesson 03: scores, the mask, heads, a head by hand, and a leak test."""

import math

import torch
from torch.nn import functional as F

from course_lib import gpt
from course_lib.exercises.legacy import (
    Check,
    Exercise,
    Mistake,
    Wrong,
    alike,
    want_near,
    want_tensor,
    want_type,
    whole,
)


def first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


# 03.scores --------------------------------------------------------------------------


def some_queries(
    generator: torch.Generator, *front: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Queries and keys (…, T, D) with D from 5 to 9 and T larger, never the same."""
    size = whole(generator, 5, 9)
    positions = size + whole(generator, 2, 4)
    shape = (*front, positions, size)
    return (
        torch.randn(shape, generator=generator),
        torch.randn(shape, generator=generator),
    )


def products_by_loop(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """Every query times every key (…, T, T), one pair at a time, with no root."""
    if query.dim() > 2:
        return torch.stack([products_by_loop(q, k) for q, k in zip(query, key)])
    return torch.stack([(q.double() * key.double()).sum(-1) for q in query])


def same_direction(value: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether value is wanted but for one factor above zero."""
    flat = value.detach().double().flatten()
    return float(F.cosine_similarity(flat, wanted.double().flatten(), 0)) > 1 - 1e-6


def every_query_meets_every_key(scores, generator):
    query, key = some_queries(generator)
    positions, size = query.shape
    try:
        value = scores(query.clone(), key.clone())
    except (IndexError, RuntimeError, ValueError) as error:
        if "multiplied" in str(error):
            raise Mistake(
                f"({positions}, {size}) times ({positions}, {size}) can't be multiplied: "
                "turn the keys on their side first, so that D meets D."
            ) from None
        if isinstance(error, IndexError) or "unpack" in str(error):
            raise Mistake(
                f"On (T, D), with no axes in front, it stopped with {first_line(error)}. "
                "Count axes from the end: T is axis -2, D is axis -1."
            ) from None
        raise
    want_type(value, torch.Tensor, "scores(query, key)")
    if value.shape == (positions, size) or value.shape == (positions,):
        raise Mistake(
            "Query i meets key i only. Each query should meet every key: a matrix "
            "product (@), not number by number (*)."
        )
    if value.shape == (size, size):
        raise Mistake(
            f"The result is (D, D), {size} by {size}: the sum ran over the positions. "
            "Turn the keys, not the queries, so that it runs over D."
        )
    want_tensor(value, (positions, positions), "scores(query, key)")
    right = products_by_loop(query, key)
    if same_direction(value, right):
        return
    if same_direction(value, right.T):
        raise Mistake(
            "Rows and columns are swapped: row i should belong to query i, column j to "
            "key j."
        )
    if same_direction(value, products_by_loop(query, query)):
        raise Mistake("The queries meet each other; the keys are not used.")
    if same_direction(value, products_by_loop(F.normalize(query), F.normalize(key))):
        raise Mistake(
            "The vectors were brought to length one first. Take them as they are: a long "
            "key may score more."
        )
    if alike(value.sum(-1), torch.ones(positions)):
        raise Mistake("The rows sum to one: the softmax comes later, in the weights.")
    wanted = right / math.sqrt(size)
    want_near(value, wanted, "scores(query, key)")


def divides_by_the_root(scores, generator):
    for _ in range(3):
        query, key = some_queries(generator)
        positions, size = query.shape
        raw = products_by_loop(query, key)
        value = scores(query.clone(), key.clone())
        want_tensor(value, (positions, positions), "scores(query, key)")
        for factor, words in (
            (1, "They are not divided by √D: the larger D, the larger they grow."),
            (1 / size, "They are divided by D; divide by its root, √D."),
            (math.sqrt(size), "They are multiplied by √D; divide by it."),
            (
                1 / math.sqrt(positions),
                f"They are divided by √T, T = {positions} positions. D is the size of a "
                f"query, {size} here: the last axis.",
            ),
            (1 / positions, "They are divided by T, the positions; divide by √D."),
        ):
            if alike(value, raw * factor):
                raise Mistake(words)
        what = f"scores of {positions} positions with D = {size}"
        want_near(value, raw / math.sqrt(size), what)


def takes_axes_in_front(scores, generator):
    for front in ((3,), (2, 3)):
        query, key = some_queries(generator, *front)
        shape, size = tuple(query.shape), query.shape[-1]
        try:
            value = scores(query.clone(), key.clone())
        except (IndexError, RuntimeError, ValueError) as error:
            raise Mistake(
                f"On queries and keys of shape {shape} it stopped with "
                f"{first_line(error)}. Turn the last two axes only, and count from the "
                "end: key.transpose(-2, -1), query.shape[-1]."
            ) from None
        right = products_by_loop(query, key)
        want_tensor(value, tuple(right.shape), f"scores of shapes {shape}")
        wanted = right / math.sqrt(size)
        if same_direction(value, right) and not alike(value, wanted):
            raise Mistake(
                f"On shape {shape} it divides by something other than √D. D is the last "
                "axis, whatever stands in front: query.shape[-1]."
            )
        want_near(value, wanted, f"scores of shapes {shape}")


def wrong_no_root(query, key):
    return query @ key.transpose(-2, -1)


def wrong_by_d(query, key):
    return query @ key.transpose(-2, -1) / query.shape[-1]


def wrong_times_root(query, key):
    return query @ key.transpose(-2, -1) * query.shape[-1] ** 0.5


def wrong_root_of_t(query, key):
    return query @ key.transpose(-2, -1) / query.shape[-2] ** 0.5


def wrong_swapped(query, key):
    return key @ query.transpose(-2, -1) / query.shape[-1] ** 0.5


def wrong_pairwise(query, key):
    return query * key / query.shape[-1] ** 0.5


def wrong_not_turned(query, key):
    return query @ key / query.shape[-1] ** 0.5


def wrong_query_turned(query, key):
    return query.transpose(-2, -1) @ key / query.shape[-1] ** 0.5


def wrong_dot_t(query, key):
    return query @ key.T / query.shape[-1] ** 0.5


def wrong_axes_0_1(query, key):
    return query @ key.transpose(0, 1) / query.shape[-1] ** 0.5


def wrong_axes_2_3(query, key):
    return query @ key.transpose(2, 3) / query.shape[-1] ** 0.5


def wrong_axis_1(query, key):
    return query @ key.transpose(-2, -1) / query.shape[1] ** 0.5


def wrong_unpacked(query, key):
    _, size = query.shape
    return query @ key.transpose(-2, -1) / size**0.5


def wrong_query_twice(query, key):
    return query @ query.transpose(-2, -1) / query.shape[-1] ** 0.5


def wrong_cosine(query, key):
    return F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).transpose(-2, -1)


def wrong_softmax_too(query, key):
    return gpt.scores(query, key).softmax(-1)


SCORES = Exercise(
    id="03.scores",
    title="hold each query against each key",
    minutes=8,
    rule=(
        "`query` and `key` both have shape (…, T, D): T positions, D numbers for each. Any "
        "axes may stand in front, such as (B, H) for batch and heads, or none. Return a "
        "tensor (…, T, T): row `i`, column `j` is query `i` times key `j`, number by number "
        "and added up, divided by √D. (`key.transpose(-2, -1)` swaps the last two axes. The "
        "course's own also refuses sizes that don't fit; yours need not.)"
    ),
    reference=gpt.scores,
    checks=(
        Check(
            name="every query meets every key",
            points=1,
            proves="holds query i against key j in row i, column j",
            hint="A matrix product, `@`, multiplies rows by columns. What must happen to "
            "the keys so that each becomes a column?",
            run=every_query_meets_every_key,
        ),
        Check(
            name="divided by √D",
            points=1,
            proves="divides by √D",
            hint="`math.sqrt(…)` of the length of a single query.",
            run=divides_by_the_root,
        ),
        Check(
            name="axes in front",
            points=1,
            proves="takes batch and heads in front",
            hint="`-1` is the last axis and `-2` the one before, however many there are.",
            run=takes_axes_in_front,
        ),
    ),
    wrong=(
        Wrong("no root", wrong_no_root, "not divided by √D"),
        Wrong("divided by D", wrong_by_d, "divided by D; divide by its root"),
        Wrong("times the root", wrong_times_root, "multiplied by √D"),
        Wrong("the root of T", wrong_root_of_t, "divided by √T"),
        Wrong("rows and columns", wrong_swapped, "Rows and columns are swapped"),
        Wrong("number by number", wrong_pairwise, "Query i meets key i only"),
        Wrong("keys not turned", wrong_not_turned, "turn the keys on their side"),
        Wrong("queries turned", wrong_query_turned, "the sum ran over the positions"),
        Wrong("key.T", wrong_dot_t, "Turn the last two axes only"),
        Wrong("axes 0 and 1", wrong_axes_0_1, "Turn the last two axes only"),
        Wrong("axes 2 and 3", wrong_axes_2_3, "Count axes from the end"),
        Wrong("the size of axis 1", wrong_axis_1, "something other than √D"),
        Wrong("the shape unpacked", wrong_unpacked, "count from the end"),
        Wrong("query times query", wrong_query_twice, "the keys are not used"),
        Wrong("cosines", wrong_cosine, "brought to length one"),
        Wrong("softmax too", wrong_softmax_too, "the softmax comes later"),
    ),
)


# 03.attention_weights ---------------------------------------------------------------


def some_scores(generator: torch.Generator, *front: int) -> torch.Tensor:
    """Scores (…, T, T), T from 5 to 8, of the size that queries and keys give."""
    positions = whole(generator, 5, 8)
    return 1.5 * torch.randn(*front, positions, positions, generator=generator)


def torch_weights(scores: torch.Tensor) -> torch.Tensor:
    """The weights by torch's own attention: with every key and value one-hot, the scores
    go in as they are and the weights come out as they are."""
    one_hot = torch.eye(scores.shape[-1]).expand_as(scores)
    return F.scaled_dot_product_attention(
        scores, one_hot, one_hot, is_causal=True, scale=1.0
    )


def name_nan(value: torch.Tensor) -> None:
    """Raise Mistake where the rows of (T, T) that hold NaN tell what went wrong."""
    bad = value.isnan().any(-1).tolist()
    if not any(bad):
        return
    if bad[0] and not any(bad[1:]):
        raise Mistake(
            "Row 0 is NaN: you masked the diagonal too, so position 0 may look at nobody. "
            "A position sees itself."
        )
    if bad[-1] and not any(bad[:-1]):
        raise Mistake(
            "The last row is NaN: you masked the past, and the position itself. Mask what "
            "comes after: triu, not tril."
        )
    if all(bad):
        raise Mistake(
            "Every row holds NaN: zero times infinity? Don't multiply by a mask with "
            "infinities; put them in place with masked_fill or torch.where."
        )
    if not bad[-1]:
        raise Mistake(
            "Every row with a masked place is NaN. Is it filled with plus infinity? The "
            "softmax of minus infinity is 0."
        )


def rows_sum_to_one(attention_weights, generator):
    scores = some_scores(generator)
    value = attention_weights(scores.clone())
    want_type(value, torch.Tensor, "attention_weights(scores)")
    ones = torch.ones(len(scores))
    if value.shape == scores.shape:
        name_nan(value)
        if value.isneginf().any() or alike(value, scores.tril()):
            raise Mistake(
                "These are still scores. After the mask comes a softmax over each row."
            )
    want_tensor(value, tuple(scores.shape), "attention_weights(scores)")
    if alike(value.sum(-1), ones):
        return
    if alike(value, scores.softmax(-1).tril()):
        raise Mistake(
            "The rows no longer sum to one, because the mask came after the softmax: what "
            "it took away is missing. Mask first."
        )
    if alike(value.sum(-2), ones):
        raise Mistake(
            "The columns sum to one, the rows don't: the softmax runs over the wrong axis. "
            "Row i shares out what position i has to give."
        )
    if alike(value.sum(), torch.tensor(1.0)):
        raise Mistake(
            "All rows together sum to one: the softmax ran over the whole table. Each row "
            "should sum to one by itself."
        )
    row = int((value.sum(-1) - 1).abs().argmax())
    raise Mistake(f"Row {row} sums to {float(value[row].sum()):.3f}; it should be 1.")


def future_is_hidden(attention_weights, generator):
    scores = some_scores(generator)
    value = attention_weights(scores.clone())
    want_tensor(value, tuple(scores.shape), "attention_weights(scores)")
    later = value.detach().triu(1).abs()
    if float(later.max()) < 1e-6:
        return
    if float(value.detach().tril(-1).abs().max()) < 1e-6:
        raise Mistake(
            "It hides the past and shows the future: the wrong triangle. Mask the places "
            "where the key comes after the query."
        )
    if alike(value, scores.softmax(-1)):
        raise Mistake(
            "There is no mask: position 0 already looks at all that comes after it."
        )
    if alike(value, scores.tril().softmax(-1)):
        raise Mistake(
            "The masked scores were set to 0, and a score of 0 is a score like others: "
            "e⁰ is 1. Fill with minus infinity, -torch.inf."
        )
    i, j = divmod(int(later.argmax()), len(scores))
    raise Mistake(
        f"Position {i} gives {float(value[i, j]):.2g} of its weight to position {j}, "
        "which comes later; it should be 0."
    )


def torch_agrees(attention_weights, generator):
    for _ in range(3):
        scores = some_scores(generator)
        positions = len(scores)
        value, wanted = attention_weights(scores.clone()), torch_weights(scores)
        want_tensor(value, tuple(scores.shape), "attention_weights(scores)")
        if alike(value, wanted):
            continue
        counts = torch.arange(1, positions + 1)[:, None]
        if alike(value, torch.ones(positions, positions).tril() / counts):
            raise Mistake("All weights of a row are the same: the scores are not used.")
        if any(
            alike(value, torch_weights(scores / by))
            for by in (positions, math.sqrt(positions))
        ):
            raise Mistake(
                "The scores are divided once more. They come divided by √D already: take "
                "them as they are."
            )
        if float(value.detach().min()) < -1e-4:
            raise Mistake(
                "Some weights are below zero: the scores were divided by their sum. "
                "Softmax takes e to the power of each score first."
            )
        want_near(value, wanted, "attention_weights(scores)")


def weights_with_axes_in_front(attention_weights, generator):
    for front in ((3,), (2, 3)):
        scores = some_scores(generator, *front)
        shape = tuple(scores.shape)
        try:
            value = attention_weights(scores.clone())
        except (IndexError, RuntimeError, ValueError) as error:
            raise Mistake(
                f"On scores of shape {shape} it stopped with {first_line(error)}. The mask "
                "is T by T, and T is the last axis: scores.shape[-1]."
            ) from None
        want_type(value, torch.Tensor, f"attention_weights of shape {shape}")
        wanted = torch_weights(scores)
        if value.shape == wanted.shape and not alike(
            value.sum(-1), torch.ones(shape[:-1])
        ):
            raise Mistake(
                f"On scores of shape {shape} the rows don't sum to one: the softmax runs "
                "over an axis that is not the last. Count from the end: -1."
            )
        want_near(value, wanted, f"attention_weights of shape {shape}")


def _hidden(scores):
    return torch.ones_like(scores, dtype=torch.bool).triu(1)


def wrong_mask_after(scores):
    return scores.softmax(-1).tril()


def wrong_no_mask(scores):
    return scores.softmax(-1)


def wrong_past_masked(scores):
    return scores.masked_fill(_hidden(scores).transpose(-2, -1), -torch.inf).softmax(-1)


def wrong_past_and_itself(scores):
    seen = torch.ones_like(scores).tril()
    return scores.masked_fill(seen == 1, -torch.inf).softmax(-1)


def wrong_masks_itself(scores):
    later = torch.ones_like(scores).triu() == 1
    return scores.masked_fill(later, -torch.inf).softmax(-1)


def wrong_filled_with_zero(scores):
    return scores.tril().softmax(-1)


def wrong_tiny_for_huge(scores):
    return scores.masked_fill(_hidden(scores), 1e-9).softmax(-1)


def wrong_plus_infinity(scores):
    return scores.masked_fill(_hidden(scores), torch.inf).softmax(-1)


def wrong_times_infinity(scores):
    return (scores + _hidden(scores) * -torch.inf).softmax(-1)


def wrong_columns(scores):
    return scores.masked_fill(_hidden(scores), -torch.inf).softmax(-2)


def wrong_whole_table(scores):
    masked = scores.masked_fill(_hidden(scores), -torch.inf)
    return masked.flatten(-2).softmax(-1).view_as(scores)


def wrong_no_softmax(scores):
    return scores.tril()


def wrong_softmax_forgotten(scores):
    return scores.masked_fill(_hidden(scores), -torch.inf)


def wrong_scaled_again(scores):
    return gpt.attention_weights(scores / scores.shape[-1] ** 0.5)


def wrong_no_exponential(scores):
    seen = scores.tril()
    return seen / seen.sum(-1, keepdim=True)


def wrong_even(scores):
    seen = torch.ones_like(scores).tril()
    return seen / seen.sum(-1, keepdim=True)


def wrong_softmax_axis_1(scores):
    return scores.masked_fill(_hidden(scores), -torch.inf).softmax(1)


def wrong_mask_size(scores):
    later = torch.ones(len(scores), len(scores)).triu(1) == 1
    return scores.masked_fill(later, -torch.inf).softmax(-1)


WEIGHTS = Exercise(
    id="03.attention_weights",
    title="from scores to weights",
    minutes=10,
    rule=(
        "`scores` has shape (…, T, T): row `i` says how well query `i` fits each key. Any "
        "axes may stand in front, or none. Turn each row into weights by a softmax over "
        "the positions that `i` may look at: itself and all before it. Return a tensor of "
        "the same shape, in which every row sums to 1 and the weights after `i` are 0. "
        "(`x.masked_fill(mask, number)` is a copy of `x` with the number wherever the mask "
        "is True.)"
    ),
    reference=gpt.attention_weights,
    checks=(
        Check(
            name="rows sum to one",
            points=1,
            proves="gives rows that sum to one",
            hint="What is taken away after the softmax is missing from the sum. And which "
            "axis is a row?",
            run=rows_sum_to_one,
        ),
        Check(
            name="the future is hidden",
            points=1,
            proves="hides all that comes after",
            hint="`torch.ones(T, T).triu(1).bool()` is True where the column comes after "
            "the row. Which score becomes a weight of 0?",
            run=future_is_hidden,
        ),
        Check(
            name="torch agrees",
            points=1,
            proves="agrees with torch's own attention",
            hint="`softmax` of the masked scores, and nothing else.",
            run=torch_agrees,
        ),
        Check(
            name="axes in front",
            points=1,
            proves="takes batch and heads in front",
            hint="`softmax(-1)` is over the last axis, however many there are.",
            run=weights_with_axes_in_front,
        ),
    ),
    wrong=(
        Wrong("mask after softmax", wrong_mask_after, "mask came after the softmax"),
        Wrong("no mask", wrong_no_mask, "There is no mask"),
        Wrong("the past masked", wrong_past_masked, "hides the past"),
        Wrong("the past and itself", wrong_past_and_itself, "you masked the past"),
        Wrong("itself masked", wrong_masks_itself, "masked the diagonal too"),
        Wrong("filled with 0", wrong_filled_with_zero, "Fill with minus infinity"),
        Wrong("1e-9 for -1e9", wrong_tiny_for_huge, "Fill with minus infinity"),
        Wrong("plus infinity", wrong_plus_infinity, "plus infinity"),
        Wrong("0 times infinity", wrong_times_infinity, "zero times infinity"),
        Wrong("softmax of columns", wrong_columns, "over the wrong axis"),
        Wrong("softmax of the table", wrong_whole_table, "over the whole table"),
        Wrong("no softmax", wrong_no_softmax, "still scores"),
        Wrong("softmax forgotten", wrong_softmax_forgotten, "still scores"),
        Wrong("scaled again", wrong_scaled_again, "divided once more"),
        Wrong("no exponential", wrong_no_exponential, "divided by their sum"),
        Wrong("even weights", wrong_even, "the scores are not used"),
        Wrong("softmax(1)", wrong_softmax_axis_1, "an axis that is not the last"),
        Wrong("len(scores)", wrong_mask_size, "T is the last axis"),
    ),
)


# 03.split_heads ---------------------------------------------------------------------


def four_sizes(generator: torch.Generator) -> tuple[int, int, int, int]:
    """B, T, H, D: from 2 to 6, and no two the same."""
    b, t, h, d = (torch.randperm(5, generator=generator)[:4] + 2).tolist()
    return b, t, h, d


def head_shape(split_heads, generator):
    b, t, h, d = four_sizes(generator)
    value = split_heads(torch.randn(b, t, h * d, generator=generator), h)
    if type(value) in (list, tuple):
        raise Mistake(
            f"It returns a {type(value).__name__} of heads; put them together into one "
            "tensor, heads on axis 1."
        )
    want_type(value, torch.Tensor, "split_heads(x, heads)")
    words = {
        (b, t, h, d): "(B, T, H, D): swap positions and heads",
        (h, b, t, d): "(H, B, T, D): batch and heads are swapped",
        (b, t, d, h): "(B, T, D, H): the heads come last, and D before them",
        (b, d, t, h): f"(B, D, T, H): H and D are mixed up. There are {h} heads",
        (b, h, d, t): "(B, H, D, T): the last two axes are swapped",
    }.get(tuple(value.shape))
    if words:
        raise Mistake(f"The result is {words}. Wanted: (B, H, T, D).")
    want_tensor(value, (b, h, t, d), f"split_heads of {(b, t, h * d)} and {h} heads")


def positions_stay_apart(split_heads, generator):
    b, t, h, d = four_sizes(generator)
    number = torch.arange(b)[:, None, None] * 100.0 + torch.arange(t)[:, None]
    value = split_heads(number.expand(b, t, h * d).clone(), h)
    want_tensor(value, (b, h, t, d), "split_heads(x, heads)")
    found = value.detach().round()
    if not torch.equal(found // 100, torch.arange(b)[:, None, None, None] + 0 * found):
        raise Mistake(
            "Numbers of one text ended up in another: the batch was cut anew. Move an "
            "axis with transpose or permute; view and reshape don't move anything."
        )
    if not torch.equal(found % 100, torch.arange(t)[:, None] + 0 * found):
        raise Mistake(
            "Numbers of one position ended up at another. view and reshape only cut the "
            "same row of numbers anew, they don't swap axes: cut the channels first, (B, "
            "T, H, D), then transpose."
        )


def channels_stay_together(split_heads, generator):
    b, t, h, d = four_sizes(generator)
    channel = torch.arange(h * d, dtype=torch.float32)
    value = split_heads(channel.expand(b, t, h * d).clone(), h)
    want_tensor(value, (b, h, t, d), "split_heads(x, heads)")
    heads = value.detach()[0, :, 0].round()  # (H, D)
    if torch.equal(heads, channel.view(d, h).T):
        raise Mistake(
            "The heads are interleaved, as cards are dealt. Head 0 should get the first D "
            "channels, head 1 the next D: H before D."
        )
    if bool((heads == heads[0]).all()):
        raise Mistake("All heads got the same channels; each should get its own.")
    for i in range(h):
        wanted = list(range(i * d, i * d + d))
        got = [int(number) for number in heads[i]]
        if got != wanted:
            raise Mistake(f"Head {i} got channels {got}; it should get {wanted}.")
    x = torch.randn(b, t, h * d, generator=generator)
    value = split_heads(x.clone(), h)
    slices = torch.stack([x[:, :, i * d : i * d + d] for i in range(h)], dim=1)
    want_near(value, slices, "split_heads(x, heads)")


def wrong_view(x, heads):
    b, t, c = x.shape
    return x.reshape(b, heads, t, c // heads)


def wrong_view_after_transpose(x, heads):
    b, t, c = x.shape
    return x.transpose(1, 2).reshape(b, heads, t, c // heads)


def wrong_interleaved(x, heads):
    return x.unflatten(-1, (-1, heads)).permute(0, 3, 1, 2)


def wrong_not_transposed(x, heads):
    return x.unflatten(-1, (heads, -1))


def wrong_batch_and_heads(x, heads):
    return torch.stack(x.chunk(heads, dim=-1))


def wrong_stacked_and_cut(x, heads):
    b, t, c = x.shape
    return torch.stack(x.chunk(heads, dim=-1)).reshape(b, heads, t, c // heads)


def wrong_d_and_h(x, heads):
    return x.unflatten(-1, (-1, heads)).transpose(1, 2)


def wrong_heads_last(x, heads):
    return x.unflatten(-1, (-1, heads))


def wrong_last_two(x, heads):
    return x.unflatten(-1, (heads, -1)).permute(0, 2, 3, 1)


def wrong_list_of_heads(x, heads):
    return list(x.chunk(heads, dim=-1))


def wrong_same_channels(x, heads):
    return torch.stack([x[:, :, : x.shape[-1] // heads]] * heads, dim=1)


SPLIT_HEADS = Exercise(
    id="03.split_heads",
    title="share the channels out among the heads",
    minutes=8,
    rule=(
        "`x` has shape (B, T, C). Return one tensor (B, H, T, D), where H is `heads` and "
        "D = C / H: head 0 gets the first D channels of every position, head 1 the next D, "
        "and so on. Here `heads` always divides C. (The course's own refuses it if not; "
        "yours need not.)"
    ),
    reference=gpt.split_heads,
    checks=(
        Check(
            name="the shape",
            points=1,
            proves="gives (B, H, T, D)",
            hint="Two steps: (B, T, C) → (B, T, H, D) → (B, H, T, D).",
            run=head_shape,
        ),
        Check(
            name="positions stay apart",
            points=1,
            proves="keeps texts and positions apart",
            hint="`x.unflatten(-1, (…, …))` cuts the last axis in two. `transpose` swaps "
            "two axes; `view` and `reshape` swap nothing.",
            run=positions_stay_apart,
        ),
        Check(
            name="channels stay together",
            points=1,
            proves="gives head h channels h·D to (h + 1)·D",
            hint="What is `x[:, :, :D]`? That is all that head 0 works with.",
            run=channels_stay_together,
        ),
    ),
    wrong=(
        Wrong("view for transpose", wrong_view, "they don't swap axes"),
        Wrong(
            "view after transpose", wrong_view_after_transpose, "they don't swap axes"
        ),
        Wrong("interleaved heads", wrong_interleaved, "The heads are interleaved"),
        Wrong("not transposed", wrong_not_transposed, "swap positions and heads"),
        Wrong("batch and heads", wrong_batch_and_heads, "batch and heads are swapped"),
        Wrong("stacked and cut", wrong_stacked_and_cut, "the batch was cut anew"),
        Wrong("D and H", wrong_d_and_h, "H and D are mixed up"),
        Wrong("heads last", wrong_heads_last, "the heads come last"),
        Wrong("the last two axes", wrong_last_two, "the last two axes are swapped"),
        Wrong("a list of heads", wrong_list_of_heads, "a list of heads"),
        Wrong("the same channels", wrong_same_channels, "All heads got the same"),
    ),
)


# 03.previous_word -------------------------------------------------------------------


def previous_word(positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A query and a key for each position, (positions, D) both; any D will do.

    After scores and attention_weights, position i gives at least 0.9 of its weight to
    position i - 1.
    """
    key = torch.eye(positions)  # key j is 1 at place j, 0 elsewhere: D = positions
    wish = key.roll(1, 0)  # row i is key i - 1
    query = 100 * math.sqrt(positions) * wish  # the scores will be divided by √D
    return query, key


def made_by(answer, positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The answer's queries and keys, (positions, D) both; raises Mistake if not."""
    made = answer(positions)
    want_type(made, tuple, f"previous_word({positions})")
    if len(made) != 2:
        raise Mistake(f"It returns {len(made)} things; two are wanted: query, key.")
    for name, rows in zip(("query", "key"), made):
        want_type(rows, torch.Tensor, name)
        if rows.dim() != 2 or len(rows) != positions:
            raise Mistake(
                f"{name} has shape {tuple(rows.shape)}; it should be ({positions}, D), "
                f"one row for each of {positions} positions."
            )
        if not rows.isfinite().all():
            raise Mistake(
                f"{name} holds numbers that are infinite or NaN (0 times infinity is NaN). "
                "A large number will do: scores of 100 are enough."
            )
        want_tensor(rows, tuple(rows.shape), name)
    query, key = made
    if query.shape != key.shape:
        raise Mistake(
            f"A query has {query.shape[1]} numbers and a key has {key.shape[1]}, so they "
            "can't be multiplied: give both the same D."
        )
    return query.detach(), key.detach()


def weights_of(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    weights = gpt.attention_weights(gpt.scores(query, key))
    if weights.isnan().any():
        raise Mistake(
            "The weights hold NaN: the numbers are so large that the scores overflow. "
            "Scores of 100 are enough."
        )
    return weights


def two_tables(previous_word, generator):
    for positions in (2, whole(generator, 3, 63), 64):
        made_by(previous_word, positions)


def looks_one_back(previous_word, generator):
    for positions in (whole(generator, 5, 12), 64):
        query, key = made_by(previous_word, positions)
        seen = weights_of(query, key)[1:].argmax(-1)  # position 0 has no previous one
        places = torch.arange(positions)
        if torch.equal(seen, places[:-1]):
            continue
        reached = gpt.scores(query, key)[1:-1].argmax(-1)
        if torch.equal(reached, places[2:]):
            raise Mistake(
                "Position i reaches for position i + 1, which the mask hides. Row i should "
                "ask for i - 1. Or are query and key returned the wrong way round?"
            )
        if torch.equal(weights_of(key, query)[1:].argmax(-1), places[:-1]):
            raise Mistake("It returns key, query; return query first, then key.")
        if torch.equal(seen, places[1:]):
            raise Mistake(
                "Every position looks at itself. Query i should fit the key of position "
                "i - 1, not its own."
            )
        name_same_keys(key)
        if not seen.any():
            raise Mistake(
                "Every position looks at position 0; each should look one back."
            )
        i = int((seen != places[:-1]).nonzero()[0]) + 1
        raise Mistake(
            f"Of {positions} positions, number {i} looks most at {int(seen[i - 1])}; it "
            f"should look at {i - 1}."
        )


def name_same_keys(key: torch.Tensor) -> None:
    """Raise Mistake for two positions whose keys no query could tell apart.

    The last key may be anything: nobody comes after it.
    """
    same = (key[:-1, None] == key[None, :-1]).all(-1).triu(1).nonzero()
    if len(same):
        a, b = same[0].tolist()
        raise Mistake(
            f"Positions {a} and {b} of {len(key)} have the same key, so no query can tell "
            "them apart. Each position needs a key of its own."
        )


def looks_firmly(previous_word, generator):
    for positions in (2, whole(generator, 3, 63), 64):
        query, key = made_by(previous_word, positions)
        given = weights_of(query, key).diagonal(-1)  # (T - 1,): from i to i - 1
        worst = int(given.argmin())
        if float(given[worst]) < 0.9:
            raise Mistake(
                f"With {positions} positions, number {worst + 1} gives only "
                f"{float(given[worst]):.2f} of its weight to number {worst}; 0.9 is "
                "wanted. Too weak: the scores are divided by √D, and the more positions "
                "there are, the more share the rest. Make the queries longer."
            )


def wrong_itself(positions):
    key = torch.eye(positions)
    return 100 * math.sqrt(positions) * key, key


def wrong_next(positions):
    key = torch.eye(positions)
    return 100 * math.sqrt(positions) * key.roll(1), key


def wrong_two_back(positions):
    key = torch.eye(positions)
    return 100 * math.sqrt(positions) * key.roll(2, 0), key


def wrong_swapped_pair(positions):
    query, key = previous_word(positions)
    return key, query


def wrong_swapped_line(positions):
    place = torch.arange(positions) * 1.0
    key = torch.stack([place, place**2], dim=1)
    query = 100 * torch.stack([2 * (place - 1), -torch.ones(positions)], dim=1)
    return key, query


def wrong_weak(positions):
    key = torch.eye(positions)
    return key.roll(1, 0), key


def wrong_forgets_the_root(positions):
    key = torch.eye(positions)
    return 20 * key.roll(1, 0), key


def wrong_infinite(positions):
    key = torch.eye(positions)
    return torch.inf * key.roll(1, 0), key


def wrong_overflow(positions):
    key = 1e30 * torch.eye(positions)
    return key.roll(1, 0), key


def wrong_same_keys(positions):
    return 100 * torch.eye(positions).roll(1, 0), torch.ones(positions, positions)


def wrong_small_keys(positions):
    key = torch.eye(positions, 16)
    return 400 * torch.cat([key[-1:], key[:-1]]), key


def wrong_sizes(positions):
    query, key = previous_word(positions)
    return query, key[:, :-1]


def wrong_rows(positions):
    query, key = previous_word(positions)
    return query[1:], key


def wrong_one_size(positions):
    return previous_word(8)


def wrong_stacked(positions):
    return torch.stack(previous_word(positions))


def wrong_first_position(positions):
    query = torch.zeros(positions, positions)
    query[:, 0] = 1000
    return query, torch.eye(positions)


PREVIOUS_WORD = Exercise(
    id="03.previous_word",
    title="build a head that looks one word back",
    minutes=15,
    rule=(
        "No training: write down the queries and keys yourself. Return a tuple `query, "
        "key` of two tensors of decimal numbers, both (positions, D), one row for each "
        "position; any D will do. In `attention_weights(scores(query, key))` every "
        "position `i` from 1 on must give at least 0.9 of its weight to position `i - 1`; "
        "position 0 sees only itself, the mask takes care of that. It must work for any "
        "number of `positions` from 2 to 64."
    ),
    reference=previous_word,
    checks=(
        Check(
            name="a query and a key for each",
            points=1,
            proves="gives each position a query and a key",
            hint="`return query, key`, both with as many rows as there are positions.",
            run=two_tables,
        ),
        Check(
            name="looks one back",
            points=2,
            proves="makes every position look at the one before",
            hint="Let the key of position j be 1 at place j and 0 elsewhere: "
            "`torch.eye(positions)`. What should query i be, to fit key i - 1 and no "
            "other?",
            run=looks_one_back,
        ),
        Check(
            name="firmly",
            points=1,
            proves="gives it 0.9 of the weight, among up to 64 positions",
            hint="Multiply the queries by a large number. How large, if the scores are "
            "divided by √D?",
            run=looks_firmly,
        ),
    ),
    wrong=(
        Wrong("looks at itself", wrong_itself, "looks at itself"),
        Wrong("looks ahead", wrong_next, "which the mask hides"),
        Wrong("two back", wrong_two_back, "looks most at"),
        Wrong("key and query", wrong_swapped_pair, "the wrong way round"),
        Wrong("key and query on a line", wrong_swapped_line, "It returns key, query"),
        Wrong("too weak", wrong_weak, "Too weak"),
        Wrong("forgets the root", wrong_forgets_the_root, "Too weak"),
        Wrong("infinite", wrong_infinite, "infinite or NaN"),
        Wrong("far too strong", wrong_overflow, "the scores overflow"),
        Wrong("the same keys", wrong_same_keys, "have the same key"),
        Wrong("sixteen keys", wrong_small_keys, "have the same key"),
        Wrong("different D", wrong_sizes, "give both the same D"),
        Wrong("a query too few", wrong_rows, "one row for each"),
        Wrong("always 8 positions", wrong_one_size, "one row for each"),
        Wrong("one tensor", wrong_stacked, "should be a tuple"),
        Wrong("the first position", wrong_first_position, "looks at position 0"),
    ),
)


# 03.leaks ---------------------------------------------------------------------------

CAUSAL = (
    ("looks at nothing but the position itself", lambda x: 2 * x),
    ("adds up all positions so far", lambda x: x.cumsum(1)),
    ("is causal attention", lambda x: gpt.attend(x, x, x)),
)


def some_x(generator: torch.Generator) -> torch.Tensor:
    """x (B, T, C) = (3, 6, 5); its first number is above zero in text 1 only."""
    x = torch.randn(3, 6, 5, generator=generator)
    x[:, 0, 0] = torch.tensor([-1.0, 1.0, -1.0])
    return x


def peek(x: torch.Tensor, position: int, amount: float = 1.0) -> torch.Tensor:
    """Causal, but for one position that reads some of the last one."""
    output = x.cumsum(1)
    output[:, position] = output[:, position] + amount * x[:, -1]
    return output


def peek_at_channel(x: torch.Tensor, channel: int, into: int) -> torch.Tensor:
    """Causal, but that channel `into` of position 0 reads one channel of the last."""
    output = x.cumsum(1)
    output[:, 0, into] = output[:, 0, into] + x[:, -1, channel]
    return output


def peek_in_one_text(x: torch.Tensor) -> torch.Tensor:
    """Causal, but in texts that begin with a number above zero.

    It goes by the text and not by its place, so that it leaks in the same texts for an
    answer that hands them over one by one.
    """
    output = x.cumsum(1)
    leaking = (x[:, 0, :1] > 0).to(x.dtype)  # (B, 1)
    output[:, 1] = output[:, 1] + leaking * x[:, -1]
    return output


def watched(attention):
    """The function, and a list that fills with every x that it is given."""
    given = []

    def watch(x):
        given.append(x.detach().clone())
        return attention(x)

    return watch, given


def moved(given: list[torch.Tensor]) -> list[int] | None:
    """The positions at which later inputs differ from the first; None if unclear."""
    shapes = {tuple(x.shape) for x in given}
    if len(given) < 2 or len(shapes) > 1 or given[0].dim() != 3:
        return None
    apart = torch.stack([(x != given[0]).any(-1).any(0) for x in given]).any(0)
    return apart.nonzero().flatten().tolist()


def name_moved(places: list[int] | None, last: int) -> None:
    """Raise Mistake if an earlier position than the last was changed."""
    if places and places[0] < last:
        raise Mistake(
            f"It changes position {places[0]}, where only the last, number {last}, should "
            "change. The axes are (B, T, C): the last position is x[:, -1]."
        )


def verdict_on(leaks, attention, x: torch.Tensor) -> bool:
    """What an answer says of a function; raises Mistake if it is no bool."""
    value = leaks(attention, x.clone())
    if isinstance(value, torch.Tensor):
        raise Mistake(
            f"It returns a tensor of shape {tuple(value.shape)}; one bool is wanted, "
            "whatever the size: bool(….any()), for one."
        )
    want_type(value, bool, "leaks(attention, x)")
    return value


def clears_the_causal(leaks, generator):
    x = some_x(generator)
    last = x.shape[1] - 1
    for what, attention in CAUSAL:
        attention, given = watched(attention)
        if not verdict_on(leaks, attention, x):
            continue
        places = moved(given)
        if not verdict_on(leaks, lambda x: peek(x, last - 1), x):
            raise Mistake(
                "Upside down: it says True of a causal function, and False of one that "
                "peeks. True means that it leaks."
            )
        name_moved(places, last)
        if places:
            raise Mistake(
                f"It says True of a function that {what}. The last output may change when "
                "the last input does: compare only those before it."
            )
        raise Mistake(f"It says True of a function that {what}, and peeks at nothing.")


def catches_every_peek(leaks, generator):
    x = some_x(generator)
    last = x.shape[1] - 1
    channel, into = whole(generator, 1, 3), whole(generator, 1, 3)
    every_channel = "Change every channel of the last position, and compare every one."
    peeks = [
        (
            "lets every position see every other",
            lambda x: F.scaled_dot_product_attention(x, x, x),
            "Change the last position, and compare the outputs before it.",
        ),
        *(
            (
                f"lets position {place} read the last one, number {last}",
                lambda x, place=place: peek(x, place),
                "Compare the outputs of all positions but the last.",
            )
            for place in reversed(range(last))
        ),
        (
            f"lets position 0 read channel {channel} of the last one",
            lambda x: peek_at_channel(x, channel, into),
            every_channel,
        ),
        (
            "takes off what all channels share, and then sees everything",
            lambda x: F.scaled_dot_product_attention(*[F.layer_norm(x, (5,))] * 3),
            "Change each channel of the last position by another amount.",
        ),
        (
            "peeks in one text of the batch only",
            peek_in_one_text,
            "Change and compare all texts.",
        ),
        (
            f"lets position {last - 1} read a hundredth of the last one",
            lambda x: peek(x, last - 1, 0.01),
            "Change the last position by more, 1 for one, and let no difference above "
            "1e-5 pass.",
        ),
    ]
    for what, attention, advice in peeks:
        attention, given = watched(attention)
        if verdict_on(leaks, attention, x):
            continue
        if not given:
            raise Mistake("It never calls attention.")
        if moved(given) == []:
            raise Mistake(
                "It gives attention the same x every time, so nothing can change. After "
                "`changed = x` both names mean one tensor; x.clone() makes a second."
            )
        name_moved(moved(given), last)
        raise Mistake(f"It says False of a function that {what}. {advice}")


def rounding_is_no_leak(leaks, generator):
    calls = []

    def rounds_differently(x):
        calls.append(1)
        return 0.1 * x + 3e-7 * (-1) ** len(calls)

    if verdict_on(leaks, rounds_differently, some_x(generator)):
        raise Mistake(
            "It says True of a causal function whose outputs differ by 0.0000006, which is "
            "rounding. Let differences up to 1e-5 pass: torch.allclose has an atol for "
            "that, which is 1e-8 if you don't give it."
        )


def leaves_x_alone(leaks, generator):
    x = some_x(generator)
    for attention in (CAUSAL[1][1], lambda x: peek(x, 2)):
        given = x.clone()
        value = leaks(attention, given)
        want_type(value, bool, "leaks(attention, x)")
        if not alike(given, x, 1e-5):
            raise Mistake(
                "x itself was changed, and whoever uses it next gets the changed one. Work "
                "on a copy: x.clone()."
            )


def _compare(before, after):
    return not torch.allclose(before, after, atol=1e-5)


def _bumped(x, amount=1.0):
    changed = x.clone()
    changed[:, -1] += amount * torch.arange(1, x.shape[-1] + 1)
    return changed


def wrong_all_positions(attention, x):
    return _compare(attention(x), attention(_bumped(x)))


def wrong_first_changed(attention, x):
    changed = x.clone()
    changed[:, 0] += 1
    return _compare(attention(x)[:, 1:], attention(changed)[:, 1:])


def wrong_last_text(attention, x):
    changed = x.clone()
    changed[-1] += 1
    return _compare(attention(x)[:-1], attention(changed)[:-1])


def wrong_last_channel(attention, x):
    changed = x.clone()
    changed[..., -1] += 1
    return _compare(attention(x)[:, :-1], attention(changed)[:, :-1])


def wrong_first_output(attention, x):
    return _compare(attention(x)[:, 0], attention(_bumped(x))[:, 0])


def wrong_neighbour_only(attention, x):
    return _compare(attention(x)[:, -2], attention(_bumped(x))[:, -2])


def wrong_second_name(attention, x):
    changed = x
    changed[:, -1] += 1
    return _compare(attention(x)[:, :-1], attention(changed)[:, :-1])


def wrong_exact(attention, x):
    return not torch.equal(attention(x)[:, :-1], attention(_bumped(x))[:, :-1])


def wrong_default_allclose(attention, x):
    return not torch.allclose(attention(x)[:, :-1], attention(_bumped(x))[:, :-1])


def wrong_tensor(attention, x):
    gap = attention(x)[:, :-1] - attention(_bumped(x))[:, :-1]
    return (gap.abs() > 1e-5).any()


def wrong_upside_down(attention, x):
    return not _compare(attention(x)[:, :-1], attention(_bumped(x))[:, :-1])


def wrong_one_channel(attention, x):
    changed = x.clone()
    changed[:, -1, 0] += 1
    return _compare(attention(x)[:, :-1], attention(changed)[:, :-1])


def wrong_one_text(attention, x):
    return _compare(attention(x)[0, :-1], attention(_bumped(x))[0, :-1])


def wrong_same_step(attention, x):
    changed = x.clone()
    changed[:, -1] += 1
    return _compare(attention(x)[:, :-1], attention(changed)[:, :-1])


def wrong_too_small(attention, x):
    return _compare(attention(x)[:, :-1], attention(_bumped(x, 1e-4))[:, :-1])


def wrong_too_lenient(attention, x):
    gap = attention(x)[:, :-1] - attention(_bumped(x))[:, :-1]
    return bool(gap.abs().max() > 0.1)


def wrong_in_place(attention, x):
    before = attention(x)[:, :-1].clone()
    x[:, -1] += torch.arange(1, x.shape[-1] + 1)
    return _compare(before, attention(x)[:, :-1])


LEAKS = Exercise(
    id="03.leaks",
    title="catch a peek at the future",
    minutes=10,
    rule=(
        "`attention` is a function from (B, T, C) to (B, T, C), and `x` is such a tensor. "
        "Return `True` (a `bool`) if changing the last position of `x` changes the output "
        "of any earlier position, in any text or channel: then `attention` peeks at the "
        "future. A small leak counts too, a hundredth of what you change. Else return "
        "`False`; differences below 1e-5 are rounding. Add a different amount to each "
        "channel, always 1 or more: some layers don't notice if all get the same. `x` "
        "itself must stay as it was."
    ),
    reference=gpt.leaks,
    checks=(
        Check(
            name="clears the causal",
            points=1,
            proves="clears functions that never look ahead",
            hint="Run `attention` twice, on `x` and on a copy whose last position is "
            "different. Which outputs may differ, and which not?",
            run=clears_the_causal,
        ),
        Check(
            name="catches every peek",
            points=2,
            proves="catches a peek from any position, text and channel",
            hint="`x[:, -1]` is the last position of all texts, with all channels; "
            "`[:, :-1]` are all positions before it.",
            run=catches_every_peek,
        ),
        Check(
            name="rounding is no leak",
            points=1,
            proves="is not fooled by rounding",
            hint="`torch.allclose(…, …, atol=1e-5)`",
            run=rounding_is_no_leak,
        ),
        Check(
            name="leaves x alone",
            points=1,
            proves="leaves x as it was",
            hint="`x.clone()` is a copy.",
            run=leaves_x_alone,
        ),
    ),
    wrong=(
        Wrong("all positions", wrong_all_positions, "compare only those before it"),
        Wrong("the first changed", wrong_first_changed, "It changes position 0"),
        Wrong("the last text", wrong_last_text, "It changes position 0"),
        Wrong("the last channel", wrong_last_channel, "It changes position 0"),
        Wrong("the first output", wrong_first_output, "all positions but the last"),
        Wrong("the one before", wrong_neighbour_only, "all positions but the last"),
        Wrong("a second name", wrong_second_name, "the same x every time"),
        Wrong("exactly equal", wrong_exact, "which is rounding"),
        Wrong("allclose alone", wrong_default_allclose, "which is rounding"),
        Wrong("a tensor", wrong_tensor, "one bool is wanted"),
        Wrong("upside down", wrong_upside_down, "Upside down"),
        Wrong("one channel", wrong_one_channel, "Change every channel"),
        Wrong("one text", wrong_one_text, "compare all texts"),
        Wrong("the same in all channels", wrong_same_step, "by another amount"),
        Wrong("too small a change", wrong_too_small, "by more"),
        Wrong("too lenient", wrong_too_lenient, "no difference above"),
        Wrong("x changed", wrong_in_place, "x itself was changed"),
    ),
)

EXERCISES = (SCORES, WEIGHTS, SPLIT_HEADS, PREVIOUS_WORD, LEAKS)
