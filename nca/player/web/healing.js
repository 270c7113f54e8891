// Whether damage heals: the picture before it against the picture 200 steps after the last of it.
const LOOK_AFTER = 200; // steps
const GROWN = 100; // steps: a younger body is still growing, and must not be what it was
const HEALED = 10 ** -2.5; // mean squared error of RGBA over the whole grid, as in nca/healing.py

export class Healing {
  #before = null;
  #since = 0;

  forget() {
    this.#before = null;
  }

  // Before something is erased. The first damage decides what it is to look like again.
  watch(run) {
    this.#since = run.t;
    if (this.#before || run.t < GROWN) return;
    this.#before = run.engine.read().slice();
  }

  // Looked at once, when it is time.
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
