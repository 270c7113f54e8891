"""Training on ZeroGPU: a graphics card that the Hub lends to a visitor of a Space, for seconds.

The card exists only inside a call of a function that the package `spaces` has decorated. The call
runs in a process forked from this one and draws on the quota of the visitor from whose event it is
made; made from any other thread, it would draw on a small pool that all visitors share. So a
visitor's own event drives the training, in chunks: calls of some seconds each, all of them on the
same folder, which is saved in between. What the chunks leave is continued on the CPU.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Generator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nca.config import BadInput
from nca.jobs.progress import read_progress
from nca.jobs.run import Stop, run_folder
from nca.jobs.spec import STOP, Exit
from nca.logs import job_logger

log = logging.getLogger(__name__)

CHUNK_SECONDS = 20.0
LEAST_SECONDS = 10.0  # where less quota is left, a chunk would mostly load and save
SPARE_SECONDS = 5  # for loading, the last iteration and saving
ON_THE_CPU = "the training goes on on the CPU."
QUOTA = "ZeroGPU quota exceeded"  # titles of the package's errors
TAKEN = "ZeroGPU worker error"
SENTENCES = {
    QUOTA: f"Your GPU time for today is used up; {ON_THE_CPU}",
    TAKEN: f"The GPU was taken away twice; {ON_THE_CPU}",
    "ZeroGPU illegal duration": f"The Hub lends no GPU for so long; {ON_THE_CPU}",
    "ZeroGPU pending credits exceeded": f"You have other GPU tasks running; {ON_THE_CPU}",
    "ZeroGPU queue timeout": f"No GPU became free within a minute; {ON_THE_CPU}",
    "ZeroGPU client error": f"No GPU was lent; reload the page to try again; {ON_THE_CPU}",
}
OTHER = f"The GPU could not be used; {ON_THE_CPU}"


def prepare(environ: Mapping[str, str]) -> ZeroGPU | None:
    """What trains on ZeroGPU; None elsewhere. Call it before torch is imported, and before launch.

    The package changes torch as it is imported, and tells the Hub at the launch of the page which
    functions need a card.
    """
    wanted = environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")
    return ZeroGPU() if wanted and find_spec("spaces") else None


class ZeroGPU:
    """Trains in folders by calls that have a graphics card.

    Args:
        device: where the calls train, as torch names it.
    """

    def __init__(self, device: str = "cuda") -> None:
        import spaces

        self.device = device
        self._run: Any = spaces.GPU(duration=_asked)(_chunk)
        # In this process, so that the forked ones need not: importing takes seconds of quota.
        for name in ("nca.engine.sparse", "nca.jobs.training"):
            import_module(name)

    def train(self, folder: Path, seconds: float = CHUNK_SECONDS) -> Generator[Exit]:
        """Train in a folder chunk by chunk; how each ended. Everything is saved after each.

        The decoder is left to the CPU, because fitting it gains nothing from a card.

        It ends when the training has ended or a file named `stop` is in the folder; closing it ends
        it after the current chunk. Nothing else may train in the folder: see `JobQueue.lend`.

        Args:
            folder: a job's.
            seconds: of a chunk; halved, down to LEAST_SECONDS, when the visitor has less left.

        Raises:
            BadInput: no more chunks can be had; what was trained is saved.
        """
        words, taken = job_logger(log, folder.name), 0
        while not (folder / STOP).exists():
            try:
                code = Exit(self._run(str(folder), seconds, self.device))
            # Every Exception: the package raises Gradio's errors, and this module knows no Gradio.
            except Exception as error:
                title = str(getattr(error, "title", ""))
                words.info("no chunk of %g s: %s", seconds, title or type(error).__name__)
                if title == QUOTA and seconds > LEAST_SECONDS:
                    seconds = max(LEAST_SECONDS, seconds / 2)
                elif title == TAKEN and taken == 0:
                    taken = 1  # what the chunk did is lost; the next begins from what was saved
                else:
                    raise BadInput(SENTENCES.get(title, OTHER)) from None
                continue
            taken = 0
            yield code
            progress = read_progress(folder)
            if code != Exit.PAUSED or progress.iteration == progress.iterations:
                return


def _asked(folder: str, seconds: float, device: str) -> int:
    """How many seconds a chunk asks for; the package multiplies it by what the card costs."""
    return math.ceil(seconds) + SPARE_SECONDS


def _chunk(folder: str, seconds: float, device: str) -> int:
    """Train for some seconds, at least one iteration, so that a slow chunk gets on, too.

    Only plain values pass between the processes.
    """
    path = Path(folder)
    late, trained = Stop(path, seconds), threading.Event()

    def stop() -> bool:
        return (trained.is_set() and late()) or (path / STOP).exists()

    code = run_folder(path, stop, device=device, on_iteration=trained.set, sharpens=False)
    return int(code)
