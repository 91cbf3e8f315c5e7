"""Exercises of lesson 15: attention across, who sees whom, greedy, patches, chunks."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from course_lib import multimodal, pieces
from course_lib.exercises.form import (
    agrees,
    instead,
    mistakes,
    pick,
    tenths,
    typed,
    whole,
)
from course_lib.exercises.kinds import Check, Exercise

# 15.cross_attention -------------------------------------------------------------------

SCORES = "query @ key.transpose(-2, -1) / math.sqrt(query.shape[-1])"
MIX = "scores.softmax(-1) @ value"
SCALE = "That divides by the wrong root: by √D, where D is the size of one query, the last axis."
CROSS_MISTAKES = mistakes(
    multimodal.cross_attention,
    *instead(SCORES, {
        "query @ key.transpose(-2, -1)":
            "The scores are not divided by √D, so the softmax is too sure of itself.",
        "query @ key.transpose(-2, -1) / query.shape[-1]":
            "The scores are divided by D; it is √D.",
        ("query @ key.transpose(-2, -1) / math.sqrt(query.shape[-2])",
         "query @ key.transpose(-2, -1) / math.sqrt(key.shape[-2])"): SCALE,
        "query @ key.transpose(-2, -1) * math.sqrt(query.shape[-1])":
            "The scores are multiplied by √D; divide by it.",
        "query @ value.transpose(-2, -1) / math.sqrt(query.shape[-1])":
            "It compares queries with values. Queries ask, keys answer; values are what is mixed.",
    }),
    *instead(MIX, {
        "scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), "
        "-torch.inf).softmax(-1) @ value":
            "It hides the later positions. Those are of the *source*, which is there as a whole: "
            "nothing is masked.",
        "scores.softmax(-2) @ value":
            "The softmax runs over the queries. Each query shares out its own attention: over "
            "the keys, the last axis.",
        "(scores / scores.sum(-1, keepdim=True)) @ value":
            "Scores may be below zero: the softmax makes shares of them.",
        "scores.softmax(-1) @ key":
            "It mixes keys. Keys say where to look; what is taken from there are the values.",
        "scores @ value": "The scores are not yet shares: the softmax is missing.",
        "(scores == scores.amax(-1, keepdim=True)).to(value) @ value":
            "It takes the best value whole. The softmax mixes all of them.",
        "scores.softmax(-1)": "Those are the weights. Mix the values with them.",
    }),
)  # fmt: skip


def one_by_one(query, key, value):
    """The same with loops, in plain numbers."""
    if query.dim() > 2:
        rows = [one_by_one(*some) for some in zip(query, key, value)]
        return torch.stack(rows)
    mixed = []
    for q in query.tolist():
        logs = [
            math.fsum(map(math.prod, zip(q, k))) / len(q) ** 0.5 for k in key.tolist()
        ]
        sizes = [math.exp(log - max(logs)) for log in logs]
        shares = [size / math.fsum(sizes) for size in sizes]
        columns = value.T.tolist()
        mixed.append([math.fsum(map(math.prod, zip(shares, c))) for c in columns])
    return torch.tensor(mixed)


def two_lengths(generator, *more: int) -> list[tuple]:
    """A target and a source of unlike lengths; the second case the other way round."""
    found = []
    for target, source in ((3, 5), (4, 2)):
        size = pick(generator, [2, 3])
        shapes = (target, size), (source, size), (source, size)
        found.append(tuple(tenths(generator, *more, *one) for one in shapes))
    return found


crossed = partial(agrees, one_by_one, wrong=CROSS_MISTAKES)

CROSS = Exercise(
    id="15.cross_attention", title="look at something else", minutes=10,
    reference=multimodal.cross_attention,
    rule=(
        "The queries (…, T, D) come from the sentence that is being written; keys and values "
        "(…, S, D) come from the sentence that is read. Return for every query the mixture of "
        "all values (…, T, D): scores, divided by √D; softmax over the keys; then mix. Nothing "
        "is masked. Before the last two axes there may be others, such as batch and heads."
    ),
    checks=(
        Check("two lengths", 3, "looks from T positions at S others",
              "It is lesson 03's formula without the mask. `key.transpose(-2, -1)` turns the last "
              "two axes of the keys.", crossed(two_lengths)),
        Check("batch and heads", 1, "works with batch and heads in front",
              "Count axes from the end: -1 and -2.", crossed(lambda g: two_lengths(g, 2, 2))),
    ),
    wrong=CROSS_MISTAKES,
)  # fmt: skip


# 15.who_sees --------------------------------------------------------------------------

RAMP = "changed[position] += torch.arange(1, x.shape[-1] + 1).to(x)"
MOVED = "(outputs(changed) - before).abs().amax(-1)"
SEES_MISTAKES = mistakes(
    multimodal.who_sees,
    ("not a copy",
     "The changes add up, for `changed` is x itself: change a copy, x.clone(), each time.",
     ("x.clone()", "x")),
    ("changes stay",
     "The second change comes on top of the first. Begin each time with a fresh copy of x.",
     ("before, columns = outputs(x), []", "before, columns, changed = outputs(x), [], x.clone()"),
     ("changed = x.clone()", "pass")),
    *instead(RAMP, {
        "changed[position] += 1":
            "It adds the same number to all channels, and a LayerNorm takes that off again: add "
            "1, 2, 3, … to the channels.",
        "changed[position] = 0":
            "A position that holds zeros already is not changed by zeros: add 1, 2, 3, … to "
            "the channels.",
        "changed[position, 0] += 1":
            "It changes one channel only, and outputs that read another don't move: add 1, 2, "
            "3, … to the channels.",
        "changed[position:] += torch.arange(1, x.shape[-1] + 1).to(x)":
            "It changes this position and all after it. Change one at a time.",
    }),
    *instead(MOVED, {
        "(outputs(changed) - before).sum(-1)":
            "Changes up and down cancel in a sum, and a change down is below zero: take .abs() "
            "first.",
        "(outputs(changed) - before).amax(-1)":
            "A change down is a change, too: take .abs() first.",
        "(outputs(changed) - before).abs().amin(-1)":
            "An output has changed if *any* of its channels has: the largest, not the smallest.",
        "(outputs(changed) - before).abs()[..., 0]":
            "It looks at the first channel only. An output has changed if any of its channels has.",
        "(outputs(changed) - x).abs().amax(-1) if outputs(x).shape == x.shape else "
        "(outputs(changed) - before).abs().amax(-1)":
            "It compares outputs with inputs. Compare them with the outputs before the change.",
    }),
    ("turned",
     "Rows and columns are exchanged: row i is output i, column j is the position that was "
     "changed.", ("dim=-1)", "dim=0)")),
    ("the opposite", "True should say that an output *depends* on a position.",
     ("moved > 1e-6", "moved <= 1e-6")),
    ("numbers", "It gives how far each output moves; True or False is asked for.",
     ("moved > 1e-6", "moved")),
)  # fmt: skip

READERS = {  # text of a function → rows depend on columns, for (S, C)
    "lambda x: x.cumsum(0)": lambda s: np.tril(np.ones((s, s))),
    "lambda x: x.flip(0)": lambda s: np.eye(s)[::-1],
    "lambda x: x.mean(0, keepdim=True) - x": lambda s: np.ones((s, s)),
    "lambda x: x.roll(1, 0)": lambda s: np.roll(np.eye(s), 1, 0),
    "lambda x: (x - x.mean(-1, keepdim=True)).roll(2, 0)":
        lambda s: np.roll(np.eye(s), 2, 0),
    "lambda x: torch.cat([0 * x[:, :1], -x[:, 1:].cumsum(0)], -1)":
        lambda s: np.tril(np.ones((s, s))),
    "lambda x: torch.cat([x[:2, -1:], -x[:2, -1:]], -1)": lambda s: np.eye(s)[:2],
}  # fmt: skip


def as_known(outputs: Callable, x: torch.Tensor) -> torch.Tensor:
    """What each reader depends on, as it was written down beside it."""
    return torch.tensor(READERS[outputs.__name__](len(x)).copy() > 0)


def readers(*places: int) -> Callable:
    """Cases: these readers, on inputs of which one position holds zeros."""

    def cases(generator: torch.Generator) -> list[tuple]:
        found = []
        for place in places:
            x = tenths(generator, 4, 3)
            x[whole(generator, 0, 3)] = 0
            found.append((typed(list(READERS)[place]), x))
        return found

    return cases


seen = partial(agrees, as_known, wrong=SEES_MISTAKES, after=True)

SEES = Exercise(
    id="15.who_sees", title="a test for leaks", minutes=12,
    reference=multimodal.who_sees,
    rule=(
        "`outputs` is a function that maps x (S, C), a vector for each position, to outputs "
        "(T, C). Return a tensor (T, S) of True and False: row i, column j says whether output i "
        "depends on position j. Find it by trying: change one position of a copy of x, and see "
        "which outputs move by more than 1e-6 in any channel. Change it by adding 1, 2, 3, … to "
        "its channels: if all channels grow by the same number, a LayerNorm takes it off again. "
        "Leave x as it is."
    ),
    checks=(
        Check("some readers", 2, "finds who sees whom",
              "A copy for each position: `x.clone()`. Compare `outputs(copy)` with `outputs(x)`; "
              "`torch.stack(columns, dim=-1)` makes the table.", seen(readers(0, 1, 3))),
        Check("hidden changes", 2, "sees small, opposite and hidden changes",
              "`.abs().amax(-1)` is the largest change in any channel.",
              seen(readers(2, 4, 5, 6))),
    ),
    wrong=SEES_MISTAKES,
)  # fmt: skip


# 15.greedy ------------------------------------------------------------------------------


def speaker(after: dict[tuple, int], words: int) -> Callable:
    """Ids (1, T) → logits (1, T, V): what comes next depends on all ids so far."""

    def logits_of(ids: torch.Tensor) -> torch.Tensor:
        if ids.dim() != 2 or ids.shape[0] != 1 or ids.dtype != torch.int64:
            raise ValueError(
                f"The ids are {ids.dtype} of shape {tuple(ids.shape)}; it wants whole "
                "numbers (1, T): torch.tensor([ids])."
            )
        row = ids[0].tolist()
        logits = torch.full((1, len(row), words), -1.0)
        for i in range(len(row)):
            # What it doesn't know leads to the last word, which ends nothing.
            logits[0, i, after.get(tuple(row[: i + 1]), words - 1)] = 2.0
        return logits

    logits_of.__name__ = f"speaker({after})"  # so it is shown
    logits_of.after, logits_of.words = after, words
    return logits_of


def walked(logits_of: Callable, start: int, end: int, most: int) -> list[int]:
    """By the speaker's own table, without logits."""
    path = (start,)
    for _ in range(most):
        following = logits_of.after.get(path, logits_of.words - 1)
        if following == end:
            break
        path = (*path, following)
    return list(path[1:])


