"""The queue's database: damaged, lost, locked; and a clock that jumps."""

import logging
import shutil
import sqlite3
import threading
import time

import pytest

from nca.checkpoint import load_checkpoint
from nca.config import BadInput, Limits
from nca.jobs import JobQueue
from nca.jobs.lock import FileLock
from tests.jobs_kit import LONG, tiny_png, tiny_spec, wait_for


@pytest.fixture
def open_queue(tmp_path):
    queues = []

    def open_one(**options):
        queues.append(JobQueue(tmp_path, Limits(turn_seconds=2), devices=("cpu",), **options))
        return queues[-1]

    yield open_one
    for queue in queues:
        queue.close()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A home with one training that was stopped, one that finished and one that never began.

    Its server has ended. (home, key, the stopped job, the finished job)
    """
    home, key = tmp_path_factory.mktemp("home"), JobQueue.new_key()
    queue = JobQueue(home, devices=("cpu",))
    done = queue.submit(key, tiny_spec(3), tiny_png())
    wait_for(lambda: queue.view(key, done).state == "finished")
    job = queue.submit(key, tiny_spec(LONG), tiny_png())
    wait_for(lambda: (home / "jobs" / job / "model.safetensors").exists())
    queue.stop(key, job)
    wait_for(lambda: queue.view(key, job).state == "stopped")
    (home / "jobs" / ("f" * 32)).mkdir()
    queue.close()
    return home, key, job, done


@pytest.fixture
def stopped(trained, tmp_path):
    """A copy of that home in `tmp_path`."""
    home, *rest = trained
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    return rest


@pytest.mark.parametrize("damage", ["overwritten", "a broken page", "deleted"])
def test_no_training_is_lost_with_the_database(stopped, open_queue, tmp_path, damage, caplog):
    key, job, done = stopped
    path = tmp_path / "garden.sqlite3"
    data = bytearray(path.read_bytes())
    for part in tmp_path.glob("garden.sqlite3*"):
        part.unlink()
    if damage == "overwritten":
        path.write_bytes(b"no database" * 500)
    elif damage == "a broken page":
        data[4096:4196] = b"\xff" * 100
        path.write_bytes(data)
    with caplog.at_level(logging.WARNING, "nca"):
        queue = open_queue()
    assert "damaged" in caplog.text or damage == "deleted"
    kept = list(tmp_path.glob("garden.sqlite3.damaged-*"))
    assert bool(kept) == (damage != "deleted")
    assert {view.id: view.state for view in queue.jobs(key)} == {job: "stopped", done: "finished"}
    assert not (tmp_path / "jobs" / ("f" * 32)).exists()  # nothing was trained there
    with pytest.raises(BadInput):
        queue.view(JobQueue.new_key(), job)  # it is still only its owner's
    before = queue.view(key, job)
    assert before.title == "a tiny square" and "Resume" in before.message
    if damage == "deleted":  # once is enough
        queue.resume(key, job)
        wait_for(lambda: queue.view(key, job).iteration > before.iteration)


def test_a_training_of_an_unknown_owner_is_left_alone(stopped, open_queue, tmp_path):
    key, job, done = stopped
    (tmp_path / "jobs" / job / "owner").unlink()  # of an earlier version
    for part in tmp_path.glob("garden.sqlite3*"):
        part.unlink()
    queue = open_queue()
    assert [view.id for view in queue.jobs(key)] == [done]
    assert (tmp_path / "jobs" / job / "resume.safetensors").exists()


def test_a_database_that_a_server_uses_is_not_put_aside(open_queue, tmp_path):
    path = tmp_path / "garden.sqlite3"
    path.write_bytes(b"no database" * 500)
    other = FileLock(tmp_path / "garden.lock")
    assert other.acquire()
    with pytest.raises(BadInput, match="No queue can be kept"):
        open_queue()
    assert path.exists() and not list(tmp_path.glob("*.damaged-*"))
    other.release()
    assert open_queue().health().queue_length == 0


@pytest.mark.long
def test_a_database_that_another_program_locks_for_a_while(open_queue, tmp_path):
    queue, key = open_queue(), JobQueue.new_key()
    other = sqlite3.connect(tmp_path / "garden.sqlite3", check_same_thread=False)
    other.isolation_level = None
    other.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(2.0, lambda: other.execute("ROLLBACK"))
    release.start()
    began = time.monotonic()
    job = queue.submit(key, tiny_spec(2), tiny_png())
    assert time.monotonic() - began > 1
    release.join()
    wait_for(lambda: queue.view(key, job).state == "finished")

    # Longer than anybody waits: a sentence; the supervisor gets over it.
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(BadInput, match="busy"):
        queue.submit(key, tiny_spec(2), tiny_png())
    with pytest.raises(BadInput, match="busy"):
        queue.delete(key, job)
    assert len(list((tmp_path / "jobs").glob("[0-9a-f]*"))) == 1
    other.execute("ROLLBACK")
    other.close()
    job = queue.submit(key, tiny_spec(2), tiny_png())
    wait_for(lambda: queue.view(key, job).state == "finished")


@pytest.mark.long
def test_a_clock_that_jumps_back_and_forth(open_queue, tmp_path):
    """Times that people see may be wrong then; the order, the turns and the files must not be."""
    ahead = [0.0]
    queue = open_queue(clock=lambda: time.time() + ahead[0])
    first, second = JobQueue.new_key(), JobQueue.new_key()
    a = queue.submit(first, tiny_spec(LONG), tiny_png())
    wait_for(lambda: queue.view(first, a).iteration > 0)
    ahead[0] = -400 * 86_400.0
    b = queue.submit(second, tiny_spec(2), tiny_png())
    assert queue.view(second, b).ahead == 1
    wait_for(lambda: queue.view(second, b).state == "finished")  # after the turn of the first
    ahead[0] = 0.0
    # What ended in the past, by a clock that was wrong, is 400 days old now, and must not go.
    time.sleep(1)
    wait_for(lambda: queue.view(first, a).state == "running")
    assert load_checkpoint(queue.view(second, b).folder).info.iteration == 2
