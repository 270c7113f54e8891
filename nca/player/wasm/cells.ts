// What growing (nca.ts) and training (train.ts) share: the grid, which cells live and fire,
// perception and the matrix product.
//
// The state is [row][column][channel] with one cell of border on each side and channels padded to
// a multiple of 4, so that perception needs no branches. Maps hold a byte per cell.

// Pointers (bytes) and sizes, set once per model and grid.
export let state: usize = 0; // f32 [cells][channels]
export let bank: usize = 0; // f32 [filters][9][channels]
export let layers: usize = 0; // i32 [count][4]: inputs, outputs (a multiple of 8), weight, bias
export let layerCount: i32 = 0;
export let live: usize = 0; // u8 [cells]: cells that may hold values
export let alive: usize = 0; // u8 [cells]: above the threshold
export let pre: usize = 0;
export let near: usize = 0;
export let post: usize = 0;
export let fired: usize = 0; // i32 [cells + 16]: which cells fire
export let change: usize = 0; // f32 [cells + 16][channels]: their updates
export let scratchA: usize = 0; // f32 [16][widest layer]
export let scratchB: usize = 0;
export let height: i32 = 0;
export let width: i32 = 0;
export let channels: i32 = 0; // padded
export let filters: i32 = 0;
export let circular: bool = false;
export let prePost: bool = true;
export let lifts: bool = false;
export let threshold: f32 = 0;
export let fireThreshold: u32 = 0;

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

export function cellCount(): usize {
  return <usize>(height + 2) * (width + 2);
}

// a * b + c, rounded once where the module is built for relaxed SIMD.
// @ts-ignore: decorator
@inline
export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(c, f32x4.mul(a, b));
}

function lowbias32(h: u32): u32 {
  h = (h ^ (h >> 16)) * 0x7feb352d;
  h = (h ^ (h >> 15)) * 0x846ca68b;
  return h ^ (h >> 16);
}

// Whether cell i, counted with the border, is updated at the step with this key.
export function fires(key: u32, i: i32): bool {
  const across = width + 2;
  const y = i / across;
  const cell: u32 = (y - 1) * width + (i - y * across) - 1;
  return lowbias32(key ^ (cell * 0x9e3779b9)) >> 8 < fireThreshold;
}

