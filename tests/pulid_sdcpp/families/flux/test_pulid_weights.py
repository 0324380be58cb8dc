"""The layout of PuLID weights, and what is refused in their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from file_drafts import flux_shapes, pulid_shapes, write_empty_safetensors
from pulid_sdcpp.errors import ModelFileError, ModelMismatchError
from pulid_sdcpp.families.flux.layout import FluxInfo
from pulid_sdcpp.families.flux.pulid_weights import PulidWeights, positions
from pulid_sdcpp.identity.identity_file import Identity


def flux(depth: int, depth_single: int, hidden: int = 128) -> FluxInfo:
    return FluxInfo("flux.gguf", depth, depth_single, hidden, 128, False, 4096, 768, 64)


def refused(path: Path, *words: str) -> None:
    with pytest.raises(ModelFileError) as caught:
        PulidWeights(path)
    message = str(caught.value)
    assert str(path) in message
    for word in words:
        assert word in message


def test_the_published_model_has_twenty_positions_in_order():
    expected = [("double", i) for i in (0, 2, 4, 6, 8, 10, 12, 14, 16, 18)]
    expected += [("single", i) for i in (0, 4, 8, 12, 16, 20, 24, 28, 32, 36)]
    assert positions(19, 38) == expected


@pytest.mark.parametrize(
    ("depth", "depth_single", "count"),
    [(0, 0, 0), (1, 1, 2), (2, 4, 2), (3, 5, 4), (4, 8, 4), (0, 9, 3), (19, 38, 20)],
)
def test_positions_of_small_models(depth, depth_single, count):
    assert len(positions(depth, depth_single)) == count


def test_sizes_are_read_from_the_file(tmp_path):
    shapes = pulid_shapes(layers=3, hidden=384, heads=3, id_dim=96)
    shapes["pulid_encoder.latents"] = (1, 4, 8)
    with PulidWeights(write_empty_safetensors(tmp_path / "pulid", shapes, "BF16")) as weights:
        assert weights.n_layers == 3
        assert weights.hidden_size == 384
        assert weights.heads == 3
        assert weights.inner_dim == 384
        assert weights.id_dim == 96
        assert weights.tensor("pulid_encoder.latents").shape == (1, 4, 8)


def test_a_layer_has_its_tensors_as_float32(tmp_path):
    safetensors = pytest.importorskip("safetensors.numpy")
    chance = np.random.default_rng(0)
    tensors = {
        name: chance.standard_normal(shape).astype(np.float16)
        for name, shape in pulid_shapes(layers=2).items()
    }
    safetensors.save_file(tensors, tmp_path / "pulid.safetensors")
    with PulidWeights(tmp_path / "pulid.safetensors") as weights:
        layer = weights.layer(1)
        with pytest.raises(ValueError, match="there are 2"):
            weights.layer(2)
        with pytest.raises(ValueError, match="layer -1"):
            weights.layer(-1)
        for field, name in [
            ("norm1_weight", "norm1.weight"),
            ("norm1_bias", "norm1.bias"),
            ("norm2_weight", "norm2.weight"),
            ("norm2_bias", "norm2.bias"),
            ("to_q", "to_q.weight"),
            ("to_kv", "to_kv.weight"),
            ("to_out", "to_out.weight"),
        ]:
            value = getattr(layer, field)[:]
            assert value.dtype == np.float32
            np.testing.assert_array_equal(value, tensors[f"pulid_ca.1.{name}"].astype(np.float32))
            np.testing.assert_array_equal(getattr(layer, field)[3:50], value[3:50])
            assert getattr(layer, field).shape == value.shape


def test_a_gguf_of_the_same_tensors_is_read(tmp_path):
    gguf = pytest.importorskip("gguf")
    chance = np.random.default_rng(1)
    tensors = {
        name: chance.standard_normal(shape).astype(np.float32)
        for name, shape in pulid_shapes(layers=1).items()
    }
    path = tmp_path / "pulid.gguf"
    writer = gguf.GGUFWriter(path, "pulid-flux")
    for name, value in tensors.items():
        if value.ndim == 2:
            packed = gguf.quants.quantize(value, gguf.GGMLQuantizationType.Q8_0)
            writer.add_tensor(name, packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with PulidWeights(path) as weights:
        assert (weights.n_layers, weights.hidden_size, weights.heads) == (1, 128, 2)
        layer = weights.layer(0)
        to_q = layer.to_q[:]
    expected = tensors["pulid_ca.0.to_q.weight"]
    # Q8_0 keeps 127 steps of a block's largest number: half a step, and a float16 scale.
    tolerance = np.abs(expected).max() * (0.5 / 127 + 2.0**-11)
    assert np.abs(to_q - expected).max() <= tolerance
    np.testing.assert_array_equal(layer.norm2_weight, tensors["pulid_ca.0.norm2.weight"])


# What is refused


def test_sdxl_weights_are_named(tmp_path):
    shapes = {"id_adapter_attn_layers.0.id_to_k.weight": (64, 64), "id_adapter.latents": (1, 4)}
    path = write_empty_safetensors(tmp_path / "pulid_v1.1.safetensors", shapes)
    refused(path, "PuLID weights for SDXL", "pulid_flux_v0.9.1.safetensors")


def test_an_encoder_alone_is_named(tmp_path):
    path = write_empty_safetensors(tmp_path / "encoder", {"pulid_encoder.latents": (1, 4, 8)})
    refused(path, "PuLID's encoder without its attention layers")


def test_a_flux_model_is_named(tmp_path):
    refused(write_empty_safetensors(tmp_path / "flux", flux_shapes()), "found a Flux model")


def test_an_identity_is_named(tmp_path):
    path = tmp_path / "alice.pulidembd"
    Identity.from_array(np.ones((2, 4))).save(path)
    refused(path, "found an identity file")


@pytest.mark.parametrize(
    "missing", ["0.to_q.weight", "0.to_kv.weight", "1.norm1.bias", "2.to_out.weight"]
)
def test_a_missing_tensor_is_named(tmp_path, missing):
    shapes = pulid_shapes(layers=3)
    del shapes[f"pulid_ca.{missing}"]
    path = write_empty_safetensors(tmp_path / "pulid", shapes)
    refused(path, f"pulid_ca.{missing} is missing")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("pulid_ca.0.to_q.weight", (100, 128)),
        ("pulid_ca.0.to_q.weight", (256,)),
        ("pulid_ca.0.to_q.weight", (0, 128)),
        ("pulid_ca.0.to_kv.weight", (256, 64)),
        ("pulid_ca.1.to_q.weight", (256, 64)),
        ("pulid_ca.1.to_out.weight", (256, 128)),
        ("pulid_ca.1.norm1.weight", (1, 64)),
        ("pulid_ca.1.norm2.bias", (64,)),
    ],
)
def test_a_misshaped_tensor_is_named(tmp_path, name, shape):
    shapes = pulid_shapes(layers=2) | {name: shape}
    refused(write_empty_safetensors(tmp_path / "pulid", shapes), "expected", "pulid_ca.")


def test_an_absurd_layer_number_is_refused(tmp_path):
    shapes = pulid_shapes(layers=1) | {"pulid_ca.900000000.norm1.weight": (1,)}
    refused(write_empty_safetensors(tmp_path / "pulid", shapes), "900000000")


def test_matching_models_are_accepted_and_others_named(tmp_path):
    path = write_empty_safetensors(tmp_path / "pulid", pulid_shapes(layers=4))
    with PulidWeights(path) as weights:
        weights.check_matches(flux(3, 5))
        weights.check_matches(flux(4, 8))
        with pytest.raises(ModelMismatchError, match=r"4 identity layers.*needs 20"):
            weights.check_matches(flux(19, 38))
        with pytest.raises(ModelMismatchError, match=r"width 128.*width 3072"):
            weights.check_matches(flux(3, 5, 3072))
