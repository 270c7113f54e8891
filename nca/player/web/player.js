// The player: its animation loop and controls. `mountPlayer` is the only entry point.
import { Demo } from "./demo.js";
import { Detail } from "./detail.js";
import { compileWasm } from "./engine-wasm.js";
import { ENGINES } from "./engines.js";
import { SHAPES } from "./events.js";
import { withDecoder } from "./fine.js";
import { followTheme, GROUND } from "./ground.js";
import { Healing } from "./healing.js";
import { Inspector } from "./inspector.js";
import { pressKey } from "./keys.js";
import { buildPlayer, kindButtons, kindOptions, showPlaying } from "./markup.js";
import { decodeBase64, parseModel } from "./model.js";
import { Overlay } from "./overlay.js";
import { pictureSize } from "./paint.js";
import { Pointer } from "./pointer.js";
import { Run } from "./run.js";

// Steps per 60th of a second.
const SPEEDS = [1 / 60, 1 / 10, 1 / 3, 1, 2, 4, Infinity];
const SPEED_NAMES = ["1/s", "6/s", "20/s", "60/s", "120/s", "240/s", "max"];
const SPEED = 2; // the default; at higher speeds growth and healing are over too soon to watch
const SLOW_MS = 2000; // how long to play slower after damage, at speeds up to 60 steps/s
const SLOW = 0.4;
const FRAME_MS = 20; // at full speed, steps per frame increase while frames are shorter than this
const WORK_MS = 13; // the most computing time in one frame
const BROKEN = "This automaton grew beyond all bounds. Start again, or go back with the slider.";
const EMPTY = "Nothing is alive any more. Start again, plant a seed, or go back with the slider.";
const UNHEALED = "This damage has not healed.";
const UNKNOWN = "This player is too old for that automaton. Please load the page again.";
const GONE_MS = 20_000;
const STILL_STEPS = 160;
const GRIDS = [48, 72, 96, 128, 192, 256];

// options: model, seed (a fire seed), engine, autoplay; bare: the picture without controls; demo:
// whether to show what it can do, see demo.js.
export async function mountPlayer(host, options = {}) {
  const wasm = await compileWasm(decodeBase64(WASM));
  host.ncaPlayer?.destroy();
  return new Player(host, { wasm, wanted: options.engine ?? "auto" }, options);
}

class Player {
  constructor(host, context, options) {
    this.host = host;
    this.ui = buildPlayer(host);
    this.run = new Run(context);
    this.inspector = new Inspector(this.ui);
    this.detail = new Detail(context, this.ui);
    this.context = this.ui.picture.getContext("2d");
    this.still = options.autoplay === undefined && matchMedia("(prefers-reduced-motion)").matches;
    this.autoplay = options.autoplay ?? !this.still;
    this.playing = this.autoplay;
    this.random = options.random ?? Math.random;
    Object.assign(this, { view: "rgba", tool: "erase", speed: SPEED, brush: 3, ground: null });
    Object.assign(this, { owed: 0, perFrame: 1, cursor: null, slowUntil: 0, refused: "" });
    this.healing = new Healing();
    this.demo = new Demo(this);
    this.overlay = new Overlay(this.ui);
    this.pointer = new Pointer(this);
    this.rates = { since: performance.now(), steps: 0, frames: 0 };
    this.seen = true;
    host.ncaPlayer = this;
    this.#listen();
    this.unfollow = followTheme(host, () => this.redraw());
    this.setBare(options.bare ?? false);
    if (options.model) this.setModel(options.model, options.seed);
    if (options.demo) this.demo.start();
  }

  // ------------------------------------------------------------------ called by Python and tests

  // Shows a `player_model`. Newer weights of the same series replace those of the running automaton.
  setModel(sent, seed) {
    if (!sent?.weights) return;
    const { run, ui } = this;
    const now = this.sent;
    const key = ({ version, height, width }) => `${version} ${height} ${width}`;
    if (now && key(now) === key(sent)) {
      if (sent.decoder && !now.decoder) this.#addDecoder(sent);
      return;
    }
    if (now && sent.refresh && now.series !== sent.series) return; // late: another was chosen
    const model = this.#parsed(sent);
    if (!model) return;
    this.ui.detail.hidden = !model.decoder;
    const same =
      now && sent.series && now.series === sent.series && now.height === sent.height &&
      now.width === sent.width && JSON.stringify(now.config) === JSON.stringify(sent.config);
    this.sent = sent;
    if (!this.brushChosen && sent.brush) this.brush = sent.brush;
    if (same) {
      const lost = run.broken;
      run.swap(model);
      // The state has diverged: start again from a seed with the newer weights.
      if (lost) {
        this.reset();
        this.play();
      }
      this.redraw();
      return;
    }
    this.demo.end();
    if (this.run.model) this.playing = this.autoplay; // another one than what may be paused
    this.#fillKinds(model);
    this.#fillViews(model);
    this.#fillGrids(sent);
    this.#start(model, sent.height, sent.width, seed, sent.children);
  }

