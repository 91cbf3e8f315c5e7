// The machine view in the browser: it draws what the kernel sends, and says what was
// pressed. `add` and `set` are the attention explorer's. `shown` and `patterns` come from the kernel, `asked` goes to it.

const [WIDE, LEFT, SPACE] = [768, 48, 282]; // the drawing; where the streams stand
const [TILES, ROOM, WORDS] = [356, 220, 596]; // where the tiles begin, their room; words
const TOP = 34; // room for the names of the columns
const HINT =
  "Half as bright is a quarter as much. × is off, • is taken from the other text. Point " +
  "at a tile, or go there with Tab and the arrow keys. A press or Enter switches it off " +
  "at every token; on a layer's number, the whole layer. Escape switches all on.";

const percent = (p) =>
  p < 0.0005 ? "< 0.1 %" : `${(100 * p).toFixed(p < 0.0995 ? 1 : 0)} %`;
const signed = (x, digits = 2) => (x < 0 ? "−" : "+") + Math.abs(x).toFixed(digits);
const quoted = (word) => `“${word.replaceAll("·", " ")}”`;
const named = ([layer, kind]) =>
  kind === "mlp" ? `The MLP of layer ${layer}` : `Head ${kind} of layer ${layer}`;

// What is shown, with what is easier to ask of it than to send.
function reading(shown, bytes) {
  const [layers, heads, count] = [shown.mlps.length, shown.heads[0].length, shown.tokens.length];
  const kinds = [...Array(heads).keys(), "mlp"];
  const adds = ([layer, kind]) =>
    kind === "mlp" ? shown.mlps[layer] : shown.heads[layer][kind];
  // Row `count − 1` of the pattern: where the last position looks.
  const looks = ([layer, head]) => {
    const start = (layer * heads + head) * count;
    return [...bytes.slice(start, start + count)].map((byte) => byte / 255);
  };
  const how = ([layer, kind]) =>
    shown.changed.find(([l, k]) => l === layer && k === kind)?.[2] ?? "on";
  const most = Math.max(...shown.mlps.map(Math.abs), ...shown.heads.flat().map(Math.abs), 1e-9);
  return { ...shown, layers, count, kinds, adds, looks, how, most };
}

// A token; which one, where the text has it more than once.
function which(r, j) {
  const alone = r.tokens.indexOf(r.tokens[j]) === r.tokens.lastIndexOf(r.tokens[j]);
  return quoted(r.tokens[j]) + (alone ? "" : ` (token ${j + 1})`);
}

// What a tile says to a screen reader, and in the line below the drawing.
function sentence(r, part) {
  const state = { on: "", off: " It is switched off.", taken: " It is taken from the other text." };
  const of = r.against ? `${quoted(r.token)} less that of ${quoted(r.against)}` : quoted(r.token);
  return `${named(part)} adds ${signed(r.adds(part))} to the logit of ${of}.${state[r.how(part)]}`;
}

function details(r, part) {
  const [layer, kind] = part;
  if (r.how(part) !== "on") return "";  // what was read here is not what it says now
  if (kind === "mlp") {
    const neurons = r.neurons[layer].map(
      ([n, fires, brings]) => `${n} (${signed(fires, 1)}: ${signed(brings)})`);
    return `Its neurons with the largest numbers at the last token, and what each adds: ${neurons.join(", ")}.`;
  }
  const seen = r.looks(part).map((weight, j) => [weight, j]).sort((a, b) => b[0] - a[0]);
  const places = seen.slice(0, 4).filter(([weight]) => weight >= 0.02)
    .map(([weight, j]) => `${which(r, j)} ${weight.toFixed(2)}`);
  return `From the last token it looks at ${places.join(", ")}.`;
}

