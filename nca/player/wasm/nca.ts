// One step of the automaton on WebAssembly SIMD. AssemblyScript; `npm run build` makes nca.wasm.
//
// JavaScript lays out the memory, copies weights and states in, and calls `setup` and `step`.
// Sparse and exact: only cells that fire and may live are computed, in tiles of 16, and those whose
// alpha may still keep a neighbour alive (the 5 x 5 ring of the alive mask).
import {
  alive, bank, cellCount, change, channels, circular, filters, findFired, fired, layerCount, layers,
  lifts, live, near, perceive, post, pre, prePost, product, scratchA, scratchB, spread, state,
  threshold, wrap,
} from "./cells";

export { product, setup } from "./cells";

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
  let from = scratchA;
  let to = scratchB;
  for (let l = 0; l < layerCount; l++) {
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
