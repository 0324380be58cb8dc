"""Whatever a caller gives the engine, the process lives and the answer is one typed error.

Each test runs a program in a process of its own: a native crash ends that, and is seen. All of
these ended the process, hung, or were passed over in silence before they were looked for.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from long_form import times

pytestmark = pytest.mark.engine

Files = dict[str, Path]
Run = Callable[..., dict[str, str]]

PRELUDE = """
import json, sys, time
import numpy as np
from PIL import Image
import pulid_sdcpp.engine
from pulid_sdcpp import GenerationCancelled, PulidError, StableDiffusion

weights = json.loads(sys.argv[1])
extra = json.loads(sys.argv[2])
IDENTITY = np.random.default_rng(1).normal(size=(32, 2048)).astype(np.float32)

def load(**options):
    files = {"diffusion_model_path": weights["flux-q8_0"], "clip_l_path": weights["clip_l"],
             "taesd_path": weights["taesd"], "n_threads": 2}
    return StableDiffusion(**{**files, **options})

def make(engine, prompt="a cat", **options):
    settings = {"width": 32, "height": 32, "sample_steps": 1, "cfg_scale": 1.0, "seed": 7}
    return engine.generate_image(prompt, **{**settings, **options})[0].tobytes()

def tell(name, call):
    try:
        call()
        answer = "made"
    except (PulidError, ValueError) as error:
        answer = f"{type(error).__name__}: {error}"
    except BaseException as error:
        answer = f"UNTYPED {type(error).__name__}: {error}"
    print("ANSWER", json.dumps([name, answer]), flush=True)
"""


@pytest.fixture
def run(standin_weights: Files) -> Run:
    """Run a program after the prelude; its answers by name."""

    def run(program: str, *, start: Sequence[str] = (), **extra: Any) -> dict[str, str]:
        arguments = [
            json.dumps({role: str(path) for role, path in standin_weights.items()}),
            json.dumps(extra, default=str),
        ]
        done = subprocess.run(
            [*start, sys.executable, "-W", "error", "-c", PRELUDE + program, *arguments],
            capture_output=True,
            text=True,
            timeout=600,
        )
        lines = done.stdout.splitlines()
        answers = dict(json.loads(line[7:]) for line in lines if line.startswith("ANSWER "))
        assert done.returncode == 0, (done.returncode, list(answers.items())[-1:], done.stderr)
        assert len(answers) == len(lines), f"the engine wrote on the terminal: {lines}"
        assert done.stderr == ""
        return answers

    return run


def test_arguments_that_native_code_would_index_tables_with(run: Run) -> None:
    cases: dict[str, dict[str, Any]] = {
        "gits": {"scheduler": "gits"},
        "ays": {"scheduler": "ays", "sample_steps": 4},
        "tcd": {"sample_method": "tcd", "eta": 5.0, "sample_steps": 3},
        "eta": {"sample_method": "tcd", "eta": "nan", "sample_steps": 3},
        "derivatives": {"cache_mode": "taylorseer", "cache_taylorseer_n_derivatives": -1},
        "m": {"cache_mode": "spectrum", "cache_spectrum_m": 100_000, "sample_steps": 6},
        "scm_mask": {"cache_mode": "cachedit", "scm_mask": "1,x"},
        "skip_layers": {"skip_layers": ["a"]},
        "denoising": {"hires": True, "hires_denoising_strength": "nan"},
        "hires size": {"hires": True, "hires_scale": 200.0},
        "hires steps": {"hires": True, "hires_steps": 2**31 - 1},
        "hires gits": {
            "hires": True,
            "hires_steps": 1,
            "hires_denoising_strength": 1.0,
            "scheduler": "gits",
            "sample_steps": 2,
        },
        "tile size": {"vae_tiling": True, "vae_tile_size": "-5x9"},
        "overlap": {"vae_tiling": True, "vae_tile_overlap": "nan"},
        "sigmas": {"sigmas": 5},
        "path": {"hires_path": None},
        "preview": {"preview_callback": 5, "preview_method": "proj"},
        "lora weight": {"prompt": "a <lora:x:nan>"},
    }
    answers = run(
        """
engine = load()
before = make(engine)
for name, options in extra["cases"].items():
    options = {key: float("nan") if value == "nan" else value for key, value in options.items()}
    tell(name, lambda: make(engine, **options))
assert make(engine) == before
""",
        cases=cases,
    )
    assert set(answers) == set(cases)
    assert {name: text for name, text in answers.items() if not text.startswith("ValueError")} == {}


def test_pictures_that_cannot_be_used(run: Run, tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    answers = run(
        """
engine = load()
tell("narrow", lambda: make(engine, ref_images=[Image.new("RGB", (1, 1000))]))
tell("small", lambda: make(engine, ref_images=[Image.new("RGB", (3, 3))],
                           auto_resize_ref_image=False))
