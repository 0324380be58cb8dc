"""The pipeline for one family of models, for code that is written for that family only."""

from __future__ import annotations

from .pulid_pipeline import PulidPipeline

__all__ = ["PulidFlux"]


class PulidFlux(PulidPipeline):
    """The pipeline for Flux models; everything about it stands at `PulidPipeline`.

    with PulidFlux.from_preset("flux-schnell-q4", vram="auto") as pipeline:
        alice = pipeline.enroll("alice.jpg")
        pipeline.generate("photo of a person reading in a cafe", alice).save("alice.png")
    """
