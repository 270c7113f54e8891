// Chooses the engine for an automaton. All engines have the same methods:
//   setModel(model), setState(dense, height, width), step(n, t, seed, angle), fill(runs, cell),
//   read(), readCell(x, y), paint(view, ground), draw(context), dispose()
// the field `name`, as below, and static members:
//   label: shown to people
//   cannot(model, height, width, context): null, or the reason why it cannot run
//   suits(height, width): whether "auto" should try it; optional, true by default
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

// An engine with its model set but no state. `avoid`: names of engines that have just failed.
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
