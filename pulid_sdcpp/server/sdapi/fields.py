"""The fields of A1111's bodies: what they are called here, and which of them mean nothing here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = [
    "FROM_PICTURE",
    "FROM_TEXT",
    "HIRES",
    "NEUTRAL",
    "ONLY_HIRES",
    "ONLY_MASK",
    "PARAMS",
    "SILENT",
]

HIRES = {
    "enable_hr": "hires",
    "hr_upscaler": "hires_upscaler",
    "hr_scale": "hires_scale",
    "hr_resize_x": "hires_width",
    "hr_resize_y": "hires_height",
    "hr_second_pass_steps": "hires_steps",
    "hr_steps": "hires_steps",
}
FROM_TEXT = {**HIRES, "denoising_strength": "hires_denoising_strength"}
PARAMS = {"init_image": "init_images", "model": "override_settings.sd_model_checkpoint"}
"""What is called otherwise in these bodies than where it is put."""
FROM_PICTURE = {"denoising_strength": "strength", "mask": "mask_image"}

SILENT = frozenset(
    [
        "sampler_name",
        "sampler_index",
        "scheduler",
        "cfg_scale",
        "eta",
        "clip_skip",
        "alwayson_scripts",
        "override_settings",
        "override_settings_restore_afterwards",
        "init_images",
        "mask_blur",
        "mask_blur_x",
        "mask_blur_y",
        "inpainting_mask_invert",
        "send_images",
        "save_images",
        "do_not_save_samples",
        "do_not_save_grid",
        "force_task_id",
        "url",
        "auth",
        "comments",
        "infotext",
        "disable_extra_networks",
        "s_churn",
        "s_tmax",
        "s_tmin",
        "s_noise",
        "s_min_uncond",
        "subseed",
        "seed_resize_from_h",
        "seed_resize_from_w",
        "seed_enable_extras",
        "firstphase_width",
        "firstphase_height",
        "include_init_images",
        "script_args",
        "image_cfg_scale",
        "initial_noise_multiplier",
        "inpaint_full_res_padding",
        "mask_round",
        "user",
        "hr_cfg",
        "hr_distilled_cfg",
        "hr_additional_modules",
        "refiner_switch_at",
    ]
)
"""What is read elsewhere, or means nothing with a Flux model or a server that keeps its files."""


def _false(value: Any) -> bool:
    return not value


NEUTRAL: Mapping[str, Callable[[Any], bool]] = {
    "restore_faces": _false,
    "tiling": _false,
    "styles": _false,
    "subseed_strength": _false,
    "script_name": _false,
    "refiner_checkpoint": _false,
    "hr_checkpoint_name": lambda value: value in ("", "Use same checkpoint"),
    "hr_sampler_name": lambda value: value in ("", "Use same sampler"),
    "hr_scheduler": lambda value: value in ("", "Use same scheduler"),
    "hr_prompt": _false,
    "hr_negative_prompt": _false,
    "resize_mode": _false,
    "inpaint_full_res": _false,
    "inpainting_fill": lambda value: value in (0, 1),
}
"""What A1111 does and we do not: whether a value means to do without."""

ONLY_HIRES = ("hr_checkpoint_name", "hr_sampler_name", "hr_scheduler", "hr_prompt",
               "hr_negative_prompt")  # fmt: skip
ONLY_MASK = ("inpaint_full_res", "inpainting_fill")
