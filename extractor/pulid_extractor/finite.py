"""The refusal of numbers that damaged weights, or a type that is too small, produce."""

from __future__ import annotations

from pathlib import Path

import torch

from pulid_sdcpp.errors import ModelFileError

from .compute import dtype_name

__all__ = ["check_finite"]


def check_finite(values: torch.Tensor, what: str, path: Path, dtype: torch.dtype) -> None:
    """Refuse NaN and infinity.

    Args:
        values: What a network produced.
        what: It is, for the message.
        path: The network's weights.
        dtype: What it was computed in.

    Raises:
        ModelFileError: There are such numbers.
    """
    if torch.isfinite(values).all():
        return
    # fp16 ends at 65504, which a published network may pass inside.
    name = dtype_name(dtype)
    advice = "use bf16 or fp32" if name == "fp16" else "download them again"
    raise ModelFileError(
        f"{path}: the {what} has numbers that are not finite (computed in {name}); "
        f"the weights are damaged: {advice}"
    )
