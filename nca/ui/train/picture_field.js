// The upload: a chosen, dropped or pasted picture is turned upright and shrunk before it is sent.
const SIDE = 512; // pixels of the longest side; the server would reduce a larger one to about this
const AS_IT_IS = 400_000; // bytes; a small file that the server reads is sent unchanged
const MOST = 120_000_000; // pixels that a browser is asked to decode
const UNREADABLE = 'This file is not a picture that can be read; please use PNG, JPEG, WebP, GIF or SVG.';
const READING = 'Reading the picture.';
const READ_BY_SERVER = ['image/png', 'image/jpeg', 'image/webp', 'image/gif'];

const input = element.querySelector('input');
const zone = element.querySelector('.zone');
const shown = element.querySelector('img');
const clear = element.querySelector('.clear');
const words = element.querySelector('[role=status]');
let newest = 0;

const open = async (file) => {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  try {
    await new Promise((resolve, reject) => { image.onload = resolve; image.onerror = reject; });
    const pixels = image.naturalWidth * image.naturalHeight;
    if (pixels > MOST) throw new RangeError(String(Math.round(pixels / 1e6)));
    await image.decode();
  } catch (problem) {
    URL.revokeObjectURL(image.src);
    if (problem instanceof RangeError) {
      throw new Error(`This picture has ${problem.message} megapixels; please use one of at most 120.`);
    }
    throw new Error(/heic|heif/i.test(`${file.type} ${file.name}`)
      ? 'This browser cannot open HEIC pictures; please save it as JPEG, or take a screenshot of it.'
      : UNREADABLE);
  }
  return image;
};

const drawn = (source, width, height) => {
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext('2d');
  pen.imageSmoothingQuality = 'high';
  pen.drawImage(source, 0, 0, width, height);
  return canvas;
};

// Halved step by step, because not every browser averages all pixels when it shrinks at once.
const shrunk = (image) => {
  let [width, height] = [image.naturalWidth || SIDE, image.naturalHeight || SIDE];
  const scale = Math.min(1, SIDE / Math.max(width, height));
  const [last, lastHeight] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
  let source = image;
  while (width > 2 * last) {
    [width, height] = [Math.ceil(width / 2), Math.ceil(height / 2)];
    source = drawn(source, width, height);
  }
  return drawn(source, last, lastHeight);
};

const encoded = async (file) => {
  const image = await open(file);
  try {
    const small = Math.max(image.naturalWidth, image.naturalHeight) <= SIDE;
    if (small && file.size <= AS_IT_IS && READ_BY_SERVER.includes(file.type)) {
      return await new Promise((resolve, reject) => {
        const reader = new FileReader();
        reader.onload = () => resolve(reader.result);
        reader.onerror = () => reject(new Error('This file cannot be read; please choose it again.'));
        reader.readAsDataURL(file);
      });
    }
    const canvas = shrunk(image);
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const [least, most] = data.reduce(
      ([low, high], value, at) => at % 4 === 3 ? [Math.min(low, value), Math.max(high, value)] : [low, high],
      [255, 0]);
    if (most < 8) {
      throw new Error('This picture is completely transparent; please use one that shows something.');
    }
    return least === 255 ? canvas.toDataURL('image/jpeg', 0.95) : canvas.toDataURL('image/png');
  } finally {
    URL.revokeObjectURL(image.src);
  }
};

const show = (url) => {
  shown.hidden = clear.hidden = !url;
  if (url) shown.src = url; else shown.removeAttribute('src');
  zone.classList.toggle('filled', Boolean(url));
};

const take = async (file) => {
  if (!file) return;
  const own = ++newest;
  words.textContent = '';
  let url;
  try {
    url = await encoded(file);
  } catch (problem) { // the picture that was there stays
    // The browser's own errors are for programmers, as of an SVG whose pixels it does not give away.
    const message = problem instanceof DOMException ? UNREADABLE : problem.message;
    if (own === newest) words.textContent = props.value ? `${message} The one before it stays.` : message;
    return;
  }
  if (own !== newest) return;
  show(url);
  props.value = url.replace(/^data:([^;]+);/, `data:$1;name=${encodeURIComponent(file.name.slice(0, 80))};`);
  trigger('change');
  trigger('upload'); // once for a new picture; Gradio itself repeats changes
  dim();
};

// Dims the target and the sentence of the picture before, until those of this one arrive.
const dim = () => {
  const before = ['target', 'refusal'].map((id) => document.getElementById(id));
  words.textContent = READING;
  words.classList.add('reads');
  for (const one of before) one.classList.add('late');
  const arrived = () => {
    arrival.disconnect();
    for (const one of before) one.classList.remove('late');
    words.classList.remove('reads');
    if (words.textContent === READING) words.textContent = '';
  };
  const arrival = new MutationObserver(arrived);
  for (const one of before) arrival.observe(one, { childList: true, subtree: true });
  setTimeout(arrived, 10_000); // a picture with the same target changes nothing
};

input.addEventListener('change', () => {
  take(input.files[0]);
  input.value = ''; // so that choosing the same file again is a change
});
clear.addEventListener('click', () => {
  newest += 1;
  words.textContent = '';
  for (const one of document.querySelectorAll('.late')) one.classList.remove('late');
  show('');
  props.value = '';
  trigger('change');
});
for (const kind of ['dragenter', 'dragover', 'dragleave', 'drop']) {
  zone.addEventListener(kind, (event) => {
    event.preventDefault();
    zone.classList.toggle('over', kind === 'dragenter' || kind === 'dragover');
    if (kind === 'drop') take(event.dataTransfer.files[0]);
  });
}
document.addEventListener('paste', (event) => {
  if (zone.checkVisibility()) take(event.clipboardData?.files[0]);
});
watch('value', () => { // emptied by the page
  if (!props.value && !shown.hidden) show('');
});
