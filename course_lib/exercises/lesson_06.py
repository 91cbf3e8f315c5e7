"""Exercises of lesson 06: where the weights are, and how many fit a budget."""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache

import torch

from course_lib import gpt, sizing
from course_lib.exercises.compare import difference, shown
from course_lib.exercises.form import agrees, instead, mistakes, whole
from course_lib.exercises.kinds import Check, Exercise, Mistake, Wrong
from course_lib.gpt import GPT2_SMALL, GPT3, GPTConfig
from course_lib.sizing import eight_rows, memory


def small_config(generator: torch.Generator) -> GPTConfig:
    """A small GPT whose numbers are far enough apart to tell mistakes by their sums.

    No two of layers, heads and head size are equal, none is the 4 of the MLP (or the 3 of
    query, key and value), and vocabulary, context and channels lie in ranges of their own.
    """
    order = torch.randperm(4, generator=generator).tolist()
    layers, heads, head_size = ((5, 6, 7, 8)[i] for i in order[:3])
    vocabulary, context = whole(generator, 300, 400), whole(generator, 100, 200)
    return GPTConfig(vocabulary, context, layers, heads * head_size, heads)


def weights_one_by_one(config: GPTConfig) -> Iterator[tuple[str, int]]:
    """All that a GPT's weights are in, its heads apart: a kind, and how many weights."""
    c, d, v = config.channels, config.head_size, config.vocabulary
    yield from (("embedding", v * c), ("positions", config.context * c))
    for _ in range(config.layers):
        for _ in range(config.heads):
            for kind in ("query", "key", "value", "output"):
                yield kind, d * c
            yield from (("biases", d),) * 3  # of query, key and value
        yield from (("up", 4 * c * c), ("down", c * 4 * c))
        yield from (("biases", c), ("biases", 4 * c), ("biases", c))  # output, up, down
        yield from (("norms", c),) * 4  # two norms, each a weight and a bias
    yield from (("norms", c), ("norms", c), ("unembedding", v * c))


@cache
def counted(config: GPTConfig) -> dict[str, int]:
    """The weights of each kind."""
    rows = Counter()
    for kind, weights in weights_one_by_one(config):
        rows[kind] += weights
    return dict(rows)


def rows_one_by_one(config: GPTConfig) -> dict[str, int]:
    return {kind: counted(config)[kind] for kind in sizing.KINDS}


def left_out_one_by_one(config: GPTConfig) -> dict[str, int]:
    return {kind: counted(config)[kind] for kind in ("positions", "biases", "norms")}


@cache
def every_weight(config: GPTConfig, tied: bool = True) -> int:
    """All weights; of a small GPT those of a real model, where a shared tensor comes once.

    No model is built on the "meta" device, whose first use alone takes seconds.
    """
    if config.channels > 100:
        return sum(counted(config).values()) - tied * counted(config)["unembedding"]
    with torch.random.fork_rng(devices=[]):  # else the learner's own chance moves on
        return sum(weight.numel() for weight in gpt.GPT(config, tied).parameters())


def rows_of(answer: Callable, config: GPTConfig, right: dict) -> dict:
    """What an answer gives; raises Mistake unless it is a dict of the right names."""
    value = answer(config)
    value = dict(value) if isinstance(value, dict) else value
    if isinstance(value, dict) and right.keys() - value.keys() == {"unembedding"}:
        raise Mistake(f"There is no unembedding. {COUNT_IT}")
    if not isinstance(value, dict) or value.keys() != right.keys():
        how = difference(value, right, 0)
        raise Mistake(f"{answer.__name__}({config}) is not what it should be: {how}.")
    return value


