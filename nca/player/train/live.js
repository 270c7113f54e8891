// The trainer as people see it: progress, loss, pictures, what to do with it, and the trainings of
// this browser.
import { followTheme } from "../web/ground.js";
import { mountPlayer } from "../web/player.js";
import { checkpointZip, playerModel, scoreLines, targetPixels, verdict } from "./checkpoint.js";
import { newTraining, Session } from "./session.js";
import { Store } from "./store.js";

const SHEET_SIDE = 7; // of the pool's sheet, as in worker.js
const PREVIEW_MS = 2000; // between two sets of weights for the preview
const LIVE_MARKUP = `
<section class="live" hidden>
  <h3 data-out="title"></h3>
  <p class="status" role="status" data-out="status"></p>
  <progress max="1" value="0" aria-label="Progress of the training"></progress>
  <dl>
    <div><dt>Iteration</dt><dd data-out="iteration"></dd></div>
    <div><dt>Iterations/s</dt><dd data-out="speed"></dd></div>
    <div><dt>Time left</dt><dd data-out="left"></dd></div>
    <div><dt>Loss, log10</dt><dd data-out="loss"></dd></div>
  </dl>
  <ul class="verdict" data-out="verdict" hidden></ul>
  <div class="actions">
    <button data-act="stop">Stop</button>
    <button data-act="resume" class="main">Resume</button>
    <button data-act="grow" class="main">Play</button>
    <button data-act="share">Share</button>
    <button data-act="download">Download the checkpoint</button>
    <button data-act="remove">Delete</button>
  </div>
  <div class="pictures">
    <figure><canvas data-out="target"></canvas><figcaption>Target</figcaption></figure>
    <figure><div class="preview" data-out="preview"></div><figcaption>As it grows now</figcaption>
    </figure>
    <figure><canvas data-out="before"></canvas><figcaption>Batch, before</figcaption></figure>
    <figure><canvas data-out="after"></canvas><figcaption>Batch, after</figcaption></figure>
    <figure><canvas data-out="pool"></canvas><figcaption>Pool</figcaption></figure>
  </div>
  <canvas class="loss" data-out="curve" aria-label="Log10 of the loss by iteration"></canvas>
  <details hidden><summary>Scores in numbers</summary>
    <table><tbody data-out="scores"></tbody></table></details>
  <label><input type="checkbox" data-in="hidden" checked> Go on while this tab is hidden</label>
  <p class="soft" data-out="cost"></p>
</section>
<section class="shelf" hidden>
  <h3>Trained in this browser</h3>
  <ul data-out="list"></ul>
</section>`;

const duration = (seconds) => {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
};

// A training in the list.
const listed = ({ about, iteration, setup }) => `${about.title}, ${iteration.toLocaleString("en")} ` +
  `of ${setup.train.iterations.toLocaleString("en")}`;

// Pictures of straight RGBA, [height][width][4] each, in `columns` columns.
function drawSheet(canvas, pictures, height, width, columns) {
  canvas.width = columns * width;
  canvas.height = Math.ceil(pictures.length / columns) * height;
  const context = canvas.getContext("2d");
  pictures.forEach((pixels, i) => {
    const image = new ImageData(new Uint8ClampedArray(pixels.buffer), width, height);
    context.putImageData(image, (i % columns) * width, Math.floor(i / columns) * height);
  });
}

