"""Make text plain before a teacher's terminal, table or page shows it.

Names of files and what a student's code says are written by strangers: they may hold
escape codes, forged lines, halves of letters, and what a spreadsheet takes for a formula.
"""

import os
import unicodedata

MOST = 600  # letters of a message that are kept
NAME = 100  # letters of a name
SIGNS = ("=", "+", "-", "@", "|")  # what a spreadsheet takes for a formula's beginning


def plain(text: str, most: int = MOST) -> str:
    """The text in one line of visible letters, shortened.

    Control signs, halves of letters and signs that turn the direction of writing are
    written as their codes; line breaks and other white space become a space.
    """
    some = str(text)[: 4 * most]
    letters = [_plain(one) for one in some]
    line = " ".join("".join(letters).split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"


def _plain(letter: str) -> str:
    if letter.isspace():
        return " "
    if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
        return f"\\u{ord(letter):04x}"
    return letter


def name(path: str) -> str:
    """A file's name as text: bytes that are no UTF-8 are written as \\xNN."""
    return plain(os.fsencode(path).decode("utf-8", "backslashreplace"), NAME)


def cell(text: str) -> str:
    """A text that no spreadsheet takes for a formula: plain, with a ' before a sign.

    White space before the sign does not hide it, nor its form of full width.
    """
    line = plain(text)
    first = unicodedata.normalize("NFKC", line).lstrip()[:1]
    return f"'{line}" if first in SIGNS else line
