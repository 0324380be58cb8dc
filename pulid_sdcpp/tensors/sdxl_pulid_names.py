"""Tensor names of PuLID's weights for SDXL, which are published under two spellings.

    as published                                   renamed for other programs
    id_adapter.<rest>                              image_proj.<rest>
    id_adapter_attn_layers.<i>.id_to_k.weight      ip_adapter.<i>.to_k_ip.weight
    id_adapter_attn_layers.<i>.id_to_v.weight      ip_adapter.<i>.to_v_ip.weight

The numbers stay. The second spelling is also that of IP-Adapters, whose layers have the same
shapes; PuLID's encoder, which they lack, tells the two apart.

Source: ToTheBeginning/PuLID, pulid/pipeline.py (load_pretrain), and the file
ip-adapter_pulid_sdxl_fp16.safetensors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal

__all__ = [
    "ADAPTER_PREFIX",
    "ENCODER_PREFIX",
    "PUBLISHED_FORM",
    "RENAMED_FORM",
    "WeightsVersion",
    "original_names",
    "renamed",
    "weights_version",
]

WeightsVersion = Literal["v1", "v1.1"]

ENCODER_PREFIX = "id_adapter."
ADAPTER_PREFIX = "id_adapter_attn_layers."

PUBLISHED_FORM = r"^id_adapter(_attn_layers)?\."
"""A pattern that one tensor of a file with the published names has."""
RENAMED_FORM = r"^image_proj\.(body\.0\.|mapping_0\.|mapping_patch_0\.|id_embedding_mapping\.0\.)"
"""The same for renamed files: a tensor of PuLID's encoder, which no IP-Adapter has."""

_SIGNS: tuple[tuple[WeightsVersion, str], ...] = (
    ("v1", f"{ENCODER_PREFIX}body.0.weight"),
    ("v1.1", f"{ENCODER_PREFIX}latents"),
)
_RENAMED_LAYER = re.compile(r"ip_adapter\.([0-9]+)\.to_([kv])_ip\.weight$")
_LAYER = re.compile(r"id_adapter_attn_layers\.([0-9]+)\.id_to_([kv])\.weight$")


def original_names(names: Iterable[str]) -> dict[str, str]:
    """The published name of each tensor of a PuLID file for SDXL, whichever spelling it has.

    Args:
        names: Of all tensors of the file.

    Returns:
        The names in the file, by the published name, in the order given. What has neither
        spelling keeps its name. Where a file has both of one tensor, the last one counts.
    """
    return {_original(name): name for name in names}


def _original(name: str) -> str:
    if name.startswith("image_proj."):
        return ENCODER_PREFIX + name.removeprefix("image_proj.")
    layer = _RENAMED_LAYER.match(name)
    if layer:
        return f"{ADAPTER_PREFIX}{layer[1]}.id_to_{layer[2]}.weight"
    if name.startswith("ip_adapter."):  # what PuLID has not; kept, so that it is refused
        return ADAPTER_PREFIX + name.removeprefix("ip_adapter.")
    return name


def renamed(original: str) -> str:
    """The name that a tensor with this published name has in renamed files."""
    if original.startswith(ENCODER_PREFIX):
        return "image_proj." + original.removeprefix(ENCODER_PREFIX)
    layer = _LAYER.match(original)
    return original if layer is None else f"ip_adapter.{layer[1]}.to_{layer[2]}_ip.weight"


def weights_version(originals: Iterable[str]) -> WeightsVersion | None:
    """Which of the two published versions a file is, by its encoder.

    Args:
        originals: Published names of its tensors, see `original_names`.

    Returns:
        None: It has no encoder, or parts of both.
    """
    known = set(originals)
    found = [version for version, sign in _SIGNS if sign in known]
    return found[0] if len(found) == 1 else None
