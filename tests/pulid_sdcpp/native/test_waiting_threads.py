"""The engine's threads sleep while they wait, unless the user has chosen."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pulid_sdcpp import engine_info

pytestmark = pytest.mark.engine

LOAD = """
import os
from pulid_sdcpp import engine_info
before = dict(os.environ)
engine_info()
assert dict(os.environ) == before
"""


@pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP says what it was told")
@pytest.mark.parametrize(
    ("chosen", "policy"),
    [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "active"}, "ACTIVE")],
    ids=["default", "chosen"],
)
def test_how_openmp_waits(chosen: dict[str, str], policy: str) -> None:
    if not engine_info().build_options.get("GGML_OPENMP"):
        pytest.skip("built without OpenMP, or unknown")
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
    others = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        env={**others, **chosen, "OMP_DISPLAY_ENV": "true"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert f"OMP_WAIT_POLICY = '{policy}'" in done.stderr
