"""Show pictures on a lesson's page: with a caption, changing, or moved by a widget."""

from collections.abc import Callable

import ipywidgets
from IPython.display import Markdown, display
from matplotlib.axes import Axes

from course_lib import figures

SMALLEST = "600px"  # a picture's width: narrower, few of its letters could be read


def show(axis: Axes, caption: str, widget: ipywidgets.DOMWidget | None = None) -> None:
    """Display a picture and its caption; with a widget, the widget where it can live.

    The caption is visible text, and also stored as the picture's alternative text.
    """
    data, look = _bundle(axis, caption)
    if widget is not None:
        view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
        data["application/vnd.jupyter.widget-view+json"] = view
    display(data, metadata=look, raw=True)
    display(Markdown(f"*{caption}*"))


def live(axis: Axes, caption: str) -> Callable[[Axes], None]:
    """Display a picture and its caption; what comes back puts another in its place.

    For a picture that changes while a cell runs. The last one stays.
    """
    data, look = _bundle(axis, caption)
    place = display(data, metadata=look, raw=True, display_id=True)
    display(Markdown(f"*{caption}*"))

    def update(axis: Axes) -> None:
        data, look = _bundle(axis, caption)
        if place:  # in plain Python there is no page to put it on
            place.update(data, metadata=look, raw=True)

    return update


def _bundle(axis: Axes, caption: str) -> tuple[dict, dict]:
    """A picture as a front end takes it: the data, and how to show them."""
    size = axis.figure.get_size_inches() * 96
    look = {"width": int(size[0]), "height": int(size[1]), "alt": caption}
    data = {"image/png": figures.png(axis), "text/plain": caption}
    return data, {"image/png": look}


def picture(axis: Axes) -> ipywidgets.Image:
    """A picture that a widget can change."""
    image = ipywidgets.Image(value=figures.png(axis), format="png")
    image.layout = ipywidgets.Layout(width=f"{axis.figure.get_figwidth() * 96:.0f}px")
    image.layout.min_width = SMALLEST
    image.layout.max_width = "calc(100% - 4px)"  # its margins are two on each side
    return image


def frame(image: ipywidgets.Image) -> ipywidgets.Box:
    """What a picture stands in: on a page too narrow for it, it can be scrolled."""
    box = ipywidgets.Box([image], layout=ipywidgets.Layout(overflow="auto"))
    box.add_class("picture-frame")
    return box
