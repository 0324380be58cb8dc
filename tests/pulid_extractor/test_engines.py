"""Both engines make the same identities of the same photos."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from pulid_extractor import IdentityExtractor
from pulid_sdcpp.errors import DeviceError
from pulid_sdcpp.pocket.pack import pocket_files
from standin.sdxl_pulid import mlp_encoder_tensors


def assert_same(found: NDArray[np.float32] | None, expected: NDArray[np.float32] | None) -> None:
    assert found is not None
    assert expected is not None
    assert found.shape == expected.shape
    difference = np.abs(found - expected).max() / np.abs(expected).max()
    a, b = found.ravel().astype(float), expected.ravel().astype(float)
    cosine = a @ b / np.sqrt((a @ a) * (b @ b))
    print(f"largest difference {difference:.1e}, cosine 1 - {1 - cosine:.1e}")
    assert difference <= 2e-3
    assert cosine >= 0.9999


def test_a_photo_and_several(
    extractor: IdentityExtractor, models_dir: Path, astronaut: NDArray[np.uint8], t1_path: Path
) -> None:
    light = IdentityExtractor(models_dir, device="cpu", engine="onnx")
    assert (light.engine, light.device, light.dtype) == ("onnx", "cpu", "fp32")
    for photos in (astronaut, t1_path, [astronaut, t1_path]):
        found, expected = light.extract(photos), extractor.extract(photos)
        assert_same(found.tokens, expected.tokens)
        assert_same(found.uncond_tokens, expected.uncond_tokens)
        assert found.metadata["face_box"] == expected.metadata["face_box"]
        assert found.metadata["engine"] == "onnx"
        assert expected.metadata["engine"] == "torch"


def test_the_pocket_s_people() -> None:
    files = pocket_files()
    folder = files.diffusion_model.parent
    made = [IdentityExtractor(folder, device="cpu", engine=name) for name in ("onnx", "torch")]
    for portrait in files.portraits:
        found, expected = (extractor.extract(portrait) for extractor in made)
        assert_same(found.tokens, expected.tokens)


@pytest.mark.parametrize("fusion", ["concat", "mean"])
def test_v1_for_sdxl(
    models_dir: Path, tmp_path: Path, astronaut: NDArray[np.uint8], t1_path: Path, fusion: str
) -> None:
    save_file(mlp_encoder_tensors(id_dim=2048), tmp_path / "pulid_v1.safetensors")
    found, expected = (
        IdentityExtractor(
            models_dir, pulid_weights=tmp_path / "pulid_v1.safetensors", device="cpu", engine=engine
        ).extract([astronaut, t1_path], fusion=fusion)  # type: ignore[arg-type]
        for engine in ("onnx", "torch")
    )
    assert_same(found.tokens, expected.tokens)
    assert_same(found.uncond_tokens, expected.uncond_tokens)


def test_nothing_heavy_is_imported(models_dir: Path, t1_path: Path) -> None:
    program = (
        f"import sys\nsys.path[:] = {sys.path!r}\n"
        "for name in ('torch', 'cv2', 'insightface', 'safetensors'): sys.modules[name] = None\n"
        "from pulid_extractor import extract_identity\n"
        f"extract_identity({str(t1_path)!r}, {str(models_dir)!r})"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_it_cannot_is_said(models_dir: Path) -> None:
    with pytest.raises(ValueError, match="engine 'tensorflow': expected auto, onnx or torch"):
        IdentityExtractor(models_dir, engine="tensorflow")
    with pytest.raises(ValueError, match="dtype 'bf16': expected auto or fp32 for ONNX Runtime"):
        IdentityExtractor(models_dir, engine="onnx", dtype="bf16")
    with pytest.raises(ValueError, match="device 'mps': expected auto, cpu or cuda"):
        IdentityExtractor(models_dir, engine="onnx", device="mps")
    with pytest.raises(DeviceError, match="device 'cuda' is not available; there is: cpu"):
        IdentityExtractor(models_dir, engine="onnx", device="cuda")
