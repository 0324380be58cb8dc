from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pocket_packs import draft_pack
from pulid_sdcpp import doctor
from pulid_sdcpp.cli import main
from pulid_sdcpp.doctor import Finding, Report, examine

ENGINE: dict[str, Any] = {
    "engine": {
        "engine": "stable-diffusion.cpp 0.4.7",
        "compiler": "GNU 12",
        "system_info": "AVX2 = 1 |\n",
        "build_options": {"SD_VULKAN": True, "SD_CUDA": False},
        "library_path": "/lib/libstable-diffusion.so",
    },
    "devices": [
        {
            "name": "CPU",
            "description": "a processor",
            "kind": "cpu",
            "memory_free_bytes": 2**30,
            "memory_total_bytes": 2**31,
        }
    ],
}


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = draft_pack(tmp_path / "pack", {})
    monkeypatch.setattr(doctor, "PACK_FOLDER", folder)
    return folder


@pytest.fixture
def healthy(monkeypatch: pytest.MonkeyPatch, pack: Path) -> None:
    """A machine on which everything is there, without asking the one the test runs on."""
    monkeypatch.setattr(doctor, "probe_engine", lambda: ENGINE)
    monkeypatch.setattr(doctor, "_installed", lambda name: "1.0")
    monkeypatch.setattr(doctor, "_opencv", lambda: [])
    monkeypatch.setattr(doctor, "_system_libraries", lambda: [])
    for name in doctor._VARIABLES:
        monkeypatch.delenv(name, raising=False)


def named(report: Report) -> Mapping[str, Finding]:
    return {finding.name: finding for finding in report.findings}


@pytest.mark.usefixtures("healthy")
def test_a_healthy_installation_is_listed_and_status_0() -> None:
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0, result.output
    assert "/lib/libstable-diffusion.so" in result.stdout
    assert "build options: SD_VULKAN\n" in result.stdout
    assert "CPU: a processor (cpu, 2.0 GiB, 1.0 free)" in result.stdout
    assert result.stdout.endswith("all that is needed works\n")


@pytest.mark.usefixtures("healthy")
def test_json_says_the_same() -> None:
    result = CliRunner().invoke(main, ["doctor", "--json"])
    shown = json.loads(result.stdout)
    assert shown["healthy"] is True
    assert {finding["status"] for finding in shown["findings"]} == {"ok"}


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize(
    "text", ["prese[[ts.mine = 3", 'models_dirs = "x"', "[presets.x]\nfiles = 3"]
)
def test_a_config_file_that_stops_other_commands_is_broken_and_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("PULID_SDCPP_CONFIG", str(tmp_path))
    (tmp_path / "config.toml").write_text(text)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert result.stdout.endswith("something needed is broken\n")
    other = CliRunner().invoke(main, ["models", "list"])
    assert other.exit_code == 1
    assert f"! config.toml: {other.stderr.removeprefix('error: ').strip()}\n" in result.stdout


@pytest.mark.usefixtures("healthy")
def test_a_models_folder_that_is_not_there_is_a_warning_in_every_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULID_SDCPP_CONFIG", str(tmp_path))
    (tmp_path / "config.toml").write_text(f"models_dirs = ['{tmp_path / 'gone'}']")
    result = CliRunner().invoke(main, ["doctor"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"- models folder: {tmp_path / 'gone'}\n" in result.stdout
    warned = CliRunner().invoke(main, ["models", "list"])
    assert warned.exit_code == 0
    (line,) = warned.stderr.splitlines()
    assert line.startswith(f"warning: {tmp_path / 'gone'}: expected a models folder, found nothing")
    assert "pocket" in warned.stdout


@pytest.mark.usefixtures("healthy")
def test_what_is_kept_is_shown_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "identities").mkdir(parents=True)
    (tmp_path / "cache" / "identities" / "a.pulidembd").write_bytes(b"x" * 8192)
    found = named(examine())
    assert found["folder"].value == str(tmp_path / "cache")
    assert found["identities"].value == "identities made from photos, 1 file, 8 kB"
    assert "folded" not in found


@pytest.mark.usefixtures("healthy")
@pytest.mark.parametrize(
    ("kinds", "variable", "used"),
    [
        (["cpu"], "", "D0"),
        (["cpu", "igpu", "gpu", "gpu"], "", "D2"),
        (["igpu", "cpu"], "", "D0"),
        (["cpu", "gpu"], "7", "Vulkan7"),
        (["cpu", "gpu"], "8", "D1"),
    ],
)
def test_the_device_that_will_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, kinds: list[str], variable: str, used: str
) -> None:
    devices = [{"name": f"D{number}", "kind": kind} for number, kind in enumerate(kinds)]
    devices.append({"name": "Vulkan7", "kind": "accel"} if variable else devices.pop())
    monkeypatch.setattr(doctor, "probe_engine", lambda: {**ENGINE, "devices": devices})
    monkeypatch.setenv("SD_VK_DEVICE", variable)
    value = named(examine())["used unless told otherwise"].value
    assert value == f"{used}; --backend names another"


