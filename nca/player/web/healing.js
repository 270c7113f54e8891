// Whether damage heals: compares the picture before it with the one 200 steps after it.
const LOOK_AFTER = 200; // steps
const GROWN = 100; // steps: before that the body still grows, so it should not return to its earlier state
const HEALED = 10 ** -2.5; // mean squared error of RGBA over the whole grid, as in nca/healing.py

export class Healing {
  #before = null;
  #since = 0;

  forget() {
    this.#before = null;
  }

  // Call it before cells are erased. The state before the first damage is the reference.
  watch(run) {
    this.#since = run.t;
    if (this.#before || run.t < GROWN) return;
    this.#before = run.engine.read().slice();
  }

  // True when the damage has not healed after LOOK_AFTER steps; checked once.
  failed(run) {
    if (!this.#before || run.t - this.#since < LOOK_AFTER) return false;
    const [before, now, channels] = [this.#before, run.engine.read(), run.model.channels];
    this.#before = null;
    if (before.length !== now.length) return false;
    let sum = 0;
    for (let i = 0; i < now.length; i += channels) {
      for (let c = 0; c < 4; c++) sum += (now[i + c] - before[i + c]) ** 2;
    }
    return !(sum / ((4 * now.length) / channels) < HEALED);
  }
}
