"""Where in a loaded Flux model a module of a LoRA belongs.

Its modules are named as black-forest-labs/flux or as diffusers does.

Source of the pairs of names: huggingface/diffusers, scripts/convert_flux_to_diffusers.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

from ..families.flux.layout import FluxInfo, flux_matrices
from .lora_places import LoraPlaces, Part, Place, clip_places

__all__ = ["FluxLoraPlaces", "diffusers_names"]

T5_LAYERS, T5_WIDTH, T5_MLP = 24, 4096, 10240

_OF_FILE = ("path", "dtypes")  # of FluxInfo: not what shape the model has

_DIFFUSION = "model.diffusion_model."
_CLIP = "text_encoders.clip_l.transformer."
_T5 = "text_encoders.t5xxl.transformer."
_DOTTED: dict[Part, tuple[str, ...]] = {
    "diffusion": (_DIFFUSION, "diffusion_model.", "transformer.", "unet.", ""),
    "clip": (_CLIP, "text_encoders.clip_l.", "text_encoder.", "clip_l.transformer.", "clip_l.",
             "te1.", "te.", ""),
    "t5": (_T5, "text_encoders.t5xxl.", "text_encoder_2.", "t5xxl.transformer.", "t5xxl.", "te2.",
           "te3.", "t5.", ""),
}  # fmt: skip
_UNDERLINED: dict[Part, tuple[str, ...]] = {
    "diffusion": ("lora_unet_", "lora_transformer_", "lycoris_transformer_", "lycoris_unet_",
                  "lycoris_", "lora_", ""),
    "clip": ("lora_te1_", "lora_te_", "lora_text_encoder_", "lora_clip_l_", "lycoris_te1_",
             "lycoris_te_", "lycoris_text_encoder_", "te1_", "te_", "text_encoder_"),
    "t5": ("lora_te2_", "lora_te3_", "lora_text_encoder_2_", "lora_t5xxl_", "lycoris_te2_",
           "lycoris_te3_", "lycoris_text_encoder_2_", "te2_", "te3_", "text_encoder_2_"),
}  # fmt: skip


class FluxLoraPlaces(LoraPlaces):
    """All places of a loaded Flux model.

    Args:
        flux: The diffusion model.
        has_clip: Whether CLIP-L is loaded.
        has_t5: Whether T5-XXL is.
    """

    family = "flux"
    components: ClassVar[Mapping[Part, str]] = {
        "diffusion": "transformer",
        "clip": "text_encoder",
        "t5": "text_encoder_2",
    }

    def __init__(self, flux: FluxInfo, has_clip: bool = True, has_t5: bool = True) -> None:
        self.flux = flux
        self._is_loaded = {"diffusion": True, "clip": has_clip, "t5": has_t5}
        sizes = ((name, value) for name, value in vars(flux).items() if name not in _OF_FILE)
        self.key = (*sizes, *self._is_loaded.items())
        tables: dict[Part, dict[str, Place]] = {
            "diffusion": dict(_flux_places(flux)),
            "clip": dict(clip_places("clip", _CLIP)),
            "t5": dict(_t5_places()),
        }
        super().__init__(tables, _DOTTED, _UNDERLINED)

    def problem(self, module: str) -> str:
        """Why nothing of a LoRA can go to `module`; "" when it can."""
        place = self.find(module)
        if place is not None:
            if self._is_loaded[place.part]:
                return ""
            name, flag = {"clip": ("CLIP-L", "clip_l"), "t5": ("T5-XXL", "t5xxl")}[place.part]
            return f"changes the text encoder {name}, which is not loaded; name {flag}_path"
        if re.search(r"(^|[._])norm_(q|k|added_q|added_k)$|(query|key)_norm", module):
            return "changes the norm of queries or keys, which a LoRA cannot do here"
        if "guidance" in module and not self.flux.guidance_embed:
            return "has no place in the model, which has no guidance input (as schnell has none)"
        return (
            f"has no place in the model, a Flux of {self.flux.depth} double and "
            f"{self.flux.depth_single} single blocks"
        )


def _flux_places(flux: FluxInfo) -> Iterator[tuple[str, Place]]:
    hidden = flux.hidden_size
    for module, (outputs, inputs) in flux_matrices(flux).items():
        parts: tuple[int, ...] = (outputs,)
        if module.endswith("_attn.qkv"):
            parts = (hidden,) * 3
        elif module.endswith(".linear1"):
            parts = (hidden,) * 3 + (outputs - 3 * hidden,)
        place = Place("diffusion", _DIFFUSION, module, outputs, inputs, parts)
        yield module, place
        for name, index in diffusers_names(module):
            yield (
                name,
                replace(
                    place,
                    index=index,
                    diffusers=name,
                    # AdaLayerNormContinuous has scale and shift, Flux's LastLayer shift and scale.
                    swaps_halves=name == "norm_out.linear",
                ),
            )


_TOP = {
    "img_in": "x_embedder",
    "txt_in": "context_embedder",
    "final_layer.linear": "proj_out",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
    **{
        f"{ours}.{place}_layer": f"time_text_embed.{theirs}_embedder.linear_{number}"
        for ours, theirs in (("time_in", "timestep"), ("vector_in", "text"),
                             ("guidance_in", "guidance"))
        for place, number in (("in", 1), ("out", 2))
    },
}  # fmt: skip
_DOUBLE = {
    "img_mod.lin": ("norm1.linear",),
    "txt_mod.lin": ("norm1_context.linear",),
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "img_attn.proj": ("attn.to_out.0",),
    "txt_attn.proj": ("attn.to_add_out",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
}
_SINGLE = {
    "modulation.lin": ("norm.linear",),
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    "linear2": ("proj_out",),
}


def diffusers_names(module: str) -> Iterator[tuple[str, int | None]]:
    """Each name, and which part of the matrix it is."""
    if module in _TOP:
        yield _TOP[module], None
        return
    family, number, rest = module.split(".", 2)
    is_double = family == "double_blocks"
    names = (_DOUBLE if is_double else _SINGLE).get(rest, ())
    block = f"{'' if is_double else 'single_'}transformer_blocks.{number}"
    for index, name in enumerate(names):
        yield f"{block}.{name}", index if len(names) > 1 else None


def _t5_places() -> Iterator[tuple[str, Place]]:
    width = T5_WIDTH
    for layer in range(T5_LAYERS):
        for name, outputs, inputs in (
            *((f"layer.0.SelfAttention.{kind}", width, width) for kind in "qkvo"),
            ("layer.1.DenseReluDense.wi_0", T5_MLP, width),
            ("layer.1.DenseReluDense.wi_1", T5_MLP, width),
            ("layer.1.DenseReluDense.wo", width, T5_MLP),
        ):
            module = f"encoder.block.{layer}.{name}"
            yield module, Place("t5", _T5, module, outputs, inputs, (outputs,))
