"""A body becomes a request: names, types, ranges, warnings and errors."""

from typing import Any

import pytest

from pulid_sdcpp.options.facts import of
from pulid_sdcpp.options.generation import MAX_SEED, SAMPLING_METHODS, SCHEDULERS, GenerationOptions
from pulid_sdcpp.server.errors import ApiError
from pulid_sdcpp.server.request.aliases import NAMES, PAIR_PLACES, PAIRS, PICTURES, PLACES
from pulid_sdcpp.server.request.normal_request import NormalRequest
from pulid_sdcpp.server.request.request_limits import check_picture
from server_requests import MODELS, KeptText, Limits, request_of

# A value of each option that is not its default.
VALUES: dict[str, Any] = {
    "prompt": "a portrait",
    "negative_prompt": "blurry",
    "width": 768,
    "height": 640,
    "steps": 12,
    "cfg_scale": 2.5,
    "guidance": 4.0,
    "sampling_method": "heun",
    "scheduler": "karras",
    "seed": 11,
    "batch_count": 3,
    "eta": 0.5,
    "clip_skip": 2,
    "sigmas": [1.0, 0.5, 0.0],
    "flow_shift": 1.5,
    "slg_scale": 2.5,
    "skip_layers": [3, 4],
    "skip_layer_start": 0.02,
    "skip_layer_end": 0.9,
    "id_mode": "style",
    "id_projection": "ortho",
    "id_zeros": 12,
    "strength": 0.5,
    "auto_resize_ref_image": False,
    "increase_ref_index": True,
    "canny": True,
    "vae_tiling": True,
    "vae_tile_size": [32, 48],
    "vae_tile_overlap": 0.25,
    "vae_relative_tile_size": [0.5, 2.0],
    "cache_mode": "easycache",
    "cache_option": "threshold=0.2",
    "upscale_repeats": 2,
    "hires": True,
    "hires_upscaler": "Lanczos",
    "hires_scale": 1.5,
    "hires_width": 896,
    "hires_height": 896,
    "hires_steps": 6,
    "hires_denoising_strength": 0.4,
    "hires_upscale_tile_size": 256,
    "loras": [{"name": "style", "multiplier": 0.5}],
    "cfg_start_step": 2,
}
# What an option needs beside it.
BESIDE: dict[str, dict[str, Any]] = {
    "canny": {"control_image": "edges"},
    "cache_option": {"cache_mode": "easycache"},
    "mask_image": {"init_image": "start"},
    "slg_scale": {"skip_layer_end": 0.9},
}


def nested(place: str, value: Any) -> dict[str, Any]:
    for name in reversed(place.split(".")):
        value = {name: value}
    return dict(value)


def error_of(body: dict[str, Any], **options: Any) -> tuple[str, str | None]:
    with pytest.raises(ApiError) as caught:
        request_of(body, **options)
    assert "\n" not in caught.value.message
    return caught.value.code, caught.value.param


def codes(request: NormalRequest) -> list[tuple[str, str]]:
    return [(one["code"], one["field"]) for one in request.warnings]


def test_every_option_of_a_picture_has_a_place():
    assert {*PLACES, *PAIRS} == {*of(GenerationOptions), "cfg_start_step"}
    assert {*VALUES, *PICTURES} == {*PLACES, *PAIRS}


@pytest.mark.parametrize("name", NAMES)
def test_every_name_of_an_option(name: str):
    option = NAMES[name]
    value = "a picture" if option in PICTURES else VALUES[option]
    if option == "ref_images":
        value = ["one", "two"]
    body = {"prompt": "x", **BESIDE.get(option, {}), **nested(name, value)}
    request = request_of(body)
    assert request.warnings == ()
    if option in PICTURES:
        texts = value if isinstance(value, list) else [value]
        assert request.pictures[option] == tuple(map(KeptText, texts))
    elif option == "loras":
        assert request.options["loras"] == (("style", 0.5),)
    else:
        found = request.options[option]
        assert (list(found) if isinstance(found, tuple) else found) == value


@pytest.mark.parametrize("place", PAIR_PLACES)
def test_half_a_pair_leaves_the_other_half_at_its_default(place: str):
    name, number = PAIR_PLACES[place]
    found = request_of({"prompt": "x", **nested(place, 16)}).options[name]
    assert found[number] == 16
    assert found[1 - number] == 0


@pytest.mark.parametrize("name", SAMPLING_METHODS)
def test_samplers_are_those_of_the_options(name: str):
    assert request_of({"prompt": "x", "sampler": name}).options["sampling_method"] == name


