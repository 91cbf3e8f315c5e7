"""Exercises of lesson 03: scores, the mask, heads, a head by hand, and a leak test."""

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from course_lib import gpt
from course_lib.exercises.compare import same, shown
from course_lib.exercises.form import agrees, mistakes, tenths, whole
from course_lib.exercises.kinds import Check, Exercise, Mistake
from course_lib.exercises.wants import want_type

# 03.scores --------------------------------------------------------------------------

TURNED, ROOT = "key.transpose(-2, -1)", "math.sqrt(query.shape[-1])"
PRODUCTS = f"query @ {TURNED}"
SCORES_OF = f"{PRODUCTS} / {ROOT}"
IN_PLACE = (
    "It writes into the tensors that it is given, as /= and masked_fill_ do, and later cells "
    "still need them. Make new ones: x = x / 2 for x /= 2."
)
UNIT_QUERIES = "query @", "F.normalize(query, dim=-1) @"
UNIT_KEYS = TURNED, "F.normalize(key, dim=-1).mT"

SCORES_MISTAKES = mistakes(
    gpt.scores,
    ("no root", "They are not divided by √D: the larger D, the larger they grow.",
     (f" / {ROOT}", "")),
    ("divided by D", "They are divided by D; divide by its root, √D.", (ROOT, "query.shape[-1]")),
    ("times the root", "They are multiplied by √D; divide by it.", (f" / {ROOT}", f" * {ROOT}")),
    ("** 1/2", "They are divided by D and then by 2, because ** comes before /. Write ** 0.5.",
     (ROOT, "query.shape[-1] ** 1/2")),
    ("the root of T",
     "They are divided by √T, the number of positions. D is the size of a query: the last axis.",
     (ROOT, "math.sqrt(query.shape[-2])")),
    ("divided by T", "They are divided by T, the positions; divide by √D.",
     (ROOT, "query.shape[-2]")),
    ("torch.sqrt", "torch.sqrt takes a tensor, and a size is a plain number: math.sqrt(…).",
     (ROOT, "torch.sqrt(query.shape[-1])")),
    ("rows and columns",
     "Rows and columns are swapped: row i should belong to query i, column j to key j.",
     (PRODUCTS, "key @ query.mT")),
    ("number by number",
     "Query i meets key i only. Each query should meet every key: a matrix product (@), not "
     "number by number (*).", (PRODUCTS, "query * key")),
    ("number by number, added up", ..., (PRODUCTS, "(query * key).sum(-1)")),
    ("keys not turned",
     "(T, D) times (T, D) can't be multiplied: turn the keys on their side first, so that D "
     "meets D.", (TURNED, "key")),
    ("queries turned",
     "The result is (D, D): the sum ran over the positions. Turn the keys, not the queries, so "
     "that it runs over D.", (PRODUCTS, "query.mT @ key")),
    ("query times query", "The queries meet each other; the keys are not used.",
     (TURNED, "query.mT")),
    ("key times key", "The keys meet each other; the queries are not used.",
     ("query @", "key @")),
    ("cosines",
     "The vectors were brought to length one first. Take them as they are: a long key may score "
     "more.", UNIT_QUERIES, UNIT_KEYS, (f" / {ROOT}", "")),
    ("cosines over the root", ..., UNIT_QUERIES, UNIT_KEYS),
    ("reshape",
     "reshape and view only cut the same row of numbers anew, they turn nothing: "
     "key.transpose(-2, -1).", (TURNED, "key.reshape(*key.shape[:-2], *key.shape[:-3:-1])")),
    ("in place", IN_PLACE, (f"return {SCORES_OF}", f"query /= {ROOT}; return {PRODUCTS}")),
    ("softmax too", "The rows sum to one: the softmax comes later, in the weights.",
     (SCORES_OF, f"({SCORES_OF}).softmax(-1)")),
    ("tril", "Scores after the diagonal are 0: the mask comes later, in the weights.",
     (SCORES_OF, f"({SCORES_OF}).tril()")),
    ("key.T",
     "With axes in front, such as (B, H, T, D), the keys are turned wrongly. Turn the last two "
     "axes only, and count from the end: key.transpose(-2, -1).", (TURNED, "key.T")),
    ("axes 0 and 1", ..., (TURNED, "key.transpose(0, 1)")),
    ("axes 1 and 2",
     "Axes may stand in front, or none. Count them from the end: T is axis -2, D is axis -1, as "
     "in key.transpose(-2, -1) and query.shape[-1].", (TURNED, "key.transpose(1, 2)")),
    ("permute", ..., (TURNED, "key.permute(0, 2, 1)")),
    ("axes 2 and 3", ..., (TURNED, "key.transpose(2, 3)")),
    ("two sizes", ..., (f"return {PRODUCTS}", f"_, size = query.shape; return {PRODUCTS}")),
    ("three sizes", ..., (f"return {PRODUCTS}", f"_, _, d = query.shape; return {PRODUCTS}")),
    ("the size of axis 1",
     "With axes in front it divides by something other than √D. D is the last axis, whatever "
     "stands in front: query.shape[-1].", (ROOT, "math.sqrt(query.shape[1])")),
)  # fmt: skip


