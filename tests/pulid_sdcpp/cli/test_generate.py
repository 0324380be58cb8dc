from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fake_engine import FakeEngine
from pulid_sdcpp.cli import main
from pulid_sdcpp.cli.commands.generate import generate
from pulid_sdcpp.engine import factory
from pulid_sdcpp.errors import DeviceError, GenerationCancelled, GenerationError
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.people.identity_options import IdentityOptions
from pulid_sdcpp.pictures.formats import MAX_SIDE_PX
from pulid_sdcpp.pictures.png_text import encoded_picture, parse_text, read_picture_text

BASE = [
    *("--diffusion-model", "flux1-schnell-Q4_K_S.gguf", "--vae", "ae.safetensors"),
    *("--clip_l", "clip_l.safetensors", "-p", "a face", "--steps", "2", "-W", "64", "-H", "32"),
]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(factory, "load_engine", fake.create)
    monkeypatch.chdir(tmp_path)
    return fake


@pytest.fixture
def alice(tmp_path: Path) -> Identity:
    identity = Identity.from_array(np.full((4, 8), 0.5, np.float32))
    identity.save(tmp_path / "alice.pulidembd")
    return identity


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["generate", *BASE, *arguments])


def error_line(result: Result) -> str:
    """The one line a failed command says; fails on anything more."""
    told = ("load", "denoise", "generating", "  step")
    lines = [line for line in result.stderr.splitlines() if line and not line.startswith(told)]
    assert len(lines) == 1, result.output
    assert "Traceback" not in result.output
    return lines[0]


def test_the_command_of_sd_cli_works_with_the_name_replaced(
    engine: FakeEngine, alice: Identity
) -> None:
    command = (
        "--diffusion-model flux1-schnell-Q4_K_S.gguf --vae ae.safetensors "
        "--clip_l clip_l.safetensors --t5xxl t5xxl_fp16.safetensors "
        "--pulid-weights pulid_flux_v0.9.1.safetensors --pulid-id-embedding alice.pulidembd "
        "--pulid-id-weight 1.0 --cfg-scale 1.0 --sampling-method euler --steps 4 -W 512 -H 512 "
        "--seed 42 --clip-on-cpu -o out.png"
    )
    arguments = ["generate", *command.split(" "), "-p", "candid photograph ..."]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout == "saved out.png (seed 42)\n"
    assert engine.context is not None
    assert engine.context.pulid_weights == Path("pulid_flux_v0.9.1.safetensors")
    assert engine.context.keep_clip_on_cpu
    assert engine.context.vae_decode_only
    (call,) = engine.calls
    assert call.identity.sha256 == alice.sha256
    assert (call.picture.steps, call.picture.seed, call.person.weight) == (4, 42, 1.0)
    assert engine.closed == 1
    text = read_picture_text("out.png")
    assert text is not None
    values = parse_text(text).values
    assert values["PuLID identity"] == alice.short_hash
    assert values["Model"] == "flux1-schnell-Q4_K_S"


def test_every_default_is_the_dataclasses() -> None:
    given = generate.make_context("generate", ["-p", "a face"]).params
    expected = {
        field.name: field.default
        for kind in (ContextOptions, GenerationOptions, IdentityOptions)
        for field in dataclasses.fields(kind)
    }
    del expected["vae_decode_only"]  # follows from the pictures given
    del expected["lora_files"]  # made of --lora
    del expected["people"]  # made of what says who is in the picture
    of_the_command = {
        *("preset", "models_dirs", "from_picture", "portraits", "persons", "face", "fusion"),
        *("output", "format", "quality", "overwrite", "output_begin_idx"),
        *("disable_image_metadata", "wildcards_dirs", "no_wildcards", "grids"),
        *("preview", "preview_path", "preview_method", "preview_interval", "preview_noisy"),
        *("as_json", "quiet", "color", "circular", "vram", "pull"),
    }
    assert set(given) == set(expected) | of_the_command
    assert expected.pop("prompt") is dataclasses.MISSING
    for name, default in expected.items():
        assert given[name] == default, name
        assert type(given[name]) is type(default), name


