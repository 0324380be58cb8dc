"""The two spellings of PuLID's weights for SDXL."""

from __future__ import annotations

import re

import pytest

from pulid_sdcpp.tensors.sdxl_pulid_names import (
    PUBLISHED_FORM,
    RENAMED_FORM,
    original_names,
    renamed,
    weights_version,
)

PAIRS = {
    "id_adapter.body.0.weight": "image_proj.body.0.weight",
    "id_adapter.latents": "image_proj.latents",
    "id_adapter.layers.9.0.to_kv.weight": "image_proj.layers.9.0.to_kv.weight",
    "id_adapter_attn_layers.1.id_to_k.weight": "ip_adapter.1.to_k_ip.weight",
    "id_adapter_attn_layers.139.id_to_v.weight": "ip_adapter.139.to_v_ip.weight",
}


@pytest.mark.parametrize(("original", "other"), PAIRS.items())
def test_both_spellings_have_one_published_name(original, other):
    assert renamed(original) == other
    assert original_names([other]) == {original: other}
    assert original_names([original]) == {original: original}


def test_other_names_stay_and_what_pulid_lacks_is_kept():
    assert renamed("model.x") == "model.x"
    assert list(original_names(["model.x", "ip_adapter.1.to_k_ip.bias"])) == [
        "model.x",
        "id_adapter_attn_layers.1.to_k_ip.bias",
    ]


@pytest.mark.parametrize(
    ("names", "version"),
    [
        (["id_adapter.body.0.weight"], "v1"),
        (["id_adapter.latents"], "v1.1"),
        (["id_adapter_attn_layers.1.id_to_k.weight"], None),
        (["id_adapter.latents", "id_adapter.body.0.weight"], None),
    ],
)
def test_the_version_is_told_by_the_encoder(names, version):
    assert weights_version(names) == version


@pytest.mark.parametrize(
    ("name", "is_pulid"),
    [
        ("image_proj.body.0.weight", True),
        ("image_proj.mapping_0.0.weight", True),
        ("image_proj.id_embedding_mapping.0.weight", True),
        ("image_proj.latents", False),  # of an IP-Adapter Plus
        ("image_proj.proj.weight", False),  # of an IP-Adapter
        ("ip_adapter.1.to_k_ip.weight", False),  # of either
    ],
)
def test_ip_adapters_are_not_taken_for_pulid(name, is_pulid):
    assert bool(re.search(RENAMED_FORM, name)) is is_pulid
    assert not re.search(PUBLISHED_FORM, name)
