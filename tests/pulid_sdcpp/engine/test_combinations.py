"""An identity together with everything else that changes a picture: each changes only its own.

Docs: docs/combinations.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pulid_sdcpp import GenerationOptions, Identity, IdentityOptions, StableDiffusion
from pulid_sdcpp.options.step_cache import CACHE_MODES
from pulid_sdcpp.tensors.safetensors_writer import write_safetensors
from pulid_sdcpp.tensors.tensor_spec import TensorSpec

pytestmark = pytest.mark.engine

WIDTH, HEIGHT = 64, 32  # so wide that half of a picture has room for a decoder's look around
STEPS = 6
SIZES = {"depth": 2, "depth_single": 2, "hidden": 128}
Load = Callable[..., StableDiffusion]
MakeIdentity = Callable[[int], Identity]
Pixels = np.ndarray

# Every step that may be skipped is; and none is.
ALWAYS = {
    "easycache": "threshold=1000,start=0,end=1",
    "dbcache": "threshold=1000",
    "taylorseer": "threshold=1000",
    "cache-dit": "threshold=1000",
    "spectrum": f"warmup=2,window={STEPS},stop=1",
}
NEVER = dict.fromkeys(ALWAYS, "threshold=0") | {"spectrum": f"warmup={STEPS}"}


def gradient(height: int = HEIGHT) -> Image.Image:
    rows, columns = np.indices((height, WIDTH))
    return Image.fromarray(np.dstack([rows * 3, columns * 3, rows + columns]).astype(np.uint8))


def left_half() -> Image.Image:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, : WIDTH // 2] = 255
    return Image.fromarray(mask)


SQUARE: dict[str, Any] = {"init_image": gradient(WIDTH), "height": WIDTH}  # twice as many colours
INPAINTING = {"init_image": gradient(), "mask_image": left_half(), "strength": 0.75}
COMBINATIONS: dict[str, dict[str, Any]] = {
    "true CFG": {"cfg_scale": 3.0, "negative_prompt": "blurry"},
    "img2img": {"init_image": gradient(), "strength": 0.6},
    "inpainting": INPAINTING,
    "Kontext": {"ref_images": (gradient(),)},
    "two references": {"ref_images": (gradient(), left_half().convert("RGB"))},
    "Kontext and inpainting": {**INPAINTING, "ref_images": (gradient(),)},
    "VAE tiling": {"vae_tiling": True, "vae_tile_size": (8, 8), "width": 128, "steps": 2},
    "LoRA": {"prompt": "a portrait<lora:some:1>"},
    "two evaluations a step": {"sampling_method": "heun"},
    "noise in each step": {"sampling_method": "euler_a"},
    "noise in each of two evaluations": {"sampling_method": "dpm++sde"},
    "own noise levels": {"sigmas": (1.0, 0.7, 0.3, 0.0)},
    "one step": {"steps": 1},
    "skip-layer guidance": {"slg_scale": 2.0, "skip_layers": (1, 2), "skip_layer_end": 1.0},
    **{f"{mode}": {"cache_mode": mode, "cache_option": ALWAYS[mode]} for mode in ALWAYS},
    "easycache and true CFG": {
        "cache_mode": "easycache", "cache_option": ALWAYS["easycache"], "cfg_scale": 3.0,
    },
    "easycache and img2img": {
        "cache_mode": "easycache", "cache_option": ALWAYS["easycache"],
        "init_image": gradient(), "strength": 0.9,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def loras(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`some` for the small Flux, `wide` for the stand-in of width 256."""
    folder = tmp_path_factory.mktemp("loras")
    random = np.random.default_rng(0)
    for lora, hidden in (("some", SIZES["hidden"]), ("wide", 256)):
        specs = []
        for part, shape in (("A", (4, hidden)), ("B", (3 * hidden, 4))):
            values = random.normal(size=shape).astype(np.float32)
            name = f"diffusion_model.double_blocks.0.img_attn.qkv.lora_{part}.weight"
            specs.append(TensorSpec(name, shape, "f32", lambda values=values: values))
        write_safetensors(folder / f"{lora}.safetensors", specs, {})
    return folder


@pytest.fixture(scope="module")
def weights(make_weights: Callable[..., dict[str, Path]]) -> dict[str, Path]:
    return make_weights(**SIZES)


