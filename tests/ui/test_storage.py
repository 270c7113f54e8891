"""A browser that keeps no site data: the page opens, trains, and says how to come back."""

import json
import re

import pytest
from playwright.sync_api import Browser

from tests.browser import FLAGS, find_chromium
from tests.ui.server import Server
from tests.ui.visit import Visit

BLOCKED = 2  # Chromium's number for it


class ForgetfulVisit(Visit):
    """A visit that does not wait for the key in localStorage."""

    def open(self, query: str = "", tab: str | None = "Train") -> None:
        self.page.goto(self.url + query)
        self.tab(tab or "Grow")


@pytest.mark.long
def test_the_page_opens_where_all_site_data_is_blocked(
    server: Server, chromium: Browser, tmp_path
) -> None:
    profile = tmp_path / "Default"
    profile.mkdir()
    blocked = {"profile": {"default_content_setting_values": {"cookies": BLOCKED}}}
    (profile / "Preferences").write_text(json.dumps(blocked), encoding="utf-8")
    context = chromium.browser_type.launch_persistent_context(
        tmp_path, executable_path=find_chromium(), args=list(FLAGS)
    )
    try:
        page = context.new_page()
        page.goto(f"{server.url}/theme.css")  # of the same origin, without our script
        assert page.evaluate("(() => { try { localStorage } catch (e) { return e.name } })()") == (
            "SecurityError"
        )
        visit = ForgetfulVisit(page, server.url)
        notice = page.locator("#keeps-nothing")
        visit.wait("#keeps-nothing", "keeps no data of this page")
        assert notice.is_visible()
        link = notice.locator("a").get_attribute("href")
        assert re.fullmatch(r"\?key=[0-9a-f]{32}", link)

        visit.tiny(3)
        page.locator("#start").click()
        visit.wait("#status", "Finished|finished")
        before = set(server.jobs())
        visit.open(link)  # the same garden again
        visit.wait("#status", "Finished|finished")
        assert set(server.jobs()) == before
        assert not [error for error in visit.errors if "Storage" in error], visit.errors
    finally:
        context.close()


def test_others_are_not_told(visit) -> None:
    page = visit().page
    page.wait_for_function("document.querySelector('#keeps-nothing a')")
    assert not page.locator("#keeps-nothing").is_visible()
