"""The refusal of numbers that damaged weights, or a type that is too small, produce."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.errors import ModelFileError

__all__ = ["check_finite"]


def check_finite(values: NDArray[np.float32], what: str, path: Path, dtype: str) -> None:
    """Refuse NaN and infinity.

    Args:
        values: What a network produced.
        what: It is, for the message.
        path: The network's weights.
        dtype: What it was computed in: "fp32", "bf16" or "fp16".

    Raises:
        ModelFileError: There are such numbers.
    """
    if np.isfinite(values).all():
        return
    # fp16 ends at 65504, which a published network may pass inside.
    advice = "use bf16 or fp32" if dtype == "fp16" else "download them again"
    raise ModelFileError(
        f"{path}: the {what} has numbers that are not finite (computed in {dtype}); "
        f"the weights are damaged: {advice}"
    )
