from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fake_engine import FakeEngine
from pulid_sdcpp import Device
from pulid_sdcpp.cli import main
from pulid_sdcpp.engine import factory
from pulid_sdcpp.memory import plan as plan_module
from pulid_sdcpp.pipeline import loaded_model
from standin import make_standin_weights

GIB = 1 << 30
CARD = Device("Vulkan0", "a card", "gpu", 8 * GIB, 8 * GIB)
CPU = Device("CPU", "a processor", "cpu", 16 * GIB, 16 * GIB)
Files = dict[str, Path]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("small")
    return make_standin_weights(folder, quantizations=("f16",), hidden=256)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (plan_module, loaded_model):
        monkeypatch.setattr(module, "devices", lambda: [CARD, CPU])


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(factory, "load_engine", fake.create)
    monkeypatch.chdir(tmp_path)
    return fake


def run(command: str, files: Files, *arguments: str, vae: str = "vae") -> Result:
    paths = [
        "--diffusion-model",
        files["flux-f16"],
        "--vae",
        files[vae],
        "--clip_l",
        files["clip_l"],
    ]
    base = [*map(str, paths), "--pulid-weights", str(files["pulid"]), "-W", "1024", "-H", "1024"]
    return CliRunner().invoke(main, [command, *base, *arguments])


def test_the_plan_is_a_table(files: Files, card: None) -> None:
    result = run("plan", files, "--vram", "1")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("1024x1024 in 1.00 GiB of Vulkan0: ")
    assert lines[0].endswith(" of RAM")
    assert "  diffusion model            Vulkan0" in lines
    for phase in ("reading the prompt", "each step", "decoding"):
        assert sum(line.startswith(f"  {phase} ") for line in lines) == 1
    assert any("decoding in one piece would take" in line for line in lines)
    assert lines[-1] == "by hand: --vae-tiling"


def test_auto_is_the_default_and_a_large_card_needs_nothing(files: Files, card: None) -> None:
    result = run("plan", files)
    assert "1024x1024 in 8.00 GiB of Vulkan0" in result.stdout
    assert result.stdout.endswith("everything fits as it is: nothing to do\n")
    assert run("plan", files, "--vram", "AUTO").stdout == result.stdout


def test_json_is_for_programs(files: Files, card: None) -> None:
    shown = json.loads(run("plan", files, "--vram", "1", "--json").stdout)
    assert (shown["device"], shown["budget_bytes"]) == ("Vulkan0", GIB)
    assert shown["flags"] == ["--vae-tiling"]
    assert shown["generation"] == {"vae_tiling": True}
    peak = max(phase["device_bytes"] for phase in shown["phases"])
    assert shown["device_peak_bytes"] == peak + shown["context_bytes"] <= GIB


def test_without_a_card_it_says_so(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "devices", lambda: [CPU])
    result = run("plan", files)
    assert result.exit_code == 0
    assert "there is no graphics device to plan for" in result.stdout
    assert "by hand" not in result.stdout
    assert "of the graphics card" in run("plan", files, "--vram", "4").stdout


@pytest.mark.parametrize("command", ["plan", "generate"])
@pytest.mark.parametrize(
    ("flags", "status", "words"),
    [
        (["--vram", "much"], 2, "'much' is neither a number of GiB nor auto"),
        (["--vram", "0"], 2, "vram is 0"),
        (["--vram", "nan"], 2, "vram is nan"),
        (["--vram", "0.5", "-W", "2048", "-H", "2048"], 1, "2048x2048 does not fit into 0.50 GiB"),
        (["--vram", "4", "--backend", "cuda7"], 1, "there is no compute device 'cuda7'"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    files: Files, card: None, engine: FakeEngine, command: str, flags: list[str], status: int,
    words: str,
) -> None:  # fmt: skip
    prompt = ["-p", "a face"] if command == "generate" else []
    result = run(command, files, *prompt, *flags)
    assert result.exit_code == status, result.output
    assert words in result.stderr.splitlines()[-1]
    assert result.stderr.startswith("error: ")
    assert engine.context is None


def test_generate_applies_the_plan_and_says_it(
    files: Files, card: None, engine: FakeEngine
) -> None:
    result = run("generate", files, "-p", "a face", "--vram", "1")
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith("memory: --vae-tiling on Vulkan0: ")
    assert engine.calls[0].picture.vae_tiling is True
    assert engine.context is not None
    assert not engine.context.offload_params_to_cpu


def test_flags_that_are_given_stay(files: Files, card: None, engine: FakeEngine) -> None:
    result = run("generate", files, "-p", "a face", "--vram", "1", "--clip-on-cpu", "--vae-on-cpu")
    assert result.exit_code == 0, result.output
    assert engine.context is not None
    assert (engine.context.keep_clip_on_cpu, engine.context.keep_vae_on_cpu) == (True, True)
    assert engine.calls[0].picture.vae_tiling is False
    refused = run("generate", files, "-p", "a face", "--vram", "4", "--max-vram", "2")
    assert refused.exit_code == 2
    assert "max_vram is given together with vram" in refused.stderr


def test_generate_without_a_card_goes_on_as_it_would(
    files: Files, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (plan_module, loaded_model):
        monkeypatch.setattr(module, "devices", lambda: [CPU])
    for vram in ("4", "auto"):
        result = run("generate", files, "-p", "a face", "--vram", vram)
        assert result.exit_code == 0, result.output
        assert "memory: there is no graphics device to plan for" in result.stderr
    assert engine.calls[0].picture.vae_tiling is False


def test_without_the_flag_nothing_is_planned(files: Files, engine: FakeEngine) -> None:
    result = run("generate", files, "-p", "a face")
    assert result.exit_code == 0, result.output
    assert "memory:" not in result.stderr
