"""Compile the CPU engine before anybody waits for it: `python -m nca.jobs.warm_up`.

Numba compiles at the first use on a machine, which takes seconds, and keeps the result on the
disk. A separate process compiles while the page already answers.
"""

from __future__ import annotations

import os
import subprocess
import sys

from nca.jobs.environment import clean_environment


def start() -> subprocess.Popen[bytes]:
    """Start compiling in the background; end the process when the server ends."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "nca.jobs.warm_up"],
        env=clean_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def main() -> None:
    """One tiny training iteration and one step of growth."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(10)
    import torch

    from nca._compat import keep_compiler_out
    from nca.config import NCAConfig, TrainConfig
    from nca.trainer import Trainer

    keep_compiler_out()
    train = TrainConfig(batch=2, pool_size=2, steps_min=2, steps_max=2)
    trainer = Trainer(NCAConfig(), train, torch.ones(8, 8, 4), "cpu")
    trainer.train_step()
    trainer.nca.grow(trainer.nca.seed(1, 8), 1)


if __name__ == "__main__":
    main()
