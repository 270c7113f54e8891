// The trainer inside the garden's own page, whose server makes the targets.
import { decodeBase64, encodeBase64 } from "../web/model.js";
import { checkpointZip } from "./checkpoint.js";
import { LiveTrainer } from "./live.js";

const USED = "nca-garden-trains-here"; // whether there may be trainings in this browser

// Notes for the next visit whether there are trainings.
function remember(any) {
  try {
    if (any) localStorage.setItem(USED, "1");
    else localStorage.removeItem(USED);
  } catch {
    // Storage is blocked: the trainer itself says what that means.
  }
}

const numbers = (text) => text && new Float32Array(decodeBase64(text).buffer);

// Shows the trainings of this browser in `host`. `send` is called with "grow" or "share", what the
// visitor wants to do on the server, and a checkpoint's zip as base64.
export function mountTrainer(host, send) {
  const sends = (to) => async (training) => send(to, encodeBase64(await checkpointZip(training)));
  return host.ncaTrainer ?? new LiveTrainer(host, {
    about: "“Play” and “Share” send the automaton to this server, onto your shelf of the Grow tab.",
    listed: (trainings) => remember(trainings.length > 0),
    grow: sends("grow"),
    share: sends("share"),
  });
}

// Begins what nca/ui/train/in_browser.py sent.
export async function beginTraining(host, send, { setup, about, weights }) {
  remember(true);
  const trainer = mountTrainer(host, send);
  const started = trainer.begin(
    { ...setup, target: numbers(setup.target) }, about, numbers(weights),
  );
  host.scrollIntoView({ behavior: "smooth", block: "start" });
  await started;
}
