// The player's HTML. Built once, never re-rendered: only text, attributes and pixels change.
import { ENGINES } from "./engines.js";
import { SHAPES, solid } from "./events.js";

const icon = (path) =>
  `<svg viewBox="0 0 24 24" aria-hidden="true" focusable="false">${path}</svg>`;

const PLAY = icon('<path d="M7 4.5v15l12.5-7.5z" fill="currentColor" stroke="none"/>');
const PAUSE = icon('<path d="M8.5 5v14M15.5 5v14" stroke-width="3"/>');
const HAND = '<path d="M9 11V5.2a1.7 1.7 0 0 1 3.4 0V10l5.2 1.1a2.4 2.4 0 0 1 1.9 2.8l-.8 4.4a4 4 0 0 1-3.9 3.2h-2.5a4 4 0 0 1-3.2-1.6l-4-5.4a1.6 1.6 0 0 1 2.4-2.1z"/>';

const button = (act, label, content, extra = "") =>
  `<button type="button" data-act="${act}" aria-label="${label}" title="${label}" ${extra}>${content}</button>`;

const tool = (name, label, path) =>
  button(`tool:${name}`, label, `${icon(path)}<span>${label}</span>`, 'aria-pressed="false"');

const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

// A button for each kind; `names`: one for each, the last ones those of children; `faces`: pictures
// that are shown in place of names.
export const kindButtons = (names, children, faces = []) =>
  names.map(escaped).map((name, k) => {
    const said = name === String(k + 1) ? "" : `, ${name}`;
    const child = k >= names.length - children ? 'class="child"' : "";
    const label = `Kind ${k + 1}${said}: plant it`;
    const shown = faces[k] ? `<img src="${escaped(faces[k])}" alt="">` : name;
    return button(`kind:${k + 1}`, label, shown, `${child} aria-pressed="false"`);
  }).join("");

// The kinds that can be crossed, as options.
export const kindOptions = (names) =>
  names.map(escaped).map((name, k) => `<option value="${k + 1}">${name}</option>`).join("");

const damage = ([shape, { label, icon: path }]) =>
  button(`damage:${shape}`, `Damage: ${label}`, icon(path));

const engine = ([name, { label }]) => `<option value="${name}">${label}</option>`;

const slider = (name, label, min, max, step, value, hint = "") => `
  <label class="slider"><span>${label}</span><output data-out="${name}"></output>
    <input type="range" data-in="${name}" min="${min}" max="${max}" step="${step}" value="${value}"
      aria-label="${label}" title="${hint}">${hint && `<small>${hint}</small>`}</label>`;

