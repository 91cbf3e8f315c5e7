"""Train one model on many processes, or on one that Ctrl-C stops with care.

torchrun starts the many. Each has a copy of the weights and reads its own rows of the
batch; gradients are averaged (DDP). A model that is too large for one device has its
weights spread instead (FSDP2). What torch does inside, by hand: gradients of a batch
that is read in parts, an all-reduce in a ring, tensors in shards. Built in lesson 14;
lesson 08 runs on one process, for which all but Ctrl-C does nothing.

Source of the ring: Patarasuk & Yuan 2009.
"""

import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import distributed, nn

from course_lib import devices


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """While this lasts Ctrl-C only raises a flag, so that no step is cut in two.

    A second Ctrl-C stops at once.
    """
    asked = threading.Event()

    def ask(number, frame):
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked  # only the main thread may listen for Ctrl-C
        return
    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(frozen=True)
class Team:
    """This process among those that train one model: its rank, and the world size."""

    rank: int = 0
    world_size: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    def rows(self, batch: torch.Tensor) -> torch.Tensor:
        """This process's share of a batch (B, T) → (B / world size, T)."""
        return batch[self.rank :: self.world_size]

    def mean(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over all processes of each number; the same in all of them."""
        if self.world_size > 1:
            distributed.all_reduce(values)
            values = values / self.world_size
        return values

    def any(self, flag: bool, at: torch.device) -> bool:
        """Whether it is so in any process: a Ctrl-C must stop all at the same step."""
        if self.world_size == 1:
            return flag
        told = torch.tensor([float(flag)], device=at)
        distributed.all_reduce(told)
        return bool(told.item())


def init(at: torch.device) -> tuple[Team, torch.device]:
    """Join the processes that torchrun started; the team, and this process's own device.

    Raises ValueError for a kind of device on which processes can't talk to each other.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Team(), at
    if at.type not in devices.BACKEND:
        raise ValueError(
            f"{count} processes on {at.type} can't talk to each other: choose the device "
            "cpu."
        )
    at = devices.nth(at, int(os.environ["LOCAL_RANK"]))
    if not distributed.is_initialized():
        distributed.init_process_group(devices.BACKEND[at.type])
    return Team(distributed.get_rank(), count), at


def destroy() -> None:
    """Leave the other processes, if there are any."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def shard(model: nn.Module) -> None:
    """Spread a model's weights over all processes, block by block (FSDP2)."""
    from torch.distributed.fsdp import fully_shard  # slow to import, seldom needed

    for block in model.blocks:
        fully_shard(block)
    fully_shard(model)


def data_parallel(model: nn.Module, team: Team) -> nn.Module:
    """The model, with gradients averaged over the team as backward goes (DDP)."""
    return nn.parallel.DistributedDataParallel(model) if team.world_size > 1 else model


def no_sync(model: nn.Module, really: bool):
    """While this lasts gradients are not averaged: for all but a batch's last part."""
    is_ddp = isinstance(model, nn.parallel.DistributedDataParallel)
    return model.no_sync() if really and is_ddp else nullcontext()


def is_sharded(values: torch.Tensor) -> bool:
    """Whether a tensor lies in pieces on several processes."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return False
    from torch.distributed.tensor import DTensor  # slow to import, seldom needed

    return isinstance(values, DTensor)


def full_tensor(values: torch.Tensor) -> torch.Tensor:
    """A tensor that was spread over the processes, in one piece; all must ask for it."""
    return values.full_tensor() if is_sharded(values) else values


def shard_like(values: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """`full_tensor` backwards: a copy on `other`'s device, spread as `other` is."""
    values = values.to(other.device, copy=True)
    if not is_sharded(other):
        return values
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(values, other.device_mesh, other.placements)


# By hand -----------------------------------------------------------------------------


def accumulate(
    model: nn.Module, parts: list[tuple], loss_of: Callable[..., torch.Tensor]
) -> float:
    """Leave in the weights the gradient of a batch that is read in parts; give its loss.

    parts: pairs of inputs and targets, not all of one size. loss_of(model, inputs,
    targets) gives the mean loss over a part's targets. A part counts by its share of
    all targets. What gradients there were before is dropped.
    """
    model.zero_grad()
    whole, total = sum(targets.numel() for _, targets in parts), 0.0
    for inputs, targets in parts:
        loss = loss_of(model, inputs, targets) * targets.numel() / whole
        loss.backward()  # adds to what the parts before have left
        total += loss.item()
    return total


def ring_all_reduce(
    tensors: list[torch.Tensor], send: Callable[[int, torch.Tensor], torch.Tensor]
) -> list[torch.Tensor]:
    """The sum of the tensors of n ranks, in every rank; each sends 2(n − 1)/n of one.

    tensors: one (N) a rank, N a multiple of n. send(rank, piece) gives the piece as the
    next rank receives it. For n − 1 steps a rank adds what it receives to its own piece;
    then one piece of it is complete, and for n − 1 steps complete ones go round.
    """
    count = len(tensors)
    pieces = [list(one.chunk(count)) for one in tensors]  # rank, place → (N / n)
    for step in range(2 * (count - 1)):
        for rank in range(count):
            place, after = (rank - step) % count, (rank + 1) % count
            sent = send(rank, pieces[rank][place])
            adds = step < count - 1
            pieces[after][place] = pieces[after][place] + sent if adds else sent
    return [torch.cat(own) for own in pieces]


def ring(values: torch.Tensor, team: Team) -> torch.Tensor:
    """The same between real processes: the sum over the team of a tensor, in each."""
    count, rank = team.world_size, team.rank
    if count == 1:
        return values
    pieces = list(into_shards(values, count))
    for step in range(2 * (count - 1)):
        place, into = (rank - step) % count, (rank - 1 - step) % count
        received = torch.empty_like(pieces[into])
        sending = distributed.isend(pieces[place], (rank + 1) % count)
        distributed.recv(received, (rank - 1) % count)
        sending.wait()
        pieces[into] = pieces[into] + received if step < count - 1 else received
    return gather(pieces, values.shape)


def into_shards(values: torch.Tensor, count: int) -> list[torch.Tensor]:
    """A tensor of any shape as `count` flat pieces of one size, padded with zeros."""
    size = math.ceil(values.numel() / count)
    padded = torch.zeros(count * size, dtype=values.dtype)
    padded[: values.numel()] = values.flatten()
    return list(padded.view(count, size))


def gather(shards: list[torch.Tensor], shape: tuple[int, ...]) -> torch.Tensor:
    """`into_shards` backwards: the pieces as a tensor of this shape, padding dropped."""
    return torch.cat(shards)[: math.prod(shape)].view(shape)
