"""What `--pocket` means: the pocket model's files and what it was trained for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ...store.model_store import PresetFiles

__all__ = ["pocket_evaluation", "pocket_preset"]


def pocket_preset() -> PresetFiles:
    """The pocket model as a preset whose files are all there.

    Raises:
        ModelFileError: The pocket model is not there.
    """
    from ...pocket.pack import pocket_files
    from ...store.model_store import PresetFiles
    from ...store.registry import pocket_settings

    files = pocket_files()
    context = {
        "diffusion_model_path": files.diffusion_model,
        "taesd_path": files.taesd,
        "clip_l_path": files.clip_l,
        "pulid_weights": files.pulid_weights,
    }
    return PresetFiles("pocket", settings=pocket_settings(), context=context)


def pocket_evaluation(given: Mapping[str, Any]) -> dict[str, Any]:
    """What an evaluation of it is made with, where the user says nothing else.

    Raises:
        ModelFileError: The pocket model is not there.
    """
    from ...evaluation.pocket_prompts import pocket_prompts
    from ...pocket.pack import pocket_files

    files = pocket_files()
    values: dict[str, Any] = {
        "models_dir": files.models_dir,
        "judges": (files.judge,),
        "attributes": files.attributes,
    }
    if not given.get("portraits") and not given.get("identities"):
        values["portraits"] = files.portraits
    if not given.get("prompts") and given.get("prompts_file") is None:
        values["prompts"] = pocket_prompts()
    return {name: value for name, value in values.items() if name not in given}
