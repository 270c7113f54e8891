// Sparse states: { cells: Int32Array [n], values: Float32Array [n * channels] }; cells are numbered
// y * width + x, all others are 0. They are replaced, never changed, so copies share them.

// One living cell in the middle, as in nca/state.py.
export function seedOf({ channels, seed_hidden }, height, width) {
  const values = new Float32Array(channels);
  values.fill(1, 3);
  if (!seed_hidden) values.fill(0, 4);
  return { cells: Int32Array.of((height >> 1) * width + (width >> 1)), values };
}

// The state without the cells of a map.
export function without({ cells, values }, mask) {
  const channels = values.length / Math.max(1, cells.length);
  const kept = [...cells.keys()].filter((i) => !mask[cells[i]]);
  const left = new Float32Array(kept.length * channels);
  kept.forEach((from, to) => {
    left.set(values.subarray(from * channels, (from + 1) * channels), to * channels);
  });
  return { cells: Int32Array.from(kept, (i) => cells[i]), values: left };
}

// A map of the cells whose alpha is above `threshold`, of `size` cells.
export function aboveAlpha({ cells, values }, threshold, size) {
  const channels = values.length / Math.max(1, cells.length);
  const mask = new Uint8Array(size);
  cells.forEach((cell, i) => {
    if (values[i * channels + 3] > threshold) mask[cell] = 1;
  });
  return mask;
}

export function countAlive({ cells, values }, threshold) {
  const channels = values.length / Math.max(1, cells.length);
  let count = 0;
  for (let i = 0; i < cells.length; i++) count += values[i * channels + 3] > threshold;
  return count;
}

export const allFinite = ({ values }) => values.every(Number.isFinite);

// RGBA mean squared error against `target`, Float32Array [height][width][4].
export function pictureError({ cells, values }, target) {
  const channels = values.length / Math.max(1, cells.length);
  let sum = 0;
  for (const value of target) sum += value * value;
  cells.forEach((cell, i) => {
    for (let c = 0; c < 4; c++) {
      const wanted = target[cell * 4 + c];
      sum += (values[i * channels + c] - wanted) ** 2 - wanted * wanted;
    }
  });
  return Math.max(sum, 0) / target.length + (sum - sum); // NaN stays NaN
}

// A picture of the state: straight RGBA, Uint8ClampedArray [size][4].
export function pictureOf({ cells, values }, size) {
  const channels = values.length / Math.max(1, cells.length);
  const pixels = new Uint8ClampedArray(size * 4);
  cells.forEach((cell, i) => {
    const alpha = Math.min(Math.max(values[i * channels + 3], 0), 1);
    if (!(alpha > 0)) return;
    for (let c = 0; c < 3; c++) pixels[cell * 4 + c] = (values[i * channels + c] / alpha) * 255;
    pixels[cell * 4 + 3] = alpha * 255;
  });
  return pixels;
}
