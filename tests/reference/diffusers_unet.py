"""diffusers' SDXL UNet, with an attention processor for PuLID written from its formulas.

Nothing of it is shared with the definition in tests/definition, so that the two say of each
other whether layers, names, heads and formulas are right. The weights come into the model by
diffusers' own conversion from the original names; PuLID's come to an attention by its position
among `attn_processors`, as in PuLID's own code.

Source: ToTheBeginning/PuLID, pulid/pipeline.py (hack_unet_attn_layers) and
pulid/attention_processor.py (IDAttnProcessor2_0).
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["PulidProcessor", "attention_paths", "diffusers_unet", "predicted_noise", "set_pulid"]

FIRST_TOKENS = 5


def diffusers_unet(
    diffusers: ModuleType, weights: Mapping[str, Tensor], depths: tuple[int, int]
) -> Any:
    """A `UNet2DConditionModel` of SDXL's layout in float64.

    Args:
        diffusers: The library.
        weights: By their original names, without `model.diffusion_model.`.
        depths: Transformer blocks of an attention on the second and third level.
    """
    channels = weights["input_blocks.0.0.weight"].shape[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        conversion = importlib.import_module(f"{diffusers.__name__}.loaders.single_file_utils")
        unet = diffusers.UNet2DConditionModel(
            sample_size=32,
            block_out_channels=(channels, 2 * channels, 4 * channels),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            transformer_layers_per_block=(1, *depths),
            # By this name diffusers means the number of heads.
            attention_head_dim=(1, 2 * channels // 64, 4 * channels // 64),
            cross_attention_dim=weights[
                "middle_block.1.transformer_blocks.0.attn2.to_k.weight"
            ].shape[1],
            addition_embed_type="text_time",
            addition_time_embed_dim=256,
            projection_class_embeddings_input_dim=weights["label_emb.0.0.weight"].shape[1],
            use_linear_projection=True,
        )
        named = conversion.convert_ldm_unet_checkpoint(
            {f"model.diffusion_model.{name}": values for name, values in weights.items()},
            unet.config,
        )
        unet = unet.double().eval()
        unet.load_state_dict(named)
    return unet


class PulidProcessor:
    """PuLID in one cross-attention.

    Args:
        id_to_k, id_to_v: (C, id_dim).
        tokens: (n, id_dim), one person's identity.
        weight: PuLID's id_scale.
        projection: "none", "ortho" or "ortho_v2".
        zeros: PuLID's NUM_ZERO.
    """

    def __init__(
        self,
        id_to_k: np.ndarray,
        id_to_v: np.ndarray,
        tokens: np.ndarray,
        weight: float,
        projection: str,
        zeros: int,
    ) -> None:
        padded = torch.from_numpy(np.pad(tokens, ((0, zeros), (0, 0))))
        self.key = F.linear(padded, torch.from_numpy(id_to_k))
        self.value = F.linear(padded, torch.from_numpy(id_to_v))
        self.weight = weight
        self.projection = projection

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        def split(x: Tensor) -> Tensor:
            return x.unflatten(-1, (attn.heads, -1)).transpose(-3, -2)

        def joined(x: Tensor) -> Tensor:
            return x.transpose(-3, -2).flatten(-2)

        query = split(attn.to_q(hidden_states))
        text_key = split(attn.to_k(encoder_hidden_states))
        text_value = split(attn.to_v(encoder_hidden_states))
        key, value = split(self.key)[None], split(self.value)[None]
        h = joined(F.scaled_dot_product_attention(query, text_key, text_value))
        z = joined(F.scaled_dot_product_attention(query, key, value))
        if self.projection != "none":
            along = (h * z).sum(dim=-2, keepdim=True) / (h * h).sum(dim=-2, keepdim=True) * h
            if self.projection == "ortho":
                z = z - along
            else:
                looks = (query @ key.mT).softmax(dim=-1)
                share = looks[..., :FIRST_TOKENS].sum(dim=-1).mean(dim=1)
                z = z - (1 - share[..., None]) * along
        return attn.to_out[0](h + self.weight * z)


def attention_paths(unet: Any) -> list[str]:
    """The cross-attentions in the order in which `attn_processors` has them."""
    paths = [name.removesuffix(".processor") for name in unet.attn_processors]
    return [path for path in paths if path.endswith(".attn2")]


def set_pulid(unet: Any, adapter: Mapping[int, tuple[np.ndarray, np.ndarray]], *use: Any) -> None:
    """Put one person into every attention to which the adapter has a layer, by position.

    Args:
        adapter: id_to_k and id_to_v by number.
        use: Tokens, weight, projection and zeros, see `PulidProcessor`.
    """
    processors = dict(unet.attn_processors)
    for index, name in enumerate(processors):
        if index in adapter:
            processors[name] = PulidProcessor(*adapter[index], *use)
    unet.set_attn_processor(processors)


def predicted_noise(
    unet: Any,
    x: np.ndarray,
    timestep: float,
    context: np.ndarray,
    pooled: np.ndarray,
    sizes_px: Sequence[int],
) -> np.ndarray:
    """One evaluation: (4, h, w) -> (4, h, w) float64.

    Args:
        sizes_px: Width and height of the picture.
    """
    width, height = sizes_px
    sizes = torch.tensor([[height, width, 0, 0, height, width]], dtype=torch.float64)
    with torch.no_grad():
        made = unet(
            torch.from_numpy(x)[None],
            torch.tensor(timestep),
            torch.from_numpy(context)[None],
            added_cond_kwargs={"text_embeds": torch.from_numpy(pooled)[None], "time_ids": sizes},
        )
    return np.asarray(made.sample[0])
