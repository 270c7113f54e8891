"""The exported site, on a bare file server, in a browser: trains, resumes, downloads."""

from __future__ import annotations

import json
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from nca import NCA, NCAConfig, recipe
from nca.checkpoint import (
    WEIGHTS,
    CheckpointInfo,
    load_checkpoint,
    save_checkpoint,
    unzip_checkpoint,
)
from nca.cli import main
from nca.config import TargetConfig
from nca.decoder_file import DECODER
from nca.evaluate import Plan, evaluate
from nca.healing import HEALED
from nca.player.models import player_model
from nca.player.site import site_files
from nca.pretrained import pretrained
from nca.ui.train.loss_plot import words

ROOT = Path(__file__).parents[2]
TRAINER = "document.querySelector('#trainer').ncaTrainer"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    assert main(["export-site", str(folder), "--checkpoint", "lizard-regenerating"]) == 0
    # Small and short enough for a test; everything else is as exported.
    page = folder / "index.html"
    text = page.read_text().replace('<option value="16">', '<option value="8">')
    text = text.replace('<option value="500">', '<option value="60">')
    text = text.replace('"pool_size": 256', '"pool_size": 8')
    page.write_text(text.replace('"steps_min": 64', '"steps_min": 24').replace(
        '"steps_max": 95', '"steps_max": 30'))  # fmt: skip
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def status(page) -> str:
    return page.evaluate(f"() => {TRAINER}.out('status').textContent")


def iteration(page) -> int:
    return page.evaluate(f"() => {TRAINER}.training?.iteration ?? 0")


