"""The commands `claims` and `glossary`: what the lessons settle, and their words."""

import argparse
import re
import textwrap

from course_lib.notebooks import ledger

WIDE = 88


def wrapped(text: str, indent: str) -> str:
    """Markdown as plain lines of at most WIDE letters."""
    plain = re.sub(r"\*\*|`|\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return textwrap.fill(plain, WIDE, initial_indent=indent, subsequent_indent=indent)


def run_claims(args: argparse.Namespace) -> int:
    """`claims`: each claim with its verdict, the number measured, and its cell."""
    found = ledger.claims()
    for one in found:
        print(wrapped(one.claim, ""))
        verdict = one.verdict + (f": {one.condition}" if one.condition else "")
        print(wrapped(verdict, "  "))
        if one.notebook:
            print(wrapped(f"measured: {one.measured}", "  "))
            print(f"  notebooks/{one.notebook}, cell {one.cell}")
        print()
    print(ledger.counted(found))
    return 0


def run_glossary(args: argparse.Namespace) -> int:
    """`glossary`: each word of the course, its sentence, its lesson."""
    for term in ledger.glossary():
        print(f"{term.word}  (lesson {term.notebook[:2]})")
        print(wrapped(term.sentence, "  "))
    return 0
