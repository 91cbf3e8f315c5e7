"""Checkpoints: what comes back, what a kill or a full disk leaves, what is refused."""

import errno
import json
import random
import subprocess
import sys
import time

import pytest
import runs
import torch
from safetensors.torch import load_file, save_file

from course_lib import checkpoints
from course_lib.checkpoints import Checkpoint
from course_lib.errors import Problem

MODEL, OTHER, RUN = checkpoints.FILES
SUMS = checkpoints.SUMS


def checkpoint(number: float = 1.0, size: int = 4) -> Checkpoint:
    weights = {"a": torch.full((size, 3), number), "b": torch.arange(5.0)}
    memory = {"a.exp_avg": torch.full((size, 3), -number), "a.step": torch.tensor(7.0)}
    return Checkpoint(weights, memory, {"losses": [number, 0.1]}, {"layers": 2})


def same(one: dict, other: dict) -> bool:
    """Equal to the last bit, name by name."""
    return list(one) == list(other) and all(
        one[k].dtype == other[k].dtype and torch.equal(one[k], other[k]) for k in one
    )


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def folder(tmp_path):
    """A run's folder with one checkpoint in it."""
    checkpoints.save(tmp_path / "run", 10, checkpoint())
    return tmp_path / "run"


def refused(call, *args) -> str:
    """The one sentence of the Problem that this call must raise."""
    with pytest.raises(Problem) as caught:
        call(*args)
    words = str(caught.value)
    assert words.endswith(".") and "\n" not in words
    assert caught.value._render_traceback_() == [f"Problem: {words}"]
    return words


# There and back -----------------------------------------------------------------------


def test_all_of_a_checkpoint_comes_back(folder):
    back, put = checkpoints.load(folder), checkpoint()
    assert same(back.weights, put.weights) and same(back.optimizer, put.optimizer)
    assert back.record == put.record and back.about == put.about


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_numbers_come_back_to_the_last_bit(tmp_path, dtype):
    put = torch.randn(7, 5, generator=runs.generator(0)).to(dtype)
    checkpoints.write({"a": put}, tmp_path / "x.safetensors")
    assert same(checkpoints.read(tmp_path / "x.safetensors")[0], {"a": put})


def test_views_of_one_tensor_are_written_each_by_itself(tmp_path):
    together = torch.randn(3, 4, 5, generator=runs.generator(0))
    parts = dict(zip("abc", together)) | {"d": together[0], "e": together[1].T}
    checkpoints.write(parts, tmp_path / "x.safetensors")
    assert same(load_file(tmp_path / "x.safetensors"), parts)


def test_no_pickle_is_ever_written(folder):
    assert names(folder / "step-00000010") == sorted([MODEL, OTHER, RUN, SUMS])
    json.loads((folder / "step-00000010" / RUN).read_text())
    for name in (MODEL, OTHER):  # what a reader that is not ours makes of them
        assert load_file(folder / "step-00000010" / name)


def test_a_model_file_says_what_it_is(folder, tmp_path):
    for path in (folder, folder / "step-00000010", folder / "step-00000010" / MODEL):
        weights, about = checkpoints.read(path)
        assert about == {"layers": 2} and same(weights, checkpoint().weights)
    save_file({"a": torch.ones(2)}, tmp_path / "silent.safetensors")
    assert checkpoints.read(tmp_path / "silent.safetensors")[1] == {}


def test_what_a_run_is_of_is_known_without_its_weights(folder, monkeypatch):
    checkpoints.save(folder, 20, checkpoint(2.0))
    monkeypatch.setattr(checkpoints, "tensors", None)  # nothing else reads tensors
    assert checkpoints.known(folder) == {"layers": 2}


def test_the_newest_is_read_and_the_last_two_are_kept(folder):
    for step in (20, 30, 100):
        checkpoints.save(folder, step, checkpoint(step))
    assert names(folder) == ["step-00000030", "step-00000100"]
    assert checkpoints.load(folder).record["losses"][0] == 100
    assert checkpoints.read(folder)[0]["a"][0, 0] == 100


