// Draws a state finer than its cells, as nca/decoder.py does, on the CPU: WebAssembly or JavaScript.
//
// A small network per living cell gives the weights of patches two cells wide. The pixels of a quad
// between four cell centres are one matrix product: the weights of its cells times a table.
import { decodeBase64, halves, roundUp, turnedBank } from "./model.js";

export const SCALES = [1, 2, 4, 8, 16]; // pixels per cell; 1 shows the cells themselves
const FINEST = 16;
const BATCH = 16; // cells, or quads, computed together

// A parsed model with the decoder that Python sent along with it, if there is one.
export function withDecoder(model) {
  const { decoder } = model.sent;
  if (!decoder) return model;
  const numbers = halves(decodeBase64(decoder.weights));
  return { ...model, decoder: parseDecoder(decoder, numbers, model.filters * model.seen) };
}

// What Python sends as `decoder` in a player_model: {hidden, patches, waves, weights}.
export function parseDecoder({ hidden, patches, waves }, numbers, inputs) {
  let at = 0;
  const take = (n) => numbers.subarray(at, (at += n));
  const widths = [inputs, ...hidden, patches];
  const layers = [];
  for (let l = 0; l + 1 < widths.length; l++) {
    const [from, to] = [widths[l], widths[l + 1]];
    layers.push({ inputs: from, outputs: to, weight: take(from * to), bias: take(to) });
  }
  const basis = take(patches * 4 * waves * waves);
  if (at !== numbers.length) throw new Error("the decoder's weights do not fit");
  // Patches, then the cell's own red, green, blue and alpha, then zeros.
  return { layers, basis, patches, waves, width: roundUp(patches + 4, 4) };
}

// The patches as pixels, [corner][width][pixel of a quad][4]; see Decoder.table and quad_table.
export function patchTable({ basis, patches, waves, width }, scale, angle) {
  const side = 2 * scale;
  const parts = FINEST / scale;
  const count = side * parts;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const clip = (v) => Math.max(-1, Math.min(1, v));
  const means = new Float64Array((waves * waves + 1) * side * side); // the last one is the tent
  const along = [new Float64Array(waves), new Float64Array(waves)];
  for (let sy = 0; sy < count; sy++) {
    for (let sx = 0; sx < count; sx++) {
      const y = ((sy + 0.5) / count) * 2 - 1;
      const x = ((sx + 0.5) / count) * 2 - 1;
      const tent = ((1 - Math.abs(y)) * (1 - Math.abs(x))) / (parts * parts);
      for (let i = 0; i < waves; i++) {
        along[0][i] = Math.cos(((i * Math.PI) / 2) * (clip(sin * x + cos * y) + 1));
        along[1][i] = Math.cos(((i * Math.PI) / 2) * (clip(cos * x - sin * y) + 1));
      }
      const pixel = Math.floor(sy / parts) * side + Math.floor(sx / parts);
      for (let i = 0, w = 0; i < waves; i++) {
        for (let j = 0; j < waves; j++, w++) {
          means[w * side * side + pixel] += along[0][i] * along[1][j] * tent;
        }
      }
      means[waves * waves * side * side + pixel] += tent;
    }
  }
  const table = new Float32Array(4 * width * scale * scale * 4);
  const value = (n, c, pixel) => {
    const tent = means[waves * waves * side * side + pixel];
    if (n >= patches) return n - patches === c ? tent : 0;
    let sum = 0;
    const from = (n * 4 + c) * waves * waves;
    for (let w = 0; w < waves * waves; w++) sum += basis[from + w] * means[w * side * side + pixel];
    return sum;
  };
  let out = 0;
  for (let corner = 0; corner < 4; corner++) {
    // The top left cell adds the lower right quadrant of its patches, and so on.
    const top = corner < 2 ? scale : 0;
    const left = corner % 2 ? 0 : scale;
    for (let n = 0; n < width; n++) {
      for (let p = 0; p < scale * scale; p++) {
        const pixel = (top + Math.floor(p / scale)) * side + left + (p % scale);
        for (let c = 0; c < 4; c++) table[out++] = value(n, c, pixel);
      }
    }
  }
  return table;
}

// Linear layers on WebAssembly, or in JavaScript where there is none. Weights are packed
// [outputs / 8][inputs][8], as nca.ts has them.
export class Products {
  constructor(wasm) {
    this.wasm = wasm ? new WebAssembly.Instance(wasm, {}).exports : null;
    this.end = 4096; // the runtime's static data comes first
    this.buffer = new ArrayBuffer(0);
  }

