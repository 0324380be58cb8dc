"""How the server is: its queue, models, memory and disk."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Any

from ...system.package_version import package_version
from ...system.system_memory import computer_memory
from ..calls.preset_calls import loaded_presets
from .health_api import SERVER_NAME, readiness

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["queue_view", "status_view"]


def queue_view(service: PictureService) -> dict[str, Any]:
    """How many jobs are made and wait, whether the queue is paused, and about how long it takes."""
    queue = service.queue
    return {
        "running": len(queue.running()),
        "queued": len(queue.waiting()),
        "size": service.limits.queue_size,
        "paused": queue.is_paused,
        "eta_s": round(queue.eta_s(), 1),
        "mean_picture_s": round(queue.mean_picture_s, 2),
    }


def status_view(service: PictureService) -> dict[str, Any]:
    """The answer of `GET /pulid/v1/status`. It asks the disk: for a thread."""
    memory = computer_memory()
    disk: dict[str, Any] = {"free_bytes": None, "total_bytes": None}
    with contextlib.suppress(OSError):
        usage = shutil.disk_usage(service.settings.server_folder)
        disk = {"free_bytes": usage.free, "total_bytes": usage.total}
    return {
        "server": SERVER_NAME,
        "version": package_version(),
        "status": readiness(service),
        "queue": queue_view(service),
        "model": {
            "default": service.models.default,
            "complete": service.models.is_complete(service.models.default),
            "loaded": loaded_presets(service),
        },
        "engine": {
            "kind": service.settings.engine,
            "workers": service.pool.count,
            "devices": list(service.settings.device_names),
        },
        "memory": {
            "total_bytes": memory and memory.total_bytes,
            "available_bytes": memory and memory.available_bytes,
        },
        "disk": disk,
    }
