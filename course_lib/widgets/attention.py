"""The attention explorer: the one widget with a browser part of ours.

Lines between tokens, lit while the pointer rests on one of them, need a program in the
browser. anywidget carries it there and is an optional import: without it the widget
moves a picture instead. Lesson 03 uses it first.

T position, H heads, L layers.
"""

import html
from collections.abc import Callable

import ipywidgets
import tiktoken
import torch
import traitlets
from matplotlib.axes import Axes
from torch import nn

from course_lib import figures, inside
from course_lib.widgets import controls, pictures

try:
    import anywidget
except ImportError:
    anywidget = None

LONGEST = 4_000  # characters that are cut into tokens: plenty for those that are read
ASK = "Type at least one letter."
COLOURS = {"ground": figures.GROUND, "text": figures.TEXT, "muted": figures.MUTED}
COLOURS |= {"empty": figures.EMPTY, "query": figures.QUERY, "key": figures.KEY}

LOOK = ".attention-view {"
LOOK += "".join(f"--{name}: {colour};" for name, colour in COLOURS.items())
LOOK += """
  box-sizing: border-box; max-width: 768px; padding: 12px 16px;
  background: var(--ground); color: var(--text); color-scheme: dark;
  font: 13px/22px "DejaVu Sans Mono", Menlo, Consolas, monospace;
}
.attention-view .grid {
  display: grid; grid-template-columns: max-content minmax(24px, 1fr) max-content;
}
.attention-view .head { padding: 0 6px; }
.attention-view .head, .attention-view .note, .attention-view .hint {
  font-family: "DejaVu Sans", Verdana, sans-serif; font-size: 12px;
}
.attention-view .note, .attention-view .hint { color: var(--muted); line-height: 18px; }
.attention-view .hint { margin-top: 8px; }
.attention-view .query { color: var(--query); text-align: right; }
.attention-view .key { color: var(--key); }
.attention-view svg { display: block; width: 100%; }
.attention-view path {
  fill: none; stroke: var(--key); vector-effect: non-scaling-stroke;
}
.attention-view path.on { stroke: var(--query); }
.attention-view .token { height: 22px; padding: 0 6px; white-space: pre; }
.attention-view .weight {
  display: inline-block; width: 4ch; margin-right: 1ch; color: var(--text);
}
.attention-view .query.token { cursor: pointer; border-radius: 3px; }
.attention-view .lit .token:not(.on), .attention-view .token:not(.on) .weight {
  color: var(--muted);
}
.attention-view .query.on { background: var(--empty); }
.attention-view .token[aria-pressed="true"] {
  box-shadow: inset 0 0 0 1px var(--query);
}
.attention-view .token:focus { outline: none; }
.attention-view .token:focus-visible {
  outline: 2px solid var(--text); outline-offset: -2px;
}
.attention-view .map { margin-bottom: 8px; }
.attention-view .map:empty { display: none; }
.attention-view .map circle.score { fill: var(--key); }
.attention-view .map circle.none { fill: var(--empty); }
.attention-view .map circle.ring {
  fill: none; stroke: var(--query); stroke-width: 2;
}
.attention-view .map rect { fill: transparent; cursor: pointer; }
.attention-view .map text { fill: var(--muted); font-size: 12px; }
.attention-view .map svg:focus { outline: none; }
.attention-view .map svg:focus-visible { outline: 2px solid var(--text); }
"""

ELEMENTS = """
function add(parent, tag, name = "", text = "") {
  const drawn = ["svg", "g", "path", "line", "circle", "rect", "text"].includes(tag);
  const made = drawn ? document.createElementNS("http://www.w3.org/2000/svg", tag)
                     : document.createElement(tag);
  made.setAttribute("class", name);
  made.textContent = text;
  parent.append(made);
  return made;
}

function set(element, attributes) {
  for (const name in attributes) element.setAttribute(name, attributes[name]);
  return element;
}
"""  # for every program of ours: an element, and its attributes

