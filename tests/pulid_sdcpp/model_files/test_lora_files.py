"""A LoRA in any spelling becomes one file for the engine; its numbers against the definition.

Every case says what the change of each weight matrix and bias is, computed here from the published
formulas; the converted file is read back with the engine's rules for its own names.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from file_drafts import draft_safetensors
from pulid_sdcpp.errors import GenerationError, ModelFileError
from pulid_sdcpp.families.flux.layout import FluxInfo
from pulid_sdcpp.model_files.lora_checks import check_prompt_loras
from pulid_sdcpp.model_files.lora_files import LoraFiles
from pulid_sdcpp.model_files.lora_places_flux import FluxLoraPlaces
from pulid_sdcpp.tensors.gguf_writer import write_gguf
from pulid_sdcpp.tensors.tensor_file import TensorFile
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

H, RANK = 128, 3
FLUX = FluxInfo("flux.gguf", 2, 2, H, 128, True, 4096, 768, 64, {"f16": 1})
Arrays = dict[str, np.ndarray]
TOP = "model.diffusion_model."
DTYPES = {"float32": "F32", "float16": "F16", "int32": "I32"}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(np.float32)


def product(name: str, rows: int, columns: int, **options: Any) -> tuple[Arrays, np.ndarray]:
    """Tensors of a low-rank change, and the change."""
    down, up = options.get("ends", (".lora_A.weight", ".lora_B.weight"))
    rank = options.get("rank", RANK)
    a, b = noise(rank, columns, seed=len(name)), noise(rows, rank, seed=len(name) + 1)
    return {name + down: a, name + up: b}, b @ a


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(tensors: Mapping[str, np.ndarray], metadata: dict[str, str] | None = None) -> Path:
        header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
        data = b""
        for name, values in tensors.items():
            raw = values.tobytes()
            header[name] = {
                "dtype": DTYPES[values.dtype.name],
                "shape": list(values.shape),
                "data_offsets": [len(data), len(data) + len(raw)],
            }
            data += raw
        path = tmp_path / "x.safetensors"
        path.write_bytes(draft_safetensors(header, data))
        return path

    return write


@pytest.fixture
def changes(write: Callable[..., Path]) -> Callable[..., Arrays]:
    """What the engine makes of a LoRA: the change of each parameter, by the engine's names."""

    def changes(
        tensors: Arrays, metadata: dict[str, str] | None = None, *, t5: bool = True
    ) -> Arrays:
        files = LoraFiles(FluxLoraPlaces(FLUX, has_t5=t5))
        path = write(tensors, metadata)
        try:
            with TensorFile(files.convert([path])[str(path)]) as file:
                return as_the_engine_reads(file)
        finally:
            files.close()

    return changes


