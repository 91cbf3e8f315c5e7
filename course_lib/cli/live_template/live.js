// What all live widgets share: the facts of the page, and its controls.
const $ = (id) => document.getElementById(id);
const facts = JSON.parse($("facts").textContent);
const grouped = (whole) => whole.toLocaleString("en-US"); // 12,288
const say = (text) => ($("told").textContent = text);

// In a frame the lesson's page has said what this is.
document.body.classList.toggle("alone", window.top === window);

// A new element at the end of another.
function made(parent, name, kind = "", text = "") {
  const one = document.createElement(name);
  if (kind) one.className = kind;
  one.textContent = text;
  parent.append(one);
  return one;
}

// A control with its label, at the end of the others.
function control(name, element, attributes) {
  const row = made($("dials"), "div", "dial");
  const label = made(row, "label", "", name);
  const one = made(row, element);
  one.id = label.htmlFor = `dial-${name.toLowerCase().replace(/\W+/g, "-")}`;
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  return one;
}

// A slider; `shown` says in words what it stands at, `draw` is called when it moves.
function slider(name, [min, max, value], shown, draw, step = 1) {
  const one = control(name, "input", { type: "range", min, max, step, value });
  const words = made(one.parentElement, "output");
  words.htmlFor = one.id;
  one.tell = () => {
    words.textContent = shown(Number(one.value));
    one.setAttribute("aria-valuetext", words.textContent);
  };
  one.addEventListener("input", () => {
    one.tell();
    draw();
  });
  one.tell();
  return one;
}

// Move a slider by program.
function move(one, value) {
  one.value = value;
  one.tell();
}

// A list to choose one from: its names, in order.
function list(name, names, draw) {
  const one = control(name, "select", {});
  names.forEach((text, i) => (made(one, "option", "", text).value = i));
  one.addEventListener("change", draw);
  return one;
}

// Something that is on or off.
function onOff(name, on, draw) {
  const row = made($("dials"), "div", "dial switch");
  const label = made(row, "label");
  const one = made(label, "input");
  one.type = "checkbox";
  one.checked = on;
  label.append(` ${name}`);
  one.addEventListener("change", draw);
  return one;
}

// The text of base64 → bytes.
const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));

// Rows of a picture of bars: a name, a track with a bar on it, a number.
function barRows(count) {
  const all = made($("view"), "ol", "bars");
  return Array.from({ length: count }, () => {
    const row = made(all, "li");
    const [name, track, number] = ["name", "track", "number"].map((k) => made(row, "span", k));
    return { row, name, bar: made(track, "span", "bar"), track, number };
  });
}
