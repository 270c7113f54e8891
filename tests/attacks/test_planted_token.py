"""A token in every place that a visitor can write to: no log of server or worker may hold it."""

import http.client
import json
import secrets
import time
import urllib.error
import urllib.request

import pytest

from tests.ui.server import KEY, Client, serve

TOKEN = "hf_" + "planted" * 5
BEARER = "planted-" + "bearer" * 4


@pytest.fixture(scope="module")
def attacked(tmp_path_factory):
    """A server that has a token of its own, offline."""
    variables = {"HF_TOKEN": "hf_" + "machine" * 5, "HF_HUB_OFFLINE": "1", "NCA_GARDEN_LOG": "json"}
    with serve(tmp_path_factory.mktemp("attacked"), **variables) as server:
        yield server


def ask(url: str, body: bytes | None = None, **headers: str) -> str:
    """The answer, whatever its code."""
    asked = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, asked), timeout=60) as answer:
            return answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace")
    except http.client.IncompleteRead as error:  # a stream that ended with an error
        return error.partial.decode(errors="replace")


def plant(client: Client, index: int, data: list) -> str:
    """Call a handler of the page with `data` and wait for its end."""
    session = secrets.token_hex(8)
    body = json.dumps({"data": data, "fn_index": index, "session_hash": session}).encode()
    said = ask(f"{client.url}/gradio_api/queue/join", body, Content_Type="application/json")
    if "event_id" in said:
        said += ask(f"{client.url}/gradio_api/queue/data?session_hash={session}")
    return said


def forms(value: object) -> list:
    """What a hostile script may send where the page sends `value`."""
    return [TOKEN, [TOKEN], {"own": TOKEN, "link": f"/?key={TOKEN}"}, f"https://me:{TOKEN}@x/"]


@pytest.mark.long
def test_no_log_holds_a_token_that_a_visitor_writes_anywhere(attacked):
    client, server = Client(attacked.url), attacked
    # A training whose worker has a log, with the token as its title.
    client.call("start", client.values("start", recipe="growing", emoji="🐞", size=8, padding=4))
    (job,) = server.jobs()
    worker_log = server.home / "jobs" / job / "worker.log"
    until = time.monotonic() + 120
    while not worker_log.exists():
        assert time.monotonic() < until
        time.sleep(0.2)

    called = 0
    for call in client.calls:
        if not call["backend_fn"]:
            continue
        inputs = call["inputs"]
        usual = [client.parts[i]["props"].get("value") for i in inputs]
        usual = [
            KEY if client.parts[i]["type"] == "browserstate" else value
            for i, value in zip(inputs, usual, strict=True)
        ]
        attacks = [[form] * len(inputs) for form in forms(None)[:2]]
        attacks += [
            [*usual[:place], forms(None)[called % 4], *usual[place + 1 :]]
            for place in range(len(inputs))
        ]
        for data in attacks:
            plant(client, call["id"], data)
            called += 1
    assert called > 200

    for name in ("train", "job", "grow", "pull", "evaluate", "list_checkpoints", TOKEN):
        for body in ({"data": [TOKEN] * 9}, {"data": [TOKEN]}, {TOKEN: TOKEN}, [TOKEN]):
            said = ask(
                f"{client.url}/gradio_api/call/{name}", json.dumps(body).encode(),
                Content_Type="application/json",
            )  # fmt: skip
            if "event_id" in said:
                ask(f"{client.url}/gradio_api/call/{name}/{json.loads(said)['event_id']}")
    for path in (
        f"/?key={TOKEN}", f"/?checkpoint={TOKEN}", f"/{TOKEN}", f"/gradio_api/file={TOKEN}",
        f"/config?deep_link={TOKEN}", f"/healthz?token={TOKEN}", f"/theme.css?{TOKEN}",
        f"/gradio_api/queue/data?session_hash={TOKEN}", f"/assets/{TOKEN}.js",
    ):  # fmt: skip
        ask(client.url + path, Authorization=f"Bearer {BEARER}", Cookie=f"t={TOKEN}")
    boundary = "x" * 20
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{TOKEN}.png"\r\n'
        f"Content-Type: image/png\r\n\r\n{TOKEN}\r\n--{boundary}--\r\n"
    ).encode()
    ask(
        f"{client.url}/gradio_api/upload", body,
        Content_Type=f"multipart/form-data; boundary={boundary}",
    )  # fmt: skip

    logs = [server.log, *server.home.rglob("*.log")]
    assert len(logs) >= 2
    assert "[redacted]" in server.log.read_text()  # something was refused, and noted
    for log in logs:
        text = log.read_text(errors="replace")
        assert TOKEN not in text and BEARER not in text, log
        assert KEY["own"] not in text, log
    client.call("delete", [KEY, job])
