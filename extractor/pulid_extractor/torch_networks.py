"""The networks of extraction, computed by PyTorch."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from pulid_sdcpp.identity.encoder import SDXL_V1, Encoder

from .compute import dtype_name, resolve_device, resolve_dtype
from .encoder_tensors import read_encoder_tensors
from .eva_vision import EvaVision, load_eva
from .idformer import IdFormer, idformer_of
from .mlp_encoder import MlpEncoder, mlp_encoder_of
from .models_folder import ModelFiles
from .networks import FaceNetworks
from .parsing import BiSeNet, load_parsing

__all__ = [
    "TorchIdFormer",
    "TorchMlpEncoder",
    "TorchParser",
    "TorchTower",
    "load_torch_encoder",
    "load_torch_networks",
]

Array = NDArray[np.float32]


class TorchParser:
    """BiSeNet, always in float32.

    Args:
        network: The network, where it computes.
    """

    def __init__(self, network: BiSeNet) -> None:
        self.network = network

    def labels(self, picture: Array) -> NDArray[np.int64]:
        """See `FaceParser`."""
        device = next(self.network.parameters()).device
        scores = self.network(torch.from_numpy(picture)[None].to(device))
        labels: NDArray[np.int64] = scores.argmax(dim=1)[0].cpu().numpy()
        return labels


class TorchTower:
    """EVA02-CLIP.

    Args:
        network: The network, where it computes.
        dtype: What it computes in.
    """

    def __init__(self, network: EvaVision, dtype: torch.dtype) -> None:
        self.network = network
        self.shape = network.shape
        self._dtype = dtype

    def look(self, picture: Array) -> tuple[Array, list[Array]]:
        """See `VisionTower`."""
        device = self.network.cls_token.device
        seen = torch.from_numpy(picture)[None].to(device, self._dtype)
        embedding, hidden = self.network(seen)
        return _array(embedding[0]), [_array(state[0]) for state in hidden]


class TorchIdFormer:
    """An IDFormer.

    Args:
        network: The network, where it computes.
        dtype: What it computes in.
    """

    def __init__(self, network: IdFormer, dtype: torch.dtype) -> None:
        self.network = network
        self.shape = network.shape
        self._dtype = dtype

    def tokens(self, embeddings: Array, hidden: Sequence[Array]) -> Array:
        """See `EncoderNetwork`."""
        first, states = _given(self.network.latents.device, self._dtype, embeddings, hidden)
        return _array(self.network(first, states)[0])


class TorchMlpEncoder:
    """v1's encoder for SDXL.

    Args:
        network: The network, where it computes.
        dtype: What it computes in.
    """

    def __init__(self, network: MlpEncoder, dtype: torch.dtype) -> None:
        self.network = network
        self.shape = network.shape
        self._dtype = dtype

    def tokens(self, embeddings: Array, hidden: Sequence[Array]) -> Array:
        """See `EncoderNetwork`."""
        device = next(self.network.parameters()).device
        first, states = _given(device, self._dtype, embeddings, hidden)
        return _array(self.network(first[0], states)[0])


def load_torch_networks(files: ModelFiles, *, device: str, dtype: str) -> FaceNetworks:
    """Load the networks; see `load_networks`."""
    where = resolve_device(device)
    kind = resolve_dtype(dtype, where)
    tower = load_eva(files.eva, device=where, dtype=kind)
    parser = load_parsing(files.parsing, device=where)
    encoder, network = load_torch_encoder(files.pulid, device=where, dtype=kind)
    return FaceNetworks(
        parser=TorchParser(parser),
        tower=TorchTower(tower, kind),
        encoder=encoder,
        network=network,
        engine="torch",
        device=str(where),
        dtype=dtype_name(kind),
    )


def load_torch_encoder(
    path: str | os.PathLike[str], *, device: torch.device, dtype: torch.dtype
) -> tuple[Encoder, TorchIdFormer | TorchMlpEncoder]:
    """Load the encoder out of PuLID's weights; the cross-attention is not kept.

    Args:
        path: `pulid_flux_v0.9.1.safetensors`, `pulid_v1.1.safetensors`,
            `ip-adapter_pulid_sdxl_fp16.safetensors`, `pulid_v1.bin`, ...
        device: Where to compute.
        dtype: What to compute in.

    Raises:
        ModelFileError: Not such a file.
    """
    found = read_encoder_tensors(path)
    if found.encoder == SDXL_V1:
        mlp = mlp_encoder_of(found.tensors, found.file, device=device, dtype=dtype)
        return found.encoder, TorchMlpEncoder(mlp, dtype)
    idformer = idformer_of(found.tensors, found.file, device=device, dtype=dtype)
    return found.encoder, TorchIdFormer(idformer, dtype)


def _given(
    device: torch.device, dtype: torch.dtype, embeddings: Array, hidden: Sequence[Array]
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Both with a dimension for the one person."""
    states = [torch.from_numpy(state)[None].to(device, dtype) for state in hidden]
    return torch.from_numpy(embeddings)[None].to(device, dtype), states


def _array(tensor: torch.Tensor) -> Array:
    return tensor.float().cpu().numpy()
