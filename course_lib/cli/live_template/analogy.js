// What is to c as b is to a? The words nearest to b - a + c, as course_lib/vectors.py
// finds them: each vector is brought to length one first.

const rows = new Map(facts.words.map((word, i) => [word, i]));
const C = facts.channels;
const SHOWN = 8;

function unit(vector) {
  const length = Math.hypot(...vector);
  return vector.map((one) => one / length);
}

const stored = new Int8Array(bytes(facts.vectors).buffer);
const units = facts.words.map((_, i) =>
  unit(Array.from(stored.subarray(i * C, (i + 1) * C))),
);
const dot = (x, y) => x.reduce((sum, one, i) => sum + one * y[i], 0);

// The nearest words and their cosines, best first.
function nearest(ids, leaveOut) {
  const [a, b, c] = ids.map((id) => units[id]);
  const end = unit(c.map((one, i) => b[i] - a[i] + one));
  const all = units.map((one, id) => [id, dot(one, end)]);
  const left = leaveOut ? all.filter(([id]) => !ids.includes(id)) : all;
  return left.sort((one, other) => other[1] - one[1]).slice(0, SHOWN);
}

// A typed word as the list has it; undefined for one that it lacks.
function known(typed) {
  const word = typed.trim();
  return [word, word.toLowerCase()].find((form) => rows.has(form));
}

function draw() {
  const typed = boxes.map((box) => box.value);
  const words = typed.map(known);
  const lost = words.indexOf(undefined);
  boxes.forEach((box, i) => box.setAttribute("aria-invalid", words[i] === undefined));
  if (lost >= 0) {
    const word = typed[lost].trim();
    return say(
      word
        ? `“${word}” is not among these ${grouped(facts.words.length)} words.`
        : "Type a word into each of the three boxes.",
    );
  }
  const ids = words.map((word) => rows.get(word));
  const best = nearest(ids, leaveOut.checked);
  const most = Math.max(best[0][1], 1e-6);
  best.forEach(([id, cosine], i) => {
    const { name, bar, number } = shown[i];
    name.textContent = name.title = facts.words[id] + (ids.includes(id) ? " (typed)" : "");
    bar.style.setProperty("--share", Math.max(cosine, 0) / most);
    number.textContent = cosine.toFixed(2).replace("-", "−");
  });
  say(`${words[0]} is to ${words[1]} as ${words[2]} is to ${facts.words[best[0][0]]}`);
}

// A box answers when Enter is pressed or it is left, and at once to a word that it knows.
function box(name, value) {
  const look = { type: "text", list: "known", value, autocomplete: "off" };
  const one = control(name, "input", { ...look, spellcheck: "false", autocapitalize: "none" });
  one.addEventListener("change", draw);
  one.addEventListener("input", () => boxes.every((each) => known(each.value)) && draw());
  return one;
}

const boxes = ["a", "b", "c"].map((name, i) => box(name, facts.first[i]));
const leaveOut = onOff("leave the inputs out", true, draw);
const listed = made($("dials"), "datalist");
listed.id = "known";
for (const word of [...facts.words].sort()) made(listed, "option").value = word;
const shown = barRows(SHOWN);
shown[0].row.classList.add("bright");
draw();
