"""Exercises of lesson 11: RMSNorm, RoPE, shared heads, 4-bit blocks, the same tokens."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from course_lib import llama, quantized
from course_lib.exercises.form import agrees, instead, mistakes, pick, tenths, whole
from course_lib.exercises.kinds import Check, Exercise
from course_lib.kv_cache import KVCache
from course_lib.llama import SMOLLM2_135M, LlamaConfig

CHANNELS = 5

# 11.rms_norm ------------------------------------------------------------------------

SQUARES, SCALED = (
    "x.square().mean(-1, keepdim=True)",
    "x * torch.rsqrt(mean_square + epsilon)",
)
ALL_AT_ONCE = (
    "The mean is taken over more than one vector, so one position changes another. Each "
    "position has a mean of its own, over its channels: the last axis, dim=-1."
)
A_LENGTH = (
    "Every vector comes to length 1. The root mean square should be 1: divide by the root "
    "of the mean of the squares, not of their sum."
)

RMS_NORM_MISTAKES = mistakes(
    llama.rms_norm,
    *instead(SQUARES, {
        ("x.square().mean(-2, keepdim=True)", "x.square().mean(0, keepdim=True)",
         "x.square().mean()"): ALL_AT_ONCE,
        "x.square().mean(-1)":
            "Two shapes don't fit, or the wrong axes met: the mean drops the last axis. "
            "keepdim=True keeps it, with size 1.",
        ("x.square().sum(-1, keepdim=True)", "x.norm(dim=-1, keepdim=True).square()"):
            A_LENGTH,
        "x.mean(-1, keepdim=True).square()":
            "That is the square of the mean: positive and negative numbers cancel out. Take "
            "the mean of the squares.",
        "x.abs().mean(-1, keepdim=True).square()":
            "That is the mean of the absolute values. Square first, then take the mean.",
        "x.var(-1, keepdim=True, correction=0)":
            "The mean is taken off before squaring: that is the variance. RMSNorm squares x as "
            "it is.",
        "x.var(-1, keepdim=True)":
            "That is the variance, divided by n - 1. RMSNorm squares x as it is, and divides by "
            "all C.",
    }),
    ("LayerNorm",
     "That is LayerNorm: the mean is taken off. RMSNorm leaves it in.",
     ("    mean_square", "    x = x - x.mean(-1, keepdim=True)\n    mean_square")),
    *instead(SCALED, {
        "x / (mean_square + epsilon)":
            "It divides by the mean square; divide by its square root.",
        "x * torch.sqrt(mean_square + epsilon)":
            "It multiplies by the root mean square: large vectors get larger. Divide.",
        "x * torch.rsqrt(mean_square)":
            "A vector of zeros gives NaN, for 0 is divided by 0: add epsilon to the mean of "
            "the squares.",
        "x / (torch.sqrt(mean_square) + epsilon)":
            "Epsilon is added to the root; add it to the mean of the squares, inside the root.",
        "x * torch.rsqrt(mean_square + 1e-5)":
            "It ignores its argument epsilon: a larger one must change the result.",
        "x": "The vectors keep their size: nothing was divided.",
    }),
    ("no weight", "It never uses weight.", (" * weight", "")),
    ("weight added", "The weight is added; multiply by it.", (" * weight", " + weight")),
    ("1 + weight",
     "It multiplies by 1 + weight, as some later models do. Here multiply by weight itself.",
     (" * weight", " * (1 + weight)")),
    ("weight first",
     "The weight multiplies before the mean is taken, so that it changes the size too. Norm "
     "first, then multiply.",
     ("    mean_square", "    x = x * weight\n    mean_square"),
     ("epsilon) * weight", "epsilon)")),
)  # fmt: skip


def torch_rms_norm(x, weight, epsilon=1e-5):
    return F.rms_norm(x, x.shape[-1:], weight, epsilon)


def some_vectors(generator: torch.Generator, *shape: int) -> torch.Tensor:
    """Random vectors (…, C), each with a mean and a spread of its own, far from 0."""
    spread = 1 + 2 * torch.rand(*shape, 1, generator=generator)
    x = torch.randn(*shape, CHANNELS, generator=generator)
    return (spread * x + 1).mul(10).round() / 10


def unscaled(generator):
    ones = torch.ones(CHANNELS)
    return [(some_vectors(generator, *shape), ones) for shape in ((1,), (4,), (2, 3))]


def scaled(generator):
    weight = 2 + torch.rand(CHANNELS, generator=generator)
    return [(some_vectors(generator, *shape), weight) for shape in ((1,), (4,), (2, 3))]


def silent(generator):
    epsilon = 0.5 + float(torch.rand(1, generator=generator))
    weight = 2 + torch.rand(CHANNELS, generator=generator)
    return [
        (torch.zeros(3, CHANNELS), weight),
        (some_vectors(generator, 4), weight, epsilon),
    ]


RMS_NORM = Exercise(
    id="11.rms_norm", title="a norm without the mean", minutes=6,
    rule=(
        "`x` is (T, C) or (B, T, C), and so is what you give back; `weight` is (C,). Divide "
        "each position's vector by its root mean square: the square root of the mean of its C "
        "squares. Nothing is taken off first. Then multiply by `weight`. Add `epsilon` to the "
        "mean before you take the root. (`F.rms_norm` does it in one line; try without.)"
    ),
    reference=llama.rms_norm,
    checks=(
        Check("root mean square 1", 3, "brings every vector to a root mean square of 1",
              "`x.square().mean(-1, keepdim=True)` is the mean of the squares of each vector. "
              "Divide x by its square root.",
              agrees(torch_rms_norm, unscaled, RMS_NORM_MISTAKES)),
        Check("weight", 1, "scales by the weight",
              "Which comes last?",
              agrees(torch_rms_norm, scaled, RMS_NORM_MISTAKES)),
        Check("epsilon", 1, "leaves zeros alone, and gives no NaN",
              "What is the mean square of a vector of zeros, and what divides by it?",
              agrees(torch_rms_norm, silent, RMS_NORM_MISTAKES)),
    ),
    wrong=RMS_NORM_MISTAKES,
)  # fmt: skip


# 11.rotate --------------------------------------------------------------------------

HALVES, ACROSS = (
    "first, second = x.chunk(2, dim=-1)",
    "torch.cat([-second, first], dim=-1)",
)
TURNED = "x * turn[0] + across * turn[1]"
EVENS = "first, second = x[..., 0::2], x[..., 1::2]"
NEIGHBOURS = (
    "It takes neighbours for a pair, 0 with 1. Some programs do; here channel i and channel "
    "i + D/2 are a pair: x.chunk(2, dim=-1) gives both halves."
)
BACKWARD = "It turns the other way round. First half: first · cos − second · sin."

ROTATE_MISTAKES = mistakes(
    llama.rotate,
    ("neighbours", NEIGHBOURS, (HALVES, EVENS),
     (ACROSS, "torch.stack([-second, first], dim=-1).flatten(-2)")),
    ("neighbours, then halves", NEIGHBOURS, (HALVES, EVENS)),
    *instead(ACROSS, {
        "torch.cat([second, -first], dim=-1)": BACKWARD,
        "torch.cat([second, first], dim=-1)":
            "The minus is missing: that is a mirror, which changes the length of a pair.",
        "torch.cat([-second, -first], dim=-1)":
            "There is one minus too many. Second half: second · cos + first · sin.",
        "torch.cat([-first, second], dim=-1)":
            "The halves have not changed places. What is added to the first half comes from "
            "the second: [−second, first].",
        "torch.cat([-second, first], dim=-2)":
            "The halves are joined along the positions. Join them along the channels, dim=-1.",
    }),
    ("the positions cut",
     "It cuts the positions into halves. Cut the channels, the last axis: dim=-1.",
     ("x.chunk(2, dim=-1)", "x.chunk(2, dim=-2)"),
     ("[-second, first], dim=-1", "[-second, first], dim=-2")),
    *instead(TURNED, {
        "x * turn[1] + across * turn[0]":
            "Cosine and sine have changed places: turn[0] is the cosine, turn[1] the sine.",
        "x * turn[0] - across * turn[1]": BACKWARD,
        "x * turn[0]":
            "That is only the cosine's part, and no turn: each half gets some of the other.",
        "across * turn[1]": "That is only the sine's part: x · cos is missing.",
        "x + across * turn[1]": "x itself is not multiplied by the cosine, turn[0].",
        "x * (turn[0] + turn[1])":
            "It multiplies x by cosine plus sine. The sine belongs to the other half.",
        "x": "Nothing was turned.",
        "x * turn[0][0] + across * turn[1][0]":
            "All positions are turned like the first. turn[0] is (T, D), a row a position.",
    }),
)  # fmt: skip


def turned_as_complex(x, turn):
    """The same, for pairs as complex numbers, which turn when they are multiplied."""
    half = x.shape[-1] // 2
    cosine, sine = turn[..., :half].contiguous()
    pairs = torch.complex(x[..., :half].contiguous(), x[..., half:].contiguous())
    pairs = pairs * torch.complex(cosine, sine)
    return torch.cat([pairs.real, pairs.imag], dim=-1)


def heads(*shapes: tuple[int, int, int, int]) -> Callable:
    """Cases: queries or keys (B, H, T, D) and the turns of their positions."""

    def cases(generator):
        base = pick(generator, (10.0, 100.0, 1_000.0))
        return [
            (
                tenths(generator, *shape),
                llama.rotation(shape[2] + 1, shape[3], base)[:, 1:],
            )
            for shape in shapes
        ]

    return cases


ROTATE = Exercise(
    id="11.rotate", title="turn queries and keys", minutes=8,
    rule=(
        "`x` is (B, H, T, D). Channels i and i + D/2 are a pair, a point in a plane: `first` and "
        "`second`, the two halves of the channels. `turn` is (2, T, D): `turn[0]` the cosine and "
        "`turn[1]` the sine of the angle of each position and channel; both halves have the "
        "same angles. Turn every pair: the first half becomes first · cos − second · sin, the "
        "second becomes second · cos + first · sin. Return a new (B, H, T, D)."
    ),
    reference=llama.rotate,
    checks=(
        Check("one pair", 2, "turns a pair by its angle",
              "`first, second = x.chunk(2, dim=-1)` cuts the channels into halves.",
              agrees(turned_as_complex, heads((1, 1, 1, 2), (1, 1, 2, 2)), ROTATE_MISTAKES)),
        Check("many pairs", 2, "turns every pair by an angle of its own",
              "Beside x itself you need a tensor whose first half is −second and whose second "
              "half is first: torch.cat([…, …], dim=-1).",
              agrees(turned_as_complex, heads((1, 1, 2, 4), (2, 3, 4, 8)), ROTATE_MISTAKES)),
    ),
    wrong=ROTATE_MISTAKES,
)  # fmt: skip


# 11.only_distance -------------------------------------------------------------------


def only_distance(
    turned: Callable, query: torch.Tensor, key: torch.Tensor, places: int = 8
) -> bool:
    """Whether the score of a query and a key depends on nothing but their distance.

    turned(x, place) is x (D,) as it stands at a place. All pairs of places below `places`
    are compared; a difference of more than 1e-3 counts, less is rounding.
    """
    queries = torch.stack([turned(query, place) for place in range(places)])
    keys = torch.stack([turned(key, place) for place in range(places)])
    table = queries @ keys.T  # (T, T): row i, column j is query at i, key at j
    moved = table[1:, 1:] - table[:-1, :-1]  # both one place further on
    return bool(moved.abs().max() < 1e-3)


def only_distance_plainly(
    turned: Callable, query: torch.Tensor, key: torch.Tensor, places: int = 8
) -> bool:
    for i in range(places - 1):
        for j in range(places - 1):
            here = turned(query, i) @ turned(key, j)
            further = turned(query, i + 1) @ turned(key, j + 1)
            if abs(here - further) > 1e-3:
                return False
    return True


MOVED = "table[1:, 1:] - table[:-1, :-1]"
ENOUGH = "moved.abs().max() < 1e-3"
NOT_BOTH = (
    "One of the two moves on and the other stays: their distance changes, and the score may. "
    "Move both by one place: compare query i + 1 and key j + 1 with query i and key j."
)

ONLY_DISTANCE_MISTAKES = mistakes(
    only_distance,
    *instead(MOVED, {
        ("table[1:] - table[:-1]", "table[:, 1:] - table[:, :-1]"): NOT_BOTH,
        "table - table.T":
            "It compares query at i and key at j with query at j and key at i. Those stand the "
            "other way round. Move both by one place in the same direction.",
        "table.diagonal()[1:] - table.diagonal()[:-1]":
            "It looks only at pairs that stand at the same place. Look at every distance.",
        "table[1:2, 1:2] - table[:1, :1]":
            "It compares a single pair, at place 0, with the next. Compare at all places.",
        "table[1:3, 1:3] - table[:2, :2]":
            "It looks at the first places only; a score may hold there and change further on.",
        "table": "It asks whether the scores are 0. They may be anything, if they stay the "
                 "same when both move on.",
    }),
    *instead(ENOUGH, {
        "moved.abs().max() >= 1e-3":
            "It says True where the place matters, and False where only the distance does.",
        "moved.max() < 1e-3":
            "A score may fall when both move on: take the absolute value before the largest.",
        "moved.mean().abs() < 1e-3":
            "Changes up and down cancel out in a mean. Take the largest absolute change.",
        "moved.abs().min() < 1e-3":
            "It is content if one pair stays the same. All must: take the largest change.",
        "moved.abs().max() == 0":
            "It demands no difference at all, and rounding makes one. Allow less than 1e-3.",
    }),
    ("keys stay", NOT_BOTH, ("turned(key, place) for", "key for")),
    ("queries stay", NOT_BOTH, ("turned(query, place) for", "query for")),
    ("all at one place", NOT_BOTH, ("turned(query, place) for", "turned(query, 0) for")),
    ("the query twice",
     "It takes the query for the key: the score is that of a query with a key.",
     ("turned(key, place) for", "turned(query, place) for")),
    ("eight places always",
     "It looks at 8 places whatever it is told. Use the argument places.",
     ("turned(query, place) for place in range(places)",
      "turned(query, place) for place in range(8)"),
     ("turned(key, place) for place in range(places)",
      "turned(key, place) for place in range(8)")),
)  # fmt: skip


def _spun(x: torch.Tensor, angle: float) -> torch.Tensor:
    """x (2,) turned by an angle."""
    (a, b), cosine, sine = x.tolist(), math.cos(angle), math.sin(angle)
    return torch.tensor([a * cosine - b * sine, b * cosine + a * sine])


def turned_by_place(x, place):
    return _spun(x, 0.7 * place)


def turned_backward(x, place):
    return _spun(x, -0.4 * place)


def never_turned(x, place):
    return x


def turned_by_quarters(x, place):
    for _ in range(place % 4):
        x = torch.stack([-x[1], x[0]])
    return x


def turned_by_its_square(x, place):
    return _spun(x, 0.3 * place**2)


def turned_up_to_place_4(x, place):
    return _spun(x, 0.7 * min(place, 4))


def larger_from_place_3(x, place):
    return x * (1 if place < 3 else 2)


def second_channel_larger(x, place):
    return x * torch.tensor([1.0, 1.0 + place])


def place_added(x, place):
    return x + 0.5 * place


def place_taken_off(x, place):
    return x / (1 + 0.3 * place)


def rising_and_falling(x, place):
    return x * (1 + 0.1 * place * (7 - place))


def by_pairs(turned, query, key, places=8):
    """The same, from a list of scores for every distance."""
    queries = [turned(query, place).tolist() for place in range(places)]
    keys = [turned(key, place).tolist() for place in range(places)]
    scores = {}
    for i, (a, b) in enumerate(queries):
        for j, (c, d) in enumerate(keys):
            scores.setdefault(i - j, []).append(a * c + b * d)
    return all(max(some) - min(some) < 1e-3 for some in scores.values())


def whats_turned(*functions: Callable, places: tuple[int, ...] = ()) -> Callable:
    """Cases: these functions, on a query and a key with a score above 0."""

    def cases(generator):
        pairs = [(tenths(generator, 2).abs(), tenths(generator, 2).abs())]
        one_channel = tenths(generator, 2) * torch.tensor([1.0, 0.0])
        pairs.append((tenths(generator, 2), one_channel))
        ends = [(count,) for count in places] or [()]
        return [(f, *pair, *end) for f in functions for pair in pairs for end in ends]

    return cases


FUNCTIONS = (
    turned_by_place, turned_backward, turned_by_quarters, never_turned,
    turned_by_its_square, turned_up_to_place_4, place_added, place_taken_off,
    larger_from_place_3, second_channel_larger, rising_and_falling,
)  # fmt: skip


ONLY_DISTANCE = Exercise(
    id="11.only_distance", title="does only the distance count?", minutes=10,
    rule=(
        "`turned(x, place)` gives a vector `x` (D,) as it stands at a place. The score of a query "
        "at place i and a key at place j is their dot product, after both were turned. Return "
        "a `bool`: `True` if it depends on i − j alone, that is, if it stays the same, up to "
        "1e-3, whenever both move on by one place. i and j go over all places from 0 to "
        "`places` − 1."
    ),
    reference=only_distance, plain=only_distance_plainly,
    checks=(
        Check("says yes", 2, "finds that a turn by the place keeps scores where only the distance counts",
              "For every i and j compare the score at (i, j) with the score at (i + 1, j + 1).",
              agrees(by_pairs, whats_turned(*FUNCTIONS), ONLY_DISTANCE_MISTAKES)),
        Check("as far as told", 1, "looks at as many places as it is told",
              "`range(places)` are the places from 0 on.",
              agrees(by_pairs, whats_turned(*FUNCTIONS, places=(4,)),
                     ONLY_DISTANCE_MISTAKES)),
    ),
    wrong=ONLY_DISTANCE_MISTAKES,
)  # fmt: skip


# 11.share_heads ---------------------------------------------------------------------

SHARED = "x.repeat_interleave(heads // x.shape[1], dim=1)"
IN_TURN = (
    "It deals the heads out in turn: 0, 1, 2, 0, 1, 2. Query heads that share stand side by "
    "side: 0, 0, 0, 1, 1, 1. That is repeat_interleave."
)

SHARE_MISTAKES = mistakes(
    llama.share_heads,
    *instead(SHARED, {
        ("x.repeat(1, heads // x.shape[1], 1, 1)",
         "torch.cat([x] * (heads // x.shape[1]), dim=1)"): IN_TURN,
        "x.repeat_interleave(heads, dim=1)":
            "Each head is repeated `heads` times. There should be `heads` of them at the end: "
            "repeat each heads // G times, where G is x.shape[1].",
        "x.repeat_interleave(x.shape[1], dim=1)":
            "Each head is repeated as often as there are heads in x. Repeat it heads // G times.",
        ("x.repeat_interleave(heads // x.shape[1], dim=0)",
         "x.repeat_interleave(heads // x.shape[1], dim=2)",
         "x.repeat_interleave(heads // x.shape[1], dim=-1)"):
            "It repeats along another axis than that of the heads: dim=1 of (B, G, T, D).",
        "x": "There are as few heads as before.",
        "x.mean(1, keepdim=True).expand(-1, heads, -1, -1)":
            "It mixes the heads by a mean. Each stays as it is, and is given out several times.",
        "x[:, :1].expand(-1, heads, -1, -1)":
            "All query heads get head 0. Only the first heads // G do.",
        "x.repeat_interleave(heads // x.shape[1], dim=1).flip(1)":
            "The heads are in the opposite order.",
        "x.repeat_interleave(heads // x.shape[1], dim=1) / (heads // x.shape[1])":
            "It shares the numbers out too. A shared head is whole for everyone.",
        "F.pad(x, (0, 0, 0, 0, 0, heads - x.shape[1]))":
            "The new heads are zeros. They should be copies of those there are.",
    }),
)  # fmt: skip


def shared_by_place(x, heads):
    """The same, by looking up for each query head which key head it gets."""
    groups = x.shape[1]
    return x[:, [head * groups // heads for head in range(heads)]]


def share_heads_plainly(x: torch.Tensor, heads: int) -> torch.Tensor:
    sharers = heads // x.shape[1]
    return torch.stack([x[:, head // sharers] for head in range(heads)], dim=1)


def few_heads(*shapes: tuple) -> Callable:
    """Cases: keys (B, G, T, D), and how many query heads there are."""
    return lambda generator: [(tenths(generator, *s), heads) for *s, heads in shapes]


SHARE_HEADS = Exercise(
    id="11.share_heads", title="one key head for several query heads", minutes=6,
    rule=(
        "`x` (B, G, T, D) holds G heads of keys or values; there are `heads` query heads, H, a "
        "multiple of G. Give each query head its own: return (B, H, T, D). The first H/G query "
        "heads get head 0, the next H/G get head 1, and so on."
    ),
    reference=llama.share_heads, plain=share_heads_plainly,
    checks=(
        Check("groups", 2, "gives each head to neighbours",
              "`torch.tensor([1, 2]).repeat_interleave(2, dim=0)` is [1, 1, 2, 2]; `.repeat(2)` "
              "gives [1, 2, 1, 2].",
              agrees(shared_by_place, few_heads((1, 2, 1, 2, 4), (1, 3, 2, 2, 9), (2, 4, 3, 2, 4)),
                     SHARE_MISTAKES)),
        Check("one for all", 1, "gives a single head to all",
              "`x.shape[1]` is G. How often is each head needed?",
              agrees(shared_by_place, few_heads((1, 1, 1, 2, 3), (2, 1, 3, 2, 4)), SHARE_MISTAKES)),
    ),
    wrong=SHARE_MISTAKES,
)  # fmt: skip


# 11.dequantise ----------------------------------------------------------------------

HEAD = "scale, minimum = blocks[:, :4].contiguous().view(torch.float16).float().split(1, 1)"
PACKED, NUMBERS = "blocks[:, 4:]", "torch.cat([packed & 15, packed >> 4], dim=1)"
WEIGHT = "scale * numbers + minimum"

DEQUANTISE_MISTAKES = mistakes(
    quantized.dequantise,
    *instead(NUMBERS, {
        "torch.stack([packed & 15, packed >> 4], dim=2).flatten(1)":
            "It takes the two halves of a byte for neighbours. The low halves of all 16 bytes "
            "are weights 0 to 15, the high halves 16 to 31.",
        "torch.stack([packed >> 4, packed & 15], dim=2).flatten(1)":
            "It takes the two halves of a byte for neighbours, the high one first. The low "
            "halves of all 16 bytes come first, then the high ones.",
        "torch.cat([packed >> 4, packed & 15], dim=1)":
            "The high halves come first. First the low halves of all, packed & 15, then the "
            "high ones.",
        "torch.cat([packed & 15, packed & 240], dim=1)":
            "The high half is not moved down: & 240 leaves numbers up to 240. >> 4 brings them "
            "to 0 … 15.",
        "torch.cat([packed & 15, packed], dim=1)":
            "The high halves still hold the low ones: packed >> 4.",
        "torch.cat([packed & 7, packed >> 4], dim=1)":
            "It keeps three bits of the low half. Four bits are & 15.",
        "torch.cat([packed & 15, packed >> 4], dim=0)":
            "The high halves make rows of their own. A block is one row of 32: dim=1.",
        "torch.cat([packed & 15, packed >> 4], dim=1).float() - 8":
            "It takes 8 off each number. That is the format Q4_0; Q4_1 has a minimum instead.",
        "packed": "Each byte holds two numbers, and you made one of it: & 15 and >> 4.",
        "torch.cat([packed & 15, packed & 15], dim=1)":
            "The low halves come twice; the high ones are packed >> 4.",
    }),
    *instead(HEAD, {
        HEAD.replace("scale, minimum", "minimum, scale"):
            "Scale and minimum have changed places: the scale comes first.",
        HEAD.replace("float16", "bfloat16"):
            "It reads the scale as bf16. The file has float16, which cuts 16 bits in another "
            "place.",
        HEAD.replace("float16", "int16"):
            "It reads the scale as a whole number. The two bytes are a float16: .view(torch."
            "float16).",
        HEAD.replace("blocks[:, :4]", "blocks[:, [1, 0, 3, 2]]"):
            "The two bytes of a number have changed places.",
        HEAD.replace("blocks[:, :4]", "blocks[:1, :4]"):
            "All blocks get the scale of the first. Each has its own.",
        "scale, minimum = blocks[:, :1].float(), blocks[:, 2:3].float()":
            "It takes single bytes for the scale and the minimum. Each is two bytes, a float16.",
    }),
    *instead(WEIGHT, {
        "scale * numbers - minimum":
            "It takes the minimum off. Add it: it is below 0 in most blocks.",
        "scale * numbers": "The minimum is missing: scale · number + minimum.",
        "scale * (numbers + minimum)":
            "The minimum is scaled too. Multiply the number first, then add the minimum.",
        "numbers + minimum": "The scale is missing: scale · number + minimum.",
        "(scale * numbers + minimum).flatten()":
            "It gives one long row. Keep a row a block: (N, 32).",
    }),
    ("computed in float16",
     "It computes in float16, which rounds every weight again. Make float32 of scale and "
     "minimum first: .float().",
     (".view(torch.float16).float().split", ".view(torch.float16).split")),
    ("the last 16 from byte 2",
     "The packed numbers begin at byte 4: scale and minimum take two bytes each.",
     (PACKED, "blocks[:, 2:18]")),
)  # fmt: skip


def dequantise_plainly(blocks: torch.Tensor) -> torch.Tensor:
    weights = torch.zeros(len(blocks), 32)
    for row, block in enumerate(blocks):
        scale, minimum = block[:4].clone().view(torch.float16).float()
        for i in range(16):
            weights[row, i] = scale * (block[4 + i] % 16) + minimum
            weights[row, i + 16] = scale * (block[4 + i] // 16) + minimum
    return weights


def as_gguf(blocks):
    """What the package of those who made the format gives."""
    from gguf import GGMLQuantizationType, dequantize  # takes a while to import

    return torch.from_numpy(dequantize(blocks.numpy(), GGMLQuantizationType.Q4_1))


def some_blocks(generator: torch.Generator, count: int) -> torch.Tensor:
    """Blocks (count, 20) with a scale and a minimum as real ones have."""
    scale = 0.02 + 0.2 * torch.rand(count, 1, generator=generator)
    minimum = -1 - torch.rand(count, 1, generator=generator)
    head = torch.cat([scale, minimum], 1).half().view(torch.uint8)  # (count, 4)
    packed = torch.randint(256, (count, 16), generator=generator, dtype=torch.uint8)
    return torch.cat([head, packed], 1)


DEQUANTISE = Exercise(
    id="11.dequantise", title="read a block of 4-bit weights", minutes=12,
    rule=(
        "`blocks` (N, 20) holds bytes, `torch.uint8`; each row is 32 weights. Bytes 0 and 1 are "
        "the scale, 2 and 3 the minimum, both float16: `.view(torch.float16)` reads two bytes as "
        "such a number. Each of the 16 other bytes holds two numbers from 0 to 15: its low half "
        "(`& 15`) and its high half (`>> 4`). The low halves are numbers 0 to 15 of the block, "
        "in order, the high halves 16 to 31. A weight is scale · number + minimum. Return "
        "(N, 32) in float32. (`.view` wants bytes that stand side by side: `.contiguous()`.)"
    ),
    reference=quantized.dequantise, plain=dequantise_plainly,
    checks=(
        Check("one block", 3, "reads a block as the package gguf does",
              "`blocks[:, :4].contiguous().view(torch.float16)` is (N, 2): scale and minimum. "
              "Make them `.float()` before you compute.",
              agrees(as_gguf, lambda g: [(some_blocks(g, 1),) for _ in "ab"],
                     DEQUANTISE_MISTAKES, 1e-6)),
        Check("many blocks", 1, "reads many at once, each by its own scale",
              "Scale and minimum stay (N, 1), so that each row has its own.",
              agrees(as_gguf, lambda g: [(some_blocks(g, n),) for n in (2, 5)],
                     DEQUANTISE_MISTAKES, 1e-6)),
    ),
    wrong=DEQUANTISE_MISTAKES,
)  # fmt: skip


# 11.kept_bytes ----------------------------------------------------------------------


def kept_bytes(config: LlamaConfig, positions: int, bytes_per_number: int = 2) -> int:
    """How many bytes the keys and values of one text take in such a model."""
    numbers = 2 * config.key_value_heads * config.head_size  # a layer and position
    return config.layers * positions * numbers * bytes_per_number


COUNT = "2 * config.key_value_heads * config.head_size"
KEPT = "config.layers * positions * numbers * bytes_per_number"

KEPT_MISTAKES = mistakes(
    kept_bytes,
    *instead(COUNT, {
        ("2 * config.query_heads * config.head_size", "2 * config.channels"):
            "It counts a key for every query head. Those that share keep one key and one value "
            "together: config.key_value_heads.",
        "config.key_value_heads * config.head_size":
            "It is half of what is kept: a key and a value, two vectors.",
        "3 * config.key_value_heads * config.head_size":
            "Queries need not be kept: no later position asks for them.",
        "2 * config.key_value_heads":
            "It counts heads. Each head keeps D numbers, config.head_size.",
        "2 * config.head_size": "It counts one head; there are config.key_value_heads of them.",
        "2 * config.key_value_heads * config.channels":
            "Each head has only its part of the channels: config.head_size.",
        "2 * config.channels // config.key_value_heads":
            "It divides the channels by the number of key heads. What is kept is "
            "key_value_heads · head_size.",
        "2 * config.mlp_channels": "The MLP keeps nothing: it looks at no other position.",
    }),
    *instead(KEPT, {
        "positions * numbers * bytes_per_number":
            "Layers don't count in yours: each has keys of its own.",
        "config.layers * numbers * bytes_per_number":
            "Positions don't count in yours: each has its own keys and values.",
        "config.layers * config.context * numbers * bytes_per_number":
            "It counts the longest text the model can read. Count the positions you are given.",
        "config.layers * positions * numbers":
            "These are numbers, not bytes: multiply by bytes_per_number.",
        "config.layers * positions * numbers * 2":
            "Every number takes two bytes in yours; multiply by bytes_per_number.",
        f"{KEPT} * 8": "These are bits: bytes_per_number is in bytes.",
        f"{KEPT} * positions":
            "Positions count twice. There are T × T scores, but only T keys and values are kept.",
        f"{KEPT} / 2**20": "That is a float, in megabytes: give the number of bytes, an int.",
    }),
)  # fmt: skip

FORMATS = {1: torch.int8, 2: torch.bfloat16, 4: torch.float32}


def real_bytes(config, positions, bytes_per_number=2):
    """What a real cache takes, counted on a tensor that has a shape and no numbers."""
    cache = KVCache(config.layers, positions)
    shape = 1, config.key_value_heads, 1, config.head_size
    key = torch.empty(shape, dtype=FORMATS[bytes_per_number], device="meta")
    cache.add(0, key, key)
    return cache.bytes()


def shapes_of(*rest: tuple) -> Callable:
    """Cases: these positions and formats, for the real LLM and for a model made up."""

    def cases(generator):
        layers, kept = pick(generator, (5, 7, 11)), pick(generator, (2, 3))
        sharers, size = pick(generator, (5, 7)), pick(generator, (13, 17))
        heads = kept * sharers
        made_up = LlamaConfig(101, 37, layers, heads * size, heads, kept, 23)
        return [(config, *more) for config in (made_up, SMOLLM2_135M) for more in rest]

    return cases


KEPT_BYTES = Exercise(
    id="11.kept_bytes", title="what shared heads save", minutes=6,
    rule=(
        "A model of this `config` has read so many `positions` of one text and kept their keys "
        "and values. How many bytes is that, at `bytes_per_number`? `config` has `layers`, "
        "`channels`, `query_heads`, `key_value_heads` and `head_size`, the channels of one head. "
        "Return an `int`. The real LLM must come to 23,040 bytes for one position."
    ),
    reference=kept_bytes,
    checks=(
        Check("one position", 2, "counts what shared heads keep",
              "In one layer, how many heads of keys are there, and how many numbers has each? "
              "And the same again for values.",
              agrees(real_bytes, shapes_of((1,), (1, 1)), KEPT_MISTAKES)),
        Check("every length and format", 1, "takes as much as a real cache",
              "Multiply by layers, positions and bytes_per_number.",
              agrees(real_bytes, shapes_of((4, 1), (7, 4), (8_192, 2)), KEPT_MISTAKES)),
    ),
    wrong=KEPT_MISTAKES,
)  # fmt: skip


# 11.same_next_tokens ----------------------------------------------------------------


def same_next_tokens(
    mine: Callable, theirs: Callable, ids: torch.Tensor
) -> tuple[int, float]:
    """At how many positions two models expect the same token, and their largest gap.

    ids (1, T); a model maps them to logits (1, T, V). The gap is that of any two logits.
    """
    with torch.no_grad():
        ours, others = mine(ids), theirs(ids)  # (1, T, V)
    same = ours.argmax(-1) == others.argmax(-1)  # (1, T)
    return int(same.sum()), float((ours - others).abs().max())


ARGMAX, GAP = (
    "ours.argmax(-1) == others.argmax(-1)",
    "float((ours - others).abs().max())",
)
OTHER_AXIS = (
    "The largest is taken over another axis. Logits are (1, T, V): the likeliest token of "
    "each position is .argmax(-1)."
)

SAME_MISTAKES = mistakes(
    same_next_tokens,
    *instead(ARGMAX, {
        ("ours.argmax(1) == others.argmax(1)", "ours.argmax(0) == others.argmax(0)"):
            OTHER_AXIS,
        "ours[:, -1].argmax(-1) == others[:, -1].argmax(-1)":
            "It looks at the last position only. Count all of them.",
        "(ours - others).abs().amax(-1) < 1e-4":
            "It counts positions where all logits are near. The likeliest token may be the same "
            "where they are not: compare the two argmax.",
        "ours.argmax(-1) == ids":
            "It compares with the ids that were read. Compare the two models with each other.",
        "ours.max(-1).values == others.max(-1).values":
            "It compares how large the largest logits are. Compare which token has it: argmax.",
        "ours.argmax(-1) != others.argmax(-1)":
            "It counts the positions where they differ.",
    }),
    *instead(GAP, {
        "float((ours - others).max())":
            "The gap is not the largest difference up, it is the largest either way: .abs() "
            "before .max().",
        "float((ours - others).abs().mean())":
            "That is the mean gap. Return the largest.",
        "float((ours - others).abs().sum())": "That is the sum of all gaps. Return the largest.",
        "float((ours - others)[:, -1].abs().max())":
            "That is the gap at the last position. Look at all of them.",
        "float((ours.amax(-1) - others.amax(-1)).abs().max())":
            "It compares only each position's largest logit. Compare all of them.",
        "float((ours.softmax(-1) - others.softmax(-1)).abs().max())":
            "It compares probabilities. Compare the logits.",
        "(ours - others).abs().max()":
            "The gap is a tensor: float(…) makes a number of it.",
    }),
    ("a share",
     "The first is a share. Return how many positions agree, an int.",
     ("int(same.sum())", "float(same.float().mean())")),
    ("all or nothing",
     "It says whether all agree. Return how many do: .sum().",
     ("int(same.sum())", "bool(same.all())")),
    ("a tensor of counts",
     "The count is a tensor: int(…) makes a number of it.",
     ("int(same.sum())", "same.sum()")),
    ("one model twice",
     "It runs the same model twice: theirs(ids) is the other one.",
     ("mine(ids), theirs(ids)", "mine(ids), mine(ids)")),
    ("the gap first",
     "Count and gap have changed places: the count comes first.",
     ("return int(same.sum()), float((ours - others).abs().max())",
      "return float((ours - others).abs().max()), int(same.sum())")),
)  # fmt: skip


def by_numpy(mine, theirs, ids):
    """The same, position by position."""
    count, gap = 0, 0.0
    for ours, others in zip(
        *(model(ids)[0].detach().numpy() for model in (mine, theirs))
    ):
        count += int(np.argmax(ours) == np.argmax(others))
        gap = max(gap, float(np.abs(ours - others).max()))
    return count, gap


def two_tables(positions: int, noise: float) -> Callable:
    """Cases: two models that look a row of logits up for each id, one like the other."""

    def cases(generator):
        found = []
        for sign in (-1, 1):
            table = torch.randn(9, 9, generator=generator)
            table += 1.5 * torch.randn(9, 1, generator=generator)
            table[range(0, 9, 2), range(0, 9, 2)] += 3  # some say what they read
            other = table.clone()  # rows 0 to 2 stay as they are
            other[range(3, 6), table[3:6].argmin(-1)] -= (
                noise  # what is likeliest stays
            )
            other[6:] += noise * torch.randn(3, 9, generator=generator)
            other[whole(generator, 6, 8), 0] += 3 * sign * noise
            ids = torch.arange(positions) % 9
            ids = ids[torch.randperm(positions, generator=generator)][None]
            models = (nn.Embedding.from_pretrained(one) for one in (table, other))
            found.append((*models, ids))
        return found

    return cases


SAME_NEXT_TOKENS = Exercise(
    id="11.same_next_tokens", title="the same next tokens as the reference", minutes=8,
    rule=(
        "`mine` and `theirs` are two models: each maps `ids` (1, T) to logits (1, T, V). Return "
        "two things: at how many of the T positions both have the same likeliest next token, an "
        "`int`; and the largest gap between a logit of `mine` and the logit of `theirs` for "
        "the same position and token, a `float` that is never below 0. No slopes are needed: `with torch.no_grad():`."
    ),
    reference=same_next_tokens,
    checks=(
        Check("the same token", 2, "counts the positions at which both expect the same",
              "`.argmax(-1)` gives (1, T), the likeliest token of each position; == compares "
              "place by place.",
              agrees(by_numpy, two_tables(13, 2.0), SAME_MISTAKES)),
        Check("the gap", 1, "finds the largest gap, wherever it is",
              "(ours − theirs).abs().max()",
              agrees(by_numpy, two_tables(11, 1.0), SAME_MISTAKES)),
    ),
    wrong=SAME_MISTAKES,
)  # fmt: skip

EXERCISES = (
    RMS_NORM,
    ROTATE,
    ONLY_DISTANCE,
    SHARE_HEADS,
    DEQUANTISE,
    KEPT_BYTES,
    SAME_NEXT_TOKENS,
)
