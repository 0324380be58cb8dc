"""Our face parser and aligned crop against facexlib's, on random weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import skimage.data
import torch

from pulid_extractor.align import FFHQ_BORDER_BGR, FFHQ_TEMPLATE, ffhq_crop
from pulid_extractor.parsing import face_only, load_parsing

Library = Callable[[str], ModuleType]
CPU = torch.device("cpu")


@pytest.fixture
def parser(library: Library) -> torch.nn.Module:
    """facexlib's BiSeNet, with statistics in its batch norms that do something."""
    bisenet = library("facexlib.parsing.bisenet")
    torch.manual_seed(0)
    network = bisenet.BiSeNet(num_class=19)
    for name, value in network.state_dict().items():
        if "running_var" in name:
            value.uniform_(0.5, 2.0)
        elif "running_mean" in name or ("bn" in name and name.endswith("bias")):
            value.normal_(0, 0.2)
        elif "bn" in name and name.endswith("weight"):
            value.uniform_(0.5, 1.5)
    return network.eval()


def test_parser_agrees(parser: torch.nn.Module, tmp_path: Path) -> None:
    torch.save(parser.state_dict(), tmp_path / "parsing_bisenet.pth")
    ours = load_parsing(tmp_path / "parsing_bisenet.pth", device=CPU)
    assert ours.shape.stages == (64, 128, 256, 512)
    pictures = torch.randn((2, 3, 256, 192), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = parser(pictures)[0]
    scores = ours(pictures)
    difference = float((scores - expected).abs().max())
    scale = float(expected.abs().max())
    print(f"BiSeNet: {difference:.1e} of {scale:.1f}")
    assert difference < 1e-5 * scale


def test_grey_face_agrees_with_the_references_steps(
    parser: torch.nn.Module, library: Library, tmp_path: Path
) -> None:
    functional = library("torchvision.transforms.functional")
    torch.save(parser.state_dict(), tmp_path / "parsing_bisenet.pth")
    ours = load_parsing(tmp_path / "parsing_bisenet.pth", device=CPU)
    crop = skimage.data.astronaut()[:256, 100:356].astype(np.float32) / 255
    face = torch.from_numpy(crop.transpose(2, 0, 1)[None].copy())
    with torch.no_grad():
        labels = parser(functional.normalize(face, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    background = torch.zeros_like(labels[0][:, :1], dtype=torch.bool)
    for label in (0, 16, 18, 7, 8, 9, 14, 15):
        background |= labels[0].argmax(dim=1, keepdim=True) == label
    grey = 0.299 * face[:, 0:1] + 0.587 * face[:, 1:2] + 0.114 * face[:, 2:3]
    expected = torch.where(background, torch.ones(1), grey).expand(1, 3, -1, -1)
    assert 0.02 < float(background.float().mean()) < 0.95, "both kinds should occur"
    unequal = ((face_only(face, ours) - expected).abs() > 1e-5).float().mean()
    # A pixel whose two best classes tie to 1e-5 may fall either way.
    assert float(unequal) < 1e-3


def test_picture_for_clip_agrees_with_the_pinned_torchvision(library: Library) -> None:
    from pulid_extractor.clip_picture import clip_picture

    transforms = library("torchvision.transforms")
    functional = library("torchvision.transforms.functional")
    face = torch.rand((1, 3, 512, 512), generator=torch.Generator().manual_seed(0))
    expected = functional.normalize(
        functional.resize(face, [336, 336], transforms.InterpolationMode.BICUBIC, antialias=False),
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    )
    difference = float((clip_picture(face, 336) - expected).abs().max())
    print(f"resize and normalise: {difference:.1e}")
    assert difference < 1e-5


def test_crop_agrees(library: Library) -> None:
    """With landmarks of all kinds; facexlib works on BGR, and OpenCV mixes in other roundings."""
    helper_module = library("facexlib.utils.face_restoration_helper")
    rgb = skimage.data.astronaut()
    rng = np.random.default_rng(0)
    greatest = 0
    for _ in range(20):
        angle, scale = rng.uniform(-1, 1), rng.uniform(0.15, 0.8)
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        landmarks = (FFHQ_TEMPLATE - 256) @ turn.T + rng.uniform(100, 400, 2)
        landmarks += rng.normal(0, 4, landmarks.shape)
        landmarks = landmarks.astype(np.float32)
        # The helper's constructor downloads weights; cropping needs only this much of it.
        helper = SimpleNamespace(
            pad_blur=False,
            all_landmarks_5=[landmarks],
            face_template=FFHQ_TEMPLATE,
            affine_matrices=[],
            cropped_faces=[],
            face_size=(512, 512),
            input_img=np.ascontiguousarray(rgb[:, :, ::-1]),
        )
        helper_module.FaceRestoreHelper.align_warp_face(helper)
        expected = helper.cropped_faces[0][:, :, ::-1].astype(int)
        greatest = max(greatest, np.abs(ffhq_crop(rgb, landmarks).astype(int) - expected).max())
    print(f"crop: {greatest}")
    assert greatest <= 1


def test_template_and_border_are_facexlibs(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper_module = library("facexlib.utils.face_restoration_helper")
    for name in ("init_detection_model", "init_parsing_model"):
        monkeypatch.setattr(helper_module, name, lambda *_, **__: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        helper = helper_module.FaceRestoreHelper(1, face_size=512, device=CPU)
    np.testing.assert_array_equal(helper.face_template, FFHQ_TEMPLATE)
    assert FFHQ_BORDER_BGR == (135, 133, 132)
