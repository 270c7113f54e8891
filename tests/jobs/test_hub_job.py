"""Trainings on Hugging Face Jobs: the genuine client, a Hub on loopback, jobs that really run."""

import io
import json
import os
import subprocess
import sys
import threading
import zipfile
from types import SimpleNamespace

import pytest

from nca.checkpoint import load_checkpoint
from nca.cli import main, on_hub_jobs
from nca.cli.training_options import initial_from
from nca.config import BadInput
from nca.hub import Hub
from nca.hub import jobs as hub_jobs
from nca.hub.jobs import Flavor
from nca.jobs.elsewhere import MARK
from nca.jobs.hub_executor import DEVICE, HubExecutor
from nca.jobs.hub_job import (
    NEEDS,
    STATE,
    HubTraining,
    Offer,
    package_zip,
    pins_of_here,
    read_line,
)
from nca.jobs.progress import read_progress
from nca.jobs.run import Stop, run_folder
from nca.jobs.spec import RESUME, SPEC, TARGET, Exit
from nca.jobs.sweep import plan, run_all
from tests.hub_jobs import JobsHub
from tests.hub_server import status
from tests.jobs_kit import LONG, ROOT, tiny_png, tiny_spec, wait_for
from tests.test_architecture import pinned

TINY = (
    "--emoji 🐞 --set batch=2 --set pool_size=4 --set steps_min=4 --set steps_max=6 "
    "--size 8 --padding 0 --iterations 4"
).split()


QUICK = """
from nca import Trainer, emoji_target, recipe
quick = recipe("quick")
print(Trainer(quick.nca, quick.train, emoji_target("🐞", size=8, padding=2), "cpu").nca)
"""