@pytest.mark.parametrize("name", [one for one in SCHEDULERS if one != "default"])
def test_schedulers_are_those_of_the_options(name: str):
    body = {"prompt": "x", "sample_params": {"scheduler": name}}
    assert request_of(body).options["scheduler"] == name


def test_only_what_is_said_is_in_it_and_the_seed():
    request = request_of(
        {"prompt": "x", "width": None, "sample_params": {"sample_method": "default"}}
    )
    assert request.options == {"prompt": "x", "seed": 7}
    assert request.model == "flux-dev"


@pytest.mark.parametrize("seed", [None, -1, "-1", -1.0, -(2**40)])
def test_a_random_seed_is_fixed_now(seed: Any):
    request = request_of({"prompt": "x", "seed": seed, "n": 3})
    assert request.seeds == (7, 8, 9)


def test_the_largest_seed():
    assert request_of({"prompt": "x", "seed": MAX_SEED}).seeds == (MAX_SEED,)
    assert error_of({"prompt": "x", "seed": MAX_SEED + 1}) == ("invalid_value", "seed")
    assert error_of({"prompt": "x", "seed": MAX_SEED, "n": 2}) == ("invalid_value", "seed")
    drawn = request_of({"prompt": "x", "n": 2}, draw_seed=lambda: MAX_SEED)
    assert drawn.seeds == (MAX_SEED - 1, MAX_SEED)


@pytest.mark.parametrize(
    ("asked", "made"), [(16, 16), (8, 16), (1, 16), (1000, 1008), (999, 992), (1023, 1024)]
)
def test_sizes_are_rounded_with_a_warning(asked: int, made: int):
    request = request_of({"prompt": "x", "width": asked})
    assert request.options["width"] == made
    assert codes(request) == ([] if asked == made else [("size_rounded", "width")])


def of_encoder(encoder: str) -> Any:
    return lambda model: (encoder,)


@pytest.mark.parametrize(("asked", "made"), [(1024, 1024), (1000, 1024), (80, 64), (16, 64)])
def test_sizes_of_sdxl_are_multiples_of_64(asked: int, made: int):
    body = {"prompt": "x", "height": asked, "hires": True, "hires_height": asked}
    request = request_of(body, encoders=of_encoder("sdxl-v1"))
    assert (request.options["height"], request.options["hires_height"]) == (made, made)
    assert [code for code, _ in codes(request)] == ["size_rounded"] * (0 if asked == made else 2)


def test_a_second_pass_of_a_size_that_sdxl_does_not_have_is_refused_at_once():
    body = {"prompt": "x", "width": 1024, "height": 1024, "hires": True, "hires_scale": 1.1}
    assert request_of(body, encoders=of_encoder("flux")).warnings == ()
    with pytest.raises(ApiError, match="1136, but must be a multiple of 64"):
        request_of(body, encoders=of_encoder("sdxl-v1.1"))


def test_modes_of_sdxl_are_refused_at_once_for_flux():
    body = {"prompt": "x", "id_mode": "style"}
    assert request_of(body, encoders=of_encoder("sdxl-v1")).options["id_mode"] == "style"
    with pytest.raises(ApiError, match="only PuLID for SDXL has it") as caught:
        request_of(body, encoders=of_encoder("flux"))
    assert caught.value.param == "id_mode"


