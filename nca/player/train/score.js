// A short battery: how well an automaton grows and heals, as nca/evaluate.py measures it.
import { Chance, itemSeed } from "./draws.js";
import { drawDamage } from "./damage.js";
import { seedOf, without } from "./states.js";

const LIVES = 8;
const [GROWN, LATER, HEALING] = [96, 200, 200]; // steps
const CUTS = ["half-left", "half-right", "half-top", "half-bottom", "centre"];
const [LEAST, MOST] = [-12, 12];

function log10Error(mean) {
  if (!Number.isFinite(mean)) return MOST;
  return Math.round(Math.log10(Math.min(Math.max(mean, 10 ** LEAST), 10 ** MOST)) * 1e4) / 1e4;
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// log10 errors, medians of eight lives: { growth: { 96, 200 }, damaged: { half-left, ... } }.
// `pause`: awaited between rollouts, to let messages through.
export async function shortBattery(engine, weights, pause = async () => {}) {
  const { network, height, width } = engine;
  engine.setWeights(weights);
  const seeds = Array.from({ length: LIVES }, (_, item) => itemSeed(0, item));
  const judge = (step) => [{ step, weight: 1 }];
  const growth = { [GROWN]: [], [LATER]: [] };
  const damaged = Object.fromEntries(CUTS.map((cut) => [cut, []]));
  const everywhere = new Uint8Array(height * width).fill(1);
  for (const seed of seeds) {
    const start = seedOf(network.config, height, width);
    const young = engine.run({ start, steps: GROWN, seed, losses: judge(GROWN), learns: false });
    growth[GROWN].push(log10Error(young.judged));
    const rest = LATER - GROWN;
    const grown = engine.run({
      start: young.after, steps: rest, seed, t0: GROWN, losses: judge(rest), learns: false,
    });
    growth[LATER].push(log10Error(grown.judged));
    for (const cut of CUTS) {
      const shape = { damage_shapes: [cut] };
      const [{ mask }] = drawDamage(new Chance(0), shape, height, width, everywhere);
      const healed = engine.run({
        start: without(grown.after, mask), steps: HEALING, seed, t0: LATER,
        losses: judge(HEALING), learns: false,
      });
      damaged[cut].push(log10Error(healed.judged));
      await pause();
    }
  }
  const medians = (found) =>
    Object.fromEntries(Object.entries(found).map(([name, values]) => [name, median(values)]));
  return { growth: medians(growth), damaged: medians(damaged) };
}
