// The way back: gradients of a rollout of one batch item. As nca/engine/sparse.py, it saves the
// living cells and their states, recomputes the hidden activations, and goes back only through
// cells that survived a step.
//
// JavaScript lays out the memory, calls `setup` (cells.ts) and `prepare` once, writes the item's
// state into the grid and `live`, and calls `forward`, `judge` where a loss is wanted, `backward`,
// and `clear`.
import {
  bank, cellCount, change, channels, circular, filters, fired, fires, height, layerCount, layers,
  live, madd, perceive, product, state, width, wrap,
} from "./cells";
import { step } from "./nca";

const TILE = 64; // cells computed together on the way back

let target: usize = 0; // f32 [cells][4]
let gradient: usize = 0; // f32 [cells][channels]: of the loss by the state
let after: usize = 0; // u8 [cells]: cells that live after the step at hand
let keys: usize = 0; // u32 [steps]: of the fire mask
let erasures: usize = 0; // u32 [steps]: map of the cells erased before a step, or 0
let weights: usize = 0; // f32 [steps + 1]: of the picture's error after so many steps
let births: usize = 0; // f32 [steps + 1]: of the lack of alpha after so many steps
let lists: usize = 0; // u32 [steps][2]: records of the cells before and after a step
let records: usize = 0; // where the records of a rollout begin; the memory grows behind them
let back: usize = 0; // i32 [layers][4]: weights [inputs / 8][outputs][8], totals of the weights
// [inputs][outputs] and of the biases, the layer's inputs in rows of `stride` bytes
let deltaA: usize = 0; // f32 [TILE][widest]: gradients of a layer's outputs
let deltaB: usize = 0;
let zeros: usize = 0; // f32 [widest]
let tapTotals: usize = 0; // f32 [filters][9][channels], or 0 where the filters are fixed
let stride: usize = 0; // bytes of a row of activations

export function prepare(
  pTarget: usize, pGradient: usize, pAfter: usize, pKeys: usize, pErasures: usize,
  pWeights: usize, pBirths: usize, pLists: usize, pBack: usize,
  pDeltaA: usize, pDeltaB: usize, pZeros: usize, pTapTotals: usize, rowBytes: usize,
): void {
  target = pTarget;
  gradient = pGradient;
  after = pAfter;
  keys = pKeys;
  erasures = pErasures;
  weights = pWeights;
  births = pBirths;
  lists = pLists;
  back = pBack;
  deltaA = pDeltaA;
  deltaB = pDeltaB;
  zeros = pZeros;
  tapTotals = pTapTotals;
  stride = rowBytes;
}

export function setRecords(start: usize): void {
  records = start;
}

// A record: the number of cells n, the cells i32 [n] from byte 16 on, and their states
// f32 [n][channels] behind them.
function statesOf(record: usize, n: i32): usize {
  return record + 16 + (((<usize>n << 2) + 15) & ~15);
}

function beforeStep(s: i32): usize {
  return load<u32>(lists + (<usize>s << 3));
}

export function afterStep(s: i32): usize {
  return load<u32>(lists + (<usize>s << 3), 4);
}

// Records the cells that live now; returns the end of the record, 0 when memory is short.
function save(at: usize): usize {
  const cells = cellCount();
  const size = <usize>channels << 2;
  let n = 0;
  for (let i: usize = 0; i < cells; i++) n += load<u8>(live + i);
  let to = statesOf(at, n);
  const end = to + <usize>n * size;
  const missing = <i32>((end + 65535) >> 16) - memory.size();
  // By a few pages at least, because growing takes time.
  if (missing > 0 && memory.grow(max(missing, 64)) < 0 && memory.grow(missing) < 0) return 0;
  store<i32>(at, n);
  let list = at + 16;
  for (let i: usize = 0; i < cells; i += 16) {
    if (!v128.any_true(v128.load(live + i))) continue;
    const stop = min(i + 16, cells);
    for (let j = i; j < stop; j++) {
      if (!load<u8>(live + j)) continue;
      store<i32>(list, <i32>j);
      list += 4;
      memory.copy(to, state + j * size, size);
      to += size;
    }
  }
  return end;
}

function zeroBorder(map: usize): void {
  const across: usize = width + 2;
  memory.fill(map, 0, across);
  memory.fill(map + <usize>(height + 1) * across, 0, across);
  for (let y: usize = 1; y <= <usize>height; y++) {
    store<u8>(map + y * across, 0);
    store<u8>(map + y * across + <usize>width + 1, 0);
  }
}

