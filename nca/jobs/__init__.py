"""Jobs: a queue of trainings, each in its own process and folder; see `JobQueue`.

Own rows in SQLite instead of a queue library, because the libraries hand out work but cannot end
it: huey's `revoke` only keeps a task from starting, and its consumer, like those of litequeue and
persist-queue, knows no owner and no position in the queue, and starts a task again while an orphan
of the last server may still be writing. What is left of them once that is added is one INSERT.
"""

from nca.jobs.environment import clean_environment
from nca.jobs.job_queue import Health, JobQueue, JobView, find_devices
from nca.jobs.keys import NOT_YOURS
from nca.jobs.progress import Progress, Result
from nca.jobs.spec import (
    BATCH,
    POOL,
    PREVIEW,
    TARGET,
    JobSpec,
    Target,
    default_home,
    read_spec,
    snapshot_pictures,
    snapshots,
)

__all__ = [
    "BATCH",
    "NOT_YOURS",
    "POOL",
    "PREVIEW",
    "TARGET",
    "Health",
    "JobQueue",
    "JobSpec",
    "JobView",
    "Progress",
    "Result",
    "Target",
    "clean_environment",
    "default_home",
    "find_devices",
    "read_spec",
    "snapshot_pictures",
    "snapshots",
]
