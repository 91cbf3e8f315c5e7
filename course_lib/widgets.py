"""The room of widgets: each moves a picture that figures.py draws.

A widget is shown with its picture beside it, so that a page which can't run code shows
the picture. Only core ipywidgets (7.7 and later), no JavaScript of ours, no network.
"""

import html
from collections.abc import Callable

import ipywidgets
from IPython.display import Markdown, display
from matplotlib.axes import Axes

from course_lib import figures, sampling, tokenizer

WIDE = ipywidgets.Layout(width="auto", max_width="768px")  # as wide as a picture
LABEL = {"description_width": "90px"}  # "Temperature" is cut short at the usual 80
SMALLEST = "600px"  # a picture's width: narrower, few of its letters could be read
LONGEST = 2_000  # characters of a typed text that are cut; the rest waits
MOST_IDS = 400  # tokens that the model reads in one go: about a second


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


def text_box(name: str, value: str):
    """A line of text, answered when Enter is pressed."""
    look = {"style": LABEL, "layout": WIDE, "continuous_update": False}
    return ipywidgets.Text(description=name, value=value, **look)


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


def next_token_explorer(
    model: Callable, encoding, text: str, choices: int = 10
) -> tuple[Axes, ipywidgets.VBox]:
    """Type a text, see the next token's probabilities, click one to append it.

    encoding is a tiktoken.Encoding. Returns the picture for `text` and the widget.
    """
    box = ipywidgets.Text(
        value=text, description="Text", style=LABEL, continuous_update=False
    )
    heat = ipywidgets.FloatSlider(
        value=1.0, min=0.1, max=2.0, step=0.1, description="Temperature", style=LABEL
    )
    box.layout, heat.layout = WIDE, ipywidgets.Layout(width="auto", max_width="400px")
    buttons = [ipywidgets.Button() for _ in range(choices)]
    note = ipywidgets.HTML()
    tokens = [""] * choices
    last = {}  # the text that was read last: moving the slider need not read it again

    def draw() -> Axes:
        every = encoding.encode(box.value[-10 * LONGEST :])
        ids = every[-MOST_IDS:]
        note.value = f"{len(ids)} tokens read" + (": the last ones" * (ids != every))
        if not ids:
            note.value = "Type at least one letter."
            ids = encoding.encode("<|endoftext|>", allowed_special="all")
        if last.get("ids") != ids:
            last["ids"] = ids
            last["p"] = sampling.next_token_probabilities(model, ids)
        p = (last["p"].log() / heat.value).softmax(0)  # same as dividing the logits
        top = p.topk(choices)
        pieces = [encoding.decode_single_token_bytes(int(id)) for id in top.indices]
        tokens[:] = [piece.decode("utf-8", errors="replace") for piece in pieces]
        every_part = zip(buttons, pieces, tokens, top.indices, top.values)
        for button, piece, token, id, chance in every_part:
            button.description = figures.visible(piece)
            button.tooltip = f"append {token!r} (probability {chance:.3f})"
            # Half a character, a special token or a new line can't be typed here.
            button.disabled = encoding.encode(token) != [int(id)] or "\n" in token
        ending = box.value[-40:].replace("\n", " ")
        title = f"What comes after “…{ending}”?" if len(box.value) > 40 else ""
        title = title or f"What comes after “{ending}”?"
        return figures.next_token_bars(pieces, top.values.tolist(), title)

    axis = draw()
    image = picture(axis)

    def update(_) -> None:
        image.value = figures.png(draw())

    def append(button) -> None:
        box.value += tokens[buttons.index(button)]

    box.observe(update, "value")
    heat.observe(update, "value")
    for button in buttons:
        button.layout = ipywidgets.Layout(width="auto")
        button.on_click(append)
    row = ipywidgets.HBox(buttons, layout=ipywidgets.Layout(flex_flow="row wrap"))
    return axis, ipywidgets.VBox([box, heat, frame(image), row, note])


def token_explorer(
    encodings: dict[str, object], text: str
) -> tuple[Axes, ipywidgets.VBox]:
    """Type a text, see how each of some tokenizers cuts it.

    encodings: name → tiktoken.Encoding. Returns the picture for `text` and the widget.
    """
    box = ipywidgets.Textarea(value=text, description="Text", rows=3, layout=WIDE)
    note = ipywidgets.HTML()

    def draw() -> tuple[Axes, str]:
        typed, rows, labels = box.value[:LONGEST], [], []
        for name, encoding in encodings.items():
            ids = encoding.encode(typed)
            rows.append([encoding.decode_single_token_bytes(id) for id in ids])
            labels.append(f"{name}: {len(ids):,} tokens")
        count = f"{len(typed):,} characters, {len(tokenizer.to_bytes(typed)):,} bytes"
        left = len(box.value) - len(typed)
        told = count + f"; the last {left:,} characters are not shown" * (left > 0)
        return figures.token_strip(rows, labels, count), told

    axis, note.value = draw()
    image = picture(axis)

    def update(_) -> None:
        changed, told = draw()
        image.value, note.value = figures.png(changed), told

    box.observe(update, "value")
    return axis, ipywidgets.VBox([box, frame(image), note])
