// From what a visitor chose to a target: premultiplied RGBA in [0, 1], as nca/target.py makes it.
// Nothing leaves the browser.

const DRAWN = 512; // pixels: side at which emoji are drawn and uploads looked at

export class BadPicture extends Error {}

function canvasOf(width, height) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, height];
  return canvas.getContext("2d", { willReadFrequently: true });
}

// An emoji in the visitor's own font, as ImageData.
export function drawEmoji(text) {
  const context = canvasOf(DRAWN, DRAWN);
  context.font = `${Math.round(DRAWN * 0.72)}px sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, DRAWN / 2, DRAWN / 2);
  return context.getImageData(0, 0, DRAWN, DRAWN);
}

// A picture file, or the address of one of the page's own pictures, as ImageData.
export async function readPicture(source) {
  let bitmap;
  try {
    const blob = source instanceof Blob ? source : await (await fetch(source)).blob();
    bitmap = await createImageBitmap(blob);
  } catch {
    throw new BadPicture("This browser cannot open that picture; please choose a PNG or JPEG.");
  }
  const scale = Math.min(1, DRAWN / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((n) => Math.max(1, Math.round(n * scale)));
  const context = canvasOf(width, height);
  context.drawImage(bitmap, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

// The picture without its empty border, resized so that its longest side has `size` cells, in the
// middle of a grid with `padding` empty cells on each side: { target, height, width }.
export function targetOf({ data, width, height }, size, padding) {
  const box = { left: width, top: height, right: 0, bottom: 0 };
  for (let y = 0, i = 3; y < height; y++) {
    for (let x = 0; x < width; x++, i += 4) {
      if (!data[i]) continue;
      box.left = Math.min(box.left, x);
      box.right = Math.max(box.right, x + 1);
      box.top = Math.min(box.top, y);
      box.bottom = Math.max(box.bottom, y + 1);
    }
  }
  if (box.right <= box.left) {
    throw new BadPicture("There is nothing to see in this picture; please choose another.");
  }
  const [across, down] = [box.right - box.left, box.bottom - box.top];
  const scale = size / Math.max(across, down);
  const [w, h] = [across, down].map((n) => Math.max(1, Math.round(n * scale)));
  const side = size + 2 * padding;
  const [left, top] = [(side - w) >> 1, (side - h) >> 1];
  const target = new Float32Array(side * side * 4);
  for (let y = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const cell = meanOf(data, width, {
        left: box.left + (x * across) / w, right: box.left + ((x + 1) * across) / w,
        top: box.top + (y * down) / h, bottom: box.top + ((y + 1) * down) / h,
      });
      target.set(cell, ((top + y) * side + left + x) * 4);
    }
  }
  return { target: overTheSeed(target, side), height: side, width: side };
}

// Shifts a target as little as needed for it to cover the seed in the grid's centre: where it is
// empty there, training would first learn to make the seed vanish. As in nca/target.py.
function overTheSeed(target, side) {
  const alpha = (y, x) =>
    (y < 0 || x < 0 || y >= side || x >= side ? 0 : target[(y * side + x) * 4 + 3]);
  const middle = side >> 1;
  if (alpha(middle, middle) >= 0.9) return target;
  const shown = [];
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) if (alpha(y, x)) shown.push([y, x]);
  }
  const inside = (down, right) => shown.every(([y, x]) =>
    y + down >= 0 && y + down < side && x + right >= 0 && x + right < side);
  const around = [-1, 0, 1];
  const inner = (y, x) =>
    Math.min(...around.flatMap((dy) => around.map((dx) => alpha(y + dy, x + dx))));
  for (const solid of [inner, alpha]) { // with visible neighbours, or else any visible cell
    const moves = shown
      .filter(([y, x]) => solid(y, x) >= 0.5)
      .map(([y, x]) => [middle - y, middle - x])
      .sort((a, b) => Math.hypot(...a) - Math.hypot(...b));
    const move = moves.find(([down, right]) => inside(down, right));
    if (!move) continue;
    const moved = new Float32Array(target.length);
    for (const [y, x] of shown) {
      const from = (y * side + x) * 4;
      moved.set(target.subarray(from, from + 4), ((y + move[0]) * side + x + move[1]) * 4);
    }
    return moved;
  }
  throw new BadPicture(
    "The middle of this picture is empty, and a seed needs something to grow on; " +
    "please choose another.",
  );
}

// The mean premultiplied colour of a part of a picture, its edges within pixels.
function meanOf(data, width, { left, right, top, bottom }) {
  const sums = [0, 0, 0, 0];
  for (let y = Math.floor(top); y < bottom; y++) {
    const high = Math.min(y + 1, bottom) - Math.max(y, top);
    for (let x = Math.floor(left); x < right; x++) {
      const share = high * (Math.min(x + 1, right) - Math.max(x, left));
      const i = (y * width + x) * 4;
      const alpha = (data[i + 3] / 255) * share;
      for (let c = 0; c < 3; c++) sums[c] += (data[i + c] / 255) * alpha;
      sums[3] += alpha;
    }
  }
  return sums.map((sum) => sum / ((right - left) * (bottom - top)));
}
