"""What a server is told by its environment: where it keeps jobs, its secret, its limits."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from nca.config import Limits
from nca.files import write_atomic
from nca.jobs.spec import default_home

TURN_SECONDS = 20 * 60.0  # of one job on a shared Space, before the next in the queue goes on


class Settings(BaseModel):
    """Everything `app.py` needs to know before it starts.

    Attributes:
        home: where jobs live; never the working or the temp folder.
        checkpoints: the shipped checkpoints, one folder each.
        secret: encrypts what the page keeps in a visitor's browser; the same after a restart.
        limits: what the garden accepts and keeps.
        space: `user/name` of the Space that this server is, None elsewhere.
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
    sign_in: bool = False
    own_token: bool = False
    mcp: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Read NCA_GARDEN_HOME, _SECRET, _OWN_TOKEN, _MCP and what a Hugging Face Space sets.

        On a Space (SPACE_ID), jobs take turns.
        """
        home = default_home(environ)
        home.mkdir(parents=True, exist_ok=True)
        space = environ.get("SPACE_ID") or None
        # Without SYSTEM, Gradio's button would sign everybody in as the machine's owner.
        real = space is not None and environ.get("SYSTEM") == "spaces"
        return cls(
            home=home,
            secret=environ.get("NCA_GARDEN_SECRET") or kept_secret(home),
            limits=Limits(turn_seconds=TURN_SECONDS if space else None),
            space=space,
            sign_in=real and bool(environ.get("OAUTH_CLIENT_ID")),
            own_token=space is None and environ.get("NCA_GARDEN_OWN_TOKEN") == "1",
            mcp=environ.get("NCA_GARDEN_MCP") == "1",
        )


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
