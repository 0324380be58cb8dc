"""Files converted by the engine: right, checked, whole or not there."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_worker import CommandWorker
from file_drafts import draft_safetensors, pulid_shapes, write_pulid_weights
from pulid_sdcpp import (
    GenerationCancelled,
    GenerationError,
    MemoryPlanError,
    ModelFileError,
    OutputFileError,
    StableDiffusion,
)
from pulid_sdcpp.conversion import convert as conversion
from pulid_sdcpp.conversion.convert import CONVERSION_TYPES, convert_file
from pulid_sdcpp.evaluation.face_similarity import cosine_similarities
from pulid_sdcpp.families.flux.folding import fold_layer
from pulid_sdcpp.families.flux.layout import check_diffusion_model
from pulid_sdcpp.families.flux.pulid_weights import PulidWeights
from pulid_sdcpp.families.sdxl.pulid_weights import SdxlPulidWeights
from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes, unet_tensor_shapes
from pulid_sdcpp.native import library as native_library
from pulid_sdcpp.pocket.pack import pocket_files
from pulid_sdcpp.tensors.sdxl_pulid_names import renamed
from pulid_sdcpp.tensors.tensor_file import TensorFile

pytestmark = pytest.mark.engine

QUANTIZED = [name for name in CONVERSION_TYPES if name[0] in "qi"]
SIZES = {"layers": 1, "hidden": 256, "heads": 2, "id_dim": 256}
TO_Q = "pulid_ca.0.to_q.weight"
Arrays = dict[str, np.ndarray]


@pytest.fixture
def pulid(tmp_path: Path) -> Path:
    """A small file with rows that every type's block divides."""
    return write_pulid_weights(tmp_path / "pulid.safetensors", **SIZES)


def write(path: Path, arrays: Arrays, names: dict[str, str] | None = None) -> Path:
    """Arrays as safetensors; `names`: other type names than NumPy's."""
    kinds = {"float32": "F32", "float16": "F16", "uint8": "U8", "int64": "I64", "float64": "F64"}
    entries, data = {}, b""
    for name, array in arrays.items():
        start = len(data)
        data += array.tobytes()
        kind = (names or {}).get(name, kinds[array.dtype.name])
        entries[name] = {
            "dtype": kind, "shape": list(array.shape), "data_offsets": [start, len(data)],
        }  # fmt: skip
    path.write_bytes(draft_safetensors(entries, data))
    return path


def pulid_arrays(make: Callable[[tuple[int, ...]], np.ndarray]) -> Arrays:
    return {name: make(shape).astype(np.float32) for name, shape in pulid_shapes(**SIZES).items()}


