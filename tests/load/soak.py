"""Many visitors, killed workers and a killed server: `python tests/load/soak.py --minutes 30`.

20 clients of the API and 3 tabs of a real browser submit, stop, resume, export and close. A worker
is killed every two minutes and the server every ten, in shorter runs proportionally more often.
Afterwards no training may be lost, no process left, no file unreadable, memory and open files
within 5 % of their plateau, and the 95th percentile of a page action below a second.

It prints one JSON object and ends with 1 when one of these does not hold.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import psutil
from PIL import Image
from playwright.sync_api import Error as PageError
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from nca.checkpoint import weights_from_bytes  # noqa: E402
from nca.config import BadInput, Limits  # noqa: E402
from nca.jobs import JobQueue  # noqa: E402
from nca.jobs.metrics import MetricsReader  # noqa: E402
from tests.browser import FLAGS, find_chromium  # noqa: E402
from tests.ui.server import Client  # noqa: E402
from tests.ui.visit import Visit  # noqa: E402

LIMITS = {"queue_length": 40, "turn_seconds": 8}  # everybody gets a turn within the run
EMOJI = ("🐞", "🦎", "🐠", "🍄", "🌵")
REFUSALS = ("full", "already have", "not yours", "ask for more", "no weights", "has no ")
CONNECTIONS = 8  # more or fewer of 23 visitors may be connected at any moment
SETTLED = 40.0  # seconds that a kill may undo: a save every 10, later on a busy machine


class Garden:
    """The server that is killed and started again, always at the same address and home."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home, self.log = folder, folder / "home", folder / "log.txt"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.up = threading.Event()  # cleared while it is down or has just come up
        self.restarts: list[float] = []  # seconds until it answered
        self.lives: list[list[tuple[float, int, int]]] = []  # (time, bytes, open files)

    def start(self) -> None:
        environment = os.environ | {
            "NCA_GARDEN_HOME": str(self.home),
            "NCA_GARDEN_LIMITS": json.dumps(LIMITS),
            "NCA_GARDEN_LOG": "json",
            "GRADIO_SERVER_PORT": str(self.port),
            "GRADIO_TEMP_DIR": str(self.folder / "cache"),
        }
        began = time.monotonic()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=output, stderr=output
            )
        while not self._answers():
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < began + 300, "the server does not come up"
            time.sleep(0.2)
        self.restarts.append(round(time.monotonic() - began, 1))
        self.lives.append([])
        self.up.set()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:
                return json.loads(answer.read())["status"] == "ok"
        except (OSError, ValueError):
            return False

    def kill(self) -> None:
        self.up.clear()
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)

    def workers(self) -> list[psutil.Process]:
        """Every process whose command names our home, or its folder."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            if any(str(self.folder) in word for word in process.info["cmdline"] or ()):
                found.append(process)
        return [process for process in found if process.pid != os.getpid()]

    def sample(self) -> None:
        try:
            process = psutil.Process(self.process.pid)
            self.lives[-1].append((time.monotonic(), process.memory_info().rss, process.num_fds()))
        except psutil.Error:
            pass


class Record:
    """What happened, from all threads."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.seconds: dict[str, list[float]] = {}
        self.errors: list[str] = []
        self.refused = 0
        self.jobs: dict[str, str] = {}  # of a job that must not be lost: its key
        self.seen: dict[str, tuple[float, int]] = {}  # of a job: when it had how many iterations
        self.worker_kills = 0

    def error(self, text: str) -> None:
        with self.guard:
            self.errors.append(text[:400])

    def time(self, action: str, seconds: float) -> None:
        with self.guard:
            self.seconds.setdefault(action, []).append(seconds)


