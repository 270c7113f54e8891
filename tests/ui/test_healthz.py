"""`/healthz` of a real server, and the state of a queue that is not well."""

import json
import sqlite3
import threading
import time
import urllib.error
import urllib.request

import pytest

import nca
from nca.config import Limits
from nca.jobs import JobQueue
from nca.jobs import health as queue_health
from tests.jobs_kit import LONG, tiny_png, tiny_spec, wait_for


def ask(url):
    """Status code and answer."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=30) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_a_server_says_that_it_is_well(server):
    code, health = ask(server.url)
    assert code == 200 and health["status"] == "ok" and health["version"] == nca.__version__
    assert set(health) == {
        "status", "version", "queue_length", "worker_alive", "free_disk_bytes"
    }  # fmt: skip
    assert health["queue_length"] >= 0 and health["free_disk_bytes"] > 0


@pytest.fixture
def queue(tmp_path):
    queue = JobQueue(tmp_path, Limits(), devices=("cpu",))
    yield queue
    queue.close()


def test_it_counts_what_waits_and_sees_the_worker(queue):
    assert queue.health().queue_length == 0 and queue.health().worker_alive is None
    key, other = JobQueue.new_key(), JobQueue.new_key()
    job = queue.submit(key, tiny_spec(LONG), tiny_png())
    waiting = queue.submit(other, tiny_spec(LONG), tiny_png())
    wait_for(lambda: queue.view(key, job).state == "running")
    health = queue.health()
    assert (health.status, health.queue_length, health.worker_alive) == ("ok", 2, True)
    queue.delete(other, waiting)
    queue.delete(key, job)
    wait_for(lambda: queue.health().queue_length == 0)


def test_a_second_server_is_on_standby(queue, tmp_path):
    second = JobQueue(tmp_path, Limits(), devices=("cpu",))
    try:
        assert second.health().status == "standby"
    finally:
        second.close()
    assert queue.health().status == "ok"


def test_a_full_disk_and_a_stuck_database_are_told(queue, monkeypatch):
    monkeypatch.setattr(queue_health, "SPARE_BYTES", 1 << 60)
    assert queue.health().status == "disk_full"
    monkeypatch.undo()
    stuck, done = threading.Event(), threading.Event()

    def hold():
        with queue._store.guard:
            stuck.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    stuck.wait(60)
    began = time.monotonic()
    health = queue.health()
    done.set()
    holder.join()
    assert health.status == "failing" and health.queue_length is None
    assert time.monotonic() - began < 10


def test_a_database_that_cannot_be_read_is_told(queue, tmp_path):
    other = sqlite3.connect(tmp_path / "garden.sqlite3")
    other.execute("ALTER TABLE jobs RENAME TO elsewhere")
    assert queue.health().status == "failing"
    other.execute("ALTER TABLE elsewhere RENAME TO jobs")
    other.close()
    assert queue.health().status == "ok"
