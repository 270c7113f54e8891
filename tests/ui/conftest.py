"""Real servers for real browsers."""

import time
from collections.abc import Callable, Iterator

import pytest
from gradio_client import Client
from playwright.sync_api import Browser

from tests.hub_server import HubServer
from tests.ui.server import Server, serve
from tests.ui.visit import MACHINE_TOKEN, Visit, visitors


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def visit(server: Server, chromium: Browser) -> Iterator[Callable[..., Visit]]:
    """Makes visitors of a server that has no Hub."""
    with visitors(server, chromium) as come:
        yield come


# ---------------------------------------------------------------------------- with a Hub


@pytest.fixture(scope="session")
def hub() -> Iterator[HubServer]:
    with HubServer() as running:
        running.tokens[MACHINE_TOKEN] = ("machine", "write")
        yield running


@pytest.fixture(scope="session")
def garden_server(hub: HubServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose Hub is on loopback; the machine it runs on has a token of its own."""
    variables = {"HF_ENDPOINT": hub.endpoint, "HF_TOKEN": MACHINE_TOKEN, "NCA_GARDEN_MCP": "1"}
    with serve(tmp_path_factory.mktemp("garden"), **variables) as running:
        yield running


@pytest.fixture(scope="session")
def trained(garden_server: Server) -> dict[str, str]:
    """A tiny training that has finished, started by a script: its job, key and checkpoint."""
    client = Client(garden_server.url, verbose=False)
    started = client.predict(
        emoji="🐞", recipe="quick", size=8, padding=4, iterations=6, api_name="/train"
    )
    until = time.monotonic() + 150
    while True:
        about = client.predict(started["job"], started["key"], api_name="/job")
        if about["state"] == "finished":
            return started
        assert about["active"] and time.monotonic() < until, about
        time.sleep(0.3)


@pytest.fixture
def share_visit(garden_server: Server, chromium: Browser) -> Iterator[Callable[..., Visit]]:
    """Like `visit`, at the server that has a Hub."""
    with visitors(garden_server, chromium) as come:
        yield come
