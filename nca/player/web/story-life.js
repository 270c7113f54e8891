// One automaton in a figure of the story: its canvas, the ring around a cell, touch and mouse.
import { GROUND } from "./ground.js";
import { pictureSize } from "./paint.js";

export class Life {
  // use(x, y): called for every cell that is pressed or dragged over, or null.
  constructor(figure, run, use) {
    Object.assign(this, { figure, run, use });
    this.canvas = figure.querySelector(".living");
    this.ring = figure.querySelector(".ring");
    this.context = this.canvas.getContext("2d");
    this.canvas.addEventListener("pointerdown", (event) => {
      if (event.button > 0 || !this.use) return;
      this.canvas.setPointerCapture?.(event.pointerId);
      this.id = event.pointerId; // of several fingers the newest acts
      this.last = this.#cell(event);
      this.use(this.last.x, this.last.y);
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (this.last && event.pointerId === this.id) this.#drag(event);
    });
    for (const name of ["pointerup", "pointercancel"]) {
      this.canvas.addEventListener(name, ({ pointerId }) => {
        if (pointerId === this.id) this.last = null;
      });
    }
  }

  #cell(event) {
    const { width, height } = this.run;
    const box = this.canvas.getBoundingClientRect();
    const within = (share, most) => Math.max(0, Math.min(most - 1, Math.floor(share * most)));
    return {
      x: within((event.clientX - box.left) / box.width, width),
      y: within((event.clientY - box.top) / box.height, height),
    };
  }

  // A fast drag skips cells: those on the line between are used too.
  #drag(event) {
    const { last } = this;
    const now = this.#cell(event);
    const n = Math.max(Math.abs(now.x - last.x), Math.abs(now.y - last.y));
    for (let i = 1; i <= n; i++) {
      const between = (a, b) => Math.round(a + ((b - a) * i) / n);
      this.use(between(last.x, now.x), between(last.y, now.y));
    }
    this.last = now;
  }

  // view: as in paint.js; theme: "light" or "dark".
  draw(view, theme) {
    const { run, canvas } = this;
    const size = pictureSize(view, { height: run.height, width: run.width, channels: run.model.channels });
    if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
    run.engine.paint(view, GROUND[theme]);
    run.engine.draw(this.context);
  }

  // A ring around the cells at most `reach` away from (x, y).
  mark(x, y, reach = 0) {
    const { width, height } = this.run;
    this.ring.hidden = false;
    Object.assign(this.ring.style, {
      left: `${((x - reach) / width) * 100}%`,
      top: `${((y - reach) / height) * 100}%`,
      width: `${((1 + 2 * reach) / width) * 100}%`,
      height: `${((1 + 2 * reach) / height) * 100}%`,
    });
  }
}
