"""PuLID's published weights for SDXL by the headers they have, against SDXL's UNet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from published_shapes import write_pulid, write_sdxl_pulid, write_sdxl_unet
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.families.flux.pulid_weights import PulidWeights
from pulid_sdcpp.families.sdxl.pulid_weights import SdxlPulidWeights
from pulid_sdcpp.families.sdxl.unet_layout import check_unet, published_sdxl_unet
from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes
from pulid_sdcpp.model_files.description import describe_file
from pulid_sdcpp.tensors.sdxl_pulid_names import renamed


@pytest.mark.parametrize("names", [str, renamed])
@pytest.mark.parametrize(
    ("version", "tensors", "parameters", "file_bytes"),
    # Parameters: 340,787,200 in the layers. File: v1.1 has 984,405,232 bytes, renamed v1 half as
    # many as v1's 1,582,858,505 in a pickle; what is more than the numbers is the header.
    [("v1", 250, 395_673_600, 791_372_856), ("v1.1", 312, 492_185_600, 984_405_232)],
)
def test_both_versions_are_what_was_published(
    tmp_path: Path,
    names: Callable[[str], str],
    version: str,
    tensors: int,
    parameters: int,
    file_bytes: int,
) -> None:
    path = write_sdxl_pulid(tmp_path / "pulid.safetensors", version, "f16", names)
    info = describe_file(path)
    assert info.details["tensors"] == tensors
    assert info.details["parameters"] == parameters
    assert abs(path.stat().st_size - file_bytes) < 10_000
    said = f"PuLID {version} weights for an SDXL of 70 cross-attentions, 640 and 1280 wide"
    assert info.summary == said
    with SdxlPulidWeights(path) as weights:
        assert weights.version == version
        assert weights.encoders == (f"sdxl-{version}",)
        assert weights.id_dim == 2048
        assert sum(width * 2048 * 2 for width in weights.widths.values()) == 340_787_200
        weights.check_matches(published_sdxl_unet())


def test_the_published_unet_is_read_as_it_is_known(tmp_path: Path) -> None:
    info = check_unet(write_sdxl_unet(tmp_path / "unet.safetensors"))
    assert info.sizes == UnetSizes()
    assert info.layers == published_sdxl_unet().layers
    summary = describe_file(info.path).summary
    assert (
        summary == "an SDXL model: 320 channels, 2 and 10 transformer blocks, 70 cross-attentions"
    )


def test_weights_of_the_other_family_are_refused_by_name(tmp_path: Path) -> None:
    sdxl = write_sdxl_pulid(tmp_path / "pulid_v1.1.safetensors", "v1.1", "f16")
    with pytest.raises(ModelFileError, match=r"PuLID weights for Flux .*, found PuLID .* SDXL"):
        PulidWeights(sdxl)
    flux = write_pulid(tmp_path / "pulid_flux.safetensors", layers=1)
    with pytest.raises(ModelFileError, match=r"PuLID weights for SDXL .*, found PuLID .* Flux"):
        SdxlPulidWeights(flux)
