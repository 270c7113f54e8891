// Touch and mouse input on the picture: erase or repaint along a drag, plant a seed, inspect a cell.

const DOUBLE_MS = 350;
const DOUBLE_PX = 16;

export class Pointer {
  // The position, in picture cells {px, py} and grid cells {x, y}; null when there is none.
  at = null;
  down = false;

  constructor(player) {
    this.player = player;
    const { picture } = player.ui;
    picture.addEventListener("pointerdown", (event) => this.#press(event));
    picture.addEventListener("pointermove", (event) => this.#move(event));
    for (const name of ["pointerup", "pointercancel", "pointerleave"]) {
      picture.addEventListener(name, (event) => this.#lift(event));
    }
    picture.addEventListener("contextmenu", (event) => {
      if (this.touch) event.preventDefault(); // a long press must not open the context menu
    });
  }

  #where(event) {
    const { ui, run } = this.player;
    const box = ui.picture.getBoundingClientRect();
    const px = ((event.clientX - box.left) / box.width) * ui.picture.width;
    const py = ((event.clientY - box.top) / box.height) * ui.picture.height;
    return { px, py, ...this.#cell(px, py, run) };
  }

  // The same cell on every tile when all channels are shown.
  #cell(px, py, { width, height }) {
    const mod = (a, n) => ((Math.floor(a) % n) + n) % n;
    return { x: mod(px, width), y: mod(py, height) };
  }

  #press(event) {
    const { player } = this;
    if (!player.run.model || event.button > 0) return;
    player.ui.picture.setPointerCapture?.(event.pointerId);
    const at = this.#where(event);
    const before = this.pressed;
    this.pressed = { time: event.timeStamp, x: event.clientX, y: event.clientY };
    const twice =
      before && event.timeStamp - before.time < DOUBLE_MS &&
      Math.hypot(event.clientX - before.x, event.clientY - before.y) < DOUBLE_PX;
    this.touch = event.pointerType === "touch";
    this.at = this.last = at;
    this.down = true;
    this.id = event.pointerId; // of several fingers the newest acts
    player.cursor = null;
    if (player.tool !== "erase") player.demo.end();
    if (twice || player.tool === "seed") {
      // The first press of a double-click has already erased the cells around the seed.
      player.plant(at.x, at.y);
      this.down = false;
      this.pressed = null;
    } else if (player.tool === "look") player.inspect({ x: at.x, y: at.y });
    else {
      player.brushAt(at.x, at.y);
      this.heldAt = player.run.t; // already erased at this step
    }
    player.wake();
  }

  #move(event) {
    const { player } = this;
    if (!player.run.model || this.#other(event)) return;
    const at = (this.at = this.#where(event));
    if (this.down && player.brushes) this.#brushTo(at);
    if (this.down && player.tool === "look") player.inspect({ x: at.x, y: at.y });
    player.wake();
  }

  // A fast drag skips cells: brush along the line, unless the pointer moved to another tile.
  #brushTo(at) {
    const { player, last } = this;
    const { run, brush } = player;
    const [dx, dy] = [at.px - last.px, at.py - last.py];
    const n = Math.min(64, Math.ceil(Math.hypot(dx, dy) / Math.max(1, brush / 2)));
    if (n === 0) return;
    this.last = at;
    if (Math.abs(dx) > run.width / 2 || Math.abs(dy) > run.height / 2) return;
    for (let i = 1; i <= n; i++) {
      const { x, y } = this.#cell(last.px + (dx * i) / n, last.py + (dy * i) / n, run);
      player.brushAt(x, y);
    }
  }

  // A brush held still erases again at every step.
  hold() {
    const { player } = this;
    if (!this.down || !player.brushes || player.run.t === this.heldAt) return;
    this.heldAt = player.run.t;
    player.brushAt(this.at.x, this.at.y);
  }

  // Whether another finger acts.
  #other(event) {
    return this.down && event.pointerId !== this.id;
  }

  #lift(event) {
    if (this.#other(event)) return;
    this.down = false;
    if (event.type !== "pointerup" || this.touch) this.at = null;
    this.player.wake();
    if (!this.player.playing) this.player.drawOver();
  }
}
