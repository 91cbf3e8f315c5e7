// The dials of a choice, in the order of course_lib/sampling.py: temperature, then top-k,
// top-p and min-p, each on what the one before it left. Tokens stand in the order of their
// logits, so that id and name are needed only for those that are shown.

// The steps from each logit down to the next → logits, the largest 0. A byte of 255 says
// that the next one belongs to it.
function unpack(text) {
  let level = 0;
  const logits = [];
  for (const one of bytes(text)) {
    level += one;
    if (one < 255) logits.push(-level * facts.step);
  }
  return Float64Array.from(logits);
}

const total = (numbers) => numbers.reduce((sum, one) => sum + one, 0);

// Zero all but the kept tokens, and let these sum to one.
function only(p, kept) {
  const some = p.map((one, i) => (kept(one, i) ? one : 0));
  const sum = total(some);
  return some.map((one) => one / sum);
}

function softmax(logits, temperature) {
  if (temperature === 0) return logits.map((_, i) => Number(i === 0)); // greedy
  const powers = logits.map((one) => Math.exp((one - logits[0]) / temperature));
  const sum = total(powers);
  return powers.map((one) => one / sum);
}

const topK = (p, k) => only(p, (_, i) => i < k);

// The fewest that hold the share: those whose tail, they and all after them, is more
// than may be left out.
function topP(p, share) {
  const tail = Float64Array.from(p);
  for (let i = p.length - 2; i >= 0; i--) tail[i] += tail[i + 1];
  const out = tail[0] * (1 - share);
  return only(p, (_, i) => tail[i] > out);
}

const minP = (p, share) => only(p, (one) => one >= share * p[0]);

// How often each token is chosen; null is off.
function dialled(logits, { temperature, k, share, least }) {
  let p = softmax(logits, temperature);
  if (k !== null) p = topK(p, k);
  if (share < 1) p = topP(p, share);
  return least === null ? p : minP(p, least);
}

// The page ---------------------------------------------------------------------------

const TOP_K = [null, 1000, 500, 200, 100, 50, 20, 10, 5, 2, 1];
const MIN_P = [null, 0.001, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
const off = (value) => (value === null ? "off" : grouped(value));
const unpacked = new Map(); // a beginning is unpacked when it is first looked at

function draw() {
  const one = facts.beginnings[Number(beginning.value)];
  if (!unpacked.has(one)) unpacked.set(one, unpack(one.logits));
  const logits = unpacked.get(one);
  const before = softmax(logits, 1);
  const after = dialled(logits, {
    temperature: Number(heat.value),
    k: TOP_K[heads.value],
    share: Number(nucleus.value),
    least: MIN_P[floor.value],
  });
  let kept = 0, held = 0;
  after.forEach((p, i) => {
    if (p > 0) [kept, held] = [kept + 1, held + before[i]];
  });
  const most = Math.max(before[0], after[0]);
  rows.forEach(({ row, name, bar, track, number }, i) => {
    const stays = after[i] > 0;
    name.textContent = name.title = one.tokens[i];
    bar.style.setProperty("--share", after[i] / most);
    track.style.setProperty("--before", before[i] / most);
    number.textContent = stays ? after[i].toFixed(3) : "out";
    row.classList.toggle("out", !stays);
  });
  say(`Kept ${grouped(kept)} of ${grouped(logits.length)} tokens; they held ${held.toFixed(2)}`);
}

const texts = facts.beginnings.map((one) => `${one.text} …`);
const beginning = list("Beginning", texts, draw);
const tenths = (n) => (n === 0 ? "0: greedy" : n.toFixed(1));
const heat = slider("Temperature", [0, 2, 1], tenths, draw, 0.1);
const heads = slider("Top-k", [0, TOP_K.length - 1, 8], (i) => off(TOP_K[i]), draw);
const nucleus = slider("Top-p", [0.05, 1, 1], (n) => (n === 1 ? "off" : n.toFixed(2)), draw, 0.05);
const floor = slider("Min-p", [0, MIN_P.length - 1, 0], (i) => off(MIN_P[i]), draw);
const rows = barRows(facts.beginnings[0].tokens.length);
for (const { row, track } of rows) {
  row.classList.add("bright");
  made(track, "span", "before");
}
draw();
