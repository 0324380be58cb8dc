"""What this installation consists of, what is missing, and how to get it.

Nothing heavy is imported here, and what could bring the process down (the engine, its
drivers, OpenCV) is asked for in a process of its own.
"""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import ModelFileError
from .options.processor_cores import usable_cores
from .pocket.pack import MANIFEST_NAME, PACK_FOLDER, check_pack
from .store.kept_files import kept_files
from .store.registry import load_registry
from .system.install_commands import install_extra_command, reinstall_command
from .system.package_version import package_version
from .system.size_text import described_size
from .system.user_config import CONFIG_NAME, load_user_config
from .system.user_folders import cache_folder
from .terminal_text import counted

__all__ = ["Finding", "Report", "examine"]

Status = Literal["ok", "note", "missing", "broken"]

_PROBE_TIMEOUT_S = 60
# Extra: distribution names it needs. As in pyproject.toml; a test compares.
EXTRAS: Mapping[str, Sequence[str]] = {
    "photos": ("onnx", "onnxruntime"),
    "extract": ("torch",),
    "reference": ("diffusers", "facexlib", "open_clip_torch", "timm", "torchvision"),
    "server": ("fastapi", "fastapi-offline", "prometheus-client", "python-multipart", "uvicorn"),
    "ui": ("gradio",),
}
# Other builds of the same package.
_STAND_INS: Mapping[str, Sequence[str]] = {
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-silicon"),
    "opencv-python": (
        "opencv-python-headless",
        "opencv-contrib-python",
        "opencv-contrib-python-headless",
    ),
}
_NEEDED = (
    *("click", "filelock", "gguf", "huggingface_hub", "numpy", "pillow", "tqdm"),
    "typing-extensions",
)
# Shared library: (what needs it, Debian package).
_LINUX_LIBRARIES: Mapping[str, tuple[str, str]] = {
    "libgomp.so.1": ("the engine on the CPU", "libgomp1"),
    "libGL.so.1": ("OpenCV, for [reference]", "libgl1"),
    "libxcb.so.1": ("OpenCV, for [reference]", "libxcb1"),
    "libvulkan.so.1": ("an engine built for Vulkan", "libvulkan1"),
}
_VARIABLES = (
    "PULID_SDCPP_LIBRARY",
    "PULID_SDCPP_CACHE",
    "PULID_SDCPP_CPU_KERNELS",
    "PULID_SDCPP_FOLD_CACHE_MB",
    "SD_VK_DEVICE",
    "GGML_VK_VISIBLE_DEVICES",
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "VK_ICD_FILENAMES",
    "VK_DRIVER_FILES",
    "OMP_NUM_THREADS",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "PULID_SDCPP_CONFIG",
    "HF_HOME",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
)
_ENGINE_PROBE = """
import dataclasses, json, pulid_sdcpp
info = dataclasses.asdict(pulid_sdcpp.engine_info())
devices = [dataclasses.asdict(device) for device in pulid_sdcpp.devices()]
print("\\n" + json.dumps({"engine": info, "devices": devices}, default=str))
"""


@dataclass(frozen=True)
class Finding:
    """One fact.

    Attributes:
        status: "ok"; "note" for a plain fact; "missing" for something optional that is not
            there; "broken" for something needed that does not work.
        remedy: What to do, where there is something to do.
    """

    section: str
    name: str
    status: Status
    value: str = ""
    remedy: str = ""


@dataclass(frozen=True)
class Report:
    """Everything found, in the order to print it."""

    findings: tuple[Finding, ...] = field(default_factory=tuple)

    @property
    def healthy(self) -> bool:
        """Whether everything that is needed works."""
        return all(finding.status != "broken" for finding in self.findings)


def examine() -> Report:
    """Look at everything; takes a few seconds, changes nothing."""
    findings = [*_versions(), *_engine(), *_extras(), _pocket_model(), *_config(), *_kept()]
    if sys.platform == "linux":
        findings += _system_libraries()
    findings += [
        Finding("environment", name, "note", os.environ[name])
        for name in _VARIABLES
        if name in os.environ
    ]
    return Report(tuple(findings))