NEXT, WHILE = "logits_of(torch.tensor([ids]))[0, -1]", "while len(ids) <= most:"
BEST, STOP = "best = int(logits.argmax())", "break"
GREEDY_MISTAKES = mistakes(
    multimodal.greedy,
    *instead(NEXT, {
        "logits_of(torch.tensor([ids]))[0, 0]":
            "It reads the logits of the first position. What comes next is said at the last one.",
        "logits_of(torch.tensor([ids[-1:]]))[0, -1]":
            "It gives the model the last word only. The model must read all that is written so far.",
    }),
    *instead(WHILE, {
        "while len(ids) < most:":
            "It stops one word too soon: `most` counts the words without the start.",
        "while len(ids) <= most + 1:":
            "It writes one word too many: `most` counts the words, without the start.",
        "for _ in range(1):": "It writes one word. Go on until the end word, or `most` words.",
    }),
    *instead(BEST, {
        "best = int(logits.argmin())": "That takes the least likely word: argmax.",
        "best = int(logits.topk(2).indices[1])": "That is the second-likeliest word.",
    }),
    *instead(STOP, {
        "return ids[1:] + [end]":
            "The end word is in the result; it only says that the sentence is over.",
        "pass": "It writes on after the end word.",
    }),
    ("with the start", "The start word is in the result; it is no word of the sentence.",
     ("return ids[1:]", "return ids")),
    ("without the first", "The first word is missing: only the start is to be left out.",
     ("return ids[1:]", "return ids[2:]")),
    ("a tensor", "It gives a tensor; a list of ids is asked for.",
     ("return ids[1:]", "return torch.tensor(ids[1:])")),
)  # fmt: skip


