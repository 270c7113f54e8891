// Whether a training that is saved and loaded goes on exactly, and what it does when it breaks.
import { readFileSync } from "node:fs";
import { RolloutEngine } from "../../nca/player/train/engine.js";
import { Diverged, Trainer, rolloutsOn } from "../../nca/player/train/trainer.js";
import { help, Team } from "../../nca/player/train/team.js";

const { setup: sent } = JSON.parse(readFileSync(0, "utf8"));
const setup = { ...sent, target: new Float32Array(sent.height * sent.width * 4).fill(0.5) };
const wasm = new WebAssembly.Module(
  readFileSync(new URL("../../nca/player/wasm/nca.wasm", import.meta.url)),
);

function make(rolloutsFor = (engine) => rolloutsOn(engine)) {
  let rollouts;
  const trainer = new Trainer(setup, wasm, (...work) => rollouts(...work));
  const { height, width, target } = setup;
  const engines = () => new RolloutEngine(wasm, trainer.network, height, width, target);
  rollouts = rolloutsFor(engines(), engines);
  return trainer;
}

async function iterate(trainer, count) {
  for (let i = 0; i < count; i++) await trainer.step();
  return [...trainer.weights];
}

const whole = make();
await iterate(whole, 4);
const saved = structuredClone(whole.save());
const expected = await iterate(whole, 3);
const resumed = make();
resumed.load(saved);
const exact = (await iterate(resumed, 3)).every((value, i) => value === expected[i]);

// Two workers, of which the second stops answering after a while.
const { port1, port2 } = new MessageChannel();
let team;
const shared = make((engine, engines) => {
  help(engines(), port2);
  team = new Team(engine, [port1], 300);
  return (...work) => team.rollouts(...work);
});
await iterate(shared, 5);
port2.close();
const sharedWeights = await iterate(shared, 2);
port1.close();

const broken = make();
await iterate(broken, 3);
broken.guard = broken.save();
const good = [...broken.weights];
const messages = [];
let failure = null;
for (let i = 0; i < 8 && !failure; i++) {
  broken.weights.fill(NaN);
  try {
    messages.push((await broken.step()).message);
  } catch (error) {
    if (!(error instanceof Diverged)) throw error;
    failure = error.message;
  }
}
process.stdout.write(JSON.stringify({
  exact,
  shared: sharedWeights.every((value, i) => value === expected[i]),
  lost: team.lost,
  messages,
  failure,
  kept: [...broken.weights].every((value, i) => value === good[i]),
}));
