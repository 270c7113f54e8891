// The rollouts of a batch on several workers: item i on worker i modulo their number, the first of
// which is this one. Gradients come back item by item and are added in order, so that the weights
// do not depend on how many workers there are.
import { rolloutOn } from "./trainer.js";

const PATIENCE_MS = 60_000; // how long to wait for a worker before its work is done here

export class Team {
  // `ports`: MessagePorts to workers that run `help`.
  constructor(engine, ports, patience = PATIENCE_MS) {
    this.engine = engine;
    this.patience = patience;
    this.helpers = ports.map((port) => ({ port, pending: null }));
    for (const helper of this.helpers) {
      helper.port.onmessage = ({ data }) => {
        if (data.call === helper.call) helper.pending?.(data.results);
      };
    }
    this.call = 0;
    this.lost = 0; // helpers that no longer answer
  }

  async rollouts(weights, jobs) {
    const size = this.helpers.length + 1;
    const call = (this.call += 1);
    const answers = this.helpers.map((helper, h) => {
      const part = jobs.filter((_, item) => item % size === h + 1);
      if (!part.length) return [];
      helper.call = call;
      return new Promise((resolve) => {
        helper.pending = resolve;
        helper.timer = setTimeout(resolve, this.patience, null);
        helper.port.postMessage({ call, weights, jobs: part });
      });
    });
    this.engine.setWeights(weights);
    const results = jobs.map((job, item) => (item % size ? null : rolloutOn(this.engine, job)));
    const found = await Promise.all(answers);
    this.helpers.forEach((helper) => clearTimeout(helper.timer));
    const remaining = this.helpers.filter((_, h) => found[h]);
    jobs.forEach((job, item) => {
      results[item] ??= found[(item % size) - 1]?.shift() ?? rolloutOn(this.engine, job);
    });
    this.lost += this.helpers.length - remaining.length;
    this.helpers = remaining;
    return results;
  }
}

// Computes rollouts for the worker at the other end of `port`.
export function help(engine, port) {
  port.onmessage = ({ data: { call, weights, jobs } }) => {
    engine.setWeights(weights);
    const results = jobs.map((job) => rolloutOn(engine, job));
    const moved = results.flatMap(({ gradient, after }) =>
      [gradient, after.cells, after.values].map((array) => array.buffer));
    port.postMessage({ call, results }, moved);
  };
}
