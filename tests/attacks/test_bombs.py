"""Checkpoints that claim to be large: refused without taking memory."""

import os
import subprocess
import sys

from tests.jobs_kit import ROOT

# ru_maxrss is the largest a process has been, so that nothing is missed between two looks.
MEASURE = """
import resource
from nca.checkpoint import weights_from_bytes
from nca.config import BadInput, Limits, NCAConfig
from nca.model import NCA
from tests.test_checkpoint import hostile

nca = NCA(NCAConfig(), 0)
bombs = list(hostile(nca))


def refuse(bombs):
    for name, data in bombs:
        try:
            weights_from_bytes(data, Limits())
        except BadInput:
            continue
        raise SystemExit(f"{name} was accepted")


refuse(bombs[:1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
refuse(bombs)
print(len(bombs), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_refused_checkpoint_takes_no_memory():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", MEASURE], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    bombs, grown = map(int, done.stdout.split())
    assert bombs > 15 and grown < 10 * 1024  # kilobytes
