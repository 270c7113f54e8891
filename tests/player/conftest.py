"""One Chromium for all tests of the player, and pages of their own origin without a server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from browser import FLAGS, find_chromium  # noqa: E402


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    found = find_chromium()
    if not found:
        pytest.skip("no Chromium here")
    with sync_playwright() as playwright:
        # A software renderer, so that the WebGL2 engine runs where there is no graphics card.
        flags = [*FLAGS, "--enable-unsafe-swiftshader"]
        browser = playwright.chromium.launch(executable_path=found, args=flags)
        yield browser
        browser.close()
