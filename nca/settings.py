"""Settings of a server, read from its environment: where it keeps jobs, its secret, its limits."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from nca.config import BadInput, Limits, checked
from nca.files import own_temp_folder, write_atomic
from nca.jobs.lock import FileLock, holder
from nca.jobs.spec import HOME_NAME, default_home, is_disk_full
from nca.jobs.store import Store
from nca.wording import plain_text

log = logging.getLogger(__name__)

DATA = Path("/data")  # where a Space has its persistent storage, if any
PROXIES = ("http", "https", "socks5", "socks5h")
SECRET_LENGTH = 16  # characters, at least
PASSING_SECONDS = 2 * 3600.0  # how long the page keeps uploads and downloads


class Settings(BaseModel):
    """Everything a server needs to know before it starts.

    Attributes:
        home: the folder of the jobs, an absolute path.
        checkpoints: the shipped checkpoints, one folder each.
        secret: encrypts what the page keeps in a visitor's browser; the same after a restart.
        limits: what the garden accepts and keeps.
        space: `user/name` of the Space that this server runs as, None elsewhere.
        lasting: whether the home survives a restart of the machine.
        sign_in: whether visitors sign in with their Hub account; only on a Space.
        own_token: whether pushes may use this machine's own Hub token; never on a Space.
        mcp: whether the public endpoints are also MCP tools, for language models.
        executor: where trainings run: local, or ray for a cluster.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path
    checkpoints: Path = Field(default_factory=lambda: shipped_checkpoints())
    secret: str = Field(min_length=SECRET_LENGTH, repr=False)
    limits: Limits = Limits()
    space: str | None = None
    lasting: bool = True
    sign_in: bool = False
    own_token: bool = False
    mcp: bool = False
    executor: str = "local"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, data: Path = DATA) -> Self:
        """Read NCA_GARDEN_HOME, _SECRET, _LIMITS, _OWN_TOKEN, _MCP, _EXECUTOR; and a Space's own.

        On a Space (SPACE_ID is set), the home is in `data` where possible.

        Raises:
            BadInput: a variable cannot be used, or the home cannot be written; the sentence names
                the variable to change.
        """
        secret = environ.get("NCA_GARDEN_SECRET")
        if secret and len(secret) < SECRET_LENGTH:
            raise BadInput(
                f"Please let NCA_GARDEN_SECRET have at least {SECRET_LENGTH} characters, or leave "
                "it out: then one is made and kept."
            )
        space, given = environ.get("SPACE_ID") or None, environ.get("NCA_GARDEN_HOME")
        lasting = True
        on_disk = data / HOME_NAME
        if space and not given and data.is_dir() and can_hold_a_garden(on_disk):
            home = on_disk
            make_home(home)
        else:
            home, lasting = usable_home(environ)
        # Without SYSTEM, Gradio's button would sign everybody in as the machine's owner.
        real = space is not None and environ.get("SYSTEM") == "spaces"
        return cls(
            home=home,
            secret=secret or stored_secret(home),
            limits=read_limits(environ),
            space=space,
            lasting=lasting and (space is None or home.is_relative_to(data)),
            sign_in=real and bool(environ.get("OAUTH_CLIENT_ID")),
            own_token=space is None and environ.get("NCA_GARDEN_OWN_TOKEN") == "1",
            mcp=environ.get("NCA_GARDEN_MCP") == "1",
            executor=environ.get("NCA_GARDEN_EXECUTOR") or "local",
        )


def shipped_checkpoints() -> Path:
    """The folder of the checkpoints that come with the project.

    `checkpoints/` of a checkout; a wheel holds the same, without the films, as `nca/shipped/`.
    """
    packaged = Path(__file__).parent / "shipped"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "checkpoints"


def usable_home(environ: Mapping[str, str]) -> tuple[Path, bool]:
    """The folder for jobs, created, and whether it lasts.

    Without NCA_GARDEN_HOME, and without a home folder that can be written, it is in the temp
    folder, and a line in the log says so.

    Raises:
        BadInput: the folder that NCA_GARDEN_HOME names cannot be used.
    """
    try:
        home = default_home(environ)
        make_home(home)
        return home, True
    except BadInput:
        if environ.get("NCA_GARDEN_HOME"):
            raise
    home = own_temp_folder() / "home"
    make_home(home)
    log.warning(
        "This user has no home folder that can be written, so trainings are kept in %s and may be "
        "lost with it; NCA_GARDEN_HOME can name another folder.",
        home,
    )
    return home, False


