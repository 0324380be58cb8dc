"""Fold the layers of an identity in several threads, and give them out in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from ..options.processor_cores import usable_cpus
from ..tensors.tensor_file import TensorFile

__all__ = ["fold_each"]

_MAX_THREADS = 4
"""More would wait for memory, and each takes 30 MB of it in a published Flux layer."""

Layer = TypeVar("Layer")


def fold_each(
    fold: Callable[[int], Layer], layers: Iterable[int], file: TensorFile
) -> Iterator[Layer]:
    """Yield `fold(layer)` of each layer; as many are kept as threads fold.

    Args:
        file: The weights that they are folded from.

    Raises:
        ModelFileError: The file was written to since it was opened: before the last layer is
            given out, as an identity of two files' layers is nobody.
    """
    n_threads = min(usable_cpus(), _MAX_THREADS)
    pending: deque[Future[Layer]] = deque()
    with ThreadPoolExecutor(n_threads, "pulid-fold") as threads:
        try:
            for layer in layers:
                if len(pending) == n_threads:
                    yield pending.popleft().result()
                pending.append(threads.submit(fold, layer))
            while len(pending) > 1:
                yield pending.popleft().result()
            last = pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
    file.check_unchanged()
    yield last