def as_the_engine_reads(file: TensorFile) -> Arrays:
    """Source: stable-diffusion.cpp, name_conversion.cpp and lora.hpp."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    numbers = {"attn.to_q": 0, "attn.to_k": 1, "attn.to_v": 2, "proj_mlp": 3}
    for name in file.names():
        stem, _, role = name.rpartition(".")
        if role == "weight":
            stem, _, role = stem.rpartition(".")
        if stem.startswith("transformer."):
            kind, number, rest = stem.removeprefix("transformer.").split(".", 2)
            matrix = (
                "single_blocks.{}.linear1" if "single" in kind else "double_blocks.{}.img_attn.qkv"
            )
            stem = f"{TOP}{matrix.format(number)}.weight.{numbers[rest]}"
        elif ".weight" not in stem:
            stem += ".bias" if role == "diff_b" else ".weight"
        parts.setdefault(stem, {})[role] = file.read(name)
    result: Arrays = {}
    for stem in sorted(parts):
        base, _, index = stem.rpartition(".")
        whole, values = (stem, parts[stem]) if not index.isdigit() else (base, parts[stem])
        piece = engine_product(values)
        # The engine appends part after part, until one is missing.
        assert not index.isdigit() or f"{whole}.{int(index) - 1}".removesuffix(".0") in parts
        result[whole] = np.concatenate([result[whole], piece]) if whole in result else piece
    return result


def engine_product(values: dict[str, np.ndarray]) -> np.ndarray:
    for role in ("diff", "diff_b"):
        if role in values:
            return values[role]
    if "lora_up" in values:
        up, down = values["lora_up"], values["lora_down"]
        if "alpha" in values:
            assert len(down) > 1  # the engine takes the rank of one row for its length
            down = down * values["alpha"].item() / len(down)
        return up @ down
    if "lokr_w1" in values:
        return np.kron(values["lokr_w1"], values["lokr_w2"])
    a, b, c, d = (values[f"hada_w{number}_{part}"] for number in (1, 2) for part in "ab")
    return (a @ b) * (c @ d)


def check(found: Arrays, expected: Arrays) -> None:
    assert found.keys() == expected.keys()
    for name, change in expected.items():
        assert found[name].shape == change.shape
        difference = np.abs(found[name] - change).max()
        assert difference <= 1e-5 * np.abs(change).max(), (name, difference)


def rows_at(rows: np.ndarray, start: int, height: int) -> np.ndarray:
    """Zeros, with some rows."""
    whole = np.zeros((height, *rows.shape[1:]), np.float32)
    whole[start : start + len(rows)] = rows
    return whole


SPELLINGS = {
    "double_blocks.1.img_attn.proj": (H, H, [
        "lora_unet_double_blocks_1_img_attn_proj", "double_blocks.1.img_attn.proj",
        "diffusion_model.double_blocks.1.img_attn.proj", "lora_unet.double_blocks.1.img_attn.proj",
        "model.diffusion_model.double_blocks.1.img_attn.proj",
        "transformer.double_blocks.1.img_attn.proj", "lycoris_double_blocks_1_img_attn_proj",
        "transformer_blocks.1.attn.to_out.0", "transformer.transformer_blocks.1.attn.to_out.0",
        "base_model.model.transformer_blocks.1.attn.to_out.0",
        "transformer.base_model.model.transformer_blocks.1.attn.to_out.0",
        "base_model.model.transformer.transformer_blocks.1.attn.to_out.0",
        "lora_transformer_transformer_blocks_1_attn_to_out_0",
        "lycoris_transformer_blocks_1_attn_to_out_0",
        "lora_unet_transformer_blocks_1_attn_to_out_0",
        "lycoris_transformer_transformer_blocks_1_attn_to_out_0",
        "transformer.transformer_blocks.1.attn.processor.to_out.0",
    ]),
    "double_blocks.0.txt_attn.proj": (H, H, ["transformer.transformer_blocks.0.attn.to_add_out"]),
    "double_blocks.0.img_mod.lin": (6 * H, H, ["transformer_blocks.0.norm1.linear"]),
    "double_blocks.0.txt_mod.lin": (6 * H, H, ["transformer_blocks.0.norm1_context.linear"]),
    "double_blocks.0.img_mlp.0": (4 * H, H, ["transformer.transformer_blocks.0.ff.net.0.proj"]),
    "double_blocks.0.img_mlp.2": (H, 4 * H, ["lora_transformer_transformer_blocks_0_ff_net_2"]),
    "double_blocks.0.txt_mlp.0": (4 * H, H, ["transformer_blocks.0.ff_context.net.0.proj"]),
    "double_blocks.0.txt_mlp.2": (H, 4 * H, ["transformer_blocks.0.ff_context.net.2"]),
    "double_blocks.1.img_attn.qkv": (3 * H, H, ["lora_unet_double_blocks_1_img_attn_qkv"]),
    "single_blocks.1.modulation.lin": (3 * H, H, ["single_transformer_blocks.1.norm.linear"]),
    "single_blocks.1.linear1": (7 * H, H, ["lora_unet_single_blocks_1_linear1"]),
    "single_blocks.1.linear2": (H, 5 * H, ["transformer.single_transformer_blocks.1.proj_out"]),
    "img_in": (H, 64, ["lora_unet_img_in", "transformer.x_embedder", "img_in"]),
    "txt_in": (H, 4096, ["lora_unet_txt_in", "transformer.context_embedder"]),
    "time_in.in_layer": (H, 256, ["lora_unet_time_in_in_layer",
                                  "transformer.time_text_embed.timestep_embedder.linear_1"]),
    "vector_in.out_layer": (H, H, ["lora_unet_vector_in_out_layer",
                                   "transformer.time_text_embed.text_embedder.linear_2"]),
    "guidance_in.in_layer": (H, 256, ["lora_unet_guidance_in_in_layer",
                                      "time_text_embed.guidance_embedder.linear_1"]),
    "final_layer.linear": (64, H, ["lora_unet_final_layer_linear", "transformer.proj_out"]),
    "final_layer.adaLN_modulation.1": (2 * H, H, ["lora_unet_final_layer_adaLN_modulation_1"]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("module", "spelling"), [(each, name) for each, row in SPELLINGS.items() for name in row[2]]
)
def test_every_spelling_of_a_module(
    changes: Callable[..., Arrays], module: str, spelling: str
) -> None:
    rows, columns, _ = SPELLINGS[module]
    tensors, change = product(spelling.replace("lora_unet.", ""), rows, columns)
    check(changes(tensors), {f"{TOP}{module}.weight": change})


@pytest.mark.parametrize(
    "ends",
    [(".lora_A.weight", ".lora_B.weight"), (".lora_down.weight", ".lora_up.weight"),
     (".lora.down.weight", ".lora.up.weight"), ("_lora.down.weight", "_lora.up.weight"),
     (".lora_A.default.weight", ".lora_B.default.weight"), (".lora_A", ".lora_B"),
     (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight")],
)  # fmt: skip
def test_every_ending(changes: Callable[..., Arrays], ends: tuple[str, str]) -> None:
    tensors, change = product("transformer_blocks.0.attn.to_out.0", H, H, ends=ends)
    check(changes(tensors), {f"{TOP}double_blocks.0.img_attn.proj.weight": change})


CLIP, T5 = "text_model.encoder.layers.3.self_attn.q_proj", "encoder.block.2.layer.0.SelfAttention.v"


@pytest.mark.parametrize(
    ("spelling", "module"),
    [(prefix + CLIP, CLIP) for prefix in ("text_encoder.", "te1.", "clip_l.", "lora.te1.", "",
     "base_model.model.text_encoder.", "text_encoders.clip_l.transformer.")]
    + [("lora_te1_" + CLIP.replace(".", "_"), CLIP)]
    + [(prefix + T5, T5) for prefix in ("text_encoder_2.", "te2.", "",
                                        "text_encoders.t5xxl.transformer.")]
    + [(prefix + T5.replace(".", "_"), T5) for prefix in ("lora_te2_", "lora_te3_")],
)  # fmt: skip
def test_text_encoders(spelling: str, module: str) -> None:
    place = FluxLoraPlaces(FLUX).find(spelling)
    assert place is not None
    assert place.module == module
    encoder = "clip_l" if module == CLIP else "t5xxl"
    assert place.engine_name == f"text_encoders.{encoder}.transformer.{module}"


def test_a_text_encoders_numbers(changes: Callable[..., Arrays]) -> None:
    tensors, change = product("text_encoder." + CLIP, 768, 768)
    check(changes(tensors), {f"text_encoders.clip_l.transformer.{CLIP}.weight": change})


DOUBLE = ("attn.to_q", "attn.to_k", "attn.to_v")
ADDED = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")
SINGLE = (*DOUBLE, "proj_mlp")
PARTS = [
    *((DOUBLE, chosen) for chosen in ("q", "k", "v", "qk", "qv", "kv", "qkv")),
    *((ADDED, chosen) for chosen in ("q", "kv", "qkv")),
    *((SINGLE, chosen) for chosen in ("q", "v", "mlp", "q mlp", "qkv", "k mlp", "qkv mlp")),
]


@pytest.mark.parametrize("form", ["low rank", "kronecker", "hadamard", "long hadamard", "dense"])
@pytest.mark.parametrize(("names", "chosen"), PARTS)
def test_parts_of_a_matrix_are_laid_where_they_belong(
    changes: Callable[..., Arrays], form: str, names: tuple[str, ...], chosen: str
) -> None:
    if names is ADDED and form != "low rank":
        return
    is_single = names is SINGLE
    block, height = ("single_transformer_blocks.1.", 7 * H) if is_single else (
        "transformer_blocks.1.", 3 * H)  # fmt: skip
    matrix = "single_blocks.1.linear1" if is_single else (
        f"double_blocks.1.{'txt' if names is ADDED else 'img'}_attn.qkv")  # fmt: skip
    tensors, expected = {}, np.zeros((height, H), np.float32)
    for index, name in enumerate(names):
        letter = "mlp" if name == "proj_mlp" else name.removesuffix("_proj")[-1]
        if letter not in chosen.replace("mlp", "") and not (letter == "mlp" and "mlp" in chosen):
            continue
        rows = 4 * H if name == "proj_mlp" else H
        part, change = FORMS[form](f"transformer.{block}{name}", rows)
        tensors |= part
        expected[index * H : index * H + rows] = change
    check(changes(tensors), {f"{TOP}{matrix}.weight": expected})


def kronecker(name: str, rows: int) -> tuple[Arrays, np.ndarray]:
    w1, w2 = noise(4, 8), noise(rows // 4, H // 8, seed=len(name))
    return {f"{name}.lokr_w1": w1, f"{name}.lokr_w2": w2}, np.kron(w1, w2)


def hadamard(name: str, rows: int, rank: int = 2) -> tuple[Arrays, np.ndarray]:
    a, c = noise(rows, rank) / 2, noise(rows, rank, seed=1) / 2
    b, d = noise(rank, H, seed=2) / 2, noise(rank, H, seed=3) / 2
    tensors = {f"{name}.hada_w1_a": a, f"{name}.hada_w1_b": b,
               f"{name}.hada_w2_a": c, f"{name}.hada_w2_b": d,
               f"{name}.alpha": np.float32([3 * rank])}  # fmt: skip
    return tensors, 3 * (a @ b) * (c @ d)


def dense(name: str, rows: int) -> tuple[Arrays, np.ndarray]:
    change = noise(rows, H, seed=len(name))
    return {f"{name}.diff": change}, change


FORMS: dict[str, Callable[..., tuple[Arrays, np.ndarray]]] = {
    "low rank": lambda name, rows: product(name, rows, H),
    "kronecker": kronecker,
    "hadamard": hadamard,
    "long hadamard": lambda name, rows: hadamard(name, rows, rank=12),
    "dense": dense,
}


def test_the_halves_of_norm_out_are_exchanged(changes: Callable[..., Arrays]) -> None:
    name, ours = "transformer.norm_out.linear", f"{TOP}final_layer.adaLN_modulation.1"
    for form in FORMS:
        tensors, change = FORMS[form](name, 2 * H)
        check(changes(tensors), {f"{ours}.weight": np.concatenate([change[H:], change[:H]])})
    bias = noise(2 * H)
    exchanged = np.concatenate([bias[H:], bias[:H]])
    check(changes({f"{name}.diff_b": bias}), {f"{ours}.bias": exchanged})


def test_biases(changes: Callable[..., Arrays]) -> None:
    tensors, change = product("transformer_blocks.0.attn.to_k", H, H)
    bias, other = noise(H, seed=7), noise(7 * H, seed=8)
    tensors["transformer_blocks.0.attn.to_k.lora_B.bias"] = bias
    tensors["transformer_blocks.0.attn.to_k.alpha"] = np.float32(6)
    tensors["lora_unet_single_blocks_0_linear1.diff_b"] = other
    qkv = f"{TOP}double_blocks.0.img_attn.qkv"
    check(changes(tensors), {
        f"{qkv}.weight": rows_at(2 * change, H, 3 * H), f"{qkv}.bias": rows_at(2 * bias, H, 3 * H),
        f"{TOP}single_blocks.0.linear1.bias": other,
    })  # fmt: skip


@pytest.mark.parametrize("rank", [1, 4])
@pytest.mark.parametrize("name", ["single_transformer_blocks.0.proj_out",
                                  "single_transformer_blocks.0.proj_mlp"])  # fmt: skip
def test_alpha_is_divided_by_the_rank(changes: Callable[..., Arrays], name: str, rank: int) -> None:
    is_part = name.endswith("mlp")
    rows, columns = (4 * H, H) if is_part else (H, 5 * H)
    tensors, change = product(name, rows, columns, rank=rank)
    tensors[f"{name}.alpha"] = np.float32(3)
    (found,) = changes(tensors).values()
    scaled = 3 / rank * change
    assert np.allclose(found, rows_at(scaled, 3 * H, 7 * H) if is_part else scaled, 1e-5, 1e-4)


@pytest.mark.parametrize(
    ("config", "scale"),
    [
        ({"transformer.r": RANK, "transformer.lora_alpha": 6}, 2.0),
        ({"transformer.lora_alpha": 6, "transformer.use_rslora": True}, 6 / math.sqrt(RANK)),
        ({"transformer.lora_alpha": 1, "transformer.alpha_pattern": {"proj_out": 9}}, 3.0),
        ({"transformer.lora_alpha": 3, "transformer.alpha_pattern": {"^proj_out": 9}}, 1.0),
        ({"text_encoder.lora_alpha": 6}, 1.0),
    ],
)
def test_alpha_from_the_metadata(
    changes: Callable[..., Arrays], config: dict[str, object], scale: float
) -> None:
    tensors, change = product("transformer.single_transformer_blocks.0.proj_out", H, 5 * H)
    found = changes(tensors, {"lora_adapter_metadata": json.dumps(config)})
    check(found, {f"{TOP}single_blocks.0.linear2.weight": scale * change})


@pytest.mark.parametrize("factored", [("lokr_w1",), ("lokr_w2",), ("lokr_w1", "lokr_w2"), ()])
def test_factored_kronecker_products(
    changes: Callable[..., Arrays], factored: tuple[str, ...]
) -> None:
    name = "lora_unet_single_blocks_0_linear2"
    tensors, whole = {f"{name}.alpha": np.float32(10)}, {}
    for number, (factor, rows, columns) in enumerate((("lokr_w1", 4, 8), ("lokr_w2", 32, 80))):
        if factor in factored:
            a, b = noise(rows, 4, seed=number), noise(4, columns, seed=number)
            tensors |= {f"{name}.{factor}_a": a, f"{name}.{factor}_b": b}
            whole[factor] = a @ b
        else:
            tensors[f"{name}.{factor}"] = whole[factor] = noise(rows, columns, seed=number)
    scale = 10 / 4 if factored else 1.0
    change = scale * np.kron(whole["lokr_w1"], whole["lokr_w2"])
    check(changes(tensors), {f"{TOP}single_blocks.0.linear2.weight": change})


def test_types_are_kept_where_numbers_are(write: Callable[..., Path]) -> None:
    tensors, _ = product("double_blocks.0.img_attn.proj", H, H)
    files = LoraFiles(FluxLoraPlaces(FLUX))
    path = write({name: values.astype(np.float16) for name, values in tensors.items()})
    with TensorFile(files.convert([path])[str(path)]) as file:
        assert {file.dtype(name) for name in file.names()} == {"f16"}
        (down,) = (file.read(name) for name in file.names() if "down" in name)
    assert np.array_equal(down, tensors["double_blocks.0.img_attn.proj.lora_A.weight"].astype("f2"))
    files.close()


GOOD, _ = product("transformer.transformer_blocks.0.attn.to_q", H, H)
A, B = GOOD
PROJ, _ = product("double_blocks.0.img_attn.proj", H, H)
KIND = "transformer.single_transformer_blocks.0.proj_out"
UNUSABLE: dict[str, tuple[Arrays, str]] = {
    "unknown beside known": ({**GOOD, "transformer.nowhere.lora_A.weight": noise(3, H)},
                             "'transformer.nowhere.lora_A.weight' has no place in the model"),
    "a name cut": ({**GOOD, "sformer_blocks.0.attn.to_k.lora_A.weight": noise(3, H)}, "no place"),
    "a layer too many": (product("single_transformer_blocks.2.proj_out", H, 5 * H)[0],
                         "2 double and 2 single blocks.*1 more tensor does not"),
    "down alone": ({A: GOOD[A]}, "lora_A.weight' is without the other matrix"),
    "up alone": ({B: GOOD[B]}, "lora_B.weight' is without the other matrix"),
    "alpha alone": ({**GOOD, "transformer.proj_out.alpha": np.float32(1)}, "without the matrices"),
    "rows": ({A: GOOD[A], B: noise(2 * H, RANK)}, r"\(256, 3\), but \(128, 3\) fits"),
    "width": ({A: noise(RANK, H + 2), B: GOOD[B]}, r"lora_A.weight' is of shape \(3, 130\)"),
    "ranks": ({A: noise(4, H), B: GOOD[B]}, r"\(128, 3\), but \(128, 4\) fits"),
    "alpha of two": ({**GOOD, A.replace("lora_A.weight", "alpha"): noise(2)}, "is one number"),
    "another model": (product("lora_unet_input_blocks_1_1_proj_in", 8, 4)[0],
                      "for another model than Flux"),
    "SDXL text": (product("lora_te2_" + CLIP.replace(".", "_"), 1280, 1280)[0], "no place"),
    "twice": ({**GOOD, **product("transformer_blocks.0.attn.to_q", H, H)[0]}, "twice"),
    "twice by another ending": ({**GOOD, A.replace("_A", "_down"): GOOD[A]}, "twice"),
    "part and whole": ({**GOOD, **product("double_blocks.0.img_attn.qkv", 3 * H, H)[0]}, "twice"),
    "two forms": ({**PROJ, "double_blocks.0.img_attn.proj.diff": noise(H, H)}, "another kind"),
    "parts of two forms": ({**GOOD, **kronecker("transformer_blocks.0.attn.to_k", H)[0]},
                           "in different ways"),
    "a norm": ({**GOOD, "double_blocks.0.img_attn.norm.query_norm.diff": noise(128)}, "norm of q"),
    "a DoRA": ({**GOOD, A.replace("lora_A.weight", "lora_magnitude_vector"): noise(H)}, "a DoRA"),
    "kohya's DoRA": ({**PROJ, "double_blocks.0.img_attn.proj.dora_scale": noise(H)}, "a DoRA"),
    "OFT": ({"lora_unet_double_blocks_0_img_attn_proj.oft_blocks": noise(4, 4, 4)}, "an OFT"),
    "XLabs": ({"double_blocks.0.processor.qkv_lora1.down.weight": noise(4, H)}, "an XLabs"),
    "GLoRA": ({f"double_blocks.0.img_attn.proj.{end}.weight": noise(4, H)
               for end in ("a1", "a2", "b1", "b2")}, "a GLoRA.*a1.weight"),
    "IA3": ({"double_blocks.0.img_attn.proj.weight": noise(H),
             "double_blocks.0.img_attn.proj.on_input": noise(1)}, "IA.*on_input"),
    "VeRA": ({"base_model.model.transformer_blocks.0.attn.to_q.vera_lambda_d": noise(4)},
             "a VeRA.*vera_lambda"),
    "Tucker": ({**PROJ, "double_blocks.0.img_attn.proj.lora_mid.weight": noise(3, 3)}, "Tucker"),
    "weights, not changes": ({**GOOD, "transformer.proj_out.weight": noise(64, H)},
                             "is nothing that a LoRA of Flux has"),
    "kronecker sizes": ({"single_blocks.0.linear2.lokr_w1": noise(4, 4),
                         "single_blocks.0.linear2.lokr_w2": noise(64, 320)}, "but .128, 640. fits"),
    "half a kronecker": ({"single_blocks.0.linear2.lokr_w1": noise(4, 4)}, "one lokr_w2"),
    "half a factor": ({"single_blocks.0.linear2.lokr_w1": noise(4, 4),
                       "single_blocks.0.linear2.lokr_w2_a": noise(4, 4)}, "one lokr_w2"),
    "half a hadamard": ({"single_blocks.0.linear2.hada_w1_a": noise(H, 4)}, "other matrix"),
    "all zeros": ({A: GOOD[A], B: 0 * GOOD[B]}, "changes nothing"),
    "alpha 0": ({**GOOD, A.replace("lora_A.weight", "alpha"): np.float32(0)}, "changes nothing"),
    "a bias of zeros": ({"single_blocks.0.linear2.diff_b": np.zeros(H, "f4")}, "changes nothing"),
    "nan": ({A: GOOD[A], B: GOOD[B] * np.float32("nan")}, "lora_B.weight' has numbers that are"),
    "too large": ({A: GOOD[A] * np.float32(1e20), B: GOOD[B]}, "change weights by up to"),
    "a large alpha": ({**GOOD, A.replace("lora_A.weight", "alpha"): np.float32(1e9)}, "up to"),
    "alpha nan": ({**GOOD, A.replace("lora_A.weight", "alpha"): np.float32("nan")}, "not finite"),
}  # fmt: skip


def test_guidance_of_a_model_without_it() -> None:
    places = FluxLoraPlaces(replace(FLUX, guidance_embed=False))
    assert "no guidance input" in places.problem("lora_unet_guidance_in_in_layer")


@pytest.mark.parametrize("case", ["OFT", "XLabs", "a DoRA", "Tucker", "GLoRA", "IA3", "VeRA"])
def test_another_form_is_named_before_the_engine_is_loaded(
    write: Callable[..., Path], case: str
) -> None:
    tensors, message = UNUSABLE[case]
    flux = {"diffusion_model_path": "", "lora_model_dir": write(tensors).parent}
    with pytest.raises(ModelFileError, match=message):
        check_prompt_loras("a cat <lora:x:1>", flux, model=FLUX)
    with pytest.raises(ModelFileError, match=message):  # 0 is off, but not a pass for anything
        check_prompt_loras("a cat <lora:x:0>", flux, model=FLUX)


def test_weights_that_cancel_each_other(write: Callable[..., Path]) -> None:
    files = {"lora_model_dir": write(GOOD).parent}
    with pytest.raises(ValueError, match=r"x.safetensors in the prompt add up to 0"):
        check_prompt_loras("a <lora:x:0.5> cat <lora:x.safetensors:-0.5>", files, model=FLUX)
    (used,) = check_prompt_loras("a <lora:x> cat <lora:x:0.5>", files, model=FLUX)
    assert used.name == "x.safetensors"
    assert check_prompt_loras("a <lora:x:0> cat", files, model=FLUX) == []


def test_a_gguf_lora(tmp_path: Path) -> None:
    tensors, change = product("transformer.proj_out", 64, H, rank=32)
    specs = [
        TensorSpec(
            name, values.shape, "q8_0" if "A" in name else "f16", lambda values=values: values
        )
        for name, values in tensors.items()
    ]
    write_gguf(tmp_path / "x.gguf", specs, {})
    files = LoraFiles(FluxLoraPlaces(FLUX))
    (path,) = check_prompt_loras("<lora:x>", {"lora_model_dir": tmp_path}, model=FLUX)
    with TensorFile(files.convert([path])[str(path)]) as file:
        found = as_the_engine_reads(file)[f"{TOP}final_layer.linear.weight"]
    files.close()
    assert np.abs(found - change).max() < 0.02 * np.abs(change).max()


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_does_not_fit_wholly_is_refused(changes: Callable[..., Arrays], case: str) -> None:
    tensors, message = UNUSABLE[case]
    with pytest.raises(ModelFileError, match=message) as caught:
        changes(tensors)
    assert "x.safetensors: " in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["[", "[]", "[" * 9000, '{"transformer.lora_alpha": "6"}', '{"transformer.lora_alpha": NaN}',
     '{"transformer.lora_alpha": 1e999}', '{"transformer.use_dora": true}',
     '{"transformer.lora_alpha": 1' + "0" * 400 + "}"],
)  # fmt: skip
def test_metadata_that_cannot_be_used(changes: Callable[..., Arrays], text: str) -> None:
    with pytest.raises(ModelFileError, match=r"x.safetensors: "):
        changes(GOOD, {"lora_adapter_metadata": text})


def test_single_modules_may_be_zero(changes: Callable[..., Arrays]) -> None:
    tensors, change = product("single_transformer_blocks.0.proj_out", H, 5 * H)
    found = changes({A: GOOD[A], B: 0 * GOOD[B], **tensors})
    assert not found[f"{TOP}double_blocks.0.img_attn.qkv.weight"].any()
    assert np.allclose(found[f"{TOP}single_blocks.0.linear2.weight"], change, 1e-5, 1e-5)


def test_a_text_encoder_that_is_not_loaded(changes: Callable[..., Arrays]) -> None:
    tensors = {f"text_encoder_2.{T5}.lora_{end}.weight": noise(1, 1) for end in "AB"}
    with pytest.raises(ModelFileError, match="T5-XXL, which is not loaded; name t5xxl_path"):
        changes(tensors, t5=False)


def test_whole_weights_cannot_change_in_a_layout_of_the_processors(
    write: Callable[..., Path],
) -> None:
    files = LoraFiles(FluxLoraPlaces(FLUX), is_repacked=True)
    name = "double_blocks.0.img_attn.proj"
    for tensors, _ in (dense(name, H), hadamard(name, H, rank=12)):
        with pytest.raises(ModelFileError, match="--no-repack"):
            files.convert([write(tensors)])
    assert files.convert([write(hadamard(name, H)[0])])
    files.close()


def test_files_are_converted_once_and_gone_with_the_engine(write: Callable[..., Path]) -> None:
    files = LoraFiles(FluxLoraPlaces(FLUX))
    path = write(GOOD)
    (first,) = files.convert([path]).values()
    assert files.convert([path]) == {str(path): first}
    files.in_use([first])
    path = write(PROJ)  # another LoRA of the same name
    (second,) = files.convert([path]).values()
    assert first != second
    for number in range(20):
        (last,) = files.convert([write({**PROJ, "double_blocks.0.img_attn.proj.diff_b":
                                        noise(H, seed=number)})]).values()  # fmt: skip
    assert Path(first).is_file()  # the engine may have to take it out of its weights
    assert not Path(second).is_file()
    assert Path(last).is_file()
    files.close()
    assert not Path(first).parent.exists()
    files.close()


def test_a_converted_file_that_was_cleaned_away(write: Callable[..., Path]) -> None:
    path = write(GOOD)
    for are_merged in (False, True):
        files = LoraFiles(FluxLoraPlaces(FLUX), are_merged=are_merged)
        (first,) = files.convert([path]).values()
        files.in_use([first])
        Path(first).unlink()
        with pytest.raises(GenerationError, match="is gone"):
            files.in_use([first])
        (second,) = files.convert([path]).values()
        assert Path(second).is_file()
        if are_merged:  # it cannot be taken out of the weights
            with pytest.raises(GenerationError, match="is gone"):
                files.in_use([second])
        else:
            files.in_use([second])
        files.close()