def scores_plainly(query, key):
    size = query.shape[-1]  # D
    return query @ key.transpose(-2, -1) / math.sqrt(size)


def by_einsum(query, key):
    return torch.einsum("...id,...jd->...ij", query, key) / query.shape[-1] ** 0.5


def pairs(*shapes: tuple) -> Callable:
    """Cases of a query and a key (…, T, D), T and D never the same.

    Those with heads have a graph behind them, as what the lesson's layer hands over.
    """
    return lambda generator: [
        tuple(tenths(generator, *one).requires_grad_(len(one) == 4) for _ in "qk")
        for one in shapes
    ]


SCORES = Exercise(
    id="03.scores", title="the dot product of every query with every key", minutes=8,
    rule=(
        "`query` and `key` both have shape (…, T, D): T positions, D numbers for each. Any "
        "axes may stand in front, such as (B, H) for batch and heads, or none. Return a "
        "tensor (…, T, T): row `i`, column `j` is the dot product of query `i` with key "
        "`j`, divided by √D. (`key.transpose(-2, -1)` swaps the last two axes.)"
    ),
    reference=gpt.scores, plain=scores_plainly,
    checks=(
        Check("every query meets every key", 1, "puts the dot product of query i with key j into row i, column j",
            "A matrix product, `@`, multiplies rows by columns. What must happen to the keys so "
            "that each becomes a column?",
            agrees(by_einsum, pairs((3, 1), (4, 1)), SCORES_MISTAKES)),
        Check("divided by √D", 1, "divides by √D",
            "`math.sqrt(…)` of the length of a single query.",
            agrees(by_einsum, pairs((2, 3), (3, 2), (4, 3), (3, 5)), SCORES_MISTAKES)),
        Check("axes in front", 1, "takes batch and heads in front",
            "`-1` is the last axis and `-2` the one before, however many there are.",
            agrees(by_einsum, pairs((2, 3, 4), (1, 3, 2, 4), (2, 9, 10, 64)), SCORES_MISTAKES)),
    ),
    wrong=SCORES_MISTAKES,
)  # fmt: skip


# 03.attention_weights ---------------------------------------------------------------

LATER = "torch.ones_like(scores, dtype=torch.bool).triu(1)"
MASKED = "scores.masked_fill(later, -torch.inf)"
ALL_OF_IT = f"{MASKED}.softmax(-1)"

WEIGHTS_MISTAKES = mistakes(
    gpt.attention_weights,
    ("mask after softmax",
     "The rows no longer sum to one, because the mask came after the softmax: what it took away "
     "is missing. Mask first.", (ALL_OF_IT, "scores.softmax(-1).masked_fill(later, 0)")),
    ("exp by hand",
     "With scores of 100 it gives NaN: e to the power of 100 is more than a number here can "
     "hold. softmax takes off the row's largest score first.",
     (ALL_OF_IT, "(seen := scores.exp().tril()) / seen.sum(-1, keepdim=True)")),
    ("no mask", "There is no mask: position 0 already looks at all that comes after it.",
     (".masked_fill(later, -torch.inf)", "")),
    ("the past masked",
     "It hides the past and shows the future: the wrong triangle. Mask the places where the key "
     "comes after the query.", (".triu(1)", ".tril(-1)")),
    ("the past and itself",
     "The last row is NaN: you masked the past, and the position itself. Mask what comes after: "
     "triu, not tril.", (".triu(1)", ".tril()")),
    ("itself masked",
     "Row 0 is NaN: you masked the diagonal too, so position 0 may look at nobody. A position "
     "sees itself.", (".triu(1)", ".triu()")),
    ("too little masked",
     "Each position sees the next one: the mask begins one place too late. triu(1) begins right "
     "after the diagonal.", (".triu(1)", ".triu(2)")),
    ("filled with 0",
     "The masked scores were set to about 0, and a score of 0 is a score like others: e⁰ is 1. "
     "Fill with minus infinity, -torch.inf.", ("-torch.inf", "0")),
    ("1e-9 for -1e9", ..., ("-torch.inf", "1e-9")),
    ("plus infinity",
     "Every row with a masked place is NaN. Is it filled with plus infinity? The softmax of "
     "minus infinity is 0.", ("-torch.inf", "torch.inf")),
    ("0 times infinity",
     "Every row holds NaN: zero times infinity? Don't multiply by a mask with infinities; put "
     "them in place with masked_fill or torch.where.", (MASKED, "(scores + later * -torch.inf)")),
    ("in place", IN_PLACE, (".masked_fill(", ".masked_fill_(")),
    ("a mask of numbers", "A mask is True or False: .bool() makes it so.",
     (LATER, "torch.ones_like(scores).triu(1)")),
    ("zeros masked",
     "A score of exactly 0 is masked wherever it stands. Make the mask from places, not from "
     "scores: torch.ones(T, T).triu(1).", (LATER, "scores.tril() == 0")),
    ("softmax of columns",
     "The columns sum to one, the rows don't: the softmax runs over the wrong axis. Row i "
     "shares out what position i has to give.", (".softmax(-1)", ".softmax(-2)")),
    ("softmax(0)", ..., (".softmax(-1)", ".softmax(0)")),
    ("softmax of the table",
     "All rows together sum to one: the softmax ran over the whole table. Each row should sum "
     "to one by itself.", (".softmax(-1)", ".flatten(-2).softmax(-1).view_as(scores)")),
    ("no softmax", "These are still scores. After the mask comes a softmax over each row.",
     (ALL_OF_IT, "scores.tril()")),
    ("softmax forgotten", ..., (".softmax(-1)", "")),
    ("softmax twice", "The softmax runs twice, and makes the zeros of the first positive again.",
     (".softmax(-1)", ".softmax(-1).softmax(-1)")),
    ("log_softmax", "These are logarithms of weights: softmax, not log_softmax.",
     (".softmax(-1)", ".log_softmax(-1)")),
    ("divided by the root of T",
     "The scores are divided once more. They come divided by √D already: take them as they are.",
     (".softmax(-1)", ".div(len(scores) ** 0.5).softmax(-1)")),
    ("divided by T", ..., (".softmax(-1)", ".div(len(scores)).softmax(-1)")),
    ("no exponential",
     "The scores were divided by their sum, and some weights are below zero. Softmax takes e to "
     "the power of each score first.",
     (ALL_OF_IT, "(seen := scores.tril()) / seen.sum(-1, keepdim=True)")),
    ("even weights", "All weights of a row are the same: the scores are not used.",
     ("scores.masked_fill", "(0 * scores).masked_fill")),
    ("softmax(1)",
     "With axes in front, the softmax runs over an axis that is not the last. Count from the "
     "end: -1.", (".softmax(-1)", ".softmax(1)")),
    ("softmax without an axis", ..., (ALL_OF_IT, f"F.softmax({MASKED})")),
    ("len(scores)",
     "With axes in front, the mask has the wrong size. It is T by T, and T is the last axis: "
     "scores.shape[-1].", (LATER, "torch.ones(len(scores), len(scores)).triu(1).bool()")),
    ("two sizes", ..., ("later =", "T, _ = scores.shape; later =")),
    ("the size of axis 1", ...,
     (LATER, "torch.ones(scores.shape[1], scores.shape[1]).triu(1).bool()")),
)  # fmt: skip


