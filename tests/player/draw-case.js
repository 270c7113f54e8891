// One fine picture by one painter; the same function runs in Node and in the browser.
export function drawCase(kit, Painter, context, test) {
  const model = kit.withDecoder(kit.parseModel(test.model));
  const painter = new Painter(context);
  const dense = new Float32Array(kit.decodeBase64(test.state).buffer);
  const draw = () => painter.paint(
    model, dense, test.height, test.width, test.scale, test.angle, test.ground,
  );
  let image = draw(); // the first picture makes the table
  const started = performance.now();
  for (let i = 0; i < (test.times ?? 1); i++) image = draw();
  const ms = (performance.now() - started) / (test.times ?? 1);
  if (!(image instanceof ImageData)) {
    const { gl, canvas } = painter;
    const rows = new Uint8Array(canvas.width * canvas.height * 4);
    gl.readPixels(0, 0, canvas.width, canvas.height, gl.RGBA, gl.UNSIGNED_BYTE, rows);
    image = { data: new Uint8ClampedArray(rows.length) };
    for (let y = 0, n = canvas.width * 4; y < canvas.height; y++) {
      image.data.set(rows.subarray(y * n, (y + 1) * n), (canvas.height - 1 - y) * n);
    }
  }
  painter.dispose();
  return { pixels: kit.encodeBase64(image.data), ms };
}
