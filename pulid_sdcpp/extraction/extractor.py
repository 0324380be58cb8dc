"""Makes what works with PyTorch, for the whole package; tests put others here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pulid_extractor import IdentityExtractor, Judge

__all__ = ["load_extractor", "load_judge"]


def load_extractor(**options: Any) -> IdentityExtractor:
    """Import the PyTorch half and load the networks that make identities.

    Args:
        **options: Those of `pulid_extractor.IdentityExtractor`.

    Raises:
        MissingDependencyError: The extra [extract] is not installed.
        ValueError, PulidError: As `IdentityExtractor`.
    """
    from pulid_extractor import IdentityExtractor

    return IdentityExtractor(**options)


def load_judge(**options: Any) -> Judge:
    """Import the PyTorch half and load the networks that judge pictures.

    Args:
        **options: Those of `pulid_extractor.Judge`.

    Raises:
        MissingDependencyError: The extra [extract] is not installed.
        ValueError, PulidError: As `Judge`.
    """
    from pulid_extractor import Judge

    return Judge(**options)
