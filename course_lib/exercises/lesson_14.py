"""Exercises of lesson 14: gradients in parts, rings, shards, sixteen bits, and use."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from course_lib import clusters, distributed, mixed_precision
from course_lib.exercises.compare import shown
from course_lib.exercises.form import agrees, instead, mistakes, pick, tenths, whole
from course_lib.exercises.kinds import Check, Exercise

# 14.accumulate ------------------------------------------------------------------------


class Table(nn.Embedding):
    """Ids (B, T) → logits (B, T, V); it remembers how much of a batch it held at once."""

    def __init__(self, weight: torch.Tensor):
        super().__init__(*weight.shape, _weight=weight.clone())
        table = f"torch.tensor({shown(weight)}), freeze=False"
        self.__name__ = f"nn.Embedding.from_pretrained({table})"  # so it is shown
        self._start = weight
        self._waiting, self._most = 0, 0  # targets read, and not yet gone back through

    def forward(self, ids):
        logits = super().forward(ids)
        if logits.requires_grad:
            self._waiting += ids.numel()
            self._most = max(self._most, self._waiting)
            logits.register_hook(partial(self._done, ids.numel()))
        return logits

    def _done(self, size: int, gradient: torch.Tensor) -> None:
        self._waiting -= size


def mean_loss(model: Callable, inputs: torch.Tensor, targets: torch.Tensor):
    """The mean of −log p(target) over all targets, without cross_entropy."""
    logits = model(inputs)
    chosen = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return (logits.logsumexp(-1) - chosen).mean()


def the_model(inputs: tuple) -> dict:
    """The gradient that is left, and what was held at once."""
    model, parts, _ = inputs
    gradient = model.weight.grad
    largest = max(targets.numel() for _, targets in parts)
    return {
        "gradient": torch.zeros(()) if gradient is None else gradient,
        "weights": "moved" if (model.weight != model._start).any() else "as before",
        "held at once": "one part" if model._most <= largest else "several parts",
    }


def in_one_piece(model, parts, loss_of):
    """The gradient by the whole batch's own formula, (p − y) / how many targets."""
    ids, targets = (torch.cat([one.flatten() for one in few]) for few in zip(*parts))
    weight = model.weight.detach()
    slopes = weight[ids].softmax(-1)
    slopes[torch.arange(len(ids)), targets] -= 1
    model.weight.grad = torch.zeros_like(weight).index_add_(0, ids, slopes / len(ids))
    loss = weight[ids].logsumexp(-1) - weight[ids].gather(-1, targets[:, None])[:, 0]
    model._most = 0
    return float(loss.mean())


START, SHARE = "model.zero_grad()", " * targets.numel() / whole"
BACK, ADD = (
    "loss.backward()  # adds to what the parts before have left",
    "total += loss.item()",
)
LOSS = "loss = loss_of(model, inputs, targets)"
EQUAL = (
    "That is right only where all parts are of one size. A part of 6 targets among 8 counts "
    "for 6/8: weigh each part's loss by its share of all targets."
)
ONE_PART = (
    "It holds more than one part at once, and that is what there is no memory for: call "
    "backward for each part, before the next is read."
)
ACCUMULATE_MISTAKES = mistakes(
    distributed.accumulate,
    ("not divided",
     "Means were added up. Each part's loss is a mean over its own targets, so it counts by its "
     "share: times the part's targets, divided by all targets.", (SHARE, "")),
    ("by the number of parts", EQUAL, (SHARE, " / len(parts)")),
    ("zeroed each time",
     "Only the last part's gradient is left, for each part drops what those before it have "
     "added: zero_grad once, before the loop.",
     (START, "pass"), (f"{LOSS}{SHARE}", f"model.zero_grad(); {LOSS}{SHARE}")),
    ("never zeroed",
     "The model came with a gradient from another batch, and it is in the sum: zero_grad once, "
     "before the loop.", (START, "pass")),
    ("no backward", "Nobody computes gradients: loss.backward() is missing.", (BACK, "pass")),
    ("one backward at the end", ONE_PART,
     (BACK, "pass"), (ADD, "total = total + loss"),
     ("return total", "total.backward()\n    return total.item()")),
    ("the whole batch", ONE_PART,
     ("for inputs, targets in parts:",
      "parts = [tuple(torch.cat([o.flatten() for o in f]) for f in zip(*parts))]\n"
      "    for inputs, targets in parts:")),
    ("the last loss",
     "It gives the last part's loss. The batch's loss is the sum of the parts' losses, each by "
     "its share.", (ADD, "total = loss.item()")),
    ("the loss unweighted",
     "The gradient is right, and the loss is not: its parts count by their shares too.",
     (LOSS, f"plain = loss_of(model, inputs, targets); {LOSS}"),
     (ADD, "total += plain.item() / len(parts)")),
    ("a tensor", "It gives a tensor, which drags its graph along: .item() makes a float of it.",
     (ADD, "total = total + loss")),
    ("a step",
     "It moves the weights. A step comes once all parts are in, and it is not asked for here.",
     ("return total", "model.weight.data -= 0.1 * model.weight.grad\n    return total")),
)  # fmt: skip


