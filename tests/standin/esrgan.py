"""A small ESRGAN: random weights of the published structure, and its definition in NumPy.

Source: xinntao/Real-ESRGAN and XPixelGroup/BasicSR, rrdbnet_arch.py, for the names and formulas.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

Array = NDArray[np.float32]
Weights = dict[str, Array]

FEATURES, GROWTH = 64, 32


def esrgan_weights(scale: int = 2, blocks: int = 1, seed: int = 0) -> Weights:
    """With half-precision values, which the engine computes with."""
    random = np.random.default_rng(seed)
    ups = {1: (), 2: ("conv_up1",), 4: ("conv_up1", "conv_up2")}[scale]
    channels = {"conv_first": (FEATURES, 3), "conv_last": (3, FEATURES)}
    channels |= dict.fromkeys(("conv_body", *ups, "conv_hr"), (FEATURES, FEATURES))
    for block in range(blocks):
        for dense in (1, 2, 3):
            for layer in range(1, 6):
                outputs = FEATURES if layer == 5 else GROWTH
                name = f"body.{block}.rdb{dense}.conv{layer}"
                channels[name] = (outputs, FEATURES + GROWTH * (layer - 1))
    weights: Weights = {}
    for name, (outputs, inputs) in channels.items():
        spread = 1.2 / np.sqrt(9 * inputs)
        kernel = random.normal(size=(outputs, inputs, 3, 3)) * spread
        weights[f"{name}.weight"] = kernel.astype(np.float16).astype(np.float32)
        weights[f"{name}.bias"] = (random.normal(size=outputs) * 0.05).astype(np.float32)
    weights["conv_last.bias"] += np.float32(0.5)
    return weights


def write_esrgan(path: Path, weights: Weights) -> Path:
    write_safetensors(path, [_spec(name, value) for name, value in weights.items()])
    return path


def _spec(name: str, value: Array) -> TensorSpec:
    return TensorSpec(name, value.shape, "f32", lambda: value)


def esrgan(weights: Weights, picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """A (height, width, 3) picture, enlarged; 0 to 255, not rounded."""

    def conv(name: str, x: Array) -> Array:
        kernel, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        made = np.tensordot(kernel, windows, axes=([1, 2, 3], [0, 3, 4]))
        return np.asarray(made + bias[:, None, None], np.float32)

    def relu(x: Array) -> Array:
        return np.asarray(np.where(x > 0, x, np.float32(0.2) * x), np.float32)

    def dense_block(name: str, x: Array) -> Array:
        seen = x
        for layer in range(1, 5):
            seen = np.concatenate([seen, relu(conv(f"{name}.conv{layer}", seen))])
        return np.asarray(x + np.float32(0.2) * conv(f"{name}.conv5", seen), np.float32)

    first = conv("conv_first", picture.transpose(2, 0, 1).astype(np.float32) / np.float32(255))
    body, block = first, 0
    while f"body.{block}.rdb1.conv1.weight" in weights:
        inner = body
        for dense in (1, 2, 3):
            inner = dense_block(f"body.{block}.rdb{dense}", inner)
        body, block = body + np.float32(0.2) * inner, block + 1
    x = first + conv("conv_body", body)
    for up in ("conv_up1", "conv_up2"):
        if f"{up}.weight" in weights:
            x = relu(conv(up, x.repeat(2, axis=1).repeat(2, axis=2)))
    result = conv("conv_last", relu(conv("conv_hr", x)))
    return np.asarray(np.clip(result.transpose(1, 2, 0), 0, 1) * 255, np.float32)
