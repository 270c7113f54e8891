// Reads cases of fine pictures from stdin, draws them with WebAssembly and JavaScript, prints them.
import { readFileSync } from "node:fs";
import { compileWasm } from "../../nca/player/web/engine-wasm.js";
import * as fine from "../../nca/player/web/fine.js";
import * as model from "../../nca/player/web/model.js";
import { drawCase } from "./draw-case.js";

globalThis.ImageData = class {
  constructor(width, height) {
    Object.assign(this, { width, height, data: new Uint8ClampedArray(width * height * 4) });
  }
};
const cases = JSON.parse(readFileSync(0, "utf8"));
const bytes = readFileSync(new URL("../../nca/player/wasm/nca.wasm", import.meta.url));
const wasm = await compileWasm(bytes);
const kit = { ...model, ...fine };
const results = [];
for (const test of cases) {
  for (const [painter, context] of [["js", { wasm: null }], ["wasm", { wasm }]]) {
    results.push({ name: test.name, painter, ...drawCase(kit, fine.FinePainter, context, test) });
  }
}
process.stdout.write(JSON.stringify(results));
