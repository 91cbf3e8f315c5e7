"""Training against a plain loop with torch's own parts, and against interruptions."""

import dataclasses
import json
import math
import os
import signal
import sys
import time
from dataclasses import replace

import pytest
import runs
import torch
from runs import SHAPE, TRAIN_IDS, VAL_IDS, new
from torch import nn
from torch.nn import functional as F

from course_lib import checkpoints, devices, fast_gpt, train
from course_lib.devices import generator
from course_lib.errors import Problem
from course_lib.gpt import GPT, GPTConfig
from course_lib.train import History, TrainConfig, rate_at

SHORT = TrainConfig(20, 4, 16, rate=3e-3, warmup=4, every=5)
BOTH = {"AdamW": runs.KINDS["AdamW"][1], "Muon": runs.KINDS["Muon"][1]}


@pytest.fixture(autouse=True)
def one_thread():
    """As in the other processes: sums in another order would have other last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def go(model, config=SHORT, folder=None, **others):
    """Train on the CPU, with a text that all tests share and no bar."""
    others = {"bar": False} | others
    return train.train(model, TRAIN_IDS, VAL_IDS, config, "cpu", folder, **others)


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    """Equal to the last bit."""
    pairs = zip(one.named_parameters(), other.named_parameters())
    return all(a[0] == b[0] and torch.equal(a[1], b[1]) for a, b in pairs)


def refused(error, call, *args, **others) -> str:
    """The one sentence of an error that this call must raise."""
    with pytest.raises(error) as caught:
        call(*args, **others)
    words = str(caught.value)
    assert words.endswith(".") and "\n" not in words
    return words


# Numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(n, v) for n in ("steps", "batch", "context", "every") for v in (0, -1)],
        *[("accumulate", 0), ("steps", 2.5), ("batch", "8"), ("warmup", -1)],
        *[(n, v) for n in ("rate", "decay", "clip", "muon") for v in (-1, math.nan)],
        *[("rate", math.inf), ("rate", "fast"), ("seed", 0.5), ("seed", -1)],
    ],
)
def test_numbers_that_make_no_run(name, value):
    words = refused(ValueError, TrainConfig, **{name: value})
    assert words.startswith(f"{name} is {value!r}; give a ")


def test_a_batch_that_can_not_be_shared_out():
    words = refused(ValueError, TrainConfig, batch=6, accumulate=4)
    assert words.startswith("A batch of 6 can't be shared out") and "of 4." in words
    config = TrainConfig(batch=12, accumulate=2)
    config.share_out(3)
    assert "multiple of 8." in refused(ValueError, config.share_out, 4)


@pytest.mark.parametrize(("steps", "warmup"), [(50, 10), (7, 1), (9, 0), (30, 29)])
def test_the_rate_is_torchs_warm_up_and_cosine(steps, warmup):
    config = TrainConfig(steps=steps, warmup=warmup)
    one = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    up = torch.optim.lr_scheduler.LinearLR(one, 1 / (warmup + 1), 1.0, max(1, warmup))
    down = torch.optim.lr_scheduler.CosineAnnealingLR(
        one, steps - warmup, train.LAST_SHARE
    )
    both = torch.optim.lr_scheduler.SequentialLR(one, [up, down], [warmup])
    for step in range(steps):
        assert rate_at(step, config) == pytest.approx(one.param_groups[0]["lr"])
        one.step()
        both.step()


def test_the_shape_of_the_rate():
    config = TrainConfig(steps=200, warmup=20)
    rates = [rate_at(step, config) for step in range(200)]
    assert 0 < rates[0] == rates[1] / 2 < 0.1 and max(rates) == rates[20] == 1
    assert rates[:21] == sorted(rates[:21])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert train.LAST_SHARE < rates[-1] < train.LAST_SHARE + 0.001
    never_up = [rate_at(s, TrainConfig(steps=5, warmup=50)) for s in range(5)]
    assert min(never_up) > 0 and max(never_up) < 0.1  # shorter than its warm-up


# Batches and losses -------------------------------------------------------------------


def test_the_loss_is_the_mean_over_every_position():
    model, (inputs, targets) = new(), train.batch_at(TRAIN_IDS, 0, SHORT)
    probabilities = model(inputs).softmax(-1).detach()
    wanted = [
        -math.log(probabilities[b, t, targets[b, t]])
        for b in range(4)
        for t in range(16)
    ]
    loss = train.next_token_loss(model, inputs, targets)
    assert loss.shape == () and loss.item() == pytest.approx(sum(wanted) / 64, 1e-5)


def test_half_precision_logits_are_compared_in_single():
    logits = torch.randn(2, 3, 40, generator=generator(0)).bfloat16()
    ids = torch.zeros(2, 3, dtype=torch.int64)
    loss = train.next_token_loss(lambda _: logits, ids, ids)
    wanted = F.cross_entropy(logits.float().flatten(0, 1), ids.flatten())
    assert loss.dtype == torch.float32 and torch.equal(loss, wanted)


def test_a_batch_is_decided_by_seed_and_step_only():
    first = train.batch_at(TRAIN_IDS, 3, SHORT)
    torch.manual_seed(99)
    torch.rand(7)
    again = train.batch_at(TRAIN_IDS, 3, replace(SHORT, rate=1.0, every=1))
    assert all(torch.equal(a, b) for a, b in zip(first, again))
    others = [
        train.batch_at(TRAIN_IDS, 4, SHORT),
        train.batch_at(TRAIN_IDS, 3, replace(SHORT, seed=1)),
    ]
    for other in others:
        assert not torch.equal(first[0], other[0])
    assert not torch.equal(others[0][0], others[1][0])  # seeds share no batch either


def test_targets_are_the_inputs_shifted_by_one():
    inputs, targets = train.batch_at(TRAIN_IDS, 5, SHORT)
    assert inputs.shape == targets.shape == (4, 16) and inputs.dtype == torch.int64
    assert torch.equal(inputs[:, 1:], targets[:, :-1])
    assert bool(((targets[:, -1] - inputs[:, -1]) % 40 <= 3).all())  # the text's rule


def test_windows_begin_where_they_may():
    starts = torch.tensor([0, 7, 30])
    inputs, _ = train.batch_at(TRAIN_IDS, 5, SHORT, starts)
    allowed = [TRAIN_IDS[start : start + SHORT.context].tolist() for start in starts]
    assert all(row in allowed for row in inputs.tolist())


@torch.no_grad()
@pytest.mark.parametrize("length", [17, 100, 113])
def test_evaluate_scores_every_target_once(length, monkeypatch):
    monkeypatch.setattr(train, "AT_ONCE", 48)  # several batches
    model, ids = new().double(), VAL_IDS[:length]
    losses = []
    for i in range(1, length):
        start = (i - 1) // 16 * 16
        logits = model(ids[None, start:i])[0, -1]
        losses.append(-logits.log_softmax(-1)[ids[i]].item())
    wanted = sum(losses) / len(losses)
    assert train.evaluate(model, ids, 16) == pytest.approx(wanted, 1e-6)


class Witness(nn.Module):
    """Notes what it is asked to read; its logits are all the same."""

    def __init__(self):
        super().__init__()
        self.weight, self.seen = nn.Parameter(torch.zeros(1)), []

    def forward(self, ids):
        self.seen += ids.tolist()
        assert not self.training and not torch.is_grad_enabled()
        return torch.zeros(*ids.shape, 400) + self.weight


@pytest.mark.parametrize("most", [1, 3, 10, 18, 19, 500])
def test_a_quick_look_reads_a_few_windows_spread_over_the_text(most):
    witness = Witness()
    loss = train.evaluate(witness, torch.arange(300), 16, most)
    assert loss == pytest.approx(math.log(400))
    starts = [row[0] for row in witness.seen]
    assert len(set(starts)) == len(starts) == (most if most < 18 else 19)
    assert all(start % 16 == 0 for start in starts) and starts[0] == 0
    steps = [b - a for a, b in zip(starts, starts[1:])]
    assert not steps or max(steps) - min(steps) <= 16  # evenly
    assert starts[-1] + 2 * 300 / most >= 288  # to the end


# Windows of 16 from here: 7 and 40 overlap the ones before them, 299 leaves no room.
PLACES = torch.tensor([7, 0, 30, 280, 40, 95, 150, 299])


@torch.no_grad()
def test_evaluate_from_starts_scores_windows_that_begin_there():
    model, losses = new().double(), []
    for start in (0, 30, 95, 150, 280):
        row = VAL_IDS[start : start + 17]
        log_p = model(row[None, :-1])[0].log_softmax(-1)
        losses += [-log_p[t, row[t + 1]].item() for t in range(16)]
    assert train.evaluate(model, VAL_IDS, 16, starts=PLACES) == pytest.approx(
        sum(losses) / len(losses), 1e-6
    )
    assert train.evaluate(model, VAL_IDS, 16) != pytest.approx(
        sum(losses) / len(losses), 1e-6
    )


@pytest.mark.parametrize("most", [1, 2, 4, 5, 6, None])
def test_a_quick_look_from_starts_reads_some_of_them(most):
    witness = Witness()
    train.evaluate(witness, torch.arange(300), 16, most, PLACES)
    begun, every = [row[0] for row in witness.seen], [0, 30, 95, 150, 280]
    assert begun == sorted(set(begun)) and set(begun) <= set(every)
    assert len(begun) == min(most or 5, 5)
    assert most != 2 or begun == [0, 95]  # spread


def test_a_look_reads_few_tokens_at_once():
    sizes = []

    def note(ids):
        sizes.append(ids.numel())
        return torch.zeros(*ids.shape, 40)

    class Model(nn.Module):
        def forward(self, ids):
            return note(ids)

    train.evaluate(Model(), torch.zeros(20_000, dtype=torch.int64), 1_000)
    assert max(sizes) <= train.AT_ONCE and len(sizes) < 8


def test_evaluate_leaves_the_model_as_it_was():
    for mode in (True, False):
        model = new().train(mode)
        train.evaluate(model, VAL_IDS, 16)
        assert model.training is mode
        assert all(weight.grad is None for weight in model.parameters())


# The loop against a plain one ---------------------------------------------------------


def plain(model: nn.Module, config: TrainConfig) -> list[float]:
    """Training as it stands in every textbook: whole batches, torch's AdamW."""
    matrices = [w for w in model.parameters() if w.dim() == 2]
    vectors = [w for w in model.parameters() if w.dim() != 2]
    groups = [
        {"params": matrices, "weight_decay": config.decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer, losses = torch.optim.AdamW(groups, betas=(0.9, 0.95)), []
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.rate * rate_at(step, config)
        inputs, targets = train.batch_at(TRAIN_IDS, step, config)
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        if config.clip:
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize(
    "change",
    [{}, {"accumulate": 2}, {"accumulate": 4}, {"clip": 0.05}, {"clip": 0.0},
     {"decay": 5.0}, {"warmup": 0}, {"seed": 3}],
    ids=str,
)  # fmt: skip
def test_twenty_steps_are_those_of_a_plain_loop(change):
    config = replace(SHORT, **change)
    ours, theirs = new(), new()
    losses, wanted = go(ours, config).losses, plain(theirs, config)
    assert losses == pytest.approx(wanted, abs=1e-5)
    assert wanted[-1] < wanted[0] - 0.1  # it learns
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters()):
        if not name.endswith("key.bias"):  # no gradient but rounding: softmax drops it
            assert torch.allclose(a, b, atol=2e-4), name


def test_a_learners_own_model_is_trained_too():
    class Bigram(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(40, 40)
            self.scale = nn.Parameter(torch.tensor(1.0))  # a weight without axes
            nn.init.zeros_(self.table.weight)

        def forward(self, ids):
            return self.table(ids) * self.scale

    ours, theirs = Bigram(), Bigram()
    config = replace(SHORT, rate=0.1)
    assert go(ours, config).losses == pytest.approx(plain(theirs, config), abs=1e-5)
    assert torch.allclose(ours.table.weight, theirs.table.weight, atol=1e-4)


def test_frozen_weights_stay_as_they_are():
    model, fresh = new(), new()
    model.embedding.requires_grad_(False)
    go(model, replace(SHORT, decay=5.0))
    assert torch.equal(model.embedding.weight, fresh.embedding.weight)
    assert not torch.equal(model.position.weight, fresh.position.weight)


@pytest.mark.parametrize("kind", BOTH)
def test_training_learns_and_tells_what_it_measured(kind):
    make, config = runs.KINDS[kind]
    heard, start = [], time.perf_counter()
    model = new(make)
    history = go(model, config, watch=lambda h: heard.append(h.step))
    assert history.step == len(history.losses) == 80
    assert history.losses[0] == pytest.approx(math.log(40), abs=0.2)
    assert history.validation[-1][1] < 0.6 * math.log(40)
    assert [step for step, _ in history.validation] == heard == list(range(4, 81, 4))
    end = train.evaluate(model, VAL_IDS, 16)
    assert history.validation[-1][1] == end
    assert 0 < history.seconds < time.perf_counter() - start


def test_the_last_look_reads_all_of_the_text(monkeypatch):
    monkeypatch.setattr(train, "LOOK", 2)
    model, some, whole = new(), [], []

    def watch(history):
        some.append(train.evaluate(model, VAL_IDS, 16, 2))
        whole.append(train.evaluate(model, VAL_IDS, 16))

    history = go(model, watch=watch)
    assert [loss for _, loss in history.validation] == [*some[:-1], whole[-1]]
    assert len(set(some + whole)) == 8


@pytest.mark.parametrize("both", [True, False])
def test_a_run_reads_either_text_from_its_own_starts(monkeypatch, both):
    monkeypatch.setattr(train, "LOOK", 2)
    model, some, whole = new(), [], []
    starts, here = torch.tensor([0, 7, 30, 900]), PLACES if both else None

    def watch(history):
        some.append(train.evaluate(model, VAL_IDS, 16, 2, here))
        whole.append(train.evaluate(model, VAL_IDS, 16, starts=here))

    history = go(model, watch=watch, starts=starts, val_starts=here)
    assert [loss for _, loss in history.validation] == [*some[:-1], whole[-1]]
    assert history.losses == go(new(), starts=starts).losses != go(new()).losses


def test_a_last_look_comes_even_if_it_is_not_due():
    history = go(new(), replace(SHORT, steps=7))
    assert [step for step, _ in history.validation] == [5, 7]


def test_one_seed_means_one_run():
    one, other, third = go(new()), go(new()), go(new(), replace(SHORT, seed=1))
    assert one.losses == other.losses != third.losses
    assert one.validation == other.validation != third.validation


def test_a_history_survives_json():
    history = History([1.5, 0.1 + 0.2], [(1, 2.5), (2, 1 / 3)], 1.25)
    assert History.of(json.loads(json.dumps(dataclasses.asdict(history)))) == history
    assert history.step == 2


def test_nothing_is_printed_without_a_bar(capfd):
    words = {}
    for bar in (True, False):
        # A bar waits a second before it shows itself.
        go(new(), replace(SHORT, steps=6), watch=lambda h: time.sleep(0.6), bar=bar)
        words[bar] = capfd.readouterr()
    assert words[False] == ("", "")
    assert words[True].out == "" and "tokens" in words[True].err


# To stop and to go on -------------------------------------------------------------------


def interrupted(step: int):
    """A model whose batch number `step` brings a Ctrl-C with it."""

    class Interrupted(GPT):
        batches = 0

        def forward(self, ids):
            self.batches += self.training
            if self.training and self.batches == step:
                signal.raise_signal(signal.SIGINT)
            return super().forward(ids)

    return new(Interrupted)


def with_chance(step: int = 0):
    """A model that draws random numbers of torch's own as it reads."""

    class Dropping(type(interrupted(step))):
        def forward(self, ids):
            return F.dropout(super().forward(ids), 0.2, self.training)

    return new(Dropping)


@pytest.mark.parametrize("change", [{}, {"accumulate": 2}, {"muon": 0.02}], ids=str)
@pytest.mark.parametrize("step", [1, 7, 10])
def test_ctrl_c_saves_the_step_that_it_was_at(tmp_path, step, change):
    config, make = replace(SHORT, **change), (GPT, fast_gpt.FastGPT)["muon" in change]
    batches = step * config.accumulate
    before = signal.getsignal(signal.SIGINT)
    if make is GPT:
        model = interrupted(batches)
    else:
        model = new(make)
        model.register_forward_pre_hook(pressing(batches))
    with pytest.raises(KeyboardInterrupt):
        go(model, config, tmp_path)
    assert signal.getsignal(signal.SIGINT) is before
    assert checkpoints.steps(tmp_path)[-1].name == f"step-{step:08}"
    whole, rest = new(make), new(make, seed=9)
    undisturbed = go(whole, config)
    resumed = go(rest, config, tmp_path, resume=True)
    assert resumed.losses == undisturbed.losses
    assert resumed.validation == undisturbed.validation
    assert same_weights(whole, rest)


def pressing(number: int):
    """A hook that presses Ctrl-C when a model trains on its batch of this number."""
    count = 0

    def hook(model, inputs):
        nonlocal count
        count += model.training
        if model.training and count == number:
            signal.raise_signal(signal.SIGINT)

    return hook


def test_a_run_with_dropout_goes_on_as_if_never_stopped(tmp_path):
    whole, rest = with_chance(), with_chance()
    undisturbed = go(whole)
    assert undisturbed.losses != go(new()).losses  # it does drop
    with pytest.raises(KeyboardInterrupt):
        go(with_chance(7), SHORT, tmp_path)
    torch.manual_seed(5)
    assert go(rest, SHORT, tmp_path, resume=True).losses == undisturbed.losses
    assert same_weights(whole, rest)


def test_ctrl_c_without_a_folder_stops_too():
    with pytest.raises(KeyboardInterrupt):
        go(interrupted(7))


def wait_for(condition, seconds: float = 60) -> None:
    """Wait until something is so; fail if it takes too long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for others")
def test_ctrl_c_from_outside_saves_and_the_run_goes_on(tmp_path):
    folder, told = tmp_path / "run", tmp_path / "run.told"
    process = runs.start(runs.slow_run, folder, 27, 0.02)
    wait_for(told.exists)
    os.kill(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == 130
    step = int(checkpoints.steps(folder)[-1].name.removeprefix("step-"))
    assert 27 <= step < 80 and step not in (40, 60)
    config, whole, rest = replace(BOTH["AdamW"], every=20), new(), new()
    undisturbed = go(whole, config)
    resumed = go(rest, config, folder, resume=True)
    assert resumed.losses == undisturbed.losses and same_weights(whole, rest)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for others")
def test_a_second_ctrl_c_stops_at_once(tmp_path):
    folder, told = tmp_path / "run", tmp_path / "run.told"
    process = runs.start(runs.slow_run, folder, 22, 600.0)
    wait_for(told.exists)
    os.kill(process.pid, signal.SIGINT)
    process.join(0.5)
    assert process.is_alive()  # it wants to end its step
    os.kill(process.pid, signal.SIGINT)
    process.join(20)
    assert process.exitcode == 130
    assert checkpoints.steps(folder)[-1].name == "step-00000020"


def test_a_run_in_another_thread_leaves_ctrl_c_alone():
    import threading

    found = []
    thread = threading.Thread(target=lambda: found.append(go(new()).step))
    thread.start()
    thread.join()
    assert found == [20]


def test_a_finished_run_is_read_back(tmp_path):
    model, again = new(), new(seed=9)
    history = go(model, SHORT, tmp_path)
    assert go(again, SHORT, tmp_path, resume=True) == history
    assert same_weights(model, again)


# What can't go on -----------------------------------------------------------------------


def spoilt_at(step: int) -> nn.Module:
    """A model that from batch number `step` on gives no numbers."""
    model, count = new(), 0

    def hook(model, inputs, logits):
        nonlocal count
        count += model.training
        return logits * math.nan if model.training and count >= step else logits

    model.register_forward_hook(hook)
    return model


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    words = refused(Problem, go, spoilt_at(13), SHORT, tmp_path)
    assert words.startswith("The loss of step 13 is nan: this run is lost. Saved ")
    assert words.endswith("try rate=0.001.")
    assert checkpoints.steps(tmp_path)[-1].name == "step-00000010"
    last = checkpoints.load(tmp_path)
    assert all(bool(w.isfinite().all()) for w in last.weights.values())
    assert len(last.record["history"]["losses"]) == 10
    rest, whole = new(), new()  # what was saved is good
    assert go(rest, SHORT, tmp_path, resume=True).losses == go(whole).losses


@pytest.mark.parametrize("kind", BOTH)
def test_a_rate_that_is_far_too_high(tmp_path, kind):
    make, config = runs.KINDS[kind]
    config = replace(config, rate=1e38, muon=1e38 if config.muon else 0.0)
    words = refused(Problem, go, new(make), config, tmp_path)
    assert "try rate=3e+37" in words and ("muon=3e+37" in words) == (kind == "Muon")
    assert checkpoints.steps(tmp_path) == []


def no_slope_at(step: int) -> nn.Module:
    """A model with a fine loss in batch number `step`, but no numbers for gradients."""
    model, count = new(), 0

    def hook(slope):
        nonlocal count
        count += 1
        return slope * math.nan if count == step else slope

    model.norm.weight.register_hook(hook)
    return model


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    model = no_slope_at(7)
    model.register_forward_pre_hook(pressing(7))
    with pytest.raises((Problem, KeyboardInterrupt)) as caught:
        go(model, SHORT, tmp_path)
    assert caught.type is Problem  # a Ctrl-C let out would end the tests themselves
    words = str(caught.value)
    assert words.startswith("After step 7 ") and "no longer finite" in words
    assert [p.name for p in checkpoints.steps(tmp_path)] == ["step-00000005"]
    words = refused(Problem, go, no_slope_at(5), SHORT)
    assert words.startswith("After step 5 the validation loss is nan")


def test_a_run_with_other_numbers_is_not_resumed(tmp_path):
    go(new(), SHORT, tmp_path)
    other = replace(SHORT, rate=0.5, steps=30)
    words = refused(Problem, go, new(), other, tmp_path, resume=True)
    assert "'steps': 20" in words and "'rate': 0.003" in words and "warmup" not in words


@pytest.mark.parametrize("which", [0, 1])
def test_a_run_on_another_text_is_not_resumed(tmp_path, which):
    go(new(), SHORT, tmp_path)
    texts = [TRAIN_IDS, VAL_IDS]
    texts[which] = texts[which].roll(1)
    words = refused(
        Problem, train.train, new(), *texts, SHORT, "cpu", tmp_path, resume=True
    )
    assert words == "The checkpoint's run reads another text: give the same one."


@pytest.mark.parametrize("which", ["starts", "val_starts"])
def test_a_run_from_other_starts_is_not_resumed(tmp_path, which):
    given = {"starts": torch.tensor([0, 7, 30]), "val_starts": PLACES}
    history = go(new(), SHORT, tmp_path, **given)
    assert go(new(), SHORT, tmp_path, resume=True, **given) == history
    for other in (given[which] + 1, None):
        changed = given | {which: other}
        words = refused(Problem, go, new(), SHORT, tmp_path, resume=True, **changed)
        assert words == "The checkpoint's run reads another text: give the same one."


@pytest.mark.parametrize("which", ["starts", "val_starts"])
def test_starts_without_room_are_told_before_training(tmp_path, which):
    model, late = new(), {which: torch.tensor([-1, 5_000])}
    words = refused(ValueError, go, model, SHORT, tmp_path / "run", **late)
    assert words.startswith("None of the starts leaves room for 16 ids and their")
    assert same_weights(model, new()) and not (tmp_path / "run").exists()


def test_where_a_text_ends_belongs_to_it():
    a = train.fingerprint(TRAIN_IDS[:50], TRAIN_IDS[50:90])
    assert a != train.fingerprint(TRAIN_IDS[:60], TRAIN_IDS[60:90])
    assert a == train.fingerprint(TRAIN_IDS[:50].int(), TRAIN_IDS[50:90].int())


def test_a_folder_in_use_is_not_overwritten(tmp_path):
    go(new(), SHORT, tmp_path)
    words = refused(Problem, go, new(), SHORT, tmp_path)
    assert words.startswith(f"{tmp_path} holds a run (step-00000020): resume it, or")
    assert Problem(words)._render_traceback_() == [f"Problem: {words}"]


def test_nothing_to_resume(tmp_path):
    with pytest.raises(Problem, match="There is no checkpoint in"):
        go(new(), SHORT, tmp_path, resume=True)
    assert "without a folder" in refused(Problem, go, new(), SHORT, resume=True)


def test_a_checkpoint_of_another_shape(tmp_path):
    go(new(), SHORT, tmp_path)
    wider = GPT(GPTConfig(40, 16, 2, 48, 2))
    with pytest.raises(Problem, match="The checkpoint has embedd"):
        go(wider, SHORT, tmp_path, resume=True)


@pytest.mark.parametrize("which", [0, 1])
def test_a_text_that_is_too_short_is_told_before_training(which):
    texts, model = [TRAIN_IDS, VAL_IDS], new()
    texts[which] = texts[which][:16]
    words = refused(ValueError, train.train, model, *texts, SHORT, "cpu", bar=False)
    assert "16 ids" in words and same_weights(model, new())


def test_a_folder_that_can_not_be_made_is_told_before_training(tmp_path):
    (tmp_path / "file").write_text("in the way")
    model = new()
    for folder, about in ((tmp_path / "file", {}), (tmp_path / "run", {"x": {1, 2}})):
        with pytest.raises(Problem):
            go(model, SHORT, folder, about=about)
    assert same_weights(model, new())


def test_a_full_disk_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    real, count = checkpoints.save_file, 0

    def filling(tensors, path, metadata=None):
        nonlocal count
        count += 1
        if count > 4:
            raise OSError(28, "No space left on device")
        real(tensors, path, metadata)

    monkeypatch.setattr(checkpoints, "save_file", filling)
    with pytest.raises(Problem, match="Step 15 could not be saved"):
        go(new(), SHORT, tmp_path)
    monkeypatch.undo()
    assert go(new(), SHORT, tmp_path, resume=True).losses == go(new()).losses


def test_a_checkpoint_says_what_it_is_of(tmp_path):
    model = new()
    go(model, SHORT, tmp_path, about={"shape": dataclasses.asdict(SHAPE)})
    weights, about = checkpoints.read(tmp_path)
    again = GPT(GPTConfig(**about["shape"]))
    checkpoints.fit(again, weights, "The file")
    assert same_weights(model, again)


# Precision ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", BOTH)
def test_half_precision_learns_nearly_the_same_and_goes_on(
    kind, dtype, tmp_path, monkeypatch
):
    make, config = runs.KINDS[kind]
    config, (whole, rest) = replace(config, steps=20, every=5), (new(make), new(make))
    wanted = go(new(make), config)
    monkeypatch.setitem(devices.PRECISION, "cpu", dtype)
    half = go(whole, config)
    assert half.losses == pytest.approx(wanted.losses, abs=0.3)
    assert half.losses[5:] != wanted.losses[5:]
    assert half.validation[-1][1] < wanted.validation[0][1]  # it learns
    assert all(weight.dtype == torch.float32 for weight in whole.parameters())
    rest.register_forward_pre_hook(pressing(7))
    with pytest.raises(KeyboardInterrupt):
        go(rest, config, tmp_path)
    again = new(make, seed=9)
    assert go(again, config, tmp_path, resume=True).losses == half.losses
    assert same_weights(whole, again)


def history(**change):
    return lambda kept: kept.record["history"].update(change)


FOREIGN = {
    "no losses": lambda kept: kept.record["history"].pop("losses"),
    "no history": lambda kept: kept.record.pop("history"),
    "no numbers": lambda kept: kept.record.pop("config"),
    "no text": lambda kept: kept.record.pop("text"),
    "no scaler": lambda kept: kept.record.pop("scaler"),
    "losses a text": history(losses="2.0"),
    "losses of text": history(losses=["a"] * 20),
    "losses fewer": history(losses=[2.0]),
    "looks a number": history(validation=3),
    "looks cut short": history(validation=[[10]]),
    "seconds a text": history(seconds="long"),
    "no state": lambda kept: kept.optimizer.clear(),
    "a state less": lambda kept: kept.optimizer.popitem(),
    "a state more": lambda kept: kept.optimizer.update({"a.exp_avg": torch.ones(2)}),
    "another shape": lambda kept: kept.optimizer.update(
        {name: torch.ones(3) for name in kept.optimizer if name.endswith("exp_avg")}
    ),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_checkpoint_that_is_of_no_run_of_ours_is_not_resumed(tmp_path, what):
    go(new(), SHORT, tmp_path)
    kept = checkpoints.load(tmp_path)
    FOREIGN[what](kept)
    cpu, text = torch.device("cpu"), kept.record.get("text", "")
    words = refused(Problem, train.begin, new(), SHORT, cpu, text, kept)
    assert "is not of a run that this version can go on with" in words


def test_a_resumed_run_scales_its_gradients_as_before(monkeypatch):
    monkeypatch.setitem(devices.PRECISION, "cpu", torch.float16)
    cpu = torch.device("cpu")
    kept = train.begin(new(), SHORT, cpu, "text", None).checkpoint("text", {})
    kept.record["scaler"]["scale"] = 1_024.0  # what it had found on its way
    assert train.begin(new(), SHORT, cpu, "text", kept).scaler.get_scale() == 1_024.0


def test_only_float16_needs_its_gradients_scaled(monkeypatch):
    cpu, scaled = torch.device("cpu"), []
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        monkeypatch.setitem(devices.PRECISION, "cpu", dtype)
        scaled.append(devices.scaler(cpu).is_enabled())
        with devices.autocast(cpu):
            product = torch.ones(2, 2) @ torch.ones(2, 2)
        assert product.dtype == dtype
    assert scaled == [False, False, True]


# On a GPU -------------------------------------------------------------------------------

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no GPU on this machine"
)
TEN = TrainConfig(10, 4, 16, rate=3e-3, warmup=3, every=5)
FAST_TEN = replace(TEN, rate=1e-2, muon=0.02)


def on_gpu(model, config, folder=None, **others):
    return train.train(
        model, TRAIN_IDS, VAL_IDS, config, "cuda", folder, bar=False, **others
    )


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("make", [GPT, fast_gpt.FastGPT])
def test_ten_losses_on_the_gpu_are_those_of_the_cpu(make, monkeypatch):
    config = FAST_TEN if make is fast_gpt.FastGPT else TEN
    wanted = go(new(make), config).losses
    half = on_gpu(new(make), config).losses
    assert half == pytest.approx(wanted, abs=0.1)
    monkeypatch.setitem(devices.PRECISION, "cuda", torch.float32)
    single = on_gpu(new(make), config).losses
    assert single == pytest.approx(wanted, abs=2e-3)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("make", [GPT, fast_gpt.FastGPT])
def test_a_run_on_the_gpu_goes_on_where_it_was(make, tmp_path):
    config = FAST_TEN if make is fast_gpt.FastGPT else TEN
    whole, rest = new(make), new(make, seed=9)
    undisturbed = on_gpu(whole, config, tmp_path)
    checkpoints.shutil.rmtree(tmp_path / "step-00000010")
    resumed = on_gpu(rest, config, tmp_path, resume=True)
    assert resumed.losses == pytest.approx(undisturbed.losses, abs=1e-3)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("make", [GPT, fast_gpt.FastGPT])
def test_nothing_waits_for_the_gpu_between_two_looks(make):
    config, at = (FAST_TEN if make is fast_gpt.FastGPT else TEN), torch.device("cuda")
    run = train.Run(new(make).to(at), config, at)

    def step(number: int) -> None:
        batch = train.batch_at(TRAIN_IDS, number, config)
        train.backward(run, run.model, batch, train.distributed.Team())
        run.set_rate(rate_at(number, config))
        run.update()

    step(0)  # the first one sets things up
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        for number in range(1, 4):
            step(number)
    finally:
        torch.cuda.set_sync_debug_mode("default")
