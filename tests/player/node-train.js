// Reads rollouts from stdin, runs them forward and back on both modules, prints losses and gradients.
import { readFileSync } from "node:fs";
import { RolloutEngine } from "../../nca/player/train/engine.js";
import { Network } from "../../nca/player/train/network.js";
import { decodeBase64, encodeBase64 } from "../../nca/player/web/model.js";

const floats = (text) => new Float32Array(decodeBase64(text).buffer);
const cases = JSON.parse(readFileSync(0, "utf8"));
const results = [];
for (const name of ["nca", "nca-relaxed"]) {
  const url = new URL(`../../nca/player/wasm/${name}.wasm`, import.meta.url);
  let module;
  try {
    module = new WebAssembly.Module(readFileSync(url));
  } catch {
    continue; // a Node without relaxed SIMD
  }
  for (const test of cases) {
    const network = new Network(test.config);
    const { height, width } = test;
    const engine = new RolloutEngine(module, network, height, width, floats(test.target));
    engine.setWeights(floats(test.weights));
    const values = floats(test.start);
    const c = network.channels;
    const cells = [];
    for (let i = 0; i < height * width; i++) {
      if (values.subarray(i * c, i * c + c).some((value) => value !== 0)) cells.push(i);
    }
    const start = {
      cells: Int32Array.from(cells),
      values: Float32Array.from(cells.flatMap((i) => [...values.subarray(i * c, i * c + c)])),
    };
    const erased = test.erased.map(({ step, mask }) => ({ step, mask: Uint8Array.from(mask) }));
    let found;
    for (let round = 0; round < 2; round++) { // the first must leave nothing behind
      engine.clearGradient();
      found = engine.run({ ...test.rollout, start, erased, learns: true });
    }
    const again = engine.run({ ...test.rollout, start, erased, learns: false });
    results.push({
      module: name, name: test.name, loss: found.error + found.birth,
      again: again.error + again.birth, gradient: encodeBase64(engine.gradient()),
    });
  }
}
process.stdout.write(JSON.stringify(results));
