// The automaton in plain JavaScript: the fallback when no faster engine can run.
//
// Sparse and exact. Empty areas stay empty, so a step visits only cells that can change. A cell
// outside `pre` still takes part in its neighbours' post-update maximum: every firing cell within
// 5 x 5 of one above the threshold is computed, 7 x 7 when the mask comes after the update only.
import { fireValue, stepKey } from "./fire.js";
import { roundUp, turnedBank } from "./model.js";
import { paintInto, pictureSize } from "./paint.js";

// A grid with one cell of border on each side. `state` there is [row][column][padded channel].
export class Grid {
  constructor(height, width, padded) {
    Object.assign(this, { height, width, padded, across: width + 2 });
    this.cells = (height + 2) * (width + 2);
  }

  index(y, x) {
    return (y + 1) * this.across + x + 1;
  }

  // Copies a dense state [H, W, C] in, or out.
  move(state, dense, channels, inwards) {
    for (let y = 0, d = 0; y < this.height; y++) {
      let s = this.index(y, 0) * this.padded;
      for (let x = 0; x < this.width; x++, s += this.padded, d += channels) {
        if (inwards) for (let c = 0; c < channels; c++) state[s + c] = dense[d + c];
        else for (let c = 0; c < channels; c++) dense[d + c] = state[s + c];
      }
    }
  }

  // On a torus, copies the opposite side into the border; n numbers per cell.
  wrap(array, n) {
    const { height, width, across } = this;
    const copy = (to, from) => array.copyWithin(to * n, from * n, (from + 1) * n);
    for (let y = 1; y <= height; y++) {
      copy(y * across, y * across + width);
      copy(y * across + width + 1, y * across + 1);
    }
    array.copyWithin(0, height * across * n, (height + 1) * across * n);
    array.copyWithin((height + 1) * across * n, across * n, 2 * across * n);
  }

  // No cell beyond the border is alive.
  clearBorder(array) {
    const { height, width, across } = this;
    array.fill(0, 0, across).fill(0, (height + 1) * across);
    for (let y = 1; y <= height; y++) array[y * across] = array[y * across + width + 1] = 0;
  }
}

// Base class of the engines that hold their state in main memory.
export class MemoryEngine {
  // Sets the cells of runs [y, x0, x1) to `cell`, or empties them: brush, seed, damage buttons.
  fill(runs, cell) {
    const { grid, state, live, model } = this;
    for (const [y, x0, x1] of runs) {
      for (let x = x0; x < x1; x++) {
        const i = grid.index(y, x);
        state.fill(0, i * grid.padded, (i + 1) * grid.padded);
        if (cell) {
          for (let c = 0; c < model.channels; c++) state[i * grid.padded + c] = cell[c];
          live[i] = 1;
        }
      }
    }
    this.touched();
  }

  read() {
    const dense = new Float32Array(this.grid.height * this.grid.width * this.model.channels);
    this.grid.move(this.state, dense, this.model.channels, false);
    return dense;
  }

  readCell(x, y) {
    const at = this.grid.index(y, x) * this.grid.padded;
    return this.state.slice(at, at + this.model.channels);
  }

  paint(view, ground) {
    const { grid, state, model } = this;
    const where = {
      data: state,
      start: grid.index(0, 0) * grid.padded,
      row: grid.across * grid.padded,
      cell: grid.padded,
      height: grid.height,
      width: grid.width,
      channels: model.channels,
    };
    const size = pictureSize(view, where);
    if (!this.image || this.image.width !== size.width || this.image.height !== size.height) {
      this.image = new ImageData(size.width, size.height);
    }
    paintInto(this.image, view, ground, where);
    return this.image;
  }

  draw(context) {
    context.putImageData(this.image, 0, 0);
  }

  dispose() {}
}

export class JSEngine extends MemoryEngine {
  name = "js";

  static label = "JavaScript";

  static cannot() {
    return null;
  }