def each(*kinds: str, oracle: Callable, wrong: tuple[Wrong, ...]) -> Callable:
    """Make a check of some kinds of a dict, which tells the mistake of each by itself."""

    def cases(generator):
        return [(small_config(generator),), (GPT2_SMALL,), (GPT3,)]

    def number(kind):
        shows = f"{{}}[{kind!r}]"
        return agrees(oracle, cases, wrong, 0, lambda rows: rows.get(kind), shows=shows)

    checks = {kind: number(kind) for kind in kinds}

    def run(answer, generator):
        rows_of(answer, GPT2_SMALL, oracle(GPT2_SMALL))
        for kind, check in checks.items():
            try:
                check(answer, generator)
            except Mistake as mistake:
                words = str(mistake)
                raise Mistake(words if "(" in words else f"{kind}: {words}") from None

    return run


# 06.eight_rows --------------------------------------------------------------------------

COUNT_IT = "Count it even if it is the embedding used twice: these are eight rows."
ONE_LAYER = "That is one layer; every layer has its own."
SHARED_OUT = "A head's matrix has D rows or columns, not C: the heads share out C."
NO_MATRIX = "Biases are no matrices; leave them out here."
HEADS, MLP, UNEMBEDDING = "layers * c * c", "layers * 4 * c * c", '"unembedding": v * c'
ENDS = {
    "config.context * c": "You took the context for the vocabulary.",
    "(v + config.context) * c": "Positions are not among the eight rows.",
    "layers * v * c": "It stands once in a model, not in every layer.",
    "v": "Each token has a vector of C numbers.",
    "2 * v * c": "Embedding and unembedding each have a row of their own.",
}

EIGHT_ROWS_MISTAKES = mistakes(
    sizing.eight_rows,
    ("one layer", ONE_LAYER, (HEADS, "c * c"), (MLP, "4 * c * c")),
    *instead(HEADS, {
        "layers * config.head_size * c":
            "That is one head of each layer; every head has its own.",
        "config.head_size * c": "That is one head of one layer; count all heads and layers.",
        "layers * config.heads * c * c": SHARED_OUT,
        "config.heads * c * c": f"{SHARED_OUT} And every layer has its own.",
        "layers * (c * c + c)": NO_MATRIX,
    }),
    *instead(MLP, {
        "layers * c * c": "The MLP works in 4C channels; where is the 4?",
        "c * c": "Where is the 4, and where are the layers?",
        "layers * 16 * c * c": "Only one side of the matrix is 4C.",
        "layers * config.heads * 4 * c * c": "Up and down have no heads; a layer has one each.",
        "layers * 8 * c * c": "That is up and down together; each has its own row.",
        "layers * (4 * c * c + (4 * c if kind == 'up' else c))": NO_MATRIX,
    }),
    *(row for new, words in ENDS.items() for row in instead(
        UNEMBEDDING, {f'"embedding": {new}, "unembedding": {new}': words})),
    ("an unembedding of 0", COUNT_IT, (UNEMBEDDING, '"unembedding": 0')),
    ("no unembedding", COUNT_IT, (f", {UNEMBEDDING}", "")),
)  # fmt: skip


def eight_kinds(eight_rows, generator):
    """Names and types; whether the numbers are right is for the other checks."""
    config = small_config(generator)
    right = rows_one_by_one(config)
    for kind, number in rows_of(eight_rows, config, right).items():
        if type(number) is not int:
            how = difference(number, right[kind], 0)
            raise Mistake(f"{kind} of {config} is {shown(number)}: {how}.")


def some_rows(*kinds: str) -> Callable:
    return each(*kinds, oracle=rows_one_by_one, wrong=EIGHT_ROWS_MISTAKES)


