// Damage in training, the shapes of nca/damage_shapes.py: which cells of a state are erased.

const HALVES = ["half-left", "half-right", "half-top", "half-bottom"];
const DRAWN_IN = 8; // parts in which damage is drawn during a rollout, as in nca/trainer.py

class Scene {
  constructor(chance, height, width, body) {
    Object.assign(this, { chance, height, width, body });
    this.short = Math.min(height, width);
  }

  // A map of the cells (row, column) for which `erases` is true.
  where(erases) {
    const mask = new Uint8Array(this.height * this.width);
    for (let y = 0, i = 0; y < this.height; y++) {
      for (let x = 0; x < this.width; x++, i++) mask[i] = erases(y, x) ? 1 : 0;
    }
    return mask;
  }

  // Row and column of a random cell of the body; the grid's centre if it has none.
  livingCell() {
    const cells = [];
    for (let i = 0; i < this.body.length; i++) if (this.body[i]) cells.push(i);
    if (!cells.length) return [this.height / 2, this.width / 2];
    const cell = this.chance.choose(cells);
    return [Math.floor(cell / this.width), cell % this.width];
  }

  // A map of the cells within `radius` of any of the discs' spots, (row, column).
  discs(discs) {
    const { height, width } = this;
    const mask = new Uint8Array(height * width);
    for (const { spot: [row, column], radius } of discs) {
      const [top, left] = [row, column].map((at) => Math.max(0, Math.floor(at - radius)));
      for (let y = top; y < height && y <= row + radius + 1; y++) {
        for (let x = left; x < width && x <= column + radius + 1; x++) {
          if ((y - row) ** 2 + (x - column) ** 2 <= radius ** 2) mask[y * width + x] = 1;
        }
      }
    }
    return mask;
  }
}

// As torch.linspace.
const linspace = (from, to, count) =>
  Array.from({ length: count }, (_, i) => from + ((to - from) * i) / Math.max(1, count - 1));

// Points on a bent path through a random living cell.
function bentPath(scene) {
  const { chance } = scene;
  const [row, column] = scene.livingCell();
  const length = (chance.uniform(6, 40) * scene.short) / 72;
  const offset = chance.uniform() * length;
  const bend = chance.normal() * 0.6;
  const turn = chance.uniform(0, 2 * Math.PI);
  return linspace(0, length, Math.max(2, Math.round(length))).map((place) => {
    const along = place - offset;
    const angle = turn + (bend * along) / Math.max(length, 1);
    return [row + Math.sin(angle) * along, column + Math.cos(angle) * along];
  });
}

// Shapes drawn like a finger's strokes: [{ spots, radius }].
const STROKES = {
  swipe: (scene) => [{ radius: scene.chance.uniform(2, 7), spots: bentPath(scene) }],
  swipes: (scene) =>
    Array.from({ length: scene.chance.integer(2, 6) }, () => {
      const spots = bentPath(scene);
      return { spots, radius: scene.chance.uniform(2, 5) };
    }),
};

const MASKS = {
  "half-left": (s) => s.where((y, x) => x < s.width >> 1),
  "half-right": (s) => s.where((y, x) => x >= s.width >> 1),
  "half-top": (s) => s.where((y) => y < s.height >> 1),
  "half-bottom": (s) => s.where((y) => y >= s.height >> 1),
  centre(s) {
    const side = Math.max(1, Math.round((s.short * 2) / 9));
    const [top, left] = [(s.height - side) >> 1, (s.width - side) >> 1];
    return s.where((y, x) => y >= top && y < top + side && x >= left && x < left + side);
  },
  circle(s) {
    const [cx, cy] = [s.chance.uniform(-0.5, 0.5), s.chance.uniform(-0.5, 0.5)];
    const radius = s.chance.uniform(0.1, 0.4);
    return s.where((y, x) => (centred(x, s.width) - cx) ** 2 + (centred(y, s.height) - cy) ** 2
      < radius ** 2);
  },
  stroke(s) {
    const points = Array.from({ length: 3 }, () =>
      [s.chance.uniform(-0.7, 0.7), s.chance.uniform(-0.7, 0.7)]);
    const spots = linspace(0, 1, 33).map((t) => {
      const shares = [(1 - t) ** 2, 2 * t * (1 - t), t ** 2];
      return [0, 1].map((axis) => points.reduce((sum, p, i) => sum + shares[i] * p[axis], 0));
    });
    return s.where((y, x) => spots.some(([cx, cy]) =>
      (centred(x, s.width) - cx) ** 2 + (centred(y, s.height) - cy) ** 2 < 0.06 ** 2));
  },
  hole(s) {
    const radius = s.chance.uniform(3, 9);
    return s.discs([{ spot: s.livingCell(), radius }]);
  },
  cut(s) {
    const angle = s.chance.uniform(0, 2 * Math.PI);
    const across = (y, x) => y * Math.sin(angle) + x * Math.cos(angle);
    const share = s.chance.uniform(0.25, 0.75);
    const body = [];
    for (let i = 0; i < s.body.length; i++) {
      if (s.body[i]) body.push(across(Math.floor(i / s.width), i % s.width));
    }
    const line = body.length
      ? quantile(body, share)
      : across((s.height - 1) / 2, (s.width - 1) / 2);
    return s.where((y, x) => across(y, x) > line);
  },
};

// The centre of a cell, -1 to 1 across the grid.
const centred = (i, size) => ((i + 0.5) / size) * 2 - 1;

// As torch.quantile: between the two nearest values.
function quantile(values, share) {
  const sorted = Float64Array.from(values).sort();
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}

// Draws damage as a TrainConfig wants it: [{ step, mask }], before which step of a rollout which
// cells become 0. `body`: a map of the cells with an alpha above 0.1.
export function drawDamage(chance, train, height, width, body) {
  const scene = new Scene(chance, height, width, body);
  let shape = chance.choose(train.damage_shapes);
  if (shape === "half") shape = chance.choose(HALVES);
  if (!(shape in STROKES)) return [{ step: 0, mask: MASKS[shape](scene) }];
  const strokes = STROKES[shape](scene);
  const discs = strokes.flatMap(({ spots, radius }) => spots.map((spot) => ({ spot, radius })));
  if (!train.damage_drawn || chance.uniform() >= train.damage_drawn) {
    return [{ step: 0, mask: scene.discs(discs) }];
  }
  const longest = Math.max(1, train.steps_min >> 1);
  const steps = chance.integer(Math.min(10, longest), longest + 1);
  // A few strokes of several steps each, as in nca/trainer.py.
  const stops = Math.min(steps, DRAWN_IN);
  return Array.from({ length: stops }, (_, k) => {
    const first = Math.floor((k * discs.length) / stops);
    const last = Math.max(first + 1, Math.floor(((k + 1) * discs.length) / stops));
    return { step: Math.floor((k * steps) / stops), mask: scene.discs(discs.slice(first, last)) };
  });
}
