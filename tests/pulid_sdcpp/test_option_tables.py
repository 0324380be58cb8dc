"""What is derived from the facts of the options, table by table, as it was before there were facts.

A change here is one that users see: of a flag, a picture's text, a batch's file, a preset.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from pathlib import Path
from typing import Any

import click
import pytest
from PIL import Image

from pulid_sdcpp.batch import key
from pulid_sdcpp.batch.fields import (
    GENERATION_FIELDS,
    PERSON_FIELDS,
    SCENE_FIELDS,
    field_values,
)
from pulid_sdcpp.batch.job_file import SHARED_FIELDS
from pulid_sdcpp.cli import main
from pulid_sdcpp.engine.binding_arguments import checked_generation
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.options.generation import GenerationOptions, with_checked
from pulid_sdcpp.people.identity_options import IdentityOptions
from pulid_sdcpp.pictures import parameters, people_text
from pulid_sdcpp.store.registry import Preset

KINDS = (ContextOptions, GenerationOptions, IdentityOptions)
# Heading, parameter, flags, kind (* may be repeated), and the commands that have it: generate,
# plan, evaluate, batch. Help texts and what is shown of defaults are in docs/cli.md.
FLAGS = """
    Model diffusion_model_path --diffusion-model path gpeb
    Model model_path -m/--model path gpeb
    Model vae_path --vae path gpeb
    Model taesd_path --tae/--taesd path gpeb
    Model tae_preview_only --taesd-preview-only flag gpeb
    Model clip_l_path --clip_l path gpeb
    Model clip_g_path --clip_g path gpeb
    Model t5xxl_path --t5xxl path gpeb
    Model lora_model_dir --lora-model-dir path geb
    Model upscaler_path --upscale-model path gpb
    Model hires_upscalers_dir --hires-upscalers-dir path gpb
    Model loras --lora text* gb
    Model wtype --type choice gpeb
    Model tensor_type_rules --tensor-type-rules text gpeb
    Identity pulid_weights --pulid-weights path gpeb
    Identity pulid_dtype --pulid-dtype choice gpeb
    Identity embedding --pulid-id-embedding path g
    Identity weight --pulid-id-weight/--id-weight float geb
    Identity start_step --id-start-step STEP|PART geb
    Identity end_step --id-end-step STEP|PART geb
    Identity id_mode --id-mode choice geb
    Identity id_projection --id-projection choice geb
    Identity id_zeros --id-zeros integer geb
    Identity cfg_start_step --cfg-start-step integer geb
    Picture prompt -p/--prompt text gp
    Picture negative_prompt -n/--negative-prompt text gpeb
    Picture width -W/--width integer gpeb
    Picture height -H/--height integer gpeb
    Picture seed -s/--seed integer g
    Picture batch_count -b/--batch-count integer g
    Picture upscale_repeats --upscale-repeats integer gpb
    Picture hires --hires/--no-hires flag gpb
    Picture hires_upscaler --hires-upscaler text gpb
    Picture hires_scale --hires-scale float gpb
    Picture hires_width --hires-width integer gpb
    Picture hires_height --hires-height integer gpb
    Sampling hires_steps --hires-steps integer gb
    Sampling hires_denoising_strength --hires-denoising-strength float gb
    Memory hires_upscale_tile_size --hires-upscale-tile-size integer gpb
    Memory upscale_tile_size --upscale-tile-size integer gpb
    Picture init_image -i/--init-img path gpb
    Picture strength --strength float gb
    Picture mask_image --mask path gb
    Picture ref_images -r/--ref-image path* gpb
    Picture control_image --control-image path gpb
    Picture canny --canny flag gb
    Picture increase_ref_index --increase-ref-index flag gb
    Picture auto_resize_ref_image --disable-auto-resize-ref-image flag gpb
    Sampling steps --steps integer geb
    Sampling cfg_scale --cfg-scale float gpeb
    Sampling guidance --guidance float geb
    Sampling sampling_method --sampling-method choice geb
    Sampling scheduler --scheduler choice geb
    Sampling sigmas --sigmas A,B,... geb
    Sampling eta --eta float geb
    Sampling flow_shift --flow-shift float geb
    Sampling slg_scale --slg-scale float geb
    Sampling skip_layers --skip-layers A,B,... geb
    Sampling skip_layer_start --skip-layer-start float geb
    Sampling skip_layer_end --skip-layer-end float geb
    Sampling clip_skip --clip-skip integer geb
    Sampling cache_mode --cache-mode text gb
    Sampling cache_option --cache-option text gb
    Sampling rng_type --rng choice geb
    Sampling sampler_rng_type --sampler-rng choice geb
    Memory n_threads -t/--threads integer geb
    Memory backend --backend text gpeb
    Memory offload_params_to_cpu --offload-to-cpu flag gpeb
    Memory max_vram --max-vram float geb
    Memory keep_clip_on_cpu --clip-on-cpu flag gpeb
    Memory keep_vae_on_cpu --vae-on-cpu flag gpeb
    Memory enable_mmap --mmap flag geb
    Memory flash_attn --fa flag gpeb
    Memory diffusion_flash_attn --diffusion-fa/--no-diffusion-fa flag gpeb
    Memory repack --no-repack flag geb
    Memory diffusion_conv_direct --diffusion-conv-direct flag geb
    Memory vae_conv_direct --vae-conv-direct flag gpeb
    Model lora_apply_mode --lora-apply-mode choice geb
    Memory vae_tiling --vae-tiling flag gpeb
    Memory vae_tile_size --vae-tile-size XxY gpeb
    Memory vae_relative_tile_size --vae-relative-tile-size XxY gpeb
    Memory vae_tile_overlap --vae-tile-overlap float gpeb
    Picture circular_x --circularx flag geb
    Picture circular_y --circulary flag geb
    Output verbose -v/--verbose flag geb