tell("number", lambda: make(engine, ref_images=[5]))
tell("absent", lambda: make(engine, init_image="/absent.png"))
tell("text", lambda: make(engine, init_image=extra["text"]))
tell("mask alone", lambda: make(engine, mask_image=Image.new("L", (32, 32))))
tell("control", lambda: make(engine, control_image=Image.new("RGB", (32, 32))))
tell("photo maker", lambda: make(engine, pm_id_images=[Image.new("RGB", (32, 32))]))
red = Image.new("RGB", (32, 32), "red")
assert make(engine, ref_images=(red,)) == make(engine, ref_images=red) != make(engine)
""",
        text=text,
    )
    expected = dict.fromkeys(("absent", "text"), "ImageFileError")
    for name, answer in answers.items():
        assert answer.startswith(expected.get(name, "ValueError: ")), (name, answer)
    assert len(answers) == 8


def test_constructor_arguments(run: Run) -> None:
    cases: dict[str, dict[str, Any]] = {
        "threads": {"n_threads": 10_000},
        "wtype": {"wtype": "q8_k"},
        "vram": {"max_vram": "x"},
        "rules": {"tensor_type_rules": "(=q8_0"},
        "tile": {"upscale_tile_size": 0},
        "prediction": {"prediction": "eps"},
        "path": {"clip_l_path": 5},
        "backend": {"backend": 5},
        "resize": {"image_resize_method": "x"},
        "embeddings": {"embedding_paths": ["x.safetensors"]},
    }
    answers = run(
        """
for name, options in extra["cases"].items():
    tell(name, lambda: load(**options))
""",
        cases=cases,
    )
    assert {name: text for name, text in answers.items() if not text.startswith("ValueError")} == {}
    assert set(answers) == set(cases)
    assert "textual inversions for SD 1, 2 and XL" in answers["embeddings"]


@pytest.fixture
def retyped(standin_weights: Files, tmp_path: Path) -> Callable[[str, str, int | str], Path]:
    """Copy a file with one tensor said to be of another type of the same size."""

    def copy(role: str, tensor: str, dtype: int | str) -> Path:
        source = standin_weights[role]
        data = bytearray(source.read_bytes())
        if isinstance(dtype, int):  # gguf: name, number of sizes, sizes, type
            at = data.index(struct.pack("<Q", len(tensor)) + tensor.encode()) + 8 + len(tensor)
            (n_dims,) = struct.unpack_from("<I", data, at)
            struct.pack_into("<I", data, at + 4 + 8 * n_dims, dtype)
        else:
            length = int.from_bytes(data[:8], "little")
            header = json.loads(data[8 : 8 + length])
            header[tensor]["dtype"] = dtype
            written = json.dumps(header).encode()
            data[: 8 + length] = struct.pack("<Q", len(written)) + written
        path = tmp_path / f"{role}-{dtype}{source.suffix}"
        path.write_bytes(data)
        return path

    return copy


CLIP_BIAS = "text_model.encoder.layers.0.mlp.fc1.bias"
I32 = 26


def test_weights_of_a_type_that_cannot_be_converted(
    run: Run, retyped: Callable[[str, str, int | str], Path]
) -> None:
    """Named before native code sees them; and where that is left out, native code survives."""
    files = {
        "clip_l_path": retyped("clip_l", CLIP_BIAS, I32),
        "taesd_path": retyped("taesd", "decoder.layers.0.bias", "I32"),
    }
    answers = run(
        """
for name, path in extra["files"].items():
    tell(name, lambda: load(**{name: path}))
check = pulid_sdcpp.engine.stable_diffusion.check_engine_files
good = check({"diffusion_model_path": weights["flux-q8_0"], "clip_l_path": weights["clip_l"],
              "taesd_path": weights["taesd"]}, "flux")
pulid_sdcpp.engine.stable_diffusion.check_engine_files = lambda *arguments, **options: good
for name, path in extra["files"].items():
    tell(name + " unchecked", lambda: load(**{name: path}))