def speech(generator: torch.Generator, length: int, most: int) -> tuple:
    """A speaker that says so many words and then ends, and how many are allowed."""
    words = 8
    said = [whole(generator, 2, 6) for _ in range(length)]
    said[1:2] = said[:1]  # the same word twice: the last word alone does not tell
    path, after = (0,), {}
    for id in [*said, 1]:
        after[path] = id
        path = (*path, id)
    after[path] = whole(generator, 2, 6)  # what it would say after the end
    return speaker(after, words), 0, 1, most


greedily = partial(agrees, walked, wrong=GREEDY_MISTAKES)

GREEDY = Exercise(
    id="15.greedy", title="translate greedily", minutes=10,
    reference=multimodal.greedy,
    rule=(
        "`logits_of` maps ids (1, T), an int64 tensor, to logits (1, T, V): at each position, "
        "for the word after it. Begin with the id `start`, and append the likeliest next id, again "
        "and again, until it is `end` or until there are `most` words. Return the list of ids, "
        "without `start` and without `end`."
    ),
    checks=(
        Check("a sentence", 3, "writes until the end word",
              "`logits_of(torch.tensor([ids]))[0, -1]` are the logits for the next word; `.argmax()` "
              "is the likeliest.",
              greedily(lambda g: [speech(g, 4, 9), speech(g, 2, 9), speech(g, 5, 9)])),
        Check("no end", 1, "stops after `most` words",
              "Count the words without the start.",
              greedily(lambda g: [speech(g, 5, 3), speech(g, 4, 4), speech(g, 3, 1)])),
    ),
    wrong=GREEDY_MISTAKES,
)  # fmt: skip


