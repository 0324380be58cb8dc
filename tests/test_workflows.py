"""The files that CI and contributors' tools read fit their schema, and what they name exists."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
CONSTRAINTS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)

each = pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def test_there_are_workflows() -> None:
    assert WORKFLOWS


@each
def test_a_workflow_fits_the_schema(path: Path) -> None:
    if importlib.util.find_spec("check_jsonschema") is None:
        pytest.skip("check-jsonschema is not installed")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    done = subprocess.run(
        [*command, "vendor.github-workflows", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@each
def test_a_workflow_may_only_read_and_ends(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert all(job["timeout-minutes"] <= 120 for job in workflow["jobs"].values())


@each
def test_actions_have_a_version(path: Path) -> None:
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|[0-9a-f]{40})", action) for action in used)


@each
def test_what_a_workflow_runs_is_here(path: Path) -> None:
    runs = "\n".join(step.get("run", "") for step in steps(path))
    for script in re.findall(r"(?:python |^)([\w.]+/[\w./]+)", runs, re.MULTILINE):
        assert (ROOT / script).is_file(), script
    for extra in re.findall(r'"\.\[(\w+)\]"', runs):
        assert f"\n{extra} = [" in PYPROJECT
    for module in re.findall(r"python -m (\w+)", runs):
        assert module == "build" or importlib.util.find_spec(module), module


def test_every_supported_python_is_tested_on_every_system() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())["jobs"]
    matrix = jobs["test"]["strategy"]["matrix"]
    said = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT)
    assert matrix["python"] == said
    assert f'requires-python = ">={said[0]}"' in PYPROJECT
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    assert matrix["os"] == jobs["wheel"]["strategy"]["matrix"]["os"]


def test_hooks_have_the_versions_of_ci() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook for repository in config["repos"] for hook in repository["hooks"]]
    pins = [pin for hook in hooks for pin in hook.get("additional_dependencies", [])]
    assert all("==" in pin for pin in pins)
    versions = dict(pin.split("==") for pin in pins)
    assert versions["ruff"] == CONSTRAINTS["ruff"]
