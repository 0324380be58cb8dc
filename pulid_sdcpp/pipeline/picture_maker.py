"""A picture is made: with the model that it needs, and described so that it can be made again."""

from __future__ import annotations

from ..engine.interface import Preview
from ..errors import GenerationCancelled, GenerationError
from ..identity.store import keep_identity
from ..model_files.upscalers import second_pass_upscaler
from ..native.progress_event import EventCallback, ProgressEvent
from ..people.identity_options import IdentityOptions
from ..pictures.model_hashes import ModelHashes
from ..pictures.parameters import describe_picture
from ..pictures.result import Result
from ..request.picture_request import PictureRequest
from ..system.package_version import package_version
from .loaded_model import LoadedModel
from .running_picture import RunningPicture

__all__ = ["PictureMaker"]


class PictureMaker:
    """Makes the pictures of one pipeline; used by one thread at a time.

    Args:
        model: The pipeline's.
        preset: The preset's name, written into the pictures.
        remember_identities: As for `PulidPipeline`.
    """

    def __init__(self, model: LoadedModel, *, preset: str, remember_identities: bool) -> None:
        self._model = model
        self._preset = preset
        self._remember_identities = remember_identities
        self._hashes = ModelHashes()

    def make(
        self,
        picture: PictureRequest,
        running: RunningPicture,
        tell: EventCallback,
        preview: Preview | None,
    ) -> Result:
        """Make one picture.

        Args:
            picture: What to make, and of whom.
            running: Says whether it was cancelled.
            tell: Told of every stage and step.
            preview: Looks at it meanwhile.

        Raises:
            As `PulidPipeline.generate`.
        """
        told = running.telling(tell)

        # 1. The model.
        running.check()
        people = picture.people
        id_tokens = max((len(identity.tokens) for identity in picture.identities), default=0)
        engine, generation = self._model.prepare(
            *(picture.generation, told, len(people), id_tokens)
        )
        running.check()
        self._hashes.begin(
            self._model.context,
            generation.prompt,
            generation.lora_files,
            hires_upscaler=second_pass_upscaler(
                generation, self._model.context.hires_upscalers_dir
            ),
            with_people=bool(people),
            engine=engine,
        )

        # 2. The picture.
        try:
            images = engine.generate(
                generation,
                people,
                cfg_start_step=picture.cfg_start_step,
                preview=preview,
                on_event=told,
            )
        except GenerationCancelled:
            raise
        except GenerationError as error:
            if not error.engine_is_good:
                self._model.unload()  # what failed once is not to be trusted
            raise

        # 3. What it takes to make it again.
        for identity in picture.identities if self._remember_identities else ():
            keep_identity(identity)
        hashes = self._hashes.wait(lambda: tell(ProgressEvent("hash")), running.check)
        metadata = describe_picture(
            self._model.context,
            generation,
            IdentityOptions(people=people, cfg_start_step=picture.cfg_start_step),
            image_names=picture.image_names,
            hashes=hashes,
            templates=picture.templates,
            preset=self._preset,
            version=package_version(),
            default_scheduler=engine.default_scheduler(generation.sampling_method),
        )
        return Result(images[0].convert("RGB"), generation.seed, metadata)

    def close(self) -> None:
        """Stop reading files to hash."""
        self._hashes.close()
