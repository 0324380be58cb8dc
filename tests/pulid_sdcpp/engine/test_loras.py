"""LoRAs in the engine: pictures against those of a model that the change was merged into before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pulid_sdcpp import ModelFileError, StableDiffusion
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_file import TensorFile
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

pytestmark = pytest.mark.engine

H = 128
SIZES = {"depth": 1, "depth_single": 1, "hidden": H}
Arrays = dict[str, np.ndarray]
Change = tuple[Arrays, Arrays]
"""Tensors of a LoRA file, and what they add to the model's own."""


def noise(*shape: int) -> np.ndarray:
    values = np.random.default_rng(shape).normal(size=shape)
    return values.astype(np.float16).astype(np.float32)


def at(rows: np.ndarray, start: int, height: int) -> np.ndarray:
    whole = np.zeros((height, *rows.shape[1:]), np.float32)
    whole[start : start + len(rows)] = rows
    return whole


def low_rank(name: str, rows: int, columns: int, size: float = 0.5) -> tuple[Arrays, np.ndarray]:
    a, b = noise(2, columns) / columns**0.5, noise(rows, 2) * size
    return {f"{name}.lora_A.weight": a, f"{name}.lora_B.weight": b}, b @ a


def kronecker(name: str, rows: int, columns: int) -> tuple[Arrays, np.ndarray]:
    w1, a, b = noise(4, 8), noise(rows // 4, 2) / 8, noise(2, columns // 8) / 8
    tensors = {f"{name}.lokr_w1": w1, f"{name}.lokr_w2_a": a, f"{name}.lokr_w2_b": b,
               f"{name}.alpha": np.float32([3])}  # fmt: skip
    return tensors, 1.5 * np.kron(w1, a @ b)


def hadamard(name: str, rows: int, columns: int, rank: int = 2) -> tuple[Arrays, np.ndarray]:
    a, c = noise(rows, rank) / 4, noise(rows, rank)[::-1] / 4
    b, d = noise(rank, columns) / 2, noise(rank, columns)[:, ::-1] / 2
    factors = {"hada_w1_a": a, "hada_w1_b": b, "hada_w2_a": c, "hada_w2_b": d}
    return {f"{name}.{role}": values for role, values in factors.items()}, (a @ b) * (c @ d)


def made_of(make: Callable[..., tuple[Arrays, np.ndarray]], *names: str) -> Change:
    """A LoRA that changes these of diffusers' modules."""
    tensors: Arrays = {}
    added: Arrays = {}
    for name in names:
        ours, rows, columns, start, height = MODULES[name]
        part, change = make(f"transformer.{name}", rows, columns)
        tensors |= part
        if name == "norm_out.linear":
            change = np.concatenate([change[H:], change[:H]])
        whole = at(change, start, height)
        added[f"{ours}.weight"] = added.get(f"{ours}.weight", 0) + whole
    return tensors, added


DOUBLE, SINGLE = "transformer_blocks.0", "single_transformer_blocks.0"
MODULES = {  # our name, rows, columns, where the rows begin in the matrix, and of how many
    f"{DOUBLE}.attn.to_q": ("double_blocks.0.img_attn.qkv", H, H, 0, 3 * H),
    f"{DOUBLE}.attn.to_v": ("double_blocks.0.img_attn.qkv", H, H, 2 * H, 3 * H),
    f"{DOUBLE}.attn.add_k_proj": ("double_blocks.0.txt_attn.qkv", H, H, H, 3 * H),
    f"{DOUBLE}.norm1.linear": ("double_blocks.0.img_mod.lin", 6 * H, H, 0, 6 * H),
    f"{DOUBLE}.ff_context.net.2": ("double_blocks.0.txt_mlp.2", H, 4 * H, 0, H),
    f"{SINGLE}.attn.to_k": ("single_blocks.0.linear1", H, H, H, 7 * H),
    f"{SINGLE}.proj_mlp": ("single_blocks.0.linear1", 4 * H, H, 3 * H, 7 * H),
    f"{SINGLE}.proj_out": ("single_blocks.0.linear2", H, 5 * H, 0, H),
    "x_embedder": ("img_in", H, 64, 0, H),
    "time_text_embed.timestep_embedder.linear_1": ("time_in.in_layer", H, 256, 0, H),
    "time_text_embed.text_embedder.linear_2": ("vector_in.out_layer", H, H, 0, H),
    "norm_out.linear": ("final_layer.adaLN_modulation.1", 2 * H, H, 0, 2 * H),
    "proj_out": ("final_layer.linear", 64, H, 0, 64),
}


def biases() -> Change:
    tensors, added = made_of(low_rank, f"{DOUBLE}.attn.to_v")
    bias, other = noise(H), noise(2 * H)
    tensors[f"transformer.{DOUBLE}.attn.to_v.lora_B.bias"] = bias
    tensors["transformer.norm_out.linear.diff_b"] = other
    added["double_blocks.0.img_attn.qkv.bias"] = at(bias, 2 * H, 3 * H)
    added["final_layer.adaLN_modulation.1.bias"] = np.concatenate([other[H:], other[:H]])
    return tensors, added


LORAS: dict[str, Change] = {
    "everywhere": made_of(low_rank, *MODULES),
    "parts": made_of(
        lambda *module: low_rank(*module, size=4),
        f"{DOUBLE}.attn.to_q",
        f"{DOUBLE}.attn.to_v",
        f"{SINGLE}.attn.to_k",
    ),
    "biases": biases(),
    "kronecker": made_of(kronecker, f"{SINGLE}.attn.to_k", f"{SINGLE}.proj_out", "norm_out.linear"),
    "hadamard": made_of(
        lambda name, *sizes: hadamard(name, *sizes, rank=12 if "to_v" in name else 2),
        f"{DOUBLE}.attn.to_v",
        f"{SINGLE}.proj_out",
        "norm_out.linear",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loras")
    for name, (tensors, _) in LORAS.items():
        write(folder / f"{name}.safetensors", tensors)
    return folder


def write(path: Path, tensors: Arrays) -> None:
    write_safetensors(
        path,
        [TensorSpec(name, np.shape(values), "f32", lambda values=values: np.asarray(values))
         for name, values in tensors.items()],
    )  # fmt: skip


def picture(engine: StableDiffusion, tag: str = "") -> np.ndarray:
    (made,) = engine.generate_image(
        f"a cat{tag}", width=64, height=64, sample_steps=1, cfg_scale=1.0, seed=3
    )
    return np.asarray(made).astype(np.float32)


@pytest.fixture(scope="module")
def weights(make_weights: Callable[..., dict[str, Path]]) -> dict[str, Path]:
    return make_weights(**SIZES)


@pytest.fixture(scope="module", params=["at_runtime", "immediately"])
def engine(
    request: pytest.FixtureRequest, weights: dict[str, Path], load_engine: Any, folder: Path
) -> Iterator[StableDiffusion]:
    options = {"lora_model_dir": folder, "lora_apply_mode": request.param, "n_threads": 1}
    with load_engine(weights, pulid=False, **options) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def merged(
    weights: dict[str, Path], load_engine: Any, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], np.ndarray]:
    """The picture of a model with a change in its weights; made once each."""
    found: dict[str, np.ndarray] = {}
    path = tmp_path_factory.mktemp("merged") / "flux.safetensors"

    def merged(name: str) -> np.ndarray:
        if name not in found:
            with TensorFile(weights["flux-f16"]) as file:
                tensors = {each: file.read(each) for each in file.names()}
            for each, change in LORAS[name][1].items():
                tensors[each] = tensors[each] + change
            write(path, tensors)
            with load_engine({**weights, "merged": path}, pulid=False, flux="merged") as loaded:
                found[name] = picture(loaded)
        return found[name]

    return merged


@pytest.mark.parametrize("name", LORAS)
def test_a_lora_is_what_it_is_merged_into_the_weights(
    engine: StableDiffusion, merged: Callable[[str], np.ndarray], name: str
) -> None:
    with_lora = picture(engine, f" <lora:{name}>")
    change = np.abs(merged(name) - picture(engine)).mean()
    difference = np.abs(with_lora - merged(name)).mean()
    print(f"{name}: {difference:.3f} of {change:.2f}")
    assert change > 1
    # In float16 weights each LoRA that is merged and taken out again leaves its rounding.
    assert difference <= max(0.05, 0.05 * change)


def test_clip_l_is_changed(weights: dict[str, Path], load_engine: Any, tmp_path: Path) -> None:
    module = "text_model.encoder.layers.0.self_attn.v_proj"
    tensors, change = low_rank(f"text_encoder.{module}", 768, 768)
    write(tmp_path / "clip.safetensors", tensors)
    with load_engine(weights, pulid=False, lora_model_dir=tmp_path, n_threads=1) as loaded:
        plain, with_lora = picture(loaded), picture(loaded, " <lora:clip>")
    with TensorFile(weights["clip_l"]) as file:
        parameters = {each: file.read(each) for each in file.names()}
    parameters[f"{module}.weight"] += change
    path = tmp_path / "merged.safetensors"
    write(path, parameters)
    with load_engine({**weights, "clip_l": path}, pulid=False, n_threads=1) as loaded:
        merged = picture(loaded)
    assert np.abs(merged - plain).mean() > 2
    assert np.abs(merged - with_lora).mean() < 0.05 * np.abs(merged - plain).mean()


def test_a_file_that_does_not_fit_costs_nothing(engine: StableDiffusion, folder: Path) -> None:
    before = picture(engine)
    tensors, _ = low_rank("transformer.proj_out", 128, H)
    write(folder / "wrong.safetensors", tensors)
    with pytest.raises(ModelFileError, match=r"wrong.safetensors: .*proj_out.lora_B.weight"):
        picture(engine, " <lora:wrong>")
    assert np.abs(picture(engine) - before).mean() <= 0.05
