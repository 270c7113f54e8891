"""Training in the browser against the native engine: `quick` on the lizard, in headless Chromium.

    python benchmarks/browser_training.py            speed, frames and memory, about 2 minutes
    python benchmarks/browser_training.py --quality  also how soon a turtle at 24 cells is grown
    python benchmarks/browser_training.py --json     the last line is one JSON object

Speed: 40 + 2 * 16 cells, from the pretrained weights, so that states are as large as they become.
The turtle is a picture that these have not seen. Native is the CPU engine on one thread; it and one
worker are compared by processor time, two workers with one by the clock, which needs an idle
machine. Systems are measured in turn; every figure is a median. Frames: how many the page draws per
second while one worker trains. Memory: resident memory of the page's process above what it was
before the training.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parameters_to_vector

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from nca import NCA, NCAConfig, emoji_target, recipe  # noqa: E402
from nca.checkpoint import load_checkpoint  # noqa: E402
from nca.evaluate import Plan, evaluate  # noqa: E402
from nca.player.bundle import script, wasm_base64  # noqa: E402
from nca.pretrained import pretrained  # noqa: E402
from nca.scorecard import DISTILL  # noqa: E402
from tests.browser import FLAGS, find_chromium  # noqa: E402

HOME = "https://garden.test/"
QUICK = recipe("quick")
POOL = 16  # so that within a few iterations the pool holds no seeds
WARM, MEASURED = 24, 40  # iterations
# Starts a session; keeps what it reports.
START = """({ config, train, height, width, target, weights, workers }) => {
  const floats = (text) => text && new Float32Array(
    Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const setup = { nca: config, train, height, width, target: floats(target), seed: 0 };
  const about = { title: "benchmark", recipe: "quick", target: null };
  const training = kit.newTraining(setup, about, floats(weights));
  const began = performance.now();
  window.heard = [];
  window.session = new kit.Session(training, null, (data) => {
    heard.push({ at: (performance.now() - began) / 1000, ...data });
  }, { workers });
}"""
REPORTS = """() => heard.map(({ at, kind, iteration, seconds, text }) =>
  ({ at, kind, iteration, seconds, text }))"""
FRAMES = """(ms) => new Promise((resolve) => {
  let frames = 0;
  const began = performance.now();
  const count = (now) => {
    if (now - began > ms) resolve((1000 * frames) / (now - began));
    else { frames += 1; requestAnimationFrame(count); }
  };
  requestAnimationFrame(count);
})"""


def encode(values: torch.Tensor) -> str:
    """float32, as base64."""
    return base64.b64encode(values.detach().float().numpy().astype("<f4").tobytes()).decode()


def started(page: Any, target: torch.Tensor, workers: int, **changes: Any) -> None:
    """Start a training on the page."""
    height, width, _ = target.shape
    train = QUICK.train.model_copy(update=changes)
    page.evaluate(
        START,
        {
            "config": QUICK.nca.model_dump(mode="json"),
            "train": train.model_dump(mode="json"),
            "height": height,
            "width": width,
            "target": encode(target),
            "weights": encode(parameters_to_vector(pretrained(QUICK.nca).parameters())),
            "workers": workers,
        },
    )


def until(page: Any, iteration: int, limit: float) -> list[dict[str, Any]]:
    """Wait for an iteration; what was reported so far."""
    end = time.monotonic() + limit
    while time.monotonic() < end:
        reports = page.evaluate(REPORTS)
        failed = [r for r in reports if r["kind"] == "failed"]
        if failed:
            raise SystemExit(f"The training failed: {failed[0]['text']}")
        if reports and (reports[-1].get("iteration") or 0) >= iteration:
            break
        page.wait_for_timeout(300)
    return [r for r in reports if r["kind"] == "progress"]


def in_browser(browser: Any, page: Any, target: torch.Tensor, workers: int) -> tuple[float, float]:
    """Seconds of an iteration, by the clock and of the renderers' processor time."""
    started(page, target, workers, pool_size=POOL)
    first, used = until(page, WARM, 300)[-1], renderers(browser)[0]
    last = until(page, first["iteration"] + MEASURED, 300)[-1]
    used = renderers(browser)[0] - used
    page.evaluate("() => session.end()")
    count = last["iteration"] - first["iteration"]
    return (last["seconds"] - first["seconds"]) / count, used / count


NATIVE = """
import sys, time, torch
torch.set_num_threads(1)
sys.path.insert(0, {root!r})
from nca import Trainer, recipe
from nca.checkpoint import load_checkpoint
lizard, quick = load_checkpoint({folder!r}), recipe("quick")
train = quick.train.model_copy(update={{"pool_size": {pool}}})
trainer = Trainer(quick.nca, train, lizard.target)
for _ in range({warm}):
    trainer.train_step()
began = time.process_time()
for _ in range({measured}):
    trainer.train_step()
print((time.process_time() - began) / {measured})
"""


def native(folder: Path) -> float:
    """Seconds of processor time of an iteration on one thread, in a process of its own."""
    code = NATIVE.format(
        root=str(ROOT), folder=str(folder), pool=POOL, warm=WARM, measured=MEASURED
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True
    )
    return float(done.stdout)


def renderers(browser: Any) -> tuple[float, int]:
    """Processor seconds and proportional resident bytes of all renderers; 0 without /proc."""
    session = browser.new_browser_cdp_session()
    found = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    seconds, total = 0.0, 0
    for process in found:
        if process["type"] != "renderer":
            continue
        seconds += process["cpuTime"]
        path = Path(f"/proc/{process['id']}/smaps_rollup")
        if path.exists():
            lines = path.read_text(encoding="ascii").splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024
    return seconds, total


def speed(browser: Any, page: Any, rounds: int) -> dict[str, float]:
    """Times in turn, frames and memory."""
    folder = ROOT / "checkpoints" / "lizard-regenerating"
    lizard = load_checkpoint(folder)
    assert lizard.target is not None
    before = renderers(browser)[1]
    started(page, lizard.target, 1)
    until(page, 8, 60)
    frames = page.evaluate(FRAMES, 5000)
    memory = renderers(browser)[1] - before
    page.evaluate("() => session.end()")
    times: dict[str, list[float]] = {"native": [], "one": [], "clock": [], "two": []}
    for _ in range(rounds):
        times["native"].append(native(folder))
        clock, used = in_browser(browser, page, lizard.target, 1)
        times["one"].append(used)
        times["clock"].append(clock)
        times["two"].append(in_browser(browser, page, lizard.target, 2)[0])
    found = {name: median(values) for name, values in times.items()}
    names = ("native, processor", "one worker, processor", "one worker", "two workers")
    for name, seconds in zip(names, found.values(), strict=True):
        print(f"{name:22} {seconds * 1000:6.0f} ms an iteration")
    return {
        "native_ratio": round(found["one"] / found["native"], 2),
        "two_workers_ratio": round(found["clock"] / found["two"], 2),
        "frames_per_second": round(frames, 1),
        "memory_mb": round(memory / 2**20),
        "module_kb": round(len(base64.b64decode(wasm_base64())) / 1000, 1),
    }


def quality(page: Any, seconds: float) -> dict[str, float]:
    """How soon a turtle at 24 cells is recognisable, and as good as Distill's."""
    target = emoji_target("🐢", size=24, padding=8)
    started(page, target, min(2, os.cpu_count() or 1))
    snapshots: list[tuple[float, int, str]] = []
    newest = """() => {
      const last = heard.findLast(({ kind }) => kind === "progress");
      heard.length = 0;
      const bytes = last && new Uint8Array(last.weights.buffer);
      return last && [last.at, last.iteration, btoa(String.fromCharCode(...bytes))];
    }"""
    while not snapshots or snapshots[-1][0] < seconds:
        page.wait_for_timeout(2500)
        snapshot = page.evaluate(newest)
        if snapshot:
            snapshots.append(tuple(snapshot))
    page.evaluate("() => session.end()")
    plan = Plan(lives=8, births=8, strokes=0, angles=(), late=(), persistence=1000)
    found: dict[str, float] = {}
    bars = DISTILL["regenerating"]
    for at, iteration, weights in snapshots:
        nca = NCA(NCAConfig.model_validate(QUICK.nca.model_dump()))
        numbers = torch.from_numpy(np.frombuffer(base64.b64decode(weights), "<f4").copy())
        torch.nn.utils.vector_to_parameters(numbers, nca.parameters())
        if "seconds_to_recognisable" not in found:
            x = nca.grow(nca.seed(8, target.shape[:2]), 96, seed=0)
            error = (x[..., :4] - target).square().mean((1, 2, 3)).median().log10()
            if float(error) > -2:
                continue
            found["seconds_to_recognisable"] = round(at, 1)
            print(f"recognisable after {at:.0f} s, {iteration} iterations")
        if iteration % 10 >= 3:  # a few of them: the battery takes longer than a look
            continue
        scores = evaluate(nca, target, plan=plan)
        row = (*scores.growth.values(), scores.halves, scores.centre)
        print(f"{at:6.0f} s {iteration:5} " + " ".join(f"{value:6.2f}" for value in row))
        wanted = (bars[0], bars[1], bars[2], bars[3], bars[5])
        if all(value <= float(bar) for value, bar in zip(row, wanted, strict=True)):
            found["seconds_to_distill"] = round(at, 1)
            break
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--rounds", type=int, default=3, help="0 leaves out the speed")
    parser.add_argument("--quality", action="store_true", help="also train a turtle at 24 cells")
    parser.add_argument("--seconds", type=float, default=300, help="of that training")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(FLAGS))
        page = browser.new_page()
        page.route(
            HOME,
            lambda route: route.fulfill(body="<title>training</title>", content_type="text/html"),
        )
        page.goto(HOME)
        page.evaluate(f"() => {{ window.kit = {script('session')}; }}")
        found = speed(browser, page, options.rounds) if options.rounds else {}
        if options.quality:
            found |= quality(page, options.seconds)
        browser.close()
    print(json.dumps(found) if options.json else "".join(f"\n{n} {v}" for n, v in found.items()))


if __name__ == "__main__":
    main()