def torch_weights(scores):
    """The weights by torch's own attention: with every key and value one-hot, the scores
    go in as they are and the weights come out as they are."""
    one_hot = torch.eye(scores.shape[-1]).expand_as(scores)
    return F.scaled_dot_product_attention(
        scores, one_hot, one_hot, is_causal=True, scale=1.0
    )


def tables(*shapes: tuple) -> Callable:
    """Cases of scores (…, T, T); the larger have a graph behind them."""
    return lambda generator: [
        (tenths(generator, *one).requires_grad_(one[-1] == 10),) for one in shapes
    ]


def tables_of_the_lesson(generator):
    """Small tables, one with an exact 0, and what queries made by hand lead to."""
    small = tenths(generator, 3, 3)
    small[2, whole(generator, 0, 1)] = 0.0
    large = 100.0 * torch.eye(4).roll(1, 0)  # row 0 fits the last key, which is hidden
    return [(tenths(generator, 3, 3),), (small,), (large,), (-large,)]


SMALL = tables((2, 2), (3, 3), (4, 4))
WITH_AXES = tables((3, 2, 2), (2, 1, 3, 3), (1, 4, 2, 2), (2, 3, 2, 2), (2, 9, 10, 10))


def of_tensor(method: Callable) -> Callable:
    """Look at one side of a tensor, and at anything else as it is."""
    return lambda value: method(value) if isinstance(value, torch.Tensor) else value


WEIGHTS = Exercise(
    id="03.attention_weights", title="from scores to attention weights", minutes=10,
    rule=(
        "`scores` has shape (…, T, T): row `i` says how well query `i` fits each key. Any "
        "axes may stand in front, or none. Turn each row into attention weights (shares) by a "
        "softmax over the positions that `i` may look at: itself and all before it. Return "
        "a tensor of the same shape, in which every row sums to 1 and the weights after `i` are 0. "
        "(`x.masked_fill(mask, number)` is a copy of `x` with the number wherever the mask "
        "is True.)"
    ),
    reference=gpt.attention_weights,
    checks=(
        Check("rows sum to one", 1, "gives rows that sum to one",
            "What is taken away after the softmax is missing from the sum. And which axis is a "
            "row?",
            agrees(torch_weights, SMALL, WEIGHTS_MISTAKES,
                   look=of_tensor(lambda value: value.sum(-1)), shows="{}.sum(-1)")),
        Check("the future is hidden", 1, "hides all that comes after",
            "`torch.ones(T, T).triu(1).bool()` is True where the column comes after the row. "
            "Which score becomes a weight of 0?",
            agrees(torch_weights, SMALL, WEIGHTS_MISTAKES,
                   look=of_tensor(lambda value: value.triu(1)), shows="{}.triu(1)")),
        Check("torch agrees", 1, "agrees with torch's own attention",
            "`softmax` of the masked scores, and nothing else.",
            agrees(torch_weights, tables_of_the_lesson, WEIGHTS_MISTAKES)),
        Check("axes in front", 1, "takes batch and heads in front",
            "`softmax(-1)` is over the last axis, however many there are.",
            agrees(torch_weights, WITH_AXES, WEIGHTS_MISTAKES)),
    ),
    wrong=WEIGHTS_MISTAKES,
)  # fmt: skip


