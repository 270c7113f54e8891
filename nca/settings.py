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
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    checkpoints: Path = Path(__file__).parents[1] / "checkpoints"
    secret: str = Field(min_length=16, repr=False)
    limits: Limits = Limits()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """NCA_GARDEN_HOME, NCA_GARDEN_SECRET; a Hugging Face Space (SPACE_ID) takes turns."""
        home = default_home(environ)
        home.mkdir(parents=True, exist_ok=True)
        turn = TURN_SECONDS if environ.get("SPACE_ID") else None
        secret = environ.get("NCA_GARDEN_SECRET") or kept_secret(home)
        return cls(home=home, secret=secret, limits=Limits(turn_seconds=turn))


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
