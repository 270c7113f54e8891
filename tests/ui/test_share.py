"""Share: push, gallery, pull and grow, in a real browser against a Hub on loopback."""

import io
import re
import threading
import zipfile
from pathlib import Path

import pytest

from nca.checkpoint import load_checkpoint
from nca.player import player_model
from tests.hub_server import held, status
from tests.ui.visit import MACHINE_TOKEN


def send(page, token: str, repo: str) -> None:
    """Fill in the form and press the button."""
    page.page.locator("#token input").fill(token)
    page.page.locator("#push-repo").locator("input, textarea").fill(repo)
    page.page.locator("#push").click()


def push(page, token: str, repo: str) -> str:
    """Push, and give what the page says."""
    send(page, token, repo)
    field = page.page.locator("#token input")
    page.until(lambda: not field.input_value() and page.page.locator("#pushed p").count())
    return page.page.locator("#pushed p").inner_text()


def trained_one(page) -> str:
    """Wait until the player runs the trained beetle; the hash of its config and weights."""
    page.until(lambda: "🐞" in str(page.player("sent.title")))
    return page.grows()


def grows_the_same(page, seen: str) -> None:
    """Wait until the player runs the automaton with this hash."""
    page.until(lambda: page.player("run.model.version") == seen)
    page.grows()


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_slow_hub_leaves_empty_cards_meanwhile(share_visit, hub):
    """First in this file: the server has no earlier answer to show."""
    arrived = threading.Event()
    hub.fault(r"GET /api/models\b", held(arrived), times=1)
    page = share_visit(1280, 800, color_scheme="dark")
    page.tab("Share")
    page.page.locator("#gallery .waiting").wait_for()
    assert page.page.locator("#gallery .waiting .card").count() == 6 and page.fits()
    page.snap("share-waiting-1280")
    arrived.set()
    page.page.locator("#gallery .card[data-name], #gallery .empty").first.wait_for()
    assert page.errors == []


def test_push_gallery_pull_and_grow_bit_for_bit(share_visit, hub, trained, garden_server):
    hub.repos.clear()  # what other tests have shared
    token = hub.user("ann")
    ann = share_visit()
    ann.open(f"?key={trained['key']}")
    ann.page.locator("#grow-it").click()
    seen = trained_one(ann)
    ann.tab("Share")
    ann.until(lambda: "🐞" in ann.page.locator("#push-what input").input_value())
    ann.wait("#gallery", "Nobody has shared")
    ann.snap("share-empty-1280")
    assert "It is on the Hub: ann/beetle" in push(ann, token, "ann/beetle")
    opens, embeds = (ann.page.locator(f"#pushed .{kind}") for kind in ("opens", "embeds"))
    assert opens.input_value() == f"{garden_server.url}/?checkpoint=ann/beetle"
    code = embeds.input_value()
    assert f'src="{garden_server.url}/play?checkpoint=ann/beetle&amp;bare"' in code
    ann.page.get_by_role("button", name="Copy link").click()
    ann.wait("#pushed", "Copied")
    assert ann.fits_everywhere("share-pushed")
    files = hub.repos["model", "ann/beetle"].files()
    folder = garden_server.home / "jobs" / trained["job"]
    assert files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert {"README.md", "target.png", "preview.gif", "metrics.json"} <= set(files)
    assert b"<script" in files["player.html"]
    ann.wait("#gallery", "ann/beetle")
    # The picture is still until the card is pointed at, and then its film.
    card = ann.page.locator("#gallery button").first
    ann.page.locator("#gallery .there .still").wait_for()
    assert card.locator(".moving").count() == 0
    card.hover()
    ann.page.locator("#gallery .plays .moving").wait_for()
    assert card.locator(".moving").evaluate("film => film.naturalWidth") > 0
    assert "the same already" in push(ann, token, "ann/beetle")

    # Somebody else finds it by touch, and what grows is what grew for Ann. Without a pointer that
    # hovers, the film of a card in sight plays.
    bob = share_visit(390, 844, has_touch=True)
    bob.tab("Share")
    card = bob.page.locator("#gallery button").first
    card.wait_for()
    bob.page.locator("#gallery .plays .moving").wait_for()
    assert bob.fits()
    bob.snap("share-gallery-390")
    box = bob.page.locator("#gallery-query").locator("input, textarea")
    for words, found in (("nothing like it", "Nothing found"), ("beetle", "ann/beetle")):
        box.fill(words)
        box.press("Enter")
        bob.wait("#gallery", found)
    collection = garden_server.home / "collection"  # of all visitors, those of other tests too
    others = set(collection.glob("*/*/model.safetensors"))
    card.tap()
    grows_the_same(bob, seen)
    assert "ann/beetle" in bob.page.locator("#shelf").inner_text()
    (copy,) = set(collection.glob("*/*/model.safetensors")) - others
    assert copy.read_bytes() == files["model.safetensors"]

    # By name, with a revision; the shelf does not grow by the same again.
    bob.tab("Share")
    commit = hub.repos["model", "ann/beetle"].refs["main"]
    field = bob.page.locator("#pull-name").locator("input, textarea")
    field.fill("ann/nobody")
    bob.page.locator("#pull").tap()
    bob.wait("#fetched", "There is no ann/nobody")
    field.fill(f"ann/beetle@{commit}")
    bob.page.locator("#pull").tap()
    bob.page.locator("canvas.picture").wait_for()
    grows_the_same(bob, seen)
    assert bob.page.locator("#shelf").inner_text().count("ann/beetle") == 1

    # And away again.
    bob.tab("Share")
    bob.page.get_by_text("What you opened").click()
    bob.page.locator("#forget").tap()
    bob.wait("#fetched", "Removed")
    assert set(collection.glob("*/*/model.safetensors")) == others
    assert ann.errors == [] and bob.errors == []