// The drawing: streams, tiles, words. Gives what is lit later.
function draw(root, r) {
  const row = Math.min(34, Math.max(16, 480 / r.layers));
  const bottom = TOP + row * (r.layers + 1);
  const letters = Math.max(...r.tokens.map((token) => token.length));
  const tall = bottom + 12 + Math.min(letters, 16) * 6.8 + 8;
  const svg = set(add(root, "svg"), {
    viewBox: `0 0 ${WIDE} ${Math.ceil(tall)}`, role: "grid",
    "aria-label": `The parts of the model: ${r.layers} layers, the lowest at the bottom`,
  });
  const middle = (layer) => TOP + row * (r.layers - layer - 0.5);
  const step = Math.min(48, SPACE / r.count);
  const place = (j) => LEFT + 8 + step * (j + 0.5);
  for (const [x, words] of [[6, "layer"], [LEFT + 8, "residual stream of each token"], [TILES, "heads"],
    [WORDS, "the logit lens says next"]]) set(add(svg, "text", "", words), { x, y: 14 });
  const wide = Math.min(44, ROOM / r.kinds.length);
  const heads = r.kinds.length - 1;
  const mlp = TILES + wide * heads + 4;
  set(add(svg, "text", "", "MLP"), { x: mlp + wide, y: 14, "text-anchor": "end" });
  for (let head = 0; head < heads; head += 1)
    set(add(svg, "text", "", head), { x: TILES + wide * (head + 0.5), y: TOP - 5, "text-anchor": "middle" });

  r.tokens.forEach((token, j) => {
    const last = j === r.count - 1 ? " last" : "";
    set(add(svg, "line", `stream${last}`), { x1: place(j), x2: place(j), y1: TOP, y2: bottom });
    const name = set(add(svg, "text", `word token${last}`, token), {
      transform: `translate(${place(j) + 4} ${bottom + 8}) rotate(-90)`, "text-anchor": "end" });
    name.dataset.place = j;
  });
  const lights = add(svg, "g", "lights");

  const tiles = new Map();
  for (let layer = r.layers - 1; layer >= 0; layer -= 1) {
    const line = set(add(svg, "g"), { role: "row" });
    const y = middle(layer) - row / 2 + 1;
    const tall = row - 2;
    const whole = set(add(line, "g", "tile layer"), { role: "gridcell", tabindex: -1,
      "aria-label": `Layer ${layer}, all its parts; after it, ${r.lens[layer + 1][0]} would come next, ${percent(r.lens[layer + 1][1])}` });
    set(add(whole, "rect", "edge"), { x: 2, y, width: LEFT - 10, height: tall, "pointer-events": "all" });
    set(add(whole, "text", "", layer), {
      x: LEFT - 10, y: middle(layer) + 4, "text-anchor": "end" });
    tiles.set(`${layer},layer`, whole);
    for (const kind of r.kinds) {
      const part = [layer, kind];
      const x = kind === "mlp" ? mlp : TILES + wide * kind;
      const value = r.adds(part);
      const how = r.how(part);
      const tile = set(add(line, "g", `tile ${how}`), { role: "gridcell", tabindex: -1,
        "aria-label": `${sentence(r, part)} ${details(r, part)}` });
      const box = { x: x + 1, y, width: wide - 2, height: tall };
      set(add(tile, "rect", "ground"), box);
      const strength = Math.sqrt(Math.abs(value) / r.most);
      if (how !== "off") set(add(tile, "rect", value < 0 ? "less" : "more"), { ...box, opacity: strength.toFixed(2) });
      const [cx, cy] = [x + wide / 2, y + tall / 2];
      if (how === "off") set(add(tile, "path", "cross"), {
        d: `M${cx - 4},${cy - 4}l8,8m0,-8l-8,8` });
      else if (how === "taken") set(add(tile, "circle", "dot"), { cx, cy, r: 3.5 });
      else if (value < 0 && strength > 0.15) set(add(tile, "path", "minus"), { d: `M${cx - 4},${cy}h8` });
      set(add(tile, "rect", "edge"), box);
      tiles.set(`${layer},${kind}`, tile);
    }
  }
  set(add(svg, "text", "", "the embedding alone"), { x: TILES, y: bottom - row / 2 + 4 });
  // One row more than layers: below all of them is what the embedding alone would say.
  r.lens.forEach(([word, chance], i) => {
    const y = TOP + row * (r.layers - i);
    set(add(svg, "rect", "chance"), { x: WORDS, y: y + 2, width: (WIDE - WORDS - 4) * chance,
      height: row - 4 });
    set(add(svg, "text", "word", word), { x: WORDS + 4, y: y + row / 2 + 4 });
    if (chance >= 0.005) set(add(svg, "text", "", percent(chance)), {
      x: WIDE - 6, y: y + row / 2 + 4, "text-anchor": "end", style: "fill: var(--text)" });
  });
  return { svg, tiles, lights, place, middle, row };
}

