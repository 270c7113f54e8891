"""The main job, small: a picture becomes an automaton that grows, is damaged and downloaded."""

import io
import re
import zipfile

import numpy as np
import pytest
from PIL import Image, ImageSequence

from tests.ui.server import serve
from tests.ui.visit import Visit

START = 150  # seconds; a fresh checkout compiles its kernels first


def test_train_stop_resume_grow_damage_download(visit, server):
    page = visit()
    page.page.locator("#emoji-row button").nth(6).click()
    page.tiny(100_000)  # more than a fast machine is through with before it is stopped
    page.wait("#target", "Grid 24 × 24")
    page.page.locator("#start").click()
    page.wait("#status", r"[1-9]\d* of 100.000 iterations", START)

    # The form is folded, and says why it cannot be sent.
    assert not page.page.locator("#start").is_visible()
    page.unfold()
    assert not page.page.locator("#start").is_enabled()
    page.wait("#why", "one at a time: stop 🐞 Lady beetle")
    page.page.get_by_text("Train another").click()

    # It is seen to train: growing, the target, healing; the loss in words; the pool.
    page.wait("#loss", "now −[\\s\\S]*(blurry|alike|the same)")
    page.page.locator("#sheets img").first.wait_for()
    line, sheet = page.page.locator("#loss .line"), page.picture("#sheets")
    drawn = line.get_attribute("d")
    page.until(lambda: line.get_attribute("d") != drawn)
    page.until(lambda: page.picture("#sheets") != sheet)
    page.page.locator("#portraits img").nth(2).wait_for()
    assert page.fits_everywhere("training")

    # Another visitor sees nothing of it and queues behind.
    other = visit(390, 844)
    other.wait("#status", "Nothing is growing")
    other.tiny(20)
    other.page.get_by_label("Title").first.fill("W" * 60)
    other.page.locator("#start").click()
    other.wait("#status", "One training before yours")
    other.snap("queued-390")
    assert other.fits()
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
    assert not page.page.locator("#start").is_visible()
    page.page.locator("#resume").click()
    page.wait("#status", "Training", START)
    page.until(lambda: page.iteration() > done, START)

    # "Grow it" opens the other tab on the newest weights while it trains: one cell becomes many.
    page.page.locator("#grow-it").click()
    page.grows(20)
    page.grown(0)
    assert alive(page) == 1
    page.grown(24)
    assert alive(page) > 8

    # Newer weights flow into the canvas; the life in it stays, and goes on with them.
    page.wait("#watching", "still trains")
    life, first = page.canvas(), page.player("run.model.version")
    page.until(lambda: page.player("run.model.version") != first, START)
    assert page.player("step") == 24 and (page.canvas() == life).all()
    assert page.player("run.events.at(-1)[1]") == "model"
    page.player("advance(8)")
    assert (page.canvas() != life).any()
    page.snap("watching-1280")

    # Damaged by a button, then by a drag; it grows on in between.
    page.tab("Train")
    page.page.locator("#stop").click()
    page.wait("#status", "Stopped", 60)
    page.page.locator("#grow-it").click()
    page.until(lambda: not page.page.locator("#watching p").count())
    page.grown(40)
    whole = page.canvas()
    page.page.get_by_role("button", name="Damage: left half").click()
    cut = page.canvas()
    assert (whole[:, :12] != cut[:, :12]).any() and (whole[:, 12:] == cut[:, 12:]).all()
    page.snap("damaged-1280")
    page.player("advance(40)")
    page.page.mouse.move(*page.cell(8, 12))
    page.page.mouse.down()
    page.page.mouse.move(*page.cell(16, 12), steps=4)
    page.page.mouse.up()
    assert {"box", "erase"} <= {event[1] for event in page.player("run.events")}

    # The film is what was seen.
    page.page.get_by_text("Film: part, format, size, ground").click()
    page.page.locator("#film-part").get_by_text("The whole life").click()
    page.page.locator("#film-cut input").uncheck()
    page.page.wait_for_timeout(500)  # the form has just been unfolded: Gradio fills it in
    page.number("#film-speed", 1.25)  # one step a frame
    film_name = "lady-beetle-whole-life"
    frames = by_step(film_of(page, "GIF", f"{film_name}.gif"))
    assert len(frames) == 1 + 81 + 25 and (frames[0] == frames[-1]).all()  # see nca/film.py
    frames = frames[1:82]
    assert sum((a != b).any() for a, b in zip(frames, frames[1:], strict=False)) > 40
    height, width = frames[0].shape[:2]
    alpha = [frame[..., 3] for frame in frames]
    assert (alpha[0] > 0).sum() == (height // 24) ** 2  # the seed, one cell
    assert alpha[39].any() and not alpha[40][:, : width // 2].any()
    assert (alpha[41:79] != alpha[40]).any()  # it went on
    side = height // 24
    assert not alpha[80][12 * side : 13 * side, 8 * side : 17 * side].any()  # the drag

    for kind, name in (("WebP", ".webp"), ("APNG", ".png")):
        film = Image.open(io.BytesIO(film_of(page, kind, film_name + name)))
        assert film.n_frames > 40
    # The last frame is what the canvas shows, but for colours brighter than their own alpha or
    # darker than black; an automaton that has trained for a moment only has many of them.
    film.seek(film.n_frames - 1)
    last = np.asarray(film.convert("RGBA"))[side // 2 :: side, side // 2 :: side].astype(float)
    share = last[..., 3:] / 255
    shown = last[..., :3] * share + 255 * (1 - share)
    # Nor are faint cells compared, whose colour is a rough number.
    exact = (last[..., :3] > 2) & (last[..., :3] < 253) & (last[..., 3:] > 100)
    assert exact.any() and np.abs(shown - page.canvas())[exact].mean() < 1.5
    assert film_of(page, "MP4", f"{film_name}.mp4")[4:8] == b"ftyp"
    page.page.locator("#film-part").get_by_text("The last damage").click()
    svg = film_of(page, "Picture (SVG)", "lady-beetle-step-80.svg")
    assert svg.startswith(b"<svg") and page.page.locator("#film img").is_visible()
    assert page.fits_everywhere("film")
    names = zipfile.ZipFile(io.BytesIO(download(page, "zip", "lady-beetle.zip"))).namelist()
    assert {"model.safetensors", "target.png"} <= set(names)
    assert b"mountPlayer" in download(page, "player", "lady-beetle.html")

    page.tab("Train")
    page.answer("#delete", False)
    page.wait("#status", "Stopped")
    page.answer("#delete", True)
    page.wait("#status", "Nothing is growing")
    assert page.errors == [] and other.errors == []


def alive(page) -> int:
    """How many cells of the canvas are alive."""
    found = "run.engine.read().filter((value, at) => at % 8 === 3 && value > 0.1).length"
    return page.player(found)


def film_of(page, kind: str, name: str) -> bytes:
    page.page.locator("#film-format").get_by_text(kind, exact=True).click()
    with page.page.expect_download() as waiting:
        page.page.locator("#save-film").click()
    assert waiting.value.suggested_filename == name
    with open(waiting.value.path(), "rb") as file:
        return file.read()


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
    assert in_first_screen(page, "#start")
    page.tiny(30)
    page.page.locator("#start").tap()
    said = page.wait("#status", "Finished", START)
    assert re.search(r"Grows[\s\S]*Holds[\s\S]*Heals \d+ of 20 swipes", said)
    assert in_first_screen(page, "#status") and in_first_screen(page, "#grow-it")
    page.page.locator("#portraits img").nth(2).wait_for()
    assert page.fits()
    page.snap("finished-390")
    with page.page.expect_download() as waiting:
        page.page.locator("#job-film").tap()
    assert waiting.value.suggested_filename == "lizard.gif"
    page.page.locator("#grow-it").tap()
    page.grows(20)
    page.grown(20)
    page.page.touchscreen.tap(*page.cell(12, 12))
    # A tap may last longer than a frame, and a finger that rests goes on erasing.
    assert set(page.player("run.events.map((event) => event[1])")) == {"erase"}
    page.snap("grown-390")
    assert page.fits()
    # A phone shows the film and asks what to do with it; the part is a new life.
    page.page.locator("#save-film").tap()
    page.page.locator("#film img").wait_for()
    assert page.fits()
    with page.page.expect_download() as waiting:
        page.page.locator("#film").get_by_text("Download").tap()
    assert waiting.value.suggested_filename.endswith("-grows-and-heals.gif")
    assert Image.open(waiting.value.path()).n_frames > 4


def in_first_screen(page, selector: str) -> bool:
    page.page.evaluate("scrollTo(0, 0)")
    box = page.page.locator(selector).bounding_box()
    return box["y"] + box["height"] <= page.page.viewport_size["height"]


def test_start_in_the_first_screen_and_a_question_before_two_days(visit):
    page = visit(1280, 800)
    assert in_first_screen(page, "#start")
    page.page.get_by_text("Recipes of others").click()
    page.page.get_by_role("button", name="jax-nca").click()
    page.until(lambda: page.page.locator("#intents [aria-pressed=true]").count() == 0)
    page.page.locator("#start").click()
    page.wait("#why", "This takes .*days")
    assert page.page.locator("#start-anyway").is_visible()
    page.page.locator("#emoji-row button").nth(1).click()  # the lizard is empty in the middle
    page.page.get_by_role("button", name="Photo").click()
    page.wait("#target", "Grid 64 × 64")
    page.until(lambda: not page.page.locator("#start-anyway").is_visible())
    assert page.errors == []


@pytest.mark.long
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


def test_train_in_the_browser_and_grow_it(visit):
    """No job on the server: the page's own workers train, and the result is on the shelf."""
    someone = visit()
    page, trainer = (
        someone.page,
        "document.querySelector('#browser-trainer .nca-trainer').ncaTrainer",
    )
    someone.tiny(iterations=12)
    someone.wait("#where", r"On the server \(queue: \d+\)")
    page.locator("#where").get_by_label("in this browser").check()
    for only_there in ("#sharpen", "#device"):
        page.locator(only_there).wait_for(state="hidden")
    page.locator("#start").click()
    page.locator("#browser-trainer").get_by_text("Finished after").wait_for()
    page.locator("#browser-trainer").get_by_text("12 of 12", exact=True).wait_for()
    assert page.evaluate(f"() => {trainer}.training.scores.growth[96] < 0")
    someone.open(tab=None)  # who has a training comes back to it
    page.get_by_role("tab", name="Train", exact=True, selected=True).wait_for()
    page.locator("#browser-trainer").get_by_role("button", name="Play").click()
    page.locator("#shelf").get_by_text("Mine").wait_for()
    page.wait_for_function(
        "() => document.querySelector('#nca-player .nca-player').ncaPlayer?.sent.height === 24"
    )
    someone.tab("Train")
    page.set_viewport_size({"width": 390, "height": 500})  # the form is far below
    page.locator("#browser-trainer").get_by_role("button", name="Share").click()
    someone.until(lambda: "Mine" in page.locator("#push-what input").input_value())
    page.get_by_role("tab", name="Share", exact=True, selected=True).wait_for()
    in_sight = "document.getElementById('push-what').getBoundingClientRect().bottom <= innerHeight"
    page.wait_for_function(in_sight)
    someone.tab("Train")
    someone.answer("#browser-trainer [data-act=remove]", accept=True)
    page.wait_for_function("() => !localStorage.getItem('nca-garden-trains-here')")
    assert not someone.errors
