from __future__ import annotations

from typing import Any

import pytest

import extractor

STAGES = {"detect": 0.1, "ArcFace": 0.2, "parse": 0.1, "EVA02-CLIP": 2.0, "IDFormer": 0.3}


def found(photo_s: float) -> dict[str, Any]:
    return {"load_s": 1.0, "photo_s": photo_s, "photo_cpu_s": 7.0, "peak_mb": 2400.0,
            "mapped_mb": 900.0, "stages_s": STAGES}  # fmt: skip


@pytest.mark.parametrize(
    ("dtype", "photo_s", "met"), [("fp32", 3.9, True), ("bf16", 3.9, False), ("fp16", 3.9, None)]
)
def test_a_photo_has_the_target_of_its_dtype(dtype: str, photo_s: float, met: object) -> None:
    _, photo, _ = extractor.figures(dtype, found(photo_s), has_targets=True)
    assert (photo.value, photo.met) == (photo_s, met)


def test_other_weights_and_devices_have_no_targets() -> None:
    figures = extractor.figures("fp32", found(3.9), has_targets=False)
    assert [figure.met for figure in figures] == [None] * 3


def test_stages_are_side_by_side() -> None:
    comparison = extractor.stages({"fp32": found(3.9), "bf16": found(2.4)})
    assert comparison.series == ("fp32", "bf16")
    assert comparison.rows[3] == ("EVA02-CLIP", (2.0, 2.0))
