from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import generation
import generation_worker
import side_by_side
from generation_figures import denoising_report, identity_report
from side_by_side import Pair, Run, run_worker
from standin import FluxShape
from startup import imported_modules, run_once
from unfolded_attention import compare


def a_run(step_cpu_s: list[float]) -> Run:
    return Run(load_s=1, load_cpu_s=1, encode_s=1, encode_cpu_s=1, step_s=[1.0],
               step_cpu_s=step_cpu_s, decode_s=1, loaded_mb=1, steady_mb=1, peak_mb=1,
               device_mb=0)  # fmt: skip


def test_a_step_is_the_median_without_the_first() -> None:
    assert a_run([9.0, 2.0, 4.0, 3.0]).per_step("cpu_s") == 3.0
    assert a_run([9.0]).per_step("cpu_s") == 9.0


def test_stages_are_between_the_marks() -> None:
    # Load: 0 to 2. Generate: from 3; before the first step 5; steps to 6 and 8; to 12.
    marks = [(float(wall), wall / 2) for wall in (0, 2, 3, 5, 6, 8, 12)]
    stages = generation_worker._stages(marks, 2)
    assert (stages["load_s"], stages["encode_s"], stages["decode_s"]) == (2, 2, 4)
    assert stages["step_s"] == [1, 2]
    assert stages["step_cpu_s"] == [0.5, 1]


def test_progress_that_came_otherwise_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="3 marks for 2 steps"):
        generation_worker._stages([(0.0, 0.0)] * 3, 2)


def test_ratios_are_taken_turn_by_turn_and_their_median_counts() -> None:
    # The second turn was disturbed, both runs of it alike.
    runs = {
        "stock": [a_run([0, value]) for value in (10.0, 100.0, 10.0)],
        "ours": [a_run([0, value]) for value in (4.0, 40.0, 5.0)],
    }
    pair = Pair(runs, difference=0.1)
    figures, comparisons = denoising_report({("q4_0", 256): pair}, has_targets=True)
    assert figures[0].value == pytest.approx(0.4)
    assert (figures[0].at_most, figures[0].met) == (0.38, False)
    assert comparisons[0].rows == (("Q4_0, 256x256", (10.0, 5.0)),)


def test_without_the_stock_engine_there_is_no_ratio() -> None:
    pair = Pair({"ours": [a_run([0, 4.0])]}, difference=0.0)
    figures, comparisons = denoising_report({("q4_0", 256): pair}, has_targets=True)
    assert figures == []
    assert comparisons[0].rows == (("Q4_0, 256x256", (None, 4.0)),)


@pytest.mark.parametrize("has_targets", [True, False])
def test_what_pulid_adds_is_the_median_of_pairs(has_targets: bool) -> None:
    times = {"plain_cpu_s": [10.0, 10.0, 20.0], "with_cpu_s": [10.1, 10.2, 20.1],
             "plain_s": [5.0, 5.0, 5.0], "with_s": [5.0, 5.0, 5.0]}  # fmt: skip
    found: dict[str, Any] = {
        "extra": {"256": times}, "params_plain_bytes": 1_000_000, "load_plain_s": 1.0,
        "params_f16_bytes": 13_600_000, "params_q8_0_bytes": 8_000_000, "load_f16_s": 1.1,
        "switches_s": {"first": 0.3, "other": 0.3, "back": 0.01, "same": 0.0},
    }  # fmt: skip
    shape = FluxShape(2, 4, 3072)
    figures, _ = identity_report(found, {"first": 0.02}, shape, "q4_0", has_targets)
    values = {figure.what: figure for figure in figures}
    extra = values["PuLID's extra CPU time per step, 256x256"]
    assert extra.value == pytest.approx(1.0)
    assert "2 identity layers in 6 blocks" in extra.note
    kept = values["memory an identity keeps per layer, F16"]
    assert kept.value == pytest.approx(6.3)
    assert (kept.met, extra.met) == ((True, True) if has_targets else (None, None))


def test_a_worker_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match="KeyError: 'engine'"):
        run_worker(Path(sys.executable), "generation_worker.py", {})


def test_pictures_are_compared_pixel_by_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    def worker(python: Path, script: str, task: dict[str, Any]) -> dict[str, Any]:
        color = 10 if task["engine"] == "stock" else 14
        Path(task["pixels"]).write_bytes(bytes([color]) * 12)
        return {name: value for name, value in vars(a_run([1.0])).items() if name != "device_mb"}

    monkeypatch.setattr(side_by_side, "run_worker", worker)
    pair = side_by_side.run_in_turn({"stock": Path("a"), "ours": Path("b")}, {}, {}, repeats=2)
    assert pair.difference == 4.0
    assert [len(runs) for runs in pair.runs.values()] == [2, 2]
    figures, _ = denoising_report({("q4_0", 64): pair}, has_targets=True)
    with pytest.raises(SystemExit, match=r"not make the same picture: .* 4\.0"):
        generation.check_pictures(figures)
    generation.check_pictures([])


def test_folding_is_the_definition() -> None:
    found = compare(image_tokens=5, repeats=1, hidden=256, heads=2)
    # float32 of sums of up to 2048 products.
    assert found["relative_difference"] < 1e-5
    assert found["folded_numbers"] == 2 * 2 * 32 * 256
    assert found["unfolded_numbers"] == 2 * 256 * 256 + 512 * 2048


def test_imported_modules_are_those_beside_the_standard_library() -> None:
    assert imported_modules("import json, numpy") == ["numpy"]


def test_a_command_that_fails_is_not_timed() -> None:
    with pytest.raises(RuntimeError, match="no_such_module"):
        run_once([sys.executable, "-c", "import no_such_module"])
