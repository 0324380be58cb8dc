"""The engine's assertions in words; memory that is not there is said to be that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pulid_sdcpp.native.failure import failure_in_words


@pytest.mark.parametrize(
    "reason",
    [
        "ggml.c:1581: GGML_ASSERT(ctx->mem_buffer != NULL) failed",
        "ggml_extend.hpp:1841: GGML_ASSERT(compute_ctx != nullptr) failed",
        "ggml_extend.hpp:99: GGML_ASSERT(buffer != nullptr) failed",
        "std::bad_alloc",
    ],
)
def test_no_memory(reason: str) -> None:
    assert failure_in_words(reason) == f"out of memory ({reason})"


def test_another_assertion() -> None:
    words = failure_in_words("ggml.c:6877: GGML_ASSERT(cgraph->n_nodes < cgraph->size) failed")
    assert words.startswith("the engine cannot go on (ggml.c:6877: GGML_ASSERT")
    assert "report it" in words


def test_words_stay() -> None:
    assert failure_in_words("cannot read x.gguf") == "cannot read x.gguf"
    assert failure_in_words("") == ""


LOAD_IN_LITTLE_MEMORY = """
import json, resource, sys
from pulid_sdcpp import PulidError, StableDiffusion
files = json.loads(sys.argv[1])
from pulid_sdcpp.native.library import library
library()
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (200 << 20),) * 2)
try:
    StableDiffusion(**files, n_threads=1)
    print("loaded")
except PulidError as error:
    print(error)
"""


@pytest.mark.engine
@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux how much there is")
def test_a_process_with_little_memory(standin_weights: dict[str, Path]) -> None:
    files = {
        "diffusion_model_path": standin_weights["flux-q8_0"],
        "clip_l_path": standin_weights["clip_l"],
        "taesd_path": standin_weights["taesd"],
    }
    arguments = json.dumps({name: str(path) for name, path in files.items()})
    done = subprocess.run(
        [sys.executable, "-c", LOAD_IN_LITTLE_MEMORY, arguments],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "out of memory" in done.stdout
    assert "smaller" in done.stdout
