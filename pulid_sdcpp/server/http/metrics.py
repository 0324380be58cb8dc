"""What is counted, as Prometheus reads it. No prompt, name or id is in a label."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..service.service_metrics import ServiceMetrics

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["PrometheusMetrics"]

_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_GALLERY_S = 300.0
_METHODS = {"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS", "PUT"}


class PrometheusMetrics(ServiceMetrics):
    """Counts for Prometheus, in a registry of its own: two servers of a test do not mix.

    Args:
        service: Whose queue and disk are looked at when the metrics are read.
    """

    def __init__(self, service: PictureService) -> None:
        from prometheus_client import (
            CollectorRegistry,
            Counter,
            GCCollector,
            Histogram,
            PlatformCollector,
            ProcessCollector,
        )

        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(name, help, labels, registry=self._registry)

        def histogram(name: str, help: str, *labels: str) -> Histogram:
            return Histogram(name, help, labels, registry=self._registry, buckets=_SECONDS)

        self._requests = counter(
            "pulid_http_requests_total", "Requests.", "family", "route", "method", "status"
        )
        self._rejected = counter("pulid_rejected_total", "Requests that got an error.", "code")
        self._jobs = counter("pulid_jobs_total", "Jobs that ended.", "kind", "family", "status")
        self._pictures = counter("pulid_pictures_total", "Pictures made.", "preset", "people")
        self._restarts = counter(
            "pulid_engine_restarts_total", "Engine processes that died and were started again."
        )
        self._waits = histogram("pulid_queue_wait_seconds", "How long jobs waited.")
        self._picture_times = histogram("pulid_picture_seconds", "Time of a picture.", "preset")
        self._step_times = histogram("pulid_step_seconds", "Time of a step.", "preset")
        self._extractions = histogram("pulid_extract_seconds", "Time of an extraction.")
        self._registry.register(_Gauges(service))

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        from prometheus_client import generate_latest

        return bytes(generate_latest(self._registry))

    def request_answered(
        self, family: str, route: str, method: str, status: int, error: str
    ) -> None:
        """A request was answered; `error` is the code of an error, or ""."""
        known = method if method in _METHODS else "other"
        self._requests.labels(family, route, known, str(status)).inc()
        if error:
            self._rejected.labels(error).inc()

    def job_ended(self, kind: str, family: str, status: str) -> None:
        self._jobs.labels(kind, family, status).inc()

    def picture_made(self, preset: str, people: int, time_s: float) -> None:
        self._pictures.labels(preset, str(people)).inc()
        self._picture_times.labels(preset).observe(time_s)

    def step_made(self, preset: str, time_s: float) -> None:
        self._step_times.labels(preset).observe(time_s)

    def waited(self, time_s: float) -> None:
        self._waits.observe(time_s)

    def extracted(self, time_s: float) -> None:
        self._extractions.observe(time_s)

    def engine_restarted(self) -> None:
        self._restarts.inc()


class _Gauges:
    """What is so now; looked up when the metrics are read."""

    def __init__(self, service: PictureService) -> None:
        self._service = service
        self._gallery = 0.0
        self._gallery_at: float | None = None

    def describe(self) -> list[Any]:
        return []  # nothing is looked up when this is registered

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        service = self._service
        found: list[tuple[str, str, Callable[[], float]]] = [
            ("pulid_queue_jobs", "Jobs that wait or are made.", self._queued),
            ("pulid_identities", "People who are kept.", service.people.count),
            ("pulid_gallery_bytes", "What jobs and pictures take.", self._gallery_bytes),
            ("pulid_disk_free_bytes", "Free on the disk of pictures.", self._free),
        ]
        for name, help, value in found:
            try:
                yield GaugeMetricFamily(name, help, value())
            except OSError:  # a disk that is away
                continue
        loaded = GaugeMetricFamily("pulid_model_loaded", "Engines with a model.", labels=["preset"])
        models = [engine.model.preset for engine in service.engines if engine.model is not None]
        for preset in sorted(set(models)):
            loaded.add_metric([preset or "(files)"], models.count(preset))
        yield loaded

    def _queued(self) -> float:
        return len(self._service.queue.waiting()) + len(self._service.queue.running())

    def _free(self) -> float:
        return shutil.disk_usage(self._service.book.store.root).free

    def _gallery_bytes(self) -> float:
        """Looked up once in five minutes: it is every file's size."""
        now = time.monotonic()
        if self._gallery_at is None or now - self._gallery_at > _GALLERY_S:
            book = self._service.book
            sizes = (book.store.size_bytes(job.id) for job in book.newest(limit=None))
            self._gallery, self._gallery_at = sum(sizes), now
        return self._gallery
