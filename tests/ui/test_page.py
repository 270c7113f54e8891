"""How the page opens and looks."""

import io
import re
import urllib.request

import numpy as np
import pytest
from PIL import Image

OPEN_TAB = "document.querySelector('[role=tab][data-tab-id][aria-selected=true]')?.dataset.tabId"
# The demonstration up to a step, faster than a visitor would see it.
DEMONSTRATE = """(n) => {
  const player = document.querySelector('.nca-player').ncaPlayer;
  player.pause();
  player.reset(player.run.seed);
  player.demo.start();
  while (player.step < n) { player.demo.step(); player.advance(1); }
}"""


@pytest.mark.parametrize(
    ("width", "height", "scheme"),
    [
        pytest.param(1280, 800, "light", marks=pytest.mark.long),
        pytest.param(1920, 1080, "dark", marks=pytest.mark.long),
        (390, 844, "light"),
    ],
)
def test_it_opens_alive(visit, width, height, scheme):
    """It grows, is cut, heals and asks; the three ways on are on the first screen."""
    touch = {"has_touch": True, "is_mobile": True} if width < 500 else {}
    page = visit(width, height, tab=None, color_scheme=scheme, **touch)
    page.grows(1)
    life = page.player("run.seed")
    assert page.player("demo.active") and page.player("sent.title").startswith("🦎")
    for name in ("Play", "Train your own", "How it works"):
        box = page.page.get_by_role("button", name=name).bounding_box()
        assert box["y"] + box["height"] <= height, name
    assert not page.page.locator("#take-away").is_visible()
    caption, finger = (page.page.locator(f"#first .{name}") for name in ("caption", "finger"))
    for step, says, cuts in ((50, "grows", False), (116, "cut", True), (130, "heals", False)):
        page.page.evaluate(DEMONSTRATE, step)
        assert says in caption.inner_text() and finger.is_visible() == cuts
    page.page.evaluate(DEMONSTRATE, 200)
    assert caption.inner_text() == "Your turn: drag across it" and finger.is_visible()
    page.snap(f"first-{width}-{scheme}")
    assert page.fits() and page.barriers() == []
    # One's own cut ends the demonstration; Play shows the rest of the tab, and the life goes on.
    x, y = page.cell(30, 30)
    page.page.touchscreen.tap(x, y) if touch else page.page.mouse.click(x, y)
    assert not page.player("demo.active")
    page.page.get_by_role("button", name="Play", exact=False).first.click()
    page.page.locator("#take-away").wait_for()
    assert page.page.locator("#shelf").is_visible() and page.player("run.seed") == life
    assert page.player("step") == 200 and page.page.get_by_label("Rewind: step").is_visible()
    assert page.errors == []


@pytest.mark.long
def test_left_alone_it_is_cut_again_and_with_reduced_motion_it_waits(visit):
    page = visit(tab=None, reduced_motion="reduce")
    page.until(lambda: page.player("run.model"))
    assert page.player("step") == 160 and not page.player("playing")
    assert "press Play" in page.page.locator("#first .caption").inner_text()
    page.page.emulate_media(reduced_motion="no-preference")
    page.open(tab=None)
    page.grows(1)
    page.page.evaluate(DEMONSTRATE, 700)
    cuts = page.player("run.events.map((event) => event[0])")
    assert min(cuts) == 110 and max(cuts) == 180 + 500 + 9
    assert page.errors == []


def test_each_way_on_leads_there(visit):
    page = visit(tab=None)
    page.page.get_by_role("button", name="Train your own").click()
    page.page.locator("#start").wait_for()
    page.open(tab=None)
    page.page.get_by_role("button", name="How it works").click()
    page.page.get_by_role("button", name="Next").wait_for()
    page.tab("Grow")  # whoever looked around finds the whole tab
    page.page.locator("#take-away").wait_for()
    page.page.wait_for_timeout(300)
    # Back and Forward lead through them, and to the first screen.
    page.page.go_back()
    page.page.get_by_role("button", name="Next").wait_for()
    page.page.wait_for_timeout(300)
    page.page.go_back()
    page.page.get_by_role("button", name="Train your own").wait_for()
    assert (
        page.page.locator("html.first").count()
        and page.page.locator("#first canvas.picture").is_visible()
    )
    page.page.wait_for_timeout(300)
    page.page.go_forward()
    page.page.get_by_role("button", name="Next").wait_for()
    assert not page.page.locator("html.first").count()
    assert page.errors == []


