// How it works: a story in chapters of one screen each, played in the visitor's browser.
import { compileWasm } from "./engine-wasm.js";
import { followTheme, GROUND } from "./ground.js";
import { activations, decodeBase64, parseModel } from "./model.js";
import { Run } from "./run.js";
import { perceive } from "./story-cell.js";
import { CHAPTERS } from "./story-chapters.js";
import { pen } from "./story-draw.js";
import { Life } from "./story-life.js";
import { buildFigures, buildStoryFrame, showStoryPlaying } from "./story-markup.js";

const SEED = 1; // the same life every time, so that a class sees what its teacher saw
const MOST_STEPS = 4; // in one frame
const ADDRESS = "#how-it-works"; // of the story in the page's address; "/3" is the third chapter

// models: `player_model`s by name; the first one is the hero, and all are in the last chapter.
export async function mountStory(host, models) {
  const wasm = await compileWasm(decodeBase64(WASM));
  host.ncaStory?.destroy();
  return new Story(host, wasm, models);
}

class Story {
  chapter = 0;

  constructor(host, wasm, models) {
    this.host = host;
    this.wasm = wasm;
    this.sent = models;
    this.names = Object.keys(models).reverse(); // the hero comes last there
    this.parsed = Object.fromEntries(this.names.map((name) => [name, parseModel(models[name])]));
    this.model = this.parsed[Object.keys(models)[0]];
    this.model.weights = this.model.layers.reduce(
      (sum, { inputs, outputs }) => sum + inputs * outputs + outputs, 0,
    );
    this.ui = buildStoryFrame(host, CHAPTERS.map(({ title }) => title));
    this.still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.playing = !this.still;
    this.seen = true;
    host.ncaStory = this;
    this.#listen();
    this.go(this.#addressed() ?? 0, false);
    this.unfollow = followTheme(host, () => this.changed());
  }

  get theme() {
    return this.host.dataset.theme ?? "light";
  }

  get ground() {
    return GROUND[this.theme];
  }

  // ------------------------------------------------------------------ chapters

  // `told`: whether to announce the chapter to screen readers.
  go(number, told = true) {
    const { ui } = this;
    this.chapter = Math.max(0, Math.min(number, CHAPTERS.length - 1));
    const { title, words, act } = this.now;
    ui.title.textContent = title;
    ui.text.innerHTML = words(this).map((text) => `<p>${text}</p>`).join("");
    ui.chapters.forEach((button, i) => {
      if (i === this.chapter) button.setAttribute("aria-current", "step");
      else button.removeAttribute("aria-current");
    });
    ui.act("back").disabled = this.chapter === 0;
    ui.act("next").disabled = this.chapter === CHAPTERS.length - 1;
    ui.act("own").hidden = !act;
    ui.act("own").textContent = act?.label ?? "";
    if (told) {
      ui.spoken.textContent = `Chapter ${this.chapter + 1}: ${title}`;
      this.#address(`${ADDRESS}/${this.chapter + 1}`);
    }
    this.begin();
  }

  get now() {
    return CHAPTERS[this.chapter];
  }

  // The chapter in the page's address; undefined where there is none.
  #addressed() {
    const [, number] = location.hash.match(/^#how-it-works\/(\d)$/) ?? [];
    return number && Number(number) - 1;
  }

  #address(hash) {
    try {
      history.replaceState(history.state, "", hash || location.pathname + location.search);
    } catch { /* a frame that may not change its address */ }
  }

