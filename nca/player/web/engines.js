// Which engine plays which automaton. All have the same methods:
//   setModel(model), setState(dense, height, width), step(n, t, seed, angle), fill(runs, cell),
//   read(), readCell(x, y), paint(view, ground), draw(context), dispose()
// and a static cannot(model, height, width, context): null, or why not.
import { JSEngine } from "./engine-js.js";
import { WasmEngine } from "./engine-wasm.js";
import { WebGLEngine, realGPU } from "./engine-webgl.js";

export const ENGINES = { wasm: WasmEngine, webgl2: WebGLEngine, js: JSEngine };

// A graphics card pays off when there is much to do: below this, WebAssembly is as fast and
// leaves the card alone. A dense step costs a card the same however little is alive.
const LARGE = 160 * 160;

// The engines in the order to try them. `wanted`: "auto" or a name, which then comes first.
function preference(wanted, height, width) {
  if (wanted !== "auto") return [wanted, ...Object.keys(ENGINES).filter((name) => name !== wanted)];
  const gpu = height * width >= LARGE && realGPU();
  return gpu ? ["webgl2", "wasm", "js"] : ["wasm", "js"];
}

// A ready engine, its model set, its state not. `avoid`: names that failed a moment ago.
export function makeEngine(context, model, height, width, avoid = []) {
  for (const name of preference(context.wanted, height, width)) {
    const Engine = ENGINES[name];
    if (avoid.includes(name) || Engine.cannot(model, height, width, context)) continue;
    try {
      const engine = new Engine(context);
      engine.setModel(model);
      return engine;
    } catch (error) {
      console.warn(`The ${name} engine did not start:`, error);
    }
  }
  const engine = new JSEngine();
  engine.setModel(model);
  return engine;
}