@pytest.mark.parametrize(
    ("flags", "name", "value"),
    [
        (["--clip-l", "x"], "clip_l_path", Path("x")),
        (["--diffusion_model", "x"], "diffusion_model_path", Path("x")),
        (["--taesd", "x"], "taesd_path", Path("x")),
        (["--tae", "x"], "taesd_path", Path("x")),
        (["-m", "x"], "model_path", Path("x")),
        (["-t", "3"], "n_threads", 3),
        (["--type", "q4_k"], "wtype", "q4_K"),
        (["--backend", "diffusion=vulkan0,vae=cpu"], "backend", "diffusion=vulkan0,vae=cpu"),
        (["--offload-to-cpu"], "offload_params_to_cpu", True),
        (["--vae-on-cpu"], "keep_vae_on_cpu", True),
        (["--pulid-dtype", "q8_0"], "pulid_dtype", "q8_0"),
        (["--diffusion-fa"], "diffusion_flash_attn", True),
        (["--fa"], "flash_attn", True),
        (["--max-vram", "3.5"], "max_vram", 3.5),
        (["--rng", "std_default"], "rng_type", "std_default"),
        (["--lora-apply-mode", "at_runtime"], "lora_apply_mode", "at_runtime"),
        (["--lora-model-dir", "loras"], "lora_model_dir", Path("loras")),
        (["-v"], "verbose", False),  # shown by the command, not by the engine
    ],
)
def test_flags_of_the_engine(engine: FakeEngine, flags: list[str], name: str, value: Any) -> None:
    result = run(*flags)
    assert result.exit_code == 0, result.output
    assert getattr(engine.context, name) == value


@pytest.mark.parametrize(
    ("flags", "name", "value"),
    [
        (["-n", "ugly"], "negative_prompt", "ugly"),
        (["--cfg-scale", "2"], "cfg_scale", 2.0),
        (["--guidance", "4"], "guidance", 4.0),
        (["--sampling-method", "euler_a"], "sampling_method", "euler_a"),
        (["--sampling-method", "dpm++2m"], "sampling_method", "dpm++2m"),
        (["--scheduler", "sgm_uniform"], "scheduler", "sgm_uniform"),
        (["--eta", "0.5"], "eta", 0.5),
        (["--sigmas", "[14.6, 7.8, 0]"], "sigmas", (14.6, 7.8, 0.0)),
        (["--vae-tiling", "--vae-tile-size", "16x24"], "vae_tile_size", (16, 24)),
        (["--vae-tile-size", "16"], "vae_tile_size", (16, 16)),
        (["--disable-auto-resize-ref-image"], "auto_resize_ref_image", False),
        (["--cfg-start-step", "1"], "cfg_start_step", 1),
        (["-M", "img_gen"], "steps", 2),
    ],
)
def test_flags_of_the_picture(engine: FakeEngine, flags: list[str], name: str, value: Any) -> None:
    result = run(*flags)
    assert result.exit_code == 0, result.output
    (call,) = engine.calls
    assert {**vars(call.picture), "cfg_start_step": call.cfg_start_step}[name] == value


def test_a_batch_is_numbered_and_each_picture_has_its_seed(engine: FakeEngine) -> None:
    result = run("-b", "3", "-s", "7", "-o", "out.png")
    assert result.exit_code == 0, result.output
    for index in range(3):
        text = read_picture_text(f"out_{index}.png")
        assert text is not None
        assert parse_text(text).values["Seed"] == str(7 + index)
    assert [call.picture.seed for call in engine.calls] == [7, 8, 9]
    assert {call.picture.batch_count for call in engine.calls} == {1}
    assert sorted(os.listdir()) == ["out_0.png", "out_1.png", "out_2.png"]


def test_a_random_seed_is_written_down(engine: FakeEngine) -> None:
    run("-s", "-1")
    text = read_picture_text("output.png")
    assert text is not None
    assert parse_text(text).values["Seed"] == str(engine.calls[0].picture.seed)
    assert engine.calls[0].picture.seed >= 0


