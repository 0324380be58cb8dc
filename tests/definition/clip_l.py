"""CLIP's text encoder (openai/CLIP, model.py; heads of 64 as in ViT-L/14, and in ViT-bigG/14)."""

from __future__ import annotations

from collections.abc import Sequence

import gguf
import torch
from torch.nn import functional as F

from definition.tensor_files import dequantized

__all__ = ["END", "START", "hidden_states", "pooled"]

START, END = 49406, 49407
HEAD_DIM = 64
_NOT_QUANTIZED = (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16)


def pooled(
    tensors: dict[str, gguf.ReaderTensor],
    words: Sequence[int],
    layers: int = 12,
    *,
    as_engine: bool = False,
) -> torch.Tensor:
    """(width,) float32: the last layer's output at the end token, normalised.

    Args:
        words: Token numbers between start and end. What follows the end token does not
            matter, because attention looks back only.
        layers: Less than 12 where the others are known to be zero.
        as_engine: See `hidden_states`.
    """
    x = hidden_states(tensors, [START, *words, END], layers, as_engine=as_engine)
    return _norm(tensors, "final_layer_norm", x)[-1]


def hidden_states(
    tensors: dict[str, gguf.ReaderTensor],
    ids: Sequence[int],
    layers: int,
    *,
    as_engine: bool = False,
) -> torch.Tensor:
    """(n, width) float32: what comes out of the layer, not normalised.

    The width is read from the weights. Another CLIP than L has another activation, which
    does not matter where all layers from the second on, and the first one's MLP, are zero.

    Args:
        ids: n token numbers, with start and end.
        layers: How many layers to compute, from the first.
        as_engine: Round the inputs of a quantized matrix to q8_0, as ggml does on the CPU.
    """

    def linear(name: str, h: torch.Tensor) -> torch.Tensor:
        weight = tensors[f"text_model.{name}.weight"]
        if as_engine and weight.tensor_type not in _NOT_QUANTIZED:
            kind = gguf.GGMLQuantizationType.Q8_0
            h = torch.from_numpy(
                gguf.quants.dequantize(gguf.quants.quantize(h.numpy(), kind), kind)
            )
        return F.linear(h, torch.from_numpy(dequantized(weight)), _matrix(tensors, f"{name}.bias"))

    table = tensors["text_model.embeddings.token_embedding.weight"]
    x = torch.from_numpy(gguf.quants.dequantize(table.data[list(ids)], table.tensor_type))
    x = x + _matrix(tensors, "embeddings.position_embedding.weight")[: len(ids)]
    for layer in range(layers):
        prefix = f"encoder.layers.{layer}"
        h = _norm(tensors, f"{prefix}.layer_norm1", x)
        q, k, v = (
            linear(f"{prefix}.self_attn.{part}_proj", h)
            .reshape(1, len(ids), -1, HEAD_DIM)
            .transpose(1, 2)
            for part in "qkv"
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)[0]
        mixed = mixed.transpose(0, 1).reshape(x.shape)
        x = x + linear(f"{prefix}.self_attn.out_proj", mixed)
        h = linear(f"{prefix}.mlp.fc1", _norm(tensors, f"{prefix}.layer_norm2", x))
        x = x + linear(f"{prefix}.mlp.fc2", h * torch.sigmoid(1.702 * h))
    return x


def _matrix(tensors: dict[str, gguf.ReaderTensor], name: str) -> torch.Tensor:
    return torch.from_numpy(dequantized(tensors[f"text_model.{name}"]))


def _norm(tensors: dict[str, gguf.ReaderTensor], name: str, h: torch.Tensor) -> torch.Tensor:
    weight, bias = (_matrix(tensors, f"{name}.{part}") for part in ("weight", "bias"))
    return F.layer_norm(h, (h.shape[-1],), weight, bias)
