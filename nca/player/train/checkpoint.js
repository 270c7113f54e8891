// A training's result as the files of a checkpoint, those that nca/checkpoint.py reads and writes.
import { encodeBase64 } from "../web/model.js";
import { Network } from "./network.js";

const FORMAT = "nca-garden-1";

const utf8 = (text) => new TextEncoder().encode(text);

// Uint8Arrays, one after the other.
export function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

// A CheckpointInfo.
export function infoOf({ setup, about, iteration }) {
  return {
    format: FORMAT,
    title: about.title,
    recipe: about.recipe,
    seed: setup.seed,
    iteration,
    nca: setup.nca,
    train: setup.train,
    target: about.target,
    initial: null,
  };
}

export function safetensors(network, weights, info) {
  const header = { __metadata__: { nca_garden: JSON.stringify(info) } };
  for (const { name, shape, start, size } of network.parts) {
    header[name] = { dtype: "F32", shape, data_offsets: [4 * start, 4 * (start + size)] };
  }
  let text = JSON.stringify(header);
  let head = utf8(text);
  text += " ".repeat((8 - (head.length % 8)) % 8); // the numbers begin at a multiple of 8
  head = utf8(text);
  const length = new Uint8Array(8);
  new DataView(length.buffer).setUint32(0, head.length, true);
  const data = new Uint8Array(weights.slice().buffer);
  return joined([length, head, data]);
}

const CRCS = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});

function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = CRCS[(crc ^ byte) & 255] ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

// A zip of files, name -> bytes, without compression: weights hardly compress.
export function zip(files) {
  const parts = [];
  const directory = [];
  let at = 0;
  const add = (bytes) => {
    parts.push(bytes);
    at += bytes.length;
  };
  for (const [name, data] of Object.entries(files)) {
    const path = utf8(name);
    const about = new DataView(new ArrayBuffer(26)); // what both headers say of a file
    about.setUint16(0, 20, true); // version 2.0
    about.setUint16(2, 0x800, true); // the name is UTF-8
    about.setUint16(8, 33, true); // 1 January 1980; the time before it is midnight
    about.setUint32(10, crc32(data), true);
    about.setUint32(14, data.length, true);
    about.setUint32(18, data.length, true);
    about.setUint16(22, path.length, true);
    const shared = new Uint8Array(about.buffer);
    const entry = new Uint8Array(46);
    const view = new DataView(entry.buffer);
    view.setUint32(0, 0x02014b50, true);
    view.setUint16(4, 20, true);
    entry.set(shared, 6);
    view.setUint32(42, at, true);
    directory.push(entry, path);
    add(Uint8Array.of(0x50, 0x4b, 3, 4));
    add(shared);
    add(path);
    add(data);
  }
  const list = joined(directory);
  const end = new DataView(new ArrayBuffer(22));
  end.setUint32(0, 0x06054b50, true);
  end.setUint16(8, directory.length / 2, true);
  end.setUint16(10, directory.length / 2, true);
  end.setUint32(12, list.length, true);
  end.setUint32(16, at, true);
  return joined([...parts, list, new Uint8Array(end.buffer)]);
}

async function deflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// A PNG of straight RGBA, 8 bits; a canvas would change colours that are nearly transparent.
export async function png(pixels, height, width) {
  const rows = new Uint8Array(height * (4 * width + 1));
  for (let y = 0; y < height; y++) {
    rows.set(pixels.subarray(y * width * 4, (y + 1) * width * 4), y * (4 * width + 1) + 1);
  }
  const chunk = (kind, data) => {
    const body = joined([utf8(kind), data]);
    const ends = new DataView(new ArrayBuffer(8));
    ends.setUint32(0, data.length);
    ends.setUint32(4, crc32(body));
    const [length, check] = [0, 4].map((at) => new Uint8Array(ends.buffer, at, 4));
    return joined([length, body, check]);
  };
  const head = new DataView(new ArrayBuffer(13));
  head.setUint32(0, width);
  head.setUint32(4, height);
  head.setUint8(8, 8);
  head.setUint8(9, 6);
  return joined([
    Uint8Array.of(137, 80, 78, 71, 13, 10, 26, 10),
    chunk("IHDR", new Uint8Array(head.buffer)),
    chunk("IDAT", await deflated(rows)),
    chunk("IEND", new Uint8Array(0)),
  ]);
}

