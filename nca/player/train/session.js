// One training of this page: starts its workers, passes on what they report.

const MOST_WORKERS = 8;
const CHECK_MS = 5000;
const SILENT_CHECKS = 24; // without a word of the training worker, it counts as lost

export const workersFor = (batch, cores = navigator.hardwareConcurrency ?? 1) =>
  Math.max(1, Math.min(MOST_WORKERS, cores, batch));

export class Session {
  // `training`: see newTraining. `state`: where to go on, or null. `heard`: is called with every
  // message of the training worker. `options`: workers, patience.
  constructor(training, state, heard, options = {}) {
    this.training = training;
    this.heard = heard;
    this.options = options;
    this.size = options.workers ?? workersFor(training.setup.train.batch);
    this.#start(state);
  }

  #start(state) {
    const url = URL.createObjectURL(new Blob([WORKER], { type: "text/javascript" }));
    this.workers = Array.from({ length: this.size }, () => new Worker(url));
    URL.revokeObjectURL(url);
    const { setup } = this.training;
    const ports = this.workers.slice(1).map((worker) => {
      const { port1, port2 } = new MessageChannel();
      worker.postMessage({ kind: "help", setup, port: port2 }, [port2]);
      return port1;
    });
    const [first] = this.workers;
    first.onmessage = ({ data }) => this.#hear(data);
    first.onerror = (event) => this.#lose(event.message);
    first.postMessage(
      { kind: "train", training: this.training, state, ports, patience: this.options.patience },
      ports,
    );
    this.running = true;
    this.silent = 0;
    // Counted rather than timed: a computer that slept is no reason.
    this.watch = setInterval(() => {
      if (this.running && ++this.silent > SILENT_CHECKS) this.#lose("");
    }, CHECK_MS);
  }

  #hear(data) {
    this.silent = 0;
    if (["paused", "finished", "failed"].includes(data.kind)) this.running = false;
    if (data.kind === "progress") {
      this.running = true;
      this.training.iteration = data.iteration;
      this.training.weights = data.weights;
      this.training.history = data.history;
      this.training.seconds = data.seconds;
    } else if (data.training) this.training = data.training;
    this.heard(data);
  }

  #lose() {
    this.end();
    this.heard({
      kind: "failed",
      text: "The training stopped unexpectedly; its last saved state is kept. Press Resume.",
    });
  }

  // `asleep`: the page is hidden, and a reload should go on.
  pause(asleep = false) {
    this.workers[0]?.postMessage({ kind: "pause", asleep });
  }

  go() {
    this.running = true;
    this.silent = 0;
    this.workers[0]?.postMessage({ kind: "go" });
  }

  save() {
    this.workers[0]?.postMessage({ kind: "save" });
  }

  // Ends all workers at once.
  end() {
    clearInterval(this.watch);
    this.running = false;
    for (const worker of this.workers) worker.terminate();
    this.workers = [];
  }
}

// A training that has not begun. `setup`: { nca, train, height, width, target, seed }, see
// trainer.js. `about`: { title, recipe, target }, the last a TargetConfig or null. `weights`: to
// begin with, or null.
export function newTraining(setup, about, weights = null) {
  return {
    id: crypto.randomUUID?.() ?? String(Math.random()).slice(2),
    begun: Date.now(),
    setup,
    about,
    iteration: 0,
    weights,
    history: new Float32Array(0),
    seconds: 0,
    finished: false,
    paused: false, // by the visitor
    scores: null,
  };
}
