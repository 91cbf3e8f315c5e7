"""`python -m tests.benchmarks [NAME …]`: print the machine, then measure."""

import argparse
import importlib
import os
import platform
import sys
from pathlib import Path

from tests.benchmarks import RUNS, Failed

NAMES = ("tokenizer", "pretrained", "autograd", "training", "record", "writing")
NAMES += ("grading",)


def processor() -> str:
    """The processor's name, as well as this system tells it."""
    listing = Path("/proc/cpuinfo")
    for line in listing.read_text().splitlines() if listing.is_file() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine() -> str:
    """Two lines that say where these times were measured."""
    import torch

    waiting = os.environ.get("OMP_WAIT_POLICY", "not set")
    return (
        f"Machine: {os.cpu_count()} cores, {processor()}, {platform.system()}\n"
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, OMP_WAIT_POLICY {waiting}"
    )


def measure(names: list[str], full: bool) -> None:
    """Print the machine, then run the named benchmarks."""
    print(machine())
    print(f"Medians of {RUNS} runs or more in turn, their range, and the ratio to ours")
    print("within a round (median and range).", flush=True)
    for name in names:
        benchmark = importlib.import_module(f"tests.benchmarks.{name}")
        print(f"\n# {name}", flush=True)
        benchmark.measure(full)


def attempt(names: list[str], full: bool) -> int:
    """Measure; say in a sentence what a benchmark lacks, and return 1."""
    from course_lib.errors import Problem

    try:
        measure(names, full)
    except (Problem, Failed) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def arguments(words: list[str] | None) -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("name", nargs="*", help=f"{', '.join(NAMES)}; none: all")
    about = "longer: more rounds, whole texts, what each ingredient buys (an hour)"
    parser.add_argument("--full", action="store_true", help=about)
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Measure; exit status 2 for a name that is none, 1 for what can't be measured."""
    asked = arguments(words)
    unknown = [name for name in asked.name if name not in NAMES]
    if unknown:
        known = " and ".join(NAMES)
        print(
            f"There is no benchmark {unknown[0]!r}; there are {known}.", file=sys.stderr
        )
        return 2
    try:
        return attempt(asked.name or list(NAMES), asked.full)
    except ModuleNotFoundError as error:
        install = "python -m pip install -r tests/requirements.txt"
        print(f"{error.name} is not installed: {install}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        sys.exit(130)
