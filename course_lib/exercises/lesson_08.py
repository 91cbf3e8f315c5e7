"""Exercises of lesson 08: windows, AdamW, the rate, one batch by heart, the bigram."""

import math
from collections import Counter
from collections.abc import Callable
from itertools import product

import torch
from torch import nn
from torch.nn import functional as F

from course_lib import data, train
from course_lib.exercises.compare import a, difference, same, shown
from course_lib.exercises.form import agrees, edited, mistakes, pick, tenths, whole
from course_lib.exercises.kinds import Check, Exercise, Mistake


def joined(value, right, told: str) -> str:
    """How a value differs, where that is simple, and what else helps."""
    return "; ".join(filter(None, (difference(value, right), told)))


# 08.cut -----------------------------------------------------------------------------

PAIR = "inputs", "targets"
ROWS = "ids[(starts.unsqueeze(1) + steps).to(ids.device)].long()"
INPUTS, TARGETS, BOTH = "rows[:, :-1]", "rows[:, 1:]", "rows[:, :-1], rows[:, 1:]"
ONE_ROW = "There is only one row: every start gets a row of its own."
LAST = "it is the id after the window, which only the text knows. Cut from ids, not inputs."

INPUTS_MISTAKES = mistakes(
    data.cut,
    ("swapped", "The inputs begin one id after their starts. The inputs begin there; the targets "
     "come one later.", (BOTH, "rows[:, 1:], rows[:, :-1]")),
    ("ignores starts", "The windows begin at places 0, 1, 2, … of the text; row b should begin "
     "at place starts[b].", ("starts.unsqueeze(1)", "torch.arange(len(starts)).unsqueeze(1)")),
    ("too short", "The windows are one id too short. Cut T + 1 ids, and both inputs and targets "
     "have T.", ("context + 1", "context")),
    ("too long", "The windows are one id too long: of T + 1 ids the inputs are the first T, the "
     "targets the last T.", ("context + 1", "context + 2")),
    ("transposed", "The axes have changed places: each row is a window.",
     (BOTH, "rows[:, :-1].T, rows[:, 1:].T")),
    ("one window", ONE_ROW, (BOTH, "rows[0, :-1], rows[0, 1:]")),
    ("one row", ONE_ROW, (BOTH, "rows[:1, :-1], rows[:1, 1:]")),
    ("floats", "The ids have become decimals. Ids are whole numbers: .long() makes int64.",
     (".long()", ".float()")),
    ("one slice", "A slice has one start, and starts holds several. Cut a window for each in a "
     "loop, and torch.stack them.",
     (BOTH, "ids[starts : starts + context], ids[starts + 1 : starts + context + 1]")),
    ("no column of starts", "starts has B places, and is added to T + 1 steps number by number. "
     "Make starts a column, starts.unsqueeze(1): then every start meets every step.",
     ("starts.unsqueeze(1)", "starts")),
    ("torch.tensor", "torch.tensor makes a tensor of numbers and can't join tensors; torch.stack "
     "can.", (ROWS, "torch.tensor([ids[s : s + context + 1] for s in starts])")),
    ("one tensor", "It gives one tensor. Give a tuple of two: return inputs, targets.",
     (BOTH, "torch.stack((rows[:, :-1], rows[:, 1:]))")),
)  # fmt: skip

TARGETS_MISTAKES = mistakes(
    data.cut,
    ("targets are inputs", "The targets are the inputs: a model would learn to copy.",
     (TARGETS, "rows[:, :-1]")),
    ("the wrong way", "The targets are shifted the wrong way: they are the ids before.",
     (TARGETS, "ids[starts.unsqueeze(1) + steps[:-1] - 1].long()")),
    ("by two", "The targets are shifted by two: the next id is one further.",
     (TARGETS, "ids[starts.unsqueeze(1) + steps[:-1] + 2].long()")),
    ("plus one", "You add 1 to the ids. Shift the place, not the id: the target is the id that "
     "comes next in the text.", (TARGETS, "rows[:, :-1] + 1")),
    ("the last is missing", "The targets are one too few: the last input has a target too, and " + LAST,
     (TARGETS, "rows[:, 1:-1]")),
    ("rolled round", "The last target has come round from the row's beginning: " + LAST,
     (TARGETS, "rows[:, :-1].roll(-1, 1)")),
    ("the last is 0", "The last target of each row is 0: " + LAST,
     (TARGETS, "torch.nn.functional.pad(rows[:, 1:-1], (0, 1))")),
    ("past the end", "It reads past the end of the text: a window needs T + 1 ids from its start "
     "on, no more.", ("context + 1", "context + 2"), (BOTH, "rows[:, :-2], rows[:, 1:-1]")),
    ("keeps the dtype", "The windows hold the ids' own dtype; int64 is wanted, whatever comes "
     "in: .long() makes it so.", (".long()", "")),
)  # fmt: skip


