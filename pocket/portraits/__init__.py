"""Procedurally drawn portraits: people, scenes, pictures of them, masks, landmarks and captions."""

from .captions import caption
from .draw import Portrait, draw_portrait
from .people import Person, identity_vector, sample_person
from .scenes import Scene, sample_scene

__all__ = [
    "Person",
    "Portrait",
    "Scene",
    "caption",
    "draw_portrait",
    "identity_vector",
    "sample_person",
    "sample_scene",
]
