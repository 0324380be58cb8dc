"""Digests on users' disks and in their pictures: another value would orphan what is there."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from file_drafts import write_pulid_weights
from pulid_sdcpp.batch.job import BatchJob
from pulid_sdcpp.batch.key import JobKeys
from pulid_sdcpp.extraction.enrolment import Enroller
from pulid_sdcpp.families.flux.pulid_weights import PulidWeights
from pulid_sdcpp.families.sdxl.pulid_weights import SdxlPulidWeights
from pulid_sdcpp.folding.cache import FoldingCache
from pulid_sdcpp.identity.identity_file import Identity
from pulid_sdcpp.identity.store import keep_identity
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.people.person import Person
from pulid_sdcpp.people.person_spec import PersonSpec
from pulid_sdcpp.people.region import Region
from pulid_sdcpp.pictures.people_text import describe_people
from standin.unet_pulid_file import write_few_unet_layers

ROOT = Path(__file__).resolve().parents[2]
SETTLED = (10**18, 10**18)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PULID_SDCPP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def alice() -> Identity:
    tokens = np.arange(1, 1 + 2 * 32 * 64).reshape(2, 32, 64) / 1000
    return Identity.from_array(*tokens, extractor_version="1", face_box=(1.0, 2.0, 3.5, 4.0))


def test_of_an_identity_in_a_picture_and_in_the_store(alice: Identity, cache: Path) -> None:
    assert alice.sha256 == "72e76ddc6bfc5d1f8589925ddea60767304c890159c3c5e3d892dbe9cb0c5d9d"
    assert describe_people([Person(alice)], "", True)["PuLID numbers"] == "dddf955a75"
    assert describe_people([Person(alice)], "", False)["PuLID numbers"] == "7bec6ea05a"
    keep_identity(alice)
    (kept,) = (cache / "identities").iterdir()
    assert kept.name == "72e76ddc6b-047a3864cada3821876f3b0fe3b754a5.pulidembd"
    assert (
        Identity.load(kept).metadata["cache_checksum"]
        == "827133af5bc873fe6ae60fe7f7c04623d7b342a39fd1dba56dadcff0299b2f28"
    )


class Extractor:
    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def extract(self, photo: Any, **options: Any) -> Identity:
        return self._identity


def test_of_a_photo_in_the_store(
    alice: Identity, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulid_sdcpp.extraction.enrolment.package_version", lambda: "0.1.0")
    roles = ("pulid_weights", "eva", "parsing", "detector", "recogniser")
    files = {role: tmp_path / role for role in roles}
    for role, path in files.items():
        path.write_text(role)
    photo = tmp_path / "a.png"
    Image.new("RGB", (64, 64), (1, 2, 3)).save(photo)
    Enroller(files, create_extractor=lambda **_: Extractor(alice)).enroll(photo)
    names = [path.name for path in (cache / "identities").iterdir()]
    assert names == ["72e76ddc6b-65fb9d243282acf4b03859c9a1c3a932.pulidembd"]


def test_of_a_folded_identity(alice: Identity, tmp_path: Path) -> None:
    weights = write_pulid_weights(tmp_path / "pulid.safetensors")
    os.utime(weights, ns=SETTLED)
    with PulidWeights(weights) as opened:
        for _ in FoldingCache(opened, 1 << 30, tmp_path / "folded").fold(alice.tokens):
            pass
    (folded,) = (tmp_path / "folded").glob("*.folded")
    assert folded.stem == "3199c0eabb4d0220c54452b965fb21e5ea1d2ae66577c257f735fd90793b3f04"
    (record,) = (tmp_path / "folded").glob("*.json")
    path = os.path.realpath(weights)
    assert record.stem == f"weights-{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"
    assert set(json.loads(record.read_text())) == {"version", "path", "stamp", "sha256"}


def test_of_an_identity_folded_for_sdxl(alice: Identity, tmp_path: Path) -> None:
    weights = write_few_unet_layers(tmp_path / "pulid_sdxl.safetensors")
    with SdxlPulidWeights(weights) as opened:
        for _ in FoldingCache(opened, 1 << 30, tmp_path / "folded").fold(alice.tokens):
            pass
    (folded,) = (tmp_path / "folded").glob("*.folded")
    assert folded.stem == "2f781f9cb00114cd172e4d27797d4d8d979ad0013e32841226cfced969730117"


def test_of_a_batch_s_pictures(alice: Identity, tmp_path: Path) -> None:
    for name in ("flux.gguf", "clip_l.gguf", "taesd.gguf", "pulid.safetensors"):
        (tmp_path / name).write_bytes(name.encode())
        os.utime(tmp_path / name, ns=SETTLED)
    for name in ("photo.png", "mask.png"):
        Image.new("RGB", (64, 64), (200, 2, 3)).save(tmp_path / name, compress_level=0)
    alice.save(tmp_path / "alice.pulidembd")
    context = ContextOptions(
        diffusion_model_path=tmp_path / "flux.gguf",
        clip_l_path=tmp_path / "clip_l.gguf",
        taesd_path=tmp_path / "taesd.gguf",
        pulid_weights=tmp_path / "pulid.safetensors",
        n_threads=3,
    )
    people = (
        PersonSpec(
            "Alice", (tmp_path / "alice.pulidembd",), weight=0.8, start_step=1,
            region=Region(box=(0, 0, 0.5, 1)),
        ),
        PersonSpec(
            "Bob", (tmp_path / "photo.png", tmp_path / "photo.png"),
            end_step=0.9, region=Region(mask=tmp_path / "mask.png"),
        ),
    )  # fmt: skip
    job = BatchJob(
        "jobs.toml, job 1", "a.png", "two people", "two", 7, people, {"steps": 6, "width": 128}, 2
    )
    keys = JobKeys(context, {"height": 128}, {"eva": tmp_path / "pulid.safetensors"})
    key = keys.key(job)
    assert key.now == "92e86c505e5a1675103853fedd673b64aa6c8e1d4e11b099ffbfb3a924b7a4fe"
    assert key.former == "496c96e95bdfbf143e1af1874d930cd9648966e9a9f9eff0e247b2ddb27ba3b4"


def test_loggers_and_environment_variables_keep_their_names() -> None:
    loggers, variables = set(), set()
    for path in [*ROOT.glob("pulid_sdcpp/**/*.py"), *ROOT.glob("extractor/**/*.py"),
                 *ROOT.glob("native/*.py")]:  # fmt: skip
        text = path.read_text(encoding="utf-8")
        loggers |= set(re.findall(r"getLogger\(\"([\w.]+)\"\)", text))
        variables |= set(re.findall(r"PULID_SDCPP_[A-Z_]+[A-Z]", text))
    assert loggers == {
        "PIL", "pulid_extractor", "pulid_sdcpp", "pulid_sdcpp.engine", "pulid_sdcpp.folding_cache",
        "pulid_sdcpp.identity_store", "pulid_sdcpp.kept_people", "pulid_sdcpp.mask_image",
        "pulid_sdcpp.model_store", "pulid_sdcpp.page", "pulid_sdcpp.photos", "pulid_sdcpp.server",
        "pulid_sdcpp.server.asked", "pulid_sdcpp.server.engine", "pulid_sdcpp.server.requests",
        "pulid_sdcpp.server.worker", "python_multipart",
    }  # fmt: skip
    assert variables == {
        "PULID_SDCPP_API_KEY", "PULID_SDCPP_CACHE", "PULID_SDCPP_COMPLETE", "PULID_SDCPP_CONFIG",
        "PULID_SDCPP_CPU_KERNELS", "PULID_SDCPP_DATA", "PULID_SDCPP_ENGINE_SDIST",
        "PULID_SDCPP_FOLD_CACHE_MB", "PULID_SDCPP_LIBRARY",
    }  # fmt: skip
