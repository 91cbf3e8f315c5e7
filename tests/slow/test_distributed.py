"""Two processes train one model as one process does; torchrun starts them for real."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest
import runs
import torch
from runs import TRAIN_IDS, VAL_IDS, new
from safetensors.torch import load_file
from torch.nn import functional as F

from course_lib import checkpoints, distributed, train
from course_lib.distributed import Team
from course_lib.files import ROOT

pytestmark = pytest.mark.one  # twenty seconds in all
COUNT = 2


@pytest.fixture(scope="module")
def team(tmp_path_factory):
    """The folder in which two processes, started by torchrun, have left what they did."""
    if not torch.distributed.is_available() or sys.platform == "win32":
        pytest.skip("this torch has no processes that talk to each other")
    folder = tmp_path_factory.mktemp("team")
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", COUNT]
    paths = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        [sys.executable, *map(str, words), runs.__file__, str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        capture_output=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr.decode()[-4_000:]
    return folder


def alone(name: str, model=None, folder=None, resume=False):
    """The same run in this process."""
    model = model or new()
    config = runs.TEAM[name]
    history = train.train(
        model, TRAIN_IDS, VAL_IDS, config, "cpu", folder, resume=resume, bar=False
    )
    return model, history


# Alone --------------------------------------------------------------------------------


def test_one_process_is_a_team_too(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    team, at = distributed.init(torch.device("cpu"))
    assert team == Team(0, 1) and team.first and at == torch.device("cpu")
    rows, values = torch.arange(12).view(4, 3), torch.tensor([1.0, 2.0])
    assert torch.equal(team.rows(rows), rows) and torch.equal(team.mean(values), values)
    assert team.any(True, at) is True and team.any(False, at) is False
    model = new()
    assert distributed.data_parallel(model, team) is model
    with distributed.no_sync(model, True):
        pass
    assert distributed.full_tensor(model.embedding.weight) is model.embedding.weight
    distributed.destroy()


def test_devices_that_can_not_talk_to_each_other(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(ValueError, match=r"^2 processes on meta can't talk .*cpu\.$"):
        distributed.init(torch.device("meta"))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_row_goes_to_one_process(count):
    batch = torch.arange(24).view(12, 2)
    parts = [Team(rank, count).rows(batch) for rank in range(count)]
    assert all(part.shape == (12 // count, 2) for part in parts)
    assert sorted(torch.cat(parts)[:, 0].tolist()) == batch[:, 0].tolist()
    assert [Team(rank, count).first for rank in range(count)].count(True) == 1


# Two of them ----------------------------------------------------------------------------


def test_to_spread_weights_over_one_process_is_to_leave_them_alone():
    config = runs.TEAM["shard"]
    histories = [
        train.train(new(), TRAIN_IDS, VAL_IDS, config, "cpu", bar=False, shard=shard)
        for shard in (True, False)
    ]
    assert histories[0].losses == histories[1].losses


def test_gradients_of_two_are_those_of_one(team):
    model, rows = new(), TRAIN_IDS[: 8 * 17].view(8, 17)
    logits = model(rows[:, :-1])
    F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten()).backward()
    both = [load_file(team / f"gradients-{rank}.safetensors") for rank in range(COUNT)]
    for name, weight in model.named_parameters():
        assert torch.equal(both[0][name], both[1][name]), name
        assert torch.allclose(both[0][name], weight.grad, atol=1e-6), name


def test_a_ring_by_hand_gives_both_the_sum_and_leaves_their_own(team):
    both = [load_file(team / f"ring-{rank}.safetensors") for rank in range(COUNT)]
    for rank, found in enumerate(both):
        assert torch.equal(found["own"][0], torch.arange(5.0) + 10 * rank)
        assert found["sum"].tolist() == [[10.0, 12.0, 14.0, 16.0, 18.0]]


@pytest.mark.parametrize("name", runs.TEAM)
def test_two_have_the_losses_of_one(team, name):
    record = json.loads((team / name / "end.json").read_text())
    _, wanted = alone(name)
    assert record["losses"] == pytest.approx(wanted.losses, abs=1e-5)
    ours, theirs = (dict(pairs) for pairs in (record["validation"], wanted.validation))
    assert ours == pytest.approx(theirs, abs=1e-5) and list(ours) == [6, 12]
    assert wanted.losses[-1] < wanted.losses[0] - 0.1


@pytest.mark.parametrize("name", runs.TEAM)
def test_their_checkpoint_is_that_of_one(team, name, tmp_path):
    alone(name, folder=tmp_path)
    ours, wanted = checkpoints.load(team / name), checkpoints.load(tmp_path)
    assert ours.record["config"] == wanted.record["config"] == asdict(runs.TEAM[name])
    assert ours.record["text"] == wanted.record["text"]
    for mine, theirs in (
        (ours.weights, wanted.weights),
        (ours.optimizer, wanted.optimizer),
    ):
        assert sorted(mine) == sorted(theirs)
        for key in theirs:
            if "key.bias" not in key:  # no gradient but rounding: softmax drops it
                assert mine[key].shape == theirs[key].shape, key
                assert torch.allclose(mine[key], theirs[key], atol=1e-4), key


@pytest.mark.parametrize("name", runs.TEAM)
def test_one_process_goes_on_where_two_were_cut_off(team, name, tmp_path):
    kept = [path.name for path in checkpoints.steps(team / name)]
    assert kept == ["step-00000006", "step-00000012"]
    half = tmp_path / "step-00000006"
    checkpoints.shutil.copytree(team / name / "step-00000006", half)
    (model, history), (whole, wanted) = alone(name, None, tmp_path, True), alone(name)
    assert history.losses == pytest.approx(wanted.losses, abs=1e-5)
    for (key, a), b in zip(model.named_parameters(), whole.parameters()):
        if "key.bias" not in key:
            assert torch.allclose(a, b, atol=1e-4), key


def test_a_batch_that_can_not_be_shared_out_is_one_sentence(team):
    for rank in range(COUNT):
        words = (team / f"uneven-{rank}.txt").read_text()
        assert words.startswith("A batch of 3 can't be shared out evenly among 2 pro")
        assert words.endswith("make it a multiple of 2.")