def test_the_picture_can_go_without_parameters(engine: FakeEngine) -> None:
    run("--disable-image-metadata")
    assert read_picture_text("output.png") is None


def test_an_existing_picture_is_kept_and_another_name_taken(engine: FakeEngine) -> None:
    Path("output.png").write_bytes(b"old")
    result = run()
    assert result.exit_code == 0, result.output
    assert "note: output.png exists, so this picture is saved as output-2.png" in result.stderr
    assert result.stdout == "saved output-2.png (seed 42)\n"
    assert run().stdout == "saved output-3.png (seed 42)\n"
    assert Path("output.png").read_bytes() == b"old"


def test_an_existing_picture_is_replaced_when_asked(engine: FakeEngine) -> None:
    Path("output.png").write_bytes(b"old")
    assert run("--overwrite").stdout == "saved output.png (seed 42)\n"
    assert read_picture_text("output.png") is not None
    assert os.listdir() == ["output.png"]


def test_the_size_not_given_is_that_of_the_init_image(engine: FakeEngine) -> None:
    Image.new("RGB", (100, 200)).save("in.png")
    arguments = [*BASE[:-4], "-i", "in.png", "--strength", "0.5"]
    result = CliRunner().invoke(main, ["generate", *arguments])
    assert result.exit_code == 0, result.output
    assert (engine.calls[0].picture.width, engine.calls[0].picture.height) == (96, 192)
    assert engine.calls[0].picture.init_image.size == (100, 200)
    assert engine.context is not None
    assert not engine.context.vae_decode_only
    run("-i", "in.png")
    assert (engine.calls[1].picture.width, engine.calls[1].picture.height) == (64, 32)


def test_progress_goes_to_stderr_and_quiet_stops_it(engine: FakeEngine, alice: Identity) -> None:
    identity = ("--pulid-weights", "w", "--pulid-id-embedding", "alice.pulidembd")
    result = run(*identity, "--pulid-id-weight", "0.8", "--threads", "3")
    assert result.stderr.splitlines() == [
        f"generating 1 picture, 64x32, 2 steps, seed 42, identity {alice.short_hash} at 0.8, "
        "3 CPU threads",
        "load",
        "denoise",
        "  step 1/2, 2.00 steps/s",
        "  step 2/2, 2.00 steps/s",
    ]
    assert run(*identity, "--quiet", "-o", "quiet.png").output == ""
    # But never under which other name a picture is.
    note = "note: quiet.png exists, so this picture is saved as quiet-2.png\n"
    assert run(*identity, "--quiet", "-o", "quiet.png").output == note


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["-W", "0"], "-W is 0"),
        (["-W", "-64"], "-W is -64"),
        (["-H", "500"], "use 496 or 512"),
        (["-W", "1000000"], "-W is 1000000"),
        (["-W", "wide"], "'wide' is not a valid integer"),
        (["--steps", "0"], "--steps is 0"),
        (["--pulid-id-weight", "nan"], "--pulid-id-weight is nan"),
        (["--pulid-id-weight", "inf"], "--pulid-id-weight is inf"),
        (["--cfg-scale", "nan"], "--cfg-scale is nan"),
        (["--strength", "2"], "--strength is 2"),
        (["-b", "0"], "-b is 0"),
        (["-s", "9223372036854775808"], "-s is 9223372036854775808"),
        (["-t", "1000"], "-t is 1000"),
        (["--sampling-method", "fast"], "'fast' is not one of"),
        (["--vae-tile-size", "axb"], "'axb' is not of the form"),
        (["--sigmas", "a,b"], "'a,b' is not a list"),
        (["-M", "convert"], "there is 'pulid-sdcpp convert'"),
        (["-M", "draw"], "only img_gen is"),
        (["--photo-maker", "x"], "PhotoMaker is for SDXL"),
        (["-o", "out.gif"], ".gif is not a picture format"),
        (["--pulid-id-embedding", "alice.pulidembd"], "needs --pulid-weights"),
        (["--id-start-step", "1.5"], "1.5"),
        (["--id-end-step", "late"], "'late' is not a step"),
        (["-o", "{name}.png"], "{name}; the fields are {seed}, {index}, {person}"),
        (["-o", "a{.png"], "a single brace"),
        (["-o", "{seed:x}.png"], "only a number of digits may stand behind seed"),
        (["-o", "-", "-b", "2"], "-o - takes one picture, not 2"),
        (["-o", "-", "--json"], "--json writes to stdout, and so does -o -"),
        (["-o", "a.png", "--format", "jpg"], "--format is jpg, but the output's name ends in .png"),
        (["-o", "a.png", "--quality", "80"], "--quality is for .jpg and .webp"),
        (["-o", "a.jpg", "--quality", "lossless"], "quality is lossless, but .jpg never is"),
        (["-o", "a.jpg", "--quality", "0"], "'0' is not a quality from 1 to 100"),
        (["-p", "-"], "--prompt: stdin is empty"),
        (["-p", "__c__"], "prompt: there is no wildcard c: no file c.txt in"),
        (["--wildcards-dir", "absent"], "--wildcards-dir: there is no folder absent"),
        (["--wildcards-dir", ".", "--no-wildcards"], "exclude each other"),
        (["-p", "-", "-n", "-"], "only one of --prompt and --negative-prompt"),
        (["--json", "--quiet"], "exclude each other"),
        (["--preview", "a.gif"], ".gif is not a picture format"),
        (["--preview", "a.png", "--preview-method", "tae"], "no tiny autoencoder is loaded"),
        (["--preview", "a.png", "--preview-interval", "0"], "0 is not in the range"),
        (["stray"], "unexpected extra argument"),
    ],
)
def test_a_mistake_in_the_call_is_one_line_and_status_2(
    engine: FakeEngine, alice: Identity, flags: list[str], words: str
) -> None:
    result = run(*flags)
    assert result.exit_code == 2, result.output
    line = error_line(result)
    assert line.startswith("error: ")
    assert words in line
    assert not engine.calls
    assert os.listdir() == ["alice.pulidembd"]