@pytest.mark.usefixtures("healthy")
def test_an_engine_that_does_not_load_is_broken_and_status_1(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor, "probe_engine", lambda: "OSError: libgomp.so.1")
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 1
    assert "! library: OSError: libgomp.so.1\n      reinstall" in result.stdout


@pytest.mark.usefixtures("healthy")
def test_a_missing_extra_is_no_defect_and_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    installed = dict.fromkeys(doctor._NEEDED, "1.0")
    monkeypatch.setattr(doctor, "_installed", installed.get)
    report = examine()
    assert report.healthy
    missing = named(report)["extract"]
    assert missing.status == "missing"
    assert "torch" in missing.value
    # The packages by name: they are on every index, and this one may not be.
    assert missing.remedy.startswith("pip install ")
    assert '"torch>=' in missing.remedy
    assert "pulid" not in missing.remedy


@pytest.mark.usefixtures("healthy")
def test_a_missing_package_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_installed", lambda name: None if name == "gguf" else "1.0")
    report = examine()
    assert not report.healthy
    assert named(report)["gguf"].remedy == "pip install gguf"


@pytest.mark.usefixtures("healthy")
def test_environment_variables_that_matter_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GGML_VK_VISIBLE_DEVICES", "0")
    assert named(examine())["GGML_VK_VISIBLE_DEVICES"].value == "0"


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ((-11, "", "GGML_ASSERT"), "crashed (signal 11): GGML_ASSERT"),
        ((1, "", "Traceback\nNativeLibraryError: not there\n"), "NativeLibraryError: not there"),
        ((0, "chatter", ""), "it printed nothing"),
        ((None, "", ""), "a driver hangs"),
    ],
)
def test_a_crashing_or_hanging_engine_is_reported(
    monkeypatch: pytest.MonkeyPatch, outcome: tuple[Any, str, str], words: str
) -> None:
    monkeypatch.setattr(doctor, "_run_python", lambda code: outcome)
    found = doctor.probe_engine()
    assert isinstance(found, str)
    assert words in found


def test_the_engines_chatter_does_not_disturb_its_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor, "_run_python", lambda code: (0, "ggml: found\n" + json.dumps(ENGINE) + "\n", "")
    )
    assert doctor.probe_engine() == ENGINE


def test_opencv_without_its_libraries_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    error = "ImportError: libGL.so.1: cannot open shared object file"
    monkeypatch.setattr(doctor, "_run_python", lambda code: (1, "", error))
    (finding,) = doctor._opencv()
    assert (finding.status, finding.value) == ("broken", error)
    assert "apt install libgl1 libxcb1" in finding.remedy


@pytest.mark.skipif(sys.platform != "linux", reason="looks for Linux libraries")
@pytest.mark.parametrize("crashes", [False, True])
def test_system_libraries_are_looked_for(monkeypatch: pytest.MonkeyPatch, crashes: bool) -> None:
    libraries = {"libc.so.6": ("all", "libc6"), "libabsent.so.9": ("nobody", "libabsent9")}
    monkeypatch.setattr(doctor, "_LINUX_LIBRARIES", libraries)
    if crashes:
        monkeypatch.setattr(doctor, "_run_python", lambda *arguments: (-11, "", ""))
        monkeypatch.setattr(
            doctor.ctypes.util, "find_library", lambda name: name if name == "c" else None
        )
    there, absent = doctor._system_libraries()
    assert (there.status, there.remedy) == ("ok", "")
    assert (absent.status, absent.remedy) == ("missing", "apt install libabsent9")


def test_another_build_of_a_package_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "opencv-python-headless":
            return "4.9"
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert doctor._installed("opencv-python") == "4.9 (opencv-python-headless)"
    assert doctor._installed("torch") is None


def test_the_packages_are_those_of_pyproject() -> None:
    text = (Path(doctor.__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")

    def names(key: str) -> set[str]:
        found = re.search(rf"^{key} = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)
        assert found is not None
        items = re.findall(r'^\s*"([A-Za-z0-9_-]+)([^"]*)"', found[1], re.MULTILINE)
        return {name for name, rest in items if name != "pulid-sdcpp"}

    # tomli is for Python 3.10 only.
    assert names("dependencies") - {"tomli"} == set(doctor._NEEDED)
    for extra, packages in doctor.EXTRAS.items():
        assert names(extra) == set(packages)


@pytest.mark.usefixtures("healthy")
def test_the_pocket_model_is_looked_at(pack: Path) -> None:
    found = named(examine())["pocket model"]
    assert found.status == "ok"
    assert found.value.startswith("10 files, ")
    (pack / "judge.onnx").write_bytes(b"damaged")
    report = examine()
    assert named(report)["pocket model"].status == "broken"
    assert "judge.onnx" in named(report)["pocket model"].value
    assert not report.healthy
    (pack / "pack.json").unlink()
    report = examine()
    assert named(report)["pocket model"].status == "missing"
    assert "reinstall" in named(report)["pocket model"].remedy
    assert report.healthy
