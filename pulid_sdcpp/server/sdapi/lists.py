"""What A1111's clients ask for as they start: lists of what there is, and settings."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...options.second_pass import HIRES_UPSCALERS
from ...pictures.png_text import parse_text
from ...system.system_memory import ComputerMemory

__all__ = [
    "EMPTY_LISTS",
    "SdapiModel",
    "app_answer",
    "lora_list",
    "memory_answer",
    "model_list",
    "options_answer",
    "picture_info",
    "queue_answer",
    "script_info",
    "scripts_answer",
    "system_answer",
    "upscale_modes",
    "upscaler_list",
    "vae_list",
]

EMPTY_LISTS: Mapping[str, Any] = {
    "sd-modules": [],
    "hypernetworks": [],
    "face-restorers": [],
    "realesrgan-models": [],
    "prompt-styles": [],
    "extensions": [],
    "cmd-flags": {},
    "embeddings": {"loaded": {}, "skipped": {}},
}
"""What there is nothing of here, and clients ask for."""

_SHORT_HASH = 10
_OUR_SCRIPT = "pulid"


@dataclass(frozen=True)
class SdapiModel:
    """A model that can be chosen.

    Attributes:
        name: The preset's.
        file_name: Of the diffusion model, without its folder.
        sha256: As far as it is known.
        vae: The autoencoder's file name; "": it is in the model.
    """

    name: str
    file_name: str = ""
    sha256: str | None = None
    vae: str = ""

    @property
    def hash(self) -> str | None:
        """As web UIs shorten it."""
        return None if self.sha256 is None else self.sha256[:_SHORT_HASH]


def options_answer(model: SdapiModel) -> dict[str, Any]:
    """`GET options`. There is no `forge_preset`, by which SillyTavern knows Forge."""
    return {
        "samples_format": "png",
        "sd_model_checkpoint": model.name,
        "sd_checkpoint_hash": model.sha256 or "",
        "sd_vae": "Automatic",
        "CLIP_stop_at_last_layers": 1,
    }


def model_list(models: Sequence[SdapiModel]) -> list[dict[str, Any]]:
    """`GET sd-models`; titles are names, so that they are those of `options`, too."""
    return [
        {
            "title": model.name,
            "model_name": model.name,
            "hash": model.hash,
            "sha256": model.sha256,
            "filename": model.file_name,
            "config": None,
        }
        for model in models
    ]


def vae_list(models: Sequence[SdapiModel]) -> list[dict[str, Any]]:
    """`GET sd-vae`: each file once."""
    names = dict.fromkeys(model.vae for model in models if model.vae)
    return [{"model_name": name, "filename": name} for name in names]


def upscaler_list(models: Sequence[str]) -> list[dict[str, Any]]:
    """`GET upscalers`: those of pixels, and upscaling models by their names."""
    own = [name for name in HIRES_UPSCALERS if not name.startswith("Latent")]
    return [
        {
            "name": name,
            "model_name": name if name in models else None,
            "model_path": None,
            "model_url": None,
            "scale": 1 if name == "None" else 4,
        }
        for name in (*own, *models)
    ]


def upscale_modes() -> list[dict[str, str]]:
    """`GET latent-upscale-modes`."""
    return [{"name": name} for name in HIRES_UPSCALERS if name.startswith("Latent")]


def lora_list(names: Sequence[str]) -> list[dict[str, Any]]:
    """`GET loras`; a path is a name here."""
    return [{"name": name, "alias": name, "path": name, "metadata": {}} for name in names]


def scripts_answer() -> dict[str, list[str]]:
    """`GET scripts`."""
    return {"txt2img": [_OUR_SCRIPT], "img2img": [_OUR_SCRIPT]}


def script_info() -> list[dict[str, Any]]:
    """`GET script-info`: our script takes people as its arguments."""
    person = {"label": "Person", "value": None, "minimum": None, "maximum": None,
              "step": None, "choices": None}  # fmt: skip
    return [
        {"name": _OUR_SCRIPT, "is_alwayson": True, "is_img2img": is_img2img, "args": [person]}
        for is_img2img in (False, True)
    ]


def memory_answer(memory: ComputerMemory | None) -> dict[str, Any]:
    """`GET memory`, in bytes. What a card has, the engine's process knows alone."""
    if memory is None:
        return {"ram": {"error": "unavailable"}, "cuda": {"error": "unavailable"}}
    used = memory.total_bytes - memory.available_bytes
    ram = {"free": memory.available_bytes, "used": used, "total": memory.total_bytes}
    return {"ram": ram, "cuda": {}}


def system_answer(version: str, memory: ComputerMemory | None) -> dict[str, Any]:
    """`GET /internal/sysinfo`: nothing of the user or of folders."""
    return {
        "Platform": platform.platform(terse=True),
        "Python": platform.python_version(),
        "Version": f"pulid-sdcpp {version}",
        "RAM": memory_answer(memory)["ram"],
    }


def app_answer(started: float) -> dict[str, int]:
    """`GET /app_id`: another number after each start, by which pages notice it."""
    return {"app_id": int(started * 1000)}


def queue_answer(jobs: int, mean_picture_s: float) -> dict[str, Any]:
    """`GET /queue/status`, as Gradio had it for A1111's pages; times in seconds."""
    return {
        "msg": "estimation",
        "rank": None,
        "queue_size": jobs,
        "avg_event_process_time": mean_picture_s or None,
        "avg_event_concurrent_process_time": mean_picture_s or None,
        "rank_eta": None,
        "queue_eta": jobs * mean_picture_s,
    }


def picture_info(text: str | None) -> dict[str, Any]:
    """`POST png-info`, of the text in a picture; None: there is none."""
    if text is None:
        return {"info": "", "items": {}, "parameters": {}}
    found = parse_text(text)
    parameters = {
        "Prompt": found.prompt,
        "Negative prompt": found.negative_prompt,
        **found.values,
    }
    width, x, height = found.values.get("Size", "").partition("x")
    if x:
        parameters |= {"Size-1": width, "Size-2": height}
    return {"info": text, "items": {"parameters": text}, "parameters": parameters}
