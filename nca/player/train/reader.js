// Reads the weights of a checkpoint from elsewhere, as strictly as nca/checkpoint.py does.
import { Network } from "./network.js";

const MOST_BYTES = 2 ** 20;
const MOST_WEIGHT = 1e4;

export class BadCheckpoint extends Error {}

const isWhole = (low, high) => (value) => Number.isInteger(value) && value >= low && value <= high;
const isAmong = (...choices) => (value) => choices.includes(value);
const isBetween = (low, high) => (value) => typeof value === "number" && value >= low && value <= high;
const isFlag = (value) => typeof value === "boolean";

// The fields of NCAConfig; automata with kinds are not known here.
const FIELDS = {
  channels: isWhole(4, 32),
  hidden: (value) =>
    Array.isArray(value) && value.length >= 1 && value.length <= 4 && value.every(isWhole(1, 512)),
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
};

// Its defaults, for what older checkpoints do not name.
const DEFAULTS = {
  channels: 16, hidden: [128], perception: "fixed", laplacian: "none", bias: true, out_bias: true,
  step_size: 1, fire_rate: 0.5, alive_threshold: 0.1, alive_mask: "pre_post", padding: "zero",
  seed_hidden: true,
};

function checkedConfig(given) {
  const config = { ...DEFAULTS, ...given };
  if (config.laplacian === true) config.laplacian = "nine_point"; // in older checkpoints
  if (config.laplacian === false) config.laplacian = "none";
  if (!Object.keys(config).every((name) => FIELDS[name]?.(config[name]))) {
    throw new BadCheckpoint("This site does not know the architecture of that checkpoint.");
  }
  return config;
}

// { info, weights } of model.safetensors, an ArrayBuffer: a CheckpointInfo and all numbers in the
// order of Network.
export function readWeights(buffer) {
  const broken = new BadCheckpoint("That is not a checkpoint of NCA Garden, or it is damaged.");
  if (buffer.byteLength < 8 || buffer.byteLength > MOST_BYTES) throw broken;
  const view = new DataView(buffer);
  const length = view.getUint32(0, true);
  if (view.getUint32(4, true) || 8 + length > buffer.byteLength) throw broken;
  let header;
  let info;
  try {
    header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
    info = JSON.parse(header.__metadata__.nca_garden);
  } catch {
    throw broken;
  }
  const network = new Network(checkedConfig(info?.nca));
  const names = Object.keys(header).filter((name) => name !== "__metadata__");
  if (names.length !== network.parts.length) throw broken;
  const weights = new Float32Array(network.size);
  const data = 8 + length;
  for (const { name, shape, start, size } of network.parts) {
    const found = header[name];
    const [from, to] = Array.isArray(found?.data_offsets) ? found.data_offsets : [];
    const fits = found?.dtype === "F32" && JSON.stringify(found.shape) === JSON.stringify(shape) &&
      Number.isInteger(from) && from >= 0 && to - from === 4 * size && data + to <= buffer.byteLength;
    if (!fits) throw broken;
    weights.set(new Float32Array(buffer.slice(data + from, data + to)), start);
  }
  if (!weights.every((value) => Math.abs(value) <= MOST_WEIGHT)) throw broken;
  return { info: { ...info, nca: network.config }, weights };
}

// A public checkpoint of the Hub, user/name, as what playerModel takes.
export async function fetchCheckpoint(name) {
  if (!/^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/.test(name)) {
    throw new BadCheckpoint("Please name a checkpoint as ?checkpoint=user/name.");
  }
  const answer = await fetch(`https://huggingface.co/${name}/resolve/main/model.safetensors`)
    .catch(() => null);
  if (!answer?.ok) {
    throw new BadCheckpoint(`The Hub has no public checkpoint ${name}, or cannot be reached.`);
  }
  const { info, weights } = readWeights(await answer.arrayBuffer());
  const { size = 40, padding = 16 } = info.target ?? {};
  const side = isWhole(8, 256)(size + 2 * padding) ? size + 2 * padding : 72;
  return {
    id: name,
    setup: { nca: info.nca, height: side, width: side },
    about: { title: String(info.title ?? name).slice(0, 80) },
    iteration: info.iteration,
    weights,
  };
}
