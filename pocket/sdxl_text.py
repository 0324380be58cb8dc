"""What SDXL's UNet is given of a prompt: CLIP-L's hidden states before its last layer.

The pocket Flux's text encoder makes codes of a prompt in its fourth layer, at each token those of
the words so far, and at the many tokens that the engine fills up with those of the whole prompt.
SDXL reads the layer before the twelfth, where they still are.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F

from pulid_sdcpp.pocket.sdxl_expansion import CODE_LOUDNESS
from pulid_sdcpp.tensors.tensor_file import TensorFile

from .clip_tokens import END, MAX_TOKENS, POSITIONS, START, ClipTokens, engine_merges
from .prompt_code import CODE_DIM
from .text_network import HEAD_DIM, HEADS, LAYERS, TextNetwork, normed, quick_gelu

__all__ = ["TextCodes"]

_LAYERS = "text_model.encoder.layers"
_PARTS = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "out": "self_attn.out_proj",
    "fc1": "mlp.fc1",
    "fc2": "mlp.fc2",
}


class TextCodes:
    """The shipped text encoder, read for SDXL.

    Args:
        file: The pack's `text_encoder.safetensors`.
    """

    def __init__(self, file: Path) -> None:
        with TensorFile(file) as tensors:
            self._tensors = {
                name: torch.from_numpy(tensors.read(name))
                for name in tensors.names()
                if name != "token_ids"
            }
            live = [int(number) for number in tensors.read("token_ids", "int64")]
        self._places = {token: place + 1 for place, token in enumerate(live)}
        self._tokens = ClipTokens(engine_merges())
        self._network = TextNetwork(len(live)).requires_grad_(False)
        inner = HEADS * HEAD_DIM
        for number, block in enumerate(self._network.blocks):
            for mine, theirs in _PARTS.items():
                part = block.get_submodule(mine)
                for kind, parameter in part.named_parameters():
                    value = self._tensors[f"{_LAYERS}.{number}.{theirs}.{kind}"]
                    if theirs.startswith("self_attn"):
                        within = mine == "out"
                        value = value.reshape(-1, inner) if within and kind == "weight" else value
                        value = value if within else value.flatten(0, 1)
                    parameter.copy_(value)

    @torch.no_grad()
    def __call__(self, prompt: str) -> torch.Tensor:
        """(77, CODE_DIM): about 1 for what the prompt says up to a token, else about 0."""
        inner = self._tokens.encode(prompt)[:MAX_TOKENS]
        ids = [START, *inner, *[END] * (POSITIONS - 1 - len(inner))]
        words = torch.tensor([self._places.get(token, 0) for token in ids])
        table = self._tensors["token_embedding"]
        x = F.embedding(words, torch.cat([torch.zeros_like(table[:1]), table]))
        x = (x + self._tensors["text_model.embeddings.position_embedding.weight"])[None]
        for block in self._network.blocks:
            x = block(x)
        last = {
            name: self._tensors[f"{_LAYERS}.{LAYERS}.{name}"]
            for name in (
                *("layer_norm2.weight", "layer_norm2.bias"),
                *("mlp.fc1.weight", "mlp.fc1.bias", "mlp.fc2.weight"),
            )
        }
        seen = normed(x) * last["layer_norm2.weight"] + last["layer_norm2.bias"]
        steps = quick_gelu(seen @ last["mlp.fc1.weight"].T + last["mlp.fc1.bias"])
        hidden = x + steps @ last["mlp.fc2.weight"].T
        return hidden[0, :, :CODE_DIM] / CODE_LOUDNESS