// Runs the steps and records each; false when memory is short. `everywhere`: of the first step and
// those after an erasure, see `step`.
export function forward(steps: i32, everywhere: bool): bool {
  const cells = cellCount();
  const size = <usize>channels << 2;
  let end = records;
  for (let s = 0; s < steps; s++) {
    const erased: usize = load<u32>(erasures + (<usize>s << 2));
    if (erased) {
      for (let i: usize = 0; i < cells; i++) {
        if (!load<u8>(erased + i) || !load<u8>(live + i)) continue;
        store<u8>(live + i, 0);
        memory.fill(state + i * size, 0, size);
      }
    }
    const list = lists + (<usize>s << 3);
    if (s == 0 || erased) {
      store<u32>(list, <u32>end);
      end = save(end);
      if (!end) return false;
    } else {
      store<u32>(list, <u32>afterStep(s - 1));
    }
    step(load<u32>(keys + (<usize>s << 2)), everywhere && (s == 0 || erased != 0), stride);
    zeroBorder(live);
    store<u32>(list, <u32>end, 4);
    end = save(end);
    if (!end) return false;
  }
  return true;
}

// The sum of the squared errors of the states after `steps` steps, without that of empty cells:
// the target's own squares are to be added.
export function judge(steps: i32): f64 {
  const record = afterStep(steps - 1);
  const n = load<i32>(record);
  const size = <usize>channels << 2;
  let x = statesOf(record, n);
  let sum: f64 = 0;
  for (let i = 0; i < n; i++, x += size) {
    const t = target + (<usize>load<i32>(record + 16 + (<usize>i << 2)) << 4);
    for (let c: usize = 0; c < 16; c += 4) {
      const wanted = <f64>load<f32>(t + c);
      const error = <f64>load<f32>(x + c) - wanted;
      sum += error * error - wanted * wanted;
    }
  }
  return sum;
}

// The largest alpha after `steps` steps.
export function largestAlpha(steps: i32): f32 {
  const record = afterStep(steps - 1);
  const n = load<i32>(record);
  const size = <usize>channels << 2;
  const x = statesOf(record, n) + 12;
  let largest: f32 = n < height * width ? 0 : -Infinity;
  for (let i = 0; i < n; i++) largest = max(largest, load<f32>(x + <usize>i * size));
  return largest;
}

// Adds the gradients of the losses that look at the states after `steps` steps.
function addLosses(steps: i32): void {
  const record = afterStep(steps - 1);
  const n = load<i32>(record);
  const size = <usize>channels << 2;
  const x = statesOf(record, n);
  const weight = load<f32>(weights + (<usize>steps << 2));
  if (weight != 0) {
    const factor = f32x4.splat(weight * 2 / <f32>(height * width * 4));
    for (let i = 0; i < n; i++) {
      const cell = <usize>load<i32>(record + 16 + (<usize>i << 2));
      const error = f32x4.sub(v128.load(x + <usize>i * size), v128.load(target + (cell << 4)));
      const g = gradient + cell * size;
      v128.store(g, madd(factor, error, v128.load(g)));
    }
  }
  const birth = load<f32>(births + (<usize>steps << 2));
  if (birth != 0) {
    // Equally large ones share it, as torch's amax has it.
    const largest = largestAlpha(steps);
    let ties = 0;
    for (let i = 0; i < n; i++) ties += <i32>(load<f32>(x + <usize>i * size + 12) == largest);
    if (largest == 0) ties += height * width - n;
    for (let i = 0; i < n; i++) {
      if (load<f32>(x + <usize>i * size + 12) != largest) continue;
      const g = gradient + <usize>load<i32>(record + 16 + (<usize>i << 2)) * size + 12;
      store<f32>(g, load<f32>(g) - birth / <f32>ties);
    }
  }
}

// Sets, in a map or an array of `size` bytes per cell, the recorded cells to 0 or, in a map, to 1.
function fill(array: usize, size: usize, record: usize, value: u8): void {
  const n = load<i32>(record);
  for (let i = 0; i < n; i++) {
    memory.fill(array + <usize>load<i32>(record + 16 + (<usize>i << 2)) * size, value, size);
  }
}

// Puts a record's states into the grid.
function restore(record: usize): void {
  const n = load<i32>(record);
  const size = <usize>channels << 2;
  const from = statesOf(record, n);
  for (let i = 0; i < n; i++) {
    const cell = <usize>load<i32>(record + 16 + (<usize>i << 2));
    memory.copy(state + cell * size, from + <usize>i * size, size);
  }
}

function addTo(to: usize, from: usize, size: usize): void {
  for (let c: usize = 0; c < size; c += 16) {
    v128.store(to + c, f32x4.add(v128.load(to + c), v128.load(from + c)));
    v128.store(from + c, i32x4.splat(0));
  }
}

