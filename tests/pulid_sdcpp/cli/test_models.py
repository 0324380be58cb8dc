"""`pulid-sdcpp models`, against a hub on this computer."""

from __future__ import annotations

import itertools
import json
import os
from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
from click.testing import CliRunner, Result
from huggingface_hub import constants

from fake_engine import FakeEngine
from hub_server import HubServer
from pulid_sdcpp.cli import main
from pulid_sdcpp.cli.given import model_pull
from pulid_sdcpp.store import model_store
from pulid_sdcpp.store.registry import Preset, load_registry

FLUX = b"flux" * 500_000
CONFIG = """
[licenses.strict]
name = "Somebody's terms"
url = "https://example.org/terms"
[files.flux]
role = "diffusion_model"
what = "a small Flux"
repository = "a/flux"
path = "flux.gguf"
license = "apache"
[files.faces]
role = "recogniser"
what = "a face recogniser"
repository = "a/faces"
path = "faces.onnx"
license = "strict"
[presets.mine]
what = "mine"
files = { diffusion_model = "flux", recogniser = "faces" }
"""


@pytest.fixture(autouse=True)
def _published(hub: HubServer, tmp_path: Path) -> None:
    hub.add("a/flux/flux.gguf", FLUX)
    hub.add("a/faces/faces.onnx", b"faces")
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text(CONFIG)


def run(*arguments: str, input: str | None = None) -> Result:
    return CliRunner().invoke(main, ["models", *arguments], input=input)


def test_pull_shows_everything_before_and_asks(hub: HubServer, tmp_path: Path) -> None:
    result = run("pull", "mine", input="y\ny\n")
    assert result.exit_code == 0, result.output
    lines = result.stderr
    assert "    2 MB  flux.gguf: a small Flux, from a/flux" in lines
    assert "5 bytes  faces.onnx" in lines
    assert "2 MB to download to" in lines
    assert "license: Apache-2.0 https://www.apache.org" in lines
    assert "license: Somebody's terms, not for commercial use https://example.org/terms" in lines
    assert "Do you accept these terms? [y/N]" in lines
    assert "1/2 flux.gguf" in lines
    assert lines.rstrip().endswith("ready: mine")
    again = run("pull", "mine")
    assert again.exit_code == 0
    assert again.stderr.count("there     ") == 2
    assert len(hub.content_requests()) == 2


@pytest.mark.parametrize("answers", ["n\n", "y\nn\n"])
def test_a_no_downloads_nothing(hub: HubServer, answers: str) -> None:
    result = run("pull", "mine", input=answers)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == "error: not confirmed; nothing was done"
    assert not hub.content_requests()


def test_yes_alone_accepts_no_terms(hub: HubServer) -> None:
    result = run("pull", "mine", "--yes")
    assert result.exit_code == 2
    last = result.stderr.splitlines()[-1]
    assert "forbid commercial use: Somebody's terms https://example.org/terms. --yes does" in last
    assert "--accept-licenses does" in last
    nobody = run("pull", "mine")
    assert nobody.exit_code == 2
    assert "There is no terminal to ask on; use --accept-licenses" in nobody.stderr.splitlines()[-1]
    assert not hub.content_requests()
    assert run("pull", "mine", "--yes", "--accept-licenses").exit_code == 0


def test_terms_are_accepted_once(tmp_path: Path) -> None:
    assert run("pull", "mine", "--accept-licenses", "--yes").exit_code == 0
    assert run("rm", "mine", "--yes").exit_code == 0
    result = run("pull", "mine", "--yes")
    assert result.exit_code == 0, result.output
    accepted = json.loads((tmp_path / "config" / "accepted-licenses.json").read_text())
    assert accepted == {"accepted": ["Somebody's terms https://example.org/terms"]}


def test_without_extraction_its_terms_do_not_matter(hub: HubServer) -> None:
    result = run("pull", "mine", "--yes", "--no-extraction")
    assert result.exit_code == 0, result.output
    assert "Somebody's" not in result.output
    assert [request.path for request in hub.content_requests()] == ["/content/a/flux/flux.gguf"]
    where = run("where", "mine")
    assert where.exit_code == 1
    assert "recogniser       missing: faces.onnx (size unknown)" in where.stdout


