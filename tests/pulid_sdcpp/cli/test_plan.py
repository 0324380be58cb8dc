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
from pulid_sdcpp.native import devices as devices_module
from pulid_sdcpp.pipeline import loaded_model
from pulid_sdcpp.planning import preset_fit
from pulid_sdcpp.system import system_memory
from pulid_sdcpp.system.system_memory import ComputerMemory
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
    for module in (plan_module, loaded_model, devices_module):
        monkeypatch.setattr(module, "devices", lambda: [CARD, CPU])
    # What the tests' own computer has is not looked at.
    memory = ComputerMemory(64 * GIB, 60 * GIB)
    monkeypatch.setattr(system_memory, "computer_memory", lambda: memory)
    monkeypatch.setattr(preset_fit, "disk_free_bytes", lambda: 10**12)


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
    assert "--max-vram is given together with --vram" in refused.stderr


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


def run_preset(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["plan", *arguments])


def test_a_preset_is_planned_without_its_files(card: None) -> None:
    result = run_preset("--preset", "flux-schnell-q4")
    assert result.exit_code == 0, result.output
    assert "1024x1024 in 8.00 GiB of Vulkan0: 7.89 GiB at most" in result.stdout
    assert "    flux1-schnell-Q4_K_S.gguf (6.8 GB)" in result.stdout
    assert "11.4 GB in all; 'pulid-sdcpp models pull flux-schnell-q4' downloads" in result.stdout
    shown = json.loads(run_preset("--preset", "flux-schnell-q4", "--json").stdout)
    assert shown["absent_files"]["clip_l.safetensors"] == 246144152


def test_without_a_model_a_preset_is_recommended(card: None) -> None:
    result = run_preset()
    assert result.exit_code == 0, result.output
    assert "Vulkan0: a card, 8.0 of 8.0 GiB free" in result.stdout
    assert "recommended: flux-schnell-q4 (" in result.stdout
    assert "'pulid-sdcpp models pull flux-schnell-q4'" in result.stdout
    assert "pulid-sdcpp generate --preset flux-schnell-q4 --vram auto" in result.stdout
    shown = json.loads(run_preset("--json").stdout)
    assert shown["recommended"] == "flux-schnell-q4"
    assert {"pocket", "flux-dev-q8"} < {one["preset"] for one in shown["presets"]}
    elsewhere = run_preset("--vram", "24").stdout
    assert "recommended: flux-schnell-q8 (" in elsewhere


def test_generates_flags_are_taken_and_people_counted(card: None, tmp_path: Path) -> None:
    """Photos are not read for it."""
    shared = ["--preset", "flux-schnell-q4", "-o", "x.png", "--seed", "3", "-p", "a face",
              "--id-weight", "0.9", "--quiet", "--overwrite"]  # fmt: skip
    one = run_preset(*shared, "--portrait", "me.jpg")
    assert one.exit_code == 0, one.output
    assert "  identities                 1 person\n" in one.stdout
    two = run_preset(
        *shared, "--person", "a.png:box=0,0,0.5,1", "--person", "b.png:box=0.5,0,0.5,1"
    )
    assert "  identities                 2 people\n" in two.stdout
    peaks = [
        json.loads(run_preset(*shared, *people, "--vram", "24", "--json").stdout)["phases"][1][
            "device_bytes"
        ]
        for people in (["--portrait", "me.jpg"], ["--person", "a.png", "--person", "b.png"])
    ]
    assert peaks[1] - peaks[0] == pytest.approx(126e6, rel=0.01)


def test_every_flag_of_generate_is_one_of_plan() -> None:
    flags = {
        name: {flag for option in main.get_command(None, name).params for flag in option.opts}  # type: ignore[arg-type]
        for name in ("generate", "plan")
    }
    assert flags["generate"] - flags["plan"] == {"-M", "--mode"} - flags["plan"]


def test_a_cpu_has_no_column_of_a_device(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_module, "devices", lambda: [CPU])
    result = run("plan", files)
    heading = next(line for line in result.stdout.splitlines() if "at most, while" in line)
    assert heading.split() == ["at", "most,", "while", "RAM"]
    assert "0.00 GiB" not in result.stdout


def test_memory_that_is_shared_is_counted_once(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    apple = Device("MTL0", "Apple M2", "gpu", 11 * GIB, 11 * GIB)
    monkeypatch.setattr(plan_module, "devices", lambda: [apple, CPU])
    memory = ComputerMemory(16 * GIB, 14 * GIB)
    monkeypatch.setattr(plan_module, "computer_memory", lambda: memory)
    result = run("plan", files)
    assert result.exit_code == 0, result.output
    first = result.stdout.splitlines()[0]
    assert first.startswith("1024x1024 on MTL0, which shares the computer's memory: ")
    assert first.endswith(" at most of 14.00 GiB for both")
