"""The encoder's tensors out of a PuLID weights file, and which encoder it is."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.identity.encoder import FLUX, Encoder
from pulid_sdcpp.identity.encoder_tensors import FLUX_PREFIX, encoder_of_tensors
from pulid_sdcpp.tensors.sdxl_pulid_names import ADAPTER_PREFIX, ENCODER_PREFIX, original_names
from pulid_sdcpp.tensors.torch_checkpoint import StoredTensor

from .weights import read_weights

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
    tensors: Mapping[str, StoredTensor]
    file: Path


def read_encoder_tensors(path: str | os.PathLike[str]) -> EncoderTensors:
    """Read the encoder of PuLID's weights for Flux or for SDXL, under published or other names.

    Args:
        path: Safetensors, of which only the encoder is read, or v1's pickled file.

    Raises:
        ModelFileError: It is no such file, has no encoder, or has parts of two.
    """
    file = Path(path)
    found: dict[str, Encoder] = {}
    in_file: dict[str, str] = {}

    def choose(names: Sequence[str]) -> Collection[str]:
        originals = original_names(names)
        encoder = found["encoder"] = _encoder_of(originals, file)
        prefix = FLUX_PREFIX if encoder == FLUX else ENCODER_PREFIX
        for original, name in originals.items():
            if original.startswith(prefix):
                in_file[name] = original.removeprefix(prefix)
        return in_file

    tensors = read_weights(file, choose=choose)
    named = {in_file[name]: tensor for name, tensor in tensors.items()}
    return EncoderTensors(found["encoder"], named, file)


def _encoder_of(originals: Collection[str], file: Path) -> Encoder:
    """Which encoder there is; what is no PuLID weights at all is refused as those for Flux."""
    for_flux = any(name.startswith(FLUX_PREFIX) for name in originals)
    for_sdxl = any(name.startswith((ENCODER_PREFIX, ADAPTER_PREFIX)) for name in originals)
    if for_flux and for_sdxl:
        raise ModelFileError(
            f"{file}: expected PuLID weights for Flux or for SDXL, found parts of both; "
            "get them again"
        )
    encoder = encoder_of_tensors(originals)
    if for_sdxl and encoder is None:
        raise ModelFileError(
            f"{file}: expected PuLID weights with their encoder, found PuLID weights for SDXL "
            "without one that is known; identities are made with "
            "ip-adapter_pulid_sdxl_fp16.safetensors (v1) or pulid_v1.1.safetensors"
        )
    return encoder or FLUX
