"""The commands for authors: refresh, site, bench."""

import argparse
import importlib
import re
from pathlib import Path

from course_lib import files
from course_lib.cli.lab import lesson_number
from course_lib.errors import Problem
from course_lib.files import ROOT, address
from course_lib.notebooks import refresh, site

SETTINGS = "pyproject.toml"  # where the address is read from


def run_refresh(args: argparse.Namespace) -> int:
    """`refresh`: run lessons and save them with fresh outputs."""
    refresh.refresh([lesson_number(number) for number in args.lesson])
    return 0


def run_site(args: argparse.Namespace) -> int:
    """`site`: write all lessons as web pages."""
    from course_lib.cli import live  # needs torch

    out = files.path(args.out).absolute()
    site.check_place(out.resolve())  # before anything is fetched
    widgets, left_out = live.ready()
    site.build(out, model=write_model, widgets=widgets)
    size = sum((out / name).stat().st_size for name in site.files(out))
    pages = len(list(out.glob("*.html")))
    print(
        f"{pages} pages, {size / 1e6:.1f} MB. Open {out / 'index.html'} in a browser."
    )
    if left_out:
        print(left_out)
    return 0


def write_model(path: Path) -> None:
    """The page of the model that comes with the course."""
    from course_lib.cli import page  # needs torch

    title = "A language model that writes"
    page.write(
        str(ROOT / "assets" / "tinyworld.safetensors"), path, "float16", title, "One"
    )


def run_address(args: argparse.Namespace) -> int:
    """`address`: write a fork's address wherever the course's own stands."""
    new = args.url.rstrip("/").removesuffix(".git")
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", new):
        raise Problem(
            f"{args.url!r} is no address of a repository: give one such as "
            "https://github.com/me/next-token"
        )
    old = address()
    host = "https://github.com/"
    changed = []
    for path in [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("*.md"), ROOT / SETTINGS]:
        text = path.read_text(encoding="utf-8")
        # Links to Colab hold the owner and name without GitHub's host.
        written = text.replace(old, new)
        written = written.replace(
            f"/github/{old.removeprefix(host)}/", f"/github/{new.removeprefix(host)}/"
        )
        if written != text:
            path.write_text(written, encoding="utf-8")
            changed.append(path.name)
    print(f"{old} is {new} now, in {len(changed)} files: {', '.join(changed)}.")
    return 0


def run_bench(args: argparse.Namespace) -> int:
    """`bench`: measure speed; the benchmarks lie with the tests."""
    benchmarks = importlib.import_module("tests.benchmarks.__main__")
    return benchmarks.main([*args.name, *["--full"] * args.full])
