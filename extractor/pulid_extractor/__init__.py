"""The half of pulid-sdcpp that makes identities from portraits.

    from pulid_extractor import IdentityExtractor

    extractor = IdentityExtractor("models")
    extractor.extract("alice.jpg").save("alice.pulidembd")

Importing this package imports neither torch nor ONNX Runtime; using it does.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulid_sdcpp.identity.face_choice import FaceChoice

    from .adherence import AttributeReader
    from .extract import IdentityExtractor, extract_identity
    from .faces import Face
    from .judge import Judge, JudgedFace
    from .models_folder import PUBLISHED, ModelFiles, find_model_files
    from .photo import Photo, PhotoSource, load_photo
    from .portrait_reader import FoundFace

__all__ = [
    "PUBLISHED",
    "AttributeReader",
    "Face",
    "FaceChoice",
    "FoundFace",
    "IdentityExtractor",
    "Judge",
    "JudgedFace",
    "ModelFiles",
    "Photo",
    "PhotoSource",
    "extract_identity",
    "find_model_files",
    "load_photo",
]

_MODULES = {
    "PUBLISHED": "models_folder",
    "AttributeReader": "adherence",
    "Face": "faces",
    "FaceChoice": "face_selection",
    "FoundFace": "portrait_reader",
    "IdentityExtractor": "extract",
    "Judge": "judge",
    "JudgedFace": "judge",
    "ModelFiles": "models_folder",
    "Photo": "photo",
    "PhotoSource": "photo",
    "extract_identity": "extract",
    "find_model_files": "models_folder",
    "load_photo": "photo",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if _MODULES[name] == "judge":
        from .dependencies import require_module

        require_module("torch")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
