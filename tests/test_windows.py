"""What Windows lacks is taken away: modules, functions of `os`, signals, and all file locks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from nca.checkpoint import load_checkpoint
from tests.test_cli import TINY

ROOT = Path(__file__).parents[1]
# `filelock` calls LockFileEx on Windows; here it has neither that nor flock, which is harder still.
LIKE_WINDOWS = """
import os, signal, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name in ("fcntl", "grp", "msvcrt", "pwd", "resource", "termios"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
for name in ("fcntl", "grp", "resource", "termios"):
    sys.modules.pop(name, None)
for name in ("fork", "getuid", "killpg", "nice", "sched_getaffinity", "setsid"):
    delattr(os, name)
del signal.SIGHUP

import nca.cli, nca.jobs, nca.settings
"""
COMMAND = "sys.exit(nca.cli.main(sys.argv[1:]))"
WORKER = """
from pathlib import Path
from nca.jobs.lock import LocksUnsupported
from nca.jobs import worker
worker._lower_priority()
try:
    nca.settings.FileLock(Path(sys.argv[1])).acquire()
except LocksUnsupported as refusal:
    sys.exit(f"{refusal}")
"""


def run(code, *words):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LIKE_WINDOWS + code, *words],
        env=environment, capture_output=True, timeout=300,
    )  # fmt: skip


@pytest.mark.long
def test_train_and_grow(tmp_path):
    picture, out, film = tmp_path / "a.png", tmp_path / "out", tmp_path / "film.gif"
    Image.new("RGB", (9, 9), "red").save(picture)
    words = ["train", "--image", str(picture), "--out", str(out), *TINY]
    done = run(COMMAND, *words)
    assert done.returncode == 0, done.stderr.decode()
    assert b"cannot lock files; make sure that nothing else trains there." in done.stderr
    done = run(COMMAND, *words, "--iterations", "5")
    assert done.returncode == 0 and load_checkpoint(out).info.iteration == 5, done.stderr.decode()
    done = run(COMMAND, "grow", str(out), "--steps", "3", "--out", str(film))
    assert done.returncode == 0 and film.is_file(), done.stderr.decode()


def test_a_server_says_that_nothing_can_be_locked(tmp_path):
    done = run(WORKER, str(tmp_path / "lock"))
    said = done.stderr.decode().strip()
    assert said.endswith("please choose a folder on a local disk.") and len(said.splitlines()) == 1