// Light a part: where a head looks, or where an MLP adds.
function light(r, { svg, tiles, lights, place, middle, row }, part) {
  lights.replaceChildren();
  for (const tile of tiles.values()) tile.classList.remove("lit");
  const names = [...svg.querySelectorAll(".token")];
  names.forEach((name) => name.classList.remove("on"));
  if (!part || part[1] === "layer") return;
  tiles.get(part.join()).classList.add("lit");
  const [end, y] = [place(r.count - 1), middle(part[0])];
  set(add(lights, "circle", "adds"), { cx: end, cy: y, r: 4 });
  if (part[1] === "mlp" || r.how(part) !== "on") return;
  r.looks(part).forEach((weight, j) => {
    if (weight < 0.02) return;
    names[j].classList.add("on");
    const from = place(j);
    const d = j === r.count - 1 ? `M${from},${y + row}V${y}`
      : `M${from},${y + row} C${from},${y} ${from},${y} ${end},${y}`;
    set(add(lights, "path", "look"), { d, "stroke-width": 1 + 5 * weight,
      "stroke-opacity": 0.35 + 0.65 * weight });
  });
}

// The likeliest next tokens: before and after, one of them in view.
function bars(root, r, ask) {
  const list = add(root, "div", "best");
  const touched = r.changed.length > 0;
  for (const one of r.best) {
    const seen = one.id === r.token_id;
    const button = set(add(list, "button", "mono", one.word || " "), { "aria-pressed": seen,
      type: "button", "data-key": `token ${one.id}`, title: "Show what the parts add to this token" });
    button.onclick = () => ask({ token: one.id });
    const bar = add(list, "div", `bar${seen ? " in-view" : ""}`);
    add(bar, "div", "now").style.width = `${100 * one.after}%`;
    if (touched) add(bar, "div", "was").style.width = `${100 * one.before}%`;
    add(list, "span", "mono",
      touched ? `${percent(one.before)} → ${percent(one.after)}` : percent(one.after));
  }
}

// With which token the one in view is compared, and what a press does.
function choices(root, r, ask, state) {
  const line = add(root, "div", "row");
  const select = set(add(add(line, "label", "", "Compared with "), "select"), { "data-key": "against" });
  set(add(select, "option", "", "nothing"), { value: "" });
  for (const one of r.best) if (one.id !== r.token_id)
    set(add(select, "option", "", quoted(one.word)), { value: one.id });
  select.value = r.against_id ?? "";
  select.onchange = () =>
    ask({ against: select.value === "" ? null : Number(select.value) });
  if (!r.other) return;
  const group = set(add(line, "span", "row"), { role: "radiogroup", "aria-label": "A press" });
  add(group, "span", "", "A press");
  for (const [how, words] of [["off", "switches off"], ["taken", "takes from the other text"]]) {
    const label = add(group, "label");
    const box = set(add(label, "input"), { type: "radio", name: state.id, value: how, "data-key": how });
    box.checked = state.press === how;
    box.onchange = () => { state.press = how; };
    label.append(` ${words}`);
  }
}

function buttons(root, ask) {
  const line = add(root, "div", "row");
  for (const [words, what] of [["The three that tell most", { telling: true }],
    ["Switch all on", { changed: [] }]])
    set(add(line, "button", "", words), { type: "button", "data-key": words }).onclick = () => ask(what);
}

