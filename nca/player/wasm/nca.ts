// One step of the automaton on WebAssembly SIMD. AssemblyScript; `npm run build` makes nca.wasm.
//
// JavaScript lays out the memory, copies weights and states in, and calls `setup` and `step`.
// The state is [row][column][channel] with one cell of border on each side and channels padded to
// a multiple of 4, so that perception needs no branches. Sparse and exact, as engine-js.js says:
// `near` holds the cells that may matter, and only those that fire are computed, in tiles of 16.

// Pointers (bytes) and sizes, set once per model and grid.
let state: usize = 0; // f32 [cells][channels]
let bank: usize = 0; // f32 [filters][9][channels]
let layers: usize = 0; // i32 [count][4]: inputs, outputs (a multiple of 8), weight, bias
let layerCount: i32 = 0;
let live: usize = 0; // u8 [cells]: cells that may hold values
let alive: usize = 0; // u8 [cells]: above the threshold
let pre: usize = 0;
let near: usize = 0;
let post: usize = 0;
let fired: usize = 0; // i32 [cells + 16]: which cells fire
let change: usize = 0; // f32 [cells + 16][channels]
let scratchA: usize = 0; // f32 [16][widest layer]
let scratchB: usize = 0;
let height: i32 = 0;
let width: i32 = 0;
let channels: i32 = 0; // padded
let filters: i32 = 0;
let circular: bool = false;
let prePost: bool = true;
let lifts: bool = false;
let threshold: f32 = 0;
let fireThreshold: u32 = 0;

export function setup(
  pState: usize, pBank: usize, pLayers: usize, count: i32, pMasks: usize, maskBytes: i32,
  pFired: usize, pChange: usize, pA: usize, pB: usize, h: i32, w: i32, c: i32, k: i32,
  isCircular: bool, isPrePost: bool, doesLift: bool, alpha: f32, fire: u32,
): void {
  state = pState;
  bank = pBank;
  layers = pLayers;
  layerCount = count;
  live = pMasks;
  alive = pMasks + maskBytes;
  pre = pMasks + 2 * maskBytes;
  near = pMasks + 3 * maskBytes;
  post = pMasks + 4 * maskBytes;
  fired = pFired;
  change = pChange;
  scratchA = pA;
  scratchB = pB;
  height = h;
  width = w;
  channels = c;
  filters = k;
  circular = isCircular;
  prePost = isPrePost;
  lifts = doesLift;
  threshold = alpha;
  fireThreshold = fire;
}

function lowbias32(h: u32): u32 {
  h = (h ^ (h >> 16)) * 0x7feb352d;
  h = (h ^ (h >> 15)) * 0x846ca68b;
  return h ^ (h >> 16);
}

// The border of a torus repeats the opposite side; `size` bytes per cell.
function wrap(array: usize, size: usize): void {
  const across: usize = width + 2;
  const row = across * size;
  for (let y: usize = 1; y <= <usize>height; y++) {
    const start = array + y * row;
    memory.copy(start, start + <usize>width * size, size);
    memory.copy(start + <usize>(width + 1) * size, start + size, size);
  }
  memory.copy(array, array + <usize>height * row, row);
  memory.copy(array + <usize>(height + 1) * row, array + row, row);
}

function clearBorder(array: usize): void {
  const across: usize = width + 2;
  memory.fill(array, 0, across);
  memory.fill(array + <usize>(height + 1) * across, 0, across);
  for (let y: usize = 1; y <= <usize>height; y++) {
    store<u8>(array + y * across, 0);
    store<u8>(array + y * across + <usize>width + 1, 0);
  }
}

function border(array: usize): void {
  if (circular) wrap(array, 1);
  else clearBorder(array);
}