def cut_plainly(
    ids: torch.Tensor, starts: torch.Tensor, context: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The windows that begin at starts (B,): inputs (B, T) and targets (B, T), int64."""
    inputs, targets = [], []
    for start in starts.tolist():
        inputs.append(ids[start : start + context])
        targets.append(ids[start + 1 : start + context + 1])
    return torch.stack(inputs).long(), torch.stack(targets).long()


def unfolded(ids, starts, context):
    """The same, out of all windows that the text has."""
    rows = ids.long().unfold(0, context + 1, 1)[starts]
    return rows[:, :-1], rows[:, 1:]


def some_text(generator: torch.Generator, length: int = 18) -> torch.Tensor:
    """Ids (N,), all different, each telling its place; none is another + 1."""
    return 3 * torch.randperm(length, generator=generator) + 5


def inside(generator):
    """Windows far from both ends: one; three in no order; four, of which two are one."""
    starts = torch.randperm(8, generator=generator)[:3] + 3
    found = ((starts[:1], 5), (starts, 4), (starts[[2, 0, 1, 0]], 3))
    return [(some_text(generator), *one) for one in found]


def any_windows(generator):
    """The first and the last of a text, of any dtype, of one id; those of the lesson."""
    ids, found = some_text(generator), []
    for context, kind in ((1, torch.int16), (4, torch.uint8), (4, torch.int64)):
        last = len(ids) - context - 1
        starts = torch.tensor([last, whole(generator, 1, last - 1), 0])
        found += [(ids.to(kind), starts, context), (ids.to(kind), starts[:1], context)]
    stories = torch.tensor([0, whole(generator, 90, 150)])
    return [*found, (some_text(generator, 400), stories, 8)]


def part(number: int | slice, *names: str) -> Callable:
    """What sees a part of a tuple of things with these names."""

    def look(value):
        if value is not None and (type(value) is not tuple or len(value) != len(names)):
            what = f"{len(value)} things" if type(value) is tuple else a(type(value))
            raise Mistake(f"It gives {what}. Give a tuple: return {', '.join(names)}.")
        return value and value[number]

    return look


CUT = Exercise(
    id="08.cut", title="cut windows out of a text", minutes=10, reference=data.cut,
    rule=(
        "`ids` (N,) is a text in tokens, whole numbers of any dtype; `starts` (B,) are places in "
        "it, and T is `context`. Return a tuple of two tensors of int64, `inputs, targets`, both "
        "(B, T). Row b of the inputs holds the T ids from place `starts[b]` on; row b of the "
        "targets holds, for each of them, the id that comes next in the text. Every start leaves "
        "room for T + 1 ids; the last of them may be the last of the text."
    ),
    checks=(
        Check("inputs begin at starts", 1, "cuts a window at every start",
            "`ids[start : start + context]` is one window, and `torch.stack` makes rows of a list. "
            "Without a loop: `starts.unsqueeze(1) + torch.arange(…)` is a table of places, and "
            "`ids[table]` reads them all.",
            agrees(unfolded, inside, INPUTS_MISTAKES, 0.0, part(0, *PAIR), shows="{}[0]")),
        Check("targets are shifted by one", 2,
            "gives every input the id that comes next as its target",
            "Cut T + 1 ids. All but the last are inputs, all but the first are targets.",
            agrees(unfolded, inside, TARGETS_MISTAKES, 0.0, part(1, *PAIR), shows="{}[1]")),
        Check("any windows", 1, "cuts the last window of a text too, from ids of any dtype",
            "How many ids does a window need? And `.long()` turns ids into int64.",
            agrees(unfolded, any_windows, TARGETS_MISTAKES, 0.0)),
    ),
    wrong=INPUTS_MISTAKES + TARGETS_MISTAKES, plain=cut_plainly,
)  # fmt: skip


# 08.adamw ---------------------------------------------------------------------------


def adamw(
    weight: torch.Tensor,
    gradient: torch.Tensor,
    average: torch.Tensor,
    square: torch.Tensor,
    step: int,
    rate: float,
    decay: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """One step of AdamW: the new weight, average and square, each of one shape.

    average, square: running averages of the gradients and of their squares. step: 1 for
    the first. rate: the learning rate. decay: weight decay (Loshchilov & Hutter 2017).
    """
    average = 0.9 * average + 0.1 * gradient
    square = 0.95 * square + 0.05 * gradient**2
    direction = average / (1 - 0.9**step)
    size = (square / (1 - 0.95**step)).sqrt()
    weight = weight * (1 - rate * decay) - rate * direction / (size + 1e-8)
    return weight, average, square


AVERAGE, SQUARE = "0.9 * average + 0.1 * gradient", "0.95 * square + 0.05 * gradient**2"
ONE, TWO = " / (1 - 0.9**step)", " / (1 - 0.95**step)"
SIZE = "(square / (1 - 0.95**step)).sqrt()"
MOVE, STAY = "rate * direction / (size + 1e-8)", "weight * (1 - rate * decay)"
THREE = "weight", "average", "square"
NEW = f"return {', '.join(THREE)}"
STORE_ONE = ("average" + ONE, "(average := average" + ONE + ")")
STORE_TWO = ("square" + TWO, "(square := square" + TWO + ")")
TOO_SMALL = "Both averages start at 0 and are too small at first: divide "
STORED = (
    "You give back the corrected {}. Use it for the step, and give back what is not "
    "divided, or the next step divides again."
)

AVERAGES_MISTAKES = mistakes(
    adamw,
    ("the average as it was", "The average is what it was: let it take 0.1 of the gradient.",
     (AVERAGE, "average")),
    ("shares swapped", "The average keeps 0.1 and takes 0.9: the other way round.",
     (AVERAGE, "0.1 * average + 0.9 * gradient"), (SQUARE, "0.05 * square + 0.95 * gradient**2")),
    ("betas swapped", "0.9 and 0.95 have changed places: the gradients' average keeps 0.9, the "
     "squares' 0.95.",
     (AVERAGE, "0.95 * average + 0.05 * gradient"), (SQUARE, "0.9 * square + 0.1 * gradient**2")),
    ("the whole gradient", "The average takes the whole gradient; take 0.1 of it.",
     ("0.1 * gradient", "gradient")),
    ("minus the gradient", "The average takes off the gradient: add it. The minus sign comes at "
     "the end, with the step.", ("+ 0.1 * gradient", "- 0.1 * gradient")),
    ("stores the corrected", STORED.format("averages"), STORE_ONE, STORE_TWO),
    ("stores the corrected average", STORED.format("average"), STORE_ONE),
    ("stores the corrected square", STORED.format("square"), STORE_TWO),
    ("the square as it was", "The square is what it was: let it take 0.05 of the gradient "
     "squared.", (SQUARE, "square")),
    ("not squared", "The gradient is not squared: this is the average of its squares.",
     ("gradient**2", "gradient")),
    ("the average squared", "You square the average; square the gradient.",
     ("gradient**2", "average**2")),
    ("one beta for both", "The square keeps 0.9; the squares' average keeps 0.95.",
     (SQUARE, "0.9 * square + 0.1 * gradient**2")),
    ("torch's default", "The square keeps 0.999, which is torch's default; here it keeps 0.95.",
     (SQUARE, "0.999 * square + 0.001 * gradient**2")),
    ("the weight only", "It gives one tensor. Give three: the new weight, average and square; "
     "without the last two the next step knows nothing.", (NEW, "return weight")),
    ("math.sqrt", "Something in it wants one number and gets a tensor. math.sqrt takes numbers; "
     "the root of every number of a tensor is tensor.sqrt().",
     (SIZE, "__import__('math').sqrt(square / (1 - 0.95**step))")),
)  # fmt: skip

STEP_MISTAKES = mistakes(
    adamw,
    ("no bias correction", TOO_SMALL + "the first by 1 - 0.9**step, the second by 1 - "
     "0.95**step.", (ONE, ""), (TWO, "")),
    ("half corrected", TOO_SMALL + "the square too.", (TWO, "")),
    ("the other half", TOO_SMALL + "the average too.", (ONE, "")),
    ("steps from 0", "It counts steps from 0, and in the first step it would divide by 0: step "
     "is 1 there.", (ONE, " / (1 - 0.9 ** (step - 1))"), (TWO, " / (1 - 0.95 ** (step - 1))")),
    ("no root", "You divide by the square; divide by its root.", (".sqrt()", "")),
    ("uphill", "The weight goes up the slope: the step is taken off.",
     (f"- {MOVE}", f"+ {MOVE}")),
    ("momentum only", "It never divides by the root of the square.", (" / (size + 1e-8)", "")),
    ("plain descent", "That is plain gradient descent: the averages are not used.",
     (MOVE, "rate * gradient")),
    ("along the gradient", "The step goes along the gradient; it goes along the average.",
     ("average" + ONE, "gradient")),
    ("no rate", "The step is not scaled by the rate.", (MOVE, "direction / (size + 1e-8)")),
    ("the averages from before", "The step uses the averages from before: let them take the "
     "gradient first.",
     (f"    average = {AVERAGE}\n    square = {SQUARE}\n", ""),
     (NEW, f"return weight, {AVERAGE}, {SQUARE}")),
    ("decay for its share", "The weight shrinks to decay times itself; with a decay of 0 nothing "
     "is left of it. It keeps 1 - rate × decay of itself.", ("1 - rate * decay", "decay")),
)  # fmt: skip

DECAY_MISTAKES = mistakes(
    adamw,
    ("Adam with L2", "The decay is added to the gradient, so that it goes into the averages: "
     "that is Adam with L2. In AdamW it shrinks the weight only.",
     (f"average = {AVERAGE}", f"gradient = gradient + decay * weight\n    average = {AVERAGE}"),
     (STAY, "weight")),
    ("no decay", "It ignores decay: the weight shrinks too.", (STAY, "weight")),
    ("it grows", "The weight grows: it shrinks, to 1 - rate × decay.",
     ("1 - rate * decay", "1 + rate * decay")),
    ("decay without the rate", "The weight shrinks by decay alone: by rate × decay.",
     ("1 - rate * decay", "1 - decay")),
    ("decay after the step", "The step shrinks too: shrink the weight first, then take the step "
     "off.", (f"{STAY} - {MOVE}", f"(weight - {MOVE}) * (1 - rate * decay)")),
    ("no epsilon", "A gradient of 0 gives NaN: nothing over nothing. Add 1e-8 to the root.",
     (" + 1e-8", "")),
    ("epsilon inside", "The 1e-8 is added inside the root, where it counts as 1e-4. Add it to "
     "the root.", (SIZE, "(square / (1 - 0.95**step) + 1e-8).sqrt()"), ("size + 1e-8", "size")),
)  # fmt: skip


def torch_step(weight, gradient, average, square, step, rate, decay):
    """The same step by torch.optim.AdamW, which is handed the averages."""
    weight = nn.Parameter(weight.clone())
    weight.grad = gradient.clone()
    optimizer = torch.optim.AdamW(
        [weight], lr=rate, betas=(0.9, 0.95), eps=1e-8, weight_decay=decay
    )
    memory = {"exp_avg": average.clone(), "exp_avg_sq": square.clone()}
    optimizer.state[weight] = {"step": torch.tensor(step - 1.0), **memory}
    optimizer.step()
    return weight.detach(), memory["exp_avg"], memory["exp_avg_sq"]


def some_state(generator: torch.Generator, *shape: int) -> list[torch.Tensor]:
    """Weight, gradient, average and square, as if some steps were behind us."""
    weight, gradient, average = tenths(generator, 3, *shape)
    return [weight, gradient, average, 1 + tenths(generator, *shape).abs()]


def without_decay(generator):
    """Steps 1 and later, on vectors and matrices."""
    weight, gradient, *_ = some_state(generator, 3)
    first = (weight, gradient, torch.zeros(3), torch.zeros(3), 1, 0.3, 0.0)
    steps = ((3,), 3), ((2, 2), 5), ((4,), whole(generator, 6, 9))
    return [first, *((*some_state(generator, *n), s, 0.3, 0.0) for n, s in steps)]


def with_decay(generator):
    decay = whole(generator, 5, 9) / 10
    return [(*some_state(generator, 3), step, 0.4, decay) for step in (1, 4, 5)]


def many_steps(generator):
    """The lesson's run; a gradient of 0; tiny ones, where 1e-8 and its place show."""
    zeros, tiny = torch.zeros(3), torch.tensor([1e-5, -2e-5, 3e-5])
    ours = [tenths(generator, 3), zeros, zeros]
    first = [(ours[0], zeros, zeros, zeros, 1, 0.2, 0.5)]
    found = [*first, (ours[0], tiny, zeros, zeros, 1, 0.2, 0.0)]
    for step in range(1, 8):
        gradient = tenths(generator, 3) * torch.tensor([1.0, 1e-3, 1e3])
        found.append((ours[0], gradient, *ours[1:], step, 0.1, 0.1))
        ours = torch_step(*found[-1])
    return found[:3] + found[4::2]


def corrected(inputs, value, right) -> str:
    """How a step differs, and what its two averages are for it."""
    (_, average, square), step = torch_step(*inputs), inputs[4]
    direction, size = average / (1 - 0.9**step), square / (1 - 0.95**step)
    told = f"the corrected average is {shown(direction)}, the square {shown(size)}"
    return joined(value, right, told)


ADAMW = Exercise(
    id="08.adamw", title="one step of AdamW", minutes=15, reference=adamw,
    rule=(
        "All four tensors have one shape. `average` and `square` began at 0; the first `step` is "
        "1.\n\n"
        "1. New average = 0.9 × `average` + 0.1 × `gradient`.\n"
        "2. New square = 0.95 × `square` + 0.05 × `gradient`².\n"
        "3. a = new average / (1 − 0.9^`step`), s = new square / (1 − 0.95^`step`).\n"
        "4. New weight = `weight` × (1 − `rate` × `decay`) − `rate` × a / (√s + 1e-8).\n"
        "5. Return a tuple: the new weight, and the results of lines 1 and 2, not a and s.\n\n"
        "Why line 3? After `step` steps the shares 0.1, 0.1 × 0.9, 0.1 × 0.9², … that went into "
        "the average add up to 1 − 0.9^`step`, and not yet to 1. You may make new tensors or "
        "change those you are given."
    ),
    checks=(
        Check("two averages", 1, "remembers the gradients and their squares",
            "`0.9 * average + 0.1 * gradient` is a running average. The other one has 0.95, 0.05 "
            "and the gradient squared.",
            agrees(torch_step, without_decay, AVERAGES_MISTAKES,
                   look=part(slice(1, 3), *THREE), shows="{}[1:]")),
        Check("the step", 2, "steps along the corrected average, as long as the rate says",
            "In step 1 `average` is 0.1 × gradient. What is it after the correction?",
            agrees(torch_step, without_decay, STEP_MISTAKES,
                   look=part(0, *THREE), shows="{}[0]", why=corrected)),
        Check("the decay", 1, "lets the weights decay apart from their gradients",
            "The decay goes into neither the gradient nor the averages. Multiply the weight by a "
            "number a little below 1.",
            agrees(torch_step, with_decay, DECAY_MISTAKES, why=corrected)),
        Check("many steps", 1, "goes with torch's AdamW for many steps, and never divides by 0",
            "Take the root first, and add 1e-8 to it: `square.sqrt() + 1e-8`, with the corrected "
            "square. What comes of a gradient of 0 without it?",
            agrees(torch_step, many_steps, DECAY_MISTAKES)),
    ),
    wrong=AVERAGES_MISTAKES + STEP_MISTAKES + DECAY_MISTAKES,
    may_change=("weight", "gradient", "average", "square"),
)  # fmt: skip


# 08.rate_at -------------------------------------------------------------------------

WARM, IN_WARMUP = "(step + 1) / (config.warmup + 1)", "step < config.warmup"
DONE, ALL = "(step - config.warmup)", "max(1, config.steps - config.warmup)"
SHARE = "LAST_SHARE + (1 - LAST_SHARE) * (1 + math.cos(math.pi * progress)) / 2"
COSINE = "(1 + math.cos(math.pi * progress)) / 2"
BY_NOTHING = "With a warm-up of 0 it divides by 0: divide inside the if, by warmup + 1."
NO_WARMUP = "There is no warm-up: while step < config.warmup, it rises in a line."
RADIANS = "math.cos counts in radians: half a turn is math.pi, "

WARMUP_MISTAKES = mistakes(
    train.rate_at,
    ("no warm-up", NO_WARMUP, (IN_WARMUP, "False"), (f"{DONE} / {ALL}", "step / config.steps")),
    ("no if", NO_WARMUP, (IN_WARMUP, "False")),
    ("waits at 1", "There is no warm-up: the first shares are all 1.", (WARM, "1.0")),
    ("a wasted step", "Step 0 has rate 0, and is wasted: it is the first, step + 1.",
     (WARM, "step / config.warmup")),
    ("a wasted step of more", "Step 0 has rate 0, and is wasted: the share is step + 1 by warmup "
     "+ 1.", (WARM, "step / (config.warmup + 1)")),
    ("one too soon", "The share is 1 in the last step of the warm-up, one too soon: divide by "
     "warmup + 1.", (WARM, "(step + 1) / config.warmup")),
    ("from the floor", "The warm-up starts at LAST_SHARE; it starts near 0, at 1 by warmup + 1.",
     (WARM, "LAST_SHARE + (1 - LAST_SHARE) * step / config.warmup")),
    ("the rate itself", "That is the rate itself: give the share of config.rate, from 0 to 1.",
     (f"return {WARM}", f"return config.rate * {WARM}"),
     (f"return {SHARE}", f"return config.rate * ({SHARE})")),
    ("divides by the warm-up", BY_NOTHING,
     (f"    if {IN_WARMUP}", f"    rise = 0.5 / config.warmup\n    if {IN_WARMUP}")),
    ("whole numbers divided by the warm-up", BY_NOTHING,
     (f"    if {IN_WARMUP}", f"    rise = 1 / config.warmup\n    if {IN_WARMUP}")),
)  # fmt: skip

FALL_MISTAKES = mistakes(
    train.rate_at,
    ("ends at 0", "It ends at 0; let it end at LAST_SHARE, 0.1.", ("LAST_SHARE + (1 - LAST_SHARE) * ", "")),
    ("not stretched", "It starts at 1.1: the cosine falls from 1 to LAST_SHARE, so stretch it to "
     "1 - LAST_SHARE before you add LAST_SHARE.", ("LAST_SHARE + (1 - LAST_SHARE) * ", "LAST_SHARE + ")),
    ("cut off", "The cosine ends at 0 and is cut off at LAST_SHARE: stretch it instead.",
     (SHARE, f"max(LAST_SHARE, {COSINE})")),
    ("not lifted", "The cosine falls from 1 to −1, and so the share ends below 0: (1 + cos) / 2 "
     "falls from 1 to 0.", (COSINE, "math.cos(math.pi * progress)")),
    ("upside down", "It rises: the cosine is upside down.", ("1 + math.cos", "1 - math.cos")),
    ("degrees", RADIANS + "not 180.", ("math.pi", "180")),
    ("no π", RADIANS + "so that progress 1 is math.pi · 1.", ("math.pi * ", "")),
    ("a line", "It falls in a line; let it fall in half a cosine.", (COSINE, "(1 - progress)")),
    ("a quarter", "It is a quarter of a cosine, which ends steep: take half, π.",
     (COSINE, "math.cos(math.pi / 2 * progress)")),
    ("a whole period", "It comes back to 1 at the end: a whole period of the cosine. Half of it "
     "goes down.", ("math.pi", "2 * math.pi")),
    ("over all steps", "The cosine runs over all steps, so that the share jumps after the "
     "warm-up. Let progress be 0 there.", (f"{DONE} / {ALL}", "step / config.steps")),
    ("counted from step 0", "Progress counts the warm-up's steps too: at step config.warmup it "
     "is 0, so take config.warmup off.", (DONE, "step")),
    ("divided by all steps", "Progress never gets to 1: there are config.steps - config.warmup "
     "steps to fall in.", (ALL, "config.steps")),
    ("an end too soon", "Progress is 1 one step too soon: at step config.steps, so divide by "
     "steps - warmup.", (ALL, "max(1, config.steps - config.warmup - 1)")),
)  # fmt: skip


class Plan(train.TrainConfig):
    """A config that is shown as a learner would type it."""

    def __repr__(self):
        told = f"steps={self.steps}, warmup={self.warmup}, rate={self.rate}"
        return f"TrainConfig({told})"


def sine(step, config):
    """The share, with half a cosine made from the square of a sine."""
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    quarter = math.pi / 2 * (step - config.warmup) / (config.steps - config.warmup)
    return 1 - (1 - train.LAST_SHARE) * math.sin(quarter) ** 2


def steps_of(some: Callable, warmup: int = 9) -> Callable:
    """Make cases: some steps of a schedule, and of one that is as short as can be."""

    def cases(generator):
        low = min(warmup, whole(generator, 4, 9))
        plan = Plan(steps=low + whole(generator, 12, 20), warmup=low, rate=0.02)
        brief = Plan(steps=8, warmup=min(warmup, 1), rate=0.02)
        return [(step, one) for one in (plan, brief) for step in some(one)]

    return cases


def on_the_way(inputs, value, right) -> str:
    step, config = inputs
    if step < config.warmup:
        return f"that is {step + 1} / {config.warmup + 1}"
    done = (step - config.warmup) / (config.steps - config.warmup)
    cosine = (1 + math.cos(math.pi * done)) / 2
    return (
        f"progress is {done:.4g} there, and (1 + cos(π · progress)) / 2 is {cosine:.4g}"
    )


def falls(plan):
    return range(plan.warmup, plan.steps + 1)


RATE_AT = Exercise(
    id="08.rate_at", title="a rate that rises and falls", minutes=12, reference=train.rate_at,
    rule=(
        "`config.steps` and `config.warmup` are whole numbers; the warm-up may be 0, and is "
        "shorter than the run. Return a `float`, the share of the full rate in step `step`:\n\n"
        "- while `step < config.warmup`: (step + 1) / (warmup + 1);\n"
        "- from then on: `LAST_SHARE` + (1 − `LAST_SHARE`) · (1 + cos(π · progress)) / 2. Here `LAST_SHARE` is 0.1, "
        "and progress grows evenly from 0 at step `config.warmup` to 1 at step `config.steps`."
    ),
    checks=(
        Check("the warm-up", 1, "rises in a line, and wastes no step",
            "With a warm-up of 4 the shares are 1/5, 2/5, 3/5, 4/5, then 1.",
            agrees(sine, steps_of(lambda plan: range(plan.warmup)), WARMUP_MISTAKES, why=on_the_way)),
        Check("from 1 to a tenth", 1, "falls from 1 to a tenth",
            "If y goes from 1 to 0, then `LAST_SHARE + (1 - LAST_SHARE) * y` goes from 1 to `LAST_SHARE`.",
            agrees(sine, steps_of(lambda plan: (plan.warmup, plan.steps)), FALL_MISTAKES, why=on_the_way)),
        Check("half a cosine", 1, "falls in half a cosine",
            "`math.cos` of 0 is 1 and of `math.pi` is -1. How many steps of the fall are done, and "
            "how many are there in all?",
            agrees(sine, steps_of(falls), FALL_MISTAKES, why=on_the_way)),
        Check("no warm-up", 1, "needs no warm-up",
            "With `config.warmup` 0, step 0 has share 1. Do you divide by the warm-up?",
            agrees(sine, steps_of(falls, warmup=0), WARMUP_MISTAKES, why=on_the_way)),
    ),
    wrong=WARMUP_MISTAKES + FALL_MISTAKES,
)  # fmt: skip


# 08.overfit -------------------------------------------------------------------------


def overfit(
    model: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    steps: int,
    rate: float,
) -> list[float]:
    """The loss before each step, while a model learns one batch by heart, with AdamW.

    inputs and targets (B, T), int64; model(inputs) gives logits (B, T, V). The model's
    weights are changed.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        logits = model(inputs)  # (B, T, V)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


MAKE = "torch.optim.AdamW(model.parameters(), lr=rate)"
ZERO, BACK, STEP = "optimizer.zero_grad()", "loss.backward()", "optimizer.step()"
KEEP = "losses.append(loss.item())"
ASK = "        logits = model(inputs)  # (B, T, V)\n"
LOGITS = "logits.flatten(0, 1)"
LOSS = f"F.cross_entropy({LOGITS}, targets.flatten())"
FLAT = "The loss is the same in every step. "
ADAM = "That is Adam, whose weights do not decay; AdamW is wanted."
SGD = "That is plain gradient descent, SGD; AdamW is wanted."
COPY = ("(model.par", "((model := __import__('copy').deepcopy(model)).par")

LOSS_MISTAKES = mistakes(
    overfit,
    ("minus the loss", "It gives minus the loss.", (LOSS, f"-{LOSS}")),
    ("softmax first", "The logits go through softmax before cross_entropy, which does that "
     "itself: twice is once too often.", (LOGITS, "logits.softmax(-1).flatten(0, 1)")),
    ("the last position", "The loss is that of the last position only. All of them predict.",
     (LOSS, "F.cross_entropy(logits[:, -1], targets[:, -1])")),
    ("the first row", "The loss is that of the first row only. All of them count.",
     (LOSS, "F.cross_entropy(logits[0], targets[0])")),
    ("a sum", "The loss is a sum over all positions; take the mean.",
     ("targets.flatten()", "targets.flatten(), reduction='sum'")),
    ("a sum over texts", "The loss is B times too large: the losses of the B texts are added up. "
     "Take the mean over texts too.", (LOSS, f"{LOSS} * len(targets)")),
    ("not flattened", "cross_entropy takes the vocabulary for the second axis, and yours is the "
     "last of three: flatten B and T, logits to (B × T, V) and targets to (B × T,).",
     (LOSS, "F.cross_entropy(logits, targets)")),
    ("one row of targets", "Logits and targets are not flattened alike: logits to (B × T, V) and "
     "targets to (B × T,).", ("targets.flatten()", "targets[0]")),
    ("view", "The targets are cut out of a larger tensor and do not lie in one piece, which "
     ".view needs: .flatten() and .reshape(-1) take any.",
     ("targets.flatten()", "targets.view(-1)")),
    ("no_grad", "The loss knows nothing of the weights: is there a no_grad, a detach or an item "
     "between the model and backward?", ("= model(inputs)", "= model(inputs).detach()")),
    ("item too soon", "backward is called on a plain number: call it on the loss before you make "
     "a float of it.", (LOSS, f"{LOSS}.item()")),
    ("tensors", "The losses are tensors, and drag their whole graph along: loss.item() is a "
     "float.", (KEEP, "losses.append(loss)")),
    ("after the step", "The first loss is of a model which has made a step. Take it before.",
     (KEEP, f"{ASK.strip()}\n        losses.append({LOSS}.item())")),
    ("one too many", "It gives a loss too many; give one a step, no more, no less.",
     ("range(steps)", "range(steps + 1)")),
)  # fmt: skip

RUN_MISTAKES = mistakes(
    overfit,
    ("never zeroed", "The gradients of all steps so far add up, for nobody zeroes them: "
     "zero_grad before each backward.", (ZERO, "pass")),
    ("zeroed after", "The model came with gradients from another run, and the first step used "
     "them. Call zero_grad before the first backward too.",
     (ZERO, "pass"), (STEP, f"{STEP}; {ZERO}")),
    ("zeroed between", FLAT + "The gradients are computed and zeroed before a step can use them: "
     "backward, then step, and nothing in between.", (ZERO, "pass"), (STEP, f"{ZERO}; {STEP}")),
    ("no step", FLAT + "There are gradients, and nobody uses them: optimizer.step() is missing, "
     "or comes before backward.", (STEP, "pass")),
    ("no backward", FLAT + "Nobody computes gradients: loss.backward() is missing.",
     (BACK, "pass")),
    ("ascent", "The loss rises: it goes up the slope. backward wants the loss itself, without a "
     "minus sign.", (BACK, "(-loss).backward()")),
    ("logits once", "The logits are computed once, outside the loop, and the second step has "
     "none of its own: ask the model in every step.",
     (ASK, ""), ("losses = []\n", "losses = []\n    logits = model(inputs)\n")),
    ("a new optimiser", "There is a new optimiser in every step, and it has forgotten its "
     "averages: make one, before the loop.", (STEP, f"{MAKE}.step()")),
    ("the default rate", "It steps at torch's default rate: give lr=rate.", (", lr=rate", "")),
    ("Adam", ADAM, ("optim.AdamW", "optim.Adam")),
    ("Adam, on a copy", ADAM, ("optim.AdamW", "optim.Adam"), COPY),
    ("SGD", SGD, ("optim.AdamW", "optim.SGD")),
    ("SGD, on a copy", SGD, ("optim.AdamW", "optim.SGD"), COPY),
    ("a copy", "The losses fall, but the model you were given has not learnt: train that one, "
     "and no copy.", COPY),
)  # fmt: skip


class Tiny(nn.Embedding):
    """Ids (B, T) → logits (B, T, V), from the token at each position alone."""

    def __init__(self, weight: torch.Tensor):
        super().__init__(*weight.shape, _weight=weight.clone())
        table = f"torch.tensor({shown(weight)}), freeze=False"
        self.__name__ = f"nn.Embedding.from_pretrained({table})"  # so it is shown
        self._start, self._went_back = weight, False

    def forward(self, ids):
        logits = super().forward(ids)
        if logits.requires_grad:
            logits.register_hook(self._seen)
        return logits

    def _seen(self, gradient: torch.Tensor) -> None:
        self._went_back = True


def the_model(inputs: tuple) -> dict:
    """What training has made of the model: its loss, and why it may be the old one."""
    model, ids, targets, *_ = inputs
    kept = model.weight.grad is not None and bool(model.weight.grad.any())
    gradients = "unused" if kept else "zeroed" if model._went_back else "no"
    moved = not torch.equal(model.weight, model._start)
    weights = "changed" if moved else f"as they were, with {gradients} gradients"
    loss = float(surprise(model.weight.detach()[ids], targets).mean())
    return {"weights": weights, "loss": loss}


def surprise(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """−log p of the targets (B, T), without cross_entropy."""
    chosen = logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return logits.logsumexp(-1) - chosen


def by_hand(model, inputs, targets, steps, rate):
    """The losses of a right run."""
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=rate), []
    for _ in range(steps):
        model.zero_grad()
        loss = surprise(model(inputs), targets).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def one_batch(generator: torch.Generator) -> tuple:
    """A model of 4 tokens, inputs and targets (2, 3); no row is learnt as the other is."""
    inputs = torch.stack([torch.randperm(4, generator=generator)[:3] for _ in range(2)])
    targets = (inputs + torch.tensor([[1, 2, 3], [2, 1, 2]])) % 4
    return Tiny(tenths(generator, 4, 4)), inputs, targets


def untrained(generator):
    """One step; and targets that do not lie in one piece, as the lesson's do not."""
    model, inputs, targets = one_batch(generator)
    apart = targets.T.contiguous().T
    return [(model, inputs, targets, 1, 0.1), (model, inputs, apart, 1, 0.1)]


def fresh(generator):
    """A run on a batch that is new, and one on a batch that is nearly known by heart."""
    rate, batch = pick(generator, [0.2, 0.3]), one_batch(generator)
    known = 9 * torch.eye(4) + tenths(generator, 4, 4, most=0.5)
    inputs = torch.tensor([[0, 1, 2], [2, 3, 0]])
    return [(*batch, 5, rate), (Tiny(known), inputs, inputs.clone(), 3, rate)]


def left_over(generator):
    model, inputs, targets = one_batch(generator)
    model.weight.grad = 2 * tenths(generator, 4, 4)
    return [(model, inputs, targets, 4, 0.3)]


def where_it_parts(inputs, value, right) -> str:
    """How losses differ, and whether a loss or a step is to blame."""
    fits = [same(*pair, 1e-4) for pair in zip(value, right)]
    if False not in fits:
        return difference(value, right)
    if (first := fits.index(False)) > 0:
        told = "is not AdamW's, with this rate and the gradients of this step alone"
        return joined(value, right, f"step {first - 1} {told}")
    model, ids, targets, *_ = inputs
    table = shown(surprise(model.weight[ids], targets))
    return joined(
        value, right, f"−log p of the targets is {table}, and its mean is wanted"
    )


OVERFIT = Exercise(
    id="08.overfit", title="learn one batch by heart", minutes=15, reference=overfit,
    rule=(
        "Train `model` on one batch, again and again, with one "
        "`torch.optim.AdamW(model.parameters(), lr=rate)`. `model(inputs)` gives logits (B, T, V), "
        "and the loss is the mean cross-entropy with `targets` (B, T) over all positions. In each "
        "of `steps` steps: loss, zeroed gradients, backward, step. Return a `list` with the loss "
        "of each step as a plain `float`, taken before the step; the first is that of the "
        "untrained model. The model may come with gradients left over from another run: none of "
        "them may count."
    ),
    checks=(
        Check("a loss before each step", 1, "gives the loss before each step",
            "`F.cross_entropy` takes logits (N, V) and targets (N,): `.flatten(0, 1)` makes one "
            "axis of the first two. `.item()` makes a float.",
            agrees(by_hand, untrained, LOSS_MISTAKES, why=where_it_parts)),
        Check("like torch", 3, "makes the very steps that AdamW should, on the model it was given",
            "Three lines make a step: `zero_grad()`, `backward()`, `step()`. Are all there, in "
            "this order? One optimiser for all steps, `lr=rate`, and gradients of this step "
            "only.",
            agrees(by_hand, fresh, RUN_MISTAKES, after=the_model, why=where_it_parts)),
        Check("left-over gradients", 1, "drops gradients from before",
            "backward adds to what is there. When do you zero for the first time?",
            agrees(by_hand, left_over, RUN_MISTAKES, after=the_model, why=where_it_parts)),
    ),
    wrong=LOSS_MISTAKES + RUN_MISTAKES, may_change=("model",),
)  # fmt: skip


# 08.bigram_loss ---------------------------------------------------------------------


def bigram_loss(
    train_ids: torch.Tensor, val_ids: torch.Tensor, vocabulary: int
) -> float:
    """The mean −ln p(next | this) over val_ids, in nats; p is counted in train_ids.

    train_ids and val_ids: vectors of int64, from 0 to vocabulary - 1. Takes memory for
    vocabulary² counts.
    """
    pairs = train_ids[:-1] * vocabulary + train_ids[1:]
    counts = torch.bincount(pairs, minlength=vocabulary**2) + 1
    counts = counts.view(vocabulary, vocabulary)  # this id, the next id
    log_p = (counts / counts.sum(1, keepdim=True)).log()
    return -log_p[val_ids[:-1], val_ids[1:]].mean().item()


def bigram_loss_plainly(
    train_ids: torch.Tensor, val_ids: torch.Tensor, vocabulary: int
) -> float:
    """The mean −ln p(next | this) over val_ids, in nats; p is counted in train_ids."""
    train_list, val_list = train_ids.tolist(), val_ids.tolist()
    pairs, firsts = {}, {}  # how often each pair came, and each id with one after it
    for this, after in zip(train_list, train_list[1:]):
        pairs[this, after] = pairs.get((this, after), 0) + 1
        firsts[this] = firsts.get(this, 0) + 1
    total = 0.0
    for this, after in zip(val_list, val_list[1:]):
        count = pairs.get((this, after), 0) + 1
        total -= math.log(count / (firsts.get(this, 0) + vocabulary))
    return total / (len(val_list) - 1)


TABLE = "torch.bincount(pairs, minlength=vocabulary**2) + 1"
SUM, READ = "counts.sum(1, keepdim=True)", "log_p[val_ids[:-1], val_ids[1:]]"
GIVE = f"-{READ}.mean().item()"
PAIRS = "train_ids[:-1] * vocabulary + train_ids[1:]"
ALONE = "It counts single ids and not pairs: what comes next depends on this one."
PEEKS = "It counts in val_ids, and so it peeks: count in train_ids only."
ADD_ONE = "A pair that was never seen has p = 0, and ln 0 is infinite. Add one to every count."
STOPS = "A pair or an id that was never seen stops it with KeyError. Its count is 0, plus one."
SINGLE = "(torch.bincount(train_ids, minlength=vocabulary) + 1).log()"
ALL_IDS = "torch.tensor(len(train_ids) + vocabulary).log()"
ONES_LESS = "(counts - 1).sum(1, keepdim=True)"
GROWS = "Every pair's count has grown by 1, so the sum that divides grows by "


def counted(train_ids, val_ids, vocabulary):
    """The loss by two dictionaries, without a table."""
    ids, val = train_ids.tolist(), val_ids.tolist()
    pairs, firsts = Counter(zip(ids, ids[1:])), Counter(ids[:-1])
    steps = list(zip(val, val[1:]))
    shares = [(pairs[a, b] + 1) / (firsts[a] + vocabulary) for a, b in steps]
    return -sum(math.log(p) for p in shares) / len(shares)


COUNT_MISTAKES = mistakes(
    bigram_loss,
    ("skips unseen pairs", "Pairs that were never seen are left out. They count too, with count "
     "0 + 1.", (READ, f"{READ}[counts[val_ids[:-1], val_ids[1:]] > 1]")),
    ("ones for zeros", "One is added only where the count is 0; add it to every count.",
     (TABLE, "torch.bincount(pairs, minlength=vocabulary**2).clamp(min=1)")),
    ("unigram", ALONE, (READ, f"({SINGLE} - {ALL_IDS})[val_ids[1:]]")),
    ("unigram, the first too", ALONE, (READ, f"({SINGLE} - {ALL_IDS})[val_ids]")),
    ("peeks", PEEKS, (PAIRS, "val_ids[:-1] * vocabulary + val_ids[1:]")),
    ("counts both", PEEKS,
     (TABLE, f"{TABLE} + torch.bincount(val_ids[:-1] * vocabulary + val_ids[1:], minlength=vocabulary**2)")),
    ("measures on train_ids", "It measures on train_ids, which it has counted; measure on "
     "val_ids.", (READ, "log_p[train_ids[:-1], train_ids[1:]]")),
    ("repeats lost", "Each pair counts once, however often it comes: table[a, b] += 1 with whole "
     "tensors forgets repeats. Use bincount, or a loop.",
     (TABLE, "torch.bincount(pairs, minlength=vocabulary**2).clamp(max=1) + 1")),
    ("tensors as keys", "Every pair has the same p. Are tensors the keys of your counts? Two "
     "tensors are two keys, even with the same number in them: ids.tolist().",
     (SUM, "(counts * vocabulary)")),
    ("the table turned", "It reads the table the wrong way round: p(next | this) has this as its "
     "row.", (READ, "log_p[val_ids[1:], val_ids[:-1]]")),
    ("columns", "The columns sum to one, so this is p(this | next). Every row should: divide by "
     "the sum over the next ids, dim=1.", (SUM, "counts.sum(0, keepdim=True)")),
    ("an axis dropped", "Every column is divided by the sum of a row: sum(1) drops the axis, and "
     "keepdim=True keeps it.", (SUM, "counts.sum(1)")),
    ("the whole table", "All pairs together sum to one: that is the chance of a pair. Divide "
     "every row by its own sum.", (SUM, "counts.sum()")),
    ("the sum without ones", GROWS + "the vocabulary.", (SUM, f"{ONES_LESS}.clamp(min=1)")),
    ("bits", "It is in bits, for the log has base 2; nats are wanted, math.log or .log().",
     (".log()", ".log2()")),
    ("perplexity", "It is the perplexity, e to the power of the loss: leave the exp out.",
     (GIVE, f"(-{READ}.mean()).exp().item()")),
    ("minus the loss", "It is minus the loss: the mean of -ln p is positive.",
     ("-log_p", "log_p")),
    ("the log of the mean", "It takes the logarithm of the mean p; take the mean of all "
     "logarithms.", (".log()", ""), (".mean()", ".mean().log()")),
    ("the sum", "It is the sum; take the mean over the pairs.", (".mean()", ".sum()")),
    ("the mean over ids", "It divides by the number of ids, and there is one pair fewer.",
     (GIVE, f"-{READ}.sum().item() / len(val_ids)")),
    ("a tensor", "It gives a tensor; turn the mean into a number: .item().", (".item()", "")),
)  # fmt: skip

UNSEEN_MISTAKES = mistakes(
    bigram_loss,
    ("no add-one", ADD_ONE, (TABLE, "torch.bincount(pairs, minlength=vocabulary**2)")),
    ("no add-one, math.log", ADD_ONE,
     edited(counted, ("pairs[a, b] + 1", "pairs[a, b]"), ("firsts[a] + vocabulary", "max(1, firsts[a])"))),
    ("a vocabulary of its own", GROWS + "the whole vocabulary, with the ids that never come.",
     edited(counted, ("firsts[a] + vocabulary", "firsts[a] + len(firsts)"))),
    ("the last id too", "The last id of train_ids is counted as one that is followed, and "
     "nothing follows it: a row sums the pairs that begin with its id.",
     edited(counted, ("Counter(ids[:-1])", "Counter(ids)"))),
    ("the largest id", "Some ids have no place in its table. The argument vocabulary says how "
     "many ids there are, not the text.",
     ("    pairs =", "    vocabulary = int(train_ids.max()) + 1\n    pairs =")),
    ("no minlength", "bincount stops at the largest number that comes: minlength=vocabulary**2 "
     "makes room for every pair.", (", minlength=vocabulary**2", "")),
    ("a dictionary", STOPS,
     edited(counted, ("Counter(zip(ids, ids[1:]))", "dict(Counter(zip(ids, ids[1:])))"))),
    ("a dictionary in a dictionary", STOPS,
     edited(counted, ("pairs[a, b] + 1", "(pairs[a, b] if (a, b) in pairs else {}[b]) + 1"))),
    ("a dictionary of ids", STOPS,
     edited(counted, ("Counter(ids[:-1])", "dict(Counter(ids[:-1]))"))),
)  # fmt: skip


def two_texts(generator, length: int, size: int) -> tuple:
    """A text to count in, one to measure on, and the vocabulary.

    In the first all ids are followed, each by few others. In the second are the first's
    last id, and a pair that never comes there; it begins and ends with ids that come there
    unequally often, or what divides by a wrong id's sum would cancel out on the way.
    """
    ids = torch.randperm(size, generator=generator).tolist()
    for noise in torch.randint(3, (length,), generator=generator).tolist():
        ids.append((2 * ids[-1] + 2 + noise) % size)  # never the highest pair
    if ids[-1] == ids[0]:  # rows and columns would have the same sums
        ids.append((ids[0] + 1) % size)
    seen = set(zip(ids, ids[1:]))
    unseen = next(p for p in product(range(size), repeat=2) if p not in seen)
    often, end = Counter(ids[:-1]), unseen[1]
    begin = max(often, key=lambda id: abs(often[id] - often[end]))
    val_ids = torch.randint(size, (length // 3,), generator=generator).tolist()
    return torch.tensor(ids), torch.tensor([begin, *val_ids, ids[-1], *unseen]), size


def texts(generator):
    """Short ones to be shown, longer ones, and one of a real length."""
    sizes = ((5, 3), (10, 4), (120, 5), (160, 7), (4_000, 100))
    return [two_texts(generator, *size) for size in sizes]


def turned_round(generator):
    """Texts to measure on in which no pair was seen before."""
    found = []
    for size in (3, 6):
        order = torch.randperm(size, generator=generator)
        found.append((order.repeat(2), order.flip(0).repeat(2)[: size + 1], size))
    return found


def never_come(generator):
    """Texts to measure on of ids that never come, the last of the vocabulary too."""
    found = []
    for size, length in ((4, 7), (9, 40)):
        gap = whole(generator, 1, size - 2)
        ids = [i for i in range(size - 1) if i != gap]
        ids = torch.tensor(ids)[torch.randint(len(ids), (length,), generator=generator)]
        found.append((ids, torch.tensor([gap, size - 1, gap, gap]), size))
    return found


def chances(inputs, value, right) -> str:
    """How a loss differs, and p of every pair of a short text."""
    (train_ids, val_ids), size = (x.tolist() for x in inputs[:2]), inputs[2]
    pairs, firsts = Counter(zip(train_ids, train_ids[1:])), Counter(train_ids[:-1])
    told = ", ".join(
        f"p({b} | {a}) = {pairs[a, b] + 1}/{firsts[a] + size}"
        for a, b in zip(val_ids, val_ids[1:])
    )
    return joined(value, right, told if len(val_ids) < 9 else "")


BIGRAM_LOSS = Exercise(
    id="08.bigram_loss", title="a rival that only counts", minutes=15, reference=bigram_loss,
    rule=(
        "`train_ids` and `val_ids` are vectors of ids from 0 to `vocabulary` − 1. Count in "
        "`train_ids` how often each id is followed by each, and add one to every count, also where "
        "the count is 0. p(next | this) is the count of the pair, divided by the sum over all "
        "`vocabulary` ids that may follow this one. Return a `float`: the mean of −ln p(next | "
        "this) over all pairs of neighbours in `val_ids`, in nats."
    ),
    checks=(
        Check("the mean over pairs", 2, "measures pairs of one text by the counts of another",
            "With a loop: `for a, b in zip(ids, ids[1:])`, after `.tolist()`. Without: `a * "
            "vocabulary + b` is one number for each pair, and `torch.bincount` counts numbers.",
            agrees(counted, texts, COUNT_MISTAKES + UNSEEN_MISTAKES, why=chances)),
        Check("pairs never seen", 1, "stays finite on pairs that it never saw",
            "A table that starts with ones has added one everywhere.",
            agrees(counted, turned_round, UNSEEN_MISTAKES, why=chances)),
        Check("ids never seen", 1, "gives every id of the vocabulary its share",
            "After an id that was never seen, every count is 1. How many are there?",
            agrees(counted, never_come, UNSEEN_MISTAKES, why=chances)),
    ),
    wrong=COUNT_MISTAKES + UNSEEN_MISTAKES, plain=bigram_loss_plainly,
)  # fmt: skip

EXERCISES = (CUT, ADAMW, RATE_AT, OVERFIT, BIGRAM_LOSS)
