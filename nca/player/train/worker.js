// What runs in the workers of the browser trainer. The first one trains; the others compute
// rollouts for it. The page sends them `train` or `help`, and `pause`, `go` and `save`.
import { decodeBase64 } from "../web/model.js";
import { RolloutEngine } from "./engine.js";
import { Network } from "./network.js";
import { shortBattery } from "./score.js";
import { pictureOf } from "./states.js";
import { Store } from "./store.js";
import { help, Team } from "./team.js";
import { Diverged, log10Loss, Trainer } from "./trainer.js";

const SHOW_MS = 400; // between two reports to the page
const SHEET_MS = 3000; // between two sheets of the pool
const SAVE_MS = 10_000;
const SHEET = 7; // items of the pool on a side of its sheet

// The module with relaxed SIMD where the browser has it.
async function compileBest() {
  for (const bytes of [RELAXED_WASM, WASM]) {
    const found = await WebAssembly.compile(decodeBase64(bytes)).catch(() => null);
    if (found) return found;
  }
  throw new Error(
    "This browser cannot train, because it does not run WebAssembly with SIMD; please use a newer one.",
  );
}

async function makeEngine(setup) {
  const wasm = await compileBest();
  const { height, width, target } = setup;
  return { wasm, engine: new RolloutEngine(wasm, new Network(setup.nca), height, width, target) };
}

// Lets messages in; a timer would wait longer, and in a hidden page much longer.
const { port1: bell, port2: button } = new MessageChannel();
const messagesIn = () =>
  new Promise((resolve) => {
    bell.onmessage = resolve;
    button.postMessage(null);
  });

class Training {
  // `training`: what the store keeps to show; `state`: of the trainer, null at the beginning.
  constructor(training, state, wasm, engine, team) {
    this.training = training;
    this.engine = engine;
    this.team = team;
    this.trainer = new Trainer(training.setup, wasm, (...work) => team.rollouts(...work));
    if (state) this.trainer.load(state);
    else if (training.weights) this.trainer.weights.set(training.weights);
    this.history = [...training.history];
    this.seconds = training.seconds;
    this.speed = 0;
    this.paused = false;
    this.runs = false;
    this.store = null;
    this.saved = performance.now();
    this.shown = this.sheeted = -Infinity;
  }

  async openStore() {
    try {
      this.store = await Store.open();
    } catch (error) {
      this.warn(error.message);
    }
  }

  warn(text) {
    postMessage({ kind: "warning", text });
  }

  async run() {
    if (this.runs) return; // it has not ended yet since it was told to pause
    this.runs = true;
    do {
      await this.train();
      await this.save();
    } while (!this.paused && !this.trainer.done);
    if (!this.trainer.done) {
      this.runs = false;
      postMessage({ kind: "paused", training: this.training });
      return;
    }
    this.training.scores ??= await shortBattery(this.engine, this.trainer.weights, messagesIn);
    await this.save();
    postMessage({ kind: "finished", training: this.training });
  }

  // Until it is done or told to pause.
  async train() {
    while (!this.paused && !this.trainer.done) {
      const started = performance.now();
      const { lost } = this.team;
      const report = await this.trainer.step();
      const took = (performance.now() - started) / 1000;
      this.seconds += took;
      this.speed = this.speed ? 0.9 * this.speed + 0.1 / took : 1 / took;
      // A roll-back returns to an earlier iteration.
      this.history.length = Math.min(this.history.length, Math.max(0, report.iteration - 1));
      if (report.iteration) this.history.push(log10Loss(report.loss));
      if (report.message) this.warn(report.message);
      if (this.team.lost > lost) {
        this.warn("A worker stopped answering; the training goes on with the others.");
      }
      this.show(report, took);
      if (performance.now() - this.saved > SAVE_MS) await this.save();
      await messagesIn();
    }
  }

  show(report, took) {
    const now = performance.now();
    if (now - this.shown < SHOW_MS && !this.trainer.done) return;
    this.shown = now;
    const { height, width } = this.trainer;
    const pixels = (states) => states.map((state) => pictureOf(state, height * width));
    let pool = null;
    if (this.trainer.pool && now - this.sheeted > SHEET_MS) {
      this.sheeted = now;
      pool = pixels(this.trainer.pool.slice(0, SHEET * SHEET));
    }
    postMessage({
      kind: "progress",
      iteration: report.iteration,
      loss: report.loss,
      learningRate: report.learningRate,
      took,
      speed: this.speed,
      seconds: this.seconds,
      left: (this.trainer.train.iterations - report.iteration) / this.speed,
      before: pixels(report.before),
      after: pixels(report.after),
      pool,
      history: Float32Array.from(this.history),
      weights: this.trainer.weights.slice(),
    });
  }

  async save() {
    this.saved = performance.now();
    Object.assign(this.training, {
      iteration: this.trainer.iteration,
      weights: this.trainer.weights.slice(),
      history: Float32Array.from(this.history),
      seconds: this.seconds,
      finished: this.trainer.done,
    });
    if (!this.store) return;
    try {
      await this.store.save(this.training, this.trainer.save());
    } catch (error) {
      this.store = null; // say it once; what was saved before is kept
      this.warn(error.message);
    }
  }
}

let current = null;
let early = null; // a pause that was asked for before there was a training

const REPLIES = {
  async help({ setup, port }) {
    const { engine } = await makeEngine(setup);
    help(engine, port);
    postMessage({ kind: "ready" });
  },
  async train({ training, state, ports, patience }) {
    const { wasm, engine } = await makeEngine(training.setup);
    current = new Training(training, state, wasm, engine, new Team(engine, ports, patience));
    training.paused = false;
    if (early) REPLIES.pause(early);
    await current.openStore();
    await current.save();
    await current.run();
  },
  pause({ asleep }) {
    early = { asleep };
    if (!current) return;
    current.paused = true;
    current.training.paused = !asleep;
  },
  async go() {
    early = null;
    if (!current?.paused) return;
    current.paused = current.training.paused = false;
    await current.save(); // so that another tab, or a reload, finds it going on
    await current.run();
  },
  async save() {
    await current?.save();
  },
};

onmessage = async ({ data }) => {
  try {
    await REPLIES[data.kind](data);
  } catch (error) {
    // The last good state is in the store.
    if (error instanceof Diverged) await current.save();
    postMessage({ kind: "failed", text: error.message });
  }
};