function render({ model, el }) {
  // Otherwise JupyterLab takes Enter, Escape and the arrows for itself.
  const root = set(add(el, "div", "machine-view"), { "data-lm-suppress-shortcuts": true });
  const said = set(add(root, "p", "said"), { role: "status" }); // stays, to be read aloud
  const body = add(root, "div", "body");
  // A second view goes on counting, for a request like the last one would be no change.
  const turn = model.get("asked").turn ?? 0;
  const state = { here: null, press: "off", id: `press-${Math.random()}`, turn, wanted: {} };

  // What is wanted goes on from what was wanted, for the last answer may not be here yet.
  function ask(what) {
    Object.assign(state.wanted, { ...what, telling: undefined });
    state.turn += 1;
    model.set("asked", { ...state.wanted, telling: what.telling ?? false,
      turn: state.turn, text: model.get("shown").text });
    model.save_changes();
  }

  function redraw() {
    const held = body.contains(document.activeElement) ? document.activeElement : null;
    const key = held?.dataset?.key;
    const onTile = held?.closest?.(".tile");
    const shown = model.get("shown");
    const bytes = model.get("patterns");
    const r = reading(shown, new Uint8Array(bytes.buffer ?? bytes, bytes.byteOffset ?? 0, bytes.byteLength));
    if (shown.text !== state.text || shown.turn >= state.turn) {
      state.wanted = { changed: r.changed, token: r.token_id, against: r.against_id };
      state.text = shown.text;
    }
    said.textContent = r.said;
    body.replaceChildren();
    if (!r.count) return;
    bars(body, r, ask);
    choices(body, r, ask, state);
    const parts = draw(add(body, "div", "frame picture-frame"), r);
    const told = add(body, "div", "told");
    buttons(body, ask);
    if (r.telling.length) {
      const list = add(body, "ol");
      r.telling.forEach(({ part, words }, i) => {
        add(list, "li", "", words);
        const tile = parts.tiles.get(part.join());
        const box = tile.querySelector(".edge").getAttribute.bind(tile.querySelector(".edge"));
        tile.classList.add("telling");
        set(add(tile, "text", "number", i + 1), { "text-anchor": "middle",
          x: Number(box("x")) + box("width") / 2, y: Number(box("y")) + box("height") / 2 + 4 });
      });
    }
    add(body, "p", "hint", `Blue adds to the logit, orange takes away, with a − where it is much; the brightest is ${r.most.toFixed(2)}. ${HINT}`);
    add(body, "p", "note", r.note);

    const columns = ["layer", ...r.kinds];
    const here = state.here && state.here[0] < r.layers ? state.here : [r.layers - 1, 0];
    let focused = null;
    function show(part) {
      light(r, parts, part);
      told.replaceChildren();
      if (!part) return;
      const whole = `Layer ${part[0]}: all its heads and its MLP.`;
      add(told, "p", "", part[1] === "layer" ? whole : sentence(r, part));
      if (part[1] !== "layer") add(told, "p", "", details(r, part));
    }
    function press([layer, kind]) {
      const chosen = kind === "layer" ? r.kinds.map((k) => [layer, k]) : [[layer, kind]];
      const same = ([l, k]) => chosen.some((part) => part[0] === l && part[1] === k);
      const mine = state.wanted.changed.filter(same);
      const all = mine.length === chosen.length && mine.every(([, , how]) => how === state.press);
      const rest = state.wanted.changed.filter((one) => !same(one));
      const more = chosen.filter((part) => !all).map((part) => [...part, state.press]);
      ask({ changed: [...rest, ...more] });
    }
    function go(part, focus) {
      for (const tile of parts.tiles.values()) tile.setAttribute("tabindex", -1);
      const tile = parts.tiles.get(part.join());
      tile.setAttribute("tabindex", 0);
      state.here = part;
      if (focus) tile.focus({ preventScroll: true });
    }
    for (const [name, tile] of parts.tiles) {
      const [layer, kind] = name.split(",");
      const part = [Number(layer), ["mlp", "layer"].includes(kind) ? kind : Number(kind)];
      tile.onpointerenter = () => show(part);
      tile.onpointerleave = () => show(focused);
      tile.onfocus = () => { focused = part; show(part); };
      tile.onblur = () => { focused = null; show(null); };
      tile.onclick = () => { go(part, true); press(part); };
      tile.onkeydown = (event) => {
        const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [1, 0], ArrowDown: [-1, 0] }[event.key];
        if (move) {
          const to = [part[0] + move[0], columns[columns.indexOf(part[1]) + move[1]]];
          if (to[0] >= 0 && to[0] < r.layers && to[1] !== undefined) go(to, true);
        } else if (event.key === "Home" || event.key === "End") {
          go([part[0], columns.at(event.key === "Home" ? 0 : -1)], true);
        } else if (event.key === "Enter" || event.key === " ") press(part);
        else if (event.key === "Escape") ask({ changed: [] });
        else return;
        event.preventDefault();
        event.stopPropagation();
      };
    }
    go(here, Boolean(onTile));
    if (held && !onTile)
      (body.querySelector(`[data-key="${key}"]`) ?? body.querySelector("select")).focus({ preventScroll: true });
  }

  model.on("change:shown", redraw);
  redraw();
  return () => model.off("change:shown", redraw);
}

export default { render };