EIGHT_ROWS = Exercise(
    id="06.eight_rows",
    title="fill in the eight rows",
    minutes=12,
    rule=(
        "Count the weights of the eight kinds of matrices in the whole model, without "
        "biases. Return a `dict` from the name of each kind to an `int`, in any order:\n\n"
        "- `embedding` and `unembedding`: V × C, once in the model. Both count.\n"
        "- `query`, `key` and `value`: D × C, for each head of each layer.\n"
        "- `output`: C × D, for each head of each layer.\n"
        "- `up`: 4C × C, and `down`: C × 4C. Each layer has one, whatever its heads.\n\n"
        "V, L, C, H and D are `config.vocabulary`, `.layers`, `.channels`, `.heads` and "
        "`.head_size`."
    ),
    reference=sizing.eight_rows,
    checks=(
        Check(
            "eight kinds", 1, "gives a whole number for each of the eight kinds",
            '`{"embedding": …, "key": …}` with all eight names; multiplying whole '
            "numbers gives a whole number, `/` never does.",
            eight_kinds,
        ),
        Check(
            "attention", 2, "counts every head of every layer",
            "One query matrix has D · C weights. How many query matrices are there in "
            "a layer, and in the model?",
            some_rows("query", "key", "value", "output"),
        ),
        Check(
            "up and down", 1, "counts an up and a down of 4C · C in every layer",
            "Up leads from C channels to 4C, and down back. Heads play no part.",
            some_rows("up", "down"),
        ),
        Check(
            "embedding and unembedding", 1,
            "counts C numbers for each token of the vocabulary, twice",
            "One vector of C numbers for each token of the vocabulary, into the model "
            "and out of it.",
            some_rows("embedding", "unembedding"),
        ),
    ),
    wrong=EIGHT_ROWS_MISTAKES,
)  # fmt: skip


# 06.matrices ----------------------------------------------------------------------------

MISSING = "A matrix is missing in every layer: the output, or one of up and down, which are two."

MATRICES_MISTAKES = mistakes(
    sizing.matrices,
    *instead("config.heads if output_per_head else 1", {
        "config.heads": "The output counts once for each head only with output_per_head=True.",
        "1": "It ignores output_per_head: with True the output counts once for each head.",
    }),
    ("the wrong default",
     "Without a second argument the output counts once a layer: output_per_head=False.",
     ("output_per_head: bool = False", "output_per_head: bool = True")),
    *instead("return 2 + config.layers * (", {
        "return config.layers * (": "Where are the embedding and the unembedding?",
        "return 1 + config.layers * (": "The embedding and the unembedding are two.",
        "return config.layers * (2 + ":
            "The embedding and the unembedding stand once in a model, not in every layer.",
        "return 2 + (": "That is one layer; there are more.",
    }),
    *instead("3 * config.heads + outputs + 2)", {
        "3 * config.heads + outputs)": "Where are up and down?",
        "3 * config.heads + outputs + 1)": MISSING,
        "3 * config.heads + 2)": MISSING,
        "3 * config.heads + outputs) + 2":
            "Up and down stand in every layer: multiply them by the layers too.",
        "3 * config.heads + outputs + 2 * config.heads)":
            "Up and down have no heads: once a layer.",
        "3 + outputs + 2)":
            "Query, key and value stand once for each head, not once a layer.",
        "config.heads + outputs + 2)": "Query, key and value are three for each head.",
    }),
)  # fmt: skip


def count_matrices(config: GPTConfig, output_per_head: bool = False) -> int:
    kinds = Counter(
        kind for kind, _ in weights_one_by_one(config) if kind in sizing.KINDS
    )
    return kinds.total() - (0 if output_per_head else kinds["output"] - config.layers)


def once(generator):
    small, other = small_config(generator), small_config(generator)
    return [(small,), (other, False), (GPT2_SMALL,), (GPT2_SMALL, False)]


def for_each_head(generator):
    return [(small_config(generator), True), (GPT2_SMALL, True)]


