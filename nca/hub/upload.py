"""Push a checkpoint, or the project itself as a Space: one commit each."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, SpaceHardware
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from huggingface_hub.hf_api import ModelInfo
from torch import Tensor

from nca.card import LIBRARY, LICENCES, card
from nca.checkpoint import FILES, Checkpoint, load_checkpoint, save_checkpoint
from nca.config import BadInput, CheckpointInfo, checked
from nca.hub.client import Hub, Token, visit, writing_token
from nca.hub.space import (
    ATTRIBUTES,
    LARGE_FILES,
    SITE_README,
    ZERO,
    belongs,
    space_files,
    space_readme,
)
from nca.metrics import METRICS_CSV
from nca.model import NCA

Progress = Callable[[float, str], None]
# Pushed if present, never pulled.
MORE_FILES = ("player.html", "scores.png", "healing.png", METRICS_CSV)
_UNTOUCHED = "Your checkpoint is unchanged and can be pushed again."


@dataclass(frozen=True)
class PushResult:
    """Where a push went.

    Attributes:
        repo_id: `user/name`.
        url: its page, or that of the pull request.
        commit: its id; None when the Hub already had exactly this.
    """

    repo_id: str
    url: str
    commit: str | None


def push(
    hub: Hub,
    folder: str | Path,
    repo_id: str,
    *,
    token: Token,
    private: bool = False,
    licence: str | None = None,
    pull_request: bool = False,
    progress: Progress | None = None,
) -> PushResult:
    """Put a checkpoint folder on the Hub in one commit, with a model card for its repo.

    Args:
        hub: the Hub to push to.
        folder: a checkpoint folder; it is only read.
        repo_id: `user/name`; created when missing.
        token: with write access to it.
        private: create a private repo; one that exists must be private.
        licence: of the picture, one of `nca.card.LICENCES`.
        pull_request: open a pull request on a repo that exists.
        progress: called with a fraction and a few words.

    Raises:
        BadInput: it is not a valid checkpoint, or the Hub refuses it; nothing is changed here,
            and pushing again is safe.
    """
    token, repo_id = writing_token(token), hub.repo(repo_id)
    if licence is not None and licence not in LICENCES:
        raise BadInput(f"Please choose a licence from {', '.join(LICENCES)}.")
    report = progress or _silent
    report(0.0, "Checking")
    checkpoint = load_checkpoint(folder, hub.limits)
    made = checkpoint.info
    guard = hub.guard(hub.push_seconds, 4 * 2**20, uploads=True)
    with visit(guard, repo_id, _UNTOUCHED):
        api = hub.api(token)
        try:
            info = api.model_info(repo_id)
        except RepositoryNotFoundError as error:
            if pull_request or error.response.status_code == 403:  # gated, without access for us
                raise
            report(0.1, "Making the repo")
            api.create_repo(repo_id, private=private, exist_ok=True)
            info = api.model_info(repo_id)
        _check_ours(info, private and not pull_request)
        repo_id = hub.repo(info.id)  # differs after a rename
        files = _files_of(hub, checkpoint, repo_id, licence)
        additions = _additions(files, token)
        for i, addition in enumerate(additions):
            report(0.2 + 0.6 * i / len(additions), f"Sending {addition.path_in_repo}")
            _send(api, repo_id, addition, create_pr=pull_request)
        report(0.8, "Committing")
        commit = api.create_commit(
            repo_id,
            additions,
            commit_message=" ".join(f"{made.title}: {made.iteration} iterations".split()),
            create_pr=pull_request,
            parent_commit=info.sha,
        )
    report(1.0, "Done")
    url = commit.pr_url or f"{hub.endpoint}/{repo_id}"
    return PushResult(repo_id, url, commit.oid if commit.oid != info.sha else None)


def push_to_hub(
    nca: NCA,
    repo_id: str,
    *,
    info: CheckpointInfo | None = None,
    target: Tensor | None = None,
    metrics: dict[str, Any] | None = None,
    private: bool = False,
    licence: str | None = None,
    pull_request: bool = False,
    token: Token = None,
    endpoint: str | None = None,
) -> PushResult:
    """Push an automaton from memory; `push` does the same for a checkpoint folder.

    Args:
        nca: the automaton.
        repo_id: `user/name`; created when missing.
        info: the checkpoint's metadata; by default the repo's name is the title.
        target: premultiplied RGBA, float32 [H, W, 4].
        metrics: anything JSON can hold; `scores` go into the card.
        private: create a private repo; one that exists must be private.
        licence: of the picture, one of `nca.card.LICENCES`.
        pull_request: open a pull request on a repo that exists.
        token: None is the machine's own (HF_TOKEN, or the token file).
        endpoint: None is $HF_ENDPOINT or huggingface.co.

    Raises:
        BadInput: the Hub refuses it.
    """
    hub = Hub(endpoint or "")
    title = hub.repo(repo_id).partition("/")[2][:80]
    info = info or checked(CheckpointInfo, {"title": title})
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(folder, nca, info, target, metrics)
        return push(
            hub,
            folder,
            repo_id,
            token=token,
            private=private,
            licence=licence,
            pull_request=pull_request,
        )


def deploy_space(
    hub: Hub,
    root: str | Path | None,
    repo_id: str,
    *,
    token: Token,
    private: bool = False,
    hardware: str | None = None,
    progress: Progress | None = None,
) -> PushResult:
    """Put the project itself on the Hub as a Gradio Space, in one commit.

    Project files on the Hub that no longer exist here are deleted; other files there stay.

    Args:
        hub: the Hub to push to.
        root: a checkout of the project, None for the installed package; `nca.hub.space` says
            what of it is uploaded.
        repo_id: `user/name` of the Space; created when missing.
        token: with write access to it.
        private: create a private Space; one that exists stays as it is.
        hardware: what it runs on, by its name on the Hub, such as zero-a10g; when None, what it
            has, and for a new Space the Hub's default.
        progress: called with a fraction and a few words.

    Raises:
        BadInput: `root` is not the project, or the Hub refuses it.
    """
    token, repo_id = writing_token(token), hub.repo(repo_id)
    known = [h.value for h in SpaceHardware]
    if hardware is not None and hardware not in known:
        raise BadInput(f"There is no hardware {hardware}; the Hub has {', '.join(known)}.")
    files = space_files(None if root is None else Path(root))
    url = f"{hub.endpoint}/spaces/{repo_id}"
    readme = space_readme(files["README.md"].decode(), url, hardware, files)
    files["README.md"] = readme.encode()
    return _put_space(
        hub, files, repo_id, token, "gradio", private, hardware, belongs, progress or _silent
    )


def deploy_site(
    hub: Hub,
    files: dict[str, bytes],
    repo_id: str,
    *,
    token: Token,
    private: bool = False,
    progress: Progress | None = None,
) -> PushResult:
    """Put a static site on the Hub as a static Space, in one commit.

    Files in the Space's folders `checkpoints` and `emoji` that are not of the site are deleted;
    other files there stay.

    Args:
        hub: the Hub to push to.
        files: the site's files by path, as `nca.player.site.site_files` makes them.
        repo_id: `user/name` of the Space; created when missing.
        token: with write access to it.
        private: create a private Space; one that exists stays as it is.
        progress: called with a fraction and a few words.

    Raises:
        BadInput: the Hub refuses it.
    """
    token, repo_id = writing_token(token), hub.repo(repo_id)
    files = files | {"README.md": SITE_README.encode(), ".gitattributes": ATTRIBUTES.encode()}

    def of_site(path: str) -> bool:
        return path.startswith(("checkpoints/", "emoji/"))

    return _put_space(
        hub, files, repo_id, token, "static", private, None, of_site, progress or _silent
    )


def _put_space(
    hub: Hub,
    files: dict[str, bytes],
    repo_id: str,
    token: str,
    sdk: str,
    private: bool,
    hardware: str | None,
    ours: Callable[[str], bool],
    report: Progress,
) -> PushResult:
    """Make a Space and commit its files; of those there, `ours` says which may be deleted."""
    url = f"{hub.endpoint}/spaces/{repo_id}"
    additions = _additions(files, token)
    guard = hub.guard(5 * hub.push_seconds, 16 * 2**20, uploads=True)
    with visit(guard, f"the Space {repo_id}"):
        api = hub.api(token)
        report(0.0, "Making the Space")
        flavour = SpaceHardware(hardware) if hardware else None
        with _plans_explained(hardware):
            api.create_repo(
                repo_id,
                repo_type="space",
                space_sdk=sdk,
                space_hardware=flavour,
                private=private,
                exist_ok=True,
            )
        info = api.space_info(repo_id)
        there = {s.rfilename for s in info.siblings or ()}
        for i, addition in enumerate(additions):
            report(0.1 + 0.8 * i / len(additions), f"Sending {addition.path_in_repo}")
            if addition.path_in_repo.endswith(LARGE_FILES):  # text goes with the commit itself
                _send(api, repo_id, addition, repo_type="space")
        gone = [CommitOperationDelete(p) for p in sorted(there - files.keys()) if ours(p)]
        report(0.9, "Committing")
        commit = api.create_commit(
            repo_id,
            [*gone, *additions],
            repo_type="space",
            commit_message="Deploy NCA Garden",
            parent_commit=info.sha,
        )
        has = info.runtime and (info.runtime.requested_hardware or info.runtime.hardware)
        if flavour and has != flavour:
            with _plans_explained(hardware):
                api.request_space_hardware(repo_id, flavour)
    report(1.0, "Done")
    return PushResult(repo_id, url, commit.oid if commit.oid != info.sha else None)


@contextmanager
def _plans_explained(hardware: str | None) -> Generator[None]:
    """Say what an account can have when the Hub asks for a paid plan."""
    try:
        yield
    except HfHubHTTPError as error:
        if error.response.status_code != 402:
            raise
        free = (
            "a free account with a verified e-mail address and older than 30 days can have up to "
            "two Spaces on ZeroGPU"
        )
        if hardware == ZERO:
            words = f"The Hub gives this account no more Spaces on ZeroGPU: {free}."
        else:
            words = (
                f"The Hub gives this account no Space on {hardware or 'a CPU'} without a paid "
                f"plan; {free}: please add --hardware {ZERO}."
            )
        raise BadInput(words) from None


def _files_of(
    hub: Hub, checkpoint: Checkpoint, repo_id: str, licence: str | None
) -> dict[str, bytes]:
    """The files to push; the card and config.json are made from the checked metadata."""
    info, folder = checkpoint.info, checkpoint.folder
    paths = [path for name in (*FILES, *MORE_FILES) if (path := folder / name).is_file()]
    for path in paths:
        if path.stat().st_size > hub.limits.upload_bytes:
            raise BadInput(f"{path.name} of this checkpoint is too large to share.")
    files = {path.name: path.read_bytes() for path in paths}
    files["config.json"] = info.model_dump_json(indent=2).encode()
    text = card(info, checkpoint.metrics, repo_id, licence, hub.space, pictures=files)
    files["README.md"] = text.encode()
    return files


def _additions(files: dict[str, bytes], token: str) -> list[CommitOperationAdd]:
    """The files to commit; BadInput when one of them holds the token.

    They are streams, because the client sends streams over plain HTTP, where the guard checks
    them, and not over Xet. Xet gains nothing at this size, and not every server has it.
    """
    for name, data in files.items():
        if token.encode() in data:
            raise BadInput(f"{name} contains your token; take it out before sharing.")
    return [CommitOperationAdd(name, io.BytesIO(data)) for name, data in files.items()]


def _send(api: HfApi, repo_id: str, addition: CommitOperationAdd, **options: Any) -> None:
    """Send one file before the commit, if the Hub stores it as a large file.

    One at a time, in this thread: the client sends several from threads without a guard.
    """
    api.preupload_lfs_files(repo_id, [addition], free_memory=False, **options)


def _check_ours(info: ModelInfo, private: bool) -> None:
    """Refuse to overwrite a model of another kind, or to publish what should be private."""
    names = {s.rfilename for s in info.siblings or ()} - {".gitattributes", "README.md"}
    if names and LIBRARY not in {info.library_name, *(info.tags or ())}:
        raise BadInput(f"{info.id} holds something else; please choose another name.")
    if private and not info.private:
        raise BadInput(f"{info.id} is public already; please choose a new name for a private one.")


def _silent(_fraction: float, _text: str) -> None:
    """Ignore progress."""
