"""Trainings in their own processes: to the end, stopped, killed, continued."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from PIL import Image

from nca.checkpoint import load_checkpoint, weights_from_bytes
from nca.config import BadInput, Limits
from nca.jobs import JobQueue, snapshot_pictures, snapshots
from nca.jobs.check_up import CHECK_UP, CheckUp
from nca.jobs.lock import holder
from nca.jobs.threads import thread_count
from nca.jobs.training import SNAPSHOT_PICTURE_BYTES
from nca.trainer import Trainer
from tests.jobs_kit import LONG, ROOT, tiny_png, tiny_spec, tiny_target, wait_for, workers


@pytest.fixture
def open_queue(tmp_path):
    queues = []

    def open_one(**limits):
        queues.append(JobQueue(tmp_path, Limits(**limits), devices=("cpu",)))
        return queues[-1]

    yield open_one
    for queue in queues:
        queue.close()


def iterations_of(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["iteration"] for line in lines]


def test_stop_and_resume_end_where_an_uninterrupted_training_ends(open_queue):
    queue, key = open_queue(), JobQueue.new_key()
    spec = tiny_spec(LONG)
    job = queue.submit(key, spec, tiny_png())
    assert queue.view(key, job).active
    view = wait_for(lambda: (v := queue.view(key, job)).seconds_left and v)
    assert view.state == "running" and view.loss > 0 and view.iteration > 1

    queue.stop(key, job)
    view = wait_for(lambda: not (v := queue.view(key, job)).active and v)
    assert view.state == "stopped" and view.can_resume and view.deleted_at > time.time()
    assert not workers(view.folder)
    stopped_at = view.iteration
    kept = load_checkpoint(view.folder)  # cancelling keeps the checkpoint
    assert kept.info.iteration == stopped_at

    with pytest.raises(BadInput, match="ask for more"):
        queue.resume(key, job, iterations=stopped_at)
    total = stopped_at + 12
    queue.resume(key, job, iterations=total)
    view = wait_for(lambda: not (v := queue.view(key, job)).active and v)
    assert (view.state, view.iteration, view.message) == ("finished", total, None)
    assert iterations_of(view.folder) == list(range(1, total + 1))

    shorter = spec.train.model_copy(update={"iterations": total})
    trainer = Trainer(spec.nca, shorter, tiny_target(), "cpu", spec.seed)
    torch.set_num_threads(thread_count())
    for _ in trainer:
        pass
    checkpoint = load_checkpoint(view.folder)
    assert checkpoint.info.iteration == total and checkpoint.info.title == "a tiny square"
    for ours, theirs in zip(checkpoint.nca.parameters(), trainer.nca.parameters(), strict=True):
        assert torch.equal(ours, theirs)

    for name, frames in (
        ("pool.webp", 1),
        ("batch.webp", 1),
        ("preview.webp", 2),
        ("healing.webp", 2),
    ):
        with Image.open(view.folder / name) as picture:
            picture.load()
            assert getattr(picture, "n_frames", 1) >= frames
    kept = snapshots(view.folder)
    assert 1 <= len(kept) <= 40 and kept[-1][0] == total
    assert weights_from_bytes(kept[-1][1].read_bytes(), Limits())[1].iteration == total
    pictures = {path for number, _ in kept for path in snapshot_pictures(view.folder, number)}
    assert set((view.folder / "snapshots").iterdir()) == pictures | {path for _, path in kept}
    for path in pictures:
        with Image.open(path) as picture:
            assert path.stat().st_size <= SNAPSHOT_PICTURE_BYTES and picture.width >= 12
    points = queue.metrics(key, job, points=10)
    assert len(points) == 10 and points[-1][0] == total and points == sorted(points)

    found = CheckUp.model_validate(checkpoint.metrics[CHECK_UP])
    assert found.damaged == 20 and 0 <= found.healed <= 20
    queue.rename(key, job, "Another  square")
    assert queue.view(key, job).title == queue.spec(key, job).title == "Another square"
    renamed = load_checkpoint(view.folder)
    assert renamed.info.title == "Another square" and renamed.metrics == checkpoint.metrics
    assert "# Another square" in (view.folder / "README.md").read_text(encoding="utf-8")
    with pytest.raises(BadInput, match="not yours"):
        queue.rename(JobQueue.new_key(), job, "Mine")

    queue.delete(key, job)
    wait_for(lambda: not view.folder.exists())
    assert queue.jobs(key) == []


@pytest.mark.long
def test_a_crash_is_continued_once_and_then_explained(open_queue):
    queue, key = open_queue(), JobQueue.new_key()
    job = queue.submit(key, tiny_spec(LONG), tiny_png())
    folder = queue.view(key, job).folder
    # The checkpoint comes after the resume file; a worker killed in between has none to load.
    first = wait_for(lambda: (folder / "model.safetensors").exists() and workers(folder))
    os.kill(first[0], signal.SIGKILL)
    second = wait_for(lambda: [p for p in workers(folder) if p not in first])
    os.kill(second[0], signal.SIGKILL)
    view = wait_for(lambda: not (v := queue.view(key, job)).active and v)
    assert view.state == "failed" and "memory" in view.message and view.can_resume
    assert load_checkpoint(folder).info.iteration >= 1


SERVER = """
import sys, time
from pathlib import Path
from tests.jobs_kit import LONG, tiny_png, tiny_spec
from nca.jobs import JobQueue
garden = JobQueue(Path(sys.argv[1]), devices=("cpu",))
print(garden.submit(sys.argv[2], tiny_spec(LONG), tiny_png()), flush=True)
time.sleep(600)
"""


def test_a_killed_server_is_continued_by_the_next_with_one_writer(tmp_path, open_queue):
    key = JobQueue.new_key()
    environment = os.environ | {"PYTHONPATH": f"{ROOT}"}
    command = [sys.executable, "-c", SERVER, str(tmp_path), key]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        job = server.stdout.readline().strip()
        folder = tmp_path / "jobs" / job
        progress = folder / "progress.json"
        wait_for(lambda: progress.exists() and json.loads(progress.read_text())["iteration"] > 1)
        (orphan,) = workers(folder)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()

    queue, started = open_queue(), time.monotonic()
    most, new = 0, []
    while not new:
        now = workers(folder)
        most = max(most, len(now))
        new = [process for process in now if process != orphan]
        assert time.monotonic() < started + 30
        time.sleep(0.01)
    continued_after = time.monotonic() - started
    assert most == 1, "two workers in one folder"
    assert continued_after < 5
    assert queue.view(key, job).state in ("running", "interrupted")
    wait_for(lambda: holder(folder / "worker.lock") == new[0])
    before = len(iterations_of(folder))
    wait_for(lambda: len(iterations_of(folder)) > before + 2)
    queue.stop(key, job)
    view = wait_for(lambda: not (v := queue.view(key, job)).active and v)
    assert view.state == "stopped"
    assert iterations_of(folder) == list(range(1, view.iteration + 1))
    assert load_checkpoint(folder).info.iteration == view.iteration


@pytest.mark.long
def test_a_turn_ends_when_somebody_waits(open_queue):
    queue = open_queue(turn_seconds=1.0)
    first, second = JobQueue.new_key(), JobQueue.new_key()
    a = queue.submit(first, tiny_spec(LONG), tiny_png())
    wait_for(lambda: queue.view(first, a).iteration > 0)
    time.sleep(1.5)
    assert queue.view(first, a).state == "running"  # its turn is over, but nobody waits
    b = queue.submit(second, tiny_spec(2), tiny_png())
    wait_for(lambda: queue.view(first, a).state == "queued")
    assert (queue.view(first, a).turns_with, queue.view(first, a).message) == (1, None)
    wait_for(lambda: queue.view(second, b).state == "finished", 120)
    wait_for(lambda: queue.view(first, a).state == "running")
    queue.delete(first, a)
    with pytest.raises(BadInput):
        queue.view(first, a)


KILLED_WHILE_SAVING = """
import os, random, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)  # no threads, so forking is safe
from tests.jobs_kit import LONG, tiny_png, tiny_spec, tiny_target
from nca.checkpoint import load_checkpoint
from nca.resume import load_resume
from nca.jobs.spec import RESUME, SPEC, TARGET
from nca.jobs.training import Training
from nca.trainer import Trainer

