"""What a learner saves in JupyterLab shows pictures when it is opened again."""

import asyncio
import copy
import subprocess
import sys

import nbformat
import pytest

from course_lib import __main__ as command
from course_lib.cli import lab
from course_lib.notebooks.saved import LIVE, keep_pictures

VIEW = {LIVE: {"model_id": "1"}, "text/plain": "a slider"}


def notebook(*data):
    outputs = [nbformat.v4.new_output("display_data", data=dict(one)) for one in data]
    stream = nbformat.v4.new_output("stream", text="loss 1.9\n")
    cells = [
        nbformat.v4.new_code_cell("show(slider)", outputs=[stream, *outputs]),
        nbformat.v4.new_markdown_cell("Some words."),
    ]
    return nbformat.v4.new_notebook(cells=cells)


def test_a_picture_takes_its_widgets_place_and_all_else_stays():
    bare, pictured = VIEW, VIEW | {"image/png": "aWNvbg=="}
    model = {"type": "notebook", "content": notebook(bare, pictured)}
    wanted = copy.deepcopy(model)
    del wanted["content"].cells[0].outputs[2].data[LIVE]
    keep_pictures(model=model, path="a.ipynb", contents_manager=None)
    assert model == wanted  # where there is no picture, the view is all there is


@pytest.mark.parametrize(
    "model",
    [
        {"type": "file", "content": "text"},
        {"type": "directory", "content": None},
        {"type": "notebook"},
        {"type": "notebook", "content": {}},
    ],
)
def test_other_files_are_left(model):
    before = copy.deepcopy(model)
    keep_pictures(model=model, path="x")
    assert model == before


def test_the_server_that_lab_starts_saves_pictures(tmp_path, monkeypatch):
    """Told as `lab` tells it, Jupyter's own manager of files writes no live view."""
    started = []
    monkeypatch.setattr(lab, "attended", lambda words, env: started.append(words) or 0)
    monkeypatch.setattr(lab.copies, "prepare", list)
    monkeypatch.setattr(
        subprocess, "run", lambda *a, **k: subprocess.CompletedProcess(a, 0)
    )
    assert command.main(["lab", "--no-install", "--no-browser"]) == 0
    words = [str(word) for word in started[0][3:]]

    from jupyter_server.serverapp import ServerApp

    server = ServerApp()
    server.parse_command_line([word for word in words if "pre_save" in word])
    server.init_event_logger()
    manager = server.contents_manager_class(
        parent=server, event_logger=server.event_logger
    )
    manager.root_dir = str(tmp_path)
    model = {"type": "notebook", "format": "json"}
    model["content"] = notebook(VIEW | {"image/png": "aWNvbg=="})
    asyncio.run(manager.save(model, "own.ipynb"))
    saved = (tmp_path / "own.ipynb").read_text()
    assert "aWNvbg==" in saved and LIVE not in saved


def test_it_needs_nothing_installed():
    code = "import course_lib.notebooks.saved, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
