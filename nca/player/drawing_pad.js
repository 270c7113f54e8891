// The drawing pad: pointer events (mouse, pen, touch) on a transparent canvas of 256 x 256 pixels.
// The body of a function of (element, props, trigger, watch); see nca/player/drawing_pad.py.
const canvas = element.querySelector('canvas');
const pen = canvas.getContext('2d');
const undo = [];
let colour = '#5aa845';
let erasing = false;
let last = null;
let finger = null; // of several the newest draws

const mark = () => {
  element.querySelectorAll('.swatch').forEach((swatch) => {
    swatch.setAttribute('aria-pressed', String(!erasing && swatch.dataset.colour === colour));
  });
  element.querySelector('.erase').setAttribute('aria-pressed', String(erasing));
};
const isEmpty = () => !pen.getImageData(0, 0, 256, 256).data.some((byte) => byte);
const tell = () => {
  props.value = isEmpty() ? '' : canvas.toDataURL('image/png');
  trigger('change');
};
const remember = () => {
  undo.push(pen.getImageData(0, 0, 256, 256));
  if (undo.length > 20) undo.shift();
};
const at = (event) => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) / box.width * 256, (event.clientY - box.top) / box.height * 256];
};
const stroke = (from, to) => {
  pen.globalCompositeOperation = erasing ? 'destination-out' : 'source-over';
  pen.strokeStyle = colour;
  pen.lineWidth = Number(element.querySelector('.size').value);
  pen.lineCap = pen.lineJoin = 'round';
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(to[0] + 0.01, to[1]);
  pen.stroke();
};

canvas.addEventListener('pointerdown', (event) => {
  if (event.button) return;
  event.preventDefault();
  try { canvas.setPointerCapture(event.pointerId); } catch { /* the pointer has been released already */ }
  remember();
  finger = event.pointerId;
  last = at(event);
  stroke(last, last);
});
canvas.addEventListener('pointermove', (event) => {
  if (!last || event.pointerId !== finger) return;
  const here = at(event);
  stroke(last, here);
  last = here;
});
const finish = (event) => {
  if (!last || event.pointerId !== finger) return;
  last = null;
  tell();
};
canvas.addEventListener('pointerup', finish);
canvas.addEventListener('pointercancel', finish);

element.addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (!button) return;
  if (button.dataset.colour) {
    colour = button.dataset.colour;
    erasing = false;
  } else if (button.classList.contains('erase')) {
    erasing = !erasing;
  } else if (button.classList.contains('undo')) {
    if (undo.length) {
      pen.putImageData(undo.pop(), 0, 0);
      tell();
    }
  } else {
    remember();
    pen.clearRect(0, 0, 256, 256);
    tell();
  }
  mark();
});
watch('value', () => { // emptied by the page
  if (!props.value && !isEmpty()) pen.clearRect(0, 0, 256, 256);
});
mark();
