// The fire mask of nca/fire.py: a hash of (cell, step, seed), the same bits in every engine.

export const GOLDEN = 0x9e3779b9;

export function lowbias32(h) {
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return (h ^ (h >>> 16)) >>> 0;
}

// The step's contribution to the hash; `seed` is the resolved 32-bit seed of one run.
export function stepKey(seed, t) {
  return lowbias32((seed ^ lowbias32((t + GOLDEN) >>> 0)) >>> 0);
}

// A cell fires when this is below the model's fireThreshold.
export function fireValue(key, cell) {
  return lowbias32(key ^ Math.imul(cell, GOLDEN)) >>> 8;
}