def test_a_picture_to_start_from_becomes_a_size_that_sdxl_has():
    # 640 x 472, which only Flux makes as it is
    request = request_of({"prompt": "x", "init_image": "p"}, encoders=of_encoder("sdxl-v1"))
    assert "width" not in request.options  # settled when it is made


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "invalid_value", "prompt"),
        ({"prompt": "  "}, "invalid_value", "prompt"),
        ({"prompt": 5}, "invalid_value", "prompt"),
        ({"prompt": "x" * 10_001}, "invalid_value", "prompt"),
        ({"prompt": "a\0"}, "invalid_value", "prompt"),
        ({"prompt": "x", "negative_prompt": []}, "invalid_value", "negative_prompt"),
        ({"prompt": "x", "num_steps": "many"}, "invalid_value", "num_steps"),
        ({"prompt": "x", "steps": 0}, "invalid_value", "steps"),
        ({"prompt": "x", "steps": True}, "invalid_value", "steps"),
        ({"prompt": "x", "steps": 2.5}, "invalid_value", "steps"),
        ({"prompt": "x", "steps": 151}, "invalid_value", "steps"),
        ({"prompt": "x", "n": 0}, "invalid_value", "n"),
        ({"prompt": "x", "n": 11}, "invalid_value", "n"),
        ({"prompt": "x", "batch_size": 4, "n_iter": 3}, "invalid_value", "batch_size"),
        ({"prompt": "x", "batch_size": 0}, "invalid_value", "batch_size"),
        ({"prompt": "x", "n_iter": "2"}, "invalid_value", "n_iter"),
        ({"prompt": "x", "width": 4112}, "invalid_value", "width"),
        ({"prompt": "x", "width": 0}, "invalid_value", "width"),
        ({"prompt": "x", "width": 4096, "height": 1040}, "invalid_value", "width"),
        ({"prompt": "x", "height": 4096, "width": 1040}, "invalid_value", "height"),
        ({"prompt": "x", "hires": {"enabled": True, "scale": 3}}, "invalid_value", "hires.scale"),
        ({"prompt": "x", "hires": {"enabled": True, "steps": 151}}, "invalid_value", "hires.steps"),
        ({"prompt": "x", "hires": {"upscaler": "../a"}}, "invalid_value", "hires.upscaler"),
        ({"prompt": "x", "sampler": "eular"}, "invalid_value", "sampler"),
        ({"prompt": "x", "guidance": 2000}, "invalid_value", "guidance"),
        ({"prompt": "x", "sample_params": 3}, "invalid_value", "sample_params"),
        ({"prompt": "x", "sample_params": {"eta": "x"}}, "invalid_value", "sample_params.eta"),
        (
            {"prompt": "x", "sample_params": {"custom_sigmas": [0.5, 1]}},
            "invalid_value",
            "sample_params.custom_sigmas",
        ),
        (
            {"prompt": "x", "custom_sigmas": [1 - i / 152 for i in range(152)]},
            "invalid_value",
            "custom_sigmas",
        ),
        ({"prompt": "x", "mask_image": "m"}, "invalid_value", "mask_image"),
        ({"prompt": "x", "cache_mode": "ucache"}, "invalid_value", "cache_mode"),
        ({"prompt": "x", "lora": [{"path": "a/b"}]}, "invalid_value", "lora[0].name"),
        ({"prompt": "x", "lora": [{"name": ".a"}]}, "invalid_value", "lora[0].name"),
        ({"prompt": "x", "lora": [{"name": "C:a"}]}, "invalid_value", "lora[0].name"),
        ({"prompt": "x", "lora": [{}]}, "invalid_value", "lora[0]"),
        ({"prompt": "x", "lora": [{"name": "a", "path": "b"}]}, "invalid_value", "lora[0]"),
        ({"prompt": "x", "lora": "a"}, "invalid_value", "lora"),
        (
            {"prompt": "x", "lora": [{"name": "a", "multiplier": 101}]},
            "invalid_value",
            "lora[0].multiplier",
        ),
        ({"prompt": "x", "init_image": "bad"}, "bad_image", "init_image"),
        ({"prompt": "x", "ref_images": ["a", "bad"]}, "bad_image", "ref_images[1]"),
        ({"prompt": "x", "ref_images": "a"}, "invalid_value", "ref_images"),
        ({"prompt": "x", "ref_images": ["a"] * 17}, "invalid_value", "ref_images"),
        ({"prompt": "x", "steps": 3, "num_steps": 4}, "invalid_value", "num_steps"),
        ({"prompt": "x", "model": "nothing"}, "model_not_found", "model"),
        ({"prompt": "x", "model": 3}, "invalid_value", "model"),
        ({"prompt": "x", "output_format": "gif"}, "invalid_value", "output_format"),
        ({"prompt": "x", "output_compression": 101}, "invalid_value", "output_compression"),
        ({"prompt": "x", "preview": "nice"}, "invalid_value", "preview"),
        ({"prompt": "x", "preview_interval": 0}, "invalid_value", "preview_interval"),
        ({"prompt": "x", "title": "t" * 101}, "invalid_value", "title"),
        ({"prompt": "x", "timeout_s": -1}, "invalid_value", "timeout_s"),
        ({"prompt": "x", "store": 2}, "invalid_value", "store"),
        ({"prompt": "x", "cfg_start_step": -1}, "invalid_value", "cfg_start_step"),
    ],
)
def test_errors_name_the_field_as_the_client_does(
    body: dict[str, Any], code: str, param: str | None
):
    assert error_of(body) == (code, param)