def ids_of(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randint(3, shape, generator=generator)


def batch_in(generator: torch.Generator, *rows: int) -> list[tuple]:
    """Parts of so many rows of two tokens each."""
    return [(ids_of(generator, n, 2), ids_of(generator, n, 2)) for n in rows]


def a_batch(generator: torch.Generator, *rows: int) -> tuple:
    return Table(tenths(generator, 3, 3)), batch_in(generator, *rows), mean_loss


def used_before(generator: torch.Generator) -> list[tuple]:
    model, parts, loss_of = a_batch(generator, 1, 2)
    model.weight.grad = tenths(generator, 3, 3)
    return [(model, parts, loss_of)]


accumulated = partial(agrees, in_one_piece, wrong=ACCUMULATE_MISTAKES, after=the_model)

ACCUMULATE = Exercise(
    id="14.accumulate", title="a batch in parts", minutes=12,
    reference=distributed.accumulate,
    ungraded="its gradients run through a model and a loss in two processes at once",
    rule=(
        "`parts` is a batch that was cut: a list of pairs `(inputs, targets)`, which need not be "
        "of one size. `loss_of(model, inputs, targets)` gives the mean loss over a part's "
        "targets, of which there are `targets.numel()`. Read one part at a time, with `backward` "
        "before the next. In the end each weight's `.grad` must be the gradient of the mean loss "
        "over *all* targets, whatever was in it before. Return that mean loss as a `float`. "
        "Leave the weights as they are."
    ),
    checks=(
        Check("equal parts", 2, "finds the batch's gradient from parts of one size",
              "`zero_grad` once; then for each part: loss, times its share of all targets, "
              "`backward`. Gradients add up by themselves.",
              accumulated(lambda g: [a_batch(g, 2, 2), a_batch(g, 1, 1, 1), a_batch(g, 3)])),
        Check("unequal parts", 2, "weighs parts by their targets",
              "Count all targets first: `sum(targets.numel() for _, targets in parts)`.",
              accumulated(lambda g: [a_batch(g, 3, 1), a_batch(g, 1, 2, 4)])),
        Check("a used model", 1, "drops an older gradient, once",
              "Where must `zero_grad` stand, so that it drops the old gradient and none of the "
              "new ones?", accumulated(used_before)),
    ),
    wrong=ACCUMULATE_MISTAKES, may_change=("model",),
)  # fmt: skip


# 14.loss_scale ------------------------------------------------------------------------

POWER = "2.0 ** math.floor(math.log2(MOST / most))"
SCALE_MISTAKES = mistakes(
    mixed_precision.loss_scale,
    ("no abs", "A large number below 0 grows too large as well: take .abs() first.",
     ("gradient.abs().max()", "gradient.max()")),
    ("the smallest number",
     "The largest number of the gradient decides: it is the first that leaves float16.",
     ("gradient.abs().max()", "gradient.abs().min()")),
    ("the mean", "The largest number decides, not the mean: one infinity spoils the step.",
     ("gradient.abs().max()", "gradient.abs().mean()")),
    *instead(POWER, {
        "2.0 ** math.ceil(math.log2(MOST / most))":
            "That is one power of two too far: the largest number leaves float16. Round the "
            "exponent down.",
        "2.0 ** (math.floor(math.log2(MOST / most)) - 1)":
            "There is room for a factor of two more.",
        "MOST / most":
            "A scale is a power of two, for only then multiplying by it rounds nothing: "
            "2.0 ** math.floor(…).",
        "2.0 ** math.floor(math.log2(most / MOST))": "Upside down: 65,504 divided by the largest.",
        "2.0 ** math.floor(math.log(MOST / most))":
            "math.log is the natural logarithm: math.log2 is the one to base 2.",
        "2.0 ** math.floor(math.log2(torch.finfo(torch.bfloat16).max / most))":
            "That is bfloat16's largest number. float16's is 65,504.",
        "max(1.0, 2.0 ** math.floor(math.log2(MOST / most)))":
            "A gradient with numbers beyond 65,504 needs a scale below 1.",
        "65_536.0":
            "That is the number that torch's scaler starts from. Find the one for this gradient.",
    }),
    ("zeros",
     "The gradient may be all zeros, and then it divides by 0: the scale is 1.0.",
     (" if most else 1.0", "")),
)  # fmt: skip


def largest_scale(gradient: torch.Tensor) -> float:
    """The same by trying: all powers of two, multiplied out in float64."""
    most = float(gradient.double().abs().max())
    tried = [2.0**power for power in range(-60, 80)]
    limit = float(
        np.finfo(np.float16).max
    )  # a float16 itself would round what it meets
    fits = [scale for scale in tried if scale * most <= limit]
    return fits[-1] if most else 1.0


def small(generator: torch.Generator) -> list[tuple]:
    """A few tiny numbers, some below zero; the largest is the same as none of the others."""
    exponent = whole(generator, 10, 16)
    one = tenths(generator, 4) * 2.0**-exponent
    return [(one,), (-one.abs(),), (torch.tensor([65_504.0 * 2.0**-exponent, 0.0]),)]


scaled = partial(agrees, largest_scale, wrong=SCALE_MISTAKES, tolerance=0)

LOSS_SCALE = Exercise(
    id="14.loss_scale", title="the scale that saves a gradient", minutes=8,
    reference=mixed_precision.loss_scale,
    rule=(
        "Return the largest power of two (`…, 0.5, 1.0, 2.0, 4.0, …`, a `float`) by which every "
        "number of `gradient` can be multiplied so that none lies beyond ±65,504, the largest "
        "number of float16. For a gradient of zeros return 1.0. `MOST` holds 65,504, and "
        "`math.log2(x)` says to which power 2 must be raised to give x."
    ),
    checks=(
        Check("small gradients", 3, "finds the largest power of two for small gradients",
              "`MOST` divided by the largest absolute value; then the power of two at or below "
              "that.", scaled(small)),
        Check("large gradients", 1, "goes below 1 where it must",
              "2.0 to a negative power is fine: `2.0 ** -3` is 0.125.",
              scaled(lambda g: [(tenths(g, 3) * 2.0 ** whole(g, 17, 20),), *small(g)])),
        Check("zeros", 1, "gives 1.0 for zeros", "Ask first whether the largest is 0.",
              scaled(lambda g: [(torch.zeros(3),)])),
    ),
    wrong=SCALE_MISTAKES,
)  # fmt: skip


# 14.ring_all_reduce ---------------------------------------------------------------------


class Send:
    """A wire from each rank to the next: gives what was sent, and counts it."""

    __name__ = "send"

    def __init__(self, count: int):
        self.sent = [0] * count

    def __call__(self, rank: int, piece: torch.Tensor) -> torch.Tensor:
        self.sent[rank] += piece.numel()
        return piece.clone()


def how_many_numbers_each_rank_sent(inputs: tuple) -> list[int]:
    return inputs[1].sent


def summed(tensors, send):
    """Every rank's sum, and 2 (n − 1) pieces sent by each."""
    count, total = (
        len(tensors),
        torch.from_numpy(np.sum([t.numpy() for t in tensors], 0)),
    )
    for rank in range(count):
        for _ in range(2 * (count - 1)):
            send(rank, total[: len(total) // count])
    return [total.clone() for _ in range(count)]


def star(tensors, send):
    """All to rank 0, which adds and sends back."""
    total = tensors[0]
    for rank in range(1, len(tensors)):
        total = total + send(rank, tensors[rank])
    return [total] + [send(0, total) for _ in tensors[1:]]


def whole_tensors(tensors, send):
    """Everybody's whole tensor round the ring."""
    totals, going = [one.clone() for one in tensors], list(tensors)
    for _ in range(len(tensors) - 1):
        going = [send(rank, one) for rank, one in enumerate(going)]
        going = going[-1:] + going[:-1]
        totals = [total + one for total, one in zip(totals, going)]
    return totals


def without_sending(tensors, send):
    return [sum(tensors) for _ in tensors]


LOOP, PLACE = "range(2 * (count - 1))", "(rank - step) % count, (rank + 1) % count"
ADDS, NEXT = "adds = step < count - 1", "(rank + 1) % count"
TAKE = "pieces[after][place] + sent if adds else sent"
RING_MISTAKES = mistakes(
    distributed.ring_all_reduce,
    ("half of it",
     "That is the first half. Each rank has one complete piece now; in n − 1 more steps the "
     "complete pieces go round, and replace what is there.", (LOOP, "range(count - 1)")),
    ("one step too few", "One step is missing: it takes n − 1 steps, twice.",
     (LOOP, "range(2 * (count - 1) - 1)")),
    ("one step too many",
     "It goes on after all is done: 2 (n − 1) steps are enough, and sending more costs time.",
     (LOOP, "range(2 * count - 1)")),
    ("adds to the end",
     "In the second half the pieces that come are complete sums: put them in the place of what "
     "is there, and add nothing.", (ADDS, "adds = True")),
    ("never adds", "Nothing is ever added: in the first n − 1 steps a rank adds what it receives.",
     (ADDS, "adds = False")),
    ("adds once too often",
     "It adds for one step too many: after n − 1 steps the pieces that come are complete.",
     (ADDS, "adds = step < count")),
    ("replaces too soon",
     "It stops adding one step too soon: for n − 1 steps each rank adds.",
     (ADDS, "adds = step < count - 2")),
    ("the same piece",
     "Each rank sends one and the same piece in every step. In the next step it must pass on "
     "the piece that it has just received: its place goes down by one.",
     (PLACE, f"rank, {NEXT}")),
    ("the wrong way round",
     "The pieces go the other way than the places: after a step a rank passes on what it has "
     "just received, which stands one place lower, not higher.",
     (PLACE, f"(rank + step) % count, {NEXT}")),
    ("a mean", "It divides by the number of ranks. A sum is asked for.",
     ("torch.cat(own)", "torch.cat(own) / count")),
    ("a star",
     "Rank 0 collects and sends back: then its link carries n − 1 whole tensors, and the others "
     "wait. Cut each tensor into n pieces, and let every rank send one in every step.", star),
    ("whole tensors",
     "Whole tensors go round, so each rank sends n − 1 of them. Cut each into n pieces: then a "
     "rank sends less than two in all.", whole_tensors),
    ("nothing is sent",
     "The sums are right, and nobody has sent anything: a rank can read only its own tensor, "
     "and what `send` gives it.", without_sending),
)  # fmt: skip


def ranks(generator: torch.Generator, count: int, each: int) -> tuple:
    return list(tenths(generator, count, count * each)), Send(count)


ringed = partial(
    agrees, summed, wrong=RING_MISTAKES, after=how_many_numbers_each_rank_sent
)

RING = Exercise(
    id="14.ring_all_reduce", title="the ring", minutes=20,
    reference=distributed.ring_all_reduce,
    rule=(
        "`tensors` has one tensor (N) for each of n ranks; N is a multiple of n. "
        "`send(rank, piece)` sends a piece from that rank to the next (the last one sends to "
        "rank 0), and returns what the next rank receives. Return a list with the sum of all "
        "tensors for each rank. Do it as in the picture: cut each tensor into n pieces, and make "
        "2 (n − 1) steps; in each step every rank sends one piece. In step 0 rank r sends its "
        "piece number r; after that always the piece of the number that it received in the step "
        "before. In the first n − 1 steps a rank adds what it receives to its own piece of the "
        "same number, so that it passes on a sum. In the last n − 1 steps what it receives is "
        "complete, and replaces its own piece. Leave the tensors as they are."
    ),
    checks=(
        Check("four ranks", 3, "adds in a ring of four, each sending 2(n − 1) pieces",
              "`tensor.chunk(n)` cuts into n pieces. In step s rank r sends piece (r − s) % n to "
              "rank (r + 1) % n. For s below n − 1 that one adds it, later it takes it as it is.",
              ringed(lambda g: [ranks(g, 4, 1), ranks(g, 3, 2)])),
        Check("other rings", 1, "does it for any number of ranks",
              "Is a 4 or a 3 left anywhere? `n = len(tensors)`.",
              ringed(lambda g: [ranks(g, 2, 1), ranks(g, 2, 2), ranks(g, 5, 1), ranks(g, 3, 1)])),
        Check("one rank", 1, "sends nothing when there is nobody to send to",
              "With n = 1 there are no steps. What does your loop do?",
              ringed(lambda g: [ranks(g, 1, 3), ranks(g, 3, 2)])),
    ),
    wrong=RING_MISTAKES, may_change=("send",),
)  # fmt: skip


# 14.into_shards and 14.gather -----------------------------------------------------------

SIZE, PAD = (
    "math.ceil(values.numel() / count)",
    "torch.zeros(count * size, dtype=values.dtype)",
)
SHARDS_MISTAKES = mistakes(
    distributed.into_shards,
    ("no padding",
     "The last piece is shorter. All must have one size, for an all-gather moves equal pieces: "
     "fill up with zeros.",
     ("return list(padded.view(count, size))", "return list(values.flatten().split(size))")),
    ("rounded down",
     "The size was rounded down, so some numbers are in no piece. Round up, and fill with zeros.",
     (SIZE, "values.numel() // count"),
     ("padded[: values.numel()] = values.flatten()",
      "padded[:] = values.flatten()[: count * size]")),
    ("one too large",
     "Where the numbers can be shared out evenly there is nothing to fill up.",
     (SIZE, "values.numel() // count + 1")),
    ("ones", "Fill up with zeros: they add nothing to a sum.", (PAD, PAD.replace("zeros", "ones"))),
    ("in turn",
     "The numbers are dealt out in turn. A piece is a stretch of neighbours, so that gathering "
     "is putting one after the other.",
     ("return list(padded.view(count, size))",
      "return [one.contiguous() for one in padded.view(size, count).T]")),
    ("a matrix", "It gives one tensor with a row for each piece: list(…) makes a list of them.",
     ("list(padded.view(count, size))", "padded.view(count, size)")),
    ("as a column", "The numbers go by rows, as flatten() gives them.",
     ("= values.flatten()", "= values.movedim(0, -1).flatten()")),
)  # fmt: skip


def by_numpy(values: torch.Tensor, count: int) -> list[torch.Tensor]:
    flat = values.numpy().ravel()
    padded = np.pad(flat, (0, -len(flat) % count))
    return [torch.from_numpy(one.copy()) for one in np.split(padded, count)]


sharded = partial(agrees, by_numpy, wrong=SHARDS_MISTAKES)

SHARDS = Exercise(
    id="14.into_shards", title="shards of one size", minutes=8,
    reference=distributed.into_shards,
    rule=(
        "Cut a tensor of any shape into `count` pieces of one size, one for each process. Lay "
        "its numbers in a row (`values.flatten()`), fill up with zeros at the end until they can "
        "be shared out evenly, with as few zeros as possible, and return a `list` of `count` "
        "tensors with one axis each."
    ),
    checks=(
        Check("no remainder", 1, "shares out what can be shared out",
              "`flat.view(count, size)` has a piece in each row.",
              sharded(lambda g: [(tenths(g, 4), 2), (tenths(g, 2, 3), 3), (tenths(g, 3, 2), 2)])),
        Check("a remainder", 2, "fills up with zeros",
              "The size is the number of values divided by count, rounded up: `math.ceil`.",
              sharded(lambda g: [(tenths(g, 5), 2), (tenths(g, 2, 5), 4), (tenths(g, 2), 3),
                                 (tenths(g, 7), 3)])),
    ),
    wrong=SHARDS_MISTAKES,
)  # fmt: skip

ALL = "torch.cat(shards)[: math.prod(shape)]"
GATHER_MISTAKES = mistakes(
    distributed.gather,
    ("padding kept", "The zeros at the end are no part of the tensor: keep the first "
     "math.prod(shape) numbers.",
     (f"{ALL}.view(shape)",
      "(lambda a: a.view(shape) if a.numel() == math.prod(shape) else a)(torch.cat(shards))")),
    ("flat", "It gives one row of numbers: .view(shape) gives the tensor its shape.",
     (f"{ALL}.view(shape)", ALL)),
    ("the end kept", "The zeros stand at the end; you dropped numbers from the beginning.",
     (ALL, "torch.cat(shards)[len(torch.cat(shards)) - math.prod(shape) :]")),
    ("backwards", "The pieces come in the order of the ranks: the first one first.",
     ("torch.cat(shards)", "torch.cat(shards[::-1])")),
    ("stacked on the wrong axis", "The pieces follow each other; they are not shuffled together.",
     ("torch.cat(shards)", "torch.stack(shards, -1).flatten()")),
)  # fmt: skip


def pieces(generator: torch.Generator, count: int, *shape: int) -> tuple:
    return by_numpy(tenths(generator, *shape), count), shape


def back_by_numpy(shards: list[torch.Tensor], shape: tuple) -> torch.Tensor:
    flat = np.concatenate([one.numpy() for one in shards])
    return torch.from_numpy(np.resize(flat, shape))


gathered = partial(agrees, back_by_numpy, wrong=GATHER_MISTAKES)

GATHER = Exercise(
    id="14.gather", title="gather them again", minutes=5,
    reference=distributed.gather,
    rule=(
        "`shards` are the pieces of a tensor as `into_shards` cut it, in the order of the ranks. "
        "Return the tensor of this `shape` (a tuple), without the zeros at the end."
    ),
    checks=(
        Check("no zeros", 1, "puts equal pieces together", "`torch.cat` joins a list of tensors.",
              gathered(lambda g: [pieces(g, 2, 2, 3), pieces(g, 3, 6)])),
        Check("zeros at the end", 2, "drops what was filled up",
              "`math.prod(shape)` says how many numbers the tensor has.",
              gathered(lambda g: [pieces(g, 2, 5), pieces(g, 4, 2, 5), pieces(g, 3, 2)])),
    ),
    wrong=GATHER_MISTAKES,
)  # fmt: skip


# 14.mfu ---------------------------------------------------------------------------------

EACH, ATTENTION = "6 * weights", " + 12 * layers * width * context"
USED = "tokens_per_second * each_token / peak"
MFU_MISTAKES = mistakes(
    clusters.mfu,
    ("forward only",
     "2 operations a weight are the forward pass; the way back takes twice as many. In all 6.",
     (EACH, "2 * weights"), ("12 *", "4 *")),
    ("2 a weight", "A training takes 6 operations for each weight and token: 2 there, 4 back.",
     (EACH, "2 * weights")),
    ("8 a weight",
     "8 a weight count a second forward pass, which a chip may make to save memory. The model "
     "itself needs 6.", (EACH, "8 * weights")),
    ("no attention",
     "Attention is missing: scores and mixing take 12 · layers · width · context a token.",
     (ATTENTION, "")),
    ("no context",
     "Each token looks at `context` positions: attention's operations grow with it.",
     (" * context", "")),
    ("one layer", "That is the attention of one layer: times `layers`.", ("layers * ", "")),
    ("4 of attention", "Attention goes forward and back too: 4 there, 8 back, 12 in all.",
     ("12 *", "4 *")),
    ("times the weights", "Attention is added to the 6 operations a weight.",
     (ATTENTION, ATTENTION.replace("+", "*"))),
    ("upside down", "That is the peak divided by what is used. The share is used / peak.",
     (USED, "peak / (tokens_per_second * each_token)")),
    ("no peak", "It gives operations a second. Their share of the peak is asked for.",
     (USED, "tokens_per_second * each_token")),
    ("percent", "A share lies between 0 and 1: leave out the 100.", (USED, f"100 * {USED}")),
    ("seconds a token", "tokens_per_second says how many tokens a second there are: multiply.",
     (USED, "each_token / tokens_per_second / peak")),
)  # fmt: skip


def share_of_peak(tokens_per_second, weights, layers, width, context, peak):
    """The same, term by term: each pass of each part, over one second."""
    forward = 2 * weights + layers * (2 * width * context + 2 * width * context)
    return math.fsum([forward, 2 * forward]) * (tokens_per_second / peak)


def runs(generator: torch.Generator) -> list[tuple]:
    """Trainings whose attention is a fair part of all: a third and more."""
    found = []
    for _ in range(3):
        layers, width = whole(generator, 3, 9), 64 * whole(generator, 5, 9)
        weights = 12 * layers * width**2 + 1_000 * width
        speed, context = (
            whole(generator, 500, 900),
            pick(generator, [2_048, 3_072, 4_096]),
        )
        found.append(
            (speed, weights, layers, width, context, whole(generator, 3, 9) * 1e11)
        )
    return found


PALM = (238_300, 540.35e9, 118, 48 * 256, 2_048, 6_144 * 275e12)
used = partial(agrees, share_of_peak, wrong=MFU_MISTAKES, tolerance=1e-6)

MFU = Exercise(
    id="14.mfu", title="how much of the chips is used?", minutes=8,
    reference=clusters.mfu,
    rule=(
        "Return the share of `peak` that a training uses, a number between 0 and 1. `peak` is "
        "what all its chips together could do, in operations a second. Each token takes 6 "
        "operations for each of the `weights`, and for attention 12 · layers · width · context, "
        "where `width` is the channels of all heads together. `tokens_per_second` are measured."
    ),
    checks=(
        Check("a training", 3, "counts weights and attention, and divides by the peak",
              "Operations for a token, times tokens a second: operations a second. What share "
              "of the peak is that?", used(runs)),
        Check("PaLM", 1, "finds what PaLM's paper says: 0.462",
              "6 · 540.35e9 and 12 · 118 · 12,288 · 2,048 are a token's two terms.",
              used(lambda _: [PALM])),
    ),
    wrong=MFU_MISTAKES,
)  # fmt: skip

EXERCISES = (ACCUMULATE, LOSS_SCALE, RING, SHARDS, GATHER, MFU)
