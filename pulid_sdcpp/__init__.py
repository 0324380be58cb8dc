"""Put a person's face into pictures made by a quantized Flux, on an ordinary computer.

    from pulid_sdcpp import PulidFlux

    with PulidFlux.from_preset("flux-schnell-q4", vram="auto") as pipeline:
        alice = pipeline.enroll("alice.jpg")
        result = pipeline.generate("candid photograph of a person reading in a cafe", alice)
        result.save("alice.png")

`StableDiffusion` is the engine below it, for files that are named one by one. Photos are read by
`pulid_extractor`, which comes with `pulid-sdcpp[extract]`.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # of `typing`, which takes as long to import as all the rest here

if TYPE_CHECKING:
    from typing import Any

    from .device import Device, devices
    from .engine import StableDiffusion
    from .errors import (
        BatchFileError,
        DeviceError,
        DownloadError,
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
        OutputExistsError,
        OutputFileError,
        PulidError,
    )
    from .evaluation import evaluate
    from .evaluation_options import EvaluationOptions, EvaluationPrompt, Reference
    from .evaluation_report import EvaluationResult
    from .identity import Identity
    from .identity_options import IdentityOptions
    from .model_files import FileInfo, describe_file
    from .native_library import EngineInfo, engine_info
    from .options import ContextOptions, GenerationOptions
    from .person import Person
    from .picture_recipe import PictureRecipe, recipe_from
    from .pipeline import PulidFlux
    from .plan import Plan, plan_memory
    from .progress_event import ProgressEvent
    from .region import Region
    from .result import Result

__all__ = [
    "BatchFileError",
    "ContextOptions",
    "Device",
    "DeviceError",
    "DownloadError",
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
    "OutputExistsError",
    "OutputFileError",
    "Person",
    "PictureRecipe",
    "Plan",
    "ProgressEvent",
    "PulidError",
    "PulidFlux",
    "Reference",
    "Region",
    "Result",
    "StableDiffusion",
    "describe_file",
    "devices",
    "engine_info",
    "evaluate",
    "plan_memory",
    "recipe_from",
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
    "IdentityOptions": "identity_options",
    "Person": "person",
    "PictureRecipe": "picture_recipe",
    "Plan": "plan",
    "ProgressEvent": "progress_event",
    "PulidFlux": "pipeline",
    "Reference": "evaluation_options",
    "Region": "region",
    "Result": "result",
    "StableDiffusion": "engine",
    "describe_file": "model_files",
    "devices": "device",
    "engine_info": "native_library",
    "evaluate": "evaluation",
    "plan_memory": "plan",
    "recipe_from": "picture_recipe",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `import pulid_sdcpp` stays instant."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)


def __dir__() -> list[str]:
    return __all__