PROGRAM = (
    ELEMENTS
    + """
const ROW = 22;  // pixels: a row is as high as the style says
const HINT = "Point at a yellow token, or go there with Tab and the arrows. " +
  "A click or Enter holds it, Escape lets go.";

// What a screen reader says of a token: where it looks most, at most three places.
function said(tokens, weights, i) {
  const quoted = token => `"${token.replaceAll("·", " ")}"`;
  const seen = weights[i].slice(0, i + 1).map((weight, j) => [weight, quoted(tokens[j])]);
  const most = seen.sort((one, other) => other[0] - one[0]).slice(0, 3);
  const places = most.map(([weight, token]) => `${token} ${weight.toFixed(2)}`);
  return `${quoted(tokens[i])} looks at ${places.join(", ")}`;
}

function addLine(svg, from, to, weight) {
  const [a, b] = [(from + 0.5) * ROW, (to + 0.5) * ROW];
  const d = `M0,${a} C50,${a} 50,${b} 100,${b}`;
  return set(add(svg, "path", "line"), { d, "stroke-width": 8 * weight });
}

function addKey(parent, token) {
  const key = add(parent, "div", "key token");
  add(key, "span", "weight");
  key.append(token);
  return key;
}

// The two columns with the lines between them.
function build(root, tokens, weights, note) {
  root.replaceChildren();
  const grid = add(root, "div", "grid");
  add(grid, "div", "query head", "looks");
  add(grid, "div", "head");
  add(grid, "div", "key head", "looked at");
  const left = add(grid, "div", "queries");
  const tall = Math.max(tokens.length, 1) * ROW;
  const svg = set(add(grid, "svg", "lines"), {
    viewBox: `0 0 100 ${tall}`, height: tall, preserveAspectRatio: "none",
    "aria-hidden": true,
  });
  const right = add(grid, "div", "keys");
  add(root, "div", "hint", HINT);
  set(add(root, "div", "note", note), { role: "status" });
  const queries = tokens.map((token, i) => set(add(left, "div", "query token", token),
    { role: "button", tabindex: 0, "aria-label": said(tokens, weights, i) }));
  const keys = tokens.map(token => addKey(right, token));
  const lines = tokens.map((_, i) => weights[i].slice(0, i + 1).map(
    (weight, j) => addLine(svg, i, j, weight)));
  return { grid, queries, keys, lines };
}

// Light one token and what it looks at; null: all lines, dimly.
function light({ grid, queries, keys, lines }, weights, lit, pinned) {
  grid.classList.toggle("lit", lit !== null);
  queries.forEach((query, i) => {
    query.classList.toggle("on", i === lit);
    query.setAttribute("aria-pressed", i === pinned);
  });
  keys.forEach((key, j) => {
    const seen = lit !== null && j <= lit;
    key.classList.toggle("on", seen && weights[lit][j] >= 0.005);
    key.firstChild.textContent = seen ? weights[lit][j].toFixed(2) : "";
  });
  lines.forEach((some, i) => some.forEach((path, j) => {
    const weight = weights[i][j];
    const strength = i === lit ? 0.4 + 0.6 * weight : lit === null ? 0.6 * weight : 0;
    path.classList.toggle("on", i === lit);
    path.setAttribute("stroke-opacity", strength);
  }));
}

// A dot for every head: layers across, heads down; a press or an arrow chooses one.
function addMap(parent, scores, choose) {
  const [layers, heads] = [scores.length, scores[0].length];
  const most = Math.max(...scores.flat(), 1e-6);
  const [left, wide, tall] = [58, 22, 20];  // of the names of the heads, and a cell
  const svg = set(add(parent, "svg", "heads"), {
    viewBox: `0 0 ${left + wide * layers} ${tall * (heads + 1)}`, tabindex: 0,
    role: "application",
  });
  const at = (layer, head) => ({ cx: left + wide * (layer + 0.5), cy: tall * (head + 0.5) });
  scores.forEach((some, layer) => some.forEach((score, head) => {
    set(add(svg, "circle", "none"), { ...at(layer, head), r: 1.5 });
    const r = 9 * Math.sqrt(Math.max(score, 0) / most);
    set(add(svg, "circle", "score"), { ...at(layer, head), r });
  }));
  for (let head = 0; head < heads; head += 1)
    set(add(svg, "text", "", `head ${head}`), { x: 4, y: tall * (head + 0.7) });
  for (let layer = 0; layer < layers; layer += 3)
    set(add(svg, "text", "", layer || "layer 0"), {
      x: left + wide * (layer + 0.5), y: tall * (heads + 0.8), "text-anchor": "middle" });
  const ring = set(add(svg, "circle", "ring"), { r: 9.5 });
  scores.forEach((some, layer) => some.forEach((_, head) => {
    const box = { x: left + wide * layer, y: tall * head, width: wide, height: tall };
    set(add(svg, "rect", "press"), box).onclick = () => choose(layer, head);
  }));
  let here = [0, 0];
  svg.onkeydown = event => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1],
      ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const [layer, head] = [here[0] + step[0], here[1] + step[1]];
    if (scores[layer]?.[head] !== undefined) choose(layer, head);
  };
  return (layer, head) => {
    here = [layer, head];
    set(ring, at(layer, head));
    const told = `head ${head} of layer ${layer}, score ${scores[layer][head].toFixed(2)}`;
    set(svg, { "aria-label": `${told}: arrow keys choose another` });
  };
}

function render({ model, el }) {
  // Otherwise JupyterLab takes Enter, Escape and the arrows for itself.
  const root = add(el, "div", "attention-view");
  set(root, { "data-lm-suppress-shortcuts": true });
  const map = add(root, "div", "map");
  const body = add(root, "div", "body");
  const choose = (...place) => { model.set("chosen", place); model.save_changes(); };
  const scores = model.get("scores");
  const ring = scores.length ? addMap(map, scores, choose) : () => {};
  let tokens = [];
  let pinned = null;

  function draw() {
    if (`${tokens}` !== `${model.get("tokens")}`) pinned = null;
    tokens = model.get("tokens");
    const weights = model.get("weights");
    ring(...model.get("chosen"));
    const parts = build(body, tokens, weights, model.get("note"));
    let [pointed, focused] = [null, null];
    const show = () => light(parts, weights, pinned ?? pointed ?? focused, pinned);
    const pin = i => { pinned = i === pinned ? null : i; show(); };
    parts.queries.forEach((query, i) => {
      query.onpointerenter = () => { pointed = i; show(); };
      query.onpointerleave = () => { pointed = null; show(); };
      // A click gives focus, too; were it to light the token, nothing would put it out.
      const byKey = () => query.matches(":focus-visible");
      query.onfocus = () => { focused = byKey() ? i : null; show(); };
      query.onblur = () => { focused = null; show(); };
      query.onclick = () => pin(i);
      query.onkeydown = event => {
        const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (step) parts.queries[i + step]?.focus();
        else if (event.key === "Enter" || event.key === " ") pin(i);
        else if (event.key === "Escape") pin(pinned);
        else return;
        event.preventDefault();
        event.stopPropagation();
      };
    });
    show();
  }

  model.on("change", draw);
  draw();
  return () => model.off("change", draw);
}

export default { render };
"""
)