def test_the_form_with_the_keyboard(visit):
    """One stop for all emoji; leaving a list closes it and changes nothing; digits are typed."""
    page = visit()
    keys, focused = page.page.keyboard.press, "document.activeElement"
    page.page.locator("#emoji-row button").first.focus()
    names = []
    for key in ("ArrowRight", "ArrowDown", "ArrowUp", "ArrowLeft", "End"):
        keys(key)
        names.append(page.page.evaluate(f"{focused}.ariaLabel"))
    assert (
        len(set(names[:3])) == 2 and names[0] == names[2] != names[1] and names[4] not in names[:4]
    )
    keys("Tab")
    assert not page.page.evaluate(f"!!{focused}.closest('#emoji-row')")

    for fold in ("Size, title", "Advanced settings"):
        page.page.get_by_text(fold).click()
    page.number("#channels", 12)
    page.page.locator("#begin-with input").focus()
    page.page.locator("#begin-with ul[role=listbox]").wait_for()
    keys("Tab")
    page.page.locator("#size input[type=number]").select_text()
    page.page.keyboard.type("16", delay=300)  # slower than the page asks the server
    page.wait("#target", "Grid 48 × 48")
    assert not page.page.locator("ul[role=listbox]").count()
    assert page.page.locator("#channels input[type=number]").input_value() == "12"
    assert not page.page.get_by_text("less than minimum").count()
    page.page.locator("#start").focus()
    keys("Enter")
    page.wait("#status", "Starting|Training|Getting ready|iterations")
    page.until(lambda: page.page.evaluate(f"{focused}.id") == "status")
    page.page.locator("#stop").click()
    page.wait("#status", "Stopped", 150)
    assert page.errors == []


def test_first_load_asks_only_its_own_server(visit, server):
    page = visit(tab=None)
    page.grows(10)
    assert page.page.title() == "NCA Garden"
    page.page.wait_for_timeout(1000)
    assert page.requests
    foreign = [url for url in page.requests if not url.startswith((server.url, "data:", "blob:"))]
    assert foreign == []
    assert page.errors == []


def test_a_link_to_the_page_shows_the_lizard(server):
    """What sites read: title, sentence and picture, near the beginning of the page."""
    with urllib.request.urlopen(server.url) as answer:
        page = answer.read(4000).decode()
    tags = dict(re.findall(r'<meta (?:property|name)="([^"]+)" content="([^"]+)">', page))
    assert tags["og:title"] == "NCA Garden" and "grows from one cell" in tags["og:description"]
    assert tags["og:url"] == f"{server.url}/" and "Gradio" not in str(tags)
    sizes = {tags["og:image"]: (1200, 630), f"{server.url}/favicon.ico": (176, 176)}
    for address, size in sizes.items():
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert Image.open(io.BytesIO(answer.read())).size == size
            assert answer.headers["Content-Type"] == "image/png"


def test_the_player_is_in_the_page_once(server):
    with urllib.request.urlopen(server.url) as answer:
        page = answer.read()
    assert page.count(b"function mountPlayer(") == 1
    assert len(page) < 700_000
    # The first screen comes before all that Gradio needs, which is most of the page.
    assert page.index(b'id="first"') < page.index(b"ncaKit =") < page.index(b"gradio_config = ")


def test_what_moves_first_is_small(server):
    asked = urllib.request.Request(server.url, headers={"Accept-Encoding": "br"})
    with urllib.request.urlopen(asked) as answer:
        assert len(answer.read()) < 200_000


def test_the_grow_tab_opens_with_the_lizard(visit):
    page = visit()
    page.tab("Grow")
    page.grows(30)
    assert page.player("sent.title").startswith("🦎")
    box = page.page.locator("canvas.picture").bounding_box()
    assert box["width"] > 540
    # Leaving and coming back keeps the life.
    page.player("pause()")
    page.player("damage('centre')")
    at = page.player("step")
    page.tab("Train")
    page.tab("Grow")
    page.page.wait_for_timeout(600)
    assert page.player("step") == at and page.player("run.events.length") == 1
    assert page.errors == []


def test_what_plays_goes_on_when_the_page_is_loaded_again(visit):
    """Also twice, before the first has arrived; an opened address begins anew."""
    page = visit(tab="Grow")
    page.grows(5)
    again = "sent.checkpoint", "run.seed", "playing"
    for name in (None, "eye-regenerating"):  # the one of the first screen, and another
        if name:
            page.page.locator(f"#shelf button[data-name$='{name}']").click()
            page.until(lambda name=name: str(page.player("sent.checkpoint")).endswith(name))
            page.player("pause()")
        page.player("setAngle(90)")
        page.player("advance(60)")
        page.player("damage('half-left')")
        before = [page.player(value) for value in again]
        step, canvas = page.player("step"), page.canvas()
        page.page.reload(wait_until="commit")
        page.page.wait_for_function("window.ncaFirst")
        page.page.reload()
        page.until(lambda before=before: [page.player(value) for value in again] == before)
        page.until(lambda step=step: page.player("step") >= step)
        assert not page.page.evaluate("document.documentElement.classList.contains('first')")
        card = page.page.locator("#shelf [aria-pressed=true]")
        card.wait_for()
        if name:
            assert page.player("step") == step and (page.canvas() == canvas).all()
            assert name in card.get_attribute("data-name")
    page.player("advance(8)")
    assert (page.canvas() != canvas).any()
    assert page.player("run.angle") == pytest.approx(np.pi / 2)
    page.open(tab=None)
    page.grows(1)
    assert page.page.evaluate("document.documentElement.classList.contains('first')")
    # Where nothing plays, what an earlier leave has kept does not stay.
    page.page.evaluate("sessionStorage.setItem('nca-garden-life', '{}')")
    page.page.evaluate("dispatchEvent(new Event('pagehide'))")
    assert page.page.evaluate("sessionStorage.getItem('nca-garden-life')") is None
    assert page.errors == []