  setModel(model) {
    this.model = model;
    this.angle = null;
    // Weights in blocks of four outputs, [outputs / 4][inputs][4], so that four sums stay in
    // registers; doubles, because JavaScript computes in doubles.
    const { seen, padded, filters, kinds, genes } = model;
    this.layers = model.layers.map(({ inputs, outputs, weight, bias }, index) => {
      const rows = index ? roundUp(inputs, 4) : filters * padded;
      const packed = new Float64Array(rows * roundUp(outputs, 4));
      for (let i = 0; i < inputs; i++) {
        const row = index ? i : Math.floor(i / seen) * padded + (i % seen);
        for (let o = 0; o < outputs; o++) {
          packed[(o >> 2) * rows * 4 + row * 4 + (o & 3)] = weight[o * inputs + i];
        }
      }
      // The first layer has one row of biases for cells of no kind, and one for each kind.
      const n = roundUp(outputs, 4);
      const biases = new Float64Array(n * (index ? 1 : 1 + kinds));
      for (let k = 0; k * n < biases.length; k++) {
        for (let o = 0; o < outputs; o++) {
          biases[k * n + o] = bias[o] + (k ? genes[(k - 1) * outputs + o] : 0);
        }
      }
      return { rows, outputs: n, weight: packed, bias: biases };
    });
    const widest = Math.max(...this.layers.map(({ rows, outputs }) => Math.max(rows, outputs)));
    this.scratch = [new Float64Array(2 * widest), new Float64Array(2 * widest)];
    if (this.grid) this.setState(this.read(), this.grid.height, this.grid.width);
  }

  setState(dense, height, width) {
    const grid = new Grid(height, width, this.model.padded);
    this.grid = grid;
    this.state = new Float32Array(grid.cells * grid.padded);
    for (const name of ["live", "alive", "pre", "near", "post"]) {
      this[name] = new Uint8Array(grid.cells);
    }
    this.fired = new Int32Array(height * width);
    this.change = new Float32Array((height * width + 1) * this.model.channels);
    grid.move(this.state, dense, this.model.channels, true);
    this.live.fill(1);
    this.touched();
  }

  // After an edit, cells far from any living cell may hold values: the next step visits them all.
  touched() {
    this.everywhere = !this.model.prePost;
  }

  step(n, t, seed, angle = 0) {
    if (angle !== this.angle) {
      this.bank = turnedBank(this.model, angle);
      this.angle = angle;
    }
    for (let i = 0; i < n; i++) this.#once(stepKey(seed, t + i));
  }