def test_a_step_can_be_saved_again(folder):
    checkpoints.save(folder, 10, checkpoint(5.0))
    assert names(folder) == ["step-00000010"]
    assert checkpoints.load(folder).weights["a"][0, 0] == 5


# A kill -------------------------------------------------------------------------------


@pytest.mark.parametrize("file", [1, 2])
def test_a_kill_while_writing_leaves_the_one_before(folder, monkeypatch, file):
    class Killed(BaseException):
        """Not an error that anybody catches: the process is gone."""

    def cut_off(tensors, path, metadata=None):
        nonlocal file
        file -= 1
        save_file(tensors, path, metadata)
        if not file:
            path.write_bytes(path.read_bytes()[:50])
            raise Killed

    monkeypatch.setattr(checkpoints, "save_file", cut_off)
    with pytest.raises(Killed):
        checkpoints.save(folder, 20, checkpoint(2.0))
    monkeypatch.undo()
    assert "step-00000020.part" in names(folder)
    assert checkpoints.steps(folder) == [folder / "step-00000010"]
    assert same(checkpoints.load(folder).weights, checkpoint().weights)
    assert same(checkpoints.read(folder)[0], checkpoint().weights)
    checkpoints.save(folder, 20, checkpoint(3.0))  # the rest is in nobody's way
    assert names(folder) == ["step-00000010", "step-00000020"]
    assert checkpoints.load(folder).weights["a"][0, 0] == 3


def test_what_is_half_written_is_never_under_a_checkpoints_name(folder, monkeypatch):
    seen = []

    def watched(tensors, path, metadata=None):
        seen.append([p.name for p in checkpoints.steps(folder)])
        save_file(tensors, path, metadata)

    monkeypatch.setattr(checkpoints, "save_file", watched)
    checkpoints.save(folder, 20, checkpoint())
    assert seen == [["step-00000010"]] * 2


def test_files_reach_the_disk_before_they_get_their_name(folder, monkeypatch):
    done, fsync = [], checkpoints.os.fsync

    def noted(number):
        done.append([p.name for p in checkpoints.steps(folder)])
        fsync(number)

    monkeypatch.setattr(checkpoints.os, "fsync", noted)
    checkpoints.save(folder, 20, checkpoint())
    assert done == [["step-00000010"]] * 4


def test_prepare_makes_a_folder_and_clears_what_a_kill_left(folder, tmp_path):
    (folder / "step-00000020.part").mkdir()
    (folder / "step-00000020.part" / MODEL).write_bytes(b"half")
    (folder / "mine.txt").write_text("not yours")
    with checkpoints.alone(folder, {}):
        assert names(folder) == [".lock", "mine.txt", "step-00000010"]
    checkpoints.prepare(tmp_path / "a" / "b", {"layers": 2})
    assert names(tmp_path / "a" / "b") == []


# Kill and resume: the real thing --------------------------------------------------------

KILLS = 6


def newest(folder) -> int:
    """The step of the newest checkpoint; 0 if there is none."""
    found = checkpoints.steps(folder)
    return int(found[-1].name.removeprefix("step-")) if found else 0


def killed_at(process, folder, step: int, seconds: float) -> bool:
    """Kill a process some time after it has saved this step; False: it was done."""
    while process.is_alive() and newest(folder) < step:
        time.sleep(0.001)
    time.sleep(seconds)
    process.kill()
    process.join()
    return process.exitcode == -9


