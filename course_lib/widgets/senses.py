"""Widgets for what is no text: draw a shape, write a melody; a model says what it is.

Lesson 15 uses them first. N pixels of an image's side.
"""

import html
import io
import wave as wave_file
from collections.abc import Callable

import ipywidgets
import numpy as np
from IPython.display import Audio, display
from matplotlib.axes import Axes

from course_lib import figures
from course_lib.widgets import controls, pictures

PIXEL = "26px"  # a pixel's button
HOW = (
    "Press pixels with the mouse. By keyboard: move the frame with the sliders and the "
    "arrow keys, and turn its pixel with Space on the box below them."
)


def drawing_pad(
    answer: Callable[[np.ndarray], tuple[dict[str, float], np.ndarray]],
    start: np.ndarray,
) -> tuple[Axes, ipywidgets.VBox]:
    """Draw on a small grid of pixels; the model names what it sees after each stroke.

    answer maps an image (N, N) of 0 and 1 to a probability for every name, and to a
    weight for every patch (rows, columns). start is the image one begins with. Returns
    its picture, and the widget: two sliders and a box for the keyboard, a button for
    each pixel, and one that clears all.
    """
    image = np.array(start, dtype=np.float32)
    side = len(image)
    row, column = (controls.slider(name, 1, side, 1) for name in ("Row", "Column"))
    ink = controls.switch("ink in the framed pixel", bool(image[0, 0]))
    buttons = [[_pixel(image[i, j]) for j in range(side)] for i in range(side)]
    clear = ipywidgets.Button(description="Clear")

    def draw() -> Axes:
        names, looks = answer(image.copy())
        best = max(names, key=names.get)
        title = f"The model says “{best}”, with a probability of {names[best]:.2f}"
        at = (row.value - 1, column.value - 1)
        return figures.named(image, names, looks, title, at)

    axis = draw()
    shown = pictures.picture(axis)
    resting = False  # while many change at once, one picture is enough

    def redraw() -> None:
        if not resting:
            shown.value = figures.png(draw())

    def move(_) -> None:
        nonlocal resting
        resting = True
        ink.value = bool(image[row.value - 1, column.value - 1])
        resting = False
        redraw()

    def turn(_) -> None:
        if not resting:
            buttons[row.value - 1][column.value - 1].value = ink.value

    def press(i: int, j: int, value: bool) -> None:
        nonlocal resting
        image[i, j] = value
        _paint(buttons[i][j])
        if (i, j) == (row.value - 1, column.value - 1) and not resting:
            resting = True
            ink.value = value
            resting = False
        redraw()

    def wipe(_) -> None:
        nonlocal resting
        resting = True
        for line in buttons:
            for button in line:
                button.value = False
        ink.value = False
        resting = False
        redraw()

    for i, line in enumerate(buttons):
        for j, button in enumerate(line):
            button.observe(lambda change, i=i, j=j: press(i, j, change["new"]), "value")
    for control in (row, column):
        control.observe(move, "value")
    ink.observe(turn, "value")
    clear.on_click(wipe)
    every = [button for line in buttons for button in line]
    grid = ipywidgets.GridBox(every)
    grid.layout = ipywidgets.Layout(
        grid_template_columns=f"repeat({side}, {PIXEL})", grid_gap="2px", padding="4px"
    )
    how = ipywidgets.HTML(html.escape(HOW))
    parts = [row, column, ink, pictures.frame(shown), how, grid, clear]
    return axis, ipywidgets.VBox(parts)


def _pixel(value: float) -> ipywidgets.ToggleButton:
    """A button for one pixel, bright where there is ink."""
    button = ipywidgets.ToggleButton(value=bool(value), description="")
    button.layout = ipywidgets.Layout(
        width=PIXEL, height=PIXEL, margin="0", padding="0", border="1px solid #5E6570"
    )
    _paint(button)
    return button


def _paint(button: ipywidgets.ToggleButton) -> None:
    button.style.button_color = figures.TEXT if button.value else figures.EMPTY


def sound_bytes(wave: np.ndarray, rate: int) -> bytes:
    """A sound (samples from -1 to 1) as a WAV file of 16 bits."""
    numbers = (np.clip(wave, -1, 1) * 32_767).astype("<i2")
    out = io.BytesIO()
    with wave_file.open(out, "wb") as file:
        file.setparams((1, 2, rate, len(numbers), "NONE", "not compressed"))
        file.writeframes(numbers.tobytes())
    return out.getvalue()


def hear(wave: np.ndarray, rate: int, words: str) -> None:
    """Display a sound that can be played; where that can't be, its words.

    wave: samples from -1 to 1, `rate` of them a second.
    """
    player = Audio(data=sound_bytes(wave, rate))._repr_html_()
    page = f"{player}<p><em>{html.escape(words)}</em></p>"
    display({"text/html": page, "text/markdown": f"*{words}*"}, raw=True)


def melody_box(
    play: Callable[[str], tuple[np.ndarray, int, Axes]], text: str
) -> tuple[Axes, ipywidgets.VBox]:
    """Write a melody, hear it, and see what the model hears.

    play maps what was typed to a sound, its samples a second, and a picture; what it
    raises as a ValueError is shown as a sentence. Returns the picture of the first
    melody, and the widget.
    """
    box, note = controls.text_box("Melody", text), ipywidgets.HTML()
    wave, rate, axis = play(text)
    shown = pictures.picture(axis)
    player = ipywidgets.Audio(format="wav", autoplay=False, loop=False)
    player.value = sound_bytes(wave, rate)

    def update(_) -> None:
        try:
            wave, rate, axis = play(box.value)
        except ValueError as error:
            note.value = html.escape(str(error))
            return
        player.value, note.value = sound_bytes(wave, rate), ""
        shown.value = figures.png(axis)

    box.observe(update, "value")
    return axis, ipywidgets.VBox([box, player, pictures.frame(shown), note])
