// Reads rollouts from stdin, runs them forward and back on both modules, prints losses and gradients.
import { readFileSync } from "node:fs";
import { RolloutEngine } from "../../nca/player/train/engine.js";
import { Network } from "../../nca/player/train/network.js";
import { decodeBase64, encodeBase64 } from "../../nca/player/web/model.js";
import { trainCases } from "./train-cases.js";

const modules = {};
for (const name of ["nca", "nca-relaxed"]) {
  const url = new URL(`../../nca/player/wasm/${name}.wasm`, import.meta.url);
  try {
    modules[name] = new WebAssembly.Module(readFileSync(url));
  } catch { /* a Node without relaxed SIMD */ }
}
const kit = { RolloutEngine, Network, decodeBase64, encodeBase64 };
process.stdout.write(JSON.stringify(trainCases(kit, modules, JSON.parse(readFileSync(0, "utf8")))));