# 15.patchify ------------------------------------------------------------------------------


def cut(images: torch.Tensor, size: int) -> torch.Tensor:
    """The same by slices, one patch at a time."""
    _, rows, columns = images.shape
    patches = []
    for y in range(0, rows, size):
        for x in range(0, columns, size):
            patch = images[:, y : y + size, x : x + size]  # (B, size, size)
            patches.append(patch.flatten(1))
    return torch.stack(patches, dim=1)


def cut_with_numpy(images, size):
    windows = np.lib.stride_tricks.sliding_window_view(
        images.numpy(), (size, size), (1, 2)
    )
    windows = windows[:, ::size, ::size]
    return torch.tensor(windows.reshape(len(images), -1, size * size))


PARTS = "images.reshape(count, rows // size, size, columns // size, size)"
TURNED = "parts.transpose(2, 3).reshape(count, -1, size * size)"
PATCH_MISTAKES = mistakes(
    pieces.patchify,
    *instead(TURNED, {
        "parts.reshape(count, -1, size * size)":
            "Its rows are cut from one line of pixels after the other. A patch takes `size` pixels "
            "of a line, and then goes on in the line below: swap the two axes in the middle.",
        "parts.permute(0, 3, 1, 2, 4).reshape(count, -1, size * size)":
            "The patches come column by column. Go along the first row of patches first.",
        "parts.permute(0, 1, 3, 4, 2).reshape(count, -1, size * size)":
            "In each patch the pixels come column by column: go along its first line first.",
        "parts.transpose(2, 3).reshape(count, rows // size, columns // size, -1)":
            "The patches stand in a grid; a transformer wants them in one row: (B, S, P).",
        "parts.transpose(2, 3).reshape(count, -1, size, size)":
            "Each patch is a square still; as a token it is one row of numbers: (B, S, P).",
        "parts.transpose(2, 3).reshape(count, -1, size * size).transpose(1, 2)":
            "Patches and pixels are exchanged: the last axis holds the pixels of one patch.",
        "parts.transpose(2, 3).reshape(-1, size * size)":
            "The images are mixed up in one long row: keep the batch in front.",
        "parts.transpose(2, 3).reshape(count, -1, size * size).flip(1)":
            "The patches come from last to first.",
        "parts.transpose(2, 3).reshape(count, -1, size * size).mean(-1, keepdim=True)":
            "That is the mean of each patch. All its pixels are wanted, side by side.",
    }),
    *instead(PARTS, {
        "images.reshape(count, size, rows // size, size, columns // size)":
            "Number and size of the patches are exchanged: an axis of pixels splits into "
            "(how many patches, pixels in each).",
        "images.transpose(1, 2).reshape(count, columns // size, size, rows // size, size)":
            "The images are turned over: lines have become columns.",
    }),
)  # fmt: skip


def images(generator: torch.Generator, *shapes: tuple) -> list[tuple]:
    return [(tenths(generator, *shape), size) for *shape, size in shapes]


patched = partial(agrees, cut_with_numpy, wrong=PATCH_MISTAKES, tolerance=0)