def test_the_open_tab_is_open_again_when_the_page_is_loaded_again(visit):
    """Gradio loads it again by itself after a lost connection."""
    page = visit(tab="Grow")
    page.grows(5)
    page.player("pause()")
    before = page.player("step")
    page.tab("Share")
    page.page.reload()
    page.page.wait_for_function(f"{OPEN_TAB} === 'share'")
    page.tab("How it works")
    page.page.locator("#inspect-fold button").first.click()
    tree = page.page.locator("#inspect-shelf button[data-name$='tree-regenerating']")
    tree.click()
    chosen = page.page.locator("#inspect-shelf [aria-pressed=true][data-name$='tree-regenerating']")
    chosen.wait_for()
    page.page.reload()
    page.page.wait_for_function(f"{OPEN_TAB} === 'inspect'")
    chosen.wait_for()
    page.until(lambda: page.player("step") == before)  # on the Grow tab, two loads later
    # A tab of the browser is dropped without any more events than this one.
    page.page.evaluate("sessionStorage.clear()")
    page.page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
    page.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert page.page.evaluate("Object.keys(sessionStorage).length") == 2
    # An address that is opened shows the first screen.
    page.open(tab=None)
    page.grows(1)
    assert page.page.evaluate(OPEN_TAB) == "grow"
    assert page.page.evaluate("document.documentElement.classList.contains('first')")
    assert page.errors == []


def test_the_chosen_automaton_is_in_sight(visit):
    """However long the row is, on a phone."""
    page = visit(390, 844)
    page.tab("Grow")
    page.grows(5)

    def in_sight(title):
        card = page.page.locator("#shelf [aria-pressed=true]")
        box = card.bounding_box()
        return title in card.inner_text() and 0 <= box["x"] and box["x"] + box["width"] <= 390

    page.until(lambda: in_sight("Lizard"))
    last = page.page.locator("#shelf button[data-name]").last  # not the row's arrow
    title = last.inner_text().splitlines()[0]
    # Of two quick clicks the last one counts; it starts to grow, also beside a paused one.
    page.player("pause()")
    page.page.locator("#shelf button[data-name]").nth(1).evaluate("button => button.click()")
    last.evaluate("button => button.click()")
    page.until(lambda: in_sight(title))
    page.until(lambda: str(page.player("sent.title")).endswith(title))
    page.grows(3)
    page.open("?key=zzz", tab=None)
    page.page.get_by_text("Nothing is kept under this private link").wait_for()
    assert page.errors == []


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "dark"),
        (390, "light"),
        pytest.param(1280, "light", marks=pytest.mark.long),
        pytest.param(390, "dark", marks=pytest.mark.long),
    ],
)
def test_nothing_overflows_or_keeps_people_out(visit, width, scheme):
    page = visit(width, 844, color_scheme=scheme)
    colour = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    levels = [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    assert max(levels) < 60 if scheme == "dark" else min(levels) > 200
    for tab in ("Train", "Grow", "Share"):
        page.tab(tab)
        if tab == "Train":  # the cells are neither squashed nor moved from under their lines
            page.wait("#target", "72 × 72")
            box = page.page.locator("#target .zoom img").bounding_box()
            assert box["width"] == pytest.approx(box["height"], rel=0.01)
        if tab == "Grow":
            page.grows(100)
            page.page.get_by_text("Film: part, format, size, ground").click()
            page.page.locator("#film-format").wait_for()
        page.page.wait_for_timeout(400)
        page.snap(f"{tab.lower()}-{width}-{scheme}")
        assert page.fits(), tab
        if width == 1280:
            assert page.barriers() == [], tab
    page.tab("Train")
    page.page.get_by_text("Advanced settings").click()
    for source in ("Upload", "Draw"):
        page.tab(source)
        page.page.wait_for_timeout(400)
        page.snap(f"{source.lower()}-{width}-{scheme}")
        assert page.fits(), source


def test_controls_have_names(visit):
    page = visit()
    nameless = page.page.evaluate(
        """() => [...document.querySelectorAll('button, input, textarea, canvas, img')]
          .filter((e) => e.checkVisibility() && e.type !== 'file' && !e.labels?.length
            && !e.getAttribute('aria-label') && !e.getAttribute('title')
            && !e.textContent.trim() && e.getAttribute('alt') === null)
          .map((e) => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == []
