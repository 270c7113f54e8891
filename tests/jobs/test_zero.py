"""Trainings in chunks on ZeroGPU: the genuine package, without a card."""

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nca.jobs import zero
from nca.jobs.progress import read_progress
from nca.jobs.run import run_folder
from nca.jobs.spec import SPEC, STOP, TARGET, Exit, JobSpec, Target

ROOT = Path(__file__).parents[2]
ITERATIONS = 12
CASE = "tests.jobs.zero_gpu_case"


def job(folder, iterations=ITERATIONS):
    """A small `quick` training that was not begun."""
    folder.mkdir()
    target = Target.make({"emoji": "🦎", "size": 12, "padding": 4})
    spec = JobSpec.from_recipe("quick", target, changes={"iterations": iterations}, sharpen=0)
    (folder / SPEC).write_text(spec.model_dump_json())
    (folder / TARGET).write_bytes(target.png)
    return folder


def on_zero_gpu(folder, seconds, quota=10**6, kill=0):
    done = subprocess.run(
        [sys.executable, "-m", CASE, *map(str, (folder, seconds, quota, kill))],
        cwd=ROOT, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def weights(folder):
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = job(tmp_path_factory.mktemp("unbroken") / "job")
    code = "from nca.jobs.run import Stop, run_folder; from pathlib import Path; import sys; "
    code += "p = Path(sys.argv[1]); sys.exit(run_folder(p, Stop(p)))"
    subprocess.run([sys.executable, "-c", code, folder], cwd=ROOT, check=True, timeout=500)
    return folder


@pytest.mark.long
def test_chunks_give_the_weights_of_an_unbroken_training(tmp_path, unbroken):
    """One of them is killed, and the next goes on from what was saved."""
    folder = job(tmp_path / "job")
    done = on_zero_gpu(folder, 0.01, kill=4)
    assert done["sentence"] is None and done["started"] == 1
    assert done["codes"][-1] == Exit.FINISHED and set(done["codes"][:-1]) == {Exit.PAUSED}
    assert len(done["chunks"]) == len(done["codes"]) + 1 > 10  # an iteration each
    assert [chunk["killed"] for chunk in done["chunks"]].index(True) == 3
    for chunk in done["chunks"]:
        assert chunk["token"].startswith("a.") and chunk["asked"] == 6
    assert weights(folder) == weights(unbroken)


@pytest.mark.long
def test_without_quota_it_ends_in_a_sentence_and_can_go_on(tmp_path):
    folder = job(tmp_path / "job", iterations=10**5)
    done = on_zero_gpu(folder, 1.5, quota=8)
    # 1.5 s ask for 7; then too little is left for that, and for the 6 of half as long.
    assert len(done["chunks"]) == 1 and done["refused"] == [7, 6]
    assert done["sentence"].startswith("BadInput: Your GPU time for today is used up")
    before = read_progress(folder).iteration
    trained = threading.Event()
    code = run_folder(folder, trained.is_set, on_iteration=trained.set)
    assert before > 0 and code == Exit.PAUSED
    assert read_progress(folder).iteration > before


def test_elsewhere_the_same_calls_run_in_this_process(tmp_path):
    """The package's no-op mode; a stop file ends it."""
    assert zero.prepare({}) is None
    folder = job(tmp_path / "job", iterations=10**5)
    chunks = zero.ZeroGPU(device="cpu").train(folder, 0.2)
    assert next(chunks) == Exit.PAUSED == next(chunks)
    (folder / STOP).touch()
    assert list(chunks) == []