PATCHIFY = Exercise(
    id="15.patchify", title="cut images into patches", minutes=10,
    reference=pieces.patchify, plain=cut,
    rule=(
        "Cut images (B, N, M) into square patches of `size` × `size` pixels, and return them as "
        "rows of numbers: (B, S, P), with P = size². The patches come line by line from the top, "
        "each line from left to right, and so do the pixels in each patch. `size` divides N "
        "and M."
    ),
    checks=(
        Check("square images", 2, "cuts square images",
              "`images[:, y : y + size, x : x + size]` is one patch of all images; `flatten(1)` "
              "makes a row of it.", patched(lambda g: images(g, (1, 4, 4, 2), (2, 6, 6, 3)))),
        Check("other images", 2, "cuts images that are not square, and one-pixel patches",
              "Rows and columns of patches need not be as many.",
              patched(lambda g: images(g, (2, 4, 6, 2), (1, 6, 3, 3), (2, 2, 3, 1)))),
    ),
    wrong=PATCH_MISTAKES,
)  # fmt: skip


# 15.order_matters --------------------------------------------------------------------------

SHARE = "float((name(patches) != name(patches[:, order])).float().mean())"
ORDER_MISTAKES = mistakes(
    pieces.order_matters,
    *instead(SHARE, {
        "float((name(patches) == name(patches[:, order])).float().mean())":
            "That is the share of names that stay; how many change?",
        "float((name(patches) != name(patches[:, order])).float().sum())":
            "That is a number of images. A share is that number, divided by how many there are.",
        "float((name(patches) != name(patches[:, order])).any())":
            "That says whether any name changes. The share is asked for.",
        "float((patches != patches[:, order]).float().mean())":
            "It compares patches. Compare what the model *says* of them.",
        "float((name(patches) - name(patches[:, order])).abs().float().mean())":
            "Names are labels: 3 is no farther from 0 than 1 is. Count those that differ.",
        "float((name(patches) != name(patches)[order[: len(patches)] % len(patches)])"
        ".float().mean())":
            "It exchanges the images, or their names. The patches *within* each image change places.",
        "float((name(patches) != name(patches[:, order.argsort()])).float().mean())":
            "That is the order backwards: patch order[i] comes to place i, `patches[:, order]`.",
        "float((name(patches) != name(patches.flip(1))).float().mean())":
            "It turns the patches round. Put them in the given order: `patches[:, order]`.",
        "(name(patches) != name(patches[:, order])).float().mean()":
            "It gives a tensor; a float is asked for.",
        "100 * float((name(patches) != name(patches[:, order])).float().mean())":
            "Those are percent; a share runs from 0 to 1.",
    }),
)  # fmt: skip

NAMERS = (
    "lambda p: (p[:, :2].sum((1, 2)) > p[:, 2:].sum((1, 2))).long()",
    "lambda p: p[:, 0].argmax(-1)",
    "lambda p: 2 * (p[:, 1] > 0).long().sum(-1)",
)
BLIND = ("lambda p: p.sum(1).argmax(-1)", "lambda p: (p.amax((1, 2)) > 2.5).long()")


def counted(name: Callable, patches: torch.Tensor, order: torch.Tensor) -> float:
    """One image after the other."""
    changed = 0
    for image in patches:
        moved = torch.stack([image[i] for i in order.tolist()])
        changed += int(name(image[None])[0] != name(moved[None])[0])
    return changed / len(patches)


def models(*texts: str) -> Callable:
    """Cases: small models, which name 8 images of 4 patches."""

    def cases(generator: torch.Generator) -> list[tuple]:
        found = []
        for text in texts:
            order = torch.tensor(
                pick(generator, [[2, 0, 3, 1], [1, 3, 0, 2], [3, 0, 1, 2]])
            )
            found.append((typed(text), tenths(generator, 8, 4, 3), order))
        return found

    return cases


reordered = partial(agrees, counted, wrong=ORDER_MISTAKES, tolerance=1e-6)

