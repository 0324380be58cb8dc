"""The identity attention layers of a PuLID weights file for SDXL, version 1 or 1.1.

Each cross-attention of the UNet gets two matrices without bias, `id_to_k` and `id_to_v`. Number
and sizes of the layers are read from the file, so that small models work too; files with the
names of other programs are read alike (see `sdxl_pulid_names`).

Source: ToTheBeginning/PuLID, pulid/attention_processor.py (IDAttnProcessor2_0) and
pulid/pipeline.py, pipeline_v1_1.py (load_pretrain).
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from ...errors import ModelFileError, ModelMismatchError
from ...tensors.file_kinds import classify, zip_kind
from ...tensors.matrix_rows import MatrixRows
from ...tensors.sdxl_pulid_names import (
    ADAPTER_PREFIX,
    ENCODER_PREFIX,
    original_names,
    weights_version,
)
from ...tensors.tensor_file import TensorFile
from ...terminal_text import quoted
from .attention_layers import layer_index
from .unet_shapes import UNET_HEAD_DIM

if TYPE_CHECKING:
    from typing_extensions import Self

    from ...tensors.sdxl_pulid_names import WeightsVersion
    from .unet_layout import UnetInfo

__all__ = ["PUBLISHED_FILES", "SdxlPulidWeights"]

PUBLISHED_FILES = "pulid_v1.1.safetensors or ip-adapter_pulid_sdxl_fp16.safetensors (v1)"
MAX_LAYERS = 1024
_LAYER = re.compile(r"([0-9]{1,9})\.id_to_([kv])\.weight$")
_ENCODERS: dict[WeightsVersion | None, tuple[str, ...]] = {
    "v1": ("sdxl-v1",),
    "v1.1": ("sdxl-v1.1",),
    None: ("sdxl-v1", "sdxl-v1.1"),
}


class SdxlPulidWeights:
    """A PuLID weights file for SDXL (safetensors, or a gguf of the same tensors).

    Nothing but the header is read until rows are asked for. A context manager.

    Args:
        path: The file, such as `pulid_v1.1.safetensors`.

    Raises:
        ModelFileError: Missing, damaged, another kind of file, or layers missing or misshaped.

    Attributes:
        file: It, open.
        version: "v1", "v1.1", or None for a file without its encoder.
        id_dim: Width of an identity token, 2048.
        widths: Channels C of each layer by its index 1, 3, 5, ..., ascending: 640 or 1280.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        _check_no_checkpoint(path)
        self.file = TensorFile(path)
        try:
            self._read_layout()
        except BaseException:
            self.file.close()
            raise

    def _read_layout(self) -> None:
        kind = classify(self.file.header)
        if kind.kind != "pulid-sdxl":
            raise ModelFileError(
                f"{self.path}: expected PuLID weights for SDXL (id_adapter_attn_layers.*), found "
                f"{kind.words}; download {PUBLISHED_FILES}"
            )
        self._names = original_names(self.file.names())
        if len(self._names) != len(self.file.names()):
            raise ModelFileError(
                f"{self.path}: damaged PuLID weights: tensors are in it under both names, as "
                "published and as renamed"
            )
        self.version: WeightsVersion | None = weights_version(self._names)
        has_encoder = any(name.startswith(ENCODER_PREFIX) for name in self._names)
        if has_encoder and self.version is None:
            raise ModelFileError(
                f"{self.path}: damaged PuLID weights: the encoder is neither that of version 1 "
                f"nor that of 1.1; download {PUBLISHED_FILES}"
            )
        self.widths = self._layer_widths()

    def _layer_widths(self) -> dict[int, int]:
        """Checks that the layers are 1, 3, 5, ... without a gap, each of two fitting matrices."""
        numbers = set()
        for name in self._names:
            if name.startswith(ADAPTER_PREFIX):
                match = _LAYER.match(name.removeprefix(ADAPTER_PREFIX))
                if match is None:
                    raise ModelFileError(
                        f"{self.path}: expected id_to_k.weight and id_to_v.weight in each layer, "
                        f"found {quoted(self._names[name])}, which PuLID does not have"
                    )
                numbers.add(int(match[1]))
        if not numbers:
            raise ModelFileError(
                f"{self.path}: incomplete PuLID weights: an encoder without its attention layers"
            )
        if len(numbers) > MAX_LAYERS or max(numbers) > layer_index(MAX_LAYERS):
            raise ModelFileError(
                f"{self.path}: damaged PuLID weights: layer {max(numbers)} is named"
                f" (limit {layer_index(MAX_LAYERS)})"
            )
        expected = [layer_index(ordinal) for ordinal in range(len(numbers))]
        for index in sorted(numbers):
            if index % 2 == 0:
                raise ModelFileError(
                    f"{self.path}: damaged PuLID weights: layer {index} is a self-attention; only "
                    "odd numbers have an identity"
                )
        for index in expected:
            if index not in numbers:
                raise ModelFileError(
                    f"{self.path}: incomplete PuLID weights: layer {index} is missing, of the "
                    f"{max(numbers) // 2 + 1} up to {max(numbers)}"
                )
        _, self.id_dim = self._matrix(1, "k")
        return {index: self._width(index) for index in expected}

    def _width(self, index: int) -> int:
        width, id_dim = self._matrix(index, "k")
        name = _tensor_name(index, "k")
        if id_dim != self.id_dim:
            raise ModelFileError(
                f"{self.path}: expected {name} of shape ({width}, {self.id_dim}),"
                f" found ({width}, {id_dim})"
            )
        if width % UNET_HEAD_DIM:
            raise ModelFileError(
                f"{self.path}: expected the rows of {name} to be a multiple of {UNET_HEAD_DIM},"
                f" found {width}"
            )
        values = self._matrix(index, "v")
        if values != (width, id_dim):
            raise ModelFileError(
                f"{self.path}: expected {_tensor_name(index, 'v')} of shape ({width}, {id_dim}),"
                f" found {values}"
            )
        return width

    def _matrix(self, index: int, part: str) -> tuple[int, int]:
        name = _tensor_name(index, part)
        if name not in self._names:
            raise ModelFileError(f"{self.path}: incomplete PuLID weights: {name} is missing")
        shape = self.file.shape(self._names[name])
        if len(shape) != 2 or 0 in shape:
            raise ModelFileError(f"{self.path}: expected {name} to be a matrix, found {shape}")
        return shape[0], shape[1]

    @property
    def path(self) -> str:
        return self.file.path

    @property
    def encoders(self) -> tuple[str, ...]:
        """Whose identities fit: "sdxl-v1" or "sdxl-v1.1"; both where the encoder is not there."""
        return _ENCODERS[self.version]

    def rows(self, index: int) -> tuple[MatrixRows, MatrixRows]:
        """The matrices of one layer, (C, id_dim) each: keys, values. They stay in the file.

        Args:
            index: One of `widths`.

        Raises:
            ValueError: No such layer.
        """
        if index not in self.widths:
            raise ValueError(
                f"PuLID layer {index}: there are {min(self.widths)} to {max(self.widths)}, odd ones"
            )
        k, v = (MatrixRows(self.file, self._names[_tensor_name(index, part)]) for part in "kv")
        return k, v

    def layer_tensors(self) -> list[str]:
        """Names in the file of all tensors that the layers consist of, in their order."""
        return [self._names[_tensor_name(index, part)] for index in self.widths for part in "kv"]

    def check_data(self) -> None:
        """Refuse weights of zeros, which give a picture of nobody.

        Raises:
            ModelFileError: A layer's matrix is.
        """
        self.file.check_not_hollow("pulid-sdxl")

    def check_matches(self, unet: UnetInfo) -> None:
        """Refuse a UNet that these weights were not made for.

        Raises:
            ModelMismatchError: Another number of cross-attentions, or one of another width; the
                message names both files.
        """
        if len(unet.layers) != len(self.widths):
            raise ModelMismatchError(
                f"{self.path} has {len(self.widths)} identity layers, {unet.path} has "
                f"{len(unet.layers)} cross-attentions; they belong to different models"
            )
        for layer in unet.layers:
            if self.widths[layer.index] != layer.width:
                raise ModelMismatchError(
                    f"{self.path}: identity layer {layer.index} is of width "
                    f"{self.widths[layer.index]}, but {layer.module} in {unet.path} is of width "
                    f"{layer.width}; they belong to different models"
                )

    def close(self) -> None:
        self.file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _tensor_name(index: int, part: str) -> str:
    return f"{ADAPTER_PREFIX}{index}.id_to_{part}.weight"


def _check_no_checkpoint(path: str | os.PathLike[str]) -> None:
    """PuLID v1 was published as a pickle: say what to do with it."""
    source = os.fspath(path)
    if os.path.isfile(source) and zip_kind(path).kind == "torch-checkpoint":
        raise ModelFileError(
            f"{source}: a torch checkpoint, which can hold programs and is not opened; make a "
            f"safetensors file of it with 'pulid-sdcpp convert', or download {PUBLISHED_FILES}"
        )
