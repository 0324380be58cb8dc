"""What is said when a package or a system library is missing."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pulid_extractor.dependencies import (
    load_cv2,
    load_retinaface_class,
    require_module,
)
from pulid_extractor.networks import load_networks
from pulid_sdcpp.errors import MissingDependencyError


def fail_with(monkeypatch: pytest.MonkeyPatch, error: ImportError) -> None:
    def raise_it(name: str) -> ModuleType:
        raise error

    monkeypatch.setattr(importlib, "import_module", raise_it)


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, ModuleNotFoundError("No module named 'insightface'", name="insightface"))
    with pytest.raises(MissingDependencyError, match=r"package insightface is not .*\[extract\]"):
        require_module("insightface.model_zoo")


@pytest.mark.parametrize("library", ["libGL.so.1", "libxcb.so.1", "libgthread-2.0.so.0"])
def test_a_missing_system_library_names_the_debian_packages(
    monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    text = f"{library}: cannot open shared object file: No such file or directory"
    fail_with(monkeypatch, ImportError(text))
    with pytest.raises(MissingDependencyError, match=f"{library}.*apt-get install libgl1 "):
        load_cv2()


def test_another_import_error_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, ImportError("DLL load failed while importing cv2"))
    with pytest.raises(MissingDependencyError, match="cv2 cannot be imported: DLL load failed"):
        load_cv2()


def test_importing_the_package_and_the_idformer_stand_in_needs_no_torch() -> None:
    code = (
        "import sys, pulid_extractor, standin.extractor.networks\n"
        "standin.extractor.networks.idformer_tensors()\n"
        "pulid_extractor.find_model_files, pulid_extractor.load_photo, pulid_extractor.Face\n"
        "heavy = {'torch', 'insightface', 'onnx', 'onnxruntime', 'cv2'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    paths = [path for path in sys.path if path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{code}"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


def test_onnx_runtime_leaves_no_records_in_the_users_home(tmp_path: Path) -> None:
    """ONNX Runtime 1.31 writes a device number and an events database when imported."""
    code = "from pulid_extractor.onnx_session import onnx_providers; onnx_providers('cpu')\n"
    paths = [path for path in sys.path if path]
    hidden = ("HOME", "USERPROFILE", "XDG_CACHE_HOME", "LOCALAPPDATA", "ORT_DISABLE_TELEMETRY")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import sys; sys.path[:0] = {paths!r}\n{code}"],
        env={**kept, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.rglob("*onnxruntime*")) == []


def test_without_facexlib_the_aligner_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "facexlib", None)
    with pytest.raises(MissingDependencyError, match=r"facexlib is not .*\[reference\]"):
        load_retinaface_class()


def test_a_torchvision_for_another_torch_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    importer = importlib.import_module

    def import_it(name: str) -> ModuleType:
        if name.startswith("facexlib"):
            raise RuntimeError("operator torchvision::nms does not exist")
        return importer(name)

    monkeypatch.setattr(importlib, "import_module", import_it)
    with pytest.raises(MissingDependencyError, match="torchvision does not fit the installed tor"):
        load_retinaface_class()


def test_without_torch_the_extractor_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import pulid_extractor

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match="package torch is not installed"):
        pulid_extractor.Judge  # noqa: B018
    with pytest.raises(MissingDependencyError, match="package torch is not installed"):
        load_networks("torch", None, device="cpu", dtype="auto")  # type: ignore[arg-type]


def test_public_names_exist() -> None:
    import pulid_extractor

    for name in pulid_extractor.__all__:
        assert getattr(pulid_extractor, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        pulid_extractor.nothing  # noqa: B018
