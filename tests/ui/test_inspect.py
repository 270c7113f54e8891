"""How it works: the story, and below it a life of the shipped lizard, from all sides."""

import base64
import io
import json

import numpy as np
import pytest
import torch
from PIL import Image

from nca.checkpoint import load_checkpoint
from nca.healing import healing_map
from nca.render import to_rgba8
from nca.scorecard import map_cells
from tests.ui.visit import Visit

LIZARD = "checkpoints/lizard-regenerating"
STORY = "document.querySelector('.nca-story')?.ncaStory"
PATIENCE = 120  # seconds; a busy machine grows a life slowly


def picture(page: Visit, selector: str = ".life img") -> np.ndarray:
    """A picture of the stage, uint8 [H, W, channels], a pixel per cell."""
    source = page.page.locator(selector).get_attribute("src")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def shown_step(page: Visit) -> int:
    return int(page.page.locator(".whole figcaption").inner_text().split()[1])


def titles(page: Visit) -> list[str]:
    return page.page.locator("#inspect-traces figcaption b").all_inner_texts()


def drawn(page: Visit) -> list[str]:
    """Names of the lines in the first chart."""
    paths = page.page.locator("#inspect-traces figure").first.locator("path")
    return paths.evaluate_all("(all) => all.map((path) => path.dataset.line)")


def name(page: Visit, line: str):
    return page.page.locator("#inspect-traces .legend").get_by_role("button", name=line, exact=True)


def glaring(page: Visit, selector: str) -> list[str]:
    """The names of pictures that are mostly white as the window shows them."""
    shown = np.asarray(Image.open(io.BytesIO(page.page.screenshot(full_page=True))).convert("L"))
    boxes = page.page.locator(selector).evaluate_all(
        """(all) => all.map((picture) => {
          const { left, top, right, bottom } = picture.getBoundingClientRect();
          return [picture.alt, ...[top + scrollY, bottom + scrollY, left, right].map(Math.round)];
        })"""
    )
    assert len(boxes) > 10
    inside = [(name, shown[t:b, left:r]) for name, t, b, left, r in boxes if left < shown.shape[1]]
    return [name for name, pixels in inside if pixels.mean() > 140]


def story(page: Visit, expression: str) -> object:
    """Something of the story, such as "chapter" or "toggle()"; None before it is there."""
    return page.page.evaluate(f"{STORY}?.{expression}")


def steps(page: Visit, number: int) -> None:
    """Make so many steps in the chapter at hand, and draw what they lead to."""
    page.page.evaluate(
        f"(() => {{ const s = {STORY}; for (let i = 0; i < {number}; i++) s.now.step(s);"
        " s.changed(); })()"
    )
    page.page.wait_for_timeout(150)


def state(page: Visit, life: str = "life") -> torch.Tensor:
    """The state of an automaton in the story, float32 [1, H, W, C]."""
    values = story(page, f"{life}.run.engine.read().join()")
    return torch.tensor([float(v) for v in values.split(",")]).view(1, 72, 72, -1)


def in_story(visit, width: int, height: int = 844, **options: object) -> Visit:
    page = visit(width, height, **options)
    page.tab("How it works")
    page.until(lambda: story(page, "run.model.channels"))
    return page


def opened(visit, width: int, **options: object) -> Visit:
    page = in_story(visit, width, **options)
    page.page.get_by_text("For experts").click()
    page.until(lambda: page.page.locator("#inspect-weights img").count(), PATIENCE)
    page.until(lambda: page.page.locator("#inspect-traces path").count())
    return page


