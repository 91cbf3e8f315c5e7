"""A device against the CPU, module by module: where there is one, and proof that it would be
found out where there is none."""

import ast
import json
import math
import subprocess
import sys

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from course_lib import (
    align,
    devices,
    fast_gpt,
    gpt,
    inside,
    kv_cache,
    llama,
    optimizers,
    quantized,
    sampling,
    train,
    vectors,
)
from course_lib.cli import comparisons, doctor
from course_lib.cli.comparisons import BRIEF, COMPARISONS, LLAMA, SHAPE
from course_lib.exercises import kinds, run
from course_lib.files import ROOT
from tests.test_imports import MODULES

CPU = torch.device("cpu")
every = pytest.mark.parametrize("one", COMPARISONS, ids=lambda one: one.name)


def named(name):
    return next(one for one in COMPARISONS if one.name == name)


# Where there is a GPU -----------------------------------------------------------------


@pytest.mark.gpu
@every
def test_the_device_computes_what_the_cpu_computes(one):
    assert comparisons.difference(one, devices.best()) <= one.tolerance


@pytest.mark.gpu
def test_the_real_llm_says_the_same_on_the_device(llm):
    assert devices.self_test(devices.best()) < devices.TOLERANCE
    model, encoding = llm
    ids = encoding.encode("The sun is shining in the")
    on_cpu = inside.logits(model, ids)
    try:
        on_device = inside.logits(model.to(devices.best()), ids).cpu()
    finally:
        model.to("cpu")
    assert (on_cpu - on_device).abs().max() < 1e-2  # logits of size 20, thirty layers


@pytest.mark.gpu
def test_eight_bits_are_refused_with_what_to_do():
    away = gpt.GPT(SHAPE).to(devices.best())
    with pytest.raises(ValueError, match=r"int8\(model.cpu\(\)\)"):
        quantized.int8(away)


@pytest.mark.gpu
def test_doctor_finds_nothing_wrong(capsys):
    assert doctor.computes()
    said = capsys.readouterr().out
    assert doctor.WARN not in said and said.count(doctor.OK) == 1 + len(COMPARISONS)


@pytest.mark.gpu
def test_a_stray_is_named_in_the_words_of_this_torch():
    def mixed(x):
        ones = torch.ones(3)
        return x + ones

    def check(answer, generator):
        answer(torch.ones(3, device=devices.best()))

    said = run.run_check(kinds.Check("", 1, "", "", check), mixed, None)
    assert "ones is on cpu and x on" in said and "device=x.device (line 3" in said


# Everywhere: the truth is the CPU in float64, the device its own float32 --------------


@every
def test_float32_is_off_by_less_than_a_tenth_of_what_is_let_pass(one):
    assert 0 < comparisons.difference(one, CPU) < one.tolerance / 10


def test_bfloat16_is_let_pass_by_its_own_comparison_alone(monkeypatch):
    own, single = COMPARISONS[-1], named("ten training steps of a GPT")
    monkeypatch.setitem(devices.PRECISION, "cpu", torch.bfloat16)
    assert single.tolerance < comparisons.difference(own, CPU) < BRIEF
    assert comparisons.difference(single, CPU) < single.tolerance


class WrongCard(TorchDispatchMode):
    """Every product of matrices in float32 comes out a little too large."""

    PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "mv", "dot", "linear", "matmul")

    def __init__(self, error):
        super().__init__()
        self.error = error

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func.overloadpacket.__name__ not in self.PRODUCTS:
            return result
        return result * (1 + self.error) if result.dtype == torch.float32 else result


@every
def test_a_card_that_multiplies_wrong_is_found_out(one):
    with WrongCard(0.1 if one.tolerance == BRIEF else 0.01):
        assert comparisons.difference(one, CPU) > one.tolerance


def test_a_card_that_multiplies_right_is_not_accused():
    with WrongCard(0.0):
        assert all(
            comparisons.difference(one, CPU) < one.tolerance for one in COMPARISONS
        )


def off(values):
    """Values as a wrong device gives them in float32: one part in a hundred too large."""
    if isinstance(values, tuple):
        return tuple(off(one) for one in values)
    return values * 1.01 if values.dtype == torch.float32 else values


# One part of each module, and a comparison that must notice when it goes wrong.
PARTS = [
    (align, "token_log_p", "a reward, and a step towards it"),
    (gpt, "attend", "logits of a GPT"),
    (gpt, "split_heads", "logits of a GPT"),
    (kv_cache, "attend_from", "a GPT's likeliest text, with a cache"),
    (llama, "rotate", "logits of a Llama"),
    (llama, "attend_from", "a Llama's text by chance, with a cache"),
    (llama.RMSNorm, "forward", "logits of a Llama"),
    (fast_gpt, "mixed", "logits of a FastGPT"),
    (fast_gpt, "squared_relu", "logits of a FastGPT"),
    (quantized, "plain", "logits of eight-bit weights"),
    (gpt, "attention_weights", "the inside of a GPT"),
    (llama, "attention_weights", "the inside of a Llama"),
    (inside, "residual_stream", "the inside of a GPT"),
    (kv_cache.KVCache, "add", "a Llama's text by chance, with a cache"),
    (vectors, "cosine", "word vectors"),
    (vectors, "direction", "word vectors"),
    (vectors, "skip_gram_loss", "word vectors"),
    (gpt.Block, "forward", "ten training steps of a GPT"),
    (optimizers, "orthogonal", "ten steps of a FastGPT with Muon, stopped and resumed"),
]


