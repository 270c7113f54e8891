// Rollouts of one state, forward and backward, on WebAssembly SIMD (wasm/train.ts).
//
// A state is sparse: { cells: Int32Array [n], values: Float32Array [n * channels] }, cells numbered
// y * width + x; all others are 0.
import { stepKey } from "../web/fire.js";
import { roundUp } from "../web/model.js";

const STEP_TILE = 16; // as in nca.ts
const BACK_TILE = 64; // as in train.ts
const MASK_SLACK = 64; // bytes around each byte map
const MOST_STEPS = 512; // as in TrainConfig

export class RolloutEngine {
  // `wasm`: the compiled module. `target`: premultiplied RGBA, Float32Array [height][width][4].
  constructor(wasm, network, height, width, target) {
    this.network = network;
    this.height = height;
    this.width = width;
    this.across = width + 2;
    this.all = this.across * (height + 2);
    this.wasm = new WebAssembly.Instance(wasm, {}).exports;
    this.layOut();
    const { at } = this;
    const { padded, filters, circular, prePost, threshold, fireThreshold, layers } = network;
    const scratch = [at.scratchA, at.scratchB];
    this.setLifts = (lifts) => this.wasm.setup(
      at.state, at.bank, at.layers, layers.length, at.masks, this.maskBytes, at.fired, at.change,
      ...scratch, height, width, padded, filters, circular, prePost, lifts, threshold,
      fireThreshold,
    );
    this.wasm.prepare(
      at.target, at.gradient, at.after, at.keys, at.erasures, at.weights, at.births, at.lists,
      at.back, at.deltaA, at.deltaB, at.zeros, network.learned ? at.tapTotals : 0,
      this.stride,
    );
    const goal = this.floats(at.target, this.all * 4);
    this.targetSquares = 0;
    for (let i = 0; i < height * width; i++) {
      goal.set(target.subarray(i * 4, i * 4 + 4), this.inGrid(i) * 4);
      for (let c = 0; c < 4; c++) this.targetSquares += target[i * 4 + c] ** 2;
    }
  }

  // Places all arrays in the memory of the module. Records of a rollout come last and may grow.
  layOut() {
    const { network, all, height, width } = this;
    const { padded, filters, layers } = network;
    this.maskBytes = roundUp(all, 16) + MASK_SLACK;
    this.outputs = layers.map((layer) => roundUp(layer.outputs, 8));
    this.inputs = layers.map((_, l) => (l ? this.outputs[l - 1] : filters * padded));
    const widest = Math.max(...this.inputs.map((n) => roundUp(n, 8)), ...this.outputs);
    // An odd number of vectors, so that rows use all sets of the cache.
    this.stride = widest * 4 + 16;
    let end = 4096; // the runtime's static data comes first
    const room = (bytes) => {
      const start = end;
      end = roundUp(end + bytes, 64);
      return start;
    };
    const products = layers.map((_, l) => this.inputs[l] * this.outputs[l] * 4);
    const mask = () => room(this.maskBytes + 2 * MASK_SLACK) + MASK_SLACK;
    this.at = {
      bank: room(filters * 9 * padded * 4),
      layers: room(layers.length * 16),
      back: room(layers.length * 16),
      packed: products.map(room),
      biases: this.outputs.map((n) => room(n * 4)),
      transposed: layers.map((_, l) => room(roundUp(this.inputs[l], 8) * this.outputs[l] * 4)),
      scratchA: room(STEP_TILE * this.stride),
      scratchB: room(STEP_TILE * this.stride),
      inputs: layers.map(() => room(BACK_TILE * this.stride)),
      deltaA: room(BACK_TILE * this.stride),
      deltaB: room(BACK_TILE * this.stride),
      zeros: room(this.stride),
      totals: products.map(room),
      biasTotals: this.outputs.map((n) => room(n * 4)),
      tapTotals: room(filters * 9 * padded * 4),
      masks: room(this.maskBytes * 5 + 2 * MASK_SLACK) + MASK_SLACK,
      after: mask(),
      fired: room((all + STEP_TILE) * 4),
      change: room((height * width + STEP_TILE) * padded * 4),
      state: room(all * padded * 4),
      gradient: room(all * padded * 4),
      target: room(all * 16),
      keys: room(MOST_STEPS * 4),
      erasures: room(MOST_STEPS * 4),
      weights: room((MOST_STEPS + 1) * 4),
      births: room((MOST_STEPS + 1) * 4),
      lists: room(MOST_STEPS * 8),
    };
    this.at.erased = end; // one map for each erasure of a rollout
    const missing = end - this.wasm.memory.buffer.byteLength;
    if (missing > 0) this.wasm.memory.grow(Math.ceil(missing / 65536));
    const about = this.integers(this.at.layers, layers.length * 4);
    const ways = this.integers(this.at.back, layers.length * 4);
    layers.forEach((_, l) => {
      const { packed, biases, transposed, totals, biasTotals, inputs } = this.at;
      about.set([this.inputs[l], this.outputs[l], packed[l], biases[l]], l * 4);
      ways.set([transposed[l], totals[l], biasTotals[l], inputs[l]], l * 4);
    });
  }

