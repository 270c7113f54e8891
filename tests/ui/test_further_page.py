"""Pull, train further, look back, train longer, grow: a real browser, a Hub on loopback."""

import json
from pathlib import Path

import pytest
import torch
from gradio_client import Client

from nca.checkpoint import (
    load_checkpoint,
    save_checkpoint,
    unzip_checkpoint,
    weights_from_bytes,
)
from nca.config import CheckpointInfo, Limits, NCAConfig, TargetConfig, TrainConfig
from nca.model import NCA
from nca.player import player_model
from tests.jobs_kit import wait_for
from tests.ui.visit import Visit

START = 150  # seconds; a fresh checkout compiles its kernels first
OLD = NCAConfig(channels=7, hidden=(9,), fire_rate=0.75)
NAMES = ("model.safetensors", "target.png")


@pytest.fixture(scope="module")
def old(tmp_path_factory) -> Path:
    """A checkpoint whose architecture is nobody's default."""
    nca = NCA(OLD, 3)
    with torch.no_grad():
        nca.layers[-1].weight.normal_(0, 0.03, generator=torch.Generator().manual_seed(3))
    target = torch.zeros(12, 12, 4)
    target[3:9, 3:9] = torch.tensor([0.2, 0.5, 0.2, 1.0])
    made = TargetConfig(emoji="🦎", size=8, padding=2)
    info = CheckpointInfo(title="Old one", iteration=70, train=TrainConfig(), target=made)
    folder = tmp_path_factory.mktemp("old")
    return save_checkpoint(folder, nca, info, target, preview=False)


def pull(page: Visit, name: str, token: str) -> None:
    page.page.locator("#pull-name").locator("input, textarea").fill(name)
    page.page.locator("#pull-token input").fill(token)
    page.page.locator("#pull").click()


def jobs(server) -> dict[str, dict]:
    return {
        job: json.loads((server.home / "jobs" / job / "job.json").read_text())
        for job in server.jobs()
    }


