"""Training further: a job, a command and a trainer that begin with a checkpoint."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from nca.card import card
from nca.checkpoint import load_checkpoint, save_checkpoint, weights_to_bytes
from nca.cli import main
from nca.config import BadInput, CheckpointInfo, InitialSource, NCAConfig, TargetConfig
from nca.jobs import JobQueue, JobSpec
from nca.jobs.initial import initial_checkpoint
from nca.jobs.spec import INITIAL, RESUME
from nca.jobs.threads import thread_count
from nca.model import NCA
from nca.trainer import Trainer
from tests.hub_server import HubServer
from tests.jobs_kit import LONG, ROOT, tiny_png, tiny_spec, tiny_target, wait_for, workers

SPEC = tiny_spec(1)
SHORT = "--iterations 2 --set batch=3 --set pool_size=8 --set steps_min=6 --set steps_max=9".split()
TINY = [*SHORT, "--size", "8", "--padding", "0"]


def grown(seed: int = 5, nca: NCAConfig = SPEC.nca) -> NCA:
    """An automaton whose every weight says where it comes from."""
    made = NCA(nca, seed)
    with torch.no_grad():
        made.layers[-1].weight.normal_(0, 0.05, generator=torch.Generator().manual_seed(seed))
    return made


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(map(torch.equal, a.parameters(), b.parameters()))


@pytest.fixture
def base(tmp_path) -> Path:
    info = CheckpointInfo(
        title="Old lizard", iteration=70, target=TargetConfig(emoji="🦎", size=8, padding=0)
    )
    return save_checkpoint(tmp_path / "base", grown(), info, tiny_target(), preview=False)


def test_a_trainer_begins_with_the_weights_it_is_given():
    old = grown()
    trainer = Trainer(SPEC.nca, SPEC.train, tiny_target(), "cpu", initial=old)
    assert same(trainer.nca, old) and not same(trainer.nca, NCA(SPEC.nca))
    before = [weight.clone() for weight in old.parameters()]
    trainer.train_step()
    assert not same(trainer.nca, old)
    assert all(map(torch.equal, before, old.parameters())), "the given automaton was trained"
    with pytest.raises(BadInput, match="architecture"):
        Trainer(NCAConfig(channels=5), SPEC.train, tiny_target(), "cpu", initial=old)


@pytest.mark.long
def test_a_killed_job_ends_where_an_uninterrupted_one_ends(base, tmp_path):
    start = initial_checkpoint(load_checkpoint(base), "ann/lizard", "a" * 40)
    spec = tiny_spec(LONG, initial=start.source, nca=start.nca)
    queue, key = JobQueue(tmp_path / "home", devices=("cpu",)), JobQueue.new_key()
    try:
        job = queue.submit(key, spec, tiny_png(), start.weights)
        folder = queue.view(key, job).folder
        first = wait_for(lambda: (folder / RESUME).exists() and workers(folder), 120)
        os.kill(first[0], signal.SIGKILL)
        wait_for(lambda: [p for p in workers(folder) if p not in first], 120)
        done = queue.view(key, job).iteration
        wait_for(lambda: queue.view(key, job).iteration != done, 120)
        queue.stop(key, job)
        view = wait_for(lambda: not (v := queue.view(key, job)).active and v, 120)
    finally:
        queue.close()
    assert (view.state, view.initial) == ("stopped", "Old lizard") and view.iteration > 0
    trainer = Trainer(spec.nca, spec.train, tiny_target(), "cpu", spec.seed, initial=grown())
    torch.set_num_threads(thread_count())
    while trainer.iteration < view.iteration:
        trainer.train_step()
    found = load_checkpoint(folder)
    assert same(found.nca, trainer.nca)
    assert found.info.initial == InitialSource(
        title="Old lizard", iteration=70, repo="ann/lizard", revision="a" * 40
    )
    text = (folder / "README.md").read_text()
    assert 'base_model: "ann/lizard"' in text and "began with | Old lizard of [ann/lizard]" in text


def test_only_sound_weights_of_that_architecture_get_in(base, tmp_path):
    start, key = initial_checkpoint(load_checkpoint(base)), JobQueue.new_key()
    spec = tiny_spec(3, initial=start.source)
    other = weights_to_bytes(grown(nca=NCAConfig(channels=7, hidden=(8,))), CheckpointInfo())
    queue = JobQueue(tmp_path / "home", devices=("cpu",))
    try:
        for wish, weights, sentence in (
            (spec, None, "choose again"),
            (tiny_spec(3), start.weights, "choose again"),
            (spec, b"\x80\x04pickle", "not an NCA Garden checkpoint"),
            (spec, start.weights + bytes(2**20), "larger than"),
            (spec, other, "do not fit|architecture"),
        ):
            with pytest.raises(BadInput, match=sentence):
                queue.submit(key, wish, tiny_png(), weights)
        assert queue.jobs(key) == [] and not list((tmp_path / "home/jobs").glob("[0-9a-f]*"))
    finally:
        queue.close()
    for repo in ("a/b\n", "a/b](x)", "../b", "ä/b", "a"):
        with pytest.raises(ValueError):
            InitialSource(title="x", repo=repo)


def test_a_start_that_is_gone_is_a_sentence(base, tmp_path):
    from nca.jobs.training import Training

    start = initial_checkpoint(load_checkpoint(base))
    (tmp_path / "target.png").write_bytes(tiny_png())
    with pytest.raises(BadInput, match="missing; start it again"):
        Training(tmp_path, tiny_spec(1, initial=start.source), stop=lambda: False).run()


def test_what_was_written_before_still_loads():
    old = json.loads(tiny_spec(3).model_dump_json(exclude={"initial"}))
    assert JobSpec.model_validate(old) == tiny_spec(3)
    source = InitialSource(title="Old lizard", iteration=70)
    for model in (JobSpec, CheckpointInfo):  # the field was called `base`
        read = model.model_validate({"base": source.model_dump()})
        assert read.initial == source and "base" not in read.model_dump()
    eye = load_checkpoint(ROOT / "checkpoints/eye-regenerating")  # trained before there was any
    assert eye.info.initial is None and "began with" not in card(eye.info, {})


def test_its_own_picture_or_none(base, tmp_path):
    target = initial_checkpoint(load_checkpoint(base)).target()
    assert target.config.emoji == "🦎" and target.png == tiny_png()
    assert target.title == "Old lizard"
    odd = torch.zeros(8, 12, 4)
    for name, target, sentence in (("none", None, "no picture"), ("odd", odd, "not square")):
        save_checkpoint(tmp_path / name, grown(), target=target, preview=False)
        with pytest.raises(BadInput, match=sentence):
            initial_checkpoint(load_checkpoint(tmp_path / name)).target()
    save_checkpoint(tmp_path / "plain", grown(), target=tiny_target(), preview=False)
    assert initial_checkpoint(load_checkpoint(tmp_path / "plain")).target().config.grid == 8


def test_the_command_trains_a_folder_further_and_goes_on(base, tmp_path, capsys):
    command = ["train", "--from", str(base), "--out", str(tmp_path / "out"), "--recipe", "cax"]
    command += [*SHORT, "--set", "loss_window=4"]
    assert main(command) == 0
    first = load_checkpoint(tmp_path / "out")
    assert first.info.title == "Old lizard" and first.info.initial.iteration == 70
    assert first.info.nca == grown().config and first.info.target.emoji == "🦎"
    assert main([*command, "--iterations", "3"]) == 0
    assert load_checkpoint(tmp_path / "out").info.iteration == 3
    # Another picture, where the first weights still show: the rate is too small to move them.
    beetle = ["train", "--from", str(base), "--emoji", "🐞", "--out", str(tmp_path / "new"), *TINY]
    assert main([*beetle, "--set", "learning_rate=1e-7"]) == 0
    new = load_checkpoint(tmp_path / "new")
    assert new.info.title == "🐞" and new.info.target.emoji == "🐞"
    assert torch.allclose(new.nca.layers[0].weight, grown().layers[0].weight, atol=1e-6)

    for words, sentence in (
        (["--out", str(tmp_path / "x"), "--set", "channels=9"], "leave out channels"),
        (["--out", str(base)], "another folder than --from"),
        (["--out", str(tmp_path / "new")], "other settings"),
        (["--out", str(tmp_path / "x"), "--size", "20"], "--size says how a picture is drawn"),
        (["--out", str(tmp_path / "x"), "--no-crop"], "--no-crop says how a picture is drawn"),
        (["--out", str(tmp_path / "x"), "--image", str(tmp_path / "no.png")], "cannot be opened"),
    ):
        assert main(["train", "--from", str(base), *SHORT, *words]) == 2
        assert sentence in capsys.readouterr().err
    assert main(["train", "--from", str(tmp_path), "--out", str(tmp_path / "x"), *TINY]) == 2
    assert "not an NCA Garden checkpoint" in capsys.readouterr().err
    assert main(["train", "--out", str(tmp_path / "x"), *TINY]) == 2
    assert "begin --from one" in capsys.readouterr().err
    assert not (tmp_path / "x").exists() and not (base / INITIAL).exists()


@pytest.mark.parametrize("private", [False, True])
def test_the_command_trains_a_repo_further(base, tmp_path, monkeypatch, private):
    with HubServer() as hub:
        monkeypatch.setenv("HF_TOKEN", hub.user("ann"))
        # As if the process had started with HF_ENDPOINT and HF_HUB_CACHE set.
        said = SimpleNamespace(ENDPOINT=hub.endpoint, HF_HUB_CACHE=str(tmp_path / "cache"))
        monkeypatch.setattr("nca.hub.client.constants", said)
        repo = hub.repo("ann/lizard", private=private)
        names = ("model.safetensors", "target.png")
        commit = repo.commit({name: (base / name).read_bytes() for name in names})
        out = ["--out", str(tmp_path / "out")]
        assert main(["train", "--from", "ann/lizard", *out, *SHORT]) == 0
        film = ["--steps", "2", "--out", str(tmp_path / "film.gif")]
        assert main(["grow", f"ann/lizard@{commit}", *film]) == 0
    made = load_checkpoint(tmp_path / "out").info.initial
    assert made.title == "Old lizard"
    # A card that anyone can read does not name what not everybody may see.
    assert (made.repo, made.revision) == ((None, None) if private else ("ann/lizard", commit))
