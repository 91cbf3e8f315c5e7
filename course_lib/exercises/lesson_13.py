"""Exercises of lesson 13: scores of heads, switching off, patching, probes, what is left."""

from functools import partial

import numpy as np
import torch

from course_lib import features, induction, patching
from course_lib.exercises.form import agrees, instead, mistakes, tenths, whole
from course_lib.exercises.kinds import Check, Exercise


def pattern(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Weights as attention gives them (…, T, T): rows that look back and sum to one."""
    part = tenths(generator, *shape, shape[-1]).abs().tril()
    return part / part.sum(-1, keepdim=True)


# 13.previous_scores -------------------------------------------------------------------

DIAGONAL = "patterns.diagonal(-1, dim1=-2, dim2=-1).mean(-1)"
PREVIOUS_MISTAKES = mistakes(
    induction.previous_scores,
    *instead(DIAGONAL, {
        "patterns.diagonal(0, dim1=-2, dim2=-1).mean(-1)":
            "That is the weight each position gives to itself. Row i, column i − 1 is what it "
            "gives to the one before.",
        "patterns.diagonal(1, dim1=-2, dim2=-1).mean(-1)":
            "It reads row i, column i + 1, the token after: nobody looks there. Row i looks, "
            "column i − 1 is looked at.",
        "patterns.diagonal(-2, dim1=-2, dim2=-1).mean(-1)":
            "That is two places back: the token before stands in column i − 1.",
        "patterns.diagonal(-1, dim1=-2, dim2=-1).sum(-1) / patterns.shape[-1]":
            "It divides by T. Position 0 has no token before it, so there are T − 1 weights to "
            "take the mean of.",
        "patterns.diagonal(-1, dim1=-2, dim2=-1).sum(-1)":
            "The weights are added up: divide by how many there are, for a mean.",
        "patterns.diagonal(-1, dim1=-2, dim2=-1).amax(-1)":
            "One position is not enough: take the mean over positions, not the largest.",
        "patterns[..., -1, -2]":
            "That is the last position's weight alone: take the mean over all positions.",
        "(patterns.argmax(-1)[..., 1:] == torch.arange(patterns.shape[-1] - 1))"
        ".float().mean(-1)":
            "It counts the positions that look there most. The score is the mean of the weights "
            "themselves.",
        "patterns.diagonal(-1, dim1=-2, dim2=-1).mean()":
            "One number comes out for all heads together: each head has a score of its own, so "
            "the mean is over the last axis, -1.",
    }),
    ("the first column",
     "It reads column 0 of every row: that is the first token, not the one before.",
     (DIAGONAL, "patterns[..., 1:, 0].mean(-1)")),
)  # fmt: skip


def by_looking_back(patterns):
    """The same with numpy, one position after the other."""
    array = patterns.numpy().astype(np.float64)
    rows = [array[..., i, i - 1] for i in range(1, array.shape[-1])]
    return torch.tensor(np.mean(rows, 0)).float()


def previous_plainly(patterns):
    total, count = 0, patterns.shape[-1]
    for i in range(1, count):
        total = total + patterns[..., i, i - 1]
    return total / (count - 1)


scored = partial(agrees, by_looking_back, wrong=PREVIOUS_MISTAKES)

PREVIOUS = Exercise(
    id="13.previous_scores", title="who looks at the token before?", minutes=6,
    reference=induction.previous_scores, plain=previous_plainly,
    rule=(
        "`patterns` are attention weights: row i of a pattern is what position i looks at. Each "
        "head has a pattern (T, T), in the last two axes of `patterns`: its shape is `(T, T)` for "
        "one head, or `(L, H, T, T)` for all heads of a model. Give each head's mean weight on the "
        "token right before, over the positions that have one: from `(…, T, T)` to `(…)`."
    ),
    checks=(
        Check("one head", 2, "takes the mean weight on the token before",
              "Row 1 column 0, row 2 column 1, …: `patterns.diagonal(-1, …)`, or a loop.",
              scored(lambda g: [(pattern(g, 3),), (pattern(g, 4),), (pattern(g, 2),)])),
        Check("all heads", 2, "gives a score for each head of each layer",
              "Leave all axes but the last two as they are: `patterns[..., i, i - 1]`.",
              scored(lambda g: [(pattern(g, 2, 3),), (pattern(g, 3, 2, 5),),
                                (pattern(g, 2, 2, 3),)])),
    ),
    wrong=PREVIOUS_MISTAKES,
)  # fmt: skip


# 13.induction_scores ------------------------------------------------------------------

BACK, SLICE = "back = period - 1", "[..., -period:]"
INDUCTION_MISTAKES = mistakes(
    induction.induction_scores,
    *instead(BACK, {
        "back = period":
            "It looks at the same token, told a period ago. An induction head looks one place "
            "later, at what came after it: period − 1 back.",
        "back = period + 1":
            "That is the token before the same one. What came after it stands one place later: "
            "period − 1 back.",
        "back = 1":
            "That is the token right before, whatever the period is.",
        "back = period - 2":
            "That is two places after the same token: it is one place too far.",
    }),
    *instead(SLICE, {
        "":
            "It counts positions that have no copy to look at as well. Only the last `period` "
            "positions are the second copy.",
        ("[..., -1:]", "[..., -period:][..., :1]"):
            "One position is not enough: take the mean over the second copy, `period` positions.",
        "[..., :period]":
            "It takes the first positions of that diagonal. The second copy is at the end: the "
            "last `period` of them.",
        "[..., 1 - period :]":
            "It leaves out the first position of the second copy: there are `period` of them.",
    }),
    ("the other triangle",
     "It reads above the diagonal, where nobody looks: the row looks, and is the later one.",
     ("diagonal(-back", "diagonal(back")),
    ("the sum", "The weights are added up; the score is their mean.",
     (".mean(-1)", ".sum(-1)")),
    ("all heads at once",
     "One number comes out for all heads together: each head has a score of its own.",
     (".mean(-1)", ".mean()")),
    ("the largest", "The largest weight is luck: take the mean.", (".mean(-1)", ".amax(-1)")),
)  # fmt: skip


def by_looking_up(patterns, period):
    """For each position of the second copy: find where its token stood, go on by one."""
    array, count = patterns.numpy().astype(np.float64), patterns.shape[-1]
    rows = [array[..., q, q - period + 1] for q in range(count - period, count)]
    return torch.tensor(np.mean(rows, 0)).float()


def induction_plainly(patterns, period):
    total, count = 0, patterns.shape[-1]
    for i in range(count - period, count):
        total = total + patterns[..., i, i - period + 1]
    return total / period


looked = partial(agrees, by_looking_up, wrong=INDUCTION_MISTAKES)

INDUCTION = Exercise(
    id="13.induction_scores", title="who looks at what came next?", minutes=8,
    reference=induction.induction_scores, plain=induction_plainly,
    rule=(
        "A text ends with `period` tokens told twice: the last `period` positions are the second "
        "copy. `patterns` are its attention weights, (…, T, T). Each token of the second copy has "
        "stood in the text before, `period` places back. Give each head's mean weight on the "
        "place right *after* that one, over the positions of the second copy: (…). There may be "
        "other tokens in front of the first copy."
    ),
    checks=(
        Check("two copies", 3, "looks at the token after the same one",
              "With a period of 3, position 5 has its token at position 2, and looks at 3. How "
              "far back is that?",
              looked(lambda g: [(pattern(g, 4), 2), (pattern(g, 6), 3), (pattern(g, 8), 4)])),
        Check("a start token", 1, "is not confused by tokens in front",
              "Count from the end: the second copy is the last `period` positions.",
              looked(lambda g: [(pattern(g, 5), 2), (pattern(g, 9), 3)])),
        Check("all heads", 1, "gives a score for each head of each layer",
              "Leave all axes but the last two as they are.",
              looked(lambda g: [(pattern(g, 2, 3, 7), 3), (pattern(g, 1, 2, 4), 2)])),
    ),
    wrong=INDUCTION_MISTAKES,
)  # fmt: skip


# 13.without ---------------------------------------------------------------------------

CUT = "mixed[..., head * size : (head + 1) * size] = 0"
WITHOUT_MISTAKES = mistakes(
    patching.without,
    *instead(CUT, {
        "mixed[..., head] = 0":
            "It sets one channel to zero for each head. A head has `size` channels: from "
            "head · size on.",
        "mixed[..., head::mixed.shape[-1] // size] = 0":
            "It takes channels that lie apart. A head's channels stand side by side.",
        "mixed[..., head : head + size] = 0":
            "It begins at channel `head`; head 1 begins where head 0 ends: at head · size.",
        "mixed[..., head * size : head * size + 1] = 0":
            "Only the first channel of the head is set to zero: it has `size` of them.",
        "mixed[..., head * size :] = 0":
            "It goes on to the end: the heads after this one are off as well.",
        "mixed[..., : (head + 1) * size] = 0":
            "It begins at channel 0: the heads before this one are off as well.",
        "mixed[..., (head - 1) * size : head * size] = 0":
            "Heads count from 0: that switches off the one before.",
        "mixed[..., head, :] = 0":
            "It sets a position to zero, with all its heads. The heads are side by side in the "
            "last axis.",
        "mixed[..., head * size : (head + 1) * size] *= -1":
            "The head says the opposite: that is not off. Zeros add nothing.",
    }),
    ("the first only", "Only the first head of the list is off: does it return too early?",
     ("for head in heads:", "for head in heads[:1]:")),
    ("keeps them",
     "It keeps the heads of the list and switches off the others.",
     ("for head in heads:",
      "for head in set(range(mixed.shape[-1] // size)) - set(heads):")),
    ("nothing", "Nothing changes: the mixed values come back as they were.", (CUT, "pass")),
)  # fmt: skip


def with_a_mask(mixed, heads, size):
    """The same by multiplying with ones and zeros."""
    mask = np.ones((mixed.shape[-1] // size, size), dtype=np.float32)
    mask[list(heads)] = 0
    return mixed * torch.from_numpy(mask.reshape(-1))


def some_heads(generator, *shape):
    """Mixed values (…, H·D) of three or four heads, and two of these heads."""
    heads, size = whole(generator, 3, 4), whole(generator, 2, 3)
    which = torch.randperm(heads, generator=generator)[:2].tolist()
    return tenths(generator, *shape, heads * size), which, size


switched = partial(agrees, with_a_mask, wrong=WITHOUT_MISTAKES)

WITHOUT = Exercise(
    id="13.without", title="switch heads off", minutes=6,
    reference=patching.without,
    rule=(
        "`mixed` (…, H · D) is what the heads of a layer give before the output matrix, side by side: the first `size` "
        "channels of the last axis are head 0's, the next `size` are head 1's, and so on. Give a "
        "copy in which the channels of all `heads`, a list of numbers, are zero. `mixed` itself "
        "must stay as it is: `mixed.clone()`."
    ),
    checks=(
        Check("one vector", 2, "sets the right channels to zero",
              "Head h has the channels from h · size up to (h + 1) · size.",
              switched(lambda g: [some_heads(g), some_heads(g), some_heads(g)])),
        Check("a text", 1, "does so at every position of every text",
              "`mixed[..., a:b] = 0` leaves all axes in front as they are.",
              switched(lambda g: [some_heads(g, 4), some_heads(g, 2, 4)])),
        Check("no heads", 1, "changes nothing for an empty list",
              "For no heads a copy comes back.",
              switched(lambda g: [(tenths(g, 6), [], 2), some_heads(g, 4)])),
    ),
    wrong=WITHOUT_MISTAKES,
)  # fmt: skip


# 13.patched ---------------------------------------------------------------------------

PUT, COPIES = (
    "rows[row, position] = other[position]",
    "stream.repeat(len(positions), 1, 1)",
)
PATCHED_MISTAKES = mistakes(
    patching.patched,
    *instead(PUT, {
        "rows[:, position] = other[position]":
            "Every row gets all positions: row k should have position positions[k] of the other "
            "text, and no more.",
        "rows[row, : position + 1] = other[: position + 1]":
            "All positions up to this one are patched: a row takes one position only.",
        "rows[row, position:] = other[position:]":
            "All positions from this one on are patched: a row takes one position only.",
        "rows[row, row] = other[row]":
            "It patches position `row`. The place is positions[row], which may be another.",
        "rows[row, position] = other[row]":
            "The vector comes from another place than it goes to: take other[position].",
        "rows[row, position] += other[position]":
            "The other text's vector is added; it should replace what was there.",
        "rows[row, position] = 0":
            "That switches the position off: its vector comes from `other`.",
        "rows[row, :, position] = other[:, position]":
            "It takes a channel at all positions. The middle axis of the rows is the position.",
        "rows[row] = other":
            "The whole of the other text is put in: a row takes one position only.",
    }),
    ("the wrong way",
     "It patches `stream` into `other`: it is `other` that is put into copies of `stream`.",
     (COPIES, "other.repeat(len(positions), 1, 1)"), (PUT, "rows[row, position] = stream[position]")),
    ("one after the other",
     "A row has the patches of those before it as well: start each from `stream` anew.",
     (PUT, "rows[row:, position] = other[position]")),
    ("a list",
     "It is a list of rows: torch.stack(…) makes one tensor of them.",
     ("return rows", "return list(rows)")),
)  # fmt: skip


def with_where(stream, other, positions):
    """The same by choosing, number for number."""
    count = len(stream)
    here = np.arange(count) == np.array(positions)[:, None]  # (rows, T)
    chosen = np.where(here[:, :, None], other.numpy(), stream.numpy())
    return torch.from_numpy(chosen)


def two_streams(generator, most=4):
    count, channels = whole(generator, 3, most), whole(generator, 2, 3)
    places = torch.randperm(count, generator=generator)[:2].tolist()
    shape = (count, channels)
    return tenths(generator, *shape), tenths(generator, *shape), places


put = partial(agrees, with_where, wrong=PATCHED_MISTAKES)

PATCHED = Exercise(
    id="13.patched", title="patch one position at a time", minutes=8,
    reference=patching.patched,
    rule=(
        "`stream` and `other` (T, C) are the residual streams of two texts at the same layer. "
        "Give a tensor (len(positions), T, C): one copy of `stream` for each of `positions`. In "
        "row k, the vector at position `positions[k]` is that of `other` at this position, and "
        "all else is `stream`'s. Leave both as they are."
    ),
    checks=(
        Check("two places", 3, "patches one position in each copy",
              "`stream.repeat(len(positions), 1, 1)` makes the copies; then one vector in each.",
              put(lambda g: [two_streams(g), two_streams(g)])),
        Check("all places", 1, "patches every position in turn",
              "positions may be all of them, in any order.",
              put(lambda g: [(tenths(g, 3, 2), tenths(g, 3, 2), [2, 0, 1]),
                             (tenths(g, 6, 2), tenths(g, 6, 2), [3, 4, 5])])),
    ),
    wrong=PATCHED_MISTAKES,
)  # fmt: skip


# 13.probe -----------------------------------------------------------------------------

MEAN = "mean, spread = x.mean(0), x.std(0) + 1e-6"
BOTH = "x, new_x = (x - mean) / spread, (new_x - mean) / spread"
FIT = "direction = fit(x, y)"
NEW = "right(direction, new_x, new_y)"
RETURN = "return right(direction, x, y), right(direction, new_x, new_y)"
SEEN = (
    "The new vectors had a say in how the probe was made: mean, spread and direction must come "
    "from x and y alone, or the second share is too good."
)
PROBE_MISTAKES = mistakes(
    features.probe,
    ("on all vectors", SEEN,
     (FIT, "direction = fit(torch.cat([x, new_x]), torch.cat([y, new_y]))")),
    ("on the new ones", SEEN, (FIT, "direction = fit(new_x, new_y)")),
    ("a mean of all", SEEN,
     (MEAN, "mean, spread = torch.cat([x, new_x]).mean(0), torch.cat([x, new_x]).std(0) + 1e-6")),
    ("a mean of their own",
     "The new vectors are brought to a mean and spread of their own. Use those of x: a probe "
     "may meet a single new vector.",
     (BOTH, "x, new_x = (x - mean) / spread, "
            "(new_x - new_x.mean(0)) / (new_x.std(0) + 1e-6)")),
    ("new ones as they are",
     "x is brought to mean 0 and spread 1, and new_x is not: the direction doesn't fit them.",
     (BOTH, "x = (x - mean) / spread")),
    ("none at all",
     "Nothing is brought to mean 0 and spread 1: a channel with large numbers counts for more.",
     (BOTH, "pass")),
    ("no mean taken off", "The mean is not taken off: then 0 does not lie between the two kinds.",
     (BOTH, "x, new_x = x / spread, new_x / spread")),
    ("no spread", "The channels are not brought to one spread: divide by it.",
     (BOTH, "x, new_x = x - mean, new_x - mean")),
    ("one mean for all channels",
     "There is one mean for all channels; each channel has a mean and a spread of its own, "
     "x.mean(0).", (MEAN, "mean, spread = x.mean(), x.std() + 1e-6")),
    ("the order", "The shares are swapped: first on x, then on the new vectors.",
     (RETURN, "return right(direction, new_x, new_y), right(direction, x, y)")),
    ("one share twice",
     "Both shares are of x: the second one is of new_x and new_y.", (NEW, "right(direction, x, y)")),
    ("one share", "One share comes back, and there should be two: on x, and on the new vectors.",
     (RETURN, "return right(direction, new_x, new_y)")),
    ("a share of mistakes", "That is the share that is wrong.",
     (RETURN, "return 1 - right(direction, x, y), 1 - right(direction, new_x, new_y)")),
)  # fmt: skip


def by_least_squares(x, y, new_x, new_y):
    """The leash as rows of its own, in numpy: a zero wanted of every channel."""
    given, wanted, fresh = (one.numpy().astype(np.float64) for one in (x, y, new_x))
    mean, spread = given.mean(0), given.std(0, ddof=1) + 1e-6
    given, fresh = (given - mean) / spread, (fresh - mean) / spread
    count, channels = given.shape
    rows = np.concatenate([given, np.sqrt(count) * np.eye(channels)])
    goal = np.concatenate([wanted, np.zeros(channels)])
    direction = np.linalg.lstsq(rows, goal, rcond=None)[0]
    pairs = ((given, wanted), (fresh, new_y.numpy()))
    first, second = (float(np.mean(np.sign(a @ direction) == b)) for a, b in pairs)
    return first, second


def labels(generator, count):
    return torch.randint(2, (count,), generator=generator) * 2.0 - 1


def vectors(generator, count, channels=3):
    """Vectors whose channels differ in mean and spread; nothing in them tells the label."""
    scale = torch.tensor([1.0, 8.0, 0.2, 3.0, 0.5])[:channels]
    centre = torch.tensor([1.0, 3.0, -0.4, 2.0, 0.2])[:channels]
    chance = torch.randn(count, channels, generator=generator)
    return (chance * scale + centre).mul(100).round() / 100


def two_kinds(generator, count=12, fresh=20):
    """Vectors of two kinds: what tells them is in the channel with the small numbers."""
    found = []
    for number in (count, fresh):
        y = labels(generator, number)
        x = vectors(generator, number)
        x[:, 2] += 0.2 * y
        x[:, 0] += 0.5 * y
        found += [x, y]
    return tuple(found)


def random_labels(generator):
    x, fresh = vectors(generator, 12, 5), vectors(generator, 24, 5)
    return x, labels(generator, 12), fresh, labels(generator, 24)


rated = partial(agrees, by_least_squares, wrong=PROBE_MISTAKES)

PROBE = Exercise(
    id="13.probe", title="a probe, on what it has not seen", minutes=12,
    reference=features.probe,
    rule=(
        "Bring every channel of `x` (N, C) to mean 0 and spread 1, where the spread is "
        "`x.std(0) + 1e-6`; treat `new_x` by the *same* means and spreads. Fit a direction on "
        "`x` and `y`, whose labels are −1 and 1. Return two shares, a tuple of `float`s: how often it is right on `x`, and how "
        "often on `new_x`. `fit(x, y)` gives the direction, `right(direction, x, y)` a share."
    ),
    checks=(
        Check("two kinds", 3, "fits on the one and tests on the other",
              "mean(0) and std(0) of x; the same for new_x; fit; right, twice.",
              rated(lambda g: [two_kinds(g) for _ in range(5)])),
        Check("random labels", 2, "is right no more than chance on labels that mean nothing",
              "Whatever was learned of labels that mean nothing helps on x only.",
              rated(lambda g: [random_labels(g) for _ in range(5)])),
    ),
    wrong=PROBE_MISTAKES,
)  # fmt: skip


# 13.explained -------------------------------------------------------------------------

SPREAD, MISSED = "(x - x.mean(0)).square().sum()", "(x - rebuilt).square().sum()"
SHARE = "float(1 - missed / spread)"
EXPLAINED_MISTAKES = mistakes(
    features.explained,
    *instead(SPREAD, {
        "x.square().sum()":
            "It divides by the squares of x themselves. The spread is measured from the mean "
            "vector, x.mean(0): rebuilding nothing but the mean explains nothing.",
        "(x - x.mean()).square().sum()":
            "There is one mean for all channels. Each channel has its own: x.mean(0).",
        "(x - x.mean(-1, keepdim=True)).square().sum()":
            "The mean is taken over the channels of each vector; take it over the vectors, "
            "x.mean(0).",
        "(rebuilt - rebuilt.mean(0)).square().sum()":
            "It divides by the spread of what was rebuilt; divide by that of x.",
        "x.var(0).sum()":
            "That is a spread for each vector, and what is missed is added up over all: add up "
            "both.",
    }),
    *instead(MISSED, {
        "(x - rebuilt).abs().sum()": "What is missed is not squared.",
        "(x - rebuilt).square().mean()":
            "What is missed is a mean, and the spread a sum: take the same of both.",
    }),
    *instead(SHARE, {
        "float(missed / spread)": "That is the share that is missing: 1 less that is explained.",
        "float(1 - (missed / spread).sqrt())":
            "It takes a root: the share is of squares, as they are.",
        "1 - missed / spread": "It gives a tensor: float(…) makes a number of it.",
        "float(1 - spread / missed)": "Upside down: what is missed, over the spread.",
        "max(0.0, float(1 - missed / spread))":
            "It stops at 0. What is rebuilt worse than by the mean explains less than nothing, "
            "and the number should say so.",
    }),
    ("each vector's own",
     "A share is taken for each vector, and then their mean. Add up over all vectors first, "
     "then divide once.",
     (MISSED, "(x - rebuilt).square().sum(1)"),
     (SPREAD, "(x - x.mean(0)).square().sum(1)"), (SHARE, "float((1 - missed / spread).mean())")),
)  # fmt: skip


def variance_left(x, rebuilt):
    """1 − (mean square of the misses) / (variance of the channels, added up)."""
    mine, theirs = (one.numpy().astype(np.float64) for one in (x, rebuilt))
    left = np.mean(np.sum((mine - theirs) ** 2, 1))
    return float(1 - left / np.var(mine, axis=0).sum())


def nearly(generator, count, channels):
    x = tenths(generator, count, channels) + torch.arange(channels) * 2
    return x, x + tenths(generator, count, channels, most=0.8)


rebuilt = partial(agrees, variance_left, wrong=EXPLAINED_MISTAKES)

EXPLAINED = Exercise(
    id="13.explained", title="how much of the spread is explained?", minutes=6,
    reference=features.explained,
    rule=(
        "`rebuilt` (N, C) is what an autoencoder makes of the vectors `x` (N, C). Return the "
        "share of the spread that is explained, a `float`: 1 − missed / spread. *Missed*: "
        "square each number of x − rebuilt, and add all of them up. *Spread* (not the standard "
        "deviation here): the same with x − (the mean vector of x)."
    ),
    checks=(
        Check("nearly right", 3, "divides what is missed by the spread",
              "The mean vector is `x.mean(0)`: one mean for each channel.",
              rebuilt(lambda g: [nearly(g, 3, 2), nearly(g, 4, 3), nearly(g, 5, 2)])),
        Check("the ends", 2, "is 1 for all, 0 for the mean, and below for worse",
              "Nothing needs a special case: the formula gives these by itself.",
              rebuilt(lambda g: [(x := nearly(g, 4, 2)[0], x.clone()),
                                 (x, x.mean(0).expand_as(x).clone()),
                                 (x, x + tenths(g, 4, 2, most=9.0))])),
    ),
    wrong=EXPLAINED_MISTAKES,
)  # fmt: skip

EXERCISES = (PREVIOUS, INDUCTION, WITHOUT, PATCHED, PROBE, EXPLAINED)