def test_the_package_that_is_sent_can_begin_quick(tmp_path):
    """With its pretrained weights; every other test here begins with random ones."""
    zipfile.ZipFile(io.BytesIO(package_zip())).extractall(tmp_path)
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", QUICK], cwd=tmp_path, env=kept, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout.startswith("NCA("), done.stderr


@pytest.fixture
def hub(tmp_path):
    with JobsHub(tmp_path / "image") as hub:
        yield hub


class Follower:
    """A training on the Hub, followed in a thread."""

    def __init__(self, hub, folder, token, spec, **options):
        self.stopped, self.notices, self.seen = threading.Event(), [], []
        self.finished, self.problem = None, None
        client = Hub(hub.endpoint, cache=folder.parent / "cache")
        training = HubTraining(
            folder, client, token=token, stop=self.stopped.is_set, on_notice=self.notices.append,
            on_progress=lambda p: self.seen.append(p.iteration), every=0.3, **options,
        )  # fmt: skip

        def follow():
            try:
                self.finished = training.run(
                    spec, tiny_png(), None, "cpu-basic", 3600.0, lambda offer: True
                )
            except BadInput as problem:
                self.problem = str(problem)

        self.thread = threading.Thread(target=follow)
        self.thread.start()

    def end(self):
        self.thread.join(300)
        assert not self.thread.is_alive()
        return self


def command(hub, tmp_path, monkeypatch, token, *more):
    monkeypatch.setenv("HF_TOKEN", token)
    said = SimpleNamespace(ENDPOINT=hub.endpoint, HF_HUB_CACHE=str(tmp_path / "cache"))
    monkeypatch.setattr("nca.hub.client.constants", said)
    return main(["train", "--on", "jobs", "--out", str(tmp_path / "out"), *TINY, *more])


def sweep(hub, tmp_path, monkeypatch, token, *more):
    monkeypatch.setenv("HF_TOKEN", token)
    said = SimpleNamespace(ENDPOINT=hub.endpoint, HF_HUB_CACHE=str(tmp_path / "cache"))
    monkeypatch.setattr("nca.hub.client.constants", said)
    return main(["sweep", "--on", "jobs", "--out", str(tmp_path / "sweep"), *TINY, *more])


def test_nothing_is_started_before_its_price_is_agreed_to(hub, tmp_path, monkeypatch, capsys):
    token = hub.user("ann")
    for more, sentence in (
        ([], "at most, billed to ann by Hugging Face. Please agree with --spend 0.03"),
        (["--hours", "10", "--spend", "0.05"], "costs $0.11 at most"),
        (["--flavor", "t4-small"], "t4-small costs $0.40 an hour"),
        (["--flavor", "abacus"], "no abacus for Jobs; please choose from cpu-basic, t4-small"),
        (["--hours", "0"], "--hours from 0.05"),
        (["--spend", "nan"], "--spend as a number"),
    ):
        assert command(hub, tmp_path, monkeypatch, token, *more) == 2
        assert sentence in capsys.readouterr().err
    assert hub.jobs == [] and hub.repos == {}
    assert not any("/api/jobs/ann" in seen.path for seen in hub.requests)


def test_ctrl_d_is_no_agreement(monkeypatch):
    terminal = io.StringIO("")
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    offer = Offer(Flavor("cpu-basic", "CPU", 0.01, False), 3600, "ann")
    assert not on_hub_jobs._agree(offer, None, print)


def test_the_price_of_a_sweep_is_that_of_all_its_trainings(hub, tmp_path, monkeypatch, capsys):
    token = hub.user("ann")
    assert sweep(hub, tmp_path, monkeypatch, token, "--seeds", "3") == 2
    error = capsys.readouterr().err
    assert "3 trainings may run there for 2 h each and so cost $0.07 at most" in error
    assert "agree with --spend 0.07" in error and hub.jobs == []


@pytest.mark.parametrize(
    ("scope", "credit", "sentence"),
    [("write", False, "no credit"), ("read", True, "write access"), ("expired", True, "expired")],
)
def test_what_the_account_lacks_is_one_sentence(
    tmp_path, monkeypatch, capsys, scope, credit, sentence
):
    with JobsHub(tmp_path / "image", credit) as hub:
        token = hub.user("ann", scope)
        assert command(hub, tmp_path, monkeypatch, token, "--spend", "1") == 2
        error = capsys.readouterr().err
        assert sentence in error and "Traceback" not in error and token not in error
        assert hub.jobs == [] and not (tmp_path / "out" / STATE).exists()


def test_a_line_of_the_log_is_progress_or_nothing():
    assert read_line("hello") is None and read_line(MARK + "{}") is None
    assert read_line(MARK + '{"progress":{"iteration":-1},"metrics":[]}') is None
    line = '{"progress":{"iteration":7},"metrics":["{\\"iteration\\":7,\\"loss\\":0.5}\\n","no"]}'
    progress, metrics = read_line(MARK + line)
    assert progress.iteration == 7 and [(m.iteration, m.loss) for m in metrics] == [(7, 0.5)]


def test_it_installs_there_what_the_project_needs():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {name.partition(">")[0].partition(";")[0].strip() for name in project["dependencies"]}
    assert {name.lower() for name in NEEDS} == {name.lower() for name in named}
    pins = dict(pin.split("==") for pin in pins_of_here())
    assert pins.keys() == set(NEEDS) and "+" not in "".join(pins.values())
    assert pinned("requirements.txt")["numba"] == pins["numba"]


@pytest.mark.long
def test_a_training_there_ends_as_one_here_and_leaves_nothing_there(hub, tmp_path):
    token, spec, folder = hub.user("ann"), tiny_spec(400), tmp_path / "out"
    done = Follower(hub, folder, token, spec).end()
    assert (done.finished, done.problem) == (True, None), hub.jobs[-1].log
    here = tmp_path / "here"
    here.mkdir()
    (here / SPEC).write_text(spec.model_dump_json())
    (here / TARGET).write_bytes(tiny_png())
    assert run_folder(here, Stop(here)) == Exit.FINISHED
    assert (folder / "model.safetensors").read_bytes() == (here / "model.safetensors").read_bytes()
    assert load_checkpoint(folder).info.iteration == 400
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == list(range(1, 401))

    (job,) = hub.jobs
    assert "uv pip install -q" in job.spec["command"][2] and job.spec["timeoutSeconds"] <= 3600
    assert "--torch-backend cpu" in hub.installed.read_text()
    assert job.spec["labels"]["app"] == "nca-garden"
    assert token not in json.dumps(job.spec["environment"]) + "".join(text for _, text in job.log)
    assert hub.repos == {} and not (folder / STATE).exists()
    assert not any(token.encode() in p.read_bytes() for p in folder.rglob("*") if p.is_file())


@pytest.mark.long
def test_a_sweep_there_and_its_decoders(hub, tmp_path, monkeypatch, capsys):
    token, lizard = hub.user("ann"), initial_from("lizard-regenerating")
    runs = plan(
        tmp_path, [lizard.target()], {}, range(1), recipe="quick", initial=lizard, sharpen=6,
        changes={"iterations": 2, "learning_rate": 1e-6},
    )  # fmt: skip
    client = Hub(hub.endpoint, cache=tmp_path / "cache")
    executor = HubExecutor(client, "cpu-basic", 3600.0, 2, token=token, every=0.3)
    assert run_all(runs, executor, DEVICE, 2, lambda: False)
    for run in runs:
        assert run.finished, run.problem
        assert load_checkpoint(run.folder).decoder is not None
    tiny = ["--seeds", "2", "--jobs", "2", "--no-sharpen", "--spend", "1"]
    assert sweep(hub, tmp_path, monkeypatch, token, *tiny) == 0
    assert "lady_beetle-seed=1" in capsys.readouterr().out
    assert len(hub.jobs) == 3 and hub.repos == {}


@pytest.mark.long
def test_a_lost_job_goes_on_from_its_snapshot_and_a_cancelled_one_can_be_resumed(hub, tmp_path):
    token, spec, folder = hub.user("ann"), tiny_spec(LONG), tmp_path / "out"
    follower = Follower(hub, folder, token, spec, save_seconds=1.0)

    def repo():
        return next(iter(hub.repos.values()), None)

    wait_for(lambda: repo() and RESUME in repo().files() and follower.seen)
    assert repo().private and folder.joinpath(STATE).exists()
    environments = [
        (p / "environ").read_bytes() for p in PROC.iterdir()
        if p.name.isdigit() and b"nca.jobs.worker" in cmdline(p)
    ]  # fmt: skip
    assert environments and not any(token.encode() in text for text in environments)

    # The Hub out of reach for a while, in the middle: told once, and followed again.
    fault = hub.fault("GET /api/jobs/ann/", status(503))
    wait_for(lambda: any("goes on there" in text for text in follower.notices))
    hub.faults.remove(fault)
    before = len(follower.seen)
    wait_for(lambda: len(follower.seen) > before)

    hub.jobs[0].kill()
    wait_for(lambda: len(hub.jobs) == 2)
    lost_at = max(follower.seen)
    assert any("was lost; going on from iteration" in text for text in follower.notices)
    wait_for(lambda: follower.seen[-1] > lost_at)

    # Another command in the same folder does not start a second job.
    second = Follower(hub, folder, token, spec).end()
    assert "Another process is training" in second.problem and len(hub.jobs) == 2

    follower.stopped.set()  # Ctrl-C
    assert follower.end().finished is False and follower.problem is None
    assert hub.jobs[1].stage == "CANCELED"
    done = read_progress(folder).iteration
    assert done >= lost_at and load_checkpoint(folder).info.iteration == done
    # Here and now it goes on from there.
    assert run_folder(folder, Stop(folder, seconds=1.0)) == Exit.PAUSED
    assert read_progress(folder).iteration > done
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    numbers = [line["iteration"] for line in lines]
    assert numbers == list(range(1, numbers[-1] + 1))

    # The token is taken back in the middle: the training there is told about, not lost.
    third = Follower(hub, folder, token, spec, save_seconds=1.0)
    wait_for(lambda: third.seen)
    hub.tokens[token] = ("ann", "expired")
    third.end()
    assert "does not accept this token" in third.problem and "goes on" in third.problem
    assert len(hub.jobs) == 3
    hub.tokens[token] = ("ann", "write")
    fourth = Follower(hub, folder, token, spec)  # the same command again follows the same job
    wait_for(lambda: fourth.seen)
    fourth.stopped.set()
    assert fourth.end().finished is False and len(hub.jobs) == 3


PROC = ROOT.__class__("/proc")


def cmdline(process) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def test_a_public_repository_of_that_name_is_not_used(hub, tmp_path):
    token = hub.user("ann")
    hub.repo("ann/there")
    with pytest.raises(BadInput, match="is public"):
        hub_jobs.make_repo(Hub(hub.endpoint), "ann/there", token=token)
    repo = hub.repo("ann/odd", private=True)
    repo.commit({"../up": b"x"})
    with pytest.raises(BadInput, match="no training writes"):
        hub_jobs.fetch(Hub(hub.endpoint, cache=tmp_path / "cache"), "ann/odd", token=token)
    assert not (tmp_path.parent / "up").exists() and os.path.isdir(tmp_path)
