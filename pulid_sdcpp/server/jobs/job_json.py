"""A job as JSON, as `job.json` has it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

from .job_ids import is_job_id
from .jobs import KINDS, STATUSES, Job, JobFailure, MadePicture

__all__ = ["job_from_record", "job_json"]

_INT, _FLAG, _TEXT, _OBJECT, _LIST = (int,), (bool,), (str,), (dict,), (list,)
_TIME = (int, float)
_NONE = (type(None),)
_TYPES: dict[str, tuple[type, ...]] = {
    "id": _TEXT,
    "kind": _TEXT,
    "owner": _TEXT,
    "created": _TIME,
    "sequence": _INT,
    "request": _OBJECT,
    "seeds": _LIST,
    "status": _TEXT,
    "started": _TIME + _NONE,
    "completed": _TIME + _NONE,
    "pictures": _LIST,
    "result": _OBJECT,
    "error": _OBJECT + _NONE,
    "attempts": _INT,
    "interruptions": _INT,
    "cancel_requested": _FLAG,
    "synchronous": _FLAG,
    "client": _TEXT,
    "title": _TEXT,
    "warnings": _LIST,
    "idempotency_key": _TEXT,
    "body_sha256": _TEXT,
}
_PICTURE_TYPES: dict[str, tuple[type, ...]] = {
    "index": _INT,
    "seed": _INT,
    "width": _INT,
    "height": _INT,
    "favourite": _FLAG,
}
_FAILURE_TYPES: dict[str, tuple[type, ...]] = {
    "code": _TEXT,
    "message": _TEXT,
    "param": _TEXT + _NONE,
}


def job_json(job: Job) -> bytes:
    """The job as a line of JSON, which `job_from_record` gives back as it was.

    Raises:
        ValueError: The request has something that is not JSON.
    """
    record = {field.name: getattr(job, field.name) for field in dataclasses.fields(job)}
    record["pictures"] = [dataclasses.asdict(picture) for picture in job.pictures]
    record["error"] = None if job.error is None else dataclasses.asdict(job.error)
    try:
        return json.dumps(record, allow_nan=False).encode("ascii") + b"\n"
    except TypeError as error:
        raise ValueError(f"{job.id}: {error}") from None


def job_from_record(record: object) -> Job:
    """The job that a file has; keys of later versions are left out.

    Raises:
        ValueError: It is no job's.
    """
    known = _checked(record, _TYPES, "a job")
    if not is_job_id(known.get("id", "")):
        raise ValueError("expected the id of a job")
    for key, values in (("kind", KINDS), ("status", STATUSES)):
        if known.get(key) not in values:
            raise ValueError(f"expected {key} to be one of {', '.join(values)}")
    if any(type(seed) is not int for seed in known.get("seeds", ())):
        raise ValueError("expected seeds to be whole numbers")
    if any(type(warning) is not dict for warning in known.get("warnings", ())):
        raise ValueError("expected warnings to be objects")
    pictures = tuple(
        _made(MadePicture, _checked(one, _PICTURE_TYPES, "a picture"))
        for one in known.get("pictures", ())
    )
    indexes = [picture.index for picture in pictures]
    if indexes != sorted(set(indexes)):
        raise ValueError("expected each picture once, in order")
    known["pictures"] = pictures
    if known.get("error") is not None:
        known["error"] = _made(JobFailure, _checked(known["error"], _FAILURE_TYPES, "an error"))
    for key in ("seeds", "warnings"):
        known[key] = tuple(known.get(key, ()))
    job: Job = _made(Job, known)
    return job


def _checked(
    record: object, types: Mapping[str, tuple[type, ...]], expected: str
) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise ValueError(f"expected {expected}, a JSON object")
    known = {key: record[key] for key in types if key in record}
    for key, value in known.items():
        if type(value) not in types[key] or (type(value) is float and not math.isfinite(value)):
            raise ValueError(f"{key} has the wrong type")
    return known


def _made(kind: Any, known: Mapping[str, Any]) -> Any:
    try:
        return kind(**known)
    except TypeError as error:  # a key is missing
        raise ValueError(str(error)) from None
