"""How many threads a training on the CPU should use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# Variables that limit the threads of numerical libraries.
VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def thread_count(
    environ: Mapping[str, str] = os.environ,
    cgroups: Path = CGROUPS,
    membership: Path = MEMBERSHIP,
) -> int:
    """The smallest of the cores for this process, its CPU quota, and what the user has set.

    Args:
        environ: searched for `VARIABLES`; a list such as "4,2" counts as its first number.
        cgroups: where the control groups are mounted, version 1 or 2.
        membership: which of them this process is in, as Linux lists them.

    Returns:
        At least 1. A quota of 1.5 cores is one thread: two would be throttled 1/4 of the time.
    """
    bounds = [_affinity()]
    quota = cpu_quota(cgroups, membership)
    if quota is not None:
        bounds.append(int(quota))
    for name in VARIABLES:
        text = environ.get(name, "").partition(",")[0].strip()
        if text.isdecimal() and int(text) > 0:
            bounds.append(int(text))
    return max(1, min(bounds))


def cpu_quota(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> float | None:
    """The CPU quota of the control groups, in cores; None when there is no limit."""
    quotas = []
    for line in _text(membership).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            quotas += [_quota_2(folder) for folder in _upwards(cgroups, path)]
        elif "cpu" in controllers.split(","):
            for name in ("cpu", controllers):
                quotas += [_quota_1(folder) for folder in _upwards(cgroups / name, path)]
    known = [quota for quota in quotas if quota is not None]
    return min(known, default=None)


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _upwards(root: Path, path: str) -> list[Path]:
    """A group's folder and its parents up to `root`; a container may have only `root`."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return [root.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]


def _quota_2(folder: Path) -> float | None:
    """Version 2: "150000 100000" or "max 100000"."""
    return _ratio(*(_text(folder / "cpu.max").split() + ["", ""])[:2])


def _quota_1(folder: Path) -> float | None:
    """Version 1: two files; -1 is no limit."""
    return _ratio(_text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us"))


def _ratio(quota: str, period: str) -> float | None:
    quota, period = quota.strip(), period.strip()
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return None
    return int(quota) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
