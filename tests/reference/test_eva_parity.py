"""Our vision tower against timm's and open_clip's, on random weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from pulid_extractor.eva_vision import load_eva

Library = Callable[[str], ModuleType]
CPU = torch.device("cpu")
EMBEDDING_TOLERANCE = 1e-5
"""Of unit vectors: DESIGN reports 2.1e-6 for the full size."""


def random_weights(network: torch.nn.Module) -> None:
    """Away from 0 and 1, where a forgotten bias or norm would not show."""
    generator = torch.Generator().manual_seed(0)
    for name, parameter in network.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        parameter.data = centre + noise * (0.1 if parameter.ndim < 2 else 0.05)


def timm_tower(timm: ModuleType, **sizes: int) -> Any:
    network = timm.create_model("eva02_large_patch14_clip_336", pretrained=False, **sizes)
    random_weights(network)
    return network.eval()


def timm_hidden(network: Any, pictures: torch.Tensor, blocks: tuple[int, ...]) -> list[Any]:
    """The inputs of some blocks, caught on their way in."""
    caught: list[torch.Tensor] = []
    for block in blocks:
        network.blocks[block].register_forward_pre_hook(
            lambda _, arguments: caught.append(arguments[0].detach())
        )
    with torch.no_grad():
        network(pictures)
    return caught


def test_agrees_with_timm(library: Library, tmp_path: Path) -> None:
    timm = library("timm")
    network = timm_tower(timm, depth=12, embed_dim=192, num_heads=3, num_classes=40)
    torch.save(network.state_dict(), tmp_path / "eva.pt")
    tower = load_eva(tmp_path / "eva.pt", device=CPU, dtype=torch.float32)
    assert tower.shape.image_px == 336
    pictures = torch.randn((2, 3, 336, 336), generator=torch.Generator().manual_seed(1))
    embedding, hidden = tower(pictures)
    with torch.no_grad():
        expected = torch.nn.functional.normalize(network(pictures), dim=1)
    expected_hidden = timm_hidden(network, pictures, (2, 4, 6, 8, 10))
    difference = float((embedding - expected).abs().max())
    scale = float(expected_hidden[-1].abs().max())
    hidden_difference = max(
        float((a - b).abs().max()) for a, b in zip(hidden, expected_hidden, strict=True)
    )
    print(f"timm: embedding {difference:.1e}, hidden {hidden_difference:.1e} of {scale:.1f}")
    assert difference < EMBEDDING_TOLERANCE
    assert hidden_difference < 1e-5 * scale


def test_agrees_with_open_clip_as_a_whole_clip_file(library: Library, tmp_path: Path) -> None:
    """open_clip's EVA02-L-14-336 has timm's tower inside, under `visual.trunk.`."""
    library("timm")
    open_clip = library("open_clip")
    config = open_clip.get_model_config("EVA02-L-14-336")
    config["vision_cfg"]["timm_model_name"] = "eva02_tiny_patch14_224"
    config["vision_cfg"]["image_size"] = 336
    vision = open_clip.model._build_vision_tower(
        config["embed_dim"], open_clip.model.CLIPVisionCfg(**config["vision_cfg"])
    )
    name = type(vision.trunk).__name__
    assert name == "Eva", name
    full = open_clip.get_model_config("EVA02-L-14-336")["vision_cfg"]
    assert full["timm_model_name"] == "eva02_large_patch14_clip_336"

    timm = library("timm")
    trunk = timm_tower(timm, depth=6, embed_dim=128, num_heads=2, num_classes=32)
    vision.trunk = trunk
    vision.head = torch.nn.Identity()
    stored = {f"visual.{key}": value for key, value in vision.state_dict().items()}
    stored["logit_scale"] = torch.tensor(4.6)
    torch.save(stored, tmp_path / "open_clip.pt")
    tower = load_eva(tmp_path / "open_clip.pt", device=CPU, dtype=torch.float32)
    pictures = torch.randn((1, 3, 336, 336), generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        expected = torch.nn.functional.normalize(vision(pictures), dim=1)
    difference = float((tower(pictures)[0] - expected).abs().max())
    print(f"open_clip: {difference:.1e}")
    assert difference < EMBEDDING_TOLERANCE