def only(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_keeps_a_quantized_type_is_not_for_safetensors(
    standin_weights: dict[str, Path], tmp_path: Path
) -> None:
    """Embeddings keep theirs; that was found after the work was done."""
    output = tmp_path / "clip_l.safetensors"
    says = r"but 'text_model.embeddings.token_embedding.weight' keeps its type q4_0; name a .gguf"
    with pytest.raises(ValueError, match=says):
        convert_file(standin_weights["clip_l"], output, "f32")
    assert not output.exists()


# What comes out


@pytest.mark.parametrize("wtype", CONVERSION_TYPES)
def test_every_type_gives_a_file_that_folding_reads(
    pulid: Path, tmp_path: Path, wtype: str
) -> None:
    done = convert_file(pulid, tmp_path / "out.gguf", wtype)
    assert done.what == "PuLID weights for Flux"
    assert done.types[wtype.lower()] >= 3
    assert done.output_bytes == (tmp_path / "out.gguf").stat().st_size
    with TensorFile(tmp_path / "out.gguf") as file:
        assert file.dtype(TO_Q) == wtype.lower()
        assert file.dtype("pulid_ca.0.norm1.weight") == "f32"
        assert file.dtype("pulid_ca.0.norm1.bias") == "f16"
    tokens = np.random.default_rng(0).normal(size=(32, SIZES["id_dim"]))
    folded = []
    for path in (pulid, tmp_path / "out.gguf"):
        with PulidWeights(path) as weights:
            folded.append(fold_layer(weights.layer(0), tokens.astype(np.float32), weights.heads).b)
    relative = np.linalg.norm(folded[1] - folded[0]) / np.linalg.norm(folded[0])
    print(f"{wtype}: {done.relative_error:.1e} of the weights, {relative:.1e} of folded values")
    assert relative < 3 * max(done.relative_error, 1e-3)  # three matrices


@pytest.mark.parametrize("wtype", QUANTIZED)
@pytest.mark.parametrize("kind", ["normal", "two values", "sparse", "heavy tails", "tiny", "zero"])
def test_the_derived_tolerance_holds_for_all_kinds_of_numbers(
    tmp_path: Path, wtype: str, kind: str
) -> None:
    random = np.random.default_rng(1)
    make: dict[str, Callable[[tuple[int, ...]], np.ndarray]] = {
        "normal": lambda shape: random.normal(size=shape),
        "two values": lambda shape: random.choice([-0.5, 0.5], size=shape),
        "sparse": lambda shape: (random.random(shape) < 0.01) * random.normal(size=shape),
        "heavy tails": lambda shape: random.standard_t(2, size=shape),
        "tiny": lambda shape: 1e-4 * random.normal(size=shape),
        "zero": np.zeros,
    }
    source = write(tmp_path / "in.safetensors", pulid_arrays(make[kind]))
    done = convert_file(source, tmp_path / "out.gguf", wtype)
    assert done.types[wtype.lower()] >= 3
    assert done.relative_error < 1


def test_rows_that_no_block_divides_keep_their_type(tmp_path: Path) -> None:
    source = write_pulid_weights(tmp_path / "in.safetensors", layers=1, hidden=128, id_dim=48)
    convert_file(source, tmp_path / "out.gguf", "q4_K")
    with TensorFile(tmp_path / "out.gguf") as file:
        assert file.dtype(TO_Q) == "f16"  # 128 is no multiple of 256
        assert file.dtype("pulid_ca.0.to_kv.weight") == "f16"
        assert file.dtype("pulid_ca.0.to_out.weight") == "q4_k"


def test_rules_choose_types_by_name(pulid: Path, tmp_path: Path) -> None:
    rules = r"to_q\.=f32,to_out=q8_0"  # larger than q2_K: memory is reserved by them too
    convert_file(pulid, tmp_path / "out.gguf", "q2_K", tensor_type_rules=rules)
    with TensorFile(tmp_path / "out.gguf") as file:
        names = ("to_q", "to_out", "to_kv")
        found = [file.dtype(f"pulid_ca.0.{name}.weight") for name in names]
    assert found == ["f32", "q8_0", "q2_k"]


@pytest.mark.parametrize("flux", ["flux-f16", "flux-q8_0", "flux-q4_k"])
def test_flux_stays_flux(standin_weights: dict[str, Path], tmp_path: Path, flux: str) -> None:
    before = check_diffusion_model(standin_weights[flux])
    done = convert_file(standin_weights[flux], tmp_path / "out.gguf", "q4_0")
    after = check_diffusion_model(tmp_path / "out.gguf")
    assert (after.depth, after.depth_single, after.hidden_size) == (
        before.depth, before.depth_single, before.hidden_size,
    )  # fmt: skip
    assert done.types["q4_0"] > 20
    with TensorFile(standin_weights[flux]) as source, TensorFile(tmp_path / "out.gguf") as result:
        name = next(name for name in source.names() if name.endswith("img_in.weight"))
        assert result.dtype(name) == source.dtype(name)


def test_a_gguf_becomes_safetensors(standin_weights: dict[str, Path], tmp_path: Path) -> None:
    done = convert_file(standin_weights["flux-q8_0"], tmp_path / "out.safetensors", "bf16")
    assert done.types["bf16"] > 20
    with TensorFile(tmp_path / "out.safetensors") as file:
        assert file.format == "safetensors"


def test_float8_and_whole_numbers_are_read_as_the_engine_reads_them(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 120, size=(512, 256), dtype=np.uint8)
    arrays: Arrays = {
        "text_model.embeddings.token_embedding.weight": np.zeros((49408, 768), np.float16),
        "text_model.embeddings.position_ids": np.arange(77, dtype=np.int64)[None],
        "text_model.encoder.layers.0.mlp.fc1.weight": codes,
        "text_model.encoder.layers.0.mlp.fc2.weight": codes // 2,
        "text_model.encoder.layers.0.layer_norm1.weight": np.ones(768, np.float64),
    }
    eights = {f"text_model.encoder.layers.0.mlp.fc{n}.weight": f"F8_E{k}"
              for n, k in ((1, "4M3"), (2, "5M2"))}  # fmt: skip
    source = write(tmp_path / "in.safetensors", arrays, eights)
    done = convert_file(source, tmp_path / "out.gguf", "q8_0")
    assert done.types == {"q8_0": 2, "f16": 1, "i32": 1, "f32": 1}


def test_a_picture_from_converted_files_shows_the_person(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from PIL import Image

    from pulid_extractor import IdentityExtractor
    from pulid_extractor.judge import Judge

    files = pocket_files()
    made = {}
    for role, wtype in (("diffusion_model", "q4_0"), ("clip_l", "q8_0"), ("pulid_weights", "q8_0")):
        made[role] = tmp_path / f"{role}.gguf"
        convert_file(getattr(files, role), made[role], wtype)
    people = files.portraits[:4]
    identity = IdentityExtractor(files.models_dir, device="cpu").extract(people[0])
    with StableDiffusion(
        diffusion_model_path=made["diffusion_model"],
        clip_l_path=made["clip_l"],
        taesd_path=files.taesd,
        pulid_weights=made["pulid_weights"],
    ) as engine:
        (picture,) = engine.generate_image(
            "portrait of a person", width=128, height=128, sample_steps=4, cfg_scale=1.0,
            pulid_id_embedding=identity,
        )  # fmt: skip
    judge = Judge(files.models_dir, judges=[files.judge], device="cpu")
    looks = [np.asarray(Image.open(person).convert("RGB")) for person in people]
    found, *references = (
        judge.look(image).embeddings["judge"]
        for image in (np.asarray(picture.convert("RGB")), *looks)
    )
    likeness = cosine_similarities([found], references)[0]
    print("likeness to the person and to three others:", likeness.round(2))
    assert likeness[0] > 0.5
    assert likeness[0] > likeness[1:].max() + 0.2


# What is refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"wtype": "q4_9"}, "type is 'q4_9', but must be one of f32, f16"),
        ({"wtype": "default"}, "but must be one of f32"),
        ({"output": "out.bin"}, "must end in .gguf or .safetensors"),
        ({"output": "out.safetensors"}, "a .safetensors file holds f32, f16, bf16, not q8_0"),
        ({"output": "pulid.safetensors", "wtype": "f16"}, "is a file that is read"),
        ({"tensor_type_rules": "to_q"}, "must have PATTERN=TYPE"),
        ({"tensor_type_rules": "to_(q=f16"}, "tensor_type_rules"),
    ],
    ids=str,
)
def test_a_callers_mistake_is_a_value_error(
    pulid: Path, tmp_path: Path, arguments: dict[str, str], message: str
) -> None:
    given = {"output": "out.gguf", "wtype": "q8_0", **arguments}
    output = tmp_path / given.pop("output")
    with pytest.raises(ValueError, match=message):
        convert_file(pulid, output, overwrite=True, **given)
    assert only(tmp_path) == [pulid.name]


