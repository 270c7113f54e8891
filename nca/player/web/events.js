// What a visitor does to the grid, as [step, kind, ...numbers]: kept for rewinding and replays.
// An event at step s acts before step s. nca/player/replays.py does the same, cell for cell:
//   erase x y radius | box x y width height | seed x y | angle radians | model version

const mod = (a, n) => ((a % n) + n) % n;

// The cells of an edit as runs [y, x0, x1), clipped to the grid or wrapped around a torus.
export function runsOf([, kind, x, y, a, b], height, width, circular) {
  const runs = [];
  const add = (row, from, to) => {
    if (!circular) {
      const [x0, x1] = [Math.max(from, 0), Math.min(to, width)];
      if (row >= 0 && row < height && x0 < x1) runs.push([row, x0, x1]);
      return;
    }
    const at = mod(row, height);
    const start = mod(from, width);
    const length = Math.min(to - from, width);
    runs.push([at, start, Math.min(start + length, width)]);
    if (start + length > width) runs.push([at, 0, start + length - width]);
  };
  if (kind === "seed") add(y, x, x + 1);
  else if (kind === "box") for (let row = y; row < y + b; row++) add(row, x, x + a);
  else if (kind === "erase") {
    for (let row = Math.ceil(y - a); row <= Math.floor(y + a); row++) {
      const inside = (column) => (column - x) * (column - x) + (row - y) * (row - y) <= a * a;
      let from = Math.ceil(x - a);
      let to = Math.floor(x + a) + 1;
      while (from < to && !inside(from)) from++;
      while (to > from && !inside(to - 1)) to--;
      if (from < to) add(row, from, to);
    }
  }
  return runs;
}

export const WOUNDS = ["half-left", "half-right", "half-top", "half-bottom", "centre", "circle"];

const hundredth = (v) => Math.round(v * 100) / 100;

// A wound of nca/state.py, `damage`, as an event without its step; the circle is drawn at random.
export function woundOf(shape, height, width, random = Math.random) {
  const [left, top] = [width >> 1, height >> 1];
  switch (shape) {
    case "half-left":
      return ["box", 0, 0, left, height];
    case "half-right":
      return ["box", left, 0, width - left, height];
    case "half-top":
      return ["box", 0, 0, width, top];
    case "half-bottom":
      return ["box", 0, top, width, height - top];
    case "centre": {
      const side = Math.max(1, Math.round((Math.min(height, width) * 2) / 9));
      return ["box", (width - side) >> 1, (height - side) >> 1, side, side];
    }
    case "circle": {
      const at = (n) => hundredth((random() + 0.5) * 0.5 * n - 0.5);
      const radius = 0.1 + 0.3 * random();
      return ["erase", at(width), at(height), hundredth((radius * Math.min(width, height)) / 2)];
    }
    default:
      return null;
  }
}
