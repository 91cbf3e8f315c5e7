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


def test_one_seed_means_one_result():
    a, b, c = (torch.rand(5, generator=device.generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_where_a_model_lives():
    assert device.where(torch.nn.Linear(2, 2, device="meta")).type == "meta"
    assert device.where(lambda ids: ids).type == "cpu"


def test_ready_says_what_this_is():
    assert "torch" in device.ready() and "Python" in device.ready()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
def test_the_gpu_computes_what_the_cpu_computes(llm):
    assert device.self_test(torch.device("cuda")) < device.TOLERANCE
    model, encoding = llm
    ids = torch.tensor([encoding.encode("The sun is shining in the")])
    with torch.no_grad():
        on_cpu = model(ids)
        on_gpu = model.to("cuda")(ids.to("cuda")).cpu()
    model.to("cpu")
    assert (on_cpu - on_gpu).abs().max() < 1e-2


@pytest.mark.parametrize("threads", ["abc", "0", "-1", "2.5", "99999999"])
def test_odd_numbers_of_threads_are_one_sentence(monkeypatch, threads):
    monkeypatch.setenv("COURSE_THREADS", threads)
    with pytest.raises(ValueError, match="whole number from 1"):
        device.ready()
