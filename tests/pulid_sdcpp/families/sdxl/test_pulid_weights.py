"""The layout of PuLID weights for SDXL, and what is refused in their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from file_drafts import draft_safetensors, flux_shapes, pulid_shapes, write_empty_safetensors
from pulid_sdcpp.errors import ModelFileError, ModelMismatchError
from pulid_sdcpp.families.sdxl.attention_layers import unet_attention_layers
from pulid_sdcpp.families.sdxl.pulid_weights import SdxlPulidWeights
from pulid_sdcpp.families.sdxl.unet_layout import UnetInfo, published_sdxl_unet
from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes, unet_tensor_shapes
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.tensors.sdxl_pulid_names import renamed

LAYER = "id_adapter_attn_layers"
WIDTHS = (64, 128, 128)
ENCODERS = {
    "v1": {"id_adapter.body.0.weight": (8, 8), "id_adapter.mapping_0.0.weight": (8, 8)},
    "v1.1": {"id_adapter.latents": (1, 4, 8), "id_adapter.id_embedding_mapping.0.weight": (8, 8)},
    None: {},
}

Shapes = dict[str, tuple[int, ...]]


def layer_shapes(widths: tuple[int, ...] = WIDTHS, id_dim: int = 32) -> Shapes:
    return {
        f"{LAYER}.{2 * ordinal + 1}.id_to_{part}.weight": (width, id_dim)
        for ordinal, width in enumerate(widths)
        for part in "kv"
    }


def saved(folder: Path, shapes: Shapes) -> Path:
    return write_empty_safetensors(folder / "pulid.safetensors", shapes)


def refused(path: Path, *words: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        SdxlPulidWeights(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    for word in words:
        assert word in message


def tiny_unet(channels: int = 32, depths: tuple[int, int] = (1, 1)) -> UnetInfo:
    sizes = UnetSizes(channels, depths)
    return UnetInfo("unet.gguf", sizes, unet_attention_layers(dict(unet_tensor_shapes(sizes))))


@pytest.mark.parametrize(
    ("spelling", "version", "encoders"),
    [
        (str, "v1", ("sdxl-v1",)),
        (str, "v1.1", ("sdxl-v1.1",)),
        (str, None, ("sdxl-v1", "sdxl-v1.1")),
        (renamed, "v1", ("sdxl-v1",)),
        (renamed, "v1.1", ("sdxl-v1.1",)),
    ],
)
def test_both_versions_and_spellings_are_read(tmp_path, spelling, version, encoders):
    shapes = ENCODERS[version] | layer_shapes()
    path = saved(tmp_path, {spelling(name): shape for name, shape in shapes.items()})
    with SdxlPulidWeights(path) as weights:
        assert (weights.version, weights.encoders, weights.id_dim) == (version, encoders, 32)
        assert list(weights.widths.items()) == [(1, 64), (3, 128), (5, 128)]
        assert weights.layer_tensors() == [spelling(name) for name in layer_shapes()]
        assert weights.path == str(path)


@pytest.mark.parametrize("spelling", [str, renamed])
def test_rows_are_read_as_float32_by_index(tmp_path, spelling):
    chance = np.random.default_rng(0)
    tensors = {
        name: chance.standard_normal(shape).astype("<f2")
        for name, shape in (ENCODERS["v1"] | layer_shapes()).items()
    }
    entries, data = {}, b""
    for name, array in tensors.items():
        span = [len(data), len(data) + array.nbytes]
        entries[spelling(name)] = {"dtype": "F16", "shape": array.shape, "data_offsets": span}
        data += array.tobytes()
    path = tmp_path / "pulid.safetensors"
    path.write_bytes(draft_safetensors(entries, data))
    with SdxlPulidWeights(path) as weights:
        weights.check_data()
        for index, width in weights.widths.items():
            for part, rows in zip("kv", weights.rows(index), strict=True):
                assert rows.shape == (width, 32)
                assert rows[3:7].dtype == np.float32
                expected = tensors[f"{LAYER}.{index}.id_to_{part}.weight"]
                np.testing.assert_array_equal(rows[:], expected.astype(np.float32))
                np.testing.assert_array_equal(rows[3:7], rows[:][3:7])
        for index in (0, 2, 7):
            with pytest.raises(ValueError, match=f"layer {index}: there are 1 to 5, odd ones"):
                weights.rows(index)


# What is refused


@pytest.mark.parametrize(
    ("shapes", "found"),
    [
        (pulid_shapes(), "found PuLID weights for Flux"),
        (flux_shapes(), "found a Flux model"),
        (dict(unet_tensor_shapes(UnetSizes(32, (1, 1)))), "found an SDXL model"),
        ({"ip_adapter.1.to_k_ip.weight": (64, 32)}, "found an IP-Adapter, which is not PuLID"),
    ],
)
def test_other_files_are_named(tmp_path, shapes, found):
    refused(saved(tmp_path, shapes), "expected PuLID weights for SDXL", found, "pulid_v1.1")


def test_an_identity_is_named(tmp_path):
    path = tmp_path / "alice.pulidembd"
    Identity.from_array(np.ones((2, 4))).save(path)
    refused(path, "found an identity file")


def test_a_pickle_is_not_opened_and_its_way_out_is_named(tmp_path):
    torch = pytest.importorskip("torch")
    path = tmp_path / "pulid_v1.bin"
    torch.save({f"{LAYER}.1.id_to_k.weight": torch.ones(2, 2)}, path)
    refused(path, "a torch checkpoint", "pulid-sdcpp convert", "pulid_sdxl_fp16.safetensors")


def test_an_encoder_alone_is_named(tmp_path):
    refused(saved(tmp_path, ENCODERS["v1.1"]), "an encoder without its attention layers")


def test_an_encoder_of_neither_version_is_refused(tmp_path):
    for encoder in ({"id_adapter.proj_out": (8, 8)}, ENCODERS["v1"] | ENCODERS["v1.1"]):
        refused(saved(tmp_path, encoder | layer_shapes()), "neither that of version 1 nor")


def test_a_tensor_under_both_names_is_refused(tmp_path):
    shapes = ENCODERS["v1"] | layer_shapes() | {"ip_adapter.1.to_k_ip.weight": (64, 32)}
    refused(saved(tmp_path, shapes), "under both names")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({f"{LAYER}.3.id_to_k.weight": None}, f"{LAYER}.3.id_to_k.weight is missing"),
        ({f"{LAYER}.5.id_to_v.weight": None}, f"{LAYER}.5.id_to_v.weight is missing"),
        ({f"{LAYER}.9.id_to_k.weight": (64, 32)}, "layer 7 is missing, of the 5 up to 9"),
        ({f"{LAYER}.2.id_to_k.weight": (64, 32)}, "layer 2 is a self-attention"),
        ({f"{LAYER}.900000000.id_to_k.weight": (64, 32)}, "layer 900000000 is named"),
        ({f"{LAYER}.1.id_to_k.bias": (64,)}, f"found '{LAYER}.1.id_to_k.bias', which PuLID does"),
        ({f"{LAYER}.1.id_to_k.weight": (64,)}, "to be a matrix, found (64,)"),
        ({f"{LAYER}.1.id_to_k.weight": (0, 32)}, "to be a matrix, found (0, 32)"),
        ({f"{LAYER}.3.id_to_k.weight": (100, 32)}, "a multiple of 64, found 100"),
        ({f"{LAYER}.3.id_to_k.weight": (128, 16)}, "of shape (128, 32), found (128, 16)"),
        ({f"{LAYER}.3.id_to_v.weight": (64, 32)}, "of shape (128, 32), found (64, 32)"),
    ],
)
def test_layers_that_are_wrong_are_named(tmp_path, changes, message):
    shapes = ENCODERS["v1"] | layer_shapes() | changes
    refused(saved(tmp_path, {k: v for k, v in shapes.items() if v is not None}), message)


def test_weights_of_zeros_are_refused(tmp_path):
    path = saved(tmp_path, layer_shapes((64, 128), id_dim=64))
    with (
        SdxlPulidWeights(path) as weights,
        pytest.raises(ModelFileError, match=r"4 of its 4 matrices are zeros"),
    ):
        weights.check_data()


def test_matching_unets_are_accepted_and_others_named(tmp_path):
    unet = tiny_unet()
    widths = tuple(layer.width for layer in unet.layers)
    with SdxlPulidWeights(saved(tmp_path, layer_shapes(widths))) as weights:
        weights.check_matches(unet)
        with pytest.raises(ModelMismatchError, match=r"has 11 identity layers, unet.gguf has 17"):
            weights.check_matches(tiny_unet(depths=(1, 2)))
        with pytest.raises(ModelMismatchError, match=r"layer 1 .* 64, but input_blocks.4.1"):
            weights.check_matches(tiny_unet(channels=64))


def test_layers_in_the_order_of_the_forward_pass_are_refused(tmp_path):
    """Down, middle, up: the widths give it away, where they differ."""
    down_up_middle = [layer.width for layer in published_sdxl_unet().layers]
    forward = (*down_up_middle[:24], *down_up_middle[60:], *down_up_middle[24:60])
    path = saved(tmp_path, layer_shapes(forward, id_dim=2))
    with (
        SdxlPulidWeights(path) as weights,
        pytest.raises(ModelMismatchError, match=r"identity layer 109 is of width 1280"),
    ):
        weights.check_matches(published_sdxl_unet())
