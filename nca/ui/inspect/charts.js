// Line charts: <line-charts data-charts="...">, side by side, under one legend.
// A click on the legend hides a line; a double click, or a click with alt or shift, isolates it.
// data-charts is { name, series: [[name, colour, weight]], charts: [{ title, x, lines }], guide,
// at, cut, seek }: `lines` in the order of `series`, null for a missing value; `guide`: the
// value of a horizontal line; `at`, `cut`: steps that are marked; `seek`: selector of the slider that
// a click moves. Drawn in a shadow root, because Gradio patches a component's content in place.
const STYLE = `
  :host { display: block; }
  .legend { display: flex; flex-wrap: wrap; gap: 6px; margin-bottom: 10px; }
  .legend:not(:has([aria-pressed] + [aria-pressed])) { display: none; }
  button { display: inline-flex; align-items: center; gap: 7px; min-height: 32px;
    padding: 2px 11px; border-radius: 99px; font: inherit; font-size: .85rem; cursor: pointer;
    touch-action: manipulation; user-select: none; color: var(--body-text-color);
    border: 1px solid var(--border-color-primary); background: var(--block-background-fill); }
  button:hover { border-color: var(--primary-400); }
  button:focus-visible { outline: 2px solid var(--primary-500); outline-offset: 2px; }
  button i { width: 12px; height: 12px; border-radius: 4px; }
  [aria-pressed=false] { color: var(--body-text-color-subdued); text-decoration: line-through; }
  [aria-pressed=false] i { opacity: .25; }
  .all { border-color: transparent; text-decoration: underline; background: none; }
  .all:disabled { display: none; }
  .charts { display: grid; gap: 14px 18px;
    grid-template-columns: repeat(auto-fit, minmax(max(min(270px, 100%), (100% - 36px) / 3), 1fr)); }
  figure { margin: 0; padding: 10px 12px 4px; border-radius: 12px;
    background: var(--block-background-fill); border: 1px solid var(--border-color-primary); }
  figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 12px;
    min-height: 1.4em; margin: 0 0 4px; font-size: .82rem; color: var(--body-text-color-subdued); }
  b { color: var(--body-text-color); }
  svg { display: block; width: 100%; overflow: visible; color: var(--body-text-color);
    touch-action: pan-y; }
  .seeks svg { cursor: pointer; }
  path { fill: none; stroke-linejoin: round; }
  text { font-size: 11px; fill: var(--body-text-color-subdued); }
  .grid { stroke: var(--border-color-primary); }
  .zero, .guide { stroke: var(--body-text-color-subdued); }
  .guide { stroke-dasharray: 5 4; }
  .now { stroke: var(--primary-500); stroke-width: 1.5; }
  .hair { stroke: var(--body-text-color-subdued); stroke-dasharray: 2 3; visibility: hidden; }
  .hair.shown { visibility: visible; }`;
const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [360, 210, 38, 10, 8, 22];
const hiddenIn = new Map(); // by name, so that hidden lines stay hidden when the charts change

const make = (tag, attributes = {}, ...children) => {
  const svg = ['svg', 'g', 'path', 'line', 'text'].includes(tag);
  const node = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag)
    : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
};
const ticks = (low, high, most) => {
  if (!(high > low)) return [low];
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 2.5, 5, 10].find((m) => m * power >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) found.push(i * step);
  return found;
};
const short = (value) => {
  const large = Math.abs(value) >= 1e5;
  return (large ? value.toExponential(1) : String(Number(value.toPrecision(3)))).replace('-', '\u2212');
};

class LineCharts extends HTMLElement {
  static observedAttributes = ['data-charts'];
  root = this.attachShadow({ mode: 'open' });

  connectedCallback() {
    document.addEventListener('input', this.follow);
  }

  disconnectedCallback() {
    document.removeEventListener('input', this.follow);
  }

