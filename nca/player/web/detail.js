// How fine the automaton is drawn: who draws it, and at how many pixels per cell.
import { realGPU } from "./engine-webgl.js";
import { FineShader } from "./fine-webgl.js";
import { FinePainter, SCALES } from "./fine.js";

const BUDGET_MS = 20; // of one picture on the CPU while it runs
const LATE = 5; // pictures in a row that take longer, before fewer pixels per cell are drawn
const RISE_MS = 4000; // between attempts at more

export class Detail {
  wanted = 0; // pixels per cell; 0 is as many as the screen shows
  #most = 16; // what the frame budget allows
  #late = 0;
  #changed = 0;

  // context: {wasm}, see engines.js.
  constructor(context, ui) {
    Object.assign(this, { context, ui });
    this.canvas = ui.fine.getContext("2d");
  }

  choose(wanted) {
    this.wanted = wanted;
    this.#change(16);
  }

  // Pixels per cell of the picture on screen; 1 when it shows the cells.
  scaleFor(width, still = false) {
    const { picture } = this.ui;
    const pixels = picture.clientWidth * Math.min(window.devicePixelRatio || 1, 2);
    const most = this.painter?.name === "webgl2" ? 16 : 8; // the CPU is not in time for 16
    const wanted = this.wanted || Math.min(most, SCALES.find((n) => n * width >= pixels) ?? most);
    return Math.min(wanted, still ? 8 : 16, still && this.context.wasm ? 16 : this.#most);
  }

  // Draws the state of a run, or hides the canvas when the cells are to be seen. still: it is paused,
  // so that a picture may take longer.
  paint(run, view, ground, still) {
    const { fine } = this.ui;
    const { model, height, width } = run;
    const scale = model.decoder && view === "rgba" ? this.scaleFor(width, still) : 1;
    fine.hidden = scale === 1;
    this.scale = scale;
    if (scale === 1) return;
    const known = this.table === scale;
    const start = performance.now();
    const image = this.#draw(model, run, scale, ground);
    if (fine.width !== width * scale || fine.height !== height * scale) {
      Object.assign(fine, { width: width * scale, height: height * scale });
    }
    if (image instanceof ImageData) this.canvas.putImageData(image, 0, 0);
    else this.canvas.drawImage(image, 0, 0);
    const ms = performance.now() - start;
    // The first picture at a new scale also makes its table.
    if (this.painter.name !== "webgl2" && known && !still) this.#pace(ms);
    this.table = scale;
  }

  #draw(model, run, scale, ground) {
    const { engine, height, width, angle } = run;
    const dense = engine.read();
    if (!this.painter && realGPU()) this.#start(FineShader);
    try {
      this.painter ??= new FinePainter(this.context);
      return this.painter.paint(model, dense, height, width, scale, angle, ground);
    } catch (error) {
      if (this.painter instanceof FinePainter) throw error;
      console.warn("The graphics card does not draw fine pictures:", error);
      this.painter.dispose();
      this.painter = new FinePainter(this.context);
      return this.painter.paint(model, dense, height, width, scale, angle, ground);
    }
  }

  #start(Painter) {
    try {
      this.painter = new Painter(this.context);
    } catch (error) {
      console.warn("No fine pictures from the graphics card:", error);
    }
  }

  // Fewer pixels per cell when pictures take too long; more again when there is time. With
  // WebAssembly two per cell always are in time.
  #pace(ms) {
    this.#late = ms > BUDGET_MS ? this.#late + 1 : 0;
    const least = this.context.wasm ? 2 : 1;
    if (this.#late >= LATE && this.scale > least) this.#change(this.scale / 2);
    const since = performance.now() - this.#changed;
    if (this.#most < 16 && 5 * ms < BUDGET_MS && since > RISE_MS) this.#change(this.#most * 2);
  }

  #change(most) {
    this.#most = most;
    this.#late = 0;
    this.#changed = performance.now();
  }

  dispose() {
    this.painter?.dispose();
  }
}