# 03.split_heads ---------------------------------------------------------------------

CUT = "reshape(len(x), heads, x.shape[1], -1)"
HALVED = "x.unflatten(-1, (heads, -1)).transpose(1, 2)"

SPLIT_MISTAKES = mistakes(
    gpt.split_heads,
    ("not transposed",
     "The result is (B, T, H, D): swap positions and heads. Wanted: (B, H, T, D).",
     (".transpose(1, 2)", "")),
    ("batch and heads",
     "The result is (H, B, T, D): batch and heads are swapped. Wanted: (B, H, T, D).",
     (HALVED, "torch.stack(x.chunk(heads, dim=-1))")),
    ("heads last",
     "The result is (B, T, D, H): the heads come last, and D before them. Wanted: (B, H, T, D).",
     (HALVED, "x.unflatten(-1, (-1, heads))")),
    ("D and H",
     "The result is (B, D, T, H): H and D are mixed up. There are H heads of D channels each. "
     "Wanted: (B, H, T, D).", (HALVED, "x.unflatten(-1, (-1, heads)).transpose(1, 2)")),
    ("the last two axes",
     "The result is (B, H, D, T): the last two axes are swapped. Wanted: (B, H, T, D).",
     (".transpose(1, 2)", ".permute(0, 2, 3, 1)")),
    ("a list of heads",
     "It returns the heads one by one; put them together into one tensor, heads on axis 1.",
     (HALVED, "list(x.chunk(heads, dim=-1))")),
    ("a tuple of heads", ..., (HALVED, "x.chunk(heads, dim=-1)")),
    ("C / H", "D is a whole number, and / gives 16.0, a float: write C // H.",
     (HALVED, "x.view(*x.shape[:2], heads, x.shape[-1] / heads).transpose(1, 2)")),
    ("view for transpose",
     "Numbers of one position ended up at another. view and reshape only cut the same row of "
     "numbers anew, they don't swap axes: cut the channels first, (B, T, H, D), then transpose.",
     (HALVED, f"x.{CUT}")),
    ("view after transpose", ..., (HALVED, f"x.transpose(1, 2).{CUT}")),
    ("stacked and cut",
     "Numbers of one text ended up in another: the batch was cut anew. Move an axis with "
     "transpose or permute; view and reshape don't move anything.",
     (HALVED, f"torch.stack(x.chunk(heads, dim=-1)).{CUT}")),
    ("interleaved heads",
     "The heads are interleaved, as cards are dealt. Head 0 should get the first D channels, "
     "head 1 the next D: H before D.",
     (HALVED, "x.unflatten(-1, (-1, heads)).permute(0, 3, 1, 2)")),
    ("the same channels", "All heads got the same channels; each should get its own.",
     (HALVED, "torch.stack([x[:, :, : x.shape[-1] // heads]] * heads, dim=1)")),
    ("heads turned round", "The heads are in reverse order: head 0 should get the first D channels.",
     (HALVED, f"{HALVED}.flip(1)")),
)  # fmt: skip


