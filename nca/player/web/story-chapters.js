// The eight chapters. A chapter has
//   title, words(story): HTML, a paragraph each
//   layout: "pair" (the automaton, and a drawing beside it), "rows" (on phones, a taller drawing),
//     "wide" (a wider one), "trio"
//   speed: steps per second; still: the steps that a page without motion begins with
//   begin(story), step(story), draw(story, drawn): `drawn` is the drawing's pen, null in a trio
//   use(story, x, y): a cell was pressed or dragged over; touch(story, x, y): the drawing was
//     pressed, at shares of its width and height; move(story, dx, dy): Shift and an arrow key, where
//     they choose no cell; act: { label, press(story) }, a button of its own
import { SHAPES } from "./events.js";
import { channelName } from "./model.js";
import { OWN, tiles } from "./paint.js";
import { cellKinds, filteredEverywhere, firing } from "./story-cell.js";
import {
  bars, curve, frameOf, largest, neighbours, pixelPicture, shownNumber, signed, squares, wires, write,
} from "./story-draw.js";

const GROWN = 110; // steps
const LEAST_ANSWER = 0.2; // the scale of the answers, so that those near 0 have short bars
const BY_KEYS = '<span class="keys"> (or press Shift and an arrow key)</span>';
const CUT_AT = 140;
const CUT_AGAIN = 160; // steps after a cut
const BRUSH = 3; // cells
const MEET_AT = 100; // steps at which the three of the last chapter look alike
const TRIO_CUT = 300;
const TRIO_END = 520;

// Grows until a step, rests for some, then grows again with other coins.
const growing = (until, rest) => (story) => {
  const { run } = story;
  if (run.t < until) run.advance(1);
  else if (++story.rested > rest) {
    story.rested = 0;
    run.reset(++story.seed);
  }
};

const followed = (story, dx, dy) => {
  const { width, height } = story.run;
  story.cell = { x: (width >> 1) + dx, y: (height >> 1) + dy };
};
const pick = (story, x, y) => {
  story.cell = { x, y };
  story.picked = true;
};
const names = ({ model }) => Array.from({ length: model.channels }, (_, c) => channelName(c));
const place = ({ cell }) => `the cell in column ${cell.x}, row ${cell.y}`;
const hiddenOf = ({ model }) => model.channels - 4;
const percent = (share) => `${Math.round(share * 100)}\u202f%`;
const rgb = (code) => [1, 3, 5].map((at) => parseInt(code.slice(at, at + 2), 16));

// A whole picture, with a pixel a cell, in a square.
const show = ({ context }, picture, left, top, side) => context.drawImage(picture, left, top, side, side);

const ONE = {
  title: "One cell is a few numbers",
  words: (story) => [
    `This picture is made of squares, called <em>cells</em>. A cell is nothing but
    ${story.model.channels} numbers: how red, green and blue it is, how solid it is
    (<em>alpha</em>), and ${hiddenOf(story)} <em>hidden</em> numbers that are never painted.`,
    "The bars show the numbers of the cell in the ring. Tap another cell to look inside it" + BY_KEYS + ".",
  ],
  layout: "rows",
  speed: 8,
  still: 60,
  use: pick,
  begin: (story) => followed(story, 0, 0),
  step: growing(130, 20),
  draw(story, drawn) {
    const { x, y } = story.cell;
    const values = story.run.engine.readCell(x, y);
    story.most = Math.max(story.most ?? 4, largest(values));
    story.life.draw("rgba", story.theme);
    story.life.mark(x, y);
    const row = drawn.height / values.length;
    const own = [...OWN.map((part) => `rgb(${part.map((v) => v * 255).join(" ")})`), drawn.colours.ink];
    bars(drawn, names(story), values, story.most, { x: 0, y: 0, width: drawn.width, row, own });
    story.say(`Step ${story.run.t}`, `The ${values.length} numbers of ${place(story)}`);
  },
};