  attributeChangedCallback() {
    Object.assign(this, JSON.parse(this.dataset.charts));
    const names = this.series.map(([name]) => name);
    if (!hiddenIn.has(this.name)) hiddenIn.set(this.name, new Set());
    this.hiddenNames = hiddenIn.get(this.name);
    if (names.every((name) => this.hiddenNames.has(name))) this.hiddenNames.clear();
    this.buttons = this.series.map(([name, colour]) => {
      const button = make('button', { type: 'button', title: 'Double click: this one alone' },
        make('i', { style: `background:${colour}` }), name);
      button.addEventListener('click', (e) => (e.altKey || e.shiftKey ? this.isolate(name) : this.toggle(name)));
      button.addEventListener('dblclick', () => this.isolate(name));
      return button;
    });
    const all = make('button', { type: 'button', class: 'all' }, 'Show all');
    all.addEventListener('click', () => { this.hiddenNames.clear(); this.draw(); });
    this.all = all;
    const legend = make('div', { class: 'legend', role: 'group', 'aria-label': 'Lines to show' });
    legend.append(...this.buttons, all);
    this.figures = this.charts.map((chart) => this.figure(chart));
    const charts = make('div', { class: this.seek ? 'charts seeks' : 'charts' });
    charts.append(...this.figures.map((figure) => figure.node));
    this.root.replaceChildren(make('style', {}, STYLE), legend, charts);
    this.draw();
  }

  // The mark of the current step follows the slider.
  follow = (event) => {
    if (this.seek && event.target.closest?.(this.seek)) this.mark(Number(event.target.value));
  };

  toggle(name) {
    if (!this.hiddenNames.delete(name)) this.hiddenNames.add(name);
    this.draw();
  }

  // Shows only this line, or all lines when only this one is shown.
  isolate(name) {
    const others = this.series.map(([other]) => other).filter((other) => other !== name);
    const alone = !this.hiddenNames.has(name) && others.every((o) => this.hiddenNames.has(o));
    this.hiddenNames.clear();
    if (!alone) others.forEach((other) => this.hiddenNames.add(other));
    this.draw();
  }

