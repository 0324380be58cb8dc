"""The endpoints of our own family about pictures, grids, models and the server itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .grids_api import grids_router
from .own_api import own_router
from .pictures_api import pictures_router
from .presets_api import presets_router

if TYPE_CHECKING:
    from fastapi import APIRouter

    from ..service.service import PictureService

__all__ = ["gallery_routers"]


def gallery_routers(service: PictureService) -> Iterator[APIRouter]:
    """All of them."""
    yield pictures_router(service)
    yield grids_router(service)
    yield presets_router(service)
    yield own_router(service)