  // Views are made anew each time, because growing the memory detaches them.
  floats(start, n) {
    return new Float32Array(this.wasm.memory.buffer, start, n);
  }

  integers(start, n) {
    return new Int32Array(this.wasm.memory.buffer, start, n);
  }

  bytes(start, n) {
    return new Uint8Array(this.wasm.memory.buffer, start, n);
  }

  // The number of cell y * width + x in a grid with a border.
  inGrid(cell) {
    const y = Math.floor(cell / this.width);
    return (y + 1) * this.across + (cell - y * this.width) + 1;
  }

  outOfGrid(cell) {
    const y = Math.floor(cell / this.across);
    return (y - 1) * this.width + (cell - y * this.across) - 1;
  }

  // `weights`: all numbers of the network.
  setWeights(weights) {
    const { network, at } = this;
    const { channels, padded, filters, layers, config } = network;
    const source = network.bank(weights);
    const bank = this.floats(at.bank, filters * 9 * padded);
    for (let k = 0; k < filters; k++) {
      for (let c = 0; c < channels; c++) {
        for (let tap = 0; tap < 9; tap++) {
          bank[(k * 9 + tap) * padded + c] = source[(k * channels + c) * 9 + tap];
        }
      }
    }
    let nothing = new Float64Array(layers[0].inputs); // what a cell in an empty place computes
    layers.forEach((layer, l) => {
      const last = l + 1 === layers.length;
      const scale = last ? Math.fround(config.step_size) : 1;
      const weight = network.part(weights, `layers.${l}.weight`);
      const bias = network.part(weights, `layers.${l}.bias`);
      const [inputs, outputs] = [this.inputs[l], this.outputs[l]];
      const packed = this.floats(at.packed[l], inputs * outputs);
      const transposed = this.floats(at.transposed[l], roundUp(inputs, 8) * outputs);
      const biases = this.floats(at.biases[l], outputs);
      const next = new Float64Array(layer.outputs);
      for (let o = 0; o < layer.outputs; o++) {
        biases[o] = bias ? bias[o] * scale : 0;
        next[o] = biases[o];
        for (let i = 0; i < layer.inputs; i++) {
          const value = weight[o * layer.inputs + i] * scale;
          const row = this.row(l, i);
          packed[((o >> 3) * inputs + row) * 8 + (o & 7)] = value;
          transposed[((row >> 3) * outputs + o) * 8 + (row & 7)] = value;
          next[o] += value * nothing[i];
        }
        if (!last) next[o] = Math.max(next[o], 0);
      }
      nothing = next;
    });
    // The margin covers rounding: computing every cell when that is not needed is never wrong.
    const limit = network.threshold * (1 - 1e-3) - 1e-6;
    this.setLifts(!network.prePost && !(nothing[3] <= limit));
  }

  // Where input i of a layer is in the module: the first layer's are padded filter by filter.
  row(l, i) {
    if (l) return i;
    const { channels, padded } = this.network;
    return Math.floor(i / channels) * padded + (i % channels);
  }

  clearGradient() {
    const { at, outputs, inputs, network } = this;
    outputs.forEach((n, l) => {
      this.floats(at.totals[l], inputs[l] * n).fill(0);
      this.floats(at.biasTotals[l], n).fill(0);
    });
    this.floats(at.tapTotals, network.filters * 9 * network.padded).fill(0);
  }

  // What `backward` added up since `clearGradient`, in the order of the weights.
  gradient() {
    const { network, at } = this;
    const { channels, padded, filters, layers, config } = network;
    const found = new Float32Array(network.size);
    if (network.learned) {
      const bank = network.part(found, "filters");
      const totals = this.floats(at.tapTotals, filters * 9 * padded);
      for (let k = 0; k < filters; k++) {
        for (let c = 0; c < channels; c++) {
          for (let tap = 0; tap < 9; tap++) {
            bank[(k * channels + c) * 9 + tap] = totals[(k * 9 + tap) * padded + c];
          }
        }
      }
    }
    layers.forEach((layer, l) => {
      const scale = l + 1 === layers.length ? Math.fround(config.step_size) : 1;
      const weight = network.part(found, `layers.${l}.weight`);
      const bias = network.part(found, `layers.${l}.bias`);
      const outputs = this.outputs[l];
      const totals = this.floats(at.totals[l], this.inputs[l] * outputs);
      for (let i = 0; i < layer.inputs; i++) {
        const from = this.row(l, i) * outputs;
        for (let o = 0; o < layer.outputs; o++) {
          weight[o * layer.inputs + i] = totals[from + o] * scale;
        }
      }
      if (!bias) return;
      const biasTotals = this.floats(at.biasTotals[l], outputs);
      for (let o = 0; o < layer.outputs; o++) bias[o] = biasTotals[o] * scale;
    });
    return found;
  }

