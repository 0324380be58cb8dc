"""The identities an engine holds: folded into PuLID's layers, one to a slot."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import GenerationError, ModelMismatchError
from ..families.flux.layout import FluxInfo
from ..families.flux.pulid_weights import PulidWeights, positions
from ..folding.cache import FoldingCache
from ..identity import hashes
from ..identity.identity_file import ID_TOKENS
from ..native.library import last_error, library, pulid_layout_t, pulid_use_t
from ..people.identity_use import IdentityUse

__all__ = ["IdentitySlots"]

_GGML_TYPES = {"f32": 0, "f16": 1, "q8_0": 8}
_LATENTS = "pulid_encoder.latents"
_NO_END = 2**31 - 1


class IdentitySlots:
    """Puts identities into an engine and says which of them take part.

    Every method runs on the engine's thread (`thread.run`).

    Args:
        context: The engine's `sd_ctx_t*`.
        weights: Open PuLID weights; closed by `close`.
        flux: The diffusion model they were checked against.
        dtype: How the engine keeps the folded layers.
        cache_limit_bytes: As that of `FoldingCache`.
    """

    def __init__(
        self,
        context: Any,
        weights: PulidWeights,
        flux: FluxInfo,
        dtype: Literal["f16", "f32", "q8_0"],
        cache_limit_bytes: int,
    ) -> None:
        self._context = context
        self._weights = weights
        self._cache = FoldingCache(weights, cache_limit_bytes)
        self._dtype = dtype
        self._n_tokens = self._tokens_per_identity()
        self._content: list[str | None] = []
        places = positions(flux.depth, flux.depth_single)
        is_single = (ctypes.c_int32 * len(places))(*(kind == "single" for kind, _ in places))
        block = (ctypes.c_int32 * len(places))(*(index for _, index in places))
        layout = pulid_layout_t(
            weights.hidden_size,
            weights.heads,
            self._n_tokens,
            _GGML_TYPES[dtype],
            len(places),
            is_single,
            block,
        )
        _check(library().pulid_set_layout(context, ctypes.byref(layout)))
        self._reserve(1)  # a card too small for it should be known at loading

    def _tokens_per_identity(self) -> int:
        """As many as the encoder in the same file makes; files without one are for 32."""
        if _LATENTS in self._weights.file:
            return int(self._weights.file.shape(_LATENTS)[-2])
        return ID_TOKENS

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
        keys = [self._key(use.tokens) for use in uses]
        slots = [
            self._slot_with(key, use.tokens, keys, on_fold)
            for key, use in zip(keys, uses, strict=True)
        ]
        array = (pulid_use_t * len(uses))()
        regions: list[NDArray[np.float32]] = []
        for target, slot, use in zip(array, slots, uses, strict=True):
            end = _NO_END if use.end_step is None else use.end_step
            target.slot, target.weight, target.negative = slot, use.weight, use.negative
            target.start_step, target.end_step = use.start_step, end
            target.second_pass = use.second_pass
            if use.region is not None:
                region = np.ascontiguousarray(use.region, np.float32)
                regions.append(region)  # the engine copies it in the call below
                target.region = region.ctypes.data_as(ctypes.c_void_p)
                target.region_size = region.size
        _check(library().pulid_set_uses(self._context, array, len(uses), *cfg_start_steps))

    def close(self) -> None:
        """Close the weights file."""
        self._weights.close()

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
        free = [slot for slot, content in enumerate(self._content) if content not in keep]
        if not free:
            self._reserve(len(self._content) + 1)
            free = [len(self._content) - 1]
        slot = free[0]
        layers = self._cache.fold(tokens, self._dtype)  # refused here, the slot stays as it is
        self._content[slot] = None  # until every layer is written
        for index, layer in enumerate(layers):
            arrays = [
                part.ctypes.data_as(ctypes.c_void_p) for part in (layer.a, layer.bias, layer.b)
            ]
            _check(library().pulid_write_layer(self._context, slot, index, *arrays))
        self._content[slot] = key
        return slot

    def _reserve(self, count: int) -> None:
        _check(library().pulid_reserve_slots(self._context, count))
        self._content += [None] * (count - len(self._content))

    def _key(self, tokens: NDArray[np.float32]) -> str:
        if len(tokens) != self._n_tokens:
            raise ModelMismatchError(
                f"the identity has {len(tokens)} tokens, {self._weights.path} works with "
                f"{self._n_tokens}; extract it again with these weights"
            )
        return hashes.numbers(tokens)


def _check(succeeded: bool) -> None:
    if not succeeded:
        raise GenerationError(f"the engine could not take the identity: {last_error()}")
