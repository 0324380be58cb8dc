"""Obtain the pinned engine source, check it, unpack it and apply our patches.

Run by CMakeLists.txt at configure time; also by hand:

    python native/prepare_source.py --output build/engine     # ready to read or compile
    python native/prepare_source.py --download native/source  # for an offline build or our sdist

The source is, in this order: the file PULID_SDCPP_ENGINE_SDIST names; native/source/ (our own
sdist ships it there); a download by pip, by name and version. In each case its hash must match
native/source_pin.json. Nothing is done when the output is already there and current.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

NATIVE = Path(__file__).resolve().parent
PATCHES = sorted((NATIVE / "patches").glob("*.patch"))
STAMP = "pulid-sdcpp.stamp"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument("--output", type=Path, help="folder for the patched source tree")
    group.add_argument("--download", type=Path, help="folder to put the untouched sdist in")
    arguments = parser.parse_args()
    pin = read_pin()
    if arguments.download:
        print(download_sdist(pin, arguments.download))
    else:
        prepare(pin, arguments.output)


def read_pin() -> dict[str, str]:
    """Package, version and sha256 of the engine's source."""
    pin: dict[str, str] = json.loads((NATIVE / "source_pin.json").read_text())
    return pin


def sdist_name(pin: dict[str, str]) -> str:
    return f"{pin['package'].replace('-', '_')}-{pin['version']}.tar.gz"


def prepare(pin: dict[str, str], output: Path) -> None:
    wanted = fingerprint(pin)
    stamp = output / STAMP
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    sdist = find_sdist(pin, output.parent)
    if output.exists():
        shutil.rmtree(output)
    unpack(sdist, output)
    for patch in PATCHES:
        apply_patch(patch, output)
    stamp.write_text(wanted)


def fingerprint(pin: dict[str, str]) -> str:
    """Changes with everything the prepared tree depends on."""
    digest = hashlib.sha256(pin["sha256"].encode())
    for file in [Path(__file__), *PATCHES]:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def find_sdist(pin: dict[str, str], download_folder: Path) -> Path:
    name = sdist_name(pin)
    given = os.environ.get("PULID_SDCPP_ENGINE_SDIST")
    if given:
        if not Path(given).is_file():
            sys.exit(f"PULID_SDCPP_ENGINE_SDIST names {given}, which is not a file")
        return checked(Path(given), pin)
    for folder in (NATIVE / "source", download_folder):
        if (folder / name).is_file():
            return checked(folder / name, pin)
    return download_sdist(pin, download_folder)


def download_sdist(pin: dict[str, str], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    requirement = f"{pin['package']}=={pin['version']}"
    # pip builds the metadata even of what it only downloads; --no-build-isolation lets it use
    # the scikit-build-core that is already here instead of fetching its own.
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        ":all:",
    ]
    command += ["--no-build-isolation", "--dest", str(folder), requirement]
    if subprocess.run(command).returncode != 0:
        sys.exit(
            f"could not download {requirement}: check the network, or download its sdist elsewhere "
            "and set PULID_SDCPP_ENGINE_SDIST to the file"
        )
    (sdist,) = folder.glob(f"*{pin['version']}.tar.gz")
    return checked(sdist, pin)


def checked(sdist: Path, pin: dict[str, str]) -> Path:
    found = hashlib.sha256(sdist.read_bytes()).hexdigest()
    if found != pin["sha256"]:
        sys.exit(
            f"{sdist} is not the pinned engine source {pin['package']} {pin['version']}: "
            f"expected sha256 {pin['sha256']}, found {found}"
        )
    return sdist


def unpack(sdist: Path, output: Path) -> None:
    temporary = output.with_name(output.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):
            archive.extractall(temporary, filter="data")
        else:  # Python < 3.10.12; the hash has been checked
            archive.extractall(temporary)
    (root,) = temporary.iterdir()
    output.parent.mkdir(parents=True, exist_ok=True)
    root.rename(output)
    temporary.rmdir()


def apply_patch(patch: Path, root: Path) -> None:
    import patch_ng

    patch_set = patch_ng.fromfile(str(patch))
    if not patch_set or not patch_set.apply(root=str(root)):
        sys.exit(f"{patch.name} does not apply to the pinned engine source; see native/README.md")


if __name__ == "__main__":
    main()
