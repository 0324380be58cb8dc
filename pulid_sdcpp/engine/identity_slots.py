"""The identities an engine holds: folded into PuLID's layers, one to a slot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import GenerationError
from ..identity import hashes
from ..native.library import last_error, library, pulid_use_t
from ..people.identity_use import IdentityUse

__all__ = ["GGML_TYPES", "IdentityLayers", "IdentitySlots", "check_native"]

GGML_TYPES = {"f32": 0, "f16": 1, "q8_0": 8}
"""Numbers of ggml's types, of those that a folded identity can have."""
_NO_END = 2**31 - 1


class IdentityLayers(Protocol):
    """The layers of one kind of model, which its identities are folded into.

    Every method runs on the engine's thread.

    Attributes:
        n_tokens: Of an identity as these weights' own encoder makes it.
    """

    n_tokens: int

    def slot_size(self, tokens: NDArray[np.float32]) -> int:
        """Two identities of which this is the same fit into the same slot.

        Raises:
            ModelMismatchError: An identity made by another PuLID model.
        """
        ...

    def fold(self, tokens: NDArray[np.float32]) -> Iterator[tuple[NDArray[Any], ...]]:
        """Fold an identity: what the engine keeps of it in each layer.

        Raises:
            ValueError, ModelMismatchError, ModelFileError: As the family's `fold`.
        """
        ...

    def write(self, slot: int, layer: int, parts: Sequence[NDArray[Any]]) -> bool:
        """Put a layer of a folded identity into a slot; False: the engine refuses it."""
        ...

    def describe(self, use: IdentityUse, target: pulid_use_t) -> list[NDArray[Any]]:
        """Fill in what only this kind of model has of a use.

        Returns:
            Arrays that `target` points into.
        """
        ...

    def close(self) -> None:
        """Close the weights file."""
        ...


class IdentitySlots:
    """Puts identities into an engine and says which of them take part.

    Every method runs on the engine's thread (`thread.run`).

    Args:
        context: The engine's `sd_ctx_t*`.
        layers: Of its model; closed by `close`.
    """

    def __init__(self, context: Any, layers: IdentityLayers) -> None:
        self._context = context
        self._layers = layers
        self._sizes: list[int] = []
        self._content: list[str | None] = []
        # A card too small for it should be known at loading.
        self._reserve(np.empty((layers.n_tokens, 0), np.float32))

    def use(
        self,
        uses: Sequence[IdentityUse],
        cfg_start_steps: tuple[int, int] = (0, 0),
        on_fold: Callable[[], object] = lambda: None,
    ) -> None:
        """Make `uses` take part in what is generated next; none: as if there were no PuLID.

        Args:
            cfg_start_steps: First step with true CFG of the first and of the second pass.
            on_fold: Told when an identity is about to be folded that the engine does not hold.

        Raises:
            ModelMismatchError: An identity made by another PuLID model.
            ModelFileError: Weights that cannot be folded.
            GenerationError: No memory for another identity.
        """
        for use in uses:
            self._layers.slot_size(use.tokens)
        keys = [hashes.numbers(use.tokens) for use in uses]
        slots = [
            self._slot_with(key, use.tokens, keys, on_fold)
            for key, use in zip(keys, uses, strict=True)
        ]
        array = (pulid_use_t * len(uses))()
        kept: list[NDArray[Any]] = []  # the engine copies them in the call below
        for target, slot, use in zip(array, slots, uses, strict=True):
            end = _NO_END if use.end_step is None else use.end_step
            target.slot, target.weight, target.negative = slot, use.weight, use.negative
            target.start_step, target.end_step = use.start_step, end
            target.second_pass = use.second_pass
            if use.region is not None:
                region = np.ascontiguousarray(use.region, np.float32)
                target.region, target.region_size = region.ctypes.data, region.size
                kept.append(region)
            kept += self._layers.describe(use, target)
        check_native(library().pulid_set_uses(self._context, array, len(uses), *cfg_start_steps))

    def close(self) -> None:
        """Close the weights file."""
        self._layers.close()

    def _slot_with(
        self,
        key: str,
        tokens: NDArray[np.float32],
        keep: Sequence[str],
        on_fold: Callable[[], object],
    ) -> int:
        if key in self._content:
            return self._content.index(key)
        on_fold()
        size = self._layers.slot_size(tokens)
        free = [
            slot
            for slot, content in enumerate(self._content)
            if content not in keep and self._sizes[slot] == size
        ]
        if not free:
            self._reserve(tokens)
            free = [len(self._content) - 1]
        slot = free[0]
        layers = self._layers.fold(tokens)  # refused here, the slot stays as it is
        self._content[slot] = None  # until every layer is written
        for index, parts in enumerate(layers):
            check_native(self._layers.write(slot, index, parts))
        self._content[slot] = key
        return slot

    def _reserve(self, tokens: NDArray[np.float32]) -> None:
        """One slot more, for identities as large as this one."""
        count = len(self._content) + 1
        check_native(library().pulid_reserve_slots(self._context, count, len(tokens)))
        self._sizes.append(self._layers.slot_size(tokens))
        self._content.append(None)


def check_native(succeeded: bool) -> None:
    """Raise what the engine said of a call about identities.

    Raises:
        GenerationError: It failed.
    """
    if not succeeded:
        raise GenerationError(f"the engine could not take the identity: {last_error()}")
