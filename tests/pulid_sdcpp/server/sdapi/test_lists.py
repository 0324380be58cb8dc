"""The lists that A1111's clients ask for as they start."""

import json

import pytest

from pulid_sdcpp.options.second_pass import HIRES_UPSCALERS
from pulid_sdcpp.server.request.sdapi_names import titled_model
from pulid_sdcpp.server.sdapi import lists
from pulid_sdcpp.server.sdapi.lists import SdapiModel
from pulid_sdcpp.system.system_memory import ComputerMemory

DEV = SdapiModel("flux-dev", "flux1-dev-Q4_K_S.gguf", "ab" * 32, "ae.safetensors")
POCKET = SdapiModel("pocket", vae="ae.safetensors")


def test_options_and_models_agree():
    options = lists.options_answer(DEV)
    (dev, pocket) = lists.model_list([DEV, POCKET])
    assert options["sd_model_checkpoint"] == dev["title"] == dev["model_name"] == "flux-dev"
    assert (dev["hash"], dev["sha256"], dev["config"]) == ("ab" * 5, "ab" * 32, None)
    assert dev["filename"] == "flux1-dev-Q4_K_S.gguf"
    assert (pocket["hash"], pocket["sha256"]) == (None, None)
    assert options["sd_checkpoint_hash"] == "ab" * 32
    assert lists.options_answer(POCKET)["sd_checkpoint_hash"] == ""
    assert (options["samples_format"], options["sd_vae"]) == ("png", "Automatic")
    assert options["CLIP_stop_at_last_layers"] == 1
    assert "forge_preset" not in options


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("flux-dev", "flux-dev"),
        ("flux-dev [0123456789]", "flux-dev"),
        ("flux [a b]", "flux [a b]"),
        ("", ""),
    ],
)
def test_titles_with_a_hash(title: str, name: str):
    assert titled_model(title) == name


def test_each_autoencoder_once():
    expected = {"model_name": "ae.safetensors", "filename": "ae.safetensors"}
    assert lists.vae_list([DEV, POCKET, SdapiModel("x")]) == [expected]


def test_upscalers_are_those_that_a_request_may_name():
    pixels = [one["name"] for one in lists.upscaler_list(["4x-esrgan"])]
    latents = [one["name"] for one in lists.upscale_modes()]
    assert pixels == ["None", "Lanczos", "Nearest", "4x-esrgan"]
    assert {*pixels, *latents} == {*HIRES_UPSCALERS, "4x-esrgan"}
    none = lists.upscaler_list([])[0]
    assert none == {
        "name": "None",
        "model_name": None,
        "model_path": None,
        "model_url": None,
        "scale": 1,
    }


def test_loras_have_names_only():
    assert lists.lora_list(["style/oil"]) == [
        {"name": "style/oil", "alias": "style/oil", "path": "style/oil", "metadata": {}}
    ]


def test_memory():
    ram = lists.memory_answer(ComputerMemory(100, 30))["ram"]
    assert ram == {"free": 30, "used": 70, "total": 100}
    assert "error" in lists.memory_answer(None)["ram"]


def test_queue():
    answer = lists.queue_answer(3, 2.5)
    assert (answer["msg"], answer["queue_size"], answer["queue_eta"]) == ("estimation", 3, 7.5)
    assert answer["avg_event_process_time"] == 2.5
    assert lists.queue_answer(0, 0.0)["avg_event_process_time"] is None


def test_system_says_nothing_of_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    answer = json.dumps(lists.system_answer("1.2", ComputerMemory(2, 1)))
    assert "pulid-sdcpp 1.2" in answer
    assert str(tmp_path) not in answer


def test_scripts():
    assert lists.scripts_answer() == {"txt2img": ["pulid"], "img2img": ["pulid"]}
    assert [one["is_img2img"] for one in lists.script_info()] == [False, True]
    assert lists.app_answer(1.5) == {"app_id": 1500}


def test_png_info():
    text = "a cat\nNegative prompt: dogs\nSteps: 4, Sampler: Euler, Seed: 7, Size: 512x640"
    answer = lists.picture_info(text)
    assert answer["info"] == text
    assert answer["parameters"] == {
        "Prompt": "a cat",
        "Negative prompt": "dogs",
        "Steps": "4",
        "Sampler": "Euler",
        "Seed": "7",
        "Size": "512x640",
        "Size-1": "512",
        "Size-2": "640",
    }
    assert lists.picture_info(None) == {"info": "", "items": {}, "parameters": {}}
    assert lists.picture_info("no more than a prompt")["parameters"]["Prompt"]
