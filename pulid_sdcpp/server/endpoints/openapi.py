"""The OpenAPI document: FastAPI's, with the bodies, errors and keys that the endpoints have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..access.auth import is_open
from ..calls.error_answers import family_of_path
from ..errors import Family
from .body_schemas import body_schemas

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["openapi_of"]

_ABOUT = (
    "Pictures of a person. Errors have a code, a message and the field; warnings say what was not "
    "done. With keys, each request has one: as Bearer, X-Api-Key, or the password of Basic."
)
_BODIES: Mapping[str, str] = {
    "/sdcpp/v1/img_gen": "PictureRequest",
    "/pulid/v1/plan": "PictureRequest",
    "/v1/images/generations": "OpenaiGeneration",
    "/v1/images/edits": "OpenaiEdit",
    "/sdapi/v1/txt2img": "A1111Txt2img",
    "/sdapi/v1/img2img": "A1111Img2img",
    "/pulid/v1/identities": "KeptPerson",
    "/pulid/v1/faces": "Photo",
    "/pulid/v1/grids": "Grid",
    "/pulid/v1/presets/{name}/pull": "PullPreset",
}
_EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "PictureRequest": {"prompt": "a portrait", "seed": 7},
    "OpenaiGeneration": {"prompt": "a portrait", "size": "1024x1024"},
    "OpenaiEdit": {"prompt": "a portrait in oil", "image": ["iVBORw0KGgo..."]},
    "A1111Txt2img": {"prompt": "a portrait", "steps": 4},
    "A1111Img2img": {"prompt": "a portrait", "init_images": ["iVBORw0KGgo..."]},
    "KeptPerson": {"name": "Rose", "photos": ["/9j/4AAQ..."]},
    "Photo": {"photo": "/9j/4AAQ..."},
}
_TAGS = {
    "v1": "OpenAI",
    "sdapi": "AUTOMATIC1111",
    "internal": "AUTOMATIC1111",
    "app_id": "AUTOMATIC1111",
    "queue": "AUTOMATIC1111",
    "sdcpp": "sd-server",
    "pulid": "pulid-sdcpp",
}
_FORMS = {"/sdcpp/v1/img_gen", "/v1/images/generations", "/v1/images/edits",
          "/pulid/v1/identities", "/pulid/v1/faces"}  # fmt: skip
_KEYS = {
    "Bearer": {"type": "http", "scheme": "bearer"},
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
    "Basic": {"type": "http", "scheme": "basic"},
}
_ERRORS: Mapping[Family, str] = {
    "openai": "Error",
    "own": "Error",
    "sdcpp": "SdcppError",
    "sdapi": "A1111Error",
}


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The document of a server.

    Args:
        app: With all its routes.
    """
    from fastapi.openapi.utils import get_openapi

    found = get_openapi(title=app.title, version=app.version, description=_ABOUT, routes=app.routes)
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas.update(body_schemas())
    schemas.update(_error_schemas())
    found["components"]["securitySchemes"] = _KEYS
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
    return found


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    family = family_of_path(path)
    error = {"schema": {"$ref": f"#/components/schemas/{_ERRORS[family]}"}}
    responses = operation.setdefault("responses", {})
    responses.pop("422", None)
    responses["default"] = {
        "description": "What is wrong.",
        "content": {"application/json": error},
    }
    operation["tags"] = [_TAGS.get(path.split("/")[1], "server")]
    if said := operation.get("description", ""):
        operation["summary"] = said.partition("\n")[0].rstrip(".")
    if not is_open(method.upper(), path):
        operation["security"] = [{name: []} for name in _KEYS]
    if method in ("post", "patch", "put") and "requestBody" not in operation:
        name = _BODIES.get(path) if method == "post" else None
        schema = {"$ref": f"#/components/schemas/{name}"} if name else {"type": "object"}
        content: dict[str, Any] = {"application/json": {"schema": schema}}
        if example := _EXAMPLES.get(name or ""):
            content["application/json"]["example"] = example
        if path in _FORMS:
            content["multipart/form-data"] = {"schema": schema}
        operation["requestBody"] = {"content": content, "required": name is not None}


def _error_schemas() -> dict[str, Any]:
    text = {"type": "string"}
    param = {"type": ["string", "null"]}
    inner = {"message": text, "type": text, "param": param, "code": text}
    return {
        "Error": {
            "type": "object",
            "properties": {"error": {"type": "object", "properties": inner}},
        },
        "SdcppError": {
            "type": "object",
            "properties": {"error": text, "message": text, "code": text, "param": param},
        },
        "A1111Error": {
            "type": "object",
            "properties": {"error": text, "detail": text, "body": text, "errors": text},
        },
    }