// 3 x 3 maximum of a byte map, 16 cells at a time; reads and writes into the slack at both ends.
function spread(from: usize, to: usize): void {
  border(from);
  const across: usize = width + 2;
  const end = <usize>(height + 1) * across;
  for (let i = across; i < end; i += 16) {
    const p = from + i;
    let m = v128.or(v128.load(p - across - 1), v128.load(p - across));
    m = v128.or(m, v128.load(p - across + 1));
    m = v128.or(m, v128.or(v128.load(p - 1), v128.load(p)));
    m = v128.or(m, v128.or(v128.load(p + 1), v128.load(p + across - 1)));
    m = v128.or(m, v128.or(v128.load(p + across), v128.load(p + across + 1)));
    v128.store(to + i, m);
  }
  border(to);
}

// alive = alpha above the threshold, looked up only where `live` (or, if asked, `near`) says so.
function findAlive(also: usize): void {
  const cells: usize = <usize>(height + 2) * (width + 2);
  const size = <usize>channels << 2;
  for (let i: usize = 0; i < cells; i += 16) {
    let may = v128.load(live + i);
    if (also) may = v128.or(may, v128.load(also + i));
    v128.store(alive + i, i32x4.splat(0));
    if (!v128.any_true(may)) continue;
    const end = min(i + 16, cells);
    for (let j = i; j < end; j++) {
      if (load<u8>(live + j) || (also && load<u8>(also + j))) {
        store<u8>(alive + j, <u8>(load<f32>(state + j * size + 12) > threshold));
      }
    }
  }
}

function findFired(key: u32): i32 {
  const across = width + 2;
  let n = 0;
  for (let y = 0; y < height; y++) {
    const row = (y + 1) * across + 1;
    for (let x = 0; x < width; x += 16) {
      if (!v128.any_true(v128.load(near + <usize>(row + x)))) continue;
      const end = min(x + 16, width);
      for (let j = x; j < end; j++) {
        if (!load<u8>(near + <usize>(row + j))) continue;
        const cell: u32 = y * width + j;
        if (lowbias32(key ^ (cell * 0x9e3779b9)) >> 8 < fireThreshold) {
          store<i32>(fired + (<usize>n << 2), row + j);
          n++;
        }
      }
    }
  }
  return n;
}

// What cell i sees: [filters][channels] at `to`.
function perceive(i: i32, to: usize): void {
  const size = <usize>channels << 2;
  const row = <usize>(width + 2) * size;
  const middle = state + <usize>i * size;
  const top = middle - row - size;
  for (let k = 0; k < filters; k++) {
    const taps = bank + <usize>(k * 9) * size;
    for (let c: usize = 0; c < size; c += 16) {
      let b = taps + c;
      let s = top + c;
      let sum = f32x4.mul(v128.load(b), v128.load(s));
      sum = f32x4.add(sum, f32x4.mul(v128.load(b + size), v128.load(s + size)));
      sum = f32x4.add(sum, f32x4.mul(v128.load(b + 2 * size), v128.load(s + 2 * size)));
      b += 3 * size;
      s += row;
      sum = f32x4.add(sum, f32x4.mul(v128.load(b), v128.load(s)));
      sum = f32x4.add(sum, f32x4.mul(v128.load(b + size), v128.load(s + size)));
      sum = f32x4.add(sum, f32x4.mul(v128.load(b + 2 * size), v128.load(s + 2 * size)));
      b += 3 * size;
      s += row;
      sum = f32x4.add(sum, f32x4.mul(v128.load(b), v128.load(s)));
      sum = f32x4.add(sum, f32x4.mul(v128.load(b + size), v128.load(s + size)));
      sum = f32x4.add(sum, f32x4.mul(v128.load(b + 2 * size), v128.load(s + 2 * size)));
      v128.store(to + c, sum);
    }
    to += size;
  }
}

