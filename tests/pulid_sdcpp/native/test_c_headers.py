"""The structures and constants that Python passes to the engine are those of its C headers.

A compiled probe says the headers' sizes, offsets and numbers. The headers are those of the engine
that was compiled last in this folder.
"""

from __future__ import annotations

import ctypes
import inspect
import json
import os
import shutil
import subprocess
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest

from pulid_sdcpp.native import library as native_library

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[3]
# Only declared in the headers, or only in Python's half.
OPAQUE = {"sd_ctx_t", "upscaler_ctx_t"}


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
    binding = native_library.binding().stable_diffusion_cpp
    numbers = {
        member.name: member.value
        for value in vars(binding).values()
        if inspect.isclass(value) and issubclass(value, IntEnum)
        for member in value
    }
    return {**numbers, "PULID_API_VERSION": native_library.API_VERSION}


@pytest.fixture(scope="module")
def in_c(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """What the probe says, by "STRUCT", "STRUCT.FIELD", "STRUCT.FIELD size" and constant."""
    headers, program = header_folder(), compiler()
    if headers is None:
        pytest.skip("the engine was not compiled in this folder")
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
        '#include "pulid_api.h"\n'
        'static void say(const char* name, long long number) { printf("\\"%s\\": %lld,\\n", name, '
        "number); }\n"
        "int main(void) {\n    " + "\n    ".join(lines) + "\n    return 0;\n}\n"
    )
    binary = source.with_suffix(".exe")
    command = [program, "-I", headers, "-I", ROOT / "native" / "src", source, "-o", binary]
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
