"""Put a person's face into pictures made by a quantized Flux, on an ordinary computer.

    from pulid_sdcpp import PulidFlux

    with PulidFlux.from_preset("flux-schnell-q4", vram="auto") as pipeline:
        alice = pipeline.enroll("alice.jpg")
        result = pipeline.generate("candid photograph of a person reading in a cafe", alice)
        result.save("alice.png")

`StableDiffusion` is the engine below it, to which you give the model files one by one. Photos are
read by `pulid_extractor`, which `pulid-sdcpp[extract]` installs.
"""

from __future__ import annotations

import importlib

TYPE_CHECKING = False  # of `typing`, which takes as long to import as all the rest here

if TYPE_CHECKING:
    from typing import Any

    from .engine.interface import Engine, Preview
    from .engine.stable_diffusion import StableDiffusion
    from .errors import (
        BatchFileError,
        DeviceError,
        DownloadError,
        FaceNotFoundError,
        FaceNotThereError,
        GenerationCancelled,
        GenerationError,
        IdentityFileError,
        ImageFileError,
        LicenseError,
        MemoryPlanError,
        MissingDependencyError,
        ModelFileError,
        ModelMismatchError,
        NativeLibraryError,
        OutputExistsError,
        OutputFileError,
        PulidError,
    )
    from .evaluation.evaluate import evaluate
    from .evaluation.options import EvaluationOptions, EvaluationPrompt, Reference
    from .evaluation.report import EvaluationResult
    from .identity.identity_file import Identity
    from .identity.kept_people import (
        KeptPerson,
        keep_person,
        kept_people,
        remove_person,
        rename_person,
    )
    from .identity.photo_warning import PhotoWarning
    from .memory.plan import Plan, plan_memory
    from .model_files.description import FileInfo, describe_file
    from .native.devices import Device, devices
    from .native.library import EngineInfo, engine_info
    from .native.progress_event import ProgressEvent
    from .options.context import ContextOptions
    from .options.generation import GenerationOptions
    from .people.identity_options import IdentityOptions
    from .people.person import Person
    from .people.region import Region
    from .pictures.recipe import PictureRecipe, recipe_from
    from .pictures.result import Result
    from .pipeline.async_pulid_pipeline import AsyncPulidPipeline, UnfinishedPicture
    from .pipeline.cancel_token import CancelToken
    from .pipeline.families import PulidFlux, PulidSdxl
    from .pipeline.pulid_pipeline import PulidPipeline
    from .pocket.pack import PocketFiles, pocket_files
    from .request.wildcards import expand_prompt
    from .store.model_store import PresetFiles, resolve_preset
    from .store.presets import PresetInfo, PresetLicense, presets, pull_preset

    __version__: str

__all__ = [
    "AsyncPulidPipeline",
    "BatchFileError",
    "CancelToken",
    "ContextOptions",
    "Device",
    "DeviceError",
    "DownloadError",
    "Engine",
    "EngineInfo",
    "EvaluationOptions",
    "EvaluationPrompt",
    "EvaluationResult",
    "FaceNotFoundError",
    "FaceNotThereError",
    "FileInfo",
    "GenerationCancelled",
    "GenerationError",
    "GenerationOptions",
    "Identity",
    "IdentityFileError",
    "IdentityOptions",
    "ImageFileError",
    "KeptPerson",
    "LicenseError",
    "MemoryPlanError",
    "MissingDependencyError",
    "ModelFileError",
    "ModelMismatchError",
    "NativeLibraryError",
    "OutputExistsError",
    "OutputFileError",
    "Person",
    "PhotoWarning",
    "PictureRecipe",
    "Plan",
    "PocketFiles",
    "PresetFiles",
    "PresetInfo",
    "PresetLicense",
    "Preview",
    "ProgressEvent",
    "PulidError",
    "PulidFlux",
    "PulidPipeline",
    "PulidSdxl",
    "Reference",
    "Region",
    "Result",
    "StableDiffusion",
    "UnfinishedPicture",
    "describe_file",
    "devices",
    "engine_info",
    "evaluate",
    "expand_prompt",
    "keep_person",
    "kept_people",
    "plan_memory",
    "pocket_files",
    "presets",
    "pull_preset",
    "recipe_from",
    "remove_person",
    "rename_person",
    "resolve_preset",
]

_MODULES = {
    "AsyncPulidPipeline": "pipeline.async_pulid_pipeline",
    "CancelToken": "pipeline.cancel_token",
    "ContextOptions": "options.context",
    "Device": "native.devices",
    "Engine": "engine.interface",
    "EngineInfo": "native.library",
    "EvaluationOptions": "evaluation.options",
    "EvaluationPrompt": "evaluation.options",
    "EvaluationResult": "evaluation.report",
    "FileInfo": "model_files.description",
    "GenerationOptions": "options.generation",
    "Identity": "identity.identity_file",
    "IdentityOptions": "people.identity_options",
    "KeptPerson": "identity.kept_people",
    "Person": "people.person",
    "PhotoWarning": "identity.photo_warning",
    "PictureRecipe": "pictures.recipe",
    "Plan": "memory.plan",
    "PocketFiles": "pocket.pack",
    "PresetFiles": "store.model_store",
    "PresetInfo": "store.presets",
    "PresetLicense": "store.presets",
    "Preview": "engine.interface",
    "ProgressEvent": "native.progress_event",
    "PulidFlux": "pipeline.families",
    "PulidPipeline": "pipeline.pulid_pipeline",
    "PulidSdxl": "pipeline.families",
    "Reference": "evaluation.options",
    "Region": "people.region",
    "Result": "pictures.result",
    "StableDiffusion": "engine.stable_diffusion",
    "UnfinishedPicture": "pipeline.async_pulid_pipeline",
    "describe_file": "model_files.description",
    "devices": "native.devices",
    "engine_info": "native.library",
    "evaluate": "evaluation.evaluate",
    "expand_prompt": "request.wildcards",
    "keep_person": "identity.kept_people",
    "kept_people": "identity.kept_people",
    "plan_memory": "memory.plan",
    "pocket_files": "pocket.pack",
    "presets": "store.presets",
    "pull_preset": "store.presets",
    "recipe_from": "pictures.recipe",
    "remove_person": "identity.kept_people",
    "rename_person": "identity.kept_people",
    "resolve_preset": "store.model_store",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: `import pulid_sdcpp` stays instant."""
    if name == "__version__":
        return importlib.import_module(".system.package_version", __name__).package_version()
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES.get(name, 'errors')}", __name__), name)


def __dir__() -> list[str]:
    return __all__
