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
from course_lib.widgets.attention import anywidget, start

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

        _esm = (HERE / "machine_view.js").read_text(encoding="utf-8")
        _css = LOOK
        shown = traitlets.Dict(NOTHING).tag(sync=True)
        # Where each head looks from the last token, 0 to 255: (L, H, T).
        patterns = traitlets.Bytes().tag(sync=True)
        asked = traitlets.Dict().tag(sync=True)


class Machine:
    """A text in a model, what has been pressed, and what there is to see."""

    def __init__(self, model: nn.Module, encoding: tiktoken.Encoding):
        self.model, self.encoding = model, encoding

    def read(self, text: str, other: str = "") -> str:
        """Take another text, with nothing changed; returns a note on its tokens.

        other: where parts may be taken from. Raises ValueError if there is nothing to
        read, if the model can't read it, or if the texts have different lengths.
        """
        ids, note = start(self.encoding, text, MOST_TOKENS)
        if not ids:
            raise ValueError(note)
        plain = tiles.take_apart(self.model, ids)
        theirs = None
        if other:
            more, _ = start(self.encoding, other, MOST_TOKENS)
            if len(more) != len(ids):
                raise ValueError(
                    f"The texts have {len(ids)} and {len(more)} tokens: a part can be "
                    "taken from a text of the same number of tokens only."
                )
            theirs = inside.read(self.model, more)
        self.ids, self.plain, self.other = ids, plain, theirs
        self.change([])
        return note

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
        """A token as it can be drawn."""
        token = self.encoding.decode_single_token_bytes(id)
        return figures.shortened(figures.visible(token))

    def said(self) -> str:
        """What the changes do to the token in view, in a sentence."""
        view = self.view
        word = quoted(self.word(view.token))
        before = percent(probability(self.plain, view.token))
        if not self.changed:
            return f"{word} comes next with a probability of {before}."
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
            verb = "adds" if adds >= 0 else "takes away"
            text = f"{named(part)} {verb} {abs(adds):.2f}: {self._why(part)}. "
            then = percent(tiles.without(view, part, changes))
            text += f"With it off, {word} goes from {now} to {then}."
            found.append({"part": list(part), "words": text[0].upper() + text[1:]})
        return found

    def _why(self, part: Part) -> str:
        """What a part does, in half a sentence."""
        layer, kind = part
        if kind == "mlp":
            number, fires, brings = self._neurons(layer)[0]
            return f"its neuron {number} fires most ({fires}) and adds {brings} of it"
        weights = self.view.patterns[layer, kind, -1]
        place = int(weights.argmax())
        return (
            f"it looks at {quoted(self.word(self.ids[place]))} with a weight of "
            f"{float(weights[place]):.2f}"
        )

    def shown(self, note: str = "", telling: bool = False) -> dict:
        """All that the browser draws, but where the heads look."""
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
        }

    def _listed(self) -> list[int]:
        """The tokens whose probabilities are shown: the likeliest before and after."""
        view, plain = self.view, self.plain
        found = {*view.best(), *plain.best()}
        order = sorted(
            found, key=lambda id: -max(probability(view, id), probability(plain, id))
        )
        kept = order[:MOST_BARS]
        kept = kept if view.token in kept else [*kept[:-1], view.token]
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
        title = f"What each part adds to {quoted(self.word(view.token))}"
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


def percent(p: float) -> str:
    """A probability in words: "92 %"; below a tenth with one digit more."""
    if p < 0.0005:
        return "< 0.1 %"
    return f"{100 * p:.0f} %" if p >= 0.0995 else f"{100 * p:.1f} %"


def machine_view(
    model: nn.Module, encoding: tiktoken.Encoding, text: str, other: str = ""
) -> tuple[Axes, ipywidgets.VBox]:
    """Type a sentence, see what every part adds to the next token, press parts off.

    model: any that `tiles.take_apart` takes. other: a second text of as many tokens, from
    which a press may take a part; without it there is one line of text. Returns the
    picture for `text` and the widget. Raises ValueError as `Machine.read` does.
    """
    machine = Machine(model, encoding)
    boxes = [controls.text_box("Text", text)]
    if other:
        boxes.append(controls.text_box("Other text", other))

    def draw(*texts: str) -> Axes:
        machine.read(*texts)
        return machine.drawn()

    if anywidget is None:
        return controls.steer(draw, *boxes)
    note = machine.read(text, other)
    axis = machine.drawn()
    view = MachineView(patterns=machine.patterns(), shown=machine.shown(note))

    def send(telling: bool = False) -> None:
        with view.hold_sync():
            view.patterns = machine.patterns()
            view.shown = machine.shown(note, telling)

    def reread(_) -> None:
        nonlocal note
        try:
            note = machine.read(*(box.value for box in boxes))
        except ValueError as error:
            view.shown = NOTHING | {"said": str(error)}
        else:
            send()

    def answer(change: dict) -> None:
        asked = change["new"]
        machine.change(asked["changed"], asked["token"], asked["against"])
        send(asked["telling"])

    view.observe(answer, "asked")
    for box in boxes:
        box.observe(reread, "value")
    return axis, ipywidgets.VBox([*boxes, view])
