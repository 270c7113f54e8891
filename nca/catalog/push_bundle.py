"""The files of a push: a copy of the checkpoint, with its preview and the player."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from nca.checkpoint import FILES, load_checkpoint
from nca.config import Limits
from nca.files import write_atomic
from nca.player import export_html
from nca.preview import PREVIEW, save_preview

log = logging.getLogger(__name__)


@contextmanager
def push_bundle(folder: Path, limits: Limits, home: str | None = None) -> Generator[Path]:
    """A checkpoint folder for a push, deleted after the block; `folder` is only read.

    The preview is made if it is missing, as in a training that still runs; the player always, with
    a link to the garden at `home`, if any.
    """
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for part in FILES:
            if (folder / part).is_file():
                shutil.copyfile(folder / part, copy / part)
        loaded = load_checkpoint(copy, limits)
        if not (copy / PREVIEW).exists():
            save_preview(copy, loaded.nca, loaded.info, loaded.size, loaded.decoder)
        try:
            write_atomic(copy / "player.html", export_html(copy, home=home).encode())
        except (OSError, ValueError):  # the checkpoint can be pushed without it
            log.exception("No player was made")
        yield copy
