"""Run a notebook as a Colab runtime does: python run.py LESSON.ipynb FOLDER DONE.ipynb

FOLDER is where its kernel starts, as /content is Colab's. A last cell tells what the
kernel was: the test reads it off DONE.ipynb.
"""

import sys

import nbformat
from nbclient import NotebookClient

SECONDS = 300  # longest that one cell may run
LAST = """
import json
import sys
from importlib.metadata import distributions

import course_lib

shown = sys.modules["google.colab.output"]._widgets._installed_url
versions = {one.name.lower().replace("_", "-"): one.version for one in distributions()}
here = {"course": course_lib.__file__, "versions": versions, "own widgets": bool(shown)}
print(json.dumps(here))
"""


def main(lesson: str, folder: str, done: str) -> None:
    """Run every cell, then the last one; a cell that fails ends it all."""
    notebook = nbformat.read(lesson, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(LAST))
    where = {"metadata": {"path": folder}}
    try:
        NotebookClient(notebook, timeout=SECONDS, resources=where).execute()
    finally:
        nbformat.write(notebook, done)


if __name__ == "__main__":
    main(*sys.argv[1:])