const TWO = {
  title: "It sees only its neighbours",
  words: ({ model }) => [
    `No cell can see the whole picture. It knows its own numbers and those of the eight cells around
    it. About every number it works out ${model.filters === 4 ? "four" : "three"} things: how large it
    is here, how it changes across (from left to right), how it changes down${
      model.filters === 4 ? ", and how it differs from the numbers around it" : ""}.`,
    "That is all it knows of the world: its <em>perception</em>.",
  ],
  layout: "pair",
  speed: 10,
  still: 130,
  use: pick,
  begin(story) {
    story.run.advance(100);
    followed(story, 12, 0);
  },
  step(story) {
    const { run } = story;
    run.advance(1);
    if (story.picked) return;
    // Walks around on the body.
    const turn = run.t / 20;
    const reach = run.width / 5.5;
    followed(story, Math.round(reach * Math.cos(turn)), Math.round(reach * Math.sin(turn * 1.3)));
  },
  draw(story, drawn) {
    const { run, model, cell } = story;
    const [state, height, width] = [story.state(), run.height, run.width];
    story.life.draw("rgba", story.theme);
    story.life.mark(cell.x, cell.y, 1);
    const text = Math.max(10, drawn.width / 28);
    const side = Math.min(drawn.height * 0.56, drawn.width);
    const left = (drawn.width - side) / 2;
    neighbours(drawn, story.life.canvas, cell.x, cell.y, { left, top: 0, side });
    const [gap, top] = [drawn.width * 0.03, side + text * 2.2];
    const looks = ["here", "across", "down", "around"].slice(0, model.filters);
    const gaps = (looks.length - 1) * gap;
    const each = Math.min((drawn.width - gaps) / looks.length, drawn.height - top);
    const start = (drawn.width - looks.length * each - gaps) / 2;
    const { perceived } = story.thoughts();
    const dark = story.ground < 0.5;
    looks.forEach((name, k) => {
      const response = filteredEverywhere(model, state, height, width, k, 3);
      const most = k ? 0.5 : 1;
      const picture = pixelPicture(width, height, (i) => {
        const v = response[i];
        if (!v) return dark ? [28, 33, 30] : [255, 255, 255];
        return signed(v, most, story.ground).slice(4, -1).split(" ").map(Number);
      });
      const from = start + k * (each + gap);
      show(drawn, picture, from, top, each);
      const scale = each / width;
      frameOf(drawn.context, from + (cell.x - 1) * scale, top + (cell.y - 1) * scale, 3 * scale, 1);
      write(drawn, name, from + each / 2, top - text * 0.8, text, { align: "center", colour: drawn.colours.soft });
    });
    const [here, across, down] = [0, 1, 2].map((k) => shownNumber(perceived[k * model.seen + 3]));
    story.say(
      story.picked ? "The cell you chose, and its neighbours" : "The square shows what one cell sees",
      `Its alpha: ${here} here, changes by ${across} across and ${down} down`,
    );
  },
};

const THREE = {
  title: "One small network, the same in every cell",
  words: (story) => {
    const { inputs, outputs } = story.model.layers[0];
    return [
      `What a cell perceives, ${inputs} numbers, goes into a small <em>neural network</em>:
      ${outputs} simple units add it up in different ways, and ${story.model.seen} answers say how
      much to change each number of the cell: its <em>update</em>.`,
      `Every cell runs this very same network. Tap any cell to see what it answers${BY_KEYS}.`,
    ];
  },
  layout: "wide",
  speed: 4,
  still: 40,
  use: pick,
  begin(story) {
    story.run.advance(20);
    followed(story, 5, -4);
  },
  step: growing(140, 12),
  draw(story, drawn) {
    const { run, model, cell, ground } = story;
    story.life.draw("rgba", story.theme);
    story.life.mark(cell.x, cell.y, 1);
    const { perceived, layers } = story.thoughts();
    drawNetwork(story, drawn, perceived, layers, ground);
    const heads = firing(model, run.seed, run.t, run.width * run.height)[cell.y * run.width + cell.x];
    const answer = heads ? "applies this update now" : "waits this time (see the next chapter)";
    story.say(`Step ${run.t}`, `${place(story)[0].toUpperCase()}${place(story).slice(1)}, ${answer}`);
  },
};

