"""A disk that fills up and one that becomes read-only, as mounts of their own."""

import os
import shutil
import subprocess
import sys
import textwrap

import pytest

from nca.jobs.spec import Exit
from tests.jobs_kit import ROOT

# As root a mount namespace is enough; others need a user namespace as well.
UNSHARE = ["unshare", "-m"] if os.name == "posix" and os.getuid() == 0 else ["unshare", "-Urm"]


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    mount = [*UNSHARE, "mount", "-t", "tmpfs", "none", "/tmp"]
    return subprocess.run(mount, capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(not can_mount(), reason="this machine lets nobody mount a disk")

COMMON = """
import os, subprocess, sys, time
from pathlib import Path
from tests.jobs_kit import LONG, tiny_png, tiny_spec, wait_for
from nca.checkpoint import load_checkpoint
from nca.config import BadInput
from nca.jobs import JobQueue

disk = Path(sys.argv[1])
queue, key = JobQueue(disk / "home", devices=("cpu",)), JobQueue.new_key()
job = queue.submit(key, tiny_spec(LONG), tiny_png())
folder = queue.view(key, job).folder
wait_for(lambda: (folder / "preview.webp").exists() and (folder / "model.safetensors").exists())


def refused(act, *arguments):
    try:
        act(*arguments)
    except BadInput as error:
        return str(error)
    raise AssertionError("nothing was refused")


def remount(*options):
    subprocess.run(["mount", "-o", ",".join(("remount", *options)), str(disk)], check=True)
"""

FULL = """
ballast = (disk / "ballast").open("wb", buffering=0)


def fill():
    try:
        while True:
            ballast.write(bytes(4096))
    except OSError:
        pass


fill()
view = wait_for(lambda: not (v := queue.view(key, job)).active and v)
assert view.state == "failed" and "disk is full" in view.message, view
assert load_checkpoint(folder).info.iteration >= 1  # the last good one is whole
fill()
assert "disk is full" in refused(queue.submit, key, tiny_spec(9), tiny_png())
assert queue.health().status == "disk_full"

ballast.truncate(0)
queue.resume(key, job)
wait_for(lambda: queue.view(key, job).iteration > view.iteration)
fill()
queue.delete(key, job)  # needs no room, and makes some
wait_for(lambda: not folder.exists())
assert queue.jobs(key) == []
queue.close()
print("survived")
"""

READ_ONLY = """
queue.stop(key, job)
before = wait_for(lambda: not (v := queue.view(key, job)).active and v)
queue.close()
remount("ro")
message = refused(JobQueue, disk / "home", None, ("cpu",))
assert str(disk) in message and "NCA_GARDEN_HOME" in message and "\\n" not in message, message
remount("rw")
queue = JobQueue(disk / "home", devices=("cpu",))
queue.resume(key, job)
wait_for(lambda: queue.view(key, job).iteration > before.iteration)
queue.close()
print("survived")
"""


def on_a_small_disk(folder, code):
    """What the code prints, run where `folder` is a disk of 6 MB."""
    script = 'mount -t tmpfs -o size=6m none "$1" && exec "$2" -c "$3" "$1"'
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    done = subprocess.run(
        [*UNSHARE, "sh", "-c", script, "sh", str(folder), sys.executable, textwrap.dedent(code)],
        capture_output=True, text=True, env=environment, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_a_full_disk_keeps_what_was_saved_and_can_be_emptied(tmp_path):
    assert "survived" in on_a_small_disk(tmp_path, COMMON + FULL)


def test_a_worker_whose_log_cannot_be_written_ends_with_its_own_code(tmp_path):
    command = [sys.executable, "-m", "nca.jobs.worker", str(tmp_path / "nothing")]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(command, cwd=ROOT, stderr=full, timeout=60)
    assert done.returncode == Exit.BUSY


@pytest.mark.long
def test_a_disk_that_is_read_only_is_named_and_keeps_its_trainings(tmp_path):
    assert "survived" in on_a_small_disk(tmp_path, COMMON + READ_ONLY)
