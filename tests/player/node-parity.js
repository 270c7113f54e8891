// Reads parity cases from stdin, runs them on the engines that Node can run, prints the states.
import { readFileSync } from "node:fs";
import * as fire from "../../nca/player/web/fire.js";
import { JSEngine } from "../../nca/player/web/engine-js.js";
import { WasmEngine, compileWasm } from "../../nca/player/web/engine-wasm.js";
import * as model from "../../nca/player/web/model.js";
import { runCase } from "./run-case.js";

const { cases, fireVectors } = JSON.parse(readFileSync(0, "utf8"));
const bytes = readFileSync(new URL("../../nca/player/wasm/nca.wasm", import.meta.url));
const context = { wasm: await compileWasm(bytes) };
const kit = { ...fire, ...model };
const results = [];
for (const test of cases) {
  for (const Engine of [JSEngine, WasmEngine]) {
    const found = runCase(kit, Engine, context, test);
    results.push({ name: test.name, engine: Engine === JSEngine ? "js" : "wasm", ...found });
  }
}
const fires = fireVectors.map(([cell, t, seed]) => fire.fireValue(fire.stepKey(seed, t), cell));
process.stdout.write(JSON.stringify({ results, fires }));
