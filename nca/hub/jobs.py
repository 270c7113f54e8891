"""Hugging Face Jobs: what hardware costs, start a job, follow it, cancel it; and its repository.

A job's files travel through a private model repository of the account that pays for the job.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from huggingface_hub import CommitOperationAdd, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError

from nca.card import LIBRARY
from nca.config import BadInput
from nca.hub.client import Hub, Token, account, visit, writing_token

FOLDER_BYTES = 256 * 2**20  # of all files of a training
LOG_BYTES = 16 * 2**20  # of one look at a log, which the Hub sends from its beginning
LABEL = {"app": LIBRARY}
NO_CREDIT = (
    "This account has no credit for Jobs; please add some in its billing settings on the Hub. "
    "Nothing was started."
)
NO_PERMISSION = (
    "This token may not start Jobs or write repositories; please make one with both permissions "
    "in your settings on the Hub. Nothing was started."
)
ENDED = ("COMPLETED", "CANCELED", "ERROR", "DELETED")


@dataclass(frozen=True)
class Flavor:
    """Hardware that jobs can run on.

    Attributes:
        name: as `start` takes it.
        title: for display.
        dollars_per_hour: what it costs.
        gpu: whether it has a graphics card.
    """

    name: str
    title: str
    dollars_per_hour: float
    gpu: bool


@dataclass(frozen=True)
class HubJob:
    """A job of an account.

    Attributes:
        id: the job.
        owner: the account.
        url: its page.
        stage: SCHEDULING, RUNNING, or one of `ENDED`.
        message: what the Hub says about the stage; None when nothing.
    """

    id: str
    owner: str
    url: str
    stage: str
    message: str | None

    @property
    def ended(self) -> bool:
        """Whether it runs no more."""
        return self.stage in ENDED


def flavor(hub: Hub, name: str, *, token: Token) -> Flavor:
    """Hardware by its name, with its price of today.

    Raises:
        BadInput: there is none of this name, or the Hub does not say what it costs by the hour.
    """
    token = writing_token(token)
    with visit(hub.guard(hub.pull_seconds, 2**20), "the hardware of Jobs"):
        found = {info.name: info for info in hub.api(token).list_jobs_hardware()}
    if (info := found.get(name)) is None:
        raise BadInput(f"There is no {name} for Jobs; please choose from {', '.join(found)}.")
    per_hour = {"minute": 60.0, "hour": 1.0, "second": 3600.0}.get(info.unit_label)
    if per_hour is None:
        raise BadInput(f"The Hub does not say what an hour on {name} costs.")
    dollars = info.unit_cost_micro_usd * 1e-6 * per_hour
    return Flavor(info.name, info.pretty_name, dollars, info.accelerator is not None)


def start(
    hub: Hub,
    *,
    token: Token,
    image: str,
    command: list[str],
    flavor: str,
    timeout: int,
    env: Mapping[str, str],
    secrets: Mapping[str, str],
    labels: Mapping[str, str],
) -> HubJob:
    """Start a job, which is billed to the account of the token.

    Args:
        hub: the Hub.
        token: of the account.
        image: a container image.
        command: what to run in it.
        flavor: the hardware.
        timeout: seconds after which the Hub ends the job.
        env: variables that the account's owner can read on the job's page.
        secrets: variables that nobody can read.
        labels: for finding it again.

    Raises:
        BadInput: the account has no credit or the token no permission; nothing was started.
    """
    owner, token = account(hub, token=token), writing_token(token)
    with visit(hub.guard(hub.pull_seconds, 2**20), "Jobs"):
        try:
            info = hub.api(token).run_job(
                image=image,
                command=command,
                flavor=flavor,
                timeout=timeout,
                env=dict(env),
                secrets=dict(secrets),
                labels={**LABEL, **labels},
                namespace=owner,
            )
        except HfHubHTTPError as error:
            if error.response.status_code == 402:
                raise BadInput(NO_CREDIT) from None
            if error.response.status_code == 403:
                raise BadInput(NO_PERMISSION) from None
            raise
        return _job(info)


def look(hub: Hub, owner: str, job: str, *, token: Token) -> HubJob:
    """The stage of a job.

    Raises:
        BadInput: there is no such job, or the token may not see it.
        Unreachable: a BadInput; the Hub does not answer now.
    """
    token = writing_token(token)
    with visit(hub.guard(hub.pull_seconds, 2**20), f"the job {job}"):
        return _job(hub.api(token).inspect_job(job_id=job, namespace=owner))


def log_lines(hub: Hub, owner: str, job: str, *, token: Token, tail: int) -> list[str]:
    """The last lines of a job's log, at most `tail`, oldest first."""
    token = writing_token(token)
    with visit(hub.guard(hub.pull_seconds, LOG_BYTES), f"the job {job}"):
        api = hub.api(token)
        return list(api.fetch_job_logs(job_id=job, namespace=owner, follow=False, tail=tail))