"""
# Option, key, whether it is always written, a value, and how it is written; in their order.
TEXT: tuple[tuple[str, str, bool, Any, str], ...] = (
    ("steps", "Steps", True, 4, "4"),
    ("sampling_method", "Sampler", True, "dpm++2s_a", "DPM++ 2S a"),
    ("scheduler", "Schedule type", False, "ays", "Align Your Steps"),
    ("cfg_scale", "CFG scale", True, 1.5, "1.5"),
    ("guidance", "Distilled CFG Scale", True, 4, "4.0"),
    ("eta", "Eta", False, 0.5, "0.5"),
    ("clip_skip", "Clip skip", False, 2, "2"),
    ("sigmas", "Sigmas", False, (1.0, 0.5), "1.0 0.5"),
    ("flow_shift", "Flow shift", False, 1.15, "1.15"),
    ("slg_scale", "SLG scale", False, 2.5, "2.5"),
    ("skip_layers", "Skip layers", False, (7, 30), "7 30"),
    ("skip_layer_start", "Skip layer start", False, 0.1, "0.1"),
    ("skip_layer_end", "Skip layer end", False, 1, "1.0"),
    ("id_mode", "PuLID mode", False, "style", "style"),
    ("id_projection", "PuLID projection", False, "ortho", "ortho"),
    ("id_zeros", "PuLID zeros", False, 0, "0"),
    ("auto_resize_ref_image", "Resize ref image", False, False, "False"),
    ("increase_ref_index", "Increase ref index", False, True, "True"),
    ("canny", "Canny", False, True, "True"),
    ("vae_tiling", "VAE tiling", False, True, "True"),
    ("vae_tile_size", "VAE tile size", False, (32, 16), "32x16"),
    ("vae_tile_overlap", "VAE tile overlap", False, 0.25, "0.25"),
    ("vae_relative_tile_size", "VAE relative tile size", False, (0.5, 2.0), "0.5x2.0"),
    ("cache_mode", "Cache mode", False, "easycache", "easycache"),
    ("cache_option", "Cache option", False, "threshold=0.2", "threshold=0.2"),
    ("upscale_repeats", "Upscale repeats", False, 2, "2"),
    ("hires", "Hires fix", False, True, "True"),
    ("hires_upscaler", "Hires upscaler", False, "Latent (nearest)", "Latent (nearest)"),
    ("hires_scale", "Hires upscale", False, 1.5, "1.5"),
    ("hires_width", "Hires width", False, 768, "768"),
    ("hires_height", "Hires height", False, 512, "512"),
    ("hires_steps", "Hires steps", False, 8, "8"),
    ("hires_denoising_strength", "Hires denoising strength", False, 0.5, "0.5"),
    ("hires_upscale_tile_size", "Hires upscale tile size", False, 64, "64"),
)
FILES_TEXT = (
    ("vae_path", "VAE"),
    ("taesd_path", "TAESD"),
    ("clip_l_path", "CLIP-L"),
    ("clip_g_path", "CLIP-G"),
    ("t5xxl_path", "T5XXL"),
    ("upscaler_path", "Upscaler"),
)
CONTEXT_TEXT: tuple[tuple[str, str, Any], ...] = (
    ("wtype", "Weight type", "q4_K"),
    ("tensor_type_rules", "Tensor type rules", "^vae=f16"),
    ("pulid_dtype", "PuLID type", "q8_0"),
    ("rng_type", "RNG", "cpu"),
    ("sampler_rng_type", "Sampler RNG", "std_default"),
    ("lora_apply_mode", "LoRA apply mode", "at_runtime"),
    ("circular_x", "Circular x", True),
    ("circular_y", "Circular y", True),
    ("flash_attn", "Flash attention", True),
    ("diffusion_flash_attn", "Diffusion flash attention", False),
    ("diffusion_conv_direct", "Diffusion conv direct", True),
    ("vae_conv_direct", "VAE conv direct", True),
    ("backend", "Backend", "diffusion=cpu"),
    ("keep_clip_on_cpu", "CLIP on CPU", True),
    ("keep_vae_on_cpu", "VAE on CPU", True),
    ("repack", "Repacked", False),
    ("upscale_tile_size", "Upscale tile size", 64),
)
PERSON_TEXT: tuple[tuple[str, str, bool, Any, str], ...] = (
    ("weight", "PuLID weight", True, 1, "1.0"),
    ("start_step", "PuLID start step", True, 0.2, "0.2"),
    ("end_step", "PuLID end step", False, 4, "4"),
)
# What a batch's file may say, as text (CSV) and as a value (TOML, JSON), and what it means.
BATCH: dict[str, tuple[str, Any, Any]] = {
    "negative_prompt": ("hat", "hat", "hat"),
    "width": ("64", 64, 64),
    "height": ("64", 64, 64),
    "steps": ("4", 4, 4),
    "cfg_scale": ("1.5", 1.5, 1.5),
    "guidance": ("3", 3, 3.0),
    "sampling_method": ("heun", "heun", "heun"),
    "scheduler": ("simple", "simple", "simple"),
    "eta": ("0.5", 0.5, 0.5),
    "clip_skip": ("-1", -1, -1),
    "sigmas": ("1, 0.5; 0", [1, 0.5, 0], (1.0, 0.5, 0.0)),
    "flow_shift": ("1", 1, 1.0),
    "slg_scale": ("2.5", 2.5, 2.5),
    "skip_layers": ("7, 8; 9", [7, 8, 9], (7, 8, 9)),
    "skip_layer_start": ("0.1", 0.1, 0.1),
    "skip_layer_end": ("1", 1, 1.0),
    "id_mode": ("style", "style", "style"),
    "id_projection": ("ortho", "ortho", "ortho"),
    "id_zeros": ("0", 0, 0),
    "init_image": ("a.png", "a.png", Path("a.png")),
    "strength": ("0.5", 0.5, 0.5),
    "mask_image": ("a.png", "a.png", Path("a.png")),
    "ref_images": ("a.png; a.png", ["a.png", "a.png"], (Path("a.png"), Path("a.png"))),
    "auto_resize_ref_image": ("false", False, False),
    "increase_ref_index": ("True", True, True),
    "vae_tiling": ("true", True, True),
    "vae_tile_size": ("32x16", [32, 16], (32, 16)),
    "vae_tile_overlap": ("0", 0, 0.0),
    "vae_relative_tile_size": ("0.5x2", [0.5, 2], (0.5, 2.0)),
    "cache_mode": ("easycache", "easycache", "easycache"),
    "cache_option": ("end=1", "end=1", "end=1"),
    "control_image": ("a.png", "a.png", Path("a.png")),
    "canny": ("true", True, True),
    "upscale_repeats": ("2", 2, 2),
    "hires": ("true", True, True),
    "hires_upscaler": ("Lanczos", "Lanczos", "Lanczos"),
    "hires_scale": ("1.5", 1.5, 1.5),
    "hires_width": ("64", 64, 64),
    "hires_height": ("64", 64, 64),
    "hires_steps": ("4", 4, 4),
    "hires_denoising_strength": ("0.5", 0.5, 0.5),
    "hires_upscale_tile_size": ("64", 64, 64),
    "loras": ("a.png:0.5; other", ["a.png:0.5", "other"], ("a.png:0.5", "other:1.0")),
    "weight": ("0.5", 0.5, 0.5),
    "start_step": ("20%", 0.2, 0.2),
    "end_step": ("4", 4, 4),
    "cfg_start_step": ("2", 2, 2),
}
NOT_IN_A_BATCH = {"prompt", "seed", "batch_count", "lora_files"}
WRONG_IN_A_BATCH = {
    "steps": "4.5", "guidance": "much", "vae_tiling": "yes", "vae_tile_size": "3x4x5",
    "sigmas": "1,x", "mask_image": "none.png", "weight": "5.5", "start_step": "1.5",
    "cfg_start_step": "-1",
}  # fmt: skip
PRESET = {
    "steps": int, "width": int, "height": int, "guidance": float, "cfg_scale": float,
    "sampling_method": str, "scheduler": str, "flow_shift": float, "negative_prompt": str,
    "id_mode": str, "id_projection": str, "id_zeros": int,
}  # fmt: skip
PLACING = {
    "n_threads", "offload_params_to_cpu", "max_vram", "enable_mmap", "repack", "keep_clip_on_cpu",
    "keep_vae_on_cpu", "vae_decode_only", "lora_model_dir", "hires_upscalers_dir", "verbose",
}  # fmt: skip


def parameters_of(command: str) -> dict[str, click.Option]:
    context = click.Context(main, info_name="pulid-sdcpp")
    found = main.get_command(context, command)
    assert found is not None
    return {p.name: p for p in found.params if isinstance(p, click.Option) and p.name}


def test_flags() -> None:
    commands = {name: parameters_of(name) for name in ("generate", "plan", "evaluate", "batch")}
    fields = {field.name: field for kind in KINDS for field in dataclasses.fields(kind)}
    generate = commands["generate"]
    found = set()
    for name in generate.keys() & fields.keys():
        option = generate[name]
        is_choice = isinstance(option.type, click.Choice)
        kind = "flag" if option.is_flag else "choice" if is_choice else option.type.name
        having = [
            command
            for command, others in commands.items()
            if name in others and others[name].opts == option.opts and not others[name].hidden
        ]
        words = (
            option.heading.split()[0],  # type: ignore[attr-defined]
            name,
            "/".join([*option.opts, *option.secondary_opts]),
            kind + "*" * option.multiple,
            "".join(command[0] for command in having),
        )
        found.add(" ".join(words))
        assert option.envvar is None
        assert not option.required
        if name not in ("prompt", "ref_images", "loras"):
            assert option.default == fields[name].default
        if option.is_flag and not option.secondary_opts:
            assert option.flag_value is (not fields[name].default)
    assert found == {line.strip() for line in FLAGS.strip().splitlines()}
    assert fields.keys() - generate.keys() == {"vae_decode_only", "people", "lora_files"}


def test_choices_of_flags() -> None:
    options = parameters_of("generate")
    by_type = {name: option.type for name, option in options.items()}
    given = {
        "wtype": ("q4_K", "Q4_k"),
        "pulid_dtype": ("q8_0",),
        "sampling_method": ("dpm++2m",),
        "scheduler": ("kl_optimal",),
        "rng_type": ("std_default",),
        "sampler_rng_type": ("cpu",),
        "lora_apply_mode": ("immediately",),
        "id_mode": ("style",),
        "id_projection": ("ortho_v2",),
    }
    for name, values in given.items():
        for value in values:
            assert by_type[name].convert(value, None, None).lower() == value.lower()
        with pytest.raises(click.BadParameter):
            by_type[name].convert("none of them", None, None)


def test_a_pictures_text() -> None:
    # Not all of them go together.
    generation = with_checked(GenerationOptions(""), **{name: v for name, _, _, v, _ in TEXT})
    written = parameters.write_entries(parameters._GENERATION, generation)
    assert list(written.items()) == [(key, text) for _, key, _, _, text in TEXT]
    read = parameters.read_entries(parameters._GENERATION, written)
    assert read == {name: value for name, _, _, value, _ in TEXT}
    plain = parameters.write_entries(parameters._GENERATION, GenerationOptions(""))
    assert list(plain) == [key for _, key, always, _, _ in TEXT if always]

    files = {name: Path("folder", name) for name, _ in FILES_TEXT}
    context = ContextOptions(model_path="m", **files)  # type: ignore[arg-type]
    written = parameters.write_entries(parameters._FILES, context)
    assert list(written.items()) == [(key, name) for name, key in FILES_TEXT]

    context = ContextOptions(model_path="m", **{name: value for name, _, value in CONTEXT_TEXT})
    written = parameters.write_entries(parameters._CONTEXT, context)
    assert list(written.items()) == [(key, str(value)) for _, key, value in CONTEXT_TEXT]
    read = parameters.read_entries(parameters._CONTEXT, written)
    assert read == {name: value for name, _, value in CONTEXT_TEXT}
    assert parameters.write_entries(parameters._CONTEXT, ContextOptions(model_path="m")) == {}
    assert [name for name, _, _ in CONTEXT_TEXT] == list(parameters.CONTEXT_FIELDS)


def test_a_persons_text() -> None:
    identity = IdentityOptions(**{name: value for name, _, _, value, _ in PERSON_TEXT})
    written = parameters.write_entries(people_text.PERSON_ENTRIES, identity)
    assert list(written.items()) == [(key, text) for _, key, _, _, text in PERSON_TEXT]
    read = parameters.read_entries(people_text.PERSON_ENTRIES, written)
    assert read == {name: value for name, _, _, value, _ in PERSON_TEXT}
    plain = parameters.write_entries(people_text.PERSON_ENTRIES, IdentityOptions(weight=1))
    assert list(plain) == [key for _, key, always, _, _ in PERSON_TEXT if always]
    assert parameters._CFG_START.key == "CFG start step"


def test_fields_of_a_batch(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    for name, (text, value, meant) in BATCH.items():
        for given in (text, value):
            read = field_values({name: given}, tmp_path)[name]
            if "image" in name and not isinstance(meant, bool):
                several = read if isinstance(read, tuple) else (read,)
                assert all(path == tmp_path / "a.png" for path in several)
                assert isinstance(read, type(meant))
            elif name == "loras":
                assert read == (f"{tmp_path / meant[0]}", meant[1])
            else:
                assert (read, type(read)) == (meant, type(meant)), name
    for name, text in WRONG_IN_A_BATCH.items():
        with pytest.raises(ValueError, match=name):
            field_values({name: text}, tmp_path)


def test_which_fields_a_batch_has() -> None:
    generation = {field.name for field in dataclasses.fields(GenerationOptions)} - NOT_IN_A_BATCH
    assert set(GENERATION_FIELDS) == generation
    people = {"weight", "start_step", "end_step"}
    assert set(BATCH) == generation | people | {"cfg_start_step"}
    assert set(SCENE_FIELDS) == set(BATCH)
    assert set(PERSON_FIELDS) == people | {"face", "fusion"}
    assert set(SHARED_FIELDS) == set(BATCH) | {"face", "fusion"}


def test_settings_of_a_preset() -> None:
    of_type: dict[type, Any] = {int: 16, float: 1.0, str: "simple", bool: True}
    for field in dataclasses.fields(GenerationOptions):
        for kind, value in of_type.items():
            takes = PRESET.get(field.name)
            if takes is kind or (takes is float and kind is int):
                Preset("mine", settings={field.name: value})
            else:
                with pytest.raises(ValueError, match=f"settings.{field.name}"):
                    Preset("mine", settings={field.name: value})


def test_what_only_places_work() -> None:
    assert set(key._PLACING) == PLACING


def test_names_of_the_binding() -> None:
    binding = pytest.importorskip("pulid_sdcpp._vendor.stable_diffusion_cpp.stable_diffusion")
    made = inspect.signature(binding.StableDiffusion).parameters
    context = ContextOptions(model_path=Path("m"), rng_type="std_default", wtype="q4_K")
    given = context.to_engine_kwargs()
    ours = {"pulid_weights", "pulid_dtype", "repack", "backend", "hires_upscalers_dir"}
    assert given.keys() - made.keys() == ours
    assert given["model_path"] == "m"
    assert given["vae_path"] == ""
    assert (given["rng_type"], given["sampler_rng_type"]) == ("default", "default")
    assert given["wtype"] == "q4_k"
    taken = inspect.signature(binding.StableDiffusion.generate_image).parameters
    picture = GenerationOptions("a face", ref_images=(Path("r.png"),), init_image=Path("i.png"))
    given = picture.to_engine_kwargs()
    assert given.keys() <= taken.keys()
    fields = {field.name for field in dataclasses.fields(GenerationOptions)}
    otherwise = {"steps", "sampling_method", "cache_option", "upscale_repeats", "loras"}
    otherwise |= {"id_mode", "id_projection", "id_zeros"}
    assert fields - given.keys() == otherwise | {"lora_files"}
    assert given.keys() - fields == {"sample_steps", "sample_method"}
    assert (given["sample_steps"], given["sample_method"]) == (20, "euler")
    assert (given["eta"], given["flow_shift"], given["sigmas"]) == (math.inf, math.inf, None)
    assert (given["vae_tile_size"], given["vae_relative_tile_size"]) == ("0x0", "0.0x0.0")
    assert (given["init_image"], given["ref_images"]) == ("i.png", ["r.png"])
    assert (given["mask_image"], given["cache_mode"]) == (None, "disabled")


def test_names_of_the_binding_the_way_back() -> None:
    binding = pytest.importorskip("pulid_sdcpp._vendor.stable_diffusion_cpp.stable_diffusion")
    taken = inspect.signature(binding.StableDiffusion.generate_image).parameters
    defaults = {name: parameter.default for name, parameter in taken.items() if name != "self"}
    values = {
        "negative_prompt": "hat", "width": 64, "height": 32, "steps": 3, "cfg_scale": 2.0,
        "guidance": 4.0, "sampling_method": "dpm2", "scheduler": "simple", "seed": 5,
        "batch_count": 2, "eta": 0.5, "clip_skip": 2, "sigmas": [1.0, 0.5, 0.25, 0.0],
        "flow_shift": 1.5, "init_image": "i.png", "strength": 0.5, "mask_image": "m.png",
        "vae_tile_size": (32, 16), "vae_tile_overlap": 0.25, "vae_relative_tile_size": (0.5, 2.0),
    }  # fmt: skip
    for options in (GenerationOptions("a face", **values), GenerationOptions("a face")):
        arguments = {**defaults, **options.to_engine_kwargs()}
        back = checked_generation(arguments, binding)
        for name in values:
            assert _plain(getattr(back, name)) == _plain(getattr(options, name)), name


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value