class Visitor(threading.Thread):
    """A script that is one visitor: it starts, looks, stops, resumes, exports, deletes."""

    def __init__(self, garden: Garden, record: Record, end: float, seed: int) -> None:
        super().__init__(daemon=True)
        self.garden, self.record, self.end = garden, record, end
        self.draw = random.Random(seed)
        self.key, self.job = secrets.token_hex(16), ""
        self.stored = {"own": self.key, "link": None}

    def run(self) -> None:
        while time.monotonic() < self.end:
            self.garden.up.wait(5)
            killed = len(self.garden.restarts)
            try:
                client = Client(self.garden.url)
                for _ in range(20):
                    if time.monotonic() > self.end:
                        return
                    self.act(client)
                    time.sleep(self.draw.uniform(1, 4))
            except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
                # Nobody can answer while the server is killed.
                if self.garden.up.is_set() and killed == len(self.garden.restarts):
                    self.record.error(f"{type(error).__name__}: {error}")
                time.sleep(1)

    def act(self, client: Client) -> None:
        if not self.job:
            about = self.call(client, "train", [self.draw.choice(EMOJI), "quick", 8, 4,
                              self.draw.choice((40, 400, 4000)), 0, "", "", self.key])  # fmt: skip
            if about:
                self.job = about["job"]
                with self.record.guard:
                    self.record.jobs[self.job] = self.key
            return
        what = self.draw.choice(("look", "look", "look", "stop", "resume", "grow", "delete"))
        if what == "look":
            if about := self.call(client, "job", [self.job, self.key]):
                with self.record.guard:
                    before = self.record.seen.get(self.job, (0.0, 0))
                    if time.monotonic() - before[0] > SETTLED:
                        self.record.seen[self.job] = (time.monotonic(), about["iteration"])
        elif what == "grow":
            name = f"job:{self.job}"
            self.call(client, "grow", [name, 60, 1, "centre", 30, self.key])
        elif what == "delete":
            if self.draw.random() < 0.3:
                with self.record.guard:
                    self.record.jobs.pop(self.job, None)
                    self.record.seen.pop(self.job, None)
                client.call("delete", [self.stored, self.job])
                self.job = ""
        else:
            began = time.monotonic()
            client.call(what, [self.stored, self.job])
            self.record.time(f"script: {what}", time.monotonic() - began)

    def call(self, client: Client, name: str, data: list) -> dict | None:
        """The answer of a public endpoint; None when it refuses in a sentence that may come."""
        began = time.monotonic()
        event = client.post(f"/gradio_api/call/{name}", {"data": data})["event_id"]
        said = client.get(f"/gradio_api/call/{name}/{event}").decode()
        self.record.time(f"script: {name}", time.monotonic() - began)
        kind, _, rest = said.rpartition("event: ")[2].partition("\n")
        body = rest.partition("data: ")[2].strip()
        if kind.strip() == "complete":
            return json.loads(body)[0]
        with self.record.guard:
            self.record.refused += 1
        if not any(words in body for words in REFUSALS):
            self.record.error(f"{name}: {kind} {body}")
        return None


class Page(threading.Thread):
    """What one open page asks the server, timed: the promise is a second at 95 %."""

    def __init__(self, garden: Garden, record: Record, end: float) -> None:
        super().__init__(daemon=True)
        self.garden, self.record, self.end = garden, record, end

    def run(self) -> None:
        while time.monotonic() < self.end:
            self.garden.up.wait(5)
            try:
                client = Client(self.garden.url)
                for _ in range(20):
                    self.act(client)
            except (OSError, ValueError, KeyError, StopIteration) as error:
                if self.garden.up.is_set() and not isinstance(error, OSError):
                    self.record.error(f"page: {type(error).__name__}: {error}")
                time.sleep(1)

    def act(self, client: Client) -> None:
        preview = client.values("emoji", "change", emoji="🐠")
        recipe = client.values("recipe", "change")
        for action, act in (
            ("open", lambda: client.get("/")),
            ("preview", lambda: client.call("emoji", preview, "change")),
            ("recipe", lambda: client.call("recipe", recipe, "change")),
        ):
            began = time.monotonic()
            act()
            self.record.time(f"page: {action}", time.monotonic() - began)
            time.sleep(0.5)


