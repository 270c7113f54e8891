"""What the Train tab shows and offers, without a browser."""

import base64
import io

import numpy as np
import pytest
import resvg_py
from PIL import Image, ImageDraw, ImageFont

from nca.config import BadInput, Limits
from nca.emoji import PICKER, twemoji_file
from nca.jobs import JobSpec, Target
from nca.target import decode_picture, suggested_size
from nca.ui.components import upload_bytes, upload_name
from nca.ui.train import (
    emoji_search,
    loss_plot,
    recipe_choice,
    settings_form,
    several,
    target_form,
)
from tests.jobs_kit import ROOT

pytestmark = pytest.mark.quick


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def form(**changes) -> target_form.TargetForm:
    usual = target_form.TargetForm(
        "emoji", "🦎", "twemoji", None, None, 40, 16, True, "keep", ""
    )  # fmt: skip
    return usual._replace(**changes)


def test_emoji_are_found_by_name_the_exact_one_first():
    assert emoji_search.search("lady beetle")[0] == "🐞"
    assert emoji_search.search("FIRE")[0] == "🔥"
    assert set(PICKER) <= set(emoji_search.search(" "))
    assert emoji_search.search("no such thing") == []
    assert "another word" in emoji_search.grid_html([], "🦎")
    assert emoji_search.chosen_emoji("red heart") is None
    assert emoji_search.chosen_emoji(" 👩‍🚀 ") == "👩‍🚀"
    with pytest.raises(BadInput, match="holds 2"):
        emoji_search.chosen_emoji("🦎😀")


@pytest.mark.parametrize(
    ("given", "title"),
    [
        ({"emoji": "🐞"}, "🐞 Lady beetle"),
        ({"emoji": "🐞", "title": "  My  beetle "}, "My beetle"),
        ({"source": "upload", "upload": "red%20mug.jpg"}, "red mug"),
        ({"source": "draw", "drawing": ""}, "Drawing 3"),
    ],
)
def test_titles(given, title):
    square = Image.new("RGBA", (64, 64), (200, 30, 30, 255))
    data = data_url(png(square))
    if "upload" in given:
        given |= {"upload": data.replace(";", f";name={given['upload']};", 1)}
    if "drawing" in given:
        given |= {"drawing": data}
    assert target_form.read(Limits(), form(**given), drawings=2).title == title


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def test_what_a_field_cannot_have_sent_is_refused():
    assert upload_bytes("") is None and upload_name("") == ""
    assert upload_name("data:image/png;name=..%2F..%2Fa.b.png;base64,") == "a.b"
    for value in ("x", "data:text/html;base64,AAAA", "data:image/png;base64,A", "data:image/png,A"):
        with pytest.raises(BadInput, match="choose it again"):
            upload_bytes(value)


def test_a_size_that_fits_the_detail_is_suggested():
    lizard = resvg_py.svg_to_bytes(svg_path=str(twemoji_file("🦎")), width=400, height=400)
    assert suggested_size(decode_picture(bytes(lizard))) == 40
    words = Image.new("RGB", (600, 200), "white")
    ImageDraw.Draw(words).text((20, 60), "Small words 2026", "#234", ImageFont.load_default(64))
    decoded = decode_picture(png(words))
    assert decoded.opaque and decoded.plain_background
    assert suggested_size(decoded) >= 80
    plain = Image.new("RGB", (512, 384), (200, 200, 200))
    ImageDraw.Draw(plain).rectangle((120, 90, 300, 250), "#c8281e")
    assert suggested_size(decode_picture(png(plain)), True, "transparent") == 40
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    assert not decode_picture(png(Image.fromarray(noise))).plain_background


def test_the_loss_in_words():
    assert [loss_plot.words(v) for v in (-1.0, -2.5, -3.5)] == ["blurry", "alike", "the same"]
    assert loss_plot.plot_html([(1, -0.5)]) == ""
    drawn = loss_plot.plot_html([(i, -i / 100) for i in range(1, 400)])
    assert "now \u2212" in drawn and "<b>the same</b>" in drawn and "nan" not in drawn