  // The model, or null, with a sentence over the picture, when it is of a kind that is not known
  // here, as where the server was updated while the page was open. What plays goes on.
  #parsed(sent) {
    this.refused = "";
    try {
      return withDecoder(parseModel(sent));
    } catch (problem) {
      console.warn(problem);
      this.#note((this.refused = UNKNOWN));
      return null;
    }
  }

  // The same automaton again, now with a decoder: the run goes on.
  #addDecoder(sent) {
    const { run } = this;
    this.sent = sent;
    run.model.decoder = withDecoder({ ...run.model, sent }).decoder;
    this.ui.detail.hidden = false;
    this.redraw();
  }

  #start(model, height, width, seed, children) {
    const { ui } = this;
    this.run.start(model, height, width, seed, children);
    this.inspector.watch(null);
    this.cursor = null;
    this.#calm();
    // With reduced motion, show the grown automaton, paused.
    if (this.still) this.run.advance(STILL_STEPS);
    const label = `${this.sent.title}, growing on ${width} by ${height} cells`;
    ui.picture.setAttribute("aria-label", label);
    this.host.dispatchEvent(new CustomEvent("nca-started", { detail: this.sent.version }));
    this.redraw();
    this.wake();
  }

  // Starts the same automaton from a seed on a grid of another size.
  setGrid(height, width = height) {
    this.#start(this.run.model, height, width);
  }

  // What `goOn` needs after the page was loaded again; null when nothing lives.
  get life() {
    const state = this.run.model && !this.run.empty && this.run.life();
    return state ? { ...state, playing: this.playing } : null;
  }

  // Goes on with a `life` of the automaton that is shown.
  goOn({ playing, height, width, ...state }) {
    const { run } = this;
    this.demo.end();
    if (height !== run.height || width !== run.width) this.setGrid(height, width);
    if (!run.goOn(state)) return;
    this.#calm();
    this.playing = playing;
    this.redraw();
    this.wake();
  }

  // Hides or shows the controls beside the picture.
  setBare(bare) {
    this.ui.player.classList.toggle("bare", bare);
  }

  get step() {
    return this.run.t;
  }

  play() {
    if (this.run.broken) return;
    this.playing = true;
    this.#showState();
    this.wake();
  }

  pause() {
    this.playing = false;
    this.owed = 0;
    this.redraw();
    this.say(`Paused at step ${this.run.t}`);
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  advance(n = 1) {
    this.run.advance(n);
    this.rates.steps += n;
    this.#afterSteps();
  }

  reset(seed) {
    this.run.reset(seed);
    this.#calm();
    this.redraw();
    this.say("Started again from a seed");
  }

  // Goes back, or forward again, to a step in the history.
  goTo(t) {
    this.run.goTo(t);
    this.#calm();
    this.redraw();
  }

  // Drops the note and the healing check, which concern the state before.
  #calm() {
    this.healing.forget();
    this.refused = "";
    this.#note("");
  }

  erase(x, y, radius = this.brush) {
    this.demo.end(true);
    this.cut(x, y, radius);
  }

  // Whether the tool is used along a drag.
  get brushes() {
    return this.tool === "erase" || this.tool === "genes";
  }

  // Uses the brush: erases, or repaints with the genes of the chosen kind.
  brushAt(x, y) {
    if (this.tool === "genes") this.paint(x, y);
    else this.erase(x, y);
  }

  // Gives the living cells of a disc the genes of a kind.
  paint(x, y, radius = this.brush, kind = this.run.kind) {
    this.demo.end();
    this.healing.forget(); // it is to become another picture
    this.#flash(this.run.act("paint", x, y, radius, kind), this.run.living());
  }

  // The kind that is planted, that genes are painted of, and that the automaton starts again from.
  setKind(kind) {
    this.run.kind = kind;
    if (this.tool !== "genes") this.setTool("seed");
    this.#showState();
  }

  // Mixes the genes of the two kinds that are chosen for it; what is planted and painted next, and
  // what lives of it already, has them.
  cross() {
    const { run, ui } = this;
    const [a, b, percent] = ["first", "second", "share"].map((name) => Number(ui.input(name).value));
    const kind = run.mix(a, b, percent / 100);
    if (!kind) {
      this.say("There is no room for another kind.");
      return;
    }
    this.healing.forget(); // it is to become another picture
    this.setKind(kind);
    this.redraw();
    this.wake();
  }

  // Keeps the mixed kind beside the others; the next one is mixed anew.
  keepChild() {
    if (!this.run.keepMix()) {
      this.cross();
      this.run.keepMix();
    }
    this.#showState();
    this.say(`Kept as kind ${this.run.kind}, until another automaton is chosen`);
  }

  // The kept children, for an exported player.
  get children() {
    return [...this.run.kept.values()];
  }

  // What a kind is called: its emoji or number, or its parents.
  kindName(kind) {
    const mix = this.run.mixes.get(kind);
    if (mix) return `${this.kindName(mix[0])}×${this.kindName(mix[1])}`;
    return this.sent.kinds?.[kind - 1] || String(kind);
  }

  // Erases without ending the demonstration.
  cut(x, y, radius) {
    this.#hurt("erase", x, y, radius);
  }

  #hurt(...event) {
    this.healing.watch(this.run);
    const lived = this.run.living().slice(); // before it changes
    this.#flash(this.run.act(...event), lived);
    this.slowUntil = performance.now() + SLOW_MS;
  }

  plant(x, y) {
    const { run } = this;
    if (!(x >= 0 && y >= 0 && x < run.width && y < run.height)) return;
    this.healing.forget(); // what grows from the seed was not in the reference
    this.#flash(run.model.kinds ? run.act("plant", x, y, run.kind) : run.act("seed", x, y));
  }

  // Applies the damage of one of SHAPES.
  damage(shape) {
    const event = SHAPES[shape]?.event(this.run.height, this.run.width, this.random);
    if (!event) return;
    this.demo.end(true);
    this.#hurt(...event);
  }

  setAngle(degrees) {
    this.healing.forget(); // the picture rotates, so it cannot match the reference
    this.run.act("angle", (degrees * Math.PI) / 180);
    this.redraw();
  }

  setSpeed(index) {
    this.speed = Math.max(0, Math.min(index, SPEEDS.length - 1));
    this.owed = 0;
    this.#showState();
  }

  setView(view) {
    this.view = /^\d+$/.test(view) ? Number(view) : view;
    this.redraw();
  }

  // Pixels per cell: 1 shows the cells, 0 as many as the screen shows.
  setDetail(wanted) {
    if (!this.run.model?.decoder) return;
    this.detail.choose(wanted);
    this.ui.input("detail").value = String(wanted);
    this.say(wanted === 1 ? "Showing the cells" : "Showing the fine picture");
    this.redraw();
  }

  setTool(tool) {
    this.tool = tool;
    if (tool !== "look") this.inspector.watch(null);
    this.#showState();
  }

  // "auto", "wasm", "webgl2" or "js"; the state is kept. Returns the name of the engine in use.
  useEngine(wanted) {
    const name = this.run.use(wanted);
    this.redraw();
    return name;
  }

  recording(steps) {
    return this.run.model ? this.run.recording(steps) : null;
  }

  // For a film of "loop", "damage", "life" or the "last" seconds; null when there is no such part.
  film(part, seconds) {
    if (!this.run.model) return null;
    const recording = this.run.filmed(part, Math.round(seconds * 60 * SPEEDS[SPEED]));
    return recording && { ...recording, fine: this.detail.scale > 1 };
  }

  // Runs a `command` from Python, such as {"kind": "damage", "shape": "half-left"}.
  command(what) {
    if (!what || !this.run.model) return;
    // Earlier versions named this kind "wound".
    if (["damage", "wound"].includes(what.kind)) this.damage(what.shape);
    else if (what.kind === "seed") this.plant(what.x, what.y);
    else if (what.kind === "angle") this.setAngle(what.degrees);
    else if (what.kind === "speed") this.setSpeed(what.index);
    else if (["play", "pause", "reset"].includes(what.kind)) this[what.kind]();
  }

  destroy() {
    this.gone = true;
    this.listening.abort();
    this.watching.disconnect();
    this.unfollow();
    clearTimeout(this.leaving);
    document.removeEventListener("visibilitychange", this.onVisible);
    this.run.engine?.dispose();
    this.detail.dispose();
  }

  // ------------------------------------------------------------------ animation loop

  wake() {
    if (this.frame || !this.#mayRun()) return;
    this.last = performance.now();
    this.rates = { since: this.last, steps: 0, frames: 0 };
    this.frame = requestAnimationFrame((now) => this.#tick(now));
  }

  // Nothing runs in a hidden tab, off the screen, or after the element was removed from the page.
  #mayRun() {
    const { host } = this;
    return !this.gone && this.run.model && this.seen && !document.hidden && host.isConnected;
  }

  #tick(now) {
    // While `frame` is set, calls of `wake` from here do not request another frame.
    if (!this.#mayRun()) {
      this.frame = 0;
      return;
    }
    const passed = Math.min(now - this.last, 100);
    this.last = now;
    if (this.playing) this.#work(passed);
    this.pointer.hold();
    this.drawOver(now);
    this.#countRates(now);
    const goesOn = this.playing || this.overlay.flashes.length || this.pointer.at;
    this.frame = goesOn ? requestAnimationFrame((next) => this.#tick(next)) : 0;
  }

  #work(passed) {
    let speed = SPEEDS[this.speed];
    if (speed <= 1 && this.last < this.slowUntil) speed *= SLOW;
    let wanted;
    if (speed === Infinity) {
      this.perFrame = passed < FRAME_MS ? this.perFrame * 1.1 + 1 : Math.max(1, this.perFrame * 0.7);
      wanted = Math.floor(this.perFrame);
    } else {
      this.owed = Math.min(this.owed + (speed * passed * 60) / 1000, Math.max(1, 8 * speed));
      wanted = Math.floor(this.owed);
      this.owed -= wanted;
    }
    if (!wanted) return;
    const start = performance.now();
    let [done, spent] = [0, 0];
    while (done < wanted && spent < WORK_MS) {
      // Fast steps four at a time, because reading the clock takes time too; slow steps one at a time.
      const fast = spent / (done || 1) < 1 && done && !this.demo.active;
      const n = Math.min(wanted - done, fast ? 4 : 1);
      if (this.demo.active) this.demo.step();
      this.run.advance(n);
      done += n;
      spent = performance.now() - start;
    }
    if (done < wanted) {
      this.perFrame = done;
      this.owed = 0; // too slow for this speed: drop the backlog to keep frames regular
    }
    this.rates.steps += done;
    this.#afterSteps();
  }

  #afterSteps() {
    const { run } = this;
    if (this.healing.failed(run)) this.unhealed = true;
    this.#note(run.broken ? BROKEN : run.empty ? EMPTY : this.unhealed ? UNHEALED : this.refused);
    if (run.broken) this.pause();
    this.#paint();
  }

  // Shows a sentence over the picture, with a button that restarts; an empty one hides it.
  #note(text) {
    const { notice, says } = this.ui;
    if (!text) this.unhealed = false;
    if (says.textContent !== text) says.textContent = text;
    notice.hidden = !text;
    this.ui.act("anew").hidden = !this.run.model;
  }

  #countRates(now) {
    const { rates } = this;
    rates.frames++;
    const seconds = (now - rates.since) / 1000;
    if (seconds < 0.5) return;
    const fps = Math.round(rates.frames / seconds);
    const perSecond = rates.steps / seconds;
    this.measured = { fps, stepsPerSecond: perSecond };
    const steps = perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond).toLocaleString("en");
    const { name } = this.run.engine;
    const shown = this.playing ? `${steps} steps/s · ${fps} fps · ` : "";
    this.ui.out("rates").textContent = `${shown}${ENGINES[name].label}`;
    this.rates = { since: now, steps: 0, frames: 0 };
  }

  // ------------------------------------------------------------------ drawing

  redraw() {
    this.#paint();
    this.#showState();
  }

  #paint() {
    const { run, ui, view } = this;
    if (!run.model) return;
    const { engine, height, width } = run;
    const size = pictureSize(view, { height, width, channels: run.model.channels });
    if (ui.picture.width !== size.width || ui.picture.height !== size.height) {
      Object.assign(ui.picture, size);
      ui.picture.style.aspectRatio = `${size.width} / ${size.height}`;
    }
    const ground = GROUND[this.ground ?? this.host.dataset.theme ?? "light"];
    engine.paint(view, ground);
    engine.draw(this.context);
    this.detail.paint(run, view, ground, !this.playing);
    this.inspector.sample(run);
    this.#showTime();
  }

  // Marks edited cells for a moment: those of `lived`, a mask of the grid, or all of them.
  #flash(runs, lived = null) {
    this.overlay.flash(runs, lived, this.run.width);
    this.redraw();
    this.wake();
  }

  // Draws the cursor, the flashes and the watched cell.
  drawOver(now = performance.now()) {
    const at = this.pointer.at ?? this.cursor;
    this.overlay.draw(now, this.run, this.inspector.cell, at, this.brushes && this.brush);
  }

  // ------------------------------------------------------------------ controls

  say(text) {
    this.ui.spoken.textContent = text;
  }

  // Shows what is for several kinds, where there are several.
  #fillKinds({ kinds }) {
    const { ui, run } = this;
    ui.player.classList.toggle("several", kinds > 1);
    ui.kinds.hidden = !(kinds > 1);
    ui.crossing.hidden = this.sent.crosses === false;
    this.namesShown = null;
    if (!(run.kind <= kinds)) run.kind = 1;
    if (!(kinds > 1) && this.tool === "genes") this.tool = "erase";
  }

  // Buttons for the kinds, the children among them, and the choice of two to cross.
  #showKinds() {
    const { ui, run } = this;
    if (run.model.kinds < 2) return;
    if (run.kind > run.model.kinds) run.kind = 1; // a child that is not mixed yet at this step
    const names = Array.from({ length: run.model.kinds }, (_, k) => {
      const share = run.mixes.get(k + 1)?.[2];
      return this.kindName(k + 1) + (share === undefined ? "" : ` ${Math.round(100 * share)}%`);
    });
    const parents = run.models.get(run.model.version).kinds + run.kept.size;
    const key = JSON.stringify([names, parents]);
    if (this.namesShown !== key) {
      this.namesShown = key;
      ui.kinds.innerHTML = kindButtons(names, run.mixes.size, this.sent.faces);
      for (const [name, usual] of [["first", "1"], ["second", "2"]]) {
        const select = ui.input(name);
        const chosen = Number(select.value) <= parents && select.value ? select.value : usual;
        select.innerHTML = kindOptions(names.slice(0, parents));
        select.value = chosen;
      }
    }
    const { value, style } = ui.input("share");
    style.setProperty("--at", `${value}%`);
    const [first, second] = ["first", "second"].map((name) => this.kindName(Number(ui.input(name).value)));
    ui.out("share").textContent = `${100 - value} % ${first}, ${value} % ${second}`;
    ui.input("share").setAttribute("aria-valuetext", ui.out("share").textContent);
    ui.crossing.querySelector('[data-act="keep"]').disabled = first === second;
  }

  #fillViews({ channels, seen }) {
    const names = [["rgba", "Colour"], ["alpha", "Alpha"], ["all", "All channels"]];
    for (let c = 4; c < seen; c++) names.push([String(c), `Hidden ${c - 3}`]);
    if (seen < channels) names.push([String(seen), "Kind"]);
    const select = this.ui.input("view");
    select.replaceChildren(...names.map(([value, text]) => new Option(text, value)));
    if (!names.some(([value]) => value === String(this.view))) this.view = "rgba";
    select.value = String(this.view);
  }

  #fillGrids({ height, width }) {
    const sizes = GRIDS.filter((side) => side !== height || side !== width);
    const names = sizes.map((side) => [`${side} × ${side}`, `${side} ${side}`]);
    names.unshift([`${width} × ${height}`, `${height} ${width}`]);
    this.ui.input("grid").replaceChildren(...names.map(([text, value]) => new Option(text, value)));
  }

  // Updates what changes at every step; the rest is updated when it changes.
  #showTime() {
    const { ui, run } = this;
    const time = ui.input("time");
    const share = (run.t - run.first) / (run.end - run.first || 1);
    time.min = run.first;
    time.max = run.end;
    time.value = run.t;
    time.style.setProperty("--at", `${share * 100}%`);
    ui.out("step").textContent = run.t.toLocaleString("en");
  }

  #showState() {
    const { ui, run } = this;
    if (!run.model) return;
    this.#showTime();
    const set = (name, value, text) => {
      const input = ui.input(name);
      if (Number(input.value) !== value) input.value = value;
      const share = (value - input.min) / (input.max - input.min || 1);
      input.style.setProperty("--at", `${share * 100}%`);
      ui.out(name).textContent = text;
      input.setAttribute("aria-valuetext", text);
    };
    set("speed", this.speed, SPEED_NAMES[this.speed]);
    set("brush", this.brush, String(this.brush));
    ui.input("view").value = String(this.view);
    const degrees = Math.round((run.angle * 180) / Math.PI);
    set("angle", degrees, `${degrees}°`);
    if (this.shownPlaying !== this.playing) showPlaying(ui, this.playing);
    this.shownPlaying = this.playing;
    for (const button of ui.all("tool:")) {
      button.setAttribute("aria-pressed", String(button.dataset.act === `tool:${this.tool}`));
    }
    this.#showKinds();
    for (const button of ui.all("kind:")) {
      button.setAttribute("aria-pressed", String(button.dataset.act === `kind:${run.kind}`));
    }
  }

  // The whole window, where the browser can; else nothing.
  async toggleFull() {
    if (document.fullscreenElement) await document.exitFullscreen();
    else await this.host.requestFullscreen?.().catch(() => {}); // an embedding page may forbid it
  }

  press(action) {
    const [kind, what] = action.split(":");
    if (kind !== "play" && kind !== "full") this.demo.end();
    if (kind === "play") this.toggle();
    else if (kind === "step") {
      this.pause();
      this.advance(1);
    } else if (kind === "back") {
      this.pause();
      this.goTo(this.run.t - 1);
    } else if (kind === "reset") this.reset();
    else if (kind === "anew") {
      this.reset();
      this.play();
    }
    else if (kind === "full") this.toggleFull();
    else if (kind === "tool") this.setTool(what);
    else if (kind === "kind") this.setKind(Number(what));
    else if (kind === "keep") this.keepChild();
    else if (kind === "damage") this.damage(what);
    else if (kind === "ground") {
      const now = this.ground ?? this.host.dataset.theme;
      this.ground = now === "dark" ? "light" : "dark";
      this.redraw();
    } else if (kind === "help") {
      this.ui.keys.hidden = !this.ui.keys.hidden;
      this.ui.act("help").setAttribute("aria-expanded", String(!this.ui.keys.hidden));
    }
  }

  #listen() {
    const { root } = this.ui;
    // The shadow root stays when a player is mounted again on the same element.
    this.listening = new AbortController();
    const { signal } = this.listening;
    root.addEventListener("click", (event) => {
      const action = event.target.closest("[data-act]")?.dataset.act;
      if (action && this.run.model) this.press(action);
    }, { signal });
    root.addEventListener("input", (event) => this.input(event.target), { signal });
    root.addEventListener("keydown", (event) => pressKey(this, event), { signal });
    this.onVisible = () => {
      this.wake();
      // There is no event for the removal of an element: destroy the player when it stays removed.
      clearTimeout(this.leaving);
      if (!this.host.isConnected) {
        this.leaving = setTimeout(() => this.host.isConnected || this.destroy(), GONE_MS);
      }
    };
    document.addEventListener("visibilitychange", this.onVisible);
    this.watching = new IntersectionObserver((entries) => {
      this.seen = entries.at(-1).isIntersecting;
      this.onVisible();
    });
    this.watching.observe(this.host);
    this.ui.act("full").hidden = !document.fullscreenEnabled;
  }

  input(target) {
    this.demo.end();
    const name = target.dataset.in;
    const value = Number(target.value);
    if (name === "time") {
      this.pause();
      this.#seek(value);
    } else if (name === "speed") this.setSpeed(value);
    else if (name === "brush") {
      this.brush = value;
      this.brushChosen = true; // from now on, other models do not change it
      this.#showState();
    } else if (name === "angle") this.setAngle(value);
    else if (name === "view") this.setView(target.value);
    else if (name === "detail") this.setDetail(value);
    else if (["first", "second", "share"].includes(name)) this.cross();
    else if (name === "grid") this.setGrid(...target.value.split(" ").map(Number));
    else if (name === "engine") {
      const got = this.useEngine(target.value);
      this.say(`Engine: ${got}`);
      if (target.value !== "auto") target.value = got;
    }
  }

  // A slider sends events faster than large grids can be computed: use the newest once per frame.
  #seek(t) {
    if (this.wish === undefined) {
      requestAnimationFrame(() => {
        this.goTo(this.wish);
        this.wish = undefined;
      });
    }
    this.wish = t;
  }

  inspect(cell) {
    this.inspector.watch(cell);
    this.redraw();
    this.wake();
  }
}
