"""What is counted of the work, and what is in no label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from served import run_served

NAMES = {
    "pulid_http_requests_total", "pulid_jobs_total", "pulid_pictures_total", "pulid_queue_jobs",
    "pulid_queue_wait_seconds_count", "pulid_picture_seconds_count", "pulid_step_seconds_count",
    "pulid_extract_seconds_count", "pulid_model_loaded", "pulid_identities", "pulid_gallery_bytes",
    "pulid_disk_free_bytes", "pulid_engine_restarts_total", "process_open_fds",
}  # fmt: skip


def test_the_work_is_counted_and_nothing_personal_is(tmp_path: Path) -> None:
    async def test(client: Any, service: Any) -> None:
        body = {"prompt": "plain secretword", "seed": 7, "batch_count": 2, "title": "secretword"}
        job = (await client.post("/sdcpp/v1/img_gen", json=body)).json()["id"]
        await service.finished(job)
        await client.post("/sdcpp/v1/img_gen", json={"prompt": ""})
        text = (await client.get("/metrics")).text
        assert {line.partition(" ")[0].partition("{")[0] for line in text.splitlines()} >= NAMES
        for line in (
            'pulid_jobs_total{family="sdcpp",kind="img_gen",status="completed"} 1.0',
            'pulid_pictures_total{people="0",preset="pocket"} 2.0',
            'pulid_picture_seconds_count{preset="pocket"} 2.0',
            'pulid_model_loaded{preset="pocket"} 1.0',
            'pulid_rejected_total{code="invalid_value"} 1.0',
            "pulid_queue_wait_seconds_count 1.0",
        ):
            assert line in text.splitlines(), line
        for personal in ("secretword", job, str(tmp_path)):
            assert personal not in text

    run_served(tmp_path, test)
