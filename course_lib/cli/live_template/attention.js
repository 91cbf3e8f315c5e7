// The attention explorer of the lessons, with stored patterns where its kernel would be.
// Its own program stands above (course_lib/widgets/attention.py): this one answers it.

const size = (tokens) => (tokens * (tokens + 1)) / 2; // a row sees itself and what is before
const patterns = facts.texts.map((one) => bytes(one.patterns));

// Where each token looks, in one head: row i has i + 1 weights.
function pattern(text, layer, head) {
  const count = facts.texts[text].tokens.length;
  const start = (layer * facts.heads + head) * size(count);
  return Array.from({ length: count }, (_, i) => {
    const row = patterns[text].subarray(start + size(i), start + size(i + 1));
    return Array.from(row, (hundredths) => hundredths / 100);
  });
}

const kernel = {
  values: { scores: facts.scores, chosen: [facts.layer, facts.head] },
  changed: [],
  get: (name) => kernel.values[name],
  set: (name, value) => (kernel.values[name] = value),
  on: (_, react) => kernel.changed.push(react),
  off: (_, react) => (kernel.changed = kernel.changed.filter((one) => one !== react)),
  save_changes() {
    const [layer, head] = kernel.values.chosen; // pressed in the map of heads
    move(atLayer, layer);
    move(atHead, head);
    send();
  },
};

function send() {
  const [text, layer, head] = [atText, atLayer, atHead].map((one) => Number(one.value));
  const { tokens } = facts.texts[text];
  const note = `${tokens.length} tokens`;
  const weights = pattern(text, layer, head);
  Object.assign(kernel.values, { tokens, weights, note, chosen: [layer, head] });
  kernel.changed.forEach((react) => react());
  say(`Where head ${head} of layer ${layer} looks`);
  const map = $("view").querySelector(".map"); // narrow, it shows the chosen layer
  if (map) map.scrollLeft = (layer / facts.layers) * map.scrollWidth - map.clientWidth / 2;
}

const texts = facts.texts.map((one) => one.text);
const atText = texts.length > 1 ? list("Text", texts, send) : { value: 0 };
const atLayer = slider("Layer", [0, facts.layers - 1, facts.layer], String, send);
const atHead = slider("Head", [0, facts.heads - 1, facts.head], String, send);
send();
render({ model: kernel, el: $("view") });
send(); // now that there is something to see
