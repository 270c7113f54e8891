// Training, as nca/trainer.py: sample, roll out, compare with the target, update, commit. It has no
// workers, storage or clock of its own. Its draws derive from (seed, attempt, iteration).
import { Draws } from "./draws.js";
import { Network } from "./network.js";
import { Optimiser } from "./optimiser.js";
import {
  aboveAlpha, allFinite, countAlive, pictureError, seedOf, without,
} from "./states.js";

const GUARD_EVERY = 50; // these numbers are those of nca/trainer.py
const DEAD_LIMIT = 50;
const ATTEMPTS = 4;
const WATCHED = [50, 10];
const BIRTH_STEPS = [1, 2, 3, 4, 6, 8, 12];
const RUN_AWAY = 0.3;
const DECLINE = 0.4;
const BODY = 0.1; // alpha of the cells that damage goes through

export class Diverged extends Error {}

// Learning rate of the update that turns `iteration` into `iteration + 1`.
export function learningRateAt(train, iteration) {
  const { schedule, learning_rate: rate, decay } = train;
  if (schedule === "constant") return rate;
  if (schedule === "step") {
    return rate * decay ** train.milestones.filter((m) => iteration >= m).length;
  }
  let done = Math.min(1, iteration / (train.decay_over || train.iterations));
  if (schedule === "cosine") done = 0.5 - 0.5 * Math.cos(Math.PI * done);
  return rate * (1 + (decay - 1) * done);
}

export function log10Loss(loss) {
  return Number.isFinite(loss) && loss > 1e-12 ? Math.log10(loss) : -12;
}

export class Trainer {
  // `setup`: { nca, train, height, width, target, seed }, the configs as JSON from nca/config.py.
  // `rollouts`: an async function of the weights and a list of rollouts, as RolloutEngine.run takes
  // them, to a list of what it returns, each with its `gradient`.
  // `drawsFor`: a function of seed, attempt and iteration; for tests.
  constructor(setup, wasm, rollouts, drawsFor = (...keys) => new Draws(...keys)) {
    Object.assign(this, setup);
    this.cells = this.height * this.width;
    this.network = new Network(this.nca);
    this.rollouts = rollouts;
    this.drawsFor = drawsFor;
    const chance = new Draws(this.seed, 0, 2 ** 32 - 1).chance;
    this.weights = this.network.initialWeights(() => chance.uniform());
    this.optimiser = new Optimiser(wasm, this.network.parts, this.train);
    this.seedState = seedOf(this.nca, this.height, this.width);
    this.pool = null;
    if (this.train.start === "pool") this.pool = Array(this.train.pool_size).fill(this.seedState);
    this.iteration = 0;
    this.attempt = 0;
    this.dead = 0;
    this.losses = []; // log10, of the last iterations
    this.best = Infinity; // the lowest `level` that a guard had
    this.guard = this.save();
  }

  get done() {
    return this.iteration >= this.train.iterations;
  }

  // One update of the weights, or a rollback when the rollout broke down.
  async step() {
    const { train } = this;
    if (this.iteration % GUARD_EVERY === 0 && this.isSound()) {
      this.best = Math.min(this.best, this.level());
      this.guard = this.save();
    }
    const draws = this.drawsFor(this.seed, this.attempt, this.iteration);
    const { indices, starts, erased } = this.start(draws);
    const steps = draws.steps(train.steps_min, train.steps_max);
    const losses = this.lossSteps(draws, steps);
    const births = this.birthSteps(Math.min(...losses.map(([first]) => first.step)));
    const seeds = draws.seeds(train.batch);
    const newborn = this.pool ? train.reseed_count : train.batch;
    const results = await this.rollouts(this.weights, starts.map((start, item) => ({
      start,
      steps: losses[item].at(-1).step,
      seed: seeds[item],
      erased: erased[item],
      losses: losses[item],
      births: item < newborn
        ? births.map((step) => ({ step, weight: 1 / (births.length * newborn) }))
        : [],
      birthAlpha: train.birth_alpha,
      learns: true,
    })));
    const sum = (name) => results.reduce((total, found) => total + found[name], 0);
    const error = sum("error");
    const after = results.map((found) => found.after);
    const rate = learningRateAt(train, this.iteration) * 0.5 ** this.attempt;
    const living = after.map((state) => countAlive(state, this.nca.alive_threshold));
    const alive = living.reduce((total, n) => total + n, 0);
    this.dead = alive ? 0 : this.dead + 1;
    const finite = Number.isFinite(error + sum("birth")) && after.every(allFinite);
    const updated = finite && this.update(results.map((found) => found.gradient), rate);
    const kept = WATCHED[0] + WATCHED[1];
    this.losses = [...this.losses, log10Loss(error)].slice(-kept);
    const worse = this.rise() > RUN_AWAY || this.level() - this.best > DECLINE;
    let message = null;
    if (!updated || this.dead >= DEAD_LIMIT || (worse && this.attempt < ATTEMPTS - 1)) {
      message = this.rollBack();
    } else {
      this.iteration += 1;
      if (this.pool) this.commit(draws, indices, after, results.map((found) => found.judged));
    }
    return {
      iteration: this.iteration,
      loss: error,
      learningRate: rate,
      steps,
      alive: alive / (train.batch * this.cells),
      before: starts,
      after,
      message,
    };
  }

