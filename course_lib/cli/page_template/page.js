// The page: it asks the worker, and shows what it answers.
"use strict";

const $ = (id) => document.getElementById(id);
const facts = JSON.parse($("facts").textContent);
const percent = (p) => `${(100 * p).toFixed(1)} %`;
const visible = (text) => text.replaceAll(" ", "␣").replaceAll("\n", "⏎") || "…";

// The worker ---------------------------------------------------------------------------

const source = new Blob([$("model-code").textContent], { type: "text/javascript" });
const worker = new Worker(URL.createObjectURL(source));
const waiting = new Map();
let count = 0;

// Give the worker a task; `tell` hears of its progress, the promise of its end.
function ask(task, what = {}, tell = () => {}) {
  const number = ++count;
  return new Promise((resolve, reject) => {
    waiting.set(number, { resolve, reject, tell });
    worker.postMessage({ number, task, ...what });
  });
}

worker.onmessage = ({ data }) => {
  const one = waiting.get(data.number);
  if (!data.done) return one.tell(data);
  waiting.delete(data.number);
  return data.error ? one.reject(new Error(data.error)) : one.resolve(data);
};
worker.onerror = (error) => say(`The model stopped: ${error.message}`);

function say(text) {
  $("state").textContent = text;
}

// What is shown ------------------------------------------------------------------------

let text = { ids: [], pieces: [], prompt: 0 }; // what was read and written
let place = 0; // the token after which we look
let seen = null; // what the model did there
let head = [0, 0]; // the chosen layer and head
const off = new Set();

const make = (name, kind, inner) => {
  const one = document.createElement(name);
  if (kind) one.className = kind;
  if (inner !== undefined) one.textContent = inner;
  return one;
};

function show(found) {
  if (found.ids) {
    text = { ids: found.ids, pieces: found.pieces, prompt: found.prompt };
    place = text.ids.length - 1;
  }
  seen = found;
  showText();
  showBars();
  showLens();
  showHeads();
}

// The text, a token each; brighter where the chosen head looks from the place.
function showText() {
  const weights = seen?.patterns[head[0] * facts.shape.heads + head[1]] ?? [];
  if ([...$("text").children].map((one) => one.textContent).join("|") !== text.pieces.join("|")) {
    $("text").replaceChildren(...text.pieces.map(token));
  }
  [...$("text").children].forEach((one, i) => {
    const share = weights[i] ?? 0;
    one.className = `token${i < text.prompt ? " prompt" : ""}${i > place ? " later" : ""}`;
    one.tabIndex = i === place ? 0 : -1;
    one.setAttribute("aria-pressed", i === place);
    one.setAttribute("aria-label", `${visible(text.pieces[i])}, looked at with ${percent(share)}`);
    one.style.setProperty("--share", `${Math.round(100 * share)}%`);
  });
}

function token(piece, i) {
  const one = make("span", "token", piece);
  one.setAttribute("role", "button");
  one.onclick = () => lookAt(i);
  return one;
}

function bar(label, p, note) {
  const row = make("li");
  row.append(make("code", "", visible(label)), make("span", "track"), make("span", "p", note));
  row.children[1].style.setProperty("--p", `${100 * p}%`);
  return row;
}

function showBars() {
  const before = new Map(seen.whole && off.size ? seen.whole.next : []);
  const note = (label, p) =>
    off.size && seen.whole ? `${before.has(label) ? percent(before.get(label)) : "less"} → ${percent(p)}` : percent(p);
  $("next").classList.toggle("changed", off.size > 0);
  $("next").replaceChildren(...seen.next.map(([label, p]) => bar(label, p, note(label, p))));
}

function showLens() {
  $("lens").replaceChildren(
    ...seen.lens.map(([label, p], layer) => bar(label, p, `layer ${layer}: ${percent(p)}`)),
  );
}

