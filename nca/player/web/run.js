// One run of an automaton: its state at step t, the events so far, and the history for rewinding.
//
// A keyframe (only the cells that are not empty) is kept every 50 steps, and every event is kept, so
// that earlier steps can be computed again and the last 600 can be sent to the server.
import { makeEngine } from "./engines.js";
import { runsOf } from "./events.js";
import { crossed, decodeBase64, encodeBase64, repaint, seedCell, seedState } from "./model.js";

const KEYFRAME_EVERY = 50;
const HISTORY_BYTES = 64 * 2 ** 20;
const RECORDED_STEPS = 600;
const FILMED_STEPS = 6000; // as FILMED_STEPS in nca/ui/grow/films.py
const LEAD = 20; // steps that a film shows before the damage
const TOGETHER = 60; // steps between strokes that are one damage
const LOOP_GROWS = 120; // steps, on a grid of 72
const LARGEST = 1e6; // larger values mean that the state has diverged; as MAX_VALUE in replays.py

// The cells of a dense state that are not empty: {cells, values}, or null when it has diverged.
function pack(dense, channels) {
  const cells = new Uint32Array(dense.length / channels);
  const values = new Float32Array(dense.length);
  let n = 0;
  for (let cell = 0, i = 0; cell < cells.length; cell++, i += channels) {
    let most = 0; // comparisons with NaN are false: NaN must fail the test below
    for (let c = 0; c < channels; c++) {
      const much = Math.abs(dense[i + c]);
      if (!(much <= most)) most = much;
    }
    if (most === 0) continue;
    if (!(most <= LARGEST)) return null;
    cells[n] = cell;
    for (let c = 0; c < channels; c++) values[n * channels + c] = dense[i + c];
    n++;
  }
  return { cells: cells.slice(0, n), values: values.slice(0, n * channels) };
}

function unpack({ cells, values }, channels, height, width) {
  const dense = new Float32Array(height * width * channels);
  cells.forEach((cell, at) => {
    dense.set(values.subarray(at * channels, (at + 1) * channels), cell * channels);
  });
  return dense;
}

const MOST_KINDS = 255; // as in NCAConfig
const bytesOf = ({ packed }) => packed.cells.byteLength + packed.values.byteLength;
const randomSeed = () => Math.floor(Math.random() * 2 ** 32);

export class Run {
  // context: {wasm, wanted}, see engines.js.
  constructor(context) {
    this.context = context;
    this.kind = 1; // of new seeds, where there are kinds
    this.mixes = new Map(); // kind -> [a, b, share], those that are mixed of two others now
    this.kept = new Map(); // the same of those that no longer change
    this.angle = 0;
    this.avoid = [];
  }

  // Starts over with a model on a grid. `children`: [a, b, share] of its kept mixes; those of now
  // when it is the same model.
  start(model, height, width, seed = randomSeed(), children = []) {
    const sent = this.models?.get(model.version) ?? model; // without mixes
    if (!this.models?.has(model.version)) {
      this.kept = new Map(children.map((mix, k) => [model.kinds + 1 + k, mix]));
      this.mixes = new Map();
    }
    this.models = new Map([[sent.version, sent]]);
    this.#addKept();
    model = this.#mixed(sent);
    this.pending = null;
    // Another architecture or size may need, or be faster on, another engine.
    const fits = (other) => JSON.stringify([other?.config, this.height, this.width]);
    const before = fits(this.model);
    Object.assign(this, { model, height, width });
    if (this.engine && before === fits(model)) this.engine.setModel(model);
    else this.#newEngine();
    this.reset(seed);
  }

  // Restarts from a seed state with another fire seed.
  reset(seed = randomSeed()) {
    const newest = this.pending;
    this.#begin(seedState(this.model, this.height, this.width, this.kind), 0, seed);
    if (newest) this.swap(newest);
  }