def _versions() -> list[Finding]:
    findings = [
        Finding("versions", "pulid-sdcpp", "ok", package_version()),
        Finding("versions", "python", "ok", f"{platform.python_version()} ({sys.executable})"),
        Finding("versions", "system", "ok", f"{platform.platform()}, {os.cpu_count()} CPUs"),
        Finding("versions", "threads", "ok", _threads()),
    ]
    for name in _NEEDED:
        version = _installed(name)
        if version is None:
            remedy = f"pip install {name}"
            findings.append(Finding("versions", name, "broken", "not installed", remedy))
        else:
            findings.append(Finding("versions", name, "ok", version))
    return findings


def _threads() -> str:
    cores, cpus = usable_cores(), os.cpu_count() or 1
    return f"{cores}, one for each core that this process may use; the computer has {cpus} CPUs"


def _engine() -> list[Finding]:
    found = probe_engine()
    if isinstance(found, str):
        remedy = f"reinstall with: {reinstall_command()}"
        return [Finding("engine", "library", "broken", found, remedy)]
    engine = found["engine"]
    findings = [
        Finding(
            "engine", "version", "ok", f"{engine['engine']}, compiled with {engine['compiler']}"
        ),
        Finding("engine", "library", "ok", engine["library_path"]),
    ]
    switched_on = [name for name, value in engine["build_options"].items() if value]
    if switched_on:
        findings.append(Finding("engine", "build options", "ok", ", ".join(switched_on)))
    system_info = " ".join(engine["system_info"].split())
    findings.append(Finding("engine", "processor", "ok", system_info))
    for device in found["devices"]:
        findings.append(Finding("devices", str(device["name"]), "ok", _device(device)))
    if found["devices"]:
        value = f"{_default_device(found['devices'])}; --backend names another"
        findings.append(Finding("devices", "used unless told otherwise", "ok", value))
    else:
        remedy = "reinstall: not even the CPU is listed"
        findings.append(Finding("devices", "none", "broken", "no device to compute on", remedy))
    return findings


def probe_engine() -> dict[str, Any] | str:
    """The engine's facts, or in one line why there are none."""
    status, output, errors = _run_python(_ENGINE_PROBE)
    if status == 0:
        try:
            found = json.loads(output.strip().splitlines()[-1])
            if isinstance(found, dict):
                return found
        except (ValueError, IndexError):
            pass
    last = errors.strip().splitlines()[-1:] or ["it printed nothing"]
    if status is None:
        return f"the engine did not answer within {_PROBE_TIMEOUT_S} s: a driver hangs"
    if status < 0:
        return f"the engine crashed (signal {-status}): {last[0]}"
    return last[0]


def _device(device: Mapping[str, Any]) -> str:
    total, free = device.get("memory_total_bytes") or 0, device.get("memory_free_bytes") or 0
    memory = f", {total / 2**30:.1f} GiB, {free / 2**30:.1f} free" if total else ""
    return f"{device.get('description', '')} ({device.get('kind', '')}{memory})"


def _default_device(devices: Sequence[Mapping[str, Any]]) -> str:
    """Which device the engine takes when none is named.

    Source: stable-diffusion.cpp, src/util.cpp, sd_get_default_backend.
    """
    asked = f"Vulkan{os.environ.get('SD_VK_DEVICE', '')}"
    names = [str(device["name"]) for device in devices]
    if asked in names:
        return asked
    order = ("gpu", "igpu", "accel", "cpu")
    kinds = [str(device.get("kind")) for device in devices]
    return next((names[kinds.index(kind)] for kind in order if kind in kinds), names[0])


def _extras() -> list[Finding]:
    findings = []
    for extra, packages in EXTRAS.items():
        absent = []
        for name in packages:
            version = _installed(name)
            if version is None:
                absent.append(name)
            else:
                findings.append(Finding(f"extra [{extra}]", name, "ok", version))
        if absent:
            value = f"not installed: {', '.join(absent)}"
            remedy = install_extra_command(extra, absent)
            findings.append(Finding(f"extra [{extra}]", extra, "missing", value, remedy))
    if _installed("opencv-python") is not None:
        findings += _opencv()
    return findings


def _opencv() -> list[Finding]:
    """OpenCV installs without the system libraries it needs, and then cannot be imported."""
    status, _, errors = _run_python("import cv2")
    if status == 0:
        return []
    reason = (errors.strip().splitlines()[-1:] or ["it crashed"])[0]
    remedy = "install its system libraries (Debian, Ubuntu: apt install libgl1 libxcb1)"
    return [Finding("extra [reference]", "import cv2", "broken", reason, remedy)]


