"""docs/models.md: its config file is valid, its table is the list's."""

from __future__ import annotations

import re
from pathlib import Path

from pulid_sdcpp.store.registry import EXTRACTION_ROLES, GENERATION_ROLES, load_registry
from pulid_sdcpp.system.size_text import described_size
from pulid_sdcpp.system.user_config import load_user_config

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "models.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_config_file_of_the_page_is_one(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("\n".join(blocks("toml")), encoding="utf-8")
    config = load_user_config(path)
    assert len(config.models_dirs) == 2
    registry = load_registry(config)
    files = registry.files_of(registry.preset("mine"))
    assert files["t5xxl"].repository == "city96/t5-v1_1-xxl-encoder-gguf"
    assert registry.license_of(files["t5xxl"]).commercial


def test_the_table_has_every_preset_with_its_size_and_terms() -> None:
    registry = load_registry()
    rows = re.findall(r"^\| `([\w-]+)` \| (.+?) \| (\d+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert [name for name, *_ in rows] == list(registry.presets)
    for name, size, steps, words in rows:
        preset = registry.preset(name)
        files = registry.files_of(preset)
        if files:
            assert size == described_size(sum(file.shown_bytes for file in files.values()))
            terms = [registry.license_of(files[r]) for r in files if r in GENERATION_ROLES]
            assert ("non-commercial" in words) == (not all(one.commercial for one in terms))
        assert int(steps) == preset.settings["steps"]


def test_what_the_text_says_of_shared_files() -> None:
    registry = load_registry()
    files = registry.files_of(registry.preset("flux-schnell-q4"))
    shared = sum(file.shown_bytes for role, file in files.items() if role != "diffusion_model")
    only_extraction = set(EXTRACTION_ROLES) - set(GENERATION_ROLES)
    extraction = sum(files[role].shown_bytes for role in only_extraction)
    assert f"{described_size(shared)} of\nthe 12.6" in PAGE
    assert f"`--no-extraction` leaves out {described_size(extraction)}" in PAGE