def tab(garden: Garden, record: Record, end: float, seed: int) -> None:
    """One tab of a real browser, closed and opened again and again."""
    draw = random.Random(seed)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=[*FLAGS])
        context = browser.new_context()
        while time.monotonic() < end:
            garden.up.wait(60)
            lived = len(garden.restarts)
            page = context.new_page()
            try:
                visit = Visit(page, garden.url)
                page.on("dialog", lambda dialog: dialog.accept())
                page.set_default_timeout(30_000)
                for _ in range(draw.randint(2, 5)):
                    press(visit, record, draw)
                if visit.errors:
                    record.error(f"tab: {visit.errors[0]}")
            except (PageError, AssertionError, AttributeError) as error:
                if garden.up.is_set() and lived == len(garden.restarts):
                    record.error(f"tab: {type(error).__name__}: {error}")
            finally:
                page.close()
        browser.close()


def press(visit: Visit, record: Record, draw: random.Random) -> None:
    """Do what a person would do now, and time how soon the page shows it."""
    page = visit.page
    page.wait_for_timeout(draw.uniform(1000, 4000))
    visit.tab("Train")
    began = time.monotonic()
    if page.locator("#stop").is_visible() and page.locator("#stop").is_enabled():
        page.locator("#stop").click()
        page.locator("#status .chip:not(.running), #status :text('Stopping')").first.wait_for()
        record.time("tab: stop", time.monotonic() - began)
    elif page.locator("#resume").is_visible() and page.locator("#resume").is_enabled():
        page.locator("#resume").click()
        page.wait_for_timeout(500)
    elif page.locator("#start").is_enabled():
        visit.tiny(draw.choice((30, 3000)))
        page.locator("#start").click()
        page.wait_for_timeout(1000)
    began = time.monotonic()
    visit.tab("Grow")
    page.locator("canvas.picture").wait_for()
    record.time("tab: Grow", time.monotonic() - began)


def trouble(garden: Garden, record: Record, end: float, worker: float, server: float) -> None:
    """Kill workers and the server in their time, and look at the server's size."""
    next_worker, next_server = time.monotonic() + worker, time.monotonic() + server
    while (now := time.monotonic()) < end:
        if now > next_worker and (found := garden.workers()):
            random.choice(found).kill()
            record.worker_kills += 1
            next_worker = now + worker
        if now > next_server and now < end - server / 2:
            garden.kill()
            time.sleep(1)
            garden.start()
            next_server = time.monotonic() + server
        garden.sample()
        time.sleep(2)


@contextmanager
def reported(problems: list[str], what: str):
    try:
        yield
    except Exception as error:
        problems.append(f"{what}: {type(error).__name__}: {str(error)[:300]}")


def unreadable(home: Path) -> list[str]:
    """Files that a killed process has left in a state that nobody can read."""
    problems: list[str] = []
    for path in sorted((home / "jobs").rglob("*")):
        with reported(problems, str(path.relative_to(home))):
            if path.name.endswith(".tmp") or not path.is_file():
                continue
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix in (".webp", ".png", ".gif"):
                with Image.open(path) as picture:
                    picture.load()
            elif path.name == "resume.safetensors":
                data = path.read_bytes()
                json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            elif path.suffix == ".safetensors":
                weights_from_bytes(path.read_bytes(), Limits())
            elif path.name == "metrics.jsonl":
                points = MetricsReader(path).read()
                assert all(a[0] < b[0] for a, b in zip(points, points[1:], strict=False))
    with reported(problems, "garden.sqlite3"):
        database = sqlite3.connect(home / "garden.sqlite3")
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        database.close()
    return problems


