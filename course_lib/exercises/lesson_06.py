"""Exercises of lesson 06: where the weights are, and how many fit a budget."""

from collections import Counter
from collections.abc import Callable, Iterator

import torch

from course_lib import sizing
from course_lib.exercises.legacy import (
    Check,
    Exercise,
    Mistake,
    Wrong,
    want_equal,
    want_type,
    whole,
)
from course_lib.gpt import (
    GPT,
    GPT2_LARGE,
    GPT2_MEDIUM,
    GPT2_SMALL,
    GPT2_XL,
    GPT3,
    GPTConfig,
)


def small_config(generator: torch.Generator) -> GPTConfig:
    """A small GPT whose numbers are far enough apart to tell mistakes by their sums.

    No two of layers, heads and head size are equal, none is the 4 of the MLP (or the 3 of
    query, key and value), and vocabulary, context and channels lie in ranges of their own.
    """
    order = torch.randperm(4, generator=generator).tolist()
    layers, heads, head_size = ((5, 6, 7, 8)[i] for i in order[:3])
    vocabulary, context = whole(generator, 300, 400), whole(generator, 100, 200)
    return GPTConfig(vocabulary, context, layers, heads * head_size, heads)


def matrices_one_by_one(config: GPTConfig) -> Iterator[tuple[str, int, int]]:
    """Every matrix of a GPT whose heads have their own: kind, rows, columns."""
    c, d, v = config.channels, config.head_size, config.vocabulary
    yield "embedding", v, c
    for _ in range(config.layers):
        for _ in range(config.heads):
            yield "query", d, c
            yield "key", d, c
            yield "value", d, c
            yield "output", c, d
        yield "up", 4 * c, c
        yield "down", c, 4 * c
    yield "unembedding", v, c


def rows_one_by_one(config: GPTConfig) -> Counter:
    """The weights of each kind, matrix by matrix."""
    rows = Counter()
    for kind, height, width in matrices_one_by_one(config):
        rows[kind] += height * width
    return rows


def small_model(config: GPTConfig, tied: bool = True) -> GPT:
    """A real model to count on; torch's own chance is left as it was.

    Not on the "meta" device, whose first use alone takes longer than a check should.
    """
    with torch.random.fork_rng(devices=[]):
        return GPT(config, tied)


def want_whole(value, what: str) -> None:
    """Demand an int, and say where a float may come from."""
    if type(value) is float:
        raise Mistake(
            f"{what} is a float, {value}; it should be an int. Multiplying whole numbers "
            "gives a whole number; if you must divide, divide with //."
        )
    want_type(value, int, what)


def want_count(value, wanted: int, what: str, likely: dict[str, int]) -> None:
    """Demand this whole number; `likely` maps the words for a mistake to its number."""
    want_whole(value, what)
    if value == wanted:
        return
    words = [f" {words}" for words, mistaken in likely.items() if value == mistaken]
    raise Mistake(
        f"{what} is {value:,}; it should be {wanted:,}.{words[0] if words else ''}"
    )


def want_kinds(value, kinds: tuple[str, ...], what: str) -> None:
    """Demand a dict with these keys, and no others."""
    want_type(value, dict, what)
    strange = [key for key in value if type(key) is not str or key not in kinds]
    if strange:
        raise Mistake(
            f"{what} has the key {strange[0]!r}; the keys are {', '.join(kinds)}."
        )
    missing = [kind for kind in kinds if kind not in value]
    if missing == ["unembedding"]:
        raise Mistake(
            f"{what} has no unembedding. Count it even if it is the embedding used twice: "
            "these are eight rows."
        )
    if missing:
        raise Mistake(f"{what} has no key {missing[0]!r}.")


# 06.eight_rows ----------------------------------------------------------------------


def eight_kinds(eight_rows, generator):
    config = small_config(generator)
    value = eight_rows(config)
    want_kinds(value, sizing.KINDS, "eight_rows(config)")
    for kind in sizing.KINDS:
        what = f"{kind} of {config}"
        if type(value[kind]) is tuple:
            raise Mistake(
                f"{what} is a tuple, {value[kind]}: a shape? Multiply its numbers."
            )
        want_whole(value[kind], what)


def rows_for(eight_rows, generator, preset):
    """Two configs, with the rows that the answer gives and the right ones."""
    for config in (small_config(generator), preset):
        value = eight_rows(config)
        want_kinds(value, sizing.KINDS, f"eight_rows({config})")
        yield config, value, rows_one_by_one(config)


def attention_rows(eight_rows, generator):
    for config, value, right in rows_for(eight_rows, generator, GPT3):
        c, d, layers = config.channels, config.head_size, config.layers
        on_top = "A head's matrix has D rows or columns, not C: the heads share out C."
        likely = {
            "That is one layer; every layer has its own.": c * c,
            "That is one head of each layer; every head has its own.": layers * d * c,
            "That is one head of one layer; count all heads and layers.": d * c,
            on_top: layers * config.heads * c * c,
            f"{on_top} And every layer has its own.": config.heads * c * c,
            "Biases are no matrices; leave them out here.": layers * (c * c + c),
        }
        for kind in ("query", "key", "value", "output"):
            want_count(value[kind], right[kind], f"{kind} of {config}", likely)