tell("no text encoder", lambda: make(load(clip_l_path="/absent/clip_l.gguf")))
tell("good", lambda: make(load()))
""",
        files=files,
    )
    for name, path in files.items():
        assert answers[name].startswith(f"ModelFileError: {path}: ")
        assert "is of type i32" in answers[name]
        assert answers[name + " unchecked"].startswith("ModelFileError: the engine could not load")
    assert answers["no text encoder"].startswith("ModelFileError")
    assert "cannot read /absent/clip_l.gguf" in answers["no text encoder"]
    assert answers["good"] == "made"


def test_torch_checkpoints_are_not_opened(run: Run, tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "vae.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
    answers = run('tell("vae", lambda: load(vae_path=extra["path"]))', path=path)
    assert answers["vae"].startswith(f"ModelFileError: {path}: a torch checkpoint")


Tensors = dict[str, tuple[str, np.ndarray]]


@pytest.fixture
def write_lora(tmp_path: Path) -> Callable[[str, Tensors], None]:
    """Write NAME.safetensors from (type name, array) by tensor name."""

    def write(name: str, tensors: Tensors) -> None:
        header, data = {}, b""
        for tensor, (dtype, array) in tensors.items():
            raw = array.tobytes()
            header[tensor] = {
                "dtype": dtype,
                "shape": list(array.shape),
                "data_offsets": [len(data), len(data) + len(raw)],
            }
            data += raw
        written = json.dumps(header).encode()
        (tmp_path / f"{name}.safetensors").write_bytes(
            struct.pack("<Q", len(written)) + written + data
        )

    return write


def noise(*shape: int) -> tuple[str, np.ndarray]:
    return "F32", np.random.default_rng(3).normal(size=shape).astype(np.float32)


QKV = "diffusion_model.double_blocks.0.img_attn.qkv"


def test_loras(run: Run, write_lora: Callable[[str, Tensors], None], tmp_path: Path) -> None:
    down, up = f"{QKV}.lora_A.weight", f"{QKV}.lora_B.weight"
    right = {down: noise(4, 256), up: noise(768, 4)}
    write_lora("right", right)
    # Kronecker and Hadamard products; the latter ended the process with any quantized model.
    write_lora("lokr", {f"{QKV}.lokr_w1": noise(4, 4), f"{QKV}.lokr_w2": noise(192, 64)})
    factors = {f"{QKV}.hada_w{n}_{part}": noise(*((768, 4) if part == "a" else (4, 256)))
               for n in (1, 2) for part in "ab"}  # fmt: skip
    write_lora("loha", factors)
    write_lora("partly", {**right, "diffusion_model.nowhere.lora_A.weight": noise(4, 4)})
    integers = ("I32", np.ones((4, 256), np.int32))
    write_lora("integers", {**right, down: integers})
    write_lora("empty", {**right, f"{QKV}.alpha": ("F32", np.zeros(0, np.float32))})
    write_lora("shape", {**right, down: noise(4, 250)})
    other = "lora_unet_input_blocks_1_1_proj_in"
    write_lora(
        "other", {f"{other}.lora_down.weight": noise(4, 8), f"{other}.lora_up.weight": noise(8, 4)}
    )
    write_lora("zeros", {**right, up: ("F32", np.zeros((768, 4), np.float32))})
    many = {name: noise(*((768, 32) if name[-1] == "a" else (32, 256))) for name in factors}
    write_lora("loha of high rank", many)
    answers = run(
        """
def try_all(flux, names, **options):
    path = weights[flux]
    options |= {"lora_model_dir": extra["folder"], "n_threads": 1}
    engine = load(diffusion_model_path=path, **options)
    before = make(engine)
    def changes(name):
        assert make(engine, f"a cat <lora:{name}:1>") != before
    for name in names:
        tell(f"{flux} {name}", lambda: changes(name))
    assert make(engine) == before  # none cost the engine its model

good = ["right", "lokr", "loha", "loha of high rank"]
bad = ["integers", "empty", "other", "partly", "shape", "zeros"]
try_all("flux-q8_0", good + bad, repack=False)
try_all("flux-q4_0", ["right", "loha of high rank"])
""",
        folder=tmp_path,
    )
    expected = dict.fromkeys(answers, "made")
    for name in ("integers", "empty", "other", "partly", "shape", "zeros"):
        expected[f"flux-q8_0 {name}"] = f"ModelFileError: {tmp_path / name}.safetensors: "
    assert len(answers) == 12
    expected["flux-q4_0 loha of high rank"] = "ModelFileError: "
    for name, answer in answers.items():
        assert answer.startswith(expected[name]), (name, answer)


@pytest.mark.long
def test_callbacks_that_raise_and_other_ways_to_end_a_generation(run: Run) -> None:
    answers = run(
        """
import copy, gc, pickle, random, threading, weakref
engine = load(pulid_weights=weights["pulid"])
options = {"sample_steps": 3, "pulid_id_embedding": IDENTITY}
before = make(engine, **options)

def fail(*arguments):
    raise KeyError("mine")

for method in ("proj", "tae", "vae"):
    tell(method, lambda: make(engine, preview_callback=fail, preview_method=method))
tell("from a callback", lambda: make(engine, progress_callback=lambda *_: make(engine)))
assert make(engine, **options) == before

