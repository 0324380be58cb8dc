"""Mistakes in PuLID for SDXL that a comparison must see: each is the definition but for one thing.

A tolerance that one of these would pass shows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from definition import unet_pulid
from definition.unet_graph import UnetGraph
from definition.unet_pulid import UnetUse, identity_delta, with_identities

__all__ = [
    "MISTAKEN_FORMULAS",
    "chained",
    "in_order_of_computation",
    "one_zero_too_many",
    "swapped",
    "without_zeros_in_second_softmax",
]


def one_zero_too_many(
    q: np.ndarray, h: np.ndarray, uses: Sequence[UnetUse], w_k: np.ndarray, w_v: np.ndarray
) -> np.ndarray:
    """As if the row that stands for all zero tokens came on top of them."""
    uses = [replace(use, zeros=use.zeros + 1) for use in uses]
    return with_identities(q, h, uses, w_k, w_v)


def without_zeros_in_second_softmax(
    q: np.ndarray, h: np.ndarray, uses: Sequence[UnetUse], w_k: np.ndarray, w_v: np.ndarray
) -> np.ndarray:
    """ortho_v2's share of the first five tokens among the identity's alone."""
    made = with_identities(q, h, uses, w_k, w_v)
    for use in uses:
        along_h = _along(q, h, use, w_k, w_v)
        keys, _ = unet_pulid.identity_keys_values(use, w_k, w_v)
        right = unet_pulid.first_token_share(q, keys)
        wrong = unet_pulid.first_token_share(q, keys[: len(use.tokens)])
        made = made + use.weight * (wrong - right)[:, None] * along_h
    return made


def chained(
    q: np.ndarray, h: np.ndarray, uses: Sequence[UnetUse], w_k: np.ndarray, w_v: np.ndarray
) -> np.ndarray:
    """Each person is projected against what the people before made of h.

    Source of the other way: cubiq/PuLID_ComfyUI, pulid.py.
    """
    for use in uses:
        h = h + identity_delta(q, h, use, w_k, w_v)
    return h


MISTAKEN_FORMULAS = {
    "one zero too many": one_zero_too_many,
    "no zeros in the second softmax": without_zeros_in_second_softmax,
    "chained": chained,
}


def swapped(graph: UnetGraph) -> None:
    """The first two layers of one width take each other's weights."""
    first, second = list(graph.layers)[:2]
    graph.layers[first], graph.layers[second] = graph.layers[second], graph.layers[first]


def in_order_of_computation(graph: UnetGraph) -> None:
    """The layers of a width are numbered down, middle, up."""
    down, up, middle = (
        [module for module in graph.layers if module.startswith(way)]
        for way in ("input_blocks", "output_blocks", "middle_block")
    )
    width = {module: len(graph.adapter[index][0]) for module, index in graph.layers.items()}
    for wanted in set(width.values()):
        indices = [index for module, index in graph.layers.items() if width[module] == wanted]
        computed = [module for module in (*down, *middle, *up) if width[module] == wanted]
        graph.layers.update(zip(computed, indices, strict=True))


def _along(
    q: np.ndarray, h: np.ndarray, use: UnetUse, w_k: np.ndarray, w_v: np.ndarray
) -> np.ndarray:
    """The part of the identity's attention along h."""
    z, apart = (
        identity_delta(q, h, replace(use, weight=1.0, projection=projection), w_k, w_v)
        for projection in ("none", "ortho")
    )
    return z - apart