  figure(chart) {
    const svg = make('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': chart.title });
    const said = make('span');
    const node = make('figure', {}, make('figcaption', {}, make('b', {}, chart.title), said), svg);
    const figure = { chart, svg, said, node };
    svg.addEventListener('pointermove', (event) => this.read(figure, event));
    svg.addEventListener('pointerleave', () => this.read(figure, null));
    svg.addEventListener('click', (event) => {
      if (!this.seek) return;
      const step = chart.x[this.nearest(chart, event, svg).index];
      this.dispatchEvent(new CustomEvent('seek', { bubbles: true, detail: step }));
    });
    return figure;
  }

  draw() {
    const shown = this.series.map(([name]) => !this.hiddenNames.has(name));
    this.buttons.forEach((button, i) => button.setAttribute('aria-pressed', String(shown[i])));
    this.all.disabled = shown.every(Boolean);
    for (const figure of this.figures) this.plot(figure, shown);
    if (Number.isFinite(this.at)) this.mark(this.at);
  }

  // The lowest and highest value of the visible lines, with a margin.
  reach(chart, shown) {
    let [low, high] = Number.isFinite(this.guide) ? [this.guide, this.guide] : [Infinity, -Infinity];
    chart.lines.forEach((line, i) => shown[i] && line.forEach((v) => {
      if (v !== null) [low, high] = [Math.min(low, v), Math.max(high, v)];
    }));
    if (!(high > low)) [low, high] = Number.isFinite(low) ? [low - 1, high + 1] : [0, 1];
    const room = (high - low) * 0.04;
    return [low - room, high + room];
  }

  plot(figure, shown) {
    const { chart, svg } = figure;
    chart.range = this.reach(chart, shown);
    const [across, up] = this.scales(chart);
    const [first, last] = [chart.x[0], chart.x.at(-1)];
    const level = (y, kind) => make('line', { class: kind, x1: LEFT, x2: WIDTH - RIGHT, y1: up(y), y2: up(y) });
    const parts = [];
    for (const y of ticks(...chart.range, 5)) {
      parts.push(level(y, Math.abs(y) < 1e-9 ? 'grid zero' : 'grid'));
      parts.push(make('text', { x: LEFT - 6, y: up(y) + 4, 'text-anchor': 'end' }, short(y)));
    }
    for (const x of ticks(first, last, 5)) {
      parts.push(make('text', { x: across(x), y: HEIGHT - 6, 'text-anchor': 'middle' }, short(x)));
    }
    if (Number.isFinite(this.guide)) parts.push(level(this.guide, 'guide'));
    if (Number.isFinite(this.cut)) {
      const x = across(this.cut);
      parts.push(make('line', { class: 'guide', x1: x, x2: x, y1: TOP, y2: HEIGHT - BOTTOM }));
    }
    this.series.forEach(([name, colour, weight], i) => {
      if (!shown[i]) return;
      let [d, pen] = ['', 'M'];
      chart.lines[i].forEach((v, at) => {
        if (v === null) pen = 'M';
        else [d, pen] = [`${d}${pen}${across(chart.x[at]).toFixed(1)} ${up(v).toFixed(1)}`, 'L'];
      });
      parts.push(make('path', { d, 'data-line': name, stroke: colour, 'stroke-width': weight }));
    });
    figure.now = make('line', { class: 'now', y1: TOP, y2: HEIGHT - BOTTOM });
    figure.hair = make('line', { class: 'hair', y1: TOP, y2: HEIGHT - BOTTOM });
    svg.replaceChildren(...parts, ...(this.seek ? [figure.now] : []), figure.hair);
  }

  scales(chart) {
    const [first, last] = [chart.x[0], chart.x.at(-1)];
    const [low, high] = chart.range;
    return [
      (x) => LEFT + (x - first) / (last - first || 1) * (WIDTH - LEFT - RIGHT),
      (y) => HEIGHT - BOTTOM - (y - low) / (high - low) * (HEIGHT - TOP - BOTTOM),
    ];
  }

  mark(step) {
    this.at = step;
    for (const { chart, now } of this.figures) {
      const x = this.scales(chart)[0](step);
      now.setAttribute('x1', x);
      now.setAttribute('x2', x);
    }
  }

  // The point of the visible lines that is nearest to the pointer.
  nearest(chart, event, svg) {
    const box = svg.getBoundingClientRect();
    const [px, py] = [(event.clientX - box.left) / box.width * WIDTH, (event.clientY - box.top) / box.height * HEIGHT];
    const [across, up] = this.scales(chart);
    const off = (i) => Math.abs(across(chart.x[i]) - px);
    const index = chart.x.reduce((best, _, i) => (off(i) < off(best) ? i : best), 0);
    const found = { index, name: null, value: null, far: Infinity };
    this.series.forEach(([name], i) => {
      const value = chart.lines[i][index] ?? null;
      if (this.hiddenNames.has(name) || value === null) return;
      const far = Math.abs(up(value) - py);
      if (far < found.far) Object.assign(found, { name, value, far });
    });
    return found;
  }

  read(figure, event) {
    const { chart, svg, said, hair } = figure;
    hair.classList.toggle('shown', Boolean(event));
    if (!event) return said.replaceChildren();
    const { index, name, value } = this.nearest(chart, event, svg);
    const x = this.scales(chart)[0](chart.x[index]);
    hair.setAttribute('x1', x);
    hair.setAttribute('x2', x);
    said.textContent = `step ${chart.x[index]}${name ? ` \u00b7 ${name} ${short(value)}` : ''}`;
  }
}
if (!customElements.get('line-charts')) customElements.define('line-charts', LineCharts);
element.addEventListener('seek', (event) => trigger('seek', { step: event.detail }));