if anywidget is not None:

    class AttentionView(anywidget.AnyWidget):
        """Tokens in two columns, a line for each weight: what the browser is sent."""

        _esm, _css = PROGRAM, LOOK
        tokens = traitlets.List(traitlets.Unicode()).tag(sync=True)
        weights = traitlets.List(traitlets.List(traitlets.Float())).tag(sync=True)
        note = traitlets.Unicode().tag(sync=True)
        scores = traitlets.List().tag(sync=True)  # (L, H), if there is a map
        chosen = traitlets.List([0, 0]).tag(sync=True)  # layer and head


def start(encoding: tiktoken.Encoding, text: str) -> tuple[list[int], str]:
    """The ids of a text's first 40 tokens, and a note on how many those are."""
    ids = encoding.encode_ordinary(text[:LONGEST])
    kept = ids[: figures.MOST_LOOKS]
    if not ids:
        return [], ASK
    if len(kept) < len(ids) or len(text) > LONGEST:
        return kept, f"The first {len(kept)} tokens are read, the rest is not."
    return kept, f"{len(ids)} token" + "s" * (len(ids) > 1)


def read(
    model: nn.Module, encoding: tiktoken.Encoding, text: str
) -> tuple[list[bytes], torch.Tensor, str]:
    """A text's tokens, at most 40, their patterns (L, H, T, T), and a note."""
    ids, note = start(encoding, text)
    try:
        patterns = inside.attention_patterns(model, ids or [0])  # (L, H, T, T)
    except ValueError as error:  # such as more tokens than the context length
        ids, note = [], str(error)
        patterns = inside.attention_patterns(model, [0])
    tokens = [encoding.decode_single_token_bytes(id) for id in ids]
    return tokens, patterns[:, :, : len(ids), : len(ids)], note