@pytest.mark.parametrize(("home", "part", "name"), PARTS, ids=lambda x: str(x)[-30:])
def test_a_part_that_goes_wrong_on_the_device_is_noticed(home, part, name, monkeypatch):
    right = vars(home)[part]
    monkeypatch.setattr(home, part, lambda *given: off(right(*given)))
    assert comparisons.difference(named(name), CPU) > named(name).tolerance


def test_a_text_that_differs_in_one_id_is_noticed(monkeypatch):
    class Hasty(sampling.Sampler):
        def choose(self, logits, ids, generator=None):
            best = super().choose(logits, ids, generator)
            return best if logits.dtype == torch.float64 else (best + 1) % len(logits)

    one = named("a GPT's likeliest text, with a cache")
    values = one.values.func, one.values.args[:-1]
    hasty = comparisons.partial(values[0], *values[1], Hasty(0))
    wrong = comparisons.Comparison(one.name, one.modules, one.tolerance, hasty)
    assert comparisons.difference(wrong, CPU) >= 1


@pytest.mark.parametrize("answer", [torch.tensor([math.nan, 1.0]), torch.ones(3)])
def test_nan_and_a_wrong_shape_are_infinitely_far(answer):
    def values(at, dtype):
        return torch.ones(2).double() if dtype == torch.float64 else answer.double()

    one = comparisons.Comparison("", (), 1.0, values)
    assert comparisons.difference(one, CPU) == math.inf


@pytest.mark.parametrize("name", ["a GPT's likeliest text, with a cache",
                                  "a Llama's text by chance, with a cache"])  # fmt: skip
@pytest.mark.parametrize("seed", range(5))
def test_no_id_hangs_by_a_thread(name, seed, monkeypatch):
    """Else rounding alone would give another text on some card."""
    one, right, chance = named(name), sampling.Sampler.choose, devices.generator(seed)

    def shaken(self, logits, ids, generator=None):
        noise = torch.rand(len(logits), generator=chance) * 2 - 1
        return right(self, logits + noise * one.tolerance, ids, generator)

    wanted = one.values(CPU, torch.float64)[:16]
    monkeypatch.setattr(sampling.Sampler, "choose", shaken)
    assert torch.equal(one.values(CPU, torch.float64)[:16], wanted)


def test_comparisons_leave_the_learners_chance_and_precision_alone():
    before, usual = torch.get_rng_state(), devices.PRECISION.copy()
    for one in COMPARISONS:
        one.values(CPU, torch.float32)
    assert torch.equal(torch.get_rng_state(), before) and usual == devices.PRECISION


# Every module is compared, or there is a reason why not --------------------------------

NOT_COMPARED = {
    "cli.comparisons": "compares",
    "tokenizer": "gives whole numbers, which are on the CPU",
    "files.cache": "sums the bytes of files, with numpy",
    "cli.page": "writes weights as text, from the CPU",
    "cli.live": "writes what was computed on the CPU as text",
    "notebooks.refresh": "numpy counts the colours of a picture",
    "cli.fast_decode": "writes on the CPU only, and says so",
    "autograd": "numpy, which computes on the CPU only",
    "widgets.machine_view": "sends what `tiles` gives, which is on the CPU",
    "tiles": "sums over what `inside` keeps, brought to the CPU",
    "widgets.attention": "draws what `inside` gives, which is on the CPU",
    "widgets.labs": "draws small numbers of its own, and word vectors, on the CPU",
    "scaling": "counts, and fits with numpy",
    "pieces": "cuts and joins numbers, on the CPU",
    "tiny_tasks": "draws with numpy, which computes on the CPU only",
    "widgets.senses": "draws what a model says, and WAV files, on the CPU",
    "mixed_precision": "asks how 16 bits fail, with autocast; its tests run on the CPU",
    "scales": "measures how fast products are, and never looks at them",
    "patching": "hooks that move what `inside` keeps; its tests run on the CPU",
    "induction": "trains a tiny model of llama's parts, on the CPU in its lesson",
    "features": "fits vectors that `inside` gives, which its lesson keeps on the CPU",
    "sizing": "counts shapes on the meta device, which has no numbers",
    "pretrained": "reads files on the CPU; the real LLM has a test of its own, above",
    "cli.commands": "hands --device on to train and sampling",
    "tiny_world": "counts and draws with numpy, which computes on the CPU only",
    "grading.grader": "reads what a submission's process wrote",
    "grading.wire": "turns values into plain data and back, on the CPU",
    "grading.sandbox": "runs checks, which are on the CPU",
}