// The border of a torus repeats the opposite side; `size` bytes per cell.
export function wrap(array: usize, size: usize): void {
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
export function spread(from: usize, to: usize): void {
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

// Lists the cells of a map that fire, from place `n` on; returns how many are listed then.
export function findFired(key: u32, map: usize, n: i32): i32 {
  const across = width + 2;
  for (let y = 0; y < height; y++) {
    const row = (y + 1) * across + 1;
    for (let x = 0; x < width; x += 16) {
      if (!v128.any_true(v128.load(map + <usize>(row + x)))) continue;
      const end = min(x + 16, width);
      for (let j = x; j < end; j++) {
        if (!load<u8>(map + <usize>(row + j))) continue;
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
export function perceive(i: i32, to: usize): void {
  const size = <usize>channels << 2;
  const row = <usize>(width + 2) * size;
  const plane: usize = 9 * size;
  const top = state + <usize>i * size - row - size;
  for (let c: usize = 0; c < size; c += 16) {
    let s = top + c;
    const s0 = v128.load(s), s1 = v128.load(s + size), s2 = v128.load(s + 2 * size);
    s += row;
    const s3 = v128.load(s), s4 = v128.load(s + size), s5 = v128.load(s + 2 * size);
    s += row;
    const s6 = v128.load(s), s7 = v128.load(s + size), s8 = v128.load(s + 2 * size);
    let b = bank + c;
    let y = to + c;
    for (let k = 0; k < filters; k++) {
      let sum = f32x4.mul(v128.load(b), s0);
      sum = madd(v128.load(b + size), s1, sum);
      sum = madd(v128.load(b + 2 * size), s2, sum);
      sum = madd(v128.load(b + 3 * size), s3, sum);
      sum = madd(v128.load(b + 4 * size), s4, sum);
      sum = madd(v128.load(b + 5 * size), s5, sum);
      sum = madd(v128.load(b + 6 * size), s6, sum);
      sum = madd(v128.load(b + 7 * size), s7, sum);
      sum = madd(v128.load(b + 8 * size), s8, sum);
      v128.store(y, sum);
      b += plane;
      y += size;
    }
  }
}

// c = start + a b, for `rows` (rounded up to 4) by `cols` (a multiple of 8) numbers, 4 by 8 of them
// in registers. All that follows is in bytes. Element [i][k] of a is at a + i * aRow + k * aStep.
// Eight columns of b lie side by side; the next row of them is bStep further, the next eight
// columns bBlock. `relu`: negative results become 0. `where`: if given, results become 0 where it,
// in rows like those of c, is not positive.
export function product(
  rows: i32, depth: i32, cols: i32, a: usize, aRow: usize, aStep: usize,
  b: usize, bStep: usize, bBlock: usize, start: usize, startRow: usize, c: usize, cRow: usize,
  relu: bool, where: usize,
): void {
  const zero = f32x4.splat(0);
  for (let o = 0; o < cols; o += 8) {
    const at = <usize>o << 2;
    for (let i = 0; i < rows; i += 4) {
      let x0 = a + <usize>i * aRow;
      let x1 = x0 + aRow;
      let x2 = x1 + aRow;
      let x3 = x2 + aRow;
      let s = start + at + <usize>i * startRow;
      let a0 = v128.load(s), a1 = v128.load(s, 16);
      s += startRow;
      let c0 = v128.load(s), c1 = v128.load(s, 16);
      s += startRow;
      let d0 = v128.load(s), d1 = v128.load(s, 16);
      s += startRow;
      let e0 = v128.load(s), e1 = v128.load(s, 16);
      let w = b;
      for (let k = 0; k < depth; k++) {
        const w0 = v128.load(w);
        const w1 = v128.load(w, 16);
        let v = v128.load32_splat(x0);
        a0 = madd(v, w0, a0);
        a1 = madd(v, w1, a1);
        v = v128.load32_splat(x1);
        c0 = madd(v, w0, c0);
        c1 = madd(v, w1, c1);
        v = v128.load32_splat(x2);
        d0 = madd(v, w0, d0);
        d1 = madd(v, w1, d1);
        v = v128.load32_splat(x3);
        e0 = madd(v, w0, e0);
        e1 = madd(v, w1, e1);
        w += bStep;
        x0 += aStep;
        x1 += aStep;
        x2 += aStep;
        x3 += aStep;
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
      if (where) {
        let p = where + at + <usize>i * cRow;
        a0 = v128.and(a0, f32x4.gt(v128.load(p), zero));
        a1 = v128.and(a1, f32x4.gt(v128.load(p, 16), zero));
        p += cRow;
        c0 = v128.and(c0, f32x4.gt(v128.load(p), zero));
        c1 = v128.and(c1, f32x4.gt(v128.load(p, 16), zero));
        p += cRow;
        d0 = v128.and(d0, f32x4.gt(v128.load(p), zero));
        d1 = v128.and(d1, f32x4.gt(v128.load(p, 16), zero));
        p += cRow;
        e0 = v128.and(e0, f32x4.gt(v128.load(p), zero));
        e1 = v128.and(e1, f32x4.gt(v128.load(p, 16), zero));
      }
      let y = c + at + <usize>i * cRow;
      v128.store(y, a0);
      v128.store(y, a1, 16);
      y += cRow;
      v128.store(y, c0);
      v128.store(y, c1, 16);
      y += cRow;
      v128.store(y, d0);
      v128.store(y, d1, 16);
      y += cRow;
      v128.store(y, e0);
      v128.store(y, e1, 16);
    }
    b += bBlock;
  }
}
