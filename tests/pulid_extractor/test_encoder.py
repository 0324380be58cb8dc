"""Which encoder a weights file has, under whichever names, and how it joins photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pulid_extractor.encoder import FaceEncoder, SeenFace
from pulid_extractor.encoder_tensors import read_encoder_tensors
from pulid_extractor.torch_networks import load_torch_encoder
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.identity.fusion import Fusion
from pulid_sdcpp.tensors.sdxl_pulid_names import renamed
from standin.extractor.networks import idformer_tensors
from standin.sdxl_pulid import mlp_encoder_tensors

Tensors = dict[str, NDArray[np.float32]]
CPU = torch.device("cpu")
MLP = {"id_dim": 24, "hidden": 40, "vit_dim": 20, "clip_dim": 8}
IDFORMER = {"id_dim": 24, "n_tokens": 6, "dim": 64, "n_layers": 5, "vit_dim": 20, "clip_dim": 8}
ADAPTER = {
    "id_adapter_attn_layers.1.id_to_k.weight": np.ones((4, 24), np.float32),
    "id_adapter_attn_layers.1.id_to_v.weight": np.ones((4, 24), np.float32),
}
EMBEDDING, VIT_TOKENS = 520, 11


def v1() -> Tensors:
    return mlp_encoder_tensors(**MLP) | ADAPTER


def v1_1() -> Tensors:
    return idformer_tensors(**IDFORMER, prefix="id_adapter.") | ADAPTER


def face_encoder(path: Path) -> FaceEncoder:
    return FaceEncoder(*load_torch_encoder(path, device=CPU, dtype=torch.float32))


def loaded(folder: Path, tensors: Tensors) -> FaceEncoder:
    save_file(tensors, folder / "pulid.safetensors")
    return face_encoder(folder / "pulid.safetensors")


def faces(count: int, seed: int = 0) -> list[SeenFace]:
    rng = np.random.default_rng(seed)

    def some(*shape: int) -> NDArray[np.float32]:
        return rng.normal(0, 1, shape).astype(np.float32)

    return [
        SeenFace(some(1, EMBEDDING), [some(VIT_TOKENS, 20) for _ in range(5)]) for _ in range(count)
    ]


@pytest.mark.parametrize("form", ["published", "renamed", "renamed f16", "pickled"])
@pytest.mark.parametrize(("version", "name"), [(v1, "sdxl-v1"), (v1_1, "sdxl-v1.1")])
def test_sdxl_weights_are_known_in_every_form(
    tmp_path: Path, form: str, version: object, name: str
) -> None:
    tensors = version()  # type: ignore[operator]
    expected = loaded(tmp_path, tensors).tokens(faces(1), "mean")
    path = tmp_path / "other"
    if form.startswith("renamed"):
        dtype = np.float16 if form.endswith("f16") else np.float32
        save_file({renamed(key): value.astype(dtype) for key, value in tensors.items()}, path)
    elif form == "pickled":
        torch.save({key: torch.from_numpy(value) for key, value in tensors.items()}, path)
    else:
        save_file(tensors, path)
    encoder = face_encoder(path)
    assert encoder.encoder == name
    found = encoder.tokens(faces(1), "mean")
    scale = np.abs(expected).max()
    assert np.abs(found - expected).max() <= (0.02 * scale if "f16" in form else 0)


def test_sdxl_v1_1_gives_the_very_bits_of_flux_with_the_same_numbers(tmp_path: Path) -> None:
    (tmp_path / "flux").mkdir()
    flux = loaded(tmp_path / "flux", idformer_tensors(**IDFORMER))
    sdxl = loaded(tmp_path, v1_1())
    assert (flux.encoder, sdxl.encoder) == ("flux", "sdxl-v1.1")
    for fusion in ("idformer", "mean"):
        two = [encoder.tokens(faces(2), fusion) for encoder in (flux, sdxl)]
        assert np.array_equal(*two)
    nobody = [encoder.unconditional(2, "idformer", VIT_TOKENS) for encoder in (flux, sdxl)]
    assert np.array_equal(*nobody)


def test_v1_puts_photos_side_by_side(tmp_path: Path) -> None:
    encoder = loaded(tmp_path, v1())
    three = faces(3)
    first, second, third = (encoder.tokens([face], "concat") for face in three)
    assert first.shape == (10, 24)
    for fusion, count in (("concat", 5), ("mix", 10)):
        joined = encoder.tokens(three, fusion)  # type: ignore[arg-type]
        assert np.array_equal(joined, np.concatenate([first, second[:count], third[:count]]))
    mean = encoder.tokens(three, "mean")
    np.testing.assert_allclose(mean, (first + second + third) / 3, rtol=1e-5, atol=1e-6)
    # The first photo is the main one.
    assert not np.array_equal(encoder.tokens(three[::-1], "concat")[:10], first)


@pytest.mark.parametrize("fusion", ["concat", "mix", "mean"])
def test_nobody_of_v1_has_the_shape_of_somebody(tmp_path: Path, fusion: Fusion) -> None:
    encoder = loaded(tmp_path, v1())
    one = encoder.unconditional(1, fusion, VIT_TOKENS)
    zeros = SeenFace(
        np.zeros((1, EMBEDDING), np.float32), [np.zeros((VIT_TOKENS, 20), np.float32)] * 5
    )
    assert np.array_equal(one, encoder.tokens([zeros], fusion))
    assert np.abs(one).max() > 0.1, "biases make it something"
    three = encoder.unconditional(3, fusion, VIT_TOKENS)
    assert three.shape == encoder.tokens(faces(3), fusion).shape
    assert np.array_equal(three, encoder.tokens([zeros] * 3, fusion)) or fusion == "mean"


def test_nobody_of_an_idformer_is_one_photo_of_zeros(tmp_path: Path) -> None:
    encoder = loaded(tmp_path, v1_1())
    one, three = (encoder.unconditional(n, "idformer", VIT_TOKENS) for n in (1, 3))
    assert np.array_equal(one, three)


def test_an_idformer_has_nothing_to_put_side_by_side(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fusion concat is for PuLID v1 for SDXL"):
        loaded(tmp_path, v1_1()).tokens(faces(2), "concat")


def test_what_has_no_encoder_or_two_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="expected PuLID weights with their encoder"):
        loaded(tmp_path, ADAPTER)
    with pytest.raises(ModelFileError, match="parts of both"):
        loaded(tmp_path, idformer_tensors(**IDFORMER) | ADAPTER)
    both = mlp_encoder_tensors(**MLP) | idformer_tensors(**IDFORMER, prefix="id_adapter.")
    with pytest.raises(ModelFileError, match="without one that is known"):
        loaded(tmp_path, both)
    with pytest.raises(ModelFileError, match="its tensor latents is missing"):
        loaded(tmp_path, {"conv.weight": np.ones((4, 4), np.float32)})


def test_the_adapter_is_no_part_of_the_encoder(tmp_path: Path) -> None:
    save_file(v1(), tmp_path / "v1")
    found = read_encoder_tensors(tmp_path / "v1")
    assert len(found.tensors) == 110
    assert not any("attn_layers" in name for name in found.tensors)
