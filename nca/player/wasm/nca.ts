// One step of the automaton on WebAssembly SIMD. AssemblyScript; `npm run build` makes nca.wasm.
//
// JavaScript lays out the memory, copies weights and states in, and calls `setup` and `step`.
// Sparse and exact: only cells that fire and may live are computed, in tiles of 16, and those whose
// alpha may still keep a neighbour alive (the 5 x 5 ring of the alive mask).
import {
  alive, bank, cellCount, change, channels, circular, filters, findFired, fired, height, layerCount,
  layers, lifts, live, near, perceive, post, pre, prePost, product, scratchA, scratchB, spread, state,
  threshold, width, wrap,
} from "./cells";

export { product, setup } from "./cells";

let kinds: i32 = 0; // kinds of cells; of the first layer there is a row of biases for none, and each
let kindAt: usize = 0; // where in a cell its kind is, f32
let mixed: usize = 0; // f32 [16][outputs of the first layer]

export function setKinds(count: i32, at: usize, pMixed: usize): void {
  kinds = count;
  kindAt = at;
  mixed = pMixed;
}

function kindOf(cell: i32): i32 {
  const held = load<f32>(state + <usize>cell * (<usize>channels << 2) + kindAt);
  return held > 0 ? min(<i32>held, kinds) : 0;
}

// Cells without a kind that touch life take that of their neighbour with the highest alpha, the
// first in reading order among equals; see inherit_kinds in nca/state.py.
function inherit(): void {
  const size = <usize>channels << 2;
  const across = width + 2;
  let n: usize = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const cell = (y + 1) * across + 1 + x;
      if (!load<u8>(pre + <usize>cell) || load<f32>(state + <usize>cell * size + kindAt) != 0) continue;
      let highest: f32 = -Infinity;
      let kind = 0;
      for (let tap = 0; tap < 9; tap++) {
        const dy = tap / 3 - 1;
        const dx = tap % 3 - 1;
        const outside = y + dy < 0 || y + dy >= height || x + dx < 0 || x + dx >= width;
        if (tap == 4 || (outside && !circular)) continue;
        const there = cell + dy * across + dx;
        const alpha = load<f32>(state + <usize>there * size + 12);
        if (alpha > highest) {
          highest = alpha;
          kind = kindOf(there);
        }
      }
      if (kind) {
        store<i32>(fired + (n << 2), cell);
        store<f32>(change + (n << 2), <f32>kind);
        n++;
      }
    }
  }
  // Written at the end: a cell does not inherit what its neighbour has just inherited.
  for (let m: usize = 0; m < n; m++) {
    const cell = <usize>load<i32>(fired + (m << 2));
    store<f32>(state + cell * size + kindAt, load<f32>(change + (m << 2)));
  }
}

// The first layer of `count` listed cells, each with the biases of its kind.
function firstLayer(first: i32, count: i32, stride: usize): void {
  const inputs = load<i32>(layers);
  const outputs = load<i32>(layers, 4);
  const row = <usize>outputs << 2;
  const biases = <usize>load<i32>(layers, 12);
  let start = biases;
  let startRow: usize = 0;
  if (kinds) {
    const one = kindOf(load<i32>(fired + (<usize>first << 2)));
    start += <usize>one * row;
    for (let j = 1; j < count; j++) {
      if (kindOf(load<i32>(fired + (<usize>(first + j) << 2))) != one) startRow = row;
    }
    if (startRow) {
      start = mixed;
      for (let j = 0; j < count; j++) {
        const kind = kindOf(load<i32>(fired + (<usize>(first + j) << 2)));
        memory.copy(mixed + <usize>j * row, biases + <usize>kind * row, row);
      }
    }
  }
  product(
    count, inputs, outputs, scratchA, stride, 4, <usize>load<i32>(layers, 8), 32,
    <usize>inputs << 5, start, startRow, scratchB, stride, 1 < layerCount, 0,
  );
}

// One linear layer for up to 16 cells. Weights are packed [outputs / 8][inputs][8], so that a
// block stays in the cache for all cells.
export function linear(
  from: usize, fromStride: usize, to: usize, toStride: usize,
  inputs: i32, outputs: i32, weight: usize, bias: usize, relu: bool, count: i32,
): void {
  product(
    count, inputs, outputs, from, fromStride, 4, weight, 32, <usize>inputs << 5,
    bias, 0, to, toStride, relu, 0,
  );
}

// "Not at most" rather than "above": NaN counts as alive, so that it stays visible.
function isAlive(alpha: f32): u8 {
  return <u8>!(alpha <= threshold);
}

