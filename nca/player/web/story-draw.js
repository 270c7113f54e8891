// Drawing for the story: signed values as colours, bars, enlarged cells, the network, a curve.
import { COOL, WARM } from "./paint.js";

const MINUS = "\u2212";

// Two digits; what rounds to nothing has no sign.
export const shownNumber = (value) => value.toFixed(2).replace("-0.00", "0.00").replace("-", MINUS);

// A signed value as a colour: warm above zero, cool below, the ground at zero. The square root
// keeps small values visible beside large ones.
export function signed(value, most, ground) {
  const share = Math.sqrt(Math.min(Math.abs(value) / (most || 1), 1));
  const tint = value > 0 ? WARM : COOL;
  const [r, g, b] = tint.map((colour) => Math.round((ground + (colour - ground) * share) * 255));
  return `rgb(${r} ${g} ${b})`;
}

export const largest = (values) => values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);

// A canvas's context, scaled so that a unit is a CSS pixel, and its size in these.
export function pen(canvas) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const size = { width: Math.round(width * ratio), height: Math.round(height * ratio) };
  if (canvas.width !== size.width || canvas.height !== size.height) Object.assign(canvas, size);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const style = getComputedStyle(canvas);
  const ink = (name) => style.getPropertyValue(name);
  const colours = { ink: style.color, soft: ink("--soft"), line: ink("--line"), accent: ink("--accent") };
  context.imageSmoothingEnabled = false;
  context.textBaseline = "middle";
  return { context, width, height, colours, family: style.fontFamily };
}

export function write({ context, family, colours }, text, x, y, size, { align = "left", colour, bold } = {}) {
  context.font = `${bold ? "600 " : ""}${size}px ${family}`;
  context.textAlign = align;
  context.fillStyle = colour ?? colours.ink;
  context.fillText(text, x, y);
}

// Cells as squares of solid colour; `colourOf(index)` is a CSS colour, or null for none.
export function squares(context, { x, y, size, across, count, gap = 1 }, colourOf) {
  for (let i = 0; i < count; i++) {
    const colour = colourOf(i);
    if (!colour) continue;
    context.fillStyle = colour;
    context.fillRect(x + (i % across) * size, y + Math.floor(i / across) * size, size - gap, size - gap);
  }
}

// One signed bar a row: name, bar from the middle, number; `own`: the colours of the first channels.
export function bars(drawn, names, values, most, { x, y, width, row, own = [] }) {
  const { context, colours } = drawn;
  const text = Math.max(9, Math.min(row * 0.72, width / 13, 24));
  const [left, right] = [x + text * 5.2, x + width - text * 3.6];
  const middle = (left + right) / 2;
  names.forEach((name, i) => {
    const at = y + (i + 0.5) * row;
    const share = Math.sqrt(Math.min(Math.abs(values[i]) / most, 1));
    const length = Math.max(1, (share * (right - left)) / 2);
    context.fillStyle = own[i] ?? signed(values[i], Math.abs(values[i]), 0.5);
    context.fillRect(values[i] < 0 ? middle - length : middle, at - row * 0.32, length, row * 0.64);
    write(drawn, name, x, at, text);
    write(drawn, shownNumber(values[i]), x + width, at, text, { align: "right" });
  });
  context.fillStyle = colours.soft;
  context.fillRect(middle - 0.5, y, 1, names.length * row);
}

// A light line within a dark one, visible on any picture.
export function frameOf(context, left, top, side, weight) {
  for (const [colour, width] of [["#14213d", 2.4 * weight], ["#fff", weight]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.strokeRect(left, top, side, side);
  }
}

// Cells around (x, y) of a picture with a pixel a cell, enlarged, the middle one outlined.
export function neighbours({ context, colours }, picture, x, y, { left, top, side }) {
  const each = side / 3;
  context.fillStyle = colours.line;
  context.fillRect(left, top, side, side);
  for (let row = 0; row < 3; row++) {
    for (let column = 0; column < 3; column++) {
      const from = [x - 1 + column, y - 1 + row];
      const to = [left + column * each + 1, top + row * each + 1, each - 2, each - 2];
      context.clearRect(...to);
      context.drawImage(picture, ...from, 1, 1, ...to);
    }
  }
  frameOf(context, left + each, top + each, each, Math.max(2, side / 60));
}

// Lines between two columns of points, the `most` strongest; `strength(i, j)` is signed.
export function wires({ context }, from, to, strength, most, ground) {
  const found = [];
  from.forEach((_, i) => to.forEach((_, j) => {
    const much = strength(i, j);
    if (much) found.push([Math.abs(much), much, i, j]);
  }));
  found.sort((a, b) => b[0] - a[0]);
  const top = found[0]?.[0];
  for (const [size, much, i, j] of found.slice(0, most).reverse()) {
    context.strokeStyle = signed(much, Math.abs(much), ground);
    context.globalAlpha = 0.15 + 0.6 * (size / top);
    context.lineWidth = 0.6 + 1.6 * (size / top);
    const bend = (to[j][0] - from[i][0]) / 2;
    context.beginPath();
    context.moveTo(...from[i]);
    context.bezierCurveTo(from[i][0] + bend, from[i][1], to[j][0] - bend, to[j][1], ...to[j]);
    context.stroke();
  }
  context.globalAlpha = 1;
}

// A picture with a pixel a cell from `colourOf(index)`, [r, g, b] in 0 to 255.
export function pixelPicture(width, height, colourOf) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const [r, g, b] = colourOf(i);
    image.data.set([r, g, b, 255], i * 4);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// Values over steps as a filled curve; `most` reaches the top.
export function curve({ context, colours }, values, length, most, { left, top, width, height }) {
  const across = (i) => left + (i / (length - 1)) * width;
  const up = (v) => top + height - Math.min(v / most, 1) * height;
  context.strokeStyle = colours.line;
  context.lineWidth = 1;
  context.strokeRect(left, top, width, height);
  if (values.length < 2) return;
  context.beginPath();
  values.forEach((v, i) => context.lineTo(across(i), up(v)));
  context.strokeStyle = colours.accent;
  context.lineWidth = 2.5;
  context.lineJoin = "round";
  context.stroke();
  context.lineTo(across(values.length - 1), top + height);
  context.lineTo(left, top + height);
  context.globalAlpha = 0.18;
  context.fillStyle = colours.accent;
  context.fill();
  context.globalAlpha = 1;
}
