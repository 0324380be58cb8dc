from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pulid_sdcpp.batch.plan import is_of_a_batch
from pulid_sdcpp.errors import ModelFileError
from pulid_sdcpp.pocket.pack import MANIFEST_NAME, check_pack
from pulid_sdcpp.store.download import LEDGER_NAME, downloaded_paths
from pulid_sdcpp.store.license_acceptance import unaccepted
from pulid_sdcpp.store.model_store import downloads_folder
from pulid_sdcpp.store.registry import License
from pulid_sdcpp.system.json_record import read_json
from pulid_sdcpp.system.user_folders import config_folder

NESTED = b"[" * 100_000


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PULID_SDCPP_CONFIG", str(tmp_path / "config"))


def written(path: Path, content: bytes = NESTED) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_what_is_in_it(tmp_path: Path) -> None:
    assert read_json(written(tmp_path / "a", b'{"a": [1]}')) == {"a": [1]}


def test_what_no_program_of_ours_wrote(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="too deeply nested"):
        read_json(written(tmp_path / "a"))
    with pytest.raises(ValueError, match="Expecting"):
        read_json(written(tmp_path / "a", b"{"))
    with pytest.raises(OSError, match="at most 0 KiB"):
        read_json(tmp_path / "a", 0)


def manifest(folder: Path) -> None:
    written(folder / MANIFEST_NAME)
    with pytest.raises(ModelFileError, match="expected the list of the pocket model's files"):
        check_pack(folder)


def ledger(_: Path) -> None:
    written(downloads_folder() / LEDGER_NAME)
    assert downloaded_paths() == []


def accepted(_: Path) -> None:
    written(config_folder() / "accepted-licenses.json")
    terms = {"a": License("a", commercial=False)}
    assert unaccepted(terms) == terms


def summary(folder: Path) -> None:
    assert not is_of_a_batch(written(folder / "summary.json"))


@pytest.mark.parametrize("damaged", [manifest, ledger, accepted, summary])
def test_a_damaged_one_counts_as_none(damaged: Callable[[Path], None], tmp_path: Path) -> None:
    damaged(tmp_path)