// alive = alpha above the threshold, looked up only where `live` says so.
function findAlive(): void {
  const cells = cellCount();
  const size = <usize>channels << 2;
  for (let i: usize = 0; i < cells; i += 16) {
    v128.store(alive + i, i32x4.splat(0));
    if (!v128.any_true(v128.load(live + i))) continue;
    const end = min(i + 16, cells);
    for (let j = i; j < end; j++) {
      if (load<u8>(live + j)) store<u8>(alive + j, isAlive(load<f32>(state + j * size + 12)));
    }
  }
}

// The update of `count` (at most 16) fired cells from `first` on, into `change`.
function update(first: i32, count: i32, stride: usize): void {
  const size = <usize>channels << 2;
  for (let j = 0; j < count; j++) {
    perceive(load<i32>(fired + (<usize>(first + j) << 2)), scratchA + <usize>j * stride);
  }
  firstLayer(first, count, stride);
  let from = scratchB;
  let to = scratchA;
  for (let l = 1; l < layerCount; l++) {
    const about = layers + (<usize>l << 4);
    linear(
      from, stride, to, stride, load<i32>(about), load<i32>(about, 4),
      load<i32>(about, 8), load<i32>(about, 12), l + 1 < layerCount, count,
    );
    const swap = from;
    from = to;
    to = swap;
  }
  for (let j = 0; j < count; j++) {
    memory.copy(change + <usize>(first + j) * size, from + <usize>j * stride, size);
  }
}

// The updates of the cells listed from `first` to `n`, and which of them are alive after it.
function updateListed(first: i32, n: i32, stride: usize): void {
  const size = <usize>channels << 2;
  for (let f = first; f < n; f += 16) update(f, min(16, n - f), stride);
  for (let f = first; f < n; f++) {
    const cell = <usize>load<i32>(fired + (<usize>f << 2));
    const alpha = load<f32>(state + cell * size + 12) + load<f32>(change + <usize>f * size + 12);
    store<u8>(alive + cell, isAlive(alpha));
  }
  spread(alive, post);
}

// Cells of `pre` that have no living neighbour after the update may still be kept alive by a cell
// outside `pre`, before it is zeroed. Computes those that fire; returns how many are listed then.
function updateRing(key: u32, n: i32, stride: usize): i32 {
  const cells = cellCount();
  let any = false;
  for (let i: usize = 0; i < cells; i += 16) {
    const doubtful = v128.andnot(v128.load(pre + i), v128.load(post + i));
    v128.store(near + i, doubtful);
    any = any || v128.any_true(doubtful);
  }
  if (!any) return n;
  spread(near, post);
  for (let i: usize = 0; i < cells; i += 16) {
    v128.store(near + i, v128.andnot(v128.load(post + i), v128.load(pre + i)));
  }
  const all = findFired(key, near, n);
  updateListed(n, all, stride);
  return all;
}

// The rows of `scratch` are as wide as the widest layer: `stride` bytes. Returns how many cells
// were updated. `everywhere`: cells far from living ones may hold values or come alive.
export function step(key: u32, everywhere: bool, stride: usize): i32 {
  const size = <usize>channels << 2;
  const cells = cellCount();
  if (circular) wrap(state, size);
  findAlive();
  spread(alive, pre);
  if (kinds) inherit();
  let may = pre; // the cells whose updates may stay
  if (!prePost) {
    may = near;
    if (everywhere || lifts) {
      memory.fill(near, 1, cells);
    } else {
      spread(pre, post);
      spread(post, near);
    }
  }
  const n = findFired(key, may, 0);
  updateListed(0, n, stride);
  const computed = prePost ? updateRing(key, n, stride) : n;
  for (let f = 0; f < n; f++) {
    const s = state + <usize>load<i32>(fired + (<usize>f << 2)) * size;
    const d = change + <usize>f * size;
    for (let c: usize = 0; c < size; c += 16) {
      v128.store(s + c, f32x4.add(v128.load(s + c), v128.load(d + c)));
    }
  }
  for (let i: usize = 0; i < cells; i += 16) {
    const held = v128.or(v128.load(live + i), v128.load(may + i));
    if (!v128.any_true(held)) continue;
    let lives = v128.load(post + i);
    if (prePost) lives = v128.and(lives, v128.load(pre + i));
    v128.store(live + i, lives);
    const end = min(i + 16, cells);
    for (let j = i; j < end; j++) {
      if (!load<u8>(live + j)) memory.fill(state + j * size, 0, size);
    }
  }
  return computed;
}
