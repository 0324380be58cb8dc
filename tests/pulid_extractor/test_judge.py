"""The judge, on photos that the stand-in detector knows."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pulid_extractor import Judge, JudgedFace, head_mask
from pulid_extractor.faces import FaceFinder
from pulid_extractor.head_mask import HEAD_LABELS, box_head, parsed_head
from pulid_extractor.parsing_shape import BACKGROUND_LABELS
from pulid_extractor.photo import load_photo
from pulid_sdcpp.errors import ModelFileError
from standin.extractor.recogniser import recogniser_model

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def judge_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("judge") / "judge.onnx"
    path.write_bytes(recogniser_model(seed=1))
    return path


@pytest.fixture(scope="module")
def judge(models_dir: Path, judge_file: Path) -> Judge:
    return Judge(models_dir, judges=[judge_file], device="cpu")


def found(judge: Judge, pixels: Pixels) -> JudgedFace:
    face = judge.look(pixels)
    assert face is not None
    return face


def test_every_recogniser_sees_the_same_face_in_its_own_way(
    judge: Judge, models_dir: Path, judge_file: Path, astronaut: Pixels
) -> None:
    face = found(judge, astronaut)
    assert judge.recognisers == ("glintr100", "judge") == tuple(face.embeddings)
    folder = models_dir / "antelopev2"
    for name, path in (("glintr100", folder / "glintr100.onnx"), ("judge", judge_file)):
        finder = FaceFinder(folder / "scrfd_10g_bnkps.onnx", path)
        photo = load_photo(astronaut)
        (expected,) = finder.find(photo)
        np.testing.assert_array_equal(face.embeddings[name], finder.embed(photo, expected))
        assert face.box == expected.box
    assert np.abs(face.embeddings["glintr100"] - face.embeddings["judge"]).max() > 0.1


def test_no_face_is_none(judge: Judge) -> None:
    assert judge.look(np.full((128, 128, 3), 90, np.uint8)) is None


def test_of_several_faces_the_largest_is_judged(judge: Judge, astronaut: Pixels) -> None:
    """Two of the astronaut: as she is at the left, at half the size at the right."""
    small = astronaut[::2, ::2]
    both = np.full((512, 768, 3), astronaut[0, -1], np.uint8)
    both[:, :512] = astronaut
    both[256:, 512:] = small
    assert found(judge, both).box[2] < 400


def test_a_large_picture_is_judged_in_its_own_pixels(judge: Judge, astronaut: Pixels) -> None:
    large = astronaut.repeat(4, axis=0).repeat(4, axis=1)[:, :1999]
    face = found(judge, large)
    assert face.head.shape == large.shape[:2]
    alone = found(judge, astronaut)
    np.testing.assert_allclose(np.array(face.box) / 4, alone.box, atol=8)


def test_without_parser_and_tower_a_head_is_a_box_and_there_is_no_scene(
    models_dir: Path, tmp_path: Path, astronaut: Pixels
) -> None:
    shutil.copytree(models_dir / "antelopev2", tmp_path / "antelopev2")
    judge = Judge(tmp_path, device="cpu")
    assert not judge.parses_heads
    assert not judge.sees_scenes
    face = found(judge, astronaut)
    rows, columns = np.flatnonzero(face.head.any(axis=1)), np.flatnonzero(face.head.any(axis=0))
    left, top, right, bottom = face.box
    width, height = right - left, bottom - top
    # To the pixels whose middle is inside.
    assert columns[0] == pytest.approx(left - 0.3 * width, abs=1)
    assert columns[-1] + 1 == pytest.approx(right + 0.3 * width, abs=1)
    assert rows[0] == pytest.approx(top - 0.5 * height, abs=1)
    assert rows[-1] + 1 == pytest.approx(bottom + 0.2 * height, abs=1)
    assert judge.scene_embedding(astronaut, face.head) is None
    assert judge.read_attributes(astronaut) == {}
    assert judge.attribute_choices == {}


def test_a_parsed_head_lies_where_the_face_is(
    models_dir: Path, astronaut: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parser that marks where FFHQ has eyes: the mask must come back on the eyes."""
    folder = models_dir / "antelopev2"
    finder = FaceFinder(folder / "scrfd_10g_bnkps.onnx", folder / "glintr100.onnx")
    (face,) = finder.find(load_photo(astronaut))
    monkeypatch.setattr(head_mask, "MIN_FACE_SHARE", 0.0)
    seen = []

    def eyes(crop: object, parser: object) -> object:
        import torch

        labels = torch.zeros((1, 512, 512), dtype=torch.int64)
        labels[0, 230:250, 182:202] = 4  # around the template's (193, 240) and (319, 240)
        labels[0, 230:250, 309:329] = 5
        labels[0, 400:, :] = 14  # neck is no head
        seen.append(crop)
        return labels

    monkeypatch.setattr(head_mask, "face_labels", eyes)
    parser = Judge(models_dir, device="cpu")._parser
    assert parser is not None
    mask = parsed_head(astronaut, face, parser)
    assert len(seen) == 1
    ys, xs = np.nonzero(mask)
    middle = face.landmarks[:2].mean(axis=0)
    # The template's eyes fit those of a real face to a few of its pixels.
    assert (xs.mean(), ys.mean()) == (
        pytest.approx(middle[0], abs=6),
        pytest.approx(middle[1], abs=6),
    )
    for x, y in face.landmarks[:2]:
        assert mask[round(y), round(x)]
    assert not mask[int(face.landmarks[3:, 1].max()) :].any()


