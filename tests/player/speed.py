"""How fast the player's engines are in Chromium: `python -m tests.player.speed`.

A disc of living cells stands for a picture: a tenth of a 72 x 72 grid, a quarter of 256 x 256. The
weights hardly change anything, so that it stays a disc; the work is that of any 16-channel model.
"""

from __future__ import annotations

import torch
from playwright.sync_api import sync_playwright

from nca.config import NCAConfig
from nca.player.export import page as export_page
from nca.player.models import player_model
from tests.browser import FLAGS, find_chromium
from tests.player.player_zoo import zoo_model

PLAYER = "document.querySelector('.nca-player')?.ncaPlayer"
MEASURE = f"""async ([side, share, name, n]) => {{
  const player = {PLAYER};
  player.pause();
  player.setGrid(side);
  if (player.useEngine(name) !== name) return null;
  const {{ run }} = player;
  const state = new Float32Array(side * side * 16);
  const reach = (share * side * side) / Math.PI;
  for (let cell = 0; cell < side * side; cell++) {{
    const [x, y] = [(cell % side) - side / 2, Math.floor(cell / side) - side / 2];
    if (x * x + y * y > reach) continue;
    for (let c = 0; c < 16; c++) state[cell * 16 + c] = c === 3 ? 1 : Math.sin(x * y + c) / 2;
  }}
  run.engine.setState(state, side, side);
  const best = async (work) => {{
    let least = Infinity;
    for (let i = 0; i < 8; i++) {{
      await new Promise((done) => setTimeout(done, 5));
      const start = performance.now();
      for (let k = 0; k < n; k++) work(k);
      run.engine.readCell(0, 0); // a graphics card works later: wait for it
      least = Math.min(least, (performance.now() - start) / n);
    }}
    return least;
  }};
  const step = await best((k) => run.engine.step(1, k, 1, 0));
  const shown = await best((k) => {{
    run.engine.step(1, k, 1, 0);
    run.engine.paint("rgba", 1);
    run.engine.draw(player.context);
  }});
  return [step, shown];
}}"""


def main() -> None:
    """Print milliseconds per step, with and without painting, best of 8."""
    nca = zoo_model(NCAConfig())
    with torch.no_grad():
        nca.layers[-1].bias.zero_()
        nca.layers[-1].weight.mul_(0).add_(1e-7)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=[*FLAGS, "--enable-unsafe-swiftshader"]
        )
        page = browser.new_page()
        page.set_content(export_page(player_model(nca)))
        page.wait_for_function(f"() => {PLAYER}?.run.model")
        for side, share in ((72, 0.1), (256, 0.25)):
            for name, n in (("wasm", 20), ("js", 3), ("webgl2", 3)):
                found = page.evaluate(MEASURE, [side, share, name, n])
                if found is None:
                    print(f"{side:4} {name:7} cannot")
                    continue
                step, shown = found
                print(
                    f"{side:4} {name:7} {step:8.2f} ms a step, {shown:8.2f} with painting, "
                    f"{1000 / step:7.0f} steps/s"
                )
        browser.close()


if __name__ == "__main__":
    main()
