"""An identity in SDXL's UNet, by the C interface: what the engine adds, and when it adds nothing.

The layers here are random keys and values, without any PuLID weights. Numbers against a definition
are in the tests of the whole model.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from pulid_sdcpp import StableDiffusion
from pulid_sdcpp.native import thread
from pulid_sdcpp.native.library import (
    last_error,
    library,
    pulid_layout_t,
    pulid_unet_layout_t,
    pulid_use_t,
)
from standin.unet import UnetShape, attention_modules

pytestmark = pytest.mark.engine

F32, F16 = 0, 1
NONE, ORTHO, ORTHO_V2 = PROJECTIONS = (0, 1, 2)
LATENT = (4, 16, 16)
GRID = (8, 8)
"""Picture tokens of the finer level, 16 pixels wide and high."""
SAME = 5e-3
"""Two ways to compute one effect, relative to it: convolutions round their inputs to float16, so
that a difference of rounding grows to a few thousandths of the effect."""
Layers = Sequence[tuple[str, int]]


@dataclass(frozen=True, eq=False)
class Use:
    slot: int
    tokens: int
    projection: int = NONE
    zeros: int = 8
    weight: float = 1.0
    start_step: int = 0
    end_step: int = 100
    negative: bool = False
    region: np.ndarray | None = None


class UnetEngine:
    """A loaded SDXL whose UNet is evaluated alone."""

    def __init__(self, engine: StableDiffusion) -> None:
        self.engine = engine
        self.layers = [(module, width) for _, module, width in attention_modules(UnetShape())]
        self.n_slots = 0
        draw = np.random.default_rng(1).standard_normal
        self.latent, self.text, self.pooled = (
            draw(shape).astype(np.float32) for shape in (LATENT, (77, 2048), (2816,))
        )

    def call(self, function: str, *arguments: object) -> str:
        """Why it failed, "" when it did not."""
        run = getattr(library(), function)
        context = self.engine._context
        return thread.run(lambda: "" if run(context, *arguments) else last_error())

    def set_layout(self, layers: Layers, dtype: int = F32) -> str:
        names = (ctypes.c_char_p * len(layers))(*(name.encode() for name, _ in layers))
        widths = (ctypes.c_int64 * len(layers))(*(width for _, width in layers))
        layout = pulid_unet_layout_t(len(layers), names, widths, dtype)
        return self.call("pulid_set_unet_layout", ctypes.byref(layout))

    def add(self, person: int, n_tokens: int, *, copies: int = 1, zero_rows: int = 0) -> Use:
        """Put a random person into a new slot.

        Args:
            copies: How often each of the tokens is there.
            zero_rows: Tokens of zeros that are there as tokens.
        """
        draw = np.random.default_rng(person).standard_normal
        total = n_tokens * copies + zero_rows
        rows = library().pulid_unet_rows(total)
        assert not self.call("pulid_reserve_slots", self.n_slots + 1, total)
        for index, (_, width) in enumerate(self.layers):
            heads = width // 64
            keys, values = draw((2, heads, n_tokens, 64)).astype(np.float32)
            k, v = np.zeros((heads, rows, 64), np.float32), np.zeros((heads, 64, rows), np.float32)
            k[:, : n_tokens * copies] = np.tile(keys, (1, copies, 1))
            v[:, :, : n_tokens * copies] = np.tile(values, (1, copies, 1)).transpose(0, 2, 1)
            parts = (k.ctypes.data, v.ctypes.data)
            assert not self.call("pulid_write_unet_layer", self.n_slots, index, *parts)
        self.n_slots += 1
        return Use(self.n_slots - 1, total)

    def use(self, *uses: Use) -> str:
        array, kept = (pulid_use_t * len(uses))(), []
        for target, use in zip(array, uses, strict=True):
            for name in ("slot", "tokens", "projection", "zeros", "weight", "start_step"):
                setattr(target, name, getattr(use, name))
            target.end_step, target.negative = use.end_step, use.negative
            if use.region is not None:
                fine = np.ascontiguousarray(use.region, np.float32)
                rows, columns = (n // 2 for n in fine.shape)
                coarse = fine.reshape(rows, 2, columns, 2).mean((1, 3))
                kept += [fine, coarse]
                target.region, target.region_size = fine.ctypes.data, fine.size
                target.region_coarse, target.region_coarse_size = coarse.ctypes.data, coarse.size
        return self.call("pulid_set_uses", array, len(uses), 0, 0)

    def evaluate(self, *uses: Use, step: int = 0, negative: bool = False) -> np.ndarray:
        assert not self.use(*uses)
        out = np.empty_like(self.latent)
        channels, height, width = LATENT
        failure = self.call(
            "pulid_evaluate",
            *(self.latent.ctypes.data, width, height, channels, 500.0),
            *(self.text.ctypes.data, *self.text.shape, self.pooled.ctypes.data, self.pooled.size),
            *(1.0, step, negative, out.ctypes.data),
        )
        assert not failure, failure
        return out


@pytest.fixture(scope="module")
def load_unet(make_sdxl_weights: Callable[..., dict[str, Path]]) -> Callable[..., StableDiffusion]:
    files = make_sdxl_weights(depths=UnetShape().depths, unet_type="f32")

    def load(backend: str = "cpu") -> StableDiffusion:
        return StableDiffusion(
            diffusion_model_path=files["unet-f32"],
            clip_l_path=files["clip_l"],
            clip_g_path=files["clip_g"],
            taesd_path=files["taesd"],
            backend=backend,
        )

    return load


@pytest.fixture(scope="module")
def unet(load_unet: Callable[..., StableDiffusion], backend: str) -> Iterator[UnetEngine]:
    with load_unet(backend) as engine:
        unet = UnetEngine(engine)
        assert not unet.set_layout(unet.layers)
        yield unet


@pytest.fixture(scope="module")
def nobody(unet: UnetEngine) -> np.ndarray:
    return unet.evaluate()


@pytest.fixture(scope="module")
def person(unet: UnetEngine, nobody: np.ndarray) -> Use:
    return unet.add(1, 10)


@pytest.fixture(scope="module")
def other(unet: UnetEngine, person: Use) -> Use:
    return unet.add(2, 32)


# The numbers on Vulkan are compared with the definition's in test_unet_exactness.py.
on_cpu = pytest.mark.parametrize("backend", ["cpu"], indirect=True)


def with_(use: Use, **changes: object) -> Use:
    return Use(**{**vars(use), **changes})


def difference(found: np.ndarray, expected: np.ndarray, nobody: np.ndarray) -> float:
    """Relative to the effect."""
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected - nobody))


def test_whoever_takes_no_part_leaves_the_same_bytes(
    unet: UnetEngine, nobody: np.ndarray, person: Use
) -> None:
    assert np.array_equal(unet.evaluate(with_(person, weight=0.0)), nobody)
    assert np.array_equal(unet.evaluate(with_(person, start_step=2), step=1), nobody)
    assert np.array_equal(unet.evaluate(with_(person, end_step=2), step=2), nobody)
    assert np.array_equal(unet.evaluate(with_(person, negative=True)), nobody)
    assert np.array_equal(unet.evaluate(person, negative=True), nobody)
    assert difference(unet.evaluate(person, step=1), nobody, nobody * 0) > 0.1


@on_cpu
@pytest.mark.parametrize("projection", PROJECTIONS)
def test_zero_tokens_are_the_same_as_tokens_of_zeros(
    unet: UnetEngine, nobody: np.ndarray, person: Use, projection: int
) -> None:
    """In both softmaxes: that of the attention and that of ORTHO_v2."""
    spelled_out = unet.add(1, 10, zero_rows=8)
    expected = unet.evaluate(with_(spelled_out, projection=projection, zeros=0))
    found = unet.evaluate(with_(person, projection=projection, zeros=8))
    assert difference(found, expected, nobody) < SAME
    one_more = unet.evaluate(with_(person, projection=projection, zeros=9))
    assert difference(one_more, expected, nobody) > 3 * SAME


@on_cpu
@pytest.mark.parametrize("projection", [NONE, ORTHO])
def test_twice_all_tokens_and_zeros_change_nothing(
    unet: UnetEngine, nobody: np.ndarray, person: Use, projection: int
) -> None:
    twice = unet.add(1, 10, copies=2)
    found = unet.evaluate(with_(twice, projection=projection, zeros=16))
    expected = unet.evaluate(with_(person, projection=projection, zeros=8))
    assert difference(found, expected, nobody) < SAME


@on_cpu
def test_an_identity_of_fewer_than_five_tokens_counts_zeros_as_the_first(
    unet: UnetEngine, nobody: np.ndarray
) -> None:
    three, spelled_out = unet.add(3, 3), unet.add(3, 3, zero_rows=4)
    found = unet.evaluate(with_(three, projection=ORTHO_V2, zeros=4))
    expected = unet.evaluate(with_(spelled_out, projection=ORTHO_V2, zeros=0))
    assert difference(found, expected, nobody) < SAME


@on_cpu
def test_projections_are_three(unet: UnetEngine, nobody: np.ndarray, person: Use) -> None:
    results = [unet.evaluate(with_(person, projection=projection)) for projection in PROJECTIONS]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert difference(results[i], results[j], nobody) > 10 * SAME


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_two_people_are_the_same_in_either_order(
    unet: UnetEngine, person: Use, other: Use, projection: int
) -> None:
    first, second = (with_(one, projection=projection) for one in (person, other))
    both = unet.evaluate(first, second)
    assert np.array_equal(both, unet.evaluate(second, first))
    assert not np.array_equal(both, unet.evaluate(first))


@pytest.mark.parametrize("projection", PROJECTIONS)
def test_a_region_of_all_or_nothing(
    unet: UnetEngine, nobody: np.ndarray, person: Use, projection: int
) -> None:
    person = with_(person, projection=projection)
    everywhere = unet.evaluate(with_(person, region=np.ones(GRID)))
    assert difference(everywhere, unet.evaluate(person), nobody) < 1e-5
    assert np.array_equal(unet.evaluate(with_(person, region=np.zeros(GRID))), nobody)


def test_the_halves_of_a_picture_make_a_whole(
    unet: UnetEngine, nobody: np.ndarray, person: Use
) -> None:
    """Without a projection, whose sums are of the region."""
    left = np.zeros(GRID)
    left[:, :4] = 1
    halves = unet.evaluate(with_(person, region=left), with_(person, region=1 - left))
    assert difference(halves, unet.evaluate(person), nobody) < SAME
    half = unet.evaluate(with_(person, region=left))
    effect = np.abs(half - nobody).mean(axis=0)
    assert effect[:, :8].mean() > effect[:, 8:].mean()


@on_cpu
def test_a_region_of_another_size_is_refused(unet: UnetEngine, person: Use) -> None:
    assert not unet.use(with_(person, region=np.ones((8, 16))))
    out = np.empty_like(unet.latent)
    failure = unet.call(
        "pulid_evaluate",
        *(unet.latent.ctypes.data, 16, 16, 4, 500.0),
        *(unet.text.ctypes.data, *unet.text.shape, unet.pooled.ctypes.data, unet.pooled.size),
        *(1.0, 0, False, out.ctypes.data),
    )
    assert "region of a person was made for a picture of another size" in failure


@on_cpu
def test_tokens_are_those_of_the_slot(unet: UnetEngine, person: Use) -> None:
    assert "another number" in unet.use(with_(person, tokens=32))
    assert "another number" in unet.use(with_(person, tokens=0))
    assert unet.use(with_(person, slot=1000))
    rows = [library().pulid_unet_rows(n) for n in (1, 7, 8, 10, 15, 32, 40)]
    assert rows == [8, 8, 16, 16, 16, 40, 48]


def test_memory_grows_by_keys_and_values(unet: UnetEngine) -> None:
    before = unet.engine.diffusion_params_bytes
    unet.add(9, 10)
    numbers = sum(2 * 16 * width for _, width in unet.layers)
    grown = unet.engine.diffusion_params_bytes - before
    assert 4 * numbers <= grown <= 4 * numbers * 1.1


def test_layers_must_be_those_of_the_unet(load_unet: Callable[..., StableDiffusion]) -> None:
    with load_unet() as engine:
        unet = UnetEngine(engine)
        name, width = unet.layers[0]
        assert "no attention" in unet.set_layout([(name, width * 2)])
        assert "no attention" in unet.set_layout([("input_blocks.1.1.attn2", width)])
        assert "before the first identity" in unet.call("pulid_reserve_slots", 1, 10)
        flux = pulid_layout_t(64, 1, 10, F16, 0, None, None)
        assert "needs a Flux.1" in unet.call("pulid_set_layout", ctypes.byref(flux))
        assert not unet.set_layout(unet.layers, F16)
        assert not unet.call("pulid_reserve_slots", 1, 10)
        assert "set once" in unet.set_layout(unet.layers)
        assert "another kind" in unet.call("pulid_write_layer", 0, 0, None, None, None)


def test_flux_has_no_layers_of_a_unet(standin_weights: dict[str, Path], load_engine) -> None:
    with load_engine(standin_weights, backend="cpu") as engine:
        unet = UnetEngine(engine)
        assert "needs an SDXL diffusion model" in unet.set_layout(unet.layers)
        assert "another kind" in unet.call("pulid_write_unet_layer", 0, 0, None, None)