// The 3 x 3 cells, what the middle one perceives, the units, and the answers, from left to right.
function drawNetwork(story, drawn, perceived, found, ground) {
  const { model, cell } = story;
  const { context, width, height, colours } = drawn;
  const { channels, filters } = model;
  const [units, answers] = [found[0], found.at(-1)];
  const text = Math.max(10, Math.min(width / 42, 20));
  const top = text * 1.9;
  const row = (height - top) / channels;
  const size = Math.min(row, width / 36);
  const middle = (i, rows) => top + ((i + 0.5) * (height - top)) / rows;
  const patch = Math.min(width * 0.14, height * 0.4);
  neighbours(drawn, story.life.canvas, cell.x, cell.y, {
    left: 2, top: top + (height - top - patch) / 2, side: patch,
  });
  const x1 = patch + width * 0.04;
  const x2 = x1 + filters * size + width * 0.1;
  // The units fill what the answers leave, in smaller squares where there are many.
  const free = width * 0.92 - x2 - Math.max(116, width * 0.3);
  const across = Math.ceil(Math.sqrt((units.length * free) / (height - top)));
  const unit = Math.min(size, free / across, (height - top) / Math.ceil(units.length / across));
  const x3 = x2 + across * unit + width * 0.08;
  const [mostIn, mostUnit, mostOut] = [perceived, units, answers].map(largest);
  const inputs = Array.from(perceived, (_, i) => [
    x1 + (Math.floor(i / channels) + 0.5) * size, middle(i % channels, channels),
  ]);
  const hidden = Array.from(units, (_, j) => [
    x2 + ((j % across) + 0.5) * unit, middle(Math.floor(j / across), Math.ceil(units.length / across)),
  ]);
  const out = Array.from(answers, (_, c) => [x3, middle(c, channels)]);
  const [first, last] = [model.layers[0], model.layers.at(-1)];
  wires(drawn, inputs, hidden, (i, j) => units[j] && first.weight[j * first.inputs + i] * perceived[i], 70, ground);
  if (model.layers.length === 2) {
    wires(drawn, hidden, out, (j, c) => last.weight[c * last.inputs + j] * units[j], 50, ground);
  }
  const blocks = [[inputs, perceived, mostIn, size], [hidden, units, mostUnit, unit]];
  for (const [points, values, most, side] of blocks) {
    points.forEach(([x, y], i) => {
      const square = { x: x - side / 2, y: y - side / 2, size: side, across: 1, count: 1 };
      squares(context, square, () => colours.line);
      squares(context, square, () => values[i] && signed(values[i], most, ground));
    });
  }
  const bar = { x: x3 + 4, y: top, width: width - x3 - 4, row };
  bars(drawn, names(story), answers, Math.max(mostOut, LEAST_ANSWER), bar);
  const head = (words, x, align) => write(drawn, words, x, text * 0.7, text, { align, colour: colours.soft });
  head("sees", 2 + patch / 2, "center");
  head(`${perceived.length} numbers`, x1 + (filters * size) / 2, "center");
  head(`${units.length} units`, x2 + (across * unit) / 2, "center");
  head(`${answers.length} answers`, width, "right");
}

const FOUR = {
  title: "Every cell flips a coin",
  words: (story) => [
    `No clock makes all cells act together. At every <em>step</em> each cell flips a coin. Heads: it
    applies its update. Tails: it waits.`,
    `The share of heads is called the <em>fire rate</em>; here it is
    ${percent(story.model.config.fire_rate)}. In training the coins fall
    differently every time, so the cells learn to manage with any order.`,
  ],
  layout: "pair",
  speed: 2.5,
  still: 5,
  begin: (story) => story.run.advance(34),
  step: growing(100, 6),
  draw(story, drawn) {
    const { run, model } = story;
    const { width, height } = run;
    story.life.draw("rgba", story.theme);
    const kinds = cellKinds(model, story.state(), height, width);
    const fires = firing(model, run.seed, Math.max(0, run.t - 1), width * height);
    const dark = story.ground < 0.5;
    const [heads, tails] = dark ? [rgb("#7fd29a"), rgb("#2f5140")] : [rgb("#2a7040"), rgb("#c4dfca")];
    const [faint, none] = dark ? [rgb("#2a302c"), rgb("#171c19")] : [rgb("#ebebe6"), rgb("#ffffff")];
    const picture = pixelPicture(width, height, (i) => {
      if (kinds[i]) return fires[i] ? heads : tails;
      return fires[i] ? faint : none;
    });
    show(drawn, picture, 0, 0, Math.min(drawn.width, drawn.height));
    const alive = kinds.reduce((sum, kind) => sum + (kind > 0), 0);
    const up = kinds.reduce((sum, kind, i) => sum + (kind > 0 && fires[i]), 0);
    const shade = dark ? "Light" : "Dark";
    story.say(`Step ${run.t}`, `${shade} green: heads, ${up} of ${alive} living cells`);
  },
};

