// Drawn over the picture: the brush, flashes where cells were edited, the watched cell.

const FLASH_MS = 350;

export class Overlay {
  flashes = [];
  #shown = false; // whether anything is drawn

  constructor(ui) {
    this.ui = ui;
  }

  // Highlights the cells of an edit for a moment; of those only the ones in `lived`, when given.
  flash(runs, lived, width) {
    if (lived) runs = (runs ?? []).flatMap((run) => within(run, lived, width));
    if (runs?.length) this.flashes.push({ runs, since: performance.now() });
  }

  // cell: the watched cell; at: the position of the pointer or cursor; brush: a radius, or false.
  draw(now, run, cell, at, brush) {
    this.flashes = this.flashes.filter(({ since }) => now - since < FLASH_MS);
    const shows = Boolean(this.flashes.length || at || cell);
    // Clearing an empty canvas makes the browser compose the page again.
    if (!shows && !this.#shown) return;
    this.#shown = shows;
    const { over, picture } = this.ui;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.round(picture.clientWidth * ratio);
    const height = Math.round(picture.clientHeight * ratio);
    if (over.width !== width || over.height !== height) Object.assign(over, { width, height });
    const context = over.getContext("2d");
    context.clearRect(0, 0, width, height);
    const size = width / picture.width;
    if (this.flashes.length) this.#drawFlashes(context, now, run, size);
    if (at) {
      this.#outline(context, 1.5, () => {
        if (brush) context.arc(at.px * size, at.py * size, (brush + 0.5) * size, 0, 7);
        else context.rect(Math.floor(at.px) * size, Math.floor(at.py) * size, size, size);
      });
    }
    if (cell) {
      this.#outline(context, 2 * ratio, () => {
        context.rect(cell.x * size, cell.y * size, size, size);
      });
    }
  }

  // Drawn on every tile when all channels are shown.
  #drawFlashes(context, now, { width, height }, size) {
    const { picture } = this.ui;
    context.fillStyle = "#f59e0b";
    const lit = new Set(); // each cell once, however often the brush passed over it
    for (const { runs, since } of this.flashes.toReversed()) {
      context.globalAlpha = 0.5 * (1 - Math.max(0, now - since) / FLASH_MS) ** 2;
      for (const [y, x0, x1] of runs) {
        for (let x = x0; x < x1; x++) {
          if (lit.has(y * width + x)) continue;
          lit.add(y * width + x);
          for (let top = y; top < picture.height; top += height) {
            for (let left = x; left < picture.width; left += width) {
              context.fillRect(left * size, top * size, size, size);
            }
          }
        }
      }
    }
    context.globalAlpha = 1;
  }

  // A light line on a dark one, visible on any background.
  #outline(context, weight, shape) {
    for (const [colour, extra] of [["rgb(0 0 0 / .55)", 1.5], ["#fff", 0]]) {
      context.strokeStyle = colour;
      context.lineWidth = weight + extra;
      context.beginPath();
      shape();
      context.stroke();
    }
  }
}

// The parts of a run [y, x0, x1) whose cells are in a mask of the grid.
function within([y, x0, x1], mask, width) {
  const parts = [];
  for (let x = x0; x < x1; x++) {
    if (!mask[y * width + x]) continue;
    const last = parts.at(-1);
    if (last?.[2] === x) last[2] = x + 1;
    else parts.push([y, x, x + 1]);
  }
  return parts;
}
