"""The pipeline for one family of models, for code that is written for that family only."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar

from ..store.model_store import ModelStore
from .keywords import PresetKeywords
from .pulid_pipeline import PulidPipeline

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

__all__ = ["PulidFlux", "PulidSdxl"]


class _OneFamily(PulidPipeline):
    """Refuses the presets of other families, before anything is downloaded for them."""

    FAMILY: ClassVar[str]

    @classmethod
    def from_preset(cls, preset: str, **options: Unpack[PresetKeywords]) -> Self:
        """Make a pipeline as `PulidPipeline.from_preset` does, with a preset of this family.

        Raises:
            ValueError: The preset is of another family; names the class for it.
            As `PulidPipeline.from_preset`.
        """
        found = ModelStore(options.get("models_dirs", ())).registry.preset(preset)
        if found.family != cls.FAMILY:
            raise ValueError(
                f"preset {found.name} is not for {cls.__name__}: use {_CLASSES[found.family]}, or "
                "PulidPipeline, which takes both"
            )
        return super().from_preset(preset, **options)


class PulidFlux(_OneFamily):
    """The pipeline for Flux models; everything about it stands at `PulidPipeline`.

    with PulidFlux.from_preset("flux-schnell-q4", vram="auto") as pipeline:
        alice = pipeline.enroll("alice.jpg")
        pipeline.generate("photo of a person reading in a cafe", alice).save("alice.png")
    """

    FAMILY = "flux"


class PulidSdxl(_OneFamily):
    """The pipeline for SDXL models; everything about it stands at `PulidPipeline`.

    with PulidSdxl.from_preset("sdxl-lightning", vram="auto") as pipeline:
        alice = pipeline.enroll("alice.jpg")
        pipeline.generate("photo of a person reading", alice, id_mode="style").save("alice.png")
    """

    FAMILY = "sdxl"


_CLASSES: Mapping[str, str] = MappingProxyType(
    {one.FAMILY: one.__name__ for one in (PulidFlux, PulidSdxl)}
)
