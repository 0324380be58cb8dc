"""Structures, constants and functions of the engine are in Python as they are in its C headers.

A compiled probe says the headers' sizes, offsets and numbers; what they declare is read from their
text. The headers are those of the engine that was prepared last in this folder.
"""

from __future__ import annotations

import ctypes
import inspect
import json
import logging
import os
import re
import shutil
import subprocess
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from pulid_sdcpp.engine import identity_slots
from pulid_sdcpp.native import devices
from pulid_sdcpp.native import library as native_library
from pulid_sdcpp.tensors.gguf_header import GGML_TYPES

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[3]
# Begin the names of constants that are no members of enums of stable-diffusion.h.
OTHER_CONSTANTS = "GGML_", "PULID_"
OUR_HEADER = ROOT / "native" / "src" / "pulid_api.h"
# Only declared in the headers.
OPAQUE = {"sd_ctx_t", "upscaler_ctx_t"}
C_TYPES = {
    "bool": ctypes.c_bool, "float": ctypes.c_float, "int": ctypes.c_int, "void": None,
    "int32_t": ctypes.c_int32, "int64_t": ctypes.c_int64, "size_t": ctypes.c_size_t,
    "uint8_t": ctypes.c_uint8, "uint32_t": ctypes.c_uint32, "uint64_t": ctypes.c_uint64,
}  # fmt: skip


def header_folder() -> Path | None:
    found = sorted(
        ROOT.glob("build/*/engine/vendor/stable-diffusion.cpp/include/stable-diffusion.h"),
        key=lambda path: path.stat().st_mtime,
    )
    return found[-1].parent if found else None


def compiler() -> str | None:
    names = (os.environ.get("CC", ""), "cc", "gcc", "clang")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def structures() -> dict[str, type[ctypes.Structure]]:
    binding = native_library.binding().stable_diffusion_cpp
    return {
        name: value
        for module in (binding, native_library)
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, ctypes.Structure)
        and value is not ctypes.Structure
        and name not in OPAQUE
    }


def constants() -> dict[str, int]:
    binding = native_library.binding()
    numbers = {
        member.name: member.value
        for value in vars(binding.stable_diffusion_cpp).values()
        if inspect.isclass(value) and issubclass(value, IntEnum)
        for member in value
    }
    levels = binding._logger.SD_LOG_LEVEL_TO_LOGGING_LEVEL
    names = {logging.WARNING: "WARN"}
    return {
        **numbers,
        **{f"SD_LOG_{names.get(to) or logging.getLevelName(to)}": n for n, to in levels.items()},
        **{f"GGML_BACKEND_DEVICE_TYPE_{kind.upper()}": n for n, kind in enumerate(devices._KINDS)},
        "PULID_API_VERSION": native_library.API_VERSION,
    }