def draws(page) -> None:
    """A blue stroke on the pad is the target."""
    looks = "() => document.querySelector('#target').toDataURL()"
    before = page.evaluate(looks)
    page.click("#draw summary")
    page.get_by_role("button", name="Colour blue").click()
    page.locator(".pad canvas").scroll_into_view_if_needed()
    box = page.locator(".pad canvas").bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 180, box["y"] + 180, steps=5)
    page.mouse.up()
    page.wait_for_function(f"(before) => ({looks})() !== before", arg=before)
    middle = (
        "() => [...document.querySelector('#target').getContext('2d')\n"
        ".getImageData(7, 7, 1, 1).data]"
    )
    assert page.evaluate(middle)[:3] == [0x35, 0x57, 0xA5]
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_trains_stops_resumes_and_downloads(site, chromium, tmp_path):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, accept_downloads=True)
    page = context.new_page()
    errors, elsewhere = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda r: r.url.startswith((site, "blob:")) or elsewhere.append(r.url))
    page.goto(site)
    page.wait_for_function(f"() => {TRAINER}")
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    page.select_option("#size", "8")
    page.select_option("#iterations", "60")
    draws(page)
    page.locator("#emoji button").first.click()
    page.click("#start")
    # Stopped at once: a moment later it may have finished.
    reached = f"{TRAINER}.training?.iteration >= 3"
    page.wait_for_function(f"() => {reached} && ({TRAINER}.press('stop'), true)")
    # Another tab cannot delete what this one still has.
    other = context.new_page()
    other.goto(site)
    other.wait_for_function(f"() => {TRAINER}?.training")
    other.once("dialog", lambda dialog: dialog.accept())
    other.evaluate(f"() => {TRAINER}.press('remove')")
    other.wait_for_function(
        f"() => {TRAINER}.out('status').textContent.includes('delete it there')"
    )
    other.close()
    page.wait_for_function(f"() => {TRAINER}.out('status').textContent.startsWith('Stopped')")
    stopped = iteration(page)
    assert 3 <= stopped < 60
    begun = parameters_to_vector(pretrained(recipe("quick").nca).parameters()).detach()
    moved = begun - torch.tensor(page.evaluate(f"() => [...{TRAINER}.training.weights]"))
    assert 0 < moved.abs().mean() < begun.abs().mean() / 4

    page.reload()
    page.wait_for_function(f"() => {TRAINER}?.training")
    assert iteration(page) == stopped and status(page) == "Stopped."
    page.evaluate(f"() => {TRAINER}.press('resume')")
    page.wait_for_function(
        f"() => {TRAINER}.out('status').textContent.startsWith('Finished')", timeout=60_000
    )
    assert iteration(page) == 60 and "fully busy" not in page.evaluate(
        f"() => {TRAINER}.out('cost').textContent"
    )
    with page.expect_download() as downloaded:
        page.evaluate(f"() => {TRAINER}.press('download')")
    training = page.evaluate(
        f"() => ({{ scores: {TRAINER}.training.scores, about: {TRAINER}.training.about, "
        f"verdict: {TRAINER}.out('verdict').innerText }})"
    )
    page.evaluate(f"() => {TRAINER}.press('grow')")
    shown = page.evaluate("() => document.querySelector('.nca-player').ncaPlayer.sent.series")
    assert shown == page.evaluate(f"() => {TRAINER}.training.id")
    data = downloaded.value.path().read_bytes()
    context.close()
    assert not errors and not elsewhere

    checkpoint = unzip_checkpoint(data, tmp_path / "checkpoint")
    assert checkpoint.info.title == training["about"]["title"] == "🦎"
    assert checkpoint.info.iteration == 60 and checkpoint.info.recipe == "quick"
    assert checkpoint.target is not None and checkpoint.target.shape == (14, 14, 4)
    healed = sum(score < HEALED for score in training["scores"]["damaged"].values())
    look = {"blurry": "but blurry", "alike": "and looks alike", "the same": "and looks the same"}
    grown = look[words(training["scores"]["growth"]["200"])]
    said = training["verdict"].splitlines()
    assert said == [f"Grows from one cell, {grown}", f"Heals {healed} of 5 cuts"]
    plan = Plan(lives=8, births=1, growth=(96, 200), strokes=0, angles=(), late=(), persistence=200)
    scores = evaluate(checkpoint.nca, checkpoint.target, plan=plan)
    found = training["scores"]
    # The target was rounded to 8 bits; everything else is the same.
    for step, score in scores.growth.items():
        assert found["growth"][str(step)] == pytest.approx(score, abs=0.02)
    for cut, how in scores.damaged.items():
        assert found["damaged"][cut] == pytest.approx(how.score, abs=0.02)
    assert checkpoint.metrics["scores"].keys() <= scores.summary().keys()


def test_each_checkpoint_has_a_file_and_an_address_of_its_own(tmp_path, monkeypatch):
    folders = [tmp_path / name for name in ("a/run", "b/run", "a #1 ü%", "here")]
    for number, folder in enumerate(folders):
        nca = NCA(NCAConfig(channels=6, hidden=(8,)), init_seed=number)
        about = CheckpointInfo(title=f"Number {number}")
        save_checkpoint(folder, nca, about, torch.rand(8, 8, 4), preview=False)
    monkeypatch.chdir(folders.pop())
    files = site_files([*folders, Path(".")], emoji=())
    made = {
        name: json.loads(data)["title"] for name, data in files.items() if "checkpoints" in name
    }
    assert made == {
        "checkpoints/run.json": "Number 0", "checkpoints/run-2.json": "Number 1",
        "checkpoints/a-1-ü.json": "Number 2", "checkpoints/here.json": "Number 3",
    }  # fmt: skip


