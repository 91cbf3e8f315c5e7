// The weights of a GPT by kind, as areas: counted as course_lib/sizing.py counts them.

function eightRows(channels, layers, vocabulary) {
  const [words, square] = [vocabulary * channels, layers * channels * channels];
  return {
    embedding: words, key: square, query: square, value: square, output: square,
    up: 4 * square, down: 4 * square, unembedding: words,
  };
}

// Cut a rectangle into parts of these shares, largest first: halve the list where its
// sum is nearest to one half, along the longer side.
function tiles(shares, x, y, wide, tall) {
  if (shares.length === 1) return [[x, y, wide, tall]];
  let whole = 0;
  const sums = shares.map((one) => (whole += one));
  const gaps = sums.slice(0, -1).map((sum) => Math.abs(sum - whole / 2));
  const cut = gaps.indexOf(Math.min(...gaps)) + 1;
  const part = sums[cut - 1] / whole;
  const [first, second] =
    wide >= tall
      ? [[x, y, wide * part, tall], [x + wide * part, y, wide * (1 - part), tall]]
      : [[x, y, wide, tall * part], [x, y + tall * part, wide, tall * (1 - part)]];
  return [...tiles(shares.slice(0, cut), ...first), ...tiles(shares.slice(cut), ...second)];
}

// A large number in few letters: 14495514624 → "14.5 B".
function short(amount) {
  for (const [size, letter] of [[1e12, "T"], [1e9, "B"], [1e6, "M"], [1e3, "k"]])
    if (amount >= size) return `${Number((amount / size).toPrecision(3))} ${letter}`;
  return `${amount}`;
}

const share = (part) => `${(100 * part).toFixed(part < 0.001 ? 3 : 1)} %`;
const vocabulary = (thousands) => 1000 * thousands + 257;

function draw() {
  const [channels, layers] = [atChannels, atLayers].map((one) => Number(one.value));
  const rows = eightRows(channels, layers, vocabulary(Number(atWords.value)));
  const whole = Object.values(rows).reduce((sum, one) => sum + one);
  const sister = facts.sisters.findIndex(
    (one) => one.channels === channels && one.layers === layers && Number(atWords.value) === 50,
  );
  atModel.value = sister < 0 ? facts.sisters.length : sister;
  const told = `${grouped(whole)} weights: ${grouped(channels)} channels, ${grouped(layers)} layers`;
  say(told);
  tree.setAttribute("aria-label", `${told}; their kinds as areas, as in the table below`);
  const order = Object.keys(rows).sort((a, b) => rows[b] - rows[a]);
  const shares = order.map((kind) => rows[kind] / whole);
  const [wide, tall] = [tree.clientWidth, tree.clientHeight];
  tiles(shares, 0, 0, wide, tall).forEach(([x, y, w, h], i) => {
    const { tile, name, row } = parts[order[i]];
    const amount = rows[order[i]];
    const box = { left: x + 2, top: y + 2, width: Math.max(w - 4, 1), height: Math.max(h - 4, 1) };
    for (const side in box) tile.style[side] = `${box[side]}px`;
    const fits = () => name.offsetWidth <= w - 10 && name.offsetHeight <= h - 10;
    name.innerText = `${order[i]}\n${short(amount)} · ${share(shares[i])}`;
    if (!fits()) name.innerText = order[i];
    tile.classList.toggle("unnamed", !fits()); // the table names it
    row.lastChild.previousSibling.textContent = grouped(amount);
    row.lastChild.textContent = share(shares[i]);
  });
}

// A model of the list was chosen: its numbers.
function choose() {
  const one = facts.sisters[Number(atModel.value)];
  if (!one) return;
  move(atChannels, one.channels);
  move(atLayers, one.layers);
  move(atWords, 50);
  draw();
}

const names = [...facts.sisters.map((one) => one.name), "another"];
const atModel = list("Model", names, choose);
const [{ channels, layers }] = facts.sisters;
const atChannels = slider("Channels", [128, 12288, channels], grouped, draw, 128);
const atLayers = slider("Layers", [1, 96, layers], String, draw);
const atWords = slider("Vocabulary", [1, 200, 50], (n) => grouped(vocabulary(n)), draw);
const tree = made($("view"), "div", "tree");
tree.setAttribute("role", "img");
const table = made($("view"), "table", "rows");
const head = made(made(table, "thead"), "tr");
for (const text of ["kind", "weights", "share"]) made(head, "th", "", text).scope = "col";
const rowsOf = made(table, "tbody");
const parts = {};
for (const kind in facts.colours) {
  const tile = made(tree, "div");
  const row = made(rowsOf, "tr");
  const named = made(row, "th");
  named.scope = "row";
  made(named, "i");
  named.append(kind);
  made(row, "td");
  made(row, "td");
  for (const one of [tile, named]) one.style.setProperty("--ink", facts.colours[kind]);
  parts[kind] = { tile, name: made(tile, "span"), row };
}
new ResizeObserver(draw).observe(tree); // it draws at once, and again at another width
