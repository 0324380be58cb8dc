"""The networks of extraction as everything else sees them: NumPy in, NumPy out.

Two engines compute them, PyTorch (`torch_networks`) and ONNX Runtime (`onnx_networks`), from the
same files. What goes in and comes out is made and used in one place each.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.identity.encoder import Encoder
from pulid_sdcpp.terminal_text import alternatives

from .eva_shape import EvaShape
from .models_folder import ModelFiles
from .onnx_session import onnx_providers

__all__ = [
    "ENGINES",
    "EncoderNetwork",
    "FaceNetworks",
    "FaceParser",
    "VisionTower",
    "face_providers",
    "load_networks",
    "resolved_engine",
]

ENGINES = ("auto", "onnx", "torch")
"""What computes the networks; "auto": PyTorch where it is installed."""

Array = NDArray[np.float32]


class FaceParser(Protocol):
    """BiSeNet."""

    def labels(self, picture: Array) -> NDArray[np.int64]:
        """The class of every pixel, (512, 512), of a picture that `parser_picture` gives."""


class VisionTower(Protocol):
    """EVA02-CLIP."""

    shape: EvaShape

    def look(self, picture: Array) -> tuple[Array, list[Array]]:
        """Look at a picture.

        Args:
            picture: (3, image_px, image_px), as `tower_picture` gives it.

        Returns:
            The CLIP embedding (embedding_dim,), of the length 1, and five hidden states
            (1 + grid**2, width), the CLS token first, not normalised.
        """


class EncoderNetwork(Protocol):
    """An IDFormer, or v1's encoder for SDXL."""

    shape: Any

    def tokens(self, embeddings: Array, hidden: Sequence[Array]) -> Array:
        """Identity tokens of one person.

        Args:
            embeddings: (photos, embedding_dim): for each photo the ArcFace embedding, then the
                CLIP embedding; one photo for v1's.
            hidden: The vision tower's five hidden states, each (photos * tokens, vit_dim): the
                photos' tokens one after the other.

        Returns:
            (tokens, id_dim).
        """


@dataclass(frozen=True)
class FaceNetworks:
    """What is asked about an aligned face.

    Attributes:
        parser: Tells the face from what is around it.
        tower: The vision tower.
        encoder: Whose identities are made.
        network: That encoder's network.
        engine: "onnx" or "torch".
        device: Where they compute.
        dtype: What they compute in: "fp32", "bf16" or "fp16".
    """

    parser: FaceParser
    tower: VisionTower
    encoder: Encoder
    network: EncoderNetwork
    engine: str
    device: str
    dtype: str


def load_networks(engine: str, files: ModelFiles, *, device: str, dtype: str) -> FaceNetworks:
    """Load the networks.

    Args:
        engine: One of ENGINES.
        files: The networks' files.
        device: As for `IdentityExtractor`.
        dtype: Likewise.

    Raises:
        ModelFileError: Weights are missing or of the wrong kind.
        MissingDependencyError: The engine's packages are missing.
        DeviceError: The device does not exist here.
        ValueError: There is no such engine, device or type.
    """
    if resolved_engine(engine) == "torch":
        from .dependencies import require_module

        require_module("torch")
        from .torch_networks import load_torch_networks

        return load_torch_networks(files, device=device, dtype=dtype)
    from .onnx_networks.load import load_onnx_networks

    return load_onnx_networks(files, device=device, dtype=dtype)


def resolved_engine(engine: str) -> str:
    """The engine that one of ENGINES means here: "onnx" or "torch".

    Raises:
        ValueError: It is none of them.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine {engine!r}: expected {alternatives(ENGINES)}")
    if engine == "auto":
        return "torch" if importlib.util.find_spec("torch") else "onnx"
    return engine


def face_providers(engine: str, device: str) -> tuple[str, ...]:
    """What ONNX Runtime finds and recognises faces with, beside an engine on a device.

    Raises:
        MissingDependencyError: The engine's packages are missing.
        DeviceError: The device does not exist here.
        ValueError: There is no such engine or device.
    """
    if resolved_engine(engine) == "torch":
        from .dependencies import require_module

        require_module("torch")
        from .compute import resolve_device

        return onnx_providers(resolve_device(device).type)
    from .onnx_networks.load import device_providers

    return device_providers(device)
