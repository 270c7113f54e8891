"""The Hub's address, the limits on its use, and the token that is sent.

Nothing keeps a token. `token=False` sends none, as a server does for a visitor who has not signed
in. `None` sends the machine's own, only for library calls and commands of its owner.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeGuard
from urllib.parse import unquote, urlsplit

from huggingface_hub import HfApi, constants, get_session, get_token, set_client_factory
from huggingface_hub.utils import disable_progress_bars

from nca.card import LIBRARY
from nca.config import BadInput, Limits
from nca.hub.guard import Guard, GuardedClient
from nca.hub.problems import in_plain_words

Token = str | Literal[False] | None

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?"
_REVISION = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,98}[A-Za-z0-9_])?"
_COMMIT = re.compile(r"[0-9a-f]{40}")
_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_VIEWS = ("tree", "blob", "resolve", "raw", "commit", "commits")  # a revision follows
_BLANK = " \t\r\n\u00a0\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"  # stripped from what is pasted
_HOW_TO_NAME = "Please write a name on the Hub as user/name."
_HOW_TO_REVISE = "Please write user/name@revision: a branch, a tag or a commit."


@dataclass(frozen=True)
class Hub:
    """A Hub and the limits on its use. It holds no token.

    Attributes:
        endpoint: its address; $HF_ENDPOINT or huggingface.co when empty.
        cache: where pulled files are kept; the machine's own Hub cache when not given.
        limits: on a checkpoint.
        space: `user/name` of a Space of the garden that cards link to.
        pull_seconds: time limit of one pull or one search in the gallery.
        push_seconds: time limit of one push.
        preview_bytes: a larger `preview.gif` is left out of a pull.
        cache_bytes: size of `cache` above which its oldest revisions are deleted.
    """

    endpoint: str = ""
    cache: Path | None = None
    limits: Limits = Limits()
    space: str | None = None
    pull_seconds: float = 15.0
    push_seconds: float = 120.0
    preview_bytes: int = 4 * 2**20
    cache_bytes: int = 512 * 2**20

    def __post_init__(self) -> None:
        endpoint = (self.endpoint or constants.ENDPOINT).strip().rstrip("/")
        if not re.fullmatch(r"https?://[^/\s]+(/[^\s]*)?", endpoint):
            raise BadInput(
                "The address of the Hub must begin with https:// or http://; please correct "
                "HF_ENDPOINT or --endpoint."
            )
        object.__setattr__(self, "endpoint", endpoint)

    @property
    def home(self) -> str | None:
        """Address of the garden's Space; None when it is not known."""
        return f"{self.endpoint}/spaces/{self.space}" if self.space else None

    @property
    def cache_dir(self) -> Path:
        """The folder of the client's cache."""
        return self.cache or Path(constants.HF_HUB_CACHE)

    def api(self, token: Token) -> HfApi:
        """The Hub's own client, for one call."""
        return HfApi(self.endpoint, token=token, library_name=LIBRARY)

    def guard(self, seconds: float, bytes_left: int, uploads: bool = False) -> Guard:
        """The limits on one visit to this Hub."""
        return Guard(self.endpoint, seconds, bytes_left, uploads)

    def split(self, text: str) -> tuple[str, str | None]:
        """Name and revision in `user/name`, `user/name@revision` or the address of a page.

        Raises:
            BadInput: it is anything else; only ASCII letters, digits and . _ - are in names.
        """
        name, revision = self._from_address(text)
        if (
            not re.fullmatch(f"{_NAME}/{_NAME}", name)
            or len(name) > 96
            or name.endswith(".git")
            or re.search(r"\.\.|--|//", name)
        ):
            raise BadInput(_HOW_TO_NAME)
        if revision is not None and (
            not re.fullmatch(_REVISION, revision) or re.search(r"\.\.|//", revision)
        ):
            raise BadInput(_HOW_TO_REVISE)
        return name, revision

    def _from_address(self, text: str) -> tuple[str, str | None]:
        """Name and revision in what people paste, not yet checked."""
        text = text.strip(_BLANK).removeprefix("hf://").removeprefix("models/")
        _, separator, rest = text.rpartition("://")
        address = re.split(r"[?#]", rest)[0].rstrip("/").split("/")
        own = urlsplit(self.endpoint)
        parts = rest.rstrip("/").split("/")
        if separator or len(address) > 2:  # of two parts, the first may be a user
            below = own.path.strip("/").split("/") if own.path else []
            if [part.lower() for part in address[:1]] == [own.netloc.lower()]:
                parts = address[1:]
                parts = parts[len(below) :] if parts[: len(below)] == below else parts
            elif address[0].lower() in _HOSTS:
                parts = address[1:]
            elif separator:
                raise BadInput(f"This is not an address of {self.endpoint}. {_HOW_TO_NAME}")
        if parts[0] in ("spaces", "datasets") and len(parts) > 2:
            raise BadInput(f"This is a {parts[0][:-1]}, not a model. {_HOW_TO_NAME}")
        if len(parts) > 3 and parts[2] in _VIEWS:
            # A pull request's revision, refs/pr/1, is the only kind with slashes in addresses.
            length = 3 if parts[3] == "refs" else 1
            return "/".join(parts[:2]), unquote("/".join(parts[3 : 3 + length]))
        if len(parts) == 3 and parts[2] in ("tree", "discussions", "settings", "edit"):
            parts = parts[:2]
        name, at, revision = "/".join(parts).partition("@")
        return name, revision if at else None

    def repo(self, text: str) -> str:
        """`user/name`, checked like `split`; BadInput also when a revision follows."""
        name, revision = self.split(text)
        if revision is not None:
            raise BadInput("Please write only user/name here, without a revision.")
        return name


