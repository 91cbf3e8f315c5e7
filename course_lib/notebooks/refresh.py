"""Refresh the notebooks: derive, run, normalise, write.

`python -m course_lib refresh` does it all, one lesson after the other.
"""

import base64
import io
import os
import tempfile
from pathlib import Path

import nbformat
import numpy as np
from nbformat import NotebookNode
from PIL import Image
from tqdm import tqdm

from course_lib.errors import Problem
from course_lib.files import ROOT
from course_lib.notebooks import cells
from course_lib.notebooks.saved import LIVE

AREAS = 128  # colours that a picture keeps exactly: its most frequent
MOST_SPREAD = Image.Quantize.MAXCOVERAGE  # the others, as far apart as they come
FIGURE = ROOT / "assets" / "next_token.png"  # the README's picture
SECONDS = 300  # longest that one cell may run


def run(notebook: NotebookNode) -> NotebookNode:
    """Run every cell in a fresh kernel in an empty folder; raises where a cell does.

    At a CPU's scale, whatever the machine: that is what the saved outputs show.
    """
    from nbclient import NotebookClient

    scaled = {"COURSE_SCALE": "cpu", **os.environ}
    with tempfile.TemporaryDirectory() as empty:
        where = {"metadata": {"path": empty}}
        client = NotebookClient(notebook, timeout=SECONDS, resources=where)
        client.execute(env=scaled)
    return notebook


def normalise(notebook: NotebookNode) -> NotebookNode:
    """Drop all that differs from run to run or only lives in one kernel.

    Keeps outputs; a widget's live view goes, and the picture beside it stays.
    """
    notebook.metadata = {
        "kernelspec": {
            "display_name": "Python 3 (ipykernel)",
            "language": "python",
            "name": "python3",
        },
        "language_info": {"name": "python"},
    }
    for one in notebook.cells:
        one.metadata = {"tags": cells.tags(one)} if cells.tags(one) else {}
        if one.cell_type == "code":
            one.outputs = joined(one.outputs)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Outputs without live views and progress bars, a stream's pieces in one piece."""
    kept = []
    for output in outputs:
        if output.get("name") == "stderr" and is_bar(output.text):
            continue
        output.get("data", {}).pop(LIVE, None)
        same = kept and output.output_type == kept[-1].output_type == "stream"
        if same and output.name == kept[-1].name:
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def is_bar(text: str) -> bool:
    """Whether tqdm wrote it: a bar is for who waits, and differs on every machine."""
    return text.startswith("\r") or not text.strip()


def packed(notebook: NotebookNode) -> NotebookNode:
    """The same pictures in two fifths of the bytes: with 256 colours, and pressed harder
    than in a lesson, where a picture must be quick."""
    for one in notebook.cells:
        for output in one.get("outputs", []):
            if png := output.get("data", {}).get("image/png"):
                picture = Image.open(io.BytesIO(base64.b64decode(png)))
                if picture.mode == "P":  # done before
                    continue
                out = io.BytesIO()
                few_colours(picture).save(out, "png", compress_level=9)
                output.data["image/png"] = base64.b64encode(out.getvalue()).decode()
    return notebook


def few_colours(picture: Image.Image) -> Image.Image:
    """A picture in 256 colours: those of its areas as they are, those of the letters'
    soft edges to the nearest of some."""
    rgb = np.asarray(picture.convert("RGB"))  # (height, width, 3)
    every, places, counts = np.unique(
        rgb.reshape(-1, 3), axis=0, return_inverse=True, return_counts=True
    )
    order = np.argsort(-counts)
    kept, rest = every[order[:AREAS]], every[order[AREAS:]]
    if len(rest):
        edges = Image.fromarray(rest[None]).quantize(256 - AREAS, MOST_SPREAD)
        more = np.array(edges.getpalette(), np.uint8).reshape(-1, 3)
        kept = np.concatenate([kept, more[: 256 - AREAS]])
    gaps = every[:, None].astype(int) - kept  # (colours, 256, 3)
    nearest = (gaps**2).sum(-1).argmin(1).astype(np.uint8)
    few = Image.fromarray(nearest[places.reshape(-1)].reshape(rgb.shape[:2]), "P")
    few.putpalette(kept.tobytes())
    return few


def write(notebook: NotebookNode, path: Path) -> None:
    """Write a notebook beside its place, then rename it."""
    nbformat.validate(notebook)
    part = path.with_suffix(".ipynb.part")
    nbformat.write(notebook, part)
    part.replace(path)


def refresh(numbers: list[str]) -> None:
    """Derive, run, normalise and write lessons.

    Raises Problem, before anything is run, where answers are typed into one of them.
    """
    for path in cells.paths(numbers):
        if answers := cells.typed(cells.read(path)):
            raise Problem(
                f"{path.name} has answers typed into it ({', '.join(answers)}), which "
                "would be lost: copy the file to a folder of your own first, then put "
                f"the course's back with: git checkout notebooks/{path.name}"
            )
    for path in (bar := tqdm(cells.paths(numbers), unit="lesson")):
        bar.set_description(path.name)
        notebook = cells.derive(cells.read(path), path.name[:2])
        for one in notebook.cells:
            if one.cell_type == "code":
                one.outputs, one.execution_count = [], None
        write(packed(normalise(run(notebook))), path)
    FIGURE.write_bytes(readme_figure())


def readme_figure() -> bytes:
    """The README's picture: the one that lesson 00's first prediction draws."""
    for one in cells.read(cells.paths(["00"])[0]).cells:
        if one.id == "predict-next":
            return base64.b64decode(one.outputs[0].data["image/png"])
    raise KeyError("Lesson 00 has no cell 'predict-next'.")