def _pocket_model() -> Finding:
    """Whether every file of the shipped model is the one it should be."""
    section, name = "models", "pocket model"
    if not (PACK_FOLDER / MANIFEST_NAME).is_file():
        remedy = "reinstall pulid-sdcpp; only 'demo' and 'evaluate --pocket' need it"
        return Finding(section, name, "missing", f"not in {PACK_FOLDER}", remedy)
    try:
        names = check_pack(PACK_FOLDER)
    except ModelFileError as error:
        return Finding(section, name, "broken", str(error))
    size_mb = sum((PACK_FOLDER / file).stat().st_size for file in names) / 1e6
    return Finding(section, name, "ok", f"{len(names)} files, {size_mb:.1f} MB, in {PACK_FOLDER}")


def _config() -> list[Finding]:
    """Whether the user's config file can be read, and the folders that it names."""
    section, name = "models", CONFIG_NAME
    try:
        config = load_user_config()
        load_registry(config)
    except (ModelFileError, RuntimeError) as error:  # RuntimeError: a user without a home
        remedy = "every command that uses models reads it; correct the file, or move it away"
        return [Finding(section, name, "broken", str(error), remedy)]
    findings = [Finding(section, name, "ok", str(config.path))] if config.path.exists() else []
    for folder in config.models_dirs:
        status: Status = "ok" if folder.is_dir() else "missing"
        remedy = "" if status == "ok" else "does not exist now; commands warn and continue"
        findings.append(Finding(section, "models folder", status, str(folder), remedy))
    return findings


def _kept() -> list[Finding]:
    """What is kept on the disk for later; 'pulid-sdcpp cache' removes it."""
    try:
        kinds = kept_files()
    except RuntimeError as error:  # a user without a home
        return [Finding("cache", "folder", "missing", str(error), "name one in PULID_SDCPP_CACHE")]
    findings = [Finding("cache", "folder", "ok", str(cache_folder()))]
    for kept in kinds:
        if kept.paths:
            count = counted(len(kept.paths), "file")
            value = f"{kept.what}, {count}, {described_size(kept.size_bytes)}"
            findings.append(Finding("cache", kept.name, "ok", value))
    return findings


def _system_libraries() -> list[Finding]:
    code = (
        "import ctypes, json, sys\n"
        "def there(name):\n"
        "    try:\n"
        "        ctypes.CDLL(name)\n"
        "        return True\n"
        "    except OSError:\n"
        "        return False\n"
        "print(json.dumps([there(name) for name in sys.argv[1:]]))\n"
    )
    status, output, _ = _run_python(code, *_LINUX_LIBRARIES)
    try:
        there = json.loads(output) if status == 0 else []
    except ValueError:
        there = []
    if len(there) != len(_LINUX_LIBRARIES):  # one of them crashes when it is loaded
        there = [ctypes.util.find_library(_stem(name)) is not None for name in _LINUX_LIBRARIES]
    findings = []
    for (name, (user, package)), found in zip(_LINUX_LIBRARIES.items(), there, strict=True):
        remedy = "" if found else f"apt install {package}"
        status_word: Status = "ok" if found else "missing"
        findings.append(Finding("system libraries", name, status_word, f"for {user}", remedy))
    return findings


def _stem(library: str) -> str:
    return library.removeprefix("lib").partition(".so")[0]


def _installed(name: str) -> str | None:
    for candidate in (name, *_STAND_INS.get(name, ())):
        try:
            version = importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
        return version if candidate == name else f"{version} ({candidate})"
    return None


def _run_python(code: str, *arguments: str) -> tuple[int | None, str, str]:
    """Exit status (None: took too long), stdout and stderr of `code` in a fresh interpreter."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    # `-c` puts the working folder before everything else, and with it a source tree one stands in.
    without_working_folder = "import sys\nsys.path[:] = filter(None, sys.path)\n"
    try:
        done = subprocess.run(
            [sys.executable, "-c", without_working_folder + code, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_TIMEOUT_S,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, "", ""
    except OSError as error:
        return 1, "", str(error)
    return done.returncode, done.stdout, done.stderr
