// Look back: how the automaton grew at each snapshot, with a scrubber and Play.
const range = element.querySelector('input');
const play = element.querySelector('.play');
const picture = element.querySelector('img');
const words = element.querySelector('output');
const PACE = 220; // ms per snapshot
let frames = [];
let timer = null;
let waiting = false;
let follows = true; // the newest one here is shown until the visitor moves the scrubber
let inView = false;

const show = () => {
  const frame = frames[Number(range.value)];
  if (!frame) return; // it is on its way
  picture.hidden = false;
  picture.src = frame.src;
  words.textContent = frame.words;
  range.setAttribute('aria-valuetext', frame.words);
};
const choose = () => {
  const frame = frames[Number(range.value)];
  if (frame) trigger('select', { iteration: frame.iteration });
};
const stop = () => {
  clearInterval(timer);
  timer = null;
  play.textContent = '▶ Play';
};
const start = () => {
  if (Number(range.value) >= frames.length - 1) range.value = 0;
  play.textContent = '❚❚ Pause';
  show();
  timer = setInterval(() => {
    range.value = Number(range.value) + 1;
    show();
    if (Number(range.value) >= frames.length - 1) { stop(); choose(); }
  }, PACE);
};

// The pictures are asked for when they are first wanted, and again when there are newer ones.
const load = () => {
  if (waiting) return true;
  if (frames.length && frames.length >= props.count) return false;
  waiting = true;
  trigger('submit');
  return true;
};

play.addEventListener('click', () => {
  if (timer) { stop(); choose(); return; }
  follows = false;
  play.dataset.wanted = '1';
  if (!load()) { delete play.dataset.wanted; start(); }
});
range.addEventListener('input', () => { stop(); follows = false; load(); show(); });
range.addEventListener('change', choose);
// The newest snapshot is shown as soon as the visitor gets here. While they stay, all are asked for
// again only when there are twice as many: a picture takes 20 kB.
new IntersectionObserver(([entry]) => {
  inView = entry.isIntersecting;
  if (inView && follows && props.count > 1) load();
}).observe(element);
watch('count', () => {
  range.max = Math.max(0, props.count - 1); // newer ones lie to the right of what is shown
  if (follows && !frames.length) range.value = range.max;
  if (follows && inView && props.count >= Math.max(2, 2 * frames.length)) load();
});
watch('frames', () => {
  waiting = false;
  frames = props.frames ?? [];
  if (!frames.length) { // another training is shown
    stop();
    follows = true;
    picture.hidden = true;
    words.textContent = '';
    range.max = Math.max(0, props.count - 1);
    range.value = range.max;
    return;
  }
  const at = range.value;
  range.max = Math.max(frames.length, props.count) - 1;
  range.value = follows ? frames.length - 1 : Math.min(at, frames.length - 1);
  show();
  if (play.dataset.wanted) { delete play.dataset.wanted; start(); } else if (!follows) choose();
});
