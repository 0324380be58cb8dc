"""The engine: stable-diffusion.cpp with PuLID, behind the door of `Engine`.

Beside it stands a drop-in for its Python binding.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..families.flux.layout import FluxInfo
from ..families.sdxl.unet_layout import UnetInfo
from ..folding.cache import limit_from_environment
from ..memory.check import check_size, computes_on_cpu, diffusion_device
from ..model_files.engine_checks import check_engine_files, engine_file_paths
from ..model_files.lora_files_named import with_lora_tags
from ..model_files.unchanged_files import unchanged_files
from ..model_files.upscalers import second_pass_upscaler
from ..native import thread as native_thread
from ..native.calls import base, enter_stage, served, succeeded
from ..native.devices import devices, parse_backend
from ..native.library import library
from ..native.loading import load_model
from ..native.log import write_log_to_stderr
from ..native.progress_event import EventCallback
from ..options.checks import check_choice, check_path, check_text
from ..options.context import PULID_DTYPES, ContextOptions
from ..options.generation import SAMPLING_METHODS, GenerationOptions
from ..options.processor_cores import thread_count
from ..options.size_multiple import check_size_multiple
from ..options.step_point import StepPoint
from ..people.identity_options import IdentityOptions
from ..people.identity_use import IdentityLike, IdentityUse, identity_uses
from ..people.person import Person
from ..people.region_weights import TOKEN_PX
from ..people.second_pass_step import step_of_second_pass
from .binding_arguments import (
    check_context_arguments,
    check_evaluation,
    check_parts,
    checked_generation,
    extra_arguments,
    model_prediction,
    read_pictures,
    second_pass_arguments,
)
from .binding_signature import binding_defaults, binding_parameters
from .evaluation import evaluated
from .identity_slots import IdentitySlots
from .interface import Preview
from .native_model import NativeModel, ProgressCallback
from .preview_arguments import preview_arguments
from .prompt_loras import PromptLoras
from .pulid_model import (
    check_weights_match,
    encoders_of,
    family_of,
    identity_layers,
    open_pulid_weights,
)
from .result_check import checked_pictures
from .upscaling import check_upscaled_size, upscaled

if TYPE_CHECKING:
    from PIL.Image import Image
    from typing_extensions import Self

__all__ = ["IdentityLike", "ProgressCallback", "StableDiffusion"]


class StableDiffusion:
    """A loaded model that makes pictures, with or without people's identities.

    A drop-in replacement for `stable_diffusion_cpp.StableDiffusion`, with the same methods,
    arguments and defaults; only the default noise schedule of a Flux model is Flux's own, "flux".
    It can be used from any thread; native calls run one after another on a thread of their own. It
    is a context manager.

    Args:
        pulid_weights: PuLID weights for the model: `pulid_flux_v0.9.1.safetensors` for Flux,
            `pulid_v1.1.safetensors` or `ip-adapter_pulid_sdxl_fp16.safetensors` (v1) for SDXL. They
            are read when an identity is first used, and never loaded as a whole.
        pulid_dtype: Type of a folded identity in memory: "f16" (126 MB for Flux, 13 MB for SDXL),
            "q8_0" (67 MB, relative error 9e-3; Flux only) or "f32".
        pulid_fold_cache: Keep folded identities also on disk, in the user's cache folder, for the
            next start; PULID_SDCPP_FOLD_CACHE_MB limits their size.
        backend: A device for everything ("vulkan0"), or for each of diffusion, clip and vae
            ("diffusion=vulkan0,vae=cpu"). "": the engine's choice.
        hires_upscalers_dir: Folder of the upscaling models that `hires_upscaler` names.
        diffusion_flash_attn: On by default, unlike in the binding.
        n_threads: CPU threads; 0 or less: one for each core that this process may use, which an
            affinity or a container may limit.
        repack: Use the CPU's own, faster layouts of quantized matrices.
        verbose: Write the engine's messages to stderr; they always go to the logger
            "pulid_sdcpp.engine".
        on_event: Called with the progress of loading, on the engine's thread; an exception in it
            stops loading.
        **options: The binding's arguments: diffusion_model_path, clip_l_path, t5xxl_path, vae_path,
            taesd_path, offload_params_to_cpu, diffusion_flash_attn, ...

    Raises:
        ValueError: An argument is out of range, or a model lacks its other parts.
        ModelFileError: A file is missing, damaged or of the wrong kind, or changed while it was
            loaded; ModelMismatchError: weights and model do not belong together.
        DeviceError: `backend` names a device that does not exist.
        GenerationError: The engine could not load the model.
        NativeLibraryError: The compiled engine is missing.
    """

    def __init__(
        self,
        *args: Any,
        pulid_weights: str | os.PathLike[str] | None = None,
        pulid_dtype: Literal["f16", "f32", "q8_0"] = "f16",
        pulid_fold_cache: bool = True,
        backend: str = "",
        hires_upscalers_dir: str | os.PathLike[str] | None = None,
        repack: bool = True,
        verbose: bool = False,
        on_event: EventCallback | None = None,
        **options: Any,
    ) -> None:
        self._native: NativeModel | None = None
        self._identities: IdentitySlots | None = None
        self._loras: PromptLoras | None = None
        self._flux: FluxInfo | None = None
        self._unet: UnetInfo | None = None
        self._encoders: tuple[str, ...] = ()  # whose identities the PuLID weights take
        self._weights_path = ""
        check_text("backend", backend, 1000)
        check_choice("pulid_dtype", pulid_dtype, PULID_DTYPES)
        check_path("hires_upscalers_dir", hires_upscalers_dir)
        self._hires_upscalers_dir = hires_upscalers_dir
        cache_limit_bytes = limit_from_environment() if pulid_fold_cache else 0
        if verbose:
            write_log_to_stderr()
        bound = binding_parameters()[0].bind(None, *args, **options)
        bound.arguments.setdefault("diffusion_flash_attn", ContextOptions.diffusion_flash_attn)
        # As in sd-cli; the binding's own default is the one of rng_type, whatever that is set to.
        if "rng_type" in bound.arguments:
            bound.arguments.setdefault("sampler_rng_type", bound.arguments["rng_type"])
        bound.apply_defaults()
        arguments = {name: value for name, value in bound.arguments.items() if name != "self"}
        check_context_arguments(arguments, base().stable_diffusion)
        for name, value in arguments.items():
            if name.endswith("_path") or name == "lora_model_dir":
                arguments[name] = os.fspath(value) if value else ""
        arguments["n_threads"] = thread_count(arguments["n_threads"])
        self._loaded_with = arguments
        weights = None if pulid_weights is None else open_pulid_weights(pulid_weights, pulid_dtype)
        try:
            with unchanged_files(engine_file_paths(arguments)):
                known = check_engine_files(arguments, needs=family_of(weights))
                self._flux = known if isinstance(known, FluxInfo) else None
                self._unet = known if isinstance(known, UnetInfo) else None
                if known is not None:
                    arguments["prediction"] = model_prediction(
                        arguments["prediction"], known, base().stable_diffusion
                    )
                if weights is not None and known is not None:
                    check_weights_match(weights, known)
                available = devices()
                placement = parse_backend(backend, available)
                self._on_cpu = computes_on_cpu(placement, available)
                self._device = diffusion_device(placement, available)
                # The streams are the process's own: the binding must not redirect them.
                arguments["verbose"] = True
                # Merging a LoRA into weights needs them in the plain layout.
                repack = repack and arguments["lora_apply_mode"] != "immediately"
                model = load_model(arguments, placement, repack, on_event)
            self._native = NativeModel(model)
            self._loras = PromptLoras(model, arguments, known, repack and self._on_cpu)
            if weights is not None and known is not None:
                parts = (self._context, weights, known, pulid_dtype, cache_limit_bytes)
                self._identities = native_thread.run(
                    lambda: IdentitySlots(self._context, identity_layers(*parts))
                )
                self._encoders, self._weights_path = encoders_of(weights), weights.path
        except BaseException:
            self.close()
            if weights is not None and self._identities is None:
                weights.close()
            raise

    def generate(
        self,
        picture: GenerationOptions,
        people: Sequence[Person] = (),
        *,
        cfg_start_step: int | None = None,
        preview: Preview | None = None,
        on_event: EventCallback | None = None,
    ) -> list[Image]:
        """Make pictures from checked options, with people in them.

        Args:
            picture: What to make.
            people: The people, each with a weight, steps and a region.
            cfg_start_step, on_event: As for `generate_image`.
            preview: Shows the unfinished picture.

        Returns:
            As `generate_image`.

        Raises:
            As `generate_image`.
        """
        who = IdentityOptions(cfg_start_step=cfg_start_step, people=tuple(people))
        extras = {} if preview is None else preview_arguments(preview)
        picture = with_lora_tags(picture.with_fixed_seed())
        return self._make(picture, extras, who, None, on_event)

    def generate_image(
        self,
        prompt: str,
        *args: Any,
        pulid_id_embedding: IdentityLike | None = None,
        pulid_id_weight: float | None = IdentityOptions.weight,
        pulid_start_step: StepPoint = IdentityOptions.start_step,
        pulid_end_step: StepPoint | None = None,
        pulid_people: Sequence[Person] = (),
        cfg_start_step: int | None = None,
        id_mode: str | None = None,
        id_projection: str | None = None,
        id_zeros: int | None = None,
        on_event: EventCallback | None = None,
        progress_callback: ProgressCallback | None = None,
        **options: Any,
    ) -> list[Image]:
        """Make pictures from a prompt, with a person's identity in them if one is given.

        Args:
            prompt: What the pictures should show.
            pulid_id_embedding: Whose face: an identity file, an `Identity`, or an array (tokens,
                width), (32, 2048) for the published weights. None: no person.
            pulid_id_weight: 0 to 5; 0 is off, 0.7 to 1.2 is usual; None: as that of `Person`.
            pulid_start_step: First step with the identity; 0 or 1 is stylised, 4 of 20
                photographic. A whole number counts steps from 0, a float is a share of them.
            pulid_end_step: Step before which the identity ends, likewise; None: to the last step.
            pulid_people: In place of `pulid_id_embedding`, several people, each with a weight,
                steps and a region.
            cfg_start_step: First step with true CFG, if `cfg_scale` is not 1. None: 1 with an
                identity, as in PuLID's own pipeline, otherwise 0.
            id_mode, id_projection, id_zeros: As those of `GenerationOptions`.
            on_event: Called with a `ProgressEvent` at every stage and step, on the engine's thread;
                an exception in it stops the generation and is raised here.
            progress_callback: As in the binding: called with (step, steps, seconds per step).
            *args, **options: The binding's arguments: negative_prompt, width, height, sample_steps,
                cfg_scale, guidance, sample_method, scheduler, seed, batch_count, ...

        Returns:
            `batch_count` pictures; the `info` of each has its parameters.

        Raises:
            ValueError: An argument is out of range; there is an identity but no `pulid_weights`; or
                a person would not be in the picture.
            IdentityFileError: The identity cannot be used, or lacks the unconditional part that
                true CFG needs.
            ModelMismatchError: The identity was made with another PuLID model.
            GenerationCancelled: `cancel` was called.
            GenerationError: The engine failed (the error has its last log lines); the picture is
                NaN or of one colour; or it does not fit into this computer's memory.
        """
        bound = binding_parameters()[1].bind(None, prompt, *args, **options)
        bound.apply_defaults()
        arguments = {name: value for name, value in bound.arguments.items() if name != "self"}
        arguments["progress_callback"] = progress_callback
        picture = replace(
            checked_generation(arguments, base().stable_diffusion),
            id_mode=id_mode,
            id_projection=id_projection,
            id_zeros=id_zeros,
        )
        who = IdentityOptions(
            *(pulid_id_embedding, pulid_id_weight, pulid_start_step, pulid_end_step),
            *(cfg_start_step, tuple(pulid_people)),
        )
        return self._make(picture, extra_arguments(arguments), who, progress_callback, on_event)

    def _make(
        self,
        picture: GenerationOptions,
        extras: Mapping[str, Any],
        who: IdentityOptions,
        progress: ProgressCallback | None,
        on_event: EventCallback | None,
    ) -> list[Image]:
        """Make pictures; what is not of this model alone is checked.

        Args:
            picture: With a fixed seed.
            extras: Those arguments of the binding's that no `GenerationOptions` has.
            who: Is in it.
        """
        arguments = {**binding_defaults(), **picture.to_engine_kwargs(), **extras}

        # 1. What this model cannot do.
        check_parts(arguments, picture, self._loaded_with, self._flux)
        upscaler, factor = self._upscaler if picture.upscale_repeats else (None, 1)
        if upscaler is not None:
            check_upscaled_size(picture.made_size, factor, picture.upscale_repeats)
        if self._unet is not None:
            check_size_multiple(picture, is_sdxl=True)
        if (sizes := self._unet.sizes if self._unet is not None else self._flux) is not None:
            check_size(picture, self._loaded_with, sizes, self._device, on_cpu=self._on_cpu)

        # 2. Files that it reads, and people in its terms.
        native, loras = self._open
        read_pictures(arguments)
        model = second_pass_upscaler(picture, self._hires_upscalers_dir)
        arguments |= second_pass_arguments(picture, model)
        lora_files = loras.prepare(picture.prompt, picture.negative_prompt, picture.lora_files)
        uses, cfg_start_step = identity_uses(
            *(who.everybody, who.cfg_start_step, picture, self._encoders),
            weights=self._weights_path,
        )
        cfg_start_steps = (cfg_start_step, step_of_second_pass(cfg_start_step, picture))

        # 3. The picture.
        arguments["progress_callback"] = None  # ours stays in place
        if arguments["preview_callback"] is not None:
            arguments["preview_callback"] = served(arguments["preview_callback"])

        def generate() -> list[Image]:
            self._use_identities(uses, cfg_start_steps)
            loras.use(lora_files, picture.lora_files)
            pictures: list[Image] = native.binding.generate_image(**arguments)
            pictures = checked_pictures(pictures, may_be_flat=picture.init_image is not None)
            for _ in range(picture.upscale_repeats if upscaler is not None else 0):
                pictures = [upscaled(native.context, upscaler, factor, one) for one in pictures]
            return pictures

        return native.run(generate, progress, on_event)

    def evaluate(
        self,
        latent: NDArray[np.float32],
        timestep: float,
        context: NDArray[np.float32],
        pooled: NDArray[np.float32],
        guidance: float = 3.5,
        *,
        step: int = 0,
        negative: bool = False,
        pulid_id_embedding: IdentityLike | None = None,
        pulid_id_weight: float | None = IdentityOptions.weight,
        pulid_start_step: StepPoint = IdentityOptions.start_step,
        pulid_end_step: StepPoint | None = None,
        pulid_people: Sequence[Person] = (),
        id_mode: str | None = None,
        id_projection: str | None = None,
        id_zeros: int | None = None,
    ) -> NDArray[np.float32]:
        """Evaluate the diffusion model once, as a generation does at each step.

        Args:
            latent: (channels, height, width) float32, 16 channels for Flux; 4 for SDXL, and sides
                that are multiples of 4.
            timestep: Noise level, 0 to 1 for Flux, 0 to 999 for SDXL.
            context: (tokens, width) float32 text embedding, width 4096; 2048 for SDXL.
            pooled: (width,) float32 vector: CLIP-L's, width 768; for SDXL, CLIP-G's and the sizes,
                width 2816.
            guidance: Distilled guidance; ignored by models without the input.
            step: Number of the step, for the identity's start and end.
            negative: Whether this is the negative pass of true CFG, with the unconditional
                identity.
            id_mode, id_projection, id_zeros: As those of `GenerationOptions`.

        Returns:
            The predicted velocity, for SDXL the noise, float32, in the shape of `latent`.

        Raises:
            As `generate_image`.
        """
        arrays = [np.ascontiguousarray(array, np.float32) for array in (latent, context, pooled)]
        check_evaluation(arrays, timestep, guidance, self._flux or self._unet)
        height, width = (TOKEN_PX * math.ceil(side / 2) for side in arrays[0].shape[1:])
        checked = GenerationOptions(
            *("", "", width, height),
            steps=step + 1,
            cfg_scale=2.0 if negative else 1.0,
            id_mode=id_mode,
            id_projection=id_projection,
            id_zeros=id_zeros,
        )
        who = IdentityOptions(
            *(pulid_id_embedding, pulid_id_weight, pulid_start_step, pulid_end_step),
            people=tuple(pulid_people),
        )
        uses, _ = identity_uses(
            *(who.everybody, None, checked, self._encoders),
            weights=self._weights_path,
            one_step=True,
        )

        def evaluate() -> NDArray[np.float32]:
            self._use_identities(uses, (0, 0))
            return evaluated(self._context, arrays, timestep, guidance, step, negative)

        return self._open[0].run(evaluate)

    def cancel(self) -> None:
        """Stop the running generation within one model evaluation; it raises GenerationCancelled.

        Can be called from any thread; does nothing if nothing is running. The engine stays usable.
        """
        if (native := self._native) is not None:
            native.cancel()

    def default_scheduler(self, sampling_method: str = GenerationOptions.sampling_method) -> str:
        """The scheduler that "default" means for this model: "flux" for a Flux model.

        Raises:
            ValueError: An unknown sampling method.
        """
        check_choice("sampling_method", sampling_method, SAMPLING_METHODS)
        names = base().stable_diffusion
        method = names.SAMPLE_METHOD_MAP[sampling_method]
        ask = base().stable_diffusion_cpp.sd_get_default_scheduler
        number = native_thread.run(lambda: ask(self._context, method))
        return str(next(name for name, value in names.SCHEDULER_MAP.items() if value == number))

    @property
    def diffusion_params_bytes(self) -> int:
        """Memory of the diffusion model's parameters, including identities.

        Waits for a running generation.
        """
        ask = library().pulid_diffusion_params_bytes
        return int(native_thread.run(lambda: ask(self._context)))

    def close(self) -> None:
        """Free the model; waits for a running generation. Closing twice is harmless."""
        native, identities = self._native, self._identities
        self._native = self._identities = None
        if native is not None:
            native.close()
        if identities is not None:
            identities.close()
        if self._loras is not None:
            self._loras.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        raise TypeError("an engine cannot be pickled or copied; it holds native memory")

    def __getattr__(self, name: str) -> Any:
        # What the binding offers beside generation: upscale, convert, its attributes.
        if name.startswith("_") or (native := self._native) is None:
            raise AttributeError(name)
        found = getattr(native.binding, name)
        if not callable(found):
            return found

        @functools.wraps(found)
        def run(*args: Any, **options: Any) -> Any:
            works_with_model = name == "generate_video"
            return native.run(lambda: succeeded(found(*args, **options)), spoils=works_with_model)

        return run

    @property
    def _open(self) -> tuple[NativeModel, PromptLoras]:
        if self._native is None or self._loras is None:
            raise ValueError("this engine is closed")
        return self._native, self._loras

    @property
    def _context(self) -> Any:
        return self._open[0].context

    @property
    def _upscaler(self) -> tuple[Any, int]:
        """The engine's `upscaler_ctx_t*`, or None, and how many times larger it makes a side."""
        if not self._loaded_with["upscaler_path"]:
            return None, 1
        upscaler = self._open[0].binding.upscaler
        return upscaler, base().stable_diffusion_cpp.get_upscale_factor(upscaler)

    def _use_identities(self, uses: list[IdentityUse], cfg_start_steps: tuple[int, int]) -> None:
        if self._identities is not None:
            self._identities.use(uses, cfg_start_steps, lambda: enter_stage("fold"))
        else:
            library().pulid_set_uses(self._context, None, 0, *cfg_start_steps)
