"""What is said of photos that may make a bad identity, on drawn faces and on computed ones."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from pocket.portraits.draw import draw_portrait
from pocket.portraits.people import sample_person
from pocket.portraits.scenes import sample_scene
from pulid_extractor.align import ARCFACE_TEMPLATE, arcface_crop
from pulid_extractor.faces import Face, FaceFinder
from pulid_extractor.photo import Photo, load_photo
from pulid_extractor.photo_checks import (
    MAX_TURN_DEGREES,
    MIN_SHARPNESS,
    agreement,
    different_people,
    face_warnings,
    sharpness,
    turn_degrees,
)
from pulid_sdcpp import pocket_files

NAMES = ("alba", "edna", "mila", "omar", "rose", "rufus")


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    files = pocket_files()
    return FaceFinder(files.detector, files.models_dir / "antelopev2" / "glintr100.onnx")


def portrait(name: str) -> Image.Image:
    path = pocket_files().models_dir / "portraits" / f"{name}.png"
    return Image.open(path).convert("RGB")


def found(finder: FaceFinder, picture: Image.Image, choice: str = "largest") -> dict[str, float]:
    """The warnings' values by their codes."""
    photo = load_photo(picture)
    faces = finder.find(photo)
    face = max(faces, key=lambda face: face.area)
    warnings = face_warnings(photo, face, faces, choice, 1)  # type: ignore[arg-type]
    return {warning.code: warning.value for warning in warnings}


def blurred(picture: Image.Image, radius_px: float) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(radius_px))


@pytest.mark.parametrize("name", NAMES)
def test_of_a_good_portrait_nothing_is_said(finder: FaceFinder, name: str) -> None:
    assert found(finder, portrait(name)) == {}


def test_a_small_face_is_said_with_its_size(finder: FaceFinder) -> None:
    rose = portrait("rose")  # the face is 182 pixels wide
    assert found(finder, rose.resize((260, 260))) == {}
    for side_px in (192, 64):
        measured = found(finder, rose.resize((side_px, side_px)))
        assert measured == {"small_face": pytest.approx(182 * side_px / 384, abs=3)}


@pytest.mark.parametrize("name", ["alba", "mila"])
def test_a_blurred_face_is_said(finder: FaceFinder, name: str) -> None:
    measured = found(finder, blurred(portrait(name), 6))
    assert measured["blurred_face"] < MIN_SHARPNESS
    assert "blurred_face" not in found(finder, blurred(portrait(name), 2))


def test_of_several_faces_the_largest_is_said_unless_chosen(finder: FaceFinder) -> None:
    both = Image.new("RGB", (768, 384))
    both.paste(portrait("rose"), (0, 0))
    both.paste(portrait("omar"), (384, 0))
    assert found(finder, both) == {"several_faces": 2}
    assert found(finder, both, "left") == {}