def mlp_rows(eight_rows, generator):
    for config, value, right in rows_for(eight_rows, generator, GPT2_SMALL):
        c, layers, heads = config.channels, config.layers, config.heads
        likely = {
            "The MLP works in 4C channels; where is the 4?": layers * c * c,
            "That is one layer; every layer has its own.": 4 * c * c,
            "Where is the 4, and where are the layers?": c * c,
            "Only one side of the matrix is 4C.": 16 * layers * c * c,
            "Up and down have no heads; a layer has one each.": (
                4 * layers * heads * c * c
            ),
            "That is up and down together; each has its own row.": 8 * layers * c * c,
        }
        bias = "Biases are no matrices; leave them out here."
        for kind, width in (("up", 4 * c), ("down", c)):
            also = {**likely, bias: layers * (4 * c * c + width)}
            want_count(value[kind], right[kind], f"{kind} of {config}", also)


def vocabulary_rows(eight_rows, generator):
    for config, value, right in rows_for(eight_rows, generator, GPT2_SMALL):
        c, v, t = config.channels, config.vocabulary, config.context
        likely = {
            "You took the context for the vocabulary.": t * c,
            "Positions are not among the eight rows.": (v + t) * c,
            "It stands once in a model, not in every layer.": config.layers * v * c,
            "Each token has a vector of C numbers.": v,
        }
        tied = "Count it even if it is the embedding used twice: these are eight rows."
        want_count(
            value["embedding"], right["embedding"], f"embedding of {config}", likely
        )
        what, likely = f"unembedding of {config}", {**likely, tied: 0}
        want_count(value["unembedding"], right["unembedding"], what, likely)


def _rows(config, attention, mlp, words, unwords=None):
    """Eight rows out of one number for each sort of matrix."""
    attention_kinds = dict.fromkeys(("key", "query", "value", "output"), attention)
    ends = {"embedding": words, "unembedding": words if unwords is None else unwords}
    return {**attention_kinds, "up": mlp, "down": mlp, **ends}


def _right_rows(config):
    c, layers = config.channels, config.layers
    return layers * c * c, 4 * layers * c * c, config.vocabulary * c


def wrong_one_layer(config):
    c = config.channels
    return _rows(config, c * c, 4 * c * c, config.vocabulary * c)


def wrong_one_head(config):
    _, mlp, words = _right_rows(config)
    return _rows(config, config.layers * config.head_size * config.channels, mlp, words)


def wrong_heads_on_top(config):
    attention, mlp, words = _right_rows(config)
    return _rows(config, attention * config.heads, mlp, words)


