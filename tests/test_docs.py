"""The documentation against the code: links, messages, options, the reference of commands."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import click
import pytest

import pulid_extractor
import pulid_sdcpp
from pulid_sdcpp.cli import main
from pulid_sdcpp.cli.commands.generate import generate

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "native/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
END = "\0"
# Messages of others that users meet here.
FOREIGN = {
    "operator torchvision::nms does not exist",
    "warning: t5xxl text encoder not found! Prompt adherence might be degraded.",
}
# Options of other programs that the pages name.
FOREIGN_OPTIONS = {
    "-L",  # ssh
    "--output", "--download",  # native/prepare_source.py
}  # fmt: skip

names = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchor(heading: str) -> str:
    """As the hosts of Markdown pages make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def without_code_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def put_in(part: ast.expr, flags: Mapping[str | None, str]) -> str:
    """The flag, as a command shows it, of `{named("steps")}`; "…" of other values."""
    call = getattr(part, "value", None)
    if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "named":
        (name,) = call.args
        if isinstance(name, ast.Constant):
            return flags.get(name.value, name.value)
    return "…"


def messages() -> str:
    """Every text in the sources, END after each; "…" where a value is put in, flags by name."""
    parts: list[str] = []
    flags = {param.name: param.opts[-1] for param in generate.params}
    python = [*ROOT.glob("pulid_sdcpp/**/*.py"), *ROOT.glob("extractor/pulid_extractor/*.py")]
    for path in [*python, ROOT / "native" / "prepare_source.py"]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts += [
                    str(part.value) if isinstance(part, ast.Constant) else put_in(part, flags)
                    for part in node.values
                ]
                parts.append(END)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                parts += [node.value, END]
    for path in ROOT.glob("native/src/*"):
        parts += [f"{text}{END}" for text in re.findall(r'"(.*?)"', path.read_text("utf-8"))]
    return "".join(parts)


def test_the_reference_of_commands_is_current() -> None:
    generator = load(ROOT / "docs" / "generate_cli_reference.py")
    written = generator.OUTPUT.read_text(encoding="utf-8")
    assert written == generator.render(), "run: python docs/generate_cli_reference.py"


def test_the_reference_of_python_is_current() -> None:
    generator = load(ROOT / "docs" / "generate_api_reference.py")
    written = generator.OUTPUT.read_text(encoding="utf-8")
    assert written == generator.render(), "run: python docs/generate_api_reference.py"


def test_the_reference_of_python_has_every_public_name() -> None:
    headings = re.findall(
        r"^### (\w+)$", (ROOT / "docs" / "api.md").read_text("utf-8"), re.MULTILINE
    )
    assert sorted(headings) == sorted({*pulid_sdcpp.__all__, *pulid_extractor.__all__})


def test_the_reference_has_every_command_and_option() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"(?<![\w-])-{1,2}\w[\w-]*", text))
    assert set(options()) <= shown


def test_the_reference_has_every_environment_variable() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    sources = [*ROOT.glob("pulid_sdcpp/**/*.py"), *ROOT.glob("native/*.py")]
    used = {
        name
        for path in sources
        for name in re.findall(r"PULID_SDCPP_[A-Z_]+", path.read_text(encoding="utf-8"))
    }
    assert used == set(re.findall(r"PULID_SDCPP_[A-Z_]+", text))


@names
def test_links_lead_somewhere(page: Path) -> None:
    text = without_code_blocks(page.read_text(encoding="utf-8"))
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    for link in links:
        if link.startswith("https://"):
            continue
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if fragment:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert fragment in map(anchor, headings), link


@names
def test_options_in_the_text_exist(page: Path) -> None:
    text = without_code_blocks(page.read_text(encoding="utf-8"))
    if page.name == "cli.md":
        return
    known = set(options()) | FOREIGN_OPTIONS
    for span in re.findall(r"`([^`\n]+)`", text):
        for option in re.findall(r"(?:^|\s)(--[a-z][\w-]*|-[a-zA-Z])(?=[\s=,]|$)", span):
            assert option in known, f"{page.name}: `{span}`"


def test_messages_that_are_explained_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    explained = re.findall(r"^### `(.+)`$", page, re.MULTILINE)
    assert len(explained) > 40
    known = messages()
    for message in explained:
        if message in FOREIGN:
            continue
        words = [re.escape(part) for part in message.strip("…").split("…")]
        assert re.search(f"[^{END}]*".join(words), known), message


def test_the_changelog_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert declared is not None
    assert f"## [{declared[1]}]" in text
    assert importlib.metadata.version("pulid-sdcpp") == declared[1]


def test_the_license_is_ours_first_and_has_what_must_be_reproduced() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License\n\nCopyright (c) 2026 the pulid-sdcpp authors\n")
    for holder in ("leejet", "The ggml authors", "William Murray", "Niels Lohmann", "Susumu Yata",
                   "Mozilla Foundation", "Tenacious Software", "Facebook, Inc"):  # fmt: skip
        assert holder in text, holder
    assert text.count("TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION") == 1


def options() -> list[str]:
    """Every flag of every command, hidden ones too."""

    def below(command: click.Command, context: click.Context) -> list[str]:
        found: list[str] = []
        for parameter in command.get_params(context):
            if isinstance(parameter, click.Option):
                found += [*parameter.opts, *parameter.secondary_opts]
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                one = command.get_command(context, name)
                assert one is not None
                found += below(one, click.Context(one, parent=context))
        return found

    return below(main, click.Context(main, **main.context_settings))


def test_the_flags_of_sd_cli_are_those_of_the_pinned_version() -> None:
    flags = load(ROOT / "docs" / "sd_cli_flags.py")
    pages = [*ROOT.glob("build/*/engine/vendor/stable-diffusion.cpp/examples/cli/README.md")]
    for page in pages:  # where the engine was compiled
        lines = re.findall(r"^  (-.*?)(?:   |$)", page.read_text("utf-8"), re.MULTILINE)
        assert re.findall(r"-{1,2}\w[\w-]*", " ".join(re.sub("<.*?>", "", x) for x in lines)) == (
            flags.FLAGS
        )
    with pytest.raises(ValueError, match="--cfg-scale"):  # neither there nor refused
        flags.table(click.Command("nothing", params=[]))
