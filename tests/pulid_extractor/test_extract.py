"""The pipeline, from a photo to an identity."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from pulid_extractor import Face, FoundFace, IdentityExtractor, extract_identity
from pulid_extractor.align import ffhq_crop
from pulid_extractor.clip_picture import clip_picture
from pulid_extractor.photo import load_photo
from pulid_extractor.retinaface import RetinaFaceFinder
from pulid_extractor.torch_networks import load_torch_encoder
from pulid_sdcpp.errors import (
    FaceNotFoundError,
    FaceNotThereError,
    ImageFileError,
    ModelFileError,
    ModelMismatchError,
)
from pulid_sdcpp.identity.identity_file import Identity
from standin.extractor.networks import idformer_tensors
from standin.sdxl_pulid import mlp_encoder_tensors

CPU = torch.device("cpu")


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float((a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.fixture(scope="module")
def astronaut_identity(extractor: IdentityExtractor, astronaut: NDArray[np.uint8]) -> Identity:
    return extractor.extract(astronaut)


@pytest.fixture(scope="module")
def six(extractor: IdentityExtractor, t1_path: Path) -> list[Identity]:
    return [extractor.extract(t1_path, face=index) for index in range(6)]


def test_shapes_and_numbers(astronaut_identity: Identity) -> None:
    for tokens in (astronaut_identity.tokens, astronaut_identity.uncond_tokens):
        assert tokens is not None
        assert tokens.shape == (32, 2048)
        assert tokens.dtype == np.float32
        assert 0.3 < tokens.std() < 3


def test_is_its_stages_in_order(
    extractor: IdentityExtractor, astronaut: NDArray[np.uint8], astronaut_identity: Identity
) -> None:
    """Put together here from the stages, as DESIGN lists them, with the loops of the formulas."""
    photo = load_photo(astronaut)
    (face,) = extractor.find_faces(astronaut)
    recognised = extractor._reader.faces.embed(photo, face)
    crop = ffhq_crop(photo.pixels, face.landmarks).astype(np.float32) / 255
    normalised = (crop - (0.485, 0.456, 0.406)) / np.array([0.229, 0.224, 0.225])
    chw = torch.from_numpy(normalised.astype(np.float32).transpose(2, 0, 1)[None])
    labels = extractor._networks.parser.network(chw).argmax(dim=1)[0].numpy()
    grey = crop @ np.array([0.299, 0.587, 0.114], np.float32)
    grey[np.isin(labels, [0, 7, 8, 9, 14, 15, 16, 18])] = 1
    side = extractor._networks.tower.shape.image_px
    small = F.interpolate(torch.from_numpy(grey)[None, None], (side, side), mode="bicubic")
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
    clip, hidden = extractor._networks.tower.network((small.expand(1, 3, side, side) - mean) / std)
    embedding = torch.cat([torch.from_numpy(recognised), clip[0]])[None, None]
    expected = extractor._encoder.network.network(embedding, hidden)[0].numpy()
    difference = np.abs(astronaut_identity.tokens - expected).max() / np.abs(expected).max()
    print(f"relative difference {difference:.1e}")
    assert difference < 1e-4


def test_unconditional_is_the_idformer_of_zeros(
    extractor: IdentityExtractor, models_dir: Path, astronaut_identity: Identity
) -> None:
    _, loaded = load_torch_encoder(
        models_dir / "pulid_flux_v0.9.1.safetensors", device=CPU, dtype=torch.float32
    )
    network = loaded.network
    tokens = 1 + extractor._networks.tower.shape.grid**2
    blank = torch.zeros(1, tokens, network.shape.vit_dim)
    expected = network(torch.zeros(1, 1, network.shape.embedding_dim), [blank] * 5)[0].numpy()
    assert astronaut_identity.uncond_tokens is not None
    np.testing.assert_allclose(astronaut_identity.uncond_tokens, expected, atol=1e-5)
    assert cosine(astronaut_identity.tokens, astronaut_identity.uncond_tokens) < 0.95


def test_six_faces_are_six_people(six: list[Identity], astronaut_identity: Identity) -> None:
    people = [*six, astronaut_identity]
    assert len({identity.sha256 for identity in people}) == 7
    likeness = [cosine(a.tokens, b.tokens) for i, a in enumerate(people) for b in people[:i]]
    print(f"cosine between people {min(likeness):.2f} to {max(likeness):.2f}")
    assert max(likeness) < 0.9
    boxes = [identity.metadata["face_box"] for identity in six]
    lefts = [box[0] for box in boxes]  # type: ignore[index]
    assert lefts == sorted(lefts)


def test_the_same_face_in_another_form_is_closer_than_another_face(
    extractor: IdentityExtractor, astronaut: NDArray[np.uint8], six: list[Identity],
    astronaut_identity: Identity,
) -> None:  # fmt: skip
    brighter = np.clip(astronaut.astype(int) + 12, 0, 255).astype(np.uint8)
    same = cosine(extractor.extract(brighter).tokens, astronaut_identity.tokens)
    others = max(cosine(other.tokens, astronaut_identity.tokens) for other in six)
    print(f"brighter {same:.2f}, others at most {others:.2f}")
    assert same > others


def test_selection_by_word(
    extractor: IdentityExtractor, t1_path: Path, six: list[Identity]
) -> None:
    assert extractor.extract(t1_path, face="left").sha256 == six[0].sha256
    assert extractor.extract(t1_path, face="right").sha256 == six[5].sha256
    found = extractor.find_faces(t1_path)
    largest = max(range(6), key=lambda index: found[index].area)
    assert extractor.extract(t1_path).sha256 == six[largest].sha256
    # The third face stands at (520, 339) and the fourth at (800, 410) of 1280 x 886.
    assert extractor.extract(t1_path, face="center").sha256 in (six[2].sha256, six[3].sha256)
    assert len(extractor.find_faces(t1_path)) == 6


def test_selection_by_box_is_in_pixels_of_the_photo_as_given(
    extractor: IdentityExtractor, t1_path: Path, six: list[Identity], tmp_path: Path
) -> None:
    for person in six:
        left, top, right, bottom = person.metadata["face_box"]  # type: ignore[misc]
        box = (left, top, right - left, bottom - top)
        assert extractor.extract(t1_path, face=box).sha256 == person.sha256
    # Turned by its EXIF, as viewers show it: the fourth face stands at (800, 410) of 1280 x 886.
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = tmp_path / "turned.png"
    with Image.open(t1_path) as photo:
        photo.convert("RGB").transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
    assert extractor.extract(turned, face=(750, 350, 100, 120)).sha256 == six[3].sha256
    with pytest.raises(FaceNotThereError, match=r"turned\.png: no face in the box 0,700,60,60"):
        extractor.extract(turned, face=(0, 700, 60, 60))


def test_same_photo_gives_the_same_identity(
    models_dir: Path, astronaut: NDArray[np.uint8], astronaut_identity: Identity
) -> None:
    again = extract_identity(astronaut, models_dir, device="cpu", dtype="fp32")
    np.testing.assert_allclose(again.tokens, astronaut_identity.tokens, atol=1e-4)


def test_several_photos_of_one_person(
    extractor: IdentityExtractor, t1_path: Path, six: list[Identity]
) -> None:
    photo = load_photo(t1_path).pixels
    turned = np.ascontiguousarray(photo[:, ::-1])
    both = extractor.extract([photo, turned])
    assert both.tokens.shape == (32, 2048)
    assert both.sha256 not in {identity.sha256 for identity in six}
    # The IDFormer's queries do not know the photos' order: only that of the tokens they read.
    other_way = extractor.extract([turned, photo])
    np.testing.assert_allclose(both.tokens, other_way.tokens, atol=1e-3)
    hashes = str(both.metadata["source_sha256"]).split(",")
    assert len(hashes) == 2
    assert all(len(part) == 64 for part in hashes)
    with pytest.raises(ValueError, match="at least one photo"):
        extractor.extract([])


def test_the_mean_is_that_of_the_photos_own_identities(
    extractor: IdentityExtractor, t1_path: Path, astronaut: NDArray[np.uint8],
    astronaut_identity: Identity, six: list[Identity],
) -> None:  # fmt: skip
    mean = extractor.extract([astronaut, t1_path], face="left", fusion="mean")
    alone = [astronaut_identity, six[0]]
    np.testing.assert_allclose(
        mean.tokens, np.mean([identity.tokens for identity in alone], axis=0), atol=1e-5
    )
    assert mean.uncond_tokens is not None
    uncond = [identity.uncond_tokens for identity in alone]
    np.testing.assert_allclose(mean.uncond_tokens, np.mean(uncond, axis=0), atol=1e-5)  # type: ignore[arg-type]
    together = extractor.extract([astronaut, t1_path], face="left")
    assert [each.metadata["fusion"] for each in (mean, together)] == ["mean", "idformer"]
    assert -1 <= float(mean.metadata["agreement"]) <= 1  # type: ignore[arg-type]
    assert np.abs(together.tokens - mean.tokens).max() > 0.01
    assert extractor.extract([astronaut], fusion="mean").sha256 == astronaut_identity.sha256
    with pytest.raises(ValueError, match="fusion 'median': expected auto, idformer"):
        extractor.extract(astronaut, fusion="median")  # type: ignore[arg-type]


def test_metadata(
    models_dir: Path, extractor: IdentityExtractor, t1_path: Path, six: list[Identity]
) -> None:
    metadata = six[2].metadata
    assert metadata["source_sha256"] == hashlib.sha256(t1_path.read_bytes()).hexdigest()
    weights = (models_dir / "pulid_flux_v0.9.1.safetensors").read_bytes()
    assert metadata["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    # In pixels of the photo as it is, 1280 wide: the third face stands at (520, 339).
    left, top, right, bottom = metadata["face_box"]  # type: ignore[misc]
    assert left < 520 < right
    assert top < 339 < bottom
    assert 0.5 < float(metadata["detection_score"]) <= 1  # type: ignore[arg-type]
    assert metadata["aligner"] == "insightface"
    assert set(metadata) == {"aligner", "created", "detection_score", "engine",
                             "extractor_version", "face_box", "photo_warnings", "source_sha256",
                             "weights_sha256"}  # fmt: skip
    assert [warning.code for warning in six[2].photo_warnings] == ["small_face"]  # 77 of 112 pixels


def test_created_respects_source_date_epoch(
    extractor: IdentityExtractor, astronaut: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert extractor.extract(astronaut).metadata["created"] == "2023-11-14T22:13:20Z"


def test_goes_through_a_file(tmp_path: Path, astronaut_identity: Identity) -> None:
    astronaut_identity.save(tmp_path / "astronaut.pulidembd")
    loaded = Identity.load(tmp_path / "astronaut.pulidembd")
    assert loaded.sha256 == astronaut_identity.sha256
    assert loaded.metadata == astronaut_identity.metadata
    assert loaded.uncond_tokens is not None


def test_bf16_is_near_fp32(
    models_dir: Path, astronaut: NDArray[np.uint8], astronaut_identity: Identity
) -> None:
    half = IdentityExtractor(models_dir, device="cpu", dtype="bf16")
    assert (half.device, half.dtype) == ("cpu", "bf16")
    tokens = half.extract(astronaut).tokens
    likeness = cosine(tokens, astronaut_identity.tokens)
    print(f"cosine of bf16 to fp32: {likeness:.5f}")
    assert likeness > 0.99
    assert np.abs(tokens - astronaut_identity.tokens).max() > 0, "was it computed in fp32?"


def test_zoo_of_photos_of_one_face(
    extractor: IdentityExtractor, astronaut: NDArray[np.uint8], astronaut_identity: Identity,
    tmp_path: Path,
) -> None:  # fmt: skip
    """The astronaut as CMYK, turned, transparent, 16-bit ...: a face each time, much the same."""
    picture = Image.fromarray(astronaut)
    grey16 = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = picture.copy()
    rgba.putalpha(255)
    saves = {
        "cmyk.jpg": (picture.convert("CMYK"), {"quality": 95}),
        "turned.jpg": (picture.transpose(Image.Transpose.ROTATE_90), {"exif": exif}),
        "rgba.png": (rgba, {}),
        "grey.png": (picture.convert("L"), {}),
        "grey16.png": (Image.fromarray(grey16), {}),
        "animated.webp": (picture, {"save_all": True, "append_images": [rgba.convert("L")]}),
    }
    for name, (image, options) in saves.items():
        image.save(tmp_path / name, **options)
        identity = extractor.extract(tmp_path / name)
        likeness = cosine(identity.tokens, astronaut_identity.tokens)
        print(f"{name}: {likeness:.3f}")
        # ArcFace sees colour, so grey ones differ more.
        assert likeness > (0.6 if name.startswith("grey") else 0.85), name


def test_a_photo_without_a_face_is_named(extractor: IdentityExtractor, tmp_path: Path) -> None:
    Image.new("RGB", (200, 200), "white").save(tmp_path / "wall.png")
    with pytest.raises(FaceNotFoundError, match=r"wall\.png: no face found \(tried"):
        extractor.extract(tmp_path / "wall.png")


def test_a_face_that_is_not_there_names_the_photo(
    extractor: IdentityExtractor, t1_path: Path
) -> None:
    with pytest.raises(FaceNotThereError, match=r"t1\.jpg: face 6 was asked for"):
        extractor.extract(t1_path, face=6)


def test_one_bad_photo_of_several_is_named(
    extractor: IdentityExtractor, t1_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_text("no photo")
    with pytest.raises(ImageFileError, match=r"bad\.jpg"):
        extractor.extract([t1_path, tmp_path / "bad.jpg"])


def test_weights_that_do_not_fit_together_are_refused(
    models_dir: Path, tmp_path: Path, astronaut: NDArray[np.uint8]
) -> None:
    path = tmp_path / "pulid.safetensors"
    save_file(idformer_tensors(vit_dim=64), path)
    with pytest.raises(ModelMismatchError, match=r"width 64, found width 128 in .*EVA02"):
        IdentityExtractor(models_dir, pulid_weights=path, device="cpu")
    save_file(idformer_tensors(clip_dim=20), path)
    other = IdentityExtractor(models_dir, pulid_weights=path, device="cpu")
    with pytest.raises(ModelMismatchError, match="expected embeddings of 532, found 512 of"):
        other.extract(astronaut)


def test_damaged_weights_do_not_give_an_identity(
    models_dir: Path, tmp_path: Path, astronaut: NDArray[np.uint8]
) -> None:
    tensors = idformer_tensors()
    tensors["pulid_encoder.proj_out"][3, 4] = np.nan
    save_file(tensors, tmp_path / "pulid.safetensors")
    damaged = IdentityExtractor(
        models_dir, pulid_weights=tmp_path / "pulid.safetensors", device="cpu"
    )
    with pytest.raises(ModelFileError, match=r"pulid\.safetensors: the identity .* not finite"):
        damaged.extract(astronaut)


def test_a_damaged_vision_tower_is_named(
    models_dir: Path, tmp_path: Path, astronaut: NDArray[np.uint8]
) -> None:
    tensors = torch.load(models_dir / "EVA02_CLIP_L_336_psz14_s6B.pt", weights_only=True)
    tensors["visual.blocks.2.mlp.w1.weight"][3, 4] = np.nan
    torch.save(tensors, tmp_path / "eva.pt")
    damaged = IdentityExtractor(models_dir, eva=tmp_path / "eva.pt", device="cpu")
    with pytest.raises(ModelFileError, match=r"eva\.pt: the CLIP embedding .* not finite"):
        damaged.extract(astronaut)


def test_which_face_was_taken_is_told_photo_by_photo(
    extractor: IdentityExtractor, astronaut: NDArray[np.uint8], t1_path: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "astronaut.png"
    Image.fromarray(astronaut).save(alone)
    told: list[FoundFace] = []
    identity = extractor.extract([t1_path, alone], face="left", on_face=told.append)
    assert [found.photo for found in told] == [str(t1_path), str(alone)]
    assert [(found.index, found.n_faces) for found in told] == [(0, 6), (0, 1)]
    assert told[0].box == identity.metadata["face_box"]
    # In pixels of the photo as given, 1280 wide: the leftmost face stands at (115, 327).
    left, top, right, bottom = told[0].box
    assert left < 115 < right
    assert top < 327 < bottom
    extractor.extract(t1_path, face=4, on_face=told.append)
    assert told[-1].index == 4


def test_other_aligners_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'dlib': expected insightface or retinaface"):
        IdentityExtractor(tmp_path / "absent", aligner="dlib")


def test_what_the_aligner_retinaface_needs_is_named(models_dir: Path) -> None:
    with pytest.raises(ModelFileError, match=r"missing model files: detection_Resnet50_Final\.pth"):
        IdentityExtractor(models_dir, device="cpu", aligner="retinaface")


class OtherDetector:
    """Sees the faces it is told to, wherever it looks."""

    def __init__(self, faces: list[Face]) -> None:
        self.find = lambda photo: faces
        self.same_face = partial(RetinaFaceFinder.same_face, self)  # type: ignore[arg-type]


def test_the_aligners_landmarks_are_those_of_the_same_person(
    extractor: IdentityExtractor, t1_path: Path, six: list[Identity],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Group photo: the reference takes ArcFace of one face and the crop of another."""
    shifted = [
        Face(face.box, 0.99, face.landmarks + np.float32(2))
        for face in extractor.find_faces(t1_path)
    ]
    monkeypatch.setattr(extractor._reader, "retinaface", OtherDetector(shifted[::-1]))
    for index in range(6):
        tokens = extractor.extract(t1_path, face=index).tokens
        likeness = [cosine(tokens, person.tokens) for person in six]
        assert int(np.argmax(likeness)) == index
        assert likeness[index] < 1 - 1e-6, "the crop should have moved"
    # It misses the third face: another one is not taken instead.
    monkeypatch.setattr(extractor._reader, "retinaface", OtherDetector(shifted[:2] + shifted[3:]))
    extractor.extract(t1_path, face=3)
    with pytest.raises(FaceNotFoundError, match=r"t1\.jpg: the two detectors disagree: insight"):
        extractor.extract(t1_path, face=2)


