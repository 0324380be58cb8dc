"""How long a picture takes: what is counted, and that the pocket model's is measured for real."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from pulid_sdcpp import ContextOptions, GenerationOptions, ModelFileError, plan_memory
from pulid_sdcpp.cli import main
from pulid_sdcpp.engine.factory import load_engine
from pulid_sdcpp.model_files.published_layout import published_layout
from pulid_sdcpp.model_files.text_encoder_shapes import T5_MACS_PER_TOKEN
from pulid_sdcpp.native.devices import Device
from pulid_sdcpp.planning import picture_time
from pulid_sdcpp.planning.flux_time import FluxTime
from pulid_sdcpp.planning.picture_time import measure_picture

CPU = Device("CPU", "a processor", "cpu", 0, 0)
FILES = {
    "diffusion_model_path": ("diffusion_model", "flux1-schnell-Q4_K_S.gguf"),
    "t5xxl_path": ("t5xxl", "t5-v1_1-xxl-encoder-Q8_0.gguf"),
    "clip_l_path": ("clip_l", "clip_l.safetensors"),
    "vae_path": ("vae", "ae.safetensors"),
    "pulid_weights": ("pulid", "pulid.safetensors"),
}
LAYOUTS = {field: published_layout(*file) for field, file in FILES.items()}
CONTEXT = ContextOptions(**{field: Path(name) for field, (_, name) in FILES.items()})  # type: ignore[arg-type]
PICTURE = GenerationOptions("", width=1024, height=512, steps=4)


@pytest.mark.parametrize(
    ("picture", "evaluations"),
    [
        (PICTURE, 4),
        (replace(PICTURE, cfg_scale=3.5), 8),
        (replace(PICTURE, sampling_method="heun"), 7),
    ],
)
def test_what_is_measured_is_multiplied(
    monkeypatch: pytest.MonkeyPatch, picture: GenerationOptions, evaluations: int
) -> None:
    asked = []

    def flux(
        context: ContextOptions, dtype: str, tokens: int, *_: object, **__: object
    ) -> FluxTime:
        asked.append((dtype, tokens))
        return FluxTime(tokens, 1024, 0.5, 0.1, 0.2, processor_share=0.5)

    def matrices(_: object, dtype: str, *__: object, **___: object) -> float:
        asked.append((dtype, 0))
        return T5_MACS_PER_TOKEN * 256 / 3.0

    monkeypatch.setattr(picture_time, "measure_flux", flux)
    monkeypatch.setattr(picture_time, "time_matrices", matrices)
    monkeypatch.setattr(picture_time, "_time_decoding", lambda *_: (64, 0.25))
    plan = plan_memory(CONTEXT, picture, people=2, available=[CPU], layouts=LAYOUTS)
    assert plan.device == "CPU"
    found = measure_picture(CONTEXT, picture, plan, layouts=LAYOUTS)
    assert asked == [("q4_k", 2048), ("q8_0", 0)]
    assert (found.evaluations, found.people) == (evaluations, 2)
    assert found.text_s == pytest.approx(3.0)
    assert found.denoise_s == pytest.approx(evaluations * (0.1 + 19 * 0.5 + 2 * 0.2))
    assert found.decode_s == pytest.approx(0.25 * 1024 * 512 / 64**2)
    assert found.picture_s == pytest.approx(found.text_s + found.denoise_s + found.decode_s)
    assert "this one had 50% of the time" in found.busy
    assert any("it would have taken too long" in line for line in found.measured)


def test_tiles_are_decoded_with_their_overlap() -> None:
    tiled = replace(PICTURE, vae_tiling=True)
    assert picture_time._decoded_pixels(PICTURE) == 1024 * 512
    assert picture_time._decoded_pixels(tiled) == 7 * 3 * 256**2


@pytest.mark.engine
def test_the_real_autoencoder_is_timed(tmp_path: Path) -> None:
    context = replace(CONTEXT, backend="cpu")
    side_px, spent_s = picture_time._time_decoding(context, tmp_path, load_engine)
    assert side_px in (64, 128, 256)
    assert spent_s > 0


@pytest.mark.engine
def test_the_pocket_model_is_measured_by_making_a_picture() -> None:
    command = ["plan", "--preset", "pocket", "--measure", "--json", "--steps", "1",
               "-W", "64", "-H", "64", "--backend", "cpu"]  # fmt: skip
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    measured = json.loads(result.stdout)["measured"]
    assert measured["evaluations"] == 1
    assert measured["picture_s"] == pytest.approx(
        measured["text_s"] + measured["denoise_s"] + measured["decode_s"]
    )


def test_a_card_that_is_not_here_cannot_be_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    from pulid_sdcpp.memory import plan as plan_module
    from pulid_sdcpp.native import devices as devices_module

    for module in (plan_module, devices_module):
        monkeypatch.setattr(module, "devices", lambda: [CPU])
    command = ["plan", "--preset", "flux-schnell-q4", "--vram", "8", "--measure"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "has no graphics card to measure" in result.stderr


def test_sdxl_is_measured_only_with_its_files() -> None:
    names = {"model_path": "sdxl.q4_0.gguf", "vae_path": "sdxl.vae.safetensors"}
    roles = {"model_path": "checkpoint", "vae_path": "vae"}
    layouts = {field: published_layout(roles[field], name) for field, name in names.items()}
    context = ContextOptions(**{field: Path(name) for field, name in names.items()})  # type: ignore[arg-type]
    plan = plan_memory(context, PICTURE, available=[CPU], layouts=layouts)
    with pytest.raises(ModelFileError, match=r"^sdxl\.q4_0\.gguf: how long .* not all are here"):
        measure_picture(context, PICTURE, plan, layouts=layouts)
