"""The encoder's tensors out of a PuLID weights file, and which encoder it is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.identity.encoder import FLUX, Encoder
from pulid_sdcpp.identity.encoder_tensors import FLUX_PREFIX, encoder_of_tensors
from pulid_sdcpp.tensors.sdxl_pulid_names import ADAPTER_PREFIX, ENCODER_PREFIX, original_names

from .checkpoint import read_checkpoint, without_prefix

__all__ = ["EncoderTensors", "read_encoder_tensors"]


@dataclass(frozen=True)
class EncoderTensors:
    """An encoder as its file has it.

    Attributes:
        encoder: Which it is.
        tensors: Named as published, without the prefix.
        file: Where they come from.
    """

    encoder: Encoder
    tensors: Mapping[str, torch.Tensor]
    file: Path


def read_encoder_tensors(path: str | os.PathLike[str]) -> EncoderTensors:
    """Read the encoder of PuLID's weights for Flux or for SDXL, under published or other names.

    Args:
        path: Safetensors, or v1's pickled file.

    Raises:
        ModelFileError: It is no such file, has no encoder, or has parts of two.
    """
    file = Path(path)
    tensors = read_checkpoint(file)
    names = original_names(tensors)
    for_flux = any(name.startswith(FLUX_PREFIX) for name in names)
    for_sdxl = any(name.startswith((ENCODER_PREFIX, ADAPTER_PREFIX)) for name in names)
    if for_flux and for_sdxl:
        raise ModelFileError(
            f"{file}: expected PuLID weights for Flux or for SDXL, found parts of both; "
            "get them again"
        )
    if for_sdxl:
        encoder = encoder_of_tensors(names)
        if encoder is None:
            raise ModelFileError(
                f"{file}: expected PuLID weights with their encoder, found PuLID weights for SDXL "
                "without one that is known; identities are made with "
                "ip-adapter_pulid_sdxl_fp16.safetensors (v1) or pulid_v1.1.safetensors"
            )
        published = {name: tensors[in_file] for name, in_file in names.items()}
        return EncoderTensors(encoder, without_prefix(published, ENCODER_PREFIX), file)
    return EncoderTensors(FLUX, without_prefix(tensors, FLUX_PREFIX), file)
