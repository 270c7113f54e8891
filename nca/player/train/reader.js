// Reads a checkpoint from elsewhere, as strictly as nca/checkpoint.py does.
import { encodeBase64, halves } from "../web/model.js";
import { joined } from "./checkpoint.js";
import { Network } from "./network.js";

const MOST_BYTES = 2 ** 20;
const MOST_WEIGHT = 1e4;

export class BadCheckpoint extends Error {}

const isWhole = (low, high) => (value) => Number.isInteger(value) && value >= low && value <= high;
const isAmong = (...choices) => (value) => choices.includes(value);
const isBetween = (low, high) => (value) => typeof value === "number" && value >= low && value <= high;
const isFlag = (value) => typeof value === "boolean";
const areWhole = (low, high, most) => (value) =>
  Array.isArray(value) && value.length >= 1 && value.length <= most && value.every(isWhole(low, high));

// The fields of NCAConfig, in its order, and their defaults, for what older checkpoints do not name.
const FIELDS = {
  channels: isWhole(4, 32),
  hidden: areWhole(1, 512, 4),
  perception: isAmong("fixed", "learned"),
  laplacian: isAmong("none", "nine_point", "five_point"),
  bias: isFlag,
  out_bias: isFlag,
  step_size: isBetween(Number.MIN_VALUE, 4),
  fire_rate: isBetween(0.01, 1),
  alive_threshold: (value) => isBetween(0, 1)(value) && value < 1,
  alive_mask: isAmong("pre_post", "post"),
  padding: isAmong("zero", "circular"),
  seed_hidden: isFlag,
  kinds: isWhole(0, 255),
};
const DEFAULTS = {
  channels: 16, hidden: [128], perception: "fixed", laplacian: "none", bias: true, out_bias: true,
  step_size: 1, fire_rate: 0.5, alive_threshold: 0.1, alive_mask: "pre_post", padding: "zero",
  seed_hidden: true, kinds: 0,
};
const FRACTIONS = ["step_size", "fire_rate", "alive_threshold"];

// Those of DecoderConfig.
const DECODER_FIELDS = {
  format: isAmong("nca-garden-decoder-1"),
  hidden: areWhole(1, 256, 3),
  patches: isWhole(1, 128),
  waves: isWhole(1, 16),
};

const fits = (config, fields) =>
  Object.keys(config).every((name) => Object.hasOwn(fields, name) && fields[name](config[name]));

function checkedConfig(given) {
  const config = { ...DEFAULTS, ...given };
  if (config.laplacian === true) config.laplacian = "nine_point"; // in older checkpoints
  if (config.laplacian === false) config.laplacian = "none";
  if (!fits(config, FIELDS) || (config.kinds && config.channels < 5)) {
    throw new BadCheckpoint("This site does not know the architecture of that checkpoint.");
  }
  return config;
}

const damaged = () =>
  new BadCheckpoint("That is not a checkpoint of NCA Garden, or it is damaged.");

// { about, tensors } of a safetensors file, an ArrayBuffer: the JSON under `key` in its metadata,
// and a function that gives the bytes of exactly these parts, [{ name, shape, size }].
function opened(buffer, key, dtype) {
  if (buffer.byteLength < 8 || buffer.byteLength > MOST_BYTES) throw damaged();
  const view = new DataView(buffer);
  const length = view.getUint32(0, true);
  if (view.getUint32(4, true) || 8 + length > buffer.byteLength) throw damaged();
  let header;
  let about;
  try {
    header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
    about = JSON.parse(header.__metadata__[key]);
  } catch {
    throw damaged();
  }
  const data = 8 + length;
  const width = dtype === "F32" ? 4 : 2;
  const tensors = (parts) => {
    const names = Object.keys(header).filter((name) => name !== "__metadata__");
    if (names.length !== parts.length) throw damaged();
    return parts.map(({ name, shape, size }) => {
      const found = header[name];
      const [from, to] = Array.isArray(found?.data_offsets) ? found.data_offsets : [];
      const there = found?.dtype === dtype && Number.isInteger(from) && from >= 0 &&
        JSON.stringify(found.shape) === JSON.stringify(shape) && to - from === width * size &&
        data + to <= buffer.byteLength;
      if (!there) throw damaged();
      return new Uint8Array(buffer, data + from, to - from);
    });
  };
  return { about, tensors };
}

