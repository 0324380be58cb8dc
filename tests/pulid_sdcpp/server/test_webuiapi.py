"""The real client of A1111's API, webuiapi, against a real server with the pocket model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pulid_sdcpp import PulidFlux, recipe_from

from .running import RunningServer, running_server

webuiapi = pytest.importorskip("webuiapi")

KEY = "3fJk9sLq0Zx7Yw2V"
SIZE: dict[str, Any] = {"width": 128, "height": 128, "steps": 2}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("webuiapi"), key=KEY) as started:
        yield started


@pytest.fixture
def api(server: RunningServer) -> Any:
    return webuiapi.WebUIApi(
        host="127.0.0.1", port=server.port, sampler="Euler", username="any", password=KEY
    )


def test_it_starts_as_with_a1111(api: Any) -> None:
    assert not api.has_controlnet
    assert not api.has_adetailer
    assert api.util_get_model_names() == ["pocket", "pocket-sdxl"]
    assert {"Euler", "DPM++ 2M"} <= set(api.util_get_sampler_names())
    assert "karras" in api.util_get_scheduler_names()
    api.util_set_model("pokcet")
    assert api.util_get_current_model() == "pocket"
    api.set_options(api.get_options())
    api.refresh_checkpoints()
    for name in [
        "cmd_flags",
        "embeddings",
        "face_restorers",
        "hypernetworks",
        "latent_upscale_modes",
        "loras",
        "memory",
        "prompt_styles",
        "realesrgan_models",
        "sd_vae",
        "upscalers",
    ]:
        assert getattr(api, f"get_{name}")() is not None
    api.util_wait_for_ready(0.1)


def test_pictures_and_what_they_say(api: Any, server: RunningServer) -> None:
    result = api.txt2img(prompt="a portrait", seed=5, n_iter=2, **SIZE)
    assert [image.size for image in result.images] == [(128, 128)] * 2
    assert result.info["all_seeds"] == [5, 6]
    assert [one["code"] for one in result.info["warnings"]] == ["cfg_scale_ignored"]
    text = result.image.info["parameters"]
    assert text == result.info["infotexts"][0]
    assert api.png_info(result.image).info == text

    changed = api.img2img(
        images=[result.image],
        mask_image=Image.new("L", (128, 128), 255),
        prompt="a portrait",
        seed=5,
        denoising_strength=0.3,
        inpaint_full_res=False,
        inpainting_fill=1,
        **SIZE,
    )
    assert changed.info["denoising_strength"] == 0.3
    assert changed.image.tobytes() != result.image.tobytes()
    assert changed.parameters["init_images"] is None
    kept = min((server.data / "server" / "jobs").rglob("000.png"))
    with PulidFlux.from_preset("pocket") as pipeline:
        expected = pipeline.generate("a portrait", seed=5, **SIZE).image
        again = pipeline.generate(**recipe_from(kept).arguments).image
    assert result.image.tobytes() == expected.tobytes() == again.tobytes()


def test_a_person_by_a_unit_of_controlnet(api: Any) -> None:
    from pulid_sdcpp.pocket import model as pocket

    photo = Image.open(Path(pocket.__path__[0], "portraits", "rose.png"))
    unit = webuiapi.ControlNetUnit(image=photo, module="ip-adapter-auto", model="pulid_flux")
    plain = api.txt2img(prompt="a portrait", seed=5, **SIZE)
    result = api.txt2img(prompt="a portrait", seed=5, controlnet_units=[unit], **SIZE)
    (person,) = result.info["extra_generation_params"]["pulid"]
    assert person["weight"] == 1.0
    assert f"PuLID identity: {person['identity']}" in result.info["infotexts"][0]
    assert result.image.tobytes() != plain.image.tobytes()


def test_interrupting_from_another_thread(api: Any) -> None:
    results = []

    def make() -> None:
        more = {**SIZE, "steps": 100, "width": 256, "height": 256}
        results.append(api.txt2img(prompt="a portrait", n_iter=10, **more))

    thread = threading.Thread(target=make)
    thread.start()
    while not api.get_progress()["state"]["sampling_step"]:
        time.sleep(0.02)
    progress = api.get_progress()
    assert 0 < progress["progress"] < 1
    assert progress["state"]["job_count"] == 10
    assert api.interrupt() == {}
    thread.join()
    assert results[0].info["interrupted"]
    assert len(results[0].images) < 10
    api.util_wait_for_ready(0.1)


def test_what_goes_wrong_is_said(api: Any, server: RunningServer) -> None:
    with pytest.raises(RuntimeError, match="sdxl") as caught:
        api.txt2img(prompt="x", override_settings={"sd_model_checkpoint": "sdxl"}, **SIZE)
    assert caught.value.args[0] == 404
    stranger = webuiapi.WebUIApi(host="127.0.0.1", port=server.port)
    with pytest.raises(RuntimeError, match="a key is needed"):
        stranger.txt2img(prompt="x")