def kill_again_and_again(kind: str, folder, chance: random.Random) -> list[int]:
    """Train, killed at random moments and resumed, to the end; where it was killed."""
    total, kills = runs.KINDS[kind][1].steps, []
    marks = sorted(chance.sample(range(0, total * 3 // 4), KILLS))
    for mark in marks:
        process = runs.start(runs.whole_run, kind, folder, bool(newest(folder)))
        # Two or three steps take as long as the longest wait; a save, most of it.
        if killed_at(process, folder, mark, chance.uniform(0, 0.02)):
            kills.append(newest(folder))
    process = runs.start(runs.whole_run, kind, folder, bool(newest(folder)))
    process.join()
    assert process.exitcode == 0
    return kills


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("kind", runs.KINDS)
def test_a_run_killed_many_times_ends_as_if_nothing_had_happened(kind, tmp_path):
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    undisturbed = runs.start(runs.whole_run, kind, calm)
    kills = kill_again_and_again(kind, rough, random.Random(f"{kind} 1"))
    undisturbed.join()
    print(f"{kind}: killed {len(kills)} times, with newest checkpoints {kills}")
    assert len(kills) >= 5 and len(set(kills)) >= 4
    ends = [json.loads((f / "end.json").read_text()) for f in (calm, rough)]
    assert ends[0] == ends[1] and len(ends[0]["losses"]) == 80
    assert [step for step, _ in ends[0]["validation"]] == list(range(4, 81, 4))
    weights = [load_file(f / "end.safetensors") for f in (calm, rough)]
    assert same(*weights)
    assert not same(weights[0], dict(runs.new(runs.KINDS[kind][0]).named_parameters()))


# A full disk --------------------------------------------------------------------------


@pytest.mark.parametrize("file", [1, 2])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_what_can_not_be_written_is_one_sentence(folder, monkeypatch, file, number):
    def full(tensors, path, metadata=None):
        nonlocal file
        file -= 1
        if not file:
            path.write_bytes(b"half")
            raise OSError(number, "as the system says it")
        save_file(tensors, path, metadata)

    monkeypatch.setattr(checkpoints, "save_file", full)
    words = refused(checkpoints.save, folder, 20, checkpoint())
    assert words.startswith(f"Step 20 could not be saved in {folder}: ")
    assert "step-00000010 is whole" in words and words.endswith("and resume.")
    assert ("the disk is full" in words) == (number == errno.ENOSPC)
    assert ("as the system says it" in words) == (number == errno.EACCES)
    assert names(folder) == ["step-00000010"]
    assert same(checkpoints.load(folder).weights, checkpoint().weights)


def test_a_first_checkpoint_that_can_not_be_written(tmp_path, monkeypatch):
    def full(tensors, path, metadata=None):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    words = refused(checkpoints.save, tmp_path / "run", 20, checkpoint())
    assert "there is no earlier one" in words


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_file_that_the_system_cuts_off(folder):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_192, before[1]))
    try:
        words = refused(checkpoints.save, folder, 20, checkpoint(2.0, 10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "could not be saved" in words and names(folder) == ["step-00000010"]
    assert same(checkpoints.load(folder).weights, checkpoint().weights)


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 256 kB."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    try:
        done = subprocess.run(words, capture_output=True).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip("a small file system can't be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("size", [30_000, 12_000])  # weights don't fit; memory doesn't
def test_a_disk_that_is_really_full(small_disk, size):
    folder = small_disk / "run"
    checkpoints.save(folder, 10, checkpoint())
    words = refused(checkpoints.save, folder, 20, checkpoint(2.0, size))
    assert "the disk is full; step-00000010 is whole. Make room and resume." in words
    assert names(folder) == ["step-00000010"]
    assert same(checkpoints.load(folder).weights, checkpoint().weights)


def test_a_folder_that_can_not_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        words = refused(checkpoints.prepare, path, {})
        assert words.startswith(f"{path} can't be made (") and "choose another" in words


def test_words_about_a_model_that_json_can_not_hold(tmp_path):
    words = refused(checkpoints.prepare, tmp_path / "run", {"text": tmp_path})
    assert "can't be kept" in words and "give numbers, text" in words
    assert not (tmp_path / "run").exists()


# What is refused ------------------------------------------------------------------------


def test_no_checkpoint(tmp_path):
    (tmp_path / "step-00000010.part").mkdir()
    for call in (checkpoints.load, checkpoints.known):
        words = refused(call, tmp_path)
        assert words == f"There is no checkpoint in {tmp_path}: train there first."
    assert "There is no file" in refused(checkpoints.read, tmp_path / "x.safetensors")
    assert MODEL in refused(checkpoints.read, tmp_path)


# Damage -------------------------------------------------------------------------------


def flip(bit):
    """One bit of one byte, counted from the file's end where it is negative."""

    def change(raw):
        at = bit // 8 % len(raw)
        return raw[:at] + bytes([raw[at] ^ (1 << bit % 8)]) + raw[at + 1 :]

    return change


def edited(**change):
    """A record with other values, as JSON; None takes a key away."""

    def change_it(raw):
        record = json.loads(raw) | change
        return json.dumps({k: v for k, v in record.items() if v is not None}).encode()

    return change_it


BYTES = {
    "one low bit": flip(-32),
    "one exponent bit": flip(-2),
    "a bit of the header": flip(8 * 20),
    "a bit of the header's length": flip(9),
    "all zero": lambda raw: bytes(len(raw)),
    "numbers zero": lambda raw: raw[:-32] + bytes(32),
    "empty": lambda raw: b"",
    "ten bytes": lambda raw: raw[:10],
    "half": lambda raw: raw[: len(raw) // 2],
    "a byte short": lambda raw: raw[:-1],
    "a byte more": lambda raw: raw + b"\0",
    "deleted": lambda raw: None,
}
RECORDS = {
    "a loss fewer": edited(losses=[2.0]),
    "a digit": edited(losses=[2.0, 0.2]),
    "no losses": edited(losses=None),
    "losses a text": edited(losses="2.0"),
    "another key": edited(more=1),
    "no record": lambda raw: b"[]",
    "not UTF-8": lambda raw: b"\xff" + raw,
}
DAMAGES = [(name, how) for name in (MODEL, OTHER, SUMS) for how in BYTES]
DAMAGES.remove((SUMS, "a byte short"))  # a line's end, and nothing is lost
DAMAGES += [(RUN, how) for how in (*RECORDS, "half", "deleted")]


def damage(path, name, how) -> None:
    raw = ({**BYTES, **RECORDS}[how])((path / name).read_bytes())
    assert raw != (path / name).read_bytes()
    if raw is None:
        (path / name).unlink()
    else:
        (path / name).write_bytes(raw)


@pytest.mark.parametrize(("name", "how"), DAMAGES)
def test_damage_is_seen_and_the_checkpoint_before_is_used(folder, capsys, name, how):
    checkpoints.save(folder, 20, checkpoint(2.0))
    damage(folder / "step-00000020", name, how)
    assert same(checkpoints.load(folder).weights, checkpoint().weights)
    said = capsys.readouterr().err
    older = ", or of an older course" if (name, how) == (SUMS, "deleted") else ""
    assert said.startswith(f"{folder / 'step-00000020'} is damaged{older} (")
    assert said.endswith("; step-00000010 is used instead.\n") and said.count("\n") == 1
    assert checkpoints.known(folder) == {"layers": 2} and not capsys.readouterr().err
    assert same(checkpoints.read(folder)[0], checkpoint().weights)


@pytest.mark.parametrize(("name", "how"), DAMAGES[:3] + DAMAGES[-3:])
def test_damage_to_the_only_checkpoint_is_one_sentence(folder, name, how):
    damage(folder / "step-00000010", name, how)
    for call in (checkpoints.load, checkpoints.known, checkpoints.read):
        words = refused(call, folder)
        assert "is damaged (" in words and words.endswith("delete it, and start again.")


@pytest.mark.parametrize("how", ["one low bit", "half"])
def test_weights_named_by_themselves_are_held_to_their_sum(folder, how):
    step = folder / "step-00000010"
    damage(step, MODEL, how)
    for path in (step, step / MODEL):
        assert f"{MODEL} has changed since" in refused(checkpoints.read, path)
    (step / SUMS).unlink()  # then there is nothing to hold them to
    if how == "half":
        assert "is cut short" in refused(checkpoints.read, step / MODEL)
    else:
        assert not same(checkpoints.read(step / MODEL)[0], checkpoint().weights)


def test_a_foreign_list_of_sums_is_damage(folder):
    (folder / "step-00000010" / SUMS).write_text("nothing of the kind\n")
    assert "is damaged (" in refused(checkpoints.load, folder)


def test_sums_are_those_that_other_programs_read(folder):
    done = subprocess.run(["sha256sum", "-c", SUMS], cwd=folder / "step-00000010")
    assert done.returncode == 0


# What counts, what is kept, and who may write -------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["step-x", "step-", "step-20.old", "step-1.5", "step-new", "step-00000020 2"],
)
def test_only_a_step_and_digits_is_a_checkpoint(folder, name):
    (folder / name).mkdir()
    (folder / f"{name}.part").mkdir()
    (folder / name / "mine.txt").write_text("mine")
    (folder / "step-00000099").write_text("a file")
    for step in (20, 30, 40):
        checkpoints.save(folder, step, checkpoint(step))
    with checkpoints.alone(folder):
        pass
    assert [p.name for p in checkpoints.steps(folder)] == [
        "step-00000030",
        "step-00000040",
    ]
    assert (folder / name / "mine.txt").exists() and (folder / f"{name}.part").exists()
    assert checkpoints.load(folder).record["losses"][0] == 40


def measured(*losses: float) -> Checkpoint:
    one = checkpoint()
    looks = [[10 * i, loss] for i, loss in enumerate(losses, 1)]
    return Checkpoint(
        one.weights, one.optimizer, {"history": {"validation": looks}}, {}
    )


def test_the_best_checkpoint_is_kept_beside_the_last(tmp_path):
    losses = []
    for loss in (3.0, 2.0, 2.5, 2.6, 2.7, 1.9, 2.8, 2.9):
        losses.append(loss)
        checkpoints.save(tmp_path, 10 * len(losses), measured(*losses))
        if len(losses) == 5:
            assert names(tmp_path) == [f"step-000000{n}" for n in (20, 40, 50)]
    assert names(tmp_path) == [f"step-000000{n}" for n in (60, 70, 80)]
    assert checkpoints.best(measured(*losses).record) == 60
    assert checkpoints.best({"losses": [1.0]}) is None


HOLD = """
import sys, time
from course_lib import checkpoints
with checkpoints.alone(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_run_at_a_time_writes_in_a_folder(tmp_path):
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(Problem, match="Another run is writing in"):
            runs.whole_run("AdamW", tmp_path)
        assert checkpoints.steps(tmp_path) == []
        other.kill()
    with checkpoints.alone(tmp_path):  # a kill gives the folder back
        pass


@pytest.mark.parametrize("name", ["x.pt", "x.pth", "x.bin", "x.ckpt", "x.pkl"])
def test_a_pickle_is_never_opened(tmp_path, name):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("harm").touch, ())

    torch.save({"a": Evil()}, tmp_path / name)
    words = refused(checkpoints.read, tmp_path / name)
    assert words.startswith(f"{name} is a pickle") and "only .safetensors" in words
    (tmp_path / name).rename(tmp_path / "x.safetensors")  # under a false name
    words = refused(checkpoints.read, tmp_path / "x.safetensors")
    assert "is cut short, or no safetensors file" in words
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("raw", [b"", b"hello", bytes(100), b"\xff" * 100])
def test_a_foreign_file(tmp_path, raw):
    (tmp_path / "x.safetensors").write_bytes(raw)
    words = refused(checkpoints.read, tmp_path / "x.safetensors")
    assert "is cut short, or no safetensors file" in words


def model() -> torch.nn.Module:
    layer = torch.nn.Linear(3, 2)
    torch.nn.init.ones_(layer.weight)
    return layer


def test_weights_go_into_a_model():
    ours = model()
    weights = {"weight": torch.full((2, 3), 7.0), "bias": torch.tensor([1.0, 2.0])}
    checkpoints.fit(ours, weights, "The file")
    assert same(dict(ours.named_parameters()), weights)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bias": None}, r"^The file has no weight 'bias': it is another model's\.$"),
        (
            {"bias": torch.ones(5)},
            r"^The file has bias of shape \(5,\); this model wants \(2,\): make it with",
        ),
        ({"extra": torch.ones(1)}, r"^The file has a weight 'extra' that this model"),
    ],
)
def test_weights_of_another_model_change_nothing(change, words):
    ours = model()
    before = {name: weight.clone() for name, weight in ours.named_parameters()}
    weights = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2)} | change
    weights = {name: values for name, values in weights.items() if values is not None}
    with pytest.raises(Problem, match=words):
        checkpoints.fit(ours, weights, "The file")
    assert same(dict(ours.named_parameters()), before)
