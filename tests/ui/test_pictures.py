"""Pictures that a visitor gives: shown at training size, or refused with a sentence."""

import base64
import io

import numpy as np
import pytest
from PIL import Image


def png(rgba: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(rgba).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_target_is_shown_at_training_size(visit):
    page = visit()
    page.wait("#target", "Grid 72 × 72")
    page.page.get_by_text("Size, title").click()
    page.number("#size", 20)
    page.number("#padding", 5)
    page.wait("#target", "Grid 30 × 30")
    size = page.page.locator("#target img").first.evaluate("i => [i.naturalWidth, i.naturalHeight]")
    assert size == [30, 30]
    before = page.picture("#target")
    page.page.locator("#emoji-row button").nth(3).click()
    page.until(lambda: page.picture("#target") != before)


def test_emoji_by_name_and_refused_ones(visit):
    page = visit()
    good, box = page.picture("#target"), page.page.locator("#emoji-search").locator("input")
    box.fill("lady beetle")
    page.until(lambda: page.page.locator("#emoji-row button").count() == 1)
    assert page.picture("#target") == good
    page.page.locator("#emoji-row button").click()
    page.until(lambda: page.picture("#target") != good)
    good = page.picture("#target")
    box.fill("no such thing")
    page.wait("#emoji-row", "try another word")
    box.fill("🦎😀")
    page.wait("#refusal", "holds 2")
    assert page.picture("#target") == good
    box.fill("👩‍🚀")
    page.until(lambda: page.picture("#target") != good)
    assert not page.page.locator("#refusal p").count()
    pressed = page.page.locator("#emoji-row [aria-pressed=true]")
    assert pressed.get_attribute("title") == "Woman astronaut"


def test_uploads(visit):
    page = visit()
    page.tab("Upload")
    page.wait("#refusal", "upload a picture")
    half = np.zeros((60, 40, 4), np.uint8)
    half[:, :20] = [200, 40, 30, 255]

    def upload(name, data, kind="image/png"):
        file = {"name": name, "mimeType": kind, "buffer": data}
        page.page.locator("#upload input").set_input_files(file)

    emoji = page.picture("#target")
    upload("half.png", png(half))
    page.until(lambda: page.picture("#target") != emoji)
    assert not page.page.locator("#refusal p").count()
    good = page.picture("#target")
    refused = {
        "notes.png": (b"these are only words", "not a picture that can be read"),
        "hidden.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "completely transparent"),
        "huge.png": (huge(), "400 megapixels"),
        "phone.heic": (b"\0\0\0 ftypheic", "HEIC"),
    }
    for name, (data, sentence) in refused.items():
        upload(name, data, "image/svg+xml" if name.endswith("svg") else "image/png")
        page.wait("#upload [role=status]", f"{sentence}.*The one before it stays")
        assert page.picture("#target") == good and not page.page.locator("#refusal p").count()

    # What the browser opens and the server does not: no other target stands beside it.
    torn = io.BytesIO()
    Image.fromarray(half[..., :3]).resize((300, 450)).save(torn, "JPEG")
    upload("torn.jpg", torn.getvalue()[: len(torn.getvalue()) // 2], "image/jpeg")
    page.wait("#refusal", "damaged or incomplete")
    page.wait("#target", "No target")

    # A phone's photo of 9 MB on its side: turned, shrunk, its plain background offered for removal.
    photo = np.random.default_rng(0).integers(196, 204, (1800, 2400, 3), np.uint8)
    photo[500:1300, 400:1000] = [200, 40, 30]
    data, turned = io.BytesIO(), Image.Exif()
    turned[0x112] = 6
    Image.fromarray(photo).resize((4000, 3000)).save(data, "JPEG", quality=100, exif=turned)
    assert len(data.getvalue()) > 5 << 20
    upload("red mug.jpg", data.getvalue(), "image/jpeg")
    page.wait("#backgrounds", "Keep the background[\\s\\S]*Remove it")
    assert page.page.locator("#upload [role=status]").inner_text() == ""
    assert not page.page.locator(".late").count()
    page.wait("#advice", "Remove its background, or use Photo, which is made for that")
    sent = page.page.locator("#upload img").get_attribute("src")
    with Image.open(io.BytesIO(base64.b64decode(sent.partition(",")[2]))) as small:
        assert small.size == (384, 512)
    kept = page.picture("#target")
    page.snap("photo-1280")
    page.page.get_by_role("button", name="Remove it").click()
    page.until(
        lambda: page.picture("#target") != kept and not page.page.locator("#advice p").count()
    )
    page.page.get_by_label("Remove the picture").click()
    page.wait("#refusal", "upload a picture")
    page.until(lambda: page.picture("#target") == emoji)
    page.page.locator("#start").click()
    page.wait("body", "Please upload a picture first")
    assert page.errors == []


def huge() -> bytes:
    """A PNG of 20,000 x 20,000 pixels in a few kilobytes."""
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.long), 390])
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
