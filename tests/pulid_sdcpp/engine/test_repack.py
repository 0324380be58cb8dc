"""Quantized matrices in the CPU's own layouts: as exact as in their plain one.

The definition has the same weights, dequantized, and float64 inputs. The engine rounds each row of
inputs to 8 bits, in blocks of 32 or 256, whatever the layout: the root mean square of its error
should be about the same in both. A quarter more is allowed.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from definition.flux_pulid import FluxPulid  # noqa: E402
from matrix_products import kernels_here  # noqa: E402
from pulid_sdcpp import Identity, StableDiffusion  # noqa: E402
from pulid_sdcpp.native.library import engine_info  # noqa: E402

pytestmark = pytest.mark.engine

MORE_ALLOWED = 1.25
# Prints the digest of a picture, made of the weights and with the type that it is told.
PICTURE = """
import hashlib, sys
from pulid_sdcpp import StableDiffusion

flux, clip, taesd, wtype = sys.argv[1:]
with StableDiffusion(
    diffusion_model_path=flux, clip_l_path=clip, taesd_path=taesd, wtype=wtype,
    backend="cpu", n_threads=2,
) as engine:
    picture, = engine.generate_image(
        "a portrait", seed=1, cfg_scale=1.0, sample_steps=2, width=64, height=64
    )
print(hashlib.sha256(picture.tobytes()).hexdigest())
"""


def inputs(image_tokens: tuple[int, int], text_tokens: int) -> tuple:
    random = np.random.default_rng(5)
    height, width = (2 * side for side in image_tokens)
    return (
        random.normal(size=(16, height, width)).astype(np.float32),
        0.6,
        (random.normal(size=(text_tokens, 4096)) * 0.3).astype(np.float32),
        random.normal(size=768).astype(np.float32),
    )


@pytest.mark.parametrize("kind", ["flux-q4_0", "flux-q4_k", "flux-q8_0"])
def test_repacked_matrices_give_the_same(
    kind: str,
    standin_weights: dict[str, Path],
    load_engine: Callable[..., StableDiffusion],
    make_identity: Callable[[int], Identity],
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Numbers of tokens that leave 1, 3 and 7 rows over the kernels' 16 and 4.
    cases = [inputs((5, 7), 23), inputs((8, 8), 16), inputs((1, 1), 1)]
    weights = {**standin_weights, "flux-f16": standin_weights[kind]}
    identity = make_identity(1)
    results = []
    for repack in (True, False):
        with (
            caplog.at_level(logging.DEBUG, "pulid_sdcpp.engine"),
            load_engine(weights, backend="cpu", repack=repack) as engine,
        ):
            results.append(
                [
                    engine.evaluate(*case, pulid_id_embedding=person)
                    for case in cases
                    for person in (None, identity)
                ]
            )
        lines = [text for text in caplog.messages if "flux: " in text and " repacked (" in text]
        caplog.clear()
        if "AVX2 = 1" in engine_info().system_info:
            assert len(lines) == repack
    exact = FluxPulid(weights["flux-f16"], weights["pulid"])
    expected = [
        exact.velocity(*case, identities=[] if person is None else [(person.tokens, 1.0)])
        for case in cases
        for person in (None, identity)
    ]
    repacked, plain = (
        np.concatenate([np.ravel(a - b) for a, b in zip(result, expected, strict=True)])
        for result in results
    )
    errors = [np.sqrt(np.square(difference).mean()) for difference in (repacked, plain)]
    print(f"{kind}: error {errors[0]:.2e} repacked, {errors[1]:.2e} plain")
    assert errors[0] <= MORE_ALLOWED * errors[1]


def test_an_identity_folded_into_q8_0_works_repacked_too(
    standin_weights: dict[str, Path],
    load_engine: Callable[..., StableDiffusion],
    make_identity: Callable[[int], Identity],
) -> None:
    identity = make_identity(1)
    case = inputs((5, 7), 23)
    found = []
    for dtype in ("f16", "q8_0"):
        with load_engine(standin_weights, backend="cpu", pulid_dtype=dtype) as engine:
            found.append(engine.evaluate(*case, pulid_id_embedding=identity))
            without = engine.evaluate(*case)
    change = np.abs(found[0] - without).max()
    assert np.abs(found[0] - found[1]).max() <= 0.05 * change


@pytest.mark.parametrize("wtype", ["q4_0", "q5_k", "q6_k"])
def test_pictures_are_the_same_with_every_instruction_set(
    wtype: str, make_weights: Callable[..., dict[str, Path]], tmp_path: Path
) -> None:
    """To the byte; ggml's own kernels, which make another, show that the set made a difference."""
    here = kernels_here(tmp_path)
    if len(here) < 2:
        pytest.skip("this processor has one of the instruction sets, or none")
    weights = make_weights(depth=1, depth_single=1)  # each process quantizes them
    digests = {}
    for kernels in (*here, "none"):
        run = subprocess.run(
            [sys.executable, "-c", PICTURE]
            + [str(weights[role]) for role in ("flux-f16", "clip_l", "taesd")]
            + [wtype],
            env={
                **os.environ,
                "PULID_SDCPP_CPU_KERNELS": kernels,
                "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        digests[kernels] = run.stdout.strip()
    other = digests.pop("none")
    assert set(digests.values()) == {digests[next(iter(here))]}, digests
    assert other not in digests.values()
