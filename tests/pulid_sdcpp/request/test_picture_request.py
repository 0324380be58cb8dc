"""What a picture is asked for with: its images are read once, however they are given."""

from __future__ import annotations

import contextlib
import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from file_drafts import write_empty_safetensors, write_sdxl_pulid
from pulid_sdcpp import Identity, ImageFileError, ModelMismatchError, Person, Region
from pulid_sdcpp.families.sdxl.unet_shapes import UnetSizes, unet_tensor_shapes
from pulid_sdcpp.options.context import ContextOptions
from pulid_sdcpp.options.generation import GenerationOptions
from pulid_sdcpp.people import region_weights
from pulid_sdcpp.people.identity_use import identity_uses
from pulid_sdcpp.request import read_images as module
from pulid_sdcpp.request.picture_request import PictureRequest, read_request

CONTEXT = ContextOptions(
    diffusion_model_path="f", clip_l_path="c", taesd_path="t", pulid_weights="p"
)
SOMEBODY = Identity.from_array(np.ones((4, 8)))
SPAN = {"weight": None, "start_step": 0, "end_step": None}


def ask(identity: Any = None, **generation: Any) -> PictureRequest:
    return read_request(CONTEXT, {}, "p", identity, SPAN, None, generation)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    images = {
        "start": Image.new("RGB", (64, 32), (10, 20, 30)),
        "reference": Image.new("RGB", (64, 32), (40, 50, 60)),
        "mask": Image.new("L", (64, 32), 200),
    }
    for name, image in images.items():
        image.save(tmp_path / f"{name}.png")
    return {name: tmp_path / f"{name}.png" for name in images}


