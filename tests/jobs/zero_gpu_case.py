"""A training on ZeroGPU, as far as that goes without a card: `spaces` in its ZeroGPU mode.

The Hub's device API is a double on loopback, which counts, refuses and kills. The two functions
of the package that move tensors to the card are replaced, because there is none. Run as a script,
with a job's folder; prints what happened as JSON.
"""

import base64
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit


class DeviceAPI:
    """`quota` seconds of GPU are lent; chunk number `kill` loses its process."""

    def __init__(self, quota: float, kill: int) -> None:
        self.left, self.kill = quota, kill
        self.started, self.lent, self.refused = 0, {}, []
        self.chunks: list[dict] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                url = urlsplit(self.path)
                asked = {name: values[0] for name, values in parse_qs(url.query).items()}
                status, answer = getattr(api, url.path[1:].replace("-", "_"))(asked)
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def startup_report(self, _asked):
        self.started += 1
        return 200, {}

    def schedule(self, asked):
        seconds = int(asked["durationSeconds"])
        if seconds > self.left:
            self.refused.append(seconds)
            return 429, {"left": int(self.left), "wait": "PT1H"}
        token = f"allow-{len(self.chunks)}"
        self.left -= seconds
        self.chunks.append({"asked": seconds, "token": asked.get("token"), "killed": False})
        self.lent[token] = (time.monotonic(), self.chunks[-1])
        place = {"idle": False, "nvidiaIndex": 0, "nvidiaUUID": "none", "allowToken": token}
        return 200, place

    def allow(self, asked):
        _, chunk = self.lent[asked["allowToken"]]
        chunk["process"] = int(asked["pid"])
        if len(self.chunks) == self.kill:
            chunk["killed"] = True
            os.kill(int(asked["pid"]), signal.SIGKILL)
        return 200, {}

    def release(self, asked):
        began, chunk = self.lent.pop(asked["allowToken"])
        chunk["took"] = time.monotonic() - began
        if not chunk["killed"]:
            os.kill(chunk["process"], signal.SIGKILL)  # the next visitor gets the card
        return 200, {}


def main(folder: str, seconds: str, quota: str, kill: str) -> None:
    api = DeviceAPI(float(quota), int(kill))
    os.environ |= {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": api.url}
    from nca.jobs import zero

    assert "torch" not in sys.modules  # the package must change it as it is imported
    import torch

    if torch.version.cuda is None:  # a CPU build lacks what the package replaces and asks
        torch.version.cuda, torch._C._cuda_init = "13.0", lambda: None
        torch.cuda._is_in_bad_fork = bool
    assert zero.prepare({"SPACES_ZERO_GPU": "false"}) is None
    zero.LEAST_SECONDS = float(seconds) / 2
    card = zero.prepare(os.environ)
    from gradio.context import LocalContext
    from spaces.zero import client
    from spaces.zero import torch as moved

    moved.init = moved.move = lambda *_args, **_options: None
    card.device = "cpu"
    client.startup_report()  # what the launch of a page does
    claims = base64.urlsafe_b64encode(json.dumps({"user": "ann"}).encode()).decode().rstrip("=")
    headers = SimpleNamespace(get=lambda name: f"a.{claims}.c" if name == "x-ip-token" else None)
    LocalContext.request.set(SimpleNamespace(headers=headers))
    codes, sentence = [], None
    try:
        for code in card.train(Path(folder), float(seconds)):
            codes.append(int(code))
    except Exception as error:
        sentence = f"{type(error).__name__}: {error}"
    result = {"codes": codes, "sentence": sentence, "chunks": api.chunks, "refused": api.refused}
    print(json.dumps(result | {"started": api.started}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
