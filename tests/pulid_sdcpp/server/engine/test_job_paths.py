"""A request's files are those of its job's folder, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pulid_sdcpp.people.region import Region
from pulid_sdcpp.server.engine.job_paths import file_in, given_in


def test_a_name_is_a_file_of_the_folder(tmp_path: Path) -> None:
    assert file_in(tmp_path, "inputs/a b.png") == tmp_path / "inputs" / "a b.png"


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "../a",
        "a/../b",
        "/etc/passwd",
        "a//b",
        "C:/a",
        "a\\b",
        "a\0b",
        "a\n",
        None,
        1,
    ],
)
def test_other_names_are_refused(tmp_path: Path, name: Any) -> None:
    with pytest.raises(ValueError, match="job's folder"):
        file_in(tmp_path, name)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    try:
        (folder / "inputs").symlink_to(tmp_path, target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    with pytest.raises(ValueError, match="leads out"):
        file_in(folder, "inputs/secret")


def test_everything_of_a_request_that_is_a_file_is_one_of_the_folder(tmp_path: Path) -> None:
    given = given_in(
        tmp_path,
        {
            "prompt": "p",
            "init_image": "i.png",
            "mask_image": None,
            "ref_images": ["r.png"],
            "vae_tile_size": [32, 32],
            "people": [
                {"name": "a", "files": ["p.jpg"], "face": [1, 2, 3, 4], "start_step": 0.5},
                {"identity": "x.pulidembd", "region": {"box": [0, 0, 0.5, 1]}},
                {"identity": "y.pulidembd", "region": {"mask": "m.png"}},
            ],
        },
    )
    assert given["init_image"] == tmp_path / "i.png"
    assert given["mask_image"] is None
    assert given["ref_images"] == [tmp_path / "r.png"]
    assert given["vae_tile_size"] == (32, 32)
    first, second, third = given["people"]
    assert first == {
        "name": "a", "files": (tmp_path / "p.jpg",), "face": (1, 2, 3, 4), "start_step": 0.5
    }  # fmt: skip
    assert isinstance(second["region"], Region)
    assert second["region"].box == (0, 0, 0.5, 1)
    assert third["region"].mask == tmp_path / "m.png"


@pytest.mark.parametrize(
    "request_",
    [
        {"init_image": "../x"},
        {"control_image": "/x"},
        {"ref_images": ["ok", "../x"]},
        {"people": [{"files": ["alice"]}, {"files": ["../alice"]}]},
        {"people": [{"identity": "/x"}]},
        {"people": [{"identity": "x", "region": {"mask": "../x"}}]},
    ],
)
def test_no_field_leads_out(tmp_path: Path, request_: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="job's folder"):
        given_in(tmp_path, request_)
