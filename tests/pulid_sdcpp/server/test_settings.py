"""Settings of a server: their defaults, ranges, flags, and the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click
import pytest
from click.testing import CliRunner

from pulid_sdcpp.cli.flags.fact_option import fact_options
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.options.facts import Group, of
from pulid_sdcpp.server.engine.engines import create_engines
from pulid_sdcpp.server.given_settings import given_settings, settings_in_config
from pulid_sdcpp.server.limits import Limits
from pulid_sdcpp.server.settings import ServerSettings
from pulid_sdcpp.system.user_config import CONFIG_NAME, UserConfig, load_user_config

# Field, flags, default. Those of Limits are tested with it.
FLAGS = """
    host --host '127.0.0.1'
    port --port (7860,)
    api_key_file --api-key-file None
    allow_host --allow-host ()
    cors_origin --cors-origin ()
    public_url --public-url ''
    root_path --root-path ''
    data_dir --data-dir None
    gallery --gallery 'all'
    sync_keepalive_s --sync-keepalive 50.0
    on_disconnect --on-disconnect 'cancel'
    honour_cfg_scale --honour-cfg-scale False
    edits --edits 'auto'
    allow_downloads --allow-downloads/--no-downloads None
    allow_fetch --allow-fetch ()
    idle_unload_s --idle-unload 0.0
    load --load False
    page --page/--no-page None
    strict --strict False
    engine --engine 'process'
    devices --devices ''
    workers --workers 1
    log_prompts --log-prompts False
    log_format --log-format 'text'
    open_metrics --open-metrics False
    thumbnails --no-thumbnails True
    judge --judge None
"""


def test_flags_and_defaults_are_those_of_the_specification() -> None:
    facts = of(ServerSettings)
    written = [f"{name} {fact.flags} {fact.default!r}" for name, fact in facts.items()]
    assert written == [line.strip() for line in FLAGS.strip().splitlines()]
    assert ServerSettings().limits == Limits()


def test_no_flag_has_two_meanings() -> None:
    flags: list[str] = []
    names: list[str] = ["preset"]
    for kind in (ServerSettings, Limits, ContextOptions):
        names += of(kind)
        for fact in of(kind).values():
            flags += fact.flags.replace("/", " ").split()
    assert len(set(flags)) == len(flags)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", 1),
        ("host", "x" * 256),
        ("port", ()),
        ("port", 65_536),
        ("port", 3.5),
        ("port", "7860"),
        ("port", (-1,)),
        ("port", (65_536,)),
        ("port", (7860.5,)),
        ("port", (True,)),
        ("port", (7860, 1234, 7860)),
        ("api_key_file", ""),
        ("allow_host", "example.org"),
        ("allow_host", (1,)),
        ("cors_origin", ("x" * 301,)),
        ("public_url", None),
        ("root_path", "pulid"),
        ("root_path", "/"),
        ("root_path", "/pulid/"),
        ("root_path", "/a/../b"),
        ("root_path", "/a b"),
        ("data_dir", 3),
        ("gallery", "some"),
        ("sync_keepalive_s", -1),
        ("sync_keepalive_s", float("nan")),
        ("on_disconnect", "wait"),
        ("edits", "mask"),
        ("allow_downloads", "yes"),
        ("idle_unload_s", "5"),
        ("strict", 1),
        ("load", None),
        ("engine", "thread"),
        ("log_format", "xml"),
        ("judge", b"x"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} (is|has) "):
        ServerSettings(**{name: value})


def test_lists_become_tuples() -> None:
    settings = ServerSettings(port=[7860, 1234, 0, 0], allow_host=["a"], root_path="/a/b")
    assert settings.port == (7860, 1234, 0, 0)
    assert settings.allow_host == ("a",)
    hash(settings)
    assert ServerSettings(port=1234).port == (1234,)  # type: ignore[arg-type]


def test_where_the_server_keeps_things(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PULID_SDCPP_DATA", str(tmp_path))
    assert ServerSettings().server_folder == tmp_path / "server"
    assert ServerSettings(data_dir="other").server_folder == Path("other/server")


def from_flags(*arguments: str) -> dict[str, Any]:
    """What click makes of a command line with a server's options, without defaults."""
    typed: dict[str, Any] = {}

    @click.pass_context
    def command(context: click.Context, **values: Any) -> None:
        for name, value in values.items():
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
                typed[name] = value

    function: Any = command
    for group in reversed(get_args(Group)):
        for decorate in reversed(fact_options(group, ServerSettings, Limits)):
            function = decorate(function)
    result = CliRunner().invoke(click.command()(function), arguments)
    assert result.exit_code == 0, result.output
    return typed if arguments != ("--help",) else {"help": result.output}


