"""How the page opens and looks."""

import urllib.request

import pytest


def test_first_load_asks_only_its_own_server(visit, server):
    page = visit()
    assert page.page.title() == "NCA Garden"
    page.page.wait_for_timeout(1000)
    assert page.requests
    foreign = [url for url in page.requests if not url.startswith((server.url, "data:", "blob:"))]
    assert foreign == []
    assert page.errors == []


def test_the_player_is_in_the_page_once(server):
    with urllib.request.urlopen(server.url) as answer:
        page = answer.read()
    assert page.count(b"mountPlayer(host, options") == 1
    assert len(page) < 400_000


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
    last = page.page.locator("#shelf button").last
    title = last.inner_text().splitlines()[0]
    last.click()
    page.until(lambda: in_sight(title))
    assert page.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_overflows(visit, width, scheme):
    page = visit(width, 844, color_scheme=scheme)
    colour = page.page.evaluate("getComputedStyle(document.body).backgroundColor")
    levels = [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    assert max(levels) < 60 if scheme == "dark" else min(levels) > 200
    for tab in ("Train", "Grow"):
        page.tab(tab)
        if tab == "Grow":
            page.grows(100)
        page.page.wait_for_timeout(400)
        page.snap(f"{tab.lower()}-{width}-{scheme}")
        assert page.fits(), tab
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