def test_a_files_hash_is_of_the_very_bytes_that_were_decoded(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file is another one as soon as it was read."""
    read, digests = module.picture_bytes, {}

    def read_and_replace(path: Path) -> bytes:
        content = read(path)
        digests[Path(path).name] = hashlib.sha256(content).hexdigest()[:10]
        Image.new("RGB", (16, 16), "red").save(path)
        return content

    monkeypatch.setattr(module, "picture_bytes", read_and_replace)
    request = ask(init_image=files["start"], ref_images=[files["reference"]])
    assert isinstance(request.generation.init_image, Image.Image)
    assert request.generation.init_image.getpixel((0, 0)) == (10, 20, 30)
    assert (request.generation.width, request.generation.height) == (64, 32)
    assert request.generation.ref_images[0].getpixel((0, 0)) == (40, 50, 60)  # type: ignore[union-attr]
    used = [*request.image_names["init"], *request.image_names["ref"]]
    assert {file.name: file.digest for file in used if file} == digests
    assert len(digests) == 2
    request = ask([Person(SOMEBODY, region=Region(mask=files["mask"]))])
    (mask,) = request.image_names["people"]
    assert mask is not None
    assert mask.digest == digests["mask.png"]


def test_a_mask_is_the_same_from_a_file_and_from_pillow(
    files: dict[str, Path], tmp_path: Path
) -> None:
    painted = Image.new("LA", (64, 32), (255, 0))
    painted.paste((255, 255), (0, 0, 32, 32))
    painted.save(tmp_path / "painted.png")
    expected = np.zeros((32, 64), np.uint8)
    expected[:, :32] = 255
    with Image.open(tmp_path / "painted.png") as opened:
        for mask in (tmp_path / "painted.png", opened, painted):
            request = ask([Person(SOMEBODY, region=Region(mask=mask))], init_image=files["start"],
                          mask_image=mask)  # fmt: skip
            (person,) = request.people
            assert person.region is not None
            for found in (request.generation.mask_image, person.region.mask):
                assert (np.asarray(found) == expected).all()


@pytest.mark.parametrize("name", ["init_image", "mask_image", "ref_images"])
def test_what_is_no_picture_is_a_value_error(files: dict[str, Path], name: str) -> None:
    for value in (5, [5], np.ones((4, 4))):
        with pytest.raises(ValueError, match=name):
            ask(**{"init_image": files["start"], name: value})
    with pytest.raises(ValueError, match="mask is 5"):
        ask([Person(SOMEBODY, region=Region(mask=5))])  # type: ignore[arg-type]


def test_options_are_checked_once_whatever_is_settled_in_them(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[GenerationOptions] = []
    check = GenerationOptions.__post_init__

    def count(options: GenerationOptions) -> None:
        checks.append(options)
        check(options)

    monkeypatch.setattr(GenerationOptions, "__post_init__", count)
    images = {"init_image": files["start"], "ref_images": [files["reference"]]}
    request = ask(SOMEBODY, seed=-1, mask_image=files["mask"], **images)
    assert len(checks) == 1
    assert request.generation.seed >= 0
    assert request.generation.width == 64


def test_a_region_is_drawn_once(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """By the request, to refuse one in which nobody is; the engine finds it drawn."""
    drawn: list[Region] = []
    draw = region_weights._draw

    def count(region: Region, *size: int) -> Any:
        drawn.append(region)
        return draw(region, *size)

    monkeypatch.setattr(region_weights, "_draw", count)
    left = Region(box=(0, 0, 0.5, 1))
    people = [Person(SOMEBODY, region=left), Person(SOMEBODY, region=Region(mask=files["mask"]))]
    request = ask(people, width=64, height=32)
    for _ in range(2):
        uses, _ = identity_uses(request.people, None, request.generation, ("flux",))
        assert [use.region is not None and use.region.shape for use in uses] == [(2, 4)] * 2
    assert len(drawn) == 2


def test_images_and_masks_come_as_bytes_or_open_files(files: dict[str, Path]) -> None:
    def content(name: str) -> bytes:
        return files[name].read_bytes()

    def asked(start: Any, mask: Any, reference: Any, region: Any) -> PictureRequest:
        images = {"init_image": start, "mask_image": mask, "ref_images": [reference]}
        return ask([Person(SOMEBODY, region=Region(mask=region))], **images)

    expected = asked(files["start"], files["mask"], files["reference"], files["mask"])
    names = ("start", "mask", "reference", "mask")
    with contextlib.ExitStack() as open_files:
        opened = [open_files.enter_context(open(files[name], "rb")) for name in names]
        for given in (
            [content(name) for name in names],
            [io.BytesIO(content(name)) for name in names],
            opened,
        ):
            request = asked(*given)
            for image in ("init_image", "mask_image"):
                read, known = (getattr(one.generation, image) for one in (request, expected))
                assert read.tobytes() == known.tobytes()
            (read,), (known,) = (one.generation.ref_images for one in (request, expected))
            assert read.tobytes() == known.tobytes()
            (read,), (known,) = (one.people for one in (request, expected))
            assert read.region.mask.tobytes() == known.region.mask.tobytes()
            named = {names for names in request.image_names.values() if names}
            assert named == {(None,)}  # in memory only


@pytest.mark.parametrize("name", ["init_image", "ref_images"])
@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (b"no picture", ImageFileError, "the given picture: expected a picture"),
        (b"", ImageFileError, "nothing is in it"),
        (io.StringIO("text"), ValueError, "'rb'"),
        (7, ValueError, "is 7, but must be a picture, the path of one, its bytes or an open file"),
    ],
)
def test_what_is_no_picture_is_refused(
    name: str, given: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        ask(None, **{name: [given] if name == "ref_images" else given})


def ask_sdxl(folder: Path, identity: Any = None, **generation: Any) -> PictureRequest:
    weights = write_sdxl_pulid(folder / "pulid.safetensors", "v1.1")
    context = ContextOptions(model_path="sdxl.safetensors", pulid_weights=weights)
    size = {"width": 64, "height": 64}
    return read_request(context, {}, "p", identity, SPAN, None, {**size, **generation})


def test_sizes_of_sdxl_hold_without_pulid(tmp_path: Path) -> None:
    names = {
        f"model.diffusion_model.{name}": shape
        for name, shape in unet_tensor_shapes(UnetSizes(32, (1, 1)))
    }
    checkpoint = write_empty_safetensors(tmp_path / "sdxl.safetensors", names)
    context = ContextOptions(model_path=checkpoint)
    with pytest.raises(ValueError, match="width is 80, but must be a multiple of 64"):
        read_request(context, {}, "p", None, SPAN, None, {"width": 80, "height": 64})
    read_request(context, {}, "p", None, SPAN, None, {"width": 128, "height": 64})


def test_what_is_only_of_sdxl_or_not_of_it_is_refused_before_loading(tmp_path: Path) -> None:
    made_by = Identity.from_array(np.ones((3, 4)), encoder="sdxl-v1.1")
    request = ask_sdxl(tmp_path, made_by, id_zeros=10)
    assert request.people[0].weight == 0.8
    assert request.generation.id_zeros == 10
    with pytest.raises(ValueError, match="width is 80, but must be a multiple of 64"):
        ask_sdxl(tmp_path, made_by, width=80)
    for_flux = Identity.from_array(np.ones((3, 4)))
    with pytest.raises(ModelMismatchError, match=r"pulid\.safetensors: .*PuLID v1\.1 for SDXL"):
        ask_sdxl(tmp_path, for_flux)
    numbers = ask_sdxl(tmp_path, np.ones((3, 4), np.float32))
    assert numbers.identities[0].encoder == "sdxl-v1.1"
    with pytest.raises(ModelMismatchError, match=r"found one made by PuLID v1\.1 for SDXL"):
        ask(made_by)
    with pytest.raises(ValueError, match="id_mode is 'style', but only PuLID for SDXL has it"):
        ask(for_flux, id_mode="style")