def test_a_page_of_somebody_else_shows_a_living_one(hub, trained, garden_server, chromium):
    """The embed code, in a page that is not ours; and addresses that are not answered."""
    repo = hub.repo("eva/beetle")
    folder = garden_server.home / "jobs" / trained["job"]
    repo.commit(
        {name: (folder / name).read_bytes() for name in ("model.safetensors", "target.png")}
    )
    page = chromium.new_page()
    page.set_content(
        f'<iframe src="{garden_server.url}/play?checkpoint=eva/beetle&amp;bare" width="480" '
        'height="480"></iframe>'
    )
    inside = page.frame_locator("iframe")
    inside.locator("canvas.picture").wait_for()
    assert inside.get_by_role("slider").count() == 0  # only the picture, and a button to pause
    box = inside.locator("canvas.picture").bounding_box()
    assert box["height"] > 440
    home = inside.get_by_role("link", name="Grow your own in NCA Garden")
    assert home.get_attribute("href") == "./?checkpoint=eva/beetle"
    page.goto(f"{garden_server.url}/play?checkpoint=lizard-regenerating")
    page.get_by_role("button", name="Pause").wait_for()
    for name, sentence in (("", "write a name"), ("eva/nobody", "There is no eva/nobody")):
        answer = page.goto(f"{garden_server.url}/play?checkpoint={name}")
        assert answer.status == 404 and sentence in page.inner_text("body")
    commit = repo.refs["main"]
    for path in (f"film/{'0' * 32}/eva/beetle@{commit}", f"other/{'0' * 32}/a/b", "film/ü/a/b"):
        assert page.request.get(f"{garden_server.url}/gallery/{path}").status == 404
    page.close()


