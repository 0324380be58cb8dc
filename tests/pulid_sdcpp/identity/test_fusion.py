from __future__ import annotations

import pytest

from pulid_sdcpp.identity.encoder import ENCODERS
from pulid_sdcpp.identity.fusion import FUSION_HELP, FUSIONS, Fusion, check_fusion, resolved_fusion


def test_fusions_are_known_by_name() -> None:
    assert [check_fusion(fusion) for fusion in FUSIONS] == list(FUSIONS)
    assert all(fusion in FUSION_HELP for fusion in FUSIONS)
    with pytest.raises(ValueError, match="'median': expected auto, idformer, mean, concat or mix"):
        check_fusion("median")


@pytest.mark.parametrize(
    ("encoder", "auto", "offered"),
    [
        ("flux", "idformer", {"idformer", "mean"}),
        ("sdxl-v1", "concat", {"concat", "mix", "mean"}),
        ("sdxl-v1.1", "idformer", {"idformer", "mean"}),
    ],
)
def test_each_encoder_joins_photos_in_its_own_ways(
    encoder: str, auto: Fusion, offered: set[Fusion]
) -> None:
    assert encoder in ENCODERS
    assert resolved_fusion("auto", encoder) == auto  # type: ignore[arg-type]
    for fusion in offered:
        assert resolved_fusion(fusion, encoder) == fusion  # type: ignore[arg-type]
    for fusion in set(FUSIONS) - offered - {"auto"}:
        with pytest.raises(ValueError, match=f"fusion {fusion}: PuLID .* joins photos by"):
            resolved_fusion(fusion, encoder)  # type: ignore[arg-type]