export class LiveTrainer {
  // `options`: about, a sentence on where the result goes; grow and share, called with the training
  // that the visitor wants to see large, or to share; listed, called with the trainings of this browser whenever they are
  // read; workers and patience, see Session. The host has the attribute `data-shown` while there is
  // something to see.
  constructor(host, options = {}) {
    this.options = options;
    this.host = host;
    this.root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
    this.root.innerHTML = `<style>${LIVE_STYLE}</style>${LIVE_MARKUP}`;
    followTheme(host, () => this.training && this.#drawCurve());
    this.session = null;
    this.training = null;
    this.store = null;
    this.player = null;
    this.root.addEventListener("click", (event) => {
      const button = event.target.closest("[data-act]");
      if (button) this.press(button.dataset.act, button.dataset.id);
    });
    document.addEventListener("visibilitychange", () => this.#visibility());
    window.addEventListener("pagehide", () => this.session?.save());
    this.ready = this.#open();
    host.ncaTrainer = this;
  }

  out(name) {
    return this.root.querySelector(`[data-out="${name}"]`);
  }

  act(name) {
    return this.root.querySelector(`.live [data-act="${name}"]`);
  }

  say(text) {
    this.out("status").textContent = text;
  }

  // Finds the trainings of this browser; goes on with the one that a reload interrupted.
  async #open() {
    try {
      this.store = await Store.open();
    } catch (error) {
      this.noStorage = error.message;
      return;
    }
    const all = await this.store.all();
    this.#list(all);
    const interrupted = all.find((training) => !training.finished && !training.paused);
    const shown = interrupted ?? all[0];
    if (!shown) return;
    this.#show(shown);
    if (interrupted) await this.resume();
  }

  async #refreshList() {
    if (this.store) this.#list(await this.store.all());
  }