  #begin(dense, t, seed) {
    Object.assign(this, { t, seed: seed >>> 0, broken: false, keyframes: [], events: [], bytes: 0 });
    this.pending = this.mask = null;
    this.end = t;
    this.engine.setState(dense, this.height, this.width);
    this.#keep();
  }

  // The state at this step, as JSON, to go on with after the page was loaded again; null when it has
  // diverged.
  life() {
    const packed = pack(this.engine.read(), this.model.channels);
    if (!packed) return null;
    const { t, seed, angle, height, width, kind } = this;
    const cells = encodeBase64(packed.cells);
    const values = encodeBase64(packed.values);
    const [mixes, kept] = [[...this.mixes], [...this.kept]];
    return { t, seed, angle, height, width, kind, mixes, kept, cells, values };
  }

  // Goes on with a `life` of the same automaton on a grid of this size. The steps before it are not
  // kept. Returns whether it fits this automaton.
  goOn({ t, seed, angle, kind, mixes, kept, cells, values }) {
    const { channels } = this.model;
    const { height, width } = this;
    const packed = {
      cells: new Uint32Array(decodeBase64(cells).buffer),
      values: new Float32Array(decodeBase64(values).buffer),
    };
    if (packed.values.length !== channels * packed.cells.length) return false;
    if (packed.cells.some((cell) => cell >= height * width)) return false;
    this.kept = new Map(kept);
    this.mixes = new Map(mixes);
    Object.assign(this, { angle, kind });
    this.#use(this.model.version);
    this.#begin(unpack(packed, channels, height, width), t, seed);
    return true;
  }

  #newEngine() {
    this.engine?.dispose();
    this.engine = makeEngine(this.context, this.model, this.height, this.width, this.avoid);
    this.engine.onLost = () => this.lost();
    this.engine.onRestored = () => this.use(this.context.wanted);
  }

  // Continues with the same state on another engine: "auto" or a name.
  use(wanted) {
    const dense = this.engine.read();
    this.context.wanted = wanted;
    this.avoid = [];
    this.#newEngine();
    this.engine.setState(dense, this.height, this.width);
    return this.engine.name;
  }

  // The GPU lost the state: compute it again from the last keyframe, on another engine.
  lost() {
    this.avoid = ["webgl2"];
    const old = this.engine;
    this.engine = makeEngine(this.context, this.model, this.height, this.width, this.avoid);
    this.avoid = [];
    old.onRestored = () => {
      old.dispose();
      this.use(this.context.wanted);
    };
    this.goTo(this.t);
  }

  // Shows what so much of kind b and of kind a makes together: a kind of its own, after the kept
  // ones. Returns it; 0 when there is no room for one more.
  mix(a, b, share) {
    const kind = this.models.get(this.model.version).kinds + this.kept.size + 1;
    if (kind > MOST_KINDS) return 0;
    this.act("mix", kind, a, b, share);
    return kind;
  }

  // Keeps that kind: the next one that is mixed comes after it. Whether there was one to keep.
  keepMix() {
    const kind = this.models.get(this.model.version).kinds + this.kept.size + 1;
    if (!this.mixes.has(kind)) return false;
    this.kept.set(kind, this.mixes.get(kind));
    return true;
  }

  // A kept kind exists at every step, also before it was mixed.
  #addKept() {
    for (const [kind, mix] of this.kept) if (!this.mixes.has(kind)) this.mixes.set(kind, mix);
    this.mixes = new Map([...this.mixes].sort(([a], [b]) => a - b));
  }

  // A model with the kinds that are mixed of its own. Parents come before their children.
  #mixed(model) {
    if (!this.mixes.size) return model;
    const key = JSON.stringify([model.version, ...this.mixes]);
    if (this.cross?.key !== key) {
      const all = [...this.mixes].reduce((m, [kind, mix]) => crossed(m, kind, ...mix), model);
      this.cross = { key, model: all };
    }
    return this.cross.model;
  }

  // Replaces the weights with newer ones of the same architecture; the state is kept.
  swap(model) {
    if (model.version === this.model.version) return;
    // While an earlier step is shown, keep the history: the weights wait until new steps are computed.
    this.pending = this.t === this.end ? null : model;
    if (this.pending) return;
    this.models.set(model.version, model);
    this.act("model", model.version);
  }

  // Applies an event at the current step and records it.
  act(kind, ...numbers) {
    this.#forgetFuture();
    const event = [this.t, kind, ...numbers];
    const last = this.events.at(-1);
    // Turning the dial while paused counts as one event.
    const again = last?.[0] === this.t && last[1] === kind;
    if (again && (kind === "angle" || (kind === "mix" && last[2] === numbers[0]))) this.events.pop();
    this.events.push(event);
    if (kind === "seed" || kind === "plant") this.empty = false;
    return this.#apply(event);
  }

  #apply(event) {
    const [, kind, value] = event;
    const seeds = kind === "seed" || kind === "plant";
    if (kind === "angle") this.angle = value;
    else if (kind === "model") {
      this.#use(value);
    } else if (kind === "mix") {
      this.mixes.set(value, event.slice(3));
      this.#use(this.model.version);
    } else {
      const runs = runsOf(event, this.height, this.width, this.model.circular);
      if (kind === "paint") {
        const dense = this.engine.read();
        repaint(this.model, dense, this.width, runs, event[5]);
        this.engine.setState(dense, this.height, this.width);
        return runs;
      }
      this.engine.fill(runs, seeds ? seedCell(this.model, event[4]) : null);
      for (const [y, x0, x1] of runs) {
        this.mask?.cells.fill(seeds ? 1 : 0, y * this.width + x0, y * this.width + x1);
      }
      return runs;
    }
    return null;
  }

  #use(version) {
    this.model = this.#mixed(this.models.get(version));
    if (this.engine.model !== this.model) this.engine.setModel(this.model);
  }

  // A mask of the cells alive now, one byte each. Read once a step: a stroke asks many times.
  living() {
    if (this.mask?.t !== this.t) {
      const [dense, { channels, threshold }] = [this.engine.read(), this.model];
      const cells = new Uint8Array(this.height * this.width);
      for (let i = 0; i < cells.length; i++) cells[i] = dense[i * channels + 3] > threshold;
      this.mask = { cells, t: this.t };
    }
    return this.mask.cells;
  }

  // Computes n steps, keeping keyframes.
  advance(n) {
    if (n > 0) this.#forgetFuture();
    this.mask = null;
    if (n > 0 && this.pending) this.swap(this.pending);
    while (n > 0 && !this.broken) {
      const now = Math.min(n, KEYFRAME_EVERY - (this.t % KEYFRAME_EVERY));
      this.engine.step(now, this.t, this.seed, this.angle);
      this.t += now;
      this.end = this.t;
      n -= now;
      if (this.t % KEYFRAME_EVERY === 0) this.#keep();
    }
  }

  #keep() {
    const packed = pack(this.engine.read(), this.model.channels);
    if (!packed) {
      this.broken = true;
      return;
    }
    this.empty = packed.cells.length === 0;
    const { t, angle, model } = this;
    const frame = { t, angle, version: model.version, mixes: [...this.mixes], packed };
    this.keyframes.push(frame);
    this.bytes += bytesOf(frame);
    while (this.bytes > HISTORY_BYTES && this.keyframes.length > 2) {
      this.bytes -= bytesOf(this.keyframes.shift());
    }
    const first = this.keyframes[0].t;
    if (this.events.length && this.events[0][0] < first) {
      this.events = this.events.filter(([step]) => step >= first);
    }
    if (this.models.size > 8) this.#forgetModels();
  }

  #forgetModels() {
    const used = new Set(this.keyframes.map((frame) => frame.version)).add(this.model.version);
    for (const [, kind, version] of this.events) if (kind === "model") used.add(version);
    for (const version of this.models.keys()) if (!used.has(version)) this.models.delete(version);
  }

  // After rewinding, a new event or model discards the steps that came later.
  #forgetFuture() {
    if (this.t === this.end) return;
    this.keyframes = this.keyframes.filter((frame) => frame.t <= this.t);
    this.bytes = this.keyframes.reduce((sum, frame) => sum + bytesOf(frame), 0);
    this.events = this.events.filter(([step]) => step <= this.t);
    this.end = this.t;
  }

  get first() {
    return this.keyframes[0]?.t ?? 0;
  }

  // Goes to a step from `first` to `end`, with that step's events applied.
  goTo(t) {
    t = Math.max(this.first, Math.min(Math.round(t), this.end));
    const frame = this.keyframes.findLast((candidate) => candidate.t <= t);
    if (!frame) return;
    this.angle = frame.angle;
    this.mixes = new Map(frame.mixes);
    this.#addKept();
    this.#use(frame.version);
    const dense = unpack(frame.packed, this.model.channels, this.height, this.width);
    this.engine.setState(dense, this.height, this.width);
    this.t = frame.t;
    this.mask = null;
    this.broken = this.empty = false;
    for (const event of this.events) {
      if (event[0] < frame.t) continue;
      if (event[0] > t) break;
      this.#stepTo(event[0]);
      this.#apply(event);
    }
    this.#stepTo(t);
  }

  #stepTo(t) {
    if (t > this.t) this.engine.step(t - this.t, this.t, this.seed, this.angle);
    this.t = t;
  }

  // What the server needs to compute the last 600 steps again, for nca/player/replays.py.
  recording(steps = RECORDED_STEPS) {
    const start = this.keyframes.find((frame) => frame.t >= this.t - steps && frame.t <= this.t);
    const frame = start ?? this.keyframes.findLast((candidate) => candidate.t <= this.t);
    return frame ? this.#recorded(frame) : null;
  }

  // The same for a film of a part of this life: "loop" (a new life that grows, loses its left half
  // and heals), "damage" (from the last damage on), "life", or "last" with so many steps. Null when
  // there is no such part.
  filmed(part, steps) {
    const { first, t } = this;
    if (part === "loop") return this.#loop();
    const starts = { damage: () => this.#damagedAt() - LEAD, life: () => first, last: () => t - steps };
    const start = Math.max(first, t - FILMED_STEPS, starts[part]());
    const frame = this.keyframes.findLast((candidate) => candidate.t <= start);
    if (!frame || !(start < t)) return null;
    // The keyframe may be up to 50 steps earlier than the film; the server leaves those out.
    return { ...this.#recorded(frame), start };
  }

  // The step of the last damage; of several soon after one another, the first. NaN without any.
  #damagedAt() {
    let at = NaN;
    for (const [step, kind] of this.events.toReversed()) {
      if (step > this.t || !["erase", "box"].includes(kind)) continue;
      if (at - step > TOGETHER) break;
      at = step;
    }
    return at;
  }

  #loop() {
    const { model, height, width, angle } = this;
    const packed = pack(seedState(model, height, width, this.kind), model.channels);
    const grown = Math.round(LOOP_GROWS * Math.max(1, Math.max(height, width) / 72));
    const frame = { t: 0, angle, version: model.version, mixes: [...this.mixes], packed };
    const events = [...this.#mixesAt(frame), [grown, "box", 0, 0, width >> 1, height]];
    return { ...this.#recorded(frame), t1: Math.round(2.5 * grown), events };
  }

  // The mixes of a keyframe, and the kept ones, as events.
  #mixesAt(frame) {
    const mixes = new Map([...this.kept, ...frame.mixes]);
    const ordered = [...mixes].sort(([a], [b]) => a - b);
    return ordered.map(([kind, mix]) => [frame.t, "mix", kind, ...mix]);
  }

  #recorded(frame) {
    const since = this.events.filter(([step]) => step >= frame.t && step <= this.t);
    const events = [...this.#mixesAt(frame), ...since];
    const used = new Set([frame.version]);
    for (const [, kind, version] of events) if (kind === "model") used.add(version);
    return {
      format: "nca-garden-recording-1",
      height: this.height,
      width: this.width,
      channels: this.model.channels,
      seed: this.seed,
      t0: frame.t,
      t1: this.t,
      angle: frame.angle,
      version: frame.version,
      cells: encodeBase64(frame.packed.cells),
      values: encodeBase64(frame.packed.values),
      events,
      models: Object.fromEntries([...used].map((v) => [v, { ...this.models.get(v).sent, decoder: null, faces: [] }])),
    };
  }
}