// Adds the gradients in the border of a torus to the cells that it repeats, and clears it.
function foldBorder(): void {
  const size = <usize>channels << 2;
  const row = <usize>(width + 2) * size;
  const lastRow = <usize>height * row;
  const lastColumn = <usize>width * size;
  addTo(gradient + lastRow, gradient, row);
  addTo(gradient + row, gradient + lastRow + row, row);
  for (let y: usize = 1; y <= <usize>height; y++) {
    const start = gradient + y * row;
    addTo(start + lastColumn, start, size);
    addTo(start + size, start + lastColumn + size, size);
  }
}

// Adds a perception's gradient to that of the states around cell i: `perceive`, transposed.
function scatter(i: i32, from: usize): void {
  const size = <usize>channels << 2;
  const row = <usize>(width + 2) * size;
  const plane: usize = 9 * size;
  const top = gradient + <usize>i * size - row - size;
  for (let c: usize = 0; c < size; c += 16) {
    let b = bank + c;
    let d = v128.load(from + c);
    let s0 = f32x4.mul(v128.load(b), d);
    let s1 = f32x4.mul(v128.load(b + size), d);
    let s2 = f32x4.mul(v128.load(b + 2 * size), d);
    let s3 = f32x4.mul(v128.load(b + 3 * size), d);
    let s4 = f32x4.mul(v128.load(b + 4 * size), d);
    let s5 = f32x4.mul(v128.load(b + 5 * size), d);
    let s6 = f32x4.mul(v128.load(b + 6 * size), d);
    let s7 = f32x4.mul(v128.load(b + 7 * size), d);
    let s8 = f32x4.mul(v128.load(b + 8 * size), d);
    for (let k = 1; k < filters; k++) {
      b += plane;
      d = v128.load(from + <usize>k * size + c);
      s0 = madd(v128.load(b), d, s0);
      s1 = madd(v128.load(b + size), d, s1);
      s2 = madd(v128.load(b + 2 * size), d, s2);
      s3 = madd(v128.load(b + 3 * size), d, s3);
      s4 = madd(v128.load(b + 4 * size), d, s4);
      s5 = madd(v128.load(b + 5 * size), d, s5);
      s6 = madd(v128.load(b + 6 * size), d, s6);
      s7 = madd(v128.load(b + 7 * size), d, s7);
      s8 = madd(v128.load(b + 8 * size), d, s8);
    }
    let g = top + c;
    v128.store(g, f32x4.add(v128.load(g), s0));
    v128.store(g + size, f32x4.add(v128.load(g + size), s1));
    v128.store(g + 2 * size, f32x4.add(v128.load(g + 2 * size), s2));
    g += row;
    v128.store(g, f32x4.add(v128.load(g), s3));
    v128.store(g + size, f32x4.add(v128.load(g + size), s4));
    v128.store(g + 2 * size, f32x4.add(v128.load(g + 2 * size), s5));
    g += row;
    v128.store(g, f32x4.add(v128.load(g), s6));
    v128.store(g + size, f32x4.add(v128.load(g + size), s7));
    v128.store(g + 2 * size, f32x4.add(v128.load(g + 2 * size), s8));
  }
}

// Adds to the filters' gradient what the perception of cell i contributes.
function addTaps(i: i32, from: usize): void {
  const size = <usize>channels << 2;
  const row = <usize>(width + 2) * size;
  const top = state + <usize>i * size - row - size;
  let total = tapTotals;
  for (let k = 0; k < filters; k++, from += size) {
    for (let tap: usize = 0; tap < 9; tap++, total += size) {
      const s = top + tap / 3 * row + tap % 3 * size;
      for (let c: usize = 0; c < size; c += 16) {
        v128.store(total + c, madd(v128.load(s + c), v128.load(from + c), v128.load(total + c)));
      }
    }
  }
}

function addRows(total: usize, from: usize, count: i32, cols: i32): void {
  for (let c: usize = 0; c < <usize>cols << 2; c += 16) {
    let sum = v128.load(total + c);
    for (let j = 0; j < count; j++) sum = f32x4.add(sum, v128.load(from + <usize>j * stride + c));
    v128.store(total + c, sum);
  }
}

