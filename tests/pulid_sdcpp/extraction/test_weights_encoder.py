"""Which encoder weights have, told without loading them."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from pulid_sdcpp.extraction.weights_encoder import encoder_of_weights
from pulid_sdcpp.tensors.sdxl_pulid_names import renamed

NAMES = {
    "flux": ("pulid_encoder.latents", "pulid_ca.0.to_q.weight"),
    "sdxl-v1": ("id_adapter.body.0.weight", "id_adapter_attn_layers.1.id_to_k.weight"),
    "sdxl-v1.1": ("id_adapter.latents", "id_adapter_attn_layers.1.id_to_k.weight"),
}
VALUE = np.ones((2, 2), np.float32)


@pytest.mark.parametrize("encoder", NAMES)
@pytest.mark.parametrize("form", ["published", "renamed", "pickled", "nested"])
def test_it_is_told_by_names(tmp_path: Path, encoder: str, form: str) -> None:
    path = tmp_path / "weights"
    tensors = {renamed(n) if form == "renamed" else n: VALUE for n in NAMES[encoder]}
    if form in ("pickled", "nested"):
        content = {name: torch.from_numpy(value) for name, value in tensors.items()}
        torch.save(content if form == "pickled" else {"state_dict": content}, path)
    else:
        save_file(tensors, path)
    assert encoder_of_weights(path) == encoder


def test_what_has_no_encoder_or_is_no_weights_has_none(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    assert encoder_of_weights(path) is None
    for content in (b"", b"PK", b"PK\x03\x04 and no more", b"GGUF", b"text"):
        path.write_bytes(content)
        assert encoder_of_weights(path) is None
    save_file({"id_adapter_attn_layers.1.id_to_k.weight": VALUE}, path)
    assert encoder_of_weights(path) is None
    save_file({name: VALUE for names in NAMES.values() for name in names}, path)
    assert encoder_of_weights(path) is None
    for inside in (b"", b"garbage", b"\x80\x02X\xff\xff\xff\x7f"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", inside)
        assert encoder_of_weights(path) is None
