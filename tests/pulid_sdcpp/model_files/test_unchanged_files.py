from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pulid_sdcpp import GenerationCancelled, ModelFileError, StableDiffusion
from pulid_sdcpp.engine import stable_diffusion as engine_module
from pulid_sdcpp.model_files.unchanged_files import unchanged_files


def replaced(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"new")
    os.replace(other, path)


def written_to(path: Path) -> None:
    path.write_bytes(b"another")


def removed(path: Path) -> None:
    path.unlink()


def load(path: Path, change: Callable[[Path], None], error: Exception | None) -> None:
    change(path)
    if error is not None:
        raise error


CHANGES = {replaced: "replaced or written to", written_to: "replaced or", removed: "removed"}


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    for name in "ab":
        (tmp_path / name).write_bytes(b"old")
    return [tmp_path / "a", tmp_path / "b", tmp_path / "absent"]


def test_what_stays_as_it_was_is_no_matter(files: list[Path]) -> None:
    with unchanged_files(files):
        files[0].read_bytes()
    with pytest.raises(ValueError, match="another reason"), unchanged_files(files):
        raise ValueError("another reason")


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("error", [None, ValueError("Model path not found"), ModelFileError("x")])
def test_a_change_is_an_error_and_the_reason_of_one(
    files: list[Path], change: Callable[[Path], None], error: Exception | None
) -> None:
    words = rf"{files[1]}: it was {CHANGES[change]}.* while the model was loaded; load it again"
    with pytest.raises(ModelFileError, match=words) as raised, unchanged_files(files):
        load(files[1], change, error)
    assert raised.value.__cause__ is error


def test_who_was_cancelled_is_told_that(files: list[Path]) -> None:
    with pytest.raises(GenerationCancelled), unchanged_files(files):
        load(files[0], removed, GenerationCancelled("cancelled"))


@pytest.mark.engine
@pytest.mark.parametrize("change", ["another Flux", "removed"])
@pytest.mark.parametrize("role", ["flux-f16", "clip_l", "taesd"])
def test_a_model_is_not_loaded_from_another_file_than_was_checked(
    standin_weights: dict[str, Path],
    make_weights: Callable[..., dict[str, Path]],
    load_engine: Callable[..., StableDiffusion],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    role: str,
    change: str,
) -> None:
    weights = {name: Path(path) for name, path in standin_weights.items()}
    path = tmp_path / weights[role].name
    path.write_bytes(weights[role].read_bytes())
    load_model = engine_module.load_model

    def changed_before(*arguments: Any) -> Any:
        if change == "removed":
            path.unlink()
        else:
            (tmp_path / "new").write_bytes(weights[role].read_bytes())
            os.replace(tmp_path / "new", path)
        return load_model(*arguments)

    monkeypatch.setattr(engine_module, "load_model", changed_before)
    with pytest.raises(ModelFileError, match=rf"{path}: it was re.* while the model was loaded"):
        load_engine({**weights, role: path}, pulid=False)
