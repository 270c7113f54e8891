// Trains with given weights and draws, read from stdin; prints the losses.
import { readFileSync } from "node:fs";
import { RolloutEngine } from "../../nca/player/train/engine.js";
import { Trainer, rolloutsOn } from "../../nca/player/train/trainer.js";
import { decodeBase64, encodeBase64 } from "../../nca/player/web/model.js";

const floats = (text) => new Float32Array(decodeBase64(text).buffer);
const sent = JSON.parse(readFileSync(0, "utf8"));
const wasm = new WebAssembly.Module(
  readFileSync(new URL("../../nca/player/wasm/nca.wasm", import.meta.url)),
);
const setup = { ...sent.setup, target: floats(sent.target) };

// The recorded draws of an iteration, in the place of Draws.
class Recorded {
  constructor(recorded) {
    this.recorded = recorded;
  }
  indices() {
    return this.recorded.indices;
  }
  damage() {
    return this.recorded.damage.map(({ step, mask }) => ({ step, mask: Uint8Array.from(mask) }));
  }
  steps() {
    return this.recorded.steps;
  }
  seeds() {
    return this.recorded.seeds;
  }
  keepsSeeds() {
    return this.recorded.keeps;
  }
}

let trainer;
const drawsFor = (seed, attempt, iteration) => new Recorded(sent.draws[iteration]);
const rollouts = async (weights, jobs) => rolloutsOn(engine)(weights, jobs);
trainer = new Trainer(setup, wasm, rollouts, drawsFor);
const { height, width, target } = setup;
const engine = new RolloutEngine(wasm, trainer.network, height, width, target);
trainer.weights.set(floats(sent.weights));
const losses = [];
const rates = [];
while (trainer.iteration < sent.draws.length) {
  const report = await trainer.step();
  losses.push(report.loss);
  rates.push(report.learningRate);
}
process.stdout.write(JSON.stringify({
  losses, rates, weights: encodeBase64(trainer.weights),
}));
