"""Every engine of the player against the Python oracle. `python -m tests.player.parity` prints it.

The cases are in player_cases.py. Chromium runs all three engines, Node, where there is one, the two
that need no page.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from nca.fire import item_seeds, lowbias32, step_keys
from nca.player.bundle import script
from tests.player.player_cases import TOLERANCE, cases, error_of

HERE = Path(__file__).parent

Result = dict[str, Any]
FIRE = [(0, 0, 0), (5183, 17, 1), (65535, 4_000_000_000, 2**32 - 1), (7, 123_456_789, 2**31)]


def fire_values() -> list[int]:
    """What the hash must give for FIRE: the upper 24 bits."""
    found = []
    for cell, t, seed in FIRE:
        key = int(step_keys(item_seeds([seed], 1), t))
        found.append(int(lowbias32(key ^ (cell * 0x9E3779B9 & 0xFFFFFFFF))) >> 8)
    return found


def in_node(tests: Sequence[dict[str, Any]]) -> tuple[list[Result], list[int]] | None:
    """JavaScript and WebAssembly in Node; None where there is no Node."""
    node = shutil.which("node")
    if not node:
        return None
    sent = json.dumps({"cases": list(tests), "fireVectors": FIRE})
    done = subprocess.run(
        [node, str(HERE / "node-parity.js")],
        input=sent,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(done.stdout)
    return found["results"], found["fires"]


def in_browser(
    page: Any,
    tests: Sequence[dict[str, Any]],
    engines: Sequence[str] = ("js", "wasm", "webgl2"),
) -> list[Result]:
    """The engines on an open page."""
    source = (HERE / "run-case.js").read_text().replace("export ", "")
    page.evaluate(f"async () => {{ window.kit = {script()}; }}")
    page.evaluate(f"() => {{ {source}; window.runCase = runCase; }}")
    page.evaluate(
        "async () => { window.context = "
        "{ wasm: await kit.compileWasm(kit.decodeBase64(kit.WASM)) }; }"
    )
    results = []
    for test in tests:
        for engine in engines:
            found = page.evaluate(
                "([test, name]) => runCase(kit, kit.ENGINES[name], context, test)", [test, engine]
            )
            results.append({"name": test["name"], "engine": engine, **found})
    return results


def errors(tests: Sequence[dict[str, Any]], results: Sequence[Result]) -> dict[str, dict]:
    """By engine and case: max|d| / max(1, max|x|)."""
    by_name = {test["name"]: test for test in tests}
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for result in results:
        if by_name[result["name"]]["model"]["config"].get("kinds") and result["engine"] == "webgl2":
            assert result["why"] == "its cells carry genes"
            continue
        assert "state" in result, result
        error = error_of(by_name[result["name"]], result["state"])
        found[result["engine"]][result["name"]] = error
    return dict(found)


def main() -> None:
    """Print the worst of every engine; exit 1 when one is off."""
    from playwright.sync_api import sync_playwright

    from tests.browser import FLAGS, find_chromium

    torch.set_num_threads(1)
    tests = list(cases())
    worst = 0.0
    places: dict[str, list[Result]] = {}
    node = in_node(tests)
    if node is None:
        print("no Node here")
    else:
        places["Node"] = node[0]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=[*FLAGS, "--enable-unsafe-swiftshader"]
        )
        places["Chromium"] = in_browser(browser.new_page(), tests)
        browser.close()
    for place, results in places.items():
        for engine, found in errors(tests, results).items():
            name = max(found, key=lambda case: found[case])
            worst = max(worst, found[name])
            print(f"{place:9} {engine:7} {len(found)} cases, worst {found[name]:.1e} ({name})")
    print(f"allowed {TOLERANCE:.0e}")
    raise SystemExit(not worst < TOLERANCE)


if __name__ == "__main__":
    main()
