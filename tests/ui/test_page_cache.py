"""What the server answers from memory must be what Gradio would answer."""

import asyncio
import gzip
import json
import re
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import brotli
import pytest

from nca.ui.page_cache import PageCache


def get(url, **headers):
    asked = {name.replace("_", "-"): value for name, value in headers.items()}
    with urllib.request.urlopen(urllib.request.Request(url, headers=asked), timeout=60) as answer:
        return answer.read(), answer.headers


def test_every_encoding_holds_the_same_page(server):
    plain, headers = get(server.url)
    assert "Content-Encoding" not in headers and b"NCA Garden" in plain
    for encoding, decode in (("br", brotli.decompress), ("gzip", gzip.decompress)):
        for _ in range(2):  # the second comes from memory
            body, headers = get(server.url, Accept_Encoding=encoding)
            assert headers["Content-Encoding"] == encoding
            assert "Accept-Encoding" in headers["Vary"]
            assert len(body) < len(plain) / 3 and decode(body) == plain


def test_a_start_on_a_busy_machine_does_not_wait_for_the_page():
    app = App()
    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "HEAD", "path": "/", "headers": [], "query_string": b""}
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, PageCache(app)(scope, None, send)).result()
    assert sent[0]["status"] == 200 and sent[1]["body"] == b"" and app.calls == 0


def test_the_page_knows_its_own_address_behind_a_proxy(server):
    for host in ("garden.example", "other.example"):
        body, _ = get(f"{server.url}/config", X_Forwarded_Host=host, X_Forwarded_Proto="https")
        assert json.loads(body)["root"] == f"https://{host}"
    assert json.loads(get(f"{server.url}/config")[0])["root"].startswith(server.url)


def test_only_scripts_named_by_their_content_are_kept_by_browsers(server):
    page, headers = get(server.url)
    assert "Cache-Control" not in headers
    script = re.search(rb'assets/index-[^"]+\.js', page)[0].decode()
    first, headers = get(f"{server.url}/{script}")
    assert "immutable" in headers["Cache-Control"]
    assert get(f"{server.url}/{script}")[0] == first
    with pytest.raises(urllib.error.HTTPError) as missing:
        get(f"{server.url}/assets/index-00000000.js")
    assert missing.value.code == 404 and "Cache-Control" not in missing.value.headers


def answered(cache, path, query=b"", **headers):
    """(status, body) that the cache sends for a GET."""
    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        raise AssertionError("nothing is read")

    asked = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http", "method": "GET", "path": path, "query_string": query, "headers": asked,
        "scheme": "http",
    }  # fmt: skip
    # In a thread of its own: after tests with a browser, this one has a running event loop.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, cache(scope, receive, send)).result()
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


class App:
    """Answers with a number that grows; `status` and `headers` as set."""

    def __init__(self, size=1):
        self.calls, self.size, self.status, self.headers = 0, size, 200, []

    async def __call__(self, scope, receive, send):
        self.calls += 1
        head = {"type": "http.response.start", "status": self.status, "headers": self.headers}
        await send(head)
        await send({"type": "http.response.body", "body": b"%d" % self.calls, "more_body": True})
        await send({"type": "http.response.body", "body": b" " * self.size})


def test_what_is_not_the_same_for_everybody_is_never_kept():
    app = App()
    cache = PageCache(app)
    for path, query, headers in (
        ("/gradio_api/queue/data", b"session_hash=1", {}),
        ("/healthz", b"", {}),
        ("/file=secret.js", b"", {}),
        ("/", b"deep_link=abc", {}),
        ("/", b"page=", {}),
        ("/assets/a.js", b"", {"range": "bytes=0-1"}),
    ):
        before = app.calls
        assert answered(cache, path, query, **headers) == (200, b"%d " % (before + 1))
        assert answered(cache, path, query, **headers) == (200, b"%d " % (before + 2))
    for app.status, app.headers in ((500, []), (200, [(b"set-cookie", b"a=b")])):
        before = app.calls
        assert answered(cache, "/")[1] == b"%d " % (before + 1)
        assert answered(cache, "/")[1] == b"%d " % (before + 2)


def test_it_never_holds_more_than_its_limit():
    app = App(size=1000)
    cache = PageCache(app, limit=10_000)
    for i in range(100):
        answered(cache, "/", host=f"{i}.example")
    assert answered(cache, "/", host="99.example")[1].startswith(b"100 ")  # still there
    assert answered(cache, "/", host="0.example")[1].startswith(b"101 ")  # forgotten
    assert sum(len(a.body) for a in cache._answers.values()) <= 10_000
    # A link that the visitor follows does not make another page of it.
    assert answered(cache, "/", b"key=1", host="99.example")[1].startswith(b"100 ")
