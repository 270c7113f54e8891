"""The main job, small: a picture becomes an automaton that grows, is wounded and downloaded."""

import io
import zipfile

import numpy as np
from conftest import Visit
from PIL import Image, ImageSequence
from server import serve

START = 150  # seconds; a fresh checkout compiles its kernels first


def test_train_stop_resume_grow_wound_download(visit, server):
    page = visit()
    page.page.locator("#emoji-row button").nth(6).click()
    page.tiny(4000)
    page.wait("#target", "24 × 24 cells")
    page.page.locator("#start").click()
    page.wait("#status", r"[1-9]\d* of 4.000 iterations", START)
    assert not page.page.locator("#start").is_enabled()

    # It is seen to train.
    page.page.locator("#loss canvas, #loss svg").first.wait_for()
    plot, sheet = page.page.locator("#loss").screenshot(), page.picture("#sheets")
    page.until(lambda: page.page.locator("#loss").screenshot() != plot)
    page.until(lambda: page.picture("#sheets") != sheet)
    page.page.locator("#portraits img").nth(1).wait_for(timeout=60_000)
    page.snap("training-1280")

    # Another visitor sees nothing of it and queues behind.
    other = visit(390, 844)
    other.wait("#status", "Nothing is growing")
    other.tiny(20)
    other.page.locator("#start").click()
    other.wait("#status", "One training before yours")
    other.snap("queued-390")
    other.page.on("dialog", lambda dialog: dialog.accept())
    other.page.locator("#delete").click()
    other.wait("#status", "Nothing is growing")

    # Coming back finds the job.
    page.open()
    page.wait("#status", "Training")
    page.page.locator("#stop").click()
    page.wait("#status", "Stopped", 60)
    done = page.iteration()
    assert page.page.locator("#resume").is_enabled() and page.page.locator("#start").is_enabled()
    page.page.locator("#resume").click()
    page.wait("#status", "Training", START)
    page.until(lambda: page.iteration() > done, START)

    # "Grow it" opens the other tab on the newest weights while it trains.
    page.page.locator("#grow-it").click()
    page.wait("#stage", r"Step\s+200")
    page.page.locator("#again").click()
    page.wait("#stage", r"Step\s+0")
    page.number("#steps", 40)
    page.page.locator("#grow").click()
    page.wait("#stage", r"Step\s+40")
    whole = page.picture("#stage")
    page.page.locator("#wound-half-left").click()
    page.until(lambda: page.picture("#stage") != whole)
    page.snap("wounded-1280")
    page.page.locator("#grow").click()
    page.wait("#stage", r"Step\s+80")
    healed = page.picture("#stage")
    page.page.locator("#stage img").click(position={"x": 250, "y": 250})
    page.until(lambda: page.picture("#stage") != healed)
    page.snap("grown-1280")

    frames = by_step(download(page, "gif", "lady-beetle.gif"))
    assert len(frames) == 81
    assert sum((a != b).any() for a, b in zip(frames, frames[1:], strict=False)) > 40
    height, width = frames[0].shape[:2]
    alpha = [frame[..., 3] for frame in frames]
    assert (alpha[0] > 0).sum() == (height // 24) ** 2  # the seed, one cell
    assert alpha[39].any() and not alpha[40][:, : width // 2].any()
    assert not alpha[80][height // 2, width // 2]  # where the click erased

    for kind, name in (("webp", ".webp"), ("apng", ".png")):
        film = Image.open(io.BytesIO(download(page, kind, f"lady-beetle{name}")))
        assert film.n_frames > 40
    assert download(page, "mp4", "lady-beetle.mp4")[4:8] == b"ftyp"
    names = zipfile.ZipFile(io.BytesIO(download(page, "zip", "lady-beetle.zip"))).namelist()
    assert {"model.safetensors", "target.png"} <= set(names)

    page.tab("Train")
    page.page.once("dialog", lambda dialog: dialog.dismiss())
    page.page.locator("#delete").click()
    page.wait("#status", "Training")
    page.page.once("dialog", lambda dialog: dialog.accept())
    page.page.locator("#delete").click()
    page.wait("#status", "Nothing is growing")
    assert page.errors == [] and other.errors == []


def download(page, kind: str, name: str) -> bytes:
    with page.page.expect_download() as waiting:
        page.page.locator(f"#download-{kind}").click()
    assert waiting.value.suggested_filename == name
    with open(waiting.value.path(), "rb") as file:
        return file.read()


def by_step(gif: bytes) -> list[np.ndarray]:
    """One RGBA frame per 40 ms; Pillow stores equal neighbours as one that lasts longer."""
    frames = []
    for frame in ImageSequence.Iterator(Image.open(io.BytesIO(gif))):
        frames += [np.asarray(frame.convert("RGBA"))] * (frame.info["duration"] // 40)
    return frames


def test_phone(visit):
    """The whole way on a phone: nothing overflows once there is something to see."""
    page = visit(390, 844, has_touch=True)
    page.tiny(30)
    page.page.locator("#start").tap()
    page.wait("#status", "Finished", START)
    page.page.locator("#portraits img").nth(1).wait_for()
    assert page.fits()
    page.snap("finished-390")
    page.page.locator("#grow-it").tap()
    page.wait("#stage", r"Step\s+200")
    page.snap("grown-390")
    assert page.fits()


def test_a_page_goes_on_when_its_server_was_killed(tmp_path, chromium):
    """kill -9, start again: the open page shows the same training going on, without a reload."""
    context = chromium.new_context()
    with serve(tmp_path) as first:
        page = Visit(context.new_page(), first.url)
        page.tiny(100_000)
        page.page.locator("#start").click()
        page.wait("#status", "iterations/s", START)
        done = page.iteration()
        first.process.kill()
        first.process.wait()
    with serve(tmp_path, first.port) as second:
        page.until(lambda: page.iteration() > done + 50, START)
        page.page.locator("#stop").click()
        page.wait("#status", "Stopped")
        assert len(second.jobs()) == 1
    context.close()
