"""One browser for all tests: a process can hold only one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

sys.path.insert(0, str(Path(__file__).parent))

from browser import FLAGS, find_chromium  # noqa: E402


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # A software renderer, so that the WebGL2 engine runs where there is no graphics card.
        flags = [*FLAGS, "--enable-unsafe-swiftshader"]
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
        yield browser
        browser.close()
