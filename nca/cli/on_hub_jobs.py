"""`python -m nca train --on jobs`: on Hugging Face's machines, on one's own account."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nca.config import BadInput

if TYPE_CHECKING:
    from nca.jobs.hub_executor import HubExecutor
    from nca.jobs.hub_job import Offer
    from nca.jobs.progress import Progress
    from nca.jobs.spec import JobSpec

HOURS = 24.0


PLACES = {
    "here": "this machine",
    "ray": "a Ray cluster, see RAY_ADDRESS",
    "jobs": "Hugging Face Jobs, which is billed to your account there after you agreed to a price",
}


def add_options(train: Any, places: Sequence[str] = ("here", "jobs")) -> None:
    """Add the options to a parser; `places` are some of `PLACES`."""
    train.add_argument(
        "--on",
        choices=places,
        default="here",
        help="where: " + "; ".join(f"{name}, {PLACES[name]}" for name in places),
    )
    train.add_argument("--flavor", default="cpu-basic", help="hardware of Jobs, such as t4-small")
    train.add_argument("--hours", type=float, default=2.0, help="on Jobs: it may run, at most")
    train.add_argument(
        "--spend",
        type=float,
        metavar="DOLLARS",
        help="on Jobs: agree to a price of at most this, without being asked",
    )
    train.add_argument("--endpoint", default="", help="the Hub; HF_ENDPOINT when not given")


def check_options(options: argparse.Namespace) -> None:
    """Raise BadInput when an option for Jobs is out of range."""
    if not 0.05 <= options.hours <= HOURS:
        raise BadInput(f"Please choose --hours from 0.05 to {HOURS:g}.")
    if options.spend is not None and not (math.isfinite(options.spend) and options.spend >= 0):
        raise BadInput("Please write the dollars of --spend as a number, such as 0.10.")


def train(
    options: argparse.Namespace,
    folder: Path,
    spec: JobSpec,
    png: bytes,
    initial: bytes | None,
    stop: Callable[[], bool],
    picture: bytes | None = None,
) -> bool:
    """Train on Hugging Face Jobs with a progress bar; see `HubTraining.run`."""
    from tqdm import tqdm

    from nca.hub import Hub
    from nca.jobs.hub_job import HubTraining

    with tqdm(total=spec.train.iterations, unit="it", desc=spec.title, dynamic_ncols=True) as bar:

        def show(progress: Progress) -> None:
            bar.update(progress.iteration - bar.n)
            if progress.loss:
                bar.set_postfix_str(f"log10 loss {math.log10(progress.loss):.2f}", refresh=False)

        training = HubTraining(
            folder,
            Hub(options.endpoint),
            stop=stop,
            on_progress=show,
            on_notice=lambda sentence: bar.write(sentence, file=sys.stderr),
        )
        return training.run(
            spec,
            png,
            initial,
            options.flavor,
            options.hours * 3600,
            lambda offer: _agree(offer, options.spend, bar.write),
            picture,
        )


def sweep_executor(
    options: argparse.Namespace, trainings: int, at_once: int, say: Callable[[str], object]
) -> HubExecutor:
    """What runs a sweep's trainings on Hugging Face Jobs, once their price has been agreed to.

    Args:
        options: of the command line.
        trainings: how many there are to run.
        at_once: how many at a time.
        say: called with sentences that the user should read.

    Raises:
        BadInput: nobody agreed, or the Hub refuses the account.
    """
    from nca.hub import Hub, account
    from nca.hub import jobs as hub_jobs
    from nca.hub.client import writing_token
    from nca.jobs.hub_executor import HubExecutor
    from nca.jobs.hub_job import Offer

    hub, token, seconds = Hub(options.endpoint), writing_token(None), options.hours * 3600
    if trainings:
        owner = account(hub, token=token)
        hardware = hub_jobs.flavor(hub, options.flavor, token=token)
        if not _agree(Offer(hardware, seconds, owner, trainings), options.spend, print):
            raise BadInput("Nothing was started, and nothing is billed.")
    return HubExecutor(hub, options.flavor, seconds, at_once, say)


def _agree(offer: Offer, spend: float | None, say: Callable[..., object]) -> bool:
    """Whether the user agrees to the price: by --spend, or when asked."""
    if spend is not None:
        if spend < offer.dollars:
            raise BadInput(f"{offer} That is more than --spend {spend:g}; nothing was started.")
        say(str(offer), file=sys.stderr)
        return True
    if not sys.stdin.isatty():
        raise BadInput(
            f"{offer} Please agree with --spend {offer.dollars:.2f}; nothing was started."
        )
    say(str(offer), file=sys.stderr)
    try:
        answer = input(f"Start it for at most ${offer.dollars:.2f}? [y/N] ")
    except EOFError:  # Ctrl-D
        return False
    return answer.strip().lower() == "y"