ORDER = Exercise(
    id="15.order_matters", title="does the order matter?", minutes=8,
    reference=pieces.order_matters,
    rule=(
        "`name` maps patches (B, S, P) to the number of a name for each image (B). Return the "
        "share of images, a float from 0 to 1, whose name changes when their patches are put "
        "into another order: the patch number `order[0]` comes first, then `order[1]`, and so on, "
        "in every image."
    ),
    checks=(
        Check("models with places", 2, "counts the names that change",
              "`patches[:, order]` puts the patches of all images into that order.",
              reordered(models(*NAMERS))),
        Check("models without", 1, "finds 0 where places play no part",
              "Compare the names, not the patches.", reordered(models(*BLIND))),
    ),
    wrong=ORDER_MISTAKES,
)  # fmt: skip


# 15.from_chunks -----------------------------------------------------------------------------

LENGTH, ADD = "(count - 1) * step + size", "total[i * step : i * step + size] += chunk"
FROM_MISTAKES = mistakes(
    pieces.from_chunks,
    ("the sum",
     "Where chunks lie over each other it adds them up, so the sound is too loud there: take "
     "the mean.", ("return total / times", "return total")),
    ("the last one",
     "Later chunks write over earlier ones. Where they lie over each other, take the mean of all.",
     (ADD, "total[i * step : i * step + size] = chunk"), ("return total / times", "return total")),
    ("divided by all",
     "It divides every sample by the number of chunks. Divide each by how many lie over *it*.",
     ("return total / times", "return total / count")),
    ("divided by size over step",
     "At both ends fewer chunks lie over a sample than in the middle: count them, sample by "
     "sample.", ("return total / times", "return total / (size / step)")),
    ("side by side",
     "It puts chunks side by side. They begin every `step` samples, and may lie over each other.",
     ("return total / times", "return chunks.flatten()")),
    ("only the beginnings",
     "The end of the last chunk is missing: the sound has (S − 1) · step + P samples.",
     ("return total / times", "return chunks[:, :step].flatten()")),
    ("too long", "There are samples after the last chunk: the sound has (S − 1) · step + P.",
     (LENGTH, "count * step + size"), ("total / times", "torch.nan_to_num(total / times)")),
    ("one step on", "It begins a step too late: the first chunk begins at sample 0.",
     ("return total / times", "return torch.cat([torch.zeros(step), total / times])[:-step]")),
)  # fmt: skip


def sample_by_sample(chunks, step):
    """For each sample the chunks that hold it, and their mean."""
    count, size = chunks.shape
    wave = []
    for t in range((count - 1) * step + size):
        held = [
            chunks[i, t - i * step] for i in range(count) if 0 <= t - i * step < size
        ]
        wave.append(float(sum(held)) / len(held))
    return torch.tensor(wave)


def cut_up(generator, *shapes: tuple) -> list[tuple]:
    """Chunks of real sounds, (count, size, step) each, so that where two meet they agree."""
    found = []
    for count, size, step in shapes:
        wave = tenths(generator, (count - 1) * step + size)
        found.append((pieces.chunks(wave, size, step).clone(), step))
    return found


def changed(generator) -> list[tuple]:
    """Chunks that somebody has changed: where two meet they differ."""
    return [(tenths(generator, 3, 4), 2), (tenths(generator, 4, 3), 1)]


rejoined = partial(agrees, sample_by_sample, wrong=FROM_MISTAKES, after=True)

FROM = Exercise(
    id="15.from_chunks", title="a sound from its chunks", minutes=12,
    reference=pieces.from_chunks,
    rule=(
        "`chunks` (S, P) are pieces of a sound, P samples each; chunk i begins at sample "
        "i · step. `step` may be smaller than P, and then chunks lie over each other. Return the "
        "sound, (S − 1) · step + P samples: where several chunks lie over a sample, the mean of "
        "what they say. Leave the chunks as they are."
    ),
    checks=(
        Check("side by side", 1, "puts chunks side by side", "With step = P nothing overlaps.",
              rejoined(lambda g: cut_up(g, (3, 2, 2), (2, 3, 3)))),
        Check("overlapping", 2, "gives back a sound from chunks that overlap",
              "Two tensors of zeros: add the samples to one, and 1 to the other where a sample was "
              "added; divide.", rejoined(lambda g: cut_up(g, (3, 4, 2), (4, 3, 1), (3, 5, 2)))),
        Check("chunks that differ", 1, "takes the mean where chunks differ",
              "Divide every sample by how many chunks lie over it.", rejoined(changed)),
    ),
    wrong=FROM_MISTAKES,
)  # fmt: skip

EXERCISES = (CROSS, SEES, GREEDY, PATCHIFY, ORDER, FROM)
