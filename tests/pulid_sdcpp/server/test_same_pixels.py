"""The picture of every family is that of `PulidFlux`, and `generate --from` makes it again."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from pulid_sdcpp import PulidFlux, pocket_files
from pulid_sdcpp.cli import main
from pulid_sdcpp.pocket.pack import MANIFEST_NAME, PACK_FOLDER
from served import served

pytestmark = [
    pytest.mark.engine,
    pytest.mark.extract,
    pytest.mark.skipif(
        not (PACK_FOLDER / MANIFEST_NAME).is_file()
        and os.environ.get("PULID_REQUIRE_POCKET") != "1",
        reason="the pocket model is not in this folder",
    ),
]

SIDE, STEPS, SEED, WEIGHT = 64, 2, 11, 0.9
PROMPT = "a person with a hat"


async def by_sdcpp(client: Any, photo: str) -> bytes:
    body = {"prompt": PROMPT, "width": SIDE, "height": SIDE, "seed": SEED}
    body |= {
        "sample_params": {"sample_steps": STEPS},
        "people": [{"photo": photo, "weight": WEIGHT}],
    }
    answer = await client.post("/sdcpp/v1/img_gen", json=body)
    path = answer.json()["poll_url"]
    await client.get(f"{path}/events")
    return base64.b64decode((await client.get(path)).json()["result"]["images"][0]["b64_json"])


async def by_openai(client: Any, photo: str) -> bytes:
    body = {"prompt": PROMPT, "size": f"{SIDE}x{SIDE}", "response_format": "b64_json"}
    body |= {"photo": photo, "id_weight": WEIGHT, "seed": SEED, "steps": STEPS}
    answer = await client.post("/v1/images/generations", json=body)
    return base64.b64decode(answer.json()["data"][0]["b64_json"])


async def by_sdapi(client: Any, photo: str) -> bytes:
    unit = {"module": "pulid", "image": photo, "weight": WEIGHT}
    body = {"prompt": PROMPT, "width": SIDE, "height": SIDE, "steps": STEPS, "seed": SEED}
    body |= {"cfg_scale": 7, "alwayson_scripts": {"ControlNet": {"args": [unit]}}}
    answer = await client.post("/sdapi/v1/txt2img", json=body)
    return base64.b64decode(answer.json()["images"][0])


FAMILIES = (by_sdcpp, by_openai)


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


async def made_by_families(folder: Path, photo: bytes) -> list[bytes]:
    text = base64.b64encode(photo).decode()
    async with served(folder, pocket=True) as (client, _):
        return [await family(client, text) for family in FAMILIES]


def test_same_pixels_and_made_again(tmp_path: Path) -> None:
    import asyncio

    photo = pocket_files().portraits[0].read_bytes()
    pictures = asyncio.run(asyncio.wait_for(made_by_families(tmp_path / "data", photo), 120))
    with PulidFlux.from_preset("pocket") as pipeline:
        person = pipeline.enroll(photo)
        options: Any = {"width": SIDE, "height": SIDE, "steps": STEPS, "seed": SEED}
        expected = pipeline.generate(PROMPT, person, weight=WEIGHT, **options)
        nobody = pipeline.generate(PROMPT, **options)
    assert (np.asarray(expected.image) != np.asarray(nobody.image)).any()
    for picture in pictures:
        assert np.array_equal(pixels(picture), np.asarray(expected.image))
    (tmp_path / "made.png").write_bytes(pictures[0])
    again = tmp_path / "again.png"
    result = CliRunner().invoke(
        main, ["generate", "--from", str(tmp_path / "made.png"), "-o", str(again)]
    )
    assert result.exit_code == 0, result.output
    assert again.read_bytes() == pictures[0]
