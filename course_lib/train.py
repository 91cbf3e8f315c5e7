"""Training: a loss, a rate, a batch, a loop.

The loop takes any model that maps ids (B, T) to logits (B, T, V), the learner's own too.
Step n of a run draws its batch, and what torch draws in it (dropout), from the seed and
from n alone, so a run that was killed and goes on from its last checkpoint gives the same
losses as one that never stopped.

B batch, T position, V vocabulary. Built in lesson 08.
Source of the schedule: Loshchilov & Hutter 2016 (cosine), with a warm-up.
"""

import contextlib
import hashlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

from course_lib import checkpoints, data, devices, distributed, files
from course_lib.checkpoints import Checkpoint
from course_lib.errors import Problem
from course_lib.optimizers import learned, load_state_dict, optimizers, state_dict

LAST_SHARE = 0.1  # the share of the full rate that is left at the end
LOOK = 64  # windows of the validation text that a look on the way reads, at most
AT_ONCE = 4_096  # tokens that an evaluation reads at once: their logits need memory


@dataclass(frozen=True)
class TrainConfig:
    """How to train: the same numbers and the same seed give the same run."""

    steps: int = 1_000
    batch: int = 12  # windows in a step, over all processes
    context: int = 64  # tokens in a window
    rate: float = 1e-3  # learning rate at its height
    warmup: int = 50  # steps to get there
    decay: float = 0.1  # weight decay of matrices
    clip: float = 1.0  # longest gradient; 0: any length
    accumulate: int = 1  # parts that a batch is read in, where memory is short
    muon: float = 0.0  # rate of Muon for the blocks' matrices; 0: AdamW for all
    every: int = 100  # steps between two looks at the validation text, and checkpoints
    seed: int = 0

    def __post_init__(self):
        counts = {"steps": 1, "batch": 1, "context": 1, "accumulate": 1, "every": 1}
        for name, least in (counts | {"warmup": 0, "seed": 0}).items():
            value = vars(self)[name]
            if type(value) is not int or value < least:
                raise ValueError(
                    f"{name} is {value!r}; give a whole number from {least}."
                )
        for name in ("rate", "decay", "clip", "muon"):
            value = vars(self)[name]
            if not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value!r}; give a number from 0.")
        self.share_out(1)

    def share_out(self, count: int) -> None:
        """Raise ValueError unless `count` processes get equal parts of a batch."""
        if self.batch % (count * self.accumulate):
            raise ValueError(
                f"A batch of {self.batch} can't be shared out evenly among {count} "
                f"processes and read in {self.accumulate} parts: make it a multiple of "
                f"{count * self.accumulate}."
            )


@dataclass
class History:
    """What a run has measured so far."""

    losses: list[float] = field(default_factory=list)  # of every step, on its batch
    validation: list[tuple[int, float]] = field(default_factory=list)  # (step, loss)
    seconds: float = 0.0  # of training, without evaluation

    @property
    def step(self) -> int:
        """How many steps are done."""
        return len(self.losses)

    @staticmethod
    def of(record: dict) -> "History":
        """A history that was kept as JSON, which knows no pairs."""
        losses = [float(loss) for loss in record["losses"]]
        pairs = [(int(step), float(loss)) for step, loss in record["validation"]]
        return History(losses, pairs, float(record["seconds"]))


# Parts ------------------------------------------------------------------------------


