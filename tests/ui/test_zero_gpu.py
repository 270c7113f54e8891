"""The choice to train on ZeroGPU: where it is there, and whose training goes where."""

import json

import pytest

from nca.checkpoint import load_checkpoint
from nca.decoder_file import DECODER
from nca.jobs import JobQueue, JobSpec, Target
from nca.jobs.check_up import check_up_of
from nca.jobs.initial import initial_checkpoint
from nca.jobs.zero import ZeroGPU
from nca.settings import Settings
from nca.ui import build_ui
from nca.ui.train.zero_gpu import LENDING, Handler
from tests.jobs_kit import wait_for


@pytest.fixture(scope="module")
def queue(tmp_path_factory):
    queue = JobQueue(tmp_path_factory.mktemp("home"), devices=("cpu",))
    yield queue
    queue.close()


@pytest.fixture(scope="module")
def card():
    """The genuine package in its no-op mode: calls run in this process, on the CPU."""
    return ZeroGPU(device="cpu")


def parts(page):
    return {part["props"].get("elem_id") for part in page.config["components"]}


def test_only_zerogpu_offers_it(queue, card):
    settings = Settings(home=queue.home, secret="x" * 16)
    assert "zero-gpu-start" not in parts(build_ui(settings, queue))
    assert {"zero-gpu-start", "zero-gpu-end"} <= parts(build_ui(settings, queue, card))


@pytest.mark.long
def test_closing_the_page_gives_the_training_back_to_the_cpu(queue, card):
    target = Target.make({"emoji": "🦎", "size": 12, "padding": 4})
    spec = JobSpec.from_recipe("quick", target, changes={"iterations": 20_000})
    key = queue.new_key()
    job = queue.submit(key, spec, target.png)
    visitor = {"own": key, "link": None}
    said = Handler(queue, card).run(visitor, job, 0.3)
    assert LENDING in next(said)
    assert "iterations on the graphics card, in parts of 0 s" in next(said)
    before = queue.view(key, job)
    assert before.state == "running" and before.iteration > 0
    # A second window, or a stranger, gets a sentence and not the training.
    assert "already runs there" in list(Handler(queue, card).run(visitor, job, 0.3))[-1]
    stranger = {"own": queue.new_key(), "link": None}
    assert "not yours" in list(Handler(queue, card).run(stranger, job, 0.3))[-1]
    assert "start a training first" in next(Handler(queue, card).run(visitor, None))
    said.close()
    wait_for(lambda: queue.view(key, job).iteration > before.iteration, 200, 0.2)
    assert queue.view(key, job).state == "running"
    queue.delete(key, job)


@pytest.mark.long
def test_the_cpu_adds_check_and_decoder_to_what_the_card_has_trained(queue, card):
    """The page is closed after the first chunk, opened again, and closed after the last one.

    It begins with a lizard, because what does not look like its picture gets no decoder.
    """
    lizard = initial_checkpoint(load_checkpoint("checkpoints/lizard-regenerating"))
    target, changes = lizard.target(), {"iterations": 5, "learning_rate": 1e-6, "pool_size": 8}
    spec = JobSpec.from_recipe("quick", target, initial=lizard, changes=changes, sharpen=3)
    key = queue.new_key()
    job = queue.submit(key, spec, target.png, lizard.weights, target.picture)
    folder, visitor = queue.view(key, job).folder, {"own": key, "link": None}

    said = Handler(queue, card).run(visitor, job, 0.01)  # an iteration each
    assert LENDING in next(said) and "1 iterations on the graphics card" in next(said)
    said.close()
    said = Handler(queue, card).run(visitor, job, 0.01)
    assert LENDING in next(said)
    while queue.view(key, job).iteration < 5:
        assert "on the graphics card" in next(said)
    assert queue.view(key, job).state == "running" and not (folder / DECODER).exists()
    said.close()
    wait_for(lambda: not queue.view(key, job).active)
    assert queue.view(key, job).state == "finished"
    checkpoint = load_checkpoint(folder)
    assert checkpoint.info.iteration == 5 and checkpoint.decoder is not None
    assert check_up_of(json.loads((folder / "metrics.json").read_text())) is not None
