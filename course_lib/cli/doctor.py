"""Examine a machine and name the remedy for each thing it lacks."""

import os
import platform
import re
import shutil
import sys

from course_lib.cli import environment
from course_lib.errors import Problem
from course_lib.files import ROOT, colab

OK, WARN, BAD = "✓", "!", "✗"
MEMORY_GB = 2.0  # free memory that lessons need
DISK_GB = 1.0  # free disk that the cache needs
WRONG = "set COURSE_DEVICE=cpu, or update the card's driver"


def say(mark: str, what: str, remedy: str = "") -> bool:
    """Print one finding and its remedy; return whether lessons can run in spite of it."""
    print(f" {mark} {what}" + (f"\n     → {remedy}" if remedy else ""), flush=True)
    return mark != BAD


def python() -> bool:
    version = platform.python_version()
    try:
        remark = environment.check_python()
    except Problem as problem:
        return say(BAD, f"Python {version}", str(problem))
    return say(WARN if remark else OK, f"Python {version}  {sys.executable}", remark)


def tested_set() -> dict[str, str]:
    """The pins of requirements.txt: name → version."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    return dict(re.findall(r"(?m)^([\w.-]+)==([\w.]+)", text))


def packages() -> bool:
    """Hold what is installed against the tested set."""
    from importlib.metadata import version

    pins = tested_set()
    absent = colab.missing(tuple(pins))
    if absent:
        return say(
            BAD, f"not installed: {', '.join(absent)}", "python -m course_lib lab"
        )
    other = [n for n, pin in pins.items() if version(n).split("+")[0] != pin]
    if other:
        told = ", ".join(f"{n} {version(n)} (tested: {pins[n]})" for n in other)
        return say(WARN, f"other versions: {told}", "python -m course_lib lab")
    return say(OK, f"all {len(pins)} packages are the tested ones")


def computes() -> bool:
    """The device, its threads, and whether it computes what the CPU computes."""
    from course_lib import devices

    try:
        chosen = devices.best()
    except ValueError as error:
        return say(BAD, str(error), "unset COURSE_DEVICE")
    worst = devices.self_test(chosen)
    what = f"{devices.describe(chosen)}: worst difference from the CPU {worst:.1e}"
    if worst > devices.TOLERANCE:
        return say(WARN, f"{what}, over {devices.TOLERANCE:.0e}", WRONG)
    return say(OK, what) and (chosen.type == "cpu" or compared(chosen))


def compared(chosen) -> bool:
    """Hold every part of the course that uses a device against the CPU, a line each."""
    from course_lib.cli import comparisons

    fine = True
    for one in comparisons.COMPARISONS:
        try:
            worst = comparisons.difference(one, chosen)
        except (RuntimeError, TypeError) as error:  # a thing that the device can't do
            fine &= say(WARN, f"{one.name}: {_first_line(error)}", WRONG)
            continue
        what = f"{one.name}: worst difference {worst:.1e}"
        if worst <= one.tolerance:
            fine &= say(OK, what)
        else:
            fine &= say(WARN, f"{what}, over {one.tolerance:.0e}", WRONG)
    return fine


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0] or type(error).__name__


def room() -> bool:
    """Free memory and disk."""
    import psutil

    from course_lib.files import cache, sources

    memory = psutil.virtual_memory().available / 1e9
    disk = shutil.disk_usage(cache.folder()).free / 1e9
    fine = say(
        OK if memory >= MEMORY_GB else WARN,
        f"{memory:.1f} GB of memory free",
        ""
        if memory >= MEMORY_GB
        else f"close other programs: lessons use {MEMORY_GB} GB",
    )
    enough = disk >= DISK_GB or all(
        (cache.folder() / file.name).is_file() for file in sources.EVERYTHING
    )
    remedy = "" if enough else "free some, or set COURSE_CACHE to another disk"
    return say(OK if enough else BAD, f"{disk:.1f} GB of disk free", remedy) and fine


def cached(fetch: bool) -> bool:
    """Every file of the cache, its SHA-256 computed afresh."""
    from course_lib import pretrained, tokenizer, vectors
    from course_lib.files import cache, sources

    print(f"   cache: {cache.folder()}")
    if fetch:
        try:
            for file in sources.EVERYTHING:
                cache.checked(file)
            pretrained.converted()
            tokenizer.smollm2_vocabulary()
            vectors.glove()
        except Problem as error:
            return say(BAD, str(error))
    fine = True
    for file in sources.EVERYTHING:
        fine &= _verified(cache.folder() / file.name, file.sha256, file.about, BAD)
    for name, about in (
        (pretrained.CONVERTED, "made from the first file"),
        (tokenizer.SMOLLM2_VOCABULARY, "made from the first file"),
        (sources.GLOVE, "GloVe's word vectors (Stanford, PDDL)"),
    ):
        path = cache.folder() / name
        note = cache.beside(path, cache.DIGEST)
        digest = note.read_text(errors="replace").strip() if note.is_file() else ""
        fine &= _verified(path, digest, about, WARN)
    return fine


def _verified(path, digest: str, about: str, if_absent: str) -> bool:
    from course_lib.files import cache

    if not path.is_file():
        remedy = "python -m course_lib doctor --fetch"
        return say(if_absent, f"{path.name} is not there ({about})", remedy)
    size = f"{path.stat().st_size / 1e6:.1f} MB"
    if cache.sha256(path) == digest:
        return say(OK, f"{path.name}  {size}, SHA-256 {digest[:8]}…  {about}")
    path.unlink()
    remedy = "it was deleted; python -m course_lib doctor --fetch brings it back"
    return say(BAD, f"{path.name} is damaged (SHA-256 differs)", remedy)


def examine(fetch: bool = False) -> bool:
    """Print all findings; return whether lessons can run."""
    print(f"Next Token on {platform.platform(terse=True)}, {os.cpu_count()} cores")
    if not (python() and packages()):
        return False
    try:
        findings = [computes(), room(), cached(fetch)]
    except Problem as error:  # a cache folder that can't be used
        findings = [say(BAD, str(error))]
    print(
        "Lessons can run." if all(findings) else "Lessons can't run yet: see → above."
    )
    return all(findings)


def run(args) -> int:
    """`doctor`: print all findings; 1 if lessons can't run."""
    return 0 if examine(args.fetch) else 1


def run_fetch(args) -> int:
    """`fetch`: download what lessons need. Raises Problem."""
    from course_lib.files import cache

    cache.fetch_all()
    return 0
