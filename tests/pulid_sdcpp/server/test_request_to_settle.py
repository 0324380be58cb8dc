"""A client's body with real pictures ends as the `GenerateRequest` that it means."""

import base64
import io
from pathlib import Path

from PIL import Image

from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.request.generate_request import settle
from pulid_sdcpp.server.engine.job_paths import given_in
from pulid_sdcpp.server.limits import Limits
from pulid_sdcpp.server.request.normal_request import normalised
from pulid_sdcpp.server.request.request_files import RequestFiles
from pulid_sdcpp.server.request.request_forms import given_of
from server_requests import MODELS


def picture(colour: str, width: int = 64, height: int = 48) -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_from_body_to_settled_request(tmp_path: Path):
    read = RequestFiles(Limits())
    body = {
        "prompt": "two people",
        "num_steps": 6,
        "seed": -1,
        "n": 2,
        "init_image": picture("red", 70, 50),
        "mask_image": picture("white", 70, 50),
        "vae_tile_size": [32, 32],
        "people": [
            {"photo": picture("green"), "face": [1, 2, 30, 40], "start_step": "20%"},
            {"identity": "alice", "region": {"mask": picture("white")}, "weight": 0.9},
        ],
    }
    request = normalised(
        body, models=MODELS, default_model="flux-dev", readers=read.readers, limits=Limits()
    )
    assert {one.sha256 for one in request.kept} == set(read.contents)
    names = {}
    for sha256, content in read.contents.items():
        names[sha256] = f"{sha256}.png"
        (tmp_path / names[sha256]).write_bytes(content)
    (tmp_path / "alice.pulidembd").write_bytes(b"")
    given = given_in(tmp_path, given_of(request, names, {"alice": "alice.pulidembd"}))
    settled = settle(given, context=ContextOptions(model_path="flux.gguf", vae_decode_only=False))
    assert settled.generation.seeds == request.seeds
    assert settled.generation.steps == 6
    assert (settled.generation.width, settled.generation.height) == (64, 48)
    assert settled.generation.vae_tile_size == (32, 32)
    first, second = settled.people
    assert (first.face, first.start_step) == ((1.0, 2.0, 30.0, 40.0), 0.2)
    assert first.files[0].parent == tmp_path
    assert (second.name, second.weight) == ("alice", 0.9)
    assert second.region is not None
    assert Path(str(second.region.mask)).is_file()
