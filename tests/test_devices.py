"""Devices: choice, precision, seeds, self-test."""

import nbformat
import pytest
import torch
from nbclient import NotebookClient

from course_lib import devices
from course_lib.files import ROOT


def test_the_cpu_computes_what_it_should_but_not_to_the_last_bit():
    worst = devices.self_test(torch.device("cpu"))
    assert 0 < worst < devices.TOLERANCE  # float32 against float64: never zero


def test_self_test_notices_a_device_that_computes_wrong(monkeypatch):
    right = devices._small_model

    def wrong(chosen, dtype):
        return right(chosen, dtype) + (0.01 if dtype == torch.float32 else 0)

    monkeypatch.setattr(devices, "_small_model", wrong)
    assert devices.self_test(torch.device("cpu")) > devices.TOLERANCE


def test_course_device_overrides(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    assert devices.best() == torch.device("cpu")


@pytest.mark.parametrize("name", ["toaster", "cuda:99", "meta"])
def test_a_device_that_is_not_here_is_one_sentence(monkeypatch, name):
    monkeypatch.setenv("COURSE_DEVICE", name)
    with pytest.raises(ValueError, match="is not on this machine"):
        devices.best()


CUDA = torch.device("cuda")


@pytest.mark.parametrize(
    ("has_units", "dtype"), [(True, torch.bfloat16), (False, torch.float16)]
)
def test_a_card_that_only_imitates_bfloat16_trains_in_float16(
    has_units, dtype, monkeypatch
):
    """A T4, the free card of Colab, says yes to bfloat16 and is slow at it."""

    def supported(including_emulation=True):
        return has_units or including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert devices.precision(CUDA) == dtype
    with devices.in_float32():
        assert devices.precision(CUDA) == torch.float32


def test_in_float32_ends_with_what_was_before():
    usual = devices.PRECISION.copy()
    with pytest.raises(KeyError), devices.in_float32():
        assert set(devices.PRECISION.values()) == {torch.float32}
        raise KeyError
    assert usual == devices.PRECISION


def test_one_seed_means_one_result():
    a, b, c = (torch.rand(5, generator=devices.generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_where_a_model_lives():
    assert devices.where(torch.nn.Linear(2, 2, device="meta")).type == "meta"
    assert devices.where(lambda ids: ids).type == "cpu"


def test_ready_says_what_this_is():
    assert "torch" in devices.ready() and "Python" in devices.ready()


@pytest.mark.parametrize("count, said", [(1, "cpu, 1 thread"), (2, "cpu, 2 threads")])
def test_threads_are_counted(monkeypatch, count, said):
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
    assert devices.describe(torch.device("cpu")) == said


@pytest.mark.parametrize("threads", ["abc", "0", "-1", "2.5", "99999999"])
def test_odd_numbers_of_threads_are_one_sentence(monkeypatch, threads):
    monkeypatch.setenv("COURSE_THREADS", threads)
    with pytest.raises(ValueError, match="whole number from 1"):
        devices.ready()


def test_a_lesson_of_another_version_is_named(monkeypatch):
    assert "\n" not in devices.ready(devices.version())
    assert "version 0.0.7, the course here" in devices.ready("0.0.7")


def test_a_name_that_is_not_there_says_what_to_do(tmp_path):
    notebook = nbformat.v4.new_notebook()
    code = nbformat.v4.new_code_cell
    notebook.cells = [
        code("from course_lib import devices\nline = devices.ready()"),
        code("x = check('05.softmax', x)"),
        code("def f():\n    y = y + 1\nf()"),
        code("1 / 0"),
        code("print(6 * 7)"),
    ]
    where = {"metadata": {"path": str(ROOT)}}
    NotebookClient(notebook, allow_errors=True, resources=where).execute()
    texts = [
        "".join(o.get("text", o.get("ename", "")) + " " for o in cell.outputs)
        for cell in notebook.cells
    ]
    assert "NameError" in texts[1] and "makes 'check', run that first" in texts[1]
    assert "UnboundLocalError" in texts[2] and "run that first" not in texts[2]
    assert texts[3].split() == ["ZeroDivisionError"] and "42" in texts[4]
