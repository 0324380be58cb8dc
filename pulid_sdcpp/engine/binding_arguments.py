"""Check the binding's own arguments, many of which no option class has.

The binding hands what it is given to native code, where a wrong number is a crash more often
than an error: a scheduler's table is indexed with it, or memory is reserved for it.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import named, option_error
from ..families.flux.layout import FluxInfo
from ..families.sdxl.unet_layout import UnetInfo
from ..model_files.description import LATENT_CHANNELS
from ..options.binding import choice_name, from_binding, several
from ..options.checks import check_choice, check_number, check_path, check_text, check_whole
from ..options.context import WEIGHT_TYPES, ContextOptions
from ..options.facts import of
from ..options.generation import (
    MAX_SIDE_PX,
    MAX_STEPS,
    SIZE_MULTIPLE_PX,
    GenerationOptions,
)
from ..options.identity_mode import IdentityModeOptions
from ..options.layer_guidance import check_layers
from ..options.second_pass import HIRES_UPSCALERS, encodes_a_picture
from ..options.step_cache import check_cache_arguments, check_cache_for_flux
from ..system.given_content import is_content
from ..system.image_file import read_image
from ..system.mask_image import read_mask
from ..terminal_text import shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

__all__ = [
    "check_context_arguments",
    "check_evaluation",
    "check_parts",
    "checked_generation",
    "extra_arguments",
    "model_prediction",
    "read_pictures",
    "second_pass_arguments",
]

# Lowest and highest value.
_NUMBERS = {
    "control_strength": (0.0, 1000.0),
    "image_cfg_scale": (0.0, 1000.0),
    "pm_style_strength": (0.0, 100.0),
    "cache_reuse_threshold": (0.0, 1e6),
    "cache_start_percent": (0.0, 1.0),
    "cache_end_percent": (0.0, 1.0),
    "cache_error_decay_rate": (0.0, 1e6),
    "cache_residual_diff_threshold": (0.0, 1e6),
    "cache_spectrum_w": (-1000.0, 1000.0),
    "cache_spectrum_lam": (0.0, 1e6),
    "cache_spectrum_flex_window": (0.0, 1000.0),
    # Of the steps, each of which is two evaluations with some methods: cache_arguments.
    "cache_spectrum_stop_percent": (0.0, 2.0),
}
_WHOLE = {
    "timestep_shift": (0, 1000),
    "upscale_factor": (1, 8),
    "preview_interval": (1, MAX_STEPS),
    "cache_Fn_compute_blocks": (0, 1000),
    "cache_Bn_compute_blocks": (0, 1000),
    "cache_max_warmup_steps": (0, MAX_STEPS),
    "cache_max_continuous_cached_steps": (-1, MAX_STEPS),
    "cache_taylorseer_n_derivatives": (0, 16),
    "cache_taylorseer_skip_interval": (0, MAX_STEPS),
    "cache_spectrum_m": (0, 64),
    "cache_spectrum_window_size": (0, MAX_STEPS),
    "cache_spectrum_warmup_steps": (0, MAX_STEPS),
}
_TEXTS = ("hires_path", "pm_id_embed_path", "scm_mask", "scm_policy")
_MAX_SKIPPED_LAYERS = 1024
_UNET_SIDE = 4
"""Of SDXL's latent: its UNet halves it twice."""
# The binding's step cache has more settings; it enlarges by itself; its names are others; its
# LoRAs are in the prompt only.
_OTHERWISE = (
    *("cache_mode", "cache_option", "upscale_repeats", "hires_upscaler", "loras"),
    *of(IdentityModeOptions),
)
_BINDING_UPSCALERS = {
    re.sub("[ (-]+", "_", name.lower()).rstrip(")"): name for name in HIRES_UPSCALERS
}


