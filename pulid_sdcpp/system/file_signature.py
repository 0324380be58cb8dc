"""What a file is, told by its first bytes: for error messages about wrong files."""

from __future__ import annotations

__all__ = ["SIGNATURE_BYTES", "signature"]

SIGNATURE_BYTES = 64

_SIGNATURES = (
    (b"GGUF", "a gguf file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF document"),
    (b"\x7fELF", "a program or library"),
    (b"MZ", "a Windows program or library"),
    (b"ggml", "an old ggml file"),
    (b"lmgg", "an old ggml file"),
    (b"<!DOCTYPE", "an HTML page (a failed download?)"),
    (b"<!doctype", "an HTML page (a failed download?)"),
    (b"<html", "an HTML page (a failed download?)"),
    (b"version https://git-lfs", "a Git LFS pointer (the real file was not downloaded)"),
)


def signature(head: bytes) -> str:
    """Name the kind of file that begins with `head` (64 bytes are enough).

    Returns:
        Words with an article, as "a PNG picture"; "unrecognised content" when nothing fits.
    """
    for magic, words in _SIGNATURES:
        if head.startswith(magic):
            return words
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "a WebP picture"
    if head.startswith(b"PK\x03\x04"):
        return "a torch checkpoint or another zip archive"
    if len(head) > 8 and head[8:9] == b"{" and head[4:8] == bytes(4):
        return "a safetensors file"
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "a pickle (old torch checkpoint)"
    # An ONNX file is a ModelProto: field 1 is the version of its format, a small number.
    if head[:1] == b"\x08" and 1 <= (head[1] if len(head) > 1 else 0) <= 32 and len(head) > 2:
        return "an ONNX model"
    if head and not head.strip(b"\t\n\r" + bytes(range(0x20, 0x7F))):
        return "a text file"
    return "unrecognised content"