def test_missing_weights_are_listed(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"missing model files: .*scrfd.*glintr.*EVA02"):
        IdentityExtractor(tmp_path, device="cpu")


def test_nothing_is_printed(
    models_dir: Path, t1_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    extract_identity(t1_path, models_dir, device="cpu")
    assert capfd.readouterr() == ("", "")


def test_clip_picture_does_not_antialias() -> None:
    """A checkerboard of single pixels stays one; antialiasing would leave grey."""
    y, x = np.mgrid[0:512, 0:512]
    board = torch.from_numpy(((x + y) % 2).astype(np.float32)).expand(1, 3, 512, 512)
    small = clip_picture(board, 336)
    assert small.shape == (1, 3, 336, 336)
    assert small[0, 0].std() * 0.26862954 > 0.2
    plain = clip_picture(torch.full((1, 3, 64, 64), 0.5), 32)
    np.testing.assert_allclose(
        plain[0, :, 0, 0].numpy(),
        [(0.5 - 0.48145466) / 0.26862954, (0.5 - 0.4578275) / 0.26130258,
         (0.5 - 0.40821073) / 0.27577711],
        rtol=1e-4,
    )  # fmt: skip


@pytest.fixture(scope="module")
def sdxl_v1(models_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> IdentityExtractor:
    path = tmp_path_factory.mktemp("sdxl") / "pulid_v1.safetensors"
    save_file(mlp_encoder_tensors(id_dim=2048), path)
    return IdentityExtractor(models_dir, pulid_weights=path, device="cpu")


def test_identities_for_sdxl_v1(
    sdxl_v1: IdentityExtractor, t1_path: Path, astronaut: NDArray[np.uint8]
) -> None:
    assert sdxl_v1.encoder == "sdxl-v1"
    alone = [sdxl_v1.extract(photo, face="left") for photo in (astronaut, t1_path)]
    for identity in alone:
        assert identity.encoder == "sdxl-v1"
        assert "fusion" not in identity.metadata
        assert identity.tokens.shape == (10, 2048)
        assert identity.uncond_tokens is not None
    assert alone[0].sha256 != alone[1].sha256
    np.testing.assert_array_equal(alone[0].uncond_tokens, alone[1].uncond_tokens)  # type: ignore[arg-type]
    both = sdxl_v1.extract([astronaut, t1_path], face="left")
    assert both.metadata["fusion"] == "concat"
    first, second = (identity.tokens for identity in alone)
    np.testing.assert_array_equal(both.tokens, np.concatenate([first, second[:5]]))
    nobody = alone[0].uncond_tokens
    assert nobody is not None
    np.testing.assert_array_equal(both.uncond_tokens, np.concatenate([nobody, nobody[:5]]))  # type: ignore[arg-type]
    assert sdxl_v1.extract([astronaut, t1_path], face="left", fusion="mix").n_tokens == 20
    mean = sdxl_v1.extract([astronaut, t1_path], face="left", fusion="mean")
    np.testing.assert_allclose(mean.tokens, (first + second) / 2, atol=1e-5)
    with pytest.raises(ValueError, match="idformer: PuLID v1 for SDXL joins photos by concat, mix"):
        sdxl_v1.extract([astronaut, t1_path], face="left", fusion="idformer")


def test_v1_1_for_sdxl_gives_the_numbers_of_flux_under_its_own_name(
    models_dir: Path, tmp_path: Path, extractor: IdentityExtractor, astronaut: NDArray[np.uint8],
    astronaut_identity: Identity,
) -> None:  # fmt: skip
    path = tmp_path / "pulid_v1.1.safetensors"
    save_file(idformer_tensors(prefix="id_adapter."), path)
    found = IdentityExtractor(models_dir, pulid_weights=path, device="cpu").extract(astronaut)
    assert (found.encoder, astronaut_identity.encoder) == ("sdxl-v1.1", "flux")
    np.testing.assert_allclose(found.tokens, astronaut_identity.tokens, atol=1e-5)
    with pytest.raises(ValueError, match="concat: PuLID for Flux joins photos by idformer or mean"):
        extractor.extract([astronaut, astronaut], fusion="concat")
