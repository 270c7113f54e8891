"""Pictures that a visitor gives: shown at training size, or refused with a sentence."""

import io
import re

import numpy as np
import pytest
from PIL import Image


def png(rgba: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgba).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_target_is_shown_at_training_size(visit):
    page = visit()
    page.wait("#target", "grid 72 × 72")
    page.number("#size", 20)
    page.number("#padding", 5)
    page.wait("#target", "grid 30 × 30")
    size = page.page.locator("#target img").evaluate("i => [i.naturalWidth, i.naturalHeight]")
    assert size == [30, 30]
    before = page.picture("#target")
    page.page.locator("#emoji-row button").nth(3).click()
    page.until(lambda: page.picture("#target") != before)


def test_emoji_that_are_refused_keep_the_last_good_target(visit):
    page = visit()
    good, box = page.picture("#target"), page.page.locator("#emoji").locator("input, textarea")
    for text, sentence in (("", "type one emoji"), ("🦎😀", "holds 2"), ("lizard", "is not one")):
        box.fill(text)
        page.wait("#refusal", sentence)
        assert page.picture("#target") == good
    page.page.locator("#start").click()
    page.wait("body", "Please type exactly one emoji")
    assert "Nothing is growing" in page.page.locator("#status").inner_text()
    box.fill("👩‍🚀")
    page.until(lambda: page.picture("#target") != good)
    assert not page.page.locator("#refusal p").count()


def test_uploads(visit):
    page = visit()
    page.tab("Upload")
    page.wait("#refusal", "upload a picture")
    file = page.page.locator("#upload input[type=file]")
    clear = page.page.locator("#upload").get_by_label(re.compile("clear|remove", re.IGNORECASE))
    half = np.zeros((60, 40, 4), np.uint8)
    half[:, :20] = [200, 40, 30, 255]
    good = page.picture("#target")
    refused = {
        "notes.png": (b"these are only words", "not a picture that can be read"),
        "hidden.png": (png(np.zeros((40, 40, 4), np.uint8)), "completely transparent"),
        "huge.png": (huge(), "megapixels"),
        "cut.png": (png(half)[:60], "damaged|not a picture"),
        "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture|PNG, JPEG"),
    }
    for name, (data, sentence) in refused.items():
        kind = "image/svg+xml" if name.endswith("svg") else "image/png"
        file.set_input_files({"name": name, "mimeType": kind, "buffer": data})
        page.wait("#refusal", sentence)
        assert page.picture("#target") == good, name
        clear.first.click()
        page.wait("#refusal", "upload a picture")
    file.set_input_files({"name": "half.png", "mimeType": "image/png", "buffer": png(half)})
    page.until(lambda: page.picture("#target") != good)
    assert not page.page.locator("#refusal p").count()


def huge() -> bytes:
    """A PNG of 20,000 x 20,000 pixels in a few kilobytes."""
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("width", [1280, 390])
def test_drawing(visit, width):
    page = visit(width, 844)
    good = page.picture("#target")
    page.tab("Draw")
    page.wait("#refusal", "draw a picture")
    canvas = page.page.locator("#drawing canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    page.page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 180, box["y"] + 150, steps=5)
    page.page.mouse.up()
    page.until(lambda: page.picture("#target") != good)
    assert not page.page.locator("#refusal p").count()
    drawn = page.picture("#target")
    page.snap(f"drawn-{width}")
    page.page.get_by_role("button", name="Colour red").click()
    page.page.mouse.click(box["x"] + 150, box["y"] + 60)
    page.until(lambda: page.picture("#target") != drawn)
    page.page.get_by_role("button", name="Clear").click()
    page.wait("#refusal", "draw a picture")