def test_the_story_is_told_in_the_browser(visit):
    page = in_story(visit, 1280, 800)
    title = page.page.locator("#story h2")
    asked = len(page.requests)
    seen = set()
    for chapter in range(8):
        assert story(page, "chapter") == chapter
        seen.add(title.inner_text())
        before = story(page, "run.t")
        page.until(lambda before=before: story(page, "run.t") > before)
        page.snap(f"story-{chapter + 1}-1280")
        assert page.fits()
        if chapter in (1, 4):
            page.page.get_by_role("button", name="Next", exact=True).click()
        else:
            page.page.keyboard.press("ArrowRight")
    assert len(seen) == 8 and page.page.locator("#story .living").count() == 3
    page.page.keyboard.press(" ")
    at = story(page, "run.t")
    page.page.wait_for_timeout(300)
    assert story(page, "run.t") == at and not story(page, "playing")

    # The last chapter: of three lizards, one has fallen apart and one has healed.
    page.page.keyboard.press("r")
    steps(page, 540)
    target = load_checkpoint(LIZARD).target
    errors = [
        float(((state(page, f"lives[{i}]")[0, ..., :4] - target) ** 2).mean().log10())
        for i in range(3)
    ]
    assert errors[0] > -2 and errors[1] > -2 and errors[2] < -3
    captions = page.page.locator("#story figcaption").all_inner_texts()
    assert [text.split()[0] for text in captions] == ["Growing", "Persistent", "Regenerating"]

    # A cut is drawn with the pointer, and heals.
    page.page.keyboard.press("7")
    steps(page, 20)
    whole = state(page)
    box = page.page.locator("#story .living").bounding_box()
    side = box["width"] / 72
    page.page.mouse.move(box["x"] + 20 * side, box["y"] + 36 * side)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 52 * side, box["y"] + 36 * side)
    page.page.mouse.up()
    hurt = state(page)
    assert hurt[0, 34:39, 20:52].abs().sum() == 0 and (hurt[0, :30] == whole[0, :30]).all()
    steps(page, 200)
    assert ((state(page) - whole)[..., :4] ** 2).mean().log10() < -3
    assert page.page.locator("#story figcaption").last.inner_text() == "Healed"

    # What a chosen cell perceives and answers is what the library computes.
    page.page.keyboard.press("3")
    page.page.keyboard.press("Shift+ArrowLeft")
    cell = story(page, "cell")
    page.page.keyboard.press("Shift+ArrowDown")
    assert story(page, "cell") == {"x": cell["x"], "y": cell["y"] + 1}
    found = story(page, "thoughts()")
    perceptions, answers = found["perceived"], found["layers"][-1]
    nca, x, at = load_checkpoint(LIZARD).nca, state(page), (cell["y"] + 1, cell["x"])
    with torch.no_grad():
        perceived = nca.perceive(x)[0][at]
        for layer in nca.layers[:-1]:
            hidden = torch.relu(layer(perceived))
        update = nca.layers[-1](hidden)
    assert perceptions == pytest.approx(perceived.tolist(), abs=1e-4)
    assert answers == pytest.approx(update.tolist(), abs=1e-4)
    assert page.barriers() == [] and page.fits_everywhere("story")
    # All of it without the server.
    assert page.requests[asked:] == [] and page.errors == []


@pytest.mark.long
def test_the_story_on_a_phone_without_motion(visit):
    page = visit(
        390, 844, tab=None, query="#how-it-works/3",
        has_touch=True, reduced_motion="reduce", color_scheme="dark",
    )  # fmt: skip
    page.until(lambda: story(page, "run.model.channels"))
    assert story(page, "chapter") == 2  # every chapter has an address
    page.page.evaluate("location.hash = '#how-it-works/6'")
    page.until(lambda: story(page, "chapter") == 5)
    for chapter in range(8):
        page.page.get_by_role("button", name=f"Chapter {chapter + 1}: ").tap()
        page.until(lambda chapter=chapter: story(page, "chapter") == chapter)
        assert page.page.evaluate("location.hash") == f"#how-it-works/{chapter + 1}"
        at = story(page, "run.t")
        assert at > 0 and not story(page, "playing")
        page.page.wait_for_timeout(150)
        page.snap(f"story-{chapter + 1}-390")
        assert story(page, "run.t") == at and page.fits()
        assert story(page, "host.getBoundingClientRect().height") < 844
    page.page.get_by_role("button", name="Play").tap()
    page.until(lambda: story(page, "run.t") > at)
    assert page.errors == [] and page.barriers() == []


