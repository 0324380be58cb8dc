"""A LoRA beside a person in SDXL: the same as a UNet that the change was merged into before.

The identity is asked with the queries of the UNet, so a LoRA on `to_q` changes what it adds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pulid_sdcpp import Identity, Person, StableDiffusion
from pulid_sdcpp.tensors.gguf_writer import write_gguf
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_spec import TensorSpec
from standin import UnetShape
from standin.file_set import gguf_metadata
from standin.unet import attention_modules, unet_tensors

pytestmark = pytest.mark.engine

SHAPE = UnetShape(depths=(1, 1))
RANK = 4


@pytest.fixture(scope="module")
def files(make_sdxl_weights: Callable[..., dict[str, Path]]) -> dict[str, Path]:
    return make_sdxl_weights(depths=SHAPE.depths, unet_type="f32")


@pytest.mark.parametrize("part", ["attn2.to_q", "attn1.to_v"])
@pytest.mark.parametrize("mode", ["at_runtime", "immediately"])
def test_a_lora_beside_a_person_is_what_it_is_merged_into_the_weights(
    files: dict[str, Path],
    load_sdxl: Callable[..., StableDiffusion],
    make_sdxl_identity: Callable[..., Identity],
    tmp_path: Path,
    part: str,
    mode: str,
) -> None:
    changes = {}
    lora = []
    random = np.random.default_rng(2)
    for _, module, width in attention_modules(SHAPE):
        name = f"{module.removesuffix('attn2')}{part}"
        down, up = random.normal(size=(RANK, width)), random.normal(size=(width, RANK))
        changes[f"{name}.weight"] = up @ down / width
        for role, values in (("down", down / width), ("up", up)):
            full_name = f"lora_unet_{name.replace('.', '_')}.lora_{role}.weight"
            lora.append(TensorSpec(full_name, values.shape, "f32", partial(np.float32, values)))
    write_safetensors(tmp_path / "some.safetensors", lora)
    specs = unet_tensors(SHAPE, 0, "f32")
    assert set(changes) <= {spec.name for spec in specs}
    merged = [
        replace(spec, values=partial(np.float32, spec.values() + changes[spec.name]))
        if spec.values is not None and spec.name in changes
        else spec
        for spec in specs
    ]
    write_gguf(tmp_path / "merged.gguf", merged, gguf_metadata("sdxl"))
    alice = Person(make_sdxl_identity(1))

    def pixels(engine: StableDiffusion, tag: str = "") -> np.ndarray:
        (made,) = engine.generate_image(
            f"a face{tag}", pulid_people=[alice], width=64, height=64, sample_steps=1,
            cfg_scale=1.0, seed=5,
        )  # fmt: skip
        return np.asarray(made.convert("RGB")).astype(np.float32)

    options = {"unet": "unet-f32", "backend": "cpu", "n_threads": 1}
    with load_sdxl(files, lora_model_dir=tmp_path, lora_apply_mode=mode, **options) as engine:
        plain, found = pixels(engine), pixels(engine, "<lora:some:1>")
    with load_sdxl({**files, "unet-f32": tmp_path / "merged.gguf"}, **options) as engine:
        expected = pixels(engine)
    change = np.abs(expected - plain).mean()
    difference = np.abs(found - expected).mean()
    print(f"{difference:.3f} of {change:.2f}")
    assert change > 1
    assert difference <= max(0.05, 0.05 * change)
