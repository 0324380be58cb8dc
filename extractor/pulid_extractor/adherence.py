"""What can be read back from a picture: a network that names its background, style, and so on.

Such an attribute reader is an ONNX model with

    input      (1, 3, S, S) or (n, 3, S, S) float32 RGB in 0..1, the whole picture
    outputs    logits, one output (1, all choices) or one per attribute, in the metadata's order
    metadata   "attributes": a JSON object of lists, {"background": ["red", "blue"], ...}
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.tensors.file_bytes import FileBytes
from pulid_sdcpp.tensors.hollow_file import check_data

from .dependencies import load_onnxruntime
from .pixels import resized_area, resized_linear

__all__ = ["METADATA_KEY", "AttributeReader"]

METADATA_KEY = "attributes"
WHAT = "attribute reader"


class AttributeReader:
    """A network that reads attributes from a picture, such as background and style.

    Args:
        path: The ONNX model, in the form that docs/evaluate.md describes.
        providers: ONNX Runtime execution providers, the preferred one first.

    Attributes:
        choices: The values that it knows, by attribute.

    Raises:
        ModelFileError: The file is not such a model.
        MissingDependencyError: ONNX Runtime is missing.
    """

    def __init__(
        self, path: str | os.PathLike[str], providers: tuple[str, ...] = ("CPUExecutionProvider",)
    ) -> None:
        self._path = Path(path)
        if not self._path.is_file():
            raise ModelFileError(f"{self._path}: expected an {WHAT}, found no file")
        with FileBytes(self._path, f"an {WHAT}") as content:
            check_data(content)
        runtime = load_onnxruntime()
        try:
            self._session = runtime.InferenceSession(
                os.fspath(self._path), providers=list(providers)
            )
        except Exception as error:
            # ONNX Runtime's exceptions share no base class of its own.
            raise ModelFileError(
                f"{self._path}: expected an {WHAT}, found a file ONNX Runtime cannot load"
            ) from error
        self.choices = self._read_choices()
        self._input, self._side_px = self._read_input()

    def read(self, pixels: NDArray[np.uint8]) -> dict[str, str]:
        """Read the most likely value of every attribute.

        Args:
            pixels: (H, W, 3) uint8 RGB; resized to the model's square.

        Raises:
            ModelFileError: The model fails, or its output is not as declared.
        """
        size = (self._side_px, self._side_px)
        shrinks = min(pixels.shape[:2]) > self._side_px
        resized = (resized_area if shrinks else resized_linear)(pixels, size)
        picture = resized.astype(np.float32) / 255
        try:
            outputs = self._session.run(None, {self._input: picture.transpose(2, 0, 1)[None]})
        except Exception as error:
            raise ModelFileError(f"{self._path}: ONNX Runtime cannot run it: {error}") from error
        logits = np.concatenate([np.asarray(output).ravel() for output in outputs])
        expected = sum(map(len, self.choices.values()))
        if logits.shape != (expected,) or not np.isfinite(logits).all():
            raise ModelFileError(
                f"{self._path}: expected {expected} finite numbers, one for each value of its "
                f"attributes, found {len(logits)}"
            )
        found, start = {}, 0
        for name, values in self.choices.items():
            found[name] = values[int(logits[start : start + len(values)].argmax())]
            start += len(values)
        return found

    def _read_choices(self) -> Mapping[str, tuple[str, ...]]:
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY, "")
        try:
            choices: Any = json.loads(text)
        except (ValueError, RecursionError):
            choices = None
        if (
            not isinstance(choices, dict)
            or not choices
            or not all(_is_list_of_text(values) for values in choices.values())
        ):
            raise ModelFileError(
                f"{self._path}: expected an {WHAT}, whose metadata names attributes and their "
                "values; found an ONNX model without"
            )
        return {name: tuple(values) for name, values in choices.items()}

    def _read_input(self) -> tuple[str, int]:
        inputs = self._session.get_inputs()
        shape = inputs[0].shape if len(inputs) == 1 else []
        side = shape[-1] if len(shape) == 4 else None
        if not isinstance(side, int) or shape[1:] != [3, side, side]:
            raise ModelFileError(
                f"{self._path}: expected an {WHAT} with one input (n, 3, side, side), found "
                f"{shape or f'{len(inputs)} inputs'}"
            )
        return inputs[0].name, side


def _is_list_of_text(values: Any) -> bool:
    return isinstance(values, list) and bool(values) and all(isinstance(v, str) for v in values)
