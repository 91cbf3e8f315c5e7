"""The command `progress`: how far the learner is, lesson by lesson.

It reads one small file beside the learner's copies. Nothing leaves the machine, and
nothing here needs more than Python's standard library.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

from course_lib.cli import copies
from course_lib.files import ROOT
from course_lib.files.progress import FOLDER, NAME, read

LESSONS = 16
BAR = 24  # letters
CHECK = re.compile(r'\bcheck\("(\d\d\.\w+)"')
GUESS = re.compile(r'\bpredict\(\s*"(\d\d\.[\w-]+)"')
FURTHEST = 3  # guesses that are shown


def contents(path: Path) -> tuple[str, list[str], list[str]]:
    """What a lesson asks: its title, the ids of its exercises and of its guesses."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(one["source"]) for one in cells if one["cell_type"] == "code"]
    found = [re.findall(ask, "\n".join(code)) for ask in (CHECK, GUESS)]
    title = "".join(cells[0]["source"]).splitlines()[0].removeprefix("# ")
    return title, *[list(dict.fromkeys(ids)) for ids in found]


def bar(done: int, of: int) -> str:
    """A bar of BAR letters: "████░░░░"."""
    full = BAR * done // of if of else 0
    return "█" * full + "░" * (BAR - full)


def off(noted: dict) -> float:
    """How far a guess was from what was measured: a factor; 1 for words that fit."""
    guess, measured = noted.get("guess"), noted.get("measured")
    numbers = all(
        isinstance(one, int | float)
        and not isinstance(one, bool)
        and math.isfinite(one)
        for one in (guess, measured)
    )
    if not numbers:
        return 1.0
    if guess * measured <= 0:
        return 1.0 if guess == measured else math.inf
    return max(guess / measured, measured / guess)


def report(root: Path = ROOT) -> list[str]:
    """The lines to print."""
    path = root / FOLDER / NAME
    noted = read(path) if path.exists() else []
    passed = {one["id"] for one in noted if one["what"] == "passed"}
    guessed = {one["id"]: one for one in noted if one["what"] == "guessed"}  # the last
    lines, following = [], None
    found = {path.name[:2]: contents(path) for path in copies.lessons(root)}
    for number in (f"{i:02}" for i in range(LESSONS)):
        if number not in found:
            lines.append(f"{number} {'·' * BAR}  being written")
            continue
        title, exercises, guesses = found[number]
        done = [id for id in exercises if id in passed]
        made = [id for id in guesses if id in guessed]
        asked, answered = len(exercises) + len(guesses), len(done) + len(made)
        following = following or next(
            (id for id in exercises if id not in passed), None
        )
        lines.append(
            f"{number} {bar(answered, asked)}  {len(done)} of {len(exercises)} exercises, "
            f"{len(made)} of {len(guesses)} guesses  {title}"
        )
    lines.append("")
    if following:
        lines.append(
            f"Next exercise: {following}   python -m course_lib lab {following[:2]}"
        )
    else:
        lines.append("Every exercise is passed.")
    far = sorted((one for one in guessed.values() if off(one) > 1.2), key=off)[::-1]
    if far:
        lines.append("Furthest off:")
    for one in far[:FURTHEST]:
        times = f"a factor of {off(one):,.3g}" if off(one) < math.inf else "the sign"
        told = f"you said {one['guess']}, measured {one['measured']}: {times}"
        lines.append(f"  {one['id']}: {told}")
    if not noted:
        lines.append(
            f"Nothing is noted yet: open {FOLDER} with `python -m course_lib lab`; what "
            "you guess and pass there is kept beside it, on this machine only."
        )
    return lines


def run(args) -> int:
    """`progress`: print the bars, the next exercise, the guesses furthest off."""
    print("\n".join(report()))
    return 0