MATRICES = Exercise(
    id="06.matrices",
    title="27,938 matrices, or 37,058?",
    minutes=8,
    rule=(
        "In how many matrices are those weights, when each head has its own? Return an "
        "`int`:\n\n"
        "- The embedding and the unembedding are one matrix each.\n"
        "- Each head of a layer has a query, a key and a value matrix.\n"
        "- Each layer has one up and one down.\n"
        "- Each layer has one output matrix or, with `output_per_head=True`, one for each "
        "head.\n\n"
        "GPT-3 must come to 27,938 the first way and to 37,058 the second."
    ),
    reference=sizing.matrices,
    checks=(
        Check(
            "output once a layer", 2, "counts each head's three matrices, and one output a layer",
            "Write down one layer of two heads first: three and three, one output, up "
            "and down.",
            agrees(count_matrices, once, MATRICES_MISTAKES, 0),
        ),
        Check(
            "output once for each head", 1, "cuts the output into heads when asked",
            "How many output matrices has a layer when `output_per_head` is True, and "
            "how many when it isn't?",
            agrees(count_matrices, for_each_head, MATRICES_MISTAKES, 0),
        ),
        Check(
            "GPT-3 both ways", 1, "finds both of GPT-3's numbers",
            "96 layers, 96 heads: (27,938 − 2) / 96 is 291. What are the 291?",
            agrees(count_matrices, lambda _: [(GPT3,), (GPT3, True)], MATRICES_MISTAKES, 0),
        ),
    ),
    wrong=MATRICES_MISTAKES,
    keywords=("output_per_head",),
)  # fmt: skip


# 06.left_out ----------------------------------------------------------------------------

BIASES, NORMS = "layers * (c + c + c + c + 4 * c + c)", "(2 * layers + 1) * 2 * c"

LEFT_OUT_MISTAKES = mistakes(
    sizing.left_out,
    *instead('"positions": config.context * c', {
        '"positions": layers * config.context * c':
            "Positions come in once, before the first layer.",
        '"positions": config.vocabulary * c': "You took the vocabulary for the context.",
        '"positions": config.context': "Each position has a vector of C numbers.",
        '"positions": c': "Each position of the context has a vector of its own.",
    }),
    ("one layer", ONE_LAYER, (BIASES, "9 * c"), (NORMS, "6 * c")),
    *instead(BIASES, {
        "layers * 6 * c":
            "That is 6C a layer. Up's bias has 4C numbers: it is added to up's result. Query, "
            "key, value, output and down have one of C each.",
        "layers * 12 * c": "Down's bias has C numbers: it is added to down's result.",
        "layers * 8 * c": "One of C is missing: query, key, value, output and down.",
        "layers * 3 * c":
            "Query, key and value are not all: output, up and down have one too.",
        "layers * 4 * c": "Where are the biases of up and down?",
        "layers * 5 * c": "Where are the biases of query, key, value and output?",
        "layers * (3 * config.heads + 6) * c":
            "A head's bias has D numbers, not C: the heads share out C.",
        "layers * (3 * config.head_size + 6 * c)":
            "That is the bias of one head; all heads together have C numbers.",
        "(layers * 9 + 2 * layers + 1) * c": "The norms' biases count under norms.",
        f"{BIASES} + config.vocabulary": "The unembedding has no bias.",
        "layers * 6": "A bias is a vector, one number for each number of the result.",
    }),
    *instead(NORMS, {
        "(2 * layers + 1) * c": "A norm has a weight and a bias, C numbers each.",
        "(layers + 1) * 2 * c": "A layer has two norms, before attention and before the MLP.",
        "2 * layers * 2 * c": "There is one more at the end, after the last layer.",
        "(2 * layers + 2) * 2 * c": "There is only one outside the layers, at the end.",
        "3 * layers * 2 * c": "The last norm stands once in the model, not in every layer.",
        "(2 * layers + 1) * 2": "A weight and a bias are C numbers each, not one.",
    }),
)  # fmt: skip


def left_out_kind(kind: str) -> Callable:
    return each(kind, oracle=left_out_one_by_one, wrong=LEFT_OUT_MISTAKES)


