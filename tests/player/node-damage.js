// Reads grids [height, width] from stdin; prints, by shape of the player, the cells that it erases
// on each, as runs [y, x0, x1). Random numbers are all one half.
import { readFileSync } from "node:fs";
import { SHAPES, runsOf } from "../../nca/player/web/events.js";

const grids = JSON.parse(readFileSync(0, "utf8"));
const runs = (shape, [height, width]) =>
  runsOf([0, ...shape.event(height, width, () => 0.5)], height, width, false);
const found = Object.entries(SHAPES).map(([name, shape]) => [name, grids.map((grid) => runs(shape, grid))]);
process.stdout.write(JSON.stringify(Object.fromEntries(found)));
