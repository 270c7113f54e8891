"""A server process of its own, and a client that talks to it without the page."""

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
KEY = {"own": secrets.token_hex(16), "link": None}


@dataclass
class Server:
    """`python app.py`, its address and its home."""

    url: str
    home: Path
    log: Path
    process: subprocess.Popen
    port: int

    def jobs(self) -> list[str]:
        return [path.name for path in (self.home / "jobs").glob("[0-9a-f]*")]


@contextmanager
def serve(folder: Path, port: int = 0, **variables: str) -> Iterator[Server]:
    """`python app.py` with its home in `folder` and `variables` set, until the block ends."""
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", port))
        port = free.getsockname()[1]
    home, log = folder / "home", folder / "log.txt"
    environment = os.environ | {
        "NCA_GARDEN_HOME": str(home),
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "cache"),
        **variables,
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 240  # it imports much, on a machine that others may use too
        while True:
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            try:
                urllib.request.urlopen(url, timeout=30).close()
                break
            except OSError:
                time.sleep(0.1)
        yield Server(url, home, log, process, port)
        if process.poll() is None:  # a test may have killed it
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        # Gradio logs what its own components refuse; our handlers must not have failed.
        assert not re.search(r"\w+ failed\nTraceback", log.read_text()), log.read_text()[-6000:]
    finally:
        process.kill()
        process.wait()


class Client:
    """Calls the page's handlers as a script would."""

    def __init__(self, url: str) -> None:
        self.url = url
        config = json.loads(self.get("/config"))
        self.parts = {part["id"]: part for part in config["components"]}
        self.ids = {part["props"].get("elem_id"): part["id"] for part in config["components"]}
        self.calls = config["dependencies"]

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return answer.read()

    def post(self, path: str, body: dict) -> dict:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())

    def find(self, elem_id: str, event: str = "click") -> dict:
        target = [self.ids[elem_id], event]
        return next(call for call in self.calls if target in call["targets"])

    def values(self, elem_id: str, event: str = "click", **changed: object) -> list:
        """What the page would send, with some values by elem_id changed."""
        inputs = self.find(elem_id, event)["inputs"]
        known = {self.ids[name]: value for name, value in changed.items()}
        values = [known.get(i, self.parts[i]["props"].get("value")) for i in inputs]
        is_key = self.parts[inputs[0]]["type"] == "browserstate"
        return [KEY, *values[1:]] if is_key else values

    def call(self, elem_id: str, data: list, event: str = "click") -> str:
        """Everything the server answers, as text."""
        session = secrets.token_hex(8)
        body = {"data": data, "fn_index": self.find(elem_id, event)["id"], "session_hash": session}
        self.post("/gradio_api/queue/join", body)
        said = ""
        address = f"{self.url}/gradio_api/queue/data?session_hash={session}"
        with urllib.request.urlopen(address, timeout=30) as stream:
            for line in stream:
                said += line.decode()
                if b"process_completed" in line or b"close_stream" in line:
                    return said
        return said
