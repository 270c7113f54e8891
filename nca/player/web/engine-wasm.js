// The automaton on WebAssembly SIMD (wasm/nca.ts): the default engine almost everywhere.
import { Grid, MemoryEngine } from "./engine-js.js";
import { stepKey } from "./fire.js";
import { roundUp, turnedBank } from "./model.js";

const TILE = 16; // cells computed together; the same number stands in nca.ts
const SLACK = 64; // bytes around each byte map: 16 are read and written at a time

// The compiled module, or null when WebAssembly or its SIMD is missing or forbidden.
export async function compileWasm(bytes) {
  try {
    return await WebAssembly.compile(bytes);
  } catch {
    return null;
  }
}

export class WasmEngine extends MemoryEngine {
  name = "wasm";

  static label = "WebAssembly";

  static cannot(model, height, width, { wasm }) {
    return wasm ? null : "this page may not run WebAssembly";
  }

  constructor({ wasm }) {
    super();
    this.wasm = new WebAssembly.Instance(wasm, {}).exports;
  }

  setModel(model) {
    const dense = this.grid && model.channels === this.model.channels ? this.read() : null;
    this.model = model;
    if (dense) this.setState(dense, this.grid.height, this.grid.width);
  }

  // Lays out the whole memory anew, then writes the state and the weights into it.
  setState(dense, height, width) {
    const { model } = this;
    const grid = new Grid(height, width, model.padded);
    this.grid = grid;
    const maskBytes = roundUp(grid.cells, 16) + SLACK;
    const last = model.layers.length - 1;
    const outputs = model.layers.map((layer, l) =>
      roundUp(l === last ? model.channels : layer.outputs, 8));
    const inputs = model.layers.map((_, i) => (i ? outputs[i - 1] : model.filters * model.padded));
    const widest = Math.max(...inputs, ...outputs);
    let end = 4096; // the runtime's static data comes first
    const room = (bytes) => {
      const start = end;
      end = roundUp(end + bytes, 64);
      return start;
    };
    const at = {
      bank: room(model.filters * 9 * model.padded * 4),
      layers: room(model.layers.length * 16),
      weights: model.layers.map((_, i) => room(inputs[i] * outputs[i] * 4)),
      // The first layer has biases for cells of no kind, and for each kind.
      biases: outputs.map((n, l) => room(n * 4 * (l ? 1 : 1 + model.kinds))),
      mixed: room(model.kinds ? TILE * outputs[0] * 4 : 0),
      scratchA: room(TILE * widest * 4),
      scratchB: room(TILE * widest * 4),
      masks: room(maskBytes * 5 + 2 * SLACK) + SLACK,
      fired: room((grid.cells + TILE) * 4),
      state: room(grid.cells * model.padded * 4),
      change: room((height * width + TILE) * model.padded * 4),
    };
    const { memory } = this.wasm;
    const missing = end - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    const floats = (start, n) => new Float32Array(memory.buffer, start, n);
    new Uint8Array(memory.buffer, at.bank, end - at.bank).fill(0);
    const about = new Int32Array(memory.buffer, at.layers, model.layers.length * 4);
    model.layers.forEach((layer, l) => {
      about.set([inputs[l], outputs[l], at.weights[l], at.biases[l]], l * 4);
      for (let kind = 0; kind <= (l ? 0 : model.kinds); kind++) {
        const genes = kind ? model.genes.subarray((kind - 1) * layer.outputs) : null;
        floats(at.biases[l] + kind * outputs[l] * 4, outputs[l])
          .set(layer.bias.map((b, o) => b + (genes?.[o] ?? 0)));
      }
      const packed = floats(at.weights[l], inputs[l] * outputs[l]);
      for (let o = 0; o < layer.outputs; o++) {
        const block = (o >> 3) * inputs[l] * 8 + (o & 7);
        for (let i = 0; i < layer.inputs; i++) {
          // The first layer's inputs are ordered by filter, each with padded channels.
          const row = l
            ? i
            : Math.floor(i / model.seen) * model.padded + (i % model.seen);
          packed[block + row * 8] = layer.weight[o * layer.inputs + i];
        }
      }
    });
    this.stride = widest * 4;
    this.bank = floats(at.bank, model.filters * 9 * model.padded);
    this.angle = null;
    this.state = floats(at.state, grid.cells * model.padded);
    this.live = new Uint8Array(memory.buffer, at.masks, grid.cells);
    this.wasm.setup(
      at.state, at.bank, at.layers, model.layers.length, at.masks, maskBytes, at.fired, at.change,
      at.scratchA, at.scratchB, height, width, model.padded, model.filters, model.circular,
      model.prePost, model.lifts, model.threshold, model.fireThreshold,
    );
    this.wasm.setKinds(model.kinds, model.seen * 4, at.mixed);
    grid.move(this.state, dense, model.channels, true);
    this.live.fill(1);
    this.touched();
  }

  touched() {
    this.everywhere = !this.model.prePost;
  }

  step(n, t, seed, angle = 0) {
    if (angle !== this.angle) {
      this.bank.set(turnedBank(this.model, angle));
      this.angle = angle;
    }
    for (let i = 0; i < n; i++) {
      this.wasm.step(stepKey(seed, t + i), this.everywhere, this.stride);
      this.everywhere = false;
    }
  }
}