def wrong_no_four(config):
    attention, mlp, words = _right_rows(config)
    return _rows(config, attention, mlp // 4, words)


def wrong_unembedding_zero(config):
    return _rows(config, *_right_rows(config), 0)


def wrong_no_unembedding(config):
    rows = _rows(config, *_right_rows(config))
    del rows["unembedding"]
    return rows


def wrong_context(config):
    attention, mlp, _ = _right_rows(config)
    return _rows(config, attention, mlp, config.context * config.channels)


def wrong_float_rows(config):
    c, h = config.channels, config.heads
    _, mlp, words = _right_rows(config)
    return _rows(config, config.layers * h * (c / h) * c, mlp, words)


def wrong_biases_too(config):
    c = config.channels
    attention, mlp, words = _right_rows(config)
    return _rows(config, attention + config.layers * c, mlp, words)


EIGHT_ROWS = Exercise(
    id="06.eight_rows",
    title="fill in the eight rows",
    minutes=12,
    rule=(
        "Count the weights of the eight kinds of matrices in the whole model, without "
        "biases. In every layer each of the H heads has a query, a key and a value matrix "
        "of D × C and an output matrix of C × D; beside the heads, a layer has one up "
        "matrix of 4C × C and one down of C × 4C. The embedding and the unembedding are "
        "V × C, once each, and both count. "
        "Return a `dict`, in any order, from `embedding`, `key`, `query`, `value`, "
        "`output`, `up`, `down` and `unembedding` to an `int`; you find V, L, C, H and D "
        "in `config.vocabulary`, `.layers`, `.channels`, `.heads` and `.head_size`."
    ),
    reference=sizing.eight_rows,
    checks=(
        Check(
            name="eight kinds",
            points=1,
            proves="gives a whole number for each of the eight kinds",
            hint='`{"embedding": …, "key": …}` with all eight names; multiplying whole '
            "numbers gives a whole number, `/` never does.",
            run=eight_kinds,
        ),
        Check(
            name="attention",
            points=2,
            proves="counts every head of every layer",
            hint="One query matrix has D · C weights. How many query matrices are there in "
            "a layer, and in the model?",
            run=attention_rows,
        ),
        Check(
            name="up and down",
            points=1,
            proves="counts an up and a down of 4C · C in every layer",
            hint="Up leads from C channels to 4C, and down back. Heads play no part.",
            run=mlp_rows,
        ),
        Check(
            name="embedding and unembedding",
            points=1,
            proves="counts C numbers for each token of the vocabulary, twice",
            hint="One vector of C numbers for each token of the vocabulary, into the model "
            "and out of it.",
            run=vocabulary_rows,
        ),
    ),
    wrong=(
        Wrong("one layer", wrong_one_layer, "That is one layer"),
        Wrong("one head", wrong_one_head, "one head of each layer"),
        Wrong("heads on top of C", wrong_heads_on_top, "the heads share out C"),
        Wrong("no 4", wrong_no_four, "where is the 4?"),
        Wrong("an unembedding of 0", wrong_unembedding_zero, "embedding used twice"),
        Wrong("no unembedding", wrong_no_unembedding, "has no unembedding"),
        Wrong("context for vocabulary", wrong_context, "took the context"),
        Wrong("a float", wrong_float_rows, "divide with //"),
        Wrong("biases too", wrong_biases_too, "Biases are no matrices"),
    ),
)


# 06.matrices ------------------------------------------------------------------------


def likely_counts(config: GPTConfig, outputs: int) -> dict[str, int]:
    """Mistaken counts of matrices, where a layer has so many output matrices."""
    layers, heads = config.layers, config.heads
    layer = 3 * heads + outputs + 2
    return {
        "Where are the embedding and the unembedding?": layers * layer,
        "The embedding and the unembedding are two.": 1 + layers * layer,
        "Where are up and down?": 2 + layers * (layer - 2),
        "Up and down are two.": 2 + layers * (layer - 1),
        "Where is the output?": 2 + layers * (layer - outputs),
        "Query, key and value stand once for each head, not once a layer.": (
            2 + layers * (3 + outputs + 2)
        ),
        "Query, key and value are three for each head.": (
            2 + layers * (heads + outputs + 2)
        ),
        "Up and down have no heads: once a layer.": (
            2 + layers * (layer + 2 * heads - 2)
        ),
        "The embedding and the unembedding stand once in a model, not in every layer.": (
            layers * (layer + 2)
        ),
        "That is one layer; there are more.": 2 + layer,
    }


def output_once(matrices, generator):
    for config in (small_config(generator), small_config(generator), GPT2_SMALL):
        kinds = Counter(kind for kind, *_ in matrices_one_by_one(config))
        each = kinds.total()
        once = each - kinds["output"] + config.layers
        likely = {
            "The output counts once for each head only with output_per_head=True.": each,
            **likely_counts(config, 1),
        }
        want_count(matrices(config), once, f"matrices({config})", likely)
        want_count(matrices(config, False), once, f"matrices({config}, False)", likely)


def output_per_head(matrices, generator):
    for config in (small_config(generator), small_config(generator), GPT2_SMALL):
        kinds = Counter(kind for kind, *_ in matrices_one_by_one(config))
        each = kinds.total()
        likely = {
            "It ignores output_per_head: with True the output counts once for each "
            "head.": each - kinds["output"] + config.layers,
            **likely_counts(config, config.heads),
        }
        want_count(matrices(config, True), each, f"matrices({config}, True)", likely)


def gpt3_both_ways(matrices, generator):
    first, second = likely_counts(GPT3, 1), likely_counts(GPT3, GPT3.heads)
    want_count(matrices(GPT3), 27_938, "matrices(GPT3)", first)
    want_count(matrices(GPT3, True), 37_058, "matrices(GPT3, True)", second)


def wrong_no_ends(config, output_per_head=False):
    return sizing.matrices(config, output_per_head) - 2


def wrong_no_mlp(config, output_per_head=False):
    return sizing.matrices(config, output_per_head) - 2 * config.layers


def wrong_always_per_head(config, output_per_head=False):
    return 2 + config.layers * (4 * config.heads + 2)


def wrong_never_per_head(config, output_per_head=False):
    return 2 + config.layers * (3 * config.heads + 3)


def wrong_shared_heads(config, output_per_head=False):
    outputs = config.heads if output_per_head else 1
    return 2 + config.layers * (3 + outputs + 2)


def wrong_ends_in_layers(config, output_per_head=False):
    outputs = config.heads if output_per_head else 1
    return config.layers * (2 + 3 * config.heads + outputs + 2)


def wrong_float_matrices(config, output_per_head=False):
    size = config.channels / config.head_size
    outputs = size if output_per_head else 1
    return 2 + config.layers * (3 * size + outputs + 2)


MATRICES = Exercise(
    id="06.matrices",
    title="27,938 matrices, or 37,058?",
    minutes=8,
    rule=(
        "In how many matrices are those weights, when each head has its own? The embedding "
        "and the unembedding stand once each; a layer has a query, a key and a value matrix "
        "for each head, and one up and one down. Its output matrix counts once a layer or, "
        "with `output_per_head=True`, once for each head. Return an `int`; GPT-3 must come "
        "to 27,938 the first way and to 37,058 the second."
    ),
    reference=sizing.matrices,
    checks=(
        Check(
            name="output once a layer",
            points=2,
            proves="counts each head's three matrices, and one output a layer",
            hint="Write down one layer of two heads first: three and three, one output, up "
            "and down.",
            run=output_once,
        ),
        Check(
            name="output once for each head",
            points=1,
            proves="cuts the output into heads when asked",
            hint="How many output matrices has a layer when `output_per_head` is True, and "
            "how many when it isn't?",
            run=output_per_head,
        ),
        Check(
            name="GPT-3 both ways",
            points=1,
            proves="finds both of GPT-3's numbers",
            hint="96 layers, 96 heads: (27,938 − 2) / 96 is 291. What are the 291?",
            run=gpt3_both_ways,
        ),
    ),
    wrong=(
        Wrong("no embedding", wrong_no_ends, "Where are the embedding and"),
        Wrong("no up and down", wrong_no_mlp, "Where are up and down?"),
        Wrong("always per head", wrong_always_per_head, "only with output_per_head"),
        Wrong("never per head", wrong_never_per_head, "ignores output_per_head"),
        Wrong("one query a layer", wrong_shared_heads, "not once a layer"),
        Wrong("embeddings in layers", wrong_ends_in_layers, "not in every layer"),
        Wrong("a float", wrong_float_matrices, "divide with //"),
    ),
)


# 06.left_out ------------------------------------------------------------------------

LEFT_OUT_KINDS = ("positions", "biases", "norms")
LEFT_OUT_OF_GPT2 = {"positions": 786_432, "biases": 82_944, "norms": 38_400}


def left_out_of_model(config: GPTConfig) -> Counter:
    """The same three counts, on a real model's own tensors."""
    counted = Counter()
    for name, weight in small_model(config).named_parameters():
        if name == "position.weight":
            counted["positions"] += weight.numel()
        elif "norm" in name:
            counted["norms"] += weight.numel()
        elif name.endswith("bias"):
            counted["biases"] += weight.numel()
    return counted


def left_out_for(left_out, generator):
    """Configs, with what the answer gives and what a real model's tensors hold."""
    small = small_config(generator)
    for config, right in (
        (small, left_out_of_model(small)),
        (GPT2_SMALL, LEFT_OUT_OF_GPT2),
    ):
        value = left_out(config)
        want_kinds(value, LEFT_OUT_KINDS, f"left_out({config})")
        yield config, value, right


def a_vector_a_position(left_out, generator):
    for config, value, right in left_out_for(left_out, generator):
        c, t = config.channels, config.context
        likely = {
            "Positions come in once, before the first layer.": config.layers * t * c,
            "You took the vocabulary for the context.": config.vocabulary * c,
            "Each position has a vector of C numbers.": t,
            "Each position of the context has a vector of its own.": c,
        }
        want_count(
            value["positions"], right["positions"], f"positions of {config}", likely
        )


def a_bias_a_matrix(left_out, generator):
    for config, value, right in left_out_for(left_out, generator):
        c, layers = config.channels, config.layers
        likely = {
            "Up's bias has 4C numbers: it is added to up's result.": layers * 6 * c,
            "Down's bias has C numbers: it is added to down's result.": layers * 12 * c,
            "One of C is missing: query, key, value, output and down.": layers * 8 * c,
            "Query, key and value are not all: output, up and down have one too.": (
                layers * 3 * c
            ),
            "Where are the biases of up and down?": layers * 4 * c,
            "Where are the biases of query, key, value and output?": layers * 5 * c,
            "That is one layer; every layer has its own.": 9 * c,
            "A head's bias has D numbers, not C: the heads share out C.": (
                layers * (3 * config.heads + 6) * c
            ),
            "The norms' biases count under norms.": (layers * 9 + 2 * layers + 1) * c,
            "The unembedding has no bias.": layers * 9 * c + config.vocabulary,
            "A bias is a vector, one number for each number of the result.": layers * 6,
        }
        want_count(value["biases"], right["biases"], f"biases of {config}", likely)


def two_norms_a_layer(left_out, generator):
    for config, value, right in left_out_for(left_out, generator):
        c, layers = config.channels, config.layers
        likely = {
            "A norm has a weight and a bias, C numbers each.": (2 * layers + 1) * c,
            "A layer has two norms, before attention and before the MLP.": (
                (layers + 1) * 2 * c
            ),
            "There is one more at the end, after the last layer.": 2 * layers * 2 * c,
            "There is only one outside the layers, at the end.": (
                (2 * layers + 2) * 2 * c
            ),
            "That is one layer; every layer has its own.": 6 * c,
            "A weight and a bias are C numbers each, not one.": (2 * layers + 1) * 2,
        }
        want_count(value["norms"], right["norms"], f"norms of {config}", likely)


def _changed(config, **changes):
    return {**sizing.left_out(config), **changes}


def wrong_small_up(config):
    return _changed(config, biases=config.layers * 6 * config.channels)


def wrong_three_biases(config):
    return _changed(config, biases=config.layers * 3 * config.channels)


def wrong_unembedding_bias(config):
    biases = config.layers * 9 * config.channels + config.vocabulary
    return _changed(config, biases=biases)


def wrong_norms_under_biases(config):
    c, layers = config.channels, config.layers
    norms = (2 * layers + 1) * c
    return _changed(config, biases=layers * 9 * c + norms, norms=norms)


def wrong_norm_without_bias(config):
    return _changed(config, norms=(2 * config.layers + 1) * config.channels)


def wrong_one_norm(config):
    return _changed(config, norms=(config.layers + 1) * 2 * config.channels)


def wrong_no_last_norm(config):
    return _changed(config, norms=2 * config.layers * 2 * config.channels)


def wrong_positions_in_layers(config):
    positions = config.layers * config.context * config.channels
    return _changed(config, positions=positions)


def wrong_positions_of_vocabulary(config):
    return _changed(config, positions=config.vocabulary * config.channels)


LEFT_OUT = Exercise(
    id="06.left_out",
    title="what the table leaves out",
    minutes=12,
    rule=(
        "Count the parameters that are not in the eight rows. Positions: a learned vector of C "
        "numbers for each position of `config.context`, once in the model. Biases: in every "
        "layer, query, key, value, output and down have one of C numbers over all heads, "
        "and up has one of 4C; the unembedding has none. Norms: two a layer and one at the "
        "end, each with a weight and a bias of C numbers, which count here and not under "
        "biases. Return a `dict` from `positions`, `biases` and `norms` to an `int`."
    ),
    reference=sizing.left_out,
    checks=(
        Check(
            name="positions",
            points=1,
            proves="counts a vector for each position",
            hint="The positions are a table like the embedding, with a row for each place "
            "in the context. It is added once, at the start.",
            run=a_vector_a_position,
        ),
        Check(
            name="biases",
            points=2,
            proves="counts the six biases of each layer",
            hint="Add up one layer first: five of C and one of 4C.",
            run=a_bias_a_matrix,
        ),
        Check(
            name="norms",
            points=1,
            proves="counts two norms a layer and one at the end, each twice C",
            hint="How many norms has a model of one layer? Three. And of two layers?",
            run=two_norms_a_layer,
        ),
    ),
    wrong=(
        Wrong("up's bias of C", wrong_small_up, "Up's bias has 4C"),
        Wrong("three biases", wrong_three_biases, "output, up and down have one too"),
        Wrong("a bias too many", wrong_unembedding_bias, "The unembedding has no bias"),
        Wrong("norms' biases", wrong_norms_under_biases, "count under norms"),
        Wrong("norms without bias", wrong_norm_without_bias, "a weight and a bias"),
        Wrong("one norm a layer", wrong_one_norm, "A layer has two norms"),
        Wrong("no norm at the end", wrong_no_last_norm, "one more at the end"),
        Wrong("positions in layers", wrong_positions_in_layers, "come in once"),
        Wrong(
            "vocabulary for context", wrong_positions_of_vocabulary, "for the context"
        ),
    ),
)


# 06.total ---------------------------------------------------------------------------

GPT2_SIZES = {
    GPT2_SMALL: 124_439_808,
    GPT2_MEDIUM: 354_823_168,
    GPT2_LARGE: 774_030_080,
    GPT2_XL: 1_557_611_200,
}


def weights_of_model(config: GPTConfig, tied: bool) -> int:
    """Every weight of a real model; a shared tensor comes once."""
    return sum(weight.numel() for weight in small_model(config, tied).parameters())


def likely_totals(config: GPTConfig, tied: bool) -> dict[str, int]:
    """Mistaken totals, when the unembedding is shared or is not."""
    c, v = config.channels, config.vocabulary
    rows = sum(rows_one_by_one(config).values())
    rest = config.context * c + (config.layers * 9 + 4 * config.layers + 2) * c
    every = rows + rest
    end = "Where are the positions, biases and norms of left_out?"
    if tied:
        return {
            "It ignores tied: the shared matrix counts once.": every,
            "It takes off both, embedding and unembedding; one of them stays.": (
                every - 2 * v * c
            ),
            "Take off the unembedding, not the positions.": every - config.context * c,
            end: rows - v * c,
        }
    return {
        "Untied, the unembedding has weights of its own: both count.": every - v * c,
        end: rows,
        "Where are the eight rows?": rest,
    }


def untied_counts_all(total, generator):
    small = small_config(generator)
    for config, right in (
        (small, weights_of_model(small, False)),
        (GPT3, 175_221_817_344),
    ):
        likely = likely_totals(config, False)
        want_count(total(config, False), right, f"total({config}, False)", likely)


def tied_counts_once(total, generator):
    config = small_config(generator)
    right, likely = weights_of_model(config, True), likely_totals(config, True)
    want_count(total(config, True), right, f"total({config}, True)", likely)
    want_count(total(config), right, f"total({config})", likely)


def gpt2_sizes(total, generator):
    for config, right in GPT2_SIZES.items():
        likely = likely_totals(config, True)
        want_count(total(config), right, f"total({config})", likely)


def _every(config):
    rows, rest = sizing.eight_rows(config), sizing.left_out(config)
    return sum(rows.values()) + sum(rest.values())


def wrong_tied_ignored(config, tied=True):
    return _every(config)


def wrong_always_tied(config, tied=True):
    return _every(config) - sizing.eight_rows(config)["unembedding"]


def wrong_tied_takes_both(config, tied=True):
    return _every(config) - tied * 2 * sizing.eight_rows(config)["unembedding"]


def wrong_tied_upside_down(config, tied=True):
    return sizing.total(config, not tied)


def wrong_rows_only(config, tied=True):
    rows = sizing.eight_rows(config)
    return sum(rows.values()) - tied * rows["unembedding"]


def wrong_total_float(config, tied=True):
    return float(sizing.total(config, tied))


def wrong_takes_positions(config, tied=True):
    return _every(config) - tied * sizing.left_out(config)["positions"]


TOTAL = Exercise(
    id="06.total",
    title="every weight there is",
    minutes=6,
    rule=(
        "Count all weights of a GPT: the eight rows, and what they leave out. You may use "
        "`eight_rows(config)` and `left_out(config)` from above. If `tied`, the unembedding "
        "is the embedding used a second time, and that one matrix counts once; if not, both "
        "count. Return an `int`; tied, `GPT2_SMALL` must come to 124,439,808."
    ),
    reference=sizing.total,
    checks=(
        Check(
            name="untied",
            points=1,
            proves="counts as many weights as a real model's tensors hold",
            hint="`sum(eight_rows(config).values())` adds up one of the two.",
            run=untied_counts_all,
        ),
        Check(
            name="tied",
            points=1,
            proves="counts a shared matrix once",
            hint="Two of the eight rows are one matrix if `tied`. Take off one of the two.",
            run=tied_counts_once,
        ),
        Check(
            name="GPT-2's four sizes",
            points=1,
            proves="finds the size of all four GPT-2 models",
            hint="GPT-2 is tied. 124 million, 355 million, 774 million, 1.56 billion.",
            run=gpt2_sizes,
        ),
    ),
    wrong=(
        Wrong("tied ignored", wrong_tied_ignored, "ignores tied"),
        Wrong("always tied", wrong_always_tied, "Untied, the unembedding has weights"),
        Wrong("both taken off", wrong_tied_takes_both, "takes off both"),
        Wrong("upside down", wrong_tied_upside_down, "both count"),
        Wrong("the rows only", wrong_rows_only, "Where are the positions"),
        Wrong("a float", wrong_total_float, "is a float"),
        Wrong("positions taken off", wrong_takes_positions, "not the positions"),
    ),
)


# 06.largest -------------------------------------------------------------------------

BYTES_OF = {"float32": 4, "bf16": 2, "int8": 1, "int4": 0.5}


def size(channels: int, format: str, layers: int, vocabulary: int) -> float:
    """The bytes that the eight rows take, matrix by matrix."""
    config = GPTConfig(vocabulary, 1, layers, channels, 1)
    return sum(rows_one_by_one(config).values()) * BYTES_OF[format]


def most(budget: float, bytes_of: Callable, step: int = 64) -> int:
    """The most channels that fit, counting up."""
    channels = 0
    while bytes_of(channels + step) <= budget:
        channels += step
    return channels


def likely_channels(budget, format, layers, vocabulary) -> dict[str, int]:
    """Mistaken answers, by the words for what they forget."""

    def by(a_weight=BYTES_OF[format], layers=layers, ends=2 * vocabulary):
        return most(budget, lambda c: a_weight * (12 * layers * c * c + ends * c))

    likely = {
        "The embedding and the unembedding take memory too.": by(ends=0),
        "The embedding and the unembedding both count: two of the eight rows.": by(
            ends=vocabulary
        ),
        "It ignores the number of layers.": by(layers=12),
        "It ignores the vocabulary.": by(ends=2 * 50_257),
    }
    said = {4: "4 bytes", 2: "2 bytes", 1: "1 byte", 0.5: "half a byte"}
    own = BYTES_OF[format]
    for other in said:
        if other != own:
            words = f"A weight in {format} takes {said[own]}, not {said[other]}."
            likely[words] = by(other)
    return likely


def problem(generator: torch.Generator, format: str) -> tuple[int, int, int]:
    """Channels that shall be the answer, layers and vocabulary, all mistakes apart."""
    while True:
        channels, layers = 64 * whole(generator, 30, 60), whole(generator, 2, 6)
        vocabulary = whole(generator, 150_000, 200_000)
        budget = between(channels, format, layers, vocabulary)
        given = list(likely_channels(budget, format, layers, vocabulary).values())
        given += [channels - 64, channels, channels + 64]
        if len(set(given)) == len(given):
            return channels, layers, vocabulary


def between(channels: int, format: str, layers: int, vocabulary: int) -> int:
    """A budget half way between these channels and a step more."""
    steps = (size(c, format, layers, vocabulary) for c in (channels, channels + 64))
    return int(sum(steps) / 2)


def want_channels(value, right: int, given: tuple) -> None:
    """Demand these channels for a budget, format, layers and vocabulary."""
    budget, format, layers, vocabulary = given
    what = f"largest({budget}, {format!r}, {layers}, {vocabulary})"
    want_whole(value, what)
    if value == right:
        return
    if value == right // 64:
        raise Mistake(f"{what} is {value}: these are steps; a step is 64 channels.")
    if value % 64:
        raise Mistake(f"{what} is {value}, which is not a multiple of 64.")
    likely = likely_channels(*given)
    likely["One step too many: these no longer fit. Give the last that do."] = (
        right + 64
    )
    likely["One step too few: the next still fit."] = right - 64
    if format == "int4" and value > 4 * right:
        raise Mistake(
            f"{what} is {value}; it should be {right}. A weight in int4 takes half a byte; "
            "with yours it takes none: int(0.5) and 1 // 2 are 0."
        )
    want_count(value, right, what, likely)


def as_many_as_fit(largest, generator):
    # First a problem so small that a loop which takes bytes for gigabytes still ends.
    budget = between(128, "bf16", 10, 100)
    value = largest(budget, "bf16", 10, 100)
    want_whole(value, f"largest({budget}, 'bf16', 10, 100)")
    if value > 100 * 128:
        raise Mistake(
            f"{value:,} channels for a budget of {budget:,} bytes: the budget is in bytes, "
            "not in gigabytes."
        )
    for _ in range(2):
        channels, layers, vocabulary = problem(generator, "bf16")
        budget = between(channels, "bf16", layers, vocabulary)
        given = (budget, "bf16", layers, vocabulary)
        want_channels(largest(*given), channels, given)
    want_equal(largest(24e9), 8_768, "largest(24e9), in bf16 with GPT-2's 12 layers,")


def exactly_the_budget(largest, generator):
    channels, layers, vocabulary = problem(generator, "bf16")
    budget = int(size(channels, "bf16", layers, vocabulary))
    given = (budget, "bf16", layers, vocabulary)
    value = largest(*given)
    if value == channels - 64:
        raise Mistake(
            f"{channels} channels take exactly the budget of {budget:,} bytes, and exactly "
            f"at the budget fits; yours gives {value}. Is it < where <= belongs, or do you "
            "count more than the eight rows?"
        )
    want_channels(value, channels, given)
    given = (budget - 1, "bf16", layers, vocabulary)
    value = largest(*given)
    if value == channels:
        raise Mistake(
            f"{channels} channels take one byte more than the budget of {budget - 1:,}, and "
            "no longer fit."
        )
    want_channels(value, channels - 64, given)


def every_format(largest, generator):
    for format in BYTES_OF:  # int4 comes last: a weight of 0 bytes may never end
        channels, layers, vocabulary = problem(generator, format)
        budget = between(channels, format, layers, vocabulary)
        given = (budget, format, layers, vocabulary)
        want_channels(largest(*given), channels, given)


def nothing_fits(largest, generator):
    layers, vocabulary = whole(generator, 2, 6), whole(generator, 1_000, 2_000)
    smallest = int(size(64, "bf16", layers, vocabulary))
    for budget in (smallest - 1, whole(generator, 1, smallest // 2), 0):
        what = f"largest({budget}, 'bf16', {layers}, {vocabulary})"
        value = largest(budget, "bf16", layers, vocabulary)
        want_whole(value, what)
        if value != 0:
            raise Mistake(f"{what} is {value}. Not even 64 channels fit: that gives 0.")
    value = largest(smallest, "bf16", layers, vocabulary)
    want_equal(value, 64, f"largest({smallest}, 'bf16', {layers}, {vocabulary})")


def _bytes(channels, format, layers, vocabulary):
    weights = 12 * layers * channels**2 + 2 * vocabulary * channels
    return weights * BYTES_OF[format]


def wrong_one_step_too_many(budget, format="bf16", layers=12, vocabulary=50_257):
    channels = 64
    while _bytes(channels, format, layers, vocabulary) <= budget:
        channels += 64
    return channels


def wrong_less_than(budget, format="bf16", layers=12, vocabulary=50_257):
    channels = 0
    while _bytes(channels + 64, format, layers, vocabulary) < budget:
        channels += 64
    return channels


def wrong_four_bytes(budget, format="bf16", layers=12, vocabulary=50_257):
    return sizing.largest(budget, "float32", layers, vocabulary)


def wrong_whole_byte(budget, format="bf16", layers=12, vocabulary=50_257):
    format = "int8" if format == "int4" else format
    return sizing.largest(budget, format, layers, vocabulary)


def wrong_no_bytes(budget, format="bf16", layers=12, vocabulary=50_257):
    channels, fitting = 64, 0
    while channels < 100_000:
        weights = _bytes(channels, "int8", layers, vocabulary)
        if weights * int(BYTES_OF[format]) <= budget:
            fitting = channels
        channels += 64
    return fitting


def wrong_gigabytes(budget, format="bf16", layers=12, vocabulary=50_257):
    channels = 0
    while _bytes(channels + 64, format, layers, vocabulary) / 1e9 <= budget:
        channels += 64
    return channels


def wrong_without_embeddings(budget, format="bf16", layers=12, vocabulary=50_257):
    weights = budget / BYTES_OF[format]
    return int((weights / (12 * layers)) ** 0.5) // 64 * 64


def wrong_one_embedding(budget, format="bf16", layers=12, vocabulary=50_257):
    return most(
        budget,
        lambda c: BYTES_OF[format] * (12 * layers * c * c + vocabulary * c),
    )


def wrong_no_steps(budget, format="bf16", layers=12, vocabulary=50_257):
    return most(budget, lambda c: _bytes(c, format, layers, vocabulary), 1)


def wrong_steps(budget, format="bf16", layers=12, vocabulary=50_257):
    return sizing.largest(budget, format, layers, vocabulary) // 64


def wrong_layers_ignored(budget, format="bf16", layers=12, vocabulary=50_257):
    return sizing.largest(budget, format, vocabulary=vocabulary)


def wrong_at_least_64(budget, format="bf16", layers=12, vocabulary=50_257):
    return max(64, sizing.largest(budget, format, layers, vocabulary))


LARGEST = Exercise(
    id="06.largest",
    title="the largest GPT for your memory",
    minutes=15,
    rule=(
        "`budget` is a memory in bytes. Return the most channels, an `int` and a multiple "
        "of 64, for which the `eight_rows` of `GPTConfig(vocabulary, 1, layers, channels, "
        "1)`, all added up, fit in it; exactly at the budget fits. (The two 1s are context "
        "and heads: they change none of the eight rows.) A weight takes 4 bytes "
        'in `"float32"`, 2 in `"bf16"`, 1 in `"int8"` and half a byte in `"int4"`, as '
        "`memory(weights, format)` will tell you. If not even 64 channels fit, return 0."
    ),
    reference=sizing.largest,
    checks=(
        Check(
            name="as many as fit",
            points=2,
            proves="finds the most channels that fit, in steps of 64",
            hint="Count up in steps of 64 for as long as the next step still fits. Work in "
            "bytes, and count all eight rows.",
            run=as_many_as_fit,
        ),
        Check(
            name="exactly the budget",
            points=1,
            proves="takes a model that fits to the last byte",
            hint="Is it `<` or `<=`?",
            run=exactly_the_budget,
        ),
        Check(
            name="every format",
            points=1,
            proves="knows the bytes of every format",
            hint="int4 is 0.5 bytes a weight. If your loop never ends, look for an "
            "`int(…)` or a `//` that makes 0 of it.",
            run=every_format,
        ),
        Check(
            name="nothing fits",
            points=1,
            proves="gives 0 when nothing fits",
            hint="What does your function return if the first step is too large?",
            run=nothing_fits,
        ),
    ),
    wrong=(
        Wrong("one step too many", wrong_one_step_too_many, "One step too many"),
        Wrong("less than", wrong_less_than, "exactly at the budget fits"),
        Wrong("four bytes each", wrong_four_bytes, "in bf16 takes 2 bytes, not 4"),
        Wrong("a whole byte", wrong_whole_byte, "takes half a byte, not 1 byte"),
        Wrong("no bytes at all", wrong_no_bytes, "with yours it takes none"),
        Wrong("gigabytes", wrong_gigabytes, "not in gigabytes"),
        Wrong("no embeddings", wrong_without_embeddings, "take memory too"),
        Wrong("one embedding", wrong_one_embedding, "two of the eight rows"),
        Wrong("no steps", wrong_no_steps, "not a multiple of 64"),
        Wrong("steps for channels", wrong_steps, "a step is 64 channels"),
        Wrong("layers ignored", wrong_layers_ignored, "ignores the number of layers"),
        Wrong("at least 64", wrong_at_least_64, "Not even 64 channels fit"),
    ),
)

EXERCISES = (EIGHT_ROWS, MATRICES, LEFT_OUT, TOTAL, LARGEST)
