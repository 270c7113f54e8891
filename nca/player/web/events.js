// Edits of the grid, as events [step, kind, ...numbers]: kept for rewinding and replays.
// An event at step s acts before step s. nca/player/replays.py does the same, cell for cell:
//   erase x y radius | box x y width height | seed x y | angle radians | model version
// and, of an automaton with kinds:
//   plant x y kind | paint x y radius kind | mix kind a b share: a kind with genes of two others

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
  if (kind === "seed" || kind === "plant") add(y, x, x + 1);
  else if (kind === "box") for (let row = y; row < y + b; row++) add(row, x, x + a);
  else if (kind === "erase" || kind === "paint") {
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

const hundredth = (v) => Math.round(v * 100) / 100;

const outline = '<rect x="4" y="4" width="16" height="16" rx="2" fill="none" opacity=".45"/>';
export const solid = (d) => `<path d="${d}" fill="currentColor" stroke="none"/>`;
const whole = "M6 4h12a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2H6a2 2 0 0 1-2-2V6a2 2 0 0 1 2-2z";

// The shapes of the damage buttons, in the order of the buttons and the keys 1, 2, 3...: each has
// the name and the cells of one in nca/damage_shapes.py, its label, an icon (a square without the
// erased part), and the event without its step. To add a shape, add it here.
export const SHAPES = {
  "half-left": {
    label: "left half",
    icon: outline + solid("M12 4h6a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-6z"),
    event: (height, width) => ["box", 0, 0, width >> 1, height],
  },
  "half-right": {
    label: "right half",
    icon: outline + solid("M12 4H6a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h6z"),
    event: (height, width) => ["box", width >> 1, 0, width - (width >> 1), height],
  },
  "half-top": {
    label: "top half",
    icon: outline + solid("M4 12v6a2 2 0 0 0 2 2h12a2 2 0 0 0 2-2v-6z"),
    event: (height, width) => ["box", 0, 0, width, height >> 1],
  },
  "half-bottom": {
    label: "bottom half",
    icon: outline + solid("M4 12V6a2 2 0 0 1 2-2h12a2 2 0 0 1 2 2v6z"),
    event: (height, width) => ["box", 0, height >> 1, width, height - (height >> 1)],
  },
  centre: {
    label: "centre",
    icon: solid(`${whole}m3 5v6h6V9z`),
    event: (height, width) => {
      const side = Math.max(1, Math.round((Math.min(height, width) * 2) / 9));
      return ["box", (width - side) >> 1, (height - side) >> 1, side, side];
    },
  },
  circle: {
    label: "a random circle",
    icon: solid(`${whole}m8 3.5a3.5 3.5 0 1 0 .01 0z`),
    event: (height, width, random) => {
      const at = (n) => hundredth((random() + 0.5) * 0.5 * n - 0.5);
      const radius = 0.1 + 0.3 * random();
      return ["erase", at(width), at(height), hundredth((radius * Math.min(width, height)) / 2)];
    },
  },
};
