"""What to type to install what is missing, for the way this package was installed itself."""

from __future__ import annotations

import importlib.metadata
import json
import re
import urllib.parse
import urllib.request
from collections.abc import Iterable
from pathlib import Path

__all__ = ["install_extra_command", "reinstall_command"]

_PACKAGE = "pulid-sdcpp"
# `torch>=2.2; extra == "extract"`, as packages describe themselves.
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[([\w,-]+)\])?([^;]*)(?:;(.*))?")


def install_extra_command(extra: str, only: Iterable[str] = ()) -> str:
    """A pip command for the packages of an extra.

    It names these packages and not `pulid-sdcpp[extra]`: an index may not have this package, and
    installing the source again would compile the engine again.

    Args:
        extra: "extract", "reference", "server" or "ui".
        only: Those of its packages that are needed; none: all.
    """
    wanted = {_normal(name) for name in only}
    found = [text for name, text in _packages_of(extra) if not wanted or name in wanted]
    if not found:  # run from a source tree that is not installed
        return f'pip install ".[{extra}]" in the folder with the source'
    return "pip install " + " ".join(f'"{text}"' for text in found)


def reinstall_command() -> str:
    """A pip command that installs this package again, from where it came from."""
    command = "pip install --force-reinstall --no-deps"
    try:
        record = importlib.metadata.distribution(_PACKAGE).read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return f"{command} . in the folder with the source"
    if record is None:  # from an index
        return f"{command} {_PACKAGE}"
    # Source: PyPA, "Recording the Direct URL Origin of installed distributions".
    address = urllib.parse.urlsplit(str(json.loads(record).get("url", "")))
    if address.scheme != "file":
        return f'{command} "{address.geturl()}"'
    path = Path(urllib.request.url2pathname(address.path))
    if path.exists():
        return f'{command} "{path}"'
    return f"{command} . in the folder with the source ({path} is gone)"


def _packages_of(extra: str) -> list[tuple[str, str]]:
    """Names and requirements of an extra's packages, and those of extras that it includes."""
    try:
        requirements = importlib.metadata.requires(_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found: list[tuple[str, str]] = []
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is None or not re.search(rf"""extra == ['"]{extra}['"]""", match[4] or ""):
            continue
        if _normal(match[1]) == _PACKAGE:
            for included in (match[2] or "").split(","):
                found += _packages_of(included)
        else:
            found.append((_normal(match[1]), f"{match[1]}{match[3].strip()}"))
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