started = time.monotonic()
make(engine, **options)
seconds, chance, cancelled = time.monotonic() - started, random.Random(1), 0
for _ in range(extra["times"]):
    timer = threading.Timer(chance.random() * seconds, engine.cancel)
    timer.start()
    try:
        assert make(engine, **options) == before
    except GenerationCancelled:
        cancelled += 1
    timer.join()
assert cancelled
assert make(engine, **options) == before

for function in (pickle.dumps, copy.copy):
    tell(function.__name__, lambda: function(engine))
pictures = []
thread = threading.Thread(target=lambda: pictures.append(make(engine, **options)))
thread.start()
time.sleep(0.1)
engine.close()
engine.cancel()
thread.join()
assert pictures in ([before], [])

gc.disable()
engine = load()
make(engine)
alive = weakref.ref(engine)
del engine
tell("freed without the collector", lambda: 1 / (alive() is None))
""",
        times=times(8, 50),
    )
    assert answers == {
        "proj": "UNTYPED KeyError: 'mine'",
        "tae": "UNTYPED KeyError: 'mine'",
        "vae": "UNTYPED KeyError: 'mine'",
        "from a callback": "UNTYPED RuntimeError: the engine cannot be called from one of its own "
        "callbacks",
        "dumps": "UNTYPED TypeError: an engine cannot be pickled or copied; it holds native memory",
        "copy": "UNTYPED TypeError: an engine cannot be pickled or copied; it holds native memory",
        "freed without the collector": "made",
    }


def test_the_bindings_other_methods(run: Run, tmp_path: Path) -> None:
    answers = run(
        """
engine = load()
before = make(engine)
tell("absent", lambda: engine.convert("/absent.safetensors"))
tell("type", lambda: engine.convert(weights["vae"], output_path=extra["out"], output_type="i8"))
tell("folder", lambda: engine.convert(weights["vae"], output_path="/absent/out.gguf"))
tell("upscale", lambda: engine.upscale(Image.new("RGB", (8, 8)), 2))
tell("right", lambda: engine.convert(weights["vae"], output_path=extra["out"], output_type="f16"))
assert make(engine) == before
tell("video", lambda: engine.generate_video("a cat", width=64, height=64, sample_steps=1))
""",
        out=tmp_path / "out.gguf",
    )
    assert answers.pop("right") == "made"
    assert answers.pop("upscale").startswith("ValueError: ")
    assert set(answers) == {"absent", "type", "folder", "video"}
    for name, answer in answers.items():
        assert answer.startswith("GenerationError: "), (name, answer)


def test_one_models_evaluation_has_its_shapes_checked(run: Run) -> None:
    answers = run(
        """
engine = load()
good = [np.zeros((16, 8, 8)), 0.5, np.zeros((8, 4096)), np.zeros(768)]
for index, wrong in ((0, np.zeros((15, 8, 8))), (0, np.zeros((16, 0, 8))), (1, "x"),
                     (2, np.zeros((0, 4096))), (2, np.zeros((8, 40))), (3, np.zeros(5))):
    inputs = list(good)
    inputs[index] = wrong
    tell(f"{index} {np.shape(wrong)}", lambda: engine.evaluate(*inputs))
engine.evaluate(*good)
"""
    )
    assert len(answers) == 6
    assert {name: text for name, text in answers.items() if not text.startswith("ValueError")} == {}


def test_the_first_step_of_true_cfg_is_of_one_generation_only(run: Run) -> None:
    run(
        """
engine = load()
options = {"cfg_scale": 3.0, "sample_steps": 2, "negative_prompt": "x"}
before = make(engine, **options)
assert make(engine, cfg_start_step=2, **options) != before
assert make(engine, **options) == before
"""
    )


@pytest.mark.skipif(sys.platform == "win32", reason="its stacks have no such limit")
def test_long_prompts_on_a_small_stack(run: Run) -> None:
    program = """
prompts = {f"{len(letter.encode())} bytes": letter * 10_000 for letter in "a\u00e9\u4e2d\U0001f600"}
prompts |= {
    "round brackets": "(" * 10_000,
    "all brackets": "[)(]" * 2_500,
    "words": "photo of a person, " * 500,
    "one word": "".join(map(str, range(10**4, 10**4 + 2000))).translate(
        str.maketrans("0123456789", "etaoinshrd")),
    "weights": "(" * 1900 + "a" + ":.9)" * 1900,
    "more": "(" * 4999 + "a" + ")" * 5000,
}
engine = load(n_threads=1)
for name, prompt in prompts.items():
    tell(name, lambda: make(engine, prompt))
"""
    answers = run(program, start=("sh", "-c", 'ulimit -s 512; exec "$0" "$@"'))
    refused = {name: answer for name, answer in answers.items() if answer != "made"}
    assert len(answers) == 10
    assert list(refused) == ["4 bytes", "more"]
    assert all(answer.startswith("ValueError: prompt") for answer in refused.values())
