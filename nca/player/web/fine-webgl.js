// Draws a state finer than its cells on a graphics card: the network of every cell runs on the CPU,
// the pixels in a fragment shader.
import { pixelProgram, unfiltered } from "./engine-webgl.js";
import { FineCells, patchTable } from "./fine.js";

const TABLE_ACROSS = 1024;

// The last layer of `weights` says which cells are seen.
const fineShader = (layers) => `#version 300 es
precision highp float;
precision highp int;
precision highp sampler2D;
precision highp sampler2DArray;
uniform sampler2DArray weights;
uniform sampler2D patches;
uniform ivec2 size;
uniform int scale;
uniform float ground;
out vec4 colour;
vec4 patchAt(int i) { return texelFetch(patches, ivec2(i % ${TABLE_ACROSS}, i / ${TABLE_ACROSS}), 0); }
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  at.y = size.y * scale - 1 - at.y;
  at += scale / 2;
  ivec2 quad = at / scale;
  ivec2 inside = at - quad * scale;
  int pixel = inside.y * scale + inside.x;
  int pixels = scale * scale;
  vec4 sum = vec4(0.0);
  for (int corner = 0; corner < 4; corner++) {
    ivec2 cell = quad + ivec2(corner % 2, corner / 2);
    if (texelFetch(weights, ivec3(cell, ${layers}), 0).x == 0.0) continue;
    int row = corner * ${layers * 4} * pixels + pixel;
    for (int l = 0; l < ${layers}; l++) {
      vec4 w = texelFetch(weights, ivec3(cell, l), 0);
      sum += w.x * patchAt(row) + w.y * patchAt(row + pixels) + w.z * patchAt(row + 2 * pixels) +
        w.w * patchAt(row + 3 * pixels);
      row += 4 * pixels;
    }
  }
  float alpha = clamp(sum.a, 0.0, 1.0);
  colour = vec4(clamp(sum.rgb, 0.0, alpha) + ground * (1.0 - alpha), 1.0);
}`;

export class FineShader {
  name = "webgl2";

  constructor({ wasm }) {
    this.wasm = wasm;
    this.canvas = document.createElement("canvas");
    this.gl = this.canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false });
    if (!this.gl) throw new Error("no WebGL2 here");
  }

  // A canvas with the state on an opaque grey ground. Throws when the graphics card is lost.
  paint(model, dense, height, width, scale, angle, ground) {
    const { gl } = this;
    if (gl.isContextLost()) throw new Error("the graphics card is lost");
    if (this.model !== model) this.#setModel(model);
    const { cells } = this;
    cells.compute(dense, height, width, angle);
    this.#uploadWeights(height, width);
    const key = `${scale} ${angle}`;
    if (this.key !== key) this.#uploadTable(scale, angle);
    this.key = key;
    if (this.canvas.width !== width * scale || this.canvas.height !== height * scale) {
      Object.assign(this.canvas, { width: width * scale, height: height * scale });
    }
    gl.useProgram(this.program);
    gl.viewport(0, 0, width * scale, height * scale);
    const { where } = this;
    gl.uniform1i(where.weights, 0);
    gl.uniform1i(where.patches, 1);
    gl.uniform2i(where.size, width, height);
    gl.uniform1i(where.scale, scale);
    gl.uniform1f(where.ground, ground);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    return this.canvas;
  }

  #setModel(model) {
    const { gl } = this;
    this.model = model;
    this.cells = new FineCells(this.wasm, model);
    this.key = null;
    Object.assign(this, pixelProgram(gl, fineShader(model.decoder.width / 4)));
  }

  #texture(unit, target, name) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unit);
    if (this[name]) gl.bindTexture(target, this[name]);
    else {
      gl.bindTexture(target, (this[name] = gl.createTexture()));
      unfiltered(gl, target);
    }
  }

  // Four weights per texel and layer.
  #uploadWeights(height, width) {
    const { gl, cells } = this;
    const n = this.model.decoder.width;
    const [layers, count] = [n / 4, (height + 2) * (width + 2)];
    if (this.planes?.length !== (layers + 1) * count * 4) {
      this.planes = new Float32Array((layers + 1) * count * 4);
    }
    const { planes } = this;
    for (let cell = 0; cell < count; cell++) {
      planes[(layers * count + cell) * 4] = cells.seen[cell];
      if (!cells.seen[cell]) continue;
      for (let l = 0; l < layers; l++) {
        const [to, from] = [(l * count + cell) * 4, cell * n + l * 4];
        for (let j = 0; j < 4; j++) planes[to + j] = cells.weights[from + j];
      }
    }
    this.#texture(0, gl.TEXTURE_2D_ARRAY, "weights");
    gl.texImage3D(
      gl.TEXTURE_2D_ARRAY, 0, gl.RGBA32F, width + 2, height + 2, layers + 1, 0, gl.RGBA, gl.FLOAT, planes,
    );
  }

  #uploadTable(scale, angle) {
    const { gl } = this;
    const table = patchTable(this.model.decoder, scale, angle);
    const rows = Math.ceil(table.length / 4 / TABLE_ACROSS);
    const data = new Float32Array(rows * TABLE_ACROSS * 4);
    data.set(table);
    this.#texture(1, gl.TEXTURE_2D, "patches");
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, TABLE_ACROSS, rows, 0, gl.RGBA, gl.FLOAT, data);
  }

  dispose() {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
