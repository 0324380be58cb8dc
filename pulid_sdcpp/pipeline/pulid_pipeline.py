"""From a preset's name to pictures of a person: models, identities and memory in one object."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from ..engine.interface import CreateEngine, Preview
from ..errors import ModelFileError
from ..extraction.enrolment import Enroller, contents_read
from ..families.pulid_encoders import encoders_of_weights
from ..identity.face_choice import FaceChoice
from ..identity.fusion import DEFAULT_FUSION, Fusion
from ..identity.identity_file import Identity
from ..identity.named_person import named_photos
from ..memory.plan import Plan, Vram
from ..native.progress_event import EventCallback, ProgressEvent
from ..options.context import ContextOptions
from ..options.generation import GenerationOptions
from ..options.keywords import ContextKeywords, GenerationKeywords
from ..options.step_point import StepPoint
from ..people.identity_options import IdentityOptions
from ..people.identity_use import IdentityLike
from ..people.person import Person
from ..pictures.result import Result
from ..request.find_preset import find_preset
from ..request.generate_request import GenerateRequest
from ..request.picture_request import (
    PictureRequest,
    identity_given_as,
    picture_request,
    read_request,
)
from ..store.presets import PullProgress, pull_preset
from .callbacks import called_back
from .cancel_token import CancelToken, check_is_token
from .keywords import GenerateKeywords, PictureKeywords
from .loaded_model import LoadedModel
from .picture_maker import PictureMaker
from .running_picture import PreviewCallback, preview_of
from .turns import Turns

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from pulid_extractor import PhotoSource

__all__ = ["PulidPipeline"]

_NO_EXTRACTOR = (
    "photos need the extractor's files, and this pipeline was made without: use a preset, name "
    "them as extractor, or give an identity file"
)


_SPAN = ("weight", "start_step", "end_step")


class PulidPipeline:
    """Makes pictures of people: extracts identities, plans memory, loads the model, generates.

        with PulidPipeline.from_preset("flux-schnell-q4", vram="auto") as pipeline:
            alice = pipeline.enroll("alice.jpg")
            pipeline.generate("photo of a person reading in a cafe", alice).save("alice.png")

    Nothing is loaded before it is needed; after that, one model stays loaded. It can be used from
    any thread; calls are served one after another, in order. It is a context manager. After an
    error or a cancelled generation it stays usable.

    Args:
        context: The model files, and how they are loaded.
        extractor: The extractor's files, as keyword arguments of `IdentityExtractor`.
        settings: `GenerationOptions` for every picture, unless a call has its own.
        preset: The preset's name, written into the pictures.
        vram: GiB of the graphics card's memory to use; "auto": what is free when the first picture
            is made; see `plan_memory`. The extractor's networks and the model are then not loaded
            at the same time. None: no plan, as `context` says.
        extractor_problem: If `extractor` is not complete: why photos cannot be read, and what to
            do. Identity files can always be read.
        extractor_device: Device of the extractor's networks: "auto", "cpu", "cuda", "cuda:1" or
            "mps".
        remember_identities: Keep a copy of each identity that is used in the user's cache folder,
            where `recipe_from` finds it.
        keep_extracted: Keep identities of photos there, too; then a known photo needs no networks.
        create_engine: Called with a `ContextOptions` and `on_event`; None: loads a
            `StableDiffusion`.
        create_extractor: Makes the extractor; None: `IdentityExtractor`.
        on_event: Called with a `ProgressEvent` at every stage and step, unless a call has its own.

    Raises:
        ValueError: A setting or a budget out of range.
    """

    def __init__(
        self,
        context: ContextOptions,
        *,
        extractor: Mapping[str, str | os.PathLike[str]] | None = None,
        settings: GenerationKeywords | None = None,
        preset: str = "",
        vram: Vram | None = None,
        extractor_problem: str = "",
        extractor_device: str = "auto",
        remember_identities: bool = True,
        keep_extracted: bool = True,
        create_engine: CreateEngine | None = None,
        create_extractor: Callable[..., Any] | None = None,
        on_event: EventCallback | None = None,
    ) -> None:
        GenerationOptions("", **(settings or {}))
        self._context = context
        self._settings: GenerationKeywords = {**(settings or {})}
        self._preset = preset
        self._extractor_problem = extractor_problem or ("" if extractor else _NO_EXTRACTOR)
        self._enroller = Enroller(
            extractor or {},
            device=extractor_device,
            cache=keep_extracted,
            create_extractor=create_extractor,
        )
        self._on_event = on_event
        self._model = LoadedModel(context, vram, create_engine)
        self._maker = PictureMaker(
            self._model, preset=preset, remember_identities=remember_identities
        )
        self._turns = Turns(self._model.cancel)

    @classmethod
    def from_preset(
        cls,
        preset: str,
        *,
        models_dirs: Sequence[str | os.PathLike[str]] = (),
        pull: bool = False,
        accept_licenses: Collection[str] = (),
        on_pull: PullProgress | None = None,
        vram: Vram | None = None,
        settings: GenerationKeywords | None = None,
        extractor_device: str = "auto",
        remember_identities: bool = True,
        keep_extracted: bool = True,
        create_engine: CreateEngine | None = None,
        create_extractor: Callable[..., Any] | None = None,
        on_event: EventCallback | None = None,
        **context_overrides: Unpack[ContextKeywords],
    ) -> Self:
        """Make a pipeline with the files and settings of a preset; nothing is loaded.

        Args:
            preset: A name from `pulid-sdcpp models list`, such as "flux-schnell-q4" or "pocket".
            models_dirs: Folders to search for the files, before those of the user's config file and
                the hub's cache.
            pull: Download files that are missing, also those for photos.
            accept_licenses, on_pull: For that; see `pull_preset` and its `on_progress`.
            settings: These override the preset's settings.
            **context_overrides: Fields of `ContextOptions`; they override the preset's.
            vram, extractor_device, remember_identities, keep_extracted: As for the class.
            create_engine, create_extractor, on_event: Likewise.

        Raises:
            ValueError: An unknown preset, or an option out of range.
            ModelFileError: Files are missing; names them, and says how to get them.
            DownloadError: As `pull_preset`; LicenseError: a license has to be accepted.
        """
        if pull:
            pull_preset(
                preset,
                models_dirs=models_dirs,
                accept_licenses=accept_licenses,
                on_progress=on_pull,
            )
        files = find_preset(preset, models_dirs, context_overrides)
        context: dict[str, Any] = {**files.context, **context_overrides}
        return cls(
            ContextOptions(**context),
            extractor=files.extractor,
            settings=cast("GenerationKeywords", {**files.settings, **(settings or {})}),
            preset=files.name,
            vram=vram,
            extractor_problem=files.missing_for_extraction,
            extractor_device=extractor_device,
            remember_identities=remember_identities,
            keep_extracted=keep_extracted,
            create_engine=create_engine,
            create_extractor=create_extractor,
            on_event=on_event,
        )

    @property
    def context(self) -> ContextOptions:
        """How the model is loaded: as it was given, and once it is loaded, with its plan."""
        return self._model.context

    @property
    def settings(self) -> GenerationKeywords:
        """Options for every picture, unless a call has its own."""
        return {**self._settings}

    @property
    def preset(self) -> str:
        """The preset's name; "" if the files were given one by one."""
        return self._preset

    @property
    def plan(self) -> Plan | None:
        """The memory plan of the last picture; None before the first, and without `vram`."""
        return self._model.plan

    def enroll(
        self,
        photos: PhotoSource | Sequence[PhotoSource],
        *,
        face: FaceChoice = "largest",
        fusion: Fusion = DEFAULT_FUSION,
        cancel: CancelToken | None = None,
        on_event: EventCallback | None = None,
        on_face: Callable[..., object] | None = None,
    ) -> Identity:
        """Get the identity of the person in one or several photos, or in an identity file.

            alice = pipeline.enroll(["alice1.jpg", "alice2.jpg"])

        If it was extracted before with the same weights, it comes from the user's cache folder.

        Args:
            photos: A file, what is in it (bytes), a file that is open for reading bytes, a Pillow
                image or an array, or a list of them, all of one person; a folder of photos; one
                identity file, or what is in it; or the name of somebody who is kept.
            face: Face to use if a photo has several: "largest", "left", "right", "center", a number
                (counting from 0 at the left), or a box (x, y, width, height) in pixels.
            fusion: How several photos become one identity: "auto" (as PuLID's own code
                does), "idformer" or "mean".
            cancel: Cancels it while it waits, or before the networks begin; see `CancelToken`.
            on_event: Called at the stage "extract", if there is something to extract.
            on_face: Called with the `FoundFace` that is used of each new photo.

        Raises:
            ImageFileError: A photo cannot be used.
            FaceNotFoundError: A photo has no face, or not the one that was asked for.
            IdentityFileError: A damaged identity file.
            ModelFileError: The extractor's files are missing; says how to get them.
            MissingDependencyError: The extra [extract] is not installed.
            GenerationCancelled: It was cancelled.
            ValueError: No photos, an identity file among them, or no such face or fusion.
        """
        token = check_is_token(cancel)
        photos = contents_read(named_photos(photos))
        encoders = encoders_of_weights(self._context.pulid_weights)
        if (identity := identity_given_as(photos, encoders)) is not None:
            return identity
        if self._extractor_problem:
            raise ModelFileError(self._extractor_problem)
        tell = called_back(on_event or self._on_event)

        def on_extract() -> None:
            token.check()
            if self._model.is_planned:
                self._model.unload()
            tell(ProgressEvent("extract"))

        with self._turns.turn(token):
            return self._enroller.enroll(
                photos,
                face=face,
                fusion=fusion,
                on_face=None if on_face is None else called_back(on_face),
                on_extract=on_extract,
            )

    def free_extractor(self) -> None:
        """Free the extractor's networks; new photos load them again.

        With `vram`, this happens before each picture.
        """
        with self._turns.turn(CancelToken()):
            self._enroller.close()

    def load(
        self, *, cancel: CancelToken | None = None, on_event: EventCallback | None = None
    ) -> None:
        """Load the model now, with a memory plan for the size in `settings`.

        Args:
            cancel, on_event: As for `generate`.

        Raises:
            As `generate`.
        """
        tell = called_back(on_event or self._on_event)
        with self._turns.generation(check_is_token(cancel)) as running:
            self._make_room()
            self._model.prepare(GenerationOptions("", **self._settings), running.telling(tell))

    def generate(
        self,
        prompt: str,
        identity: IdentityLike | Person | Sequence[Person] | None = None,
        *,
        weight: float | None = IdentityOptions.weight,
        start_step: StepPoint = IdentityOptions.start_step,
        end_step: StepPoint | None = None,
        cfg_start_step: int | None = None,
        cancel: CancelToken | None = None,
        on_event: EventCallback | None = None,
        on_preview: PreviewCallback | None = None,
        preview_method: str = "proj",
        preview_interval: int = 1,
        preview_noisy: bool = False,
        **generation: Unpack[GenerationKeywords],
    ) -> Result:
        """Make one picture from a prompt, with the given people in it.

            pipeline.generate("photo of a person", alice, weight=0.9, seed=7, steps=4)
            left, right = Region(box=(0, 0, 0.5, 1)), Region(box=(0.5, 0, 0.5, 1))
            people = [Person(alice, region=left), Person(bob, region=right)]
            pipeline.generate("photo of two people", people)

        Args:
            prompt: What the picture should show.
            identity: Whose face: an `Identity`, an identity file, the name of somebody who is kept,
                or an array (tokens, width); or a `Person`, or several, each with a weight, steps
                and a region. None: no person.
            weight: 0 to 5; 0 is off, 0.7 to 1.2 is usual; None: as that of `Person`.
            start_step: First step with the identity: a whole number counts steps from 0, a float
                from 0 to 1 is a share of them. 0 or 1 is stylised, 4 of 20 photographic.
            end_step: Step before which the identity ends, likewise; None: to the last step.
            cfg_start_step: First step with true CFG, if `cfg_scale` is not 1. None: 1 with an
                identity, otherwise 0.
            cancel: Cancels this call and no other, while it waits, loads or runs; see
                `CancelToken`.
            on_event: Called with a `ProgressEvent` at every stage and step, on this thread or on
                the engine's. An exception in it stops the generation and is raised here.
            on_preview: Called with the unfinished picture and the step, from 1; likewise.
            preview_method: "proj": rough, an eighth of each side, nearly free; "tae" or "vae":
                decoded by the tiny or the full autoencoder, which must be loaded.
            preview_interval: Call `on_preview` every this many steps.
            preview_noisy: Show what goes into each step, with its noise, and not what comes out.
            **generation: Fields of `GenerationOptions`: negative_prompt, width, height, steps,
                cfg_scale, guidance, sampling_method, scheduler, seed, init_image, strength,
                mask_image, ref_images, vae_tiling, cache_mode, ... Those not given are the
                pipeline's settings; with `init_image`, the default size is that picture's.

        Returns:
            The picture; the same seed and options always give the same one.

        Raises:
            ValueError: An option is out of range; there is an identity but no PuLID weights; a
                person would not be in the picture; the pipeline is closed. Raised before anything
                is loaded.
            TypeError: An option does not exist.
            IdentityFileError: The identity cannot be used, or lacks the unconditional part that
                true CFG needs.
            ImageFileError: A start picture or a mask cannot be read.
            ModelFileError: A model file is missing or damaged; ModelMismatchError: it does not
                belong to the others.
            MemoryPlanError: The picture does not fit into `vram`.
            GenerationCancelled: It was cancelled.
            GenerationError: The engine failed.
            RuntimeError: Called from one of its own callbacks.
        """
        token = check_is_token(cancel)
        token.check()
        options: PictureKeywords = {
            **generation,
            **{"weight": weight, "start_step": start_step, "end_step": end_step},
            "cfg_start_step": cfg_start_step,
        }
        picture = self._read(prompt, identity, options)
        preview = preview_of(
            self._context, on_preview, preview_method, preview_interval, preview_noisy
        )
        return self._make(picture, token, on_event, preview)

    def make(
        self,
        request: GenerateRequest,
        people: Sequence[Person] = (),
        *,
        cancel: CancelToken | None = None,
        on_event: EventCallback | None = None,
        on_preview: PreviewCallback | None = None,
        preview_method: str = "proj",
        preview_interval: int = 1,
        preview_noisy: bool = False,
    ) -> Result:
        """Make the picture of a request from `request.generate_request.settle`.

        Args:
            request: A request for one picture, with this pipeline's context.
            people: The people in it, from `enroll_people`.
            cancel, on_event: As for `generate`.
            on_preview, preview_method, preview_interval, preview_noisy: Likewise.

        Raises:
            ValueError: More than one picture, or other people than the request names.
            As `generate`.
        """
        if request.generation.batch_count != 1:
            raise ValueError("make makes one picture; call it for each of request.each")
        if request.people and len(people) != len(request.people):
            raise ValueError(
                f"the request is for {len(request.people)} people, but {len(people)} are given; "
                "enroll_people makes them of the request's"
            )
        token = check_is_token(cancel)
        picture = picture_request(request, people)
        preview = preview_of(
            self._context, on_preview, preview_method, preview_interval, preview_noisy
        )
        return self._make(picture, token, on_event, preview)

    def generate_each(
        self, requests: Iterable[GenerateKeywords], **shared: Unpack[GenerateKeywords]
    ) -> Iterator[Result]:
        """Make a picture for each of several requests, one at a time, as the iterator advances.

            requests = [{"seed": seed} for seed in range(4)]
            for result in pipeline.generate_each(requests, prompt="a portrait", identity=alice):
                result.save(f"{result.seed}.png")

        The model stays loaded in between, and other threads can make pictures. To end early, leave
        the loop or close the iterator.

        Args:
            requests: Keyword arguments of `generate` for each picture.
            **shared: Keyword arguments for all of them, unless a request has its own.

        Yields:
            The results, in order.

        Raises:
            As `generate`, when it is the picture's turn.
        """
        for request in requests:
            arguments: dict[str, Any] = {**shared, **request}
            yield self.generate(**arguments)

    def cancel(self) -> None:
        """Stop the running `generate` within one model evaluation; it raises GenerationCancelled.

        It may be anybody's; to cancel one call, give it a `CancelToken`. Waiting calls and
        extractions continue. Can be called from any thread; does nothing if
        nothing is running.
        """
        self._turns.cancel()

    def close(self) -> None:
        """Free everything, after earlier calls have finished. Closing twice is harmless."""
        with self._turns.last_turn():
            self._maker.close()
            self._enroller.close()
            self._model.unload()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError("a pipeline cannot be pickled or copied; it holds an engine")

    def _make_room(self) -> None:
        """The model gets memory that nothing else takes."""
        if self._model.is_planned:
            self._enroller.close()

    def _read(
        self,
        prompt: str,
        identity: IdentityLike | Person | Sequence[Person] | None,
        options: PictureKeywords,
    ) -> PictureRequest:
        """What `generate` is asked for, read and checked; it needs no turn."""
        values: dict[str, Any] = {**options}
        span = {name: values.pop(name, getattr(IdentityOptions, name)) for name in _SPAN}
        cfg_start_step = values.pop("cfg_start_step", None)
        return read_request(
            *(self._context, self._settings, prompt, identity, span, cfg_start_step, values)
        )

    def _make(
        self,
        picture: PictureRequest,
        token: CancelToken,
        on_event: EventCallback | None,
        preview: Preview | None,
    ) -> Result:
        tell = called_back(on_event or self._on_event)
        with self._turns.generation(token) as running:
            self._make_room()
            return self._maker.make(picture, running, tell, preview)
