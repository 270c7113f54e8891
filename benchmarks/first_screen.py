"""How soon the page is alive, and what it weighs: `python benchmarks/first_screen.py [--json]`.

Starts a server of its own and opens the page in a browser with an empty cache. Times are in
milliseconds after the first paint; bytes are as sent, compressed.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, beside tests/

from tests.browser import FLAGS, find_chromium  # noqa: E402
from tests.ui.server import serve  # noqa: E402

# Notes when the automaton has made its first steps, looking once a frame.
WATCH = """
window.seen = {};
const look = () => {
  const player = document.querySelector('.nca-player')?.ncaPlayer;
  if (!seen.moving && player?.step >= 2) {
    Object.assign(seen, {moving: performance.now(), gradio: !!window.gradio_config});
    window.isMoving?.();
  }
  if (!seen.tabs && document.querySelector('[role=tab]')) seen.tabs = performance.now();
  if (!seen.moving || !seen.tabs) requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""
PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def main() -> None:
    """Print the medians of some visits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
            visits = [visit(browser, server.url) for _ in range(options.visits)]
            browser.close()
    found = {name: statistics.median(v[name] for v in visits) for name in visits[0]}
    if options.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name.replace('_', ' '):36} {value:10,.0f}")


def visit(browser: Browser, url: str) -> dict[str, float]:
    """Open the page once, with an empty cache."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    sent: list[tuple[str, float]] = []
    until_moving: list[int] = []
    client = context.new_cdp_session(page)
    client.send("Network.enable")
    urls: dict[str, str] = {}
    client.on(
        "Network.requestWillBeSent", lambda e: urls.update({e["requestId"]: e["request"]["url"]})
    )
    client.on(
        "Network.loadingFinished",
        lambda e: sent.append((urls.get(e["requestId"], ""), e["encodedDataLength"])),
    )
    page.expose_function("isMoving", lambda: until_moving.append(len(sent)))
    page.add_init_script(WATCH)
    page.goto(url)
    page.wait_for_function("window.seen?.moving && window.seen?.tabs")
    page.wait_for_timeout(4000)  # what else it loads; the stream of events never ends
    paint, seen = page.evaluate(PAINT), page.evaluate("window.seen")
    context.close()
    sent = [(address, size) for address, size in sent if not address.startswith("data:")]
    early = sent[: until_moving[0]]
    return {
        "first_paint_ms": paint,
        "moving_ms_after_paint": seen["moving"] - paint,
        "tabs_ms_after_paint": seen["tabs"] - paint,
        "bytes_before_moving": sum(size for _, size in early),
        "requests_before_moving": len(early),
        "bytes_page": next(size for address, size in sent if address.rstrip("/") == url),
        "bytes_all": sum(size for _, size in sent),
        "requests_all": len(sent),
        "requests_elsewhere": sum(not address.startswith((url, "blob:")) for address, _ in sent),
    }


if __name__ == "__main__":
    main()
