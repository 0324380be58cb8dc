"""Our ArcFace crop against insightface's own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import ModuleType

import numpy as np
import skimage.data

from pulid_extractor.align import ARCFACE_TEMPLATE, arcface_crop


def test_crop_agrees(library: Callable[[str], ModuleType]) -> None:
    face_align = library("insightface.utils.face_align")
    rgb = skimage.data.astronaut()
    rng = np.random.default_rng(0)
    greatest = 0
    for _ in range(20):
        landmarks = ARCFACE_TEMPLATE * rng.uniform(0.8, 3) + rng.uniform(0, 150, 2)
        landmarks = (landmarks + rng.normal(0, 3, landmarks.shape)).astype(np.float32)
        with warnings.catch_warnings():
            # scikit-image 0.26 deprecates the `estimate` that insightface calls.
            warnings.simplefilter("ignore")
            expected = face_align.norm_crop(rgb, landmarks).astype(int)
        found = arcface_crop(rgb, landmarks).astype(int)
        greatest = max(greatest, np.abs(found - expected).max())
    print(f"ArcFace crop: {greatest}")
    # The matrices agree to rounding; a rare pixel may round the other way.
    assert greatest <= 1
