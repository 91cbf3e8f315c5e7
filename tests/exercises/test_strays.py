"""A tensor on the wrong device is named, with what to do.

torch's FakeTensorMode knows where a tensor would be without holding its numbers, so its
errors are those of a GPU, in the same words, on a machine that has none.
"""

import pytest
import torch
from torch import nn
from torch._subclasses import FakeTensorMode

from course_lib.exercises import run, strays
from course_lib.exercises.kinds import Check

GPU = "cuda"


@pytest.fixture(autouse=True)
def pretended():
    with FakeTensorMode():
        yield


def said(function, *given, code=None):
    """What is said of the error that a function stops with."""
    with pytest.raises(RuntimeError) as caught:
        function(*given)
    return strays.sentence(caught.value, code or function.__code__)


def there(*shape):
    return torch.ones(*shape, device=GPU)


def test_a_tensor_made_without_a_device():
    def attention_weights(scores):
        later = torch.ones(3, 3).triu(1) > 0
        return scores.masked_fill(later, 0.0)

    assert said(attention_weights, there(3, 3)) == (
        "later is on cpu and scores on cuda:0: make it with device=scores.device"
    )


def test_a_tensor_made_on_the_gpu_of_inputs_that_are_not():
    def scaled(x):
        scale = torch.ones(3, device=GPU)
        return x * scale

    assert said(scaled, torch.ones(3)) == (
        "scale is on cuda:0 and x on cpu: make it with device=x.device"
    )


def test_an_argument_is_moved_not_made():
    def product(query, key):
        return query @ key.T

    assert said(product, there(2, 3), torch.ones(2, 3)) == (
        "key is on cpu and query on cuda:0: move it: key.to(query.device)"
    )


def test_a_tensor_without_a_name():
    def shifted(x):
        return x + torch.arange(3)

    assert said(shifted, there(3)) == (
        "x is on cuda:0, and something that this line makes is not: make it with "
        "device=x.device"
    )


def test_only_what_the_line_uses_is_named():
    def busy(x):
        aside = torch.ones(3)
        mask = torch.ones(3)
        aside = aside * 2
        return x * mask

    assert said(busy, there(3)).startswith("mask is on cpu and x on")


def test_a_statement_of_many_lines():
    def wide(x):
        mask = torch.ones(3)
        return torch.where(
            x > 0,
            x,
            mask,
        )

    assert said(wide, there(3)).startswith("mask is on cpu and x on")


def test_what_a_module_keeps_should_be_a_buffer():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.mask = torch.ones(3)

        def forward(self, x):
            return x * self.mask

    assert said(Masked(), there(3), code=Masked.forward.__code__) == (
        "self.mask is on cpu and x on cuda:0: keep it with self.register_buffer, so that "
        "it moves with the model"
    )


def test_a_single_number_may_be_anywhere_and_is_not_named():
    def halved(x):
        half = torch.tensor(0.5)
        mask = torch.ones(3)
        return x * half * mask

    assert said(halved, there(3)).startswith("mask is on cpu and x on")


def test_a_helper_that_stops_is_seen_from_the_function_that_called_it():
    def add(a, b):
        return a + b

    def answer(x):
        ones = torch.ones(3)
        return add(x, ones)

    assert said(answer, there(3)).startswith("ones is on cpu and x on")


def test_of_a_function_that_calls_itself_the_innermost_call_counts():
    def halves(x, depth):
        if depth:
            whole = torch.ones(3)
            return halves(x, depth - 1) + whole
        half = torch.ones(3)
        return x + half

    assert said(halves, there(3), 1).startswith("half is on cpu and x on")


def test_real_errors_of_the_meta_device_are_understood_too():
    def mixed(x):
        ones = torch.ones(3)
        return x + ones

    with torch._C._DisableTorchDispatch():  # without the pretence
        words = said(mixed, torch.ones(3, device="meta"))
    assert words == "ones is on cpu and x on meta: make it with device=x.device"


@pytest.mark.parametrize(
    "words",
    [
        "Expected all tensors to be on the same device, but got mat2 is on cpu",
        "indices should be either on cpu or on the same device as the indexed tensor",
        "Tensor on device cpu is not on the expected device mps:0!",
        "Placeholder storage has not been allocated on MPS device!",
    ],
)
def test_torch_says_it_in_many_ways(words):
    def answer(x):
        ones = torch.ones(3)
        raise RuntimeError(words + str(ones.shape))

    assert said(answer, there(3)).startswith("ones is on cpu and x on cuda:0")


def test_a_generator_of_another_device():
    def noisy():
        raise RuntimeError(
            "Expected a 'cuda' device type for generator but found 'cpu'"
        )

    assert "then move" in said(noisy)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB on this device."),
        RuntimeError("CUDA error: device-side assert triggered"),
        ValueError("Expected all tensors to be on the same device"),
    ],
)
def test_other_errors_are_left_as_they_are(error):
    def answer(x):
        ones = torch.ones(3)
        raise error if ones.dim() else x

    with pytest.raises(type(error)):
        answer(there(3))
    assert strays.sentence(error, answer.__code__) is None


def test_an_error_that_passed_by_is_left_as_it_is():
    def answer(x):
        return x

    def other(x):
        return x + torch.ones(3)

    assert said(other, there(3), code=answer.__code__) is None


def test_an_error_that_can_not_be_printed():
    class Odd(RuntimeError):
        def __str__(self):
            raise ValueError

    assert strays.sentence(Odd(), test_a_generator_of_another_device.__code__) is None


# In the classroom -----------------------------------------------------------------------


def checked(answer, given):
    check = Check("name", 1, "", "", lambda answer, generator: answer(given))
    return run.run_check(check, answer, torch.Generator())


def test_a_check_names_the_stray_and_its_line():
    def weights(scores):
        # a comment, so that lines are counted
        later = torch.ones(3, 3)
        return scores + later

    message = checked(weights, there(3, 3))
    assert message.startswith("It stopped with ") and message.endswith(
        "Error: later is on cpu and scores on cuda:0: make it with device=scores.device "
        "(line 4 of your function)."
    )


def test_a_check_tells_other_errors_as_before():
    def weights(scores):
        return scores + torch.ones(4)

    message = checked(weights, torch.ones(3))
    assert "(line 2 of your function)" in message and "make it with" not in message
