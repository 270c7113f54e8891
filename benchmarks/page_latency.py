"""How fast the page answers while a training uses every core: `python benchmarks/page_latency.py`.

Starts a server of its own, trains the lizard at 72 x 72 in it, and times what a visitor does.
Expected: the 95th percentile of every action below 300 ms.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, beside tests/

from tests.ui.server import KEY, Client, serve  # noqa: E402

REPEATS = 60


def main() -> None:
    """Print a line per action: median and 95th percentile in milliseconds."""
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server:
        client = Client(server.url)
        measure("idle", client, None)
        client.call("start", client.values("start", recipe="regenerating", iterations=8000))
        (job,) = server.jobs()
        resume = server.home / "jobs" / job / "progress.json"
        while not resume.exists():
            time.sleep(0.5)
        measure("training", client, job)
        client.call("delete", [KEY, job])


def measure(when: str, client: Client, job: str | None) -> None:
    """Time each action and print it."""
    preview = client.values("emoji", "change", emoji="🐠")
    actions: dict[str, Callable[[], object]] = {
        "open the page": lambda: (client.get("/"), client.get("/config")),
        "change the picture": lambda: client.call("emoji", preview, "change"),
        "choose a recipe": lambda: client.call("recipe", ["growing"], "change"),
    }
    if job:
        actions["look at the job"] = lambda: client.call("jobs", [KEY, job], "input")
    for name, action in actions.items():
        times = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            action()
            times.append(1000 * (time.perf_counter() - began))
            time.sleep(0.05)
        times.sort()
        middle, slow = times[REPEATS // 2], times[round(0.95 * REPEATS)]
        print(f"{when:9} {name:20} median {middle:5.0f} ms   95 % below {slow:5.0f} ms", flush=True)


if __name__ == "__main__":
    main()
