from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from pulid_sdcpp.options.context import ContextOptions

FILES = {"diffusion_model_path": "flux.gguf", "clip_l_path": "clip.safetensors", "vae_path": "ae"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"diffusion_model_path": None}, "name a preset, or diffusion_model_path"),
        ({"clip_l_path": None}, "name clip_l_path or t5xxl_path"),
        ({"vae_path": None}, "name vae_path or taesd_path"),
        ({"n_threads": 513}, "n_threads is 513"),
        ({"max_vram": math.nan}, "max_vram is nan"),
        ({"wtype": "iq2_xxs"}, "wtype is 'iq2_xxs'"),
        ({"rng_type": "dice"}, "rng_type is 'dice'"),
        ({"sampler_rng_type": "dice"}, "sampler_rng_type is 'dice'"),
        ({"lora_apply_mode": "later"}, "lora_apply_mode is 'later'"),
        ({"vae_path": ""}, "vae_path is ''"),
        ({"vae_path": "a\0b"}, "vae_path is"),
        ({"vae_path": 7}, "must be a path"),
        ({"tensor_type_rules": "vae=f7"}, "'vae=f7'"),
        ({"tensor_type_rules": "vae("}, "PATTERN=TYPE"),
        (
            {"tensor_type_rules": "(=f16"},
            "not a regular expression that rules may have: it has a \\(",
        ),
        ({"tensor_type_rules": "(" * 1000 + "=f16"}, "\\(…'.*nested more than 50"),
        (
            {"tensor_type_rules": "|".join("a" * 4900) + "=f16"},
            "9803 characters, but may have 2048",
        ),
        ({"tensor_type_rules": "(?<=a)b=f16"}, "PATTERN=TYPE|regular expression"),
        ({"tensor_type_rules": "(?i)b=f16"}, "not a regular expression"),
    ],
)
def test_context_options_that_cannot_work_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ContextOptions(**{**FILES, **change})


def test_a_full_checkpoint_needs_no_other_files() -> None:
    kwargs = ContextOptions(model_path=Path("all.safetensors")).to_engine_kwargs()
    assert kwargs["model_path"] == "all.safetensors"
    assert kwargs["vae_path"] == ""
    assert kwargs["pulid_weights"] is None


def test_engine_arguments_have_the_bindings_names() -> None:
    context = ContextOptions(**FILES, rng_type="std_default", wtype="q4_K").to_engine_kwargs()
    assert context["rng_type"] == context["sampler_rng_type"] == "default"
    assert context["wtype"] == "q4_k"
