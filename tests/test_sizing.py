"""Counts by formula against tensors one can point at, and torch's own counter."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from course_lib import gpt, pretrained, sizing
from course_lib.files import ROOT
from course_lib.gpt import GPT, GPT3, GPTConfig

# Brown et al. 2020, table 2.1, as printed: name, parameters, layers, channels, heads,
# head size. What gpt.py repairs is left out here.
PAPER = {
    "GPT3_SMALL": (125e6, 12, 768, 12, 64),
    "GPT3_MEDIUM": (350e6, 24, 1_024, 16, 64),
    "GPT3_LARGE": (760e6, 24, 1_536, 16, 96),
    "GPT3_XL": (1.3e9, 24, 2_048, None, 128),
    "GPT3_2_7B": (2.7e9, 32, 2_560, 32, 80),
    "GPT3_6_7B": (6.7e9, 32, 4_096, 32, 128),
    "GPT3_13B": (13e9, 40, None, 40, 128),
    "GPT3": (175e9, 96, 12_288, 96, 128),
}
# What OpenAI's files hold; the paper's own numbers are known to be off.
GPT2_SIZES = {
    "GPT2_SMALL": 124_439_808,
    "GPT2_MEDIUM": 354_823_168,
    "GPT2_LARGE": 774_030_080,
    "GPT2_XL": 1_557_611_200,
}
ODD = GPTConfig(vocabulary=37, context=16, layers=3, channels=24, heads=4)
PRESETS = {name: getattr(gpt, name) for name in (*PAPER, *GPT2_SIZES)}
every_shape = pytest.mark.parametrize(
    "config", [*PRESETS.values(), ODD], ids=[*PRESETS, "odd"]
)


@pytest.mark.parametrize("name", PAPER)
def test_the_gpt3s_have_the_papers_shapes(name):
    size, layers, channels, heads, head_size = PAPER[name]
    config = PRESETS[name]
    assert (config.vocabulary, config.context) == (50_257, 2_048)
    assert (config.layers, config.head_size) == (layers, head_size)
    assert channels in (None, config.channels) and heads in (None, config.heads)
    assert sizing.total(config) == pytest.approx(size, rel=0.02)


@pytest.mark.parametrize("name", GPT2_SIZES)
def test_the_gpt2s_have_their_known_number_of_weights(name):
    config = PRESETS[name]
    assert (config.vocabulary, config.context) == (50_257, 1_024)
    assert config.head_size == 64
    assert sizing.total(config) == GPT2_SIZES[name]
    assert pretrained.parameters(sizing.on_meta(GPT, config)) == GPT2_SIZES[name]


@every_shape
def test_eight_rows_by_formula_are_those_of_the_tensors(config):
    counted = sizing.count(sizing.on_meta(GPT, config, tied=False))
    rest = counted.pop("the rest")
    assert sizing.eight_rows(config) == counted
    assert list(counted) == list(sizing.KINDS)
    assert sum(sizing.left_out(config).values()) == rest


@every_shape
def test_what_is_left_out_by_the_names_of_the_tensors(config):
    found = {"positions": 0, "biases": 0, "norms": 0}
    for name, weight in sizing.on_meta(GPT, config).named_parameters():
        if "norm" in name:
            found["norms"] += weight.numel()
        elif name.endswith("bias"):
            found["biases"] += weight.numel()
        elif name.startswith("position"):
            found["positions"] += weight.numel()
    assert sizing.left_out(config) == found


@every_shape
@pytest.mark.parametrize("tied", [True, False])
def test_the_total_is_every_weight_once(config, tied):
    model = sizing.on_meta(GPT, config, tied=tied)
    assert sizing.total(config, tied) == pretrained.parameters(model)
    assert sum(sizing.count(model).values()) == pretrained.parameters(model)


def test_gpt3s_numbers():
    rows = sizing.eight_rows(GPT3)
    assert sum(rows.values()) == 175_181_291_520
    assert rows["embedding"] == rows["unembedding"] == 617_558_016
    assert rows["query"] == rows["output"] == 14_495_514_624
    assert rows["up"] == rows["down"] == 57_982_058_496
    assert sum(sizing.left_out(GPT3).values()) == 40_525_824
    assert sizing.matrices(GPT3) == 27_938
    assert sizing.matrices(GPT3, output_per_head=True) == 37_058
    assert sizing.kv_cache(GPT3) == 4_718_592


def test_a_tied_unembedding_counts_for_nothing():
    tied, untied = (sizing.count(GPT(ODD, tied)) for tied in (True, False))
    assert tied["unembedding"] == 0 and untied["unembedding"] == 37 * 24
    assert {**untied, "unembedding": 0} == tied


def test_a_vector_is_none_of_the_eight_and_a_norm_is_no_matrix():
    counted = sizing.count(
        nn.ModuleDict({"up": nn.Linear(3, 5), "key": nn.Linear(2, 2)})
    )
    assert (counted["up"], counted["key"], counted["the rest"]) == (15, 4, 5 + 2)
    other = sizing.count(nn.ModuleDict({"gate": nn.Linear(3, 5, bias=False)}))
    assert other["the rest"] == 15


@pytest.mark.parametrize("per_head", [False, True])
def test_matrices_counted_one_by_one(per_head):
    with_heads = {"query", "key", "value"} | ({"output"} if per_head else set())
    found = 0
    for name, weight in sizing.on_meta(GPT, ODD, tied=False).named_parameters():
        kind = name.split(".")[-2]
        if weight.dim() == 2 and kind != "position":
            found += ODD.heads if kind in with_heads else 1
    assert sizing.matrices(ODD, per_head) == found


# Memory -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format", "dtype"),
    [("float32", torch.float32), ("bf16", torch.bfloat16), ("int8", torch.int8)],
)
def test_memory_is_what_torch_takes(format, dtype):
    weights = torch.zeros(3, 7, dtype=dtype)
    assert sizing.memory(weights.numel(), format) == weights.nbytes


def test_four_bits_are_half_a_byte():
    assert sizing.memory(1_000, "int4") == 500


def test_an_unknown_format_is_named():
    with pytest.raises(ValueError, match=r"^There is no format 'fp8'; .*'bf16'.*\.$"):
        sizing.memory(1, "fp8")


def test_the_cache_holds_every_layers_keys_and_values():
    kept = []
    model = GPT(ODD)
    for block in model.blocks:
        for part in (block.attention.key, block.attention.value):
            part.register_forward_hook(lambda _, given, gave: kept.append(gave.nbytes))
    model(torch.zeros(1, 5, dtype=torch.long))
    assert sizing.kv_cache(ODD, "float32") == sum(kept) / 5
    assert sizing.kv_cache(ODD) == sum(kept) / 5 / 2


def test_gpt3_without_numbers_takes_next_to_no_memory():
    # Not resource.getrusage: its peak is handed down by whoever starts the program.
    code = (
        "import psutil; from course_lib import gpt, sizing\n"
        "model = sizing.on_meta(gpt.GPT, gpt.GPT3, tied=False)\n"
        "print(sum(w.numel() for w in model.parameters()))\n"
        "print(psutil.Process().memory_info().rss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True
    )
    weights, taken = map(int, done.stdout.split())
    assert weights == 175_181_291_520 + 40_525_824
    assert taken < 1e9


# Arithmetic -------------------------------------------------------------------------


@pytest.mark.parametrize("positions", [1, 2, 11, 16])
@pytest.mark.parametrize(
    "config", [ODD, GPTConfig(vocabulary=5, context=16, layers=1, channels=6, heads=1)]
)
def test_products_are_those_that_torch_counts(config, positions):
    # torch counts attention in full, the masked half too, and so do we. It doesn't know
    # the CPU's fused step, so that attention has to be done in single steps here.
    model, ids = GPT(config), torch.zeros(1, positions, dtype=torch.long)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(ids)
    counted = sizing.forward_operations(config, positions)
    assert counted["products"] == counter.get_total_flops()


def test_products_are_nearly_all_of_gpt3s_arithmetic():
    counted = sizing.forward_operations(GPT3, 2_048)
    share = counted["products"] / sum(counted.values())
    assert 0.99 < share < 1


def test_the_rest_is_at_least_once_for_every_number_computed():
    # Nearly every module computes each number of its output; a few operations apiece.
    computed = []
    model, t = GPT(ODD), 11
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.bias is not None:
            module.register_forward_hook(lambda _, x, y: computed.append(y.numel()))
        elif isinstance(module, gpt.LayerNorm):
            module.register_forward_hook(lambda _, x, y: computed.append(5 * y.numel()))
        elif isinstance(module, gpt.MLP):
            module.up.register_forward_hook(
                lambda _, x, y: computed.append(9 * y.numel())
            )
    model(torch.zeros(1, t, dtype=torch.long))
    softmaxes = 3 * t * (37 + 3 * 4 * t)
    sums = t * 24 * (2 * 3 + 1)
    least = sum(computed) + softmaxes + sums
    assert least <= sizing.forward_operations(ODD, t)["the rest"] <= 2 * least


# A model for a budget ---------------------------------------------------------------


def largest_by_counting_up(budget, format, layers, vocabulary):
    steps = 0
    bits = {"float32": 32, "bf16": 16, "int8": 8, "int4": 4}[format]
    while True:
        c = 64 * (steps + 1)
        if (2 * vocabulary * c + 12 * layers * c * c) * bits > 8 * budget:
            return 64 * steps
        steps += 1


@pytest.mark.parametrize("format", sizing.BYTES)
@pytest.mark.parametrize("layers", [1, 12, 96])
@pytest.mark.parametrize("vocabulary", [256, 50_257])
@pytest.mark.parametrize("budget", [0, 1e6, 1e8, 16e9])
def test_largest_fits_and_the_next_does_not(budget, format, layers, vocabulary):
    found = sizing.largest(budget, format, layers, vocabulary)
    assert found == largest_by_counting_up(budget, format, layers, vocabulary)


def test_largest_has_bf16_twelve_layers_and_gpt2s_words_unless_told():
    assert sizing.largest(1e9) == largest_by_counting_up(1e9, "bf16", 12, 50_257)


@pytest.mark.parametrize("channels", [64, 128, 192, 640])
def test_a_budget_that_fits_to_the_byte(channels):
    exact = 2 * (2 * 50_257 * channels + 12 * 12 * channels**2)
    assert sizing.largest(exact) == channels
    assert sizing.largest(exact - 1) == channels - 64


@pytest.mark.parametrize("budget", [float("inf"), float("nan")])
def test_a_budget_without_an_end_is_one_sentence(budget):
    with pytest.raises(ValueError, match="is no budget"):
        sizing.largest(budget)
