// Rollouts forward and back on each module: [{ module, name, loss, again, gradient }].
// kit: what the bundle has; modules: compiled ones by name; cases: from test_player_training.py.
export function trainCases(kit, modules, cases) {
  const floats = (text) => new Float32Array(kit.decodeBase64(text).buffer);
  return Object.entries(modules).flatMap(([module, wasm]) => cases.map((test) => {
    const network = new kit.Network(test.config);
    const { height, width } = test;
    const engine = new kit.RolloutEngine(wasm, network, height, width, floats(test.target));
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
    return {
      module, name: test.name, loss: found.error + found.birth,
      again: again.error + again.birth, gradient: kit.encodeBase64(engine.gradient()),
    };
  }));
}