def test_recipes_have_times_sources_and_the_scores_of_what_is_shipped():
    times = dict.fromkeys([*recipe_choice.INTENTS, *recipe_choice.others()], "a while")
    scores = recipe_choice.shipped_scores(ROOT / "checkpoints")
    shown = recipe_choice.others_html(times, scores, "cax")
    assert "Faldor and Cully" in shown and "of 4 half cuts" in scores["cax"]
    target = Target(target_form.DEFAULT, b"", "estimate")
    for name in times:
        spec = settings_form.read(name, settings_form.fill(name), target)
        assert isinstance(spec, JobSpec)
    with pytest.raises(BadInput, match="no recipe"):
        settings_form.fill("bester")


@pytest.mark.parametrize(
    ("size", "noise", "words"),
    [
        ((60, 45), 255, "Photo is made for that"),
        ((4, 300), 255, None),  # a line in an empty square
        ((60, 60), 6, "one colour all over"),
    ],
)
def test_advice_on_an_opaque_picture(size, noise, words):
    pixels = np.random.default_rng(0).integers(255 - noise, 256, (*size, 3), np.uint8)
    decoded = decode_picture(png(Image.fromarray(pixels)))
    advice = target_form.advice_html(form(source="upload", size=64), decoded)
    assert words in advice if words else "Photo" not in advice and "colour" not in advice
    assert "background" not in advice
    pixels[[0, -1]] = pixels[:, [0, -1]] = 255  # which can be removed instead
    decoded = decode_picture(png(Image.fromarray(pixels)))
    advice = target_form.advice_html(form(source="upload", size=64), decoded)
    assert ("Remove its background" in advice) == (words is not None and "Photo" in words)


def test_several_pictures_become_one_target_with_a_kind_for_each():
    square = data_url(png(Image.new("RGBA", (64, 64), (200, 30, 30, 255))))
    chosen = several.add(several.NONE, form().picture)
    with pytest.raises(BadInput, match="at least two"):
        target_form.read(Limits(), form(several=chosen))
    chosen = several.toggle(chosen, "🐠")
    both = target_form.read(Limits(), form(several=chosen))
    assert (both.title, both.pictures, both.config.more) == ("🦎🐠", 2, ("🐠",))
    upload = square.replace(";", ";name=mug.png;", 1)
    mixed = form(source="upload", upload=upload, several=chosen)
    with pytest.raises(BadInput, match="it is not one of them yet"):
        target_form.read(Limits(), mixed)
    chosen = several.add(chosen, mixed.picture)
    three = target_form.read(Limits(), form(several=chosen), fine=True)
    assert Image.open(io.BytesIO(three.picture)).size == (72 * 14, 3 * 72 * 14)
    assert (three.title, three.pictures, three.config.kind) == ("🦎, 🐠, mug", 3, "image")
    assert Image.open(io.BytesIO(three.png)).size == (72, 216)
    assert three.png == target_form.read(Limits(), form(several=chosen)).png
    assert "Remove mug" in target_form.shown_html(Limits(), form(several=chosen), None)
    spec = settings_form.read("zoo", settings_form.fill("zoo", pictures=3), three)
    assert (spec.nca.kinds, spec.train.batch, spec.sharpen > 0) == (3, 6, True)
    assert spec.train.reseed_count + spec.train.damage_count == 6
    chosen = several.toggle(several.remove(chosen, "2"), "🦎")
    assert [one.value for one in several.parse(chosen)] == ["🐠"]


def test_too_many_pictures_and_what_the_page_cannot_have_sent():
    chosen = several.NONE
    for symbol in PICKER[: several.MOST]:
        chosen = several.toggle(chosen, symbol)
    with pytest.raises(BadInput, match="at most 12 pictures"):
        several.toggle(chosen, "🐳")
    for text in ("{", '[{"source":"file","value":"/etc/passwd"}]', '[{"source":"emoji"}]'):
        with pytest.raises(BadInput, match="choose them again"):
            several.parse(text)
    whole = settings_form.fill("zoo", pictures=several.MOST)
    assert (whole["batch"], whole["iterations"], whole["damage_count"]) == (10, 10_000, 6)


def test_each_kind_has_a_small_curve_beside_its_picture():
    points = [(i, -i / 100) for i in range(1, 300)]
    drawn = loss_plot.plot_html(points, [points, points[:1]], b"png")
    assert drawn.count("--kind:") == 2 and "nan" not in drawn
    assert "<b>–</b>" in drawn and "<span>alike</span>" in drawn  # the second has one point
