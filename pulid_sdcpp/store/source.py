"""What a file's home says of it, before it is fetched; and why it cannot be had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import DownloadError
from ..system.file_hash import is_sha256
from .registry import NEWEST, Registry, RegistryFile
from .resumable_download import network_problem

__all__ = ["ModelSource", "Unreachable", "find_source"]


@dataclass(frozen=True)
class ModelSource:
    """Where a file can be had now.

    Attributes:
        file: The file, or the same one at another home.
        url: Where its bytes are.
        size_bytes: 0: its home does not say.
        sha256: "": neither its home nor the list says.
        commit: The repository's; "" for a plain URL.
        etag: The hub's name for the content; "" for a plain URL.
        headers: For requests to its host.
        note: What the user should know, such as that another home is taken.
    """

    file: RegistryFile
    url: str
    size_bytes: int
    sha256: str
    commit: str = ""
    etag: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    def after(self, problem: str) -> ModelSource:
        """The same, with a note of why another home was not taken; "": it is the first asked."""
        note = f"{problem}; taken from {self.file.repository}" if problem else ""
        return replace(self, note=note)

    @property
    def hub_folder(self) -> Path | None:
        """The repository's folder in the hub's cache."""
        if not self.file.repository:
            return None
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        name = repo_folder_name(repo_id=self.file.repository, repo_type="model")
        return Path(constants.HF_HUB_CACHE, name)


def find_source(file: RegistryFile, registry: Registry) -> ModelSource:
    """Ask a file's home for size and hash; nothing is downloaded.

    A file behind terms of use is taken from its open alternative, where it has one, unless the
    user is logged in and has access; so is one that its home does not have any more.

    Raises:
        DownloadError: It is not to be had: no network, no access, no such file; says what to do.
    """
    if not file.published:
        raise DownloadError(f"{file.path}: this is a file of your own, which is not published")
    if file.url:
        return ModelSource(file, file.url, file.size_bytes, file.sha256)
    homes = registry.homes(file)
    if file.gated and len(homes) > 1:
        from huggingface_hub import get_token

        if not get_token():
            homes = homes[1:]
    *others, last = homes
    problem = ""
    for home in others:
        try:
            return _ask_home(home).after(problem)
        except _NoAccess:
            problem = f"{home.repository} is closed to your login"
        except _NotThere:
            problem = f"{home.repository} does not have {home.path} any more"
    return _ask_home(last).after(problem)


class _NoAccess(DownloadError):
    """A repository that is behind terms, private, or not there."""


class Unreachable(DownloadError):
    """The network is off, or the hub cannot be reached."""


class _NotThere(DownloadError):
    """The repository has no such revision, or no such file in it."""


def _ask_home(file: RegistryFile) -> ModelSource:
    """Where the revision is gone, the newest will do that has the same bytes."""
    try:
        return _ask_hub(file)
    except _NotThere:
        if not file.sha256 or file.revision == NEWEST:
            raise
    return _ask_hub(replace(file, revision=NEWEST))


def _ask_hub(file: RegistryFile) -> ModelSource:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )
    from huggingface_hub.utils import build_hf_headers

    where = f"{file.repository}: {file.path}"
    url = hf_hub_url(file.repository, file.path, revision=file.revision)
    try:
        found = get_hf_file_metadata(url)
    except OfflineModeIsEnabled:
        raise Unreachable(
            f"{where} is not on this computer, and HF_HUB_OFFLINE is set; unset it, or name a "
            "folder that has the file"
        ) from None
    except GatedRepoError:
        raise _NoAccess(_gated(file)) from None
    except RepositoryNotFoundError:
        raise _NoAccess(
            f"{where}: there is no such repository, or it is not open to you; check the name, or "
            "set HF_TOKEN if it is private"
        ) from None
    except RevisionNotFoundError:
        raise _NotThere(
            f"{where}: the repository has no revision {file.revision}; name another one"
        ) from None
    except EntryNotFoundError:
        raise _NotThere(
            f"{where}: the repository has no such file (any more); update pulid-sdcpp, or name "
            "another in your config file"
        ) from None
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise _NoAccess(_gated(file)) from None
        raise DownloadError(
            f"{where}: {constants.ENDPOINT} answered {status}; try again later, or name a mirror "
            "in HF_ENDPOINT"
        ) from None
    except Exception as error:
        if not (problem := network_problem(error)):
            raise
        raise Unreachable(
            f"{where}: cannot reach {constants.ENDPOINT} ({problem}); check the network, or name a "
            "mirror in HF_ENDPOINT"
        ) from None
    etag = found.etag or ""
    if not etag or not found.commit_hash:
        raise DownloadError(
            f"{where}: {constants.ENDPOINT} does not answer as the hub does; check HF_ENDPOINT"
        )
    hub_sha256 = etag if is_sha256(etag) else ""
    size = found.size or 0
    for what, listed, now in (
        ("bytes", file.size_bytes, size),
        ("SHA-256", file.sha256, hub_sha256),
    ):
        if listed and now and listed != now:
            raise DownloadError(
                f"{where}: expected {listed} {what}, but the repository has {now}: the file was "
                "replaced; update pulid-sdcpp, or name another in your config file"
            )
    return ModelSource(
        file=file,
        url=url,
        size_bytes=size or file.size_bytes,
        sha256=hub_sha256 or file.sha256,
        commit=found.commit_hash,
        etag=etag,
        headers=build_hf_headers(),
    )


def _gated(file: RegistryFile) -> str:
    return (
        f"{file.repository}: {file.path} is behind terms of use: accept them at {file.home}, then "
        "set HF_TOKEN to a token of yours, or log in with 'hf auth login'"
    )