def live_view(scores: list, *sliders) -> tuple[ipywidgets.DOMWidget, Callable]:
    """The view that lights up, and a function that sends it something to show.

    With scores there is a map of all heads: pressing a head moves the sliders.
    """
    chosen = [slider.value for slider in sliders]
    view = AttentionView(scores=scores, chosen=chosen)

    def press(_) -> None:
        for slider, place in zip(sliders, view.chosen):
            slider.value = place

    view.observe(press, "chosen")

    def send(tokens: list[bytes], weights: list, note: str, _: str) -> None:
        names = [figures.shortened(figures.visible(token)) for token in tokens]
        # All at once: tokens never stand beside another text's weights.
        with view.hold_sync():
            view.tokens, view.weights, view.note = names, weights, note
            view.chosen = [slider.value for slider in sliders]

    return view, send


def still_view(axis: Axes) -> tuple[ipywidgets.DOMWidget, Callable]:
    """The same without anywidget: a picture, a note, and what changes them."""
    image, words = pictures.picture(axis), ipywidgets.HTML()

    def send(tokens: list[bytes], weights: list, note: str, title: str) -> None:
        image.value = figures.png(figures.attention_grid(tokens, weights, title))
        words.value = html.escape(note)

    return ipywidgets.VBox([pictures.frame(image), words]), send


def attention_explorer(
    model: nn.Module,
    encoding: tiktoken.Encoding,
    text: str,
    layer: int = 0,
    head: int = 0,
    scores: torch.Tensor | None = None,
) -> tuple[Axes, ipywidgets.VBox]:
    """Type a text, choose a layer and a head, see where each token looks.

    model: any that inside.attention_patterns reads. Only a new text is read; another
    layer or head is only shown. scores (L, H), if they are given, are drawn as a map of
    all heads, in which one can be pressed. Returns the picture for `text`, `layer` and `head`, and
    the widget. Raises ValueError if the model has no such layer or head.
    """
    seen = read(model, encoding, text)  # tokens, patterns, note
    layers, heads = seen[1].shape[:2]
    if not (0 <= layer < layers and 0 <= head < heads):
        raise ValueError(
            f"There is no layer {layer}, head {head}: this model's layers are 0 to "
            f"{layers - 1} and its heads 0 to {heads - 1}."
        )
    box = controls.text_box("Text", text)
    # Sliders, as a list of choices loses its arrow keys to JupyterLab.
    at_layer = controls.slider("Layer", 0, layers - 1, layer)
    at_head = controls.slider("Head", 0, heads - 1, head)

    def chosen() -> tuple[list[bytes], list, str, str]:
        tokens, patterns, note = seen
        weights = patterns[at_layer.value, at_head.value].double().round(decimals=4)
        title = f"Where head {at_head.value} of layer {at_layer.value} looks"
        return tokens, weights.tolist(), note, title

    tokens, weights, _, title = chosen()
    axis = figures.attention_grid(tokens, weights, title)
    dots = [] if scores is None else scores.double().round(decimals=3).tolist()
    live = anywidget is not None
    view, send = live_view(dots, at_layer, at_head) if live else still_view(axis)
    send(*chosen())

    def reread(_) -> None:
        nonlocal seen
        seen = read(model, encoding, box.value)
        send(*chosen())

    box.observe(reread, "value")
    for slider in (at_layer, at_head):
        slider.observe(lambda _: send(*chosen()), "value")
    return axis, ipywidgets.VBox([box, at_layer, at_head, view])
