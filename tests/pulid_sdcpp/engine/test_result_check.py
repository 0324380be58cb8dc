"""Pictures of NaN, infinity or one colour are refused, and cost an engine nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp import GenerationError, StableDiffusion
from pulid_sdcpp.engine.result_check import check_not_flat
from pulid_sdcpp.pocket.pack import pocket_files
from pulid_sdcpp.tensors.tensor_file import TensorFile

Load = Callable[..., StableDiffusion]
Files = dict[str, Path]
PICTURE: dict[str, Any] = {"width": 64, "height": 64, "sample_steps": 2, "seed": 3}


def with_nan(path: Path, folder: Path, tensor: str, value: float = np.nan) -> Path:
    """A copy with one number replaced in a tensor, by part of its name, of F16 or F32."""
    content = bytearray(path.read_bytes())
    with TensorFile(path) as file:
        name = next(name for name in file.names() if tensor in name)
        info = file.info(name)
    number = np.array(value, {"f16": "<f2", "f32": "<f4"}[info.dtype]).tobytes()
    content[info.offset : info.offset + len(number)] = number
    copy = folder / path.name
    copy.write_bytes(content)
    return copy


@pytest.mark.engine
@pytest.mark.parametrize(
    ("role", "tensor", "words"),
    [
        ("flux-f16", "final_layer.linear.weight", "NaN or infinity at step 1 of 2; a LoRA with"),
        ("taesd", "decoder.layers.18.bias", "NaN or infinity in the autoencoder; get the auto"),
        ("clip_l", "final_layer_norm.weight", "in the text encoders; get the text encoder's file"),
    ],
)
def test_the_part_that_gives_no_numbers_is_named(
    role: str,
    tensor: str,
    words: str,
    standin_weights: Files,
    load_engine: Load,
    tmp_path: Path,
) -> None:
    files = {**standin_weights, role: with_nan(standin_weights[role], tmp_path, tensor)}
    shown: list[object] = []
    with load_engine(files, pulid=False, backend="cpu") as engine:
        for _ in range(2):  # the engine is not to be loaded again for it
            with pytest.raises(GenerationError, match=words) as raised:
                engine.generate_image(
                    "a", **PICTURE, preview_method="proj",
                    preview_callback=lambda *args: shown.append(args),
                )  # fmt: skip
            assert raised.value.engine_is_good
    assert len(shown) == (4 if role == "taesd" else 0)


@pytest.mark.engine
def test_a_lora_that_is_too_strong_costs_one_picture(tmp_path: Path) -> None:
    files = pocket_files()
    source = files.loras / "two-people.safetensors"
    content = bytearray(source.read_bytes())
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for name, entry in header.items():
        if "lora_" in name:
            assert entry["dtype"] == "F16"
            begin, end = (8 + length + at for at in entry["data_offsets"])
            number = np.array(30, "<f2").tobytes()  # 30 * 30 are just not too large to be a LoRA
            content[begin:end] = number * ((end - begin) // 2)
    (tmp_path / "strong.safetensors").write_bytes(content)
    options: dict[str, Any] = {**PICTURE, "scheduler": "discrete"}
    with StableDiffusion(
        diffusion_model_path=files.diffusion_model, clip_l_path=files.clip_l,
        taesd_path=files.taesd, lora_model_dir=str(tmp_path), backend="cpu",
    ) as engine:  # fmt: skip
        (before,) = engine.generate_image("a person", **options)
        with pytest.raises(GenerationError, match="NaN or infinity at step 1 of 2"):
            engine.generate_image("a person <lora:strong:100>", **options)
        (after,) = engine.generate_image("a person", **options)
    assert before.tobytes() == after.tobytes()


def test_a_picture_of_one_colour_is_refused() -> None:
    flat = Image.new("RGB", (8, 8), (128, 128, 127))
    with pytest.raises(GenerationError, match=r"one colour everywhere \(128, 128, 127 of 255\)"):
        check_not_flat([flat])
    flat.putpixel((3, 3), (128, 128, 128))
    check_not_flat([flat])