  // One rollout.
  //   start: a sparse state; it is not changed
  //   steps, seed: how many, and the 32-bit seed of the fire mask; t0: the step `start` is at
  //   erased: [{ step, mask: Uint8Array [height * width] }], cells that become 0 before a step
  //   losses: [{ step, weight }], ascending: where the picture's error counts, and how much
  //   births: [{ step, weight }]: where the largest alpha counts while it is below `birthAlpha`
  //   learns: whether gradients are added up
  // Returns { error, birth, after, judged }: the weighted errors, the lack of alpha, the state at
  // the last loss and its own error.
  run({ start, steps, seed, t0 = 0, erased = [], losses, births = [], birthAlpha = 0, learns }) {
    const { at, network, wasm } = this;
    if (!(steps >= 1 && steps <= MOST_STEPS)) throw new RangeError(`${steps} steps`);
    this.placeErasures(erased);
    this.place(start);
    this.integers(at.keys, steps).set(
      Array.from({ length: steps }, (_, s) => stepKey(seed, t0 + s)),
    );
    if (!wasm.forward(steps, !network.prePost)) {
      throw new RangeError("This browser does not give a page enough memory for this training.");
    }
    const weights = this.floats(at.weights, steps + 1).fill(0);
    let [error, judged] = [0, NaN];
    for (const { step, weight } of losses) {
      judged = this.errorAfter(step);
      error += weight * judged;
      weights[step] = weight;
    }
    const shares = this.floats(at.births, steps + 1).fill(0);
    let birth = 0;
    for (const { step, weight } of births) {
      const lack = birthAlpha - wasm.largestAlpha(step);
      if (!(lack > 0)) continue;
      birth += weight * lack;
      shares[step] = weight;
    }
    const after = this.stateAfter(losses.length ? losses.at(-1).step : steps);
    if (learns) wasm.backward(steps);
    else wasm.clear(steps);
    return { error, birth, after, judged };
  }

  // Maps of the cells to erase lie before the records.
  placeErasures(erased) {
    const { at, wasm, maskBytes } = this;
    const records = at.erased + roundUp(erased.length * maskBytes, 64);
    const missing = records - wasm.memory.buffer.byteLength;
    if (missing > 0) wasm.memory.grow(Math.ceil(missing / 65536));
    wasm.setRecords(records);
    const places = this.integers(at.erasures, MOST_STEPS).fill(0);
    erased.forEach(({ step, mask }, n) => {
      const start = at.erased + n * maskBytes;
      const map = this.bytes(start, maskBytes).fill(0);
      for (let cell = 0; cell < mask.length; cell++) if (mask[cell]) map[this.inGrid(cell)] = 1;
      places[step] = start;
    });
  }

  place({ cells, values }) {
    const { at, network, all } = this;
    const { channels, padded } = network;
    const state = this.floats(at.state, all * padded);
    const live = this.bytes(at.masks, all);
    for (let i = 0; i < cells.length; i++) {
      const cell = this.inGrid(cells[i]);
      live[cell] = 1;
      state.set(values.subarray(i * channels, (i + 1) * channels), cell * padded);
    }
  }

  // The mean squared error of RGBA after so many steps.
  errorAfter(steps) {
    const sum = this.wasm.judge(steps) + this.targetSquares;
    return Math.max(sum, 0) / (this.height * this.width * 4) + (sum - sum); // NaN stays NaN
  }

  // The state after so many steps of the last rollout.
  stateAfter(steps) {
    const { channels, padded } = this.network;
    const record = this.wasm.afterStep(steps - 1);
    const [n] = this.integers(record, 1);
    const listed = this.integers(record + 16, n);
    const values = this.floats(record + 16 + roundUp(n * 4, 16), n * padded);
    const cells = new Int32Array(n);
    const own = new Float32Array(n * channels);
    for (let i = 0; i < n; i++) {
      cells[i] = this.outOfGrid(listed[i]);
      own.set(values.subarray(i * padded, i * padded + channels), i * channels);
    }
    return { cells, values: own };
  }
}
