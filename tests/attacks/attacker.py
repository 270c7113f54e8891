"""Somebody who talks to the server in plain HTTP and sends what they like."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.parse
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from nca.jobs.spec import STOP
from tests.hub_server import HubServer
from tests.ui.server import Server

APOLOGY = "not your fault"  # what is said instead of a traceback, and never should have to be


@dataclass(frozen=True)
class Answer:
    """What an endpoint said: `value` when it did what was asked, else `refusal`.

    Gradio itself refuses, without a word, a call that has not as many values as parameters.
    """

    status: int
    value: Any = None
    refusal: str | None = None


class Attacker:
    """Keeps the server and its Hub."""

    def __init__(self, server: Server, hub: HubServer) -> None:
        self.server, self.hub = server, hub
        self._address = urllib.parse.urlsplit(server.url).netloc

    def send(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, bytes]:
        """One request; status and body of the answer."""
        with closing(http.client.HTTPConnection(self._address, timeout=120)) as connection:
            connection.request(method, path, body or None, {"Content-Type": kind} if kind else {})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def call(self, name: str, values: list[Any]) -> Answer:
        """Call a named endpoint as Gradio's clients do, and wait for what it says."""
        body = json.dumps({"data": values}).encode()
        status, said = self.send("POST", f"/gradio_api/call/{name}", body, "application/json")
        if status != 200:
            return Answer(status)
        event = json.loads(said)["event_id"]
        status, said = self.send("GET", f"/gradio_api/call/{name}/{event}")
        for kind, data in re.findall(r"event: (\w+)\ndata: (.*)\n", said.decode()):
            if kind == "complete":
                return Answer(status, value=json.loads(data)[0])
            if kind == "error":
                words = json.loads(data)
                words = words["error"] if isinstance(words, dict) else words
                return Answer(status, refusal=words or "")
        raise AssertionError(f"{name} ended without a word: {said[:500]!r}")

    def end_trainings(self) -> None:
        """End the trainings that were accepted by chance, which take a core from other tests."""
        until = time.monotonic() + 120
        while json.loads(self.send("GET", "/healthz")[1])["queue_length"] != 0:
            for job in self.server.jobs():
                (self.server.home / "jobs" / job / STOP).touch()
            assert time.monotonic() < until
            time.sleep(0.2)

    def log(self) -> str:
        """All that the server has logged."""
        return self.server.log.read_text(encoding="utf-8", errors="replace")