@pytest.fixture(scope="module")
def in_c(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What the probe says, by "STRUCT", "STRUCT.FIELD", "STRUCT.FIELD size" and constant."""
    headers, program = header_folder(), compiler()
    if headers is None:
        pytest.skip("the engine's source was not prepared in this folder")
    if program is None:
        pytest.skip("there is no C compiler")
    lines = []
    for name, structure in structures().items():
        lines.append(f'say("{name}", sizeof({name}));')
        for field, *_ in structure._fields_:
            lines.append(f'say("{name}.{field}", offsetof({name}, {field}));')
            lines.append(f'say("{name}.{field} size", sizeof((({name}*)0)->{field}));')
    lines += [f'say("{name}", {name});' for name in constants()]
    source = tmp_path_factory.mktemp("probe") / "probe.c"
    source.write_text(
        "#include <stddef.h>\n#include <stdio.h>\n#include <stdbool.h>\n#include <stdint.h>\n"
        '#include "pulid_api.h"\n#include "ggml-backend.h"\n'
        'static void say(const char* name, long long number) { printf("\\"%s\\": %lld,\\n", name, '
        "number); }\n"
        "int main(void) {\n    " + "\n    ".join(lines) + "\n    return 0;\n}\n"
    )
    binary = source.with_suffix(".exe")
    folders = [headers, headers.parent / "ggml" / "include", OUR_HEADER.parent]
    command = [program, *(f"-I{folder}" for folder in folders), source, "-o", binary]
    subprocess.run(command, check=True, timeout=120)
    said = subprocess.run([binary], check=True, capture_output=True, text=True, timeout=60).stdout
    found: dict[str, int] = json.loads("{" + said.rstrip().rstrip(",") + "}")
    return found


def test_structures_have_the_sizes_and_places_of_the_headers(in_c: dict[str, int]) -> None:
    mirror: dict[str, Any] = {}
    for name, structure in structures().items():
        mirror[name] = ctypes.sizeof(structure)
        for field, *_ in structure._fields_:
            place = getattr(structure, field)
            mirror[f"{name}.{field}"] = place.offset
            mirror[f"{name}.{field} size"] = place.size
    assert len(mirror) > 300
    assert {name: in_c[name] for name in mirror} == mirror


def test_constants_have_the_numbers_of_the_headers(in_c: dict[str, int]) -> None:
    assert len(constants()) > 80
    assert {name: in_c[name] for name in constants()} == constants()


def declared(header: Path) -> str:
    """A header's text without comments and preprocessor lines, each gap one space."""
    text = re.sub(r"//.*|^#.*", "", header.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return " ".join(text.split())


def headers() -> list[str]:
    folder = header_folder()
    if folder is None:
        pytest.skip("the engine's source was not prepared in this folder")
    return [declared(folder / "stable-diffusion.h"), declared(OUR_HEADER)]


def split(declarations: str) -> list[tuple[str, str]]:
    """(type, name) of each of "const char* a, int b"."""
    pairs = []
    for one in filter(None, map(str.strip, re.split("[,;]", declarations))):
        found = re.fullmatch(r"(.*[\s*])(\w+)", one)
        assert found, one
        pairs.append((found[1].replace("const ", "").replace(" ", ""), found[2]))
    return pairs


def is_mirrored(c_type: str, mirror: Any) -> bool:
    """Whether a ctypes type holds what a C type, without const and spaces, is."""
    if c_type.endswith(("_cb_t", "_callback_t")):
        return mirror is ctypes.c_void_p or hasattr(mirror, "_argtypes_")
    if not c_type.endswith("*"):
        if c_type.startswith("enum"):
            return mirror is ctypes.c_int
        expected = C_TYPES.get(c_type, structures().get(c_type))
        return mirror is expected and (expected is not None or c_type == "void")
    pointed = c_type[:-1]
    if mirror is ctypes.c_char_p:
        return pointed == "char"
    if mirror is ctypes.c_void_p:
        return True
    inner = getattr(mirror, "_type_", None)
    return inner is not None and (inner.__name__ == pointed or is_mirrored(pointed, inner))


def test_the_headers_structures_have_no_other_fields() -> None:
    found = {
        name: [field for _, field in split(body)]
        for text in headers()
        for body, name in re.findall(r"typedef struct \{(.*?)\} (\w+) ?;", text)
    }
    assert found == {
        name: [field for field, *_ in structure._fields_]
        for name, structure in structures().items()
    }


def test_the_fields_have_the_types_of_the_headers() -> None:
    wrong = [
        f"{name}.{field}: {c_type} is not {mirror}"
        for text in headers()
        for body, name in re.findall(r"typedef struct \{(.*?)\} (\w+) ?;", text)
        for (c_type, field), (_, mirror) in zip(
            split(body), structures()[name]._fields_, strict=True
        )
        if not is_mirrored(c_type, mirror)
    ]
    assert not wrong


def test_the_headers_enums_have_no_other_members() -> None:
    found = {
        member.partition("=")[0].strip()
        for text in headers()
        for body in re.findall(r"enum \w+ \{(.*?)\} ?;", text)
        for member in body.split(",")
        if member.strip()
    }
    assert found == {name for name in constants() if not name.startswith(OTHER_CONSTANTS)}


def test_types_of_tensors_have_the_numbers_of_the_engine() -> None:
    known = constants()
    for number, (name, *_) in GGML_TYPES.items():
        assert known[f"SD_TYPE_{name.upper()}"] == number
    for name, number in identity_slots.GGML_TYPES.items():
        assert known[f"SD_TYPE_{name.upper()}"] == number


def test_functions_take_and_return_what_the_headers_say() -> None:
    engine = native_library.library()
    wrong, seen = [], set()
    for text in headers():
        for result, name, parameters in re.findall(r"SD_API ([\w *]*?[ *])(\w+)\((.*?)\) ?;", text):
            function = getattr(engine, name)
            if function.argtypes is None:  # not called from Python
                continue
            seen.add(name)
            c_types = [] if parameters.strip() in ("", "void") else split(parameters)
            given = [c_type for c_type, _ in c_types]
            returned = result.replace("const ", "").replace(" ", "")
            agree = len(given) == len(function.argtypes) and all(
                map(is_mirrored, given, function.argtypes)
            )
            if not agree or not is_mirrored(returned, function.restype):
                wrong.append(f"{name}: {returned} ({', '.join(given)})")
    assert not wrong
    assert seen >= {*native_library._FUNCTIONS, "generate_image", "new_sd_ctx", "convert"}


def test_callbacks_take_what_the_headers_say() -> None:
    binding = native_library.binding().stable_diffusion_cpp
    mirrors = {
        "sd_log_cb_t": binding.sd_log_callback,
        "sd_progress_cb_t": binding.sd_progress_callback,
        "sd_preview_cb_t": binding.sd_preview_callback,
        "pulid_stage_callback_t": native_library.pulid_stage_callback_t,
    }
    pattern = r"typedef void \(\*(\w+)\)\((.*?)\) ?;"
    found = {name: split(said) for text in headers() for name, said in re.findall(pattern, text)}
    assert set(found) == set(mirrors)
    for name, parameters in found.items():
        taken = mirrors[name]._argtypes_
        assert len(taken) == len(parameters), name
        for (c_type, parameter), mirror in zip(parameters, taken, strict=True):
            assert is_mirrored(c_type, mirror), f"{name}: {c_type} {parameter} is not {mirror}"