@contextmanager
def visit(guard: Guard, about: str, after: str = "") -> Generator[None]:
    """Use the Hub in the `with` block: with limits, no progress bars, errors as BadInput.

    Args:
        guard: the limits.
        about: the repo, or what is asked for; named in errors.
        after: a sentence that is added to errors.
    """
    with in_plain_words(about, after), disable_progress_bars(), guard():
        _use_guarded_client()
        yield


def account(hub: Hub, *, token: Token) -> str:
    """The name of the account that a token belongs to; BadInput when the Hub refuses it."""
    token = writing_token(token)
    with visit(hub.guard(hub.pull_seconds, 2**18), "this account"):
        name = hub.api(token).whoami()["name"]
        return hub.repo(f"{name}/x").partition("/")[0]


def is_commit(text: str | None) -> TypeGuard[str]:
    """Whether a text is a full commit id."""
    return bool(_COMMIT.fullmatch(text or ""))


def reading_token(token: Token) -> Token:
    """A token that is safe to send: the client's error would quote one with a line break."""
    if not isinstance(token, str):
        return None if token is None else False
    token = token.strip()
    if not re.fullmatch(r"[\x21-\x7e]{1,4096}", token):
        raise BadInput("This is not a token of the Hub; please copy it again.")
    return token


def writing_token(token: Token) -> str:
    """The token as text; None means the machine's own. BadInput when there is none."""
    if token is None:
        token = get_token() or None
        if token is None:
            raise BadInput("No token was found; run `hf auth login`, or set HF_TOKEN.")
    found = reading_token(token)
    if not found:
        raise BadInput("Please sign in to the Hub first, or give a token with write access.")
    return found


def _is_not_about_xet(record: logging.LogRecord) -> bool:
    """A log filter for the client's message that Xet is not used, which is on purpose."""
    return "as a binary IO buffer is not supported by Xet" not in str(record.msg)


_SETTING_UP = threading.Lock()
_guarded = False


def _use_guarded_client() -> None:
    """Make the Hub's library use a client that applies guards, from the first visit on.

    Not at import: a program that only loads a folder keeps its own client, and needs no proxy.
    Only once: a later change would close the client while other threads use it.
    """
    global _guarded
    with _SETTING_UP:
        if not _guarded:
            before = {name: list(hooks) for name, hooks in get_session().event_hooks.items()}
            set_client_factory(lambda: GuardedClient(before))
            logging.getLogger("huggingface_hub._commit_api").addFilter(_is_not_about_xet)
            _guarded = True
