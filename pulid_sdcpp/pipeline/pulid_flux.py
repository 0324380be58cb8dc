"""From a preset's name to pictures of a person: models, identities and memory in one object."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..engine.interface import CreateEngine, Preview
from ..errors import GenerationCancelled, GenerationError, ModelFileError
from ..extraction.enrolment import Enroller
from ..identity.face_choice import FaceChoice
from ..identity.fusion import Fusion
from ..identity.identity_file import Identity
from ..identity.store import keep_identity
from ..memory.plan import Plan, Vram
from ..native.progress_event import EventCallback, ProgressEvent
from ..options.context import ContextOptions
from ..options.generation import GenerationOptions
from ..options.step_point import StepPoint
from ..people.identity_options import IdentityOptions
from ..people.identity_use import IdentityLike
from ..people.person import Person
from ..pictures.model_hashes import ModelHashes
from ..pictures.parameters import describe_picture
from ..pictures.result import Result
from ..request.find_preset import find_preset
from ..request.generate_request import GenerateRequest
from ..request.picture_request import (
    PictureRequest,
    check_preview,
    identity_file_of,
    picture_request,
    read_request,
)
from ..system.package_version import package_version
from .callbacks import called_back, is_called_back
from .fair_lock import FairLock
from .loaded_model import LoadedModel
from .running_picture import PreviewCallback, RunningPicture

if TYPE_CHECKING:
    from typing_extensions import Self

    from pulid_extractor import PhotoSource

__all__ = ["PulidFlux"]

_NO_EXTRACTOR = (
    "photos need the extractor's files, and this pipeline was made without: use a preset, name "
    "them as extractor, or give an identity file"
)


class PulidFlux:
    """Pictures of people: extracts identities, plans memory, loads the model, generates.

        with PulidFlux.from_preset("flux-schnell-q4", vram="auto") as pipeline:
            alice = pipeline.enroll("alice.jpg")
            pipeline.generate("photo of a person reading in a cafe", alice).save("alice.png")

    Nothing is loaded before it is needed; then one model stays loaded. Any thread may call;
    calls are served one after another, in the order in which they came. A context manager. After
    an error or a cancelled generation it can be used on.

    Args:
        context: The model files, and how they are loaded.
        extractor: The extractor's files by the names that `IdentityExtractor` has for them.
        settings: `GenerationOptions` that hold for every picture, unless a call has its own.
        preset: The preset's name, written into the pictures.
        vram: Fit into so many GiB of the card's memory, or into what is free when the first
            picture is made ("auto"), see `plan_memory`; the extractor's networks and the model
            then take turns. None: as `context` says.
        extractor_problem: Why photos cannot be read and what to do, when `extractor` is not
            complete; identity files always can.
        extractor_device: Where the extractor's networks compute: "auto", "cpu", "cuda", "cuda:1"
            or "mps".
        remember_identities: Keep a copy of each identity that a picture is made with in the
            user's cache folder, where `recipe_from` finds it by the picture's text.
        create_engine: Called with a `ContextOptions` and `on_event`; None: loads a
            `StableDiffusion`.
        create_extractor: As for `Enroller`.
        on_event: Told of every stage and step, unless a call has its own.

    Raises:
        ValueError: A setting or a budget out of range.
    """

    def __init__(
        self,
        context: ContextOptions,
        *,
        extractor: Mapping[str, str | os.PathLike[str]] | None = None,
        settings: Mapping[str, Any] | None = None,
        preset: str = "",
        vram: Vram | None = None,
        extractor_problem: str = "",
        extractor_device: str = "auto",
        remember_identities: bool = True,
        create_engine: CreateEngine | None = None,
        create_extractor: Callable[..., Any] | None = None,
        on_event: EventCallback | None = None,
    ) -> None:
        GenerationOptions("", **(settings or {}))
        self._context = context
        self._settings = dict(settings or {})
        self._preset = preset
        self._extractor_problem = extractor_problem or ("" if extractor else _NO_EXTRACTOR)
        self._remember_identities = remember_identities
        self._enroller = Enroller(
            extractor or {}, device=extractor_device, create_extractor=create_extractor
        )
        self._on_event = on_event
        self._turns = FairLock()
        self._state = threading.Lock()  # of what `cancel` reads
        self._running: RunningPicture | None = None
        self._model = LoadedModel(context, vram, create_engine)
        self._hashes = ModelHashes()
        self._closed = False

    @classmethod
    def from_preset(
        cls,
        preset: str,
        *,
        models_dirs: Sequence[str | os.PathLike[str]] = (),
        vram: Vram | None = None,
        settings: Mapping[str, Any] | None = None,
        extractor_device: str = "auto",
        remember_identities: bool = True,
        create_engine: CreateEngine | None = None,
        create_extractor: Callable[..., Any] | None = None,
        on_event: EventCallback | None = None,
        **context_overrides: Any,
    ) -> Self:
        """A pipeline with the files and settings of a preset; nothing is downloaded or loaded.

        Args:
            preset: A name that `pulid-sdcpp models list` shows, as "flux-schnell-q4" or "pocket".
            models_dirs: Folders to look for the files in, before those of the user's config file
                and the hub's cache.
            settings: Instead of the preset's, each that is named.
            **context_overrides: Fields of `ContextOptions`, instead of the preset's.
            vram, extractor_device, remember_identities: As for the class.
            create_engine, create_extractor, on_event: Likewise.

        Raises:
            ValueError: An unknown preset, or an option out of range.
            ModelFileError: Files are not there; says which, and how to get them.
        """
        files = find_preset(preset, models_dirs, context_overrides)
        return cls(
            ContextOptions(**{**files.context, **context_overrides}),
            extractor=files.extractor,
            settings={**files.settings, **(settings or {})},
            preset=files.name,
            vram=vram,
            extractor_problem=files.missing_for_extraction,
            extractor_device=extractor_device,
            remember_identities=remember_identities,
            create_engine=create_engine,
            create_extractor=create_extractor,
            on_event=on_event,
        )

    @property
    def context(self) -> ContextOptions:
        """What the model is loaded with, or would be without a plan."""
        return self._model.context

    @property
    def settings(self) -> Mapping[str, Any]:
        """What holds for every picture, unless a call has its own."""
        return dict(self._settings)

    @property
    def preset(self) -> str:
        """The preset's name; "" for files that were named one by one."""
        return self._preset

    @property
    def plan(self) -> Plan | None:
        """How the last picture was fitted into memory; None before, and without `vram`."""
        return self._model.plan

    def enroll(
        self,
        photos: PhotoSource | Sequence[PhotoSource],
        *,
        face: FaceChoice = "largest",
        fusion: Fusion = "idformer",
        on_event: EventCallback | None = None,
        on_face: Callable[..., object] | None = None,
    ) -> Identity:
        """The identity of the person in one or several photos, or in an identity file.

            alice = pipeline.enroll(["alice1.jpg", "alice2.jpg"])

        What was extracted before with the same weights is found in the user's cache folder.

        Args:
            photos: A file, a Pillow image or an array, or a list of them, of one person; or one
                identity file, which is read as it is.
            face: Which face where there are several: "largest", "left", "right", "center", a
                number counting from the left, or a box (x, y, width, height) in pixels.
            fusion: How several photos become one identity: "idformer" or "mean".
            on_event: Told of the stage "extract", when there is something to extract.
            on_face: Told which face was taken of each new photo, a `FoundFace`.

        Raises:
            ImageFileError: A photo cannot be used.
            FaceNotFoundError: A photo without a face, or without the one asked for.
            IdentityFileError: A damaged identity file.
            ModelFileError: The extractor's files are not there; says how to get them.
            MissingDependencyError: The extra [extract] is needed and not installed.
            ValueError: No photos, an identity file among them, or no such face or fusion.
        """
        if (path := identity_file_of(photos)) is not None:
            return Identity.load(path)
        if self._extractor_problem:
            raise ModelFileError(self._extractor_problem)
        tell = called_back(on_event or self._on_event)

        def on_extract() -> None:
            if self._model.is_planned:
                self._model.unload()
            tell(ProgressEvent("extract"))

        with self._turn():
            return self._enroller.enroll(
                photos,
                face=face,
                fusion=fusion,
                on_face=None if on_face is None else called_back(on_face),
                on_extract=on_extract,
            )

    def free_extractor(self) -> None:
        """Free the extractor's networks; they are loaded again for photos that are new.

        With `vram`, that is done before each picture anyway.
        """
        with self._turn():
            self._enroller.close()

    def load(self, *, on_event: EventCallback | None = None) -> None:
        """Load the model now, planned for a picture of the settings' size.

        Raises:
            As `generate`.
        """
        tell = called_back(on_event or self._on_event)
        with self._turn():
            if self._model.is_planned:
                self._enroller.close()
            self._model.prepare(GenerationOptions("", **self._settings), tell)

    def generate(
        self,
        prompt: str,
        identity: IdentityLike | Person | Sequence[Person] | None = None,
        *,
        weight: float = IdentityOptions.weight,
        start_step: StepPoint = IdentityOptions.start_step,
        end_step: StepPoint | None = None,
        cfg_start_step: int | None = None,
        on_event: EventCallback | None = None,
        on_preview: PreviewCallback | None = None,
        preview_method: str = "proj",
        preview_interval: int = 1,
        **generation: Any,
    ) -> Result:
        """Make one picture of a prompt, with somebody's identity in it if one is given.

            pipeline.generate("photo of a person", alice, weight=0.9, seed=7, steps=4)
            left, right = Region(box=(0, 0, 0.5, 1)), Region(box=(0.5, 0, 0.5, 1))
            people = [Person(alice, region=left), Person(bob, region=right)]
            pipeline.generate("photo of two people", people)

        Args:
            prompt: What the picture shows.
            identity: Whose face: an `Identity`, an identity file, or (tokens, width) numbers;
                or people, each with a weight, steps and a region of their own. None: nobody's.
            weight: 0 to 5; 0 is off, 0.7 to 1.2 is usual.
            start_step: First step with the identity: a whole number counts steps from 0, a float
                from 0 to 1 is a part of them. 0 or 1 is stylised, 4 of 20 photographic.
            end_step: First step without it again, likewise; None: to the end.
            cfg_start_step: First step with true CFG, when `cfg_scale` is not 1. None: 1 with an
                identity, else 0.
            on_event: Told of every stage and step, see `ProgressEvent`; on this thread or on the
                engine's. What it raises stops the generation and is raised here.
            on_preview: Called with the picture so far and the step, from 1; likewise.
            preview_method: "proj", coarse, an eighth of each side and nearly free; "tae" or
                "vae", decoded by the tiny or the large autoencoder, whichever is loaded.
            preview_interval: Call `on_preview` at each so many steps.
            **generation: Fields of `GenerationOptions`: negative_prompt, width, height, steps,
                cfg_scale, guidance, sampling_method, scheduler, seed, init_image, strength,
                mask_image, ref_images, vae_tiling, cache_mode, ... Where they are not given, the
                pipeline's settings hold; but a picture with `init_image` is as large as that.

        Returns:
            The picture; with the same seed and options, always the same.

        Raises:
            ValueError: An option out of range; an identity without PuLID weights, or with a
                weight but in no step or no part of the picture; a closed pipeline. Before
                anything is loaded.
            TypeError: An option that does not exist.
            IdentityFileError: The identity cannot be used, or lacks the unconditional part that
                true CFG needs.
            ImageFileError: A picture to start from, or a mask, cannot be read.
            ModelFileError: A model file is missing or damaged; ModelMismatchError: or does not
                belong to the others.
            MemoryPlanError: It does not fit into `vram`.
            GenerationCancelled: `cancel` was called.
            GenerationError: The engine failed.
            RuntimeError: Called from one of its own callbacks.
        """
        span = {"weight": weight, "start_step": start_step, "end_step": end_step}
        picture = read_request(
            *(self._context, self._settings, prompt, identity, span, cfg_start_step, generation)
        )
        return self._start(picture, on_event, on_preview, preview_method, preview_interval)

    def make(
        self,
        request: GenerateRequest,
        people: Sequence[Person] = (),
        *,
        on_event: EventCallback | None = None,
        on_preview: PreviewCallback | None = None,
        preview_method: str = "proj",
        preview_interval: int = 1,
    ) -> Result:
        """Make the picture of a settled request, see `request.generate_request.settle`.

        Args:
            request: One picture, for the context of this pipeline.
            people: Who is in it, with the identities that `enroll_people` gave them.
            on_event, on_preview, preview_method, preview_interval: As for `generate`.

        Raises:
            As `generate`.
        """
        picture = picture_request(request, people)
        return self._start(picture, on_event, on_preview, preview_method, preview_interval)

    def generate_each(
        self, requests: Iterable[Mapping[str, Any]], **shared: Any
    ) -> Iterator[Result]:
        """Make a picture for each of several requests, one when asked for the next.

            requests = [{"seed": seed} for seed in range(10)]
            for result in pipeline.generate_each(requests, prompt="a portrait", identity=alice):
                result.save(f"{result.seed}.png")

        The model stays loaded in between, and calls of other threads are let in. To end early,
        leave the loop or close the iterator.

        Args:
            requests: Keyword arguments of `generate`, for each picture.
            **shared: Those that all have, unless a request has its own.

        Yields:
            A result for each, in order.

        Raises:
            As `generate`, when the picture's turn has come.
        """
        for request in requests:
            yield self.generate(**{**shared, **request})

    def cancel(self) -> None:
        """Stop the running `generate` within one model evaluation; it raises GenerationCancelled.

        Those that wait for their turn go on, and so does an extraction. From any thread; nothing
        happens when nothing runs.
        """
        with self._state:
            if self._running is not None:
                self._running.cancelled = True
                self._model.cancel()

    def close(self) -> None:
        """Free everything, after the calls that came before. Closing twice is harmless."""
        with self._turn(may_be_closed=True):
            self._closed = True
            self._hashes.close()
            self._enroller.close()
            self._model.unload()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError("a pipeline cannot be pickled or copied; it holds an engine")

    @contextlib.contextmanager
    def _turn(self, may_be_closed: bool = False) -> Iterator[None]:
        if is_called_back():
            raise RuntimeError("a pipeline cannot be called from a pipeline's callback")
        with self._turns:
            if self._closed and not may_be_closed:
                raise ValueError("this pipeline is closed")
            yield

    @contextlib.contextmanager
    def _generation(self) -> Iterator[RunningPicture]:
        """What `cancel` stops meanwhile."""
        running = RunningPicture()
        with self._state:
            self._running = running
        try:
            yield running
        finally:
            with self._state:
                self._running = None

    def _start(
        self,
        picture: PictureRequest,
        on_event: EventCallback | None,
        on_preview: PreviewCallback | None,
        preview_method: str,
        preview_interval: int,
    ) -> Result:
        preview = None
        if on_preview is not None:
            check_preview(self._context, preview_method, preview_interval)
            preview = Preview(called_back(on_preview), preview_method, preview_interval)
        tell = called_back(on_event or self._on_event)
        with self._turn(), self._generation() as running:
            return self._make(picture, running, tell, preview)

    def _make(
        self,
        picture: PictureRequest,
        running: RunningPicture,
        tell: EventCallback,
        preview: Preview | None,
    ) -> Result:
        def told(event: ProgressEvent) -> None:
            running.check()
            tell(event)

        # 1. The model, in memory that nothing else takes.
        if self._model.is_planned:
            self._enroller.close()
        people = picture.people
        engine, generation = self._model.prepare(picture.generation, told, len(people))
        running.check()
        self._hashes.begin(
            self._model.context, generation.prompt, with_people=bool(people), engine=engine
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
            preset=self._preset,
            version=package_version(),
            default_scheduler=engine.default_scheduler(generation.sampling_method),
        )
        return Result(images[0].convert("RGB"), generation.seed, metadata)
