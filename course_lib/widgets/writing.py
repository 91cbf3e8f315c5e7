"""A box that writes on: token by token, in a thread of its own, until it is stopped.

Lesson 00 uses it first.
"""

import html
import threading
from collections.abc import Callable, Iterator

import ipywidgets
import tiktoken
from matplotlib.axes import Axes

from course_lib import (
    devices,
    fast_gpt,
    figures,
    kv_cache,
    llama,
    sampling,
    tokenizer,
)
from course_lib.fast_gpt import FastGPT
from course_lib.gpt import GPT
from course_lib.widgets import controls, pictures

FIRST = 24  # tokens that the picture shows, written before the widget appears
MORE = 40  # tokens that "Write on" adds
MOST = 160  # tokens in all; a strip with more would be neither read nor drawn in time
MOST_IDS = 400  # tokens of the prompt that the model reads
EVERY = 8  # tokens from picture to picture: a strip takes longer than a token
ASK, BUSY = "Type at least one letter.", "Writing …"


class Writer:
    """A text that is being written: the ids so far, and the thread that adds to them.

    show(note, whole) is called after each token, and with a sentence when the writing
    rests; whole says whether the picture, which takes longer, should be drawn, too.
    JupyterLab may answer two controls at once, in two threads: hence the lock.
    """

    def __init__(self, model: Callable, encoding, show: Callable[[str, bool], None]):
        self.model, self.encoding, self.show = model, encoding, show
        self.ends, self.step = specials(encoding), step_of(model)
        self.prompt, self.ids, self.source = [], [], iter(())
        self.stopped, self.thread, self.busy = threading.Event(), None, False
        self.turn = threading.RLock()  # never taken by the thread that writes

    def again(self, prompt: str, temperature: float, seed: int) -> None:
        """Begin anew, and start to write the first tokens."""
        with self.turn:
            self.begin(prompt, temperature, seed)
            self.go(FIRST)

    def begin(self, prompt: str, temperature: float, seed: int) -> None:
        """Forget what was written: what comes now goes on from this prompt."""
        self.stop()
        self.prompt = self.encoding.encode(prompt[-20 * MOST_IDS :])[-MOST_IDS:]
        self.ids, sampler = [], sampling.Sampler(temperature)
        chance = devices.generator(seed)
        settings = (self.prompt, sampler, MOST, chance, self.step)
        self.source = sampling.write(self.model, *settings)

    def write(self, count: int) -> None:
        """Add up to `count` tokens, or fewer if the text ends or somebody stops it."""
        told = "Something went wrong: see the messages below."
        try:
            told = self._add(count)
        finally:  # whatever happens, one can write on
            self.busy = False
            self.show(told, True)

    def _add(self, count: int) -> str:
        """Add tokens; give a sentence on why that was all."""
        for _ in range(count):
            if self.stopped.is_set():
                return f"Stopped after {len(self.ids)} tokens."
            try:
                id = next(self.source, None) if self.prompt else None
            except ValueError as error:  # such as logits that aren't numbers
                return str(error)
            if id is None or id in self.ends:
                self.source = iter(())
                return self._ended(id)
            self.ids.append(id)
            self.show(BUSY, len(self.ids) % EVERY == 0)
        return f"{len(self.ids)} tokens written."

    def _ended(self, id: int | None) -> str:
        """Why there is no next token."""
        if not self.prompt:
            return ASK
        if id is not None:
            return f"The model ends its text here, after {len(self.ids)} tokens."
        return f"{len(self.ids)} tokens written: this text ends here."

    def go(self, count: int) -> None:
        """Start writing and come back at once; nothing happens if it writes already."""
        with self.turn:
            if self.busy:
                return
            self.stop()
            self.busy = True
            self.show(BUSY, not self.ids)
            look = {"target": self.write, "args": (count,), "daemon": True}
            self.thread = threading.Thread(**look)
            self.thread.start()

    def stop(self) -> None:
        """Have the thread stop after its token, and wait for that."""
        with self.turn:
            self.stopped.set()
            if self.thread is not None:
                self.thread.join()
            self.stopped.clear()


def step_of(model: Callable) -> Callable | None:
    """The function that reads one id more with this model; None if there is none."""
    if isinstance(model, llama.Llama):
        return llama.decode_step
    if isinstance(model, FastGPT):
        return fast_gpt.decode_step
    return kv_cache.decode_step if isinstance(model, GPT) else None


def specials(encoding) -> set[int]:
    """The ids of an encoding's special tokens: each ends a text."""
    if isinstance(encoding, tiktoken.Encoding):
        return {encoding.encode_single_token(t) for t in encoding.special_tokens_set}
    if isinstance(encoding, tokenizer.Tokenizer):
        return set(encoding.special_tokens.values())
    return set()


def pieces(encoding, ids: list[int]) -> Iterator[str | bytes]:
    """Each token by itself: as bytes where the encoding has them."""
    for id in ids:
        if isinstance(encoding, tiktoken.Encoding):
            yield encoding.decode_single_token_bytes(id)
        else:
            yield encoding.decode([id])


def strip(writer: Writer, temperature: float, seed: int) -> Axes:
    """The prompt and what was written, as tokens."""
    rows = [list(pieces(writer.encoding, ids)) for ids in (writer.prompt, writer.ids)]
    labels = ["prompt", f"written: {len(writer.ids)} tokens"]
    title = f"Written at temperature {temperature:.1f}, with seed {seed}"
    return figures.token_strip(rows, labels, title)


def writing_box(model: Callable, encoding, prompt: str) -> tuple[Axes, ipywidgets.VBox]:
    """Type a prompt, have the model write on; stop it when you like.

    The same prompt, temperature and seed give the same text, however often it is stopped
    on the way. encoding: a tiktoken.Encoding or one of the course's own. Returns the
    picture of the first 24 tokens at temperature 1 with seed 0, which are written at
    once, and the widget.
    """
    box = controls.text_box("Prompt", prompt)
    heat = controls.dial("Temperature", 0.0, 2.0, 1.0)
    seed = controls.slider("Seed", 0, 99, 0)
    buttons = [ipywidgets.Button(description=name) for name in ("Write on", "Stop")]
    text, note = ipywidgets.HTML(), ipywidgets.HTML()
    image = None

    def show(told: str, whole: bool) -> None:
        written = (writer.encoding.decode(ids) for ids in (writer.prompt, writer.ids))
        before, after = map(html.escape, written)
        text.value = f'<div style="white-space: pre-wrap">{before}<b>{after}</b></div>'
        if image is not None and whole:
            image.value = figures.png(strip(writer, heat.value, seed.value))
        note.value = html.escape(told)  # the last thing to change

    def restart(_) -> None:
        writer.again(box.value, heat.value, seed.value)

    writer = Writer(model, encoding, show)
    writer.begin(prompt, heat.value, seed.value)
    writer.write(FIRST)
    axis = strip(writer, heat.value, seed.value)
    image = pictures.picture(axis)
    for control in (box, heat, seed):
        control.observe(restart, "value")
    buttons[0].on_click(lambda _: writer.go(MORE))
    buttons[1].on_click(lambda _: writer.stop())
    row = ipywidgets.HBox(buttons)
    parts = [box, heat, seed, row, pictures.frame(image), text, note]
    return axis, ipywidgets.VBox(parts)