LEFT_OUT = Exercise(
    id="06.left_out",
    title="what the table leaves out",
    minutes=12,
    rule=(
        "Count the parameters that are not in the eight rows. Return a `dict` from three "
        "names to an `int`:\n\n"
        "- `positions`: a vector of C numbers for each position of `config.context`, once in "
        "the model.\n"
        "- `biases`: in every layer, C numbers each for query, key, value, output and down "
        "(all heads together), and 4C for up. The unembedding has none.\n"
        "- `norms`: two a layer and one at the end, each with a weight and a bias of C "
        "numbers. These biases count here, not above."
    ),
    reference=sizing.left_out,
    checks=(
        Check(
            "positions", 1, "counts a vector for each position",
            "The positions are a table like the embedding, with a row for each place "
            "in the context. It is added once, at the start.",
            left_out_kind("positions"),
        ),
        Check(
            "biases", 2, "counts the six biases of each layer",
            "Add up one layer first: five of C and one of 4C.",
            left_out_kind("biases"),
        ),
        Check(
            "norms", 1, "counts two norms a layer and one at the end, each twice C",
            "How many norms has a model of one layer? Three. And of two layers?",
            left_out_kind("norms"),
        ),
    ),
    wrong=LEFT_OUT_MISTAKES,
)  # fmt: skip


# 06.total -------------------------------------------------------------------------------

BOTH_COUNT = "Untied, the unembedding has weights of its own: both count. Only if tied does one come off."

TOTAL_MISTAKES = mistakes(
    sizing.total,
    *instead('every - tied * eight_rows(config)["unembedding"]', {
        "every": "It ignores tied: the shared matrix counts once.",
        'every - eight_rows(config)["unembedding"]': BOTH_COUNT,
        'every - (not tied) * eight_rows(config)["unembedding"]': BOTH_COUNT,
        'every - tied * 2 * eight_rows(config)["unembedding"]':
            "It takes off both, embedding and unembedding; one of them stays.",
        'every - tied * left_out(config)["positions"]':
            "Take off the unembedding, not the positions.",
        "every - tied * config.channels":
            "The shared matrix has C numbers for each token: take off V · C, not C.",
        "every - tied * config.vocabulary":
            "The shared matrix has C numbers for each token: take off V · C, not V.",
        'every + (not tied) * eight_rows(config)["unembedding"]':
            "Untied, nothing is added: both are among the eight rows already.",
        'every + tied * eight_rows(config)["unembedding"]':
            "Tied, the one matrix counts once: take one of the two off, and add none.",
    }),
    ("untied by default", "Without a second argument it counts as tied: tied=True.",
     ("tied: bool = True", "tied: bool = False")),
    *instead("sum(eight_rows(config).values()) + sum(left_out(config).values())", {
        "sum(eight_rows(config).values())":
            "Where are the positions, biases and norms of left_out?",
        "sum(left_out(config).values()) + tied * eight_rows(config)['unembedding']":
            "Where are the eight rows?",
    }),
)  # fmt: skip


def untied(generator):
    return [(small_config(generator), False), (GPT3, False)]


def tied_either_way(generator):
    return [(small_config(generator), True), (small_config(generator),)]


def gpt2_sizes(generator):
    return [(GPT2_SMALL,), (gpt.GPT2_MEDIUM,), (gpt.GPT2_LARGE,), (gpt.GPT2_XL,)]


TOTAL = Exercise(
    id="06.total",
    title="every parameter there is",
    minutes=6,
    rule=(
        "Add up what you have: all of `eight_rows(config)` and all of `left_out(config)`. "
        "If `tied`, the unembedding is the embedding used a second time, so this one matrix "
        "counts once; if not, both count. Return an `int`; tied, `GPT2_SMALL` must come to "
        "124,439,808."
    ),
    reference=sizing.total,
    checks=(
        Check(
            "untied", 1, "counts as many weights as a real model's tensors hold",
            "`sum(eight_rows(config).values())` adds up one of the two.",
            agrees(every_weight, untied, TOTAL_MISTAKES, 0),
        ),
        Check(
            "tied", 1, "counts a shared matrix once",
            "Two of the eight rows are one matrix if `tied`. Take off one of the two.",
            agrees(every_weight, tied_either_way, TOTAL_MISTAKES, 0),
        ),
        Check(
            "GPT-2's four sizes", 1, "finds the size of all four GPT-2 models",
            "GPT-2 is tied. 124 million, 355 million, 774 million, 1.56 billion.",
            agrees(every_weight, gpt2_sizes, TOTAL_MISTAKES, 0),
        ),
    ),
    wrong=TOTAL_MISTAKES,
    keywords=("tied",),
)  # fmt: skip