// Goes back through the updates of `count` (at most TILE) fired cells from `first` on, whose
// gradients are in `change`. `flows`: the states before the step get gradients, too.
function updateBack(first: i32, count: i32, flows: bool): void {
  const size = <usize>channels << 2;
  const seen = <usize>load<i32>(back, 12);
  const cells = fired + (<usize>first << 2);
  for (let j = 0; j < count; j++) {
    perceive(load<i32>(cells + (<usize>j << 2)), seen + <usize>j * stride);
  }
  for (let l = 0; l + 1 < layerCount; l++) {
    const about = layers + (<usize>l << 4);
    const ways = back + (<usize>l << 4);
    const inputs = load<i32>(about);
    product(
      count, inputs, load<i32>(about, 4), load<i32>(ways, 12), stride, 4,
      load<i32>(about, 8), 32, <usize>inputs << 5, load<i32>(about, 12), 0,
      load<i32>(ways + 16, 12), stride, true, 0,
    );
  }
  let delta = deltaA;
  let next = deltaB;
  const outputs = <usize>load<i32>(layers + (<usize>(layerCount - 1) << 4), 4) << 2;
  for (let j = 0; j < count; j++) {
    const to = delta + <usize>j * stride;
    memory.fill(to + size, 0, outputs - size);
    memory.copy(to, change + <usize>(first + j) * size, size);
  }
  for (let l = layerCount - 1; l >= 0; l--) {
    const about = layers + (<usize>l << 4);
    const ways = back + (<usize>l << 4);
    const inputs = load<i32>(about);
    const outputs = load<i32>(about, 4);
    const x = <usize>load<i32>(ways, 12);
    const total = <usize>load<i32>(ways, 4);
    const row = <usize>outputs << 2;
    product(
      inputs, count, outputs, x, 4, stride, delta, stride, 32, total, row, total, row, false, 0,
    );
    addRows(load<i32>(ways, 8), delta, count, outputs);
    if (l == 0 && !flows && !tapTotals) return;
    product(
      count, outputs, (inputs + 7) & ~7, delta, stride, 4, load<i32>(ways), 32,
      <usize>outputs << 5, zeros, 0, next, stride, false, l ? x : 0,
    );
    const swap = delta;
    delta = next;
    next = swap;
  }
  for (let j = 0; j < count; j++) {
    const cell = load<i32>(cells + (<usize>j << 2));
    if (tapTotals) addTaps(cell, delta + <usize>j * stride);
    if (flows) scatter(cell, delta + <usize>j * stride);
  }
}

// Adds to the totals the gradients of what `weights` and `births` say, after `forward`.
export function backward(steps: i32): void {
  const size = <usize>channels << 2;
  fill(gradient, size, afterStep(steps - 1), 0);
  for (let s = steps - 1; s >= 0; s--) {
    const before = beforeStep(s);
    const survivors = afterStep(s);
    addLosses(s + 1);
    fill(state, size, survivors, 0);
    restore(before);
    if (circular) wrap(state, size);

    fill(after, 1, survivors, 1);
    const key = load<u32>(keys + (<usize>s << 2));
    const count = load<i32>(survivors);
    let n = 0;
    for (let i = 0; i < count; i++) {
      const cell = load<i32>(survivors + 16 + (<usize>i << 2));
      if (!fires(key, cell)) continue;
      store<i32>(fired + (<usize>n << 2), cell);
      memory.copy(change + <usize>n * size, gradient + <usize>cell * size, size);
      n++;
    }
    // Cells that survived the step keep their gradient, the others start at 0. Only cells that
    // lived before the step are read again.
    const lived = load<i32>(before);
    for (let i = 0; i < lived; i++) {
      const cell = <usize>load<i32>(before + 16 + (<usize>i << 2));
      if (!load<u8>(after + cell)) memory.fill(gradient + cell * size, 0, size);
    }
    fill(after, 1, survivors, 0);
    if (circular) clearBorderGradient();
    for (let f = 0; f < n; f += TILE) updateBack(f, min(TILE, n - f), s > 0);
    if (circular) foldBorder();

    const erased: usize = load<u32>(erasures + (<usize>s << 2));
    if (erased && s > 0) {
      const held = afterStep(s - 1);
      const all = load<i32>(held);
      for (let i = 0; i < all; i++) {
        const cell = <usize>load<i32>(held + 16 + (<usize>i << 2));
        if (load<u8>(erased + cell)) memory.fill(gradient + cell * size, 0, size);
      }
    }
  }
  fill(state, size, beforeStep(0), 0);
  fill(live, 1, afterStep(steps - 1), 0);
}

function clearBorderGradient(): void {
  const size = <usize>channels << 2;
  const row = <usize>(width + 2) * size;
  memory.fill(gradient, 0, row);
  memory.fill(gradient + <usize>(height + 1) * row, 0, row);
  for (let y: usize = 1; y <= <usize>height; y++) {
    memory.fill(gradient + y * row, 0, size);
    memory.fill(gradient + y * row + <usize>(width + 1) * size, 0, size);
  }
}

// Empties the grid after `forward` without `backward`.
export function clear(steps: i32): void {
  fill(state, <usize>channels << 2, afterStep(steps - 1), 0);
  fill(live, 1, afterStep(steps - 1), 0);
}
