"""A Hub on loopback, and the genuine client's way to it."""

import pytest

from nca.hub import Hub
from tests.hub.kit import MACHINE, write_checkpoint
from tests.hub_server import HubServer


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("checkpoint") / "lizard")


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", MACHINE)
    with HubServer() as server:
        server.tokens[MACHINE] = ("machine", "write")
        yield server
        if server.requests:
            assert all(seen.cookie is None for seen in server.requests)


@pytest.fixture
def hub(server, tmp_path):
    return Hub(server.endpoint, tmp_path / "cache", pull_seconds=3, push_seconds=6)
