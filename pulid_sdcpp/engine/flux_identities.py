"""Identities in Flux: folded into the cross-attentions that PuLID adds after its blocks."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelMismatchError
from ..families.flux.layout import FluxInfo
from ..families.flux.pulid_weights import PulidWeights, positions
from ..folding.cache import FoldingCache
from ..identity.identity_file import ID_TOKENS
from ..native.library import library, pulid_layout_t, pulid_use_t
from ..people.identity_use import IdentityUse
from .identity_slots import GGML_TYPES, check_native

__all__ = ["FluxIdentities"]

_LATENTS = "pulid_encoder.latents"


class FluxIdentities:
    """The `IdentityLayers` of a Flux model.

    Made on the engine's thread.

    Args:
        context: The engine's `sd_ctx_t*`.
        weights: Open PuLID weights; closed by `close`.
        flux: The diffusion model they were checked against.
        dtype: How the engine keeps the folded layers.
        cache_limit_bytes: As that of `FoldingCache`.

    Raises:
        GenerationError: The engine's model is no Flux.
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
        self.n_tokens = self._tokens_per_identity()
        places = positions(flux.depth, flux.depth_single)
        is_single = (ctypes.c_int32 * len(places))(*(kind == "single" for kind, _ in places))
        block = (ctypes.c_int32 * len(places))(*(index for _, index in places))
        layout = pulid_layout_t(
            weights.hidden_size,
            weights.heads,
            self.n_tokens,
            GGML_TYPES[dtype],
            len(places),
            is_single,
            block,
        )
        check_native(library().pulid_set_layout(context, ctypes.byref(layout)))

    def _tokens_per_identity(self) -> int:
        """As many as the encoder in the same file makes; files without one are for 32."""
        if _LATENTS in self._weights.file:
            return int(self._weights.file.shape(_LATENTS)[-2])
        return ID_TOKENS

    def slot_size(self, tokens: NDArray[np.float32]) -> int:
        if len(tokens) != self.n_tokens:
            raise ModelMismatchError(
                f"the identity has {len(tokens)} tokens, {self._weights.path} works with "
                f"{self.n_tokens}; extract it again with these weights"
            )
        return len(tokens)

    def fold(self, tokens: NDArray[np.float32]) -> Iterator[tuple[NDArray[Any], ...]]:
        layers = self._cache.fold(tokens, self._dtype)
        return ((layer.a, layer.bias, layer.b) for layer in layers)

    def write(self, slot: int, layer: int, parts: Sequence[NDArray[Any]]) -> bool:
        addresses = [part.ctypes.data for part in parts]
        return bool(library().pulid_write_layer(self._context, slot, layer, *addresses))

    def describe(self, use: IdentityUse, target: pulid_use_t) -> list[NDArray[Any]]:
        return []

    def close(self) -> None:
        self._weights.close()