def test_without_limits_a_job_of_before_is_read():
    body = {"prompt": "x", "steps": 500, "n": 60, "width": 4096, "height": 4096}
    assert request_of(body, limits=None).options["steps"] == 500


def test_the_size_of_the_picture_to_start_from_counts():
    limits = Limits(max_pixels=512 * 512)
    assert error_of({"prompt": "x"}, limits=limits) == ("invalid_value", "width")
    assert error_of({"prompt": "x", "init_image": "big"}, limits=limits)[0] == "invalid_value"
    request_of({"prompt": "x", "init_image": "a", "width": 512, "height": 512}, limits=limits)


@pytest.mark.parametrize(
    "model", ["", None, "dall-e-3", "gpt-image-1", "gpt-image-1-mini", "sd-cpp-local"]
)
def test_models_of_others_mean_the_default(model: str | None):
    assert request_of({"prompt": "x", "model": model}).model == "flux-dev"


def test_a_model_by_name():
    assert request_of({"prompt": "x", "model": "flux-schnell"}).model == "flux-schnell"
    assert list(MODELS) == ["flux-dev", "flux-schnell"]


def test_unknown_fields_are_warned_of_or_refused():
    body = {"prompt": "x", "stepz": 3, "sample_params": {"sample_stepz": 4}}
    found = codes(request_of(body))
    assert found == [("unknown_field", "stepz"), ("unknown_field", "sample_params.sample_stepz")]
    assert "steps" in request_of(body).warnings[0]["message"]
    assert error_of(body, own=True) == ("unknown_field", "stepz")
    assert error_of(body, strict=True) == ("unknown_field", "stepz")
    assert request_of(body, ignored=["stepz", "sample_params.sample_stepz"]).warnings == ()


@pytest.mark.parametrize(
    ("place", "neutral", "other"),
    [
        ("sample_params.shifted_timestep", 0, 250),
        ("sample_params.extra_sample_args", "", "a=1"),
        ("vae_tiling_params.temporal_tiling", False, True),
        ("vae_tiling_params.extra_tiling_args", "", "x=1"),
        ("hires.custom_sigmas", [], [1, 0]),
        ("control_strength", 0.9, 0.5),
        ("ip_adapter_image", "", "abc"),
        ("scm_mask", "", "111"),
        ("image_preprocess", True, "crop"),
    ],
)
def test_what_is_not_offered_is_warned_of_unless_neutral(place: str, neutral: Any, other: Any):
    assert request_of({"prompt": "x", **nested(place, neutral)}).warnings == ()
    assert request_of({"prompt": "x", **nested(place, None)}).warnings == ()
    body = {"prompt": "x", **nested(place, other)}
    assert codes(request_of(body)) == [("not_offered", place)]
    assert error_of(body, strict=True) == ("unsupported", place)


def test_warnings_of_a_lora():
    body = {"prompt": "x", "lora": [{"path": "a", "is_high_noise": True, "x": 1}, "b"]}
    request = request_of(body)
    assert request.options["loras"] == (("a", 1.0), ("b", 1.0))
    assert codes(request) == [
        ("not_offered", "lora[0].is_high_noise"),
        ("unknown_field", "lora[0].x"),
    ]


def test_delivery():
    body = {
        "prompt": "x",
        "output_format": "webp",
        "output_compression": "80",
        "embed_image_metadata": False,
        "preview": "latent",
        "preview_interval": 2,
        "store": "false",
        "timeout_s": 60,
        "title": "mine",
    }
    delivery = request_of(body).delivery
    assert (delivery.output_format, delivery.output_compression) == ("webp", 80)
    assert (delivery.preview, delivery.preview_interval) == ("proj", 2)
    assert (delivery.store, delivery.timeout_s, delivery.title) == (False, 60.0, "mine")
    assert request_of({"prompt": "x", "output_format": "jpg"}).delivery.output_format == "jpeg"
    assert request_of({"prompt": "x", "preview": "decoded"}).delivery.preview == "vae"


def test_sizes_go_by_the_model_where_it_takes_no_identities() -> None:
    body = {"prompt": "x", "width": 1000, "height": 832}
    request = request_of(body, size_multiple=lambda _: 64)
    assert (request.options["width"], request.options["height"]) == (1024, 832)
    with pytest.raises(ApiError, match="multiple of 64"):
        check_picture({"prompt": "x", "width": 1008}, {}, {}, {}, None, (), 64)
