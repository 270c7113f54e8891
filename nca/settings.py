"""What a server is told by its environment: where it keeps jobs, its secret, its limits."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from nca.config import Limits
from nca.files import write_atomic
from nca.jobs.lock import FileLock, holder
from nca.jobs.spec import HOME_NAME, default_home
from nca.jobs.store import Store

DATA = Path("/data")  # where a Space has its disk or bucket, if its owner gave it one
TURN_SECONDS = 20 * 60.0  # of one job on a shared Space, before the next in the queue goes on


class Settings(BaseModel):
    """Everything `app.py` needs to know before it starts.

    Attributes:
        home: where jobs live; never the working or the temp folder.
        checkpoints: the shipped checkpoints, one folder each.
        secret: encrypts what the page keeps in a visitor's browser; the same after a restart.
        limits: what the garden accepts and keeps.
        space: `user/name` of the Space that this server is, None elsewhere.
        lasting: what is in the home is still there after a restart of the machine.
        sign_in: visitors sign in with their account on the Hub; only on a Space.
        own_token: whoever sits at this machine may push with its own token. Never on a Space.
        mcp: the public endpoints are also tools for a language model.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    checkpoints: Path = Path(__file__).parents[1] / "checkpoints"
    secret: str = Field(min_length=16, repr=False)
    limits: Limits = Limits()
    space: str | None = None
    lasting: bool = True
    sign_in: bool = False
    own_token: bool = False
    mcp: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, data: Path = DATA) -> Self:
        """Read NCA_GARDEN_HOME, _SECRET, _OWN_TOKEN, _MCP and what a Hugging Face Space sets.

        On a Space (SPACE_ID), jobs take turns, and live in `data` where a garden can.
        """
        space, home = environ.get("SPACE_ID") or None, default_home(environ)
        given, kept = environ.get("NCA_GARDEN_HOME"), data / HOME_NAME
        if space and not given and data.is_dir() and can_hold_a_garden(kept):
            home = kept
        home.mkdir(parents=True, exist_ok=True)
        # Without SYSTEM, Gradio's button would sign everybody in as the machine's owner.
        real = space is not None and environ.get("SYSTEM") == "spaces"
        return cls(
            home=home,
            secret=environ.get("NCA_GARDEN_SECRET") or kept_secret(home),
            limits=Limits(turn_seconds=TURN_SECONDS if space else None),
            space=space,
            lasting=space is None or home.is_relative_to(data),
            sign_in=real and bool(environ.get("OAUTH_CLIENT_ID")),
            own_token=space is None and environ.get("NCA_GARDEN_OWN_TOKEN") == "1",
            mcp=environ.get("NCA_GARDEN_MCP") == "1",
        )


def can_hold_a_garden(folder: Path) -> bool:
    """Whether jobs can live in a folder: files are replaced, locked, and hold a database.

    A bucket is mounted over the network, and not every such mount can do all of that.
    """
    probe = folder / ".probe"
    try:
        probe.mkdir(parents=True, exist_ok=True)
        write_atomic(probe / "file", b"1")
        lock = FileLock(probe / "lock")
        if not lock.acquire() or holder(probe / "lock") != os.getpid():
            return False
        lock.release()
        store = Store(probe / "garden.sqlite3")
        with store.transaction():
            found = store.next_place()
        store.close()
        return found == 1
    except (OSError, sqlite3.Error):
        return False
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def kept_secret(home: Path) -> str:
    """The secret of this garden, made once and then read from its home."""
    path = home / "secret"
    try:
        if secret := path.read_text().strip():
            return secret
    except OSError:
        pass
    secret = secrets.token_hex(16)
    write_atomic(path, secret.encode())
    path.chmod(0o600)
    return secret
