"""Which of PuLID's encoders a weights file belongs to: those of Flux, or a version of SDXL's."""

from __future__ import annotations

import os

from ..errors import ModelFileError
from ..tensors.file_kinds import classify
from ..tensors.sdxl_pulid_names import original_names, weights_version
from ..tensors.tensor_file import TensorFile

__all__ = ["encoders_of_weights"]


def encoders_of_weights(path: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """Names of the encoders whose identities PuLID weights take; nothing but the header is read.

    Args:
        path: The weights; None: there are none.

    Returns:
        ("flux",), ("sdxl-v1",) or ("sdxl-v1.1",); both of the latter for a file without its
        encoder; () without weights. A file that cannot be read, which loading refuses, is taken
        for one of Flux.
    """
    if path is None:
        return ()
    try:
        with TensorFile(path) as file:
            is_for_sdxl = classify(file.header).kind == "pulid-sdxl"
            names = file.names()
    except ModelFileError:
        return ("flux",)
    if not is_for_sdxl:
        return ("flux",)
    version = weights_version(original_names(names))
    return ("sdxl-v1", "sdxl-v1.1") if version is None else (f"sdxl-{version}",)