def test_a_life_step_by_step(visit):
    page = opened(visit, 1280)
    nca = load_checkpoint(LIZARD).nca
    states = nca.grow(nca.seed(1, 72), 120, 1, all_steps=True)[:, 0]
    assert shown_step(page) == 60 and (picture(page) == to_rgba8(states[60])).all()
    for rate in (25, 50, 75):
        fires = picture(page, f'img[alt="Cells that fire at a rate of {rate}%"]')[..., 0] < 128
        assert fires.mean() == pytest.approx(rate / 100, abs=0.04)
    page.snap("inspect-1280")

    # The slider moves the picture, and the mark in the charts.
    mark = page.page.locator("#inspect-traces .now").first
    before = float(mark.get_attribute("x1"))
    page.number("#inspect-step", 120)
    page.until(lambda: shown_step(page) == 120)
    assert (picture(page) == to_rgba8(states[120])).all()
    page.page.locator("#inspect-step input[type=range]").press("ArrowLeft")
    page.until(lambda: shown_step(page) == 119)
    assert float(mark.get_attribute("x1")) > before

    # A click follows a cell, another one lets it go; the keyboard can do the same.
    assert [title.split(",")[0][4:] for title in titles(page)] == ["centre", "midway", "edge"]
    life = page.page.locator(".life")
    side = life.bounding_box()["width"] / 72
    at = {"x": (30 + 0.5) * side, "y": (25 + 0.5) * side}
    life.click(position=at)
    page.until(lambda: len(titles(page)) == 4)
    assert titles(page)[-1] == "4 · chosen, row 25, column 30"
    sent = json.loads(page.page.locator("#inspect-traces line-charts").get_attribute("data-charts"))
    assert sent["charts"][3]["lines"][3][:121] == pytest.approx(
        states[:, 25, 30, 3].tolist(), rel=0.01, abs=1e-3
    )
    assert page.page.locator(".marks i").count() == 4
    life.press("ArrowRight")
    life.press("Enter")
    page.until(lambda: len(titles(page)) == 5)
    assert titles(page)[-1] == "5 · chosen, row 25, column 31"
    life.click(position=at)
    page.until(lambda: len(titles(page)) == 4)

    # Lines toggle and isolate, and stay so when the charts change.
    everything = drawn(page)
    assert len(everything) == nca.config.channels
    name(page, "red").click()
    assert drawn(page) == everything[1:]
    name(page, "hidden 2").dblclick()
    assert drawn(page) == ["hidden 2"]
    life.click(position={"x": 20.5 * side, "y": 20.5 * side})
    page.until(lambda: len(titles(page)) == 5)
    assert drawn(page) == ["hidden 2"]
    name(page, "hidden 2").click(modifiers=["Shift"])
    assert drawn(page) == everything
    name(page, "alpha").press("Enter")
    assert name(page, "alpha").get_attribute("aria-pressed") == "false"
    page.page.get_by_role("button", name="Show all").first.click()
    assert drawn(page) == everything

    # A click in a chart goes to its step.
    chart = page.page.locator("#inspect-traces svg").first
    chart.click(position={"x": chart.bounding_box()["width"] * 0.5, "y": 60})
    page.until(lambda: 130 < shown_step(page) < 170)
    assert page.fits() and page.errors == [] and page.barriers() == []

    # In dark mode no picture is a white box, on any screen.
    page.page.emulate_media(color_scheme="dark")
    for width, height in ((1920, 1080), (390, 844)):
        page.page.set_viewport_size({"width": width, "height": height})
        page.snap(f"inspect-{width}-dark")
        assert glaring(page, "#inspect-tab .cells") == [] and page.fits()


@pytest.mark.long
def test_damage_on_a_phone(visit):
    page = opened(visit, 390, has_touch=True)
    page.number("#inspect-step", 150)
    page.until(lambda: shown_step(page) == 150)
    whole = picture(page)
    assert whole[:, :36, 3].any() and whole[:, 36:, 3].any()
    page.page.locator("#inspect-damage input").tap()
    page.page.get_by_role("option", name="Left half").tap()
    page.until(lambda: not picture(page)[:, :36, 3].any(), PATIENCE)
    assert (picture(page)[:, 36:] == whole[:, 36:]).all()
    name(page, "hidden 6").tap()
    channels = load_checkpoint(LIZARD).nca.config.channels
    page.until(lambda: len(drawn(page)) == channels - 1)  # a tap becomes a click a moment later
    assert "hidden 6" not in drawn(page)
    life = page.page.locator(".life")
    life.tap(position={"x": 200, "y": 150})
    page.until(lambda: len(titles(page)) == 4)
    assert page.page.locator("#inspect-curves path").count() == 8
    assert page.fits()
    page.snap("inspect-390")
    assert page.errors == []


@pytest.mark.long
def test_the_healing_map_is_the_librarys(visit):
    page = opened(visit, 390, has_touch=True)
    page.page.get_by_role("button", name="Show where it heals").click()
    page.until(lambda: page.page.locator("#inspect-map img").count(), PATIENCE)
    found = healing_map(load_checkpoint(LIZARD).nca, (72, 72))
    assert (picture(page, "#inspect-map img") == np.asarray(map_cells(found))).all()
    assert f"{found.share:.0%} of them closed" in page.page.locator("#inspect-map").inner_text()
    assert page.page.locator("#inspect-map li").count() == 5
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    page.page.emulate_media(color_scheme="dark")
    assert glaring(page, "#inspect-tab .cells") == []
    page.snap("inspect-map-390")