@pytest.mark.long
def test_a_zip_is_taken_in_under_the_same_rules(share_visit, trained):
    page = share_visit()
    page.open(f"?key={trained['key']}")
    page.page.locator("#grow-it").click()
    seen = trained_one(page)
    with page.page.expect_download() as waiting:
        page.page.locator("#download-zip").click()
    good = Path(waiting.value.path()).read_bytes()
    other = share_visit()
    other.tab("Share")
    field = other.page.locator("input[type=file][accept='.zip']").first
    hostile = io.BytesIO()
    with zipfile.ZipFile(hostile, "w") as archive:
        archive.writestr("pytorch_model.bin", b"\x80\x04nothing")
    for data, sentence in ((b"PK", "not a zip"), (hostile.getvalue(), "has no model.safetensors")):
        field.set_input_files({"name": "a.zip", "mimeType": "application/zip", "buffer": data})
        other.wait("#fetched", sentence)
    field.set_input_files({"name": "b.zip", "mimeType": "application/zip", "buffer": good})
    grows_the_same(other, seen)
    assert "Uploaded" in other.page.locator("#shelf").inner_text()


def test_the_address_opens_a_checkpoint(share_visit, hub, trained, garden_server):
    repo = hub.repo("cy/beetle")
    folder = garden_server.home / "jobs" / trained["job"]
    repo.commit(
        {name: (folder / name).read_bytes() for name in ("model.safetensors", "target.png")}
    )
    page = share_visit()
    page.open("?checkpoint=cy/beetle", tab=None)
    wanted = player_model(load_checkpoint(folder))["version"]
    page.until(lambda: page.grows() == wanted)  # until then what the page begins with grows
    assert (
        page.page.get_by_role("tab", name="Grow", exact=True).get_attribute("aria-selected")
        == "true"
    )
    page.open("?checkpoint=cy/../secret")
    page.wait("body", "write a name on the Hub as user/name")
    assert page.page.locator("#start").is_visible()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_nothing_overflows(share_visit, width, scheme):
    page = share_visit(width, 844, color_scheme=scheme)
    page.tab("Share")
    page.page.locator("#gallery .wall, #gallery .empty").wait_for()
    page.snap(f"share-{width}-{scheme}")
    assert page.fits()


def test_refused_tokens_and_where_they_are_not(share_visit, hub, trained, garden_server):
    folder = garden_server.home / "jobs" / trained["job"]
    before = (folder / "model.safetensors").read_bytes()
    reading, expired, good = hub.user("dan", "read"), hub.user("dan", "expired"), hub.user("dan")
    planted = [reading, expired, good, "hf_planted" + "p" * 24]
    page = share_visit()
    page.open(f"?key={trained['key']}")
    page.page.locator("#grow-it").wait_for()  # the page has found out whose it is
    page.tab("Share")
    page.until(lambda: "🐞" in page.page.locator("#push-what input").input_value())
    assert "paste a token" in push(page, "", "dan/beetle")
    for token, sentence in zip(
        planted, ("write access", "not accept", "on the Hub: dan/b", "not accept"), strict=True
    ):
        assert sentence in push(page, token, "dan/beetle"), token
        assert load_checkpoint(folder) and (folder / "model.safetensors").read_bytes() == before
    # The Hub breaks off in the middle; it says that nothing is lost, and the retry succeeds.
    fault = hub.fault(r"POST .*/commit/", status(503), times=1)
    assert "can be pushed again" in push(page, good, "dan/again")
    assert fault.used == 1
    # While it uploads, the page says how far it is.
    arrived = threading.Event()
    hub.fault(r"POST .*/commit/", held(arrived), times=1)
    send(page, good, "dan/again")
    page.wait("#pushed", r"Committing - 80\.0%")
    arrived.set()
    page.wait("#pushed", "It is on the Hub")

    said = page.page.content() + page.page.evaluate("JSON.stringify([localStorage, location.href])")
    kept = everything(garden_server.home.parent) + said.encode()
    pushed = b"".join(data for repo in hub.repos.values() for data in repo.files().values())
    for token in [*planted, MACHINE_TOKEN]:
        assert token.encode() not in kept and token.encode() not in pushed
    assert not any(seen.token == MACHINE_TOKEN for seen in hub.requests)
    assert not re.search("hf_[a-z]+[A-Za-z0-9]{20}", "".join(page.requests))
