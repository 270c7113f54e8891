// Paints a state. `grid` locates a cell's values: data[start + y*row + x*cell + c].

const CLAMP = (v) => (v < 0 ? 0 : v > 1 ? 1 : v);
// Channels: their own colour or warm above zero, cool below, the background grey at zero.
export const OWN = [[0.86, 0.16, 0.18], [0.1, 0.6, 0.25], [0.13, 0.35, 0.9]];
export const WARM = [0.91, 0.35, 0.05];
export const COOL = [0.1, 0.42, 0.88];

// The numbers of tiles across and down that show all channels.
export function tiles(channels) {
  const across = Math.ceil(Math.sqrt(channels));
  return { across, down: Math.ceil(channels / across) };
}

export function pictureSize(view, grid) {
  if (view !== "all") return { width: grid.width, height: grid.height };
  const { across, down } = tiles(grid.channels);
  return { width: grid.width * across, height: grid.height * down };
}

// view: "rgba", "alpha", "all" or a channel number; ground: the background grey, in [0, 1].
export function paintInto(image, view, ground, grid) {
  if (view === "rgba") return paintColour(image, ground, grid);
  if (view !== "all") {
    const channel = view === "alpha" ? 3 : view;
    return paintChannel(image, channel, ground, grid, 0, 0);
  }
  const { across } = tiles(grid.channels);
  new Uint32Array(image.data.buffer).fill(packed(ground));
  for (let c = 0; c < grid.channels; c++) {
    paintChannel(image, c, ground, grid, (c % across) * grid.width, Math.floor(c / across) * grid.height);
  }
}

const packed = (grey) => (0xff000000 | (Math.round(grey * 255) * 0x010101)) >>> 0;

function paintColour(image, ground, { data, start, row, cell, height, width }) {
  const out = image.data;
  const words = new Uint32Array(out.buffer);
  const empty = packed(ground);
  let p = 0;
  for (let y = 0; y < height; y++) {
    let i = start + y * row;
    for (let x = 0; x < width; x++, i += cell, p++) {
      const a = data[i + 3];
      const [r, g, b] = [data[i], data[i + 1], data[i + 2]];
      if (a === 0 && r === 0 && g === 0 && b === 0) {
        words[p] = empty;
        continue;
      }
      const behind = ground * (1 - CLAMP(a));
      const q = p * 4;
      out[q] = (r + behind) * 255; // a clamped array rounds and clips
      out[q + 1] = (g + behind) * 255;
      out[q + 2] = (b + behind) * 255;
      out[q + 3] = 255;
    }
  }
}

function paintChannel(image, channel, ground, { data, start, row, cell, height, width }, left, top) {
  const out = image.data;
  const words = new Uint32Array(out.buffer);
  const empty = packed(ground);
  const ink = ground > 0.5 ? 0.08 : 0.95;
  for (let y = 0; y < height; y++) {
    let i = start + y * row + channel;
    let p = (top + y) * image.width + left;
    for (let x = 0; x < width; x++, i += cell, p++) {
      const v = data[i];
      if (v === 0) {
        words[p] = empty;
        continue;
      }
      const much = Math.min(Math.abs(v), 1);
      const tint = v > 0 ? (OWN[channel] ?? WARM) : COOL;
      for (let k = 0; k < 3; k++) {
        const colour = channel === 3 ? ink : tint[k];
        const share = channel === 3 ? CLAMP(v) : much;
        out[p * 4 + k] = (ground + (colour - ground) * share) * 255;
      }
      out[p * 4 + 3] = 255;
    }
  }
}
