"""Controls that can be reached by keyboard, and a picture that any of them move."""

import html
from collections.abc import Callable

import ipywidgets
from matplotlib.axes import Axes

from course_lib import figures
from course_lib.widgets.pictures import frame, picture

WIDE = ipywidgets.Layout(width="auto", max_width="768px")  # as wide as a picture
LABEL = {"description_width": "104px"}  # "Temperature" is cut short at the usual 80
ENTER = "Type here, then press Enter"


def slider(name: str, low: int, high: int, value: int, step: int = 1):
    """A slider of whole numbers; one in steps shows "12,288" and can't be typed into.

    The others can. (IntSlider would read a typed "12,288" as 12.)
    """
    if step > 1:
        numbers = range(low, high + 1, step)
        return choice(name, [(f"{number:,}", number) for number in numbers], value)
    numbers = {"value": value, "min": low, "max": high}
    box = ipywidgets.IntSlider(description=name, style=LABEL, **numbers)
    box.layout = ipywidgets.Layout(width="auto", max_width="440px")
    return box


def choice(name: str, options: list, value=None):
    """A few things to choose one from: a slider, for JupyterLab takes the arrow keys
    of a drop-down list for itself. An option may be a pair: (what is shown, value)."""
    chosen = {"options": options} | ({} if value is None else {"value": value})
    box = ipywidgets.SelectionSlider(description=name, style=LABEL, **chosen)
    box.layout = ipywidgets.Layout(width="auto", max_width="440px")
    return box


def dial(name: str, low: float, high: float, value: float, step: float = 0.1):
    """A slider of numbers with a fraction, such as a temperature."""
    numbers = {"value": value, "min": low, "max": high, "step": step}
    box = ipywidgets.FloatSlider(description=name, style=LABEL, **numbers)
    box.layout = ipywidgets.Layout(width="auto", max_width="440px")
    return box


def switch(name: str, value: bool):
    """Something that is on or off; Space turns it."""
    box = ipywidgets.Checkbox(description=name, value=value, indent=False)
    box.layout = ipywidgets.Layout(width="auto", max_width="440px")
    return box


def text_box(name: str, value: str):
    """A line of text, answered when Enter is pressed; its name says so."""
    look = {"style": LABEL, "layout": WIDE, "continuous_update": False}
    look |= {"description": f"{name} (Enter)", "placeholder": ENTER}
    return ipywidgets.Text(value=value, **look)


def steer(
    draw: Callable[..., Axes], *controls: ipywidgets.ValueWidget
) -> tuple[Axes, ipywidgets.VBox]:
    """A picture that controls move: draw(value of each control) → axis.

    Returns the picture as it stands now, and the widget. What draw raises as a ValueError
    is shown below the picture as a sentence, and the picture stays.
    """
    note = ipywidgets.HTML()
    axis = draw(*[control.value for control in controls])
    image = picture(axis)

    def update(_) -> None:
        try:
            image.value = figures.png(draw(*[control.value for control in controls]))
            note.value = ""
        except ValueError as error:
            note.value = html.escape(str(error))

    for control in controls:
        control.observe(update, "value")
    return axis, ipywidgets.VBox([*controls, frame(image), note])
