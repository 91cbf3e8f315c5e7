"""What torch does inside, by hand: parts, rings and shards, and the pictures' program."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_lib import distributed
from course_lib.devices import generator
from course_lib.distributed import Team

# A batch in parts --------------------------------------------------------------------


class Own(nn.Module):
    """A learner's own class, unlike the course's."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(7, 7, generator=generator(0)))

    def forward(self, ids):
        return self.table[ids]


def loss_of(model, inputs, targets):
    return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())


IDS = torch.randint(7, (2, 12, 5), generator=generator(1))


@pytest.mark.parametrize("sizes", [[12], [6, 6], [1] * 12, [1, 2, 9]])
def test_parts_give_the_gradient_of_the_batch(sizes):
    whole, model = Own().double(), Own().double()
    right = loss_of(whole, *IDS)
    right.backward()
    model.table.grad = torch.ones(7, 7, dtype=torch.float64)  # from another batch
    parts = list(zip(*(one.split(sizes) for one in IDS)))
    loss = distributed.accumulate(model, parts, loss_of)
    assert loss == pytest.approx(right.item(), abs=1e-12) and type(loss) is float
    assert torch.allclose(model.table.grad, whole.table.grad, atol=1e-12)


# Rings -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_every_rank_gets_the_same_sum_and_sends_as_little(count):
    tensors = list(torch.randn(count, 5 * count, generator=generator(count)))
    kept, sent = [one.clone() for one in tensors], [0] * count

    def send(rank, piece):
        sent[rank] += piece.numel()
        return piece.clone()

    sums = distributed.ring_all_reduce(tensors, send)
    assert len(sums) == count and all(torch.equal(one, sums[0]) for one in sums)
    assert torch.allclose(sums[0], torch.stack(kept).sum(0), atol=1e-5)
    assert sent == [2 * (count - 1) * 5] * count
    assert all(torch.equal(a, b) for a, b in zip(tensors, kept))


def test_a_ring_of_one_is_the_tensor_itself():
    values = torch.randn(3, 2, generator=generator(0))
    assert torch.equal(distributed.ring(values, Team()), values)


# Shards ------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 5, 20])
@pytest.mark.parametrize("shape", [(12,), (3, 4), (2, 3, 2), (1,), ()])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_shards_have_one_size_and_come_back_as_they_were(count, shape, dtype):
    values = (10 * torch.randn(shape, generator=generator(0))).to(dtype)
    shards = distributed.into_shards(values, count)
    flat = [number for shard in shards for number in shard.tolist()]
    assert len(shards) == count and len({shard.shape for shard in shards}) == 1
    assert all(shard.dtype == dtype for shard in shards)
    assert flat[: values.numel()] == values.flatten().tolist()
    assert not any(flat[values.numel() :])
    assert len(flat) - values.numel() < count
    assert torch.equal(distributed.gather(shards, shape), values)