  // Where this batch begins: indices in the pool, states, and damage still to come for each item.
  // The worst loss comes first if seeds or damage depend on the order.
  start(draws) {
    const { train, pool } = this;
    const items = Array.from({ length: train.batch }, (_, item) => item);
    let indices = items;
    let starts = items.map(() => this.seedState);
    if (pool) {
      indices = draws.indices(pool.length, train.batch);
      starts = indices.map((index, item) =>
        (train.reseed === "random" && item < train.reseed_count ? this.seedState : pool[index]));
      if (train.reseed === "worst" || train.damage_items === "best") {
        const errors = starts.map((state, item) =>
          (train.reseed === "random" && item < train.reseed_count
            ? Infinity // seeds stay in front
            : pictureError(state, this.target)));
        const order = worstFirst(errors);
        indices = order.map((item) => indices[item]);
        starts = order.map((item) => starts[item]);
      }
      if (train.reseed === "worst") starts.fill(this.seedState, 0, train.reseed_count);
    }
    const erased = items.map(() => []);
    const damaged = train.damage_count && train.damage_items === "random"
      ? draws.damaged(train.batch, train.damage_count)
      : items.slice(train.batch - train.damage_count);
    for (const item of damaged) {
      const damage = this.damage(draws, starts[item]);
      if (damage.length === 1 && damage[0].step === 0) {
        starts[item] = without(starts[item], damage[0].mask);
      } else {
        erased[item] = damage;
      }
    }
    return { indices, starts, erased };
  }

  // Damage that would leave no living cell is not applied: dead states have no gradient.
  damage(draws, state) {
    const body = aboveAlpha(state, BODY, this.cells);
    const damage = draws.damage(this.train, this.height, this.width, body);
    const all = new Uint8Array(this.cells);
    for (const { mask } of damage) mask.forEach((erased, cell) => (all[cell] |= erased));
    return countAlive(without(state, all), this.nca.alive_threshold) ? damage : [];
  }

  // For each item the steps at which its picture is judged, and how much they count.
  lossSteps(draws, steps) {
    const { batch, loss_at: at } = this.train;
    const window = Math.min(this.train.loss_window, steps);
    const items = Array.from({ length: batch });
    if (at === "last") return items.map(() => [{ step: steps, weight: 1 / batch }]);
    if (at === "mean_last") {
      const weight = 1 / (window * batch);
      return items.map(() => Array.from({ length: window }, (_, i) =>
        ({ step: steps - window + 1 + i, weight })));
    }
    const [low, high] = [Math.max(1, steps - window), Math.max(2, steps)];
    return draws.judged(low, high, batch).map((step) => [{ step, weight: 1 / batch }]);
  }

  // The early steps at which the batch's seeds are looked at, below `before`.
  birthSteps(before) {
    const { train } = this;
    const hasSeeds = !this.pool || (train.reseed_count > 0 && train.reseed !== "worst_after");
    if (!train.birth_alpha || !hasSeeds) return [];
    return BIRTH_STEPS.filter((step) => step < before);
  }

