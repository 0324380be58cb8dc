"""One of PuLID's attention layers as it is defined and as it is folded, in the same library.

NumPy in float32 with its BLAS, at the published sizes. The definition is what systems that do not
fold compute at every step: norm, to_q, softmax, the sum of values, to_out (keys and values are
those of the identity, computed once here too). It shows what folding saves of
a layer, not what either costs in an engine with quantized weights and fused kernels.

Started by generation.py with one JSON argument: "image_tokens", the numbers of image tokens to
measure at, and "result", the file to write to.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pulid_sdcpp.families.flux.folding import FoldedLayer, fold_layer
from pulid_sdcpp.families.flux.pulid_weights import HEAD_DIM, PulidLayer

HIDDEN = 3072
HEADS = 16
ID_TOKENS = 32
ID_DIM = 2048
EPS = 1e-5
REPEATS = 15


def random_layer(hidden: int, heads: int) -> dict[str, np.ndarray]:
    """A layer's weights, by the names of `PulidLayer`, under which no token is left out."""
    rng = np.random.default_rng(0)
    inner = heads * HEAD_DIM

    def matrix(rows: int, columns: int) -> np.ndarray:
        values = rng.standard_normal((rows, columns), np.float32)
        values /= np.float32(math.sqrt(columns))
        return values

    def vector(size: int, mean: float) -> np.ndarray:
        values = rng.standard_normal(size, np.float32)
        values /= np.float32(10)
        values += np.float32(mean)
        return values

    return {
        "norm1_weight": vector(ID_DIM, 1),
        "norm1_bias": vector(ID_DIM, 0),
        "norm2_weight": vector(hidden, 1),
        "norm2_bias": vector(hidden, 0),
        "to_q": matrix(inner, hidden),
        "to_kv": matrix(2 * inner, ID_DIM),
        "to_out": matrix(hidden, inner),
    }


def normed(x: np.ndarray) -> np.ndarray:
    """LayerNorm without weight and bias."""
    centred = x - x.mean(-1, keepdims=True)
    scale = 1 / np.sqrt(np.square(centred).mean(-1, keepdims=True) + np.float32(EPS))
    result: np.ndarray = centred * scale
    return result


def softmax(scores: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    exponents = np.exp(scores - scores.max(-1, keepdims=True))
    result: np.ndarray = exponents / exponents.sum(-1, keepdims=True)
    return result


def definition(
    layer: dict[str, np.ndarray], tokens: np.ndarray, heads: int
) -> Callable[[np.ndarray], np.ndarray]:
    """The layer as PuLID has it, with the identity's keys and values computed beforehand."""
    inner = heads * HEAD_DIM
    kv = (normed(tokens) * layer["norm1_weight"] + layer["norm1_bias"]) @ layer["to_kv"].T
    keys = kv[:, :inner].reshape(-1, heads, HEAD_DIM).transpose(1, 2, 0)
    values = kv[:, inner:].reshape(-1, heads, HEAD_DIM).transpose(1, 0, 2)

    def attend(x: np.ndarray) -> np.ndarray:
        q = (normed(x) * layer["norm2_weight"] + layer["norm2_bias"]) @ layer["to_q"].T
        scores = q.reshape(-1, heads, HEAD_DIM).transpose(1, 0, 2) @ keys
        summed = softmax(scores * np.float32(HEAD_DIM**-0.5)) @ values
        result: np.ndarray = summed.transpose(1, 0, 2).reshape(-1, inner) @ layer["to_out"].T
        return result

    return attend


def folded(layer: FoldedLayer, heads: int) -> Callable[[np.ndarray], np.ndarray]:
    """The layer with the identity folded in."""

    def attend(x: np.ndarray) -> np.ndarray:
        scores = normed(x) @ layer.a.T + layer.bias
        weights = softmax(scores.reshape(len(x), heads, -1)).reshape(len(x), -1)
        result: np.ndarray = weights @ layer.b.T
        return result

    return attend


def compare(
    image_tokens: int, repeats: int, hidden: int = HIDDEN, heads: int = HEADS
) -> dict[str, float]:
    """Median seconds of both forms, in turn, and by how much their results differ (relative)."""
    rng = np.random.default_rng(1)
    tokens = rng.standard_normal((ID_TOKENS, ID_DIM), np.float32)
    x = rng.standard_normal((image_tokens, hidden), np.float32)
    layer = random_layer(hidden, heads)
    forms = {
        "unfolded": definition(layer, tokens, heads),
        "folded": folded(fold_layer(PulidLayer(**layer), tokens, heads), heads),
    }
    results = {name: attend(x) for name, attend in forms.items()}
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(repeats):
        for name, attend in forms.items():
            started_s = time.perf_counter()
            attend(x)
            seconds[name].append(time.perf_counter() - started_s)
    error = np.linalg.norm(results["folded"] - results["unfolded"])
    return {
        **{f"{name}_s": statistics.median(times) for name, times in seconds.items()},
        "relative_difference": float(error / np.linalg.norm(results["unfolded"])),
        "unfolded_numbers": sum(w.size for w in layer.values() if w.ndim == 2),
        "folded_numbers": 2 * heads * ID_TOKENS * hidden,
    }


def main() -> None:
    task = json.loads(sys.argv[1])
    found = {str(count): compare(count, REPEATS) for count in task["image_tokens"]}
    Path(task["result"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
