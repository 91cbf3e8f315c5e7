"""Every "Predict" has a place for the guess, and nothing in sight gives it away."""

import ast
import re

import pytest

from course_lib.notebooks import cells

every_lesson = pytest.mark.parametrize("path", cells.paths(), ids=lambda p: p.stem)
ASKS = re.compile(r"\*\*Predict\b")
PLACE = re.compile(r'(?m)^(guess_\w+) = (?:\.\.\.|choose\(\s*"(\d\d\.[a-z0-9-]+)")')
REVEAL = re.compile(r'predict\(\s*"(\d\d\.[a-z0-9-]+)",\s*(guess_\w+),')


def asked(notebook):
    """Where a guess is asked for: the place of each Markdown cell that says Predict."""
    return [
        i
        for i, cell in enumerate(notebook.cells)
        if cell.cell_type == "markdown"
        and ASKS.search(cell.source)
        and cell.id != "card"
    ]


@every_lesson
def test_every_predict_has_a_place_and_an_answer(path):
    """A guess's cell follows at once; its answer comes before the next question."""
    notebook = cells.read(path)
    places = asked(notebook)
    for start, end in zip(places, [*places[1:], len(notebook.cells)]):
        said = notebook.cells[start]
        place = notebook.cells[start + 1]
        assert "guess" in cells.tags(place), f"{said.id}: no place follows"
        names = [name for name, _ in PLACE.findall(place.source)]
        assert names, f"{place.id} has no line `guess_… = …`"
        between = notebook.cells[start + 2 : end]
        told = [c for c in between if "reveal" in cells.tags(c)]
        assert told, f"{said.id}: no cell tagged `reveal` before the next Predict"
        revealed = [name for c in told for _, name in REVEAL.findall(c.source)]
        assert set(names) <= set(revealed), f"{said.id}: {names} is never told"


@every_lesson
def test_what_answers_a_guess_is_folded(path):
    """From the guess on, prose is folded until the answer has been told, and after it.

    (A heading or an exercise ends the stretch; the sentence after the reveal is the one
    that gives it away.)
    """
    notebook = cells.read(path)
    open_guess = False
    for before, cell in zip([None, *notebook.cells], notebook.cells):
        if cell.cell_type == "code":
            open_guess |= "guess" in cells.tags(cell)
            if open_guess and "reveal" in cells.tags(cell):
                open_guess = False
        elif before is not None and "reveal" in cells.tags(before):
            assert cell.source.startswith("<details>"), f"{cell.id} is not folded"
        elif open_guess:
            assert "**" not in cell.source or cell.source.startswith("<details>"), (
                f"{cell.id} says something in bold before the guess is told"
            )


@every_lesson
def test_ids_of_guesses_are_one_each(path):
    notebook, number = cells.read(path), path.name[:2]
    found = []
    for cell in notebook.cells:
        if "reveal" in cells.tags(cell):
            found += [id for id, _ in REVEAL.findall(cell.source)]
    assert len(set(found)) == len(found)
    assert all(id.startswith(f"{number}.") for id in found)


@every_lesson
def test_a_guess_and_what_was_measured_keep_names_of_their_own(path):
    """After Run All both cells can be run again: no later cell binds those names anew."""
    notebook = cells.read(path)
    bound = {}
    for place, cell in enumerate(notebook.cells):
        if cell.cell_type == "code":
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    bound.setdefault(node.id, []).append(place)
    for place, cell in enumerate(notebook.cells):
        if "reveal" not in cells.tags(cell):
            continue
        for node in ast.walk(ast.parse(cell.source)):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            if called and node.func.id == "predict":
                names = {
                    n.id
                    for a in node.args
                    for n in ast.walk(a)
                    if isinstance(n, ast.Name)
                }
                for name in names:
                    late = [p for p in bound.get(name, []) if p > place]
                    assert not late, f"{cell.id}: {name} is bound anew further down"


@every_lesson
def test_no_assert_tells_the_answer_before_the_learner_has_guessed(path):
    """From the guess to the cell that tells, no cell asserts; the claims' own may."""
    open_guess = False
    for cell in cells.read(path).cells:
        if cell.cell_type != "code":
            continue
        tags = cells.tags(cell)
        claims = any(tag.startswith("claim:") for tag in tags)
        if open_guess and not claims:
            told = [n for n in ast.parse(cell.source).body if isinstance(n, ast.Assert)]
            assert not told, cell.id
        open_guess = "guess" in tags or (open_guess and "reveal" not in tags)
