"""What the engine says it allocates, read from its log."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from pulid_sdcpp import GenerationCancelled, StableDiffusion
from pulid_sdcpp.native.log import LOGGER

MIB = 1 << 20
_LINE = re.compile(r"(\S+) (compute|params backend) buffer size(?::| =) *([0-9.]+) MB")


class Allocations(logging.Handler):
    """Buffers by (network, "compute" or "params"), in bytes.

    The largest of each; of weights, which the engine allocates once for each network, the sum:
    SDXL's two text encoders are both "clip".
    """

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.found: dict[tuple[str, str], float] = {}
        self.engine: StableDiffusion | None = None
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        match = _LINE.search(record.getMessage())
        if match is None:
            return
        key = (match[1], match[2].split()[0])
        size, known = float(match[3]) * MIB, self.found.get(key, 0.0)
        self.found[key] = known + size if key[1] == "params" else max(known, size)
        if self.engine is not None and match[1] == self.last and key[1] == "compute":
            self.engine.cancel()  # allocated, but nothing was computed yet


@contextmanager
def allocations() -> Iterator[Allocations]:
    """Collects the engine's allocations while the block runs."""
    handler, level = Allocations(), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.DEBUG)
    try:
        yield handler
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)


def compute_bytes(engine: StableDiffusion, network: str, **options: Any) -> float:
    """The buffer that a network gets for a picture, which is not computed any further."""
    with allocations() as seen:
        seen.engine, seen.last = engine, network
        with suppress(GenerationCancelled):
            engine.generate_image("a face", cfg_scale=1.0, seed=1, sample_steps=1, **options)
    return seen.found[network, "compute"]