  // A place for n floats, zero; earlier views are void afterwards.
  room(n) {
    const start = this.end;
    this.end = roundUp(start + n * 4, 64);
    if (this.wasm) {
      const { memory } = this.wasm;
      const missing = this.end - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / 65536));
      this.buffer = memory.buffer;
    } else {
      const larger = new ArrayBuffer(this.end);
      new Uint8Array(larger).set(new Uint8Array(this.buffer));
      this.buffer = larger;
    }
    return start;
  }

  floats(start, n) {
    return new Float32Array(this.buffer, start, n);
  }

  // at(o, i): the weight from input i to output o.
  layer(inputs, outputs, at, bias) {
    const wide = roundUp(outputs, 8);
    const made = { inputs, outputs: wide, weight: this.room(inputs * wide), bias: this.room(wide) };
    const packed = this.floats(made.weight, inputs * wide);
    for (let o = 0; o < outputs; o++) {
      const block = (o >> 3) * inputs * 8 + (o & 7);
      for (let i = 0; i < inputs; i++) packed[block + i * 8] = at(o, i);
    }
    if (bias) this.floats(made.bias, outputs).set(bias);
    return made;
  }

  // BATCH rows at `from` to BATCH rows at `to`; strides in floats.
  linear(layer, from, fromStride, to, toStride, relu) {
    const { inputs, outputs, weight, bias } = layer;
    if (this.wasm) {
      this.wasm.linear(
        from, fromStride * 4, to, toStride * 4, inputs, outputs, weight, bias, relu, BATCH,
      );
      return;
    }
    const heap = new Float32Array(this.buffer);
    for (let row = 0; row < BATCH; row++) {
      const x = from / 4 + row * fromStride;
      const y = to / 4 + row * toStride;
      for (let o = 0; o < outputs; o += 8) {
        const w = weight / 4 + o * inputs;
        for (let k = 0; k < 8; k++) {
          let sum = heap[bias / 4 + o + k];
          for (let i = 0; i < inputs; i++) sum += heap[x + i] * heap[w + i * 8 + k];
          heap[y + o + k] = relu && sum < 0 ? 0 : sum;
        }
      }
    }
  }
}

// What every cell contributes: `weights` [(H + 2) * (W + 2)][width] and `seen`, with a border of one
// cell: the nearest cells, or those of the other side when the grid is circular.
export class FineCells {
  constructor(wasm, model) {
    this.model = model;
    this.products = new Products(wasm);
    const { decoder, seen, padded, filters } = model;
    this.inputs = filters * padded;
    this.layers = decoder.layers.map(({ inputs, outputs, weight, bias }, l) => {
      if (l) {
        // The layer before has a multiple of 8 outputs, the last of them zero.
        const rows = roundUp(inputs, 8);
        return this.products.layer(rows, outputs, (o, i) => (i < inputs ? weight[o * inputs + i] : 0), bias);
      }
      const at = (o, i) => {
        const c = i % padded;
        return c < seen ? weight[o * inputs + Math.floor(i / padded) * seen + c] : 0;
      };
      return this.products.layer(this.inputs, outputs, at, bias);
    });
    this.stride = Math.max(this.inputs, ...this.layers.map((layer) => layer.outputs));
    this.scratch = [this.products.room(BATCH * this.stride), this.products.room(BATCH * this.stride)];
  }

  // dense: [H][W][C].
  compute(dense, height, width, angle) {
    const { model } = this;
    const { channels, padded, decoder, circular } = model;
    const across = width + 2;
    if (this.height !== height || this.width !== width) {
      Object.assign(this, { height, width, across });
      this.state = new Float32Array((height + 2) * across * padded);
      this.weights = new Float32Array((height + 2) * across * decoder.width);
      for (const name of ["above", "alive", "seen"]) this[name] = new Uint8Array((height + 2) * across);
    }
    if (this.angle !== angle) {
      this.bank = turnedBank(model, angle);
      this.angle = angle;
    }
    const { state, weights, above, alive, seen } = this;
    weights.fill(0);
    for (let y = 0, d = 0; y < height; y++) {
      for (let x = 0, i = (y + 1) * across + 1; x < width; x++, i++, d += channels) {
        for (let c = 0; c < channels; c++) state[i * padded + c] = dense[d + c];
        above[i] = dense[d + 3] > model.threshold ? 1 : 0;
      }
    }
    this.#border(state, padded, circular, true);
    this.#border(above, 1, circular, true);
    let found = [];
    for (let y = 1; y <= height; y++) {
      for (let x = 1, i = y * across + 1; x <= width; x++, i++) {
        let any = 0;
        for (let dy = -across; dy <= across; dy += across) any |= above[i + dy - 1] | above[i + dy] | above[i + dy + 1];
        const at = i * padded;
        alive[i] = any;
        seen[i] = any || state[at] || state[at + 1] || state[at + 2] || state[at + 3] ? 1 : 0;
        for (let c = 0; c < 4; c++) weights[i * decoder.width + decoder.patches + c] = state[at + c];
        if (any) found.push(i);
        if (found.length === BATCH) found = this.#weigh(found);
      }
    }
    if (found.length) this.#weigh(found);
    this.#border(weights, decoder.width, circular, false);
    this.#border(seen, 1, circular, false);
  }