const FIVE = {
  title: "Growing from one cell",
  words: (story) => [
    `At the start there is a single <em>seed</em> cell. A cell is alive when its own alpha or that of a
    neighbour is above ${story.model.config.alive_threshold}; all others stay empty.`,
    `So the living part spreads by one ring of cells at most in a step. About a hundred steps later the
    whole picture is there, and no cell ever knew its place in it. Again: other coins, the same
    picture.`,
  ],
  layout: "pair",
  speed: 20,
  still: 45,
  begin() {},
  step: growing(200, 40),
  draw(story, drawn) {
    const { run, model } = story;
    const { width, height } = run;
    story.life.draw("rgba", story.theme);
    const kinds = cellKinds(model, story.state(), height, width);
    const dark = story.ground < 0.5;
    const colours = [dark ? rgb("#171c19") : rgb("#ffffff"), rgb("#f5cf3d"), dark ? rgb("#3a8b51") : rgb("#2c6e49")];
    show(drawn, pixelPicture(width, height, (i) => colours[kinds[i]]), 0, 0, Math.min(drawn.width, drawn.height));
    const alive = kinds.reduce((sum, kind) => sum + (kind > 0), 0);
    story.say(`Step ${run.t}`, `Alive: ${alive} cells. Green: mature, yellow: growing`);
  },
};

function chooseChannel(story, channel) {
  if (channel < 0 || channel >= story.model.channels) return;
  story.channel = channel;
  story.picked = true;
}

const SIX = {
  title: "Hidden channels are a map",
  words: (story) => [
    `Take one number of every cell, say “hidden 1”, and you get a picture of its own: a
    <em>channel</em>. Orange is above zero, blue below.`,
    `Nobody told the cells what to write into the ${hiddenOf(story)} hidden channels. In training they
    found a use: patterns that differ from place to place, by which cells tell each other what is
    where. Tap a channel to enlarge it${BY_KEYS}.`,
  ],
  layout: "pair",
  speed: 15,
  still: 60,
  begin: (story) => (story.channel = 4),
  step(story) {
    growing(200, 30)(story);
    const { picked, run, model } = story;
    if (!picked && run.t % 45 === 44) story.channel = 4 + ((story.channel - 3) % hiddenOf({ model }));
  },
  touch(story, x, y) {
    const { across, down } = tiles(story.model.channels);
    chooseChannel(story, Math.floor(y * down) * across + Math.floor(x * across));
  },
  move: (story, dx, dy) => chooseChannel(story, story.channel + dx + dy * tiles(story.model.channels).across),
  draw(story, drawn) {
    const { run, model, channel } = story;
    const { engine, width, height } = run;
    story.tiles ??= document.createElement("canvas");
    const { across, down } = tiles(model.channels);
    Object.assign(story.tiles, { width: width * across, height: height * down });
    engine.paint("all", story.ground);
    engine.draw(story.tiles.getContext("2d"));
    drawn.context.drawImage(story.tiles, 0, 0, drawn.width, drawn.height);
    const [wide, high] = [drawn.width / across, drawn.height / down];
    const text = Math.max(9, wide / 9);
    for (let c = 0; c < model.channels; c++) {
      const [x, y] = [(c % across) * wide, Math.floor(c / across) * high];
      drawn.context.lineWidth = 1;
      drawn.context.strokeStyle = drawn.colours.line;
      drawn.context.strokeRect(x + 0.5, y + 0.5, wide - 1, high - 1);
      // On a phone there is room for "1" but not for "hidden 1".
      const short = c < 4 ? channelName(c)[0] : String(c - 3);
      write(drawn, wide < 60 ? short : channelName(c), x + 4, y + text, text);
    }
    drawn.context.lineWidth = 3;
    drawn.context.strokeStyle = drawn.colours.accent;
    drawn.context.strokeRect((channel % across) * wide + 1.5, Math.floor(channel / across) * high + 1.5, wide - 3, high - 3);
    story.life.draw(channel, story.theme);
    story.say(`${channelName(channel)} at step ${run.t}`, "All channels of the same cells");
  },
};

