// The automaton on WebGL2: dense, for large grids on a real graphics card.
//
// The state is one RGBA32UI texture array, four channels per layer, floats stored as bits: this needs
// no extension, and half floats would not be exact enough. A step is two passes, all layers at once:
// `update` writes x + dx, `mask` zeroes cells that are not alive. Weights are in a float texture,
// because they exceed the 16 kB that a uniform block is guaranteed to hold.
import { stepKey } from "./fire.js";
import { turnedBank } from "./model.js";
import { tiles } from "./paint.js";

const WEIGHTS_ACROSS = 1024;

const HEADER = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2DArray;
precision highp sampler2D;
`;

const VERTEX = `#version 300 es
void main() { // one triangle that covers the whole target
  gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;

// A program whose fragment shader runs once per pixel, and where each of its uniforms is.
export function pixelProgram(gl, fragment) {
  const program = gl.createProgram();
  for (const [type, source] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(type);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) {
    const logs = gl.getAttachedShaders(program).map((shader) => gl.getShaderInfoLog(shader));
    throw new Error(`${gl.getProgramInfoLog(program)} ${logs.join(" ")}`);
  }
  const where = {};
  for (let i = gl.getProgramParameter(program, gl.ACTIVE_UNIFORMS) - 1; i >= 0; i--) {
    const { name } = gl.getActiveUniform(program, i);
    where[name] = gl.getUniformLocation(program, name);
  }
  return { program, where };
}

// Unfiltered, as a texture that holds numbers must be.
export function unfiltered(gl, target) {
  gl.texParameteri(target, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
  gl.texParameteri(target, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
}

// Cell `at` of layer l of a state; outside the grid, empty or the other side of the torus.
const cellOf = (model) => `
uniform ivec2 size;
vec4 cellOf(usampler2DArray from, ivec2 at, int l) {
  ${
    model.circular
      ? "at = (at + size) % size;"
      : "if (any(lessThan(at, ivec2(0))) || any(greaterThanEqual(at, size))) return vec4(0.0);"
  }
  return uintBitsToFloat(texelFetch(from, ivec3(at, l), 0));
}
bool anyAlive(usampler2DArray from, ivec2 at, int reach) {
  for (int y = -reach; y <= reach; y++) {
    for (int x = -reach; x <= reach; x++) {
      if (cellOf(from, at + ivec2(x, y), 0).a > ${literal(model.threshold)}) return true;
    }
  }
  return false;
}`;

const literal = (v) => {
  const text = String(v);
  return /[.e]/.test(text) ? text : `${text}.0`;
};

const outputsOf = (layers) =>
  Array.from({ length: layers }, (_, l) => `layout(location = ${l}) out uvec4 out${l};`).join("\n");

function updateShader(model) {
  const layers = model.padded / 4;
  const perceived = model.filters * layers;
  const code = [];
  // Every layer's weights as rows of texels: per 4 outputs a bias, then 4 texels per 4 inputs.
  let at = model.filters * 9 * layers;
  let [from, inputs] = ["seen", perceived];
  model.layers.forEach((layer, index) => {
    const last = index + 1 === model.layers.length;
    const outputs = last ? layers : Math.ceil(layer.outputs / 4);
    const to = last ? "change" : `hidden${index}`;
    code.push(`vec4 ${to}[${outputs}];
    for (int o = 0; o < ${outputs}; o++) {
      int w = ${at} + o * ${1 + 4 * inputs};
      vec4 sum = weight(w++);
      for (int i = 0; i < ${inputs}; i++) {
        vec4 v = ${from}[i];
        sum += weight(w) * v.x + weight(w + 1) * v.y + weight(w + 2) * v.z + weight(w + 3) * v.w;
        w += 4;
      }
      ${to}[o] = ${last ? "sum" : "max(sum, 0.0)"};
    }`);
    at += outputs * (1 + 4 * inputs);
    [from, inputs] = [to, outputs];
  });
  // Without a living cell within 5 x 5, a cell stays empty; see engine-js.js.
  const near = model.prePost ? "anyAlive(state, at, 2)" : "true";
  return `${HEADER}
uniform usampler2DArray state;
uniform sampler2D weights;
uniform uint key;
${outputsOf(layers)}
${cellOf(model)}
vec4 weight(int i) { return texelFetch(weights, ivec2(i % ${WEIGHTS_ACROSS}, i / ${WEIGHTS_ACROSS}), 0); }
uint lowbias32(uint h) {
  h = (h ^ (h >> 16)) * 0x7feb352du;
  h = (h ^ (h >> 15)) * 0x846ca68bu;
  return h ^ (h >> 16);
}
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  vec4 x[${layers}];
  for (int l = 0; l < ${layers}; l++) x[l] = cellOf(state, at, l);
  uint cell = uint(at.y * size.x + at.x);
  if ((lowbias32(key ^ (cell * 0x9e3779b9u)) >> 8) < ${model.fireThreshold}u && ${near}) {
    vec4 seen[${perceived}];
    for (int i = 0; i < ${perceived}; i++) seen[i] = vec4(0.0);
    for (int tap = 0; tap < 9; tap++) {
      ivec2 there = at + ivec2(tap % 3 - 1, tap / 3 - 1);
      for (int l = 0; l < ${layers}; l++) {
        vec4 v = cellOf(state, there, l);
        for (int k = 0; k < ${model.filters}; k++) {
          seen[k * ${layers} + l] += weight((k * 9 + tap) * ${layers} + l) * v;
        }
      }
    }
    ${code.join("\n    ")}
    for (int l = 0; l < ${layers}; l++) x[l] += change[l];
  }
  ${Array.from({ length: layers }, (_, l) => `out${l} = floatBitsToUint(x[${l}]);`).join("\n  ")}
}`;
}

function maskShader(model) {
  const layers = model.padded / 4;
  const lives = model.prePost
    ? "anyAlive(grown, at, 1) && anyAlive(state, at, 1)"
    : "anyAlive(grown, at, 1)";
  const copy = (l) => `out${l} = lives ? texelFetch(grown, ivec3(at, ${l}), 0) : uvec4(0u);`;
  return `${HEADER}
uniform usampler2DArray state;
uniform usampler2DArray grown;
${outputsOf(layers)}
${cellOf(model)}
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  bool lives = ${lives};
  ${Array.from({ length: layers }, (_, l) => copy(l)).join("\n  ")}
}`;
}

// The same colours as paint.js. channel: -1 is RGBA, -2 all channels as tiles.
const PAINT = `${HEADER}
uniform usampler2DArray state;
uniform ivec2 size;
uniform int channel;
uniform int across;
uniform int channels;
uniform float ground;
out vec4 colour;
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  at.y = size.y * (channel == -2 ? (channels + across - 1) / across : 1) - 1 - at.y;
  int c = channel;
  if (channel == -2) {
    ivec2 tile = at / size;
    c = tile.y * across + tile.x;
    at -= tile * size;
  }
  colour = vec4(vec3(ground), 1.0);
  if (c >= channels) return;
  vec4 x = uintBitsToFloat(texelFetch(state, ivec3(at, max(c, 0) / 4), 0));
  if (channel == -1) {
    colour.rgb = clamp(x.rgb + ground * (1.0 - clamp(x.a, 0.0, 1.0)), 0.0, 1.0);
    return;
  }
  float v = x[c % 4];
  vec3 tint = vec3(0.91, 0.35, 0.05);
  if (c == 0) tint = vec3(0.86, 0.16, 0.18);
  if (c == 1) tint = vec3(0.1, 0.6, 0.25);
  if (c == 2) tint = vec3(0.13, 0.35, 0.9);
  if (v < 0.0) tint = vec3(0.1, 0.42, 0.88);
  if (c == 3) tint = vec3(ground > 0.5 ? 0.08 : 0.95);
  colour.rgb = mix(vec3(ground), tint, clamp(c == 3 ? v : abs(v), 0.0, 1.0));
}`;

const LARGE = 160 * 160; // cells

let gpu; // created once per page, because a context is expensive

// Whether WebGL2 is available and hardware-accelerated.
export function realGPU() {
  gpu ??= (() => {
    if (typeof document === "undefined") return false;
    const gl = document.createElement("canvas").getContext("webgl2");
    if (!gl) return false;
    const about = gl.getExtension("WEBGL_debug_renderer_info");
    const name = gl.getParameter(about ? about.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
    gl.getExtension("WEBGL_lose_context")?.loseContext();
    return !/swiftshader|llvmpipe|softpipe|basic render|software/i.test(name);
  })();
  return gpu;
}

export class WebGLEngine {
  name = "webgl2";

  static label = "WebGL2";

  // A GPU pays off only on large grids: below this size WebAssembly is as fast and leaves the GPU
  // free. A dense step costs the GPU the same however few cells are alive.
  static suits(height, width) {
    return height * width >= LARGE && realGPU();
  }

  static cannot(model, height, width) {
    if (typeof document === "undefined") return "there is no page";
    if (model.kinds) return "its cells carry genes";
    // Four draw buffers are guaranteed, eight are common: checked again when the engine starts.
    if (model.padded > 32) return "too many channels";
    const between = model.config.hidden;
    if (between.length > 2 || Math.max(...between) > 256) return "hidden layers too wide";
    if (Math.max(height, width) > 2048) return "the grid is too large";
    return null;
  }

  constructor() {
    this.canvas = document.createElement("canvas");
    this.gl = this.canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false });
    if (!this.gl) throw new Error("no WebGL2 here");
    this.canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault(); // else the context is never restored
      this.gone = true;
      this.onLost?.();
    });
    this.canvas.addEventListener("webglcontextrestored", () => this.onRestored?.());
  }

  setModel(model) {
    const { gl } = this;
    const dense = this.textures && model.channels === this.model.channels ? this.read() : null;
    const layers = model.padded / 4;
    if (gl.getParameter(gl.MAX_DRAW_BUFFERS) < layers) throw new Error("too few draw buffers");
    // While a job trains, weights change often but the architecture does not.
    const shape = JSON.stringify([model.config, model.fireThreshold]);
    if (shape !== this.shape) {
      this.programs = {
        update: pixelProgram(gl, updateShader(model)),
        mask: pixelProgram(gl, maskShader(model)),
        paint: pixelProgram(gl, PAINT),
      };
      this.shape = shape;
    }
    this.model = model;
    this.angle = null;
    if (dense) this.setState(dense, this.height, this.width);
  }

  // Filters and weights as texels, in the order in which updateShader reads them.
  #uploadWeights(angle) {
    const { gl, model } = this;
    const layers = model.padded / 4;
    const texels = [...turnedBank(model, angle)];
    let inputs = model.filters * layers;
    model.layers.forEach((layer, index) => {
      const last = index + 1 === model.layers.length;
      const outputs = last ? layers : Math.ceil(layer.outputs / 4);
      const weightOf = (o, i) => {
        // The first layer's inputs are ordered by filter, each with padded channels.
        const k = Math.floor(i / model.padded);
        const c = i % model.padded;
        if (index === 0 && c >= model.channels) return 0;
        const column = index === 0 ? k * model.channels + c : i;
        if (o >= layer.outputs || column >= layer.inputs) return 0;
        return layer.weight[o * layer.inputs + column];
      };
      for (let o = 0; o < outputs; o++) {
        for (let j = 0; j < 4; j++) texels.push(layer.bias[o * 4 + j] ?? 0);
        for (let i = 0; i < inputs * 4; i++) {
          for (let j = 0; j < 4; j++) texels.push(weightOf(o * 4 + j, i));
        }
      }
      inputs = outputs;
    });
    const rows = Math.ceil(texels.length / 4 / WEIGHTS_ACROSS);
    const data = new Float32Array(rows * WEIGHTS_ACROSS * 4);
    data.set(texels);
    this.weights ??= gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.weights);
    gl.texImage2D(
      gl.TEXTURE_2D, 0, gl.RGBA32F, WEIGHTS_ACROSS, rows, 0, gl.RGBA, gl.FLOAT, data,
    );
    unfiltered(gl, gl.TEXTURE_2D);
    this.angle = angle;
  }

  setState(dense, height, width) {
    const { gl, model } = this;
    const layers = model.padded / 4;
    Object.assign(this, { height, width, layers });
    for (const { texture, buffer } of this.textures ?? []) {
      gl.deleteTexture(texture);
      gl.deleteFramebuffer(buffer);
    }
    // Three textures: `mask` reads the old and the updated state, and writes the next.
    this.textures = [this.#layered(), this.#layered(), this.#layered()];
    this.#upload(dense, 0, 0, width, height);
  }

  #layered() {
    const { gl, layers } = this;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture);
    gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, gl.RGBA32UI, this.width, this.height, layers);
    unfiltered(gl, gl.TEXTURE_2D_ARRAY);
    const buffer = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, buffer);
    const targets = Array.from({ length: layers }, (_, l) => gl.COLOR_ATTACHMENT0 + l);
    targets.forEach((target, l) => {
      gl.framebufferTextureLayer(gl.FRAMEBUFFER, target, texture, 0, l);
    });
    gl.drawBuffers(targets);
    return { texture, buffer };
  }

  // Writes a dense rectangle of cells into the current state.
  #upload(dense, x, y, width, height) {
    const { gl, layers } = this;
    const { channels } = this.model;
    const planes = new Float32Array(layers * height * width * 4);
    for (let cell = 0, d = 0; cell < height * width; cell++) {
      for (let c = 0; c < channels; c++, d++) {
        planes[((c >> 2) * height * width + cell) * 4 + (c & 3)] = dense[d];
      }
    }
    gl.bindTexture(gl.TEXTURE_2D_ARRAY, this.textures[0].texture);
    gl.texSubImage3D(
      gl.TEXTURE_2D_ARRAY, 0, x, y, 0, width, height, layers, gl.RGBA_INTEGER, gl.UNSIGNED_INT,
      new Uint32Array(planes.buffer),
    );
  }

  fill(runs, cell) {
    const { channels } = this.model;
    for (const [y, x0, x1] of runs) {
      const dense = new Float32Array((x1 - x0) * channels);
      if (cell) for (let x = 0; x < x1 - x0; x++) dense.set(cell, x * channels);
      this.#upload(dense, x0, y, x1 - x0, 1);
    }
  }

  #use({ program, where }, values) {
    const { gl } = this;
    gl.useProgram(program);
    gl.viewport(0, 0, this.width, this.height);
    gl.uniform2i(where.size, this.width, this.height);
    values.forEach(([name, texture], unit) => {
      const target = name === "weights" ? gl.TEXTURE_2D : gl.TEXTURE_2D_ARRAY;
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(target, texture);
      gl.uniform1i(where[name], unit);
    });
  }

  step(n, t, seed, angle = 0) {
    if (this.gone) return;
    const { gl, programs } = this;
    if (angle !== this.angle) this.#uploadWeights(angle);
    for (let i = 0; i < n; i++) {
      const [state, grown, next] = this.textures;
      this.#use(programs.update, [["state", state.texture], ["weights", this.weights]]);
      gl.uniform1ui(programs.update.where.key, stepKey(seed, t + i));
      gl.bindFramebuffer(gl.FRAMEBUFFER, grown.buffer);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
      this.#use(programs.mask, [["state", state.texture], ["grown", grown.texture]]);
      gl.bindFramebuffer(gl.FRAMEBUFFER, next.buffer);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
      this.textures = [next, grown, state];
    }
  }

  #readRect(x, y, width, height) {
    const { gl, layers } = this;
    const { channels } = this.model;
    const dense = new Float32Array(height * width * channels);
    const plane = new Uint32Array(height * width * 4);
    const floats = new Float32Array(plane.buffer);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.textures[0].buffer);
    for (let l = 0; l < layers; l++) {
      gl.readBuffer(gl.COLOR_ATTACHMENT0 + l);
      gl.readPixels(x, y, width, height, gl.RGBA_INTEGER, gl.UNSIGNED_INT, plane);
      for (let cell = 0; cell < height * width; cell++) {
        for (let j = 0; j < 4 && l * 4 + j < channels; j++) {
          dense[cell * channels + l * 4 + j] = floats[cell * 4 + j];
        }
      }
    }
    return dense;
  }

  read() {
    return this.#readRect(0, 0, this.width, this.height);
  }

  readCell(x, y) {
    return this.#readRect(x, y, 1, 1);
  }

  paint(view, ground) {
    const { gl } = this;
    const { channels } = this.model;
    const { across, down } = view === "all" ? tiles(channels) : { across: 1, down: 1 };
    const [width, height] = [this.width * across, this.height * down];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      Object.assign(this.canvas, { width, height });
    }
    if (this.gone) return;
    const channel = { rgba: -1, alpha: 3, all: -2 }[view] ?? view;
    const { where } = this.programs.paint;
    this.#use(this.programs.paint, [["state", this.textures[0].texture]]);
    gl.viewport(0, 0, width, height);
    gl.uniform1i(where.channel, channel);
    gl.uniform1i(where.across, across);
    gl.uniform1i(where.channels, channels);
    gl.uniform1f(where.ground, ground);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  // In the same task as the painting, else the browser may have cleared the buffer already.
  draw(context) {
    context.drawImage(this.canvas, 0, 0);
  }

  dispose() {
    this.onLost = this.onRestored = null;
    this.textures = null;
    if (!this.gone) this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