// One linear layer for 16 cells, 4 cells by 8 outputs in registers.
// Weights are packed [outputs / 8][inputs][8], so that a block stays in the cache for all cells.
export function linear(
  from: usize, fromStride: usize, to: usize, toStride: usize,
  inputs: i32, outputs: i32, weight: usize, bias: usize, relu: bool, count: i32,
): void {
  const zero = f32x4.splat(0);
  for (let o = 0; o < outputs; o += 8) {
    const b0 = v128.load(bias + (<usize>o << 2));
    const b1 = v128.load(bias + (<usize>o << 2), 16);
    for (let cell = 0; cell < count; cell += 4) {
      let x0 = from + <usize>cell * fromStride;
      let x1 = x0 + fromStride;
      let x2 = x1 + fromStride;
      let x3 = x2 + fromStride;
      let a0 = b0, a1 = b1, c0 = b0, c1 = b1, d0 = b0, d1 = b1, e0 = b0, e1 = b1;
      let w = weight;
      for (let i = 0; i < inputs; i++) {
        const w0 = v128.load(w);
        const w1 = v128.load(w, 16);
        let v = v128.load32_splat(x0);
        a0 = f32x4.add(a0, f32x4.mul(v, w0));
        a1 = f32x4.add(a1, f32x4.mul(v, w1));
        v = v128.load32_splat(x1);
        c0 = f32x4.add(c0, f32x4.mul(v, w0));
        c1 = f32x4.add(c1, f32x4.mul(v, w1));
        v = v128.load32_splat(x2);
        d0 = f32x4.add(d0, f32x4.mul(v, w0));
        d1 = f32x4.add(d1, f32x4.mul(v, w1));
        v = v128.load32_splat(x3);
        e0 = f32x4.add(e0, f32x4.mul(v, w0));
        e1 = f32x4.add(e1, f32x4.mul(v, w1));
        w += 32;
        x0 += 4;
        x1 += 4;
        x2 += 4;
        x3 += 4;
      }
      if (relu) {
        a0 = f32x4.pmax(zero, a0);
        a1 = f32x4.pmax(zero, a1);
        c0 = f32x4.pmax(zero, c0);
        c1 = f32x4.pmax(zero, c1);
        d0 = f32x4.pmax(zero, d0);
        d1 = f32x4.pmax(zero, d1);
        e0 = f32x4.pmax(zero, e0);
        e1 = f32x4.pmax(zero, e1);
      }
      let y = to + <usize>cell * toStride + (<usize>o << 2);
      v128.store(y, a0);
      v128.store(y, a1, 16);
      y += toStride;
      v128.store(y, c0);
      v128.store(y, c1, 16);
      y += toStride;
      v128.store(y, d0);
      v128.store(y, d1, 16);
      y += toStride;
      v128.store(y, e0);
      v128.store(y, e1, 16);
    }
    weight += <usize>inputs << 5;
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

// The rows of `scratch` are as wide as the widest layer: `stride` bytes.
export function step(key: u32, everywhere: bool, stride: usize): i32 {
  const size = <usize>channels << 2;
  const cells: usize = <usize>(height + 2) * (width + 2);
  if (circular) wrap(state, size);
  findAlive(0);
  spread(alive, pre);
  if (everywhere || lifts) {
    memory.fill(near, 1, cells);
  } else {
    spread(pre, near);
    if (!prePost) {
      spread(near, post);
      memory.copy(near, post, cells);
    }
  }
  const n = findFired(key);
  for (let f = 0; f < n; f += 16) update(f, min(16, n - f), stride);
  for (let f = 0; f < n; f++) {
    const s = state + <usize>load<i32>(fired + (<usize>f << 2)) * size;
    const d = change + <usize>f * size;
    for (let c: usize = 0; c < size; c += 16) {
      v128.store(s + c, f32x4.add(v128.load(s + c), v128.load(d + c)));
    }
  }
  findAlive(near);
  spread(alive, post);
  for (let i: usize = 0; i < cells; i += 16) {
    const held = v128.or(v128.load(live + i), v128.load(near + i));
    if (!v128.any_true(held)) continue;
    let lives = v128.load(post + i);
    if (prePost) lives = v128.and(lives, v128.load(pre + i));
    v128.store(live + i, lives);
    const end = min(i + 16, cells);
    for (let j = i; j < end; j++) {
      if (!load<u8>(live + j)) memory.fill(state + j * size, 0, size);
    }
  }
  return n;
}
