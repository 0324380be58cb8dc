"""Names and hashes of the models' files, for A1111's clients."""

from __future__ import annotations

import os
from pathlib import Path

from pulid_sdcpp.server.library.served_models import FRESH_S, ServedModels
from pulid_sdcpp.server.sdapi.lists import SdapiModel
from pulid_sdcpp.server.sdapi.models import SdapiModels
from pulid_sdcpp.system.file_hash import records_folder, remembered_sha256


def test_the_pocket_model_has_its_files_names() -> None:
    models = SdapiModels(ServedModels("pocket"))
    assert [model.name for model in models.all()] == ["pocket", "pocket-sdxl"]
    for pocket in models.all():
        assert pocket.file_name.endswith(".gguf")
        assert not {"/", "\\"} & set(pocket.file_name + pocket.vae)
        assert models.of(pocket.name) == pocket
    assert models.of("another") == SdapiModel("another")


def test_a_model_of_its_files_and_its_hash_as_soon_as_it_is_known(tmp_path: Path) -> None:
    file = tmp_path / "my flux.gguf"
    file.write_bytes(b"GGUF")
    now = 0.0
    served = ServedModels("", {"diffusion_model_path": file, "vae_path": tmp_path / "ae.sft"})
    models = SdapiModels(served, clock=lambda: now)
    assert models.all() == [SdapiModel("my flux", "my flux.gguf", None, "ae.sft")]
    sha256 = "ab" * 32
    os.utime(file, (1, 1))  # a file that has just changed is not remembered
    remembered_sha256(file, records_folder(), lambda: sha256)
    assert models.all()[0].sha256 is None
    now += FRESH_S
    assert models.all()[0].sha256 == sha256
    models.refresh()
    assert models.of("my flux").hash == "ab" * 5
