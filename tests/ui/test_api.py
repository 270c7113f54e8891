"""What somebody can do who talks to the server without the page."""

import json
import secrets
import time
import urllib.error

import pytest

from tests.ui.server import KEY, Client


@pytest.fixture
def client(server) -> Client:
    return Client(server.url)


FORGED = [
    {"size": 10**6}, {"size": -1}, {"size": 40.5}, {"padding": 1e9}, {"iterations": 10**12},
    {"batch": 0}, {"batch": 1000}, {"pool-size": 10**9}, {"channels": 33}, {"channels": "many"},
    {"hidden": "9999999"}, {"hidden": "128; rm -rf /"}, {"hidden": ""}, {"hidden": None},
    {"steps-min": 500, "steps-max": 10}, {"steps-max": 10**6}, {"recipe": "../quick"},
    {"recipe": None}, {"emoji": ["🦎"]}, {"emoji": "x" * 10**5}, {"emoji": None},
    {"source": "upload", "upload": {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}},
    {"source": "upload", "upload": {"path": "../../etc/passwd"}}, {"source": "upload"},
    {"source": "draw", "drawing": "data:image/png;base64,!!"}, {"source": "draw", "drawing": 7},
    {"source": "draw", "drawing": "data:image/svg+xml;base64,PHN2Zy8+"}, {"source": "nothing"},
    {"several": 7}, {"several": "{"}, {"several": "[]"}, {"several": '[{"source":"emoji"}]'},
    {"damage-count": 64}, {"device": "cuda:7"}, {"seed-of-training": -1},
]  # fmt: skip


def test_forged_values_start_nothing(client, server):
    before = set(server.jobs())
    for forged in FORGED:
        said = client.call("start", client.values("start", **forged))
        assert "Traceback" not in said and "root:" not in said, forged
        assert set(server.jobs()) == before, forged
    for data in ([], [KEY], [None] * 50):
        try:
            assert "Traceback" not in client.call("start", data)
        except urllib.error.HTTPError as error:
            assert error.code < 500
        assert set(server.jobs()) == before


def test_forged_recordings_make_no_film(client):
    for sent in ("", "null", "{", "[]", '{"format": "nca-garden-recording-1"}', None, 7, "x" * 99):
        values = client.values("save-film", recording=sent)
        said = client.call("save-film", values)
        assert "Please note" in said and "not your fault" not in said, (sent, said)


def test_without_a_key_nothing_starts(client, server):
    before = set(server.jobs())
    values = client.values("start")
    for key in (None, "", "a" * 32, {"own": "../../x"}, {"own": None}, {"own": {"$ne": 1}}, [1]):
        client.call("start", [key, *values[1:]])
        assert set(server.jobs()) == before, key


def test_nobody_touches_another_visitors_job(client, server):
    before = set(server.jobs())
    small = {"size": 16, "padding": 4, "batch": 2, "damage-count": 1, "pool-size": 16,
             "channels": 8, "hidden": "16", "iterations": 100_000}  # fmt: skip
    client.call("start", client.values("start", **small))
    (job,) = set(server.jobs()) - before
    thief = {"own": secrets.token_hex(16), "link": None}
    for action in ("stop", "resume", "delete"):
        said = client.call(action, [thief, job])
        assert "it is not yours" in said, said
    assert "it is not yours" in client.call("grow-it", [thief, job])
    assert "it is not yours" in client.call("download-zip", [thief, f"job:{job}"])
    assert "it is not yours" in client.call("download-player", [thief, f"job:{job}", "", "[]"])
    pair = [thief, "shipped:lizard-regenerating", f"job:{job}"]
    assert "it is not yours" in client.call("download-player", [*pair, "[]"])
    assert "it is not yours" in client.call("beside", [*pair, ""], event="input")
    for name in (f"shipped:../{job}", "shipped:/etc", f"../{job}", "job:../../x", "job:"):
        said = client.call("download-zip", [KEY, name])
        assert "not yours" in said or "choose an automaton" in said, said
    # No address serves the folder, wherever it is.
    for path in (server.home / "garden.sqlite3", server.home / "jobs" / job / "target.png"):
        with pytest.raises(urllib.error.HTTPError):
            client.get(f"/gradio_api/file={path}")
    assert "Stop" in client.call("stop", [KEY, job])
    client.call("delete", [KEY, job])
    until = time.monotonic() + 20
    while job in server.jobs():
        assert time.monotonic() < until, "it was not deleted"
        time.sleep(0.1)


def test_nothing_else_is_published(client):
    published = json.loads(client.get("/gradio_api/info"))
    few = {"/train", "/job", "/grow", "/evaluate", "/list_checkpoints", "/pull"}
    assert set(published["named_endpoints"]) == few and not published["unnamed_endpoints"]
    public = [call for call in client.calls if call["api_visibility"] != "private"]
    assert {f"/{call['api_name']}" for call in public} == few
    with pytest.raises(urllib.error.HTTPError):
        client.post("/gradio_api/run/start", {"data": []})
