"""The whole way from a photo to a picture, on small random weights made on the spot.

It proves that an installation works. The picture is noise: random weights know no faces.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .atomic_file import check_writable
from .errors import GenerationError, MissingDependencyError
from .options import ContextOptions, GenerationOptions, IdentityOptions

if TYPE_CHECKING:
    from PIL import Image

    from .identity import Identity

__all__ = ["SIDE_PX", "DemoResult", "find_portrait", "make_demo_weights", "run_demo"]

SIDE_PX = 256
STEPS = 4
SEED = 42
PROMPT = "a portrait photograph"
QUANTIZATION = "q8_0"
IDENTITY_NAME = "demo.pulidembd"


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        picture: The file: the photo, a picture without and one with the identity.
        identity: The identity made of the photo.
        mean_difference: Between the two pictures, of 255.
    """

    picture: Path
    identity: Identity
    mean_difference: float


def run_demo(
    folder: Path,
    portrait: Path,
    output: Path,
    *,
    create_extractor: Callable[..., Any],
    create_engine: Callable[[ContextOptions], Any],
    say: Callable[[str], None] = lambda line: None,
    progress_callback: Callable[[int, int, float], None] | None = None,
) -> DemoResult:
    """Make weights, extract, generate without and with the identity, and save one picture.

    Args:
        folder: Where the weights and the identity file are kept; a second run finds them.
        portrait: A photo with a face.
        output: The picture to write.
        create_extractor, create_engine: Make the two halves.
        say: Told each step in a line.
        progress_callback: As that of `generate_image`.

    Raises:
        GenerationError: The identity had no effect on the picture.
        PulidError: Whatever the halves raise.
    """
    from .image_file import read_image
    from .package_version import package_version
    from .picture_parameters import describe_picture
    from .png_text import check_picture_path, format_text, save_picture

    # 1. What can be refused is refused before there is work.
    check_picture_path(output)
    check_writable(output)
    photo = read_image(portrait)

    # 2. Weights.
    say(f"weights: small and random, in {folder}")
    files = make_demo_weights(folder)

    # 3. Extract.
    say(f"extracting the identity from {portrait}")
    identity = create_extractor(models_dir=folder).extract(portrait)
    identity.save(folder / IDENTITY_NAME)

    # 4. Generate.
    context = ContextOptions(
        diffusion_model_path=files[f"flux-{QUANTIZATION}"],
        taesd_path=files["taesd"],
        clip_l_path=files["clip_l"],
        pulid_weights=files["pulid"],
    )
    generation = GenerationOptions(PROMPT, width=SIDE_PX, height=SIDE_PX, steps=STEPS, seed=SEED)
    person = IdentityOptions(identity)
    nobody = IdentityOptions()
    pictures = []
    with create_engine(context) as engine:
        for options, whose in ((nobody, "nobody"), (person, "the person on the photo")):
            say(f"generating {SIDE_PX}x{SIDE_PX} in {STEPS} steps, of {whose}")
            pictures += engine.generate_image(
                **generation.to_engine_kwargs(),
                **options.to_engine_kwargs(),
                progress_callback=progress_callback,
            )
    difference = _mean_difference(*pictures)
    if difference == 0:
        raise GenerationError("the identity changed nothing; the engine did not apply it")

    # 5. Save.
    text = describe_picture(
        context,
        generation,
        person,
        identity_hash=identity.short_hash,
        version=package_version(),
    )
    save_picture(_side_by_side([photo, *pictures]), output, format_text(text))
    return DemoResult(output, identity, difference)


def make_demo_weights(folder: Path) -> dict[str, Path]:
    """The stand-in weights of both halves in `folder`, made when they are not there yet.

    Raises:
        MissingDependencyError: The extra [extract] or onnx is not installed.
        OutputFileError: They cannot be written.
    """
    from pulid_extractor.standin import idformer_tensors, make_extractor_standins

    from .standin import make_standin_weights

    files = make_standin_weights(
        folder, quantizations=(QUANTIZATION,), idformer_tensors=idformer_tensors()
    )
    return {**files, **make_extractor_standins(folder)}


def find_portrait() -> Path:
    """scikit-image's astronaut (NASA, public domain), if scikit-image is installed.

    Raises:
        MissingDependencyError: It is not.
    """
    found = importlib.util.find_spec("skimage")
    for folder in (found.submodule_search_locations or ()) if found is not None else ():
        photo = Path(folder, "data", "astronaut.png")
        if photo.is_file():
            return photo
    raise MissingDependencyError(
        "the demo's photo comes with scikit-image, which is not installed; run: pip install "
        "scikit-image, or name a photo of a face with --portrait"
    )


def _mean_difference(first: Image.Image, second: Image.Image) -> float:
    """Of two pictures, over all pixels and channels, of 255."""
    from PIL import ImageChops, ImageStat

    difference = ImageChops.difference(first.convert("RGB"), second.convert("RGB"))
    return sum(ImageStat.Stat(difference).mean) / 3


def _side_by_side(images: list[Image.Image]) -> Image.Image:
    from PIL import Image, ImageOps

    strip = Image.new("RGB", (SIDE_PX * len(images), SIDE_PX))
    for index, image in enumerate(images):
        strip.paste(ImageOps.fit(image.convert("RGB"), (SIDE_PX, SIDE_PX)), (SIDE_PX * index, 0))
    return strip