def computes(path) -> bool:
    """Whether a module imports torch or numpy."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return bool(names & {"torch", "numpy"})


def test_every_module_is_compared_or_says_why_not():
    modules = {name for name, path in MODULES.items() if computes(path)}
    # Checks run on the CPU, and pictures are drawn of arrays, which are there, too.
    modules = {n for n in modules if not n.startswith(("exercises.", "figures."))}
    compared = {name for one in COMPARISONS for name in one.modules}
    assert compared <= modules and not compared & NOT_COMPARED.keys()
    assert modules - compared == NOT_COMPARED.keys()


SEEN = """
import json, sys, torch
from course_lib.cli.comparisons import COMPARISONS
found = {}
for one in COMPARISONS:
    seen = set()
    sys.setprofile(lambda frame, event, _: seen.add(frame.f_code.co_filename))
    one.values(torch.device("cpu"), torch.float32)
    sys.setprofile(None)
    found[one.name] = sorted(seen)
print(json.dumps(found))
"""


def test_a_comparison_runs_the_modules_that_it_names():
    """A module's code is on the way: something in its file is called."""
    words = [sys.executable, "-c", SEEN]  # alone: a profiler slows all that is loaded
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    for one in COMPARISONS:
        wanted = {str(ROOT / "course_lib" / f"{name}.py") for name in one.modules}
        assert wanted <= set(seen[one.name]), one.name


# No tensor is made on the CPU while a model is elsewhere --------------------------------


class OneDevice(TorchDispatchMode):
    """Refuses to mix devices, as a card does; "meta" by itself lets much pass."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        leaves = tree_leaves((args, kwargs))
        tensors = [one for one in leaves if isinstance(one, torch.Tensor) and one.dim()]
        places = {one.device.type for one in tensors}
        assert len(places) <= 1, f"{func} mixes {places}"
        return func(*args, **(kwargs or {}))


def made_on_meta(make, shape):
    with torch.device("meta"):
        return make(shape)


MODELS = [(gpt.GPT, SHAPE), (llama.Llama, LLAMA), (fast_gpt.FastGPT, SHAPE)]
NEW = torch.zeros(2, 5, dtype=torch.long, device="meta")


@pytest.mark.parametrize(("make", "shape"), MODELS)
def test_reading_and_learning_mix_no_devices(make, shape):
    model = made_on_meta(make, shape)
    with OneDevice():
        train.next_token_loss(model, NEW, NEW).backward()
    assert all(weight.grad.is_meta for weight in model.parameters())


@pytest.mark.parametrize(("make", "shape"), MODELS[:2])
def test_writing_and_looking_inside_mix_no_devices(make, shape):
    model, cache = made_on_meta(make, shape), kv_cache.KVCache(2, 32)
    step = kv_cache.decode_step if make is gpt.GPT else llama.decode_step
    heard = [block.attention for block in model.blocks]
    with OneDevice(), inside.inputs_of(heard) as given, torch.no_grad():
        model(NEW)
        assert all(a.pattern(*one).is_meta for a, one in zip(heard, given))
    with OneDevice():
        assert (
            step(model, NEW, cache).is_meta and step(model, NEW[:, :1], cache).is_meta
        )
    assert cache.length == 6 and cache.kept.is_meta


def test_optimizers_mix_no_devices():
    model = made_on_meta(fast_gpt.FastGPT, SHAPE)
    _, muon = optimizers.optimizers(
        optimizers.learned(model), rate=1e-3, decay=0.0, muon=0.02
    )
    turned = muon.param_groups[0]["params"]
    with OneDevice(), torch.no_grad():
        for weight in turned:
            weight.grad = torch.zeros_like(weight)
            assert optimizers.orthogonal(muon.ahead([weight], 0.95)).is_meta


def test_a_model_that_mixes_devices_is_found_out(monkeypatch):
    right = llama.rotation
    model = made_on_meta(llama.Llama, LLAMA)
    monkeypatch.setattr(
        llama, "rotation", lambda t, d, base, device=None: right(t, d, base)
    )
    with OneDevice(), pytest.raises(AssertionError, match="mixes"):
        model(NEW)


# What doctor says -----------------------------------------------------------------------


def test_doctor_prints_a_line_for_each_comparison(capsys):
    assert doctor.compared(CPU)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f" ✓ {c.name}" for c in COMPARISONS
    ]


def test_doctor_warns_of_each_thing_that_is_wrong(capsys):
    with WrongCard(0.1):
        assert doctor.compared(CPU)  # a warning: lessons run on the CPU
    said = capsys.readouterr().out
    assert said.count(" ! ") == len(COMPARISONS) and "✓" not in said
    assert "COURSE_DEVICE=cpu" in said and "over 1e-04" in said


def test_doctor_names_what_a_device_can_not_do(capsys, monkeypatch):
    def lacks(*given):
        raise NotImplementedError("The operator is not there.\nSee a long text.")

    monkeypatch.setattr(vectors, "cosine", lacks)
    assert doctor.compared(CPU)
    said = capsys.readouterr().out
    assert " ! word vectors: The operator is not there.\n" in said
    assert said.count("✓") == len(COMPARISONS) - 1


def test_doctor_compares_nothing_on_the_cpu(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    assert doctor.computes()
    assert len(capsys.readouterr().out.splitlines()) == 1
