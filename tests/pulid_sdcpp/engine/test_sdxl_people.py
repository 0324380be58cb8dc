"""People in SDXL's pictures: who changes them and who does not, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp import (
    GenerationError,
    GenerationOptions,
    Identity,
    IdentityFileError,
    ModelFileError,
    ModelMismatchError,
    Person,
    Region,
    StableDiffusion,
)
from pulid_sdcpp.memory import check as memory_check
from pulid_sdcpp.tensors.gguf_writer import write_gguf
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_spec import TensorSpec
from standin.control_net import control_net_tensors
from standin.unet import UnetShape, unet_tensors

pytestmark = pytest.mark.engine

Load = Callable[..., StableDiffusion]
MakeIdentity = Callable[..., Identity]
PICTURE = {"width": 128, "height": 64, "sample_steps": 2, "cfg_scale": 1.0, "seed": 5}
LEFT, RIGHT = Region(box=(0, 0, 0.5, 1)), Region(box=(0.5, 0, 0.5, 1))
SHAPE = UnetShape(depths=(1, 1))
LORA_LAYER = "input_blocks.4.1.transformer_blocks.0.attn2.to_q"


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loras")
    random = np.random.default_rng(0)
    specs = []
    for part, shape in (("down", (4, 64)), ("up", (64, 4))):
        name = f"lora_unet_{LORA_LAYER.replace('.', '_')}.lora_{part}.weight"
        values = random.normal(size=shape).astype(np.float32)
        specs.append(TensorSpec(name, shape, "f32", partial(np.asarray, values)))
    write_safetensors(folder / "some.safetensors", specs, {})
    return folder


@pytest.fixture(scope="module")
def engine(
    small_sdxl_weights: dict[str, Path], load_sdxl: Load, loras: Path
) -> Iterator[StableDiffusion]:
    with load_sdxl(small_sdxl_weights, backend="cpu", lora_model_dir=loras) as engine:
        yield engine


def pixels(engine: StableDiffusion, *people: Person, **options: Any) -> np.ndarray:
    options = {"prompt": "a face", **PICTURE, **options}
    (made,) = engine.generate_image(pulid_people=people, **options)
    return np.asarray(made.convert("RGB")).astype(np.int32)


@pytest.fixture(scope="module")
def nobody(small_sdxl_weights: dict[str, Path], load_sdxl: Load) -> np.ndarray:
    """Of an engine that was loaded without PuLID."""
    with load_sdxl(small_sdxl_weights, pulid=None, backend="cpu") as engine:
        return pixels(engine)


def test_sizes_that_it_does_not_make_are_refused_without_pulid_too(
    small_sdxl_weights: dict[str, Path], load_sdxl: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = {"prompt": "", "width": 2048, "height": 2048}
    with load_sdxl(small_sdxl_weights, pulid=None, backend="cpu") as engine:
        with pytest.raises(ValueError, match="width is 80, but must be a multiple of 64"):
            engine.generate_image("a face", width=80, height=64)
        with pytest.raises(ValueError, match="height is 48, but must be a multiple of 64"):
            engine.generate(GenerationOptions("a face", width=64, height=48))
        with monkeypatch.context() as computer:
            computer.setattr(memory_check, "total_memory_bytes", lambda: 1 << 26)
            with pytest.raises(GenerationError, match="out of memory: 2048x2048 needs"):
                engine.generate_image(**large)
        monkeypatch.setattr(engine, "_device", "CUDA0")
        with pytest.raises(GenerationError, match="4096x4096 is too large for CUDA0: it has 65536"):
            engine.generate_image("", width=4096, height=4096)


def test_who_is_not_in_the_picture_changes_no_byte(
    engine: StableDiffusion, nobody: np.ndarray, make_sdxl_identity: MakeIdentity
) -> None:
    alice = make_sdxl_identity(1)
    assert np.array_equal(pixels(engine), nobody)
    assert np.array_equal(pixels(engine, Person(alice, weight=0.0)), nobody)
    with_alice = pixels(engine, Person(alice))
    assert np.abs(with_alice - nobody).mean() > 1
    first_step = pixels(engine, Person(alice, end_step=1))
    assert not np.array_equal(first_step, nobody)
    assert not np.array_equal(first_step, with_alice)
    assert np.array_equal(pixels(engine), nobody)


def test_two_people_are_the_same_in_either_order(
    engine: StableDiffusion, make_sdxl_identity: MakeIdentity
) -> None:
    one, two = Person(make_sdxl_identity(1)), Person(make_sdxl_identity(2), weight=0.6)
    both = pixels(engine, one, two)
    assert np.array_equal(both, pixels(engine, two, one))
    assert not np.array_equal(both, pixels(engine, one))


def test_a_region_is_where_its_person_is(
    engine: StableDiffusion, make_sdxl_identity: MakeIdentity
) -> None:
    """In one evaluation; over several the rest of the picture follows."""
    draw = np.random.default_rng(1).standard_normal
    inputs = (draw((4, 16, 32)), 500.0, draw((77, 2048)), draw(2816))
    nobody = engine.evaluate(*inputs)
    effects = []
    for region in (LEFT, RIGHT):
        person = Person(make_sdxl_identity(1), region=region)
        found = engine.evaluate(*inputs, pulid_people=[person], id_projection="none")
        effects.append(np.abs(found - nobody).mean(axis=(0, 1)))
    left, right = effects
    assert left[:16].mean() > 1.2 * right[:16].mean()
    assert right[16:].mean() > 1.2 * left[16:].mean()


def test_true_cfg_has_the_unconditional_identity(
    engine: StableDiffusion, make_sdxl_identity: MakeIdentity
) -> None:
    alice = make_sdxl_identity(1)
    other_nobody = Identity(alice.tokens, make_sdxl_identity(3).tokens, alice.metadata)
    alone = Identity(alice.tokens, None, alice.metadata)
    first = pixels(engine, Person(alice), cfg_scale=3.0)
    assert not np.array_equal(first, pixels(engine, Person(other_nobody), cfg_scale=3.0))
    with pytest.raises(IdentityFileError, match="unconditional"):
        pixels(engine, Person(alone), cfg_scale=3.0)
    assert np.array_equal(pixels(engine, Person(alone)), pixels(engine, Person(alice)))


def test_identities_of_several_sizes_take_turns_in_slots_of_theirs(
    small_sdxl_weights: dict[str, Path],
    load_sdxl: Load,
    make_sdxl_identity: MakeIdentity,
) -> None:
    """v1 makes 10 tokens of one photo, and more of several."""
    with load_sdxl(small_sdxl_weights, pulid="pulid-v1", backend="cpu") as engine:
        people = [
            Person(make_sdxl_identity(n, n_tokens, "sdxl-v1"))
            for n, n_tokens in ((1, 10), (2, 25), (3, 10))
        ]
        pictures = [pixels(engine, person) for person in people]
        grown = engine.diffusion_params_bytes
        again = [pixels(engine, person) for person in people]
        assert engine.diffusion_params_bytes == grown
        for i in range(3):
            assert np.array_equal(pictures[i], again[i])
            assert not np.array_equal(pictures[i], pictures[i - 1])


def test_with_a_lora(engine: StableDiffusion, make_sdxl_identity: MakeIdentity) -> None:
    alice = Person(make_sdxl_identity(1))
    with_both = pixels(engine, alice, prompt="a face<lora:some:1>")
    assert not np.array_equal(with_both, pixels(engine, alice))
    assert not np.array_equal(with_both, pixels(engine, prompt="a face<lora:some:1>"))


def test_a_control_net_gets_no_identity(
    small_sdxl_weights: dict[str, Path],
    load_sdxl: Load,
    make_sdxl_identity: MakeIdentity,
    tmp_path: Path,
) -> None:
    """In a UNet whose cross-attentions lead nowhere an identity does nothing; its ControlNet has
    the same layers, and they lead somewhere."""
    control_net, deaf = tmp_path / "control.gguf", tmp_path / "deaf.gguf"
    write_gguf(control_net, control_net_tensors(SHAPE, 7), {})
    specs = [
        replace(spec, values=partial(np.zeros, spec.shape, np.float32))
        if spec.name.endswith("attn2.to_out.0.weight")
        else spec
        for spec in unet_tensors(SHAPE, 0)
    ]
    write_gguf(deaf, specs, {"general.architecture": "sdxl"})
    alice = Person(make_sdxl_identity(1))
    hint = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    small = {"width": 64, "sample_steps": 1}
    options = {"control_image": Image.fromarray(hint), **small}
    files = {**small_sdxl_weights, "unet-f16": deaf}
    with load_sdxl(files, backend="cpu", control_net_path=control_net) as engine:
        without = pixels(engine, **options)
        assert not np.array_equal(without, pixels(engine, **small))
        assert np.array_equal(without, pixels(engine, alice, **options))
    with load_sdxl(small_sdxl_weights, backend="cpu", control_net_path=control_net) as engine:
        both = pixels(engine, alice, **options)
        assert not np.array_equal(both, pixels(engine, alice, **small))
        assert not np.array_equal(both, pixels(engine, **options))


def test_evaluate_is_one_evaluation_of_the_unet(
    engine: StableDiffusion, make_sdxl_identity: MakeIdentity
) -> None:
    draw = np.random.default_rng(1).standard_normal
    inputs = (draw((4, 8, 12)), 500.0, draw((77, 2048)), draw(2816))
    plain = engine.evaluate(*inputs)
    assert plain.shape == (4, 8, 12)
    assert plain.dtype == np.float32
    alice = make_sdxl_identity(1)
    found = engine.evaluate(*inputs, pulid_id_embedding=alice)
    assert not np.array_equal(found, plain)
    early = engine.evaluate(*inputs, pulid_id_embedding=alice, pulid_end_step=1, step=1)
    assert np.array_equal(early, plain)
    negative = engine.evaluate(*inputs, pulid_id_embedding=alice, negative=True)
    assert not np.array_equal(negative, found)
    for wrong in (
        (draw((16, 8, 12)), *inputs[1:]),
        (draw((4, 6, 12)), *inputs[1:]),
        (inputs[0], 1000.0, *inputs[2:]),
        (*inputs[:2], draw((77, 4096)), inputs[3]),
        (*inputs[:3], draw(768)),
    ):
        with pytest.raises(ValueError, match=r"latent|timestep|context|pooled"):
            engine.evaluate(*wrong)


def test_what_does_not_belong_together_is_refused_by_name(
    small_sdxl_weights: dict[str, Path],
    standin_weights: dict[str, Path],
    load_sdxl: Load,
    load_engine: Load,
    engine: StableDiffusion,
    make_identity: MakeIdentity,
    make_sdxl_identity: MakeIdentity,
) -> None:
    for mixed in (
        {**small_sdxl_weights, "pulid-v1.1": standin_weights["pulid"]},
        {**small_sdxl_weights, "unet-f16": standin_weights["flux-f16"]},
    ):
        with pytest.raises((ModelMismatchError, ModelFileError, ValueError), match=r"SDXL|Flux"):
            load_sdxl(mixed, backend="cpu")
    with pytest.raises(ModelMismatchError, match="Flux"):
        pixels(engine, Person(make_identity(1)))
    with pytest.raises(ModelMismatchError, match="v1"):
        pixels(engine, Person(make_sdxl_identity(1, 10, "sdxl-v1")))
    with pytest.raises(ValueError, match="f16 or f32"):
        load_sdxl(small_sdxl_weights, backend="cpu", pulid_dtype="q8_0")
