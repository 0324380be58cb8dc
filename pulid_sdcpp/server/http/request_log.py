"""A line of the log for each request: what was asked for, by whom, and what became of it.

Never queries, bodies, prompts, names of people or keys: the path is that of the endpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..jobs.job_ids import is_job_id

__all__ = ["REQUEST_LOGGER", "log_request", "route_of"]

REQUEST_LOGGER = logging.getLogger("pulid_sdcpp.server.requests")

_OTHER = "(other)"
_JOB_PARAMS = ("job_id", "picture", "picture_id", "grid")
"""What a path may name that has a job's id in it: a picture's is JOB-NUMBER."""


def route_of(scope: Mapping[str, Any]) -> str:
    """The endpoint's path with names for its parts; "(other)" where there is none.

    Args:
        scope: Of the request, after it was answered.
    """
    route = scope.get("route")
    return str(getattr(route, "path", "") or _OTHER)


def log_request(
    scope: Mapping[str, Any],
    *,
    method: str,
    status: int,
    time_s: float,
    sent_bytes: int,
    owner: str,
    request_id: str,
    job: str = "",
) -> None:
    """Write the line.

    Args:
        scope: Of the request, after it was answered.
        method: As the client said.
        status: Of the answer; 499: the client left before it.
        time_s: From the request's head to the answer's end.
        sent_bytes: Of the answer's body.
        owner: Who asked; "" if nobody was let in.
        request_id: Of the request.
        job: Its job; "": the one in its path.
    """
    params = scope.get("path_params") or {}
    job = job or next((str(params[n]) for n in _JOB_PARAMS if n in params), "").partition("-")[0]
    fields = {
        "method": method if method.isalpha() and len(method) <= 10 else "?",
        "route": route_of(scope),
        "status": status,
        "ms": round(time_s * 1000),
        "job": job if is_job_id(job) else "",
        "owner": owner,
        "bytes": sent_bytes,
        "request": request_id,
    }
    line = "{method} {route} {status} {ms} ms".format(**fields)
    extra = "".join(f" {name}={fields[name]}" for name in ("job", "owner", "bytes") if fields[name])
    # `fields` is for lines in JSON (`server_log.py`).
    REQUEST_LOGGER.info("%s%s request=%s", line, extra, request_id, extra={"fields": fields})