def check_context_arguments(arguments: Mapping[str, Any], maps: Any) -> None:
    """Refuse constructor arguments that the engine cannot work with.

    Args:
        arguments: All keyword arguments of the binding's constructor.
        maps: The binding's module that maps names to its numbers.

    Raises:
        ValueError: Names the argument, its value and what it may be.
    """
    ContextOptions(
        model_path="any",  # which files are needed depends on the model, see engine_checks.py
        n_threads=arguments["n_threads"],
        max_vram=arguments["max_vram"],
        tensor_type_rules=arguments["tensor_type_rules"],
    )
    for name, value in arguments.items():
        if value and (name.endswith("_path") or name == "lora_model_dir"):
            check_path(name, value)
    wtype = choice_name(arguments["wtype"], maps.GGML_TYPE_MAP, "wtype")
    check_choice("wtype", wtype, [name.lower() for name in WEIGHT_TYPES])
    if arguments["embedding_paths"]:
        raise ValueError(
            "embedding_paths is given, but the engine has textual inversions for SD 1, 2 and XL "
            "only, and they cannot be used from here; leave them out, or take a LoRA"
        )
    check_choice("image_resize_method", arguments["image_resize_method"], ("crop", "resize"))
    check_whole("upscale_tile_size", arguments["upscale_tile_size"], 16, MAX_SIDE_PX)
    check_whole("chroma_t5_mask_pad", arguments["chroma_t5_mask_pad"], 0, 512)


def checked_generation(arguments: Mapping[str, Any], maps: Any) -> GenerationOptions:
    """Refuse arguments of a generation that the engine cannot work with.

    Args:
        arguments: All keyword arguments of the binding's `generate_image`.
        maps: The binding's module that maps names to its numbers.

    Returns:
        What the options class knows of them; a random seed is drawn.

    Raises:
        ValueError: Names the argument, its value and what it may be.
    """
    for name, (low, high) in _NUMBERS.items():
        if arguments[name] is not None or name != "image_cfg_scale":
            check_number(name, arguments[name], low, high)
    for name, (least, most) in _WHOLE.items():
        check_whole(name, arguments[name], least, most)
    for name in _TEXTS:
        check_text(name, arguments[name], 10_000)
    if not re.fullmatch(r"([01](,[01])*)?", arguments["scm_mask"]):
        raise ValueError(
            f"scm_mask is {shown(arguments['scm_mask'])}, but must be 0 and 1 with commas between"
        )
    cache_mode = choice_name(arguments["cache_mode"], maps.SD_CACHE_MODE_MAP, "cache_mode")
    check_choice("cache_mode", cache_mode, tuple(maps.SD_CACHE_MODE_MAP))
    check_cache_arguments(cache_mode, arguments)
    _check_skipped_layers(arguments["skip_layers"])
    for name in ("progress_callback", "preview_callback"):
        if arguments[name] is not None and not callable(arguments[name]):
            raise ValueError(f"{name} is {shown(arguments[name])}, but must be a function or None")
    numbers = {"scheduler": maps.SCHEDULER_MAP, "sample_method": maps.SAMPLE_METHOD_MAP}
    known = from_binding(GenerationOptions, arguments, numbers, without=_OTHERWISE)
    upscaler = _hires_upscaler(arguments, maps)
    return GenerationOptions(**known, hires_upscaler=upscaler, upscale_repeats=0).with_fixed_seed()


def second_pass_arguments(picture: GenerationOptions, model: Path | None) -> dict[str, str]:
    """How the binding is told what enlarges for the second pass.

    Args:
        model: The upscaling model that the options name, if they do.
    """
    if model is not None:
        return {"hires_upscaler": "model", "hires_path": str(model)}
    names = {name: binding for binding, name in _BINDING_UPSCALERS.items()}
    return {"hires_upscaler": names[picture.hires_upscaler], "hires_path": ""}


