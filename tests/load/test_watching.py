"""An hour of watching and many visitors, accelerated: the server must not grow, nor the page slow.

Everything goes over HTTP, as the page's own requests do.
"""

import json
import os
import secrets
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.ui.server import KEY, Client, serve

pytestmark = pytest.mark.long
HOUR = 2400  # looks of a page at its training, one every 1.5 s
PAGES = 4  # that look at the same time
VISITORS = 200  # pages that look once and are closed
GROWTH = 20e6  # bytes, at most
PICTURES = ("preview.webp", "pool.webp", "batch.webp")


class Watcher:
    """A page that looks at one training every time `look` is called."""

    def __init__(self, client: Client, job: str) -> None:
        self.client, self.job = client, job
        self.session = secrets.token_hex(8)
        self.fn_index = next(
            call["id"]
            for call in client.calls
            if "loss" in {client.parts[i]["props"].get("elem_id") for i in call["outputs"]}
            and call["targets"][0][1] == "tick"
        )

    def look(self) -> int:
        """Answer how many bytes the server sent."""
        self.client.post(
            "/gradio_api/queue/join",
            {"data": [KEY, self.job, None], "fn_index": self.fn_index,
             "session_hash": self.session},
        )  # fmt: skip
        address = f"{self.client.url}/gradio_api/queue/data?session_hash={self.session}"
        with urllib.request.urlopen(address, timeout=60) as stream:
            lines = list(stream)
        (done,) = [line for line in lines if b'"process_completed"' in line]
        assert json.loads(done.removeprefix(b"data: "))["success"]
        return len(done)


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """A server in which the tiniest training has drawn all its pictures and goes on."""
    with serve(tmp_path_factory.mktemp("watched")) as server:
        client = Client(server.url)
        values = client.values("start", recipe="growing", emoji="🐞", size=8, padding=4)
        client.call("start", values)
        (job,) = server.jobs()
        folder = server.home / "jobs" / job
        until = time.monotonic() + 240
        while not all((folder / name).exists() for name in PICTURES):
            assert time.monotonic() < until, (folder / "worker.log").read_text()
            time.sleep(0.3)
        yield server, client, job
        client.call("delete", [KEY, job])


def memory(server) -> int:
    return psutil.Process(server.process.pid).memory_info().rss


def test_an_hour_of_watching_leaves_the_server_as_large_as_it_was(watched):
    server, client, job = watched
    folder = server.home / "jobs" / job

    def watch(times: int) -> None:
        page = Watcher(client, job)
        for i in range(times):
            if i % 8 == 0:  # as often as a training draws new ones
                for name in PICTURES:
                    os.utime(folder / name)
            # Scripts, and pages that are loaded again, come as new sessions.
            assert (Watcher(client, job) if i % 4 == 0 else page).look() > 100

    def look(times: int) -> None:
        with ThreadPoolExecutor(PAGES) as pages:
            list(pages.map(watch, [times // PAGES] * PAGES))

    look(200)  # everything is loaded once
    before = memory(server)
    look(HOUR)
    assert memory(server) - before < GROWTH


def test_visitors_who_come_and_go_leave_nothing_behind(watched):
    server, client, job = watched
    for _ in range(20):
        Watcher(client, job).look()
    before = memory(server)
    for _ in range(VISITORS):
        client.get("/")
        assert Watcher(client, job).look() > 5000  # a new page is sent all pictures
    assert memory(server) - before < GROWTH


def test_opening_the_page_costs_next_to_nothing(watched):
    """Processor time, because a test shares its two cores with a training and with other tests."""
    server, client, _ = watched
    process = psutil.Process(server.process.pid)
    client.get("/"), client.get("/config")

    def spent() -> float:
        times = process.cpu_times()
        return times.user + times.system

    before, opened = spent(), 100
    for _ in range(opened):
        client.get("/"), client.get("/config")
    assert (spent() - before) / opened < 0.01
