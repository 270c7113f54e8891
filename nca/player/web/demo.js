// The demonstration: it grows, is cut once, heals, and asks the visitor to drag across it. Left
// alone, it is cut again from time to time. It ends for good at the visitor's first touch.
//
// Cuts are bound to steps, not to time: with a given seed the demonstration is the same everywhere.
const CUT_AT = 110; // steps; grown by then
const CUT_RADIUS = 2; // cells: a narrow cut, which every automaton trained on damage heals
const CUT_STEPS = 10; // a cut takes as long as a hand would
const HEAL_STEPS = 70; // until the visitor is asked
const REST_STEPS = 500; // between cuts after that: 25 seconds at 20 steps/s
const THANKS_MS = 3500;
// From and to, as shares of the grid.
const CUTS = [[0.22, 0.34, 0.72, 0.5], [0.5, 0.24, 0.52, 0.7], [0.7, 0.36, 0.36, 0.68]];

const GROWS = "One cell grows.";
const CUT = "A cut.";
const HEALS = "It heals.";
const INVITES = "Your turn: drag across it";
const STILL = "Drag across it, then press Play to see it heal";
const THANKS = "Every cell sees only its eight neighbours. Watch it heal.";

export class Demo {
  active = false;
  #next;
  #cuts;

  constructor(player) {
    this.player = player;
  }

  start() {
    this.active = true;
    this.#next = CUT_AT;
    this.#cuts = 0;
    this.player.ui.finger.hidden = true;
    if (this.player.still) this.#say(STILL, true);
    else this.#say(GROWS);
  }

  // Called before every step while active.
  step() {
    const { player } = this;
    const t = player.run.t;
    if (player.still || t < this.#next) return;
    const into = t - this.#next;
    if (into < CUT_STEPS) this.#cut(into);
    else if (into === CUT_STEPS) this.#lift();
    else if (into >= HEAL_STEPS) this.#invite();
  }

  #cut(into) {
    const { player } = this;
    const { run, brush } = player;
    const [x0, y0, x1, y1] = CUTS[this.#cuts % CUTS.length];
    const at = (share) => [(x0 + (x1 - x0) * share) * run.width, (y0 + (y1 - y0) * share) * run.height];
    const radius = Math.min(brush, CUT_RADIUS);
    const length = Math.hypot((x1 - x0) * run.width, (y1 - y0) * run.height);
    const dots = Math.ceil(length / CUT_STEPS / radius);
    for (let dot = 0; dot < dots; dot++) {
      const [x, y] = at((into + dot / dots) / CUT_STEPS);
      player.cut(Math.round(x), Math.round(y), radius);
    }
    const { finger } = player.ui;
    const [x, y] = at((into + 1) / CUT_STEPS);
    finger.hidden = false;
    finger.classList.remove("waves");
    Object.assign(finger.style, { left: `${(100 * x) / run.width}%`, top: `${(100 * y) / run.height}%` });
    if (!this.#cuts) this.#say(CUT);
  }

  #lift() {
    this.player.ui.finger.hidden = true;
    if (!this.#cuts) this.#say(HEALS);
  }

  #invite() {
    const { finger } = this.player.ui;
    this.#cuts++;
    this.#next = this.player.run.t + REST_STEPS;
    this.#say(INVITES, true);
    finger.style = "";
    finger.hidden = false;
    finger.classList.add("waves");
  }

  // The visitor did something; `damaged` when they damaged it.
  end(damaged = false) {
    if (!this.active) return;
    this.active = false;
    this.player.ui.finger.hidden = true;
    this.#say(damaged && !this.player.still ? THANKS : "");
    if (damaged) setTimeout(() => this.#say(""), THANKS_MS);
  }

  #say(text, invites = false) {
    const { caption } = this.player.ui;
    caption.hidden = !text;
    caption.classList.toggle("invites", invites);
    if (caption.textContent !== text) caption.textContent = text;
  }
}
