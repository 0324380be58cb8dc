"""An upscaling model that the engine cannot build is refused by its names and shapes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from file_drafts import flux_shapes, write_empty_safetensors
from pulid_sdcpp import ModelFileError
from pulid_sdcpp.model_files.engine_checks import check_engine_files, check_upscaler

Shapes = dict[str, tuple[int, ...]]


def with_biases(convolutions: dict[str, tuple[int, int]]) -> Shapes:
    shapes: Shapes = {}
    for name, (outputs, inputs) in convolutions.items():
        shapes |= {f"{name}.weight": (outputs, inputs, 3, 3), f"{name}.bias": (outputs,)}
    return shapes


def body(pattern: str, blocks: int) -> dict[str, tuple[int, int]]:
    return {
        pattern.format(block=block, dense=dense, layer=layer): (
            64 if layer == 5 else 32,
            64 + 32 * (layer - 1),
        )
        for block in range(blocks)
        for dense in (1, 2, 3)
        for layer in range(1, 6)
    }


def new_names(scale: int = 4, blocks: int = 2) -> Shapes:
    ups = {1: (), 2: ("conv_up1",), 4: ("conv_up1", "conv_up2")}[scale]
    return with_biases(
        {"conv_first": (64, 3), **body("body.{block}.rdb{dense}.conv{layer}", blocks)}
        | dict.fromkeys(("conv_body", *ups, "conv_hr"), (64, 64))
        | {"conv_last": (3, 64)}
    )


def old_names(scale: int = 4, blocks: int = 2) -> Shapes:
    *inner, last = {1: (2, 4), 2: (3, 5, 7), 4: (3, 6, 8, 10)}[scale]
    return with_biases(
        {"model.0": (64, 3), **body("model.1.sub.{block}.RDB{dense}.conv{layer}.0", blocks)}
        | dict.fromkeys((f"model.1.sub.{blocks}", *(f"model.{n}" for n in inner)), (64, 64))
        | {f"model.{last}": (3, 64)}
    )


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("names", [new_names, old_names])
def test_those_that_the_engine_builds(
    names: Callable[[int], Shapes], scale: int, tmp_path: Path
) -> None:
    check_upscaler(str(write_empty_safetensors(tmp_path / "x.safetensors", names(scale), fill=1)))


def renamed(shapes: Shapes, old: str, new: str) -> Shapes:
    return {re.sub(old, new, name): shape for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("shapes", "problem"),
    [
        (new_names() | {"body.99999999.rdb1.conv1.weight": (1,)}, r"'body\.99999999\..*'99999999'"),
        (new_names() | {"body.500.rdb1.conv1.weight": (1,)}, "names block '500'.*up to 100"),
        (
            renamed(new_names(), r"body\.1\.", "body.2."),
            r"of 3 blocks; body\.1\.rdb1\.conv1.weight",
        ),
        (
            renamed(old_names(), "RDB", "rdb"),
            r"model\.1\.sub\.0\.RDB1\.conv1\.0\.weight is missing",
        ),
        (new_names() | {"conv_first.weight": (64, 12, 3, 3)}, r"\(64, 3, 3, 3\), found \(64, 12"),
        ({"conv_first.weight": (64, 3, 3, 3)}, "found no RRDB blocks"),
    ],
)
def test_others_are_refused(shapes: Shapes, problem: str, tmp_path: Path) -> None:
    path = write_empty_safetensors(tmp_path / "x.safetensors", shapes)
    with pytest.raises(ModelFileError, match=problem):
        check_upscaler(str(path))


@pytest.mark.parametrize(
    "name",
    ["model.diffusion_model.double_blocks.99999999.x", "xdouble_blocks.12345678901", "layers.1000"],
)
def test_no_file_names_a_block_that_no_model_has(name: str, tmp_path: Path) -> None:
    path = write_empty_safetensors(tmp_path / "x.safetensors", {name: (1,)})
    with pytest.raises(ModelFileError, match="names block"):
        check_engine_files({"model_path": str(tmp_path), "control_net_path": str(path)}, needs=None)


def test_a_flux_model_with_a_block_too_many(tmp_path: Path) -> None:
    shapes = flux_shapes() | {"more.double_blocks.99999999.x": (1,)}
    path = write_empty_safetensors(tmp_path / "flux.safetensors", shapes)
    with pytest.raises(ModelFileError, match="names block '99999999'"):
        check_engine_files(
            {"diffusion_model_path": str(path), "model_path": str(tmp_path)}, needs=None
        )
