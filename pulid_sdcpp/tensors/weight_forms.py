"""Forms in which models are shared and that the engine does not read, told by tensor names.

What such a file holds under the engine's names are packed numbers, scales and tables; each form
has names of its own, and the refusal says which it is.

Source: the files that bitsandbytes, nunchaku, quanto, GPTQ, AWQ, torchao and ComfyUI write.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..errors import ModelFileError
from .tensor_header import TensorInfo

__all__ = ["USE_INSTEAD", "part_named", "part_of", "quantized_form"]

USE_INSTEAD = "use a gguf, or a single file in F16, BF16 or fp8"

# In this order; the first one of whose tensors is there is the answer.
_FORMS = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"\.quant_state\.bitsandbytes__nf4$", "quantized to NF4 by bitsandbytes"),
        (r"\.quant_state\.bitsandbytes__fp4$", "quantized to FP4 by bitsandbytes"),
        (r"\.(nested_)?absmax$|\.quant_state\.bitsandbytes__", "quantized by bitsandbytes"),
        (r"\.SCB$", "quantized to 8 bits by bitsandbytes"),
        (r"\.(wscales|wtscale|wcscales|smooth_factor(_orig)?)$", "quantized by nunchaku"),
        (r"\.g_idx$", "quantized by GPTQ"),
        (r"\.qzeros$", "quantized by AWQ or GPTQ"),
        (r"\.(qweight|weight_packed)$", "of packed integers"),
        (r"\.weight\._(data|scale|shift|packed)$", "quantized by quanto"),
        (r"[._]_weight_(qdata|scale)$", "quantized by torchao"),
        (r"\.W_q$", "quantized by HQQ"),
        (r"\.weight_scale_2$", "quantized to NVFP4"),
    )
)
_BLOCK_SCALE = re.compile(r"\.weight_scale$")
_PART = re.compile(r"-0*([0-9]{1,5})-of-0*([0-9]{1,5})\.(safetensors|gguf|bin)$")


def quantized_form(tensors: Mapping[str, TensorInfo]) -> str | None:
    """How a model is quantized that the engine cannot read, in words; None: not so.

    Args:
        tensors: Of a file, by name.
    """
    for pattern, words in _FORMS:
        if any(pattern.search(name) for name in tensors):
            return words
    for name, info in tensors.items():
        if _BLOCK_SCALE.search(name) and info.dtype in ("u8", "f8_e8m0", "f8_e4m3"):
            return "quantized to MXFP8 or NVFP4" if info.n_elements > 1 else None
    return None


def part_of(path: str | os.PathLike[str]) -> str:
    """ "part 1 of 3" of a file that is called so; "" for others."""
    found = _PART.search(os.path.basename(os.fspath(path)))
    several = found is not None and int(found[2]) > 1
    return f"part {int(found[1])} of {int(found[2])}" if found is not None and several else ""


@contextmanager
def part_named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Where a file is refused and its name says that it is one of several: say so, too."""
    try:
        yield
    except ModelFileError as error:
        part = part_of(path)
        if not part:
            raise
        raise ModelFileError(
            f"{error}; by its name it is {part} of a model, and the engine reads only whole ones:"
            f" {USE_INSTEAD}"
        ) from None