def test_flags_are_made_of_them() -> None:
    typed = from_flags(
        *("--port", "7860", "--port", "1234", "--no-downloads", "--no-thumbnails", "--strict"),
        *("--allow-host", "a", "--allow-host", "b", "--gallery", "none", "--keep-days", "2"),
    )
    assert typed == {
        "port": (7860, 1234),
        "allow_downloads": False,
        "thumbnails": False,
        "strict": True,
        "allow_host": ("a", "b"),
        "gallery": "none",
        "keep_days": 2.0,
    }
    given = given_settings(UserConfig(Path("none")), typed)
    assert given.settings.port == (7860, 1234)
    assert given.settings.limits.keep_days == 2


def test_the_help_shows_them() -> None:
    text = " ".join(from_flags("--help")["help"].split())
    assert "--port" in text
    assert "[default: 7860" in text
    assert "only where no other computer reaches the server" in text
    assert "None" not in text


def config(folder: Path, text: str) -> UserConfig:
    path = folder / CONFIG_NAME
    path.write_text(text, encoding="utf-8")
    return load_user_config(path)


def test_the_config_file_has_the_same_settings(tmp_path: Path) -> None:
    text = """
        [server]
        preset = "pocket"
        port = 1234
        allow_host = ["a", "b"]
        cors_origin = "https://example.org"
        api_key_file = "keys"
        max_batch = 3
        thumbnails = false
        vae_path = "models/vae.safetensors"
    """
    given = given_settings(config(tmp_path, text), {"max_batch": 4, "host": "::1"})
    assert given.preset == "pocket"
    assert given.context == {"vae_path": tmp_path / "models" / "vae.safetensors"}
    assert given.settings == ServerSettings(
        host="::1",
        port=(1234,),
        allow_host=("a", "b"),
        cors_origin=("https://example.org",),
        api_key_file=tmp_path / "keys",
        thumbnails=False,
        limits=Limits(max_batch=4),
    )


def test_without_one_there_are_defaults() -> None:
    given = given_settings(UserConfig(Path("none")), {})
    assert (given.settings, given.preset, given.context) == (ServerSettings(), "", {})


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("prot = 1", "prot is unknown; did you mean port"),
        ("limits = 1", "limits is unknown"),
        ("port = 'x'", "port is 'x', but must be a whole number"),
        ("max_batch = 0", "max_batch is 0"),
        ("strict = 'yes'", "strict is 'yes', but must be true or false"),
        ("enqueue = false", "enqueue is unknown"),
        ("preset = 1", "preset is 1"),
        ("gallery = 'some'", "gallery is 'some', but must be one of all"),
        ("data_dir = '~nosuchuser/x'", "no home folder for ~nosuchuser"),
    ],
)
def test_what_is_wrong_in_the_file_is_said(tmp_path: Path, line: str, wrong: str) -> None:
    given = config(tmp_path, f"[server]\n{line}")
    with pytest.raises(ValueError, match=wrong) as caught:
        settings_in_config(given)
    assert str(caught.value).startswith(f"{given.path}: [server]")


def test_devices_and_workers():
    assert ServerSettings().device_names == ()
    assert ServerSettings(devices="cuda0, CUDA1").device_names == ("cuda0", "cuda1")
    for wrong in ({"devices": "cuda0,,cuda1"}, {"devices": "cuda0,cuda0"}, {"devices": "../x"}):
        with pytest.raises(ValueError, match="devices"):
            ServerSettings(**wrong)
    with pytest.raises(ValueError, match="one engine"):
        ServerSettings(engine="inline", workers=2)
    assert [
        engine._context for engine in create_engines(ServerSettings(devices="cuda0,cuda1"))
    ] == [
        {"backend": "cuda0"},
        {"backend": "cuda1"},
    ]
    assert len(create_engines(ServerSettings(workers=3))) == 3
