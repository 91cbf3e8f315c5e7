"""Read the claims and the words of the course off its lessons: nothing is typed twice.

`notebooks/claims.toml` lists each claim, the lessons that settle it, its verdict, and
where in their saved outputs the measured number stands. A glossary is the bold terms of
the lessons' cards, each with the sentence that defines it.
"""

import re
import tomllib
from collections import Counter
from dataclasses import dataclass

from nbformat import NotebookNode

from course_lib.errors import Problem
from course_lib.files import ROOT
from course_lib.notebooks import cells

LEDGER = ROOT / "notebooks" / "claims.toml"
VERDICTS = ("true", "true, with a condition", "looser than the truth")
WAITING = "in a lesson to come"
POINTS_BACK = re.compile(r"(This|That|These|Those|It|Its|Each|Such|They|Then|So|All)\b")


@dataclass(frozen=True)
class Claim:
    """A claim, what became of it, and the cell that settles it."""

    id: str
    claim: str
    verdict: str  # one of VERDICTS, or WAITING
    condition: str  # what the verdict depends on, or what is looser
    measured: str  # as the lesson printed it; empty while it waits
    notebook: str = ""  # the file's name
    cell: str = ""  # the cell's id


@dataclass(frozen=True)
class Term:
    """A word of the course, and the sentence that says what it is."""

    word: str
    sentence: str  # Markdown
    notebook: str
    cell: str


# Claims -------------------------------------------------------------------------------


def table() -> dict[str, dict]:
    """The ledger as it is written: id → {"claim", "lessons", "verdict", …}."""
    return tomllib.loads(LEDGER.read_text(encoding="utf-8"))


def said(cell: NotebookNode) -> str:
    """What a cell printed, and the captions of its pictures, as saved."""
    found = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        found.append(output.get("text", "") or data.get("text/markdown", ""))
    return "\n".join(found)


def settled(notebook: NotebookNode, id: str, pattern: str) -> tuple[str, str]:
    """The cell that settles a claim, and what it measured: the cell's id, the words.

    pattern is looked for in the outputs of the claim's cells and of the three that
    follow each. Raises Problem where the saved outputs do not hold it.
    """
    code = [one for one in notebook.cells if one.cell_type == "code"]
    places = [i for i, one in enumerate(code) if f"claim:{id}" in cells.tags(one)]
    for place in places:
        for one in code[place : place + 4]:
            if match := re.search(pattern, said(one)):
                words = match[1] if match.groups() else match[0]
                return code[place].id, " ".join(words.split())
    raise Problem(
        f"No output beside a cell tagged claim:{id} holds {pattern!r}. Run "
        "`python -m course_lib refresh`, or mend notebooks/claims.toml."
    )


def claims() -> list[Claim]:
    """Every claim with its verdict and its number, in the ledger's order."""
    written = {path.name[:2]: path for path in cells.paths()}
    opened = {number: cells.read(path) for number, path in written.items()}
    found = []
    for id, row in table().items():
        number = row.get("shown_in", row["lessons"][0])
        if "measured" not in row or number not in written:
            found.append(Claim(id, row["claim"], WAITING, "", ""))
            continue
        cell, words = settled(opened[number], id, row["measured"])
        more = (row["verdict"], row.get("condition", ""), words)
        found.append(Claim(id, row["claim"], *more, written[number].name, cell))
    return found


def counted(found: list[Claim]) -> str:
    """How many claims have which verdict, in a line."""
    counts = Counter(one.verdict for one in found)
    told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return f"{len(found)} claims: {told}"


def readme_lines() -> str:
    """What README shows of the claims: those that are looser than the truth, as a
    Markdown table, and how many there are of each kind."""
    found = claims()
    rows = [one for one in found if one.verdict == VERDICTS[-1]]
    lines = ["| what is said | what a lesson measured |", "|---|---|"]
    for one in rows:
        link = f"[{one.notebook[:2]}](notebooks/{one.notebook})"
        told = f"{one.condition}: {one.measured.replace('|', ' ')} ({link})"
        lines.append(f"| {one.claim} | {told} |")
    return "\n".join([*lines, "", f"{counted(found)}."])


# Words --------------------------------------------------------------------------------


def words_to_own(notebook: NotebookNode) -> list[str]:
    """The terms that a lesson's card promises."""
    row = re.search(r"\*\*Words you will own\*\* \| (.+?) \|", notebook.cells[1].source)
    return row[1].split(", ") if row else []


def bold(word: str) -> re.Pattern:
    """What finds a term where it is defined: bold, perhaps in the plural."""
    stem = re.escape(word.removesuffix("y"))
    return re.compile(rf"\*\*{stem}(?:y|s|es|ies)?\*\*", re.IGNORECASE)


def sentences(markdown: str) -> list[str]:
    """A cell's prose as sentences; folds, headings and lists lose their marks."""
    prose = re.sub(r"</?details>|<summary>.*?</summary>", "", markdown)
    found = []
    for block in re.split(r"\n\s*\n|\n(?=[-#|] ?)", prose):
        line = " ".join(block.split()).lstrip("#- ")
        # A sentence ends at . ! or ? (perhaps in bold, or in quotes), before a capital.
        found += re.split(r"(?<=[.!?])(?:\*\*)?[”\")]*\s+(?=[A-Z“(`*\[])", line)
    return [one for one in found if one]


def defined(notebook: NotebookNode, word: str) -> tuple[str, str]:
    """Where a lesson defines a term: the cell's id, and the sentence.

    One that points back ("This is the …") brings the one before it. Raises Problem.
    """
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.id != "card":
            parts = sentences(cell.source)
            for i, part in enumerate(parts):
                if bold(word).search(part):
                    back = bool(i) and POINTS_BACK.match(part.lstrip("*"))
                    text = f"{parts[i - 1]} {part}" if back else part
                    marks = text.count("**") % 2  # one of a pair was cut off
                    return cell.id, text + "**" * marks
    raise Problem(f"No cell defines {word!r} in bold.")


def glossary() -> list[Term]:
    """Every term of every lesson, by the alphabet."""
    found = []
    for path in cells.paths():
        notebook = cells.read(path)
        for word in words_to_own(notebook):
            cell, sentence = defined(notebook, word)
            found.append(Term(word, sentence, path.name, cell))
    return sorted(found, key=lambda term: (term.word.casefold(), term.notebook))
