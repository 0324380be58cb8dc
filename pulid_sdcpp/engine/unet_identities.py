"""Identities in SDXL: folded into keys and values beside the text's in the UNet's attentions."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelMismatchError
from ..families.sdxl.folding import slot_rows
from ..families.sdxl.pulid_weights import SdxlPulidWeights
from ..families.sdxl.unet_layout import UnetInfo
from ..folding.cache import FoldingCache
from ..native.library import library, pulid_unet_layout_t, pulid_use_t
from ..options.identity_mode import PROJECTIONS
from ..people.identity_use import IdentityUse
from .identity_slots import GGML_TYPES, check_native

__all__ = ["UnetIdentities"]

_TOKENS = {"v1": 10, "v1.1": 32, None: 32}
"""Of an identity from one photo, by version of the weights."""


class UnetIdentities:
    """The `IdentityLayers` of an SDXL model.

    Made on the engine's thread.

    Args:
        context: The engine's `sd_ctx_t*`.
        weights: Open PuLID weights; closed by `close`.
        unet: The diffusion model they were checked against.
        dtype: How the engine keeps the folded layers.
        cache_limit_bytes: As that of `FoldingCache`.

    Raises:
        GenerationError: The engine's model is no SDXL.
    """

    def __init__(
        self,
        context: Any,
        weights: SdxlPulidWeights,
        unet: UnetInfo,
        dtype: Literal["f16", "f32"],
        cache_limit_bytes: int,
    ) -> None:
        self._context = context
        self._weights = weights
        self._cache = FoldingCache(weights, cache_limit_bytes)
        self._dtype = dtype
        self.n_tokens = _TOKENS[weights.version]
        layers = unet.layers
        names = (ctypes.c_char_p * len(layers))(*(layer.module.encode() for layer in layers))
        widths = (ctypes.c_int64 * len(layers))(*(layer.width for layer in layers))
        layout = pulid_unet_layout_t(len(layers), names, widths, GGML_TYPES[dtype])
        check_native(library().pulid_set_unet_layout(context, ctypes.byref(layout)))

    def slot_size(self, tokens: NDArray[np.float32]) -> int:
        if tokens.shape[1] not in (0, self._weights.id_dim):  # 0: of a slot for anybody
            raise ModelMismatchError(
                f"the identity has tokens of width {tokens.shape[1]}, {self._weights.path} works "
                f"with {self._weights.id_dim}; extract it again with these weights"
            )
        return slot_rows(len(tokens))

    def fold(self, tokens: NDArray[np.float32]) -> Iterator[tuple[NDArray[Any], ...]]:
        return ((layer.k, layer.v) for layer in self._cache.fold(tokens, self._dtype))

    def write(self, slot: int, layer: int, parts: Sequence[NDArray[Any]]) -> bool:
        keys, values = parts
        addresses = (keys.ctypes.data, values.ctypes.data)
        return bool(library().pulid_write_unet_layer(self._context, slot, layer, *addresses))

    def describe(self, use: IdentityUse, target: pulid_use_t) -> list[NDArray[Any]]:
        target.tokens, target.zeros = len(use.tokens), use.zeros
        target.projection = PROJECTIONS.index(use.projection)
        if use.region_coarse is None:
            return []
        region = np.ascontiguousarray(use.region_coarse, np.float32)
        target.region_coarse, target.region_coarse_size = region.ctypes.data, region.size
        return [region]

    def close(self) -> None:
        self._weights.close()