folder, rounds, draw = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
spec, reached, seen, saved = tiny_spec(LONG), 0, 0, None
(folder / SPEC).write_text(spec.model_dump_json())
(folder / TARGET).write_bytes(tiny_png())
for _ in range(rounds):
    if (child := os.fork()) == 0:
        training = Training(folder, spec, stop=lambda: False)
        training.saving.run = lambda act: act()  # after every iteration
        training.growing.run = training.drawing.run = lambda act: None
        training.run()
    while not (folder / RESUME).exists() or (folder / RESUME).stat().st_ino == saved:
        time.sleep(0.002)
    time.sleep(draw.uniform(0, 0.1))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    saved = (folder / RESUME).stat().st_ino
    trainer = Trainer(spec.nca, spec.train, tiny_target(), "cpu", spec.seed)
    load_resume(trainer, folder / RESUME)
    assert trainer.iteration > reached, "went back"
    reached = trainer.iteration
    if (folder / "model.safetensors").exists():
        shown = load_checkpoint(folder).info.iteration
        assert seen <= shown <= reached, "another order than resume first, checkpoint second"
        seen = shown
print(reached)
"""


@pytest.mark.long
def test_killed_at_any_moment_of_saving_everything_still_loads(tmp_path):
    environment = os.environ | {"PYTHONPATH": f"{ROOT}"}
    folder = tmp_path / "jobs" / "one"
    folder.mkdir(parents=True)
    command = [sys.executable, "-c", textwrap.dedent(KILLED_WHILE_SAVING), str(folder), "12"]
    seed = str(random.randrange(10**6))
    done = subprocess.run([*command, seed], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"seed {seed}: {done.stderr}"
    assert int(done.stdout) >= 12