def write(name: str, content: bytes) -> None:
    Path(name).write_bytes(content)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--pulid-weights", "w", "--pulid-id-embedding", "absent.bin"], "absent.bin"),
        (["--pulid-weights", "w", "--pulid-id-embedding", "folder"], "folder"),
        (["--pulid-weights", "w", "--pulid-id-embedding", "text.bin"], "text.bin"),
        (["-i", "absent.png"], "absent.png"),
        (["-i", "text.bin"], "text.bin: expected a picture"),
        (["-r", "folder"], "cannot read folder"),
        (["-o", "text.bin/out.png"], "text.bin is a file, not a folder"),
        (["-o", "folder.png"], "it is a folder"),
        (["-o", "text.bin/a/out.png"], "text.bin is a file, not a folder"),
        (["--preview", "text.bin/out.png"], "text.bin is a file, not a folder"),
        (["-o", "new/a.png", "--preview", "text.bin/a/b.png"], "cannot make the folder text.bin/a"),
        (["-p", "@absent.txt"], "--prompt: cannot read absent.txt: No such file or directory; "),
        (["--from", "text.bin"], "text.bin: expected a picture"),
    ],
)
def test_a_bad_file_is_one_line_and_status_1_before_anything_is_loaded(
    engine: FakeEngine, flags: list[str], words: str
) -> None:
    write("text.bin", b"text")
    Path("folder").mkdir()
    Path("folder.png").mkdir()
    result = run(*flags)
    assert result.exit_code == 1, result.output
    assert words in error_line(result)
    assert engine.context is None
    assert sorted(os.listdir()) == ["folder", "folder.png", "text.bin"]


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        (["-o", "new/deep/out.png"], "new/deep/out.png"),
        (["-o", "new/"], "new/output.png"),
        (["-o", "there"], "there/output.png"),
        (["-o", "."], "output.png"),
        (["-o", "there/.."], "there/../output.png"),
        (["-o", "{seed}/"], "42/output.png"),
        (["-o", "there", "--format", "webp"], "there/output.webp"),
        (["--format", "jpg"], "output.jpg"),
        (["-o", "out", "--format", "JPG"], "out.jpg"),
        (["-o", "out.jpeg", "--format", "jpg"], "out.jpeg"),
        (["-o", "{seed:04}-{index:02}.png", "--output-begin-idx", "7"], "0042-07.png"),
    ],
)
def test_where_a_picture_goes(engine: FakeEngine, flags: list[str], name: str) -> None:
    Path("there").mkdir()
    result = run(*flags)
    assert result.stdout == f"saved {name} (seed 42)\n", result.stderr
    assert Path(name).is_file()


