// The story's HTML. The frame is built once; a chapter's figures are built when it begins.
const drawn = (path) =>
  `<svg viewBox="0 0 24 24" aria-hidden="true" focusable="false">${path}</svg>`;

const ICONS = {
  play: drawn('<path d="M7 4.5v15l12.5-7.5z" fill="currentColor" stroke="none"/>'),
  pause: drawn('<path d="M8.5 5v14M15.5 5v14" stroke-width="3"/>'),
  again: drawn('<path d="M5 12a7 7 0 1 0 2.2-5.1M5 4v4.5h4.5"/>'),
  full: drawn('<path d="M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5"/>'),
};

const frame = (titles) => `
<section class="story" aria-label="How it works, a story in ${titles.length} chapters">
  <div class="top">
    <nav aria-label="Chapters">${titles.map((title, i) =>
      `<button type="button" data-go="${i}" title="${title}" aria-label="Chapter ${i + 1}: ${title}">${i + 1}</button>`).join("")}
    </nav>
    <button type="button" data-act="full" aria-label="Full screen (F)" title="Full screen (F)">${ICONS.full}</button>
  </div>
  <div class="page">
    <div class="words"><h2 tabindex="-1"></h2><div class="text"></div><p class="note"></p></div>
    <div class="show"></div>
  </div>
  <div class="bar">
    <button type="button" data-act="back">Back</button>
    <div class="middle">
      <button type="button" data-act="again" aria-label="Again (R)" title="Again (R)">${ICONS.again}</button>
      <button type="button" class="main" data-act="play"></button>
      <button type="button" data-act="own" hidden></button>
    </div>
    <button type="button" class="next" data-act="next">Next</button>
  </div>
  <p class="spoken" aria-live="polite"></p>
</section>`;

const life = (label) => `
  <figure class="life-of"><div class="frame"><canvas class="living" role="img" aria-label="${label}"></canvas>
    <i class="ring" hidden></i></div><figcaption></figcaption></figure>`;
const drawing = '<figure class="drawing"><canvas role="img"></canvas><figcaption></figcaption></figure>';

export function buildStoryFrame(host, titles) {
  const root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
  const style = document.createElement("style");
  style.textContent = STYLE;
  root.innerHTML = frame(titles);
  root.prepend(style);
  const one = (selector) => root.querySelector(selector);
  return {
    root,
    show: one(".show"),
    title: one("h2"),
    text: one(".text"),
    note: one(".note"),
    spoken: one(".spoken"),
    page: one(".page"),
    act: (name) => one(`[data-act="${name}"]`),
    chapters: root.querySelectorAll("[data-go]"),
  };
}

// The figures of a chapter: { lives, captions, drawing }, `drawing` a canvas or null.
export function buildFigures(ui, { layout, title }, names) {
  const pictures = layout === "trio" ? names : [title];
  ui.show.innerHTML = pictures.map(life).join("") + (layout === "trio" ? "" : drawing);
  ui.page.dataset.layout = layout;
  return {
    lives: [...ui.show.querySelectorAll(".life-of")],
    captions: [...ui.show.querySelectorAll("figcaption")],
    drawing: ui.show.querySelector(".drawing canvas"),
  };
}

export function showStoryPlaying(ui, playing) {
  const play = ui.act("play");
  play.innerHTML = `${playing ? ICONS.pause : ICONS.play}<span>${playing ? "Pause" : "Play"}</span>`;
  play.title = `${playing ? "Pause" : "Play"} (space)`;
}
