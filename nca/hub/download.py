"""Pull a checkpoint: checked, pinned to a commit, and cached for when the Hub is out of reach."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from huggingface_hub import hf_hub_download, scan_cache_dir

from nca.card import LIBRARY
from nca.checkpoint import FILES, WEIGHTS, load_checkpoint
from nca.config import BadInput
from nca.files import write_atomic
from nca.hub.client import Hub, Token, is_commit, reading_token, visit
from nca.hub.guard import Guard, Unreachable
from nca.hub.pictures import is_small_picture
from nca.model import NCA
from nca.preview import PREVIEW

TOTAL_BYTES = 3 * 2**20  # received for one pull, without the preview
_ANSWERS = 512 * 1024  # of that, for the Hub's answers besides the files
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".joblib", ".dill")


@dataclass(frozen=True)
class Pulled:
    """A checked checkpoint from the Hub.

    Attributes:
        folder: the checkpoint folder, in the cache; do not write there.
        repo_id: its present name, which differs from the requested one after a rename.
        commit: the revision it is pinned to.
        private: whether it is private or gated.
        note: a sentence for the reader when it is an older copy, because the Hub was out of reach.
    """

    folder: Path
    repo_id: str
    commit: str
    private: bool = False
    note: str | None = None


def pull(hub: Hub, repo_id: str, *, revision: str | None = None, token: Token = False) -> Pulled:
    """Pull an untrusted checkpoint from the Hub into the cache, with all checks.

    Sizes are checked before anything is downloaded, and only files that belong to a checkpoint
    are. When the Hub is out of reach, the copy of an earlier pull is returned, with a note.

    Args:
        hub: the Hub to pull from.
        repo_id: `user/name` or `user/name@revision`.
        revision: a branch, tag or commit, when `repo_id` names none.
        token: for private and gated repos.

    Raises:
        BadInput: there is no such checkpoint, or it is invalid.
        Unreachable: a BadInput; the Hub does not answer, and there is no copy in the cache.
    """
    repo_id, named = hub.split(repo_id)
    wanted = named or hub.split(f"{repo_id}@{revision or 'main'}")[1] or "main"
    token = reading_token(token)
    try:
        pulled = _fetch(hub, repo_id, wanted, token)
    except Unreachable as problem:
        copy = _last_pull(hub, repo_id, wanted, own=token is None)
        if copy is None:
            raise
        load_checkpoint(copy.folder, hub.limits)
        note = f"{problem} {copy.note}"
        return Pulled(copy.folder, copy.repo_id, copy.commit, copy.private, note)
    try:
        load_checkpoint(pulled.folder, hub.limits)
    except BadInput:
        _forget(pulled.folder)
        raise
    _remember(hub, pulled, repo_id, wanted)
    _make_room(hub, keep=pulled.commit)
    return pulled


def from_pretrained(
    repo_id_or_folder: str | Path,
    *,
    revision: str | None = None,
    token: Token = None,
    endpoint: str | None = None,
) -> NCA:
    """The automaton of a checkpoint folder, or of `user/name` on the Hub.

    Args:
        repo_id_or_folder: a folder when there is one of this name, else a repo.
        revision: a branch, tag or commit.
        token: None is the machine's own (HF_TOKEN, or the token file), False is none.
        endpoint: None is $HF_ENDPOINT or huggingface.co.

    Raises:
        BadInput: there is no such checkpoint, or it is invalid.
    """
    if Path(repo_id_or_folder).is_dir():
        return load_checkpoint(repo_id_or_folder).nca
    pulled = pull(Hub(endpoint or ""), str(repo_id_or_folder), revision=revision, token=token)
    return load_checkpoint(pulled.folder).nca


def download(hub: Hub, repo_id: str, names: Iterable[str], commit: str, token: Token) -> Path:
    """Download files of one commit into the cache, within a guard; returns their folder."""
    folder = None
    for name in names:
        path = hf_hub_download(
            repo_id,
            name,
            revision=commit,
            cache_dir=hub.cache_dir,
            token=token,
            endpoint=hub.endpoint,
            library_name=LIBRARY,
        )
        folder = Path(path).parent
        if folder.name != commit:
            raise BadInput(f"The Hub gives another revision of {repo_id} than it said.")
    if folder is None:
        raise BadInput(f"There is nothing to fetch from {repo_id}.")
    return folder


def keep_picture(path: Path) -> None:
    """Keep a downloaded picture in the cache only if it is valid and small; else BadInput."""
    if not is_small_picture(path.read_bytes()):
        path.unlink()
        raise BadInput(f"{path.name} is not a sound picture.")


def _fetch(hub: Hub, repo_id: str, revision: str, token: Token) -> Pulled:
    """Download the files of a revision; their sizes are checked, their content is not."""
    guard: Guard = hub.guard(hub.pull_seconds, TOTAL_BYTES)
    with visit(guard, repo_id):
        info = hub.api(token).model_info(repo_id, revision=revision, files_metadata=True)
        if not is_commit(info.sha):
            raise BadInput(f"The Hub does not say which revision of {repo_id} it gives.")
        repo_id = hub.repo(info.id)
        sizes = {s.rfilename: s.size for s in info.siblings or ()}
        _check_sizes(hub, repo_id, sizes)
        names = [name for name in FILES if name in sizes and name != PREVIEW]
        folder = download(hub, repo_id, names, info.sha, token)
    size = sizes.get(PREVIEW)
    if isinstance(size, int) and size <= hub.preview_bytes:
        guard.bytes_left += hub.preview_bytes
        # Last, and optional: a checkpoint is complete without a preview.
        with suppress(BadInput), visit(guard, repo_id):
            download(hub, repo_id, [PREVIEW], info.sha, token)
            keep_picture(folder / PREVIEW)
    return Pulled(folder, repo_id, info.sha, bool(info.private or info.gated))


def _check_sizes(hub: Hub, repo_id: str, sizes: dict[str, int | None]) -> None:
    """Refuse what cannot be a checkpoint before any of it is downloaded."""
    if WEIGHTS not in sizes:
        if any(name.lower().endswith(_PICKLES) for name in sizes):
            raise BadInput(
                f"{repo_id} holds its weights as pickle files, which can run any program when "
                f"they are read; the garden reads only {WEIGHTS}."
            )
        raise BadInput(f"{repo_id} is not an NCA Garden checkpoint: it has no {WEIGHTS}.")
    total = 0
    for name in FILES:
        if name in sizes and name != PREVIEW:
            size = sizes[name]
            if not isinstance(size, int) or not 0 <= size <= hub.limits.checkpoint_bytes:
                raise BadInput(f"{name} of {repo_id} is too large for a checkpoint.")
            total += size
    if total > TOTAL_BYTES - _ANSWERS:
        raise BadInput(f"The files of {repo_id} are too large for a checkpoint.")


# ---------------------------------------------------------------------------- the cache


def _record(hub: Hub, repo_id: str, revision: str) -> Path:
    """The file that says which commit a name stood for at the last valid pull."""
    return _repo_dir(hub, repo_id) / "nca-garden" / f"{quote(revision, safe='')}.json"


def _repo_dir(hub: Hub, repo_id: str) -> Path:
    return hub.cache_dir / f"models--{repo_id.replace('/', '--')}"


def _remember(hub: Hub, pulled: Pulled, repo_id: str, revision: str) -> None:
    """Record a valid pull; errors are ignored, because only the offline copy depends on it."""
    about = {
        "repo_id": pulled.repo_id,
        "commit": pulled.commit,
        "private": pulled.private,
        "date": datetime.now(UTC).date().isoformat(),
    }
    path = _record(hub, repo_id, revision)
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, json.dumps(about).encode())


def _forget(folder: Path) -> None:
    """Delete an invalid checkpoint from the cache, so that the next pull downloads it again."""
    with suppress(OSError):
        for path in folder.iterdir():
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)


def _last_pull(hub: Hub, repo_id: str, revision: str, own: bool) -> Pulled | None:
    """The copy of the last valid pull, None when there is none.

    A private one is only for the machine's owner: without the Hub, it is not known whether a
    visitor may see it.
    """
    try:
        about = json.loads(_record(hub, repo_id, revision).read_text(encoding="utf-8"))
        name, commit, private = hub.repo(about["repo_id"]), about["commit"], about["private"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    folder = _repo_dir(hub, name) / "snapshots" / str(commit)
    if (private and not own) or not is_commit(commit) or not (folder / WEIGHTS).is_file():
        return None
    return Pulled(folder, name, commit, private, f"This is the copy from {about.get('date')}.")


def _make_room(hub: Hub, keep: str) -> None:
    """Delete the oldest revisions when the garden's own cache is too large."""
    if hub.cache is None:
        return
    with suppress(Exception):  # the next pull tries again
        found = scan_cache_dir(hub.cache)
        excess, going = found.size_on_disk - hub.cache_bytes, []
        revisions = [revision for repo in found.repos for revision in repo.revisions]
        for revision in sorted(revisions, key=lambda r: r.last_modified):
            if excess > 0 and revision.commit_hash != keep:
                going.append(revision.commit_hash)
                excess -= revision.size_on_disk
        if going:
            found.delete_revisions(*going).execute()
