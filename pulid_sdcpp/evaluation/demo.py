"""The shipped pocket model at work: a few people, a few prompts, one contact sheet.

A column is one prompt and one seed, so it differs by the person only. The last row is the same
without any person. Under each picture is its likeness: the cosine between the reference and the
picture in a recogniser that extraction never uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..engine.interface import CreateEngine
from ..errors import FaceNotFoundError, GenerationError, ModelFileError
from ..extraction import extractor
from ..options.context import ContextOptions
from ..options.generation import MAX_SEED, GenerationOptions
from ..options.keywords import GenerationKeywords
from ..pipeline.pulid_pipeline import PulidPipeline
from ..pocket.pack import pocket_files
from ..store.registry import pocket_settings
from ..system.atomic_file import check_writable
from ..system.output_names import check_is_no_input

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

    from ..identity.identity_file import Identity
    from .face_similarity import FaceSimilarity

    Vector = NDArray[np.float32]
    Look = Callable[[Image.Image], Vector | None]
    """Gives the judge's embedding of a picture's face; None: there is none."""

__all__ = ["PROMPTS", "DemoResult", "run_demo"]

SEED = 42
PROMPTS = (
    "photo of a person, neutral expression, blue background, white shirt",
    "photo of a person smiling in front of a yellow wall, red shirt",
    "photo of a surprised person, green background, black shirt",
    "black and white photo of a person, serious, white background",
    "comic book drawing of a person, smiling, purple background",
)


@dataclass(frozen=True)
class DemoResult:
    """What the demo made.

    Attributes:
        picture: The contact sheet's file.
        identities: By person, in the order of the rows.
        likeness: (people, prompts) cosine of a picture with its person's reference, -1 to 1; NaN
            where no face was found.
        similarity: The same in sum, and as compared with the other people's references; a
            picture without a face counts as 0.
    """

    picture: Path
    identities: tuple[Identity, ...]
    likeness: NDArray[np.float64]
    similarity: FaceSimilarity


def run_demo(
    output: Path,
    portraits: Sequence[Path] = (),
    *,
    seed: int = SEED,
    pack: Path | None = None,
    overwrite: bool = False,
    create_extractor: Callable[..., Any] | None = None,
    create_engine: CreateEngine | None = None,
    create_judge: Callable[..., Any] | None = None,
    say: Callable[[str], None] = lambda line: None,
    progress_callback: Callable[[int, int], object] = lambda done, total: None,
) -> DemoResult:
    """Extract, generate, judge, and save one contact sheet.

    Args:
        output: The picture to write; where it is taken, NAME-2, NAME-3, ...
        portraits: Pictures with a face each; none: those of the pack.
        seed: Of the first prompt; the next ones have the following numbers.
        pack: Folder of the pocket model; None: the shipped one.
        overwrite: Replace a picture that is there, if it is none of the portraits.
        create_extractor, create_engine, create_judge: Make these parts; None: the real ones.
        say: Told each stage in a line.
        progress_callback: Called with the number of finished pictures and of all.

    Raises:
        FaceNotFoundError: A portrait without a face that the pocket model knows.
        GenerationError: An identity had no effect on a picture.
        PulidError: Whatever the halves raise.
        ValueError: The seed, the output's format, or an output that is a portrait.
    """
    from ..pictures.png_text import check_picture_path, save_new_picture
    from ..system.image_file import read_image

    # 1. What can be refused is refused before there is work.
    check_picture_path(output)
    check_writable(output)
    check_is_no_input(output, portraits)
    settings = [_settings(prompt, seed + index) for index, prompt in enumerate(PROMPTS)]
    given = [read_image(path) for path in portraits]

    # 2. The model.
    say("loading the pocket model (at first use, its text encoder is unpacked)")
    files = pocket_files(pack)
    paths = tuple(portraits) or files.portraits
    if not paths:
        raise ModelFileError(f"{files.models_dir}: this pack has no portraits; add --portrait")
    images = given or [read_image(path) for path in paths]
    judge = (create_judge or extractor.load_judge)(
        models_dir=files.models_dir, judges=[files.judge]
    )
    look = _look_with(judge, files.judge.stem)

    context = ContextOptions(
        diffusion_model_path=files.diffusion_model,
        taesd_path=files.taesd,
        clip_l_path=files.clip_l,
        pulid_weights=files.pulid_weights,
    )
    with PulidPipeline(
        context,
        extractor={"models_dir": files.models_dir},
        settings=cast("GenerationKeywords", pocket_settings()),
        remember_identities=False,
        create_engine=create_engine,
        create_extractor=create_extractor,
    ) as pipeline:
        # 3. Extract.
        say(f"extracting from {', '.join(path.name for path in paths)}")
        identities = tuple(_enroll(pipeline, path) for path in paths)
        references = [_refer(look, *pair) for pair in zip(paths, images, strict=True)]

        # 4. Generate, for everybody and for nobody.
        people = [*identities, None]
        size = f"{settings[0].width}x{settings[0].height}, {settings[0].steps} steps"
        say(f"generating {len(people)} x {len(PROMPTS)} pictures, {size}")
        rows: list[list[Image.Image]] = []
        for person in people:
            rows.append([])
            for each in settings:
                rows[-1].append(pipeline.generate(each.prompt, person, seed=each.seed).image)
                progress_callback(sum(map(len, rows)), len(people) * len(PROMPTS))
    *of_people, of_nobody = rows
    _check_effect(of_people, of_nobody, paths)

    # 5. Judge and save.
    likeness, similarity = _judge(look, references, of_people)
    sheet = _sheet(paths, images, of_people, of_nobody, likeness)
    text = _text(context, settings[0])
    picture = save_new_picture(sheet, output, text, overwrite=overwrite)
    return DemoResult(picture, identities, likeness, similarity)


def _settings(prompt: str, seed: int) -> GenerationOptions:
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"seed is {seed}, but must be 0 to {MAX_SEED - len(PROMPTS) + 1}")
    return GenerationOptions(prompt, seed=seed, **pocket_settings())


def _advised(error: FaceNotFoundError | str) -> FaceNotFoundError:
    return FaceNotFoundError(
        f"{error}; the pocket model can read only drawn portraits like its own; photos of "
        "real people need the published weights, with 'pulid-sdcpp extract'"
    )


def _enroll(pipeline: PulidPipeline, path: Path) -> Identity:
    try:
        return pipeline.enroll(path)
    except FaceNotFoundError as error:
        raise _advised(error) from None


def _refer(look: Look, path: Path, portrait: Image.Image) -> Vector:
    embedding = look(portrait)
    if embedding is None:
        raise _advised(f"{path}: no face to compare with")
    return embedding


def _look_with(judge: Any, name: str) -> Look:
    import numpy as np

    def look(picture: Image.Image) -> Vector | None:
        face = judge.look(np.asarray(picture.convert("RGB")))
        return None if face is None else face.embeddings[name]

    return look


def _check_effect(
    of_people: Sequence[Sequence[Image.Image]],
    of_nobody: Sequence[Image.Image],
    paths: Sequence[Path],
) -> None:
    for path, row in zip(paths, of_people, strict=True):
        for picture, without in zip(row, of_nobody, strict=True):
            if picture.tobytes() == without.tobytes():
                raise GenerationError(
                    f"the identity of {path} changed nothing; the engine did not apply it"
                )


def _judge(
    look: Look,
    references: Sequence[Vector],
    of_people: Sequence[Sequence[Image.Image]],
) -> tuple[NDArray[np.float64], FaceSimilarity]:
    import numpy as np

    from .face_similarity import cosine_similarities, summarise_similarity

    found = [look(picture) for row in of_people for picture in row]
    nothing = np.zeros_like(references[0])
    results = [nothing if embedding is None else embedding for embedding in found]
    similarities = cosine_similarities(results, references)
    own = np.repeat(np.arange(len(references)), len(PROMPTS))
    likeness = similarities[np.arange(len(own)), own]
    likeness[[embedding is None for embedding in found]] = np.nan
    shape = (len(references), len(PROMPTS))
    return likeness.reshape(shape), summarise_similarity(similarities, own)


def _sheet(
    paths: Sequence[Path],
    images: Sequence[Image.Image],
    of_people: Sequence[Sequence[Image.Image]],
    of_nobody: Sequence[Image.Image],
    likeness: NDArray[np.float64],
) -> Image.Image:
    from ..pictures.contact_sheet import SheetCell, contact_sheet

    rows = [
        [
            SheetCell(image, path.stem),
            *(
                SheetCell(picture, f"{value:.2f}" if value == value else "no face")
                for picture, value in zip(pictures, values, strict=True)
            ),
        ]
        for path, image, pictures, values in zip(paths, images, of_people, likeness, strict=True)
    ]
    rows.append([SheetCell(None, "nobody"), *map(SheetCell, of_nobody)])
    return contact_sheet(rows, ["reference", *PROMPTS])


def _text(context: ContextOptions, first: GenerationOptions) -> str:
    """The settings all pictures share, with all prompts; the seed is the first column's."""
    from dataclasses import replace

    from ..pictures.parameters import SHEET, describe_picture
    from ..pictures.png_text import format_text
    from ..system.package_version import package_version

    all_prompts = replace(first, prompt="\n".join(PROMPTS))
    text = describe_picture(context, all_prompts, version=package_version())
    return format_text(replace(text, values={**text.values, SHEET: "demo"}))
