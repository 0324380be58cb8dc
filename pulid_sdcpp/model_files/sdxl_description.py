"""What an SDXL model, and PuLID weights for one, are said to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..families.sdxl.unet_layout import UnetInfo

__all__ = ["describe_sdxl", "describe_sdxl_pulid"]


def describe_sdxl(unet: UnetInfo, words: str) -> tuple[str, dict[str, Any]]:
    """A line and facts by label about an SDXL model.

    Args:
        unet: Its sizes.
        words: Of its kind, such as "an SDXL model for inpainting".
    """
    sizes = unet.sizes
    layout = " in the diffusers layout" if unet.diffusers else ""
    blocks = " and ".join(str(depth) for depth in sizes.depths)
    summary = (
        f"{words}{layout}: {sizes.model_channels} channels, {blocks} transformer blocks, "
        f"{len(unet.layers)} cross-attentions"
    )
    return summary, {
        "channels": sizes.widths,
        "transformer blocks": (0, *sizes.depths),
        "cross-attentions": len(unet.layers),
        "input channels": sizes.in_channels,
        "text width": sizes.context_width,
        "vector width": sizes.adm_width,
    }


def describe_sdxl_pulid(source: str) -> tuple[str, dict[str, Any]]:
    """A line and facts by label about a file of PuLID weights for SDXL.

    Raises:
        ModelFileError: See `SdxlPulidWeights`.
    """
    from ..families.sdxl.pulid_weights import SdxlPulidWeights

    with SdxlPulidWeights(source) as weights:
        widths = sorted(set(weights.widths.values()))
        words = " and ".join(str(width) for width in widths)
        version = f"{weights.version} " if weights.version else ""
        summary = (
            f"PuLID {version}weights for an SDXL of {len(weights.widths)} cross-attentions, "
            f"{words} wide{'' if weights.version else ', without the encoder'}"
        )
        return summary, {
            "version": weights.version or "unknown",
            "identity layers": len(weights.widths),
            "widths": tuple(widths),
            "identity token width": weights.id_dim,
            "identities": ", ".join(weights.encoders),
            "encoder": weights.version is not None,
        }
