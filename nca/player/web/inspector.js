// The cell inspector: plots the channels of one cell while the automaton runs.

const LENGTH = 240; // samples kept
const COLOURS = ["#e5484d", "#2f9e5b", "#3b82f6"]; // red, green, blue; alpha has the text colour

export class Inspector {
  constructor(ui) {
    this.ui = ui;
    this.canvas = ui.traces.querySelector("canvas");
    this.samples = [];
  }

  // Watches a cell, or none when null.
  watch(cell) {
    const same = cell && this.cell && cell.x === this.cell.x && cell.y === this.cell.y;
    if (!same) this.samples = [];
    this.cell = cell;
    this.ui.traces.hidden = !cell;
  }

  sample(run) {
    if (!this.cell) return;
    const { x, y } = this.cell;
    if (x >= run.width || y >= run.height) return this.watch(null);
    const last = this.samples.at(-1);
    if (last && run.t < last.t) this.samples = []; // the visitor rewound
    if (last?.t === run.t) this.samples.pop();
    this.samples.push({ t: run.t, values: run.engine.readCell(x, y) });
    if (this.samples.length > LENGTH) this.samples.shift();
    this.#draw();
  }

  #draw() {
    const { canvas, samples, ui } = this;
    const { x, y } = this.cell;
    const now = samples.at(-1).values;
    ui.out("cell").textContent = `cell ${x}, ${y}`;
    const names = ["r", "g", "b", "a"];
    ui.out("values").textContent = names.map((name, c) => `${name} ${now[c].toFixed(2)}`).join("  ");
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const [width, height] = [canvas.clientWidth * ratio, canvas.clientHeight * ratio];
    if (!width) return;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const style = getComputedStyle(canvas);
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, width, height);
    let reach = 0.25;
    for (const { values } of samples) for (const v of values) reach = Math.max(reach, Math.abs(v));
    reach = Math.min(reach, 4) * 1.08;
    const level = (v) => height / 2 - (Math.max(-reach, Math.min(v, reach)) / reach) * (height / 2);
    const across = (i) => width - ((samples.length - 1 - i) / (LENGTH - 1)) * width;
    const line = (colour, weight, opacity, points) => {
      context.strokeStyle = colour;
      context.lineWidth = weight * ratio;
      context.globalAlpha = opacity;
      context.beginPath();
      points.forEach(([px, py], i) => (i ? context.lineTo(px, py) : context.moveTo(px, py)));
      context.stroke();
    };
    const ink = style.color;
    line(ink, 1, 0.2, [[0, level(0)], [width, level(0)]]);
    for (let c = now.length - 1; c >= 0; c--) {
      const points = samples.map(({ values }, i) => [across(i), level(values[c])]);
      if (c > 3) line(ink, 1, 0.28, points);
      else line(c === 3 ? ink : COLOURS[c], 1.75, 1, points);
    }
  }
}