  // Begins the chapter, or begins it anew.
  begin() {
    const { now } = this;
    const figures = buildFigures(this.ui, now, this.names);
    this.figures = figures;
    Object.assign(this, { seed: SEED, rested: 0, owed: 0, cell: null, picked: false, most: null });
    const hero = Object.keys(this.sent)[0];
    this.lives = figures.lives.map((figure, i) => {
      const name = now.layout === "trio" ? this.names[i] : hero;
      const use = now.use && ((x, y) => {
        now.use(this, x, y);
        this.changed();
      });
      const life = new Life(figure, this.#run(name), use);
      life.canvas.classList.toggle("erases", Boolean(now.act && now.use));
      return life;
    });
    this.life = this.lives.at(-1);
    this.run = this.life.run;
    figures.drawing?.addEventListener("pointerdown", (event) => {
      const box = figures.drawing.getBoundingClientRect();
      now.touch?.(this, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
      this.changed();
    });
    this.note("");
    now.begin(this);
    if (this.still) for (let i = 0; i < now.still; i++) now.step(this);
    showStoryPlaying(this.ui, this.playing);
    this.changed();
  }

  // A run of one of the models from its seed; each model keeps one engine.
  #run(name) {
    this.runs ??= {};
    const run = (this.runs[name] ??= new Run({ wasm: this.wasm, wanted: "auto" }));
    const { height, width } = this.sent[name];
    run.start(this.parsed[name], height, width, SEED);
    return run;
  }

  // ------------------------------------------------------------------ called by chapters

  // The hero's state, read once after each step.
  state() {
    return (this.read ??= this.run.engine.read());
  }

  // What the followed cell perceives now, and the values of every layer of its network.
  thoughts() {
    const { model, run, cell } = this;
    const state = this.state();
    const perceived = perceive(model, state, run.height, run.width, cell.x, cell.y);
    const at = (cell.y * run.width + cell.x) * model.channels;
    const kind = model.kinds ? state[at + model.seen] : 0;
    return { perceived, layers: activations(model, perceived, kind) };
  }

  // Captions of the figures, HTML.
  say(...texts) {
    this.figures.captions.forEach((caption, i) => {
      if (texts[i] !== undefined && caption.innerHTML !== texts[i]) caption.innerHTML = texts[i];
    });
    this.figures.drawing?.setAttribute("aria-label", texts[1] ?? "");
  }

  note(text) {
    this.ui.note.textContent = text;
  }

  // Something to draw has changed.
  changed() {
    this.read = null;
    this.dirty = true;
    this.wake();
  }

  // ------------------------------------------------------------------ the loop

  toggle() {
    this.playing = !this.playing;
    showStoryPlaying(this.ui, this.playing);
    this.wake();
  }

  wake() {
    if (this.frame || !this.#mayRun()) return;
    this.last = performance.now();
    this.frame = requestAnimationFrame((now) => this.#tick(now));
  }

  #mayRun() {
    return this.seen && !this.gone && !document.hidden && this.host.isConnected && this.lives;
  }

  #tick(now) {
    this.frame = 0;
    if (!this.#mayRun()) return;
    if (this.playing) this.#steps(now - this.last);
    this.last = now;
    if (this.dirty) this.#draw();
    if (this.playing) this.frame = requestAnimationFrame((next) => this.#tick(next));
  }

  #steps(passed) {
    this.owed = Math.min(this.owed + (this.now.speed * passed) / 1000, MOST_STEPS);
    for (; this.owed >= 1; this.owed--) {
      this.now.step(this);
      this.read = null;
      this.dirty = true;
    }
  }

  #draw() {
    this.dirty = false;
    const { drawing } = this.figures;
    this.now.draw(this, drawing && pen(drawing));
  }

  // ------------------------------------------------------------------ controls

  press(action) {
    if (action === "next") this.go(this.chapter + 1);
    else if (action === "back") this.go(this.chapter - 1);
    else if (action === "again") this.begin();
    else if (action === "play") this.toggle();
    else if (action === "full") this.#full();
    else if (action === "own") {
      this.now.act?.press(this);
      this.changed();
    }
  }

  #full() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.host.requestFullscreen?.().catch(() => {}); // an embedding page may forbid it
  }

  #listen() {
    const { root } = this.ui;
    this.ui.act("full").hidden = !document.fullscreenEnabled;
    root.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button?.dataset.go) this.go(Number(button.dataset.go));
      else if (button?.dataset.act) this.press(button.dataset.act);
    });
    this.keys = (event) => this.#key(event);
    document.addEventListener("keydown", this.keys);
    this.visible = () => this.wake();
    document.addEventListener("visibilitychange", this.visible);
    this.watching = new IntersectionObserver((entries) => {
      this.seen = entries.at(-1).isIntersecting;
      // On another tab the address is not the story's any more.
      if (!this.host.checkVisibility() && location.hash.startsWith(ADDRESS)) this.#address("");
      this.wake();
    });
    this.addressed = () => {
      const chapter = this.#addressed();
      if (chapter !== undefined && chapter !== this.chapter) this.go(chapter);
    };
    window.addEventListener("hashchange", this.addressed);
    this.watching.observe(this.host);
    this.sizes = new ResizeObserver(() => this.changed());
    this.sizes.observe(this.host);
  }

  // Keys act while the story is in sight and the focus in it, nowhere, or on the tab that opened it.
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.seen || !this.host.isConnected) return;
    const inside = event.composedPath().includes(this.host);
    const { target } = event;
    if (!inside && target !== document.body && target.getAttribute("role") !== "tab") return;
    const at = event.composedPath()[0];
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (at.tagName === "BUTTON" && [" ", "Enter"].includes(key)) return; // presses the button
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
    if (event.shiftKey && arrow) this.#move(...arrow);
    else if (key === "ArrowRight" || key === "PageDown") this.press("next");
    else if (key === "ArrowLeft" || key === "PageUp") this.press("back");
    else if (key === "Home") this.go(0);
    else if (key === "End") this.go(CHAPTERS.length - 1);
    else if (key === " ") this.toggle();
    else if (key === "r") this.begin();
    else if (key === "f") this.#full();
    else if (/^[1-8]$/.test(key)) this.go(Number(key) - 1);
    else return;
    event.preventDefault();
  }

  // Shift and an arrow key choose the next cell, or the next channel.
  #move(dx, dy) {
    if (this.now.move) this.now.move(this, dx, dy);
    else if (this.cell && this.now.use) {
      const { width, height } = this.run;
      const within = (value, most) => Math.max(0, Math.min(value, most - 1));
      this.now.use(this, within(this.cell.x + dx, width), within(this.cell.y + dy, height));
    }
    this.changed();
  }

  destroy() {
    this.gone = true;
    document.removeEventListener("keydown", this.keys);
    document.removeEventListener("visibilitychange", this.visible);
    window.removeEventListener("hashchange", this.addressed);
    this.watching.disconnect();
    this.sizes.disconnect();
    this.unfollow();
    for (const run of Object.values(this.runs)) run.engine?.dispose();
  }
}