def keep_compiled(settings: Settings, environ: MutableMapping[str, str]) -> None:
    """On a Space with storage, keep Numba's machine code there, so that a restart has it.

    Call this before Numba is imported, and before workers are started.
    """
    if settings.space and settings.lasting:
        environ.setdefault("NUMBA_CACHE_DIR", str(settings.home / "compiled"))


def make_home(home: Path) -> None:
    """Create the folder for jobs unless it exists.

    Raises:
        BadInput: it cannot be created or written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        if is_disk_full(error) and home.is_dir():
            return  # what is there can still be seen and deleted
        raise BadInput(
            f"The folder for jobs, {home}, cannot be written ({error.strerror}); please set "
            "NCA_GARDEN_HOME to one that can."
        ) from error


def keep_uploads_in(home: Path, environ: MutableMapping[str, str]) -> None:
    """Make Gradio keep uploads and downloads in the home, unless GRADIO_TEMP_DIR is set.

    Gradio's default, /tmp/gradio, is shared by all users of a machine and belongs to the first.
    Old files that a killed server left are deleted. Call this before Gradio is imported.

    Raises:
        BadInput: the folder cannot be created or written.
    """
    if environ.get("GRADIO_TEMP_DIR"):
        return
    folder = home / "passing"
    make_home(folder)
    environ["GRADIO_TEMP_DIR"] = str(folder)
    for path in folder.iterdir():
        try:
            if path.stat().st_mtime < time.time() - PASSING_SECONDS:
                shutil.rmtree(path)
        except OSError:
            continue


def check_proxies(environ: Mapping[str, str]) -> None:
    """Check the proxies that the environment names, before a client uses them.

    Raises:
        BadInput: one of them has a scheme that no client here supports, such as `socks://`.
    """
    for name in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"):
        for variable in (name, name.lower()):
            scheme, separator, _ = environ.get(variable, "").strip().partition("://")
            if separator and scheme.lower() not in PROXIES:
                raise BadInput(
                    f"{variable} names a proxy by {plain_text(scheme)[:20]}://, which cannot be "
                    "used; please write socks5://, http:// or https://, or unset it."
                )


def read_limits(environ: Mapping[str, str]) -> Limits:
    """The limits in NCA_GARDEN_LIMITS, a JSON object such as `{"queue_length": 5}`.

    Args:
        environ: the environment; the variable may be missing.

    Raises:
        BadInput: the variable is not a JSON object, or a field is unknown or out of range.
    """
    text = environ.get("NCA_GARDEN_LIMITS", "").strip() or "{}"
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise BadInput(
            'Please write NCA_GARDEN_LIMITS as a JSON object, such as {"queue_length": 5}.'
        )
    try:
        return checked(Limits, values)
    except BadInput as error:
        raise BadInput(f"In NCA_GARDEN_LIMITS: {error}") from None


def limits_table() -> str:
    """All limits as a Markdown table: name, default, meaning."""
    rows = ["| limit | default | |", "|---|---|---|"]
    for name, field in Limits.model_fields.items():
        default = "none" if field.default is None else f"{field.default:,}".removesuffix(".0")
        rows.append(f"| `{name}` | {default} | {field.description} |")
    return "\n".join(rows)


def can_hold_a_garden(folder: Path) -> bool:
    """Whether a folder can be a home: it needs atomic replacement, file locks and SQLite.

    A Space's storage may be mounted over the network, and not every such mount supports them.
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
            position = store.next_position()
        store.close()
        return position == 1
    except (OSError, sqlite3.Error):
        return False
    finally:
        shutil.rmtree(probe, ignore_errors=True)


def stored_secret(home: Path) -> str:
    """The secret of this garden, made once and then read from its home.

    Raises:
        BadInput: it cannot be read or written.
    """
    path = home / "secret"
    try:
        secret = path.read_text(encoding="utf-8").strip()
        if len(secret) >= SECRET_LENGTH:  # a shorter one, cut by a full disk, is replaced
            return secret
    except FileNotFoundError:
        pass
    except (OSError, ValueError):
        raise BadInput(
            f"{path} cannot be read; please make it readable, or set NCA_GARDEN_SECRET."
        ) from None
    secret = secrets.token_hex(16)
    try:
        write_atomic(path, secret.encode(), mode=0o600)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be written ({error.strerror}); please make room there, set "
            "NCA_GARDEN_SECRET, or set NCA_GARDEN_HOME to another folder."
        ) from None
    return secret
