"""One browser for all tests, as a process can hold only one; how long fuzzing takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from playwright.sync_api import Browser, sync_playwright
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from nca._compat import let_threads_sleep
from tests.browser import FLAGS, find_chromium

ROOT = Path(__file__).parents[1]

let_threads_sleep(os.environ)  # workers share the cores, and torch is not imported yet

# HYPOTHESIS_PROFILE=long tries 10,000 cases in each test that fuzzes.
settings.register_profile("ci", max_examples=200, deadline=None)
settings.register_profile("long", max_examples=10_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser's files first: they take longest, and the workers shall end together."""
    items.sort(key=lambda item: "/ui/" not in item.path.as_posix())


class ByServer(LoadFileScheduling):
    """A file is tested by one worker, and so are all files that need the same server.

    A server takes as long to start as many tests, and it is the session's: each worker that tests
    with it starts its own.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        if file.startswith("tests/ui/"):
            hub = "garden_server" in (ROOT / file).read_text(encoding="utf-8")
            return "a server with a Hub" if hub else "a server"
        return "an attacked server" if file.startswith("tests/attacks/") else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByServer:
    return ByServer(config, log)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # A software renderer, so that the WebGL2 engine runs where there is no graphics card.
        flags = [*FLAGS, "--enable-unsafe-swiftshader"]
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
        yield browser
        browser.close()