def test_files_in_a_folder_are_not_downloaded(hub: HubServer, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "flux.gguf").write_bytes(b"mine")
    result = run("pull", "mine", "--models-dir", str(own), "--yes", "--accept-licenses")
    assert result.exit_code == 0
    assert f"there     flux.gguf: {own / 'flux.gguf'}" in result.stderr
    assert [request.path for request in hub.content_requests()] == ["/content/a/faces/faces.onnx"]


def test_pull_for_programs() -> None:
    result = run("pull", "mine", "--json", "--yes", "--accept-licenses")
    assert result.exit_code == 0
    events = [json.loads(line) for line in result.stdout.splitlines()]
    steps = [event for event in events if event["event"] == "step"]
    assert {"step": len(FLUX), "steps": len(FLUX)}.items() <= steps[-3].items() | steps[-2].items()
    assert events[-1] == {"event": "note", "text": "ready: mine"}
    assert run("pull", "mine", "--json").exit_code == 2
    failed = run("pull", "nothing", "--json", "--yes")
    assert failed.exit_code == 2
    assert json.loads(failed.stdout)["event"] == "error"


def test_quiet_pull_says_nothing() -> None:
    result = run("pull", "mine", "--quiet", "--yes", "--accept-licenses")
    assert result.exit_code == 0
    assert result.output == ""


def test_a_download_that_fails_is_one_line_and_exit_1(hub: HubServer) -> None:
    hub.gated.add("a/faces")
    result = run("pull", "mine", "--yes", "--accept-licenses")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("error: a/faces: faces.onnx is behind terms of use: accept")
    assert not hub.content_requests()