def cancel(hub: Hub, owner: str, job: str, *, token: Token) -> None:
    """End a job; it gets a moment to save. Nothing happens when it has ended."""
    token = writing_token(token)
    with visit(hub.guard(hub.pull_seconds, 2**20), f"the job {job}"):
        hub.api(token).cancel_job(job_id=job, namespace=owner)


# ---------------------------------------------------------------------------- its repository


def make_repo(hub: Hub, repo: str, *, token: Token) -> None:
    """Make a private model repository, if there is none of this name.

    Raises:
        BadInput: there is a public one.
    """
    token = writing_token(token)
    with visit(hub.guard(hub.pull_seconds, 2**20), repo):
        api = hub.api(token)
        api.create_repo(repo, private=True, exist_ok=True)
        if not api.model_info(repo).private:
            raise BadInput(f"{repo} is public; please delete it, or train in another folder.")


def send(hub: Hub, repo: str, files: Mapping[str, bytes], *, token: Token, message: str) -> None:
    """Put files into a repository in one commit."""
    token = writing_token(token)
    total = sum(map(len, files.values()))
    with visit(hub.guard(hub.push_seconds + total / 200_000, 4 * 2**20, uploads=True), repo):
        api = hub.api(token)
        additions = [CommitOperationAdd(name, io.BytesIO(data)) for name, data in files.items()]
        for addition in additions:  # one at a time: the client's threads have no guard
            api.preupload_lfs_files(repo, [addition], free_memory=False)
        api.create_commit(repo, additions, commit_message=message)


def fetch(hub: Hub, repo: str, *, token: Token, skip: Iterable[str] = ()) -> dict[str, bytes]:
    """All files of a repository, by path.

    Args:
        hub: the Hub.
        repo: `user/name`.
        token: that may read it.
        skip: paths to leave out.

    Raises:
        BadInput: they are larger than a training's files, or a path leads elsewhere.
    """
    token, skipped = writing_token(token), {".gitattributes", *skip}
    seconds = hub.push_seconds + FOLDER_BYTES / 1_000_000
    with visit(hub.guard(seconds, FOLDER_BYTES), repo):
        info = hub.api(token).model_info(repo, files_metadata=True)
        sizes = {s.rfilename: s.size for s in info.siblings or () if s.rfilename not in skipped}
        if sum(size or 0 for size in sizes.values()) > FOLDER_BYTES:
            raise BadInput(f"{repo} is larger than a training; it was left on the Hub.")
        found: dict[str, bytes] = {}
        for name in sizes:
            parts = name.split("/")
            if ".." in parts or parts[0].startswith(".") or "\\" in name or len(parts) > 2:
                raise BadInput(f"{repo} holds a file that no training writes.")
            path = hf_hub_download(
                repo,
                name,
                revision=info.sha,
                cache_dir=hub.cache_dir,
                token=token,
                endpoint=hub.endpoint,
                library_name=LIBRARY,
            )
            with open(path, "rb") as file:
                found[name] = file.read()
        return found


def delete_repo(hub: Hub, repo: str, *, token: Token) -> None:
    """Delete a repository of a job."""
    token = writing_token(token)
    with visit(hub.guard(hub.pull_seconds, 2**20), repo):
        hub.api(token).delete_repo(repo, missing_ok=True)


def _job(info: Any) -> HubJob:
    status = info.status
    stage = getattr(status.stage, "value", status.stage)
    return HubJob(info.id, info.owner.name, info.url, str(stage), status.message)