# 06.largest -----------------------------------------------------------------------------

BYTES_OF = {"float32": 4, "bf16": 2, "int8": 1, "int4": 0.5}
SAID = {4: "4 bytes", 2: "2 bytes", 1: "1 byte", 0.5: "half a byte"}
ROWS = "sum(eight_rows(config).values())"
GIGABYTES = "The budget is in bytes, not in gigabytes."
NOTHING = "A weight in int4 takes half a byte; with yours it takes none: int(0.5) and 1 // 2 are 0."


def of_bytes(format: str, other: float) -> str:
    """The bytes that are needed, where a weight of this format takes others than its own."""
    factor = other / BYTES_OF[format]
    return f"memory({ROWS}, format) * ({factor} if format == {format!r} else 1)"


LARGEST_MISTAKES = mistakes(
    sizing.largest,
    *instead("return 64 * low", {
        "return 64 * (low + 1)": "One step too many: these no longer fit. Give the last that do.",
        "return max(0, 64 * (low - 1))": "One step too few: the next still fit.",
        "return max(64, 64 * low)": "Not even 64 channels fit: that gives 0.",
        "return low": "These are steps; a step is 64 channels.",
    }),
    *instead("<= budget", {
        "< budget":
            "These channels take exactly the budget, and exactly at the budget fits: is it < "
            "where <= belongs?",
        "<= budget + 1": "One byte more than the budget no longer fits: the budget is the most.",
        "<= budget * 1e9": GIGABYTES,
    }),
    *instead(ROWS, {
        f"({ROWS} + sum(left_out(config).values()))":
            "It counts more than the eight rows: no positions, biases or norms here.",
        "12 * layers * (64 * steps) ** 2": "The embedding and the unembedding take memory too.",
        f"({ROWS} - vocabulary * 64 * steps)":
            "The embedding and the unembedding both count: two of the eight rows.",
    }),
    *instead("GPTConfig(vocabulary, 1, layers, ", {
        "GPTConfig(vocabulary, 1, 12, ": "It ignores the number of layers.",
        "GPTConfig(50_257, 1, layers, ": "It ignores the vocabulary.",
    }),
    ("no steps", "These are the most channels that fit, but not a multiple of 64.",
     ("64 * steps", "steps"), ("return 64 * low", "return low")),
    ("no bytes at all", NOTHING, ("while fits(high)", "while high < 512 and fits(high)"),
     (f"memory({ROWS}, format)", of_bytes("int4", 0))),
    *instead(f"memory({ROWS}, format)", {
        of_bytes(format, other): f"A weight in {format} takes {SAID[own]}, not {SAID[other]}."
        for format, own in BYTES_OF.items() for other in SAID if other != own
    }),
    ("bits", "The budget is in bytes, and so is what a weight takes: bits play no part.",
     ("<= budget", "<= budget / 8")),
)  # fmt: skip


def largest_plainly(
    budget: float, format: str = "bf16", layers: int = 12, vocabulary: int = 50_257
) -> int:
    """The most channels, in steps of 64, whose eight rows fit a budget in bytes."""
    channels = 0
    while True:
        config = GPTConfig(vocabulary, 1, layers, channels + 64, 1)
        if memory(sum(eight_rows(config).values()), format) > budget:
            return channels
        channels += 64


def size(channels: int, format: str, layers: int, vocabulary: int) -> float:
    """The bytes that the eight rows take, matrix by matrix."""
    config = GPTConfig(vocabulary, 1, layers, channels, 1)
    return sum(rows_one_by_one(config).values()) * BYTES_OF[format]


def most(budget, format="bf16", layers=12, vocabulary=50_257) -> int:
    """The most channels that fit, counting up."""
    channels = 0
    while size(channels + 64, format, layers, vocabulary) <= budget:
        channels += 64
    return channels