def test_a_parser_that_sees_no_face_is_not_believed(
    models_dir: Path, astronaut: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    background = torch.zeros((1, 512, 512), dtype=torch.int64)
    monkeypatch.setattr(head_mask, "face_labels", lambda crop, parser: background)
    face = found(Judge(models_dir, device="cpu"), astronaut)
    folder = models_dir / "antelopev2"
    finder = FaceFinder(folder / "scrfd_10g_bnkps.onnx", folder / "glintr100.onnx")
    (as_found,) = finder.find(load_photo(astronaut))
    np.testing.assert_array_equal(face.head, box_head((512, 512), as_found))


def test_head_and_background_labels_belong_together() -> None:
    # PuLID whitens ears, earrings and hats, which are parts of a head all the same.
    assert set(range(19)) - set(HEAD_LABELS) == set(BACKGROUND_LABELS) - {7, 8, 9, 18}


def test_a_scene_is_seen_without_its_head(judge: Judge, astronaut: Pixels) -> None:
    head = np.zeros((512, 512), bool)
    head[70:190, 170:280] = True
    other_head = astronaut.copy()
    other_head[head] = 255 - other_head[head]
    other_scene = astronaut.copy()
    other_scene[~head] = 255 - other_scene[~head]
    same, changed = (judge.scene_embedding(p, head) for p in (other_head, other_scene))
    scene = judge.scene_embedding(astronaut, head)
    assert scene is not None
    assert same is not None
    assert changed is not None
    assert np.linalg.norm(scene) == pytest.approx(1, abs=1e-5)
    np.testing.assert_array_equal(scene, same)
    assert scene @ changed < 0.999


def test_two_recognisers_of_one_name_are_refused(models_dir: Path) -> None:
    again = models_dir / "antelopev2" / "glintr100.onnx"
    with pytest.raises(ValueError, match="two recognisers are called glintr100"):
        Judge(models_dir, judges=[again], device="cpu")


def test_what_is_missing_is_named(models_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"scrfd_10g_bnkps\.onnx is missing"):
        Judge(tmp_path, device="cpu")
    with pytest.raises(ModelFileError, match="expected the models folder"):
        Judge(tmp_path / "absent", device="cpu")
    with pytest.raises(ModelFileError, match=r"absent\.onnx"):
        Judge(models_dir, judges=[tmp_path / "absent.onnx"], device="cpu")
