"""The machine view: a tile for every part of a model, lit as one types, to be pressed.

Its sums are in `tiles`; here they are made ready for the browser, in which
machine_view.js draws them. anywidget carries that and is an optional import: without it
the line of text moves a picture instead. Lesson 05 uses it first.

T position, H heads, L layers.
"""

from collections.abc import Callable
from pathlib import Path

import ipywidgets
import tiktoken
import traitlets
from matplotlib.axes import Axes
from torch import nn

from course_lib import figures, inside, patching, tiles
from course_lib.inside import Part
from course_lib.tiles import View
from course_lib.widgets import controls
from course_lib.widgets.attention import ASK, ELEMENTS, LONGEST, anywidget

MOST_TOKENS, MOST_BARS = 30, 6
HOW = {"off": "off", "taken": "taken from the other text"}
HERE = Path(__file__).parent
COLOURS = {"ground": figures.GROUND, "text": figures.TEXT, "muted": figures.MUTED}
COLOURS |= {"empty": figures.EMPTY, "query": figures.QUERY, "key": figures.KEY}
COLOURS |= {"value": figures.VALUE, "dim": figures.DIM, "line": figures.BORDER}
LOOK = ".machine-view {"
LOOK += "".join(f"--{name}: {colour};" for name, colour in COLOURS.items())
LOOK += "}\n" + (HERE / "machine_view.css").read_text(encoding="utf-8")
NOTHING = {"tokens": [], "said": "", "changed": [], "mlps": [0.0], "heads": [[0.0]]}

if anywidget is not None:

    class MachineView(anywidget.AnyWidget):
        """The parts of a model and what they add: what the browser is sent and asks."""

        _esm = ELEMENTS + (HERE / "machine_view.js").read_text(encoding="utf-8")
        _css = LOOK
        shown = traitlets.Dict(NOTHING).tag(sync=True)
        # Where each head looks from the last token, 0 to 255: (L, H, T).
        patterns = traitlets.Bytes().tag(sync=True)
        asked = traitlets.Dict().tag(sync=True)


