"""Several pictures for one automaton, from the Train tab to the player."""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw


@pytest.mark.long
def test_a_visitor_trains_one_automaton_on_several_pictures(visit, tmp_path):
    visitor = visit()
    page = visitor.page
    tray, another = page.locator(".tray figure"), page.locator("#another")
    page.locator("#target img").first.wait_for()
    another.click()
    visitor.until(lambda: tray.count() == 1)
    for number, symbol in enumerate("🐠🌵", 2):
        page.locator(f'#emoji-row button[data-emoji="{symbol}"]').click()
        visitor.until(lambda number=number: tray.count() == number)
    assert page.locator("#emoji-row [aria-pressed=true]").count() == 3
    page.locator('.tray button[data-remove="2"]').click()
    visitor.until(lambda: tray.count() == 2)
    assert page.locator("#emoji-row [aria-pressed=true]").count() == 2

    ball = Image.new("RGBA", (200, 200))
    ImageDraw.Draw(ball).ellipse((20, 20, 180, 180), fill=(200, 40, 90, 255))
    ball.save(tmp_path / "ball.png")
    page.get_by_role("tab", name="Upload").click()
    page.locator("#upload input[type=file]").set_input_files(tmp_path / "ball.png")
    page.get_by_role("button", name="Add this picture").click()
    visitor.until(lambda: tray.count() == 3)
    visitor.wait("#intents", "Zoo")
    assert not visitor.barriers()

    visitor.tiny(12)
    page.locator("#start").click()
    visitor.wait("#status", "Finished", 300)
    assert "🦎, 🐠, ball" in page.locator("#status").inner_text()
    visitor.until(lambda: page.locator("#loss .kinds li").count() == 3)
    assert "a row for each picture" in page.locator("#sheets").inner_text()
    assert visitor.fits()
    page.locator("#grow-it").click()
    visitor.until(lambda: visitor.player("run.model.kinds") == 3)
    visitor.grows(3)
    assert page.locator(".nca-player .kinds button").count() == 3 and not visitor.errors

    visitor.tab("Train")
    visitor.unfold()
    page.get_by_role("button", name="Back to one picture").click()
    visitor.wait("#intents", "Quick")
    assert page.locator("#emoji-row [aria-pressed=true]").count() == 1


@pytest.mark.long
def test_another_automaton_is_put_on_the_same_grid(visit):
    visitor = visit(tab="Grow")
    page = visitor.page
    visitor.grows(3)
    page.locator("#beside input").click()
    page.get_by_role("option", name="Butterfly").first.click()
    visitor.until(lambda: visitor.player("run.model.kinds") == 2)
    assert page.locator(".nca-player .kinds button").all_inner_texts() == ["🦎", "🦋"]
    visitor.player("setKind(2)")
    visitor.player("plant(100, 64)")
    visitor.grows(20)
    with page.expect_download() as download:
        page.locator("#download-player").click()
    text = Path(download.value.path()).read_text(encoding="utf-8")
    assert '"kinds":["\\ud83e\\udd8e","\\ud83e\\udd8b"]' in text
    page.locator("#beside input").click()
    page.get_by_role("option", name="none").first.click()
    visitor.until(lambda: visitor.player("run.model.kinds") == 0)
    assert visitor.fits() and not visitor.errors