def lost(home: Path, record: Record) -> list[str]:
    """Trainings that their owners do not find again, or that went back too far."""
    problems: list[str] = []
    queue = JobQueue(home, Limits(**LIMITS), devices=("cpu",))
    for job, key in record.jobs.items():
        try:
            view = queue.view(key, job)
        except BadInput:
            problems.append(f"{job} is gone")
            continue
        when, iteration = record.seen.get(job, (0.0, 0))
        if view.iteration < iteration and time.monotonic() - when > SETTLED:
            problems.append(f"{job} had {iteration} iterations and has {view.iteration}")
        if view.state == "failed" and not view.can_resume:
            problems.append(f"{job} failed: {view.message}")
    queue.close()
    return problems


def growth(samples: list[tuple[float, int, int]], column: int, spare: int = 0) -> float:
    """How much larger the last quarter of a server's life is than its plateau, the third quarter.

    The least of each, because requests that are under way hold memory and files for a moment;
    `spare` more count as none.
    """
    values, quarter = [sample[column] for sample in samples], len(samples) // 4
    if quarter < 5:
        return 0.0
    plateau = min(values[-2 * quarter : -quarter])
    return round(max(0, min(values[-quarter:]) - plateau - spare) / plateau, 3)


def main() -> int:
    """Run it and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--tabs", type=int, default=3)
    options = parser.parse_args()
    scale = min(1.0, options.minutes / 30)
    with tempfile.TemporaryDirectory() as folder:
        garden, record = Garden(Path(folder)), Record()
        garden.start()
        end = time.monotonic() + 60 * options.minutes
        threads: list[threading.Thread] = [
            *(Visitor(garden, record, end, seed) for seed in range(options.clients)),
            Page(garden, record, end),
            *(
                threading.Thread(target=tab, args=(garden, record, end, seed), daemon=True)
                for seed in range(options.tabs)
            ),
        ]
        for thread in threads:
            thread.start()
        trouble(garden, record, end, 120 * scale, 600 * scale)
        for thread in threads:
            thread.join(120)
        stuck = [thread.name for thread in threads if thread.is_alive()]
        code = garden.end()
        time.sleep(5)
        orphans = [" ".join(process.cmdline()) for process in garden.workers()]
        log = garden.log.read_text(encoding="utf-8", errors="replace")
        tracebacks = log.count('"traceback"') + log.count("Traceback (most recent")
        page = [
            s for name, times in record.seconds.items() if name.startswith("page") for s in times
        ]
        found = {
            "exit code of the server": code,
            "threads that hang": stuck,
            "errors": record.errors[:20],
            "tracebacks in the log": tracebacks,
            "orphans": orphans,
            "unreadable": unreadable(garden.home),
            "lost": lost(garden.home, record),
            "memory over the plateau": max(growth(life, 1) for life in garden.lives),
            "open files over the plateau": max(
                growth(life, 2, CONNECTIONS) for life in garden.lives
            ),
            "page action, 95 % below": quantile(page),
        }
        about = {
            "minutes": options.minutes,
            "trainings": len(record.jobs),
            "killed workers": record.worker_kills,
            "seconds until the server answered": garden.restarts,
            "refused": record.refused,
            "bytes": [life[-1][1] for life in garden.lives if life],
            "open files": [life[-1][2] for life in garden.lives if life],
            "actions": {
                name: {"n": len(times), "50": quantile(times, 0.5), "95": quantile(times)}
                for name, times in sorted(record.seconds.items())
            },
        }
        print(json.dumps(about | found, indent=1, ensure_ascii=False))
        if tracebacks or code:
            print(log[-6000:], file=sys.stderr)
    fine = (
        not (code or stuck or record.errors or tracebacks or orphans)
        and not (found["unreadable"] or found["lost"])
        and max(found["memory over the plateau"], found["open files over the plateau"]) < 0.05
        and found["page action, 95 % below"] < 1
    )
    print("all is well" if fine else "something is not well")
    return 0 if fine else 1


def quantile(times: list[float], share: float = 0.95) -> float:
    """That share of the times is below this."""
    return round(sorted(times)[int(share * (len(times) - 1))], 3) if times else 0.0


if __name__ == "__main__":
    sys.exit(main())
