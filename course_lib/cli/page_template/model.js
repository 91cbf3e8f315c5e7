// The model: course_lib/gpt.py and fast_gpt.py, part by part, one token after the other.
// It runs in a worker, so that the page stays alive while it computes.
//
// C channels, H heads, D head size, V vocabulary, L layers; N positions read so far.
"use strict";

// Weights ----------------------------------------------------------------------------

// A number of sixteen bits: a sign, five bits of exponent, ten of fraction.
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

// The text of base64 → numbers. It goes by stretches, so that `tell` can say how far.
function unpack(text, precision, tell) {
  const size = precision === "float16" ? 2 : 4;
  const numbers = new Float32Array(Math.floor((text.length * 3) / 4 / size));
  const table = Float32Array.from({ length: size === 2 ? 65536 : 0 }, (_, i) => half(i));
  const stretch = 4 * 65536; // characters: a multiple of 4, and of whole numbers
  let filled = 0;
  for (let at = 0; at < text.length; at += stretch) {
    const part = atob(text.slice(at, at + stretch));
    const bytes = Uint8Array.from(part, (one) => one.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    for (let i = 0; i + size <= bytes.length; i += size) {
      numbers[filled++] =
        size === 2 ? table[view.getUint16(i, true)] : view.getFloat32(i, true);
    }
    tell(Math.min(1, (at + stretch) / text.length));
  }
  return numbers;
}

// Parts ------------------------------------------------------------------------------

// y = W x + b, for a matrix with a row for each number of y.
function linear(weight, x, bias, rows) {
  const wide = x.length;
  const y = new Float32Array(rows);
  for (let row = 0; row < rows; row++) {
    const start = row * wide;
    let a = 0, b = 0, c = 0, d = 0, i = 0;
    for (; i + 4 <= wide; i += 4) {
      a += weight[start + i] * x[i];
      b += weight[start + i + 1] * x[i + 1];
      c += weight[start + i + 2] * x[i + 2];
      d += weight[start + i + 3] * x[i + 3];
    }
    for (; i < wide; i++) a += weight[start + i] * x[i];
    y[row] = a + b + c + d + (bias ? bias[row] : 0);
  }
  return y;
}

// Mean 0 and variance 1, then the learned scale and shift, where there are any.
function layerNorm(x, weight, bias) {
  let mean = 0, variance = 0;
  for (const one of x) mean += one;
  mean /= x.length;
  for (const one of x) variance += (one - mean) ** 2;
  const scale = 1 / Math.sqrt(variance / x.length + 1e-5);
  return x.map((one, i) => (one - mean) * scale * (weight ? weight[i] : 1) + (bias ? bias[i] : 0));
}

const gelu = (x) =>
  (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
const squaredRelu = (x) => (x > 0 ? x * x : 0);
const add = (x, y) => x.map((one, i) => one + y[i]);

function softmax(scores) {
  let largest = -Infinity, total = 0;
  for (const one of scores) largest = Math.max(largest, one);
  const powers = scores.map((one) => Math.exp(one - largest));
  for (const one of powers) total += one;
  return powers.map((one) => one / total);
}

// The fast recipe: a share of the position before, and positions as turns.
const mixed = (x, before, share) => x.map((one, i) => one + share[i] * (before[i] - one));

function rotate(head, place) {
  const half = head.length / 2;
  const turned = new Float32Array(head.length);
  for (let i = 0; i < half; i++) {
    const angle = place * 1000 ** (-i / half);
    const cos = Math.cos(angle), sin = Math.sin(angle);
    turned[i] = head[i] * cos - head[i + half] * sin;
    turned[i + half] = head[i + half] * cos + head[i] * sin;
  }
  return turned;
}

// The whole machine ------------------------------------------------------------------

class Model {
  // facts: kind and shape; numbers: all weights, one after the other, as `parts` say.
  constructor(facts, numbers) {
    Object.assign(this, facts.shape, { kind: facts.kind });
    this.size = this.channels / this.heads; // D
    this.w = {};
    let start = 0;
    for (const [name, length] of facts.parts) {
      this.w[name] = numbers.subarray(start, (start += length));
    }
    this.w["unembedding.weight"] ??= this.w["embedding.weight"]; // tied
    this.off = new Set(); // heads that are switched off, such as "2.0"
    this.forget();
  }

  // Begin a new text: the KV cache is empty.
  forget() {
    this.length = 0;
    this.cache = Array.from({ length: this.layers }, () => ({
      key: [], value: [], before: [null, null],
    }));
  }

  // Read one more token → logits (V); `seen`, if given, collects what went on inside.
  read(id, seen) {
    if (this.length >= this.context) throw new Error("The context is full.");
    let x = this.embed(id);
    for (let layer = 0; layer < this.layers; layer++) {
      x = add(x, this.attention(layer, x, seen));
      x = add(x, this.mlp(layer, x));
      if (seen?.lens) seen.lens.push(softmax(this.unembed(x)));
    }
    this.length += 1;
    return this.unembed(x);
  }

  embed(id) {
    const C = this.channels;
    const row = this.w["embedding.weight"].subarray(id * C, (id + 1) * C);
    if (this.kind === "fast") return layerNorm(row);
    const place = this.w["position.weight"].subarray(this.length * C);
    return row.map((one, i) => one + place[i]);
  }

  unembed(x) {
    const y = layerNorm(x, this.w["norm.weight"], this.w["norm.bias"]);
    return linear(this.w["unembedding.weight"], y, null, this.vocabulary);
  }

  // What a part of a layer reads: the stream, normed; part 0 is attention, 1 the MLP.
  input(layer, x, part) {
    const name = `blocks.${layer}.${["attention", "mlp"][part]}_norm`;
    if (this.kind !== "fast") {
      return layerNorm(x, this.w[`${name}.weight`], this.w[`${name}.bias`]);
    }
    const now = layerNorm(x), cache = this.cache[layer];
    const before = cache.before[part] ?? new Float32Array(now.length);
    cache.before[part] = now;
    const share = ["before_attention", "before_mlp"][part];
    return mixed(now, before, this.w[`blocks.${layer}.${share}`]);
  }

  product(name, x, rows) {
    return linear(this.w[`${name}.weight`], x, this.w[`${name}.bias`], rows);
  }

  attention(layer, x, seen) {
    const C = this.channels, D = this.size, home = `blocks.${layer}.attention`;
    const y = this.input(layer, x, 0), cache = this.cache[layer];
    let query = this.product(`${home}.query`, y, C);
    let key = this.product(`${home}.key`, y, C);
    if (this.kind === "fast") {
      query = this.turned(query);
      key = this.turned(key);
    }
    cache.key.push(key);
    cache.value.push(this.product(`${home}.value`, y, C));
    const mix = new Float32Array(C); // the heads' results, side by side
    for (let head = 0; head < this.heads; head++) {
      const start = head * D;
      const scores = new Float32Array(cache.key.length);
      for (let n = 0; n < scores.length; n++) {
        const other = cache.key[n];
        for (let i = start; i < start + D; i++) scores[n] += query[i] * other[i];
        scores[n] /= Math.sqrt(D);
      }
      const weights = softmax(scores);
      seen?.patterns?.push(weights);
      if (this.off.has(`${layer}.${head}`)) continue; // it adds nothing
      for (let n = 0; n < weights.length; n++) {
        const value = cache.value[n];
        for (let i = start; i < start + D; i++) mix[i] += weights[n] * value[i];
      }
    }
    return this.product(`${home}.output`, mix, C);
  }

  // Normed queries or keys of all heads, turned by their place.
  turned(x) {
    const out = new Float32Array(x.length);
    for (let start = 0; start < x.length; start += this.size) {
      const head = layerNorm(x.subarray(start, start + this.size));
      out.set(rotate(head, this.length), start);
    }
    return out;
  }

  mlp(layer, x) {
    const home = this.kind === "fast" ? `blocks.${layer}` : `blocks.${layer}.mlp`;
    const up = this.product(`${home}.up`, this.input(layer, x, 1), 4 * this.channels);
    return this.product(
      `${home}.down`, up.map(this.kind === "fast" ? squaredRelu : gelu), this.channels,
    );
  }
}

// Chance: the generator that torch has on the CPU, so that a seed writes the same there.
// Matsumoto & Nishimura 1998, the Mersenne Twister MT19937.
class Chance {
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const last = this.state[i - 1] ^ (this.state[i - 1] >>> 30);
      this.state[i] = Math.imul(last, 1812433253) + i;
    }
    this.next = 624;
  }

  bits() {
    const s = this.state;
    if (this.next === 624) {
      for (let i = 0; i < 624; i++) {
        const y = (s[i] & 0x80000000) | (s[(i + 1) % 624] & 0x7fffffff);
        s[i] = s[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
      }
      this.next = 0;
    }
    let y = s[this.next++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  // From 0 up to 1, as torch.rand(1): 24 bits of 32.
  number() {
    return (this.bits() & 0xffffff) / 2 ** 24;
  }
}

// Choosing: course_lib/sampling.py's Sampler -------------------------------------------

// How often each token is chosen: temperature first, then top-k, then top-p.
function probabilities(logits, dials) {
  if (dials.temperature === 0) {
    let best = 0;
    logits.forEach((one, id) => (best = one > logits[best] ? id : best));
    return logits.map((_, id) => (id === best ? 1 : 0));
  }
  let p = softmax(logits.map((one) => one / dials.temperature));
  if (dials.topK) p = only(p, likeliest(p).slice(0, dials.topK));
  if (dials.topP < 1) {
    const order = likeliest(p);
    let held = 0;
    const enough = order.findIndex((id) => (held += p[id]) >= dials.topP - 1e-12);
    p = only(p, enough < 0 ? order : order.slice(0, enough + 1));
  }
  return p;
}

// The ids, likeliest first; of equals the lower id.
function likeliest(p) {
  return Array.from(p.keys()).sort((a, b) => p[b] - p[a] || a - b);
}

function only(p, ids) {
  const kept = new Float32Array(p.length);
  for (const id of ids) kept[id] = p[id];
  let total = 0;
  for (const one of kept) total += one;
  return kept.map((one) => one / total);
}

function choose(logits, dials, chance) {
  const p = probabilities(logits, dials);
  if (dials.temperature === 0) return p.indexOf(1);
  const possible = Array.from(p.keys()).filter((id) => p[id] > 0);
  const ends = new Float32Array(possible.length);
  let end = 0;
  possible.forEach((id, i) => (ends[i] = end = Math.fround(end + p[id])));
  const point = Math.fround(chance.number() * ends[ends.length - 1]);
  const found = ends.findIndex((one) => one > point);
  return possible[found < 0 ? possible.length - 1 : found];
}

// Tokens: course_lib/tokenizer.py ------------------------------------------------------

class Characters {
  constructor(symbols) {
    this.symbols = Array.from(symbols);
    this.ids = new Map(this.symbols.map((symbol, id) => [symbol, id]));
  }

  encode(text) {
    return Array.from(text, (symbol) => {
      if (!this.ids.has(symbol)) {
        throw new Error(`The model has never seen the character “${symbol}”. Leave it out.`);
      }
      return this.ids.get(symbol);
    });
  }

  decode(ids) {
    return ids.map((id) => this.symbols[id]).join("");
  }
}

// Byte-level BPE. A token's bytes are kept as a text of characters from 0 to 255.
class Pieces {
  constructor(tokens, pattern) {
    this.tokens = tokens;
    this.ranks = new Map(tokens.map((token, id) => [token, id]));
    this.pattern = new RegExp(pattern, "gu");
  }

  encode(text) {
    return (text.match(this.pattern) ?? []).flatMap((chunk) => this.merge(chunk));
  }

  // Merge the lowest rank first, until no pair is left.
  merge(chunk) {
    const parts = Array.from(new TextEncoder().encode(chunk), (b) => String.fromCharCode(b));
    for (;;) {
      let best = Infinity, at = -1;
      for (let i = 0; i + 1 < parts.length; i++) {
        const rank = this.ranks.get(parts[i] + parts[i + 1]) ?? Infinity;
        if (rank < best) [best, at] = [rank, i];
      }
      if (at < 0) return parts.map((part) => this.ranks.get(part));
      parts.splice(at, 2, parts[at] + parts[at + 1]);
    }
  }

  decode(ids) {
    const bytes = ids.map((id) => this.tokens[id]).join("");
    return new TextDecoder().decode(Uint8Array.from(bytes, (one) => one.charCodeAt(0)));
  }
}

// The worker: asked by messages, it answers by messages --------------------------------

let model, tokens, facts, job = 0;

// All that the page shows of the last of some ids.
function look(ids, before = 0) {
  const seen = { lens: [], patterns: [] };
  if (before === 0) model.forget();
  let logits;
  for (let i = before; i < ids.length; i++) {
    logits = model.read(ids[i], i === ids.length - 1 ? seen : null);
  }
  return { logits, seen };
}

function told({ logits, seen }) {
  const p = softmax(logits);
  return {
    next: likeliest(p).slice(0, 10).map((id) => [tokens.decode([id]), p[id]]),
    lens: seen.lens.map((one) => {
      const best = likeliest(one)[0];
      return [tokens.decode([best]), one[best]];
    }),
    patterns: seen.patterns,
  };
}

// Ids → a piece of text each. Half a character waits for its other half.
function pieces(ids) {
  const waiting = [];
  return ids.map((id, i) => {
    const text = tokens.decode([...waiting, id]);
    if (text.endsWith("\ufffd") && waiting.length < 3 && i + 1 < ids.length) {
      waiting.push(id);
      return "";
    }
    waiting.length = 0;
    return text;
  });
}

// The worker's tasks; `tell` sends what is known so far, what is returned ends a task.
const tasks = {
  load({ about, weights }, tell) {
    facts = about;
    model = new Model(facts, unpack(weights, facts.precision, (share) => tell({ share })));
    tokens = facts.characters
      ? new Characters(facts.characters)
      : new Pieces(facts.tokens, facts.pattern);
    return {};
  },

  // Write on after a text, until `limit` tokens, a full context, or the next task.
  async write({ text, dials, limit, off }, tell) {
    const mine = ++job, chance = new Chance(dials.seed);
    const ids = tokens.encode(text || facts.begin), prompt = ids.length;
    if (prompt > model.context) {
      throw new Error(`That is ${prompt} tokens, and this model can read ${model.context}.`);
    }
    model.off = new Set(off);
    const start = performance.now();
    let found = look(ids), shown = -Infinity;
    while (ids.length < prompt + limit && ids.length < model.context && mine === job) {
      if (performance.now() - shown > 50) {
        shown = performance.now();
        tell({ ids, prompt, pieces: pieces(ids), ...told(found) });
        await new Promise((done) => setTimeout(done)); // messages come in here
      }
      ids.push(choose(found.logits, dials, chance));
      found = look(ids, ids.length - 1);
    }
    const seconds = (performance.now() - start) / 1000;
    const full = ids.length >= model.context;
    return { ids, prompt, pieces: pieces(ids), ...told(found), seconds, full };
  },

  // What the model says after these ids: with all heads, and without those that are off.
  look({ ids, off }) {
    job += 1;
    model.off = new Set();
    const whole = told(look(ids));
    model.off = new Set(off);
    return { whole, ...(off.length ? told(look(ids)) : whole) };
  },

  stop() {
    job += 1;
    return {};
  },

  // For tests.
  logits: ({ ids }) => ({ logits: look(ids).logits }),
  encode: ({ text }) => ({ ids: tokens.encode(text) }),
  decode: ({ ids }) => ({ text: tokens.decode(ids) }),
};

self.onmessage = async ({ data }) => {
  const tell = (what) => self.postMessage({ number: data.number, ...what });
  try {
    tell({ done: true, ...(await tasks[data.task](data, tell)) });
  } catch (error) {
    tell({ done: true, error: error.message });
  }
};
