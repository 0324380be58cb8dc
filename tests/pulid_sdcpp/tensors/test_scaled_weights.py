"""Files of ComfyUI's "scaled fp8": every weight is what is stored, times its scale."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from file_drafts import draft_safetensors
from pulid_sdcpp import ModelFileError, PulidError, StableDiffusion
from pulid_sdcpp.conversion.convert import convert_file
from pulid_sdcpp.memory.parameters import model_sizes
from pulid_sdcpp.model_files import engine_checks as engine_files
from pulid_sdcpp.model_files.description import describe_file
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.tensors.tensor_file import TensorFile

Files = dict[str, Path]
Tensor = tuple[str, tuple[int, ...], bytes]
Drafts = Callable[[str], tuple[Path, Path, Path]]
E5M2_BLOCK = "single_blocks.0."
SIZES = {"depth": 1, "depth_single": 2, "hidden": 128}
NAMES = {
    "old": (".scale_weight", ".scale_input"),
    "new": (".weight_scale", ".input_scale"),
}


def save(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    """Tensors by name: type as safetensors names it, shape, bytes."""
    entries: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    data = b""
    for name, (kind, shape, raw) in tensors.items():
        entries[name] = {
            "dtype": kind, "shape": list(shape), "data_offsets": [len(data), len(data) + len(raw)],
        }  # fmt: skip
        data += raw
    path.write_bytes(draft_safetensors(entries, data))
    return path


def f32(*values: float) -> Tensor:
    shape = () if len(values) == 1 else (len(values),)
    return "F32", shape, np.array(values, "<f4").tobytes()


def float8_values(kind: str) -> np.ndarray:
    """What each finite code of a float8 means, from its bits; NaN for the others."""
    exponent_bits, bias = (4, 7) if kind == "F8_E4M3" else (5, 15)
    mantissa_bits = 7 - exponent_bits
    values = np.empty(256)
    for code in range(256):
        exponent = code >> mantissa_bits & (1 << exponent_bits) - 1
        fraction = (code & (1 << mantissa_bits) - 1) / (1 << mantissa_bits)
        size = (
            (1 + fraction) * 2.0 ** (exponent - bias) if exponent else fraction * 2.0 ** (1 - bias)
        )
        values[code] = -size if code & 128 else size
    last = [127] if kind == "F8_E4M3" else [124, 125, 126, 127]
    values[last + [code + 128 for code in last]] = np.nan
    return values


def to_codes(values: np.ndarray, kind: str) -> np.ndarray:
    """The nearest codes of a float8."""
    meanings = float8_values(kind)
    order = np.argsort(meanings)[: np.isfinite(meanings).sum()]
    known = meanings[order]
    place = np.clip(np.searchsorted(known, values), 1, len(known) - 1)
    nearer = np.abs(values - known[place - 1]) < np.abs(values - known[place])
    return order[place - nearer].astype(np.uint8)


def scaled_files(flux: Path, folder: Path, names: str = "old") -> tuple[Path, Path, Path]:
    """A Flux model in scaled fp8, and its weights multiplied out in F32 and in F16."""
    of_weight, of_input = NAMES[names]
    scaled: dict[str, Tensor] = {}
    plain: dict[str, np.ndarray] = {}
    if names == "old":
        scaled["scaled_fp8"] = ("F8_E4M3", (0,), b"")
    with TensorFile(flux) as file:
        for name in file.names():
            values = file.read(name)
            if values.ndim != 2 or "blocks" not in name:
                scaled[name] = ("F32", values.shape, values.tobytes())
                plain[name] = values
                continue
            kind = "F8_E5M2" if name.startswith(E5M2_BLOCK) else "F8_E4M3"
            meanings = float8_values(kind)
            scale = np.float32(np.abs(values).max() / np.nanmax(meanings) or 1)
            codes = to_codes(values / scale, kind)
            layer = name.removesuffix(".weight")
            scaled[name] = (kind, codes.shape, codes.tobytes())
            scaled[layer + of_weight] = f32(float(scale))
            scaled[layer + of_input] = f32(0.5)
            if names == "new":
                form = "float8_e5m2" if kind == "F8_E5M2" else "float8_e4m3fn"
                raw = json.dumps({"format": form}).encode()
                scaled[layer + ".comfy_quant"] = ("U8", (len(raw),), raw)
            plain[name] = meanings[codes].astype(np.float32) * scale
    exact = {name: ("F32", a.shape, a.tobytes()) for name, a in plain.items()}
    half = {
        name: ("F16", a.shape, a.astype("<f2").tobytes()) if a.ndim == 2 and "blocks" in name
        else ("F32", a.shape, a.tobytes())
        for name, a in plain.items()
    }  # fmt: skip
    return (
        save(folder / "scaled.safetensors", scaled),
        save(folder / "exact.safetensors", exact),
        save(folder / "half.safetensors", half),
    )


@pytest.fixture(scope="module")
def drafts(
    make_weights: Callable[..., Files], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Path, Path, Path]]:
    """What `scaled_files` makes, of a small model, once."""

    @functools.cache
    def make(names: str) -> tuple[Path, Path, Path]:
        flux = make_weights(**SIZES)["flux-f16"]
        return scaled_files(flux, tmp_path_factory.mktemp("scaled"), names)

    return make


def picture(weights: Files, flux: Path, **options: object) -> np.ndarray:
    engine = StableDiffusion(
        diffusion_model_path=flux,
        clip_l_path=weights["clip_l"],
        taesd_path=weights["taesd"],
        n_threads=1,
        **options,  # type: ignore[arg-type]
    )
    with engine:
        image = engine.generate_image(
            "a cat", width=64, height=64, sample_steps=1, cfg_scale=1.0, seed=7
        )[0]
    return np.asarray(image)


@pytest.mark.engine
def test_the_picture_is_that_of_the_weights_multiplied_out(
    standin_weights: Files, drafts: Drafts
) -> None:
    scaled, exact, half = drafts("old")
    wanted = picture(standin_weights, half)
    assert np.array_equal(picture(standin_weights, scaled), wanted)
    assert np.array_equal(picture(standin_weights, drafts("new")[0]), wanted)
    # Rounded once, from the exact product, to another type too.
    eight = picture(standin_weights, scaled, wtype="q8_0")
    assert np.array_equal(eight, picture(standin_weights, exact, wtype="q8_0"))
    assert not np.array_equal(eight, wanted)


@pytest.mark.engine
def test_a_converted_file_has_the_products_and_no_scales(drafts: Drafts, tmp_path: Path) -> None:
    scaled, exact, _ = drafts("old")
    convert_file(scaled, tmp_path / "out.safetensors", "f32")
    with TensorFile(tmp_path / "out.safetensors") as found, TensorFile(exact) as wanted:
        assert set(found.names()) == set(wanted.names())
        for name in wanted.names():
            assert np.array_equal(found.read(name), wanted.read(name)), name
    for source in (scaled, exact):
        convert_file(source, tmp_path / f"{source.stem}.gguf", "q8_0")
    with TensorFile(tmp_path / "scaled.gguf") as found, TensorFile(tmp_path / "exact.gguf") as also:
        for name in also.names():
            assert np.array_equal(found.read(name), also.read(name)), name


@pytest.mark.engine
def test_t5_and_clip_are_scaled_too(tmp_path: Path) -> None:
    codes = np.arange(64, dtype=np.uint8).reshape(2, 32)
    products = float8_values("F8_E4M3")[codes].astype(np.float32) * np.float32(0.3)
    t5 = "encoder.block.0.layer.0.SelfAttention.q"
    clip = "text_model.encoder.layers.0.self_attn.q_proj"
    wide = ("F32", (2, 4096), bytes(2 * 4096 * 4))
    for layer, embedding in ((t5, "shared"), (clip, "text_model.embeddings.token_embedding")):
        source = save(
            tmp_path / "in.safetensors",
            {
                "scaled_fp8": ("F8_E4M3", (0,), b""),
                f"{embedding}.weight": wide if layer == t5 else ("F32", (2, 768), bytes(6144)),
                f"{layer}.weight": ("F8_E4M3", (2, 32), codes.tobytes()),
                f"{layer}.scale_weight": f32(0.3),
                "spiece_model": ("U8", (3,), b"abc"),
            },
        )
        convert_file(source, tmp_path / "out.safetensors", "f32", overwrite=True)
        with TensorFile(tmp_path / "out.safetensors") as found:
            assert set(found.names()) == {f"{embedding}.weight", f"{layer}.weight"}
            assert np.array_equal(found.read(f"{layer}.weight"), products)


def test_products_are_read_in_python_too(tmp_path: Path) -> None:
    codes = np.array([[0, 1, 56, 184]], np.uint8)
    for kind, raw in (("F32", f32(3)[2]), ("F16", b"\x00\x42"), ("BF16", b"\x40\x40")):
        path = save(
            tmp_path / "x.safetensors",
            {"a.weight": ("F8_E4M3", (1, 4), codes.tobytes()), "a.scale_weight": (kind, (1,), raw)},
        )
        with TensorFile(path) as file:
            assert file.read("a.weight").tolist() == [[0, 3 * 2.0**-9, 3, -3]]
            assert file.read("a.scale_weight").tolist() == [3]


def test_the_hash_of_contents_knows_the_scale(tmp_path: Path) -> None:
    hashes = set()
    for scale in (1.0, 2.0):
        tensors = {"a.weight": ("F16", (2,), bytes(4)), "a.scale_weight": f32(scale)}
        with TensorFile(save(tmp_path / "x.safetensors", tensors)) as file:
            hashes.add(file.content_sha256(["a.weight"]))
    assert len(hashes) == 2


WEIGHT: Tensor = ("F8_E4M3", (2, 2), bytes(4))


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"a.scale_weight": f32(1)}, "'a.scale_weight' is the scale of a weight that is not there"),
        ({"a.weight": WEIGHT, "a.weight_scale": f32(1, 2)}, "to be one number, found f32 of shape"),
        ({"a.weight": WEIGHT, "a.weight_scale": ("F8_E4M3", (1,), b"8")}, "found f8_e4m3"),
        ({"a.weight": WEIGHT, "a.scale_weight": f32(float("nan"))}, "a positive number, found nan"),
        ({"a.weight": WEIGHT, "a.scale_weight": f32(float("inf"))}, "a positive number, found inf"),
        ({"a.weight": WEIGHT, "a.scale_weight": f32(0)}, "a positive number, found 0"),
        ({"a.weight": WEIGHT, "a.scale_weight": f32(-1)}, "a positive number, found -1"),
        (
            {"b.0.a.weight": WEIGHT, "b.0.a.scale_weight": f32(1), "b.11.a.weight": WEIGHT},
            "'b.11.a.weight' is without the scale that such weights of other blocks have",
        ),
        ({"a.weight": ("I8", (4,), bytes(4)), "a.weight_scale": f32(1)}, "is of type i8 and has"),
        (
            {"a.weight": WEIGHT, "a.weight_scale": f32(1), "a.scale_weight": f32(1)},
            "'a.weight' is of type f8_e4m3 and has the scale 'a.scale_weight'",
        ),
        (
            {"a.weight": WEIGHT, "a.comfy_quant": ("U8", (20,), b'{"format": "nvfp4"}\0')},
            "in ComfyUI's format 'nvfp4'",
        ),
        ({"a.weight": WEIGHT, "a.comfy_quant": ("U8", (9,), b'{"format"')}, "that is not JSON"),
    ],
)
def test_a_scale_that_is_not_right_is_named(
    tmp_path: Path, tensors: dict[str, Tensor], says: str
) -> None:
    path = save(tmp_path / "x.safetensors", tensors)
    with pytest.raises(ModelFileError) as caught:
        TensorFile(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "form", [{"format": "float8_e4m3fn", "convrot": True}, {"format": "int8_blockwise"}, "x", None]
)
def test_formats_in_the_metadata_are_looked_at(tmp_path: Path, form: object) -> None:
    metadata = {"_quantization_metadata": json.dumps({"layers": {"a": form}})}
    path = save(tmp_path / "x.safetensors", {"a.weight": WEIGHT}, metadata)
    with pytest.raises(ModelFileError, match="'a' is quantized in ComfyUI's format"):
        TensorFile(path)
    metadata = {
        "_quantization_metadata": json.dumps({"layers": {"a": {"format": "float8_e4m3fn"}}})
    }
    TensorFile(save(path, {"a.weight": WEIGHT}, metadata)).close()


@pytest.mark.engine
def test_the_engine_itself_takes_no_wrong_scale(
    standin_weights: Files, drafts: Drafts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaled, _, _ = drafts("old")
    monkeypatch.setattr(engine_files, "check_weight_scales", lambda path: None)
    whole = scaled.read_bytes()
    name = b'"single_blocks.0.linear1.scale_weight"'
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(whole.replace(name, name.replace(b"linear1", b"linear9")))
    with pytest.raises(PulidError, match=r"single_blocks.0.linear9.scale_weight' has no weight"):
        picture(standin_weights, broken)


def test_scales_are_counted_for_people(drafts: Drafts) -> None:
    scaled, exact, _ = drafts("new")
    n_scaled = sum(".comfy_quant" in tensor.name for tensor in describe_file(scaled).tensors)
    assert describe_file(scaled).details["weights with a scale"] == n_scaled > 0
    assert "weights with a scale" not in describe_file(exact).details


def test_scales_take_no_memory(standin_weights: Files, drafts: Drafts) -> None:
    scaled, _, half = drafts("old")
    sizes = [
        model_sizes(
            ContextOptions(
                diffusion_model_path=path,
                clip_l_path=standin_weights["clip_l"],
                taesd_path=standin_weights["taesd"],
            )
        )
        for path in (scaled, half)
    ]
    assert sizes[0] == sizes[1]
