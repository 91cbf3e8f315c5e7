"""Claims and words, read off the lessons."""

import nbformat
import pytest

from course_lib.errors import Problem
from course_lib.files import ROOT
from course_lib.notebooks import cells, ledger


def lesson(*outputs, tags=("claim:x",)):
    notebook = nbformat.v4.new_notebook()
    for i, text in enumerate(outputs):
        out = [nbformat.v4.new_output("stream", text=text)]
        cell = nbformat.v4.new_code_cell("1", outputs=out, id=f"cell-{i}")
        cell.metadata["tags"] = list(tags) if i == 0 else []
        notebook.cells.append(cell)
    return notebook


def test_every_claim_of_a_written_lesson_has_a_verdict_and_a_number():
    written = {path.name[:2] for path in cells.paths()}
    rows, found = ledger.table(), {one.id: one for one in ledger.claims()}
    assert list(rows) == list(found)
    for id, row in rows.items():
        shown = row.get("shown_in", row["lessons"][0])
        assert shown in row["lessons"]
        if shown not in written:
            assert found[id].verdict == ledger.WAITING
            continue
        assert row["verdict"] in ledger.VERDICTS, id
        assert found[id].measured and found[id].cell
        if row["verdict"] != "true":
            assert row["condition"], id


def test_the_number_is_what_the_cell_or_one_soon_after_printed():
    notebook = lesson("nothing", "gap 3e-07\n  from torch", "gap 5", "gap 6", "gap 7")
    assert ledger.settled(notebook, "x", r"gap \S+\s+from \w+") == (
        "cell-0",
        "gap 3e-07 from torch",
    )
    assert ledger.settled(notebook, "x", r"gap (6)")[1] == "6"
    with pytest.raises(Problem, match="refresh"):
        ledger.settled(notebook, "x", "gap 7")  # too far from the claim
    with pytest.raises(Problem, match="claim:y"):
        ledger.settled(notebook, "y", "gap")


def test_readme_shows_the_first_lines():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert ledger.readme_lines() in readme, ledger.readme_lines()


@pytest.mark.parametrize(
    ("prose", "wanted"),
    [
        ("One. A **bond** is a tie. Two.", "A **bond** is a tie."),
        ("Add both. This is the **bond**.", "Add both. This is the **bond**."),
        ("**Both add. It is a bond.** A **bond** ties.", "A **bond** ties."),
        (
            "<details><summary>S</summary>\n\n**Bonds** tie.\n\n</details>",
            "**Bonds** tie.",
        ),
        (
            "# Head\n\nWhat ties is a\n**bond**, it is said.",
            "What ties is a **bond**, it is said.",
        ),
    ],
)
def test_a_word_has_its_sentence(prose, wanted):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_markdown_cell(prose)]
    assert ledger.defined(notebook, "bond")[1] == wanted
    with pytest.raises(Problem, match="'glue'"):
        ledger.defined(notebook, "glue")


def test_every_word_of_every_card_is_in_the_glossary():
    found = ledger.glossary()
    assert len(found) > 60 and all(len(term.sentence) < 400 for term in found)
    promised = [ledger.words_to_own(cells.read(path)) for path in cells.paths()]
    assert len(found) == sum(map(len, promised))
