"""Pairs of texts to choose between. Lesson 12 uses it first."""

import html

import ipywidgets
from matplotlib.axes import Axes

from course_lib import figures
from course_lib.widgets import pictures

NAMES = ("the left one", "the right one")


def pair_chooser(
    pairs: list[tuple[str, str]], choices: list[int]
) -> tuple[Axes, ipywidgets.VBox]:
    """Read two texts, press a button for the one that you like more; then the next two.

    choices: for each pair 0 (left) or 1 (right), as somebody else has chosen. They stand
    until you press, and are changed in place, so that later cells read yours. Returns
    the picture of the first pair and the widget.
    """
    at, yours = 0, set()

    def draw() -> Axes:
        title = f"Pair {at + 1} of {len(pairs)}: which story do you like more?"
        if at in yours:
            title = (
                f"Pair {at + 1} of {len(pairs)}: you liked {NAMES[choices[at]]} more"
            )
        bright = choices[at] if at in yours else None
        return figures.pages(dict(zip(("left", "right"), pairs[at])), title, bright)

    def told() -> str:
        rest = len(pairs) - len(yours)
        if not rest:
            return f"All {len(pairs)} choices are yours. Now run the next cells."
        return f"{len(yours)} choices are yours, {rest} are still the program's."

    def show() -> None:
        image.value, note.value = figures.png(draw()), html.escape(told())

    def pick(which: int) -> None:
        nonlocal at
        choices[at] = which
        yours.add(at)
        at = min(at + 1, len(pairs) - 1)
        show()

    def back(_) -> None:
        nonlocal at
        at = max(at - 1, 0)
        show()

    axis = draw()
    image, note = pictures.picture(axis), ipywidgets.HTML(html.escape(told()))
    buttons = [ipywidgets.Button(description=name) for name in (*NAMES, "back")]
    for which, button in enumerate(buttons[:2]):
        button.on_click(lambda _, which=which: pick(which))
    buttons[2].on_click(back)
    row = ipywidgets.HBox(buttons)
    return axis, ipywidgets.VBox([pictures.frame(image), row, note])