const SEVEN = {
  title: "Cut it, and it heals",
  words: () => [
    `Now part of the body is erased: <em>damage</em>. The cells at the cut suddenly perceive empty
    neighbours, much as they did while they grew, and the same network grows what is missing.`,
    "No cell gives orders, and no cell remembers the whole. <b>Your turn: drag across it.</b>",
  ],
  layout: "pair",
  speed: 20,
  still: CUT_AT + 6 - GROWN,
  use(story, x, y) {
    hurt(story, "erase", x, y, BRUSH);
    story.picked = true;
  },
  act: { label: "Cut", press: (story) => cutNext(story) },
  begin(story) {
    Object.assign(story, { errors: [], before: null, next: CUT_AT, cuts: 0 });
    story.run.advance(GROWN);
  },
  step(story) {
    const { run } = story;
    if (run.t >= story.next && !story.picked) {
      cutNext(story);
      story.next = run.t + CUT_AGAIN;
    }
    run.advance(1);
    if (story.before) story.errors.push(difference(story));
    if (story.errors.length > 240) story.errors.shift();
  },
  draw(story, drawn) {
    story.life.draw("rgba", story.theme);
    const text = Math.max(10, drawn.width / 26);
    const box = { left: 1, top: text * 2, width: drawn.width - 2, height: drawn.height - text * 4 };
    curve(drawn, story.errors, 240, 0.6, box);
    const { soft } = drawn.colours;
    write(drawn, "different from before the cut", 0, text * 0.8, text, { colour: soft });
    write(drawn, "whole again", 0, drawn.height - text * 0.8, text, { colour: soft });
    write(drawn, "steps", drawn.width, drawn.height - text * 0.8, text, { align: "right", colour: soft });
    const now = story.errors.at(-1) ?? 0;
    const health = !story.before ? "It is growing" : now < 0.03 ? "Healed" : "Healing";
    story.say(`Step ${story.run.t}`, health);
  },
};

function hurt(story, ...event) {
  if (story.run.t >= GROWN) story.before ??= story.state().slice();
  story.run.act(...event);
  story.changed();
}

function cutNext(story) {
  const { run } = story;
  const shape = ["half-left", "centre", "half-top", "half-right"][story.cuts++ % 4];
  hurt(story, ...SHAPES[shape].event(run.height, run.width));
}

// Root mean square difference of RGBA from before the first cut, over the cells that were alive.
function difference({ before, model, run }) {
  const now = run.engine.read();
  let [sum, cells] = [0, 0];
  for (let i = 0; i < now.length; i += model.channels) {
    if (before[i + 3] > model.threshold) cells++;
    for (let c = 0; c < 4; c++) sum += (now[i + c] - before[i + c]) ** 2;
  }
  return Math.sqrt(sum / (4 * (cells || 1)));
}

const TRIO = [
  ["growing", "practised growing only", "falls apart", "cannot heal"],
  ["persistent", "practised staying, too", "stays", "was never cut in training"],
  ["regenerating", "practised healing, too", "stays", "heals"],
];

const EIGHT = {
  title: "How it learned all this",
  words: (story) => [
    `At first the network’s ${story.model.weights.toLocaleString("en")} numbers are no good.
    <em>Training</em> lets it grow, measures how far the result is from the <em>target</em> picture
    (the <em>loss</em>), and changes every number a little. Then again, thousands of times.`,
    `It learns what it practises. These three practised different things, and look alike after
    ${MEET_AT} steps. Then watch.`,
  ],
  layout: "trio",
  speed: 24,
  still: TRIO_CUT + 60,
  act: { label: "Cut", press: (story) => cutAll(story) },
  begin: (story) => (story.wasCut = false),
  step(story) {
    const { t } = story.run;
    if ((t === MEET_AT || t === TRIO_END) && ++story.rested < (t === MEET_AT ? 40 : 90)) return;
    story.rested = 0;
    if (t === TRIO_END) {
      story.wasCut = false;
      story.lives.forEach(({ run }) => run.reset(story.seed));
      return;
    }
    if (t === TRIO_CUT && !story.wasCut) cutAll(story);
    story.lives.forEach(({ run }) => run.advance(1));
  },
  draw(story) {
    const { t } = story.run;
    const said = story.lives.map((life, i) => {
      life.draw("rgba", story.theme);
      const [name, practised, later, cut] = TRIO.find(([known]) => known === story.names[i]) ?? [story.names[i], "", "", ""];
      const outcome = story.wasCut ? cut : t > MEET_AT + 60 ? later : practised;
      return `<b>${name[0].toUpperCase()}${name.slice(1)}</b><br>${outcome || "\u00a0"}`;
    });
    const phase = story.wasCut ? "after the cut" : t <= MEET_AT ? "growing" : "left alone";
    story.say(...said);
    story.note(`Step ${t}: ${phase}`);
  },
};

function cutAll(story) {
  story.wasCut = true;
  for (const { run } of story.lives) run.act(...SHAPES["half-right"].event(run.height, run.width));
  story.changed();
}

export const CHAPTERS = [ONE, TWO, THREE, FOUR, FIVE, SIX, SEVEN, EIGHT];
