"""A server to attack, on loopback, with small limits; its Hub is on loopback too."""

import json
from collections.abc import Iterator

import pytest

from tests.attacks.attacker import Attacker
from tests.hub_server import HubServer
from tests.ui.server import serve

# One training at a time and short films, so that what is accepted by chance costs little.
LIMITS = {"queue_length": 1, "export_frames": 40, "collection_length": 2, "collections_length": 4}


@pytest.fixture(scope="session")
def attacker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    with HubServer() as hub:
        variables = {"HF_ENDPOINT": hub.endpoint, "NCA_GARDEN_LIMITS": json.dumps(LIMITS)}
        with serve(tmp_path_factory.mktemp("attacked"), **variables) as running:
            yield Attacker(running, hub)