def test_an_existing_output_is_kept_unless_told(pulid: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    output.write_bytes(b"mine")
    with pytest.raises(OutputFileError, match=r"out\.gguf: it exists; .*--overwrite"):
        convert_file(pulid, output, "q8_0")
    assert output.read_bytes() == b"mine"
    convert_file(pulid, output, "q8_0", overwrite=True)
    assert output.read_bytes()[:4] == b"GGUF"


def test_an_output_that_came_meanwhile_is_kept(
    pulid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.gguf"
    run = conversion._run

    def slow_run(*arguments: Any) -> None:
        run(*arguments)
        output.write_bytes(b"mine")

    monkeypatch.setattr(conversion, "_run", slow_run)
    with pytest.raises(OutputFileError, match="exists"):
        convert_file(pulid, output, "q8_0")
    assert output.read_bytes() == b"mine"
    assert only(tmp_path) == ["out.gguf", pulid.name]


@pytest.mark.parametrize("role", ["vae", "taesd"])
def test_other_files_are_refused_by_what_they_are(
    standin_weights: dict[str, Path], tmp_path: Path, role: str
) -> None:
    with pytest.raises(ModelFileError, match=r"expected Flux, SDXL, .* found a .*autoencoder"):
        convert_file(standin_weights[role], tmp_path / "out.gguf", "q8_0")


@pytest.mark.parametrize("spelling", [str, renamed])
@pytest.mark.parametrize(("output", "wtype"), [("out.gguf", "q8_0"), ("out.safetensors", "f16")])
def test_pulid_for_sdxl_keeps_its_layers(
    tmp_path: Path, spelling: Callable[[str], str], output: str, wtype: str
) -> None:
    chance = np.random.default_rng(0)
    shapes = {"id_adapter.body.0.weight": (64, 64), "id_adapter.body.1.weight": (64,)}
    shapes |= {f"id_adapter_attn_layers.1.id_to_{part}.weight": (64, 64) for part in "kv"}
    arrays = {
        spelling(name): chance.standard_normal(shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    source = write(tmp_path / "pulid_v1.safetensors", arrays)
    done = convert_file(source, tmp_path / output, wtype)
    assert done.what == "PuLID weights for SDXL (v1)"
    with SdxlPulidWeights(source) as before, SdxlPulidWeights(done.path) as after:
        assert (after.version, after.widths) == (before.version, {1: 64})
        found, wanted = after.rows(1)[0][:], before.rows(1)[0][:]
        assert np.linalg.norm(found - wanted) < 0.01 * np.linalg.norm(wanted)
        assert after.file.dtype(spelling("id_adapter.body.1.weight")) == "f32"


def test_the_torch_checkpoint_of_pulid_v1_is_converted(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    layers = {f"id_adapter_attn_layers.1.id_to_{part}.weight": torch.rand(64, 32) for part in "kv"}
    torch.save({"id_adapter.body.0.weight": torch.rand(8, 8)} | layers, tmp_path / "pulid_v1.bin")
    done = convert_file(tmp_path / "pulid_v1.bin", tmp_path / "pulid_v1.safetensors", "f16")
    assert done.types == {"f16": 3}
    with SdxlPulidWeights(done.path) as weights:
        rounded = layers["id_adapter_attn_layers.1.id_to_v.weight"].half().float().numpy()
        np.testing.assert_array_equal(weights.rows(1)[1][:], rounded)
    assert only(tmp_path) == ["pulid_v1.bin", "pulid_v1.safetensors"]


def test_an_sdxl_checkpoint_keeps_its_parts(tmp_path: Path) -> None:
    unet = {k: v for k, v in unet_tensor_shapes(UnetSizes(32, (1, 1))) if "to_" not in k}
    text = [f"{block}.attn2.to_k.weight" for block in ("input_blocks.4.1.transformer_blocks.0",)]
    unet |= dict.fromkeys(text, (64, 2048))
    chance = np.random.default_rng(0)
    arrays = {
        f"model.diffusion_model.{name}": chance.standard_normal(shape).astype(np.float16)
        for name, shape in unet.items()
    }
    prefix = "conditioner.embedders"
    arrays[f"{prefix}.1.model.text_projection"] = chance.random((64, 64)).astype(np.float16)
    arrays["first_stage_model.decoder.conv_in.weight"] = np.ones((32, 4, 3, 3), np.float16)
    left_out = {
        f"{prefix}.0.transformer.text_model.embeddings.position_ids": np.arange(77)[None],
        f"{prefix}.1.model.logit_scale": np.ones((), np.float16),
        "denoiser.sigmas": np.ones(1000, np.float32),
    }
    source = write(tmp_path / "sdxl.safetensors", arrays | left_out)
    done = convert_file(source, tmp_path / "sdxl.gguf", "q8_0")
    assert done.what == "an SDXL model"
    with TensorFile(done.path) as file:
        assert set(file.names()) == set(arrays)
        assert file.dtype(f"{prefix}.1.model.text_projection") == "q8_0"
        assert file.dtype("first_stage_model.decoder.conv_in.weight") == "f16"
        feed = "model.diffusion_model.middle_block.1.transformer_blocks.0.ff.net.2.weight"
        assert file.dtype(feed) == "q8_0"


@pytest.mark.parametrize(
    ("name", "array", "kind", "message"),
    [
        ("packed.weight", np.zeros((4, 4), np.uint8), None, "is of type u8, which the engine"),
        ("counts.weight", np.zeros((4, 4), np.int64), None, "whole numbers"),
        ("none.weight", np.zeros((0, 4), np.float32), None, "has 0 numbers"),
        ("x" * 128, np.zeros(4, np.float32), None, "longer name than the engine can write"),
        ("nan.weight", np.full((4, 256), np.nan, np.float32), None, "NaN or infinity"),
        ("scale.weight", np.zeros((4, 4), np.uint8), "F8_E8M0", "is of type f8_e8m0"),
    ],
    ids=["packed", "whole", "empty", "long name", "nan", "scales"],
)
def test_tensors_that_cannot_be_converted_are_named(
    tmp_path: Path, name: str, array: np.ndarray, kind: str | None, message: str
) -> None:
    arrays = pulid_arrays(np.ones) | {name: array}
    source = write(tmp_path / "in.safetensors", arrays, {name: kind} if kind else None)
    with pytest.raises(ModelFileError, match=message):
        convert_file(source, tmp_path / "out.gguf", "q8_0")
    assert only(tmp_path) == ["in.safetensors"]


def test_numbers_too_large_for_the_type_are_an_error(tmp_path: Path) -> None:
    source = write(tmp_path / "in.safetensors", pulid_arrays(lambda shape: np.full(shape, 1e5)))
    with pytest.raises(GenerationError, match="became infinite; give it the type bf16 or f32"):
        convert_file(source, tmp_path / "out.gguf", "f16")
    assert only(tmp_path) == ["in.safetensors"]


def test_a_full_disk_is_known_before(
    pulid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion.shutil, "disk_usage", lambda folder: type("U", (), {"free": 9}))
    with pytest.raises(OutputFileError, match=r"it needs .* GB, the disk has 0.0 GB free"):
        convert_file(pulid, tmp_path / "out.gguf", "q8_0")


def test_a_result_larger_than_memory_is_known_before(
    pulid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "total_memory_bytes", lambda: 1000)
    with pytest.raises(MemoryPlanError, match="choose a smaller type"):
        convert_file(pulid, tmp_path / "out.gguf", "q8_0")


# What goes wrong


@pytest.mark.parametrize("damage", ["numbers", "cut", "empty"])
def test_a_wrong_result_is_found_and_removed(
    pulid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    run = conversion._run

    def damaging_run(source: str, target: Path, *rest: Any) -> None:
        run(source, target, *rest)
        content = bytearray(target.read_bytes())
        if damage == "numbers":
            with TensorFile(target) as file:
                info = file.info(TO_Q)
            content[info.offset : info.offset + info.nbytes] = bytes(info.nbytes)
        elif damage == "cut":
            del content[-100:]
        else:
            content.clear()
        target.write_bytes(content)

    monkeypatch.setattr(conversion, "_run", damaging_run)
    expected = GenerationError if damage == "numbers" else ModelFileError
    message = "to_q.* is off by .* explains" if damage == "numbers" else "truncated|empty"
    with pytest.raises(expected, match=message):
        convert_file(pulid, tmp_path / "out.gguf", "q8_0")
    assert only(tmp_path) == [pulid.name]


def test_an_interruption_leaves_nothing(
    pulid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = conversion._run

    def interrupted_run(*arguments: Any) -> None:
        run(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion, "_run", interrupted_run)
    with pytest.raises(KeyboardInterrupt):
        convert_file(pulid, tmp_path / "out.gguf", "q8_0")
    assert only(tmp_path) == [pulid.name]


def test_a_running_conversion_can_be_stopped(pulid: Path, tmp_path: Path) -> None:
    def stop(step: int, steps: int, time_s: float) -> None:
        native_library.library().pulid_set_loading_cancelled(True)  # as Ctrl-C does

    def refuse(step: int, steps: int, time_s: float) -> None:
        raise LookupError("enough")

    for progress, expected in ((stop, GenerationCancelled), (refuse, LookupError)):
        with pytest.raises(expected):
            convert_file(pulid, tmp_path / "out.gguf", "q8_0", progress=progress)
        assert only(tmp_path) == [pulid.name]
    convert_file(pulid, tmp_path / "out.gguf", "q8_0")


def test_a_failure_of_the_engine_is_told(pulid: Path, tmp_path: Path) -> None:
    with TensorFile(pulid) as file:
        plan = conversion.plan_conversion(file.header, file.path, "q8_0", "")
    target = tmp_path / "missing" / "out.gguf"
    with pytest.raises(GenerationError, match=r"the engine could not convert .*failed to"):
        conversion._run(str(pulid), target, plan, None)


@pytest.fixture(scope="module")
def worker() -> Iterator[CommandWorker]:
    opened = CommandWorker()
    yield opened
    opened.close()


def test_damaged_files_end_in_one_line_and_not_the_process(
    pulid: Path, tmp_path: Path, worker: CommandWorker
) -> None:
    content = pulid.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    drafts = {f"cut at {size}": content[:size] for size in (1, 7, 8, 100, length, length + 9)}
    drafts["cut at the end"] = content[:-1]
    for key, value in (
        ("shape", [2**31, 2**31]), ("shape", [0, 256]), ("shape", [-1, 256]), ("shape", []),
        ("shape", [1] * 8), ("shape", "x"), ("dtype", "F65"), ("dtype", None), ("dtype", "BOOL"),
        ("data_offsets", [0, 2**63]), ("data_offsets", [5, 3]), ("data_offsets", []),
    ):  # fmt: skip
        changed = {**header, TO_Q: {**header[TO_Q], key: value}}
        drafts[f"{key} {value}"] = draft_safetensors(changed, content[8 + length :])
    random = np.random.default_rng(0)
    convert_file(pulid, tmp_path / "right.gguf", "f16")
    right = (tmp_path / "right.gguf").read_bytes()
    for number in range(40):
        changed_bytes = bytearray(right)
        for place in random.integers(0, 1200, size=3):
            changed_bytes[place] = random.integers(256)
        drafts[f"gguf {number}"] = bytes(changed_bytes)
    (tmp_path / "right.gguf").unlink()
    done = 0
    for name, draft in drafts.items():
        bad = tmp_path / "bad.bin"
        bad.write_bytes(draft)
        output = tmp_path / "out.gguf"
        outcome = worker.run(["convert", str(bad), "-o", str(output), "--type", "q4_0", "--quiet"])
        assert outcome.status in (0, 1), f"{name}: {outcome}"
        if outcome.status == 0:  # a byte that means nothing
            done += 1
            output.unlink()
        else:
            assert outcome.stderr.startswith("error: "), f"{name}: {outcome}"
            assert outcome.stderr.count("\n") == 1, f"{name}: {outcome}"
        assert only(tmp_path) == ["bad.bin", pulid.name], name
    print(f"{done} of {len(drafts)} could be converted all the same")
    assert done < 20
