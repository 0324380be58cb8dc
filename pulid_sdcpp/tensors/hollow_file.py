"""Model files whose header is whole and whose data is zeros, in all or in part.

A download that reserved its room and was not finished, a disk that was full, a power cut: the file
has its size and its list of tensors, and a matrix of zeros makes pictures of nobody, or grey ones.
A few pages of each matrix are looked at, so that 12 GB take milliseconds.

Zeros alone prove nothing: matrices that training left at zero, or that were set to it to have no
effect, are in good files. So of a file of which something is known, the matrices that cannot be
zeros are asked; of any other, whether all of them are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ..errors import ModelFileError
from ..terminal_text import quoted
from .file_bytes import FileBytes
from .tensor_header import TensorInfo

__all__ = ["PAGE_BYTES", "check_data", "check_not_hollow", "is_zeros"]

PAGE_BYTES = 4096
"""What a file system and a disk lose at least."""
_PLACES = (0.5, 0.0, 0.25, 0.75, 1.0)
"""Of a matrix, the likeliest first: most have numbers there, and nothing more is read of them."""
_PARTS = 64
"""So many places are looked at where there is no list of tensors."""
_FEWEST_PARTS = 8

_NEVER_ZERO = {
    # Not what brings in text, time and guidance: a model may go without.
    "flux": r"(double_blocks|single_blocks)\.\d+\..*weight$|(^|\.)(img_in|final_layer\.linear)\."
    r"|t5xxl.*weight$|clip_l.*token_embedding\.weight$",  # in a full checkpoint
    "pulid-flux": r"^pulid_ca\.\d+\.to_(q|kv|out)\.weight$",
    # Not the text's keys and values: a model may go without.
    "sdxl": r"\.attn1\.to_[qkv]\.weight$|(^|\.)(input_blocks\.0\.0|conv_in)\.weight$"
    r"|text_projection(\.weight)?$",  # in a full checkpoint
    "pulid-sdxl": r"\.(id_to_[kv]|to_[kv]_ip)\.weight$",
    "t5xxl": r"weight$",
    "clip-l": r"token_embedding\.weight$",
    "clip-g": r"token_embedding\.weight$|text_projection(\.weight)?$",
    # All that has no way around it; blocks have one, and may be zeros.
    "vae": r"coder\.conv_(in|out)\.weight$|(up|down)sample\.conv\.weight$",
    "tae": r"coder\.layers\.\d+\.weight$",
}
"""By kind of file, as `file_kinds` names it: the matrices without which it does nothing."""


def check_not_hollow(content: FileBytes, tensors: Iterable[TensorInfo], kind: str) -> None:
    """Refuse a file of tensors whose data is not there.

    Args:
        content: The file.
        tensors: All that are in it.
        kind: Its kind, see `file_kinds.classify`.

    Raises:
        ModelFileError: A matrix that cannot be zeros is, or all are; names the first.
    """
    needed = re.compile(_NEVER_ZERO.get(kind, r"$^"))
    matrices = list(_matrices(tensors))
    hollow = [info for info in matrices if _is_hollow(content, info)]
    wrong = [info for info in hollow if needed.search(info.name)]
    if not wrong and len(hollow) == len(matrices):
        wrong = hollow
    if wrong:
        first = min(wrong, key=lambda info: info.offset)
        raise ModelFileError(
            f"{content.path}: {len(wrong)} of its {len(matrices)} matrices are zeros, "
            f"{quoted(first.name)} first, at byte {first.offset}: a download that was not "
            "finished, or a damaged disk; get the file again"
        )


def check_data(content: FileBytes) -> None:
    """Refuse a file without a list of tensors, as ONNX, of which a large part is zeros.

    Raises:
        ModelFileError: An eighth of it in one piece is; says where.
    """
    size = len(content)
    step = size / _PARTS
    run = 0
    for part in range(_PARTS):
        begin = int(part * step)
        count = min(PAGE_BYTES, size - begin)
        run = run + 1 if is_zeros(content.read(begin, count)) else 0
        if run == _FEWEST_PARTS:
            first = int((part - _FEWEST_PARTS + 1) * step)
            raise ModelFileError(
                f"{content.path}: zeros from byte {first} to {begin + count} and perhaps "
                "further: a download that was not finished, or a damaged disk; get the file again"
            )


def is_zeros(content: bytes) -> bool:
    return not content.strip(b"\0")


def _matrices(tensors: Iterable[TensorInfo]) -> Iterator[TensorInfo]:
    """What has two dimensions and a page of bytes; vectors of zeros are common."""
    for info in tensors:
        if sum(size > 1 for size in info.shape) >= 2 and info.nbytes >= PAGE_BYTES:
            yield info


def _is_hollow(content: FileBytes, info: TensorInfo) -> bool:
    last = info.nbytes - PAGE_BYTES
    return all(
        is_zeros(content.read(info.offset + int(last * place), PAGE_BYTES)) for place in _PLACES
    )
