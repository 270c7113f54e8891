// What one cell perceives, and who is alive: for the story, which shows single cells.
import { fireValue, stepKey } from "./fire.js";

// What the cell at column x and row y perceives in a dense state [H, W, C]: the channels through
// the first filter, then through the second, and so on.
export function perceive(model, state, height, width, x, y) {
  const { seen, filters } = model;
  const perceived = new Float64Array(filters * seen);
  for (let k = 0; k < filters; k++) {
    for (let c = 0; c < seen; c++) {
      perceived[k * seen + c] = filtered(model, state, height, width, x, y, k, c);
    }
  }
  return perceived;
}

// The response of one filter at one cell, in one channel.
export function filtered(model, state, height, width, x, y, filter, channel) {
  const { bank, channels, seen, circular } = model;
  let sum = 0;
  let tap = (filter * seen + channel) * 9;
  for (let row = y - 1; row <= y + 1; row++) {
    for (let column = x - 1; column <= x + 1; column++, tap++) {
      const inside = row >= 0 && row < height && column >= 0 && column < width;
      if (!inside && !circular) continue;
      const at = ((row + height) % height) * width + ((column + width) % width);
      sum += bank[tap] * state[at * channels + channel];
    }
  }
  return sum;
}

// One filter's response in one channel at every cell, row by row.
export function filteredEverywhere(model, state, height, width, filter, channel) {
  const found = new Float32Array(height * width);
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      found[i] = filtered(model, state, height, width, x, y, filter, channel);
    }
  }
  return found;
}

// Of every cell: 0 empty, 1 growing (only a neighbour is above the threshold), 2 mature.
export function cellKinds({ channels, threshold, circular }, state, height, width) {
  const kinds = new Uint8Array(height * width);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!(state[(y * width + x) * channels + 3] > threshold)) continue;
      for (let row = y - 1; row <= y + 1; row++) {
        for (let column = x - 1; column <= x + 1; column++) {
          const inside = row >= 0 && row < height && column >= 0 && column < width;
          if (!inside && !circular) continue;
          const at = ((row + height) % height) * width + ((column + width) % width);
          kinds[at] = Math.max(kinds[at], 1);
        }
      }
      kinds[y * width + x] = 2;
    }
  }
  return kinds;
}

// Which cells fire at step t, one byte each.
export function firing(model, seed, t, cells) {
  const key = stepKey(seed, t);
  const fires = new Uint8Array(cells);
  for (let i = 0; i < cells; i++) fires[i] = fireValue(key, i) < model.fireThreshold ? 1 : 0;
  return fires;
}