  #list(all) {
    this.options.listed?.(all);
    this.root.querySelector(".shelf").hidden = all.length === 0;
    this.host.toggleAttribute("data-shown", Boolean(all.length || this.training));
    const rows = all.map((training) => {
      const row = document.createElement("li");
      const button = document.createElement("button");
      button.dataset.act = "show";
      button.dataset.id = training.id;
      const canvas = document.createElement("canvas");
      const { target, height, width } = training.setup;
      drawSheet(canvas, [targetPixels(target)], height, width, 1);
      const words = document.createElement("span");
      words.textContent = listed(training);
      button.append(canvas, words);
      row.append(button);
      return row;
    });
    this.out("list").replaceChildren(...rows);
  }

  // Begins a training; see newTraining.
  async begin(setup, about, weights = null) {
    await this.ready;
    await this.stop();
    this.starting = true;
    this.#show(newTraining(setup, about, weights));
    this.say("Starting.");
    await this.#start(null);
  }

  // Ends the workers of the training that is shown, after it has been saved.
  async stop() {
    const { session } = this;
    if (!session) return;
    if (session.running) await new Promise((resolve) => {
      this.onStopped = resolve;
      session.pause();
    });
    session.end();
    this.session = null;
  }

  async resume() {
    if (this.session?.running) return;
    const state = this.store ? await this.store.state(this.training.id) : null;
    if (this.session?.workers.length) {
      this.training.paused = false;
      this.session.go();
      this.say("Training.");
    } else {
      await this.#start(state);
    }
    this.#buttons();
  }

  async #start(state) {
    const mine = await this.#lock();
    this.starting = false;
    if (!mine) {
      this.say("This training runs in another tab of this browser.");
      this.#buttons();
      return;
    }
    this.session?.end();
    this.training.paused = false;
    const heard = (data) => this.#hear(data);
    this.session = new Session(this.training, state, heard, this.options);
    this.say(this.noStorage ?? "Training.");
    this.#buttons();
    this.#visibility();
  }

  // Ends the workers; another tab may go on.
  #end() {
    this.session.end();
    this.locked = null;
    this.unlock?.();
  }

  // One tab trains a training; where the browser has no locks, every tab may.
  async #lock() {
    const { id } = this.training;
    if (this.locked === id) return true;
    this.locked = null;
    this.unlock?.();
    if (!navigator.locks) return true;
    return new Promise((resolve) => {
      navigator.locks.request(`nca-garden ${id}`, { ifAvailable: true }, (lock) => {
        if (lock) this.locked = id;
        resolve(lock !== null);
        return lock && new Promise((release) => (this.unlock = release));
      }).catch(() => resolve(true)); // where site data is blocked there are none, either
    });
  }

  #visibility() {
    const { session } = this;
    if (!session) return;
    const goesOn = this.root.querySelector('[data-in="hidden"]').checked;
    if (document.hidden) {
      session.save();
      if (!goesOn && session.running) {
        this.asleep = true;
        session.pause(true);
      }
    } else if (this.asleep) {
      this.asleep = false;
      session.go();
    }
  }

  #hear(data) {
    if (data.kind === "progress") this.#progress(data);
    else if (data.kind === "warning") this.say(data.text);
    else {
      this.training = this.session.training;
      if (data.kind === "finished") {
        this.say(`Finished after ${duration(this.training.seconds)}.`);
        this.#numbers(NaN, NaN);
        this.#end();
      } else if (data.kind === "failed") {
        this.say(data.text);
        this.#end();
      } else if (!this.asleep) this.say("Stopped; it can go on from here.");
      this.#showScores();
      this.#buttons();
      this.#refreshList();
      this.onStopped?.();
    }
  }

  #progress(data) {
    const { setup } = this.training;
    const { height, width } = setup;
    Object.assign(this.training, {
      iteration: data.iteration, history: data.history, weights: data.weights,
      seconds: data.seconds,
    });
    this.#numbers(data.speed, data.left);
    const row = this.root.querySelector(`[data-id="${this.training.id}"] span`);
    if (row) row.textContent = listed(this.training);
    if (this.act("stop").hidden) this.say("Training."); // it was told to go on while it stopped
    this.#buttons();
    const columns = Math.min(4, data.before.length);
    drawSheet(this.out("before"), data.before, height, width, columns);
    drawSheet(this.out("after"), data.after, height, width, columns);
    if (data.pool) drawSheet(this.out("pool"), data.pool, height, width, SHEET_SIDE);
    this.#drawCurve();
    const now = performance.now();
    if (now - (this.previewed ?? -Infinity) < PREVIEW_MS || document.hidden) return;
    this.previewed = now;
    this.#preview();
  }

  async #preview() {
    if (!this.training.weights) return;
    const host = this.out("preview");
    this.mounting ??= mountPlayer(host, { bare: true });
    this.player ??= await this.mounting;
    // It may have been deleted meanwhile.
    if (this.training?.weights) this.player.setModel(playerModel(this.training));
  }

  #show(training) {
    this.training = training;
    this.host.toggleAttribute("data-shown", true);
    this.root.querySelector(".live").hidden = false;
    this.out("title").textContent = training.about.title;
    const { target, height, width } = training.setup;
    drawSheet(this.out("target"), [targetPixels(target)], height, width, 1);
    for (const name of ["before", "after", "pool"]) this.out(name).width = 0;
    this.previewed = -Infinity;
    this.#numbers(NaN, NaN);
    this.#drawCurve();
    this.#showScores();
    this.#preview();
    this.#buttons();
    this.say(training.finished ? "Finished." : training.iteration ? "Stopped." : "");
  }

  #numbers(speed, left) {
    const { iteration, history, setup } = this.training;
    const { iterations } = setup.train;
    this.root.querySelector("progress").value = iteration / iterations;
    this.out("iteration").textContent =
      `${iteration.toLocaleString("en")} of ${iterations.toLocaleString("en")}`;
    this.out("speed").textContent = Number.isFinite(speed) ? speed.toFixed(1) : "";
    this.out("left").textContent = duration(left);
    const recent = history.slice(-50).sort();
    this.out("loss").textContent = recent.length ? recent[recent.length >> 1].toFixed(2) : "";
  }

  #showScores() {
    const { scores } = this.training;
    this.root.querySelector("details").hidden = this.out("verdict").hidden = !scores;
    this.out("verdict").replaceChildren(...(scores ? verdict(scores) : []).map(([verb, words, good]) => {
      const [item, name] = [document.createElement("li"), document.createElement("b")];
      item.className = good ? "yes" : "no";
      name.textContent = verb;
      item.append(name, ` ${words}`);
      return item;
    }));
    const lines = scores ? Object.entries(scoreLines(scores)) : [];
    this.out("scores").replaceChildren(...lines.map((line) => {
      const row = document.createElement("tr");
      row.append(...line.map((text) => {
        const cell = document.createElement("td");
        cell.textContent = text;
        return cell;
      }));
      return row;
    }));
  }

  #buttons() {
    const { training, session } = this;
    const running = Boolean(session?.running);
    this.act("stop").hidden = !running;
    this.act("resume").hidden = running || this.starting || training.finished;
    const cores = session?.size;
    const cost = running ? `It keeps ${cores} processor core${cores > 1 ? "s" : ""} of this device ` +
      "fully busy until it ends, which drains a battery. " : "";
    this.out("cost").textContent = cost + this.options.about;
    for (const name of ["grow", "share"]) this.act(name).hidden = !this.options[name];
    for (const name of ["grow", "share", "download"]) this.act(name).disabled = !training.weights;
  }

  // The loss of every iteration as dots, its running median as a line.
  #drawCurve() {
    const canvas = this.out("curve");
    const density = devicePixelRatio || 1;
    const context = canvas.getContext("2d");
    canvas.width = (canvas.clientWidth || 720) * density;
    canvas.height = (canvas.clientHeight || 180) * density;
    const { history } = this.training;
    const [width, height] = [canvas.width / density, canvas.height / density];
    context.scale(density, density);
    if (history.length < 2) return;
    const sorted = history.slice().sort();
    const top = Math.ceil(sorted[Math.floor(0.98 * (sorted.length - 1))]);
    const low = Math.min(Math.floor(sorted[0]), top - 1);
    const style = getComputedStyle(this.root.querySelector(".live"));
    const [x, y] = [
      (i) => 34 + ((width - 40) * i) / (history.length - 1),
      (value) => 8 + ((height - 16) * (top - value)) / (top - low),
    ];
    context.font = "12px system-ui, sans-serif";
    context.fillStyle = style.getPropertyValue("--soft");
    context.strokeStyle = style.getPropertyValue("--line");
    for (let tick = low; tick <= top; tick++) {
      context.fillText(String(tick), 4, y(tick) + 4);
      context.beginPath();
      context.moveTo(30, y(tick));
      context.lineTo(width, y(tick));
      context.stroke();
    }
    context.globalAlpha = 0.35;
    context.fillStyle = style.getPropertyValue("--accent");
    history.forEach((value, i) => context.fillRect(x(i), y(value), 1.5, 1.5));
    context.globalAlpha = 1;
    context.strokeStyle = style.getPropertyValue("--accent");
    context.lineWidth = 2;
    context.beginPath();
    const window = Math.max(5, history.length >> 5);
    for (let i = 0; i < history.length; i += Math.max(1, window >> 2)) {
      const near = history.slice(Math.max(0, i - window), i + window).sort();
      context.lineTo(x(i), y(near[near.length >> 1]));
    }
    context.stroke();
  }

  async press(action, id) {
    if (action === "stop") this.session?.pause();
    else if (action === "resume") await this.resume();
    else if (action === "grow" || action === "share") this.options[action](this.training);
    else if (action === "download") await this.download();
    else if (action === "remove") await this.remove();
    else if (action === "show" && id !== this.training?.id) {
      await this.stop();
      const all = this.store ? await this.store.all() : [];
      const chosen = all.find((training) => training.id === id);
      if (chosen) this.#show(chosen);
    }
  }

  async download() {
    const bytes = await checkpointZip(this.training);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: "application/zip" }));
    const name = this.training.about.title.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "");
    link.download = `${name.toLowerCase() || "nca-checkpoint"}.zip`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }

  async remove() {
    if (!confirm(`Delete the training of ${this.training.about.title}?`)) return;
    if (!(await this.#lock())) { // its next save would bring it back
      this.say("This training runs in another tab of this browser; please delete it there.");
      return;
    }
    this.session?.end();
    this.session = null;
    await this.store?.remove(this.training.id);
    this.training = null;
    this.root.querySelector(".live").hidden = true;
    await this.#refreshList();
  }
}
