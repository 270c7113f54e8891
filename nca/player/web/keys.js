// The keyboard shortcuts while the player has the focus; the help text is in markup.js.
import { SHAPES } from "./events.js";

export function pressKey(player, event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !player.run.model) return;
  const { target, key } = event;
  if (target.tagName === "SELECT") return;
  const arrow = key.startsWith("Arrow");
  // Buttons, folds and sliders keep the keys that they use themselves.
  if (target.tagName === "INPUT" && (arrow || ["Home", "End"].includes(key))) return;
  if (["BUTTON", "SUMMARY"].includes(target.tagName) && [" ", "Enter"].includes(key)) return;
  const shape = Object.keys(SHAPES)[Number(key) - 1];
  const actions = {
    " ": () => player.toggle(),
    ".": () => player.press("step"),
    ",": () => player.press("back"),
    r: () => player.reset(),
    e: () => player.setTool("erase"),
    p: () => player.setTool("seed"),
    g: () => player.run.model.kinds && player.setTool("genes"),
    l: () => player.setTool("look"),
    "[": () => player.input(Object.assign(player.ui.input("brush"), { value: player.brush - 1 })),
    "]": () => player.input(Object.assign(player.ui.input("brush"), { value: player.brush + 1 })),
    "-": () => player.setSpeed(player.speed - 1),
    "+": () => player.setSpeed(player.speed + 1),
    "=": () => player.setSpeed(player.speed + 1),
    v: () => nextView(player),
    f: () => player.toggleFull(),
    d: () => player.setDetail(player.detail.wanted === 1 ? 0 : 1),
    "?": () => player.press("help"),
    Enter: () => useAtCursor(player),
  };
  const action = shape ? () => player.damage(shape) : (actions[key.toLowerCase()] ?? actions[key]);
  if (key !== "Tab") player.demo.end();
  if (arrow) moveCursor(player, key);
  else if (action) action();
  else return;
  event.preventDefault();
}

function nextView(player) {
  const select = player.ui.input("view");
  select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
  player.setView(select.value);
  player.say(`View: ${select.selectedOptions[0].text}`);
}

function moveCursor(player, key) {
  const { width, height } = player.run;
  player.cursor ??= { px: (width >> 1) + 0.5, py: (height >> 1) + 0.5 };
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  player.cursor.px = Math.max(0.5, Math.min(player.cursor.px + dx, width - 0.5));
  player.cursor.py = Math.max(0.5, Math.min(player.cursor.py + dy, height - 0.5));
  player.wake();
  player.drawOver();
}

function useAtCursor(player) {
  if (!player.cursor) return;
  const [x, y] = [Math.floor(player.cursor.px), Math.floor(player.cursor.py)];
  if (player.brushes) player.brushAt(x, y);
  else if (player.tool === "seed") player.plant(x, y);
  else player.inspect({ x, y });
  player.say(`${player.tool} at column ${x}, row ${y}`);
}
