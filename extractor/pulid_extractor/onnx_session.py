"""A model file of ONNX opened in ONNX Runtime, or refused by what is there instead."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.system.file_signature import SIGNATURE_BYTES, signature
from pulid_sdcpp.system.regular_file import open_regular
from pulid_sdcpp.tensors.file_bytes import FileBytes
from pulid_sdcpp.tensors.hollow_file import check_data

from .dependencies import load_onnxruntime

__all__ = ["first_nodes", "new_session", "onnx_providers", "open_model", "running"]

_MODEL_GRAPH, _GRAPH_NODE, _NODE_NAME = 7, 1, 3
"""Numbers of fields in onnx.proto."""
_PROCESSOR = ("CPUExecutionProvider", {"arena_extend_strategy": "kSameAsRequested"})
"""Not twice as much memory each time that it wants more."""
_NUMBER, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
"""Kinds of fields. Source: Protocol Buffers, "Encoding"."""


def onnx_providers(device_type: str) -> tuple[str, ...]:
    """The providers to name for a torch device type: CUDA where both have it, else the CPU."""
    available = load_onnxruntime().get_available_providers()
    if device_type == "cuda" and "CUDAExecutionProvider" in available:
        return ("CUDAExecutionProvider", "CPUExecutionProvider")
    return ("CPUExecutionProvider",)


def new_session(model: str | bytes, providers: Sequence[str]) -> Any:
    """A session of a file, by its name, or of what is in one.

    Raises:
        Exception: ONNX Runtime's, which share no base class of their own.
        MissingDependencyError: ONNX Runtime is missing.
    """
    ort = load_onnxruntime()
    options = ort.SessionOptions()
    # The published detector declares its outputs for 640 x 640 and warns at any other size.
    options.log_severity_level = 3
    # Waiting threads sleep, which costs a hundredth of the time; turning, they take a core each.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    settings = [_PROCESSOR if name == _PROCESSOR[0] else name for name in providers]
    return ort.InferenceSession(model, options, providers=settings)


def open_model(path: Path, what: str, providers: Sequence[str]) -> Any:
    """A session of a published file.

    Args:
        path: The file.
        what: What it should be, for errors.
        providers: ONNX Runtime execution providers, the preferred one first.

    Raises:
        ModelFileError: It is not there, or ONNX Runtime cannot load it.
        MissingDependencyError: ONNX Runtime is missing.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise ModelFileError(f"{path}: expected the {what}, found {found}")
    with open_regular(path) as file:
        found = signature(file.read(SIGNATURE_BYTES))
    if found not in ("an ONNX model", signature(b"")):
        raise ModelFileError(f"{path}: expected the {what}, found {found}")
    with FileBytes(path, f"the {what}") as content:
        check_data(content)
    load_onnxruntime()
    try:
        return new_session(os.fspath(path), providers)
    except Exception as error:
        raise ModelFileError(
            f"{path}: expected the {what}, found a file ONNX Runtime cannot load "
            f"({_reason(error)}); download it again"
        ) from error


@contextlib.contextmanager
def running(path: Path) -> Iterator[None]:
    """Name the model whose run fails: a model of the right outline can be wrong inside."""
    try:
        yield
    except Exception as error:
        raise ModelFileError(f"{path}: ONNX Runtime cannot run it ({_reason(error)})") from error


def first_nodes(path: Path, count: int) -> list[str]:
    """Names of the first operators of a model; fewer where the file has others, or is damaged.

    Of a file of some hundred megabytes its beginning is read.
    """
    names: list[str] = []
    with FileBytes(path) as content:
        for number, start, end in _fields(content, 0, len(content)):
            if number != _MODEL_GRAPH:
                continue
            for inner, node_start, node_end in _fields(content, start, end):
                if inner != _GRAPH_NODE or len(names) == count:
                    return names
                named = [
                    content[at:stop].decode(errors="replace")
                    for field, at, stop in _fields(content, node_start, node_end)
                    if field == _NODE_NAME
                ]
                names.append(named[-1] if named else "")
    return names


def _fields(content: FileBytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Fields of a message that have bytes in them: their number, and where the bytes are."""
    at = start
    while at < end:
        key, at = _whole(content, at)
        kind = key & 7
        if kind == _NUMBER:
            _, at = _whole(content, at)
        elif kind in (_EIGHT_BYTES, _FOUR_BYTES):
            at += 8 if kind == _EIGHT_BYTES else 4
        elif kind == _BYTES:
            size, at = _whole(content, at)
            if at + size > end:
                return
            yield key >> 3, at, at + size
            at += size
        else:
            return


def _whole(content: FileBytes, at: int) -> tuple[int, int]:
    """A whole number, seven bits in each byte, and where it ends."""
    value = 0
    for place, byte in enumerate(content[at : at + 10]):
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            return value, at + place + 1
    return value, len(content)


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
