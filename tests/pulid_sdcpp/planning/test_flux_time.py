"""What is told from the times of small models, with a clock that is made up; once for real."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulid_sdcpp import ContextOptions
from pulid_sdcpp.engine.factory import load_engine
from pulid_sdcpp.memory.compute import T5_TOKENS
from pulid_sdcpp.model_files.description import check_diffusion_model
from pulid_sdcpp.planning import flux_time
from pulid_sdcpp.planning.flux_time import FluxTime, measure_flux
from pulid_sdcpp.planning.random_models import random_type, small_flux, write_random_flux
from pulid_sdcpp.tensors.random_blocks import TYPES

CONTEXT = ContextOptions(diffusion_model_path="f", clip_l_path="c", vae_path="v", backend="cpu")
CONSTANT_S, PER_TOKEN_S, PER_PAIR_S, PER_LAYER_S = 0.02, 1e-4, 1e-8, 1e-5


class Clock:
    """Advanced by engines that compute nothing."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.tokens: list[int] = []

    def __call__(self) -> float:
        return self.now_s


class TimedEngine:
    def __init__(self, clock: Clock, blocks: int) -> None:
        self._clock, self._blocks = clock, blocks

    def evaluate(self, latent: Any, *_: object, pulid_id_embedding: object = None) -> None:
        image = latent.shape[1] * latent.shape[2] // 4
        tokens = image + T5_TOKENS
        self._clock.tokens.append(image)
        self._clock.now_s += CONSTANT_S + self._blocks * block_s(tokens)
        if pulid_id_embedding is not None:
            self._clock.now_s += 2 * PER_LAYER_S * image


def block_s(tokens: int) -> float:
    return PER_TOKEN_S * tokens + PER_PAIR_S * tokens**2


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()

    @contextlib.contextmanager
    def small(*arguments: Any, **_: Any) -> Iterator[TimedEngine]:
        depth, depth_single = arguments[5:7]
        yield TimedEngine(found, depth + depth_single)

    monkeypatch.setattr(flux_time, "_flux", small)
    monkeypatch.setattr(flux_time, "write_random_pulid", lambda *_: None)
    for name in ("perf_counter", "process_time"):
        monkeypatch.setattr(flux_time.time, name, found)
    return found


@pytest.mark.parametrize("limit_s", [100.0, 0.4, 0.01])
def test_a_whole_flux_is_computed_from_a_part(clock: Clock, limit_s: float, tmp_path: Path) -> None:
    """Exactly, where a block takes a * tokens + b * tokens^2; a smaller size is measured if need
    be."""
    found = measure_flux(
        *(CONTEXT, "q4_k", 4096, tmp_path),
        with_identity=True,
        load=load_engine,
        limit_s=limit_s,
        clock=clock,
    )
    assert max(clock.tokens) == found.measured_tokens
    assert (found.measured_tokens == 4096) is (limit_s == 100.0)
    expected_s = CONSTANT_S + 57 * block_s(4096 + T5_TOKENS)
    tolerance = 0.3 if limit_s == 0.01 else 1e-6  # from one size alone attention is not known
    assert found.evaluation_s == pytest.approx(expected_s, rel=tolerance)
    assert found.identity_s == pytest.approx(20 * PER_LAYER_S * 4096)
    assert found.constant_s == pytest.approx(CONSTANT_S)
    # Processor time is that of all threads together.
    assert found.alone_s == pytest.approx(found.evaluation_s / CONTEXT.threads)


def test_noise_gives_no_nonsense() -> None:
    assert flux_time._computed((256, 1.0), (1024, 1.5), 4096) == pytest.approx(1.5 * 4352 / 1280)
    # Eight times as slow as matrices is the most that attention is taken for.
    share = 8 / (6 * 3072)
    expected = 1.0 * (4352 + share * 4352**2) / (1280 + share * 1280**2)
    assert flux_time._computed((256, 0.1), (1024, 1.0), 4096) == pytest.approx(expected)
    assert flux_time._computed((256, 1.0), (256, 1.0), 256) == 1.0
    assert FluxTime(256, 256, 2.0, 1.0).of_parts(3) == 7.0


@pytest.mark.parametrize("dtype", ["q2_k", "q5_k", "q8_0", "bf16"])
def test_the_small_model_is_a_flux(dtype: str, tmp_path: Path) -> None:
    write_random_flux(tmp_path / "flux.gguf", small_flux(1, 2, 256), dtype)
    info = check_diffusion_model(tmp_path / "flux.gguf")
    assert (info.depth, info.depth_single, info.hidden_size) == (1, 2, 256)
    assert dtype in info.dtypes


def test_the_small_model_is_not_mapped(tmp_path: Path) -> None:
    """Its file is removed as soon as it is loaded, which Windows refuses of a mapped one."""
    mapped = dataclasses.replace(CONTEXT, enable_mmap=True)
    assert not flux_time.small_context(mapped, tmp_path / "flux.gguf").enable_mmap


def test_every_published_type_has_random_weights() -> None:
    assert {random_type(name) for name in ("f8_e4m3", "iq4_nl", "f32", *TYPES)} == set(TYPES)


@pytest.mark.engine
def test_the_real_kernels_are_timed(tmp_path: Path) -> None:
    found = measure_flux(
        *(CONTEXT, "q4_k", 256, tmp_path), with_identity=True, load=load_engine, hidden=256
    )
    assert found.part_s > 0
    assert 0 < found.processor_share <= 1
    assert [path.name for path in tmp_path.iterdir()] == ["pulid.safetensors"]


def test_the_speed_of_matrices_is_told_from_the_blocks() -> None:
    """Twelve times the width squared for each token, in each of three blocks."""
    found = FluxTime(4096, 4096, 9.0, 0.1, small_part_s=2.0)
    assert found.matrices_per_s == pytest.approx(3 * 12 * 3072**2 * 512 / 2.0)
