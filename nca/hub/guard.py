"""Limits on a visit to the Hub: which hosts, how many bytes, how many seconds.

The Hub's client follows redirects anywhere, reads bodies of any length and sleeps as long as a
server asks it to. A `Guard` prevents all of that through the hooks of its HTTP client.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import httpx2

from nca.config import BadInput

# The Hub serves large files from subdomains of these.
HUB_DOMAINS = ("huggingface.co", "hf.co")
SOCKET_SECONDS = 10.0
UNREACHABLE = "The Hub cannot be reached from here; please check the connection and try again."
TOO_SLOW = "The Hub takes too long to answer; please try again later."
_GUARD: ContextVar[Guard | None] = ContextVar("nca_hub_guard", default=None)
# The values of these headers become parts of paths in the cache.
_PATH_HEADERS = ("etag", "x-linked-etag", "x-repo-commit")
_XET_HEADERS = ("x-xet-hash", "x-xet-refresh-route")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Unreachable(BadInput):
    """The Hub gives no usable answer now, but may later; a cached copy can be used instead."""


class Guard:
    """Limits one visit: all requests made in a `with guard():` block in this thread.

    Args:
        endpoint: the Hub; its host, and the Hub's own domains, are the only ones contacted.
        seconds: for the whole visit.
        bytes_left: how much may be received, bodies of errors and redirects included.
        uploads: whether files may also be sent to hosts that the Hub names, over https and
            never with a token.
    """

    def __init__(
        self, endpoint: str, seconds: float, bytes_left: int, uploads: bool = False
    ) -> None:
        self.origin = _origin(httpx2.URL(endpoint))
        self.uploads = uploads and self.origin[0] == "https"
        self.ends = time.monotonic() + seconds
        self.bytes_left = bytes_left

    @contextmanager
    def __call__(self) -> Generator[Guard]:
        """Make this the guard of the requests in the `with` block."""
        token = _GUARD.set(self)
        try:
            yield self
        finally:
            _GUARD.reset(token)

    def seconds_left(self) -> float:
        """Time until the visit ends; Unreachable when that is now."""
        left = self.ends - time.monotonic()
        if left <= 0:
            raise Unreachable(TOO_SLOW)
        return left

    def check_request(self, request: httpx2.Request) -> None:
        """Refuse a foreign host; bound every wait on the socket."""
        wait = min(SOCKET_SECONDS, self.seconds_left())
        request.extensions["timeout"] = dict.fromkeys(("connect", "read", "write", "pool"), wait)
        # Compressed, a few bytes could unpack to gigabytes.
        request.headers["accept-encoding"] = "identity"
        # All visitors share one client: a cookie of one must not be sent for another.
        request.headers.pop("cookie", None)
        if not self._is_hub(request.url) and (
            not self.uploads or request.url.scheme != "https" or "authorization" in request.headers
        ):
            raise BadInput("The Hub points to a foreign server, where the garden does not go.")

    def check_response(self, response: httpx2.Response) -> None:
        """Refuse what is too large or unsafe to cache; count the bytes of the rest."""
        if response.status_code == 429:
            raise Unreachable("The Hub asks for a pause; please try again in a few minutes.")
        if response.status_code >= 500:
            raise Unreachable(
                f"The Hub has a problem of its own (error {response.status_code}); "
                "please try again later."
            )
        if response.headers.get("content-encoding", "identity") != "identity":
            raise BadInput("The Hub's answer is compressed although that was not asked for.")
        for name in _PATH_HEADERS:
            value = response.headers.get(name, "")
            if not re.fullmatch(r'(W/)?"?[\w.:=+-]*"?', value) or ".." in value:
                raise BadInput(f"The Hub's answer has an unusable {name} header.")
        # Without these the client downloads over HTTP, which is checked here, and not over Xet.
        for name in _XET_HEADERS:
            response.headers.pop(name, None)
        declared = response.headers.get("content-length", "0")
        if response.request.method != "HEAD" and (
            not declared.isdecimal() or int(declared) > self.bytes_left
        ):
            raise _too_much()
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Counted(response.stream, self)

    def _is_hub(self, url: httpx2.URL) -> bool:
        if _origin(url) == self.origin:
            return True
        # A mirror redirects to the Hub's own hosts, over https; a Hub of a test does not.
        host, both = url.host.lower(), url.scheme == self.origin[0] == "https"
        return both and any(host == name or host.endswith("." + name) for name in HUB_DOMAINS)


class _Counted(httpx2.SyncByteStream):
    """A body that ends with an error when it is longer, or comes slower, than the guard allows."""

    def __init__(self, stream: httpx2.SyncByteStream, guard: Guard) -> None:
        self._stream, self._guard = stream, guard

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._guard.bytes_left -= len(chunk)
            if self._guard.bytes_left < 0:
                raise _too_much()
            self._guard.seconds_left()
            yield chunk

    def close(self) -> None:
        self._stream.close()


class GuardedClient(httpx2.Client):
    """The HTTP client that `huggingface_hub` makes by itself, with the guard's hooks added.

    Outside a `with guard():` block it behaves as before, because other code uses it too.

    Args:
        before: the hooks of the library's own client, which come first.
    """

    def __init__(self, before: Mapping[str, list[Callable[..., Any]]]) -> None:
        super().__init__(
            event_hooks={
                "request": [*before["request"], _on_request],
                "response": [*before["response"], _on_response],
            },
            follow_redirects=True,
            timeout=None,
        )

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send a request; within a guard, one that finds no connection is not tried again.

        The library repeats a request whose connection broke later.
        """
        try:
            return super().send(request, **options)
        except (httpx2.ConnectError, httpx2.ProxyError):
            if _GUARD.get():
                raise Unreachable(UNREACHABLE) from None
            raise


def _on_request(request: httpx2.Request) -> None:
    if guard := _GUARD.get():
        guard.check_request(request)


def _on_response(response: httpx2.Response) -> None:
    if guard := _GUARD.get():
        guard.check_response(response)


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host.lower(), url.port or _DEFAULT_PORTS.get(url.scheme)


def _too_much() -> BadInput:
    return BadInput("The Hub sends more than a checkpoint needs; it was refused.")
