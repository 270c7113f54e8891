// Which engine plays which automaton. All have the same methods:
//   setModel(model), setState(dense, height, width), step(n, t, seed, angle), fill(runs, cell),
//   read(), readCell(x, y), paint(view, ground), draw(context), dispose()
// a name, the one below, and static:
//   label: for people
//   cannot(model, height, width, context): null, or why not
//   suits(height, width): whether to try it unasked; left out where it always is
import { JSEngine } from "./engine-js.js";
import { WasmEngine } from "./engine-wasm.js";
import { WebGLEngine } from "./engine-webgl.js";

// In the order to try them. To add an engine, write its file and name it here.
export const ENGINES = { webgl2: WebGLEngine, wasm: WasmEngine, js: JSEngine };

// `wanted`: "auto" or a name, which then comes first.
function preference(wanted, height, width) {
  const names = Object.keys(ENGINES);
  if (wanted !== "auto") return [wanted, ...names.filter((name) => name !== wanted)];
  return names.filter((name) => ENGINES[name].suits?.(height, width) ?? true);
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
