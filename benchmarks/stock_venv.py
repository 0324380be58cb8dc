"""The peer that generation is measured against: its package from PyPI, in a venv of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

__all__ = ["DEFAULT_FOLDER", "REQUIREMENT", "stock_python"]

REQUIREMENT = "stable-diffusion-cpp-python==0.4.7"
DEFAULT_FOLDER = Path("build/benchmark-stock")


def stock_python(folder: Path = DEFAULT_FOLDER, cmake_args: str = "") -> Path:
    """The interpreter of a venv with the stock binding; compiled there unless it is there.

    Args:
        folder: The venv. One that has the package is used as it is.
        cmake_args: For the compilation, such as "-DSD_CUDA=ON". "": the package's defaults,
            whatever CMAKE_ARGS says in the environment.

    Raises:
        RuntimeError: It cannot be installed, or is of another version.
    """
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not python.is_file():
        venv.create(folder, with_pip=True)
    wanted = REQUIREMENT.partition("==")[2]
    found = _installed_version(python)
    if not found:
        print(f"compiling {REQUIREMENT} in {folder}: some minutes", file=sys.stderr)
        environment = {**os.environ, "CMAKE_ARGS": cmake_args}
        command = [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-binary",
            "stable-diffusion-cpp-python",
            REQUIREMENT,
        ]
        if subprocess.run(command, env=environment).returncode:
            raise RuntimeError(f"{REQUIREMENT} could not be installed in {folder}")
        found = _installed_version(python)
    if found != wanted:
        raise RuntimeError(f"{folder} has version {found or 'none'} of it, not {wanted}")
    return python.absolute()


def _installed_version(python: Path) -> str:
    code = (
        "import importlib.metadata as m\n"
        "try: print(m.version('stable-diffusion-cpp-python'))\n"
        "except m.PackageNotFoundError: pass"
    )
    done = subprocess.run([str(python), "-c", code], stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()