  #once(key) {
    const { grid, model, state, live, alive, pre, near, post } = this;
    const { height, width, across, padded } = grid;
    const { channels, threshold, fireThreshold } = model;
    if (model.circular) grid.wrap(state, padded);
    for (let i = 0; i < grid.cells; i++) alive[i] = live[i] && state[i * padded + 3] > threshold;
    this.#spread(alive, pre);
    if (model.kinds) this.#inherit();
    if (this.everywhere || model.lifts) near.fill(1);
    else {
      this.#spread(pre, near);
      if (!model.prePost) this.#spread(near.slice(), near);
    }
    this.everywhere = false;
    let fired = 0;
    for (let y = 0; y < height; y++) {
      let i = (y + 1) * across + 1;
      for (let x = 0; x < width; x++, i++) {
        if (near[i] && fireValue(key, y * width + x) < fireThreshold) this.fired[fired++] = i;
      }
    }
    for (let f = 0; f < fired; f += 2) {
      this.#update(this.fired[f], this.fired[Math.min(f + 1, fired - 1)], f * channels);
    }
    for (let f = 0, d = 0; f < fired; f++) {
      const at = this.fired[f] * padded;
      for (let c = 0; c < channels; c++) state[at + c] += this.change[d++];
    }
    for (let i = 0; i < grid.cells; i++) {
      alive[i] = (live[i] || near[i]) && state[i * padded + 3] > threshold;
    }
    this.#spread(alive, post);
    for (let i = 0; i < grid.cells; i++) {
      const lives = post[i] && (pre[i] || !model.prePost);
      if (!lives && (live[i] || near[i])) state.fill(0, i * padded, (i + 1) * padded);
      live[i] = lives ? 1 : 0;
    }
  }

  // Cells without a kind that touch life take that of their neighbour with the highest alpha, the
  // first in reading order among equals; see inherit_kinds in nca/state.py.
  #inherit() {
    const { grid, model, state, pre } = this;
    const { height, width, across, padded } = grid;
    const found = [];
    for (let y = 0; y < height; y++) {
      for (let x = 0, i = grid.index(y, 0); x < width; x++, i++) {
        if (!pre[i] || state[i * padded + model.seen] !== 0) continue;
        let [highest, kind] = [-Infinity, 0];
        for (let tap = 0; tap < 9; tap++) {
          const [dy, dx] = [Math.floor(tap / 3) - 1, (tap % 3) - 1];
          const outside = y + dy < 0 || y + dy >= height || x + dx < 0 || x + dx >= width;
          if (tap === 4 || (outside && !model.circular)) continue;
          const there = i + dy * across + dx;
          if (state[there * padded + 3] > highest) {
            highest = state[there * padded + 3];
            kind = this.#kind(there);
          }
        }
        if (kind) found.push(i, kind);
      }
    }
    // Written at the end: a cell does not inherit what its neighbour has just inherited.
    for (let n = 0; n < found.length; n += 2) state[found[n] * padded + model.seen] = found[n + 1];
  }

  #kind(i) {
    const { kinds, padded, seen } = this.model;
    const held = kinds ? this.state[i * padded + seen] : 0;
    return held > 0 ? Math.min(Math.floor(held), kinds) : 0;
  }

  // 3 x 3 maximum of a byte map, after filling its border.
  #spread(from, to) {
    const { grid, model } = this;
    if (model.circular) grid.wrap(from, 1);
    else grid.clearBorder(from);
    const a = grid.across;
    for (let y = 1; y <= grid.height; y++) {
      let i = y * a + 1;
      for (const end = i + grid.width; i < end; i++) {
        to[i] =
          from[i - a - 1] | from[i - a] | from[i - a + 1] | from[i - 1] | from[i] | from[i + 1] |
          from[i + a - 1] | from[i + a] | from[i + a + 1];
      }
    }
    if (model.circular) grid.wrap(to, 1);
  }

  // Writes the updates of cells i and j into `change`, from index `d` on.
  #update(i, j, d) {
    const { layers } = this;
    const { channels, seen } = this.model;
    let x = this.scratch[0];
    let y = this.scratch[1];
    const half = x.length / 2;
    this.#perceive(i, x, 0);
    this.#perceive(j, x, half);
    for (let l = 0; l < layers.length; l++) {
      const [k, m] = l ? [0, 0] : [this.#kind(i), this.#kind(j)];
      linear(layers[l], x, y, half, l + 1 < layers.length, k, m);
      const swap = x;
      x = y;
      y = swap;
    }
    for (let c = 0; c < channels; c++) {
      this.change[d + c] = c < seen ? x[c] : 0; // a kind never changes
      this.change[d + channels + c] = c < seen ? x[half + c] : 0;
    }
  }

  #perceive(i, x, p) {
    const { state, bank, model } = this;
    const { padded: n, across } = this.grid;
    const row = across * n;
    const top = (i - across - 1) * n;
    for (let k = 0, b = 0; k < model.filters; k++, b += 8 * n) {
      for (let s = top; s < top + n; s++, p++, b++) {
        const t = s + row;
        const u = t + row;
        x[p] =
          bank[b] * state[s] + bank[b + n] * state[s + n] + bank[b + 2 * n] * state[s + 2 * n] +
          bank[b + 3 * n] * state[t] + bank[b + 4 * n] * state[t + n] +
          bank[b + 5 * n] * state[t + 2 * n] + bank[b + 6 * n] * state[u] +
          bank[b + 7 * n] * state[u + n] + bank[b + 8 * n] * state[u + 2 * n];
      }
    }
  }
}

// One layer for two cells at once, whose values lie `half` apart and whose biases are in rows `k` and
// `m`: two cells by four outputs in registers is 2.5 times as fast as one cell by four.
function linear({ rows, outputs, weight, bias }, x, y, half, relu, k, m) {
  const there = (m - k) * outputs;
  for (let o = 0, w = 0, at = k * outputs; o < outputs; o += 4, at += 4) {
    let a = bias[at];
    let b = bias[at + 1];
    let c = bias[at + 2];
    let d = bias[at + 3];
    let e = bias[there + at];
    let f = bias[there + at + 1];
    let g = bias[there + at + 2];
    let h = bias[there + at + 3];
    for (let r = 0; r < rows; r++, w += 4) {
      const u = x[r];
      const v = x[half + r];
      const w0 = weight[w];
      const w1 = weight[w + 1];
      const w2 = weight[w + 2];
      const w3 = weight[w + 3];
      a += u * w0;
      b += u * w1;
      c += u * w2;
      d += u * w3;
      e += v * w0;
      f += v * w1;
      g += v * w2;
      h += v * w3;
    }
    y[o] = relu && a < 0 ? 0 : a;
    y[o + 1] = relu && b < 0 ? 0 : b;
    y[o + 2] = relu && c < 0 ? 0 : c;
    y[o + 3] = relu && d < 0 ? 0 : d;
    y[half + o] = relu && e < 0 ? 0 : e;
    y[half + o + 1] = relu && f < 0 ? 0 : f;
    y[half + o + 2] = relu && g < 0 ? 0 : g;
    y[half + o + 3] = relu && h < 0 ? 0 : h;
  }
}
