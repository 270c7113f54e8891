// Converts what Python sends (`player_model`) into what the engines compute with.

export function decodeBase64(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

export function encodeBase64(view) {
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  let text = "";
  // In chunks, because the number of arguments of a call is limited.
  for (let i = 0; i < bytes.length; i += 8192) {
    text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  return btoa(text);
}

// Half-precision numbers, little-endian, as doubles.
export function halves(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float64Array.from({ length: bytes.byteLength / 2 }, (_, i) => {
    const h = view.getUint16(2 * i, true);
    const [power, rest] = [(h >> 10) & 31, h & 1023];
    const size = power ? 2 ** (power - 15) * (1 + rest / 1024) : rest * 2 ** -24;
    return h & 0x8000 ? -size : size;
  });
}

export const roundUp = (n, multiple) => Math.ceil(n / multiple) * multiple;

// Weights arrive in one block: filters [K, C, 3, 3], then weight [out, in] and bias per layer, then
// the genes of the kinds, [kinds, hidden]; float32 or, where `half` says so, float16. With kinds, C
// here is one less than a state's channels, whose last one holds the kind of the cell.
export function parseModel(sent) {
  const { config } = sent;
  const bytes = decodeBase64(sent.weights);
  const numbers = new Float32Array(sent.half ? halves(bytes) : bytes.buffer);
  const { channels, kinds = 0 } = config;
  const seen = channels - (kinds > 0 ? 1 : 0);
  const filters = config.laplacian === "none" ? 3 : 4;
  let at = 0;
  const take = (n) => numbers.subarray(at, (at += n));
  const bank = take(filters * seen * 9);
  const widths = [filters * seen, ...config.hidden, seen];
  const layers = [];
  for (let i = 0; i + 1 < widths.length; i++) {
    const [inputs, outputs] = [widths[i], widths[i + 1]];
    const layer = { inputs, outputs, weight: take(inputs * outputs), bias: take(outputs) };
    if (i + 2 === widths.length && config.step_size !== 1) {
      // dx = step_size * (W h + b): step_size is multiplied in once instead of per cell.
      layer.weight = layer.weight.map((w) => w * config.step_size);
      layer.bias = layer.bias.map((b) => b * config.step_size);
    }
    layers.push(layer);
  }
  const genes = take(kinds * config.hidden[0]);
  if (at !== numbers.length) throw new Error("the weights do not fit the model");
  const model = {
    sent,
    config,
    version: sent.version,
    channels,
    seen,
    kinds,
    genes,
    padded: roundUp(channels, 4),
    filters,
    bank,
    layers,
    threshold: Math.fround(config.alive_threshold),
    fireThreshold: sent.fire_threshold,
    circular: config.padding === "circular",
    prePost: config.alive_mask === "pre_post",
    decoder: null,
  };
  // With an alive mask only after the update, a rule may raise the alpha of empty cells above the
  // threshold: then every cell of the grid must be computed.
  const nothing = new Float64Array(layers[0].inputs);
  model.lifts = !model.prePost && !(activations(model, nothing).at(-1)[3] <= model.threshold);
  return model;
}

// The same automaton with one more kind, or with other genes of one: `share` of them are those of
// kind b, the rest those of kind a. As `cross` in nca/zoo.py, to the last bit.
export function crossed(model, kind, a, b, share) {
  const n = model.config.hidden[0];
  const kinds = Math.max(model.kinds, kind);
  const genes = new Float32Array(kinds * n);
  genes.set(model.genes);
  for (let i = 0; i < n; i++) {
    genes[(kind - 1) * n + i] =
      (1 - share) * genes[(a - 1) * n + i] + share * genes[(b - 1) * n + i];
  }
  return { ...model, kinds, genes };
}

// The values of every layer of the update network for what a cell of a kind perceives, the update
// last.
export function activations(model, perceived, kind = 0) {
  const found = [];
  let x = perceived;
  model.layers.forEach(({ inputs, outputs, weight, bias }, index) => {
    const y = new Float64Array(outputs);
    for (let o = 0; o < outputs; o++) {
      let sum = bias[o] + (index === 0 && kind ? model.genes[(kind - 1) * outputs + o] : 0);
      for (let i = 0; i < inputs; i++) sum += weight[o * inputs + i] * x[i];
      y[o] = index + 1 < model.layers.length ? Math.max(sum, 0) : sum;
    }
    found.push(y);
    x = y;
  });
  return found;
}

// The filter bank with the second and third filter rotated, as [filter][tap][padded channel].
export function turnedBank(model, angle) {
  const { seen, padded, filters, bank } = model;
  const out = new Float32Array(filters * 9 * padded);
  const cos = Math.fround(Math.cos(angle));
  const sin = Math.fround(Math.sin(angle));
  const plane = seen * 9;
  for (let c = 0; c < seen; c++) {
    for (let tap = 0; tap < 9; tap++) {
      const at = c * 9 + tap;
      const [x, y] = [bank[plane + at], bank[2 * plane + at]];
      for (let k = 0; k < filters; k++) {
        let value = bank[k * plane + at];
        if (angle !== 0 && k === 1) value = cos * x - sin * y;
        if (angle !== 0 && k === 2) value = sin * x + cos * y;
        out[(k * 9 + tap) * padded + c] = value;
      }
    }
  }
  return out;
}

// Gives the cells of runs [y, x0, x1) of a dense state another kind; empty ones stay empty.
export function repaint(model, dense, width, runs, kind) {
  const n = model.channels;
  for (const [y, x0, x1] of runs) {
    for (let at = (y * width + x0) * n; at < (y * width + x1) * n; at += n) {
      if (dense.subarray(at, at + n).some((value) => value !== 0)) dense[at + model.seen] = kind;
    }
  }
}

const VISIBLE = ["red", "green", "blue", "alpha"];

// As channel_name in nca/anatomy.py.
export const channelName = (channel) => VISIBLE[channel] ?? `hidden ${channel - 3}`;

// A seed state, one living cell of a kind in the middle, as in nca/state.py.
export function seedCell(model, kind = 1) {
  const cell = new Float32Array(model.channels);
  cell.fill(1, 3);
  if (!model.config.seed_hidden) cell.fill(0, 4);
  if (model.kinds) cell[model.seen] = kind;
  return cell;
}

export function seedState(model, height, width, kind = 1) {
  const state = new Float32Array(height * width * model.channels);
  const middle = (height >> 1) * width + (width >> 1);
  state.set(seedCell(model, kind), middle * model.channels);
  return state;
}