def test_another_folder_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("dear")
    assert main(["export-site", str(tmp_path), "--checkpoint", "lizard-regenerating"]) == 2
    assert "empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_checkpoint_of_the_hub_is_shown_when_the_address_names_it(site, chromium, tmp_path):
    """As Python reads it, with its decoder unless that was fitted to other weights."""
    other, lizard = (ROOT / f"checkpoints/{name}-regenerating" for name in ("tree", "lizard"))
    zoo = NCA(NCAConfig(channels=9, hidden=(16,), step_size=0.5, kinds=2), init_seed=1)
    two = CheckpointInfo(target=TargetConfig(emoji="🦎", more=("🐠",)))
    save_checkpoint(tmp_path / "zoo", zoo, two, preview=False)
    weights, fine = ((lizard / name).read_bytes() for name in (WEIGHTS, DECODER))
    there = {
        "ann/lizard": (weights, fine),
        "ann/zoo": ((tmp_path / "zoo" / WEIGHTS).read_bytes(), None),
        "ann/other": ((other / WEIGHTS).read_bytes(), fine),
        "ann/broken": (weights[:-4], None),
        "ann/blurred": (weights, fine[:-2]),
    }
    page = chromium.new_page()

    def serve(route):
        *_, user, name, _, _, file = route.request.url.split("/")
        body = there[f"{user}/{name}"][file == DECODER]
        headers = {"Access-Control-Allow-Origin": "*"}
        route.fulfill(status=200 if body else 404, body=body or "", headers=headers)

    page.route("https://huggingface.co/**", serve)
    sent = "document.querySelector('.nca-player').ncaPlayer?.sent"

    def shown(name: str) -> dict:
        page.goto(f"{site}?checkpoint={name}")
        page.wait_for_function(f"() => {sent}?.version")
        return page.evaluate(f"() => {sent}")

    for name, saved in (("lizard", lizard), ("zoo", tmp_path / "zoo")):
        found, expected = shown(f"ann/{name}"), player_model(load_checkpoint(saved))
        assert found["series"] == f"ann/{name}"
        expected["config"] = {"kinds": 0} | expected["config"]  # left out where it is 0
        for part in ("weights", "decoder", "config", "kinds", "height", "fire_threshold"):
            assert found[part] == expected[part], part
    buttons = "document.querySelector('.nca-player').ncaPlayer.ui.kinds.querySelectorAll('button')"
    page.wait_for_function(f"() => {buttons}.length === 2")
    assert shown("ann/other")["decoder"] is None
    for name in ("broken", "blurred"):
        assert shown(f"ann/{name}")["series"] is None  # the first of the shelf instead
        assert "damaged" in page.inner_text("#missing")
    page.close()


NO_STORAGE = "indexedDB.open = () => { throw new DOMException('no', 'SecurityError'); };"
FULL = """IDBObjectStore.prototype.put = function () {
  this.transaction.abort();
  throw new DOMException('full', 'QuotaExceededError');
};"""
NO_SIMD = "WebAssembly.compile = () => Promise.reject(new Error('no SIMD'));"


@pytest.mark.long
@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        (NO_STORAGE, "This browser keeps nothing for this page"),
        (FULL, "This browser's storage is full"),
        (NO_SIMD, "does not run WebAssembly with SIMD"),
    ],
    ids=["private", "full", "no-simd"],
)
def test_what_a_browser_lacks_is_said_in_one_sentence(site, chromium, missing, sentence):
    """The browser is changed, on the page and in its workers, which are made of blobs."""
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.add_init_script(
        f"{'' if missing == NO_SIMD else missing} const Made = Blob;"
        "Blob = function (parts, options) { return new Made(options?.type === 'text/javascript' ? "
        f"[{missing!r}, ...parts] : parts, options); }};"
    )
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(site)
    page.wait_for_function(f"() => {TRAINER}")
    page.select_option("#size", "8")
    page.select_option("#iterations", "60")
    page.click("#start")
    page.wait_for_function(
        f"(text) => {TRAINER}.out('status').textContent.includes(text)", arg=sentence
    )
    if missing != NO_SIMD:  # it trains all the same, to the end
        page.wait_for_function(f"() => {TRAINER}.training.finished", timeout=60_000)
        assert page.evaluate(f"() => {TRAINER}.training.iteration") == 60
    context.close()
    assert not errors
