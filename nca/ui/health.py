"""`GET /healthz`: whether this server runs its jobs, for whatever monitors and restarts it."""

from __future__ import annotations

from dataclasses import asdict

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import nca
from nca.jobs import JobQueue

PATH = "/healthz"


def route(queue: JobQueue) -> Route:
    """The route; it answers 200 when all is well, else 503, and identifies no job or visitor."""

    def healthz(request: Request) -> JSONResponse:
        health = queue.health()
        return JSONResponse(
            {"version": nca.__version__} | asdict(health),
            status_code=200 if health.status == "ok" else 503,
            headers={"Cache-Control": "no-store"},
        )

    return Route(PATH, healthz)