const inRange = (numbers) => numbers.every((value) => Math.abs(value) <= MOST_WEIGHT);

// { info, weights } of model.safetensors: a CheckpointInfo and all numbers in the order of Network.
export function readWeights(buffer) {
  const { about, tensors } = opened(buffer, "nca_garden", "F32");
  const network = new Network(checkedConfig(about?.nca));
  const weights = new Float32Array(joined(tensors(network.parts)).buffer);
  if (!inRange(weights)) throw damaged();
  return { info: { ...about, nca: network.config }, weights };
}

// As `fingerprint` in nca/decoder_file.py; null where the page may not compute hashes.
async function fingerprint(config, weights) {
  if (!globalThis.crypto?.subtle) return null;
  const named = Object.keys(FIELDS).filter((name) => name !== "kinds" || config.kinds);
  const text = named.map((name) => {
    const value = JSON.stringify(config[name]);
    // Python writes a fraction that is whole with a point.
    const whole = FRACTIONS.includes(name) && Number.isInteger(config[name]);
    return `"${name}":${value}${whole ? ".0" : ""}`;
  });
  const head = new TextEncoder().encode(`{${text.join(",")}}`);
  const bytes = joined([head, new Uint8Array(weights.buffer)]);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("").slice(0, 32);
}

// decoder.safetensors as the player takes it, see player_decoder in nca/player/models.py; null when
// it was fitted to other weights.
export async function readDecoder(buffer, config, weights) {
  const { about, tensors } = opened(buffer, "nca_garden_decoder", "F16");
  const found = about?.decoder ?? {};
  const { hidden, patches, waves } = found;
  if (Object.keys(found).length !== 4 || !fits(found, DECODER_FIELDS)) throw damaged();
  const network = new Network(config);
  const widths = [network.filters * network.seen, ...hidden, patches];
  const shapes = hidden.concat(patches).flatMap((outputs, l) => [
    [`layers.${l}.weight`, [outputs, widths[l]]], [`layers.${l}.bias`, [outputs]],
  ]);
  shapes.push(["basis", [patches, 4, waves, waves]]);
  const parts = shapes.map(([name, shape]) => (
    { name, shape, size: shape.reduce((product, side) => product * side, 1) }));
  const bytes = joined(tensors(parts));
  if (!inRange(halves(bytes))) throw damaged();
  if (about.automaton !== await fingerprint(config, weights)) return null;
  return { hidden, patches, waves, weights: encodeBase64(bytes) };
}

async function fetched(name, file) {
  const answer = await fetch(`https://huggingface.co/${name}/resolve/main/${file}`)
    .catch(() => null);
  if (Number(answer?.headers.get("content-length")) > MOST_BYTES) throw damaged();
  return answer?.ok ? answer.arrayBuffer() : null;
}

// A public checkpoint of the Hub, user/name, as what playerModel takes.
export async function fetchCheckpoint(name) {
  if (!/^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/.test(name)) {
    throw new BadCheckpoint("Please name a checkpoint as ?checkpoint=user/name.");
  }
  const [model, fine] = await Promise.all(
    ["model.safetensors", "decoder.safetensors"].map((file) => fetched(name, file)),
  );
  if (!model) {
    throw new BadCheckpoint(`The Hub has no public checkpoint ${name}, or cannot be reached.`);
  }
  const { info, weights } = readWeights(model);
  const { size = 40, padding = 16, emoji, more = [] } = info.target ?? {};
  const side = isWhole(8, 256)(size + 2 * padding) ? size + 2 * padding : 72;
  const kinds = [emoji, ...(Array.isArray(more) ? more : [])].map((kind) => String(kind ?? "").slice(0, 16));
  return {
    id: name,
    setup: { nca: info.nca, height: side, width: side },
    about: {
      title: String(info.title ?? name).slice(0, 80),
      kinds: kinds.length === info.nca.kinds ? kinds : [],
    },
    iteration: info.iteration,
    weights,
    decoder: fine && (await readDecoder(fine, info.nca, weights)),
  };
}