def test_folders_that_were_made_for_nothing_are_gone_again(engine: FakeEngine) -> None:
    engine.failure = GenerationError("no")
    run("-o", "new/deep/out.png")
    assert os.listdir() == []


def test_jpeg_and_webp_have_a_quality(engine: FakeEngine) -> None:
    sizes = {}
    for quality in ("5", "90", "100"):
        run("-o", f"q{quality}.jpg", "--quality", quality)
        sizes[quality] = os.path.getsize(f"q{quality}.jpg")
    assert sizes["5"] < sizes["90"] < sizes["100"]
    run("-o", "exact.webp", "--quality", "lossless")
    run("-o", "exact.png")
    with Image.open("exact.webp") as webp, Image.open("exact.png") as png:
        assert webp.convert("RGB").tobytes() == png.tobytes()
    assert read_picture_text("exact.webp") == read_picture_text("exact.png")


def test_a_picture_that_its_format_cannot_hold_is_a_png(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MAX_SIDE_PX, "WEBP", 32)
    result = run("-o", "a.webp", "-W", "64", "-H", "32")
    assert result.stdout == "saved a.png (seed 42)\n"
    assert "a.webp would be too large for its format" in result.stderr
    again = run("-o", "a.webp", "-W", "64", "-H", "32", "--overwrite")
    assert again.stdout == "saved a-2.png (seed 42)\n"  # a.png was not named
    piped = run("-o", "-", "--format", "webp", "-W", "64", "-H", "32")
    assert piped.stdout_bytes == Path("a.png").read_bytes()
    assert "so it is a PNG" in piped.stderr
    with pytest.raises(ValueError, match="64x32 pixels, and WEBP 32 a side at most; write PNG"):
        encoded_picture(Image.new("RGB", (64, 32)), ".webp")


@pytest.mark.parametrize(
    ("flags", "prompt"),
    [
        (["-p", "-"], "from stdin,\nof two lines"),
        (["-p", "@prompt.txt"], "größer"),
        (["-p", "@@home"], "@home"),
        (["-p", "a-b", "-n", "@prompt.txt"], "a-b"),
    ],
)
def test_a_prompt_is_read_from_where_it_is(
    engine: FakeEngine, flags: list[str], prompt: str
) -> None:
    write("prompt.txt", "\ufeffgrößer\r\n".encode())
    arguments = ["generate", *BASE, *flags, "-o", "out.png"]
    result = CliRunner().invoke(main, arguments, input="from stdin,\nof two lines\n")
    assert result.exit_code == 0, result.output
    (call,) = engine.calls
    assert call.picture.prompt == prompt
    assert call.picture.negative_prompt == ("größer" if "-n" in flags else "")


