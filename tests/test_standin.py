"""Stand-in weights: real names and shapes, the same bytes every time, files that others read."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch

from definition.tensor_files import dequantized, read_gguf, read_safetensors, row_major_shape
from pulid_sdcpp.errors import OutputFileError
from pulid_sdcpp.families.flux.pulid_weights import PulidWeights
from pulid_sdcpp.model_files.description import describe_file, flux_info
from pulid_sdcpp.tensors.q4_k import quantize_q4_k
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_encoding import bfloat16
from pulid_sdcpp.tensors.tensor_spec import TensorSpec
from standin import QUANTIZATIONS, FluxShape, make_standin_weights
from standin.flux import flux_tensors
from standin.pulid import pulid_tensors
from standin.random_values import normal

SMALL = {"depth": 1, "depth_single": 1, "hidden": 256}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_standin_weights(tmp_path_factory.mktemp("standin"), **SMALL)


def test_a_file_for_every_role(files: dict[str, Path]) -> None:
    assert set(files) == {*(f"flux-{q}" for q in QUANTIZATIONS), "pulid", "taesd", "vae", "clip_l"}
    assert all(path.stat().st_size > 0 for path in files.values())


def test_every_file_is_recognised_for_what_it_is(files: dict[str, Path]) -> None:
    kinds = {role: describe_file(path).kind for role, path in files.items()}
    expected = {f"flux-{quantization}": "flux" for quantization in QUANTIZATIONS}
    assert kinds == {
        **expected,
        "pulid": "pulid-flux",
        "taesd": "tae",
        "vae": "vae",
        "clip_l": "clip-l",
    }
    flux = flux_info(files["flux-q4_k"])
    assert (flux.depth, flux.depth_single, flux.hidden_size) == (1, 1, 256)
    with PulidWeights(files["pulid"]) as weights:
        weights.check_matches(flux)


@pytest.mark.parametrize(
    ("depth", "depth_single", "guidance", "expected"),
    [
        # flux1-schnell has 776 tensors, flux1-dev four more.
        (19, 38, False, 776),
        (19, 38, True, 780),
        (3, 5, False, 16 + 3 * 24 + 5 * 8),
    ],
)
def test_flux_has_as_many_tensors_as_the_published_files(
    depth: int, depth_single: int, guidance: bool, expected: int
) -> None:
    shape = FluxShape(depth, depth_single, 256, guidance_embed=guidance)
    names = [spec.name for spec in flux_tensors(shape, 0, "f16")]
    assert len(names) == len(set(names)) == expected


def test_flux_names_and_shapes() -> None:
    shape = FluxShape(1, 1, 3072, guidance_embed=True)
    shapes = {spec.name: spec.shape for spec in flux_tensors(shape, 0, "f16")}
    matrices = {
        "img_in": (3072, 64),
        "txt_in": (3072, 4096),
        "time_in.in_layer": (3072, 256),
        "time_in.out_layer": (3072, 3072),
        "vector_in.in_layer": (3072, 768),
        "vector_in.out_layer": (3072, 3072),
        "guidance_in.in_layer": (3072, 256),
        "guidance_in.out_layer": (3072, 3072),
        "single_blocks.0.modulation.lin": (9216, 3072),
        "single_blocks.0.linear1": (21504, 3072),
        "single_blocks.0.linear2": (3072, 15360),
        "final_layer.adaLN_modulation.1": (6144, 3072),
        "final_layer.linear": (64, 3072),
    }
    norms = ["single_blocks.0.norm"]
    for stream in ("img", "txt"):
        matrices[f"double_blocks.0.{stream}_mod.lin"] = (18432, 3072)
        matrices[f"double_blocks.0.{stream}_attn.qkv"] = (9216, 3072)
        matrices[f"double_blocks.0.{stream}_attn.proj"] = (3072, 3072)
        matrices[f"double_blocks.0.{stream}_mlp.0"] = (12288, 3072)
        matrices[f"double_blocks.0.{stream}_mlp.2"] = (3072, 12288)
        norms.append(f"double_blocks.0.{stream}_attn.norm")
    expected: dict[str, tuple[int, ...]] = {}
    for name, size in matrices.items():
        expected[f"{name}.weight"] = size
        expected[f"{name}.bias"] = size[:1]
    for name in norms:
        expected[f"{name}.query_norm.scale"] = expected[f"{name}.key_norm.scale"] = (128,)
    assert shapes == expected


def test_pulid_names_and_shapes_for_the_real_depth() -> None:
    specs = pulid_tensors(FluxShape(19, 38, 3072), 0)
    shapes = {spec.name: spec.shape for spec in specs}
    assert {spec.dtype for spec in specs} == {"bf16"}
    assert len(specs) == 20 * 7
    for layer in range(20):
        assert shapes[f"pulid_ca.{layer}.norm1.weight"] == (2048,)
        assert shapes[f"pulid_ca.{layer}.norm1.bias"] == (2048,)
        assert shapes[f"pulid_ca.{layer}.norm2.weight"] == (3072,)
        assert shapes[f"pulid_ca.{layer}.norm2.bias"] == (3072,)
        # The real file has 16 heads here, this one 2.
        assert shapes[f"pulid_ca.{layer}.to_q.weight"] == (256, 3072)
        assert shapes[f"pulid_ca.{layer}.to_kv.weight"] == (512, 2048)
        assert shapes[f"pulid_ca.{layer}.to_out.weight"] == (3072, 256)


@pytest.mark.parametrize(
    ("depth", "depth_single", "layers"), [(3, 5, 4), (1, 1, 2), (4, 4, 3), (5, 9, 6)]
)
def test_pulid_layers_follow_the_depth(depth: int, depth_single: int, layers: int) -> None:
    names = {spec.name for spec in pulid_tensors(FluxShape(depth, depth_single, 128), 0)}
    assert {name.split(".")[1] for name in names} == {str(i) for i in range(layers)}


def test_pulid_takes_the_encoder_and_its_width(tmp_path: Path) -> None:
    encoder = {
        "pulid_encoder.latents": normal(1, "latents", (1, 8, 16)),
        "pulid_encoder.proj_out": normal(1, "proj_out", (16, 96)),
    }
    specs = pulid_tensors(FluxShape(1, 1, 128), 0, encoder)
    write_safetensors(tmp_path / "pulid.safetensors", specs)
    tensors = read_safetensors(tmp_path / "pulid.safetensors")
    assert tensors["pulid_ca.0.to_kv.weight"].shape == (512, 96)
    for name, values in encoder.items():
        expected = torch.from_numpy(values).to(torch.bfloat16)
        assert torch.equal(tensors[name], expected)
    with pytest.raises(ValueError, match="pulid_ca"):
        pulid_tensors(FluxShape(), 0, {"pulid_ca.0.to_q.weight": np.zeros((1, 1))})


def test_files_are_what_the_gguf_and_safetensors_packages_read(files: dict[str, Path]) -> None:
    specs = {spec.name: spec for spec in flux_tensors(FluxShape(**SMALL), 0, "f16")}
    reader = gguf.GGUFReader(str(files["flux-f16"]))
    assert reader.fields["general.architecture"].contents() == "flux"
    assert [tensor.name for tensor in reader.tensors] == list(specs)
    for tensor in reader.tensors:
        spec = specs[tensor.name]
        assert row_major_shape(tensor) == spec.shape
        values = spec.values()
        stored_type = np.float32 if len(spec.shape) == 1 else np.float16
        assert tensor.data.dtype == stored_type
        assert np.array_equal(tensor.data, values.astype(stored_type))
    pulid = {spec.name: spec for spec in pulid_tensors(FluxShape(**SMALL), 0)}
    for name, tensor in read_safetensors(files["pulid"]).items():
        expected = torch.from_numpy(pulid.pop(name).values()).to(torch.bfloat16)
        assert torch.equal(tensor, expected)
    assert not pulid


@pytest.mark.parametrize(
    ("quantization", "bound"), [("q8_0", 0.01), ("q4_0", 0.12), ("q4_k", 0.12)]
)
def test_quantized_weights_are_close_to_the_exact_ones(
    files: dict[str, Path], quantization: str, bound: float
) -> None:
    exact, quantized = read_gguf(files["flux-f16"]), read_gguf(files[f"flux-{quantization}"])
    assert list(exact) == list(quantized)
    n_quantized = 0
    for name, tensor in quantized.items():
        a, b = dequantized(exact[name]), dequantized(tensor)
        error = np.sqrt(np.mean((a - b) ** 2) / np.mean(a**2))
        in_block = "blocks." in name and a.ndim == 2
        assert tensor.tensor_type.name.lower() == (
            quantization if in_block else ("f16" if a.ndim == 2 else "f32")
        )
        assert error <= (bound if in_block else 0), name
        n_quantized += in_block
    assert n_quantized == 10 + 3


def test_q4_k_error_is_within_half_a_step_and_its_scale_rounding() -> None:
    values = normal(3, "q4_k", (12, 512)) * np.float32(10) ** np.arange(-8, 4)[:, np.newaxis]
    flat = np.array([[0], [1], [-1]], np.float32) * np.ones(512, np.float32)
    values = np.concatenate([values, flat])
    decoded = gguf.quants.dequantize(quantize_q4_k(values), gguf.GGMLQuantizationType.Q4_K)
    for row, back in zip(values[6:], decoded[6:], strict=True):
        reach = np.abs(row).max()
        # Half of 1/15 of the reach either way, and scale and offset off by 1/2 of 1/63.
        assert np.abs(row - back).max() <= reach * (2 / 30 + 2 / 126 + 2 / 126)
    # Steps below float16's smallest number: flushed towards zero, not to garbage.
    assert np.abs(decoded[:2]).max() <= 1e-5
    with pytest.raises(ValueError, match="256"):
        quantize_q4_k(np.zeros((2, 128), np.float32))


def test_bfloat16_rounds_like_torch() -> None:
    values = normal(5, "bf16", (4096,), deviation=100)
    ties = np.array([1 + 2**-8, 1 + 3 * 2**-8, -1 - 2**-8, 0, -0.0, 3e38], np.float32)
    values = np.concatenate([values, ties])
    expected = torch.from_numpy(values).to(torch.bfloat16).view(torch.uint16).numpy()
    assert np.array_equal(bfloat16(values), expected)


def test_normal_is_standard_and_reproducible() -> None:
    values = normal(0, "a", (200_000,))
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01
    assert np.abs(values).max() < 3.5
    # Literal values: the weights must not change with NumPy or the machine.
    expected = [0.6239093542098999, 0.2139427363872528, 0.3323710858821869, -0.8654439449310303]
    assert normal(0, "a", (4,)).tolist() == expected
    assert not np.array_equal(values, normal(0, "b", (200_000,)))
    assert not np.array_equal(values, normal(1, "a", (200_000,)))


def test_same_seed_same_bytes_other_seed_other_bytes(
    files: dict[str, Path], tmp_path: Path
) -> None:
    roles = ("flux-q4_0", "pulid", "taesd", "vae", "clip_l")
    again = make_standin_weights(tmp_path / "again", **SMALL, quantizations=("q4_0",))
    other = make_standin_weights(tmp_path / "other", **SMALL, quantizations=("q4_0",), seed=1)
    for role in roles:
        digests = [hashlib.sha256(s[role].read_bytes()).digest() for s in (files, again, other)]
        assert digests[0] == digests[1], role
        assert digests[0] != digests[2], role


def test_files_are_kept_until_a_parameter_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**SMALL, "hidden": 128, "quantizations": ("q8_0",)}

    def times() -> dict[str, int]:
        monkeypatch.setattr("standin.file_set._in_use", {})  # as of another process
        made = make_standin_weights(tmp_path, **options)
        return {role: path.stat().st_mtime_ns for role, path in made.items()}

    first = times()
    assert times() == first

    options["depth"] = 2
    deeper = times()
    assert {role for role in first if first[role] != deeper[role]} == {"flux-q8_0", "pulid"}

    options["idformer_tensors"] = {"pulid_encoder.proj_out": np.ones((4, 2048), np.float32)}
    assert {role for role, time in times().items() if time != deeper[role]} == {"pulid"}

    (tmp_path / "taef1.safetensors").write_bytes(b"cut short")
    manifest = tmp_path / "standin.json"
    entries = json.loads(manifest.read_text())
    assert set(entries) == {
        "flux1-schnell-standin-Q8_0.gguf",
        "pulid_flux_v0.9.1.safetensors",
        "taef1.safetensors",
        "ae.safetensors",
        "clip_l.gguf",
    }
    before = times()
    assert (tmp_path / "taef1.safetensors").stat().st_size == entries["taef1.safetensors"]["size"]
    manifest.write_text("not json")
    assert all(time != before[role] for role, time in times().items())


def test_a_file_that_was_given_stays_what_it_was(tmp_path: Path) -> None:
    """Whoever loads it a second time, after another test, relies on that."""
    sizes = {**SMALL, "hidden": 128, "quantizations": ("q8_0",)}
    first = make_standin_weights(tmp_path, **sizes)
    before = {role: path.read_bytes() for role, path in first.items()}
    with pytest.raises(ValueError, match=r"Q8_0\.gguf is in use with other depth:"):
        make_standin_weights(tmp_path, **{**sizes, "depth": 2})
    assert make_standin_weights(tmp_path, **sizes) == first
    assert {role: path.read_bytes() for role, path in first.items()} == before
    make_standin_weights(tmp_path / "deeper", **{**sizes, "depth": 2})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": 200}, "multiple of 128"),
        ({"hidden": 0}, "multiple of 128"),
        ({"hidden": 384}, "q4_k"),
        ({"depth": 0}, "depth 0"),
        ({"depth_single": 0}, "expected 1 or more"),
        ({"quantizations": ("q5_x",)}, "q5_x"),
        ({"seed": -1}, "seed -1"),
    ],
)
def test_impossible_parameters_are_refused(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_standin_weights(tmp_path / "none", **options)  # type: ignore[arg-type]
    assert not (tmp_path / "none").exists()


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputFileError, match="file"):
        make_standin_weights(tmp_path / "file" / "weights")


def test_holes_read_as_zeros_and_take_no_room(tmp_path: Path) -> None:
    path = tmp_path / "holes.safetensors"
    n = 1 << 20
    write_safetensors(
        path,
        [
            TensorSpec("hole", (n,), "f32"),
            TensorSpec("ones", (3,), "f32", lambda: np.ones(3, np.float32)),
            TensorSpec("last", (n,), "f32"),
        ],
    )
    tensors = read_safetensors(path)
    assert tensors["ones"].tolist() == [1, 1, 1]
    assert not tensors["hole"].any()
    assert not tensors["last"].any()
