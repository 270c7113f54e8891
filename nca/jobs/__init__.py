"""Jobs: a queue of trainings, each in its own process and folder; see `JobQueue`.

The queue is a table of our own in SQLite, because queue libraries can start tasks but not end them:
huey's `revoke` only keeps a task from starting. Its consumer, like those of litequeue and
persist-queue, has no owners and no positions in the queue, and restarts a task while an orphan of
the last server may still be writing. With all that added, a library would save us one INSERT.
"""

from nca.jobs.environment import clean_environment
from nca.jobs.executor import executor_named, find_devices
from nca.jobs.health import Health
from nca.jobs.job_queue import JobQueue
from nca.jobs.keys import NOT_YOURS
from nca.jobs.progress import Progress, Result
from nca.jobs.spec import (
    BATCH,
    HEALING,
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
from nca.jobs.views import JobView

__all__ = [
    "BATCH",
    "HEALING",
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
    "executor_named",
    "find_devices",
    "read_spec",
    "snapshot_pictures",
    "snapshots",
]