def test_each_picture_has_its_own_choices_and_from_has_the_same(engine: FakeEngine) -> None:
    Path("wild").mkdir()
    write("wild/hat.txt", b"cap\ntop hat\nbeanie\n")
    flags = ["-p", "a {red|blue} __hat__", "-n", "{old|new}", "--wildcards-dir", "wild"]
    result = run(*flags, "-b", "8", "-s", "1", "-o", "{seed}-{prompt}.png")
    assert result.exit_code == 0, result.output
    prompts = [call.picture.prompt for call in engine.calls]
    assert len(set(prompts)) > 2
    assert {call.picture.negative_prompt for call in engine.calls} == {"old", "new"}
    names = [f"{seed}-{prompt.replace(' ', '-')}.png" for seed, prompt in enumerate(prompts, 1)]
    assert [line.split()[1] for line in result.stdout.splitlines()] == names
    text = read_picture_text(names[3])
    assert text is not None
    found = parse_text(text)
    assert (found.prompt, found.values["Seed"]) == (prompts[3], "4")
    assert found.values["Template"] == "a {red|blue} __hat__"
    assert found.values["Negative Template"] == "{old|new}"

    # Without the files: the choices are made.
    again = ["generate", *BASE[:6], "--from", names[3], "-o", "again.png"]
    assert CliRunner().invoke(main, again).exit_code == 0
    assert Path("again.png").read_bytes() == Path(names[3]).read_bytes()
    # What is said anew has choices of its own.
    assert CliRunner().invoke(main, [*again[:-1], "new.png", "-p", "{a|a} b"]).exit_code == 0
    text = read_picture_text("new.png")
    assert text is not None
    assert parse_text(text).values["Template"] == "{a|a} b"
    assert parse_text(text).values["Negative Template"] == "{old|new}"


def test_a_choice_that_nothing_closes_is_remarked_on(engine: FakeEngine) -> None:
    words = "note: --prompt has a { with | that no } closes; it is taken as it is"
    assert words in run("-p", "a {red|blue hat").stderr
    assert words not in run("-p", "a {red|blue} hat {x").stderr
    assert words not in run("-p", "a {red|blue hat", "--no-wildcards").stderr


def test_prompts_can_be_taken_as_they_are(engine: FakeEngine) -> None:
    assert run("-p", "{a|b} __c__", "--no-wildcards").exit_code == 0
    assert engine.calls[0].picture.prompt == "{a|b} __c__"


@pytest.mark.parametrize("name", ["png", "jpg", "webp"])
def test_a_picture_goes_to_stdout_and_all_else_to_stderr(engine: FakeEngine, name: str) -> None:
    result = run("-o", "-", "--format", name)
    assert result.exit_code == 0, result.stderr
    run("-o", f"file.{name}")
    assert result.stdout_bytes == Path(f"file.{name}").read_bytes()
    size = len(result.stdout_bytes)
    assert f"wrote {size} bytes to stdout (seed 42)" in result.stderr
    assert os.listdir() == [f"file.{name}"]


