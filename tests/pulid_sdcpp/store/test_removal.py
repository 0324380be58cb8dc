"""What `rm` takes away, and what it leaves."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub
import pytest

from hub_server import HubServer, commit_of
from pulid_sdcpp import ModelFileError
from pulid_sdcpp.store.download import download, downloaded_paths, plan_pull
from pulid_sdcpp.store.model_store import ModelStore
from pulid_sdcpp.store.removal import plan_removal, remove

CONFIG = """
[files.flux]
role = "diffusion_model"
repository = "a/flux"
path = "flux.gguf"
[files.other-flux]
role = "diffusion_model"
repository = "a/flux"
path = "other.gguf"
[files.encoder]
role = "clip_l"
repository = "a/encoder"
path = "clip_l.gguf"
[files.parser]
role = "parsing"
url = "URL/plain/parser.pth"
[presets.one]
files = { diffusion_model = "flux", clip_l = "encoder", parsing = "parser" }
[presets.two]
files = { diffusion_model = "other-flux", clip_l = "encoder" }
"""


@pytest.fixture(autouse=True)
def _published(hub: HubServer, tmp_path: Path) -> None:
    for key in ("a/flux/flux.gguf", "a/flux/other.gguf", "a/encoder/clip_l.gguf"):
        hub.add(key, key.encode() * 1000)
    hub.add("plain/parser.pth", b"PK\3\4".ljust(1000))
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text(CONFIG.replace("URL", hub.url))


def pull(*presets: str) -> None:
    for source in plan_pull(presets, ModelStore()).missing:
        download(source)


def there(preset: str, *folders: Path) -> set[str]:
    store = ModelStore(folders)
    found = store.find_all(store.registry.preset(preset)).values()
    return {file.file.key for file in found if file.path is not None}


def bytes_in(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in files if path.suffix not in (".json", ".TAG"))


def test_everything_that_was_pulled_goes(tmp_path: Path) -> None:
    pull("one")
    size = bytes_in(tmp_path / "hub" / "models--a--flux" / "blobs")
    assert size == 16_000
    removal = plan_removal("one", ModelStore())
    assert {found.file.key for found in removal.doomed} == {"flux", "encoder", "parser"}
    assert not removal.kept
    assert remove(removal) == 16_000 + 21_000 + 1000
    assert there("one") == set()
    assert downloaded_paths() == []
    assert not huggingface_hub.scan_cache_dir(tmp_path / "hub").repos
    assert not plan_removal("one", ModelStore()).doomed


def test_what_another_preset_uses_stays(tmp_path: Path) -> None:
    pull("one", "two")
    removal = plan_removal("one", ModelStore())
    assert [(found.file.key, reason) for found, reason in removal.kept] == [
        ("encoder", "two uses it")
    ]
    # The two Flux files are one revision of one repository.
    assert remove(removal) == 16_000 + 1000
    assert there("two") == {"other-flux", "encoder"}
    assert there("one") == {"encoder"}
    blobs = list((tmp_path / "hub" / "models--a--flux" / "blobs").iterdir())
    assert [blob.stat().st_size for blob in blobs] == [17_000]
    # A preset that is not all there does not hold its files.
    assert {f.file.key for f in plan_removal("two", ModelStore()).doomed} == {
        "other-flux",
        "encoder",
    }


def test_what_others_have_fetched_and_the_users_own_folders_stay(tmp_path: Path) -> None:
    huggingface_hub.hf_hub_download("a/encoder", "clip_l.gguf")
    own = tmp_path / "own"
    own.mkdir()
    (own / "flux.gguf").write_bytes(b"mine")
    pull("one")
    removal = plan_removal("one", ModelStore([own]))
    assert {found.file.key: reason for found, reason in removal.kept} == {
        "flux": "it is in a folder of yours",
        "encoder": "pulid-sdcpp did not download it",
    }
    assert remove(removal) == 1000
    assert there("one", own) == {"flux", "encoder"}
    assert (own / "flux.gguf").read_bytes() == b"mine"


def test_the_same_content_in_another_revision_stays(hub: HubServer, tmp_path: Path) -> None:
    pull("one")
    other = tmp_path / "hub" / "models--a--flux" / "snapshots" / ("f" * 40)
    other.mkdir()
    path = other.parent / commit_of("a/flux") / "flux.gguf"
    (other / "flux.gguf").symlink_to(path.resolve())
    freed = remove(plan_removal("one", ModelStore()))
    assert freed == 21_000 + 1000
    assert (other / "flux.gguf").read_bytes() == hub.files["a/flux/flux.gguf"]


def test_a_file_that_cannot_be_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pull("one")
    removal = plan_removal("one", ModelStore())

    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(ModelFileError, match=r"parser.pth: cannot be removed: Permission denied"):
        remove(removal)
