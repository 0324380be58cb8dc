"""What a picture of a batch is made of, as one hash: by it a finished picture is known again.

Everything that makes its pixels counts: the job and the preset's settings, the contents of the
model files, photos, identity files, masks and LoRAs. What only places the work (memory, threads,
offloading) does not, and neither does this program's version: a batch can be finished after an
update.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import BatchFileError
from ..families.pulid_encoders import encoders_of_weights
from ..identity import hashes
from ..identity.fusion import DEFAULT_FUSION
from ..identity.identity_file import is_identity_file
from ..model_files.lora_checks import check_prompt_loras
from ..model_files.lora_tags import prompt_loras
from ..model_files.upscalers import second_pass_upscaler
from ..options.context import ContextOptions
from ..options.facts import of
from ..options.former_schedule import former_default
from ..options.generation import GenerationOptions
from ..options.identity_mode import identity_weight
from ..people.identity_effect import check_takes_part
from ..people.identity_use import as_identity
from ..people.person_spec import PersonSpec
from ..people.region import Region
from ..system.file_hash import file_sha256, file_stamp, records_folder, remembered_sha256
from ..system.image_file import is_transparent, open_upright, picture_bytes, read_image
from ..system.mask_image import MASK_VERSION, read_mask
from ..terminal_text import reason_of
from .job import BatchJob

__all__ = ["FileStamp", "JobKey", "JobKeys", "batch_stamp"]

FileStamp = tuple[int, ...]

_VERSION = 1
_NOT_PIXELS = {"seed", "lora_files"}  # the content of LoRAs counts
_PLACING = {name for name, fact in of(ContextOptions).items() if fact.places}


@dataclass(frozen=True)
class JobKey:
    """SHA-256 of everything that makes a job's picture, in hexadecimal.

    Attributes:
        now: Its key.
        former: That of a picture from before Flux's own noise schedule was the default, with
            the schedule that was the default then.
        former_schedule: The name of that schedule.
        is_former: Whether the job asks for it, so that such a picture is its own.
    """

    now: str
    former: str
    former_schedule: str
    is_former: bool


class JobKeys:
    """Keys of the jobs of one run, and the files behind them; each file is read once.

    Args:
        context: The model files, and how they compute.
        settings: The preset's, behind the jobs' own.
        extractor: The extractor's files, by role.
    """

    def __init__(
        self,
        context: ContextOptions,
        settings: Mapping[str, Any],
        extractor: Mapping[str, str | os.PathLike[str]],
    ) -> None:
        self._context = context
        self._settings = settings
        self._extractor = extractor
        self._encoders = encoders_of_weights(context.pulid_weights)
        self._records = records_folder()
        self._found: dict[Any, tuple[Any, dict[Path, FileStamp]]] = {}
        self._used: dict[Path, FileStamp] = {}  # by what is described now
        self._model = self._described(context, _PLACING, self._digest)
        self._model_files = dict(self._used)

    def key(self, job: BatchJob) -> JobKey:
        """The key of a job.

        Raises:
            As `key_and_files`.
        """
        return self.key_and_files(job)[0]

    def key_and_files(self, job: BatchJob) -> tuple[JobKey, dict[Path, FileStamp]]:
        """A job's key, and the files that it is made of, as they were when they were read.

        Raises:
            BatchFileError: An option that the preset's do not go together with, an identity
                without PuLID weights, a person who would not be in the picture, or a LoRA that
                is none; names the job.
            PulidError: A file that the job needs is not what it should be.
        """
        try:
            generation = job.generation(self._settings)
            check_prompt_loras(
                *(generation.prompt, vars(self._context), generation.negative_prompt),
                lora_files=generation.lora_files,
            )
            upscaler = second_pass_upscaler(generation, self._context.hires_upscalers_dir)
            if job.people and self._context.pulid_weights is None:
                raise ValueError(
                    "there is a person, but no PuLID weights; name a preset with "
                    "them, or --pulid-weights"
                )
            # A picture to start from gives the size that the job does not.
            has_size = "init_image" not in job.settings or {"width", "height"} <= set(job.settings)
            for person in job.people:
                check_takes_part(person, generation, job.cfg_start_step, has_size, self._encoders)
        except ValueError as error:
            raise BatchFileError(f"{job.where}: {error}") from None
        self._used = dict(self._model_files)
        named = generation.with_named_scheduler("flux")
        former = former_default(generation.sampling_method)
        folder = self._context.lora_model_dir
        loras = prompt_loras(generation.prompt, folder, generation.lora_files)
        digests = [self._digest(lora.path) for lora in loras]
        if upscaler is not None:
            digests.append(self._digest(upscaler))
        key = JobKey(
            self._hash(job, named, digests),
            self._hash(job, replace(named, scheduler="default"), digests),
            former,
            generation.scheduler == former,
        )
        return key, self._used

    def _hash(self, job: BatchJob, generation: GenerationOptions, loras: list[str]) -> str:
        parts = {
            "version": _VERSION,
            "model": self._model,
            "generation": self._described(generation, _NOT_PIXELS, self._image_digest),
            "seed": str(job.seed),
            "loras": loras,  # and behind them the upscaling model of a second pass
            "cfg_start_step": job.cfg_start_step,
            "people": [self._person(person) for person in job.people],
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _described(self, options: Any, left_out: set[str], digest: Any) -> dict[str, Any]:
        """The options that are not as they are anyway, so that new ones change no key."""
        described = {}
        for field in dataclasses.fields(options):
            value = getattr(options, field.name)
            if field.name not in left_out and value != field.default:
                read = self._mask_digest if field.name == "mask_image" else digest
                described[field.name] = _plain(value, read)
        return described

    def _person(self, person: PersonSpec) -> dict[str, Any]:
        return {
            "identity": self._once(person.source, lambda _: self._source(person)),
            "weight": float(identity_weight(self._encoders, person.weight)),
            "steps": [repr(person.start_step), repr(person.end_step)],  # 1 is not 1.0 here
            "region": None if person.region is None else self._region(person.region),
        }

    def _region(self, region: Region) -> Any:
        return _plain(region.box if region.mask is None else region.mask, self._mask_digest)

    def _source(self, person: PersonSpec) -> dict[str, Any]:
        if not person.files:
            for path in person.paths:
                self._note(path)
            identity = as_identity(person.identity, self._encoders)  # type: ignore[arg-type]
            return {"tokens": hashes.numbers(identity.tokens, identity.uncond_tokens)}
        if is_identity_file(person.files[0]):
            self._note(person.files[0])
            identity = as_identity(person.files[0], self._encoders)
            return {"tokens": hashes.numbers(identity.tokens, identity.uncond_tokens)}
        return {
            "photos": [self._once(photo, self._sha256) for photo in person.files],
            "face": person.face,
            "fusion": _fusion(person),
            "extractor": {role: self._digest(path) for role, path in self._extractor.items()},
        }

    def _digest(self, path: str | os.PathLike[str]) -> str:
        def compute(name: str) -> str:
            self._note(name)
            with _readable(name):
                return remembered_sha256(name, self._records)

        return str(self._once(os.fspath(path), compute))

    def _image_digest(self, path: str | os.PathLike[str]) -> str:
        def compute(key: tuple[str, str]) -> str:
            self._note(key[1])
            content = picture_bytes(key[1])
            read_image(key[1], content)  # what is none is better found now
            return hashlib.sha256(content).hexdigest()

        return str(self._once(("image", os.fspath(path)), compute))

    def _mask_digest(self, path: str | os.PathLike[str]) -> str:
        def compute(key: tuple[str, str]) -> str:
            self._note(key[1])
            content = picture_bytes(key[1])
            read_mask(key[1], content)
            digest = hashlib.sha256(content).hexdigest()
            # Only what is read in another way than before makes another picture.
            is_other = is_transparent(open_upright(key[1], content))
            return f"{digest}, read as {MASK_VERSION}" if is_other else digest

        return str(self._once(("mask", os.fspath(path)), compute))

    def _sha256(self, path: Path) -> str:
        self._note(path)
        with _readable(path):
            return file_sha256(path)

    def _note(self, path: str | os.PathLike[str]) -> None:
        """Before the file is read: what changes it from now on is a change."""
        self._used[Path(path)] = batch_stamp(path)

    def _once(self, key: Any, compute: Any) -> Any:
        """What `compute` says of the key, and which files it takes, also when it is known."""
        if key not in self._found:
            others, self._used = self._used, {}
            try:
                self._found[key] = (compute(key), self._used)
            finally:
                self._used = others
        value, files = self._found[key]
        self._used.update(files)
        return value


def batch_stamp(path: str | os.PathLike[str]) -> FileStamp:
    """What tells that a file changed while a batch runs; () when it is not there.

    Without the inode, which is another one at every look on some network drives.
    """
    return file_stamp(path)[:3]


def _fusion(person: PersonSpec) -> str:
    """The fusion, where it counts; the default by the name that it had when it was the only one."""
    if len(person.files) < 2:
        return ""
    return "idformer" if person.fusion == DEFAULT_FUSION else person.fusion


def _plain(value: Any, digest: Any) -> Any:
    """A value for JSON; 4 and 4.0 are one number, and a file is its content."""
    if isinstance(value, bool | str) or value is None:
        return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, os.PathLike):
        return digest(value)
    return [_plain(part, digest) for part in value]


@contextlib.contextmanager
def _readable(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BatchFileError(f"cannot read {path}: {reason_of(error)}") from None
