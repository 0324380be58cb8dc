"""Aligned crops, against the geometry they are defined by."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.transform import SimilarityTransform

from pulid_extractor.align import (
    ARCFACE_TEMPLATE,
    FFHQ_TEMPLATE,
    arcface_crop,
    ffhq_crop,
    similarity,
)
from pulid_sdcpp.errors import FaceNotFoundError


def moved(template: NDArray[np.float64], scale: float, angle: float) -> NDArray[np.float64]:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (template - template.mean(axis=0)) @ turn.T + (310, 270)


@pytest.mark.parametrize(("scale", "angle"), [(0.5, 0.0), (0.8, 0.4), (1.3, -0.9)])
@pytest.mark.parametrize("crop", ["ffhq", "arcface"])
def test_landmarks_come_to_the_template(crop: str, scale: float, angle: float) -> None:
    """Five coloured discs on the landmarks are found in the crop where the template says."""
    template = FFHQ_TEMPLATE if crop == "ffhq" else ARCFACE_TEMPLATE
    size_factor = scale if crop == "ffhq" else scale * 4
    landmarks = moved(template, size_factor, angle)
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]
    photo = np.full((600, 620, 3), 90, np.uint8)
    for (x, y), colour in zip(landmarks.round().astype(int), colours, strict=True):
        cv2.circle(photo, (int(x), int(y)), 9, colour, -1)
    cropped = (ffhq_crop if crop == "ffhq" else arcface_crop)(photo, landmarks.astype(np.float32))
    side = 512 if crop == "ffhq" else 112
    assert cropped.shape == (side, side, 3)
    for (x, y), colour in zip(template, colours, strict=True):
        rows, columns = np.nonzero((np.abs(cropped.astype(int) - colour) < 60).all(axis=2))
        assert abs(columns.mean() - x) < 1.5
        assert abs(rows.mean() - y) < 1.5


def test_outside_the_photo_is_facexlibs_grey() -> None:
    """It gives (135, 133, 132) for a BGR picture; ours is RGB."""
    landmarks = (FFHQ_TEMPLATE - 250).astype(np.float32)
    crop = ffhq_crop(np.zeros((300, 300, 3), np.uint8), landmarks)
    assert tuple(crop[0, 0]) == (132, 133, 135)
    assert tuple(crop[400, 400]) == (0, 0, 0)


def test_similarity_is_umeyamas() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        source = rng.normal(0, 50, (5, 2))
        target = moved(source, 1.7, rng.uniform(-3, 3)) + rng.normal(0, 4, (5, 2))
        expected = SimilarityTransform.from_estimate(source, target).params[:2]
        np.testing.assert_allclose(similarity(source, target), expected, rtol=1e-9, atol=1e-9)


def test_landmarks_on_one_point_are_no_face() -> None:
    photo = np.zeros((64, 64, 3), np.uint8)
    for crop in (ffhq_crop, arcface_crop):
        with pytest.raises(FaceNotFoundError, match="lie on one point"):
            crop(photo, np.full((5, 2), 30, np.float32))
