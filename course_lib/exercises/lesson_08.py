"""Exercises of lesson 08: windows, AdamW, the rate, one batch by heart, the bigram."""

import copy
import math
from collections import Counter
from collections.abc import Callable

import torch
import torch._dynamo  # torch's first optimiser loads it: seconds that no check may take
from torch import nn
from torch.nn import functional as F

from course_lib import data, train
from course_lib.exercises.legacy import (
    Check,
    Exercise,
    Mistake,
    Wrong,
    alike,
    name_mistake,
    want_close,
    want_near,
    want_type,
    whole,
)
from course_lib.train import TrainConfig


def tried(answer, *inputs):
    """The answer on copies of the inputs, so that one in place does no harm."""
    return answer(*(i.clone() if isinstance(i, torch.Tensor) else i for i in inputs))


# 08.cut -----------------------------------------------------------------------------


def some_text(generator: torch.Generator) -> torch.Tensor:
    """Sixty ids (N,), all different, each telling its place; none is another + 1."""
    return 3 * torch.randperm(60, generator=generator) + 5


def some_starts(generator: torch.Generator) -> torch.Tensor:
    """Four places (B,), all different, in no order, far from both ends."""
    return torch.randperm(30, generator=generator)[:4] + 12


def cut_by_hand(ids: torch.Tensor, starts: torch.Tensor, context: int, shift: int = 0):
    """Windows (B, T) that begin `shift` after the starts, one id at a time."""
    return torch.tensor(
        [[int(ids[s + shift + t]) for t in range(context)] for s in starts.tolist()]
    )


