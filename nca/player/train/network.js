// The trainable numbers of an automaton: one Float32Array, its parts named and shaped as in
// nca/model.py, in the order of NCA.parameters(). Genes are only read: no training here has kinds.
import { roundUp } from "../web/model.js";

const SOBEL = [-1, 0, 1, -2, 0, 2, -1, 0, 1].map((tap) => tap / 8);
const TURNED = [-1, -2, -1, 0, 0, 0, 1, 2, 1].map((tap) => tap / 8);
const LAPLACIANS = {
  nine_point: [1, 2, 1, 2, -12, 2, 1, 2, 1].map((tap) => tap / 8),
  five_point: [0, 1, 0, 1, -4, 1, 0, 1, 0],
};

// `config`: an NCAConfig as JSON.
export class Network {
  constructor(config) {
    this.config = config;
    this.channels = config.channels;
    this.kinds = config.kinds ?? 0;
    this.seen = config.channels - (this.kinds > 0 ? 1 : 0); // the last one holds a cell's kind
    this.padded = roundUp(config.channels, 4);
    this.learned = config.perception === "learned";
    const identity = [0, 0, 0, 0, 1, 0, 0, 0, 0];
    this.taps = [identity, SOBEL, TURNED, LAPLACIANS[config.laplacian]].filter(Boolean);
    this.filters = this.taps.length;
    this.prePost = config.alive_mask === "pre_post";
    this.circular = config.padding === "circular";
    this.threshold = Math.fround(config.alive_threshold);
    // As `threshold` in nca/fire.py; a tie, which Python rounds to even, needs more than 24 bits.
    this.fireThreshold = Math.round(config.fire_rate * 2 ** 24);
    const widths = [this.filters * this.seen, ...config.hidden, this.seen];
    this.layers = widths.slice(1).map((outputs, l) => ({ inputs: widths[l], outputs }));
    this.parts = [];
    this.size = 0;
    if (this.learned) this.add("filters", [this.filters, this.seen, 3, 3]);
    if (this.kinds) this.add("genes", [this.kinds, config.hidden[0]]);
    this.layers.forEach(({ inputs, outputs }, l) => {
      this.add(`layers.${l}.weight`, [outputs, inputs]);
      const biased = l + 1 < this.layers.length ? config.bias : config.out_bias;
      if (biased) this.add(`layers.${l}.bias`, [outputs]);
    });
  }

  add(name, shape) {
    const size = shape.reduce((product, side) => product * side, 1);
    this.parts.push({ name, shape, start: this.size, size });
    this.size += size;
  }

  // The numbers of a part in `weights`, or null where the automaton has no such part.
  part(weights, name) {
    const found = this.parts.find((part) => part.name === name);
    return found ? weights.subarray(found.start, found.start + found.size) : null;
  }

  // The perception filters, [filters][channels][9].
  bank(weights) {
    if (this.learned) return this.part(weights, "filters");
    const every = this.taps.flatMap((tap) => Array(this.seen).fill(tap));
    return Float32Array.from(every.flat());
  }

  // Glorot-uniform hidden layers, biases 0 and a last layer of zeros. `uniform`: draws of [0, 1).
  initialWeights(uniform) {
    const weights = new Float32Array(this.size);
    if (this.learned) {
      const every = this.taps.flatMap((tap) => Array(this.channels).fill(tap));
      this.part(weights, "filters").set(every.flat());
    }
    for (let l = 0; l + 1 < this.layers.length; l++) {
      const { inputs, outputs } = this.layers[l];
      const bound = Math.sqrt(6 / (inputs + outputs));
      const weight = this.part(weights, `layers.${l}.weight`);
      for (let i = 0; i < weight.length; i++) weight[i] = (2 * uniform() - 1) * bound;
    }
    return weights;
  }
}
