"""A training that is killed in the middle of a write, for every file it writes."""

import json
import os
import subprocess
import sys
import textwrap

import pytest

from tests.jobs_kit import ROOT

KILLED_IN_A_WRITE = """
import json, os, signal, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)  # no threads, so forking is safe
from PIL import Image
from tests.jobs_kit import tiny_png, tiny_spec, tiny_target
from nca.checkpoint import load_checkpoint, weights_from_bytes
from nca.config import Limits
from nca.jobs import snapshots
from nca.jobs.metrics import MetricsReader
from nca.jobs.progress import read_progress
from nca.jobs.spec import RESUME, SPEC, TARGET
from nca.jobs.training import Training
from nca.resume import load_resume
from nca.trainer import Trainer

folder = Path(sys.argv[1])
spec, reached = tiny_spec(300), 0
(folder / SPEC).write_text(spec.model_dump_json())
(folder / TARGET).write_bytes(tiny_png())


def always(throttle):
    throttle.run = lambda act: act()


for name in sys.argv[2:]:
    if (child := os.fork()) == 0:
        training = Training(folder, spec, stop=lambda: False)
        for throttle in (training.saving, training.growing, training.drawing, training.reporting):
            always(throttle)
        training.run()
    beside, until = f"**/.{name}*.tmp", time.monotonic() + 240
    while not (halves := list(folder.glob(beside))):  # the write has begun
        assert time.monotonic() < until and os.waitpid(child, os.WNOHANG) == (0, 0), name
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

    trainer = Trainer(spec.nca, spec.train, tiny_target(), "cpu", spec.seed)
    if (folder / RESUME).exists():
        load_resume(trainer, folder / RESUME)
    assert trainer.iteration >= reached, "went back"
    reached = trainer.iteration
    if (folder / "model.safetensors").exists():
        assert load_checkpoint(folder).info.iteration <= reached
    for _, path in snapshots(folder):
        weights_from_bytes(path.read_bytes(), Limits())
    for path in folder.glob("*.json"):
        json.loads(path.read_text())
    for path in folder.glob("*.webp"):
        with Image.open(path) as picture:
            picture.load()
    points = MetricsReader(folder / "metrics.jsonl").read()
    assert [i for i, _ in points] == sorted({i for i, _ in points})
    print(name, reached, [half.name for half in halves], flush=True)
"""
WRITTEN = (
    "resume.safetensors", "model.safetensors", "progress.json", "pool.webp", "batch.webp",
    "preview.webp", "config.json", "metrics.json", "0", "README.md",
)  # fmt: skip


def run(code, *arguments, **options):
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, **options)


@pytest.mark.long
def test_killed_in_the_middle_of_each_write_everything_is_readable(tmp_path):
    folder = tmp_path / "jobs" / "one"
    folder.mkdir(parents=True)
    done = run(KILLED_IN_A_WRITE, folder, *WRITTEN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == len(WRITTEN)
    assert list(folder.glob("**/.*.tmp")), "no write was interrupted"

    # The next worker clears away what the killed ones left.
    (folder / "stop").touch()
    worker = subprocess.run(
        [sys.executable, "-m", "nca.jobs.worker", str(folder)], cwd=ROOT, timeout=240
    )
    assert worker.returncode == 75  # it saved, and can go on
    assert not list(folder.glob("**/.*.tmp"))
    assert json.loads((folder / "result.json").read_text())["outcome"] == "paused"
