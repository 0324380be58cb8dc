"""Where the options stand in a request's body, and what else clients call them.

The names are those of stable-diffusion.cpp's server; every option may also be called as in Python
(`steps`, `cfg_scale`), and as other programs call it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ...options.facts import of
from ...options.generation import GenerationOptions

__all__ = [
    "GROUPS",
    "NAMES",
    "NOT_OFFERED",
    "PAIRS",
    "PAIR_PLACES",
    "PERSON_NAMES",
    "PICTURES",
    "PLACES",
]

_SAMPLE = "sample_params"
_GUIDANCE = "sample_params.guidance"
_SLG = "sample_params.guidance.slg"
_TILING = "vae_tiling_params"

_NESTED = {
    "steps": f"{_SAMPLE}.sample_steps",
    "sampling_method": f"{_SAMPLE}.sample_method",
    "scheduler": f"{_SAMPLE}.scheduler",
    "eta": f"{_SAMPLE}.eta",
    "flow_shift": f"{_SAMPLE}.flow_shift",
    "sigmas": f"{_SAMPLE}.custom_sigmas",
    "guidance": f"{_GUIDANCE}.distilled_guidance",
    "cfg_scale": f"{_GUIDANCE}.txt_cfg",
    "slg_scale": f"{_SLG}.scale",
    "skip_layers": f"{_SLG}.layers",
    "skip_layer_start": f"{_SLG}.layer_start",
    "skip_layer_end": f"{_SLG}.layer_end",
    "vae_tiling": f"{_TILING}.enabled",
    "vae_tile_overlap": f"{_TILING}.target_overlap",
    "loras": "lora",
    "hires": "hires.enabled",
    "hires_upscaler": "hires.upscaler",
    "hires_scale": "hires.scale",
    "hires_width": "hires.target_width",
    "hires_height": "hires.target_height",
    "hires_steps": "hires.steps",
    "hires_denoising_strength": "hires.denoising_strength",
    "hires_upscale_tile_size": "hires.upscale_tile_size",
}

PAIRS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "vae_tile_size": (f"{_TILING}.tile_size_x", f"{_TILING}.tile_size_y"),
        "vae_relative_tile_size": (f"{_TILING}.rel_size_x", f"{_TILING}.rel_size_y"),
    }
)
"""Options of two numbers, which stand in two places."""

PLACES: Mapping[str, str] = MappingProxyType(
    {name: _NESTED.get(name, name) for name in of(GenerationOptions) if name not in PAIRS}
    | {"cfg_start_step": "cfg_start_step"}
)
"""Where each option stands in a body; a dot leads into an object."""

_ALIASES = {
    "n": "batch_count",
    "num_outputs": "batch_count",
    "num_images": "batch_count",
    "num_steps": "steps",
    "num_inference_steps": "steps",
    "sample_steps": "steps",
    "sampler": "sampling_method",
    "sample_method": "sampling_method",
    "guidance_scale": "guidance",
    "distilled_cfg_scale": "guidance",
    "distilled_guidance": "guidance",
    "true_cfg": "cfg_scale",
    "txt_cfg": "cfg_scale",
    "custom_sigmas": "sigmas",
    "source_image": "init_image",
    "extra_images": "ref_images",
    "image_preprocess": "auto_resize_ref_image",
    "num_zero": "id_zeros",
    "timestep_to_start_cfg": "cfg_start_step",
}

NAMES: Mapping[str, str] = MappingProxyType(
    {place: name for name, place in PLACES.items()}
    | {name: name for name in (*PLACES, *PAIRS)}
    | _ALIASES
)
"""The option of each place and each other name."""

PAIR_PLACES: Mapping[str, tuple[str, int]] = MappingProxyType(
    {place: (name, i) for name, places in PAIRS.items() for i, place in enumerate(places)}
    | {
        place[:-1] + letter: (name, i)
        for name, places in PAIRS.items()
        for i, (place, letter) in enumerate(zip(places, "wh", strict=True))
    }
)
"""The option that a place has one number of, and which."""

GROUPS = (_SAMPLE, _GUIDANCE, _SLG, _TILING, "hires")
"""Places of objects."""

PICTURES = ("init_image", "mask_image", "control_image", "ref_images")
"""Options that are pictures; the last is several."""


def _is(*values: Any) -> Callable[[Any], bool]:
    return lambda value: any(value == one and type(value) is type(one) for one in values)


def _always(value: Any) -> bool:
    return True


NOT_OFFERED: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        f"{_SAMPLE}.shifted_timestep": _is(0, 0.0),
        f"{_SAMPLE}.extra_sample_args": _is("", [], {}),
        # Of models that edit by instructions, which are none of ours. Clients send txt_cfg's value.
        f"{_GUIDANCE}.img_cfg": _always,
        f"{_TILING}.temporal_tiling": _is(False),
        f"{_TILING}.extra_tiling_args": _is(""),
        "hires.custom_sigmas": _is([]),
        "control_strength": _is(0, 0.9, 1, 1.0),
        "ip_adapter_image": _is(""),
        "ip_adapter_strength": _always,  # says nothing without its picture
        "scm_mask": _is(""),
        "scm_policy_dynamic": _always,  # likewise
    }
)
"""What sd-server has and we do not: whether a value means to do without."""

PERSON_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "identity": "identity",
        "pulid_id_embedding_path": "identity",
        "id": "identity",
        "embedding": "embedding",
        "pulid_id_embedding": "embedding",
        "photo": "photo",
        "id_image": "photo",
        "main_face_image": "photo",
        "reference_image_url": "photo",
        "photos": "photos",
        "id_images": "photos",
        "face": "face",
        "fusion": "fusion",
        "weight": "weight",
        "id_weight": "weight",
        "pulid_id_weight": "weight",
        "start_step": "start_step",
        "id_start_step": "start_step",
        "end_step": "end_step",
        "id_end_step": "end_step",
        "region": "region",
        "id_image_name": "name",
        "id_image_names": "name",
    }
)
"""What a person's fields are called, besides `name`, which only those in `people` have."""
