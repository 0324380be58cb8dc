"""What the server takes, keeps and waits for, at most."""

from __future__ import annotations

from dataclasses import dataclass

from ..options.facts import check, option

__all__ = ["Limits"]

_MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one server allows; the defaults are those of `pulid-sdcpp serve`.

    Args:
        queue_size: Jobs that wait or run, together.
        max_batch, max_steps, max_pixels, max_side: Of one job: pictures, steps, pixels of a
            picture, and pixels along its longer side.
        max_body_mib: Of a request, MiB.
        max_image_mib, max_image_mp: Of a picture that is sent: MiB of its file, and millions of
            pixels.
        max_photos, max_people: In one request: photos of a person, and people.
        queue_timeout_s, job_timeout_s: How long a job may wait, and run; 0: for ever.
        cancel_grace_s: How long a cancelled job may go on before the engine's process is ended.
        keep_days, keep_gib: How long finished jobs are kept, and how much of them; 0: no limit.

    Raises:
        ValueError: A value is out of its range.
    """

    queue_size: int = option(
        64,
        "Jobs that wait or run, together.",
        flags="--queue-size",
        group="Limits",
        low=1,
        high=10_000,
    )
    max_batch: int = option(
        10, "Pictures of a job.", flags="--max-batch", group="Limits", low=1, high=1000
    )
    max_steps: int = option(
        150, "Steps of a picture.", flags="--max-steps", group="Limits", low=1, high=1000
    )
    max_pixels: int = option(
        4_194_304, "Pixels of a picture.", flags="--max-pixels", group="Limits", low=256, high=2**28
    )
    max_side: int = option(
        4096,
        "Pixels along a picture's longer side.",
        flags="--max-side",
        group="Limits",
        low=16,
        high=2**14,
    )
    max_body_mib: int = option(
        64, "MiB of a request.", flags="--max-body-mib", group="Limits", low=1, high=1024
    )
    max_image_mib: int = option(
        16, "MiB of a picture's file.", flags="--max-image-mib", group="Limits", low=1, high=1024
    )
    max_image_mp: float = option(
        50.0,
        "Millions of pixels of a picture that is sent.",
        flags="--max-image-mp",
        group="Limits",
        low=0.001,
        high=150.0,  # at 179, Pillow gives up
    )
    max_photos: int = option(
        8, "Photos of a person.", flags="--max-photos", group="Limits", low=1, high=100
    )
    max_people: int = option(
        8, "People in a picture.", flags="--max-people", group="Limits", low=1, high=100
    )
    queue_timeout_s: float = option(
        0.0,
        "Seconds that a job may wait; 0: for ever.",
        flags="--queue-timeout",
        group="Limits",
        low=0,
        high=1e7,
    )
    job_timeout_s: float = option(
        0.0,
        "Seconds that a job may run; 0: for ever.",
        flags="--job-timeout",
        group="Limits",
        low=0,
        high=1e7,
    )
    cancel_grace_s: float = option(
        120.0,
        "Seconds that a cancelled job may go on before the engine's process is ended.",
        flags="--cancel-grace",
        group="Limits",
        low=0,
        high=1e7,
    )
    keep_days: float = option(
        30.0,
        "Days that finished jobs are kept; 0: for ever.",
        flags="--keep-days",
        group="Limits",
        low=0,
        high=36_500,
    )
    keep_gib: float = option(
        10.0,
        "GiB of finished jobs that are kept; 0: no limit.",
        flags="--keep-gib",
        group="Limits",
        low=0,
        high=1e6,
    )

    def __post_init__(self) -> None:
        check(self)

    @property
    def max_body_bytes(self) -> int:
        """Of a request."""
        return self.max_body_mib * _MIB

    @property
    def max_image_bytes(self) -> int:
        """Of a picture's file."""
        return self.max_image_mib * _MIB

    @property
    def max_image_pixels(self) -> int:
        """Of a picture that is sent."""
        return int(self.max_image_mp * 1_000_000)
