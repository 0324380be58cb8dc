"""The files in deploy/: linters find no fault in them, and what they name exists."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pulid_sdcpp.cli.commands.generate import generate
from pulid_sdcpp.options.facts import of
from pulid_sdcpp.server.limits import Limits
from pulid_sdcpp.server.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
# A machine that is meant to have the linters sets it: .ci/run.
REQUIRE_LINTERS = os.environ.get("PULID_REQUIRE_LINTERS") == "1"
PROGRAM = "/opt/pulid-sdcpp/bin/pulid-sdcpp"
MAX_EXPOSURE = 2.5  # of 10; "OK" in systemd's words is below 4.5


def text_of(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def linter(name: str) -> str:
    """Its program, beside this Python or anywhere."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None and not REQUIRE_LINTERS:
        pytest.skip(f"{name} is not installed")
    assert found is not None, f"{name} is not installed"
    return found


def passes(*command: str | Path) -> str:
    """What a command says, which must find no fault."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return f"{done.stdout}{done.stderr}"


def test_the_dockerfile_is_without_fault() -> None:
    assert passes(linter("hadolint"), "--failure-threshold", "style", DEPLOY / "Dockerfile") == ""


def test_what_the_image_is_made_of_is_what_the_build_reads() -> None:
    kept = re.findall(r"^!(\S+)$", text_of("Dockerfile.dockerignore"), re.MULTILINE)
    assert all((ROOT / name).exists() for name in kept)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    read = [*re.findall(r'^(?:readme = |license-files = \[)"(\S+)"', project, re.MULTILINE)]
    packages = re.search(r"^wheel.packages = \[(.+)\]", project, re.MULTILINE)
    assert packages is not None
    read += [part.strip().strip('"').split("/")[0] for part in packages[1].split(",")]
    assert {"CMakeLists.txt", "pyproject.toml", "native", "constraints.txt", *read} == set(kept)
    (extras,) = re.findall(r'"\.\[(\S+)\]"', text_of("Dockerfile"))
    assert all(f"\n{extra} = [" in project for extra in extras.split(","))


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that exists."""
    path = tmp_path / "pulid-sdcpp.service"
    unit = text_of("pulid-sdcpp.service")
    assert PROGRAM in unit
    path.write_text(unit.replace(PROGRAM, "/bin/true"), encoding="utf-8")
    return path


def test_the_unit_is_without_fault(unit: Path) -> None:
    said = passes(linter("systemd-analyze"), "verify", "--man=no", unit)
    assert unit.name not in said, said


def test_the_service_may_do_little(unit: Path) -> None:
    said = passes(linter("systemd-analyze"), "security", "--offline=true", "--no-pager", unit)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert exposure is not None, said
    assert float(exposure[1]) <= MAX_EXPOSURE, said


def test_the_example_for_caddy_is_without_fault() -> None:
    path = DEPLOY / "Caddyfile"
    passes(linter("caddy"), "validate", "--config", path, "--adapter", "caddyfile")


def test_the_example_for_nginx_is_without_fault(tmp_path: Path) -> None:
    """It stands in nginx's block for sites; certificates, which a test has not, are left out."""
    site = re.sub(r"^ *ssl_certificate.*\n", "", text_of("nginx.conf"), flags=re.MULTILINE)
    site = site.replace("listen 443 ssl", "listen 127.0.0.1:8443")
    folders = "".join(
        f"{kind}_temp_path {tmp_path}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = tmp_path / "nginx.conf"
    path.write_text(
        f"pid {tmp_path}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{folders}{site}}}\n",
        encoding="utf-8",
    )
    passes(linter("nginx"), "-t", "-c", path, "-p", tmp_path)


def test_behind_a_proxy_there_are_keys_and_each_visitor_has_an_address() -> None:
    """Else whoever reaches the proxy is an administrator, and one guesser locks all others out."""
    for name in ("Caddyfile", "nginx.conf"):  # Caddy sets the address by itself
        command = re.search(r"^#   pulid-sdcpp serve (.*)$", text_of(name), re.MULTILINE)
        assert command is not None
        assert "--api-key-file" in command[1]
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in text_of("nginx.conf")


def options_named() -> set[str]:
    settings = re.search(r'^OPTIONS="(.*)"$', text_of("pulid-sdcpp.env"), re.MULTILINE)
    assert settings is not None
    command = re.search(r"^CMD \[(.*)\]$", text_of("Dockerfile"), re.MULTILINE)
    assert command is not None
    words = [*shlex.split(settings[1]), *shlex.split(command[1].replace(",", " "))]
    for name in sorted(path.name for path in DEPLOY.iterdir()):
        words += re.findall(r"(?<=\s)--[a-z][a-z-]+(?=[\s,.]|$)", _comments(text_of(name)))
    return {word for word in words if word.startswith("--")}


def _comments(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.lstrip().startswith("#"))


def test_the_options_that_they_name_are_those_of_the_command() -> None:
    known = {flag for param in generate.params for flag in param.opts}
    for settings in (ServerSettings, Limits):
        known |= {flag for fact in of(settings).values() for flag in fact.flags.split()}
    assert len(options_named()) >= 5
    assert options_named() <= known
