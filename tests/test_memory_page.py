"""The tables of memory are what the planner says, about files as they are published."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from pathlib import Path

import pytest

from published_shapes import PUBLISHED_SIZES, write_flux
from pulid_sdcpp.model_files.description import describe_file

PATH = Path(__file__).resolve().parents[1] / "docs" / "generate_memory_table.py"
SPEC = importlib.util.spec_from_file_location(PATH.stem, PATH)
assert SPEC is not None
assert SPEC.loader is not None
generator = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(generator)


def test_the_tables_are_current() -> None:
    page = generator.OUTPUT.read_text(encoding="utf-8")
    assert page.count("| Flux in |") == len(generator.SIZES)
    assert page == generator.render(page), "run: python docs/generate_memory_table.py"
    page = generator.PRESETS_OUTPUT.read_text(encoding="utf-8")
    assert page.count(" GiB | ") > len(generator.CARDS_GIB)
    assert page == generator.render_presets(page), "run: python docs/generate_memory_table.py"


@pytest.mark.parametrize("dtype", ["q8_0", "q4_0"])
def test_the_sizes_are_those_of_real_layouts(dtype: str, tmp_path: Path) -> None:
    flux = describe_file(write_flux(tmp_path / "flux.gguf", dtype))
    stored = sum(tensor.nbytes for tensor in flux.tensors)
    assert generator._flux_in(dtype).diffusion == pytest.approx(stored, rel=0.005)


def test_the_other_sizes_are_those_read_from_headers() -> None:
    in_the_page = asdict(generator._flux_in("q4_0"))
    assert in_the_page["unet"] is None
    for name, size in asdict(PUBLISHED_SIZES).items():
        if name == "unet":
            continue
        assert in_the_page[name] == pytest.approx(size, rel=0.01), name
