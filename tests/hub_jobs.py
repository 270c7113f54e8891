"""Hugging Face Jobs on the loopback Hub: a job is a process of this machine.

Its image is a folder with a `uv` of our own: the environment that it makes is the one of the tests,
and what it is asked to install is only written down.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.hub_server import ROUTES, Handler, HubServer, Refused

UV = """#!/bin/sh
echo "$@" >> "{record}"
if [ "$1" = venv ]; then
    for folder; do :; done
    mkdir -p "$folder/bin"
    printf '#!/bin/sh\\nexec "{python}" "$@"\\n' > "$folder/bin/python"
    chmod +x "$folder/bin/python"
fi
"""


@dataclass
class Job:
    id: str
    owner: str
    spec: dict
    process: subprocess.Popen
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    log: list[tuple[str, str]] = field(default_factory=list)  # (time, line)
    stage: str = "RUNNING"
    cancelled: bool = False

    def info(self) -> dict:
        return {
            "id": self.id,
            "createdAt": self.began.isoformat().replace("+00:00", "Z"),
            "dockerImage": self.spec["dockerImage"],
            "command": self.spec["command"],
            "environment": self.spec["environment"],
            "flavor": self.spec["flavor"],
            "labels": self.spec.get("labels"),
            "status": {"stage": self.stage, "message": None},
            "owner": {"id": "1", "name": self.owner, "type": "user"},
        }

    def follow(self) -> None:
        """Keep the log, and how it ended."""
        for line in self.process.stdout:
            self.log.append((datetime.now(UTC).isoformat().replace("+00:00", "Z"), line.rstrip()))
        code = self.process.wait()
        self.stage = "CANCELED" if self.cancelled else "COMPLETED" if code == 0 else "ERROR"

    def kill(self) -> None:
        """Lose the machine it runs on."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class JobsHub(HubServer):
    """A Hub that runs jobs.

    Args:
        folder: for the image.
        credit: whether its accounts can pay.
    """

    def __init__(self, folder: Path, credit: bool = True) -> None:
        super().__init__()
        self.jobs: list[Job] = []
        self.credit, self.installed = credit, folder / "installed"
        self.image = folder / "bin"
        self.image.mkdir(parents=True)
        uv = self.image / "uv"
        uv.write_text(UV.format(record=self.installed, python=sys.executable))
        uv.chmod(0o755)

    def __exit__(self, *exc: object) -> None:
        for job in self.jobs:
            if job.process.poll() is None:
                job.kill()
        super().__exit__(*exc)


def hardware(handler: Handler) -> None:
    handler.json(
        [
            {"name": name, "prettyName": name, "cpu": "2 vCPU", "ram": "16 GB",
             "accelerator": None, "unitCostMicroUSD": micro, "unitCostUSD": micro / 1e6,
             "unitLabel": "minute"}
            for name, micro in (("cpu-basic", 167), ("t4-small", 6667))
        ]
    )  # fmt: skip


def run(handler: Handler, owner: str) -> None:
    hub: JobsHub = handler.hub
    if handler.user != owner or handler.scope != "write":
        raise Refused(403, "This token has not the permission job.write")
    if not hub.credit:
        raise Refused(402, "Pre-paid credit balance is insufficient")
    spec = json.loads(handler.body)
    assert spec["timeoutSeconds"] > 0
    environment = {
        "PATH": f"{hub.image}:{os.environ['PATH']}",
        "HOME": str(hub.image.parent),
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", ""),
        **spec["environment"],
        **spec["secrets"],
    }
    process = subprocess.Popen(
        spec["command"],
        cwd=hub.image.parent,
        env={name: value for name, value in environment.items() if value},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    job = Job(f"{len(hub.jobs):024x}", owner, spec, process)
    hub.jobs.append(job)
    threading.Thread(target=job.follow, daemon=True).start()
    handler.json(job.info())


def found(handler: Handler, owner: str, job: str) -> Job:
    if handler.user != owner:
        raise Refused(403 if handler.user else 401, "Not yours")
    for other in handler.hub.jobs:
        if other.id == job:
            return other
    raise Refused(404, "Job not found")


def inspect(handler: Handler, owner: str, job: str) -> None:
    handler.json(found(handler, owner, job).info())


def logs(handler: Handler, owner: str, job: str) -> None:
    lines = list(found(handler, owner, job).log)
    tail = int(handler.query.get("tail", [len(lines)])[0])
    events = [
        f"data: {json.dumps({'data': text, 'timestamp': moment})}\n\n"
        for moment, text in lines[-tail:]
    ]
    handler.reply(200, "".join(events).encode(), {"Content-Type": "text/event-stream"})


def cancel(handler: Handler, owner: str, job: str) -> None:
    there = found(handler, owner, job)
    if there.stage == "RUNNING":
        there.cancelled = True
        os.killpg(there.process.pid, signal.SIGTERM)
    handler.json(there.info())


_JOB = r"/api/jobs/(?P<owner>[\w.-]+)/(?P<job>[0-9a-f]+)"
ROUTES += [
    (r"GET /api/jobs/hardware", hardware),
    (r"POST /api/jobs/(?P<owner>[\w.-]+)", run),
    (rf"GET {_JOB}", inspect),
    (rf"GET {_JOB}/logs", logs),
    (rf"POST {_JOB}/cancel", cancel),
]


def wait_until_gone(process: int, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while Path(f"/proc/{process}").exists() and time.monotonic() < until:
        time.sleep(0.05)