  // One update; false, without any change, when a gradient is not finite.
  update(gradients, rate) {
    const { train, network } = this;
    const gradient = new Float32Array(network.size);
    for (const one of gradients) for (let i = 0; i < one.length; i++) gradient[i] += one[i];
    const parts = network.parts.map(({ start, size }) => gradient.subarray(start, start + size));
    const norms = parts.map((part) => Math.sqrt(part.reduce((sum, g) => sum + g * g, 0)));
    if (!norms.every(Number.isFinite)) return false;
    const norm = Math.hypot(...norms);
    parts.forEach((part, i) => {
      let factor = 1;
      if (train.gradient === "normalise_each") factor = 1 / (norms[i] + 1e-8);
      else if (train.gradient === "normalise_all") factor = 1 / (norm + 1e-8);
      else if (train.gradient === "clip") factor = Math.min(1, train.clip / (norm + 1e-12));
      for (let j = 0; j < part.length; j++) part[j] *= factor;
    });
    this.optimiser.update(this.weights, gradient, rate);
    return true;
  }

  // Puts the grown states into the pool.
  commit(draws, indices, after, errors) {
    const { train } = this;
    let first = 0; // the batch's first, its seeds, may stay as they were
    if (train.reseed !== "worst_after" && train.reseed_kept !== 1) {
      const done = Math.min(1, (this.iteration - 1) / train.iterations);
      const share = 1 + (train.reseed_kept - 1) * done;
      if (!draws.keepsSeeds(share)) first = train.reseed_count;
    }
    const fresh = [...after];
    if (train.reseed === "worst_after") {
      for (const item of worstFirst(errors).slice(0, train.reseed_count)) {
        fresh[item] = this.seedState;
      }
    }
    for (let item = first; item < fresh.length; item++) this.pool[indices[item]] = fresh[item];
  }

  // By how much even the least loss, log10, of the last iterations is above the usual before.
  rise() {
    const last = this.losses.slice(WATCHED[0]);
    if (last.length < WATCHED[1]) return 0;
    const before = this.losses.slice(0, WATCHED[0]).sort((a, b) => a - b);
    const middle = before.length / 2;
    return Math.min(...last) - (before[middle - 1] + before[middle]) / 2;
  }

  // The log10 loss below which a fifth of the last iterations are; infinite when they are few.
  level() {
    const count = WATCHED[0] + WATCHED[1];
    if (this.losses.length < count) return Infinity;
    const sorted = [...this.losses].sort((a, b) => a - b);
    const place = (count + 1) / 5 - 1; // as statistics.quantiles
    const below = Math.floor(place);
    return sorted[below] + (sorted[below + 1] - sorted[below]) * (place - below);
  }

  // Whether a later rollback may return to the weights of now.
  isSound() {
    const declined = this.best < Infinity && this.level() - this.best > DECLINE / 2;
    return this.dead === 0 && this.rise() < RUN_AWAY / 2 && !declined;
  }

  rollBack() {
    const attempt = this.attempt + 1;
    this.load(this.guard);
    if (attempt >= ATTEMPTS) {
      throw new Diverged(
        "Training broke down again after three rollbacks, each with half the learning rate. " +
        "Try a smaller learning rate or fewer steps; the last good state was kept.",
      );
    }
    this.attempt = attempt;
    return `Training broke down; going on from iteration ${this.iteration} with fresh draws ` +
      "and half the learning rate.";
  }

  // What is needed to go on from here; can be cloned.
  save() {
    return {
      weights: this.weights.slice(),
      moments: this.optimiser.save(),
      pool: this.pool && [...this.pool],
      iteration: this.iteration,
      attempt: this.attempt,
      dead: this.dead,
      losses: this.losses,
      best: this.best,
    };
  }

  // Goes on from the result of `save`.
  load(saved) {
    this.weights = saved.weights.slice();
    this.optimiser.load(saved.moments);
    this.pool = saved.pool && [...saved.pool];
    for (const name of ["iteration", "attempt", "dead", "losses", "best"]) this[name] = saved[name];
    this.guard = this.save();
  }
}

// Places of the values in descending order, equal ones in theirs.
function worstFirst(errors) {
  return [...errors.keys()].sort((a, b) => (errors[b] > errors[a]) - (errors[b] < errors[a]));
}

// The rollouts of a batch on one engine, one after the other.
export function rolloutsOn(engine) {
  return async (weights, jobs) => {
    engine.setWeights(weights);
    return jobs.map((job) => rolloutOn(engine, job));
  };
}

// One rollout and its own gradient, so that a sum of them does not depend on who computed which.
export function rolloutOn(engine, job) {
  engine.clearGradient();
  const found = engine.run(job);
  return { ...found, gradient: engine.gradient() };
}
