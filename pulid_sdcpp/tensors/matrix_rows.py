"""A matrix that stays in its file and is read some rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .tensor_file import TensorFile

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MatrixRows"]


class MatrixRows:
    """A matrix that stays in its file: `matrix[start:stop]` reads those rows as float32.

    Args:
        file: Open weights.
        name: A tensor of two dimensions.
    """

    def __init__(self, file: TensorFile, name: str) -> None:
        self._file = file
        self._name = name
        rows, columns = file.shape(name)
        self.shape = (rows, columns)

    def __getitem__(self, rows: slice) -> NDArray[np.float32]:
        start, stop, _ = rows.indices(self.shape[0])
        return self._file.read(self._name, rows=(start, stop))