@pytest.fixture(scope="module")
def engine(weights: dict[str, Path], load_engine: Load, loras: Path) -> Iterator[Any]:
    with load_engine(weights, lora_model_dir=loras, n_threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def alice(make_identity: MakeIdentity) -> Identity:
    return make_identity(1)


def pixels(
    engine: StableDiffusion,
    identity: Identity | None = None,
    weight: float = 1.0,
    start_step: int | float = 0,
    end_step: int | float | None = None,
    cfg_start_step: int | None = None,
    **options: Any,
) -> Pixels:
    made = {"prompt": "a portrait", "width": WIDTH, "height": HEIGHT, "steps": STEPS, "seed": 7}
    generation = GenerationOptions(**{**made, **options})
    person = IdentityOptions(identity, weight, start_step, end_step, cfg_start_step)
    (picture,) = engine.generate_image(**generation.to_engine_kwargs(), **person.to_engine_kwargs())
    return np.asarray(picture.convert("RGB")).astype(np.int32)


def changes(first: Pixels, second: Pixels) -> bool:
    return bool(np.abs(first - second).mean() > 0.5)


@pytest.fixture(scope="module")
def alone(engine: StableDiffusion, alice: Identity) -> Pixels:
    return pixels(engine, alice)


@pytest.mark.parametrize("name", COMBINATIONS)
def test_weight_0_is_nobody_and_weight_1_is_somebody(
    engine: StableDiffusion, alice: Identity, alone: Pixels, name: str
) -> None:
    options = COMBINATIONS[name]
    nobody = pixels(engine, **options)
    assert np.array_equal(pixels(engine, alice, weight=0.0, **options), nobody)
    somebody = pixels(engine, alice, **options)
    assert changes(somebody, nobody)
    if somebody.shape == alone.shape:  # what it is combined with is still there
        assert changes(somebody, alone)


# LoRA


def test_a_lora_loads_after_another_model_was_stopped_while_loading(
    engine: StableDiffusion, weights: dict[str, Path], load_engine: Load
) -> None:
    def stop(event: object) -> None:
        raise LookupError("enough")

    with_lora = pixels(engine, prompt="another<lora:some:1>")
    with pytest.raises(LookupError):
        load_engine(weights, on_event=stop)
    pixels(engine, prompt="another<lora:some:0.5>")  # so that the LoRA is read again
    assert np.array_equal(pixels(engine, prompt="another<lora:some:1>"), with_lora)
    assert changes(with_lora, pixels(engine, prompt="another"))


@pytest.mark.parametrize(
    ("flux", "lora", "mode"),
    [
        ("flux-f16", "some", "at_runtime"),
        ("flux-f16", "some", "immediately"),
        ("flux-q4_0", "wide", "auto"),
        ("flux-q4_0", "wide", "immediately"),
    ],
)
def test_a_lora_of_weight_0_is_none_and_an_identity_is_no_part_of_it(
    standin_weights: dict[str, Path],
    weights: dict[str, Path],
    load_engine: Load,
    loras: Path,
    alice: Identity,
    flux: str,
    lora: str,
    mode: str,
) -> None:
    files = weights if lora == "some" else standin_weights
    none, some = (f"a portrait<lora:{lora}:{weight}>" for weight in (0, 1))
    options: dict[str, Any] = {"lora_model_dir": loras, "lora_apply_mode": mode, "n_threads": 1}
    with load_engine(files, flux=flux, **options) as engine:
        without = pixels(engine, alice, steps=2)
        assert np.array_equal(pixels(engine, alice, steps=2, prompt=none), without)
        with_lora = pixels(engine, alice, steps=2, prompt=some)
        assert changes(with_lora, without)
        lora_alone = pixels(engine, steps=2, prompt=some)
        assert changes(with_lora, lora_alone)
        off = pixels(engine, alice, weight=0.0, steps=2, prompt=some)
        assert np.array_equal(off, lora_alone)


def test_a_lora_at_runtime_leaves_nothing_behind(engine: StableDiffusion, alice: Identity) -> None:
    before = pixels(engine, alice)
    pixels(engine, alice, prompt="a portrait<lora:some:1>")
    assert np.array_equal(pixels(engine, alice), before)


def test_a_lora_without_a_weight_has_weight_1_and_a_folder_does_not_hide_it(
    engine: StableDiffusion, loras: Path
) -> None:
    (loras / "some").mkdir()
    spelt_out = pixels(engine, prompt="a portrait<lora:some.safetensors:1>", steps=1)
    assert np.array_equal(pixels(engine, prompt="a portrait<lora:some>", steps=1), spelt_out)
    assert changes(spelt_out, pixels(engine, steps=1))
    with pytest.raises(ValueError, match="negative prompt"):
        pixels(engine, negative_prompt="ugly <lora:some:1>", cfg_scale=2.0)


# Pictures to start from


def test_strength_0_keeps_the_picture(engine: StableDiffusion, alice: Identity) -> None:
    given = np.asarray(SQUARE["init_image"]).astype(np.int32)
    # One step at the last, smallest noise level is still made.
    kept = pixels(engine, alice, strength=0.0, steps=100, **SQUARE)
    nobody = pixels(engine, strength=0.0, steps=100, **SQUARE)
    assert np.abs(kept - nobody).max() <= 1
    # What the tiny autoencoder loses.
    assert np.abs(kept - given).mean() < 10
    replaced = pixels(engine, alice, strength=1.0, **SQUARE)
    assert np.abs(replaced - given).mean() > 30


def test_inpainting_leaves_everything_outside_the_mask_alone(
    engine: StableDiffusion, alice: Identity
) -> None:
    nobody, somebody = (pixels(engine, person, **INPAINTING) for person in (None, alice))
    # The decoder looks a latent pixel, 8 pixels, to each side.
    outside = slice(WIDTH // 2 + 8, None)
    assert np.array_equal(nobody[:, outside], somebody[:, outside])
    assert changes(nobody[:, : WIDTH // 2], somebody[:, : WIDTH // 2])


def test_steps_are_counted_among_those_that_are_made(
    engine: StableDiffusion, alice: Identity
) -> None:
    options: dict[str, Any] = {"init_image": gradient(), "strength": 0.5}
    made = GenerationOptions("", steps=STEPS, **options).evaluated_steps
    assert made < STEPS
    nobody = pixels(engine, **options)
    with pytest.raises(ValueError, match=f"{made} steps: 0 to .*strength 0.5"):
        pixels(engine, alice, start_step=made, **options)
    last = pixels(engine, alice, start_step=made - 1, **options)
    assert not np.array_equal(last, nobody)
    half = pixels(engine, alice, start_step=0.5, **options)
    assert np.array_equal(half, pixels(engine, alice, start_step=-(-made // 2), **options))


def test_a_reference_gets_no_identity(make_weights: Any, load_engine: Load) -> None:
    torch = pytest.importorskip("torch")
    from definition import picture as definition
    from definition.flux_pulid import FluxPulid

    weights = make_weights(depth=3, depth_single=5, hidden=128)
    person = Identity.from_array(np.random.default_rng(1).normal(size=(32, 2048)))
    reference = np.asarray(gradient())
    common: dict[str, Any] = {
        "files": weights, "prompt": "a car", "width": WIDTH, "height": HEIGHT, "steps": 2,
        "seed": 3, "identities": [(person.tokens, 1.0)], "reference": reference,
    }  # fmt: skip

    def on_all_tokens(self: Any, layer: int, img: Any, tokens: int, people: Any) -> Any:
        return sum((w * self.cross_attention(layer, p, img) for p, w in people), start=img)

    right = definition.picture(**common)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FluxPulid, "_add_identity", on_all_tokens)
        wrong = definition.picture(**common)
    with load_engine(weights, rng_type="cpu", backend="cpu") as engine:
        found = pixels(
            engine, person, prompt="a car", steps=2, seed=3, ref_images=[Image.fromarray(reference)]
        )
    del torch
    distances = [np.abs(found - expected).mean() for expected in (right, wrong)]
    print(f"mean difference: right {distances[0]:.3f}, on all tokens {distances[1]:.3f}")
    assert distances[0] < 0.6  # half of it is rounding to whole numbers
    assert distances[1] > 2 * distances[0]


# Fill


@pytest.fixture(scope="module")
def fill(make_weights: Callable[..., dict[str, Path]], load_engine: Load) -> Iterator[Any]:
    weights = make_weights(**SIZES, in_channels=384, guidance_embed=True)
    with load_engine(weights, n_threads=1) as loaded:
        yield loaded


def test_fill_takes_an_identity_inside_the_mask_only(
    fill: StableDiffusion, alice: Identity
) -> None:
    options: dict[str, Any] = {**INPAINTING, **SQUARE, "strength": 1.0}
    nobody = pixels(fill, **options)
    assert np.array_equal(pixels(fill, alice, weight=0.0, **options), nobody)
    somebody = pixels(fill, alice, **options)
    # The engine widens the mask of a Fill model by a latent pixel, and the decoder looks one more.
    outside = slice(WIDTH // 2 + 16, None)
    assert np.array_equal(nobody[:, outside], somebody[:, outside])
    assert changes(nobody[:, : WIDTH // 2], somebody[:, : WIDTH // 2])
    other = {**options, "init_image": gradient(WIDTH).rotate(180)}
    assert changes(somebody[:, : WIDTH // 2], pixels(fill, alice, **other)[:, : WIDTH // 2])
    for given, missing in (({}, "init_image"), ({"init_image": gradient()}, "mask_image")):
        with pytest.raises(ValueError, match=f"{missing} is missing: a Fill model"):
            pixels(fill, alice, **given)


# Step caches


def cached(mode: str) -> dict[str, str]:
    return {"cache_mode": mode, "cache_option": ALWAYS[mode]}


@pytest.fixture(scope="module", params=ALWAYS)
def skipping(
    engine: StableDiffusion, alice: Identity, request: pytest.FixtureRequest
) -> tuple[dict[str, str], Pixels, Pixels]:
    """A cache that skips all it may; its picture of nobody, and of somebody in all steps."""
    cache = cached(request.param)
    return cache, pixels(engine, **cache), pixels(engine, alice, **cache)


@pytest.mark.parametrize("mode", ALWAYS)
def test_a_cache_that_skips_nothing_changes_nothing(
    engine: StableDiffusion, alice: Identity, alone: Pixels, mode: str
) -> None:
    off = pixels(engine, alice, cache_mode=mode, cache_option=NEVER[mode])
    assert np.array_equal(off, alone)


def test_every_mode_is_tested() -> None:
    assert set(ALWAYS) == set(CACHE_MODES) - {"disabled"}


@pytest.mark.parametrize(("method", "warmup"), [("heun", 6), ("dpm++sde", 5)])
def test_both_evaluations_of_a_step_in_which_a_person_begins_are_computed(
    engine: StableDiffusion, alice: Identity, method: str, warmup: int
) -> None:
    """The first that the cache would skip is the first of the person's first step."""
    options: dict[str, Any] = {"sampling_method": method, "steps": 8}
    to_the_end, cache = (
        {"cache_mode": "spectrum", "cache_option": f"warmup={warmup},window=8,stop={stop}"}
        for stop in (1, 0.5)
    )
    nobody = pixels(engine, **options)
    half = pixels(engine, **options, **cache)
    assert not np.array_equal(half, nobody)
    assert not np.array_equal(half, pixels(engine, **options, **to_the_end))
    somebody = pixels(engine, alice, start_step=3, **options)
    assert np.array_equal(pixels(engine, alice, start_step=3, **options, **cache), somebody)


@pytest.mark.parametrize("step", [0.5, 4])
def test_a_cache_does_not_hide_the_step_at_which_an_identity_begins_or_ends(
    engine: StableDiffusion, alice: Identity, skipping: Any, step: int | float
) -> None:
    # All steps but the first are skipped: what begins later shows only if its step is computed.
    cache, nobody, always = skipping
    late = pixels(engine, alice, start_step=step, **cache)
    early = pixels(engine, alice, end_step=step, **cache)
    assert changes(late, nobody)
    assert changes(late, always)
    assert changes(early, always)
    assert changes(early, nobody)


def test_a_cache_does_not_hide_the_step_at_which_true_cfg_begins(
    engine: StableDiffusion, alice: Identity, skipping: Any
) -> None:
    cache, _, never = skipping
    late = pixels(engine, alice, cfg_scale=3.0, cfg_start_step=3, **cache)
    always = pixels(engine, alice, cfg_scale=3.0, cfg_start_step=0, **cache)
    assert changes(late, never)
    assert changes(late, always)


def test_a_cache_remembers_nothing_of_the_picture_before(
    engine: StableDiffusion, alice: Identity, make_identity: MakeIdentity
) -> None:
    first = pixels(engine, alice, **cached("easycache"))
    pixels(engine, make_identity(2), **cached("easycache"))
    assert np.array_equal(pixels(engine, alice, **cached("easycache")), first)


def test_what_the_engine_would_leave_out_is_refused(engine: StableDiffusion) -> None:
    for arguments, message in (
        ({"cache_mode": "ucache"}, "for UNet models"),
        ({"cache_mode": 2}, "for UNet models"),
        ({"cache_mode": "easycache", "cache_start_percent": 0.9, "cache_end_percent": 0.5},
         "start is 0.9 and its end 0.5"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            engine.generate_image("a portrait", width=WIDTH, height=HEIGHT, **arguments)
