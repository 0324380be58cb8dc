from __future__ import annotations

from pathlib import Path

import pytest

from pulid_sdcpp.cli.output_paths import output_paths


# Expected names: stable-diffusion.cpp, examples/cli/main.cpp, save_results.
@pytest.mark.parametrize(
    ("output", "count", "first", "expected"),
    [
        ("out.png", 1, 0, ["out.png"]),
        ("out.png", 2, 0, ["out_0.png", "out_1.png"]),
        ("a/out.jpg", 2, 5, ["a/out_5.jpg", "a/out_6.jpg"]),
        ("out", 1, 0, ["out.png"]),
        ("out", 2, 0, ["out_0.png", "out_1.png"]),
        ("out_%03d.png", 2, 0, ["out_000.png", "out_001.png"]),
        ("out_%d.png", 1, 7, ["out_7.png"]),
        ("100%%_%d.png", 1, 0, ["100%_0.png"]),
        ("100%%d.png", 1, 0, ["100%%d.png"]),
        ("100%.png", 2, 0, ["100%_0.png", "100%_1.png"]),
        ("%d/%d.png", 1, 3, ["3/3.png"]),
        ("a.b.png", 2, 0, ["a.b_0.png", "a.b_1.png"]),
    ],
)
def test_numbering_is_sd_clis(output: str, count: int, first: int, expected: list[str]) -> None:
    assert output_paths(Path(output), count, first) == [Path(name) for name in expected]