class Machine:
    """A text in a model, what has been pressed, and what there is to see."""

    def __init__(self, model: nn.Module, encoding: tiktoken.Encoding):
        self.model, self.encoding = model, encoding
        self.texts = 0  # how many have been read

    def read(self, text: str, other: str = "") -> str:
        """Take another text, with nothing changed; returns a note on its tokens.

        other: where parts may be taken from. Raises ValueError if there is nothing to
        read, if the model can't read it, or if the texts have different lengths.
        """
        ids, note = self.ending(text)
        plain = tiles.take_apart(self.model, ids)
        theirs, listed = None, []
        if other:
            more, _ = self.ending(other)
            if len(more) != len(ids):
                raise ValueError(
                    f"The texts have {len(ids)} and {len(more)} tokens: a part can be "
                    "taken from a text of the same number of tokens only. Change the "
                    "other text, too."
                )
            theirs = inside.read(self.model, more)
            last = inside.resume(theirs, len(self.model.blocks))[0].double().softmax(-1)
            listed = [int(last.argmax())]
            self.theirs = (
                f"{quoted(self.word(listed[0]))}, {percent(float(last.max()))}"
            )
        self.ids, self.plain, self.other, self.listed = ids, plain, theirs, listed
        self.texts += 1
        self.change([])
        return note

    def ending(self, text: str) -> tuple[list[int], str]:
        """The ids of a text's last tokens, and a note on how many those are.

        Raises ValueError for a text without any.
        """
        ids = self.encoding.encode_ordinary(text[-LONGEST:])
        if not ids:
            raise ValueError(ASK)
        kept = ids[-min(MOST_TOKENS, self.model.config.context) :]
        if len(kept) < len(ids) or len(text) > LONGEST:
            return kept, f"Only the last {len(kept)} tokens are read."
        return kept, f"{len(ids)} token" + "s" * (len(ids) > 1)

    def change(
        self, changed: list, token: int | None = None, against: int | None = None
    ) -> None:
        """Switch parts off, or take them from the other text: (layer, kind, how) each.

        how: "off" or "taken". token, against: what is in view, as in `tiles.take_apart`.
        """
        token = self.plain.token if token is None else token
        against = None if against == token else against
        self.changed = [tuple(one) for one in changed]
        given = self.ids, self._changes(), token, against
        first = (token, against) == (self.plain.token, self.plain.against)
        quick = first and not changed
        self.view = self.plain if quick else tiles.take_apart(self.model, *given)

    def _changes(self) -> dict[Part, Callable]:
        """What the presses mean for the model."""
        return {
            (layer, kind): patching.taken_from(self.other, (layer, kind))
            if how == "taken"
            else patching.off
            for layer, kind, how in self.changed
        }

    def word(self, id: int) -> str:
        """A token as it can be drawn; its number, if no text stands for it."""
        try:
            token = self.encoding.decode_single_token_bytes(id)
        except KeyError:  # a model may have more rows than its tokenizer tokens
            return f"⟨{id}⟩"
        return figures.shortened(figures.visible(token))

    def of(self) -> str:
        """The logit in view, in words: that of a token, or less that of another."""
        word = quoted(self.word(self.view.token))
        if self.view.against is None:
            return word
        return f"{word} less {quoted(self.word(self.view.against))}"

    def said(self) -> str:
        """What the changes do to the token in view, in a sentence."""
        view = self.view
        word = quoted(self.word(view.token))
        before = percent(probability(self.plain, view.token))
        if not self.changed:
            there = f"; in the other text {self.theirs}" if self.other else ""
            return f"{word} comes next with a probability of {before}{there}."
        what = f"{len(self.changed)} parts changed"
        if len(self.changed) == 1:
            (layer, kind, how) = self.changed[0]
            what = f"{named((layer, kind))} {HOW[how]}"
        top = quoted(self.word(view.best(1)[0]))
        return (
            f"With {what}, {word} goes from {before} to {percent(view.probability)}; "
            f"the likeliest is {top}."
        )

    def telling(self, count: int = 3) -> list[dict]:
        """The parts that add or take away most, and what comes of each switched off."""
        view, changes = self.view, self._changes()
        word, found = quoted(self.word(view.token)), []
        now = percent(view.probability)
        for part in view.strongest(count, but=changes):
            adds = view.adds(part)
            verb, to = ("adds", "to") if adds >= 0 else ("takes away", "from")
            text = f"{named(part)} {verb} {abs(adds):.2f} {to} {self.of()}; "
            then = percent(tiles.without(view, part, changes))
            text += f"{self._why(part)}. With it off, {word} goes from {now} to {then}."
            found.append({"part": list(part), "words": text[0].upper() + text[1:]})
        return found

    def _why(self, part: Part) -> str:
        """What a part does, in half a sentence."""
        layer, kind = part
        if kind == "mlp":
            number, adds = int(self.view.leaders[layer]), float(self.view.leads[layer])
            return f"of its neurons, number {number} counts most, {signed(adds)}"
        weights = self.view.patterns[layer, kind, -1]
        place = int(weights.argmax())
        looked = quoted(self.word(self.ids[place]))
        return (
            f"it looks most at {looked}, with a weight of {float(weights[place]):.2f}"
        )

    def shown(self, note: str = "", telling: bool = False, turn: int = 0) -> dict:
        """All that the browser draws, but where the heads look.

        turn: the number of the request that this answers.
        """
        view = self.view
        chances = {
            i: [probability(v, i) for v in (self.plain, view)] for i in self._listed()
        }
        top = view.lens.max(-1)
        return {
            "tokens": [self.word(id) for id in self.ids],
            "heads": view.heads.round(decimals=4).tolist(),
            "mlps": view.mlps.round(decimals=4).tolist(),
            "lens": [
                [self.word(id), round(p, 4)]
                for p, id in zip(top.values.tolist(), top.indices.tolist())
            ],
            "changed": [list(one) for one in self.changed],
            "best": [
                {"id": id, "word": self.word(id), "before": before, "after": after}
                for id, (before, after) in chances.items()
            ],
            "token": self.word(view.token),
            "token_id": view.token,
            "against": "" if view.against is None else self.word(view.against),
            "against_id": view.against,
            "neurons": [self._neurons(layer) for layer in range(len(view.mlps))],
            "telling": self.telling() if telling else [],
            "other": self.other is not None,
            "said": self.said(),
            "note": note,
            "turn": turn,
            "text": self.texts,
        }

    def _listed(self) -> list[int]:
        """The tokens whose probabilities are shown: the likeliest before and after."""
        view, plain = self.view, self.plain
        found = {*view.best(MOST_BARS), *plain.best(MOST_BARS)}
        order = sorted(
            found, key=lambda id: -max(probability(view, id), probability(plain, id))
        )
        needed = {view.token, *self.listed}
        needed |= set() if view.against is None else {view.against}
        rest = [id for id in order if id not in needed]
        kept = [*needed, *rest[: max(MOST_BARS - len(needed), 0)]]
        return sorted(kept, key=lambda id: -probability(view, id))

    def _neurons(self, layer: int) -> list[list]:
        """The neurons that fire most: number, how strongly, and what it adds."""
        view = self.view
        rows = view.firing[layer], view.fires[layer], view.brings[layer]
        return [
            [int(number), round(float(fires), 2), round(float(brings), 3)]
            for number, fires, brings in zip(*rows)
        ]

    def patterns(self) -> bytes:
        """Where each head looks from the last token: (L, H, T), 0 to 255."""
        rows = (self.view.patterns[:, :, -1] * 255).round()
        return bytes(int(one) for one in rows.flatten())

    def drawn(self) -> Axes:
        """The same as a picture, with the most telling head's looks."""
        view = self.view
        top = view.lens.max(-1)
        words = [self.word(id) for id in top.indices.tolist()]
        part = next(p for p in view.strongest(10_000) if p[1] != "mlp")
        looks = view.patterns[part[0], part[1], -1].tolist()
        names = [self.word(id) for id in self.ids]
        title = f"What each part adds to {self.of()}"
        return figures.tiles(
            names,
            view.heads.numpy(),
            view.mlps.numpy(),
            words,
            top.values.tolist(),
            part,
            looks,
            f"{title}, {percent(view.probability)} likely",
        )


