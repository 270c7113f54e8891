"""The Inspect tab: a life of the shipped lizard, from all sides."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from nca.checkpoint import load_checkpoint
from nca.healing import healing_map
from nca.render import to_rgba8
from nca.scorecard import map_cells
from tests.ui.visit import Visit

LIZARD = "checkpoints/lizard-regenerating"
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


def opened(visit, width: int, **options: object) -> Visit:
    page = visit(width, 844, **options)
    page.tab("Inspect")
    page.until(lambda: page.page.locator("#inspect-weights img").count(), PATIENCE)
    page.until(lambda: page.page.locator("#inspect-traces path").count())
    return page


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
    assert len(everything) == 16
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
    assert page.fits() and page.errors == []


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
    page.until(lambda: len(drawn(page)) == 15)  # a tap becomes a click a moment later
    assert "hidden 6" not in drawn(page)
    life = page.page.locator(".life")
    life.tap(position={"x": 200, "y": 150})
    page.until(lambda: len(titles(page)) == 4)
    assert page.page.locator("#inspect-curves path").count() == 8
    assert page.fits()
    page.snap("inspect-390")
    assert page.errors == []


def test_the_healing_map_is_the_librarys(visit):
    page = opened(visit, 390, has_touch=True)
    page.page.get_by_role("button", name="Show where it heals").click()
    page.until(lambda: page.page.locator("#inspect-map img").count(), PATIENCE)
    found = healing_map(load_checkpoint(LIZARD).nca, (72, 72))
    assert (picture(page, "#inspect-map img") == np.asarray(map_cells(found))).all()
    assert f"{found.share:.0%} of them closed" in page.page.locator("#inspect-map").inner_text()
    assert page.page.locator("#inspect-map li").count() == 5
    assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
    page.snap("inspect-map-390")