def test_sharpness_is_of_neither_size_nor_contrast() -> None:
    chance = np.random.default_rng(1)
    crop = chance.integers(0, 256, (112, 112, 3), np.uint8)
    assert sharpness(crop) == pytest.approx(20, rel=0.2)  # noise: 4^2 + 4, by the kernel
    assert sharpness(crop // 4 + 100) == pytest.approx(sharpness(crop), rel=0.1)
    squares = np.kron(chance.integers(0, 2, (8, 8)), np.full((14, 14), 200)).astype(np.uint8)
    drawn = Image.fromarray(squares).convert("RGB")
    falling = [sharpness(np.asarray(blurred(drawn, radius))) for radius in (0.5, 1, 2, 4)]
    assert falling == sorted(falling, reverse=True)
    assert sharpness(np.full((112, 112, 3), 7, np.uint8)) == 0


def head(turn: float, tilt: float = 0.0, nod: float = 0.0) -> NDArray[np.float32]:
    """Landmarks of a head seen from far: eyes, nose, mouth; nodding, turned, then tilted."""
    points = np.array([[-1, -1, 0], [1, -1, 0], [0, 0.1, 0.8], [-0.8, 1, 0], [0.8, 1, 0]])
    a, b, c = (math.radians(angle) for angle in (turn, nod, tilt))
    y = np.array([[math.cos(a), 0, math.sin(a)], [0, 1, 0], [-math.sin(a), 0, math.cos(a)]])
    x = np.array([[1, 0, 0], [0, math.cos(b), -math.sin(b)], [0, math.sin(b), math.cos(b)]])
    z = np.array([[math.cos(c), -math.sin(c), 0], [math.sin(c), math.cos(c), 0], [0, 0, 1]])
    return (100 + 40 * (points @ x.T @ y.T @ z.T)[:, :2]).astype(np.float32)


@pytest.mark.parametrize("turn", [-75, -41, -20, 0, 10, 39, 60, 80])
@pytest.mark.parametrize(("tilt", "nod"), [(0, 0), (30, 0), (-90, 0), (0, 20), (170, -20)])
def test_a_turned_head_is_measured_however_it_is_tilted(
    turn: float, tilt: float, nod: float
) -> None:
    assert turn_degrees(head(turn, tilt, nod)) == pytest.approx(abs(turn), abs=4 if nod else 0.1)


def test_landmarks_that_are_none_are_turned_away() -> None:
    assert turn_degrees(np.zeros((5, 2), np.float32)) == 90
    assert turn_degrees(ARCFACE_TEMPLATE.astype(np.float32)) < 3


def test_drawn_faces_turn_away_too() -> None:
    chance = np.random.default_rng(0)
    person, scene = sample_person(chance), sample_scene(chance)
    turns = [
        turn_degrees(draw_portrait(person, dataclasses.replace(scene, yaw=yaw), 96).landmarks)
        for yaw in (0, 0.03, 0.06, 0.12)
    ]
    assert turns == sorted(turns)
    assert turns[0] < 2
    assert turns[2] < MAX_TURN_DEGREES < turns[3]


def test_a_turned_face_and_an_unsure_detector_are_said() -> None:
    chance = np.random.default_rng(0)
    drawn = draw_portrait(sample_person(chance), sample_scene(chance), 384).pixels
    photo = Photo(drawn, "a.png", "", 1.0)
    face = Face((100, 100, 300, 300), 0.55, head(50) + 92)
    codes = [warning.code for warning in face_warnings(photo, face, [face], 0, 3)]
    assert codes[-2:] == ["turned_face", "unsure_face"]
    assert arcface_crop(drawn, face.landmarks).shape == (112, 112, 3)


def embedding(*cosines: float) -> NDArray[np.float32]:
    """One whose first numbers are these, of length 3."""
    rest = math.sqrt(1 - sum(each * each for each in cosines))
    return 3 * np.array([*cosines, rest, *[0] * (4 - len(cosines))], np.float32)


A, B = np.eye(6)[4].astype(np.float32), np.eye(6)[5].astype(np.float32)


def also(person: NDArray[np.float32], near: float) -> NDArray[np.float32]:
    other = np.zeros(6, np.float32)
    other[0] = math.sqrt(1 - near * near)
    return near * person + other


@pytest.mark.parametrize(
    ("embeddings", "expected"),
    [
        ([A], []),
        ([A, A], []),
        ([A, also(A, 0.21)], []),
        ([A, also(A, 0.19)], [((2,), 0.19)]),
        ([A, A, B], [((3,), 0.0)]),
        ([B, A, A], [((1,), 0.0)]),
        ([A, B, A, B], [((2, 4), 0.0)]),  # of two with as many, the first is the person
        ([A, B, B, A, B], [((1, 4), 0.0)]),
        ([A, also(A, 0.5), also(A, 0.5) - 0.5 * A], []),  # a chain of pairs
    ],
)
def test_who_is_somebody_else(
    embeddings: list[NDArray[np.float32]], expected: list[tuple[tuple[int, ...], float]]
) -> None:
    warnings = different_people([5 * each for each in embeddings])
    assert [(each.photos, pytest.approx(each.value)) for each in warnings] == expected


def test_two_drawn_people_are_told_apart(finder: FaceFinder) -> None:
    def embedded(picture: Image.Image) -> NDArray[np.float32]:
        photo = load_photo(picture)
        (face,) = finder.find(photo)
        return finder.embed(photo, face)

    rose = portrait("rose")
    same = [embedded(rose), embedded(blurred(rose, 3)), embedded(rose.resize((200, 200)))]
    assert different_people(same) == []
    assert agreement(same) > 0.8
    (warning,) = different_people([*same, embedded(portrait("omar"))])
    assert (warning.code, warning.photos) == ("different_people", (4,))
    assert agreement([*same, embedded(portrait("omar"))]) < 0.2
