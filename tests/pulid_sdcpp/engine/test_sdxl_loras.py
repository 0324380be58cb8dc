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
from pulid_sdcpp.families.sdxl.diffusers_names import diffusers_unet_module
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


def attentions(part: str) -> dict[str, tuple[int, ...]]:
    """Shapes of the weights of one part of every attention, by name."""
    return {
        f"{module.removesuffix('attn2')}{part}.weight": (width, width)
        for _, module, width in attention_modules(SHAPE)
    }


CHANGED = {
    "queries": attentions("attn2.to_q"),
    "values and convolutions": {
        **attentions("attn1.to_v"),
        "input_blocks.1.0.in_layers.2.weight": (32, 32, 3, 3),
        "input_blocks.3.0.op.weight": (32, 32, 3, 3),
        "output_blocks.2.2.conv.weight": (128, 128, 3, 3),
        "input_blocks.4.0.skip_connection.weight": (64, 32, 1, 1),
        "middle_block.0.emb_layers.1.weight": (128, 128),
    },
}


def product(shape: tuple[int, ...], random: np.random.Generator) -> dict[str, np.ndarray]:
    rows, columns, *kernel = shape
    n_inputs = columns * int(np.prod(kernel, initial=1))
    down = random.normal(size=(RANK, columns, *kernel)) / n_inputs
    return {"down": down, "up": random.normal(size=(rows, RANK, *(1 for _ in kernel)))}


@pytest.mark.parametrize("part", CHANGED)
@pytest.mark.parametrize("mode", ["at_runtime", "immediately"])
def test_a_lora_beside_a_person_is_what_it_is_merged_into_the_weights(
    files: dict[str, Path],
    load_sdxl: Callable[..., StableDiffusion],
    make_sdxl_identity: Callable[..., Identity],
    tmp_path: Path,
    part: str,
    mode: str,
) -> None:
    """The names of kohya's trainer, and those of diffusers for the same layers, are the same."""
    changes, loras = {}, {"kohya": [], "diffusers": []}
    random = np.random.default_rng(2)
    for name, shape in CHANGED[part].items():
        module = name.removesuffix(".weight")
        factors = product(shape, random)
        flat = [factors[role].reshape(len(factors[role]), -1) for role in ("up", "down")]
        changes[name] = (flat[0] @ flat[1]).reshape(shape)
        theirs = {
            "kohya": f"lora_unet_{module.replace('.', '_')}",
            "diffusers": f"unet.{diffusers_unet_module(module)}",
        }
        for role, values in factors.items():
            for trainer, spelling in theirs.items():
                full_name = f"{spelling}.lora_{role}.weight"
                spec = TensorSpec(full_name, values.shape, "f32", partial(np.float32, values))
                loras[trainer].append(spec)
    for trainer, tensors in loras.items():
        write_safetensors(tmp_path / f"{trainer}.safetensors", tensors)
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
    options = {"unet": "unet-f32", "backend": "cpu", "n_threads": 1}
    with load_sdxl(files, lora_model_dir=tmp_path, lora_apply_mode=mode, **options) as engine:
        plain = pixels(engine, "", alice)
        found = pixels(engine, "<lora:kohya:1>", alice)
        assert np.array_equal(found, pixels(engine, "<lora:diffusers:1>", alice))
        if mode == "at_runtime":  # merged weights are rounded
            assert np.array_equal(plain, pixels(engine, "", alice))
    with load_sdxl({**files, "unet-f32": tmp_path / "merged.gguf"}, **options) as engine:
        expected = pixels(engine, "", alice)
    change = np.abs(expected - plain).mean()
    difference = np.abs(found - expected).mean()
    print(f"{difference:.3f} of {change:.2f}")
    assert change > 1
    assert difference <= max(0.05, 0.05 * change)


def pixels(engine: StableDiffusion, tag: str, *people: Person) -> np.ndarray:
    (made,) = engine.generate_image(
        f"a face{tag}", pulid_people=people, width=64, height=64, sample_steps=1,
        cfg_scale=1.0, seed=5,
    )  # fmt: skip
    return np.asarray(made.convert("RGB")).astype(np.float32)


def test_both_text_encoders_are_reached(
    files: dict[str, Path], load_sdxl: Callable[..., StableDiffusion], tmp_path: Path
) -> None:
    """diffusers' "text_encoder_2." begins as "text_encoder." does, which the engine confuses."""
    random = np.random.default_rng(3)
    layer = "text_model.encoder.layers.0.self_attn.out_proj"
    for number, width in ((1, 768), (2, 1280)):
        factors = product((width, width), random)
        for trainer, spelling in (
            ("kohya", f"lora_te{number}_{layer.replace('.', '_')}"),
            ("diffusers", f"text_encoder{'_2' if number == 2 else ''}.{layer}"),
        ):
            specs = [
                TensorSpec(f"{spelling}.lora_{role}.weight", values.shape, "f32",
                           partial(np.float32, 20 * values))
                for role, values in factors.items()
            ]  # fmt: skip
            write_safetensors(tmp_path / f"{trainer}{number}.safetensors", specs)
    options = {"unet": "unet-f32", "backend": "cpu", "n_threads": 1, "pulid": None}
    made = {}
    with load_sdxl(files, lora_model_dir=tmp_path, **options) as engine:
        plain = pixels(engine, "")
        for name in ("kohya1", "diffusers1", "kohya2", "diffusers2"):
            made[name] = pixels(engine, f"<lora:{name}:1>")
    for number in (1, 2):
        assert np.array_equal(made[f"kohya{number}"], made[f"diffusers{number}"])
        assert not np.array_equal(made[f"kohya{number}"], plain)
    assert not np.array_equal(made["kohya1"], made["kohya2"])
