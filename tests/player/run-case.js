// One parity case on one engine; the same function runs in Node and in the browser.
// `kit` holds what the player's modules export.
export function runCase(kit, Engine, context, test) {
  const model = kit.parseModel(test.model);
  const why = Engine.cannot(model, test.height, test.width, context);
  if (why) return { why };
  const engine = new Engine(context);
  engine.setModel(model);
  engine.setState(
    new Float32Array(kit.decodeBase64(test.start).buffer), test.height, test.width,
  );
  const started = performance.now();
  engine.step(test.steps, test.t0, test.seed, test.angle);
  const state = engine.read();
  const ms = performance.now() - started;
  engine.dispose();
  return { state: kit.encodeBase64(state), ms };
}