def probability(view: View, token: int) -> float:
    """That of a token as the next one."""
    return float(view.last.double().softmax(-1)[token])


def named(part: Part) -> str:
    """A part in words: "head 3 of layer 23"."""
    layer, kind = part
    return (
        f"the MLP of layer {layer}"
        if kind == "mlp"
        else f"head {kind} of layer {layer}"
    )


def quoted(word: str) -> str:
    """A token between quotation marks, with its space."""
    return f"“{word.replace('·', ' ')}”"


def signed(x: float) -> str:
    """A number with its sign, two digits after the point."""
    return f"{x:+.2f}".replace("-", "−")


def percent(p: float) -> str:
    """A probability in words: "92 %"; below a tenth with one digit more."""
    if p < 0.0005:
        return "< 0.1 %"
    return f"{100 * p:.0f} %" if p >= 0.0995 else f"{100 * p:.1f} %"


def machine_view(
    model: nn.Module,
    encoding: tiktoken.Encoding,
    text: str,
    other: str = "",
    token: int | None = None,
    against: int | None = None,
) -> tuple[Axes, ipywidgets.VBox]:
    """Type a sentence, see what every part adds to the next token, press parts off.

    model: any that `tiles.take_apart` takes. other: a second text of as many tokens, from
    which a press may take a part; without it there is one line of text. token, against:
    what is in view at the start, as in `tiles.take_apart`. Returns the picture for `text`
    and the widget. Raises ValueError as `Machine.read` does.
    """
    machine = Machine(model, encoding)
    boxes = [controls.text_box("Text", text)]
    if other:
        boxes.append(controls.text_box("Other", other))

    def draw(*texts: str) -> Axes:
        machine.read(*texts)
        return machine.drawn()

    if anywidget is None:
        return controls.steer(draw, *boxes)
    note = machine.read(text, other)
    machine.change([], token, against)
    axis = machine.drawn()
    view = MachineView(patterns=machine.patterns(), shown=machine.shown(note))

    def send(telling: bool = False, turn: int = 0) -> None:
        with view.hold_sync():
            view.patterns = machine.patterns()
            view.shown = machine.shown(note, telling, turn)

    def reread(_) -> None:
        nonlocal note
        try:
            note = machine.read(*(box.value for box in boxes))
        except Exception as error:  # else nobody would see it: the kernel hides it
            view.shown = NOTHING | {"said": told(error), "text": machine.texts}
        else:
            send()

    def answer(change: dict) -> None:
        asked = change["new"]
        if asked["text"] != machine.texts:  # a press upon a text that has gone
            return
        try:
            machine.change(asked["changed"], asked["token"], asked["against"])
            send(asked["telling"], asked["turn"])
        except Exception as error:
            view.shown = view.shown | {"said": told(error), "turn": asked["turn"]}

    view.observe(answer, "asked")
    for box in boxes:
        box.observe(reread, "value")
    return axis, ipywidgets.VBox([*boxes, view])


def told(error: Exception) -> str:
    """An error as a sentence: a ValueError's own, others with their kind."""
    own = isinstance(error, ValueError)
    return str(error) if own else f"{type(error).__name__}: {error}"