// A target, premultiplied, as straight RGBA of 8 bits; as target_to_png in nca/target.py.
export function targetPixels(target) {
  const pixels = new Uint8Array(target.length);
  for (let i = 0; i < target.length; i += 4) {
    const alpha = Math.round(target[i + 3] * 255);
    pixels[i + 3] = alpha;
    if (!alpha) continue;
    for (let c = 0; c < 3; c++) {
      pixels[i + c] = Math.min(255, Math.round((255 * 255 * target[i + c]) / alpha));
    }
  }
  return pixels;
}

// The scores by the names that a model card shows.
export function scoreLines({ growth, damaged }) {
  const shown = {};
  for (const [step, score] of Object.entries(growth)) {
    shown[`log10 error at step ${step}`] = score.toFixed(2);
  }
  for (const [cut, score] of Object.entries(damaged)) {
    shown[`${cut} cut, healed`] = score.toFixed(2);
  }
  return shown;
}

// What the scores mean, as [verb, words, is good]; the bounds are those of nca/jobs/check_up.py.
export function verdict({ growth, damaged }) {
  const grown = growth[200];
  const [cuts, bounds] = [Object.values(damaged), { alike: -2, same: -3, healed: -2.5 }];
  const healed = cuts.filter((score) => score < bounds.healed).length;
  let look = "and looks the same";
  if (grown > bounds.same) look = grown > bounds.alike ? "but blurry" : "and looks alike";
  return [
    ["Grows", `from one cell, ${look}`, grown <= bounds.alike],
    ["Heals", `${healed} of ${cuts.length} cuts`, 2 * healed >= cuts.length],
  ];
}

function cardOf({ about, iteration, scores }) {
  const lines = scores ? Object.entries(scoreLines(scores)) : [];
  return [
    "---", "library_name: nca-garden", `model_name: ${JSON.stringify(about.title)}`, "tags:",
    "- growing-nca", "- neural-cellular-automata", "- nca-garden", "---",
    `# ${about.title.replace(/[\\`*_<>[\]#]/g, "\\$&")}`, "",
    "![The picture it was trained on](target.png)", "",
    "A neural cellular automaton, trained in a browser with NCA Garden for " +
      `${iteration.toLocaleString("en")} iterations.`, "",
    ...(lines.length ? ["| | |", "|---|---|"] : []),
    ...lines.map(([name, value]) => `| ${name} | ${value} |`), "",
  ].join("\n");
}

// The zip of a training's checkpoint, which Python and the page load.
export async function checkpointZip(training) {
  const { setup, weights, scores } = training;
  const info = infoOf(training);
  return zip({
    "config.json": utf8(JSON.stringify(info, null, 2)),
    "model.safetensors": safetensors(new Network(setup.nca), weights, info),
    "README.md": utf8(cardOf(training)),
    "target.png": await png(targetPixels(setup.target), setup.height, setup.width),
    "metrics.json": utf8(JSON.stringify(scores ? { scores: scoreLines(scores) } : {}, null, 2)),
  });
}

// The training's automaton as the player takes it; see player_model in nca/player/models.py.
export function playerModel({ id, setup, about, iteration, weights, decoder = null }) {
  const network = new Network(setup.nca);
  const parts = [network.bank(weights)];
  network.layers.forEach(({ outputs }, l) => {
    parts.push(network.part(weights, `layers.${l}.weight`));
    parts.push(network.part(weights, `layers.${l}.bias`) ?? new Float32Array(outputs));
  });
  if (network.kinds) parts.push(network.part(weights, "genes"));
  const block = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    block.set(part, at);
    at += part.length;
  }
  return {
    brush: 3,
    version: `${id} ${iteration}`,
    title: about.title,
    series: id,
    height: setup.height,
    width: setup.width,
    config: setup.nca,
    kinds: about.kinds ?? [],
    fire_threshold: network.fireThreshold,
    weights: encodeBase64(block),
    decoder,
  };
}
