"""Put a person's face into pictures made by a quantized Flux, on an ordinary computer.

    from pulid_sdcpp import StableDiffusion

    with StableDiffusion(
        diffusion_model_path="flux1-schnell-Q4_K_S.gguf",
        vae_path="ae.safetensors",
        clip_l_path="clip_l.safetensors",
        t5xxl_path="t5xxl_fp16.safetensors",
        pulid_weights="pulid_flux_v0.9.1.safetensors",
    ) as engine:
        pictures = engine.generate_image(
            "candid photograph of a person reading in a cafe",
            pulid_id_embedding="alice.pulidembd",
            cfg_scale=1.0,
            sample_steps=4,
        )

Identity files are made by `pulid_extractor`, which comes with `pulid-sdcpp[extract]`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .device import Device, devices
    from .engine import StableDiffusion
    from .errors import (
        DeviceError,
        FaceNotFoundError,
        GenerationCancelled,
        GenerationError,
        IdentityFileError,
        ImageFileError,
        MemoryPlanError,
        MissingDependencyError,
        ModelFileError,
        ModelMismatchError,
        NativeLibraryError,
        OutputFileError,
        PulidError,
    )
    from .evaluation import evaluate
    from .evaluation_options import EvaluationOptions, EvaluationPrompt, Reference
    from .evaluation_report import EvaluationResult
    from .identity import Identity
    from .model_files import FileInfo, describe_file
    from .native_library import EngineInfo, engine_info
    from .options import ContextOptions, GenerationOptions, IdentityOptions
    from .plan import Plan, plan_memory

__all__ = [
    "ContextOptions",
    "Device",
    "DeviceError",
    "EngineInfo",
    "EvaluationOptions",
    "EvaluationPrompt",
    "EvaluationResult",
    "FaceNotFoundError",
    "FileInfo",
    "GenerationCancelled",
    "GenerationError",
    "GenerationOptions",
    "Identity",
    "IdentityFileError",
    "IdentityOptions",
    "ImageFileError",
    "MemoryPlanError",
    "MissingDependencyError",
    "ModelFileError",
    "ModelMismatchError",
    "NativeLibraryError",
    "OutputFileError",
    "Plan",
    "PulidError",
    "Reference",
    "StableDiffusion",
    "describe_file",
    "devices",
    "engine_info",
    "evaluate",
    "plan_memory",
]

_MODULES = {
    "ContextOptions": "options",
    "Device": "device",
    "EngineInfo": "native_library",
    "EvaluationOptions": "evaluation_options",
    "EvaluationPrompt": "evaluation_options",
    "EvaluationResult": "evaluation_report",
    "FileInfo": "model_files",
    "GenerationOptions": "options",
    "Identity": "identity",
    "IdentityOptions": "options",
    "Plan": "plan",
    "Reference": "evaluation_options",
    "StableDiffusion": "engine",
    "describe_file": "model_files",
    "devices": "device",
    "engine_info": "native_library",
    "evaluate": "evaluation",
    "plan_memory": "plan",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `import pulid_sdcpp` stays instant."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)


def __dir__() -> list[str]:
    return __all__
