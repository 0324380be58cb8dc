"""What the server can do, in sd-server's words and ours."""

from __future__ import annotations

from typing import Any

from ...model_files.lora_listing import lora_names
from ...model_files.upscalers import upscaler_names
from ...options.generation import GenerationOptions
from ...options.identity_mode import identity_weight
from ...options.preview import PREVIEW_METHODS
from ...options.sampling_names import SAMPLING_METHODS, SCHEDULERS
from ...options.second_pass import HIRES_UPSCALERS
from ..request.delivery import OUTPUT_FORMATS
from ..service.service import PictureService

__all__ = ["capabilities", "loras_of", "upscalers_of"]

_MODE = "img_gen"
_FEATURES = ("init_image", "mask_image", "ref_images", "lora", "vae_tiling", "hires",
             "control_image", "cache", "cancel_queued", "cancel_generating",
             "preview", "identity", "people", "regions")  # fmt: skip
_NOT_THERE = ("ip_adapter_image",)


def capabilities(service: PictureService) -> dict[str, Any]:
    """The answer of GET /sdcpp/v1/capabilities. It looks for files: for a thread."""
    name = service.models.default
    settings = service.models.settings()
    options = GenerationOptions("", **settings.get(name, {}))
    defaults = {
        "width": options.width,
        "height": options.height,
        "sample_params": {
            "sample_steps": options.steps,
            "sample_method": options.sampling_method,
            "scheduler": options.scheduler,
            "guidance": {"distilled_guidance": options.guidance, "txt_cfg": options.cfg_scale},
        },
    }
    features = {**dict.fromkeys(_FEATURES, True), **dict.fromkeys(_NOT_THERE, False)}
    limits = service.limits
    encoders = service.models.encoders(name)
    smallest = service.models.size_multiple(name)
    return {
        "model": {"name": name, "stem": name, "path": name},
        "models": list(settings),
        "current_mode": _MODE,
        "supported_modes": [_MODE],
        "defaults": defaults,
        "defaults_by_mode": {_MODE: defaults},
        "output_formats": list(OUTPUT_FORMATS),
        "output_formats_by_mode": {_MODE: list(OUTPUT_FORMATS)},
        "features": features,
        "features_by_mode": {_MODE: features},
        "samplers": list(SAMPLING_METHODS),
        "schedulers": list(SCHEDULERS),
        "loras": [{"name": lora, "path": lora} for lora in loras_of(service)],
        "upscalers": [{"name": name} for name in (*HIRES_UPSCALERS, *upscalers_of(service))],
        "preview_modes": list(PREVIEW_METHODS),
        "limits": {
            "min_width": smallest,
            "max_width": limits.max_side,
            "min_height": smallest,
            "max_height": limits.max_side,
            "size_multiple": smallest,
            "max_pixels": limits.max_pixels,
            "max_batch_count": limits.max_batch,
            "max_queue_size": limits.queue_size,
        },
        "identity": {
            "formats": ["photo", "identity", "embedding"],
            "max_photos": limits.max_photos,
            "max_people": limits.max_people,
            "encoders": list(encoders),
            "weight": {"min": 0, "max": 5, "default": identity_weight(encoders)},
        },
    }


def loras_of(service: PictureService) -> list[str]:
    """Names of the LoRAs in the server's folder, as prompts and `lora` name them."""
    folder = service.models.choice(service.models.default).context.get("lora_model_dir")
    return lora_names(folder) if folder else []


def upscalers_of(service: PictureService) -> list[str]:
    """Names of the upscaling models in the server's folder, as `hires.upscaler` names them."""
    folder = service.models.choice(service.models.default).context.get("hires_upscalers_dir")
    return upscaler_names(folder) if folder else []
