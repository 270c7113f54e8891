// Look back: how the automaton grew at each snapshot, with a scrubber and Play.
const range = element.querySelector('input');
const play = element.querySelector('.play');
const picture = element.querySelector('img');
const words = element.querySelector('output');
const PACE = 220; // ms per snapshot
let frames = [];
let timer = null;
let waiting = false;
let follows = true; // the newest one is shown until the visitor moves the scrubber

const show = () => {
  const frame = frames[Number(range.value)];
  picture.hidden = !frame;
  if (!frame) return;
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
// The newest snapshot is shown as soon as the visitor gets here.
new IntersectionObserver(([entry]) => {
  if (entry.isIntersecting && !frames.length && props.count > 1) load();
}).observe(element);
watch('count', () => {
  if (!frames.length) range.max = Math.max(0, props.count - 1);
  if (follows) range.value = range.max;
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
  range.max = frames.length - 1;
  range.value = follows ? range.max : at;
  show();
  if (play.dataset.wanted) { delete play.dataset.wanted; start(); } else if (!follows) choose();
});
