"""The device room: choice, precision, seeds, self-test."""

import pytest
import torch

from course_lib import device


def test_the_cpu_computes_what_it_should_but_not_to_the_last_bit():
    worst = device.self_test(torch.device("cpu"))
    assert 0 < worst < device.TOLERANCE  # float32 against float64: never zero


def test_self_test_notices_a_device_that_computes_wrong(monkeypatch):
    right = device._small_model

    def wrong(chosen, dtype):
        return right(chosen, dtype) + (0.01 if dtype == torch.float32 else 0)

    monkeypatch.setattr(device, "_small_model", wrong)
    assert device.self_test(torch.device("cpu")) > device.TOLERANCE


def test_course_device_overrides(monkeypatch):
    monkeypatch.setenv("COURSE_DEVICE", "cpu")
    assert device.best() == torch.device("cpu")


@pytest.mark.parametrize("name", ["toaster", "cuda:99", "meta"])
def test_a_device_that_is_not_here_is_one_sentence(monkeypatch, name):
    monkeypatch.setenv("COURSE_DEVICE", name)
    with pytest.raises(ValueError, match="is not on this machine"):
        device.best()


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
    assert device.precision(CUDA) == dtype
    with device.in_float32():
        assert device.precision(CUDA) == torch.float32


def test_in_float32_ends_with_what_was_before():
    usual = device.PRECISION.copy()
    with pytest.raises(KeyError), device.in_float32():
        assert set(device.PRECISION.values()) == {torch.float32}
        raise KeyError
    assert usual == device.PRECISION


def test_one_seed_means_one_result():
    a, b, c = (torch.rand(5, generator=device.generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_where_a_model_lives():
    assert device.where(torch.nn.Linear(2, 2, device="meta")).type == "meta"
    assert device.where(lambda ids: ids).type == "cpu"


def test_ready_says_what_this_is():
    assert "torch" in device.ready() and "Python" in device.ready()


@pytest.mark.parametrize("count, said", [(1, "cpu, 1 thread"), (2, "cpu, 2 threads")])
def test_threads_are_counted(monkeypatch, count, said):
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
    assert device.describe(torch.device("cpu")) == said


@pytest.mark.parametrize("threads", ["abc", "0", "-1", "2.5", "99999999"])
def test_odd_numbers_of_threads_are_one_sentence(monkeypatch, threads):
    monkeypatch.setenv("COURSE_THREADS", threads)
    with pytest.raises(ValueError, match="whole number from 1"):
        device.ready()
