"""The commands for authors: refresh, site, bench."""

import argparse
import importlib
from pathlib import Path

from course_lib.cli.lab import lesson_number
from course_lib.notebooks import refresh, site


def run_refresh(args: argparse.Namespace) -> int:
    """`refresh`: run lessons and save them with fresh outputs."""
    refresh.refresh([lesson_number(number) for number in args.lesson])
    return 0


def run_site(args: argparse.Namespace) -> int:
    """`site`: write all lessons as web pages."""
    out = Path(args.out).absolute()
    site.build(out)
    size = sum((out / name).stat().st_size for name in site.files(out))
    pages = len(list(out.glob("*.html")))
    print(
        f"{pages} pages, {size / 1e6:.1f} MB. Open {out / 'index.html'} in a browser."
    )
    return 0


def run_bench(args: argparse.Namespace) -> int:
    """`bench`: measure speed; the benchmarks lie with the tests."""
    benchmarks = importlib.import_module("tests.benchmarks.__main__")
    return benchmarks.main([*args.name, *["--full"] * args.full])
