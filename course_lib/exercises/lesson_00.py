"""Exercises of lesson 00: choosing a token, measuring a text, writing a script."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from course_lib import sampling
from course_lib.exercises.compare import a, difference, shown
from course_lib.exercises.form import (
    agrees,
    mistakes,
    pick,
    tenths,
    typed,
    whole,
)
from course_lib.exercises.kinds import Check, Exercise, Mistake
from course_lib.exercises.wants import want_type

DRAWS, FEW = 2_000, 100

# 00.sample --------------------------------------------------------------------------

CHOICE = "int(torch.searchsorted(ends, point, right=True).clamp(max=len(ends) - 1))"
CHANCE = "torch.rand(1, generator=generator)"
UNSUMMED, WHOLE = ("probabilities.cumsum(0)", "probabilities"), (" * ends[-1]", "")
EQUALLY = (
    "It draws all tokens about equally often: it ignores the probabilities, or takes a "
    "softmax of them, which has been done already."
)
SORTED = "It gives a token's place in the sorted list, not its id: sorting loses ids."
OWN_CHANCE = (
    "The same seed drew different ids. Take every random number from the generator: "
    "torch.rand(1, generator=generator)."
)
NO_SUM = (
    "It compares the random number with single probabilities. Add them up one by one, and "
    "take the first sum that is above the number."
)
GREEDY = "It gives the most likely token every time; that is greedy."
SAME = (
    "It gives the same token in all draws from one generator. Leave the generator's seed "
    "alone, and take a new random number in each call."
)
AN_ID = "An id is a whole number, an int: int(…) makes one."


TOO_FAR = (
    "It draws the token after the right one: off by one. The first sum above the random "
    "number belongs to the token itself, and ids count from 0."
)


def first(condition: str, other: str = "None") -> tuple[str, str]:
    """The edit that takes the first token that meets a condition."""
    return CHOICE, f"next((i for i, end in enumerate(ends) if {condition}), {other})"


SAMPLE_MISTAKES = mistakes(
    sampling.sample,
    ("greedy", GREEDY, (CHOICE, "int(probabilities.argmax())")),
    ("uniform", EQUALLY, (CHOICE, "int(point * len(ends))")),
    ("softmax again", EQUALLY, ("probabilities.", "probabilities.softmax(0).")),
    ("chance of its own", OWN_CHANCE, ("generator=generator", "generator=None")),
    ("place in the sorted list", SORTED,
     ("probabilities.", "probabilities.sort(descending=True).values.")),
    ("place from the smallest", SORTED, ("probabilities.", "probabilities.sort().values.")),
    ("one too far", TOO_FAR, (CHOICE, f"{CHOICE} + 1")),
    ("one too far, but the last", TOO_FAR, (CHOICE, f"min({CHOICE} + 1, len(ends) - 1)")),
    ("one too early",
     "It draws the token before the right one: off by one. The first sum above the random "
     "number belongs to the token.",
     (CHOICE, f"{CHOICE} - 1")),
    ("no sum", NO_SUM, UNSUMMED, WHOLE, first("end > point")),
    ("no sum, and else the last", NO_SUM,
     UNSUMMED, WHOLE, first("end > point", "len(ends) - 1")),
    ("the wrong way round",
     "It takes the first sum that is below the random number; take the first that is above.",
     first("end < point")),
    ("new chance for each token",
     "It takes a new random number for each token that it looks at. Take one, and compare "
     "it with all sums.",
     first(f"{CHANCE} < end")),
    ("the largest product",
     "The likely tokens come too often, the others too seldom. Are the probabilities "
     "multiplied, by chance or by themselves? Take one random number, and see whose piece of "
     "the ruler it hits.",
     (CHOICE, "int((probabilities * torch.rand(len(ends), generator=generator)).argmax())")),
    ("a seed in each call", SAME,
     (CHANCE, "torch.rand(1, generator=generator.manual_seed(0))")),
    ("a tensor", AN_ID, (CHOICE, CHOICE.removeprefix("int"))),
)  # fmt: skip


def drawn(sample: Callable, p: torch.Tensor, source: torch.Generator, count: int):
    """How often each id came up; what is no whole number counts as its words."""
    ids = (sample(p.clone(), source) for _ in range(count))
    return Counter(id if type(id) in (int, type(None)) else str(id) for id in ids)


def near(ours: Counter, theirs: Counter) -> bool:
    """Whether two counts may come of one chance: five standard deviations for each id."""
    n, m = ours.total(), theirs.total()
    pairs = [(ours[id] / n, theirs[id] / m) for id in {*ours, *theirs}]
    return all(
        abs(a - b) <= 5 * ((a + b) / 2 * (1 - (a + b) / 2) * (1 / n + 1 / m)) ** 0.5
        for a, b in pairs
    )


def follows_probabilities(sample, generator):
    shares = [0.4, 0.25, 0.15, 0.1, 0.06, 0.04]
    p = torch.tensor(shares)[torch.randperm(6, generator=generator)]
    call, value = f"sample({shown(p)}, generator)", sample(p.clone(), generator)
    if type(value) not in (int, type(None)):
        raise Mistake(f"{call} gives {shown(value)}, {a(type(value))}. {AN_ID}")
    counts = drawn(sample, p, generator, DRAWS)
    right = Counter({i: round(1e9 * share) for i, share in enumerate(p.tolist())})
    if near(counts, right) and counts.keys() <= right.keys():
        return
    varies(sample, list(counts), generator)
    came = {id: counts[id] for id in [*right, *(counts.keys() - right.keys())]}
    about = {id: round(DRAWS * share) for id, share in enumerate(p.tolist())}
    other = f"How often each id came in {DRAWS} calls of {call}: {came}, and about {about} is right."

    def does_the_same(mistake):  # a few draws rule most of them out
        tried = (drawn(mistake.answer, p, generator, count) for count in (FEW, DRAWS))
        return all(near(some, counts) for some in tried)

    raise Mistake(next((m.words for m in SAMPLE_MISTAKES if does_the_same(m)), other))


def varies(sample: Callable, ids: list, generator: torch.Generator) -> None:
    """Demand different ids. (No one point hits the largest piece of all three rulers.)"""
    if len(set(ids)) == 1 and type(ids[0]) is int:
        rulers = (torch.eye(3) + 30) / 91
        greedy = [sample(p, generator) for p in rulers] == [0, 1, 2]
        raise Mistake(GREEDY if greedy else SAME)


def generator_decides(sample, generator):
    p, seed = torch.tensor([0.4, 0.1, 0.2, 0.3]), whole(generator, 0, 1_000_000)
    sources = (torch.Generator().manual_seed(seed) for _ in range(2))
    one, again = ([sample(p.clone(), s) for _ in range(40)] for s in sources)
    if one != again:
        raise Mistake(OWN_CHANCE)
    varies(sample, one, generator)


def impossible_never_drawn(sample, generator):
    p = torch.zeros(7)
    p[torch.randperm(5, generator=generator)[:2] + 1] = torch.tensor([0.3, 0.7])
    for id in drawn(sample, p, generator, FEW):
        if id not in p.nonzero().flatten().tolist():
            raise Mistake(
                f"sample({shown(p)}, generator) gave {id}, and may give only a token whose "
                "probability is above 0. Is it off by one at the end of a piece?"
            )


def sample_plainly(probabilities: torch.Tensor, generator: torch.Generator) -> int:
    point, end = float(torch.rand(1, generator=generator)), 0.0
    for id, p in enumerate(probabilities.tolist()):
        end += p  # where this token's piece of the ruler ends
        if point < end:
            return id
    return int(probabilities.argmax())  # rounded, the sum can miss 1 by a little


SAMPLE = Exercise(
    id="00.sample",
    title="draw a token",
    minutes=10,
    rule=(
        "Draw one id at random. If you draw many times, each id should come as often as its "
        "probability says: an id with probability 0.2 in about 2 of 10 draws. `generator` is "
        "a source of chance: started from the same number, its *seed*, it gives the same "
        "numbers again. Take every random number from it (`torch.rand(1, "
        "generator=generator)` gives one between 0 and 1). Return an `int`. "
        "`torch.multinomial` would do it in one line; try with the ruler first."
    ),
    reference=sampling.sample,
    plain=sample_plainly,
    checks=(
        Check(
            "draws follow the probabilities", 2,
            "draws each token as often as its probability says",
            "Add the probabilities up one by one (`cumsum`). The first sum that is "
            "above your random number belongs to the token you want.",
            follows_probabilities,
        ),
        Check(
            "the generator decides", 1, "draws the same ids from the same seed",
            "Is there a random number that does not come from `generator`?",
            generator_decides,
        ),
        Check(
            "the impossible never happens", 1, "never draws a token of probability 0",
            "What if the first token has probability 0 and the random number is 0?",
            impossible_never_drawn,
        ),
    ),
    wrong=SAMPLE_MISTAKES,
)  # fmt: skip


# 00.distinct ------------------------------------------------------------------------

RUN, STARTS = "tuple(ids[i : i + n])", "range(len(ids) - n + 1)"
SHARE = "len(set(runs)) / len(runs)"
OVERLAP = "The runs overlap: one starts at every token, not every n."
ORDER = "Order counts, and so does a token that comes twice: (5, 6) and (6, 5) are two runs."
DIVISOR = (
    "Divide by the number of runs, which is not the number of ids: len(ids) - n + 1."
)

DISTINCT_MISTAKES = mistakes(
    sampling.distinct,
    ("single tokens", "It counts single tokens; count runs of n tokens.",
     (RUN, "ids[i]"), (STARTS, "range(len(ids))")),
    ("runs that do not overlap", OVERLAP, (STARTS, "range(0, len(ids), n)")),
    ("whole runs that do not overlap", OVERLAP, (STARTS, "range(0, len(ids) - n + 1, n)")),
    ("runs that come once",
     "It counts only the runs that come once. A run that comes twice is one different run "
     "too.",
     (SHARE, "sum(runs.count(run) == 1 for run in runs) / len(runs)")),
    ("the last run is missing", "The last run is missing: it starts at len(ids) - n.",
     (" + 1", "")),
    ("parts of runs",
     "Near the end it takes runs shorter than n. The last run starts at len(ids) - n.",
     (STARTS, "range(len(ids))")),
    ("by ids", DIVISOR, (SHARE, "len(set(runs)) / len(ids)")),
    ("by one too few", DIVISOR, (SHARE, "len(set(runs)) / (len(ids) - n)")),
    ("not divided",
     "That is the number of different runs; divide it by the number of all runs.",
     (SHARE, "len(set(runs))")),
    ("upside down", "That is upside down: all runs divided by the different ones.",
     (SHARE, "len(runs) / len(set(runs))")),
    ("the share that repeats",
     "That is the share of runs that have come before. Take the share of different runs: "
     "it is what is missing to 1.",
     (SHARE, f"1 - {SHARE}")),
    ("lists in a set", "A set takes tuples and no lists: tuple(ids[i : i + n]) is a run.",
     (RUN, "ids[i : i + n]")),
    ("sets of tokens", ORDER, (RUN, "frozenset(ids[i : i + n])")),
    ("sorted runs", ORDER, (RUN, "tuple(sorted(ids[i : i + n]))")),
    ("joined digits",
     "Written one after the other, (1, 11) and (11, 1) are both 111. Compare tuples of ids, "
     "not their digits.",
     (RUN, '"".join(map(str, ids[i : i + n]))')),
    ("one longer", "Its runs are n + 1 tokens long: ids[i : i + n] ends before place i + n.",
     (RUN, "tuple(ids[i : i + n + 1])"), (STARTS, "range(len(ids) - n)")),
    ("always three", "It ignores n, and takes runs of three.",
     (RUN, "tuple(ids[i : i + 3])"), (STARTS, "range(len(ids) - 2)")),
    ("always two", "It ignores n, and takes runs of two.",
     (RUN, "tuple(ids[i : i + 2])"), (STARTS, "range(len(ids) - 1)")),
    ("no short texts", "A text shorter than n divides by zero; give 1.0 for it.",
     (" if runs else 1.0", "")),
    ("0 for short texts", "A text too short for a run counts as 1.0, not as 0.",
     ("else 1.0", "else 0.0")),
)  # fmt: skip


def numpy_distinct(ids: list[int], n: int = 3) -> float:
    if len(ids) < n:
        return 1.0
    runs = np.lib.stride_tricks.sliding_window_view(np.array(ids), n)
    return len(np.unique(runs, axis=0)) / len(runs)


def some_runs(generator):
    """Ids whose digits run together, and what the lesson calls: n left out."""
    texts = [[pick(generator, (1, 11, 111, 2)) for _ in range(14)] for _ in range(4)]
    chosen = [([5, 6, 5, 6], 2), ([1, 4, 2, 3], 2), ([5, 6, 5, 6],), (texts[0],)]
    return chosen + [(text, n) for n, text in zip((1, 2, 3, 4), texts)]


def loops(generator):
    lap = torch.randperm(50, generator=generator)[:5].tolist()
    return [(lap * 2,), (lap * 4, 3), (lap * 20, 3), (lap * 20,), (list(range(40)), 3)]


def short_texts(generator):
    ids = torch.randperm(90, generator=generator).tolist()
    return [(ids[:length], 3) for length in (3, 2, 1, 0)] + [(ids[:3], 4), (ids[:1],)]


DISTINCT = Exercise(
    id="00.distinct",
    title="measure repetition",
    minutes=8,
    rule=(
        "A run is `n` tokens in a row. Divide the number of different runs by the number "
        "of all runs. `[5, 6, 5, 6]` has three runs of two, (5, 6), (6, 5), (5, 6), and "
        "two of them are different: 2/3. Return a `float`; a text too short for a run "
        "counts as 1.0."
    ),
    reference=sampling.distinct,
    checks=(
        Check(
            "counts different runs", 2, "counts each different run of n tokens once",
            "`tuple(ids[i : i + n])` is a run, and a `set` keeps one of each.",
            agrees(numpy_distinct, some_runs, DISTINCT_MISTAKES),
        ),
        Check(
            "a loop scores low", 1,
            "tells a text that goes round in circles from one that doesn't",
            "A text that repeats itself has few different runs among many.",
            agrees(numpy_distinct, loops, DISTINCT_MISTAKES),
        ),
        Check(
            "short texts", 1, "takes a text that is shorter than n",
            "How many runs of three are there in a text of one token?",
            agrees(numpy_distinct, short_texts, DISTINCT_MISTAKES),
        ),
    ),
    wrong=DISTINCT_MISTAKES,
)  # fmt: skip


# 00.log_probability -----------------------------------------------------------------

ENTRY, STEPS = "log_p[t - 1, ids[t]]", "range(1, len(ids))"
SUM = f"sum(float({ENTRY}) for t in {STEPS})"
TEXT = "torch.tensor([ids], device=devices.where(model))"
OFF_BY_ONE = (
    "It asks position t for token t. Off by one: position t predicts token t + 1."
)
MEAN = "This is the mean; the whole text's is the sum."
PRODUCT = (
    "On 600 tokens the product of all probabilities rounds to zero, which has no logarithm. "
    "Add logarithms, never multiply."
)
FACTORS = f"torch.tensor([float({ENTRY}) for t in {STEPS}]).double().exp()"

LOG_PROBABILITY_MISTAKES = mistakes(
    sampling.log_probability,
    ("the probability itself", "This is the probability; return its logarithm.",
     (SUM, f"math.exp({SUM})")),
    ("log of a product", PRODUCT, (SUM, f"float({FACTORS}.prod().log())")),
    ("math.log of a product", PRODUCT, (SUM, f"math.log({FACTORS}.prod())")),
    ("token t from position t", OFF_BY_ONE, ("t - 1", "t"), (STEPS, "range(len(ids))")),
    ("token t from position t, from 1", OFF_BY_ONE, ("t - 1", "t")),
    ("token t from position t, but the last", OFF_BY_ONE, ("ids[t]", "ids[t - 1]")),
    ("logits", "It adds logits; log_softmax turns them into log probabilities.",
     ("torch.log_softmax(logits[0].float(), dim=-1)", "logits[0]")),
    ("probabilities", "It adds probabilities; log_softmax gives their logarithms.",
     ("torch.log_softmax", "torch.softmax")),
    ("along the text",
     "log_softmax goes along the positions. The vocabulary is the last axis: dim=-1.",
     ("dim=-1", "dim=0")),
    ("along the texts",
     "log_softmax of logits (1, T, V) along the first axis gives zeros: there is one text. "
     "The vocabulary is the last axis: dim=-1.",
     ("logits[0].float(), dim=-1)", "logits, dim=0)[0]")),
    ("the mean", MEAN, (SUM, f"{SUM} / max(1, len(ids) - 1)")),
    ("the mean over all ids", MEAN, (SUM, f"{SUM} / len(ids)")),
    ("the loss", "This is minus the logarithm, the loss of later lessons: take the sum as "
     "it is, below 0.",
     (SUM, f"-{SUM}")),
    ("one token at a time",
     "It shows the model one token at a time. Each prediction reads all the tokens before "
     "it: give the model the whole text.",
     (ENTRY, "model(torch.tensor([[ids[t - 1]]]))[0, 0].log_softmax(-1)[ids[t]]")),
    ("the first token too",
     "It counts the first token too, which nothing predicted (row -1 is the last row). "
     "Begin with the second.",
     (STEPS, "range(len(ids))")),
    ("the last token is missing", "The last token is left out: row T - 2 predicts it.",
     (STEPS, "range(1, len(ids) - 1)")),
    ("every row with every id",
     "That takes every row with every id, (T - 1) · (T - 1) numbers. Take one id a row: a "
     "loop over t, or log_p[torch.arange(T - 1), ids[1:]].",
     (SUM, "float(log_p[:-1, ids[1:]].sum())")),
    ("the likeliest tokens",
     "It adds the log p of the likeliest token at each place. Take that of the token that "
     "stands in the text, ids[t].",
     (ENTRY, "log_p[t - 1].max()")),
    ("past the end",
     "The last row predicts a token that the text has no more. Row t goes with ids[t + 1], "
     "for t from 0 to T - 2.",
     (ENTRY, "log_p[t, ids[t + 1]]"), (STEPS, "range(len(ids))")),
    ("a tensor", "It returns a tensor; turn the sum into a number with float(…).",
     (f"float({ENTRY})", ENTRY)),
    ("a list for a tensor", "The model takes a tensor and no list: torch.tensor([ids]).",
     (TEXT, "[ids]")),
    ("no batch",
     "The model takes several texts at once, (B, T): one text is torch.tensor([ids]), with "
     "a second pair of brackets.",
     (TEXT, "torch.tensor(ids)")),
    ("all texts", "The logits are (1, T, V): [0] takes the one text, and rows come after.",
     ("logits[0]", "logits")),
)  # fmt: skip


def some_model(generator: torch.Generator, most: float = 3.0) -> Callable:
    """A model, ids (1, T) → logits (1, T, 3), that can be typed: it reads all tokens."""
    rows = shown(tenths(generator, 3, 3, most=most))
    return typed(f"lambda ids: torch.tensor({rows})[ids.cumsum(1) % 3]")


def torch_log_probability(model: Callable, ids: list[int]) -> float:
    row = torch.tensor(ids)
    loss = F.cross_entropy(model(row[None])[0, :-1], row[1:], reduction="sum")
    return -float(loss) if len(ids) > 1 else 0.0


def terms(inputs: tuple, value: float, right: float) -> str:
    """What the sum is made of, if the sums have no simple relation."""
    model, ids = inputs
    if difference(value, right) or len(ids) > 9:
        return ""
    each = [torch_log_probability(model, ids[: t + 1]) for t in range(len(ids))]
    steps = [shown(end - start) for start, end in zip(each, each[1:])]
    return f"the log p of each token but the first are {', '.join(steps)}"


def number(value: Any) -> Any:
    """The sum of nothing is a whole 0: as good as 0.0."""
    return float(value) if type(value) is int else value


def sums(*lengths: int, most: float = 3.0, words: str = "") -> Callable:
    """Make a check: random texts of some lengths, and mistakes, or only those of some words."""
    wrong = [one for one in LOG_PROBABILITY_MISTAKES if words in ("", one.words)]

    def texts(generator):
        return [
            (
                some_model(generator, most),
                [whole(generator, 0, 2) for _ in range(length)],
            )
            for length in lengths
        ]

    return agrees(torch_log_probability, texts, wrong, look=number, why=terms)


LOG_PROBABILITY = Exercise(
    id="00.log_probability",
    title="how likely is a whole sentence?",
    minutes=15,
    rule=(
        "Add up log p(token | all tokens before it) over every token but the first. "
        "`model(torch.tensor([ids], device=devices.where(model)))` gives logits of shape "
        "(1, T, V), one text, T positions, V tokens: row `t` holds the logits of the "
        "token *after* position `t`. `torch.log_softmax(…, dim=-1)` turns logits into "
        "logarithms of probabilities. Return a `float`."
    ),
    reference=sampling.log_probability,
    checks=(
        Check(
            "sums log probabilities", 2,
            "adds log p of each token given those before it",
            "Token `ids[t]` is predicted by row `t - 1`. With the text in front, "
            "`log_p[0, t - 1, ids[t]]` is its log p.",
            sums(2, 3, 5, 9),
        ),
        Check(
            "one token", 1, "says 0 where nothing was predicted",
            "How many predictions are there in a text of one token?",
            sums(1),
        ),
        Check(
            "long texts", 1, "survives 600 tokens",
            "0.1 multiplied by itself 400 times is 0 to a computer.",
            sums(6, 600, most=9.0, words=PRODUCT),
        ),
    ),
    wrong=LOG_PROBABILITY_MISTAKES,
)  # fmt: skip


# 00.pirate_script -------------------------------------------------------------------


def pirate_script(question: str) -> str:
    """A script in which a pirate is about to answer a question."""
    return (
        "The following is a conversation between a User and an old Pirate, who answers "
        "every question in pirate talk, with Arr, matey and aye.\n\n"
        f"User: {question}\nPirate: Arr,"
    )


NAME = r"\nPirate: Arr,"


def is_turn(text: str) -> bool:
    """Whether the end is a chat template's line that opens the assistant's turn."""
    return text.endswith("assistant\n")


# A fault: its name, its sentence, whether a script has it (asked of the script, the
# question, and what follows it), and edits that bring it about.
QUESTION_FAULTS = (
    ("the question is missing",
     'The question is not in the script, letter for letter. Did you forget the f in f"…"?',
     lambda text, question, rest: question not in text,
     ('f"User', '"User')),
    ("the question twice", "The question stands in the script more than once.",
     lambda text, question, rest: text.count(question) > 1,
     ("User: {question}", "User: {question} {question}")),
)  # fmt: skip
ENDING_FAULTS = (
    ("ends with the question",
     "The script ends with the question, so the model goes on asking. End it with the next "
     "speaker's name and a colon.",
     lambda text, question, rest: not rest.strip(),
     (NAME, "")),
    ("a space at the end",
     "It ends in white space. Tokens carry the space in front of them, so a space at the "
     "end leaves the model with a beginning it has seldom seen.",
     lambda text, question, rest: text != text.rstrip() and not is_turn(text),
     (NAME, NAME + " ")),
    ("the user's turn",
     "It ends with the user's name: the model will ask, not answer.",
     lambda text, question, rest: rest.lower().endswith("user:"),
     (NAME, r"\nUser:")),
    ("no colon", "After the question, name the one who answers, with a colon.",
     lambda text, question, rest: ":" not in rest and not is_turn(text),
     (NAME, r"\nPirate")),
    ("writes the answer",
     "After the question stand more than eight words. You have written the answer yourself; "
     "leave it to the model.",
     lambda text, question, rest: len(rest.split()) > 8,
     (NAME, NAME + " matey, that be a fine thing to ask an old sailor like me.")),
)  # fmt: skip
SCENE_FAULTS = (
    ("no scene",
     "Nothing before the question speaks of a pirate. The model only knows what the script "
     "tells it: set the scene first.",
     lambda text, question, rest: "pirate" not in text.removesuffix(rest).lower(),
     ("an old Pirate", "a Sailor"), ("pirate talk", "sailor talk")),
)  # fmt: skip


def lacks(*faults: tuple) -> Callable:
    """Make a check: a script for any question has none of some faults."""

    def run(script, generator):
        for thing in ("a kraken", "the moon's ropes {old}"):
            question = f"Tell me {whole(generator, 100, 999)} things about {thing}?"
            text = script(question)
            want_type(text, str, f"pirate_script({question!r})")
            rest = text.partition(question)[2] if question in text else text
            for _, words, has, *_ in faults:
                if has(text, question, rest):
                    raise Mistake(words)

    return run


PIRATE = Exercise(
    id="00.pirate_script",
    title="make the script answer as a pirate",
    minutes=10,
    rule=(
        "Write a function that turns a question into a script which the model is likely to "
        "finish as a pirate. Say “pirate” before the question, and put the question in "
        "once. End the script with the speaker's name and a colon, for example `Pirate:`. "
        "After the colon you may add a few first words of the answer, for example ` Arr,`: "
        "after the question no more than eight words in all. The last character must not "
        "be a space. Then run the cell below the check."
    ),
    reference=pirate_script,
    checks=(
        Check(
            "asks the question", 1, "puts any question into the script, once",
            '`f"User: {question}"` puts the question in.',
            lacks(*QUESTION_FAULTS),
        ),
        Check(
            "leaves the answer open", 1, "stops where the pirate begins to speak",
            "The last characters decide who speaks. End in a name and a colon, with "
            "no space after.",
            lacks(*ENDING_FAULTS),
        ),
        Check(
            "sets the scene", 1, "tells the model that a pirate is speaking",
            "What would you write above a scene in a play?",
            lacks(*SCENE_FAULTS),
        ),
    ),
    wrong=mistakes(
        pirate_script,
        *(
            (name, words, *edits)
            for name, words, _, *edits in QUESTION_FAULTS + ENDING_FAULTS + SCENE_FAULTS
        ),
    ),
)  # fmt: skip

EXERCISES = (SAMPLE, DISTINCT, LOG_PROBABILITY, PIRATE)
