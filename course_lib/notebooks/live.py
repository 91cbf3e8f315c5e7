"""Say where a lesson's widgets live on the site: below their picture, or in the notebook.

A widget needs a kernel. Some can do without, on values that were computed beforehand:
each of those is a page of its own, and the lesson's page holds it in a frame. Who writes
these pages is `course_lib.cli.live`.
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from course_lib.errors import Problem
from course_lib.files import address

FOLDER = "live"  # of the site
COLAB = "https://colab.research.google.com/github/"


@dataclass(frozen=True)
class Live:
    """A widget that moves on the site, without a kernel."""

    lesson: str  # the notebook's name, without its ending
    cell: str  # the id of the cell that shows its picture
    kind: str  # what style.css calls it: how tall its frame is
    title: str  # what a screen reader says of the frame
    told: str  # what it holds, in a sentence or two
    write: Callable[[Path], None]  # writes its page

    @property
    def file(self) -> str:
        """The address of its page on the site."""
        return f"{FOLDER}/{self.lesson[:2]}-{self.cell}.html"


def shows_widget(code: str) -> bool:
    """Tell whether a cell shows a widget: show() is given a picture, a caption and it."""
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    shown = [one for one in calls if ast.unparse(one.func).split(".")[-1] == "show"]
    return any(len(one.args) + len(one.keywords) > 2 for one in shown)


def place(notebook: NotebookNode, name: str, live: list[Live]) -> None:
    """Note beside each widget's picture, in its metadata, where the widget lives.

    "live" holds what shows a page of the site; "colab" is an address, for all others.
    name: the notebook's, without its ending. Raises Problem if one has no picture there.
    """
    ours = {one.cell: one for one in live if one.lesson == name}
    placed = set()
    for cell in notebook.cells:
        if cell.cell_type != "code" or not shows_widget(cell.source):
            continue
        pictures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        for output in pictures[-1:]:
            look = output.metadata["image/png"]
            if one := ours.get(cell.id):
                placed.add(cell.id)
                look["live"] = {
                    "file": one.file,
                    "kind": one.kind,
                    "title": one.title,
                    "told": one.told,
                }
            else:
                look["colab"] = colab(name)
    if lost := ours.keys() - placed:
        raise Problem(
            f"{name} has no cell {min(lost)!r} with a widget and its picture, where the "
            "site's live widget would stand: give the widget its cell's new name."
        )


def colab(name: str) -> str:
    """Where Colab opens a lesson."""
    home = address().removeprefix("https://github.com/")
    return f"{COLAB}{home}/blob/main/notebooks/{name}.ipynb"


def write(live: list[Live], folder: Path) -> None:
    """Write the page of each widget."""
    for one in live:
        one.write(folder / one.file)
