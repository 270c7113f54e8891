"""Serve from memory what is the same for everybody: the page, its config, its scripts and styles.

Gradio copies the whole configuration, fills a template and compresses the result at every request.
For the 100 files of one page this takes seconds on a busy machine.
"""

from __future__ import annotations

import gzip
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

import brotli
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CACHE_BYTES = 16_000_000
MINIMUM = 400  # bytes; smaller answers are not compressed
_PATHS = re.compile(r"/(config|theme\.css|story\.(js|json)|assets/.+\.(js|css))?")
_HASHED = re.compile(
    r"/assets/.*-[A-Za-z0-9_-]{8,}\.(js|css)"
)  # the name contains a hash of the content
_OTHER_PAGES = {"page", "deep_link"}  # query parameters that change the response
# Gradio derives the page's URL, which is part of the response, from these headers.
_ORIGIN = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server")


_HEAD = [(b"content-type", b"text/html; charset=utf-8")]

_Key = tuple[str | None, ...]  # the encoding comes last


@dataclass(frozen=True)
class Answer:
    """A stored response: its headers, with the encoding, and its body in that encoding."""

    headers: list[tuple[bytes, bytes]]
    body: bytes


class PageCache:
    """ASGI middleware; keeps only responses that depend on nothing but the URL and the encoding.

    Args:
        app: the application that serves everything else.
        edit: changes the page's HTML before it is stored.
        limit: total size of the stored bodies in bytes; the least recently used are dropped first.
    """

    def __init__(
        self,
        app: ASGIApp,
        edit: Callable[[bytes], bytes] = lambda page: page,
        limit: int = CACHE_BYTES,
    ) -> None:
        self.app, self.edit, self.limit = app, edit, limit
        self._answers: OrderedDict[_Key, Answer] = OrderedDict()
        self._size = 0
        self._guard = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stored response, or let `app` respond and store that."""
        if scope["type"] == "http" and scope["method"] == "HEAD" and scope["path"] == "/":
            # Gradio asks this when it starts, and refuses to start after 3 s without an answer.
            await send({"type": "http.response.start", "status": 200, "headers": _HEAD})
            await send({"type": "http.response.body", "body": b""})
            return
        key = _key(scope)
        if key is None:
            await self.app(scope, receive, send)
            return
        with self._guard:
            answer = self._answers.get(key)
            if answer is not None:
                self._answers.move_to_end(key)
        if answer is None:
            collected = _Collected(send)
            await self.app(scope, receive, collected)
            if collected.start is None:  # not a 200: it has been passed on unchanged
                return
            if scope["path"] == "/":
                collected.body = self.edit(collected.body)
            answer = _encoded(scope["path"], collected, key[-1])
            self._keep(key, answer)
        await send({"type": "http.response.start", "status": 200, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    def _keep(self, key: _Key, answer: Answer) -> None:
        with self._guard:
            if key in self._answers:  # a concurrent request has stored it
                return
            self._answers[key] = answer
            self._size += len(answer.body)
            while self._size > self.limit:
                _, oldest = self._answers.popitem(last=False)
                self._size -= len(oldest.body)


def _key(scope: Scope) -> _Key | None:
    """What the response depends on, the encoding last; None when it must not be cached."""
    if scope["type"] != "http" or scope["method"] != "GET" or not _PATHS.fullmatch(scope["path"]):
        return None
    headers = Headers(scope=scope)
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    if "range" in headers or _OTHER_PAGES & query.keys():
        return None
    accepted = headers.get("accept-encoding", "")
    encoding = next((name for name in ("br", "gzip") if name in accepted), None)
    origin = tuple(headers.get(name) for name in _ORIGIN)
    return scope["path"], scope["scheme"], scope.get("root_path"), *origin, encoding


class _Collected:
    """Collects a complete 200 response; passes any other on as it comes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.start: Message | None = None
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            plain = not {"set-cookie", "content-encoding"} & set(headers.keys())
            if message["status"] == 200 and plain:
                self.start = message
                return
        elif self.start is not None:
            self.body += message.get("body", b"")
            return
        await self._send(message)


def _encoded(path: str, collected: _Collected, encoding: str | None) -> Answer:
    assert collected.start is not None
    headers, body = MutableHeaders(raw=list(collected.start["headers"])), collected.body
    if encoding and len(body) >= MINIMUM:
        body = brotli.compress(body, quality=5) if encoding == "br" else gzip.compress(body, 6)
        headers["Content-Encoding"] = encoding
    headers["Content-Length"] = str(len(body))
    headers.add_vary_header("Accept-Encoding")
    if _HASHED.fullmatch(path):
        headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return Answer(headers.raw, body)
