"""What stays of a widget in a saved notebook: its picture, or its words.

JupyterLab's server calls it whenever a learner saves, for `lab` starts it with SAVING.
Nothing here needs more than Python's standard library.
"""

LIVE = "application/vnd.jupyter.widget-view+json"
SAVING = "--FileContentsManager.pre_save_hook=course_lib.notebooks.saved.keep_pictures"


def keep_pictures(model: dict, **_) -> None:
    """Drop, in place, the live views that have a picture or a text beside them.

    A live view does not outlive its kernel: opened again it would say "model not found"
    and hide what stands beside it. model: what the server is about to write, as documented at
    jupyter-server.readthedocs.io, "pre_save_hook"; files that are no notebook are left.
    """
    if model.get("type") != "notebook" or not model.get("content"):
        return
    for cell in model["content"].get("cells", ()):
        for output in cell.get("outputs", ()):
            if {"image/png", "text/markdown"} & set(output.get("data", {})):
                output["data"].pop(LIVE, None)
