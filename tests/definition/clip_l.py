"""CLIP-L's pooled text vector (openai/CLIP, model.py; heads of 64 as in ViT-L/14)."""

from __future__ import annotations

from collections.abc import Sequence

import gguf
import torch
from torch.nn import functional as F

from definition.tensor_files import dequantized

__all__ = ["END", "START", "pooled"]

START, END = 49406, 49407
HEAD_DIM = 64


def pooled(
    tensors: dict[str, gguf.ReaderTensor], words: Sequence[int], layers: int = 12
) -> torch.Tensor:
    """(width,) float32: the last layer's output at the end token.

    The width is read from the weights. Another CLIP than L has another activation, which
    does not matter where all layers from the second on, and the first one's MLP, are zero.

    Args:
        words: Token numbers between start and end. What follows the end token does not
            matter, because attention looks back only.
        layers: Less than 12 where the others are known to be zero.
    """
    ids = [START, *words, END]

    def matrix(name: str) -> torch.Tensor:
        return torch.from_numpy(dequantized(tensors[f"text_model.{name}"]))

    def linear(name: str, h: torch.Tensor) -> torch.Tensor:
        return F.linear(h, matrix(f"{name}.weight"), matrix(f"{name}.bias"))

    def norm(name: str, h: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(h, (h.shape[-1],), matrix(f"{name}.weight"), matrix(f"{name}.bias"))

    table = tensors["text_model.embeddings.token_embedding.weight"]
    x = torch.from_numpy(gguf.quants.dequantize(table.data[ids], table.tensor_type))
    x = x + matrix("embeddings.position_embedding.weight")[: len(ids)]
    for layer in range(layers):
        prefix = f"encoder.layers.{layer}"
        h = norm(f"{prefix}.layer_norm1", x)
        q, k, v = (
            linear(f"{prefix}.self_attn.{part}_proj", h).reshape(1, len(ids), -1, HEAD_DIM)
            for part in "qkv"
        )
        q, k, v = (part.transpose(1, 2) for part in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)[0]
        mixed = mixed.transpose(0, 1).reshape(x.shape)
        x = x + linear(f"{prefix}.self_attn.out_proj", mixed)
        h = linear(f"{prefix}.mlp.fc1", norm(f"{prefix}.layer_norm2", x))
        x = x + linear(f"{prefix}.mlp.fc2", h * torch.sigmoid(1.702 * h))
    return norm("final_layer_norm", x)[-1]