def next_token_loss(
    model: Callable, inputs: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """The mean of −log p(target) over all positions, in nats; a tensor without axes.

    inputs and targets (B, T), int64; targets are the inputs shifted by one.
    """
    logits = model(inputs)  # (B, T, V)
    return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


def rate_at(step: int, config: TrainConfig) -> float:
    """The share of the full rate in step 0, 1, …: up in a line, then down in a cosine.

    The first steps are short because AdamW knows nothing of the gradients' size yet; the
    last ones are short so that the weights come to rest (Loshchilov & Hutter 2017).
    """
    if step < config.warmup:
        return (step + 1) / (config.warmup + 1)
    progress = (step - config.warmup) / max(1, config.steps - config.warmup)
    return LAST_SHARE + (1 - LAST_SHARE) * (1 + math.cos(math.pi * progress)) / 2


def seed_of(step: int, config: TrainConfig) -> int:
    """Where the random numbers of one step start."""
    return config.seed * 1_000_003 + step


def batch_at(
    ids: torch.Tensor,
    step: int,
    config: TrainConfig,
    starts: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The batch of one step: inputs and targets (B, T), decided by seed and step only.

    starts: the places where windows may begin; None: anywhere.
    """
    generator = devices.generator(seed_of(step, config))
    return data.batch(ids, config.batch, config.context, generator, starts)


def some_windows(
    ids: torch.Tensor,
    context: int,
    most: int | None,
    starts: torch.Tensor | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Windows of a text that share no target, a few at once.

    All of them, or no more than `most`, evenly spread. starts: where they may begin;
    None: one after the other, up to the text's end.
    """
    size, places = max(1, AT_ONCE // context), data.disjoint(ids, context, starts)
    if most is not None and most < len(places):
        places = places[torch.arange(most) * len(places) // most]
    elif starts is None:
        return data.windows(ids, size, context)  # with the rest at the end
    return (data.cut(ids, few, context) for few in places.split(size))


@torch.no_grad()
def evaluate(
    model: nn.Module,
    ids: torch.Tensor,
    context: int,
    most: int | None = None,
    starts: torch.Tensor | None = None,
) -> float:
    """The mean loss over a text, in nats per token, read in windows of `context` tokens.

    most: read no more windows than that, spread over the text; None: all of them. starts:
    where windows may begin, as in training; None: one after the other. No token is
    counted twice. Raises ValueError if not one window fits.
    """
    at, losses, counts = devices.where(model), [], []
    was_training = model.training
    model.eval()
    for inputs, targets in some_windows(ids, context, most, starts):
        inputs, targets = devices.send(inputs, at), devices.send(targets, at)
        losses.append(next_token_loss(model, inputs, targets))
        counts.append(targets.numel())
    model.train(was_training)
    shares = torch.tensor(counts).double() / sum(counts)
    return float(torch.stack(losses).cpu().double() @ shares)


# A run ------------------------------------------------------------------------------


class Run:
    """A model in training: its optimisers, what was measured, and where it is kept."""

    def __init__(
        self,
        model: nn.Module,
        config: TrainConfig,
        at: torch.device,
        shard: bool = False,
    ):
        if shard:
            distributed.shard(model)
        self.model, self.config, self.at = model, config, at
        self.weights = learned(model)
        self.optimizers = optimizers(
            self.weights, config.rate, config.decay, config.muon
        )
        self.scaler = devices.scaler(at)
        self.history = History()

    def set_rate(self, share: float) -> None:
        """Let every optimiser step at this share of its full rate."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("full", group["lr"]) * share

    def update(self) -> None:
        """One step along the gradients, which are clipped first and zeroed after."""
        for optimizer in self.optimizers:
            self.scaler.unscale_(optimizer)
        if self.config.clip:
            nn.utils.clip_grad_norm_(self.weights.values(), self.config.clip)
        for optimizer in self.optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def note(self, losses: list[torch.Tensor], team: distributed.Team) -> None:
        """Read some steps' losses from the device; raises Problem if one is no number."""
        values = team.mean(torch.stack(losses)).tolist()
        for step, value in enumerate(values, self.history.step + 1):
            if not math.isfinite(value):
                raise Problem(self.lost(f"The loss of step {step} is {value}"))
        self.history.losses += values

    def lost(self, what: str) -> str:
        """What to say, and to do, when weights or a loss are no numbers."""
        rates = f"rate={self.config.rate / 3:.1g}"
        rates += f", muon={self.config.muon / 3:.1g}" if self.config.muon else ""
        return (
            f"{what}: this run is lost. Saved checkpoints are from before. Most often "
            f"the steps are too long: try {rates}."
        )

    def look(
        self, forward: nn.Module, ids: torch.Tensor, starts: torch.Tensor | None
    ) -> None:
        """Measure the loss on the validation text: some of it on the way, all at the end."""
        most = None if self.history.step == self.config.steps else LOOK
        loss = evaluate(forward, ids, self.config.context, most, starts)
        if not math.isfinite(loss):
            what = f"After step {self.history.step} the validation loss is {loss}"
            raise Problem(self.lost(what))
        self.history.validation.append((self.history.step, loss))

    def checkpoint(self, text: str, about: dict) -> Checkpoint:
        """All that a later process needs to go on; asked in every process.

        Raises Problem if a weight is no number, so that none is ever saved.
        """
        named = dict(self.model.named_parameters())
        weights = {
            name: distributed.full_tensor(values) for name, values in named.items()
        }
        for name, values in weights.items():
            if not values.isfinite().all():
                what = f"After step {self.history.step} {name} is no longer finite"
                raise Problem(self.lost(what))
        record = {"config": asdict(self.config), "history": asdict(self.history)}
        record |= {"text": text, "scaler": self.scaler.state_dict()}
        state = state_dict(self.weights, self.optimizers)
        return Checkpoint(weights, state, record, about)


def begin(
    model: nn.Module,
    config: TrainConfig,
    at: torch.device,
    text: str,
    last: Checkpoint | None,
    shard: bool = False,
) -> Run:
    """A new run, or the one whose last checkpoint this is.

    text: the fingerprint of what is read. Raises Problem if the checkpoint is of a run
    with other numbers or another text: its losses would not go on.
    """
    if not last:
        return Run(model, config, at, shard)
    try:
        check_same(last.record, config, text)
        checkpoints.fit(model, last.weights, "The checkpoint")
        run = Run(model, config, at, shard)
        load_state_dict(last.optimizer, run.weights, run.optimizers)
        run.scaler.load_state_dict(last.record["scaler"])
        run.history = History.of(last.record["history"])
        counts = [
            int(n) for name, n in last.optimizer.items() if name.endswith(".step")
        ]
        done = run.history.step
        if max(counts, default=0) > done or (done and not last.optimizer):
            raise ValueError("its losses and its steps")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Problem(
            f"The checkpoint is not of a run that this version can go on with ({error!r} "
            "went wrong): start again in another folder."
        ) from error
    return run


def check_same(record: dict, config: TrainConfig, text: str) -> None:
    """Raise Problem if a checkpoint's run isn't the one that is asked for."""
    ours = asdict(config)
    theirs = {k: v for k, v in record["config"].items() if ours.get(k) != v}
    if theirs:
        raise Problem(f"The checkpoint's run has other numbers: use its own, {theirs}.")
    if record["text"] != text:
        raise Problem("The checkpoint's run reads another text: give the same one.")


def fingerprint(*texts: torch.Tensor) -> str:
    """A short name for some texts' ids, the same on every machine."""
    ids = torch.cat([torch.tensor([len(one) for one in texts]), *texts])
    return hashlib.sha256(ids.long().cpu().numpy().tobytes()).hexdigest()[:16]


def check_folder(folder: Path | None, resume: bool) -> None:
    """Raise Problem for a run there that nobody asked to resume, or for no folder."""
    if resume and folder is None:
        raise Problem("There is nothing to resume without a folder: name the run's.")
    if folder and not resume and checkpoints.steps(folder):
        raise Problem(
            f"{folder} holds a run ({checkpoints.steps(folder)[-1].name}): resume it, or "
            "choose another folder."
        )


# The loop ---------------------------------------------------------------------------


def train(
    model: nn.Module,
    train_ids: torch.Tensor,
    val_ids: torch.Tensor,
    config: TrainConfig,
    at: torch.device | str | None = None,
    folder: Path | str | None = None,
    *,
    resume: bool = False,
    watch: Callable[[History], None] | None = None,
    about: dict | None = None,
    bar: bool = True,
    starts: torch.Tensor | None = None,
    val_starts: torch.Tensor | None = None,
    shard: bool = False,
    compiled: bool = False,
) -> History:
    """Train a model in place; give what was measured on the way.

    train_ids, val_ids: ids (N,) of two parts of a text. at: the device; None takes the
    best one here. folder: where a checkpoint goes every `config.every` steps; resume goes
    on from the last one. watch is called after each look at the validation text. about:
    what a reader of the checkpoint must know, such as the model's shape. starts and
    val_starts: where windows of either text may begin, such as the beginnings of stories,
    so that what is said at the end can be learnt from what was said at the start; None:
    anywhere. (With starts alone the validation loss is too high: such a model never
    learns to begin in the middle.) shard spreads the weights over torchrun's processes;
    compiled lets torch.compile work for a minute first. Raises Problem for a loss that is
    no number or a folder with another run in it, ValueError for texts or numbers that
    don't fit, Problem for a disk that is full. Ctrl-C saves, then
    stops.
    """
    folder = files.path(folder) if folder else None
    team, at = distributed.init(torch.device(at) if at else devices.best())
    config.share_out(team.world_size)
    shard = shard and team.world_size > 1
    read = [train_ids, val_ids]
    for ids, places in ((train_ids, starts), (val_ids, val_starts)):
        data.check(ids, config.batch, config.context)
        if places is not None:
            read.append(data.with_room(ids, places, config.context))
    check_folder(folder, resume)
    text, last = fingerprint(*read), checkpoints.load(folder) if resume else None
    run = begin(model.to(at).train(), config, at, text, last, shard)
    del last  # as large as the model and its optimiser
    forward = model if shard else distributed.data_parallel(model, team)
    forward = torch.compile(forward) if compiled else forward
    losses, clock = [], time.perf_counter()
    ticking = progress(run, bar and team.first)
    ours = folder if team.first else None  # where this process writes
    alone = checkpoints.alone(ours, about) if ours else contextlib.nullcontext()
    with alone, distributed.stoppable() as asked, ticking as ticks:
        for step in range(run.history.step, config.steps):
            torch.manual_seed(seed_of(step, config))  # for dropout, if there is any
            batch = batch_at(train_ids, step, config, starts)
            run.set_rate(rate_at(step, config))
            losses.append(backward(run, forward, batch, team))
            run.update()
            ticks.update(config.batch * config.context)
            looks = (step + 1) % config.every == 0 or step + 1 == config.steps
            # Between two looks nothing waits for the device: that is what keeps it busy.
            if not looks and not (asked.is_set() and team.world_size == 1):
                continue
            run.note(losses, team)
            run.history.seconds += time.perf_counter() - clock
            losses = []
            if looks:
                run.look(forward, val_ids, val_starts)
                ticks.set_postfix(loss=f"{run.history.validation[-1][1]:.3f}")
            if folder:
                checkpoint = run.checkpoint(text, about or {})
                if ours:
                    checkpoints.save(ours, run.history.step, checkpoint)
            if watch and looks and team.first:
                watch(run.history)
            if team.any(asked.is_set(), at):
                raise KeyboardInterrupt
            clock = time.perf_counter()
    return run.history


def backward(
    run: Run, forward: nn.Module, batch: tuple, team: distributed.Team
) -> torch.Tensor:
    """Add the gradients of a batch, in so many parts as asked; its loss, not yet read."""
    parts = run.config.accumulate
    inputs, targets = (team.rows(one).chunk(parts) for one in batch)
    total = 0.0
    for part in range(parts):
        here, right = (devices.send(one[part], run.at) for one in (inputs, targets))
        with distributed.no_sync(forward, part + 1 < parts):
            with devices.autocast(run.at):
                loss = next_token_loss(forward, here, right) / parts
            run.scaler.scale(loss).backward()
        total = total + loss.detach()
    return total


def progress(run: Run, shown: bool) -> tqdm:
    """A bar that counts tokens: it shows their rate and the time that is left."""
    config, done = run.config, run.history.step
    size = config.batch * config.context
    return tqdm(
        total=config.steps * size,
        initial=done * size,
        unit=" tokens",
        unit_scale=True,
        disable=not shown,
        delay=1,
    )
