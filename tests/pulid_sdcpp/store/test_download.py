"""Fetching files from a hub on this computer: what works, what fails, and what is kept."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants, file_download

from hub_server import NOTHING, TOKEN, HubServer, commit_of
from pulid_sdcpp import DownloadError, ModelFileError, StableDiffusion
from pulid_sdcpp.pocket.pack import pocket_files
from pulid_sdcpp.store import resumable_download
from pulid_sdcpp.store.download import check_disk, download, downloaded_paths, plan_pull
from pulid_sdcpp.store.model_store import ModelStore, downloads_folder, resolve_preset
from pulid_sdcpp.store.registry import RegistryFile, load_registry
from pulid_sdcpp.store.resumable_download import PART_SUFFIX, download_file
from pulid_sdcpp.store.source import find_source
from pulid_sdcpp.store.verification import check_file

CONTENT = os.urandom(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
REPOSITORY = "somebody/models"
FILE = RegistryFile("x", "vae", repository=REPOSITORY, path="folder/x.safetensors")


@pytest.fixture(autouse=True)
def _published(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(f"{REPOSITORY}/{FILE.path}", CONTENT)
    monkeypatch.setattr(resumable_download, "_PAUSE_S", 0.0)


def source(**changes: Any) -> Any:
    return find_source(replace(FILE, **changes), load_registry())


def partial_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith("incomplete")]


def test_a_file_of_the_hub_goes_into_the_hubs_own_cache(hub: HubServer, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    path = download(source(), lambda done, total: steps.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert path.is_relative_to(tmp_path / "hub")
    found = huggingface_hub.try_to_load_from_cache(REPOSITORY, FILE.path)
    assert found == str(path)
    assert steps[0] == (0, len(CONTENT))
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert not partial_files(tmp_path)
    assert downloaded_paths() == [path]
    cache = huggingface_hub.scan_cache_dir(tmp_path / "hub")
    assert not cache.warnings
    assert [repository.repo_id for repository in cache.repos] == [REPOSITORY]
    # And huggingface_hub itself finds nothing left to do.
    before = len(hub.content_requests())
    assert huggingface_hub.hf_hub_download(REPOSITORY, FILE.path) == str(path)
    assert len(hub.content_requests()) == before


def test_without_links_the_cache_has_the_file_itself(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_download, "are_symlinks_supported", lambda *_: False)
    path = download(source())
    assert not path.is_symlink()
    assert path.read_bytes() == CONTENT
    assert sum(file.stat().st_size for file in tmp_path.rglob("*")) < 1.5 * len(CONTENT)
    assert huggingface_hub.try_to_load_from_cache(REPOSITORY, FILE.path) == str(path)


@pytest.mark.parametrize("cut", [1_000_000, -1_000_000], ids=["ended", "reset"])
def test_a_cut_connection_is_gone_on_with(hub: HubServer, cut: int) -> None:
    hub.cuts += [cut, 500_000 if cut > 0 else -500_000]
    assert download(source()).read_bytes() == CONTENT
    first, *others = [request.range for request in hub.content_requests()]
    assert first == ""
    assert others
    begins = [int(text.removeprefix("bytes=").rstrip("-")) for text in others]
    assert begins == sorted(begins)
    if cut > 0:  # a reset may lose what is under way
        assert begins == [1_000_000, 1_500_000]


def test_what_a_killed_pull_has_left_is_not_fetched_again(hub: HubServer, tmp_path: Path) -> None:
    part = tmp_path / "hub" / "models--somebody--models" / "blobs" / (SHA256 + PART_SUFFIX)
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:2_000_000])
    steps: list[int] = []
    assert download(source(), lambda done, _: steps.append(done)).read_bytes() == CONTENT
    assert [request.range for request in hub.content_requests()] == ["bytes=2000000-"]
    assert steps[0] == 2_000_000


def test_a_server_that_knows_no_range_sends_all(hub: HubServer, tmp_path: Path) -> None:
    part = tmp_path / "hub" / "models--somebody--models" / "blobs" / (SHA256 + PART_SUFFIX)
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[:2_000_000])
    hub.ignores_range = True
    assert download(source()).read_bytes() == CONTENT


def test_a_connection_that_never_holds_is_given_up_and_its_bytes_kept(
    hub: HubServer, tmp_path: Path
) -> None:
    found = source()
    hub.cuts += [1000, *[NOTHING] * 5]
    with pytest.raises(DownloadError, match=r"failed 5 times .*1000 bytes, is kept: the same"):
        download(found)
    (part,) = partial_files(tmp_path)
    assert part.read_bytes() == CONTENT[:1000]


def test_what_arrives_damaged_is_removed_and_not_used(hub: HubServer, tmp_path: Path) -> None:
    hub.etags[f"{REPOSITORY}/{FILE.path}"] = "0" * 64
    with pytest.raises(DownloadError, match=r"expected SHA-256 0{12}\.\.\., found") as raised:
        download(source())
    assert "it was removed, try again" in str(raised.value)
    assert huggingface_hub.try_to_load_from_cache(REPOSITORY, FILE.path) is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]


def test_a_file_that_was_replaced_upstream_is_not_fetched(hub: HubServer) -> None:
    with pytest.raises(DownloadError, match="expected 7 bytes, but the repository has 3000000"):
        source(size_bytes=7)
    with pytest.raises(DownloadError, match=r"expected 111.* SHA-256, but the repository has"):
        source(sha256="1" * 64)
    assert not hub.content_requests()


def test_too_little_room_is_said_before(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_preset(tmp_path)
    plan = plan_pull(["mine"], ModelStore())
    check_disk(plan)

    def almost_full(folder: Path) -> Any:
        return type("Usage", (), {"free": 1_000_000})

    monkeypatch.setattr("shutil.disk_usage", almost_full)
    with pytest.raises(DownloadError, match="has 1 MB free, but 3 MB are needed; make room"):
        check_disk(plan)
    assert not hub.content_requests()


def test_a_disk_that_gets_full_keeps_what_is_there(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_a_full_disk(chunks: Iterator[bytes], file: Any, *_: Any) -> None:
        file.write(b"".join(chunks)[:1_000_000])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(resumable_download, "_write", on_a_full_disk)
        with pytest.raises(DownloadError, match=r"No space left on device; make room: what has"):
            download(source())
    assert huggingface_hub.try_to_load_from_cache(REPOSITORY, FILE.path) is None
    assert download(source()).read_bytes() == CONTENT
    assert hub.content_requests()[-1].range == "bytes=1000000-"


def test_two_processes_do_not_write_the_same_file(hub: HubServer, tmp_path: Path) -> None:
    from filelock import FileLock

    target = tmp_path / "x"
    with (
        FileLock(f"{target}{PART_SUFFIX}.lock"),
        pytest.raises(DownloadError, match="another process is downloading this file"),
    ):
        download_file(f"{hub.url}/plain/x", target)


@pytest.mark.parametrize("revision", ["f" * 40, commit_of(REPOSITORY), "main"])
def test_a_revision_that_is_gone_is_no_matter_where_the_hash_is_known(
    hub: HubServer, revision: str
) -> None:
    file = replace(FILE, revision=revision, sha256=SHA256)
    assert download(find_source(file, load_registry())).read_bytes() == CONTENT
    assert ModelStore().find(file).path is not None
    with pytest.raises(DownloadError, match="expected 111"):
        source(revision=revision, sha256="1" * 64)


def test_what_is_there_in_the_newest_revision_is_not_fetched_again(hub: HubServer) -> None:
    path = download(source())
    assert ModelStore().find(replace(FILE, revision="f" * 40, sha256=SHA256)).path == path
    assert ModelStore().find(replace(FILE, revision="f" * 40)).path is None


def test_gated_with_nothing_open(hub: HubServer) -> None:
    hub.gated.add(REPOSITORY)
    with pytest.raises(DownloadError, match=r"accept them at https://huggingface.co/somebody/mod"):
        source()
    with pytest.raises(DownloadError, match="set HF_TOKEN"):
        source(gated=True)


def test_a_token_opens_it_and_stays_with_the_hub(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated.add(REPOSITORY)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert download(source(gated=True)).read_bytes() == CONTENT
    assert {request.authorization for request in hub.content_requests()} == {""}


@pytest.mark.parametrize("state", ["no token", "closed", "open"])
def test_a_gated_file_comes_from_its_open_home_unless_there_is_access(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    registry = load_registry()
    official, mirror, _ = registry.homes(registry.files["flux-ae"])
    gated, free = (
        replace(official, size_bytes=0, sha256=""),
        replace(mirror, size_bytes=0, sha256=""),
    )
    registry = replace(registry, files={**registry.files, gated.key: gated, free.key: free})
    hub.add(f"{official.repository}/{official.path}", b"official")
    hub.add(f"{mirror.repository}/{mirror.path}", b"mirror")
    hub.gated.add(official.repository)
    if state != "no token":
        monkeypatch.setenv("HF_TOKEN", TOKEN)
    if state == "closed":
        hub.closed.add(official.repository)
    found = find_source(gated, registry)
    assert download(found).read_bytes() == (b"official" if state == "open" else b"mirror")
    assert bool(found.note) == (state == "closed")


def test_where_a_home_is_gone_the_next_is_taken(hub: HubServer) -> None:
    registry = load_registry()
    _, gone, last = (
        replace(home, size_bytes=0, sha256="") for home in registry.homes(registry.files["flux-ae"])
    )
    registry = replace(registry, files={**registry.files, gone.key: gone, last.key: last})
    hub.add(f"{last.repository}/{last.path}", b"autoencoder")
    found = find_source(gone, registry)
    assert download(found).read_bytes() == b"autoencoder"
    assert gone.repository in found.note
    assert found.note.endswith(f"taken from {last.repository}")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "y"}, "the repository has no such file"),
        ({"revision": "v2"}, "the repository has no revision v2"),
        ({"repository": "nobody/nothing"}, "no such repository, or it is not open to you"),
    ],
)
def test_what_is_not_there_is_said(hub: HubServer, changes: dict[str, str], message: str) -> None:
    with pytest.raises(DownloadError, match=message):
        source(**changes)


def test_a_hub_in_trouble(hub: HubServer) -> None:
    hub.statuses.append(500)
    with pytest.raises(DownloadError, match=r"answered 500; try again later, or name a mirror"):
        source()


def test_no_network(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    template = nowhere + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    with pytest.raises(
        DownloadError, match=r"cannot reach http://127.0.0.1:9 \(.+\); check the ne"
    ):
        source()


def test_something_else_than_a_hub(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    template = hub.url + "/content/{repo_id}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    with pytest.raises(DownloadError, match="does not answer as the hub does; check HF_ENDPOINT"):
        source()


def test_offline_mode(hub: HubServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_preset(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE is set; unset it, or name a folder"):
        plan_pull(["mine"], ModelStore())
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE is set"):
        download_file(f"{hub.url}/plain/x", tmp_path / "x")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    path = download(plan_pull(["mine"], ModelStore()).missing[0])
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    plan = plan_pull(["mine"], ModelStore())
    assert [found.path for found in plan.there] == [path]
    assert not plan.missing
    assert resolve_preset("mine").context == {"vae_path": path}


def test_a_file_from_a_plain_address(hub: HubServer) -> None:
    digest = hub.add("plain/parsing.pth", CONTENT)
    file = RegistryFile("y", "parsing", url=f"{hub.url}/plain/parsing.pth", sha256=digest)
    hub.cuts.append(1_000_000)
    path = download(find_source(file, load_registry()))
    assert path == downloads_folder() / "parsing.pth"
    assert path.read_bytes() == CONTENT
    assert [request.range for request in hub.content_requests()] == ["", "bytes=1000000-"]
    assert ModelStore().find(file).path == path
    assert check_file(ModelStore().find(file)).state == "ok"


@pytest.mark.parametrize(
    ("status", "message"),
    [(404, "answered 404; the file is not there any more"), (403, "answered 403; it may need a")],
)
def test_a_plain_address_in_trouble(
    hub: HubServer, tmp_path: Path, status: int, message: str
) -> None:
    hub.statuses.append(status)
    with pytest.raises(DownloadError, match=message):
        download_file(f"{hub.url}/plain/x", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_server_that_is_busy_is_asked_again(hub: HubServer, tmp_path: Path) -> None:
    hub.add("plain/x", CONTENT)
    hub.statuses += [503, 429, 500]
    download_file(f"{hub.url}/plain/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT
    hub.statuses += [503] * 5
    with pytest.raises(DownloadError, match=r"failed 5 times \(the server answered 503\)"):
        download_file(f"{hub.url}/plain/x", tmp_path / "y")


@pytest.mark.parametrize("left", [4_000_000, 3_000_000], ids=["too long", "as long"])
def test_what_was_left_of_another_file_does_no_harm(
    hub: HubServer, tmp_path: Path, left: int
) -> None:
    digest = hub.add("plain/x", CONTENT)
    target = tmp_path / "x"
    (tmp_path / f"x{PART_SUFFIX}").write_bytes(bytes(left))

    def fetch() -> None:
        download_file(f"{hub.url}/plain/x", target, size_bytes=len(CONTENT), sha256=digest)

    if left == len(CONTENT):
        with pytest.raises(DownloadError, match="it was removed, try again"):
            fetch()
    fetch()
    assert target.read_bytes() == CONTENT


def test_a_part_that_is_longer_than_an_unknown_size_begins_anew(
    hub: HubServer, tmp_path: Path
) -> None:
    hub.add("plain/x", CONTENT)
    (tmp_path / f"x{PART_SUFFIX}").write_bytes(bytes(4_000_000))
    download_file(f"{hub.url}/plain/x", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == CONTENT


NO_LENGTH = {"Content-Length": ""}


@pytest.mark.parametrize("headers", [NO_LENGTH, {"Content-Length": "99000000"}])
@pytest.mark.parametrize("with_hash", [False, True])
def test_no_more_is_written_than_the_file_can_have(
    hub: HubServer, tmp_path: Path, headers: dict[str, str], with_hash: bool
) -> None:
    digest = hub.add("plain/x.gguf", b"GGUF")
    hub.content_headers, hub.is_endless = headers, True
    with pytest.raises(DownloadError, match=r"expected 1000 bytes, (and more are|but the serv)"):
        download_file(
            f"{hub.url}/plain/x.gguf", tmp_path / "x.gguf", size_bytes=1000,
            sha256=digest if with_hash else "",
        )  # fmt: skip
    assert hub.zeros < 50_000_000  # what was on its way
    assert not [path for path in tmp_path.iterdir() if path.stat().st_size > 1000]


def test_a_file_of_unknown_size_is_refused(hub: HubServer, tmp_path: Path) -> None:
    """Nothing tells that one from a body that was cut."""
    hub.add("plain/x.gguf", b"GGUF" + CONTENT)
    hub.content_headers = NO_LENGTH
    hub.cuts.append(1_000_000)
    with pytest.raises(DownloadError, match="does not say how large the file is"):
        download_file(f"{hub.url}/plain/x.gguf", tmp_path / "x.gguf")
    hub.cuts.clear()
    hub.content_headers = {}
    download_file(f"{hub.url}/plain/x.gguf", tmp_path / "x.gguf")
    assert (tmp_path / "x.gguf").read_bytes() == b"GGUF" + CONTENT


@pytest.mark.parametrize(
    "content_range",
    ["", "bytes 0-2999999/3000000", "bytes 999999-2999999/3000000", "bytes 1000000-", "1000000"],
)
def test_another_part_than_the_one_asked_for_is_not_put_behind(
    hub: HubServer, tmp_path: Path, content_range: str
) -> None:
    digest = hub.add("plain/x", CONTENT)
    (tmp_path / f"x{PART_SUFFIX}").write_bytes(CONTENT[:1_000_000])
    hub.content_headers = {"Content-Range": content_range}
    download_file(f"{hub.url}/plain/x", tmp_path / "x", sha256=digest)
    assert (tmp_path / "x").read_bytes() == CONTENT
    assert [request.range for request in hub.content_requests()] == ["bytes=1000000-", ""]


def test_nor_is_a_part_of_a_file_of_another_size(hub: HubServer, tmp_path: Path) -> None:
    digest = hub.add("plain/x", CONTENT)
    (tmp_path / f"x{PART_SUFFIX}").write_bytes(CONTENT[:1_000_000])
    hub.content_headers = {"Content-Range": "bytes 1000000-3999999/4000000"}
    with pytest.raises(DownloadError, match="expected 3000000 bytes, but the server has 4000000"):
        download_file(f"{hub.url}/plain/x", tmp_path / "x", size_bytes=len(CONTENT), sha256=digest)


@pytest.mark.parametrize("mark", ["ETag", "Last-Modified", ""])
def test_without_a_hash_only_the_servers_own_mark_lets_a_part_be_gone_on_with(
    hub: HubServer, tmp_path: Path, mark: str
) -> None:
    content = b"GGUF" + CONTENT
    hub.add("plain/x.gguf", content)
    url, target = f"{hub.url}/plain/x.gguf", tmp_path / "x.gguf"
    part = tmp_path / f"x.gguf{PART_SUFFIX}"
    part.write_bytes(bytes(1_000_000))  # of nobody knows what
    hub.content_headers = {mark: '"1"'} if mark else {}
    hub.cuts += [2_000_000, *[NOTHING] * 5]
    with pytest.raises(DownloadError, match="failed 5 times"):
        download_file(url, target)
    download_file(url, target)
    assert target.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["x.gguf"]
    ranges = [request.range for request in hub.content_requests()]
    assert ranges[0] == ""
    assert ranges[-1] == ("bytes=2000000-" if mark else "")


@pytest.mark.parametrize("knows_if_range", [True, False])
def test_nor_a_part_of_what_the_file_was_before(
    hub: HubServer, tmp_path: Path, knows_if_range: bool
) -> None:
    hub.add("plain/x.gguf", b"GGUF" + bytes(3_000_000))
    url, target = f"{hub.url}/plain/x.gguf", tmp_path / "x.gguf"
    hub.content_headers = {"ETag": '"1"'}
    hub.cuts += [2_000_000, *[NOTHING] * 5]
    with pytest.raises(DownloadError, match="failed 5 times"):
        download_file(url, target)
    hub.add("plain/x.gguf", b"GGUF" + CONTENT)
    hub.content_headers = {"ETag": '"2"'}
    hub.knows_if_range = knows_if_range
    download_file(url, target)
    assert target.read_bytes() == b"GGUF" + CONTENT


PAGE = b"\n<!DOCTYPE html><html><body>log in first</body></html>"
SAFETENSORS = b"\x20\0\0\0\0\0\0\0{" + bytes(99)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("x.gguf", PAGE, "expected a gguf file, got an HTML page"),
        ("x.gguf", SAFETENSORS, "expected a gguf file, got a safetensors file"),
        ("x.safetensors", PAGE, "expected a safetensors file, got an HTML page"),
        ("x.SFT", b"GGUF", "expected a safetensors file, got a gguf file"),
        ("x.pth", b"version https://git-lfs.github.com/spec/v1", "expected a torch.*Git LFS"),
        ("x.onnx", b"404: Not Found", "expected an ONNX model, got a text file"),
        ("x.bin", PAGE, "expected a torch checkpoint"),
        ("x", PAGE, "expected a model file, got an HTML page"),
        ("x.gguf", b"GGUF", ""),
        ("x.safetensors", SAFETENSORS, ""),
        ("x.pt", b"PK\3\4" + bytes(99), ""),
        ("x.ckpt", b"\x80\2" + bytes(99), ""),
        ("x", b"anything", ""),
    ],
)
def test_without_a_hash_it_must_begin_as_its_kind_does(
    hub: HubServer, tmp_path: Path, name: str, content: bytes, found: str
) -> None:
    digest = hub.add(f"plain/{name}", content)
    url, target = f"{hub.url}/plain/{name}", tmp_path / name
    if found:
        with pytest.raises(DownloadError, match=found):
            download_file(url, target)
        assert not [path for path in tmp_path.iterdir() if path.name.endswith("incomplete")]
    else:
        download_file(url, target)
    download_file(url, target, sha256=digest)
    assert target.read_bytes() == content


def test_a_server_that_always_ends_early_is_given_up_without_its_mark(
    hub: HubServer, tmp_path: Path
) -> None:
    hub.add("plain/x.bin", CONTENT)  # no hash is known, so each go begins at 0 again
    hub.cuts += [1000] * 50
    with pytest.raises(DownloadError, match="failed 5 times"):
        download_file(f"{hub.url}/plain/x.bin", tmp_path / "x.bin", size_bytes=len(CONTENT))
    assert len(hub.content_requests()) == 6


def test_a_folder_that_cannot_be_written(hub: HubServer, tmp_path: Path) -> None:
    (tmp_path / "hub").write_text("a file in its place")
    with pytest.raises(DownloadError, match=r"cannot write .*hub"):
        download(source())


def test_a_damaged_file_in_the_cache_is_found(hub: HubServer) -> None:
    path = download(source())
    found = ModelStore().find(FILE)
    assert check_file(found).state == "ok"
    damaged = bytearray(CONTENT)
    damaged[1000] ^= 1
    Path(os.path.realpath(path)).write_bytes(damaged)
    checked = check_file(found)
    assert checked.state == "wrong"
    assert "damaged, or another file" in checked.problem


def write_preset(tmp_path: Path, text: str = "") -> None:
    """A config file with a preset "mine" of the one file, or with what is given."""
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "config.toml").write_text(
        text
        or f"""
        [files.x]
        role = "vae"
        repository = "{REPOSITORY}"
        path = "{FILE.path}"
        [presets.mine]
        files.vae = "x"
        """,
        encoding="utf-8",
    )


@pytest.mark.engine
def test_what_was_pulled_makes_a_picture(hub: HubServer, tmp_path: Path) -> None:
    files = pocket_files()
    lines = ["[presets.mine]", "settings = { steps = 1, width = 128, height = 128 }"]
    roles = {"diffusion_model": files.diffusion_model, "taesd": files.taesd, "clip_l": files.clip_l}
    lines += [f'files.{role} = "my-{role}"' for role in roles]
    for role, path in roles.items():
        hub.add(f"me/pocket/{path.name}", path.read_bytes())
        lines += [f"[files.my-{role}]", f"role = '{role}'", "repository = 'me/pocket'"]
        lines += [f"path = '{path.name}'"]
    write_preset(tmp_path, "\n".join(lines))
    with pytest.raises(ModelFileError, match="pulid-sdcpp models pull mine"):
        resolve_preset("mine")
    for missing in plan_pull(["mine"], ModelStore()).missing:
        download(missing)
    found = resolve_preset("mine")
    with StableDiffusion(**found.context) as engine:
        (picture,) = engine.generate_image("a portrait", sample_steps=1, width=128, height=128)
    assert picture.size == (128, 128)


def test_the_environment_is_respected(hub: HubServer, tmp_path: Path) -> None:
    """In a process of its own: huggingface_hub reads its variables when it is imported."""
    write_preset(tmp_path)
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "0",
    }

    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "pulid_sdcpp", "models", *arguments],
            env={**environment, **changes}, capture_output=True, text=True, check=False,
        )  # fmt: skip

    offline = run("pull", "mine", "--yes", HF_HUB_OFFLINE="1")
    assert offline.returncode == 1
    assert offline.stderr.splitlines()[-1].startswith("error: somebody/models: folder/x.safetenso")
    done = run("pull", "mine", "--yes", "--accept-licenses")
    assert done.returncode == 0, done.stderr
    repository = tmp_path / "home" / "hub" / "models--somebody--models"
    path = repository / "snapshots" / commit_of(REPOSITORY) / FILE.path
    assert path.read_bytes() == CONTENT
    there = run("where", "mine", HF_HUB_OFFLINE="1")
    assert there.stdout.split() == ["vae", str(path)]


def test_nothing_is_asked_of_the_network_without_need(hub: HubServer, tmp_path: Path) -> None:
    write_preset(tmp_path)
    ModelStore().find(FILE)
    with pytest.raises(ModelFileError):
        resolve_preset("mine")
    assert not hub.requests
