"""The settings of a server, each stated once: flags, `[server]` of config.toml and the help come
from the facts of these fields and of `Limits`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import named, option_error
from ..options.checks import FilePath
from ..options.facts import check, of, option
from ..system.user_folders import data_folder, with_home
from ..terminal_text import shown
from .limits import Limits

__all__ = ["DEFAULT_PORT", "ServerSettings"]

DEFAULT_PORT = 7860
"""A1111's, which clients try."""

_DEVICE = re.compile(r"[a-z]+[0-9]*")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


@dataclass(frozen=True)
class ServerSettings:
    """How a server runs.

    Args:
        host, port: Where it listens: an address or name, and ports; 0 is any that is free.
        api_key_file: A file of keys; None: the variable PULID_SDCPP_API_KEY, or none.
        allow_host, cors_origin, public_url, root_path: Names it answers to, origins whose pages
            may use it, its address in the world, and the prefix of a proxy, "/pulid".
        data_dir: The folder for what it keeps; None: the data folder.
        gallery: "all" keeps every picture, "jobs" those of jobs, "none" none.
        sync_keepalive_s: When an answer that takes long begins; 0: it never does early.
        on_disconnect: What becomes of a synchronous call whose client left.
        honour_cfg_scale: Whether cfg_scale of A1111's clients is true CFG.
        edits: What the picture of OpenAI's edits is.
        allow_downloads: Whether models may be downloaded; None: on a server of this computer only.
        allow_fetch: Hosts from which pictures are fetched by their address.
        idle_unload_s: After how many idle seconds the model is freed; 0: never.
        load: Whether the model is loaded at the start.
        page: Whether there is a page for browsers; None: if the extra [ui] is installed.
        strict: Whether what is not offered is an error, not a warning.
        engine: Whether the engine runs in a process of its own, or in the server's.
        devices: Names of devices with commas between them, each for an engine process; "": one
            where the model's options say.
        workers: Engine processes on each of them.
        log_prompts, log_format: What is logged, and how.
        open_metrics: Whether /metrics needs no key.
        thumbnails: Whether small pictures of kept people's faces are kept.
        judge: A recogniser that measures pictures; None: the preset's.
        limits: What it takes, keeps and waits for, at most.

    Raises:
        ValueError: A value is out of its range, or no such setting.
    """

    host: str = option(
        "127.0.0.1",
        "Address or name to listen at. Others than this computer's own need --api-key-file.",
        flags="--host",
        group="Server",
        max_chars=255,
    )
    port: Sequence[int] = option(
        (DEFAULT_PORT,),
        "Port to listen at, 0 for any that is free. May be repeated.",
        flags="--port",
        group="Server",
        low=0,
        high=65_535,
        repeated=True,
    )
    api_key_file: FilePath | None = option(
        None,
        "File with a key, or with NAME KEY, a line; NAME! is an administrator. Else the variable "
        "PULID_SDCPP_API_KEY.",
        flags="--api-key-file",
        group="Access",
        metavar="FILE",
    )
    allow_host: Sequence[str] = option(
        (),
        "Another name under which the server is called. May be repeated.",
        flags="--allow-host",
        group="Access",
        metavar="NAME",
        max_chars=255,
    )
    cors_origin: Sequence[str] = option(
        (),
        "Origin whose pages may use the server, https://example.org. May be repeated.",
        flags="--cors-origin",
        group="Access",
        metavar="ORIGIN",
        max_chars=300,
    )
    public_url: str = option(
        "",
        "Address of the server in the world, for links to pictures.",
        flags="--public-url",
        group="Access",
        metavar="URL",
        max_chars=1000,
    )
    root_path: str = option(
        "",
        "Prefix that a proxy puts before the server's paths, such as /pulid.",
        flags="--root-path",
        group="Access",
        metavar="PREFIX",
        max_chars=300,
    )
    data_dir: FilePath | None = option(
        None,
        "Folder for jobs and pictures, and for people of named keys.",
        flags="--data-dir",
        group="Server",
        metavar="FOLDER",
        shown_default="the data folder",
    )
    gallery: str = option(
        "all",
        "Which pictures are kept: all, those of jobs (the others until they are delivered), none.",
        flags="--gallery",
        group="Server",
        choices=("all", "jobs", "none"),
    )
    sync_keepalive_s: float = option(
        50.0,
        "Seconds after which an answer that takes long begins, as proxies give up after 60; 0: "
        "when it is complete.",
        flags="--sync-keepalive",
        group="Answers",
        low=0,
        high=1e7,
    )
    on_disconnect: str = option(
        "cancel",
        "What becomes of a picture whose client left while it waited for it.",
        flags="--on-disconnect",
        group="Answers",
        choices=("cancel", "finish"),
    )
    honour_cfg_scale: bool = option(
        False,
        "Take cfg_scale of A1111's clients as true CFG. They send 7, which needs twice the time "
        "and burns pictures of Flux.",
        flags="--honour-cfg-scale",
        group="Answers",
    )
    edits: str = option(
        "auto",
        "What the picture of OpenAI's edits is: a photo of the person, the picture to start from, "
        "a reference; auto: by the request and the model.",
        flags="--edits",
        group="Answers",
        choices=("auto", "identity", "init", "reference"),
    )
    allow_downloads: bool | None = option(
        None,
        "Whether administrators may download models.",
        flags="--allow-downloads/--no-downloads",
        group="Access",
        shown_default="only where no other computer reaches the server",
    )
    allow_fetch: Sequence[str] = option(
        (),
        "Host from which pictures are fetched that a request names by https address. May be "
        "repeated.",
        flags="--allow-fetch",
        group="Access",
        metavar="HOST",
        max_chars=255,
    )
    idle_unload_s: float = option(
        0.0,
        "Seconds without work after which the model is freed; 0: never.",
        flags="--idle-unload",
        group="Server",
        low=0,
        high=1e7,
    )
    load: bool = option(
        False,
        "Load the model at the start, not with the first job.",
        flags="--load",
        group="Server",
    )
    page: bool | None = option(
        None,
        "Whether there is a page for browsers.",
        flags="--page/--no-page",
        group="Server",
        shown_default="if the extra [ui] is installed",
    )
    strict: bool = option(
        False,
        "Refuse what is not offered, where it would be left out with a warning.",
        flags="--strict",
        group="Answers",
    )
    engine: str = option(
        "process",
        "Where the engine runs: in a process of its own, or in the server's.",
        flags="--engine",
        group="Server",
        choices=("process", "inline"),
    )
    devices: str = option(
        "",
        "Devices that make pictures at the same time, each with a model of its own: cuda0,cuda1.",
        flags="--devices",
        group="Server",
        metavar="NAMES",
        shown_default="the engine's choice",
        max_chars=300,
    )
    workers: int = option(
        1,
        "Engines on each device, each with a model of its own.",
        flags="--workers",
        group="Server",
        low=1,
        high=64,
    )
    log_prompts: bool = option(
        False, "Write prompts into the log.", flags="--log-prompts", group="Server"
    )
    log_format: str = option(
        "text", "The log's lines.", flags="--log-format", group="Server", choices=("text", "json")
    )
    open_metrics: bool = option(
        False, "Show /metrics without a key.", flags="--open-metrics", group="Access"
    )
    thumbnails: bool = option(
        True,
        "Keep no small pictures of people's faces, only the numbers made of them.",
        flags="--no-thumbnails",
        group="Server",
    )
    judge: FilePath | None = option(
        None,
        "Recogniser that measures the likeness of pictures.",
        flags="--judge",
        group="Server",
        metavar="FILE",
        shown_default="the preset's",
    )
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if isinstance(self.port, int):
            object.__setattr__(self, "port", (self.port,))
        if not isinstance(self.port, tuple | list):
            raise option_error(f"{named('port')} is {shown(self.port)}, but must be whole numbers")
        for name, fact in of(ServerSettings).items():
            value = getattr(self, name)
            if isinstance(value, list):
                object.__setattr__(self, name, tuple(value))
            is_none = fact.optional and value is None
            if fact.kind == "switch" and not is_none and not isinstance(value, bool):
                raise option_error(f"{named(name)} is {shown(value)}, but must be true or false")
        check(self)
        if not self.port:
            raise option_error(f"{named('port')} has no number, but must have one or more")
        known = [port for port in self.port if port]
        if len(set(known)) < len(known):
            raise option_error(f"{named('port')} has a number twice: {', '.join(map(str, known))}")
        if self.root_path and (not _PREFIX.fullmatch(self.root_path) or ".." in self.root_path):
            raise option_error(
                f"{named('root_path')} is {shown(self.root_path)}, but must be like /pulid"
            )

        names = self.device_names
        if self.devices and (
            not all(map(_DEVICE.fullmatch, names)) or len(set(names)) < len(names)
        ):
            raise option_error(
                f"{named('devices')} is {shown(self.devices)}, but must be different devices such "
                "as cuda0,cuda1"
            )
        if self.engine == "inline" and (self.devices or self.workers > 1):
            raise option_error(
                f"{named('engine')} is inline, which is one engine; leave out "
                f"{named('devices')} and {named('workers')}"
            )

    @property
    def device_names(self) -> tuple[str, ...]:
        """The devices, one by one; none where the engine chooses."""
        return tuple(name.strip().lower() for name in self.devices.split(",") if self.devices)

    @property
    def server_folder(self) -> Path:
        """The folder of everything the server keeps; it may not exist yet."""
        base = data_folder() if self.data_dir is None else with_home(self.data_dir)
        return base / "server"
