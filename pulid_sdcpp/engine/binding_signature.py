"""What the binding's constructor and its `generate_image` take."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..native.calls import base

__all__ = ["binding_defaults", "binding_parameters"]


@functools.cache
def binding_parameters() -> tuple[inspect.Signature, inspect.Signature]:
    """Of the binding's constructor and of its `generate_image`."""
    engine = base().StableDiffusion
    return inspect.signature(engine.__init__), inspect.signature(engine.generate_image)


@functools.cache
def binding_defaults() -> Mapping[str, Any]:
    """What the binding's `generate_image` takes where nothing is given."""
    bound = binding_parameters()[1].bind(None, "")
    bound.apply_defaults()
    return MappingProxyType({n: value for n, value in bound.arguments.items() if n != "self"})