def windows(cut, ids, starts, context: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What cut gives, if it is two tensors of ids; the usual errors, put in words."""
    try:
        value = tried(cut, ids, starts, context)
    except IndexError as error:
        if "out of bounds" not in str(error) and "out of range" not in str(error):
            raise
        raise Mistake(
            f"It reads past the end of {len(ids)} ids, where the last window ends: a "
            f"window needs {context + 1} ids from its start on, no more."
        ) from None
    except TypeError as error:
        if "converted to an index" not in str(error):
            raise
        raise Mistake(
            "A slice has one start, and starts holds several. Cut a window for each in a "
            "loop, and torch.stack them."
        ) from None
    except RuntimeError as error:
        if "equal size" not in str(error):
            raise
        raise Mistake(
            "The rows have different lengths: a slice runs past the end of the text. A "
            f"window needs {context + 1} ids from its start on, no more."
        ) from None
    want_type(value, tuple, "cut(ids, starts, context)")
    if len(value) != 2:
        raise Mistake(f"It gives {len(value)} things; give two: inputs, targets.")
    for one, what in zip(value, ("inputs", "targets")):
        want_type(one, torch.Tensor, what)
        if one.dtype != torch.int64:
            raise Mistake(
                f"{what} holds {one.dtype} where ids hold {ids.dtype}; int64 is "
                "wanted, whatever comes in: .long() makes it so."
            )
    return value


def want_windows(value: torch.Tensor, wanted: torch.Tensor, what: str) -> None:
    """Demand exactly these ids, in this shape."""
    if value.shape != wanted.shape:
        raise Mistake(
            f"{what} has shape {tuple(value.shape)}; it should be "
            f"{tuple(wanted.shape)}, one row of T ids for each start."
        )
    if not torch.equal(value, wanted):
        b, t = (value != wanted).nonzero()[0].tolist()
        raise Mistake(
            f"{what}[{b}, {t}] is {int(value[b, t])}; it should be {int(wanted[b, t])}."
        )


def name_shape(inputs: torch.Tensor, rows: int, context: int) -> None:
    """Raise what most likely went wrong with a shape that is not (B, T)."""
    said = {
        (context, rows): "The axes have changed places: each row is a window.",
        (rows, context - 1): "The windows are one id too short. Cut T + 1 ids, and "
        "both inputs and targets have T.",
        (rows, context + 1): "The windows are one id too long: of T + 1 ids the inputs "
        "are the first T, the targets the last T.",
        (1, context): "There is only one row: every start gets a row of its own.",
        (context,): "There is only one window: every start gets a row of its own.",
    }
    shape = tuple(inputs.shape)
    if shape in said:
        raise Mistake(f"inputs has shape {shape}, not {(rows, context)}. {said[shape]}")


def begins_at_starts(cut, generator):
    ids, starts, context = some_text(generator), some_starts(generator), 6
    inputs, _ = windows(cut, ids, starts, context)
    name_shape(inputs, len(starts), context)
    wanted = cut_by_hand(ids, starts, context)
    if inputs.shape == wanted.shape:
        if torch.equal(inputs, cut_by_hand(ids, starts, context, 1)):
            raise Mistake(
                "The inputs begin one id after their starts. The inputs begin there; "
                "the targets come one later."
            )
        place = {id: i for i, id in enumerate(ids.tolist())}
        for b, start in enumerate(starts.tolist()):
            begins = place.get(int(inputs[b, 0]), start)
            if begins != start:
                raise Mistake(
                    f"Row {b} of the inputs begins at place {begins} of the text; "
                    f"starts[{b}] says {start}."
                )
    want_windows(inputs, wanted, "inputs")


def shifted_by_one(cut, generator):
    ids, starts, context = some_text(generator), some_starts(generator), 6
    inputs, targets = windows(cut, ids, starts, context)
    wanted = cut_by_hand(ids, starts, context, 1)
    if torch.equal(targets, wanted):
        return
    end = (
        "the id after the window, which only the text knows. Cut from ids, not inputs."
    )
    if targets.shape == (len(starts), context - 1):
        raise Mistake(
            f"The targets are one too few: the last input has a target too, {end}"
        )
    if targets.shape == wanted.shape:
        past = cut_by_hand(ids, starts, context, -1)
        guesses = [
            (inputs, "The targets are the inputs: a model would learn to copy."),
            (past, "The targets are shifted the wrong way: they are the ids before."),
            (
                cut_by_hand(ids, starts, context, 2),
                "The targets are shifted by two: the next id is one further.",
            ),
            (
                inputs + 1,
                "You add 1 to the ids. Shift the place, not the id: the target is the "
                "id that comes next in the text.",
            ),
            (
                inputs.roll(-1, 1),
                "The last target has come round from the row's beginning. It is " + end,
            ),
            (inputs.roll(1, 1), "The targets are rolled the wrong way round a row."),
        ]
        for guess, words in guesses:
            if torch.equal(targets, guess):
                raise Mistake(words)
        if torch.equal(targets[:, :-1], wanted[:, :-1]):
            raise Mistake(f"The last target of each row is wrong: it is {end}")
    want_windows(targets, wanted, "targets")


def takes_any_windows(cut, generator):
    ids = some_text(generator)
    for context in (1, 7):
        last = len(ids) - context - 1
        starts = torch.tensor([last, whole(generator, 1, last - 1), 0])
        for kind in (torch.int16, torch.uint8, torch.int64):
            inputs, targets = windows(cut, ids.to(kind), starts, context)
            want_windows(inputs, cut_by_hand(ids, starts, context), "inputs")
            want_windows(targets, cut_by_hand(ids, starts, context, 1), "targets")
    inputs, targets = windows(cut, ids, starts[1:2], 7)
    want_windows(inputs, cut_by_hand(ids, starts[1:2], 7), "inputs of one window")
    want_windows(targets, cut_by_hand(ids, starts[1:2], 7, 1), "targets of one window")


def _rows(ids, starts, length):
    return ids[starts.unsqueeze(1) + torch.arange(length)].long()


def wrong_targets_are_inputs(ids, starts, context):
    inputs = _rows(ids, starts, context)
    return inputs, inputs


def wrong_way(ids, starts, context):
    return _rows(ids, starts, context), _rows(ids, starts - 1, context)


def wrong_swapped(ids, starts, context):
    rows = _rows(ids, starts, context + 1)
    return rows[:, 1:], rows[:, :-1]


def wrong_by_two(ids, starts, context):
    return _rows(ids, starts, context), _rows(ids, starts + 2, context)


def wrong_plus_one(ids, starts, context):
    inputs = _rows(ids, starts, context)
    return inputs, inputs + 1


def wrong_too_short(ids, starts, context):
    rows = _rows(ids, starts, context)
    return rows[:, :-1], rows[:, 1:]


def wrong_too_long(ids, starts, context):
    return _rows(ids, starts, context + 1), _rows(ids, starts + 1, context + 1)


def wrong_last_missing(ids, starts, context):
    inputs = _rows(ids, starts, context)
    return inputs, inputs[:, 1:]


def wrong_roll(ids, starts, context):
    inputs = _rows(ids, starts, context)
    return inputs, torch.roll(inputs, -1, dims=1)


def wrong_last_is_zero(ids, starts, context):
    inputs = _rows(ids, starts, context)
    return inputs, F.pad(inputs[:, 1:], (0, 1))


def wrong_floats(ids, starts, context):
    inputs, targets = data.cut(ids, starts, context)
    return inputs.float(), targets.float()


def wrong_keeps_kind(ids, starts, context):
    rows = torch.stack([ids[start : start + context + 1] for start in starts])
    return rows[:, :-1], rows[:, 1:]


def wrong_one_slice(ids, starts, context):
    end = starts + context
    return ids[starts:end], ids[starts + 1 : end + 1]


def wrong_one_row(ids, starts, context):
    start = starts[0]
    inputs, targets = ids[start : start + context], ids[start + 1 : start + context + 1]
    return inputs.long(), targets.long()


def wrong_no_starts(ids, starts, context):
    return data.cut(ids, torch.arange(len(starts)), context)


def wrong_transposed(ids, starts, context):
    rows = ids[torch.arange(context + 1).unsqueeze(1) + starts].long()
    return rows[:-1], rows[1:]


def wrong_one_past_the_end(ids, starts, context):
    rows = _rows(ids, starts, context + 2)
    return rows[:, :-2], rows[:, 1:-1]


def wrong_stacked(ids, starts, context):
    return torch.stack(data.cut(ids, starts, context))


CUT = Exercise(
    id="08.cut",
    title="cut windows out of a text",
    minutes=10,
    rule=(
        "`ids` (N,) is a text in tokens, whole numbers of any dtype; `starts` (B,) "
        "are places in it, and T is `context`. Return a tuple of two tensors of "
        "int64, `inputs, targets`, both (B, T). Row b of the inputs holds the T ids "
        "from place `starts[b]` on; row b of the targets holds, for each of them, the "
        "id that comes next in the text. Every start leaves room for T + 1 ids; the "
        "last of them may be the last of the text."
    ),
    reference=data.cut,
    checks=(
        Check(
            name="inputs begin at starts",
            points=1,
            proves="cuts a window at every start",
            hint="`ids[start : start + context]` is one window, and `torch.stack` "
            "makes rows of a list. Without a loop: `starts.unsqueeze(1) + "
            "torch.arange(…)` is a table of places, and `ids[table]` reads them all.",
            run=begins_at_starts,
        ),
        Check(
            name="targets are shifted by one",
            points=2,
            proves="gives every input the id that comes next as its target",
            hint="Cut T + 1 ids. All but the last are inputs, all but the first are "
            "targets.",
            run=shifted_by_one,
        ),
        Check(
            name="any windows",
            points=1,
            proves="cuts the last window of a text too, from ids of any dtype",
            hint="How many ids does a window need? And `.long()` turns ids into int64.",
            run=takes_any_windows,
        ),
    ),
    wrong=(
        Wrong("targets are inputs", wrong_targets_are_inputs, "learn to copy"),
        Wrong("shifted the wrong way", wrong_way, "the wrong way"),
        Wrong("swapped", wrong_swapped, "begin one id after"),
        Wrong("shifted by two", wrong_by_two, "shifted by two"),
        Wrong("plus one", wrong_plus_one, "Shift the place, not the id"),
        Wrong("too short", wrong_too_short, "one id too short"),
        Wrong("too long", wrong_too_long, "one id too long"),
        Wrong("the last is missing", wrong_last_missing, "one too few"),
        Wrong("rolled round", wrong_roll, "has come round"),
        Wrong("the last is 0", wrong_last_is_zero, "The last target of each row"),
        Wrong("floats", wrong_floats, "holds torch.float32"),
        Wrong("keeps the dtype", wrong_keeps_kind, "whatever comes in"),
        Wrong("one slice", wrong_one_slice, "A slice has one start"),
        Wrong("one row", wrong_one_row, "only one window"),
        Wrong("ignores starts", wrong_no_starts, "begins at place"),
        Wrong("transposed", wrong_transposed, "changed places"),
        Wrong("past the end", wrong_one_past_the_end, "past the end"),
        Wrong("one tensor", wrong_stacked, "should be a tuple"),
    ),
)


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


def some_state(generator: torch.Generator) -> list[torch.Tensor]:
    """Weight, gradient, average and square (3, 4), as if some steps were behind us."""
    weight, gradient, average = torch.randn(3, 3, 4, generator=generator)
    square = 1 + torch.rand(3, 4, generator=generator)
    return [2 * weight, 2 * gradient, average, square]


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


def one_step(adamw_, *state) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What adamw gives, if it is three tensors; a usual error, put in words."""
    try:
        value = tried(adamw_, *state)
    except (ValueError, RuntimeError) as error:
        if "converted to" not in str(error):
            raise
        raise Mistake(
            "Something in it wants one number and gets a tensor. math.sqrt takes "
            "numbers; the root of every number of a tensor is tensor.sqrt()."
        ) from None
    if type(value) is torch.Tensor:
        raise Mistake(
            "It gives one tensor. Give three: the new weight, average and square; "
            "without the last two the next step knows nothing."
        )
    want_type(value, tuple, "adamw(…)")
    if len(value) != 3:
        raise Mistake(f"It gives {len(value)} things; give weight, average, square.")
    for one, what in zip(value, ("weight", "average", "square")):
        want_type(one, torch.Tensor, f"the new {what}")
        if one.shape != state[0].shape:
            raise Mistake(
                f"The new {what} has shape {tuple(one.shape)}; every number has an "
                f"average of its own: {tuple(state[0].shape)}."
            )
    return value


def name_average(value, g, old, step: int) -> None:
    """Raise the likely mistake in the average of the gradients, if it is one."""
    right = 0.9 * old + 0.1 * g
    guesses = [
        (old, "The average is what it was: let it take 0.1 of the gradient."),
        (
            0.1 * old + 0.9 * g,
            "The average keeps 0.1 and takes 0.9: the other way round.",
        ),
        (
            0.95 * old + 0.05 * g,
            "0.9 and 0.95 have changed places: the gradients' average keeps 0.9, the "
            "squares' 0.95.",
        ),
        (0.9 * old + g, "The average takes the whole gradient; take 0.1 of it."),
        (
            0.9 * old - 0.1 * g,
            "The average takes off the gradient: add it. The minus sign comes at the "
            "end, with the step.",
        ),
        (
            right / (1 - 0.9**step),
            "You give back the corrected average. Use it for the step, and give back "
            "the one that is not divided, or the next step divides again.",
        ),
    ]
    name_mistake(value, guesses)


def name_square(value, g, old, average, step: int) -> None:
    """Raise the likely mistake in the average of the squares, if it is one."""
    right = 0.95 * old + 0.05 * g**2
    guesses = [
        (old, "The square is what it was: let it take 0.05 of the gradient squared."),
        (
            0.95 * old + 0.05 * g,
            "The gradient is not squared: this is the average of its squares.",
        ),
        (
            0.95 * old + 0.05 * g.abs(),
            "It takes the gradient's size; take its square.",
        ),
        (
            0.95 * old + 0.05 * average**2,
            "You square the average; square the gradient.",
        ),
        (
            0.05 * old + 0.95 * g**2,
            "It keeps 0.05 and takes 0.95: the other way round.",
        ),
        (
            0.9 * old + 0.1 * g**2,
            "The square keeps 0.9; the squares' average keeps 0.95.",
        ),
        (
            0.999 * old + 0.001 * g**2,
            "The square keeps 0.999, which is torch's default; here it keeps 0.95.",
        ),
        (0.95 * old + g**2, "It takes the whole squared gradient; take 0.05 of it."),
        (
            right / (1 - 0.95**step),
            "You give back the corrected square. Use it for the step, and give back "
            "the one that is not divided, or the next step divides again.",
        ),
        (right.sqrt(), "You give back the root. Use it for the step only."),
    ]
    name_mistake(value, guesses)


def keeps_two_averages(adamw_, generator):
    for step in (whole(generator, 3, 6), 1):
        w, g, average, square = some_state(generator)
        given = (w, g, average, square, step, 0.3, 0.0)
        _, new_average, new_square = one_step(adamw_, *given)
        _, right_average, right_square = torch_step(*given)
        name_average(new_average, g, average, step)
        name_square(new_square, g, square, right_average, step)
        want_near(new_average, right_average, "the new average")
        want_near(new_square, right_square, "the new square")


def likely_weights(w, g, average, square, step, rate) -> list[tuple[torch.Tensor, str]]:
    """Mistaken new weights of a step after the first, with the words for each.

    average and square are the new ones, not corrected.
    """

    def moved(direction, size, steps=step, squares=step):
        direction = direction / (1 - 0.9**steps) if steps else direction
        size = size / (1 - 0.95**squares) if squares else size
        return w - rate * direction / (size.sqrt() + 1e-8)

    direction, size = average / (1 - 0.9**step), square / (1 - 0.95**step)
    uncorrected = "Both averages start at 0 and are too small at first: divide "
    guesses = [
        (w, "The weight is what it was."),
        (
            moved(average, square, 0, 0),
            uncorrected + "the first by 1 - 0.9**step, the second by 1 - 0.95**step.",
        ),
        (moved(average, square, step, 0), uncorrected + "the square too."),
        (moved(average, square, 0, step), uncorrected + "the average too."),
        (
            moved(average, square, step + 1, step + 1),
            "It corrects as if this were a step later: step is 1 in the first.",
        ),
        (
            moved(average, square, step - 1, step - 1),
            "It counts steps from 0, and in the first step it would divide by 0: step is "
            "1 there.",
        ),
        (
            w - rate * direction / (size + 1e-8),
            "You divide by the square; divide by its root.",
        ),
        (
            w + rate * direction / (size.sqrt() + 1e-8),
            "The weight goes up the slope: the step is taken off.",
        ),
        (w - rate * direction, "It never divides by the root of the square."),
        (w - rate * g, "That is plain gradient descent: the averages are not used."),
        (
            moved(g, square, 0, step),
            "The step goes along the gradient; it goes along the average.",
        ),
        (w - direction / (size.sqrt() + 1e-8), "The step is not scaled by the rate."),
        (rate * direction / (size.sqrt() + 1e-8), "That is the step, not the weight."),
        (
            -rate * direction / (size.sqrt() + 1e-8),
            "With a decay of 0 nothing is left of the weight: it keeps 1 - rate × decay "
            "of itself.",
        ),
    ]
    return guesses


def steps_along_the_average(adamw_, generator):
    for step in (whole(generator, 3, 6), 1):
        w, g, average, square = some_state(generator)
        if step == 1:
            average, square = torch.zeros(2, 3, 4)
        given = (w, g, average, square, step, 0.3, 0.0)
        value, _, _ = one_step(adamw_, *given)
        right, new_average, new_square = torch_step(*given)
        if step > 1:
            name_mistake(
                value, likely_weights(w, g, new_average, new_square, step, 0.3)
            )
            corrected = average / (1 - 0.9**step)
            size = (square / (1 - 0.95**step)).sqrt()
            if alike(value, w - 0.3 * corrected / (size + 1e-8)):
                raise Mistake(
                    "The step uses the averages from before: let them take the "
                    "gradient first."
                )
        want_near(value, right, f"the new weight of step {step}")


def weights_decay(adamw_, generator):
    rate, decay = 0.4, 0.5 + float(torch.rand(1, generator=generator))
    for _ in range(2):
        w, g, average, square = some_state(generator)
        step = whole(generator, 3, 6)
        value, average_given, _ = one_step(
            adamw_, w, g, average, square, step, rate, decay
        )
        right, new_average, _ = torch_step(w, g, average, square, step, rate, decay)
        plain, _, _ = torch_step(w, g, average, square, step, rate, 0.0)
        if alike(average_given, 0.9 * average + 0.1 * (g + decay * w)):
            raise Mistake(
                "The decay is added to the gradient, so that it goes into the "
                "averages: that is Adam with L2. In AdamW it shrinks the weight only."
            )
        shrink = rate * decay * w
        guesses = [
            (plain, "It ignores decay: the weight shrinks too."),
            (plain + shrink, "The weight grows: it shrinks, to 1 - rate × decay."),
            (
                plain - decay * w,
                "The weight shrinks by decay alone: by rate × decay.",
            ),
            (
                plain * (1 - decay),
                "The weight shrinks by decay alone: by rate × decay.",
            ),
            (
                plain * (1 - rate * decay),
                "The step shrinks too: shrink the weight first, then take the step "
                "off.",
            ),
            (plain - w + decay * w, "The weight shrinks to decay times itself."),
            (plain - rate * decay, "Decay takes the same off every weight: a share."),
        ]
        name_mistake(value, guesses)
        want_near(average_given, new_average, "the new average, with decay,")
        want_near(value, right, "the new weight, with decay,")


def many_steps(adamw_, generator):
    zeros, rate = torch.zeros(3), 0.2
    value, _, _ = one_step(adamw_, zeros + 1, zeros, zeros, zeros, 1, rate, 0.5)
    if not value.isfinite().all():
        raise Mistake(
            "A gradient of 0 gives NaN: nothing over nothing. Add 1e-8 to the root."
        )
    want_near(value, zeros + 0.9, "the new weight after a gradient of 0")
    tiny = torch.tensor([1e-5, -2e-5, 3e-5])
    value, _, _ = one_step(adamw_, zeros, tiny, zeros, zeros, 1, rate, 0.0)
    if alike(value, -rate * tiny / (tiny**2 + 1e-8).sqrt()):
        raise Mistake(
            "The 1e-8 is added inside the root, where it counts as 1e-4. Add it to the "
            "root."
        )
    want_near(value, -rate * tiny.sign(), "the new weight after a tiny gradient", 1e-3)
    ours = [torch.randn(5, generator=generator), torch.zeros(5), torch.zeros(5)]
    theirs = list(ours)
    for step in range(1, 8):
        gradient = torch.randn(5, generator=generator)
        ours = one_step(adamw_, ours[0], gradient, *ours[1:], step, rate, 0.1)
        theirs = torch_step(theirs[0], gradient, *theirs[1:], step, rate, 0.1)
        want_near(ours[0], theirs[0], f"the weight after {step} steps", 1e-3)


def _averages(g, average, square):
    return 0.9 * average + 0.1 * g, 0.95 * square + 0.05 * g**2


def _moved(w, average, square, step, rate, decay, epsilon=1e-8):
    direction, size = average / (1 - 0.9**step), square / (1 - 0.95**step)
    return w * (1 - rate * decay) - rate * direction / (size.sqrt() + epsilon)


def wrong_no_correction(weight, gradient, average, square, step, rate, decay):
    average, square = _averages(gradient, average, square)
    moved = rate * average / (square.sqrt() + 1e-8)
    return weight * (1 - rate * decay) - moved, average, square


def wrong_half_corrected(weight, gradient, average, square, step, rate, decay):
    average, square = _averages(gradient, average, square)
    moved = rate * (average / (1 - 0.9**step)) / (square.sqrt() + 1e-8)
    return weight * (1 - rate * decay) - moved, average, square


def wrong_l2(weight, gradient, average, square, step, rate, decay):
    return adamw(weight, gradient + decay * weight, average, square, step, rate, 0)


def wrong_not_squared(weight, gradient, average, square, step, rate, decay):
    average, square = 0.9 * average + 0.1 * gradient, 0.95 * square + 0.05 * gradient
    return _moved(weight, average, square, step, rate, decay), average, square


def wrong_no_root(weight, gradient, average, square, step, rate, decay):
    average, square = _averages(gradient, average, square)
    direction, size = average / (1 - 0.9**step), square / (1 - 0.95**step)
    moved = rate * direction / (size + 1e-8)
    return weight * (1 - rate * decay) - moved, average, square


def wrong_betas(weight, gradient, average, square, step, rate, decay):
    average = 0.95 * average + 0.05 * gradient
    square = 0.9 * square + 0.1 * gradient**2
    return _moved(weight, average, square, step, rate, decay), average, square


def wrong_default_beta(weight, gradient, average, square, step, rate, decay):
    average = 0.9 * average + 0.1 * gradient
    square = 0.999 * square + 0.001 * gradient**2
    return _moved(weight, average, square, step, rate, decay), average, square


def wrong_shares(weight, gradient, average, square, step, rate, decay):
    average = 0.1 * average + 0.9 * gradient
    square = 0.05 * square + 0.95 * gradient**2
    return _moved(weight, average, square, step, rate, decay), average, square


def wrong_whole_gradient(weight, gradient, average, square, step, rate, decay):
    average, square = 0.9 * average + gradient, 0.95 * square + 0.05 * gradient**2
    return _moved(weight, average, square, step, rate, decay), average, square


def wrong_along_the_gradient(weight, gradient, average, square, step, rate, decay):
    average, square = _averages(gradient, average, square)
    size = (square / (1 - 0.95**step)).sqrt()
    moved = weight * (1 - rate * decay) - rate * gradient / (size + 1e-8)
    return moved, average, square


def wrong_momentum_only(weight, gradient, average, square, step, rate, decay):
    average, square = _averages(gradient, average, square)
    moved = weight * (1 - rate * decay) - rate * average / (1 - 0.9**step)
    return moved, average, square


def wrong_uphill(weight, gradient, average, square, step, rate, decay):
    average, square = _averages(gradient, average, square)
    return _moved(weight, -average, square, step, rate, decay), average, square


def wrong_from_zero(weight, gradient, average, square, step, rate, decay):
    average, square = _averages(gradient, average, square)
    return _moved(weight, average, square, step - 1, rate, decay), average, square


def wrong_averages_from_before(weight, gradient, average, square, step, rate, decay):
    moved = _moved(weight, average, square, step, rate, decay)
    return moved, *_averages(gradient, average, square)


def wrong_stores_corrected(weight, gradient, average, square, step, rate, decay):
    average, square = _averages(gradient, average, square)
    moved = _moved(weight, average, square, step, rate, decay)
    return moved, average / (1 - 0.9**step), square / (1 - 0.95**step)


def wrong_no_decay(weight, gradient, average, square, step, rate, decay):
    return adamw(weight, gradient, average, square, step, rate, 0)


def wrong_decay_for_share(weight, gradient, average, square, step, rate, decay):
    moved = adamw(weight, gradient, average, square, step, rate, 0.0)
    return moved[0] - weight + decay * weight, *moved[1:]


def wrong_decay_without_rate(weight, gradient, average, square, step, rate, decay):
    return adamw(weight, gradient, average, square, step, rate, decay / rate)


def wrong_decay_after(weight, gradient, average, square, step, rate, decay):
    moved, *memory = adamw(weight, gradient, average, square, step, rate, 0)
    return moved * (1 - rate * decay), *memory


def wrong_no_epsilon(weight, gradient, average, square, step, rate, decay):
    average, square = _averages(gradient, average, square)
    return _moved(weight, average, square, step, rate, decay, 0), average, square


def wrong_epsilon_inside(weight, gradient, average, square, step, rate, decay):
    average, square = _averages(gradient, average, square)
    direction, size = average / (1 - 0.9**step), square / (1 - 0.95**step)
    moved = rate * direction / (size + 1e-8).sqrt()
    return weight * (1 - rate * decay) - moved, average, square


def wrong_math_sqrt(weight, gradient, average, square, step, rate, decay):
    average, square = _averages(gradient, average, square)
    direction, size = average / (1 - 0.9**step), square / (1 - 0.95**step)
    moved = rate * direction / (math.sqrt(size) + 1e-8)
    return weight * (1 - rate * decay) - moved, average, square


def wrong_weight_only(weight, gradient, average, square, step, rate, decay):
    return adamw(weight, gradient, average, square, step, rate, decay)[0]


ADAMW = Exercise(
    id="08.adamw",
    title="one step of AdamW",
    minutes=15,
    rule=(
        "All four tensors have one shape. First the memory: the new `average` keeps "
        "0.9 of itself and takes 0.1 of the gradient; the new `square` keeps 0.95 and "
        "takes 0.05 of the gradient squared. Both began at 0 and are too small at "
        "first, so for the step, and only there, divide them by 1 − 0.9^`step` and 1 "
        "− 0.95^`step`; the first step is 1. Then shrink the weight to 1 − `rate` × "
        "`decay` of itself, and take off `rate` × average ÷ (root of the square + "
        "1e-8), both corrected. Return a tuple: the new weight, average and square, "
        "the last two not corrected. You may make new tensors or change those you are "
        "given."
    ),
    reference=adamw,
    checks=(
        Check(
            name="two averages",
            points=1,
            proves="remembers the gradients and their squares",
            hint="`0.9 * average + 0.1 * gradient` is a running average. The other "
            "one has 0.95, 0.05 and the gradient squared.",
            run=keeps_two_averages,
        ),
        Check(
            name="the step",
            points=2,
            proves="steps along the corrected average, as long as the rate says",
            hint="In step 1, from averages of 0, every weight moves by exactly the "
            "rate, whatever its gradient. Does yours?",
            run=steps_along_the_average,
        ),
        Check(
            name="the decay",
            points=1,
            proves="lets the weights decay apart from their gradients",
            hint="The gradient never hears of the decay. Multiply the weight by a "
            "number a little below 1.",
            run=weights_decay,
        ),
        Check(
            name="many steps",
            points=1,
            proves="goes with torch's AdamW for many steps, and never divides by 0",
            hint="Where does 1e-8 go: under the root, or after it?",
            run=many_steps,
        ),
    ),
    wrong=(
        Wrong("no bias correction", wrong_no_correction, "too small at first"),
        Wrong("half corrected", wrong_half_corrected, "the square too"),
        Wrong("Adam with L2", wrong_l2, "that is Adam with L2"),
        Wrong("not squared", wrong_not_squared, "not squared"),
        Wrong("no root", wrong_no_root, "divide by its root"),
        Wrong("betas swapped", wrong_betas, "have changed places"),
        Wrong("torch's default", wrong_default_beta, "which is torch's default"),
        Wrong("shares swapped", wrong_shares, "the other way round"),
        Wrong("the whole gradient", wrong_whole_gradient, "takes the whole gradient"),
        Wrong("along the gradient", wrong_along_the_gradient, "along the average"),
        Wrong("momentum only", wrong_momentum_only, "never divides by the root"),
        Wrong("uphill", wrong_uphill, "up the slope"),
        Wrong("steps from 0", wrong_from_zero, "counts steps from 0"),
        Wrong(
            "the averages from before",
            wrong_averages_from_before,
            "averages from before",
        ),
        Wrong("stores the corrected", wrong_stores_corrected, "back the corrected"),
        Wrong("no decay", wrong_no_decay, "ignores decay"),
        Wrong("decay for its share", wrong_decay_for_share, "nothing is left"),
        Wrong("decay without the rate", wrong_decay_without_rate, "by rate × decay"),
        Wrong("decay after the step", wrong_decay_after, "The step shrinks too"),
        Wrong("no epsilon", wrong_no_epsilon, "nothing over nothing"),
        Wrong("epsilon inside", wrong_epsilon_inside, "inside the root"),
        Wrong("math.sqrt", wrong_math_sqrt, "math.sqrt takes numbers"),
        Wrong("the weight only", wrong_weight_only, "It gives one tensor"),
    ),
)


# 08.rate_at -------------------------------------------------------------------------


def some_config(generator: torch.Generator) -> TrainConfig:
    """A schedule of some dozens of steps with a warm-up, and a rate that is not 1."""
    return TrainConfig(
        steps=whole(generator, 50, 80), warmup=whole(generator, 6, 12), rate=0.02
    )


def waves(progress: float, floor: float = train.FLOOR) -> float:
    """Half a cosine from 1 to the floor, by the square of a sine."""
    return 1 - (1 - floor) * math.sin(math.pi * progress / 2) ** 2


def shares(rate_at, config: TrainConfig, steps) -> list[float]:
    """The shares of some steps, all of them floats."""
    found = []
    for step in steps:
        try:
            value = rate_at(step, config)
        except ZeroDivisionError:
            raise Mistake(
                f"It divides by 0 at step {step} of {config.steps}, with a warm-up of "
                f"{config.warmup}."
            ) from None
        what = f"rate_at({step}, config)"
        if isinstance(value, torch.Tensor):
            raise Mistake(f"{what} is a tensor; math.cos gives a number.")
        want_type(value, float, what)
        found.append(value)
    return found


def want_shares(found, steps, right: Callable, likely: dict[str, Callable], config):
    """Demand right(step) at each step; else the words of the likely mistake."""
    wanted = [right(step) for step in steps]

    def fits(guess):
        return all(math.isclose(f, g, abs_tol=1e-4) for f, g in zip(found, guess))

    if fits(wanted):
        return
    for words, mistaken in likely.items():
        if fits([mistaken(step) for step in steps]):
            raise Mistake(words)
    for step, value, wish in zip(steps, found, wanted):
        what = (
            f"With {config.steps} steps, {config.warmup} of them warm-up, step {step}"
        )
        want_close(value, wish, what)


def warms_up(rate_at, generator):
    config = some_config(generator)
    warm, steps = config.warmup, range(config.warmup)
    likely = {
        "Step 0 has rate 0, and is wasted: it is the first, step + 1.": lambda s: (
            s / warm
        ),
        "Step 0 has rate 0, and is wasted: the share is step + 1 by warmup + 1.": (
            lambda s: s / (warm + 1)
        ),
        "The share is 1 in the last step of the warm-up, one too soon: divide by "
        "warmup + 1.": lambda s: (s + 1) / warm,
        "There is no warm-up: the first shares are all 1.": lambda s: 1.0,
        "There is no warm-up: the cosine starts at step 0.": lambda s: waves(
            s / config.steps
        ),
        "That is the rate itself: give the share of config.rate, from 0 to 1.": (
            lambda s: config.rate * (s + 1) / (warm + 1)
        ),
        "The warm-up starts at the floor; it starts near 0, at 1 by warmup + 1.": (
            lambda s: train.FLOOR + (1 - train.FLOOR) * s / warm
        ),
    }
    found = shares(rate_at, config, steps)
    want_shares(found, steps, lambda s: (s + 1) / (warm + 1), likely, config)


def goes_from_1_to_floor(rate_at, generator):
    config = some_config(generator)
    warm, last = config.warmup, config.steps
    steps = (warm, last)
    over_all = (
        "The cosine runs over all steps, so that the share jumps after the warm-up."
    )
    likely = {
        "It ends at 0; let it end at the floor, 0.1.": lambda s: float(s == warm),
        "It comes back to 1 at the end: a whole period of the cosine. Half of it goes "
        "down.": lambda s: 1.0,
        over_all + " Let progress be 0 there.": lambda s: waves(s / last),
        "It starts at 1.1: the cosine falls from 1 to the floor, so stretch it to "
        "1 - FLOOR before you add FLOOR.": lambda s: (1.0 if s == warm else 0) + 0.1,
        "It rises: the cosine is upside down.": lambda s: 0.1 if s == warm else 1.0,
        "math.cos counts in radians: half a turn is math.pi, not 180.": lambda s: (
            1.0 if s == warm else 0.1 + 0.45 * (1 + math.cos(180))
        ),
    }
    found = shares(rate_at, config, steps)
    want_shares(found, steps, lambda s: waves(float(s == last)), likely, config)


def is_half_a_cosine(rate_at, generator):
    config = some_config(generator)
    warm, last = config.warmup, config.steps

    def progress(step):
        return (step - warm) / (last - warm)

    likely = {
        "It falls in a line; let it fall in half a cosine.": lambda s: (
            1 - 0.9 * progress(s)
        ),
        "It is a quarter of a cosine, which ends steep: take half, π.": lambda s: (
            0.1 + 0.9 * math.cos(math.pi / 2 * progress(s))
        ),
        "It is a whole period of the cosine; half of it goes down.": lambda s: waves(
            2 * progress(s)
        ),
        "The cosine runs over all steps; let progress be 0 after the warm-up.": (
            lambda s: waves(s / last)
        ),
        "The cosine ends at 0 and is cut off at the floor: stretch it instead.": (
            lambda s: max(0.1, waves(progress(s), 0))
        ),
    }
    steps = range(warm, last + 1)
    found = shares(rate_at, config, steps)
    want_shares(found, steps, lambda s: waves(progress(s)), likely, config)


def needs_no_warmup(rate_at, generator):
    config = TrainConfig(steps=whole(generator, 20, 40), warmup=0, rate=0.02)
    steps = range(config.steps + 1)
    found = shares(rate_at, config, steps)
    want_shares(found, steps, lambda s: waves(s / config.steps), {}, config)


def _progress(step, config):
    return (step - config.warmup) / (config.steps - config.warmup)


def wrong_no_warmup(step, config):
    return waves(step / config.steps)


def wrong_waits_at_1(step, config):
    return waves(max(0, _progress(step, config)))


def wrong_wasted_step(step, config):
    if step < config.warmup:
        return step / config.warmup
    return waves(_progress(step, config))


def wrong_too_soon(step, config):
    if step < config.warmup:
        return (step + 1) / config.warmup
    return waves(_progress(step, config))


def wrong_ends_at_0(step, config):
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    return waves(_progress(step, config), 0)


def wrong_not_stretched(step, config):
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    return 0.1 + waves(_progress(step, config), 0)


def wrong_cut_off(step, config):
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    return max(0.1, waves(_progress(step, config), 0))


def wrong_line(step, config):
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    return 1 - 0.9 * _progress(step, config)


def wrong_over_all_steps(step, config):
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    return waves(step / config.steps)


def wrong_upside_down(step, config):
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    return waves(1 - _progress(step, config))


def wrong_degrees(step, config):
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    return 0.1 + 0.45 * (1 + math.cos(180 * _progress(step, config)))


def wrong_whole_period(step, config):
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    return waves(2 * _progress(step, config))


def wrong_quarter(step, config):
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    return 0.1 + 0.9 * math.cos(math.pi / 2 * _progress(step, config))


def wrong_rate_itself(step, config):
    return config.rate * train.rate_at(step, config)


def wrong_divides_by_warmup(step, config):
    first = 1 / (config.warmup + 1)
    rise = (1 - first) / config.warmup
    if step < config.warmup:
        return first + rise * step
    return waves(_progress(step, config))


RATE_AT = Exercise(
    id="08.rate_at",
    title="a rate that rises and falls",
    minutes=12,
    rule=(
        "`config.steps` and `config.warmup` are whole numbers; the warm-up may be 0, "
        "and is shorter than the run. While `step < config.warmup`, the share is step "
        "+ 1 divided by warmup + 1. From then on, progress goes in a line from 0 at "
        "step `config.warmup` to 1 at step `config.steps`; (1 + cos(π · progress)) / "
        "2 falls from 1 to 0 with it, and the share falls with that, stretched so "
        "that it goes from 1 to `FLOOR`, which is 0.1. Return a `float`: the share, "
        "which multiplies the rate elsewhere."
    ),
    reference=train.rate_at,
    checks=(
        Check(
            name="the warm-up",
            points=1,
            proves="rises in a line, and wastes no step",
            hint="With a warm-up of 4 the shares are 1/5, 2/5, 3/5, 4/5, then 1.",
            run=warms_up,
        ),
        Check(
            name="from 1 to the floor",
            points=1,
            proves="falls from 1 to a tenth",
            hint="If y goes from 1 to 0, then `FLOOR + (1 - FLOOR) * y` goes from 1 to "
            "`FLOOR`.",
            run=goes_from_1_to_floor,
        ),
        Check(
            name="half a cosine",
            points=1,
            proves="falls in half a cosine",
            hint="`math.cos` of 0 is 1 and of `math.pi` is -1. How many steps of the "
            "fall are done, and how many are there in all?",
            run=is_half_a_cosine,
        ),
        Check(
            name="no warm-up",
            points=1,
            proves="needs no warm-up",
            hint="With `config.warmup` 0, step 0 has share 1. Do you divide by the "
            "warm-up?",
            run=needs_no_warmup,
        ),
    ),
    wrong=(
        Wrong("no warm-up", wrong_no_warmup, "There is no warm-up"),
        Wrong("waits at 1", wrong_waits_at_1, "There is no warm-up"),
        Wrong("a wasted step", wrong_wasted_step, "is wasted"),
        Wrong("one too soon", wrong_too_soon, "one too soon"),
        Wrong("ends at 0", wrong_ends_at_0, "It ends at 0"),
        Wrong("not stretched", wrong_not_stretched, "It starts at 1.1"),
        Wrong("cut off", wrong_cut_off, "cut off at the floor"),
        Wrong("a line", wrong_line, "It falls in a line"),
        Wrong("over all steps", wrong_over_all_steps, "runs over all steps"),
        Wrong("upside down", wrong_upside_down, "upside down"),
        Wrong("degrees", wrong_degrees, "counts in radians"),
        Wrong("a whole period", wrong_whole_period, "a whole period"),
        Wrong("a quarter", wrong_quarter, "a quarter of a cosine"),
        Wrong("the rate itself", wrong_rate_itself, "the rate itself"),
        Wrong("divides by the warm-up", wrong_divides_by_warmup, "It divides by 0"),
    ),
)


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


class Tiny(nn.Module):
    """Ids (B, T) → logits (B, T, V), from the token at each position alone."""

    def __init__(self, vocabulary: int, channels: int, generator: torch.Generator):
        super().__init__()
        shape = (vocabulary, channels)
        self.embedding = nn.Parameter(torch.randn(shape, generator=generator))
        self.unembedding = nn.Parameter(0.3 * torch.randn(shape, generator=generator))
        self.backwards = 0  # how often somebody went back through it

    def forward(self, ids):
        logits = self.embedding[ids] @ self.unembedding.T
        if logits.requires_grad:
            logits.register_hook(self.went_back)
        return logits

    def went_back(self, gradient: torch.Tensor) -> None:
        self.backwards += 1


def one_batch(generator: torch.Generator):
    """A model, inputs and targets (3, 5); no input comes twice, so it can learn all."""
    model = Tiny(20, 8, generator)
    inputs = torch.randperm(20, generator=generator)[:15].view(3, 5)
    return model, inputs, torch.randint(20, (3, 5), generator=generator)


def by_hand(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """−log p(target) of every position (B, T)."""
    return logits.logsumexp(-1) - logits.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def descent(
    model: nn.Module,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    steps: int,
    rate: float,
    make: Callable = torch.optim.AdamW,
    zero: bool = True,
    fresh: bool = False,
) -> list[float]:
    """The losses of a run on a copy: a right one, or one with a mistake."""
    model = copy.deepcopy(model)
    optimizer, losses = make(model.parameters(), lr=rate), []
    for _ in range(steps):
        loss = by_hand(model(inputs), targets).mean()
        if zero:
            optimizer.zero_grad()
        loss.backward()
        if fresh:
            optimizer = make(model.parameters(), lr=rate)
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


ERRORS = {
    "Expected target size": (
        "cross_entropy takes the vocabulary for the second axis, and yours is the "
        "last of three: flatten B and T, logits to (B × T, V) and targets to (B × T,)."
    ),
    "to match target batch_size": (
        "Logits and targets are not flattened alike: logits to (B × T, V) and targets "
        "to (B × T,)."
    ),
    "second time": (
        "The logits are computed once, outside the loop, and the second step has none "
        "of its own: ask the model in every step."
    ),
    "does not require grad": (
        "The loss knows nothing of the weights: is there a no_grad, a detach or an "
        "item between the model and backward?"
    ),
    "has no attribute 'backward'": (
        "backward is called on a plain number: call it on the loss before you make a "
        "float of it."
    ),
}


def trained(overfit_, model, inputs, targets, steps, rate) -> list[float]:
    """The losses that overfit gives, if they are floats, one a step."""
    try:
        value = overfit_(model, inputs.clone(), targets.clone(), steps, rate)
    except (RuntimeError, ValueError, AttributeError) as error:
        for text, words in ERRORS.items():
            if text in str(error):
                raise Mistake(words) from None
        raise
    want_type(value, list, "overfit(…)")
    for i, loss in enumerate(value):
        if isinstance(loss, torch.Tensor):
            raise Mistake(
                f"Entry {i} is a tensor, and drags its whole graph along: loss.item() "
                "is a float."
            )
        want_type(loss, float, f"entry {i} of the losses")
        if not math.isfinite(loss):
            raise Mistake(f"The loss of step {i} is {loss}.")
    if len(value) != steps:
        raise Mistake(
            f"{steps} steps gave {len(value)} losses; give one a step, no more, no "
            "less."
        )
    return value


def close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-3)


def a_loss_before_each_step(overfit_, generator):
    model, inputs, targets = one_batch(generator)
    steps = whole(generator, 4, 7)
    right = descent(model, inputs, targets, steps, 0.1)
    logits = model(inputs).detach()
    losses = by_hand(logits, targets)
    value = trained(overfit_, model, inputs, targets, steps, 0.1)
    likely = {
        "It gives minus the loss.": -right[0],
        "The first loss is of a model which has made a step. Take it before.": right[1],
        "The logits go through softmax before cross_entropy, which does that itself: "
        "twice is once too often.": float(by_hand(logits.softmax(-1), targets).mean()),
        "The loss is that of the last position only. All of them predict.": float(
            losses[:, -1].mean()
        ),
        "The loss is that of the first row only. All of them count.": float(
            losses[0].mean()
        ),
        "The loss is a sum over all positions; take the mean.": float(losses.sum()),
    }
    if close(value[0], right[0]):
        return
    for words, loss in likely.items():
        if close(value[0], loss):
            raise Mistake(words)
    want_close(value[0], right[0], "the loss of the untrained model", 1e-3)


def learns_by_heart(overfit_, generator):
    model, inputs, targets = one_batch(generator)
    start, steps = copy.deepcopy(model), 60
    value = trained(overfit_, model, inputs, targets, steps, 0.1)
    if max(value) - min(value) < 1e-5:
        raise Mistake(why_flat(model))
    name_run(value, start, inputs, targets, 0.1)
    if value[-1] > value[0]:
        raise Mistake(
            f"The loss rises, from {value[0]:.3g} to {value[-1]:.3g}: it goes up the "
            "slope. backward wants the loss itself, without a minus sign."
        )
    if value[-1] > 0.1 * value[0]:
        raise Mistake(
            f"After {steps} steps on one batch the loss is {value[-1]:.3g}; by heart "
            f"is less than {0.1 * value[0]:.2g}."
        )
    after = float(by_hand(model(inputs).detach(), targets).mean())
    if after > value[-1] + 0.01:
        raise Mistake(
            f"The losses fall, but the model you were given still has {after:.3g}: "
            "train that one, and no copy."
        )


def why_flat(model: Tiny) -> str:
    """Why the loss never moves, from what a run has left behind."""
    flat = "The loss is the same in every step. "
    if not model.backwards:
        return flat + "Nobody computes gradients: loss.backward() is missing."
    if all(w.grad is None or not w.grad.any() for w in model.parameters()):
        return (
            flat + "The gradients are computed and zeroed before a step can use them: "
            "backward, then step, and nothing in between."
        )
    return (
        flat + "There are gradients, and nobody uses them: optimizer.step() is missing."
    )


def same_run(losses: list[float], others: list[float]) -> bool:
    """Whether two runs have the same losses, as far as both go."""
    return all(close(a, b) for a, b in zip(losses, others))


def name_run(value: list[float], model, inputs, targets, rate: float) -> None:
    """Raise the mistake that gives just these losses, if it is a likely one."""
    given = (model, inputs, targets, min(len(value), 15))
    if same_run(value, descent(*given, rate)):
        return
    likely = [
        (
            descent(*given, rate, zero=False),
            "The gradients of all steps so far add up, for nobody zeroes them: "
            "zero_grad before each backward.",
        ),
        (
            descent(*given, rate, fresh=True),
            "There is a new optimiser in every step, and it has forgotten its "
            "averages: make one, before the loop.",
        ),
        (descent(*given, 1e-3), "It steps at torch's default rate: give lr=rate."),
        (
            descent(*given, rate, torch.optim.SGD),
            "That is plain gradient descent, SGD; AdamW is wanted.",
        ),
        (
            descent(*given, rate, torch.optim.Adam),
            "That is Adam, whose weights do not decay; AdamW is wanted.",
        ),
    ]
    for losses, words in likely:
        if same_run(value, losses):
            raise Mistake(words)


def want_run(value: list[float], right: list[float]) -> None:
    """Demand these losses, to a thousandth."""
    for step, (loss, wanted) in enumerate(zip(value, right)):
        if not close(loss, wanted):
            raise Mistake(
                f"The loss before step {step} is {loss:.4g}; with torch's AdamW, a "
                f"whole batch a step and zeroed gradients it is {wanted:.4g}."
            )


def steps_like_torch(overfit_, generator):
    model, inputs, targets = one_batch(generator)
    start = copy.deepcopy(model)
    rate = 0.05 + 0.05 * float(torch.rand(1, generator=generator))
    value = trained(overfit_, model, inputs, targets, 12, rate)
    name_run(value, start, inputs, targets, rate)
    want_run(value, descent(start, inputs, targets, 12, rate))


def drops_left_over_gradients(overfit_, generator):
    model, inputs, targets = one_batch(generator)
    right = descent(model, inputs, targets, 8, 0.1)
    for weight in model.parameters():
        weight.grad = 5 * torch.randn(weight.shape, generator=generator)
    value = trained(overfit_, model, inputs, targets, 8, 0.1)
    if not close(value[1], right[1]):
        raise Mistake(
            f"The model came with gradients from another run, and the first step used "
            f"them: the loss after it is {value[1]:.4g}, not {right[1]:.4g}. Call "
            "zero_grad before the first backward too."
        )
    want_run(value, right)


def _run(model, inputs, targets, steps, rate, learn, loss_of=None):
    """A loop to go wrong in: learn(optimizer, loss) does what comes after the loss."""
    optimizer, losses = torch.optim.AdamW(model.parameters(), lr=rate), []
    for _ in range(steps):
        logits = model(inputs)
        if loss_of:
            loss = loss_of(logits, targets)
        else:
            loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        learn(optimizer, loss)
        losses.append(loss.item())
    return losses


def _learn(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def wrong_never_zeroed(model, inputs, targets, steps, rate):
    def learn(optimizer, loss):
        loss.backward()
        optimizer.step()

    return _run(model, inputs, targets, steps, rate, learn)


def wrong_zeroed_after(model, inputs, targets, steps, rate):
    def learn(optimizer, loss):
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return _run(model, inputs, targets, steps, rate, learn)


def wrong_zeroed_between(model, inputs, targets, steps, rate):
    def learn(optimizer, loss):
        loss.backward()
        optimizer.zero_grad()
        optimizer.step()

    return _run(model, inputs, targets, steps, rate, learn)


def wrong_no_step(model, inputs, targets, steps, rate):
    def learn(optimizer, loss):
        optimizer.zero_grad()
        loss.backward()

    return _run(model, inputs, targets, steps, rate, learn)


def wrong_no_backward(model, inputs, targets, steps, rate):
    def learn(optimizer, loss):
        optimizer.zero_grad()
        optimizer.step()

    return _run(model, inputs, targets, steps, rate, learn)


def wrong_ascent(model, inputs, targets, steps, rate):
    def learn(optimizer, loss):
        _learn(optimizer, -loss)

    return _run(model, inputs, targets, steps, rate, learn)


def wrong_negative_loss(model, inputs, targets, steps, rate):
    def loss_of(logits, targets):
        return -F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return _run(model, inputs, targets, steps, rate, _learn, loss_of)


def wrong_tensors(model, inputs, targets, steps, rate):
    return [torch.tensor(x) for x in overfit(model, inputs, targets, steps, rate)]


def wrong_after_the_step(model, inputs, targets, steps, rate):
    losses = overfit(model, inputs, targets, steps, rate)
    last = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    return [*losses[1:], last.item()]


def wrong_one_more(model, inputs, targets, steps, rate):
    return overfit(model, inputs, targets, steps + 1, rate)


def wrong_softmax_first(model, inputs, targets, steps, rate):
    def loss_of(logits, targets):
        return F.cross_entropy(logits.softmax(-1).flatten(0, 1), targets.flatten())

    return _run(model, inputs, targets, steps, rate, _learn, loss_of)


def wrong_last_position(model, inputs, targets, steps, rate):
    def loss_of(logits, targets):
        return F.cross_entropy(logits[:, -1], targets[:, -1])

    return _run(model, inputs, targets, steps, rate, _learn, loss_of)


def wrong_sum(model, inputs, targets, steps, rate):
    def loss_of(logits, targets):
        return by_hand(logits, targets).sum()

    return _run(model, inputs, targets, steps, rate, _learn, loss_of)


def wrong_not_flat(model, inputs, targets, steps, rate):
    return _run(model, inputs, targets, steps, rate, _learn, F.cross_entropy)


def wrong_logits_once(model, inputs, targets, steps, rate):
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    loss, losses = by_hand(model(inputs), targets).mean(), []
    for _ in range(steps):
        _learn(optimizer, loss)
        losses.append(loss.item())
    return losses


def wrong_no_grad(model, inputs, targets, steps, rate):
    with torch.no_grad():
        return _run(model, inputs, targets, steps, rate, _learn)


def wrong_new_optimizer(model, inputs, targets, steps, rate):
    return [overfit(model, inputs, targets, 1, rate)[0] for _ in range(steps)]


def wrong_default_rate(model, inputs, targets, steps, rate):
    return overfit(model, inputs, targets, steps, 1e-3)


def wrong_adam(model, inputs, targets, steps, rate):
    return descent(model, inputs, targets, steps, rate, torch.optim.Adam)


def wrong_sgd(model, inputs, targets, steps, rate):
    return descent(model, inputs, targets, steps, rate, torch.optim.SGD)


def wrong_item_too_soon(model, inputs, targets, steps, rate):
    loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).item()
    loss.backward()
    return [loss] * steps


def wrong_targets_not_flat(model, inputs, targets, steps, rate):
    def loss_of(logits, targets):
        return F.cross_entropy(logits.flatten(0, 1), targets[0])

    return _run(model, inputs, targets, steps, rate, _learn, loss_of)


def wrong_copy(model, inputs, targets, steps, rate):
    return overfit(copy.deepcopy(model), inputs, targets, steps, rate)


OVERFIT = Exercise(
    id="08.overfit",
    title="learn one batch by heart",
    minutes=15,
    rule=(
        "Train `model` on one batch, again and again, with one "
        "`torch.optim.AdamW(model.parameters(), lr=rate)`. `model(inputs)` gives "
        "logits (B, T, V), and the loss is the mean cross-entropy with `targets` (B, "
        "T) over all positions. In each of `steps` steps: loss, zeroed gradients, "
        "backward, step. Return a `list` with the loss of each step as a plain "
        "`float`, taken before the step; the first is that of the untrained model. "
        "The model may come with gradients left over from another run: none of them "
        "may count."
    ),
    reference=overfit,
    checks=(
        Check(
            name="a loss before each step",
            points=1,
            proves="gives the loss before each step",
            hint="`F.cross_entropy` takes logits (N, V) and targets (N,): "
            "`.flatten(0, 1)` makes one axis of the first two. `.item()` makes a "
            "float.",
            run=a_loss_before_each_step,
        ),
        Check(
            name="by heart",
            points=2,
            proves="learns a batch by heart",
            hint="Three lines make a step: `zero_grad()`, `backward()`, `step()`. Are "
            "all there, in this order?",
            run=learns_by_heart,
        ),
        Check(
            name="like torch",
            points=1,
            proves="makes the very steps that AdamW should",
            hint="One optimiser for all steps, `lr=rate`, and gradients of this step "
            "only.",
            run=steps_like_torch,
        ),
        Check(
            name="left-over gradients",
            points=1,
            proves="drops gradients from before",
            hint="backward adds to what is there. When do you zero for the first time?",
            run=drops_left_over_gradients,
        ),
    ),
    wrong=(
        Wrong("never zeroed", wrong_never_zeroed, "nobody zeroes them"),
        Wrong("zeroed after", wrong_zeroed_after, "from another run"),
        Wrong("zeroed between", wrong_zeroed_between, "before a step can use them"),
        Wrong("no step", wrong_no_step, "optimizer.step() is missing"),
        Wrong("no backward", wrong_no_backward, "loss.backward() is missing"),
        Wrong("ascent", wrong_ascent, "The loss rises"),
        Wrong("minus the loss", wrong_negative_loss, "minus the loss"),
        Wrong("tensors", wrong_tensors, "loss.item() is"),
        Wrong("after the step", wrong_after_the_step, "which has made a step"),
        Wrong("one too many", wrong_one_more, "give one a step"),
        Wrong("softmax first", wrong_softmax_first, "once too often"),
        Wrong("the last position", wrong_last_position, "the last position only"),
        Wrong("a sum", wrong_sum, "take the mean"),
        Wrong("not flattened", wrong_not_flat, "flatten B and T"),
        Wrong("logits once", wrong_logits_once, "outside the loop"),
        Wrong("no_grad", wrong_no_grad, "knows nothing of the weights"),
        Wrong("a new optimiser", wrong_new_optimizer, "forgotten its averages"),
        Wrong("the default rate", wrong_default_rate, "default rate"),
        Wrong("Adam", wrong_adam, "That is Adam"),
        Wrong("SGD", wrong_sgd, "That is plain gradient descent"),
        Wrong("item too soon", wrong_item_too_soon, "called on a plain number"),
        Wrong("one row of targets", wrong_targets_not_flat, "not flattened alike"),
        Wrong("a copy", wrong_copy, "and no copy"),
    ),
)


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


def chain(generator: torch.Generator, count: int, following: torch.Tensor):
    """Ids (N,) from a table of chances (V, V): each row says what may follow."""
    ids = [whole(generator, 0, len(following) - 1)]
    for _ in range(count - 1):
        drawn = torch.multinomial(following[ids[-1]], 1, generator=generator)
        ids.append(int(drawn))
    return torch.tensor(ids)


def two_texts(generator: torch.Generator, size: int):
    """Ids to train on (150,) and to measure on (42,), from two different chains.

    Some pairs never come in the first; one of them does in the second.
    """
    tables = torch.randn(2, size, size, generator=generator).mul(1.5).softmax(-1)
    ids, shift = torch.arange(size), whole(generator, 1, size - 1)
    tables[0, ids, (ids + shift) % size] = 0
    val_ids = chain(generator, 40, tables[1])
    train_ids = chain(generator, 150, tables[0])
    # A text that ends as it begins enters each id as often as it leaves it: rows and
    # columns would have the same sums, and two mistakes would look alike.
    last = int((train_ids != train_ids[0]).nonzero()[-1])
    return train_ids[: last + 1], torch.cat([val_ids, ids[[0, shift]]])


def pair_counts(ids: torch.Tensor, size: int) -> torch.Tensor:
    """How often each id (rows) is followed by each (columns), float64."""
    counts = torch.zeros(size, size, dtype=torch.float64)
    for a, b in zip(ids.tolist(), ids.tolist()[1:]):
        counts[a, b] += 1
    return counts


def counted(train_ids: torch.Tensor, val_ids: torch.Tensor, size: int) -> float:
    """The loss by two dictionaries, without a table."""
    ids, val = train_ids.tolist(), val_ids.tolist()
    pairs, firsts = Counter(zip(ids, ids[1:])), Counter(ids[:-1])
    steps = list(zip(val, val[1:]))
    logs = [math.log((pairs[a, b] + 1) / (firsts[a] + size)) for a, b in steps]
    return -sum(logs) / len(logs)


def rows(counts: torch.Tensor) -> torch.Tensor:
    """Each row of counts (V, V), divided by its sum."""
    return counts / counts.sum(1, keepdim=True)


def mean_loss(p: torch.Tensor, ids: torch.Tensor) -> float:
    """The mean −ln p over the pairs of a text, from a table p (V, V)."""
    return -float(p[ids[:-1], ids[1:]].log().mean())


def likely_losses(train_ids, val_ids, size: int) -> list[tuple[float, str]]:
    """Mistaken losses, with the words for each."""
    return [
        *likely_ends(counted(train_ids, val_ids, size), len(val_ids)),
        *likely_counts(train_ids, val_ids, size),
        *likely_shares(pair_counts(train_ids, size), val_ids),
    ]


def likely_ends(right: float, count: int) -> list[tuple[float, str]]:
    """Losses that go wrong after the logarithm."""
    return [
        (
            right / math.log(2),
            "It is in bits, for the log has base 2; nats are wanted, math.log or "
            ".log().",
        ),
        (-right, "It is minus the loss: the mean of -ln p is positive."),
        (right * (count - 1), "It is the sum; take the mean over the pairs."),
        (
            right * (count - 1) / count,
            "It divides by the number of ids, and there is one pair fewer.",
        ),
        (
            math.exp(right),
            "It is the perplexity, e to the power of the loss: leave the exp out.",
        ),
    ]


def likely_counts(train_ids, val_ids, size: int) -> list[tuple[float, str]]:
    """Losses by counts of something else."""
    counts, val_counts = pair_counts(train_ids, size), pair_counts(val_ids, size)
    single = torch.bincount(train_ids, minlength=size).double() + 1
    losses = -(single / single.sum()).log()[val_ids]
    alone = "It counts single ids and not pairs: what comes next depends on this one."
    peeks = "It counts in val_ids, and so it peeks: count in train_ids only."
    smooth = rows(counts + 1)
    seen = counts[val_ids[:-1], val_ids[1:]] > 0
    return [
        (float(losses[1:].mean()), alone),
        (float(losses.mean()), alone),
        (mean_loss(rows(val_counts + 1), val_ids), peeks),
        (mean_loss(rows(counts + val_counts + 1), val_ids), peeks),
        (
            mean_loss(smooth, train_ids),
            "It measures on train_ids, which it has counted; measure on val_ids.",
        ),
        (
            -float(smooth[val_ids[:-1], val_ids[1:]][seen].log().mean()),
            "Pairs that were never seen are left out. They count too, with count 0 + "
            "1.",
        ),
        (
            mean_loss(rows(counts.clamp(max=1) + 1), val_ids),
            "Each pair counts once, however often it comes: table[a, b] += 1 with "
            "whole tensors forgets repeats. Use bincount, or a loop.",
        ),
        (
            math.log(size),
            "Every pair has the same p. Are tensors the keys of your counts? Two "
            "tensors are two keys, even with the same number in them: ids.tolist().",
        ),
        (
            mean_loss(rows(counts.clamp(min=1)), val_ids),
            "One is added only where the count is 0; add it to every count.",
        ),
    ]


def likely_shares(counts: torch.Tensor, val_ids: torch.Tensor):
    """Losses by right counts (V, V), divided by something else."""
    smooth, sums = counts + 1, counts.sum(1, keepdim=True)
    grows = "Every pair's count has grown by 1, so the sum that divides grows by "
    return [
        (
            mean_loss(rows(smooth).T, val_ids),
            "It reads the table the wrong way round: p(next | this) has this as its "
            "row.",
        ),
        (
            mean_loss(smooth / smooth.sum(0), val_ids),
            "The columns sum to one, so this is p(this | next). Every row should: "
            "divide by the sum over the next ids, dim=1.",
        ),
        (
            mean_loss(smooth / smooth.sum(1), val_ids),
            "Every column is divided by the sum of a row: sum(1) drops the axis, and "
            "keepdim=True keeps it.",
        ),
        (
            mean_loss(smooth / smooth.sum(), val_ids),
            "All pairs together sum to one: that is the chance of a pair. Divide every "
            "row by its own sum.",
        ),
        (mean_loss(smooth / sums.clamp(min=1), val_ids), grows + "the vocabulary."),
        (
            mean_loss(smooth / (sums + (sums > 0).sum()), val_ids),
            grows + "the whole vocabulary, with the ids that never come.",
        ),
        (mean_loss(smooth / (sums + 1), val_ids), grows + "the vocabulary, not by 1."),
    ]


def asked(bigram_loss_, train_ids, val_ids, size: int):
    """What bigram_loss gives; the usual errors, put in words."""
    try:
        return tried(bigram_loss_, train_ids, val_ids, size)
    except (KeyError, ZeroDivisionError, ValueError) as error:
        if isinstance(error, ValueError) and "math domain" not in str(error):
            raise
        raise Mistake(
            "A pair or an id that was never seen stops it with "
            f"{type(error).__name__}. Its count is 0, plus one."
        ) from None
    except IndexError:
        raise Mistake(
            "Some ids have no place in its table. The argument vocabulary says how "
            "many ids there are, not the text."
        ) from None


def want_loss(bigram_loss_, train_ids, val_ids, size: int, what: str) -> None:
    """Demand the loss as a float; else the words of the likely mistake."""
    value = asked(bigram_loss_, train_ids, val_ids, size)
    if isinstance(value, torch.Tensor):
        raise Mistake("It gives a tensor; turn the mean into a number: .item().")
    want_type(value, float, what)
    if not math.isfinite(value):
        raise Mistake(
            f"{what} is {value}: a pair that was never seen has p = 0, and ln 0 is "
            "infinite. Add one to every count."
        )
    right = counted(train_ids, val_ids, size)
    if math.isclose(value, right, rel_tol=1e-4, abs_tol=1e-4):
        return
    for loss, words in likely_losses(train_ids, val_ids, size):
        if math.isclose(value, loss, rel_tol=1e-5):  # a chance likeness is rare
            raise Mistake(words)
    want_close(value, right, what)


def means_over_pairs(bigram_loss_, generator):
    for size in (5, 7):
        train_ids, val_ids = two_texts(generator, size)
        what = f"bigram_loss(…, {size})"
        want_loss(bigram_loss_, train_ids, val_ids, size, what)


def never_infinite(bigram_loss_, generator):
    order = torch.randperm(6, generator=generator)
    train_ids, val_ids = order.repeat(5), order.flip(0).repeat(3)
    what = "The loss when no pair was seen before"
    want_loss(bigram_loss_, train_ids, val_ids, 6, what)


def counts_ids_that_never_come(bigram_loss_, generator):
    size, gap = 9, whole(generator, 1, 7)
    train_ids = torch.randint(size, (60,), generator=generator)
    train_ids = train_ids[(train_ids != gap) & (train_ids != size - 1)]
    val_ids = torch.tensor([gap, size - 1, gap, gap])
    value = asked(bigram_loss_, train_ids, val_ids, size)
    want_type(value, float, "The loss on ids that train_ids never hold")
    if not math.isclose(value, math.log(size), rel_tol=1e-4):
        raise Mistake(
            f"After an id that train_ids never hold, all {size} ids are equally "
            f"likely: ln {size} = {math.log(size):.4g}, and yours is {value:.4g}. "
            "Every row sums over the whole vocabulary."
        )


def _table(train_ids, vocabulary):
    pairs = train_ids[:-1] * vocabulary + train_ids[1:]
    counts = torch.bincount(pairs, minlength=vocabulary**2)
    return counts.view(vocabulary, vocabulary)


def _loss(p, val_ids):
    return -p[val_ids[:-1], val_ids[1:]].log().mean().item()


def wrong_no_add_one(train_ids, val_ids, vocabulary):
    counts = _table(train_ids, vocabulary)
    return _loss(counts / counts.sum(1, keepdim=True).clamp(min=1), val_ids)


def wrong_skips_unseen(train_ids, val_ids, vocabulary):
    counts = _table(train_ids, vocabulary) + 1
    p, before, after = rows(counts), val_ids[:-1], val_ids[1:]
    seen = counts[before, after] > 1
    return -p[before, after][seen].log().mean().item()


def wrong_ones_for_zeros(train_ids, val_ids, vocabulary):
    counts = _table(train_ids, vocabulary).clamp(min=1)
    return _loss(rows(counts), val_ids)


def wrong_sum_without_ones(train_ids, val_ids, vocabulary):
    counts = _table(train_ids, vocabulary)
    return _loss((counts + 1) / counts.sum(1, keepdim=True).clamp(min=1), val_ids)


def wrong_unigram(train_ids, val_ids, vocabulary):
    counts = torch.bincount(train_ids, minlength=vocabulary) + 1
    return -(counts / counts.sum())[val_ids[1:]].log().mean().item()


def wrong_peeks(train_ids, val_ids, vocabulary):
    return bigram_loss(val_ids, val_ids, vocabulary)


def wrong_counts_both(train_ids, val_ids, vocabulary):
    counts = _table(train_ids, vocabulary) + _table(val_ids, vocabulary) + 1
    return _loss(rows(counts), val_ids)


def wrong_measures_on_train(train_ids, val_ids, vocabulary):
    return bigram_loss(train_ids, train_ids, vocabulary)


def wrong_bits(train_ids, val_ids, vocabulary):
    return bigram_loss(train_ids, val_ids, vocabulary) / math.log(2)


def wrong_perplexity(train_ids, val_ids, vocabulary):
    return math.exp(bigram_loss(train_ids, val_ids, vocabulary))


def wrong_turned(train_ids, val_ids, vocabulary):
    counts = _table(train_ids, vocabulary) + 1
    return _loss(rows(counts).T, val_ids)


def wrong_columns(train_ids, val_ids, vocabulary):
    counts = _table(train_ids, vocabulary) + 1
    return _loss(counts / counts.sum(0, keepdim=True), val_ids)


def wrong_axis_dropped(train_ids, val_ids, vocabulary):
    counts = _table(train_ids, vocabulary) + 1
    return _loss(counts / counts.sum(1), val_ids)


def wrong_whole_table(train_ids, val_ids, vocabulary):
    counts = _table(train_ids, vocabulary) + 1
    return _loss(counts / counts.sum(), val_ids)


def wrong_total(train_ids, val_ids, vocabulary):
    return bigram_loss(train_ids, val_ids, vocabulary) * (len(val_ids) - 1)


def wrong_mean_over_ids(train_ids, val_ids, vocabulary):
    return wrong_total(train_ids, val_ids, vocabulary) / len(val_ids)


def wrong_sign(train_ids, val_ids, vocabulary):
    return -bigram_loss(train_ids, val_ids, vocabulary)


def wrong_repeats_lost(train_ids, val_ids, vocabulary):
    counts = torch.ones(vocabulary, vocabulary)
    counts[train_ids[:-1], train_ids[1:]] += 1
    return _loss(rows(counts), val_ids)


def wrong_tensor_keys(train_ids, val_ids, vocabulary):
    pairs, firsts = Counter(zip(train_ids, train_ids[1:])), Counter(train_ids[:-1])
    steps = list(zip(val_ids, val_ids[1:]))
    p = [(pairs[a, b] + 1) / (firsts[a] + vocabulary) for a, b in steps]
    return -sum(math.log(one) for one in p) / len(p)


def wrong_own_vocabulary(train_ids, val_ids, vocabulary):
    ids, val = train_ids.tolist(), val_ids.tolist()
    pairs, firsts = Counter(zip(ids, ids[1:])), Counter(ids[:-1])
    p = [(pairs[s] + 1) / (firsts[s[0]] + len(firsts)) for s in zip(val, val[1:])]
    return -sum(math.log(one) for one in p) / len(p)


def wrong_dictionary(train_ids, val_ids, vocabulary):
    ids, val = train_ids.tolist(), val_ids.tolist()
    pairs, firsts = dict(Counter(zip(ids, ids[1:]))), Counter(ids[:-1])
    p = [(pairs[s] + 1) / (firsts[s[0]] + vocabulary) for s in zip(val, val[1:])]
    return -sum(math.log(one) for one in p) / len(p)


def wrong_largest_id(train_ids, val_ids, vocabulary):
    size = int(train_ids.max()) + 1
    return bigram_loss(train_ids, val_ids, size)


def wrong_tensor(train_ids, val_ids, vocabulary):
    return torch.tensor(bigram_loss(train_ids, val_ids, vocabulary))


BIGRAM_LOSS = Exercise(
    id="08.bigram_loss",
    title="a rival that only counts",
    minutes=15,
    rule=(
        "`train_ids` and `val_ids` are vectors of ids from 0 to `vocabulary` − 1. "
        "Count in `train_ids` how often each id is followed by each, and add one to "
        "every count, also where the count is 0. p(next | this) is the count of the "
        "pair, divided by the sum over all `vocabulary` ids that may follow this one. "
        "Return a `float`: the mean of −ln p(next | this) over all pairs of "
        "neighbours in `val_ids`, in nats."
    ),
    reference=bigram_loss,
    checks=(
        Check(
            name="the mean over pairs",
            points=2,
            proves="measures pairs of one text by the counts of another",
            hint="With a loop: `for a, b in zip(ids, ids[1:])`, after `.tolist()`. "
            "Without: `a * vocabulary + b` is one number for each pair, and "
            "`torch.bincount` counts numbers.",
            run=means_over_pairs,
        ),
        Check(
            name="pairs never seen",
            points=1,
            proves="stays finite on pairs that it never saw",
            hint="A table that starts with ones has added one everywhere.",
            run=never_infinite,
        ),
        Check(
            name="ids never seen",
            points=1,
            proves="gives every id of the vocabulary its share",
            hint="After an id that was never seen, every count is 1. How many are "
            "there?",
            run=counts_ids_that_never_come,
        ),
    ),
    wrong=(
        Wrong("no add-one", wrong_no_add_one, "Add one to every count"),
        Wrong("skips unseen pairs", wrong_skips_unseen, "are left out"),
        Wrong("ones for zeros", wrong_ones_for_zeros, "only where the count is 0"),
        Wrong(
            "the sum without ones", wrong_sum_without_ones, "the sum that divides grows"
        ),
        Wrong("unigram", wrong_unigram, "single ids and not pairs"),
        Wrong("peeks", wrong_peeks, "it peeks"),
        Wrong("counts both", wrong_counts_both, "it peeks"),
        Wrong("measures on train_ids", wrong_measures_on_train, "measure on val_ids"),
        Wrong("bits", wrong_bits, "in bits"),
        Wrong("perplexity", wrong_perplexity, "It is the perplexity"),
        Wrong("the table turned", wrong_turned, "the wrong way round"),
        Wrong("columns", wrong_columns, "dim=1"),
        Wrong("an axis dropped", wrong_axis_dropped, "keepdim=True"),
        Wrong("the whole table", wrong_whole_table, "the chance of a pair"),
        Wrong("the sum", wrong_total, "take the mean"),
        Wrong("the mean over ids", wrong_mean_over_ids, "one pair fewer"),
        Wrong("minus the loss", wrong_sign, "minus the loss"),
        Wrong("repeats lost", wrong_repeats_lost, "forgets repeats"),
        Wrong("tensors as keys", wrong_tensor_keys, "Are tensors the keys"),
        Wrong("a vocabulary of its own", wrong_own_vocabulary, "the whole vocabulary"),
        Wrong("the largest id", wrong_largest_id, "no place in its table"),
        Wrong("a dictionary", wrong_dictionary, "stops it with KeyError"),
        Wrong("a tensor", wrong_tensor, "It gives a tensor"),
    ),
)

EXERCISES = (CUT, ADAMW, RATE_AT, OVERFIT, BIGRAM_LOSS)
