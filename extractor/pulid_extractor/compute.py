"""Where the networks compute, and in what: the words users give, as torch understands them."""

from __future__ import annotations

import torch

from pulid_sdcpp.errors import DeviceError

__all__ = ["DTYPES", "dtype_name", "free_cached_memory", "resolve_device", "resolve_dtype"]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What the vision tower and the encoder can compute in, by the name users give."""


def resolve_device(name: str) -> torch.device:
    """The torch device a user's word means.

    Raises:
        ValueError: Not a device this works on.
        DeviceError: No such device here.
    """
    available = ["cpu"]
    if torch.backends.mps.is_available():
        available.insert(0, "mps")
    if torch.cuda.is_available():
        available[:0] = ["cuda", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if name == "auto":
        return torch.device(available[0])
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdigit())):
        raise ValueError(f"device {name!r}: expected auto, cpu, cuda, cuda:N or mps")
    if name not in available:
        raise DeviceError(f"device {name!r} is not available; there is: {', '.join(available)}")
    return torch.device(name)


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """The torch type a user's word means on a device.

    Raises:
        ValueError: An unknown type, or fp16 on the CPU.
    """
    if name == "auto":
        fast = device.type == "cuda" and torch.cuda.is_bf16_supported()
        return torch.bfloat16 if fast else torch.float32
    if name not in DTYPES:
        raise ValueError(f"dtype {name!r}: expected auto, {', '.join(DTYPES)}")
    if name == "fp16" and device.type == "cpu":
        raise ValueError(
            "dtype 'fp16' is not offered on the CPU, where it is several times slower than fp32; "
            "use fp32 or bf16"
        )
    return DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """The word that users have for one of DTYPES."""
    return next(name for name, known in DTYPES.items() if known == dtype)


def free_cached_memory() -> None:
    """Give a card's memory that torch keeps for later back to others."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
