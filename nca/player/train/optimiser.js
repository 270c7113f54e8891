// The update of the weights, as nca/optimiser.py: Adam for all of them, or Muon for the matrices.
import { roundUp } from "../web/model.js";

const [ADAM_MEAN, ADAM_SQUARE, ADAM_EPS] = [0.9, 0.999, 1e-7];
const MOMENTUM = 0.95;
const NEWTON_SCHULZ = [3.4445, -4.775, 2.0315]; // as torch.optim.Muon
const NEWTON_SCHULZ_STEPS = 5;

// Rounds to bfloat16, ties to even: torch's Muon computes its products in it.
function toHalf(values) {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < bits.length; i++) {
    bits[i] = (bits[i] + 0x7fff + ((bits[i] >>> 16) & 1)) & 0xffff0000;
  }
  return values;
}

// Matrix products on the module's SIMD; it needs an instance of its own for its memory.
class Matrices {
  constructor(wasm) {
    this.wasm = new WebAssembly.Instance(wasm, {}).exports;
  }

  // alpha a b + beta c, rounded to bfloat16: a [n][k], b [k][m], c [n][m], all of them with sides
  // that are multiples of 8.
  multiply(a, b, c, n, k, m, alpha, beta) {
    const { memory, product } = this.wasm;
    const [at, zeros] = [4096, roundUp(m * 4, 64)];
    const [aAt, bAt] = [at + zeros, at + zeros + roundUp(n * k * 4, 64)];
    const out = bAt + roundUp(k * m * 4, 64);
    const missing = out + n * m * 4 - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    new Float32Array(memory.buffer, at, m).fill(0);
    new Float32Array(memory.buffer, aAt, n * k).set(a);
    new Float32Array(memory.buffer, bAt, k * m).set(b);
    product(n, k, m, aAt, k * 4, 4, bAt, m * 4, 32, at, 0, out, m * 4, false, 0);
    const found = new Float32Array(memory.buffer, out, n * m).slice();
    if (alpha !== 1 || beta !== 0) {
      for (let i = 0; i < found.length; i++) found[i] = alpha * found[i] + beta * c[i];
    }
    return toHalf(found);
  }
}

function transpose(values, rows, columns) {
  const turned = new Float32Array(values.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) turned[j * rows + i] = values[i * columns + j];
  }
  return turned;
}

export class Optimiser {
  // `parts`: of a Network. `train`: a TrainConfig.
  constructor(wasm, parts, train) {
    this.matrices = new Matrices(wasm);
    this.parts = parts;
    this.train = train;
    this.moments = parts.map(({ size, shape }) =>
      this.isMuon(shape)
        ? { momentum: new Float32Array(size) }
        : { step: 0, mean: new Float32Array(size), square: new Float32Array(size) });
  }

  isMuon(shape) {
    return this.train.optimiser === "muon" && shape.length === 2;
  }

  // Copies of the moments, for `load`.
  save() {
    return this.moments.map(({ step, ...arrays }) => {
      const copies = Object.entries(arrays).map(([name, array]) => [name, array.slice()]);
      return { ...(step === undefined ? {} : { step }), ...Object.fromEntries(copies) };
    });
  }

  load(moments) {
    this.moments = moments;
    this.moments = this.save();
  }

  // Changes `weights` by their `gradient`.
  update(weights, gradient, rate) {
    this.parts.forEach(({ start, size, shape }, i) => {
      const [w, g] = [weights, gradient].map((all) => all.subarray(start, start + size));
      if (this.isMuon(shape)) this.muon(w, g, rate, shape, this.moments[i]);
      else this.adam(w, g, rate, this.moments[i]);
    });
  }

  adam(w, g, rate, moments) {
    const { mean, square } = moments;
    const decay = this.train.weight_decay;
    const step = (moments.step += 1);
    const size = rate / (1 - ADAM_MEAN ** step);
    const scale = Math.sqrt(1 - ADAM_SQUARE ** step);
    for (let i = 0; i < w.length; i++) {
      const slope = g[i] + decay * w[i];
      mean[i] += (1 - ADAM_MEAN) * (slope - mean[i]);
      square[i] = ADAM_SQUARE * square[i] + (1 - ADAM_SQUARE) * slope * slope;
      w[i] -= (size * mean[i]) / (Math.sqrt(square[i]) / scale + ADAM_EPS);
    }
  }

  muon(w, g, rate, [rows, columns], { momentum }) {
    const direction = new Float32Array(w.length);
    for (let i = 0; i < w.length; i++) {
      momentum[i] += (1 - MOMENTUM) * (g[i] - momentum[i]);
      direction[i] = momentum[i] - (momentum[i] - g[i]) * (1 - MOMENTUM);
    }
    const way = this.orthogonal(direction, rows, columns);
    const shrink = 1 - rate * this.train.weight_decay;
    const size = rate * 0.2 * Math.sqrt(Math.max(rows, columns));
    for (let i = 0; i < w.length; i++) w[i] = Math.fround(w[i] * shrink) - size * way[i];
  }

  // The nearest orthogonal matrix, roughly, by Newton and Schulz's iteration.
  orthogonal(matrix, rows, columns) {
    if (rows > columns) {
      const turned = this.orthogonal(transpose(matrix, rows, columns), columns, rows);
      return transpose(turned, columns, rows);
    }
    const [n, m] = [roundUp(rows, 8), roundUp(columns, 8)];
    let x = new Float32Array(n * m); // the padding is 0 and stays 0
    for (let i = 0; i < rows; i++) {
      x.set(matrix.subarray(i * columns, (i + 1) * columns), i * m);
    }
    toHalf(x);
    const [norm] = toHalf(Float32Array.of(Math.sqrt(x.reduce((sum, value) => sum + value * value, 0))));
    for (let i = 0; i < x.length; i++) x[i] /= Math.max(norm, 1e-7);
    toHalf(x);
    const [a, b, c] = NEWTON_SCHULZ;
    for (let step = 0; step < NEWTON_SCHULZ_STEPS; step++) {
      const gram = this.matrices.multiply(x, transpose(x, n, m), null, n, m, n, 1, 0);
      const mixed = this.matrices.multiply(gram, gram, gram, n, n, n, c, b);
      x = this.matrices.multiply(mixed, x, x, n, n, m, 1, a);
    }
    const found = new Float32Array(rows * columns);
    for (let i = 0; i < rows; i++) found.set(x.subarray(i * m, i * m + columns), i * columns);
    return found;
  }
}
