"""The networks of extraction, computed by ONNX Runtime."""

from __future__ import annotations

from pulid_sdcpp.errors import DeviceError
from pulid_sdcpp.identity.encoder import SDXL_V1

from ..dependencies import load_onnxruntime, require_module
from ..encoder_tensors import read_encoder_tensors
from ..models_folder import ModelFiles
from ..networks import EncoderNetwork, FaceNetworks
from .eva import load_onnx_eva
from .idformer import OnnxIdFormer
from .mlp_encoder import OnnxMlpEncoder
from .parsing import load_onnx_parser

__all__ = ["device_providers", "load_onnx_networks"]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def load_onnx_networks(files: ModelFiles, *, device: str, dtype: str) -> FaceNetworks:
    """Load the networks; see `load_networks`. They compute in float32 only."""
    if dtype not in ("auto", "fp32"):
        raise ValueError(f"dtype {dtype!r}: expected auto or fp32 for ONNX Runtime")
    require_module("onnx", "photos")
    providers = device_providers(device)
    tower, parser = load_onnx_eva(files.eva, providers), load_onnx_parser(files.parsing, providers)
    found = read_encoder_tensors(files.pulid)
    build = OnnxMlpEncoder if found.encoder == SDXL_V1 else OnnxIdFormer
    network: EncoderNetwork = build(found.tensors, found.file, providers)
    return FaceNetworks(
        parser=parser,
        tower=tower,
        encoder=found.encoder,
        network=network,
        engine="onnx",
        device=device if device != "auto" else "cpu",
        dtype="fp32",
    )


def device_providers(device: str) -> tuple[str, ...]:
    """ONNX Runtime's name for a device, with the processor for what it cannot do."""
    name = "cpu" if device == "auto" else device
    if name not in _PROVIDERS:
        raise ValueError(f"device {device!r}: expected auto, {' or '.join(_PROVIDERS)}")
    there = load_onnxruntime().get_available_providers()
    if _PROVIDERS[name] not in there:
        known = [one for one, provider in _PROVIDERS.items() if provider in there]
        raise DeviceError(f"device {device!r} is not available; there is: {', '.join(known)}")
    return tuple(dict.fromkeys((_PROVIDERS[name], _PROVIDERS["cpu"])))