def split_plainly(x, heads):
    B, T, C = x.shape
    cut = x.view(B, T, heads, C // heads)  # (B, T, H, D): cut the channels
    return cut.transpose(1, 2)  # (B, H, T, D): swap positions and heads


def by_slices(x, heads):
    return torch.stack(x.split(x.shape[-1] // heads, dim=-1), dim=1)


def halves(numbers: Callable, *sizes: tuple) -> Callable:
    """Cases of numbers (B, T, H · D): of the sizes B, T, H, D, and of four different ones."""

    def cases(generator):
        drawn = (torch.randperm(5, generator=generator)[:4] + 2).tolist()
        return [
            (numbers(generator, b, t, h * d).requires_grad_(t == 10), h)
            for b, t, h, d in (*sizes, drawn)
        ]

    return cases


def places(generator, texts, positions, channels):
    """Text 1, position 2 holds 12 in all channels, so that only moves of these show."""
    number = 10.0 * torch.arange(texts)[:, None] + torch.arange(positions)  # (B, T)
    return number[:, :, None].repeat(1, 1, channels)


nothing_but_shape = of_tensor(lambda value: torch.full(value.shape, torch.nan))
EQUAL = (2, 3, 2, 2), (2, 2, 3, 2), (2, 2, 2, 3), (3, 2, 2, 2)  # B, T, H, D
LESSON = (2, 10, 9, 64)


SPLIT_HEADS = Exercise(
    id="03.split_heads", title="share the channels out among the heads", minutes=8,
    rule=(
        "`x` has shape (B, T, C). Return one tensor (B, H, T, D), where H is `heads` and "
        "D = C // H (`//` divides whole numbers): head 0 gets the first D channels of every position, head 1 the next D, "
        "and so on. `heads` always divides C."
    ),
    reference=gpt.split_heads, plain=split_plainly,
    checks=(
        Check("the shape", 1, "gives (B, H, T, D)",
            "Two steps: (B, T, C) → (B, T, H, D) → (B, H, T, D).",
            agrees(by_slices, halves(tenths, LESSON), SPLIT_MISTAKES, look=nothing_but_shape)),
        Check("positions stay apart", 1, "keeps texts and positions apart",
            "`x.unflatten(-1, (…, …))` cuts the last axis in two. `transpose` swaps two axes; "
            "`view` and `reshape` swap nothing.",
            agrees(by_slices, halves(places, *EQUAL), SPLIT_MISTAKES)),
        Check("channels stay together", 1, "gives head h channels h·D to (h + 1)·D",
            "What is `x[:, :, :D]`? That is all that head 0 works with.",
            agrees(by_slices, halves(tenths, *EQUAL, LESSON), SPLIT_MISTAKES)),
    ),
    wrong=SPLIT_MISTAKES,
)  # fmt: skip


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


def one_by_one(positions):
    query = torch.zeros(positions, positions)
    key = torch.zeros(positions, positions)
    for i in range(positions):
        key[i, i] = 1  # key i is 1 at place i
        if i > 0:
            query[i, i - 1] = 1_000  # query i fits key i - 1
    return query, key


EYE, WISH, BACK = "torch.eye(positions)", "key.roll(1, 0)", "return query, key"
LONG = "100 * math.sqrt(positions) * wish"
ONE_ROW_EACH = "Give one row for each position, (positions, D), however many there are."
A_TUPLE = "Return two tensors, one after the other: return query, key."
LARGE_ENOUGH = (
    "Infinite times 0 is NaN. A large number will do: scores of 100 are enough."
)
DECIMALS = "Decimal numbers of one kind are wanted: .float() makes them."
SAME_D = "So they can't be multiplied: give both the same D."
AHEAD = (
    "Position i reaches for position i + 1, which the mask hides. Row i should ask for i - 1. "
    "Or are query and key returned the wrong way round?"
)
TURNED_ROUND = "It returns key, query; return query first, then key."
ITSELF = "Every position looks at itself. Query i should fit key i - 1, not its own."
TWO_BACK = "Every position looks two back. Query i should fit key i - 1."
SAME_KEY = (
    "Two positions have the same key, so no query can tell them apart. Each position needs a "
    "key of its own."
)
AT_THE_FIRST = "Every position looks at position 0; each should look one back."
OVERFLOW = (
    "The weights hold NaN: the numbers are so large that the scores overflow. Scores of 100 "
    "are enough."
)
TWO_FIT = "Its query fits two keys as well as each other: it should fit one."
TOO_WEAK = (
    "Too weak: the scores are divided by √D, and the more positions there are, the more share "
    "the rest. Make the queries longer."
)


def swapped_on_a_line(positions):
    place = torch.arange(positions) * 1.0
    query = 100 * torch.stack([2 * (place - 1), -torch.ones(positions)], dim=1)
    return torch.stack([place, place**2], dim=1), query


PREVIOUS_MISTAKES = mistakes(
    previous_word,
    ("looks at itself", ITSELF, (WISH, "key")),
    ("looks ahead", AHEAD, (WISH, "key.roll(1)")),
    ("rolled the other way", AHEAD, (WISH, "key.roll(-1, 0)")),
    ("key and query", AHEAD, (BACK, "return key, query")),
    ("key and query on a line", TURNED_ROUND, swapped_on_a_line),
    ("two back", TWO_BACK, (WISH, "key.roll(2, 0)")),
    ("the first position", AT_THE_FIRST, (WISH, "key[:1].expand_as(key)")),
    ("the same keys", SAME_KEY, (BACK, "return query, torch.ones_like(key)")),
    ("sixteen keys", SAME_KEY, (EYE, "torch.eye(positions, 16)")),
    ("too weak", TOO_WEAK, (LONG, "wish")),
    ("forgets the root", TOO_WEAK, (LONG, "20 * wish")),
    ("fits two", TWO_FIT, (WISH, "key.roll(1, 0) + key")),
    ("from the end", "it should look at", (WISH, "key.flip(0)")),
    ("infinite", LARGE_ENOUGH, (LONG, "torch.inf * wish")),
    ("far too strong", OVERFLOW, (EYE, f"1e30 * {EYE}")),
    ("different D", SAME_D, (BACK, "return query, key[:, :-1]")),
    ("a query too few", ONE_ROW_EACH, (BACK, "return query[1:], key")),
    ("always 8 positions", ONE_ROW_EACH, (EYE, "torch.eye(positions := 8)")),
    ("one number each", ONE_ROW_EACH, (BACK, "return query[0], key[0]")),
    ("one tensor", A_TUPLE, (BACK, "return torch.stack([query, key])")),
    ("a list", A_TUPLE, (BACK, "return [query, key]")),
    ("the weights", A_TUPLE, (BACK, "return wish")),
    ("double and float", DECIMALS, (BACK, "return query.double(), key")),
    ("whole numbers", DECIMALS, (BACK, "return query.long(), key.long()")),
)  # fmt: skip


def made_by(answer: Callable, positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The answer's queries and keys, (positions, D) both; raises Mistake if not."""
    made, call = answer(positions), f"previous_word({positions})"
    if type(made) is not tuple or len(made) != 2:
        raise Mistake(f"{call} gives {shown(made)}. {A_TUPLE}")
    shapes = [tuple(getattr(rows, "shape", ())) for rows in made]
    told = f"{call} gives a query of shape {shapes[0]} and a key of {shapes[1]}."
    for rows, shape in zip(made, shapes):
        want_type(rows, torch.Tensor, f"A part of {call}")
        for fine, words in (
            (len(shape) == 2 and shape[0] == positions, ONE_ROW_EACH),
            (rows.is_floating_point() and rows.dtype is made[0].dtype, DECIMALS),
            (bool(rows.isfinite().all()), LARGE_ENOUGH),
        ):
            if not fine:
                raise Mistake(f"{told} {words}")
    if shapes[0] != shapes[1]:
        raise Mistake(f"{told} {SAME_D}")
    return made[0].detach(), made[1].detach()


def weights_of(query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    weights = gpt.attention_weights(gpt.scores(query, key))
    if weights.isnan().any():
        raise Mistake(OVERFLOW)
    return weights


def two_tables(previous_word, generator):
    for positions in (2, whole(generator, 3, 63), 64):
        made_by(previous_word, positions)


def looks_one_back(previous_word, generator):
    for positions in (whole(generator, 5, 9), 10, 64):
        query, key = made_by(previous_word, positions)
        seen = weights_of(query, key)[1:].argmax(-1)  # position 0 has no previous one
        place = torch.arange(positions)
        if torch.equal(seen, place[:-1]):
            continue
        reached = gpt.scores(query, key)[1:-1].argmax(-1)  # without the mask
        turned_round = weights_of(key, query)[1:].argmax(-1)
        for found, words in (
            (torch.equal(reached, place[2:]), AHEAD),
            (torch.equal(turned_round, place[:-1]), TURNED_ROUND),
            (torch.equal(seen, place[1:]), ITSELF),
            (torch.equal(seen[1:], place[:-2]), TWO_BACK),
            (len(key[:-1].unique(dim=0)) < positions - 1, SAME_KEY),  # the last is free
            (not seen.any(), AT_THE_FIRST),
        ):
            if found:
                raise Mistake(words)
        i = int((seen != place[:-1]).nonzero()[0]) + 1
        raise Mistake(
            f"In previous_word({positions}) position {i} looks most at {int(seen[i - 1])}; "
            f"it should look at {i - 1}."
        )


def looks_firmly(previous_word, generator):
    for positions in (2, whole(generator, 3, 63), 64):
        weights = weights_of(*made_by(previous_word, positions))
        given = weights.diagonal(-1)  # (T - 1,): from i to i - 1
        i = int(given.argmin()) + 1
        most, other = weights[i].topk(2).values.tolist()
        if float(given[i - 1]) < 0.9:
            raise Mistake(
                f"In previous_word({positions}) position {i} gives only {given[i - 1]:.2f} of "
                f"its weight to position {i - 1}; 0.9 is wanted. "
                + (TOO_WEAK if other < 0.9 * most else TWO_FIT)
            )


PREVIOUS_WORD = Exercise(
    id="03.previous_word", title="build a head that looks one word back", minutes=15,
    rule=(
        "No training: write down the queries and keys yourself. Return a tuple `query, "
        "key` of two tensors of decimal numbers, both (positions, D), one row for each "
        "position; any D will do. In `attention_weights(scores(query, key))` every "
        "position `i` from 1 on must give at least 0.9 of its weight to position `i - 1`; "
        "position 0 sees only itself, the mask takes care of that. It must work for any "
        "number of `positions` from 2 to 64."
    ),
    reference=previous_word, plain=one_by_one,
    checks=(
        Check("a query and a key for each", 1, "gives each position a query and a key",
            "`return query, key`, both with as many rows as there are positions.", two_tables),
        Check("looks one back", 2, "makes every position look at the one before",
            "Let the key of position j be 1 at place j and 0 elsewhere: `torch.eye(positions)`. "
            "What should query i be, to fit key i - 1 and no other?", looks_one_back),
        Check("firmly", 1, "gives it 0.9 of the weight, among up to 64 positions",
            "Multiply the queries by a large number. How large, if the scores are divided by "
            "√D?", looks_firmly),
    ),
    wrong=PREVIOUS_MISTAKES,
)  # fmt: skip


# 03.leaks ---------------------------------------------------------------------------

STEP, LAST = "torch.arange(1, x.shape[-1] + 1).to(x)", "changed[:, -1] +="
BOTH = "before, after = attention(x)[:, :-1], attention(changed)[:, :-1]"
VERDICT = "not torch.allclose(before, after, atol=1e-5)"
X_CHANGED = (
    "x itself was changed, and whoever uses it next gets the changed one. Work on a copy: "
    "x.clone()."
)

LEAKS_MISTAKES = mistakes(
    gpt.leaks,
    ("all positions",
     "It says True of causal functions. The last output may change when the last input does: "
     "compare only those before it.", (BOTH, "before, after = attention(x), attention(changed)")),
    ("upside down",
     "Upside down: it says True of a causal function, and False of one that peeks. True means "
     "that it leaks.", (VERDICT, VERDICT[4:])),
    ("the first changed",
     "It says True of functions that never read the last position. Does it change another, or "
     "more? The axes are (B, T, C): the last position is x[:, -1], and the outputs before it "
     "are [:, :-1].", (LAST, "changed[:, 0] +="), (BOTH, BOTH.replace(":-1", "1:"))),
    ("the last text, outputs before the last", ..., (LAST, "changed[-1] +=")),
    ("the last channel", ..., (f"{LAST} {STEP}", "changed[..., -1] += 1")),
    ("everything", ..., (LAST, "changed +=")),
    ("the second-to-last", ..., (LAST, "changed[:, -2] +=")),
    ("the last text",
     "It changes a text, not a position. The axes are (B, T, C): the last position of every "
     "text is x[:, -1], and the outputs before it are [:, :-1].",
     (LAST, "changed[-1] +="), (BOTH, BOTH.replace("[:, :-1]", "[:-1]"))),
    ("channels for positions",
     "It takes channels for positions. The axes are (B, T, C): the last position is x[:, -1], "
     "and the outputs before it are [:, :-1].",
     (f"{LAST} {STEP}", "changed[..., -1] += 1"), (BOTH, BOTH.replace("[:, :-1]", "[..., :-1]"))),
    ("the first output",
     "It misses some positions. Compare the outputs of all positions but the last, [:, :-1].",
     (BOTH, BOTH.replace(":-1", "0"))),
    ("one too few", ..., (BOTH, BOTH.replace(":-1", ":-2"))),
    ("the one before", ..., (BOTH, BOTH.replace(":-1", "-2"))),
    ("a second name",
     "It says False whatever the function does. Does attention get the same x every time, so "
     "that nothing can change? After `changed = x` both names mean one tensor; x.clone() makes "
     "a second.", ("x.clone()", "x")),
    ("nothing changed", ..., (f"{LAST} {STEP}", "pass")),
    ("x changed", X_CHANGED,
     ("    changed = x.clone()\n", "    before = attention(x)[:, :-1].clone()\n    changed = x\n"), (BOTH, "after = attention(changed)[:, :-1]")),
    ("exactly equal",
     "It says True of a function whose earlier outputs differ by less than 0.000001, which is "
     "rounding. Let differences up to 1e-5 pass: torch.allclose has an atol for that, which is "
     "1e-8 if you don't give it.", (VERDICT, "not torch.equal(before, after)")),
    ("allclose alone", ..., (", atol=1e-5", "")),
    ("a tensor",
     "It returns a tensor; one bool is wanted, whatever the size: bool(….any()), for one.",
     (VERDICT, "((before - after).abs() > 1e-5).any()")),
    ("a tensor of all", ..., (VERDICT, "(before - after).abs() > 1e-5")),
    ("only up",
     "It misses an output that moves the other way: a change may go down too. Take .abs().",
     (VERDICT, "bool((after - before).max() > 1e-5)")),
    ("only down", ..., (VERDICT, "bool((before - after).max() > 1e-5)")),
    ("the sum",
     "Differences of two signs add up to 0: take .abs() of each first, or torch.allclose.",
     (VERDICT, "bool((after - before).sum().abs() > 1e-5)")),
    ("the sum of the channels", ...,
     (VERDICT, "not torch.allclose(before.sum(-1), after.sum(-1), atol=1e-5)")),
    ("all of them", "It says True only if every output leaks. One is enough: .any(), not .all().",
     (VERDICT, "bool(((before - after).abs() > 1e-5).all())")),
    ("the first channel changed",
     "It misses a peek at some channels. Change every channel of the last position, and compare "
     "every one.", (f"{LAST} {STEP}", "changed[:, -1, 0] += 1")),
    ("the first channel compared", ..., (BOTH, BOTH.replace(":-1]", ":-1, 0]"))),
    ("the last channel of the last", ..., (f"{LAST} {STEP}", "changed[:, -1, -1] += 1")),
    ("the first text",
     "It misses a function that peeks in one text of the batch only. Change and compare all "
     "texts.", (BOTH, BOTH.replace("[:, :-1]", "[0, :-1]"))),
    ("the last text compared", ..., (BOTH, BOTH.replace("[:, :-1]", "[-1, :-1]"))),
    ("the same in all channels",
     "It misses a function that takes off what all channels share, as LayerNorm does. Change "
     "each channel of the last position by another amount.", (STEP, "1")),
    ("too small a change",
     "It misses a function in which every position reads a hundredth of the one before. Change "
     "the last position by more, 1 for one, and let no difference above 1e-5 pass.",
     (STEP, f"1e-4 * {STEP}")),
    ("too lenient", ..., (VERDICT, "bool((before - after).abs().max() > 0.1)")),
)  # fmt: skip


def written(text: str, peeks: bool) -> Callable:
    """A function of x that shows the text which it is made of."""
    function = eval(f"lambda x: {text}", {"torch": torch, "F": F})
    function.__name__, function._peeks = f"lambda x: {text}", peeks
    return function


def as_written(attention, x):
    return attention._peeks


def what_moves(inputs: tuple, value: object, wanted: bool) -> str:
    """Which output before the last moves most, and how far, if the last input does."""
    attention, x = inputs
    changed = x.clone()
    changed[:, -1] += torch.arange(1, x.shape[-1] + 1)
    moved = (attention(changed) - attention(x))[:, :-1].detach()
    if not wanted:
        return "no output before the last moves by more than 1e-5"
    place = [int(i) for i in torch.unravel_index(moved.abs().argmax(), moved.shape)]
    return (
        f"add 1, 2, 3 to the last position's channels, and output {place} moves by "
        f"{float(moved[*place]):.2g}. Do you compare it, and take .abs()?"
    )


CAUSAL = (
    "2 * x",
    "x.cumsum(1)",
    "x[:, :1].expand_as(x)",  # all see the first
    "F.pad(x, (0, 0, 1, -1))",  # each sees the one before, the first sees nothing
    "F.pad(x[:, -1:], (0, 0, 3, 0))",  # the last sees itself, the others nothing
    "x.roll(1, 0)",  # each text sees another text
    "F.scaled_dot_product_attention(x, x, x, is_causal=True).view(1, 6, 8)",  # the lesson's
    "x * torch.ones(3, requires_grad=True)",  # as from a layer that learns
)
PEEKS = (
    "x.sum(1, keepdim=True).expand_as(x)",  # all see all
    "-x.sum(1, keepdim=True).expand_as(x)",
    "x.roll(1, 1)",  # position 0 reads the last one, number 3
    "x.roll(2, 1)",  # position 1 does
    "x.roll(-1, 1)",  # position 2 does
    "-x.roll(1, 1)",
    "x.flip(1)",
    "x.roll(1, 1) - x.roll(2, 1)",
    "x.roll(1, 1).sum(-1, keepdim=True) * torch.tensor([1, -1, 0])",
    *(f"x.roll(1, 1) * torch.eye(3)[{channel}]" for channel in range(3)),
    *(f"(x.roll(1, 1) * torch.eye(3)[{c}]).roll(1, 2)" for c in range(3)),
    "F.layer_norm(x, (3,), eps=0).roll(1, 1)",
    "x.roll(1, 1) * (x[:, :1, :1] > 0)",  # in text 1 only
    "x.roll(1, 1) * (x[:, :1, :1] < 0)",  # in text 0 only
    "x + 0.01 * x.roll(1, 1)",
    "F.scaled_dot_product_attention(x, x, x).view(1, 6, 8)",
)
ROUNDED = "3e-7 * torch.sin(x.roll(1, 1))"  # what is so small counts as rounding


def some_x(generator: torch.Generator) -> torch.Tensor:
    """x (B, T, C) = (2, 4, 3); its first number is above zero in text 1 only."""
    x = tenths(generator, 2, 4, 3)
    x[:, 0, 0] = torch.tensor([-1.0, 1.0])
    return x


def some(*texts: str) -> Callable:
    """Cases of these functions; those in PEEKS peek, those with view take one shape."""

    def cases(generator):
        long = torch.randn(1, 6, 8, generator=generator)
        return [
            (
                written(text, text in PEEKS),
                long if "view" in text else some_x(generator),
            )
            for text in texts
        ]

    return cases


TWO_OF_EACH = *CAUSAL[:2], *PEEKS[:2]


def leaves_x_alone(leaks, generator):
    for attention, x in some(*TWO_OF_EACH)(generator):
        given = x.clone()
        leaks(attention, given)
        if not same(given, x):
            raise Mistake(X_CHANGED)


LEAKS = Exercise(
    id="03.leaks", title="catch a peek at the future", minutes=10,
    rule=(
        "`attention` is a function from (B, T, C) to (B, T, C), and `x` is such a tensor. "
        "Work on a copy of `x`. Add a number to every channel of its last position. Each "
        "number is 1 or more, and no two channels get the same (for example 1, 2, 3, …). Return `True` (a `bool`) if the output of any earlier position moves, up "
        "or down: then `attention` peeks at the future. Else return `False`; differences "
        "below 1e-5 are rounding. `x` itself must stay as it was."
    ),
    reference=gpt.leaks,
    checks=(
        Check("clears the causal", 1, "clears functions that never look ahead",
            "Run `attention` twice, on `x` and on a copy whose last position is different. "
            "Which outputs may differ, and which not?",
            agrees(as_written, some(*CAUSAL, *PEEKS[:2]), LEAKS_MISTAKES, why=what_moves)),
        Check("catches every peek", 2, "catches a peek from any position, text and channel",
            "`x[:, -1]` is the last position of all texts, with all channels; `[:, :-1]` are "
            "all positions before it.",
            agrees(as_written, some(*PEEKS), LEAKS_MISTAKES, why=what_moves)),
        Check("rounding is no leak", 1, "is not fooled by rounding",
            "`torch.allclose(…, …, atol=1e-5)`",
            agrees(as_written, some(ROUNDED, *TWO_OF_EACH), LEAKS_MISTAKES, why=what_moves)),
        Check("leaves x alone", 1, "leaves x as it was",
            "`x.clone()` is a copy.", leaves_x_alone),
    ),
    wrong=LEAKS_MISTAKES,
)  # fmt: skip

EXERCISES = (SCORES, WEIGHTS, SPLIT_HEADS, PREVIOUS_WORD, LEAKS)
