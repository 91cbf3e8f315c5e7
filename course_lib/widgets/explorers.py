"""Type a text, see what a model or a tokenizer makes of it. Lessons 00 and 01 first."""

from collections.abc import Callable
from itertools import chain

import ipywidgets
from matplotlib.axes import Axes

from course_lib import figures, sampling, tokenizer
from course_lib.widgets.controls import LABEL, WIDE, dial, slider, text_box
from course_lib.widgets.pictures import frame, picture

LONGEST = 2_000  # characters of a typed text that are cut; the rest waits
MOST_IDS = 400  # tokens that the model reads in one go: about a second
SENTENCE = 200  # characters of a text that is merged step by step


def next_token_explorer(
    model: Callable, encoding, text: str, choices: int = 10
) -> tuple[Axes, ipywidgets.VBox]:
    """Type a text, see the next token's probabilities, click one to append it.

    encoding is a tiktoken.Encoding. Returns the picture for `text` and the widget.
    """
    box, heat = text_box("Text", text), dial("Temperature", 0.1, 2.0, 1.0)
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
    box.style, box.placeholder = LABEL, "Type here: it is cut while you type"
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


def merge_explorer(
    ranks: dict[bytes, int], text: str, pattern: str = tokenizer.GPT2_SPLIT
) -> tuple[Axes, ipywidgets.VBox]:
    """Type a sentence, move a slider: so many merges have been applied to it.

    ranks: token → its rank, such as tokenizer.train gives, or tokenizer.gpt2_ranks(). The
    picture for `text` after all merges comes back, and the widget. The tokens that the
    last merge made are bright.
    """
    box, note = text_box("Text", text), ipywidgets.HTML()
    steps = merged(text[:SENTENCE], ranks, pattern)
    at = slider("Merges", 0, len(steps) - 1, len(steps) - 1)

    def draw() -> Axes:
        parts, made = steps[at.value]
        bright = [float(part == made) for part in parts]
        title = f"After {at.value} of {len(steps) - 1} merges: {len(parts)} tokens"
        label = "bytes" if made is None else f"just made: {figures.visible(made)}"
        return figures.token_strip([parts], [label], title, bright)

    axis = draw()
    image = picture(axis)

    def update(_) -> None:
        image.value = figures.png(draw())

    def reread(_) -> None:
        nonlocal steps
        steps = merged(box.value[:SENTENCE], ranks, pattern)
        left = len(box.value) - SENTENCE
        note.value = f"the last {left:,} characters are not read" if left > 0 else ""
        at.max = len(steps) - 1
        at.value = at.max
        update(None)

    at.observe(update, "value")
    box.observe(reread, "value")
    return axis, ipywidgets.VBox([box, at, frame(image), note])


def merged(
    text: str, ranks: dict[bytes, int], pattern: str = tokenizer.GPT2_SPLIT
) -> list[tuple[list[bytes], bytes | None]]:
    """A text's tokens before the first merge, after it, and so on to the last.

    With each stands the token that was made, None at first. A merge is applied wherever
    its pair stands; the lowest rank comes first, as in training. No token spans two
    chunks.
    """
    chunks = [
        [bytes([byte]) for byte in tokenizer.to_bytes(chunk)]
        for chunk in tokenizer.split(text, pattern)
    ]
    steps = [(list(chain(*chunks)), None)]
    while True:
        pairs = [pair for chunk in chunks for pair in tokenizer.neighbours(chunk)]
        known = [pair for pair in pairs if pair[0] + pair[1] in ranks]
        if not known:
            return steps
        pair = min(known, key=lambda pair: ranks[pair[0] + pair[1]])
        chunks = [tokenizer.merge(chunk, pair) for chunk in chunks]
        steps.append((list(chain(*chunks)), pair[0] + pair[1]))
