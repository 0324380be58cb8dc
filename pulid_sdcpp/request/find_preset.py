"""The preset that a request names, with its files found."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..options.context import ContextOptions
from ..store.model_store import ModelStore, PresetFiles

__all__ = ["find_preset"]

_CONTEXT = {field.name for field in dataclasses.fields(ContextOptions)}


def find_preset(
    name: str,
    models_dirs: Sequence[str | os.PathLike[str]],
    given: Mapping[str, Any],
    *,
    may_be_absent: bool = False,
    store: ModelStore | None = None,
) -> PresetFiles:
    """A preset without what is given in its place.

    Args:
        models_dirs: Folders of model files, in addition to those of the config file and the hub's
            cache.
        given: What was said, of which fields of `ContextOptions` count.
        may_be_absent, store: As for `resolve_preset`.

    Raises:
        ValueError: There is no such preset.
        ModelFileError: Its files are not there; says which, and how to get them.
    """
    from ..store.model_store import INSTEAD, resolve_preset

    own = _CONTEXT & set(given)
    instead = {INSTEAD[n] for n in own & {*INSTEAD}}
    if given.get("tae_preview_only"):  # both autoencoders are used
        instead.discard("taesd_path")
    files = resolve_preset(
        name,
        models_dirs,
        without=own | instead,
        may_be_absent=may_be_absent,
        store=store,
    )
    if "pulid_weights" not in own:
        return files
    extractor = {**files.extractor, "pulid_weights": given["pulid_weights"]}
    return dataclasses.replace(files, extractor=extractor)