def test_no_picture_is_written_to_a_terminal(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulid_sdcpp.cli.progress.streams._Stream.isatty", lambda self: True)
    result = run("-o", "-", "--quiet")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "which is a terminal; redirect it" in error_line(result)
    assert not engine.calls


def test_a_negative_prompt_without_effect_is_remarked_on(engine: FakeEngine) -> None:
    words = "--negative-prompt has no effect, because true CFG is off (--cfg-scale 1); add"
    assert words in run("-n", "blurry").stderr
    assert words not in run("-n", "blurry", "--cfg-scale", "2").stderr


def test_a_full_disk_is_one_line_and_leaves_nothing(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    result = run()
    assert result.exit_code == 1
    assert error_line(result) == "error: cannot write output.png: No space left on device"
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("failure", "status", "words"),
    [
        (DeviceError("no device vulkan7; there is CPU"), 1, "no device vulkan7"),
        (GenerationError("it\nfailed", ["a line"]), 1, "error: it failed"),
        (ValueError("a value"), 2, "error: a value"),
        (MemoryError(), 1, "out of memory"),
        (GenerationCancelled("cancelled"), 130, "interrupted"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (RuntimeError("a\nsurprise"), 1, "RuntimeError: a surprise; this is a defect"),
    ],
)
def test_a_failure_of_the_engine_is_one_line_and_nothing_is_saved(
    engine: FakeEngine, failure: BaseException, status: int, words: str
) -> None:
    engine.failure = failure
    result = run()
    assert result.exit_code == status
    assert words in error_line(result)
    assert os.listdir() == []
    assert engine.closed == 1


def test_debug_shows_the_traceback(engine: FakeEngine) -> None:
    engine.failure = GenerationError("gone", ["error: the device was lost"])
    result = CliRunner().invoke(main, ["--debug", "generate", *BASE])
    assert result.exit_code == 1
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("error: the device was lost\nerror: gone\n")


def test_weights_without_an_identity_are_remarked_on(engine: FakeEngine) -> None:
    result = run("--pulid-weights", "w")
    assert result.exit_code == 0
    assert "only the prompt decides the picture" in result.stderr


def test_an_identity_switched_off_is_remarked_on(engine: FakeEngine, alice: Identity) -> None:
    flags = ["--pulid-weights", "w", "--pulid-id-embedding", "alice.pulidembd"]
    assert "leaves the identity out" in run(*flags, "--id-weight", "0").stderr
    assert "leaves the identity out" not in run(*flags).stderr


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_a_person_in_no_step_is_refused(
    engine: FakeEngine, alice: Identity, quiet: list[str]
) -> None:
    flags = ["--pulid-weights", "w", "--pulid-id-embedding", "alice.pulidembd", *quiet]
    result = run(*flags, "--id-start-step", "2")
    assert result.exit_code == 2
    assert "start step 2, but there are 2 steps: 0 to 1" in error_line(result)
    assert engine.calls == []


def test_the_engines_log_shows_warnings_or_everything_or_nothing(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.getLogger("pulid_sdcpp.engine")

    def create(context: ContextOptions, on_event: Any = None) -> FakeEngine:
        log.debug("a detail")
        log.warning("conditioner.hpp:1105 - a warning\n")
        log.error("a failure")
        return engine

    monkeypatch.setattr(factory, "load_engine", create)
    shown = run().stderr
    assert shown.startswith("warning: a warning\n")
    assert "a detail" not in shown
    assert "a failure" not in shown
    shown = run("-v").stderr
    assert "debug: a detail\n" in shown
    assert "warning: conditioner.hpp:1105 - a warning\n" in shown
    assert "error: a failure\n" in shown
    assert run("--quiet", "-o", "quiet.png").stderr == ""
    assert not log.handlers


def test_a_warning_of_any_module_is_said_once(engine: FakeEngine) -> None:
    for name in ("one.png", "two.png", "three.png"):
        Image.new("L", (64, 32), 255).save(name)
    Image.new("RGB", (64, 32)).save("in.png")
    said = "one.png is white everywhere: it is a mask of the whole picture"
    result = run("-i", "in.png", "--mask", "one.png", "-b", "2")
    assert result.exit_code == 0, result.output
    assert result.stderr.count(said) == 1
    assert f"warning: {said}\n" in result.stderr
    assert run("-i", "in.png", "--mask", "two.png", "--quiet").stderr == ""
    told = run("-i", "in.png", "--mask", "three.png", "--json")
    assert told.stderr == ""
    logs = [json.loads(line) for line in told.stdout.splitlines() if '"log"' in line]
    assert [(log["level"], log["text"]) for log in logs] == [
        ("warning", said.replace("one.png", "three.png"))
    ]
    kinds = {type(handler) for handler in logging.getLogger("pulid_sdcpp").handlers}
    assert kinds <= {logging.NullHandler}


@pytest.mark.parametrize("color", [0, (255, 255, 255, 0)])
def test_a_mask_with_nothing_inside_is_refused_before_anything_is_loaded(
    engine: FakeEngine, color: Any
) -> None:
    Image.new("L" if color == 0 else "RGBA", (64, 32), color).save("mask.png")
    Image.new("RGB", (64, 32)).save("in.png")
    result = run("-i", "in.png", "--mask", "mask.png")
    assert result.exit_code == 1
    assert "mask.png is black everywhere, so nothing is inside" in error_line(result)
    assert engine.context is None


def test_the_help_is_grouped_and_has_no_history() -> None:
    result = CliRunner().invoke(main, ["generate", "-h"])
    assert result.exit_code == 0
    for heading in ("Model files:", "Identity:", "Picture:", "Sampling:", "Output:"):
        assert heading in result.output
    assert "sd-cli's default" not in " ".join(result.output.split())