def test_generate_pulls_what_it_needs(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = FakeEngine()
    monkeypatch.setattr("pulid_sdcpp.engine.factory.load_engine", engine.create)
    for name in ("c", "t"):
        (tmp_path / name).touch()
    others = ("--clip_l", str(tmp_path / "c"), "--taesd", str(tmp_path / "t"), "-p", "somebody")
    command = ["generate", "--preset", "mine", *others, "-o", str(tmp_path / "out.png")]
    refused = CliRunner().invoke(main, [*command, "--pull"], input="")
    assert refused.exit_code == 2
    assert "use 'pulid-sdcpp models pull mine' with --yes" in refused.stderr
    assert not hub.content_requests()
    done = CliRunner().invoke(main, [*command, "--pull"], input="y\n")
    assert done.exit_code == 0, done.output
    # The extractor's files are not needed, so their terms need not be accepted.
    assert [request.path for request in hub.content_requests()] == ["/content/a/flux/flux.gguf"]
    assert (tmp_path / "out.png").is_file()
    assert CliRunner().invoke(main, command).exit_code == 0
    nothing = CliRunner().invoke(main, ["generate", "--pull", *others])
    assert nothing.exit_code == 2
    assert "--pull needs --preset" in nothing.stderr


def test_an_interrupted_pull(monkeypatch: pytest.MonkeyPatch, hub: HubServer) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(model_pull, "_Pace", lambda progress: interrupted)
    result = run("pull", "mine", "--yes", "--accept-licenses")
    assert result.exit_code == 130
    assert result.stderr.splitlines()[-1] == (
        "interrupted; what has arrived is kept for the next pull"
    )


def test_list(tmp_path: Path) -> None:
    result = run("list")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    after = dict(itertools.pairwise(result.stdout.splitlines()))
    assert after[lines["flux-dev-q5"]].startswith("    for cards of 10 and 12 GB")
    assert "17 MB  0 of 1 file    non-commercial the face detector" in lines["faces"]
    assert "12.6 GB  0 of 9 files   any use        4 steps, 4 bits" in lines["flux-schnell-q4"]
    assert "non-commercial" in lines["flux-dev-q8"]
    assert "in the package any use" in lines["pocket"]
    assert "size unknown" in lines["mine"]
    assert "insightface" in lines["to"]
    assert lines["download"] == "download one with: pulid-sdcpp models pull PRESET"
    run("pull", "mine", "--yes", "--accept-licenses")
    rows = {row["preset"]: row for row in json.loads(run("list", "--json").stdout)}
    assert (rows["mine"]["there"], rows["mine"]["files"]) == (2, 2)
    assert rows["mine"]["non_commercial_extraction"] == ["Somebody's terms"]
    assert rows["flux-dev-q4"]["settings"]["steps"] == 20


def test_where(tmp_path: Path) -> None:
    run("pull", "mine", "--yes", "--accept-licenses")
    result = run("where", "mine")
    assert result.exit_code == 0
    role, path = result.stdout.splitlines()[0].split()
    assert role == "diffusion_model"
    assert Path(path).read_bytes() == FLUX
    assert json.loads(run("where", "mine", "--json").stdout)["diffusion_model"] == path
    pocket = run("where", "pocket")
    assert pocket.exit_code == 0
    assert "taef1.safetensors" in pocket.stdout


def test_verify(tmp_path: Path) -> None:
    nothing = run("verify")
    assert nothing.exit_code == 0
    assert "ok                          pocket model" in nothing.stdout
    missing = run("verify", "mine")
    assert missing.exit_code == 1
    assert missing.stdout.splitlines()[0] == f"{'missing':<28}flux.gguf"
    run("pull", "mine", "--yes", "--accept-licenses")
    assert run("verify", "mine").exit_code == 0
    path = Path(run("where", "mine").stdout.split()[1])
    Path(os.path.realpath(path)).write_bytes(b"F" + FLUX[1:])
    damaged = run("verify")
    assert damaged.exit_code == 1
    assert f"{'WRONG':<28}{path}: expected SHA-256" in damaged.stdout
    states = {row["file"]: row["state"] for row in json.loads(run("verify", "--json").stdout)}
    assert states == {"flux.gguf": "wrong", "faces.onnx": "ok", "pocket model": "ok"}


def test_verify_says_what_it_could_not_compare(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "flux.gguf").write_bytes(b"mine")
    result = run("verify", "--models-dir", str(own))
    assert result.exit_code == 0
    assert f"there (nothing to compare)  {own / 'flux.gguf'}" in result.stdout


def test_a_part_alone(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What extract and faces need, without a whole preset."""
    own = load_registry()
    part = Preset("faces", files={"recogniser": "faces"})
    monkeypatch.setattr(model_store, "load_registry", lambda _: replace(own, parts={"faces": part}))
    assert run("pull", "faces", "--yes", "--accept-licenses").exit_code == 0
    assert [request.path for request in hub.content_requests()] == ["/content/a/faces/faces.onnx"]
    assert run("where", "faces").exit_code == 0
    assert run("verify", "faces").exit_code == 0
    assert run("where", "mine").exit_code == 1
    assert "goes:" in run("rm", "faces", "--yes").stdout


def test_without_a_network_what_is_missing_is_said_with_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    huggingface_hub.close_session()  # it asks only when a session begins
    result = run("pull", "flux-schnell-q4", "--yes", "--no-extraction")
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "missing are flux1-schnell-Q4_K_S.gguf (6.8 GB), ae.safetensors (335 MB)," in line
    assert line.endswith("pulid_flux_v0.9.1.safetensors (1.1 GB): 11.4 GB together")


def test_rm() -> None:
    run("pull", "mine", "--yes", "--accept-licenses")
    assert run("rm", "mine", input="n\n").exit_code == 1
    assert run("where", "mine").exit_code == 0
    result = run("rm", "mine", "--yes")
    assert result.exit_code == 0
    assert result.stdout.count("goes:  ") == 2
    assert result.stdout.endswith("freed 2 MB\n")
    assert run("where", "mine").exit_code == 1
    assert run("rm", "mine").stdout == "nothing to remove\n"


@pytest.mark.parametrize("command", ["pull", "where", "verify", "rm"])
def test_an_unknown_preset_is_a_usage_error(command: str) -> None:
    result = run(command, "nothing")
    assert result.exit_code == 2
    assert "there is no preset 'nothing'; there are: flux-schnell-q4" in result.stderr
