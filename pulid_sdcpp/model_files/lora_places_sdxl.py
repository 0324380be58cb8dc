"""Where in a loaded SDXL model a module of a LoRA belongs.

The UNet's modules are named as Stability AI's generative-models or as diffusers does; those of the
text encoders as transformers does.

Sources of the spellings: kohya-ss/sd-scripts (networks/lora.py), huggingface/diffusers
(loaders/lora_conversion_utils.py), Nerogar/OneTrainer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from ..families.sdxl.diffusers_names import diffusers_unet_module
from ..families.sdxl.unet_layout import UnetInfo
from ..families.sdxl.unet_shapes import unet_tensor_shapes
from .clip_g_shapes import CLIP_G_LAYERS, CLIP_G_WIDTH
from .lora_places import LoraPlaces, Part, Place, clip_places

__all__ = ["SdxlLoraPlaces"]

_DIFFUSION = "model.diffusion_model."
_CLIP = "cond_stage_model.transformer."
_CLIP_G = "cond_stage_model.1.transformer."
_DOTTED: dict[Part, tuple[str, ...]] = {
    "diffusion": (_DIFFUSION, "diffusion_model.", "unet.", ""),
    "clip": (_CLIP, "text_encoder.", "text_encoders.clip_l.transformer.", "text_encoders.clip_l.",
             "clip_l.transformer.", "clip_l.", "te1.", "te."),
    "clip_g": (_CLIP_G, "text_encoder_2.", "text_encoders.clip_g.transformer.",
               "text_encoders.clip_g.", "clip_g.transformer.", "clip_g.", "te2."),
}  # fmt: skip
_UNDERLINED: dict[Part, tuple[str, ...]] = {
    "diffusion": ("lora_unet_", "lycoris_unet_", "lycoris_", "lora_", "unet_", ""),
    "clip": ("lora_te1_", "lora_te_", "lora_text_encoder_", "lora_clip_l_", "lycoris_te1_",
             "lycoris_te_", "lycoris_text_encoder_", "te1_", "te_", "text_encoder_"),
    "clip_g": ("lora_te2_", "lora_text_encoder_2_", "lora_clip_g_", "lycoris_te2_",
               "lycoris_text_encoder_2_", "te2_", "text_encoder_2_"),
}  # fmt: skip
_EMBEDDINGS = ("time_embed.", "label_emb.")
"""The engine knows no name of a LoRA for them: it takes the underlines for dots."""
_OUTPUT = ".to_out.0"


class SdxlLoraPlaces(LoraPlaces):
    """All places of a loaded SDXL model.

    Args:
        unet: The diffusion model.
        fused_clip_g: Whether CLIP-G's queries, keys and values are one matrix, as in checkpoints.
    """

    family = "sdxl"
    components: ClassVar[Mapping[Part, str]] = {
        "diffusion": "unet",
        "clip": "text_encoder",
        "clip_g": "text_encoder_2",
    }

    def __init__(self, unet: UnetInfo, fused_clip_g: bool = False) -> None:
        self.key = (self.family, unet.sizes, fused_clip_g)
        self._depths = unet.sizes.depths
        tables: dict[Part, dict[str, Place]] = {
            "diffusion": dict(_unet_places(unet)),
            "clip": dict(clip_places("clip", _CLIP)),
            "clip_g": dict(_clip_g_places(fused_clip_g)),
        }
        super().__init__(tables, _DOTTED, _UNDERLINED)

    def problem(self, module: str) -> str:
        """Why nothing of a LoRA can go to `module`; "" when it can."""
        place = self.find(module)
        if place is None:
            second, third = self._depths
            return (
                "has no place in the model, an SDXL of "
                f"{second} and {third} transformer blocks in an attention"
            )
        if place.module.startswith(_EMBEDDINGS):
            return "changes how the time or the sizes are embedded, which a LoRA cannot do here"
        return ""


def _unet_places(unet: UnetInfo) -> Iterator[tuple[str, Place]]:
    shapes = dict(unet_tensor_shapes(unet.sizes))
    for name, shape in shapes.items():
        module = name.removesuffix(".weight")
        if module == name or len(shape) < 2:
            continue
        rows, columns, *sides = shape
        place = Place(
            "diffusion",
            _DIFFUSION,
            module,
            rows,
            columns,
            (rows,),
            kernel=sides[0] if sides else 0,
            has_bias=f"{module}.bias" in shapes,
        )
        for spelling in (module, diffusers_unet_module(module)):
            yield spelling, place
            if spelling.endswith(_OUTPUT):  # as diffusers' attention processors have it
                yield spelling.removesuffix(".0"), place


def _clip_g_places(fused: bool) -> Iterator[tuple[str, Place]]:
    width = CLIP_G_WIDTH
    for name, place in clip_places("clip_g", _CLIP_G, CLIP_G_LAYERS, width, 4 * width):
        attention, _, kind = name.rpartition(".")
        if fused and kind in _FUSED:
            yield (
                name,
                Place(
                    "clip_g",
                    _CLIP_G,
                    f"{attention}.in_proj",
                    3 * width,
                    width,
                    (width,) * 3,
                    index=_FUSED.index(kind),
                    part_modules=tuple(f"{attention}.{each}" for each in _FUSED),
                ),
            )
        else:
            yield name, place


_FUSED = ("q_proj", "k_proj", "v_proj")
"""The engine finds each by its own name, and lays them where they belong."""
