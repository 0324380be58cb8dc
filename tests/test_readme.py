"""README's commands and its Python example: they parse, name what exists, and really run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
import skimage.data
from click.testing import CliRunner
from PIL import Image

from pulid_extractor import PUBLISHED
from pulid_sdcpp import Identity
from pulid_sdcpp.cli import main

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAM = "pulid-sdcpp"

# What the stand-ins lack: T5, whose sizes are fixed in the engine, and the autoencoder's encoder,
# which it loads although only pictures to start from need it. Decoding 512 x 512 takes seconds.
SIDE_PX = 128
REPLACED = {
    "--t5xxl": (),
    "--vae": ("--tae", "models/taef1.safetensors"),
    "-W": ("-W", str(SIDE_PX)),
    "-H": ("-H", str(SIDE_PX)),
}
NOT_RUN = {"doctor"}  # looks at the machine it runs on; tests/pulid_sdcpp/test_doctor.py


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)


def command_lines() -> list[list[str]]:
    """Every line of the console blocks, as a shell would split it."""
    lines = []
    for block in [*blocks("console"), *blocks("bash")]:
        joined = block.replace("\\\n", " ")
        lines += [shlex.split(line, comments=True) for line in joined.splitlines()]
    return [line for line in lines if line]


OWN = [line[1:] for line in command_lines() if line[0] == PROGRAM]


def command_named(name: str) -> tuple[click.Command, click.Context]:
    context = click.Context(main, info_name=PROGRAM, **main.context_settings)
    command = main.get_command(context, name)
    assert command is not None, name
    return command, context


def test_all_the_commands_are_shown() -> None:
    assert {"extract", "generate", "inspect", "doctor", "plan"} == {line[0] for line in OWN}


@pytest.mark.parametrize("arguments", OWN, ids=" ".join)
def test_a_command_parses_and_its_help_has_its_options(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("alice.jpg").touch()
    command, parent = command_named(arguments[0])
    command.make_context(arguments[0], list(arguments[1:]), parent=parent)
    shown = CliRunner().invoke(main, [arguments[0], "--help"]).output
    for option in filter(lambda word: re.fullmatch(r"--?[a-zA-Z][\w-]*", word), arguments):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", shown), option


def test_other_commands_and_options_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    made = [line[1] for line in command_lines() if line[0] == "make"]
    assert made
    assert set(made) <= set(targets)
    build = (ROOT / "native" / "build_info.cmake").read_text()
    for option in re.findall(r"-D(SD_\w+)=ON", README):
        assert option in build, option
    extras = re.findall(r"\[(extract|reference|test|dev)\]", README)
    assert extras
    assert all(f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text() for extra in extras)


def test_the_files_to_get_are_those_looked_for() -> None:
    for role in ("detector", "recogniser", "eva", "parsing", "pulid"):
        published = PUBLISHED[role]
        folder = published.folders[0]
        original = [name for name in published.names if not name.endswith(".safetensors")]
        name = (original or published.names)[0]
        assert f"`{folder}/{name}`" in README or f"`{name}`" in README, name
        assert published.repository.removeprefix("the releases of ") in README


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What README's reader has: a photo, and the weights under their published names."""
    from pulid_extractor.standin import idformer_tensors, make_extractor_standins
    from pulid_sdcpp.standin import make_standin_weights

    reader = tmp_path_factory.mktemp("reader")
    models = reader / "models"
    files = make_standin_weights(
        models, quantizations=("q4_k",), idformer_tensors=idformer_tensors()
    )
    make_extractor_standins(models)
    # Told by their content, not by their names.
    files["flux-q4_k"].rename(models / "flux1-schnell-Q4_K_S.gguf")
    files["clip_l"].rename(models / "clip_l.safetensors")
    Image.fromarray(skimage.data.astronaut()).save(reader / "alice.jpg")
    return reader


def with_standins(arguments: list[str]) -> list[str]:
    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word in REPLACED:
            next(words)
            kept += REPLACED[word]
        else:
            kept.append(word)
    return kept


@pytest.mark.engine
@pytest.mark.extract
def test_the_way_it_shows_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    outputs = {}
    for arguments in OWN:
        if arguments[0] in NOT_RUN:
            continue
        done = CliRunner().invoke(main, with_standins(arguments))
        assert done.exit_code == 0, (arguments, done.output)
        outputs[arguments[0], arguments[-1]] = done.output
    with Image.open("out.png") as picture:
        assert picture.size == (SIDE_PX, SIDE_PX)
    person = re.search(r"identity (\w{10}):", outputs["extract", "models"])
    assert person is not None
    assert f"hash {person[1]}" in outputs["inspect", "alice.pulidembd"]
    described = outputs["inspect", "out.png"]
    assert "candid photograph of a woman on a beach at sunset" in described
    assert person[1] in described
    assert "Seed: 42" in described


@pytest.mark.engine
@pytest.mark.extract
def test_the_python_example_works(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (example,) = blocks("python")
    runnable = re.sub(r"^ *t5xxl_path=.*\n", "", example, flags=re.MULTILINE)
    runnable = re.sub(r"\bvae_path=.*", 'taesd_path="models/taef1.safetensors",', runnable)
    assert runnable.count("\n") == example.count("\n") - 1
    runnable, changed = re.subn(
        "seed=42,", f"seed=42, width={SIDE_PX}, height={SIDE_PX},", runnable
    )
    assert changed == 1
    namespace: dict[str, object] = {}
    exec(compile(runnable, "README.md", "exec"), namespace)
    with Image.open("alice.png") as picture:
        first = np.asarray(picture)
    # The same without the person is another picture.
    nobody = re.sub(r"^ *pulid_id_embedding=.*\n", "", runnable, flags=re.MULTILINE)
    exec(compile(nobody, "README.md", "exec"), {})
    with Image.open("alice.png") as picture:
        assert (np.asarray(picture) != first).any()


@pytest.mark.extract
def test_the_examples_of_the_identity_guide_work(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "identity-guide.md").read_text(encoding="utf-8")
    monkeypatch.chdir(folder)
    for name in ("monday.jpg", "holiday.jpg"):
        Path(name).write_bytes(Path("alice.jpg").read_bytes())
    for line in lines_of(page):
        done = CliRunner().invoke(main, line)
        assert done.exit_code == 0, (line, done.output)
    (example,) = blocks("python", page)
    exec(compile(example, "identity-guide.md", "exec"), {})
    assert Path("copy.pulidembd").is_file()
    for key in Identity.load("alice.pulidembd").metadata:
        assert f"`pulid.{key}`" in page, key


def lines_of(page: str) -> Iterator[list[str]]:
    for block in blocks("console", page):
        for line in block.splitlines():
            yield shlex.split(line)[1:]
