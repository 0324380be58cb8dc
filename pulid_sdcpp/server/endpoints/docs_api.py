"""`/docs`: Swagger UI over our OpenAPI document, with files of a package and none of a CDN."""

from __future__ import annotations

import html
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response

from ..errors import ApiError

if TYPE_CHECKING:
    from ..service.service import PictureService

__all__ = ["docs_router"]

_PACKAGE = "fastapi_offline"
_FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_START = """\
window.onload = () => SwaggerUIBundle({
  url: document.body.dataset.openapi, dom_id: "#docs", deepLinking: true, docExpansion: "list",
});
"""
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>pulid-sdcpp: API</title>
<link rel="stylesheet" href="{prefix}/docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body data-openapi="{prefix}/openapi.json">
<noscript>This page needs scripts; {prefix}/openapi.json says the same.</noscript>
<div id="docs"></div>
<script src="{prefix}/docs/swagger-ui-bundle.js"></script>
<script src="{prefix}/docs/start.js"></script>
</body>
</html>
"""
# The styles of Swagger UI are partly in attributes.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def docs_router(service: PictureService) -> APIRouter:
    """`/docs` and its files."""
    router = APIRouter(include_in_schema=False)
    page = _PAGE.format(prefix=html.escape(service.settings.root_path))

    @router.get("/docs")
    async def docs() -> Response:
        headers = {"Content-Security-Policy": _POLICY}
        return Response(page, media_type="text/html", headers=headers)

    @router.get("/docs/start.js")
    async def start() -> Response:
        return Response(_START, media_type="text/javascript")

    @router.get("/docs/{name}")
    async def file(name: str, request: Request) -> Response:
        if name not in _FILES:
            raise ApiError("not_found", "there is no such file")
        headers = {"Cache-Control": "max-age=86400"}
        return FileResponse(_folder() / name, media_type=_FILES[name], headers=headers)

    return router


def _folder() -> Path:
    """Where the package keeps its files; it itself is not imported."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ApiError("not_found", "Swagger UI is not installed; see /openapi.json")
    return Path(found.origin).parent / "static"
