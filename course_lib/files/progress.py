"""Keep what a learner passed and guessed: a small file beside the learner's copies.

Each line of it is one thing that happened, as JSON: {"when", "id", "what", …}. A line is
added and nothing is ever rewritten, so a kill loses at most the last one. It is kept only
in a folder of a learner's own copies, which `lab` makes; nothing leaves the machine.

Needs nothing but Python's standard library.
"""

import json
from datetime import datetime
from pathlib import Path

FOLDER = "my_lessons"
NAME = "progress.jsonl"


def place() -> Path | None:
    """The file of the folder that a lesson runs in, or None where none is kept."""
    path = Path.cwd() / NAME
    return path if path.exists() else None


def note(id: str, what: str, **more: object) -> None:
    """Add a line: what happened to the exercise or the guess `id`.

    what: "passed", "tried" or "guessed"; a guess brings `guess` and `measured`. Where no
    file is kept, or it can't be written, nothing happens: a lesson goes on.
    """
    path = place()
    if path is None:
        return
    when = datetime.now().astimezone().isoformat(timespec="seconds")
    line = json.dumps({"when": when, "id": id, "what": what, **more}, default=str)
    try:
        old = path.read_bytes()
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" * (old[-1:] not in (b"", b"\n")) + line + "\n")
    except OSError:
        return  # a full disk takes no guess from anybody, and stops no lesson


def read(path: Path) -> list[dict]:
    """All that was noted, in order; lines that a kill cut short are left out."""
    found = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            one = json.loads(line)
        except ValueError:
            continue
        if isinstance(one, dict) and {"when", "id", "what"} <= set(one):
            found.append(one)
    return found