@pytest.mark.long
def test_pull_train_further_look_back_and_grow(share_visit, hub, garden_server, old, tmp_path):
    token, wrong = hub.user("ida"), "hf_wrong" + "w" * 24
    repo = hub.repo("ida/old", private=True)
    repo.commit({name: (old / name).read_bytes() for name in NAMES})
    page = share_visit()
    page.page.get_by_text("Advanced settings").click()
    page.number("#iterations", 20)

    # A private one: nothing without a token, and none stays anywhere.
    page.tab("Share")
    for given, sentence in (
        ("", "or it is private"), (wrong, "not accept this token"), ("two words", "not a token"),
    ):  # fmt: skip
        pull(page, "ida/old", given)
        page.wait("#fetched", sentence)
        page.until(lambda: not page.page.locator("#pull-token input").input_value())
    pull(page, "ida/old", token)
    seen = player_model(load_checkpoint(old))["version"]
    page.until(lambda: page.grows() == seen)  # until then the first screen's lizard grows
    assert "ida/old" in page.page.locator("#shelf").inner_text()
    assert not list((garden_server.home / "hub").rglob("*ida--old*"))
    kept = b"".join(p.read_bytes() for p in garden_server.home.parent.rglob("*") if p.is_file())
    said = page.page.content() + page.page.evaluate("JSON.stringify(localStorage)")
    for secret in (token, wrong):
        assert secret.encode() not in kept and secret not in said

    # Its architecture and its picture come along; the other fields stay as they were.
    page.page.locator("#train-further").click()
    page.wait("#begun", "Old one")
    channels = page.page.locator("#channels input[type=number]")
    assert channels.input_value() == "7" and channels.is_disabled()
    assert page.page.locator("#hidden").locator("input, textarea").input_value() == "9"
    assert page.page.locator("#iterations input").input_value() == "20"
    assert not page.page.locator("#emoji-search").is_visible() and page.fits()
    page.page.wait_for_timeout(1500)  # an event that the choice itself brings would be through
    assert page.page.locator("#keep-picture input").is_checked()
    page.snap("further-1280")
    before = set(garden_server.jobs())
    page.page.locator("#start").click()
    assert "began with Old one" in page.wait("#status", "Finished", START)
    (job,) = set(garden_server.jobs()) - before
    folder, spec = garden_server.home / "jobs" / job, jobs(garden_server)[job]
    begun, _ = weights_from_bytes((folder / "initial.safetensors").read_bytes(), Limits())
    assert player_model(begun)["version"] == seen
    found = load_checkpoint(folder).info
    assert found.nca == OLD and found.target.grid == 12 and found.iteration == 20
    # What only some may see is not named to all who see what came of it.
    assert spec["initial"] == {"title": "Old one", "iteration": 70, "repo": None, "revision": None}

    # Looking back: a film of the snapshots; the first of them then grows.
    page.page.locator("#past .play").click()
    page.wait("#past output", "After 20 iterations, at 24, 48, 96 and 200 steps")
    scrubber = page.page.locator("#past input")
    scrubber.focus()
    scrubber.press("Home")
    page.wait("#past output", "After its first iteration")
    page.wait("#past-life", "Practice pool then")
    page.snap("past-1280")
    page.page.locator("#past-grow").click()
    page.until(lambda: page.player("sent.version") not in (None, seen))
    page.wait("#watching", "As it was after its first iteration")
    first, info = weights_from_bytes(
        (folder / "snapshots/0000001.safetensors").read_bytes(), Limits()
    )
    then = player_model(first)["version"]
    assert info.iteration == 1 and page.grows() == then
    with page.page.expect_download() as waiting:
        page.page.locator("#download-zip").click()
    taken = unzip_checkpoint(Path(waiting.value.path()).read_bytes(), tmp_path / "then")
    assert player_model(taken)["version"] == then and taken.info.iteration == 1

    # Another title, in the list and in the model card; longer; back to a new automaton.
    page.tab("Train")
    page.page.locator("#job-title").locator("input, textarea").fill("Old friend")
    page.page.locator("#job-title").locator("input, textarea").press("Enter")
    page.wait("#status", "Old friend")
    assert "Old friend" in page.page.locator("#jobs input").input_value()
    assert "# Old friend" in (folder / "README.md").read_text(encoding="utf-8")
    assert load_checkpoint(folder).info.title == "Old friend"
    assert "+10 iterations" in page.page.locator("#resume").inner_text()
    page.page.locator("#resume").click()
    page.wait("#status", r"30 of 30 iterations[\s\S]*kept until", START)
    page.unfold()
    page.page.get_by_text("Size, title").click()
    page.page.locator("#begin-with input").click()
    page.page.get_by_role("option", name="A new automaton").click()
    page.page.locator("#emoji-search").wait_for()
    page.until(lambda: channels.is_enabled() and channels.input_value() == "19")
    assert page.errors == []


@pytest.mark.long
def test_a_script_trains_further(garden_server, hub, old):
    repo = hub.repo("joe/old")
    commit = repo.commit({name: (old / name).read_bytes() for name in NAMES})
    client = Client(garden_server.url, verbose=False)
    pulled = client.predict("joe/old", api_name="/pull")
    options = {"iterations": 1, "key": pulled["key"], "api_name": "/train"}
    started = client.predict(
        emoji="🐞", size=8, padding=0, checkpoint=pulled["checkpoint"], **options
    )
    spec = jobs(garden_server)[started["job"]]
    assert NCAConfig(**spec["nca"]) == OLD and spec["target"]["emoji"] == "🐞"
    assert spec["initial"]["repo"] == "joe/old" and spec["initial"]["revision"] == commit
    stranger = options | {"key": "f" * 32}
    for name, values in (("kept", options), ("own", options), ("strange", stranger)):
        checkpoint = pulled["checkpoint"] if name == "strange" else f"{name}:{'0' * 32}"
        with pytest.raises(Exception, match="not yours"):
            client.predict(checkpoint=checkpoint, **values)
    about = {"job": started["job"], "key": pulled["key"], "api_name": "/job"}
    wait_for(lambda: client.predict(**about)["state"] == "finished", START, 0.5)
