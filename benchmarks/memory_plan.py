"""What the memory plan predicts beside what the engine allocates, over twelve settings.

    python benchmarks/memory_plan.py --backend vulkan0 --json benchmarks/results/memory-plan.json

Flux at the real layer width with 2 double and 4 single blocks (benchmarks/real_width_models.py),
where the buffer to compute in does not depend on the number of blocks. The engine says in its log
how large its weights and each buffer are; a generation is cancelled when the diffusion model's is
allocated, so nothing is computed and a slow device will do. Compared is what is on the device
while denoising, without what the plan adds for the driver, which allocates apart from ggml.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measured import Comparison, Figure, run_now
from pulid_sdcpp import GenerationCancelled, StableDiffusion, devices
from pulid_sdcpp.memory.model import (
    HOST_BYTES,
    Measures,
    PictureSizes,
    denoise_workspace,
    phases,
)
from pulid_sdcpp.memory.parameters import model_sizes
from pulid_sdcpp.native.log import LOGGER
from pulid_sdcpp.options.context import ContextOptions
from real_width_models import SHORT_SHAPE, flux_model, identity_files, pulid_weights, small_models
from report import as_text

MB = 1e6
MIB = 1 << 20
ABOVE_AT_MOST = 1.10
_WEIGHTS = re.compile(r"total params memory size = ([0-9.]+)MB.* diffusion_model ([0-9.]+)MB")
_BUFFER = re.compile(r"flux compute buffer size: *([0-9.]+) MB")


@dataclass(frozen=True)
class Setting:
    """One of what is compared."""

    width: int
    height: int
    flash_attention: bool = True
    identities: int = 0

    @property
    def label(self) -> str:
        """For a table."""
        words = [f"{self.width}x{self.height}"]
        words += [] if self.flash_attention else ["no flash attention"]
        words += [f"{self.identities} identity"] if self.identities else []
        return ", ".join(words)


SETTINGS = tuple(
    Setting(width, height, flash, identities)
    for width, height in ((256, 256), (512, 512), (832, 1216), (1024, 1024))
    for flash, identities in ((True, 0), (True, 1), (False, 0))
)


class Allocations(logging.Handler):
    """The last sizes that the engine's log named, in bytes; cancels at the diffusion model's."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.weights = self.diffusion = self.buffer = 0.0
        self.engine: StableDiffusion | None = None

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if found := _WEIGHTS.search(text):
            self.weights, self.diffusion = (float(size) * MIB for size in found.groups())
        elif found := _BUFFER.search(text):
            self.buffer = float(found[1]) * MIB
            if self.engine is not None:
                self.engine.cancel()


def allocated_bytes(context: ContextOptions, setting: Setting, identity: Path) -> float:
    """Weights and the buffer to denoise in, as the engine's log has them."""
    seen = Allocations()
    LOGGER.addHandler(seen)
    LOGGER.setLevel(logging.DEBUG)
    try:
        kwargs = {**context.to_engine_kwargs(), "diffusion_flash_attn": setting.flash_attention}
        if not setting.identities:
            kwargs["pulid_weights"] = None
        with StableDiffusion(**kwargs) as engine:
            weights = seen.weights - seen.diffusion + engine.diffusion_params_bytes
            seen.engine = engine
            with contextlib.suppress(GenerationCancelled):
                engine.generate_image(
                    "a face",
                    width=setting.width,
                    height=setting.height,
                    cfg_scale=1.0,
                    sample_steps=1,
                    pulid_id_embedding=identity if setting.identities else None,
                )
        return weights + seen.buffer
    finally:
        LOGGER.removeHandler(seen)


def predicted_bytes(context: ContextOptions, setting: Setting, on_cpu: bool) -> float:
    """The same as the plan has it."""
    models = model_sizes(context)
    picture = PictureSizes(setting.width, setting.height, identities=setting.identities)
    measures = Measures(flash_attention=setting.flash_attention)
    found = next(
        phase
        for phase in phases(models, picture, measures, on_cpu=on_cpu)
        if phase.name == "denoise"
    )
    whole = found.host_bytes - HOST_BYTES if on_cpu else found.device_bytes
    return whole - denoise_workspace(models, picture)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write what was found; 1 when a prediction is off."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backend", default="cpu", help="a device that `pulid-sdcpp doctor` names")
    parser.add_argument("--models", type=Path, default=Path("build/benchmark-models"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    device = next(one for one in devices() if one.name.lower() == options.backend.lower())
    small = small_models(options.models)
    identity = identity_files(options.models)[0]
    context = ContextOptions(
        diffusion_model_path=flux_model(options.models, SHORT_SHAPE, "q4_0"),
        clip_l_path=small["clip_l"],
        taesd_path=small["taesd"],
        pulid_weights=pulid_weights(options.models, SHORT_SHAPE),
        backend=options.backend,
        vae_decode_only=True,
    )
    rows = []
    for setting in SETTINGS:
        predicted = predicted_bytes(context, setting, device.kind == "cpu")
        allocated = allocated_bytes(context, setting, identity)
        rows.append((setting.label, (allocated / MB, predicted / MB)))
        print(f"{setting.label}: {predicted / allocated:.3f}", file=sys.stderr)
    ratios = [predicted / allocated for _, (allocated, predicted) in rows]
    measured = run_now(
        "memory_plan",
        "The memory plan against what is allocated",
        [
            Figure(
                "memory plan against reality, the most above",
                max(ratios),
                "ratio",
                ABOVE_AT_MOST,
                f"{len(rows)} settings",
            ),
            Figure(
                "reality against the memory plan, the most above",
                1 / min(ratios),
                "ratio",
                1.0,
                "1 or less: never under",
            ),
        ],
        [Comparison("Memory while denoising", "MB", ("allocated", "predicted"), tuple(rows))],
        device=f"{device.name}, {device.description}",
    )
    print(as_text(measured))
    if options.json is not None:
        measured.save(options.json)
    return 0 if all(1.0 <= ratio <= ABOVE_AT_MOST for ratio in ratios) else 1


if __name__ == "__main__":
    sys.exit(main())
