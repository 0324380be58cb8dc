"""How long a picture takes on this computer: measured in seconds, never guessed.

Flux's blocks, a text encoder's matrices and the autoencoder are timed with random weights by the
engine that makes the pictures; what a whole picture takes is computed from that.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.factory import load_engine
from ..errors import ModelFileError
from ..memory.compute import DEFAULT_TILE, LATENT_PX, text_tokens, token_count
from ..memory.parameters import Layouts, model_sizes
from ..memory.picture_sizes import picture_sizes
from ..memory.plan import Plan
from ..model_files.description import describe_file
from ..model_files.text_encoder_shapes import T5_MACS_PER_TOKEN
from ..native.progress_event import ProgressEvent
from ..options.context import ContextOptions
from ..options.evaluations import evaluations_of
from ..options.generation import GenerationOptions, with_checked
from ..pocket.pack import pocket_files
from .flux_time import (
    HIDDEN,
    SMALL_TOKENS,
    FluxTime,
    LoadEngine,
    measure_flux,
    small_context,
    time_matrices,
)
from .random_models import random_type, write_random_autoencoder

if TYPE_CHECKING:
    from ..tensors.tensor_header import TensorInfo

__all__ = ["PictureTime", "measure_picture"]

_DECODE_SIDES_PX = (64, 128, 256)
_DECODE_ENOUGH_S = 1.0
_PROMPT_TEXT = "a face"
_QUIET_SHARE = 0.8


@dataclass(frozen=True)
class PictureTime:
    """What a picture takes, in seconds; loading the models is not in it.

    Attributes:
        width, height, people: Of the picture.
        flux: What was measured of Flux; None: the model is so small that a picture was made.
        evaluations: Of Flux.
        text_s: Encoding a new prompt.
        denoise_s: All evaluations.
        decode_s: The autoencoder.
        measured, computed, not_counted: Where the numbers are from, one line each.
        busy: "" or that other programs took a part of the processor.
        spent_s: How long measuring took.
    """

    width: int
    height: int
    people: int
    flux: FluxTime | None
    evaluations: int
    text_s: float
    denoise_s: float
    decode_s: float
    measured: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    not_counted: tuple[str, ...] = ()
    busy: str = ""
    spent_s: float = 0.0

    @property
    def picture_s(self) -> float:
        """The whole picture, with a prompt that is new."""
        return self.text_s + self.denoise_s + self.decode_s


def measure_picture(
    context: ContextOptions,
    generation: GenerationOptions,
    plan: Plan,
    *,
    layouts: Layouts | None = None,
    tell: Callable[[str], object] = lambda stage: None,
    load: LoadEngine = load_engine,
) -> PictureTime:
    """Measure what a picture takes here, with small models of random weights.

    Takes 20 to 40 seconds on two processor cores, and up to 1.4 GB for temporary files.

    Args:
        context, generation: What is asked for; its model files are not loaded.
        plan: For it, with its number of people.
        layouts: Of files that are not here, as for `plan_memory`.
        tell: Told what is measured now.
        load: Loads an engine.

    Raises:
        PulidError: The engine is missing or fails; a file cannot be written.
        ModelFileError: It is SDXL, and its files are not here.
    """
    began_s = time.perf_counter()
    placed, picture = plan.apply(context, generation)
    layouts = layouts or {}
    sizes_of_models = model_sizes(context, layouts)
    if sizes_of_models.unet is not None and layouts:
        raise ModelFileError(
            f"{context.model_path or context.diffusion_model_path}: how long a picture of SDXL "
            "takes is measured with its own files, and not all are here; get them first"
        )
    if sizes_of_models.hidden != HIDDEN:
        is_unet = sizes_of_models.unet is not None
        return _by_making_it(placed, picture, plan, tell, load, is_unet=is_unet)
    sizes = picture_sizes(placed, picture, plan.people)
    image_tokens = token_count(picture.width, picture.height)
    tokens = image_tokens + sum(token_count(*size) for size in sizes.references)
    dtype = _bulk_type(context, layouts, "diffusion_model_path", "model_path")
    evaluations = _evaluations(picture, is_flow=True)
    measured, computed = [], []
    with tempfile.TemporaryDirectory(prefix="pulid-sdcpp-") as name:
        folder = Path(name)
        tell("measuring Flux's blocks")
        flux = measure_flux(
            *(placed, random_type(dtype), tokens, folder),
            with_identity=plan.people > 0,
            load=load,
        )
        text_s = 0.0
        if context.t5xxl_path is not None:
            t5_type = _bulk_type(context, layouts, "t5xxl_path")
            on_cpu = plan.placements.get("clip") == "CPU"
            if random_type(t5_type) == random_type(dtype) and on_cpu is (plan.device == "CPU"):
                rate = flux.matrices_per_s
            else:
                tell("measuring matrices of the text encoder's type")
                there = replace(placed, backend="cpu") if on_cpu else placed
                rate = time_matrices(there, random_type(t5_type), folder, load=load)
            text_s = T5_MACS_PER_TOKEN * text_tokens(picture.prompt) / rate
            where = "the CPU" if on_cpu else plan.device
            measured.append(f"matrices of type {t5_type} on {where}")
            computed.append("T5: its matrices at that speed")
        tell("measuring the autoencoder")
        decoded_px, decoded_s = _time_decoding(placed, folder, load)
    if decoded_px**2 >= picture.width * picture.height:
        share = picture.width * picture.height / decoded_px**2
    else:
        share = _decoded_pixels(picture) / decoded_px**2
    measured.insert(0, _flux_words(flux, dtype))
    measured.append(f"decoding {decoded_px}x{decoded_px}")
    computed.insert(0, f"{evaluations} evaluations of 19 double and 38 single blocks")
    computed.append("decoding: by the number of pixels, with the overlap of tiles")
    people_s = max(plan.people, 0) * flux.identity_s
    return PictureTime(
        width=picture.width,
        height=picture.height,
        people=plan.people,
        flux=flux,
        evaluations=evaluations,
        text_s=text_s,
        denoise_s=evaluations * (flux.evaluation_s + people_s),
        decode_s=decoded_s * share,
        measured=tuple(measured),
        computed=tuple(computed),
        not_counted=tuple(_not_counted(plan, picture)),
        busy=_busy(flux, placed) if plan.placements.get("diffusion") == "CPU" else "",
        spent_s=time.perf_counter() - began_s,
    )


def _by_making_it(
    context: ContextOptions,
    picture: GenerationOptions,
    plan: Plan,
    tell: Callable[[str], object],
    load: LoadEngine,
    *,
    is_unet: bool,
) -> PictureTime:
    """A model of another width, as the pocket model: the picture itself is made, without people."""
    tell("making a picture")
    began_s = time.perf_counter()
    marks: dict[str, float] = {}

    def mark(event: ProgressEvent) -> None:
        marks.setdefault(event.stage, time.perf_counter())

    one = with_checked(picture, prompt=picture.prompt or _PROMPT_TEXT, batch_count=1)
    with load(context) as engine:
        engine.generate(one, on_event=mark)  # the first makes room
        marks.clear()
        started_s = time.perf_counter()
        engine.generate(with_checked(one, seed=1), on_event=mark)
        ended_s = time.perf_counter()
    denoise, decode = marks.get("denoise", started_s), marks.get("decode", ended_s)
    return PictureTime(
        width=picture.width,
        height=picture.height,
        people=0,
        flux=None,
        evaluations=_evaluations(picture, is_flow=not is_unet),
        text_s=denoise - started_s,
        denoise_s=decode - denoise,
        decode_s=ended_s - decode,
        measured=("a picture without people was made",),
        not_counted=("loading the model, and the person: one adds some percent to each step",),
        spent_s=time.perf_counter() - began_s,
    )


def _evaluations(picture: GenerationOptions, *, is_flow: bool) -> int:
    starts_in_noise = picture.init_image is None or picture.strength >= 1
    if picture.sigmas:
        starts_in_noise = starts_in_noise and picture.sigmas[0] >= 1
    count = evaluations_of(
        picture.sampling_method,
        picture.evaluated_steps,
        from_pure_noise=is_flow and starts_in_noise,
    )
    return count * 2 if picture.cfg_scale != 1.0 else count


def _bulk_type(context: ContextOptions, layouts: Layouts, *fields: str) -> str:
    """The type that most numbers of a file have, as the engine will hold them."""
    if context.wtype != "default" and fields[0] == "diffusion_model_path":
        return context.wtype.lower()
    for field in fields:
        path = getattr(context, field)
        if path is not None:
            tensors: tuple[TensorInfo, ...] = tuple(
                layouts[field] if field in layouts else describe_file(path).tensors
            )
            counts: Counter[str] = Counter()
            for tensor in tensors:
                counts[tensor.dtype] += tensor.n_elements
            return counts.most_common(1)[0][0]
    return "f16"


def _time_decoding(context: ContextOptions, folder: Path, load: LoadEngine) -> tuple[int, float]:
    """A side in pixels, and the seconds that decoding a picture of it took."""
    pocket = pocket_files()
    paths: dict[str, Path | None] = {"vae_path": None, "taesd_path": pocket.taesd}
    if context.taesd_path is None:
        paths = {"vae_path": folder / "ae.safetensors", "taesd_path": None}
        write_random_autoencoder(folder / "ae.safetensors")
    marks: dict[str, float] = {}

    def mark(event: ProgressEvent) -> None:
        marks.setdefault(event.stage, time.perf_counter())

    side_px, spent_s = _DECODE_SIDES_PX[0], math.inf
    with load(small_context(context, pocket.diffusion_model, **paths)) as engine:
        for side_px in _DECODE_SIDES_PX:
            for _ in range(2 if side_px == _DECODE_SIDES_PX[0] else 1):  # the first makes room
                marks.clear()
                request = GenerationOptions(
                    _PROMPT_TEXT, width=side_px, height=side_px, steps=1, seed=1
                )
                engine.generate(request, on_event=mark)
                spent_s = time.perf_counter() - marks["decode"]
            if spent_s > _DECODE_ENOUGH_S:
                break
    return side_px, spent_s


def _decoded_pixels(picture: GenerationOptions) -> float:
    """Pixels that the decoder computes: with tiles, some of them several times."""
    if not picture.vae_tiling:
        return picture.width * picture.height
    wanted = picture.vae_tile_size
    tiles = 1.0
    area = 1.0
    for side_px, wanted_side in zip((picture.width, picture.height), wanted, strict=True):
        side, tile = side_px // LATENT_PX, wanted_side or DEFAULT_TILE
        tile = min(tile, side)
        step = max(tile * (1 - picture.vae_tile_overlap), 1)
        tiles *= math.ceil((side - tile) / step) + 1
        area *= tile * LATENT_PX
    return tiles * area


def _flux_words(flux: FluxTime, dtype: str) -> str:
    what = f"1 double and 2 single blocks of Flux in {dtype}"
    if flux.measured_tokens == flux.tokens:
        return f"{what}, at {flux.tokens} image tokens"
    if flux.measured_tokens == SMALL_TOKENS:
        return f"{what}, at {SMALL_TOKENS} image tokens only; {flux.tokens} take rather longer"
    return (
        f"{what}, at {SMALL_TOKENS} and {flux.measured_tokens} image tokens; at the {flux.tokens}"
        " that are asked for it would have taken too long, so they are computed"
    )


def _busy(flux: FluxTime, context: ContextOptions) -> str:
    if flux.processor_share >= _QUIET_SHARE:
        return ""
    return (
        f"other programs were busy: this one had {flux.processor_share:.0%} of the time of its "
        f"{context.threads} threads; by its processor time, an evaluation takes "
        f"{flux.alone_s:.3g} s when the computer is quiet"
    )


def _not_counted(plan: Plan, picture: GenerationOptions) -> list[str]:
    found = ["loading the models from the disk; reading a face, once for each person"]
    if plan.context.get("max_vram"):
        found.append("moving the diffusion model's weights to the card at each step (segments)")
    elif "offload_params_to_cpu" in plan.context:
        found.append("moving weights to the card once for each picture (offload)")
    if picture.hires:
        found.append("the second pass (--hires)")
    if picture.slg_scale:
        found.append("one more evaluation in the steps of skip-layer guidance")
    if picture.cache_mode and picture.cache_mode != "disabled":
        found.append(f"the steps that {picture.cache_mode} leaves out")
    return found