def problem(generator: torch.Generator, format: str, share: float = 0.5) -> tuple:
    """A budget between two steps, for a GPT whose two embeddings weigh a good part."""
    layers, vocabulary = whole(generator, 2, 6), whole(generator, 150_000, 200_000)
    channels = 64 * whole(generator, 30, 60)
    low, high = (size(c, format, layers, vocabulary) for c in (channels, channels + 64))
    return int(low + share * (high - low)), format, layers, vocabulary


def some_budgets(generator):
    return [*(problem(generator, "bf16") for _ in range(3)), (24e9,), (8e9, "bf16", 32)]


def to_the_byte(generator):
    budget, *rest = problem(generator, "bf16", 0)
    return [(budget + more, *rest) for more in (0, -1, 1)]


def of_format(format: str) -> Callable:
    return lambda generator: [problem(generator, format) for _ in range(2)]


def hardly_any(generator):
    layers, vocabulary = whole(generator, 2, 6), whole(generator, 1_000, 2_000)
    smallest = int(size(64, "bf16", layers, vocabulary))
    budgets = (smallest - 1, whole(generator, 1, smallest // 2), 0, smallest)
    return [(budget, "bf16", layers, vocabulary) for budget in budgets]


def bounded(format: str, words: str) -> Callable:
    """Make a check that a byte does not hold many channels.

    It comes first: with budgets of gigabytes, a loop that counts up hardly ends.
    """

    def run(largest, generator):
        value = largest(1, format, 100, 100)
        if type(value) is int and value > 64:
            raise Mistake(f"largest(1, {format!r}, 100, 100) gives {value}. {words}")

    return run


def in_turn(*checks: Callable) -> Callable:
    def run(answer, generator):
        for check in checks:
            check(answer, generator)

    return run


def largest_agrees(cases: Callable) -> Callable:
    return agrees(most, cases, LARGEST_MISTAKES, 0)


LARGEST = Exercise(
    id="06.largest",
    title="the largest GPT for your memory",
    minutes=15,
    rule=(
        "`budget` is a memory in bytes. How wide a GPT fits in it? Add up the `eight_rows` of "
        "`GPTConfig(vocabulary, 1, layers, channels, 1)` (the two 1s are context and heads, "
        "which change none of the rows); `memory(weights, format)` tells the bytes: 4 a "
        'weight in `"float32"`, 2 in `"bf16"`, 1 in `"int8"`, half a byte in `"int4"`. '
        "Return the most channels that fit, an `int` and a multiple of 64. Exactly at the "
        "budget fits. If not even 64 channels fit, return 0."
    ),
    reference=sizing.largest,
    plain=largest_plainly,
    checks=(
        Check(
            "as many as fit", 2, "finds the most channels that fit, in steps of 64",
            "Count up in steps of 64 for as long as the next step still fits. Work in "
            "bytes, and count all eight rows.",
            in_turn(bounded("bf16", GIGABYTES), largest_agrees(some_budgets)),
        ),
        Check(
            "exactly the budget", 1, "takes a model that fits to the last byte",
            "Is it `<` or `<=`?",
            largest_agrees(to_the_byte),
        ),
        Check(
            "every format", 1, "knows the bytes of every format",
            "int4 is 0.5 bytes a weight. If your loop never ends, look for an "
            "`int(…)` or a `//` that makes 0 of it.",
            in_turn(
                *(largest_agrees(of_format(f)) for f in ("float32", "bf16", "int8")),
                bounded("int4", NOTHING),
                largest_agrees(of_format("int4")),
            ),
        ),
        Check(
            "nothing fits", 1, "gives 0 when nothing fits",
            "What does your function return if the first step is too large?",
            largest_agrees(hardly_any),
        ),
    ),
    wrong=LARGEST_MISTAKES,
    keywords=("layers",),
)  # fmt: skip

EXERCISES = (EIGHT_ROWS, MATRICES, LEFT_OUT, TOTAL, LARGEST)