  #weigh(found) {
    const { products, stride, scratch, model, weights } = this;
    const { patches, width } = model.decoder;
    const seen = products.floats(scratch[0], BATCH * stride);
    found.forEach((cell, row) => this.#perceive(cell, seen, row * stride));
    let [from, to] = scratch;
    this.layers.forEach((layer, l) => {
      products.linear(layer, from, stride, to, stride, l + 1 < this.layers.length);
      [from, to] = [to, from];
    });
    const out = products.floats(from, BATCH * stride);
    found.forEach((cell, row) => {
      for (let p = 0; p < patches; p++) weights[cell * width + p] = out[row * stride + p];
    });
    return [];
  }

  #perceive(cell, to, at) {
    const { state, bank, model, across } = this;
    const n = model.padded;
    const top = (cell - across - 1) * n;
    for (let k = 0; k < model.filters; k++) {
      for (let c = 0; c < n; c++) {
        let sum = 0;
        for (let tap = 0; tap < 9; tap++) {
          const there = top + (Math.floor(tap / 3) * across + (tap % 3)) * n + c;
          sum += bank[(k * 9 + tap) * n + c] * state[there];
        }
        to[at + k * n + c] = sum;
      }
    }
  }

  // Fills the border: from the other side on a torus, else with zeros or the nearest cells.
  #border(array, n, circular, zero) {
    const { height, width, across } = this;
    for (let y = 0; y < height + 2; y++) {
      for (let x = 0; x < across; x++) {
        if (y > 0 && y <= height && x > 0 && x <= width) {
          x = width; // the next one is the border on the right
          continue;
        }
        const i = y * across + x;
        if (zero && !circular) array.fill(0, i * n, (i + 1) * n);
        else {
          const near = (v, most) => (circular ? ((v - 1 + most) % most) + 1 : Math.max(1, Math.min(v, most)));
          const from = near(y, height) * across + near(x, width);
          array.copyWithin(i * n, from * n, (from + 1) * n);
        }
      }
    }
  }
}

// Draws on the CPU: only quads near life.
export class FinePainter {
  constructor({ wasm }) {
    this.wasm = wasm;
    this.name = wasm ? "wasm" : "js";
  }

  // An ImageData of the state on an opaque grey ground.
  paint(model, dense, height, width, scale, angle, ground) {
    if (this.model !== model) {
      this.model = model;
      this.cells = new FineCells(this.wasm, model);
      this.key = null;
    }
    const { cells } = this;
    cells.compute(dense, height, width, angle);
    this.#prepare(scale, angle);
    if (this.image?.width !== width * scale || this.image.height !== height * scale) {
      this.image = new ImageData(width * scale, height * scale);
    }
    const grey = Math.round(ground * 255);
    new Uint32Array(this.image.data.buffer).fill((0xff000000 | (grey * 0x010101)) >>> 0);
    const { across, seen } = cells;
    let found = [];
    for (let y = 0; y <= height; y++) {
      for (let x = 0; x <= width; x++) {
        const i = y * across + x;
        if (!(seen[i] | seen[i + 1] | seen[i + across] | seen[i + across + 1])) continue;
        found.push([y, x]);
        if (found.length === BATCH) found = this.#quads(found, scale, ground);
      }
    }
    if (found.length) this.#quads(found, scale, ground);
    return this.image;
  }

  #prepare(scale, angle) {
    const key = `${scale} ${angle}`;
    if (this.key === key) return;
    this.key = key;
    const { decoder } = this.model;
    this.products = new Products(this.wasm);
    const table = patchTable(decoder, scale, angle);
    const outputs = scale * scale * 4;
    this.layer = this.products.layer(4 * decoder.width, outputs, (o, i) => table[i * outputs + o]);
    this.from = this.products.room(BATCH * 4 * decoder.width);
    this.to = this.products.room(BATCH * this.layer.outputs);
  }

  #quads(found, scale, ground) {
    const { products, layer, cells, image, model } = this;
    const n = model.decoder.width;
    const inputs = products.floats(this.from, BATCH * 4 * n);
    found.forEach(([y, x], row) => {
      const first = y * cells.across + x;
      [first, first + 1, first + cells.across, first + cells.across + 1].forEach((cell, corner) => {
        inputs.set(cells.weights.subarray(cell * n, (cell + 1) * n), (row * 4 + corner) * n);
      });
    });
    products.linear(layer, this.from, 4 * n, this.to, layer.outputs, false);
    const outputs = products.floats(this.to, BATCH * layer.outputs);
    const half = scale / 2;
    found.forEach(([y, x], row) => {
      for (let p = 0, i = row * layer.outputs; p < scale * scale; p++, i += 4) {
        const py = y * scale - half + Math.floor(p / scale);
        const px = x * scale - half + (p % scale);
        if (py < 0 || px < 0 || py >= image.height || px >= image.width) continue;
        const alpha = Math.max(0, Math.min(1, outputs[i + 3])) || 0;
        const q = (py * image.width + px) * 4;
        for (let c = 0; c < 3; c++) {
          const colour = Math.max(0, Math.min(alpha, outputs[i + c])) || 0;
          image.data[q + c] = (colour + ground * (1 - alpha)) * 255; // rounded and clipped
        }
      }
    });
    return [];
  }

  dispose() {}
}
