"""The compiled engine, and the mirror of the C functions this project adds to it.

Loaded when first needed. PULID_SDCPP_LIBRARY in the environment names another library file.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import NativeLibraryError
from .call_once import call_once
from .failure import failure_in_words

__all__ = ["API_VERSION", "EngineInfo", "binding", "engine_info", "last_error", "library"]

API_VERSION = 5
"""PULID_API_VERSION of native/src/pulid_api.h."""

# Without a handler of its own, Python would print the engine's warnings on the terminal.
logging.getLogger("pulid_sdcpp").addHandler(logging.NullHandler())


# typedef struct { const char* name; const char* description; int32_t type;
#                  uint64_t memory_free; uint64_t memory_total; } pulid_device_t;
class pulid_device_t(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("type", ctypes.c_int32),
        ("memory_free", ctypes.c_uint64),
        ("memory_total", ctypes.c_uint64),
    )


# typedef struct { int64_t hidden; int64_t heads; int64_t tokens; int32_t type; int32_t n_layers;
#                  const int32_t* is_single; const int32_t* block; } pulid_layout_t;
class pulid_layout_t(ctypes.Structure):
    _fields_ = (
        ("hidden", ctypes.c_int64),
        ("heads", ctypes.c_int64),
        ("tokens", ctypes.c_int64),
        ("type", ctypes.c_int32),
        ("n_layers", ctypes.c_int32),
        ("is_single", ctypes.POINTER(ctypes.c_int32)),
        ("block", ctypes.POINTER(ctypes.c_int32)),
    )


# typedef struct { int32_t n_layers; const char** names; const int64_t* channels;
#                  int32_t type; } pulid_unet_layout_t;
class pulid_unet_layout_t(ctypes.Structure):
    _fields_ = (
        ("n_layers", ctypes.c_int32),
        ("names", ctypes.POINTER(ctypes.c_char_p)),
        ("channels", ctypes.POINTER(ctypes.c_int64)),
        ("type", ctypes.c_int32),
    )


# typedef struct { int32_t slot; float weight; int32_t start_step; int32_t end_step;
#                  bool negative; bool second_pass; const float* region; int64_t region_size;
#                  const float* region_coarse; int64_t region_coarse_size; int32_t tokens;
#                  int32_t zeros; int32_t projection; } pulid_use_t;
class pulid_use_t(ctypes.Structure):
    _fields_ = (
        ("slot", ctypes.c_int32),
        ("weight", ctypes.c_float),
        ("start_step", ctypes.c_int32),
        ("end_step", ctypes.c_int32),
        ("negative", ctypes.c_bool),
        ("second_pass", ctypes.c_bool),
        ("region", ctypes.c_void_p),
        ("region_size", ctypes.c_int64),
        ("region_coarse", ctypes.c_void_p),
        ("region_coarse_size", ctypes.c_int64),
        ("tokens", ctypes.c_int32),
        ("zeros", ctypes.c_int32),
        ("projection", ctypes.c_int32),
    )


# typedef void (*pulid_stage_callback_t)(const char* stage, void* data);
pulid_stage_callback_t = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_void_p)

_CONTEXT = ctypes.c_void_p
_FLOATS = ctypes.c_void_p
# Name: result, arguments; the C declarations are in native/src/pulid_api.h.
_FUNCTIONS: Mapping[str, tuple[Any, list[Any]]] = {
    "pulid_api_version": (ctypes.c_int32, []),
    "pulid_init": (None, [ctypes.c_char_p]),
    "pulid_last_error": (ctypes.c_char_p, []),
    "pulid_was_cancelled": (ctypes.c_bool, []),
    "pulid_device_count": (ctypes.c_int32, []),
    "pulid_get_device": (ctypes.c_bool, [ctypes.c_int32, ctypes.POINTER(pulid_device_t)]),
    "pulid_set_placement": (None, [ctypes.c_char_p] * 4),
    "pulid_set_repack": (None, [ctypes.c_bool]),
    "pulid_set_stage_callback": (None, [pulid_stage_callback_t, ctypes.c_void_p]),
    "pulid_set_cancelled": (None, [_CONTEXT, ctypes.c_bool]),
    "pulid_set_loading_cancelled": (None, [ctypes.c_bool]),
    "pulid_set_layout": (ctypes.c_bool, [_CONTEXT, ctypes.POINTER(pulid_layout_t)]),
    "pulid_set_unet_layout": (ctypes.c_bool, [_CONTEXT, ctypes.POINTER(pulid_unet_layout_t)]),
    "pulid_reserve_slots": (ctypes.c_bool, [_CONTEXT, ctypes.c_int32, ctypes.c_int32]),
    "pulid_write_layer": (
        ctypes.c_bool,
        [_CONTEXT, ctypes.c_int32, ctypes.c_int32, ctypes.c_void_p, _FLOATS, ctypes.c_void_p],
    ),
    "pulid_write_unet_layer": (
        ctypes.c_bool,
        [_CONTEXT, ctypes.c_int32, ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p],
    ),
    "pulid_unet_rows": (ctypes.c_int64, [ctypes.c_int32]),
    "pulid_set_uses": (
        ctypes.c_bool,
        [_CONTEXT, ctypes.POINTER(pulid_use_t), ctypes.c_int32, ctypes.c_int32, ctypes.c_int32],
    ),
    "pulid_evaluate": (
        ctypes.c_bool,
        [
            *(_CONTEXT, _FLOATS, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_float),
            *(_FLOATS, ctypes.c_int64, ctypes.c_int64, _FLOATS, ctypes.c_int64),
            *(ctypes.c_float, ctypes.c_int32, ctypes.c_bool, _FLOATS),
        ],
    ),
    "pulid_diffusion_params_bytes": (ctypes.c_uint64, [_CONTEXT]),
    "pulid_upscale": (
        ctypes.POINTER(ctypes.c_uint8),
        [_CONTEXT, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32],
    ),
    "pulid_free_pixels": (None, [ctypes.POINTER(ctypes.c_uint8)]),
    "pulid_free_images": (ctypes.c_bool, [ctypes.c_void_p]),
}


@dataclass(frozen=True)
class EngineInfo:
    """Facts about the compiled engine.

    Attributes:
        engine: Name and version of the pinned source.
        library_path: The loaded library file.
        build_options: CMake option -> its value.
        compiler: Name and version.
        system_info: The instruction sets that the CPU code was compiled for, in the engine's words.
    """

    engine: str
    library_path: str
    build_options: Mapping[str, bool]
    compiler: str
    system_info: str


@call_once
def binding() -> Any:
    """The private copy of the `stable_diffusion_cpp` package.

    Raises:
        NativeLibraryError: The library is absent, cannot be loaded, or is of another version.
    """
    try:
        with _waiting_quietly():
            from .._vendor import stable_diffusion_cpp
    except ImportError as error:
        raise NativeLibraryError(
            "the compiled engine is not installed: run `pip install .` in the source folder, or "
            f"reinstall the package ({error})"
        ) from error
    except (FileNotFoundError, RuntimeError, OSError) as error:
        raise NativeLibraryError(f"the compiled engine cannot be loaded: {error}") from error
    loaded = stable_diffusion_cpp.stable_diffusion_cpp._lib
    try:
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
    except AttributeError as error:
        raise NativeLibraryError(f"{loaded._name} is not this project's engine: {error}") from error
    if loaded.pulid_api_version() != API_VERSION:
        raise NativeLibraryError(
            f"{loaded._name} has interface version {loaded.pulid_api_version()}, this package "
            f"needs {API_VERSION}: reinstall it"
        )
    loaded.pulid_init(os.fsencode(Path(loaded._name).parent))
    return stable_diffusion_cpp


@contextlib.contextmanager
def _waiting_quietly() -> Iterator[None]:
    """Let the threads of a library that is loaded meanwhile sleep while they wait for each other.

    OpenMP reads this once, when it is loaded. By default its threads turn round and round at the
    end of every operation, of which a picture has many thousands: on a computer that has other
    things to do, two threads then take a multiple of the time of one. Who sets either variable has
    chosen.
    """
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    if any(name in os.environ for name in names):
        yield
        return
    os.environ[names[0]] = "passive"
    try:
        yield
    finally:
        del os.environ[names[0]]


def library() -> Any:
    """The loaded library, with our functions declared (a `ctypes.CDLL`).

    Raises:
        NativeLibraryError: As `binding`.
    """
    return binding().stable_diffusion_cpp._lib


def last_error() -> str:
    """Why the last native call on this thread failed; "" when it did not."""
    return failure_in_words(library().pulid_last_error().decode("utf-8", errors="replace"))


def engine_info() -> EngineInfo:
    """Facts about the compiled engine.

    Raises:
        NativeLibraryError: As `binding`.
    """
    path = Path(library()._name)
    record = path.with_name("build_info.json")
    # A library named by PULID_SDCPP_LIBRARY may lie without it.
    built = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    system = " ".join(binding().sd_get_system_info().decode().split())
    return EngineInfo(
        engine=built.get("engine", "unknown"),
        library_path=str(path),
        build_options=built.get("options", {}),
        compiler=built.get("compiler", "unknown"),
        system_info=system.removeprefix("System Info: "),
    )