// A button for every head: the pattern of the one in focus is on the text.
function showHeads() {
  if ($("heads").children.length === 0) {
    for (let layer = 0; layer < facts.shape.layers; layer++) {
      for (let number = 0; number < facts.shape.heads; number++) {
        const one = make("button", "head", `${layer}.${number}`);
        one.type = "button";
        one.onfocus = one.onmouseenter = () => choose([layer, number]);
        one.onclick = () => turn(`${layer}.${number}`);
        $("heads").append(one);
      }
    }
    $("heads").style.setProperty("--heads", facts.shape.heads);
  }
  [...$("heads").children].forEach((one, i) => {
    const name = one.textContent, [layer, number] = name.split(".").map(Number);
    const farthest = seen.patterns[i] ?? [];
    const best = farthest.indexOf(Math.max(...farthest));
    one.setAttribute("aria-pressed", off.has(name));
    one.classList.toggle("chosen", layer === head[0] && number === head[1]);
    one.setAttribute("aria-label",
      `Layer ${layer}, head ${number}, ${off.has(name) ? "off" : "on"}: looks most at ` +
      `${visible(text.pieces[best] ?? "")}, ${percent(farthest[best] ?? 0)}`);
    one.title = one.getAttribute("aria-label");
  });
}

function choose(chosen) {
  head = chosen;
  showText();
  showHeads();
}

async function turn(name) {
  off.has(name) ? off.delete(name) : off.add(name);
  await lookAt(place);
}

async function lookAt(i) {
  if (!text.ids.length) return;
  place = Math.max(0, Math.min(i, text.ids.length - 1));
  show(await ask("look", { ids: text.ids.slice(0, place + 1), off: [...off] }));
  const heads = off.size ? ` Switched off: ${[...off].join(", ")}.` : "";
  say(`What comes after “${visible(text.pieces[place])}”.${heads}`);
}

$("text").onkeydown = (event) => {
  const to = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: text.ids.length - 1 };
  if (!(event.key in to)) return;
  event.preventDefault();
  lookAt(to[event.key]).then(() => $("text").children[place].focus());
};

$("heads").onkeydown = (event) => {
  const all = [...$("heads").children], at = all.indexOf(document.activeElement);
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -facts.shape.heads, ArrowDown: facts.shape.heads };
  if (!(event.key in step) || at < 0) return;
  event.preventDefault();
  all[at + step[event.key]]?.focus();
};

// Writing ------------------------------------------------------------------------------

function dials() {
  return {
    temperature: Number($("temperature").value),
    topK: Number($("top-k").value) || null,
    topP: Number($("top-p").value),
    seed: Number($("seed").value) >>> 0,
  };
}

let writing = false;

async function write() {
  writing = true;
  $("write").textContent = "Stop";
  try {
    const what = { text: $("prompt").value, dials: dials(), limit: Number($("length").value), off: [...off] };
    const end = await ask("write", what, (found) => {
      show(found);
      say(`Writing: token ${found.ids.length} of at most ${facts.shape.context}.`);
    });
    show(end);
    const speed = Math.round((end.ids.length - end.prompt) / end.seconds);
    say(`${end.ids.length - end.prompt} tokens, ${speed} a second.` +
      (end.full ? ` The context of ${facts.shape.context} tokens is full.` : "") +
      " Press a token to look inside there, a head to switch it off.");
  } catch (error) {
    say(error.message);
  }
  writing = false;
  $("write").textContent = "Write";
}

$("form").onsubmit = (event) => {
  event.preventDefault();
  writing ? ask("stop") : write();
};
for (const id of ["temperature", "top-p"]) {
  $(id).oninput = () => ($(`${id}-value`).textContent = Number($(id).value).toFixed(id === "top-p" ? 2 : 1));
}
$("all-on").onclick = async () => {
  off.clear();
  await lookAt(place);
};

// Begin --------------------------------------------------------------------------------

window.ready = ask("load", { about: facts, weights: $("weights").textContent.trim() }, ({ share }) =>
  say(`Loading the weights: ${Math.round(100 * share)} %`),
).then(() => {
  $("weights").remove();
  $("write").disabled = false;
  return write();
});