def extra_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those arguments of the binding's `generate_image` that no `GenerationOptions` has.

    Args:
        arguments: All, as for `checked_generation`.
    """
    known = _picture_arguments()
    extras = {name: value for name, value in arguments.items() if name not in known}
    if isinstance(method := arguments["sample_method"], str):
        method = method.strip().lower()
    if method in (None, "default"):  # another model than Flux has another default
        extras["sample_method"] = "default"
    return extras


def check_evaluation(
    arrays: Sequence[NDArray[np.float32]],
    timestep: object,
    guidance: object,
    model: FluxInfo | UnetInfo | None,
) -> None:
    """Refuse inputs of one model evaluation that the model cannot be given.

    Args:
        arrays: Latent (channels, height, width), context (tokens, width), pooled (width,).
        model: The loaded one; None: of another kind.

    Raises:
        ValueError: Names the input, its shape or value, and what it may be.
    """
    if isinstance(model, FluxInfo):
        channels, text, vector = LATENT_CHANNELS, model.context_in_dim, model.vec_in_dim
    elif isinstance(model, UnetInfo) and not model.variant:
        unet = model.sizes
        channels, text, vector = unet.in_channels, unet.context_width, unet.adm_width
    else:
        raise ValueError("only a Flux or SDXL model can be evaluated by itself")
    is_unet = isinstance(model, UnetInfo)
    least, most = _UNET_SIDE if is_unet else 1, MAX_SIDE_PX // 8
    ranges: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = [
        ("latent", (channels, least, least), (channels, most, most)),
        ("context", (1, text), (4096, text)),
        ("pooled", (vector,), (vector,)),
    ]
    for array, (name, lowest, highest) in zip(arrays, ranges, strict=True):
        sizes = zip(lowest, array.shape, highest, strict=False)
        if array.ndim != len(lowest) or any(not low <= size <= high for low, size, high in sizes):
            raise ValueError(
                f"{name} has the shape {array.shape}, but may have {lowest} to {highest}"
            )
    if is_unet and any(side % _UNET_SIDE for side in arrays[0].shape[1:]):
        raise ValueError(
            f"latent has the shape {arrays[0].shape}, but its sides must be multiples of "
            f"{_UNET_SIDE} for SDXL"
        )
    check_number("timestep", timestep, 0.0, 999.0 if is_unet else 1.0)
    check_number("guidance", guidance, 0.0, 1000.0)


def model_prediction(given: object, model: FluxInfo | UnetInfo, maps: Any) -> str:
    """The prediction type to load a model with.

    Flux's own comes with the schedule's shift only when it is not named; without, pictures are
    grey. Of SDXL the engine looks for the tensor that tells of velocities only beside a
    checkpoint's, where a UNet's own file cannot have it.

    Raises:
        ValueError: Another type than Flux's.
    """
    prediction = choice_name(given, maps.PREDICTION_MAP, "prediction")
    if isinstance(model, UnetInfo):
        return "v" if prediction == "default" and model.predicts_velocity else prediction
    check_choice("prediction", prediction, ("default", "flux_flow"))
    return "default"


def check_parts(
    arguments: Mapping[str, Any],
    checked: GenerationOptions,
    loaded_with: Mapping[str, Any],
    flux: FluxInfo | None,
) -> None:
    """Refuse what needs a part that was not loaded: the engine would leave it out.

    Args:
        arguments: Of the binding's `generate_image`.
        checked: The picture's options, which are among them.
        loaded_with: Of the constructor.
        flux: The loaded Flux model; None for another.

    Raises:
        ValueError: Names the argument, and what it needs.
    """
    needs = [
        ("upscale_factor", arguments["upscale_factor"] > 1, "upscaler_path"),
        ("pm_id_images", bool(arguments["pm_id_images"]), "photo_maker_path"),
    ]
    if flux is None:
        needs.append(("control_image", arguments["control_image"] is not None, "control_net_path"))
    elif flux.variant not in ("Control", "Flex.2") and arguments["control_image"] is not None:
        raise option_error(
            f"{named('control_image')} is given, but the model is no FLUX.1 Canny or Depth; the "
            "engine has no ControlNets for Flux"
        )
    if arguments["control_image"] is not None and loaded_with["vae_decode_only"]:
        raise option_error(  # the engine would make the picture without it
            f"{named('control_image')} is given, but the engine was loaded with vae_decode_only, "
            "which leaves out what reads it"
        )
    for name, given, part in needs:
        if given and not loaded_with[part]:
            raise option_error(
                f"{named(name)} is given, but the engine was loaded without {named(part)}"
            )
    if flux is not None and flux.variant == "Fill":
        for name in ("init_image", "mask_image"):
            if arguments[name] is None:  # the engine would only warn, and draw anything
                raise option_error(
                    f"{named(name)} is missing: a Fill model fills the mask "
                    f"({named('mask_image')}) of a picture ({named('init_image')})"
                )
    if flux is not None:
        check_cache_for_flux(arguments["cache_mode"])
    if flux is not None and checked.scheduler == "ays":
        raise option_error(
            f"{named('scheduler')} is 'ays', which has no levels for Flux; use another"
        )
    if flux is not None and checked.slg_scale:
        check_layers(checked.skip_layers, flux.depth + flux.depth_single)
    if flux is None and checked.scheduler == "flux":
        raise option_error(f"{named('scheduler')} is 'flux', which is for Flux models; use another")
    if not checked.hires:
        return
    if flux is not None and flux.variant:
        raise option_error(
            f"{named('hires')} is given, but a Flux {flux.variant} model sees a second picture of "
            "the first pass's size, so that it has no second pass; enlarge with "
            f"{named('upscaler_path')}"
        )
    if encodes_a_picture(checked.hires_upscaler) and loaded_with["vae_decode_only"]:
        raise option_error(
            f"{named('hires_upscaler')} is {shown(checked.hires_upscaler)}, which enlarges pixels, "
            "but the engine was loaded with vae_decode_only, which leaves out what reads them; "
            "load it without, or take Latent"
        )


def read_pictures(arguments: dict[str, Any]) -> None:
    """Read the pictures that are named by a path, and bring lists into the binding's form.

    Args:
        arguments: Of `generate_image`; pictures in it are replaced.

    Raises:
        ValueError: Not a picture, or one whose sides differ so much that none of it would be left.
        ImageFileError: It cannot be read.
    """
    for name in ("init_image", "mask_image", "control_image"):
        if arguments[name] is not None:
            read = read_mask if name == "mask_image" else read_image
            arguments[name] = _picture(name, arguments[name], read)
    for name in ("ref_images", "pm_id_images"):
        if arguments[name] is not None:
            pictures = several(arguments[name])
            arguments[name] = [_picture(name, picture, read_image) for picture in pictures]
    for picture in arguments["ref_images"] or ():
        _check_reference(picture, arguments)


def _check_skipped_layers(layers: object) -> None:
    if not isinstance(layers, Sequence) or isinstance(layers, str):
        raise ValueError(f"skip_layers is {shown(layers)}, but must be a list of whole numbers")
    if len(layers) > _MAX_SKIPPED_LAYERS:
        raise ValueError(f"skip_layers has {len(layers)} numbers, but may have 1024")
    for layer in layers:
        check_whole("skip_layers", layer, 0, 2**31 - 1)


def _hires_upscaler(arguments: Mapping[str, Any], maps: Any) -> str:
    """The name, among HIRES_UPSCALERS, of what enlarges; or the path of an upscaling model."""
    given = choice_name(arguments["hires_upscaler"], maps.SD_HIRES_UPSCALER_MAP, "hires_upscaler")
    if given == "model" and arguments["hires"]:
        check_path("hires_path", arguments["hires_path"])
        return str(os.path.abspath(arguments["hires_path"]))
    given = "latent" if given == "model" else given
    check_choice("hires_upscaler", given, (*_BINDING_UPSCALERS, "model"))
    return _BINDING_UPSCALERS[given]


def _check_reference(picture: Image, arguments: Mapping[str, Any]) -> None:
    """The engine scales a reference to the picture's area, and fails on a side of nothing."""
    width, height = picture.size
    if arguments["auto_resize_ref_image"]:
        area = min(1024 * 1024, arguments["width"] * arguments["height"])
        scale = math.sqrt(area / (width * height))
        width, height = int(width * scale), int(height * scale)
    if min(width, height) < SIZE_MULTIPLE_PX:
        raise ValueError(
            f"a reference picture has {picture.width} x {picture.height} pixels: its shorter side "
            f"would become {min(width, height)} pixels, and at least {SIZE_MULTIPLE_PX} are needed"
        )


def _picture(name: str, given: object, read: Callable[[Any], Image]) -> Image:
    from PIL import Image

    if isinstance(given, str | os.PathLike):
        check_path(name, given)
    if isinstance(given, str | os.PathLike | Image.Image) or is_content(given):
        return read(given)
    raise ValueError(
        f"{name} is {shown(given)}, but must be a picture, the path of one, its bytes or an open "
        "file"
    )


@functools.cache
def _picture_arguments() -> frozenset[str]:
    facts = of(GenerationOptions).items()
    return frozenset(fact.binding or name for name, fact in facts if name not in _OTHERWISE)