const MARKUP = `
<div class="player" role="group" aria-label="Neural cellular automaton">
  <div class="stage">
    <canvas class="picture" tabindex="0" role="application" aria-describedby="hint"></canvas>
    <canvas class="fine" aria-hidden="true" hidden></canvas>
    <canvas class="over" aria-hidden="true"></canvas>
    <i class="finger" aria-hidden="true" hidden>${icon(HAND)}</i>
    ${button("play", "Pause (space)", PAUSE, 'class="corner"')}
    <p class="caption" role="status" hidden></p>
    <div class="notice" role="alert" hidden><p></p>
      <button type="button" data-act="anew">Grow it anew</button></div>
  </div>
  <div class="panel">
    <div class="transport">
      ${button("reset", "Start again from a seed (R)", icon('<path d="M5 12a7 7 0 1 0 2.2-5.1M5 4v4.5h4.5"/>'))}
      ${button("back", "One step back (,)", icon('<path d="M18 5v14l-9-7zM6 5v14" fill="none"/>'))}
      ${button("play", "Pause (space)", PAUSE, 'class="main"')}
      ${button("step", "One step (.)", icon('<path d="M6 5v14l9-7zM18 5v14" fill="none"/>'))}
      <p class="count"><b data-out="step">0</b><span>steps</span></p>
    </div>
    <input class="time" type="range" data-in="time" min="0" max="0" step="1" value="0"
      aria-label="Rewind: step">
    <div class="tools" role="group" aria-label="What touching the picture does">
      ${tool("erase", "Damage", '<path d="M4 16.5 13 7.5l5.5 5.5-6 6H6.5zM9 11.5l5.5 5.5M12 20h8"/>')}
      ${tool("seed", "Plant", '<path d="M12 20v-8M12 13c0-4 2.5-6.5 7-7 0 4.5-2.5 7-7 7zM12 15.5c0-3-2-5-6-5.5 0 3.5 2 5.5 6 5.5z"/>')}
      ${tool("genes", "Genes", '<path d="M8 4c0 5 8 5 8 10s-8 5-8 6M16 4c0 5-8 5-8 10s8 5 8 6M9 7h6M9 17h6"/>')}
      ${tool("look", "Look", '<circle cx="11" cy="11" r="6"/><path d="m15.5 15.5 5 5"/>')}
    </div>
    <div class="kinds" role="group" aria-label="Kind" hidden></div>
    <details class="crossing kinded"><summary>Cross two kinds</summary>
      <div><select data-in="first" aria-label="First kind"></select>
        <input type="range" data-in="share" min="0" max="100" step="1" value="50"
          aria-label="Share of the second kind">
        <select data-in="second" aria-label="Second kind"></select></div>
      <p><span data-out="share"></span>
        <button type="button" data-act="keep"
          title="Until another automaton is chosen; an exported player has it, too">Keep as a kind</button></p></details>
    <div class="damages" role="group" aria-label="Damage">
      ${Object.entries(SHAPES).map(damage).join("")}
    </div>
    <div class="sliders">
      ${slider("speed", "Speed", 0, 6, 1, 2)}
      ${slider("brush", "Brush", 1, 10, 1, 3)}
      ${slider("angle", "Angle", 0, 360, 1, 0, "Turns what every cell sees: it grows turned.")}
    </div>
    <div class="looks">
      <label><span>View</span><select data-in="view"></select></label>
      <label><span>Grid</span><select data-in="grid"></select></label>
      <label class="detail" hidden><span>Detail</span><select data-in="detail">
        <option value="0">Fine</option><option value="1">Cells</option>
        ${[2, 4, 8, 16].map((n) => `<option value="${n}">${n} per cell</option>`).join("")}
      </select></label>
      <div>${button("ground", "Light or dark ground", icon('<circle cx="12" cy="12" r="7.5"/>' + solid("M12 4.5a7.5 7.5 0 0 1 0 15z")))}
      ${button("help", "Keyboard shortcuts (?)", icon('<rect x="3" y="6" width="18" height="12" rx="2"/><path d="M7 10h.01M11 10h.01M15 10h.01M8 14h8"/>'), 'aria-expanded="false"')}
      ${button("full", "Full screen (F)", icon('<path d="M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5"/>'))}</div>
    </div>
    <div class="traces" hidden><p><b data-out="cell"></b><span data-out="values"></span></p>
      <canvas aria-hidden="true"></canvas></div>
    <details class="details"><summary>Details</summary>
      <label><span>Engine</span><select data-in="engine">
        <option value="auto">automatic</option>${Object.entries(ENGINES).map(engine).join("")}
      </select></label>
      <p class="rates" data-out="rates"></p></details>
    <dl class="keys" hidden>
      <dt>space</dt><dd>play, pause</dd><dt>. ,</dt><dd>step, step back</dd>
      <dt>R</dt><dd>start again</dd><dt>E P L</dt><dd>damage, plant, look</dd>
      <dt>arrows</dt><dd>move the cursor</dd><dt>enter</dt><dd>use the tool there</dd>
      <dt>[ ]</dt><dd>brush size</dd><dt>&minus; +</dt><dd>speed</dd>
      <dt>V</dt><dd>next view</dd><dt>1 &hellip; ${Object.keys(SHAPES).length}</dt><dd>damage at once</dd>
      <dt>F</dt><dd>full screen</dd><dt>D</dt><dd>cells or fine</dd>
      <dt class="kinded">G</dt><dd class="kinded">repaint genes</dd>
    </dl>
    <p class="spoken" aria-live="polite"></p>
    <p class="spoken" id="hint">Arrow keys move a cursor, enter uses the tool there, space plays and
      pauses, question mark lists all keys.</p>
  </div>
</div>`;

export function buildPlayer(host) {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const style = document.createElement("style");
  style.textContent = STYLE;
  root.innerHTML = MARKUP;
  root.prepend(style);
  const found = new Map(); // cached, because it is looked up at every step
  const one = (selector) => {
    if (!found.has(selector)) found.set(selector, root.querySelector(selector));
    return found.get(selector);
  };
  return {
    root,
    player: one(".player"),
    stage: one(".stage"),
    picture: one(".picture"),
    fine: one(".fine"),
    detail: one(".detail"),
    kinds: one(".kinds"),
    crossing: one(".crossing"),
    over: one(".over"),
    caption: one(".caption"),
    finger: one(".finger"),
    notice: one(".notice"),
    says: one(".notice p"),
    traces: one(".traces"),
    keys: one(".keys"),
    spoken: one(".spoken"),
    input: (name) => one(`[data-in="${name}"]`),
    out: (name) => one(`[data-out="${name}"]`),
    act: (name) => one(`[data-act="${name}"]`),
    all: (prefix) => root.querySelectorAll(`[data-act^="${prefix}"]`),
  };
}

export function showPlaying(ui, playing) {
  const label = playing ? "Pause (space)" : "Play (space)";
  for (const play of ui.all("play")) {
    play.innerHTML = playing ? PAUSE : PLAY;
    play.setAttribute("aria-label", label);
    play.title = label;
  }
}
